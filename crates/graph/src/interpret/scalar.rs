//! The meaning of operations on single elements.
//!
//! Combinations of operation and dtype that [`crate::op::Op::check`] refuses give NaN.

use kiln_device::{BinaryOp, CompareOp, DType, Scalar, UnaryOp};

use super::{of_whole, whole};

/// An operation on one element of type `of`.
pub(super) fn unary(op: UnaryOp, of: DType, x: f64) -> f64 {
    match of.scalar() {
        Scalar::F32 | Scalar::F64 => unary_float(op, x),
        Scalar::I64 => {
            let x = whole(x);
            match op {
                UnaryOp::Neg => of_whole(x.wrapping_neg()),
                UnaryOp::Abs => of_whole(x.wrapping_abs()),
                UnaryOp::Sign => of_whole(x.signum()),
                UnaryOp::Not => of_whole(!x),
                _ => f64::NAN,
            }
        }
        Scalar::I32 => {
            let x = x as i32;
            match op {
                UnaryOp::Neg => x.wrapping_neg() as f64,
                UnaryOp::Abs => x.wrapping_abs() as f64,
                UnaryOp::Sign => x.signum() as f64,
                UnaryOp::Not => !x as f64,
                _ => f64::NAN,
            }
        }
        Scalar::U32 => {
            let x = x as u32;
            match op {
                UnaryOp::Neg => narrow(of, x.wrapping_neg()),
                UnaryOp::Abs => narrow(of, x),
                UnaryOp::Sign => narrow(of, x.min(1)),
                UnaryOp::Not => narrow(of, !x),
                _ => f64::NAN,
            }
        }
        Scalar::Bool => match op {
            UnaryOp::Not => 1.0 - x,
            _ => f64::NAN,
        },
    }
}

fn unary_float(op: UnaryOp, x: f64) -> f64 {
    match op {
        UnaryOp::Neg => -x,
        UnaryOp::Abs => x.abs(),
        UnaryOp::Sign if x == 0.0 => 0.0,
        UnaryOp::Sign => x.signum(),
        UnaryOp::Exp => x.exp(),
        UnaryOp::Expm1 => x.exp_m1(),
        UnaryOp::Log => x.ln(),
        UnaryOp::Log1p => x.ln_1p(),
        UnaryOp::Sqrt => x.sqrt(),
        UnaryOp::Rsqrt => 1.0 / x.sqrt(),
        UnaryOp::Sin => x.sin(),
        UnaryOp::Cos => x.cos(),
        UnaryOp::Tanh => x.tanh(),
        UnaryOp::Atan => x.atan(),
        UnaryOp::Erf => erf(x),
        UnaryOp::Sigmoid => 1.0 / (1.0 + (-x).exp()),
        UnaryOp::Floor => x.floor(),
        UnaryOp::Ceil => x.ceil(),
        UnaryOp::Round => x.round_ties_even(),
        UnaryOp::Trunc => x.trunc(),
        UnaryOp::Not => f64::NAN,
        UnaryOp::IsNan => x.is_nan() as u32 as f64,
    }
}

/// An operation on two elements of type `of`; the result has that type too.
pub(super) fn binary(op: BinaryOp, of: DType, a: f64, b: f64) -> f64 {
    match of.scalar() {
        Scalar::F32 | Scalar::F64 => binary_float(op, a, b),
        Scalar::I64 => binary_i64(op, whole(a), whole(b)).map_or(f64::NAN, of_whole),
        Scalar::I32 => binary_i32(op, a as i32, b as i32),
        Scalar::U32 => binary_u32(op, a as u32, b as u32).map_or(f64::NAN, |bits| narrow(of, bits)),
        Scalar::Bool => {
            let (a, b) = (a != 0.0, b != 0.0);
            match op {
                BinaryOp::Max | BinaryOp::Or => (a || b) as u32 as f64,
                BinaryOp::Min | BinaryOp::And => (a && b) as u32 as f64,
                BinaryOp::Xor => (a != b) as u32 as f64,
                _ => f64::NAN,
            }
        }
    }
}

