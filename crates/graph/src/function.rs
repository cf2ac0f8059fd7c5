//! `Function`: a Rust closure traced once per signature, compiled as one program, and replayed.

mod cache;
mod expressions;
mod nested;
mod saved;
mod signature;
mod tree;

use std::path::Path;

pub use cache::FunctionCache;
pub use saved::SavedFunction;
pub use signature::{Argument, TensorSpec};
pub use tree::TreeFunction;

use crate::error::Result;
use crate::report::Report;
use crate::tensor::Tensor;

type Body = dyn Fn(&[Tensor]) -> Result<Vec<Tensor>> + Send + Sync;

/// The methods that functions of lists and of structures share: `Self` holds a `cache`.
macro_rules! shared_methods {
    () => {
        /// The arguments that it takes: others are an error of the call. A dimension `None` takes any size.
        ///
        /// ```
        /// use kiln_graph::{DType, Function, Tensor, TensorSpec};
        /// let double = Function::new("double", |x| Ok(vec![&x[0] * 2.0]))
        ///     .signature([TensorSpec::new([None, Some(2)], DType::F32)]);
        /// double.call(&[Tensor::zeros(&[5, 2])])?;
        /// let error = double.call(&[Tensor::zeros(&[5, 3])]).unwrap_err();
        /// assert!(error.to_string().contains("expected float32 [None, 2] for argument 0"));
        /// # Ok::<(), kiln_graph::Error>(())
        /// ```
        pub fn signature(mut self, specs: impl Into<Vec<TensorSpec>>) -> Self {
            self.cache = self.cache.signature(specs);
            self
        }

        /// The number of traces that are allowed: one more is an error of the call, with the reason for it. Without a limit
        /// a function that is traced often warns through the `log` crate.
        pub fn trace_limit(mut self, limit: usize) -> Self {
            self.cache = self.cache.trace_limit(limit);
            self
        }

        /// Writes the programs of the signatures called or prepared so far, and no others, to one file: as `save` does, but
        /// where the signature has open dimensions, only sizes that were called or prepared run from the file.
        ///
        /// # Errors
        /// Where there is no program yet, one calls back into Rust code, or the file cannot be written.
        #[track_caller]
        pub fn save_prepared(&self, path: impl AsRef<Path>) -> Result<()> {
            self.cache.save(path)
        }

        /// How often the closure has been traced and compiled. A call inside another trace is a part of that, and not
        /// counted.
        pub fn trace_count(&self) -> usize {
            self.cache.trace_count()
        }

        /// One line for every trace: the signature, and why it was traced.
        pub fn trace_report(&self) -> Vec<String> {
            self.cache.trace_report()
        }
    };
}

use shared_methods;

/// A closure over tensors that is traced once for every signature of its arguments, compiled, and replayed.
///
/// Variables read inside are state: every call sees their present values, and what it has assigned so far. Assignments take
/// effect together at the end of the call. Tensors captured from outside are constants of the trace. A trace belongs to the
/// thread that it runs on: what another thread, started by the closure, assigns or computes is no part of it.
///
/// Calls from several threads run side by side where they share no variable that one of them assigns; a device runs one
/// program at a time. A call waits while another thread traces the same function. So a closure must not wait for a thread
/// that calls the function which is being traced: neither would ever go on.
///
/// A call inside another function, or inside a branch or a loop, becomes a part of what is traced there. Variables can be
/// created inside at the first trace alone, by a closure that keeps them; it then runs twice.
///
/// ```
/// use kiln_graph::{Function, Tensor, Variable};
/// let total = Variable::new(&Tensor::scalar(0.0f32))?;
/// let add = {
///     let total = total.clone();
///     Function::new("add", move |x| {
///         let sum = x[0].sum(());
///         total.assign_add(&sum)?;
///         Ok(vec![sum])
///     })
/// };
/// add.call(&[Tensor::from_slice(&[1.0f32, 2.0])])?;
/// add.call(&[Tensor::from_slice(&[3.0f32, 4.0])])?;
/// assert_eq!(total.read().item::<f32>()?, 10.0);
/// assert_eq!(add.trace_count(), 1);
/// # Ok::<(), kiln_graph::Error>(())
/// ```
#[doc(alias("tf.function", "jit", "torch.compile"))]
pub struct Function {
    cache: FunctionCache,
    body: Box<Body>,
}

impl Function {
    /// A function of a closure; nothing is traced yet.
    pub fn new(
        name: impl Into<String>,
        body: impl Fn(&[Tensor]) -> Result<Vec<Tensor>> + Send + Sync + 'static,
    ) -> Function {
        Function { cache: FunctionCache::new(name), body: Box::new(body) }
    }

