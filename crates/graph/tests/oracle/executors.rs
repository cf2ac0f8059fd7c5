//! Every case on every executor of this machine against the interpreter, forward and gradients.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::gpu;
use kiln_graph::interpret::{interpret_tensors, of_whole};
use kiln_graph::{DType, Device, Tensor, with_device};

use crate::case::{Case, Tolerance};
use crate::cases;

/// The executors that open here; a missing one is said, not passed over in silence.
pub(crate) fn devices() -> Vec<Device> {
    [Device::cpu()].into_iter().chain(gpu::gpu()).collect()
}

/// A tensor's elements, computed by its executor.
fn computed(tensor: &Tensor) -> kiln_graph::Result<Vec<f64>> {
    Ok(match tensor.dtype() {
        DType::F32 => tensor.to_vec::<f32>()?.into_iter().map(f64::from).collect(),
        DType::F64 => tensor.to_vec::<f64>()?,
        DType::I64 => tensor.to_vec::<i64>()?.into_iter().map(of_whole).collect(),
        DType::F16 => tensor.to_vec::<half::f16>()?.into_iter().map(f64::from).collect(),
        DType::BF16 => tensor.to_vec::<half::bf16>()?.into_iter().map(f64::from).collect(),
        DType::I32 => tensor.to_vec::<i32>()?.into_iter().map(f64::from).collect(),
        DType::U32 => tensor.to_vec::<u32>()?.into_iter().map(f64::from).collect(),
        DType::U8 => tensor.to_vec::<u8>()?.into_iter().map(f64::from).collect(),
        DType::Bool => tensor.to_vec::<bool>()?.into_iter().map(f64::from).collect(),
    })
}

/// The interpreter's number as the executor has to store it.
fn stored(number: f64, dtype: DType) -> f64 {
    match dtype {
        DType::F32 => number as f32 as f64,
        DType::F16 => kiln_device::nearest_f16(number).to_f64(),
        DType::BF16 => kiln_device::nearest_bf16(number).to_f64(),
        DType::F64 | DType::I32 | DType::I64 | DType::U32 | DType::U8 | DType::Bool => number,
    }
}

/// Half the distance of 1 from the next number: the `u` of the tolerances.
fn rounding(dtype: DType) -> f64 {
    match dtype {
        DType::F16 => 2f64.powi(-11),
        DType::BF16 => 2f64.powi(-8),
        DType::F64 => 2f64.powi(-53),
        DType::F32 | DType::I32 | DType::I64 | DType::U32 | DType::U8 | DType::Bool => 2f64.powi(-24),
    }
}

/// How far an element may be from `expected`; `magnitude` is the sum of the absolute values that it is made of.
fn allowed(tolerance: Tolerance, dtype: DType, expected: f64, magnitude: f64, largest: f64) -> f64 {
    let u = rounding(dtype);
    // An accumulator is f32 whatever the result's narrow type, which rounds once more.
    let (accumulator, scale) = if dtype == DType::F64 { (u, 2f64.powi(-29)) } else { (2f64.powi(-24), 1.0) };
    let stored = if matches!(dtype, DType::F32 | DType::F64) { 0.0 } else { u * expected.abs() };
    match tolerance {
        Tolerance::Exact => 0.0,
        Tolerance::Ulp(count) => (count * 2.0 * u * expected.abs()).max(2e-7 * scale),
        Tolerance::Absolute(distance) => distance * scale,
        Tolerance::Largest(count) => count * u * largest,
        Tolerance::Near(count) => count * u * largest.max(1.0),
        Tolerance::Sum(n) => 4.0 * (n.max(2) as f64).log2() * accumulator * magnitude + stored,
        Tolerance::Products(n) => (8.0 + (n as f64).sqrt()) * accumulator * magnitude + stored,
    }
}

/// Gradients are made of several operations: bounded by the largest of them.
const GRADIENT: Tolerance = Tolerance::Largest(128.0);

struct Compared<'a> {
    name: String,
    tolerance: Tolerance,
    dtype: DType,
    expected: &'a [f64],
    magnitudes: &'a [f64],
}

