//! Products with Jacobians, whole Jacobians, second and third derivatives, and gradients that compute again: against
//! differences in the interpreter's `f64`, and against each other.

#[path = "support/mod.rs"]
#[allow(dead_code, reason = "shared with other tests")]
mod support;

use kiln_graph::interpret::{graph_of, interpret};
use kiln_graph::{
    DType, Device, Error, Function, Report, Result, Tensor, Variable, checkpoint, checkpoints,
    custom_gradient, gradients, gradients_with, hessian, hvp, jacobian, jvp, ops, random_key, s, vjp,
    with_device,
};
use support::{tensor_of, unit};

/// A leaf of numbers in -1..1 in no order.
fn leaf(shape: &[usize], seed: usize) -> Tensor {
    let count = shape.iter().product();
    let numbers: Vec<f64> = (0..count).map(|i| 2.0 * unit(i, seed) - 1.0).collect();
    tensor_of(&numbers, shape, DType::F32)
}

/// What tensors are in exact arithmetic, with numbers for the inputs.
fn exactly(outputs: &[Tensor], inputs: &[Tensor], change: impl Fn(&mut Vec<Vec<f64>>)) -> Vec<Vec<f64>> {
    let (graph, mut leaves) = graph_of(inputs, outputs).expect("a graph");
    change(&mut leaves);
    interpret(&graph, &leaves).expect("values").outputs
}

fn values(output: &Tensor, inputs: &[Tensor]) -> Vec<f64> {
    exactly(std::slice::from_ref(output), inputs, |_| {}).remove(0)
}

/// d output / d input number `n`, by differences: one row for each element of the output.
fn differences(output: &Tensor, inputs: &[Tensor], n: usize) -> Vec<f64> {
    const STEP: f64 = 1e-6;
    let columns: Vec<Vec<f64>> = (0..inputs[n].len())
        .map(|j| {
            let moved = |step: f64| {
                exactly(std::slice::from_ref(output), inputs, |leaves| leaves[n][j] += step).remove(0)
            };
            let (above, below) = (moved(STEP), moved(-STEP));
            above.iter().zip(below).map(|(a, b)| (a - b) / (2.0 * STEP)).collect()
        })
        .collect();
    (0..output.len()).flat_map(|i| columns.iter().map(move |column| column[i])).collect()
}

#[track_caller]
fn near(got: &[f64], expected: &[f64], tolerance: f64) {
    assert_eq!(got.len(), expected.len());
    let scale = expected.iter().fold(1.0f64, |m, x| m.max(x.abs()));
    for (i, (g, e)) in got.iter().zip(expected).enumerate() {
        assert!((g - e).abs() <= tolerance * scale, "[{i}]: {g}, not {e}\n{got:?}\n{expected:?}");
    }
}

type Map = fn(&Tensor) -> Tensor;

/// Maps of vectors of 4, smooth where they are taken.
const MAPS: [(&str, Map); 9] = [
    ("elementwise", |x| (x.sin() * x.exp() + x.square()).tanh()),
    ("softmax", |x| x.softmax(-1)),
    ("products", |x| x.reshape(&[2, 2]).matmul(&x.reshape(&[2, 2])).flatten_from(0)),
    ("scan", |x| x.cumsum(0) * x.cumprod(0)),
    ("order", |x| x.sort(0).square() * x.index(s![..;-1])),
    ("gather", |x| x.index([0, 2, 2, 1, 0]).exp()),
    ("update", |x| x.at([1, 1, 3]).add(x.index(..3).square()).square()),
    ("reduced", |x| Tensor::stack(&[x.prod(()), x.logsumexp(()), x.max(()).square()], 0)),
    ("wide", |x| Tensor::concat(&[x.cos(), x.square() * x, x.expm1()], 0)),
];

#[test]
fn jacobians_are_differences() {
    for (name, map) in MAPS {
        let x = leaf(&[4], 3);
        let y = map(&x);
        let j = jacobian(&y, &x).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(j.shape(), [y.len(), 4], "{name}");
        let inputs = [x];
        near(&values(&j, &inputs), &differences(&y, &inputs, 0), 1e-7);
    }
}

