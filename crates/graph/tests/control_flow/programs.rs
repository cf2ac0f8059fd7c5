//! What compiled programs with branches and loops do: kernels, memory, what is executed, training.

use std::sync::atomic::{AtomicUsize, Ordering};

use kiln_graph::{
    DType, Device, Function, HostArray, HostResult, Report, Result, Tensor, Variable, gradients, host_call,
    ops, with_device,
};

use crate::everywhere;
use crate::support::{tensor_of, unit};

fn filled(shape: &[usize], seed: usize) -> Tensor {
    let count: usize = shape.iter().product();
    let values: Vec<f64> = (0..count).map(|i| unit(i, seed) - 0.5).collect();
    tensor_of(&values, shape, DType::F32)
}

fn variable(shape: &[usize], seed: usize) -> Result<Variable> {
    Variable::new(&filled(shape, seed))
}

fn inside(report: &Report) -> usize {
    report.kernels.iter().filter(|k| !k.within.is_empty()).count()
}

/// The states of a recurrent layer: `[turns, batch, units]`.
fn recurrent(x: &Tensor, w: &[Tensor]) -> Tensor {
    let units = w[1].shape()[0];
    let start = Tensor::zeros(&[x.shape()[1], units]);
    let f = |h: &[Tensor], x: &[Tensor]| {
        let h = (x[0].matmul(&w[0]) + h[0].matmul(&w[1]) + &w[2]).tanh();
        (vec![h.clone()], vec![h])
    };
    ops::scan(f, &[start], std::slice::from_ref(x), None, false).1.remove(0)
}

/// A recurrent layer that learns the sum of its inputs: a step of it, and its variables.
fn learner() -> Result<(Function, Vec<Variable>)> {
    let shapes: [&[usize]; 4] = [&[2, 8], &[8, 8], &[8], &[8, 1]];
    let variables: Vec<Variable> =
        shapes.iter().enumerate().map(|(n, s)| variable(s, n)).collect::<Result<_>>()?;
    Variable::pack(&variables)?;
    let of_step = variables.clone();
    let step = Function::new("step", move |x| {
        let w: Vec<Tensor> = of_step.iter().map(Variable::read).collect();
        let states = recurrent(&x[0], &w);
        let turns = states.shape()[0] as i64;
        let last = states.slice_axis(0, turns - 1, turns).squeeze(0);
        let loss = (last.matmul(&w[3]) - x[0].sum([0, 2]).expand_dims(1)).square().mean(());
        for (variable, g) in of_step.iter().zip(gradients(&loss, &w)?) {
            variable.assign_sub(&(g * 0.2))?;
        }
        Ok(vec![loss])
    });
    Ok((step, variables))
}

#[test]
fn a_recurrent_layer_learns_inside_a_function() {
    everywhere(|| {
        let (step, _) = learner()?;
        let x = filled(&[6, 5, 2], 9);
        let first = step.call(std::slice::from_ref(&x))?[0].item::<f32>()?;
        let mut last = first;
        for _ in 0..100 {
            last = step.call(std::slice::from_ref(&x))?[0].item::<f32>()?;
        }
        assert!(last < 0.5 * first, "{first} → {last}");
        assert_eq!(step.trace_count(), 1);
        Ok(())
    });
}

#[test]
fn kernels_of_a_turn_are_fused() -> Result<()> {
    with_device(&Device::cpu(), || {
        let w = [filled(&[3, 4], 0), filled(&[4, 4], 1), filled(&[4], 2)];
        let forward = Function::new("forward", move |x| Ok(vec![recurrent(&x[0], &w)]));
        let x = filled(&[7, 2, 3], 3);
        let report = forward.explain(std::slice::from_ref(&x))?;
        // The row of x; x · w; h · u + … with tanh; the row of the result, in place; the state, after the product that reads
        // it, and with it the number of the turn.
        assert_eq!(inside(&report), 5, "\n{report}");
        let text = report.to_string();
        assert!(text.contains("loop, 7 times:"), "{text}");
        let (step, _) = learner()?;
        let report = step.explain(std::slice::from_ref(&x.slice_axis(2, 0, 2)))?;
        // One loop forwards, which stacks what the one backwards needs.
        let loops = report.kernels.windows(2).filter(|k| k[0].within.is_empty() && !k[1].within.is_empty());
        assert_eq!(loops.count(), 2, "\n{report}");
        Ok(())
    })
}

