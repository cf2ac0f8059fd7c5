//! What is covered: every name of Keras, and the table of operations in the docs.

use std::collections::{BTreeMap, HashSet};
use std::fmt::Write;

use crate::excluded::EXCLUDED;
use crate::groups;

const NAMES: &str = include_str!("../../../../tests/golden/ops/keras_ops.json");

/// Section and name of everything that Keras has.
fn names() -> Vec<(String, String)> {
    let sections: BTreeMap<String, Vec<String>> = serde_json::from_str(NAMES).expect("lists of names");
    let flat = |(section, names): (String, Vec<String>)| names.into_iter().map(move |n| (section.clone(), n));
    sections.into_iter().flat_map(flat).collect()
}

/// Cases of an operation: all, and those with gradients.
fn counts() -> BTreeMap<String, (usize, usize)> {
    let mut counts = BTreeMap::new();
    for group in groups() {
        for case in group.golden().cases {
            let entry: &mut (usize, usize) = counts.entry(case.op).or_default();
            entry.0 += 1;
            entry.1 += usize::from(case.grad);
        }
    }
    counts
}

#[test]
fn every_name_of_keras_is_covered_or_excluded() {
    let counts = counts();
    let excluded: HashSet<&str> = EXCLUDED.iter().map(|(name, _)| *name).collect();
    let missing: Vec<String> = names()
        .into_iter()
        .filter(|(_, name)| !counts.contains_key(name) && !excluded.contains(name.as_str()))
        .map(|(section, name)| format!("{section}.{name}"))
        .collect();
    assert!(missing.is_empty(), "{} without a case or a reason: {}", missing.len(), missing.join(" "));
    let known: HashSet<String> = names().into_iter().map(|(_, name)| name).collect();
    let stale: Vec<&&str> =
        excluded.iter().filter(|n| !known.contains(**n) || counts.contains_key(**n)).collect();
    assert!(stale.is_empty(), "excluded, but covered or unknown: {stale:?}");
}

fn table() -> String {
    let counts = counts();
    let mut text = String::from(
        "# Operations\n\nWritten by `KILN_UPDATE=1 cargo test -p kiln-graph --test conformance`. Golden cases run on the CPU \
         executor, the first of\neach operation on the WGSL path too (all with `KILN_CONFORMANCE=all`); gradients are checked \
         against differences.\n\n| operation | golden cases (CPU) | WGSL | gradient cases |\n|---|---|---|---|\n",
    );
    let mut total = (0, 0);
    for (op, (all, grad)) in &counts {
        let _ = writeln!(text, "| `{op}` | {all} | 1 | {grad} |");
        total = (total.0 + all, total.1 + grad);
    }
    let _ = writeln!(
        text,
        "\n{} operations, {} golden cases, {} gradient cases.\n",
        counts.len(),
        total.0,
        total.1
    );
    text.push_str("Names of Keras without golden cases:\n\n| name | reason |\n|---|---|\n");
    for (name, reason) in EXCLUDED {
        let _ = writeln!(text, "| `{name}` | {reason} |");
    }
    text
}

#[test]
fn the_table_in_the_docs_is_true() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/operations.md");
    let table = table();
    if std::env::var_os("KILN_UPDATE").is_some() {
        std::fs::write(path, &table).expect("docs/operations.md can be written");
    }
    let kept = std::fs::read_to_string(path).unwrap_or_default();
    assert!(kept == table, "docs/operations.md is out of date; run this test with KILN_UPDATE=1");
}
