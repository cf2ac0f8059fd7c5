//! The wgpu executor against the naive meaning of the contract. Needs a Vulkan, Metal or DX12 driver; Mesa's lavapipe will do.
#![cfg(feature = "gpu")]

mod common;

use std::io::Write;
use std::sync::OnceLock;

use common::kernels::{self, Case, affine, kernel, load, map, map_body, store};
use common::naive;
use kiln_device::*;

fn device() -> Option<Device> {
    static DEVICE: OnceLock<Option<Device>> = OnceLock::new();
    DEVICE
        .get_or_init(|| {
            let device = Device::open("gpu").or_else(|_| Device::open("software"));
            match &device {
                Ok(device) => eprintln!("running on {:?}", device.info()),
                Err(error) => {
                    // Past the harness's capture, so that it is seen.
                    let _ = writeln!(std::io::stderr(), "skipped: no Vulkan driver ({error})");
                    assert!(
                        std::env::var_os("KILN_REQUIRE_GPU").is_none(),
                        "KILN_REQUIRE_GPU is set: {error}"
                    );
                }
            }
            device.ok()
        })
        .clone()
}

fn to_host(dtype: DType, values: &[Value]) -> Vec<u8> {
    values
        .iter()
        .flat_map(|value| match (dtype, *value) {
            (DType::F16, Value::F32(v)) => half::f16::from_f32(v).to_ne_bytes().to_vec(),
            (DType::BF16, Value::F32(v)) => half::bf16::from_f32(v).to_ne_bytes().to_vec(),
            (DType::U8 | DType::Bool, v) => vec![v.bits() as u8],
            (dtype, v) => v.bits().to_le_bytes()[..dtype.host_size()].to_vec(),
        })
        .collect()
}

fn from_host(dtype: DType, bytes: &[u8]) -> Vec<Value> {
    bytes
        .chunks_exact(dtype.host_size())
        .map(|b| {
            let word = || u32::from_ne_bytes([b[0], b[1], b[2], b[3]]);
            match dtype {
                DType::F32 => Value::F32(f32::from_bits(word())),
                DType::F16 => Value::F32(half::f16::from_ne_bytes([b[0], b[1]]).to_f32()),
                DType::BF16 => Value::F32(half::bf16::from_ne_bytes([b[0], b[1]]).to_f32()),
                DType::I32 => Value::I32(word() as i32),
                DType::U32 => Value::U32(word()),
                DType::U8 => Value::U32(u32::from(b[0])),
                DType::Bool => Value::Bool(b[0] != 0),
                DType::F64 | DType::I64 => unreachable!("see wide.rs"),
            }
        })
        .collect()
}

fn program(
    device: &Device,
    kernels: &[(&Kernel, &[usize])],
    counts: &[(DType, usize)],
    checks: Vec<CheckSite>,
) -> Program {
    Program {
        buffers: counts
            .iter()
            .enumerate()
            .map(|(n, (dtype, count))| BufferSpec {
                role: Role::External(n),
                bytes: count * device.element_size(*dtype),
            })
            .collect(),
        steps: kernels
            .iter()
            .map(|(kernel, buffers)| {
                Step::Launch(Box::new(Launch { kernel: (*kernel).clone(), buffers: buffers.to_vec() }))
            })
            .collect(),
        checks,
    }
}

/// Runs one case, compiled and with its buffers filled.
fn prepare(device: &Device, case: &Case) -> (Executable, Vec<Buffer>) {
    let counts: Vec<(DType, usize)> = case
        .kernel
        .buffers
        .iter()
        .zip(&case.data)
        .map(|(binding, data)| (binding.dtype, data.len()))
        .collect();
    let order: Vec<usize> = (0..counts.len()).collect();
    let executable = device
        .compile(program(device, &[(&case.kernel, &order)], &counts, vec![]))
        .unwrap_or_else(|e| panic!("{}: {e}", case.kernel.name));
    let buffers = case
        .data
        .iter()
        .zip(&counts)
        .map(|(data, (dtype, _))| device.buffer_from(*dtype, &to_host(*dtype, data)).unwrap())
        .collect();
    (executable, buffers)
}

fn agree(got: Value, want: Value, tolerance: f32) -> bool {
    match (got, want) {
        // The mark of the naive evaluator for "not specified".
        (Value::F32(_), Value::F32(f32::MAX)) => true,
        (Value::F32(a), Value::F32(b)) => {
            (a.is_nan() && b.is_nan())
                || a == b
                || (a - b).abs() <= tolerance * b.abs().max(1.0)
                || (a == 0.0 && b.abs() < 1.2e-38)
        }
        (a, b) => a == b,
    }
}

