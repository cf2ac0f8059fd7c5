//! What functions and variables promise: traces, state that commits at the end, values that stay what they were.

use kiln_graph::{DType, Device, Function, Result, Tensor, Variable, gradients, with_device};

/// Runs a test's body on the CPU.
fn on_cpu(body: impl FnOnce() -> Result<()>) {
    with_device(&Device::cpu(), body).unwrap_or_else(|e| panic!("{e}"));
}

fn vector(values: &[f32]) -> Tensor {
    Tensor::from_slice(values)
}

fn variable(values: &[f32]) -> Result<Variable> {
    Variable::new(&vector(values))
}

fn values(variable: &Variable) -> Result<Vec<f32>> {
    variable.read().to_vec()
}

/// A function without arguments or results.
fn effect(body: impl Fn() -> Result<()> + Send + Sync + 'static) -> Function {
    Function::new("effect", move |_| body().map(|()| vec![]))
}

#[test]
fn a_signature_is_traced_once_and_the_report_says_why() {
    on_cpu(|| {
        let f = Function::new("double", |x| Ok(vec![&x[0] * 2.0]));
        for _ in 0..3 {
            f.call(&[vector(&[1.0, 2.0])])?;
        }
        f.prepare(&[vector(&[5.0, 6.0])])?;
        assert_eq!(f.trace_count(), 1);
        f.call(&[vector(&[1.0, 2.0, 3.0])])?;
        f.call(&[Tensor::from_slice(&[1i32, 2])])?;
        f.call(&[vector(&[1.0, 2.0])])?;
        let expected = [
            "double(float32 [2]): first call",
            "double(float32 [3]): new signature, argument 0 was float32 [2], is float32 [3]",
            "double(int32 [2]): new signature, argument 0 was float32 [2], is int32 [2]",
        ];
        let report = f.trace_report();
        assert_eq!(report[..2], expected[..2]);
        assert!(
            report[2].starts_with("double(int32 [2]): new signature, argument 0 was float32 ["),
            "{report:?}"
        );
        let both = f.call(&[vector(&[1.0]), vector(&[1.0])])?;
        assert_eq!(both[0].to_vec::<f32>()?, [2.0]);
        assert!(f.trace_report()[3].ends_with("new signature, 2 arguments instead of 1"));
        Ok(())
    });
}

#[test]
fn assignments_of_a_function_take_effect_with_every_call() {
    on_cpu(|| {
        let x = variable(&[1.0, 2.0])?;
        let f = {
            let x = x.clone();
            Function::new("f", move |_| {
                let before = x.read();
                x.assign(&(x.read() + 10.0))?;
                Ok(vec![before])
            })
        };
        assert_eq!(f.call(&[])?[0].to_vec::<f32>()?, [1.0, 2.0]);
        assert_eq!(f.call(&[])?[0].to_vec::<f32>()?, [11.0, 12.0]);
        assert_eq!(values(&x)?, [21.0, 22.0]);
        assert_eq!(f.trace_count(), 1);
        Ok(())
    });
}

#[test]
fn two_variables_swap() {
    on_cpu(|| {
        for packed in [false, true] {
            let (a, b) = (variable(&[1.0, 2.0])?, variable(&[3.0, 4.0])?);
            if packed {
                Variable::pack(&[a.clone(), b.clone()])?;
            }
            let swap = {
                let (a, b) = (a.clone(), b.clone());
                effect(move || {
                    let before = a.read();
                    a.assign(b.read())?;
                    b.assign(&before)
                })
            };
            swap.call(&[])?;
            assert_eq!((values(&a)?, values(&b)?), (vec![3.0, 4.0], vec![1.0, 2.0]));
            swap.call(&[])?;
            assert_eq!((values(&a)?, values(&b)?), (vec![1.0, 2.0], vec![3.0, 4.0]));
        }
        Ok(())
    });
}

