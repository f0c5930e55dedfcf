//! Backups that are kept somewhere, and the keys that they need: what retired keys are kept for.
//!
//! The database has a note of each folder in which a backup was taken. All that lies in these folders is looked at, by what it
//! is and not by its name. Where it cannot be known what lies there, no retired key is dropped: the folder or a file cannot be
//! read, or it is on another device (of another server) than before and the last backup is not in it, as when a disk is out.
//! Deliberately absent: whether a file that is not where it was written lies on a tape now. The retention of keys is for that.

use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use onesync_store::ServiceChanges;
use serde::{Deserialize, Serialize};

use super::file::{Backup, has_later_form};
use super::schedule::setting;
use super::{at, sha256};
use crate::copy::former_ids;
use crate::error::ServiceError;
use crate::events::BACKUPS_GONE;
use crate::flushed::PART;
use crate::runtime::Service;

/// What the settings that name folders begin with; the hash of the path follows, which may be longer than a name.
const FOLDER: &str = "backup-folder/";

/// A folder in which backups were taken.
#[derive(Debug, Serialize, Deserialize)]
struct Folder {
    /// Where, without links.
    folder: String,
    /// The server, and the device that it has there.
    device: String,
    /// The name of the last one: the folder is the same where that lies in it, whatever number the device has today.
    last: Option<String>,
}

/// A backup that is where it was written.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct KeptBackup {
    /// The file.
    pub(crate) file: PathBuf,
    /// The state that is in it.
    pub(crate) taken: String,
    /// The ids of the keys that it needs.
    keys: Vec<String>,
    /// The ids of the keys that lie in it.
    pub(crate) inside: Vec<String>,
}

