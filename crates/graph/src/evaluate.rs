//! Running lazy expressions: graph → plan → device, with the plan kept for the next expression of the same form.

use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, PoisonError};

use kiln_device::{Buffer, DType, Device, Executable};

use crate::bind::Bindings;
use crate::body::reached;
use crate::build::{Bound, Built, build, home};
use crate::error::{At, Error, Result};
use crate::graph::Graph;
use crate::op::{Op, Work};
use crate::plan::{self, External};
use crate::report::Report;
use crate::tensor::{Kind, Stored, Tensor};
use crate::trace::{self, Recorded};

/// A graph compiled for a device.
pub(crate) struct Compiled {
    graph: Graph,
    calls_host: bool,
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
        require(&graph, device)?;
        let plan = plan::plan(&graph, device)?;
        let (checks, calls_host) = (!plan.program.checks.is_empty(), plan.program.calls_host());
        let executable = device.compile(plan.program)?;
        let (externals, report) = (plan.externals, plan.report);
        Ok(Compiled { graph, calls_host, executable, externals, checks, report })
    }

    pub(crate) fn graph(&self) -> &Graph {
        &self.graph
    }

    /// Whether a function of the host may run in it.
    pub(crate) fn calls_host(&self) -> bool {
        self.calls_host
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

    /// Runs once; its assignments have taken effect then.
    pub(crate) fn run(&self, bindings: Bindings) -> Result<Vec<Buffer>> {
        let outputs = self.outputs()?;
        self.executable.run(&self.bind(&bindings.leaves, &outputs))?;
        bindings.commit()?;
        Ok(outputs)
    }
}

/// An error at the first node whose type the device lacks.
fn require(graph: &Graph, device: &Device) -> Result<()> {
    if DType::ALL.iter().all(|dtype| device.supports(*dtype)) {
        return Ok(());
    }
    for (node, _) in graph.nodes.iter().zip(graph.live()).filter(|(_, live)| *live) {
        device.require(node.dtype, node.op.name(), &node.at.to_string())?;
        let Op::Call(call) = &node.op else { continue };
        match &call.work {
            Work::Host(_) => {}
            Work::Switch(arms) => arms.iter().try_for_each(|arm| require(arm, device))?,
            Work::Loop(looped) => require(&looped.body, device)?,
        }
    }
    Ok(())
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

/// The one device of some that stand for leaves or arguments, if there is any.
///
/// # Errors
/// Where there are two; `at` is who asks.
pub(crate) fn one_device(devices: impl Iterator<Item = Device>, at: At) -> Result<Option<Device>> {
    let mut found: Option<Device> = None;
    for device in devices {
        match &found {
            Some(other) if *other != device => {
                let message = format!(
                    "expected tensors and variables on one device, received `{other}` and another `{device}`; move \
                     tensors with to_device"
                );
                return Err(Error::Operation { op: "device", message, at });
            }
            _ => found = Some(device),
        }
    }
    Ok(found)
}

/// The device that expressions are bound to by the values and variables that they are made of.
///
/// # Errors
/// As [`one_device`].
pub(crate) fn home_of(tensors: &[Tensor], at: At) -> Result<Option<Device>> {
    let known = |t: &Tensor| t.node.value.get().is_some() || t.node.inputs.is_empty();
    if tensors.iter().all(known) {
        return one_device(tensors.iter().filter_map(home), at);
    }
    one_device(reached(tensors, known).iter().filter_map(home), at)
}

/// Computes tensors in one program and keeps their values with them; `at` is who asks.
pub(crate) fn evaluate(tensors: &[Tensor], device: Option<&Device>, at: At) -> Result<Vec<Stored>> {
    loop {
        let pending = pending(tensors);
        if pending.is_empty() {
            break;
        }
        let Built { graph, bound } = build(None, &[], &pending, &Recorded::default(), at)?;
        let devices = device.cloned().into_iter().chain(bound.iter().filter_map(Bound::device));
        let device = one_device(devices, at)?.map_or_else(crate::default_device, Ok)?;
        let compiled = compiled(graph, &device)?;
        // Where a variable has been assigned meanwhile, what was read of it has a value of its own.
        let Some(bindings) = Bindings::new(&compiled, &bound, &[], &device)? else { continue };
        let outputs = compiled.run(bindings)?;
        if compiled.checks {
            // Some devices tell at the next wait; values of a wrong index are not kept.
            device.synchronize()?;
        }
        for (tensor, buffer) in pending.iter().zip(outputs) {
            let _ = tensor.node.value.set(Stored { device: device.clone(), buffer });
        }
        break;
    }
    let value = |t: &Tensor| t.node.value.get().cloned();
    tensors.iter().map(|t| value(t).ok_or_else(|| Error::Internal("a value was not kept".into()))).collect()
}

/// Does at once what a function without arguments would: `record` assigns to variables, whose values are written in
/// place where that can be.
pub(crate) fn step(record: impl Fn() -> Result<()>, at: At) -> Result<()> {
    loop {
        let ((id, outcome), recorded) = trace::record(trace::What::Function, |id| (id, record()));
        outcome?;
        let Built { graph, bound } = build(Some(id), &[], &[], &recorded, at)?;
        let read: Vec<Tensor> = bound.iter().filter_map(Bound::captured_reading).cloned().collect();
        evaluate(&read, None, at)?;
        let device =
            one_device(bound.iter().filter_map(Bound::device), at)?.map_or_else(crate::default_device, Ok)?;
        let compiled = compiled(graph, &device)?;
        if let Some(bindings) = Bindings::new(&compiled, &bound, &[], &device)? {
            return compiled.run(bindings).map(drop);
        }
    }
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
pub(crate) fn stored_on(tensor: &Tensor, device: &Device, at: At) -> Result<Stored> {
    tensor.check()?;
    match &tensor.node.kind {
        Kind::Host(_) | Kind::Stored => leaf_on(tensor, device),
        _ => {
            let stored = evaluate(std::slice::from_ref(tensor), None, at)?.remove(0);
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
