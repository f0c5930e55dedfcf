//! The key set: the keys that protect the secrets in the database.
//!
//! Secrets are sealed by AES-256-GCM-SIV and bound to their place (table, row, field), so that a sealed value copied
//! elsewhere does not open. The key set (`keys`) lies in a file of the home directory (`file`), sealed under a
//! key-encryption key (`kek`), never in the database. The database alone is useless to a thief, the file alone too.
//!
//! An exported key set is a key file (`keyfile`), in the format of `age`, which may be opened by shares (`shares`).
//! Beside it the verifier of the service account's password (`account`).
//! Deliberately absent: where secrets are stored, who may set them, the network.

mod account;
mod agefile;
mod error;
mod file;
mod kek;
mod keyfile;
mod keys;
mod pkcs11;
mod shares;

use std::fmt;
use std::path::Path;

use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use zeroize::Zeroizing;

pub use account::{AccountError, AccountName, Verifier, make_password};
pub use error::VaultError;
pub use kek::{KEK_CREDENTIAL, KEK_FILE, Kek, closed_to_owner};
pub use keyfile::{KEY_FILE_MAX, KeyFile, Seal, SealedKeyFile, Unlock};
pub use keys::{KeyNote, KeySet};
pub use pkcs11::{TokenKey, try_pin_once_more};
pub use shares::Split;

/// The version byte of a sealed value: version, key id (8 bytes), nonce (12 bytes), ciphertext with tag.
const SEALED_VERSION: u8 = 1;
/// Bytes of a key id.
const KEY_ID_LEN: usize = 8;
/// Bytes of a data key.
const KEY_LEN: usize = 32;

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

impl KeySet {
    /// Opens the key set in a file.
    ///
    /// # Errors
    /// When the file is missing, readable by others, or damaged, or its key-encryption key is not there.
    pub fn open(file: &Path) -> Result<Self, VaultError> {
        file::read(file).map(|(set, _)| set)
    }

    /// Where the key-encryption key of the key set in a file comes from, and its id; nothing is opened. `None` when the
    /// file, of an earlier version, is not sealed.
    ///
    /// # Errors
    /// When the file is missing, readable by others, or damaged.
    pub fn source(file: &Path) -> Result<Option<(Kek, String)>, VaultError> {
        file::source(file)
    }

    /// Writes it over the one in a file, sealed under a key-encryption key; a file that is not there yet is made.
    ///
    /// # Errors
    /// When the key-encryption key is not there, or the file cannot be written.
    pub fn save(&self, file: &Path, kek: &Kek) -> Result<(), VaultError> {
        file::write(file, self, kek, true)
    }

    /// Copies the key set in a file to another one, with the key-encryption key where that lies beside it.
    ///
    /// # Errors
    /// When a file cannot be read or written.
    pub fn copy(from: &Path, to: &Path) -> Result<(), VaultError> {
        let copy = |from: &Path, to: &Path| match std::fs::copy(from, to) {
            Err(source) => Err(VaultError::Io { path: from.to_owned(), source }),
            Ok(_) => Ok(()),
        };
        if let Ok(Some((Kek::File { path }, _))) = Self::source(from)
            && path.is_relative()
            && let (Some(here), Some(there)) = (from.parent(), to.parent())
            && here.join(&path).exists()
        {
            copy(&here.join(&path), &there.join(&path))?;
        }
        copy(from, to)
    }
}

impl Vault {
    /// Makes a new key set with one key, in a file, sealed under a key-encryption key.
    ///
    /// # Errors
    /// When the file exists, or cannot be written, or the key-encryption key is not there.
    pub fn create(file: &Path, kek: &Kek, now: &str) -> Result<Self, VaultError> {
        let set = KeySet::make(now)?;
        file::write(file, &set, kek, false)?;
        Self::open(file)
    }

    /// Writes the keys of a key file to a file of the home, sealed under a key-encryption key. Done twice, it is done once.
    ///
    /// # Errors
    /// When there is another key set, or it cannot be written.
    pub fn install(file: &Path, key_file: &KeyFile, kek: &Kek) -> Result<Self, VaultError> {
        match file::write(file, &key_file.keys, kek, false) {
            Err(VaultError::Exists { path }) => match KeySet::open(file) {
                Ok(there) if there.holds(&key_file.keys) => Self::of(&there),
                _ => Err(VaultError::Exists { path }),
            },
            written => written.and_then(|()| Self::open(file)),
        }
    }

    /// Opens a key set.
    ///
    /// # Errors
    /// When the file is missing, readable by others, or damaged, or its key-encryption key is not there.
    pub fn open(file: &Path) -> Result<Self, VaultError> {
        Self::of(&KeySet::open(file)?)
    }

