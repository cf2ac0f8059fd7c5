//! Files of open programs: other processes, other functions, forgery.

use kiln_graph::{
    DType, Device, Function, Result, SavedFunction, Tensor, TreeFunction, Variable, gradients, ops,
    set_default_device,
};

use crate::forged::with_text;
use crate::{F, bits, saved, some, spec, whole};

#[test]
fn structures_of_arguments() {
    set_default_device(&Device::cpu());
    let scaled = TreeFunction::new("scaled", |(x, by, centred): (Tensor, Option<Tensor>, bool)| {
        let x = by.map_or(x.clone(), |by| &x * by);
        Ok(if centred { &x - x.mean(0) } else { x })
    })
    .signature([spec([-1, 2], F)]);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("scaled.kiln");
    let text = scaled.save(&path).unwrap_err().to_string();
    assert!(text.contains("no structure of arguments is known"), "{text}");
    for centred in [true, false] {
        scaled.prepare(&(some(&[3, 2]), None, centred)).unwrap();
    }
    scaled.save(&path).unwrap();
    let loaded = SavedFunction::load(&path).unwrap();
    assert_eq!(loaded.signatures().len(), 2);
    for n in [1, 2, 50, 0] {
        for centred in [true, false] {
            let argument = (some(&[n, 2]), None, centred);
            let live = scaled.call(&argument).unwrap();
            assert_eq!(bits(&loaded.call_tree(&argument).unwrap()), bits(&[live]));
        }
    }
    let text = loaded.call(&[some(&[3, 2])]).unwrap_err().to_string();
    assert!(text.contains("several structures") && text.contains("float32 [None, 2] in "), "{text}");
}

#[test]
fn one_inside_another_function() {
    set_default_device(&Device::cpu());
    let total = Variable::new(&Tensor::scalar(0.0f32)).unwrap();
    let summed = Function::new("summed", move |x| {
        total.assign_add(x[0].sum(()))?;
        Ok(vec![&x[0] - x[0].mean(0), total.read()])
    })
    .signature([spec([-1, 2], F)]);
    let (one, other) = (saved(&summed).unwrap(), saved(&summed).unwrap());
    let outer = Function::new("outer", move |x| {
        let mut made = one.call(&[&x[0] * 2.0])?;
        made.push(gradients(&made[0].square().sum(()), &[x[0].clone()])?.remove(0));
        Ok(made)
    });
    for n in [3, 1, 8] {
        let doubled = (some(&[n, 2]) * 2.0).eval().unwrap().clone();
        let made = outer.call(&[some(&[n, 2])]).unwrap();
        assert_eq!(bits(&made[..2]), bits(&other.call(&[doubled]).unwrap()));
        assert_eq!(made[2].shape(), [n, 2]);
    }
}

/// Every test's file, if it were called in another process.
const FILE: &str = "KILN_TEST_OPEN_FUNCTION";

#[test]
fn another_process_runs_it_with_sizes_that_this_one_never_saw() {
    set_default_device(&Device::cpu());
    let all = |call: &dyn Fn(&[Tensor]) -> Result<Vec<Tensor>>| {
        let one = |n: usize| bits(&call(&[some(&[n, 3]), whole(&[n], 4)]).unwrap());
        format!("{:?}", [5, 1, 2, 11, 64].map(one))
    };
    if let Some(path) = std::env::var_os(FILE) {
        let loaded = SavedFunction::load(&path).unwrap();
        std::fs::write(std::path::Path::new(&path).with_extension("bits"), all(&|x| loaded.call(x))).unwrap();
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("step.kiln");
    let w = Variable::new(&some(&[3, 4])).unwrap();
    let captured = some(&[4]).eval().unwrap().clone();
    let step = Function::new("step", move |x| {
        let logits = x[0].matmul(&w.read()) + &captured;
        let loss = -(ops::log_softmax(&logits, -1) * x[1].one_hot(4, F)).sum(-1).mean(());
        let slope = gradients(&loss, &[w.read()])?.remove(0);
        w.assign(&(w.read() - slope * 0.1))?;
        Ok(vec![loss])
    })
    .signature([spec([-1, 3], F), spec([-1], DType::I32)]);
    step.save(&path).unwrap();
    assert_eq!(step.trace_count(), 0, "nothing is compiled");
    let name = "files::another_process_runs_it_with_sizes_that_this_one_never_saw";
    let mut other = std::process::Command::new(std::env::current_exe().unwrap());
    let output = other.args([name, "--exact"]).env(FILE, &path).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    assert_eq!(std::fs::read_to_string(path.with_extension("bits")).unwrap(), all(&|x| step.call(x)));
}

#[test]
fn more_sizes_than_are_kept() {
    set_default_device(&Device::cpu());
    let mean = Function::new("mean", |x| Ok(vec![x[0].mean(())])).signature([spec([-1], F)]);
    let loaded = saved(&mean).unwrap();
    for n in (1..150).chain(1..150) {
        assert_eq!(bits(&loaded.call(&[some(&[n])]).unwrap()), bits(&[some(&[n]).mean(())]));
    }
}

#[test]
fn a_forged_file_of_formulas_is_an_error_or_runs_but_never_panics() {
    set_default_device(&Device::cpu());
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("step.kiln");
    let w = Variable::new(&some(&[3])).unwrap();
    let captured = some(&[3]).eval().unwrap().clone();
    let step = Function::new("step", move |x| {
        let loss = (&x[0] * w.read() + &captured).square().mean(());
        let slope = gradients(&loss, &[w.read()])?.remove(0);
        w.assign(&(w.read() - slope * 0.1))?;
        let sums = ops::scan(
            |s, row| (vec![&s[0] + &row[0]], vec![s[0].clone()]),
            &[Tensor::zeros(&[3])],
            &[x[0].clone()],
            None,
            false,
        );
        Ok(vec![loss, sums.1[0].reshape(&[-1])])
    })
    .signature([spec([-1, 3], F)]);
    step.save(&path).unwrap();
    let whole = std::fs::read(&path).unwrap();
    let (_, header) = safetensors::SafeTensors::read_metadata(&whole).unwrap();
    let text = header.metadata().as_ref().unwrap()["kiln_function"].clone();
    assert!(text.contains(r#""version":2"#) && text.contains(r#"{"formula":"#), "{text}");
    let starts: Vec<usize> = text
        .char_indices()
        .filter(|(i, c)| c.is_ascii_digit() && !text[..*i].ends_with(|p: char| p.is_ascii_alphanumeric()))
        .map(|(i, _)| i)
        .collect();
    let (mut refused, mut ran) = (0, 0);
    for (n, start) in starts.iter().enumerate() {
        let length = text[*start..].find(|c: char| !c.is_ascii_digit()).unwrap();
        let others = ["0", "1", "7", "-1", "281474976710656", "18446744073709551615", "{\"formula\":0}"];
        for other in others.iter().skip(n % 2).step_by(2) {
            let forged = format!("{}{other}{}", &text[..*start], &text[start + length..]);
            std::fs::write(&path, with_text(&whole, &forged)).unwrap();
            let outcome = std::panic::catch_unwind(|| {
                let loaded = SavedFunction::load(&path)?;
                let call = |n| loaded.call(&[some(&[n, 3])])?.iter().try_for_each(|t| t.eval().map(drop));
                call(2).and_then(|()| call(5))
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
