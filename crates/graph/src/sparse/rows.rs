//! Slices of the first axis.

use std::ops::Range;

use super::{Coordinates, SparseTensor};
use crate::shape::resolve_axis;
use crate::site::Site;
use crate::tensor::Tensor;
use crate::values::Values;

impl<V: Values> SparseTensor<V> {
    /// One slice of the first axis, without that axis; negative counts from the end. The rank must be at least 2.
    #[track_caller]
    pub fn row(&self, row: i64) -> SparseTensor<V> {
        let site = Site::new("sparse.row");
        site.settle(|| {
            self.check()?;
            let resolved = resolve_axis(row, self.shape()[0]).filter(|_| self.rank() >= 2);
            let row = resolved.ok_or_else(|| {
                let what = format!("row {row} of shape {:?} is not there", self.shape());
                site.error(format!("{what}; expected rank 2 or more and a row in range"))
            })?;
            let mut entries = vec![];
            let mut flat = vec![];
            for (entry, place) in self.places.places().enumerate().filter(|(_, p)| p[0] as usize == row) {
                entries.push(entry as i32);
                flat.extend_from_slice(&place[1..]);
            }
            let places = Coordinates::good(flat, self.shape()[1..].to_vec());
            SparseTensor::with_places(site, places.into(), self.values.pick(&entries, site.at))
        })
    }

    /// The slices `rows` of the first axis.
    #[track_caller]
    pub fn slice_rows(&self, rows: Range<usize>) -> SparseTensor<V> {
        let site = Site::new("sparse.slice_rows");
        site.settle(|| {
            self.check()?;
            let count = self.shape()[0];
            site.expect(rows.start <= rows.end && rows.end <= count, || {
                format!("expected rows within 0..{count}, received {rows:?}")
            })?;
            let named: Vec<i32> = rows.map(|row| site.index(row)).collect::<Result<_, _>>()?;
            self.rows_of(site, &named)
        })
    }

    /// Slices of the first axis that indices name, which may repeat; entries stand in order of the indices.
    #[track_caller]
    pub fn gather_rows(&self, rows: &[i32]) -> SparseTensor<V> {
        let site = Site::new("sparse.gather_rows");
        site.settle(|| {
            self.check()?;
            let count = self.shape()[0];
            if let Some(row) = rows.iter().find(|row| **row < 0 || **row as usize >= count) {
                return Err(site.error(format!("expected rows within 0..{count}, received {row}")));
            }
            self.rows_of(site, rows)
        })
    }

    fn rows_of(&self, site: Site, rows: &[i32]) -> crate::Result<SparseTensor<V>> {
        let mut by_row: Vec<Vec<i32>> = vec![vec![]; rows.len()];
        let mut wanted: std::collections::HashMap<i32, Vec<usize>> = std::collections::HashMap::new();
        for (target, row) in rows.iter().enumerate() {
            wanted.entry(*row).or_default().push(target);
        }
        for (entry, place) in self.places.places().enumerate() {
            for target in wanted.get(&place[0]).into_iter().flatten() {
                by_row[*target].push(entry as i32);
            }
        }
        let mut flat = vec![];
        for (target, entries) in by_row.iter().enumerate() {
            for entry in entries {
                flat.push(target as i32);
                let from = *entry as usize * self.rank();
                flat.extend_from_slice(&self.indices()[from + 1..from + self.rank()]);
            }
        }
        let shape = [&[rows.len()], &self.shape()[1..]].concat();
        let values = self.values.pick(&by_row.concat(), site.at);
        SparseTensor::with_places(site, Coordinates::good(flat, shape).into(), values)
    }

    /// Without the entries whose first coordinate is one of `masked`; the shape stays.
    #[track_caller]
    pub fn mask(&self, masked: &[i32]) -> SparseTensor<V> {
        let site = Site::new("sparse.mask");
        site.settle(|| {
            self.check()?;
            let masked: std::collections::HashSet<i32> = masked.iter().copied().collect();
            let kept = self.places.places().enumerate().filter(|(_, place)| !masked.contains(&place[0]));
            let kept: Vec<i32> = kept.map(|(entry, _)| entry as i32).collect();
            Ok(self.chosen(&kept, site))
        })
    }

    /// Every row of the first axis without an entry gets `default` at its start, and the `bool` tensor says which rows
    /// these were. The result stands in row-major order.
    #[track_caller]
    pub fn fill_empty_rows(&self, default: impl Into<V>) -> (SparseTensor<V>, Tensor) {
        let site = Site::new("sparse.fill_empty_rows");
        site.settle(|| {
            self.check()?;
            let rows = self.shape()[0];
            let mut empty = vec![true; rows];
            self.places.places().for_each(|place| empty[place[0] as usize] = false);
            let missing: Vec<i32> = (0..rows as i32).filter(|row| empty[*row as usize]).collect();
            site.expect(self.shape()[1..].iter().all(|extent| *extent > 0) || missing.is_empty(), || {
                format!("rows of shape {:?} have no place for a default", self.shape())
            })?;
            let default = default.into();
            let one = site.count(default.dims())?;
            site.expect(default.fault().is_none() && one == 1, || {
                format!("expected a scalar default, received shape {:?}", default.dims())
            })?;
            let (entries, count) = (self.entries(), self.entries() + missing.len());
            let flat = missing
                .iter()
                .flat_map(|row| std::iter::once(*row).chain(std::iter::repeat_n(0, self.rank() - 1)));
            let flat: Vec<i32> = self.indices().iter().copied().chain(flat).collect();
            let stored: Vec<i32> = (0..entries as i32).collect();
            let scalar = default.reshaped(vec![], site.at);
            let values = self.values.placed(count, &stored, &scalar, site.op, site.at)?;
            let places = Coordinates::good(flat, self.shape().to_vec());
            let filled = SparseTensor::with_places(site, places.into(), values)?.in_order(site);
            Ok((filled, Tensor::from_slice(&empty)))
        })
    }
}