fn binary_float(op: BinaryOp, a: f64, b: f64) -> f64 {
    match op {
        BinaryOp::Add => a + b,
        BinaryOp::Sub => a - b,
        BinaryOp::Mul => a * b,
        BinaryOp::Div => a / b,
        BinaryOp::Rem => {
            let remainder = a % b;
            if remainder != 0.0 && (remainder < 0.0) != (b < 0.0) { remainder + b } else { remainder }
        }
        BinaryOp::Pow => a.powf(b),
        BinaryOp::Max | BinaryOp::Min if a.is_nan() || b.is_nan() => f64::NAN,
        BinaryOp::Max => a.max(b),
        BinaryOp::Min => a.min(b),
        BinaryOp::Atan2 => a.atan2(b),
        BinaryOp::And | BinaryOp::Or | BinaryOp::Xor | BinaryOp::Shl | BinaryOp::Shr => f64::NAN,
    }
}

fn binary_i32(op: BinaryOp, a: i32, b: i32) -> f64 {
    let result = match op {
        BinaryOp::Add => a.wrapping_add(b),
        BinaryOp::Sub => a.wrapping_sub(b),
        BinaryOp::Mul => a.wrapping_mul(b),
        BinaryOp::Div | BinaryOp::Rem if b == 0 => 0,
        BinaryOp::Div => {
            let rounds_down = a.wrapping_rem(b) != 0 && (a < 0) != (b < 0);
            a.wrapping_div(b) - rounds_down as i32
        }
        BinaryOp::Rem => {
            let remainder = a.wrapping_rem(b);
            if remainder != 0 && (remainder < 0) != (b < 0) { remainder + b } else { remainder }
        }
        BinaryOp::Pow if b >= 0 => a.wrapping_pow(b as u32),
        BinaryOp::Pow => match a {
            1 => 1,
            -1 if b % 2 == 0 => 1,
            -1 => -1,
            _ => 0,
        },
        BinaryOp::Max => a.max(b),
        BinaryOp::Min => a.min(b),
        BinaryOp::Atan2 => return f64::NAN,
        BinaryOp::And => a & b,
        BinaryOp::Or => a | b,
        BinaryOp::Xor => a ^ b,
        BinaryOp::Shl => a.wrapping_shl(b as u32),
        BinaryOp::Shr => a.wrapping_shr(b as u32),
    };
    result as f64
}

fn binary_i64(op: BinaryOp, a: i64, b: i64) -> Option<i64> {
    // In 128 bits nothing overflows; what is kept are the low 64.
    let (wide_a, wide_b) = (i128::from(a), i128::from(b));
    Some(match op {
        BinaryOp::Add => (wide_a + wide_b) as i64,
        BinaryOp::Sub => (wide_a - wide_b) as i64,
        BinaryOp::Mul => (wide_a * wide_b) as i64,
        BinaryOp::Div | BinaryOp::Rem if b == 0 => 0,
        BinaryOp::Div => {
            let quotient = wide_a / wide_b;
            (quotient - i128::from(quotient * wide_b != wide_a && (a < 0) != (b < 0))) as i64
        }
        BinaryOp::Rem => {
            let remainder = wide_a % wide_b;
            let other_sign = remainder != 0 && (remainder < 0) != (b < 0);
            (if other_sign { remainder + wide_b } else { remainder }) as i64
        }
        BinaryOp::Pow if b >= 0 => power(a, b),
        BinaryOp::Pow => match a {
            1 => 1,
            -1 if b % 2 == 0 => 1,
            -1 => -1,
            _ => 0,
        },
        BinaryOp::Max => a.max(b),
        BinaryOp::Min => a.min(b),
        BinaryOp::Atan2 => return None,
        BinaryOp::And => a & b,
        BinaryOp::Or => a | b,
        BinaryOp::Xor => a ^ b,
        BinaryOp::Shl => a.wrapping_shl(b as u32),
        BinaryOp::Shr => a.wrapping_shr(b as u32),
    })
}

/// `a^b` modulo 2⁶⁴.
fn power(a: i64, b: i64) -> i64 {
    match b {
        0 => 1,
        _ => {
            let half = power(a, b / 2);
            let square = half.wrapping_mul(half);
            if b % 2 == 1 { square.wrapping_mul(a) } else { square }
        }
    }
}

