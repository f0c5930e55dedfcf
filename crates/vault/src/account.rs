//! The service account: its name, and a verifier of its password.
//!
//! It is a credential of OneSync itself, mapped to the system user that runs the daemon: no domain has to be reached to
//! check it. The database keeps the verifier (argon2id), from which the password cannot be had.
//! Deliberately absent: where both are kept, and who is asked.

use std::fmt;

use argon2::password_hash::{PasswordHash, PasswordHasher as _, PasswordVerifier as _, SaltString};
use argon2::{Algorithm, Argon2, Params, Version};
use zeroize::Zeroizing;

use crate::{VaultError, random};

/// Memory, passes and lanes that OWASP names for argon2id: 19 MiB, two passes, one lane.
const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;
const LANES: u32 = 1;
/// Bytes of salt.
const SALT_LEN: usize = 16;
/// The shortest password that is taken.
const PASSWORD_CHARS_MIN: usize = 12;
/// The longest name.
const NAME_BYTES_MAX: usize = 200;
/// Characters of a password that is made here: 160 bits.
const MADE_CHARS: usize = 32;
/// What it is made of: no two of them look alike.
const MADE_OF: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";

/// Why a name or a password of a service account is not taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum AccountError {
    /// The name.
    #[error("a service account is named `NAME`, `DOMAIN\\NAME` or `NAME@DOMAIN`, in at most 200 bytes")]
    Name,
    /// The password.
    #[error(
        "the password of the service account is too short: it opens key files, take at least 12 characters"
    )]
    Short,
    /// The password has several lines, or what nobody types.
    #[error(
        "the password of the service account has more than one line, or another control character: nobody could type it, take one line of text"
    )]
    Control,
    /// The password is nothing that is seen.
    #[error("the password of the service account is nothing but spaces")]
    Blank,
    /// The password is no text.
    #[error("the password of the service account is no UTF-8 text")]
    NoText,
}

/// The name of a service account: `DOMAIN\name`, `name@domain` or `name`; compared without regard to case.
#[derive(Clone, Debug)]
pub struct AccountName(String);

impl AccountName {
    /// Reads a name.
    ///
    /// # Errors
    /// When it is none.
    pub fn parse(text: &str) -> Result<Self, AccountError> {
        let bad = |part: &str| {
            part.is_empty()
                || part != part.trim()
                || part.chars().any(|c| c.is_control() || "\\/@:\"".contains(c))
        };
        let parts: Vec<&str> = match text.split_once('\\') {
            Some((domain, name)) => vec![domain, name],
            None => text.splitn(2, '@').collect(),
        };
        if text.len() > NAME_BYTES_MAX || parts.iter().any(|part| bad(part)) {
            return Err(AccountError::Name);
        }
        Ok(Self(text.to_owned()))
    }

    /// The name as it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl PartialEq for AccountName {
    fn eq(&self, other: &Self) -> bool {
        self.0.to_lowercase() == other.0.to_lowercase()
    }
}

impl Eq for AccountName {}

impl fmt::Display for AccountName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A verifier of a password, as text in the form of the Password Hashing Competition.
#[derive(Clone, PartialEq, Eq)]
pub struct Verifier(String);

impl Verifier {
    /// Makes one for a new password.
    ///
    /// # Errors
    /// [`AccountError`] for a password that is easily guessed, or that nobody could type; [`VaultError::Random`] when there is
    /// no randomness.
    pub fn make(password: &[u8]) -> Result<Self, VaultError> {
        Self::check(password)?;
        let mut salt = [0u8; SALT_LEN];
        random(&mut salt)?;
        let salt = SaltString::encode_b64(&salt).map_err(|_| VaultError::Random)?;
        let params = Params::new(MEMORY_KIB, PASSES, LANES, None).map_err(|_| VaultError::Verifier)?;
        let argon = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        let hash = argon.hash_password(password, &salt).map_err(|_| VaultError::Verifier)?;
        Ok(Self(hash.to_string()))
    }

