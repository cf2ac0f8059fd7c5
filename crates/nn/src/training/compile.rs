//! What a model is compiled with.

use std::sync::Arc;

use kiln_graph::{Error as GraphError, FunctionCache, Tensor, Variable, gradients, with_device};

use super::Model;
use crate::error::{Error, Result};
use crate::history::Logs;
use crate::layer::{Context, Seeds};
use crate::losses::{IntoLoss, Loss};
use crate::metrics::{Direction, IntoMetric, Mean, Metric, MetricSource};
use crate::optimizers::{IntoOptimizer, Optimizer, Rule};

/// Optimizer, loss and metrics of a model, each given by value or by Keras' name.
///
/// ```
/// use kiln_graph::Tensor;
/// use kiln_nn::losses::SparseCategoricalCrossentropy;
/// use kiln_nn::optimizers::Adam;
/// use kiln_nn::training::Compile;
///
/// let short = Compile::new("adam", "mse").metric("mae");
/// let long = Compile::new(
///     Adam::new().learning_rate(3e-4),
///     SparseCategoricalCrossentropy::new().from_logits(true),
/// )
/// .metric("accuracy")
/// .metric(("confidence", |_: &Tensor, y_pred: &Tensor| y_pred.softmax(-1).max(-1)));
/// let own = Compile::new("sgd", |y_true: &Tensor, y_pred: &Tensor| (y_true - y_pred).abs().pow(1.5).mean(-1));
/// # let _ = (short, long, own);
/// ```
pub struct Compile {
    optimizer: Result<Optimizer<Box<dyn Rule>>>,
    loss: Result<Arc<dyn Loss>>,
    metrics: Vec<(Result<MetricSource>, bool)>,
}

impl Compile {
    /// With an optimizer and a loss, without metrics. Unknown names are errors of [`Model::compile`].
    pub fn new(optimizer: impl IntoOptimizer, loss: impl IntoLoss) -> Compile {
        Compile { optimizer: optimizer.into_optimizer(), loss: loss.into_loss(), metrics: vec![] }
    }

    /// Adds a metric, which ignores sample weights.
    pub fn metric(mut self, metric: impl IntoMetric) -> Compile {
        self.metrics.push((metric.into_metric(), false));
        self
    }

    /// Adds metrics of one kind, names for instance.
    pub fn metrics<M: IntoMetric>(self, metrics: impl IntoIterator<Item = M>) -> Compile {
        metrics.into_iter().fold(self, Compile::metric)
    }

    /// Adds a metric, weighted by sample weights.
    pub fn weighted_metric(mut self, metric: impl IntoMetric) -> Compile {
        self.metrics.push((metric.into_metric(), true));
        self
    }

    pub(crate) fn into_compiled(self) -> Result<Compiled> {
        let sources =
            self.metrics.into_iter().map(|(m, weighted)| Ok((m?, weighted))).collect::<Result<_>>()?;
        Ok(Compiled {
            optimizer: self.optimizer?,
            loss: self.loss?,
            sources,
            ready: None,
            training: FunctionCache::new("train_step"),
            testing: FunctionCache::new("test_step"),
        })
    }
}

/// What a model has been compiled with, and its compiled steps.
pub(crate) struct Compiled {
    pub(crate) optimizer: Optimizer<Box<dyn Rule>>,
    loss: Arc<dyn Loss>,
    /// Metrics until the shapes they meet are known; whether each is weighted.
    sources: Vec<(MetricSource, bool)>,
    ready: Option<Ready>,
    pub(crate) training: FunctionCache,
    pub(crate) testing: FunctionCache,
}

/// What is made when the first data comes.
struct Ready {
    trainable: Vec<Variable>,
    tracker: Mean,
    metrics: Vec<Reported>,
}

struct Reported {
    name: String,
    metric: Box<dyn Metric>,
    weighted: bool,
}

/// Builds model, optimizer and metrics for batches like these, where that has not been done.
pub(crate) fn prepare(what: &str, model: &mut dyn Model, x: &Tensor, y: &Tensor) -> Result<()> {
    model.trainer().compiled(what)?;
    build(what, model, x)?;
    if model.trainer().compiled(what)?.ready.is_some() {
        return Ok(());
    }
    let trainable: Vec<Variable> = model.variables().into_iter().filter(Variable::is_trainable).collect();
    let Some(first) = trainable.first() else {
        return Err(Error::invalid(what, "the model has no trainable variables; add a layer with weights"));
    };
    let device = first.device();
    // Only the shape of the predictions is asked for: nothing is computed.
    let y_pred = model.call(&x.zeros_like(), &Context::inference());
    let (labels, predictions) = (y.check()?.shape().to_vec(), y_pred.check()?.shape().to_vec());
    let constraints = model.constraints();
    let compiled = model.trainer_mut().compiled_mut(what)?;
    for (variable, constraint) in constraints {
        compiled.optimizer.constrain(&variable, move |weight: &Tensor| constraint.apply(weight));
    }
    with_device(&device, || compiled.make_ready(trainable, &labels, &predictions))
}

