//! The primitives of the graph. Everything else is arithmetic on these.
//!
//! An `Op` says what a node computes, apart from its inputs, shape and dtype, which stand in the node. Shapes are
//! concrete; broadcasting is explicit; every value is dense and row-major. The set is closed under differentiation
//! (see `grad.rs`), has a naive meaning (see `interpret.rs`) and a shape rule ([`Op::check`]); each of these is one
//! exhaustive `match`, so that a primitive without one does not compile.

use std::borrow::Cow;
use std::sync::Arc;

use kiln_device::{BinaryOp, CompareOp, DType, ReduceOp, ScatterOp, UnaryOp, Value};

use serde::{Deserialize, Serialize};

use crate::shape::Shape;

mod call;

pub(crate) use call::Identity;
pub use call::{Call, Extended, Form, Host, Loop, Work};

/// Which of the three bilinear maps of a convolution is meant. With `y = conv(x, w)`: each one's gradients are the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ConvKind {
    /// `(x, w) → y`.
    Forward,
    /// `(dy, w) → dx`; a transposed convolution.
    InputGradient,
    /// `(x, dy) → dw`.
    KernelGradient,
}

/// The geometry of a convolution over any number of spatial axes; channels last.
///
/// `x: [n, input.., in_channels]`, `w: [kernel.., in_channels / groups, out_channels]`, `y: [n, output.., out_channels]`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ConvGeometry {
    /// Spatial extents of `x`.
    pub input: Vec<usize>,
    /// Spatial extents of `w`.
    pub kernel: Vec<usize>,
    /// Step of the window.
    pub strides: Vec<usize>,
    /// Step within the window.
    pub dilations: Vec<usize>,
    /// Zeros before and after each spatial axis of `x`.
    pub padding: Vec<(usize, usize)>,
    /// Independent groups of channels.
    pub groups: usize,
}

impl ConvGeometry {
    /// Spatial extents of `y`; `None` where the window does not fit.
    pub fn output(&self) -> Option<Vec<usize>> {
        (0..self.input.len())
            .map(|i| {
                let reach = self.kernel[i].checked_sub(1)?.checked_mul(self.dilations[i])?;
                let padded = self.input[i].checked_add(self.padding[i].0)?.checked_add(self.padding[i].1)?;
                Some(padded.checked_sub(reach.checked_add(1)?)? / self.strides[i] + 1)
            })
            .collect()
    }
}

/// Serde of what an [`Arc`] holds.
mod shared {
    use std::sync::Arc;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<T: Serialize, S: Serializer>(shared: &Arc<T>, to: S) -> Result<S::Ok, S::Error> {
        T::serialize(shared, to)
    }

    pub(super) fn deserialize<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Arc<T>, D::Error> {
        T::deserialize(from).map(Arc::new)
    }
}

