//! Views and gathers: elements under other coordinates.

use super::Array;

/// The place of a point in row-major order.
pub(super) fn flat(point: &[usize], shape: &[usize]) -> usize {
    point.iter().zip(shape).fold(0, |place, (p, extent)| place * extent + p)
}

/// The point at a place in row-major order.
pub(super) fn point(mut place: usize, shape: &[usize]) -> Vec<usize> {
    let mut point = vec![0; shape.len()];
    for i in (0..shape.len()).rev() {
        point[i] = place % shape[i];
        place /= shape[i];
    }
    point
}

/// Every point of a shape, in row-major order.
pub(super) fn points(shape: &[usize]) -> impl Iterator<Item = Vec<usize>> + '_ {
    (0..shape.iter().product()).map(|place| point(place, shape))
}

/// An array by a formula of the point.
pub(super) fn build(shape: &[usize], element: impl FnMut(Vec<usize>) -> f64) -> Vec<f64> {
    points(shape).map(element).collect()
}

/// An array of one value, with the elements of `x` put where `place` says.
fn spread(x: Array<'_>, fill: f64, shape: &[usize], place: impl Fn(&[usize]) -> Vec<usize>) -> Vec<f64> {
    let mut result = vec![fill; shape.iter().product()];
    for p in points(x.shape) {
        result[flat(&place(&p), shape)] = x.at(&p);
    }
    result
}

pub(super) fn transpose(permutation: &[usize], x: Array<'_>, shape: &[usize]) -> Vec<f64> {
    build(shape, |p| {
        let mut source = vec![0; p.len()];
        for (i, axis) in permutation.iter().enumerate() {
            source[*axis] = p[i];
        }
        x.at(&source)
    })
}

pub(super) fn broadcast(axes: &[usize], x: Array<'_>, shape: &[usize]) -> Vec<f64> {
    build(shape, |p| x.at(&axes.iter().map(|a| p[*a]).collect::<Vec<_>>()))
}

pub(super) fn slice(start: &[usize], step: &[i64], x: Array<'_>, shape: &[usize]) -> Vec<f64> {
    build(shape, |p| {
        let source = |i: usize| (start[i] as i64 + p[i] as i64 * step[i]) as usize;
        x.at(&(0..p.len()).map(source).collect::<Vec<_>>())
    })
}

pub(super) fn pad(low: &[usize], interior: &[usize], value: f64, x: Array<'_>, shape: &[usize]) -> Vec<f64> {
    spread(x, value, shape, |p| (0..p.len()).map(|i| low[i] + p[i] * (interior[i] + 1)).collect())
}

pub(super) fn window(axis: usize, stride: usize, dilation: usize, x: Array<'_>, shape: &[usize]) -> Vec<f64> {
    build(shape, |mut p| {
        let within = p.remove(axis + 1);
        p[axis] = p[axis] * stride + within * dilation;
        x.at(&p)
    })
}

pub(super) fn unwindow(
    axis: usize,
    stride: usize,
    dilation: usize,
    x: Array<'_>,
    shape: &[usize],
) -> Vec<f64> {
    spread(x, 0.0, shape, |p| {
        let mut target = p.to_vec();
        target[axis] = p[axis] * stride + p[axis + 1] * dilation;
        target
    })
}

pub(super) fn concat(axis: usize, inputs: &[Array<'_>], shape: &[usize]) -> Vec<f64> {
    let mut result = vec![0.0; shape.iter().product()];
    let mut start = 0;
    for x in inputs {
        for p in points(x.shape) {
            let mut target = p.clone();
            target[axis] += start;
            result[flat(&target, shape)] = x.at(&p);
        }
        start += x.shape[axis];
    }
    result
}

/// Rows of `x`; the indices are in range.
pub(super) fn gather(x: Array<'_>, indices: Array<'_>, shape: &[usize]) -> Vec<f64> {
    build(shape, |p| {
        let (index, rest) = p.split_at(indices.shape.len());
        x.at(&[&[indices.at(index) as usize], rest].concat())
    })
}
