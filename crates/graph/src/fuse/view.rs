//! Where a kernel asks for a value, and how views change the question.

use std::ops::Range;

use kiln_device::Value;

use super::linear::{Linear, Loops};
use crate::graph::Node;
use crate::op::Op;
use crate::shape::strides;

/// One coordinate: `position / divisor`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Coordinate {
    pub(crate) position: Linear,
    pub(crate) divisor: i64,
}

/// A range that a coordinate must be in for the value to be there: `divisor` divides `position`, and
/// `0 ≤ position / divisor < extent`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Fence {
    pub(crate) position: Linear,
    pub(crate) divisor: i64,
    pub(crate) extent: usize,
}

/// Which element of a node.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Spot {
    /// One coordinate per axis.
    At(Vec<Coordinate>),
    /// Its number in row-major order: only of a value that is stored.
    Flat(Linear),
    /// All of it, stored, its first element `offset` elements into the view that was asked for.
    Whole {
        /// Elements before it.
        offset: usize,
        /// Whether an offset other than 0 can be used.
        movable: bool,
        /// Elements of what was asked for.
        count: usize,
    },
}

/// An element of a node, or `fill` outside the fences.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Place {
    pub(crate) spot: Spot,
    pub(crate) fences: Vec<Fence>,
    pub(crate) fill: Option<Value>,
}

impl Coordinate {
    pub(crate) fn plain(position: Linear) -> Coordinate {
        Coordinate { position, divisor: 1 }
    }
}

impl Place {
    pub(crate) fn at(positions: impl IntoIterator<Item = Linear>) -> Place {
        let spot = Spot::At(positions.into_iter().map(Coordinate::plain).collect());
        Place { spot, fences: vec![], fill: None }
    }

    /// All of a node of `count` elements.
    pub(crate) fn whole(count: usize, movable: bool) -> Place {
        Place { spot: Spot::Whole { offset: 0, movable, count }, fences: vec![], fill: None }
    }

    /// The elements of a vector of `count` that may be asked for here while the loops run: no fewer, maybe more.
    pub(crate) fn range(&self, loops: &Loops, count: usize) -> Range<usize> {
        let (position, divisor) = match &self.spot {
            Spot::Whole { offset, count, .. } => return *offset..offset + count,
            Spot::Flat(flat) => (flat, 1),
            Spot::At(coordinates) => match &coordinates[..] {
                [only] => (&only.position, only.divisor),
                _ => return 0..count,
            },
        };
        let (smallest, largest) = loops.bounds(position);
        let element = |at: i64| at.clamp(0, count as i64) as usize;
        element(smallest.div_euclid(divisor))..element(largest.div_euclid(divisor).saturating_add(1))
    }

    /// The positions where this is plain: no fences, no divisors.
    pub(crate) fn positions(&self) -> Option<Vec<Linear>> {
        match &self.spot {
            Spot::At(coordinates) if self.fences.is_empty() && coordinates.iter().all(|c| c.divisor == 1) => {
                Some(coordinates.iter().map(|c| c.position.clone()).collect())
            }
            _ => None,
        }
    }

    /// The same place in the variables that are live now.
    pub(crate) fn resolved(&self, loops: &Loops) -> Place {
        let spot = match &self.spot {
            Spot::At(coordinates) => Spot::At(
                coordinates
                    .iter()
                    .map(|c| Coordinate { position: loops.resolve(&c.position), divisor: c.divisor })
                    .collect(),
            ),
            Spot::Flat(flat) => Spot::Flat(loops.resolve(flat)),
            whole @ Spot::Whole { .. } => whole.clone(),
        };
        let fence = |f: &Fence| Fence { position: loops.resolve(&f.position), ..f.clone() };
        Place { spot, fences: self.fences.iter().map(fence).collect(), fill: self.fill }
    }

    fn with_fence(mut self, fence: Fence, fill: Value) -> Option<Place> {
        if self.fill.is_some_and(|f| f != fill) {
            return None;
        }
        self.fill = Some(fill);
        if !self.fences.contains(&fence) {
            self.fences.push(fence);
        }
        Some(self)
    }
}