/// A primitive.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Op {
    /// The n-th leaf: data, state or placeholder, bound at run time.
    Input(usize),
    /// One value, everywhere.
    Constant(Value),
    /// The coordinate along an axis, `i32`.
    Iota {
        /// The axis.
        axis: usize,
    },
    /// An elementwise operation on one value.
    Unary(UnaryOp),
    /// An elementwise operation on two values of one shape and type.
    Binary(BinaryOp),
    /// An elementwise comparison of two values of one shape and type.
    Compare(CompareOp),
    /// Elements of the second input where the first (`bool`) is true, else of the third.
    Select,
    /// Conversion to the node's dtype by value.
    Cast,
    /// The same bits as the node's dtype.
    Bitcast,
    /// Random bits, `u32`: threefry2x32 with the key of the input (`u32 [2]`) and each element's flat index as counter.
    Random,
    /// The input (`i32` or `i64`) as `i32`, of which negative elements count from the end where `wrap` says so; an element
    /// outside `0..bound` then is reported with the run, as it came, and replaced by some valid one.
    CheckIndex {
        /// One past the largest valid index.
        bound: usize,
        /// Whether `-bound..0` stands for `0..bound`.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        wrap: bool,
        /// The operation that the error names.
        op: Cow<'static, str>,
    },
    /// Folds some axes away.
    Reduce {
        /// What is folded.
        op: ReduceOp,
        /// The axes, ascending.
        axes: Vec<usize>,
    },
    /// `[batch.., m, k] · [batch.., k, n] → [batch.., m, n]`.
    MatMul,
    /// One of a convolution's three bilinear maps.
    Conv {
        /// Which one.
        kind: ConvKind,
        /// Its geometry.
        geometry: ConvGeometry,
    },
    /// The same elements in row-major order under another shape.
    Reshape,
    /// Output axis `i` is input axis `permutation[i]`.
    Transpose {
        /// A permutation of the axes.
        permutation: Vec<usize>,
    },
    /// Input axis `i` is output axis `axes[i]`; along the others the values repeat.
    Broadcast {
        /// Ascending.
        axes: Vec<usize>,
    },
    /// `output[i] = input[start + i·step]` on every axis; steps may be negative.
    Slice {
        /// First element of each axis.
        start: Vec<usize>,
        /// Distance of each axis.
        step: Vec<i64>,
    },
    /// Puts the elements `interior + 1` apart, with `low` before and `high` after; the rest is `value`.
    Pad {
        /// Elements before.
        low: Vec<usize>,
        /// Elements after.
        high: Vec<usize>,
        /// Elements between two neighbours.
        interior: Vec<usize>,
        /// What the new elements hold.
        value: Value,
    },
    /// `[.., l, ..] → [.., o, w, ..]` at `axis`: `output[o, w] = input[o·stride + w·dilation]`.
    Window {
        /// The axis that becomes two.
        axis: usize,
        /// Elements of a window.
        size: usize,
        /// Distance of two windows.
        stride: usize,
        /// Distance of two elements of a window.
        dilation: usize,
    },
    /// `[.., o, w, ..] → [.., l, w, ..]` at `axis`: `output[o·stride + w·dilation, w] = input[o, w]`, else 0.
    Unwindow {
        /// The axis of the windows.
        axis: usize,
        /// Extent of the new axis.
        length: usize,
        /// Distance of two windows.
        stride: usize,
        /// Distance of two elements of a window.
        dilation: usize,
    },
    /// Inputs behind one another along an axis.
    Concat {
        /// The axis.
        axis: usize,
    },
    /// `(x [v, d..], indices i32 [n..]) → [n.., d..]`: rows of `x`. Indices must be in range (see `CheckIndex`).
    Gather,
    /// `(x [v, d..], indices i32 [n], updates [n, d..]) → [v, d..]`: `x` with updates folded in, in order.
    Scatter {
        /// How.
        op: ScatterOp,
    },
    /// Positions (`i32`) that sort the last axis, stably; NaN last.
    ArgSort {
        /// Largest first.
        descending: bool,
    },
    /// Running fold along an axis.
    Scan {
        /// What is folded.
        op: ReduceOp,
        /// The axis.
        axis: usize,
        /// From the end backwards.
        reverse: bool,
    },
    /// The input; gradients stop here.
    StopGradient,
    /// The input, stored: no fusion across it.
    Barrier,
    /// Something with several results, each taken by a [`Op::Result`]. The node itself holds no elements: it is `bool [0]`.
    Call(#[serde(with = "shared")] Arc<Call>),
    /// One result of the input, a call.
    Result {
        /// Which one.
        index: usize,
    },
}

/// `names!` gives every structural primitive a name and makes the list of them.
macro_rules! names {
    ($($pattern:pat => $name:literal,)*) => {
        impl Op {
            /// The names of every primitive but the elementwise ones, whose tables are [`UnaryOp::ALL`],
            /// [`BinaryOp::ALL`] and [`CompareOp::ALL`].
            /// Calls are named by [`Work::NAMES`].
            pub const NAMES: &'static [&'static str] = &[$($name,)*];

            /// The name in listings and errors.
            pub fn name(&self) -> &'static str {
                match self {
                    Op::Unary(op) => op.name(),
                    Op::Binary(op) => op.name(),
                    Op::Compare(op) => op.name(),
                    Op::Call(call) => call.work.name(),
                    $($pattern => $name,)*
                }
            }
        }
    };
}

