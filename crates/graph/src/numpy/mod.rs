//! NumPy's files: `.npy` of one array and, with the feature `npz`, `.npz` of several.
//!
//! Arrays keep their type; of types that Kiln lacks, integers are read as the next wider ones, with their values or an
//! error, never another number. `float64` and `int64` stay what they are, which GPUs do not compute in: [`narrowed`] makes
//! `float32` and `int32` of them. Both byte orders and both orders of elements are read; what is written is byte for byte
//! what NumPy writes. Pickled objects are never loaded: a file is data.
//!
//! A malformed or malicious file is an error; what reading one may cost is bounded by a [`ReadBudget`].
//!
//! ```
//! use kiln_graph::{Tensor, numpy};
//! let folder = tempfile::tempdir()?;
//! let path = folder.path().join("weights.npy");
//! numpy::save(&path, &Tensor::from_vec(&[1.0f32, 2.0, 3.0, 4.0], &[2, 2]))?;
//! let weights = numpy::load(&path)?;
//! assert_eq!(weights.shape(), [2, 2]);
//! assert_eq!(weights.to_vec::<f32>()?, [1.0, 2.0, 3.0, 4.0]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#[cfg(feature = "npz")]
mod archive;
mod header;
mod types;

use std::path::Path;

use kiln_device::size;

#[cfg(feature = "npz")]
pub use archive::{load_npz, load_npz_within, savez, savez_compressed};

use crate::error::{Error, Result};
use crate::files::{ReadBudget, atomic_write, file_error};
use crate::tensor::{Tensor, here};
use header::Header;

/// Why some bytes are no array that Kiln can hold, for people.
type Reason = String;

/// Reads the array of a `.npy` file.
///
/// # Errors
/// Where the file is missing, damaged, larger than the [default budget](ReadBudget), of a type that Kiln has no place
/// for (strings, complex numbers, records, objects), or holds a number that its type here cannot.
#[doc(alias = "np.load")]
pub fn load(path: impl AsRef<Path>) -> Result<Tensor> {
    load_within(path, &ReadBudget::default())
}

/// [`load`] with a budget for the file.
///
/// # Errors
/// As [`load`], and where the file exceeds the budget.
pub fn load_within(path: impl AsRef<Path>, budget: &ReadBudget) -> Result<Tensor> {
    let path = path.as_ref();
    parse(&budget.read(path)?).map_err(|reason| file_error(path, reason))
}

/// A tensor of `float64` rounded to `float32`, one of `int64` as `int32`, in host memory; others as they are.
///
/// ```
/// use kiln_graph::{DType, Tensor, numpy};
/// let labels = Tensor::from([3i64, -1]);
/// assert_eq!(numpy::narrowed(&labels)?.to_vec::<i32>()?, [3, -1]);
/// let error = numpy::narrowed(&Tensor::from([1i64 << 40])).unwrap_err();
/// assert!(error.to_string().contains("1099511627776 is beyond int32"));
/// # Ok::<(), kiln_graph::Error>(())
/// ```
///
/// # Errors
/// Where a number is beyond the narrower type, or the value cannot be computed.
#[track_caller]
pub fn narrowed(tensor: &Tensor) -> Result<Tensor> {
    let at = here();
    tensor.check()?;
    if !tensor.dtype().is_wide() {
        return Ok(tensor.clone());
    }
    let error = |message| Error::Operation { op: "narrowed", message, at };
    match types::narrowed(tensor.dtype(), &tensor.read_bytes(at)?).map_err(error)? {
        Some((dtype, bytes)) => Ok(Tensor::from_host(bytes.into(), tensor.shape().to_vec(), dtype, at)),
        None => Ok(tensor.clone()),
    }
}

/// Writes a tensor as a `.npy` file, under the path as it is given. After a crash there is the old file or the new one.
///
/// # Errors
/// Where the value cannot be computed or the file cannot be written; for `bfloat16`, which NumPy does not have.
#[doc(alias = "np.save")]
#[track_caller]
pub fn save(path: impl AsRef<Path>, tensor: &Tensor) -> Result<()> {
    let path = path.as_ref();
    let bytes = format(tensor)?.map_err(|reason| file_error(path, reason))?;
    atomic_write(path, |file| file.write_all(&bytes))
}

/// The array of a whole `.npy` file.
fn parse(file: &[u8]) -> Result<Tensor, Reason> {
    let (header, data) = Header::parse(file)?;
    let count = size::element_count(&header.shape).map_err(|error| error.to_string())?;
    let wanted = count.checked_mul(header.size).ok_or("the shape has too many elements")?;
    if data.len() != wanted {
        let message = format!(
            "expected {wanted} bytes of elements for shape {:?} of `{}`, found {}; the file is cut short, or holds more \
             than one array",
            header.shape,
            header.code,
            data.len()
        );
        return Err(message);
    }
    let (dtype, bytes) = types::read(&header, data)?;
    let bytes = match header.fortran_order {
        true => row_major(&bytes, &header.shape, dtype.host_size()),
        false => bytes,
    };
    Ok(Tensor::from_host(bytes.into(), header.shape, dtype, here()))
}

/// The whole `.npy` file of a tensor.
#[track_caller]
fn format(tensor: &Tensor) -> Result<Result<Vec<u8>, Reason>> {
    let at = here();
    tensor.check()?;
    let bytes = tensor.read_bytes(at)?;
    Ok(types::written(tensor.dtype(), &bytes).map(|(code, data)| {
        let mut file = header::format(&code, tensor.shape());
        file.extend_from_slice(&data);
        file
    }))
}

/// Elements of `size` bytes whose first axis runs fastest, with the last running fastest.
fn row_major(bytes: &[u8], shape: &[usize], size: usize) -> Vec<u8> {
    let mut strides = vec![];
    let mut stride = size;
    for extent in shape {
        strides.push(stride);
        stride *= extent;
    }
    let mut ordered = Vec::with_capacity(bytes.len());
    let mut index = vec![0; shape.len()];
    let mut place = 0;
    while ordered.len() < bytes.len() {
        ordered.extend_from_slice(&bytes[place..place + size]);
        for axis in (0..shape.len()).rev() {
            index[axis] += 1;
            place += strides[axis];
            if index[axis] < shape[axis] {
                break;
            }
            place -= strides[axis] * shape[axis];
            index[axis] = 0;
        }
    }
    ordered
}
