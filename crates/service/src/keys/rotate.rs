//! A new data key in place of the one so far, while the service goes on.
//!
//! First the key set gets the new key, in one piece; then each secret is sealed anew, in small transactions that leave alone
//! what somebody set meanwhile. Cut anywhere, everything opens: the keys before are kept. Later they are forgotten, when no
//! value and no backup needs them any more.

use std::collections::BTreeSet;

use onesync_model::Time;
use onesync_store::{SecretRow, ServiceChanges};
use onesync_vault::{Kek, KeySet, Vault};
use serde::Serialize;

use super::{LOCK, exports_with, needed, place, sealed_of};
use crate::error::ServiceError;
use crate::events;
use crate::runtime::Service;
use crate::work::WorkLock;

/// The setting with the days for which retired keys are kept.
const RETENTION: &str = "key-retention-days";
/// How long retired keys are kept when nobody says: longer than most keep backups.
const RETENTION_DAYS: i64 = 400;
/// How long they are kept at most: a hundred years.
const RETENTION_DAYS_MAX: i64 = 36_500;
/// Secrets that are sealed anew in one transaction.
const BATCH: usize = 20;
/// Backups that are named.
const NAMED: usize = 3;
/// How often is looked for secrets that were set by whoever opened the key set before the rotation.
const PASSES_MAX: usize = 10;

/// A step of a rotation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Rotation<'a> {
    /// The key set is about to get a new key.
    Begins,
    /// It has the new key, with this id.
    NewKey(&'a str),
    /// So many secrets are sealed anew.
    Sealed(usize),
}

/// How a rotation ended.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Rotated {
    /// The key that seals now.
    pub key: String,
    /// Whether an earlier rotation that was cut short was finished, with the key it had made.
    pub went_on: bool,
    /// How many secrets were sealed anew.
    pub sealed: usize,
    /// Secrets that do not open, and stay as they are.
    pub closed: Vec<String>,
    /// The servers that stand by, in words: they do not take over before they have the key.
    pub standbys: Vec<String>,
}

/// What became of retired keys.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Forgotten {
    /// The ids of those that were dropped.
    pub forgotten: Vec<String>,
    /// The ids of those that are kept, each with the reason.
    pub kept: Vec<(String, String)>,
}

impl Service {
    /// Rotates the keys. `told` hears of each step; an error of its own ends it there.
    ///
    /// # Errors
    /// When the key set cannot be opened or written, or the database fails. What was sealed anew stays so.
    pub fn rotate_keys(
        &self,
        told: &mut dyn FnMut(Rotation<'_>) -> Result<(), ServiceError>,
    ) -> Result<Rotated, ServiceError> {
        let _lock = self.lock_keys("keys rotate")?;
        let (file, mut set) = (self.home().key_set(), self.key_set()?);
        // What does not open is none that was left by a rotation, and does not keep one from beginning.
        let went_on = !self.sealed_by_others(&Vault::of(&set)?)?.is_empty();
        if !went_on {
            told(Rotation::Begins)?;
            set.rotate(&self.now().to_string())?;
            set.save(&file, &self.kek_in_use()?)?;
            let events = vec![self.audit(&events::KEYS_ROTATED, set.current(), "")];
            self.record(&ServiceChanges { events, ..ServiceChanges::default() })?;
        }
        told(Rotation::NewKey(set.current()))?;
        let vault = Vault::of(&set)?;
        let mut sealed = 0;
        for _ in 0..PASSES_MAX {
            let rows = self.sealed_by_others(&vault)?;
            if rows.is_empty() {
                break;
            }
            for batch in rows.chunks(BATCH) {
                let secrets_resealed = batch.to_vec();
                self.record(&ServiceChanges { secrets_resealed, ..ServiceChanges::default() })?;
                sealed += batch.len();
                told(Rotation::Sealed(sealed))?;
            }
        }
        let closed = self.unopened(&vault)?;
        let standbys = self.servers()?.into_iter().filter(|server| server.stands_by() && !server.here);
        let standbys = standbys.map(|server| server.words()).collect();
        Ok(Rotated { key: set.current().to_owned(), went_on, sealed, closed, standbys })
    }

    /// Seals the key set in the home anew, under a key-encryption key from elsewhere where one is named.
    ///
    /// # Errors
    /// When either key-encryption key is not there, or the key set cannot be written.
    pub fn seal_key_set(&self, kek: Option<&Kek>) -> Result<Kek, ServiceError> {
        let _lock = self.lock_keys("keys seal")?;
        let set = self.key_set()?;
        let kek = match kek {
            Some(kek) => kek.clone(),
            None => self.kek_in_use()?,
        };
        set.save(&self.home().key_set(), &kek)?;
        // Nobody should learn later that it does not open.
        KeySet::open(&self.home().key_set())?;
        let events = vec![self.audit(&events::KEYS_SEALED, &kek.to_string(), "")];
        self.record(&ServiceChanges { events, ..ServiceChanges::default() })?;
        Ok(kek)
    }

    /// Drops the retired keys that nothing needs: no value in the database, no backup that is there or may be, and none that may be
    /// within the retention.
    ///
    /// # Errors
    /// When the key set cannot be opened or written, or the database fails.
    pub fn forget_retired_keys(&self) -> Result<Forgotten, ServiceError> {
        let _lock = self.lock_keys("keys rotate --forget-retired")?;
        let mut set = self.key_set()?;
        let reader = self.store().reader()?;
        let needed = needed(&*reader)?;
        let backups = self.kept_backups()?;
        let days = self.key_retention()?;
        let (mut forgotten, mut kept) = (Vec::new(), Vec::new());
        for note in set.notes().into_iter().filter(|note| note.id != set.current()) {
            let retired = note.retired.as_deref().and_then(|time| time.parse::<Time>().ok());
            let over = retired.map(|time| time.plus_seconds(days.saturating_mul(24 * 3600)));
            match over {
                _ if needed.contains(&note.id) => {
                    kept.push((note.id, "it sealed what is in the database".to_owned()));
                }
                _ if backups.needing(&note.id).next().is_some() => {
                    let names: Vec<String> = backups
                        .needing(&note.id)
                        .take(NAMED)
                        .map(|backup| format!("{} of {}", backup.file.display(), backup.taken))
                        .collect();
                    let (all, names) = (backups.needing(&note.id).count(), names.join(", "));
                    kept.push((note.id, format!("backups need it, {all} in all: {names}")));
                }
                _ if !backups.unread.is_empty() => {
                    kept.push((
                        note.id,
                        format!("backups may need it that are not seen: {}", backups.unread.join("; ")),
                    ));
                }
                Some(over) if over > self.now() => {
                    kept.push((note.id, format!("backups from before {over} may need it")));
                }
                None => kept.push((note.id, "it is not known since when it is retired".to_owned())),
                Some(_) if exports_with(&*reader, &BTreeSet::from([note.id.clone()]))?.is_empty() => {
                    kept.push((
                        note.id,
                        "no exported key file holds it: run `onesync keys export`".to_owned(),
                    ));
                }
                Some(_) => forgotten.push(note.id),
            }
        }
        drop(reader);
        if !forgotten.is_empty() {
            set.forget(&forgotten);
            set.save(&self.home().key_set(), &self.kek_in_use()?)?;
            let events = forgotten.iter().map(|id| self.audit(&events::KEYS_RETIRED, id, "")).collect();
            self.record(&ServiceChanges { events, ..ServiceChanges::default() })?;
        }
        Ok(Forgotten { forgotten, kept })
    }

    /// For how many days retired keys are kept.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn key_retention(&self) -> Result<i64, ServiceError> {
        let days = self.store().reader()?.setting(RETENTION)?;
        let days = days.and_then(|days| days.parse().ok()).unwrap_or(RETENTION_DAYS);
        Ok(days.clamp(0, RETENTION_DAYS_MAX))
    }

