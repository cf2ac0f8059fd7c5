//! Training steps: forward, loss, backward and optimizer as one program.

use std::time::Instant;

use kiln::nn::layers::{Conv2D, Dense, Flatten, Input, MaxPooling2D};
use kiln::nn::losses::{Loss, SparseCategoricalCrossentropy};
use kiln::nn::optimizers::Adam;
use kiln::nn::{Context, Layer, Sequential};
use kiln::prelude::*;
use serde_json::{Map, json};

use super::{Options, Outcome, emit, median_ms, random, rounded};

/// The workloads of this kind.
pub(crate) fn run(device: &Device, options: &Options) -> Outcome<()> {
    let batches: &[usize] = if device.info().kind == DeviceKind::Gpu { &[128, 4096] } else { &[128] };
    for batch in batches {
        train(device, options, &format!("train_mlp_b{batch}"), mlp, &[*batch, 784])?;
    }
    train(device, options, "train_convnet_b128", convnet, &[128, 28, 28, 1])
}

fn mlp() -> Sequential {
    Sequential::new()
        .add(Input::new([784]))
        .add(Dense::new(1024).activation("relu"))
        .add(Dense::new(1024).activation("relu"))
        .add(Dense::new(10))
}

fn convnet() -> Sequential {
    Sequential::new()
        .add(Input::new([28, 28, 1]))
        .add(Conv2D::new(32, 3).activation("relu"))
        .add(MaxPooling2D::new(2))
        .add(Conv2D::new(64, 3).activation("relu"))
        .add(MaxPooling2D::new(2))
        .add(Flatten::new())
        .add(Dense::new(10))
}

/// One whole step of Adam on random data that stays on the device.
fn train(
    device: &Device,
    options: &Options,
    name: &str,
    model: fn() -> Sequential,
    shape: &[usize],
) -> Outcome<()> {
    if !options.wants(name) {
        return Ok(());
    }
    let batch = shape[0];
    let labels: Vec<i32> = (0..batch as i32).map(|i| (i * 7) % 10).collect();
    let data = [random(shape, 20), Tensor::from_slice(&labels)];
    Tensor::eval_all(&data)?;
    let start = Instant::now();
    let model = model();
    model.check()?;
    let variables = model.variables();
    let mut optimizer = Adam::new();
    optimizer.build(&variables)?;
    let loss = SparseCategoricalCrossentropy::new().from_logits(true);
    let step = Function::new(name, move |batch| {
        let loss = loss.reduced(&batch[1], &model.call(&batch[0], &Context::training()), None);
        let weights: Vec<Tensor> = variables.iter().map(Variable::read).collect();
        optimizer.apply(&gradients(&loss, &weights)?, &variables)?;
        Ok(vec![loss])
    });
    let before = step.call(&data)?.remove(0).item::<f32>()?;
    let first = start.elapsed().as_secs_f64() * 1e3;
    let call = || step.call(&data).map(drop).map_err(Into::into);
    let ms = median_ms(options.seconds, call, || Ok(device.synchronize()?))?;
    let after = step.call(&data)?.remove(0).item::<f32>()?;
    if !after.is_finite() || after >= before {
        return Err(format!("{name}: the loss went from {before} to {after}").into());
    }
    let report = step.explain(&data)?;
    if options.explain {
        eprintln!("{}", step.profile(&data)?);
    }
    let mut extra = Map::new();
    extra.insert("kernels".into(), json!(report.kernels.len()));
    extra.insert("peak_mib".into(), json!(rounded(report.peak_bytes() as f64 / (1 << 20) as f64)));
    emit(device, name, ms, first, extra);
    Ok(())
}
