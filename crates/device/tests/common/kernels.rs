//! Kernels by hand, with data: every body, instruction and element type. Shared by the printer's tests, which validate
//! the texts without a device, and by the executor's, which run them.

use super::api::*;

/// A kernel and the first contents of its buffers.
pub struct Case {
    pub kernel: Kernel,
    pub data: Vec<Vec<Value>>,
    /// Allowed difference, relative to the larger of 1 and the value.
    pub tolerance: f32,
}

pub fn affine(coefficients: &[i64], offset: i64) -> Affine {
    Affine {
        coefficients: coefficients.to_vec(),
        offset,
    }
}

pub fn map(coefficients: &[i64], offset: i64) -> Map {
    Map {
        base: affine(coefficients, offset),
        guards: vec![],
    }
}

fn guard(position: Affine, divisor: i64, extent: i64, stride: i64) -> Guard {
    Guard {
        position,
        divisor,
        extent,
        stride,
    }
}

pub fn load(buffer: usize, map: Map, fill: Value) -> Instr {
    Instr::Load { buffer, map, fill }
}

pub fn store(buffer: usize, map: Map, value: Reg) -> Instr {
    Instr::Store { buffer, map, value }
}

pub fn kernel(name: &str, loops: [&[usize]; 2], buffers: &[(DType, Access)], body: Body) -> Kernel {
    Kernel {
        name: name.into(),
        rows: loops[0].to_vec(),
        inner: loops[1].to_vec(),
        buffers: buffers
            .iter()
            .map(|(dtype, access)| Binding {
                dtype: *dtype,
                access: *access,
            })
            .collect(),
        body,
        once: Tape::default(),
    }
}

pub fn map_body(instrs: Vec<Instr>) -> Body {
    Body::Map(Tape { instrs })
}

pub const READ: Access = Access::Read;
pub const WRITE: Access = Access::Write;
pub const BOTH: Access = Access::ReadWrite;

const F0: Value = Value::F32(0.0);

/// Reproducible numbers in −2..2.
pub fn floats(count: usize, seed: u32) -> Vec<Value> {
    words(count, seed)
        .into_iter()
        .map(|w| Value::F32((w >> 8) as f32 / (1 << 22) as f32 - 2.0))
        .collect()
}

pub fn words(count: usize, seed: u32) -> Vec<u32> {
    let mut state = seed.wrapping_mul(2_654_435_769).wrapping_add(12345);
    (0..count)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            state
        })
        .collect()
}

fn integers(count: usize, seed: u32, range: u32) -> Vec<Value> {
    let half = (range / 2) as i32;
    words(count, seed)
        .into_iter()
        .map(|w| Value::I32((w % range) as i32 - half))
        .collect()
}

fn zeros(count: usize) -> Vec<Value> {
    vec![F0; count]
}

fn case(kernel: Kernel, data: Vec<Vec<Value>>) -> Case {
    Case {
        kernel,
        data,
        tolerance: 2e-6,
    }
}

fn within(tolerance: f32, case: Case) -> Case {
    Case { tolerance, ..case }
}

/// All of them.
pub fn cases() -> Vec<Case> {
    let mut cases = vec![
        unary_f32(),
        binary_f32(),
        compares(),
        booleans(),
        casts(),
        random(),
        gather(),
    ];
    cases.extend([integers_of(Scalar::I32), integers_of(Scalar::U32)]);
    cases.extend(DType::ALL.map(copy_of));
    cases.extend(loops());
    cases.extend(rows());
    cases.extend(contractions());
    cases.extend(arrays());
    cases
}

fn special_floats() -> Vec<Value> {
    let special = [
        0.0, -0.0, 1.0, -1.0, 0.5, 2.0, 3.5, -2.5, 88.0, -88.0, 1e-4, 1e20, -1e20,
    ];
    let infinite = [f32::INFINITY, f32::NEG_INFINITY, f32::NAN];
    let mut list: Vec<Value> = special.iter().chain(&infinite).map(|v| Value::F32(*v)).collect();
    list.extend(floats(300, 7));
    list
}

fn unary_f32() -> Case {
    let x = special_floats();
    let n = x.len();
    let mut instrs = vec![load(0, map(&[1], 0), F0)];
    let mut slot = 0;
    for op in UnaryOp::ALL
        .iter()
        .filter(|op| op.result(Scalar::F32) == Some(Scalar::F32))
    {
        instrs.push(Instr::Unary(*op, 0));
        let value = instrs.len() as Reg - 1;
        instrs.push(store(1, map(&[1], (slot * n) as i64), value));
        slot += 1;
    }
    let buffers = [(DType::F32, READ), (DType::F32, WRITE)];
    case(
        kernel("unary", [&[n], &[]], &buffers, map_body(instrs)),
        vec![x, zeros(slot * n)],
    )
}

