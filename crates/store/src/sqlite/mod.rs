//! The embedded store: SQLite in WAL mode, one writer, readers beside it.
//!
//! Deliberately absent: the system's SQLite library (too old, with a known corruption bug): it is bundled.

mod engine_reads;
mod row;
mod service_reads;
mod write;

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

use onesync_engine::{Changes, ReadError};
use rusqlite::{Connection, OpenFlags, OptionalExtension as _, TransactionBehavior};

use crate::error::StoreError;
use crate::rows::{InstallationRow, Retention, ServiceChanges};
use crate::store::{Store, StoreReader};

/// Marks the file as ours (`PRAGMA application_id`): "1Syn".
const APPLICATION_ID: i64 = 0x3153_796e;
/// The oldest SQLite without the WAL-reset corruption bug, as a number.
const SQLITE_MIN: i32 = 3_051_003;
/// How long a connection waits for another program's lock.
const BUSY: Duration = Duration::from_secs(10);
/// Idle read connections that are kept.
const READERS_KEPT: usize = 4;
/// Pages of cache per connection, in KB.
const CACHE_KB: i64 = 32 * 1024;
/// Prepared statements kept per connection: more than there are.
const STATEMENTS: usize = 200;

/// Migrations in order: name and statements.
const MIGRATIONS: [(&str, &str); 1] = [("initial", include_str!("../../schema/sqlite/0001_initial.sql"))];

/// The embedded store.
pub struct SqliteStore {
    path: PathBuf,
    writer: Mutex<Connection>,
    readers: Mutex<Vec<Connection>>,
}

pub(super) fn failed(doing: &'static str) -> impl Fn(rusqlite::Error) -> StoreError {
    move |error| match error.sqlite_error_code() {
        Some(rusqlite::ErrorCode::DiskFull) => StoreError::Full { doing },
        Some(rusqlite::ErrorCode::DatabaseBusy | rusqlite::ErrorCode::DatabaseLocked) => StoreError::Busy { doing },
        Some(rusqlite::ErrorCode::ConstraintViolation) => StoreError::Conflict(error.to_string()),
        _ => StoreError::Database { doing, message: error.to_string() },
    }
}

pub(super) fn read_failed(error: rusqlite::Error) -> ReadError {
    ReadError(failed("reading")(error).to_string())
}

impl SqliteStore {
    /// Opens a database, making it when the file does not exist, and brings its schema up to date.
    ///
    /// # Errors
    /// When the file is not ours, is newer than this program, or cannot be written.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        if rusqlite::version_number() < SQLITE_MIN {
            return Err(StoreError::TooOld {
                product: "SQLite",
                found: rusqlite::version().to_owned(),
                needed: "3.51.3",
                why: "older ones can damage the database when it is written and checkpointed at once",
            });
        }
        let fresh = !path.exists();
        let writer = connect(path, false)?;
        let doing = "opening the database";
        if !fresh {
            let id: i64 = writer.query_row("PRAGMA application_id", [], |row| row.get(0)).map_err(|error| StoreError::NotOurs { place: path.display().to_string(), why: error.to_string() })?;
            let empty: bool = writer.query_row("SELECT count(*) = 0 FROM sqlite_master", [], |row| row.get(0)).map_err(failed(doing))?;
            if id != APPLICATION_ID && !empty {
                return Err(StoreError::NotOurs { place: path.display().to_string(), why: format!("its application id is {id:#x}") });
            }
        }
        writer.pragma_update(None, "application_id", APPLICATION_ID).map_err(failed(doing))?;
        let store = Self { path: path.to_owned(), writer: Mutex::new(writer), readers: Mutex::new(Vec::new()) };
        store.migrate()?;
        Ok(store)
    }

    /// Writes a consistent copy of a database to a new file: a scratch for what-if.
    ///
    /// # Errors
    /// When the source cannot be read or the target exists.
    pub fn copy(from: &Path, to: &Path) -> Result<(), StoreError> {
        let connection = connect(from, false)?;
        connection.execute("VACUUM INTO ?1", [to.to_string_lossy()]).map_err(failed("copying the database"))?;
        Ok(())
    }

    fn migrate(&self) -> Result<(), StoreError> {
        let doing = "bringing the schema up to date";
        let mut writer = self.lock();
        let tx = writer.transaction_with_behavior(TransactionBehavior::Exclusive).map_err(failed(doing))?;
        tx.execute_batch(
            "CREATE TABLE IF NOT EXISTS schema_migration (version INTEGER PRIMARY KEY, name TEXT NOT NULL, checksum BLOB NOT NULL, applied TEXT NOT NULL) STRICT",
        )
        .map_err(failed(doing))?;
        let applied: Vec<(u32, String, Vec<u8>)> = {
            let mut statement = tx.prepare("SELECT version, name, checksum FROM schema_migration ORDER BY version").map_err(failed(doing))?;
            let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).map_err(failed(doing))?;
            rows.collect::<Result<_, _>>().map_err(failed(doing))?
        };
        let known = MIGRATIONS.len() as u32;
        if let Some((found, ..)) = applied.last().filter(|(version, ..)| *version > known) {
            return Err(StoreError::Newer { found: *found, known });
        }
        for (index, (name, text)) in MIGRATIONS.iter().enumerate() {
            let version = index as u32 + 1;
            let checksum = onesync_model::hash128(&[text.as_bytes()]).0.to_vec();
            match applied.iter().find(|(v, ..)| *v == version) {
                Some((_, known_name, sum)) if *sum != checksum => return Err(StoreError::Migration { version, name: known_name.clone() }),
                Some(_) => {}
                None => {
                    tx.execute_batch(text).map_err(failed(doing))?;
                    tx.execute("INSERT INTO schema_migration VALUES (?1, ?2, ?3, datetime('now'))", (version, name, checksum)).map_err(failed(doing))?;
                }
            }
        }
        tx.execute("INSERT OR IGNORE INTO counter VALUES (1, 1, 1, 1)", []).map_err(failed(doing))?;
        tx.commit().map_err(failed(doing))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Connection> {
        self.writer.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

fn connect(path: &Path, read_only: bool) -> Result<Connection, StoreError> {
    let doing = "opening the database";
    let mut flags = OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_READ_WRITE;
    if !read_only {
        flags |= OpenFlags::SQLITE_OPEN_CREATE;
    }
    let connection = Connection::open_with_flags(path, flags).map_err(failed(doing))?;
    connection.busy_timeout(BUSY).map_err(failed(doing))?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    let set = |name: &str, value: &dyn rusqlite::ToSql| connection.pragma_update(None, name, value);
    set("journal_mode", &"WAL").map_err(failed(doing))?;
    set("synchronous", &"NORMAL").map_err(failed(doing))?;
    set("cache_size", &(-CACHE_KB)).map_err(failed(doing))?;
    set("temp_store", &"MEMORY").map_err(failed(doing))?;
    if read_only {
        set("query_only", &true).map_err(failed(doing))?;
    }
    Ok(connection)
}

/// A snapshot of the database.
pub(super) struct SqliteReader<'s> {
    store: &'s SqliteStore,
    connection: Option<Connection>,
}

