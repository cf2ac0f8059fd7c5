//! What a plan says of its memory against what the device's ledger sees; running out of it; equal bits for any threads.

use kiln_graph::{
    Device, Function, Padding, Report, Result, Tensor, Variable, gradients, random_key, with_device,
};

/// A model's training step, as a function of (images, labels), and its variables.
struct Model {
    step: Function,
    variables: Vec<Variable>,
    batch: Vec<Tensor>,
}

fn weights(shape: &[usize], stream: u64) -> Result<Variable> {
    let key = Tensor::from_slice(&random_key(7, stream));
    let fan_in: usize = shape[..shape.len() - 1].iter().product();
    Variable::new(&(Tensor::random_normal(&key, shape) * (1.0 / fan_in as f32).sqrt()))
}

fn batch(shape: &[usize], classes: usize) -> Vec<Tensor> {
    let count: usize = shape.iter().product();
    let values: Vec<f32> = (0..count).map(|i| ((i * 37 % 101) as f32 - 50.0) / 50.0).collect();
    let labels: Vec<i32> = (0..shape[0]).map(|i| (i % classes) as i32).collect();
    vec![Tensor::from_vec(values, shape), Tensor::from_slice(&labels)]
}

/// Descends along the gradient of the loss; the loss is the result.
fn descend(loss: Tensor, variables: &[Variable]) -> Result<Vec<Tensor>> {
    let read: Vec<Tensor> = variables.iter().map(Variable::read).collect();
    for (variable, gradient) in variables.iter().zip(gradients(&loss, &read)?) {
        variable.assign_sub(&(gradient * 0.05))?;
    }
    Ok(vec![loss])
}

/// Two hidden layers of 128 on vectors of 64.
fn perceptron() -> Result<Model> {
    let variables = vec![weights(&[64, 128], 0)?, weights(&[128, 128], 1)?, weights(&[128, 10], 2)?];
    let of_step = variables.clone();
    let step = Function::new("perceptron", move |x| {
        let hidden = x[0].matmul(&of_step[0].read()).relu();
        let hidden = hidden.matmul(&of_step[1].read()).tanh();
        let logits = hidden.matmul(&of_step[2].read());
        descend(logits.sparse_softmax_cross_entropy(&x[1]).mean(()), &of_step)
    });
    Ok(Model { step, variables, batch: batch(&[96, 64], 10) })
}

/// Two convolutions with pooling and a dense layer on images of 16 × 16.
fn convnet() -> Result<Model> {
    let variables = vec![weights(&[3, 3, 3, 8], 0)?, weights(&[3, 3, 8, 16], 1)?, weights(&[256, 10], 2)?];
    let of_step = variables.clone();
    let step = Function::new("convnet", move |x| {
        let conv =
            |x: &Tensor, n: usize| x.conv(&of_step[n].read(), &[1, 1], Padding::Same, &[1, 1], 1).relu();
        let first = conv(&x[0], 0).max_pool(&[2, 2], &[2, 2], Padding::Valid);
        let second = conv(&first, 1).average_pool(&[2, 2], &[2, 2], Padding::Valid);
        let logits = second.flatten_from(1).matmul(&of_step[2].read());
        descend(logits.sparse_softmax_cross_entropy(&x[1]).mean(()), &of_step)
    });
    Ok(Model { step, variables, batch: batch(&[8, 16, 16, 3], 10) })
}

type Build = fn() -> Result<Model>;

const MODELS: [(&str, Build); 2] = [("perceptron", perceptron), ("convnet", convnet)];

fn device(threads: usize) -> Device {
    Device::cpu_with_threads(threads).expect("threads")
}

/// On a device of its own.
fn on_fresh<R>(threads: usize, body: impl FnOnce(&Device) -> Result<R>) -> R {
    let device = device(threads);
    with_device(&device, || body(&device)).unwrap_or_else(|e| panic!("{e}"))
}

