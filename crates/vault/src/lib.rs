//! The key set: the keys that protect the secrets in the database.
//!
//! Secrets are sealed by AES-256-GCM-SIV and bound to their place (table, row, field), so that a sealed value copied
//! elsewhere does not open. The key set lies in a file of the home directory that only the service's account can
//! read, never in the database. The database alone is useless to a thief, the file alone too.
//!
//! The file is TOML with a version, a list of keys and the id of the current one, so that keys can be rotated.
//! Beside it the verifier of the service account's password (`account`).
//! Deliberately absent: where secrets are stored, who may set them, the network.

mod account;
mod file;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use thiserror::Error;
use zeroize::Zeroizing;

pub use account::{AccountError, AccountName, Verifier, make_password};
use file::KeySetFile;

/// The version byte of a sealed value: version, key id (8 bytes), nonce (12 bytes), ciphertext with tag.
const SEALED_VERSION: u8 = 1;
/// Bytes of a key id.
const KEY_ID_LEN: usize = 8;
/// Bytes of a data key.
const KEY_LEN: usize = 32;

/// What went wrong with the key set or a secret.
#[derive(Debug, Error)]
pub enum VaultError {
    /// There is no key set.
    #[error(
        "key set {} is missing: the secrets in the database cannot be read without it; restore this file from a backup",
        path.display()
    )]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// Others could read the key set.
    #[error("key set {} has mode {mode:03o}, others could read it: run `chmod 600 {}`", path.display(), path.display())]
    TooOpen {
        /// The file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// A key set is there already and is never overwritten.
    #[error("key set {} exists already and is never overwritten", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// The file holds something else.
    #[error("key set {} is damaged ({why}): restore this file from a backup", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// The file cannot be read or written.
    #[error("key set {} cannot be read or written", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What happened.
        source: io::Error,
    },
    /// A value was sealed by a key that this key set does not have.
    #[error(
        "the value was sealed by key {id}, which this key set does not have: restore the key set that has it, or enter the secret again"
    )]
    UnknownKey {
        /// The key's id.
        id: String,
    },
    /// A value was changed, or copied from another place.
    #[error(
        "the sealed value does not open here: it was changed, or copied from another place; enter the secret again"
    )]
    NotSealedHere,
    /// The name or the password of a service account is not taken.
    #[error(transparent)]
    Account(#[from] AccountError),
    /// What was stored of the service account's password is damaged.
    #[error(
        "the stored verifier of the service account's password is damaged: set it anew with `onesync setup service-account`"
    )]
    Verifier,
    /// The system gave no random bytes.
    #[error("the system's source of randomness failed")]
    Random,
}

/// Where a sealed value lies: it opens nowhere else.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// The table.
    pub table: &'a str,
    /// The row.
    pub row: &'a str,
    /// The field.
    pub field: &'a str,
}

impl Place<'_> {
    /// Each part with its length, so that no two places give the same bytes.
    fn bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        for part in [self.table, self.row, self.field] {
            out.extend_from_slice(&(part.len() as u64).to_le_bytes());
            out.extend_from_slice(part.as_bytes());
        }
        out
    }
}

/// An open key set.
pub struct Vault {
    current: String,
    keys: Vec<(String, LessSafeKey)>,
}

impl Vault {
    /// Makes a new key set with one key, in a file that only its owner can read.
    ///
    /// # Errors
    /// When the file exists, or cannot be written.
    pub fn create(file: &Path) -> Result<Self, VaultError> {
        let mut id = [0u8; KEY_ID_LEN];
        let mut key = Zeroizing::new([0u8; KEY_LEN]);
        random(&mut id)?;
        random(&mut *key)?;
        let id = hex(&id);
        KeySetFile::with_one(&id, &*key).create(file)?;
        Self::open(file)
    }

    /// Opens a key set.
    ///
    /// # Errors
    /// When the file is missing, readable by others, or damaged.
    pub fn open(file: &Path) -> Result<Self, VaultError> {
        let stored = KeySetFile::read(file)?;
        let damaged = |why: &str| VaultError::Damaged { path: file.to_owned(), why: why.to_owned() };
        let mut keys = Vec::new();
        for (id, bytes) in stored.keys(file)? {
            let key = UnboundKey::new(&AES_256_GCM_SIV, &bytes)
                .map_err(|_| damaged("a key has the wrong length"))?;
            keys.push((id, LessSafeKey::new(key)));
        }
        if !keys.iter().any(|(id, _)| *id == stored.current) {
            return Err(damaged("the current key is not among its keys"));
        }
        Ok(Self { current: stored.current.clone(), keys })
    }

    /// The id of the key that seals new values.
    #[must_use]
    pub fn key_id(&self) -> &str {
        &self.current
    }

