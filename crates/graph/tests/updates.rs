//! Updates of parts of variables, in place; assignments of anything that a variable can hold.

#[path = "support/gpu.rs"]
mod gpu;

use kiln_graph::{DType, Device, Function, Result, Tensor, Variable, gradients, ops, with_device};

/// Runs a test on the CPU and, where there is one, on the WGSL path.
fn everywhere(test: impl Fn() -> Result<()>) {
    for device in [Some(Device::cpu()), gpu::gpu()].into_iter().flatten() {
        with_device(&device, || test().unwrap_or_else(|e| panic!("{device}: {e}")));
    }
}

type Update = fn(&Variable, &Tensor, &Tensor) -> Result<()>;

/// What an update makes of an element.
type Fold = fn(f32, f32) -> f32;

const UPDATES: &[(&str, Update, Fold)] = &[
    ("update", |v, i, u| v.scatter_update(i, u), |_, u| u),
    ("add", |v, i, u| v.scatter_add(i, u), |x, u| x + u),
    ("sub", |v, i, u| v.scatter_sub(i, u), |x, u| x - u),
    ("mul", |v, i, u| v.scatter_mul(i, u), |x, u| x * u),
    ("div", |v, i, u| v.scatter_div(i, u), |x, u| x / u),
    ("min", |v, i, u| v.scatter_min(i, u), f32::min),
    ("max", |v, i, u| v.scatter_max(i, u), f32::max),
];

const ND_UPDATES: &[(&str, Update, Fold)] = &[
    ("nd_update", |v, i, u| v.scatter_nd_update(i, u), |_, u| u),
    ("nd_add", |v, i, u| v.scatter_nd_add(i, u), |x, u| x + u),
    ("nd_sub", |v, i, u| v.scatter_nd_sub(i, u), |x, u| x - u),
    ("nd_min", |v, i, u| v.scatter_nd_min(i, u), f32::min),
    ("nd_max", |v, i, u| v.scatter_nd_max(i, u), f32::max),
];

fn table() -> Vec<f32> {
    (0..12).map(|i| i as f32 - 5.0).collect()
}

/// A variable `[4, 3]` on its own, or in a slab with others.
fn variable(packed: bool) -> Result<(Variable, Vec<Variable>)> {
    let v = Variable::new(&Tensor::from_vec(table(), &[4, 3]))?;
    let others = [Variable::new(&Tensor::ones(&[6]))?, Variable::new(&Tensor::ones(&[3]))?];
    if packed {
        Variable::pack(&[others[0].clone(), v.clone(), others[1].clone()])?;
    }
    Ok((v, others.to_vec()))
}

/// Runs an update eagerly or as a function.
fn apply(traced: bool, update: Update, v: &Variable, indices: &Tensor, updates: &Tensor) -> Result<()> {
    if !traced {
        return update(v, indices, updates);
    }
    let v = v.clone();
    let f = Function::new("f", move |x| update(&v, &x[0], &x[1]).map(|()| vec![]));
    f.call(&[indices.clone(), updates.clone()]).map(drop)
}

fn every_way(test: impl Fn(bool, &Variable) -> Result<()>) -> Result<()> {
    for (traced, packed) in [(false, false), (false, true), (true, false), (true, true)] {
        let (v, others) = variable(packed)?;
        test(traced, &v)?;
        for other in others {
            assert!(other.read().to_vec::<f32>()?.iter().all(|x| *x == 1.0), "a neighbour was written");
        }
    }
    Ok(())
}

fn assert_near(found: &[f32], expected: &[f32], what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    for (found, expected) in found.iter().zip(expected) {
        assert!((found - expected).abs() <= 1e-6 * expected.abs().max(1.0), "{what}: {found} not {expected}");
    }
}

#[test]
fn rows_are_updated_and_others_are_not() {
    everywhere(|| {
        let (rows, u) = ([3i32, -4, 3], [0.5f32, 2.0, -1.0, 4.0, -3.0, 0.25, 2.0, 3.0, -7.0]);
        for (name, update, fold) in UPDATES {
            let mut expected = table();
            for (n, row) in rows.iter().enumerate() {
                let row = row.rem_euclid(4) as usize;
                (0..3).for_each(|j| expected[3 * row + j] = fold(expected[3 * row + j], u[3 * n + j]));
            }
            every_way(|traced, v| {
                let kept = v.read();
                apply(traced, *update, v, &Tensor::from_slice(&rows), &Tensor::from_vec(u, &[3, 3]))?;
                assert_near(&v.read().to_vec::<f32>()?, &expected, name);
                assert_eq!(kept.to_vec::<f32>()?, table(), "{name}: an earlier reading");
                Ok(())
            })?;
        }
        Ok(())
    });
}

#[test]
fn places_are_updated_and_others_are_not() {
    everywhere(|| {
        let (places, u) = ([3i32, 2, 0, -1, 3, 2], [0.5f32, 20.0, -10.0]);
        for (name, update, fold) in ND_UPDATES {
            let mut expected = table();
            for (n, place) in places.chunks(2).enumerate() {
                let at = 3 * place[0] as usize + place[1].rem_euclid(3) as usize;
                expected[at] = fold(expected[at], u[n]);
            }
            every_way(|traced, v| {
                let places = Tensor::from_vec(places, &[3, 2]);
                apply(traced, *update, v, &places, &Tensor::from_slice(&u))?;
                assert_near(&v.read().to_vec::<f32>()?, &expected, name);
                Ok(())
            })?;
        }
        Ok(())
    });
}

