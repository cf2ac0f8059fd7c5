//! A function in a function, a branch or a loop is a part of what is traced there.

use std::sync::{Arc, Mutex, OnceLock};

use kiln_graph::{
    DType, Function, Result, SavedFunction, Tensor, TensorSpec, TreeFunction, Variable, gradients, ops,
};

use crate::{on_cpu, text, variable, vector};

#[test]
fn a_function_calls_a_function() {
    on_cpu(|| {
        let inner = Arc::new(Function::new("inner", |x| Ok(vec![&x[0] * 2.0, &x[0] + 1.0])));
        let outer = {
            let inner = inner.clone();
            Function::new("outer", move |x| {
                let twice = inner.call(&inner.call(x)?[..1])?;
                Ok(vec![&twice[0] + &twice[1]])
            })
        };
        for x in [1.0f32, 3.0] {
            assert_eq!(outer.call(&[vector(&[x])])?[0].item::<f32>()?, 6.0 * x + 1.0);
        }
        assert_eq!((outer.trace_count(), inner.trace_count()), (1, 0));
        assert_eq!(inner.call(&[vector(&[5.0])])?[0].item::<f32>()?, 10.0);
        assert_eq!(inner.trace_count(), 1);
        Ok(())
    });
}

#[test]
fn a_nested_call_makes_no_kernel_more() {
    on_cpu(|| {
        let inner = Function::new("inner", |x| Ok(vec![(&x[0] * 2.0).tanh()]));
        let flat = Function::new("flat", |x| Ok(vec![(&x[0] * 2.0).tanh() + 1.0]));
        let outer = Function::new("outer", move |x| Ok(vec![&inner.call(x)?[0] + 1.0]));
        let spec = [TensorSpec::new([Some(64)], DType::F32)];
        assert_eq!(outer.explain(&spec)?.kernels.len(), flat.explain(&spec)?.kernels.len());
        Ok(())
    });
}

#[test]
fn state_of_inner_functions_is_state_of_the_outer() {
    on_cpu(|| {
        let count = variable(&[0.0])?;
        let tick = {
            let count = count.clone();
            Arc::new(Function::new("tick", move |x| {
                count.assign_add(&x[0])?;
                Ok(vec![])
            }))
        };
        let outer = {
            let tick = tick.clone();
            Function::new("outer", move |x| {
                tick.call(x)?;
                tick.call(&[&x[0] * 10.0])
            })
        };
        outer.call(&[vector(&[1.0])])?;
        outer.call(&[vector(&[2.0])])?;
        assert_eq!(count.read().item::<f32>()?, 33.0);
        tick.call(&[vector(&[1.0])])?;
        assert_eq!(count.read().item::<f32>()?, 34.0);
        Ok(())
    });
}

#[test]
fn arguments_of_inner_functions_are_tensors_of_their_own() {
    on_cpu(|| {
        let w = variable(&[3.0])?;
        // The slope in the first argument alone, as when it is called by itself.
        let slope = {
            let w = w.clone();
            Arc::new(Function::new("slope", move |x| gradients(&(&x[0] * &x[1] * w.read()).sum(()), &x[..1])))
        };
        let call = {
            let (slope, w) = (slope.clone(), w.clone());
            Function::new("outer", move |x| {
                let same = slope.call(&[x[0].clone(), x[0].clone()])?;
                let state = slope.call(&[w.read(), x[0].clone()])?;
                Ok([same, state].concat())
            })
        };
        let x = vector(&[5.0]);
        let alone = [slope.call(&[x.clone(), x.clone()])?, slope.call(&[w.read(), x.clone()])?].concat();
        for (a, b) in call.call(&[x])?.iter().zip(&alone) {
            assert_eq!((a.item::<f32>()?, b.item::<f32>()?), (15.0, 15.0));
        }
        Ok(())
    });
}

#[test]
fn gradients_flow_through_a_nested_call() {
    on_cpu(|| {
        let cube = Function::new("cube", |x| Ok(vec![&x[0] * &x[0] * &x[0]]));
        let slopes = Function::new("slopes", move |x| {
            let y = cube.call(x)?.remove(0);
            let first = gradients(&y.sum(()), &x[..1])?.remove(0);
            let second = gradients(&first.sum(()), &x[..1])?.remove(0);
            Ok(vec![first, second])
        });
        let slopes = slopes.call(&[vector(&[2.0, -1.0])])?;
        assert_eq!(slopes[0].to_vec::<f32>()?, [12.0, 3.0]);
        assert_eq!(slopes[1].to_vec::<f32>()?, [12.0, -6.0]);
        Ok(())
    });
}

