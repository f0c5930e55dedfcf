//! The store on a PostgreSQL server, version 13 and later, or a database that speaks its protocol.
//!
//! The trait is synchronous, the driver is not: connections live on a small runtime of the store's own, and whoever
//! calls waits on its own thread (`wait`). Reads are snapshots over a connection of their own; a write is one transaction
//! (`transaction` says what happens when the server goes away in the middle of it).
//!
//! Deliberately absent: advisory locks, LISTEN, sequences, deferred constraints, triggers: distributed databases with
//! this protocol lack them.

mod backup;
mod bulk;
mod connection;
mod facts;
mod failure;
mod load;
mod open;
mod options;
mod query;
mod sql;
mod sql_write;
mod text;
mod tls;
mod transaction;
mod wait;
mod write;

use std::hash::{BuildHasher as _, RandomState};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use onesync_engine::Changes;
use onesync_model::Time;

use crate::backup::BackedUp;
use crate::bulk::Bulk;
use crate::error::StoreError;
use crate::facts::{Answer, DatabaseFacts, TableSize, Tidied};
use crate::moved;
use crate::relational::{
    Cells, Checked, SqlReader, Writer as _, changes_must_last, counts, service_rows, values,
};
use crate::rows::{InstallationRow, Retention, ServiceChanges};
use crate::schema::SchemaState;
use crate::sqlite::SqliteStore;
use crate::store::{Store, StoreReader};
use crate::transfer::fill;

pub use options::PostgresOptions;

use connection::Connections;
use query::Snapshot;
use transaction::{Known, Tx, Wanted};

/// The store on a PostgreSQL server.
pub struct PostgresStore {
    connections: Connections,
    /// What this store knows to be written; its lock makes the writes of one program wait for each other.
    known: Mutex<Option<Known>>,
    /// The name of this writer among all there may be.
    writer: [u8; 16],
}

impl PostgresStore {
    /// Opens a database and brings its schema up to date; an empty one gets it.
    ///
    /// # Errors
    /// When the server is out of reach or will not do, when the database is not ours or newer than this program, or the
    /// account may not make the schema; then it is left as it was.
    pub fn open(options: &PostgresOptions) -> Result<Self, StoreError> {
        let store = Self::open_any(options)?;
        moved::check(&store)?;
        Ok(store)
    }

    /// Opens a database also when the installation has left it, or was on its way into it.
    ///
    /// # Errors
    /// As [`PostgresStore::open`].
    pub fn open_any(options: &PostgresOptions) -> Result<Self, StoreError> {
        let connections = Connections::new(options)?;
        open::open(&connections, options)?;
        // Two seeds of the system's randomness: not for secrecy, only unlike any other.
        let [a, b] = [0u8, 1].map(|part| RandomState::new().hash_one(part).to_le_bytes());
        let mut writer = [0; 16];
        writer.iter_mut().zip(a.into_iter().chain(b)).for_each(|(to, from)| *to = from);
        Ok(Self { connections, known: Mutex::new(None), writer })
    }

    /// How far the schema of a database is; nothing is changed.
    ///
    /// # Errors
    /// When the server is out of reach or will not do, when the database is not ours, newer than this program, or made
    /// by a modified one.
    pub fn schema(options: &PostgresOptions) -> Result<SchemaState, StoreError> {
        open::schema(&Connections::new(options)?, options)
    }

    /// Writes one state of a database, of whatever version, into files of a folder. Nobody need wait meanwhile.
    ///
    /// # Errors
    /// When the database fails, or a file cannot be written or is there.
    pub fn backup(options: &PostgresOptions, folder: &Path) -> Result<Vec<BackedUp>, StoreError> {
        backup::backup(&Connections::new(options)?, folder)
    }

    /// Puts such files back into an empty database, with the schema of the version that they had, and
    /// forgets what the service has noted of all connectors under a name.
    ///
    /// # Errors
    /// When the database is not empty or fails, or a file is missing or damaged; then nothing is in it.
    pub fn restore(
        options: &PostgresOptions,
        folder: &Path,
        version: u32,
        tables: &[BackedUp],
        forget: &str,
    ) -> Result<(), StoreError> {
        backup::restore(&Connections::new(options)?, options, folder, version, tables, forget)
    }

