//! Compiled functions in files: graphs and values, without the closure that was traced.
//!
//! A file is data: graphs of primitives, never code. It is verified node by node before anything is compiled.

mod fit;
mod format;
mod formula;
mod general;
mod join;
mod points;
mod probe;
mod write;

use std::borrow::Cow;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use kiln_device::{DType, Device};
use safetensors::tensor::SafeTensors;

use self::format::{CHECKSUM, KEY, Program, SavedBound, SavedLeaf, checksum, file_dtype, parse};
use self::general::{Case, General};
use super::cache::{Concrete, FunctionCache, Traceable, settled};
use super::expressions::expressions;
use super::signature::{self, Form, Signature, TensorSpec};
use crate::build::Bound;
use crate::error::{At, Error, Result};
use crate::evaluate::{Compiled, home_of, one_device, stored_on};
use crate::files::{ReadBudget, file_error};
use crate::grad::alias;
use crate::graph::{Graph, Leaf, NodeId, simplified};
use crate::tensor::{Stored, Tensor, here};
use crate::trace;
use crate::tree::{self, Tree};
use crate::variable::{Slab, Variable};

pub(super) use self::write::save;

/// How many compiled programs of open sizes are kept; the one that was used longest ago goes.
const KEPT: usize = 64;

/// Writes programs for all sizes of the open dimensions of a signature, of these closures in their structures.
pub(super) fn save_any(
    cache: &FunctionCache,
    specs: &[TensorSpec],
    bodies: &[(String, &Traceable<'_>)],
    path: &Path,
    at: At,
) -> Result<()> {
    if bodies.is_empty() {
        let message = format!(
            "`{}` has not been called yet, so that no structure of arguments is known; call or prepare it once",
            cache.name
        );
        return Err(file_error(path, message));
    }
    // State may be packed meanwhile, by another thread.
    const ATTEMPTS: usize = 3;
    for _ in 0..ATTEMPTS {
        let mut made = vec![];
        for (structure, body) in bodies {
            let trace = |forms: &[Form]| {
                // Variables are made by a call, for its sizes; not by sizes that are only tried.
                let signature = Signature { structure: structure.clone(), forms: forms.to_vec() };
                cache.traced(&signature, *body, false, at)
            };
            let prober = probe::Prober { specs, trace: &trace, at, structure: structure.clone() };
            made.push(prober.generalized()?);
        }
        let bounds: Vec<Bound> = made.iter().flat_map(|made| made.bounds.iter().flatten()).cloned().collect();
        let device = settled(&bounds, None, at)?;
        if write::save_open(&cache.name, &made, &device, path)? {
            return Ok(());
        }
    }
    let message =
        "its variables are packed again and again while it is traced; save it when no other thread builds"
            .into();
    Err(Error::Operation { op: "save", message, at })
}

/// A function from a file: runs what [`crate::Function::save`] wrote. Its variables are its own: assignments inside take effect
/// on them from call to call, and on nothing else.
///
/// ```
/// use kiln_graph::{Function, SavedFunction, Tensor};
/// let folder = tempfile::tempdir()?;
/// let path = folder.path().join("double.kiln");
/// let double = Function::new("double", |x| Ok(vec![&x[0] * 2.0]));
/// double.prepare(&[Tensor::zeros(&[2])])?;
/// double.save(&path)?;
/// let loaded = SavedFunction::load(&path)?;
/// assert_eq!(loaded.call(&[Tensor::from_slice(&[1.0f32, 2.0])])?[0].to_vec::<f32>()?, [2.0, 4.0]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[doc(alias("SavedModel", "ConcreteFunction"))]
pub struct SavedFunction {
    name: String,
    path: PathBuf,
    device: Device,
    states: Vec<Arc<Slab>>,
    values: Vec<Tensor>,
    programs: Vec<Program>,
    open: Vec<General>,
    /// Compiled at the first call.
    ready: Mutex<Ready>,
}

/// Compiled programs, with the time of their last use.
#[derive(Default)]
struct Ready {
    programs: HashMap<Signature, (u64, Arc<Concrete>)>,
    clock: u64,
}

impl Ready {
    fn find(&mut self, signature: &Signature) -> Option<Arc<Concrete>> {
        self.clock += 1;
        let (used, found) = self.programs.get_mut(signature)?;
        *used = self.clock;
        Some(found.clone())
    }

    /// Keeps one more of at most so many.
    fn keep(&mut self, signature: Signature, concrete: Arc<Concrete>, most: usize) {
        while self.programs.len() >= most {
            let oldest = self.programs.iter().min_by_key(|(_, (used, _))| *used).map(|(s, _)| s.clone());
            oldest.and_then(|oldest| self.programs.remove(&oldest));
        }
        self.programs.insert(signature, (self.clock, concrete));
    }
}

/// The program for a call.
enum Chosen<'a> {
    Concrete(&'a Program),
    /// With the sizes of the open dimensions.
    Open(&'a General, &'a Case, Vec<usize>),
}

impl Chosen<'_> {
    fn structure(&self) -> &str {
        match self {
            Chosen::Concrete(program) => &program.structure,
            Chosen::Open(general, ..) => &general.structure,
        }
    }

    /// Its program, for arguments of these forms.
    fn program(&self, forms: &[Form]) -> Result<Cow<'_, Program>, String> {
        let program = match self {
            Chosen::Concrete(program) => Cow::Borrowed(*program),
            Chosen::Open(_, case, sizes) => Cow::Owned(case.program(sizes)?),
        };
        match program.arguments == forms {
            true => Ok(program),
            false => Err("the program for these sizes takes other arguments".into()),
        }
    }
}

