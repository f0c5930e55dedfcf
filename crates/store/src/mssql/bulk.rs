//! Whole tables on a SQL Server: read in pages by key, written as sets.

use super::connection::{Client, Connections};
use super::open::MIGRATIONS;
use super::query::last;
use super::sql_write;
use super::value::{Asked, params, rows_of};
use crate::bulk::{Bulk, Rows, Values};
use crate::error::StoreError;
use crate::relational::tables::{TABLES, Table};
use crate::relational::{Cells, Checked, Reads as _, Value, values};

const DOING: &str = "copying the database";
/// Rows of a table that are deleted at once.
const CLEARED: usize = 20_000;

/// A connection that is not used for anything else afterwards.
pub(super) struct SqlServerBulk<'c> {
    connections: &'c Connections,
    /// `None` only while it is dropped.
    client: Option<Client>,
}

impl<'c> SqlServerBulk<'c> {
    pub(super) fn open(connections: &'c Connections) -> Checked<Self> {
        Ok(Self { connections, client: Some(connections.reader(DOING)?) })
    }

    /// The same over one state of the database, which is not to be written.
    pub(super) fn snapshot(connections: &'c Connections) -> Checked<Self> {
        let (client, _) = connections.begin_read(DOING)?;
        Ok(Self { connections, client: Some(client) })
    }

    fn client(&self) -> Checked<&Client> {
        let closed = || StoreError::Server { doing: DOING, message: "the connection is closed".to_owned() };
        self.client.as_ref().ok_or_else(closed)
    }

    fn sets<'r>(&self, text: &str, given: impl Iterator<Item = Vec<Value<'r>>>) -> Checked<()> {
        for asked in rows_of(given) {
            self.client()?.ask(text, &asked, DOING)?;
        }
        Ok(())
    }
}

impl Drop for SqlServerBulk<'_> {
    fn drop(&mut self) {
        if let Some(client) = self.client.take() {
            self.connections.end_read(client);
        }
    }
}

impl Bulk for SqlServerBulk<'_> {
    fn read(&mut self, table: &Table<'_>, after: Option<&[u8]>, limit: usize) -> Checked<Rows> {
        let key: Vec<Value<'_>> = Values(after.unwrap_or_default()).take(table.keys).collect();
        let asked = Asked::Values(params(&key));
        let found = last(self.client()?.ask(&page(table, after.is_some(), limit), &asked, DOING)?);
        let mut rows = Rows::default();
        found.iter().try_for_each(|row| rows.push(table, row))?;
        Ok(rows)
    }

    fn add(&mut self, table: &Table<'_>, rows: &Rows) -> Checked<()> {
        self.sets(&insert(table), rows.iter().map(|row| Values(row).collect()))
    }

    fn remove(&mut self, table: &Table<'_>, rows: &Rows) -> Checked<()> {
        self.sets(&delete(table), rows.iter().map(|row| Values(row).take(table.keys).collect()))
    }

    fn begin_fill(&mut self) -> Checked<()> {
        self.clear()
    }

    fn end_fill(&mut self) -> Checked<()> {
        Ok(())
    }

    fn clear(&mut self) -> Checked<()> {
        let kept = format!("DELETE FROM setting WHERE name NOT LIKE '{}%'", crate::transfer::OF_DATABASE);
        for table in TABLES.iter().filter(|table| table.name != "setting") {
            // A whole table at once would be one transaction, with a log as long.
            let some =
                format!("DELETE TOP ({CLEARED}) FROM {}; SELECT CAST(@@ROWCOUNT AS bigint)", table.name);
            while last(self.client()?.run(&some, DOING)?)
                .first()
                .map(|row| Cells { table: table.name, row }.count(0))
                .transpose()?
                .is_some_and(|gone| gone > 0)
            {}
        }
        self.client()?.run(&kept, DOING).map(|_| ())
    }

    fn set(&mut self, name: &str, value: &str) -> Checked<()> {
        let row = Asked::Values(params(&values![name, value]));
        self.client()?.ask(sql_write::SETTING_PUT, &row, DOING).map(|_| ())
    }
}

/// The type of a column, as the schema names it.
fn type_of(table: &Table<'_>, column: &str) -> &'static str {
    let begin = format!("CREATE TABLE {} (", table.name);
    let lines =
        MIGRATIONS.iter().filter_map(|(_, text)| text.split_once(&begin)).flat_map(|(_, body)| body.lines());
    let mut found = lines.filter_map(|line| line.trim().split_once(' '));
    let named = found.find(|(name, _)| name.trim_matches(['[', ']']) == column).map(|(_, rest)| rest);
    // A column that a later migration brings.
    let begin = format!("ALTER TABLE {} ADD {column} ", table.name);
    let added = || {
        MIGRATIONS
            .iter()
            .find_map(|(_, text)| text.lines().find_map(|line| line.strip_prefix(begin.as_str())))
    };
    added().or(named).and_then(|rest| rest.split([' ', ',']).next()).unwrap_or("bigint")
}

/// The part of all bytes or texts that a place names.
fn cut(of: &str, at: &str) -> String {
    format!("SUBSTRING({of}, CAST({at} / 1073741824 AS int) + 1, CAST({at} % 1073741824 AS int))")
}

/// A value of a row that is given, as its column takes it.
fn given(table: &Table<'_>, column: &str) -> String {
    let at = format!("v.[{column}]");
    let cut = |of: &str| cut(of, &at);
    let of_type = type_of(table, column);
    match of_type {
        "bigint" => at,
        "varbinary(max)" => cut("@P2"),
        "binary(16)" => format!("CAST({} AS binary(16))", cut("@P2")),
        text if text.starts_with("nvarchar") => format!("CAST({} AS {text})", cut("@P3")),
        number => format!("CAST({at} AS {number})"),
    }
}

fn names<'t>(table: &Table<'t>) -> Vec<&'t str> {
    table.columns().collect()
}

