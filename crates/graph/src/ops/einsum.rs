//! Einstein's summation: any sum of products of tensors, written by the labels of its axes.

use std::collections::BTreeMap;
use std::fmt;

use super::arrange::{failed_among, permuted, stepped};
use super::products::{as_kind, product_dtype};
use crate::error::At;
use crate::tensor::{Tensor, here};

/// The label of an axis: a letter, or the number of an axis under an ellipsis, counted from the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Label {
    Ellipsis(std::cmp::Reverse<usize>),
    Letter(char),
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Label::Letter(letter) => write!(f, "`{letter}`"),
            Label::Ellipsis(_) => write!(f, "`...`"),
        }
    }
}

/// A tensor with a label on every axis, all different once [`Labelled::diagonal`] has run.
#[derive(Clone)]
struct Labelled {
    tensor: Tensor,
    labels: Vec<Label>,
}

/// The sum of products that the subscripts describe: letters label axes, operands are separated by commas; labels that
/// are missing after `->` are summed over. Without `->` the result has the labels that occur once, in alphabetical order.
/// A label twice in one operand is its diagonal; `...` stands for any axes, which broadcast.
///
/// Operands are multiplied in pairs, the pair with the smallest result first.
///
/// ```
/// use kiln_graph::{Tensor, ops};
/// let m = Tensor::from_vec(&[1.0f32, 2.0, 3.0, 4.0], &[2, 2]);
/// assert_eq!(ops::einsum("ii", &[m.clone()]).to_vec::<f32>()?, [5.0]);
/// assert_eq!(ops::einsum("ij,j->i", &[m, Tensor::ones(&[2])]).to_vec::<f32>()?, [3.0, 7.0]);
/// # Ok::<(), kiln_graph::Error>(())
/// ```
#[track_caller]
pub fn einsum(subscripts: &str, operands: &[Tensor]) -> Tensor {
    let at = here();
    if let Some(failed) = failed_among(operands) {
        return failed;
    }
    match summed(subscripts, operands, at) {
        Ok(result) => as_kind(result, &operands.iter().collect::<Vec<_>>()).part_of("einsum", at, operands),
        Err(message) => Tensor::failed("einsum", message, at),
    }
}

fn summed(subscripts: &str, operands: &[Tensor], at: At) -> Result<Tensor, String> {
    let (mut terms, output) = parse(subscripts, operands)?;
    let extents = extents(&terms, subscripts)?;
    let dtype = product_dtype(operands);
    for term in &mut terms {
        term.tensor = term.tensor.cast_at(dtype, at);
        term.diagonal(&extents, at);
    }
    if let Some(lost) = output.iter().find(|l| !extents.contains_key(l)) {
        return Err(format!("label {lost} of the result of `{subscripts}` is not in any operand"));
    }
    while terms.len() > 1 {
        let (i, j) = cheapest(&terms, &output, &extents);
        let second = terms.remove(j);
        let first = terms.remove(i);
        let wanted: Vec<Label> =
            output.iter().copied().chain(terms.iter().flat_map(|t| t.labels.clone())).collect();
        // Where the product stood among the operands does not matter.
        terms.push(first.times(second, &wanted, at));
    }
    let Some(last) = terms.pop() else {
        return Err("expected at least one operand".into());
    };
    let last = last.summed_to(&output, at);
    Ok(last.ordered(&output, at))
}

/// Operands with their labels, and the labels of the result.
fn parse(subscripts: &str, operands: &[Tensor]) -> Result<(Vec<Labelled>, Vec<Label>), String> {
    let text: String = subscripts.chars().filter(|c| !c.is_whitespace()).collect();
    let (inputs, output) = match text.split_once("->") {
        Some((inputs, output)) => (inputs.to_owned(), Some(output.to_owned())),
        None => (text, None),
    };
    let parts: Vec<&str> = inputs.split(',').collect();
    if parts.len() != operands.len() {
        return Err(format!("`{subscripts}` has {} operands, received {}", parts.len(), operands.len()));
    }
    let mut terms = vec![];
    let mut widest = 0;
    for (part, tensor) in parts.into_iter().zip(operands) {
        let letters = part.replacen("...", "", 1).chars().count();
        let hidden = tensor.rank().checked_sub(letters).filter(|n| *n == 0 || part.contains("..."));
        let Some(hidden) = hidden else {
            return Err(format!("`{part}` does not fit an operand of shape {:?}", tensor.shape()));
        };
        widest = widest.max(hidden);
        terms.push(Labelled { tensor: tensor.clone(), labels: labels(part, hidden, subscripts)? });
    }
    let output = match output {
        Some(output) => {
            if widest > 0 && !output.contains("...") {
                return Err(format!("`{subscripts}`: the result must hold `...`, which operands have"));
            }
            let named = labels(&output, widest, subscripts)?;
            if let Some((_, twice)) = named.iter().enumerate().find(|(i, l)| named[..*i].contains(l)) {
                return Err(format!("label {twice} is twice in the result of `{subscripts}`"));
            }
            named
        }
        None => implicit(&terms, widest),
    };
    Ok((terms, output))
}