fn binary_f32() -> Case {
    let x = special_floats();
    let n = x.len();
    let mut y = special_floats();
    y.rotate_left(5);
    let mut instrs = vec![load(0, map(&[1], 0), F0), load(1, map(&[1], 0), F0)];
    let mut slot = 0;
    for op in BinaryOp::ALL.iter().filter(|op| op.accepts(Scalar::F32)) {
        instrs.push(Instr::Binary(*op, 0, 1));
        let value = instrs.len() as Reg - 1;
        instrs.push(store(2, map(&[1], (slot * n) as i64), value));
        slot += 1;
    }
    let buffers = [(DType::F32, READ), (DType::F32, READ), (DType::F32, WRITE)];
    case(
        kernel("binary", [&[n], &[]], &buffers, map_body(instrs)),
        vec![x, y, zeros(slot * n)],
    )
}

fn compares() -> Case {
    let x = special_floats();
    let n = x.len();
    let mut y = special_floats();
    y.rotate_left(1);
    let mut instrs = vec![load(0, map(&[1], 0), F0), load(1, map(&[1], 0), F0)];
    let mut slot = 0;
    for op in CompareOp::ALL {
        for b in [0, 1] {
            instrs.push(Instr::Compare(*op, 0, b));
            let value = instrs.len() as Reg - 1;
            instrs.push(store(2, map(&[1], (slot * n) as i64), value));
            slot += 1;
        }
    }
    instrs.push(Instr::Unary(UnaryOp::IsNan, 0));
    let nan = instrs.len() as Reg - 1;
    instrs.push(store(2, map(&[1], (slot * n) as i64), nan));
    let buffers = [(DType::F32, READ), (DType::F32, READ), (DType::Bool, WRITE)];
    case(
        kernel("compare", [&[n], &[]], &buffers, map_body(instrs)),
        vec![x, y, vec![Value::Bool(false); (slot + 1) * n]],
    )
}

fn booleans() -> Case {
    let bits = |seed| {
        words(300, seed)
            .into_iter()
            .map(|w| Value::Bool(w & 64 == 0))
            .collect::<Vec<_>>()
    };
    let mut instrs = vec![
        load(0, map(&[1], 0), Value::Bool(false)),
        load(1, map(&[1], 0), Value::Bool(false)),
    ];
    let mut results = vec![];
    for op in BinaryOp::ALL.iter().filter(|op| op.accepts(Scalar::Bool)) {
        results.push(Instr::Binary(*op, 0, 1));
    }
    for op in CompareOp::ALL {
        results.push(Instr::Compare(*op, 0, 1));
    }
    results.push(Instr::Unary(UnaryOp::Not, 0));
    results.push(Instr::Select(0, 1, 0));
    let slots = results.len();
    for (slot, result) in results.into_iter().enumerate() {
        instrs.push(result);
        let value = instrs.len() as Reg - 1;
        instrs.push(store(2, map(&[1], slot as i64 * 300), value));
    }
    let buffers = [(DType::Bool, READ), (DType::Bool, READ), (DType::Bool, WRITE)];
    case(
        kernel("bool", [&[300], &[]], &buffers, map_body(instrs)),
        vec![bits(1), bits(2), vec![Value::Bool(false); slots * 300]],
    )
}

fn integers_of(scalar: Scalar) -> Case {
    let dtype = if scalar == Scalar::I32 {
        DType::I32
    } else {
        DType::U32
    };
    let of = |w: u32| match scalar {
        Scalar::I32 => Value::I32(w as i32),
        _ => Value::U32(w),
    };
    let mut x: Vec<Value> = words(300, 3).into_iter().map(of).collect();
    let mut y: Vec<Value> = words(300, 4).into_iter().map(|w| of(w % 40)).collect();
    for (at, (a, b)) in [
        (0, 0),
        (5, 0),
        (u32::MAX - 4, 3),
        (7, u32::MAX - 2),
        (1 << 31, u32::MAX),
        (9, 33),
    ]
    .iter()
    .enumerate()
    {
        (x[at], y[at]) = (of(*a), of(*b));
    }
    let zero = Value::zero(scalar);
    let mut instrs = vec![load(0, map(&[1], 0), zero), load(1, map(&[1], 0), zero)];
    let mut results = vec![];
    for op in BinaryOp::ALL.iter().filter(|op| op.accepts(scalar)) {
        results.push(Instr::Binary(*op, 0, 1));
    }
    for op in UnaryOp::ALL.iter().filter(|op| op.result(scalar) == Some(scalar)) {
        results.push(Instr::Unary(*op, 0));
    }
    results.push(Instr::Const(of(12345)));
    let slots = results.len();
    for (slot, result) in results.into_iter().enumerate() {
        instrs.push(result);
        let value = instrs.len() as Reg - 1;
        instrs.push(store(2, map(&[1], slot as i64 * 300), value));
    }
    let buffers = [(dtype, READ), (dtype, READ), (dtype, WRITE)];
    case(
        kernel("integers", [&[300], &[]], &buffers, map_body(instrs)),
        vec![x, y, vec![zero; slots * 300]],
    )
}

