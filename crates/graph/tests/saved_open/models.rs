//! Models and operations: what a file computes has the bits of what the function computes.

use kiln_graph::{DType, Device, Function, Padding, Tensor, Variable, gradients, ops, set_default_device};

use crate::{F, agrees, agrees_but_for, some, spec, whole};

const BATCHES: [usize; 7] = [5, 1, 0, 2, 32, 3, 257];

#[test]
fn a_network_of_dense_layers_its_gradients_and_state() {
    set_default_device(&Device::cpu());
    let w1 = Variable::new(&some(&[12, 16])).unwrap();
    let b1 = Variable::new(&some(&[16])).unwrap();
    let w2 = Variable::new(&some(&[16, 4])).unwrap();
    let rate = Variable::new(&Tensor::scalar(0.01f32)).unwrap();
    let step = Function::new("step", move |x| {
        let hidden = ops::relu(&(x[0].matmul(&w1.read()) + b1.read()));
        let logits = hidden.matmul(&w2.read());
        let loss = -(ops::log_softmax(&logits, -1) * &x[1]).sum(-1).mean(());
        let all = [&w1, &b1, &w2];
        let slopes = gradients(&loss, &all.map(|v| v.read()))?;
        for (variable, slope) in all.iter().zip(&slopes) {
            variable.assign(&(variable.read() - slope * rate.read()))?;
        }
        Ok(vec![loss, logits.argmax(-1)])
    })
    .signature([spec([-1, 12], F), spec([-1, 4], F)]);
    agrees(&step, &BATCHES.map(|n| vec![some(&[n, 12]), some(&[n, 4])]));
}

#[test]
fn a_convolution() {
    set_default_device(&Device::cpu());
    let w = Variable::new(&some(&[3, 3, 1, 4])).unwrap();
    let d = Variable::new(&some(&[196 * 4, 10])).unwrap();
    let net = Function::new("net", move |x| {
        let y = x[0].conv(&w.read(), &[1, 1], Padding::Same, &[1, 1], 1);
        let y = ops::relu(&y).max_pool(&[2, 2], &[2, 2], Padding::Valid);
        let y = y.flatten_from(1).matmul(&d.read());
        let loss = ops::softmax(&y, -1).max(-1).mean(());
        let slope = gradients(&loss, &[w.read()])?.remove(0);
        Ok(vec![y, loss, slope])
    })
    .signature([spec([-1, 28, 28, 1], F)]);
    agrees(&net, &[3, 1, 0, 2, 8, 5].map(|n| vec![some(&[n, 28, 28, 1])]));
}

#[test]
fn a_sequence_model_of_any_batch_and_length() {
    set_default_device(&Device::cpu());
    let table = Variable::new(&some(&[11, 8])).unwrap();
    let place = Variable::new(&some(&[64, 8])).unwrap();
    let w = Variable::new(&some(&[8, 24])).unwrap();
    let model = Function::new("model", move |x| {
        let (batch, length) = (x[0].shape()[0], x[0].shape()[1]);
        let x = table.read().take(&x[0], 0) + place.read().slice_axis(0, 0, length as i64);
        let qkv = ops::layer_normalization(&x, None, None, -1, 1e-5).matmul(&w.read());
        let heads =
            |i: i64| qkv.slice_axis(-1, 8 * i, 8 * i + 8).reshape(&[batch as i64, length as i64, 2, 4]);
        let y = ops::dot_product_attention(&heads(0), &heads(1), &heads(2), None, None, None, true);
        let y = y.reshape(&[-1, 8]);
        let slope = gradients(&y.square().mean(()), &[table.read()])?.remove(0);
        Ok(vec![y, slope])
    })
    .signature([spec([-1, -1], DType::I32)]);
    let sizes = [(2, 5), (1, 1), (3, 1), (1, 7), (4, 4), (0, 3), (2, 0), (2, 64), (2, 65), (8, 8)];
    agrees_but_for(&model, &sizes.map(|(b, t)| vec![whole(&[b, t], 11)]), 1);
}

