//! The key-encryption key, which seals the key set in the home: where it comes from, and how it is used.
//!
//! A file that only the service's account can read; a credential of systemd, which may be bound to the machine's TPM; a
//! key that never leaves a token (`pkcs11`). Deliberately absent: which of them an installation uses.

use std::fmt;
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::keys::fingerprint;
use crate::pkcs11::TokenKey;
use crate::{KEY_LEN, VaultError, random};

/// The name of the file beside the key set, and of the credential.
pub const KEK_FILE: &str = "kek";
/// The name of the credential.
pub const KEK_CREDENTIAL: &str = "onesync-kek";
/// Where systemd puts the credentials of the service, for commands outside of it.
const SERVICE_CREDENTIALS: &str = "/run/credentials/onesync.service";
/// Longer than any key.
const TEXT_MAX: u64 = 4096;
/// What the seal of a key set is bound to.
const BOUND: &[u8] = b"onesync key set";

/// Where the key-encryption key comes from.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "source", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Kek {
    /// A file that only the service's account can read; a relative path begins in the folder of the key set.
    File {
        /// The file.
        path: PathBuf,
    },
    /// A credential of systemd.
    Credential {
        /// Its name.
        name: String,
    },
    /// A key on a token.
    Pkcs11(TokenKey),
}

impl Default for Kek {
    fn default() -> Self {
        Self::File { path: PathBuf::from(KEK_FILE) }
    }
}

impl fmt::Display for Kek {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path } => write!(f, "file {}", path.display()),
            Self::Credential { name } => write!(f, "systemd credential {name}"),
            Self::Pkcs11(key) => write!(f, "key {} on token {}", key.key, key.token),
        }
    }
}

impl Kek {
    /// The credentials of systemd that the service needs for it.
    #[must_use]
    pub fn credentials(&self) -> Vec<&str> {
        match self {
            Self::File { .. } => Vec::new(),
            Self::Credential { name } => vec![name],
            Self::Pkcs11(key) => key.pin.strip_prefix("credential:").into_iter().collect(),
        }
    }
}

/// A sealed text, with the id of the key that sealed it.
pub(crate) struct Sealed {
    pub(crate) id: String,
    pub(crate) bytes: Vec<u8>,
}

impl Kek {
    /// Makes the key where it is ours to make, and is not there.
    pub(crate) fn prepare(&self, folder: &Path) -> Result<(), VaultError> {
        if let Self::File { path } = self {
            self.within_reach(&folder.join(path), folder)?;
        }
        match self {
            Self::File { path } if std::fs::symlink_metadata(folder.join(path)).is_err() => {
                self.make_file(&folder.join(path), folder)
            }
            Self::File { path } => {
                self.read(folder)?;
                self.of_the_owner(&folder.join(path), folder)
            }
            Self::Credential { .. } => self.read(folder).map(|_| ()),
            Self::Pkcs11(key) => key.prepare(folder).map_err(|why| self.wrong(why)),
        }
    }

    /// An error when the service, whose the folder is, could not read a file that root can.
    fn of_the_owner(&self, file: &Path, folder: &Path) -> Result<(), VaultError> {
        use std::os::unix::fs::MetadataExt as _;
        let owner = |path: &Path| std::fs::metadata(path).map(|found| found.uid());
        let unread = |error: io::Error| self.wrong(format!("{}: {error}", file.display()));
        let (home, own) = (owner(folder).map_err(unread)?, owner(file).map_err(unread)?);
        if own == home {
            return Ok(());
        }
        Err(self.wrong(format!(
            "{} belongs to another account than the home, and the service could not read it: `chown {home} {}`",
            file.display(),
            file.display()
        )))
    }

    /// An error when the service, whose the folder is, could not get to a file that root can.
    fn within_reach(&self, file: &Path, folder: &Path) -> Result<(), VaultError> {
        let above = file.parent().unwrap_or(folder);
        // What hinders the look is said by whoever makes or reads the file.
        let Ok(Some((barred, owner))) = closed_to_owner(folder, above, false) else { return Ok(()) };
        let barred = barred.display();
        Err(self.wrong(format!(
            "the service could not read it there: the account with the number {owner}, whose the home is and that runs the \
             service, may not enter the folder {barred}: let it (`chmod o+x {barred}`), or name a file in another folder"
        )))
    }

