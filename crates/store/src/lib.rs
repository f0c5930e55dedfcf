//! The store: what is known and owed, kept where a crash cannot lose it.
//!
//! One trait ([`Store`], with [`StoreReader`]); the engine's rows go in as [`onesync_engine::Changes`], one batch a
//! transaction. Deliberately absent: decisions, clocks, retries of steps, free queries.

mod ahead;
mod backup;
mod bulk;
mod chain;
#[cfg(any(test, feature = "conformance"))]
pub mod conformance;
mod dump;
mod error;
mod facts;
mod look;
mod memory;
mod moved;
mod mssql;
mod portable;
mod postgres;
mod relational;
mod rows;
mod schema;
mod servers;
mod sqlite;
mod store;
mod tally;
mod transfer;

pub use ahead::{Ahead, apply_and};
pub use backup::BackedUp;
pub use bulk::{Bulk, Rows};
pub use chain::{
    CHAIN_BEGIN, CHAIN_HEAD, ChainBreak, ChainHash, ChainMark, ChainReport, StoredEvent,
    verify as verify_chain,
};
pub use error::{DAMAGED, StoreError};
pub use facts::{Answer, Cell, DatabaseFacts, TableSize, Tidied};
pub use look::{DatabaseAdmin, DatabaseContent, DatabaseLook, ServerLook};
pub use memory::MemoryStore;
pub use moved::{MOVE_MARK, MoveMark};
pub use mssql::{SqlServerAdmin, SqlServerOptions, SqlServerStore};
pub use portable::{Content, Gist, TableForm, database_setting};
pub use postgres::{PostgresAdmin, PostgresOptions, PostgresStore};
pub use relational::tables::Table;
pub use rows::{
    AgendaCount, ConfigFiles, ConfigVersionRow, ConnectorRow, CsCount, CsHead, ErrorCount, EventRow,
    ExportCount, ExportFilter, ExportLinkCount, ExportLinkFilter, ExportLinkKey, ExportLinkOwner,
    ExportedRow, HeldPlanRow, HeldState, InstallationRow, MvCount, Retention, RuleRow, RunRow, SecretRow,
    ServiceChanges, export_hash, export_link_hash, operation_code, operation_from_code,
};
pub use schema::{SchemaState, schema_versions};
pub use servers::{Holder, Lease, ServerRow};
pub use sqlite::SqliteStore;
#[cfg(feature = "limit")]
pub use sqlite::limit;
pub use store::{Store, StoreReader};
#[cfg(feature = "limit")]
pub use transfer::limit as copy_limit;
pub use transfer::{TableHash, Told, fill, settle};