#[test]
fn temporaries_take_little_more_than_what_is_alive() {
    for (name, build) in MODELS {
        let report: Report = on_fresh(1, |_| build().and_then(|m| m.step.explain(&m.batch)));
        let ratio = report.temporary_bytes as f64 / report.live_bytes as f64;
        assert!(ratio <= 1.3, "{name}: {ratio:.3} of what is alive\n{report}");
    }
}

#[test]
fn the_reported_peak_is_what_the_ledger_sees() {
    for (name, build) in MODELS {
        on_fresh(1, |device| {
            let model = build()?;
            let before = device.memory_in_use();
            let states: u64 = model.variables.iter().map(|v| v.len() as u64 * 4).sum();
            let report = model.step.explain(&model.batch)?;
            assert_eq!(device.memory_in_use() - before, report.temporary_bytes, "{name}: compiled");
            let outputs = model.step.call(&model.batch)?;
            let leaves = report.leaf_bytes - states;
            let expected = report.temporary_bytes + report.output_bytes + leaves;
            assert_eq!(device.memory_in_use() - before, expected, "{name}: called");
            assert_eq!(report.peak_bytes(), expected + states, "{name}: peak");
            drop(outputs);
            for _ in 0..10 {
                model.step.call(&model.batch)?;
            }
            assert_eq!(device.memory_in_use() - before, expected - report.output_bytes, "{name}: replayed");
            drop(model);
            assert!(device.memory_in_use() <= before - states, "{name}: dropped");
            Ok(())
        });
    }
}

#[test]
fn running_out_of_memory_is_an_error_and_nothing_leaks() {
    on_fresh(1, |device| {
        let model = perceptron()?;
        let first = model.step.call(&model.batch)?[0].item::<f32>()?;
        let before = device.memory_in_use();
        device.set_memory_budget(before + 1000);
        let x = Tensor::from_vec(vec![1.0f32; 1 << 12], &[1 << 12]);
        for _ in 0..100 {
            let error = (&x * 2.0).to_vec::<f32>().expect_err("above the budget").to_string();
            assert!(error.starts_with("[memory]") && error.contains("raise the budget"), "{error}");
            assert!(Variable::new(&x).is_err());
            let compiled = Function::new("f", |x| Ok(vec![x[0].cumsum(0).cumsum(0) * 2.0]));
            assert!(compiled.call(std::slice::from_ref(&x)).is_err());
            assert_eq!(device.memory_in_use(), before);
        }
        device.set_memory_budget(1 << 30);
        assert_eq!((&x * 2.0).to_vec::<f32>()?, vec![2.0; 1 << 12]);
        assert!(model.step.call(&model.batch)?[0].item::<f32>()? < first);
        Ok(())
    });
}

#[test]
fn a_step_that_fails_leaves_the_state_as_it_was() {
    on_fresh(1, |device| {
        let w = Variable::new(&Tensor::ones(&[1024]))?;
        let f = {
            let w = w.clone();
            Function::new("f", move |_| {
                w.assign(&(w.read() * 2.0))?;
                Ok(vec![w.read() + 1.0])
            })
        };
        f.call(&[])?;
        device.set_memory_budget(device.memory_in_use());
        assert!(f.call(&[]).is_err());
        device.set_memory_budget(1 << 30);
        assert_eq!(w.read().to_vec::<f32>()?, vec![2.0; 1024]);
        Ok(())
    });
}

#[test]
fn results_do_not_depend_on_the_number_of_threads() {
    for (name, build) in MODELS {
        let bits = |threads: usize| {
            on_fresh(threads, |_| {
                let model = build()?;
                let mut bits: Vec<u32> = vec![];
                for _ in 0..10 {
                    bits.push(model.step.call(&model.batch)?[0].item::<f32>()?.to_bits());
                }
                for variable in &model.variables {
                    bits.extend(variable.read().to_vec::<f32>()?.into_iter().map(f32::to_bits));
                }
                Ok(bits)
            })
        };
        let one = bits(1);
        assert!(f32::from_bits(one[9]) < f32::from_bits(one[0]), "{name} learns");
        for threads in [1, 2, 3] {
            assert!(bits(threads) == one, "{name}: {threads} threads give other bits");
        }
    }
}
