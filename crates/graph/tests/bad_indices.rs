//! Indices out of range that only the data knows: an error of the run that names the operation, the value and its position
//! in the tensor, on every device, in functions, loops and gradients. The device stays usable and nothing else is damaged.

#[path = "support/gpu.rs"]
mod gpu;

use std::sync::mpsc;
use std::thread;

use kiln_graph::{
    DType, Device, DeviceError, Error, Function, ReduceOp, ScatterOp, Tensor, Variable, gradients, ops,
    with_device,
};

/// What takes indices.
struct Row {
    /// The name in the error.
    op: &'static str,
    /// Of the data `[4, 3]` (0, 1, …) and indices `[4]`.
    build: fn(&Tensor, &Tensor) -> Tensor,
    /// How many valid indices there are.
    bound: i32,
    /// Whether negative indices count from the end.
    wraps: bool,
    /// Whether the result has a gradient with respect to the data.
    differentiable: bool,
}

const fn row(op: &'static str, bound: i32, wraps: bool, build: fn(&Tensor, &Tensor) -> Tensor) -> Row {
    Row { op, build, bound, wraps, differentiable: true }
}

fn column(i: &Tensor) -> Tensor {
    i.reshape(&[-1, 1])
}

/// Pairs of coordinates of which the first is the index.
fn pairs(i: &Tensor) -> Tensor {
    Tensor::concat(&[column(i), column(i).zeros_like()], 1)
}

fn table() -> Vec<Row> {
    let mut rows = vec![
        row("take", 4, true, |x, i| x.take(i, 0)),
        row("take", 4, true, |x, i| ops::take(x, i, 0)),
        row("take", 12, true, |x, i| ops::take(x, i, None)),
        row("take_along_axis", 4, true, |x, i| {
            ops::take_along_axis(x, &i.expand_dims(1).broadcast_to(&[4, 3]), 0)
        }),
        row("gather", 3, true, |x, i| ops::gather(x, i, 1, 0)),
        row("gather", 3, true, |x, i| ops::gather(x, &column(i), 1, 1)),
        row("gather_nd", 4, true, |x, i| ops::gather_nd(x, &pairs(i), 0)),
        row("index", 4, true, |x, i| x.index(i)),
        row("index", 3, true, |x, i| x.index((.., i))),
        row("get_item", 4, true, |x, i| ops::get_item(x, i)),
        row("scatter", 4, true, |x, i| ops::scatter(&column(i), x, &[4, 3])),
        row("scatter", 4, true, |x, i| x.scatter(i, x, ScatterOp::Set)),
        row("scatter", 4, true, |x, i| x.scatter_add(i, x)),
        row("scatter_nd", 4, true, |x, i| ops::scatter_nd(&column(i), x, &[4, 3])),
        row("scatter_update", 4, true, |x, i| ops::scatter_update(x, &column(i), x, ScatterOp::Set)),
        row("scatter_update", 4, true, |x, i| {
            ops::scatter_update(x, &column(i), x, ScatterOp::Fold(ReduceOp::Prod))
        }),
        row("tensor_scatter_nd_update", 4, true, |x, i| ops::tensor_scatter_nd_update(x, &column(i), x)),
        row("tensor_scatter_nd_add", 4, true, |x, i| ops::tensor_scatter_nd_add(x, &column(i), x)),
        row("tensor_scatter_nd_sub", 4, true, |x, i| ops::tensor_scatter_nd_sub(x, &column(i), x)),
        row("tensor_scatter_nd_max", 4, true, |x, i| ops::tensor_scatter_nd_max(x, &column(i), x)),
        row("tensor_scatter_nd_min", 4, true, |x, i| ops::tensor_scatter_nd_min(x, &column(i), x)),
        row("at", 4, true, |x, i| x.at(i).set(x)),
        row("at", 4, true, |x, i| x.at(i).add(x)),
        row("at", 4, true, |x, i| x.at(i).multiply(x)),
        row("at", 4, true, |x, i| x.at(i).max(x)),
        row("sparse_softmax_cross_entropy", 3, false, |x, i| x.sparse_softmax_cross_entropy(i)),
        row("sparse_categorical_crossentropy", 3, false, |x, i| {
            ops::sparse_categorical_crossentropy(i, x, true, -1)
        }),
        row("sparse_categorical_crossentropy", 3, false, |x, i| {
            ops::sparse_categorical_crossentropy(i, &x.softmax(-1), false, -1)
        }),
    ];
    let whole: [Row; 2] = [
        row("unravel_index", 12, false, |_, i| ops::unravel_index(i, &[4, 3])[0].clone()),
        row("my_labels", 5, false, |_, i| i.check_labels(5, "my_labels")),
    ];
    rows.extend(whole.map(|row| Row { differentiable: false, ..row }));
    rows
}