impl SavedFunction {
    /// Reads a function onto the default device.
    ///
    /// # Errors
    /// Where the file is missing, damaged, of a newer version or holds a graph that breaks the rules of its primitives.
    #[track_caller]
    pub fn load(path: impl AsRef<Path>) -> Result<SavedFunction> {
        SavedFunction::load_within(path, &crate::default_device()?, &ReadBudget::default())
    }

    /// Reads a function onto a device, within a budget.
    ///
    /// # Errors
    /// As [`SavedFunction::load`], and where the file exceeds the budget.
    #[track_caller]
    pub fn load_within(
        path: impl AsRef<Path>,
        device: &Device,
        budget: &ReadBudget,
    ) -> Result<SavedFunction> {
        let (at, path) = (here(), path.as_ref());
        let bytes = budget.read(path)?;
        let damaged = |why: &dyn std::fmt::Display| {
            let message = format!("the file is damaged or holds no saved function ({why}); save it again");
            file_error(path, message)
        };
        let (_, header) = SafeTensors::read_metadata(&bytes).map_err(|e| damaged(&e))?;
        let tensors = SafeTensors::deserialize(&bytes).map_err(|e| damaged(&e))?;
        if tensors.len() > budget.max_tensors || tensors.names().iter().any(|n| n.len() > budget.max_name_len)
        {
            return Err(file_error(path, format!("expected at most {} tensors", budget.max_tensors)));
        }
        let entry = |key: &str| header.metadata().as_ref().and_then(|m| m.get(key));
        let text = entry(KEY).ok_or_else(|| damaged(&format!("no entry `{KEY}`")))?;
        let all = tensors.tensors();
        let found = checksum(text, all.iter().map(|(name, view)| (name.as_str(), view.data())));
        if entry(CHECKSUM) != Some(&found) {
            return Err(damaged(&"its checksum differs"));
        }
        let file = parse(text).map_err(|e| damaged(&e))?;
        let bytes_of = |name: String, dtype: DType, shape: &[usize]| {
            let view = tensors.tensor(&name).map_err(|e| damaged(&e))?;
            let fits = view.dtype() == file_dtype(dtype) && view.shape() == shape;
            if fits {
                Ok(view.data().to_vec())
            } else {
                Err(damaged(&format!("tensor {name} has another form")))
            }
        };
        let mut states = vec![];
        for (n, (dtype, count)) in file.states.iter().enumerate() {
            states.push(Slab::holding(device, *dtype, &bytes_of(format!("state.{n}"), *dtype, &[*count])?)?);
        }
        let mut values = vec![];
        let leaves = file.programs.iter().flat_map(|p| &p.leaves);
        let captured = leaves.filter(|leaf| matches!(leaf.bound, SavedBound::Value(_)));
        let forms = captured.map(|leaf| (leaf.shape.clone(), leaf.dtype)).chain(file.values);
        for (shape, dtype) in forms {
            let bytes = bytes_of(format!("value.{}", values.len()), dtype, &shape)?;
            let stored = Stored { device: device.clone(), buffer: device.buffer_from(dtype, &bytes)? };
            values.push(Tensor::from_stored(shape, dtype, stored, at));
        }
        let function = SavedFunction {
            name: file.name,
            path: path.to_path_buf(),
            device: device.clone(),
            states,
            values,
            programs: file.programs,
            open: file.open,
            ready: Mutex::default(),
        };
        for program in &function.programs {
            function.graph(program, at).map_err(|e| damaged(&e))?;
        }
        for case in function.open.iter().flat_map(|general| &general.cases) {
            let program = case.program(&case.smallest()).map_err(|e| damaged(&e))?;
            function.graph(&program, at).map_err(|e| damaged(&e))?;
        }
        Ok(function)
    }

