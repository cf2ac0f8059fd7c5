//! Kernels with inner loops, and those on whole arrays.

use super::*;

pub(crate) fn softmax(rows: usize, inner: usize) -> Case {
    let (line, item) = (map(&[inner as i64, 1], 0), map(&[1, 0], 0));
    let instrs = vec![
        load(0, line.clone(), F0),
        Instr::Reduce(ReduceOp::Max, 0),
        Instr::Binary(BinaryOp::Sub, 0, 1),
        Instr::Unary(UnaryOp::Exp, 2),
        Instr::Reduce(ReduceOp::Sum, 3),
        Instr::Binary(BinaryOp::Div, 3, 4),
        store(1, line, 5),
        store(2, item, 1),
    ];
    let phases = vec![
        Phase { each: vec![0], after: vec![1, 7] },
        Phase { each: vec![0, 2, 3], after: vec![4] },
        Phase { each: vec![0, 2, 3, 5, 6], after: vec![] },
    ];
    let body = Body::Row { tape: Tape { instrs }, before: vec![], phases };
    let buffers = [(DType::F32, READ), (DType::F32, WRITE), (DType::F32, WRITE)];
    let n = rows * inner;
    case(kernel("softmax", [&[rows], &[inner]], &buffers, body), vec![floats(n, 20), zeros(n), zeros(rows)])
}

fn reduction(op: ReduceOp, dtype: DType, rows: usize, inner: usize, columns: bool) -> Case {
    let scalar = dtype.scalar();
    let n = rows * inner;
    let data: Vec<Value> = match scalar {
        Scalar::F32 => floats(n, 21),
        Scalar::I32 => integers(n, 22, 10),
        Scalar::F64 | Scalar::I64 => unreachable!("see wide.rs"),
        Scalar::U32 => words(n, 23).into_iter().map(|w| Value::U32(w % 200)).collect(),
        Scalar::Bool => words(n, 24).into_iter().map(|w| Value::Bool(w % 4 != 0)).collect(),
    };
    let from = if columns { map(&[1, rows as i64], 0) } else { map(&[inner as i64, 1], 0) };
    let instrs = vec![load(0, from, Value::zero(scalar)), Instr::Reduce(op, 0), store(1, map(&[1, 0], 0), 1)];
    let body = Body::Row {
        tape: Tape { instrs },
        before: vec![],
        phases: vec![Phase { each: vec![0], after: vec![1, 2] }],
    };
    within(
        3e-5,
        case(
            kernel("reduce", [&[rows], &[inner]], &[(dtype, READ), (dtype, WRITE)], body),
            vec![data, vec![Value::zero(scalar); rows]],
        ),
    )
}

/// Every thread of a row loads the row's state before one of them overwrites it.
fn row_state() -> Case {
    let line = map(&[100, 1], 0);
    let state = map(&[1, 0], 0);
    let instrs = vec![
        load(1, state.clone(), F0),
        load(0, line.clone(), F0),
        Instr::Binary(BinaryOp::Mul, 1, 0),
        store(2, line, 2),
        Instr::Unary(UnaryOp::Neg, 0),
        store(1, state, 4),
    ];
    let body = Body::Row {
        tape: Tape { instrs },
        before: vec![0],
        phases: vec![Phase { each: vec![1, 2, 3], after: vec![4, 5] }],
    };
    let buffers = [(DType::F32, READ), (DType::F32, BOTH), (DType::F32, WRITE)];
    case(
        kernel("row state", [&[9], &[100]], &buffers, body),
        vec![floats(900, 25), floats(9, 26), zeros(900)],
    )
}

pub(super) fn rows() -> Vec<Case> {
    let mut list = vec![softmax(700, 5), softmax(37, 40), softmax(5, 300), softmax(3, 100), row_state()];
    list.push(reduction(ReduceOp::Sum, DType::F32, 33, 0, false));
    list.push(reduction(ReduceOp::Max, DType::F32, 2, 0, false));
    list.push(reduction(ReduceOp::Sum, DType::F32, 0, 4, false));
    list.push(reduction(ReduceOp::Sum, DType::F32, 300, 20, true));
    list.push(reduction(ReduceOp::Sum, DType::F32, 45, 100, true));
    list.push(reduction(ReduceOp::Sum, DType::F32, 45, 1500, true));
    list.push(reduction(ReduceOp::Prod, DType::I32, 5, 21, false));
    list.push(reduction(ReduceOp::Min, DType::U8, 5, 210, false));
    list.push(reduction(ReduceOp::Sum, DType::F16, 5, 21, false));
    list.push(reduction(ReduceOp::Max, DType::Bool, 70, 12, false));
    list.push(reduction(ReduceOp::Min, DType::Bool, 70, 9, true));
    list
}