names! {
    Op::Input(_) => "input",
    Op::Constant(_) => "constant",
    Op::Iota { .. } => "iota",
    Op::Select => "select",
    Op::Cast => "cast",
    Op::Bitcast => "bitcast",
    Op::Random => "random",
    Op::CheckIndex { .. } => "check_index",
    Op::Reduce { op: ReduceOp::Sum, .. } => "reduce_sum",
    Op::Reduce { op: ReduceOp::Prod, .. } => "reduce_prod",
    Op::Reduce { op: ReduceOp::Max, .. } => "reduce_max",
    Op::Reduce { op: ReduceOp::Min, .. } => "reduce_min",
    Op::MatMul => "matmul",
    Op::Conv { kind: ConvKind::Forward, .. } => "conv",
    Op::Conv { kind: ConvKind::InputGradient, .. } => "conv_input_gradient",
    Op::Conv { kind: ConvKind::KernelGradient, .. } => "conv_kernel_gradient",
    Op::Reshape => "reshape",
    Op::Transpose { .. } => "transpose",
    Op::Broadcast { .. } => "broadcast",
    Op::Slice { .. } => "slice",
    Op::Pad { .. } => "pad",
    Op::Window { .. } => "window",
    Op::Unwindow { .. } => "unwindow",
    Op::Concat { .. } => "concat",
    Op::Gather => "gather",
    Op::Scatter { .. } => "scatter",
    Op::ArgSort { .. } => "argsort",
    Op::Scan { .. } => "scan",
    Op::StopGradient => "stop_gradient",
    Op::Barrier => "barrier",
    Op::Result { .. } => "result",
}

