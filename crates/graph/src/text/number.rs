//! Strings from numbers, and numbers from strings.

use kiln_device::DType;

use crate::error::Result;
use crate::site::Site;
use crate::tensor::Tensor;
use crate::text::StringTensor;

/// How numbers are written: `printf`'s `%d` for integers, `%f`, `%e` or `%g` for floats.
#[derive(Clone, Debug, Default)]
pub struct NumberFormat {
    /// Digits after the point (significant ones where `shortest`) of floats; `None` is 6.
    pub precision: Option<usize>,
    /// Floats in scientific notation, `%e`.
    pub scientific: bool,
    /// Floats in the shorter of both notations, `%g`.
    pub shortest: bool,
    /// Numbers are at least so wide; `None` is as wide as they are.
    pub width: Option<usize>,
    /// What fills the width: a space or `0` before the number, `-` for spaces after it, `+` for spaces before it and a sign
    /// of numbers that are not negative. `None` is a space.
    pub fill: Option<char>,
}

/// Numbers as strings, of the same shape. The tensor is read at once. Booleans are `true` and `false`.
///
/// ```
/// use kiln_graph::{Tensor, text};
/// let numbers = text::as_string(&Tensor::from_slice(&[3.14159f32]), &text::NumberFormat {
///     precision: Some(2),
///     ..Default::default()
/// });
/// assert_eq!(numbers.to_vec()?, ["3.14"]);
/// # Ok::<(), kiln_graph::Error>(())
/// ```
#[track_caller]
pub fn as_string(numbers: &Tensor, format: &NumberFormat) -> StringTensor {
    let site = Site::new("strings.as_string");
    site.settle(|| {
        numbers.check()?;
        site.expect(!(format.scientific && format.shortest), || {
            "scientific and shortest exclude each other; leave one out".to_owned()
        })?;
        site.expect(format.fill.is_none_or(|fill| [' ', '0', '-', '+'].contains(&fill)), || {
            format!("expected a fill of ' ', '0', '-' or '+', received {:?}", format.fill)
        })?;
        let written = match numbers.dtype() {
            DType::Bool => site.flags(numbers)?.iter().map(bool::to_string).collect(),
            dtype if dtype.is_integer() => {
                let digits = |n: &i64| padded(&n.unsigned_abs().to_string(), *n < 0, format, true);
                site.wide_integers(numbers)?.iter().map(digits).collect()
            }
            _ => site.floats(numbers)?.iter().map(|x| float(*x, format)).collect(),
        };
        Ok(StringTensor::made(written, numbers.shape().to_vec()))
    })
}

fn float(x: f64, format: &NumberFormat) -> String {
    let precision = format.precision.unwrap_or(6);
    let size = x.abs();
    let written = if !size.is_finite() {
        if size.is_nan() { "nan" } else { "inf" }.to_owned()
    } else if format.scientific {
        scientific(size, precision)
    } else if format.shortest {
        general(size, precision)
    } else {
        format!("{size:.precision$}")
    };
    padded(&written, x.is_sign_negative() && !x.is_nan(), format, size.is_finite())
}

/// `%e`: an exponent of a sign and at least two digits.
fn scientific(size: f64, precision: usize) -> String {
    let written = format!("{size:.precision$e}");
    let (mantissa, exponent) = written.split_once('e').unwrap_or((&written, "0"));
    let (sign, digits) = exponent.strip_prefix('-').map_or(('+', exponent), |digits| ('-', digits));
    format!("{mantissa}e{sign}{digits:0>2}")
}

/// `%g`: so many significant digits, without zeros at the end.
pub(super) fn general(size: f64, precision: usize) -> String {
    let significant = precision.max(1);
    let written = scientific(size, significant - 1);
    let exponent: i32 = written.split_once('e').and_then(|(_, e)| e.parse().ok()).unwrap_or(0);
    let trimmed = |text: &str| match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text.to_owned(),
    };
    if exponent < -4 || exponent >= significant as i32 {
        let (mantissa, exponent) = written.split_once('e').unwrap_or((&written, "+00"));
        return format!("{}e{exponent}", trimmed(mantissa));
    }
    let decimals = (significant as i32 - 1 - exponent) as usize;
    trimmed(&format!("{size:.decimals$}"))
}

fn padded(digits: &str, negative: bool, format: &NumberFormat, finite: bool) -> String {
    let sign = match (negative, format.fill) {
        (true, _) => "-",
        (false, Some('+')) => "+",
        (false, Some(' ')) => " ",
        (false, _) => "",
    };
    let missing = format.width.unwrap_or(0).saturating_sub(sign.len() + digits.len());
    match format.fill {
        Some('0') if finite => format!("{sign}{}{digits}", "0".repeat(missing)),
        Some('-') => format!("{sign}{digits}{}", " ".repeat(missing)),
        _ => format!("{}{sign}{digits}", " ".repeat(missing)),
    }
}

impl StringTensor {
    /// The number that each string is, white space around it aside, as `float32`,
    /// `float64`, `int32`, `int64`, `uint32` or `uint8`.
    ///
    /// Carries an error where a string is no number, or one out of the type's range.
    #[track_caller]
    pub fn to_number(&self, dtype: DType) -> Tensor {
        let site = Site::new("strings.to_number");
        fn parsed<T: crate::Element + std::str::FromStr>(
            strings: &StringTensor,
            site: Site,
        ) -> Result<Tensor> {
            let number = |s: &String| {
                s.trim()
                    .parse::<T>()
                    .map_err(|_| site.error(format!("expected numbers of {}, received {s:?}", T::DTYPE)))
            };
            let numbers = strings.elements().iter().map(number).collect::<Result<Vec<T>>>()?;
            Ok(Tensor::from_vec(&numbers, strings.shape()))
        }
        site.settle(|| {
            self.check()?;
            match dtype {
                DType::F32 => parsed::<f32>(self, site),
                DType::F64 => parsed::<f64>(self, site),
                DType::I32 => parsed::<i32>(self, site),
                DType::I64 => parsed::<i64>(self, site),
                DType::U32 => parsed::<u32>(self, site),
                DType::U8 => parsed::<u8>(self, site),
                other => Err(site.error(format!(
                    "expected float32, float64, int32, int64, uint32 or uint8, received {other}"
                ))),
            }
        })
    }
}
