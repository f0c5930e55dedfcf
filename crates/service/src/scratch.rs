//! Scratch places below the home: copies of the installation that a computation works with, key set and all.
//!
//! Each is held by a lock on its folder for as long as its process lives. One that nobody holds was left by a process
//! that was killed, and goes at once: it may hold an opened key set.

use std::fs::{DirBuilder, File, TryLockError};
use std::io::ErrorKind;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use crate::error::ServiceError;
use crate::home::{new_id, no_link};

/// How the folder of one begins.
pub(crate) const BEGINS: &str = "scratch-";

/// A scratch place of this process; it goes with this.
pub(crate) struct Scratch {
    folder: PathBuf,
    home: PathBuf,
    _held: File,
}

impl Scratch {
    /// Makes one, and removes those that nobody holds.
    pub(crate) fn make(home: &Path) -> Result<Self, ServiceError> {
        remove_left(home);
        loop {
            let folder = home.join(format!("{BEGINS}{}", new_id()?));
            let place = folder.display().to_string();
            let failed = |source| ServiceError::File { place: place.clone(), source };
            DirBuilder::new().mode(0o700).create(&folder).map_err(failed)?;
            match hold(&folder) {
                // Whoever removes what is left may have held it, and removed it, before this did.
                Ok(Some(held)) if folder.exists() => {
                    let scratch = Self { home: folder.join("home"), folder, _held: held };
                    DirBuilder::new().mode(0o700).create(&scratch.home).map_err(failed)?;
                    return Ok(scratch);
                }
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(failed(error)),
            }
        }
    }

    /// Where the installation goes: below the folder that is held, since whoever writes files locks theirs.
    pub(crate) fn home(&self) -> &Path {
        &self.home
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        remove(&self.folder);
    }
}

/// Removes the scratch places that no process holds.
pub(crate) fn remove_left(home: &Path) {
    for entry in std::fs::read_dir(home).into_iter().flatten().flatten() {
        if !entry.file_name().to_string_lossy().starts_with(BEGINS) {
            continue;
        }
        let folder = entry.path();
        match hold(&folder) {
            Ok(Some(_held)) => remove(&folder),
            Ok(None) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => not_removed(&folder, &error),
        }
    }
}

/// The lock of a folder; `None` where another process has it.
fn hold(folder: &Path) -> std::io::Result<Option<File>> {
    let held = no_link().read(true).open(folder)?;
    match held.try_lock() {
        Ok(()) => Ok(Some(held)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

fn remove(folder: &Path) {
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() != ErrorKind::NotFound => not_removed(folder, &error),
        _ => {}
    }
}

fn not_removed(folder: &Path, error: &std::io::Error) {
    tracing::warn!(folder = %folder.display(), %error, "a scratch folder could not be removed");
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    fn places(home: &Path) -> usize {
        std::fs::read_dir(home).unwrap().count()
    }

    #[test]
    fn what_nobody_holds_goes_and_what_somebody_holds_stays() {
        let home = tempfile::tempdir().unwrap();
        let left = home.path().join("scratch-left");
        std::fs::create_dir(&left).unwrap();
        std::fs::write(left.join("kek"), "a key").unwrap();
        let used = Scratch::make(home.path()).unwrap();
        assert!(!left.exists() && used.home().exists());
        let other = Scratch::make(home.path()).unwrap();
        assert!(used.home().exists() && other.home().exists());
        drop((used, other));
        assert_eq!(places(home.path()), 0);
    }

    /// One that is made while others clear up is never taken away from its maker.
    #[test]
    fn who_clears_up_takes_nothing_that_is_being_made() {
        let home = tempfile::tempdir().unwrap();
        let ended = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !ended.load(Ordering::Relaxed) {
                    remove_left(home.path());
                }
            });
            for _ in 0..500 {
                let made = Scratch::make(home.path()).unwrap();
                std::fs::write(made.home().join("kek"), "a key").unwrap();
                std::thread::yield_now();
                assert!(made.home().join("kek").exists());
            }
            ended.store(true, Ordering::Relaxed);
        });
        assert_eq!(places(home.path()), 0);
    }
}
