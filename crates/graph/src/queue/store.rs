//! In which order elements leave.

use std::collections::{BTreeMap, VecDeque};

use super::Entry;

/// The elements inside of a queue.
pub(super) enum Store<V> {
    /// First in, first out.
    Fifo(VecDeque<Entry<V>>),
    /// By priority, then by number of arrival.
    Priority { entries: BTreeMap<(i64, u64), Entry<V>>, arrived: u64 },
    /// At random.
    Shuffle { entries: Vec<Entry<V>>, random: u64 },
}

impl<V> Store<V> {
    pub(super) fn fifo() -> Store<V> {
        Store::Fifo(VecDeque::new())
    }

    pub(super) fn priority() -> Store<V> {
        Store::Priority { entries: BTreeMap::new(), arrived: 0 }
    }

    pub(super) fn shuffle(seed: u64) -> Store<V> {
        Store::Shuffle { entries: vec![], random: seed }
    }

    pub(super) fn has_priorities(&self) -> bool {
        matches!(self, Store::Priority { .. })
    }

    pub(super) fn len(&self) -> usize {
        match self {
            Store::Fifo(entries) => entries.len(),
            Store::Priority { entries, .. } => entries.len(),
            Store::Shuffle { entries, .. } => entries.len(),
        }
    }

    pub(super) fn push(&mut self, entry: Entry<V>) {
        match self {
            Store::Fifo(entries) => entries.push_back(entry),
            Store::Priority { entries, arrived } => {
                entries.insert((entry.priority, *arrived), entry);
                *arrived += 1;
            }
            Store::Shuffle { entries, .. } => entries.push(entry),
        }
    }

    pub(super) fn pop(&mut self) -> Option<Entry<V>> {
        match self {
            Store::Fifo(entries) => entries.pop_front(),
            Store::Priority { entries, .. } => entries.pop_first().map(|(_, entry)| entry),
            Store::Shuffle { entries, .. } if entries.is_empty() => None,
            Store::Shuffle { entries, random } => {
                let chosen = (splitmix64(random) as u128 * entries.len() as u128) >> 64;
                Some(entries.swap_remove(chosen as usize))
            }
        }
    }
}

/// The next number of a stream (Sebastiano Vigna's splitmix64).
fn splitmix64(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}
