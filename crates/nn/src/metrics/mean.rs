//! Means in two variables: the state of most metrics.

use kiln_graph::{DType, Tensor, Variable};

use super::{Direction, Metric};
use crate::error::Result;
use crate::losses::same_rank;

/// The weighted mean of everything it has seen: `Σ w·v / Σ w`, 0 before the first value.
///
/// State: two `float32` scalars, `total` and `count`. As a metric of a model it is the mean of the predictions.
///
/// ```
/// use kiln_graph::Tensor;
/// use kiln_nn::metrics::{Mean, Metric};
/// let mean = Mean::new("mean")?;
/// mean.update_values(&Tensor::from_slice(&[1.0f32, 3.0]), None)?;
/// mean.update_values(&Tensor::from_slice(&[8.0f32]), None)?;
/// assert_eq!(mean.result().item::<f32>()?, 4.0);
/// # Ok::<(), kiln_nn::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Mean {
    name: String,
    total: Variable,
    count: Variable,
}

impl Mean {
    /// A mean under a name.
    ///
    /// # Errors
    /// Where the device has no memory.
    pub fn new(name: impl Into<String>) -> Result<Mean> {
        let zero = || Tensor::scalar(0.0f32);
        let state = |name: &str| Ok::<_, kiln_graph::Error>(Variable::new(&zero())?.named(name).frozen());
        Ok(Mean { name: name.into(), total: state("total")?, count: state("count")? })
    }

    /// The same mean under another name.
    pub fn named(self, name: impl Into<String>) -> Mean {
        Mean { name: name.into(), ..self }
    }

    /// Takes values `[n, ..]` in. Axes after those of the weights are averaged first, so that every sample counts once;
    /// without weights that is every axis after the first.
    ///
    /// # Errors
    /// The error of the values or weights.
    pub fn update_values(&self, values: &Tensor, sample_weight: Option<&Tensor>) -> kiln_graph::Result<()> {
        let (sum, count) = match sample_weight {
            None => {
                let count = values.shape().first().copied().unwrap_or(1);
                (per_sample(&values.cast(DType::F32), 1).sum(()), Tensor::scalar(count as f32))
            }
            Some(weight) => weighted(&values.cast(DType::F32), &weight.cast(DType::F32)),
        };
        self.total.assign_add(&sum)?;
        self.count.assign_add(&count)
    }
}

/// The mean over every axis from `from` on.
fn per_sample(values: &Tensor, from: usize) -> Tensor {
    let axes: Vec<i64> = (from..values.rank()).map(|a| a as i64).collect();
    if axes.is_empty() { values.clone() } else { values.mean(axes) }
}

/// `Σ w·v` and `Σ w`, where axes beyond the weights' are averaged as Keras does.
fn weighted(values: &Tensor, weight: &Tensor) -> (Tensor, Tensor) {
    let (values, weight) = same_rank(values, weight);
    let values = per_sample(&values, weight.rank());
    let weight = weight.broadcast_to(values.shape());
    let product = per_sample(&(values * &weight), 1);
    (product.sum(()), per_sample(&weight, 1).sum(()))
}

impl Metric for Mean {
    fn name(&self) -> &str {
        &self.name
    }

    fn variables(&self) -> Vec<Variable> {
        vec![self.total.clone(), self.count.clone()]
    }

    fn update(&self, _: &Tensor, y_pred: &Tensor, sample_weight: Option<&Tensor>) -> kiln_graph::Result<()> {
        self.update_values(y_pred, sample_weight)
    }

    fn result(&self) -> Tensor {
        let (total, count) = (self.total.read(), self.count.read());
        let nothing = count.equal(0.0);
        Tensor::select(&nothing, 0.0, total / Tensor::select(&nothing, 1.0, count))
    }

    fn direction(&self) -> Option<Direction> {
        None
    }
}
