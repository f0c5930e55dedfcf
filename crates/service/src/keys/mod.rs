//! The keys of an installation: what they are, whether they are safe elsewhere, how they are changed and given up.
//!
//! What is recorded of keys in the database says which there were and where they went; nothing in it is secret.
//! Deliberately absent: cryptography and files of keys (the vault), arguments and questions (the program).

mod abandon;
mod export;
mod kek;
mod places;
mod right;
mod rotate;
mod status;
#[cfg(test)]
pub(crate) mod tests;

use std::collections::{BTreeMap, BTreeSet};

use onesync_model::Time;
use onesync_store::{SecretRow, StoreReader};
use onesync_vault::{KeyFile, KeySet, Place, Vault, Verifier};
use serde::{Deserialize, Serialize};

use crate::error::ServiceError;
use crate::setup::credential::{self, ServiceAccount};

pub use onesync_vault::{Seal, Split, VaultError, try_pin_once_more};

pub(crate) use abandon::aside;
pub use abandon::{Lost, LostForGood};
pub use export::{ExportRequest, Exported};
pub use kek::parse as parse_kek;
pub use right::{may_look, may_read, may_write};
pub use rotate::{Forgotten, Rotated, Rotation};
pub use status::{ClosedValue, ExportLine, KeyLine, KeysReport};

/// The lock of whoever changes the key set.
pub(crate) const LOCK: &str = "keys.lock";
/// The setting with the exports, newest first.
const EXPORTS: &str = "key-export";
/// The setting with the time at which a key set was made in the place of a lost one: what was exported before holds none of its
/// keys.
const ANEW: &str = "key-set-anew";
/// The setting of another part that notes the last restore that was rehearsed.
const REHEARSED: &str = "restore-rehearsed";
/// How many exports are remembered.
const EXPORTS_MAX: usize = 50;
/// Bytes of what tells one password from others.
const MARK_LEN: usize = 8;
/// The place of a sealed value, but for its row.
const TABLE: &str = "secret";
const FIELD: &str = "value";

/// What is remembered of an export.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ExportNote {
    /// The file, as it was named.
    pub file: String,
    /// When.
    pub exported: String,
    /// Who.
    pub by: String,
    /// On which machine.
    pub host: String,
    /// The service account at that time.
    pub account: String,
    /// How it is sealed: `password`, `recipients`, `shares 3-of-5`.
    pub sealed: String,
    /// What tells its keys from others, and says nothing about them.
    pub fingerprint: String,
    /// The ids of its keys, each with its fingerprint.
    pub keys: BTreeMap<String, String>,
    /// What tells the password it was exported under from others, and says nothing about it.
    pub password: String,
    /// Whether the file was read back and opened after it was written.
    pub verified: bool,
}

/// Whether a key file fits a database.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Fit {
    /// Of which installation it is.
    pub belongs: Belongs,
    /// Whether the service account of the database is the one that exported it; `None` where the database has none.
    pub account: Option<bool>,
    /// How many sealed values it opens.
    pub opened: usize,
    /// The secrets it does not open.
    pub closed: Vec<String>,
}

/// Of which installation a key file is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Belongs {
    /// Of the one in the database.
    Here,
    /// Of the one of which the database is a copy.
    Source,
    /// Of another one.
    Elsewhere,
}

impl Fit {
    /// Whether all that is sealed opens, and it is of this installation or of the one this one came from.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.closed.is_empty() && self.belongs != Belongs::Elsewhere
    }
}

/// Whether a key file fits a database: does it open every sealed value of it, and is it of its installation?
///
/// # Errors
/// When the database cannot be read.
pub fn fits(reader: &dyn StoreReader, file: &KeyFile) -> Result<Fit, ServiceError> {
    let here = reader.installation()?.is_some_and(|row| row.id == file.installation)
        || crate::copy::former_ids(reader)?.contains(&file.installation);
    let source = reader.setting("copy-of")?.is_some_and(|text| {
        let copy: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
        copy["installation"] == file.installation.as_str()
    });
    let account = match ServiceAccount::read(reader)? {
        Some(account) => Some(credential::parse(&account.name)? == credential::parse(&file.account)?),
        None => None,
    };
    let vault = Vault::of(&file.keys)?;
    let (mut opened, mut closed) = (0, Vec::new());
    for row in reader.secrets()? {
        for sealed in sealed_of(&row) {
            match vault.open_sealed(&place(&row.name), sealed) {
                Ok(_) => opened += 1,
                Err(_) => closed.push(row.name.clone()),
            }
        }
    }
    closed.dedup();
    let belongs = match (here, source) {
        (true, _) => Belongs::Here,
        (false, true) => Belongs::Source,
        (false, false) => Belongs::Elsewhere,
    };
    Ok(Fit { belongs, account, opened, closed })
}

