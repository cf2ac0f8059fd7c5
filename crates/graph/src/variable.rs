//! `Variable`: mutable state that lives on a device, and the slabs that hold it.
//!
//! Every variable is a range of a slab: a flat buffer of one dtype. [`Variable::pack`] moves many variables into one
//! slab, so that an optimizer is one kernel over all of them. A slab is written in place; a lazy tensor that has read a
//! variable keeps the value it saw, because its range is copied before the first write to it.

mod gate;
mod operators;
mod slab;
mod update;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Weak};

use kiln_device::{BinaryOp, DType, Device, size};

use crate::default_device;
use crate::error::{At, Error, Result};
use crate::evaluate;
use crate::op::Op;
use crate::ops::Operand;
use crate::shape::Shape;
use crate::tensor::{Kind, Node, Tensor, here};
use crate::trace::{self, Assigned, TraceId};
pub(crate) use gate::Access;
pub(crate) use slab::{Pin, Reading, Slab};
use slab::{lock, next_id};

/// Mutable, persistent state on a device: weights, statistics, counters, seeds.
///
/// [`Variable::read`] gives a tensor; [`Variable::assign`] sets the value. Inside a [`crate::Function`] the same program
/// means the same: a read after an assignment gives what was assigned. The assignments of a call take effect together
/// when it ends; other threads see the values from before until then. A trace belongs to its thread: what a thread that a
/// traced closure starts assigns, it assigns at once and not in every call.
///
/// ```
/// use kiln_graph::{Tensor, Variable};
/// let counter = Variable::new(&Tensor::scalar(1.0f32))?;
/// let before = counter.read();
/// counter.assign(&counter + 1.0)?;
/// assert_eq!(counter.read().item::<f32>()?, 2.0);
/// assert_eq!(before.item::<f32>()?, 1.0);
/// # Ok::<(), kiln_graph::Error>(())
/// ```
#[doc(alias("Parameter", "tf.Variable"))]
#[derive(Clone)]
pub struct Variable {
    inner: Arc<Inner>,
}

struct Inner {
    id: u64,
    name: Mutex<String>,
    shape: Shape,
    dtype: DType,
    trainable: AtomicBool,
    cell: Mutex<Cell>,
    /// The latest read, so that two reads of one moment are one node.
    latest: Mutex<Latest>,
}

struct Cell {
    slab: Arc<Slab>,
    offset: usize,
}

#[derive(Default)]
struct Latest {
    trace: Option<TraceId>,
    node: Weak<Node>,
}

impl Variable {
    /// A variable with an initial value, on the default device (see [`crate::with_device`]).
    ///
    /// # Errors
    /// The error of the initial value; [`kiln_device::Error::OutOfMemory`].
    #[track_caller]
    pub fn new(initial: &Tensor) -> Result<Variable> {
        let at = here();
        initial.check()?;
        trace::create_variable(at)?;
        let device = default_device()?;
        let slab = Slab::new(&device, initial.dtype(), initial.len())?;
        let value = evaluate::stored_on(initial, &device, at)?;
        device.copy(&value.buffer, 0, &slab.buffer(), 0, initial.dtype(), initial.len())?;
        let inner = Inner {
            id: next_id(),
            name: Mutex::new(String::new()),
            shape: initial.shape().to_vec(),
            dtype: initial.dtype(),
            trainable: AtomicBool::new(initial.dtype().is_float()),
            cell: Mutex::new(Cell { slab, offset: 0 }),
            latest: Mutex::default(),
        };
        Ok(Variable { inner: Arc::new(inner) })
    }

    /// A variable of a part of a slab.
    pub(crate) fn within(slab: &Arc<Slab>, offset: usize, shape: Shape) -> Variable {
        let inner = Inner {
            id: next_id(),
            name: Mutex::new(String::new()),
            shape,
            dtype: slab.dtype,
            trainable: AtomicBool::new(false),
            cell: Mutex::new(Cell { slab: slab.clone(), offset }),
            latest: Mutex::default(),
        };
        Variable { inner: Arc::new(inner) }
    }

    /// The same variable under a name, for listings, files and errors.
    pub fn named(self, name: impl Into<String>) -> Variable {
        self.set_name(name);
        self
    }

    /// Renames it.
    pub fn set_name(&self, name: impl Into<String>) {
        *lock(&self.inner.name) = name.into();
    }

    /// Its name, or nothing.
    pub fn name(&self) -> String {
        lock(&self.inner.name).clone()
    }

    /// The same variable, not to be trained: optimizers pass over it.
    pub fn frozen(self) -> Variable {
        self.set_trainable(false);
        self
    }

    /// Whether optimizers should change it. Float variables start trainable.
    pub fn set_trainable(&self, trainable: bool) {
        self.inner.trainable.store(trainable, Ordering::Relaxed);
    }

    /// Whether optimizers should change it.
    pub fn is_trainable(&self) -> bool {
        self.inner.trainable.load(Ordering::Relaxed)
    }

    /// The dimensions.
    pub fn shape(&self) -> &[usize] {
        &self.inner.shape
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        self.inner.shape.iter().product()
    }

