//! Who may use the slabs of a run: readers together, writers one at a time.
//!
//! A writer first claims its slabs, which keeps other writers out and lets readers go on, and then enters them, which
//! waits for the readers to leave. Everybody claims before entering, and does both in the order of the slabs' numbers:
//! so nobody waits in a circle. A run that calls the host stays outside while it runs, with its claims only.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use super::slab::Slab;

/// Who is inside a slab.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    readers: usize,
    claimed: bool,
    writing: bool,
}

impl Gate {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait_until(&self, free: impl Fn(&State) -> bool, then: impl FnOnce(&mut State)) {
        let state = self.state();
        let mut state =
            self.changed.wait_while(state, |state| !free(state)).unwrap_or_else(PoisonError::into_inner);
        then(&mut state);
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state());
        self.changed.notify_all();
    }
}

/// The use of some slabs, which ends when this is dropped.
#[derive(Debug, Default)]
pub(crate) struct Access {
    read: Vec<Arc<Slab>>,
    /// In the order of their numbers.
    claimed: Vec<Arc<Slab>>,
    written: Vec<Arc<Slab>>,
}

impl Access {
    /// Claims slabs for writing: other writers wait, readers go on.
    pub(crate) fn claim(slabs: impl IntoIterator<Item = Arc<Slab>>) -> Access {
        let claimed = in_order(slabs);
        for slab in &claimed {
            slab.gate.wait_until(|s| !s.claimed, |s| s.claimed = true);
        }
        Access { claimed, read: vec![], written: vec![] }
    }

    /// Enters the claimed slabs, which nobody else reads from then on, and some more to read.
    pub(crate) fn enter(&mut self, read: impl IntoIterator<Item = Arc<Slab>>) {
        let is_claimed = |slab: &Arc<Slab>| self.claimed.binary_search_by_key(&slab.id, |c| c.id).is_ok();
        let read: Vec<_> = read.into_iter().filter(|slab| !is_claimed(slab)).collect();
        for slab in in_order(self.claimed.iter().cloned().chain(read)) {
            if is_claimed(&slab) {
                slab.gate.wait_until(|s| s.readers == 0, |s| s.writing = true);
                self.written.push(slab);
            } else {
                slab.gate.wait_until(|s| !s.writing, |s| s.readers += 1);
                self.read.push(slab);
            }
        }
    }

    /// Enters slabs to read them, those that somebody has claimed too.
    pub(crate) fn read(slabs: impl IntoIterator<Item = Arc<Slab>>) -> Access {
        let mut access = Access::default();
        access.enter(slabs);
        access
    }

    /// Claims slabs and enters them.
    pub(crate) fn write(slabs: impl IntoIterator<Item = Arc<Slab>>) -> Access {
        let mut access = Access::claim(slabs);
        access.enter([]);
        access
    }
}

impl Drop for Access {
    fn drop(&mut self) {
        self.read.drain(..).for_each(|slab| slab.gate.change(|s| s.readers -= 1));
        self.written.drain(..).for_each(|slab| slab.gate.change(|s| s.writing = false));
        self.claimed.drain(..).for_each(|slab| slab.gate.change(|s| s.claimed = false));
    }
}

/// Every slab once, in the order of their numbers.
fn in_order(slabs: impl IntoIterator<Item = Arc<Slab>>) -> Vec<Arc<Slab>> {
    let mut slabs: Vec<_> = slabs.into_iter().collect();
    slabs.sort_unstable_by_key(|slab| slab.id);
    slabs.dedup_by_key(|slab| slab.id);
    slabs
}