#[test]
fn one_bad_index_is_an_error_that_damages_nothing() {
    everywhere(|| {
        for (name, update, _) in UPDATES {
            for bad in [4i32, -5, i32::MAX, i32::MIN] {
                every_way(|traced, v| {
                    let indices = Tensor::from_slice(&[1, bad, 0]);
                    // A GPU may report it with the next thing that is read.
                    let outcome =
                        apply(traced, *update, v, &indices, &Tensor::full(&[3, 3], 7.0, DType::F32))
                            .and_then(|()| Tensor::scalar(0.0f32).square().item::<f32>().map(drop));
                    let error = outcome.expect_err("out of range").to_string();
                    assert!(error.contains("out of range") && error.contains(name), "{name} {bad}: {error}");
                    assert_eq!(v.read().to_vec::<f32>()?, table(), "{name} {bad}");
                    Ok(())
                })?;
            }
        }
        Ok(())
    });
}

#[test]
fn what_does_not_fit_is_refused() -> Result<()> {
    let (v, _) = variable(false)?;
    let refused = |outcome: Result<()>, start: &str, words: &str| {
        let error = outcome.expect_err("refused").to_string();
        assert!(error.starts_with(start) && error.contains(words), "{error}");
    };
    let rows = Tensor::from_slice(&[0, 1]);
    refused(v.scatter_add(&rows, Tensor::ones(&[3, 3])), "[scatter_add]", "[2, 3]");
    refused(v.scatter_add(&Tensor::ones(&[2]), 1.0), "[scatter_add]", "integer indices");
    refused(v.scatter_nd_add(&Tensor::from_vec([0; 3], &[1, 3]), 1.0), "[scatter_nd_add]", "received [1, 3]");
    refused(
        v.batch_scatter_update(&Tensor::from_vec([0, 1], &[2, 1]), 1.0),
        "[batch_scatter_update]",
        "[4, 3]",
    );
    let flags = Variable::new(&Tensor::from_slice(&[true, false]))?;
    refused(flags.scatter_add(&rows, Tensor::from_slice(&[true, true])), "[scatter_add]", "bool");
    flags.scatter_update(&rows, Tensor::from_slice(&[false, true]))?;
    assert_eq!(flags.read().to_vec::<bool>()?, [false, true]);
    let counts = Variable::new(&Tensor::from_slice(&[1u32, 5]))?;
    refused(counts.scatter_div(&rows, 2), "[scatter_div]", "float variable");
    counts.scatter_sub(&rows, Tensor::from_slice(&[1u32, 2]))?;
    assert_eq!(counts.read().to_vec::<u32>()?, [0, 3]);
    Ok(())
}

#[test]
fn batches_reads_and_scalars() {
    everywhere(|| {
        let (v, _) = variable(false)?;
        v.batch_scatter_update(
            &Tensor::from_vec([2, -3, 1, 0], &[4, 1]),
            Tensor::full(&[4, 1], 9.0, DType::F32),
        )?;
        let expected = [-5.0, -4.0, 9.0, 9.0, -1.0, 0.0, 1.0, 9.0, 3.0, 9.0, 5.0, 6.0];
        assert_eq!(v.read().to_vec::<f32>()?, expected);
        assert_eq!(v.sparse_read(&Tensor::from_slice(&[-1])).to_vec::<f32>()?, [9.0, 5.0, 6.0]);
        assert_eq!(v.gather_nd(&Tensor::from_vec([2, 1], &[1, 2])).to_vec::<f32>()?, [9.0]);
        v.scatter_update(&Tensor::from_slice(&[0, 2]), 0)?;
        v.scatter_update(&Tensor::from_slice(&[0i32; 0]), 3.0)?;
        assert_eq!(v.read().to_vec::<f32>()?[..6], [0.0, 0.0, 0.0, 9.0, -1.0, 0.0]);
        let half = Variable::new(&Tensor::zeros(&[2]).cast(DType::F16))?;
        half.scatter_add(&Tensor::from_slice(&[1, 1]), Tensor::from_slice(&[1, 2]))?;
        assert_eq!(half.read().cast(DType::F32).to_vec::<f32>()?, [0.0, 3.0]);
        Ok(())
    });
}