fn casts() -> Case {
    let mut x = special_floats();
    x.extend([3e9, -3e9, 5e9, 2147483647.0, -0.75, 255.5].map(Value::F32));
    let n = x.len();
    let s = |slot: usize| map(&[1], (slot * n) as i64);
    let instrs = vec![
        load(0, map(&[1], 0), F0),
        Instr::Cast(Scalar::I32, 0),
        store(1, s(0), 1),
        Instr::Cast(Scalar::U32, 0),
        Instr::Bitcast(Scalar::I32, 3),
        store(1, s(1), 4),
        Instr::Cast(Scalar::Bool, 0),
        Instr::Cast(Scalar::I32, 6),
        store(1, s(2), 7),
        Instr::Cast(Scalar::F32, 1),
        store(2, s(0), 9),
        Instr::Cast(Scalar::F32, 3),
        store(2, s(1), 11),
        Instr::Round(DType::F16, 0),
        store(2, s(2), 13),
        Instr::Round(DType::BF16, 0),
        store(2, s(3), 15),
        Instr::Const(Value::F32(f32::INFINITY)),
        Instr::Select(6, 17, 0),
        store(2, s(4), 18),
        Instr::Cast(Scalar::F32, 6),
        store(2, s(5), 20),
    ];
    let buffers = [(DType::F32, READ), (DType::I32, WRITE), (DType::F32, WRITE)];
    case(
        kernel("casts", [&[n], &[]], &buffers, map_body(instrs)),
        vec![x, vec![Value::I32(0); 3 * n], zeros(6 * n)],
    )
}

fn random() -> Case {
    let instrs = vec![
        Instr::Const(Value::U32(0x1234_5678)),
        Instr::Const(Value::U32(1)),
        Instr::Index(affine(&[1], 3)),
        Instr::Bitcast(Scalar::U32, 2),
        Instr::Random {
            key: [0, 1],
            counter: 3,
        },
        store(0, map(&[1], 0), 4),
    ];
    case(
        kernel("random", [&[500], &[]], &[(DType::U32, WRITE)], map_body(instrs)),
        vec![vec![Value::U32(0); 500]],
    )
}

fn gather() -> Case {
    let instrs = vec![
        load(0, map(&[1], 0), Value::I32(0)),
        Instr::LoadAt {
            buffer: 1,
            index: 0,
            len: 20,
        },
        store(2, map(&[1], 0), 1),
    ];
    let buffers = [(DType::I32, READ), (DType::F32, READ), (DType::F32, WRITE)];
    case(
        kernel("gather", [&[100], &[]], &buffers, map_body(instrs)),
        vec![integers(100, 5, 60), floats(20, 6), zeros(100)],
    )
}

/// Copies and doubles an array of every element type, the count odd.
fn copy_of(dtype: DType) -> Case {
    let scalar = dtype.scalar();
    let data: Vec<Value> = match scalar {
        Scalar::F32 => floats(333, 8),
        Scalar::I32 => integers(333, 9, 1000),
        Scalar::U32 => words(333, 10).into_iter().map(|w| Value::U32(w % 256)).collect(),
        Scalar::Bool => words(333, 11)
            .into_iter()
            .map(|w| Value::Bool(w & 32 == 0))
            .collect(),
    };
    let mut instrs = vec![
        load(0, map(&[1], 0), Value::zero(scalar)),
        store(1, map(&[1], 0), 0),
    ];
    if scalar != Scalar::Bool {
        instrs.push(Instr::Binary(BinaryOp::Add, 0, 0));
        instrs.push(store(1, map(&[1], 333), 2));
    }
    let buffers = [(dtype, READ), (dtype, WRITE)];
    case(
        kernel("copy", [&[333], &[]], &buffers, map_body(instrs)),
        vec![data, vec![Value::zero(scalar); 666]],
    )
}