    shared_methods!();

    /// Writes its programs to one file, with the values that variables and captured tensors have now:
    /// [`crate::SavedFunction::load`] runs them without the closure, in another process too. The format is described in
    /// `docs/formats.md`.
    ///
    /// Where the [signature](Function::signature) has open dimensions, the file runs any sizes of them. It need not have
    /// been called: the closure is traced at several sizes, and the program is written as formulas of them. Without such a
    /// signature the programs of the arguments called or prepared so far are written.
    ///
    /// ```
    /// use kiln_graph::{DType, Function, SavedFunction, Tensor, TensorSpec};
    /// let folder = tempfile::tempdir()?;
    /// let path = folder.path().join("mean.kiln");
    /// Function::new("mean", |x| Ok(vec![x[0].mean(0)]))
    ///     .signature([TensorSpec::new([None, Some(2)], DType::F32)])
    ///     .save(&path)?;
    /// let mean = SavedFunction::load(&path)?;
    /// assert_eq!(mean.signatures(), ["mean(float32 [None, 2])"]);
    /// for rows in [1, 3, 50] {
    ///     assert_eq!(mean.call(&[Tensor::ones(&[rows, 2])])?[0].to_vec::<f32>()?, [1.0, 1.0]);
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// Open dimensions may be of different sizes where the closure can be traced so; else those are found that have to be
    /// of one size, as two batches that are added. The file takes the sizes that the closure takes with the others in the
    /// middle, and names these in the error for another one. More than twenty sizes of each open dimension, small and large,
    /// are compared with what the closure makes of them before the file is written. A closure that takes another way at other
    /// sizes alone, above 65,536 for instance, takes the way of the compared ones there (`docs/design/open_sizes.md`).
    ///
    /// # Errors
    /// Where the operations depend on the sizes of open dimensions, as those of a Rust loop over rows do, or there is no
    /// program yet; a program that calls back into Rust code; a closure that creates variables and was not called or prepared
    /// before; the closure's errors; a file that cannot be written.
    #[track_caller]
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        let body = cache::plain(&*self.body);
        self.cache.save_any(path.as_ref(), &[(String::new(), &body)], crate::tensor::here())
    }

    /// Runs it: traces and compiles at the first call of a signature, replays after.
    ///
    /// Results are on the device and may still be being computed.
    ///
    /// # Errors
    /// The closure's own, the first that a tensor carries, arguments and variables on different devices, and those of
    /// compiling and running.
    #[track_caller]
    pub fn call(&self, arguments: &[Tensor]) -> Result<Vec<Tensor>> {
        self.cache.call(arguments, &*self.body)
    }

    /// Traces and compiles for these arguments without running; the closure is not traced again where it was. A
    /// [`TensorSpec`] of known sizes does as well as a tensor.
    ///
    /// ```
    /// use kiln_graph::{DType, Function, TensorSpec};
    /// let square = Function::new("square", |x| Ok(vec![x[0].matmul(&x[0])]));
    /// let matrix = TensorSpec::new([Some(512), Some(512)], DType::F32);
    /// square.prepare(&[matrix])?;
    /// assert_eq!(square.trace_count(), 1);
    /// # Ok::<(), kiln_graph::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Function::call`]; inside another trace; a spec with an open dimension.
    #[track_caller]
    pub fn prepare<A: Argument>(&self, arguments: &[A]) -> Result<()> {
        self.cache.prepare(arguments, &*self.body)
    }

    /// What the compiled program for these arguments does: kernels, memory, and what was not fused and why.
    ///
    /// # Errors
    /// As [`Function::prepare`].
    #[track_caller]
    pub fn explain<A: Argument>(&self, arguments: &[A]) -> Result<Report> {
        self.cache.explain(arguments, &*self.body)
    }

    /// [`Function::explain`] with the time of every kernel, measured in one call, which takes effect.
    ///
    /// # Errors
    /// As [`Function::call`].
    #[track_caller]
    pub fn profile(&self, arguments: &[Tensor]) -> Result<Report> {
        self.cache.profile(arguments, &*self.body)
    }

    /// The text of every kernel of the compiled program, as its executor has it.
    ///
    /// # Errors
    /// As [`Function::call`].
    #[track_caller]
    pub fn kernel_sources<A: Argument>(&self, arguments: &[A]) -> Result<Vec<String>> {
        self.cache.kernel_sources(arguments, &*self.body)
    }
}

impl std::fmt::Debug for Function {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Function({}, {} traces)", self.cache.name, self.cache.trace_count())
    }
}
