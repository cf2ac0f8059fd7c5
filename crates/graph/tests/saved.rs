//! Signatures with open dimensions, limits of traces, structured values, and functions in files.

#[path = "support/forged.rs"]
mod forged;

use std::collections::BTreeMap;
use std::process::Command;

use forged::with_text;
use kiln_graph::files::ReadBudget;
use kiln_graph::{
    DType, Device, Function, SavedFunction, Tensor, TensorSpec, TreeFunction, Variable, gradients,
    set_default_device, tree,
};

fn vector(numbers: &[f32]) -> Tensor {
    Tensor::from_slice(numbers)
}

#[test]
fn a_signature_with_open_dimensions_admits_and_refuses() {
    set_default_device(&Device::cpu());
    let mean = Function::new("mean", |x| Ok(vec![x[0].mean(0)]))
        .signature([TensorSpec::new([None, Some(2)], DType::F32)]);
    for rows in [1, 3, 7] {
        assert_eq!(mean.call(&[Tensor::ones(&[rows, 2])]).unwrap()[0].to_vec::<f32>().unwrap(), [1.0, 1.0]);
    }
    assert_eq!(mean.trace_count(), 3);
    let refused = |arguments: &[Tensor]| mean.call(arguments).unwrap_err().to_string();
    assert!(
        refused(&[Tensor::ones(&[3])])
            .contains("expected float32 [None, 2] for argument 0, received float32 [3]")
    );
    assert!(refused(&[Tensor::full(&[1, 2], 1.0, DType::I32)]).contains("received int32 [1, 2]"));
    let text = refused(&[]);
    assert!(text.contains("expected 1 arguments, received 0") && text.contains("saved.rs:"), "{text}");
    assert_eq!(mean.trace_count(), 3);
}

#[test]
fn one_trace_more_than_the_limit_is_an_error_that_says_why() {
    set_default_device(&Device::cpu());
    let double = Function::new("double", |x| Ok(vec![&x[0] * 2.0])).trace_limit(2);
    double.call(&[Tensor::zeros(&[1])]).unwrap();
    double.call(&[Tensor::zeros(&[2])]).unwrap();
    let text = double.call(&[Tensor::zeros(&[3])]).unwrap_err().to_string();
    assert!(
        text.contains("traced 2 times, its limit")
            && text.contains("is float32 [3]")
            && text.contains("saved.rs:"),
        "{text}"
    );
    double.call(&[Tensor::zeros(&[1])]).expect("what is traced still runs");
}

#[test]
fn structures_go_in_and_come_out() {
    set_default_device(&Device::cpu());
    type Batch = (Vec<Tensor>, BTreeMap<String, Tensor>, Option<Tensor>);
    let sums = TreeFunction::new("sums", |(list, named, extra): Batch| {
        let total = list
            .iter()
            .chain(named.values())
            .chain(&extra)
            .fold(Tensor::scalar(0.0f32), |s, t| s + t.sum(()));
        Ok((total, named))
    });
    let batch = |n: usize, extra: bool| -> Batch {
        let named = BTreeMap::from([("a".to_owned(), vector(&[1.0])), ("b".to_owned(), vector(&[2.0]))]);
        (vec![vector(&[1.0, 2.0]); n], named, extra.then(|| vector(&[10.0])))
    };
    let total = |n, extra| {
        let (total, named) = sums.call(&batch(n, extra)).unwrap();
        assert_eq!(named["b"].to_vec::<f32>().unwrap(), [2.0]);
        total.item::<f32>().unwrap()
    };
    assert_eq!((total(1, false), total(2, false), total(2, true), total(1, false)), (6.0, 9.0, 19.0, 6.0));
    assert_eq!(sums.trace_count(), 3);
    assert!(tree::assert_same_structure(&batch(1, true), &batch(1, false)).is_err());
    assert!(tree::pack_sequence_as(&batch(1, false), &[vector(&[0.0])]).is_err());
}