    /// The name that the function was saved under.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The arguments that it can be called with, a line each. A dimension `None` takes any size.
    pub fn signatures(&self) -> Vec<String> {
        let concrete = self.programs.iter().map(|p| signature::as_call(&self.name, &p.signature()));
        concrete.chain(self.open.iter().map(|general| general.as_call(&self.name))).collect()
    }

    /// Runs it; results are on the device and may still be being computed. Inside another function it becomes a part of
    /// that.
    ///
    /// # Errors
    /// Where the function was not saved for such arguments, or for several structures of them; arguments on another
    /// device; those of compiling and running.
    #[track_caller]
    pub fn call(&self, arguments: &[Tensor]) -> Result<Vec<Tensor>> {
        self.call_in(None, arguments, here())
    }

    /// [`SavedFunction::call`] of a structure, as a [`crate::TreeFunction`] takes it; gives the tensors of the result in
    /// their order.
    ///
    /// # Errors
    /// As [`SavedFunction::call`].
    #[track_caller]
    pub fn call_tree(&self, argument: &impl Tree) -> Result<Vec<Tensor>> {
        let mut structure = String::new();
        argument.describe(&mut structure);
        self.call_in(Some(&structure), &tree::flatten(argument), here())
    }

    fn call_in(&self, structure: Option<&str>, arguments: &[Tensor], at: At) -> Result<Vec<Tensor>> {
        for argument in arguments {
            argument.check()?;
        }
        let forms = signature::forms_of(arguments);
        let chosen = self.chosen(structure, &forms, at)?;
        if trace::is_inside(at)? {
            return self.inline(&chosen, arguments, at);
        }
        one_device(home_of(arguments, at)?.into_iter().chain([self.device.clone()]), at)?;
        let concrete = self.concrete(&chosen, forms, at)?;
        let passed = arguments
            .iter()
            .map(|t| Ok(stored_on(t, &self.device, at)?.buffer))
            .collect::<Result<Vec<_>>>()?;
        let bindings = concrete.bindings(&passed)?;
        let moved = || Error::Internal("the state of a saved function has moved".into());
        concrete.run(bindings.ok_or_else(moved)?, at)
    }

