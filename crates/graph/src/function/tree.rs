//! Functions of structured arguments and results.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::FunctionCache;
use crate::error::Result;
use crate::tensor::Tensor;
use crate::tree::{self, Tree};

type Body<I, O> = dyn Fn(I) -> Result<O> + Send + Sync;

/// A [`crate::Function`] whose argument and result are structures of tensors (see [`crate::tree`]): traced once for every
/// structure and signature.
///
/// ```
/// use std::collections::BTreeMap;
/// use kiln_graph::{Tensor, TreeFunction};
/// let stats = TreeFunction::new("stats", |(x, scale): (Tensor, Option<Tensor>)| {
///     let x = scale.map_or(x.clone(), |s| &x * s);
///     Ok(BTreeMap::from([("mean".to_owned(), x.mean(())), ("max".to_owned(), x.max(()))]))
/// });
/// let x = Tensor::from_slice(&[1.0f32, 3.0]);
/// assert_eq!(stats.call(&(x.clone(), None))?["mean"].item::<f32>()?, 2.0);
/// assert_eq!(stats.call(&(x, Some(Tensor::scalar(2.0f32))))?["max"].item::<f32>()?, 6.0);
/// assert_eq!(stats.trace_count(), 2);
/// # Ok::<(), kiln_graph::Error>(())
/// ```
#[doc(alias = "tf.function")]
pub struct TreeFunction<I, O> {
    name: String,
    body: Box<Body<I, O>>,
    structures: Mutex<HashMap<String, Arc<OfStructure<O>>>>,
}

/// The programs of one structure of the argument.
struct OfStructure<O> {
    cache: FunctionCache,
    /// The structure of the result around tensors of no meaning; set by the first trace.
    result: Mutex<Option<O>>,
}

impl<I: Tree, O: Tree> TreeFunction<I, O> {
    /// A function of a closure; nothing is traced yet.
    pub fn new(
        name: impl Into<String>,
        body: impl Fn(I) -> Result<O> + Send + Sync + 'static,
    ) -> TreeFunction<I, O> {
        TreeFunction { name: name.into(), body: Box::new(body), structures: Mutex::default() }
    }

    /// Runs it: traces and compiles at the first call of a structure and signature, replays after. The structure of the
    /// result may depend on that of the argument, not on shapes.
    ///
    /// # Errors
    /// As [`crate::Function::call`].
    #[track_caller]
    pub fn call(&self, argument: &I) -> Result<O> {
        let mut text = String::new();
        argument.describe(&mut text);
        let programs = {
            let mut structures = self.structures.lock().unwrap_or_else(PoisonError::into_inner);
            let new =
                || Arc::new(OfStructure { cache: FunctionCache::new(&*self.name), result: Mutex::default() });
            structures.entry(text).or_insert_with(new).clone()
        };
        let result = || programs.result.lock().unwrap_or_else(PoisonError::into_inner);
        let outputs = programs.cache.call(&tree::flatten(argument), &|leaves| {
            let returned = (self.body)(tree::pack_sequence_as(argument, leaves)?)?;
            let mut known = result();
            match &*known {
                Some(known) => tree::assert_same_structure(known, &returned)?,
                None => *known = Some(tree::map_structure(&returned, |_| Tensor::zeros(&[]))),
            }
            drop(known);
            Ok(tree::flatten(&returned))
        })?;
        match &*result() {
            Some(known) => tree::pack_sequence_as(known, &outputs),
            None => unreachable!("the call has traced the closure"),
        }
    }

    /// How often the closure has been traced.
    pub fn trace_count(&self) -> usize {
        let structures = self.structures.lock().unwrap_or_else(PoisonError::into_inner);
        structures.values().map(|programs| programs.cache.trace_count()).sum()
    }
}