/// The backups that are kept.
#[derive(Clone, Debug, Default)]
pub(crate) struct KeptBackups {
    /// Those that were found, the oldest first.
    pub(crate) backups: Vec<KeptBackup>,
    /// Where others may lie: the places, each with the reason.
    pub(crate) unread: Vec<String>,
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
    /// The backups that are kept, as far as they can be seen from here.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub(crate) fn kept_backups(&self) -> Result<KeptBackups, ServiceError> {
        let (ids, mut kept) = (self.own_ids()?, KeptBackups::default());
        for text in self.folders()? {
            let Ok(noted) = serde_json::from_str::<Folder>(&text) else {
                kept.unread.push(format!("the note of a folder cannot be read: {text}"));
                continue;
            };
            let folder = Path::new(&noted.folder);
            let mut unread = |error: &dyn std::fmt::Display| kept.unread.push(error.to_string());
            let files = match std::fs::read_dir(folder) {
                Ok(files) => files,
                Err(error) => {
                    unread(&at(folder)(error));
                    continue;
                }
            };
            for file in files {
                match file.map_err(at(folder)).and_then(|file| backup_in(&file.path())) {
                    Ok(Some(backup)) if ids.contains(&backup.manifest.installation) => {
                        kept.backups.push(KeptBackup {
                            file: backup.place().to_owned(),
                            taken: backup.manifest.taken,
                            keys: backup.manifest.keys.sealed_by,
                            inside: backup.manifest.keys.included.map_or_else(Vec::new, |keys| keys.keys),
                        });
                    }
                    Ok(_) => {}
                    Err(error) => unread(&error),
                }
            }
            if !self.is_the_same(&noted, &ids) {
                unread(&format!(
                    "{}: it is on another device than before, and the last backup is not in it",
                    noted.folder
                ));
            }
        }
        kept.backups.sort_by(|a, b| a.taken.cmp(&b.taken));
        Ok(kept)
    }

    /// Notes that what lay in a folder before is gone for good: what lies there now counts alone.
    ///
    /// # Errors
    /// When no backup was taken there, or the database fails.
    pub fn backups_are_gone(&self, folder: &Path) -> Result<(), ServiceError> {
        let folder = std::fs::canonicalize(folder)
            .or_else(|_| std::path::absolute(folder))
            .unwrap_or_else(|_| folder.to_owned());
        let name = name(&folder);
        if self.store().reader()?.setting(&name)?.is_none_or(|text| text.is_empty()) {
            return Err(ServiceError::usage(
                format!("no backup was taken in {}", folder.display()),
                "name a folder that `onesync keys status` names",
            ));
        }
        let note = match self.device(&folder) {
            Ok(device) => note(&folder, device, None)?,
            Err(_) => (name, String::new()),
        };
        let events = vec![self.audit(&BACKUPS_GONE, &folder.display().to_string(), "")];
        self.record(&ServiceChanges { settings: vec![note], events, ..ServiceChanges::default() })
    }

    /// The setting that says that backups lie in a folder, without links; none where that is said. What may be another disk in
    /// the place of the one before does not take over its note: those on that one are still somewhere.
    pub(super) fn note_folder(
        &self,
        folder: &Path,
        last: Option<&Path>,
    ) -> Result<Option<(String, String)>, ServiceError> {
        let before = self.store().reader()?.setting(&name(folder))?.filter(|text| !text.is_empty());
        if let Some(before) = before {
            let before = serde_json::from_str::<Folder>(&before).ok();
            let ids = self.own_ids()?;
            if last.is_none() || !before.is_some_and(|before| self.is_the_same(&before, &ids)) {
                return Ok(None);
            }
        }
        note(folder, self.device(folder).map_err(at(folder))?, last).map(Some)
    }

    fn folders(&self) -> Result<Vec<String>, ServiceError> {
        let settings = self.store().reader()?.settings()?.into_iter();
        Ok(settings
            .filter(|(name, text)| name.starts_with(FOLDER) && !text.is_empty())
            .map(|(_, text)| text)
            .collect())
    }

    /// The ids that this installation has and had.
    pub(crate) fn own_ids(&self) -> Result<Vec<String>, ServiceError> {
        let mut ids = former_ids(&*self.store().reader()?)?;
        ids.push(self.installation_id().to_owned());
        Ok(ids)
    }

    /// Two servers may number their disks alike.
    fn device(&self, folder: &Path) -> std::io::Result<String> {
        Ok(format!("{}/{}", self.standing().server(), std::fs::metadata(folder)?.dev()))
    }

    fn is_the_same(&self, noted: &Folder, ids: &[String]) -> bool {
        let folder = Path::new(&noted.folder);
        let last = noted.last.as_ref().and_then(|last| backup_in(&folder.join(last)).ok().flatten());
        self.device(folder).is_ok_and(|device| device == noted.device)
            || last.is_some_and(|last| ids.contains(&last.manifest.installation))
    }
}

fn name(folder: &Path) -> String {
    format!("{FOLDER}{}", sha256(folder.display().to_string().as_bytes()))
}

fn note(folder: &Path, device: String, last: Option<&Path>) -> Result<(String, String), ServiceError> {
    let last = last.and_then(Path::file_name).map(|name| name.to_string_lossy().into_owned());
    setting(&name(folder), &Folder { folder: folder.display().to_string(), device, last })
}

/// The backup that a file is. None: it is something else, on its way, or damaged, so that it is restored by no key.
fn backup_in(file: &Path) -> Result<Option<Backup>, ServiceError> {
    let on_its_way = file.to_string_lossy().ends_with(PART);
    match std::fs::metadata(file) {
        // A pipe would keep waiting whoever opens it.
        Ok(found) if on_its_way || !found.is_file() => return Ok(None),
        Ok(_) => {}
        // A link that leads nowhere may lead to a disk that is out; else somebody removed it just now.
        Err(error) if error.kind() == ErrorKind::NotFound && std::fs::symlink_metadata(file).is_err() => {
            return Ok(None);
        }
        Err(error) => return Err(at(file)(error)),
    }
    match Backup::open(file) {
        Err(ServiceError::File { source, .. }) if source.kind() == ErrorKind::NotFound => Ok(None),
        Err(ServiceError::Backup { .. }) if !has_later_form(file)? => Ok(None),
        opened => opened.map(Some),
    }
}
