//! Graphs beyond what one kernel holds: they are cut, and run.

#[path = "support/gpu.rs"]
mod support;

use kiln_graph::{DType, Device, Function, Result, Tensor, TensorSpec, gradients, ops, with_device};
use support::gpu;

/// Both executors, where there are two.
fn devices() -> impl Iterator<Item = Device> {
    std::iter::once(Device::cpu()).chain(gpu())
}

fn input(shape: &[usize], seed: usize) -> Tensor {
    let count = shape.iter().product();
    let values: Vec<f32> =
        (0..count).map(|i: usize| (((i + seed) * 37 + seed * 11) % 101) as f32 / 50.0 - 1.0).collect();
    Tensor::from_vec(values, shape)
}

fn assert_close(computed: &Tensor, expected: &[f32], tolerance: f32) {
    let computed = computed.to_vec::<f32>().expect("a value");
    assert_eq!(computed.len(), expected.len());
    let largest = expected.iter().fold(1.0f32, |m, e| m.max(e.abs()));
    for (i, (c, e)) in computed.iter().zip(expected).enumerate() {
        assert!((c - e).abs() <= tolerance * largest, "element {i}: {c} instead of {e}");
    }
}

const TURNS: usize = 200;

/// One turn of a recurrent network over a batch of 3: 4 units, 2 features.
fn turn(h: &Tensor, x: &Tensor, [w, u, b]: [&Tensor; 3]) -> Tensor {
    (x.matmul(w) + h.matmul(u) * 0.3 + b).tanh()
}

/// The loss and its gradients with respect to `x[1..]`, given the last state and the sum of all.
fn loss_and_gradients(x: &[Tensor], last: &Tensor, sum: &Tensor) -> Result<Vec<Tensor>> {
    let loss = last.square().sum(()) + sum.square().sum(()) * 1e-3;
    let wrt = gradients(&loss, x)?;
    Ok([vec![loss], wrt].concat())
}

#[test]
fn an_unrolled_recurrence_of_200_turns_agrees_with_scan() -> Result<()> {
    let arguments = [input(&[TURNS, 3, 2], 1), input(&[2, 4], 2), input(&[4, 4], 3), input(&[4], 4)];
    let unrolled = Function::new("unrolled", |x| {
        let mut h = Tensor::zeros(&[3, 4]);
        let mut sum = h.clone();
        for t in 0..TURNS as i32 {
            h = turn(&h, &x[0].index(t), [&x[1], &x[2], &x[3]]);
            sum = &sum + &h;
        }
        loss_and_gradients(x, &h, &sum)
    });
    let scanned = Function::new("scanned", |x| {
        let step = |carry: &[Tensor], row: &[Tensor]| {
            let h = turn(&carry[0], &row[0], [&x[1], &x[2], &x[3]]);
            (vec![h.clone(), &carry[1] + h], vec![])
        };
        let start = Tensor::zeros(&[3, 4]);
        let (carry, _) = ops::scan(step, &[start.clone(), start], &x[..1], None, false);
        loss_and_gradients(x, &carry[0], &carry[1])
    });
    for device in devices() {
        with_device(&device, || {
            for (a, b) in unrolled.call(&arguments)?.iter().zip(scanned.call(&arguments)?) {
                assert_close(a, &b.to_vec::<f32>()?, 1e-4);
            }
            Ok::<_, kiln_graph::Error>(())
        })?;
    }
    Ok(())
}

