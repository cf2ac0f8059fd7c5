//! Sparse, ragged and string tensors, sets, queues and tables: every operation against values that TensorFlow computed
//! (`tests/golden/structures.json`), gradients against differences, errors of wrong arguments, and which names of
//! TensorFlow's are here.

mod coverage;
mod errors;
mod function;
mod gradients;
mod lookup;
mod queues;
mod ragged;
mod sparse;
mod special;
mod strings;
mod tensors;
mod value;
mod variables;

use std::panic::{AssertUnwindSafe, catch_unwind};

use serde_json::Value as Json;
use value::{Call, Value};

/// What an operation of Kiln's gives for a call.
type Run = fn(&Call) -> Vec<Value>;

fn table() -> Vec<(&'static str, Run)> {
    [sparse::TABLE, ragged::TABLE, strings::TABLE, lookup::TABLE].concat()
}

fn golden() -> Json {
    let text = include_str!("../../../../tests/golden/structures.json");
    serde_json::from_str(text).expect("the golden file")
}

fn list<'a>(json: &'a Json, name: &str) -> &'a [Json] {
    json[name].as_array().map_or(&[], Vec::as_slice)
}

fn check(table: &[(&str, Run)], case: &Json) -> Result<(), String> {
    let op = case["op"].as_str().expect("op");
    let run = table.iter().find(|(name, _)| *name == op).ok_or_else(|| format!("{op}: not in the table"))?.1;
    let call =
        Call { inputs: list(case, "in").iter().map(Value::parse).collect(), args: case["args"].clone() };
    let expected: Vec<Value> = list(case, "out").iter().map(Value::parse).collect();
    let describe = || format!("{op}({:?}, {})", call.inputs, call.args);
    let found = catch_unwind(AssertUnwindSafe(|| run(&call)))
        .map_err(|panic| format!("{}: {:?}", describe(), panic.downcast_ref::<String>()))?;
    let tolerance = case["tol"].as_f64().expect("tol");
    let near =
        found.len() == expected.len() && found.iter().zip(&expected).all(|(f, e)| f.near(e, tolerance));
    if near { Ok(()) } else { Err(format!("{}:\n  {found:?}, not\n  {expected:?}", describe())) }
}

#[test]
fn agrees_with_tensorflow() {
    let (table, golden) = (table(), golden());
    let cases = list(&golden, "cases");
    let wrong: Vec<String> = cases.iter().filter_map(|case| check(&table, case).err()).collect();
    assert!(wrong.is_empty(), "{} of {} wrong:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
    let unused: Vec<&str> = table
        .iter()
        .map(|(name, _)| *name)
        .filter(|name| !cases.iter().any(|case| case["op"] == *name))
        .collect();
    assert_eq!(unused, Vec::<&str>::new(), "operations without a golden case");
}
