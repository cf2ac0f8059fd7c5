use kiln_graph::{DType, Tensor};
use serde_json::{Value, json};

use super::*;
use crate::layer::{Context, Dims, Seeds};

/// A configuration with which each class can be made, and an input that it takes.
fn samples() -> Vec<(&'static str, Value, Dims)> {
    let image = || vec![None, Some(8), Some(6), Some(4)];
    let rows = || vec![None, Some(6)];
    let mut samples = vec![
        ("Activation", json!({ "activation": "gelu" }), rows()),
        ("BatchNormalization", json!({ "momentum": 0.5, "scale": false }), image()),
        ("Dense", json!({ "units": 3, "activation": "tanh", "kernel_regularizer": "l2" }), rows()),
        ("Dropout", json!({ "rate": 0.25, "noise_shape": [null, 1], "seed": 7 }), rows()),
        ("ELU", json!({ "alpha": 2.0 }), rows()),
        (
            "Embedding",
            json!({ "input_dim": 5, "output_dim": 2, "embeddings_constraint": "unit_norm" }),
            rows(),
        ),
        ("Flatten", json!({}), image()),
        ("InputLayer", json!({ "batch_shape": [null, 6] }), rows()),
        ("LayerNormalization", json!({ "axis": [1, 2], "epsilon": 0.5 }), image()),
        ("LeakyReLU", json!({}), rows()),
        ("Permute", json!({ "dims": [3, 1, 2] }), image()),
        ("ReLU", json!({ "max_value": 6.0, "threshold": 0.5 }), rows()),
        ("RepeatVector", json!({ "n": 3 }), rows()),
        ("Reshape", json!({ "target_shape": [2, -1] }), rows()),
        ("Sequential", json!({ "layers": [{ "class_name": "Dense", "config": { "units": 2 } }] }), rows()),
        ("Softmax", json!({ "axis": 1 }), rows()),
        ("UpSampling2D", json!({ "size": [1, 3] }), image()),
        ("ZeroPadding2D", json!({ "padding": [[0, 1], [2, 3]] }), image()),
    ];
    for (n, input) in
        [(1, vec![None, Some(8), Some(4)]), (2, image()), (3, vec![None, Some(5), Some(5), Some(5), Some(4)])]
    {
        for class in CLASSES.iter().filter(|class| class.ends_with(&format!("{n}D"))) {
            if class.starts_with("Conv") {
                samples.push((class, json!({ "filters": 6, "kernel_size": 3, "groups": 2 }), input.clone()));
            } else if class.contains("Pooling") {
                samples.push((class, json!({}), input.clone()));
            }
        }
    }
    samples
}

#[test]
fn every_class_is_made_from_its_configuration_and_gives_it_back() {
    let samples = samples();
    for class in CLASSES {
        let (_, config, input) = samples.iter().find(|(name, ..)| name == class).expect(class);
        let mut layer = from_config(class, config).unwrap();
        assert_eq!(layer.class_name(), *class);
        let again = from_config(class, &layer.config()).unwrap();
        assert_eq!(again.config(), layer.config(), "{class}");
        layer.output_shape(input).unwrap();
        layer.build(input, &mut Seeds::new(0)).unwrap();
    }
}

#[test]
fn the_shape_that_comes_out_is_the_one_promised() {
    for (class, config, input) in samples() {
        let mut layer = from_config(class, &config).unwrap();
        layer.build(&input, &mut Seeds::new(0)).unwrap();
        let promised = layer.output_shape(&input).unwrap();
        let shape: Vec<usize> = input.iter().map(|d| d.unwrap_or(3)).collect();
        let dtype = if class == "Embedding" { DType::I32 } else { DType::F32 };
        for context in [Context::inference(), Context::training()] {
            let y = layer.call(&Tensor::full(&shape, 0.0, dtype), &context);
            assert_eq!(y.error(), None, "{class}");
            let found: Dims = y.shape().iter().enumerate().map(|(i, d)| (i > 0).then_some(*d)).collect();
            assert_eq!(found, promised, "{class}");
        }
    }
}

