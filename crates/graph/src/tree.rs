//! Structures of tensors: what functions take and return beyond flat lists, in the manner of `keras.tree`.
//!
//! ```
//! use kiln_graph::{Tensor, tree};
//! let batch = (Tensor::zeros(&[2, 3]), vec![Tensor::ones(&[2])]);
//! assert_eq!(tree::flatten(&batch).len(), 2);
//! let doubled = tree::map_structure(&batch, |t| t * 2.0);
//! assert_eq!(doubled.1[0].to_vec::<f32>()?, [2.0, 2.0]);
//! # Ok::<(), kiln_graph::Error>(())
//! ```

mod loops;

use std::collections::BTreeMap;

pub use loops::{fori_loop, scan, while_loop};

use crate::error::{At, Error, Result};
use crate::tensor::{Tensor, here};

/// A type whose values are made of tensors: tensors themselves, tuples, vectors, arrays, options and maps of such, and
/// types of your own.
#[doc(alias("pytree", "nest"))]
pub trait Tree: Sized {
    /// Appends the tensors in their order.
    fn leaves(&self, into: &mut Vec<Tensor>);

    /// Appends what tells values of other structure apart: lengths, keys, and which options are there.
    fn describe(&self, text: &mut String);

    /// The same structure around other tensors, taken in order; `None` where they run out.
    fn rebuild(&self, leaves: &mut dyn Iterator<Item = Tensor>) -> Option<Self>;

    /// The same, where each [dynamic array](crate::TensorArray::dynamic) has room for one more element in every turn.
    #[doc(hidden)]
    fn with_room(self, _turns: usize, _at: At) -> Self {
        self
    }
}

impl Tree for Tensor {
    fn leaves(&self, into: &mut Vec<Tensor>) {
        into.push(self.clone());
    }

    fn describe(&self, text: &mut String) {
        text.push('*');
    }

    fn rebuild(&self, leaves: &mut dyn Iterator<Item = Tensor>) -> Option<Tensor> {
        leaves.next()
    }
}

impl Tree for () {
    fn leaves(&self, _: &mut Vec<Tensor>) {}

    fn describe(&self, text: &mut String) {
        text.push_str("()");
    }

    fn rebuild(&self, _: &mut dyn Iterator<Item = Tensor>) -> Option<()> {
        Some(())
    }
}

impl<T: Tree> Tree for Vec<T> {
    fn leaves(&self, into: &mut Vec<Tensor>) {
        self.iter().for_each(|item| item.leaves(into));
    }

    fn describe(&self, text: &mut String) {
        text.push('[');
        self.iter().for_each(|item| item.describe(text));
        text.push(']');
    }

    fn rebuild(&self, leaves: &mut dyn Iterator<Item = Tensor>) -> Option<Vec<T>> {
        self.iter().map(|item| item.rebuild(leaves)).collect()
    }

    fn with_room(self, turns: usize, at: At) -> Vec<T> {
        self.into_iter().map(|item| item.with_room(turns, at)).collect()
    }
}

impl<T: Tree, const N: usize> Tree for [T; N] {
    fn leaves(&self, into: &mut Vec<Tensor>) {
        self.iter().for_each(|item| item.leaves(into));
    }

    fn describe(&self, text: &mut String) {
        text.push('[');
        self.iter().for_each(|item| item.describe(text));
        text.push(']');
    }

    fn rebuild(&self, leaves: &mut dyn Iterator<Item = Tensor>) -> Option<[T; N]> {
        let items: Option<Vec<T>> = self.iter().map(|item| item.rebuild(leaves)).collect();
        items?.try_into().ok()
    }

    fn with_room(self, turns: usize, at: At) -> [T; N] {
        self.map(|item| item.with_room(turns, at))
    }
}

impl<T: Tree> Tree for Option<T> {
    fn leaves(&self, into: &mut Vec<Tensor>) {
        self.iter().for_each(|item| item.leaves(into));
    }

    fn describe(&self, text: &mut String) {
        match self {
            Some(item) => item.describe(text),
            None => text.push('-'),
        }
    }

