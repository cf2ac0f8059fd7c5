//! Rules of what has several results.

use std::collections::HashMap;

use kiln_device::DType;

use super::{Batched, Batcher, Sources};
use crate::body::{Closed, dependents, ids, like, parameter};
use crate::bundle::{Bundle, Source, bundle};
use crate::control::{OpenArm, make_switch};
use crate::error::{At, Error, Result};
use crate::grad::CustomRule;
use crate::tensor::{Kind, Tensor};
use crate::trace::{self, What};

/// What is traced while bodies are batched.
pub(super) const BODY: What = What::Body("vectorized_map");

impl Batcher {
    /// All results of a bundle, some of whose inputs differ between rows.
    pub(super) fn bundle(&self, one: &Tensor, given: &Bundle, inputs: Vec<Batched>) -> Result<Vec<Batched>> {
        match &given.source {
            Source::Custom(_) => self.custom(one, given, &inputs),
            Source::Host(call) => {
                let host =
                    |x: Vec<Tensor>| bundle(Source::Host(call.clone()), x, given.forms.clone(), one.node.at);
                Ok(self.all_row_by_row(&inputs, host).into_iter().map(Batched::Rows).collect())
            }
            Source::Switch(_, arms) => match &inputs[0] {
                Batched::Same(index) => self.switch(index, arms, &inputs[1..], one.node.at),
                Batched::Rows(indices) => self.selected(indices, arms, &inputs[1..], one.node.at),
            },
            Source::Loop(_, body) => self.looped(body, &inputs, one.node.at),
        }
    }

    /// A branch that all rows take together.
    fn switch(&self, index: &Tensor, arms: &[Closed], passed: &[Batched], at: At) -> Result<Vec<Batched>> {
        let traced = trace::record(BODY, |id| {
            let mut batched = vec![];
            for arm in arms {
                let mut parameters = vec![];
                let mut sources: Sources = HashMap::new();
                for (parameter, value) in arm.parameters.iter().zip(passed) {
                    let own = like(id, value.tensor());
                    let stands =
                        if value.is_rows() { Batched::Rows(own.clone()) } else { Batched::Same(own.clone()) };
                    sources.insert(parameter.node.id, stands);
                    parameters.push(own);
                }
                batched.push((parameters, self.run(&arm.results, sources)?));
            }
            let count = arms.first().map_or(0, |arm| arm.results.len());
            let differs: Vec<bool> =
                (0..count).map(|n| batched.iter().any(|(_, results)| results[n].is_rows())).collect();
            let mut open = vec![];
            for (parameters, results) in batched {
                let result = |(value, rows): (&Batched, &bool)| match rows {
                    true => self.rows_of(value),
                    false => value.tensor().clone(),
                };
                let results: Vec<Tensor> = results.iter().zip(&differs).map(result).collect();
                let inside = dependents(&results, &ids(&parameters));
                let inside = Box::new(move |t: &Tensor| inside.contains(&t.node.id));
                open.push(OpenArm { parameters, results, inside });
            }
            let passed: Vec<Tensor> = passed.iter().map(|v| v.tensor().clone()).collect();
            Ok::<_, Error>((make_switch(index, open, &passed, id, at)?, differs))
        });
        let (results, differs) = traced.0?;
        let of = |(t, rows)| if rows { Batched::Rows(t) } else { Batched::Same(t) };
        Ok(results.into_iter().zip(differs).map(of).collect())
    }

    /// All branches, of which every row selects its own.
    fn selected(
        &self,
        indices: &Tensor,
        arms: &[Closed],
        passed: &[Batched],
        at: At,
    ) -> Result<Vec<Batched>> {
        let last = arms.len().saturating_sub(1) as i32;
        let number = indices.maximum(0).minimum(last);
        let mut chosen: Vec<Tensor> = vec![];
        for (n, arm) in arms.iter().enumerate() {
            let takes = number.equal(n as i32);
            let sources = arm.parameters.iter().zip(passed).map(|(p, v)| (p.node.id, v.clone())).collect();
            let results = self.masked(&takes).run(&arm.results, sources)?;
            let results = results.iter().map(|v| self.rows_of(v));
            chosen = match n {
                0 => results.collect(),
                _ => results.zip(&chosen).map(|(a, b)| self.choose(&takes, &a, b, at)).collect(),
            };
        }
        Ok(chosen.into_iter().map(Batched::Rows).collect())
    }

    /// Values with a gradient of the user's: the rule of one row, batched.
    fn custom(&self, one: &Tensor, given: &Bundle, inputs: &[Batched]) -> Result<Vec<Batched>> {
        let count = given.forms.len();
        let values: Vec<Tensor> = inputs[..count].iter().map(|v| self.rows_of(v)).collect();
        let arguments: Vec<Tensor> = inputs[count..].iter().map(|v| v.tensor().clone()).collect();
        let differs: Vec<bool> = inputs[count..].iter().map(Batched::is_rows).collect();
        let (original, batcher, forms) = (one.clone(), self.clone(), given.forms.clone());
        let rule = move |gs: &[Tensor], ys: &[Tensor], xs: &[Tensor]| {
            let failed = |error| vec![Some(Tensor::from_error(error, original.node.at)); xs.len()];
            let Kind::Bundle(bundle) = &original.node.kind else { return vec![None; xs.len()] };
            let Source::Custom(rule) = &bundle.source else { return vec![None; xs.len()] };
            let traced = trace::record(BODY, |id| {
                let mut sources: Sources = HashMap::new();
                let mut stand_in = |shape: &[usize], dtype: DType, all: Batched| {
                    let own = parameter(id, shape.to_vec(), dtype, original.node.at);
                    sources.insert(own.node.id, all);
                    own
                };
                let g: Vec<Tensor> = forms
                    .iter()
                    .zip(gs)
                    .map(|((shape, dtype), g)| stand_in(shape, *dtype, Batched::Rows(g.clone())))
                    .collect();
                let y: Vec<Tensor> = forms
                    .iter()
                    .zip(ys)
                    .map(|((shape, dtype), y)| stand_in(shape, *dtype, Batched::Rows(y.clone())))
                    .collect();
                let argument = |(x, rows): (&Tensor, &bool)| match rows {
                    true => stand_in(&x.shape()[1..], x.dtype(), Batched::Rows(x.clone())),
                    false => x.clone(),
                };
                let x: Vec<Tensor> = xs.iter().zip(&differs).map(argument).collect();
                let found = rule.apply(&g, &y, &x);
                let present: Vec<Tensor> = found.iter().flatten().cloned().collect();
                let mut batched = batcher.run(&present, sources)?.into_iter();
                let gradient = |(g, rows): (Option<Tensor>, &bool)| {
                    g.and_then(|_| batched.next()).map(|value| match rows {
                        true => batcher.rows_of(&value),
                        // Every row uses the same argument.
                        false => batcher.rows_of(&value).sum(0),
                    })
                };
                Ok(found.into_iter().zip(&differs).map(gradient).collect())
            });
            traced.0.unwrap_or_else(failed)
        };
        let forms = values.iter().map(|t| (t.shape().to_vec(), t.dtype())).collect();
        let source = Source::Custom(CustomRule::new(rule));
        let all = bundle(source, [values, arguments].concat(), forms, one.node.at);
        Ok(all.into_iter().map(Batched::Rows).collect())
    }
}
