//! Runs a recipe every way there is and compares with the interpreter.

use kiln_graph::interpret::interpret_tensors;
use kiln_graph::{DType, Device, Function, Result, Tensor, Variable, gradients, with_device};

use crate::recipe::{Holder, Recipe};
use crate::support::{computed, unit};

/// Step of the descent that a function's variables without an assignment make.
const RATE: f32 = 0.125;

/// The values that are compared: outputs, gradients, values assigned.
struct Results {
    outputs: Vec<Tensor>,
    /// Of the leaves that are differentiated for, by leaf.
    gradients: Vec<(usize, Tensor)>,
    assigned: Vec<Tensor>,
}

impl Results {
    fn all(&self) -> Vec<Tensor> {
        let gradients = self.gradients.iter().map(|g| &g.1);
        self.outputs.iter().chain(gradients).chain(&self.assigned).cloned().collect()
    }
}

/// Builds everything that is compared over given leaves.
fn results(recipe: &Recipe, leaves: &[Tensor], stored: bool) -> Result<Results> {
    let values = recipe.build(leaves, stored);
    let mut loss: Option<Tensor> = None;
    for id in recipe.outputs.iter().filter(|i| smooth(recipe, **i)) {
        let y = values[*id].cast(DType::F32);
        let weights: Vec<f32> = (0..y.len()).map(|i| (0.5 + unit(i, *id)) as f32).collect();
        let term = (&y * Tensor::from_vec(weights, y.shape())).sum(()) * (1.0 / y.len().max(1) as f32);
        loss = Some(loss.map_or(term.clone(), |l| l + &term));
    }
    let targets: Vec<usize> =
        (0..recipe.leaves.len()).filter(|n| recipe.leaves[*n].dtype == DType::F32).collect();
    let of: Vec<Tensor> = targets.iter().map(|n| leaves[*n].clone()).collect();
    let found = loss.map_or(Ok(vec![]), |loss| gradients(&loss, &of))?;
    Ok(Results {
        outputs: recipe.outputs.iter().map(|i| values[*i].clone()).collect(),
        gradients: targets.into_iter().zip(found).collect(),
        assigned: recipe.assigns.iter().map(|a| values[a.1].clone()).collect(),
    })
}

/// A float whose gradient is well defined.
fn smooth(recipe: &Recipe, id: usize) -> bool {
    let facts = &recipe.facts[id];
    facts.dtype.is_float() && !facts.rough
}

/// How far the elements of the results may be off, in the order of [`Results::all`]; and their names.
fn limits(recipe: &Recipe, results: &Results, expected: &[Vec<f64>]) -> Vec<(String, f64)> {
    let coarsest = recipe.facts.iter().map(|f| f.rounding).fold(0.0, f64::max);
    let value = |id: &usize| {
        let facts = &recipe.facts[*id];
        let exact = facts.exact || !facts.dtype.is_float();
        (format!("v{id}"), if exact { 0.0 } else { 512.0 * facts.rounding * facts.bound.max(1.0) })
    };
    let outputs = recipe.outputs.iter().map(value);
    let first = recipe.outputs.len();
    let largest = expected[first..first + results.gradients.len()]
        .iter()
        .flatten()
        .fold(1.0f64, |m, x| if x.is_finite() { m.max(x.abs()) } else { m });
    let gradient =
        |(leaf, _): &(usize, Tensor)| (format!("gradient of leaf {leaf}"), 4096.0 * coarsest * largest);
    let assigned = recipe.assigns.iter().map(|a| value(&a.1));
    outputs.chain(results.gradients.iter().map(gradient)).chain(assigned).collect()
}

fn compare(
    way: &str,
    name: &str,
    limit: f64,
    got: &[f64],
    expected: &[f64],
) -> std::result::Result<(), String> {
    if got.len() != expected.len() {
        return Err(format!("{way}: {name} has {} elements, not {}", got.len(), expected.len()));
    }
    for (i, (got, expected)) in got.iter().zip(expected).enumerate() {
        let same = got == expected || got.is_nan() && expected.is_nan();
        // Not `>`: a NaN on one side is a difference.
        let near = (got - expected).abs() <= limit;
        if !same && !near {
            return Err(format!("{way}: {name}[{i}] is {got}, not {expected} (± {limit:.1e})"));
        }
    }
    Ok(())
}

/// Checks a recipe on a device: fused, every step alone, and as a function with state.
pub(crate) fn check(recipe: &Recipe, device: &Device) -> std::result::Result<(), String> {
    with_device(device, || check_here(recipe)).map_err(|e| format!("{e}\n{recipe}"))
}

fn check_here(recipe: &Recipe) -> std::result::Result<(), String> {
    let said = |way: &'static str| move |e: kiln_graph::Error| format!("{way}: {e}");
    let leaves: Vec<Tensor> = recipe.leaves.iter().map(|l| l.tensor()).collect();
    let fused = results(recipe, &leaves, false).map_err(said("built"))?;
    let all = fused.all();
    let expected = interpret_tensors(&all).map_err(said("interpreted"))?;
    let limits = limits(recipe, &fused, &expected);
    Tensor::eval_all(&all).map_err(said("fused"))?;
    for (i, tensor) in all.iter().enumerate() {
        let got = computed(tensor).map_err(said("fused"))?;
        compare("fused", &limits[i].0, limits[i].1, &got, &expected[i])?;
    }
    let leaves: Vec<Tensor> = recipe.leaves.iter().map(|l| l.tensor()).collect();
    let stored = results(recipe, &leaves, true).map_err(said("built with barriers"))?.all();
    Tensor::eval_all(&stored).map_err(said("stored"))?;
    for (i, tensor) in stored.iter().enumerate() {
        let got = computed(tensor).map_err(said("stored"))?;
        compare("stored", &limits[i].0, limits[i].1, &got, &expected[i])?;
    }
    alone(recipe, &expected, &limits)?;
    as_function(recipe, &fused, &expected, &limits)
}

