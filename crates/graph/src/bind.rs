//! What one run is bound to: the buffers of its leaves, and the slabs that are its own meanwhile.
//!
//! A run that does not call the host stays inside its slabs: others read what it reads, and wait for what it writes. One
//! that calls the host must not, because the function may wait for a thread that needs a slab: it reads what it has
//! pinned, writes copies, and makes them the contents at its end. It keeps other writers of those slabs out all the time.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use kiln_device::{Buffer, Device};

use crate::build::Bound;
use crate::error::{Error, Result};
use crate::evaluate::Compiled;
use crate::tensor::{Kind, Tensor};
use crate::variable::{Access, Pin, Slab};

/// The leaves' buffers of one run, and its hold on state.
#[derive(Default)]
pub(crate) struct Bindings {
    pub(crate) leaves: Vec<Buffer>,
    access: Access,
    /// Slabs with what the run writes instead of them.
    copies: BTreeMap<u64, (Written, Buffer)>,
    _pins: Vec<Pin>,
}

/// A slab and the ranges of it that are assigned.
struct Written {
    slab: Arc<Slab>,
    ranges: Vec<Range<usize>>,
}

impl Bindings {
    /// Binds a program, given the buffers of its arguments; `None` where state has moved or a reading has been
    /// overwritten since the program was built: build it again.
    pub(crate) fn new(
        compiled: &Compiled,
        bound: &[Bound],
        arguments: &[Buffer],
        device: &Device,
    ) -> Result<Option<Bindings>> {
        let read: Vec<Arc<Slab>> = bound.iter().filter_map(Bound::slab).cloned().collect();
        if read.is_empty() {
            let leaves = buffers(bound, arguments, device, |_| None)?;
            return Ok(Some(Bindings { leaves, ..Bindings::default() }));
        }
        let written = written(compiled, bound);
        let mut access = Access::claim(written.values().map(|w| w.slab.clone()));
        if compiled.calls_host() {
            return Bindings::outside(bound, arguments, device, access, written);
        }
        access.enter(read);
        if bound.iter().any(Bound::is_over) {
            return Ok(None);
        }
        for Written { slab, ranges } in written.values() {
            slab.before_write(ranges)?;
        }
        let leaves = buffers(bound, arguments, device, |_| None)?;
        Ok(Some(Bindings { leaves, access, ..Bindings::default() }))
    }

    /// For a run that calls the host.
    fn outside(
        bound: &[Bound],
        arguments: &[Buffer],
        device: &Device,
        access: Access,
        written: BTreeMap<u64, Written>,
    ) -> Result<Option<Bindings>> {
        let inside = Access::read(bound.iter().filter_map(Bound::slab).cloned());
        if bound.iter().any(Bound::is_over) {
            return Ok(None);
        }
        let copy = |(id, written): (u64, Written)| {
            let copy = written.slab.copied()?;
            Ok((id, (written, copy)))
        };
        let copies = written.into_iter().map(copy).collect::<Result<BTreeMap<_, _>>>()?;
        let mut pins = BTreeMap::new();
        for slab in bound.iter().filter_map(Bound::slab) {
            pins.entry(slab.id).or_insert_with(|| slab.pinned());
        }
        let own = |slab: &Slab| copies.get(&slab.id).map(|(_, copy)| copy.clone());
        let of = |slab: &Slab| own(slab).or_else(|| pins.get(&slab.id).map(|(buffer, _)| buffer.clone()));
        let leaves = buffers(bound, arguments, device, of)?;
        drop(inside);
        let pins = pins.into_values().map(|(_, pin)| pin).collect();
        Ok(Some(Bindings { leaves, access, copies, _pins: pins }))
    }

    /// After a run that succeeded: what it has written are the contents.
    pub(crate) fn commit(mut self) -> Result<()> {
        if self.copies.is_empty() {
            return Ok(());
        }
        self.access.enter([]);
        // First what can fail: nothing or all of it takes effect.
        self.copies.values().try_for_each(|(written, _)| written.slab.freeze(&written.ranges))?;
        for (written, copy) in std::mem::take(&mut self.copies).into_values() {
            written.slab.replace(copy);
        }
        Ok(())
    }
}

/// The slabs that a program assigns, by number.
fn written(compiled: &Compiled, bound: &[Bound]) -> BTreeMap<u64, Written> {
    let graph = compiled.graph();
    let mut found = BTreeMap::new();
    for assign in &graph.assigns {
        let Bound::State(slab) = &bound[assign.leaf] else { continue };
        let range = assign.offset..assign.offset + graph.node(assign.value).len();
        let new = || Written { slab: slab.clone(), ranges: vec![] };
        found.entry(slab.id).or_insert_with(new).ranges.push(range);
    }
    found
}

/// The buffers of leaves; `own` gives those of slabs that are not their present ones.
fn buffers(
    bound: &[Bound],
    arguments: &[Buffer],
    device: &Device,
    own: impl Fn(&Slab) -> Option<Buffer>,
) -> Result<Vec<Buffer>> {
    let buffer = |bound: &Bound| match bound {
        Bound::Argument(n) => {
            arguments.get(*n).cloned().ok_or_else(|| Error::Internal(format!("argument {n} is not bound")))
        }
        Bound::State(slab) | Bound::Reading { slab, .. } => Ok(own(slab).unwrap_or_else(|| slab.buffer())),
        Bound::Value(tensor) => crate::evaluate::leaf_on(tensor, device).map(|stored| stored.buffer),
    };
    bound.iter().map(buffer).collect()
}

impl Bound {
    /// The state that it is.
    pub(crate) fn slab(&self) -> Option<&Arc<Slab>> {
        match self {
            Bound::State(slab) | Bound::Reading { slab, .. } => Some(slab),
            Bound::Argument(_) | Bound::Value(_) => None,
        }
    }

    /// A variable's value that a function has taken from outside.
    pub(crate) fn captured_reading(&self) -> Option<&Tensor> {
        match self {
            Bound::Value(tensor) if matches!(tensor.node.kind, Kind::Variable(_)) => Some(tensor),
            _ => None,
        }
    }

    /// True where it no longer stands for what it did when the graph was built.
    pub(crate) fn is_over(&self) -> bool {
        match self {
            Bound::State(slab) => slab.is_left(),
            Bound::Reading { tensors, .. } => {
                tensors.iter().any(|t| matches!(&t.node.kind, Kind::Variable(reading) if reading.is_over()))
            }
            Bound::Argument(_) | Bound::Value(_) => false,
        }
    }
}
