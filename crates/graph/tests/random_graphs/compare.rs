//! Runs a recipe every way there is and compares with the interpreter.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use kiln_graph::graph::NodeId;
use kiln_graph::interpret::{graph_of, interpret_tensors};
use kiln_graph::{DType, Device, Error, Function, Result, Tensor, Variable, gradients, with_device};

use crate::bounds::{Near, analyse, exact};
use crate::recipe::{Form, Holder, Leaf, Recipe};
use crate::support::{computed, unit};

/// Step of the descent that a function's variables without an assignment make.
const RATE: f32 = 0.125;

/// What a compared value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Output(usize),
    /// Of the loss with respect to a leaf.
    Gradient(usize),
    /// Of the gradients with respect to a leaf.
    Second(usize),
    /// What a variable is assigned, by leaf.
    Assigned(usize),
    /// What a variable is after a step of descent, by leaf.
    Descended(usize),
}

type Results = Vec<(Role, Tensor)>;

fn tensors(results: &Results) -> Vec<Tensor> {
    results.iter().map(|r| r.1.clone()).collect()
}

/// Σ weight · element over some tensors, each by its length.
fn weighted(tensors: impl Iterator<Item = (usize, Tensor)>) -> Option<Tensor> {
    let term = |(id, y): (usize, Tensor)| {
        let y = y.cast(DType::F32);
        let weights: Vec<f32> = (0..y.len()).map(|i| (0.5 + unit(i, id)) as f32).collect();
        (&y * Tensor::from_vec(weights, y.shape())).sum(()) * (1.0 / y.len().max(1) as f32)
    };
    tensors.map(term).reduce(|a, b| a + b)
}

/// Builds everything that is compared over given leaves.
fn results(recipe: &Recipe, leaves: &[Tensor], form: Form) -> Result<Results> {
    let values = recipe.build(leaves, form);
    let smooth = |id: &&usize| recipe.facts[**id].dtype.is_float() && !recipe.facts[**id].special;
    let loss = weighted(recipe.outputs.iter().filter(smooth).map(|id| (*id, values[*id].clone())));
    let float = |n: &usize| recipe.leaves[*n].dtype.is_float() && !recipe.leaves[*n].special;
    let targets: Vec<usize> = (0..recipe.leaves.len()).filter(float).collect();
    let of: Vec<Tensor> = targets.iter().map(|n| leaves[*n].clone()).collect();
    let first = loss.map_or(Ok(vec![]), |loss| gradients(&loss, &of))?;
    let second = match weighted(first.iter().cloned().enumerate()) {
        Some(loss) if recipe.twice => gradients(&loss, &of)?,
        _ => vec![],
    };
    let mut all: Results = recipe.outputs.iter().map(|id| (Role::Output(*id), values[*id].clone())).collect();
    all.extend(recipe.assigns.iter().map(|a| (Role::Assigned(a.0), values[a.1].clone())));
    for (leaf, gradient) in targets.iter().zip(&first) {
        let descends = recipe.leaves[*leaf].dtype == DType::F32
            && recipe.leaves[*leaf].holder == Holder::Variable
            && !recipe.assigns.iter().any(|a| a.0 == *leaf);
        if descends {
            all.push((Role::Descended(*leaf), &leaves[*leaf] - gradient * RATE));
        }
    }
    let named = |role: fn(usize) -> Role, found: Vec<Tensor>| {
        targets.iter().copied().map(role).zip(found).collect::<Results>()
    };
    all.extend(named(Role::Gradient, first));
    all.extend(named(Role::Second, second));
    Ok(all)
}

/// How many elements were compared, and how closely.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// All of the interpreter's elements.
    pub(crate) elements: AtomicU64,
    /// Those that must be met exactly.
    pub(crate) exact: AtomicU64,
    /// Those that must be met within a thousandth of the largest of their tensor.
    pub(crate) close: AtomicU64,
    /// Those that are not known, because rounding decides.
    pub(crate) unknown: AtomicU64,
}

impl Tally {
    fn count(&self, expected: &[Near]) {
        let add = |to: &AtomicU64, n: usize| to.fetch_add(n as u64, Ordering::Relaxed);
        let largest = expected.iter().map(|n| n.value.abs()).filter(|v| v.is_finite()).fold(1e-3, f64::max);
        add(&self.elements, expected.len());
        add(&self.exact, expected.iter().filter(|n| n.is_exact()).count());
        add(&self.close, expected.iter().filter(|n| n.error <= 1e-3 * largest).count());
        add(&self.unknown, expected.iter().filter(|n| n.is_unknown()).count());
    }

