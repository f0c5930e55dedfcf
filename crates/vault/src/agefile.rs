//! Files in the format of `age` (age-encryption.org/v1), sealed by a passphrase or to recipients, so that any tool for
//! that format opens them too.
//!
//! The crate `age` seals and opens; here its errors become the few that matter for a key file. Everything is read from and
//! written to memory: a key file is small.
//! Deliberately absent: armor, plugins, SSH keys.

use std::io::{Read as _, Write as _};
use std::iter;

use age::{DecryptError, Decryptor, EncryptError, Encryptor, scrypt, x25519};
use bech32::primitives::decode::CheckedHrpstring;
use bech32::{Bech32, Hrp};
use secrecy::{ExposeSecret as _, SecretString};
use thiserror::Error;
use zeroize::Zeroizing;

/// What a passphrase costs here: scrypt with N = 2^17, r = 8 takes 128 MiB and about half a second.
pub(crate) const WORK_FACTOR: u8 = 17;
/// The most that is taken from a file: 2^20 are 1 GiB and a few seconds. A greater one would be there to stall us.
const WORK_FACTOR_MAX: u8 = 20;
/// How a file begins.
const MAGIC: &[u8] = b"age-encryption.org/v1\n";
/// What comes before the last line of a header.
const HEADER_END: &[u8] = b"\n--- ";
/// How an identity begins.
const IDENTITY: &str = "age-secret-key-";

/// Why a file is not opened or made.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub(crate) enum AgeError {
    #[error("it does not begin like one")]
    NotAge,
    #[error("its header is not as the format says")]
    Header,
    #[error("its passphrase would take too long")]
    WorkFactor,
    #[error("it is cut short, or was changed")]
    Cut,
    #[error("nothing that was given opens it")]
    NoMatch,
    #[error("it could not be sealed")]
    Seal,
}

/// What a file is sealed by.
pub(crate) enum To<'a> {
    Passphrase { passphrase: &'a SecretString, work_factor: u8 },
    Recipients(&'a [Recipient]),
}

/// What a file is opened with.
#[derive(Clone, Copy)]
pub(crate) enum With<'a> {
    Passphrase(&'a SecretString),
    Identities(&'a [Identity]),
}

/// Whom a file is sealed to: `age1...`.
#[derive(Clone, Debug)]
pub(crate) struct Recipient(pub(crate) x25519::Recipient);

/// Who opens a file: `AGE-SECRET-KEY-1...`.
pub(crate) struct Identity(pub(crate) x25519::Identity);

/// Seals a text.
pub(crate) fn seal(plaintext: &[u8], to: &To<'_>) -> Result<Vec<u8>, AgeError> {
    let sealed = match to {
        To::Passphrase { passphrase, work_factor } => {
            let mut by = scrypt::Recipient::new((*passphrase).clone());
            by.set_work_factor(*work_factor);
            seal_to(plaintext, iter::once(&by as &dyn age::Recipient))
        }
        To::Recipients(recipients) => {
            seal_to(plaintext, recipients.iter().map(|recipient| &recipient.0 as &dyn age::Recipient))
        }
    };
    sealed.map_err(|_| AgeError::Seal)
}

fn seal_to<'a>(
    plaintext: &[u8],
    recipients: impl Iterator<Item = &'a dyn age::Recipient>,
) -> Result<Vec<u8>, EncryptError> {
    let mut out = Vec::new();
    let mut writer = Encryptor::with_recipients(recipients)?.wrap_output(&mut out)?;
    writer.write_all(plaintext)?;
    writer.finish()?;
    Ok(out)
}

/// Whether a file is sealed by a passphrase.
pub(crate) fn is_by_passphrase(file: &[u8]) -> Result<bool, AgeError> {
    Ok(begin(file)?.is_scrypt())
}

/// Opens a file.
pub(crate) fn open(file: &[u8], with: With<'_>) -> Result<Zeroizing<Vec<u8>>, AgeError> {
    let file_opens = begin(file)?;
    let opened = match with {
        With::Passphrase(passphrase) => {
            let mut by = scrypt::Identity::new(passphrase.clone());
            by.set_max_work_factor(WORK_FACTOR_MAX);
            file_opens.decrypt(iter::once(&by as &dyn age::Identity))
        }
        With::Identities(identities) => {
            file_opens.decrypt(identities.iter().map(|identity| &identity.0 as &dyn age::Identity))
        }
    };
    let mut reader = opened.map_err(|error| why(&error, file))?;
    // As large as it can become: no copy stays behind.
    let mut plaintext = Zeroizing::new(Vec::with_capacity(file.len()));
    reader.read_to_end(&mut plaintext).map_err(|_| AgeError::Cut)?;
    Ok(plaintext)
}

fn begin(file: &[u8]) -> Result<Decryptor<&[u8]>, AgeError> {
    Decryptor::new_buffered(file).map_err(|error| why(&error, file))
}

/// What an error means for a file that is there as a whole, or is not.
fn why(error: &DecryptError, file: &[u8]) -> AgeError {
    let begins = file.starts_with(MAGIC);
    let headless = !file.windows(HEADER_END.len()).any(|piece| piece == HEADER_END);
    match error {
        _ if !begins && !file.is_empty() && MAGIC.starts_with(file) => AgeError::Cut,
        _ if !begins => AgeError::NotAge,
        DecryptError::NoMatchingKeys | DecryptError::KeyDecryptionFailed | DecryptError::DecryptionFailed => {
            AgeError::NoMatch
        }
        DecryptError::ExcessiveWork { .. } => AgeError::WorkFactor,
        DecryptError::InvalidHeader | DecryptError::UnknownFormat if !headless => AgeError::Header,
        _ => AgeError::Cut,
    }
}

impl Recipient {
    /// Reads `age1...`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        text.parse().ok().map(Self)
    }
}

