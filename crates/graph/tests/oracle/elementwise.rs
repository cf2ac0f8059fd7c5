//! Cases of elementwise primitives: every operation of the tables, on every type that it takes.

use kiln_device::{BinaryOp, CompareOp, DType, UnaryOp};
use kiln_graph::Tensor;
use kiln_graph::op::Op;

use crate::case::Tolerance::{Absolute, Exact, Ulp};
use crate::case::{Case, Input, Tolerance};

const SHAPES: [&[usize]; 6] = [&[], &[1], &[0], &[17], &[3, 5], &[2, 1, 7]];
const SPECIAL: [f64; 11] =
    [0.0, -0.0, 1.0, -1.0, 0.5, -2.5, 1e30, -1e30, f64::INFINITY, f64::NEG_INFINITY, f64::NAN];
const INTEGERS: [DType; 4] = [DType::I32, DType::I64, DType::U32, DType::U8];

pub(crate) fn cases() -> Vec<Case> {
    [unary(), binary(), broadcast(), compare(), select(), cast(), bitcast()].concat()
}

/// A range where the operation is smooth, its tolerance, and whether it has a gradient.
fn unary_domain(op: UnaryOp) -> (f64, f64, Tolerance, bool) {
    match op {
        UnaryOp::Neg => (-3.0, 3.0, Exact, true),
        UnaryOp::Abs => (0.1, 3.0, Exact, true),
        UnaryOp::Exp | UnaryOp::Expm1 | UnaryOp::Tanh | UnaryOp::Atan | UnaryOp::Erf | UnaryOp::Sigmoid => {
            (-3.0, 3.0, Ulp(4.0), true)
        }
        UnaryOp::Log | UnaryOp::Log1p => (0.1, 9.0, Ulp(4.0), true),
        UnaryOp::Sqrt | UnaryOp::Rsqrt => (0.1, 9.0, Ulp(3.0), true),
        UnaryOp::Sin | UnaryOp::Cos => (-9.0, 9.0, Absolute(1e-6), true),
        UnaryOp::Sign | UnaryOp::Floor | UnaryOp::Ceil | UnaryOp::Round | UnaryOp::Trunc => {
            (-9.0, 9.0, Exact, false)
        }
        UnaryOp::Not | UnaryOp::IsNan => (-3.0, 3.0, Exact, false),
    }
}

fn apply(op: UnaryOp, x: &Tensor) -> Tensor {
    let dtype = if op == UnaryOp::IsNan { DType::Bool } else { x.dtype() };
    Tensor::primitive(Op::Unary(op), std::slice::from_ref(x), x.shape(), dtype)
}

fn unary() -> Vec<Case> {
    let mut cases = vec![];
    for op in UnaryOp::ALL.iter().copied() {
        let (low, high, tolerance, differentiable) = unary_domain(op);
        let name = op.name();
        if op != UnaryOp::Not {
            for shape in SHAPES {
                let input = [Input::range(shape, low, high)];
                let case =
                    Case::new(format!("{name} {shape:?}"), input, tolerance, move |x| apply(op, &x[0]));
                cases.push(if differentiable { case.differentiable() } else { case });
            }
            let special = [Input::values(&[SPECIAL.len()], DType::F32, &SPECIAL)];
            let finite = !matches!(op, UnaryOp::Sin | UnaryOp::Cos);
            if finite {
                cases.push(Case::new(format!("{name} special"), special, tolerance, move |x| {
                    apply(op, &x[0])
                }));
            }
        }
        for dtype in INTEGERS.into_iter().chain([DType::Bool]) {
            if op.result(dtype.scalar()).is_some() {
                let input = [integers(dtype)];
                cases.push(Case::new(format!("{name} {dtype}"), input, Exact, move |x| apply(op, &x[0])));
            }
        }
    }
    for (low, high) in [(-0.01, 0.01), (-30.0, 30.0)] {
        for op in [UnaryOp::Exp, UnaryOp::Expm1, UnaryOp::Tanh, UnaryOp::Erf, UnaryOp::Sigmoid, UnaryOp::Atan]
        {
            let input = [Input::range(&[33], low, high)];
            let name = format!("{} {low}..{high}", op.name());
            cases.push(Case::new(name, input, Ulp(4.0), move |x| apply(op, &x[0])));
        }
    }
    cases
}

