//! `Tensor`: a cheap handle to an immutable lazy expression.

use std::panic::Location;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use kiln_device::{Buffer, DType, Device, Value, size};

use crate::bundle::Bundle;
use crate::error::{At, Error, Result};
use crate::evaluate;
use crate::op::Op;
use crate::shape::Shape;
use crate::trace::{self, Traced};
use crate::variable::Reading;

/// An n-dimensional array, as an expression that has not necessarily been computed.
///
/// Cloning is cheap; a tensor never changes. Nothing runs until a value is read ([`Tensor::to_vec`], [`Tensor::item`]),
/// a [`crate::Function`] is called, or [`Tensor::eval`] asks for it. An operation that cannot be built gives a tensor
/// that carries the error, which comes back from the first of these.
///
/// ```
/// use kiln_graph::Tensor;
/// let x = Tensor::from_slice(&[1.0f32, 2.0, 3.0]);
/// let y = (&x * 2.0 + 1.0).sum(());
/// assert_eq!(y.item::<f32>()?, 15.0);
/// # Ok::<(), kiln_graph::Error>(())
/// ```
#[doc(alias("tf.Tensor", "KerasTensor"))]
#[derive(Clone)]
pub struct Tensor {
    pub(crate) node: Arc<Node>,
}

/// What a tensor is computed from.
#[derive(Clone)]
pub(crate) enum Kind {
    /// A primitive of the node's inputs.
    Op(Op),
    /// Elements in host memory, in the host's layout of the dtype.
    Host(Arc<[u8]>),
    /// A value that was born on a device; the node's `value` holds it.
    Stored,
    /// An argument of a function or body being traced.
    Placeholder(Arc<Traced>),
    /// A variable's value at one moment, or a state of the function being traced.
    Variable(Reading),
    /// Several tensors as one, each taken by a [`Op::Result`].
    Bundle(Arc<Bundle>),
    /// An expression that could not be built.
    Failed(Error),
}

pub(crate) struct Node {
    pub(crate) id: u64,
    pub(crate) kind: Kind,
    pub(crate) inputs: Vec<Tensor>,
    pub(crate) shape: Shape,
    pub(crate) dtype: DType,
    pub(crate) at: At,
    /// The computed value, where there is one already.
    pub(crate) value: OnceLock<Stored>,
}

/// A value in device memory: dense, row-major, from the start of the buffer.
#[derive(Clone, Debug)]
pub(crate) struct Stored {
    pub(crate) device: Device,
    pub(crate) buffer: Buffer,
}

static NEXT_ID: AtomicU64 = AtomicU64::new(0);

impl Tensor {
    pub(crate) fn new(kind: Kind, inputs: Vec<Tensor>, shape: Shape, dtype: DType, at: At) -> Tensor {
        let id = NEXT_ID.fetch_add(1, Ordering::Relaxed);
        Tensor { node: Arc::new(Node { id, kind, inputs, shape, dtype, at, value: OnceLock::new() }) }
    }

    /// A node of a primitive. The first failed input, an overflowing shape or a broken rule makes it a failed one.
    pub(crate) fn op(op: Op, inputs: Vec<Tensor>, shape: Shape, dtype: DType, at: At) -> Tensor {
        if let Some(failed) = inputs.iter().find(|t| t.error().is_some()) {
            return failed.clone();
        }
        if let Err(error) = size::element_count(&shape) {
            return Tensor::failed(op.name(), error.to_string(), at);
        }
        let described: Vec<_> = inputs.iter().map(|t| (t.shape(), t.dtype())).collect();
        if let Err(what) = op.check(&described, &shape, dtype) {
            return Tensor::failed(op.name(), format!("{what}: {described:?} → {shape:?} {dtype}"), at);
        }
        drop(described);
        Tensor::new(Kind::Op(op), inputs, shape, dtype, at)
    }

    /// A node of any primitive; for tests of those that no method reaches.
    #[doc(hidden)]
    #[track_caller]
    pub fn primitive(op: Op, inputs: &[Tensor], shape: &[usize], dtype: DType) -> Tensor {
        Tensor::op(op, inputs.to_vec(), shape.to_vec(), dtype, here())
    }

    /// A tensor that carries an error of operation `op`.
    pub(crate) fn failed(op: &'static str, mut message: String, at: At) -> Tensor {
        // An error of sizes has a name of its own, which the operation's replaces.
        if let Some(rest) = message.strip_prefix("[size] ") {
            message = rest.to_owned();
        }
        Tensor::from_error(Error::Operation { op, message, at }, at)
    }

    /// What a composite has built of its inputs: an error of a part becomes the composite's, at its caller's line.
    pub(crate) fn part_of(self, op: &'static str, at: At, inputs: &[Tensor]) -> Tensor {
        match self.error() {
            Some(Error::Operation { message, .. }) if inputs.iter().all(|t| t.error().is_none()) => {
                Tensor::failed(op, message.clone(), at)
            }
            _ => self,
        }
    }