/// A matrix product with operand layouts, bias and relu.
pub(crate) fn matmul(dtype: DType, [batch, m, n, k]: [usize; 4], transposed: [bool; 2]) -> Case {
    let scalar = dtype.scalar();
    let (bi, mi, ni, ki) = (batch as i64, m as i64, n as i64, k as i64);
    let lhs = if transposed[0] { map(&[mi * ki, 1, 0, mi], 0) } else { map(&[mi * ki, ki, 0, 1], 0) };
    let rhs = if transposed[1] { map(&[ki * ni, 0, ki, 1], 0) } else { map(&[ki * ni, 0, 1, ni], 0) };
    let operand = |buffer, map| Operand { buffer, map };
    let instrs = vec![
        Instr::Accumulator,
        load(2, map(&[0, 0, 1, 0], 0), Value::zero(scalar)),
        Instr::Binary(BinaryOp::Add, 0, 1),
        Instr::Const(Value::zero(scalar)),
        Instr::Binary(BinaryOp::Max, 2, 3),
        store(3, map(&[mi * ni, ni, 1, 0], 0), 4),
    ];
    let body = Body::Contract {
        batch: 1,
        m: 1,
        lhs: operand(0, lhs),
        rhs: operand(1, rhs),
        epilogue: Tape { instrs },
    };
    let data = |count, seed| match scalar {
        Scalar::I32 => integers(count, seed, 9),
        _ => floats(count, seed),
    };
    let zero = vec![Value::zero(scalar); (bi * mi * ni) as usize];
    let buffers = [(dtype, READ), (dtype, READ), (dtype, READ), (dtype, WRITE)];
    within(
        2e-4,
        case(
            kernel("matmul", [&[batch, m, n], &[k]], &buffers, body),
            vec![data(batch * m * k, 30), data(batch * k * n, 31), data(n, 32), zero],
        ),
    )
}

/// A padded 3×3 convolution, stride 2: images [2, 7, 8, 3], filters [3, 3, 3, 4].
fn convolution() -> Case {
    let images = Map {
        base: affine(&[168, 0, 0, 0, 0, 0, 1], 0),
        guards: vec![
            guard(affine(&[0, 2, 0, 0, 1, 0, 0], -1), 1, 7, 24),
            guard(affine(&[0, 0, 2, 0, 0, 1, 0], -1), 1, 8, 3),
        ],
    };
    let filters = map(&[0, 0, 0, 1, 36, 12, 4], 0);
    let instrs = vec![Instr::Accumulator, store(2, map(&[64, 16, 4, 1, 0, 0, 0], 0), 0)];
    let body = Body::Contract {
        batch: 0,
        m: 3,
        lhs: Operand { buffer: 0, map: images },
        rhs: Operand { buffer: 1, map: filters },
        epilogue: Tape { instrs },
    };
    let buffers = [(DType::F32, READ), (DType::F32, READ), (DType::F32, WRITE)];
    within(
        1e-4,
        case(
            kernel("convolution", [&[2, 4, 4, 4], &[3, 3, 3]], &buffers, body),
            vec![floats(336, 33), floats(108, 34), zeros(128)],
        ),
    )
}

