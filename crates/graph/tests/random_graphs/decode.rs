//! From genes to a recipe: every gene adds a value by one operation that is possible on the values there are.

use std::sync::Arc;

use kiln_graph::{DType, Tensor};

use crate::contract;
use crate::elementwise;
use crate::fold;
use crate::layout;
use crate::recipe::{Apply, Facts, Gene, Holder, Leaf, Recipe, Step};

/// Larger values are scaled down before they are used further.
pub(crate) const LARGEST: f64 = 8.0;
/// Distance of the numbers in exact float leaves.
const GRID: f64 = 1.0 / 16.0;
const MOST_ELEMENTS: usize = 3000;

/// Adds values to a recipe, one gene at a time.
pub(crate) struct Decoder {
    pub(crate) recipe: Recipe,
    /// Expressions that are never computed: they tell shapes.
    tensors: Vec<Tensor>,
    gene: Gene,
    at: usize,
}

pub(crate) fn decode(genes: &[Gene]) -> Recipe {
    let mut decoder = Decoder { recipe: Recipe::default(), tensors: vec![], gene: [0; 12], at: 0 };
    let settings = genes.first().map_or(0, |g| g[11]);
    for gene in genes {
        decoder.gene = *gene;
        decoder.at = 0;
        decoder.add();
    }
    decoder.recipe.packed = settings % 3 == 2;
    decoder.recipe.choose_outputs();
    decoder.assign(settings);
    decoder.recipe
}

impl Decoder {
    /// The next choice among `count`.
    pub(crate) fn choose(&mut self, count: usize) -> usize {
        let byte = self.gene[self.at % self.gene.len()];
        self.at += 1;
        byte as usize % count.max(1)
    }

    pub(crate) fn flag(&mut self) -> bool {
        self.choose(2) == 1
    }

    /// An earlier value that satisfies a condition; late ones first.
    pub(crate) fn pick(&mut self, wanted: impl Fn(&Facts) -> bool) -> Option<usize> {
        // Not a large value itself: rounding of it is more than a sine's whole range. Its scaled form comes after it.
        let usable = |f: &Facts| wanted(f) && (!f.dtype.is_float() || f.bound <= LARGEST);
        let fitting: Vec<usize> =
            (0..self.recipe.facts.len()).rev().filter(|i| usable(&self.recipe.facts[*i])).collect();
        // Two bytes: half of the picks are among the latest.
        let near = if self.flag() { fitting.len() } else { fitting.len().min(4) };
        let chosen = self.choose(near);
        fitting.get(chosen).copied()
    }

    pub(crate) fn facts(&self, id: usize) -> Facts {
        self.recipe.facts[id].clone()
    }

