//! Samples in host memory, and batches cut from them.

use std::collections::BTreeMap;

use kiln_graph::{DType, Element, Tensor, random_key};

use crate::error::{Error, Result};

/// An array in host memory that batches of rows are taken from.
struct Column<T> {
    source: Vec<T>,
    /// Where rows that do not stand behind one another are put together; kept from batch to batch.
    staging: Vec<T>,
}

impl<T: Element> Column<T> {
    fn new(source: Vec<T>) -> Column<T> {
        Column { source, staging: vec![] }
    }

    fn batch(&mut self, rows: &[usize], width: usize, shape: &[usize]) -> Tensor {
        let first = rows.first().copied().unwrap_or(0);
        if rows.iter().enumerate().all(|(i, row)| *row == first + i) {
            return Tensor::from_vec(&self.source[first * width..(first + rows.len()) * width], shape);
        }
        self.staging.clear();
        for row in rows {
            self.staging.extend_from_slice(&self.source[row * width..(row + 1) * width]);
        }
        Tensor::from_vec(&self.staging, shape)
    }
}

enum Columns {
    F32(Column<f32>),
    F64(Column<f64>),
    I32(Column<i32>),
    I64(Column<i64>),
    U32(Column<u32>),
    U8(Column<u8>),
    Bool(Column<bool>),
}

/// An array `[n, ..]` of samples.
pub(crate) struct Array {
    columns: Columns,
    shape: Vec<usize>,
    dtype: DType,
}

impl Array {
    /// The elements of a tensor.
    pub(crate) fn new(what: &str, name: &str, tensor: &Tensor) -> Result<Array> {
        let shape = tensor.check()?.shape().to_vec();
        if shape.first().is_none_or(|n| *n == 0) {
            let message = format!(
                "expected at least one sample along the first axis of {name}, received shape {shape:?}"
            );
            return Err(Error::invalid(what, message));
        }
        let columns = match tensor.dtype() {
            DType::F32 => Columns::F32(Column::new(tensor.to_vec()?)),
            DType::F64 => Columns::F64(Column::new(tensor.to_vec()?)),
            DType::I32 => Columns::I32(Column::new(tensor.to_vec()?)),
            DType::I64 => Columns::I64(Column::new(tensor.to_vec()?)),
            DType::U32 => Columns::U32(Column::new(tensor.to_vec()?)),
            DType::U8 => Columns::U8(Column::new(tensor.to_vec()?)),
            DType::Bool => Columns::Bool(Column::new(tensor.to_vec()?)),
            // Batches of narrow floats are narrowed again on the device.
            DType::F16 | DType::BF16 => Columns::F32(Column::new(tensor.cast(DType::F32).to_vec()?)),
        };
        Ok(Array { columns, shape, dtype: tensor.dtype() })
    }

    /// The number of samples.
    pub(crate) fn rows(&self) -> usize {
        self.shape[0]
    }

    /// Rows, in the order given.
    pub(crate) fn batch(&mut self, rows: &[usize]) -> Tensor {
        let width: usize = self.shape[1..].iter().product();
        let shape = [&[rows.len()], &self.shape[1..]].concat();
        match &mut self.columns {
            Columns::F32(c) => c.batch(rows, width, &shape).cast(self.dtype),
            Columns::F64(c) => c.batch(rows, width, &shape),
            Columns::I32(c) => c.batch(rows, width, &shape),
            Columns::I64(c) => c.batch(rows, width, &shape),
            Columns::U32(c) => c.batch(rows, width, &shape),
            Columns::U8(c) => c.batch(rows, width, &shape),
            Columns::Bool(c) => c.batch(rows, width, &shape),
        }
    }

    /// All elements as numbers.
    fn numbers(&self) -> Vec<f64> {
        match &self.columns {
            Columns::F32(c) => c.source.iter().map(|v| f64::from(*v)).collect(),
            Columns::F64(c) => c.source.clone(),
            Columns::I32(c) => c.source.iter().map(|v| f64::from(*v)).collect(),
            Columns::I64(c) => c.source.iter().map(|v| *v as f64).collect(),
            Columns::U32(c) => c.source.iter().map(|v| f64::from(*v)).collect(),
            Columns::U8(c) => c.source.iter().map(|v| f64::from(*v)).collect(),
            Columns::Bool(c) => c.source.iter().map(|v| f64::from(u8::from(*v))).collect(),
        }
    }

    /// The class of each sample: the label itself, or the place of the largest of a one-hot label.
    fn classes(&self) -> Vec<i64> {
        let width: usize = self.shape[1..].iter().product();
        let largest = |row: &[f64]| {
            let best = row
                .iter()
                .enumerate()
                .fold((0, f64::NEG_INFINITY), |best, (i, v)| if *v > best.1 { (i, *v) } else { best });
            best.0 as i64
        };
        let class = |row: &[f64]| if let [label] = row { *label as i64 } else { largest(row) };
        self.numbers().chunks(width.max(1)).map(class).collect()
    }
}

/// Samples: inputs, labels, and possibly a weight for each.
pub(crate) struct Samples {
    pub(crate) x: Array,
    pub(crate) y: Array,
    weight: Option<Array>,
}