    fn rebuild(&self, leaves: &mut dyn Iterator<Item = Tensor>) -> Option<Option<T>> {
        match self {
            Some(item) => item.rebuild(leaves).map(Some),
            None => Some(None),
        }
    }

    fn with_room(self, turns: usize, at: At) -> Option<T> {
        self.map(|item| item.with_room(turns, at))
    }
}

impl<T: Tree> Tree for BTreeMap<String, T> {
    fn leaves(&self, into: &mut Vec<Tensor>) {
        self.values().for_each(|item| item.leaves(into));
    }

    fn describe(&self, text: &mut String) {
        text.push('{');
        for (key, item) in self {
            text.push_str(&format!("{key:?}:"));
            item.describe(text);
        }
        text.push('}');
    }

    fn rebuild(&self, leaves: &mut dyn Iterator<Item = Tensor>) -> Option<BTreeMap<String, T>> {
        self.iter().map(|(key, item)| Some((key.clone(), item.rebuild(leaves)?))).collect()
    }

    fn with_room(self, turns: usize, at: At) -> BTreeMap<String, T> {
        self.into_iter().map(|(key, item)| (key, item.with_room(turns, at))).collect()
    }
}

macro_rules! tuple {
    ($($name:ident $index:tt),*) => {
        impl<$($name: Tree),*> Tree for ($($name,)*) {
            fn leaves(&self, into: &mut Vec<Tensor>) {
                $(self.$index.leaves(into);)*
            }

            fn describe(&self, text: &mut String) {
                text.push('(');
                $(self.$index.describe(text);)*
                text.push(')');
            }

            fn rebuild(&self, leaves: &mut dyn Iterator<Item = Tensor>) -> Option<Self> {
                Some(($(self.$index.rebuild(leaves)?,)*))
            }

            fn with_room(self, turns: usize, at: At) -> Self {
                ($(self.$index.with_room(turns, at),)*)
            }
        }
    };
}
tuple!(A 0);
tuple!(A 0, B 1);
tuple!(A 0, B 1, C 2);
tuple!(A 0, B 1, C 2, D 3);
tuple!(A 0, B 1, C 2, D 3, E 4);
tuple!(A 0, B 1, C 2, D 3, E 4, F 5);

/// The tensors of a structure, in order.
pub fn flatten(structure: &impl Tree) -> Vec<Tensor> {
    let mut leaves = vec![];
    structure.leaves(&mut leaves);
    leaves
}

/// The structure of `structure` around these tensors.
///
/// # Errors
/// Where their number differs.
#[track_caller]
pub fn pack_sequence_as<T: Tree>(structure: &T, tensors: &[Tensor]) -> Result<T> {
    let wanted = flatten(structure).len();
    let packed = structure.rebuild(&mut tensors.iter().cloned());
    packed.filter(|_| wanted == tensors.len()).ok_or_else(|| {
        let message = format!("the structure holds {wanted} tensors, received {}", tensors.len());
        Error::Operation { op: "pack_sequence_as", message, at: here() }
    })
}

/// The structure with every tensor replaced by what `f` makes of it.
#[doc(alias("tree_map", "map_nested"))]
pub fn map_structure<T: Tree>(structure: &T, f: impl Fn(&Tensor) -> Tensor) -> T {
    let mapped = flatten(structure);
    match structure.rebuild(&mut mapped.iter().map(f)) {
        Some(mapped) => mapped,
        None => unreachable!("a structure takes as many tensors as it has"),
    }
}

/// An error where two values of one type differ in structure (lengths, keys, absent options).
///
/// # Errors
/// As said.
#[track_caller]
pub fn assert_same_structure<T: Tree>(a: &T, b: &T) -> Result<()> {
    let [mut first, mut second] = [String::new(), String::new()];
    a.describe(&mut first);
    b.describe(&mut second);
    if first == second {
        return Ok(());
    }
    let message = format!("the structures {first} and {second} differ");
    Err(Error::Operation { op: "assert_same_structure", message, at: here() })
}
