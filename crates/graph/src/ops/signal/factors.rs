//! Numbers of discrete Fourier transforms, made on the host in `f64`: how a length divides, tables of roots of unity.

/// The longest transform that is one product with a matrix although it could be divided.
pub(super) const DENSE: usize = 64;
/// The longest transform: its factors are worked out on the host.
pub(super) const LONGEST: usize = 1 << 25;
/// The longest prime that is; longer ones become a convolution.
pub(super) const LONGEST_PRIME: usize = 256;

/// The divisor of `n` of at most [`DENSE`] that comes nearest to equal factors of all levels; `None` where there is none.
pub(super) fn divisor(n: usize) -> Option<usize> {
    let size = (n as f64).ln();
    let even = size / (size / (DENSE as f64).ln()).ceil();
    let distance = |d: &usize| ((*d as f64).ln() - even).abs();
    let divisors = (2..=DENSE.min(n / 2)).filter(|d| n.is_multiple_of(*d));
    divisors.min_by(|a, b| distance(a).total_cmp(&distance(b)))
}

/// `e^(sign · 2πi · numerator / n)` as (real, imaginary).
pub(super) fn root(numerator: usize, n: usize, sign: f64) -> (f64, f64) {
    // Within an eighth of a turn, where the functions are most accurate and symmetric values come out equal.
    let turn = numerator % n;
    let (octant, rest) = (8 * turn / n, (8 * turn % n) as f64 / n as f64);
    let angle = |share: f64| share * std::f64::consts::FRAC_PI_4;
    let (near, far) = (angle(rest), angle(1.0 - rest));
    let (cos, sin) = match octant {
        0 => (near.cos(), near.sin()),
        1 => (far.sin(), far.cos()),
        2 => (-near.sin(), near.cos()),
        3 => (-far.cos(), far.sin()),
        4 => (-near.cos(), -near.sin()),
        5 => (-far.sin(), -far.cos()),
        6 => (near.sin(), -near.cos()),
        _ => (far.cos(), -far.sin()),
    };
    (cos, sign * sin)
}

/// The matrix `[n · parts, count · 2]` of a transform of length `n`: rows are (position, part), columns
/// (frequency, part). Real input has one part, complex input two; the first `count` frequencies are wanted.
pub(super) fn matrix(n: usize, parts: usize, count: usize, sign: f64) -> Vec<f64> {
    let roots: Vec<(f64, f64)> = (0..n).map(|k| root(k, n, sign)).collect();
    let mut table = Vec::with_capacity(n * parts * count * 2);
    for position in 0..n {
        for part in 0..parts {
            for frequency in 0..count {
                let (cos, sin) = roots[position * frequency % n];
                let pair = if part == 0 { [cos, sin] } else { [-sin, cos] };
                table.extend(pair);
            }
        }
    }
    table
}

/// `e^(sign · 2πi · row · column / n)` for `rows × columns`, as tables by which `z` and `z` with its parts exchanged
/// are multiplied: `[rows, columns, 2]` each.
pub(super) fn twiddles(n: usize, rows: usize, columns: usize, sign: f64) -> (Vec<f64>, Vec<f64>) {
    let angles = (0..rows).flat_map(|r| (0..columns).map(move |c| (r * c) % n));
    multipliers(angles.map(|numerator| root(numerator, n, sign)))
}

/// Complex factors as the two tables of [`twiddles`].
pub(super) fn multipliers(factors: impl Iterator<Item = (f64, f64)>) -> (Vec<f64>, Vec<f64>) {
    let (mut own, mut other) = (vec![], vec![]);
    for (re, im) in factors {
        own.extend([re, re]);
        other.extend([-im, im]);
    }
    (own, other)
}

/// `e^(sign · πi · k² / n)`, the chirp of L. Bluestein's convolution (1970).
pub(super) fn chirp(n: usize, sign: f64) -> Vec<(f64, f64)> {
    (0..n).map(|k| root(((k as u128 * k as u128) % (2 * n as u128)) as usize, 2 * n, sign)).collect()
}

/// The forward transform of a power of two of complex numbers, for tables.
pub(super) fn transform(values: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let n = values.len();
    if n <= 1 {
        return values.to_vec();
    }
    let half = |odd: usize| transform(&values.iter().skip(odd).step_by(2).copied().collect::<Vec<_>>());
    let (even, odd) = (half(0), half(1));
    let mut out = vec![(0.0, 0.0); n];
    for k in 0..n / 2 {
        let (cos, sin) = root(k, n, -1.0);
        let (re, im) = (odd[k].0 * cos - odd[k].1 * sin, odd[k].0 * sin + odd[k].1 * cos);
        out[k] = (even[k].0 + re, even[k].1 + im);
        out[k + n / 2] = (even[k].0 - re, even[k].1 - im);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roots_of_unity_are_those_of_the_standard_library() {
        for n in 1..40 {
            for k in 0..2 * n {
                let angle = std::f64::consts::TAU * k as f64 / n as f64;
                let (cos, sin) = root(k, n, -1.0);
                assert!((cos - angle.cos()).abs() < 4e-15 && (sin + angle.sin()).abs() < 4e-15, "{k}/{n}");
            }
        }
        assert_eq!(root(1, 4, 1.0), (0.0, 1.0));
        assert_eq!(root(2, 4, 1.0).0, -1.0);
    }

    #[test]
    fn the_host_transform_is_the_sum_it_stands_for() {
        let values: Vec<(f64, f64)> = (0..16).map(|i| ((i * i % 7) as f64, (i % 5) as f64 - 2.0)).collect();
        for (k, got) in transform(&values).into_iter().enumerate() {
            let mut sum = (0.0, 0.0);
            for (n, (re, im)) in values.iter().enumerate() {
                let (cos, sin) = root(n * k, 16, -1.0);
                sum = (sum.0 + re * cos - im * sin, sum.1 + re * sin + im * cos);
            }
            assert!((got.0 - sum.0).abs() < 1e-12 && (got.1 - sum.1).abs() < 1e-12, "{k}");
        }
    }

    #[test]
    fn lengths_divide_into_short_transforms() {
        assert_eq!(divisor(4096), Some(64));
        assert!(divisor(1000).is_some_and(|d| d == 25 || d == 40));
        assert_eq!(divisor(512), Some(16));
        assert_eq!(divisor(97), None);
        assert_eq!(divisor(2 * 97), Some(2));
        assert_eq!(divisor(97 * 97), None);
    }
}
