//! What a database on SQL Server says of itself, and the answers to questions of people.

use std::time::Instant;

use futures::TryStreamExt as _;
use onesync_model::Time;
use tiberius::{ColumnData, QueryItem, Row};

use super::connection::Connections;
use super::query::last;
use super::sql_open as sql;
use super::text::unescaped;
use super::value::{Asked, params};
use crate::error::StoreError;
use crate::facts::{Answer, Cell, DatabaseFacts, TableSize, Tidied};
use crate::relational::{Cells, Checked, Reads as _, values};

const DOING: &str = "looking at the database";
/// From 0001-01-01 to 1970-01-01.
const DAYS_BEFORE: i64 = 719_162;
const TICKS_A_DAY: i64 = 864_000_000_000;
const TICKS_A_SECOND: i64 = 10_000_000;
/// Days between 0001-01-01 and 1900-01-01, with which the older types of the server begin.
const DAYS_1900: i64 = 693_595;
/// Without one of these nothing can be changed, and no transaction ended.
const REFUSED: [&str; 33] = [
    "ALTER",
    "BACKUP",
    "BEGIN",
    "BULK",
    "COMMIT",
    "CREATE",
    "DBCC",
    "DECLARE",
    "DELETE",
    "DENY",
    "DROP",
    "EXEC",
    "EXECUTE",
    "GRANT",
    "INSERT",
    "INTO",
    "KILL",
    "MERGE",
    "OPENDATASOURCE",
    "OPENQUERY",
    "OPENROWSET",
    "RECONFIGURE",
    "RESTORE",
    "REVERT",
    "REVOKE",
    "ROLLBACK",
    "SAVE",
    "SET",
    "SHUTDOWN",
    "TRUNCATE",
    "UPDATE",
    "USE",
    "WAITFOR",
];

pub(super) fn facts(connections: &Connections) -> Checked<DatabaseFacts> {
    let rows = asked(connections, sql::FACTS, None)?;
    let Some(row) = rows.first() else { return Ok(DatabaseFacts::default()) };
    let cells = Cells { table: "sys.database_files", row };
    let is_babelfish = cells.get::<Option<i64>>(4)? == Some(1);
    // Babelfish tells of no files.
    let bytes = match cells.count(1)? {
        0 => table_sizes(connections)?.iter().map(|size| size.bytes + size.indices).sum(),
        bytes => bytes,
    };
    let unused = if is_babelfish { None } else { reserve(connections)? };
    Ok(DatabaseFacts {
        kind: "SQL Server",
        version: cells.get::<Option<String>>(0)?.unwrap_or_default(),
        bytes,
        unused,
        log: None,
        oldest_history: cells.get::<Option<i64>>(2)?.map(Time::from_ticks),
        oldest_run: cells.get::<Option<i64>>(3)?.map(Time::from_ticks),
    })
}

fn reserve(connections: &Connections) -> Checked<Option<u64>> {
    let rows = asked(connections, sql::RESERVE, None)?;
    let Some(row) = rows.first() else { return Ok(None) };
    let found = Cells { table: "sys.database_files", row }.get::<Option<i64>>(0)?;
    Ok(found.and_then(|bytes| u64::try_from(bytes).ok()))
}

/// The rows that a statement gives, on a connection of its own.
fn asked(connections: &Connections, text: &str, number: Option<i64>) -> Checked<Vec<Row>> {
    let (client, _) = connections.begin_read(DOING)?;
    let found = match number {
        None => client.run(text, DOING),
        Some(number) => client.ask(text, &Asked::Values(params(&values![number])), DOING),
    };
    connections.end_read(client);
    found.map(last)
}

