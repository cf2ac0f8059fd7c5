//! Running lazy expressions: graph → plan → device, with the plan kept for the next expression of the same form.

use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, PoisonError};

use kiln_device::{Buffer, DType, Device, Executable};

use crate::build::{Bound, Built, build};
use crate::error::{Error, Result};
use crate::graph::Graph;
use crate::op::Op;
use crate::plan::{self, External};
use crate::report::Report;
use crate::tensor::{Kind, Stored, Tensor};
use crate::trace::Recorded;
use crate::variable::writing;

/// A graph compiled for a device.
pub(crate) struct Compiled {
    graph: Graph,
    executable: Executable,
    externals: Vec<External>,
    /// Whether a run may find an index out of range.
    checks: bool,
    pub(crate) report: Report,
}

/// Plans of lazily evaluated expressions; the oldest half goes when there are too many.
const KEPT_PLANS: usize = 512;

type Key = (u64, String);

#[derive(Default)]
struct Cache {
    plans: HashMap<Key, Vec<(u64, Arc<Compiled>)>>,
    count: usize,
    clock: u64,
}

impl Compiled {
    /// Compiles a graph.
    pub(crate) fn new(graph: Graph, device: &Device) -> Result<Compiled> {
        let plan = plan::plan(&graph, device)?;
        let checks = !plan.program.checks.is_empty();
        let executable = device.compile(plan.program)?;
        Ok(Compiled { graph, executable, externals: plan.externals, checks, report: plan.report })
    }

    pub(crate) fn graph(&self) -> &Graph {
        &self.graph
    }

    pub(crate) fn executable(&self) -> &Executable {
        &self.executable
    }

    /// Buffers for the outputs, freshly taken from the device's pool.
    pub(crate) fn outputs(&self) -> Result<Vec<Buffer>> {
        let device = self.executable.device();
        let node = |id: &crate::graph::NodeId| self.graph.node(*id);
        self.graph.outputs.iter().map(|id| Ok(device.allocate(node(id).dtype, node(id).len())?)).collect()
    }

    /// The external bindings in the program's order.
    pub(crate) fn bind(&self, leaves: &[Buffer], outputs: &[Buffer]) -> Vec<Buffer> {
        let buffer = |external: &External| match external {
            External::Leaf(n) => leaves[*n].clone(),
            External::Output(n) => outputs[*n].clone(),
        };
        self.externals.iter().map(buffer).collect()
    }

    /// Runs with the leaves bound; the caller holds [`crate::variable::writing`] where the graph assigns.
    pub(crate) fn run(&self, leaves: &[Buffer]) -> Result<Vec<Buffer>> {
        let outputs = self.outputs()?;
        self.executable.run(&self.bind(leaves, &outputs))?;
        Ok(outputs)
    }
}

impl Cache {
    fn find(&mut self, key: &Key, graph: &Graph) -> Option<Arc<Compiled>> {
        self.clock += 1;
        let entry = self.plans.get_mut(key)?.iter_mut().find(|(_, c)| c.graph == *graph)?;
        entry.0 = self.clock;
        Some(entry.1.clone())
    }

    fn keep(&mut self, key: Key, compiled: Arc<Compiled>) {
        if self.count >= KEPT_PLANS {
            let mut ages: Vec<u64> = self.plans.values().flatten().map(|(age, _)| *age).collect();
            ages.sort_unstable();
            let limit = ages[ages.len() / 2];
            for list in self.plans.values_mut() {
                list.retain(|(age, _)| *age > limit);
            }
            self.plans.retain(|_, list| !list.is_empty());
            self.count = self.plans.values().map(Vec::len).sum();
        }
        self.plans.entry(key).or_default().push((self.clock, compiled));
        self.count += 1;
    }
}

fn compiled(graph: Graph, device: &Device) -> Result<Arc<Compiled>> {
    static CACHE: Mutex<Option<Cache>> = Mutex::new(None);
    let mut hasher = DefaultHasher::new();
    graph.hash(&mut hasher);
    let key = (hasher.finish(), device.identity());
    let lock = || CACHE.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(found) = lock().get_or_insert_default().find(&key, &graph) {
        return Ok(found);
    }
    let made = Arc::new(Compiled::new(graph, device)?);
    lock().get_or_insert_default().keep(key, made.clone());
    Ok(made)
}