#[test]
fn the_last_assignment_counts_and_additions_add_up() {
    on_cpu(|| {
        let (a, b) = (variable(&[1.0])?, variable(&[1.0])?);
        let f = {
            let (a, b) = (a.clone(), b.clone());
            effect(move || {
                a.assign(&(a.read() * 10.0))?;
                a.assign(&(a.read() * 100.0))?;
                b.assign_add(vector(&[5.0]))?;
                b.assign_add(b.read())?;
                b.assign_sub(vector(&[2.0]))
            })
        };
        f.call(&[])?;
        assert_eq!((values(&a)?, values(&b)?), (vec![1000.0], vec![10.0]));
        Ok(())
    });
}

#[test]
fn values_assigned_may_be_views_of_what_is_written() {
    on_cpu(|| {
        let a = variable(&[1.0, 2.0, 3.0, 4.0])?;
        let square = Variable::new(&Tensor::from_vec([1.0f32, 2.0, 3.0, 4.0], &[2, 2]))?;
        let f = {
            let (a, square) = (a.clone(), square.clone());
            effect(move || {
                a.assign(a.read().flip(()))?;
                square.assign(square.read().transpose(&[1, 0]))
            })
        };
        f.call(&[])?;
        assert_eq!((values(&a)?, values(&square)?), (vec![4.0, 3.0, 2.0, 1.0], vec![1.0, 3.0, 2.0, 4.0]));
        a.assign(a.read().flip(()))?;
        assert_eq!(values(&a)?, [1.0, 2.0, 3.0, 4.0]);
        a.assign(square.read().reshape(&[4]))?;
        assert_eq!(values(&a)?, [1.0, 3.0, 2.0, 4.0]);
        Ok(())
    });
}

#[test]
fn a_slab_and_its_members_are_one_memory() {
    on_cpu(|| {
        let (a, b) = (variable(&[1.0, 2.0])?, variable(&[3.0])?);
        let slab = Variable::pack(&[a.clone(), b.clone()])?;
        assert_eq!(values(&slab)?, [1.0, 2.0, 3.0]);
        slab.assign(vector(&[4.0, 5.0, 6.0]))?;
        assert_eq!((values(&a)?, values(&b)?), (vec![4.0, 5.0], vec![6.0]));
        // Both are written, in the program's order.
        let f = {
            let (slab, a) = (slab.clone(), a.clone());
            effect(move || {
                slab.assign(&(slab.read() * 10.0))?;
                a.assign(&(a.read() + 0.5))
            })
        };
        f.call(&[])?;
        assert_eq!(values(&slab)?, [40.5, 50.5, 60.0]);
        let g = {
            let (slab, b) = (slab.clone(), b.clone());
            effect(move || {
                b.assign(&(b.read() + 1.0))?;
                slab.assign(slab.read().flip(()))
            })
        };
        g.call(&[])?;
        assert_eq!(values(&slab)?, [61.0, 50.5, 40.5]);
        assert_eq!((values(&a)?, values(&b)?), (vec![61.0, 50.5], vec![40.5]));
        Ok(())
    });
}

#[test]
fn packing_recompiles_functions_that_read_a_member() {
    on_cpu(|| {
        let (a, b) = (variable(&[1.0])?, variable(&[2.0])?);
        let f = {
            let a = a.clone();
            Function::new("f", move |_| {
                a.assign_add(vector(&[1.0]))?;
                Ok(vec![a.read()])
            })
        };
        assert_eq!(f.call(&[])?[0].item::<f32>()?, 2.0);
        Variable::pack(&[b.clone(), a.clone()])?;
        assert_eq!(f.call(&[])?[0].item::<f32>()?, 3.0);
        assert_eq!((values(&a)?, values(&b)?), (vec![3.0], vec![2.0]));
        assert_eq!(f.trace_count(), 2);
        assert!(f.trace_report()[1].ends_with("variables were packed into another slab since"));
        Ok(())
    });
}

#[test]
fn a_lazy_read_keeps_its_value() {
    on_cpu(|| {
        let a = variable(&[1.0, 2.0])?;
        let f = {
            let a = a.clone();
            effect(move || a.assign_add(vector(&[1.0, 1.0])))
        };
        let first = a.read() * 1.0;
        a.assign(vector(&[3.0, 4.0]))?;
        let second = a.read();
        f.call(&[])?;
        let third = a.read() + 0.0;
        f.call(&[])?;
        Variable::pack(&[a.clone(), variable(&[9.0])?])?;
        f.call(&[])?;
        assert_eq!(first.to_vec::<f32>()?, [1.0, 2.0]);
        assert_eq!(second.to_vec::<f32>()?, [3.0, 4.0]);
        assert_eq!(third.to_vec::<f32>()?, [4.0, 5.0]);
        assert_eq!(values(&a)?, [6.0, 7.0]);
        Ok(())
    });
}