fn binary_u32(op: BinaryOp, a: u32, b: u32) -> Option<u32> {
    Some(match op {
        BinaryOp::Add => a.wrapping_add(b),
        BinaryOp::Sub => a.wrapping_sub(b),
        BinaryOp::Mul => a.wrapping_mul(b),
        BinaryOp::Div => a.checked_div(b).unwrap_or(0),
        BinaryOp::Rem => a.checked_rem(b).unwrap_or(0),
        BinaryOp::Pow => a.wrapping_pow(b),
        BinaryOp::Max => a.max(b),
        BinaryOp::Min => a.min(b),
        BinaryOp::Atan2 => return None,
        BinaryOp::And => a & b,
        BinaryOp::Or => a | b,
        BinaryOp::Xor => a ^ b,
        BinaryOp::Shl => a.wrapping_shl(b),
        BinaryOp::Shr => a.wrapping_shr(b),
    })
}

/// What a stored type keeps of a `u32` register.
fn narrow(dtype: DType, bits: u32) -> f64 {
    if dtype == DType::U8 { (bits as u8) as f64 } else { bits as f64 }
}

/// A comparison, 1 where it holds.
pub(super) fn compare(op: CompareOp, of: DType, a: f64, b: f64) -> f64 {
    if of == DType::I64 {
        return holds(op, whole(a), whole(b)) as u32 as f64;
    }
    holds(op, a, b) as u32 as f64
}

fn holds<T: PartialOrd>(op: CompareOp, a: T, b: T) -> bool {
    match op {
        CompareOp::Eq => a == b,
        CompareOp::Ne => a != b,
        CompareOp::Lt => a < b,
        CompareOp::Le => a <= b,
        CompareOp::Gt => a > b,
        CompareOp::Ge => a >= b,
    }
}

/// Conversion by value: floats saturate, integers wrap.
pub(super) fn cast(from: DType, to: DType, x: f64) -> f64 {
    match (from, to) {
        (DType::I64, DType::I64) => return x,
        (DType::I64, _) => return cast_whole(to, whole(x)),
        (_, DType::I64) => return of_whole(x as i64),
        _ => {}
    }
    match to {
        DType::F32 if from == DType::F64 => x as f32 as f64,
        DType::F32 | DType::F64 => x,
        DType::F16 => kiln_device::nearest_f16(x).to_f64(),
        // As in NumPy's ml_dtypes and XLA: by way of `float32`.
        DType::BF16 if from.is_integer() => kiln_device::nearest_bf16(f64::from(x as f32)).to_f64(),
        DType::BF16 => kiln_device::nearest_bf16(x).to_f64(),
        DType::I32 if from.is_float() => x as i32 as f64,
        DType::U32 if from.is_float() => x as u32 as f64,
        DType::U8 if from.is_float() => x as u8 as f64,
        DType::I64 => of_whole(x as i64),
        DType::I32 => x as i64 as i32 as f64,
        DType::U32 => x as i64 as u32 as f64,
        DType::U8 => x as i64 as u8 as f64,
        DType::Bool => (x != 0.0) as u32 as f64,
    }
}

/// Integers wrap.
fn cast_whole(to: DType, x: i64) -> f64 {
    match to {
        DType::F16 => kiln_device::nearest_f16(x as f64).to_f64(),
        DType::BF16 => kiln_device::nearest_bf16(x as f64).to_f64(),
        DType::F32 => x as f32 as f64,
        DType::F64 => x as f64,
        DType::I32 => x as i32 as f64,
        DType::U32 => x as u32 as f64,
        DType::U8 => x as u8 as f64,
        DType::I64 => of_whole(x),
        DType::Bool => (x != 0) as u32 as f64,
    }
}