impl Op {
    /// Checks inputs and parameters against the primitive's rule and `shape`/`dtype`, the result they claim.
    ///
    /// Tensor methods give people better words; this is the verifier's last word between stages.
    pub fn check(&self, inputs: &[(&[usize], DType)], shape: &[usize], dtype: DType) -> Result<(), String> {
        let want = |ok: bool, what: &str| if ok { Ok(()) } else { Err(what.to_owned()) };
        let same = |i: usize| inputs[i].0 == shape;
        let (arity, name) = (inputs.len(), self.name());
        let expected = match self {
            Op::Input(_) | Op::Constant(_) | Op::Iota { .. } => Some(0),
            Op::Binary(_) | Op::Compare(_) | Op::MatMul | Op::Conv { .. } | Op::Gather => Some(2),
            Op::Select | Op::Scatter { .. } => Some(3),
            Op::Concat { .. } | Op::Call(_) => None,
            Op::Unary(_)
            | Op::Cast
            | Op::Bitcast
            | Op::Random
            | Op::CheckIndex { .. }
            | Op::Reduce { .. } => Some(1),
            Op::Reshape | Op::Transpose { .. } | Op::Broadcast { .. } | Op::Slice { .. } | Op::Pad { .. } => {
                Some(1)
            }
            Op::Window { .. } | Op::Unwindow { .. } | Op::ArgSort { .. } | Op::Scan { .. } => Some(1),
            Op::StopGradient | Op::Barrier | Op::Result { .. } => Some(1),
        };
        want(
            expected.is_none_or(|n| n == arity),
            &format!("{name} takes another number of inputs than {arity}"),
        )?;
        match self {
            Op::Input(_) => Ok(()),
            Op::Constant(value) => want(value.scalar() == dtype.scalar(), "constant of another type"),
            Op::Iota { axis } => want(*axis < shape.len() && dtype == DType::I32, "iota axis or type"),
            Op::Unary(op) => want(
                same(0) && op.result(inputs[0].1.scalar()) == Some(dtype.scalar()),
                "operand of unary operation",
            ),
            Op::Binary(op) => want(
                same(0)
                    && same(1)
                    && inputs[0].1 == dtype
                    && inputs[1].1 == dtype
                    && op.accepts(dtype.scalar()),
                "operands of binary operation",
            ),
            Op::Compare(_) => want(
                same(0) && same(1) && inputs[0].1 == inputs[1].1 && dtype == DType::Bool,
                "operands of comparison",
            ),
            Op::Select => want(
                same(0)
                    && same(1)
                    && same(2)
                    && inputs[0].1 == DType::Bool
                    && inputs[1].1 == dtype
                    && inputs[2].1 == dtype,
                "operands of select",
            ),
            Op::Cast => want(same(0), "shape of cast"),
            Op::Bitcast => {
                let bits = |d: DType| match d {
                    DType::F32 | DType::I32 | DType::U32 => Some(32),
                    DType::F64 | DType::I64 => Some(64),
                    DType::F16 | DType::BF16 | DType::U8 | DType::Bool => None,
                };
                let fits = bits(dtype).is_some() && bits(inputs[0].1) == bits(dtype);
                want(same(0) && fits, "bitcast between two types of 32 bits, or two of 64")
            }
            Op::Random => {
                want(inputs[0].0 == [2] && inputs[0].1 == DType::U32 && dtype == DType::U32, "random key")
            }
            Op::CheckIndex { bound, .. } => want(
                same(0)
                    && matches!(inputs[0].1, DType::I32 | DType::I64)
                    && dtype == DType::I32
                    && *bound > 0,
                "checked index",
            ),
            Op::Reduce { axes, .. } => {
                let kept = without(inputs[0].0, axes);
                want(kept.as_deref() == Some(shape) && inputs[0].1 == dtype, "shape of reduction")
            }
            Op::MatMul => {
                let ((a, ta), (b, tb)) = (inputs[0], inputs[1]);
                let rank = shape.len();
                let ok = rank >= 2
                    && a.len() == rank
                    && b.len() == rank
                    && a[..rank - 2] == shape[..rank - 2]
                    && b[..rank - 2] == shape[..rank - 2]
                    && a[rank - 1] == b[rank - 2]
                    && shape[rank - 2..] == [a[rank - 2], b[rank - 1]];
                want(ok && ta == tb && ta == dtype && dtype != DType::Bool, "operands of matmul")
            }
            Op::Conv { kind, geometry } => {
                let (x, w, y) = match kind {
                    ConvKind::Forward => (inputs[0].0, inputs[1].0, shape),
                    ConvKind::InputGradient => (shape, inputs[1].0, inputs[0].0),
                    ConvKind::KernelGradient => (inputs[0].0, shape, inputs[1].0),
                };
                want(
                    geometry.matches(x, w, y) && inputs.iter().all(|i| i.1 == dtype) && dtype != DType::Bool,
                    "operands of convolution",
                )
            }
            Op::Reshape => {
                let count = |s: &[usize]| s.iter().product::<usize>();
                want(count(inputs[0].0) == count(shape) && inputs[0].1 == dtype, "element count of reshape")
            }
            Op::Transpose { permutation } => {
                let permuted: Option<Shape> =
                    permutation.iter().map(|p| inputs[0].0.get(*p).copied()).collect();
                want(permuted.as_deref() == Some(shape) && inputs[0].1 == dtype, "permutation")
            }
            Op::Broadcast { axes } => {
                let ok = axes.len() == inputs[0].0.len()
                    && axes.windows(2).all(|w| w[0] < w[1])
                    && axes.iter().zip(inputs[0].0).all(|(a, d)| shape.get(*a) == Some(d));
                want(ok && inputs[0].1 == dtype, "axes of broadcast")
            }
            Op::Slice { start, step } => {
                let inside = |i: usize| {
                    let last = start[i] as i128 + (shape[i] as i128 - 1) * i128::from(step[i]);
                    let extent = 0..inputs[0].0[i] as i128;
                    shape[i] == 0 || extent.contains(&(start[i] as i128)) && extent.contains(&last)
                };
                let rank = shape.len();
                let ok = start.len() == rank && step.len() == rank && inputs[0].0.len() == rank;
                want(ok && (0..rank).all(inside) && inputs[0].1 == dtype, "range of slice")
            }
            Op::Pad { low, high, interior, value } => {
                let rank = shape.len();
                let ok = [low.len(), high.len(), interior.len(), inputs[0].0.len()] == [rank; 4];
                let extent = |i: usize| {
                    let between = interior[i].checked_mul(inputs[0].0[i].saturating_sub(1))?;
                    low[i].checked_add(high[i])?.checked_add(inputs[0].0[i])?.checked_add(between)
                };
                let fits = ok && (0..rank).all(|i| extent(i) == Some(shape[i]));
                want(fits && value.scalar() == dtype.scalar() && inputs[0].1 == dtype, "extent of pad")
            }
            Op::Window { axis, size, stride, dilation } => {
                let mut out = inputs[0].0.to_vec();
                let windows = match out.get(*axis) {
                    Some(length) => window_count(*length, *size, *stride, *dilation),
                    None => return Err("axis of window".into()),
                };
                out.splice(axis..=axis, [windows, *size]);
                want(out == shape && inputs[0].1 == dtype, "extent of window")
            }
            Op::Unwindow { axis, length, stride, dilation } => {
                let (input, mut out) = (inputs[0].0, inputs[0].0.to_vec());
                if axis + 1 >= input.len() {
                    return Err("axis of unwindow".into());
                }
                out[*axis] = *length;
                let reach = |i: usize, step: usize| input[i].saturating_sub(1).saturating_mul(step);
                let last = reach(*axis, *stride).saturating_add(reach(axis + 1, *dilation));
                want(
                    out == shape && (last < *length || input.contains(&0)) && inputs[0].1 == dtype,
                    "extent of unwindow",
                )
            }
            Op::Concat { axis } => {
                let rest = |s: &[usize]| without(s, &[*axis]);
                let ok = arity > 0
                    && inputs.iter().all(|(s, d)| rest(s).is_some() && rest(s) == rest(shape) && *d == dtype)
                    && inputs.iter().map(|(s, _)| s[*axis]).sum::<usize>() == shape[*axis];
                want(ok, "shapes of concat")
            }
            Op::Gather => {
                let ((x, tx), (i, ti)) = (inputs[0], inputs[1]);
                let ok = !x.is_empty() && [i, &x[1..]].concat() == shape && tx == dtype && ti == DType::I32;
                want(ok, "operands of gather")
            }
            Op::Scatter { .. } => {
                let ((x, tx), (i, ti), (u, tu)) = (inputs[0], inputs[1], inputs[2]);
                let ok = !x.is_empty()
                    && x == shape
                    && i.len() == 1
                    && u.len() == x.len()
                    && u[0] == i[0]
                    && u[1..] == x[1..];
                want(ok && tx == dtype && tu == dtype && ti == DType::I32, "operands of scatter")
            }
            Op::ArgSort { .. } => {
                want(same(0) && !shape.is_empty() && dtype == DType::I32, "operand of argsort")
            }
            Op::Scan { axis, .. } => {
                want(same(0) && *axis < shape.len() && inputs[0].1 == dtype, "axis of scan")
            }
            Op::StopGradient | Op::Barrier => want(same(0) && inputs[0].1 == dtype, "shape of a mark"),
            Op::Call(call) => {
                want(shape == [0] && dtype == DType::Bool, "a call holds no elements")?;
                call.check(inputs)
            }
            // Its form is the call's to say: see `Graph::verify`.
            Op::Result { .. } => Ok(()),
        }
    }
}

