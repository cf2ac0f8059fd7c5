//! What checking data-dependent indices costs a training step of an embedding.
//!
//! A step looks up a batch of 128 sentences of 64 words, averages each, classifies it, and updates table and classifier.
//! It is timed as users write it (`Tensor::take`), and without the check, from the bare primitive; the two take turns, so
//! that both see the same machine, and are made anew several times, for where memory lies matters more than the check does.
//! `ms` and `unchecked_ms` are medians; `check_percent` is the median difference of neighbours; `check_us` is the time of
//! the kernel that checks, as `profile` measures it.

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
/// Pairs of steps that are made.
const PAIRS: usize = 6;

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

type Rows = fn(&Tensor, &Tensor) -> Tensor;

/// The step with one way to look up rows.
fn step(name: &str, [vocabulary, width]: [usize; 2], optimizer: &str, rows: Rows) -> Outcome<Function> {
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

/// Milliseconds of steps with the check and without, and by how many percent those of one turn differ.
#[derive(Default)]
struct Samples {
    checked: Vec<f64>,
    unchecked: Vec<f64>,
    percent: Vec<f64>,
}

impl Samples {
    /// Times two steps in turns, of which one checks.
    fn take(
        &mut self,
        device: &Device,
        seconds: f64,
        steps: &[(bool, Function)],
        data: &[Tensor],
    ) -> Outcome<()> {
        let time = |function: &Function, times: usize| -> Outcome<f64> {
            let start = Instant::now();
            for _ in 0..times {
                function.call(data)?;
            }
            device.synchronize()?;
            Ok(start.elapsed().as_secs_f64() * 1e3 / times as f64)
        };
        let losses: Vec<f32> =
            steps.iter().map(|(_, step)| Ok(step.call(data)?[0].item::<f32>()?)).collect::<Outcome<_>>()?;
        if losses.iter().any(|loss| (loss - losses[0]).abs() > 1e-6) {
            return Err(format!("the steps compute different losses: {losses:?}").into());
        }
        let times = ((30.0 / time(&steps[0].1, 3)?) as usize).clamp(1, 100);
        let end = Instant::now() + Duration::from_secs_f64(4.0 * seconds);
        let mut turns = 0;
        while Instant::now() < end || turns < 5 {
            let mut ms = [0.0; 2];
            for at in [turns % 2, 1 - turns % 2] {
                let (is_checked, step) = &steps[at];
                ms[usize::from(*is_checked)] = time(step, times)?;
            }
            let [unchecked, checked] = ms;
            self.checked.push(checked);
            self.unchecked.push(unchecked);
            self.percent.push((checked - unchecked) / unchecked * 100.0);
            turns += 1;
        }
        Ok(())
    }
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
    with.call(&data)?[0].eval()?;
    let first = start.elapsed().as_secs_f64() * 1e3;
    let mut samples = Samples::default();
    for pair in 0..PAIRS {
        // Whichever is made first in one pair is second in the next.
        let mut ways = [(true, checked as Rows), (false, unchecked)];
        ways.rotate_left(pair % 2);
        let made = |(is_checked, rows)| Ok((is_checked, step(name, sizes, optimizer, rows)?));
        let steps: Vec<(bool, Function)> = ways.into_iter().map(made).collect::<Outcome<_>>()?;
        samples.take(device, options.seconds / PAIRS as f64, &steps, &data)?;
    }
    let Samples { checked: checked_ms, unchecked: unchecked_ms, percent } = samples;
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
