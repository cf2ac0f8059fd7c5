//! Calls: where their inputs and results are in memory, and what runs.

use kiln_device::{BufferId, HostBinding, HostStep, Role, Step, size};

use super::{Key, Lowered, Lowering, Part, Work};
use crate::error::Result;
use crate::fuse::{Group, Kind};
use crate::graph::{Graph, NodeId};
use crate::op::{self, Op};
use crate::plan::{External, plan_part};

/// Memory of a call's values: what holds each, and the number of elements before its first.
type Places = [(Key, usize)];

impl Lowering<'_, '_> {
    /// The step of a group that is a call.
    pub(super) fn call(&mut self, group: &Group) -> Result<Option<Lowered>> {
        let Kind::Whole(id) = group.kind else { return Ok(None) };
        let Op::Call(call) = self.node(id).op.clone() else { return Ok(None) };
        let inputs = self.node(id).inputs.clone();
        let given = self.results(id, &call, group)?;
        // What a loop carries is in the memory of its results.
        let mut places: Vec<(Key, usize)> = given[..call.carried()].iter().map(|key| (*key, 0)).collect();
        for input in &inputs[places.len()..] {
            places.push(self.memory(*input, true)?);
        }
        let mut keys = vec![];
        let work = match &call.work {
            op::Work::Host(host) => {
                let mut binding = |(key, first): (Key, usize), dtype, count| HostBinding {
                    buffer: number_of(&mut keys, key),
                    first,
                    count,
                    dtype,
                };
                let nodes = inputs.iter().map(|n| self.node(*n));
                let inputs = nodes.zip(&places).map(|(n, place)| binding(*place, n.dtype, n.len())).collect();
                let forms = call.results.iter().zip(&given);
                let count = |shape: &[usize]| shape.iter().product();
                let outputs =
                    forms.map(|((shape, dtype), key)| binding((*key, 0), *dtype, count(shape))).collect();
                Work::Host(HostStep { function: host.function.clone(), inputs, outputs })
            }
            op::Work::Switch(arms) => {
                let index = number_of(&mut keys, places[0].0);
                let part = |arm: &Graph| self.part(id, arm, &places[1..], &given, &mut keys);
                Work::Branch { index, arms: arms.iter().map(part).collect::<Result<_>>()? }
            }
            op::Work::Loop(looped) => {
                if looped.conditional {
                    // The flag is looked at whatever the body does.
                    number_of(&mut keys, given[0]);
                }
                let body = self.part(id, &looped.body, &places, &given, &mut keys)?;
                let looped = op::Loop { body: Graph::default(), extends: None, ..looped.clone() };
                for key in &given {
                    number_of(&mut keys, *key);
                }
                Work::Loop { looped: Box::new(looped), body }
            }
        };
        Ok(Some(Lowered { work, keys }))
    }

    /// The memory of every result; of those that nobody needs, scratch.
    fn results(&mut self, id: NodeId, call: &op::Call, group: &Group) -> Result<Vec<Key>> {
        let mut keys = vec![];
        for (n, (shape, dtype)) in call.results.iter().enumerate() {
            let is_it = |r: &&NodeId| self.node(**r).op == Op::Result { index: n };
            let key = match group.stores.iter().find(is_it) {
                Some(result) => self.storage(*result)?.key,
                None => Key::Scratch(id, n),
            };
            if let Key::Scratch(..) = key {
                let bytes =
                    size::byte_length(shape.iter().product(), self.context.device.element_size(*dtype))?;
                self.context.scratch.insert(key, bytes);
            }
            keys.push(key);
        }
        Ok(keys)
    }

    /// A graph inside the call, over the memory of the call's inputs and results. Temporaries of several parts of one
    /// call share memory.
    fn part(
        &mut self,
        id: NodeId,
        graph: &Graph,
        leaves: &Places,
        outputs: &[Key],
        keys: &mut Vec<Key>,
    ) -> Result<Part> {
        let offsets: Vec<usize> = leaves.iter().map(|(_, first)| *first).collect();
        let checks = std::mem::take(&mut self.context.checks);
        let plan = plan_part(graph, &offsets, checks, self.context.device, self.context.room)?;
        let mut temporaries = outputs.len();
        let mut numbers: Vec<BufferId> = vec![];
        for spec in &plan.program.buffers {
            let key = match spec.role {
                Role::External(n) => match plan.externals[n] {
                    External::Leaf(leaf) => leaves[leaf].0,
                    External::Output(n) => outputs[n],
                },
                Role::Temporary => {
                    let key = Key::Scratch(id, temporaries);
                    temporaries += 1;
                    let bytes = self.context.scratch.entry(key).or_default();
                    *bytes = (*bytes).max(spec.bytes);
                    key
                }
            };
            numbers.push(number_of(keys, key));
        }
        self.context.checks = plan.program.checks;
        let mut steps = plan.program.steps;
        renumber(&mut steps, &numbers);
        Ok(Part { steps, report: plan.report })
    }
}

/// The number of a key among bindings.
fn number_of(keys: &mut Vec<Key>, key: Key) -> usize {
    keys.iter().position(|k| *k == key).unwrap_or_else(|| {
        keys.push(key);
        keys.len() - 1
    })
}

/// Gives the buffers of steps other numbers.
pub(crate) fn renumber(steps: &mut [Step], numbers: &[BufferId]) {
    let rename = |buffer: &mut BufferId| *buffer = numbers[*buffer];
    for step in steps {
        match step {
            Step::Launch(launch) => launch.buffers.iter_mut().for_each(rename),
            Step::Copy { from, to, .. } => [from, to].into_iter().for_each(rename),
            Step::Host(host) => {
                host.inputs
                    .iter_mut()
                    .chain(&mut host.outputs)
                    .for_each(|binding| rename(&mut binding.buffer));
            }
            Step::Branch { index, arms } => {
                rename(index);
                arms.iter_mut().for_each(|arm| renumber(arm, numbers));
            }
            Step::Loop { condition, body, .. } => {
                condition.iter_mut().for_each(rename);
                renumber(body, numbers);
            }
        }
    }
}
