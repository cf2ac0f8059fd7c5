//! `Variable`: mutable state that lives on a device, and the slabs that hold it.
//!
//! Every variable is a range of a slab: a flat buffer of one dtype. [`Variable::pack`] moves many variables into one
//! slab, so that an optimizer is one kernel over all of them. A slab's buffer never moves and is written in place; a
//! lazy tensor that has read a variable keeps the value it saw, because its leaf is copied before the first write.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};

use kiln_device::{Buffer, DType, Device, size};

use crate::default_device;
use crate::error::{At, Error, Result};
use crate::evaluate;
use crate::shape::Shape;
use crate::tensor::{Kind, Node, Stored, Tensor, here};
use crate::trace::{self, TraceId};

/// A flat piece of state on a device.
#[derive(Debug)]
pub(crate) struct Slab {
    pub(crate) id: u64,
    pub(crate) dtype: DType,
    pub(crate) count: usize,
    pub(crate) stored: Stored,
    reading: Mutex<Weak<Leaf>>,
    /// Set once a variable that lived here has been packed into another slab.
    left: AtomicBool,
}

/// The contents of a slab at one moment: the slab itself until it is written, then a copy.
#[derive(Debug)]
pub(crate) struct Leaf {
    pub(crate) slab: Arc<Slab>,
    frozen: OnceLock<Buffer>,
}

/// A range of a slab at one moment.
#[derive(Clone, Debug)]
pub(crate) struct Reading {
    pub(crate) leaf: Arc<Leaf>,
    pub(crate) offset: usize,
    /// The trace that reads it as state of the function; `None` for the value itself.
    pub(crate) trace: Option<TraceId>,
}

static NEXT_ID: AtomicU64 = AtomicU64::new(0);

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// That the contents and places of slabs belong to the holder.
pub(crate) type Writing = MutexGuard<'static, ()>;

/// Held by whoever writes slabs or reads them in place: at most one at a time, and no copy of a leaf beside a write.
pub(crate) fn writing() -> Writing {
    static WRITING: Mutex<()> = Mutex::new(());
    lock(&WRITING)
}

impl Slab {
    fn new(device: &Device, dtype: DType, count: usize) -> Result<Arc<Slab>> {
        let buffer = device.allocate(dtype, count)?;
        let stored = Stored { device: device.clone(), buffer };
        let id = NEXT_ID.fetch_add(1, Ordering::Relaxed);
        Ok(Arc::new(Slab {
            id,
            dtype,
            count,
            stored,
            reading: Mutex::new(Weak::new()),
            left: AtomicBool::new(false),
        }))
    }

    /// A slab with these elements, in host bytes.
    pub(crate) fn holding(device: &Device, dtype: DType, bytes: &[u8]) -> Result<Arc<Slab>> {
        let slab = Slab::new(device, dtype, bytes.len() / dtype.host_size())?;
        device.upload(&slab.stored.buffer, dtype, 0, bytes)?;
        Ok(slab)
    }

    /// Whether a variable that lived here has moved on: programs bound to it are out of date.
    pub(crate) fn is_left(&self) -> bool {
        self.left.load(Ordering::Acquire)
    }

    fn leaf(self: &Arc<Self>) -> Arc<Leaf> {
        let mut reading = lock(&self.reading);
        reading.upgrade().unwrap_or_else(|| {
            let leaf = Arc::new(Leaf { slab: self.clone(), frozen: OnceLock::new() });
            *reading = Arc::downgrade(&leaf);
            leaf
        })
    }

    /// Call before any write, holding [`writing`]: whoever still reads the present contents gets a copy of them.
    pub(crate) fn before_write(&self) -> Result<()> {
        let leaf = std::mem::take(&mut *lock(&self.reading)).upgrade();
        leaf.map_or(Ok(()), |leaf| leaf.freeze())
    }
}

impl Leaf {
    fn freeze(&self) -> Result<()> {
        if self.frozen.get().is_none() {
            let Stored { device, buffer } = &self.slab.stored;
            let copy = device.allocate(self.slab.dtype, self.slab.count)?;
            device.copy(buffer, 0, &copy, 0, self.slab.dtype, self.slab.count)?;
            let _ = self.frozen.set(copy);
        }
        Ok(())
    }

    /// The buffer that holds this leaf's contents now.
    pub(crate) fn buffer(&self) -> Buffer {
        self.frozen.get().unwrap_or(&self.slab.stored.buffer).clone()
    }
}

/// Mutable, persistent state on a device: weights, statistics, counters, seeds.
///
/// [`Variable::read`] gives a tensor; [`Variable::assign`] sets the value. Inside a [`crate::Function`] an assignment
/// takes effect when the function ends: every read of the trace sees the value from before the call.
///
/// ```
/// use kiln_graph::{Tensor, Variable};
/// let counter = Variable::new(&Tensor::scalar(1.0f32))?;
/// let before = counter.read();
/// counter.assign(&(&counter.read() + 1.0))?;
/// assert_eq!(counter.read().item::<f32>()?, 2.0);
/// assert_eq!(before.item::<f32>()?, 1.0);
/// # Ok::<(), kiln_graph::Error>(())
/// ```
#[doc(alias("Parameter", "tf.Variable"))]
#[derive(Clone, Debug)]
pub struct Variable {
    inner: Arc<Inner>,
}

