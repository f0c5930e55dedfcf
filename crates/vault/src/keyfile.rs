//! The key file: an exported key set, to be kept away from the server.
//!
//! It is a file in the format of `age`, sealed by the service account's password at the time of the export, to
//! recipients, or to an identity that is split into shares. Inside it is TOML with a version, what it belongs to, and
//! the keys.
//! Deliberately absent: where it is written, and whether it fits a database (the service).

use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::agefile::{self, AgeError, Identity, Recipient, To, With};
use crate::keys::{KeySet, KeyText, version};
use crate::shares::{self, Split};
use crate::{AccountName, VaultError, Verifier};

/// The form inside.
const VERSION: u32 = 1;
/// Longer than a file with all the keys that a set can have is no key file.
pub const KEY_FILE_MAX: u64 = 1 << 20;

/// An exported key set.
#[derive(Clone, Debug)]
pub struct KeyFile {
    /// The installation it belongs to.
    pub installation: String,
    /// The service account that exported it.
    pub account: String,
    /// The verifier of that account's password.
    pub verifier: Verifier,
    /// When.
    pub exported: String,
    /// The keys.
    pub keys: KeySet,
}

/// What opens a key file.
#[derive(Debug)]
pub enum Unlock {
    /// The service account and its password at the time of the export.
    Account {
        /// Its name.
        name: AccountName,
        /// Its password.
        password: SecretString,
    },
    /// The text of a file with identities (`AGE-SECRET-KEY-1...`); lines that begin with `#` say nothing.
    Identity(SecretString),
    /// Lines with shares.
    Shares(Vec<SecretString>),
}

/// What a key file is sealed to.
#[derive(Debug)]
pub enum Seal<'a> {
    /// The service account's password.
    Password(&'a SecretString),
    /// Recipients, `age1...`.
    Recipients(&'a [String]),
    /// A new identity, which is given in shares.
    Shares(Split),
}

impl Seal<'_> {
    /// An error when one of the recipients is none.
    ///
    /// # Errors
    /// [`VaultError::Recipient`] names it.
    pub fn check(&self) -> Result<(), VaultError> {
        match self {
            Self::Recipients(texts) => recipients(texts).map(drop),
            Self::Password(_) | Self::Shares(_) => Ok(()),
        }
    }
}

/// A sealed key file, and the shares that open it, where it was sealed so.
#[derive(Debug)]
pub struct SealedKeyFile {
    /// The file.
    pub bytes: Vec<u8>,
    /// One line for each of those who keep a share.
    pub shares: Vec<SecretString>,
}

#[derive(Serialize)]
struct Head<'a> {
    version: u32,
    installation: &'a str,
    account: &'a str,
    verifier: &'a str,
    exported: &'a str,
    current: &'a str,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Text<'a> {
    #[serde(rename = "version")]
    _version: u32,
    installation: String,
    account: String,
    verifier: String,
    exported: String,
    current: String,
    #[serde(borrow)]
    keys: Vec<KeyText<'a>>,
}

impl KeyFile {
    /// Opens a key file.
    ///
    /// # Errors
    /// Says which is wrong: the file, its end, the password, the account, the identity or the shares.
    pub fn open(bytes: &[u8], unlock: &Unlock) -> Result<Self, VaultError> {
        if bytes.len() as u64 > KEY_FILE_MAX {
            return Err(VaultError::NoKeyFile);
        }
        let by_password = agefile::is_by_passphrase(bytes).map_err(|error| of_age(error, bytes))?;
        let given = match unlock {
            Unlock::Account { .. } => "a password",
            Unlock::Identity(_) => "an identity",
            Unlock::Shares(_) => "shares",
        };
        if by_password != matches!(unlock, Unlock::Account { .. }) {
            let sealed = if by_password { "a password" } else { "recipients or shares" };
            return Err(VaultError::KeyFileSealedOtherwise { sealed, given });
        }
        let opened = match unlock {
            Unlock::Account { password, .. } => agefile::open(bytes, With::Passphrase(password)),
            Unlock::Identity(text) => agefile::open(bytes, With::Identities(&identities(text)?)),
            Unlock::Shares(lines) => {
                let secret = shares::combine(lines.iter().map(|line| line.expose_secret()))?;
                let identity = Identity::from_bytes(&*secret).ok_or(VaultError::SharesContradict)?;
                agefile::open(bytes, With::Identities(&[identity]))
            }
        };
        let text = opened.map_err(|error| match (error, unlock) {
            (AgeError::NoMatch, Unlock::Account { .. }) => VaultError::KeyFilePassword,
            (AgeError::NoMatch, Unlock::Identity(_)) => VaultError::NotARecipient,
            (AgeError::NoMatch, Unlock::Shares(_)) => VaultError::SharesOfOtherFile,
            (error, _) => of_age(error, bytes),
        })?;
        let file = Self::parse(&text)?;
        match unlock {
            Unlock::Account { name, .. } if *name != AccountName::parse(&file.account)? => {
                Err(VaultError::KeyFileAccount { exported: file.account, given: name.to_string() })
            }
            _ => Ok(file),
        }
    }

