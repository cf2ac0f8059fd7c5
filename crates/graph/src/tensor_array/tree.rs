//! Arrays of tensors as structures, for functions and loops.

use super::Elements::{Parts, Rows};
use super::TensorArray;
use crate::error::At;
use crate::tensor::Tensor;
use crate::tree::Tree;

impl Tree for TensorArray {
    fn leaves(&self, into: &mut Vec<Tensor>) {
        match &self.elements {
            Rows(elements, length) => into.extend(std::iter::once(elements).chain(length).cloned()),
            Parts(parts) => into.extend(parts.iter().cloned()),
        }
    }

    fn describe(&self, text: &mut String) {
        let kind = match &self.elements {
            Rows(_, None) => "array".to_owned(),
            Rows(_, Some(_)) => "growing array".to_owned(),
            Parts(parts) => format!("array of {} parts", parts.len()),
        };
        text.push_str(&kind);
    }

    fn rebuild(&self, leaves: &mut dyn Iterator<Item = Tensor>) -> Option<TensorArray> {
        let elements = match &self.elements {
            Rows(_, None) => Rows(leaves.next()?, None),
            Rows(_, Some(_)) => Rows(leaves.next()?, Some(leaves.next()?)),
            Parts(parts) => Parts(parts.iter().map(|_| leaves.next()).collect::<Option<_>>()?),
        };
        Some(TensorArray { elements, grows: self.grows })
    }

    fn with_room(self, turns: usize, at: At) -> TensorArray {
        match (&self.elements, self.grows) {
            (Rows(..), true) => self.reserved(turns, at),
            _ => self,
        }
    }
}
