//! A key-encryption key that never leaves a token: AES-256 in a module with the interface PKCS#11.
//!
//! The token seals and opens the key set itself (AES-GCM). Who asks needs the PIN, which comes from a file or from a
//! credential of systemd. A PIN that was refused is not tried a second time by the same process, nor by another one where the
//! token tells that it refused one: tokens lock themselves after some wrong ones, and everything that runs would try. Only
//! somebody who means it has it tried, and nobody the last time. Deliberately absent: setting up a token.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::error::{Error, RvError};
use cryptoki::mechanism::Mechanism;
use cryptoki::mechanism::aead::GcmParams;
use cryptoki::object::{Attribute, KeyType, ObjectClass, ObjectHandle};
use cryptoki::session::{Session, UserType};
use cryptoki::slot::TokenInfo;
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::kek::{Sealed, read_text};
use crate::random;

/// Modules that are loaded: each may be initialised once in a process.
static MODULES: Mutex<BTreeMap<PathBuf, Pkcs11>> = Mutex::new(BTreeMap::new());
/// Tokens by module and label, each with what tells the PIN that it refused from others. The key of that is in this process only.
static REFUSED: Mutex<BTreeMap<(PathBuf, String), hmac::Tag>> = Mutex::new(BTreeMap::new());
static MARKED_BY: OnceLock<hmac::Key> = OnceLock::new();
/// Whether somebody means it that a PIN is tried.
static MEANT: AtomicBool = AtomicBool::new(false);
/// Bytes of the nonce and bits of the tag of AES-GCM.
const NONCE_LEN: usize = 12;
const TAG_BITS: u64 = 128;
/// Bytes of the key.
const KEY_LEN: u64 = 32;

