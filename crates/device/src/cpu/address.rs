//! Where a block of loop points reads or writes: maps over few collapsed axes, walked run by run without divisions.

use crate::kernel::{Affine, Map};

/// Most loops of a kernel.
pub(crate) const MAX_RANK: usize = 24;
/// Most guards of a map.
pub(crate) const MAX_GUARDS: usize = 8;

/// Loop variables in the order in which a section walks them, slowest first: (variable, extent).
pub(crate) type Axes = Vec<(usize, usize)>;

/// An affine function over some axes.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    pub(crate) strides: Vec<i64>,
    pub(crate) offset: i64,
}

/// A guard over some axes.
#[derive(Clone, Debug)]
pub(crate) struct Guarded {
    pub(crate) position: Line,
    pub(crate) divisor: i64,
    pub(crate) extent: i64,
    pub(crate) stride: i64,
}

/// A map over given axes.
#[derive(Clone, Debug)]
pub(crate) struct Walk {
    pub(crate) extents: Vec<usize>,
    pub(crate) base: Line,
    pub(crate) guards: Vec<Guarded>,
}

/// Runs of points along the fastest axis, each as long and as far from the one before.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Segment {
    /// First point, counted from the start of the block.
    pub(crate) at: usize,
    /// Number of points of a run.
    pub(crate) count: usize,
    /// Number of runs; 1 where there are guards.
    pub(crate) runs: usize,
    /// Address of the first point (of no meaning where it is outside).
    pub(crate) address: i64,
    /// Address difference of neighbouring runs.
    pub(crate) pitch: i64,
    /// Address difference of neighbours.
    pub(crate) step: i64,
    /// Points `low..high` of the run are inside all guards.
    pub(crate) low: usize,
    /// See `low`.
    pub(crate) high: usize,
}

impl Line {
    pub(crate) fn new(affine: &Affine, axes: &Axes) -> Line {
        Line { strides: axes.iter().map(|(v, _)| affine.coefficients[*v]).collect(), offset: affine.offset }
    }

    pub(crate) fn add(&mut self, other: &Line, factor: i64) {
        self.offset += other.offset * factor;
        for (mine, theirs) in self.strides.iter_mut().zip(&other.strides) {
            *mine += theirs * factor;
        }
    }

    /// Smallest and largest value over the axes.
    pub(crate) fn bounds(&self, axes: &Axes) -> (i64, i64) {
        let mut bounds = (self.offset, self.offset);
        for (stride, (_, extent)) in self.strides.iter().zip(axes) {
            let reach = stride * (*extent as i64 - 1).max(0);
            bounds = (bounds.0 + reach.min(0), bounds.1 + reach.max(0));
        }
        bounds
    }

    fn at(&self, coordinates: &[usize]) -> i64 {
        let sum: i64 = self.strides.iter().zip(coordinates).map(|(s, c)| s * *c as i64).sum();
        sum + self.offset
    }
}

impl Walk {
    /// The map over these axes, the other variables being 0.
    pub(crate) fn new(map: &Map, axes: &Axes) -> Walk {
        let mut base = Line::new(&map.base, axes);
        let mut guards = Vec::new();
        for guard in &map.guards {
            let position = Line::new(&guard.position, axes);
            let (low, high) = position.bounds(axes);
            if guard.divisor == 1 && low >= 0 && high < guard.extent {
                base.add(&position, guard.stride);
            } else {
                guards.push(Guarded {
                    position,
                    divisor: guard.divisor,
                    extent: guard.extent,
                    stride: guard.stride,
                });
            }
        }
        let mut walk = Walk { extents: axes.iter().map(|a| a.1).collect(), base, guards };
        walk.collapse();
        debug_assert!(walk.extents.len() <= MAX_RANK && walk.guards.len() <= MAX_GUARDS);
        walk
    }

    /// The values of an affine function over these axes, as addresses.
    pub(crate) fn of_affine(affine: &Affine, axes: &Axes) -> Walk {
        let map = Map { base: affine.clone(), guards: vec![] };
        Walk::new(&map, axes)
    }

    fn lines(&self) -> impl Iterator<Item = &Line> {
        std::iter::once(&self.base).chain(self.guards.iter().map(|g| &g.position))
    }

    fn remove(&mut self, axis: usize) {
        self.extents.remove(axis);
        self.base.strides.remove(axis);
        for guard in &mut self.guards {
            guard.position.strides.remove(axis);
        }
    }

