//! Errors of layers and models name the line of who called them.

use std::sync::Mutex;

use kiln_graph::{Device, Function, Tensor, with_device};
use kiln_nn::layers::{Dense, Dropout, Flatten, Input, LayerNormalization};
use kiln_nn::training::{Compile, Evaluate, Fit, Model, Predict, predict};
use kiln_nn::{Context, Error, Layer, Result, Seeds, Sequential};

/// The text of an error, which must end with this line of this file.
fn names(line: u32, error: impl std::fmt::Display) -> String {
    let text = error.to_string();
    assert!(text.ends_with(&format!("lines.rs:{line})")), "{text}, at line {line}");
    text
}

fn called(line: u32, output: &Tensor) -> String {
    names(line, output.to_vec::<f32>().expect_err("a wrong input"))
}

fn on_cpu(body: impl FnOnce() -> Result<()>) {
    with_device(&Device::cpu(), body).unwrap_or_else(|e| panic!("{e}"));
}

#[test]
fn a_layer_names_the_line_that_calls_it() {
    on_cpu(|| {
        let (x, context) = (Tensor::ones(&[4, 5]), Context::inference());
        let mut dense = Dense::new(2);
        called(line!(), &dense.call(&x, &context));
        dense.build(&[None, Some(3)], &mut Seeds::new(1))?;
        let text = called(line!(), &dense.call(&x, &context));
        assert!(text.starts_with("[Dense] expected last axis 3"), "{text}");
        called(line!(), &LayerNormalization::new().call(&x, &context));
        called(line!(), &Dropout::new(0.5).call(&x, &Context::training()));
        Ok(())
    });
}

#[test]
fn a_model_names_the_line_that_calls_it() {
    on_cpu(|| {
        let (x, y) = (Tensor::ones(&[4, 5]), Tensor::ones(&[4, 2]));
        let mut model = Sequential::new().add(Flatten::new()).add(Dense::new(2));
        model.compile(Compile::new("sgd", "mse"))?;
        model.build(&[None, Some(3)])?;
        let text = called(line!(), &model.call(&x, &Context::inference()));
        assert!(text.contains("(in layer `dense`)"), "{text}");
        names(line!(), model.predict(&x).expect_err("shape"));
        names(line!(), model.predict_with(&x, Predict::new().verbose(0)).expect_err("shape"));
        names(line!(), predict(&mut model, &x, Predict::new().verbose(0)).expect_err("shape"));
        names(line!(), model.evaluate(&x, &y).expect_err("shape"));
        names(line!(), model.evaluate_with(&x, &y, Evaluate::new().verbose(0)).expect_err("shape"));
        names(line!(), model.fit(&x, &y, Fit::new().verbose(0)).expect_err("shape"));
        names(line!(), model.train_on_batch(&x, &y, None).expect_err("shape"));
        names(line!(), model.test_on_batch(&x, &y, None).expect_err("shape"));
        let mut declared = Sequential::new().add(Input::new([3])).add(Dense::new(2));
        names(line!(), declared.predict(&x).expect_err("shape"));
        Ok(())
    });
}

/// A layer whose error is its own.
struct Picky;

/// Where [`Picky`] fails.
const PICKY: u32 = line!() + 8;

impl Layer for Picky {
    fn class_name(&self) -> &'static str {
        "Picky"
    }

    fn call(&self, input: &Tensor, _: &Context) -> Tensor {
        input.reshape(&[7, 7])
    }
}

#[test]
fn a_layer_of_the_users_keeps_its_own_line() {
    on_cpu(|| {
        let x = Tensor::ones(&[4, 5]);
        let mut model = Sequential::new().add(Picky).add(Dense::new(2));
        called(PICKY, &model.call(&x, &Context::inference()));
        names(PICKY, model.predict(&x).expect_err("shape"));
        Ok(())
    });
}

#[test]
fn a_model_that_is_built_at_every_call_says_so() {
    on_cpu(|| {
        let line = line!() + 3;
        let rebuilt = Function::new("rebuilt", |x| {
            let mut model = Sequential::new().add(Dense::new(2));
            model.build(&[None, Some(3)])?;
            Ok(vec![model.call(&x[0], &Context::inference())])
        });
        let text = names(line, rebuilt.call(&[Tensor::ones(&[1, 3])]).expect_err("variables"));
        assert!(text.contains("build the model before"), "{text}");
        let line = line!() + 2;
        let layer = Function::new("layer", |_| {
            Dense::new(2).build(&[None, Some(3)], &mut Seeds::new(1))?;
            Ok(vec![])
        });
        names(line, layer.call(&[]).expect_err("variables"));
        Ok(())
    });
}

#[test]
fn a_model_that_is_kept_is_built_at_the_first_call() {
    on_cpu(|| {
        let model = Mutex::new(Sequential::new().add(Dense::new(2)));
        let f = Function::new("forward", move |x| {
            let mut model = model.lock().map_err(|_| "poisoned")?;
            model.build(&[None, Some(3)])?;
            Ok(vec![model.call(&x[0], &Context::inference()), model.variables()[0].read()])
        });
        let x = Tensor::ones(&[1, 3]);
        let outputs = f.call(std::slice::from_ref(&x))?;
        assert_eq!(x.matmul(&outputs[1]).to_vec::<f32>()?, outputs[0].to_vec::<f32>()?);
        assert_eq!(f.trace_count(), 1);
        Ok(())
    });
}

#[test]
fn an_error_of_a_model_passes_through_a_function() {
    on_cpu(|| {
        let f = Function::new("f", |_| {
            Err(Error::invalid("model", "not today"))?;
            Ok(vec![])
        });
        let error = f.call(&[]).expect_err("invalid");
        assert!(error.to_string().contains("[model] not today"), "{error}");
        Ok(())
    });
}
