//! A backup back into an empty database of whatever kind.
//!
//! It is read through before anything is written. The database is marked while it is filled, and serves nobody; then
//! what it gives back is compared with the backup, it is marked as a copy, and only then does the home name it. Whoever
//! is killed in between runs the same command again: a note in the home and the mark in the database tell how far it was.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use onesync_model::Time;
use onesync_store::{
    Bulk, MOVE_MARK, MoveMark, ServiceChanges, SqliteStore, Store, StoreError, database_setting,
};
use serde::{Deserialize, Serialize};

use super::at;
use super::file::Backup;
use super::keys::KeysIncluded;
use super::take::kind_of;
use crate::clock::Clock;
use crate::copy::{COPY_OF, CopyOf};
use crate::database::{DatabaseServer, EMBEDDED, Named, Opening, Options, place};
use crate::error::ServiceError;
use crate::events;
use crate::flushed::write_flushed;
use crate::home::{Home, UNFINISHED_NAME, restrict_file};
use crate::sync::FULL_SYNC_NEEDED;
use crate::verified::distrusted;
use crate::work::WorkLock;

/// The note in the home while a restore is under way.
const NOTE: &str = "restore.unfinished";
/// The embedded database while it is filled.
const UNFINISHED: &str = "onesync.db.restore";

/// How far a restore is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Restoring {
    /// The backup is read: the table, and how many rows of it. Nothing was written yet.
    Reading(String, u64),
    /// Rows are written.
    Filling(String, u64),
    /// What the database gives back is compared with the backup.
    Comparing(String, u64),
    /// It is marked as a copy.
    Marking,
    /// The home is to name it.
    Naming,
}

/// Hears how far it is, and may end it.
pub type Heard<'h> = &'h (dyn Fn(Restoring) -> Result<(), ServiceError> + Sync);

/// What was restored.
#[derive(Clone, Debug, Serialize)]
pub struct RestoreReport {
    /// The installation.
    pub installation: String,
    /// The epoch that it had.
    pub epoch: u64,
    /// The state that it is in.
    pub taken: String,
    /// Where it is.
    pub to: String,
    /// Rows.
    pub rows: u64,
    /// The version of the schema that it had, and that it has now, where these are not the same.
    pub upgraded: Option<(u32, u32)>,
    /// The ids of the keys that its secrets need.
    pub keys: Vec<String>,
    /// What opens the keys in the backup, where it has some.
    pub keys_inside: Option<String>,
    /// How long it took.
    pub seconds: f64,
}

/// What is noted in the home: which backup goes where.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
struct Note {
    backup: String,
    url: String,
}