    /// Seals it, to be written to a file.
    ///
    /// # Errors
    /// When a recipient is none, or there is no randomness.
    pub fn seal(&self, to: &Seal<'_>) -> Result<SealedKeyFile, VaultError> {
        self.seal_at(to, agefile::WORK_FACTOR)
    }

    fn seal_at(&self, to: &Seal<'_>, work_factor: u8) -> Result<SealedKeyFile, VaultError> {
        let text = self.text()?;
        let seal = |to: &To<'_>| agefile::seal(text.as_bytes(), to).map_err(|error| of_age(error, &[]));
        let (bytes, shares) = match to {
            Seal::Password(password) => {
                (seal(&To::Passphrase { passphrase: password, work_factor })?, Vec::new())
            }
            Seal::Recipients(texts) => (seal(&To::Recipients(&recipients(texts)?))?, Vec::new()),
            Seal::Shares(split) => {
                let identity = Identity::make();
                let bytes = seal(&To::Recipients(&[identity.recipient()]))?;
                let lines = shares::split(&identity.bytes().ok_or(VaultError::Random)?, *split)?;
                (bytes, lines.iter().map(|line| SecretString::from(line.as_str())).collect())
            }
        };
        Ok(SealedKeyFile { bytes, shares })
    }

    fn text(&self) -> Result<Zeroizing<String>, VaultError> {
        let head = Head {
            version: VERSION,
            installation: &self.installation,
            account: &self.account,
            verifier: self.verifier.as_str(),
            exported: &self.exported,
            current: self.keys.current(),
        };
        let mut text = Zeroizing::new(toml::to_string(&head).map_err(|_| VaultError::NoKeyFile)?);
        self.keys.write_keys(&mut text);
        Ok(text)
    }

    fn parse(bytes: &[u8]) -> Result<Self, VaultError> {
        let text = std::str::from_utf8(bytes).map_err(|_| VaultError::NoKeyFile)?;
        match version(text) {
            Some(VERSION) => {}
            Some(newer) => return Err(VaultError::NewerKeyFile(newer)),
            None => return Err(VaultError::NoKeyFile),
        }
        // The parser's own message would quote a line, and with it a key.
        let text: Text<'_> = toml::from_str(text).map_err(|_| VaultError::NoKeyFile)?;
        let keys = KeySet::of_texts(text.current, &text.keys).map_err(|_| VaultError::NoKeyFile)?;
        let verifier = Verifier::parse(&text.verifier)?;
        let Text { installation, account, exported, .. } = text;
        Ok(Self { installation, account, verifier, exported, keys })
    }
}

fn identities(text: &SecretString) -> Result<Vec<Identity>, VaultError> {
    let lines = text.expose_secret().lines().map(str::trim);
    let lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
    let found: Vec<Identity> =
        lines.map(Identity::parse).collect::<Option<_>>().ok_or(VaultError::Identity)?;
    if found.is_empty() { Err(VaultError::Identity) } else { Ok(found) }
}

fn recipients(texts: &[String]) -> Result<Vec<Recipient>, VaultError> {
    let parse = |text: &String| Recipient::parse(text).ok_or_else(|| VaultError::Recipient(text.clone()));
    texts.iter().map(parse).collect()
}

