//! Errors of the user's own pass through closures as they are.

use std::error::Error as _;
use std::io;

use kiln_graph::{DType, Error, Function, HostArray, Result, Tensor, host_call, ops};

use crate::{on_cpu, vector};

#[derive(Debug, thiserror::Error)]
#[error("the table ends at {0}")]
struct TableEnds(usize);

struct Foreign;

impl From<Foreign> for Error {
    fn from(_: Foreign) -> Error {
        Error::user(TableEnds(9))
    }
}

fn missing() -> io::Result<Vec<u8>> {
    std::fs::read("/nowhere/at/all")
}

#[test]
fn errors_pass_through_the_closure_of_a_function() {
    on_cpu(|| {
        let line = line!() + 2;
        let f = Function::new("f", |x| {
            missing()?;
            Ok(x.to_vec())
        });
        let error = f.call(&[]).expect_err("no file");
        assert!(error.to_string().starts_with("[user] No such file"), "{error}");
        assert!(error.to_string().ends_with(&format!("user_errors.rs:{line})")), "{error}");
        let source = error.source().and_then(|e| e.downcast_ref::<io::Error>()).expect("the error itself");
        assert_eq!(source.kind(), io::ErrorKind::NotFound);
        assert_eq!(f.call(&[]).expect_err("no file").to_string(), error.to_string());
        assert_eq!(f.trace_count(), 0);
        let own: [Result<Vec<Tensor>>; 4] = [
            Function::new("f", |_| Err(Error::user(TableEnds(9)))).call(&[]),
            Function::new("f", |_| Err(Error::user(TableEnds(9)))).call(&[]),
            Function::new("f", |_| Err(Foreign)?).call(&[]),
            // Through another function.
            {
                let inner = Function::new("inner", |_| Err(Error::user(TableEnds(9))));
                Function::new("f", move |x| inner.call(x)).call(&[])
            },
        ];
        for error in own {
            let error = error.expect_err("ends");
            let source = error.source().and_then(|e| e.downcast_ref::<TableEnds>());
            assert_eq!(source.map(|e| e.0), Some(9), "{error}");
        }
        let text = Function::new("f", |_| Err("no rows")?).call(&[]).expect_err("text").to_string();
        assert!(text.starts_with("[user] no rows (at "), "{text}");
        // Kiln's own stay what they are.
        let own = Error::user(vector(&[1.0]).item::<i32>().expect_err("type"));
        assert!(matches!(own, Error::Operation { .. }), "{own}");
        Ok(())
    });
}

#[test]
fn errors_pass_through_a_host_function() {
    on_cpu(|| {
        let call = || {
            host_call("lookup", &[vector(&[1.0])], &[(vec![1], DType::F32)], |x: &[HostArray]| {
                if x[0].as_slice::<f32>()?[0] > 0.0 {
                    Err(TableEnds(3))?;
                }
                Ok(x.to_vec())
            })
        };
        let eager = call()[0].to_vec::<f32>().expect_err("ends");
        let traced = Function::new("f", move |_| Ok(call())).call(&[]).expect_err("ends");
        for error in [eager, traced] {
            assert!(error.to_string().starts_with("[lookup] the table ends at 3 (at "), "{error}");
            let source = error.source().and_then(|e| e.downcast_ref::<TableEnds>());
            assert_eq!(source.map(|e| e.0), Some(3));
        }
        let read = host_call("read", &[vector(&[1.0])], &[(vec![1], DType::F32)], |_| {
            missing()?;
            Ok(vec![])
        });
        let error = read[0].to_vec::<f32>().expect_err("no file");
        assert!(error.source().is_some_and(|e| e.is::<io::Error>()), "{error}");
        Ok(())
    });
}

#[test]
fn a_branch_carries_an_error_as_a_tensor() {
    on_cpu(|| {
        let y = ops::cond(
            &Tensor::scalar(1).equal(1),
            || vec![Tensor::from(Error::user(TableEnds(1)))],
            || vec![vector(&[1.0])],
        );
        let error = y[0].to_vec::<f32>().expect_err("carried");
        assert!(error.source().is_some_and(|e| e.is::<TableEnds>()), "{error}");
        Ok(())
    });
}