impl ConvGeometry {
    fn matches(&self, x: &[usize], w: &[usize], y: &[usize]) -> bool {
        let n = self.input.len();
        if x.len() != n + 2 || w.len() != n + 2 || y.len() != n + 2 || self.groups == 0 {
            return false;
        }
        x[1..=n] == self.input[..]
            && w[..n] == self.kernel[..]
            && self.output().as_deref() == Some(&y[1..=n])
            && x[0] == y[0]
            && w[n].checked_mul(self.groups) == Some(x[n + 1])
            && w[n + 1] == y[n + 1]
            && w[n + 1].is_multiple_of(self.groups)
    }
}

/// Number of windows on an axis.
pub fn window_count(length: usize, size: usize, stride: usize, dilation: usize) -> usize {
    let reach = size.saturating_sub(1).saturating_mul(dilation);
    if length <= reach { 0 } else { (length - 1 - reach) / stride.max(1) + 1 }
}

/// `shape` without some axes (ascending); `None` where one is out of range.
pub fn without(shape: &[usize], axes: &[usize]) -> Option<Shape> {
    if axes.iter().any(|a| *a >= shape.len()) {
        return None;
    }
    Some(shape.iter().enumerate().filter(|(i, _)| !axes.contains(i)).map(|(_, d)| *d).collect())
}
