//! What all optimizers have: slabs, slots, learning rate, weight decay, clipping.

use std::panic::Location;
use std::sync::Arc;

use kiln_graph::{At, DType, Tensor, Variable, with_device};
use serde_json::{Value, json};

use super::clip::Clip;
use super::{Rule, Step, from_name};
use crate::error::{Error, Result};
use crate::schedules::LearningRate;

/// A rule with its learning rate, weight decay and clipping, and once built, its state.
///
/// Made by `Adam::new()` and the like, or with a rule of your own by [`Optimizer::new`].
pub struct Optimizer<R = Box<dyn Rule>> {
    rule: R,
    learning_rate: LearningRate,
    weight_decay: Option<f64>,
    undecayed: Vec<String>,
    clips: Vec<Clip>,
    constraints: Vec<(Variable, Arc<Constraint>)>,
    built: Option<Built>,
}

/// Brings a variable's new value back within bounds.
type Constraint = dyn Fn(&Tensor) -> Tensor + Send + Sync;

/// The state of an optimizer.
struct Built {
    variables: Vec<Variable>,
    groups: Vec<Group>,
    iterations: Variable,
    learning_rate: Variable,
}

/// The variables of one dtype, behind one another in one slab.
struct Group {
    /// Their places in the list of variables.
    members: Vec<usize>,
    slab: Variable,
    slots: Vec<Variable>,
}

impl<R: Rule> Optimizer<R> {
    /// An optimizer of a rule, with the rule's defaults.
    pub fn new(rule: R) -> Optimizer<R> {
        Optimizer {
            learning_rate: rule.default_learning_rate().into(),
            weight_decay: rule.default_weight_decay(),
            rule,
            undecayed: vec![],
            clips: vec![],
            constraints: vec![],
            built: None,
        }
    }

    /// The rule changed; before building only.
    pub(crate) fn with_rule(mut self, change: impl FnOnce(&mut R)) -> Self {
        change(&mut self.rule);
        self
    }

    /// The learning rate: a number, a schedule of [`crate::schedules`], or a closure from the `int32` step to a `float32`
    /// scalar.
    ///
    /// ```
    /// use kiln_nn::optimizers::Adam;
    /// use kiln_nn::schedules::CosineDecay;
    /// let constant = Adam::new().learning_rate(0.01);
    /// let falling = Adam::new().learning_rate(CosineDecay::new(0.01, 1000));
    /// # let _ = (constant, falling);
    /// ```
    pub fn learning_rate(mut self, learning_rate: impl Into<LearningRate>) -> Self {
        self.learning_rate = learning_rate.into();
        self
    }

    /// Takes `η · weight_decay · w` off every variable before each step; default none, 0.004 for AdamW.
    pub fn weight_decay(mut self, weight_decay: f64) -> Self {
        self.weight_decay = Some(weight_decay);
        self
    }

    /// Variables whose name contains one of these words do not decay, `"bias"` for instance.
    pub fn exclude_from_weight_decay(mut self, words: &[&str]) -> Self {
        self.undecayed.extend(words.iter().map(|w| w.to_string()));
        self
    }

    /// Limits the Euclidean norm of each variable's gradient.
    pub fn clipnorm(mut self, limit: f64) -> Self {
        self.clips.push(Clip::Norm(limit));
        self
    }

    /// Limits every element of the gradients to `−limit..=limit`.
    pub fn clipvalue(mut self, limit: f64) -> Self {
        self.clips.push(Clip::Value(limit));
        self
    }

    /// Limits the Euclidean norm of all gradients together.
    pub fn global_clipnorm(mut self, limit: f64) -> Self {
        self.clips.push(Clip::GlobalNorm(limit));
        self
    }

    /// Brings a variable's value back within bounds after every step, by a closure that keeps its shape. Before the first
    /// step is traced.
    pub fn constrain(
        &mut self,
        variable: &Variable,
        constraint: impl Fn(&Tensor) -> Tensor + Send + Sync + 'static,
    ) {
        self.constraints.push((variable.clone(), Arc::new(constraint)));
    }

