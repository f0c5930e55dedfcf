//! The embedded store: SQLite in WAL mode, one writer, readers beside it.
//!
//! Deliberately absent: the system's SQLite library (too old, with a known corruption bug): it is bundled.

mod backup;
mod bulk;
mod facts;
#[cfg(feature = "limit")]
pub mod limit;
mod load;
mod open;
#[cfg(test)]
mod plans;
mod query;
mod sql;
mod write;

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use onesync_engine::Changes;
use onesync_model::Time;
use rusqlite::{
    Connection, ErrorCode, OptionalExtension as _, Transaction, TransactionBehavior, params_from_iter,
};

use crate::backup::BackedUp;
use crate::bulk::Bulk;
use crate::error::StoreError;
use crate::facts::{Answer, DatabaseFacts, TableSize, Tidied};
use crate::moved;
use crate::relational::{SqlReader, changes_must_last, counts, servers, service_rows, trim_events};
use crate::rows::{InstallationRow, Retention, ServiceChanges};
use crate::schema::SchemaState;
use crate::servers::{Lease, ServerRow};
use crate::store::{Store, StoreReader};

/// Idle read connections that are kept: as many as threads usually read at once.
const READERS_KEPT: usize = 4;

/// The newest version of its schema.
pub(crate) const SCHEMA: u32 = open::MIGRATIONS.len() as u32;

/// The embedded store.
pub struct SqliteStore {
    path: PathBuf,
    writer: Mutex<Connection>,
    readers: Mutex<Vec<Connection>>,
    /// Bytes of the log beyond which it is to come to an end.
    log_max: u64,
}

fn failed(doing: &'static str) -> impl Fn(rusqlite::Error) -> StoreError {
    move |error| match error.sqlite_error_code() {
        Some(ErrorCode::ReadOnly) => StoreError::ReadOnly { doing },
        Some(ErrorCode::DiskFull) => StoreError::Full { doing },
        // The last: another process that begins with the database, or ends, keeps it for itself, and was stopped in that.
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked | ErrorCode::FileLockingProtocolFailed) => {
            StoreError::Busy { doing }
        }
        Some(ErrorCode::ConstraintViolation) => StoreError::Conflict(format!("{error}, while {doing}")),
        Some(ErrorCode::SystemIoFailure | ErrorCode::CannotOpen | ErrorCode::PermissionDenied) => {
            StoreError::Disk { doing, message: error.to_string() }
        }
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
            StoreError::Corrupt { doing, message: error.to_string() }
        }
        _ => StoreError::Database { doing, message: error.to_string() },
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panic in a transaction has rolled it back: what the mutex guards is sound.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl SqliteStore {
    /// Opens a database, making it when the file does not exist, and brings its schema up to date.
    ///
    /// # Errors
    /// When the file is not ours, is newer than this program, or cannot be written; then it is left as it was.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let store = Self::open_any(path)?;
        moved::check(&store)?;
        Ok(store)
    }

    /// Opens a database also when the installation has left it, or was on its way into it.
    ///
    /// # Errors
    /// As [`SqliteStore::open`].
    pub fn open_any(path: &Path) -> Result<Self, StoreError> {
        let writer = open::writer(path)?;
        Ok(Self {
            path: path.to_owned(),
            writer: Mutex::new(writer),
            readers: Mutex::new(Vec::new()),
            log_max: open::LOG_MAX,
        })
    }

    /// How far the schema of a database in a file is; nothing is changed.
    ///
    /// # Errors
    /// When the file is not ours or cannot be read, is newer than this program, or was made by a modified one.
    pub fn schema(path: &Path) -> Result<SchemaState, StoreError> {
        open::schema(path)
    }

    /// Works on whole tables of a database whose schema is that of a version; an empty one gets it. For what an older
    /// program has written out: this one brings it up to date afterwards.
    ///
    /// # Errors
    /// As [`SqliteStore::open`], and when the work fails.
    pub fn of_version(
        path: &Path,
        version: u32,
        work: &mut dyn FnMut(&mut dyn Bulk) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        work(&mut bulk::SqliteBulk::of_version(path, version)?)
    }

    /// Writes one state of a database, of whatever version, into a new file, and verifies it. Nobody may write
    /// meanwhile.
    ///
    /// # Errors
    /// When one of both cannot be read or written, or the copy is not what was copied.
    pub fn backup(path: &Path, into: &Path) -> Result<Vec<BackedUp>, StoreError> {
        backup::backup(path, into)
    }

    /// Reads a backup through and counts its rows.
    ///
    /// # Errors
    /// When it is damaged.
    pub fn verify_backup(file: &Path) -> Result<Vec<BackedUp>, StoreError> {
        backup::verify(file)
    }

    /// Forgets what the service has noted of all connectors under a name, in a file of whatever version: for one that
    /// was put back from a backup.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn forget_state(file: &Path, name: &str) -> Result<(), StoreError> {
        backup::forget(file, name)
    }

    /// Raises the epoch to a number, in a file of whatever version: for one that was put back from a backup, so that
    /// whoever held an epoch before holds none of its.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn raise_epoch(file: &Path, epoch: u64) -> Result<(), StoreError> {
        backup::raise_epoch(file, epoch)
    }

    /// Writes one state of a database, of whatever version, into a new file; batches may go on meanwhile.
    ///
    /// # Errors
    /// When one of both cannot be read or written.
    pub fn copy_as_it_is(path: &Path, into: &Path) -> Result<(), StoreError> {
        backup::copy(path, into)
    }

    /// Puts the contents of another file into a database, of whatever version; whole or not at all.
    ///
    /// # Errors
    /// When one of both cannot be read or written, or others hold the database; then it is as it was.
    pub fn replace(path: &Path, with: &Path) -> Result<(), StoreError> {
        backup::replace(path, with)
    }

    fn temporary(&self, place: &str) -> Result<(), StoreError> {
        let doing = "setting up the database connection";
        lock(&self.writer).pragma_update(None, "temp_store", place).map_err(failed(doing))
    }

    /// Runs one write transaction. With `durable` it is on the disk when this returns; what was committed before it
    /// is then, too.
    fn transaction<T>(
        &self,
        doing: &'static str,
        durable: bool,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.try_transaction(doing, durable, work).map_err(|error| moved::why_fenced(self, error))
    }

    fn try_transaction<T>(
        &self,
        doing: &'static str,
        durable: bool,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let mut writer = lock(&self.writer);
        // Cannot be set inside a transaction; set each time, so that a failure leaves nothing behind.
        let synchronous = if durable { "FULL" } else { "NORMAL" };
        writer.pragma_update(None, "synchronous", synchronous).map_err(failed(doing))?;
        let tx = writer.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed(doing))?;
        let done = work(&tx)?;
        tx.commit().map_err(failed(doing))?;
        Ok(done)
    }
}