    /// Seals a text.
    pub(crate) fn seal(&self, folder: &Path, text: &[u8]) -> Result<Sealed, VaultError> {
        if let Self::Pkcs11(key) = self {
            return key.seal(folder, BOUND, text).map_err(|why| self.wrong(why));
        }
        let key = self.read(folder)?;
        let mut nonce = [0u8; NONCE_LEN];
        random(&mut nonce)?;
        let mut sealed = Zeroizing::new(Vec::with_capacity(text.len() + AES_256_GCM_SIV.tag_len()));
        sealed.extend_from_slice(text);
        cipher(&key)?
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(BOUND), &mut *sealed)
            .map_err(|_| VaultError::Random)?;
        Ok(Sealed { id: id(&key), bytes: [nonce.as_slice(), &sealed].concat() })
    }

    /// Opens a text.
    pub(crate) fn open(
        &self,
        place: &Path,
        folder: &Path,
        sealed: &Sealed,
    ) -> Result<Zeroizing<Vec<u8>>, VaultError> {
        let other = |found: String| match found == sealed.id {
            true => Ok(()),
            false => Err(VaultError::OtherKek {
                path: place.to_owned(),
                source_words: self.to_string(),
                wanted: sealed.id.clone(),
                found,
            }),
        };
        let damaged =
            || VaultError::Damaged { path: place.to_owned(), why: "its seal does not fit".to_owned() };
        if let Self::Pkcs11(key) = self {
            other(key.id(folder).map_err(|why| self.wrong(why))?)?;
            let opened = key.open(folder, BOUND, sealed).map_err(|why| self.wrong(why))?;
            return opened.ok_or_else(damaged);
        }
        let key = self.read(folder)?;
        other(id(&key))?;
        let (nonce, text) = sealed.bytes.split_at_checked(NONCE_LEN).ok_or_else(damaged)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| damaged())?;
        let mut text = Zeroizing::new(text.to_vec());
        let len =
            cipher(&key)?.open_in_place(nonce, Aad::from(BOUND), &mut text).map_err(|_| damaged())?.len();
        text.truncate(len);
        Ok(text)
    }

    fn read(&self, folder: &Path) -> Result<Zeroizing<Vec<u8>>, VaultError> {
        let (place, private) = match self {
            Self::File { path } => (folder.join(path), true),
            Self::Credential { name } => (credential(name), false),
            Self::Pkcs11(_) => return Err(self.wrong("it does not leave its token".to_owned())),
        };
        let text = read_text(&place, private).map_err(|error| self.unreadable(&place, &error))?;
        let key = BASE64.decode(text.trim()).map(Zeroizing::new).ok().filter(|key| key.len() == KEY_LEN);
        key.ok_or_else(|| {
            self.wrong(format!("{} holds no key: it is one line, 32 bytes in base64", place.display()))
        })
    }

    fn unreadable(&self, place: &Path, error: &io::Error) -> VaultError {
        let place = place.display();
        self.wrong(match (error.kind(), self) {
            // Within a unit that was not given the credential its folder is out of sight.
            (io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied, Self::Credential { name }) => format!(
                "{place}: {error}: the unit of the service has to say `LoadCredentialEncrypted={name}`; a command \
                 outside of it finds the credential while the service runs, or is run by `systemd-run` with that line"
            ),
            (io::ErrorKind::NotFound, Self::File { .. }) => format!(
                "{place} is missing: bring this file back from a backup, or activate this server with an exported key file"
            ),
            _ => format!("{place}: {error}"),
        })
    }

    fn make_file(&self, path: &Path, folder: &Path) -> Result<(), VaultError> {
        let io = |error: io::Error| self.wrong(format!("{}: {error}", path.display()));
        let mut key = Zeroizing::new([0u8; KEY_LEN]);
        random(&mut *key)?;
        let text = Zeroizing::new(BASE64.encode(*key));
        // It appears under its name when it is whole: a key set is sealed by no other.
        let unfinished = path.with_extension("new");
        let _leftover = std::fs::remove_file(&unfinished);
        let mut file = std::fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&unfinished)
            .map_err(io)?;
        // Root may make it for the service's account: who owns the key set needs it.
        let (owner, own) = (std::fs::metadata(folder).map_err(io)?, file.metadata().map_err(io)?);
        if owner.uid() != own.uid() {
            std::os::unix::fs::fchown(&file, Some(owner.uid()), Some(owner.gid())).map_err(io)?;
        }
        file.write_all(text.as_bytes())
            .and_then(|()| file.write_all(b"\n"))
            .and_then(|()| file.sync_all())
            .and_then(|()| std::fs::hard_link(&unfinished, path)) // unlike a rename, it replaces nothing
            .and_then(|()| std::fs::remove_file(&unfinished))
            .and_then(|()| crate::file::sync_folder(path))
            .map_err(io)
    }

    fn wrong(&self, why: String) -> VaultError {
        VaultError::Kek { source_words: self.to_string(), why }
    }
}

