//! Operations with several results.

use std::any::TypeId;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use kiln_device::{DType, HostFunction};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de, ser};

use crate::graph::Graph;
use crate::shape::Shape;

/// Shape and element type of a value.
pub type Form = (Shape, DType);

/// An operation with several results.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Call {
    /// What each result is.
    pub results: Vec<Form>,
    /// What computes them.
    pub work: Work,
}

/// What a call does.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Work {
    /// A function of the host, of all inputs.
    Host(Host),
    /// One of several graphs: that of the number in the first input (`i32 []`), clamped to those there are. The other
    /// inputs are the leaves of each, the results its outputs.
    Switch(Vec<Graph>),
    /// A graph again and again.
    Loop(Loop),
}

/// A graph that runs again and again on values that it carries.
///
/// The first inputs, as many as there are results, are what the carried values start as; the others do not change. All
/// are the leaves of the body, carried ones flat and as states, which the body assigns; it has no outputs. The results
/// are the carried values in the end.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Loop {
    /// The body.
    pub body: Graph,
    /// How often it runs; at most so often where it is conditional. None: without a bound.
    pub most: Option<usize>,
    /// Whether the first carried value (`bool []`) says, before every turn, if there is another.
    pub conditional: bool,
    /// A loop of which this one carries the same and more: with equal inputs, it computes the other's results too.
    pub extends: Option<Box<Extended>>,
}

/// What a loop extends.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Extended {
    /// The call of the other loop.
    pub call: Call,
    /// Which of this loop's inputs are the other's.
    pub inputs: Vec<usize>,
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

impl Serialize for Host {
    fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        let op = self.function.op();
        Err(ser::Error::custom(format!(
            "`{op}` is a function of the host, which is code; a file holds data alone"
        )))
    }
}

impl<'de> Deserialize<'de> for Host {
    fn deserialize<D: Deserializer<'de>>(_: D) -> Result<Host, D::Error> {
        Err(de::Error::custom("a function of the host cannot be in a file"))
    }
}

impl Work {
    /// The names of all kinds of work.
    pub const NAMES: &'static [&'static str] = &["host", "switch", "loop"];

    /// The name in listings and errors.
    pub fn name(&self) -> &'static str {
        match self {
            Work::Host(_) => "host",
            Work::Switch(_) => "switch",
            Work::Loop(_) => "loop",
        }
    }
}

impl Work {
    /// What people call it.
    pub(crate) fn title(&self) -> &str {
        match self {
            Work::Host(host) => host.function.op(),
            Work::Switch(_) | Work::Loop(_) => self.name(),
        }
    }
}

impl Call {
    /// How many of the first inputs change from turn to turn.
    pub(crate) fn carried(&self) -> usize {
        match &self.work {
            Work::Host(_) | Work::Switch(_) => 0,
            Work::Loop(_) => self.results.len(),
        }
    }

    /// Checks the inputs against what is called, and that.
    pub(crate) fn check(&self, inputs: &[(&[usize], DType)]) -> Result<(), String> {
        match &self.work {
            Work::Host(_) => Ok(()),
            Work::Switch(arms) => {
                let Some((index, passed)) = inputs.split_first() else { return Err("no index".into()) };
                if !index.0.is_empty() || index.1 != DType::I32 || arms.is_empty() {
                    return Err("index or number of branches".into());
                }
                arms.iter().try_for_each(|arm| self.check_arm(arm, passed))
            }
            Work::Loop(looped) => self.check_loop(looped, inputs),
        }
    }

    fn check_arm(&self, arm: &Graph, inputs: &[(&[usize], DType)]) -> Result<(), String> {
        arm.verify().map_err(|e| e.to_string())?;
        let leaves = arm.leaves.iter().map(|leaf| (&leaf.shape[..], leaf.dtype));
        let given = arm.outputs.iter().map(|id| arm.node(*id)).map(|n| (&n.shape, n.dtype));
        let stateless = arm.assigns.is_empty() && arm.leaves.iter().all(|l| !l.state);
        let fits = leaves.eq(inputs.iter().copied()) && given.eq(self.results.iter().map(|(s, d)| (s, *d)));
        if stateless && fits { Ok(()) } else { Err("forms of a branch".into()) }
    }

    fn check_loop(&self, looped: &Loop, inputs: &[(&[usize], DType)]) -> Result<(), String> {
        let (body, count) = (&looped.body, self.results.len());
        body.verify().map_err(|e| e.to_string())?;
        let carried = |i: usize| {
            let ((shape, dtype), leaf) = (inputs[i], &body.leaves[i]);
            let flat = leaf.shape[..] == [shape.iter().product::<usize>()];
            let result = &self.results[i];
            leaf.state && flat && leaf.dtype == dtype && result.0 == shape && result.1 == dtype
        };
        let constant = |i: usize| {
            let leaf = &body.leaves[i];
            !leaf.state && (&leaf.shape[..], leaf.dtype) == inputs[i]
        };
        let whole = |i: usize| {
            let written: Vec<_> = body.assigns.iter().filter(|a| a.leaf == i).collect();
            let all = |a: &&crate::graph::Assign| {
                a.offset == 0 && vec![body.node(a.value).len()] == body.leaves[i].shape
            };
            written.len() <= 1 && written.iter().all(all)
        };
        let fits = inputs.len() == body.leaves.len()
            && count <= inputs.len()
            && (0..count).all(|i| carried(i) && whole(i))
            && (count..inputs.len()).all(constant)
            && body.outputs.is_empty();
        let flagged = self.results.first().is_some_and(|(shape, d)| shape.is_empty() && *d == DType::Bool);
        let ends = if looped.conditional { flagged } else { looped.most.is_some() };
        if fits && ends { Ok(()) } else { Err("forms of a loop".into()) }
    }
}

impl fmt::Display for Call {
    /// What is called and its results; graphs inside follow, set in.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.work {
            Work::Host(host) => write!(f, "{}", host.function.op())?,
            Work::Switch(arms) => write!(f, "one of {}", arms.len())?,
            Work::Loop(looped) => write!(f, "{looped}")?,
        }
        write!(f, " →")?;
        self.results.iter().try_for_each(|(shape, dtype)| write!(f, " {dtype} {shape:?}"))?;
        let mut inside = |graph: &Graph, title: &str| {
            write!(f, "\n    {title}:")?;
            graph.to_string().lines().try_for_each(|line| write!(f, "\n    {line}"))
        };
        match &self.work {
            Work::Host(_) => Ok(()),
            Work::Switch(arms) => {
                arms.iter().enumerate().try_for_each(|(i, arm)| inside(arm, &format!("branch {i}")))
            }
            Work::Loop(looped) => inside(&looped.body, "body"),
        }
    }
}

impl fmt::Display for Loop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.conditional, self.most) {
            (false, Some(most)) => write!(f, "{most} times"),
            (false, None) => write!(f, "without end"),
            (true, None) => write!(f, "while true"),
            (true, Some(most)) => write!(f, "while true, at most {most} times"),
        }
    }
}
