//! A chain of layers.

use std::cell::Cell;
use std::path::Path;

use kiln_graph::{At, Error as GraphError, Tensor, Variable};
use serde_json::{Value, json};

use crate::error::{Error, Result, here, seen_from};
use crate::layer::{Context, Dims, Layer, Seeds, shape_text};
use crate::layers::{self, InputLayer};
use crate::serialize::{Fields, object, parts};
use crate::training::{Model, Trainer};
use crate::{summary, weights};

/// A layer of a model, with the name it has there.
pub(crate) struct Entry {
    pub(crate) name: String,
    pub(crate) layer: Box<dyn Layer>,
    /// Set where the model freezes the layer or lets it be trained; the layer itself may say so too.
    trainable: Option<bool>,
}

/// Layers one after another.
///
/// With an [`InputLayer`] first, every layer is built when it is added; else all are built at the first use, or by
/// [`Sequential::build`]. Layers without a name are numbered by class: `dense`, `dense_1`. A model is a layer too.
///
/// ```
/// use kiln_nn::activations::relu;
/// use kiln_nn::layers::{Dense, Input};
/// use kiln_nn::{Layer, Sequential};
/// let model = Sequential::new()
///     .add(Input::new([784]))
///     .add(Dense::new(64).activation(relu))
///     .add(Dense::new(10));
/// assert_eq!(model.layer_names(), ["dense", "dense_1"]);
/// assert_eq!(model.variables()[0].name(), "dense/kernel");
/// assert_eq!(model.count_params(), 50_890);
/// ```
pub struct Sequential {
    name: Option<String>,
    trainable: bool,
    entries: Vec<Entry>,
    /// The input that an input layer declared.
    declared: Option<Dims>,
    /// What goes in and comes out, once that is known: then all layers are built.
    shapes: Option<(Dims, Dims)>,
    seeds: Seeds,
    /// The first mistake of the chain, reported by whatever can report.
    failed: Option<String>,
    trainer: Trainer,
}

thread_local! {
    /// Models made on this thread: without a seed each gets its own, the same in every run.
    static MODELS: Cell<u64> = const { Cell::new(0) };
}

impl Default for Sequential {
    fn default() -> Sequential {
        let seed = MODELS.replace(MODELS.get() + 1);
        let mut trainer = Trainer::new();
        trainer.set_seed(seed);
        Sequential {
            name: None,
            trainable: true,
            entries: vec![],
            declared: None,
            shapes: None,
            seeds: Seeds::new(seed),
            failed: None,
            trainer,
        }
    }
}

impl Sequential {
    /// A model without layers.
    pub fn new() -> Sequential {
        Sequential::default()
    }

    /// The model's name, `sequential` by default.
    pub fn named(mut self, name: impl Into<String>) -> Sequential {
        self.name = Some(name.into());
        self
    }

    /// The seed of initial weights, dropout masks and shuffling; call it before layers are added. By default it is the number of
    /// the model on its thread, so that runs repeat.
    pub fn seed(mut self, seed: u64) -> Sequential {
        if self.entries.is_empty() {
            self.seeds = Seeds::new(seed);
            self.trainer.set_seed(seed);
        } else {
            self.fail("the seed must be given before the first layer is added".into());
        }
        self
    }

    /// The model with one more layer. A mistake is reported at the first use; [`Sequential::push`] reports at once.
    #[expect(clippy::should_implement_trait, reason = "Keras' name; it adds a layer, not a number")]
    #[must_use = "add returns the model; use push to change it in place"]
    pub fn add(mut self, layer: impl Into<Box<dyn Layer>>) -> Sequential {
        if let Err(error) = self.push(layer) {
            self.fail(error.to_string());
        }
        self
    }

    /// Adds a layer.
    ///
    /// # Errors
    /// Where the name is taken, an input layer is not first, or the layer cannot take what comes out of the last one.
    #[track_caller]
    pub fn push(&mut self, layer: impl Into<Box<dyn Layer>>) -> Result<()> {
        let (at, layer) = (here(), layer.into());
        self.check()?;
        if self.entries.is_empty() && self.declared.is_none() {
            self.declared = layer.input_shape();
            self.shapes = self.declared.clone().map(|shape| (shape.clone(), shape));
        } else if layer.class_name() == INPUT {
            return Err(self.invalid("an input layer must come first; it was added after other layers"));
        }
        if layer.class_name() == INPUT {
            return Ok(());
        }
        let name = self.name_for(&*layer)?;
        let mut entry = Entry { name, layer, trainable: None };
        if let Some((_, output)) = &mut self.shapes {
            *output = entry.build(output, &mut self.seeds).map_err(|error| error.seen_from(at))?;
        }
        self.entries.push(entry);
        Ok(())
    }

    /// Builds every layer for an input, batch first; nothing where that has been done.
    ///
    /// # Errors
    /// Where a layer cannot take its input.
    #[track_caller]
    pub fn build(&mut self, input: &[Option<usize>]) -> Result<()> {
        let at = here();
        self.check()?;
        if self.shapes.is_some() {
            return Ok(());
        }
        let mut output = input.to_vec();
        for entry in &mut self.entries {
            output = entry.build(&output, &mut self.seeds).map_err(|error| error.seen_from(at))?;
        }
        self.shapes = Some((input.to_vec(), output));
        Ok(())
    }

