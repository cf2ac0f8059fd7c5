//! Functions of the host inside a graph.

use std::any::{Any, TypeId};
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use kiln_device::{DType, HostFunction, size};

use crate::bundle::{Source, bundle};
use crate::error::Error;
use crate::op::{Call, Form, Host, Identity, Work};
use crate::tensor::{Element, Tensor, here};
use crate::trace;

/// An array in host memory: dense, row-major.
#[doc(alias = "ndarray")]
#[derive(Clone)]
pub struct HostArray {
    shape: Vec<usize>,
    dtype: DType,
    /// A `Vec` of the element type.
    elements: Arc<dyn Any + Send + Sync>,
}

impl HostArray {
    /// An array of elements in row-major order. That they are as many as the shape has is checked where it is used.
    pub fn new<T: Element>(shape: impl Into<Vec<usize>>, elements: Vec<T>) -> HostArray {
        HostArray { shape: shape.into(), dtype: T::DTYPE, elements: Arc::new(elements) }
    }

    /// The dimensions.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The element type.
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    /// The elements in row-major order.
    ///
    /// # Errors
    /// Where the array has another element type.
    pub fn as_slice<T: Element>(&self) -> Result<&[T], String> {
        let elements = self.elements.downcast_ref::<Vec<T>>();
        elements
            .map(Vec::as_slice)
            .ok_or_else(|| format!("expected {} elements, received {}", T::DTYPE, self.dtype))
    }

    /// An array of host bytes.
    pub(crate) fn from_bytes(shape: &[usize], dtype: DType, bytes: &[u8]) -> HostArray {
        fn of<T: Element>(shape: &[usize], bytes: &[u8]) -> HostArray {
            HostArray::new(shape, T::from_bytes(bytes))
        }
        match dtype {
            DType::F32 => of::<f32>(shape, bytes),
            DType::F64 => of::<f64>(shape, bytes),
            DType::F16 => of::<half::f16>(shape, bytes),
            DType::BF16 => of::<half::bf16>(shape, bytes),
            DType::I32 => of::<i32>(shape, bytes),
            DType::I64 => of::<i64>(shape, bytes),
            DType::U32 => of::<u32>(shape, bytes),
            DType::U8 => of::<u8>(shape, bytes),
            DType::Bool => of::<bool>(shape, bytes),
        }
    }

    /// Its elements as host bytes.
    pub(crate) fn to_bytes(&self) -> Result<Vec<u8>, String> {
        fn of<T: Element>(array: &HostArray) -> Result<Vec<u8>, String> {
            array.as_slice::<T>().map(T::to_bytes)
        }
        match self.dtype {
            DType::F32 => of::<f32>(self),
            DType::F64 => of::<f64>(self),
            DType::F16 => of::<half::f16>(self),
            DType::BF16 => of::<half::bf16>(self),
            DType::I32 => of::<i32>(self),
            DType::I64 => of::<i64>(self),
            DType::U32 => of::<u32>(self),
            DType::U8 => of::<u8>(self),
            DType::Bool => of::<bool>(self),
        }
    }
}

impl fmt::Debug for HostArray {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HostArray({:?}, {})", self.shape, self.dtype)
    }
}

type HostResult = Result<Vec<HostArray>, String>;