fn data() -> Tensor {
    Tensor::from_vec((0..12).map(|n| n as f32 * 0.25 + 0.5).collect::<Vec<_>>(), &[4, 3])
}

fn devices() -> impl Iterator<Item = Device> {
    [Some(Device::cpu()), gpu::gpu()].into_iter().flatten()
}

fn good() -> Tensor {
    Tensor::from_slice(&[0, 2, 1, 0])
}

/// Four indices of which the third is wrong.
fn bad(value: i32) -> Tensor {
    Tensor::from_slice(&[0, 2, value, 1])
}

fn wrong_values(row: &Row) -> Vec<i32> {
    let below = if row.wraps { -row.bound - 1 } else { -1 };
    vec![row.bound, below, i32::MAX, i32::MIN]
}

/// The error says which operation read which value where, and on which line of this file.
#[track_caller]
fn is_of(error: &Error, row: &Row, wanted: i32) {
    let Error::Device(DeviceError::IndexOutOfRange { op, value, position, bound, at }) = error else {
        panic!("{}: {error}", row.op)
    };
    assert_eq!((op.as_str(), *value, *bound), (row.op, i64::from(wanted), row.bound as u64), "{error}");
    // Of [4], [4, 1], [4, 2] or [4, 3], always the third.
    assert!([2, 4, 6].contains(position), "{error}");
    assert!(at.contains("tests/bad_indices.rs:"), "{error}");
    assert!(
        error.to_string().starts_with(&format!("[{}] index {wanted} at position {position}", row.op)),
        "{error}"
    );
}

fn floats(t: &Tensor) -> kiln_graph::Result<Vec<f32>> {
    t.cast(DType::F32).to_vec::<f32>()
}

#[test]
fn a_wrong_index_is_an_error_and_the_next_call_works() {
    for device in devices() {
        with_device(&device, || {
            for row in table() {
                let (x, right) = (data(), floats(&(row.build)(&data(), &good())).expect(row.op));
                for value in wrong_values(&row) {
                    is_of(&floats(&(row.build)(&x, &bad(value))).expect_err(row.op), &row, value);
                    assert_eq!(floats(&(row.build)(&x, &good())).expect(row.op), right, "{}", row.op);
                }
                if row.wraps {
                    let (last, first) =
                        (Tensor::from_slice(&[-1; 4]), Tensor::from_slice(&[row.bound - 1; 4]));
                    let values = |i: &Tensor| floats(&(row.build)(&x, i)).expect(row.op);
                    assert_eq!(values(&last), values(&first), "{}", row.op);
                }
            }
        });
    }
}

#[test]
fn other_tensors_keep_their_values() {
    for device in devices() {
        with_device(&device, || {
            for row in table() {
                let x = data();
                let before = &x * 2.0;
                before.eval().expect("a value");
                let (wrong, beside) = ((row.build)(&x, &bad(row.bound)), x.exp());
                let error = Tensor::eval_all(&[wrong.clone(), beside.clone()]).and_then(|()| floats(&wrong));
                is_of(&error.expect_err(row.op), &row, row.bound);
                let expected: Vec<f32> = x.to_vec::<f32>().expect("a leaf");
                let doubled: Vec<f32> = expected.iter().map(|v| v * 2.0).collect();
                assert_eq!(before.to_vec::<f32>().expect("kept"), doubled, "{}", row.op);
                let close = |a: &f32, b: &f32| (a - b.exp()).abs() < 1e-5 * b.exp();
                let beside = beside.to_vec::<f32>().expect("computed");
                assert!(beside.iter().zip(&expected).all(|(a, b)| close(a, b)), "{}: {beside:?}", row.op);
                // What could not be computed is an error again, not a number.
                is_of(&floats(&wrong).expect_err(row.op), &row, row.bound);
            }
        });
    }
}

#[test]
fn in_a_function() {
    for device in devices() {
        with_device(&device, || {
            for row in table() {
                let build = row.build;
                let function =
                    Function::new("indexed", move |a| Ok(vec![build(&a[0], &a[1]), a[0].square()]));
                let call = |i: Tensor| {
                    function.call(&[data(), i]).and_then(|y| Ok((floats(&y[0])?, floats(&y[1])?)))
                };
                let right = call(good()).expect(row.op);
                for value in wrong_values(&row) {
                    is_of(&call(bad(value)).expect_err(row.op), &row, value);
                    assert_eq!(call(good()).expect(row.op), right, "{}", row.op);
                }
            }
        });
    }
}