#[test]
fn memory_inside_loops_is_planned_and_reported() -> Result<()> {
    let device = Device::cpu_with_threads(1)?;
    with_device(&device, || {
        let (step, variables) = learner()?;
        let x = filled(&[12, 3, 2], 9);
        let report = step.explain(std::slice::from_ref(&x))?;
        let before = device.memory_in_use();
        let outputs = step.call(std::slice::from_ref(&x))?;
        let added = device.memory_in_use() - before;
        let states: u64 = variables.iter().map(|v| v.len() as u64 * 4).sum();
        assert_eq!(added, report.output_bytes + report.leaf_bytes - states, "\n{report}");
        assert!(report.temporary_bytes >= report.live_bytes && report.live_bytes > 12 * 3 * 8 * 4);
        drop(outputs);
        let before = device.memory_in_use();
        for _ in 0..3 {
            drop(step.call(std::slice::from_ref(&x))?);
        }
        assert_eq!(device.memory_in_use(), before);
        let timed = step.profile(std::slice::from_ref(&x))?;
        assert!(timed.kernels.iter().all(|k| k.time.is_some()));
        Ok(())
    })
}

#[test]
fn only_the_taken_branch_is_executed() {
    static CALLS: [AtomicUsize; 2] = [AtomicUsize::new(0), AtomicUsize::new(0)];
    fn counted<const N: usize>(x: &Tensor) -> Vec<Tensor> {
        let f = |x: &[HostArray]| {
            CALLS[N].fetch_add(1, Ordering::SeqCst);
            Ok(x.to_vec())
        };
        host_call("counted", std::slice::from_ref(x), &[(vec![], DType::F32)], f)
    }
    everywhere(|| {
        let f = Function::new("f", |x| {
            Ok(ops::cond(&x[0].greater(0.0), || counted::<0>(&x[0]), || counted::<1>(&(&x[0] * 2.0))))
        });
        let before = [0, 1].map(|n| CALLS[n].load(Ordering::SeqCst));
        for (value, result) in [(3.0f32, 3.0f32), (-1.0, -2.0), (4.0, 4.0)] {
            assert_eq!(f.call(&[Tensor::scalar(0.0f32) + value])?[0].item::<f32>()?, result);
        }
        let after = [0, 1].map(|n| CALLS[n].load(Ordering::SeqCst));
        assert_eq!([after[0] - before[0], after[1] - before[1]], [2, 1]);
        Ok(())
    });
}

#[test]
fn the_host_is_called_in_every_turn_and_its_failure_ends_the_run() {
    fn third(x: &[HostArray]) -> HostResult {
        let (turn, value) = (x[0].as_slice::<i32>()?[0], x[1].as_slice::<f32>()?[0]);
        if value > 100.0 {
            return Err(format!("too large in turn {turn}").into());
        }
        Ok(vec![HostArray::new([], vec![value * 3.0])])
    }
    everywhere(|| {
        let f = Function::new("f", |x| {
            let body = |i: &Tensor, v: &[Tensor]| {
                host_call("third", &[i.clone(), v[0].clone()], &[(vec![], DType::F32)], third)
            };
            Ok(ops::fori_loop(0, 4, body, x))
        });
        assert_eq!(f.call(&[Tensor::scalar(1.0f32)])?[0].item::<f32>()?, 81.0);
        let error = f.call(&[Tensor::scalar(5.0f32)]).expect_err("fails").to_string();
        assert!(error.starts_with("[third] too large in turn 3"), "{error}");
        assert!(f.call(&[Tensor::scalar(4.0f32)]).is_err());
        assert_eq!(f.call(&[Tensor::scalar(-1.0f32)])?[0].item::<f32>()?, -81.0);
        Ok(())
    });
}

