//! `Function`: a Rust closure traced once per signature, compiled as one program, and replayed.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};

use kiln_device::{Buffer, DType, Device};

use crate::build::{Bound, Built, build};
use crate::error::Result;
use crate::evaluate::{Compiled, before_write, device_of};
use crate::report::Report;
use crate::shape::Shape;
use crate::tensor::{Kind, Stored, Tensor, here};
use crate::trace;
use crate::variable::{Writing, writing};

type OwnBody = dyn Fn(&[Tensor]) -> Result<Vec<Tensor>> + Send + Sync;

type Body<'a> = dyn Fn(&[Tensor]) -> Result<Vec<Tensor>> + 'a;

/// Shapes and dtypes of the arguments.
type Signature = Vec<Form>;

type Form = (Shape, DType);

/// A compiled trace.
struct Concrete {
    compiled: Compiled,
    bound: Vec<Bound>,
    outputs: Vec<Form>,
    device: Device,
}

/// A closure over tensors that is traced once for every signature of its arguments, compiled, and replayed.
///
/// Variables read inside are state: every call sees their present values. Assignments inside take effect together at
/// the end of the call. Tensors captured from outside are constants of the trace.
///
/// ```
/// use kiln_graph::{Function, Tensor, Variable};
/// let total = Variable::new(&Tensor::scalar(0.0f32))?;
/// let add = {
///     let total = total.clone();
///     Function::new("add", move |x| {
///         let sum = x[0].sum(());
///         total.assign_add(&sum)?;
///         Ok(vec![sum])
///     })
/// };
/// add.call(&[Tensor::from_slice(&[1.0f32, 2.0])])?;
/// add.call(&[Tensor::from_slice(&[3.0f32, 4.0])])?;
/// assert_eq!(total.read().item::<f32>()?, 10.0);
/// assert_eq!(add.trace_count(), 1);
/// # Ok::<(), kiln_graph::Error>(())
/// ```
pub struct Function {
    cache: FunctionCache,
    body: Box<OwnBody>,
}

impl Function {
    /// A function of a closure; nothing is traced yet.
    pub fn new(
        name: impl Into<String>,
        body: impl Fn(&[Tensor]) -> Result<Vec<Tensor>> + Send + Sync + 'static,
    ) -> Function {
        Function { cache: FunctionCache::new(name), body: Box::new(body) }
    }

    /// Runs it: traces and compiles at the first call of a signature, replays after.
    ///
    /// Results are on the device and may still be being computed.
    ///
    /// # Errors
    /// The closure's own, the first that a tensor carries, and those of compiling and running.
    #[track_caller]
    pub fn call(&self, arguments: &[Tensor]) -> Result<Vec<Tensor>> {
        self.cache.call(arguments, &*self.body)
    }

    /// Traces and compiles for these arguments without running; the closure is not traced again where it was.
    ///
    /// # Errors
    /// As [`Function::call`].
    #[track_caller]
    pub fn prepare(&self, arguments: &[Tensor]) -> Result<()> {
        self.cache.prepare(arguments, &*self.body)
    }

    /// What the compiled program for these arguments does: kernels, memory, and what was not fused and why.
    ///
    /// # Errors
    /// As [`Function::call`].
    #[track_caller]
    pub fn explain(&self, arguments: &[Tensor]) -> Result<Report> {
        self.cache.explain(arguments, &*self.body)
    }

    /// [`Function::explain`] with the time of every kernel, measured in one call, which takes effect.
    ///
    /// # Errors
    /// As [`Function::call`].
    #[track_caller]
    pub fn profile(&self, arguments: &[Tensor]) -> Result<Report> {
        self.cache.profile(arguments, &*self.body)
    }

    /// The text of every kernel of the compiled program, as its executor has it.
    ///
    /// # Errors
    /// As [`Function::call`].
    #[track_caller]
    pub fn kernel_sources(&self, arguments: &[Tensor]) -> Result<Vec<String>> {
        self.cache.kernel_sources(arguments, &*self.body)
    }

    /// How often the closure has been traced.
    pub fn trace_count(&self) -> usize {
        self.cache.trace_count()
    }

    /// One line for every trace: the signature, and why it was traced.
    pub fn trace_report(&self) -> Vec<String> {
        self.cache.trace_report()
    }
}

