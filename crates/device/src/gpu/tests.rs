//! What needs a device of its own: loss and exhaustion.

use std::io::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{GpuExecutor, adapter};
use crate::device::Executor;
use crate::dtype::DType;
use crate::error::Error;
use crate::program::Program;

fn own_device() -> Option<GpuExecutor> {
    let executor = adapter::first().map(|adapter| GpuExecutor::new(&adapter).unwrap());
    if executor.is_none() {
        let _ = writeln!(std::io::stderr(), "skipped: no Vulkan driver");
    }
    executor
}

#[test]
fn a_lost_device_says_so_everywhere_and_soon() {
    let Some(executor) = own_device() else { return };
    let buffer = executor.allocate(64).unwrap();
    let prepared = executor.prepare(Program::default()).unwrap();
    executor.upload(&buffer, DType::F32, 0, &[1; 64]).unwrap();
    executor.destroy();
    let start = Instant::now();
    let mut host = [0; 64];
    let results = [
        executor.download(&buffer, DType::F32, 0, &mut host),
        executor.upload(&buffer, DType::F32, 0, &host),
        executor.copy(&buffer, 0, &buffer, 8, DType::F32, 8),
        executor.allocate(64).map(|_| ()),
        executor.prepare(Program::default()).map(|_| ()),
        prepared.run(&[]),
        prepared.profile(&[]).map(|_| ()),
        executor.synchronize(),
        executor.synchronize(),
    ];
    for (call, result) in results.into_iter().enumerate() {
        assert!(matches!(result, Err(Error::Lost { .. })), "{call}: {result:?}");
    }
    assert!(executor.is_lost() && start.elapsed() < Duration::from_secs(2));
}

#[test]
fn exhaustion_leaks_nothing() {
    let Some(executor) = own_device() else { return };
    let before = executor.ledger().in_use();
    executor.ledger().set_budget(before + (1 << 20));
    for _ in 0..100 {
        let kept = executor.allocate(1 << 19).unwrap();
        match executor.allocate(1 << 20) {
            Err(Error::OutOfMemory { requested, largest, .. }) => {
                assert_eq!(requested, 1 << 20);
                assert!(largest.starts_with("524288"), "{largest}");
            }
            other => panic!("{other:?}"),
        }
        drop(kept);
        assert_eq!(executor.ledger().in_use(), before);
    }
    assert!(executor.allocate(1 << 20).is_ok());
}

#[test]
fn dropped_memory_is_used_again() {
    let Some(executor) = own_device() else { return };
    let number = |buffer: &crate::Buffer| executor.context.slot(buffer).unwrap().1;
    let first = executor.allocate(5000).unwrap();
    let slot = number(&first);
    drop(first);
    let second = executor.allocate(4990).unwrap();
    assert_eq!(number(&second), slot);
    assert_ne!(number(&executor.allocate(4990).unwrap()), slot);
}

#[test]
fn an_adapter_is_opened_once() {
    let Some(name) = GpuExecutor::available().into_iter().next() else {
        return;
    };
    let open = || GpuExecutor::open(&name).unwrap();
    assert!(Arc::ptr_eq(&open(), &open()));
}