fn build_error(layer: impl Layer, input: &[Option<usize>]) -> String {
    let mut layer = layer;
    layer.build(input, &mut Seeds::new(0)).and_then(|()| layer.output_shape(input)).unwrap_err().to_string()
}

#[test]
fn errors_say_what_was_expected_and_what_came() {
    let rows = [None, Some(5)];
    let image = [None, Some(4), Some(4), Some(3)];
    let open = [None, None];
    for (text, expected) in [
        (build_error(Dense::new(0), &rows), "expected a positive integer, received units=0"),
        (
            build_error(Dense::new(2), &open),
            "axis -1 of the input must be known to create weights, received shape (None, None)",
        ),
        (
            build_error(Dense::new(2), &[None]),
            "expected at least 2 axes (batch, features), received shape (None,)",
        ),
        (build_error(Dense::new(2).activation("rellu"), &rows), "did you mean `relu`?"),
        (build_error(Dense::new(2).kernel_initializer("zeroes"), &rows), "did you mean `zeros`?"),
        (
            build_error(Conv2D::new(4, 3), &rows),
            "expected 4 axes (batch, rows, columns, channels), received shape (None, 5)",
        ),
        (build_error(Conv2D::new(4, 3), &image[..3]), "a missing channel axis can be added with Reshape"),
        (build_error(Conv2D::new(4, 0), &image), "expected `kernel_size` ≥ 1, received [0, 0]"),
        (build_error(Conv2D::new(3, 3).groups(2), &image), "received groups=2, filters=3"),
        (
            build_error(Conv2D::new(4, 3).groups(2), &image),
            "the input has 3 channels (full input shape is (None, 4, 4, 3))",
        ),
        (build_error(Conv2D::new(4, 5), &image), "computed output size would be zero or negative"),
        (build_error(MaxPooling2D::new(5), &image), "use padding `same`"),
        (build_error(MaxPooling2D::new(2).strides(0), &image), "expected `strides` ≥ 1"),
        (build_error(Dropout::new(1.5), &rows), "expected a number between 0 and 1, received rate=1.5"),
        (
            build_error(BatchNormalization::new().axis(7), &image),
            "axis 7 is out of range for input shape (None, 4, 4, 3)",
        ),
        (build_error(LayerNormalization::new().axis([1, 1]), &image), "named twice"),
        (build_error(Embedding::new(0, 3), &rows), "received input_dim=0, output_dim=3"),
        (
            build_error(Reshape::new([3, 4]), &rows),
            "the total size of the tensor must be unchanged, received input shape (None, 5)",
        ),
        (build_error(Reshape::new([-1, -1]), &rows), "at most one unknown dimension"),
        (build_error(Permute::new([1, 1]), &rows), "consecutive and start from 1, received dims=[1, 1]"),
    ] {
        assert!(text.contains(expected), "`{text}` does not contain `{expected}`");
    }
}

#[test]
fn errors_of_configurations_name_the_key() {
    for (class, config, expected) in [
        ("Dense", json!({}), "[Dense] `units` in the configuration: expected a value, found none"),
        ("Dense", json!({ "units": -1 }), "`units` in the configuration: invalid value"),
        ("Dense", json!({ "units": 1, "colour": 3 }), "`colour` in the configuration: 3 is not supported"),
        (
            "Dense",
            json!({ "units": 1, "dtype": "float16" }),
            "`dtype` in the configuration: expected float32",
        ),
        ("Conv2D", json!({ "filters": 1, "kernel_size": [3, 3, 3] }), "expected an integer or 2 of them"),
        ("Conv2D", json!({ "filters": 1, "kernel_size": 3, "padding": "causal" }), "received `causal`"),
        ("Flatten", json!({ "data_format": "channels_first" }), "expected \"channels_last\""),
        ("Embedding", json!({ "input_dim": 1, "output_dim": 1, "mask_zero": true }), "`mask_zero`"),
        ("Lambda", json!({}), "there is no layer class `Lambda`"),
    ] {
        let text = from_config(class, &config).unwrap_err().to_string();
        assert!(text.contains(expected), "`{text}` does not contain `{expected}`");
    }
}