/// A step of gradient descent, with state, a captured value, random numbers and an index that is checked.
fn step() -> (Function, Variable) {
    let weight = Variable::new(&vector(&[0.5, -0.25, 1.0])).unwrap();
    let seed = Variable::new(&Tensor::from_slice(&[7u32, 9])).unwrap();
    let captured = vector(&[1.0, 2.0, 3.0]).eval().unwrap().clone();
    let state = weight.clone();
    let function = Function::new("step", move |x| {
        let noise = Tensor::random_normal(&seed.read(), &[3]) * 0.01;
        let rows = x[0].take(&x[1], 0);
        let loss = ((rows + noise) * state.read() * &captured).sum(()).square();
        let gradient = gradients(&loss, &[state.read()])?.remove(0);
        state.assign(&(state.read() - gradient * 0.01))?;
        seed.assign(&(seed.read() + Tensor::full(&[2], 1.0, DType::U32)))?;
        Ok(vec![loss, x[0].cast(DType::Bool).any(())])
    });
    (function, weight)
}

fn arguments(rows: usize) -> [Tensor; 2] {
    let table: Vec<f32> = (0..3 * rows).map(|i| 0.1 * i as f32 - 0.2).collect();
    [Tensor::from_vec(table, &[rows, 3]), Tensor::from_slice(&[0, rows as i32 - 1])]
}

fn losses(call: impl Fn(&[Tensor]) -> kiln_graph::Result<Vec<Tensor>>) -> Vec<u32> {
    let loss = |n: usize| call(&arguments(2 + n % 2)).unwrap()[0].item::<f32>().unwrap().to_bits();
    (0..6).map(loss).collect()
}

const FILE: &str = "KILN_TEST_FUNCTION";