/// The bits of one type read as another of as many.
pub(super) fn bitcast(from: DType, to: DType, x: f64) -> f64 {
    // A `float64` is kept as itself, an `int64` as its bits: the same 64.
    if from.scalar().is_wide() {
        return x;
    }
    let bits = match from.scalar() {
        Scalar::F32 | Scalar::F64 => (x as f32).to_bits(),
        Scalar::I32 | Scalar::I64 => x as i32 as u32,
        Scalar::U32 | Scalar::Bool => x as u32,
    };
    match to.scalar() {
        Scalar::F32 | Scalar::F64 => f32::from_bits(bits) as f64,
        Scalar::I32 | Scalar::I64 => bits as i32 as f64,
        Scalar::U32 | Scalar::Bool => bits as f64,
    }
}

/// The error function: its series of positive terms near 0, the continued fraction of its complement beyond.
fn erf(x: f64) -> f64 {
    let magnitude = x.abs();
    if x.is_nan() {
        x
    } else if magnitude < 2.0 {
        // 2/√π · e^(−x²) · Σ 2ⁿ x^(2n+1) / (1 · 3 · … · (2n+1))
        let (mut term, mut sum) = (x, x);
        for n in 1..100 {
            term *= 2.0 * x * x / (2 * n + 1) as f64;
            sum += term;
        }
        std::f64::consts::FRAC_2_SQRT_PI * (-x * x).exp() * sum
    } else {
        // erfc x = e^(−x²)/√π · 1 / (x + ½ / (x + 1 / (x + 1½ / (x + …))))
        let mut tail = magnitude;
        for n in (1..100).rev() {
            tail = magnitude + n as f64 / 2.0 / tail;
        }
        let complement = (-magnitude * magnitude).exp() * std::f64::consts::FRAC_2_SQRT_PI / 2.0 / tail;
        (1.0 - complement).copysign(x)
    }
}

/// Threefry-2x32 with 20 rounds (Salmon et al., Parallel random numbers: as easy as 1, 2, 3, 2011).
pub(super) fn threefry2x32(key: [u32; 2], counter: [u32; 2]) -> [u32; 2] {
    const ROTATIONS: [u32; 8] = [13, 15, 26, 6, 17, 29, 16, 24];
    let keys = [key[0], key[1], key[0] ^ key[1] ^ 0x1BD1_1BDA];
    let mut x = [counter[0].wrapping_add(keys[0]), counter[1].wrapping_add(keys[1])];
    for round in 0..20 {
        x[0] = x[0].wrapping_add(x[1]);
        x[1] = x[1].rotate_left(ROTATIONS[round % 8]) ^ x[0];
        if round % 4 == 3 {
            let injection = round / 4 + 1;
            x[0] = x[0].wrapping_add(keys[injection % 3]);
            x[1] = x[1].wrapping_add(keys[(injection + 1) % 3]).wrapping_add(injection as u32);
        }
    }
    x
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threefry_gives_the_known_answers() {
        let ones = [u32::MAX; 2];
        assert_eq!(threefry2x32([0, 0], [0, 0]), [0x6b20_0159, 0x99ba_4efe]);
        assert_eq!(threefry2x32(ones, ones), [0x1cb9_96fc, 0xbb00_2be7]);
        assert_eq!(
            threefry2x32([0x1319_8a2e, 0x0370_7344], [0x243f_6a88, 0x85a3_08d3]),
            [0xc492_3a9c, 0x483d_f7a0]
        );
    }

    #[test]
    fn erf_gives_the_tabled_values() {
        // Abramowitz and Stegun, table 7.1, and mpmath.
        let known = [
            (0.0, 0.0),
            (1e-10, 1.128_379_167_095_512_6e-10),
            (0.5, 0.520_499_877_813_046_5),
            (1.0, 0.842_700_792_949_714_9),
            (2.0, 0.995_322_265_018_952_7),
            (3.0, 0.999_977_909_503_001_4),
            (4.0, 0.999_999_984_582_742_1),
        ];
        for (x, expected) in known {
            assert!((erf(x) - expected).abs() <= 1e-15 * expected, "erf({x}) = {}", erf(x));
            assert_eq!(erf(-x), -erf(x));
        }
        assert_eq!(erf(f64::INFINITY), 1.0);
        let (below, above) = (erf(2.0 - 1e-13), erf(2.0));
        assert!((above - below).abs() < 1e-14, "the two branches meet");
    }
}
