//! Writing programs and the present values of what they read.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use kiln_device::{DType, Device};
use safetensors::tensor::TensorView;

use super::format::{
    CHECKSUM, CONCRETE, File, KEY, OPEN, Program, SavedBound, SavedLeaf, SavedNode, checksum, file_dtype,
};
use super::general::{General, Generalized};
use crate::build::Bound;
use crate::error::{At, Error, Result};
use crate::evaluate::leaf_on;
use crate::files::{atomic_write, file_error};
use crate::function::cache::Concrete;
use crate::function::signature::{Form, Signature};
use crate::graph::{Graph, Leaf};
use crate::shape::Shape;
use crate::variable::{Access, Slab};

/// The name, dtype, shape and bytes of a tensor of the file.
type Entry = (String, DType, Shape, Vec<u8>);

#[derive(Default)]
struct Writer {
    states: Vec<(Arc<Slab>, (DType, usize))>,
    entries: Vec<Entry>,
    /// How many values there are.
    values: usize,
    /// Forms of the values of open programs; equal ones are one.
    shared: Vec<Form>,
}

impl Writer {
    fn state(&mut self, slab: &Arc<Slab>) -> Result<SavedBound> {
        if let Some(known) = self.states.iter().position(|(s, _)| Arc::ptr_eq(s, slab)) {
            return Ok(SavedBound::State(known));
        }
        let bytes = slab.device.download(&slab.buffer(), slab.dtype, 0, slab.count)?;
        let n = self.states.len();
        self.entries.push((format!("state.{n}"), slab.dtype, vec![slab.count], bytes));
        self.states.push((slab.clone(), (slab.dtype, slab.count)));
        Ok(SavedBound::State(n))
    }

    fn value(&mut self, leaf: &Leaf, bytes: Vec<u8>) -> SavedBound {
        self.entries.push((format!("value.{}", self.values), leaf.dtype, leaf.shape.clone(), bytes));
        self.values += 1;
        SavedBound::Value(self.values - 1)
    }

    fn bound(&mut self, bound: &Bound, leaf: &Leaf, device: &Device) -> Result<SavedBound> {
        match bound {
            Bound::Argument(n) => Ok(SavedBound::Argument(*n)),
            Bound::State(slab) => self.state(slab),
            Bound::Reading { .. } => Err(Error::Internal("a function reads no variable from outside".into())),
            Bound::Value(tensor) => {
                let count = leaf.shape.iter().product();
                let bytes = device.download(&leaf_on(tensor, device)?.buffer, leaf.dtype, 0, count)?;
                Ok(self.value(leaf, bytes))
            }
        }
    }

    fn program(&mut self, arguments: &Signature, concrete: &Concrete, at: At) -> Result<Program> {
        let graph = concrete.compiled.graph();
        data_alone(graph, at)?;
        let mut leaves = vec![];
        for (leaf, bound) in graph.leaves.iter().zip(&concrete.bound) {
            let bound = self.bound(bound, leaf, &concrete.device)?;
            leaves.push(SavedLeaf { shape: leaf.shape.clone(), dtype: leaf.dtype, bound });
        }
        Ok(Program {
            structure: arguments.structure.clone(),
            arguments: arguments.forms.clone(),
            outputs: concrete.outputs.clone(),
            leaves,
            nodes: graph.nodes.iter().map(SavedNode::of).collect(),
            returns: graph.outputs.clone(),
            assigns: graph.assigns.clone(),
        })
    }

    /// What an open program's leaf is bound to; equal values are one tensor.
    fn shared_bound(&mut self, bound: &Bound, device: &Device) -> Result<SavedBound> {
        let Bound::Value(tensor) = bound else {
            return self.bound(bound, &Leaf { shape: vec![], dtype: DType::F32, state: false }, device);
        };
        let leaf = Leaf { shape: tensor.shape().to_vec(), dtype: tensor.dtype(), state: false };
        let bytes = device.download(&leaf_on(tensor, device)?.buffer, leaf.dtype, 0, tensor.len())?;
        let known = self
            .entries
            .iter()
            .filter(|(name, ..)| name.starts_with("value."))
            .position(|e| (e.1, &e.2, &e.3) == (leaf.dtype, &leaf.shape, &bytes));
        if let Some(known) = known {
            return Ok(SavedBound::Value(known));
        }
        self.shared.push((leaf.shape.clone(), leaf.dtype));
        Ok(self.value(&leaf, bytes))
    }

    fn general(&mut self, made: &Generalized, device: &Device) -> Result<General> {
        let mut general = made.general.clone();
        for (case, bounds) in general.cases.iter_mut().zip(&made.bounds) {
            let bounds = bounds.iter().map(|b| self.shared_bound(b, device)).collect::<Result<Vec<_>>>()?;
            case.bind(&bounds)?;
        }
        Ok(general)
    }
}

/// An error where a graph calls a function of the host.
pub(super) fn data_alone(graph: &Graph, at: At) -> Result<()> {
    let Some((name, line)) = graph.host_function() else { return Ok(()) };
    let message = format!(
        "`{name}`, called at {line}, is a function of the host, which is code; a file holds data alone. Save a \
         function without it, and call it outside"
    );
    Err(Error::Operation { op: "save", message, at })
}

/// Writes compiled programs and the present values of what they read.
pub(crate) fn save(name: &str, programs: &[(Signature, Arc<Concrete>)], path: &Path, at: At) -> Result<()> {
    if programs.is_empty() {
        return Err(file_error(path, format!("`{name}` has not been traced yet; call or prepare it once")));
    }
    let bound = programs.iter().flat_map(|(_, concrete)| &concrete.bound);
    let _access = Access::read(bound.filter_map(Bound::slab).cloned());
    let mut writer = Writer::default();
    let programs = programs.iter().map(|(s, c)| writer.program(s, c, at)).collect::<Result<Vec<_>>>()?;
    write(writer, name, CONCRETE, programs, vec![], path)
}

/// Writes programs of open sizes; false where state has moved since they were made.
pub(crate) fn save_open(name: &str, made: &[Generalized], device: &Device, path: &Path) -> Result<bool> {
    let bounds = || made.iter().flat_map(|made| made.bounds.iter().flatten());
    let _access = Access::read(bounds().filter_map(Bound::slab).cloned());
    if bounds().any(Bound::is_over) {
        return Ok(false);
    }
    let mut writer = Writer::default();
    let open = made.iter().map(|made| writer.general(made, device)).collect::<Result<Vec<_>>>()?;
    write(writer, name, OPEN, vec![], open, path).map(|()| true)
}

fn write(
    writer: Writer,
    name: &str,
    version: u32,
    programs: Vec<Program>,
    open: Vec<General>,
    path: &Path,
) -> Result<()> {
    let states = writer.states.iter().map(|(_, form)| *form).collect();
    let file = File { version, name: name.to_owned(), states, programs, open, values: writer.shared };
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
