//! Functions of structured arguments and results.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use super::cache::{FunctionCache, Kept, Made, Request, Traceable};
use super::{TensorSpec, shared_methods};
use crate::error::{At, Error, Result};
use crate::report::Report;
use crate::tensor::{Tensor, here};
use crate::tree::{self, Tree};

type Body<I, O> = dyn Fn(I) -> Result<O> + Send + Sync;

/// A [`crate::Function`] whose argument and result are structures of tensors (see [`crate::tree`]): traced once for every
/// structure and signature. What is not a tensor in the argument, a flag for instance, is a part of its structure.
///
/// ```
/// use std::collections::BTreeMap;
/// use kiln_graph::{Tensor, TreeFunction};
/// let stats = TreeFunction::new("stats", |(x, scale, centred): (Tensor, Option<Tensor>, bool)| {
///     let x = scale.map_or(x.clone(), |s| &x * s);
///     let x = if centred { &x - x.mean(()) } else { x };
///     Ok(BTreeMap::from([("mean".to_owned(), x.mean(())), ("max".to_owned(), x.max(()))]))
/// });
/// let x = Tensor::from_slice(&[1.0f32, 3.0]);
/// assert_eq!(stats.call(&(x.clone(), None, false))?["mean"].item::<f32>()?, 2.0);
/// assert_eq!(stats.call(&(x, Some(Tensor::scalar(2.0f32)), true))?["max"].item::<f32>()?, 2.0);
/// assert_eq!(stats.trace_count(), 2);
/// # Ok::<(), kiln_graph::Error>(())
/// ```
#[doc(alias = "tf.function")]
pub struct TreeFunction<I, O> {
    cache: FunctionCache,
    body: Box<Body<I, O>>,
    /// Arguments of every structure that was traced, around tensors of no meaning, where the signature has open dimensions.
    seen: Mutex<BTreeMap<String, I>>,
}

impl<I: Tree + Send, O: Tree + Send + Sync + 'static> TreeFunction<I, O> {
    /// A function of a closure; nothing is traced yet.
    pub fn new(
        name: impl Into<String>,
        body: impl Fn(I) -> Result<O> + Send + Sync + 'static,
    ) -> TreeFunction<I, O> {
        TreeFunction { cache: FunctionCache::new(name), body: Box::new(body), seen: Mutex::default() }
    }

    shared_methods!();

    /// As [`crate::Function::save`], for the structures of arguments that it has been called or prepared with: of each,
    /// any sizes of the open dimensions.
    ///
    /// # Errors
    /// As [`crate::Function::save`], and where no structure of arguments is known.
    #[track_caller]
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        let at = here();
        // The closure runs outside of the lock: it may call this function.
        let seen: Vec<(String, I)> = {
            let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
            seen.iter().map(|(text, argument)| Ok((text.clone(), blank(argument)?))).collect::<Result<_>>()?
        };
        let bodies: Vec<_> = seen.iter().map(|(_, argument)| self.traceable(argument)).collect();
        let texts = seen.iter().map(|(text, _)| text.clone());
        let bodies: Vec<_> = texts.zip(&bodies).map(|(text, body)| (text, body as &Traceable<'_>)).collect();
        self.cache.save_any(path.as_ref(), &bodies, at)
    }

    /// Runs it: traces and compiles at the first call of a structure and signature, replays after. The structure of the
    /// result may depend on both.
    ///
    /// # Errors
    /// As [`crate::Function::call`].
    #[track_caller]
    pub fn call(&self, argument: &I) -> Result<O> {
        let (tensors, request) = self.asked(argument, here())?;
        let (outputs, kept) = self.cache.run(&request, &tensors, &self.traceable(argument))?;
        match kept.as_deref().and_then(<Kept>::downcast_ref::<O>) {
            Some(structure) => tree::pack_sequence_as(structure, &outputs),
            None => Err(Error::Internal("a program without the structure of its result".into())),
        }
    }

    /// As [`crate::Function::prepare`].
    ///
    /// # Errors
    /// As [`crate::Function::call`].
    #[track_caller]
    pub fn prepare(&self, argument: &I) -> Result<()> {
        self.cache.compiled(&self.asked(argument, here())?.1, &self.traceable(argument)).map(drop)
    }

    /// As [`crate::Function::explain`].
    ///
    /// # Errors
    /// As [`crate::Function::call`].
    #[track_caller]
    pub fn explain(&self, argument: &I) -> Result<Report> {
        self.cache.report(&self.asked(argument, here())?.1, &self.traceable(argument))
    }

    /// As [`crate::Function::profile`].
    ///
    /// # Errors
    /// As [`crate::Function::call`].
    #[track_caller]
    pub fn profile(&self, argument: &I) -> Result<Report> {
        let (tensors, request) = self.asked(argument, here())?;
        self.cache.timed(&request, &tensors, &self.traceable(argument))
    }

    /// As [`crate::Function::kernel_sources`].
    ///
    /// # Errors
    /// As [`crate::Function::call`].
    #[track_caller]
    pub fn kernel_sources(&self, argument: &I) -> Result<Vec<String>> {
        self.cache.sources(&self.asked(argument, here())?.1, &self.traceable(argument))
    }

    /// The closure over lists; beside the results it gives their structure, around tensors of no meaning.
    fn traceable(&self, argument: &I) -> impl Fn(&[Tensor]) -> Result<Made> {
        |tensors| {
            let returned = (self.body)(tree::pack_sequence_as(argument, tensors)?)?;
            let outputs = tree::flatten(&returned);
            outputs.iter().try_for_each(|t| t.check().map(drop))?;
            self.remember(argument)?;
            let structure: Arc<Kept> = Arc::new(blank(&returned)?);
            Ok((outputs, Some(structure)))
        }
    }

    /// Keeps the structure of an argument that the closure takes, to be saved.
    fn remember(&self, argument: &I) -> Result<()> {
        if self.cache.is_open() {
            let mut structure = String::new();
            argument.describe(&mut structure);
            let blank = blank(argument)?;
            self.seen.lock().unwrap_or_else(PoisonError::into_inner).entry(structure).or_insert(blank);
        }
        Ok(())
    }

    /// The tensors of an argument, and what is asked of the cache for it.
    fn asked(&self, argument: &I, at: At) -> Result<(Vec<Tensor>, Request)> {
        let tensors = tree::flatten(argument);
        let mut structure = String::new();
        argument.describe(&mut structure);
        let request = Request::new(structure, &tensors, at)?;
        Ok((tensors, request))
    }
}

/// The structure around tensors of no meaning.
fn blank<T: Tree>(structure: &T) -> Result<T> {
    let nothing = vec![Tensor::zeros(&[]); tree::flatten(structure).len()];
    tree::pack_sequence_as(structure, &nothing)
}

impl<I, O> std::fmt::Debug for TreeFunction<I, O> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "TreeFunction({}, {} traces)", self.cache.name, self.cache.trace_count())
    }
}