#[test]
fn an_elementwise_recurrence_of_200_turns_agrees_with_scan() -> Result<()> {
    // The gradients of the weights are 200 reductions, all over one batch.
    let arguments = [input(&[TURNS, 40], 1), input(&[8], 2), input(&[8], 3)];
    let turn = |h: &Tensor, x: &Tensor, w: &Tensor, b: &Tensor| (h * w + x.expand_dims(-1) + b).tanh();
    let unrolled = Function::new("unrolled", move |x| {
        let mut h = Tensor::zeros(&[40, 8]);
        let mut sum = h.clone();
        for t in 0..TURNS as i32 {
            h = turn(&h, &x[0].index(t), &x[1], &x[2]);
            sum = &sum + &h;
        }
        loss_and_gradients(x, &h, &sum)
    });
    let scanned = Function::new("scanned", move |x| {
        let step = |carry: &[Tensor], row: &[Tensor]| {
            let h = turn(&carry[0], &row[0], &x[1], &x[2]);
            (vec![h.clone(), &carry[1] + h], vec![])
        };
        let start = Tensor::zeros(&[40, 8]);
        let (carry, _) = ops::scan(step, &[start.clone(), start], &x[..1], None, false);
        loss_and_gradients(x, &carry[0], &carry[1])
    });
    for device in devices() {
        with_device(&device, || {
            for (a, b) in unrolled.call(&arguments)?.iter().zip(scanned.call(&arguments)?) {
                assert_close(a, &b.to_vec::<f32>()?, 1e-4);
            }
            Ok::<_, kiln_graph::Error>(())
        })?;
    }
    Ok(())
}

/// Checks a function of 100 or so tensors on every device, and its number of kernels on the CPU.
fn check(function: &Function, arguments: &[Tensor], expected: &[Vec<f32>], kernels: usize) -> Result<()> {
    for device in devices() {
        with_device(&device, || {
            let results = function.call(arguments)?;
            assert_eq!(results.len(), expected.len());
            results.iter().zip(expected).for_each(|(r, e)| assert_close(r, e, 1e-5));
            Ok::<_, kiln_graph::Error>(())
        })?;
    }
    let report = with_device(&Device::cpu(), || function.explain(arguments))?;
    assert_eq!(report.kernels.len(), kernels, "\n{report}");
    Ok(())
}

fn hundred() -> (Vec<Tensor>, Vec<Vec<f32>>) {
    let tensors: Vec<Tensor> = (0..100).map(|i| input(&[5, 3], i)).collect();
    let values = tensors.iter().map(|t| t.to_vec::<f32>().expect("a value")).collect();
    (tensors, values)
}

#[test]
fn a_sum_of_100_tensors() -> Result<()> {
    let (tensors, values) = hundred();
    let sum = Function::new("sum", |x| Ok(vec![x[1..].iter().fold(x[0].clone(), |sum, x| sum + x)]));
    let expected = (0..15).map(|i| values.iter().map(|v| v[i]).sum()).collect();
    check(&sum, &tensors, &[expected], 1)
}

#[test]
fn a_concatenation_of_100_tensors() -> Result<()> {
    let (tensors, values) = hundred();
    let joined = Function::new("concat", |x| Ok(vec![Tensor::concat(x, 0) * 2.0]));
    let expected = values.concat().iter().map(|x| x * 2.0).collect();
    // Copies of 32 each, and the product.
    check(&joined, &tensors, &[expected], 5)
}

#[test]
fn forty_outputs_of_one_elementwise_graph() -> Result<()> {
    let x = input(&[7, 5], 3);
    let many = Function::new("many", |x| {
        let y = x[0].exp();
        Ok((0..40).map(|i| (&y * i as f32).sin()).collect())
    });
    let values = x.to_vec::<f32>()?;
    let expected: Vec<Vec<f32>> =
        (0..40).map(|i| values.iter().map(|x| (x.exp() * i as f32).sin()).collect()).collect();
    // The exponential once, then eight results in each kernel.
    check(&many, &[x], &expected, 6)
}