/// Addresses: transposed, guarded, divided, empty, single, in place, once.
fn loops() -> Vec<Case> {
    let buffers = [(DType::F32, READ), (DType::F32, WRITE)];
    let copy = |name, rows: &[usize], from: Map, to: Map, sizes: [usize; 2]| {
        let instrs = vec![load(0, from, Value::F32(-7.5)), store(1, to, 0)];
        case(
            kernel(name, [rows, &[]], &buffers, map_body(instrs)),
            vec![floats(sizes[0], 12), zeros(sizes[1])],
        )
    };
    let padded = Map {
        base: affine(&[20, 0, 0], 0),
        guards: vec![
            guard(affine(&[0, 1, 0], -1), 1, 4, 5),
            guard(affine(&[0, 0, 1], -2), 1, 5, 1),
        ],
    };
    let dilated = Map {
        base: affine(&[0], 0),
        guards: vec![guard(affine(&[1], -2), 3, 6, 1)],
    };
    let masked_store = Map {
        base: affine(&[1], 0),
        guards: vec![guard(affine(&[1], -3), 1, 5, 0)],
    };
    let mut list = vec![
        copy(
            "transpose",
            &[7, 30, 5],
            map(&[150, 1, 30], 0),
            map(&[150, 5, 1], 0),
            [1050, 1050],
        ),
        copy("reverse", &[50], map(&[-1], 49), map(&[1], 0), [50, 50]),
        copy("pad", &[3, 6, 9], padded, map(&[54, 9, 1], 0), [60, 162]),
        copy("dilate", &[23], dilated, map(&[1], 0), [6, 23]),
        copy("masked", &[12], map(&[1], 0), masked_store, [12, 12]),
        copy("point", &[], map(&[], 2), map(&[], 1), [4, 3]),
        copy("empty", &[3, 0], map(&[0, 1], 0), map(&[0, 1], 0), [1, 1]),
    ];
    let mut once = copy("once", &[5, 0], map(&[1, 1], 0), map(&[1, 1], 0), [5, 5]);
    once.kernel.buffers.push(Binding {
        dtype: DType::I32,
        access: BOTH,
    });
    once.data.push(vec![Value::I32(41), Value::I32(7)]);
    once.kernel.once.instrs = vec![
        load(2, map(&[9, 9], 0), Value::I32(0)),
        Instr::Const(Value::I32(1)),
        Instr::Binary(BinaryOp::Add, 0, 1),
        store(2, map(&[9, 9], 0), 2),
    ];
    let mut beside = copy(
        "once beside",
        &[300, 1],
        map(&[1, 1], 0),
        map(&[1, 1], 0),
        [300, 300],
    );
    beside.kernel.buffers.push(once.kernel.buffers[2]);
    beside.kernel.once = once.kernel.once.clone();
    beside.data.push(once.data[2].clone());
    let place = vec![
        load(0, map(&[1], 0), F0),
        Instr::Const(Value::F32(3.25)),
        Instr::Binary(BinaryOp::Mul, 0, 1),
        store(0, map(&[1], 0), 2),
    ];
    list.push(case(
        kernel("in place", [&[70], &[]], &[(DType::F32, BOTH)], map_body(place)),
        vec![floats(70, 13)],
    ));
    list.extend([once, beside]);
    list
}

fn softmax(rows: usize, inner: usize) -> Case {
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
        Phase {
            each: vec![0],
            after: vec![1, 7],
        },
        Phase {
            each: vec![0, 2, 3],
            after: vec![4],
        },
        Phase {
            each: vec![0, 2, 3, 5, 6],
            after: vec![],
        },
    ];
    let body = Body::Row {
        tape: Tape { instrs },
        before: vec![],
        phases,
    };
    let buffers = [(DType::F32, READ), (DType::F32, WRITE), (DType::F32, WRITE)];
    let n = rows * inner;
    case(
        kernel("softmax", [&[rows], &[inner]], &buffers, body),
        vec![floats(n, 20), zeros(n), zeros(rows)],
    )
}

