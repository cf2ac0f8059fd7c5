//! Functions of the host inside graphs, on every executor and in the interpreter.

#[path = "support/gpu.rs"]
mod gpu;

use std::sync::atomic::{AtomicBool, Ordering};

use kiln_graph::interpret::interpret_tensors;
use kiln_graph::{
    DType, Device, Function, HostArray, Result, Tensor, Variable, gradients, host_call,
    host_call_with_gradient, with_device,
};

type Arrays = kiln_graph::HostResult;

type Called = fn(&[HostArray]) -> Arrays;

/// Runs a test on the CPU and, where there is one, on the WGSL path.
fn everywhere(test: impl Fn() -> Result<()>) {
    for device in [Some(Device::cpu()), gpu::gpu()].into_iter().flatten() {
        with_device(&device, || test().unwrap_or_else(|e| panic!("{device}: {e}")));
    }
}

/// Sum and largest of the first input, which the second scales.
fn sum_and_largest(x: &[HostArray]) -> Arrays {
    let (values, scale) = (x[0].as_slice::<f32>()?, x[1].as_slice::<i32>()?[0] as f32);
    let sum = values.iter().sum::<f32>() * scale;
    let largest = values.iter().copied().fold(f32::MIN, f32::max);
    Ok(vec![HostArray::new([], vec![sum]), HostArray::new([1, 1], vec![largest > 2.0])])
}

fn called(x: &Tensor, scale: &Tensor) -> Vec<Tensor> {
    let outputs = [(vec![], DType::F32), (vec![1, 1], DType::Bool)];
    host_call("sum_and_largest", &[x.clone(), scale.clone()], &outputs, sum_and_largest)
}

fn inputs() -> [Tensor; 2] {
    [Tensor::from_slice(&[1.0f32, 2.5, -1.0]), Tensor::scalar(2)]
}

#[test]
fn a_call_gives_all_its_results() {
    everywhere(|| {
        let [x, scale] = inputs();
        let y = called(&(&x * 2.0), &scale);
        assert_eq!(y[0].item::<f32>()?, 10.0);
        assert_eq!(y[1].to_vec::<bool>()?, [true]);
        assert_eq!(interpret_tensors(&called(&(&x * 2.0), &scale))?, [vec![10.0], vec![1.0]]);
        Ok(())
    });
}

#[test]
fn a_call_stands_between_kernels_of_a_function() {
    everywhere(|| {
        let offset = Variable::new(&Tensor::scalar(3.0f32))?;
        let f = {
            let offset = offset.clone();
            Function::new("f", move |x| {
                let y = called(&(&x[0] + offset.read()), &x[1].sum(()));
                offset.assign(&(&y[0] + 1.0))?;
                Ok(vec![&y[0] * x[0].sum(()), x[0].slice_axis(0, 1, 3)])
            })
        };
        let [x, _] = inputs();
        let scale = Tensor::from_slice(&[1, 1]);
        let report = f.explain(&[x.clone(), scale.clone()])?;
        assert_eq!(report.kernels.iter().filter(|k| k.kind == "host").count(), 1, "\n{report}");
        let y = f.call(&[x.clone(), scale.clone()])?;
        assert_eq!(y[0].item::<f32>()?, 23.0 * 2.5);
        assert_eq!(offset.read().item::<f32>()?, 24.0);
        f.call(&[x.clone(), scale.clone()])?;
        assert_eq!(offset.read().item::<f32>()?, (2.5 + 72.0) * 2.0 + 1.0);
        assert_eq!(f.trace_count(), 1);
        let timed = f.profile(&[x, scale])?;
        assert!(timed.kernels.iter().all(|k| k.time.is_some()));
        Ok(())
    });
}

#[test]
fn narrow_and_empty_arrays_arrive_and_return() {
    fn back(x: &[HostArray]) -> Arrays {
        Ok(x.to_vec())
    }
    everywhere(|| {
        let all = [
            Tensor::from_slice(&[half::f16::from_f32(0.5), half::f16::from_f32(-2.0), half::f16::ONE]),
            Tensor::from_slice(&[half::bf16::from_f32(0.5), half::bf16::from_f32(-2.0)]),
            Tensor::from_slice(&[7u8, 255, 0, 1, 9]),
            Tensor::from_slice(&[true, false, true]),
            Tensor::from_slice(&[1u32, u32::MAX]),
            Tensor::from_vec::<f32>([], &[0, 3]),
        ];
        let forms: Vec<_> = all.iter().map(|t| (t.shape().to_vec(), t.dtype())).collect();
        let y = host_call("back", &all, &forms, back);
        assert_eq!(y[0].to_vec::<half::f16>()?, all[0].to_vec::<half::f16>()?);
        assert_eq!(y[1].to_vec::<half::bf16>()?, all[1].to_vec::<half::bf16>()?);
        assert_eq!(y[2].to_vec::<u8>()?, [7, 255, 0, 1, 9]);
        assert_eq!(y[3].to_vec::<bool>()?, [true, false, true]);
        assert_eq!(y[4].to_vec::<u32>()?, [1, u32::MAX]);
        assert!(y[5].to_vec::<f32>()?.is_empty());
        Ok(())
    });
}