#[test]
fn branches_and_loops_call_functions() {
    on_cpu(|| {
        let double = Arc::new(Function::new("double", |x| Ok(vec![&x[0] * 2.0])));
        let f = double.clone();
        let program = move |x: &Tensor| {
            let call = |x: &Tensor| {
                f.call(std::slice::from_ref(x)).map_or_else(|e| panic!("{e}"), |mut y| y.remove(0))
            };
            let chosen = ops::cond(&x.sum(()).greater(0.0), || vec![call(x)], || vec![-x]);
            let step = |carry: &[Tensor], x: &[Tensor]| {
                let sum = call(&carry[0]) + &x[0];
                (vec![sum.clone()], vec![sum])
            };
            let (last, _) = ops::scan(step, &[Tensor::scalar(1.0f32)], std::slice::from_ref(x), None, false);
            let power = ops::while_loop(
                |p| p[0].less(100.0),
                |p| vec![call(&p[0])],
                &[Tensor::scalar(3.0f32)],
                Some(9),
            );
            let slope = gradients(&last[0], std::slice::from_ref(x))?;
            Ok([chosen, last, power, slope].concat())
        };
        let x = vector(&[1.0, 2.0]);
        let expected = [vec![2.0, 4.0], vec![8.0], vec![192.0], vec![2.0, 1.0]];
        let eager: Result<Vec<Tensor>> = program(&x);
        let traced = Function::new("outer", move |x| program(&x[0])).call(&[x])?;
        for results in [eager?, traced] {
            let read: Vec<Vec<f32>> = results.iter().map(Tensor::to_vec).collect::<Result<_>>()?;
            assert_eq!(read, expected);
        }
        assert_eq!(double.trace_count(), 0);
        Ok(())
    });
}

#[test]
fn maps_of_rows_call_functions() {
    on_cpu(|| {
        let square = Function::new("square", |x| Ok(vec![(&x[0] * &x[0]).sum(())]));
        let call = move |x: &[Tensor]| square.call(x).unwrap_or_else(|error| vec![Tensor::from(error)]);
        let rows = Tensor::from_vec([1.0f32, 2.0, 3.0, 4.0], &[2, 2]);
        let mapped = ops::vectorized_map(&call, std::slice::from_ref(&rows)).remove(0);
        assert_eq!(mapped.to_vec::<f32>()?, [5.0, 25.0]);
        let slope = gradients(&mapped.sum(()), std::slice::from_ref(&rows))?.remove(0);
        assert_eq!(slope.to_vec::<f32>()?, [2.0, 4.0, 6.0, 8.0]);
        Ok(())
    });
}

#[test]
fn a_nested_call_is_checked_as_any_other() {
    on_cpu(|| {
        let inner = Arc::new(
            Function::new("inner", |x| Ok(vec![x[0].clone()]))
                .signature([TensorSpec::new([None, Some(2)], DType::F32)]),
        );
        let outer = {
            let inner = inner.clone();
            Function::new("outer", move |x| inner.call(x))
        };
        let line = line!() - 2;
        outer.call(&[Tensor::zeros(&[3, 2])])?;
        let error = text(outer.call(&[Tensor::zeros(&[3, 3])]));
        assert!(error.contains("expected float32 [None, 2] for argument 0"), "{error}");
        assert!(error.contains("`inner`") && error.contains(&format!("nested.rs:{line}")), "{error}");
        let wrong = Function::new("outer", move |x| inner.call(&[x[0].matmul(&x[0])]));
        let error = text(wrong.call(&[Tensor::zeros(&[3, 2])]));
        assert!(error.starts_with("[matmul]"), "{error}");
        Ok(())
    });
}

#[test]
fn assigning_in_a_branch_through_a_function_is_an_error() {
    on_cpu(|| {
        let w = variable(&[0.0])?;
        let set = Function::new("set", move |x| w.assign(&x[0]).map(|()| vec![x[0].clone()]));
        let branch = move |x: &Tensor| {
            set.call(std::slice::from_ref(x)).unwrap_or_else(|e| vec![Tensor::invalid("set", e.to_string())])
        };
        let outer = Function::new("outer", move |x| {
            Ok(ops::cond(&x[0].sum(()).greater(0.0), || branch(&x[0]), || vec![x[0].clone()]))
        });
        let error = text(outer.call(&[vector(&[1.0])]));
        assert!(error.contains("cannot be assigned inside a branch"), "{error}");
        Ok(())
    });
}