    /// True where there are no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The element type.
    pub fn dtype(&self) -> DType {
        self.inner.dtype
    }

    /// A number that no other variable of this process has had.
    pub fn id(&self) -> u64 {
        self.inner.id
    }

    /// Where it lives.
    pub fn device(&self) -> Device {
        self.place().0.device.clone()
    }

    pub(crate) fn place(&self) -> (Arc<Slab>, usize) {
        let cell = lock(&self.inner.cell);
        (cell.slab.clone(), cell.offset)
    }

    /// An error where this is a slab whose variables have been packed into another since.
    fn check_place(&self, op: &'static str, at: At) -> Result<()> {
        if !self.place().0.is_left() {
            return Ok(());
        }
        let message = "the variables of this slab have been packed into another one since, by a second optimizer for \
                       instance: it no longer holds their values. Use one optimizer for a variable, or build a new one";
        Err(Error::Operation { op, message: message.into(), at })
    }

    /// The value now. Inside a function being traced, that at this point of each call: what the function has assigned so
    /// far, or the value from before the call.
    #[track_caller]
    pub fn read(&self) -> Tensor {
        self.read_at(here())
    }

    fn read_at(&self, at: At) -> Tensor {
        if let Err(error) = self.check_place("read", at) {
            return Tensor::from_error(error, at);
        }
        if let Some(tensor) = trace::present(self.id()) {
            return tensor;
        }
        let (slab, offset) = self.place();
        let range = offset..offset + self.len();
        let assigned = trace::assigned(slab.id, &range);
        if assigned.is_empty() {
            return self.read_state(slab, offset, at);
        }
        let tensor = self.read_assigned(&slab, offset, &assigned, at);
        trace::hand_out(self.id(), &tensor, slab.id, range);
        tensor
    }

    /// The value after assignments to elements of it, by this trace.
    fn read_assigned(&self, slab: &Arc<Slab>, offset: usize, assigned: &[Assigned], at: At) -> Tensor {
        let whole = offset..offset + self.len();
        let flat = |t: &Tensor| t.reshape_at(vec![t.len()], at);
        // From the last that covers all of it on: the others wrote parts of what that left.
        let covers = |a: &Assigned| a.range.start <= whole.start && whole.end <= a.range.end;
        let last = assigned.iter().rposition(covers);
        let mut value = match last.map(|n| &assigned[n]) {
            Some(a) if a.range == whole => flat(&a.value),
            Some(a) => {
                let (first, end) = (offset - a.range.start, whole.end - a.range.start);
                flat(&a.value).slice_axis(0, first as i64, end as i64)
            }
            None => flat(&self.read_state(slab.clone(), offset, at)),
        };
        for part in &assigned[last.map_or(0, |n| n + 1)..] {
            let new = flat(&part.value);
            let piece = |t: &Tensor, from: usize, to: usize| t.slice_axis(0, from as i64, to as i64);
            let (first, end) = (part.range.start.max(whole.start), part.range.end.min(whole.end));
            let pieces = [
                piece(&value, 0, first - offset),
                piece(&new, first - part.range.start, end - part.range.start),
                piece(&value, end - offset, self.len()),
            ];
            value = Tensor::concat(&pieces, 0);
        }
        // A node of its own, so that gradients can tell it from the tensor that was assigned.
        Tensor::op(Op::Reshape, vec![value], self.shape().to_vec(), self.dtype(), at)
    }

    /// The value, or inside a function being traced, that from before each call.
    fn read_state(&self, slab: Arc<Slab>, offset: usize, at: At) -> Tensor {
        let trace = trace::current();
        let mut latest = lock(&self.inner.latest);
        let same = |kind: &Kind| matches!(kind, Kind::Variable(r) if r.slab.id == slab.id && r.offset == offset && !r.is_over());
        if let Some(node) = latest.node.upgrade().filter(|node| latest.trace == trace && same(&node.kind)) {
            return Tensor { node };
        }
        let kind = Kind::Variable(slab.reading(offset, self.id(), trace));
        let tensor = Tensor::new(kind, vec![], self.inner.shape.clone(), self.inner.dtype, at);
        if trace.is_none() {
            slab.remember(&tensor);
        }
        *latest = Latest { trace, node: Arc::downgrade(&tensor.node) };
        tensor
    }

    /// Sets the value: now, or inside a function being traced, at the end of each call. It takes the variable's dtype.
    ///
    /// ```
    /// use kiln_graph::{Tensor, Variable};
    /// let rate = Variable::new(&Tensor::scalar(0.1f32))?;
    /// rate.assign(2)?;
    /// rate.assign_sub(&rate * 0.5)?;
    /// assert_eq!(rate.read().item::<f32>()?, 1.0);
    /// # Ok::<(), kiln_graph::Error>(())
    /// ```
    ///
    /// # Errors
    /// Where the shape differs from the variable's, or the value cannot be computed.
    #[track_caller]
    pub fn assign(&self, value: impl Operand) -> Result<()> {
        let at = here();
        self.set(&value.tensor(self.dtype(), at), "assign", at)
    }

