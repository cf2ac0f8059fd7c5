//! Regular expressions, in the syntax and meaning of RE2, as `tf.strings` has them.

use regex::Regex;

use crate::error::Result;
use crate::site::Site;
use crate::tensor::Tensor;
use crate::text::StringTensor;

impl StringTensor {
    /// Every match of a pattern replaced, or the first alone where `replace_global` is false. In `rewrite`, `\1` to `\9`
    /// stand for groups, `\0` for the match, and `\\` for a backslash.
    ///
    /// Carries an error where the pattern or the rewrite is none.
    ///
    /// ```
    /// use kiln_graph::StringTensor;
    /// let names = StringTensor::from_slice(&["Ada Lovelace"]);
    /// assert_eq!(names.regex_replace(r"(\w+) (\w+)", r"\2, \1", true).to_vec()?, ["Lovelace, Ada"]);
    /// # Ok::<(), kiln_graph::Error>(())
    /// ```
    #[track_caller]
    pub fn regex_replace(&self, pattern: &str, rewrite: &str, replace_global: bool) -> StringTensor {
        let site = Site::new("strings.regex_replace");
        site.settle(|| {
            self.check()?;
            let regex = compile(site, pattern)?;
            let rewrite = Rewrite::parse(site, rewrite, regex.captures_len())?;
            let most = if replace_global { 0 } else { 1 };
            let replace = |s: &str| {
                regex.replacen(s, most, |found: &regex::Captures<'_>| rewrite.of(found)).into_owned()
            };
            Ok(self.map(replace))
        })
    }

    /// True where a pattern matches the whole string, as `bool`.
    #[track_caller]
    pub fn regex_full_match(&self, pattern: &str) -> Tensor {
        let site = Site::new("strings.regex_full_match");
        site.settle(|| {
            self.check()?;
            compile(site, pattern)?;
            let regex = compile(site, &format!(r"\A(?:{pattern})\z"))?;
            let matches: Vec<bool> = self.elements().iter().map(|s| regex.is_match(s)).collect();
            Ok(Tensor::from_vec(&matches, self.shape()))
        })
    }
}

fn compile(site: Site, pattern: &str) -> Result<Regex> {
    Regex::new(&translated(pattern))
        .map_err(|error| site.error(format!("expected a regular expression, received {pattern:?}: {error}")))
}

/// A pattern of RE2 in the crate's words: there the classes `\d`, `\w`, `\s` and the boundaries `\b` know ASCII alone, and
/// within brackets `[`, `&` and `~` mean themselves.
fn translated(pattern: &str) -> String {
    let mut made = String::new();
    let mut characters = pattern.chars().peekable();
    // How many characters of the brackets have been read, where inside of some.
    let mut inside: Option<usize> = None;
    while let Some(c) = characters.next() {
        match (c, inside) {
            ('\\', _) => {
                let escaped = characters.next();
                let class = escaped.and_then(|escaped| ascii_class(escaped, inside.is_some()));
                match (class, escaped) {
                    (Some(class), _) => made.push_str(class),
                    (None, Some(escaped)) => made.extend(['\\', escaped]),
                    (None, None) => made.push('\\'),
                }
                inside = inside.map(|n| n + 1);
            }
            ('[', None) => {
                made.push('[');
                if characters.next_if_eq(&'^').is_some() {
                    made.push('^');
                }
                inside = Some(0);
            }
            // A bracket right after the opening one is a character.
            (']', Some(0)) => {
                made.push_str(r"\]");
                inside = Some(1);
            }
            (']', Some(_)) => {
                made.push(']');
                inside = None;
            }
            ('[', Some(n)) if characters.peek() == Some(&':') => {
                made.push('[');
                // The name of a class of POSIX, up to its end.
                for c in characters.by_ref() {
                    made.push(c);
                    if c == ']' {
                        break;
                    }
                }
                inside = Some(n + 1);
            }
            ('[' | '&' | '~', Some(n)) => {
                made.extend(['\\', c]);
                inside = Some(n + 1);
            }
            (c, n) => {
                made.push(c);
                inside = n.map(|n| n + 1);
            }
        }
    }
    made
}

fn ascii_class(escaped: char, inside: bool) -> Option<&'static str> {
    Some(match escaped {
        'd' => "[0-9]",
        'D' => "[^0-9]",
        'w' => "[0-9A-Za-z_]",
        'W' => "[^0-9A-Za-z_]",
        's' => r"[\t\n\x0C\r ]",
        'S' => r"[^\t\n\x0C\r ]",
        'b' if !inside => r"(?-u:\b)",
        'B' if !inside => r"(?-u:\B)",
        _ => return None,
    })
}

/// What stands in the place of a match.
struct Rewrite(Vec<Piece>);

enum Piece {
    Text(String),
    Group(usize),
}

impl Rewrite {
    fn parse(site: Site, rewrite: &str, groups: usize) -> Result<Rewrite> {
        let mut pieces = vec![];
        let mut text = String::new();
        let mut characters = rewrite.chars();
        while let Some(c) = characters.next() {
            if c != '\\' {
                text.push(c);
                continue;
            }
            match characters.next() {
                Some('\\') => text.push('\\'),
                Some(digit @ '0'..='9') => {
                    let group = digit as usize - '0' as usize;
                    site.expect(group < groups, || {
                        format!(
                            "rewrite {rewrite:?} names group {group}, but the pattern has {}",
                            groups.saturating_sub(1)
                        )
                    })?;
                    pieces.push(Piece::Text(std::mem::take(&mut text)));
                    pieces.push(Piece::Group(group));
                }
                other => {
                    let what = other.map_or("nothing".to_owned(), |c| format!("`{c}`"));
                    return Err(site.error(format!(
                        "expected a digit or a backslash after the backslash in rewrite {rewrite:?}, received {what}"
                    )));
                }
            }
        }
        pieces.push(Piece::Text(text));
        Ok(Rewrite(pieces))
    }

    fn of(&self, found: &regex::Captures<'_>) -> String {
        let piece = |piece: &Piece| match piece {
            Piece::Text(text) => text.clone(),
            Piece::Group(group) => found.get(*group).map_or_else(String::new, |m| m.as_str().to_owned()),
        };
        self.0.iter().map(piece).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, text: &str) -> bool {
        StringTensor::scalar(text).regex_full_match(pattern).item::<bool>().expect("a match")
    }

    #[test]
    fn classes_know_ascii_alone() {
        assert!(matches(r"\d\w\s", "1_\t"));
        assert!(!matches(r"\d", "٣"));
        assert!(!matches(r"\w", "é"));
        assert!(matches(r"\W\S", "éé"));
        assert!(matches(r"[\d\s]+", "1 2"));
        assert!(matches(r"[^\d]", "x"));
        assert!(matches(r".\b.*", "a b"));
        assert!(matches(r"a\Ba", "aa"));
    }

    #[test]
    fn brackets_hold_characters() {
        assert!(matches("[[]", "["));
        assert!(matches("[]a]+", "]a"));
        assert!(matches("[^]a]", "b"));
        assert!(matches("[a&&b~~c]+", "a&b~c"));
        assert!(matches("[[:alpha:]_]+", "ab_"));
        assert!(matches(r"[\]\[]+", "[]"));
        assert!(matches(r##"[!"#$%&()\*\+,-\./:;<=>?@\[\\\]^_`{|}~\']+"##, "!'~]\\^"));
    }
}