    /// The share of elements that were compared closely, and all shares in words.
    pub(crate) fn shares(&self) -> (f64, String) {
        let share = |n: &AtomicU64| {
            n.load(Ordering::Relaxed) as f64 / self.elements.load(Ordering::Relaxed).max(1) as f64
        };
        let percent = |n| (share(n) * 1000.0).round() / 10.0;
        let words = format!(
            "{} elements: {} % exactly, {} % closely, {} % decided by rounding",
            self.elements.load(Ordering::Relaxed),
            percent(&self.exact),
            percent(&self.close),
            percent(&self.unknown)
        );
        (share(&self.close), words)
    }
}

/// The ways that a recipe is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ways {
    /// All at once, every value stored, every value alone, and as a function with state.
    All,
    /// All at once, as a function with state.
    Fused,
}

impl fmt::Display for Ways {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Ways::All => "fused, stored, alone, as a function",
            Ways::Fused => "fused as a function",
        })
    }
}

type Checked = std::result::Result<(), String>;

fn said(way: &'static str) -> impl Fn(Error) -> String {
    move |e| format!("{way}: {e}")
}

struct Check<'a> {
    recipe: &'a Recipe,
    expected: Vec<(Role, Vec<Near>)>,
}

/// Checks a recipe on a device.
pub(crate) fn check(recipe: &Recipe, device: &Device, ways: Ways, tally: &Tally) -> Checked {
    with_device(device, || check_here(recipe, ways, tally)).map_err(|e| format!("{e}\n{recipe}"))
}

fn check_here(recipe: &Recipe, ways: Ways, tally: &Tally) -> Checked {
    let leaves = || recipe.leaves.iter().map(Leaf::tensor).collect::<Vec<Tensor>>();
    let fused = results(recipe, &leaves(), Form::Plain).map_err(said("built"))?;
    let check = Check { recipe, expected: expected(&fused).map_err(said("interpreted"))? };
    check.expected.iter().for_each(|e| tally.count(&e.1));
    if ways == Ways::All {
        check.together("fused", fused)?;
        let stored = results(recipe, &leaves(), Form::Stored).map_err(said("built with barriers"))?;
        // Gradients are summed in another order, which half floats show.
        let expected = expected(&stored).map_err(said("interpreted with barriers"))?;
        Check { recipe, expected }.together("stored", stored)?;
        check.alone(&leaves())?;
        check.unrolled(&leaves())?;
    }
    check.as_function()
}

/// What the interpreter makes of results, and how far off an executor may be.
fn expected(results: &Results) -> Result<Vec<(Role, Vec<Near>)>> {
    let (graph, leaves) = graph_of(&[], &tensors(results))?;
    let leaves: Vec<Vec<Near>> = leaves.iter().map(|x| exact(x)).collect();
    let nears = analyse(&graph, &leaves)?;
    let near = |(id, (role, _)): (&NodeId, &(Role, Tensor))| (*role, nears[id.index()].clone());
    Ok(graph.outputs.iter().zip(results).map(near).collect())
}

