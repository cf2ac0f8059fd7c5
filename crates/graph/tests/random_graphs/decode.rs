//! From genes to a recipe: every gene adds a value by one operation that is possible on the values there are.

use std::sync::Arc;

use kiln_graph::interpret::graph_of;
use kiln_graph::{DType, Tensor};

use crate::bounds::{Near, analyse, exact};
use crate::recipe::{Apply, Facts, Gene, Holder, Leaf, Recipe, Step};
use crate::steps;
use crate::support::tensor_of;

/// Larger values are scaled down before they are used further.
const LARGEST: f64 = 8.0;
/// Distance of the numbers in float leaves.
const GRID: f64 = 1.0 / 16.0;
/// Of a leaf; a step may make four times as many.
pub(crate) const MOST_ELEMENTS: usize = 600;

/// Adds values to a recipe, one gene at a time.
pub(crate) struct Decoder {
    pub(crate) recipe: Recipe,
    /// The values, as leaves.
    values: Vec<Tensor>,
    gene: Gene,
    at: usize,
}

pub(crate) fn decode(genes: &[Gene]) -> Recipe {
    let mut decoder = Decoder { recipe: Recipe::default(), values: vec![], gene: [0; 12], at: 0 };
    let settings = genes.first().map_or(0, |g| g[11]);
    for gene in genes {
        decoder.gene = *gene;
        decoder.at = 0;
        if steps::add(&mut decoder).is_none() {
            steps::leaf(&mut decoder);
        }
    }
    decoder.recipe.packed = settings % 3 == 2;
    decoder.recipe.twice = settings % 5 == 4 && genes.len() <= 14;
    decoder.recipe.choose_outputs();
    decoder.assign(settings);
    decoder.recipe
}

impl Decoder {
    /// The next choice among `count`; where the gene ends, its bytes count again, moved.
    pub(crate) fn choose(&mut self, count: usize) -> usize {
        let (round, place) = (self.at / self.gene.len(), self.at % self.gene.len());
        let byte = self.gene[place].wrapping_mul(1 + 2 * round as u8).wrapping_add(round as u8 * 29);
        self.at += 1;
        byte as usize % count.max(1)
    }

    pub(crate) fn of<T: Clone>(&mut self, list: &[T]) -> T {
        list[self.choose(list.len())].clone()
    }

    pub(crate) fn flag(&mut self) -> bool {
        self.choose(2) == 1
    }

    /// An earlier value that satisfies a condition; late ones first.
    pub(crate) fn pick(&mut self, wanted: impl Fn(&Facts) -> bool) -> Option<usize> {
        let fitting: Vec<usize> =
            (0..self.recipe.facts.len()).rev().filter(|i| wanted(&self.recipe.facts[*i])).collect();
        // Two bytes: half of the picks are among the latest.
        let near = if self.flag() { fitting.len() } else { fitting.len().min(4) };
        let chosen = self.choose(near);
        fitting.get(chosen).copied()
    }

    pub(crate) fn facts(&self, id: usize) -> Facts {
        self.recipe.facts[id].clone()
    }

    /// A shape of up to four axes with odd extents, 1 and, rarely, 0.
    pub(crate) fn shape(&mut self) -> Vec<usize> {
        const EXTENTS: [usize; 16] = [2, 3, 4, 1, 5, 6, 7, 8, 2, 3, 9, 12, 16, 1, 33, 0];
        let rank = [1, 2, 3, 2, 3, 4, 0, 2][self.choose(8)];
        let mut shape: Vec<usize> = vec![];
        for _ in 0..rank {
            let extent = EXTENTS[self.choose(16)];
            let extent = if extent == 0 && self.choose(3) > 0 { 10 } else { extent };
            let count: usize = shape.iter().product::<usize>() * extent;
            shape.push(if count > MOST_ELEMENTS { 1 } else { extent });
        }
        shape
    }

    /// A leaf of small numbers that every executor holds exactly.
    pub(crate) fn leaf_of(&mut self, shape: Vec<usize>, dtype: DType) -> Option<usize> {
        let (range, unit) = match dtype {
            DType::Bool => ((0, 1), 1.0),
            DType::I32 => ((-8, 8), 1.0),
            DType::U32 => ((0, 9), 1.0),
            DType::U8 => ((0, 255), 1.0),
            _ => ((-32, 32), GRID),
        };
        self.leaf_with(shape, dtype, (range, unit), false)
    }

    /// A leaf of whole numbers of a range.
    pub(crate) fn leaf_in(&mut self, shape: Vec<usize>, dtype: DType, range: (i64, i64)) -> Option<usize> {
        self.leaf_with(shape, dtype, (range, 1.0), false)
    }

    /// A leaf that holds the special numbers of `f32` too.
    pub(crate) fn special_leaf(&mut self, shape: Vec<usize>) -> Option<usize> {
        self.leaf_with(shape, DType::F32, ((-32, 32), GRID), true)
    }

