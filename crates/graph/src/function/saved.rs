//! Compiled functions in files: graphs and values, without the closure that was traced.
//!
//! A file is data: graphs of primitives, never code. It is verified node by node before anything is compiled.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use kiln_device::{DType, Device, size};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::cache::Concrete;
use super::expressions::expressions;
use super::signature::{self, Form, Signature};
use crate::build::Bound;
use crate::error::{At, Error, Result};
use crate::evaluate::{Compiled, home_of, one_device, stored_on};
use crate::files::{Checksum, ReadBudget, atomic_write, file_error};
use crate::grad::alias;
use crate::graph::{Assign, Graph, Leaf, NodeId};
use crate::op::Op;
use crate::shape::Shape;
use crate::tensor::{Stored, Tensor, here};
use crate::trace;
use crate::tree::{self, Tree};
use crate::variable::{Access, Slab, Variable};

const VERSION: u32 = 1;
const KEY: &str = "kiln_function";
const CHECKSUM: &str = "kiln_checksum";
/// No size, offset or count in a file is larger.
const LARGEST: u64 = 1 << 48;

#[derive(Serialize, Deserialize)]
struct File {
    version: u32,
    name: String,
    /// Dtype and length of each state; the tensor `state.N` holds its value.
    states: Vec<(DType, usize)>,
    programs: Vec<Program>,
}

#[derive(Clone, Serialize, Deserialize)]
struct Program {
    /// The structure around the arguments; nothing for a plain list.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    structure: String,
    arguments: Vec<Form>,
    outputs: Vec<Form>,
    leaves: Vec<SavedLeaf>,
    nodes: Vec<SavedNode>,
    returns: Vec<NodeId>,
    assigns: Vec<Assign>,
}

#[derive(Clone, Serialize, Deserialize)]
struct SavedLeaf {
    shape: Shape,
    dtype: DType,
    bound: SavedBound,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum SavedBound {
    Argument(usize),
    State(usize),
    /// The tensor `value.N` of the file.
    Value(usize),
}

#[derive(Clone, Serialize, Deserialize)]
struct SavedNode {
    op: Op,
    inputs: Vec<NodeId>,
    shape: Shape,
    dtype: DType,
}

impl Program {
    fn signature(&self) -> Signature {
        Signature { structure: self.structure.clone(), forms: self.arguments.clone() }
    }
}

/// The name, dtype, shape and bytes of a tensor of the file.
type Entry = (String, DType, Shape, Vec<u8>);

struct Writer {
    at: At,
    states: Vec<(Arc<Slab>, (DType, usize))>,
    entries: Vec<Entry>,
    values: usize,
}

impl Writer {
    fn bound(&mut self, bound: &Bound, leaf: &Leaf, device: &Device) -> Result<SavedBound> {
        let count = leaf.shape.iter().product();
        match bound {
            Bound::Argument(n) => Ok(SavedBound::Argument(*n)),
            Bound::State(slab) => {
                if let Some(known) = self.states.iter().position(|(s, _)| Arc::ptr_eq(s, slab)) {
                    return Ok(SavedBound::State(known));
                }
                let bytes = slab.device.download(&slab.buffer(), slab.dtype, 0, slab.count)?;
                let n = self.states.len();
                self.entries.push((format!("state.{n}"), slab.dtype, vec![slab.count], bytes));
                self.states.push((slab.clone(), (slab.dtype, slab.count)));
                Ok(SavedBound::State(n))
            }
            Bound::Reading { .. } => Err(Error::Internal("a function reads no variable from outside".into())),
            Bound::Value(tensor) => {
                let stored = crate::evaluate::leaf_on(tensor, device)?;
                let bytes = device.download(&stored.buffer, leaf.dtype, 0, count)?;
                self.entries.push((format!("value.{}", self.values), leaf.dtype, leaf.shape.clone(), bytes));
                self.values += 1;
                Ok(SavedBound::Value(self.values - 1))
            }
        }
    }

