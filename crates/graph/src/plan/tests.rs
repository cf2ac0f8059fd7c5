//! Plans for devices whose kernels bind few buffers, run on one that binds many.

use kiln_device::{Device, Step};

use super::{External, plan_part};
use crate::bind::Bindings;
use crate::build::{Built, build};
use crate::evaluate::Compiled;
use crate::fuse::Room;
use crate::tensor::here;
use crate::trace::{self, What};
use crate::{Result, Tensor, Variable, gradients, ops, with_device};

/// Fewest buffers that devices let a kernel bind, and fewer.
const OFFERED: [usize; 4] = [4, 5, 8, 13];

fn input(shape: &[usize], seed: usize) -> Tensor {
    let count = shape.iter().product();
    let values: Vec<f32> = (0..count).map(|i: usize| ((i + seed) * 37 % 101) as f32 / 50.0 - 1.0).collect();
    Tensor::from_vec(values, shape)
}

/// The most bindings of a kernel among steps.
fn most_bindings(steps: &[Step]) -> usize {
    let of = |step: &Step| match step {
        Step::Launch(launch) => launch.kernel.buffers.len(),
        Step::Branch { arms, .. } => arms.iter().map(|arm| most_bindings(arm)).max().unwrap_or(0),
        Step::Loop { body, .. } => most_bindings(body),
        Step::Copy { .. } | Step::Host(_) => 0,
    };
    steps.iter().map(of).max().unwrap_or(0)
}

/// The outputs and assigned states of a step, planned for kernels of so many buffers, and the most that one binds.
fn run(record: impl Fn() -> Result<Vec<Tensor>>, bindings: usize) -> Result<(Vec<Vec<u8>>, usize)> {
    let device = Device::cpu();
    let ((id, outputs), recorded) = trace::record(What::Function, |id| (id, record()));
    let Built { graph, bound } = build(Some(id), &[], &outputs?, &recorded, here())?;
    let offsets = vec![0; graph.leaves.len()];
    let plan = plan_part(&graph, &offsets, vec![], &device, Room { bindings })?;
    let most = most_bindings(&plan.program.steps);
    let executable = device.compile(plan.program)?;
    // States are copied, so that every run starts from the same ones.
    let compiled = Compiled::new(graph.clone(), &device)?;
    let bindings = Bindings::new(&compiled, &bound, &[], &device)?;
    let mut leaves = vec![];
    for (leaf, buffer) in graph.leaves.iter().zip(bindings.iter().flat_map(|b| &b.leaves)) {
        let (dtype, count) = (leaf.dtype, leaf.shape.iter().product());
        let bytes = device.download(buffer, dtype, 0, count)?;
        leaves.push((device.buffer_from(dtype, &bytes)?, dtype, count));
    }
    let mut results = vec![];
    for output in &graph.outputs {
        let node = graph.node(*output);
        results.push((device.allocate(node.dtype, node.len())?, node.dtype, node.len()));
    }
    let external = |e: &External| match e {
        External::Leaf(n) => leaves[*n].0.clone(),
        External::Output(n) => results[*n].0.clone(),
    };
    executable.run(&plan.externals.iter().map(external).collect::<Vec<_>>())?;
    let assigned = graph.assigns.iter().map(|a| &leaves[a.leaf]);
    let read = |(buffer, dtype, count): &(_, _, _)| Ok(device.download(buffer, *dtype, 0, *count)?);
    let values = results.iter().chain(assigned).map(read).collect::<Result<Vec<_>>>()?;
    Ok((values, most))
}

/// However few buffers a kernel binds, the same bits come out.
fn check(outputs: &[Tensor], name: &str) {
    check_step(|| Ok(outputs.to_vec()), name);
}

