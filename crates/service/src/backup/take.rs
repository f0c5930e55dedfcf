//! Taking a backup, and looking at one.

use std::path::{Path, PathBuf};
use std::time::Instant;

use onesync_store::{Gist, ServiceChanges, StoreError, TableForm, schema_versions};
use serde::Serialize;

use super::file::{Backup, Manifest, TablePart, Writer, appear, is_left};
use super::inside::{Inside, KeysInside};
use super::keys::{KEY_EXPORT, KeyExport, KeysIncluded, KeysNeeded};
use super::schedule::{Taken, note_taken};
use super::{at, stamp};
use crate::database::EMBEDDED;
use crate::error::ServiceError;
use crate::events;
use crate::flushed::PART;
use crate::home::Home;
use crate::runtime::Service;

/// What the names of backups begin and end with.
const NAME: (&str, &str) = ("onesync-", ".backup");
/// Characters of the installation in a name.
const NAMED_BY: usize = 8;

/// What was backed up.
#[derive(Clone, Debug, Serialize)]
pub struct BackupReport {
    /// The file.
    pub file: PathBuf,
    /// Its bytes.
    pub bytes: u64,
    /// Rows in it.
    pub rows: u64,
    /// The state that is in it.
    pub taken: String,
    /// How long it took, with reading it through.
    pub seconds: f64,
    /// What opens the keys in it, where it has some.
    pub keys_inside: Option<String>,
    /// Why it would be of no use without this server.
    pub not_restorable: Option<String>,
    /// Why it is not noted in the database.
    pub not_noted: Option<String>,
}

/// A backup that was read through.
#[derive(Clone, Debug, Serialize)]
pub struct Verified {
    /// The file.
    pub file: PathBuf,
    /// Its bytes.
    pub bytes: u64,
    /// Rows in it.
    pub rows: u64,
    /// What it says of itself.
    pub manifest: Manifest,
    /// Why it would be of no use without its server.
    pub not_restorable: Option<String>,
}

/// The kind of a database, as backups name it.
pub(super) fn kind_of(url: &str) -> &'static str {
    let [embedded, postgres, server] = schema_versions().map(|(kind, _)| kind);
    match url {
        EMBEDDED => embedded,
        url if url.starts_with(server) => server,
        _ => postgres,
    }
}

fn rows(manifest: &Manifest) -> u64 {
    manifest.tables.iter().map(|table| table.rows).sum()
}

/// Reads a backup through, and looks whether the keys that it needs are known: those of the key files whose keys are given,
/// of the last export before it, and of the last export that the home knows.
///
/// # Errors
/// When anything is not what was written.
pub fn verify(
    home: &Home,
    file: &Path,
    key_files: &[&[String]],
    told: &dyn Fn(&str, u64) -> Result<(), ServiceError>,
) -> Result<Verified, ServiceError> {
    let backup = Backup::open(file)?;
    backup.verify(told)?;
    let later = exported_since(home, &backup.manifest);
    let known: Vec<&[String]> =
        key_files.iter().copied().chain(later.iter().map(|export| &export.keys[..])).collect();
    let Backup { bytes, manifest, .. } = backup;
    // One that was named is to be the right one, whatever other exports are known.
    let lacks = |keys: &&&[String]| manifest.keys.sealed_by.iter().any(|id| !keys.contains(id));
    let wrong = key_files.iter().find(lacks).map(|_| {
        format!(
            "not restorable with this key file: the backup needs key {}, and the file does not hold all of them",
            manifest.keys.sealed_by.join(", ")
        )
    });
    Ok(Verified {
        file: file.to_owned(),
        bytes,
        rows: rows(&manifest),
        not_restorable: wrong.or_else(|| manifest.keys.not_restorable(&known)),
        manifest,
    })
}