impl Check<'_> {
    fn compare(&self, way: &str, role: Role, got: &[f64]) -> Checked {
        let found = self.expected.iter().find(|e| e.0 == role);
        let (_, expected) = found.ok_or_else(|| format!("{way}: {role:?} is no result"))?;
        if got.len() != expected.len() {
            return Err(format!("{way}: {role:?} has {} elements, not {}", got.len(), expected.len()));
        }
        for (i, (got, Near { value, error, .. })) in got.iter().zip(expected).enumerate() {
            let same = got == value || got.is_nan() && value.is_nan();
            // Not `>`: a NaN on one side is a difference.
            let near = (got - value).abs() <= *error || *error == f64::INFINITY;
            if !same && !near {
                return Err(format!("{way}: {role:?}[{i}] is {got}, not {value} (± {error:.1e})"));
            }
        }
        Ok(())
    }

    /// One program of everything.
    fn together(&self, way: &'static str, results: Results) -> Checked {
        Tensor::eval_all(&tensors(&results)).map_err(said(way))?;
        results
            .iter()
            .try_for_each(|(role, tensor)| self.compare(way, *role, &computed(tensor).map_err(said(way))?))
    }

    /// Every value by a program of its own.
    fn alone(&self, leaves: &[Tensor]) -> Checked {
        let values = self.recipe.build(leaves, Form::Plain);
        values.iter().try_for_each(|value| value.eval().map(drop)).map_err(said("alone"))?;
        self.recipe.outputs.iter().try_for_each(|id| {
            self.compare("alone", Role::Output(*id), &computed(&values[*id]).map_err(said("alone"))?)
        })
    }

    /// Without branches and loops: by the interpreter, whose rounding is 2⁻²⁹ of an executor's.
    fn unrolled(&self, leaves: &[Tensor]) -> Checked {
        if !self.recipe.has_control_flow() {
            return Ok(());
        }
        let results = results(self.recipe, leaves, Form::Unrolled).map_err(said("built without loops"))?;
        let found = interpret_tensors(&tensors(&results)).map_err(said("unrolled"))?;
        for (found, (role, expected)) in found.iter().zip(&self.expected) {
            for (i, (found, near)) in found.iter().zip(expected).enumerate() {
                // A branch that is not taken may be no number, and 0 times it.
                let comparable = found.is_finite() && near.value.is_finite() && !near.is_unknown();
                let limit = near.error * 1e-6 + 1e-12 * near.value.abs();
                if comparable && (found - near.value).abs() > limit {
                    return Err(format!(
                        "{role:?}[{i}] is {} with loops, {found} without (± {limit:.1e})",
                        near.value
                    ));
                }
            }
        }
        Ok(())
    }

    /// Variables without an assignment descend along their gradient.
    fn as_function(&self) -> Checked {
        let said = said("function");
        let recipe = self.recipe;
        let variable = |leaf: &Leaf| {
            (leaf.holder == Holder::Variable).then(|| Variable::new(&leaf.tensor())).transpose()
        };
        let variables = recipe.leaves.iter().map(variable).collect::<Result<Vec<_>>>().map_err(&said)?;
        if recipe.packed {
            for dtype in DType::ALL {
                let of: Vec<Variable> =
                    variables.iter().flatten().filter(|v| v.dtype() == dtype).cloned().collect();
                if of.len() > 1 {
                    Variable::pack(&of).map_err(&said)?;
                }
            }
        }
        let arguments = recipe.leaves.iter().filter(|l| l.holder == Holder::Argument);
        let arguments: Vec<Tensor> = arguments.map(Leaf::tensor).collect();
        let f = Function::new("recipe", body(recipe.clone(), variables.clone()));
        let outputs = f.call(&arguments).map_err(&said)?;
        let returned = self.expected.iter().map(|e| &e.0).filter(|r| is_returned(r));
        for (role, tensor) in returned.zip(&outputs) {
            self.compare("function", *role, &computed(tensor).map_err(&said)?)?;
        }
        for (role, _) in &self.expected {
            let (Role::Assigned(leaf) | Role::Descended(leaf)) = role else { continue };
            let Some(variable) = &variables[*leaf] else { continue };
            self.compare("function", *role, &computed(&variable.read()).map_err(&said)?)?;
        }
        Ok(())
    }
}

fn is_returned(role: &Role) -> bool {
    matches!(role, Role::Output(_) | Role::Gradient(_) | Role::Second(_))
}

/// The leaves of a function's trace: constants, arguments and variables read.
fn leaves_of(recipe: &Recipe, arguments: &[Tensor], variables: &[Option<Variable>]) -> Vec<Tensor> {
    let mut arguments = arguments.iter();
    let leaf = |(n, leaf): (usize, &Leaf)| match (&variables[n], leaf.holder) {
        (Some(variable), _) => variable.read(),
        (None, Holder::Argument) => arguments.next().cloned().unwrap_or_else(|| leaf.tensor()),
        (None, _) => leaf.tensor(),
    };
    recipe.leaves.iter().enumerate().map(leaf).collect()
}

fn body(
    recipe: Recipe,
    variables: Vec<Option<Variable>>,
) -> impl Fn(&[Tensor]) -> Result<Vec<Tensor>> + Send + Sync + 'static {
    move |arguments: &[Tensor]| {
        let leaves = leaves_of(&recipe, arguments, &variables);
        let results = results(&recipe, &leaves, Form::Plain)?;
        for (role, value) in &results {
            let (Role::Assigned(leaf) | Role::Descended(leaf)) = role else { continue };
            variables[*leaf].as_ref().map_or(Ok(()), |v| v.assign(value))?;
        }
        Ok(results.into_iter().filter(|(role, _)| is_returned(role)).map(|r| r.1).collect())
    }
}

/// Everything that is compared, for what looks at its graph.
pub(crate) fn compared(recipe: &Recipe) -> Result<Vec<Tensor>> {
    let leaves: Vec<Tensor> = recipe.leaves.iter().map(Leaf::tensor).collect();
    Ok(tensors(&results(recipe, &leaves, Form::Plain)?))
}
