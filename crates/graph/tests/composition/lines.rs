//! What errors of tracing say: which line, which function, and the way out.

use std::sync::{Arc, Mutex};

use kiln_graph::{DType, Function, HostArray, Tensor, Variable, host_call, ops};

use crate::{on_cpu, text, variable, vector};

type Slot = Arc<Mutex<Vec<Tensor>>>;

/// A function that has leaked: an expression of its argument, then the argument. And the line of the expression.
fn leaked() -> (Vec<Tensor>, u32) {
    let slot: Slot = Arc::default();
    let line = line!() + 4;
    let f = {
        let slot = slot.clone();
        Function::new("leaker", move |x| {
            let made = &x[0] * 2.0;
            slot.lock().expect("unpoisoned").extend([made.clone(), x[0].clone()]);
            Ok(vec![made])
        })
    };
    let argument = vector(&[4.0]);
    f.call(&[argument]).expect("runs");
    let tensors = slot.lock().expect("unpoisoned").clone();
    (tensors, line)
}

fn at(line: u32) -> String {
    format!("lines.rs:{line}")
}

#[test]
fn a_leak_names_where_it_was_made_and_where_it_is_used() {
    on_cpu(|| {
        let (tensors, made) = leaked();
        let check = |error: String, used: u32| {
            assert!(error.starts_with("[trace] the tensor made at "), "{error}");
            assert!(error.contains(&at(made)) && error.contains("function `leaker`"), "{error}");
            assert!(error.ends_with(&format!("{})", at(used))), "{error}, used in line {used}");
        };
        check(text(tensors[0].to_vec::<f32>()), line!());
        let further = &tensors[0] + 1.0;
        let used = line!() - 1;
        check(text((&further * 2.0).item::<f32>()), used);
        let target = variable(&[0.0])?;
        check(text(target.assign(&tensors[0])), line!());
        check(text(Variable::new(&tensors[0])), line!());
        check(text(Function::new("h", |x| Ok(x.to_vec())).call(&tensors[..1])), line!());
        let captured = tensors[0].clone();
        let g = Function::new("g", move |x| Ok(vec![&x[0] + &captured]));
        let used = line!() - 1;
        check(text(g.call(&[vector(&[1.0])])), used);
        Ok(())
    });
}

#[test]
fn a_leaked_argument_names_the_call() {
    on_cpu(|| {
        let (tensors, _) = leaked();
        let error = text(tensors[1].to_vec::<f32>());
        let used = line!() - 1;
        assert!(error.starts_with("[trace] an argument of function `leaker`, called at "), "{error}");
        assert!(error.ends_with(&format!("{})", at(used))), "{error}");
        Ok(())
    });
}

#[test]
fn a_leak_of_a_loop_names_the_loop() {
    on_cpu(|| {
        let slot: Slot = Arc::default();
        let kept = slot.clone();
        let body = move |i: &Tensor, x: &[Tensor]| {
            let next = &x[0] + i;
            kept.lock().expect("unpoisoned").push(next.clone());
            vec![next]
        };
        ops::fori_loop(0, 3, body, &[Tensor::scalar(0)])[0].eval()?;
        let tensor = slot.lock().expect("unpoisoned").remove(0);
        let error = text(tensor.item::<i32>());
        assert!(error.contains("the body of a `fori_loop` is used outside"), "{error}");
        Ok(())
    });
}

#[test]
fn reading_in_a_trace_names_the_ways_out() {
    on_cpu(|| {
        let line = line!() + 1;
        let error = text(Function::new("f", |x| x[0].item::<f32>().map(|_| vec![])).call(&[vector(&[1.0])]));
        assert!(error.starts_with("[trace]") && error.contains("function `f`"), "{error}");
        for way in ["`ops::cond`", "`ops::while_loop`", "`host_call`", &at(line)] {
            assert!(error.contains(way), "{error}");
        }
        Ok(())
    });
}

#[test]
fn what_is_computed_already_can_be_read_in_a_trace() {
    on_cpu(|| {
        let computed = vector(&[5.0]) * 2.0;
        computed.eval()?;
        let result = Function::new("g", |x| Ok(vec![&x[0] + 1.0])).call(&[vector(&[1.0])])?.remove(0);
        let count = Tensor::from_slice(&[2i32]) + 1;
        count.eval()?;
        let open = vector(&[5.0]) * 2.0;
        let f = Function::new("f", move |x| {
            computed.eval()?;
            let parts = ops::split(&x[0], count.to_vec::<i32>()?[0] as usize, 0);
            Ok(vec![&parts[0] * computed.item::<f32>()? * result.item::<f32>()?])
        });
        assert_eq!(f.call(&[vector(&[1.0, 2.0, 3.0])])?[0].item::<f32>()?, 20.0);
        let error = text(Function::new("f", move |_| open.item::<f32>().map(|_| vec![])).call(&[]));
        assert!(error.contains("cannot be read while function `f`"), "{error}");
        Ok(())
    });
}

#[test]
fn an_argument_of_a_variables_start_is_an_error() {
    on_cpu(|| {
        let line = line!() + 1;
        let f = Function::new("f", |x| Ok(vec![Variable::new(&(&x[0] + 1.0))?.read()]));
        let error = text(f.call(&[vector(&[1.0])]));
        assert!(error.contains("function `f` has no value while that is being traced"), "{error}");
        assert!(error.contains(&at(line)), "{error}");
        Ok(())
    });
}

#[test]
fn the_name_of_a_host_function_stands_once() {
    on_cpu(|| {
        let form = [(vec![1], DType::F32)];
        let x = vector(&[1.0]);
        let line = line!() + 2;
        let computing = |x: &[HostArray]| {
            let value = (Tensor::from(x[0].clone()) * 2.0).to_vec::<f32>().map_err(|e| e.to_string())?;
            Ok(vec![HostArray::new([1], value)])
        };
        let error = text(host_call("hc", std::slice::from_ref(&x), &form, computing)[0].to_vec::<f32>());
        assert_eq!(error.matches("[hc]").count(), 1, "{error}");
        assert_eq!(error.matches("lines.rs:").count(), 1, "{error}");
        assert!(error.contains(&at(line)), "{error}");
        let called = line!() + 1;
        let failing = host_call("hc", &[x], &form, |_| Err("out of rows".into()));
        let error = text(failing[0].to_vec::<f32>());
        assert!(
            error.starts_with("[hc] out of rows (at ") && error.ends_with(&format!("{})", at(called))),
            "{error}"
        );
        Ok(())
    });
}
