//! The compiled programs of a function: found, traced, or made a part of another trace.

use std::any::Any;
use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use kiln_device::{Buffer, Device};

use super::nested;
use super::saved;
use super::signature::{self, Argument, Form, Signature, TensorSpec};
use crate::bind::Bindings;
use crate::body::parameter;
use crate::build::{Bound, Built, build};
use crate::error::{At, Error, Result};
use crate::evaluate::{Compiled, evaluate, home_of, one_device, stored_on};
use crate::grad::alias;
use crate::report::Report;
use crate::tensor::{Stored, Tensor, here};
use crate::trace;

/// A closure as users write it.
type Body<'a> = dyn Fn(&[Tensor]) -> Result<Vec<Tensor>> + 'a;

/// What a closure has made: its results, and what is kept with the program beside them.
pub(super) type Made = (Vec<Tensor>, Option<Arc<Kept>>);

/// What is kept with a program: the structure of a result.
pub(super) type Kept = dyn Any + Send + Sync;

/// A closure that is traced.
pub(super) type Traceable<'a> = dyn Fn(&[Tensor]) -> Result<Made> + 'a;

/// A trace that is not compiled.
pub(super) struct Traced {
    pub(super) built: Built,
    pub(super) outputs: Vec<Form>,
    kept: Option<Arc<Kept>>,
}

/// A compiled trace.
pub(crate) struct Concrete {
    pub(super) compiled: Compiled,
    pub(super) bound: Vec<Bound>,
    pub(super) outputs: Vec<Form>,
    pub(super) device: Device,
    kept: Option<Arc<Kept>>,
}

/// Traces after which a function warns, and again whenever their number has doubled.
const WARN_AFTER: usize = 32;

/// The compiled programs of a function whose closure is passed at every call: for closures that borrow, as a model's
/// training step does. The closure runs only where a signature is traced, and must mean the same every time.
pub struct FunctionCache {
    pub(super) name: String,
    specs: Option<Vec<TensorSpec>>,
    limit: Option<usize>,
    state: Mutex<State>,
    /// Held while the closure is traced, so that of several threads only one traces.
    tracing: Mutex<()>,
}

#[derive(Default)]
struct State {
    /// For each signature one program a device.
    concrete: HashMap<Signature, Vec<Arc<Concrete>>>,
    traces: Vec<String>,
    warned: bool,
}

/// What a program is asked for.
pub(super) struct Request {
    signature: Signature,
    /// The device that the arguments are bound to; none where they come from the host.
    home: Option<Device>,
    at: At,
}

impl Request {
    /// For arguments in a structure (see [`Signature`]).
    pub(super) fn new<A: Argument>(structure: String, arguments: &[A], at: At) -> Result<Request> {
        let forms = arguments.iter().map(Argument::form).collect::<Result<_>>()?;
        let mut request = Request { signature: Signature { structure, forms }, home: None, at };
        if !trace::is_inside(at)? {
            let tensors: Vec<Tensor> = arguments.iter().filter_map(Argument::tensor).cloned().collect();
            request.home = home_of(&tensors, at)?;
        }
        Ok(request)
    }
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

    /// As [`crate::Function::signature`].
    pub fn signature(self, specs: impl Into<Vec<TensorSpec>>) -> FunctionCache {
        FunctionCache { specs: Some(specs.into()), ..self }
    }

    /// As [`crate::Function::trace_limit`].
    pub fn trace_limit(self, limit: usize) -> FunctionCache {
        FunctionCache { limit: Some(limit), ..self }
    }