/// The rows that are given, as a table.
fn rows_given(names: &[&str]) -> String {
    let columns: String =
        names.iter().zip(1..).map(|(name, number)| format!(", [{name}] bigint '$[{number}]'")).collect();
    format!("OPENJSON(@P1) WITH (n int '$[0]'{columns}) AS v")
}

/// A page of a table, after a key or from the beginning.
pub(super) fn page(table: &Table<'_>, after: bool, limit: usize) -> String {
    let column = |name: &&str| match (table.name, *name) {
        ("agenda", "c") => "SUBSTRING(t.c, 1, t.c_length)".to_owned(),
        (_, name) => format!("t.[{name}]"),
    };
    let columns: Vec<String> = names(table).iter().map(column).collect();
    let mut key: Vec<(String, String)> = Vec::new();
    for (name, number) in table.columns().take(table.keys).zip(1..) {
        let place = match type_of(table, name) {
            "binary(16)" => format!("CAST(@P{number} AS binary(16))"),
            _ => format!("@P{number}"),
        };
        key.push((format!("t.[{name}]"), place));
        if (table.name, name) == ("agenda", "c") {
            key.push(("t.c_length".to_owned(), format!("DATALENGTH(@P{number})")));
        }
    }
    let order: Vec<&str> = key.iter().map(|(column, _)| column.as_str()).collect();
    let later = key.iter().rev().fold(String::new(), |rest, (column, place)| match rest.as_str() {
        "" => format!("{column} > {place}"),
        rest => format!("({column} > {place} OR ({column} = {place} AND {rest}))"),
    });
    // The server looks for the beginning of the key, and not through the table: of a comparison by parts it makes nothing.
    let later = match key.as_slice() {
        [(column, place), _, ..] => format!("{column} >= {place} AND {later}"),
        _ => later,
    };
    let condition = if after { format!(" WHERE {later}") } else { String::new() };
    let (columns, order) = (columns.join(", "), order.join(", "));
    format!("SELECT TOP ({limit}) {columns} FROM {} AS t{condition} ORDER BY {order}", table.name)
}

/// Inserts the rows that are given.
pub(super) fn insert(table: &Table<'_>) -> String {
    let names = names(table);
    let mut columns: Vec<String> = names.iter().map(|name| format!("[{name}]")).collect();
    // A text goes as it is: one that is too long for its column is refused by the server, a conversion would cut it.
    let whole = |name: &&str| match type_of(table, name) {
        text if text.starts_with("nvarchar") => cut("@P3", &format!("v.[{name}]")),
        _ => given(table, name),
    };
    let mut found: Vec<String> = names.iter().map(whole).collect();
    let mut add = |column: &str, value: String| {
        columns.push(column.to_owned());
        found.push(value);
    };
    // What stands beside a key of any length.
    match table.name {
        "agenda" => add("c_length", "v.[c] % 1073741824".to_owned()),
        "container" => {
            for (column, of) in [("normalised_hash", "normalised"), ("anchor_hash", "anchor")] {
                add(column, format!("CAST(HASHBYTES('SHA2_256', {}) AS binary(16))", given(table, of)));
            }
        }
        _ => {}
    }
    let (columns, found) = (columns.join(", "), found.join(", "));
    format!("INSERT INTO {} ({columns}) SELECT {found} FROM {}", table.name, rows_given(&names))
}

/// Deletes the rows whose keys are given.
pub(super) fn delete(table: &Table<'_>) -> String {
    let names: Vec<&str> = table.columns().take(table.keys).collect();
    let equal = names.iter().map(|name| {
        let value = given(table, name);
        match (table.name, *name, type_of(table, name)) {
            ("agenda", "c", _) => format!("t.c = {value} AND t.c_length = v.[c] % 1073741824"),
            (_, name, text) if text.starts_with("nvarchar") => {
                format!("t.[{name}] = {value} COLLATE Latin1_General_BIN2")
            }
            (_, name, _) => format!("t.[{name}] = {value}"),
        }
    });
    let on: Vec<String> = equal.collect();
    format!("DELETE t FROM {} JOIN {} AS t ON {}", rows_given(&names), table.name, on.join(" AND "))
}