impl Note {
    fn read(home: &Home) -> Result<Option<Self>, ServiceError> {
        let file = home.folder().join(NOTE);
        match std::fs::read_to_string(&file) {
            Ok(text) => Ok(serde_json::from_str(&text).ok()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(at(&file)(error)),
        }
    }

    fn write(&self, home: &Home) -> Result<(), ServiceError> {
        let file = home.folder().join(NOTE);
        let text = serde_json::to_string(self).map_err(|error| ServiceError::Internal(error.to_string()))?;
        write_flushed(&file, &text)
            .and_then(|()| std::fs::File::open(home.folder())?.sync_all())
            .map_err(at(&file))
    }
}

impl Home {
    /// Whether a restore into this home has not come to its end.
    pub(crate) fn is_being_restored(&self) -> bool {
        self.folder().join(NOTE).exists()
    }
}

/// Puts a backup into an empty database that a home without an installation names from then on. It is a copy then.
///
/// # Errors
/// When the backup is damaged or of a newer program, or the home or the database holds something: nothing was changed
/// then. When the database fails, or `heard` ends it: the same command goes on.
pub fn restore(
    home: &Home,
    clock: &dyn Clock,
    file: &Path,
    to: &DatabaseServer,
    heard: Heard<'_>,
) -> Result<RestoreReport, ServiceError> {
    put_back(home, clock, file, to, heard, true)
}

/// The same; the system's loggers are `told`, unless it is into a place that goes again.
pub(super) fn put_back(
    home: &Home,
    clock: &dyn Clock,
    file: &Path,
    to: &DatabaseServer,
    heard: Heard<'_>,
    told: bool,
) -> Result<RestoreReport, ServiceError> {
    let began = Instant::now();
    to.check()?;
    let backup = Backup::open(file)?;
    let older = backup.older_schema(kind_of(&to.url))?;
    let note = Note { backup: backup.id.clone(), url: to.url.clone() };
    home.must_be_no_file()?;
    let noted = Note::read(home)?;
    if home.exists() && noted.as_ref() != Some(&note) {
        return Err(ServiceError::usage(
            format!("{} holds an installation already: nothing was changed", home.folder().display()),
            "restore into another folder (`--home FOLDER`), or move what is there away first",
        ));
    }
    backup.verify(&|table, rows| heard(Restoring::Reading(table.to_owned(), rows)))?;
    home.make_folder()?;
    let _lock = WorkLock::take(home.folder(), "restore", clock.now())?;
    let work = Work { home, clock, backup: &backup, older, heard, told };
    // Killed when the home named it already: all is done.
    if !home.exists() {
        work.look(to, noted.as_ref() == Some(&note))?;
        // An activation that was begun with what this home had before has nothing to do with what comes; nor has what it saw in
        // that, or wrote at its targets.
        crate::activate::Note::remove(home)?;
        home.forget_witness()?;
        crate::marker::forget(home)?;
        note.write(home)?;
        match to.url.as_str() {
            EMBEDDED => work.embedded()?,
            _ => work.on_server(to)?,
        }
    }
    let note = home.folder().join(NOTE);
    std::fs::remove_file(&note).map_err(at(&note))?;
    let Backup { manifest, .. } = &backup;
    Ok(RestoreReport {
        installation: manifest.installation.clone(),
        epoch: manifest.epoch,
        taken: manifest.taken.clone(),
        to: place(home.folder(), &to.url),
        rows: manifest.tables.iter().map(|table| table.rows).sum(),
        upgraded: older.map(|version| (version, known(&to.url))),
        keys: manifest.keys.sealed_by.clone(),
        keys_inside: manifest.keys.included.as_ref().map(KeysIncluded::words),
        seconds: began.elapsed().as_secs_f64(),
    })
}

fn known(url: &str) -> u32 {
    let kind = kind_of(url);
    onesync_store::schema_versions()
        .into_iter()
        .find(|(name, _)| *name == kind)
        .map_or(0, |(_, version)| version)
}

/// One restore.
struct Work<'w> {
    home: &'w Home,
    clock: &'w dyn Clock,
    backup: &'w Backup,
    /// The version of the backup's schema, where that is older than this program's.
    older: Option<u32>,
    heard: Heard<'w>,
    /// Whether the system's loggers are told.
    told: bool,
}

