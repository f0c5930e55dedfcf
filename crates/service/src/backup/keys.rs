//! Which keys the secrets in a backup need, and whether they are anywhere but on the server that may be lost.

use std::collections::BTreeMap;

use onesync_vault::Vault;
use serde::{Deserialize, Serialize};

use super::file::Part;

/// The setting that says when the key set was exported: a list, the newest first.
pub(crate) const KEY_EXPORT: &str = "key-export";

/// An export of the key set that was noted.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct KeyExport {
    /// When.
    pub exported: String,
    /// Where to.
    pub file: String,
    /// How it is sealed: `password`, `recipients`, shares.
    pub sealed: String,
    /// Whether the file was read back and opened after it was written: of one that is sealed to recipients, only they can.
    pub verified: bool,
    /// The ids of its keys.
    #[serde(deserialize_with = "ids")]
    pub keys: Vec<String>,
}

/// The ids of keys: as they are, or each with what tells it from others.
fn ids<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Ids {
        Plain(Vec<String>),
        Marked(BTreeMap<String, String>),
    }
    Ok(match Ids::deserialize(from)? {
        Ids::Plain(ids) => ids,
        Ids::Marked(ids) => ids.into_keys().collect(),
    })
}

/// The keys that a backup needs.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct KeysNeeded {
    /// The ids of the keys that seal what is in it.
    pub sealed_by: Vec<String>,
    /// The last export of the key set before it was taken.
    pub exported: Option<KeyExport>,
    /// The key file in it, sealed as any other.
    pub included: Option<KeysIncluded>,
}

/// A key file in a backup.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct KeysIncluded {
    /// The ids of its keys.
    pub keys: Vec<String>,
    /// The service account at that time.
    pub account: String,
    /// The recipients it is sealed to; where there are none, it is sealed by the password of the account.
    pub recipients: Vec<String>,
    /// Where it lies.
    pub part: Part,
}

impl KeyExport {
    /// What a database says of exports: the newest that holds these keys, else the newest.
    pub(super) fn best(text: &str, needed: &[String]) -> Option<Self> {
        let mut all: Vec<Self> = serde_json::from_str(text).ok()?;
        all.retain(|export| export.verified || export.sealed == "recipients");
        let holds = |export: &&Self| needed.iter().all(|id| export.keys.contains(id));
        all.iter().find(holds).or_else(|| all.first()).cloned()
    }
}

impl KeysNeeded {
    pub(super) fn new(sealed: &[Vec<u8>], settings: &BTreeMap<String, String>) -> Self {
        let mut sealed_by: Vec<String> = sealed.iter().filter_map(|value| Vault::sealed_by(value)).collect();
        sealed_by.sort_unstable();
        sealed_by.dedup();
        let exported = settings.get(KEY_EXPORT).and_then(|text| KeyExport::best(text, &sealed_by));
        Self { sealed_by, exported, included: None }
    }

    /// The keys that none of those who are known to have keys has.
    pub(super) fn missing<'k>(&'k self, known: &[&[String]]) -> Vec<&'k str> {
        let own = self.exported.iter().map(|export| &export.keys[..]);
        let known: Vec<&[String]> =
            own.chain(self.included.iter().map(|keys| &keys.keys[..])).chain(known.iter().copied()).collect();
        let there = |id: &&String| known.iter().any(|keys| keys.contains(id));
        self.sealed_by.iter().filter(|id| !there(id)).map(String::as_str).collect()
    }

    /// Why the backup is of no use when the server is lost; `None` where it is of use.
    pub(super) fn not_restorable(&self, known: &[&[String]]) -> Option<String> {
        let missing = self.missing(known);
        if missing.is_empty() {
            return None;
        }
        let why = match &self.exported {
            None if known.is_empty() => "the key set was never exported".to_owned(),
            None => "the key file does not hold all of its keys".to_owned(),
            Some(export) => {
                format!(
                    "the key set was last exported at {}, and other keys seal what is in it",
                    export.exported
                )
            }
        };
        Some(format!(
            "not restorable: its secrets are sealed by key {}, which no known key file holds ({why}): run `onesync keys \
             export FILE`, keep that file away from this server, and look again",
            missing.join(", ")
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backup_needs_a_key_file_that_holds_its_keys() {
        // The form of sealed values: a version, the key, the rest.
        let sealed = |id: u8| [&[1][..], &[id; 8], &[0; 40]].concat();
        let id = |id: u8| super::super::hex(&[id; 8]);
        let mut settings = BTreeMap::new();
        let needs = KeysNeeded::new(&[sealed(7), sealed(8), sealed(7)], &settings);
        assert_eq!(needs.sealed_by, [id(7), id(8)]);
        let words = needs.not_restorable(&[]).unwrap();
        assert!(
            words.starts_with("not restorable") && words.contains("never exported") && words.contains(&id(8))
        );
        assert!(needs.not_restorable(&[&[id(7)]]).unwrap().contains(&id(8)));
        assert_eq!(needs.not_restorable(&[&[id(7), id(8)]]), None);
        let export = |ids: &[u8], sealed: &str, verified: bool| {
            let keys: BTreeMap<String, String> = ids.iter().map(|n| (id(*n), "mark".to_owned())).collect();
            serde_json::json!({"file": "f", "exported": "then", "by": "x", "sealed": sealed, "verified": verified, "keys": keys})
        };
        let mut needs = |exports: &[serde_json::Value], sealed_by: u8| {
            settings.insert(KEY_EXPORT.to_owned(), serde_json::Value::from(exports.to_vec()).to_string());
            KeysNeeded::new(&[sealed(sealed_by)], &settings).not_restorable(&[])
        };
        let (password, recipients) = (export(&[7], "password", true), export(&[7], "recipients", false));
        assert!(needs(std::slice::from_ref(&password), 8).unwrap().contains("last exported at then"));
        assert_eq!(needs(&[password], 7), None);
        assert_eq!(needs(&[recipients], 7), None);
        assert!(
            needs(&[export(&[7], "password", false)], 7).unwrap().contains("never exported"),
            "never opened"
        );
        assert_eq!(
            needs(&[export(&[8], "password", true), export(&[7, 8], "password", true)], 7),
            None,
            "an older one"
        );
        assert_eq!(KeysNeeded::new(&[], &BTreeMap::new()).not_restorable(&[]), None, "nothing is sealed");
    }
}