    /// Drops axes of one point and merges neighbours that are walked as one.
    pub(crate) fn collapse(&mut self) {
        for axis in (0..self.extents.len()).rev() {
            if self.extents[axis] == 1 {
                self.remove(axis);
            }
        }
        for axis in (1..self.extents.len()).rev() {
            let inner = self.extents[axis] as i64;
            if self.lines().all(|l| l.strides[axis - 1] == l.strides[axis] * inner) {
                let strides: Vec<i64> = self.lines().map(|l| l.strides[axis]).collect();
                self.extents[axis - 1] *= self.extents[axis];
                self.base.strides[axis - 1] = strides[0];
                for (guard, stride) in self.guards.iter_mut().zip(&strides[1..]) {
                    guard.position.strides[axis - 1] = *stride;
                }
                self.remove(axis);
            }
        }
    }

    /// The address of point 0 where points follow each other in memory without guards.
    pub(crate) fn contiguous(&self) -> Option<i64> {
        let flat = self.extents.len() == 1 && self.base.strides[0] == 1;
        (self.guards.is_empty() && flat).then_some(self.base.offset)
    }

    /// The address of the first of these points where they follow each other in memory without guards.
    #[inline]
    pub(crate) fn run(&self, start: usize, count: usize) -> Option<i64> {
        let last = self.extents.len().checked_sub(1)?;
        if !self.guards.is_empty() || self.base.strides[last] != 1 || self.extents[last] < count {
            return None;
        }
        let mut rest = start;
        let mut address = self.base.offset;
        for axis in (1..=last).rev() {
            let coordinate = rest % self.extents[axis];
            if axis == last && coordinate + count > self.extents[axis] {
                return None;
            }
            address += coordinate as i64 * self.base.strides[axis];
            rest /= self.extents[axis];
        }
        Some(address + rest as i64 * self.base.strides[0])
    }

    /// True where every point has one and the same address.
    pub(crate) fn is_constant(&self) -> bool {
        self.guards.is_empty() && self.base.strides.iter().all(|s| *s == 0)
    }

    /// The address difference of neighbours, where it is one and the same for all.
    pub(crate) fn single_stride(&self) -> Option<i64> {
        match self.base.strides.as_slice() {
            [] => Some(0),
            [stride] => Some(*stride),
            _ => None,
        }
    }

    /// The address difference of neighbours along the fastest axis; 0 where there is none.
    pub(crate) fn last_stride(&self) -> i64 {
        let guarded: i64 = self
            .guards
            .iter()
            .map(|g| g.position.strides.last().copied().unwrap_or(0) * g.stride / g.divisor)
            .sum();
        self.base.strides.last().copied().unwrap_or(0) + guarded
    }

    /// The address of one point, or `None` outside.
    pub(crate) fn address(&self, point: usize) -> Option<i64> {
        let mut found = None;
        self.segments(point, 1, |s| found = (s.high > s.low).then_some(s.address));
        found
    }

    /// Visits the points `start..start + count` (in walking order) as runs.
    #[inline]
    pub(crate) fn segments(&self, start: usize, count: usize, mut visit: impl FnMut(Segment)) {
        let rank = self.extents.len();
        if count == 0 {
            return;
        }
        if rank == 0 {
            let mut positions = [0i64; MAX_GUARDS];
            for (position, guard) in positions.iter_mut().zip(&self.guards) {
                *position = guard.position.offset;
            }
            visit(self.segment(&positions, self.base.offset, 0, 0, count, 1));
            return;
        }
        let mut coordinates = [0usize; MAX_RANK];
        let mut rest = start;
        for axis in (0..rank).rev() {
            coordinates[axis] = if axis == 0 { rest } else { rest % self.extents[axis] };
            rest /= self.extents[axis].max(1);
        }
        let last = rank - 1;
        let mut address = self.base.at(&coordinates[..rank]);
        let mut positions = [0i64; MAX_GUARDS];
        for (position, guard) in positions.iter_mut().zip(&self.guards) {
            *position = guard.position.at(&coordinates[..rank]);
        }
        let single = self.guards.iter().any(|g| g.divisor > 1 && g.position.strides[last] % g.divisor != 0);
        let planes = rank > 1 && self.guards.is_empty();
        let mut at = 0;
        while at < count {
            let (left, extent) = (count - at, self.extents[last]);
            let (run, runs) = if single {
                (1, 1)
            } else if planes && coordinates[last] == 0 && left >= extent {
                (extent, (left / extent).min(self.extents[last - 1] - coordinates[last - 1]))
            } else {
                ((extent - coordinates[last]).min(left), 1)
            };
            visit(self.segment(&positions, address, last, at, run, runs));
            at += run * runs;
            let mut axis = if runs > 1 { last - 1 } else { last };
            let mut steps = if runs > 1 { runs } else { run } as i64;
            // Moves `steps` along the axis, carrying into slower ones.
            loop {
                coordinates[axis] += steps as usize;
                let wrap = coordinates[axis] >= self.extents[axis] && axis > 0;
                let moved = if wrap { steps - self.extents[axis] as i64 } else { steps };
                address += self.base.strides[axis] * moved;
                for (position, guard) in positions.iter_mut().zip(&self.guards) {
                    *position += guard.position.strides[axis] * moved;
                }
                if !wrap {
                    break;
                }
                coordinates[axis] = 0;
                axis -= 1;
                steps = 1;
            }
        }
    }