/// The last export of the key set that the home of this installation knows. There may be no home, or its database may be
/// what was lost.
fn exported_since(home: &Home, manifest: &Manifest) -> Option<KeyExport> {
    if !home.exists() {
        return None;
    }
    let (store, _) = home.open().ok()?;
    let reader = store.reader().ok()?;
    reader.installation().ok()?.filter(|row| row.id == manifest.installation)?;
    KeyExport::best(&reader.setting(KEY_EXPORT).ok()??, &manifest.keys.sealed_by)
}

impl Service {
    /// Writes one state of the database into a new file, and reads that through before it gets its name; cycles may go on
    /// meanwhile. In a folder it gets a name of its own. With keys inside it is all that a new server needs.
    ///
    /// # Errors
    /// When the file is there, or cannot be written or is not what was written, or keys are to be inside and whoever asks is
    /// not who may export them; then there is none.
    pub fn backup(
        &self,
        place: &Path,
        keys: Option<&KeysInside<'_>>,
        told: &dyn Fn(&str, u64) -> Result<(), ServiceError>,
    ) -> Result<BackupReport, ServiceError> {
        match place.is_dir() {
            true => self.backup_in(place, keys, told),
            false => self.backup_as(place.to_owned(), keys, told),
        }
    }

    /// The same into a folder, which must be there.
    pub(super) fn backup_in(
        &self,
        folder: &Path,
        keys: Option<&KeysInside<'_>>,
        told: &dyn Fn(&str, u64) -> Result<(), ServiceError>,
    ) -> Result<BackupReport, ServiceError> {
        self.backup_as(folder.join(self.backup_name(&stamp(self.now()))), keys, told)
    }

