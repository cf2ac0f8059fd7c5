//! Calls: where their inputs and results are in memory, and what runs.

use kiln_device::{HostBinding, HostStep};

use super::{Key, Lowered, Lowering, Work};
use crate::error::Result;
use crate::fuse::{Group, Kind, Place};
use crate::graph::NodeId;
use crate::op::{self, Op};

impl Lowering<'_, '_> {
    /// The step of a group that is a call.
    pub(super) fn call(&mut self, group: &Group) -> Result<Option<Lowered>> {
        let Kind::Whole(id) = group.kind else { return Ok(None) };
        let Op::Call(call) = self.node(id).op.clone() else { return Ok(None) };
        let inputs = self.node(id).inputs.clone();
        let mut taken = vec![];
        for input in inputs {
            let (key, first) = self.memory(input, &Place::whole(true))?;
            taken.push((key, first));
        }
        let given = self.results(id, &call, group)?;
        match &call.work {
            op::Work::Host(host) => {
                let mut keys = vec![];
                let mut binding = |key: Key, first: usize, dtype, count| {
                    keys.push(key);
                    HostBinding { buffer: keys.len() - 1, first, count, dtype }
                };
                let node = |n: &NodeId| self.node(*n);
                let sources = self.node(id).inputs.iter().map(node).zip(&taken);
                let inputs =
                    sources.map(|(n, (key, first))| binding(*key, *first, n.dtype, n.len())).collect();
                let forms = call.results.iter().zip(&given);
                let outputs = forms
                    .map(|((shape, dtype), key)| binding(*key, 0, *dtype, shape.iter().product()))
                    .collect();
                let function = host.function.clone();
                Ok(Some(Lowered { work: Work::Host(HostStep { function, inputs, outputs }), keys }))
            }
        }
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
                self.context.scratch.insert(key, (*dtype, shape.iter().product()));
            }
            keys.push(key);
        }
        Ok(keys)
    }
}