/// What tables take. A server that has neither these views nor others is no reason not to tell the rest.
pub(super) fn table_sizes(connections: &Connections) -> Checked<Vec<TableSize>> {
    let sizes = |rows: Vec<Row>| {
        let size = |row: &Row| {
            let cells = Cells { table: "sys.tables", row };
            Ok(TableSize { table: cells.get(0)?, bytes: cells.count(1)?, indices: cells.count(2)? })
        };
        rows.iter().map(size).collect()
    };
    for text in [sql::SIZES, sql::SIZES_BELOW] {
        match asked(connections, text, None) {
            Ok(rows) => return sizes(rows),
            Err(StoreError::Server { .. } | StoreError::Rights { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(Vec::new())
}

pub(super) fn history_bytes(connections: &Connections) -> Checked<u64> {
    let rows = asked(connections, sql::HISTORY_BYTES, None)?;
    rows.first().map_or(Ok(0), |row| Cells { table: "history", row }.count(0))
}

pub(super) fn history_before(connections: &Connections, share: f64) -> Checked<Option<Time>> {
    let rows = asked(connections, sql::HISTORY_AT, Some((share * 1_000_000.0) as i64))?;
    let first = rows.first().map(|row| Cells { table: "history", row }.get(0)).transpose()?;
    Ok(first.map(Time::from_ticks))
}

/// Brings the statistics of the tables up to date, as the owner of the database; for others the server does it when it asks
/// itself. Room that deleted rows have left is given to later ones by the server: making its files smaller stands in
/// everybody's way and scatters the rows, so that it is left to an administrator.
pub(super) fn tidy(connections: &Connections) -> Checked<Tidied> {
    let doing = "tidying the database";
    connections.patient(doing)?.run(sql::TIDY, doing)?;
    Ok(Tidied::default())
}

/// Answers one statement that only reads, in a transaction that is taken back.
pub(super) fn query(connections: &Connections, text: &str, limit: usize) -> Checked<Answer> {
    if let Some(word) = writes(text) {
        let why = format!("`{word}` is no part of a question: write SELECT; nothing was changed");
        return Err(StoreError::Question { why });
    }
    let (client, _) = connections.begin_read(DOING)?;
    let began = Instant::now();
    let time_limit = connections.question_limit();
    let answer = client.within(time_limit, DOING, async |driver| {
        let mut stream = driver.simple_query(text).await?;
        let mut answer = Answer::default();
        let columns = stream.columns().await?.unwrap_or_default();
        answer.columns = columns.iter().map(|column| column.name().to_owned()).collect();
        while let Some(item) = stream.try_next().await? {
            match item {
                QueryItem::Row(row) if answer.rows.len() < limit => answer.rows.push(cells(&row)),
                QueryItem::Row(_) => answer.more = true,
                QueryItem::Metadata(_) => {}
            }
        }
        Ok(answer)
    });
    let too_long = client.is_lost() && began.elapsed() >= time_limit;
    connections.end_read(client);
    if too_long {
        let why = format!("it takes longer than {} seconds; nothing was changed", time_limit.as_secs_f32());
        return Err(StoreError::Question { why });
    }
    if answer.as_ref().is_ok_and(|answer| answer.columns.is_empty()) {
        return Err(StoreError::Question { why: "it asks for nothing: write SELECT".to_owned() });
    }
    answer.map_err(|error| match error {
        StoreError::Server { message, .. } => {
            StoreError::Question { why: format!("{message}; nothing was changed") }
        }
        other => other,
    })
}

/// A word that may change something, or that does not begin a question; outside of texts, names in brackets and comments.
fn writes(text: &str) -> Option<String> {
    let bare = bare(text);
    let word = |c: char| c.is_alphanumeric() || "_@#$".contains(c);
    let mut words = bare.split(|c| !word(c)).filter(|found| !found.is_empty());
    let first = words.clone().next().unwrap_or_default();
    if !["SELECT", "WITH"].iter().any(|begin| first.eq_ignore_ascii_case(begin)) {
        return Some(first.to_owned());
    }
    let may = |found: &str| {
        let lower = found.to_ascii_lowercase();
        lower.starts_with("sp_")
            || lower.starts_with("xp_")
            || REFUSED.iter().any(|w| w.eq_ignore_ascii_case(found))
    };
    words.find(|found| may(found)).map(str::to_owned)
}

/// A text in the language of the server without texts, quoted names and comments.
fn bare(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let (skipped, end) = match c {
            '\'' | '"' => (1, c),
            '[' => (1, ']'),
            _ if rest.starts_with("--") => (2, '\n'),
            _ if rest.starts_with("/*") => {
                rest = after_comment(rest);
                out.push(' ');
                continue;
            }
            _ => {
                out.push(c);
                rest = rest.get(c.len_utf8()..).unwrap_or_default();
                continue;
            }
        };
        // A doubled end within is the beginning of another such text, which is left out as well.
        let within = rest.get(skipped..).unwrap_or_default();
        rest = within.split_once(end).map_or("", |(_, rest)| rest);
        out.push(' ');
    }
    out
}

/// What comes after a comment; comments may lie in one another.
fn after_comment(text: &str) -> &str {
    let (mut depth, mut at) = (0usize, 0);
    while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
        let step = match rest {
            _ if rest.starts_with("/*") => {
                depth += 1;
                2
            }
            _ if rest.starts_with("*/") => {
                depth -= 1;
                2
            }
            _ => rest.chars().next().map_or(1, char::len_utf8),
        };
        at += step;
        if depth == 0 {
            break;
        }
    }
    text.get(at..).unwrap_or_default()
}

fn cells(row: &Row) -> Vec<Cell> {
    row.cells().map(|(_, data)| cell(data)).collect()
}

fn cell(data: &ColumnData<'_>) -> Cell {
    let integer = |number: Option<i64>| number.map_or(Cell::Null, Cell::Integer);
    match data {
        ColumnData::U8(found) => integer(found.map(i64::from)),
        ColumnData::I16(found) => integer(found.map(i64::from)),
        ColumnData::I32(found) => integer(found.map(i64::from)),
        ColumnData::I64(found) => integer(*found),
        ColumnData::F32(found) => found.map_or(Cell::Null, |number| Cell::Number(number.into())),
        ColumnData::F64(found) => found.map_or(Cell::Null, Cell::Number),
        ColumnData::Numeric(found) => found.map_or(Cell::Null, |number| match number.to_string().parse() {
            Ok(whole) => Cell::Integer(whole),
            Err(_) => Cell::Text(number.to_string()),
        }),
        ColumnData::Bit(found) => found.map_or(Cell::Null, Cell::Boolean),
        ColumnData::String(found) => {
            found.as_deref().map_or(Cell::Null, |text| Cell::Text(unescaped(text).into_owned()))
        }
        ColumnData::Guid(found) => found.map_or(Cell::Null, |id| Cell::Text(id.to_string())),
        ColumnData::Binary(found) => found.as_deref().map_or(Cell::Null, Cell::bytes),
        ColumnData::Xml(found) => found.as_deref().map_or(Cell::Null, |xml| Cell::Text(xml.to_string())),
        ColumnData::DateTime2(found) => found.map_or(Cell::Null, |at| instant(at.date(), at.time())),
        // In UTC on the wire; the zone that is named beside it is not shown.
        ColumnData::DateTimeOffset(found) => {
            let at = found.map(tiberius::time::DateTimeOffset::datetime2);
            at.map_or(Cell::Null, |at| instant(at.date(), at.time()))
        }
        ColumnData::DateTime(found) => found.map_or(Cell::Null, |at| {
            since_1900(at.days().into(), i64::from(at.seconds_fragments()) * TICKS_A_SECOND / 300)
        }),
        // Whole minutes, whatever the driver calls them.
        ColumnData::SmallDateTime(found) => found.map_or(Cell::Null, |at| {
            since_1900(at.days().into(), i64::from(at.seconds_fragments()) * 60 * TICKS_A_SECOND)
        }),
        ColumnData::Date(found) => found.map_or(Cell::Null, |date| part(days(date) * TICKS_A_DAY, 0)),
        ColumnData::Time(found) => found.map_or(Cell::Null, |time| part(ticks(time), 1)),
    }
}

/// Days since 1970-01-01.
fn days(date: tiberius::time::Date) -> i64 {
    i64::from(date.days()) - DAYS_BEFORE
}

/// Ticks since midnight.
fn ticks(time: tiberius::time::Time) -> i64 {
    time.increments().cast_signed() * 10_i64.pow(7_u32.saturating_sub(time.scale().into()))
}

fn instant(date: tiberius::time::Date, time: tiberius::time::Time) -> Cell {
    Cell::Text(Time::from_ticks(days(date) * TICKS_A_DAY + ticks(time)).to_string())
}

fn since_1900(days: i64, ticks: i64) -> Cell {
    Cell::Text(Time::from_ticks((days + DAYS_1900 - DAYS_BEFORE) * TICKS_A_DAY + ticks).to_string())
}

/// The date, 0, or the time of day, 1, of an instant.
fn part(ticks: i64, number: usize) -> Cell {
    let text = Time::from_ticks(ticks).to_string();
    Cell::Text(text.trim_end_matches('Z').split('T').nth(number).unwrap_or_default().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_changes_nothing() {
        for question in [
            "SELECT 1",
            "select name, [update] from x where y = 'delete' and \"set\" = ']'",
            "WITH a AS (SELECT 1 AS b) SELECT * FROM a",
            "-- delete what?\n/* update /* nested */ set */ (SELECT 1)",
        ] {
            assert_eq!(writes(question), None, "{question}");
        }
        for (other, word) in [
            ("SELECT 1 DELETE FROM cs_object", "DELETE"),
            ("SELECT 'it''s' ; commit", "commit"),
            ("SELECT * INTO x FROM y", "INTO"),
            ("select [a]]update from x", "update"),
            ("exec('SELECT 1')", "exec"),
            ("SELECT 1 --'\nDELETE FROM secret COMMIT --'", "DELETE"),
            ("SELECT 1 /* ' /* */ */ DELETE FROM secret COMMIT --'", "DELETE"),
            ("sp_executesql N'DELETE FROM secret; COMMIT'", "sp_executesql"),
            ("SELECT 1; sp_executesql N'DELETE FROM secret'", "sp_executesql"),
            ("USE master SELECT 1", "USE"),
            ("SELECT 1 SHUTDOWN", "SHUTDOWN"),
        ] {
            assert_eq!(writes(other).as_deref(), Some(word), "{other}");
        }
    }
    /// Types that no table of ours has: views of others may be asked with them.
    #[test]
    fn every_type_of_the_server_is_written_as_a_text() {
        use tiberius::time::{Date, DateTime, DateTime2, DateTimeOffset, SmallDateTime, Time};
        use tiberius::xml::XmlData;

        // 2026-11-26 is day 739,945 of the common era, counted from 0, and day 46,350 from 1900.
        let (date, noon) = (Date::new(739_945), Time::new(432_500_000, 4));
        let at = DateTime2::new(date, noon);
        for (data, text) in [
            (ColumnData::DateTime2(Some(at)), "2026-11-26T12:00:50Z"),
            (ColumnData::DateTimeOffset(Some(DateTimeOffset::new(at, 60))), "2026-11-26T12:00:50Z"),
            (
                ColumnData::DateTime(Some(DateTime::new(46_350, 12 * 3600 * 300 + 150))),
                "2026-11-26T12:00:00.5Z",
            ),
            (ColumnData::DateTime(Some(DateTime::new(-1, 0))), "1899-12-31T00:00:00Z"),
            (ColumnData::SmallDateTime(Some(SmallDateTime::new(46_350, 61))), "2026-11-26T01:01:00Z"),
            (ColumnData::Date(Some(date)), "2026-11-26"),
            (ColumnData::Time(Some(noon)), "12:00:50"),
            (ColumnData::Xml(Some(std::borrow::Cow::Owned(XmlData::new("<a/>")))), "<a/>"),
        ] {
            assert_eq!(cell(&data), Cell::Text(text.to_owned()));
        }
        for data in [ColumnData::DateTime(None), ColumnData::Date(None), ColumnData::Xml(None)] {
            assert_eq!(cell(&data), Cell::Null);
        }
    }
}