/// Integers about the edges of a type.
fn integers(dtype: DType) -> Input {
    let values: &[f64] = match dtype {
        DType::I32 => &[0.0, 1.0, -1.0, 2.0, 7.0, -7.0, 31.0, i32::MAX as f64, i32::MIN as f64],
        DType::I64 => &[0.0, 1.0, -1.0, 7.0, -7.0, 63.0, 4e9, -9e18, i64::MAX as f64, i64::MIN as f64, 6e9],
        DType::U32 => &[0.0, 1.0, 2.0, 7.0, 31.0, 32.0, i32::MIN as u32 as f64, u32::MAX as f64],
        DType::U8 => &[0.0, 1.0, 2.0, 7.0, 31.0, 127.0, 128.0, 255.0],
        _ => &[0.0, 1.0, 1.0],
    };
    Input::values(&[values.len()], dtype, values)
}

fn call(op: BinaryOp, a: &Tensor, b: &Tensor) -> Tensor {
    match op {
        BinaryOp::Add => a + b,
        BinaryOp::Sub => a - b,
        BinaryOp::Mul => a * b,
        BinaryOp::Div if a.dtype().is_integer() => a.floor_divide(b),
        BinaryOp::Div => a / b,
        BinaryOp::Rem => a % b,
        BinaryOp::Pow => a.pow(b),
        BinaryOp::Max => a.maximum(b),
        BinaryOp::Min => a.minimum(b),
        BinaryOp::Atan2 => a.arctan2(b),
        BinaryOp::And => a.logical_and(b),
        BinaryOp::Or => a.logical_or(b),
        BinaryOp::Xor => a.logical_xor(b),
        BinaryOp::Shl => a.left_shift(b),
        BinaryOp::Shr => a.right_shift(b),
    }
}

/// Ranges of both operands where the operation is smooth, and its tolerance.
fn binary_domain(op: BinaryOp) -> ((f64, f64), (f64, f64), Tolerance) {
    match op {
        BinaryOp::Add | BinaryOp::Sub | BinaryOp::Mul => ((-3.0, 3.0), (-3.0, 3.0), Exact),
        BinaryOp::Max | BinaryOp::Min => ((-3.0, 3.0), (-3.0, 3.0), Exact),
        BinaryOp::Div => ((-3.0, 3.0), (0.2, 3.0), Ulp(3.0)),
        // Quotients between 1 and 2.
        BinaryOp::Rem => ((4.2, 5.8), (3.0, 4.0), Ulp(8.0)),
        BinaryOp::Pow => ((0.3, 4.0), (-2.0, 3.0), Ulp(16.0)),
        BinaryOp::Atan2 => ((0.5, 3.0), (-3.0, 3.0), Ulp(8.0)),
        BinaryOp::And | BinaryOp::Or | BinaryOp::Xor | BinaryOp::Shl | BinaryOp::Shr => {
            ((0.0, 0.0), (0.0, 0.0), Exact)
        }
    }
}