/// Calls a function of the host on values when the program runs: `f` gets one array per input and gives one per entry
/// of `outputs`, of that shape and type.
///
/// It works inside functions, branches and loops, on every device; on a GPU the program waits for the inputs and
/// uploads the results, each time. `f` must depend on its inputs alone: it is not called where no result is needed, and
/// may be called once where two calls have equal inputs. It cannot compute tensors. There is no gradient: see
/// [`host_call_with_gradient`].
///
/// It may wait for other threads, which may call functions and read any variable (of those that this program assigns they
/// see the values from before); not for one that assigns a variable which this program assigns too, nor on a GPU for
/// another call of this program.
///
/// Two calls of one function item or closure that captures nothing are the same operation, so that their compiled
/// programs are shared; pass parameters as inputs rather than captures where you can.
///
/// # Errors
/// The results carry the first error of an input. An error of `f`, a panic in it and results of other forms are errors
/// of the run that name `op` and the caller's line.
///
/// ```
/// use kiln_graph::{DType, HostArray, Tensor, host_call};
/// let x = Tensor::from_slice(&[3.0f32, 1.0, 2.0]);
/// let median = host_call("median", &[x], &[(vec![], DType::F32)], |x| {
///     let mut sorted = x[0].as_slice::<f32>()?.to_vec();
///     sorted.sort_by(f32::total_cmp);
///     Ok(vec![HostArray::new([], vec![sorted[sorted.len() / 2]])])
/// });
/// assert_eq!(median[0].item::<f32>()?, 2.0);
/// # Ok::<(), kiln_graph::Error>(())
/// ```
#[doc(alias("py_function", "numpy_function", "pure_callback"))]
#[track_caller]
pub fn host_call<F>(op: &'static str, inputs: &[Tensor], outputs: &[Form], f: F) -> Vec<Tensor>
where
    F: Fn(&[HostArray]) -> HostResult + Send + Sync + 'static,
{
    let at = here();
    let failed = |tensor: Tensor| vec![tensor; outputs.len()];
    if let Some(error) = inputs.iter().find(|t| t.error().is_some()) {
        return failed(error.clone());
    }
    if let Some(error) = outputs.iter().find_map(|(shape, _)| size::element_count(shape).err()) {
        return failed(Tensor::failed(op, error.to_string(), at));
    }
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let identity = match size_of::<F>() {
        0 => Identity::Type(TypeId::of::<F>()),
        _ => Identity::Number(NEXT.fetch_add(1, Ordering::Relaxed)),
    };
    let taken: Vec<Form> = inputs.iter().map(|t| (t.shape().to_vec(), t.dtype())).collect();
    let given = outputs.to_vec();
    let function = HostFunction::new(op, at.to_string(), move |bytes| {
        let array = |((shape, dtype), bytes): (&Form, &Vec<u8>)| HostArray::from_bytes(shape, *dtype, bytes);
        let arrays: Vec<HostArray> = taken.iter().zip(bytes).map(array).collect();
        let called = || trace::host(op, || catch_unwind(AssertUnwindSafe(|| f(&arrays))));
        let results = called().unwrap_or_else(|panic| Err(format!("panicked: {}", text_of(&*panic))))?;
        checked(&results, &given)
    });
    let work = Work::Host(Host::new(identity, function));
    let call = Arc::new(Call { results: outputs.to_vec(), work });
    bundle(Source::Host(call), inputs.to_vec(), outputs.to_vec(), at)
}

/// [`host_call`] with a gradient: `rule(gradients, results, inputs)` gives that of each input (`None` for none), given
/// those of all results, as tensors.
///
/// ```
/// use kiln_graph::{DType, HostArray, Tensor, gradients, host_call_with_gradient};
/// let x = Tensor::from_slice(&[1.0f32, 2.0]);
/// let cube = |x: &[HostArray]| {
///     let cubes = x[0].as_slice::<f32>()?.iter().map(|x| x * x * x).collect();
///     Ok(vec![HostArray::new(x[0].shape(), cubes)])
/// };
/// let y = host_call_with_gradient("cube", &[x.clone()], &[(vec![2], DType::F32)], cube, |g, _, x| {
///     vec![Some(&g[0] * x[0].square() * 3.0)]
/// });
/// assert_eq!(gradients(&y[0].sum(()), &[x])?[0].to_vec::<f32>()?, [3.0, 12.0]);
/// # Ok::<(), kiln_graph::Error>(())
/// ```
#[doc(alias = "py_function")]
#[track_caller]
pub fn host_call_with_gradient<F>(
    op: &'static str,
    inputs: &[Tensor],
    outputs: &[Form],
    f: F,
    rule: impl Fn(&[Tensor], &[Tensor], &[Tensor]) -> Vec<Option<Tensor>> + Send + Sync + 'static,
) -> Vec<Tensor>
where
    F: Fn(&[HostArray]) -> HostResult + Send + Sync + 'static,
{
    Tensor::custom_gradients(&host_call(op, inputs, outputs, f), inputs, rule)
}

/// The bytes of results of the forms that were declared.
fn checked(results: &[HostArray], declared: &[Form]) -> Result<Vec<Vec<u8>>, String> {
    let forms: Vec<Form> = results.iter().map(|r| (r.shape.clone(), r.dtype)).collect();
    if forms != declared {
        return Err(format!("expected results {}, received {}", listed(declared), listed(&forms)));
    }
    let bytes = results.iter().map(HostArray::to_bytes).collect::<Result<Vec<_>, _>>()?;
    for (bytes, (shape, dtype)) in bytes.iter().zip(declared) {
        let (count, expected) = (bytes.len() / dtype.host_size(), size::element_count(shape));
        if expected.as_ref() != Ok(&count) {
            return Err(format!("expected the elements of shape {shape:?}, received {count}"));
        }
    }
    Ok(bytes)
}

fn listed(forms: &[Form]) -> String {
    let form = |(shape, dtype): &Form| format!("{dtype} {shape:?}");
    format!("[{}]", forms.iter().map(form).collect::<Vec<_>>().join(", "))
}

pub(crate) fn text_of(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|s| s.to_string());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no message".into())
}

impl From<HostArray> for Tensor {
    /// The array as a tensor; one whose elements do not fill its shape carries the error.
    #[track_caller]
    fn from(array: HostArray) -> Tensor {
        let at = here();
        let bytes = checked(std::slice::from_ref(&array), &[(array.shape.clone(), array.dtype)]);
        match bytes.map(|mut bytes| bytes.remove(0)) {
            Ok(bytes) => Tensor::from_host(bytes.into(), array.shape, array.dtype, at),
            Err(message) => Tensor::from_error(Error::Operation { op: "from", message, at }, at),
        }
    }
}