/// A function that can be asked for by its own closure.
fn recursive(
    name: &str,
    body: impl Fn(&Function, &[Tensor]) -> Result<Vec<Tensor>> + Send + Sync + 'static,
) -> Arc<Function> {
    let slot: Arc<OnceLock<Arc<Function>>> = Arc::default();
    let function = {
        let slot = slot.clone();
        Arc::new(Function::new(name, move |x| body(slot.get().expect("set below"), x)))
    };
    slot.set(function.clone()).expect("set once");
    function
}

#[test]
fn recursion_without_end_is_an_error_with_a_way_out() {
    on_cpu(|| {
        let own = recursive("own", |own, x| own.call(x));
        let line = line!() - 1;
        let error = text(own.call(&[vector(&[1.0])]));
        assert!(error.starts_with("[trace] own(float32 [1]) calls itself"), "{error}");
        assert!(error.contains("ops::while_loop") && error.contains(&format!("nested.rs:{line}")), "{error}");
        // Through another one.
        let own = recursive("ping", |own, x| {
            let own = |x: &[Tensor]| own.call(x);
            let pong = |x: &[Tensor]| own(x);
            pong(x)
        });
        let other = Function::new("other", move |x| own.call(x));
        assert!(text(other.call(&[vector(&[1.0])])).contains("ping(float32 [1]) calls itself"));
        // Every time with another signature.
        let growing = recursive("growing", |own, x| {
            own.call(&[Tensor::concat(&[x[0].clone(), x[0].slice_axis(0, 0, 1)], 0)])
        });
        assert!(text(growing.call(&[vector(&[1.0])])).contains("more than 64 times deep"));
        // Nothing is left behind: what comes after traces as ever.
        assert_eq!((vector(&[1.0]) + 1.0).to_vec::<f32>()?, [2.0]);
        Ok(())
    });
}

#[test]
fn recursion_that_halves_its_argument_ends() {
    on_cpu(|| {
        let sum = recursive("sum", |own, x| {
            let half = x[0].len() as i64 / 2;
            if half == 0 {
                return Ok(vec![x[0].clone()]);
            }
            let parts = [x[0].slice_axis(0, 0, half), x[0].slice_axis(0, half, 2 * half)];
            Ok(vec![&own.call(&parts[..1])?[0] + &own.call(&parts[1..])?[0]])
        });
        let x: Vec<f32> = (0..256).map(|n| n as f32).collect();
        assert_eq!(sum.call(&[vector(&x)])?[0].item::<f32>()?, 255.0 * 128.0);
        Ok(())
    });
}

#[test]
fn structures_pass_through_nested_calls() {
    on_cpu(|| {
        let inner = TreeFunction::new("inner", |(x, scale): (Tensor, Option<Tensor>)| {
            let scaled = scale.map_or(x.clone(), |s| &x * s);
            Ok(vec![(scaled.clone(), x), (scaled.clone(), scaled)])
        });
        let outer = TreeFunction::new("outer", move |x: Vec<Tensor>| {
            let plain = inner.call(&(x[0].clone(), None))?;
            let scaled = inner.call(&(x[0].clone(), Some(x[1].clone())))?;
            Ok((plain[0].0.clone(), scaled[1].1.clone()))
        });
        let (a, b) = outer.call(&vec![vector(&[2.0]), vector(&[5.0])])?;
        assert_eq!((a.item::<f32>()?, b.item::<f32>()?), (2.0, 10.0));
        Ok(())
    });
}