fn binary() -> Vec<Case> {
    let mut cases = vec![];
    for op in BinaryOp::ALL.iter().copied() {
        let name = op.name();
        let ((a, b), (c, d), tolerance) = binary_domain(op);
        if op.accepts(DType::F32.scalar()) {
            for shape in SHAPES {
                let inputs = [Input::range(shape, a, b), Input::range(shape, c, d)];
                let case = Case::new(format!("{name} {shape:?}"), inputs, tolerance, move |x| {
                    call(op, &x[0], &x[1])
                });
                cases.push(case.differentiable());
            }
            for dtype in [DType::F16, DType::BF16] {
                let inputs = [Input::range(&[9], a, b).cast(dtype), Input::range(&[9], c, d).cast(dtype)];
                cases.push(Case::new(format!("{name} {dtype}"), inputs, Ulp(1.0), move |x| {
                    call(op, &x[0], &x[1])
                }));
            }
        }
        for dtype in INTEGERS.into_iter().chain([DType::Bool]) {
            if op.accepts(dtype.scalar()) {
                let inputs = [integers(dtype), integers(dtype)];
                let case = Case::new(format!("{name} {dtype}"), inputs, Exact, move |x| {
                    call(op, &x[0].expand_dims(1), &x[1])
                });
                cases.push(case);
            }
        }
    }
    for op in [BinaryOp::Add, BinaryOp::Sub, BinaryOp::Mul, BinaryOp::Div, BinaryOp::Max, BinaryOp::Min] {
        let special = || Input::values(&[SPECIAL.len()], DType::F32, &SPECIAL);
        let build = move |x: &[Tensor]| call(op, &x[0].expand_dims(1), &x[1]);
        cases.push(Case::new(format!("{} special", op.name()), [special(), special()], Ulp(3.0), build));
    }
    let remainders = [Input::range(&[40], -9.0, 9.0), Input::values(&[2], DType::F32, &[1.3, -0.7])];
    cases
        .push(Case::new("rem of both signs", remainders, Absolute(2e-6), |x| x[0].reshape(&[20, 2]) % &x[1]));
    let powers = [Input::values(&[6], DType::F32, &[-2.0, -0.5, 0.0, 1.0, 2.0, 3.0])];
    let exponents = Input::values(&[5, 1], DType::F32, &[0.0, 1.0, 2.0, 3.0, -1.0]);
    cases.push(Case::new("pow of whole exponents", [powers[0].clone(), exponents], Ulp(16.0), |x| {
        x[0].pow(&x[1])
    }));
    cases
}

fn broadcast() -> Vec<Case> {
    let pairs: [(&[usize], &[usize]); 7] = [
        (&[3, 4], &[4]),
        (&[3, 1], &[1, 4]),
        (&[], &[2, 3]),
        (&[1], &[0]),
        (&[2, 1, 3], &[5, 1]),
        (&[1, 1], &[3]),
        (&[4, 3, 2], &[4, 1, 2]),
    ];
    let mut cases = vec![];
    for (a, b) in pairs {
        for (name, op) in [("mul", BinaryOp::Mul), ("sub", BinaryOp::Sub)] {
            let inputs = [Input::range(a, -2.0, 2.0), Input::range(b, -2.0, 2.0)];
            let case =
                Case::new(format!("{name} {a:?} with {b:?}"), inputs, Exact, move |x| call(op, &x[0], &x[1]));
            cases.push(case.differentiable());
        }
    }
    cases
}

fn compare() -> Vec<Case> {
    let mut cases = vec![];
    for op in CompareOp::ALL.iter().copied() {
        let build = move |x: &[Tensor]| {
            let (a, b) = (&x[0].expand_dims(1), &x[1]);
            match op {
                CompareOp::Eq => a.equal(b),
                CompareOp::Ne => a.not_equal(b),
                CompareOp::Lt => a.less(b),
                CompareOp::Le => a.less_equal(b),
                CompareOp::Gt => a.greater(b),
                CompareOp::Ge => a.greater_equal(b),
            }
        };
        let special = || Input::values(&[SPECIAL.len()], DType::F32, &SPECIAL);
        cases.push(Case::new(format!("{} special", op.name()), [special(), special()], Exact, build));
        for dtype in INTEGERS.into_iter().chain([DType::Bool]) {
            let inputs = [integers(dtype), integers(dtype)];
            cases.push(Case::new(format!("{} {dtype}", op.name()), inputs, Exact, build));
        }
        for count in [0, 1] {
            let inputs = [Input::range(&[count], -1.0, 1.0), Input::range(&[1], -1.0, 1.0)];
            cases.push(Case::new(format!("{} of {count}", op.name()), inputs, Exact, build));
        }
    }
    cases
}

