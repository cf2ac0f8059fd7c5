//! Gradients of the user's.

use crate::bundle::{Source, bundle, results};
use crate::error::At;
use crate::tensor::{Tensor, here};

type Rule = dyn Fn(&[Tensor], &[Tensor], &[Tensor]) -> Vec<Option<Tensor>> + Send + Sync;

/// A gradient of the user's: from (gradients of the values, values, inputs) to the gradient of each input.
pub(crate) struct CustomRule {
    rule: Box<Rule>,
}

impl CustomRule {
    pub(crate) fn new(
        rule: impl Fn(&[Tensor], &[Tensor], &[Tensor]) -> Vec<Option<Tensor>> + Send + Sync + 'static,
    ) -> CustomRule {
        CustomRule { rule: Box::new(rule) }
    }

    /// The gradient of each input, given those of the values, the values, and the inputs.
    pub(crate) fn apply(&self, gs: &[Tensor], values: &[Tensor], inputs: &[Tensor]) -> Vec<Option<Tensor>> {
        let at = values.first().map_or_else(here, |t| t.node.at);
        of_custom((self.rule)(gs, values, inputs), inputs, at)
    }

    /// The gradients of a bundle's inputs: none of the values, and what the rule gives of the others.
    pub(super) fn gradients(&self, bundle: &Tensor, gs: &[Option<Tensor>], at: At) -> Vec<Option<Tensor>> {
        let (values, inputs) = bundle.node.inputs.split_at(gs.len());
        let zeros = |(g, y): (&Option<Tensor>, &Tensor)| g.clone().unwrap_or_else(|| y.zeros_like());
        let gs: Vec<Tensor> = gs.iter().zip(values).map(zeros).collect();
        let mut gradients = vec![None; values.len()];
        // As results of the bundle, so that what the rule makes of them has this gradient too.
        gradients.extend(of_custom((self.rule)(&gs, &results(bundle), inputs), inputs, at));
        gradients
    }
}

impl Tensor {
    /// `value`, with a gradient of your own: `rule(g, y, inputs)` gives the gradient with respect to each input, given
    /// that with respect to the value (`None` for no gradient). Nothing flows to what the value is computed from.
    ///
    /// ```
    /// use kiln_graph::{Tensor, gradients};
    /// let x = Tensor::from_slice(&[0.3f32, 0.8]);
    /// // Rounds in the forward pass, lets the gradient through.
    /// let y = Tensor::custom_gradient(&x.round(), &[x.clone()], |g, _, _| vec![Some(g.clone())]);
    /// let dx = &gradients(&y.sum(()), &[x])?[0];
    /// assert_eq!(dx.to_vec::<f32>()?, [1.0, 1.0]);
    /// # Ok::<(), kiln_graph::Error>(())
    /// ```
    #[track_caller]
    pub fn custom_gradient(
        value: &Tensor,
        inputs: &[Tensor],
        rule: impl Fn(&Tensor, &Tensor, &[Tensor]) -> Vec<Option<Tensor>> + Send + Sync + 'static,
    ) -> Tensor {
        let of_one = move |g: &[Tensor], y: &[Tensor], x: &[Tensor]| rule(&g[0], &y[0], x);
        Tensor::custom_gradients(std::slice::from_ref(value), inputs, of_one).remove(0)
    }

    /// [`Tensor::custom_gradient`] of several values: `rule(gradients, values, inputs)`. A value that the loss does not
    /// depend on has a gradient of zeros.
    #[track_caller]
    pub fn custom_gradients(
        values: &[Tensor],
        inputs: &[Tensor],
        rule: impl Fn(&[Tensor], &[Tensor], &[Tensor]) -> Vec<Option<Tensor>> + Send + Sync + 'static,
    ) -> Vec<Tensor> {
        if let Some(failed) = values.iter().chain(inputs).find(|t| t.error().is_some()) {
            return vec![failed.clone(); values.len()];
        }
        let forms = values.iter().map(|t| (t.shape().to_vec(), t.dtype())).collect();
        let source = Source::Custom(CustomRule::new(rule));
        bundle(source, [values, inputs].concat(), forms, here())
    }
}

/// The same value as a tensor of its own, so that a gradient with respect to it is not one with respect to the other. It
/// passes gradients on, and is nothing in the graph.
pub(crate) fn alias(tensor: &Tensor, at: At) -> Tensor {
    let rule = CustomRule { rule: Box::new(|g, _, _| vec![Some(g[0].clone())]) };
    let form = (tensor.shape().to_vec(), tensor.dtype());
    bundle(Source::Custom(rule), vec![tensor.clone(), tensor.clone()], vec![form], at).remove(0)
}

/// What a user's rule gives, where it fits the inputs.
fn of_custom(gradients: Vec<Option<Tensor>>, inputs: &[Tensor], at: At) -> Vec<Option<Tensor>> {
    let fits = |(gradient, input): (&Option<Tensor>, &Tensor)| {
        gradient.as_ref().is_none_or(|g| g.error().is_some() || g.shape() == input.shape())
    };
    if gradients.len() == inputs.len() && gradients.iter().zip(inputs).all(fits) {
        return gradients;
    }
    let shapes: Vec<&[usize]> = inputs.iter().map(Tensor::shape).collect();
    let received: Vec<Option<&[usize]>> = gradients.iter().map(|g| g.as_ref().map(Tensor::shape)).collect();
    let message = format!("expected a gradient for each input, of shapes {shapes:?}, received {received:?}");
    vec![Some(Tensor::failed("custom_gradient", message, at)); inputs.len()]
}