#[test]
fn parts_of_variables_and_of_concatenations_are_passed() {
    fn plus(x: &[HostArray]) -> Arrays {
        let (a, b) = (x[0].as_slice::<f32>()?, x[1].as_slice::<f32>()?);
        Ok(vec![HostArray::new([2], a.iter().zip(b).map(|(a, b)| a + b).collect())])
    }
    everywhere(|| {
        let [a, b] = [Variable::new(&Tensor::from_slice(&[1.0f32])), Variable::new(&Tensor::ones(&[2]))];
        let (a, b) = (a?, b?);
        Variable::pack(&[a.clone(), b.clone()])?;
        let joined = Tensor::concat(&[b.read() * 3.0, a.read().square()], 0);
        let y = host_call("plus", &[b.read(), joined.slice_axis(0, 1, 3)], &[(vec![2], DType::F32)], plus);
        assert_eq!((joined.sum(()) + &y[0]).to_vec::<f32>()?, [11.0, 9.0]);
        Ok(())
    });
}

#[test]
fn equal_calls_of_one_function_share_a_program_and_run_once() {
    use std::sync::atomic::{AtomicUsize, Ordering};
    static CALLS: AtomicUsize = AtomicUsize::new(0);
    let call = |x: &Tensor| {
        let f = |x: &[HostArray]| {
            CALLS.fetch_add(1, Ordering::Relaxed);
            Ok(x.to_vec())
        };
        host_call("counted", std::slice::from_ref(x), &[(vec![2], DType::F32)], f).remove(0)
    };
    let x = Tensor::from_slice(&[1.0f32, 2.0]);
    let sum = with_device(&Device::cpu(), || (call(&x) + call(&x)).to_vec::<f32>());
    assert_eq!((sum, CALLS.load(Ordering::Relaxed)), (Ok(vec![2.0, 4.0]), 1));
    // A closure that holds data is another function every time.
    let held = |by: f32| {
        let f = move |x: &[HostArray]| Ok(vec![HostArray::new([], vec![x[0].as_slice::<f32>()?[0] * by])]);
        host_call("held", std::slice::from_ref(&x), &[(vec![], DType::F32)], f).remove(0)
    };
    assert_eq!((held(2.0) + held(3.0)).item::<f32>(), Ok(5.0));
}

#[test]
fn what_goes_wrong_in_a_call_is_an_error_of_the_run() {
    fn fails(_: &[HostArray]) -> Arrays {
        Err("no convergence".into())
    }
    fn panics(x: &[HostArray]) -> Arrays {
        panic!("at {}", x.len())
    }
    fn another_shape(_: &[HostArray]) -> Arrays {
        Ok(vec![HostArray::new([2], vec![1.0f32, 2.0])])
    }
    fn too_few(_: &[HostArray]) -> Arrays {
        Ok(vec![HostArray::new([3], vec![1.0f32, 2.0])])
    }
    fn another_type(x: &[HostArray]) -> Arrays {
        x[0].as_slice::<i32>()?;
        Ok(vec![])
    }
    fn computes(_: &[HostArray]) -> Arrays {
        (Tensor::ones(&[2]) + 1.0).to_vec::<f32>()?;
        Ok(vec![])
    }
    let table: [(Called, &str); 6] = [
        (fails, "no convergence"),
        (panics, "panicked: at 1"),
        (another_shape, "expected results [float32 [3]], received [float32 [2]]"),
        (too_few, "expected the elements of shape [3], received 2"),
        (another_type, "expected int32 elements, received float32"),
        (computes, "cannot be used inside a function of the host"),
    ];
    everywhere(|| {
        let x = Tensor::from_slice(&[1.0f32, 2.0, 3.0]);
        for (f, text) in table {
            let y = host_call("solve", std::slice::from_ref(&x), &[(vec![3], DType::F32)], f);
            let error = (&y[0] + 1.0).to_vec::<f32>().expect_err(text).to_string();
            let named = error.starts_with("[solve] ") && error.contains("tests/host_calls.rs:");
            assert!(named && error.contains(text), "{error}");
            assert!(interpret_tensors(&y).expect_err(text).to_string().contains(text));
            let function =
                Function::new("f", move |x| Ok(host_call("solve", x, &[(vec![3], DType::F32)], f)));
            for _ in 0..2 {
                assert!(function.call(std::slice::from_ref(&x)).is_err());
            }
            assert_eq!((&x + 1.0).to_vec::<f32>()?, [2.0, 3.0, 4.0]);
        }
        Ok(())
    });
}

#[test]
fn errors_of_inputs_pass_through() {
    let bad = Tensor::ones(&[2]).matmul(&Tensor::ones(&[3]));
    let y = host_call("solve", &[bad], &[(vec![], DType::F32), (vec![], DType::F32)], |x| Ok(x.to_vec()));
    assert_eq!(y.len(), 2);
    assert!(y[1].error().expect("carried").to_string().contains("matmul"));
}