#[test]
fn an_unbuilt_or_misused_layer_gives_a_tensor_with_the_error() {
    let text =
        Dense::new(2).call(&Tensor::zeros(&[1, 3]), &Context::inference()).check().unwrap_err().to_string();
    assert!(text.contains("`kernel` is not built"), "{text}");
    let mut dense = Dense::new(2);
    dense.build(&[None, Some(3)], &mut Seeds::new(0)).unwrap();
    let text = dense.call(&Tensor::zeros(&[1, 4]), &Context::inference()).check().unwrap_err().to_string();
    assert!(text.contains("expected last axis 3, received shape [1, 4]"), "{text}");
}

#[test]
fn dropout_repeats_with_the_seed_and_differs_from_call_to_call() {
    let masks = |seed: u64| {
        let mut dropout = Dropout::new(0.3);
        dropout.build(&[None, None], &mut Seeds::new(seed)).unwrap();
        let context = Context::training();
        let mask = || dropout.call(&Tensor::ones(&[20, 50]), &context).to_vec::<f32>().unwrap();
        [mask(), mask()]
    };
    let [first, second] = masks(1);
    assert_eq!(masks(1), [first.clone(), second.clone()]);
    assert_ne!(masks(2)[0], first);
    assert_ne!(first, second);
    let kept = first.iter().filter(|v| **v != 0.0).count();
    assert!((650..750).contains(&kept), "{kept}");
    assert!(first.iter().all(|v| *v == 0.0 || (v - 1.0 / 0.7).abs() < 1e-6));
}

#[test]
fn noise_shape_shares_the_fate_along_an_axis() {
    let mut dropout = Dropout::new(0.5).noise_shape([None, Some(1)]);
    dropout.build(&[None, None], &mut Seeds::new(0)).unwrap();
    let y = dropout.call(&Tensor::ones(&[64, 8]), &Context::training()).to_vec::<f32>().unwrap();
    assert!(y.chunks(8).all(|row| row.iter().all(|v| *v == row[0])));
    let text = dropout.call(&Tensor::ones(&[2, 3, 4]), &Context::training()).check().unwrap_err().to_string();
    assert!(text.contains("expected a noise shape that broadcasts to the input [2, 3, 4]"), "{text}");
}

#[test]
fn a_frozen_batch_normalization_leaves_its_statistics_alone() {
    let mut layer = BatchNormalization::new().trainable(false);
    layer.build(&[None, Some(2)], &mut Seeds::new(0)).unwrap();
    let x = Tensor::from_vec([1.0f32, 2.0, 3.0, 4.0], &[2, 2]);
    let y = layer.call(&x, &Context::training());
    assert!((y.to_vec::<f32>().unwrap()[0] - 1.0).abs() < 1e-3);
    assert_eq!(layer.variables()[2].read().to_vec::<f32>().unwrap(), [0.0, 0.0]);
    layer.set_trainable(true);
    let trainable: Vec<bool> = layer.variables().iter().map(|v| v.is_trainable()).collect();
    assert_eq!(trainable, [true, true, false, false]);
}

#[test]
fn penalties_join_the_losses() {
    let mut dense =
        Dense::new(1).kernel_initializer("ones").kernel_regularizer("l2").activity_regularizer("l1");
    dense.build(&[None, Some(3)], &mut Seeds::new(0)).unwrap();
    let context = Context::training();
    dense.call(&Tensor::ones(&[2, 3]), &context);
    let losses: Vec<f32> = context.losses().iter().map(|l| l.item::<f32>().unwrap()).collect();
    assert_eq!(losses.len(), 2);
    assert!((losses[0] - 0.03).abs() < 1e-6 && (losses[1] - 0.03).abs() < 1e-6, "{losses:?}");
}

#[test]
fn up_sampling_repeats_pixels() {
    let x = Tensor::from_vec([1.0f32, 2.0], &[1, 1, 2, 1]);
    let y = UpSampling2D::new((2, 2)).call(&x, &Context::inference());
    assert_eq!(y.to_vec::<f32>().unwrap(), [1.0, 1.0, 2.0, 2.0, 1.0, 1.0, 2.0, 2.0]);
}