fn check_epoch(tx: &Transaction<'_>, ours: u64) -> Result<(), StoreError> {
    let doing = "checking the epoch";
    let mut statement = tx.prepare_cached(sql::EPOCH).map_err(failed(doing))?;
    let theirs: Option<i64> = statement.query_row([], |row| row.get(0)).optional().map_err(failed(doing))?;
    match theirs {
        None => Err(StoreError::NotInstalled),
        Some(theirs) if theirs as u64 == ours => Ok(()),
        Some(theirs) => Err(StoreError::Fenced { ours, theirs: theirs as u64 }),
    }
}

/// A snapshot of the database.
struct SqliteReader<'s> {
    store: &'s SqliteStore,
    /// `None` only while it is dropped.
    connection: Option<Connection>,
}

impl SqliteReader<'_> {
    fn connection(&self) -> Result<&Connection, StoreError> {
        let closed = || StoreError::Database { doing: "reading", message: "the reader is closed".to_owned() };
        self.connection.as_ref().ok_or_else(closed)
    }
}

impl Drop for SqliteReader<'_> {
    fn drop(&mut self) {
        let Some(connection) = self.connection.take() else { return };
        // A connection whose snapshot cannot be ended is not used again.
        if connection.execute_batch("ROLLBACK").is_ok() {
            let mut readers = lock(&self.store.readers);
            if readers.len() < READERS_KEPT {
                readers.push(connection);
            }
        }
    }
}

