//! From programs of several sizes to one of formulas: numbers that differ become polynomials in the sizes.
//!
//! A polynomial is interpolated exactly, in a field of a prime's remainders, and its factors are recovered as small
//! fractions; it then has to give every number that is known.

use std::collections::HashMap;

use kiln_device::{DType, Scalar, Value as Constant};
use serde_json::Value;

use super::formula::{Formula, How, Number};
use super::general::FORMULA;

/// 2⁶¹ − 1.
const PRIME: i128 = (1 << 61) - 1;
/// The largest factor above and below the line.
const LARGEST_FACTOR: i128 = 1 << 40;
const LARGEST_DIVISOR: i128 = 1 << 12;

/// The powers of the terms that are tried in so many sizes.
pub(super) fn powers(sizes: usize) -> Vec<Vec<u32>> {
    let degree = match sizes {
        0..=4 => 3,
        _ => 2,
    };
    let mut all = vec![vec![0; sizes]];
    for k in 0..sizes {
        let higher = |powers: &Vec<u32>| {
            let left = degree - powers.iter().sum::<u32>();
            let powers = powers.clone();
            (0..=left).map(move |power| {
                let mut powers = powers.clone();
                powers[k] = power;
                powers
            })
        };
        all = all.iter().flat_map(higher).collect();
    }
    all
}

/// What programs at some points become.
pub(super) struct Fit {
    points: Vec<Vec<usize>>,
    powers: Vec<Vec<u32>>,
    /// Of the terms at the first points.
    inverse: Vec<Vec<i128>>,
    known: HashMap<(Vec<Value>, Option<DType>), Option<usize>>,
    /// Of the node whose numbers are joined: it says which floats are halves.
    dtype: Option<DType>,
    pub(super) formulas: Vec<Formula>,
}

/// Why programs do not become one.
pub(super) enum Unlike {
    /// They have other parts.
    Structure,
    /// Numbers are no formula of the sizes.
    Numbers(Vec<Value>),
}

impl Fit {
    /// For programs at these points; none where the first, as many as there are terms, do not tell all terms apart.
    pub(super) fn new(points: &[Vec<usize>], powers: Vec<Vec<u32>>) -> Option<Fit> {
        let term = |point: &Vec<usize>, powers: &Vec<u32>| {
            point.iter().zip(powers).fold(1, |product, (size, power)| {
                (0..*power).fold(product, |product, _| product * (*size as i128) % PRIME)
            })
        };
        let row = |point: &Vec<usize>| powers.iter().map(|p| term(point, p)).collect();
        let inverse = inverse(points.get(..powers.len())?.iter().map(row).collect())?;
        Some(Fit {
            points: points.to_vec(),
            powers,
            inverse,
            known: HashMap::new(),
            dtype: None,
            formulas: vec![],
        })
    }

    /// One description for those of all points.
    pub(super) fn join(&mut self, values: &[&Value]) -> Result<Value, Unlike> {
        let Some((first, rest)) = values.split_first() else { return Err(Unlike::Structure) };
        if rest.iter().all(|value| value == first) {
            return Ok((*first).clone());
        }
        if values.iter().all(|value| value.is_number() || constant(value).is_some()) {
            return self.number(values);
        }
        let around = self.dtype;
        self.dtype = dtype_of(first).or(around);
        let joined = self.parts(first, values);
        self.dtype = around;
        joined
    }

    fn parts(&mut self, first: &Value, values: &[&Value]) -> Result<Value, Unlike> {
        match first {
            Value::Array(items) => {
                let arrays: Option<Vec<&Vec<Value>>> = values.iter().map(|v| v.as_array()).collect();
                let arrays = arrays.ok_or(Unlike::Structure)?;
                if arrays.iter().any(|array| array.len() != items.len()) {
                    return Err(Unlike::Structure);
                }
                let item = |i: usize| self.join(&arrays.iter().map(|a| &a[i]).collect::<Vec<_>>());
                (0..items.len()).map(item).collect::<Result<_, _>>().map(Value::Array)
            }
            Value::Object(entries) => {
                let mut joined = serde_json::Map::new();
                for key in entries.keys() {
                    let parts: Option<Vec<&Value>> = values.iter().map(|value| value.get(key)).collect();
                    joined.insert(key.clone(), self.join(&parts.ok_or(Unlike::Structure)?)?);
                }
                let same = values.iter().all(|v| v.as_object().is_some_and(|o| o.len() == entries.len()));
                if same { Ok(Value::Object(joined)) } else { Err(Unlike::Structure) }
            }
            _ => Err(Unlike::Structure),
        }
    }

