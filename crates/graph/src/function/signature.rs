//! What a function is called with: shapes and dtypes, asked for and received.

use std::fmt;

use kiln_device::{DType, size};

use crate::error::{Error, Result};
use crate::shape::Shape;
use crate::tensor::{Tensor, here};

/// What tells calls apart that need programs of their own.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Signature {
    /// The structure around the tensors, with what in it is not a tensor; nothing for a plain list.
    pub(crate) structure: String,
    /// Shapes and dtypes of the tensors.
    pub(crate) forms: Vec<Form>,
}

/// Shape and dtype of one tensor.
pub(crate) type Form = (Shape, DType);

/// Shapes and dtypes of tensors.
pub(crate) fn forms_of(tensors: &[Tensor]) -> Vec<Form> {
    tensors.iter().map(|t| (t.shape().to_vec(), t.dtype())).collect()
}

/// What a function can be prepared for: a [`Tensor`], or a [`TensorSpec`] of known sizes, for which nothing is allocated.
pub trait Argument {
    /// Shape and element type.
    ///
    /// # Errors
    /// The error that a tensor carries; a dimension of a spec that is open.
    fn form(&self) -> Result<(Shape, DType)>;

    /// The tensor itself, where there is one: its device counts.
    fn tensor(&self) -> Option<&Tensor> {
        None
    }
}

impl Argument for Tensor {
    fn form(&self) -> Result<(Shape, DType)> {
        self.check()?;
        Ok((self.shape().to_vec(), self.dtype()))
    }

    fn tensor(&self) -> Option<&Tensor> {
        Some(self)
    }
}

impl Argument for TensorSpec {
    #[track_caller]
    fn form(&self) -> Result<(Shape, DType)> {
        let shape: Option<Shape> = self.shape.iter().copied().collect();
        let form = shape.map(|shape| (shape, self.dtype)).ok_or_else(|| {
            let message =
                format!("expected a spec of known sizes, received {self}; a program is made for sizes");
            Error::Operation { op: "function", message, at: here() }
        })?;
        size::element_count(&form.0)?;
        Ok(form)
    }
}

impl<A: Argument + ?Sized> Argument for &A {
    #[track_caller]
    fn form(&self) -> Result<(Shape, DType)> {
        (**self).form()
    }

    fn tensor(&self) -> Option<&Tensor> {
        (**self).tensor()
    }
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
    let forms = &signature.forms;
    if specs.len() != forms.len() {
        return Some(format!("expected {} arguments, received {}", specs.len(), forms.len()));
    }
    specs.iter().zip(forms).enumerate().find_map(|(i, (spec, (shape, dtype)))| {
        let wrong = !spec.admits(shape, *dtype);
        wrong.then(|| format!("expected {spec} for argument {i}, received {dtype} {shape:?}"))
    })
}

/// What differs between two signatures, argument by argument.
pub(crate) fn difference(known: &Signature, new: &Signature) -> Vec<String> {
    if known.structure != new.structure {
        let [old, new] = [&known.structure, &new.structure].map(|text| shortened(text));
        return vec![format!("the structure was {old}, is {new}")];
    }
    if known.forms.len() != new.forms.len() {
        return vec![format!("{} arguments instead of {}", new.forms.len(), known.forms.len())];
    }
    let differs = |(i, (a, b)): (usize, (&Form, &Form))| {
        (a != b).then(|| format!("argument {i} was {} {:?}, is {} {:?}", a.1, a.0, b.1, b.0))
    };
    known.forms.iter().zip(&new.forms).enumerate().filter_map(differs).collect()
}

/// A signature as a call: `step(float32 [2, 3], int32 [2])`.
pub(crate) fn as_call(name: &str, signature: &Signature) -> String {
    let forms: Vec<String> =
        signature.forms.iter().map(|(shape, dtype)| format!("{dtype} {shape:?}")).collect();
    call_of(name, &forms.join(", "), &signature.structure)
}

/// Arguments in a structure, as a call.
pub(crate) fn call_of(name: &str, arguments: &str, structure: &str) -> String {
    match structure.is_empty() {
        true => format!("{name}({arguments})"),
        false => format!("{name}({arguments} in {})", shortened(structure)),
    }
}

/// The beginning of a long text.
fn shortened(text: &str) -> String {
    const LONGEST: usize = 80;
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
