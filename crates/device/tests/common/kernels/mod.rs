//! Kernels by hand, with data: every body, instruction and element type. Shared by the printer's tests, which validate
//! the texts without a device, and by the executor's, which run them.

use super::api::*;

pub(crate) mod bodies;

/// A kernel and the first contents of its buffers.
pub(crate) struct Case {
    pub(crate) kernel: Kernel,
    pub(crate) data: Vec<Vec<Value>>,
    /// Allowed difference, relative to the larger of 1 and the value.
    pub(crate) tolerance: f32,
}

pub(crate) fn affine(coefficients: &[i64], offset: i64) -> Affine {
    Affine { coefficients: coefficients.to_vec(), offset }
}

pub(crate) fn map(coefficients: &[i64], offset: i64) -> Map {
    Map { base: affine(coefficients, offset), guards: vec![] }
}

fn guard(position: Affine, divisor: i64, extent: i64, stride: i64) -> Guard {
    Guard { position, divisor, extent, stride }
}

pub(crate) fn load(buffer: usize, map: Map, fill: Value) -> Instr {
    Instr::Load { buffer, map, fill }
}

pub(crate) fn store(buffer: usize, map: Map, value: Reg) -> Instr {
    Instr::Store { buffer, map, value }
}

pub(crate) fn kernel(name: &str, loops: [&[usize]; 2], buffers: &[(DType, Access)], body: Body) -> Kernel {
    Kernel {
        name: name.into(),
        rows: loops[0].to_vec(),
        inner: loops[1].to_vec(),
        buffers: buffers.iter().map(|(dtype, access)| Binding { dtype: *dtype, access: *access }).collect(),
        body,
        once: Tape::default(),
    }
}

pub(crate) fn map_body(instrs: Vec<Instr>) -> Body {
    Body::Map(Tape { instrs })
}

pub(crate) const READ: Access = Access::Read;
pub(crate) const WRITE: Access = Access::Write;
pub(crate) const BOTH: Access = Access::ReadWrite;

const F0: Value = Value::F32(0.0);

/// Reproducible numbers in −2..2.
pub(crate) fn floats(count: usize, seed: u32) -> Vec<Value> {
    words(count, seed).into_iter().map(|w| Value::F32((w >> 8) as f32 / (1 << 22) as f32 - 2.0)).collect()
}

pub(crate) fn words(count: usize, seed: u32) -> Vec<u32> {
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
    words(count, seed).into_iter().map(|w| Value::I32((w % range) as i32 - half)).collect()
}

fn zeros(count: usize) -> Vec<Value> {
    vec![F0; count]
}

fn case(kernel: Kernel, data: Vec<Vec<Value>>) -> Case {
    Case { kernel, data, tolerance: 2e-6 }
}

fn within(tolerance: f32, case: Case) -> Case {
    Case { tolerance, ..case }
}

/// All of them.
pub(crate) fn cases() -> Vec<Case> {
    let mut cases = vec![unary_f32(), binary_f32(), compares(), booleans(), casts(), random(), gather()];
    cases.extend([integers_of(Scalar::I32), integers_of(Scalar::U32)]);
    cases.extend(DType::ALL.into_iter().filter(|dtype| !dtype.is_wide()).map(copy_of));
    cases.extend(loops());
    cases.extend(bodies::rows());
    cases.extend(bodies::contractions());
    cases.extend(bodies::arrays());
    cases
}

