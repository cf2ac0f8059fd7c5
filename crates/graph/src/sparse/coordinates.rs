//! The places of entries: host data, checked once, with a device copy of every column.

use std::sync::OnceLock;

use crate::error::{At, Result};
use crate::site::Site;
use crate::tensor::Tensor;
use crate::values::index_tensor;

/// Coordinates of entries in a dense shape; every one is in bounds.
pub(crate) struct Coordinates {
    shape: Vec<usize>,
    flat: Vec<i32>,
    ordered: bool,
    /// A place that stands twice.
    duplicate: Option<Vec<i32>>,
    /// Index leaves of the columns, made when they are asked for.
    columns: Vec<OnceLock<Tensor>>,
}

impl Coordinates {
    /// Checks that numbers are coordinates in a shape.
    pub(crate) fn checked(site: Site, flat: Vec<i32>, shape: Vec<usize>) -> Result<Coordinates> {
        site.expect(!shape.is_empty(), || {
            "expected a dense shape of at least one dimension, received []".to_owned()
        })?;
        for extent in &shape {
            site.index(*extent)?;
        }
        site.expect(flat.len().is_multiple_of(shape.len()), || {
            format!("expected {} coordinates for each entry, received {} numbers", shape.len(), flat.len())
        })?;
        let inside =
            |place: &[i32]| place.iter().zip(&shape).all(|(c, extent)| *c >= 0 && (*c as usize) < *extent);
        if let Some(entry) = flat.chunks_exact(shape.len()).position(|place| !inside(place)) {
            let place = &flat[entry * shape.len()..(entry + 1) * shape.len()];
            return Err(site.error(format!(
                "expected coordinates inside of {shape:?}, received {place:?} for entry {entry}"
            )));
        }
        Ok(Coordinates::good(flat, shape))
    }

    /// Coordinates that are known to be inside of their shape.
    pub(crate) fn good(flat: Vec<i32>, shape: Vec<usize>) -> Coordinates {
        let rank = shape.len();
        let places = || flat.chunks_exact(rank);
        let ordered = places().zip(places().skip(1)).all(|(a, b)| a <= b);
        let duplicate = if ordered {
            places().zip(places().skip(1)).find(|(a, b)| a == b).map(|(a, _)| a.to_vec())
        } else {
            let mut sorted: Vec<&[i32]> = places().collect();
            sorted.sort_unstable();
            sorted.windows(2).find(|pair| pair[0] == pair[1]).map(|pair| pair[0].to_vec())
        };
        let columns = (0..rank).map(|_| OnceLock::new()).collect();
        Coordinates { shape, flat, ordered, duplicate, columns }
    }

    /// What a tensor that carries an error has.
    pub(crate) fn none() -> Coordinates {
        Coordinates::good(vec![], vec![0])
    }

    pub(crate) fn shape(&self) -> &[usize] {
        &self.shape
    }

    pub(crate) fn flat(&self) -> &[i32] {
        &self.flat
    }

    pub(crate) fn count(&self) -> usize {
        self.flat.len() / self.shape.len()
    }

    pub(crate) fn ordered(&self) -> bool {
        self.ordered
    }

    pub(crate) fn duplicate(&self) -> Option<&[i32]> {
        self.duplicate.as_deref()
    }

    /// The places, entry by entry.
    pub(crate) fn places(&self) -> std::slice::ChunksExact<'_, i32> {
        self.flat.chunks_exact(self.shape.len())
    }

    /// One coordinate of every entry.
    pub(crate) fn column(&self, axis: usize) -> Vec<i32> {
        self.places().map(|place| place[axis]).collect()
    }

    /// One coordinate of every entry, as an index leaf that is made once.
    pub(crate) fn column_leaf(&self, axis: usize, at: At) -> Tensor {
        self.columns[axis].get_or_init(|| index_tensor(&self.column(axis), at)).clone()
    }

    /// The order of entries that makes their places ascend.
    pub(crate) fn order(&self) -> Vec<i32> {
        let mut order: Vec<i32> = (0..self.count() as i32).collect();
        let rank = self.shape.len();
        order.sort_by_key(|entry| {
            let from = *entry as usize * rank;
            &self.flat[from..from + rank]
        });
        order
    }

    /// The places of some entries.
    pub(crate) fn chosen(&self, entries: &[i32]) -> Coordinates {
        let rank = self.shape.len();
        let place = |entry: &i32| &self.flat[*entry as usize * rank..(*entry as usize + 1) * rank];
        Coordinates::good(entries.iter().flat_map(place).copied().collect(), self.shape.clone())
    }

    /// The row-major position of every entry among some of the axes, in their order.
    ///
    /// An error where the axes together have more places than an `int32` index counts.
    pub(crate) fn positions(&self, site: Site, axes: &[usize]) -> Result<Vec<i32>> {
        let extents: Vec<usize> = axes.iter().map(|axis| self.shape[*axis]).collect();
        site.index(site.count(&extents)?)?;
        let position = |place: &[i32]| {
            axes.iter().fold(0usize, |sum, axis| sum * self.shape[*axis] + place[*axis] as usize) as i32
        };
        Ok(self.places().map(position).collect())
    }
}
