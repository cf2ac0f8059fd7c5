//! Functions of structures.

use std::sync::{Arc, Mutex};

use kiln_graph::{DType, Tensor, TensorSpec, TreeFunction};

use crate::{on_cpu, text, vector};

#[test]
fn a_function_of_structures_has_the_methods_of_a_function() {
    on_cpu(|| {
        let f =
            TreeFunction::new("f", |(x, y): (Tensor, Option<Tensor>)| Ok(y.map_or(x.clone(), |y| &x + y)))
                .signature([TensorSpec::new([None], DType::F32)])
                .trace_limit(2);
        f.prepare(&(vector(&[1.0]), None))?;
        assert_eq!(f.trace_count(), 1);
        assert_eq!(f.explain(&(vector(&[1.0, 2.0]), None))?.kernels.len(), 1);
        assert!(f.profile(&(vector(&[1.0]), None)).is_ok());
        assert_eq!(f.kernel_sources(&(vector(&[1.0]), None))?.len(), 1);
        assert_eq!(f.trace_report()[0], "f(float32 [1] in (*-)): first call");
        let error = text(f.call(&(vector(&[1.0]), Some(vector(&[1.0])))));
        assert!(error.contains("expected 1 arguments, received 2"), "{error}");
        assert!(text(f.call(&(vector(&[1.0, 2.0, 3.0]), None))).contains("its limit"));
        assert!(format!("{f:?}").contains("f, 2 traces"));
        Ok(())
    });
}

#[test]
fn the_structure_of_a_failed_trace_is_not_kept() {
    on_cpu(|| {
        let runs = Arc::new(Mutex::new(0));
        let f = TreeFunction::new("f", move |x: Tensor| {
            let mut runs = runs.lock().expect("unpoisoned");
            *runs += 1;
            Ok(match *runs {
                1 => vec![x.matmul(&Tensor::zeros(&[7, 7]))],
                _ => vec![x.clone(), x],
            })
        });
        assert!(text(f.call(&vector(&[1.0]))).starts_with("[matmul]"));
        assert_eq!(f.call(&vector(&[1.0]))?.len(), 2);
        Ok(())
    });
}

#[test]
fn the_structure_of_the_result_may_depend_on_shapes() {
    on_cpu(|| {
        let rows = TreeFunction::new("rows", |x: Tensor| {
            Ok((0..x.len() as i64).map(|i| x.slice_axis(0, i, i + 1)).collect::<Vec<_>>())
        });
        for length in [3, 1, 3] {
            assert_eq!(rows.call(&Tensor::ones(&[length]))?.len(), length);
        }
        assert_eq!(rows.trace_count(), 2);
        Ok(())
    });
}
