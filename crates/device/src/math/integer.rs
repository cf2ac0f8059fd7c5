//! Integer operations as [`crate::op`] documents them, and the random bits.

use crate::op::BinaryOp;

/// The quotient rounded down; 0 where `b` is 0.
#[inline(always)]
pub fn div_i32(a: i32, b: i32) -> i32 {
    if b == 0 {
        return 0;
    }
    let quotient = a.wrapping_div(b);
    let rest = a.wrapping_rem(b);
    quotient - i32::from(rest != 0 && (rest < 0) != (b < 0))
}

/// The quotient; 0 where `b` is 0.
#[inline(always)]
pub fn div_u32(a: u32, b: u32) -> u32 {
    a.checked_div(b).unwrap_or(0)
}

/// The remainder with the sign of `b`; 0 where `b` is 0.
#[inline(always)]
pub fn rem_i32(a: i32, b: i32) -> i32 {
    if b == 0 {
        return 0;
    }
    let rest = a.wrapping_rem(b);
    if rest != 0 && (rest < 0) != (b < 0) { rest + b } else { rest }
}

/// The remainder; 0 where `b` is 0.
#[inline(always)]
pub fn rem_u32(a: u32, b: u32) -> u32 {
    a.checked_rem(b).unwrap_or(0)
}

/// `a^b`, wrapping; a negative `b` gives 0 unless `a` is ±1.
#[inline(always)]
pub fn pow_i32(a: i32, b: i32) -> i32 {
    match (b < 0, a) {
        (false, _) => a.wrapping_pow(b as u32),
        (true, 1) => 1,
        (true, -1) => 1 - 2 * (b & 1),
        (true, _) => 0,
    }
}

/// `a^b`, wrapping.
#[inline(always)]
pub fn pow_u32(a: u32, b: u32) -> u32 {
    a.wrapping_pow(b)
}

/// Left shift by `b` modulo 32.
#[inline(always)]
pub fn shl_i32(a: i32, b: i32) -> i32 {
    a.wrapping_shl(b as u32)
}

/// Left shift by `b` modulo 32.
#[inline(always)]
pub fn shl_u32(a: u32, b: u32) -> u32 {
    a.wrapping_shl(b)
}

/// Arithmetic right shift by `b` modulo 32.
#[inline(always)]
pub fn shr_i32(a: i32, b: i32) -> i32 {
    a.wrapping_shr(b as u32)
}

/// Right shift by `b` modulo 32.
#[inline(always)]
pub fn shr_u32(a: u32, b: u32) -> u32 {
    a.wrapping_shr(b)
}

/// −1, 0 or 1.
#[inline(always)]
pub fn sign_i32(a: i32) -> i32 {
    a.signum()
}

/// A binary operation on `i64`; the rules are those of the narrower ones, shifts are modulo 64.
#[inline(always)]
pub fn binary_i64(op: BinaryOp, a: i64, b: i64) -> i64 {
    match op {
        BinaryOp::Add => a.wrapping_add(b),
        BinaryOp::Sub => a.wrapping_sub(b),
        BinaryOp::Mul => a.wrapping_mul(b),
        BinaryOp::Div | BinaryOp::Rem if b == 0 => 0,
        BinaryOp::Div => {
            let rest = a.wrapping_rem(b);
            a.wrapping_div(b) - i64::from(rest != 0 && (rest < 0) != (b < 0))
        }
        BinaryOp::Rem => {
            let rest = a.wrapping_rem(b);
            if rest != 0 && (rest < 0) != (b < 0) { rest + b } else { rest }
        }
        BinaryOp::Pow => pow_i64(a, b),
        BinaryOp::Max => a.max(b),
        BinaryOp::Min => a.min(b),
        BinaryOp::And => a & b,
        BinaryOp::Or => a | b,
        BinaryOp::Xor => a ^ b,
        BinaryOp::Shl => a.wrapping_shl(b as u32),
        BinaryOp::Shr => a.wrapping_shr(b as u32),
        BinaryOp::Atan2 => unreachable!("atan2 takes floats"),
    }
}

/// `a^b`, wrapping, by squaring: the exponent may have more bits than `wrapping_pow` takes.
fn pow_i64(a: i64, b: i64) -> i64 {
    if b < 0 {
        return match a {
            1 => 1,
            -1 => 1 - 2 * (b & 1),
            _ => 0,
        };
    }
    let (mut base, mut exponent, mut result) = (a, b, 1i64);
    while exponent > 0 {
        if exponent & 1 == 1 {
            result = result.wrapping_mul(base);
        }
        base = base.wrapping_mul(base);
        exponent >>= 1;
    }
    result
}

/// Threefry2x32 of 20 rounds (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011).
#[inline(always)]
pub fn threefry2x32(key: [u32; 2], counter: [u32; 2]) -> [u32; 2] {
    const ROTATIONS: [[u32; 4]; 2] = [[13, 15, 26, 6], [17, 29, 16, 24]];
    let keys = [key[0], key[1], key[0] ^ key[1] ^ 0x1bd1_1bda];
    let mut a = counter[0].wrapping_add(keys[0]);
    let mut b = counter[1].wrapping_add(keys[1]);
    for group in 0..5 {
        for rotation in ROTATIONS[group % 2] {
            a = a.wrapping_add(b);
            b = b.rotate_left(rotation) ^ a;
        }
        a = a.wrapping_add(keys[(group + 1) % 3]);
        b = b.wrapping_add(keys[(group + 2) % 3]).wrapping_add(group as u32 + 1);
    }
    [a, b]
}
