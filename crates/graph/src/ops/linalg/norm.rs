//! Norms of vectors and matrices.

use super::spectral::singular_values;
use crate::error::At;
use crate::ops::math::length;
use crate::ops::pointwise::working;
use crate::shape::Axes;
use crate::tensor::{Tensor, here};

/// Which norm; NumPy's `ord`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum NormOrder {
    /// The root of the sum of squares, over any number of axes.
    #[default]
    Euclidean,
    /// `"fro"`: that of a matrix.
    Frobenius,
    /// `"nuc"`: the sum of a matrix's singular values.
    Nuclear,
    /// A number. Of vectors `p`: `(Σ |x|ᵖ)^(1/p)`, the number of elements that are not 0 for 0, the largest or smallest
    /// absolute value for ±∞. Of matrices ±1: the largest or smallest sum of a column's absolute values; ±∞: of a
    /// row's; ±2: the largest or smallest singular value.
    P(f64),
}

impl From<f64> for NormOrder {
    fn from(p: f64) -> NormOrder {
        NormOrder::P(p)
    }
}

impl std::str::FromStr for NormOrder {
    type Err = String;

    fn from_str(name: &str) -> Result<NormOrder, String> {
        match name {
            "fro" => Ok(NormOrder::Frobenius),
            "nuc" => Ok(NormOrder::Nuclear),
            other => Err(format!("expected order `fro` or `nuc`, received `{other}`")),
        }
    }
}

/// The norm of vectors along one axis, of matrices along two (rows, columns), or of the whole tensor with `()`, which
/// must then be a vector or a matrix unless the order is Euclidean.
///
/// Integers become `float32`. The Euclidean norm's gradient at 0 is 0.
///
/// ```
/// use kiln_graph::{Tensor, ops, ops::NormOrder};
/// let x = Tensor::from_vec(&[3.0f32, 4.0, 0.0, -2.0], &[2, 2]);
/// assert_eq!(ops::norm(&x, NormOrder::Euclidean, -1, false).to_vec::<f32>()?, [5.0, 2.0]);
/// assert_eq!(ops::norm(&x, 1.0, (), false).item::<f32>()?, 6.0);
/// # Ok::<(), kiln_graph::Error>(())
/// ```
#[doc(alias = "vector_norm")]
#[track_caller]
pub fn norm(x: &Tensor, order: impl Into<NormOrder>, axes: impl Into<Axes>, keepdims: bool) -> Tensor {
    let at = here();
    if x.error().is_some() {
        return x.clone();
    }
    let (order, axes) = (order.into(), axes.into());
    let named = match &axes {
        Axes::All => (0..x.rank() as i64).collect(),
        Axes::Of(named) => named.clone(),
    };
    if let Err(message) = axes.resolve(x.rank()) {
        return Tensor::failed("norm", message, at);
    }
    let values = x.to_float();
    let result = match (order, &named[..]) {
        (NormOrder::Euclidean, _) => length(&values, &axes, at),
        (NormOrder::P(p), [axis]) => vector(&values, p, *axis, at),
        (_, [row, column]) => matrix(&values, order, *row, *column, at),
        _ => {
            let expected = match order {
                NormOrder::P(p) => format!("one axis (vectors) or two (matrices) for order {p}"),
                NormOrder::Frobenius => "two axes (matrices) for order `fro`".to_owned(),
                NormOrder::Nuclear => "two axes (matrices) for order `nuc`".to_owned(),
                NormOrder::Euclidean => "any axes".to_owned(),
            };
            let message = format!("expected {expected}, received axes {named:?} of shape {:?}", x.shape());
            return Tensor::failed("norm", message, at);
        }
    };
    let result = if keepdims { result.keep_dims(&values, axes) } else { result };
    result.part_of("norm", at, std::slice::from_ref(x))
}

fn vector(x: &Tensor, p: f64, axis: i64, at: At) -> Tensor {
    let size = || x.abs();
    match p {
        f64::INFINITY => extreme(&size(), axis, true, at),
        f64::NEG_INFINITY => extreme(&size(), axis, false, at),
        0.0 => x.not_equal(0.0).cast(x.dtype()).sum(axis),
        1.0 => size().sum(axis),
        2.0 => length(x, &Axes::from(axis), at),
        p => {
            let total = size().pow(p).sum(axis);
            let root = |total: &Tensor| total.pow(1.0 / p);
            if p < 1.0 {
                return root(&total);
            }
            // The length of nothing has no slope; 0 is among its subgradients.
            let nothing = total.equal(0.0);
            Tensor::select(&nothing, 0.0, root(&Tensor::select(&nothing, 1.0, &total)))
        }
    }
}

/// The largest or smallest along an axis that is not empty.
fn extreme(x: &Tensor, axis: i64, largest: bool, at: At) -> Tensor {
    if x.is_empty() {
        let message = format!("expected elements to choose from, received shape {:?}", x.shape());
        return Tensor::failed("norm", message, at);
    }
    if largest { x.max(axis) } else { x.min(axis) }
}

fn matrix(x: &Tensor, order: NormOrder, row: i64, column: i64, at: At) -> Tensor {
    // Rows before columns, both last.
    let rank = x.rank() as i64;
    let resolve = |axis: i64| if axis < 0 { axis + rank } else { axis };
    let (row, column) = (resolve(row), resolve(column));
    let others = (0..rank).filter(|axis| *axis != row && *axis != column);
    let moved = x.transpose(&others.chain([row, column]).collect::<Vec<_>>());
    let sums = |axis: i64, largest: bool| extreme(&moved.abs().sum(axis), -1, largest, at);
    let singular = || {
        let shape = moved.shape();
        let sizes = (shape[shape.len() - 2], shape[shape.len() - 1]);
        singular_values(&moved.cast_at(working(moved.dtype()), at), sizes, at).cast_at(x.dtype(), at)
    };
    match order {
        NormOrder::Euclidean | NormOrder::Frobenius => length(&moved, &Axes::from([-1, -2]), at),
        NormOrder::Nuclear => singular().sum(-1),
        NormOrder::P(1.0) => sums(-2, true),
        NormOrder::P(-1.0) => sums(-2, false),
        NormOrder::P(f64::INFINITY) => sums(-1, true),
        NormOrder::P(f64::NEG_INFINITY) => sums(-1, false),
        NormOrder::P(2.0) => extreme(&singular(), -1, true, at),
        NormOrder::P(-2.0) => extreme(&singular(), -1, false, at),
        NormOrder::P(p) => {
            let message =
                format!("expected order ±1, ±2, ±infinity, `fro` or `nuc` of matrices, received {p}");
            Tensor::failed("norm", message, at)
        }
    }
}
