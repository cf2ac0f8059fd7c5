use super::*;
use crate::files::ReadBudget;
use crate::layers::{BatchNormalization, Conv2D, Dense, Dropout, Flatten, Input, MaxPooling2D};

fn convnet() -> Sequential {
    Sequential::new()
        .add(Input::new([28, 28, 1]))
        .add(Conv2D::new(32, 3).activation("relu"))
        .add(MaxPooling2D::default())
        .add(BatchNormalization::new())
        .add(Flatten::new())
        .add(Dropout::new(0.5))
        .add(Dense::new(10).named("a_very_long_name_of_a_layer_in_the_model"))
}

fn perceptron() -> Sequential {
    Sequential::new().seed(1).add(Input::new([4])).add(Dense::new(3)).add(Dense::new(2))
}

#[test]
fn classes_become_names_as_in_keras() {
    for (class, name) in [
        ("Dense", "dense"),
        ("Conv2D", "conv2d"),
        ("MaxPooling2D", "max_pooling2d"),
        ("BatchNormalization", "batch_normalization"),
        ("ReLU", "re_lu"),
        ("PReLU", "p_re_lu"),
        ("LSTM", "lstm"),
        ("ConvLSTM2D", "conv_lstm2d"),
        ("GlobalAveragePooling1D", "global_average_pooling1d"),
        ("RMSNormalization", "rms_normalization"),
    ] {
        assert_eq!(snake_case(class), name);
    }
}

#[test]
fn the_summary_is_keras_table() {
    let text = convnet().summary();
    assert!(text.lines().skip(1).take(3).all(|line| (65..=88).contains(&line.chars().count())), "{text}");
    for part in [
        "Model: \"sequential\"\n",
        "│ conv2d (Conv2D) ",
        "│ (None, 26, 26, 32) ",
        "│ a_very_long_name_of_a_layer_in_the_model ",
        "     54,090 │",
        " Total params: 54,538 (213.04 KB)\n",
        " Trainable params: 54,474 (212.79 KB)\n",
        " Non-trainable params: 64 (256.00 B)\n",
    ] {
        assert!(text.contains(part), "`{part}` is not in\n{text}");
    }
}

#[test]
fn a_small_summary_is_exactly_this() {
    assert_eq!(
        perceptron().summary(),
        "\
Model: \"sequential\"
┏━━━━━━━━━━━━━━━━━━━━━━━━━━━━┳━━━━━━━━━━━━━━━━━━━━━┳━━━━━━━━━━━━┓
┃ Layer (type)               ┃ Output Shape        ┃    Param # ┃
┡━━━━━━━━━━━━━━━━━━━━━━━━━━━━╇━━━━━━━━━━━━━━━━━━━━━╇━━━━━━━━━━━━┩
│ dense (Dense)              │ (None, 3)           │         15 │
├────────────────────────────┼─────────────────────┼────────────┤
│ dense_1 (Dense)            │ (None, 2)           │          8 │
└────────────────────────────┴─────────────────────┴────────────┘
 Total params: 23 (92.00 B)
 Trainable params: 23 (92.00 B)
 Non-trainable params: 0 (0.00 B)
"
    );
}

#[test]
fn an_unbuilt_model_says_so() {
    let model = Sequential::new().add(Dense::new(10));
    let text = model.summary();
    assert!(text.contains("│ ?  ") && text.contains("0 (unbuilt) │"), "{text}");
    assert!(!model.is_built());
    let text = model.save_weights("nowhere").unwrap_err().to_string();
    assert!(text.contains("has no weights; build the model first"), "{text}");
}

#[test]
fn mistakes_of_add_come_back_later_and_those_of_push_at_once() {
    let model =
        Sequential::new().add(Dense::new(1).named("a")).add(Dense::new(1).named("a")).add(Dense::new(1));
    let text = model.check().unwrap_err().to_string();
    assert!(text.contains("`a` is already the name of a layer in this model"), "{text}");
    let output = Layer::call(&model, &Tensor::zeros(&[1, 1]), &Context::inference());
    assert!(output.check().unwrap_err().to_string().contains("unique names"));
    let mut model = Sequential::new().add(Dense::new(1));
    let text = model.push(Input::new([3])).unwrap_err().to_string();
    assert!(text.contains("an input layer must come first"), "{text}");
    let text = model.layer("zz").err().map(|e| e.to_string()).unwrap_or_default();
    assert!(text.contains("no such layer: zz; existing layers are [\"dense\"]"), "{text}");
}

#[test]
fn errors_name_the_layer() {
    let model = Sequential::new().add(Input::new([5])).add(Dense::new(4)).add(Conv2D::new(2, 3));
    let text = model.check().unwrap_err().to_string();
    assert!(text.contains("[conv2d] expected 4 axes") && text.contains("(None, 4)"), "{text}");
    let output = Layer::call(&perceptron(), &Tensor::zeros(&[2, 5]), &Context::inference());
    let text = output.check().unwrap_err().to_string();
    assert!(text.contains("expected shape (None, 4), received [2, 5]"), "{text}");
    let mut model = Sequential::new().add(Dense::new(4)).add(Dense::new(2));
    model.build(&[None, Some(3)]).unwrap();
    let output = Layer::call(&model, &Tensor::zeros(&[2, 5]), &Context::inference());
    let text = output.check().unwrap_err().to_string();
    assert!(text.contains("received shape [2, 5]") && text.contains("(in layer `dense`)"), "{text}");
}

