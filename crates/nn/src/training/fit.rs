//! `fit`: epochs over batches.

use std::collections::BTreeMap;

use kiln_graph::Tensor;

use super::compile::prepare;
use super::data::{Samples, shuffle};
use super::run::{BATCH_SIZE, Run, check_batch_size, current, each, evaluate_rows, step};
use super::{Model, Verbose};
use crate::callbacks::Callback;
use crate::error::{Error, Result, here};
use crate::history::{History, Logs, Params};
use crate::progress::Progress;

/// The settings of [`Model::fit`]. Callbacks may be lent, so that they can be asked afterwards:
///
/// ```
/// use kiln_nn::callbacks::EarlyStopping;
/// use kiln_nn::training::Fit;
/// let mut early = EarlyStopping::new("val_loss").patience(3);
/// let settings = Fit::new().epochs(50).batch_size(64).validation_split(0.1).callback(&mut early);
/// # drop(settings);
/// assert_eq!(early.stopped_epoch(), None);
/// ```
pub struct Fit<'a> {
    epochs: usize,
    batch_size: usize,
    validation_split: f64,
    validation_data: Option<(Tensor, Tensor)>,
    validation_weight: Option<Tensor>,
    validation_batch_size: Option<usize>,
    validation_freq: usize,
    shuffle: bool,
    seed: Option<u64>,
    callbacks: Vec<Box<dyn Callback + 'a>>,
    verbose: Verbose,
    sample_weight: Option<Tensor>,
    class_weight: Option<BTreeMap<i64, f64>>,
    initial_epoch: usize,
}

impl Default for Fit<'_> {
    fn default() -> Self {
        Fit {
            epochs: 1,
            batch_size: BATCH_SIZE,
            validation_split: 0.0,
            validation_data: None,
            validation_weight: None,
            validation_batch_size: None,
            validation_freq: 1,
            shuffle: true,
            seed: None,
            callbacks: vec![],
            verbose: Verbose::Auto,
            sample_weight: None,
            class_weight: None,
            initial_epoch: 0,
        }
    }
}

impl<'a> Fit<'a> {
    /// Keras' defaults: one epoch, batches of 32, shuffled, a progress bar.
    pub fn new() -> Fit<'a> {
        Fit::default()
    }

    /// The epoch to end before; default 1.
    pub fn epochs(self, epochs: usize) -> Self {
        Self { epochs, ..self }
    }

    /// Samples a batch; default 32. The last batch of an epoch may have fewer.
    pub fn batch_size(self, batch_size: usize) -> Self {
        Self { batch_size, ..self }
    }

    /// The share of samples, taken from the end before shuffling, that is validated on instead; default 0.
    pub fn validation_split(self, share: f64) -> Self {
        Self { validation_split: share, ..self }
    }

    /// Data to validate on after each epoch; default none. Takes precedence over the split.
    pub fn validation_data(self, x: &Tensor, y: &Tensor) -> Self {
        Self { validation_data: Some((x.clone(), y.clone())), ..self }
    }

    /// One weight for each sample of the validation data; default none.
    pub fn validation_weight(self, weight: &Tensor) -> Self {
        Self { validation_weight: Some(weight.clone()), ..self }
    }

    /// Samples a batch of validation; default as in training.
    pub fn validation_batch_size(self, batch_size: usize) -> Self {
        Self { validation_batch_size: Some(batch_size), ..self }
    }

    /// Validates after every so many epochs; default 1.
    pub fn validation_freq(self, epochs: usize) -> Self {
        Self { validation_freq: epochs, ..self }
    }

    /// Whether each epoch takes the samples in another random order; default true.
    pub fn shuffle(self, shuffle: bool) -> Self {
        Self { shuffle, ..self }
    }

    /// The seed of the orders; default the model's. The same seed gives the same orders.
    pub fn seed(self, seed: u64) -> Self {
        Self { seed: Some(seed), ..self }
    }

    /// Adds a callback; callbacks are called in order.
    pub fn callback(mut self, callback: impl Callback + 'a) -> Self {
        self.callbacks.push(Box::new(callback));
        self
    }

    /// What is shown: 0 nothing, 1 a bar, 2 a line an epoch; default a bar.
    pub fn verbose(self, verbose: impl Into<Verbose>) -> Self {
        Self { verbose: verbose.into(), ..self }
    }

    /// One weight a sample (`[n]` or `[n, t]`): the loss becomes `Σ w·l / N`. Metrics ignore it, weighted metrics do not.
    pub fn sample_weight(self, weight: &Tensor) -> Self {
        Self { sample_weight: Some(weight.clone()), ..self }
    }

    /// A weight for each sample by its class, 1 where none is given. Not together with `sample_weight`.
    pub fn class_weight(self, weights: impl IntoIterator<Item = (i64, f64)>) -> Self {
        Self { class_weight: Some(weights.into_iter().collect()), ..self }
    }

    /// The epoch to begin with, where an earlier run is continued; default 0.
    pub fn initial_epoch(self, epoch: usize) -> Self {
        Self { initial_epoch: epoch, ..self }
    }
}

/// What is trained and validated on.
struct Data {
    training: Samples,
    rows: Vec<usize>,
    /// The samples to validate on, unless they are rows of the training data.
    validation: Option<Samples>,
    held_out: Vec<usize>,
}

