//! A recipe: a random expression as a list of steps that can be built again and printed, decoded from genes.
//!
//! Every list of genes is a valid recipe, so proptest shrinks a failure by dropping genes and lowering bytes.

use std::fmt;
use std::sync::Arc;

use kiln_graph::{DType, Tensor};

use crate::support::{tensor_of, unit};

/// What one step is made of: the kind of step, then its choices.
pub(crate) type Gene = [u8; 12];

/// Who holds a leaf where the recipe runs as a function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Holder {
    Constant,
    Argument,
    Variable,
}

/// Data that the recipe starts from.
#[derive(Clone, Debug)]
pub(crate) struct Leaf {
    pub(crate) shape: Vec<usize>,
    pub(crate) dtype: DType,
    pub(crate) holder: Holder,
    /// Whole numbers of this range, scaled by `unit`.
    pub(crate) range: (i64, i64),
    pub(crate) unit: f64,
    pub(crate) seed: usize,
}

impl Leaf {
    pub(crate) fn numbers(&self) -> Vec<f64> {
        let (low, high) = self.range;
        let count = self.shape.iter().product();
        let number = |i: usize| low as f64 + (unit(i, self.seed) * (high - low + 1) as f64).floor();
        (0..count).map(|i| number(i) * self.unit).collect()
    }

    pub(crate) fn tensor(&self) -> Tensor {
        tensor_of(&self.numbers(), &self.shape, self.dtype)
    }
}

pub(crate) type Apply = Arc<dyn Fn(&[Tensor]) -> Tensor + Send + Sync>;

/// One value of the recipe.
#[derive(Clone)]
pub(crate) enum Step {
    /// The n-th leaf.
    Leaf(usize),
    /// An operation on earlier values, and how it reads.
    Apply { text: String, inputs: Vec<usize>, apply: Apply },
}

/// What is known of a value before it is computed.
#[derive(Clone, Debug)]
pub(crate) struct Facts {
    pub(crate) shape: Vec<usize>,
    pub(crate) dtype: DType,
    /// No element is larger in absolute value.
    pub(crate) bound: f64,
    /// Every executor computes it without rounding: decisions may depend on it.
    pub(crate) exact: bool,
    /// Its gradient jumps, at places that rounding may move.
    pub(crate) rough: bool,
    /// Relative distance of neighbouring numbers of the coarsest type it went through.
    pub(crate) rounding: f64,
}

#[derive(Clone, Default)]
pub(crate) struct Recipe {
    pub(crate) leaves: Vec<Leaf>,
    pub(crate) steps: Vec<Step>,
    pub(crate) facts: Vec<Facts>,
    pub(crate) outputs: Vec<usize>,
    /// (leaf, value): what the function assigns to a variable.
    pub(crate) assigns: Vec<(usize, usize)>,
    /// The variables of each dtype share a slab.
    pub(crate) packed: bool,
}

impl Recipe {
    /// The values over given leaves; with `stored`, every one of them goes to memory.
    pub(crate) fn build(&self, leaves: &[Tensor], stored: bool) -> Vec<Tensor> {
        let mut values: Vec<Tensor> = vec![];
        for step in &self.steps {
            let value = match step {
                Step::Leaf(n) => leaves[*n].clone(),
                Step::Apply { inputs, apply, .. } => {
                    let inputs: Vec<Tensor> = inputs.iter().map(|i| values[*i].clone()).collect();
                    let value = apply(&inputs);
                    if stored { value.barrier() } else { value }
                }
            };
            values.push(value);
        }
        values
    }

    /// The values that no step uses, and some that are used.
    pub(crate) fn choose_outputs(&mut self) {
        let mut used = vec![false; self.steps.len()];
        for step in &self.steps {
            if let Step::Apply { inputs, .. } = step {
                for input in inputs {
                    used[*input] = true;
                }
            }
        }
        let count = self.steps.len();
        let kept = |i: &usize| !used[*i] || (unit(*i, count) < 0.08);
        self.outputs = (0..count).filter(kept).collect();
    }
}

impl fmt::Display for Recipe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, (step, facts)) in self.steps.iter().zip(&self.facts).enumerate() {
            match step {
                Step::Leaf(n) => {
                    let Leaf { holder, range, unit, seed, .. } = &self.leaves[*n];
                    write!(f, "v{i} = {holder:?} {range:?} · {unit}, seed {seed}")?;
                }
                Step::Apply { text, inputs, .. } => {
                    let inputs: Vec<String> = inputs.iter().map(|i| format!("v{i}")).collect();
                    write!(f, "v{i} = {text} of {}", inputs.join(", "))?;
                }
            }
            let notes = [(facts.exact, ", exact"), (facts.rough, ", rough")];
            let notes: String = notes.iter().filter(|n| n.0).map(|n| n.1).collect();
            writeln!(f, "    # {} {:?}, |x| ≤ {:.3}{notes}", facts.dtype, facts.shape, facts.bound)?;
        }
        writeln!(
            f,
            "outputs {:?}, assigns (leaf, value) {:?}, packed {}",
            self.outputs, self.assigns, self.packed
        )
    }
}

/// Genes as text, for a replay.
pub(crate) fn to_hex(genes: &[Gene]) -> String {
    genes.iter().flatten().map(|b| format!("{b:02x}")).collect()
}

/// The genes of a text.
pub(crate) fn from_hex(text: &str) -> Vec<Gene> {
    let byte = |i: usize| u8::from_str_radix(&text[2 * i..2 * i + 2], 16).expect("hexadecimal");
    let bytes: Vec<u8> = (0..text.len() / 2).map(byte).collect();
    bytes.chunks_exact(12).map(|gene| gene.try_into().expect("twelve bytes")).collect()
}
