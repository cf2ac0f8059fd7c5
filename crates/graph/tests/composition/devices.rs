//! A program belongs to a device: that of its arguments.

use kiln_graph::{Device, Function, Result, SavedFunction, Tensor, Variable, with_device};

use crate::{on_cpu, text, vector};

/// Two CPU devices that are not the same.
fn two() -> Result<[Device; 2]> {
    Ok([Device::cpu(), Device::cpu_with_threads(1)?])
}

#[test]
fn arguments_on_another_device_get_a_program_there() {
    on_cpu(|| {
        let [a, b] = two()?;
        let f = Function::new("double", |x| Ok(vec![&x[0] * 2.0]));
        let on = |device: &Device| vector(&[1.0, 2.0]).to_device(device);
        for _ in 0..2 {
            for device in [&a, &b] {
                let x = on(device)?;
                let y = f.call(std::slice::from_ref(&x))?.remove(0);
                // Only where both are on one device does this work.
                assert_eq!((y + x).to_vec::<f32>()?, [3.0, 6.0]);
                // Not computed yet, but bound to it.
                let y = f.call(&[on(device)? * 1.0])?.remove(0);
                assert_eq!((y + on(device)?).to_vec::<f32>()?, [3.0, 6.0]);
            }
        }
        assert_eq!(f.trace_count(), 2);
        assert!(f.trace_report()[1].ends_with("on another device"), "{:?}", f.trace_report());
        Ok(())
    });
}

#[test]
fn arguments_from_the_host_go_to_the_default_device() {
    on_cpu(|| {
        let [a, b] = two()?;
        let f = Function::new("double", |x| Ok(vec![&x[0] * 2.0]));
        let x = vector(&[1.0]);
        for device in [&a, &b] {
            let y = with_device(device, || f.call(std::slice::from_ref(&x)))?.remove(0);
            assert_eq!((y + vector(&[1.0]).to_device(device)?).item::<f32>()?, 3.0);
        }
        assert_eq!(f.trace_count(), 2);
        Ok(())
    });
}

#[test]
fn arguments_from_the_host_go_where_the_variables_are() {
    on_cpu(|| {
        let [a, b] = two()?;
        let w = with_device(&b, || Variable::new(&vector(&[3.0])))?;
        let f = Function::new("scale", move |x| Ok(vec![&x[0] * w.read()]));
        for device in [&a, &b] {
            let y = with_device(device, || f.call(&[vector(&[2.0])]))?.remove(0);
            assert_eq!((y + vector(&[1.0]).to_device(&b)?).item::<f32>()?, 7.0);
        }
        assert_eq!(f.trace_count(), 1);
        Ok(())
    });
}

#[test]
fn devices_do_not_mix() {
    on_cpu(|| {
        let [a, b] = two()?;
        let (x, y) = (vector(&[1.0]).to_device(&a)?, vector(&[1.0]).to_device(&b)?);
        let add = Function::new("add", |x| Ok(vec![&x[0] + &x[1]]));
        add.call(&[x.clone(), x.clone()])?;
        let line = line!() + 1;
        let error = text(add.call(&[x.clone(), y.clone()]));
        assert!(error.starts_with("[device] expected tensors and variables on one device"), "{error}");
        assert!(error.contains("to_device") && error.contains(&format!("devices.rs:{line}")), "{error}");
        let w = with_device(&b, || Variable::new(&vector(&[3.0])))?;
        let scale = Function::new("scale", move |x| Ok(vec![&x[0] * w.read()]));
        scale.call(std::slice::from_ref(&y))?;
        assert!(text(scale.call(std::slice::from_ref(&x))).starts_with("[device] expected"));
        assert!(text(scale.call(&[&x * 2.0])).starts_with("[device] expected"));
        let line = line!() + 1;
        let error = text((&x + &y).to_vec::<f32>());
        assert!(error.starts_with("[device]") && error.contains(&format!("devices.rs:{line}")), "{error}");
        Ok(())
    });
}

#[test]
fn an_upload_of_host_elements_binds_nothing() {
    on_cpu(|| {
        let [a, b] = two()?;
        let shared = vector(&[1.0, 2.0]);
        for device in [&a, &b] {
            let own = vector(&[1.0, 1.0]).to_device(device)?;
            let sum = with_device(device, || (&shared + &own).to_vec::<f32>())?;
            assert_eq!(sum, [2.0, 3.0]);
        }
        Ok(())
    });
}

#[test]
fn a_function_from_a_file_stays_on_its_device() {
    on_cpu(|| {
        let [a, b] = two()?;
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("double.kiln");
        let f = Function::new("double", |x| Ok(vec![&x[0] * 2.0]));
        f.call(&[vector(&[1.0]).to_device(&a)?])?;
        f.call(&[vector(&[1.0]).to_device(&b)?])?;
        f.save(&path)?;
        let loaded = with_device(&b, || SavedFunction::load(&path))?;
        assert_eq!(loaded.signatures().len(), 1);
        assert_eq!(loaded.call(&[vector(&[4.0]).to_device(&b)?])?[0].item::<f32>()?, 8.0);
        assert_eq!(loaded.call(&[Tensor::ones(&[1])])?[0].item::<f32>()?, 2.0);
        assert!(text(loaded.call(&[vector(&[4.0]).to_device(&a)?])).starts_with("[device]"));
        Ok(())
    });
}