    /// A formula in the place of numbers.
    fn number(&mut self, values: &[&Value]) -> Result<Value, Unlike> {
        let values: Vec<Value> = values.iter().map(|value| (*value).clone()).collect();
        let key = (values, self.dtype);
        let found = match self.known.get(&key) {
            Some(known) => *known,
            None => {
                let found = self.formula(&key.0).map(|formula| {
                    self.formulas.push(formula);
                    self.formulas.len() - 1
                });
                self.known.insert(key.clone(), found);
                found
            }
        };
        let place = |n: usize| Value::Object([(FORMULA.to_owned(), Value::from(n))].into_iter().collect());
        found.map(place).ok_or(Unlike::Numbers(key.0))
    }

    fn formula(&self, values: &[Value]) -> Option<Formula> {
        if let Some(numbers) = values.iter().map(Value::as_i64).collect::<Option<Vec<_>>>() {
            let numbers: Vec<i128> = numbers.into_iter().map(i128::from).collect();
            let formula = self.polynomial(&numbers)?;
            return self.gives(&formula, values).then_some(formula);
        }
        let constants = values.iter().map(constant).collect::<Option<Vec<_>>>()?;
        let scalar = constants.first()?.scalar();
        if constants.iter().any(|constant| constant.scalar() != scalar) || scalar == Scalar::Bool {
            return None;
        }
        if !scalar.is_float() {
            let numbers: Vec<i128> = constants.iter().map(|c| whole(*c)).collect();
            let formula =
                Formula { constant: Some((scalar.dtype(), How::Number)), ..self.polynomial(&numbers)? };
            return self.gives(&formula, values).then_some(formula);
        }
        self.float(&constants, values)
    }

    /// A formula of floats: of whole or inverse numbers, of their roots, or of a product of sizes.
    fn float(&self, constants: &[Constant], values: &[Value]) -> Option<Formula> {
        let dtypes: &[DType] = match (constants.first()?.scalar(), &self.dtype) {
            (Scalar::F64, _) => &[DType::F64],
            (scalar, Some(dtype)) if dtype.scalar() == scalar => std::slice::from_ref(dtype),
            _ => &[DType::F32, DType::F16, DType::BF16],
        };
        let floats: Vec<f64> = constants.iter().map(|c| c.as_f64()).collect();
        for how in How::ALL {
            let inner: Vec<f64> = floats.iter().map(|x| inside(how, *x)).collect();
            let candidates = self.rounded(&inner).into_iter().chain(self.products(&inner));
            for candidate in candidates {
                for dtype in dtypes {
                    let formula = Formula { constant: Some((*dtype, how)), ..candidate.clone() };
                    if self.gives(&formula, values) {
                        return Some(formula);
                    }
                }
            }
        }
        None
    }

    /// The polynomial of the whole numbers that these are near.
    fn rounded(&self, numbers: &[f64]) -> Option<Formula> {
        let near = |x: &f64| (x.abs() < 1e15).then(|| x.round() as i128);
        self.polynomial(&numbers.iter().map(near).collect::<Option<Vec<_>>>()?)
    }

    /// Products of sizes, times or over a whole number, that are near the numbers.
    fn products(&self, numbers: &[f64]) -> Vec<Formula> {
        let product = |powers: &Vec<u32>| {
            let one = Formula { terms: vec![(1, powers.clone())], over: 1, constant: None };
            let sizes = self.points.iter().map(|point| match one.number(point) {
                Ok(Number::Whole(size)) => size as f64,
                _ => f64::NAN,
            });
            let ratios: Vec<f64> = numbers.iter().zip(sizes).map(|(number, size)| number / size).collect();
            // The mean is nearer than each, which are rounded.
            let mean = ratios.iter().sum::<f64>() / ratios.len() as f64;
            let apart = ratios.iter().any(|ratio| (ratio / mean - 1.0).abs() > 1e-2);
            let (factor, over) = if mean >= 1.0 { (mean.round(), 1.0) } else { (1.0, (1.0 / mean).round()) };
            let fits = !apart && (1.0..1e15).contains(&factor) && (1.0..1e15).contains(&over);
            fits.then(|| Formula {
                terms: vec![(factor as i64, powers.clone())],
                over: over as i64,
                constant: None,
            })
        };
        self.powers.iter().filter(|powers| powers.iter().any(|p| *p > 0)).filter_map(product).collect()
    }

