//! Values as nested lists.

use std::fmt;

use super::{Nest, RaggedTensor};
use crate::error::Result;
use crate::tensor::Element;
use crate::text::StringTensor;
use crate::values::Values;

/// A value, or a list of such: what `to_list` gives.
#[derive(Clone, Debug, PartialEq)]
pub enum NestedList<T> {
    /// A single value.
    Value(T),
    /// The items of an axis.
    List(Vec<NestedList<T>>),
}

impl<T: fmt::Debug> fmt::Display for NestedList<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NestedList::Value(value) => write!(f, "{value:?}"),
            NestedList::List(items) => {
                f.write_str("[")?;
                for (i, item) in items.iter().enumerate() {
                    if i > 0 {
                        f.write_str(", ")?;
                    }
                    item.fmt(f)?;
                }
                f.write_str("]")
            }
        }
    }
}

/// Elements in row-major order as lists of a shape.
fn dense_list<T: Clone>(elements: &[T], shape: &[usize]) -> NestedList<T> {
    match shape {
        [] => NestedList::Value(elements[0].clone()),
        [extent, rest @ ..] => {
            let width: usize = rest.iter().product();
            let item = |i: usize| dense_list(&elements[i * width..(i + 1) * width], rest);
            NestedList::List((0..*extent).map(item).collect())
        }
    }
}

fn lists<V: Values, T: Clone>(nest: &Nest<V>, elements: &[T]) -> NestedList<T> {
    let dims = nest.flat.dims();
    let mut items: Vec<NestedList<T>> = match dense_list(elements, dims) {
        NestedList::List(items) => items,
        value => vec![value],
    };
    for partition in nest.partitions.iter().rev() {
        let mut rest = items.into_iter();
        items = partition
            .lengths()
            .into_iter()
            .map(|length| NestedList::List(rest.by_ref().take(length as usize).collect()))
            .collect();
    }
    NestedList::List(items)
}

impl RaggedTensor {
    /// The values as nested lists, computed if need be.
    ///
    /// # Errors
    /// As [`crate::Tensor::to_vec`].
    #[track_caller]
    pub fn to_list<T: Element>(&self) -> Result<NestedList<T>> {
        let elements = self.flat_values().to_vec::<T>()?;
        Ok(lists(self.nest(), &elements))
    }

    /// The values of the outermost rows, each flat, computed if need be.
    ///
    /// # Errors
    /// As [`crate::Tensor::to_vec`].
    #[track_caller]
    pub fn to_rows<T: Element>(&self) -> Result<Vec<Vec<T>>> {
        let elements = self.flat_values().to_vec::<T>()?;
        Ok(flat_rows(self.nest(), &elements))
    }
}

impl RaggedTensor<StringTensor> {
    /// The strings as nested lists.
    ///
    /// # Errors
    /// The first error of what made the tensor.
    pub fn to_string_list(&self) -> Result<NestedList<String>> {
        Ok(lists(self.check()?.nest(), self.flat_values().elements()))
    }

    /// The strings of the outermost rows, each flat.
    ///
    /// # Errors
    /// The first error of what made the tensor.
    pub fn to_string_rows(&self) -> Result<Vec<Vec<String>>> {
        Ok(flat_rows(self.check()?.nest(), self.flat_values().elements()))
    }
}

fn flat_rows<V: Values, T: Clone>(nest: &Nest<V>, elements: &[T]) -> Vec<Vec<T>> {
    let width: usize = nest.flat.dims()[1..].iter().product();
    let Some((outer, inner)) = nest.partitions.split_first() else {
        return vec![];
    };
    let bound = |row: usize| {
        let start = outer.splits()[row];
        width * inner.iter().fold(start, |at, partition| partition.splits()[at as usize]) as usize
    };
    (0..outer.rows()).map(|row| elements[bound(row)..bound(row + 1)].to_vec()).collect()
}

impl fmt::Display for RaggedTensor {
    /// The values as nested lists, computed if need be. An error prints as its text.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use crate::DType;
        let text = match self.dtype() {
            DType::F32 => self.to_list::<f32>().map(|list| list.to_string()),
            DType::F64 => self.to_list::<f64>().map(|list| list.to_string()),
            DType::F16 => self.to_list::<half::f16>().map(|list| list.to_string()),
            DType::BF16 => self.to_list::<half::bf16>().map(|list| list.to_string()),
            DType::I32 => self.to_list::<i32>().map(|list| list.to_string()),
            DType::I64 => self.to_list::<i64>().map(|list| list.to_string()),
            DType::U32 => self.to_list::<u32>().map(|list| list.to_string()),
            DType::U8 => self.to_list::<u8>().map(|list| list.to_string()),
            DType::Bool => self.to_list::<bool>().map(|list| list.to_string()),
        };
        f.write_str(&text.unwrap_or_else(|error| error.to_string()))
    }
}

impl fmt::Display for RaggedTensor<StringTensor> {
    /// The strings as nested lists; an error prints as its text.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.to_string_list() {
            Ok(list) => list.fmt(f),
            Err(error) => write!(f, "{error}"),
        }
    }
}