    fn program(&mut self, arguments: &Signature, concrete: &Concrete) -> Result<Program> {
        let graph = concrete.compiled.graph();
        if let Some((name, at)) = graph.host_function() {
            let message = format!(
                "`{name}`, called at {at}, is a function of the host, which is code; a file holds data alone. Save a \
                 function without it, and call it outside"
            );
            return Err(Error::Operation { op: "save", message, at: self.at });
        }
        let mut leaves = vec![];
        for (leaf, bound) in graph.leaves.iter().zip(&concrete.bound) {
            let bound = self.bound(bound, leaf, &concrete.device)?;
            leaves.push(SavedLeaf { shape: leaf.shape.clone(), dtype: leaf.dtype, bound });
        }
        let node = |node: &crate::graph::Node| SavedNode {
            op: node.op.clone(),
            inputs: node.inputs.clone(),
            shape: node.shape.clone(),
            dtype: node.dtype,
        };
        Ok(Program {
            structure: arguments.structure.clone(),
            arguments: arguments.forms.clone(),
            outputs: concrete.outputs.clone(),
            leaves,
            nodes: graph.nodes.iter().map(node).collect(),
            returns: graph.outputs.clone(),
            assigns: graph.assigns.clone(),
        })
    }
}

/// Writes compiled programs and the present values of what they read.
pub(super) fn save(name: &str, programs: &[(Signature, Arc<Concrete>)], path: &Path, at: At) -> Result<()> {
    if programs.is_empty() {
        return Err(file_error(path, format!("`{name}` has not been traced yet; call or prepare it once")));
    }
    let bound = programs.iter().flat_map(|(_, concrete)| &concrete.bound);
    let _access = Access::read(bound.filter_map(Bound::slab).cloned());
    let mut writer = Writer { at, states: vec![], entries: vec![], values: 0 };
    let programs = programs.iter().map(|(s, c)| writer.program(s, c)).collect::<Result<Vec<_>>>()?;
    let states = writer.states.iter().map(|(_, form)| *form).collect();
    let file = File { version: VERSION, name: name.to_owned(), states, programs };
    let text = serde_json::to_string(&file).map_err(|e| file_error(path, e))?;
    let mut views = vec![];
    for (name, dtype, shape, bytes) in &writer.entries {
        let view =
            TensorView::new(file_dtype(*dtype), shape.clone(), bytes).map_err(|e| file_error(path, e))?;
        views.push((name.as_str(), view));
    }
    let checksum = checksum(&text, views.iter().map(|(name, view)| (*name, view.data())));
    let metadata = HashMap::from([(KEY.to_owned(), text), (CHECKSUM.to_owned(), checksum)]);
    let bytes = safetensors::serialize(views, Some(metadata)).map_err(|e| file_error(path, e))?;
    atomic_write(path, |out| out.write_all(&bytes))
}

fn checksum<'a>(text: &str, tensors: impl Iterator<Item = (&'a str, &'a [u8])>) -> String {
    let mut tensors: Vec<_> = tensors.collect();
    tensors.sort_unstable();
    let mut sum = Checksum::default();
    sum.add(text.as_bytes());
    for (name, data) in tensors {
        sum.add(name.as_bytes());
        sum.add(data);
    }
    sum.text()
}

