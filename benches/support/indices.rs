//! What checking data-dependent indices costs a training step of an embedding.
//!
//! A step looks up a batch of 128 sentences of 64 words, averages each, classifies it, and updates table and classifier.
//! It is timed as users write it (`Tensor::take`), and without the check, from the bare primitive; the two take turns, so
//! that both see the same machine. `ms` and `unchecked_ms` are medians; `check_percent` is the median difference of
//! neighbours; `check_us` is the time of the kernel that checks, as `profile` measures it.

use std::time::{Duration, Instant};

use kiln::graph::op::Op;
use kiln::nn::losses::{Loss, SparseCategoricalCrossentropy};
use kiln::nn::optimizers::IntoOptimizer;
use kiln::prelude::*;
use serde_json::{Map, json};

use super::{Options, Outcome, emit, random, rounded};

const BATCH: usize = 128;
const WORDS: usize = 64;
const CLASSES: usize = 16;

/// The workloads of this kind.
pub(crate) fn run(device: &Device, options: &Options) -> Outcome<()> {
    let sizes = [(10_000, 64, "sgd"), (10_000, 128, "adam"), (100_000, 64, "adam"), (100_000, 128, "sgd")];
    for (vocabulary, width, optimizer) in sizes {
        let name = format!("embedding_{vocabulary}x{width}_{optimizer}");
        if options.wants(&name) {
            compare(device, options, &name, [vocabulary, width], optimizer)?;
        }
    }
    Ok(())
}

/// Rows of a table, without a check that the indices are among them.
fn unchecked(table: &Tensor, indices: &Tensor) -> Tensor {
    let shape = [indices.shape(), &table.shape()[1..]].concat();
    Tensor::primitive(Op::Gather, &[table.clone(), indices.clone()], &shape, table.dtype())
}

fn checked(table: &Tensor, indices: &Tensor) -> Tensor {
    table.take(indices, 0)
}

/// The step with one way to look up rows.
fn step(
    name: &str,
    [vocabulary, width]: [usize; 2],
    optimizer: &str,
    rows: fn(&Tensor, &Tensor) -> Tensor,
) -> Outcome<Function> {
    let table = Variable::new(&(random(&[vocabulary, width], 1) * 0.05))?;
    let kernel = Variable::new(&(random(&[width, CLASSES], 2) * 0.05))?;
    let variables = vec![table.clone(), kernel.clone()];
    let mut optimizer = optimizer.into_optimizer()?;
    optimizer.build(&variables)?;
    let loss = SparseCategoricalCrossentropy::new().from_logits(true);
    Ok(Function::new(name, move |x| {
        let (table, kernel) = (table.read(), kernel.read());
        let logits = rows(&table, &x[0]).mean(1).matmul(&kernel);
        let loss = loss.reduced(&x[1], &logits, None);
        optimizer.apply(&gradients(&loss, &[table, kernel])?, &variables)?;
        Ok(vec![loss])
    }))
}

fn compare(
    device: &Device,
    options: &Options,
    name: &str,
    sizes: [usize; 2],
    optimizer: &str,
) -> Outcome<()> {
    // Numbers that are spread as words are: a few often, most of them rarely.
    let word = |i: usize| ((i * 7919 + i * i * 31) % (sizes[0] * 97)) as f64 / (sizes[0] * 97) as f64;
    let words: Vec<i32> = (0..BATCH * WORDS).map(|i| (word(i).powi(3) * sizes[0] as f64) as i32).collect();
    let labels: Vec<i32> = (0..BATCH as i32).map(|i| i % CLASSES as i32).collect();
    let data = [Tensor::from_vec(words, &[BATCH, WORDS]), Tensor::from_slice(&labels)];
    Tensor::eval_all(&data)?;
    let start = Instant::now();
    let with = step(name, sizes, optimizer, checked)?;
    let without = step(name, sizes, optimizer, unchecked)?;
    let both = [with.call(&data)?, without.call(&data)?].map(|r| r[0].item::<f32>());
    let first = start.elapsed().as_secs_f64() * 1e3;
    let [a, b] = both;
    if (a? - b?).abs() > 1e-6 {
        return Err(format!("{name}: the two steps compute different losses").into());
    }
    let time = |function: &Function, times: usize| -> Outcome<f64> {
        let start = Instant::now();
        for _ in 0..times {
            function.call(&data)?;
        }
        device.synchronize()?;
        Ok(start.elapsed().as_secs_f64() * 1e3 / times as f64)
    };
    let times = ((30.0 / time(&with, 3)?) as usize).clamp(1, 100);
    let end = Instant::now() + Duration::from_secs_f64(4.0 * options.seconds);
    let (mut checked_ms, mut unchecked_ms, mut percent) = (vec![], vec![], vec![]);
    while Instant::now() < end || percent.len() < 15 {
        // Whichever is first in one turn is second in the next.
        let turn = percent.len() % 2 == 0;
        let first = time(if turn { &with } else { &without }, times)?;
        let second = time(if turn { &without } else { &with }, times)?;
        let (a, b) = if turn { (first, second) } else { (second, first) };
        checked_ms.push(a);
        unchecked_ms.push(b);
        percent.push((a - b) / b * 100.0);
    }
    let median = |mut list: Vec<f64>| {
        list.sort_by(f64::total_cmp);
        list[list.len() / 2]
    };
    let report = with.profile(&data)?;
    let checks = report.kernels.iter().filter(|k| k.name.contains("check_index"));
    let check: Duration = checks.filter_map(|k| k.time).sum();
    let mut extra = Map::new();
    extra.insert("unchecked_ms".into(), json!(rounded(median(unchecked_ms))));
    extra.insert("check_percent".into(), json!(rounded(median(percent))));
    extra.insert("check_us".into(), json!(rounded(check.as_secs_f64() * 1e6)));
    emit(device, name, median(checked_ms), first, extra);
    if options.explain {
        println!("{report}");
    }
    Ok(())
}