    /// Sets for how many days retired keys are kept: as long as the oldest backup.
    ///
    /// # Errors
    /// When it is longer than anything is kept, or the database cannot be written.
    pub fn set_key_retention(&self, days: u32) -> Result<(), ServiceError> {
        if i64::from(days) > RETENTION_DAYS_MAX {
            return Err(ServiceError::usage(
                format!("retired keys cannot be kept for {days} days"),
                format!("`--retention` is at most {RETENTION_DAYS_MAX} days, a hundred years"),
            ));
        }
        self.record(&ServiceChanges {
            settings: vec![(RETENTION.to_owned(), days.to_string())],
            events: vec![self.audit(&events::KEYS_RETENTION, &days.to_string(), "")],
            ..ServiceChanges::default()
        })
    }

    /// Takes the lock of whoever changes the key set; work may go on meanwhile.
    pub(super) fn lock_keys(&self, what: &str) -> Result<WorkLock, ServiceError> {
        self.must_be_active()?;
        WorkLock::take_file(self.home().folder(), LOCK, what, self.now())
    }

    fn key_set(&self) -> Result<KeySet, ServiceError> {
        Ok(KeySet::open(&self.home().key_set())?)
    }

    /// Where the key-encryption key comes from; for a key set of an earlier version, from where it comes by default.
    fn kek_in_use(&self) -> Result<Kek, ServiceError> {
        Ok(KeySet::source(&self.home().key_set())?.map(|(kek, _)| kek).unwrap_or_default())
    }

    /// The secrets that other keys sealed than the current one, sealed anew, each with what is there so far.
    fn sealed_by_others(&self, vault: &Vault) -> Result<Vec<(Vec<u8>, SecretRow)>, ServiceError> {
        let mut out = Vec::new();
        for row in self.store().reader()?.secrets()? {
            if sealed_of(&row).all(|sealed| Vault::sealed_by(sealed).as_deref() == Some(vault.key_id())) {
                continue;
            }
            let anew = |sealed: &[u8]| {
                let open = vault.open_sealed(&place(&row.name), sealed).ok()?;
                Some(vault.seal(&place(&row.name), &open))
            };
            // What does not open stays as it is; a value before that does not is of no use beside one that does.
            if let Some(current) = anew(&row.current) {
                let (current, previous) = (current?, row.previous.as_deref().and_then(anew).transpose()?);
                out.push((row.current.clone(), SecretRow { current, previous, ..row.clone() }));
            }
        }
        Ok(out)
    }

    fn unopened(&self, vault: &Vault) -> Result<Vec<String>, ServiceError> {
        let rows = self.store().reader()?.secrets()?;
        let closed = rows.iter().filter(|row| vault.open_sealed(&place(&row.name), &row.current).is_err());
        Ok(closed.map(|row| row.name.clone()).collect())
    }
}
