//! `.npz`: a zip archive of `.npy` files.

use std::borrow::Borrow;
use std::collections::BTreeMap;
use std::io::{Cursor, Read, Write};
use std::path::Path;

use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, ZipArchive, ZipWriter};

use super::Reason;
use crate::error::{Error, Result};
use crate::files::{ReadBudget, atomic_write, file_error};
use crate::tensor::{Tensor, here};

/// Reads all arrays of a `.npz` file, by name.
///
/// # Errors
/// As [`load`](super::load); where a member is no array, has a name twice, or expands beyond the budget.
#[doc(alias = "np.load")]
pub fn load_npz(path: impl AsRef<Path>) -> Result<BTreeMap<String, Tensor>> {
    load_npz_within(path, &ReadBudget::default())
}

/// [`load_npz`] with a budget for the file: its bytes, and those of all arrays together.
///
/// # Errors
/// As [`load_npz`], and where the file exceeds the budget.
pub fn load_npz_within(path: impl AsRef<Path>, budget: &ReadBudget) -> Result<BTreeMap<String, Tensor>> {
    let path = path.as_ref();
    parse(budget.read(path)?, budget).map_err(|reason| file_error(path, reason))
}

/// Writes tensors as a `.npz` file under their names, uncompressed. After a crash there is the old file or the new one.
///
/// ```
/// use kiln_graph::{Tensor, numpy};
/// let folder = tempfile::tempdir()?;
/// let path = folder.path().join("data.npz");
/// numpy::savez(&path, [("x", &Tensor::range(3)), ("y", &Tensor::ones(&[2]))])?;
/// let arrays = numpy::load_npz(&path)?;
/// assert_eq!(arrays["x"].to_vec::<i32>()?, [0, 1, 2]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// As [`save`](super::save); where two have one name.
#[track_caller]
pub fn savez<N: AsRef<str>, T: Borrow<Tensor>>(
    path: impl AsRef<Path>,
    arrays: impl IntoIterator<Item = (N, T)>,
) -> Result<()> {
    write(path.as_ref(), &members(arrays)?, CompressionMethod::Stored)
}

/// [`savez`], compressed.
///
/// # Errors
/// As [`savez`].
#[track_caller]
pub fn savez_compressed<N: AsRef<str>, T: Borrow<Tensor>>(
    path: impl AsRef<Path>,
    arrays: impl IntoIterator<Item = (N, T)>,
) -> Result<()> {
    write(path.as_ref(), &members(arrays)?, CompressionMethod::Deflated)
}

/// Tensors by name.
#[track_caller]
fn members<N: AsRef<str>, T: Borrow<Tensor>>(
    arrays: impl IntoIterator<Item = (N, T)>,
) -> Result<BTreeMap<String, Tensor>> {
    let mut named = BTreeMap::new();
    for (name, tensor) in arrays {
        let name = name.as_ref();
        if named.insert(name.to_owned(), tensor.borrow().clone()).is_some() {
            let message = format!("two arrays are named `{name}`; give them different names");
            return Err(Error::Operation { op: "savez", message, at: here() });
        }
    }
    Ok(named)
}

#[track_caller]
fn write(path: &Path, arrays: &BTreeMap<String, Tensor>, method: CompressionMethod) -> Result<()> {
    let mut zip = ZipWriter::new(Cursor::new(vec![]));
    let failed = |error: &dyn std::fmt::Display| file_error(path, format!("could not be written: {error}"));
    Tensor::eval_all(&arrays.values().cloned().collect::<Vec<_>>())?;
    for (name, tensor) in arrays {
        let bytes =
            super::format(tensor)?.map_err(|why| file_error(path, format!("array `{name}`: {why}")))?;
        // No time of day: the same arrays give the same file.
        let options = SimpleFileOptions::default()
            .compression_method(method)
            .last_modified_time(DateTime::default())
            .large_file(bytes.len() as u64 >= u64::from(u32::MAX));
        zip.start_file(format!("{name}.npy"), options).map_err(|e| failed(&e))?;
        zip.write_all(&bytes).map_err(|e| failed(&e))?;
    }
    let file = zip.finish().map_err(|e| failed(&e))?.into_inner();
    atomic_write(path, |out| out.write_all(&file))
}

fn parse(file: Vec<u8>, budget: &ReadBudget) -> Result<BTreeMap<String, Tensor>, Reason> {
    let damaged = |why: &dyn std::fmt::Display| {
        format!("the file is damaged or no .npz file ({why}); restore it from a copy")
    };
    let mut zip = ZipArchive::new(Cursor::new(file)).map_err(|e| damaged(&e))?;
    if zip.len() > budget.max_tensors {
        return Err(format!("expected at most {} arrays, found {}", budget.max_tensors, zip.len()));
    }
    let mut left = budget.max_bytes;
    let mut arrays = BTreeMap::new();
    for number in 0..zip.len() {
        let mut member = zip.by_index(number).map_err(|e| damaged(&e))?;
        let name = member_name(&member.name().map_err(|e| damaged(&e))?, budget)?;
        let in_member = |why: &dyn std::fmt::Display| format!("array `{name}`: {why}");
        let (size, packed) = (member.size(), member.compressed_size());
        if size > left || budget.is_bomb(size, packed) {
            let why = format!(
                "{packed} bytes declare that they expand to {size}, beyond the read budget; raise `max_bytes` or \
                 `max_ratio`"
            );
            return Err(in_member(&why));
        }
        let mut bytes = vec![];
        member
            .by_ref()
            .take(size.saturating_add(1))
            .read_to_end(&mut bytes)
            .map_err(|e| in_member(&damaged(&e)))?;
        if bytes.len() as u64 != size {
            return Err(in_member(&damaged(&"its size is not the one it declares")));
        }
        left -= size;
        let tensor = super::parse(&bytes).map_err(|why| in_member(&why))?;
        if arrays.insert(name.clone(), tensor).is_some() {
            return Err(format!("two arrays are named `{name}`"));
        }
    }
    Ok(arrays)
}

/// The array's name, the member's without `.npy`.
fn member_name(member: &str, budget: &ReadBudget) -> Result<String, Reason> {
    if member.len() > budget.max_name_len {
        let (most, found) = (budget.max_name_len, member.len());
        return Err(format!("expected names of at most {most} bytes, found one of {found}"));
    }
    let name = member.strip_suffix(".npy");
    name.map(str::to_owned).ok_or_else(|| format!("expected arrays only, found the member `{member}`"))
}
