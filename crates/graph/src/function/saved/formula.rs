//! Numbers of a program as functions of the sizes of open dimensions.

use kiln_device::{DType, Value};
use serde::{Deserialize, Serialize};

use super::format::LARGEST;
use crate::ops::creation::value_of;

/// The largest power of one size in a term.
const HIGHEST_POWER: u32 = 4;

/// A polynomial in the sizes, divided by a number.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Formula {
    /// Factors, each with the power of every size.
    pub(super) terms: Vec<(i64, Vec<u32>)>,
    /// What the sum is divided by; for a whole number without a remainder.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub(super) over: i64,
    /// How it becomes the bits of a constant; nothing for a number of the program.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) constant: Option<(DType, How)>,
}

/// What a constant is of the quotient `p`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum How {
    /// `p`.
    Number,
    /// `1 / p`.
    Reciprocal,
    /// `√p`.
    Root,
    /// `1 / √p`.
    ReciprocalRoot,
    /// `1 / √p`, each step in the constant's type.
    ReciprocalRootInSteps,
}

impl How {
    pub(super) const ALL: [How; 5] =
        [How::Number, How::Reciprocal, How::Root, How::ReciprocalRoot, How::ReciprocalRootInSteps];
}

fn one() -> i64 {
    1
}

fn is_one(number: &i64) -> bool {
    *number == 1
}

/// A number of a program for given sizes.
pub(super) enum Number {
    Whole(i64),
    Constant(Value),
}

impl Formula {
    /// Whether it is one in so many sizes, small enough to be worked out.
    pub(super) fn check(&self, sizes: usize) -> Result<(), String> {
        let fits = |(factor, powers): &(i64, Vec<u32>)| {
            factor.unsigned_abs() <= LARGEST
                && powers.len() == sizes
                && powers.iter().all(|power| *power <= HIGHEST_POWER)
        };
        if self.over > 0 && self.over as u64 <= LARGEST && self.terms.iter().all(fits) {
            Ok(())
        } else {
            Err("a formula is of other sizes".into())
        }
    }

    /// The sum above the line.
    fn sum(&self, sizes: &[usize]) -> Option<i128> {
        self.terms.iter().try_fold(0i128, |sum, (factor, powers)| {
            let term = powers.iter().zip(sizes).try_fold(i128::from(*factor), |product, (power, size)| {
                product.checked_mul((*size as i128).checked_pow(*power)?)
            })?;
            sum.checked_add(term)
        })
    }

    /// The number for sizes, or why there is none.
    pub(super) fn number(&self, sizes: &[usize]) -> Result<Number, String> {
        let sum = self.sum(sizes).ok_or("a number of the program is too large")?;
        match self.constant {
            Some((dtype, how)) => Ok(Number::Constant(constant(sum, self.over, dtype, how)?)),
            None => whole(sum, self.over).map(Number::Whole),
        }
    }
}

fn whole(sum: i128, over: i64) -> Result<i64, String> {
    let over = i128::from(over);
    if sum % over != 0 {
        return Err(format!("{sum} is not a multiple of {over}"));
    }
    match i64::try_from(sum / over) {
        Ok(number) if number.unsigned_abs() <= LARGEST => Ok(number),
        _ => Err("a number of the program is too large".into()),
    }
}

fn constant(sum: i128, over: i64, dtype: DType, how: How) -> Result<Value, String> {
    if !dtype.is_float() {
        let number = whole(sum, over)?;
        let large = || format!("{number} is no {dtype}");
        return Ok(match dtype {
            DType::I32 => Value::I32(i32::try_from(number).map_err(|_| large())?),
            DType::I64 => Value::I64(number),
            DType::U32 => Value::U32(u32::try_from(number).map_err(|_| large())?),
            _ => return Err(large()),
        });
    }
    let (above, below) = (sum as f64, over as f64);
    let number = match how {
        How::Number => above / below,
        How::Reciprocal => below / above,
        How::Root => (above / below).sqrt(),
        How::ReciprocalRoot => 1.0 / (above / below).sqrt(),
        How::ReciprocalRootInSteps => 1.0 / value_of((above / below).sqrt(), dtype).as_f64(),
    };
    Ok(value_of(number, dtype))
}