    /// The polynomial that gives the numbers at the first points.
    fn polynomial(&self, numbers: &[i128]) -> Option<Formula> {
        let mut terms: Vec<(i128, i128, &Vec<u32>)> = vec![];
        for (row, powers) in self.inverse.iter().zip(&self.powers) {
            let sum = row.iter().zip(numbers).fold(0, |sum, (a, b)| (sum + a * (b % PRIME)) % PRIME);
            let (above, below) = fraction(sum.rem_euclid(PRIME))?;
            if above != 0 {
                terms.push((above, below, powers));
            }
        }
        let over = terms.iter().try_fold(1i128, |over, (_, below, _)| {
            let over = over / divisor(over, *below) * below;
            (over <= LARGEST_DIVISOR).then_some(over)
        })?;
        let term = |(above, below, powers): &(i128, i128, &Vec<u32>)| {
            Some((i64::try_from(above.checked_mul(over / below)?).ok()?, (*powers).clone()))
        };
        let terms = terms.iter().map(term).collect::<Option<_>>()?;
        Some(Formula { terms, over: over as i64, constant: None })
    }

    /// Whether a formula gives every number.
    fn gives(&self, formula: &Formula, values: &[Value]) -> bool {
        let sizes = self.points.first().map_or(0, Vec::len);
        formula.check(sizes).is_ok()
            && self.points.iter().zip(values).all(|(point, value)| match formula.number(point) {
                Ok(Number::Whole(number)) => value.as_i64() == Some(number),
                Ok(Number::Constant(number)) => constant(value) == Some(number),
                Err(_) => false,
            })
    }
}

/// The element type of a node in a description, at the top or in a call.
fn dtype_of(value: &Value) -> Option<DType> {
    let dtype = value.get("dtype").or_else(|| value.as_array().filter(|a| a.len() == 4)?.last())?;
    serde_json::from_value(dtype.clone()).ok()
}

/// A constant in a description.
fn constant(value: &Value) -> Option<Constant> {
    let words = value.as_array().filter(|words| matches!(words.len(), 2 | 3) && words[0].is_string())?;
    serde_json::from_value(Value::Array(words.clone())).ok()
}

/// A number or constant of a description, for people.
pub(super) fn in_words(value: &Value) -> String {
    constant(value).map_or_else(|| value.to_string(), |constant| constant.to_string())
}

fn whole(constant: Constant) -> i128 {
    match constant {
        Constant::I32(number) => number.into(),
        Constant::I64(number) => number.into(),
        other => other.bits().into(),
    }
}

/// The `p` of which a constant is made so.
fn inside(how: How, constant: f64) -> f64 {
    match how {
        How::Number => constant,
        How::Reciprocal => 1.0 / constant,
        How::Root => constant * constant,
        How::ReciprocalRoot | How::ReciprocalRootInSteps => 1.0 / (constant * constant),
    }
}

fn divisor(a: i128, b: i128) -> i128 {
    if b == 0 { a.abs().max(1) } else { divisor(b, a % b) }
}

/// The small fraction that a remainder stands for.
fn fraction(remainder: i128) -> Option<(i128, i128)> {
    let (mut high, mut low) = ((PRIME, 0), (remainder, 1));
    while low.0 > LARGEST_FACTOR {
        let times = high.0 / low.0;
        (high, low) = (low, (high.0 - times * low.0, high.1 - times * low.1));
    }
    let (above, below) = if low.1 < 0 { (-low.0, -low.1) } else { low };
    (below > 0 && below <= LARGEST_DIVISOR).then_some((above, below))
}

fn power(mut base: i128, mut exponent: i128) -> i128 {
    let mut product = 1;
    while exponent > 0 {
        if exponent & 1 == 1 {
            product = product * base % PRIME;
        }
        base = base * base % PRIME;
        exponent >>= 1;
    }
    product
}

