//! Evaluation, prediction, and single steps.

use kiln_graph::{At, DType, Tensor};

use super::compile::{build, prepare, test_step, train_step};
use super::data::{Array, Samples};
use super::{Model, Verbose};
use crate::callbacks::{Callback, Handle};
use crate::error::{Error, Result, here};
use crate::history::Logs;
use crate::progress::Progress;

/// The batch size where none is given, Keras'.
pub(crate) const BATCH_SIZE: usize = 32;

/// How many batches of predictions wait on the device before they are read.
const PENDING: usize = 32;

/// The settings of [`Model::evaluate_with`].
pub struct Evaluate<'a> {
    batch_size: usize,
    sample_weight: Option<Tensor>,
    callbacks: Vec<Box<dyn Callback + 'a>>,
    verbose: Verbose,
}

impl Default for Evaluate<'_> {
    fn default() -> Self {
        Evaluate { batch_size: BATCH_SIZE, sample_weight: None, callbacks: vec![], verbose: Verbose::Auto }
    }
}

impl<'a> Evaluate<'a> {
    /// Keras' defaults: batches of 32, a progress bar.
    pub fn new() -> Evaluate<'a> {
        Evaluate::default()
    }

    /// Samples a batch; default 32.
    pub fn batch_size(self, batch_size: usize) -> Self {
        Self { batch_size, ..self }
    }

    /// One weight a sample.
    pub fn sample_weight(self, weight: &Tensor) -> Self {
        Self { sample_weight: Some(weight.clone()), ..self }
    }

    /// Adds a callback.
    pub fn callback(mut self, callback: impl Callback + 'a) -> Self {
        self.callbacks.push(Box::new(callback));
        self
    }

    /// What is shown: 0 nothing, 1 a bar, 2 a line; default a bar.
    pub fn verbose(self, verbose: impl Into<Verbose>) -> Self {
        Self { verbose: verbose.into(), ..self }
    }
}

/// The settings of [`Model::predict_with`].
pub struct Predict<'a> {
    batch_size: usize,
    callbacks: Vec<Box<dyn Callback + 'a>>,
    verbose: Verbose,
}

impl Default for Predict<'_> {
    fn default() -> Self {
        Predict { batch_size: BATCH_SIZE, callbacks: vec![], verbose: Verbose::Auto }
    }
}

impl<'a> Predict<'a> {
    /// Keras' defaults: batches of 32, a progress bar.
    pub fn new() -> Predict<'a> {
        Predict::default()
    }

    /// Samples a batch; default 32.
    pub fn batch_size(self, batch_size: usize) -> Self {
        Self { batch_size, ..self }
    }

    /// Adds a callback.
    pub fn callback(mut self, callback: impl Callback + 'a) -> Self {
        self.callbacks.push(Box::new(callback));
        self
    }

    /// What is shown: 0 nothing, 1 a bar, 2 a line; default a bar.
    pub fn verbose(self, verbose: impl Into<Verbose>) -> Self {
        Self { verbose: verbose.into(), ..self }
    }
}

/// An error where a batch would have no samples.
pub(crate) fn check_batch_size(what: &str, batch_size: usize) -> Result<()> {
    if batch_size > 0 { Ok(()) } else { Err(Error::invalid(what, "expected a batch size ≥ 1, received 0")) }
}

/// One compiled step of training.
pub(crate) fn step(model: &dyn Model, batch: &[Tensor]) -> Result<()> {
    let compiled = model.trainer().compiled("fit")?;
    compiled.training.call(batch, &|batch| train_step(model, compiled, batch)).map_err(explain)?;
    Ok(())
}

/// One compiled step of evaluation.
fn test(model: &dyn Model, batch: &[Tensor]) -> Result<()> {
    let compiled = model.trainer().compiled("evaluate")?;
    compiled.testing.call(batch, &|batch| test_step(model, compiled, batch)).map_err(explain)?;
    Ok(())
}

