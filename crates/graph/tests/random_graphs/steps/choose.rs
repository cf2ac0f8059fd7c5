//! Comparisons, logic, and selection by them.

use kiln_graph::{DType, Tensor};

use super::elementwise::{Binary, partner};
use crate::decode::Decoder;
use crate::recipe::Facts;

const COMPARISONS: [Binary; 6] = [
    ("less", |a, b| a.less(b)),
    ("equal", |a, b| a.equal(b)),
    ("greater_equal", |a, b| a.greater_equal(b)),
    ("not_equal", |a, b| a.not_equal(b)),
    ("greater", |a, b| a.greater(b)),
    ("less_equal", |a, b| a.less_equal(b)),
];

const LOGIC: [Binary; 3] = [
    ("and", |a, b| a.logical_and(b)),
    ("or not", |a, b| a.logical_or(b.logical_not())),
    ("xor", |a, b| a.logical_xor(b)),
];

pub(super) fn decision(d: &mut Decoder) -> Option<usize> {
    match d.choose(4) {
        0 => {
            let x = d.pick(|f| f.dtype != DType::Bool)?;
            let y = partner(d, x, |_| true)?;
            let (name, apply) = d.of(&COMPARISONS);
            d.push(name, &[x, y], move |x| apply(&x[0], &x[1]))
        }
        1 => {
            let x = d.pick(|f| f.dtype == DType::Bool)?;
            let y = partner(d, x, |_| true)?;
            let (name, apply) = d.of(&LOGIC);
            d.push(name, &[x, y], move |x| apply(&x[0], &x[1]))
        }
        2 => {
            // Where it is larger: what is continuous, although a decision.
            let x = d.pick(Facts::plain)?;
            let y = partner(d, x, Facts::plain)?;
            d.push("x where x > y, else y / 2", &[x, y], |x| {
                Tensor::select(&x[0].greater(&x[1]), &x[0], &x[1] * 0.5)
            })
        }
        _ => {
            let x = d.pick(|_| true)?;
            let y = partner(d, x, |_| true)?;
            let shape = kiln_graph::broadcast(&d.facts(x).shape, &d.facts(y).shape)?;
            let fits = |f: &Facts| {
                f.dtype == DType::Bool && kiln_graph::broadcast(&f.shape, &shape).as_ref() == Some(&shape)
            };
            let condition = match d.pick(fits) {
                Some(condition) => condition,
                None => d.leaf_of(shape.clone(), DType::Bool)?,
            };
            d.push("select", &[condition, x, y], |x| Tensor::select(&x[0], &x[1], &x[2]))
        }
    }
}
