//! The limit beside the store, for benchmarks: the same rows into the same tables with the same indices, settings and
//! sizes of transactions, by statements prepared once, and nothing else: no engine, no reads, no counts.
//!
//! Only with the feature `limit`. Reading the rows from the finished database is not counted.

use std::path::Path;
use std::time::{Duration, Instant};

use rusqlite::types::Value;
use rusqlite::{Connection, TransactionBehavior, params_from_iter};

use super::{failed, load, open, sql};
use crate::error::StoreError;

/// What writing the rows alone took.
#[derive(Clone, Copy, Debug, Default)]
pub struct Limit {
    /// Rows written.
    pub rows: u64,
    /// Transactions committed.
    pub transactions: u64,
    /// Time of the statements and commits.
    pub time: Duration,
}

/// Statements that read rows of one table for a range of objects, and write one.
struct Table {
    read: &'static str,
    write: &'static str,
}

/// Objects in order with their weights, and the tables written for each stretch of them.
struct Stage {
    drive: &'static str,
    tables: &'static [Table],
    weight_max: i64,
}

/// Link values weigh a tenth of an entry in a page of an import.
const IMPORT: [Stage; 1] = [Stage {
    drive: sql::LIMIT_IMPORT,
    tables: &[
        Table { read: sql::LIMIT_CS, write: sql::LIMIT_CS_PUT },
        Table { read: sql::LIMIT_CS_JOIN, write: sql::LIMIT_CS_JOIN_PUT },
        Table { read: sql::LIMIT_CS_LINK, write: sql::LIMIT_CS_LINK_PUT },
        Table { read: sql::LIMIT_AGENDA, write: sql::LIMIT_AGENDA_PUT },
    ],
    weight_max: 40_000,
}];

const SYNC: [Stage; 3] = [
    Stage {
        drive: sql::LIMIT_MV,
        tables: &[
            Table { read: sql::LIMIT_CS_JOINED, write: sql::LIMIT_CS_JOINED_PUT },
            Table { read: sql::LIMIT_MV_ROWS, write: sql::LIMIT_MV_PUT },
            Table { read: sql::LIMIT_MV_JOIN, write: sql::LIMIT_MV_JOIN_PUT },
            Table { read: sql::LIMIT_HISTORY, write: sql::LIMIT_HISTORY_PUT },
        ],
        weight_max: 2_000,
    },
    Stage {
        drive: sql::LIMIT_TARGETS,
        tables: &[
            Table { read: sql::LIMIT_CS, write: sql::LIMIT_CS_PUT },
            Table { read: sql::LIMIT_CS_JOINED_TARGETS, write: sql::LIMIT_CS_JOINED_PUT },
            Table { read: sql::LIMIT_CS_JOIN, write: sql::LIMIT_CS_JOIN_PUT },
            Table { read: sql::LIMIT_EXPORT, write: sql::LIMIT_EXPORT_PUT },
        ],
        weight_max: 2_000,
    },
    Stage {
        drive: sql::LIMIT_LINKS,
        tables: &[
            Table { read: sql::LIMIT_MV_LINK, write: sql::LIMIT_MV_LINK_PUT },
            Table { read: sql::LIMIT_EXPORT_LINK, write: sql::LIMIT_EXPORT_LINK_PUT },
        ],
        weight_max: 20_000,
    },
];

/// Writes what an import wrote: the rows of `done` into a new database at `to`.
///
/// # Errors
/// When a database cannot be read or written.
pub fn import(done: &Path, to: &Path) -> Result<Limit, StoreError> {
    replay(done, to, &IMPORT)
}

/// Writes what a first sync wrote: the rows that `done` has beyond `to`, a copy of the database before the sync.
///
/// # Errors
/// When a database cannot be read or written.
pub fn first_sync(done: &Path, to: &Path) -> Result<Limit, StoreError> {
    replay(done, to, &SYNC)
}

fn replay(done: &Path, to: &Path, stages: &[Stage]) -> Result<Limit, StoreError> {
    let doing = failed("measuring the limit");
    let from = open::reader(done)?;
    let mut writer = open::writer(to)?;
    let known: i64 = writer.query_row(sql::CS_LAST, [], |row| row.get(0)).map_err(&doing)?;
    let mut limit = Limit::default();
    let began = Instant::now();
    load::begin(&writer)?;
    limit.time += began.elapsed();
    for stage in stages {
        for (first, last) in stretches(&from, stage, known)? {
            let mut rows = Vec::new();
            for table in stage.tables {
                rows.push(read(&from, table.read, &[first, last, known])?);
            }
            let began = Instant::now();
            let tx = writer.transaction_with_behavior(TransactionBehavior::Immediate).map_err(&doing)?;
            for (table, rows) in stage.tables.iter().zip(&rows) {
                let mut put = tx.prepare_cached(table.write).map_err(&doing)?;
                for row in rows {
                    put.execute(params_from_iter(row)).map_err(&doing)?;
                }
                limit.rows += rows.len() as u64;
            }
            tx.commit().map_err(&doing)?;
            limit.time += began.elapsed();
            limit.transactions += 1;
        }
    }
    let began = Instant::now();
    load::end(&writer)?;
    limit.time += began.elapsed();
    Ok(limit)
}

/// The first and last object of each transaction.
fn stretches(from: &Connection, stage: &Stage, known: i64) -> Result<Vec<(i64, i64)>, StoreError> {
    let mut out = Vec::new();
    let (mut begun, mut weight) = (None, 0);
    for row in read(from, stage.drive, &[known])? {
        let [Value::Integer(id), Value::Integer(more)] = row[..] else { continue };
        let (first, before) = begun.unwrap_or((id, id));
        if weight + more > stage.weight_max && weight > 0 {
            out.push((first, before));
            (begun, weight) = (Some((id, id)), more);
        } else {
            (begun, weight) = (Some((first, id)), weight + more);
        }
    }
    out.extend(begun);
    Ok(out)
}

/// All rows of a statement; it may use fewer than all `values`.
fn read(from: &Connection, sql: &str, values: &[i64]) -> Result<Vec<Vec<Value>>, StoreError> {
    let doing = failed("reading the rows to write");
    let mut statement = from.prepare_cached(sql).map_err(&doing)?;
    let (columns, wanted) = (statement.column_count(), statement.parameter_count());
    let rows = statement
        .query_map(params_from_iter(values.iter().take(wanted)), |row| {
            (0..columns).map(|column| row.get::<_, Value>(column)).collect::<Result<Vec<_>, _>>()
        })
        .map_err(&doing)?;
    rows.collect::<Result<_, _>>().map_err(&doing)
}
