//! What the SQL stores share: values and cells, the reading of rows, and the writing of what the service records.
//!
//! A dialect gives its statements under the names of [`Statements`], with the same parameters and columns as the other
//! ones, and runs them ([`Query`], [`Writer`]). Servers share more: batches as sets of rows ([`SetWriter`]) and
//! transactions that are tried again ([`Server`]). Deliberately absent: SQL, and how a library writes row by row.

mod background;
mod durable;
mod engine_reads;
mod event_chain;
mod labels;
mod patience;
mod percent;
pub(crate) mod row;
pub(crate) mod servers;
mod service_reads;
mod service_write;
mod set_write;
mod snapshot;
mod statements;
pub(crate) mod tables;
mod transaction;
mod value;
pub(crate) mod wait;

use onesync_engine::ReadError;

use crate::error::StoreError;

pub(crate) use background::Background;
pub(crate) use durable::changes_must_last;
pub(crate) use event_chain::trim as trim_events;
pub(crate) use labels::Labels;
pub(crate) use patience::Patience;
pub(crate) use percent::percent_decoded;
pub(crate) use row::Cells;
pub(crate) use service_write::{counts, service_rows};
pub(crate) use set_write::SetWriter;
pub(crate) use snapshot::{Reads, Snapshot};
pub(crate) use statements::{SetStatements, Statements, WriteStatements, reads, sets, writes};
pub(crate) use transaction::{Database, Mark, Server, Wanted};
pub(crate) use value::Value;

pub(crate) type Checked<T> = Result<T, StoreError>;
type Read<T> = Result<T, ReadError>;

/// Runs the reads of one snapshot.
pub(crate) trait Query: Statements {
    /// All rows of a statement.
    fn all<T>(
        &self,
        sql: &'static str,
        table: &'static str,
        values: &[Value<'_>],
        one: impl FnMut(&Cells<'_>) -> Checked<T>,
    ) -> Checked<Vec<T>>;

    /// The rows of a statement for each of some keys, in the order of the keys where these ascend; of several columns of
    /// keys in the order given.
    fn each<'v, const N: usize, T>(
        &self,
        sql: &'static str,
        table: &'static str,
        keys: impl Iterator<Item = [Value<'v>; N]>,
        one: impl FnMut(&Cells<'_>) -> Checked<T>,
    ) -> Checked<Vec<T>>;

    /// Whether a statement has a row for each of some keys, in the order of the keys.
    fn exist<'v, const N: usize>(
        &self,
        sql: &'static str,
        keys: impl Iterator<Item = [Value<'v>; N]>,
    ) -> Checked<Vec<bool>>;

    /// The one row of a statement, if any.
    fn one<T>(
        &self,
        sql: &'static str,
        table: &'static str,
        values: &[Value<'_>],
        one: impl FnMut(&Cells<'_>) -> Checked<T>,
    ) -> Checked<Option<T>> {
        Ok(self.all(sql, table, values, one)?.pop())
    }
}

/// Runs the few statements of a transaction that are not sets.
pub(crate) trait Writer: WriteStatements {
    /// Runs a statement that writes, now or together with those that follow.
    fn put(&mut self, sql: &'static str, values: &[Value<'_>]) -> Checked<()>;

    /// The one row of a statement, if any, after everything that was put.
    fn there<T>(
        &mut self,
        sql: &'static str,
        table: &'static str,
        key: &[Value<'_>],
        one: impl Fn(&Cells<'_>) -> Checked<T>,
    ) -> Checked<Option<T>>;
}

/// The snapshot of a SQL store as the engine and the service see it.
pub(crate) struct SqlReader<Q>(pub(crate) Q);

/// A limit as SQL takes it.
fn limit_of(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

/// Values of several types as one list.
macro_rules! values {
    ($($value:expr),* $(,)?) => { [$($crate::relational::Value::from($value)),*] };
}
pub(crate) use values;
