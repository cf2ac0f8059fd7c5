//! Rows within rows, down to flat values: what ragged tensors and dense ones have in common.

use std::sync::Arc;

use super::Partition;
use crate::error::Result;
use crate::site::Site;
use crate::values::Values;

/// Flat values under partitions, the outermost first. Without any partition, a dense tensor of rank 1 or more.
#[derive(Clone)]
pub(crate) struct Nest<V> {
    pub(crate) partitions: Vec<Arc<Partition>>,
    pub(crate) flat: V,
}

impl<V: Values> Nest<V> {
    /// Dense values.
    pub(crate) fn dense(flat: V) -> Nest<V> {
        Nest { partitions: vec![], flat }
    }

    /// The number of items along the first axis.
    pub(crate) fn rows(&self) -> usize {
        self.partitions.first().map_or_else(|| self.flat.dims()[0], |partition| partition.rows())
    }

    /// The number of axes.
    pub(crate) fn rank(&self) -> usize {
        self.partitions.len() + self.flat.dims().len()
    }

    /// The outermost partition and what it divides; `None` where there is none.
    pub(crate) fn opened(&self) -> Option<(&Arc<Partition>, Nest<V>)> {
        let (first, rest) = self.partitions.split_first()?;
        Some((first, Nest { partitions: rest.to_vec(), flat: self.flat.clone() }))
    }

    /// These items divided into rows.
    pub(crate) fn divided(mut self, partition: impl Into<Arc<Partition>>) -> Nest<V> {
        self.partitions.insert(0, partition.into());
        self
    }

    /// Items of the first axis that indices, known to be in range, name.
    pub(crate) fn pick(&self, rows: &[i32], site: Site) -> Result<Nest<V>> {
        let Some((partition, inner)) = self.opened() else {
            return Ok(Nest::dense(self.flat.pick(rows, site.at)));
        };
        let lengths = rows.iter().map(|row| partition.length(*row as usize));
        let picked = Partition::of_lengths(site, lengths)?.promised(partition.uniform_length());
        let items: Vec<i32> = rows.iter().flat_map(|row| partition.row(*row as usize)).collect();
        Ok(inner.pick(&items, site)?.divided(picked))
    }

    /// The same values with at least so many partitions: uniform inner axes become rows.
    pub(crate) fn with_partitions(&self, count: usize, site: Site) -> Result<Nest<V>> {
        let mut nest = self.clone();
        while nest.partitions.len() < count {
            let dims = nest.flat.dims().to_vec();
            let [rows, length, rest @ ..] = &dims[..] else {
                return Err(site.error(format!(
                    "expected rank {} or more, received {}",
                    count + 1,
                    nest.rank()
                )));
            };
            nest.partitions.push(Arc::new(Partition::uniform(site, *rows, *length)?));
            let merged = [&[site.count(&[*rows, *length])?], rest].concat();
            nest.flat = nest.flat.reshaped(merged, site.at);
        }
        Ok(nest)
    }

    /// Items behind one another along the first axis.
    pub(crate) fn joined_rows(parts: &[Nest<V>], site: Site) -> Result<Nest<V>> {
        let depth = parts.iter().map(|part| part.partitions.len()).max().unwrap_or(0);
        let parts = parts.iter().map(|p| p.with_partitions(depth, site)).collect::<Result<Vec<_>>>()?;
        let flats: Vec<V> = parts.iter().map(|part| part.flat.clone()).collect();
        let flat = V::joined(&flats, 0, site.op, site.at)?;
        let level = |level: usize| -> Result<Arc<Partition>> {
            let of = |part: &Nest<V>| part.partitions[level].clone();
            let all: Vec<Arc<Partition>> = parts.iter().map(of).collect();
            let uniform = all[0].uniform_length();
            let same = all.iter().all(|p| p.uniform_length() == uniform);
            let lengths = all.iter().flat_map(|p| p.lengths()).map(|length| length as usize);
            Ok(Partition::of_lengths(site, lengths)?.promised(uniform.filter(|_| same)).into())
        };
        Ok(Nest { partitions: (0..depth).map(level).collect::<Result<_>>()?, flat })
    }

    /// Items behind one another along any axis.
    pub(crate) fn joined(parts: &[Nest<V>], axis: usize, site: Site) -> Result<Nest<V>> {
        if let [one] = parts {
            return Ok(one.clone());
        }
        if axis == 0 {
            return Nest::joined_rows(parts, site);
        }
        if parts.iter().all(|part| part.partitions.is_empty()) {
            let flats: Vec<V> = parts.iter().map(|part| part.flat.clone()).collect();
            return Ok(Nest::dense(V::joined(&flats, axis, site.op, site.at)?));
        }
        let parts = parts.iter().map(|part| part.with_partitions(1, site)).collect::<Result<Vec<_>>>()?;
        let rows = parts[0].rows();
        site.expect(parts.iter().all(|part| part.rows() == rows), || {
            let rows: Vec<usize> = parts.iter().map(Nest::rows).collect();
            format!("expected equally many rows outside of the axis, received {rows:?}")
        })?;
        let opened: Vec<_> = parts.iter().filter_map(Nest::opened).collect();
        if axis > 1 {
            let same = opened.iter().all(|(partition, _)| partition.splits() == opened[0].0.splits());
            site.expect(same, || {
                "expected rows of equal lengths outside of the axis, received different ones".to_owned()
            })?;
            let inner: Vec<Nest<V>> = opened.iter().map(|(_, inner)| inner.clone()).collect();
            return Ok(Nest::joined(&inner, axis - 1, site)?.divided(opened[0].0.clone()));
        }
        // Rows of all parts behind one another, taken in turn: row 0 of each, row 1 of each, …
        let all = Nest::joined_rows(&parts, site)?;
        let turns = (0..rows).flat_map(|row| (0..parts.len()).map(move |part| (part * rows + row) as i32));
        let (turned, inner) = all
            .pick(&turns.collect::<Vec<_>>(), site)?
            .opened()
            .map(|(p, inner)| (p.clone(), inner))
            .ok_or_else(|| site.error("rows without a partition"))?;
        let merged: Vec<i32> = turned.splits().iter().step_by(parts.len()).copied().collect();
        let lengths = opened.iter().map(|(p, _)| p.uniform_length()).sum::<Option<usize>>();
        Ok(inner.divided(Partition::of_splits(site, merged, turned.items())?.promised(lengths)))
    }

    /// A new axis of extent 1.
    pub(crate) fn expanded(&self, axis: usize, site: Site) -> Result<Nest<V>> {
        if self.partitions.is_empty() {
            let mut shape = self.flat.dims().to_vec();
            shape.insert(axis, 1);
            return Ok(Nest::dense(self.flat.reshaped(shape, site.at)));
        }
        if axis == 0 {
            let whole = Partition::uniform(site, 1, self.rows())?;
            return Ok(self.clone().divided(whole));
        }
        match self.opened() {
            Some((partition, inner)) if axis > 1 => {
                Ok(inner.expanded(axis - 1, site)?.divided(partition.clone()))
            }
            _ => Ok(self.clone().divided(Partition::uniform(site, self.rows(), 1)?)),
        }
    }
}