fn of_age(error: AgeError, bytes: &[u8]) -> VaultError {
    match error {
        AgeError::Cut => VaultError::CutKeyFile { bytes: bytes.len() },
        AgeError::Seal => VaultError::Random,
        AgeError::NotAge | AgeError::Header | AgeError::WorkFactor | AgeError::NoMatch => {
            VaultError::NoKeyFile
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWORD: &str = "a long enough password";
    /// Quick enough for many openings.
    const QUICK: u8 = 4;

    fn key_file() -> KeyFile {
        KeyFile {
            installation: "0123".to_owned(),
            account: "CONTOSO\\svc-'onesync'".to_owned(),
            verifier: Verifier::make(PASSWORD.as_bytes()).unwrap(),
            exported: "2026-11-26T12:00:00Z".to_owned(),
            keys: KeySet::make("2026-01-01T00:00:00Z").unwrap(),
        }
    }

    fn account(name: &str, password: &str) -> Unlock {
        Unlock::Account { name: AccountName::parse(name).unwrap(), password: password.to_owned().into() }
    }

    #[test]
    fn it_opens_with_the_account_and_its_password() {
        let file = key_file();
        let sealed = file.seal_at(&Seal::Password(&PASSWORD.to_owned().into()), QUICK).unwrap().bytes;
        let opened = KeyFile::open(&sealed, &account("contoso\\SVC-'onesync'", PASSWORD)).unwrap();
        assert_eq!((&opened.installation, &opened.account), (&file.installation, &file.account));
        assert!(opened.verifier.is_of(PASSWORD.as_bytes()) && opened.exported == file.exported);
        assert!(opened.keys.holds(&file.keys) && file.keys.holds(&opened.keys));
        assert_eq!(opened.keys.notes(), file.keys.notes());
        let text = format!("{opened:?}");
        assert!(
            !file.keys.text().lines().filter_map(|l| l.strip_prefix("key = ")).any(|key| text.contains(key))
        );
    }

    #[test]
    fn each_thing_that_is_wrong_has_its_own_words() {
        let file = key_file();
        let sealed = file.seal_at(&Seal::Password(&PASSWORD.to_owned().into()), QUICK).unwrap().bytes;
        let right = account("CONTOSO\\svc-'onesync'", PASSWORD);
        let open = |bytes: &[u8], unlock: &Unlock| KeyFile::open(bytes, unlock).unwrap_err();
        assert!(matches!(open(b"a letter", &right), VaultError::NoKeyFile));
        assert!(matches!(open(b"", &right), VaultError::NoKeyFile));
        assert!(matches!(open(&vec![b'a'; 2 << 20], &right), VaultError::NoKeyFile));
        let other = open(&sealed, &account("CONTOSO\\other", PASSWORD));
        assert!(matches!(other, VaultError::KeyFileAccount { .. }));
        assert!(other.to_string().contains("svc-'onesync'") && other.to_string().contains("other"));
        let wrong = open(&sealed, &account("CONTOSO\\svc-'onesync'", "another password"));
        assert!(matches!(wrong, VaultError::KeyFilePassword), "{wrong}");
        // Cut anywhere, it is never taken for a whole one, nor for one of another password.
        for left in (1..sealed.len()).step_by(7) {
            let error = open(&sealed[..left], &right);
            assert!(matches!(error, VaultError::CutKeyFile { bytes } if bytes == left), "{left}: {error}");
        }
        let mut changed = sealed.clone();
        *changed.last_mut().unwrap() ^= 1;
        assert!(matches!(open(&changed, &right), VaultError::CutKeyFile { .. }));
        let identity = Unlock::Identity(SecretString::from("AGE-SECRET-KEY-1QQ"));
        assert!(matches!(open(&sealed, &identity), VaultError::KeyFileSealedOtherwise { .. }));
        // Something else in the right wrapping.
        let passphrase = &SecretString::from("x".to_owned());
        let note = agefile::seal(b"version = 7\n", &To::Passphrase { passphrase, work_factor: 1 }).unwrap();
        assert!(matches!(open(&note, &account("a", "x")), VaultError::NewerKeyFile(7)));
        let note = agefile::seal(b"hello", &To::Passphrase { passphrase, work_factor: 1 }).unwrap();
        assert!(matches!(open(&note, &account("a", "x")), VaultError::NoKeyFile));
    }

    #[test]
    fn it_opens_for_each_recipient_and_for_nobody_else() {
        let [a, b, c] = std::array::from_fn(|_| Identity::make());
        let recipients = [&a, &b].map(|identity| identity.recipient().0.to_string());
        let sealed = key_file().seal(&Seal::Recipients(&recipients)).unwrap().bytes;
        let unlock = |identity: &Identity| {
            let key = identity.0.to_string();
            Unlock::Identity(SecretString::from(format!("# created: today\n\n{}\n", key.expose_secret())))
        };
        assert!(KeyFile::open(&sealed, &unlock(&a)).is_ok() && KeyFile::open(&sealed, &unlock(&b)).is_ok());
        assert!(matches!(KeyFile::open(&sealed, &unlock(&c)), Err(VaultError::NotARecipient)));
        assert!(matches!(
            KeyFile::open(&sealed, &Unlock::Identity("nonsense".to_owned().into())),
            Err(VaultError::Identity)
        ));
        assert!(matches!(
            KeyFile::open(&sealed, &account("a", PASSWORD)),
            Err(VaultError::KeyFileSealedOtherwise { .. })
        ));
        let wrong = ["age1nonsense".to_owned()];
        assert!(matches!(Seal::Recipients(&wrong).check(), Err(VaultError::Recipient(_))));
        Seal::Recipients(&recipients).check().unwrap();
        assert!(matches!(key_file().seal(&Seal::Recipients(&wrong)), Err(VaultError::Recipient(_))));
    }

    #[test]
    fn enough_shares_of_the_right_export_open_it() {
        let split = Split::parse("2-of-3").unwrap();
        let SealedKeyFile { bytes, shares } = key_file().seal(&Seal::Shares(split)).unwrap();
        let other = key_file().seal(&Seal::Shares(split)).unwrap();
        let pick = |of: &[SecretString], which: &[usize]| {
            Unlock::Shares(which.iter().map(|at| of[*at].clone()).collect())
        };
        assert!(KeyFile::open(&bytes, &pick(&shares, &[2, 0])).is_ok());
        assert!(matches!(
            KeyFile::open(&bytes, &pick(&shares, &[1])),
            Err(VaultError::SharesTooFew { found: 1, needed: 2 })
        ));
        assert!(matches!(
            KeyFile::open(&bytes, &pick(&other.shares, &[0, 1])),
            Err(VaultError::SharesOfOtherFile)
        ));
        assert!(shares.iter().all(|share| !format!("{share:?}").contains("onesync-share")));
    }
}