/// The first folder on the way to `place` that the owner of `home` may not enter, or in which, of `writes`, it may not write; with
/// the number of that account. Both folders are there. Of a group it is not known who is in it: that of another than root may let it in.
/// Root owns what it is asked about, or asks for somebody else; whoever asks for itself is told by the system, too.
///
/// # Errors
/// When a folder cannot be looked at.
pub fn closed_to_owner(home: &Path, place: &Path, writes: bool) -> io::Result<Option<(PathBuf, u32)>> {
    let owner = std::fs::metadata(home)?;
    if owner.uid() == 0 {
        return Ok(None);
    }
    // The home is the owner's, wherever it lies.
    let (home, place) = (home.canonicalize()?, place.canonicalize()?);
    let way: Vec<&Path> = place.ancestors().take_while(|folder| **folder != home).collect();
    for folder in way.into_iter().rev() {
        let found = std::fs::metadata(folder)?;
        let needs = if writes && folder == place { 0o3 } else { 0o1 };
        let has = |bits: u32| bits & needs == needs;
        let (mode, group) = (found.mode(), found.gid());
        let may = match found.uid() == owner.uid() {
            true => has(mode >> 6),
            false if group == owner.gid() => has(mode >> 3),
            false => has(mode) || (group != 0 && has(mode >> 3)),
        };
        if !may {
            return Ok(Some((folder.to_owned(), owner.uid())));
        }
    }
    Ok(None)
}

/// Where systemd puts a credential of the service.
pub(crate) fn credential(name: &str) -> PathBuf {
    match std::env::var_os("CREDENTIALS_DIRECTORY") {
        Some(given) => Path::new(&given).join(name),
        None => Path::new(SERVICE_CREDENTIALS).join(name),
    }
}

/// Reads a short text that is secret; one in a file that others could read is refused where it is to be private.
pub(crate) fn read_text(place: &Path, private: bool) -> io::Result<Zeroizing<String>> {
    let file = std::fs::File::open(place)?;
    let mode = file.metadata()?.permissions().mode() & 0o777;
    if private && mode & 0o077 != 0 {
        let place = place.display();
        return Err(io::Error::other(format!(
            "it has mode {mode:03o}, others could read it: run `chmod 600 {place}`"
        )));
    }
    let mut text = Zeroizing::new(String::with_capacity(TEXT_MAX as usize));
    file.take(TEXT_MAX).read_to_string(&mut text)?;
    Ok(text)
}

fn cipher(key: &[u8]) -> Result<LessSafeKey, VaultError> {
    UnboundKey::new(&AES_256_GCM_SIV, key).map(LessSafeKey::new).map_err(|_| VaultError::Random)
}

/// The id of a key-encryption key.
fn id(key: &[u8]) -> String {
    fingerprint(key, b"onesync key-encryption key")
}
