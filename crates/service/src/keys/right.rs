//! Who may read the keys: the account that runs the service, and root. Whoever else tries is told so, with what works.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use crate::account;
use crate::error::ServiceError;
use crate::home::Home;
use crate::setup::name_of;

/// Refuses whoever may not read the files of a home, and names the right, the account that has it, and the command that works.
///
/// # Errors
/// When this account is neither the owner of the home nor root.
pub fn may_read(home: &Home, command: &str) -> Result<(), ServiceError> {
    may(home, command, ": the keys open every secret", ", with a place for files that it may write")
}

/// The same of whoever asks for what lies in the home beside the keys, such as its database, where the home is closed to them.
///
/// # Errors
/// As [`may_read`].
pub fn may_look(home: &Home, command: &str) -> Result<(), ServiceError> {
    match std::fs::read_dir(home.folder()) {
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => may(home, command, "", ""),
        _ => Ok(()), // what else is the matter is said by whoever opens it
    }
}

fn may(home: &Home, command: &str, why: &str, with: &str) -> Result<(), ServiceError> {
    let Some(uid) = account::uid().filter(|uid| *uid != 0) else { return Ok(()) };
    // What cannot even be seen lies in a folder that is closed to this account.
    let owner = match std::fs::metadata(home.folder()) {
        Ok(metadata) => Some(metadata.uid()),
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => None,
        Err(_) => return Ok(()), // that there is no home is said by whoever opens it
    };
    if owner == Some(uid) {
        return Ok(());
    }
    let (folder, me) = (home.folder().display(), name_of(uid));
    let (whose, runs) = match owner {
        Some(owner) => {
            let owner = name_of(owner);
            (format!("they belong to `{owner}`, the account that runs the service"), owner)
        }
        None => ("they belong to the account that runs the service".to_owned(), "onesync".to_owned()),
    };
    Err(ServiceError::held(
        format!(
            "the right to read the files of {folder} is missing: {whose}, are closed to all others, and you are `{me}`. A role of \
             OneSync does not give it{why}"
        ),
        format!(
            "run `sudo -u {runs} onesync --home {folder} {command}`{with}; or as root: \
             `sudo onesync --home {folder} {command}`"
        ),
    ))
}

/// Says who may not write where, when a file cannot be made.
pub fn may_write(file: &Path, source: std::io::Error, home: &Home, command: &str) -> ServiceError {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    match source.kind() {
        std::io::ErrorKind::PermissionDenied => {
            let me = account::uid().map_or_else(|| "this account".to_owned(), name_of);
            ServiceError::held(
                format!(
                    "`{me}` has no right to write in {}: {} was not made",
                    folder.display(),
                    file.display()
                ),
                format!(
                    "name a folder that `{me}` may write, or run it as root: `sudo onesync --home {} {command}`",
                    home.folder().display()
                ),
            )
        }
        std::io::ErrorKind::AlreadyExists => ServiceError::usage(
            format!("{} exists already, and is not overwritten", file.display()),
            "name another file: an older key file may be the only one that opens an older backup",
        ),
        std::io::ErrorKind::NotFound => ServiceError::usage(
            format!("there is no folder {}", folder.display()),
            "make it first, or name another one",
        ),
        _ => ServiceError::File { place: file.display().to_string(), source },
    }
}
