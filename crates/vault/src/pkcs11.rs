//! A key-encryption key that never leaves a token: AES-256 in a module with the interface PKCS#11.
//!
//! The token seals and opens the key set itself (AES-GCM). Who asks needs the PIN, which comes from a file or from a
//! credential of systemd. Deliberately absent: setting up a token.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::error::{Error, RvError};
use cryptoki::mechanism::Mechanism;
use cryptoki::mechanism::aead::GcmParams;
use cryptoki::object::{Attribute, KeyType, ObjectClass, ObjectHandle};
use cryptoki::session::{Session, UserType};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::kek::{Sealed, read_text};
use crate::random;

/// Modules that are loaded: each may be initialised once in a process.
static MODULES: Mutex<BTreeMap<PathBuf, Pkcs11>> = Mutex::new(BTreeMap::new());
/// Bytes of the nonce and bits of the tag of AES-GCM.
const NONCE_LEN: usize = 12;
const TAG_BITS: u64 = 128;
/// Bytes of the key.
const KEY_LEN: u64 = 32;

/// A key on a token.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenKey {
    /// The module: a library.
    pub module: PathBuf,
    /// The label of the token.
    pub token: String,
    /// The label of the key; it is made when it is not there.
    pub key: String,
    /// The file with the PIN; `credential:NAME` for a credential of systemd.
    pub pin: String,
}

impl TokenKey {
    /// Looks whether the key is there, and makes it when it is not.
    pub(crate) fn prepare(&self, folder: &Path) -> Result<(), String> {
        self.with(folder, |session, _| match self.find(session)? {
            Some(_) => Ok(()),
            None => {
                let template = [
                    Attribute::Token(true),
                    Attribute::Private(true),
                    Attribute::Sensitive(true),
                    Attribute::Extractable(false),
                    Attribute::Encrypt(true),
                    Attribute::Decrypt(true),
                    Attribute::ValueLen(KEY_LEN.into()),
                    Attribute::Label(self.key.clone().into_bytes()),
                ];
                let made = session.generate_key(&Mechanism::AesKeyGen, &template);
                made.map(drop).map_err(|error| format!("no key can be made on the token: {error}"))
            }
        })
    }

    pub(crate) fn seal(&self, folder: &Path, bound: &[u8], text: &[u8]) -> Result<Sealed, String> {
        self.with(folder, |session, id| {
            let mut nonce = [0u8; NONCE_LEN];
            random(&mut nonce).map_err(|error| error.to_string())?;
            let mut bytes = nonce.to_vec();
            let key = self.there(session)?;
            let sealed = GcmParams::new(&mut nonce, bound, TAG_BITS.into())
                .and_then(|params| session.encrypt(&Mechanism::AesGcm(params), key, text));
            bytes.extend(sealed.map_err(|error| format!("the token does not seal: {error}"))?);
            Ok(Sealed { id, bytes })
        })
    }

    /// Opens a text; nothing when another key sealed it.
    pub(crate) fn open(
        &self,
        folder: &Path,
        bound: &[u8],
        sealed: &Sealed,
    ) -> Result<Option<Zeroizing<Vec<u8>>>, String> {
        let Some((nonce, text)) = sealed.bytes.split_at_checked(NONCE_LEN) else { return Ok(None) };
        self.with(folder, |session, _| {
            let key = self.there(session)?;
            let mut nonce = nonce.to_vec();
            let opened = GcmParams::new(&mut nonce, bound, TAG_BITS.into())
                .and_then(|params| session.decrypt(&Mechanism::AesGcm(params), key, text));
            match opened {
                Ok(text) => Ok(Some(Zeroizing::new(text))),
                Err(Error::Pkcs11(
                    RvError::EncryptedDataInvalid | RvError::EncryptedDataLenRange | RvError::GeneralError,
                    _,
                )) => Ok(None),
                Err(error) => Err(format!("the token does not open: {error}")),
            }
        })
    }

    /// What tells this key from those on other tokens.
    pub(crate) fn id(&self, folder: &Path) -> Result<String, String> {
        self.with(folder, |_, id| Ok(id))
    }

    /// Does something in a session, one at a time; it gets the id of the key.
    fn with<T>(
        &self,
        folder: &Path,
        work: impl FnOnce(&Session, String) -> Result<T, String>,
    ) -> Result<T, String> {
        let mut modules = MODULES.lock().unwrap_or_else(PoisonError::into_inner);
        let module = match modules.get(&self.module) {
            Some(module) => module.clone(),
            None => {
                let module = self.load().map_err(|error| format!("{}: {error}", self.module.display()))?;
                modules.insert(self.module.clone(), module.clone());
                module
            }
        };
        let failed = |error: Error| format!("the module answers: {error}");
        for slot in module.get_slots_with_initialized_token().map_err(failed)? {
            let token = module.get_token_info(slot).map_err(failed)?;
            if token.label().trim_end() != self.token {
                continue;
            }
            let session = module.open_rw_session(slot).map_err(failed)?;
            let pin = SecretString::from(read_pin(&self.pin, folder)?.trim());
            match session.login(UserType::User, Some(&pin)) {
                Ok(()) | Err(Error::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => {}
                Err(Error::Pkcs11(RvError::PinIncorrect, _)) => {
                    return Err(format!(
                        "the PIN in {} is wrong; a token locks itself after some wrong ones: nothing tries again by itself before \
                         the next command or cycle",
                        self.pin
                    ));
                }
                Err(error) => return Err(failed(error)),
            }
            return work(&session, format!("{}:{}", token.serial_number().trim_end(), self.key));
        }
        Err(format!("there is no token `{}`", self.token))
    }

    fn load(&self) -> Result<Pkcs11, Error> {
        let module = Pkcs11::new(&self.module)?;
        match module.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)) {
            Err(Error::Pkcs11(RvError::CryptokiAlreadyInitialized, _)) => Ok(module),
            initialized => initialized.map(|()| module),
        }
    }

    fn find(&self, session: &Session) -> Result<Option<ObjectHandle>, String> {
        let wanted = [
            Attribute::Class(ObjectClass::SECRET_KEY),
            Attribute::KeyType(KeyType::AES),
            Attribute::Label(self.key.clone().into_bytes()),
        ];
        let found = session.find_objects(&wanted).map_err(|error| format!("the token answers: {error}"))?;
        match found.as_slice() {
            [] => Ok(None),
            [one] => Ok(Some(*one)),
            _ => Err(format!("the token has several keys `{}`", self.key)),
        }
    }

    fn there(&self, session: &Session) -> Result<ObjectHandle, String> {
        self.find(session)?.ok_or_else(|| format!("the token has no key `{}`", self.key))
    }
}

fn read_pin(pin: &str, folder: &Path) -> Result<Zeroizing<String>, String> {
    match pin.strip_prefix("credential:") {
        Some(name) => {
            let place = crate::kek::credential(name);
            read_text(&place, false).map_err(|error| format!("{}: {error}", place.display()))
        }
        None => {
            let place = folder.join(pin);
            read_text(&place, true).map_err(|error| format!("{}: {error}", place.display()))
        }
    }
}
