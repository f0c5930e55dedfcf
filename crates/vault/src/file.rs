//! The file that holds a key set: TOML, mode 0600, written in one piece.
//!
//! In form 2 the keys are sealed under a key-encryption key, and the file says where that comes from. Form 1, of earlier
//! versions, holds them as they are: it is read, and the next write seals it.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::VaultError;
use crate::kek::{Kek, Sealed};
use crate::keys::{KeySet, version};

/// The newest form of the file that this program knows.
const SEALED: u32 = 2;

/// A key set under seal.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SealedFile {
    version: u32,
    /// The id of the key-encryption key.
    kek_id: String,
    sealed: String,
    kek: Kek,
}

/// Writes a key set in form 2; over one that is there only when told so.
pub(crate) fn write(path: &Path, set: &KeySet, kek: &Kek, replace: bool) -> Result<(), VaultError> {
    let io = |source: io::Error| match source.kind() {
        io::ErrorKind::AlreadyExists => VaultError::Exists { path: path.to_owned() },
        _ => VaultError::Io { path: path.to_owned(), source },
    };
    if !replace && std::fs::symlink_metadata(path).is_ok() {
        return Err(VaultError::Exists { path: path.to_owned() });
    }
    kek.prepare(folder(path))?;
    let text = set.text();
    let sealed = kek.seal(folder(path), text.as_bytes())?;
    // Before the one that is there is replaced: a token may seal and not open.
    if kek.open(path, folder(path), &sealed)?.as_slice() != text.as_bytes() {
        return Err(damaged(path, "the key-encryption key does not open what it sealed"));
    }
    let Sealed { id, bytes } = sealed;
    let file = SealedFile { version: SEALED, kek_id: id, sealed: BASE64.encode(bytes), kek: kek.clone() };
    let text = toml::to_string(&file).map_err(|_| damaged(path, "it cannot be written"))?;
    // It appears under its name when it is whole: whoever is killed before leaves no damaged key set.
    let unfinished = path.with_extension("toml.new");
    let _leftover = std::fs::remove_file(&unfinished);
    let mut new =
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(&unfinished).map_err(io)?;
    new.write_all(text.as_bytes()).and_then(|()| new.sync_all()).map_err(io)?;
    match replace {
        true => like(path, &new).and_then(|()| std::fs::rename(&unfinished, path)),
        // Unlike a rename, it replaces nothing.
        false => like(folder(path), &new)
            .and_then(|()| std::fs::hard_link(&unfinished, path))
            .and_then(|()| std::fs::remove_file(&unfinished)),
    }
    .and_then(|()| sync_folder(path))
    .map_err(io)
}

/// Gives a new file to whom the one belongs that it replaces, or the folder: root may write for the service's account.
fn like(path: &Path, new: &File) -> io::Result<()> {
    use std::os::unix::fs::{MetadataExt as _, fchown};
    match std::fs::symlink_metadata(path) {
        Ok(old) if old.uid() != new.metadata()?.uid() => fchown(new, Some(old.uid()), Some(old.gid())),
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Has the name of a file survive a power failure too.
pub(crate) fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(folder(path)).and_then(|folder| folder.sync_all())
}

fn folder(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Reads a key set of any form, and says under which key-encryption key it lies; `None` for form 1.
pub(crate) fn read(path: &Path) -> Result<(KeySet, Option<Kek>), VaultError> {
    let text = read_text(path)?;
    if version(&text).is_none_or(|version| version < SEALED) {
        return Ok((KeySet::parse(&text).map_err(|why| damaged(path, &why))?, None));
    }
    let file = sealed(path, &text)?;
    let bytes = BASE64.decode(&file.sealed).map_err(|_| damaged(path, "it is not base64"))?;
    let text = file.kek.open(path, folder(path), &Sealed { id: file.kek_id, bytes })?;
    let text = std::str::from_utf8(&text).map_err(|_| damaged(path, "it is no text"))?;
    Ok((KeySet::parse(text).map_err(|why| damaged(path, &why))?, Some(file.kek)))
}

/// Where the key-encryption key of a key set comes from, and its id; nothing is opened. `None` for form 1.
pub(crate) fn source(path: &Path) -> Result<Option<(Kek, String)>, VaultError> {
    let text = read_text(path)?;
    if version(&text).is_none_or(|version| version < SEALED) {
        return Ok(None);
    }
    sealed(path, &text).map(|file| Some((file.kek, file.kek_id)))
}

fn sealed(path: &Path, text: &str) -> Result<SealedFile, VaultError> {
    match version(text) {
        Some(SEALED) => toml::from_str(text).map_err(|_| damaged(path, "it is no key set")),
        Some(newer) => Err(damaged(path, &format!("it has version {newer}, this program knows {SEALED}"))),
        None => Err(damaged(path, "it is no key set")),
    }
}

fn read_text(path: &Path) -> Result<Zeroizing<String>, VaultError> {
    let io = |source: io::Error| match source.kind() {
        io::ErrorKind::NotFound => VaultError::Missing { path: path.to_owned() },
        _ => VaultError::Io { path: path.to_owned(), source },
    };
    let mode = std::fs::metadata(path).map_err(io)?.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(VaultError::TooOpen { path: path.to_owned(), mode });
    }
    std::fs::read_to_string(path).map(Zeroizing::new).map_err(io)
}

fn damaged(path: &Path, why: &str) -> VaultError {
    VaultError::Damaged { path: path.to_owned(), why: why.to_owned() }
}