fn select() -> Vec<Case> {
    let condition = |shape: &[usize]| Input::whole(shape, 0, 1).cast(DType::Bool);
    let shapes: [(&[usize], &[usize], &[usize]); 5] = [
        (&[7], &[7], &[7]),
        (&[], &[], &[]),
        (&[0], &[0], &[0]),
        (&[3, 1], &[4], &[3, 4]),
        (&[2, 3], &[1], &[2, 1]),
    ];
    let mut cases = vec![];
    for (c, a, b) in shapes {
        let inputs = [condition(c), Input::range(a, -2.0, 2.0), Input::range(b, -2.0, 2.0)];
        let name = format!("select {c:?} {a:?} {b:?}");
        cases.push(Case::new(name, inputs, Exact, |x| Tensor::select(&x[0], &x[1], &x[2])).differentiable());
    }
    for dtype in INTEGERS.into_iter().chain([DType::Bool, DType::F16]) {
        let inputs =
            [condition(&[8]), Input::whole(&[8], 0, 9).cast(dtype), Input::whole(&[8], 0, 9).cast(dtype)];
        let build = |x: &[Tensor]| Tensor::select(&x[0], &x[1], &x[2]);
        cases.push(Case::new(format!("select {dtype}"), inputs, Exact, build));
    }
    cases
}

fn cast() -> Vec<Case> {
    let mut cases = vec![];
    for from in DType::ALL {
        let input = match from {
            DType::F32 | DType::F64 => Input::values(
                &[19],
                from,
                &[
                    0.0,
                    -0.0,
                    0.4,
                    -3.9,
                    300.7,
                    65519.0,
                    65521.0,
                    1e10,
                    -1e10,
                    0.1,
                    1.0 / 3.0,
                    f64::INFINITY,
                    f64::NAN,
                    1.003_906_25,
                    // Just above the middle of two numbers of each half type.
                    1.003_906_488_418_579,
                    1.000_488_519_668_579,
                    // Subnormal in float16, and half of its least number.
                    4.86e-5,
                    -4.9e-6,
                    2.980_232_238_769_531_3e-8,
                ],
            ),
            DType::F16 | DType::BF16 => Input::range(&[9], -300.0, 300.0).cast(from),
            DType::I32 => Input::values(&[6], from, &[0.0, -1.0, 300.0, -70000.0, 16_777_217.0, 5.0]),
            DType::I64 | DType::U32 | DType::U8 | DType::Bool => integers(from),
        };
        for to in DType::ALL {
            let rounds = matches!(from, DType::U32 | DType::I64);
            let tolerance = if rounds && to.is_float() { Ulp(1.0) } else { Exact };
            let input = [input.clone()];
            cases.push(Case::new(format!("cast {from} to {to}"), input, tolerance, move |x| x[0].cast(to)));
        }
    }
    let same = [Input::range(&[3], -2.0, 2.0)];
    cases.push(Case::new("cast there and back", same, Exact, |x| x[0].cast(DType::BF16).cast(DType::F32)));
    cases
}

fn bitcast() -> Vec<Case> {
    let mut cases = vec![];
    let types = [DType::F32, DType::I32, DType::U32];
    for from in types {
        let values: &[f64] = match from {
            DType::F32 => &[0.0, -0.0, 1.0, -2.5, 1e30, f64::INFINITY],
            DType::I32 => &[0.0, 1_065_353_216.0, -1_073_741_824.0, 2_000_000.0 * 500.0],
            _ => &[0.0, 1_065_353_216.0, 3_221_225_472.0, 1_073_741_825.0],
        };
        for to in types {
            let input = [Input::values(&[values.len()], from, values)];
            cases.push(Case::new(format!("bitcast {from} to {to}"), input, Exact, move |x| x[0].bitcast(to)));
        }
    }
    let numbers = [Input::values(&[4], DType::F64, &[0.0, -0.0, 1.5, f64::INFINITY])];
    cases.push(Case::new("bitcast float64 to int64", numbers, Exact, |x| x[0].bitcast(DType::I64)));
    let bits = [Input::values(&[3], DType::I64, &[0.0, 4_609_434_218_613_702_656.0, 1.0])];
    cases.push(Case::new("bitcast int64 to float64", bits, Exact, |x| x[0].bitcast(DType::F64)));
    cases
}
