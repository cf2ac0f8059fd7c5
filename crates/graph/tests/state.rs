//! Variables: what reads give in which order, who waits for whom, what leaks, and gradients of what was read.

#[path = "support/gpu.rs"]
mod gpu;

use std::sync::mpsc::{RecvTimeoutError, channel, sync_channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use kiln_graph::{
    DType, Device, Function, HostArray, Result, Tensor, Variable, connected_gradients, gradients, host_call,
    ops, random, with_device,
};

fn vector(values: &[f32]) -> Tensor {
    Tensor::from_slice(values)
}

fn variable(values: &[f32]) -> Result<Variable> {
    Variable::new(&vector(values))
}

fn values(variable: &Variable) -> Result<Vec<f32>> {
    variable.read().to_vec::<f32>()
}

/// Runs a test on the CPU and, where there is one, on the WGSL path.
fn everywhere(test: impl Fn() -> Result<()>) {
    for device in [Some(Device::cpu()), gpu::gpu()].into_iter().flatten() {
        with_device(&device, || test().unwrap_or_else(|e| panic!("{device}: {e}")));
    }
}

/// Runs a test on every device in a thread that must be done soon.
fn without_hanging(test: impl Fn() -> Result<()> + Send + Sync + 'static) {
    let test = Arc::new(test);
    let one = Device::cpu_with_threads(1).expect("device");
    for device in [Some(Device::cpu()), Some(one), gpu::gpu()].into_iter().flatten() {
        let (test, (done, waiting), name) = (test.clone(), channel(), device.to_string());
        let thread = std::thread::spawn(move || {
            with_device(&device, || test().unwrap_or_else(|e| panic!("{device}: {e}")));
            let _ = done.send(());
        });
        match waiting.recv_timeout(Duration::from_secs(60)) {
            Err(RecvTimeoutError::Timeout) => panic!("{name}: it hangs"),
            _ => thread.join().expect("no panic"),
        }
    }
}

fn on_thread_of<T: Send + 'static>(device: &Device, work: impl FnOnce() -> T + Send + 'static) -> T {
    let device = device.clone();
    std::thread::spawn(move || with_device(&device, work)).join().expect("no panic")
}

#[test]
fn a_function_of_the_host_may_wait_for_a_thread_that_reads_a_variable() {
    without_hanging(|| {
        let w = variable(&[2.0])?;
        let step = {
            let w = w.clone();
            Function::new("step", move |x| {
                let inner = w.clone();
                let fed = host_call("feed", &[x[0].clone()], &[(vec![1], DType::F32)], move |_| {
                    let w = inner.clone();
                    let device = w.device();
                    let read = on_thread_of(&device, move || (w.read() * 2.0).to_vec::<f32>());
                    Ok(vec![HostArray::new([1], read.map_err(|e| e.to_string())?)])
                });
                let y = &fed[0] + w.read();
                Ok(vec![y])
            })
        };
        assert_eq!(step.call(&[vector(&[1.0])])?[0].to_vec::<f32>()?, [6.0]);
        w.assign(vector(&[5.0]))?;
        assert_eq!(step.call(&[vector(&[1.0])])?[0].to_vec::<f32>()?, [15.0]);
        Ok(())
    });
}

#[test]
fn what_the_function_assigns_is_read_as_it_was_until_it_ends() {
    without_hanging(|| {
        let w = variable(&[2.0])?;
        let step = {
            let w = w.clone();
            Function::new("step", move |_| {
                w.assign_add(vector(&[1.0]))?;
                let inner = w.clone();
                // Asks for the new value first, so that it stands before the call.
                let fed = host_call("feed", &[w.read()], &[(vec![1], DType::F32)], move |x| {
                    let (w, device) = (inner.clone(), inner.device());
                    let seen = on_thread_of(&device, move || w.read().item::<f32>());
                    let seen = seen.map_err(|e| e.to_string())?;
                    Ok(vec![HostArray::new([1], vec![x[0].as_slice::<f32>()?[0] * 100.0 + seen])])
                });
                Ok(fed)
            })
        };
        let kept = w.read();
        assert_eq!(step.call(&[])?[0].to_vec::<f32>()?, [302.0]);
        assert_eq!(step.call(&[])?[0].to_vec::<f32>()?, [403.0]);
        assert_eq!((kept.item::<f32>()?, values(&w)?), (2.0, vec![4.0]));
        Ok(())
    });
}