impl Store for SqliteStore {
    fn reader(&self) -> Result<Box<dyn StoreReader + '_>, StoreError> {
        let doing = "beginning a snapshot";
        let kept = lock(&self.readers).pop();
        let connection = match kept {
            Some(connection) => connection,
            None => open::reader(&self.path)?,
        };
        connection.execute_batch("BEGIN").map_err(failed(doing))?;
        let begun =
            connection.prepare_cached(sql::TOUCH).and_then(|mut touch| touch.query_row([], |_| Ok(())));
        begun.map_err(failed(doing))?;
        Ok(Box::new(SqlReader(SqliteReader { store: self, connection: Some(connection) })))
    }

    fn write(&self, epoch: u64, changes: &Changes, service: &ServiceChanges) -> Result<(), StoreError> {
        self.transaction("writing", changes_must_last(changes, service), |tx| {
            check_epoch(tx, epoch)?;
            let mut batch = write::Batch::new(tx);
            batch.apply(changes)?;
            counts(&mut query::Writing(tx), &batch.tallies)?;
            service_rows(&mut query::Writing(tx), service)
        })
    }

    fn install(&self, installation: &InstallationRow) -> Result<(), StoreError> {
        let doing = "making the installation";
        self.transaction(doing, true, |tx| {
            let there: Option<String> =
                tx.query_row(sql::INSTALLATION, [], |row| row.get(0)).optional().map_err(failed(doing))?;
            if let Some(id) = there {
                return Err(StoreError::Installed(id));
            }
            let (epoch, created) = (installation.epoch as i64, installation.created.ticks());
            tx.execute(sql::INSTALL, (&installation.id, epoch, installation.staging, created))
                .map(|_| ())
                .map_err(failed(doing))
        })
    }

    fn take_over(
        &self,
        seen: u64,
        server: &ServerRow,
        installation: Option<&str>,
    ) -> Result<u64, StoreError> {
        let doing = "taking over";
        self.transaction(doing, true, |tx| {
            check_epoch(tx, seen)?;
            tx.execute(sql::EPOCH_RAISE, []).map_err(failed(doing))?;
            if let Some(id) = installation {
                tx.execute(sql::INSTALLATION_NAME, [id]).map_err(failed(doing))?;
            }
            let row = servers::row(server, seen + 1);
            tx.execute(sql::SERVER_PUT, params_from_iter(&row)).map_err(failed(doing))?;
            Ok(seen + 1)
        })
    }

    fn enrol(&self, server: &ServerRow) -> Result<(), StoreError> {
        let doing = "noting a server";
        self.transaction(doing, true, |tx| {
            servers::may_enrol(server, query::one(tx, sql::LEASE, &[], doing)?)?;
            let row = servers::row(server, server.epoch);
            tx.execute(sql::SERVER_PUT, params_from_iter(&row)).map(|_| ()).map_err(failed(doing))
        })
    }

    fn renew(&self, server: &ServerRow) -> Result<Lease, StoreError> {
        let doing = "renewing the lease";
        self.transaction(doing, false, |tx| {
            let found = query::one(tx, sql::SERVER_RENEW, &servers::row(server, server.epoch), doing)?;
            servers::renewed(server, found, query::one(tx, sql::LEASE, &[], doing)?)
        })
    }

    fn lease(&self) -> Result<Lease, StoreError> {
        let doing = "asking who may write";
        let found = query::one(&lock(&self.writer), sql::LEASE, &[], doing)?;
        found.ok_or(StoreError::NotInstalled)
    }

    fn take_epoch(&self, seen: u64) -> Result<u64, StoreError> {
        let doing = "taking over";
        self.transaction(doing, true, |tx| {
            check_epoch(tx, seen)?;
            tx.execute(sql::EPOCH_RAISE, []).map_err(failed(doing))?;
            Ok(seen + 1)
        })
    }

    fn trim(&self, epoch: u64, retention: &Retention, limit: usize) -> Result<u64, StoreError> {
        let doing = "deleting what is old";
        self.transaction(doing, false, |tx| {
            check_epoch(tx, epoch)?;
            let limit = i64::try_from(limit).unwrap_or(i64::MAX);
            let mut deleted = trim_events(&mut query::Writing(tx), retention.events_before, limit)?;
            for (sql, before) in [
                (sql::HISTORY_TRIM, retention.history_before.ticks()),
                (sql::RUN_TRIM, retention.runs_before.ticks()),
                (sql::EXPORTED_TRIM, retention.exported_before),
            ] {
                deleted += tx.execute(sql, (before, limit)).map_err(failed(doing))? as u64;
            }
            Ok(deleted)
        })
    }

    fn begin_load(&self, epoch: u64) -> Result<(), StoreError> {
        self.transaction("preparing for a first load", false, |tx| {
            check_epoch(tx, epoch)?;
            load::begin(tx)
        })
    }

    fn end_load(&self, epoch: u64) -> Result<(), StoreError> {
        if load::complete(&lock(&self.writer))? {
            return Ok(());
        }
        // What is sorted grows with the directory: it belongs into a file.
        self.temporary("FILE")?;
        let built = self.transaction("building the indices of links", false, |tx| {
            check_epoch(tx, epoch)?;
            load::end(tx)
        });
        self.temporary("MEMORY")?;
        built
    }

    fn log_is_long(&self) -> bool {
        let mut log = self.path.clone().into_os_string();
        log.push("-wal");
        std::fs::metadata(log).is_ok_and(|file| file.len() > self.log_max)
    }

    fn copy_to(&self, file: &Path) -> Result<(), StoreError> {
        // A connection of its own, so that batches go on meanwhile.
        let connection = open::writer(&self.path)?;
        let copied = connection.execute(sql::COPY, [file.to_string_lossy()]);
        copied.map(|_| ()).map_err(failed("copying the database"))
    }

    fn bulk(&self) -> Result<Box<dyn Bulk + '_>, StoreError> {
        Ok(Box::new(bulk::SqliteBulk::open(&self.path)?))
    }

    fn snapshot(&self) -> Result<Box<dyn Bulk + '_>, StoreError> {
        Ok(Box::new(bulk::SqliteBulk::snapshot(&self.path)?))
    }

    fn facts(&self) -> Result<DatabaseFacts, StoreError> {
        facts::facts(&open::reader(&self.path)?, &self.path)
    }

    fn table_sizes(&self) -> Result<Vec<TableSize>, StoreError> {
        facts::table_sizes(&open::reader(&self.path)?)
    }

    fn query(&self, sql: &str, limit: usize) -> Result<Answer, StoreError> {
        facts::query(&open::reader(&self.path)?, sql, limit)
    }

    fn history_before(&self, share: f64) -> Result<Option<Time>, StoreError> {
        facts::time(&open::reader(&self.path)?, sql::HISTORY_AT, &[&share])
    }

    fn tidy(&self) -> Result<Tidied, StoreError> {
        facts::tidy(&lock(&self.writer))
    }

    fn checkpoint(&self) -> Result<(), StoreError> {
        lock(&self.writer).query_row(sql::CHECKPOINT, [], |_| Ok(())).map_err(failed("checkpointing"))
    }
}

