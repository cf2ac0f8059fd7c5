//! Which names of TensorFlow's are here, and why the others are not.

mod names;

use std::collections::HashSet;

use crate::{golden, list};
use names::{ELSEWHERE, EXCLUDED};

/// The tests that names refer to, by file.
const SOURCES: &[(&str, &str)] = &[
    ("special", include_str!("special.rs")),
    ("queues", include_str!("queues.rs")),
    ("structures/tensors", include_str!("tensors.rs")),
    ("structures/variables", include_str!("variables.rs")),
    ("functions", include_str!("../functions.rs")),
    ("updates", include_str!("../updates.rs")),
    ("control_flow/arrays", include_str!("../control_flow/arrays.rs")),
];

/// Whether `file: test` names a test that there is.
fn is_test(reference: &str) -> bool {
    let Some((file, test)) = reference.split_once(": ") else { return false };
    let source = SOURCES.iter().find(|(name, _)| *name == file).map(|(_, source)| *source);
    source.is_some_and(|source| source.contains(&format!("#[test]\nfn {test}() ")))
}

#[test]
fn references_to_tests_are_checked() {
    assert!(is_test("special: lists"));
    assert!(!is_test("special: list"));
    assert!(!is_test("special: no_such_test"));
    assert!(!is_test("elsewhere: lists"));
    assert!(!is_test("lists"));
}

#[test]
fn every_name_has_a_case_or_a_reason() {
    let golden = golden();
    let cases: HashSet<&str> = list(&golden, "cases").iter().filter_map(|case| case["op"].as_str()).collect();
    let names = golden["names"].as_object().expect("names");
    let mut all: Vec<String> = vec![];
    for (module, members) in names {
        all.extend(
            members
                .as_array()
                .expect("names")
                .iter()
                .map(|n| format!("{module}.{}", n.as_str().expect("a name"))),
        );
    }
    let tested = |name: &str| {
        let own = name.trim_start_matches("tf.").replace("RaggedTensor.members.", "ragged.");
        let elsewhere = ELSEWHERE.iter().find(|(tf, _)| *tf == name).map(|(_, case)| *case);
        cases.contains(own.as_str()) || elsewhere.is_some_and(|case| cases.contains(case) || is_test(case))
    };
    let excluded: HashSet<&str> = EXCLUDED.iter().map(|(name, _)| *name).collect();
    let missing: Vec<&String> =
        all.iter().filter(|name| !tested(name) && !excluded.contains(name.as_str())).collect();
    assert!(missing.is_empty(), "neither a case nor a reason: {missing:?}");
    let stale: Vec<&&str> =
        excluded.iter().filter(|name| tested(name) || !all.iter().any(|n| n == **name)).collect();
    assert!(stale.is_empty(), "excluded, but here or unknown: {stale:?}");
    assert!(EXCLUDED.iter().all(|(_, reason)| reason.len() > 10));
    let unknown: Vec<&str> =
        ELSEWHERE.iter().map(|(name, _)| *name).filter(|name| !all.iter().any(|n| n == name)).collect();
    assert!(unknown.is_empty(), "no names of TensorFlow's: {unknown:?}");
    assert!(all.len() > 240, "{} names", all.len());
}
