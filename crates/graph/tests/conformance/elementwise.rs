//! Functions of one and two tensors, element by element.

use kiln_graph::ops;

use crate::Run;
use crate::call::Call;

/// Lines of functions of one tensor, of two, and others.
macro_rules! table {
    (one: $($one:ident)*; two: $($two:ident)*; $(($name:literal, $run:expr),)*) => {
        pub(crate) const TABLE: &[(&str, Run)] = &[
            $((stringify!($one), |c| vec![ops::$one(c.x(0))]),)*
            $((stringify!($two), |c| vec![ops::$two(c.x(0), c.x(1))]),)*
            $(($name, $run),)*
        ];
    };
}

table! {
    one: exp expm1 log log1p sqrt sin cos tan tanh arctan floor ceil reciprocal deg2rad rad2deg fabs angle isnan isinf
        isfinite isposinf isneginf signbit isreal abs absolute square negative sign trunc copy conj conjugate real imag
        sinh cosh arcsin arccos arcsinh arccosh arctanh exp2 log2 log10 cbrt sinc i0 bitwise_not bitwise_invert
        logical_not;
    two: add subtract multiply divide true_divide divide_no_nan maximum minimum fmax fmin fmod floor_divide power arctan2
        hypot logaddexp logaddexp2 heaviside nextafter ldexp bitwise_and bitwise_or bitwise_xor bitwise_left_shift
        left_shift bitwise_right_shift right_shift gcd lcm equal not_equal less less_equal greater greater_equal
        logical_and logical_or logical_xor;
    ("mod", |c| vec![ops::mod_(c.x(0), c.x(1))]),
    ("round", |c| vec![ops::round(c.x(0), c.int_or("decimals", 0) as i32)]),
    ("where", |c| vec![ops::where_(c.x(0), c.x(1), c.x(2))]),
    ("isclose", |c| {
        let (rtol, atol, equal_nan) = closeness(c);
        vec![ops::isclose(c.x(0), c.x(1), rtol, atol, equal_nan)]
    }),
    ("allclose", |c| {
        let (rtol, atol, equal_nan) = closeness(c);
        vec![ops::allclose(c.x(0), c.x(1), rtol, atol, equal_nan)]
    }),
    ("clip", |c| {
        // As Python, a number without a fraction is an integer.
        let (low, high) = (c.float("x_min"), c.float("x_max"));
        vec![match (c.arg("x_min").as_i64(), c.arg("x_max").as_i64()) {
            (Some(low), Some(high)) => ops::clip(c.x(0), low as i32, high as i32),
            _ => ops::clip(c.x(0), low, high),
        }]
    }),
    ("nan_to_num", |c| {
        let given = |name| c.has(name).then(|| c.float(name));
        vec![ops::nan_to_num(c.x(0), given("nan").unwrap_or(0.0), given("posinf"), given("neginf"))]
    }),
}

fn closeness(c: &Call<'_>) -> (f64, f64, bool) {
    (c.float_or("rtol", 1e-5), c.float_or("atol", 1e-8), c.flag("equal_nan"))
}