    /// Seals a value for its place.
    ///
    /// # Errors
    /// When there is no randomness.
    pub fn seal(&self, place: &Place<'_>, plaintext: &[u8]) -> Result<Vec<u8>, VaultError> {
        let (id, key) = self.keys.iter().find(|(id, _)| *id == self.current).ok_or(VaultError::Random)?;
        let mut nonce = [0u8; NONCE_LEN];
        random(&mut nonce)?;
        let mut sealed = Zeroizing::new(plaintext.to_vec());
        key.seal_in_place_append_tag(
            Nonce::assume_unique_for_key(nonce),
            Aad::from(place.bytes()),
            &mut *sealed,
        )
        .map_err(|_| VaultError::Random)?;
        let mut out = Vec::with_capacity(1 + KEY_ID_LEN + NONCE_LEN + sealed.len());
        out.push(SEALED_VERSION);
        out.extend_from_slice(&unhex(id).unwrap_or_default());
        out.extend_from_slice(&nonce);
        out.extend_from_slice(&sealed);
        Ok(out)
    }

    /// Opens a sealed value at its place.
    ///
    /// # Errors
    /// When another key sealed it, it was changed, or it lies elsewhere.
    pub fn open_sealed(&self, place: &Place<'_>, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, VaultError> {
        let (&version, rest) = sealed.split_first().ok_or(VaultError::NotSealedHere)?;
        let (id, rest) = rest.split_at_checked(KEY_ID_LEN).ok_or(VaultError::NotSealedHere)?;
        let (nonce, text) = rest.split_at_checked(NONCE_LEN).ok_or(VaultError::NotSealedHere)?;
        if version != SEALED_VERSION {
            return Err(VaultError::NotSealedHere);
        }
        let id = hex(id);
        let (_, key) =
            self.keys.iter().find(|(known, _)| *known == id).ok_or(VaultError::UnknownKey { id })?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| VaultError::NotSealedHere)?;
        let mut opened = Zeroizing::new(text.to_vec());
        let length = key
            .open_in_place(nonce, Aad::from(place.bytes()), &mut opened)
            .map_err(|_| VaultError::NotSealedHere)?
            .len();
        opened.truncate(length);
        Ok(opened)
    }
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Vault")
            .field("current", &self.current)
            .field("keys", &self.keys.len())
            .finish_non_exhaustive()
    }
}

fn random(bytes: &mut [u8]) -> Result<(), VaultError> {
    aws_lc_rs::rand::fill(bytes).map_err(|_| VaultError::Random)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(text.get(at..at + 2)?, 16).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLACE: Place<'static> = Place { table: "secret", row: "graph", field: "value" };

    fn vault() -> (tempfile::TempDir, Vault) {
        let folder = tempfile::tempdir().unwrap();
        let vault = Vault::create(&folder.path().join("keyset")).unwrap();
        (folder, vault)
    }

    #[test]
    fn what_is_sealed_opens_at_its_place_only() {
        let (folder, vault) = vault();
        let sealed = vault.seal(&PLACE, b"s3cret").unwrap();
        assert!(!sealed.windows(6).any(|w| w == b"s3cret"));
        assert_eq!(&*vault.open_sealed(&PLACE, &sealed).unwrap(), b"s3cret");
        let again = Vault::open(&folder.path().join("keyset")).unwrap();
        assert_eq!(&*again.open_sealed(&PLACE, &sealed).unwrap(), b"s3cret");
        for other in [
            Place { table: "secre", row: "tgraph", ..PLACE },
            Place { row: "ad", ..PLACE },
            Place { field: "previous", ..PLACE },
        ] {
            assert!(matches!(vault.open_sealed(&other, &sealed), Err(VaultError::NotSealedHere)));
        }
    }

    #[test]
    fn a_changed_or_cut_value_does_not_open() {
        let (_folder, vault) = vault();
        let sealed = vault.seal(&PLACE, b"s3cret").unwrap();
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert!(vault.open_sealed(&PLACE, &changed).is_err(), "byte {at}");
            assert!(vault.open_sealed(&PLACE, &sealed[..at]).is_err(), "cut at {at}");
        }
    }

    #[test]
    fn another_key_set_says_which_key_is_missing() {
        let (_a, first) = vault();
        let (_b, second) = vault();
        let sealed = first.seal(&PLACE, b"x").unwrap();
        let error = second.open_sealed(&PLACE, &sealed).unwrap_err();
        assert!(error.to_string().contains(first.key_id()), "{error}");
    }

    #[test]
    fn the_file_is_private_and_never_overwritten() {
        use std::os::unix::fs::PermissionsExt;
        let (folder, _vault) = vault();
        let path = folder.path().join("keyset");
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(matches!(Vault::create(&path), Err(VaultError::Exists { .. })));
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        assert!(Vault::open(&path).unwrap_err().to_string().contains("chmod 600"));
        assert!(matches!(Vault::open(&folder.path().join("none")), Err(VaultError::Missing { .. })));
    }

    #[test]
    fn nothing_secret_is_printed() {
        let (folder, vault) = vault();
        let text = std::fs::read_to_string(folder.path().join("keyset")).unwrap();
        let key =
            text.lines().find_map(|line| line.strip_prefix("key = ")).unwrap().trim_matches('"').to_owned();
        assert!(!format!("{vault:?}").contains(&key));
        std::fs::write(folder.path().join("keyset"), text.replace(&key, "AAAA")).unwrap();
        let error = Vault::open(&folder.path().join("keyset")).unwrap_err();
        assert!(matches!(error, VaultError::Damaged { .. }) && !error.to_string().contains(&key));
    }
}
