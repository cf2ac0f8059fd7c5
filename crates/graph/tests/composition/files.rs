//! Saving functions of structures and of host functions.

use kiln_graph::{DType, Function, SavedFunction, Tensor, TreeFunction, host_call};

use crate::{on_cpu, text, vector};

#[test]
fn a_function_with_a_host_function_names_both_lines() {
    on_cpu(|| {
        let call = line!() + 2;
        let f = Function::new("f", |x| {
            Ok(host_call("median", x, &[(vec![2], DType::F32)], |x| Ok(vec![x[0].clone()])))
        });
        f.call(&[vector(&[1.0, 2.0])])?;
        let folder = tempfile::tempdir().expect("a folder");
        let save = line!() + 1;
        let error = text(f.save(folder.path().join("f.kiln")));
        assert!(error.starts_with("[save] `median`") && error.contains("code"), "{error}");
        for line in [call, save] {
            assert!(error.contains(&format!("files.rs:{line}")), "{error}");
        }
        Ok(())
    });
}

#[test]
fn a_function_of_structures_is_saved_and_called() {
    on_cpu(|| {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("f.kiln");
        let f = TreeFunction::new("f", |(x, training): (Tensor, bool)| {
            Ok(if training { (&x * 2.0, x) } else { (&x * 3.0, x) })
        });
        let x = vector(&[1.0]);
        f.call(&(x.clone(), true))?;
        f.save(&path)?;
        let loaded = SavedFunction::load(&path)?;
        assert_eq!(loaded.call(std::slice::from_ref(&x))?[0].item::<f32>()?, 2.0);
        f.call(&(x.clone(), false))?;
        f.save(&path)?;
        let loaded = SavedFunction::load(&path)?;
        let error = text(loaded.call(std::slice::from_ref(&x)));
        assert!(error.contains("several structures") && error.contains("call_tree"), "{error}");
        for (training, expected) in [(true, 2.0), (false, 3.0)] {
            let y = loaded.call_tree(&(x.clone(), training))?;
            assert_eq!((y[0].item::<f32>()?, y[1].item::<f32>()?), (expected, 1.0));
        }
        assert!(text(loaded.call_tree(&(x.clone(), 3i32))).contains("expected one of"));
        Ok(())
    });
}