#[test]
fn a_saved_function_goes_on_where_it_was_saved_in_this_process_and_in_another() {
    set_default_device(&Device::cpu());
    if let Some(path) = std::env::var_os(FILE) {
        let loaded = SavedFunction::load(&path).unwrap();
        let bits = format!("{:?}", losses(|x| loaded.call(x)));
        std::fs::write(std::path::Path::new(&path).with_extension("bits"), bits).unwrap();
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("step.kiln");
    let (step, weight) = step();
    assert!(step.save(&path).unwrap_err().to_string().contains("not been traced yet"));
    losses(|x| step.call(x));
    step.save(&path).unwrap();
    let loaded = SavedFunction::load(&path).unwrap();
    assert_eq!((loaded.name(), loaded.signatures().len()), ("step", 2));
    let here = losses(|x| step.call(x));
    let trained = weight.read().to_vec::<f32>().unwrap();
    assert_eq!(losses(|x| loaded.call(x)), here);
    assert_eq!(weight.read().to_vec::<f32>().unwrap(), trained, "the loaded function has its own state");

    let name = "a_saved_function_goes_on_where_it_was_saved_in_this_process_and_in_another";
    let mut other = Command::new(std::env::current_exe().unwrap());
    let output = other.args([name, "--exact"]).env(FILE, &path).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    assert_eq!(std::fs::read_to_string(path.with_extension("bits")).unwrap(), format!("{here:?}"));

    let error = loaded.call(&arguments(9)).unwrap_err().to_string();
    assert!(
        error.contains("expected one of step(float32 [2, 3], int32 [2])") && error.contains("saved.rs:"),
        "{error}"
    );
    let outside = [arguments(2)[0].clone(), Tensor::from_slice(&[0, 5])];
    assert!(loaded.call(&outside).unwrap_err().to_string().contains("5"), "indices are checked still");
}

#[test]
fn damaged_files_are_errors() {
    let device = Device::cpu();
    set_default_device(&device);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("step.kiln");
    let (step, _) = step();
    losses(|x| step.call(x));
    step.save(&path).unwrap();
    let whole = std::fs::read(&path).unwrap();
    let load = |bytes: &[u8]| {
        std::fs::write(&path, bytes).unwrap();
        SavedFunction::load(&path).map(drop)
    };
    for length in (0..whole.len()).step_by(whole.len() / 40) {
        assert!(load(&whole[..length]).is_err(), "cut to {length} bytes");
    }
    for at in (0..whole.len()).step_by(whole.len() / 200) {
        let mut bytes = whole.clone();
        bytes[at] ^= 1 << (at % 8);
        assert!(load(&bytes).is_err(), "a bit changed at {at}");
    }
    load(&whole).unwrap();
    let small = ReadBudget { max_bytes: 100, ..ReadBudget::default() };
    assert!(SavedFunction::load_within(&path, &device, &small).is_err());
    let missing = SavedFunction::load(folder.path().join("none")).unwrap_err().to_string();
    assert!(missing.contains("there is no such file"), "{missing}");
}

#[test]
fn a_forged_file_is_an_error_or_runs_but_never_panics() {
    set_default_device(&Device::cpu());
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("step.kiln");
    let (step, _) = step();
    step.call(&arguments(2)).unwrap();
    step.save(&path).unwrap();
    let whole = std::fs::read(&path).unwrap();
    let (_, header) = safetensors::SafeTensors::read_metadata(&whole).unwrap();
    let text = header.metadata().as_ref().unwrap()["kiln_function"].clone();
    // Every number of the description in turn becomes another one.
    let starts: Vec<usize> = text
        .char_indices()
        .filter(|(i, c)| c.is_ascii_digit() && !text[..*i].ends_with(|p: char| p.is_ascii_alphanumeric()))
        .map(|(i, _)| i)
        .collect();
    let (mut refused, mut ran) = (0, 0);
    for (n, start) in starts.iter().enumerate() {
        let length = text[*start..].find(|c: char| !c.is_ascii_digit()).unwrap();
        for other in ["0", "1", "7", "-1", "281474976710656", "18446744073709551615", "null"]
            .iter()
            .skip(n % 2)
            .step_by(2)
        {
            let forged = format!("{}{other}{}", &text[..*start], &text[start + length..]);
            std::fs::write(&path, with_text(&whole, &forged)).unwrap();
            let outcome = std::panic::catch_unwind(|| {
                let loaded = SavedFunction::load(&path)?;
                loaded.call(&arguments(2))?.iter().try_for_each(|t| t.eval().map(drop))
            });
            match outcome {
                Ok(Ok(())) => ran += 1,
                Ok(Err(_)) => refused += 1,
                Err(_) => panic!(
                    "panicked: {other} for {} in {}",
                    &text[*start..start + length],
                    &text[start.saturating_sub(120)..start + length]
                ),
            }
        }
    }
    assert!(refused > 500 && ran > 20, "{refused} refused, {ran} ran");
}

#[test]
fn the_programs_prepared_so_far_can_be_saved_alone() -> kiln_graph::Result<()> {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("mean.kiln");
    let mean = Function::new("mean", |x| Ok(vec![x[0].mean(0)]))
        .signature([TensorSpec::new([None, Some(2)], DType::F32)]);
    for length in [3, 5] {
        mean.prepare(&[Tensor::zeros(&[length, 2])])?;
    }
    mean.save_prepared(&path)?;
    let loaded = SavedFunction::load(&path)?;
    assert_eq!(loaded.signatures(), ["mean(float32 [3, 2])", "mean(float32 [5, 2])"]);
    for length in [3, 5] {
        assert_eq!(loaded.call(&[Tensor::ones(&[length, 2])])?[0].to_vec::<f32>()?, [1.0, 1.0]);
    }
    let error = loaded.call(&[Tensor::ones(&[4, 2])]).expect_err("another size").to_string();
    let words = [
        "mean(float32 [3, 2]), mean(float32 [5, 2])",
        "received mean(float32 [4, 2])",
        "before it is saved",
        "a signature with open dimensions",
    ];
    assert!(words.iter().all(|w| error.contains(w)), "{error}");
    Ok(())
}
