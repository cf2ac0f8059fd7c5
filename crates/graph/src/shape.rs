//! Shapes and axes: NumPy's rules for broadcasting and negative axes.

/// The dimensions of a tensor, slowest first. A scalar has none.
pub type Shape = Vec<usize>;

/// The shape that `a` and `b` broadcast to, or `None`.
pub fn broadcast(a: &[usize], b: &[usize]) -> Option<Shape> {
    let rank = a.len().max(b.len());
    let dim = |s: &[usize], i: usize| (i + s.len()).checked_sub(rank).map_or(1, |i| s[i]);
    (0..rank)
        .map(|i| match (dim(a, i), dim(b, i)) {
            (x, y) if x == y => Some(x),
            (1, y) => Some(y),
            (x, 1) => Some(x),
            _ => None,
        })
        .collect()
}

/// Row-major strides in elements.
pub(crate) fn strides(shape: &[usize]) -> Vec<usize> {
    let mut strides = vec![1; shape.len()];
    for i in (1..shape.len()).rev() {
        strides[i - 1] = strides[i] * shape[i].max(1);
    }
    strides
}

/// An axis counted from the end where negative; `None` where out of range.
pub(crate) fn resolve_axis(axis: i64, rank: usize) -> Option<usize> {
    let resolved = if axis < 0 { axis + rank as i64 } else { axis };
    (0..rank as i64).contains(&resolved).then_some(resolved as usize)
}

/// What is said of an axis that a shape does not have.
pub(crate) fn no_axis(axis: i64, shape: &[usize]) -> String {
    match shape.len() {
        0 => format!("axis {axis} is out of range for shape []: a scalar has no axes"),
        rank => format!("axis {axis} is out of range for shape {shape:?}; expected −{rank} ≤ axis < {rank}"),
    }
}

/// [`no_axis`] of a tensor of which the rank alone counts.
pub(crate) fn no_axis_of_rank(axis: i64, rank: usize) -> String {
    match rank {
        0 => format!("axis {axis} is out of range for a tensor of rank 0: a scalar has no axes"),
        rank => format!(
            "axis {axis} is out of range for a tensor of rank {rank}; expected −{rank} ≤ axis < {rank}"
        ),
    }
}

/// A choice of axes: none named means all of them.
///
/// ```
/// use kiln_graph::Axes;
/// let all: Axes = ().into();
/// let last: Axes = (-1).into();
/// let some: Axes = [0, 2].into();
/// # let _ = (all, last, some);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Axes {
    /// Every axis.
    All,
    /// These, negative ones counted from the end.
    Of(Vec<i64>),
}

impl Axes {
    /// The axes in ascending order, or what is wrong with them.
    pub fn resolve(&self, rank: usize) -> Result<Vec<usize>, String> {
        let mut axes = self.resolve_in_order(rank)?;
        axes.sort_unstable();
        Ok(axes)
    }

    /// The axes in the order they are named in, or what is wrong with them.
    pub(crate) fn resolve_in_order(&self, rank: usize) -> Result<Vec<usize>, String> {
        let Axes::Of(named) = self else {
            return Ok((0..rank).collect());
        };
        let mut axes = Vec::with_capacity(named.len());
        for axis in named {
            let resolved = resolve_axis(*axis, rank).ok_or_else(|| no_axis_of_rank(*axis, rank))?;
            if axes.contains(&resolved) {
                return Err(format!("axis {axis} is named twice in {named:?}"));
            }
            axes.push(resolved);
        }
        Ok(axes)
    }
}

impl From<()> for Axes {
    fn from((): ()) -> Axes {
        Axes::All
    }
}

impl From<i64> for Axes {
    fn from(axis: i64) -> Axes {
        Axes::Of(vec![axis])
    }
}

impl<const N: usize> From<[i64; N]> for Axes {
    fn from(axes: [i64; N]) -> Axes {
        Axes::Of(axes.to_vec())
    }
}

impl From<&[i64]> for Axes {
    fn from(axes: &[i64]) -> Axes {
        Axes::Of(axes.to_vec())
    }
}

impl From<Vec<i64>> for Axes {
    fn from(axes: Vec<i64>) -> Axes {
        Axes::Of(axes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn broadcasting_follows_numpy() {
        assert_eq!(broadcast(&[3, 1], &[4]), Some(vec![3, 4]));
        assert_eq!(broadcast(&[], &[2, 0]), Some(vec![2, 0]));
        assert_eq!(broadcast(&[1], &[0]), Some(vec![0]));
        assert_eq!(broadcast(&[3], &[4]), None);
    }

    #[test]
    fn axes_resolve_or_say_why() {
        assert_eq!(Axes::from([-1, 0]).resolve(3), Ok(vec![0, 2]));
        assert!(Axes::from([0, -3]).resolve(3).unwrap_err().contains("twice"));
        assert!(Axes::from(3).resolve(3).unwrap_err().contains("rank 3"));
    }
}
