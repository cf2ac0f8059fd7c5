//! `Function`: a Rust closure traced once per signature, compiled as one program, and replayed.

mod saved;
mod signature;
mod tree;

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use kiln_device::{Buffer, Device};

pub use saved::SavedFunction;
pub use signature::TensorSpec;
pub use tree::TreeFunction;

use crate::build::{Bound, Built, build};
use crate::error::{At, Error, Result};
use crate::evaluate::{Compiled, before_write, device_of};
use crate::report::Report;
use crate::tensor::{Kind, Stored, Tensor, here};
use crate::trace;
use crate::variable::{Writing, writing};
use signature::{Form, Signature};

type OwnBody = dyn Fn(&[Tensor]) -> Result<Vec<Tensor>> + Send + Sync;

type Body<'a> = dyn Fn(&[Tensor]) -> Result<Vec<Tensor>> + 'a;

/// A compiled trace.
struct Concrete {
    compiled: Compiled,
    bound: Vec<Bound>,
    outputs: Vec<Form>,
    device: Device,
}

/// Traces after which a function warns, and again whenever their number has doubled.
const WARN_AFTER: usize = 32;

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

    /// The arguments that it takes: others are an error of the call. A dimension `None` takes any size.
    ///
    /// ```
    /// use kiln_graph::{DType, Function, Tensor, TensorSpec};
    /// let double = Function::new("double", |x| Ok(vec![&x[0] * 2.0]))
    ///     .signature([TensorSpec::new([None, Some(2)], DType::F32)]);
    /// double.call(&[Tensor::zeros(&[5, 2])])?;
    /// let error = double.call(&[Tensor::zeros(&[5, 3])]).unwrap_err();
    /// assert!(error.to_string().contains("expected float32 [None, 2] for argument 0"));
    /// # Ok::<(), kiln_graph::Error>(())
    /// ```
    pub fn signature(mut self, specs: impl Into<Vec<TensorSpec>>) -> Function {
        self.cache = self.cache.signature(specs);
        self
    }

    /// The number of traces that are allowed: one more is an error of the call, with the reason for it. Without a limit
    /// a function that is traced often warns through the `log` crate.
    pub fn trace_limit(mut self, limit: usize) -> Function {
        self.cache = self.cache.trace_limit(limit);
        self
    }

    /// Writes the programs of every signature called so far to one file, with the values that variables and captured
    /// tensors have now: [`SavedFunction::load`] runs them without the closure, in another process too. The format is
    /// described in `docs/formats.md`.
    ///
    /// A program is of concrete shapes. Where the signature has open dimensions ([`TensorSpec`] with `None`), call or
    /// [`Function::prepare`] every size that shall run from the file first: other ones are errors there.
    ///
    /// # Errors
    /// Where there is no program yet, one calls back into Rust code, or the file cannot be written.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        self.cache.save(path)
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
    specs: Option<Vec<TensorSpec>>,
    limit: Option<usize>,
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
        FunctionCache {
            name: name.into(),
            specs: None,
            limit: None,
            state: Mutex::default(),
            tracing: Mutex::default(),
        }
    }

    /// As [`Function::signature`].
    pub fn signature(self, specs: impl Into<Vec<TensorSpec>>) -> FunctionCache {
        FunctionCache { specs: Some(specs.into()), ..self }
    }

    /// As [`Function::trace_limit`].
    pub fn trace_limit(self, limit: usize) -> FunctionCache {
        FunctionCache { limit: Some(limit), ..self }
    }

    /// As [`Function::save`].
    ///
    /// # Errors
    /// As [`Function::save`].
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        let mut programs: Vec<_> =
            self.state().concrete.iter().map(|(s, c)| (s.clone(), c.clone())).collect();
        programs.sort_by(|a, b| a.0.cmp(&b.0));
        saved::save(&self.name, &programs, path.as_ref())
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
        concrete.run(&leaves, at)
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
        let at = here();
        trace::forbid_reading(at)?;
        for argument in arguments {
            argument.check()?;
        }
        let signature = signature::of(arguments);
        if let Some(concrete) = self.found(&signature).filter(|c| !c.is_stale()) {
            return Ok(concrete);
        }
        let _tracing = self.tracing.lock().unwrap_or_else(PoisonError::into_inner);
        let found = self.found(&signature);
        let moved = found.as_ref().is_some_and(|c| c.is_stale());
        if let Some(concrete) = found.filter(|_| !moved) {
            return Ok(concrete);
        }
        if let Some(message) = self.specs.as_ref().and_then(|specs| signature::mismatch(specs, &signature)) {
            let message = format!("{message}; the function was given this signature");
            return Err(Error::Operation { op: "function", message, at });
        }
        let why = self.reason(&signature, moved);
        self.allow(&why, at)?;
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
            let leaves = concrete.leaves(&passed)?;
            return Ok((concrete, leaves, writing));
        }
    }

    /// Warns of many traces, or refuses one more than the limit.
    fn allow(&self, why: &str, at: At) -> Result<()> {
        const WAY_OUT: &str = "pad or bucket the arguments to fewer shapes";
        let count = self.trace_count();
        if self.limit.is_some_and(|limit| count >= limit) {
            let message = format!("{why}: it has been traced {count} times, its limit; {WAY_OUT}");
            return Err(Error::Trace { message, at });
        }
        if count >= WARN_AFTER && count.is_power_of_two() {
            log::warn!(
                "[function] {why}: it has been traced {count} times, each time compiled and kept; {WAY_OUT} (at {at})"
            );
        }
        Ok(())
    }

    fn found(&self, signature: &Signature) -> Option<Arc<Concrete>> {
        self.state().concrete.get(signature).cloned()
    }

    fn reason(&self, signature: &Signature, moved: bool) -> String {
        let state = self.state();
        let mut text = signature::as_call(&self.name, signature);
        text.push_str(": ");
        if moved {
            text.push_str("variables were packed into another slab since");
        } else if state.concrete.is_empty() {
            text.push_str("first call");
        } else {
            let differences = |known: &Signature| signature::difference(known, signature);
            let nearest = state.concrete.keys().map(differences).min_by_key(Vec::len).unwrap_or_default();
            text.push_str(&format!("new signature, {}", nearest.join(", ")));
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
            outputs: signature::of(&outputs),
            device,
        })
    }
}

impl Concrete {
    /// True where a variable it reads or writes has moved to another slab.
    fn is_stale(&self) -> bool {
        self.bound.iter().any(|b| matches!(b, Bound::State(slab) if slab.is_left()))
    }

    /// Buffers of all leaves, given those of the arguments; the caller holds [`writing`].
    fn leaves(&self, arguments: &[Buffer]) -> Result<Vec<Buffer>> {
        // First: a tensor that read what is written is bound to its copy.
        before_write(self.compiled.graph(), &self.bound)?;
        let buffer = |bound: &Bound| match bound {
            Bound::Argument(n) => Ok(arguments[*n].clone()),
            other => other.buffer(&self.device),
        };
        self.bound.iter().map(buffer).collect()
    }

    /// Runs with the leaves bound; results are on the device.
    fn run(&self, leaves: &[Buffer], at: At) -> Result<Vec<Tensor>> {
        let outputs = self.compiled.run(leaves)?;
        let tensor = |((shape, dtype), buffer): (&Form, Buffer)| {
            let stored = Stored { device: self.device.clone(), buffer };
            Tensor::from_stored(shape.clone(), *dtype, stored, at)
        };
        Ok(self.outputs.iter().zip(outputs).map(tensor).collect())
    }
}

impl std::fmt::Debug for Function {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Function({}, {} traces)", self.cache.name, self.trace_count())
    }
}