fn labels(part: &str, hidden: usize, subscripts: &str) -> Result<Vec<Label>, String> {
    let (before, after) = part.split_once("...").map_or((part, None), |(b, a)| (b, Some(a)));
    let letters = |text: &str| -> Result<Vec<Label>, String> {
        let bad = |c: &char| !c.is_ascii_alphabetic();
        match text.chars().find(bad) {
            Some(c) => {
                Err(format!("expected letters, `,`, `->` and `...`, received `{c}` in `{subscripts}`"))
            }
            None => Ok(text.chars().map(Label::Letter).collect()),
        }
    };
    let mut all = letters(before)?;
    if let Some(after) = after {
        all.extend((0..hidden).rev().map(|i| Label::Ellipsis(std::cmp::Reverse(i))));
        all.extend(letters(after)?);
    }
    Ok(all)
}

/// The labels of a result that is not written: the ellipsis, then the letters that occur once, in order.
fn implicit(terms: &[Labelled], widest: usize) -> Vec<Label> {
    let mut letters: BTreeMap<char, usize> = BTreeMap::new();
    for label in terms.iter().flat_map(|t| &t.labels) {
        if let Label::Letter(letter) = label {
            *letters.entry(*letter).or_default() += 1;
        }
    }
    let hidden = (0..widest).rev().map(|i| Label::Ellipsis(std::cmp::Reverse(i)));
    hidden.chain(letters.into_iter().filter(|(_, n)| *n == 1).map(|(l, _)| Label::Letter(l))).collect()
}

/// The extent of every label; 1 broadcasts.
fn extents(terms: &[Labelled], subscripts: &str) -> Result<BTreeMap<Label, usize>, String> {
    let mut extents: BTreeMap<Label, usize> = BTreeMap::new();
    for term in terms {
        for (i, (label, extent)) in term.labels.iter().zip(term.tensor.shape()).enumerate() {
            let twice =
                term.labels[..i].iter().position(|l| l == label).map(|first| term.tensor.shape()[first]);
            if let Some(other) = twice.filter(|other| other != extent) {
                return Err(format!(
                    "label {label} is twice in an operand, with extents {other} and {extent}"
                ));
            }
            let known = extents.entry(*label).or_insert(*extent);
            if *known == 1 {
                *known = *extent;
            } else if *extent != 1 && known != extent {
                return Err(format!("label {label} of `{subscripts}` has extents {known} and {extent}"));
            }
        }
    }
    Ok(extents)
}

/// The pair whose product is smallest.
fn cheapest(terms: &[Labelled], output: &[Label], extents: &BTreeMap<Label, usize>) -> (usize, usize) {
    let size = |i: usize, j: usize| {
        let mut joined: Vec<Label> = terms[i].labels.iter().chain(&terms[j].labels).copied().collect();
        joined.sort_unstable();
        joined.dedup();
        let elsewhere = |l: &Label| {
            let others = terms.iter().enumerate().filter(|(n, _)| *n != i && *n != j);
            output.contains(l) || others.into_iter().any(|(_, t)| t.labels.contains(l))
        };
        joined.iter().filter(|l| elsewhere(l)).map(|l| extents[l] as f64).product::<f64>()
    };
    let pairs = (0..terms.len()).flat_map(|i| (i + 1..terms.len()).map(move |j| (i, j)));
    pairs.min_by(|a, b| size(a.0, a.1).total_cmp(&size(b.0, b.1))).unwrap_or((0, 1))
}

impl Labelled {
    /// Keeps one axis of every label, the diagonal of those that have several; axes of extent 1 whose label is longer
    /// elsewhere go: the product repeats them.
    fn diagonal(&mut self, extents: &BTreeMap<Label, usize>, at: At) {
        let mut axis = 0;
        while axis < self.labels.len() {
            let label = self.labels[axis];
            if self.tensor.shape().get(axis) == Some(&1) && extents[&label] != 1 {
                self.drop_axis(axis, at);
                continue;
            }
            match self.labels[..axis].iter().position(|l| *l == label) {
                Some(first) => self.merge(first, axis, at),
                None => axis += 1,
            }
        }
    }

