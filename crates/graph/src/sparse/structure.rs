//! A sparse tensor as an argument: its values are a tensor, its places are structure.

use std::fmt::Write as _;

use super::SparseTensor;
use crate::tensor::Tensor;
use crate::tree::Tree;

/// The values are the tensor; what is computed of the places is computed while a function is traced, so that there is one
/// trace for each set of places.
impl Tree for SparseTensor<Tensor> {
    fn leaves(&self, into: &mut Vec<Tensor>) {
        into.push(self.values.clone());
    }

    fn describe(&self, text: &mut String) {
        let _ = write!(text, "sparse{:?}{:?}*", self.dense_shape(), self.indices());
    }

    fn rebuild(&self, leaves: &mut dyn Iterator<Item = Tensor>) -> Option<SparseTensor<Tensor>> {
        leaves.next().map(|values| SparseTensor { places: self.places.clone(), values })
    }
}