pub(super) fn contractions() -> Vec<Case> {
    let plain = [false, false];
    vec![
        matmul(DType::F32, [1, 33, 35, 37], plain),
        matmul(DType::F32, [3, 20, 40, 9], [true, true]),
        matmul(DType::F32, [2, 32, 32, 32], [false, true]),
        matmul(DType::F32, [1, 5, 6, 0], plain),
        matmul(DType::F32, [1, 1, 70, 90], plain),
        matmul(DType::F32, [2, 50, 1, 90], plain),
        matmul(DType::F32, [1, 3, 4, 3000], plain),
        matmul(DType::I32, [1, 9, 8, 20], plain),
        matmul(DType::F16, [1, 33, 8, 20], plain),
        matmul(DType::F32, [16, 70, 128, 5], plain),
        matmul(DType::F32, [32, 130, 129, 17], [true, false]),
        matmul(DType::F32, [2, 40, 33, 2048], [true, false]),
        matmul(DType::I32, [1, 16, 20, 768], plain),
        convolution(),
    ]
}

fn scatter(op: ScatterOp, dtype: DType, targets: usize, updates: usize, width: usize) -> Case {
    let scalar = dtype.scalar();
    let data = |count, seed| match scalar {
        Scalar::I32 => integers(count, seed, 100),
        _ => floats(count, seed),
    };
    let body = Body::Scatter { op, targets, updates, width };
    let buffers = [(dtype, READ), (DType::I32, READ), (dtype, READ), (dtype, WRITE)];
    let indices = integers(updates, 40, targets as u32 * 3);
    let zero = vec![Value::zero(scalar); targets * width];
    within(
        1e-5,
        case(
            kernel("scatter", [&[], &[]], &buffers, body),
            vec![data(targets * width, 41), indices, data(updates * width, 42), zero],
        ),
    )
}

fn sort(dtype: DType, lines: usize, length: usize, descending: bool) -> Case {
    let keys: Vec<Value> = match dtype.scalar() {
        Scalar::F32 => {
            let special = [f32::NAN, 0.0, -0.0, f32::INFINITY, f32::NEG_INFINITY];
            let mut list = floats(lines * length, 50);
            for (at, value) in list.iter_mut().enumerate() {
                if at % 3 == 0 {
                    *value = Value::F32(special[(at / 3) % 5]);
                }
            }
            list
        }
        Scalar::I32 => integers(lines * length, 51, 50),
        Scalar::F64 | Scalar::I64 => unreachable!("see wide.rs"),
        Scalar::U32 => words(lines * length, 52).into_iter().map(|w| Value::U32(w % 256)).collect(),
        Scalar::Bool => words(lines * length, 53).into_iter().map(|w| Value::Bool(w & 8 == 0)).collect(),
    };
    let body = Body::Sort { lines, length, descending };
    let n = lines * length;
    case(
        kernel("sort", [&[], &[]], &[(dtype, READ), (dtype, WRITE), (DType::I32, WRITE)], body),
        vec![keys, vec![Value::zero(dtype.scalar()); n], vec![Value::I32(0); n]],
    )
}

pub(crate) fn scan(op: ReduceOp, dtype: DType, [outer, length, inner]: [usize; 3], reverse: bool) -> Case {
    let n = outer * length * inner;
    let data = match dtype.scalar() {
        Scalar::I32 => integers(n, 60, 9),
        _ => floats(n, 61),
    };
    let body = Body::Scan { op, outer, length, inner, reverse };
    within(
        1e-5,
        case(
            kernel("scan", [&[], &[]], &[(dtype, READ), (dtype, WRITE)], body),
            vec![data, vec![Value::zero(dtype.scalar()); n]],
        ),
    )
}

pub(super) fn arrays() -> Vec<Case> {
    vec![
        scatter(ScatterOp::Fold(ReduceOp::Sum), DType::F32, 7, 600, 3),
        scatter(ScatterOp::Fold(ReduceOp::Max), DType::I32, 5, 9, 300),
        scatter(ScatterOp::Set, DType::F32, 4, 40, 2),
        scatter(ScatterOp::Set, DType::F16, 4, 0, 2),
        sort(DType::F32, 3, 100, false),
        sort(DType::F32, 2, 33, true),
        sort(DType::I32, 2, 1, true),
        sort(DType::U8, 1, 300, true),
        sort(DType::Bool, 2, 20, false),
        sort(DType::I32, 1, 2100, false),
        scan(ReduceOp::Sum, DType::F32, [3, 20, 5], false),
        scan(ReduceOp::Prod, DType::F32, [2, 9, 1], true),
        scan(ReduceOp::Max, DType::I32, [300, 4, 1], true),
    ]
}
