//! Several tensors as one: the results of a call, or values with a gradient of the user's.
//!
//! A bundle is a tensor without elements; [`Op::Result`] takes one of its tensors. Gradients gather at the bundle, so
//! that its rule sees those of all results at once.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use kiln_device::DType;

use crate::error::At;
use crate::grad::CustomRule;
use crate::op::{self, Form, Op};
use crate::tensor::{Kind, Node, Tensor};

/// What a bundle is made of.
pub(crate) struct Bundle {
    pub(crate) source: Source,
    pub(crate) forms: Vec<Form>,
    /// The results that users hold: who computes one computes all of them.
    held: Mutex<Vec<Weak<Node>>>,
}

/// Where the tensors of a bundle come from.
pub(crate) enum Source {
    /// The first inputs as they are, with a gradient of the user's for the others.
    Custom(CustomRule),
    /// A function of the host.
    Host(Arc<op::Call>),
}

impl Bundle {
    /// The graph's operation, where there is one.
    pub(crate) fn call(&self) -> Option<&Arc<op::Call>> {
        match &self.source {
            Source::Custom(_) => None,
            Source::Host(call) => Some(call),
        }
    }

    /// The results that somebody holds and that are not computed yet.
    pub(crate) fn pending(&self) -> Vec<Tensor> {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let alive = held.iter().filter_map(Weak::upgrade).filter(|node| node.value.get().is_none());
        alive.map(|node| Tensor { node }).collect()
    }
}

/// The tensors of a bundle of `inputs`.
pub(crate) fn bundle(source: Source, inputs: Vec<Tensor>, forms: Vec<Form>, at: At) -> Vec<Tensor> {
    let kind = Kind::Bundle(Arc::new(Bundle { source, forms, held: Mutex::default() }));
    let bundle = Tensor::new(kind, inputs, vec![0], DType::Bool, at);
    let results = results(&bundle);
    if let Kind::Bundle(all) = &bundle.node.kind {
        let held = results.iter().map(|t| Arc::downgrade(&t.node)).collect();
        *all.held.lock().unwrap_or_else(PoisonError::into_inner) = held;
    }
    results
}

/// All tensors of a bundle.
pub(crate) fn results(bundle: &Tensor) -> Vec<Tensor> {
    let Kind::Bundle(all) = &bundle.node.kind else { return vec![] };
    let result = |(index, (shape, dtype)): (usize, &Form)| {
        let kind = Kind::Op(Op::Result { index });
        Tensor::new(kind, vec![bundle.clone()], shape.clone(), *dtype, bundle.node.at)
    };
    all.forms.iter().enumerate().map(result).collect()
}
