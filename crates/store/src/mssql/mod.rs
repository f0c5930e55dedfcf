//! The store on SQL Server 2016 and later.
//!
//! It does its work as the store on PostgreSQL does (`relational`): connections live on a small runtime of the store's
//! own, reads are snapshots, a write is one transaction that is repeated when it may be. What differs: a request is
//! answered before the next one is sent, rows come as JSON with their bytes beside it (`sql`), and writers meet at an
//! application lock that their transaction owns.
//!
//! Deliberately absent: MERGE, triggers, sequences, table hints that something depends on, and whatever is newer than
//! 2016. Windows accounts: SQL logins only. A first load that leaves the indices of links out and builds them at its end, as
//! on PostgreSQL: only who may change tables could, which the service may not, and building an index keeps everybody
//! from writing in all editions but the largest.

mod admin;
mod bulk;
mod connection;
mod facts;
mod failure;
#[cfg(test)]
mod judged;
mod open;
mod options;
mod query;
mod reach;
mod sql;
mod sql_open;
mod sql_sets;
mod sql_write;
mod text;
mod transaction;
mod value;

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

pub use admin::SqlServerAdmin;
pub use options::SqlServerOptions;

use connection::Connections;

/// The newest version of its schema.
pub(crate) const SCHEMA: u32 = open::MIGRATIONS.len() as u32;

/// The store on a SQL Server.
pub struct SqlServerStore(Server<Connections>);

impl SqlServerStore {
    /// Opens a database and brings its schema up to date; an empty one gets it.
    ///
    /// # Errors
    /// When the server is out of reach or will not do, when the database is not ours or newer than this program, or the
    /// account may not make the schema; then it is left as it was.
    pub fn open(options: &SqlServerOptions) -> Result<Self, StoreError> {
        let store = Self::open_any(options)?;
        moved::check(&store)?;
        Ok(store)
    }

    /// The same, also of one that the installation has left.
    ///
    /// # Errors
    /// As [`SqlServerStore::open`].
    pub fn open_any(options: &SqlServerOptions) -> Result<Self, StoreError> {
        let connections = Connections::new(options)?;
        open::open(&connections, options)?;
        Ok(Self(Server::new(connections)))
    }

    /// Whoever is fenced because the installation moves is told so.
    fn told<T>(&self, done: Checked<T>) -> Checked<T> {
        done.map_err(|error| moved::why_fenced(self, error))
    }

    /// How far the schema of a database is; nothing is changed.
    ///
    /// # Errors
    /// When the server is out of reach or will not do, when the database is not ours, newer than this program, or made
    /// by a modified one.
    pub fn schema(options: &SqlServerOptions) -> Result<SchemaState, StoreError> {
        open::schema(&Connections::new(options)?, options)
    }

    /// Works on whole tables of a database whose schema is that of a version; an empty one gets it. For what an older
    /// program has written out: this one brings it up to date afterwards.
    ///
    /// # Errors
    /// As [`SqlServerStore::open`], and when the work fails.
    pub fn of_version(
        options: &SqlServerOptions,
        version: u32,
        work: &mut dyn FnMut(&mut dyn Bulk) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let connections = Connections::new(options)?;
        open::open_of(&connections, options, version)?;
        work(&mut bulk::SqlServerBulk::open(&connections)?)
    }

    /// Says how such a database is backed up: by its server.
    ///
    /// # Errors
    /// Always.
    pub fn backup(options: &SqlServerOptions, _folder: &Path) -> Result<Vec<BackedUp>, StoreError> {
        let name = options.database();
        let why = format!(
            "a database on SQL Server is backed up by its server: `BACKUP DATABASE [{name}] TO DISK = N'...' WITH \
             CHECKSUM`, and looked at with `RESTORE VERIFYONLY`; when that is done, go on with `onesync upgrade --own-backup`"
        );
        Err(StoreError::Unsuitable { why })
    }

    /// Says how a backup of such a database is put back: by its server.
    ///
    /// # Errors
    /// Always.
    pub fn restore(
        options: &SqlServerOptions,
        _folder: &Path,
        _version: u32,
        _tables: &[BackedUp],
        _forget: &str,
        _epoch: u64,
    ) -> Result<(), StoreError> {
        let name = options.database();
        let why = format!(
            "a database on SQL Server is put back by its server: `RESTORE DATABASE [{name}] FROM DISK = N'...'`"
        );
        Err(StoreError::Unsuitable { why })
    }
}

impl Store for SqlServerStore {
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

    fn copy_to(&self, file: &Path) -> Result<(), StoreError> {
        if file.exists() {
            let why = format!("`{}` is there already", file.display());
            return Err(StoreError::Unsuitable { why });
        }
        let copy = SqliteStore::open(file)?;
        let mut from = bulk::SqlServerBulk::snapshot(&self.0.connections)?;
        fill(&mut from, &mut *copy.bulk()?, &|_, _| Ok(())).map(|_| ())
    }

    fn bulk(&self) -> Result<Box<dyn Bulk + '_>, StoreError> {
        Ok(Box::new(bulk::SqlServerBulk::open(&self.0.connections)?))
    }

    fn snapshot(&self) -> Result<Box<dyn Bulk + '_>, StoreError> {
        Ok(Box::new(bulk::SqlServerBulk::snapshot(&self.0.connections)?))
    }

    fn facts(&self) -> Result<DatabaseFacts, StoreError> {
        facts::facts(&self.0.connections)
    }

    fn table_sizes(&self) -> Result<Vec<TableSize>, StoreError> {
        facts::table_sizes(&self.0.connections)
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

    fn query(&self, sql: &str, limit: usize) -> Result<Answer, StoreError> {
        facts::query(&self.0.connections, sql, limit)
    }

    /// Nothing to do: the server brings its log over by itself.
    fn checkpoint(&self) -> Result<(), StoreError> {
        Ok(())
    }
}
