//! What branches and loops refuse, and with what words.

use kiln_graph::{DType, Function, Tensor, TensorArray, Variable, gradients, ops};

fn ones(shape: &[usize]) -> Tensor {
    Tensor::ones(shape)
}

fn refused(results: &[Tensor], start: &str, parts: &[&str]) {
    let error = results.first().and_then(Tensor::error).unwrap_or_else(|| panic!("{start}: not refused"));
    let text = error.to_string();
    assert!(text.starts_with(start) && text.contains("control_flow/refused.rs"), "{text}");
    parts.iter().for_each(|part| assert!(text.contains(part), "{part}: {text}"));
}

#[test]
fn forms_that_differ() {
    let x = ones(&[2]);
    let yes = x.sum(()).greater(0.0);
    let differ = ops::cond(&yes, || vec![x.clone()], || vec![x.sum(())]);
    refused(&differ, "[cond]", &["float32 [2]", "float32 []"]);
    refused(&ops::cond(&yes, || vec![x.clone()], || vec![x.cast(DType::I32)]), "[cond]", &["int32 [2]"]);
    assert_eq!(ops::cond(&yes, || vec![x.clone(), x.clone()], || vec![x.clone()]).len(), 2);
    refused(&ops::cond(&x.greater(0.0), Vec::new, Vec::new), "[cond]", &["bool scalar", "bool [2]"]);
    refused(&ops::cond(&x.sum(()), || vec![x.clone()], || vec![x.clone()]), "[cond]", &["float32 []"]);
    refused(&ops::switch(&x, &[&|x| x.to_vec()], std::slice::from_ref(&x)), "[switch]", &["integer scalar"]);
    refused(&ops::switch(&Tensor::scalar(1), &[], &[]), "[switch]", &["at least one branch"]);
    let widened = ops::while_loop(|_| yes.clone(), |v| vec![v[0].sum(())], std::slice::from_ref(&x), None);
    refused(&widened, "[while_loop]", &["[float32 [2]]", "received [float32 []]"]);
    let numeric = ops::while_loop(|v| v[0].sum(()), |v| v.to_vec(), std::slice::from_ref(&x), None);
    refused(&numeric, "[while_loop]", &["bool scalar", "float32 []"]);
    let one_more = ops::fori_loop(0, 3, |_, v| vec![v[0].clone(), v[0].clone()], std::slice::from_ref(&x));
    refused(&one_more, "[fori_loop]", &["keep number"]);
    let to_a_float = ops::fori_loop(0, x.sum(()), |_, v| v.to_vec(), std::slice::from_ref(&x));
    refused(&to_a_float, "[fori_loop]", &["int32 scalars"]);
    let f = |c: &[Tensor], _: &[Tensor]| (c.to_vec(), vec![]);
    let lengths = ops::scan(f, &[], &[ones(&[2]), ones(&[3])], None, false);
    refused(&lengths.1, "[scan]", &["float32 [2], float32 [3]"]);
    refused(&ops::scan(f, &[], &[ones(&[2])], Some(3), false).1, "[scan]", &["length 3"]);
    refused(&ops::scan(f, &[], &[], None, false).1, "[scan]", &["neither"]);
    refused(&ops::map(|x| x.to_vec(), &[Tensor::scalar(1.0f32)]), "[map]", &["first axis"]);
    let shorter = ops::associative_scan(|a, _| vec![a[0].sum(())], &[ones(&[4])], false, 0);
    refused(&shorter, "[associative_scan]", &["keep number"]);
    refused(&ops::associative_scan(|a, _| a.to_vec(), &[x], false, 2), "[associative_scan]", &["axis 2"]);
}

#[test]
fn errors_inside_come_out() {
    let bad = || ones(&[2]).matmul(&ones(&[3]));
    refused(&ops::cond(&Tensor::scalar(1).equal(1), || vec![bad()], || vec![ones(&[])]), "[matmul]", &[]);
    refused(
        &ops::while_loop(|v| v[0].equal(1), |_| vec![bad()], &[Tensor::scalar(1)], None),
        "[matmul]",
        &[],
    );
    refused(&ops::fori_loop(0, 2, |_, v| v.to_vec(), &[bad()]), "[matmul]", &[]);
    refused(&ops::map(|_| vec![bad()], &[ones(&[2])]), "[matmul]", &[]);
}