/// The inverse of a matrix among remainders; none where it has none.
fn inverse(mut rows: Vec<Vec<i128>>) -> Option<Vec<Vec<i128>>> {
    let n = rows.len();
    for (i, row) in rows.iter_mut().enumerate() {
        row.extend((0..n).map(|j| i128::from(i == j)));
    }
    for column in 0..n {
        let pivot = (column..n).find(|row| rows[*row][column] != 0)?;
        rows.swap(column, pivot);
        let scale = power(rows[column][column], PRIME - 2);
        rows[column].iter_mut().for_each(|x| *x = *x * scale % PRIME);
        let pivot = rows[column].clone();
        for (_, row) in rows.iter_mut().enumerate().filter(|(row, _)| *row != column) {
            let times = row[column];
            if times != 0 {
                row.iter_mut().zip(&pivot).for_each(|(x, p)| *x = (*x - times * p).rem_euclid(PRIME));
            }
        }
    }
    Some(rows.into_iter().map(|row| row[n..].to_vec()).collect())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::points::{Range, telling};
    use super::*;

    /// What is found from the numbers of a formula at some points.
    fn found(formula: &Formula, sizes: usize) -> Option<Formula> {
        let range = Range { window: 0, multiples: vec![12; sizes] };
        let powers = powers(sizes);
        let (points, mut fit) =
            telling(&range, powers.len() + 3, |points| Fit::new(points, powers.clone())).expect("points");
        let described = |point: &Vec<usize>| match formula.number(point).ok()? {
            Number::Whole(number) => Some(Value::from(number)),
            Number::Constant(value) => serde_json::to_value(value).ok(),
        };
        let values: Vec<Value> = points.iter().map(described).collect::<Option<_>>()?;
        if values.iter().all(|value| *value == values[0]) {
            return Some(formula.clone());
        }
        fit.join(&values.iter().collect::<Vec<_>>()).ok()?;
        fit.formulas.pop()
    }

    fn same(a: &Formula, b: &Formula, point: &[usize]) -> bool {
        match (a.number(point), b.number(point)) {
            (Ok(Number::Whole(a)), Ok(Number::Whole(b))) => a == b,
            (Ok(Number::Constant(a)), Ok(Number::Constant(b))) => a == b,
            (a, b) => a.is_err() && b.is_err(),
        }
    }

    /// A polynomial of at most three terms in so many sizes.
    fn polynomial(sizes: usize) -> impl Strategy<Value = (Vec<(i64, Vec<u32>)>, i64)> {
        let term = (-5000i64..5000, prop::sample::select(powers(sizes)));
        (prop::collection::vec(term, 1..4), prop::sample::select(vec![1i64, 2, 3, 4, 6, 12]))
    }

    proptest! {
        #[test]
        fn a_polynomial_is_found_from_its_numbers(
            sizes in 1usize..4,
            seed in prop::collection::vec((-5000i64..5000, 0usize..1000), 1..4),
            over in prop::sample::select(vec![1i64, 2, 3, 4, 6, 12]),
            at in prop::collection::vec(0usize..100_000, 3),
        ) {
            let all = powers(sizes);
            // Sizes are multiples of 12: the division leaves nothing, but for the constant term.
            let term = |(factor, n): &(i64, usize)| {
                let powers = all[n % all.len()].clone();
                let whole = powers.iter().all(|p| *p == 0);
                (if whole { factor * over } else { *factor }, powers)
            };
            let formula = Formula { terms: seed.iter().map(term).collect(), over, constant: None };
            let found = found(&formula, sizes).expect("a formula");
            let at: Vec<usize> = at[..sizes].iter().map(|size| size * 12).collect();
            prop_assert!(same(&formula, &found, &at), "{formula:?} was found as {found:?}");
        }

        #[test]
        fn a_constant_is_found_from_its_bits(
            (terms, over) in polynomial(2),
            how in prop::sample::select(How::ALL.to_vec()),
            single in any::<bool>(),
            at in prop::collection::vec(1usize..100_000, 2),
        ) {
            let product: Vec<u32> = terms[0].1.clone();
            let factor = terms[0].0.abs() + 1;
            let dtype = if single { DType::F32 } else { DType::F64 };
            let formula = Formula { terms: vec![(factor, product)], over, constant: Some((dtype, how)) };
            let found = found(&formula, 2);
            // Two roots of one number in a row are seldom told from another one; a file holds what gives all bits.
            if let Some(found) = found {
                let near = |formula: &Formula| match formula.number(&at) {
                    Ok(Number::Constant(value)) => value.as_f64(),
                    _ => f64::NAN,
                };
                let (a, b) = (near(&formula), near(&found));
                prop_assert!((a / b - 1.0).abs() < 1e-6, "{formula:?} was found as {found:?}");
            } else {
                prop_assert!(over > 1 || how == How::ReciprocalRootInSteps, "{formula:?} was not found");
            }
        }
    }

    #[test]
    fn what_is_no_formula_is_not_found() {
        let range = Range { window: 1, multiples: vec![1] };
        let (points, mut fit) = telling(&range, 7, |points| Fit::new(points, powers(1))).expect("points");
        for number in
            [|n: usize| n / 2, |n: usize| n % 3, |n: usize| n.ilog2() as usize, |n: usize| 1 << n.min(40)]
        {
            let values: Vec<Value> = points.iter().map(|point| Value::from(number(point[0]))).collect();
            assert!(fit.join(&values.iter().collect::<Vec<_>>()).is_err(), "{values:?}");
        }
    }
}
