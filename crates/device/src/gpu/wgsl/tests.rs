//! Texts of kernels, validated without a device.

use super::contract::{LARGE, MIDDLE};
use super::{Target, print};
use crate::kernel::{Body, Kernel};

mod api {
    pub(crate) use crate::*;
}
#[path = "../../../tests/common/kernels/mod.rs"]
mod kernels;

fn validate(name: &str, text: &str) {
    let module = naga::front::wgsl::parse_str(text)
        .unwrap_or_else(|e| panic!("{name}: {}\n{text}", e.emit_to_string(text)));
    let mut validator = naga::valid::Validator::new(
        naga::valid::ValidationFlags::all(),
        naga::valid::Capabilities::SHADER_FLOAT16,
    );
    if let Err(error) = validator.validate(&module) {
        panic!("{name}: {}\n{text}", error.emit_to_string(text));
    }
}

fn text(kernel: &Kernel) -> String {
    kernel.verify().unwrap();
    print(kernel, Target { f16: true }).unwrap().text
}

#[test]
fn every_text_is_valid_with_and_without_half_precision() {
    for f16 in [false, true] {
        for case in kernels::cases() {
            case.kernel.verify().unwrap();
            assert!(case.tolerance < 1e-3 && case.data.len() == case.kernel.buffers.len());
            let printed = print(&case.kernel, Target { f16 }).unwrap();
            validate(&case.kernel.name, &printed.text);
            assert!(f16 || !printed.text.contains("f16;"));
        }
    }
}

#[test]
fn long_sums_are_split_into_valid_kernels() {
    let case = kernels::bodies::matmul(crate::DType::F32, [2, 40, 33, 2048], [true, false]);
    let split = super::split::split(&case.kernel).unwrap().unwrap();
    for kernel in [&split.partial, &split.total] {
        validate(&kernel.name, &text(kernel));
    }
    assert_eq!(split.partial.rows, [16, 2, 40, 33]);
    assert_eq!(split.partial.inner, [128]);
    assert_eq!(split.bytes, 16 * 2 * 40 * 33 * 4);
    let short = kernels::bodies::matmul(crate::DType::F32, [2, 40, 33, 100], [true, false]);
    assert!(super::split::split(&short.kernel).unwrap().is_none());
}

#[test]
fn sizes_and_constants_are_not_in_the_text() {
    let pairs = [
        (kernels::bodies::softmax(700, 305), kernels::bodies::softmax(3, 400)),
        (
            kernels::bodies::matmul(crate::DType::F32, [2, 20, 30, 40], [false, true]),
            kernels::bodies::matmul(crate::DType::F32, [7, 19, 33, 50], [false, true]),
        ),
        (
            kernels::bodies::scan(crate::ReduceOp::Sum, crate::DType::F32, [3, 4, 5], true),
            kernels::bodies::scan(crate::ReduceOp::Sum, crate::DType::F32, [6, 9, 1], true),
        ),
    ];
    for (a, b) in pairs {
        assert_ne!(a.kernel, b.kernel);
        assert_eq!(text(&a.kernel), text(&b.kernel));
    }
}

#[test]
fn a_contiguous_kernel_divides_nothing() {
    let rows = [4, 5, 6];
    let map = kernels::map(&[30, 6, 1], 0);
    let instrs = vec![kernels::load(0, map.clone(), crate::Value::F32(0.0)), kernels::store(1, map, 0)];
    let buffers = [(crate::DType::F32, kernels::READ), (crate::DType::F32, kernels::WRITE)];
    let kernel = kernels::kernel("copy", [&rows, &[]], &buffers, kernels::map_body(instrs));
    let text = text(&kernel);
    assert!(!text.contains('/') && !text.contains('%'), "{text}");
}

#[test]
fn tiles_grow_with_the_problem() {
    let threads = |sizes| {
        let case = kernels::bodies::matmul(crate::DType::F32, sizes, [false, false]);
        let text = text(&case.kernel);
        let at = text.find("lhs_tile: array<vec4<f32>, ").unwrap();
        text[at + 27..].split('>').next().unwrap().parse::<usize>().unwrap()
    };
    let pitch = |side: usize| 16 * (side / 4 + 1);
    assert_eq!(threads([1, 40, 40, 40]), pitch(32));
    assert_eq!(threads([1, 512, 512, 64]), pitch(MIDDLE.side));
    assert_eq!(threads([1, 2048, 2048, 64]), pitch(LARGE.side));
}

#[test]
fn too_large_a_loop_is_an_error() {
    let mut kernel = kernels::bodies::matmul(crate::DType::F32, [1, 3, 3, 3], [false, false]).kernel;
    kernel.rows = vec![1 << 20, 1 << 20, 1 << 20];
    assert!(print(&kernel, Target { f16: false }).is_err());
    kernel.body = Body::Sort { lines: 1 << 20, length: 1 << 20, descending: false };
    assert!(print(&kernel, Target { f16: false }).is_err());
}