fn reduction(op: ReduceOp, dtype: DType, rows: usize, inner: usize, columns: bool) -> Case {
    let scalar = dtype.scalar();
    let n = rows * inner;
    let data: Vec<Value> = match scalar {
        Scalar::F32 => floats(n, 21),
        Scalar::I32 => integers(n, 22, 10),
        Scalar::U32 => words(n, 23).into_iter().map(|w| Value::U32(w % 200)).collect(),
        Scalar::Bool => words(n, 24)
            .into_iter()
            .map(|w| Value::Bool(w % 4 != 0))
            .collect(),
    };
    let from = if columns {
        map(&[1, rows as i64], 0)
    } else {
        map(&[inner as i64, 1], 0)
    };
    let instrs = vec![
        load(0, from, Value::zero(scalar)),
        Instr::Reduce(op, 0),
        store(1, map(&[1, 0], 0), 1),
    ];
    let body = Body::Row {
        tape: Tape { instrs },
        before: vec![],
        phases: vec![Phase {
            each: vec![0],
            after: vec![1, 2],
        }],
    };
    within(
        3e-5,
        case(
            kernel(
                "reduce",
                [&[rows], &[inner]],
                &[(dtype, READ), (dtype, WRITE)],
                body,
            ),
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
        phases: vec![Phase {
            each: vec![1, 2, 3],
            after: vec![4, 5],
        }],
    };
    let buffers = [(DType::F32, READ), (DType::F32, BOTH), (DType::F32, WRITE)];
    case(
        kernel("row state", [&[9], &[100]], &buffers, body),
        vec![floats(900, 25), floats(9, 26), zeros(900)],
    )
}

fn rows() -> Vec<Case> {
    let mut list = vec![
        softmax(700, 5),
        softmax(37, 40),
        softmax(5, 300),
        softmax(3, 100),
        row_state(),
    ];
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
fn matmul(dtype: DType, [batch, m, n, k]: [usize; 4], transposed: [bool; 2]) -> Case {
    let scalar = dtype.scalar();
    let (bi, mi, ni, ki) = (batch as i64, m as i64, n as i64, k as i64);
    let lhs = if transposed[0] {
        map(&[mi * ki, 1, 0, mi], 0)
    } else {
        map(&[mi * ki, ki, 0, 1], 0)
    };
    let rhs = if transposed[1] {
        map(&[ki * ni, 0, ki, 1], 0)
    } else {
        map(&[ki * ni, 0, 1, ni], 0)
    };
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
            vec![
                data(batch * m * k, 30),
                data(batch * k * n, 31),
                data(n, 32),
                zero,
            ],
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
        lhs: Operand {
            buffer: 0,
            map: images,
        },
        rhs: Operand {
            buffer: 1,
            map: filters,
        },
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

fn contractions() -> Vec<Case> {
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
        convolution(),
    ]
}

fn scatter(op: ScatterOp, dtype: DType, targets: usize, updates: usize, width: usize) -> Case {
    let scalar = dtype.scalar();
    let data = |count, seed| match scalar {
        Scalar::I32 => integers(count, seed, 100),
        _ => floats(count, seed),
    };
    let body = Body::Scatter {
        op,
        targets,
        updates,
        width,
    };
    let buffers = [(dtype, READ), (DType::I32, READ), (dtype, READ), (dtype, WRITE)];
    let indices = integers(updates, 40, targets as u32 * 3);
    let zero = vec![Value::zero(scalar); targets * width];
    within(
        1e-5,
        case(
            kernel("scatter", [&[], &[]], &buffers, body),
            vec![
                data(targets * width, 41),
                indices,
                data(updates * width, 42),
                zero,
            ],
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
        Scalar::U32 => words(lines * length, 52)
            .into_iter()
            .map(|w| Value::U32(w % 256))
            .collect(),
        Scalar::Bool => words(lines * length, 53)
            .into_iter()
            .map(|w| Value::Bool(w & 8 == 0))
            .collect(),
    };
    let body = Body::Sort {
        lines,
        length,
        descending,
    };
    let n = lines * length;
    case(
        kernel(
            "sort",
            [&[], &[]],
            &[(dtype, READ), (dtype, WRITE), (DType::I32, WRITE)],
            body,
        ),
        vec![keys, vec![Value::zero(dtype.scalar()); n], vec![Value::I32(0); n]],
    )
}

fn scan(op: ReduceOp, dtype: DType, [outer, length, inner]: [usize; 3], reverse: bool) -> Case {
    let n = outer * length * inner;
    let data = match dtype.scalar() {
        Scalar::I32 => integers(n, 60, 9),
        _ => floats(n, 61),
    };
    let body = Body::Scan {
        op,
        outer,
        length,
        inner,
        reverse,
    };
    within(
        1e-5,
        case(
            kernel("scan", [&[], &[]], &[(dtype, READ), (dtype, WRITE)], body),
            vec![data, vec![Value::zero(dtype.scalar()); n]],
        ),
    )
}

fn arrays() -> Vec<Case> {
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
