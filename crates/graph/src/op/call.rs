//! Operations with several results.

use std::any::TypeId;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use kiln_device::{DType, HostFunction};

use crate::shape::Shape;

/// Shape and element type of a value.
pub type Form = (Shape, DType);

/// An operation with several results.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Call {
    /// What each result is.
    pub results: Vec<Form>,
    /// What computes them.
    pub work: Work,
}

/// What a call does.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Work {
    /// A function of the host, of all inputs.
    Host(Host),
}

/// A function of the host.
#[derive(Clone)]
pub struct Host {
    identity: Identity,
    /// What is called.
    pub function: HostFunction,
    /// The same in `f64`, for the interpreter, where there is one.
    pub(crate) numbers: Option<Arc<Numbers>>,
}

/// A function from the elements of its inputs to those of its results.
pub(crate) type Numbers = dyn Fn(&[&[f64]]) -> Result<Vec<Vec<f64>>, String> + Send + Sync;

/// Which functions are the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Identity {
    /// All of one type that holds no data.
    Type(TypeId),
    /// No other.
    Number(u64),
}

impl Host {
    pub(crate) fn new(identity: Identity, function: HostFunction) -> Host {
        Host { identity, function, numbers: None }
    }

    pub(crate) fn with_numbers(self, numbers: Arc<Numbers>) -> Host {
        Host { numbers: Some(numbers), ..self }
    }
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Host({:?}, {:?})", self.identity, self.function)
    }
}

impl PartialEq for Host {
    fn eq(&self, other: &Host) -> bool {
        self.identity == other.identity && self.function.op() == other.function.op()
    }
}

impl Eq for Host {}

impl Hash for Host {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.identity, self.function.op()).hash(state);
    }
}

impl Work {
    /// The names of all kinds of work.
    pub const NAMES: &'static [&'static str] = &["host"];

    /// The name in listings and errors.
    pub fn name(&self) -> &'static str {
        match self {
            Work::Host(_) => "host",
        }
    }
}

impl Call {
    /// Checks the inputs against what is called.
    pub(crate) fn check(&self, _inputs: &[(&[usize], DType)]) -> Result<(), String> {
        match &self.work {
            Work::Host(_) => Ok(()),
        }
    }
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.work {
            Work::Host(host) => write!(f, "{}", host.function.op())?,
        }
        write!(f, " →")?;
        self.results.iter().try_for_each(|(shape, dtype)| write!(f, " {dtype} {shape:?}"))
    }
}
