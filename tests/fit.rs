//! The training loop on a model of the user's own: epochs, validation, callbacks, errors.

use std::cell::RefCell;

use kiln_graph::{DType, Device, Tensor, Variable, with_device};
use kiln_nn::callbacks::{
    CsvLogger, EarlyStopping, LambdaCallback, LearningRateScheduler, ReduceLROnPlateau, TerminateOnNaN,
};
use kiln_nn::history::Logs;
use kiln_nn::losses::SparseCategoricalCrossentropy;
use kiln_nn::metrics::FunctionMetric;
use kiln_nn::optimizers::{Adam, AdamW, Optimizer, RmsProp, Rule, Sgd, Step, Update};
use kiln_nn::schedules::ExponentialDecay;
use kiln_nn::training::{Compile, Evaluate, Fit, Model, Predict, Trainer};
use kiln_nn::{Context, Layer, Result, Seeds};

/// `x · W + b`.
struct Affine {
    units: usize,
    weights: Vec<Variable>,
    trainer: Trainer,
}

impl Affine {
    fn new(units: usize) -> Affine {
        Affine { units, weights: vec![], trainer: Trainer::new() }
    }

    fn weight(&self) -> Vec<f32> {
        self.weights[0].read().to_vec().unwrap()
    }
}

impl Layer for Affine {
    fn class_name(&self) -> &'static str {
        "Affine"
    }

    fn build(&mut self, input: &[Option<usize>], _: &mut Seeds) -> Result<()> {
        let width = kiln_nn::layer::known_axis("Affine", input, -1)?;
        self.weights = vec![
            Variable::new(&Tensor::zeros(&[width, self.units]))?.named("kernel"),
            Variable::new(&Tensor::zeros(&[self.units]))?.named("bias"),
        ];
        Ok(())
    }

    fn call(&self, input: &Tensor, _: &Context) -> Tensor {
        match &self.weights[..] {
            [kernel, bias] => input.matmul(&kernel.read()) + bias.read(),
            _ => Tensor::invalid("Affine", "not built"),
        }
    }

    fn variables(&self) -> Vec<Variable> {
        self.weights.clone()
    }
}

impl Model for Affine {
    fn trainer(&self) -> &Trainer {
        &self.trainer
    }

    fn trainer_mut(&mut self) -> &mut Trainer {
        &mut self.trainer
    }
}

fn on_cpu(body: impl FnOnce()) {
    with_device(&Device::cpu(), body);
}

/// Eleven points on `y = 2x − 1`.
fn line() -> (Tensor, Tensor) {
    let x: Vec<f32> = (0..11).map(|i| i as f32 / 10.0).collect();
    let y: Vec<f32> = x.iter().map(|x| 2.0 * x - 1.0).collect();
    (Tensor::from_vec(x, &[11, 1]), Tensor::from_vec(y, &[11, 1]))
}

fn compiled(compile: Compile) -> Affine {
    let mut model = Affine::new(1);
    model.compile(compile).unwrap();
    model
}

/// The steps compiled, without those compiled again because another test, of this process, packed its variables.
fn steps(model: &Affine) -> Vec<String> {
    model.trace_report().into_iter().filter(|line| !line.contains("packed")).collect()
}

fn quiet<'a>() -> Fit<'a> {
    Fit::new().verbose(0)
}

#[test]
fn fit_learns_a_line_and_reports_every_epoch() {
    on_cpu(|| {
        let (x, y) = line();
        let mut model = compiled(Compile::new(Sgd::new().learning_rate(0.3), "mse").metric("mae"));
        let history = model.fit(&x, &y, quiet().epochs(60).batch_size(4)).unwrap();
        assert_eq!((history.epoch.len(), history.params.steps), (60, 3));
        assert!(history.last("loss") < Some(1e-3), "{:?}", history.last("loss"));
        let logs = model.evaluate(&x, &y).unwrap();
        assert_eq!(logs.keys().collect::<Vec<_>>(), ["loss", "mae"]);
        assert!(logs["mae"] < 0.05);
        let predicted = model.predict_with(&x, Predict::new().batch_size(4).verbose(0)).unwrap();
        assert_eq!(predicted.shape(), [11, 1]);
        let (found, wanted) = (predicted.to_vec::<f32>().unwrap(), y.to_vec::<f32>().unwrap());
        assert!(found.iter().zip(&wanted).all(|(a, b)| (a - b).abs() < 0.1));
        // Batches of 4 and of 3, for training; of 11, for evaluation; of 4 and of 3, for prediction.
        assert_eq!(steps(&model).len(), 5, "{:#?}", model.trace_report());
    });
}

