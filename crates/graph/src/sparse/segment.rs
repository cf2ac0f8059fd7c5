//! Sums of chosen rows of a dense tensor by segment.

use kiln_device::ReduceOp;

use crate::error::Result;
use crate::site::Site;
use crate::tensor::Tensor;
use crate::values::{Items, fold_segments};

/// Sums of the rows that `indices` choose, by segment: row `s` of the result is the sum of `data[indices[i]]` over all `i`
/// with `segment_ids[i] == s`, and 0 where there is none. Segment ids ascend; there are `num_segments` of them, or as
/// many as the last one tells.
///
/// ```
/// use kiln_graph::{Tensor, sparse};
/// let data = Tensor::from_vec(&[1.0f32, 2.0, 3.0, 4.0], &[2, 2]);
/// let sums = sparse::segment_sum(&data, &[0, 1, 1], &[0, 0, 2], None);
/// assert_eq!(sums.to_vec::<f32>()?, [4.0, 6.0, 0.0, 0.0, 3.0, 4.0]);
/// # Ok::<(), kiln_graph::Error>(())
/// ```
#[track_caller]
pub fn segment_sum(
    data: &Tensor,
    indices: &[i32],
    segment_ids: &[i32],
    num_segments: Option<usize>,
) -> Tensor {
    let site = Site::new("sparse.segment_sum");
    site.settle(|| Ok(summed(site, data, indices, segment_ids, num_segments)?.0))
}

/// As [`segment_sum`], divided by the number of rows in each segment.
#[track_caller]
pub fn segment_mean(
    data: &Tensor,
    indices: &[i32],
    segment_ids: &[i32],
    num_segments: Option<usize>,
) -> Tensor {
    let site = Site::new("sparse.segment_mean");
    site.settle(|| scaled(site, data, indices, segment_ids, num_segments, |count| 1.0 / count))
}

/// As [`segment_sum`], divided by the square root of the number of rows in each segment.
#[track_caller]
pub fn segment_sqrt_n(
    data: &Tensor,
    indices: &[i32],
    segment_ids: &[i32],
    num_segments: Option<usize>,
) -> Tensor {
    let site = Site::new("sparse.segment_sqrt_n");
    site.settle(|| scaled(site, data, indices, segment_ids, num_segments, |count| 1.0 / count.sqrt()))
}

fn scaled(
    site: Site,
    data: &Tensor,
    indices: &[i32],
    segment_ids: &[i32],
    num_segments: Option<usize>,
    scale: impl Fn(f64) -> f64,
) -> Result<Tensor> {
    let data = data.to_float();
    let (sum, counts) = summed(site, &data, indices, segment_ids, num_segments)?;
    let scales: Vec<f64> = counts.iter().map(|count| scale((*count).max(1) as f64)).collect();
    let scales = Tensor::table(&scales, &[scales.len()], sum.dtype());
    site.part(&sum * scales.as_column(sum.rank(), site.at))
}

/// The sums and how many rows went into each.
fn summed(
    site: Site,
    data: &Tensor,
    indices: &[i32],
    segment_ids: &[i32],
    num_segments: Option<usize>,
) -> Result<(Tensor, Vec<usize>)> {
    data.check()?;
    site.expect(data.rank() >= 1, || "expected data of at least one axis, received a scalar".to_owned())?;
    site.expect(indices.len() == segment_ids.len(), || {
        format!("expected a segment id for each of {} indices, received {}", indices.len(), segment_ids.len())
    })?;
    let rows = data.shape()[0];
    if let Some(index) = indices.iter().find(|i| **i < 0 || **i as usize >= rows) {
        return Err(site.error(format!("expected indices within 0..{rows}, received {index}")));
    }
    let descends = segment_ids.windows(2).any(|pair| pair[0] > pair[1]);
    site.expect(!descends && segment_ids.first().is_none_or(|id| *id >= 0), || {
        format!("expected segment ids that ascend from 0 or more, received {segment_ids:?}")
    })?;
    let last = segment_ids.last().map_or(0, |id| *id as usize + 1);
    let segments = num_segments.unwrap_or(last);
    site.expect(last <= segments, || {
        format!("expected segment ids below {segments}, the number of segments, received {}", last - 1)
    })?;
    let mut counts = vec![0; segments];
    segment_ids.iter().for_each(|id| counts[*id as usize] += 1);
    let chosen = data.pick(indices, site.at);
    let sum = fold_segments(&chosen, segment_ids, segments, ReduceOp::Sum, site.at);
    Ok((site.part(sum)?, counts))
}