#[test]
fn a_captured_read_is_not_the_state_that_the_function_writes() {
    on_cpu(|| {
        let a = variable(&[1.0, 2.0, 3.0])?;
        let before = a.read();
        let f = {
            let a = a.clone();
            Function::new("f", move |_| {
                a.assign(&(a.read() + before.flip(())))?;
                Ok(vec![&before * 1.0])
            })
        };
        for expected in [[4.0, 4.0, 4.0], [7.0, 6.0, 5.0]] {
            assert_eq!(f.call(&[])?[0].to_vec::<f32>()?, [1.0, 2.0, 3.0]);
            assert_eq!(values(&a)?, expected);
        }
        Ok(())
    });
}

#[test]
fn reads_and_packs_of_other_threads_meet_whole_values() {
    let a = with_device(&Device::cpu(), || variable(&[0.0; 4096])).expect("variable");
    let step = {
        let a = a.clone();
        effect(move || a.assign(&(a.read() + 1.0)))
    };
    std::thread::scope(|scope| {
        scope.spawn(|| {
            on_cpu(|| {
                for _ in 0..200 {
                    step.call(&[])?;
                }
                Ok(())
            })
        });
        scope.spawn(|| {
            on_cpu(|| {
                for _ in 0..20 {
                    let other = Variable::new(&Tensor::ones(&[3]))?;
                    Variable::pack(&[other, a.clone()])?;
                }
                Ok(())
            })
        });
        on_cpu(|| {
            for _ in 0..200 {
                let read = (a.read() * 2.0).to_vec::<f32>()?;
                assert!(read.iter().all(|x| *x == read[0]), "a torn read");
            }
            Ok(())
        });
    });
    on_cpu(|| {
        assert!(values(&a)?.iter().all(|x| *x == 200.0));
        Ok(())
    });
}

/// The text of the error that a function's body ends with.
fn trace_error(body: impl Fn(&[Tensor]) -> Result<Vec<Tensor>> + Send + Sync + 'static) -> String {
    let called = with_device(&Device::cpu(), || Function::new("bad", body).call(&[vector(&[1.0])]));
    called.expect_err("the body is not allowed").to_string()
}

#[test]
fn what_a_trace_may_not_do_is_an_error_at_the_users_line() {
    let line = line!() + 1;
    let read = trace_error(|x| x[0].to_vec::<f32>().map(|_| vec![]));
    assert!(read.starts_with("[trace]") && read.contains(&format!("functions.rs:{line}")), "{read}");
    let line = line!() + 1;
    let made = trace_error(|x| Variable::new(&x[0]).map(|_| vec![]));
    assert!(made.starts_with("[trace]") && made.contains(&format!("functions.rs:{line}")), "{made}");
    for text in [
        trace_error(|x| x[0].item::<f32>().map(|_| vec![])),
        trace_error(|x| x[0].eval().map(|_| vec![])),
        trace_error(|x| x[0].to_device(&Device::cpu()).map(|t| vec![t])),
    ] {
        assert!(text.starts_with("[trace]") && text.contains("functions.rs:"), "{text}");
    }
}

#[test]
fn a_placeholder_means_nothing_outside() {
    on_cpu(|| {
        let leaked = std::sync::Arc::new(std::sync::Mutex::new(None));
        let f = {
            let leaked = leaked.clone();
            Function::new("f", move |x| {
                *leaked.lock().expect("unpoisoned") = Some(&x[0] + 1.0);
                Ok(vec![x[0].clone()])
            })
        };
        f.call(&[vector(&[1.0])])?;
        let tensor = leaked.lock().expect("unpoisoned").clone().expect("leaked");
        let error = tensor.to_vec::<f32>().expect_err("no value").to_string();
        assert!(error.starts_with("[trace]") && error.contains("functions.rs"), "{error}");
        let other = Function::new("g", move |_| Ok(vec![tensor.clone()])).call(&[]);
        assert!(other.expect_err("no value").to_string().starts_with("[trace]"));
        Ok(())
    });
}

