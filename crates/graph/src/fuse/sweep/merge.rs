//! Groups that ask for the same at the same coordinates become one.

use std::collections::HashMap;

use super::{Request, Sweep, plain_askers};
use crate::fuse::linear::{Linear, Var};
use crate::fuse::view::{Place, Spot};
use crate::fuse::{Group, GroupId, Kind, reaches};
use crate::graph::NodeId;

impl Sweep {
    /// Makes one group of those that ask for all of a node at the same coordinates of equal loops.
    pub(super) fn merge_askers(&mut self, id: NodeId, mut requests: Vec<Request>) -> Vec<Request> {
        let mut groups = plain_askers(&requests);
        let mut absorbed: HashMap<GroupId, (GroupId, HashMap<Var, Var>)> = HashMap::new();
        let mut next = 0;
        while next < groups.len() {
            let others = groups.split_off(next + 1);
            let (a, at_a) = groups[next].clone();
            for (b, at_b) in others {
                match self.same_loops(id, (a, &at_a), (b, &at_b)) {
                    Some(names) => {
                        self.merge(b, a, &names);
                        absorbed.insert(b, (a, names));
                    }
                    None => groups.push((b, at_b)),
                }
            }
            next += 1;
        }
        requests.retain(|r| !absorbed.contains_key(&r.group) || r.place.positions().is_none());
        for request in &mut requests {
            if let Some((group, names)) = absorbed.get(&request.group) {
                request.place = renamed(&request.place, names);
                request.group = *group;
            }
        }
        requests
    }

    /// The variables of `b` as those of `a`, where the two groups may become one.
    fn same_loops(
        &self,
        id: NodeId,
        (a, at_a): (GroupId, &[Linear]),
        (b, at_b): (GroupId, &[Linear]),
    ) -> Option<HashMap<Var, Var>> {
        let (first, second) = (&self.groups[a], &self.groups[b]);
        let elementwise = |k: Kind| matches!(k, Kind::Map | Kind::Row);
        if !elementwise(first.kind) || !elementwise(second.kind) || first.kind != second.kind {
            return None;
        }
        if !self.have_room(a, b) || !self.equal_widths(a, b) || self.node(id).is_empty() {
            return None;
        }
        let mut names = HashMap::new();
        for (x, y) in at_a.iter().zip(at_b) {
            if x.terms.len() != y.terms.len() || x.offset != y.offset {
                return None;
            }
            let by_size = |l: &Linear| {
                let mut terms = l.terms.clone();
                terms.sort_by_key(|t| t.1);
                terms
            };
            for ((u, cu), (v, cv)) in by_size(x).into_iter().zip(by_size(y)) {
                let alike = cu == cv && first.loops.extent(u) == second.loops.extent(v);
                if !alike || names.insert(v, u).is_some_and(|known| known != u) {
                    return None;
                }
            }
        }
        // Rows that agree may share their inner loop whatever runs in it.
        let (mine, theirs) = (&first.loops.inner, &second.loops.inner);
        if !theirs.iter().any(|v| names.contains_key(v))
            && first.loops.extents(mine) == second.loops.extents(theirs)
        {
            names.extend(theirs.iter().copied().zip(mine.iter().copied()));
        }
        let maps = |from: &[Var], to: &[Var]| {
            let named: Vec<Var> = from.iter().filter_map(|v| names.get(v).copied()).collect();
            named.len() == to.len() && from.len() == to.len() && named.iter().all(|v| to.contains(v))
        };
        let same =
            maps(&second.loops.rows, &first.loops.rows) && maps(&second.loops.inner, &first.loops.inner);
        let apart = !reaches(&self.readers, a, b) && !reaches(&self.readers, b, a);
        (same && apart).then_some(names)
    }

    /// Moves everything of group `from` into group `to`.
    fn merge(&mut self, from: GroupId, to: GroupId, names: &HashMap<Var, Var>) {
        let gone = std::mem::replace(&mut self.groups[from], Group::new(Kind::Map));
        self.groups[from].alive = false;
        self.groups[to].contents.absorb(&gone.contents);
        for (id, positions) in gone.members {
            let positions = positions.iter().map(|l| rename(&gone.loops.resolve(l), names)).collect();
            self.groups[to].members.push((id, positions));
        }
        for (id, place) in gone.reduced {
            self.groups[to].reduced.push((id, renamed(&place.resolved(&gone.loops), names)));
        }
        for id in gone.stores {
            self.stored_by[id.index()] = Some(to);
            self.groups[to].stores.push(id);
        }
        for list in &mut self.requests {
            for request in list.iter_mut().filter(|r| r.group == from) {
                request.group = to;
                request.place = renamed(&request.place.resolved(&gone.loops), names);
            }
        }
        for (_, group, place) in self.leaf_reads.iter_mut().filter(|r| r.1 == from) {
            *group = to;
            *place = renamed(&place.resolved(&gone.loops), names);
        }
        let readers = std::mem::take(&mut self.readers[from]);
        self.readers[to].extend(readers);
        for list in &mut self.readers {
            for reader in list.iter_mut().filter(|r| **r == from) {
                *reader = to;
            }
            list.sort_unstable();
            list.dedup();
        }
    }
}

fn rename(linear: &Linear, names: &HashMap<Var, Var>) -> Linear {
    let mut renamed = Linear::constant(linear.offset);
    for (var, coefficient) in &linear.terms {
        renamed = renamed.plus(&Linear::var(names.get(var).copied().unwrap_or(*var)), *coefficient);
    }
    renamed
}

fn renamed(place: &Place, names: &HashMap<Var, Var>) -> Place {
    let mut place = place.clone();
    match &mut place.spot {
        Spot::At(coordinates) => {
            for coordinate in coordinates {
                coordinate.position = rename(&coordinate.position, names);
            }
        }
        Spot::Flat(flat) => *flat = rename(flat, names),
        Spot::Whole { .. } => {}
    }
    for fence in &mut place.fences {
        fence.position = rename(&fence.position, names);
    }
    place
}
