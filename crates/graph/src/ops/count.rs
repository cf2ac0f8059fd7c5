//! Counting, correlation, and the like: vectors summed over one another.

use kiln_device::DType;

use super::arithmetic::met;
use super::pointwise::{composed, float_of, in_working, working};
use crate::error::Error;
use crate::shape::resolve_axis;
use crate::tensor::{Tensor, here};

/// How often each number from 0 on occurs, `int32`, or the sum of the weights of its occurrences, in their type. Of a
/// matrix `[n, m]` each row counts by itself: `[n, bins]`.
///
/// The number of bins is the largest element plus 1, and at least `minlength`. It depends on values, so they are
/// computed at once; while a function is traced that is an error. Negative numbers are an error too.
///
/// ```
/// use kiln_graph::{Tensor, ops};
/// let x = Tensor::from_slice(&[1, 2, 2, 4]);
/// assert_eq!(ops::bincount(&x, None, 0).to_vec::<i32>()?, [0, 1, 2, 0, 1]);
/// # Ok::<(), kiln_graph::Error>(())
/// ```
#[doc(alias = "histogram_fixed_width")]
#[track_caller]
pub fn bincount(x: &Tensor, weights: Option<&Tensor>, minlength: usize) -> Tensor {
    let at = here();
    let given: Vec<&Tensor> = std::iter::once(x).chain(weights).collect();
    composed("bincount", at, &given, || {
        if x.dtype().is_float() || !(1..=2).contains(&x.rank()) {
            let message = format!(
                "expected a vector or matrix of integers, received shape {:?} {}",
                x.shape(),
                x.dtype()
            );
            return Tensor::invalid("", message);
        }
        if let Some(weights) = weights.filter(|w| w.shape() != x.shape()) {
            let message =
                format!("expected weights of shape {:?}, received {:?}", x.shape(), weights.shape());
            return Tensor::invalid("", message);
        }
        let x = x.narrow_index(at);
        let length = match bins(&x) {
            Ok(length) => length.max(minlength),
            Err(Error::Trace { .. }) => {
                let message = "the number of bins depends on values, which are not known while a function is traced; \
                               sum one_hot rows over a fixed number of classes instead";
                return Tensor::invalid("", message);
            }
            Err(error) => return Tensor::from_error(error, at),
        };
        let ones = Tensor::full(x.shape(), 1.0, DType::I32);
        let weights =
            weights.map_or(ones, |w| if w.dtype() == DType::Bool { w.cast(DType::I32) } else { w.clone() });
        // Rows stand behind one another.
        let rows = if x.rank() == 2 { x.shape()[0] } else { 1 };
        let Some(cells) = rows.checked_mul(length).filter(|cells| i32::try_from(*cells).is_ok()) else {
            return Tensor::invalid("", format!("{rows} rows of {length} bins are too many"));
        };
        let place = if x.rank() == 2 { Tensor::iota(x.shape(), 0) * length as i32 + &x } else { x.clone() };
        let sums = Tensor::full(&[cells], 0.0, weights.dtype())
            .scatter_add(&place.flatten_from(0), &weights.flatten_from(0));
        if x.rank() == 2 { sums.reshape(&[rows as i64, length as i64]) } else { sums }
    })
}

/// One more than the largest element; a negative one is an error.
fn bins(x: &Tensor) -> Result<usize, Error> {
    if x.is_empty() {
        return Ok(0);
    }
    let (low, high) = (x.min(()), x.max(()));
    Tensor::eval_all(&[low.clone(), high.clone()])?;
    let (low, high) = (low.item::<i32>()?, high.item::<i32>()?);
    match usize::try_from(high) {
        Ok(high) if low >= 0 => Ok(high + 1),
        _ => Err(Error::Operation {
            op: "bincount",
            message: format!("expected numbers from 0 on, received {low}"),
            at: x.node.at,
        }),
    }
}