#[test]
fn a_function_of_the_host_may_wait_for_a_producer_that_calls_functions() {
    without_hanging(|| {
        let (sender, receiver) = sync_channel::<f32>(1);
        let device = kiln_graph::default_device()?;
        let producer = std::thread::spawn(move || {
            with_device(&device, || {
                let prepare = Function::new("prepare", |x| Ok(vec![&x[0] * 2.0]));
                let counted = variable(&[0.0]).expect("variable");
                for i in 0..10 {
                    let y = prepare.call(&[vector(&[i as f32])]).expect("call")[0].item::<f32>();
                    counted.assign_add(vector(&[1.0])).expect("assign");
                    if sender.send(y.expect("item")).is_err() {
                        return;
                    }
                    std::thread::sleep(Duration::from_millis(5));
                }
            })
        });
        let (w, receiver) = (variable(&[0.0])?, Arc::new(Mutex::new(receiver)));
        let train = {
            let w = w.clone();
            Function::new("train", move |x| {
                w.assign_add(vector(&[1.0]))?;
                let receiver = receiver.clone();
                Ok(host_call("next_batch", &[x[0].clone()], &[(vec![1], DType::F32)], move |_| {
                    let next = receiver.lock().expect("lock").recv().map_err(|e| e.to_string())?;
                    Ok(vec![HostArray::new([1], vec![next])])
                }))
            })
        };
        for i in 0..10 {
            assert_eq!(train.call(&[vector(&[1.0])])?[0].item::<f32>()?, 2.0 * i as f32);
        }
        assert_eq!(values(&w)?, [10.0]);
        producer.join().expect("no panic");
        Ok(())
    });
}

#[test]
fn a_writer_meanwhile_does_not_change_what_a_run_with_the_host_reads() {
    without_hanging(|| {
        let w = variable(&[2.0])?;
        let f = {
            let w = w.clone();
            Function::new("f", move |x| {
                let inner = w.clone();
                let called = host_call("assign", &[x[0].clone()], &[(vec![1], DType::F32)], move |x| {
                    let (w, device) = (inner.clone(), inner.device());
                    let set = on_thread_of(&device, move || w.assign(&(w.read() * 10.0)));
                    set.map_err(|e| e.to_string())?;
                    Ok(vec![x[0].clone()])
                });
                // The variable is read after the call.
                Ok(vec![&called[0] * w.read(), w.read()])
            })
        };
        let kept = w.read();
        for expected in [2.0, 20.0] {
            let y = f.call(&[vector(&[3.0])])?;
            assert_eq!((y[0].item::<f32>()?, y[1].item::<f32>()?), (3.0 * expected, expected));
        }
        assert_eq!((kept.item::<f32>()?, values(&w)?), (2.0, vec![200.0]));
        Ok(())
    });
}

#[test]
fn a_failing_function_of_the_host_leaves_state_as_it_was() {
    everywhere(|| {
        let w = variable(&[2.0])?;
        let f = {
            let w = w.clone();
            Function::new("f", move |_| {
                w.assign_add(vector(&[1.0]))?;
                Ok(host_call("fail", &[w.read()], &[(vec![1], DType::F32)], |_| Err("no".into())))
            })
        };
        let error = f.call(&[]).expect_err("fails").to_string();
        assert!(error.contains("[fail]"), "{error}");
        assert_eq!(values(&w)?, [2.0]);
        Ok(())
    });
}

#[test]
fn threads_that_write_the_same_slabs_in_any_order_do_not_wait_in_a_circle() {
    without_hanging(|| {
        let (a, b) = (variable(&[0.0; 64])?, variable(&[0.0; 64])?);
        let step = |from: &Variable, to: &Variable| {
            let (from, to) = (from.clone(), to.clone());
            Function::new("step", move |_| {
                to.assign(&(to.read() + from.read().zeros_like() + 1.0))?;
                Ok(vec![from.read()])
            })
        };
        let (there, back) = (step(&a, &b), step(&b, &a));
        let device = kiln_graph::default_device()?;
        std::thread::scope(|scope| {
            for _ in 0..2 {
                for f in [&there, &back] {
                    let device = device.clone();
                    scope.spawn(move || {
                        with_device(&device, || (0..50).for_each(|_| drop(f.call(&[]).expect("call"))));
                    });
                }
            }
        });
        assert_eq!((values(&a)?[0], values(&b)?[63]), (100.0, 100.0));
        Ok(())
    });
}

