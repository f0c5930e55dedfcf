//! The data keys of a key set: which there are, which one seals new values, and how they are written.
//!
//! Text is parsed without copying what is secret, and written into memory that is wiped.
//! Deliberately absent: where the text lies and how it is sealed (`file`, `keyfile`).

use std::fmt::{self, Write as _};

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::Deserialize;
use zeroize::Zeroizing;

use crate::{KEY_ID_LEN, KEY_LEN, VaultError, hex, random, unhex};

/// The form of the text.
const VERSION: u32 = 1;
/// More keys than a rotation a day makes in years.
const KEYS_MAX: usize = 4096;
/// Bytes of a fingerprint.
const FINGERPRINT_LEN: usize = 8;
/// Room for one key in text, so that the text never moves in memory.
const KEY_TEXT: usize = 256;

/// One data key.
#[derive(Clone)]
pub(crate) struct DataKey {
    pub(crate) id: String,
    pub(crate) key: Zeroizing<Vec<u8>>,
    made: Option<String>,
    retired: Option<String>,
}

/// What can be said of a data key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KeyNote {
    /// Its id.
    pub id: String,
    /// When it was made, where that is known.
    pub made: Option<String>,
    /// When another one took its place.
    pub retired: Option<String>,
    /// What tells it from others, and says nothing about it.
    pub fingerprint: String,
}

/// The data keys, and which one seals new values.
#[derive(Clone)]
pub struct KeySet {
    pub(crate) current: String,
    pub(crate) keys: Vec<DataKey>,
}

/// A key in text.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct KeyText<'a> {
    id: String,
    #[serde(borrow)]
    key: &'a str,
    made: Option<String>,
    retired: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SetText<'a> {
    version: u32,
    current: String,
    #[serde(borrow)]
    keys: Vec<KeyText<'a>>,
}

impl KeySet {
    /// A new one with one key.
    ///
    /// # Errors
    /// When there is no randomness.
    pub fn make(now: &str) -> Result<Self, VaultError> {
        let key = DataKey::make(now)?;
        Ok(Self { current: key.id.clone(), keys: vec![key] })
    }

    /// Adds a new key, which seals new values from then on, and gives its id. Those before are retired.
    ///
    /// # Errors
    /// When there is no randomness, or there are more keys than anybody needs.
    pub fn rotate(&mut self, now: &str) -> Result<&str, VaultError> {
        if self.keys.len() >= KEYS_MAX {
            return Err(VaultError::Random);
        }
        let key = DataKey::make(now)?;
        for key in self.keys.iter_mut().filter(|key| key.id == self.current) {
            key.retired = Some(now.to_owned());
        }
        self.current.clone_from(&key.id);
        self.keys.push(key);
        Ok(&self.current)
    }

    /// Drops retired keys.
    pub fn forget(&mut self, ids: &[String]) {
        self.keys.retain(|key| key.id == self.current || !ids.contains(&key.id));
    }

    /// The id of the key that seals new values.
    #[must_use]
    pub fn current(&self) -> &str {
        &self.current
    }

    /// What can be said of the keys, oldest first.
    #[must_use]
    pub fn notes(&self) -> Vec<KeyNote> {
        let note = |key: &DataKey| KeyNote {
            id: key.id.clone(),
            made: key.made.clone(),
            retired: key.retired.clone(),
            fingerprint: key.fingerprint(),
        };
        self.keys.iter().map(note).collect()
    }