/// The device that a graph's leaves live on, which must be one.
pub(crate) fn device_of(bound: &[Bound], arguments: &[Tensor], wanted: Option<&Device>) -> Result<Device> {
    let mut found: Option<Device> = wanted.cloned();
    let of_arguments = arguments.iter().filter_map(|t| t.node.value.get().map(|s| s.device.clone()));
    for device in bound.iter().filter_map(Bound::device).chain(of_arguments) {
        match &found {
            Some(other) if *other != device => {
                return Err(Error::Device(kiln_device::Error::Buffer(format!(
                    "expected tensors on one device, received `{other}` and another `{device}` in one expression; \
                     move one with to_device"
                ))));
            }
            _ => found = Some(device),
        }
    }
    found.map_or_else(crate::default_device, Ok)
}

/// Computes tensors in one program and keeps their values with them.
pub(crate) fn evaluate(tensors: &[Tensor], device: Option<&Device>) -> Result<Vec<Stored>> {
    let pending = pending(tensors);
    if !pending.is_empty() {
        let Built { graph, bound } = build(None, &[], &pending, &Recorded::default())?;
        let device = device_of(&bound, &[], device)?;
        let compiled = compiled(graph, &device)?;
        let reads_state = bound.iter().any(|b| matches!(b, Bound::Reading(_)));
        let _writing = reads_state.then(writing);
        let leaves = bound.iter().map(|b| b.buffer(&device)).collect::<Result<Vec<_>>>()?;
        let outputs = compiled.run(&leaves)?;
        if compiled.checks {
            // Some devices tell at the next wait; values of a wrong index are not kept.
            device.synchronize()?;
        }
        for (tensor, buffer) in pending.iter().zip(outputs) {
            let _ = tensor.node.value.set(Stored { device: device.clone(), buffer });
        }
    }
    let value = |t: &Tensor| t.node.value.get().cloned();
    tensors.iter().map(|t| value(t).ok_or_else(|| Error::Internal("a value was not kept".into()))).collect()
}

/// The tensors that have no value yet, and those that the same calls give beside them.
fn pending(tensors: &[Tensor]) -> Vec<Tensor> {
    let mut pending: Vec<Tensor> = vec![];
    let mut known: HashSet<u64> = HashSet::new();
    for tensor in tensors.iter().filter(|t| t.node.value.get().is_none()) {
        let mut all = vec![tensor.clone()];
        if let (Kind::Op(Op::Result { .. }), [bundle]) = (&tensor.node.kind, &tensor.node.inputs[..])
            && let Kind::Bundle(bundle) = &bundle.node.kind
            && bundle.call().is_some()
        {
            all.extend(bundle.pending());
        }
        pending.extend(all.into_iter().filter(|t| known.insert(t.node.id)));
    }
    pending
}

/// The value of a tensor on a device: moved or computed there if need be.
pub(crate) fn stored_on(tensor: &Tensor, device: &Device) -> Result<Stored> {
    tensor.check()?;
    match &tensor.node.kind {
        Kind::Host(_) | Kind::Stored => leaf_on(tensor, device),
        _ => {
            let stored = evaluate(std::slice::from_ref(tensor), None)?.remove(0);
            if stored.device == *device {
                Ok(stored)
            } else {
                moved(&stored, tensor.dtype(), tensor.len(), device)
            }
        }
    }
}

fn moved(stored: &Stored, dtype: DType, count: usize, device: &Device) -> Result<Stored> {
    let bytes = stored.device.download(&stored.buffer, dtype, 0, count)?;
    Ok(Stored { device: device.clone(), buffer: device.buffer_from(dtype, &bytes)? })
}

/// The value of a leaf on a device; host elements are uploaded and the upload kept.
pub(crate) fn leaf_on(tensor: &Tensor, device: &Device) -> Result<Stored> {
    if let Some(stored) = tensor.node.value.get().filter(|s| s.device == *device) {
        return Ok(stored.clone());
    }
    match (&tensor.node.kind, tensor.node.value.get()) {
        (Kind::Host(bytes), _) => {
            let stored =
                Stored { device: device.clone(), buffer: device.buffer_from(tensor.dtype(), bytes)? };
            let _ = tensor.node.value.set(stored.clone());
            Ok(stored)
        }
        (_, Some(stored)) => moved(stored, tensor.dtype(), tensor.len(), device),
        (_, None) => Err(Error::Internal("a leaf has no value".into())),
    }
}

/// Prepares the states that a graph assigns for being written: lazy readers of their present contents get a copy.
pub(crate) fn before_write(graph: &Graph, bound: &[Bound]) -> Result<()> {
    for assign in &graph.assigns {
        if let Bound::State(slab) = &bound[assign.leaf] {
            slab.before_write()?;
        }
    }
    Ok(())
}