    /// Adds to the value.
    ///
    /// # Errors
    /// As [`Variable::assign`].
    #[track_caller]
    pub fn assign_add(&self, change: impl Operand) -> Result<()> {
        let at = here();
        let change = change.tensor(self.dtype(), at);
        self.set(&self.read_at(at).binary(BinaryOp::Add, &change, at), "assign_add", at)
    }

    /// Subtracts from the value.
    ///
    /// # Errors
    /// As [`Variable::assign`].
    #[track_caller]
    pub fn assign_sub(&self, change: impl Operand) -> Result<()> {
        let at = here();
        let change = change.tensor(self.dtype(), at);
        self.set(&self.read_at(at).binary(BinaryOp::Sub, &change, at), "assign_sub", at)
    }

    fn set(&self, value: &Tensor, op: &'static str, at: At) -> Result<()> {
        value.check()?;
        self.check_place(op, at)?;
        if value.shape() != self.shape() {
            let (shape, dtype) = (self.shape(), self.dtype());
            let message = format!(
                "expected shape {shape:?} {dtype} for {self}, received {:?} {}",
                value.shape(),
                value.dtype()
            );
            return Err(Error::Operation { op, message, at });
        }
        let value = &value.cast_at(self.dtype(), at);
        value.check()?;
        if trace::assign(self, value, at)? {
            return Ok(());
        }
        let device = self.device();
        let value = evaluate::stored_on(value, &device, at)?;
        loop {
            let (slab, offset) = self.place();
            let _access = Access::write([slab.clone()]);
            if slab.is_left() {
                // Packed into another one meanwhile.
                self.check_place(op, at)?;
                continue;
            }
            let written = offset..offset + self.len();
            let buffer = slab.before_write(&[written])?;
            return Ok(device.copy(&value.buffer, 0, &buffer, offset, self.dtype(), self.len())?);
        }
    }

    /// Moves variables of one dtype and device into one flat buffer, in order, and gives a variable of all of it.
    ///
    /// Every variable stays what it was; the flat one reads and writes all of them at once. Functions compiled for
    /// these variables compile again at their next call, and an earlier slab of theirs can no longer be used.
    ///
    /// # Errors
    /// Where dtypes or devices differ, there is none, or one stands twice.
    #[track_caller]
    pub fn pack(variables: &[Variable]) -> Result<Variable> {
        let at = here();
        trace::create_variable(at)?;
        let error = |message: &str| Error::Operation { op: "pack", message: message.into(), at };
        let first =
            variables.first().ok_or_else(|| error("expected at least one variable, received none"))?;
        let (device, dtype) = (first.device(), first.dtype());
        if variables.iter().any(|v| v.dtype() != dtype || v.device() != device) {
            return Err(error("expected variables of one dtype on one device; pack those of each apart"));
        }
        if variables.iter().enumerate().any(|(i, v)| variables[..i].contains(v)) {
            return Err(error("expected distinct variables, received one twice"));
        }
        let lengths: Vec<usize> = variables.iter().map(Variable::len).collect();
        let mut count = 0usize;
        for length in &lengths {
            count = count.checked_add(*length).ok_or_else(|| error("too many elements together"))?;
        }
        size::element_count(&[count])?;
        // The places are read before the slabs are entered, so they may have changed: then again.
        let (_access, places) = loop {
            let places: Vec<_> = variables.iter().map(Variable::place).collect();
            let access = Access::write(places.iter().map(|(slab, _)| slab.clone()));
            let moved = |(v, (slab, _)): (&Variable, &(Arc<Slab>, usize))| v.place().0.id != slab.id;
            if !variables.iter().zip(&places).any(moved) {
                break (access, places);
            }
        };
        let slab = Slab::new(&device, dtype, count)?;
        let mut offset = 0;
        for ((old, from), length) in places.iter().zip(&lengths) {
            device.copy(&old.buffer(), *from, &slab.buffer(), offset, dtype, *length)?;
            offset += length;
        }
        offset = 0;
        for ((variable, (old, _)), length) in variables.iter().zip(&places).zip(&lengths) {
            *lock(&variable.inner.cell) = Cell { slab: slab.clone(), offset };
            old.leave();
            offset += length;
        }
        Ok(Variable::within(&slab, 0, vec![count]).named("slab"))
    }
}

impl std::fmt::Display for Variable {
    /// What errors call it: its name, or that it has none.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.name() {
            name if name.is_empty() => write!(f, "an unnamed variable of shape {:?}", self.shape()),
            name => write!(f, "variable `{name}`"),
        }
    }
}

impl std::fmt::Debug for Variable {
    /// Name, shape and dtype; the value is that of [`Variable::read`].
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.name() {
            name if name.is_empty() => write!(f, "Variable({:?}, {})", self.shape(), self.dtype()),
            name => write!(f, "Variable({name}, {:?}, {})", self.shape(), self.dtype()),
        }
    }
}

impl PartialEq for Variable {
    fn eq(&self, other: &Variable) -> bool {
        self.inner.id == other.inner.id
    }
}

impl Eq for Variable {}