#[test]
fn jacobians_keep_the_shapes_of_both() -> Result<()> {
    let x = leaf(&[2, 3], 1);
    for y in [x.square().sum(0), x.matmul(&leaf(&[3, 4], 2)).exp(), x.sum(()), x.reshape(&[3, 2, 1])] {
        let j = jacobian(&y, &x)?;
        assert_eq!(j.shape(), [y.shape(), x.shape()].concat());
        let inputs = [x.clone()];
        near(&values(&j, &inputs), &differences(&y, &inputs, 0), 1e-7);
    }
    assert_eq!(jacobian(&leaf(&[0], 1), &x)?.shape(), [0, 2, 3]);
    // What does not depend on it has no slope.
    assert_eq!(jacobian(&leaf(&[2], 5), &x)?.to_vec::<f32>()?, vec![0.0; 12]);
    Ok(())
}

#[test]
fn products_with_the_jacobian_are_those_of_the_matrix() -> Result<()> {
    for (name, map) in MAPS {
        let (x, t) = (leaf(&[4], 3), leaf(&[4], 9));
        let (y, along) = jvp(|x| Ok(vec![map(&x[0])]), std::slice::from_ref(&x), std::slice::from_ref(&t))?;
        let u = leaf(&[y[0].len()], 11);
        let (z, pull) = vjp(|x| Ok(vec![map(&x[0])]), std::slice::from_ref(&x))?;
        let back = pull.call(std::slice::from_ref(&u))?;
        let inputs = [x.clone(), t.clone(), u.clone()];
        let j = values(&jacobian(&map(&x), &x)?, &inputs);
        let (t, u) = (values(&t, &inputs), values(&u, &inputs));
        let forward: Vec<f64> = j.chunks(4).map(|row| row.iter().zip(&t).map(|(a, b)| a * b).sum()).collect();
        let backward: Vec<f64> =
            (0..4).map(|c| j.chunks(4).zip(&u).map(|(row, b)| row[c] * b).sum()).collect();
        near(&values(&along[0], &inputs), &forward, 1e-12);
        near(&values(&back[0], &inputs), &backward, 1e-12);
        assert_eq!(values(&y[0], &inputs), values(&z[0], &inputs), "{name}");
    }
    Ok(())
}

#[test]
fn several_arguments_and_results() -> Result<()> {
    let (a, b) = (leaf(&[2, 3], 1), leaf(&[3], 2));
    let f = |x: &[Tensor]| Ok(vec![(&x[0] * &x[1]).sum(1), x[1].exp()]);
    let tangents = [leaf(&[2, 3], 3), leaf(&[3], 4)];
    let (y, dy) = jvp(f, &[a.clone(), b.clone()], &tangents)?;
    assert_eq!((y.len(), dy.len()), (2, 2));
    let inputs = [a.clone(), b.clone(), tangents[0].clone(), tangents[1].clone()];
    let expected = (&tangents[0] * &b + &a * &tangents[1]).sum(1);
    near(&values(&dy[0], &inputs), &values(&expected, &inputs), 1e-12);
    near(&values(&dy[1], &inputs), &values(&(b.exp() * &tangents[1]), &inputs), 1e-12);
    // One tensor as two arguments counts as two.
    let (_, twice) =
        jvp(|x| Ok(vec![&x[0] * &x[1]]), &[b.clone(), b.clone()], &[b.ones_like(), b.zeros_like()])?;
    assert_eq!(twice[0].to_vec::<f32>()?, b.to_vec::<f32>()?);
    let (_, pull) = vjp(|x| Ok(vec![&x[0] - &x[1]]), &[b.clone(), b.clone()])?;
    let back = pull.call(&[b.ones_like()])?;
    assert_eq!((back[0].to_vec::<f32>()?, back[1].to_vec::<f32>()?), (vec![1.0; 3], vec![-1.0; 3]));
    Ok(())
}

