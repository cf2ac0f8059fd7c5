//! The functions that kernels call, and which of them a text needs.

use std::collections::BTreeSet;
use std::sync::OnceLock;

struct Item {
    name: String,
    text: String,
}

/// The items of the hand-written libraries, in order of declaration.
fn items() -> &'static [Item] {
    static ITEMS: OnceLock<Vec<Item>> = OnceLock::new();
    ITEMS.get_or_init(|| {
        [kiln_shaders::MATH, kiln_shaders::CHECK].iter().flat_map(|text| split(text)).collect()
    })
}

/// Cuts a module at its top-level declarations; comments stay behind.
fn split(text: &str) -> Vec<Item> {
    let mut items: Vec<Item> = vec![];
    for line in text.lines().filter(|l| !l.trim_start().starts_with("//")) {
        let declared =
            ["fn ", "const ", "struct ", "alias "].iter().find_map(|keyword| line.strip_prefix(keyword));
        if let Some(rest) = declared {
            let name = words(rest).next().unwrap_or_default().to_owned();
            items.push(Item { name, text: String::new() });
        }
        if let Some(item) = items.last_mut() {
            item.text.push_str(line);
            item.text.push('\n');
        }
    }
    items
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|w| !w.is_empty())
}

/// The text of all items that `text` mentions, directly or through others.
pub(crate) fn needed(text: &str) -> String {
    let items = items();
    let mut wanted = BTreeSet::new();
    let mut texts = vec![text];
    while let Some(text) = texts.pop() {
        let mentioned: BTreeSet<&str> = words(text).collect();
        for (at, item) in items.iter().enumerate() {
            if mentioned.contains(item.name.as_str()) && wanted.insert(at) {
                texts.push(&item.text);
            }
        }
    }
    wanted.into_iter().map(|at| items[at].text.as_str()).collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn only_what_is_mentioned() {
        assert_eq!(super::needed("let x = 1;"), "");
        let report = super::needed("kiln_report(1u, 2i, 3i);");
        assert!(report.contains("fn kiln_report") && !report.contains("fn kiln_exp"));
    }
}
