//! The store on a PostgreSQL server, version 13 and later, or a database that speaks its protocol.
//!
//! The trait is synchronous, the driver is not: connections live on a small runtime of the store's own, and whoever
//! calls waits on its own thread (`relational::wait`). Reads are snapshots over a connection of their own; a write is one
//! transaction (`relational::transaction` says what happens when the server goes away in the middle of it).
//!
//! Deliberately absent: advisory locks, LISTEN, sequences, deferred constraints, triggers: distributed databases with
//! this protocol lack them.

mod admin;
mod backup;
mod bulk;
mod connection;
mod facts;
mod failure;
mod load;
mod open;
mod options;
#[cfg(test)]
mod plans;
mod query;
mod sql;
mod sql_write;
mod text;
mod tls;
mod transaction;

use std::path::Path;

use onesync_engine::Changes;
use onesync_model::Time;

use crate::backup::BackedUp;
use crate::bulk::Bulk;
use crate::error::StoreError;
use crate::facts::{Answer, DatabaseFacts, TableSize, Tidied};
use crate::moved;
use crate::relational::{Checked, Server, Snapshot, SqlReader};
use crate::rows::{InstallationRow, Retention, ServiceChanges};
use crate::schema::SchemaState;
use crate::servers::{Lease, ServerRow};
use crate::sqlite::SqliteStore;
use crate::store::{Store, StoreReader};
use crate::transfer::fill;

pub use admin::PostgresAdmin;
pub use options::PostgresOptions;

use connection::Connections;

/// The newest version of its schema.
pub(crate) const SCHEMA: u32 = open::MIGRATIONS.len() as u32;

/// The store on a PostgreSQL server.
pub struct PostgresStore(Server<Connections>);

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
        Ok(Self(Server::new(connections)))
    }

    /// How far the schema of a database is; nothing is changed.
    ///
    /// # Errors
    /// When the server is out of reach or will not do, when the database is not ours, newer than this program, or made
    /// by a modified one.
    pub fn schema(options: &PostgresOptions) -> Result<SchemaState, StoreError> {
        open::schema(&Connections::new(options)?, options)
    }

    /// Works on whole tables of a database whose schema is that of a version; an empty one gets it. For what an older
    /// program has written out: this one brings it up to date afterwards.
    ///
    /// # Errors
    /// As [`PostgresStore::open`], and when the work fails.
    pub fn of_version(
        options: &PostgresOptions,
        version: u32,
        work: &mut dyn FnMut(&mut dyn Bulk) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let connections = Connections::new(options)?;
        open::open_of(&connections, options, version)?;
        work(&mut bulk::PostgresBulk::open(&connections)?)
    }

    /// Writes one state of a database, of whatever version, into files of a folder. Nobody need wait meanwhile.
    ///
    /// # Errors
    /// When the database fails, or a file cannot be written or is there.
    pub fn backup(options: &PostgresOptions, folder: &Path) -> Result<Vec<BackedUp>, StoreError> {
        backup::backup(&Connections::new(options)?, folder)
    }

    /// Puts such files back into an empty database, with the schema of the version that they had, and
    /// forgets what the service has noted of all connectors under a name. The epoch is raised to a number.
    ///
    /// # Errors
    /// When the database is not empty or fails, or a file is missing or damaged; then nothing is in it.
    pub fn restore(
        options: &PostgresOptions,
        folder: &Path,
        version: u32,
        tables: &[BackedUp],
        forget: &str,
        epoch: u64,
    ) -> Result<(), StoreError> {
        backup::restore(&Connections::new(options)?, options, folder, version, tables, forget, epoch)
    }

    /// Whoever is fenced because the installation moves is told so.
    fn told<T>(&self, done: Checked<T>) -> Checked<T> {
        done.map_err(|error| moved::why_fenced(self, error))
    }
}

impl Store for PostgresStore {
    fn reader(&self) -> Result<Box<dyn StoreReader + '_>, StoreError> {
        Ok(Box::new(SqlReader(Snapshot::begin(&self.0.connections)?)))
    }

    fn write(&self, epoch: u64, changes: &Changes, service: &ServiceChanges) -> Result<(), StoreError> {
        self.told(self.0.write(epoch, changes, service))
    }

    fn install(&self, installation: &InstallationRow) -> Result<(), StoreError> {
        self.told(self.0.install(installation))
    }

    fn take_over(
        &self,
        seen: u64,
        server: &ServerRow,
        installation: Option<&str>,
    ) -> Result<u64, StoreError> {
        self.told(self.0.take_over(seen, server, installation))
    }

    fn enrol(&self, server: &ServerRow) -> Result<(), StoreError> {
        self.0.enrol(server)
    }

    fn renew(&self, server: &ServerRow) -> Result<Lease, StoreError> {
        self.0.renew(server)
    }

    fn lease(&self) -> Result<Lease, StoreError> {
        self.0.lease()
    }

    fn take_epoch(&self, seen: u64) -> Result<u64, StoreError> {
        self.told(self.0.take_epoch(seen))
    }

    fn trim(&self, epoch: u64, retention: &Retention, limit: usize) -> Result<u64, StoreError> {
        self.told(self.0.trim(epoch, retention, limit))
    }

    fn begin_load(&self, epoch: u64) -> Result<(), StoreError> {
        let doing = "preparing for a first load";
        if !load::wanted(&self.0.connections.reader(doing)?, doing)? {
            return Ok(());
        }
        self.told(self.0.check(doing, epoch))?;
        let client = self.0.connections.writer(doing)?;
        load::begin(&client, doing)
    }

    fn end_load(&self, epoch: u64) -> Result<(), StoreError> {
        let doing = "building the indices of links";
        if load::complete(&self.0.connections.reader(doing)?)? {
            return Ok(());
        }
        self.told(self.0.check(doing, epoch))?;
        load::end(&self.0.connections.writer(doing)?)
    }

    fn copy_to(&self, file: &Path) -> Result<(), StoreError> {
        if file.exists() {
            let why = format!("`{}` is there already", file.display());
            return Err(StoreError::Unsuitable { why });
        }
        let copy = SqliteStore::open(file)?;
        let mut from = bulk::PostgresBulk::snapshot(&self.0.connections)?;
        fill(&mut from, &mut *copy.bulk()?, &|_, _| Ok(())).map(|_| ())
    }

    fn bulk(&self) -> Result<Box<dyn Bulk + '_>, StoreError> {
        Ok(Box::new(bulk::PostgresBulk::open(&self.0.connections)?))
    }

    fn snapshot(&self) -> Result<Box<dyn Bulk + '_>, StoreError> {
        Ok(Box::new(bulk::PostgresBulk::snapshot(&self.0.connections)?))
    }

    fn facts(&self) -> Result<DatabaseFacts, StoreError> {
        facts::facts(&self.0.connections)
    }

    fn table_sizes(&self) -> Result<Vec<TableSize>, StoreError> {
        facts::table_sizes(&self.0.connections)
    }

    fn query(&self, sql: &str, limit: usize) -> Result<Answer, StoreError> {
        facts::query(&self.0.connections, sql, limit)
    }

    fn history_bytes(&self) -> Result<u64, StoreError> {
        facts::history_bytes(&self.0.connections)
    }

    fn history_before(&self, share: f64) -> Result<Option<Time>, StoreError> {
        facts::history_before(&self.0.connections, share)
    }

    fn tidy(&self) -> Result<Tidied, StoreError> {
        facts::tidy(&self.0.connections)
    }

    /// Nothing to do: the server brings its log over by itself.
    fn checkpoint(&self) -> Result<(), StoreError> {
        Ok(())
    }
}