#[test]
fn second_derivatives() -> Result<()> {
    for (name, map) in MAPS {
        let (x, v) = (leaf(&[4], 3), leaf(&[4], 8));
        let y = (map(&x) * (Tensor::range(map(&x).len()) + 1)).sum(());
        let h = hessian(&y, &x)?;
        let inputs = [x.clone(), v.clone()];
        let matrix = values(&h, &inputs);
        let gradient = gradients(&y, std::slice::from_ref(&x))?.remove(0);
        near(&matrix, &differences(&gradient, &inputs, 0), 1e-6);
        let product = hvp(&y, std::slice::from_ref(&x), std::slice::from_ref(&v))?.remove(0);
        let v = values(&v, &inputs);
        let expected: Vec<f64> =
            matrix.chunks(4).map(|row| row.iter().zip(&v).map(|(a, b)| a * b).sum()).collect();
        near(&values(&product, &inputs), &expected, 1e-10);
        for i in 0..4 {
            let column: Vec<f64> = (0..4).map(|j| matrix[4 * j + i]).collect();
            near(&matrix[4 * i..4 * i + 4], &column, 1e-10);
        }
        assert!(matrix.iter().any(|x| *x != 0.0), "{name}");
    }
    Ok(())
}

#[test]
fn third_derivatives() -> Result<()> {
    let x = leaf(&[4], 3);
    let slope = |f: &dyn Fn(&Tensor) -> Tensor, x: &Tensor| -> Result<Tensor> {
        let (_, d) = jvp(|x| Ok(vec![f(&x[0])]), std::slice::from_ref(x), &[x.ones_like()])?;
        Ok(d[0].clone())
    };
    let nested = |f: fn(&Tensor) -> Tensor| -> Result<Tensor> {
        let first =
            move |x: &Tensor| slope(&f, x).unwrap_or_else(|e| Tensor::invalid("first", e.to_string()));
        let second =
            move |x: &Tensor| slope(&first, x).unwrap_or_else(|e| Tensor::invalid("second", e.to_string()));
        slope(&second, &x)
    };
    let inputs = [x.clone()];
    near(&values(&nested(|x| x.square() * x.square())?, &inputs), &values(&(&x * 24.0), &inputs), 1e-10);
    near(
        &values(&nested(|x| (x * 2.0).sin())?, &inputs),
        &values(&((&x * 2.0).cos() * -8.0), &inputs),
        1e-10,
    );
    // The gradient of a product with the Hessian, against differences of that product.
    let y = x.softmax(-1).square().sum(());
    let product = hvp(&y, std::slice::from_ref(&x), &[leaf(&[4], 8)])?.remove(0);
    let third = jacobian(&product, &x)?;
    near(&values(&third, &inputs), &differences(&product, &inputs, 0), 1e-6);
    Ok(())
}

#[test]
fn bad_calls_are_errors() {
    let (x, whole) = (leaf(&[2], 1), Tensor::range(2));
    let text = |error: Option<Error>| error.expect("an error").to_string();
    let one = |x: &[Tensor]| Ok(vec![x[0].clone()]);
    assert!(
        text(jvp(one, std::slice::from_ref(&x), &[leaf(&[3], 1)]).err())
            .starts_with("[jvp] expected vectors of shapes [[2]]")
    );
    assert!(
        text(jvp(one, std::slice::from_ref(&whole), std::slice::from_ref(&whole)).err())
            .contains("[jvp] expected float")
    );
    assert!(text(jacobian(&whole, &x).err()).contains("[jacobian] expected float"));
    assert!(text(hessian(&x, &x).err()).contains("[gradients] expected a float scalar"));
    assert!(text(hvp(&x.sum(()), std::slice::from_ref(&x), &[]).err()).starts_with("[hvp]"));
    let pull = vjp(one, std::slice::from_ref(&x)).expect("a value").1;
    assert!(text(pull.call(&[leaf(&[3], 1)]).err()).starts_with("[vjp]"));
    let few = custom_gradient(|x: &[Tensor]| (&x[0] * &x[1], |g: &Tensor| vec![g.clone()]));
    let y = few(&[x.clone(), x.clone()]).sum(());
    assert!(
        text(gradients(&y, std::slice::from_ref(&x)).err())
            .starts_with("[custom_gradient] expected a gradient for each input")
    );
    let narrow = custom_gradient(|x: &[Tensor]| (x[0].clone(), |g: &Tensor| vec![g.sum(())]));
    let error = text(gradients(&narrow(std::slice::from_ref(&x)).sum(()), std::slice::from_ref(&x)).err());
    assert!(error.contains("of shapes [[2]], received [Some([])]"), "{error}");
    let failed = checkpoint(|x| x[0].matmul(&leaf(&[3, 3], 1)), &[x]);
    assert!(text(failed.error().cloned()).starts_with("[matmul]"));
}

