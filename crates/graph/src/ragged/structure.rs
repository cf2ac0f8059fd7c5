//! A ragged tensor as an argument: its values are a tensor, its rows are structure.

use std::fmt::Write as _;

use super::{Nest, RaggedTensor};
use crate::tensor::Tensor;
use crate::tree::Tree;

/// The values are the tensor; what is computed of the rows is computed while a function is traced, so that there is one
/// trace for each division into rows.
impl Tree for RaggedTensor<Tensor> {
    fn leaves(&self, into: &mut Vec<Tensor>) {
        into.push(self.nest.flat.clone());
    }

    fn describe(&self, text: &mut String) {
        text.push_str("ragged");
        for partition in &self.nest.partitions {
            let _ = write!(text, "{:?}", partition.splits());
            if let Some(length) = partition.uniform_length() {
                let _ = write!(text, "×{length}");
            }
        }
        text.push('*');
    }

    fn rebuild(&self, leaves: &mut dyn Iterator<Item = Tensor>) -> Option<RaggedTensor<Tensor>> {
        let partitions = self.nest.partitions.clone();
        leaves.next().map(|flat| RaggedTensor { nest: Nest { partitions, flat } })
    }
}
