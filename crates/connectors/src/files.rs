//! What connectors to files share: telling one file from another, and replacing a file at once.

use std::fs::{self, File, Metadata};
use std::io::{self, BufWriter, Write};
use std::path::{Component, Path, PathBuf};
use std::time::UNIX_EPOCH;

/// Bytes written at once.
const BUFFER: usize = 256 * 1024;

/// What tells a file from another one under the same name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct FileState {
    /// Its length in bytes.
    pub length: u64,
    /// When it was last written: nanoseconds since 1970.
    pub modified: u128,
}

impl FileState {
    /// Of a file's metadata.
    #[must_use]
    pub fn of(metadata: &Metadata) -> Self {
        let since_1970 = metadata.modified().ok().and_then(|at| at.duration_since(UNIX_EPOCH).ok());
        Self { length: metadata.len(), modified: since_1970.map_or(0, |since| since.as_nanos()) }
    }
}

/// A path that begins in a folder. Where that is not there yet, no `..` leads out of it for the system: its name is taken off
/// as it is written.
pub(crate) fn within(folder: &Path, path: &Path) -> PathBuf {
    if path.is_absolute() || folder.exists() {
        return folder.join(path);
    }
    let mut whole = folder.to_owned();
    for part in path.components() {
        match part {
            Component::ParentDir if !whole.as_os_str().is_empty() && !whole.exists() => {
                whole.pop();
            }
            part => whole.push(part),
        }
    }
    whole
}

/// How far a replacement of a file came when it failed.
#[derive(Debug)]
pub enum ReplaceError {
    /// The old file is untouched.
    Before(io::Error),
    /// The new file is in place, but perhaps not durable.
    After(io::Error),
}

/// Replaces a file at once: what `write` gives goes into `beside`, is made durable, and takes the file's name.
///
/// # Errors
/// When a file cannot be written; the error says whether the old content is still in place.
pub fn replace(
    path: &Path,
    beside: &Path,
    write: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>,
) -> Result<(), ReplaceError> {
    let written = || -> io::Result<()> {
        let mut out = BufWriter::with_capacity(BUFFER, File::create(beside)?);
        write(&mut out)?;
        out.flush()?;
        if let Ok(old) = fs::metadata(path) {
            out.get_ref().set_permissions(old.permissions())?;
        }
        out.get_ref().sync_all()?;
        fs::rename(beside, path)
    };
    written().map_err(ReplaceError::Before)?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(ReplaceError::After)
}
