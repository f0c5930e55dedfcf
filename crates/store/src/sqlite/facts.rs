//! What the embedded database says of itself, and the answers to questions of people.

use std::path::Path;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use onesync_model::Time;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, ErrorCode, OptionalExtension as _, ToSql};

use super::{failed, sql};
use crate::error::StoreError;
use crate::facts::{Answer, Cell, DatabaseFacts, TableSize, Tidied, question};
use crate::relational::Checked;

/// Pages given back at once: a few milliseconds.
const PAGES: i64 = 200;
/// How often in a row, so that whoever writes waits a tenth of a second at most.
const ROUNDS: usize = 10;

/// How long a question may take.
const QUESTION_MAX: Duration = Duration::from_secs(60);

const DOING: &str = "looking at the database";

fn pragma(connection: &Connection, name: &str) -> Checked<u64> {
    let read = connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    read.map(|number| u64::try_from(number).unwrap_or(0)).map_err(failed(DOING))
}

/// The time that a statement gives, if any.
pub(super) fn time(connection: &Connection, sql: &str, values: &[&dyn ToSql]) -> Checked<Option<Time>> {
    let read = connection.query_row(sql, values, |row| row.get::<_, i64>(0)).optional();
    Ok(read.map_err(failed(DOING))?.map(Time::from_ticks))
}

pub(super) fn facts(connection: &Connection, path: &Path) -> Checked<DatabaseFacts> {
    let page = pragma(connection, "page_size")?;
    let log = std::fs::metadata(format!("{}-wal", path.display())).map_or(0, |file| file.len());
    Ok(DatabaseFacts {
        kind: "SQLite",
        version: rusqlite::version().to_owned(),
        bytes: page * pragma(connection, "page_count")?,
        unused: Some(page * pragma(connection, "freelist_count")?),
        log: Some(log),
        oldest_history: time(connection, sql::HISTORY_OLDEST, &[])?,
        oldest_run: time(connection, sql::RUN_OLDEST, &[])?,
    })
}

pub(super) fn table_sizes(connection: &Connection) -> Checked<Vec<TableSize>> {
    let mut statement = connection.prepare(sql::SIZES).map_err(failed(DOING))?;
    let rows = statement
        .query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?, row.get::<_, i64>(2)?)));
    let mut out: Vec<TableSize> = Vec::new();
    for row in rows.map_err(failed(DOING))? {
        let (table, kind, bytes) = row.map_err(failed(DOING))?;
        let bytes = u64::try_from(bytes).unwrap_or(0);
        let at = out.iter().position(|known| known.table == table).unwrap_or_else(|| {
            out.push(TableSize { table, bytes: 0, indices: 0 });
            out.len() - 1
        });
        if let Some(size) = out.get_mut(at) {
            if kind == "table" { size.bytes += bytes } else { size.indices += bytes }
        }
    }
    out.sort_by_key(|size| std::cmp::Reverse(size.bytes + size.indices));
    Ok(out)
}

/// Answers one statement that only reads. The connection is one that cannot write, whatever it is told; and what would take
/// for ever is ended.
pub(super) fn query(connection: &Connection, sql: &str, limit: usize) -> Checked<Answer> {
    query_within(connection, sql, limit, QUESTION_MAX)
}

fn query_within(connection: &Connection, sql: &str, limit: usize, most: Duration) -> Checked<Answer> {
    let text = question(sql, &["SELECT", "WITH", "VALUES", "EXPLAIN"])?;
    let handle = connection.get_interrupt_handle();
    let (done, wait) = channel::<()>();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            if wait.recv_timeout(most) == Err(RecvTimeoutError::Timeout) {
                handle.interrupt();
            }
        });
        let answer = asked(connection, text, limit);
        drop(done);
        answer
    })
}

fn asked(connection: &Connection, sql: &str, limit: usize) -> Checked<Answer> {
    let wrong = |why: &dyn std::fmt::Display| StoreError::Question { why: why.to_string() };
    let said = |error: rusqlite::Error| match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DiskFull | ErrorCode::SystemIoFailure) => {
            failed(DOING)(error)
        }
        Some(ErrorCode::OperationInterrupted) => {
            wrong(&format!("it was ended after {} seconds; nothing was changed", QUESTION_MAX.as_secs()))
        }
        _ => wrong(&error),
    };
    let mut statement = connection.prepare(sql).map_err(said)?;
    if !statement.readonly() {
        return Err(wrong(&"it would write; nothing was changed"));
    }
    let columns: Vec<String> = statement.column_names().map(str::to_owned).collect();
    let mut answer = Answer { columns, ..Answer::default() };
    let mut rows = statement.query([]).map_err(said)?;
    while let Some(row) = rows.next().map_err(said)? {
        if answer.rows.len() == limit {
            answer.more = true;
            break;
        }
        let cells = (0..answer.columns.len()).map(|column| {
            Ok(match row.get_ref(column)? {
                ValueRef::Null => Cell::Null,
                ValueRef::Integer(number) => Cell::Integer(number),
                ValueRef::Real(number) => Cell::Number(number),
                ValueRef::Text(text) => Cell::Text(String::from_utf8_lossy(text).into_owned()),
                ValueRef::Blob(bytes) => Cell::bytes(bytes),
            })
        });
        answer.rows.push(cells.collect::<rusqlite::Result<_>>().map_err(said)?);
    }
    Ok(answer)
}

/// Gives free pages back, a few at a time, and cuts the log.
pub(super) fn tidy(writer: &Connection) -> Checked<Tidied> {
    let doing = "giving free space back";
    let (page, before) = (pragma(writer, "page_size")?, pragma(writer, "freelist_count")?);
    let mut left = before;
    for _ in 0..ROUNDS {
        if left == 0 {
            break;
        }
        let mut statement =
            writer.prepare(&format!("PRAGMA incremental_vacuum({PAGES})")).map_err(failed(doing))?;
        let mut rows = statement.query([]).map_err(failed(doing))?;
        while rows.next().map_err(failed(doing))?.is_some() {}
        left = pragma(writer, "freelist_count")?;
    }
    let freed = before.saturating_sub(left);
    writer.query_row(sql::CHECKPOINT, [], |_| Ok(())).map_err(failed(doing))?;
    // A database without what this needs (another program made it) has nothing to give.
    Ok(Tidied { freed: freed * page, more: left > 0 && freed > 0 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_without_end_is_ended() {
        let connection = Connection::open_in_memory().unwrap();
        let endless =
            "WITH RECURSIVE a(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM a) SELECT count(*) FROM a";
        let refused = query_within(&connection, endless, 1, Duration::from_millis(50)).unwrap_err();
        assert!(refused.to_string().contains("was ended"), "{refused}");
        // The connection serves the next one.
        assert_eq!(query(&connection, "SELECT 1", 1).unwrap().rows, [[Cell::Integer(1)]]);
    }
}