impl Identity {
    /// Makes a new one.
    pub(crate) fn make() -> Self {
        Self(x25519::Identity::generate())
    }

    /// Reads `AGE-SECRET-KEY-1...`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        text.parse().ok().map(Self)
    }

    /// Takes one from its bytes.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        Self::parse(&letters(IDENTITY, bytes)?)
    }

    /// Its bytes.
    pub(crate) fn bytes(&self) -> Option<Zeroizing<Vec<u8>>> {
        bytes(IDENTITY, self.0.to_string().expose_secret())
    }

    /// Who is meant when something is sealed to it.
    pub(crate) fn recipient(&self) -> Recipient {
        Recipient(self.0.to_public())
    }
}

/// Bytes as letters that are hard to mistake, after a prefix, with a checksum that finds up to four wrong ones (Bech32,
/// BIP 173). Nothing for more than 50 bytes.
pub(crate) fn letters(prefix: &str, bytes: &[u8]) -> Option<Zeroizing<String>> {
    let prefix = Hrp::parse(prefix).ok()?;
    // As large as it can become: no copy stays behind.
    let mut out = Zeroizing::new(String::with_capacity(2 * bytes.len() + 100));
    bech32::encode_lower_to_fmt::<Bech32, String>(&mut out, prefix, bytes).ok()?;
    Some(out)
}

/// The bytes of such a text; nothing when a letter is wrong.
pub(crate) fn bytes(prefix: &str, text: &str) -> Option<Zeroizing<Vec<u8>>> {
    let checked = CheckedHrpstring::new::<Bech32>(text).ok()?;
    if checked.hrp() != Hrp::parse(prefix).ok()? {
        return None;
    }
    let mut out = Zeroizing::new(Vec::with_capacity(text.len()));
    out.extend(checked.byte_iter());
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_come_back_and_none_may_be_wrong() {
        let text = letters("onesync-share-", &[7; 39]).unwrap();
        assert!(text.starts_with("onesync-share-1"), "{}", *text);
        assert_eq!(*bytes("onesync-share-", &text).unwrap(), [7; 39]);
        assert_eq!(*bytes("onesync-share-", &text.to_uppercase()).unwrap(), [7; 39]);
        assert!(bytes("onesync-other-", &text).is_none());
        for at in "onesync-share-1".len()..text.len() {
            let mut wrong = text.to_string();
            let letter = if wrong.as_bytes()[at] == b'q' { "p" } else { "q" };
            wrong.replace_range(at..=at, letter);
            assert!(bytes("onesync-share-", &wrong).is_none(), "{at}");
        }
    }

    #[test]
    fn an_identity_comes_back_from_its_bytes() {
        let identity = Identity::make();
        let again = Identity::from_bytes(&identity.bytes().unwrap()).unwrap();
        let sealed = seal(b"x", &To::Recipients(&[identity.recipient()])).unwrap();
        assert_eq!(*open(&sealed, With::Identities(&[again])).unwrap(), b"x");
        assert!(Identity::from_bytes(&[1; 31]).is_none());
    }

    #[test]
    fn a_file_that_would_stall_us_is_not_begun() {
        let passphrase = SecretString::from("a passphrase".to_owned());
        let sealed = seal(b"x", &To::Passphrase { passphrase: &passphrase, work_factor: 2 }).unwrap();
        let at = sealed.windows(3).position(|three| three == b" 2\n").unwrap();
        let costly = [&sealed[..at], b" 30\n", &sealed[at + 3..]].concat();
        assert_eq!(open(&costly, With::Passphrase(&passphrase)).unwrap_err(), AgeError::WorkFactor);
    }
}