    /// The class of the rule, `Adam` for instance.
    pub fn class_name(&self) -> &'static str {
        self.rule.class_name()
    }

    /// Packs the variables of each dtype into one slab, and makes the slots. Done once; building again for the same
    /// variables changes nothing.
    ///
    /// A variable belongs to one optimizer at a time: packing it for another moves it away from the first.
    ///
    /// # Errors
    /// Where it was built for other variables, there is none, one stands twice or is no float, devices differ, or the
    /// settings contradict each other.
    pub fn build(&mut self, variables: &[Variable]) -> Result<()> {
        if let Some(built) = &self.built {
            return self.stranger(built, variables).map_or(Ok(()), |message| Err(self.invalid(message)));
        }
        self.check_settings()?;
        let Some(first) = variables.first() else {
            return Err(self.invalid("expected at least one trainable variable, received none"));
        };
        if let Some(other) = variables.iter().find(|v| !v.dtype().is_float()) {
            let message = format!("expected float variables, received {other} {}", other.dtype());
            return Err(self.invalid(message));
        }
        let device = first.device();
        let built = with_device(&device, || self.state(variables))?;
        self.built = Some(built);
        Ok(())
    }

    fn state(&self, variables: &[Variable]) -> Result<Built> {
        let mut dtypes: Vec<DType> = vec![];
        for variable in variables {
            if !dtypes.contains(&variable.dtype()) {
                dtypes.push(variable.dtype());
            }
        }
        let initial = match &self.learning_rate {
            LearningRate::Constant(rate) => *rate as f32,
            LearningRate::Schedule(_) => 0.0,
        };
        Ok(Built {
            variables: variables.to_vec(),
            groups: dtypes.into_iter().map(|d| self.group(variables, d)).collect::<Result<_>>()?,
            iterations: Variable::new(&Tensor::scalar(0i32))?.named("iterations").frozen(),
            learning_rate: Variable::new(&Tensor::scalar(initial))?.named("learning_rate").frozen(),
        })
    }

    fn group(&self, variables: &[Variable], dtype: DType) -> Result<Group> {
        let members: Vec<usize> = (0..variables.len()).filter(|i| variables[*i].dtype() == dtype).collect();
        let packed: Vec<Variable> = members.iter().map(|i| variables[*i].clone()).collect();
        let slab = Variable::pack(&packed)?;
        let slot = |name: &str| {
            let zeros = Tensor::full(slab.shape(), 0.0, dtype);
            Ok(Variable::new(&zeros)?.named(format!("{}/{name}", self.class_name())).frozen())
        };
        let slots = self.rule.slots().into_iter().map(slot).collect::<Result<_>>()?;
        Ok(Group { members, slab, slots })
    }

    fn check_settings(&self) -> Result<()> {
        if let [first, second, ..] = self.clips[..] {
            let message = format!(
                "only one of clipnorm, clipvalue and global_clipnorm can be set, received {first:?} and {second:?}"
            );
            return Err(self.invalid(message));
        }
        if let Some(clip) = self.clips.iter().find(|c| c.limit().is_nan() || c.limit() <= 0.0) {
            return Err(self.invalid(format!("expected {} > 0, received {}", clip.name(), clip.limit())));
        }
        match self.learning_rate {
            LearningRate::Constant(rate) if !(rate.is_finite() && rate >= 0.0) => {
                Err(self.invalid(format!("expected a learning rate ≥ 0, received {rate}")))
            }
            _ => Ok(()),
        }
    }

    /// What differs from the variables it was built for.
    fn stranger(&self, built: &Built, variables: &[Variable]) -> Option<String> {
        if built.variables == variables {
            return None;
        }
        let unknown = variables.iter().find(|v| !built.variables.contains(v)).map(Variable::name);
        Some(format!(
            "it was built for {} variables and can only be called for these in the same order, received {}{}; make a new \
             optimizer for another set of variables",
            built.variables.len(),
            variables.len(),
            unknown.map_or_else(String::new, |n| format!(" with the unknown variable `{n}`")),
        ))
    }

    fn misuse(&self, message: String, at: &'static Location<'static>) -> kiln_graph::Error {
        kiln_graph::Error::Operation { op: self.class_name(), message, at: At(at) }
    }

    fn invalid(&self, message: impl Into<String>) -> Error {
        Error::invalid(self.class_name(), message)
    }

    /// Changes the variables by one step: one gradient for each variable, in the order of building.
    ///
    /// Inside a [`kiln_graph::Function`] the assignments are part of its program; outside they happen at once.
    ///
    /// # Errors
    /// Where it is not built, was built for other variables, or gradients do not fit.
    #[track_caller]
    pub fn apply(&self, gradients: &[Tensor], variables: &[Variable]) -> kiln_graph::Result<()> {
        let at = Location::caller();
        let error = |message: String| Err(self.misuse(message, at));
        let Some(built) = &self.built else {
            return error("call build(&variables) before the first step".into());
        };
        if let Some(message) = self.stranger(built, variables) {
            return error(message);
        }
        if gradients.len() != variables.len() {
            let (expected, received) = (variables.len(), gradients.len());
            return error(format!("expected {expected} gradients, one a variable, received {received}"));
        }
        for (gradient, variable) in gradients.iter().zip(variables) {
            gradient.check()?;
            if gradient.shape() != variable.shape() {
                let (expected, received) = (variable.shape(), gradient.shape());
                return error(format!(
                    "expected a gradient {expected:?} for {variable}, received {received:?}"
                ));
            }
        }
        let taken = built.iterations.read();
        let step = &taken + 1;
        built.iterations.assign(&step)?;
        let rate = match &self.learning_rate {
            LearningRate::Constant(_) => built.learning_rate.read(),
            LearningRate::Schedule(schedule) => schedule.call(&taken),
        };
        let gradients = match self.clips.first() {
            Some(clip) => clip.apply(gradients),
            None => gradients.to_vec(),
        };
        let step = step.cast(DType::F32);
        built.groups.iter().try_for_each(|group| self.apply_group(built, group, &gradients, &rate, &step))
    }

    fn apply_group(
        &self,
        built: &Built,
        group: &Group,
        gradients: &[Tensor],
        rate: &Tensor,
        step: &Tensor,
    ) -> kiln_graph::Result<()> {
        let dtype = group.slab.dtype();
        let flat: Vec<Tensor> =
            group.members.iter().map(|i| gradients[*i].cast(dtype).flatten_from(0)).collect();
        let rate = rate.cast(dtype);
        let mut variable = group.slab.read();
        if let Some(decay) = self.weight_decay {
            let decayed = &variable - &variable * decay * &rate;
            variable = match self.decay_mask(built, group) {
                Some(mask) => Tensor::select(&mask, decayed, variable),
                None => decayed,
            };
        }
        let slots: Vec<Tensor> = group.slots.iter().map(Variable::read).collect();
        let update = self.rule.update(&Step {
            gradient: &Tensor::concat(&flat, 0),
            variable: &variable,
            slots: &slots,
            learning_rate: &rate,
            step,
        });
        if update.slots.len() != slots.len() {
            let (expected, received) = (slots.len(), update.slots.len());
            let message = format!("expected the rule to update {expected} slots, received {received}");
            return Err(self.misuse(message, Location::caller()));
        }
        group.slab.assign(self.constrained(built, group, &update.variable))?;
        for (slot, value) in group.slots.iter().zip(&update.slots) {
            slot.assign(value)?;
        }
        Ok(())
    }

    /// The new values of a slab, those of constrained variables within their bounds.
    fn constrained(&self, built: &Built, group: &Group, values: &Tensor) -> Tensor {
        let (mut parts, mut start, mut end) = (vec![], 0i64, 0i64);
        for variable in group.members.iter().map(|i| &built.variables[*i]) {
            let next = end + variable.len() as i64;
            let mut bounds = self.constraints.iter().filter(|(v, _)| v == variable).peekable();
            if bounds.peek().is_some() {
                parts.push(values.slice_axis(0, start, end));
                let shape: Vec<i64> = variable.shape().iter().map(|d| *d as i64).collect();
                let value = values.slice_axis(0, end, next).reshape(&shape);
                parts.push(bounds.fold(value, |v, (_, constraint)| constraint(&v)).flatten_from(0));
                start = next;
            }
            end = next;
        }
        if parts.is_empty() {
            return values.clone();
        }
        parts.push(values.slice_axis(0, start, end));
        parts.retain(|part| part.error().is_some() || !part.is_empty());
        Tensor::concat(&parts, 0)
    }

    /// True where the elements of a slab decay; `None` where all do.
    fn decay_mask(&self, built: &Built, group: &Group) -> Option<Tensor> {
        let decays = |i: &usize| {
            let name = built.variables[*i].name();
            !self.undecayed.iter().any(|word| name.contains(word.as_str()))
        };
        if group.members.iter().all(decays) {
            return None;
        }
        let part =
            |i: &usize| Tensor::full(&[built.variables[*i].len()], decays(i) as u8 as f64, DType::Bool);
        Some(Tensor::concat(&group.members.iter().map(part).collect::<Vec<_>>(), 0))
    }

    /// The learning rate of the next step.
    ///
    /// # Errors
    /// Those of the device, where it has to be read from there.
    pub fn current_learning_rate(&self) -> Result<f64> {
        match (&self.learning_rate, &self.built) {
            (LearningRate::Constant(_), Some(built)) => Ok(built.learning_rate.read().item::<f32>()?.into()),
            (LearningRate::Constant(rate), None) => Ok(*rate),
            (LearningRate::Schedule(schedule), Some(built)) => {
                Ok(schedule.call(&built.iterations.read()).item::<f32>()?.into())
            }
            (LearningRate::Schedule(schedule), None) => {
                Ok(schedule.call(&Tensor::scalar(0i32)).item::<f32>()?.into())
            }
        }
    }

    /// Sets the learning rate from the next step on; compiled steps stay compiled.
    ///
    /// # Errors
    /// Where it is negative or not finite, or a schedule decides.
    pub fn set_learning_rate(&mut self, learning_rate: f64) -> Result<()> {
        if let LearningRate::Schedule(_) = self.learning_rate {
            let message =
                "a schedule decides its learning rate, so it cannot be set; make the optimizer with a number";
            return Err(self.invalid(message));
        }
        if !(learning_rate.is_finite() && learning_rate >= 0.0) {
            return Err(self.invalid(format!("expected a learning rate ≥ 0, received {learning_rate}")));
        }
        self.learning_rate = LearningRate::Constant(learning_rate);
        match &self.built {
            Some(built) => Ok(built.learning_rate.assign(Tensor::from_vec([learning_rate as f32], &[]))?),
            None => Ok(()),
        }
    }

    /// The number of steps taken.
    ///
    /// # Errors
    /// Those of the device.
    pub fn iterations(&self) -> Result<usize> {
        match &self.built {
            Some(built) => Ok(built.iterations.read().item::<i32>()? as usize),
            None => Ok(0),
        }
    }

    /// Its state: iterations, learning rate, then the slots, each flat over all variables of a dtype. Empty before
    /// building.
    pub fn variables(&self) -> Vec<Variable> {
        let Some(built) = &self.built else {
            return vec![];
        };
        let slots = built.groups.iter().flat_map(|g| g.slots.iter().cloned());
        [built.iterations.clone(), built.learning_rate.clone()].into_iter().chain(slots).collect()
    }

    /// The configuration under Keras' names.
    pub fn config(&self) -> Value {
        let mut config = self.rule.config();
        config["learning_rate"] = match &self.learning_rate {
            LearningRate::Constant(rate) => json!(rate),
            LearningRate::Schedule(s) => json!({ "class_name": s.class_name(), "config": s.config() }),
        };
        if let Some(decay) = self.weight_decay {
            config["weight_decay"] = json!(decay);
        }
        for clip in &self.clips {
            config[clip.name()] = json!(clip.limit());
        }
        config
    }
}

impl<R: Rule + 'static> Optimizer<R> {
    /// The same optimizer without its rule's type.
    pub fn boxed(self) -> Optimizer<Box<dyn Rule>> {
        Optimizer {
            rule: Box::new(self.rule),
            learning_rate: self.learning_rate,
            weight_decay: self.weight_decay,
            undecayed: self.undecayed,
            clips: self.clips,
            constraints: self.constraints,
            built: self.built,
        }
    }
}

/// What can be given as the optimizer of a model: an optimizer, or a name of Keras'.
pub trait IntoOptimizer {
    /// The optimizer itself.
    ///
    /// # Errors
    /// Where a name is unknown.
    fn into_optimizer(self) -> Result<Optimizer<Box<dyn Rule>>>;
}

impl<R: Rule + 'static> IntoOptimizer for Optimizer<R> {
    fn into_optimizer(self) -> Result<Optimizer<Box<dyn Rule>>> {
        Ok(self.boxed())
    }
}

impl IntoOptimizer for &str {
    fn into_optimizer(self) -> Result<Optimizer<Box<dyn Rule>>> {
        from_name(self)
    }
}
