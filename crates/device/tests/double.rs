//! The functions of `f64` against values with 200 bits (`tests/golden/double.py` writes them), and at the edges.

use kiln_device::*;

/// Bounds in units of the last place.
const BOUNDS: [(UnaryOp, f64); 11] = [
    (UnaryOp::Exp, 1.0),
    (UnaryOp::Expm1, 1.75),
    (UnaryOp::Log, 1.0),
    (UnaryOp::Log1p, 1.5),
    (UnaryOp::Rsqrt, 1.5),
    (UnaryOp::Sin, 1.0),
    (UnaryOp::Cos, 1.0),
    (UnaryOp::Tanh, 2.0),
    (UnaryOp::Atan, 2.0),
    (UnaryOp::Erf, 1.5),
    (UnaryOp::Sigmoid, 2.0),
];
const BINARY_BOUNDS: [(BinaryOp, f64); 2] = [(BinaryOp::Pow, 1.0), (BinaryOp::Atan2, 2.0)];

/// The function, its arguments, the nearest float to its value, and the units by which the value is above that.
fn golden() -> Vec<(&'static str, Vec<f64>, f64, f64)> {
    let bits = |word: &str| f64::from_bits(u64::from_str_radix(word, 16).unwrap());
    let line = |line: &'static str| {
        let words: Vec<&str> = line.split(' ').collect();
        let (name, rest) = words.split_first().unwrap();
        let (offset, numbers) = rest.split_last().unwrap();
        let (nearest, arguments) = numbers.split_last().unwrap();
        (*name, arguments.iter().map(|x| bits(x)).collect(), bits(nearest), offset.parse().unwrap())
    };
    include_str!("double.txt").lines().map(line).collect()
}

fn unit(x: f64) -> f64 {
    x.abs().next_up() - x.abs()
}

fn check(name: &str, bound: f64, f: impl Fn(&[f64]) -> f64) {
    let mut count = 0;
    for (_, arguments, nearest, offset) in golden().iter().filter(|case| case.0 == name) {
        let got = f(arguments);
        let error = ((got - nearest) / unit(*nearest) - offset).abs();
        assert!(error <= bound, "{name}{arguments:?} is {got:e}, {error:.2} units from {nearest:e}");
        count += 1;
    }
    assert!(count > 60, "{count} values of {name}");
}

#[test]
fn functions_are_within_two_units_of_the_last_place() {
    for (op, bound) in BOUNDS {
        check(op.name(), bound, |x| math::unary_double(op, x[0]));
    }
    for (op, bound) in BINARY_BOUNDS {
        check(op.name(), bound, |x| math::binary_double(op, x[0], x[1]));
    }
}

/// Both infinities, zeros, the ends of the range, numbers at which branches change, and NaN.
fn specials() -> Vec<f64> {
    let mut values = vec![
        0.0,
        5e-324,
        1e-310,
        f64::MIN_POSITIVE,
        1e-300,
        1e-20,
        0.25,
        0.5,
        1.0 - f64::EPSILON / 2.0,
        1.0,
        1.0 + f64::EPSILON,
        1.5,
        2.0,
        3.0,
        19.0,
        20.5,
        709.782712893384,
        709.7827128933841,
        745.1332191019411,
        745.1332191019412,
        1647098.9,
        1647099.1,
        9007199254740991.0,
        9007199254740993.0,
        1e22,
        1e300,
        f64::MAX,
        f64::INFINITY,
        f64::NAN,
    ];
    values.extend(values.clone().iter().map(|v| -v));
    values
}

fn same_class(got: f64, want: f64) -> bool {
    let near = (got - want).abs() <= 3.0 * unit(want);
    let sign = got.is_sign_negative() == want.is_sign_negative();
    (got.is_nan() && want.is_nan()) || (sign && (got == want || (near && got.is_finite())))
}

#[test]
fn edges_are_those_of_the_system_library() {
    let reference = |op: UnaryOp, x: f64| match op {
        // The reference divides by a sum that overflows.
        UnaryOp::Sigmoid if x < -700.0 => x.exp(),
        UnaryOp::Erf if x == 0.0 => x,
        _ => math::unary_f64(op, x),
    };
    for (op, _) in BOUNDS {
        for x in specials() {
            let (got, want) = (math::unary_double(op, x), reference(op, x));
            let fine = same_class(got, want) || (op == UnaryOp::Erf && (got - want).abs() < 2e-15);
            assert!(fine, "{}({x:e}) is {got:e} instead of {want:e}", op.name());
        }
    }
    for (op, _) in BINARY_BOUNDS {
        for (x, y) in specials().iter().flat_map(|x| specials().into_iter().map(move |y| (*x, y))) {
            let (got, want) = (math::binary_double(op, x, y), math::binary_f64(op, x, y));
            assert!(same_class(got, want), "{}({x:e}, {y:e}) is {got:e} instead of {want:e}", op.name());
        }
    }
}

#[test]
fn bounded_functions_stay_within_their_bounds() {
    for i in 0..2_000_000u32 {
        let x = f64::from(i as i32 - 1_000_000) * 2.5e-5;
        for op in [UnaryOp::Sin, UnaryOp::Cos, UnaryOp::Tanh, UnaryOp::Erf, UnaryOp::Sigmoid] {
            let y = math::unary_double(op, x);
            assert!(y.abs() <= 1.0, "{}({x:e}) is {y:e}", op.name());
        }
    }
}