    /// What tells this set of keys from others, and says nothing about them.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        let mut all: Vec<String> =
            self.keys.iter().map(|key| format!("{} {}\n", key.id, key.fingerprint())).collect();
        all.sort();
        let hash = digest(&SHA256, all.concat().as_bytes());
        hex(hash.as_ref().get(..FINGERPRINT_LEN).unwrap_or_default())
    }

    /// Whether all keys of another set are in this one, and are the same.
    #[must_use]
    pub fn holds(&self, other: &Self) -> bool {
        other.keys.iter().all(|key| self.has_same(key))
    }

    /// Whether a key of another set is in this one, and is the same: then both are of one installation.
    #[must_use]
    pub fn shares_with(&self, other: &Self) -> bool {
        other.keys.iter().any(|key| self.has_same(key))
    }

    fn has_same(&self, key: &DataKey) -> bool {
        let ours = self.keys.iter().find(|ours| ours.id == key.id);
        ours.is_some_and(|ours| {
            aws_lc_rs::constant_time::verify_slices_are_equal(&ours.key, &key.key).is_ok()
        })
    }

    /// The text with all that is secret.
    pub(crate) fn text(&self) -> Zeroizing<String> {
        let mut out = Zeroizing::new(String::with_capacity(KEY_TEXT * (self.keys.len() + 1)));
        let _infallible = writeln!(out, "version = {VERSION}\ncurrent = \"{}\"", self.current);
        self.write_keys(&mut out);
        out
    }

    /// The keys in text.
    pub(crate) fn write_keys(&self, out: &mut Zeroizing<String>) {
        out.reserve(KEY_TEXT * self.keys.len());
        for key in &self.keys {
            let _infallible = write!(out, "\n[[keys]]\nid = \"{}\"\nkey = \"", key.id);
            BASE64.encode_string(&*key.key, out);
            out.push_str("\"\n");
            for (name, time) in [("made", &key.made), ("retired", &key.retired)] {
                if let Some(time) = time {
                    let _infallible = writeln!(out, "{name} = {}", toml::Value::String(time.clone()));
                }
            }
        }
    }

    /// Reads the text; an error says what is wrong with it, and quotes nothing.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let version = version(text).ok_or("it is no key set")?;
        if version != VERSION {
            return Err(format!("it has version {version}, this program knows {VERSION}"));
        }
        // The parser's own message would quote the line, and with it a key.
        let text: SetText<'_> = toml::from_str(text).map_err(|_| "it is no key set")?;
        debug_assert_eq!(text.version, VERSION);
        Self::of_texts(text.current, &text.keys)
    }

    /// Takes keys from their text.
    pub(crate) fn of_texts(current: String, texts: &[KeyText<'_>]) -> Result<Self, String> {
        let mut keys: Vec<DataKey> = Vec::with_capacity(texts.len());
        for text in texts {
            let key = Zeroizing::new(BASE64.decode(text.key).map_err(|_| "a key is not base64")?);
            if key.len() != KEY_LEN {
                return Err("a key has the wrong length".to_owned());
            }
            if unhex(&text.id).is_none_or(|id| id.len() != KEY_ID_LEN || hex(&id) != text.id) {
                return Err("the id of a key is no id".to_owned());
            }
            if keys.iter().any(|known| known.id == text.id) || keys.len() >= KEYS_MAX {
                return Err("a key is there twice".to_owned());
            }
            let (made, retired) = (text.made.clone(), text.retired.clone());
            keys.push(DataKey { id: text.id.clone(), key, made, retired });
        }
        if keys.iter().all(|key| key.id != current) {
            return Err("the current key is not among its keys".to_owned());
        }
        Ok(Self { current, keys })
    }
}

impl fmt::Debug for KeySet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeySet")
            .field("current", &self.current)
            .field("keys", &self.keys.len())
            .finish_non_exhaustive()
    }
}

impl DataKey {
    fn make(now: &str) -> Result<Self, VaultError> {
        let mut id = [0u8; KEY_ID_LEN];
        let mut key = Zeroizing::new(vec![0u8; KEY_LEN]);
        random(&mut id)?;
        random(&mut key)?;
        Ok(Self { id: hex(&id), key, made: Some(now.to_owned()), retired: None })
    }

    fn fingerprint(&self) -> String {
        fingerprint(&self.key, b"onesync data key")
    }
}

/// What tells a key from others, and says nothing about it.
pub(crate) fn fingerprint(key: &[u8], what: &[u8]) -> String {
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), what);
    hex(tag.as_ref().get(..FINGERPRINT_LEN).unwrap_or_default())
}

/// The version of a text, whatever else it holds.
pub(crate) fn version(text: &str) -> Option<u32> {
    #[derive(Deserialize)]
    struct Versioned {
        version: u32,
    }
    toml::from_str::<Versioned>(text).ok().map(|text| text.version)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_come_back_from_their_text() {
        let mut set = KeySet::make("2026-01-01T00:00:00Z").unwrap();
        let first = set.current().to_owned();
        set.rotate("2026-02-01T00:00:00Z").unwrap();
        let again = KeySet::parse(&set.text()).unwrap();
        assert_eq!((again.notes(), again.fingerprint()), (set.notes(), set.fingerprint()));
        assert_eq!(again.notes()[0].retired.as_deref(), Some("2026-02-01T00:00:00Z"));
        assert!(again.holds(&set) && again.current() != first);
        let mut fewer = again.clone();
        fewer.forget(&[first, fewer.current().to_owned()]);
        assert_eq!(fewer.notes().len(), 1, "the current key stays");
        assert!(!fewer.holds(&set) && set.holds(&fewer) && fewer.fingerprint() != set.fingerprint());
        assert!(!KeySet::make("").unwrap().holds(&set));
        assert!(fewer.shares_with(&set) && !KeySet::make("").unwrap().shares_with(&set));
        let text = set.text();
        let key = text.lines().find_map(|line| line.strip_prefix("key = ")).unwrap();
        assert!(!format!("{set:?}").contains(key.trim_matches('"')));
    }

    #[test]
    fn a_text_that_makes_no_sense_is_refused_without_a_quote() {
        let set = KeySet::make("").unwrap();
        let text = set.text().to_string();
        let twice = format!("{text}{}", &text[text.find("\n[[keys]]").unwrap()..]);
        for (wrong, why) in [
            (text.replace("version = 1", "version = 9"), "version 9"),
            (text.replace(set.current(), "00"), "no id"),
            (text.replacen(set.current(), "0011223344556677", 1), "not among"),
            (text.replace("key = \"", "key = \"AAAA"), "key"),
            (text.replace("key = \"", "key = \"*"), "base64"),
            (format!("{text}\nmore = 1"), "no key set"),
            (twice, "twice"),
            (String::new(), "no key set"),
        ] {
            let error = KeySet::parse(&wrong).unwrap_err();
            assert!(error.contains(why), "{error}: {why}");
        }
    }
}