#[test]
fn a_checkpoint_changes_no_derivative() -> Result<()> {
    let (x, w) = (leaf(&[3, 4], 1), leaf(&[4, 4], 2));
    let layer = |x: &Tensor, w: &Tensor| x.matmul(w).tanh().square();
    let plain = layer(&layer(&x, &w), &w).sum(());
    let kept = checkpoint(|x| layer(&layer(&x[0], &x[1]), &x[1]), &[x.clone(), w.clone()]).sum(());
    // One of them captured; one inside the other; and cut in two.
    let captured = checkpoint(|x| layer(&layer(&x[0], &w), &w), std::slice::from_ref(&x)).sum(());
    let nested =
        checkpoint(|x| layer(&checkpoint(|y| layer(&y[0], &w), x), &w), std::slice::from_ref(&x)).sum(());
    let first = checkpoint(|x| layer(&x[0], &w), std::slice::from_ref(&x));
    let halves = checkpoint(|x| layer(&x[0], &w), &[first]).sum(());
    // Captured with what one of them is made of.
    let (squares, roots) = (w.square(), w.square().sqrt() * w.sign());
    let related =
        checkpoint(|x| layer(&layer(&x[0], &roots), &(&w + &squares - &squares)), std::slice::from_ref(&x))
            .sum(());
    let targets = [x.clone(), w.clone()];
    let expected = gradients(&plain, &targets)?;
    let vectors = [leaf(&[3, 4], 5), leaf(&[4, 4], 6)];
    let second = hvp(&plain, &targets, &vectors)?;
    let inputs = [x.clone(), w.clone(), vectors[0].clone(), vectors[1].clone()];
    // Exactly, before a value is computed and kept in `f32`.
    let exact: Vec<Vec<f64>> = expected.iter().chain(&second).map(|t| values(t, &inputs)).collect();
    for (name, y) in [("inputs", kept), ("captured", captured), ("nested", nested), ("halves", halves)] {
        let got = [gradients(&y, &targets)?, hvp(&y, &targets, &vectors)?].concat();
        for (got, exact) in got.iter().zip(&exact) {
            near(&values(got, &inputs), exact, 1e-12);
        }
        assert_eq!(y.item::<f32>()?, plain.item::<f32>()?);
        for (got, expected) in got.iter().zip(&expected) {
            assert_eq!(got.to_vec::<f32>()?, expected.to_vec::<f32>()?, "{name}");
        }
    }
    for (got, exact) in gradients(&related, &targets)?.iter().zip(&exact) {
        near(&values(got, &inputs), exact, 1e-9);
    }
    Ok(())
}

