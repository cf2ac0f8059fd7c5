//! A case: leaf tensors, what is computed of them, and how exactly executors must agree.

use std::rc::Rc;

use kiln_graph::{DType, Tensor, gradients_with};

/// How far an executor may be from the interpreter; `u` = 2⁻²⁴ (2⁻⁵³, 2⁻¹¹, 2⁻⁸) for results in `f32` (`f64`, `f16`,
/// `bf16`). Absolute distances are those of `f32`; in `f64` they are 2⁻²⁹ of that.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Tolerance {
    /// Equal once rounded to the result's type.
    Exact,
    /// So many units in the last place, or 2·10⁻⁷ (the absolute part of elementary functions).
    Ulp(f64),
    /// An absolute distance.
    Absolute(f64),
    /// So many `u` of the largest element of the result.
    Largest(f64),
    /// So many `u` of the largest element of the result or of 1.
    Near(f64),
    /// Sums of so many terms: 4 · log₂ n · `u` of the sum of absolute values.
    Sum(usize),
    /// Sums of so many products: (8 + √n) · `u` of the sum of absolute values.
    Products(usize),
}

/// What a leaf holds.
#[derive(Clone, Debug)]
enum Fill {
    /// Numbers spread over a range.
    Range(f64, f64),
    /// Whole numbers from a range, both ends included.
    Whole(i64, i64),
    /// Different numbers in −2..2 in no order, none near another nor near 0.
    Distinct,
    /// These, again and again.
    Values(Vec<f64>),
}

/// A leaf.
#[derive(Clone, Debug)]
pub(crate) struct Input {
    shape: Vec<usize>,
    dtype: DType,
    fill: Fill,
}

impl Input {
    fn new(shape: &[usize], dtype: DType, fill: Fill) -> Input {
        Input { shape: shape.to_vec(), dtype, fill }
    }

    pub(crate) fn range(shape: &[usize], low: f64, high: f64) -> Input {
        Input::new(shape, DType::F32, Fill::Range(low, high))
    }

    pub(crate) fn whole(shape: &[usize], low: i64, high: i64) -> Input {
        Input::new(shape, DType::I32, Fill::Whole(low, high))
    }

    pub(crate) fn distinct(shape: &[usize]) -> Input {
        Input::new(shape, DType::F32, Fill::Distinct)
    }

    pub(crate) fn values(shape: &[usize], dtype: DType, values: &[f64]) -> Input {
        Input::new(shape, dtype, Fill::Values(values.to_vec()))
    }

    /// The same numbers in another type.
    pub(crate) fn cast(self, dtype: DType) -> Input {
        Input { dtype, ..self }
    }

    /// The leaf's numbers before they are rounded to its type; `position` tells equal inputs of a case apart.
    fn numbers(&self, position: usize) -> Vec<f64> {
        let count: usize = self.shape.iter().product();
        match &self.fill {
            Fill::Range(low, high) => (0..count).map(|i| low + (high - low) * unit(i, position)).collect(),
            Fill::Whole(low, high) => {
                let span = (high - low + 1) as f64;
                (0..count).map(|i| *low as f64 + (span * unit(i, position)).floor()).collect()
            }
            Fill::Distinct => {
                let mut order: Vec<usize> = (0..count).collect();
                order.sort_by(|a, b| unit(*a, position).total_cmp(&unit(*b, position)));
                let offset = 0.3 + 0.13 * position as f64;
                order.iter().map(|rank| (*rank as f64 + offset) / count as f64 * 4.0 - 2.0).collect()
            }
            Fill::Values(values) => values.iter().copied().cycle().take(count).collect(),
        }
    }

    fn tensor(&self, position: usize) -> Tensor {
        tensor_of(&self.numbers(position), &self.shape, self.dtype)
    }
}