    fn backup_as(
        &self,
        file: PathBuf,
        keys: Option<&KeysInside<'_>>,
        told: &dyn Fn(&str, u64) -> Result<(), ServiceError>,
    ) -> Result<BackupReport, ServiceError> {
        let (began, now) = (Instant::now(), self.now());
        match std::fs::symlink_metadata(&file) {
            Ok(_) => {
                return Err(ServiceError::usage(
                    format!("{} is there already", file.display()),
                    "nothing is written over: name another file, or a folder, where it gets a name of its own",
                ));
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(at(&file)(error)),
        }
        let inside = keys.map(|keys| self.inside(keys)).transpose()?;
        let mut part = file.clone().into_os_string();
        part.push(PART);
        let part = PathBuf::from(part);
        let written = self.write_backup(&part, &now.to_string(), inside.as_ref(), told).and_then(|()| {
            let backup = Backup::open(&part)?;
            backup.verify(told)?;
            inside.as_ref().map_or(Ok(()), |inside| inside.verify(&backup))?;
            appear(&part, &file)?;
            Ok(backup)
        });
        let backup = match written {
            Ok(backup) => backup,
            // What another process writes is its own.
            Err(error @ (ServiceError::Held { .. } | ServiceError::Usage { .. })) => return Err(error),
            Err(error) => {
                // Half a backup is none.
                match std::fs::remove_file(&part) {
                    // Where no file can have that name, there is none.
                    Err(left) if part.exists() => {
                        tracing::warn!(file = %part.display(), %left, "half a backup could not be removed");
                    }
                    _ => {}
                }
                return Err(error);
            }
        };
        let mut report = BackupReport {
            bytes: backup.bytes,
            rows: rows(&backup.manifest),
            taken: backup.manifest.taken.clone(),
            seconds: began.elapsed().as_secs_f64(),
            keys_inside: backup.manifest.keys.included.as_ref().map(KeysIncluded::words),
            not_restorable: backup.manifest.keys.not_restorable(&[]),
            not_noted: None,
            file,
        };
        let noted = self.must_be_active().and_then(|()| self.note_backup(&report));
        report.not_noted = noted.err().map(|error| error.to_string());
        Ok(report)
    }

    fn backup_name(&self, stamp: &str) -> String {
        format!("{}{stamp}{}", self.backups_begin(), NAME.1)
    }

    fn backups_begin(&self) -> String {
        let id: String = self.installation_id().chars().take(NAMED_BY).collect();
        format!("{}{id}-", NAME.0)
    }

    fn write_backup(
        &self,
        part: &Path,
        taken: &str,
        inside: Option<&Inside<'_>>,
        told: &dyn Fn(&str, u64) -> Result<(), ServiceError>,
    ) -> Result<(), ServiceError> {
        let mut writer = Writer::begin(part)?;
        let (mut tables, mut gist) = (Vec::new(), Gist::default());
        let mut from = self.store().snapshot()?;
        for form in TableForm::all() {
            let mut count = 0;
            let content = form.read(&mut *from, &mut |rows| {
                gist.note(&form, rows);
                count += rows.len() as u64;
                told(&form.name, count)?;
                writer.block(rows.len() as u64, rows.packed())
            })?;
            let part = writer.end_part();
            tables.push(TablePart::new(form, content, part));
        }
        drop(from);
        let mut keys = KeysNeeded::new(&gist.sealed, &gist.settings);
        keys.included = inside.map(|inside| self.write_keys(&mut writer, inside)).transpose()?;
        let url = self.named().map_or(EMBEDDED, |named| &named.url);
        writer.end(&Manifest {
            form: super::file::FORM,
            program: env!("CARGO_PKG_VERSION").to_owned(),
            schema: schema_versions().map(|(kind, version)| (kind.to_owned(), version)).into(),
            database: kind_of(url).to_owned(),
            installation: if gist.installation.is_empty() {
                return Err(StoreError::NotInstalled.into());
            } else {
                gist.installation
            },
            epoch: gist.epoch,
            taken: taken.to_owned(),
            host: Some(crate::process::host()).filter(|host| !host.is_empty()),
            tables,
            keys,
        })
    }

    fn note_backup(&self, report: &BackupReport) -> Result<(), ServiceError> {
        // Whoever reads the note has another working directory.
        let folder = report.file.parent().filter(|folder| !folder.as_os_str().is_empty());
        let folder = folder.unwrap_or(Path::new("."));
        let folder = std::fs::canonicalize(folder).map_err(at(folder))?;
        let place = folder.join(report.file.file_name().unwrap_or_default());
        let file = place.display().to_string();
        let mut settings = vec![note_taken(Taken {
            when: report.taken.clone(),
            file: file.clone(),
            bytes: report.bytes,
            not_restorable: report.not_restorable.clone(),
        })?];
        settings.extend(self.note_folder(&folder, Some(&place))?);
        let mut events =
            vec![self.audit(&events::BACKED_UP, &file, report.not_restorable.as_deref().unwrap_or(""))];
        if let Some(words) = &report.keys_inside {
            events.push(self.audit(&events::KEYS_EXPORTED, &file, &format!("in a backup, for {words}")));
        }
        self.record(&ServiceChanges { settings, events, ..ServiceChanges::default() })
    }

    /// The backups of this installation in a folder that have a name of ours, the oldest first.
    pub(super) fn backups_in(&self, folder: &Path) -> Result<Vec<PathBuf>, ServiceError> {
        let mut found = self.named_in(folder, NAME.1)?;
        // The name says when; the manifest, whose.
        found.retain(|file| {
            Backup::open(file).is_ok_and(|backup| backup.manifest.installation == self.installation_id())
        });
        Ok(found)
    }

    /// What backups of this installation left in a folder that were killed.
    pub(super) fn halves_in(&self, folder: &Path) -> Result<Vec<PathBuf>, ServiceError> {
        let mut found = self.named_in(folder, &format!("{}{PART}", NAME.1))?;
        found.retain(|file| is_left(file));
        Ok(found)
    }

    fn named_in(&self, folder: &Path, end: &str) -> Result<Vec<PathBuf>, ServiceError> {
        let begin = self.backups_begin();
        let mut found = Vec::new();
        for entry in std::fs::read_dir(folder).map_err(at(folder))? {
            let name = entry.map_err(at(folder))?.file_name().to_string_lossy().into_owned();
            if name.starts_with(&begin) && name.ends_with(end) {
                found.push(folder.join(&name));
            }
        }
        found.sort_unstable();
        Ok(found)
    }
}