#[test]
fn a_variable_is_created_at_the_first_trace_by_who_keeps_it() {
    on_cpu(|| {
        let slot: Arc<OnceLock<Variable>> = Arc::default();
        let runs = Arc::new(Mutex::new(0));
        let f = {
            let (slot, runs) = (slot.clone(), runs.clone());
            Function::new("f", move |x| {
                *runs.lock().expect("unpoisoned") += 1;
                if slot.get().is_none() {
                    let _ = slot.set(Variable::new(&Tensor::full(&[2], 7.0, DType::F32))?);
                }
                let kept = slot.get().expect("set above");
                kept.assign_add(&x[0])?;
                Ok(vec![kept.read()])
            })
        };
        assert_eq!(f.call(&[vector(&[1.0, 2.0])])?[0].to_vec::<f32>()?, [8.0, 9.0]);
        assert_eq!(f.call(&[vector(&[1.0, 2.0])])?[0].to_vec::<f32>()?, [9.0, 11.0]);
        assert_eq!((f.trace_count(), *runs.lock().expect("unpoisoned")), (1, 2));
        let line = line!() + 1;
        let every = Function::new("every", |_| Ok(vec![Variable::new(&vector(&[0.0]))?.read()]));
        let error = text(every.call(&[]));
        assert!(error.contains("function `every` creates a variable whenever it is traced"), "{error}");
        assert!(error.contains("build the model before"), "{error}");
        assert!(error.contains(&format!("nested.rs:{line}")), "{error}");
        let later = Function::new("later", move |x| match x[0].len() {
            1 => Ok(vec![x[0].clone()]),
            _ => Ok(vec![Variable::new(&vector(&[0.0]))?.read()]),
        });
        later.call(&[vector(&[1.0])])?;
        assert!(text(later.call(&[vector(&[1.0, 2.0])])).contains("creates a variable"));
        Ok(())
    });
}

#[test]
fn preparing_inside_a_trace_is_an_error() {
    on_cpu(|| {
        let inner = Function::new("inner", |x| Ok(x.to_vec()));
        let outer = Function::new("outer", move |x| inner.prepare(x).map(|()| vec![]));
        let error = text(outer.call(&[vector(&[1.0])]));
        assert!(error.contains("prepared while function `outer` is being traced; do it before"), "{error}");
        Ok(())
    });
}

#[test]
fn a_function_from_a_file_is_a_part_too() {
    on_cpu(|| {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("f.kiln");
        let (total, other) = (variable(&[100.0])?, variable(&[1.0, 1.0])?);
        Variable::pack(&[other, total.clone()])?;
        let f = Function::new("f", move |x| {
            total.assign_add(x[0].sum(0).reshape(&[1]))?;
            let y = ops::cond(&x[0].sum(()).greater(0.0), || vec![&x[0] * 2.0], || vec![-&x[0]]);
            let step = |carry: &[Tensor], row: &[Tensor]| {
                let sum = &carry[0] + &row[0] * &y[0];
                (vec![sum.clone()], vec![sum.sum(())])
            };
            let (last, sums) = ops::scan(step, &[y[0].clone()], &[x[0].clone()], None, false);
            let power = ops::while_loop(|p| p[0].sum(()).less(50.0), |p| vec![&p[0] * 3.0], &last, None);
            Ok([y, last, sums, power, vec![total.read()]].concat())
        });
        let x = vector(&[1.0, 2.0]);
        f.prepare(std::slice::from_ref(&x))?;
        f.save(&path)?;
        let loaded = Arc::new(SavedFunction::load(&path)?);
        let alone: Vec<Vec<f32>> =
            loaded.call(std::slice::from_ref(&x))?.iter().map(Tensor::to_vec).collect::<Result<_>>()?;
        assert_eq!(alone, [vec![2.0, 4.0], vec![8.0, 16.0], vec![12.0, 24.0], vec![24.0, 48.0], vec![103.0]]);
        let outer = {
            let loaded = loaded.clone();
            Function::new("outer", move |x| {
                let y = loaded.call(&x[..1])?;
                let slope = gradients(&(y[0].sum(()) + y[1].sum(())), &x[..1])?;
                Ok([y, slope].concat())
            })
        };
        let inside: Vec<Vec<f32>> =
            outer.call(std::slice::from_ref(&x))?.iter().map(Tensor::to_vec).collect::<Result<_>>()?;
        assert_eq!(inside[..4], alone[..4]);
        // The state goes on from call to call: 103, then 106, then 109.
        assert_eq!(inside[4], [106.0]);
        // y = 2x; last = y (1 + x₀ + x₁), so its sum is 2 s (1 + s) for s = x₀ + x₁ = 3.
        assert_eq!(inside[5], [2.0 + 14.0, 2.0 + 14.0]);
        assert_eq!(loaded.call(&[x])?[4].to_vec::<f32>()?, [109.0]);
        let error = text(Function::new("outer", move |x| loaded.call(x)).call(&[vector(&[1.0])]));
        assert!(error.contains("expected one of f(float32 [2])"), "{error}");
        Ok(())
    });
}
