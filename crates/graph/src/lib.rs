//! Tensors, tracing, automatic differentiation, fusion and memory plans.
//!
//! A [`Tensor`] is a lazy expression. Reading it, or calling a [`Function`], sends the expression down the pipeline
//! that the modules follow in order:
//!
//! ```text
//! tensor, ops, variable   what users hold and call
//! bundle, host            operations with several results; functions of the host
//! body, control           branches and loops
//! trace, build            expressions and effects → graph
//! op, graph, grad         the primitives, the arena, the gradients
//! interpret               the naive meaning of every primitive: the oracle
//! fuse, lower, plan       graph → groups → kernels → a program with planned memory
//! evaluate, bind          programs compiled once; the buffers of a run, and who waits for whom
//! function                programs by signature, replayed; files of them
//! autodiff, batch         derivatives beyond gradients; all rows of a computation at once
//! random, tree            distributions; structures of tensors
//! sparse, ragged, text    structures on the host whose values are tensors; sets, queues and lookup tables of them
//! nested, numpy           tensors from and to Rust's arrays and NumPy's files
//! ```
//!
//! The crate never calls wgpu, never names a layer, and has no pass that changes a finished graph. Every buffer is
//! dense and row-major; views exist only as nodes.
//!
//! ```
//! use kiln_graph::{Tensor, gradients};
//! let x = Tensor::from_slice(&[0.0f32, 1.0, 2.0]);
//! let y = (x.square() + 1.0).log().sum(());
//! let dx = gradients(&y, &[x])?.remove(0);
//! assert_eq!(dx.to_vec::<f32>()?, [0.0, 1.0, 0.8]);
//! # Ok::<(), kiln_graph::Error>(())
//! ```
#![forbid(unsafe_code)]

mod autodiff;
mod batch;
mod bind;
mod body;
mod build;
mod bundle;
mod control;
mod error;
mod evaluate;
pub mod files;
mod function;
mod fuse;
mod grad;
pub mod graph;
mod host;
pub mod interpret;
pub mod lookup;
mod lower;
#[cfg(feature = "ndarray")]
mod ndarray;
mod nested;
pub mod numpy;
pub mod op;
pub mod ops;
mod plan;
mod print;
pub mod queue;
pub mod ragged;
pub mod random;
mod report;
pub mod sets;
mod shape;
mod site;
pub mod sparse;
mod tensor;
mod tensor_array;
pub mod text;
mod trace;
pub mod tree;
mod values;
mod variable;

pub use autodiff::{Pullback, checkpoint, checkpoints, custom_gradient, hessian, hvp, jacobian, jvp, vjp};
pub use error::{At, Error, Result};
pub use function::{Argument, Function, FunctionCache, SavedFunction, TensorSpec, TreeFunction};
pub use grad::{connected_gradients, gradients, gradients_with};
pub use host::{HostArray, HostResult, host_call, host_call_with_gradient};
pub use kiln_device::{
    Cause, DType, Device, DeviceInfo, DeviceKind, Error as DeviceError, ReduceOp, ScatterOp,
};
pub use nested::Nested;
pub use ops::{Operand, Padding, promote, random_key};
pub use queue::{Component, Queue, QueueError};
pub use ragged::{NestedList, RaggedOrDense, RaggedStrings, RaggedTensor};
pub use report::{KernelReport, Refusal, Report};
pub use shape::{Axes, Shape, broadcast};
pub use sparse::{SparseStrings, SparseTensor};
pub use tensor::{Element, Tensor};
pub use tensor_array::TensorArray;
pub use text::StringTensor;
pub use values::Values;
pub use variable::Variable;

use std::cell::RefCell;

thread_local! {
    static DEVICE: RefCell<Option<Device>> = const { RefCell::new(None) };
}

/// The device where new variables and expressions without a device go: that of [`with_device`], else
/// [`Device::auto`].
///
/// # Errors
/// Where `KILN_DEVICE` names a device that is not there.
pub fn default_device() -> Result<Device> {
    match DEVICE.with_borrow(Clone::clone) {
        Some(device) => Ok(device),
        None => Ok(Device::auto()?),
    }
}

/// Runs `body` with another default device on this thread.
#[doc(alias = "tf.device")]
pub fn with_device<R>(device: &Device, body: impl FnOnce() -> R) -> R {
    struct Restore(Option<Device>);
    impl Drop for Restore {
        fn drop(&mut self) {
            DEVICE.set(self.0.take());
        }
    }
    let _restore = Restore(DEVICE.replace(Some(device.clone())));
    body()
}

/// Sets the default device of this thread.
pub fn set_default_device(device: &Device) {
    DEVICE.set(Some(device.clone()));
}