    #[inline]
    pub(crate) fn segment(
        &self,
        positions: &[i64; MAX_GUARDS],
        base: i64,
        axis: usize,
        at: usize,
        count: usize,
        runs: usize,
    ) -> Segment {
        let mut segment = Segment {
            at,
            count,
            runs,
            address: base,
            pitch: if runs > 1 { self.base.strides[axis - 1] } else { 0 },
            step: self.base.strides.get(axis).copied().unwrap_or(0),
            low: 0,
            high: count,
        };
        for (guard, position) in self.guards.iter().zip(positions) {
            let stride = guard.position.strides.get(axis).copied().unwrap_or(0);
            let (mut coordinate, mut step, mut whole) = (*position, stride, true);
            if guard.divisor != 1 {
                (coordinate, step) = (position.div_euclid(guard.divisor), stride / guard.divisor);
                whole = position.rem_euclid(guard.divisor) == 0;
            }
            segment.address += coordinate * guard.stride;
            segment.step += step * guard.stride;
            if !whole {
                segment.high = 0;
            } else if step == 0 {
                if !(0..guard.extent).contains(&coordinate) {
                    segment.high = 0;
                }
            } else {
                let (low, high) = inside(coordinate, step, guard.extent);
                segment.low = segment.low.max(low.clamp(0, count as i64) as usize);
                segment.high = segment.high.min(high.clamp(0, count as i64) as usize);
            }
        }
        segment.high = segment.high.max(segment.low);
        segment
    }
}

impl Walk {
    /// Visits `count` points, `step` apart along the fastest axis, with base address and guard positions.
    pub(crate) fn odometer(
        &self,
        first: usize,
        count: usize,
        step: usize,
        mut visit: impl FnMut(i64, &[i64; MAX_GUARDS]),
    ) {
        let rank = self.extents.len();
        let mut coordinates = [0usize; MAX_RANK];
        let mut rest = first * step;
        for axis in (0..rank).rev() {
            coordinates[axis] = rest % self.extents[axis].max(1);
            rest /= self.extents[axis].max(1);
        }
        let mut address = self.base.at(&coordinates[..rank]);
        let mut positions = [0i64; MAX_GUARDS];
        for (position, guard) in positions.iter_mut().zip(&self.guards) {
            *position = guard.position.at(&coordinates[..rank]);
        }
        for _ in 0..count {
            visit(address, &positions);
            let mut steps = step as i64;
            for axis in (0..rank).rev() {
                coordinates[axis] += steps as usize;
                let wrap = coordinates[axis] >= self.extents[axis];
                let moved = if wrap { steps - self.extents[axis] as i64 } else { steps };
                address += self.base.strides[axis] * moved;
                for (position, guard) in positions.iter_mut().zip(&self.guards) {
                    *position += guard.position.strides[axis] * moved;
                }
                if !wrap {
                    break;
                }
                coordinates[axis] = 0;
                steps = 1;
            }
        }
    }
}

impl Walk {
    /// True where neighbours along the fastest axis are not a whole number of steps of some guard's coordinate apart.
    pub(crate) fn single(&self) -> bool {
        self.guards
            .iter()
            .any(|g| g.divisor > 1 && g.position.strides.last().is_some_and(|s| s % g.divisor != 0))
    }

