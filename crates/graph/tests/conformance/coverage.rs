//! What is covered: every name of Keras, and the table of operations in the docs.

use std::collections::{BTreeMap, HashSet};
use std::fmt::Write;

use crate::excluded::EXCLUDED;
use crate::golden::ANY_ZERO;
use crate::gradients::NOT_DIFFERENTIABLE;
use crate::{bad, gradients, groups};

const NAMES: &str = include_str!("../../../../tests/golden/ops/keras_ops.json");

/// Section and name of everything that Keras has.
fn names() -> Vec<(String, String)> {
    let sections: BTreeMap<String, Vec<String>> = serde_json::from_str(NAMES).expect("lists of names");
    let flat = |(section, names): (String, Vec<String>)| names.into_iter().map(move |n| (section.clone(), n));
    sections.into_iter().flat_map(flat).collect()
}

/// Golden cases of every operation: on the CPU, and on the WGSL path.
fn counts() -> BTreeMap<String, [usize; 2]> {
    let mut counts = BTreeMap::<String, [usize; 2]>::new();
    for group in groups() {
        let wgsl = usize::from(group.is_for_wgsl());
        for case in group.golden().cases {
            let [cpu, gpu] = counts.entry(case.op).or_default();
            (*cpu, *gpu) = (*cpu + 1, *gpu + wgsl);
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
    let (counts, gradients, bad) = (counts(), gradients::survey(), bad::survey());
    let mut text = String::from(
        "# Operations\n\nWritten by `KILN_UPDATE=1 cargo test -p kiln-graph --test conformance`. Golden cases run on the CPU \
         executor, and on the\nWGSL path but for those of 64 bits. First and second derivatives of cases are compared with differences; 0 \
         where no case has a\nfloat input and a float output. Bad calls are golden ones with one argument changed: each is refused in the \
         operation's name, or\nhas a result.\n\n| operation | golden cases (CPU) | golden cases (WGSL) | gradients | \
         second derivatives | bad calls refused | with a result |\n|---|---|---|---|---|---|---|\n",
    );
    let mut total = [0; 6];
    for (op, [cpu, wgsl]) in &counts {
        let checked = gradients.checked.get(op).copied().unwrap_or_default();
        let ends = bad.ends.get(op).copied().unwrap_or_default();
        let numbers = [*cpu, *wgsl, checked.first, checked.second, ends.refused, ends.accepted];
        let [cpu, wgsl, first, second, refused, accepted] = numbers;
        let _ = writeln!(text, "| `{op}` | {cpu} | {wgsl} | {first} | {second} | {refused} | {accepted} |");
        total.iter_mut().zip(numbers).for_each(|(sum, n)| *sum += n);
    }
    let [cpu, wgsl, first, second, refused, accepted] = total;
    let _ = writeln!(
        text,
        "\n{} operations, {cpu} golden cases on the CPU and {wgsl} on the WGSL path, {first} gradients, {second} second derivatives, {refused} bad calls refused and \
         {accepted} with a result.\n",
        counts.len()
    );
    let mut list = |title: &str, rows: &[(&str, &str)]| {
        let _ = writeln!(text, "{title}\n\n| name | reason |\n|---|---|");
        for (name, reason) in rows {
            let _ = writeln!(text, "| `{name}` | {reason} |");
        }
        text.push('\n');
    };
    list("Names of Keras without golden cases:", EXCLUDED);
    list(
        "Operations of floats without a gradient that differences can be compared with:",
        NOT_DIFFERENTIABLE,
    );
    list("Operations whose zeros may have either sign:", ANY_ZERO);
    text.truncate(text.trim_end().len());
    text.push('\n');
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