/// Has PINs tried by this process after the token refused one: somebody looks at what comes of it.
pub fn try_pin_once_more() {
    MEANT.store(true, Ordering::Relaxed);
}

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
            self.log_in(&session, &token, &pin)?;
            return work(&session, format!("{}:{}", token.serial_number().trim_end(), self.key));
        }
        Err(format!(
            "there is no token `{}` for {}: is it plugged in, and does what serves it run?",
            self.token,
            self.module.display()
        ))
    }

    /// Logs in, unless this very PIN was refused before, or one was and nobody means it.
    fn log_in(&self, session: &Session, info: &TokenInfo, pin: &SecretString) -> Result<(), String> {
        let mark = mark(pin)?;
        let token = (self.module.clone(), self.token.clone());
        let mut refused = REFUSED.lock().unwrap_or_else(PoisonError::into_inner);
        let again = || {
            format!(
                "the token `{}` refused the PIN in {}. It is not tried again, so that the token does not lock itself, before there is \
                 another one in that place; each run of `onesync keys status` tries once",
                self.token, self.pin
            )
        };
        if let Some(before) = refused.get(&token)
            && verify_slices_are_equal(before.as_ref(), mark.as_ref()).is_ok()
        {
            return Err(again());
        }
        let meant = MEANT.load(Ordering::Relaxed);
        self.may_try(info.user_pin_final_try(), info.user_pin_count_low(), meant)?;
        match session.login(UserType::User, Some(pin)) {
            Ok(()) | Err(Error::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => {
                refused.remove(&token);
                Ok(())
            }
            Err(Error::Pkcs11(RvError::PinIncorrect | RvError::PinInvalid | RvError::PinLenRange, _)) => {
                refused.insert(token, mark);
                Err(again())
            }
            Err(Error::Pkcs11(error, _)) => Err(self.not_logged_in(&error)),
            Err(error) => Err(format!("the module answers: {error}")),
        }
    }

    /// Whether a PIN is tried on a token that tells whether this is the last time, and whether one was refused since the
    /// last that was right.
    fn may_try(&self, is_last: bool, was_refused: bool, meant: bool) -> Result<(), String> {
        let (token, pin) = (&self.token, &self.pin);
        if is_last {
            return Err(format!(
                "the token `{token}` locks itself after one more wrong PIN: the one in {pin} is not tried. Log in once with the token's own \
                 tool (such as `pkcs11-tool --login --list-objects`), and write the PIN that works into that place"
            ));
        }
        if was_refused && !meant {
            return Err(format!(
                "the token `{token}` refused a PIN, and only `onesync keys status` and `onesync keys seal` try the one in {pin} once more, so \
                 that the token does not lock itself: see that it is the right one, and run `onesync keys status`"
            ));
        }
        Ok(())
    }

    #[cfg(test)]
    pub(crate) fn set_pin(&self, old: &str, new: &str) {
        let modules = MODULES.lock().unwrap();
        let module = &modules[&self.module];
        let mut slots = module.get_slots_with_initialized_token().unwrap().into_iter();
        let ours = slots.find(|slot| module.get_token_info(*slot).unwrap().label().trim_end() == self.token);
        let session = module.open_rw_session(ours.unwrap()).unwrap();
        let (old, new) = (SecretString::from(old), SecretString::from(new));
        session.login(UserType::User, Some(&old)).unwrap();
        session.set_pin(&old, &new).unwrap();
    }

    /// Why a token lets nobody in, whatever the PIN.
    fn not_logged_in(&self, error: &RvError) -> String {
        match error {
            RvError::PinLocked => format!(
                "the token `{}` has locked its PIN after wrong ones: its security officer unlocks it and sets one, with the token's \
                 own tool; then write that into {}",
                self.token, self.pin
            ),
            RvError::PinExpired => format!(
                "the PIN of the token `{}` has expired: set a new one with the token's own tool, and write it into {}",
                self.token, self.pin
            ),
            RvError::UserPinNotInitialized => {
                format!("the token `{}` has no PIN yet: its security officer sets one", self.token)
            }
            RvError::DeviceRemoved | RvError::TokenNotPresent | RvError::TokenNotRecognized => {
                format!("the token `{}` was taken out: put it back", self.token)
            }
            error => format!("the module answers: {error}"),
        }
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

/// What tells one PIN from others in this process.
fn mark(pin: &SecretString) -> Result<hmac::Tag, String> {
    let key = match MARKED_BY.get() {
        Some(key) => key,
        None => {
            let made = hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new());
            let made = made.map_err(|_| "the system's source of randomness failed".to_owned())?;
            MARKED_BY.get_or_init(|| made)
        }
    };
    Ok(hmac::sign(key, pin.expose_secret().as_bytes()))
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

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> TokenKey {
        TokenKey {
            module: "/m.so".into(),
            token: "t".to_owned(),
            key: "k".to_owned(),
            pin: "/run/pin".to_owned(),
        }
    }

    #[test]
    fn a_token_is_not_locked_by_trying() {
        let key = key();
        let said = |is_last, was_refused, meant| key.may_try(is_last, was_refused, meant).err();
        assert_eq!(said(false, false, false), None);
        assert_eq!(said(false, true, true), None, "who means it may");
        assert!(said(false, true, false).unwrap().contains("run `onesync keys status`"));
        for (was_refused, meant) in [(false, false), (true, false), (true, true)] {
            assert!(said(true, was_refused, meant).unwrap().contains("locks itself"), "nobody may");
        }
    }

    #[test]
    fn what_a_token_says_is_told_in_plain_words() {
        let key = key();
        for (error, says) in [
            (RvError::PinLocked, "has locked its PIN"),
            (RvError::PinExpired, "has expired"),
            (RvError::UserPinNotInitialized, "has no PIN yet"),
            (RvError::DeviceRemoved, "was taken out"),
            (RvError::TokenNotPresent, "was taken out"),
            (RvError::FunctionFailed, "the module answers"),
        ] {
            let text = key.not_logged_in(&error);
            assert!(text.contains(says), "{text}");
        }
    }
}
