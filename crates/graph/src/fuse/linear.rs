//! Affine functions of a group's loop variables: the coordinates of everything inside a kernel.

/// A loop variable of one group. Splitting replaces a variable by two new ones; numbers are never used again.
pub(crate) type Var = u32;

/// `Σ coefficient · variable + offset`; terms ascend by variable and have no zero coefficients.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
pub(crate) struct Linear {
    pub(crate) terms: Vec<(Var, i64)>,
    pub(crate) offset: i64,
}

impl Linear {
    pub(crate) fn constant(offset: i64) -> Linear {
        Linear { terms: vec![], offset }
    }

    pub(crate) fn var(var: Var) -> Linear {
        Linear { terms: vec![(var, 1)], offset: 0 }
    }

    /// `self + factor · other`.
    pub(crate) fn plus(&self, other: &Linear, factor: i64) -> Linear {
        let mut sum = self.clone();
        for (var, coefficient) in &other.terms {
            sum.add_term(*var, coefficient * factor);
        }
        sum.offset += other.offset * factor;
        sum
    }

    pub(crate) fn times(&self, factor: i64) -> Linear {
        Linear::default().plus(self, factor)
    }

    pub(crate) fn shifted(mut self, by: i64) -> Linear {
        self.offset += by;
        self
    }

    fn add_term(&mut self, var: Var, coefficient: i64) {
        match self.terms.binary_search_by_key(&var, |t| t.0) {
            Ok(at) => {
                self.terms[at].1 += coefficient;
                if self.terms[at].1 == 0 {
                    self.terms.remove(at);
                }
            }
            Err(at) if coefficient != 0 => self.terms.insert(at, (var, coefficient)),
            Err(_) => {}
        }
    }

    pub(crate) fn uses(&self, var: Var) -> bool {
        self.terms.iter().any(|t| t.0 == var)
    }
}

/// The loop variables of a group: extents, order, and what has been split.
#[derive(Clone, Debug, Default)]
pub(crate) struct Loops {
    extents: Vec<usize>,
    /// `variable = factor · outer + inner`.
    splits: Vec<Option<(i64, Var, Var)>>,
    /// Live row variables, slowest first.
    pub(crate) rows: Vec<Var>,
    /// Live inner variables: reduced over, or contracted.
    pub(crate) inner: Vec<Var>,
}

impl Loops {
    pub(crate) fn fresh(&mut self, extent: usize) -> Var {
        self.extents.push(extent);
        self.splits.push(None);
        self.extents.len() as Var - 1
    }

    pub(crate) fn extent(&self, var: Var) -> usize {
        self.extents[var as usize]
    }

    pub(crate) fn extents(&self, vars: &[Var]) -> Vec<usize> {
        vars.iter().map(|v| self.extent(*v)).collect()
    }