/// The compiled programs of a function whose closure is passed at every call: for closures that borrow, as a model's
/// training step does. The closure runs only where a signature is traced, and must mean the same every time.
pub struct FunctionCache {
    name: String,
    state: Mutex<State>,
    /// Held while the closure is traced, so that of several threads only one traces.
    tracing: Mutex<()>,
}

#[derive(Default)]
struct State {
    concrete: HashMap<Signature, Arc<Concrete>>,
    traces: Vec<String>,
}

impl FunctionCache {
    /// An empty cache.
    pub fn new(name: impl Into<String>) -> FunctionCache {
        FunctionCache { name: name.into(), state: Mutex::default(), tracing: Mutex::default() }
    }

    /// Forgets every program: the next call traces again.
    pub fn clear(&self) {
        self.state().concrete.clear();
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How often the closure has been traced.
    pub fn trace_count(&self) -> usize {
        self.state().traces.len()
    }

    /// One line for every trace: the signature, and why it was traced.
    pub fn trace_report(&self) -> Vec<String> {
        self.state().traces.clone()
    }

    /// Runs it: traces and compiles at the first call of a signature, replays after.
    ///
    /// Results are on the device and may still be being computed.
    ///
    /// # Errors
    /// The closure's own, the first that a tensor carries, and those of compiling and running.
    #[track_caller]
    pub fn call(&self, arguments: &[Tensor], body: &Body<'_>) -> Result<Vec<Tensor>> {
        let at = here();
        let (concrete, leaves, _writing) = self.ready(arguments, body)?;
        let outputs = concrete.compiled.run(&leaves)?;
        let tensor = |((shape, dtype), buffer): (&Form, Buffer)| {
            let stored = Stored { device: concrete.device.clone(), buffer };
            Tensor::from_stored(shape.clone(), *dtype, stored, at)
        };
        Ok(concrete.outputs.iter().zip(outputs).map(tensor).collect())
    }

    /// Traces and compiles for these arguments without running; the closure is not traced again where it was.
    ///
    /// # Errors
    /// As [`FunctionCache::call`].
    #[track_caller]
    pub fn prepare(&self, arguments: &[Tensor], body: &Body<'_>) -> Result<()> {
        self.concrete(arguments, body).map(drop)
    }

    /// What the compiled program for these arguments does: kernels, memory, and what was not fused and why.
    ///
    /// # Errors
    /// As [`FunctionCache::call`].
    #[track_caller]
    pub fn explain(&self, arguments: &[Tensor], body: &Body<'_>) -> Result<Report> {
        Ok(self.concrete(arguments, body)?.compiled.report.clone())
    }

    /// [`Function::explain`] with the time of every kernel, measured in one call, which takes effect.
    ///
    /// # Errors
    /// As [`FunctionCache::call`].
    #[track_caller]
    pub fn profile(&self, arguments: &[Tensor], body: &Body<'_>) -> Result<Report> {
        let (concrete, leaves, _writing) = self.ready(arguments, body)?;
        let outputs = concrete.compiled.outputs()?;
        let times = concrete.compiled.executable().profile(&concrete.compiled.bind(&leaves, &outputs))?;
        Ok(concrete.compiled.report.clone().timed(times))
    }

    /// The text of every kernel of the compiled program, as its executor has it.
    ///
    /// # Errors
    /// As [`FunctionCache::call`].
    #[track_caller]
    pub fn kernel_sources(&self, arguments: &[Tensor], body: &Body<'_>) -> Result<Vec<String>> {
        Ok(self.concrete(arguments, body)?.compiled.executable().sources())
    }

    #[track_caller]
    fn concrete(&self, arguments: &[Tensor], body: &Body<'_>) -> Result<Arc<Concrete>> {
        trace::forbid_reading(here())?;
        for argument in arguments {
            argument.check()?;
        }
        let signature: Signature = arguments.iter().map(|t| (t.shape().to_vec(), t.dtype())).collect();
        if let Some(concrete) = self.found(&signature).filter(|c| !c.is_stale()) {
            return Ok(concrete);
        }
        let _tracing = self.tracing.lock().unwrap_or_else(PoisonError::into_inner);
        let found = self.found(&signature);
        let moved = found.as_ref().is_some_and(|c| c.is_stale());
        if let Some(concrete) = found.filter(|_| !moved) {
            return Ok(concrete);
        }
        let why = self.reason(&signature, moved);
        let made = Arc::new(self.trace(arguments, body)?);
        let mut state = self.state();
        state.traces.push(why);
        state.concrete.insert(signature, made.clone());
        Ok(made)
    }

    /// The program for these arguments and its leaves, while nobody else writes or moves state.
    #[track_caller]
    fn ready(&self, arguments: &[Tensor], body: &Body<'_>) -> Result<(Arc<Concrete>, Vec<Buffer>, Writing)> {
        loop {
            let concrete = self.concrete(arguments, body)?;
            let on_device = |t| Ok(crate::evaluate::stored_on(t, &concrete.device)?.buffer);
            let passed = arguments.iter().map(on_device).collect::<Result<Vec<Buffer>>>()?;
            let writing = writing();
            if concrete.is_stale() {
                continue;
            }
            // First: a tensor that read what is written is bound to its copy.
            before_write(concrete.compiled.graph(), &concrete.bound)?;
            let leaves = concrete.leaves(&passed)?;
            return Ok((concrete, leaves, writing));
        }
    }

    fn found(&self, signature: &Signature) -> Option<Arc<Concrete>> {
        self.state().concrete.get(signature).cloned()
    }

    fn reason(&self, signature: &Signature, moved: bool) -> String {
        let state = self.state();
        let mut text = format!("{}(", self.name);
        for (i, (shape, dtype)) in signature.iter().enumerate() {
            let _ = write!(text, "{}{dtype} {shape:?}", if i > 0 { ", " } else { "" });
        }
        text.push_str("): ");
        if moved {
            text.push_str("variables were packed into another slab since");
        } else if state.concrete.is_empty() {
            text.push_str("first call");
        } else {
            let nearest = state.concrete.keys().min_by_key(|known| difference(known, signature).len());
            let what = nearest.map(|known| difference(known, signature).join(", ")).unwrap_or_default();
            let _ = write!(text, "new signature, {what}");
        }
        text
    }

    fn trace(&self, arguments: &[Tensor], body: &Body<'_>) -> Result<Concrete> {
        let ((placeholders, id, outputs), recorded) = trace::record(trace::What::Function, |id| {
            let placeholder = |t: &Tensor| {
                let kind = Kind::Placeholder(id);
                Tensor::new(kind, vec![], t.shape().to_vec(), t.dtype(), t.node.at)
            };
            let placeholders: Vec<Tensor> = arguments.iter().map(placeholder).collect();
            let outputs = body(&placeholders);
            (placeholders, id, outputs)
        });
        let outputs = outputs?;
        let Built { graph, bound } = build(Some(id), &placeholders, &outputs, &recorded)?;
        let device = device_of(&bound, arguments, None)?;
        Ok(Concrete {
            compiled: Compiled::new(graph, &device)?,
            bound,
            outputs: outputs.iter().map(|t| (t.shape().to_vec(), t.dtype())).collect(),
            device,
        })
    }
}

/// What differs between two signatures, argument by argument.
fn difference(known: &Signature, new: &Signature) -> Vec<String> {
    if known.len() != new.len() {
        return vec![format!("{} arguments instead of {}", new.len(), known.len())];
    }
    let differs = |(i, (a, b)): (usize, (&Form, &Form))| {
        (a != b).then(|| format!("argument {i} was {} {:?}, is {} {:?}", a.1, a.0, b.1, b.0))
    };
    known.iter().zip(new).enumerate().filter_map(differs).collect()
}

impl Concrete {
    /// True where a variable it reads or writes has moved to another slab.
    fn is_stale(&self) -> bool {
        self.bound.iter().any(|b| matches!(b, Bound::State(slab) if slab.is_left()))
    }

    fn leaves(&self, arguments: &[Buffer]) -> Result<Vec<Buffer>> {
        let buffer = |bound: &Bound| match bound {
            Bound::Argument(n) => Ok(arguments[*n].clone()),
            other => other.buffer(&self.device),
        };
        self.bound.iter().map(buffer).collect()
    }
}

impl std::fmt::Debug for Function {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Function({}, {} traces)", self.cache.name, self.trace_count())
    }
}
