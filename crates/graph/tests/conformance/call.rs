//! What a case passes to an operation.
#![allow(dead_code, reason = "which accessors are used depends on the tables")]

use std::cell::RefCell;
use std::collections::BTreeMap;

use kiln_graph::{Axes, DType, Tensor};
use serde_json::Value;

/// Inputs and keyword arguments of a case. A missing argument that the table asks for is a mistake of the case: a panic.
pub(crate) struct Call<'a> {
    inputs: &'a [Tensor],
    args: &'a Value,
    uses: RefCell<BTreeMap<String, Use>>,
}

/// What an operation's line took an argument for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Use {
    Int,
    Size,
    Float,
    DType,
    Text,
    Raw,
}

impl<'a> Call<'a> {
    pub(crate) fn new(inputs: &'a [Tensor], args: &'a Value) -> Call<'a> {
        Call { inputs, args, uses: RefCell::new(BTreeMap::new()) }
    }

    /// The arguments that were asked for so far, and as what.
    pub(crate) fn uses(&self) -> Vec<(String, Use)> {
        self.uses.borrow().iter().map(|(name, use_)| (name.clone(), *use_)).collect()
    }

    fn used(&self, name: &str, use_: Use) -> &Value {
        self.uses.borrow_mut().entry(name.to_owned()).or_insert(use_);
        &self.args[name]
    }

    /// The n-th input.
    pub(crate) fn x(&self, n: usize) -> &Tensor {
        &self.inputs[n]
    }

    pub(crate) fn inputs(&self) -> &[Tensor] {
        self.inputs
    }

    /// The argument as JSON; null where it is missing.
    pub(crate) fn arg(&self, name: &str) -> &Value {
        self.used(name, Use::Raw)
    }

    /// True where the argument is there and not null.
    pub(crate) fn has(&self, name: &str) -> bool {
        !self.args[name].is_null()
    }

    pub(crate) fn int(&self, name: &str) -> i64 {
        self.used(name, Use::Int)
            .as_i64()
            .unwrap_or_else(|| panic!("no whole number {name} in {}", self.args))
    }

    pub(crate) fn int_or(&self, name: &str, default: i64) -> i64 {
        if self.has(name) { self.int(name) } else { default }
    }

    /// How many of the inputs are of a kind, which is no argument of the operation's; 0 where it is missing.
    pub(crate) fn count(&self, name: &str) -> usize {
        self.args[name].as_u64().map_or(0, |n| usize::try_from(n).expect("a count"))
    }

    pub(crate) fn float(&self, name: &str) -> f64 {
        self.used(name, Use::Float).as_f64().unwrap_or_else(|| panic!("no number {name} in {}", self.args))
    }

    pub(crate) fn float_or(&self, name: &str, default: f64) -> f64 {
        if self.has(name) { self.float(name) } else { default }
    }

    /// False where it is missing.
    pub(crate) fn flag(&self, name: &str) -> bool {
        self.args[name].as_bool().unwrap_or(false)
    }

    pub(crate) fn flag_or(&self, name: &str, default: bool) -> bool {
        self.args[name].as_bool().unwrap_or(default)
    }

    pub(crate) fn text(&self, name: &str) -> &str {
        self.used(name, Use::Text).as_str().unwrap_or_else(|| panic!("no text {name} in {}", self.args))
    }

    pub(crate) fn text_or(&self, name: &str, default: &'a str) -> &str {
        self.used(name, Use::Text).as_str().unwrap_or(default)
    }

    /// A list of whole numbers, or one as a list.
    pub(crate) fn ints(&self, name: &str) -> Vec<i64> {
        match self.used(name, Use::Int) {
            Value::Array(list) => list.iter().map(|v| v.as_i64().expect("whole numbers")).collect(),
            _ => vec![self.int(name)],
        }
    }

    pub(crate) fn floats(&self, name: &str) -> Vec<f64> {
        match self.used(name, Use::Float) {
            Value::Array(list) => list.iter().map(|v| v.as_f64().expect("numbers")).collect(),
            _ => vec![self.float(name)],
        }
    }

    pub(crate) fn sizes(&self, name: &str) -> Vec<usize> {
        self.used(name, Use::Size);
        self.ints(name).into_iter().map(|n| usize::try_from(n).expect("sizes")).collect()
    }

    /// All axes where it is missing or null.
    pub(crate) fn axes(&self, name: &str) -> Axes {
        if self.has(name) { Axes::Of(self.ints(name)) } else { Axes::All }
    }

    pub(crate) fn dtype(&self, name: &str) -> DType {
        self.used(name, Use::DType);
        match self.text(name) {
            "float32" => DType::F32,
            "float64" => DType::F64,
            "int64" => DType::I64,
            "float16" => DType::F16,
            "bfloat16" => DType::BF16,
            "int32" => DType::I32,
            "uint32" => DType::U32,
            "uint8" => DType::U8,
            "bool" => DType::Bool,
            other => panic!("no dtype {other}"),
        }
    }
}
