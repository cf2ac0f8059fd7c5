//! Every way of reading the operands, on every instruction set, against plain loops.

use std::sync::Mutex;

use super::{ContractKernel, Left, Right};
use crate::cpu::block::{Bases, Launched};
use crate::cpu::isa::Isa;
use crate::cpu::matmul::Kernels;
use crate::dtype::{DType, Value};
use crate::kernel::{Access, Affine, Binding, Body, Guard, Instr, Kernel, Map, Operand, Tape};
use crate::op::BinaryOp;

/// `out[m, n] = Σ_k lhs · rhs + bias[n]`, with these strides of (m, k) and (k, n); rows of the left operand whose
/// position `m + k − 2` is outside `0..m` are zeros where it is `padded`.
fn product(
    [m, n, k]: [usize; 3],
    lhs: [i64; 2],
    rhs: [i64; 2],
    padded: bool,
) -> (Kernel, Operand, Operand, Tape) {
    let affine = |c: [i64; 3], offset| Affine { coefficients: c.into(), offset };
    let plain = |c: [i64; 3]| Map { base: affine(c, 0), guards: vec![] };
    let guard = Guard { position: affine([1, 0, 1], -2), divisor: 1, extent: m as i64, stride: 0 };
    let left = Map { guards: if padded { vec![guard] } else { vec![] }, ..plain([lhs[0], 0, lhs[1]]) };
    let (lhs, rhs) =
        (Operand { buffer: 0, map: left }, Operand { buffer: 1, map: plain([0, rhs[1], rhs[0]]) });
    let epilogue = Tape {
        instrs: vec![
            Instr::Accumulator,
            Instr::Load { buffer: 2, map: plain([0, 1, 0]), fill: Value::F32(0.0) },
            Instr::Binary(BinaryOp::Add, 0, 1),
            Instr::Store { buffer: 3, map: plain([n as i64, 1, 0]), value: 2 },
        ],
    };
    let binding = |access| Binding { dtype: DType::F32, access };
    let kernel = Kernel {
        name: "product".into(),
        rows: vec![m, n],
        inner: vec![k],
        buffers: [Access::Read, Access::Read, Access::Read, Access::Write].map(binding).into(),
        body: Body::Contract {
            batch: 0,
            m: 1,
            lhs: lhs.clone(),
            rhs: rhs.clone(),
            epilogue: epilogue.clone(),
        },
        once: Tape::default(),
    };
    (kernel, lhs, rhs, epilogue)
}

fn reach(map: &Map, extents: [usize; 3]) -> usize {
    map.base.coefficients.iter().zip(extents).map(|(c, e)| *c as usize * (e - 1)).sum::<usize>() + 1
}

/// Computes a product on an instruction set; the forms of its operands, the result, and what it should be.
fn computed(
    isa: Isa,
    sizes: [usize; 3],
    lhs: [i64; 2],
    rhs: [i64; 2],
    padded: bool,
) -> (Left, Right, Vec<[f32; 2]>) {
    let [m, n, k] = sizes;
    let (kernel, lhs, rhs, epilogue) = product(sizes, lhs, rhs, padded);
    let contract = ContractKernel::new(&kernel, (0, 1), (&lhs, &rhs), &epilogue, Kernels::new(isa)).unwrap();
    let number = |i: usize| ((i * 37 + 11) % 23) as f32 - 11.0;
    let mut buffers: Vec<Vec<f32>> = vec![
        (0..reach(&lhs.map, [m, n, k])).map(number).collect(),
        (0..reach(&rhs.map, [m, n, k])).map(|i| number(i + 5)).collect(),
        (0..n).map(number).collect(),
        vec![f32::NAN; m * n],
    ];
    let bases: Vec<*mut u8> = buffers.iter_mut().map(|b| b.as_mut_ptr().cast()).collect();
    let failure = Mutex::new(None);
    // A second run meets the memory of the first.
    for _ in 0..2 {
        contract.run(Launched { isa, bases: Bases(&bases), failure: &failure, number: 0 });
    }
    let mut results = vec![];
    // A sample of a large result.
    for (at, got) in buffers[3].iter().enumerate().step_by(((m * n * k) >> 21).max(1)) {
        let (i, j) = (at / n, at % n);
        let at = |map: &Map, k: usize| map.at(&[i as i64, j as i64, k as i64]).map(|a| a as usize);
        let term = |k: usize| {
            at(&lhs.map, k).map_or(0.0, |a| buffers[0][a]) * buffers[1][at(&rhs.map, k).unwrap_or(0)]
        };
        results.push([*got, (0..k).map(term).sum::<f32>() + buffers[2][j]]);
    }
    (contract.left, contract.right, results)
}

#[test]
fn operands_are_read_in_every_form_on_every_instruction_set() {
    // Sizes; strides of (m, k) and (k, n); guards; the forms that this is about. Whole numbers: every order of a sum
    // gives the same.
    let (w, long) = (32i64, 4096i64);
    let cases = [
        ([29, 70, 50], [50, 1], [70, 1], false, Left::Rows, Right::Packed),
        ([29, 70, 50], [50, 1], [1, 50], false, Left::Rows, Right::Packed),
        ([29, 64, 403], [1, 29], [64, 1], false, Left::Columns, Right::Packed),
        ([29, 33, 403], [3, 90], [1, 403], false, Left::Packed, Right::Packed),
        ([4, 32, long as usize], [long, 1], [w, 1], false, Left::Rows, Right::InPlace(32)),
        ([40, 64, 5], [1, 1], [64, 1], true, Left::Packed, Right::Packed),
        ([1200, 128, 512], [512, 1], [128, 1], false, Left::Rows, Right::Shared),
    ];
    for isa in Isa::runnable() {
        for (sizes, lhs, rhs, padded, left, right) in cases {
            let (found_left, found_right, results) = computed(isa, sizes, lhs, rhs, padded);
            assert_eq!((found_left, found_right), (left, right), "{isa:?} {sizes:?}");
            for (at, [got, want]) in results.iter().enumerate() {
                assert_eq!(got, want, "{isa:?} {sizes:?} {left:?} {right:?} element {at}");
            }
        }
    }
}