#[test]
fn a_hundred_reductions_of_one_tensor() -> Result<()> {
    let x = input(&[6, 50], 3);
    let sums = |x: &Tensor| (1..=100).map(|i| (x * (0.01 * i as f32)).exp().sum(-1)).collect::<Vec<_>>();
    let many = Function::new("many", move |x| {
        let total = sums(&x[0]).into_iter().reduce(|a, b| a.maximum(b));
        Ok(total.into_iter().collect())
    });
    let values = x.to_vec::<f32>()?;
    let row = |row: &[f32], i: i32| row.iter().map(|x| (x * (0.01 * i as f32)).exp()).sum::<f32>();
    let largest = |r: &[f32]| (1..=100).map(|i| row(r, i)).fold(0.0, f32::max);
    let expected = values.chunks(50).map(largest).collect();
    check(&many, &[x], &[expected], 4)
}

#[test]
fn two_thousand_elementwise_operations() -> Result<()> {
    let x = input(&[30], 1);
    let long = Function::new("long", |x| {
        let mut y = x[0].clone();
        for i in 0..1000 {
            y = &y * (1.0 - 1e-3 * (i % 7) as f32) + 1e-4 * i as f32;
        }
        Ok(vec![y])
    });
    let mut expected = x.to_vec::<f32>()?;
    for y in &mut expected {
        for i in 0..1000 {
            *y = *y * (1.0 - 1e-3 * (i % 7) as f32) + 1e-4 * i as f32;
        }
    }
    check(&long, &[x], &[expected], 4)
}

#[test]
fn the_gradient_of_two_thousand_elementwise_operations() -> Result<()> {
    let x = input(&[30], 1);
    let long = Function::new("long", |x| {
        let mut y = x[0].clone();
        for _ in 0..1000 {
            y = &y + y.sin() * 1e-3;
        }
        gradients(&y.sum(()), x)
    });
    let (mut y, mut slope) = (x.to_vec::<f32>()?, vec![1.0f32; 30]);
    for _ in 0..1000 {
        for (y, slope) in y.iter_mut().zip(&mut slope) {
            *slope *= 1.0 + 1e-3 * y.cos();
            *y += 1e-3 * y.sin();
        }
    }
    for device in devices() {
        with_device(&device, || {
            assert_close(&long.call(std::slice::from_ref(&x))?[0], &slope, 1e-4);
            Ok::<_, kiln_graph::Error>(())
        })?;
    }
    Ok(())
}

#[test]
fn the_program_of_a_ctc_loss_does_not_grow_with_its_frames() -> Result<()> {
    let step = Function::new("ctc", |x| {
        let loss = ops::ctc_loss(&x[0], &x[1], &x[2], &x[3], 0).mean(());
        Ok([vec![loss.clone()], gradients(&loss, &x[1..2])?].concat())
    });
    let kernels = |frames: usize| {
        let labels = Tensor::from_vec(vec![1, 2, 2, 3, 1, 1], &[2, 3]);
        let of = |length: usize| Tensor::full(&[2], length as f64, kiln_graph::DType::I32);
        let report = step.explain(&[labels, input(&[2, frames, 4], 1), of(3), of(frames)])?;
        Ok::<_, kiln_graph::Error>(report.kernels.len())
    };
    with_device(&Device::cpu(), || {
        assert_eq!(kernels(8)?, kernels(500)?);
        Ok(())
    })
}

/// Nothing is allocated to find it out.
#[test]
fn rows_of_a_table_beyond_32_bits_are_an_error() {
    let rows = Function::new("rows", |x| Ok(vec![x[0].take(&x[1], 0)]));
    let spec =
        |shape: &[usize], dtype| TensorSpec::new(shape.iter().copied().map(Some).collect::<Vec<_>>(), dtype);
    let plan = |rows_of: usize| rows.explain(&[spec(&[rows_of, 16], DType::F32), spec(&[4], DType::I32)]);
    with_device(&Device::cpu(), || {
        plan((1 << 27) - 1).expect("2³¹ − 16 elements");
        let error = plan(1 << 27).expect_err("2³¹ elements").to_string();
        assert!(error.starts_with("[take] expected rows of fewer than 2³¹ elements"), "{error}");
        assert!(error.contains("tests/limits.rs:"), "{error}");
    });
}
