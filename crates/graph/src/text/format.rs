//! Tensors written into a text.

use kiln_device::DType;

use super::number::general;
use crate::error::Result;
use crate::site::Site;
use crate::tensor::Tensor;
use crate::text::StringTensor;

/// A tensor that can be written into a text.
pub trait Formatted {
    /// The text of its elements and its shape.
    ///
    /// # Errors
    /// Those of reading the elements.
    #[doc(hidden)]
    fn parts(&self, op: &'static str, at: crate::At) -> Result<(Vec<String>, Vec<usize>)>;
}

impl Formatted for StringTensor {
    fn parts(&self, _: &'static str, _: crate::At) -> Result<(Vec<String>, Vec<usize>)> {
        Ok((self.check()?.elements().iter().map(|s| quoted(s)).collect(), self.shape().to_vec()))
    }
}

impl Formatted for Tensor {
    fn parts(&self, op: &'static str, at: crate::At) -> Result<(Vec<String>, Vec<usize>)> {
        let site = Site { op, at };
        let texts = match self.dtype() {
            DType::Bool => site.flags(self)?.iter().map(|flag| u8::from(*flag).to_string()).collect(),
            dtype if dtype.is_integer() => site.wide_integers(self)?.iter().map(i64::to_string).collect(),
            dtype => site.floats(self)?.iter().map(|x| float(*x, dtype)).collect(),
        };
        Ok((texts, self.shape().to_vec()))
    }
}

fn quoted(s: &str) -> String {
    let mut text = String::from("\"");
    for c in s.chars() {
        match c {
            '"' | '\'' | '\\' => text.extend(['\\', c]),
            '\n' => text.push_str("\\n"),
            '\r' => text.push_str("\\r"),
            '\t' => text.push_str("\\t"),
            c => text.push(c),
        }
    }
    text.push('"');
    text
}

/// Six digits where those are the number, else as many as tell all of its type apart.
fn float(x: f64, dtype: DType) -> String {
    if x.is_nan() {
        return "nan".into();
    }
    let sign = if x.is_sign_negative() { "-" } else { "" };
    if x.is_infinite() {
        return format!("{sign}inf");
    }
    let short = general(x.abs(), 6);
    let (same, digits) = match dtype {
        DType::F64 => (short.parse::<f64>() == Ok(x.abs()), 17),
        _ => (short.parse::<f32>().map(f64::from) == Ok(x.abs()), 9),
    };
    let text = if same { short } else { general(x.abs(), digits) };
    format!("{sign}{text}")
}

/// Elements in NumPy's nesting, each axis shortened to `ends` at both ends.
fn written(elements: &[String], shape: &[usize], depth: usize, ends: Option<usize>) -> String {
    let Some((extent, rest)) = shape.split_first() else {
        return elements.first().cloned().unwrap_or_default();
    };
    let width: usize = rest.iter().product();
    let item = |i: usize| written(&elements[i * width..(i + 1) * width], rest, depth + 1, ends);
    let between = match rest.len() {
        0 => " ".to_owned(),
        deeper => "\n".repeat(deeper) + &" ".repeat(depth + 1),
    };
    let items: Vec<String> = match ends {
        Some(ends) if *extent > ends.saturating_mul(2) => {
            (0..ends).map(item).chain(["...".to_owned()]).chain((extent - ends..*extent).map(item)).collect()
        }
        _ => (0..*extent).map(item).collect(),
    };
    format!("[{}]", items.join(&between))
}

/// Strings in NumPy's nesting.
pub(super) fn nested(strings: &StringTensor, ends: Option<usize>) -> String {
    let elements: Vec<String> = strings.elements().iter().map(|s| quoted(s)).collect();
    written(&elements, strings.shape(), 0, ends)
}

/// `template` with the tensors in the place of the placeholders, in their order. Axes of more than twice `summarize`
/// items are shortened; `None` writes all of them. Tensors are read at once.
///
/// ```
/// use kiln_graph::{Tensor, text};
/// let line = text::format("loss {}, lengths {}", &[&Tensor::from(0.5f32), &Tensor::range(9)], "{}", Some(2));
/// assert_eq!(line.item()?, "loss 0.5, lengths [0 1 ... 7 8]");
/// # Ok::<(), kiln_graph::Error>(())
/// ```
#[track_caller]
pub fn format(
    template: &str,
    inputs: &[&dyn Formatted],
    placeholder: &str,
    summarize: Option<usize>,
) -> StringTensor {
    let site = Site::new("strings.format");
    site.settle(|| {
        site.expect(!placeholder.is_empty(), || "expected a placeholder, received \"\"".to_owned())?;
        let pieces: Vec<&str> = template.split(placeholder).collect();
        site.expect(pieces.len() == inputs.len() + 1, || {
            format!("expected {} tensors for {template:?}, received {}", pieces.len() - 1, inputs.len())
        })?;
        let mut text = pieces[0].to_owned();
        for (input, piece) in inputs.iter().zip(&pieces[1..]) {
            let (elements, shape) = input.parts(site.op, site.at)?;
            text.push_str(&written(&elements, &shape, 0, summarize));
            text.push_str(piece);
        }
        Ok(StringTensor::scalar(text))
    })
}