    /// As [`crate::Function::save_prepared`].
    ///
    /// # Errors
    /// As [`crate::Function::save_prepared`].
    #[track_caller]
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        self.save_prepared(path.as_ref(), here())
    }

    /// The programs traced so far, in a file.
    pub(super) fn save_prepared(&self, path: &Path, at: At) -> Result<()> {
        let first = |(s, c): (&Signature, &Vec<Arc<Concrete>>)| Some((s.clone(), c.first()?.clone()));
        let mut programs: Vec<_> = self.state().concrete.iter().filter_map(first).collect();
        programs.sort_by(|a, b| a.0.cmp(&b.0));
        saved::save(&self.name, &programs, path, at)
    }

    /// Whether the signature has open dimensions.
    pub(super) fn is_open(&self) -> bool {
        self.specs.iter().flatten().any(|spec| spec.shape.contains(&None))
    }

    /// [`FunctionCache::save`], or where the signature has open dimensions, programs for any sizes of them, of these
    /// closures in their structures.
    pub(super) fn save_any(&self, path: &Path, bodies: &[(String, &Traceable<'_>)], at: At) -> Result<()> {
        let Some(specs) = self.specs.as_ref().filter(|_| self.is_open()) else {
            return self.save_prepared(path, at);
        };
        trace::forbid("a function cannot be saved", at)?;
        let _tracing = self.tracing.lock().unwrap_or_else(PoisonError::into_inner);
        saved::save_any(self, specs, bodies, path, at)
    }

    /// Forgets every program: the next call traces again.
    pub fn clear(&self) {
        self.state().concrete.clear();
    }

    /// How often the closure has been traced and compiled. A call inside another trace is a part of that, and not counted.
    pub fn trace_count(&self) -> usize {
        self.state().traces.len()
    }

    /// One line for every trace: the signature, and why it was traced.
    pub fn trace_report(&self) -> Vec<String> {
        self.state().traces.clone()
    }

    /// As [`crate::Function::call`].
    ///
    /// # Errors
    /// The closure's own, the first that a tensor carries, and those of compiling and running.
    #[track_caller]
    pub fn call(&self, arguments: &[Tensor], body: &Body<'_>) -> Result<Vec<Tensor>> {
        let request = Request::new(String::new(), arguments, here())?;
        Ok(self.run(&request, arguments, &plain(body))?.0)
    }

    /// As [`crate::Function::prepare`].
    ///
    /// # Errors
    /// As [`FunctionCache::call`].
    #[track_caller]
    pub fn prepare<A: Argument>(&self, arguments: &[A], body: &Body<'_>) -> Result<()> {
        let request = Request::new(String::new(), arguments, here())?;
        self.compiled(&request, &plain(body)).map(drop)
    }

    /// As [`crate::Function::explain`].
    ///
    /// # Errors
    /// As [`FunctionCache::call`].
    #[track_caller]
    pub fn explain<A: Argument>(&self, arguments: &[A], body: &Body<'_>) -> Result<Report> {
        let request = Request::new(String::new(), arguments, here())?;
        self.report(&request, &plain(body))
    }

    /// As [`crate::Function::profile`].
    ///
    /// # Errors
    /// As [`FunctionCache::call`].
    #[track_caller]
    pub fn profile(&self, arguments: &[Tensor], body: &Body<'_>) -> Result<Report> {
        let request = Request::new(String::new(), arguments, here())?;
        self.timed(&request, arguments, &plain(body))
    }

    /// As [`crate::Function::kernel_sources`].
    ///
    /// # Errors
    /// As [`FunctionCache::call`].
    #[track_caller]
    pub fn kernel_sources<A: Argument>(&self, arguments: &[A], body: &Body<'_>) -> Result<Vec<String>> {
        let request = Request::new(String::new(), arguments, here())?;
        self.sources(&request, &plain(body))
    }

    /// Runs the program, or the closure where another function is being traced.
    pub(super) fn run(&self, request: &Request, arguments: &[Tensor], body: &Traceable<'_>) -> Result<Made> {
        if trace::is_inside(request.at)? {
            return self.inline(request, arguments, body);
        }
        let (concrete, bindings) = self.ready(request, arguments, body)?;
        Ok((concrete.run(bindings, request.at)?, concrete.kept.clone()))
    }

    /// What the program does.
    pub(super) fn report(&self, request: &Request, body: &Traceable<'_>) -> Result<Report> {
        Ok(self.compiled(request, body)?.compiled.report.clone())
    }

    /// What the program does, with the times of one run.
    pub(super) fn timed(
        &self,
        request: &Request,
        arguments: &[Tensor],
        body: &Traceable<'_>,
    ) -> Result<Report> {
        trace::forbid("a program cannot be timed", request.at)?;
        let (concrete, bindings) = self.ready(request, arguments, body)?;
        let outputs = concrete.compiled.outputs()?;
        let buffers = concrete.compiled.bind(&bindings.leaves, &outputs);
        let times = concrete.compiled.executable().profile(&buffers)?;
        bindings.commit()?;
        Ok(concrete.compiled.report.clone().timed(times))
    }

    /// The texts of the kernels.
    pub(super) fn sources(&self, request: &Request, body: &Traceable<'_>) -> Result<Vec<String>> {
        Ok(self.compiled(request, body)?.compiled.executable().sources())
    }

    /// The program, outside of any trace.
    pub(super) fn compiled(&self, request: &Request, body: &Traceable<'_>) -> Result<Arc<Concrete>> {
        trace::forbid("a program cannot be prepared", request.at)?;
        self.concrete(request, body)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the closure makes of the arguments, as a part of the trace that goes on.
    fn inline(&self, request: &Request, arguments: &[Tensor], body: &Traceable<'_>) -> Result<Made> {
        self.check_specs(request)?;
        let _running = nested::enter(self, &self.name, &request.signature, request.at)?;
        // As placeholders are: two arguments are two tensors, and neither is what the closure captures.
        let passed: Vec<Tensor> = arguments.iter().map(|t| alias(t, request.at)).collect();
        let made = body(&passed)?;
        made.0.iter().try_for_each(|t| t.check().map(drop))?;
        Ok(made)
    }

    fn concrete(&self, request: &Request, body: &Traceable<'_>) -> Result<Arc<Concrete>> {
        if let Some(concrete) = self.found(request)?.filter(|c| !c.is_stale()) {
            return Ok(concrete);
        }
        let _tracing = self.tracing.lock().unwrap_or_else(PoisonError::into_inner);
        let found = self.found(request)?;
        let moved = found.as_ref().is_some_and(|c| c.is_stale());
        if let Some(concrete) = found.filter(|_| !moved) {
            return Ok(concrete);
        }
        self.check_specs(request)?;
        let why = self.reason(&request.signature, moved);
        self.allow(&why, request.at)?;
        let made = Arc::new(self.trace(request, body)?);
        let mut state = self.state();
        state.traces.push(why);
        let programs = state.concrete.entry(request.signature.clone()).or_default();
        programs.retain(|c| c.device != made.device);
        programs.push(made.clone());
        Ok(made)
    }

    fn check_specs(&self, request: &Request) -> Result<()> {
        match self.specs.as_ref().and_then(|specs| signature::mismatch(specs, &request.signature)) {
            Some(message) => {
                let message = format!("{message}; function `{}` was given this signature", self.name);
                Err(Error::Operation { op: "function", message, at: request.at })
            }
            None => Ok(()),
        }
    }

    /// The program for these arguments, bound to them and to state.
    fn ready(
        &self,
        request: &Request,
        arguments: &[Tensor],
        body: &Traceable<'_>,
    ) -> Result<(Arc<Concrete>, Bindings)> {
        loop {
            let concrete = self.concrete(request, body)?;
            let on_device = |t| Ok(stored_on(t, &concrete.device, request.at)?.buffer);
            let passed = arguments.iter().map(on_device).collect::<Result<Vec<Buffer>>>()?;
            if let Some(bindings) = concrete.bindings(&passed)? {
                return Ok((concrete, bindings));
            }
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
            let warning = format!(
                "[function] {why}: it has been traced {count} times, each time compiled and kept; {WAY_OUT} (at {at})"
            );
            // Who has set up no logger must see it too, once.
            if log::max_level() != log::LevelFilter::Off {
                log::warn!("{warning}");
            } else if !std::mem::replace(&mut self.state().warned, true) {
                eprintln!("{warning}");
            }
        }
        Ok(())
    }

    fn found(&self, request: &Request) -> Result<Option<Arc<Concrete>>> {
        let state = self.state();
        let Some(programs) = state.concrete.get(&request.signature) else { return Ok(None) };
        let device = match &request.home {
            Some(device) => device.clone(),
            // Arguments from the host go where the variables are; else where the default is now.
            None => match programs.iter().find(|c| c.has_home()) {
                Some(concrete) => return Ok(Some(concrete.clone())),
                None => crate::default_device()?,
            },
        };
        Ok(programs.iter().find(|c| c.device == device).cloned())
    }

    fn reason(&self, signature: &Signature, moved: bool) -> String {
        let state = self.state();
        let mut text = signature::as_call(&self.name, signature);
        text.push_str(": ");
        if moved {
            text.push_str("variables were packed into another slab since");
        } else if state.concrete.is_empty() {
            text.push_str("first call");
        } else if state.concrete.contains_key(signature) {
            text.push_str("on another device");
        } else {
            let differences = |known: &Signature| signature::difference(known, signature);
            let nearest = state.concrete.keys().map(differences).min_by_key(Vec::len).unwrap_or_default();
            text.push_str(&format!("new signature, {}", nearest.join(", ")));
        }
        text
    }

    /// Traces. Where variables may be created, it is traced again then, and what it creates again is an error: it would be
    /// lost.
    pub(super) fn traced(
        &self,
        signature: &Signature,
        body: &Traceable<'_>,
        creates: bool,
        at: At,
    ) -> Result<Traced> {
        let _running = nested::enter(self, &self.name, signature, at)?;
        let record = |creates: bool| {
            let (traced, recorded) = trace::record_function(&self.name, creates, |id| {
                let placeholder = |(shape, dtype): &Form| parameter(id, shape.clone(), *dtype, at);
                let placeholders: Vec<Tensor> = signature.forms.iter().map(placeholder).collect();
                body(&placeholders).map(|made| (placeholders, id, made))
            });
            traced.map(|traced| (traced, recorded))
        };
        let mut traced = record(creates)?;
        if traced.1.created {
            traced = record(false)?;
        }
        let ((placeholders, id, (outputs, kept)), recorded) = traced;
        let built = build(Some(id), &placeholders, &outputs, &recorded, at)?;
        Ok(Traced { built, outputs: signature::forms_of(&outputs), kept })
    }

    /// Traces and compiles.
    fn trace(&self, request: &Request, body: &Traceable<'_>) -> Result<Concrete> {
        let Traced { built, outputs, kept } =
            self.traced(&request.signature, body, self.trace_count() == 0, request.at)?;
        let Built { graph, bound } = built;
        let device = settled(&bound, request.home.clone(), request.at)?;
        let compiled = Compiled::new(graph, &device)?;
        Ok(Concrete { compiled, bound, outputs, device, kept })
    }
}

/// The device of what a program is bound to, whose captured readings have their values then.
pub(super) fn settled(bound: &[Bound], home: Option<Device>, at: At) -> Result<Device> {
    let read: Vec<Tensor> = bound.iter().filter_map(Bound::captured_reading).cloned().collect();
    evaluate(&read, None, at)?;
    let devices = home.into_iter().chain(bound.iter().filter_map(Bound::device));
    one_device(devices, at)?.map_or_else(crate::default_device, Ok)
}

/// A closure that gives a plain list.
pub(super) fn plain<'a>(body: &'a Body<'a>) -> impl Fn(&[Tensor]) -> Result<Made> + 'a {
    |arguments| Ok((body(arguments)?, None))
}

impl Concrete {
    /// A program without anything kept beside it.
    pub(super) fn new(compiled: Compiled, bound: Vec<Bound>, outputs: Vec<Form>, device: Device) -> Concrete {
        Concrete { compiled, bound, outputs, device, kept: None }
    }

    /// True where a variable it reads or writes has moved to another slab.
    fn is_stale(&self) -> bool {
        self.bound.iter().any(Bound::is_over)
    }

    /// True where what it captures binds it to its device.
    fn has_home(&self) -> bool {
        self.bound.iter().any(|b| b.device().is_some())
    }

    /// Bound to arguments and state; `None` where state has moved since the trace.
    pub(super) fn bindings(&self, arguments: &[Buffer]) -> Result<Option<Bindings>> {
        Bindings::new(&self.compiled, &self.bound, arguments, &self.device)
    }

    /// Runs once; results are on the device.
    pub(super) fn run(&self, bindings: Bindings, at: At) -> Result<Vec<Tensor>> {
        let outputs = self.compiled.run(bindings)?;
        let tensor = |((shape, dtype), buffer): (&Form, Buffer)| {
            let stored = Stored { device: self.device.clone(), buffer };
            Tensor::from_stored(shape.clone(), *dtype, stored, at)
        };
        Ok(self.outputs.iter().zip(outputs).map(tensor).collect())
    }
}