fn file_dtype(dtype: DType) -> Dtype {
    match dtype {
        DType::F32 => Dtype::F32,
        DType::F64 => Dtype::F64,
        DType::F16 => Dtype::F16,
        DType::BF16 => Dtype::BF16,
        DType::I32 => Dtype::I32,
        DType::I64 => Dtype::I64,
        DType::U32 => Dtype::U32,
        DType::U8 => Dtype::U8,
        DType::Bool => Dtype::BOOL,
    }
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
    /// Compiled at the first call.
    ready: Mutex<HashMap<Signature, Arc<Concrete>>>,
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
        for leaf in leaves.filter(|leaf| matches!(leaf.bound, SavedBound::Value(_))) {
            let bytes = bytes_of(format!("value.{}", values.len()), leaf.dtype, &leaf.shape)?;
            let buffer = device.buffer_from(leaf.dtype, &bytes)?;
            let stored = Stored { device: device.clone(), buffer };
            values.push(Tensor::from_stored(leaf.shape.clone(), leaf.dtype, stored, at));
        }
        let function = SavedFunction {
            name: file.name,
            path: path.to_path_buf(),
            device: device.clone(),
            states,
            values,
            programs: file.programs,
            ready: Mutex::default(),
        };
        for program in &function.programs {
            function.graph(program, at).map_err(|e| damaged(&e))?;
        }
        Ok(function)
    }

    /// The name that the function was saved under.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The arguments that it can be called with, a line each.
    pub fn signatures(&self) -> Vec<String> {
        self.programs.iter().map(|p| signature::as_call(&self.name, &p.signature())).collect()
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
        let program = self.program(structure, arguments, at)?;
        if trace::is_inside(at)? {
            return self.inline(program, arguments, at);
        }
        one_device(home_of(arguments, at)?.into_iter().chain([self.device.clone()]), at)?;
        let concrete = self.concrete(program, at)?;
        let passed = arguments
            .iter()
            .map(|t| Ok(stored_on(t, &self.device, at)?.buffer))
            .collect::<Result<Vec<_>>>()?;
        let bindings = concrete.bindings(&passed)?;
        let moved = || Error::Internal("the state of a saved function has moved".into());
        concrete.run(bindings.ok_or_else(moved)?, at)
    }

    /// The program for arguments, of any structure or the one given.
    fn program(&self, structure: Option<&str>, arguments: &[Tensor], at: At) -> Result<&Program> {
        let forms = signature::forms_of(arguments);
        let asked = |p: &&Program| p.arguments == forms && structure.is_none_or(|s| p.structure == s);
        let mut fitting = self.programs.iter().filter(asked);
        let message = match (fitting.next(), fitting.next()) {
            (Some(program), None) => return Ok(program),
            (None, _) => {
                let signature = Signature { structure: structure.unwrap_or_default().into(), forms };
                format!(
                    "expected one of {}, received {}; programs in a file are of concrete shapes: call or prepare the \
                     function for these arguments too before it is saved",
                    self.signatures().join(", "),
                    signature::as_call(&self.name, &signature)
                )
            }
            (Some(_), Some(_)) => {
                let all = self.signatures().join(", ");
                format!("these tensors fit several structures of {all}; use call_tree")
            }
        };
        Err(Error::Operation { op: "saved_function", message, at })
    }

    /// The program as a part of the trace that goes on.
    fn inline(&self, program: &Program, arguments: &[Tensor], at: At) -> Result<Vec<Tensor>> {
        let graph = self.graph(program, at).map_err(|e| file_error(&self.path, e))?;
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

    fn concrete(&self, program: &Program, at: At) -> Result<Arc<Concrete>> {
        let mut ready = self.ready.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = ready.get(&program.signature()) {
            return Ok(known.clone());
        }
        let graph = self.graph(program, at).map_err(|e| file_error(&self.path, e))?;
        let bound = program.leaves.iter().map(|leaf| match leaf.bound {
            SavedBound::Argument(n) => Bound::Argument(n),
            SavedBound::State(n) => Bound::State(self.states[n].clone()),
            SavedBound::Value(n) => Bound::Value(self.values[n].clone()),
        });
        let (bound, compiled) = (bound.collect(), Compiled::new(graph, &self.device)?);
        let concrete = Arc::new(Concrete::new(compiled, bound, program.outputs.clone(), self.device.clone()));
        ready.insert(program.signature(), concrete.clone());
        Ok(concrete)
    }

    /// The graph of a program, or what is wrong with it.
    fn graph(&self, program: &Program, at: At) -> Result<Graph, String> {
        let mut graph = Graph::default();
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
            let state = matches!(leaf.bound, SavedBound::State(_));
            graph.leaves.push(Leaf { shape: form.0, dtype: form.1, state });
        }
        graph.restore(program.nodes.iter().map(|node| crate::graph::Node {
            op: node.op.clone(),
            inputs: node.inputs.clone(),
            shape: node.shape.clone(),
            dtype: node.dtype,
            at,
        }))?;
        let form = |id: &NodeId| graph.nodes.get(id.index()).map(|n| (n.shape.clone(), n.dtype));
        let returned: Option<Vec<Form>> = program.returns.iter().map(form).collect();
        if returned.as_ref() != Some(&program.outputs)
            || program.assigns.iter().any(|a| form(&a.value).is_none())
        {
            return Err("outputs or assignments name nodes that are not there".into());
        }
        graph.outputs.clone_from(&program.returns);
        graph.assigns.clone_from(&program.assigns);
        graph.verify().map_err(|e| e.to_string())?;
        Ok(graph)
    }
}

impl std::fmt::Debug for SavedFunction {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SavedFunction({})", self.signatures().join(", "))
    }
}

/// The description of the programs; sizes in it are small enough to be added and multiplied.
fn parse(text: &str) -> Result<File, String> {
    let value: Value = serde_json::from_str(text).map_err(|e| e.to_string())?;
    let mut pending = vec![&value];
    while let Some(value) = pending.pop() {
        match value {
            Value::Array(items) => pending.extend(items),
            Value::Object(entries) => pending.extend(entries.values()),
            Value::Number(number) => {
                let small = |n: i64| n.unsigned_abs() <= LARGEST;
                if !number.as_i64().is_some_and(small) {
                    return Err(format!("the number {number} is too large"));
                }
            }
            Value::Null | Value::Bool(_) | Value::String(_) => {}
        }
    }
    let file: File = serde_json::from_value(value).map_err(|e| e.to_string())?;
    if file.version != VERSION {
        return Err(format!("its version is {}, this one reads {VERSION}", file.version));
    }
    for program in &file.programs {
        let shapes = program.nodes.iter().map(|n| &n.shape).chain(program.leaves.iter().map(|l| &l.shape));
        for shape in shapes {
            size::element_count(shape).map_err(|e| e.to_string())?;
        }
    }
    Ok(file)
}