fn check(device: &Device, case: &Case) -> Result<(), String> {
    let (executable, buffers) = prepare(device, case);
    executable.run(&buffers).unwrap();
    let mut want: naive::Cells = case
        .data
        .iter()
        .zip(&case.kernel.buffers)
        .map(|(data, b)| data.iter().map(|v| naive::stored(b.dtype, *v)).collect())
        .collect();
    naive::run(&case.kernel, &mut want);
    for (n, (buffer, want)) in buffers.iter().zip(&want).enumerate() {
        let binding = case.kernel.buffers[n];
        let bytes = device.download(buffer, binding.dtype, 0, want.len()).unwrap();
        // One step of a half-precision element.
        let tolerance = match binding.dtype {
            DType::F16 => 1e-3,
            DType::BF16 => 8e-3,
            _ => case.tolerance,
        };
        for (at, (got, want)) in from_host(binding.dtype, &bytes).into_iter().zip(want).enumerate() {
            if !agree(got, *want, tolerance) {
                let Kernel { name, rows, inner, .. } = &case.kernel;
                return Err(format!(
                    "{name} {rows:?}×{inner:?}: buffer {n} element {at}: {got} instead of {want}\n{}",
                    executable.sources()[0]
                ));
            }
        }
    }
    Ok(())
}

