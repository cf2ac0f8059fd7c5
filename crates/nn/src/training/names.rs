//! Keras' string names: looking them up, and saying what was meant where one is unknown.

use crate::error::Error;

/// An error for a name that is not in a list, with the names nearest to it.
pub(crate) fn unknown<'a>(what: &str, name: &str, known: impl Iterator<Item = &'a str>) -> Error {
    let mut ranked: Vec<(usize, &str)> = known.map(|k| (distance(name, k), k)).collect();
    ranked.sort_unstable();
    ranked.dedup();
    let near = |(d, k): &&(usize, &str)| *d <= 1 + k.len() / 3 || (name.len() > 2 && k.contains(name));
    let mut close: Vec<&str> = ranked.iter().filter(near).take(3).map(|(_, k)| *k).collect();
    let lead = if close.is_empty() {
        close = ranked.iter().map(|(_, k)| *k).collect();
        close.sort_unstable();
        "known names"
    } else {
        "did you mean"
    };
    Error::invalid(what, format!("unknown {what} `{name}`; {lead}: {}", close.join(", ")))
}

/// The number of insertions, deletions and substitutions between two words, case apart (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let (a, b) = (a.to_lowercase(), b.to_lowercase());
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let substituted = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

/// A configuration without its null entries, so that a default stands in for each.
pub(crate) fn without_nulls(config: &serde_json::Value) -> serde_json::Value {
    match config {
        serde_json::Value::Object(map) => {
            map.iter().filter(|(_, v)| !v.is_null()).map(|(k, v)| (k.clone(), v.clone())).collect()
        }
        _ => serde_json::json!({}),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_name_lists_what_is_near() {
        let known = ["adam", "adamw", "sgd", "rmsprop"];
        let near = unknown("optimizer", "adamm", known.into_iter()).to_string();
        assert_eq!(near, "[optimizer] unknown optimizer `adamm`; did you mean: adam, adamw");
        let far = unknown("optimizer", "zebra crossing", known.into_iter()).to_string();
        assert!(far.ends_with("known names: adam, adamw, rmsprop, sgd"), "{far}");
    }
}