/// Asking a view for `place` asks its input for the result; `None` where the view has to be stored instead.
///
/// `may_split` allows variables to be split where axes are; where not (the input is stored for certain), a flat
/// number is asked for.
pub(crate) fn through(
    node: &Node,
    input: &Node,
    place: &Place,
    loops: &mut Loops,
    may_split: bool,
) -> Option<Place> {
    let place = place.resolved(loops);
    let coordinates = match &place.spot {
        Spot::At(coordinates) => coordinates.clone(),
        Spot::Flat(flat) if node.shape.len() == 1 => vec![Coordinate::plain(flat.clone())],
        Spot::Flat(_) if node.op == Op::Reshape => return Some(place),
        Spot::Flat(flat) => {
            let unravelled = loops.unravel(flat, &node.shape, may_split)?;
            unravelled.into_iter().map(Coordinate::plain).collect()
        }
        Spot::Whole { offset, movable, count } => return whole(node, *offset, *movable, *count),
    };
    let moved = |coordinates: Vec<Coordinate>| Place { spot: Spot::At(coordinates), ..place.clone() };
    match &node.op {
        Op::Reshape => {
            reshape(node, input, &coordinates, loops, may_split).map(|spot| Place { spot, ..place })
        }
        Op::Transpose { permutation } => {
            let mut there = coordinates.clone();
            for (i, p) in permutation.iter().enumerate() {
                there[*p] = coordinates[i].clone();
            }
            Some(moved(there))
        }
        Op::Broadcast { axes } => Some(moved(axes.iter().map(|a| coordinates[*a].clone()).collect())),
        Op::Slice { start, step } => {
            let shift = |(i, c): (usize, &Coordinate)| {
                let plain = c.divisor == 1 || step[i] == 1;
                let position = c.position.times(step[i]).shifted(start[i] as i64 * c.divisor);
                plain.then_some(Coordinate { position, divisor: c.divisor })
            };
            coordinates.iter().enumerate().map(shift).collect::<Option<Vec<_>>>().map(moved)
        }
        Op::Pad { low, high, interior, value } => {
            let mut place = place.clone();
            let mut there = vec![];
            for (i, coordinate) in coordinates.iter().enumerate() {
                let untouched = low[i] == 0 && high[i] == 0 && interior[i] == 0;
                if untouched {
                    there.push(coordinate.clone());
                    continue;
                }
                if coordinate.divisor != 1 {
                    return None;
                }
                let position = coordinate.position.clone().shifted(-(low[i] as i64));
                let divisor = interior[i] as i64 + 1;
                let fence = Fence { position: position.clone(), divisor, extent: input.shape[i] };
                place = place.with_fence(fence, *value)?;
                there.push(Coordinate { position, divisor });
            }
            Some(Place { spot: Spot::At(there), ..place })
        }
        Op::Window { axis, stride, dilation, .. } => {
            let (window, cell) = (&coordinates[*axis], &coordinates[axis + 1]);
            if window.divisor != 1 || cell.divisor != 1 {
                return None;
            }
            let position = window.position.times(*stride as i64).plus(&cell.position, *dilation as i64);
            let mut there = coordinates.clone();
            there.splice(*axis..=axis + 1, [Coordinate::plain(position)]);
            Some(moved(there))
        }
        Op::Unwindow { axis, stride, dilation, .. } => {
            let (element, cell) = (&coordinates[*axis], &coordinates[axis + 1]);
            if element.divisor != 1 || cell.divisor != 1 {
                return None;
            }
            let position = element.position.plus(&cell.position, -(*dilation as i64));
            let divisor = *stride as i64;
            let fence = Fence { position: position.clone(), divisor, extent: input.shape[*axis] };
            let zero = Value::zero(node.dtype.scalar());
            let mut place = place.with_fence(fence, zero)?;
            let mut there = coordinates;
            there[*axis] = Coordinate { position, divisor };
            place.spot = Spot::At(there);
            Some(place)
        }
        _ => None,
    }
}

/// All of a reshape is all of its input; all of a slice of a vector is a part of it.
fn whole(node: &Node, offset: usize, movable: bool, count: usize) -> Option<Place> {
    let spot = match &node.op {
        Op::Reshape => Spot::Whole { offset, movable, count },
        Op::Slice { start, step }
            if start.len() == 1 && step[0] == 1 && (movable || start[0] + offset == 0) =>
        {
            Spot::Whole { offset: offset + start[0], movable, count }
        }
        _ => return None,
    };
    Some(Place { spot, fences: vec![], fill: None })
}

/// Axes whose products line up are translated together; a part that does not line up makes the whole question flat.
fn reshape(
    node: &Node,
    input: &Node,
    from: &[Coordinate],
    loops: &mut Loops,
    may_split: bool,
) -> Option<Spot> {
    match aligned(node, input, from, loops, may_split) {
        Some(coordinates) => Some(Spot::At(coordinates)),
        None => {
            let mut flat = Linear::default();
            for (coordinate, stride) in from.iter().zip(strides(&node.shape)) {
                if coordinate.divisor != 1 {
                    return None;
                }
                flat = flat.plus(&loops.resolve(&coordinate.position), stride as i64);
            }
            Some(Spot::Flat(flat))
        }
    }
}

fn aligned(
    node: &Node,
    input: &Node,
    from: &[Coordinate],
    loops: &mut Loops,
    may_split: bool,
) -> Option<Vec<Coordinate>> {
    let (out, target) = (&node.shape, &input.shape);
    if node.is_empty() {
        return None;
    }
    let mut there = vec![Coordinate::plain(Linear::constant(0)); target.len()];
    let (mut i, mut j) = (0, 0);
    loop {
        while out.get(i) == Some(&1) {
            i += 1;
        }
        while target.get(j) == Some(&1) {
            j += 1;
        }
        let (first_i, first_j) = (i, j);
        let (Some(a), Some(b)) = (out.get(i), target.get(j)) else { return Some(there) };
        let (mut a, mut b) = (*a, *b);
        while a != b {
            if a < b {
                i += 1;
                a *= out.get(i)?;
            } else {
                j += 1;
                b *= target.get(j)?;
            }
        }
        (i, j) = (i + 1, j + 1);
        if i - first_i == 1 && j - first_j == 1 {
            there[first_j] = from[first_i].clone();
            continue;
        }
        let block = &from[first_i..i];
        if block.iter().any(|c| c.divisor != 1) {
            return None;
        }
        let mut flat = Linear::default();
        for (coordinate, stride) in block.iter().zip(strides(&out[first_i..i])) {
            flat = flat.plus(&loops.resolve(&coordinate.position), stride as i64);
        }
        let unravelled = loops.unravel(&flat, &target[first_j..j], may_split)?;
        for (axis, position) in (first_j..j).zip(unravelled) {
            there[axis] = Coordinate::plain(position);
        }
    }
}