#[test]
fn the_loss_of_an_epoch_counts_every_sample_once() {
    on_cpu(|| {
        let x = Tensor::zeros(&[3, 1]);
        let y = Tensor::from_vec([1.0f32, 1.0, 2.0], &[3, 1]);
        let mut model = compiled(Compile::new(Sgd::new().learning_rate(0.0), "mse"));
        let history = model.fit(&x, &y, quiet().batch_size(2).shuffle(false)).unwrap();
        assert_eq!(history.last("loss"), Some(2.0));
        let weight = Tensor::from_slice(&[1.0f32, 0.0, 0.5]);
        let history = model.fit(&x, &y, quiet().batch_size(3).sample_weight(&weight)).unwrap();
        assert_eq!(history.last("loss"), Some(1.0));
        let evaluated =
            model.evaluate_with(&x, &y, Evaluate::new().sample_weight(&weight).verbose(0)).unwrap();
        assert_eq!(evaluated["loss"], 1.0);
    });
}

#[test]
fn hooks_are_called_in_the_order_of_keras() {
    on_cpu(|| {
        let (x, y) = line();
        let seen = RefCell::new(String::new());
        let note = |letter: &str| {
            seen.borrow_mut().push_str(letter);
            Ok(())
        };
        let hooks = LambdaCallback::new()
            .on_train_begin(|_| note("<"))
            .on_train_end(|_, _| note(">"))
            .on_epoch_begin(|_, _| note("("))
            .on_epoch_end(|_, logs, _| {
                assert!(logs.contains_key("val_loss"));
                note(")")
            })
            .on_train_batch_begin(|_, _| note("b"))
            .on_train_batch_end(|_, _| note("e"));
        let mut model = compiled(Compile::new("sgd", "mse"));
        let settings = quiet().epochs(2).batch_size(4).validation_split(0.25).callback(hooks);
        let history = model.fit(&x, &y, settings).unwrap();
        // Eleven samples and a quarter: eight to train on, three to validate on.
        assert_eq!(history.params.steps, 2);
        assert_eq!(seen.into_inner(), "<(bebe)(bebe)>");
    });
}

#[test]
fn equal_seeds_train_equally() {
    on_cpu(|| {
        let (x, y) = line();
        let trained = |seed| {
            let mut model = compiled(Compile::new(Adam::new().learning_rate(0.1), "mse"));
            model.fit(&x, &y, quiet().epochs(2).batch_size(3).seed(seed)).unwrap();
            model.weight()
        };
        assert_eq!(trained(1), trained(1));
        assert_ne!(trained(1), trained(2));
    });
}

#[test]
fn early_stopping_stops_and_restores_the_best_weights() {
    on_cpu(|| {
        let (x, y) = line();
        let mut model = compiled(Compile::new(Sgd::new().learning_rate(0.1), "mse"));
        let mut early = EarlyStopping::new("loss").patience(2).restore_best_weights(true);
        let mut weights = vec![];
        let spoil = LambdaCallback::new().on_epoch_end(|epoch, _, model| {
            weights.push(model.variables()[0].read().to_vec::<f32>()?);
            if epoch == 2 { model.set_learning_rate(2.5) } else { Ok(()) }
        });
        let settings = quiet().epochs(20).batch_size(11).callback(&mut early).callback(spoil);
        let history = model.fit(&x, &y, settings).unwrap();
        // One long step still helps; then it diverges.
        assert_eq!(history.epoch.len(), 7, "{history:?}");
        assert_eq!(early.best_epoch(), 4);
        assert_eq!((early.stopped_epoch(), model.weight()), (Some(6), weights.swap_remove(4)));
    });
}

