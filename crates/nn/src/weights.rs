//! Weights in memory and in safetensors files.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;

use kiln_graph::{DType, Element, Tensor, Variable};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};

use crate::error::{Error, Result};
use crate::files::{Checksum, ReadBudget, atomic_write};
use crate::layer::Layer;

/// Writes all variables of a layer or model to a safetensors file, under their names (`dense/kernel`), with a checksum.
/// After a crash there is the old file or the new one.
///
/// ```
/// use kiln_nn::layers::{Dense, Input};
/// use kiln_nn::weights::{load_weights, save_weights};
/// use kiln_nn::Sequential;
/// let folder = tempfile::tempdir()?;
/// let path = folder.path().join("model.safetensors");
/// let model = || Sequential::new().add(Input::new([4])).add(Dense::new(2));
/// save_weights(&model(), &path)?;
/// load_weights(&model(), &path)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// Where there are none, two have one name, a value cannot be read or the file cannot be written.
pub fn save_weights(layer: &dyn Layer, path: impl AsRef<Path>) -> Result<()> {
    let path = path.as_ref();
    let variables = by_name(layer)?;
    let values: Vec<Tensor> = variables.values().map(Variable::read).collect();
    Tensor::eval_all(&values)?;
    let bytes = values.iter().map(host_bytes).collect::<Result<Vec<_>>>()?;
    let mut views = vec![];
    for ((name, value), bytes) in variables.keys().zip(&values).zip(&bytes) {
        let view = TensorView::new(file_dtype(value.dtype()), value.shape().to_vec(), bytes)
            .map_err(|e| file_error(path, format!("tensor `{name}`: {e}")))?;
        views.push((name.as_str(), view));
    }
    let checksum = checksum(views.iter().map(|(name, view)| (*name, view.clone())));
    let metadata = HashMap::from([
        ("format".into(), "kiln".into()),
        ("kiln".into(), env!("CARGO_PKG_VERSION").into()),
        (CHECKSUM.into(), checksum),
    ]);
    let file = safetensors::serialize(views, Some(metadata)).map_err(|e| file_error(path, e))?;
    Ok(atomic_write(path, |out| out.write_all(&file))?)
}

/// Reads all variables of a layer or model from a safetensors file. Nothing changes unless everything fits.
///
/// # Errors
/// Where the file is missing, damaged or of another model; the message names the tensor.
pub fn load_weights(layer: &dyn Layer, path: impl AsRef<Path>) -> Result<()> {
    load_weights_within(layer, path, &ReadBudget::default())
}

/// [`load_weights`] with a budget for the file.
///
/// # Errors
/// As [`load_weights`], and where the file exceeds the budget.
pub fn load_weights_within(layer: &dyn Layer, path: impl AsRef<Path>, budget: &ReadBudget) -> Result<()> {
    let path = path.as_ref();
    let bytes = budget.read(path)?;
    let variables = by_name(layer)?;
    let damaged = |why: &dyn std::fmt::Display| {
        let message = format!("the file is damaged or no safetensors file ({why}); restore it from a copy");
        file_error(path, message)
    };
    let (_, header) = SafeTensors::read_metadata(&bytes).map_err(|e| damaged(&e))?;
    let file = SafeTensors::deserialize(&bytes).map_err(|e| damaged(&e))?;
    let stored: BTreeMap<&str, TensorView<'_>> = file.iter().collect();
    if stored.len() > budget.max_tensors || stored.keys().any(|name| name.len() > budget.max_name_len) {
        let message = format!(
            "expected at most {} tensors with names of {} bytes",
            budget.max_tensors, budget.max_name_len
        );
        return Err(file_error(path, message));
    }
    let expected = header.metadata().as_ref().and_then(|m| m.get(CHECKSUM));
    let found = checksum(stored.iter().map(|(name, view)| (*name, view.clone())));
    if expected.is_some_and(|expected| *expected != found) {
        return Err(damaged(&"its checksum differs"));
    }
    compare_names(path, &variables, &stored)?;
    let mut values = vec![];
    for (name, variable) in &variables {
        values.push(matching(path, name, variable, &stored[name.as_str()])?);
    }
    let variables: Vec<Variable> = variables.into_values().collect();
    assign_all(&variables, &values)
}

/// Sets variables in order: all, or none where a value does not fit.
pub(crate) fn set_weights(owner: &str, variables: &[Variable], values: &[Tensor]) -> Result<()> {
    if variables.len() != values.len() {
        let message = format!(
            "set_weights received {} weights, but the layer expects {}; a layer that is not built has none",
            values.len(),
            variables.len()
        );
        return Err(Error::invalid(owner, message));
    }
    for (variable, value) in variables.iter().zip(values) {
        value.check()?;
        if value.shape() != variable.shape() || value.dtype() != variable.dtype() {
            let message = format!(
                "expected shape {:?} {} for weight `{}`, received {:?} {}",
                variable.shape(),
                variable.dtype(),
                variable.name(),
                value.shape(),
                value.dtype()
            );
            return Err(Error::invalid(owner, message));
        }
    }
    assign_all(variables, values)
}

fn file_error(path: &Path, message: impl std::fmt::Display) -> Error {
    crate::files::file_error(path, message).into()
}

const CHECKSUM: &str = "kiln_checksum";