impl Data {
    fn new(x: &Tensor, y: &Tensor, settings: &Fit<'_>) -> Result<Data> {
        let mut training = Samples::new("fit", x, y, settings.sample_weight.as_ref())?;
        if let Some(weights) = &settings.class_weight {
            training.weigh_classes("fit", weights)?;
        }
        let n = training.rows();
        if let Some((x, y)) = &settings.validation_data {
            let validation = Samples::new("validation_data", x, y, settings.validation_weight.as_ref())?;
            let held_out = (0..validation.rows()).collect();
            return Ok(Data { training, rows: (0..n).collect(), validation: Some(validation), held_out });
        }
        let split = settings.validation_split;
        if !(0.0..1.0).contains(&split) {
            let message = format!("expected 0 ≤ validation_split < 1, received {split}");
            return Err(Error::invalid("fit", message));
        }
        // As Keras counts: 11 samples and a quarter give 8 and 3.
        let kept = (n as f64 * (1.0 - split)).floor() as usize;
        if kept == 0 || (split > 0.0 && kept == n) {
            let message = format!(
                "{n} samples are not enough for validation_split {split}: one part would be empty; use another split or \
                 validation_data"
            );
            return Err(Error::invalid("fit", message));
        }
        Ok(Data { training, rows: (0..kept).collect(), validation: None, held_out: (kept..n).collect() })
    }
}

/// [`Model::fit`] for a model of any type.
///
/// The loss of an epoch that is NaN is an error, unless a callback has stopped training ([`TerminateOnNaN`] does): the
/// weights are lost then, and to go on would hide it. Keras goes on.
///
/// [`TerminateOnNaN`]: crate::callbacks::TerminateOnNaN
///
/// # Errors
/// As [`Model::fit`].
#[track_caller]
pub fn fit(model: &mut dyn Model, x: &Tensor, y: &Tensor, settings: Fit<'_>) -> Result<History> {
    let at = here();
    epochs(model, x, y, settings).map_err(|error| error.seen_from(at))
}

fn epochs(model: &mut dyn Model, x: &Tensor, y: &Tensor, mut settings: Fit<'_>) -> Result<History> {
    check_batch_size("fit", settings.batch_size)?;
    model.trainer().compiled("fit")?;
    let mut data = Data::new(x, y, &settings)?;
    let first = data.training.batch(&data.rows[..data.rows.len().min(settings.batch_size)]);
    prepare("fit", model, &first[0], &first[1])?;
    let steps = data.rows.len().div_ceil(settings.batch_size);
    let params = Params { epochs: settings.epochs, steps };
    let mut history = History { params, ..History::default() };
    let mut progress = Progress::new(settings.verbose);
    let mut logs = Logs::new();
    model.trainer_mut().stop_training = false;
    each(&mut settings.callbacks, model, |c, m| c.on_train_begin(m))?;
    for epoch in settings.initial_epoch..settings.epochs {
        progress.begin(Some(format!("Epoch {}/{}", epoch + 1, settings.epochs)), steps);
        each(&mut settings.callbacks, model, |c, m| c.on_epoch_begin(epoch, m))?;
        let done = train_epoch(model, &mut data, &mut settings, &mut progress, epoch)?;
        logs = current(model)?;
        if !data.held_out.is_empty() && (epoch + 1).is_multiple_of(settings.validation_freq.max(1)) {
            let validated = validate(model, &mut data, &mut settings)?;
            logs.extend(validated.into_iter().map(|(name, value)| (format!("val_{name}"), value)));
        }
        each(&mut settings.callbacks, model, |c, m| c.on_epoch_end(epoch, &mut logs, m))?;
        history.record(epoch, &logs);
        progress.end(done, &logs);
        if model.trainer().stop_training {
            break;
        }
        check_loss(epoch, &logs)?;
    }
    each(&mut settings.callbacks, model, |c, m| c.on_train_end(&logs, m))?;
    Ok(history)
}

/// The batches of one epoch; how many were trained on.
fn train_epoch(
    model: &mut dyn Model,
    data: &mut Data,
    settings: &mut Fit<'_>,
    progress: &mut Progress,
    epoch: usize,
) -> Result<usize> {
    model.reset_metrics()?;
    let mut order = data.rows.clone();
    if settings.shuffle {
        shuffle(&mut order, settings.seed.unwrap_or(model.trainer().seed()), epoch);
    }
    let mut done = 0;
    for rows in order.chunks(settings.batch_size) {
        each(&mut settings.callbacks, model, |c, m| c.on_train_batch_begin(done, m))?;
        step(model, &data.training.batch(rows))?;
        each(&mut settings.callbacks, model, |c, m| c.on_train_batch_end(done, m))?;
        done += 1;
        let values = if progress.wants_values() { Some(current(model)?) } else { None };
        progress.step(done, values.as_ref());
        if model.trainer().stop_training {
            break;
        }
    }
    Ok(done)
}

fn validate(model: &mut dyn Model, data: &mut Data, settings: &mut Fit<'_>) -> Result<Logs> {
    let batch_size = settings.validation_batch_size.unwrap_or(settings.batch_size);
    let samples = data.validation.as_mut().unwrap_or(&mut data.training);
    evaluate_rows(model, Run { samples, rows: &data.held_out, batch_size }, &mut settings.callbacks, None)
}

fn check_loss(epoch: usize, logs: &Logs) -> Result<()> {
    if !logs.get("loss").is_some_and(|loss| loss.is_nan()) {
        return Ok(());
    }
    let message = format!(
        "the loss is NaN after epoch {}, so the weights are too; use a smaller learning rate or clipnorm, look for NaN or \
         huge values in the data, and for log or division in a loss of your own. The callback TerminateOnNaN stops at \
         the batch and returns the history instead",
        epoch + 1
    );
    Err(Error::invalid("fit", message))
}