#[test]
fn captured_tensors_are_constants() {
    on_cpu(|| {
        let (host, computed) = (vector(&[1.0, 2.0]), vector(&[3.0, 4.0]) * 2.0);
        computed.eval()?;
        let old = variable(&[7.0, 8.0])?;
        let read_outside = old.read();
        let f = Function::new("f", move |x| Ok(vec![&x[0] + &host + &computed + &read_outside]));
        assert_eq!(f.call(&[vector(&[0.0, 0.0])])?[0].to_vec::<f32>()?, [14.0, 18.0]);
        old.assign(vector(&[0.0, 0.0]))?;
        assert_eq!(f.call(&[vector(&[1.0, 1.0])])?[0].to_vec::<f32>()?, [15.0, 19.0]);
        assert_eq!(f.trace_count(), 1);
        Ok(())
    });
}

#[test]
fn several_threads_call_one_function() {
    on_cpu(|| {
        let total = Variable::new(&Tensor::scalar(0i32))?;
        let f = {
            let total = total.clone();
            Function::new("f", move |x| {
                total.assign_add(Tensor::scalar(1i32))?;
                Ok(vec![&x[0] * 2.0])
            })
        };
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let f = &f;
                scope.spawn(move || {
                    with_device(&Device::cpu(), || {
                        for i in 0..25 {
                            let x = (thread * 100 + i) as f32;
                            let y = f.call(&[vector(&[x, -x])]).expect("runs");
                            assert_eq!(y[0].to_vec::<f32>().expect("reads"), [2.0 * x, -2.0 * x]);
                        }
                    })
                });
            }
        });
        assert_eq!(total.read().item::<i32>()?, 100);
        assert_eq!(f.trace_count(), 1);
        Ok(())
    });
}

#[test]
fn gradients_of_variables_train() {
    on_cpu(|| {
        let w = variable(&[0.0, 0.0])?;
        let step = {
            let w = w.clone();
            Function::new("step", move |x| {
                let loss = (w.read() - &x[0]).square().sum(());
                let g = gradients(&loss, &[w.read()])?.remove(0);
                w.assign_sub(&(g * 0.25))?;
                Ok(vec![loss])
            })
        };
        let target = vector(&[1.0, -2.0]);
        let losses = (0..4).map(|_| step.call(std::slice::from_ref(&target))?[0].item::<f32>());
        assert_eq!(losses.collect::<Result<Vec<_>>>()?, [5.0, 1.25, 0.3125, 0.078125]);
        assert_eq!(values(&w)?, [0.9375, -1.875]);
        Ok(())
    });
}

#[test]
fn outputs_may_be_inputs_views_constants_or_the_same_twice() {
    on_cpu(|| {
        let state = variable(&[5.0, 6.0])?;
        let f = {
            let state = state.clone();
            Function::new("f", move |x| {
                let y = &x[0] + 1.0;
                state.assign(&y)?;
                let outputs =
                    [x[0].clone(), y.clone(), y.clone(), y.flip(()), state.read(), Tensor::ones(&[2])];
                Ok(outputs.to_vec())
            })
        };
        let outputs = f.call(&[vector(&[1.0, 2.0])])?;
        let read: Vec<Vec<f32>> = outputs.iter().map(|t| t.to_vec()).collect::<Result<_>>()?;
        let expected = [[1.0, 2.0], [2.0, 3.0], [2.0, 3.0], [3.0, 2.0], [2.0, 3.0], [1.0, 1.0]];
        assert_eq!(read, expected);
        assert_eq!(values(&state)?, [2.0, 3.0]);
        assert!(Function::new("empty", |_| Ok(vec![])).call(&[])?.is_empty());
        Ok(())
    });
}

