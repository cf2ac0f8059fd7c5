//! Reading and writing files so that neither a crash nor a bad file does harm.

use std::fs::File;
use std::io::{BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// An error about a file: what happened, and the way out.
pub fn file_error(path: &Path, message: impl std::fmt::Display) -> Error {
    Error::File { path: path.to_path_buf(), message: message.to_string() }
}

/// Writes a file so that after a crash there is the old one or the new one, never a part: a temporary file in the
/// same folder is written, synced and renamed. Where writing fails, the old file stays and nothing else is left.
///
/// ```
/// use kiln_graph::files::atomic_write;
/// let folder = tempfile::tempdir()?;
/// let path = folder.path().join("notes.txt");
/// atomic_write(&path, |file| file.write_all(b"hello"))?;
/// assert_eq!(std::fs::read(&path)?, b"hello");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`Error::File`] where any of it fails.
pub fn atomic_write(
    path: impl AsRef<Path>,
    write: impl FnOnce(&mut dyn Write) -> std::io::Result<()>,
) -> Result<()> {
    let path = path.as_ref();
    // A link keeps pointing where it did: the file behind it is replaced.
    let target = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf());
    let folder = match target.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_path_buf(),
        _ => PathBuf::from("."),
    };
    let failed = |error: std::io::Error| {
        file_error(
            path,
            format!("could not be written: {error}; check the folder, its permissions and the free space"),
        )
    };
    let mut builder = tempfile::Builder::new();
    builder.prefix(".kiln-").suffix(".tmp");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let existing = std::fs::metadata(&target).map(|m| m.permissions());
        builder.permissions(existing.unwrap_or_else(|_| std::fs::Permissions::from_mode(0o666)));
    }
    let mut temporary = builder.tempfile_in(&folder).map_err(failed)?;
    let mut writer = BufWriter::new(temporary.as_file_mut());
    write(&mut writer).and_then(|()| writer.flush()).map_err(failed)?;
    drop(writer);
    temporary.as_file().sync_all().map_err(failed)?;
    temporary.persist(&target).map_err(|e| failed(e.error))?;
    // The rename itself is on disk once the folder is. Not every platform lets a folder be opened.
    if let Ok(folder) = File::open(&folder) {
        let _ = folder.sync_all();
    }
    Ok(())
}

/// How much a reader may take from a file that may be malformed or malicious.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadBudget {
    /// Bytes of the file, 16 GiB.
    pub max_bytes: u64,
    /// Tensors in it, 1,000,000.
    pub max_tensors: usize,
    /// Depth of nested objects, 64.
    pub max_depth: usize,
    /// Bytes of a name, 4096.
    pub max_name_len: usize,
    /// Bytes that one compressed byte may become, 100; what expands to at most 64 MiB may exceed it.
    pub max_ratio: u64,
}

impl Default for ReadBudget {
    fn default() -> ReadBudget {
        ReadBudget {
            max_bytes: 16 << 30,
            max_tensors: 1_000_000,
            max_depth: 64,
            max_name_len: 4096,
            max_ratio: 100,
        }
    }
}

impl ReadBudget {
    /// Whether `packed` compressed bytes that expand to `size` are more than may be taken from a stranger.
    pub fn is_bomb(&self, size: u64, packed: u64) -> bool {
        size > (64 << 20) && size / self.max_ratio.max(1) > packed
    }

    /// The whole file.
    ///
    /// # Errors
    /// Where it cannot be read or is larger than the budget.
    pub fn read(&self, path: impl AsRef<Path>) -> Result<Vec<u8>> {
        let path = path.as_ref();
        let failed = |error: std::io::Error| match error.kind() {
            std::io::ErrorKind::NotFound => file_error(path, "there is no such file; check the path"),
            _ => file_error(path, format!("could not be read: {error}")),
        };
        let file = File::open(path).map_err(failed)?;
        let too_large = |size: u64| {
            let message =
                format!("expected at most {} bytes, found {size}; raise the read budget", self.max_bytes);
            file_error(path, message)
        };
        let declared = file.metadata().map_err(failed)?.len();
        if declared > self.max_bytes {
            return Err(too_large(declared));
        }
        let mut bytes = vec![];
        file.take(self.max_bytes.saturating_add(1)).read_to_end(&mut bytes).map_err(failed)?;
        match bytes.len() as u64 {
            size if size > self.max_bytes => Err(too_large(size)),
            _ => Ok(bytes),
        }
    }
}

/// A checksum of pieces of data, FNV-1a with 64 bits: every change of one byte changes it.
pub struct Checksum(u64);

impl Default for Checksum {
    fn default() -> Checksum {
        Checksum(0xcbf2_9ce4_8422_2325)
    }
}

impl Checksum {
    /// Takes in the next piece.
    pub fn add(&mut self, bytes: &[u8]) {
        self.0 = bytes.iter().fold(self.0, |sum, byte| (sum ^ *byte as u64).wrapping_mul(0x0100_0000_01b3));
    }

    /// Its 16 hexadecimal digits.
    pub fn text(&self) -> String {
        format!("{:016x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_write_leaves_the_old_file_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("weights");
        atomic_write(&path, |file| file.write_all(b"old")).unwrap();
        let error = atomic_write(&path, |file| {
            file.write_all(b"half of the n")?;
            Err(std::io::Error::other("disk full"))
        });
        assert!(error.unwrap_err().to_string().contains("disk full"));
        assert_eq!(std::fs::read(&path).unwrap(), b"old");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_missing_folder_is_an_error_that_names_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("nowhere").join("weights");
        let text = atomic_write(&path, |_| Ok(())).unwrap_err().to_string();
        assert!(text.starts_with("[file] ") && text.contains("nowhere"), "{text}");
    }

    #[test]
    fn a_budget_bounds_what_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("data");
        std::fs::write(&path, [0; 100]).unwrap();
        assert_eq!(ReadBudget::default().read(&path).unwrap().len(), 100);
        let small = ReadBudget { max_bytes: 99, ..ReadBudget::default() };
        assert!(small.read(&path).unwrap_err().to_string().contains("expected at most 99 bytes, found 100"));
    }
}
