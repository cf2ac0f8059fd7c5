//! Programs of open sizes: a program in which numbers are formulas of the sizes, and the sizes that it holds for.

use kiln_device::DType;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::format::{LARGEST, Program, SavedBound};
use super::formula::{Formula, Number};
use crate::build::Bound;
use crate::error::{Error, Result};
use crate::function::signature::{Form, TensorSpec};

/// The key of what stands in the place of a number.
pub(super) const FORMULA: &str = "formula";

/// The programs of one signature with open dimensions.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct General {
    /// The structure around the arguments; nothing for a plain list.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(super) structure: String,
    pub(super) arguments: Vec<(Vec<Option<usize>>, DType)>,
    /// The first that admits the sizes of a call runs it; the last is for any sizes.
    pub(super) cases: Vec<Case>,
}

/// A program for many sizes.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Case {
    /// What each open dimension is, in the order of arguments and axes.
    pub(super) dims: Vec<Dim>,
    /// The sizes that formulas are of.
    pub(super) sizes: Vec<Domain>,
    pub(super) formulas: Vec<Formula>,
    /// A [`Program`] with `{"formula": n}` in the place of numbers.
    pub(super) program: Value,
}

/// An open dimension in a case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Dim {
    /// The n-th size.
    Size(usize),
    /// This one.
    Fixed(usize),
}

/// The sizes that a case is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Domain {
    pub(super) least: usize,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) most: Option<usize>,
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub(super) multiple_of: usize,
}

fn one() -> usize {
    1
}

fn is_one(number: &usize) -> bool {
    *number == 1
}

/// A general program before it is written, with what the leaves of each case are bound to.
pub(crate) struct Generalized {
    pub(super) general: General,
    pub(super) bounds: Vec<Vec<Bound>>,
}

impl Domain {
    fn admits(&self, size: usize) -> bool {
        let below = self.most.is_none_or(|most| size <= most) && size as u64 <= LARGEST;
        size >= self.least && below && size.is_multiple_of(self.multiple_of)
    }
}

impl std::fmt::Display for Domain {
    /// The sizes, for people.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.most {
            Some(most) => write!(f, "{} to {most}", self.least)?,
            None => write!(f, "{} or more", self.least)?,
        }
        if self.multiple_of > 1 { write!(f, ", a multiple of {}", self.multiple_of) } else { Ok(()) }
    }
}

impl Case {
    fn check(&self, open: usize) -> Result<(), String> {
        let known = |dim: &Dim| match dim {
            Dim::Size(n) => *n < self.sizes.len(),
            Dim::Fixed(size) => *size as u64 <= LARGEST,
        };
        let domain = |d: &Domain| d.multiple_of > 0 && d.most.is_none_or(|most| d.least <= most);
        if self.dims.len() != open || !self.dims.iter().all(known) || !self.sizes.iter().all(domain) {
            return Err("the sizes of a program do not fit its signature".into());
        }
        self.formulas.iter().try_for_each(|formula| formula.check(self.sizes.len()))
    }

    /// The smallest sizes that it holds for.
    pub(super) fn smallest(&self) -> Vec<usize> {
        self.sizes.iter().map(|d| d.least.next_multiple_of(d.multiple_of)).collect()
    }

    /// Its sizes where the open dimensions have these; or what is wrong with one of those, nothing where it is for another
    /// fixed size.
    fn sizes_of(&self, open: &[usize]) -> Result<Vec<usize>, Option<(usize, String)>> {
        let other = |(dim, size): (&Dim, &usize)| matches!(dim, Dim::Fixed(own) if own != size);
        if self.dims.iter().zip(open).any(other) {
            return Err(None);
        }
        let mut sizes: Vec<Option<(usize, usize)>> = vec![None; self.sizes.len()];
        for (n, (dim, size)) in self.dims.iter().zip(open).enumerate() {
            let Dim::Size(k) = *dim else { continue };
            match sizes[k] {
                None if self.sizes[k].admits(*size) => sizes[k] = Some((n, *size)),
                None => return Err(Some((n, format!("expected {}, received {size}", self.sizes[k])))),
                Some((_, known)) if known == *size => {}
                Some((first, known)) => {
                    return Err(Some((n, format!("expected {known}, as %{first}, received {size}"))));
                }
            }
        }
        Ok(sizes.into_iter().map(|size| size.map_or(0, |(_, size)| size)).collect())
    }