#[test]
fn an_update_takes_no_memory_of_the_size_of_the_variable() {
    let device = Device::cpu();
    with_device(&device, || -> Result<()> {
        let made = || Variable::new(&Tensor::zeros(&[250_000, 16]));
        let (own, packed, neighbour) = (made()?, made()?, made()?);
        Variable::pack(&[neighbour, packed.clone()])?;
        let indices = Tensor::from_slice(&[1, 5, 5]);
        let traced = own.clone();
        let f = Function::new("f", move |x| traced.scatter_add(&x[0], 1.0).map(|()| vec![]));
        f.prepare(std::slice::from_ref(&indices))?;
        device.synchronize()?;
        let budget = device.memory_in_use() + 1_000_000;
        device.set_memory_budget(budget);
        for v in [&own, &packed] {
            v.scatter_add(&indices, 1.0)?;
            v.scatter_nd_update(&Tensor::from_vec([7, 3], &[1, 2]), 4.0)?;
        }
        f.call(&[indices])?;
        assert_eq!(own.sparse_read(&Tensor::from_slice(&[5])).to_vec::<f32>()?[0], 4.0);
        assert_eq!(packed.sparse_read(&Tensor::from_slice(&[5])).to_vec::<f32>()?[0], 2.0);
        assert_eq!(packed.gather_nd(&Tensor::from_vec([7, 3], &[1, 2])).item::<f32>()?, 4.0);
        Ok(())
    })
    .expect("in place");
}

#[test]
fn numbers_and_other_dtypes_are_assigned() {
    everywhere(|| {
        let scalar = Variable::new(&Tensor::scalar(0.5f32))?;
        scalar.assign(2.0)?;
        scalar.assign_add(1)?;
        scalar.assign_sub(&scalar)?;
        scalar.assign_add(Tensor::scalar(7i32))?;
        assert_eq!(scalar.read().item::<f32>()?, 7.0);
        let v = Variable::new(&Tensor::zeros(&[2]))?;
        v.assign(Tensor::from_slice(&[1i32, 2]))?;
        v.assign_add(0.5)?;
        assert_eq!(v.read().to_vec::<f32>()?, [1.5, 2.5]);
        let half = Variable::new(&Tensor::zeros(&[2]).cast(DType::F16))?;
        half.assign(&v)?;
        half.assign_add(Tensor::ones(&[2]))?;
        assert_eq!(
            (half.dtype(), half.read().cast(DType::F32).to_vec::<f32>()?),
            (DType::F16, vec![2.5, 3.5])
        );
        let count = Variable::new(&Tensor::from_slice(&[1i32]))?;
        count.assign_add(Tensor::from_slice(&[1.75f32]))?;
        assert_eq!(count.read().to_vec::<i32>()?, [2]);
        let error = v.assign(1.0).expect_err("no broadcast").to_string();
        assert!(error.contains("an unnamed variable of shape [2]"), "{error}");
        let error = v.named("w").assign_add(Tensor::ones(&[3, 2])).expect_err("grows").to_string();
        assert!(error.starts_with("[assign_add]") && error.contains("variable `w`"), "{error}");
        Ok(())
    });
}

#[test]
fn variables_stand_in_expressions() {
    everywhere(|| {
        let w = Variable::new(&Tensor::from_slice(&[2.0f32, 4.0]))?;
        let x = Tensor::from_slice(&[1.0f32, 3.0]);
        let all = [
            &w * 2.0,
            1.0 - &w,
            &w / &x,
            &x + &w,
            &w - &w,
            -&w,
            &w % 3,
            x.clone() * &w,
            2 * &w,
            x.maximum(&w),
        ];
        let expected: [[f32; 2]; 10] = [
            [4.0, 8.0],
            [-1.0, -3.0],
            [2.0, 4.0 / 3.0],
            [3.0, 7.0],
            [0.0, 0.0],
            [-2.0, -4.0],
            [2.0, 1.0],
            [2.0, 12.0],
            [4.0, 8.0],
            [2.0, 4.0],
        ];
        for (n, (found, expected)) in all.iter().zip(expected).enumerate() {
            assert_near(&found.to_vec::<f32>()?, &expected, &n.to_string());
        }
        let loss = (&w * &w).sum(());
        assert_eq!(gradients(&loss, &[w.read()])?[0].to_vec::<f32>()?, [4.0, 8.0]);
        assert_eq!(ops::add(&w, &x).to_vec::<f32>()?, [3.0, 7.0]);
        assert_eq!(format!("{w:?}"), "Variable([2], float32)");
        assert_eq!(format!("{:?}", w.named("kernel")), "Variable(kernel, [2], float32)");
        Ok(())
    });
}

#[test]
fn a_detached_tensor_has_no_history() {
    everywhere(|| {
        let x = Tensor::from_slice(&[3.0f32]);
        let y = x.square();
        let detached = y.detach()?;
        assert_eq!(detached.to_vec::<f32>()?, [9.0]);
        assert_eq!(
            gradients(&(&detached * &x).sum(()), std::slice::from_ref(&x))?[0].to_vec::<f32>()?,
            [9.0]
        );
        assert_eq!(gradients(&detached.sum(()), &[y])?[0].to_vec::<f32>()?, [0.0]);
        let w = Variable::new(&x)?;
        let before = w.read().detach()?;
        w.assign(Tensor::from_slice(&[4.0f32]))?;
        assert_eq!(before.to_vec::<f32>()?, [3.0]);
        let f = Function::new("f", |x| Ok(vec![(&x[0] * 2.0).detach()?]));
        assert!(f.call(&[x]).expect_err("traced").to_string().contains("traced"));
        Ok(())
    });
}