#[test]
fn a_checkpoint_of_several_values_changes_no_derivative() -> Result<()> {
    let (x, w) = (leaf(&[3, 4], 1), leaf(&[4, 4], 2));
    let block = |x: &[Tensor]| {
        let hidden = x[0].matmul(&x[1]).tanh();
        let index = hidden.argsort(-1, false);
        vec![hidden.square(), index, hidden.exp() * &x[0], hidden.sin()]
    };
    // The last value is not used, the second is of integers.
    let loss = |y: &[Tensor]| (&y[0] * y[1].to_float()).sum(()) + (y[2].square() * &y[0]).sum(());
    let targets = [x.clone(), w.clone()];
    let plain = loss(&block(&targets));
    let again = loss(&checkpoints(block, &targets));
    let nested = checkpoints(|x| checkpoints(block, x), &targets);
    let vectors = [leaf(&[3, 4], 5), leaf(&[4, 4], 6)];
    let all = |y: &Tensor| Ok::<_, Error>([gradients(y, &targets)?, hvp(y, &targets, &vectors)?].concat());
    let inputs = [x.clone(), w.clone(), vectors[0].clone(), vectors[1].clone()];
    let exact: Vec<Vec<f64>> = all(&plain)?.iter().map(|t| values(t, &inputs)).collect();
    for y in [again, loss(&nested)] {
        for (got, exact) in all(&y)?.iter().zip(&exact) {
            near(&values(got, &inputs), exact, 1e-12);
        }
    }
    let unused = checkpoints(block, &targets);
    let g = gradients(&unused[1].to_float().sum(()), &targets)?;
    assert!(values(&g[0], &inputs).iter().chain(&values(&g[1], &inputs)).all(|g| *g == 0.0));
    let failed = checkpoints(|x| vec![x[0].clone(), x[0].matmul(&x[0])], &[x]);
    assert!(failed.len() == 2 && failed.iter().all(|t| t.error().is_some()));
    assert!(checkpoints(|_| vec![], &[w]).is_empty());
    Ok(())
}

#[test]
fn what_a_checkpoint_does_not_do_twice() -> Result<()> {
    with_device(&Device::cpu(), || {
        let count = Variable::new(&Tensor::scalar(0.0f32))?;
        let of_step = count.clone();
        let step = Function::new("step", move |x| {
            let y = checkpoint(
                |x| {
                    // A side effect and random numbers, as batch statistics and dropout have.
                    if let Err(error) = of_step.assign_add(Tensor::scalar(1.0f32)) {
                        return Tensor::invalid("step", error.to_string());
                    }
                    let key = Tensor::from_slice(&random_key(1, 2));
                    let mask = Tensor::random_uniform(&key, &[64]).less(0.5);
                    Tensor::select(&mask, x[0].exp(), 0.0).sin()
                },
                &[x[0].clone()],
            );
            let g = gradients(&y.sum(()), &[x[0].clone()])?.remove(0);
            Ok(vec![y, g])
        });
        let found = step.call(&[leaf(&[64], 4)])?;
        let (y, g) = (found[0].to_vec::<f32>()?, found[1].to_vec::<f32>()?);
        assert!(y.contains(&0.0) && y.iter().any(|v| *v != 0.0));
        assert!(y.iter().zip(&g).all(|(y, g)| (*y == 0.0) == (*g == 0.0)), "the same mask");
        assert_eq!(count.read().item::<f32>()?, 1.0);
        Ok(())
    })
}

/// The same of segments that pass two values on.
fn twin_tower(segments: usize, depth: usize, remember: bool) -> Result<(Report, Vec<f32>)> {
    let variables: Vec<Variable> = (0..segments * depth)
        .map(|i| Variable::new(&(leaf(&[32, 32], 20 + i) * 0.5)))
        .collect::<Result<_>>()?;
    let step = Function::new("twins", move |x| {
        let read: Vec<Tensor> = variables.iter().map(Variable::read).collect();
        let mut y = vec![x[0].clone(), &x[0] * 0.5];
        for weights in read.chunks(depth) {
            let run = |x: &[Tensor]| {
                let layer = |x: Vec<Tensor>, w: &Tensor| {
                    let y = x[0].matmul(w).tanh();
                    vec![&y * x[1].sigmoid(), y]
                };
                weights.iter().fold(x.to_vec(), layer)
            };
            y = if remember { run(&y) } else { checkpoints(run, &y) };
        }
        gradients(&(&y[0] * &y[1]).sum(()), &read)
    });
    let x = leaf(&[512, 32], 7);
    let first = step.call(std::slice::from_ref(&x))?[0].to_vec::<f32>()?;
    Ok((step.explain(&[x])?, first))
}

