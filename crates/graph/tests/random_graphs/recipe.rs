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

/// Numbers at the edges of `f32`, and of what is a number.
const SPECIAL: [f64; 16] = [
    f64::NAN,
    f64::INFINITY,
    f64::NEG_INFINITY,
    0.0,
    -0.0,
    f32::MAX as f64,
    f32::MIN as f64,
    f32::MIN_POSITIVE as f64,
    1e-40,
    -1e-45,
    1.0 + f32::EPSILON as f64,
    1.0 - f32::EPSILON as f64 / 2.0,
    -1.0,
    16_777_216.0,
    1e-20,
    -2.5,
];

/// Data that the recipe starts from.
#[derive(Clone, Debug)]
pub(crate) struct Leaf {
    pub(crate) shape: Vec<usize>,
    pub(crate) dtype: DType,
    pub(crate) holder: Holder,
    /// Whole numbers of this range, scaled by `unit`.
    pub(crate) range: (i64, i64),
    pub(crate) unit: f64,
    /// Every third is of [`SPECIAL`].
    pub(crate) special: bool,
    pub(crate) seed: usize,
}

impl Leaf {
    fn numbers(&self) -> Vec<f64> {
        let (low, high) = self.range;
        let count = self.shape.iter().product();
        let plain = |i: usize| low as f64 + (unit(i, self.seed) * (high - low + 1) as f64).floor();
        let number = |i: usize| match self.special && unit(i, self.seed + 1000) < 0.3 {
            true => SPECIAL[(unit(i, self.seed + 2000) * SPECIAL.len() as f64) as usize],
            false => plain(i) * self.unit,
        };
        (0..count).map(number).collect()
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
    /// An operation on earlier values, and how it reads; branches and loops also without any, every turn written out.
    Apply { text: String, inputs: Vec<usize>, apply: Apply, unrolled: Option<Apply> },
}

/// How a recipe is built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// As it reads.
    Plain,
    /// Every value goes to memory.
    Stored,
    /// Without branches and loops.
    Unrolled,
}

/// What is known of a value whose inputs are exact.
#[derive(Clone, Debug)]
pub(crate) struct Facts {
    pub(crate) shape: Vec<usize>,
    pub(crate) dtype: DType,
    /// The least and the largest element.
    pub(crate) range: (f64, f64),
    /// Holds what is no moderate number: NaN, infinities, very large and very small ones.
    pub(crate) special: bool,
}

impl Facts {
    pub(crate) fn plain(&self) -> bool {
        self.dtype == DType::F32 && !self.special
    }

    pub(crate) fn rank(&self) -> usize {
        self.shape.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.shape.contains(&0)
    }
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
    /// Gradients are differentiated again.
    pub(crate) twice: bool,
}

impl Recipe {
    /// The values over given leaves.
    pub(crate) fn build(&self, leaves: &[Tensor], form: Form) -> Vec<Tensor> {
        let mut values: Vec<Tensor> = vec![];
        for step in &self.steps {
            let value = match step {
                Step::Leaf(n) => leaves[*n].clone(),
                Step::Apply { inputs, apply, unrolled, .. } => {
                    let inputs: Vec<Tensor> = inputs.iter().map(|i| values[*i].clone()).collect();
                    match (form, unrolled) {
                        (Form::Unrolled, Some(unrolled)) => unrolled(&inputs),
                        (Form::Stored, _) => apply(&inputs).barrier(),
                        _ => apply(&inputs),
                    }
                }
            };
            values.push(value);
        }
        values
    }

    /// Whether any step has a branch or a loop.
    pub(crate) fn has_control_flow(&self) -> bool {
        self.steps.iter().any(|s| matches!(s, Step::Apply { unrolled: Some(_), .. }))
    }

    /// The operations that no step uses, and some that are used.
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
        let computed = |i: &usize| matches!(self.steps[*i], Step::Apply { .. });
        let kept = |i: &usize| computed(i) && (!used[*i] || unit(*i, count) < 0.08);
        self.outputs = (0..count).filter(kept).collect();
    }
}

impl fmt::Display for Recipe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, (step, facts)) in self.steps.iter().zip(&self.facts).enumerate() {
            match step {
                Step::Leaf(n) => {
                    let Leaf { holder, range, unit, seed, special, .. } = &self.leaves[*n];
                    let special = if *special { ", special" } else { "" };
                    write!(f, "v{i} = {holder:?} {range:?} · {unit}{special}, seed {seed}")?;
                }
                Step::Apply { text, inputs, .. } => {
                    let inputs: Vec<String> = inputs.iter().map(|i| format!("v{i}")).collect();
                    write!(f, "v{i} = {text} of {}", inputs.join(", "))?;
                }
            }
            let (low, high) = facts.range;
            let special = if facts.special { ", special" } else { "" };
            writeln!(f, "    # {} {:?}, {low:.4}..{high:.4}{special}", facts.dtype, facts.shape)?;
        }
        let Recipe { outputs, assigns, packed, twice, .. } = self;
        writeln!(f, "outputs {outputs:?}, assigns (leaf, value) {assigns:?}, packed {packed}, twice {twice}")
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
