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

use std::any::type_name;
use std::collections::{BTreeMap, HashMap};
use std::fmt::{Debug, Write as _};
use std::hash::{BuildHasher, Hash};

pub use loops::{fori_loop, scan, while_loop};

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

impl<T: Tree> Tree for Box<T> {
    fn leaves(&self, into: &mut Vec<Tensor>) {
        (**self).leaves(into);
    }

    fn describe(&self, text: &mut String) {
        (**self).describe(text);
    }

    fn rebuild(&self, leaves: &mut dyn Iterator<Item = Tensor>) -> Option<Box<T>> {
        (**self).rebuild(leaves).map(Box::new)
    }

    fn with_room(self, turns: usize, at: At) -> Box<T> {
        Box::new((*self).with_room(turns, at))
    }
}

/// What tells maps apart: the keys, and what is under each.
fn describe_map<'a, K: Debug + 'a, T: Tree + 'a>(
    entries: impl IntoIterator<Item = (&'a K, &'a T)>,
    text: &mut String,
) {
    text.push('{');
    for (key, item) in entries {
        let _ = write!(text, "{key:?}:");
        item.describe(text);
    }
    text.push('}');
}

impl<K: Ord + Clone + Debug, T: Tree> Tree for BTreeMap<K, T> {
    fn leaves(&self, into: &mut Vec<Tensor>) {
        self.values().for_each(|item| item.leaves(into));
    }

    fn describe(&self, text: &mut String) {
        describe_map(self, text);
    }

    fn rebuild(&self, leaves: &mut dyn Iterator<Item = Tensor>) -> Option<BTreeMap<K, T>> {
        self.iter().map(|(key, item)| Some((key.clone(), item.rebuild(leaves)?))).collect()
    }

    fn with_room(self, turns: usize, at: At) -> BTreeMap<K, T> {
        self.into_iter().map(|(key, item)| (key, item.with_room(turns, at))).collect()
    }
}

/// The entries of a hash map in the order of their keys.
fn sorted<K: Ord, T, S>(map: &HashMap<K, T, S>) -> BTreeMap<&K, &T> {
    map.iter().collect()
}

/// In the order of its keys, so that it is the same structure every time.
impl<K: Ord + Hash + Clone + Debug, T: Tree, S: BuildHasher + Default> Tree for HashMap<K, T, S> {
    fn leaves(&self, into: &mut Vec<Tensor>) {
        sorted(self).into_values().for_each(|item| item.leaves(into));
    }

    fn describe(&self, text: &mut String) {
        describe_map(sorted(self), text);
    }

    fn rebuild(&self, leaves: &mut dyn Iterator<Item = Tensor>) -> Option<HashMap<K, T, S>> {
        sorted(self).into_iter().map(|(key, item)| Some((key.clone(), item.rebuild(leaves)?))).collect()
    }

    fn with_room(self, turns: usize, at: At) -> HashMap<K, T, S> {
        self.into_iter().map(|(key, item)| (key, item.with_room(turns, at))).collect()
    }
}

/// A value that is not a tensor but a part of the structure, such as a mode: a function is traced for each. Types of yours
/// need `Clone` and a `Debug` that tells different values apart.
///
/// ```
/// use kiln_graph::tree::Static;
/// use kiln_graph::{Tensor, TreeFunction};
/// #[derive(Clone, Debug)]
/// enum Mode {
///     Double,
///     Negate,
/// }
/// let f = TreeFunction::new("f", |(x, mode): (Tensor, Static<Mode>)| {
///     Ok(match mode.0 {
///         Mode::Double => x * 2.0,
///         Mode::Negate => -x,
///     })
/// });
/// let x = Tensor::from_slice(&[1.0f32]);
/// assert_eq!(f.call(&(x.clone(), Static(Mode::Double)))?.item::<f32>()?, 2.0);
/// assert_eq!(f.call(&(x, Static(Mode::Negate)))?.item::<f32>()?, -1.0);
/// assert_eq!(f.trace_count(), 2);
/// # Ok::<(), kiln_graph::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Static<T>(pub T);

impl<T: Clone + Debug> Tree for Static<T> {
    fn leaves(&self, _: &mut Vec<Tensor>) {}

    fn describe(&self, text: &mut String) {
        // The quotes keep it apart from what stands beside it.
        let _ = write!(text, "<{} {:?}>", type_name::<T>(), format!("{:?}", self.0));
    }

    fn rebuild(&self, _: &mut dyn Iterator<Item = Tensor>) -> Option<Static<T>> {
        Some(self.clone())
    }
}

/// Plain values are parts of the structure, as in [`Static`].
macro_rules! plain {
    ($($type:ty),*) => { $(
        impl Tree for $type {
            fn leaves(&self, _: &mut Vec<Tensor>) {}

            fn describe(&self, text: &mut String) {
                let _ = write!(text, concat!("<", stringify!($type), " {:?}>"), self);
            }

            fn rebuild(&self, _: &mut dyn Iterator<Item = Tensor>) -> Option<$type> {
                Some(self.clone())
            }
        }
    )* };
}
plain!(bool, char, i8, i16, i32, i64, isize, u8, u16, u32, u64, usize, f32, f64, String, &'static str);

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
