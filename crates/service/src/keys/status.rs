//! The keys in one look: which there are, what they open, where they were exported to.

use std::collections::BTreeMap;

use onesync_model::Time;
use onesync_store::StoreReader;
use onesync_vault::{KeySet, Vault, VaultError};
use serde::Serialize;

use super::{ExportNote, REHEARSED, anew, exports, password_mark, place, reminders, sealed_of};
use crate::backup::KeptBackups;
use crate::count_words;
use crate::error::{ServiceError, Status};
use crate::runtime::Service;
use crate::setup::credential::ServiceAccount;

/// Seconds of a day.
const DAY: i64 = 24 * 3600;

/// The keys in one look.
#[derive(Clone, Debug, Serialize)]
pub struct KeysReport {
    /// Why the key set cannot be opened.
    pub problem: Option<String>,
    /// Where the key-encryption key comes from; `None` when the key set, of an earlier version, is not sealed, or is not there.
    pub kek: Option<String>,
    /// What tells these keys from others, and says nothing about them.
    pub fingerprint: Option<String>,
    /// The keys, oldest first.
    pub keys: Vec<KeyLine>,
    /// What does not open.
    pub closed: Vec<ClosedValue>,
    /// The exports, newest first.
    pub exports: Vec<ExportLine>,
    /// When a restore was last rehearsed, and how that ended.
    pub rehearsed: Option<String>,
    /// What should be done.
    pub remarks: Vec<String>,
}

/// One key.
#[derive(Clone, Debug, Serialize)]
pub struct KeyLine {
    /// Its id.
    pub id: String,
    /// `current`, `retired`.
    pub state: &'static str,
    /// When it was made.
    pub made: Option<String>,
    /// When another one took its place.
    pub retired: Option<String>,
    /// Days since it was made.
    pub age_days: Option<i64>,
    /// How many values in the database it sealed.
    pub values: u64,
    /// The backups that need it, the oldest first: those in the folders in which backups were taken.
    pub backups: Vec<String>,
}

/// A sealed value that does not open.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct ClosedValue {
    /// The secret.
    pub name: String,
    /// The key that sealed it.
    pub key: Option<String>,
}

/// One export.
#[derive(Clone, Debug, Serialize)]
pub struct ExportLine {
    /// What was noted.
    #[serde(flatten)]
    pub note: ExportNote,
    /// Days since.
    pub age_days: Option<i64>,
    /// Whether it opens all that is in the database now.
    pub opens_all: bool,
    /// Whether it opens with another password, or another account, than the service account has now.
    pub older_password: bool,
}

impl KeysReport {
    /// How the command ends: held back when something is closed.
    #[must_use]
    pub fn status(&self) -> Status {
        if self.problem.is_some() || !self.closed.is_empty() { Status::Held } else { Status::Done }
    }
}

/// What backups mean for keys.
fn remark_backups(report: &mut KeysReport, backups: &KeptBackups) {
    for why in &backups.unread {
        report.remarks.push(format!(
            "backups may lie there that are not seen, and retired keys are kept as long as that is so: {why}. Where what lay in a \
             folder is gone for good, `onesync keys rotate --forget-retired --gone FOLDER` goes on without"
        ));
    }
    // A key set that does not open says nothing of what it has.
    let lacking = match report.keys.is_empty() {
        true => Vec::new(),
        false => backups.lacking(|id| report.keys.iter().any(|key| key.id == id)),
    };
    if let Some(backup) = lacking.last() {
        report.remarks.push(format!(
            "{} backups need keys that this key set does not have any more, the newest {} of {}: they open with a key file of that \
             time",
            lacking.len(),
            backup.file.display(),
            backup.taken
        ));
    }
}

