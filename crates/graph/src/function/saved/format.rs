//! What is in a file, beside the tensors; see `docs/formats.md`.

use kiln_device::{DType, size};
use safetensors::tensor::Dtype;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::general::General;
use crate::files::Checksum;
use crate::function::signature::{Form, Signature};
use crate::graph::{Assign, NodeId};
use crate::op::Op;
use crate::shape::Shape;

/// Of files that hold programs of concrete sizes alone.
pub(super) const CONCRETE: u32 = 1;
/// Of files with programs of open sizes.
pub(super) const OPEN: u32 = 2;
pub(super) const KEY: &str = "kiln_function";
pub(super) const CHECKSUM: &str = "kiln_checksum";
/// No size, offset or count in a file is larger.
pub(super) const LARGEST: u64 = 1 << 48;

#[derive(Serialize, Deserialize)]
pub(super) struct File {
    pub(super) version: u32,
    pub(super) name: String,
    /// Dtype and length of each state; the tensor `state.N` holds its value.
    pub(super) states: Vec<(DType, usize)>,
    pub(super) programs: Vec<Program>,
    /// Programs of open sizes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) open: Vec<General>,
    /// Dtype and shape of each value that these capture; the tensor `value.N` holds it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) values: Vec<Form>,
}

#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Program {
    /// The structure around the arguments; nothing for a plain list.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(super) structure: String,
    pub(super) arguments: Vec<Form>,
    pub(super) outputs: Vec<Form>,
    pub(super) leaves: Vec<SavedLeaf>,
    pub(super) nodes: Vec<SavedNode>,
    pub(super) returns: Vec<NodeId>,
    pub(super) assigns: Vec<Assign>,
}

#[derive(Clone, Serialize, Deserialize)]
pub(super) struct SavedLeaf {
    pub(super) shape: Shape,
    pub(super) dtype: DType,
    pub(super) bound: SavedBound,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum SavedBound {
    Argument(usize),
    State(usize),
    /// The tensor `value.N` of the file.
    Value(usize),
}

#[derive(Clone, Serialize, Deserialize)]
pub(super) struct SavedNode {
    pub(super) op: Op,
    pub(super) inputs: Vec<NodeId>,
    pub(super) shape: Shape,
    pub(super) dtype: DType,
}

impl SavedNode {
    pub(super) fn of(node: &crate::graph::Node) -> SavedNode {
        SavedNode {
            op: node.op.clone(),
            inputs: node.inputs.clone(),
            shape: node.shape.clone(),
            dtype: node.dtype,
        }
    }
}

impl Program {
    pub(super) fn signature(&self) -> Signature {
        Signature { structure: self.structure.clone(), forms: self.arguments.clone() }
    }

    /// Where sizes are small enough to be multiplied.
    fn check_shapes(&self) -> Result<(), String> {
        let shapes = self.nodes.iter().map(|n| &n.shape).chain(self.leaves.iter().map(|l| &l.shape));
        for shape in shapes {
            size::element_count(shape).map_err(|e| e.to_string())?;
        }
        Ok(())
    }

    /// A program of an open one, with its numbers filled in.
    pub(super) fn of_value(value: Value) -> Result<Program, String> {
        check_numbers(&value)?;
        let program: Program = serde_json::from_value(value).map_err(|e| e.to_string())?;
        program.check_shapes()?;
        Ok(program)
    }
}

/// No number is so large that adding or multiplying sizes overflows.
fn check_numbers(value: &Value) -> Result<(), String> {
    let mut pending = vec![value];
    while let Some(value) = pending.pop() {
        match value {
            Value::Array(items) => pending.extend(items),
            Value::Object(entries) => pending.extend(entries.values()),
            Value::Number(number) => {
                let small = |n: i64| n.unsigned_abs() <= LARGEST;
                if !number.as_i64().is_some_and(small) {
                    return Err(format!("the number {number} is too large"));
                }
            }
            Value::Null | Value::Bool(_) | Value::String(_) => {}
        }
    }
    Ok(())
}

/// The description of the programs; sizes in it are small enough to be added and multiplied.
pub(super) fn parse(text: &str) -> Result<File, String> {
    let value: Value = serde_json::from_str(text).map_err(|e| e.to_string())?;
    check_numbers(&value)?;
    let file: File = serde_json::from_value(value).map_err(|e| e.to_string())?;
    let known = if file.open.is_empty() { CONCRETE..=OPEN } else { OPEN..=OPEN };
    if !known.contains(&file.version) {
        return Err(format!("its version is {}, this one reads {CONCRETE} to {OPEN}", file.version));
    }
    file.programs.iter().try_for_each(Program::check_shapes)?;
    for (shape, _) in &file.values {
        size::element_count(shape).map_err(|e| e.to_string())?;
    }
    file.open.iter().try_for_each(General::check)?;
    Ok(file)
}

pub(super) fn checksum<'a>(text: &str, tensors: impl Iterator<Item = (&'a str, &'a [u8])>) -> String {
    let mut tensors: Vec<_> = tensors.collect();
    tensors.sort_unstable();
    let mut sum = Checksum::default();
    sum.add(text.as_bytes());
    for (name, data) in tensors {
        sum.add(name.as_bytes());
        sum.add(data);
    }
    sum.text()
}

pub(super) fn file_dtype(dtype: DType) -> Dtype {
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