impl Samples {
    /// Samples along the first axis of all.
    pub(crate) fn new(what: &str, x: &Tensor, y: &Tensor, weight: Option<&Tensor>) -> Result<Samples> {
        let weight = weight.map(|w| Array::new(what, "sample_weight", w)).transpose()?;
        let samples = Samples { x: Array::new(what, "x", x)?, y: Array::new(what, "y", y)?, weight };
        let rows = samples.x.rows();
        let others = [("y", Some(&samples.y)), ("sample_weight", samples.weight.as_ref())];
        for (name, array) in others.into_iter().filter_map(|(name, array)| Some((name, array?))) {
            if array.rows() != rows {
                let message = format!(
                    "expected as many samples in {name} as in x, received {} and {rows} (x {:?}, {name} {:?})",
                    array.rows(),
                    samples.x.shape,
                    array.shape
                );
                return Err(Error::invalid(what, message));
            }
        }
        Ok(samples)
    }

    /// Weights each sample by its class; a class without a weight has 1.
    pub(crate) fn weigh_classes(&mut self, what: &str, weights: &BTreeMap<i64, f64>) -> Result<()> {
        if self.weight.is_some() {
            return Err(Error::invalid(
                what,
                "class_weight and sample_weight cannot be given together; multiply them",
            ));
        }
        let classes = self.y.classes();
        let values: Vec<f32> = classes.iter().map(|c| weights.get(c).map_or(1.0, |w| *w as f32)).collect();
        self.weight = Some(Array::new(what, "class_weight", &Tensor::from_slice(&values))?);
        Ok(())
    }

    /// The number of samples.
    pub(crate) fn rows(&self) -> usize {
        self.x.rows()
    }

    /// The arguments of a step: inputs, labels, and weights where there are any.
    pub(crate) fn batch(&mut self, rows: &[usize]) -> Vec<Tensor> {
        let weight = self.weight.as_mut().map(|w| w.batch(rows));
        [self.x.batch(rows), self.y.batch(rows)].into_iter().chain(weight).collect()
    }
}

/// Rows in a random order that seed and epoch decide.
pub(crate) fn shuffle(rows: &mut [usize], seed: u64, epoch: usize) {
    let [low, high] = random_key(seed, epoch as u64);
    let stream = u64::from(low) | u64::from(high) << 32;
    for i in (1..rows.len()).rev() {
        let [low, high] = random_key(stream, i as u64);
        let bits = u64::from(low) | u64::from(high) << 32;
        // The high half of the product is uniform in 0..=i, to within 2⁻⁴⁰ for 2²⁴ rows.
        let chosen = (u128::from(bits) * (i as u128 + 1)) >> 64;
        rows.swap(i, chosen as usize);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shuffle_is_a_permutation_that_seed_and_epoch_decide() {
        let shuffled = |seed, epoch| {
            let mut rows: Vec<usize> = (0..100).collect();
            shuffle(&mut rows, seed, epoch);
            rows
        };
        let first = shuffled(1, 0);
        let mut sorted = first.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, (0..100).collect::<Vec<_>>());
        assert_eq!(first, shuffled(1, 0));
        assert_ne!(first, shuffled(1, 1));
        assert_ne!(first, shuffled(2, 0));
    }

    #[test]
    fn batches_have_the_rows_asked_for() {
        let x = Tensor::from_vec([0i32, 1, 2, 3, 4, 5], &[3, 2]);
        let mut array = Array::new("fit", "x", &x).expect("an array");
        assert_eq!(array.batch(&[1, 2]).to_vec::<i32>().expect("rows"), [2, 3, 4, 5]);
        assert_eq!(array.batch(&[2, 0]).to_vec::<i32>().expect("rows"), [4, 5, 0, 1]);
        assert_eq!(array.batch(&[2]).shape(), [1, 2]);
    }

    #[test]
    fn samples_that_do_not_fit_say_so() {
        let (x, y) = (Tensor::from_slice(&[1.0f32, 2.0]), Tensor::from_slice(&[1i32]));
        let error = Samples::new("fit", &x, &y, None).err().expect("lengths differ").to_string();
        assert!(error.contains("as many samples in y as in x"), "{error}");
        let none = Tensor::from_vec([0.0f32; 0], &[0, 3]);
        let error = Samples::new("fit", &none, &y, None).err().expect("empty").to_string();
        assert!(error.contains("at least one sample"), "{error}");
    }

    #[test]
    fn classes_weigh_samples() {
        let x = Tensor::from_slice(&[1.0f32, 2.0]);
        let one_hot = Tensor::from_vec([0.0f32, 1.0, 1.0, 0.0], &[2, 2]);
        let mut samples = Samples::new("fit", &x, &one_hot, None).expect("samples");
        samples.weigh_classes("fit", &[(1, 3.0)].into()).expect("weights");
        assert_eq!(samples.batch(&[0, 1])[2].to_vec::<f32>().expect("weights"), [3.0, 1.0]);
        assert!(samples.weigh_classes("fit", &BTreeMap::new()).is_err());
    }
}