impl Service {
    /// The keys in one look.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn keys(&self) -> Result<KeysReport, ServiceError> {
        let reader = self.store().reader()?;
        let file = self.home().key_set();
        let set = KeySet::open(&file);
        let vault = set.as_ref().ok().map(Vault::of).transpose()?;
        let (mut values, mut closed) = (BTreeMap::<String, u64>::new(), Vec::new());
        for row in reader.secrets()? {
            for sealed in sealed_of(&row) {
                let key = Vault::sealed_by(sealed);
                let opens = |vault: &Vault| vault.open_sealed(&place(&row.name), sealed).is_ok();
                // A value before that does not open is needed by nobody as long as the newest one does.
                if sealed == row.current && !vault.as_ref().is_some_and(opens) {
                    closed.push(ClosedValue { name: row.name.clone(), key: key.clone() });
                }
                *values.entry(key.unwrap_or_default()).or_default() += 1;
            }
        }
        let backups = self.kept_backups()?;
        let line = |note: onesync_vault::KeyNote, current: &str| KeyLine {
            backups: backups.needing(&note.id).map(|backup| backup.file.display().to_string()).collect(),
            state: if note.id == current { "current" } else { "retired" },
            age_days: note.made.as_deref().and_then(|made| self.days_since(made)),
            values: values.get(&note.id).copied().unwrap_or_default(),
            id: note.id,
            made: note.made,
            retired: note.retired,
        };
        let keys: Vec<KeyLine> = match &set {
            Ok(set) => set.notes().into_iter().map(|note| line(note, set.current())).collect(),
            Err(_) => Vec::new(),
        };
        let source = KeySet::source(&file);
        let exports = self.export_lines(&*reader, &values)?;
        let mut report = KeysReport {
            problem: set.as_ref().err().map(|error| match error {
                VaultError::Missing { .. } => self.keys_missing(error),
                error => error.to_string(),
            }),
            kek: source.as_ref().ok().and_then(Option::as_ref).map(|(kek, _)| kek.to_string()),
            fingerprint: set.as_ref().ok().map(KeySet::fingerprint),
            keys,
            closed,
            exports,
            rehearsed: reader.setting(REHEARSED)?.map(|text| self.rehearsal(&text)),
            // What does not open cannot be exported.
            remarks: if set.is_ok() { reminders(&*reader)? } else { Vec::new() },
        };
        self.remark(&mut report, matches!(source, Ok(None)));
        remark_backups(&mut report, &backups);
        Ok(report)
    }

    fn export_lines(
        &self,
        reader: &dyn StoreReader,
        values: &BTreeMap<String, u64>,
    ) -> Result<Vec<ExportLine>, ServiceError> {
        let account = ServiceAccount::read(reader)?;
        let mark = account.as_ref().map(|account| password_mark(&account.verifier));
        let anew = anew(reader)?;
        let line = |note: ExportNote| ExportLine {
            age_days: self.days_since(&note.exported),
            opens_all: note.is_since(anew) && values.keys().all(|id| note.keys.contains_key(id)),
            older_password: note.sealed == "password"
                && (mark.as_ref() != Some(&note.password)
                    || account.as_ref().is_none_or(|account| account.name != note.account)),
            note,
        };
        Ok(exports(reader)?.into_iter().map(line).collect())
    }

    fn remark(&self, report: &mut KeysReport, plain: bool) {
        if let Some(old) = report.exports.iter().find(|line| line.older_password) {
            report.remarks.push(format!(
                "the password of the service account was changed: key files from before, such as `{}` of {}, still open with the \
                 account `{}` and the password it had then. Keep that one as long as the file, or export anew and destroy it",
                old.note.file, old.note.exported, old.note.account
            ));
        }
        if plain {
            report.remarks.push(
                "the key set is of an earlier version, and lies in its file as it is: `onesync keys seal` seals it, `onesync keys \
                 rotate` does the same with a new key"
                    .to_owned(),
            );
        }
        let unfinished: u64 =
            report.keys.iter().filter(|key| key.state == "retired").map(|key| key.values).sum();
        if unfinished > 0 {
            report.remarks.push(format!(
                "{unfinished} values are sealed by keys that are retired: a rotation was cut short. Nothing is lost; `onesync keys \
                 rotate` goes on with it"
            ));
        }
        if report.rehearsed.is_none() {
            report.remarks.push(
                "no restore was rehearsed yet: `onesync restore rehearse FILE` proves that a backup and its keys bring this \
                 installation back"
                    .to_owned(),
            );
        }
    }

    /// What another part noted of a rehearsal, for people.
    fn rehearsal(&self, text: &str) -> String {
        let noted: serde_json::Value = serde_json::from_str(text).unwrap_or_default();
        let when = ["when", "at", "time", "rehearsed"].iter().find_map(|name| noted[*name].as_str());
        match when {
            Some(when) => {
                let away: Vec<&str> =
                    noted["away"].as_array().into_iter().flatten().filter_map(|name| name.as_str()).collect();
                let but = match away.is_empty() {
                    true => String::new(),
                    false => format!(
                        "; not proven that nothing would be written: `{}` was not read",
                        away.join("`, `")
                    ),
                };
                match self.days_since(when) {
                    Some(days) => format!("{when}, {} ago{but}", count_words(days.unsigned_abs(), "day")),
                    None => format!("{when}{but}"),
                }
            }
            None => text.to_owned(),
        }
    }

    pub(super) fn days_since(&self, when: &str) -> Option<i64> {
        let when: Time = when.parse().ok()?;
        Some((self.now().seconds() - when.seconds()).div_euclid(DAY))
    }
}
