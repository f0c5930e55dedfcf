//! The file that holds a key set: TOML, mode 0600, written once and in one piece.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::{KEY_LEN, VaultError};

/// The newest form of the file that this program knows.
const VERSION: u32 = 1;

/// A key with its id.
pub(crate) type DataKey = (String, Zeroizing<Vec<u8>>);

/// A key set as stored.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct KeySetFile {
    version: u32,
    /// The id of the key that seals new values.
    pub(crate) current: String,
    keys: Vec<StoredKey>,
}

#[derive(Serialize, Deserialize, Zeroize, ZeroizeOnDrop)]
#[serde(deny_unknown_fields)]
struct StoredKey {
    id: String,
    key: String,
}

impl KeySetFile {
    pub(crate) fn with_one(id: &str, key: &[u8]) -> Self {
        let stored = StoredKey { id: id.to_owned(), key: BASE64.encode(key) };
        Self { version: VERSION, current: id.to_owned(), keys: vec![stored] }
    }

    pub(crate) fn create(&self, path: &Path) -> Result<(), VaultError> {
        let io = |source: io::Error| match source.kind() {
            io::ErrorKind::AlreadyExists => VaultError::Exists { path: path.to_owned() },
            _ => VaultError::Io { path: path.to_owned(), source },
        };
        let text = toml::to_string(self).map_err(|_| damaged(path, "it cannot be written"))?;
        let text = Zeroizing::new(text);
        if path.exists() {
            return Err(VaultError::Exists { path: path.to_owned() });
        }
        // It appears under its name when it is whole: whoever is killed before leaves no damaged key set.
        let unfinished = path.with_extension("toml.new");
        let _leftover = std::fs::remove_file(&unfinished);
        let mut file =
            OpenOptions::new().write(true).create_new(true).mode(0o600).open(&unfinished).map_err(io)?;
        file.write_all(text.as_bytes())
            .and_then(|()| file.sync_all())
            .and_then(|()| std::fs::hard_link(&unfinished, path)) // unlike a rename, it replaces nothing
            .and_then(|()| std::fs::remove_file(&unfinished))
            .map_err(io)?;
        // The name must survive a power failure too.
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            File::open(folder).and_then(|folder| folder.sync_all()).map_err(io)?;
        }
        Ok(())
    }

    pub(crate) fn read(path: &Path) -> Result<Self, VaultError> {
        let io = |source: io::Error| match source.kind() {
            io::ErrorKind::NotFound => VaultError::Missing { path: path.to_owned() },
            _ => VaultError::Io { path: path.to_owned(), source },
        };
        let mode = std::fs::metadata(path).map_err(io)?.permissions().mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(VaultError::TooOpen { path: path.to_owned(), mode });
        }
        let text = Zeroizing::new(std::fs::read_to_string(path).map_err(io)?);
        // The parser's own message would quote the line, and with it a key.
        let file: Self = toml::from_str(&text).map_err(|_| damaged(path, "it is no key set"))?;
        if file.version != VERSION {
            return Err(damaged(
                path,
                &format!("it has version {}, this program knows {VERSION}", file.version),
            ));
        }
        Ok(file)
    }

    pub(crate) fn keys(&self, path: &Path) -> Result<Vec<DataKey>, VaultError> {
        self.keys
            .iter()
            .map(|stored| {
                let bytes = Zeroizing::new(
                    BASE64.decode(&stored.key).map_err(|_| damaged(path, "a key is not base64"))?,
                );
                if bytes.len() != KEY_LEN {
                    return Err(damaged(path, "a key has the wrong length"));
                }
                Ok((stored.id.clone(), bytes))
            })
            .collect()
    }
}

fn damaged(path: &Path, why: &str) -> VaultError {
    VaultError::Damaged { path: path.to_owned(), why: why.to_owned() }
}