#[test]
fn a_checkpoint_of_several_values_takes_less_memory() -> Result<()> {
    with_device(&Device::cpu_with_threads(1)?, || {
        let (kept, gradient) = twin_tower(4, 4, true)?;
        let (again, same) = twin_tower(4, 4, false)?;
        assert_eq!(gradient, same);
        assert!(again.temporary_bytes * 3 <= kept.temporary_bytes * 2, "{kept}\n{again}");
        Ok(())
    })
}

/// The report of a step through `segments` × `depth` layers, each segment a checkpoint or not.
fn tower(segments: usize, depth: usize, remember: bool) -> Result<(Report, Vec<f32>)> {
    let variables: Vec<Variable> = (0..segments * depth)
        .map(|i| Variable::new(&(leaf(&[32, 32], 20 + i) * 0.5)))
        .collect::<Result<_>>()?;
    let step = Function::new("tower", move |x| {
        let read: Vec<Tensor> = variables.iter().map(Variable::read).collect();
        let mut y = x[0].clone();
        for weights in read.chunks(depth) {
            let run = |x: &[Tensor]| weights.iter().fold(x[0].clone(), |y, w| y.matmul(w).tanh());
            y = if remember { run(&[y]) } else { checkpoint(run, &[y]) };
        }
        gradients_with(&y, &y.ones_like(), &read)
    });
    let x = leaf(&[512, 32], 7);
    let first = step.call(std::slice::from_ref(&x))?[0].to_vec::<f32>()?;
    Ok((step.explain(&[x])?, first))
}

#[test]
fn a_checkpoint_takes_less_memory_and_more_arithmetic() -> Result<()> {
    with_device(&Device::cpu_with_threads(1)?, || {
        const ACTIVATION: u64 = 512 * 32 * 4;
        let (kept, gradient) = tower(4, 4, true)?;
        let (again, same) = tower(4, 4, false)?;
        assert_eq!(gradient, same);
        // All 16 activations against those at the 4 borders and the 4 of one segment, with what the gradient needs.
        assert!(kept.temporary_bytes >= 15 * ACTIVATION, "{kept}");
        assert!(again.temporary_bytes <= 9 * ACTIVATION, "{again}");
        let flops = |report: &Report| report.kernels.iter().map(|k| k.flops).sum::<u64>() as f64;
        // Forward, and twice as much backward; then forward once more.
        let ratio = flops(&again) / flops(&kept);
        assert!((1.2..1.45).contains(&ratio), "{ratio}");
        Ok(())
    })
}

/// Products in which factors are 0: of others of the same row, of those before, of all.
type Product = fn(&Tensor) -> Tensor;
const PRODUCTS: &[(&str, Product)] = &[
    ("prod", |x| x.prod(())),
    ("cumprod", |x| x.cumprod(0)),
    ("cumprod of rows", |x| x.reshape(&[2, 2]).cumprod(0).flatten_from(0)),
    ("cumprod from the end", |x| x.flip(0).cumprod(0).exp()),
    ("at", |x| x.at(Tensor::from_slice(&[1, 3, 1, 1])).multiply(x)),
    ("segment_prod", |x| ops::segment_prod(x, &Tensor::from_slice(&[1, 0, 1, 1]), 2)),
];

#[test]
fn products_with_factors_of_0_have_their_derivatives() -> Result<()> {
    for (_, f) in PRODUCTS {
        for point in [
            [0.0f32, 2.0, 0.0, 3.0],
            [1.0, 0.0, 2.0, 0.0],
            [0.0; 4],
            [2.0, 0.0, 3.0, -1.0],
            [0.5, -1.5, 2.0, 3.0],
        ] {
            let x = Tensor::from_slice(&point);
            let y = f(&x);
            let y = (&y * leaf(y.shape(), 3)).sum(());
            let inputs = [x.clone()];
            let gradient = gradients(&y, &inputs)?.remove(0);
            near(&values(&gradient, &inputs), &differences(&y, &inputs, 0), 1e-6);
            let second = hessian(&y, &x)?;
            near(&values(&second, &inputs), &differences(&gradient, &inputs, 0), 1e-6);
            let third = jacobian(&second, &x)?;
            near(&values(&third, &inputs), &differences(&second, &inputs, 0), 1e-6);
        }
    }
    Ok(())
}