#[cfg(test)]
mod tests {
    use onesync_model::ConnectorId;

    use super::*;

    #[test]
    fn the_log_comes_to_an_end_although_something_is_always_read() {
        let folder = tempfile::tempdir().unwrap();
        let mut store = SqliteStore::open(&folder.path().join("one.db")).unwrap();
        store.log_max = 400_000;
        for (name, value) in [("wal_autocheckpoint", 10), ("journal_size_limit", 100_000)] {
            lock(&store.writer).pragma_update(None, name, value).unwrap();
        }
        let row = InstallationRow { id: "i".to_owned(), epoch: 1, staging: true, created: Time::default() };
        store.install(&row).unwrap();
        let mut longest = 0;
        for round in 0..200u8 {
            let states = vec![(ConnectorId(1), "a".to_owned(), Some(vec![round; 20_000]))];
            let batch = Changes { states, ..Changes::default() };
            crate::apply_and(&store, 1, 2, &batch, |ahead| {
                // Reads what is being written: the reader is there before the writing and after it.
                Ok::<_, StoreError>(onesync_engine::Reader::state(ahead, ConnectorId(1), "a").unwrap())
            })
            .unwrap();
            let log = std::fs::metadata(folder.path().join("one.db-wal")).unwrap().len();
            longest = longest.max(log);
        }
        assert!(longest < 2 * store.log_max, "{longest}");
    }

    #[test]
    fn a_durable_transaction_syncs_and_the_next_one_does_not() {
        let folder = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(&folder.path().join("one.db")).unwrap();
        let level = |durable| {
            let read = |tx: &Transaction<'_>| {
                tx.pragma_query_value(None, "synchronous", |row| row.get::<_, i64>(0))
                    .map_err(failed("testing"))
            };
            store.transaction("testing", durable, read).unwrap()
        };
        assert_eq!((level(false), level(true), level(false)), (1, 2, 1));
    }
}