#[test]
fn nothing_is_a_value_too() {
    on_cpu(|| {
        let none = Tensor::from_vec(Vec::<f32>::new(), &[0, 3]);
        let state = Variable::new(&none)?;
        let f = {
            let state = state.clone();
            Function::new("f", move |x| {
                state.assign(&(&x[0] * 2.0))?;
                let joined = Tensor::concat(&[x[0].clone(), Tensor::ones(&[1, 3])], 0);
                Ok(vec![&x[0] + 1.0, x[0].sum(()), x[0].sum(0), joined, x[0].matmul(&Tensor::ones(&[3, 2]))])
            })
        };
        let outputs = f.call(&[none])?;
        let lengths: Vec<usize> = outputs.iter().map(Tensor::len).collect();
        assert_eq!(lengths, [0, 1, 3, 3, 0]);
        assert_eq!(outputs[1].item::<f32>()?, 0.0);
        assert_eq!(outputs[2].to_vec::<f32>()?, [0.0; 3]);
        assert_eq!(outputs[3].to_vec::<f32>()?, [1.0; 3]);
        assert_eq!(values(&state)?, Vec::<f32>::new());
        Ok(())
    });
}

#[test]
fn an_index_out_of_range_is_reported_and_the_function_goes_on() {
    on_cpu(|| {
        let f = Function::new("f", |x| Ok(vec![vector(&[1.0, 2.0]).take(&x[0], 0)]));
        let read = |index: i32| f.call(&[Tensor::from_slice(&[index])])?[0].item::<f32>();
        assert_eq!(read(1)?, 2.0);
        let error = read(2).expect_err("out of range").to_string();
        assert!(error.starts_with("[take] index 2") && error.contains("functions.rs"), "{error}");
        assert_eq!(read(0)?, 1.0);
        Ok(())
    });
}

#[test]
fn expressions_may_be_deep() {
    on_cpu(|| {
        let mut deep = vector(&[0.0]);
        for _ in 0..100_000 {
            deep = deep + 1.0;
        }
        let copy = deep.clone();
        drop(deep);
        drop(copy);
        let x = vector(&[0.0]);
        let mut y = x.clone();
        for _ in 0..10_000 {
            y = y + &x;
        }
        let started = std::time::Instant::now();
        let loss = y.sum(());
        assert_eq!(gradients(&loss, &[x])?[0].dtype(), DType::F32);
        assert!(started.elapsed().as_secs_f64() < 5.0, "gradients took {:?}", started.elapsed());
        Ok(())
    });
}

#[test]
fn gradients_leave_the_history_before_their_targets_alone() {
    on_cpu(|| {
        let mut w = vector(&[1.0, 2.0]);
        let started = std::time::Instant::now();
        for _ in 0..10_000 {
            let loss = w.square().sum(());
            let g = &gradients(&loss, std::slice::from_ref(&w))?[0];
            w = &w - g * 0.001;
        }
        assert!(started.elapsed().as_secs_f64() < 10.0, "10,000 steps took {:?}", started.elapsed());
        let expected = 0.998f64.powi(10_000) as f32;
        let found = w.to_vec::<f32>()?;
        assert!((found[0] / expected - 1.0).abs() < 1e-2, "{found:?}, expected {expected}");
        Ok(())
    });
}

#[test]
fn compiling_grows_in_proportion() {
    on_cpu(|| {
        let chain = |length: usize| {
            let mut y = vector(&[0.5; 64]);
            for i in 0..length {
                y = if i % 2 == 0 { y.tanh() } else { y * 1.5 + 0.25 };
            }
            let started = std::time::Instant::now();
            y.eval().map(|_| started.elapsed().as_secs_f64())
        };
        chain(10)?;
        let (short, long) = (chain(500)?, chain(2000)?);
        assert!(long < 1.0, "a chain of 2,000 took {long} s");
        assert!(long < 12.0 * short.max(0.01), "{short} s for 500, {long} s for 2,000");
        let wide = |count: usize| {
            let f = Function::new("wide", move |x| Ok((0..count).map(|i| &x[0] * i as f32).collect()));
            let started = std::time::Instant::now();
            f.call(&[vector(&[0.5; 64])]).map(|_| started.elapsed().as_secs_f64())
        };
        let (few, many) = (wide(500)?, wide(5000)?);
        assert!(many < 100.0 * few.max(0.01), "{few} s for 500 outputs, {many} s for 5,000");
        Ok(())
    });
}