#[test]
fn learning_rates_change_without_compiling_again() {
    on_cpu(|| {
        let (x, y) = line();
        let mut model = compiled(Compile::new(Sgd::new().learning_rate(0.5), "mse"));
        let halve = LearningRateScheduler::new(|_, rate| rate / 2.0);
        let history = model.fit(&x, &y, quiet().epochs(3).batch_size(11).callback(halve)).unwrap();
        assert_eq!(history.get("learning_rate"), [0.25, 0.125, 0.0625]);
        let plateau = ReduceLROnPlateau::new("loss").patience(1).min_delta(1e9).factor(0.5);
        let history = model.fit(&x, &y, quiet().epochs(3).batch_size(11).callback(plateau)).unwrap();
        assert_eq!(history.get("learning_rate"), [0.0625, 0.0625, 0.03125]);
        assert_eq!(steps(&model).len(), 1, "{:#?}", model.trace_report());

        let falling = Sgd::new().learning_rate(ExponentialDecay::new(0.5, 1, 0.5));
        let mut model = compiled(Compile::new(falling, "mse"));
        model.fit(&x, &y, quiet().epochs(2).batch_size(11)).unwrap();
        assert!((model.learning_rate().unwrap() - 0.125).abs() < 1e-6);
        assert!(model.set_learning_rate(0.1).unwrap_err().to_string().contains("schedule"));
    });
}

#[test]
fn accuracy_is_resolved_by_shapes_and_names_stay_apart() {
    on_cpu(|| {
        let x = Tensor::from_vec([1.0f32, 0.0, 0.0, 1.0], &[2, 2]);
        let labels = Tensor::from_slice(&[0i32, 1]);
        let mut model = Affine::new(2);
        let loss = SparseCategoricalCrossentropy::new().from_logits(true);
        let largest = FunctionMetric::new("largest", |_: &Tensor, p: &Tensor| p.max(-1)).unwrap();
        let compile = Compile::new(Adam::new().learning_rate(0.1), loss).metrics(["accuracy", "accuracy"]);
        model
            .compile(compile.metric(largest).metric(("zero", |_: &Tensor, p: &Tensor| p.zeros_like())))
            .unwrap();
        let history = model.fit(&x, &labels, quiet().epochs(5).class_weight([(1, 2.0)])).unwrap();
        let names: Vec<&str> = history.history.keys().map(String::as_str).collect();
        assert_eq!(names, ["accuracy", "accuracy_1", "largest", "loss", "zero"]);
        assert_eq!(history.last("accuracy"), Some(1.0));
        assert_eq!(history.last("zero"), Some(0.0));
    });
}

/// Steps by the sign of the gradient, counting steps in a slot.
struct SignDescent;

impl Rule for SignDescent {
    fn class_name(&self) -> &'static str {
        "SignDescent"
    }

    fn slots(&self) -> Vec<&'static str> {
        vec!["steps"]
    }

    fn update(&self, step: &Step<'_>) -> Update {
        let variable = step.variable - step.gradient.sign() * step.learning_rate;
        Update { variable, slots: vec![&step.slots[0] + 1.0] }
    }
}

#[test]
fn optimizers_of_ones_own_and_constraints() {
    on_cpu(|| {
        let w = Variable::new(&Tensor::from_slice(&[1.0f32, -1.0])).unwrap().named("w");
        let v = Variable::new(&Tensor::from_slice(&[5.0f32])).unwrap().named("v");
        let variables = [w.clone(), v.clone()];
        let mut optimizer = Optimizer::new(SignDescent).learning_rate(0.5);
        optimizer.constrain(&w, |w: &Tensor| w.maximum(0.0));
        optimizer.build(&variables).unwrap();
        let gradients = [Tensor::from_slice(&[3.0f32, 2.0]), Tensor::from_slice(&[-1.0f32])];
        optimizer.apply(&gradients, &variables).unwrap();
        assert_eq!(w.read().to_vec::<f32>().unwrap(), [0.5, 0.0]);
        assert_eq!(v.read().to_vec::<f32>().unwrap(), [5.5]);
        assert_eq!(optimizer.variables()[2].read().to_vec::<f32>().unwrap(), [1.0; 3]);
        assert_eq!(optimizer.iterations().unwrap(), 1);
        let error = optimizer.apply(&gradients[..1], &variables).unwrap_err().to_string();
        assert!(error.contains("expected 2 gradients") && error.contains("fit.rs"), "{error}");
        let error = optimizer.apply(&gradients, &[v, w]).unwrap_err().to_string();
        assert!(error.contains("same order"), "{error}");
    });
}

#[test]
fn weight_decay_passes_over_what_is_excluded() {
    on_cpu(|| {
        let named = |name: &str| Variable::new(&Tensor::from_slice(&[1.0f32])).unwrap().named(name);
        let variables = [named("kernel"), named("bias")];
        let mut optimizer =
            AdamW::new().learning_rate(0.1).weight_decay(0.5).exclude_from_weight_decay(&["bias"]);
        optimizer.build(&variables).unwrap();
        let none = [Tensor::zeros(&[1]), Tensor::zeros(&[1])];
        optimizer.apply(&none, &variables).unwrap();
        let values: Vec<f32> = variables.iter().map(|v| v.read().item().unwrap()).collect();
        assert!((values[0] - 0.95).abs() < 1e-6 && values[1] == 1.0, "{values:?}");
    });
}

