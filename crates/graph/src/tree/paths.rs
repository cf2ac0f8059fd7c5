//! Where in a structure its tensors are.

use std::fmt::Debug;

use super::{Tree, flatten};
use crate::error::{Error, Result};
use crate::tensor::{Tensor, here};

/// The tensors of a structure in order, each with its path: indices and keys, from the outside in.
///
/// ```
/// use std::collections::BTreeMap;
/// use kiln_graph::{Tensor, tree};
/// let x = BTreeMap::from([("a", (Tensor::ones(&[1]), Tensor::ones(&[2])))]);
/// let paths: Vec<String> = tree::flatten_with_path(&x).iter().map(|(path, _)| path.join("/")).collect();
/// assert_eq!(paths, ["a/0", "a/1"]);
/// ```
pub fn flatten_with_path(structure: &impl Tree) -> Vec<(Vec<String>, Tensor)> {
    paths(structure).into_iter().zip(flatten(structure)).collect()
}

/// An error where the paths of the tensors of two structures, of any types, differ.
///
/// # Errors
/// As said.
#[track_caller]
pub fn assert_same_paths(a: &impl Tree, b: &impl Tree) -> Result<()> {
    let [first, second] = [paths(a), paths(b)];
    if first == second {
        return Ok(());
    }
    let listed = |paths: Vec<Vec<String>>| paths.iter().map(|p| p.join("/")).collect::<Vec<_>>().join(", ");
    let message = format!("the paths [{}] and [{}] differ", listed(first), listed(second));
    Err(Error::Operation { op: "assert_same_paths", message, at: here() })
}

fn paths(structure: &impl Tree) -> Vec<Vec<String>> {
    let mut all = vec![];
    structure.paths(&[], &mut all);
    all
}

/// The paths of items under keys.
pub(super) fn of_items<'a, K: Debug, T: Tree + 'a>(
    items: impl IntoIterator<Item = (K, &'a T)>,
    to: &[String],
    into: &mut Vec<Vec<String>>,
) {
    for (key, item) in items {
        let text = format!("{key:?}");
        // A text as key stands without its quotes.
        let text = text.strip_prefix('"').and_then(|t| t.strip_suffix('"')).unwrap_or(&text).to_owned();
        item.paths(&[to, &[text]].concat(), into);
    }
}
