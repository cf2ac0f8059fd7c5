//! The row rule: a reduction joins a kernel whose rows are its results.

use super::Sweep;
use crate::fuse::linear::{Linear, Var};
use crate::fuse::view::Place;
use crate::fuse::{GroupId, Kind};
use crate::graph::NodeId;
use crate::op::Op;

/// A row longer than this, of fewer rows than [`FEW_ROWS`], is not worth one workgroup each.
const LONG_ROW: usize = 32_768;
const FEW_ROWS: usize = 64;

impl Sweep {
    /// Makes the reduction at `positions` (of its results) a member of the group, which becomes a Row.
    pub(super) fn join_reduce(
        &mut self,
        id: NodeId,
        group: GroupId,
        positions: Vec<Linear>,
    ) -> Result<(), String> {
        let node = self.node(id).clone();
        let Op::Reduce { axes, .. } = &node.op else { return Err(String::new()) };
        let input = self.node(node.inputs[0]).shape.clone();
        let extents: Vec<usize> = axes.iter().map(|a| input[*a]).filter(|e| *e != 1).collect();
        let reduced = self.inner_for(group, &positions, &extents, id)?;
        let mut kept = positions.iter();
        let mut inner = reduced.into_iter();
        let mut asked = vec![];
        for (axis, extent) in input.iter().enumerate() {
            let position = match axes.contains(&axis) {
                true if *extent == 1 => Some(Linear::constant(0)),
                true => inner.next(),
                false => kept.next().cloned(),
            };
            asked.push(position.ok_or("axes do not line up")?);
        }
        self.groups[group].kind = Kind::Row;
        self.groups[group].members.push((id, positions));
        let place = Place::at(asked);
        self.groups[group].reduced.push((id, place.clone()));
        let request = super::Request { group, place, need: super::Need::Value };
        self.ask(node.inputs[0], request);
        Ok(())
    }

    /// The inner coordinates to reduce over: those the group has, its last row variables, or new ones.
    fn inner_for(
        &mut self,
        group: GroupId,
        positions: &[Linear],
        extents: &[usize],
        id: NodeId,
    ) -> Result<Vec<Linear>, String> {
        let kind = self.groups[group].kind;
        let count = self.node(id).len();
        let loops = self.loops(group);
        let used = loops.used(positions);
        let rest: Vec<Var> = loops.rows.iter().copied().filter(|v| !used.contains(v)).collect();
        if used.iter().any(|v| loops.inner.contains(v)) || loops.points(&used) as f64 > 1.25 * count as f64 {
            return Err(
                "a reduction inside the reduced loop would be computed again for every element".into()
            );
        }
        match kind {
            Kind::Row if rest.is_empty() => {
                let inner = loops.inner.clone();
                lined_up(loops.extents(&inner), &inner, extents)
                    .ok_or_else(|| "it reduces over other extents".into())
            }
            Kind::Map if rest.is_empty() => Ok(extents.iter().map(|e| loops.inner(*e)).collect()),
            Kind::Map => {
                let at = loops.rows.len() - rest.len();
                if loops.rows[at..] != rest[..] {
                    return Err("the reduced axes are not the last ones of the kernel's loops".into());
                }
                if !is_worth_a_row(loops.points(&loops.rows[..at]), loops.points(&rest)) {
                    return Err("few long rows: the reduction runs in a kernel of its own".into());
                }
                let inner = lined_up(loops.extents(&rest), &rest, extents)
                    .ok_or("it reduces over other extents than the kernel's last axes")?;
                loops.inner = loops.rows.split_off(at);
                Ok(inner)
            }
            Kind::Row => Err("it is needed at fewer coordinates than the rows".into()),
            Kind::Contract(_) => Err("a tile of a product does not span the reduced axes".into()),
            Kind::Whole(_) => Err("whole-array operations take no others along".into()),
        }
    }
}

/// Whether rows of some length are each worth a workgroup or thread of their own.
pub(super) fn is_worth_a_row(rows: usize, length: usize) -> bool {
    length <= LONG_ROW || rows >= FEW_ROWS
}

/// Whether variables of some extents can be the axes of a reduction over `want`.
pub(super) fn lines_up(have: &[usize], want: &[usize]) -> bool {
    have == want || (want.len() == 1 && have.iter().product::<usize>() == want[0])
}

/// Variables of some extents as the axes of a reduction: one each, or all of them as one axis.
fn lined_up(have: Vec<usize>, vars: &[Var], want: &[usize]) -> Option<Vec<Linear>> {
    if have == want {
        return Some(vars.iter().map(|v| Linear::var(*v)).collect());
    }
    if !lines_up(&have, want) {
        return None;
    }
    let mut flat = Linear::default();
    for (var, extent) in vars.iter().zip(have) {
        flat = flat.times(extent as i64).plus(&Linear::var(*var), 1);
    }
    Some(vec![flat])
}