    fn leaf_with(
        &mut self,
        shape: Vec<usize>,
        dtype: DType,
        (range, unit): ((i64, i64), f64),
        special: bool,
    ) -> Option<usize> {
        let holder = [Holder::Constant, Holder::Argument, Holder::Variable][self.choose(3)];
        let seed = self.choose(256);
        let leaf = Leaf { shape: shape.clone(), dtype, holder, range, unit, special, seed };
        self.values.push(leaf.tensor());
        self.recipe.leaves.push(leaf);
        self.recipe.steps.push(Step::Leaf(self.recipe.leaves.len() - 1));
        let range = (range.0 as f64 * unit, range.1 as f64 * unit);
        self.recipe.facts.push(Facts { shape, dtype, range, special });
        Some(self.recipe.steps.len() - 1)
    }

    /// Appends an operation; none where its value is too long, or says too little.
    pub(crate) fn push(
        &mut self,
        text: impl Into<String>,
        inputs: &[usize],
        apply: impl Fn(&[Tensor]) -> Tensor + Send + Sync + 'static,
    ) -> Option<usize> {
        self.push_as(text.into(), inputs, Arc::new(apply), None)
    }

    /// Appends branches or loops, and the same without any.
    pub(crate) fn push_control(
        &mut self,
        text: String,
        inputs: &[usize],
        apply: impl Fn(&[Tensor]) -> Tensor + Send + Sync + 'static,
        unrolled: impl Fn(&[Tensor]) -> Tensor + Send + Sync + 'static,
    ) -> Option<usize> {
        self.push_as(text, inputs, Arc::new(apply), Some(Arc::new(unrolled)))
    }

    fn push_as(
        &mut self,
        text: String,
        inputs: &[usize],
        apply: Apply,
        unrolled: Option<Apply>,
    ) -> Option<usize> {
        let tensors: Vec<Tensor> = inputs.iter().map(|i| self.values[*i].clone()).collect();
        let made = apply(&tensors);
        if let Some(error) = made.error() {
            panic!("{text} of {tensors:?}: {error}");
        }
        if made.len() > 4 * MOST_ELEMENTS {
            return None;
        }
        let nears = value_of(&made).unwrap_or_else(|e| panic!("{text} of {tensors:?}: {e}"));
        let special = inputs.iter().any(|i| self.recipe.facts[*i].special);
        let facts = facts_of(&made, &nears);
        let lost = nears.iter().filter(|n| n.is_unknown() || !special && !n.value.is_finite()).count();
        if 4 * lost > nears.len() || facts.special && !special && unrolled.is_some() {
            return None;
        }
        let numbers: Vec<f64> = nears.iter().map(|n| n.value).collect();
        self.values.push(tensor_of(&numbers, made.shape(), made.dtype()));
        self.recipe.steps.push(Step::Apply { text, inputs: inputs.to_vec(), apply, unrolled });
        let largest = facts.range.0.abs().max(facts.range.1.abs());
        let is_large = facts.dtype.is_float() && largest > LARGEST;
        self.recipe.facts.push(facts);
        let id = self.recipe.steps.len() - 1;
        if is_large {
            let factor = 2f64.powi(-(largest / LARGEST).log2().ceil() as i32) as f32;
            return self.push(format!("scale {factor}"), &[id], move |x| &x[0] * factor);
        }
        Some(id)
    }

    /// Assigns to some variables a value of their shape and type; the comparison adds a step of descent for others.
    fn assign(&mut self, settings: u8) {
        if settings.is_multiple_of(4) {
            return;
        }
        for n in 0..self.recipe.leaves.len() {
            let leaf = &self.recipe.leaves[n];
            if leaf.holder != Holder::Variable {
                continue;
            }
            let fits = |i: &usize| {
                let facts = &self.recipe.facts[*i];
                facts.shape == leaf.shape && facts.dtype == leaf.dtype
            };
            let fitting: Vec<usize> = (0..self.recipe.steps.len()).filter(fits).collect();
            let value = fitting[(settings as usize / 4 + n * 7) % fitting.len()];
            self.recipe.assigns.push((n, value));
        }
    }
}

/// The elements of an expression of leaves, which hold exactly.
fn value_of(tensor: &Tensor) -> kiln_graph::Result<Vec<Near>> {
    let (graph, leaves) = graph_of(&[], std::slice::from_ref(tensor))?;
    let leaves: Vec<Vec<Near>> = leaves.iter().map(|x| exact(x)).collect();
    Ok(analyse(&graph, &leaves)?.swap_remove(graph.outputs[0].index()))
}

fn facts_of(made: &Tensor, nears: &[Near]) -> Facts {
    let moderate = |x: f64| x.abs() < 1e6 && (x == 0.0 || x.abs() > 1e-20);
    let numbers = nears.iter().map(|n| n.value).filter(|x| moderate(*x));
    let range = numbers.fold((0.0f64, 0.0f64), |(low, high), x| (low.min(x), high.max(x)));
    // What is not known may be what an executor makes of an overflow.
    let special = made.dtype().is_float() && nears.iter().any(|n| n.is_unknown() || !moderate(n.value));
    Facts { shape: made.shape().to_vec(), dtype: made.dtype(), range, special }
}