    fn drop_axis(&mut self, axis: usize, at: At) {
        self.labels.remove(axis);
        let mut shape = self.tensor.shape().to_vec();
        shape.remove(axis);
        self.tensor = self.tensor.reshape_at(shape, at);
    }

    /// The diagonal of two axes of one extent, in place of the first.
    fn merge(&mut self, first: usize, second: usize, at: At) {
        let extent = self.tensor.shape()[first];
        let rest = (0..self.tensor.rank()).filter(|i| *i != first && *i != second);
        let order: Vec<usize> = [first, second].into_iter().chain(rest).collect();
        let flat = permuted(&self.tensor, order.clone(), at);
        let others = flat.shape()[2..].to_vec();
        let flat = flat.reshape_at([&[extent * extent], &others[..]].concat(), at);
        self.tensor = stepped(&flat, 0, 0, extent as i64 + 1, extent, "einsum", at);
        self.labels =
            std::iter::once(first).chain(order[2..].iter().copied()).map(|i| self.labels[i]).collect();
    }

    /// Sums over the labels that nobody wants.
    fn summed_to(mut self, wanted: &[Label], at: At) -> Labelled {
        let lost: Vec<i64> =
            (0..self.labels.len()).filter(|i| !wanted.contains(&self.labels[*i])).map(|i| i as i64).collect();
        if !lost.is_empty() {
            self.tensor = self.tensor.sum(lost).part_of("einsum", at, std::slice::from_ref(&self.tensor));
            self.labels.retain(|l| wanted.contains(l));
        }
        self
    }

    /// The axes in the order of labels it has.
    fn ordered(&self, labels: &[Label], at: At) -> Tensor {
        permuted(
            &self.tensor,
            labels.iter().filter_map(|l| self.labels.iter().position(|m| m == l)).collect(),
            at,
        )
    }

    /// The extents of some of its labels.
    fn extents(&self, labels: &[Label]) -> Vec<usize> {
        let extent = |l: &Label| self.labels.iter().position(|m| m == l).map(|i| self.tensor.shape()[i]);
        labels.iter().filter_map(extent).collect()
    }

    /// The product of two, summed over the labels that only they have.
    fn times(self, other: Labelled, wanted: &[Label], at: At) -> Labelled {
        let of_both = |l: &Label, a: &Labelled| wanted.contains(l) || a.labels.contains(l);
        let needed: Vec<Label> = self.labels.iter().filter(|l| of_both(l, &other)).copied().collect();
        let left = self.clone().summed_to(&needed, at);
        let needed: Vec<Label> = other.labels.iter().filter(|l| of_both(l, &self)).copied().collect();
        let right = other.summed_to(&needed, at);
        if let Some(failed) = failed_among([&left.tensor, &right.tensor]) {
            return Labelled { tensor: failed, labels: vec![] };
        }
        let shared = |l: &&Label| right.labels.contains(l);
        let batch: Vec<Label> =
            left.labels.iter().filter(shared).filter(|l| wanted.contains(l)).copied().collect();
        let inner: Vec<Label> =
            left.labels.iter().filter(shared).filter(|l| !wanted.contains(l)).copied().collect();
        let rows: Vec<Label> = left.labels.iter().filter(|l| !right.labels.contains(l)).copied().collect();
        let columns: Vec<Label> = right.labels.iter().filter(|l| !left.labels.contains(l)).copied().collect();
        let labels = [&batch[..], &rows, &columns].concat();
        let (lead, m, n) = (left.extents(&batch), left.extents(&rows), right.extents(&columns));
        let k = left.extents(&inner);
        let a = left.ordered(&[&batch[..], &rows, &inner].concat(), at);
        let b = right.ordered(&[&batch[..], &inner, &columns].concat(), at);
        let count = |shape: &[usize]| shape.iter().product::<usize>();
        let tensor = if inner.is_empty() || (rows.is_empty() && columns.is_empty()) {
            // Nothing to sum, or a sum in each row: elementwise, so that it joins its neighbours' kernels.
            let a = a.reshape_at([&lead[..], &m, &vec![1; n.len()], &k].concat(), at);
            let b = b.reshape_at([&lead[..], &vec![1; m.len()], &k, &n].concat(), at);
            let last: Vec<i64> = (labels.len()..labels.len() + inner.len()).map(|i| i as i64).collect();
            let product = a * b;
            if last.is_empty() { product } else { product.sum(last) }
        } else {
            let a = a.reshape_at([&lead[..], &[count(&m), count(&k)]].concat(), at);
            let b = b.reshape_at([&lead[..], &[count(&k), count(&n)]].concat(), at);
            a.matmul(&b).reshape_at([&lead[..], &m, &n].concat(), at)
        };
        Labelled { tensor, labels }
    }
}