    /// The smallest and second smallest value of the n-th size.
    pub(super) fn small(&self, n: usize) -> Vec<usize> {
        let Domain { most, multiple_of, .. } = self.sizes[n];
        let least = self.smallest()[n];
        let all = [least, least + multiple_of].into_iter();
        all.filter(|size| most.is_none_or(|most| *size <= most)).collect()
    }

    /// Its program for sizes.
    pub(super) fn program(&self, sizes: &[usize]) -> Result<Program, String> {
        let numbers =
            self.formulas.iter().map(|formula| formula.number(sizes)).collect::<Result<Vec<_>, _>>()?;
        Program::of_value(filled(&self.program, &numbers)?)
    }

    /// Says what the leaves are bound to.
    pub(super) fn bind(&mut self, bounds: &[SavedBound]) -> Result<()> {
        let broken = || Error::Internal("the leaves of a general program".into());
        let leaves = self.program.get_mut("leaves").and_then(Value::as_array_mut).ok_or_else(broken)?;
        for (leaf, bound) in leaves.iter_mut().zip(bounds) {
            leaf["bound"] = serde_json::to_value(bound).map_err(|_| broken())?;
        }
        Ok(())
    }
}

/// The program with numbers in the place of formulas.
fn filled(value: &Value, numbers: &[Number]) -> Result<Value, String> {
    Ok(match value {
        Value::Array(items) => {
            Value::Array(items.iter().map(|item| filled(item, numbers)).collect::<Result<_, _>>()?)
        }
        Value::Object(entries) => match entries.get(FORMULA) {
            Some(n) if entries.len() == 1 => {
                let number = n.as_u64().and_then(|n| numbers.get(usize::try_from(n).ok()?));
                match number.ok_or("a formula is not there")? {
                    Number::Whole(number) => Value::from(*number),
                    Number::Constant(value) => serde_json::to_value(value).map_err(|e| e.to_string())?,
                }
            }
            _ => {
                let entry = |(key, value): (&String, &Value)| Ok((key.clone(), filled(value, numbers)?));
                Value::Object(entries.iter().map(entry).collect::<Result<_, String>>()?)
            }
        },
        other => other.clone(),
    })
}

impl General {
    pub(super) fn check(&self) -> Result<(), String> {
        let open = self.open().count();
        if self.cases.is_empty() {
            return Err("a signature has no program".into());
        }
        self.cases.iter().try_for_each(|case| case.check(open))
    }

    /// The open dimensions: argument and axis.
    fn open(&self) -> impl Iterator<Item = (usize, usize)> {
        let axes = |(n, (shape, _)): (usize, &(Vec<Option<usize>>, DType))| {
            let open = shape.iter().enumerate().filter(|(_, dim)| dim.is_none());
            open.map(|(axis, _)| (n, axis)).collect::<Vec<_>>()
        };
        self.arguments.iter().enumerate().flat_map(axes)
    }

    /// Whether arguments of these forms are of its signature.
    pub(super) fn admits(&self, forms: &[Form]) -> bool {
        let spec = |(shape, dtype): &(Vec<Option<usize>>, DType)| TensorSpec::new(shape.clone(), *dtype);
        self.arguments.len() == forms.len()
            && self.arguments.iter().zip(forms).all(|(argument, (s, d))| spec(argument).admits(s, *d))
    }

    /// The case for arguments of its signature, with its sizes; or why there is none.
    pub(super) fn case(&self, forms: &[Form]) -> Result<(&Case, Vec<usize>), String> {
        let open: Vec<(usize, usize)> = self.open().collect();
        let given: Vec<usize> = open.iter().map(|(argument, axis)| forms[*argument].0[*axis]).collect();
        let mut why = String::new();
        for case in &self.cases {
            match case.sizes_of(&given) {
                Ok(sizes) => return Ok((case, sizes)),
                // What the most special case for these sizes says.
                Err(Some((n, message))) if why.is_empty() => {
                    let place = |n: usize| format!("axis {} of argument {}", open[n].1, open[n].0);
                    let message = (0..open.len()).rev().fold(message, |message, n| {
                        message.replace(&format!("%{n},"), &format!("{},", place(n)))
                    });
                    why = format!("size of {}: {message}", place(n));
                }
                Err(_) => {}
            }
        }
        Err(why)
    }

    /// The arguments that it takes, as a call.
    pub(super) fn as_call(&self, name: &str) -> String {
        let spec =
            |(shape, dtype): &(Vec<Option<usize>>, DType)| TensorSpec::new(shape.clone(), *dtype).to_string();
        let specs: Vec<String> = self.arguments.iter().map(spec).collect();
        crate::function::signature::call_of(name, &specs.join(", "), &self.structure)
    }
}