#[test]
fn every_kernel_means_what_the_contract_says() {
    let Some(device) = device() else { return };
    let mut wrong = vec![];
    for case in kernels::cases() {
        let start = std::time::Instant::now();
        wrong.extend(check(&device, &case).err());
        if std::env::var_os("KILN_TEST_TIMES").is_some() {
            eprintln!("{} {:?}: {:?}", case.kernel.name, case.kernel.rows, start.elapsed());
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

/// Sets `out[i] = in[i] · factor + in[i]`, and reports where `in[i]` is not below 100.
fn checked(count: usize, site: u32) -> Kernel {
    let zero = Value::I32(0);
    let instrs = vec![
        load(0, map(&[1], 0), zero),
        Instr::Const(Value::I32(100)),
        Instr::Compare(CompareOp::Lt, 0, 1),
        Instr::Index(affine(&[1], 0)),
        Instr::Check { ok: 2, value: 0, position: 3, site },
        Instr::Binary(BinaryOp::Add, 0, 0),
        store(1, map(&[1], 0), 5),
    ];
    let buffers = [(DType::I32, kernels::READ), (DType::I32, kernels::WRITE)];
    kernel("checked", [&[count], &[]], &buffers, map_body(instrs))
}

fn site(op: &str) -> CheckSite {
    CheckSite { op: op.into(), bound: 100, at: String::new() }
}

fn words(values: &[i32]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_ne_bytes()).collect()
}

#[test]
fn a_failed_check_is_reported_once_and_the_device_goes_on() {
    let Some(device) = device() else { return };
    let count = 5000;
    let kernels = [checked(count, 0), checked(count, 1)];
    let sizes = [(DType::I32, count); 3];
    let launches = [(&kernels[0], &[0, 1][..]), (&kernels[1], &[1, 2])];
    let program = program(&device, &launches, &sizes, vec![site("first"), site("second")]);
    let executable = device.compile(program).unwrap();
    let mut values: Vec<i32> = (0..count as i32).map(|v| v % 40).collect();
    let run = |values: &[i32]| {
        let input = device.buffer_from(DType::I32, &words(values)).unwrap();
        let buffers =
            [input, device.allocate(DType::I32, count).unwrap(), device.allocate(DType::I32, count).unwrap()];
        executable.run(&buffers).unwrap();
        device.download(&buffers[2], DType::I32, count - 1, 1)
    };
    assert_eq!(run(&values).unwrap(), words(&[4 * 39]));
    values[4000] = 70;
    match run(&values) {
        Err(Error::IndexOutOfRange { op, value, position, bound, .. }) => {
            assert_eq!((op.as_str(), value, position, bound), ("second", 140, 4000, 100));
        }
        other => panic!("{other:?}"),
    }
    for at in (300..count).rev() {
        values[at] = 1000 + at as i32;
    }
    match run(&values) {
        Err(Error::IndexOutOfRange { op, value, position, .. }) => {
            assert_eq!((op.as_str(), value, position), ("first", 1300, 300));
        }
        other => panic!("{other:?}"),
    }
    device.synchronize().unwrap();
    values.fill(3);
    assert_eq!(run(&values).unwrap(), words(&[12]));
}

#[test]
fn programs_replay_with_other_buffers_and_temporaries() {
    let Some(device) = device() else { return };
    let count = 333;
    let [first, second] = [checked(count, 0), checked(count, 0)];
    let mut program = program(
        &device,
        &[(&first, &[0, 1]), (&second, &[2, 3])],
        &[(DType::I32, count); 4],
        vec![site("check")],
    );
    let copy = Step::Copy { from: 1, to: 2, dtype: DType::I32, count };
    program.steps.insert(1, copy);
    program.buffers[1].role = Role::Temporary;
    program.buffers[2].role = Role::Temporary;
    program.buffers[3].role = Role::External(1);
    let executable = device.compile(program).unwrap();
    assert_eq!(executable.sources().len(), 2);
    for round in 0..20 {
        let input = device.buffer_from(DType::I32, &words(&vec![round; count])).unwrap();
        let output = device.allocate(DType::I32, count).unwrap();
        executable.run(&[input.clone(), output.clone()]).unwrap();
        let got = device.download(&output, DType::I32, 0, count).unwrap();
        assert_eq!(got, words(&vec![4 * round; count]));
        if round == 3 {
            assert_eq!(executable.profile(&[input.clone(), output]).unwrap().len(), 3);
            assert!(matches!(executable.run(std::slice::from_ref(&input)), Err(Error::Buffer(_))));
            assert!(matches!(
                executable.run(&[input.clone(), device.allocate(DType::I32, 3).unwrap()]),
                Err(Error::Buffer(_))
            ));
        }
    }
}

#[test]
fn a_buffer_that_is_written_is_not_bound_twice() {
    let Some(device) = device() else { return };
    let kernel = checked(10, 0);
    let program = program(&device, &[(&kernel, &[0, 1])], &[(DType::I32, 10); 2], vec![site("check")]);
    let executable = device.compile(program).unwrap();
    let buffer = device.buffer_from(DType::I32, &words(&[0; 10])).unwrap();
    assert!(matches!(executable.run(&[buffer.clone(), buffer]), Err(Error::Buffer(_))));
    device.synchronize().unwrap();
}

#[test]
fn elements_travel_unchanged() {
    let Some(device) = device() else { return };
    for dtype in DType::ALL {
        let size = dtype.host_size();
        let host: Vec<u8> = (0..7 * size)
            .map(|n| match dtype {
                DType::Bool => (n % 2) as u8,
                // No NaN among the halves.
                _ => (n * 7 % 60) as u8,
            })
            .collect();
        if !device.supports(dtype) {
            assert!(matches!(device.buffer_from(dtype, &host), Err(Error::Unsupported { .. })), "{dtype}");
            continue;
        }
        let buffer = device.buffer_from(dtype, &host).unwrap();
        assert_eq!(device.download(&buffer, dtype, 0, 7).unwrap(), host, "{dtype}");
        device.upload(&buffer, dtype, 3, &host[..size]).unwrap();
        let mut want = host.clone();
        want[3 * size..4 * size].copy_from_slice(&host[..size]);
        assert_eq!(device.download(&buffer, dtype, 0, 7).unwrap(), want, "{dtype}");
        assert_eq!(device.download(&buffer, dtype, 3, 2).unwrap(), want[3 * size..5 * size], "{dtype}");
        device.copy(&buffer, 1, &buffer, 4, dtype, 3).unwrap();
        want.copy_within(size..4 * size, 4 * size);
        assert_eq!(device.download(&buffer, dtype, 0, 7).unwrap(), want, "{dtype}");
        assert_eq!(device.download(&buffer, dtype, 7, 0).unwrap(), Vec::<u8>::new());
        let empty = device.allocate(dtype, 0).unwrap();
        assert_eq!(device.download(&empty, dtype, 0, 0).unwrap(), Vec::<u8>::new());
    }
    let large: Vec<u8> = kernels::words(9 << 20, 3).into_iter().flat_map(u32::to_ne_bytes).collect();
    let buffer = device.buffer_from(DType::U32, &large).unwrap();
    assert!(device.download(&buffer, DType::U32, 0, 9 << 20).unwrap() == large);
}

#[test]
fn odd_halves_are_copied_inside_programs() {
    let Some(device) = device() else { return };
    let host: Vec<u8> = (0..10u8).collect();
    let spec = |n| BufferSpec { role: Role::External(n), bytes: 5 * device.element_size(DType::F16) };
    let program = Program {
        buffers: vec![spec(0), spec(1)],
        steps: vec![Step::Copy { from: 0, to: 1, dtype: DType::F16, count: 3 }],
        checks: vec![],
    };
    let from = device.buffer_from(DType::F16, &host).unwrap();
    let to = device.buffer_from(DType::F16, &[0; 10]).unwrap();
    device.compile(program).unwrap().run(&[from, to.clone()]).unwrap();
    let got = device.download(&to, DType::F16, 0, 5).unwrap();
    assert_eq!(got, [0, 1, 2, 3, 4, 5, 0, 0, 0, 0]);
}

#[test]
fn memory_is_counted_and_limited() {
    let Some(device) = device() else { return };
    let limit = device.info().max_buffer_bytes as usize;
    match device.allocate(DType::F32, limit / 4 + 1) {
        Err(Error::Limit { what, .. }) => assert_eq!(what, "buffer"),
        other => panic!("{other:?}"),
    }
    let largest = device.allocate(DType::F32, limit / 4).unwrap();
    assert!(device.memory_in_use() >= largest.bytes() as u64);
}

#[test]
fn unknown_names_say_what_there_is() {
    match Device::open("tpu") {
        Err(Error::UnknownDevice { asked, available, .. }) => {
            assert_eq!(asked, "tpu");
            assert!(available.starts_with("cpu"), "{available}");
        }
        other => panic!("{other:?}"),
    }
}
