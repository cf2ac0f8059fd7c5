//! Structures of tensors: what functions take and return beyond flat lists, in the manner of `keras.tree`.
//!
//! Of its functions those that ask for types (`is_nested`, `lists_to_tuples`, `map_shape_structure`, `map_structure_up_to`,
//! `traverse`) have no counterpart: here the type of a structure is known.
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
mod paths;
mod values;

pub use loops::{fori_loop, scan, while_loop};
pub use paths::{assert_same_paths, flatten_with_path};
pub use values::Static;

use crate::error::{At, Error, Result};
use crate::tensor::{Tensor, here};

/// A type whose values are made of tensors: tensors themselves, tuples, vectors, arrays, options and maps of such, and
/// types of your own. Numbers, flags and texts in it are no tensors but parts of the structure, see [`Static`].
#[doc(alias("pytree", "nest"))]
pub trait Tree: Sized {
    /// Appends the tensors in their order.
    fn leaves(&self, into: &mut Vec<Tensor>);

    /// Appends what tells values of other structure apart: lengths, keys, and which options are there.
    fn describe(&self, text: &mut String);

    /// The same structure around other tensors, taken in order; `None` where they run out.
    fn rebuild(&self, leaves: &mut dyn Iterator<Item = Tensor>) -> Option<Self>;

    /// Appends the path of every tensor: `to` and what leads there from here, by default the tensor's number.
    fn paths(&self, to: &[String], into: &mut Vec<Vec<String>>) {
        let count = flatten(self).len();
        into.extend((0..count).map(|n| [to, &[n.to_string()]].concat()));
    }

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

    fn paths(&self, to: &[String], into: &mut Vec<Vec<String>>) {
        into.push(to.to_vec());
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

    fn paths(&self, to: &[String], into: &mut Vec<Vec<String>>) {
        paths::of_items(self.iter().enumerate(), to, into);
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

    fn paths(&self, to: &[String], into: &mut Vec<Vec<String>>) {
        paths::of_items(self.iter().enumerate(), to, into);
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

    fn paths(&self, to: &[String], into: &mut Vec<Vec<String>>) {
        self.iter().for_each(|item| item.paths(to, into));
    }

    fn with_room(self, turns: usize, at: At) -> Option<T> {
        self.map(|item| item.with_room(turns, at))
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

            fn paths(&self, to: &[String], into: &mut Vec<Vec<String>>) {
                $(self.$index.paths(&[to, &[stringify!($index).to_owned()]].concat(), into);)*
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
tuple!(A 0, B 1, C 2, D 3, E 4, F 5, G 6);
tuple!(A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7);

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

/// The structure with every tensor replaced by what `f` makes of the tensors that stand there in all of `structures`;
/// `keras.tree.map_structure` of several.
///
/// ```
/// use kiln_graph::{Tensor, tree};
/// let (a, b) = (vec![Tensor::scalar(1.0f32)], vec![Tensor::scalar(2.0f32)]);
/// let sums = tree::map_structures(&[&a, &b], |t| &t[0] + &t[1])?;
/// assert_eq!(sums[0].item::<f32>()?, 3.0);
/// # Ok::<(), kiln_graph::Error>(())
/// ```
///
/// # Errors
/// Where there is none, or they differ in structure.
#[track_caller]
pub fn map_structures<T: Tree>(structures: &[&T], f: impl Fn(&[Tensor]) -> Tensor) -> Result<T> {
    let Some((first, rest)) = structures.split_first() else {
        let message = "expected at least one structure, received none".to_owned();
        return Err(Error::Operation { op: "map_structures", message, at: here() });
    };
    for other in rest {
        assert_same_structure(*first, *other)?;
    }
    let all: Vec<Vec<Tensor>> = structures.iter().map(|s| flatten(*s)).collect();
    let beside = |n: usize| all.iter().map(|tensors| tensors[n].clone()).collect::<Vec<_>>();
    let mapped: Vec<Tensor> = (0..all[0].len()).map(|n| f(&beside(n))).collect();
    pack_sequence_as(*first, &mapped)
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