fn special_floats() -> Vec<Value> {
    let special = [0.0, -0.0, 1.0, -1.0, 0.5, 2.0, 3.5, -2.5, 88.0, -88.0, 1e-4, 1e20, -1e20];
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
    for op in UnaryOp::ALL.iter().filter(|op| op.result(Scalar::F32) == Some(Scalar::F32)) {
        instrs.push(Instr::Unary(*op, 0));
        let value = instrs.len() as Reg - 1;
        instrs.push(store(1, map(&[1], (slot * n) as i64), value));
        slot += 1;
    }
    let buffers = [(DType::F32, READ), (DType::F32, WRITE)];
    case(kernel("unary", [&[n], &[]], &buffers, map_body(instrs)), vec![x, zeros(slot * n)])
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
    case(kernel("binary", [&[n], &[]], &buffers, map_body(instrs)), vec![x, y, zeros(slot * n)])
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
    let bits = |seed| words(300, seed).into_iter().map(|w| Value::Bool(w & 64 == 0)).collect::<Vec<_>>();
    let mut instrs =
        vec![load(0, map(&[1], 0), Value::Bool(false)), load(1, map(&[1], 0), Value::Bool(false))];
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
    let dtype = if scalar == Scalar::I32 { DType::I32 } else { DType::U32 };
    let of = |w: u32| match scalar {
        Scalar::I32 => Value::I32(w as i32),
        _ => Value::U32(w),
    };
    let mut x: Vec<Value> = words(300, 3).into_iter().map(of).collect();
    let mut y: Vec<Value> = words(300, 4).into_iter().map(|w| of(w % 40)).collect();
    for (at, (a, b)) in [(0, 0), (5, 0), (u32::MAX - 4, 3), (7, u32::MAX - 2), (1 << 31, u32::MAX), (9, 33)]
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
    case(kernel("integers", [&[300], &[]], &buffers, map_body(instrs)), vec![x, y, vec![zero; slots * 300]])
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
        Instr::Random { key: [0, 1], counter: 3 },
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
        Instr::LoadAt { buffer: 1, index: 0, len: 20 },
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
        Scalar::F64 | Scalar::I64 => unreachable!("see wide.rs"),
        Scalar::Bool => words(333, 11).into_iter().map(|w| Value::Bool(w & 32 == 0)).collect(),
    };
    let mut instrs = vec![load(0, map(&[1], 0), Value::zero(scalar)), store(1, map(&[1], 0), 0)];
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
        guards: vec![guard(affine(&[0, 1, 0], -1), 1, 4, 5), guard(affine(&[0, 0, 1], -2), 1, 5, 1)],
    };
    let dilated = Map { base: affine(&[0], 0), guards: vec![guard(affine(&[1], -2), 3, 6, 1)] };
    let masked_store = Map { base: affine(&[1], 0), guards: vec![guard(affine(&[1], -3), 1, 5, 0)] };
    let mut list = vec![
        copy("transpose", &[7, 30, 5], map(&[150, 1, 30], 0), map(&[150, 5, 1], 0), [1050, 1050]),
        copy("reverse", &[50], map(&[-1], 49), map(&[1], 0), [50, 50]),
        copy("pad", &[3, 6, 9], padded, map(&[54, 9, 1], 0), [60, 162]),
        copy("dilate", &[23], dilated, map(&[1], 0), [6, 23]),
        copy("masked", &[12], map(&[1], 0), masked_store, [12, 12]),
        copy("point", &[], map(&[], 2), map(&[], 1), [4, 3]),
        copy("empty", &[3, 0], map(&[0, 1], 0), map(&[0, 1], 0), [1, 1]),
    ];
    let mut once = copy("once", &[5, 0], map(&[1, 1], 0), map(&[1, 1], 0), [5, 5]);
    once.kernel.buffers.push(Binding { dtype: DType::I32, access: BOTH });
    once.data.push(vec![Value::I32(41), Value::I32(7)]);
    once.kernel.once.instrs = vec![
        load(2, map(&[9, 9], 0), Value::I32(0)),
        Instr::Const(Value::I32(1)),
        Instr::Binary(BinaryOp::Add, 0, 1),
        store(2, map(&[9, 9], 0), 2),
    ];
    let mut beside = copy("once beside", &[300, 1], map(&[1, 1], 0), map(&[1, 1], 0), [300, 300]);
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