/// Adds the way out to an error of the device that labels are the likely cause of.
pub(crate) fn explain(error: kiln_graph::Error) -> Error {
    match &error {
        kiln_graph::Error::Device(kiln_graph::DeviceError::IndexOutOfRange { op, bound, .. })
            if op.contains("cross_entropy") || op.contains("categorical") =>
        {
            let way_out = format!(
                "labels must be 0 to {} where the last layer has {bound} units; give it as many units as there are \
                 classes, or count labels from 0",
                bound - 1
            );
            Error::invalid("labels", format!("{error}; {way_out}"))
        }
        _ => Error::Graph(error),
    }
}

/// [`Model::train_on_batch`] for a model of any type.
///
/// # Errors
/// As [`Model::train_on_batch`].
#[track_caller]
pub fn train_on_batch(
    model: &mut dyn Model,
    x: &Tensor,
    y: &Tensor,
    weight: Option<&Tensor>,
) -> Result<Logs> {
    on_batch("train_on_batch", model, step, [Some(x), Some(y), weight]).map_err(seen_from(here()))
}

/// [`Model::test_on_batch`] for a model of any type.
///
/// # Errors
/// As [`Model::test_on_batch`].
#[track_caller]
pub fn test_on_batch(model: &mut dyn Model, x: &Tensor, y: &Tensor, weight: Option<&Tensor>) -> Result<Logs> {
    on_batch("test_on_batch", model, test, [Some(x), Some(y), weight]).map_err(seen_from(here()))
}

/// Errors of a call at `at`.
fn seen_from(at: At) -> impl FnOnce(Error) -> Error {
    move |error| error.seen_from(at)
}

/// One step on inputs, labels and perhaps weights, and what has been summed up then.
fn on_batch(
    what: &'static str,
    model: &mut dyn Model,
    step: fn(&dyn Model, &[Tensor]) -> Result<()>,
    batch: [Option<&Tensor>; 3],
) -> Result<Logs> {
    let batch: Vec<Tensor> = batch.into_iter().flatten().cloned().collect();
    prepare(what, model, &batch[0], &batch[1])?;
    step(model, &batch)?;
    model.trainer().compiled(what)?.logs()
}

/// [`Model::evaluate_with`] for a model of any type.
///
/// # Errors
/// As [`Model::evaluate`].
#[track_caller]
pub fn evaluate(model: &mut dyn Model, x: &Tensor, y: &Tensor, mut settings: Evaluate<'_>) -> Result<Logs> {
    let at = here();
    let mut samples = Samples::new("evaluate", x, y, settings.sample_weight.as_ref())?;
    let rows: Vec<usize> = (0..samples.rows()).collect();
    let mut progress = Progress::new(settings.verbose);
    let run = Run { samples: &mut samples, rows: &rows, batch_size: settings.batch_size };
    evaluate_rows(model, run, &mut settings.callbacks, Some(&mut progress)).map_err(seen_from(at))
}

/// Some rows of samples, in batches.
pub(crate) struct Run<'a> {
    pub(crate) samples: &'a mut Samples,
    pub(crate) rows: &'a [usize],
    pub(crate) batch_size: usize,
}

/// Loss and metrics over rows, with the hooks of a test.
pub(crate) fn evaluate_rows<'a>(
    model: &mut dyn Model,
    run: Run<'_>,
    callbacks: &mut [Box<dyn Callback + 'a>],
    mut progress: Option<&mut Progress>,
) -> Result<Logs> {
    check_batch_size("evaluate", run.batch_size)?;
    let first = run.samples.batch(&run.rows[..run.rows.len().min(run.batch_size)]);
    prepare("evaluate", model, &first[0], &first[1])?;
    model.reset_metrics()?;
    each(callbacks, model, |c, m| c.on_test_begin(m))?;
    let steps = run.rows.len().div_ceil(run.batch_size);
    if let Some(progress) = &mut progress {
        progress.begin(None, steps);
    }
    for (index, rows) in run.rows.chunks(run.batch_size).enumerate() {
        each(callbacks, model, |c, m| c.on_test_batch_begin(index, m))?;
        test(model, &run.samples.batch(rows))?;
        each(callbacks, model, |c, m| c.on_test_batch_end(index, m))?;
        if let Some(progress) = &mut progress {
            let values = if progress.wants_values() { Some(current(model)?) } else { None };
            progress.step(index + 1, values.as_ref());
        }
    }
    let logs = current(model)?;
    each(callbacks, model, |c, m| c.on_test_end(&logs, m))?;
    if let Some(progress) = &mut progress {
        progress.end(steps, &logs);
    }
    Ok(logs)
}