#[test]
fn traced_code_means_what_eager_code_means() {
    everywhere(|| {
        let program = |a: &Variable| -> Result<Vec<Tensor>> {
            let first = a.read();
            a.assign(&(a.read() + 1.0))?;
            a.assign(&(a.read() * 10.0))?;
            let second = a.read();
            a.assign_sub(a.read().flip(()))?;
            Ok(vec![first, second, a.read()])
        };
        let (eager, traced) = (variable(&[1.0, 2.0])?, variable(&[1.0, 2.0])?);
        let f = {
            let traced = traced.clone();
            Function::new("f", move |_| program(&traced))
        };
        for _ in 0..2 {
            let (expected, found) = (program(&eager)?, f.call(&[])?);
            for (expected, found) in expected.iter().zip(&found) {
                assert_eq!(expected.to_vec::<f32>()?, found.to_vec::<f32>()?);
            }
            assert_eq!(values(&eager)?, values(&traced)?);
        }
        Ok(())
    });
}

#[test]
fn slabs_and_members_are_read_as_they_are_assigned() {
    everywhere(|| {
        let made = || -> Result<(Variable, [Variable; 3])> {
            let members = [variable(&[1.0, 2.0])?, variable(&[3.0])?, variable(&[4.0, 5.0, 6.0])?];
            Ok((Variable::pack(&members)?, members))
        };
        let program = |slab: &Variable, [a, b, c]: &[Variable; 3]| -> Result<Vec<Tensor>> {
            b.assign(&(b.read() + 10.0))?;
            let first = slab.read();
            slab.assign(&(slab.read() * 2.0))?;
            let second = b.read();
            c.assign(&(c.read() + second.sum(())))?;
            a.assign(&(a.read() - 1.0))?;
            let third = slab.read();
            slab.assign(slab.read().flip(()))?;
            Ok(vec![first, second, third, a.read(), c.read(), slab.read()])
        };
        let ((eager, eager_members), (traced, traced_members)) = (made()?, made()?);
        let f = {
            let (traced, members) = (traced.clone(), traced_members.clone());
            Function::new("f", move |_| program(&traced, &members))
        };
        for _ in 0..2 {
            let (expected, found) = (program(&eager, &eager_members)?, f.call(&[])?);
            for (expected, found) in expected.iter().zip(&found) {
                assert_eq!(expected.to_vec::<f32>()?, found.to_vec::<f32>()?);
            }
            assert_eq!(values(&eager)?, values(&traced)?);
        }
        Ok(())
    });
}

#[test]
fn bodies_read_what_was_assigned_before_them() {
    everywhere(|| {
        let w = variable(&[1.0])?;
        let f = {
            let w = w.clone();
            Function::new("f", move |x| {
                w.assign(&(w.read() + 4.0))?;
                let taken = ops::cond(&x[0].sum(()).greater(0.0), || vec![w.read() * 2.0], || vec![w.read()]);
                let looped = ops::fori_loop(0, 3, |_, c| vec![&c[0] + w.read()], &[vector(&[0.0])]);
                Ok(vec![taken[0].clone(), looped[0].clone()])
            })
        };
        let y = f.call(&[vector(&[1.0])])?;
        assert_eq!((y[0].item::<f32>()?, y[1].item::<f32>()?), (10.0, 15.0));
        Ok(())
    });
}

#[test]
fn a_reading_that_leaks_out_of_a_trace_is_an_error() -> Result<()> {
    let leaked: Arc<Mutex<Vec<Tensor>>> = Arc::default();
    let w = variable(&[3.0])?;
    let f = {
        let (leaked, w) = (leaked.clone(), w.clone());
        Function::new("f", move |_| {
            leaked.lock().expect("lock").extend([w.read(), w.read() * 2.0]);
            Ok(vec![w.read()])
        })
    };
    f.call(&[])?;
    for tensor in leaked.lock().expect("lock").iter() {
        let error = tensor.to_vec::<f32>().expect_err("leaked").to_string();
        assert!(error.contains("outside of the trace") && error.contains("tests/state.rs"), "{error}");
        let captured = tensor.clone();
        let g = Function::new("g", move |_| Ok(vec![captured.clone()]));
        let error = g.call(&[]).expect_err("leaked").to_string();
        assert!(error.contains("outside of the trace"), "{error}");
        assert!(w.assign(tensor).is_err());
    }
    Ok(())
}