#[test]
fn models_nest_with_names_in_a_path() {
    let inner = Sequential::new().add(Dense::new(4)).add(Dense::new(2)).named("inner");
    let mut model = Sequential::new().add(Input::new([3])).add(inner).add(Dense::new(1));
    let names: Vec<String> = model.variables().iter().map(|v| v.name()).collect();
    assert_eq!(names[0], "inner/dense/kernel");
    assert_eq!(names[3], "inner/dense_1/bias");
    assert_eq!(names[5], "dense/bias");
    model.set_layer_trainable("inner", false).unwrap();
    assert_eq!(model.variables().iter().filter(|v| v.is_trainable()).count(), 2);
    let again = layers::from_config("Sequential", &model.config()).unwrap();
    assert_eq!(again.config(), model.config());
    assert_eq!(again.variables().iter().filter(|v| v.is_trainable()).count(), 2);
}

#[test]
fn a_nested_input_is_the_input_of_the_model() {
    let model = Sequential::new().add(perceptron()).add(Dense::new(1));
    assert_eq!(model.input_dims(), Some(&[None, Some(4)][..]));
    assert!(model.is_built());
}

#[test]
fn seeds_repeat_and_differ() {
    let kernel = |model: Sequential| model.get_weights()[0].to_vec::<f32>().unwrap();
    assert_eq!(kernel(perceptron()), kernel(perceptron()));
    let unseeded = || Sequential::new().add(Input::new([4])).add(Dense::new(3));
    assert_ne!(kernel(unseeded()), kernel(unseeded()));
}

#[test]
fn set_weights_takes_all_or_nothing() {
    let model = perceptron();
    let before = model.get_weights()[0].to_vec::<f32>().unwrap();
    let mut values = vec![Tensor::ones(&[4, 3]), Tensor::ones(&[3]), Tensor::ones(&[3, 2])];
    let text = model.set_weights(&values).unwrap_err().to_string();
    assert!(text.contains("received 3 weights, but the layer expects 4"), "{text}");
    values.push(Tensor::ones(&[3]));
    let text = model.set_weights(&values).unwrap_err().to_string();
    assert!(
        text.contains("expected shape [2] float32 for weight `dense_1/bias`, received [3] float32"),
        "{text}"
    );
    assert_eq!(model.get_weights()[0].to_vec::<f32>().unwrap(), before);
    values[3] = Tensor::zeros(&[2]);
    model.set_weights(&values).unwrap();
    assert_eq!(model.get_weights()[0].to_vec::<f32>().unwrap(), [1.0; 12]);
}

fn values(model: &Sequential) -> Vec<Vec<f32>> {
    model.get_weights().iter().map(|w| w.to_vec::<f32>().unwrap()).collect()
}

#[test]
fn weights_come_back_from_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("weights.safetensors");
    let model = perceptron();
    model.save_weights(&path).unwrap();
    let other = Sequential::new().seed(2).add(Input::new([4])).add(Dense::new(3)).add(Dense::new(2));
    assert_ne!(values(&other), values(&model));
    other.load_weights(&path).unwrap();
    assert_eq!(values(&other), values(&model));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn weights_of_another_model_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("weights.safetensors");
    let model = perceptron();
    let before = values(&model);
    let text = model.load_weights(&path).unwrap_err().to_string();
    assert!(text.contains("there is no such file"), "{text}");
    let larger = Sequential::new().add(Input::new([4])).add(Dense::new(5)).add(Dense::new(2));
    let longer = perceptron().add(Dense::new(2));
    let renamed = Sequential::new().add(Input::new([4])).add(Dense::new(3).named("first")).add(Dense::new(2));
    for (other, expected) in [
        (larger, "tensor `dense/bias`: expected shape [3] float32, found [5] F32"),
        (longer, "the file's `dense_2/bias`, `dense_2/kernel` are not in the model"),
        (renamed, "the model's `dense_1/bias`, `dense_1/kernel` are not in the file, whose `first/bias`"),
    ] {
        other.save_weights(&path).unwrap();
        let text = model.load_weights(&path).unwrap_err().to_string();
        assert!(text.contains(expected) && text.contains("weights.safetensors"), "{text}");
        assert_eq!(values(&model), before);
    }
    let small = ReadBudget { max_bytes: 10, ..ReadBudget::default() };
    let text = weights::load_weights_within(&model, &path, &small).unwrap_err().to_string();
    assert!(text.contains("expected at most 10 bytes"), "{text}");
}

#[test]
fn damaged_files_are_refused_and_change_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("weights.safetensors");
    let (model, other) = (perceptron(), Sequential::new().seed(2).add(Input::new([4])).add(Dense::new(3)));
    let other = other.add(Dense::new(2));
    model.save_weights(&path).unwrap();
    let whole = std::fs::read(&path).unwrap();
    let before = values(&other);
    for length in (0..whole.len()).step_by(64) {
        std::fs::write(&path, &whole[..length]).unwrap();
        assert!(other.load_weights(&path).unwrap_err().to_string().contains("weights.safetensors"));
    }
    let mut accepted = 0;
    for bit in 0..whole.len() * 8 {
        let mut flipped = whole.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        std::fs::write(&path, &flipped).unwrap();
        match other.load_weights(&path) {
            // Only notes about the file may change unseen.
            Ok(()) => {
                accepted += 1;
                assert_eq!(values(&other), values(&model));
                let restored: Vec<Tensor> = before
                    .iter()
                    .zip(other.variables())
                    .map(|(old, variable)| Tensor::from_vec(old, variable.shape()))
                    .collect();
                other.set_weights(&restored).unwrap();
            }
            Err(error) => assert!(error.to_string().contains("weights.safetensors"), "{error}"),
        }
        assert_eq!(values(&other), before);
    }
    assert!(accepted < whole.len(), "{accepted} of {} flipped bits went unseen", whole.len() * 8);
}