    fn transaction<'c, T>(
        &self,
        doing: &'static str,
        durable: bool,
        epoch: Option<u64>,
        work: impl Fn(&mut Tx<'_, 'c>) -> Checked<T>,
    ) -> Checked<T> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let wanted = Wanted { doing, durable, epoch, writer: &self.writer };
        let done = transaction::transaction(&self.connections, &mut known, &wanted, work);
        done.map_err(|error| moved::why_fenced(self, error))
    }
}

impl Store for PostgresStore {
    fn reader(&self) -> Result<Box<dyn StoreReader + '_>, StoreError> {
        Ok(Box::new(SqlReader(Snapshot::begin(&self.connections)?)))
    }

    fn write(&self, epoch: u64, changes: &Changes, service: &ServiceChanges) -> Result<(), StoreError> {
        self.transaction("writing", changes_must_last(changes, service), Some(epoch), |tx| {
            let tallies = write::apply(tx, changes)?;
            counts(tx, &tallies)?;
            service_rows(tx, service)
        })
    }

    fn install(&self, installation: &InstallationRow) -> Result<(), StoreError> {
        self.transaction("making the installation", true, None, |tx| {
            let there = tx.there(sql::INSTALLATION, "installation", &[], |cells: &Cells<'_>| cells.get(0))?;
            if let Some(id) = there {
                return Err(StoreError::Installed(id));
            }
            let (epoch, created) = (installation.epoch as i64, installation.created.ticks());
            tx.put(sql_write::INSTALL, &values![&installation.id, epoch, installation.staging, created])
        })
    }

    fn take_epoch(&self, seen: u64) -> Result<u64, StoreError> {
        self.transaction("taking over", true, Some(seen), |tx| {
            tx.put(sql_write::EPOCH_RAISE, &[])?;
            Ok(seen + 1)
        })
    }

    fn trim(&self, epoch: u64, retention: &Retention, limit: usize) -> Result<u64, StoreError> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        self.transaction("deleting what is old", false, Some(epoch), |tx| {
            let mut deleted = 0;
            for (sql, before) in [
                (sql_write::HISTORY_TRIM, retention.history_before.ticks()),
                (sql_write::RUN_TRIM, retention.runs_before.ticks()),
                (sql_write::EVENT_TRIM, retention.events_before.ticks()),
                (sql_write::EXPORTED_TRIM, retention.exported_before),
            ] {
                deleted += tx.execute(sql, &values![before, limit])?;
            }
            Ok(deleted)
        })
    }

    fn begin_load(&self, epoch: u64) -> Result<(), StoreError> {
        let doing = "preparing for a first load";
        if !load::wanted(&self.connections.reader(doing)?, doing)? {
            return Ok(());
        }
        self.transaction(doing, false, Some(epoch), |_| Ok(()))?;
        let client = self.connections.writer(doing)?;
        load::begin(&client, doing)
    }

    fn end_load(&self, epoch: u64) -> Result<(), StoreError> {
        let doing = "building the indices of links";
        if load::complete(&self.connections.reader(doing)?)? {
            return Ok(());
        }
        self.transaction(doing, false, Some(epoch), |_| Ok(()))?;
        load::end(&self.connections.writer(doing)?)
    }

    fn copy_to(&self, file: &Path) -> Result<(), StoreError> {
        if file.exists() {
            let why = format!("`{}` is there already", file.display());
            return Err(StoreError::Unsuitable { why });
        }
        let copy = SqliteStore::open(file)?;
        let mut from = bulk::PostgresBulk::snapshot(&self.connections)?;
        fill(&mut from, &mut *copy.bulk()?, &|_, _| Ok(())).map(|_| ())
    }

    fn bulk(&self) -> Result<Box<dyn Bulk + '_>, StoreError> {
        Ok(Box::new(bulk::PostgresBulk::open(&self.connections)?))
    }

    fn facts(&self) -> Result<DatabaseFacts, StoreError> {
        facts::facts(&self.connections)
    }

    fn table_sizes(&self) -> Result<Vec<TableSize>, StoreError> {
        facts::table_sizes(&self.connections)
    }

    fn query(&self, sql: &str, limit: usize) -> Result<Answer, StoreError> {
        facts::query(&self.connections, sql, limit)
    }

    fn history_before(&self, share: f64) -> Result<Option<Time>, StoreError> {
        facts::history_before(&self.connections, share)
    }

    fn tidy(&self) -> Result<Tidied, StoreError> {
        facts::tidy(&self.connections)
    }

    /// Nothing to do: the server brings its log over by itself.
    fn checkpoint(&self) -> Result<(), StoreError> {
        Ok(())
    }
}