    pub(crate) fn live(&self) -> impl Iterator<Item = Var> + '_ {
        self.rows.iter().chain(&self.inner).copied()
    }

    /// A new row axis; extents of 1 need no variable.
    pub(crate) fn row(&mut self, extent: usize) -> Linear {
        self.axis(extent, false)
    }

    /// A new inner axis.
    pub(crate) fn inner(&mut self, extent: usize) -> Linear {
        self.axis(extent, true)
    }

    fn axis(&mut self, extent: usize, inner: bool) -> Linear {
        if extent == 1 {
            return Linear::constant(0);
        }
        let var = self.fresh(extent);
        if inner {
            self.inner.push(var)
        } else {
            self.rows.push(var)
        }
        Linear::var(var)
    }

    /// Splits a variable into `factor · outer + inner`, where `factor` divides its extent.
    pub(crate) fn split(&mut self, var: Var, factor: usize) {
        let outer = self.fresh(self.extent(var) / factor);
        let inner = self.fresh(factor);
        self.splits[var as usize] = Some((factor as i64, outer, inner));
        for list in [&mut self.rows, &mut self.inner] {
            if let Some(at) = list.iter().position(|v| *v == var) {
                list.splice(at..=at, [outer, inner]);
            }
        }
    }

    /// The same function of the variables that are live now.
    pub(crate) fn resolve(&self, linear: &Linear) -> Linear {
        if linear.terms.iter().all(|(var, _)| self.splits[*var as usize].is_none()) {
            return linear.clone();
        }
        let mut resolved = Linear::constant(linear.offset);
        for (var, coefficient) in &linear.terms {
            match self.splits[*var as usize] {
                None => resolved.add_term(*var, *coefficient),
                Some((factor, outer, inner)) => {
                    let parts = Linear::var(outer).times(factor).plus(&Linear::var(inner), 1);
                    resolved = resolved.plus(&self.resolve(&parts), *coefficient);
                }
            }
        }
        resolved
    }

    /// Number of points of some variables.
    pub(crate) fn points(&self, vars: &[Var]) -> usize {
        vars.iter().map(|v| self.extent(*v)).product()
    }

    /// The live variables that some functions use, in loop order.
    pub(crate) fn used(&self, linears: &[Linear]) -> Vec<Var> {
        self.live().filter(|v| linears.iter().any(|l| l.uses(*v))).collect()
    }

    /// True where `flat` takes every value of `0..count` exactly once over the variables it uses.
    pub(crate) fn enumerates(&self, flat: &Linear, count: usize) -> bool {
        let mut terms = flat.terms.clone();
        terms.sort_by_key(|t| t.1);
        let mut step = 1i64;
        for (var, coefficient) in terms {
            if coefficient != step {
                return false;
            }
            step *= self.extent(var) as i64;
        }
        flat.offset == 0 && step == count as i64
    }

    /// The smallest and the largest value of a function over its variables.
    pub(crate) fn bounds(&self, linear: &Linear) -> (i64, i64) {
        let reach = |(var, c): &(Var, i64)| c * (self.extent(*var) as i64 - 1);
        let terms = &self.resolve(linear).terms;
        let smallest = linear.offset + terms.iter().map(|t| reach(t).min(0)).sum::<i64>();
        let largest = linear.offset + terms.iter().map(|t| reach(t).max(0)).sum::<i64>();
        (smallest, largest)
    }

    /// `linear` as coordinates of row-major axes, splitting variables where that makes it whole; `None` where it
    /// cannot be.
    pub(crate) fn unravel(
        &mut self,
        linear: &Linear,
        extents: &[usize],
        may_split: bool,
    ) -> Option<Vec<Linear>> {
        if extents.contains(&0) {
            return None;
        }
        let mut rest = self.resolve(linear);
        let mut coordinates = vec![];
        for extent in extents[1..].iter().rev() {
            let (quotient, remainder) = self.divide(&rest, *extent as i64, may_split)?;
            coordinates.push(remainder);
            rest = quotient;
        }
        coordinates.push(rest);
        coordinates.reverse();
        Some(coordinates.iter().map(|c| self.resolve(c)).collect())
    }

    /// Quotient and remainder by `divisor` of a function that is never negative.
    fn divide(&mut self, linear: &Linear, divisor: i64, may_split: bool) -> Option<(Linear, Linear)> {
        loop {
            let current = self.resolve(linear);
            let mut quotient = Linear::constant(current.offset.div_euclid(divisor));
            let mut remainder = Linear::constant(current.offset.rem_euclid(divisor));
            for (var, coefficient) in &current.terms {
                if coefficient % divisor == 0 {
                    quotient.add_term(*var, coefficient / divisor);
                } else {
                    remainder.add_term(*var, *coefficient);
                }
            }
            let (smallest, largest) = self.bounds(&remainder);
            if smallest >= 0 && largest < divisor {
                return Some((quotient, remainder));
            }
            let crossing = remainder.terms.iter().find_map(|(var, c)| {
                let factor = if *c > 0 && divisor % c == 0 { (divisor / c) as usize } else { 0 };
                let extent = self.extent(*var);
                (factor > 1 && factor < extent && extent.is_multiple_of(factor)).then_some((*var, factor))
            });
            match crossing {
                Some((var, factor)) if may_split => self.split(var, factor),
                _ => return None,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every coordinate of `unravel` against division of the value.
    fn check(linear: &Linear, loops: &mut Loops, extents: &[usize]) {
        let coordinates = loops.unravel(linear, extents, true).expect("can be unravelled");
        let live: Vec<Var> = loops.live().collect();
        let count = loops.points(&live);
        let flat = loops.resolve(linear);
        for point in 0..count {
            let mut rest = point;
            let mut values = std::collections::HashMap::new();
            for var in live.iter().rev() {
                values.insert(*var, (rest % loops.extent(*var)) as i64);
                rest /= loops.extent(*var);
            }
            let at = |l: &Linear| l.terms.iter().map(|(v, c)| c * values[v]).sum::<i64>() + l.offset;
            let mut value = at(&flat);
            for (coordinate, extent) in coordinates.iter().zip(extents).rev() {
                assert_eq!(at(coordinate), value % *extent as i64);
                value /= *extent as i64;
            }
        }
    }

    #[test]
    fn a_flat_variable_splits_into_axes() {
        let mut loops = Loops::default();
        let flat = loops.row(24);
        check(&flat, &mut loops, &[2, 3, 4]);
        assert_eq!(loops.extents(&loops.rows.clone()), [2, 3, 4]);
    }

    #[test]
    fn merged_axes_come_apart_again_without_a_split() {
        let mut loops = Loops::default();
        let (a, b) = (loops.row(3), loops.row(4));
        check(&a.times(4).plus(&b, 1), &mut loops, &[3, 4]);
        assert_eq!(loops.rows.len(), 2);
    }

    #[test]
    fn axes_that_do_not_line_up_are_refused() {
        let mut loops = Loops::default();
        let (a, b) = (loops.row(3), loops.row(4));
        assert!(loops.unravel(&a.times(4).plus(&b, 1), &[4, 3], true).is_none());
    }
}