#[test]
fn mistakes_say_what_to_do() {
    on_cpu(|| {
        let (x, y) = line();
        let said = |result: Result<kiln_nn::history::History>| result.unwrap_err().to_string();
        let mut model = Affine::new(1);
        assert!(said(model.fit(&x, &y, quiet())).contains("call compile before it"));
        let error = model.compile(Compile::new("adamm", "mse")).unwrap_err().to_string();
        assert!(error.contains("did you mean: adam"), "{error}");
        let error = model.compile(Compile::new("adam", "mse").metric("accurracy")).unwrap_err().to_string();
        assert!(error.contains("accuracy"), "{error}");
        model.compile(Compile::new("adam", "mse")).unwrap();
        assert!(
            said(model.fit(&x, &y.slice_axis(0, 0, 5), quiet())).contains("as many samples in y as in x")
        );
        assert!(said(model.fit(&Tensor::zeros(&[0, 1]), &y, quiet())).contains("at least one sample"));
        assert!(said(model.fit(&x, &y, quiet().batch_size(0))).contains("batch size"));
        assert!(said(model.fit(&x, &y, quiet().validation_split(0.99))).contains("not enough"));
        assert!(said(model.fit(&x, &Tensor::zeros(&[11, 3]), quiet())).contains("3 units instead of 1"));
        let unknown = EarlyStopping::new("val_loss");
        assert!(said(model.fit(&x, &y, quiet().callback(unknown))).contains("validation_split"));
        let two = Sgd::new().clipnorm(1.0).clipvalue(1.0);
        model.compile(Compile::new(two, "mse")).unwrap();
        assert!(said(model.fit(&x, &y, quiet())).contains("only one of clipnorm"));
    });
}

#[test]
fn a_label_without_a_unit_is_reported_with_the_way_out() {
    on_cpu(|| {
        let mut model = Affine::new(3);
        model.compile(Compile::new("sgd", "sparse_categorical_crossentropy")).unwrap();
        let labels = Tensor::from_slice(&[0i32, 7]);
        let error = model.fit(&Tensor::ones(&[2, 2]), &labels, quiet()).unwrap_err().to_string();
        assert!(error.contains('7') && error.contains("3 units"), "{error}");
    });
}

#[test]
fn a_nan_loss_is_an_error_unless_a_callback_stops() {
    on_cpu(|| {
        let (x, y) = line();
        let broken = |_: &Tensor, p: &Tensor| (p - 1.0).log().mean(-1);
        let mut model = compiled(Compile::new("sgd", broken));
        let error = model.fit(&x, &y, quiet().epochs(3)).unwrap_err().to_string();
        assert!(error.contains("NaN after epoch 1") && error.contains("TerminateOnNaN"), "{error}");
        let history = model.fit(&x, &y, quiet().epochs(3).callback(TerminateOnNaN::new())).unwrap();
        assert_eq!(history.epoch, [0]);
    });
}

#[test]
fn logs_are_written_as_a_table() {
    on_cpu(|| {
        let (x, y) = line();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log.csv");
        let mut model = compiled(Compile::new(RmsProp::new(), "mse").metric("mae"));
        model.fit(&x, &y, quiet().epochs(2).callback(CsvLogger::new(&path))).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!((lines.len(), lines[0]), (3, "epoch,loss,mae"));
        assert!(lines[2].starts_with("1,"));
    });
}

#[test]
fn weights_are_restored_from_a_snapshot() {
    on_cpu(|| {
        let (x, y) = line();
        let mut model = compiled(Compile::new("sgd", "mse"));
        let mut kept = vec![];
        let keep = LambdaCallback::new().on_train_begin(|model| {
            kept = model.weights();
            Ok(())
        });
        model.fit(&x, &y, quiet().epochs(2).callback(keep)).unwrap();
        assert_ne!(model.weight(), [0.0]);
        assert_eq!(kept[0].to_vec::<f32>().unwrap(), [0.0]);
        let logs: Logs = model.train_on_batch(&x, &y, None).unwrap();
        assert!(logs["loss"].is_finite());
        assert_eq!(kept[0].dtype(), DType::F32);
    });
}
