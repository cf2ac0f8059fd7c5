//! What a function is called with: shapes and dtypes, asked for and received.

use std::fmt::{self, Write as _};

use kiln_device::DType;

use crate::shape::Shape;
use crate::tensor::Tensor;

/// Shapes and dtypes of the arguments.
pub(crate) type Signature = Vec<Form>;

/// Shape and dtype of one tensor.
pub(crate) type Form = (Shape, DType);

/// The signature of some arguments.
pub(crate) fn of(arguments: &[Tensor]) -> Signature {
    arguments.iter().map(|t| (t.shape().to_vec(), t.dtype())).collect()
}

/// A dtype and a shape of which some dimensions are open.
///
/// ```
/// use kiln_graph::{DType, TensorSpec};
/// let images = TensorSpec::new([None, Some(28), Some(28)], DType::F32);
/// assert_eq!(images.to_string(), "float32 [None, 28, 28]");
/// ```
#[doc(alias("InputSpec", "ShapeDtypeStruct"))]
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TensorSpec {
    /// The dimensions; `None` takes any size.
    pub shape: Vec<Option<usize>>,
    /// The element type.
    pub dtype: DType,
}

impl TensorSpec {
    /// Dimensions, `None` for any size, and an element type.
    pub fn new(shape: impl Into<Vec<Option<usize>>>, dtype: DType) -> TensorSpec {
        TensorSpec { shape: shape.into(), dtype }
    }

    /// The spec that only this tensor's shape and dtype fit.
    pub fn of(tensor: &Tensor) -> TensorSpec {
        TensorSpec { shape: tensor.shape().iter().copied().map(Some).collect(), dtype: tensor.dtype() }
    }

    /// True where a tensor of this shape and dtype fits.
    pub fn admits(&self, shape: &[usize], dtype: DType) -> bool {
        let fits = |(open, size): (&Option<usize>, &usize)| open.is_none_or(|wanted| wanted == *size);
        self.dtype == dtype && self.shape.len() == shape.len() && self.shape.iter().zip(shape).all(fits)
    }
}

impl fmt::Display for TensorSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let dims: Vec<String> =
            self.shape.iter().map(|d| d.map_or("None".into(), |size| size.to_string())).collect();
        write!(f, "{} [{}]", self.dtype, dims.join(", "))
    }
}

/// What is wrong with arguments that these specs are asked of.
pub(crate) fn mismatch(specs: &[TensorSpec], signature: &Signature) -> Option<String> {
    if specs.len() != signature.len() {
        return Some(format!("expected {} arguments, received {}", specs.len(), signature.len()));
    }
    specs.iter().zip(signature).enumerate().find_map(|(i, (spec, (shape, dtype)))| {
        let wrong = !spec.admits(shape, *dtype);
        wrong.then(|| format!("expected {spec} for argument {i}, received {dtype} {shape:?}"))
    })
}

/// What differs between two signatures, argument by argument.
pub(crate) fn difference(known: &Signature, new: &Signature) -> Vec<String> {
    if known.len() != new.len() {
        return vec![format!("{} arguments instead of {}", new.len(), known.len())];
    }
    let differs = |(i, (a, b)): (usize, (&Form, &Form))| {
        (a != b).then(|| format!("argument {i} was {} {:?}, is {} {:?}", a.1, a.0, b.1, b.0))
    };
    known.iter().zip(new).enumerate().filter_map(differs).collect()
}

/// A signature as a call: `step(float32 [2, 3], int32 [2])`.
pub(crate) fn as_call(name: &str, signature: &Signature) -> String {
    let mut text = format!("{name}(");
    for (i, (shape, dtype)) in signature.iter().enumerate() {
        let _ = write!(text, "{}{dtype} {shape:?}", if i > 0 { ", " } else { "" });
    }
    text.push(')');
    text
}