#[test]
fn gradients_are_of_what_the_loss_has_read() {
    everywhere(|| {
        let w = variable(&[3.0])?;
        let loss = w.read().square().sum(());
        w.assign(vector(&[10.0]))?;
        assert_eq!(gradients(&loss, &[w.read()])?[0].to_vec::<f32>()?, [6.0]);
        // A neighbour in the slab is assigned.
        let (p, q) = (variable(&[3.0])?, variable(&[4.0])?);
        let slab = Variable::pack(&[p.clone(), q.clone()])?;
        let loss = p.read().square().sum(());
        q.assign(vector(&[1.0]))?;
        assert_eq!(gradients(&loss, &[p.read()])?[0].to_vec::<f32>()?, [6.0]);
        let error = gradients(&loss, &[slab.read()]).expect_err("another variable").to_string();
        assert!(error.contains("Keep the tensor"), "{error}");
        // The reading was computed, dropped and read again; the variable has moved.
        let loss = p.read().square().sum(());
        loss.eval()?;
        p.read().eval()?;
        Variable::pack(&[p.clone(), variable(&[0.0])?])?;
        assert_eq!(gradients(&loss, &[p.read()])?[0].to_vec::<f32>()?, [6.0]);
        // Of two readings the gradients add up.
        let loss = w.read().square().sum(());
        w.assign(vector(&[2.0]))?;
        let loss = loss + w.read().square().sum(());
        w.assign(vector(&[0.0]))?;
        assert_eq!(gradients(&loss, &[w.read()])?[0].to_vec::<f32>()?, [24.0]);
        Ok(())
    });
}

#[test]
fn gradients_in_a_trace_are_of_what_the_loss_has_read() {
    everywhere(|| {
        let w = variable(&[3.0])?;
        let f = {
            let w = w.clone();
            Function::new("f", move |_| {
                let loss = w.read().square().sum(());
                let new = w.read() * 0.0 + 7.0;
                w.assign(&new)?;
                let found = gradients(&loss, &[w.read()])?.remove(0);
                let later = gradients(&w.read().square().sum(()), &[w.read()])?.remove(0);
                // The tensor that was assigned is no reading.
                let of_new = connected_gradients(&loss, &[new])?.remove(0);
                assert!(of_new.is_none());
                let both = &loss + w.read().sum(());
                w.assign(vector(&[1.0]))?;
                let error = gradients(&both, &[w.read()]).expect_err("two readings").to_string();
                assert!(error.contains("before and after"), "{error}");
                Ok(vec![found, later])
            })
        };
        let y = f.call(&[])?;
        assert_eq!((y[0].item::<f32>()?, y[1].item::<f32>()?), (6.0, 14.0));
        Ok(())
    });
}

#[test]
fn gradients_of_a_loss_from_outside_of_the_trace() -> Result<()> {
    let w = variable(&[3.0])?;
    let loss = w.read().square().sum(());
    let f = {
        let w = w.clone();
        Function::new("f", move |_| gradients(&loss, &[w.read()]))
    };
    let error = f.call(&[]).expect_err("read outside").to_string();
    assert!(error.contains("outside of the function"), "{error}");
    Ok(())
}

#[test]
fn gradients_say_what_is_not_connected() -> Result<()> {
    let (x, y, w) = (vector(&[1.0]), vector(&[2.0]), variable(&[3.0])?);
    let loss = x.square().sum(());
    let found = connected_gradients(&loss, &[x.clone(), y.clone(), w.read()])?;
    assert_eq!(found.iter().map(Option::is_some).collect::<Vec<_>>(), [true, false, false]);
    assert_eq!(gradients(&loss, &[y])?[0].to_vec::<f32>()?, [0.0]);
    Ok(())
}

/// The numbers that bodies draw, as many rows as turns.
fn rows(drawn: &Tensor) -> Result<Vec<Vec<f32>>> {
    let width = drawn.len() / drawn.shape()[0];
    Ok(drawn.to_vec::<f32>()?.chunks(width).map(<[f32]>::to_vec).collect())
}

fn all_differ(rows: &[Vec<f32>]) {
    for (i, row) in rows.iter().enumerate() {
        assert!(!rows[..i].contains(row), "row {i} of {rows:?} repeats");
    }
}