#[test]
fn an_index_out_of_range_inside_a_loop_is_an_error_of_the_run() {
    everywhere(|| {
        let table = Tensor::from_slice(&[1.0f32, 2.0, 3.0]);
        let f = Function::new("f", move |x| {
            let body = |i: &Tensor, v: &[Tensor]| vec![&v[0] + table.take(&(i + &x[0]), 0)];
            Ok(ops::fori_loop(0, 2, body, &[Tensor::scalar(0.0f32)]))
        });
        assert_eq!(f.call(&[Tensor::scalar(1)])?[0].item::<f32>()?, 5.0);
        let error = f.call(&[Tensor::scalar(2)]).and_then(|y| y[0].item::<f32>()).expect_err("out of range");
        assert!(error.to_string().contains("index 3"), "{error}");
        assert_eq!(f.call(&[Tensor::scalar(0)])?[0].item::<f32>()?, 3.0);
        Ok(())
    });
}

#[test]
fn variables_are_read_inside_and_assigned_outside() {
    everywhere(|| {
        let total = Variable::new(&Tensor::scalar(1.0f32))?;
        let f = {
            let total = total.clone();
            Function::new("f", move |_| {
                let double = |_: &Tensor, v: &[Tensor]| vec![&v[0] + total.read()];
                let sum = ops::fori_loop(0, 3, double, &[Tensor::scalar(0.0f32)]).remove(0);
                total.assign(&sum)?;
                Ok(vec![sum])
            })
        };
        f.call(&[])?;
        f.call(&[])?;
        assert_eq!(total.read().item::<f32>()?, 9.0);
        Ok(())
    });
}

#[test]
fn results_of_one_loop_are_computed_together() -> Result<()> {
    static CALLS: AtomicUsize = AtomicUsize::new(0);
    let body = |_: &Tensor, v: &[Tensor]| {
        let f = |x: &[HostArray]| {
            CALLS.fetch_add(1, Ordering::SeqCst);
            Ok(x.to_vec())
        };
        host_call("counted", v, &[(vec![], DType::F32), (vec![], DType::F32)], f)
    };
    with_device(&Device::cpu(), || {
        let y = ops::fori_loop(0, 2, body, &[Tensor::scalar(1.0f32), Tensor::scalar(2.0f32)]);
        assert_eq!((y[0].item::<f32>()?, y[1].item::<f32>()?), (1.0, 2.0));
        assert_eq!(CALLS.load(Ordering::SeqCst), 2);
        Ok(())
    })
}

#[test]
fn functions_with_loops_are_saved() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("loop.kiln");
    let f = Function::new("f", |x| {
        let body = |_: &Tensor, v: &[Tensor]| {
            ops::cond(&v[0].sum(()).less(5.0), || vec![&v[0] * 2.0], || vec![&v[0] - 1.0])
        };
        let halved = ops::while_loop(|v| v[0].sum(()).greater(1.0), |v| vec![&v[0] * 0.5], x, None);
        Ok([ops::fori_loop(0, 4, body, x), halved].concat())
    });
    let x = Tensor::from_slice(&[1.0f32, 0.5]);
    let values = |y: Vec<Tensor>| y.iter().map(Tensor::to_vec::<f32>).collect::<Result<Vec<_>>>();
    let expected = values(f.call(std::slice::from_ref(&x))?)?;
    f.save(&path)?;
    let loaded = kiln_graph::SavedFunction::load(&path)?;
    assert_eq!(values(loaded.call(std::slice::from_ref(&x))?)?, expected);
    let host = Function::new("g", |x| Ok(host_call("back", x, &[(vec![2], DType::F32)], |x| Ok(x.to_vec()))));
    host.call(&[x])?;
    let error = host.save(folder.path().join("host.kiln")).expect_err("code").to_string();
    assert!(error.contains("`back`, called at ") && error.contains(" is a function of the host"), "{error}");
    Ok(())
}

#[test]
fn long_chains_of_branches_are_freed_without_recursion() {
    let mut x = Tensor::scalar(0.0f32);
    for _ in 0..20_000 {
        let y = x.clone();
        x = ops::cond(&Tensor::scalar(1).equal(1), || vec![&y + 1.0], || vec![y.clone()]).remove(0);
    }
    drop(x);
}