/// How many elements lie in each of `bins` equal parts of a range (that of the elements where none is given), `int32`,
/// and the edges of the parts, `bins + 1` of them, `float32`. The last part holds its upper edge too. NaN and elements
/// outside are not counted.
///
/// ```
/// use kiln_graph::{Tensor, ops};
/// let (counts, edges) = ops::histogram(&Tensor::from_slice(&[1.0f32, 2.0, 1.0]), 2, Some((1.0, 3.0)));
/// assert_eq!(counts.to_vec::<i32>()?, [2, 1]);
/// assert_eq!(edges.to_vec::<f32>()?, [1.0, 2.0, 3.0]);
/// # Ok::<(), kiln_graph::Error>(())
/// ```
#[track_caller]
pub fn histogram(x: &Tensor, bins: usize, range: Option<(f64, f64)>) -> (Tensor, Tensor) {
    let at = here();
    let edges = composed("histogram", at, &[x], || edges_of(x, bins, range));
    let counts = composed("histogram", at, &[x, &edges], || {
        let x = x.cast(edges.dtype()).flatten_from(0);
        let edge = |index: &Tensor| edges.take(index, 0);
        let (low, high) = (edges.slice_axis(0, 0, 1), edges.slice_axis(0, bins as i64, bins as i64 + 1));
        let inside = x.greater_equal(&low).logical_and(x.less_equal(&high));
        let share = Tensor::select(&inside, (&x - &low) / (&high - &low), 0.0);
        let last = bins as i32 - 1;
        let guess = (share * bins as f64).floor().cast(DType::I32).clip(0, last);
        // The edges decide, not the quotient.
        let less = x.less(edge(&guess)).cast(DType::I32);
        let more = x.greater_equal(edge(&(&guess + 1))).cast(DType::I32);
        let bin = (guess - less + more).clip(0, last);
        Tensor::full(&[bins], 0.0, DType::I32).scatter_add(&bin, &inside.cast(DType::I32))
    });
    (counts, edges)
}

fn edges_of(x: &Tensor, bins: usize, range: Option<(f64, f64)>) -> Tensor {
    if bins == 0 || i32::try_from(bins).is_err() {
        return Tensor::invalid("", format!("expected at least one bin, received {bins}"));
    }
    let dtype = working(x.dtype());
    let number = |x: f64| Tensor::full(&[], x, dtype);
    let (low, high) = match range {
        Some((low, high)) if !(low.is_finite() && high.is_finite() && low <= high) => {
            return Tensor::invalid(
                "",
                format!("expected a finite range in ascending order, received {low}..{high}"),
            );
        }
        Some((low, high)) => (number(low), number(high)),
        None if x.is_empty() => (number(0.0), number(1.0)),
        None => (x.cast(dtype).min(()), x.cast(dtype).max(())),
    };
    // A range of one point becomes one of width 1 around it.
    let half = low.equal(&high).cast(dtype) * 0.5;
    super::linspace(low - &half, high + half, bins + 1, true, None, 0)
}

/// Which positions of two vectors against one another count; NumPy's `mode`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CorrelateMode {
    /// Where the shorter one lies within the longer.
    #[default]
    Valid,
    /// As many as the longer one has elements, from the middle.
    Same,
    /// Wherever they touch.
    Full,
}

impl std::str::FromStr for CorrelateMode {
    type Err = String;

    fn from_str(name: &str) -> Result<CorrelateMode, String> {
        match name {
            "valid" => Ok(CorrelateMode::Valid),
            "same" => Ok(CorrelateMode::Same),
            "full" => Ok(CorrelateMode::Full),
            other => Err(format!("expected a mode valid, same or full, received {other:?}")),
        }
    }
}

/// Cross-correlation of two vectors: `Σ_n x1[n + k] · x2[n]` over k, as a float.
///
/// ```
/// use kiln_graph::{Tensor, ops, ops::CorrelateMode};
/// let x = Tensor::from_slice(&[1.0f32, 2.0, 3.0]);
/// let y = Tensor::from_slice(&[0.0f32, 1.0, 0.5]);
/// assert_eq!(ops::correlate(&x, &y, CorrelateMode::Valid).to_vec::<f32>()?, [3.5]);
/// # Ok::<(), kiln_graph::Error>(())
/// ```
#[track_caller]
pub fn correlate(x1: &Tensor, x2: &Tensor, mode: CorrelateMode) -> Tensor {
    composed("correlate", here(), &[x1, x2], || {
        if x1.rank() != 1 || x2.rank() != 1 || x1.is_empty() || x2.is_empty() {
            let message = format!(
                "expected two vectors of at least one element, received {:?} and {:?}",
                x1.shape(),
                x2.shape()
            );
            return Tensor::invalid("", message);
        }
        let dtype = float_of(super::promote(x1.dtype(), x2.dtype()));
        let (x1, x2) = (x1.cast(working(dtype)), x2.cast(working(dtype)));
        // Exchanged, the correlation runs backwards.
        let swapped = x1.len() < x2.len();
        let (long, short) = if swapped { (&x2, &x1) } else { (&x1, &x2) };
        let edge = short.len() - 1;
        let (low, high) = match mode {
            CorrelateMode::Valid => (0, 0),
            CorrelateMode::Same => (short.len() / 2, edge - short.len() / 2),
            CorrelateMode::Full => (edge, edge),
        };
        let windows = long.pad(&[(low, high)], 0.0).window(0, short.len(), 1, 1);
        let sums = (windows * short).sum(-1);
        let sums = if swapped { sums.flip(()) } else { sums };
        sums.cast(dtype)
    })
}