#[test]
fn effects_inside() -> kiln_graph::Result<()> {
    let state = Variable::new(&ones(&[2]))?;
    let body = |_: &Tensor, v: &[Tensor]| {
        let assigned = state.assign(&v[0]).expect_err("refused").to_string();
        assert!(assigned.starts_with("[fori_loop]") && assigned.contains("return the new one"), "{assigned}");
        let made = Variable::new(&ones(&[1])).expect_err("refused").to_string();
        assert!(made.contains("create it, or build the model, before"), "{made}");
        let read = (&v[0] + 1.0).to_vec::<f32>().expect_err("refused").to_string();
        assert!(read.contains("computed only when that runs"), "{read}");
        // A function is what its body is.
        Function::new("f", |x| Ok(vec![&x[0] * 2.0])).call(v).expect("becomes a part of the loop")
    };
    let y = ops::fori_loop(0, 2, body, &[state.read()]);
    assert_eq!(y[0].to_vec::<f32>()?, [4.0, 4.0]);
    Ok(())
}

#[test]
fn a_parameter_that_escapes() {
    let escaped = std::cell::RefCell::new(None);
    let f = |_: &Tensor, v: &[Tensor]| {
        *escaped.borrow_mut() = Some(v[0].clone());
        v.to_vec()
    };
    ops::fori_loop(0, 2, f, &[ones(&[2])]);
    let error = escaped.take().map(|t| (t + 1.0).to_vec::<f32>());
    let text = error.and_then(Result::err).expect("refused").to_string();
    assert!(text.contains("is used outside of the trace"), "{text}");
}

#[test]
fn gradients_without_a_bound() {
    let x = ones(&[2]);
    let y =
        ops::while_loop(|v| v[0].sum(()).less(9.0), |v| vec![&v[0] * 2.0], std::slice::from_ref(&x), None);
    let error = gradients(&y[0].sum(()), &[x]).expect_err("no bound").to_string();
    assert!(error.contains("give maximum_iterations"), "{error}");
}

#[test]
fn tensor_arrays() {
    let array = TensorArray::unstack(&ones(&[3, 2]));
    refused(&[array.read(3)], "[tensor_array]", &["index 3", "< 3"]);
    refused(&[array.write(-1, &ones(&[2])).stack()], "[tensor_array]", &["index -1", "dynamic"]);
    refused(&[array.write(0, &ones(&[3])).stack()], "[tensor_array]", &["float32 [2]", "float32 [3]"]);
    refused(&[array.read(ones(&[]))], "[tensor_array]", &["integer scalar"]);
    refused(&[TensorArray::unstack(&ones(&[])).stack()], "[tensor_array]", &["scalar"]);
    refused(
        &[TensorArray::split(&ones(&[5]), &[2, 2]).stack()],
        "[tensor_array]",
        &["add up to", "[5]", "[2, 2]"],
    );
    let parts = TensorArray::split(&ones(&[5, 2]), &[2, 3]);
    refused(&[parts.stack()], "[tensor_array]", &["concatenate elements of different shapes"]);
    refused(&[parts.gather(&Tensor::from_slice(&[0]))], "[tensor_array]", &["plain numbers"]);
    refused(&[parts.read(Tensor::from_slice(&[0]).sum(()))], "[tensor_array]", &["plain numbers"]);
    refused(&[parts.read(2)], "[tensor_array]", &["index 2", "< 2"]);
    refused(
        &[parts.write(0, &ones(&[4, 1])).concat()],
        "[tensor_array]",
        &["only the first axis may differ"],
    );
    let none = TensorArray::new(0, &[], DType::F32);
    refused(&[none.reserve(2).stack()], "[tensor_array]", &["call dynamic()"]);
    let index = Tensor::from_slice(&[0]).sum(());
    refused(&[none.dynamic().write(&index, &ones(&[]).sum(())).stack()], "[tensor_array]", &["reserve()"]);
    refused(&[TensorArray::unstack(&ones(&[3])).concat()], "[tensor_array]", &["stack them"]);
    refused(
        &[array.scatter(&Tensor::from_slice(&[0]), &ones(&[2, 2])).stack()],
        "[tensor_array]",
        &["[1, 2]"],
    );
    let past = Tensor::from_slice(&[7]).sum(());
    let error = array.read(&past).to_vec::<f32>().expect_err("out of range").to_string();
    assert!(error.contains("index 7"), "{error}");
    assert!(array.write(&past, &ones(&[2])).stack().to_vec::<f32>().is_err());
}