#[test]
fn gradients_are_the_users_or_an_error() {
    everywhere(|| {
        let [x, scale] = inputs();
        let error =
            gradients(&called(&x, &scale)[0], std::slice::from_ref(&x)).expect_err("no gradient").to_string();
        assert!(error.contains("sum_and_largest") && error.contains("host_call_with_gradient"), "{error}");
        let outputs = [(vec![], DType::F32), (vec![1, 1], DType::Bool)];
        let inputs = [x.clone(), scale];
        let y = host_call_with_gradient("s", &inputs, &outputs, sum_and_largest, |g, y, x| {
            assert_eq!((g.len(), y.len(), x.len()), (2, 2, 2));
            vec![Some((&g[0] * x[1].to_float()).broadcast_to(x[0].shape())), None]
        });
        assert_eq!(gradients(&(&y[0] * 3.0), &[x])?[0].to_vec::<f32>()?, [6.0; 3]);
        Ok(())
    });
}

#[test]
fn one_rule_sees_the_gradients_of_several_values() -> Result<()> {
    let x = Tensor::from_slice(&[2.0f32, 3.0]);
    let values = [x.square(), x.exp()];
    let y = Tensor::custom_gradients(&values, std::slice::from_ref(&x), |g, _, _| {
        vec![Some(&g[0] * 10.0 + &g[1])]
    });
    let loss = (&y[0] * 2.0 + &y[1] * 3.0).sum(());
    assert_eq!(gradients(&loss, std::slice::from_ref(&x))?[0].to_vec::<f32>()?, [23.0, 23.0]);
    let second = gradients(&y[1].sum(()), &[x])?;
    assert_eq!(second[0].to_vec::<f32>()?, [1.0, 1.0]);
    Ok(())
}

/// A function that passes a state through the host and assigns parts of its slab: those of `assigned`, by number.
fn assigning(parts: &[Variable], assigned: &'static [usize], fails: &'static AtomicBool) -> Function {
    let parts = parts.to_vec();
    Function::new("assigning", move |_| {
        let inputs: Vec<Tensor> = parts.iter().map(|p| p.read().sum(())).collect();
        let total = host_call("total", &inputs, &[(vec![], DType::F32)], |x| {
            if fails.load(Ordering::Relaxed) {
                return Err("no total".into());
            }
            let numbers = x
                .iter()
                .map(|x| Ok(x.as_slice::<f32>()?[0]))
                .collect::<std::result::Result<Vec<_>, String>>()?;
            Ok(vec![HostArray::new([], vec![numbers.iter().sum::<f32>()])])
        });
        // The neighbour's value from before, and from then on the new one.
        for (i, n) in assigned.iter().enumerate() {
            let next = &parts[(n + 1) % parts.len()];
            parts[*n].assign(next.read() * (i + 2) as f32 + &total[0])?;
        }
        Ok(vec![parts[0].read().sum(())])
    })
}

#[test]
fn a_program_that_calls_the_host_assigns_all_or_nothing() {
    static FAILS: AtomicBool = AtomicBool::new(false);
    const ASSIGNED: [&[usize]; 6] = [&[0, 1, 2], &[2, 0, 1], &[1], &[2, 1], &[0, 0, 2], &[1, 2, 1, 0]];
    everywhere(|| {
        for assigned in ASSIGNED {
            for packed in [false, true] {
                let mut states = vec![vec![1.0f32, 2.0], vec![3.0, -4.0], vec![5.0, 6.0]];
                let parts: Vec<Variable> =
                    states.iter().map(|s| Variable::new(&Tensor::from_slice(s))).collect::<Result<_>>()?;
                if packed {
                    Variable::pack(&parts)?;
                }
                let f = assigning(&parts, assigned, &FAILS);
                for turn in 0..4 {
                    let kept = parts[1].read();
                    let before = states.clone();
                    let values = |of: &[Variable]| {
                        of.iter().map(|p| p.read().to_vec::<f32>()).collect::<Result<Vec<_>>>()
                    };
                    FAILS.store(turn == 2, Ordering::Relaxed);
                    let outcome = f.call(&[]);
                    if turn == 2 {
                        assert!(outcome.expect_err("fails").to_string().contains("no total"));
                        assert_eq!(values(&parts)?, states, "{assigned:?}");
                        continue;
                    }
                    let total: f32 = states.iter().flatten().sum();
                    for (i, n) in assigned.iter().enumerate() {
                        let next = states[(n + 1) % 3].clone();
                        states[*n] = next.iter().map(|x| x * (i + 2) as f32 + total).collect();
                    }
                    assert_eq!(outcome?[0].item::<f32>()?, states[0].iter().sum::<f32>(), "{assigned:?}");
                    assert_eq!(values(&parts)?, states, "{assigned:?}, packed {packed}");
                    assert_eq!(kept.to_vec::<f32>()?, before[1], "an earlier reading");
                }
            }
        }
        Ok(())
    });
}