fn check_step(record: impl Fn() -> Result<Vec<Tensor>>, name: &str) {
    let run = |bindings| run(&record, bindings).unwrap_or_else(|e| panic!("{name}: {e}"));
    let (expected, most) = run(usize::MAX);
    assert!(most > OFFERED[0], "{name} binds {most} buffers at most");
    for bindings in OFFERED {
        let (values, most) = run(bindings);
        assert!(most <= bindings, "{name} binds {most} of {bindings} buffers");
        assert!(values == expected, "{name}: other values with {bindings} buffers");
    }
}

#[test]
fn kernels_bind_no_more_than_they_may() {
    let x: Vec<Tensor> = (0..40).map(|i| input(&[6, 5], i)).collect();
    let sum = x[1..].iter().fold(x[0].clone(), |sum, x| sum + x);
    check(std::slice::from_ref(&sum), "a sum");
    check(&[sum.square() / &x[3], sum.exp(), &sum * &x[0], sum.sum(0)], "several outputs");
    check(&[Tensor::concat(&x, 1) * sum.sum(()), &sum + &x[7]], "a concatenation");
    let rows: Vec<Tensor> = (0..20).map(|i| (&x[i] * &x[39 - i]).sum(1)).collect();
    check(&[rows[1..].iter().fold(rows[0].clone(), |a, b| a.maximum(b))], "reductions");
    let scalars: Vec<Tensor> = (0..30).map(|i| input(&[], i)).collect();
    let scaled = scalars.iter().fold(x[0].clone(), |x, s| x * 0.5 + s);
    check(&[scaled, scalars.iter().fold(scalars[0].clone(), |a, b| a - b)], "scalars");
    let product = input(&[6, 8], 1).matmul(&input(&[8, 5], 2));
    check(&[x[..9].iter().fold(product, |y, x| y * x)], "an epilogue");
    let looked_up: Vec<Tensor> = x[..6].iter().map(|x| x.take(&Tensor::from_slice(&[1, 5, 2]), 0)).collect();
    check(&[looked_up[1..].iter().fold(looked_up[0].clone(), |a, b| a + b)], "look-ups");
}

#[test]
fn loops_and_branches_bind_no_more_than_they_may() {
    let x: Vec<Tensor> = (0..12).map(|i| input(&[3, 5], i)).collect();
    let step = |carry: &[Tensor], row: &[Tensor]| {
        let next = x[1..].iter().fold(&carry[0] * 0.5 + &row[0], |sum, x| sum + x);
        (vec![next.clone()], vec![next])
    };
    let (last, all) = ops::scan(step, &x[..1], &[input(&[4, 3, 5], 9)], None, false);
    check(&[last[0].clone(), all[0].clone()], "a loop");
    let sum = |x: &[Tensor]| vec![x[1..].iter().fold(x[0].clone(), |sum, x| sum * x)];
    let chosen = ops::cond(&x[0].sum(()).less(1e6), || sum(&x), || vec![x[0].clone()]);
    check(&chosen, "a branch");
}

#[test]
fn states_are_written_by_kernels_that_bind_no_more_than_they_may() -> Result<()> {
    with_device(&Device::cpu(), || {
        let variables = (0..6).map(|i| Variable::new(&input(&[4, 5], i))).collect::<Result<Vec<_>>>()?;
        let read = || variables.iter().map(Variable::read).collect::<Vec<_>>();
        let descent = || {
            let values = read();
            let loss = values.iter().fold(input(&[4, 5], 7), |x, v| (x * v).tanh()).square().sum(());
            for ((variable, value), g) in variables.iter().zip(&values).zip(gradients(&loss, &values)?) {
                variable.assign(value - g * 0.1)?;
            }
            Ok(vec![loss])
        };
        check_step(descent, "descent");
        // Every state takes the place of the next: none can be written where it is read.
        let rotation = || {
            let values = read();
            for (i, variable) in variables.iter().enumerate() {
                let others = (1..5).map(|n| values[(i + n) % 6].clone());
                variable.assign(others.reduce(|a, b| a * 0.5 - b).unwrap_or_else(|| values[i].clone()))?;
            }
            Ok(vec![])
        };
        check_step(rotation, "a rotation");
        Ok(())
    })
}