/// Pearson's correlation coefficients of the rows of a matrix, in −1..1, as a float: `[n, n]` of `[n, observations]`, a
/// scalar of a vector or a single row. A row without variance gives NaN.
#[track_caller]
pub fn corrcoef(x: &Tensor) -> Tensor {
    composed("corrcoef", here(), &[x], || {
        if x.rank() > 2 || x.rank() == 0 {
            return Tensor::invalid(
                "",
                format!("expected a vector or a matrix, received shape {:?}", x.shape()),
            );
        }
        if x.shape()[x.rank() - 1] == 0 {
            let shape = if x.rank() == 1 || x.shape()[0] == 1 { vec![] } else { vec![x.shape()[0]; 2] };
            return Tensor::full(&shape, f64::NAN, super::pointwise::float_of(x.dtype()));
        }
        in_working(x, |x| {
            let rows = if x.rank() == 1 { x.expand_dims(0) } else { x.clone() };
            let centred = &rows - rows.mean(-1).keep_dims(&rows, -1);
            // Rows of length 1 at once, so that no square of theirs leaves the range of floats.
            let size = centred.abs().max(-1).keep_dims(&rows, -1).stop_gradient();
            let unit = centred / size;
            let unit = &unit * unit.square().sum(-1).keep_dims(&rows, -1).rsqrt();
            let products = unit.matmul(&unit.transpose(&[1, 0])).clip(-1.0, 1.0);
            if rows.shape()[0] == 1 { products.reshape(&[]) } else { products }
        })
    })
}

/// The integral of samples `y` along an axis by the trapezoidal rule, as a float: at positions `x` (of `y`'s shape, or a
/// vector along the axis), or `dx` apart.
///
/// ```
/// use kiln_graph::{Tensor, ops};
/// let y = Tensor::from_slice(&[1.0f32, 2.0, 3.0]);
/// assert_eq!(ops::trapezoid(&y, None, 1.0, -1).item::<f32>()?, 4.0);
/// # Ok::<(), kiln_graph::Error>(())
/// ```
#[track_caller]
pub fn trapezoid(y: &Tensor, x: Option<&Tensor>, dx: impl Into<f64>, axis: i64) -> Tensor {
    let given: Vec<&Tensor> = std::iter::once(y).chain(x).collect();
    composed("trapezoid", here(), &given, || {
        let Some(place) = resolve_axis(axis, y.rank()) else {
            return Tensor::invalid("", crate::shape::no_axis(axis, y.shape()));
        };
        let dtype = float_of(x.map_or(y.dtype(), |x| super::promote(y.dtype(), x.dtype())));
        let y = y.cast(working(dtype));
        let (place, length) = (place as i64, y.shape()[place]);
        if length < 2 {
            return (y * 0.0).sum(place).cast(dtype);
        }
        let ends = |t: &Tensor, axis: i64, n: usize| {
            (t.slice_axis(axis, 1, n as i64), t.slice_axis(axis, 0, n as i64 - 1))
        };
        let (after, before) = ends(&y, place, length);
        let heights = (after + before) * 0.5;
        let areas = match x {
            None => heights * dx.into(),
            Some(x) if x.rank() == 1 && x.len() == length => {
                let (after, before) = ends(&x.cast(working(dtype)), 0, length);
                let mut shape = vec![1; y.rank()];
                shape[place as usize] = -1;
                heights * (after - before).reshape(&shape)
            }
            Some(x) if x.shape() == y.shape() => {
                let (after, before) = ends(&x.cast(working(dtype)), place, length);
                heights * (after - before)
            }
            Some(x) => {
                let message = format!(
                    "expected positions of shape {:?}, or a vector of {length}, received {:?}",
                    y.shape(),
                    x.shape()
                );
                return Tensor::invalid("", message);
            }
        };
        areas.sum(place).cast(dtype)
    })
}

/// The Vandermonde matrix of a vector: its powers from `n − 1` down to 0 (upwards where `increasing`), one a column;
/// `n` is the vector's length where none is given.
///
/// ```
/// use kiln_graph::{Tensor, ops};
/// let x = Tensor::from_slice(&[2, 3]);
/// assert_eq!(ops::vander(&x, Some(3), false).to_vec::<i32>()?, [4, 2, 1, 9, 3, 1]);
/// # Ok::<(), kiln_graph::Error>(())
/// ```
#[track_caller]
pub fn vander(x: &Tensor, n: Option<usize>, increasing: bool) -> Tensor {
    composed("vander", here(), &[x], || {
        if x.rank() != 1 || x.dtype() == DType::Bool {
            return Tensor::invalid(
                "",
                format!("expected a vector of numbers, received shape {:?} {}", x.shape(), x.dtype()),
            );
        }
        let powers = Tensor::range(n.unwrap_or(x.len())).cast(x.dtype());
        let powers = if increasing { powers } else { powers.flip(()) };
        met("vander", here(), (x.expand_dims(1), powers), |x, powers| x.pow(powers))
    })
}
