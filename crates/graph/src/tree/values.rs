//! Maps, boxes, and what is not a tensor in a structure.

use std::any::type_name;
use std::collections::{BTreeMap, HashMap};
use std::fmt::{Debug, Write as _};
use std::hash::{BuildHasher, Hash};

use super::Tree;
use super::paths::of_items;
use crate::error::At;
use crate::tensor::Tensor;

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

    fn paths(&self, to: &[String], into: &mut Vec<Vec<String>>) {
        (**self).paths(to, into);
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

    fn paths(&self, to: &[String], into: &mut Vec<Vec<String>>) {
        of_items(self, to, into);
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

    fn paths(&self, to: &[String], into: &mut Vec<Vec<String>>) {
        of_items(sorted(self), to, into);
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