    /// True once all layers have their weights.
    pub fn is_built(&self) -> bool {
        self.shapes.is_some() && self.failed.is_none()
    }

    /// What goes in, batch first, once it is known.
    pub fn input_dims(&self) -> Option<&[Option<usize>]> {
        self.shapes.as_ref().map(|(input, _)| &input[..])
    }

    /// What comes out, batch first, once it is known.
    pub fn output_dims(&self) -> Option<&[Option<usize>]> {
        self.shapes.as_ref().map(|(_, output)| &output[..])
    }

    /// The first mistake made while layers were added.
    ///
    /// # Errors
    /// That mistake.
    pub fn check(&self) -> Result<()> {
        match &self.failed {
            Some(message) => Err(Error::invalid(self.own_name(), message.clone())),
            None => Ok(()),
        }
    }

    /// The names of the layers, in order.
    pub fn layer_names(&self) -> Vec<&str> {
        self.entries.iter().map(|e| e.name.as_str()).collect()
    }

    /// A layer by its name.
    ///
    /// # Errors
    /// Where there is none of that name.
    pub fn layer(&self, name: &str) -> Result<&dyn Layer> {
        self.find(name).map(|index| &*self.entries[index].layer)
    }

    /// Freezes a layer or lets it be trained.
    ///
    /// # Errors
    /// Where there is none of that name.
    pub fn set_layer_trainable(&mut self, name: &str, trainable: bool) -> Result<()> {
        let index = self.find(name)?;
        let entry = &mut self.entries[index];
        entry.trainable = Some(trainable);
        entry.layer.set_trainable(trainable);
        Ok(())
    }

    /// Keras' table of layers, shapes and parameters.
    ///
    /// ```
    /// use kiln_nn::layers::{Dense, Input};
    /// use kiln_nn::Sequential;
    /// let model = Sequential::new().add(Input::new([3])).add(Dense::new(10));
    /// assert!(model.summary().contains("Total params: 40 (160.00 B)"));
    /// ```
    pub fn summary(&self) -> String {
        summary::text(self.own_name(), &self.entries, self.input_dims(), self.failed.as_deref())
    }

    /// [`weights::save_weights`] of this model.
    ///
    /// # Errors
    /// As there.
    pub fn save_weights(&self, path: impl AsRef<Path>) -> Result<()> {
        self.check()?;
        weights::save_weights(self, path)
    }

    /// [`weights::load_weights`] into this model.
    ///
    /// # Errors
    /// As there.
    pub fn load_weights(&self, path: impl AsRef<Path>) -> Result<()> {
        self.check()?;
        weights::load_weights(self, path)
    }

    pub(crate) fn read(f: &mut Fields<'_>) -> Result<Sequential> {
        let mut model = Sequential { name: f.optional("name")?, ..Sequential::new() };
        let trainable = f.or("trainable", true)?;
        f.value("dtype");
        let entries: Vec<Value> = f.required("layers")?;
        for entry in &entries {
            let (class, config) = parts("layers", entry)?;
            model.push(layers::from_config(class, config)?)?;
        }
        if let Some(shape) = f.optional::<Dims>("build_input_shape")? {
            model.build(&shape)?;
        }
        if !trainable {
            Layer::set_trainable(&mut model, false);
        }
        Ok(model)
    }

    fn own_name(&self) -> &str {
        self.name.as_deref().unwrap_or("sequential")
    }

    fn fail(&mut self, message: String) {
        self.failed.get_or_insert(message);
    }

    fn invalid(&self, message: impl Into<String>) -> Error {
        Error::invalid(self.own_name(), message)
    }

    fn find(&self, name: &str) -> Result<usize> {
        self.entries.iter().position(|e| e.name == name).ok_or_else(|| {
            self.invalid(format!("no such layer: {name}; existing layers are {:?}", self.layer_names()))
        })
    }

    /// The layer's own name, or its class in snake case with the first number that is free.
    fn name_for(&self, layer: &dyn Layer) -> Result<String> {
        let taken = |name: &str| self.entries.iter().any(|e| e.name == name);
        if let Some(name) = layer.name() {
            return match taken(name) {
                false => Ok(name.into()),
                true => Err(self.invalid(format!(
                    "all layers added to a Sequential model should have unique names: `{name}` is already the name of a \
                     layer in this model; give one of them another with `named`"
                ))),
            };
        }
        let stem = snake_case(layer.class_name());
        let numbered = (1..).map(|n| format!("{stem}_{n}"));
        Ok(std::iter::once(stem.clone()).chain(numbered).find(|name| !taken(name)).unwrap_or(stem))
    }
}

const INPUT: &str = "InputLayer";