/// Computes every value by a program of its own.
fn alone(
    recipe: &Recipe,
    expected: &[Vec<f64>],
    limits: &[(String, f64)],
) -> std::result::Result<(), String> {
    let said = |e: kiln_graph::Error| format!("alone: {e}");
    let leaves: Vec<Tensor> = recipe.leaves.iter().map(|l| l.tensor()).collect();
    let values = recipe.build(&leaves, false);
    for value in &values {
        value.eval().map_err(said)?;
    }
    for (i, id) in recipe.outputs.iter().enumerate() {
        let got = computed(&values[*id]).map_err(said)?;
        compare("alone", &limits[i].0, limits[i].1, &got, &expected[i])?;
    }
    Ok(())
}

/// The leaves of a function's trace: constants, arguments and variables read.
fn leaves_of(recipe: &Recipe, arguments: &[Tensor], variables: &[Option<Variable>]) -> Vec<Tensor> {
    let mut arguments = arguments.iter();
    let leaf = |(n, leaf): (usize, &crate::recipe::Leaf)| match (&variables[n], leaf.holder) {
        (Some(variable), _) => variable.read(),
        (None, Holder::Argument) => arguments.next().cloned().unwrap_or_else(|| leaf.tensor()),
        (None, _) => leaf.tensor(),
    };
    recipe.leaves.iter().enumerate().map(leaf).collect()
}

/// The recipe as a function: variables without an assignment descend along their gradient.
fn as_function(
    recipe: &Recipe,
    fused: &Results,
    expected: &[Vec<f64>],
    limits: &[(String, f64)],
) -> std::result::Result<(), String> {
    let said = |e: kiln_graph::Error| format!("function: {e}");
    let variable = |leaf: &crate::recipe::Leaf| {
        (leaf.holder == Holder::Variable).then(|| Variable::new(&leaf.tensor())).transpose()
    };
    let variables = recipe.leaves.iter().map(variable).collect::<Result<Vec<_>>>().map_err(said)?;
    if recipe.packed {
        for dtype in DType::ALL {
            let of: Vec<Variable> =
                variables.iter().flatten().filter(|v| v.dtype() == dtype).cloned().collect();
            if of.len() > 1 {
                Variable::pack(&of).map_err(said)?;
            }
        }
    }
    let arguments: Vec<Tensor> =
        recipe.leaves.iter().filter(|l| l.holder == Holder::Argument).map(|l| l.tensor()).collect();
    let body = {
        let (recipe, variables) = (recipe.clone(), variables.clone());
        move |arguments: &[Tensor]| {
            let leaves = leaves_of(&recipe, arguments, &variables);
            let results = results(&recipe, &leaves, false)?;
            for ((leaf, _), value) in recipe.assigns.iter().zip(&results.assigned) {
                variables[*leaf].as_ref().map_or(Ok(()), |v| v.assign(value))?;
            }
            for (leaf, gradient) in &results.gradients {
                if let Some(variable) = descending(&recipe, &variables, *leaf) {
                    variable.assign_sub(&(gradient * RATE))?;
                }
            }
            Ok(results.outputs)
        }
    };
    let outputs = Function::new("recipe", body).call(&arguments).map_err(said)?;
    for (i, tensor) in outputs.iter().enumerate() {
        let got = computed(tensor).map_err(said)?;
        compare("function", &limits[i].0, limits[i].1, &got, &expected[i])?;
    }
    let first_gradient = recipe.outputs.len();
    let first_assigned = first_gradient + fused.gradients.len();
    for (i, (leaf, _)) in recipe.assigns.iter().enumerate() {
        let Some(variable) = &variables[*leaf] else { continue };
        let got = computed(&variable.read()).map_err(said)?;
        let at = first_assigned + i;
        compare("function", &format!("variable {leaf}"), limits[at].1, &got, &expected[at])?;
    }
    for (i, (leaf, _)) in fused.gradients.iter().enumerate() {
        let Some(variable) = descending(recipe, &variables, *leaf) else { continue };
        let at = first_gradient + i;
        let before = recipe.leaves[*leaf].numbers();
        let after: Vec<f64> = before.iter().zip(&expected[at]).map(|(x, g)| x - RATE as f64 * g).collect();
        let got = computed(&variable.read()).map_err(said)?;
        compare("function", &format!("descended variable {leaf}"), limits[at].1, &got, &after)?;
    }
    Ok(())
}

fn descending<'a>(recipe: &Recipe, variables: &'a [Option<Variable>], leaf: usize) -> Option<&'a Variable> {
    let assigned = recipe.assigns.iter().any(|a| a.0 == leaf);
    variables[leaf].as_ref().filter(|_| !assigned)
}