    pub(crate) fn from_error(error: Error, at: At) -> Tensor {
        Tensor::new(Kind::Failed(error), vec![], vec![], DType::F32, at)
    }

    /// A tensor that carries an error: what a layer or function of yours returns where it cannot be built.
    ///
    /// ```
    /// use kiln_graph::Tensor;
    /// let bad = Tensor::invalid("my_layer", "expected last axis 3, received 4");
    /// assert!(bad.to_vec::<f32>().unwrap_err().to_string().starts_with("[my_layer] expected"));
    /// ```
    #[track_caller]
    pub fn invalid(op: &'static str, message: impl Into<String>) -> Tensor {
        Tensor::failed(op, message.into(), here())
    }

    /// The error that the expression carries, if it could not be built.
    pub fn error(&self) -> Option<&Error> {
        match &self.node.kind {
            Kind::Failed(error) => Some(error),
            _ => None,
        }
    }

    /// The tensor itself, or the error it carries.
    pub fn check(&self) -> Result<&Tensor> {
        self.error().map_or(Ok(self), |e| Err(e.clone()))
    }

    /// The dimensions; empty for a scalar.
    pub fn shape(&self) -> &[usize] {
        &self.node.shape
    }

    /// Number of dimensions.
    pub fn rank(&self) -> usize {
        self.node.shape.len()
    }

    /// The element type.
    pub fn dtype(&self) -> DType {
        self.node.dtype
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        self.node.shape.iter().product()
    }

    /// True where there are no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Elements in row-major order, computed if need be.
    ///
    /// # Errors
    /// The first error of the expression; a wrong element type; [`Error::Trace`] inside a function being traced.
    #[doc(alias("numpy", "tolist", "to_numpy"))]
    #[track_caller]
    pub fn to_vec<T: Element>(&self) -> Result<Vec<T>> {
        let at = here();
        self.check()?;
        if T::DTYPE != self.dtype() {
            let message = format!("expected a {} tensor, received {}; cast it first", T::DTYPE, self.dtype());
            return Err(Error::Operation { op: "to_vec", message, at });
        }
        let bytes = self.read_bytes(at)?;
        Ok(T::from_bytes(&bytes))
    }

    /// The only element.
    ///
    /// # Errors
    /// As [`Tensor::to_vec`], and where there is not exactly one element.
    #[doc(alias = "numpy")]
    #[track_caller]
    pub fn item<T: Element>(&self) -> Result<T> {
        let at = here();
        self.check()?;
        if self.len() != 1 {
            let message =
                format!("expected one element, received shape {:?}; reduce it or use to_vec", self.shape());
            return Err(Error::Operation { op: "item", message, at });
        }
        self.to_vec::<T>().map(|v| v[0])
    }

    /// An error where the value is not computed yet and cannot be now, or where nothing can be read.
    pub(crate) fn readable(&self, at: At) -> Result<()> {
        match self.node.value.get() {
            Some(_) => trace::is_inside(at).map(drop),
            None => trace::forbid_reading(at),
        }
    }

    /// Elements as host bytes.
    pub(crate) fn read_bytes(&self, at: At) -> Result<Vec<u8>> {
        if let Kind::Host(bytes) = &self.node.kind {
            return Ok(bytes.to_vec());
        }
        self.readable(at)?;
        let stored = evaluate::evaluate(std::slice::from_ref(self), None, at)?.remove(0);
        Ok(stored.device.download(&stored.buffer, self.dtype(), 0, self.len())?)
    }

    /// Computes the value and keeps it on the device, so that expressions made of it start there.
    ///
    /// # Errors
    /// As [`Tensor::to_vec`].
    #[track_caller]
    pub fn eval(&self) -> Result<&Tensor> {
        Tensor::eval_all(std::slice::from_ref(self))?;
        Ok(self)
    }

    /// Computes several values in one program.
    ///
    /// # Errors
    /// As [`Tensor::to_vec`].
    #[track_caller]
    pub fn eval_all(tensors: &[Tensor]) -> Result<()> {
        let at = here();
        tensors.iter().try_for_each(|t| t.readable(at))?;
        evaluate::evaluate(tensors, None, at).map(drop)
    }

    /// The value alone: a tensor without a history, which gradients do not flow through and which keeps nothing alive
    /// that it was computed from.
    ///
    /// ```
    /// use kiln_graph::Tensor;
    /// let mut x = Tensor::scalar(1.0f32);
    /// for _ in 0..3 {
    ///     x = (&x * 2.0).detach()?;
    /// }
    /// assert_eq!(x.item::<f32>()?, 8.0);
    /// # Ok::<(), kiln_graph::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Tensor::to_vec`]; inside a function being traced use [`Tensor::stop_gradient`].
    #[track_caller]
    pub fn detach(&self) -> Result<Tensor> {
        let at = here();
        let shape = self.shape().to_vec();
        if let Kind::Host(bytes) = &self.node.kind {
            return Ok(Tensor::from_host(bytes.clone(), shape, self.dtype(), at));
        }
        self.check()?;
        self.readable(at)?;
        let stored = evaluate::evaluate(std::slice::from_ref(self), None, at)?.remove(0);
        Ok(Tensor::from_stored(shape, self.dtype(), stored, at))
    }