impl Entry {
    /// Builds the layer, puts its name before those of its variables, and gives the output's shape.
    fn build(&mut self, input: &[Option<usize>], seeds: &mut Seeds) -> Result<Dims> {
        let result = self.layer.build(input, seeds).and_then(|()| self.layer.output_shape(input));
        let output = result.map_err(|error| match error {
            Error::Invalid { what, message } if what == self.layer.class_name() => {
                Error::invalid(self.name.clone(), message)
            }
            other => other,
        })?;
        for variable in self.layer.variables().iter().chain(&self.layer.state()) {
            variable.set_name(format!("{}/{}", self.name, variable.name()));
        }
        if let Some(trainable) = self.trainable {
            self.layer.set_trainable(trainable);
        }
        Ok(output)
    }

    /// The layer's output; an error that arises here names the layer.
    fn call(&self, input: &Tensor, context: &Context, caller: At) -> Tensor {
        let output = self.layer.call(input, context);
        match (input.error(), output.error()) {
            (None, Some(GraphError::Operation { op, message, at })) => {
                let message = format!("{message} (in layer `{}`)", self.name);
                Tensor::from(seen_from(GraphError::Operation { op, message, at: *at }, caller))
            }
            _ => output,
        }
    }
}

impl Layer for Sequential {
    fn class_name(&self) -> &'static str {
        "Sequential"
    }

    fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    #[track_caller]
    fn build(&mut self, input: &[Option<usize>], seeds: &mut Seeds) -> Result<()> {
        if self.shapes.is_none() {
            self.seeds = seeds.clone();
            Sequential::build(self, input)?;
            *seeds = self.seeds.clone();
        }
        self.check()
    }

    fn output_shape(&self, input: &[Option<usize>]) -> Result<Dims> {
        self.check()?;
        self.entries.iter().try_fold(input.to_vec(), |shape, entry| entry.layer.output_shape(&shape))
    }

    #[track_caller]
    fn call(&self, input: &Tensor, context: &Context) -> Tensor {
        if let Some(message) = &self.failed {
            return Tensor::invalid("sequential", message.clone());
        }
        if let Some(declared) = self.declared.as_ref().filter(|d| !accepts(d, input.shape())) {
            let message = format!(
                "input of model `{}` is incompatible: expected shape {}, received {:?}",
                self.own_name(),
                shape_text(declared),
                input.shape()
            );
            return if input.error().is_some() {
                input.clone()
            } else {
                Tensor::invalid("sequential", message)
            };
        }
        let at = here();
        self.entries.iter().fold(input.clone(), |x, entry| entry.call(&x, context, at))
    }

    fn variables(&self) -> Vec<Variable> {
        self.entries.iter().flat_map(|e| e.layer.variables()).collect()
    }

    fn set_trainable(&mut self, trainable: bool) {
        self.trainable = trainable;
        for entry in &mut self.entries {
            entry.trainable = Some(trainable);
            entry.layer.set_trainable(trainable);
        }
    }

    fn input_shape(&self) -> Option<Dims> {
        self.declared.clone()
    }

    fn layers(&self) -> Vec<&dyn Layer> {
        self.entries.iter().map(|e| &*e.layer).collect()
    }

    fn config(&self) -> Value {
        let mut layers = vec![];
        if let Some(shape) = &self.declared {
            layers.push(object("keras.layers", INPUT, InputLayer::batch_shape(shape.clone()).config()));
        }
        for entry in &self.entries {
            let mut config = entry.layer.config();
            config["name"] = json!(entry.name);
            if let Some(trainable) = entry.trainable {
                config["trainable"] = json!(trainable);
            }
            let module = if entry.layer.class_name() == "Sequential" { "keras" } else { "keras.layers" };
            layers.push(object(module, entry.layer.class_name(), config));
        }
        let (name, input) = (self.own_name(), self.input_dims());
        json!({ "name": name, "trainable": self.trainable, "layers": layers, "build_input_shape": input })
    }
}

impl Model for Sequential {
    fn trainer(&self) -> &Trainer {
        &self.trainer
    }

    fn trainer_mut(&mut self) -> &mut Trainer {
        &mut self.trainer
    }
}

impl std::fmt::Debug for Sequential {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Sequential({}, {:?})", self.own_name(), self.layer_names())
    }
}

/// True where a tensor has the declared shape.
fn accepts(declared: &[Option<usize>], shape: &[usize]) -> bool {
    declared.len() == shape.len() && declared.iter().zip(shape).all(|(d, n)| d.is_none_or(|d| d == *n))
}

/// Keras' snake case: `MaxPooling2D` is `max_pooling2d`, `ReLU` is `re_lu`.
pub(crate) fn snake_case(class: &str) -> String {
    let letters: Vec<char> = class.chars().collect();
    let mut name = String::new();
    for (i, letter) in letters.iter().enumerate() {
        let after_lower = i > 0 && letters[i - 1].is_ascii_lowercase();
        let before_lower = i > 0 && letters.get(i + 1).is_some_and(char::is_ascii_lowercase);
        if letter.is_ascii_uppercase() && (after_lower || before_lower) {
            name.push('_');
        }
        name.push(letter.to_ascii_lowercase());
    }
    name
}

#[cfg(test)]
mod tests;