/// The exports of keys, newest first.
///
/// # Errors
/// When the database cannot be read, or what it says of exports cannot.
pub fn exports(reader: &dyn StoreReader) -> Result<Vec<ExportNote>, ServiceError> {
    reader.setting(EXPORTS)?.map_or_else(
        || Ok(Vec::new()),
        |text| {
            serde_json::from_str(&text)
                .map_err(|_| ServiceError::Internal("the exports in the database cannot be read".to_owned()))
        },
    )
}

/// The ids of the keys that sealed what is in a database. A backup needs them all.
///
/// # Errors
/// When the database cannot be read.
pub fn needed(reader: &dyn StoreReader) -> Result<BTreeSet<String>, ServiceError> {
    let rows = reader.secrets()?;
    Ok(rows.iter().flat_map(sealed_of).filter_map(Vault::sealed_by).collect())
}

/// The exports that hold all of these keys, newest first.
///
/// # Errors
/// As [`exports`].
pub fn exports_with(
    reader: &dyn StoreReader,
    ids: &BTreeSet<String>,
) -> Result<Vec<ExportNote>, ServiceError> {
    let mut found = exports(reader)?;
    found.retain(|note| ids.iter().all(|id| note.keys.contains_key(id)));
    Ok(found)
}

/// What people should be reminded of.
pub(crate) fn reminders(reader: &dyn StoreReader) -> Result<Vec<String>, ServiceError> {
    let anew = anew(reader)?;
    let counts = |note: &ExportNote| note.is_since(anew);
    let why = match exports(reader)?.first() {
        None => "the keys were never exported",
        Some(last) if !counts(last) => {
            "the key set was made anew after the one before was lost, and was never exported since"
        }
        Some(_) if !exports_with(reader, &needed(reader)?)?.iter().any(counts) => {
            "no exported key file opens all that is in the database by now"
        }
        Some(_) => return Ok(Vec::new()),
    };
    Ok(vec![format!(
        "{why}: without an exported key file, what is sealed in the database is lost with this machine. Run `onesync keys \
         export FILE`, and keep FILE away from here"
    )])
}

/// When the key set was made in the place of a lost one.
fn anew(reader: &dyn StoreReader) -> Result<Option<Time>, ServiceError> {
    Ok(reader.setting(ANEW)?.and_then(|time| time.parse().ok()))
}

impl ExportNote {
    /// Whether it was made after the key set was made anew, where that was.
    fn is_since(&self, anew: Option<Time>) -> bool {
        anew.is_none_or(|anew| self.exported.parse::<Time>().is_ok_and(|exported| exported > anew))
    }
}

/// The seals of a secret.
fn sealed_of(row: &SecretRow) -> impl Iterator<Item = &[u8]> {
    [Some(&row.current), row.previous.as_ref()].into_iter().flatten().map(Vec::as_slice)
}

/// Where the value of a secret lies.
fn place(name: &str) -> Place<'_> {
    Place { table: TABLE, row: name, field: FIELD }
}

/// What tells the password that a verifier is of from others.
fn password_mark(verifier: &str) -> String {
    let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, verifier.as_bytes());
    hash.as_ref().iter().take(MARK_LEN).map(|byte| format!("{byte:02x}")).collect()
}

/// The key file of a key set.
pub(crate) fn key_file(
    installation: &str,
    account: &ServiceAccount,
    now: Time,
    keys: KeySet,
) -> Result<KeyFile, ServiceError> {
    Ok(KeyFile {
        installation: installation.to_owned(),
        account: account.name.clone(),
        verifier: Verifier::parse(&account.verifier)?,
        exported: now.to_string(),
        keys,
    })
}