#[test]
fn every_turn_draws_other_numbers() {
    everywhere(|| {
        let draw = |seed: &dyn Fn() -> random::Seed| {
            let body = |_: &[Tensor], _: &[Tensor]| {
                let inner = |_: &[Tensor], _: &[Tensor]| {
                    (vec![], vec![random::uniform(&[2], 0.0, 1.0, DType::F32, seed())])
                };
                let inner = ops::scan(inner, &[], &[], Some(3), false).1.remove(0);
                let own = random::uniform(&[1, 2], 0.0, 1.0, DType::F32, seed());
                (vec![], vec![Tensor::concat(&[inner, own], 0)])
            };
            ops::scan(body, &[], &[], Some(4), false).1.remove(0).reshape(&[16, 2])
        };
        all_differ(&rows(&draw(&|| ().into()))?);
        let drop = |_: &[Tensor]| vec![random::uniform(&[2], 0.0, 1.0, DType::F32, ())];
        all_differ(&rows(&ops::vectorized_map(drop, &[Tensor::zeros(&[4])])[0])?);
        let seeds = random::SeedGenerator::new(3)?;
        let (first, second) = (rows(&draw(&|| (&seeds).into()))?, rows(&draw(&|| (&seeds).into()))?);
        all_differ(&[first.clone(), second].concat());
        // A function draws as eager code does, and anew in every call.
        let traced = random::SeedGenerator::new(3)?;
        let f = Function::new("f", move |_| Ok(vec![draw(&|| (&traced).into())]));
        assert_eq!(rows(&f.call(&[])?[0])?, first);
        all_differ(&[first, rows(&f.call(&[])?[0])?].concat());
        Ok(())
    });
}

#[test]
fn conditions_and_branches_draw() {
    everywhere(|| {
        let seeds = random::SeedGenerator::new(5)?;
        let uniform = || random::uniform(&[], 0.0, 1.0, DType::F32, &seeds);
        // Rolls until one is large; the sum of all rolls says that they differ.
        let rolls = |v: &[Tensor]| vec![&v[0] + 1, uniform(), &v[2] + uniform()];
        let start = [Tensor::scalar(0), Tensor::scalar(0.0f32), Tensor::scalar(0.0f32)];
        let low = |v: &[Tensor]| v[1].less(0.95).logical_or(uniform().less(0.0));
        let v = ops::while_loop(low, rolls, &start, Some(1000));
        assert!(v[0].item::<i32>()? > 0 && v[1].item::<f32>()? >= 0.95);
        let before = seeds.state().read().to_vec::<u32>()?;
        let y = ops::cond(&v[0].greater(0), || vec![uniform()], || vec![uniform()]);
        assert_ne!(y[0].item::<f32>()?, uniform().item::<f32>()?);
        assert_eq!(seeds.state().read().to_vec::<u32>()?[1], before[1] + 3);
        Ok(())
    });
}

#[test]
fn draws_of_a_loop_are_the_same_for_its_gradient() {
    everywhere(|| {
        let x = vector(&[1.0, 2.0, 3.0]);
        let body = |c: &[Tensor], _: &[Tensor]| {
            let noise = random::uniform(&[3], 0.5, 1.5, DType::F32, ());
            (vec![&c[0] * &noise], vec![noise])
        };
        let (last, noise) = ops::scan(body, std::slice::from_ref(&x), &[], Some(4), false);
        let gradient = gradients(&last[0].sum(()), &[x])?.remove(0);
        Tensor::eval_all(&[gradient.clone(), noise[0].clone()])?;
        let expected = noise[0].prod(0).to_vec::<f32>()?;
        for (found, expected) in gradient.to_vec::<f32>()?.iter().zip(expected) {
            assert!((found - expected).abs() < 1e-5 * expected, "{found} {expected}");
        }
        Ok(())
    });
}

#[test]
fn a_reading_keeps_only_what_it_read() {
    let device = Device::cpu();
    with_device(&device, || -> Result<()> {
        let (small, large) = (variable(&[0.0; 1000])?, variable(&vec![0.0; 1_000_000])?);
        Variable::pack(&[small.clone(), large.clone()])?;
        let before = device.memory_in_use();
        let mut kept = vec![];
        for _ in 0..5 {
            let reading = small.read();
            small.assign(&(&reading + 1.0))?;
            large.assign(&(large.read() * 2.0))?;
            kept.push(reading);
        }
        let more = device.memory_in_use() - before;
        assert!(more < 1_000_000, "{more} bytes more");
        for (i, reading) in kept.iter().enumerate() {
            assert_eq!(reading.to_vec::<f32>()?[999], i as f32);
        }
        Ok(())
    })
    .expect("readings");
}
