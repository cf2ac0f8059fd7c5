//! From a closure to a program of open sizes: traced at several sizes, and compared.
//!
//! The closure may do anything with a size, so that no proof covers all of them. What is found is compared with traces at
//! [`PROVEN`] sizes of every open dimension, small and large, primes and powers of two.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::fit::{Fit, powers};
use super::general::{Case, Dim, Domain, General, Generalized};
use super::join::described;
use super::points::{self, Range};
use super::restore;
use super::write::data_alone;
use crate::build::Bound;
use crate::error::{At, Error, Result};
use crate::function::cache::Traced;
use crate::function::signature::{Form, TensorSpec};
use crate::graph::{plainly, simplified};
use crate::op::Op;

/// Every size up to this is compared.
const SMALL: usize = 8;
/// And these.
const PROVEN: [usize; 12] = [16, 31, 32, 64, 100, 128, 256, 1000, 1024, 4096, 10_007, 65_536];
/// How many programs there may be, with those of the smallest sizes that need their own.
const MOST_CASES: usize = 81;
/// How many open dimensions there may be that differ in size.
const MOST_SIZES: usize = 8;

/// A closure, as it is traced for arguments of given forms.
pub(super) type Trace<'a> = dyn Fn(&[Form]) -> Result<Traced> + 'a;

pub(super) struct Prober<'a> {
    pub(super) specs: &'a [TensorSpec],
    pub(super) trace: &'a Trace<'a>,
    pub(super) at: At,
    pub(super) structure: String,
}

/// How a program of formulas compares with a trace.
enum Compared {
    Same,
    /// In what, in words.
    Differs(String),
    /// The closure cannot be traced.
    Fails(Error),
}

/// A case, with what its leaves are bound to.
type Bounded = (Case, Vec<Bound>);