#[derive(Debug)]
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

#[derive(Clone, Debug)]
struct Cell {
    slab: Arc<Slab>,
    offset: usize,
}

#[derive(Default)]
struct Latest {
    trace: Option<TraceId>,
    node: Weak<Node>,
}

impl std::fmt::Debug for Latest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Latest({:?})", self.trace)
    }
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
        trace::forbid_variables(at)?;
        let device = default_device()?;
        let slab = Slab::new(&device, initial.dtype(), initial.len())?;
        let value = evaluate::stored_on(initial, &device)?;
        device.copy(&value.buffer, 0, &slab.stored.buffer, 0, initial.dtype(), initial.len())?;
        let inner = Inner {
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
            name: Mutex::new(String::new()),
            shape: initial.shape().to_vec(),
            dtype: initial.dtype(),
            trainable: AtomicBool::new(initial.dtype().is_float()),
            cell: Mutex::new(Cell { slab, offset: 0 }),
            latest: Mutex::default(),
        };
        Ok(Variable { inner: Arc::new(inner) })
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
        self.place().0.stored.device.clone()
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

    /// The value: now, or inside a function being traced, at the start of each call.
    #[track_caller]
    pub fn read(&self) -> Tensor {
        let at = here();
        if let Err(error) = self.check_place("read", at) {
            return Tensor::from_error(error, at);
        }
        let trace = trace::current();
        let (slab, offset) = self.place();
        let leaf = slab.leaf();
        let mut latest = lock(&self.inner.latest);
        let same = |kind: &Kind| matches!(kind, Kind::Variable(r) if Arc::ptr_eq(&r.leaf, &leaf) && r.offset == offset);
        if let Some(node) = latest.node.upgrade().filter(|node| latest.trace == trace && same(&node.kind)) {
            return Tensor { node };
        }
        let reading = Reading { leaf, offset, trace };
        let tensor =
            Tensor::new(Kind::Variable(reading), vec![], self.inner.shape.clone(), self.inner.dtype, at);
        *latest = Latest { trace, node: Arc::downgrade(&tensor.node) };
        tensor
    }

    /// Sets the value: now, or inside a function being traced, at the end of each call.
    ///
    /// # Errors
    /// Where shape or dtype differ from the variable's, or the value cannot be computed.
    #[track_caller]
    pub fn assign(&self, value: &Tensor) -> Result<()> {
        let at = here();
        value.check()?;
        self.check_place("assign", at)?;
        if value.shape() != self.shape() || value.dtype() != self.dtype() {
            let message = format!(
                "expected shape {:?} {} for variable `{}`, received {:?} {}",
                self.shape(),
                self.dtype(),
                self.name(),
                value.shape(),
                value.dtype()
            );
            return Err(Error::Operation { op: "assign", message, at });
        }
        if trace::assign(self, value, at)? {
            return Ok(());
        }
        let device = self.device();
        let value = evaluate::stored_on(value, &device)?;
        let _writing = writing();
        let (slab, offset) = self.place();
        slab.before_write()?;
        Ok(device.copy(&value.buffer, 0, &slab.stored.buffer, offset, self.dtype(), self.len())?)
    }

    /// Adds to the value; several additions of one trace add up.
    ///
    /// # Errors
    /// As [`Variable::assign`].
    #[track_caller]
    pub fn assign_add(&self, change: &Tensor) -> Result<()> {
        self.assign(&(trace::assigned(self).unwrap_or_else(|| self.read()) + change))
    }

    /// Subtracts from the value; several subtractions of one trace add up.
    ///
    /// # Errors
    /// As [`Variable::assign`].
    #[track_caller]
    pub fn assign_sub(&self, change: &Tensor) -> Result<()> {
        self.assign(&(trace::assigned(self).unwrap_or_else(|| self.read()) - change))
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
        let _writing = writing();
        let slab = Slab::new(&device, dtype, count)?;
        let mut offset = 0;
        for (variable, length) in variables.iter().zip(lengths) {
            let (old, from) = variable.place();
            device.copy(&old.stored.buffer, from, &slab.stored.buffer, offset, dtype, length)?;
            *lock(&variable.inner.cell) = Cell { slab: slab.clone(), offset };
            old.left.store(true, Ordering::Release);
            offset += length;
        }
        let inner = Inner {
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
            name: Mutex::new("slab".into()),
            shape: vec![count],
            dtype,
            trainable: AtomicBool::new(false),
            cell: Mutex::new(Cell { slab, offset: 0 }),
            latest: Mutex::default(),
        };
        Ok(Variable { inner: Arc::new(inner) })
    }
}

impl PartialEq for Variable {
    fn eq(&self, other: &Variable) -> bool {
        self.inner.id == other.inner.id
    }
}

impl Eq for Variable {}