    /// Visits the points `first..first + count` as runs along the fastest axis of at most `longest` points: the first
    /// one's number (from `first`), their count, the first one's base address and guard positions.
    #[inline]
    pub(crate) fn stretches(
        &self,
        first: usize,
        count: usize,
        longest: usize,
        mut visit: impl FnMut(usize, usize, i64, &[i64; MAX_GUARDS]),
    ) {
        let rank = self.extents.len();
        let mut coordinates = [0usize; MAX_RANK];
        let mut rest = first;
        for axis in (0..rank).rev() {
            coordinates[axis] = rest % self.extents[axis].max(1);
            rest /= self.extents[axis].max(1);
        }
        let extent = self.extents.last().map_or(usize::MAX, |extent| *extent);
        let mut at = 0;
        while at < count {
            let along = coordinates[..rank].last().copied().unwrap_or(0);
            let run = (extent - along).min(count - at).min(longest);
            let mut positions = [0i64; MAX_GUARDS];
            for (position, guard) in positions.iter_mut().zip(&self.guards) {
                *position = guard.position.at(&coordinates[..rank]);
            }
            visit(at, run, self.base.at(&coordinates[..rank]), &positions);
            at += run;
            let mut steps = run;
            for axis in (0..rank).rev() {
                coordinates[axis] += steps;
                if coordinates[axis] < self.extents[axis] {
                    break;
                }
                coordinates[axis] = 0;
                steps = 1;
            }
        }
    }
}

/// The numbers `low..high` of steps for which `0 ≤ first + step·i < extent`.
#[inline]
fn inside(first: i64, step: i64, extent: i64) -> (i64, i64) {
    match step {
        1 => (-first, extent - first),
        -1 => (first - extent + 1, first + 1),
        s if s > 0 => ((-first + s - 1).div_euclid(s), (extent - first + s - 1).div_euclid(s)),
        s => ((first - extent - s).div_euclid(-s), first.div_euclid(-s) + 1),
    }
}

/// Most entries of a path's table.
const TABLE: usize = 1024;

/// A walk made ready for blocks of any start and length: where it consists of short runs without guards, a table holds
/// where each run of a period begins, so that a run costs a look-up and not an odometer's step.
#[derive(Clone, Debug)]
pub(crate) struct Path {
    pub(crate) walk: Walk,
    /// Addresses of a period's runs; empty where the walk is followed without a table.
    table: Vec<i64>,
    /// Slower axes that the table does not cover.
    outer: usize,
}

impl Path {
    pub(crate) fn new(walk: Walk) -> Path {
        let rank = walk.extents.len();
        let (mut outer, mut table) = (rank.saturating_sub(1), vec![0]);
        while outer > 0 && table.len() * walk.extents[outer - 1] <= TABLE {
            outer -= 1;
            let stride = walk.base.strides[outer];
            let starts = 0..walk.extents[outer] as i64;
            table = starts.flat_map(|i| table.iter().map(move |a| a + i * stride)).collect();
        }
        if table.len() < 2 || !walk.guards.is_empty() {
            table.clear();
        }
        Path { walk, table, outer }
    }

    /// Visits the points `start..start + count` (in walking order) as runs.
    #[inline]
    pub(crate) fn segments(&self, start: usize, count: usize, mut visit: impl FnMut(Segment)) {
        let walk = &self.walk;
        let (Some(run), Some(step)) = (walk.extents.last().copied(), walk.base.strides.last().copied())
        else {
            return walk.segments(start, count, visit);
        };
        if self.table.is_empty() {
            return walk.segments(start, count, visit);
        }
        let (mut number, mut skip) = (start / run, start % run);
        let mut period = number / self.table.len();
        number %= self.table.len();
        let mut base = self.period(period);
        let mut at = 0;
        while at < count {
            let points = (run - skip).min(count - at);
            let address = base + self.table[number] + skip as i64 * step;
            visit(Segment { at, count: points, runs: 1, address, pitch: 0, step, low: 0, high: points });
            at += points;
            skip = 0;
            number += 1;
            if number == self.table.len() {
                number = 0;
                period += 1;
                base = self.period(period);
            }
        }
    }

    /// The address at which a period begins.
    fn period(&self, number: usize) -> i64 {
        let mut rest = number;
        let mut address = self.walk.base.offset;
        for axis in (0..self.outer).rev() {
            let extent = if axis == 0 { usize::MAX } else { self.walk.extents[axis] };
            address += (rest % extent) as i64 * self.walk.base.strides[axis];
            rest /= extent;
        }
        address
    }
}