/// Loss and metrics so far.
pub(crate) fn current(model: &dyn Model) -> Result<Logs> {
    model.trainer().compiled("logs")?.logs()
}

/// Calls a hook of every callback, in order.
pub(crate) fn each<'a>(
    callbacks: &mut [Box<dyn Callback + 'a>],
    model: &mut dyn Model,
    mut hook: impl FnMut(&mut (dyn Callback + 'a), &mut Handle<'_>) -> Result<()>,
) -> Result<()> {
    let mut handle = Handle::new(model);
    callbacks.iter_mut().try_for_each(|callback| hook(&mut **callback, &mut handle))
}

/// [`Model::predict_with`] for a model of any type.
///
/// # Errors
/// As [`Model::predict`].
#[track_caller]
pub fn predict(model: &mut dyn Model, x: &Tensor, settings: Predict<'_>) -> Result<Tensor> {
    predict_rows(model, x, settings).map_err(seen_from(here()))
}

fn predict_rows(model: &mut dyn Model, x: &Tensor, mut settings: Predict<'_>) -> Result<Tensor> {
    check_batch_size("predict", settings.batch_size)?;
    let mut inputs = Array::new("predict", "x", x)?;
    build("predict", model, x)?;
    let rows: Vec<usize> = (0..inputs.rows()).collect();
    let steps = rows.len().div_ceil(settings.batch_size);
    let mut progress = Progress::new(settings.verbose);
    let callbacks = &mut settings.callbacks;
    progress.begin(None, steps);
    each(callbacks, model, |c, m| c.on_predict_begin(m))?;
    let (mut pending, mut gathered) = (vec![], Gathered::default());
    for (index, rows) in rows.chunks(settings.batch_size).enumerate() {
        each(callbacks, model, |c, m| c.on_predict_batch_begin(index, m))?;
        let outputs = forward(model, inputs.batch(rows))?;
        each(callbacks, model, |c, m| c.on_predict_batch_end(index, &outputs, m))?;
        pending.push(outputs);
        if pending.len() == PENDING {
            gathered.take(&mut pending)?;
        }
        progress.step(index + 1, None);
    }
    gathered.take(&mut pending)?;
    each(callbacks, model, |c, m| c.on_predict_end(m))?;
    progress.end(steps, &Logs::new());
    Ok(gathered.into_tensor())
}

fn forward(model: &dyn Model, batch: Tensor) -> Result<Tensor> {
    let body = |batch: &[Tensor]| Ok(vec![model.call(&batch[0], &crate::layer::Context::inference())]);
    let mut outputs = model.trainer().predicting.call(&[batch], &body)?;
    outputs.pop().ok_or_else(|| Error::invalid("predict", "the model has no output"))
}

/// Predictions behind one another in host memory.
#[derive(Default)]
struct Gathered {
    values: Vec<f32>,
    shape: Option<Vec<usize>>,
    dtype: Option<DType>,
}

impl Gathered {
    fn take(&mut self, pending: &mut Vec<Tensor>) -> Result<()> {
        for outputs in pending.drain(..) {
            let rows = outputs.shape().first().copied().unwrap_or(1);
            match &mut self.shape {
                Some(shape) if shape.is_empty() => {}
                Some(shape) => shape[0] += rows,
                None => (self.shape, self.dtype) = (Some(outputs.shape().to_vec()), Some(outputs.dtype())),
            }
            self.values.extend(outputs.cast(DType::F32).to_vec::<f32>()?);
        }
        Ok(())
    }

    fn into_tensor(self) -> Tensor {
        let shape = self.shape.unwrap_or_default();
        Tensor::from_vec(&self.values, &shape).cast(self.dtype.unwrap_or(DType::F32))
    }
}