    fn add(&mut self) {
        let kind = self.choose(64);
        let added = match kind {
            0..=5 => self.leaf(),
            6..=15 => elementwise::unary(self),
            16..=25 => elementwise::binary(self),
            26..=28 => elementwise::decision(self),
            29..=31 => elementwise::conversion(self),
            32..=38 => fold::reduce(self),
            39..=41 => fold::scan_or_sort(self),
            42..=49 => layout::view(self),
            50..=52 => layout::join(self),
            53..=55 => contract::index(self),
            56..=60 => contract::product(self),
            _ => contract::composite(self),
        };
        if added.is_none() {
            self.leaf();
        }
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

    fn leaf(&mut self) -> Option<usize> {
        let kind = self.choose(12);
        let shape = self.shape();
        match kind {
            0..=8 => self.leaf_of(shape, DType::F32),
            9 => self.leaf_of(shape, DType::I32),
            10 => self.leaf_of(shape, DType::Bool),
            _ => {
                let axis = self.choose(shape.len());
                let bound = shape.get(axis).copied().unwrap_or(1) as f64;
                let text = format!("iota({shape:?}, {axis})");
                match shape.is_empty() {
                    true => self.leaf_of(shape, DType::F32),
                    false => self.push(text, &[], bound, move |_| Tensor::iota(&shape, axis)),
                }
            }
        }
    }

    /// A leaf of small numbers that every executor holds exactly.
    pub(crate) fn leaf_of(&mut self, shape: Vec<usize>, dtype: DType) -> Option<usize> {
        let (range, unit) = match dtype {
            DType::Bool => ((0, 1), 1.0),
            DType::I32 => ((-8, 8), 1.0),
            DType::U32 | DType::U8 => ((0, 9), 1.0),
            DType::F32 | DType::F16 | DType::BF16 => ((-32, 32), GRID),
        };
        self.leaf_in(shape, dtype, range, unit)
    }

    /// A leaf of whole numbers of a range, scaled by `unit`.
    pub(crate) fn leaf_in(
        &mut self,
        shape: Vec<usize>,
        dtype: DType,
        range: (i64, i64),
        unit: f64,
    ) -> Option<usize> {
        let holder = [Holder::Constant, Holder::Argument, Holder::Variable][self.choose(3)];
        let seed = self.choose(256);
        let leaf = Leaf { shape: shape.clone(), dtype, holder, range, unit, seed };
        self.tensors.push(leaf.tensor());
        self.recipe.leaves.push(leaf);
        self.recipe.steps.push(Step::Leaf(self.recipe.leaves.len() - 1));
        let bound = range.0.abs().max(range.1.abs()) as f64 * unit;
        let facts = Facts { shape, dtype, bound, exact: true, rough: false, rounding: 2f64.powi(-24) };
        self.recipe.facts.push(facts);
        Some(self.recipe.steps.len() - 1)
    }

    /// Appends an operation whose rounding and roughness follow from its inputs'; exact where they are.
    pub(crate) fn push(
        &mut self,
        text: impl Into<String>,
        inputs: &[usize],
        bound: f64,
        apply: impl Fn(&[Tensor]) -> Tensor + Send + Sync + 'static,
    ) -> Option<usize> {
        let exact = inputs.iter().all(|i| self.recipe.facts[*i].exact);
        self.push_as(text.into(), inputs, bound, (exact, false), Arc::new(apply))
    }

    /// Appends an operation that rounds.
    pub(crate) fn push_inexact(
        &mut self,
        text: impl Into<String>,
        inputs: &[usize],
        bound: f64,
        apply: impl Fn(&[Tensor]) -> Tensor + Send + Sync + 'static,
    ) -> Option<usize> {
        self.push_as(text.into(), inputs, bound, (false, false), Arc::new(apply))
    }

    /// Appends an operation with jumps in its gradient.
    pub(crate) fn push_rough(
        &mut self,
        text: impl Into<String>,
        inputs: &[usize],
        bound: f64,
        apply: impl Fn(&[Tensor]) -> Tensor + Send + Sync + 'static,
    ) -> Option<usize> {
        let exact = inputs.iter().all(|i| self.recipe.facts[*i].exact);
        self.push_as(text.into(), inputs, bound, (exact, !exact), Arc::new(apply))
    }

    fn push_as(
        &mut self,
        text: String,
        inputs: &[usize],
        bound: f64,
        (exact, rough): (bool, bool),
        apply: Apply,
    ) -> Option<usize> {
        let tensors: Vec<Tensor> = inputs.iter().map(|i| self.tensors[*i].clone()).collect();
        let made = apply(&tensors);
        if let Some(error) = made.error() {
            panic!("{text} of {tensors:?}: {error}");
        }
        if made.len() > 4 * MOST_ELEMENTS {
            return None;
        }
        let of = inputs.iter().map(|i| &self.recipe.facts[*i]);
        let own = match made.dtype() {
            DType::F16 => 2f64.powi(-11),
            DType::BF16 => 2f64.powi(-8),
            _ => 2f64.powi(-24),
        };
        let is_large = made.dtype().is_float() && bound > LARGEST;
        let facts = Facts {
            shape: made.shape().to_vec(),
            dtype: made.dtype(),
            bound,
            // Numbers of the grid up to LARGEST fit every float type.
            exact: exact && !is_large,
            rough: rough || of.clone().any(|f| f.rough),
            rounding: of.map(|f| f.rounding).fold(own, f64::max),
        };
        self.recipe.facts.push(facts);
        self.tensors.push(made);
        self.recipe.steps.push(Step::Apply { text, inputs: inputs.to_vec(), apply });
        let id = self.recipe.steps.len() - 1;
        if is_large {
            let factor = 2f64.powi(-(bound / LARGEST).log2().ceil() as i32) as f32;
            return self.push_inexact(format!("scale {factor}"), &[id], bound * factor as f64, move |x| {
                &x[0] * factor
            });
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
