//! Recipients (`age1...`) and the identities that open for them (`AGE-SECRET-KEY-1...`): X25519.

use std::fmt;

use aws_lc_rs::agreement::{PrivateKey, UnparsedPublicKey, X25519, agree};
use zeroize::Zeroizing;

use super::stanza::{Stanza, decode, encode};
use super::{AgeError, FileKey, bech32, derive, unwrap_key, wrap};
use crate::random;

const RECIPIENT: &str = "age";
const IDENTITY: &str = "age-secret-key-";
const KEY_LEN: usize = 32;

/// Whom a file is sealed to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Recipient([u8; KEY_LEN]);

impl Recipient {
    /// Reads `age1...`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let bytes = bech32::decode(RECIPIENT, text)?;
        Some(Self(bytes.as_slice().try_into().ok()?))
    }

    pub(super) fn wrap(&self, key: &FileKey) -> Result<Stanza, AgeError> {
        let once = Identity::make()?;
        let share = once.public()?;
        let body = wrap(&*once.shared(&self.0, &share, &self.0)?, key)?;
        Ok(Stanza { args: vec!["X25519".to_owned(), encode(&share)], body })
    }
}

impl fmt::Display for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&bech32::encode(RECIPIENT, &self.0))
    }
}

/// Who opens a file.
pub(crate) struct Identity(Zeroizing<[u8; KEY_LEN]>);

impl Identity {
    /// Makes a new one.
    pub(crate) fn make() -> Result<Self, AgeError> {
        let mut key = Zeroizing::new([0u8; KEY_LEN]);
        random(&mut *key).map_err(|_| AgeError::Random)?;
        Ok(Self(key))
    }

    /// Takes one from its bytes.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let mut key = Zeroizing::new([0u8; KEY_LEN]);
        if bytes.len() != KEY_LEN {
            return None;
        }
        key.copy_from_slice(bytes);
        Some(Self(key))
    }

    /// Reads `AGE-SECRET-KEY-1...`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        Self::from_bytes(&bech32::decode(IDENTITY, text)?)
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &*self.0
    }

    /// Who is meant when something is sealed to it.
    pub(crate) fn recipient(&self) -> Result<Recipient, AgeError> {
        Ok(Recipient(self.public()?))
    }

    fn private(&self) -> Result<PrivateKey, AgeError> {
        PrivateKey::from_private_key(&X25519, &*self.0).map_err(|_| AgeError::Header)
    }

    fn public(&self) -> Result<[u8; KEY_LEN], AgeError> {
        let public = self.private()?.compute_public_key().map_err(|_| AgeError::Header)?;
        public.as_ref().try_into().map_err(|_| AgeError::Header)
    }

    /// The key that both ends come to; refused when it would not depend on both of them.
    fn shared(
        &self,
        peer: &[u8],
        share: &[u8; KEY_LEN],
        recipient: &[u8; KEY_LEN],
    ) -> Result<Zeroizing<[u8; 32]>, AgeError> {
        let salt = [share.as_slice(), recipient].concat();
        agree(&self.private()?, UnparsedPublicKey::new(&X25519, peer), AgeError::Header, |secret| {
            if secret.iter().all(|byte| *byte == 0) {
                return Err(AgeError::Header);
            }
            derive(secret, &salt, b"age-encryption.org/v1/X25519")
        })
    }
}

/// Opens the key of a file for whichever identity it was sealed to.
pub(super) fn unwrap(stanza: &Stanza, identities: &[Identity]) -> Result<Option<FileKey>, AgeError> {
    let [_, share] = stanza.args.as_slice() else { return Err(AgeError::Header) };
    let share = decode(share).ok_or(AgeError::Header)?;
    let share: [u8; KEY_LEN] = share.as_slice().try_into().map_err(|_| AgeError::Header)?;
    for identity in identities {
        let sealing = identity.shared(&share, &share, &identity.public()?)?;
        if let Some(key) = unwrap_key(&sealing, &stanza.body)? {
            return Ok(Some(key));
        }
    }
    Ok(None)
}