impl SqliteReader<'_> {
    pub(super) fn connection(&self) -> Result<&Connection, ReadError> {
        self.connection.as_ref().ok_or_else(|| ReadError("the reader is closed".to_owned()))
    }
}

impl Drop for SqliteReader<'_> {
    fn drop(&mut self) {
        let Some(connection) = self.connection.take() else { return };
        // A connection whose snapshot cannot be ended is not used again.
        if connection.execute_batch("ROLLBACK").is_ok() {
            let mut readers = self.store.readers.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            if readers.len() < READERS_KEPT {
                readers.push(connection);
            }
        }
    }
}

impl Store for SqliteStore {
    fn reader(&self) -> Result<Box<dyn StoreReader + '_>, StoreError> {
        let kept = self.readers.lock().unwrap_or_else(std::sync::PoisonError::into_inner).pop();
        let connection = match kept {
            Some(connection) => connection,
            None => connect(&self.path, true)?,
        };
        connection.execute_batch("BEGIN").map_err(failed("beginning a snapshot"))?;
        // The snapshot begins with the first read.
        connection.query_row("SELECT one FROM counter", [], |_| Ok(())).map_err(failed("beginning a snapshot"))?;
        Ok(Box::new(SqliteReader { store: self, connection: Some(connection) }))
    }

    fn write(&self, epoch: u64, changes: &Changes, service: &ServiceChanges) -> Result<(), StoreError> {
        let mut writer = self.lock();
        write::write(&mut writer, epoch, changes, service)
    }

    fn install(&self, installation: &InstallationRow) -> Result<(), StoreError> {
        let doing = "making the installation";
        let mut writer = self.lock();
        let tx = writer.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed(doing))?;
        let there: Option<String> = tx.query_row("SELECT id FROM installation", [], |row| row.get(0)).optional().map_err(failed(doing))?;
        if let Some(id) = there {
            return Err(StoreError::Installed(id));
        }
        tx.execute(
            "INSERT INTO installation VALUES (1, ?1, ?2, ?3, ?4)",
            (&installation.id, installation.epoch as i64, installation.staging, installation.created.ticks()),
        )
        .map_err(failed(doing))?;
        tx.commit().map_err(failed(doing))
    }

    fn take_epoch(&self, seen: u64) -> Result<u64, StoreError> {
        let doing = "taking over";
        let mut writer = self.lock();
        let tx = writer.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed(doing))?;
        write::check_epoch(&tx, seen)?;
        tx.execute("UPDATE installation SET epoch = epoch + 1", []).map_err(failed(doing))?;
        tx.commit().map_err(failed(doing))?;
        Ok(seen + 1)
    }

    fn trim(&self, epoch: u64, retention: &Retention, limit: usize) -> Result<u64, StoreError> {
        let doing = "deleting what is old";
        let mut writer = self.lock();
        let tx = writer.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed(doing))?;
        write::check_epoch(&tx, epoch)?;
        let limit = limit as i64;
        let mut deleted = 0;
        for (sql, before) in [
            ("DELETE FROM history WHERE seq IN (SELECT seq FROM history WHERE time < ?1 LIMIT ?2)", retention.history_before.ticks()),
            ("DELETE FROM run WHERE id IN (SELECT id FROM run WHERE ended < ?1 LIMIT ?2)", retention.runs_before.ticks()),
            ("DELETE FROM event WHERE seq IN (SELECT seq FROM event WHERE time < ?1 LIMIT ?2)", retention.events_before.ticks()),
        ] {
            deleted += tx.execute(sql, (before, limit)).map_err(failed(doing))? as u64;
        }
        deleted += tx.execute("DELETE FROM exported WHERE hour < ?1", [retention.exported_before]).map_err(failed(doing))? as u64;
        tx.commit().map_err(failed(doing))?;
        Ok(deleted)
    }

    fn checkpoint(&self) -> Result<(), StoreError> {
        self.lock().query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(())).map_err(failed("checkpointing"))
    }
}