/// Every value is on its device before the first variable changes.
fn assign_all(variables: &[Variable], values: &[Tensor]) -> Result<()> {
    let staged = |(variable, value): (&Variable, &Tensor)| value.to_device(&variable.device());
    let staged = variables.iter().zip(values).map(staged).collect::<kiln_graph::Result<Vec<_>>>()?;
    for (variable, value) in variables.iter().zip(&staged) {
        variable.assign(value)?;
    }
    Ok(())
}

fn by_name(layer: &dyn Layer) -> Result<BTreeMap<String, Variable>> {
    let mut named = BTreeMap::new();
    for variable in layer.variables() {
        let name = variable.name();
        match named.get(&name) {
            Some(other) if *other != variable => {
                let message = format!("two variables are named `{name}`; give their layers different names");
                return Err(Error::invalid("weights", message));
            }
            _ => named.insert(name, variable),
        };
    }
    if named.is_empty() {
        let message =
            format!("`{}` has no weights; build the model first", layer.name().unwrap_or(layer.class_name()));
        return Err(Error::invalid("weights", message));
    }
    Ok(named)
}

fn compare_names(
    path: &Path,
    variables: &BTreeMap<String, Variable>,
    stored: &BTreeMap<&str, TensorView<'_>>,
) -> Result<()> {
    let wanted: BTreeSet<&str> = variables.keys().map(String::as_str).collect();
    let found: BTreeSet<&str> = stored.keys().copied().collect();
    let list = |names: Vec<&&str>| {
        let shown: Vec<String> = names.iter().take(5).map(|n| format!("`{n}`")).collect();
        let more = names.len().saturating_sub(shown.len());
        if more > 0 { format!("{} and {more} more", shown.join(", ")) } else { shown.join(", ") }
    };
    let missing: Vec<&&str> = wanted.difference(&found).collect();
    let extra: Vec<&&str> = found.difference(&wanted).collect();
    let what = match (missing.is_empty(), extra.is_empty()) {
        (true, true) => return Ok(()),
        (false, true) => format!("the model's {} are not in the file", list(missing)),
        (true, false) => format!("the file's {} are not in the model", list(extra)),
        (false, false) => {
            format!(
                "the model's {} are not in the file, whose {} are not in the model",
                list(missing),
                list(extra)
            )
        }
    };
    let message = format!("{what}; the weights are of another model, or its layers were renamed");
    Err(file_error(path, message))
}

/// The value for a variable, or how the tensor of the file differs.
fn matching(path: &Path, name: &str, variable: &Variable, view: &TensorView<'_>) -> Result<Tensor> {
    let dtype = variable.dtype();
    if view.shape() != variable.shape() || view.dtype() != file_dtype(dtype) {
        let message = format!(
            "tensor `{name}`: expected shape {:?} {dtype}, found {:?} {:?}; the weights are of a model of another size or \
             type",
            variable.shape(),
            view.shape(),
            view.dtype()
        );
        return Err(file_error(path, message));
    }
    let value = from_bytes(view.data(), view.shape(), dtype);
    Ok(value.check()?.clone())
}

fn checksum<'a>(tensors: impl Iterator<Item = (&'a str, TensorView<'a>)>) -> String {
    let mut sum = Checksum::default();
    for (name, view) in tensors {
        sum.add(format!("{name} {:?} {:?} ", view.dtype(), view.shape()).as_bytes());
        sum.add(view.data());
    }
    sum.text()
}

fn file_dtype(dtype: DType) -> Dtype {
    match dtype {
        DType::F32 => Dtype::F32,
        DType::F64 => Dtype::F64,
        DType::F16 => Dtype::F16,
        DType::BF16 => Dtype::BF16,
        DType::I32 => Dtype::I32,
        DType::I64 => Dtype::I64,
        DType::U32 => Dtype::U32,
        DType::U8 => Dtype::U8,
        DType::Bool => Dtype::BOOL,
    }
}

/// A tensor's elements, little-endian.
fn host_bytes(tensor: &Tensor) -> Result<Vec<u8>> {
    fn of<T: Element>(tensor: &Tensor) -> Result<Vec<u8>> {
        Ok(T::to_bytes(&tensor.to_vec::<T>()?))
    }
    match tensor.dtype() {
        DType::F32 => of::<f32>(tensor),
        DType::F64 => of::<f64>(tensor),
        DType::F16 => of::<half::f16>(tensor),
        DType::BF16 => of::<half::bf16>(tensor),
        DType::I32 => of::<i32>(tensor),
        DType::I64 => of::<i64>(tensor),
        DType::U32 => of::<u32>(tensor),
        DType::U8 => of::<u8>(tensor),
        DType::Bool => of::<bool>(tensor),
    }
}

fn from_bytes(bytes: &[u8], shape: &[usize], dtype: DType) -> Tensor {
    fn of<T: Element>(bytes: &[u8], shape: &[usize]) -> Tensor {
        Tensor::from_vec(T::from_bytes(bytes), shape)
    }
    match dtype {
        DType::F32 => of::<f32>(bytes, shape),
        DType::F64 => of::<f64>(bytes, shape),
        DType::F16 => of::<half::f16>(bytes, shape),
        DType::BF16 => of::<half::bf16>(bytes, shape),
        DType::I32 => of::<i32>(bytes, shape),
        DType::I64 => of::<i64>(bytes, shape),
        DType::U32 => of::<u32>(bytes, shape),
        DType::U8 => of::<u8>(bytes, shape),
        DType::Bool => of::<bool>(bytes, shape),
    }
}