#[test]
fn in_a_loop_and_a_branch() {
    for device in devices() {
        with_device(&device, || {
            for row in table() {
                let build = row.build;
                let looped = |i: &Tensor| {
                    let i = i.clone();
                    let body = move |_: &Tensor, v: &[Tensor]| {
                        vec![&v[0] + build(&data(), &i).cast(DType::F32).sum(())]
                    };
                    ops::fori_loop(0, 3, body, &[Tensor::scalar(0.0f32)])[0].clone()
                };
                let branched = |i: &Tensor| {
                    let yes = i.sum(()).not_equal(-12345);
                    let taken = || vec![build(&data(), i).cast(DType::F32).sum(())];
                    ops::cond(&yes, taken, || vec![Tensor::scalar(0.0f32)])[0].clone()
                };
                let right =
                    (floats(&looped(&good())).expect(row.op), floats(&branched(&good())).expect(row.op));
                is_of(&floats(&looped(&bad(row.bound))).expect_err(row.op), &row, row.bound);
                is_of(&floats(&branched(&bad(row.bound))).expect_err(row.op), &row, row.bound);
                let again =
                    (floats(&looped(&good())).expect(row.op), floats(&branched(&good())).expect(row.op));
                assert_eq!(again, right, "{}", row.op);
            }
        });
    }
}

#[test]
fn in_a_gradient() {
    for device in devices() {
        with_device(&device, || {
            for row in table().into_iter().filter(|row| row.differentiable) {
                let slope = |i: &Tensor| {
                    let x = data();
                    gradients(&(row.build)(&x, i).square().sum(()), &[x]).and_then(|g| floats(&g[0]))
                };
                let right = slope(&good()).expect(row.op);
                for value in wrong_values(&row) {
                    is_of(&slope(&bad(value)).expect_err(row.op), &row, value);
                }
                assert_eq!(slope(&good()).expect(row.op), right, "{}", row.op);
            }
        });
    }
}

#[test]
fn a_state_that_the_call_would_have_set() {
    for device in devices() {
        with_device(&device, || {
            let (state, other) =
                (Variable::new(&data()).expect("state"), Variable::new(&data()).expect("state"));
            let (of_function, untouched) = (state.clone(), other.clone());
            let step = Function::new("step", move |a| {
                of_function.assign(&(of_function.read() + of_function.read().take(&a[0], 0)))?;
                Ok(vec![untouched.read().sum(())])
            });
            let outcome = |i: Tensor| step.call(&[i]).and_then(|y| floats(&y[0]));
            let before = floats(&other.read()).expect("values");
            let _ = outcome(bad(9)).expect_err("an index");
            assert_eq!(floats(&other.read()).expect("values"), before);
            // As with some valid index instead of the wrong one.
            let found = floats(&state.read()).expect("the state is there to be read");
            let with = |index: i32| {
                let rows = data() + data().take(&bad(index), 0);
                floats(&rows).expect("valid indices")
            };
            assert!((0..4).any(|index| with(index) == found), "{device}: {found:?}");
            outcome(good()).expect("good indices");
        });
    }
}

#[test]
fn the_largest_k_and_segments() {
    let x = data();
    for (text, y) in [
        ("[top_k]", ops::top_k(&x, 4).0),
        ("[top_k]", ops::top_k(&x, usize::MAX).1),
        ("[top_k]", ops::top_k(&Tensor::scalar(1.0f32), 1).0),
    ] {
        let error = y.to_vec::<f32>().expect_err(text).to_string();
        assert!(error.starts_with(text) && error.contains("tests/bad_indices.rs:"), "{error}");
    }
    // As in Keras, segments and classes that are not there are left out.
    for device in devices() {
        with_device(&device, || {
            let ids = Tensor::from_slice(&[0, 7, -1, 1]);
            assert_eq!(
                floats(&ops::segment_sum(&x, &ids, 2).sum(-1)).expect("sums"),
                floats(&x.take(&Tensor::from_slice(&[0, 3]), 0).sum(-1)).expect("sums")
            );
            let hot = ops::one_hot(&ids, 3, -1, DType::F32).sum(-1);
            assert_eq!(floats(&hot).expect("rows"), [1.0, 0.0, 0.0, 1.0]);
        });
    }
}

/// What a function that runs on and on gives; a CPU tells of a wrong index at once, a GPU with the next value read.
fn rows_of(state: &Variable) -> Function {
    let state = state.clone();
    Function::new("rows", move |a| {
        let rows = data().take(&a[0], 0);
        state.assign(&rows)?;
        Ok(vec![rows])
    })
}

