//! Backups that are kept somewhere, and the keys that they need: what retired keys are kept for.
//!
//! Those of the schedule are looked at in their folder; of those that were taken elsewhere the database has a list.
//! Deliberately absent: whether a file that is not where it was written lies on a tape now. The retention of keys is for that.

use std::path::PathBuf;

use serde::Serialize;

use super::file::Backup;
use super::schedule::{Scheduled, Taken};
use super::take::NAME;
use crate::copy::former_ids;
use crate::error::ServiceError;
use crate::runtime::Service;

/// A backup that is where it was written.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct KeptBackup {
    /// The file.
    pub file: PathBuf,
    /// The state that is in it.
    pub taken: String,
    /// The ids of the keys that it needs.
    pub keys: Vec<String>,
}

/// The backups that are kept.
#[derive(Clone, Debug, Default)]
pub(crate) struct KeptBackups {
    /// Those that were found, the oldest first.
    pub(crate) backups: Vec<KeptBackup>,
    /// Where the folder of the schedule cannot be read: why, and for how many days its backups are kept.
    pub(crate) unread: Option<(String, i64)>,
}

impl KeptBackups {
    /// Those that need a key, the oldest first.
    pub(crate) fn needing(&self, key: &str) -> impl Iterator<Item = &KeptBackup> {
        self.backups.iter().filter(move |backup| backup.keys.iter().any(|id| id == key))
    }

    /// Those that need a key that is not there, the oldest first.
    pub(crate) fn lacking(&self, there: impl Fn(&str) -> bool) -> Vec<&KeptBackup> {
        self.backups.iter().filter(|backup| !backup.keys.iter().all(|id| there(id))).collect()
    }
}

impl Service {
    /// The backups of a schedule, for the list of others: its folder is looked at no more.
    pub(super) fn leave_folder(&self, schedule: &Scheduled) -> Vec<Taken> {
        let ids = [self.installation_id().to_owned()];
        // What cannot be seen now is not in the list; keys are kept as long as their own retention.
        let found = in_folder(schedule, &ids).unwrap_or_default();
        let taken = |backup: KeptBackup| Taken {
            when: backup.taken,
            file: backup.file.display().to_string(),
            bytes: 0,
            not_restorable: None,
            keys: backup.keys,
        };
        found.into_iter().rev().map(taken).collect()
    }

    /// The backups that are kept, as far as they can be seen from here.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub(crate) fn kept_backups(&self) -> Result<KeptBackups, ServiceError> {
        let mut ids = former_ids(&*self.store().reader()?)?;
        ids.push(self.installation_id().to_owned());
        let mut kept = KeptBackups::default();
        if let Some(schedule) = self.backup_schedule()? {
            match in_folder(&schedule, &ids) {
                Ok(found) => kept.backups = found,
                Err(error) => {
                    let why = format!("{}: {error}", schedule.folder.display());
                    kept.unread = Some((why, schedule.kept_days()));
                }
            }
        }
        for Taken { file, when, keys, .. } in self.backups_elsewhere()? {
            let file = PathBuf::from(file);
            // One that may be there is there: whoever may not look does not know, nor whose disk is out.
            let gone = std::fs::symlink_metadata(&file)
                .is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound)
                && file.parent().is_none_or(std::path::Path::exists);
            if !gone && kept.backups.iter().all(|known| known.file != file) {
                kept.backups.push(KeptBackup { file, taken: when, keys });
            }
        }
        kept.backups.sort_by(|a, b| a.taken.cmp(&b.taken));
        Ok(kept)
    }
}

fn in_folder(schedule: &Scheduled, ids: &[String]) -> std::io::Result<Vec<KeptBackup>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(&schedule.folder)? {
        let file = entry?.path();
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        if !name.starts_with(NAME.0) || !name.ends_with(NAME.1) {
            continue;
        }
        // What is damaged is restored by no key.
        let Ok(Backup { manifest, .. }) = Backup::open(&file) else { continue };
        if ids.contains(&manifest.installation) {
            found.push(KeptBackup { file, taken: manifest.taken, keys: manifest.keys.sealed_by });
        }
    }
    Ok(found)
}
