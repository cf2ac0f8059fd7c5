//! Configurations in Keras' form: objects as `{module, class_name, config, registered_name}`, and a reader that leaves
//! no key unread.

use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use crate::error::{Error, Result};

/// An object as Keras writes it.
pub(crate) fn object(module: &str, class_name: &str, config: Value) -> Value {
    json!({ "module": module, "class_name": class_name, "config": config, "registered_name": null })
}

/// Class name and configuration of an object, or of a bare name.
pub(crate) fn parts<'a>(what: &str, value: &'a Value) -> Result<(&'a str, &'a Value)> {
    const NOTHING: &Value = &Value::Null;
    if let Some(name) = value.as_str() {
        return Ok((name, NOTHING));
    }
    match value.get("class_name").and_then(Value::as_str) {
        Some(name) => Ok((name, value.get("config").unwrap_or(NOTHING))),
        None => Err(Error::invalid(
            what,
            format!("expected a name or an object with a class_name, received {value}"),
        )),
    }
}

/// `; did you mean …?` where a known name is near, else the list of them.
pub(crate) fn suggestion(name: &str, known: &[&str]) -> String {
    let near = known.iter().map(|k| (distance(name, k), k)).min();
    match near {
        Some((distance, nearest)) if distance <= 2.max(name.len() / 4) => {
            format!("; did you mean `{nearest}`?")
        }
        _ => format!("; expected one of {}", known.join(", ")),
    }
}

/// The number of insertions, deletions and replacements between two words.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, y) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(!x.eq_ignore_ascii_case(y));
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

/// Reads a configuration: every key once, and [`Fields::finish`] names those left over.
pub(crate) struct Fields<'a> {
    class: &'a str,
    map: Option<&'a Map<String, Value>>,
    read: Vec<String>,
}

impl<'a> Fields<'a> {
    pub(crate) fn new(class: &'a str, config: &'a Value) -> Result<Fields<'a>> {
        if !config.is_object() && !config.is_null() {
            return Err(Error::invalid(class, format!("expected a configuration object, received {config}")));
        }
        Ok(Fields { class, map: config.as_object(), read: vec![] })
    }

    /// The value under a key; nothing where it is absent or null.
    pub(crate) fn value(&mut self, key: &str) -> Option<&'a Value> {
        self.read.push(key.into());
        self.map.and_then(|map| map.get(key)).filter(|value| !value.is_null())
    }

    /// An error about a key.
    pub(crate) fn error(&self, key: &str, message: impl std::fmt::Display) -> Error {
        Error::invalid(self.class, format!("`{key}` in the configuration: {message}"))
    }

    /// The value under a key, where there is one.
    pub(crate) fn optional<T: DeserializeOwned>(&mut self, key: &str) -> Result<Option<T>> {
        self.value(key).map(|value| T::deserialize(value).map_err(|e| self.error(key, e))).transpose()
    }

    /// The value under a key, or a default.
    pub(crate) fn or<T: DeserializeOwned>(&mut self, key: &str, default: T) -> Result<T> {
        Ok(self.optional(key)?.unwrap_or(default))
    }

    /// The value under a key that must be there.
    pub(crate) fn required<T: DeserializeOwned>(&mut self, key: &str) -> Result<T> {
        self.optional(key)?.ok_or_else(|| self.error(key, "expected a value, found none"))
    }

    /// A key that may only hold one value, because nothing else is implemented.
    pub(crate) fn only(&mut self, key: &str, expected: Value) -> Result<()> {
        match self.value(key) {
            Some(value) if *value != expected => Err(self.error(
                key,
                format!("expected {expected}, received {value}; other values are not supported"),
            )),
            _ => Ok(()),
        }
    }

    /// Checks that no key with a value was left unread.
    pub(crate) fn finish(self) -> Result<()> {
        let Some(map) = self.map else { return Ok(()) };
        match map.iter().find(|(key, value)| !value.is_null() && !self.read.iter().any(|r| *r == **key)) {
            Some((key, value)) => Err(self.error(key, format!("{value} is not supported; remove the key"))),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_or_named() {
        let config = json!({ "units": 3, "rate": null, "bogus": true });
        let mut fields = Fields::new("Dense", &config).unwrap();
        assert_eq!(fields.required::<usize>("units").unwrap(), 3);
        assert_eq!(fields.or("rate", 0.5f32).unwrap(), 0.5);
        let text = fields.finish().unwrap_err().to_string();
        assert_eq!(text, "[Dense] `bogus` in the configuration: true is not supported; remove the key");
    }

    #[test]
    fn names_near_a_known_one_are_suggested() {
        assert_eq!(
            suggestion("glorot_unifrom", &["zeros", "glorot_uniform"]),
            "; did you mean `glorot_uniform`?"
        );
        assert_eq!(suggestion("xyzzy", &["zeros", "ones"]), "; expected one of zeros, ones");
    }
}