/// Builds the model for input like this, where that has not been done.
pub(crate) fn build(what: &str, model: &mut dyn Model, x: &Tensor) -> Result<()> {
    if model.trainer().is_built() {
        return Ok(());
    }
    if x.check()?.rank() == 0 {
        return Err(Error::invalid(what, "expected samples along the first axis of x, received a scalar"));
    }
    let open_batch = x.shape().iter().enumerate().map(|(i, d)| (i > 0).then_some(*d));
    let mut seeds = Seeds::new(model.trainer().seed());
    model.build(&open_batch.collect::<Vec<_>>(), &mut seeds)?;
    model.trainer_mut().set_built();
    Ok(())
}

impl Compiled {
    fn make_ready(&mut self, trainable: Vec<Variable>, y_true: &[usize], y_pred: &[usize]) -> Result<()> {
        self.optimizer.build(&trainable)?;
        let mut metrics: Vec<Reported> = vec![];
        for (source, weighted) in self.sources.drain(..) {
            let metric = source.resolve(y_true, y_pred)?;
            let name = unused(metric.name(), &metrics);
            metrics.push(Reported { name, metric, weighted });
        }
        self.ready = Some(Ready { trainable, tracker: Mean::new("loss")?, metrics });
        Ok(())
    }

    fn ready(&self) -> kiln_graph::Result<&Ready> {
        self.ready.as_ref().ok_or_else(|| GraphError::Internal("a step before the model was prepared".into()))
    }

    /// The scalar that is differentiated, of labels, predictions and what layers have added.
    fn total_loss(&self, batch: &[Tensor], y_pred: &Tensor, context: &Context) -> kiln_graph::Result<Tensor> {
        let loss = self.loss.reduced(&batch[1], y_pred, batch.get(2));
        if loss.check()?.rank() > 0 {
            let message = format!(
                "the loss must become one number, received shape {:?}; use another reduction than none",
                loss.shape()
            );
            Tensor::invalid("loss", message).check()?;
        }
        Ok(context.losses().iter().fold(loss, |sum, added| sum + added.sum(())))
    }

    /// Takes a batch into loss and metrics. The loss counts once for each sample, so that the last batch of an epoch,
    /// which may be smaller, has no larger say.
    fn report(&self, batch: &[Tensor], y_pred: &Tensor, loss: &Tensor) -> kiln_graph::Result<()> {
        let ready = self.ready()?;
        let samples = Tensor::scalar(batch[0].shape().first().copied().unwrap_or(1) as f32);
        ready.tracker.update_values(loss, Some(&samples))?;
        ready.metrics.iter().try_for_each(|reported| {
            let weight = batch.get(2).filter(|_| reported.weighted);
            reported.metric.update(&batch[1], y_pred, weight)
        })
    }

    pub(crate) fn reset(&self) -> Result<()> {
        if let Some(ready) = &self.ready {
            ready.tracker.reset()?;
            for reported in &ready.metrics {
                reported.metric.reset()?;
            }
        }
        Ok(())
    }

    /// Loss and metrics so far: one read from the device.
    pub(crate) fn logs(&self) -> Result<Logs> {
        let ready = self.ready()?;
        let results = ready.metrics.iter().map(|r| r.metric.result().reshape(&[]));
        let all: Vec<Tensor> = [ready.tracker.result()].into_iter().chain(results).collect();
        let values = Tensor::stack(&all, 0).to_vec::<f32>()?;
        let names = std::iter::once("loss").chain(ready.metrics.iter().map(|r| r.name.as_str()));
        Ok(names.map(String::from).zip(values.into_iter().map(f64::from)).collect())
    }

    /// Whether more or less of a value of the logs is better.
    pub(crate) fn direction(&self, name: &str) -> Option<Direction> {
        let name = name.strip_prefix("val_").unwrap_or(name);
        if name == "loss" {
            return Some(Direction::Down);
        }
        self.ready.as_ref()?.metrics.iter().find(|r| r.name == name)?.metric.direction()
    }
}

/// The name, with a number where another metric has it already.
fn unused(name: &str, taken: &[Reported]) -> String {
    let free = |candidate: &String| candidate != "loss" && taken.iter().all(|r| r.name != *candidate);
    let numbered = (1..).map(|i| format!("{name}_{i}"));
    std::iter::once(name.to_string()).chain(numbered).find(free).unwrap_or_else(|| name.to_string())
}

/// One step of training: forward, loss, backward, optimizer, metrics.
pub(crate) fn train_step(
    model: &dyn Model,
    compiled: &Compiled,
    batch: &[Tensor],
) -> kiln_graph::Result<Vec<Tensor>> {
    let context = Context::training();
    let y_pred = model.call(&batch[0], &context);
    let loss = compiled.total_loss(batch, &y_pred, &context)?;
    let trainable = &compiled.ready()?.trainable;
    let weights: Vec<Tensor> = trainable.iter().map(Variable::read).collect();
    compiled.optimizer.apply(&gradients(&loss, &weights)?, trainable)?;
    compiled.report(batch, &y_pred, &loss)?;
    Ok(vec![])
}

/// One step of evaluation: forward, loss, metrics.
pub(crate) fn test_step(
    model: &dyn Model,
    compiled: &Compiled,
    batch: &[Tensor],
) -> kiln_graph::Result<Vec<Tensor>> {
    let context = Context::inference();
    let y_pred = model.call(&batch[0], &context);
    let loss = compiled.total_loss(batch, &y_pred, &context)?;
    compiled.report(batch, &y_pred, &loss)?;
    Ok(vec![])
}