impl Work<'_> {
    /// Refuses a database that holds anything but what this very restore left in it.
    fn look(&self, to: &DatabaseServer, begun: bool) -> Result<(), ServiceError> {
        if to.url == EMBEDDED {
            return Ok(()); // the home has none
        }
        let options = to.options()?;
        let state = options.schema()?;
        let (mark, holds) = match state.found {
            0 => return Ok(()),
            version if state.is_older() => (mark_of_older(&options, version)?, None),
            _ => {
                let store = options.open(Opening::Any)?;
                let holds = store.reader()?.installation()?.map(|row| row.id);
                (MoveMark::of(&*store)?, holds)
            }
        };
        let what = match (mark, holds) {
            (None, None) if !state.is_older() && self.older.is_none() => return Ok(()),
            (None, None) if !state.is_older() => {
                return Err(ServiceError::usage(
                    format!(
                        "{} has the tables of this program already, and the backup is of an older one",
                        to.url
                    ),
                    "name a database without tables: they are made as they were then, and brought up to date",
                ));
            }
            (Some(MoveMark::Restoring { backup }), _) if backup == self.backup.id => return Ok(()),
            (Some(MoveMark::Arrived { .. }), Some(id))
                if begun && id == self.backup.manifest.installation =>
            {
                return Ok(());
            }
            (Some(MoveMark::Restoring { .. }), _) => {
                "what a restore of another backup left that was cut off".to_owned()
            }
            (Some(MoveMark::Filling { .. }), _) => "what a move left that was cut off".to_owned(),
            (Some(MoveMark::Moved { when, to }), _) => {
                format!("an installation that left it at {when}, for {to}")
            }
            (_, Some(id)) => format!("installation {id}"),
            _ => format!("tables of an older version of this program (schema {})", state.found),
        };
        Err(ServiceError::usage(
            format!("{} holds {what}: nothing was changed there", to.url),
            "name an empty database; one that nobody needs any more can be dropped and created anew",
        ))
    }

    fn embedded(&self) -> Result<(), ServiceError> {
        let file = self.home.folder().join(UNFINISHED);
        for suffix in ["", "-wal", "-shm", "-journal"] {
            let left = PathBuf::from(format!("{}{suffix}", file.display()));
            match std::fs::remove_file(&left) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(at(&left)(error)),
                _ => {}
            }
        }
        match self.older {
            Some(version) => {
                let mut result = Ok(());
                SqliteStore::of_version(&file, version, &mut |bulk| self.fill_older(bulk, &mut result))?;
                result?;
            }
            None => self.fill(&mut *SqliteStore::open_any(&file)?.bulk()?)?,
        }
        let store: Arc<dyn Store> = Arc::new(SqliteStore::open_any(&file)?);
        restrict_file(&file).map_err(at(&file))?;
        self.mark(&*store)?;
        // The log is brought over and removed.
        drop(store);
        (self.heard)(Restoring::Naming)?;
        self.home.appear(&file, &self.home.database())
    }

    fn on_server(&self, to: &DatabaseServer) -> Result<(), ServiceError> {
        let kept = to.keep_password(self.home.folder(), None)?;
        let done = self.to_server(to);
        if let (Err(_), Some(password)) = (&done, kept) {
            // The same command brings it again, and nothing here names its database yet.
            let file = self.home.folder().join(password);
            match std::fs::remove_file(&file) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    tracing::warn!(file = %file.display(), %error, "the password could not be removed");
                }
                _ => {}
            }
        }
        done
    }

    fn to_server(&self, to: &DatabaseServer) -> Result<(), ServiceError> {
        let options = to.options()?;
        let state = options.schema()?;
        let whole = state.found > 0 && !state.is_older() && {
            let store = options.open(Opening::Any)?;
            matches!(MoveMark::of(&*store)?, Some(MoveMark::Arrived { .. }))
        };
        if !whole {
            match self.older {
                // What was filled and compared is brought up to date; nothing else is.
                Some(version) if state.found > version => {}
                Some(version) => {
                    let mut result = Ok(());
                    options.of_version(version, &mut |bulk| self.fill_older(bulk, &mut result))?;
                    result?;
                }
                None => self.fill(&mut *options.open(Opening::Any)?.bulk()?)?,
            }
            self.mark(&*options.open(Opening::Any)?)?;
        }
        (self.heard)(Restoring::Naming)?;
        let named = Named {
            url: to.url.clone(),
            installation: self.backup.manifest.installation.clone(),
            password: None,
            joined: false,
        };
        let unfinished = self.home.folder().join(UNFINISHED_NAME);
        named.write(&unfinished)?;
        self.home.appear(&unfinished, &Named::file(self.home.folder()))
    }

    fn begin(&self, to: &mut dyn Bulk) -> Result<(), StoreError> {
        to.set(MOVE_MARK, &MoveMark::Restoring { backup: self.backup.id.clone() }.text())
    }

    fn fill(&self, to: &mut dyn Bulk) -> Result<(), ServiceError> {
        self.begin(to)?;
        to.begin_fill()?;
        self.rows(to)?;
        to.end_fill()?;
        self.compare(to)
    }

    /// The same into tables of another version, which have other indices, and perhaps rows of their own.
    fn fill_older(&self, to: &mut dyn Bulk, result: &mut Result<(), ServiceError>) -> Result<(), StoreError> {
        self.begin(to)?;
        self.backup.manifest.tables.iter().try_for_each(|table| table.form().empty(to))?;
        *result = self.rows(to).and_then(|()| self.compare(to));
        Ok(())
    }

    fn rows(&self, to: &mut dyn Bulk) -> Result<(), ServiceError> {
        for table in &self.backup.manifest.tables {
            let (form, mut count) = (table.form(), 0);
            (self.heard)(Restoring::Filling(table.name.clone(), 0))?;
            self.backup.table(table, &mut |rows| {
                form.add(to, rows)?;
                count += rows.len() as u64;
                (self.heard)(Restoring::Filling(table.name.clone(), count))
            })?;
        }
        Ok(())
    }

    fn compare(&self, to: &mut dyn Bulk) -> Result<(), ServiceError> {
        for table in &self.backup.manifest.tables {
            let mut count = 0;
            let content = table.form().read(to, &mut |rows| {
                count += rows.len() as u64;
                (self.heard)(Restoring::Comparing(table.name.clone(), count))
            })?;
            if !table.holds(content) {
                return Err(StoreError::Conflict(format!(
                    "table `{}` is not what the backup holds ({} rows, {} were written): somebody else writes to this database",
                    table.name, content.rows, table.rows
                ))
                .into());
            }
        }
        Ok(())
    }

    /// Says in the database that it is a copy, and that it is whole.
    fn mark(&self, store: &dyn Store) -> Result<(), ServiceError> {
        (self.heard)(Restoring::Marking)?;
        let manifest = &self.backup.manifest;
        let (now, from) = (self.clock.now(), self.backup.place().display().to_string());
        let changes = {
            let reader = store.reader()?;
            let mut changes = distrusted(&*reader)?;
            if self.older.is_some() {
                // What this program decides differently is seen in the plan.
                let all = reader.connectors()?.into_iter();
                changes.states.extend(all.map(|row| (row.id, FULL_SYNC_NEEDED.to_owned(), Some(vec![1]))));
            }
            changes
        };
        let settings = vec![(COPY_OF.to_owned(), self.copy_of(now)?)];
        let text = format!("of installation {}, taken at {}", manifest.installation, manifest.taken);
        let events = vec![events::row(now, &events::RESTORED, &from, &text)];
        let service = ServiceChanges { staging: Some(true), settings, events, ..ServiceChanges::default() };
        store.write(manifest.epoch, &changes, &service)?;
        if self.told {
            events::announce(store, &service.events);
        }
        store.bulk()?.set(MOVE_MARK, &MoveMark::Arrived { when: now.to_string(), from }.text())?;
        Ok(())
    }

    fn copy_of(&self, now: Time) -> Result<String, ServiceError> {
        let manifest = &self.backup.manifest;
        let copy = CopyOf {
            installation: manifest.installation.clone(),
            epoch: manifest.epoch,
            taken: manifest.taken.clone(),
            restored: now.to_string(),
            host: manifest.host.clone(),
            keys_in: manifest.keys.included.as_ref().map(|_| {
                let file = self.backup.place();
                std::path::absolute(file).unwrap_or_else(|_| file.to_owned()).display().to_string()
            }),
            by_recipients: manifest.keys.included.as_ref().is_some_and(|keys| !keys.recipients.is_empty()),
        };
        serde_json::to_string(&copy).map_err(|error| ServiceError::Internal(error.to_string()))
    }
}

/// The mark in a database of an older version.
fn mark_of_older(options: &Options, version: u32) -> Result<Option<MoveMark>, ServiceError> {
    let mut found = None;
    options.of_version(version, &mut |bulk| {
        found = database_setting(bulk, MOVE_MARK)?;
        Ok(())
    })?;
    Ok(found.as_deref().and_then(MoveMark::parse))
}