    /// Seals and opens with the keys of a key set.
    ///
    /// # Errors
    /// Never with keys of the right length.
    pub fn of(set: &KeySet) -> Result<Self, VaultError> {
        let cipher = |key: &keys::DataKey| {
            let cipher = UnboundKey::new(&AES_256_GCM_SIV, &key.key).map_err(|_| VaultError::Random)?;
            Ok((key.id.clone(), LessSafeKey::new(cipher)))
        };
        let keys = set.keys.iter().map(cipher).collect::<Result<_, VaultError>>()?;
        Ok(Self { current: set.current.clone(), keys })
    }

    /// The id of the key that sealed a value, where it can be seen.
    #[must_use]
    pub fn sealed_by(sealed: &[u8]) -> Option<String> {
        match sealed.split_first() {
            Some((&SEALED_VERSION, rest)) => rest.get(..KEY_ID_LEN).map(hex),
            _ => None,
        }
    }

    /// The id of the key that seals new values.
    #[must_use]
    pub fn key_id(&self) -> &str {
        &self.current
    }

    /// Whether it has the key of that id.
    #[must_use]
    pub fn has(&self, id: &str) -> bool {
        self.keys.iter().any(|(known, _)| known == id)
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
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    const PLACE: Place<'static> = Place { table: "secret", row: "graph", field: "value" };
    const NOW: &str = "2026-01-01T00:00:00Z";

    fn vault() -> (tempfile::TempDir, Vault) {
        let folder = tempfile::tempdir().unwrap();
        let vault = Vault::create(&folder.path().join("keyset.toml"), &Kek::default(), NOW).unwrap();
        (folder, vault)
    }

    fn key_file(keys: KeySet) -> KeyFile {
        KeyFile {
            installation: "0123".to_owned(),
            account: "svc".to_owned(),
            verifier: Verifier::make(b"a long enough password").unwrap(),
            exported: NOW.to_owned(),
            keys,
        }
    }

    #[test]
    fn what_is_sealed_opens_at_its_place_only() {
        let (folder, vault) = vault();
        let sealed = vault.seal(&PLACE, b"s3cret").unwrap();
        assert!(!sealed.windows(6).any(|w| w == b"s3cret"));
        assert_eq!(&*vault.open_sealed(&PLACE, &sealed).unwrap(), b"s3cret");
        assert_eq!(Vault::sealed_by(&sealed).as_deref(), Some(vault.key_id()));
        assert_eq!(Vault::sealed_by(b"\x02nothing of ours"), None);
        let again = Vault::open(&folder.path().join("keyset.toml")).unwrap();
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
    fn a_folder_that_the_owner_of_the_home_may_not_enter_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let (home, closed) = (folder.path().join("home"), folder.path().join("closed"));
        let inner = closed.join("inner");
        std::fs::create_dir(&home).unwrap();
        std::fs::create_dir_all(&inner).unwrap();
        if std::os::unix::fs::chown(&home, Some(2), Some(2)).is_err() {
            eprintln!("SKIPPED: only root can give a folder to another account");
            return;
        }
        let mode = |of: &std::path::Path, mode: u32| {
            std::fs::set_permissions(of, std::fs::Permissions::from_mode(mode)).unwrap();
        };
        let place = |writes| closed_to_owner(&home, &inner, writes).unwrap().map(|(folder, _)| folder);
        mode(folder.path(), 0o755);
        for (on_the_way, at_it, enters, writes) in [
            (0o755, 0o755, None, Some(&inner)),
            (0o755, 0o777, None, None),
            (0o700, 0o777, Some(&closed), Some(&closed)),
            (0o711, 0o700, Some(&inner), Some(&inner)),
            (0o750, 0o777, Some(&closed), Some(&closed)),
        ] {
            mode(&closed, on_the_way);
            mode(&inner, at_it);
            assert_eq!(place(false).as_ref(), enters, "{on_the_way:o} {at_it:o}");
            assert_eq!(place(true).as_ref(), writes, "{on_the_way:o} {at_it:o}");
        }
        // Somebody of that group may be the owner of the home.
        std::os::unix::fs::chown(&closed, None, Some(2)).unwrap();
        assert_eq!(place(true), None);
        // What is refused is not made, and the key set stays sealed as it was.
        let file = home.join("keyset.toml");
        Vault::create(&file, &Kek::default(), NOW).unwrap();
        mode(&closed, 0o700);
        let set = KeySet::open(&file).unwrap();
        let refused = set.save(&file, &Kek::File { path: closed.join("kek") }).unwrap_err().to_string();
        assert!(refused.contains("number 2") && refused.contains(closed.to_str().unwrap()), "{refused}");
        assert!(!closed.join("kek").exists() && KeySet::open(&file).is_ok());
        mode(&closed, 0o711);
        set.save(&file, &Kek::File { path: closed.join("kek") }).unwrap();
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
    fn the_files_are_private_and_never_overwritten() {
        let (folder, _vault) = vault();
        let (path, kek) = (folder.path().join("keyset.toml"), folder.path().join(KEK_FILE));
        for file in [&path, &kek] {
            assert_eq!(std::fs::metadata(file).unwrap().permissions().mode() & 0o777, 0o600);
            let before = std::fs::read(file).unwrap();
            assert!(matches!(Vault::create(&path, &Kek::default(), NOW), Err(VaultError::Exists { .. })));
            assert_eq!(std::fs::read(file).unwrap(), before);
            std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o640)).unwrap();
            assert!(Vault::open(&path).unwrap_err().to_string().contains("chmod 600"));
            std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o600)).unwrap();
        }
        assert!(matches!(Vault::open(&folder.path().join("none")), Err(VaultError::Missing { .. })));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2, "nothing is left over");
    }

    #[test]
    fn a_key_set_needs_its_key_encryption_key_and_says_what_became_of_it() {
        let (folder, _vault) = vault();
        let (path, kek) = (folder.path().join("keyset.toml"), folder.path().join(KEK_FILE));
        let (right, other) = (std::fs::read(&kek).unwrap(), vault());
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains("source = \"file\"") && !text.contains("[[keys]]"), "{text}");
        std::fs::remove_file(&kek).unwrap();
        let error = Vault::open(&path).unwrap_err();
        assert!(matches!(error, VaultError::Kek { .. }) && error.to_string().contains("missing"), "{error}");
        std::fs::copy(other.0.path().join(KEK_FILE), &kek).unwrap();
        let error = Vault::open(&path).unwrap_err();
        assert!(matches!(error, VaultError::OtherKek { .. }), "{error}");
        std::fs::write(&kek, "no key").unwrap();
        assert!(Vault::open(&path).unwrap_err().to_string().contains("holds no key"));
        std::fs::write(&kek, right).unwrap();
        Vault::open(&path).unwrap();
        let sealed = text.lines().find_map(|line| line.strip_prefix("sealed = \"")).unwrap();
        std::fs::write(&path, text.replace(&sealed[..8], "AAAAAAAA")).unwrap();
        assert!(matches!(Vault::open(&path), Err(VaultError::Damaged { .. })));
        std::fs::write(&path, text.replace("version = 2", "version = 3")).unwrap();
        assert!(Vault::open(&path).unwrap_err().to_string().contains("version 3"));
    }

    #[test]
    fn a_key_set_of_an_earlier_version_is_read_and_sealed_by_the_next_write() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keyset.toml");
        // As version 0.1 wrote it.
        let id = "00112233445566ff";
        let key = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
        let text = format!("version = 1\ncurrent = \"{id}\"\n\n[[keys]]\nid = \"{id}\"\nkey = \"{key}\"\n");
        std::fs::write(&path, &text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        let sealed = Vault::open(&path).unwrap().seal(&PLACE, b"s3cret").unwrap();
        assert_eq!(KeySet::source(&path).unwrap(), None);
        KeySet::open(&path).unwrap().save(&path, &Kek::default()).unwrap();
        assert!(!std::fs::read_to_string(&path).unwrap().contains(key));
        assert_eq!(KeySet::source(&path).unwrap().unwrap().0, Kek::default());
        assert_eq!(&*Vault::open(&path).unwrap().open_sealed(&PLACE, &sealed).unwrap(), b"s3cret");
    }

    /// With SoftHSM, in a folder of its own; `tests/servers/softhsm.sh install` brings it.
    #[test]
    fn a_key_that_stays_on_a_token_seals_a_key_set() {
        let modules = ["/usr/lib/softhsm/libsofthsm2.so", "/usr/lib64/softhsm/libsofthsm.so"];
        let Some(module) = modules.iter().find(|module| Path::new(module).exists()) else {
            eprintln!("SKIPPED: no SoftHSM here: `tests/servers/softhsm.sh install`");
            return;
        };
        // Another process: the module reads its folder from the environment when it is loaded.
        if std::env::var_os("SOFTHSM2_CONF").is_none() {
            let folder = tempfile::tempdir().unwrap();
            let conf = folder.path().join("softhsm2.conf");
            std::fs::create_dir(folder.path().join("tokens")).unwrap();
            std::fs::write(&conf, format!("directories.tokendir = {}/tokens\n", folder.path().display()))
                .unwrap();
            let test = "tests::a_key_that_stays_on_a_token_seals_a_key_set";
            let ran = std::process::Command::new(std::env::current_exe().unwrap())
                .args(["--exact", test, "--nocapture"])
                .env("SOFTHSM2_CONF", &conf)
                .status();
            assert!(ran.unwrap().success());
            return;
        }
        let made = std::process::Command::new("softhsm2-util")
            .args(["--init-token", "--free", "--label", "onesync", "--so-pin", "654321", "--pin", "123456"])
            .output()
            .unwrap();
        assert!(made.status.success(), "{made:?}");
        let folder = tempfile::tempdir().unwrap();
        let (path, pin) = (folder.path().join("keyset.toml"), folder.path().join("pin"));
        std::fs::write(&pin, "123456\n").unwrap();
        std::fs::set_permissions(&pin, std::fs::Permissions::from_mode(0o600)).unwrap();
        let token = |token: &str, key: &str, pin: &str| {
            let text = |text: &str| text.to_owned();
            Kek::Pkcs11(TokenKey {
                module: module.into(),
                token: text(token),
                key: text(key),
                pin: text(pin),
            })
        };
        let kek = token("onesync", "kek", "pin");
        let vault = Vault::create(&path, &kek, NOW).unwrap();
        let sealed = vault.seal(&PLACE, b"s3cret").unwrap();
        for _ in 0..3 {
            assert_eq!(&*Vault::open(&path).unwrap().open_sealed(&PLACE, &sealed).unwrap(), b"s3cret");
        }
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains("source = \"pkcs11\"") && !text.contains("123456"), "{text}");
        // Another key of the token, no such key, no such token, a wrong PIN: each says what it is.
        let set = KeySet::open(&path).unwrap();
        let other = folder.path().join("other.toml");
        set.save(&other, &token("onesync", "second", "pin")).unwrap();
        let mixed = text.replace("key = \"kek\"", "key = \"second\"");
        std::fs::write(&path, &mixed).unwrap();
        assert!(matches!(Vault::open(&path), Err(VaultError::OtherKek { .. })));
        for (from, to, says) in [
            ("key = \"kek\"", "key = \"third\"", "no key `third`"),
            ("token = \"onesync\"", "token = \"none\"", "no token `none`"),
            ("pin = \"pin\"", "pin = \"none\"", "none"),
        ] {
            let changed = text
                .replace(from, to)
                .replace(":kek\"", &format!(":{}\"", if to.contains("third") { "third" } else { "kek" }));
            std::fs::write(&path, changed).unwrap();
            let error = Vault::open(&path).unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        }
        std::fs::write(&path, &text).unwrap();
        std::fs::write(&pin, "999999").unwrap();
        let refused = |pin: &str| {
            let error = Vault::open(&path).unwrap_err().to_string();
            assert!(error.contains("refused the PIN in pin") && !error.contains(pin), "{error}");
        };
        refused("999999");
        // It is not tried again: the token would take it by now.
        let set_pin = |old: &str, new: &str| {
            let Kek::Pkcs11(key) = &kek else { unreachable!() };
            key.set_pin(old, new);
        };
        set_pin("123456", "999999");
        refused("999999");
        refused("999999");
        // Another one is, once; and the right one after it.
        std::fs::write(&pin, "888888").unwrap();
        refused("888888");
        std::fs::write(&pin, "999999\n").unwrap();
        // Where the token tells that it refused one, only for somebody who means it.
        let held = Vault::open(&path).unwrap_err().to_string();
        assert!(held.contains("keys status") && !held.contains("999999"), "{held}");
        try_pin_once_more();
        Vault::open(&path).unwrap();
        set_pin("999999", "123456");
        refused("999999");
        std::fs::write(&pin, "123456").unwrap();
        Vault::open(&path).unwrap();
    }

    #[test]
    fn an_exported_key_set_is_installed_once_and_over_nothing() {
        let (here, vault) = vault();
        let there = tempfile::tempdir().unwrap();
        let path = there.path().join("keyset.toml");
        let sealed = vault.seal(&PLACE, b"s3cret").unwrap();
        let file = key_file(KeySet::open(&here.path().join("keyset.toml")).unwrap());
        for _ in 0..2 {
            let installed = Vault::install(&path, &file, &Kek::default()).unwrap();
            assert_eq!(&*installed.open_sealed(&PLACE, &sealed).unwrap(), b"s3cret");
        }
        let other = key_file(KeySet::make(NOW).unwrap());
        assert!(matches!(Vault::install(&path, &other, &Kek::default()), Err(VaultError::Exists { .. })));
        // A copy opens where it lies.
        let copy = tempfile::tempdir().unwrap();
        KeySet::copy(&path, &copy.path().join("keyset.toml")).unwrap();
        drop((here, there));
        Vault::open(&copy.path().join("keyset.toml")).unwrap();
    }
}
