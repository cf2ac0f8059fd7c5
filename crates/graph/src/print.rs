//! Arrays for people.

use std::fmt;

use kiln_device::DType;

use crate::tensor::Element;

/// Most elements of an axis that are printed; a longer one shows its ends.
const SHOWN: usize = 8;

/// Prints host elements in NumPy's nesting.
pub(crate) fn array(f: &mut fmt::Formatter<'_>, bytes: &[u8], shape: &[usize], dtype: DType) -> fmt::Result {
    let size = dtype.host_size();
    let element = |f: &mut fmt::Formatter<'_>, i: usize| {
        let bytes = &bytes[i * size..(i + 1) * size];
        match dtype {
            DType::F32 => write!(f, "{:?}", f32::from_bytes(bytes)[0]),
            DType::F64 => write!(f, "{:?}", f64::from_bytes(bytes)[0]),
            DType::F16 => write!(f, "{:?}", half::f16::from_bytes(bytes)[0]),
            DType::BF16 => write!(f, "{:?}", half::bf16::from_bytes(bytes)[0]),
            DType::I32 => write!(f, "{}", i32::from_bytes(bytes)[0]),
            DType::I64 => write!(f, "{}", i64::from_bytes(bytes)[0]),
            DType::U32 => write!(f, "{}", u32::from_bytes(bytes)[0]),
            DType::U8 => write!(f, "{}", bytes[0]),
            DType::Bool => write!(f, "{}", bytes[0] != 0),
        }
    };
    nested(f, shape, 0, &element)
}

type PrintElement<'a> = dyn Fn(&mut fmt::Formatter<'_>, usize) -> fmt::Result + 'a;

fn nested(
    f: &mut fmt::Formatter<'_>,
    shape: &[usize],
    first: usize,
    element: &PrintElement<'_>,
) -> fmt::Result {
    let [extent, rest @ ..] = shape else {
        return element(f, first);
    };
    let step: usize = rest.iter().product();
    let separator = if rest.is_empty() { ", " } else { ",\n" };
    f.write_str("[")?;
    for i in 0..*extent {
        let hidden = *extent > SHOWN && i >= SHOWN / 2 && i < extent - SHOWN / 2;
        if hidden {
            if i == SHOWN / 2 {
                f.write_str(separator)?;
                f.write_str("…")?;
            }
            continue;
        }
        if i > 0 {
            f.write_str(separator)?;
        }
        nested(f, rest, first + i * step, element)?;
    }
    f.write_str("]")
}
