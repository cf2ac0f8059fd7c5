//! Branches and loops: every construct against the interpreter and the same computation unrolled in Rust, gradients
//! against differences and against unrolled ones, what is executed, and what is refused.

mod arrays;
mod cases;
#[path = "../support/gpu.rs"]
mod gpu;
mod programs;
mod refused;
#[path = "../support/mod.rs"]
mod support;

use kiln_graph::interpret::interpret_tensors;
use kiln_graph::{Device, Result, Tensor, gradients, with_device};

use cases::{Case, cases};

/// Runs a test on the CPU and, where there is one, on the WGSL path.
pub(crate) fn everywhere(test: impl Fn() -> Result<()>) {
    for device in [Some(Device::cpu()), gpu::gpu()].into_iter().flatten() {
        with_device(&device, || test().unwrap_or_else(|e| panic!("{device}: {e}")));
    }
}

fn assert_close(what: &str, found: &[f64], expected: &[f64], relative: f64) {
    let largest = expected.iter().fold(1.0f64, |m, x| m.max(x.abs()));
    assert_eq!(found.len(), expected.len(), "{what}");
    for (i, (a, b)) in found.iter().zip(expected).enumerate() {
        assert!((a - b).abs() <= relative * largest, "{what}[{i}]: {a}, not {b}");
    }
}

/// Σ weight · output over the float outputs.
fn loss(outputs: &[Tensor]) -> Tensor {
    let mut sum = Tensor::scalar(0.0f32);
    for (n, y) in outputs.iter().enumerate().filter(|(_, y)| y.dtype().is_float()) {
        let weights: Vec<f64> = (0..y.len()).map(|i| 0.5 + support::unit(i, 50 + n)).collect();
        sum = sum + (y * support::tensor_of(&weights, y.shape(), y.dtype())).sum(());
    }
    sum
}

fn floats(inputs: &[Tensor]) -> Vec<Tensor> {
    inputs.iter().filter(|t| t.dtype().is_float()).cloned().collect()
}

fn of_case(case: &Case, found: Result<Vec<Vec<f64>>>) -> Vec<Vec<f64>> {
    found.unwrap_or_else(|e| panic!("{}: {e}", case.name))
}

#[test]
fn values_are_those_of_the_interpreter_and_of_the_unrolled_computation() {
    everywhere(|| {
        for case in cases() {
            let inputs = case.inputs();
            let (looped, unrolled) = ((case.looped)(&inputs), (case.unrolled)(&inputs));
            assert_eq!(looped.len(), unrolled.len(), "{}", case.name);
            let meant = of_case(&case, interpret_tensors(&looped));
            let plain = of_case(&case, interpret_tensors(&unrolled));
            for (n, y) in looped.iter().enumerate() {
                let name = format!("{} [{n}]", case.name);
                assert_eq!((y.shape(), y.dtype()), (unrolled[n].shape(), unrolled[n].dtype()), "{name}");
                assert_close(&format!("{name} interpreted"), &meant[n], &plain[n], 1e-12);
                let computed = support::computed(y).unwrap_or_else(|e| panic!("{name}: {e}"));
                assert_close(&name, &computed, &meant[n], 4e-6);
            }
        }
        Ok(())
    });
}

#[test]
fn gradients_are_those_of_the_unrolled_computation() {
    everywhere(|| {
        for case in cases().into_iter().filter(|c| c.differentiable) {
            let inputs = case.inputs();
            let looped = gradients(&loss(&(case.looped)(&inputs)), &floats(&inputs));
            let unrolled = gradients(&loss(&(case.unrolled)(&inputs)), &floats(&inputs));
            let looped = looped.unwrap_or_else(|e| panic!("{}: {e}", case.name));
            let meant = of_case(&case, interpret_tensors(&unrolled?));
            let interpreted = of_case(&case, interpret_tensors(&looped));
            Tensor::eval_all(&looped).unwrap_or_else(|e| panic!("{}: {e}", case.name));
            for (n, g) in looped.iter().enumerate() {
                let name = format!("{} d/d {n}", case.name);
                assert_close(&format!("{name} interpreted"), &interpreted[n], &meant[n], 1e-11);
                assert_close(&name, &support::computed(g)?, &meant[n], 1e-5);
            }
        }
        Ok(())
    });
}

#[test]
fn gradients_are_differences() {
    const STEP: f32 = 1.0 / 1024.0;
    for case in cases().into_iter().filter(|c| c.differentiable) {
        let inputs = case.inputs();
        let found = gradients(&loss(&(case.looped)(&inputs)), &floats(&inputs));
        let found =
            found.and_then(|g| interpret_tensors(&g)).unwrap_or_else(|e| panic!("{}: {e}", case.name));
        let places = (0..inputs.len()).filter(|n| inputs[*n].dtype().is_float());
        for (place, g) in places.zip(found) {
            for i in [0, inputs[place].len() / 2, inputs[place].len().saturating_sub(1)] {
                if inputs[place].is_empty() {
                    continue;
                }
                let at = |by: f32| -> f64 {
                    let mut moved = case.inputs();
                    let mut values = moved[place].to_vec::<f32>().expect("floats");
                    values[i] += by;
                    moved[place] = Tensor::from_vec(values, moved[place].shape());
                    of_case(&case, interpret_tensors(&[loss(&(case.looped)(&moved))]))[0][0]
                };
                let difference = (at(STEP) - at(-STEP)) / (2.0 * f64::from(STEP));
                let largest = 1.0 + g[i].abs();
                assert!(
                    (g[i] - difference).abs() < 2e-4 * largest,
                    "{} d/d {place}[{i}]: {}, not {difference}",
                    case.name,
                    g[i]
                );
            }
        }
    }
}

#[test]
fn second_derivatives_are_those_of_the_unrolled_computation() {
    for case in cases().into_iter().filter(|c| c.differentiable && c.second) {
        let inputs = case.inputs();
        let second = |build: &cases::Build| -> Result<Vec<Tensor>> {
            let first = gradients(&loss(&build(&inputs)), &floats(&inputs))?;
            gradients(&loss(&first), &floats(&inputs))
        };
        let looped = second(&case.looped).unwrap_or_else(|e| panic!("{}: {e}", case.name));
        let unrolled = second(&case.unrolled).unwrap_or_else(|e| panic!("{}: {e}", case.name));
        let (found, meant) = (interpret_tensors(&looped), interpret_tensors(&unrolled));
        let (found, meant) = (of_case(&case, found), of_case(&case, meant));
        for (n, g) in looped.iter().enumerate() {
            let name = format!("{} d²/d {n}", case.name);
            assert_close(&format!("{name} interpreted"), &found[n], &meant[n], 1e-10);
            let computed = with_device(&Device::cpu(), || support::computed(g));
            assert_close(&name, &computed.unwrap_or_else(|e| panic!("{name}: {e}")), &meant[n], 2e-5);
        }
    }
}