impl Compared<'_> {
    /// The first element that is too far off.
    fn difference(&self, got: &[f64]) -> Option<String> {
        let finite = |m: f64, x: &f64| if x.is_finite() { m.max(x.abs()) } else { m };
        let largest = self.expected.iter().fold(0.0, finite);
        let wrong = |i: &usize| {
            let (got, exact) = (got[*i], self.expected[*i]);
            let expected = stored(exact, self.dtype);
            if self.dtype == DType::I64 {
                return got.to_bits() != exact.to_bits();
            }
            let same = got == expected || (got.is_nan() && expected.is_nan());
            let limit = allowed(self.tolerance, self.dtype, exact, self.magnitudes[*i], largest);
            // Not `>`: a NaN on one side is a difference.
            let near = (got - exact).abs() <= limit && expected.is_finite();
            !same && !near
        };
        if got.len() != self.expected.len() {
            return Some(format!("{}: {} elements, not {}", self.name, got.len(), self.expected.len()));
        }
        let i = (0..got.len()).find(wrong)?;
        let tolerance = self.tolerance;
        Some(format!("{}[{i}]: {}, not {} ({tolerance:?})", self.name, got[i], self.expected[i]))
    }
}

/// Where an executor differs from the interpreter on one build of a case.
pub(crate) fn differences(
    device: &Device,
    name: &str,
    tolerance: Tolerance,
    build: impl Fn(bool) -> Vec<Tensor>,
) -> Vec<String> {
    let expected = interpret_tensors(&build(false)).unwrap_or_else(|e| panic!("{name}: {e}"));
    let magnitudes = match tolerance {
        Tolerance::Sum(_) | Tolerance::Products(_) => interpret_tensors(&build(true)),
        _ => Ok(expected.clone()),
    };
    let magnitudes = magnitudes.unwrap_or_else(|e| panic!("{name}: {e}"));
    let tensors = build(false);
    let run = || Tensor::eval_all(&tensors).and_then(|()| tensors.iter().map(computed).collect());
    // A panic is a difference too: it shall not hide those of other cases.
    let got: Vec<Vec<f64>> = match catch_unwind(AssertUnwindSafe(|| with_device(device, run))) {
        Ok(Ok(got)) => got,
        Ok(Err(error)) => return vec![format!("{name}: {error}")],
        Err(_) => return vec![format!("{name}: panicked")],
    };
    let compare = |i: usize| {
        let (expected, magnitudes) = (&expected[i][..], &magnitudes[i][..]);
        let name = format!("{name} #{i}");
        Compared { name, tolerance, dtype: tensors[i].dtype(), expected, magnitudes }.difference(&got[i])
    };
    (0..tensors.len()).filter_map(compare).collect()
}

fn leaves(case: &Case, absolute: bool) -> Vec<Tensor> {
    if absolute { case.magnitudes() } else { case.tensors() }
}

/// True where the device has the types of a case.
fn runs(device: &Device, case: &Case) -> bool {
    let inputs = case.tensors();
    let outputs = (case.build)(&inputs);
    inputs.iter().chain(&outputs).all(|t| device.supports(t.dtype()))
}

/// The table, and all of it that has floats once more in `f64`.
fn both_precisions() -> Vec<Case> {
    let singles = cases();
    // Bits of 32 have cases of their own in 64.
    let numbers = singles.iter().filter(|case| !case.name.starts_with("bitcast"));
    let doubles: Vec<Case> = numbers.filter_map(Case::in_doubles).collect();
    assert!(doubles.len() > 300, "{} cases in f64", doubles.len());
    [singles, doubles].concat()
}

fn check_all(found: impl Fn(&Device, &Case) -> Vec<String>) {
    let all = both_precisions();
    for device in devices() {
        let cases = all.iter().filter(|case| runs(&device, case));
        let wrong: Vec<String> = cases.flat_map(|case| found(&device, case)).collect();
        assert!(wrong.is_empty(), "{} differences on {device}:\n{}", wrong.len(), wrong.join("\n"));
    }
}

#[test]
fn executors_agree_with_the_interpreter() {
    check_all(|device, case| {
        let build = |absolute| (case.build)(&leaves(case, absolute));
        differences(device, &case.name, case.tolerance, build)
    });
}

#[test]
fn executors_agree_on_gradients() {
    check_all(|device, case| {
        if !case.differentiable {
            return vec![];
        }
        let build = |absolute| {
            let inputs = leaves(case, absolute);
            case.gradients(&inputs, &(case.build)(&inputs))
        };
        differences(device, &format!("gradients of {}", case.name), GRADIENT, build)
    });
}

#[test]
fn an_index_out_of_range_is_the_same_error_everywhere() {
    for device in devices() {
        let taken =
            |index: i32| Tensor::from_slice(&[1.0f32, 2.0]).take(&Tensor::from_slice(&[0, index, 9]), 0);
        for index in [-1, 2, i32::MAX] {
            let expected = interpret_tensors(&[taken(index)]).expect_err("out of range");
            let got = with_device(&device, || taken(index).to_vec::<f32>()).expect_err("out of range");
            let words =
                |e: kiln_graph::Error| e.to_string().split(" (").next().unwrap_or_default().to_owned();
            assert_eq!(words(got), words(expected), "on {device}");
        }
    }
}