#[test]
fn a_thread_is_told_of_its_own_wrong_index_and_others_are_not() {
    for device in devices() {
        with_device(&device, || {
            let state = Variable::new(&data()).expect("state");
            let rows = rows_of(&state);
            let own = rows_of(&Variable::new(&data()).expect("state"));
            let right = own.call(&[good()]).and_then(|y| floats(&y[0])).expect("rows");
            let ((called, wait), (go, told)) = (mpsc::channel(), mpsc::channel());
            thread::scope(|scope| {
                // Dropped where an assertion fails, which lets the other thread go on.
                let go = go;
                let (rows, device) = (&rows, &device);
                let other = scope.spawn(move || {
                    with_device(device, || {
                        let y = rows.call(&[bad(4)]);
                        called.send(()).expect("the test waits");
                        told.recv().expect("the test goes on");
                        // Not the wrong one's value: the next one that this thread reads.
                        y.and_then(|_| floats(&good().cast(DType::F32).exp()))
                    })
                });
                wait.recv().expect("the other thread goes on");
                assert_eq!(own.call(&[good()]).and_then(|y| floats(&y[0])).expect("rows"), right, "{device}");
                assert_eq!(floats(&(data() + 1.0).sum(())).expect("a sum").len(), 1);
                device.synchronize().expect("no mistake of this thread");
                go.send(()).expect("the other thread waits");
                let error = other.join().expect("no panic").expect_err("a wrong index");
                assert!(error.to_string().starts_with("[take] index 4 at position 2"), "{error}");
            });
            // Told once.
            assert_eq!(rows.call(&[good()]).and_then(|y| floats(&y[0])).expect("rows"), right, "{device}");
        });
    }
}

#[test]
fn who_reads_what_a_wrong_index_made_is_told() {
    for device in devices() {
        with_device(&device, || {
            let state = Variable::new(&data()).expect("state");
            let rows = rows_of(&state);
            let doubled = Function::new("doubled", |a| Ok(vec![&a[0] * 2.0]));
            let elsewhere = |index: Tensor| {
                thread::scope(|scope| {
                    let call = || with_device(&device, || rows.call(&[index]).map(|mut y| y.remove(0)));
                    scope.spawn(call).join().expect("no panic")
                })
            };
            let readings: [&dyn Fn(Tensor) -> kiln_graph::Result<Vec<f32>>; 4] = [
                &|index| elsewhere(index).and_then(|y| floats(&y)),
                &|index| elsewhere(index).and_then(|y| floats(&y.exp())),
                &|index| elsewhere(index).and_then(|y| floats(&doubled.call(&[y])?[0])),
                &|index| elsewhere(index).and_then(|_| floats(&(state.read() + 1.0))),
            ];
            for (way, read) in readings.iter().enumerate() {
                read(good()).expect("good indices");
                let error = read(bad(-5)).expect_err("a wrong index").to_string();
                assert!(error.starts_with("[take] index -5 at position 2"), "{device}, way {way}: {error}");
                read(good()).expect("good indices");
            }
        });
    }
}

#[test]
fn what_a_dropped_function_got_wrong_is_told_among_many_threads() {
    for device in devices() {
        let told = |thread: i32, turn: i32| {
            let wrong = 4 + thread * 100 + turn;
            let rows = Function::new("rows", |a| Ok(vec![data().take(&a[0], 0)]));
            let outcome = rows.call(&[bad(wrong)]);
            drop(rows);
            let error = outcome.and_then(|y| floats(&y[0])).expect_err("a wrong index").to_string();
            assert!(error.starts_with(&format!("[take] index {wrong} at position 2")), "{device}: {error}");
        };
        thread::scope(|scope| {
            for thread in 0..4 {
                let (device, told) = (&device, &told);
                scope.spawn(move || with_device(device, || (0..20).for_each(|turn| told(thread, turn))));
            }
        });
    }
}

#[test]
fn the_thread_of_the_run_is_told_after_another_one() {
    let Some(device) = gpu::gpu() else { return };
    let rows = rows_of(&with_device(&device, || Variable::new(&data()).expect("state")));
    let ((give, take), (go, told)) = (mpsc::channel(), mpsc::channel());
    let both = thread::scope(|scope| {
        let go = go;
        let (rows, device) = (&rows, &device);
        let owner = scope.spawn(move || {
            with_device(device, || {
                give.send(rows.call(&[bad(7)]).expect("not known yet").remove(0)).expect("the test waits");
                told.recv().expect("the test goes on");
                floats(&(data() * 2.0))
            })
        });
        let reader = with_device(device, || floats(&take.recv().expect("a result")));
        let others = scope.spawn(move || with_device(device, || floats(&data().exp()))).join();
        assert!(others.expect("no panic").is_ok());
        go.send(()).expect("the owner waits");
        [reader, owner.join().expect("no panic")]
    });
    for outcome in both {
        let error = outcome.expect_err("a wrong index").to_string();
        assert!(error.starts_with("[take] index 7 at position 2"), "{error}");
    }
    assert_eq!(floats(&data()).expect("told once").len(), 12);
}
