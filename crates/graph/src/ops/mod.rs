//! What users call: operations on tensors, as primitives or arithmetic on them. NumPy's and Keras' names and rules.
//!
//! None returns a `Result`: an operation that cannot be built gives a tensor that carries the error. The free functions
//! are named as in `keras.ops` and take its parameters in its order; the methods of [`crate::Tensor`] have its defaults.

mod activations;
mod arithmetic;
mod arrange;
mod associative;
mod at;
mod attention;
mod bits;
mod choose;
mod contract;
mod control;
mod convert;
mod convolution;
mod count;
mod create;
pub(crate) mod creation;
mod ctc;
mod diagonal;
mod double;
mod einsum;
mod elementwise;
mod gather;
mod hyperbolic;
pub mod image;
mod index;
mod indexing;
pub mod linalg;
mod logarithm;
mod logic;
mod losses;
mod math;
mod nan;
mod nn;
mod normalization;
mod operators;
mod padding;
mod patches;
mod pointwise;
mod pooling;
mod products;
mod quantile;
mod random;
mod rearrange;
mod reduce;
mod repeat;
mod search;
mod segment;
pub mod signal;
mod slicing;
mod spaces;
pub(crate) mod spatial;
mod special;
mod split;
mod statistics;
mod unique;
mod view;
mod views;
mod windows;

pub use activations::*;
pub use arithmetic::*;
pub use arrange::vstack;
pub use arrange::{
    GridIndexing, append, broadcast_to, concatenate, diff, dstack, expand_dims, flip, fliplr, flipud,
};
pub use arrange::{
    hstack, meshgrid, moveaxis, ravel, reshape, roll, rot90, squeeze, stack, swapaxes, transpose,
};
pub use associative::associative_scan;
pub use at::Indexed;
pub use attention::dot_product_attention;
pub use bits::*;
pub(crate) use choose::Block;
pub use choose::get_item;
pub use contract::Padding;
pub use control::{Branch, cond, fori_loop, map, scan, switch, vectorized_map, while_loop};
pub(crate) use control::{map_rows, turns_between};
pub use convert::*;
pub use convolution::{conv, conv_transpose, depthwise_conv, separable_conv};
pub use count::*;
pub use create::*;
pub use ctc::{CtcStrategy, ctc_decode, ctc_loss};
pub use diagonal::{diag, diagflat, diagonal, trace, tril, triu};
pub use einsum::einsum;
pub use elementwise::{Operand, promote};
pub(crate) use gather::rows_or_none;
pub use gather::{
    gather, gather_nd, scatter, scatter_nd, scatter_update, tensor_scatter_nd_add, tensor_scatter_nd_max,
};
pub use gather::{tensor_scatter_nd_min, tensor_scatter_nd_sub, tensor_scatter_nd_update};
pub use hyperbolic::*;
pub use indexing::{Ellipsis, Index, IndexItem, NewAxis, Span};
pub use linalg::{
    NormOrder, QrMode, cholesky, cholesky_inverse, det, eig, eigh, expm, inv, logdet, lstsq, lu_factor,
    matrix_rank, norm, pinv, qr, slogdet, solve, solve_triangular, svd, svdvals,
};
pub use logarithm::*;
pub use logic::*;
pub use losses::*;
pub use math::{cdist, erf, erfc, erfinv, in_top_k, logsumexp, rsqrt, top_k};
pub use nan::*;
pub use normalization::*;
pub use padding::{PadMode, PadWidth, pad};
pub use patches::{depth_to_space, fold, space_to_depth, unfold};
pub use pointwise::*;
pub use pooling::{adaptive_average_pool, adaptive_max_pool, average_pool, max_pool};
pub use products::{Contraction, CrossAxes, cross, dot, inner, kron, matmul, outer, tensordot, vdot};
pub use quantile::*;
pub use random::random_key;
pub use rearrange::rearrange;
pub use repeat::{Repeats, repeat, tile};
pub use search::{
    Side, argpartition, argsort, digitize, isin, nonzero, searchsorted, select, sort, unravel_index,
};
pub use segment::{segment_max, segment_min, segment_prod, segment_sum};
pub use signal::{
    Window, extract_sequences, fft, fft2, ifft, ifft2, irfft, istft, rfft, stft, view_as_complex,
    view_as_real,
};
pub use slicing::{Start, slice, slice_update, take, take_along_axis};
pub use spaces::*;
pub use spatial::{DataFormat, PerAxis};
pub use special::*;
pub use split::{Sections, array_split, dsplit, hsplit, split, unstack, vsplit};
pub use statistics::*;
pub use unique::{Unique, unique};
pub use views::view;
pub use windows::*;
