//! What a PostgreSQL database says of itself, and the answers to questions of people.

use deadpool_postgres::Object;
use onesync_model::Time;
use tokio_postgres::types::Type;
use tokio_postgres::{Error, SimpleQueryMessage};

use super::connection::{Connections, run};
use super::failure::failed;
use super::query::{Param, ask};
use super::sql;
use crate::error::StoreError;
use crate::facts::{Answer, Cell, DatabaseFacts, TableSize, Tidied, question};
use crate::relational::tables::TABLES;
use crate::relational::wait::wait;
use crate::relational::{Cells, Checked, Value};

const DOING: &str = "looking at the database";
/// Rows of an answer: `FETCH` takes a number of 32 bits, and one more is asked for.
const ROWS_MAX: usize = i32::MAX as usize - 1;

pub(super) fn facts(connections: &Connections) -> Checked<DatabaseFacts> {
    let client = connections.reader(DOING)?;
    let rows = wait(ask(&client, sql::FACTS, &[])).map_err(failed(DOING))?;
    let Some(row) = rows.first() else { return Ok(DatabaseFacts::default()) };
    let unused = wait(ask(&client, sql::UNUSED, &[])).map_err(failed(DOING))?;
    let unused = unused.first().map(|row| Cells { table: "pg_class", row }.count(0)).transpose()?;
    let cells = Cells { table: "pg_database", row };
    Ok(DatabaseFacts {
        kind: "PostgreSQL",
        version: cells.get(0)?,
        bytes: cells.count(1)?,
        unused,
        log: None,
        oldest_history: cells.get::<Option<i64>>(2)?.map(Time::from_ticks),
        oldest_run: cells.get::<Option<i64>>(3)?.map(Time::from_ticks),
    })
}

pub(super) fn table_sizes(connections: &Connections) -> Checked<Vec<TableSize>> {
    let client = connections.reader(DOING)?;
    let rows = wait(ask(&client, sql::SIZES, &[])).map_err(failed(DOING))?;
    rows.iter()
        .map(|row| {
            let cells = Cells { table: "pg_class", row };
            Ok(TableSize { table: cells.get(0)?, bytes: cells.count(1)?, indices: cells.count(2)? })
        })
        .collect()
}

pub(super) fn history_bytes(connections: &Connections) -> Checked<u64> {
    let client = connections.reader(DOING)?;
    let rows = wait(ask(&client, sql::HISTORY_BYTES, &[])).map_err(failed(DOING))?;
    rows.first().map_or(Ok(0), |row| Cells { table: "history", row }.count(0))
}

pub(super) fn history_before(connections: &Connections, share: f64) -> Checked<Option<Time>> {
    let client = connections.reader(DOING)?;
    let millionths = Param::One(Value::Integer((share * 1_000_000.0) as i64));
    let rows = wait(ask(&client, sql::HISTORY_AT, &[millionths])).map_err(failed(DOING))?;
    let first = rows.first().map(|row| Cells { table: "history", row }.get(0)).transpose()?;
    Ok(first.map(Time::from_ticks))
}

/// Answers one statement that only reads: through a cursor, which takes no other ones, in a transaction that cannot write.
pub(super) fn query(connections: &Connections, text: &str, limit: usize) -> Checked<Answer> {
    let text = question(text, &["SELECT", "WITH", "VALUES", "TABLE"])?;
    let client = connections.reader(DOING)?;
    run(&client, sql::BEGIN_QUERY, DOING)?;
    let answer = asked(&client, text, limit.min(ROWS_MAX));
    if client.is_closed() || run(&client, sql::ROLLBACK, DOING).is_err() {
        drop(Object::take(client));
    }
    answer
}

fn asked(client: &Object, text: &str, limit: usize) -> Checked<Answer> {
    let said = |error: Error| match error.as_db_error() {
        Some(said) if !said.code().code().starts_with("57P") => {
            let detail = said.hint().map_or_else(String::new, |hint| format!(" ({hint})"));
            StoreError::Question { why: format!("{}{detail}; nothing was changed", said.message()) }
        }
        _ => failed(DOING)(error),
    };
    let statement = wait(client.prepare(text)).map_err(said)?;
    let types: Vec<Type> = statement.columns().iter().map(|column| column.type_().clone()).collect();
    let columns = statement.columns().iter().map(|column| column.name().to_owned()).collect();
    // Prepared, so that it is one statement: the protocol has no room for more.
    let cursor = wait(client.prepare(&format!("DECLARE asked NO SCROLL CURSOR FOR {text}"))).map_err(said)?;
    wait(client.execute(&cursor, &[])).map_err(said)?;
    let fetch = format!("FETCH {} FROM asked", limit + 1);
    let mut answer = Answer { columns, ..Answer::default() };
    for message in wait(client.simple_query(&fetch)).map_err(said)? {
        let SimpleQueryMessage::Row(row) = message else { continue };
        let cells = types.iter().enumerate().map(|(at, ty)| cell(ty, row.get(at)));
        answer.rows.push(cells.collect());
    }
    answer.more = answer.rows.len() > limit;
    answer.rows.truncate(limit);
    Ok(answer)
}

/// A value as the server writes it as text.
fn cell(ty: &Type, text: Option<&str>) -> Cell {
    let Some(text) = text else { return Cell::Null };
    let made = match *ty {
        Type::INT2 | Type::INT4 | Type::INT8 => text.parse().ok().map(Cell::Integer),
        Type::NUMERIC | Type::FLOAT4 | Type::FLOAT8 => match text.parse() {
            Ok(number) => Some(Cell::Integer(number)),
            Err(_) => text.parse().ok().map(Cell::Number),
        },
        Type::BOOL => Some(Cell::Boolean(text == "t")),
        Type::BYTEA => Some(Cell::Text(text.trim_start_matches("\\x").to_owned())),
        _ => None,
    };
    made.unwrap_or_else(|| Cell::Text(super::text::unescaped(text).into_owned()))
}

/// Frees what deleted rows took, table by table; whoever writes is not kept waiting by it. Where the account does not own a
/// table the server leaves it out.
pub(super) fn tidy(connections: &Connections) -> Checked<Tidied> {
    let before: u64 = table_sizes(connections)?.iter().map(|size| size.bytes + size.indices).sum();
    let client = connections.reader("tidying the database")?;
    for table in TABLES {
        run(&client, &format!("VACUUM (ANALYZE) {}", table.name), "tidying the database")?;
    }
    drop(client);
    let after: u64 = table_sizes(connections)?.iter().map(|size| size.bytes + size.indices).sum();
    Ok(Tidied { freed: before.saturating_sub(after), more: false })
}