    /// The same value on another device.
    ///
    /// # Errors
    /// As [`Tensor::to_vec`].
    #[doc(alias = "to")]
    #[track_caller]
    pub fn to_device(&self, device: &Device) -> Result<Tensor> {
        let at = here();
        self.check()?;
        let bytes = self.read_bytes(at)?;
        let buffer = device.buffer_from(self.dtype(), &bytes)?;
        Ok(Tensor::from_stored(
            self.shape().to_vec(),
            self.dtype(),
            Stored { device: device.clone(), buffer },
            at,
        ))
    }

    /// A leaf with a value in device memory.
    pub(crate) fn from_stored(shape: Shape, dtype: DType, stored: Stored, at: At) -> Tensor {
        let tensor = Tensor::new(Kind::Stored, vec![], shape, dtype, at);
        let _ = tensor.node.value.set(stored);
        tensor
    }

    /// A leaf of host elements; `bytes` hold exactly the shape's elements.
    pub(crate) fn from_host(bytes: Arc<[u8]>, shape: Shape, dtype: DType, at: At) -> Tensor {
        Tensor::new(Kind::Host(bytes), vec![], shape, dtype, at)
    }

    /// A splat of one value.
    pub(crate) fn constant(value: Value, shape: Shape, dtype: DType, at: At) -> Tensor {
        Tensor::op(Op::Constant(value), vec![], shape, dtype, at)
    }
}

/// Rust types that are elements of tensors.
pub trait Element: Copy + Send + Sync + 'static {
    /// The tensor type.
    const DTYPE: DType;
    /// Elements as host bytes.
    fn to_bytes(elements: &[Self]) -> Vec<u8>;
    /// Host bytes as elements.
    fn from_bytes(bytes: &[u8]) -> Vec<Self>;
}

macro_rules! element {
    ($($type:ty => $dtype:ident,)*) => { $(
        impl Element for $type {
            const DTYPE: DType = DType::$dtype;
            fn to_bytes(elements: &[$type]) -> Vec<u8> {
                bytemuck::cast_slice(elements).to_vec()
            }
            fn from_bytes(bytes: &[u8]) -> Vec<$type> {
                bytemuck::allocation::pod_collect_to_vec(bytes)
            }
        }
    )* };
}

element! {
    f32 => F32,
    f64 => F64,
    half::f16 => F16,
    half::bf16 => BF16,
    i32 => I32,
    i64 => I64,
    u32 => U32,
    u8 => U8,
}

impl Element for bool {
    const DTYPE: DType = DType::Bool;
    fn to_bytes(elements: &[bool]) -> Vec<u8> {
        elements.iter().map(|b| *b as u8).collect()
    }
    fn from_bytes(bytes: &[u8]) -> Vec<bool> {
        bytes.iter().map(|b| *b != 0).collect()
    }
}

/// The caller's line, through `#[track_caller]`.
#[track_caller]
pub(crate) fn here() -> At {
    At(Location::caller())
}

impl Node {
    /// Takes out all tensors that it holds.
    fn drain(&mut self) -> Vec<Tensor> {
        let mut held = std::mem::take(&mut self.inputs);
        if let Kind::Bundle(all) = &mut self.kind
            && let Some(all) = Arc::get_mut(all)
        {
            held.append(&mut all.drain());
        }
        held
    }
}

/// A number below those of all tensors to come.
pub(crate) fn next_id() -> u64 {
    NEXT_ID.load(Ordering::Relaxed)
}

impl Drop for Node {
    /// Deep expressions are freed without recursion.
    fn drop(&mut self) {
        let mut pending = self.drain();
        while let Some(tensor) = pending.pop() {
            if let Some(mut node) = Arc::into_inner(tensor.node) {
                pending.append(&mut node.drain());
            }
        }
    }
}

impl std::fmt::Debug for Tensor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.node.kind {
            Kind::Failed(error) => write!(f, "Tensor({error})"),
            _ => write!(f, "Tensor({:?}, {})", self.shape(), self.dtype()),
        }
    }
}

impl std::fmt::Display for Tensor {
    /// The value, computed if need be, in NumPy's nesting; long axes are shortened. An error prints as its text.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.error().cloned().map_or_else(|| self.read_bytes(self.node.at), Err) {
            Ok(bytes) => crate::print::array(f, &bytes, self.shape(), self.dtype()),
            Err(error) => write!(f, "{error}"),
        }
    }
}
