//! The sizes at which closures are traced.

use super::general::Dim;

/// How many ranges of sizes there are, from the widest on.
pub(super) const WINDOWS: usize = 4;
/// What sizes are multiples of where a closure takes no others.
pub(super) const MULTIPLES: [usize; 13] = [1, 2, 4, 8, 16, 32, 64, 3, 5, 6, 7, 10, 12];

/// Which sizes are tried.
#[derive(Clone)]
pub(super) struct Range {
    /// From the widest on.
    pub(super) window: usize,
    /// What each size is a multiple of.
    pub(super) multiples: Vec<usize>,
}

impl Range {
    /// With one size less.
    pub(super) fn without(&self, n: usize) -> Range {
        let mut multiples = self.multiples.clone();
        multiples.remove(n);
        Range { window: self.window, multiples }
    }

    fn multiplied(&self, size: impl Fn(usize) -> usize) -> Vec<usize> {
        self.multiples.iter().enumerate().map(|(n, multiple)| size(n) * multiple).collect()
    }
}

/// The sizes of a window: primes where there are enough, which are seldom the sizes of something else.
fn window(number: usize) -> Vec<usize> {
    let prime = |n: &usize| (2..*n).all(|k| !n.is_multiple_of(k));
    match number {
        0 => (17..200).filter(prime).collect(),
        1 => (5..32).collect(),
        2 => (2..13).collect(),
        _ => (2..9).collect(),
    }
}

/// Different sizes.
pub(super) fn distinct(range: &Range) -> Vec<usize> {
    let sizes = window(range.window);
    range.multiplied(|n| sizes[n % sizes.len()])
}

/// Different sizes, small and large.
pub(super) fn samples(range: &Range) -> Vec<Vec<usize>> {
    let sizes = window(range.window);
    let last = sizes.len() - 1;
    let small = (0..4).map(|first| range.multiplied(|n| sizes[(first + n) % sizes.len()]));
    small.chain([range.multiplied(|n| sizes[last - n % sizes.len()])]).collect()
}

/// Sizes that are equal but for what they are multiples of.
pub(super) fn equal(range: &Range) -> Vec<usize> {
    let size = window(range.window)[5];
    range.multiplied(|_| size)
}

/// So many points that `made` makes something of.
pub(super) fn telling<T>(
    range: &Range,
    count: usize,
    made: impl Fn(&[Vec<usize>]) -> Option<T>,
) -> Option<(Vec<Vec<usize>>, T)> {
    let from = window(range.window);
    // A generator of Lehmer's: the same points every time.
    let mut state = 48_271u64;
    let mut next = || {
        state = state * 48_271 % 0x7fff_ffff;
        state as usize
    };
    (0..50).find_map(|_| {
        let mut points: Vec<Vec<usize>> = vec![];
        for _ in 0..count {
            let mut left = from.clone();
            let mut point = vec![];
            for (n, multiple_of) in range.multiples.iter().enumerate() {
                // With one size, no point twice.
                let fresh = |size: &usize| {
                    range.multiples.len() > 1 || points.iter().all(|p| p[n] != *size * multiple_of)
                };
                let choice: Vec<usize> = left.iter().copied().filter(fresh).collect();
                let size = *choice.get(next() % choice.len().max(1))?;
                left.retain(|other| *other != size);
                point.push(size * multiple_of);
            }
            points.push(point);
        }
        made(&points).map(|made| (points, made))
    })
}

/// Groups named by numbers from 0 on, in order of their first member.
pub(super) fn numbered(groups: &[usize]) -> Vec<usize> {
    let mut names: Vec<usize> = vec![];
    let name = |group: &usize| match names.iter().position(|known| known == group) {
        Some(known) => known,
        None => {
            names.push(*group);
            names.len() - 1
        }
    };
    groups.iter().map(name).collect()
}

/// Ways to split one group of open dimensions in two: by axis, one off, and where they are few every other.
pub(super) fn splits(groups: &[usize], axes: &[usize]) -> Vec<Vec<usize>> {
    const FEW: usize = 8;
    let new = groups.iter().max().map_or(0, |most| most + 1);
    let mut all = vec![];
    for group in 0..new {
        let members: Vec<usize> = (0..groups.len()).filter(|n| groups[*n] == group).collect();
        let mut split = |off: &dyn Fn(usize) -> bool| {
            let finer = |n: usize| if groups[n] == group && off(n) { new } else { groups[n] };
            let finer = numbered(&(0..groups.len()).map(finer).collect::<Vec<_>>());
            if finer.iter().max() == Some(&new) && !all.contains(&finer) {
                all.push(finer);
            }
        };
        for member in &members {
            split(&|n| axes[n] == axes[*member]);
        }
        for member in &members {
            split(&|n| n == *member);
        }
        if members.len() <= FEW {
            for chosen in 1usize..1 << members.len().saturating_sub(1) {
                split(&|n| {
                    members.iter().position(|m| *m == n).is_some_and(|place| chosen >> place & 1 == 1)
                });
            }
        }
    }
    all
}

/// Every two and every three of so many sizes, by number, the last one first.
pub(super) fn few(sizes: usize) -> Vec<Vec<usize>> {
    let two = (0..sizes).flat_map(|a| (0..a).map(move |b| vec![a, b]));
    let three = (0..sizes).flat_map(|a| (0..a).flat_map(move |b| (0..b).map(move |c| vec![a, b, c])));
    two.chain(three).collect()
}

/// One of each of these, in every way.
pub(super) fn combinations(of: &[Vec<usize>]) -> Vec<Vec<usize>> {
    let more = |all: Vec<Vec<usize>>, next: &Vec<usize>| {
        all.iter().flat_map(|before| next.iter().map(|size| [&before[..], &[*size]].concat())).collect()
    };
    of.iter().fold(vec![vec![]], more)
}

/// Open dimensions of which one size is fixed; the others keep their order.
pub(super) fn fixed(dims: &[Dim], n: usize, size: usize) -> Vec<Dim> {
    let dim = |dim: &Dim| match dim {
        Dim::Size(k) if *k == n => Dim::Fixed(size),
        Dim::Size(k) => Dim::Size(k - usize::from(*k > n)),
        Dim::Fixed(_) => *dim,
    };
    dims.iter().map(dim).collect()
}
