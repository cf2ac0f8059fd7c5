//! Ragged ranges.

use super::{Nest, Partition, RaggedTensor};
use crate::site::Site;
use crate::tensor::{Element, Tensor};

/// Numbers that ranges are made of.
pub trait RangeNumber: Element {
    /// `start, start + delta, …` before `limit`; `None` where the step is 0, or the range has no end.
    fn steps(start: Self, limit: Self, delta: Self) -> Option<Vec<Self>>;
}

impl RangeNumber for i32 {
    fn steps(start: i32, limit: i32, delta: i32) -> Option<Vec<i32>> {
        let (start, limit, delta) = (start as i64, limit as i64, delta as i64);
        let step = usize::try_from(delta.unsigned_abs()).ok().filter(|step| *step > 0)?;
        let steps = |from: i64, to: i64| (from..to.max(from)).step_by(step);
        Some(match delta > 0 {
            true => steps(start, limit).map(|n| n as i32).collect(),
            // Mirrored: from −start up to −limit.
            false => steps(-start, -limit).map(|n| -n as i32).collect(),
        })
    }
}

impl RangeNumber for f32 {
    fn steps(start: f32, limit: f32, delta: f32) -> Option<Vec<f32>> {
        let count = ((limit as f64 - start as f64) / delta as f64).ceil().max(0.0);
        let finite = delta != 0.0 && delta.is_finite() && start.is_finite() && count < i32::MAX as f64;
        finite.then(|| (0..count as usize).map(|i| start + i as f32 * delta).collect())
    }
}

/// Row `i` holds `starts[i], starts[i] + deltas[i], …` before `limits[i]`. A single start, limit or delta holds for all
/// rows.
///
/// ```
/// use kiln_graph::ragged;
/// let rows = ragged::range(&[0, 5, 8], &[3, 3, 12], &[1, -1, 2]);
/// assert_eq!(rows.to_rows::<i32>()?, [vec![0, 1, 2], vec![5, 4], vec![8, 10]]);
/// # Ok::<(), kiln_graph::Error>(())
/// ```
#[track_caller]
pub fn range<T: RangeNumber>(starts: &[T], limits: &[T], deltas: &[T]) -> RaggedTensor {
    let site = Site::new("ragged.range");
    site.settle(|| {
        let sizes = [starts.len(), limits.len(), deltas.len()];
        let rows = sizes.into_iter().find(|n| *n != 1).unwrap_or(1);
        site.expect(sizes.iter().all(|n| *n == rows || *n == 1), || {
            format!("expected equally many starts, limits and deltas, or one, received {sizes:?}")
        })?;
        let of = |numbers: &[T], row: usize| if numbers.len() == 1 { numbers[0] } else { numbers[row] };
        let mut flat = vec![];
        let mut lengths = vec![];
        for row in 0..rows {
            let steps = T::steps(of(starts, row), of(limits, row), of(deltas, row)).ok_or_else(|| {
                site.error(format!(
                    "expected finite numbers and a delta other than 0, received others in row {row}"
                ))
            })?;
            lengths.push(steps.len());
            flat.extend(steps);
        }
        let rows = Partition::of_lengths(site, lengths)?;
        RaggedTensor::of(site, Nest::dense(Tensor::from_vec(&flat, &[flat.len()])).divided(rows))
    })
}