#[test]
fn loops_over_a_length() {
    set_default_device(&Device::cpu());
    let w = Variable::new(&some(&[4, 4])).unwrap();
    let v = w.clone();
    let scanned = Function::new("scanned", move |x| {
        let steps = x[0].transpose(&[1, 0, 2]);
        let state = Tensor::zeros(&[x[0].shape()[0], 4]);
        let (last, all) = ops::scan(
            |s, row| {
                let next = (s[0].matmul(&v.read()) + &row[0]).tanh();
                (vec![next.clone()], vec![next * 0.5])
            },
            &[state],
            &[steps],
            None,
            false,
        );
        let slope = gradients(&(last[0].sum(()) + all[0].mean(())), &[v.read()])?.remove(0);
        Ok(vec![last[0].clone(), all[0].transpose(&[1, 0, 2]), slope])
    })
    .signature([spec([-1, -1, 4], F)]);
    let sizes = [(2, 5), (1, 1), (3, 1), (1, 7), (4, 4), (0, 3), (2, 0), (2, 33)];
    agrees(&scanned, &sizes.map(|(b, t)| vec![some(&[b, t, 4])]));

    let turns = Function::new("turns", move |x| {
        let n = x[0].shape()[0];
        let sum =
            ops::fori_loop(0, n as i32, |i, s| vec![&s[0] + x[0].take(i, 0)], &[Tensor::scalar(0.0f32)]);
        let state = [Tensor::scalar(0i32), Tensor::scalar(1.0f32)];
        let more = |s: &[Tensor]| s[0].less(n as i32).logical_and(s[1].less(1000.0));
        let grown = ops::while_loop(more, |s| vec![&s[0] + 1, &s[1] * 1.5], &state, Some(n));
        let chosen = ops::cond(&x[0].sum(()).greater(0.0), || vec![&x[0] * 2.0], || vec![&x[0] / n as f64]);
        Ok([sum, grown, chosen].concat())
    })
    .signature([spec([-1], F)]);
    agrees_but_for(&turns, &[3, 1, 0, 2, 16, 40].map(|n| vec![some(&[n])]), 1);
}

#[test]
fn arrangements() {
    set_default_device(&Device::cpu());
    let arranged = Function::new("arranged", move |x| {
        let (x, n) = (&x[0], x[0].shape()[0]);
        let rows = Tensor::iota(&[n, 1], 0).cast(F);
        let pairs = x.matmul(&x.transpose(&[1, 0]));
        let far = (x.expand_dims(0) - x.expand_dims(1)).square().sum(-1);
        Ok(vec![
            x.reshape(&[-1]),
            ops::concatenate(&[x.clone(), rows, x.flip(0)], 1),
            ops::concatenate(&[x.clone(), x.clone(), Tensor::zeros(&[1, 3])], 0),
            pairs.reshape(&[-1]),
            far.sort(-1),
            x.argsort(0, false),
            x.cumsum(0),
            x.pad(&[(1, 2), (0, 0)], 1.0),
            ops::tile(x, &[2, 2]),
            ops::repeat(x, 3, 0),
            x.slice_axis(0, -(n.min(2) as i64), n as i64),
            x.variance(0),
            x.mean(()) * (n as f64).sqrt(),
            x.sum(()) / ((3 * n) as f64 - 1.0),
            Tensor::full(&[n, n], 1.0 / (n as f64), F),
        ])
    })
    .signature([spec([-1, 3], F)]);
    agrees(&arranged, &[4, 1, 2, 3, 9, 31].map(|n| vec![some(&[n, 3])]));
}

#[test]
fn state_random_numbers_and_moving_means() {
    set_default_device(&Device::cpu());
    let seed = Variable::new(&Tensor::from_slice(&[7u32, 9])).unwrap();
    let mean = Variable::new(&some(&[3])).unwrap();
    let count = Variable::new(&Tensor::scalar(0i32)).unwrap();
    let noisy = Function::new("noisy", move |x| {
        let kept = Tensor::random_uniform(&seed.read(), x[0].shape()).less(0.8);
        seed.assign(&(seed.read() + Tensor::full(&[2], 1.0, DType::U32)))?;
        mean.assign(&(mean.read() * 0.9 + x[0].mean(0) * 0.1))?;
        count.assign(&(count.read() + x[0].shape()[0] as i32))?;
        let normal = (&x[0] - mean.read()) / (x[0].variance(0) + 1e-3).sqrt();
        Ok(vec![Tensor::select(&kept, normal / 0.8, 0.0), count.read()])
    })
    .signature([spec([-1, 3], F)]);
    agrees(&noisy, &[4, 1, 2, 4, 9, 31].map(|n| vec![some(&[n, 3])]));
}

#[test]
fn half_floats_and_wide_integers() {
    set_default_device(&Device::cpu());
    let halves = Function::new("halves", |x| {
        let wide = x[0].cast(DType::F64).mean(()) / (x[0].shape()[0] as f64).sqrt();
        let bytes = x[0].greater(0.0).cast(DType::U8).sum(());
        Ok(vec![x[0].mean(0).cast(F), x[0].cast(DType::BF16).mean(()).cast(F), wide.cast(F), bytes])
    })
    .signature([spec([-1, 3], DType::F16)]);
    agrees(&halves, &[4, 1, 2, 4, 9, 31].map(|n| vec![some(&[n, 3]).cast(DType::F16)]));
}