    /// The program for arguments, of any structure or the one given.
    fn chosen(&self, structure: Option<&str>, forms: &[Form], at: At) -> Result<Chosen<'_>> {
        let asked = |own: &str| structure.is_none_or(|s| own == s);
        let concrete = self.programs.iter().filter(|p| p.arguments == forms && asked(&p.structure));
        let mut all: Vec<Chosen<'_>> = concrete.map(Chosen::Concrete).collect();
        let mut why = None;
        for general in self.open.iter().filter(|g| g.admits(forms) && asked(&g.structure)) {
            match general.case(forms) {
                Ok((case, sizes)) => all.push(Chosen::Open(general, case, sizes)),
                Err(message) => why = Some(message),
            }
        }
        let expected = || self.signatures().join(", ");
        let message = match (all.len(), why) {
            (1, _) => return Ok(all.remove(0)),
            (0, Some(why)) => {
                format!("{why}, which is what the function could be traced for when it was saved")
            }
            (0, None) => {
                let signature =
                    Signature { structure: structure.unwrap_or_default().into(), forms: forms.to_vec() };
                let received = signature::as_call(&self.name, &signature);
                let hint = match self.open.is_empty() {
                    true => {
                        "; the programs of this file are of concrete shapes: give the function a signature with open \
                         dimensions, or prepare it for these arguments too, before it is saved"
                    }
                    false => "",
                };
                format!("expected one of {}, received {received}{hint}", expected())
            }
            _ => format!("these tensors fit several structures of {}; use call_tree", expected()),
        };
        Err(Error::Operation { op: "saved_function", message, at })
    }

    /// The program as a part of the trace that goes on.
    fn inline(&self, chosen: &Chosen<'_>, arguments: &[Tensor], at: At) -> Result<Vec<Tensor>> {
        let wrong = |why: String| self.wrong(chosen, why, at);
        let program = chosen.program(&signature::forms_of(arguments)).map_err(wrong)?;
        let graph = self.graph(&program, at).map_err(wrong)?;
        let whole = |slab: &Arc<Slab>| Variable::within(slab, 0, vec![slab.count]);
        let leaf = |leaf: &SavedLeaf| match leaf.bound {
            SavedBound::Argument(n) => alias(&arguments[n], at),
            SavedBound::State(n) => whole(&self.states[n]).read(),
            SavedBound::Value(n) => self.values[n].clone(),
        };
        let leaves: Vec<Tensor> = program.leaves.iter().map(leaf).collect();
        let made = expressions(&graph, &leaves, at)?;
        for assign in &graph.assigns {
            let SavedBound::State(n) = program.leaves[assign.leaf].bound else {
                return Err(Error::Internal("an assignment to no state".into()));
            };
            let value = &made[assign.value.index()];
            Variable::within(&self.states[n], assign.offset, value.shape().to_vec()).assign(value)?;
        }
        Ok(graph.outputs.iter().map(|id| made[id.index()].clone()).collect())
    }

    fn concrete(&self, chosen: &Chosen<'_>, forms: Vec<Form>, at: At) -> Result<Arc<Concrete>> {
        let signature = Signature { structure: chosen.structure().to_owned(), forms };
        let mut ready = self.ready.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = ready.find(&signature) {
            return Ok(known);
        }
        let wrong = |why: String| self.wrong(chosen, why, at);
        let program = chosen.program(&signature.forms).map_err(wrong)?;
        let mut graph = self.graph(&program, at).map_err(wrong)?;
        if let Chosen::Open(..) = chosen {
            graph = simplified(&graph);
            graph.verify()?;
        }
        let bound = program.leaves.iter().map(|leaf| match leaf.bound {
            SavedBound::Argument(n) => Bound::Argument(n),
            SavedBound::State(n) => Bound::State(self.states[n].clone()),
            SavedBound::Value(n) => Bound::Value(self.values[n].clone()),
        });
        let (bound, compiled) = (bound.collect(), Compiled::new(graph, &self.device)?);
        let concrete = Arc::new(Concrete::new(compiled, bound, program.outputs.clone(), self.device.clone()));
        ready.keep(signature, concrete.clone(), KEPT + self.programs.len());
        Ok(concrete)
    }

    /// An error where a program of the file does not stand.
    fn wrong(&self, chosen: &Chosen<'_>, why: String, at: At) -> Error {
        let Chosen::Open(_, _, sizes) = chosen else { return file_error(&self.path, why) };
        let message = format!(
            "there is no program for open dimensions of {sizes:?} ({why}); the function, as it was saved, takes other sizes"
        );
        Error::Operation { op: "saved_function", message, at }
    }

    /// The graph of a program, or what is wrong with it.
    fn graph(&self, program: &Program, at: At) -> Result<Graph, String> {
        for (n, leaf) in program.leaves.iter().enumerate() {
            let form = (leaf.shape.clone(), leaf.dtype);
            let known = match leaf.bound {
                SavedBound::Argument(i) => program.arguments.get(i) == Some(&form),
                SavedBound::State(i) => self.states.get(i).is_some_and(|s| (vec![s.count], s.dtype) == form),
                SavedBound::Value(i) => {
                    self.values.get(i).is_some_and(|t| t.shape() == form.0 && t.dtype() == form.1)
                }
            };
            if !known {
                return Err(format!("leaf {n} is bound to nothing of its form"));
            }
        }
        restore(program, at)
    }
}

/// The graph of a program whose leaves are bound to something, verified; or what is wrong with it.
fn restore(program: &Program, at: At) -> Result<Graph, String> {
    let leaf = |leaf: &SavedLeaf| {
        let state = matches!(leaf.bound, SavedBound::State(_));
        Leaf { shape: leaf.shape.clone(), dtype: leaf.dtype, state }
    };
    let mut graph = Graph::of_leaves(program.leaves.iter().map(leaf).collect());
    graph.restore(program.nodes.iter().map(|node| crate::graph::Node {
        op: node.op.clone(),
        inputs: node.inputs.clone(),
        shape: node.shape.clone(),
        dtype: node.dtype,
        at,
    }))?;
    let form = |id: &NodeId| graph.nodes.get(id.index()).map(|n| (n.shape.clone(), n.dtype));
    let returned: Option<Vec<Form>> = program.returns.iter().map(form).collect();
    if returned.as_ref() != Some(&program.outputs) || program.assigns.iter().any(|a| form(&a.value).is_none())
    {
        return Err("outputs or assignments name nodes that are not there".into());
    }
    graph.outputs.clone_from(&program.returns);
    graph.assigns.clone_from(&program.assigns);
    graph.verify().map_err(|e| match e {
        Error::Internal(why) => why,
        other => other.to_string(),
    })?;
    Ok(graph)
}

impl std::fmt::Debug for SavedFunction {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SavedFunction({})", self.signatures().join(", "))
    }
}