impl Prober<'_> {
    /// The programs for all sizes of the open dimensions.
    pub(super) fn generalized(&self) -> Result<Generalized> {
        let open = self.specs.iter().flat_map(|spec| &spec.shape).filter(|dim| dim.is_none()).count();
        let (dims, range) = self.grouped(open)?;
        let mut found: Vec<Bounded> = vec![];
        self.cases(&dims, &range, &mut found)?;
        // Those of more fixed sizes come first.
        let free = |case: &Case| case.sizes.len();
        found.sort_by_key(|(case, _)| free(case));
        let (cases, bounds) = found.into_iter().unzip();
        let arguments = self.specs.iter().map(|spec| (spec.shape.clone(), spec.dtype)).collect();
        Ok(Generalized { general: General { structure: self.structure.clone(), arguments, cases }, bounds })
    }

    pub(super) fn refused(&self, message: String) -> Error {
        let message = format!(
            "{message}. Compute what depends on a size with tensors; or make an error of the function for sizes that take \
             another way, those that are no multiples of a stride for instance; or prepare the sizes that shall run from \
             the file, and save their programs alone with `save_prepared`"
        );
        Error::Operation { op: "save", message, at: self.at }
    }

    fn forms(&self, dims: &[Dim], sizes: &[usize]) -> Vec<Form> {
        let mut dims = dims.iter();
        let mut open = || match dims.next() {
            Some(Dim::Size(n)) => sizes[*n],
            Some(Dim::Fixed(size)) => *size,
            None => 0,
        };
        let form = |spec: &TensorSpec| {
            (spec.shape.iter().map(|dim| dim.unwrap_or_else(&mut open)).collect(), spec.dtype)
        };
        self.specs.iter().map(form).collect()
    }

    fn traced(&self, dims: &[Dim], sizes: &[usize]) -> Result<Traced> {
        let forms = self.forms(dims, sizes);
        // Sizes that nobody calls it with, such as 0, must not end the program.
        let traced = catch_unwind(AssertUnwindSafe(|| (self.trace)(&forms))).unwrap_or_else(|panic| {
            let sizes = self.open(dims, sizes);
            let said = panic.downcast_ref::<&str>().copied();
            let said =
                said.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message");
            let message =
                format!("the function panics when it is traced with open dimensions of {sizes:?}: {said}");
            Err(Error::Trace { message, at: self.at })
        })?;
        data_alone(&traced.built.graph, self.at)?;
        Ok(traced)
    }

    fn plain(&self, dims: &[Dim], sizes: &[usize]) -> Result<Traced> {
        plainly(|| self.traced(dims, sizes))
    }

    /// Which open dimensions are of one size, as few as the closure can be traced with, and which sizes it takes.
    fn grouped(&self, open: usize) -> Result<(Vec<Dim>, Range)> {
        let mut error = None;
        for multiple_of in points::MULTIPLES {
            for window in 0..points::WINDOWS {
                match self.grouped_in(open, window, multiple_of) {
                    Ok(dims) if count(&dims) > MOST_SIZES => {
                        return Err(self.refused(format!(
                            "expected at most {MOST_SIZES} open dimensions of sizes of their own, received {}",
                            count(&dims)
                        )));
                    }
                    Ok(dims) => {
                        let range = Range { window, multiples: vec![multiple_of; count(&dims)] };
                        let range = self.widened(&dims, range);
                        return Ok((dims, range));
                    }
                    Err(other) => error = error.or(Some(other)),
                }
            }
        }
        let tried = match open > 1 {
            true => "sizes that differ among the open dimensions, nor with equal ones",
            false => "any of the sizes that were tried",
        };
        let so = |message: String| {
            format!("{message}; so the function cannot be saved: it cannot be traced with {tried}")
        };
        Err(match error {
            Some(Error::Operation { op, message, at }) => Error::Operation { op, message: so(message), at },
            Some(Error::Trace { message, at }) => Error::Trace { message: so(message), at },
            Some(other) => other,
            None => Error::Internal("no size was tried".into()),
        })
    }

    /// Whether the closure can be traced with small and large sizes of a range.
    fn works(&self, dims: &[Dim], range: &Range) -> Result<()> {
        points::samples(range).iter().try_for_each(|sizes| self.plain(dims, sizes).map(drop))
    }

    fn grouped_in(&self, open: usize, window: usize, multiple_of: usize) -> Result<Vec<Dim>> {
        let dims = |groups: &[usize]| groups.iter().copied().map(Dim::Size).collect::<Vec<_>>();
        let works = |groups: &[usize]| {
            let dims = dims(groups);
            self.works(&dims, &Range { window, multiples: vec![multiple_of; count(&dims)] })
        };
        let apart: Vec<usize> = (0..open).collect();
        if works(&apart).is_ok() {
            return Ok(dims(&apart));
        }
        let axes = |spec: &TensorSpec| {
            let open = spec.shape.iter().enumerate().filter(|(_, dim)| dim.is_none());
            open.map(|(axis, _)| axis).collect::<Vec<_>>()
        };
        let axes: Vec<usize> = self.specs.iter().flat_map(axes).collect();
        let mut groups = vec![0; open];
        if let Err(error) = works(&groups) {
            groups = points::numbered(&axes);
            works(&groups).map_err(|_| error)?;
        }
        while let Some(finer) = points::splits(&groups, &axes).into_iter().find(|finer| works(finer).is_ok())
        {
            groups = finer;
        }
        Ok(dims(&groups))
    }

    /// A range whose sizes are multiples of no more than the closure needs.
    fn widened(&self, dims: &[Dim], mut range: Range) -> Range {
        for n in 0..range.multiples.len() {
            let most = range.multiples[n];
            let fewer = points::MULTIPLES.into_iter().filter(|m| *m < most && most.is_multiple_of(*m));
            let tried = fewer.map(|multiple_of| {
                let mut range = range.clone();
                range.multiples[n] = multiple_of;
                range
            });
            if let Some(wider) = tried.into_iter().find(|wider| self.works(dims, wider).is_ok()) {
                range = wider;
            }
        }
        range
    }

    /// The program for most sizes, and those for the smallest where they need their own.
    fn cases(&self, dims: &[Dim], range: &Range, found: &mut Vec<Bounded>) -> Result<()> {
        if found.iter().any(|(case, _)| case.dims == dims) {
            return Ok(());
        }
        if found.len() == MOST_CASES {
            return Err(
                self.refused(format!("the smallest sizes need more than {MOST_CASES} programs of their own"))
            );
        }
        let sizes = count(dims);
        let (mut case, bound) = self.fitted(dims, range)?;
        let place = found.len();
        found.push((case.clone(), bound.clone()));
        let base = points::distinct(range);
        for n in 0..sizes {
            let (domain, special) = self.domain(&(&case, &bound), n, &base, range.multiples[n])?;
            case.sizes[n] = domain;
            for size in special {
                self.cases(&points::fixed(dims, n, size), &range.without(n), found)?;
            }
        }
        // Few small sizes together, whose product is one for instance.
        for members in points::few(sizes) {
            let values = members.iter().map(|n| case.small(*n)).collect::<Vec<_>>();
            for values in points::combinations(&values) {
                let mut small = base.clone();
                members.iter().zip(&values).for_each(|(n, size)| small[*n] = *size);
                if let Compared::Differs(_) = self.compared(&(&case, &bound), &small) {
                    let one = |(dims, range): (Vec<Dim>, Range), (n, size): (&usize, &usize)| {
                        (points::fixed(&dims, *n, *size), range.without(*n))
                    };
                    let (dims, range) = members.iter().zip(&values).fold((dims.to_vec(), range.clone()), one);
                    self.cases(&dims, &range, found)?;
                }
            }
        }
        let smallest = case.smallest();
        match self.compared(&(&case, &bound), &smallest) {
            Compared::Same => {}
            Compared::Fails(error) => return Err(error),
            Compared::Differs(how) => return Err(self.differs(dims, &smallest, &how)),
        }
        found[place].0 = case;
        Ok(())
    }

    /// The program of formulas, as traces at some points of a range have it.
    fn fitted(&self, dims: &[Dim], range: &Range) -> Result<Bounded> {
        let powers = powers(count(dims));
        let count = powers.len() + 3;
        let made = points::telling(range, count, |points| Fit::new(points, powers.clone()));
        let few = || {
            let sizes = self.open(dims, &points::distinct(range));
            self.refused(format!(
                "the function takes too few sizes, as {sizes:?}, for so many open dimensions"
            ))
        };
        let (points, mut fit) = made.ok_or_else(few)?;
        let traces = points.iter().map(|point| self.plain(dims, point)).collect::<Result<Vec<_>>>()?;
        let bound = traces[0].built.bound.clone();
        for (traced, point) in traces.iter().zip(&points) {
            self.same_bound(&traces[0], traced, &points[0], point)?;
        }
        let described = traces.iter().zip(&points).map(|(t, point)| described(t, self.forms(dims, point)));
        let described = described.collect::<Result<Vec<_>>>()?;
        let program = self.joined(&mut fit, &described, &traces, &points)?;
        let domain = |multiple_of: &usize| Domain { least: 0, most: None, multiple_of: *multiple_of };
        let sizes = range.multiples.iter().map(domain).collect();
        let case = Case { dims: dims.to_vec(), sizes, formulas: fit.formulas, program };
        for sizes in [points[0].clone(), points::distinct(range), points::equal(range)] {
            match self.compared(&(&case, &bound), &sizes) {
                Compared::Same => {}
                Compared::Fails(error) => return Err(error),
                Compared::Differs(how) => return Err(self.differs(dims, &sizes, &how)),
            }
        }
        Ok((case, bound))
    }

    /// The sizes of all open dimensions.
    fn open(&self, dims: &[Dim], sizes: &[usize]) -> Vec<usize> {
        let size = |dim: &Dim| match *dim {
            Dim::Size(n) => sizes[n],
            Dim::Fixed(size) => size,
        };
        dims.iter().map(size).collect()
    }

    fn differs(&self, dims: &[Dim], sizes: &[usize], how: &str) -> Error {
        let sizes = self.open(dims, sizes);
        self.refused(format!("the program depends on the sizes of open dimensions: at {sizes:?} {how}"))
    }

    /// A program of formulas beside a trace for sizes.
    fn compared(&self, (case, bound): &(&Case, &Vec<Bound>), sizes: &[usize]) -> Compared {
        let traced = match self.traced(&case.dims, sizes) {
            Ok(traced) => traced,
            Err(error) => return Compared::Fails(error),
        };
        let made = case.program(sizes).and_then(|p| Ok((restore(&p, self.at)?, p)));
        let (plain, program) = match made {
            Ok(made) => made,
            Err(why) => return Compared::Differs(format!("it would be wrong ({why})")),
        };
        let (graph, live) = (simplified(&plain), &traced.built.graph);
        if graph == *live && program.outputs == traced.outputs && bound.len() == traced.built.bound.len() {
            let same = bound
                .iter()
                .zip(&traced.built.bound)
                .try_fold(true, |all, (a, b)| Ok(all && self.same(a, b)?));
            return match same {
                Ok(true) => Compared::Same,
                Ok(false) => Compared::Differs("it captures other values".into()),
                Err(error) => Compared::Fails(error),
            };
        }
        let pair = graph.nodes.iter().zip(&live.nodes).find(|(a, b)| a != b);
        let node = match (pair, live.nodes.get(graph.nodes.len())) {
            (Some((a, b)), _) => match (&a.op, &b.op) {
                (Op::Constant(a), Op::Constant(known)) if a != known => {
                    format!("it has {known}, made at {}, where the formula gives {a}", b.at)
                }
                _ => format!("it has another `{}`, made at {}", b.op.name(), b.at),
            },
            (None, Some(b)) => format!("it has one more `{}`, made at {}", b.op.name(), b.at),
            (None, None) => "it has other results".into(),
        };
        Compared::Differs(node)
    }

    /// For which values of the n-th size a case holds, and which need programs of their own.
    ///
    /// The two smallest that the closure takes may: there dimensions of 0 and 1 elements arise, which are not repeated where
    /// others are.
    fn domain(
        &self,
        case: &(&Case, &Vec<Bound>),
        n: usize,
        base: &[usize],
        multiple_of: usize,
    ) -> Result<(Domain, Vec<usize>)> {
        const SPECIAL: usize = 2;
        let with = |times: usize| {
            let mut sizes = base.to_vec();
            sizes[n] = times * multiple_of;
            sizes
        };
        let known = base[n] / multiple_of;
        let (mut least, mut taken) = (0, vec![]);
        for times in 0..known {
            match self.compared(case, &with(times)) {
                Compared::Same => taken.push(times),
                Compared::Fails(_) => least = times + 1,
                Compared::Differs(how) if taken.len() >= SPECIAL => {
                    return Err(self.differs(&case.0.dims, &with(times), &how));
                }
                Compared::Differs(_) => {
                    taken.push(times);
                    least = times + 1;
                }
            }
            if times >= SMALL && least <= times {
                break;
            }
        }
        let special = taken.into_iter().filter(|times| *times < least).map(|times| times * multiple_of);
        let same = |times: usize| match self.compared(case, &with(times)) {
            Compared::Same => Ok(true),
            Compared::Fails(_) => Ok(false),
            Compared::Differs(how) => Err(self.differs(&case.0.dims, &with(times), &how)),
        };
        for times in PROVEN.into_iter().filter(|times| (SMALL.max(least)..known).contains(times)) {
            if !same(times)? {
                let sizes = self.open(&case.0.dims, &with(times));
                return Err(self.refused(format!(
                    "the function takes smaller and larger open dimensions, but not {sizes:?}"
                )));
            }
        }
        let most = largest(known, same)?.map(|times| times * multiple_of);
        Ok((Domain { least: least * multiple_of, most, multiple_of }, special.collect()))
    }
}

/// The largest size, in multiples, that a closure takes; none where it takes all.
fn largest(known: usize, takes: impl Fn(usize) -> Result<bool>) -> Result<Option<usize>> {
    let mut last = known;
    for times in (0..=SMALL).chain(PROVEN).filter(|times| *times > known) {
        if takes(times)? {
            last = times;
            continue;
        }
        let (mut low, mut high) = (last, times);
        while high - low > 1 {
            let middle = low.midpoint(high);
            if takes(middle)? { low = middle } else { high = middle }
        }
        return Ok(Some(low));
    }
    Ok(None)
}

/// How many sizes open dimensions have.
fn count(dims: &[Dim]) -> usize {
    dims.iter().map(|dim| if let Dim::Size(n) = dim { n + 1 } else { 0 }).max().unwrap_or(0)
}