/// A number in 0..1 that differs from that of other elements and inputs: splitmix64.
fn unit(element: usize, position: usize) -> f64 {
    let mut z = (element as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ ((position as u64 + 1) << 40);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
}

/// A leaf of any element type.
pub(crate) fn tensor_of(numbers: &[f64], shape: &[usize], dtype: DType) -> Tensor {
    let leaf = |numbers: Vec<f32>| Tensor::from_vec(numbers, shape);
    match dtype {
        DType::F32 => leaf(numbers.iter().map(|x| *x as f32).collect()),
        DType::F64 => Tensor::from_vec(numbers, shape),
        DType::I64 => Tensor::from_vec(numbers.iter().map(|x| *x as i64).collect::<Vec<_>>(), shape),
        DType::F16 => {
            Tensor::from_vec(numbers.iter().map(|x| kiln_device::nearest_f16(*x)).collect::<Vec<_>>(), shape)
        }
        DType::BF16 => {
            Tensor::from_vec(numbers.iter().map(|x| kiln_device::nearest_bf16(*x)).collect::<Vec<_>>(), shape)
        }
        DType::I32 => Tensor::from_vec(numbers.iter().map(|x| *x as i32).collect::<Vec<_>>(), shape),
        DType::U32 => Tensor::from_vec(numbers.iter().map(|x| *x as u32).collect::<Vec<_>>(), shape),
        DType::U8 => Tensor::from_vec(numbers.iter().map(|x| *x as u8).collect::<Vec<_>>(), shape),
        DType::Bool => Tensor::from_vec(numbers.iter().map(|x| *x != 0.0).collect::<Vec<_>>(), shape),
    }
}

type Build = dyn Fn(&[Tensor]) -> Vec<Tensor>;

/// One row of the table.
#[derive(Clone)]
pub(crate) struct Case {
    pub(crate) name: String,
    inputs: Vec<Input>,
    pub(crate) tolerance: Tolerance,
    /// Its float outputs have gradients with respect to its `f32` (`f64`) inputs, which stand away from kinks.
    pub(crate) differentiable: bool,
    pub(crate) build: Rc<Build>,
}

impl Case {
    pub(crate) fn new(
        name: impl Into<String>,
        inputs: impl Into<Vec<Input>>,
        tolerance: Tolerance,
        build: impl Fn(&[Tensor]) -> Tensor + 'static,
    ) -> Case {
        let build = Rc::new(move |x: &[Tensor]| vec![build(x)]);
        Case { name: name.into(), inputs: inputs.into(), tolerance, differentiable: false, build }
    }

    /// The same case, whose gradients are right too.
    pub(crate) fn differentiable(self) -> Case {
        Case { differentiable: true, ..self }
    }

    /// The same case of the gradients of its output.
    pub(crate) fn of_gradients(self) -> Case {
        let inner = self.clone();
        let build = Rc::new(move |x: &[Tensor]| inner.gradients(x, &(inner.build)(x)));
        Case { name: format!("gradients of {}", self.name), build, ..self }
    }

    /// Fresh leaves.
    pub(crate) fn tensors(&self) -> Vec<Tensor> {
        self.inputs.iter().enumerate().map(|(i, input)| input.tensor(i)).collect()
    }

    /// Fresh leaves of the absolute values, for bounds that depend on those.
    pub(crate) fn magnitudes(&self) -> Vec<Tensor> {
        let leaf = |(i, input): (usize, &Input)| {
            let numbers: Vec<f64> = input.numbers(i).iter().map(|x| x.abs()).collect();
            tensor_of(&numbers, &input.shape, input.dtype)
        };
        self.inputs.iter().enumerate().map(leaf).collect()
    }

    /// The inputs that gradients are taken for.
    pub(crate) fn targets<'a>(&self, inputs: &'a [Tensor]) -> Vec<&'a Tensor> {
        inputs.iter().filter(|t| matches!(t.dtype(), DType::F32 | DType::F64)).collect()
    }

    /// The same case with `f64` in the place of `f32`, where it has any.
    pub(crate) fn in_doubles(&self) -> Option<Case> {
        let is_single = |input: &Input| input.dtype == DType::F32;
        let double =
            |input: &Input| if is_single(input) { input.clone().cast(DType::F64) } else { input.clone() };
        self.inputs.iter().any(is_single).then(|| Case {
            name: format!("{} in f64", self.name),
            inputs: self.inputs.iter().map(double).collect(),
            ..self.clone()
        })
    }

    /// Weights of the scalar Σ weight · output that gradients are of.
    pub(crate) fn weights(output: &Tensor, position: usize) -> Vec<f64> {
        let weight = |i: usize| ((0.5 + unit(i, 100 + position)) as f32) as f64;
        (0..output.len()).map(weight).collect()
    }

    /// Gradients of Σ weight · output with respect to every target.
    pub(crate) fn gradients(&self, inputs: &[Tensor], outputs: &[Tensor]) -> Vec<Tensor> {
        let targets: Vec<Tensor> = self.targets(inputs).into_iter().cloned().collect();
        let mut sums: Vec<Option<Tensor>> = vec![None; targets.len()];
        for (i, y) in outputs.iter().enumerate().filter(|(_, y)| y.dtype().is_float()) {
            let cotangent = tensor_of(&Case::weights(y, i), y.shape(), y.dtype());
            let gradients =
                gradients_with(y, &cotangent, &targets).unwrap_or_else(|e| panic!("{}: {e}", self.name));
            for (sum, gradient) in sums.iter_mut().zip(gradients) {
                *sum = Some(sum.take().map_or(gradient.clone(), |s| s + &gradient));
            }
        }
        sums.into_iter().flatten().collect()
    }
}