    /// Refuses a password that none would be made for.
    ///
    /// # Errors
    /// For a password that is easily guessed, or that nobody could type.
    pub fn check(password: &[u8]) -> Result<(), AccountError> {
        let text = std::str::from_utf8(password).map_err(|_| AccountError::NoText)?;
        if text.chars().any(char::is_control) {
            return Err(AccountError::Control);
        }
        if !text.is_empty() && text.trim().is_empty() {
            return Err(AccountError::Blank);
        }
        match text.chars().count() < PASSWORD_CHARS_MIN {
            true => Err(AccountError::Short),
            false => Ok(()),
        }
    }

    /// Takes one that was stored.
    ///
    /// # Errors
    /// [`VaultError::Verifier`] when it is none.
    pub fn parse(text: &str) -> Result<Self, VaultError> {
        PasswordHash::new(text).map_err(|_| VaultError::Verifier)?;
        Ok(Self(text.to_owned()))
    }

    /// As text, to be stored.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether a password is the one it was made for. It is compared in constant time.
    #[must_use]
    pub fn is_of(&self, password: &[u8]) -> bool {
        PasswordHash::new(&self.0)
            .is_ok_and(|hash| Argon2::default().verify_password(password, &hash).is_ok())
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Verifier")
    }
}

/// Makes a password that nobody has to think of.
///
/// # Errors
/// When there is no randomness.
pub fn make_password() -> Result<Zeroizing<String>, VaultError> {
    let mut bytes = Zeroizing::new([0u8; MADE_CHARS]);
    random(&mut *bytes)?;
    let sign = |byte: &u8| char::from(MADE_OF.get(usize::from(byte % 32)).copied().unwrap_or(b'x'));
    Ok(Zeroizing::new(bytes.iter().map(sign).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verifier_knows_its_password_and_no_other() {
        let made = make_password().unwrap();
        assert_eq!(made.len(), MADE_CHARS);
        assert_ne!(*made, *make_password().unwrap());
        let verifier = Verifier::make(made.as_bytes()).unwrap();
        assert!(verifier.as_str().starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{}", verifier.as_str());
        assert!(!verifier.as_str().contains(&*made) && format!("{verifier:?}") == "Verifier");
        let stored = Verifier::parse(verifier.as_str()).unwrap();
        assert!(stored.is_of(made.as_bytes()));
        assert!(!stored.is_of(b"another password") && !stored.is_of(b""));
        assert_ne!(verifier, Verifier::make(made.as_bytes()).unwrap(), "each has its own salt");
        assert!(Verifier::parse("nonsense").is_err());
        let refused = |password: &[u8]| match Verifier::make(password) {
            Err(VaultError::Account(why)) => why,
            other => panic!("{other:?}"),
        };
        assert_eq!(refused(b"short"), AccountError::Short);
        for wrong in ["two lines of a\npassword", "a password with\0a nul", "a password with\ta tab"] {
            assert_eq!(refused(wrong.as_bytes()), AccountError::Control, "{wrong:?}");
        }
        assert_eq!(refused("              \u{a0}".as_bytes()), AccountError::Blank);
        assert_eq!(refused(b"a password in latin-1 \xfc"), AccountError::NoText);
        assert!(Verifier::make(" Gr\u{fc}\u{df}e  aus K\u{f6}ln ".as_bytes()).is_ok());
    }

    #[test]
    fn names_are_compared_without_regard_to_case() {
        let name = |text| AccountName::parse(text);
        assert_eq!(name("CONTOSO\\svc-sync").unwrap(), name("contoso\\SVC-Sync").unwrap());
        assert_ne!(name("CONTOSO\\svc").unwrap(), name("FABRIKAM\\svc").unwrap());
        assert_eq!(name("svc@contoso.com").unwrap().as_str(), "svc@contoso.com");
        for wrong in ["", "\\svc", "A\\", "A\\B\\C", "a b\n", " svc", "a:b", &"x".repeat(201)] {
            assert_eq!(name(wrong).unwrap_err(), AccountError::Name, "{wrong}");
        }
    }
}
