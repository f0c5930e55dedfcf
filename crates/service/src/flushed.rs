//! Files of a home that are whole whatever happens: a power failure, or two processes that write one at the same time.

use std::fs::{File, TryLockError};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::Duration;

use crate::account;
use crate::home::no_link;

/// What the name of a file ends in while it is written.
pub(crate) const PART: &str = ".part";
/// How often is looked whether another one has written its own, and the pause between: longer than any write takes.
const LOOKS: u32 = 3_000;
const PAUSE: Duration = Duration::from_millis(10);

/// The lock of a folder, which lasts as long as the folder is open; where the file system has none, there is none.
fn held(folder: &Path) -> std::io::Result<File> {
    let folder = File::open(folder)?;
    for _ in 0..LOOKS {
        match folder.try_lock() {
            // The system wakes nobody who waits for a lock and will not wait for ever: its holder may have been stopped.
            Err(TryLockError::WouldBlock) => std::thread::sleep(PAUSE),
            _ => return Ok(folder),
        }
    }
    Err(std::io::Error::new(ErrorKind::ResourceBusy, "another process is writing there, and does not end"))
}

/// Writes a file, closed to others, that must be whole after a power failure. It is a new one that takes the place of what has its
/// name: nothing is written through a link. Of several at once, the daemon and a command beside it, one comes after the other.
pub(crate) fn write_flushed(path: &Path, text: &str) -> std::io::Result<()> {
    // Else one would give the name to what another has just begun.
    let _held = path.parent().map(held).transpose()?;
    let mut part = path.as_os_str().to_owned();
    part.push(PART);
    match std::fs::remove_file(&part) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = no_link().write(true).create_new(true).open(&part)?;
    // What root writes into a home that belongs to another user is that user's from the beginning.
    if let Some(owner) = path.parent().filter(|_| account::is_root()).map(std::fs::metadata).transpose()? {
        std::os::unix::fs::fchown(&file, Some(owner.uid()), Some(owner.gid()))?;
    }
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    std::fs::rename(&part, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_several_write_at_once_is_that_of_one() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("server.toml");
        let texts: Vec<String> = (1..=4).map(|n| format!("{n}").repeat(n * 1000)).collect();
        std::thread::scope(|scope| {
            for text in &texts {
                scope.spawn(|| {
                    for _ in 0..50 {
                        write_flushed(&file, text).unwrap();
                        let read = std::fs::read_to_string(&file).unwrap();
                        assert!(texts.contains(&read), "{} bytes", read.len());
                    }
                });
            }
        });
    }
}
