//! Whole tables of the embedded database.

use rusqlite::{Connection, params_from_iter};

use super::{failed, load, open, sql};
use crate::bulk::{Bulk, Rows, Values};
use crate::relational::Checked;
use crate::relational::tables::{TABLES, Table};

const DOING: &str = "copying the database";

/// A connection of its own.
pub(super) struct SqliteBulk(Connection);

impl SqliteBulk {
    pub(super) fn open(path: &std::path::Path) -> Checked<Self> {
        Ok(Self(open::writer(path)?))
    }

    /// The same on a schema of a version.
    pub(super) fn of_version(path: &std::path::Path, version: u32) -> Checked<Self> {
        Ok(Self(open::writer_of(path, version)?))
    }

    /// The same over one state of the database, which cannot be written.
    pub(super) fn snapshot(path: &std::path::Path) -> Checked<Self> {
        let connection = open::reader(path)?;
        let begun = connection.execute_batch("BEGIN").and_then(|()| {
            // A snapshot begins with the first row that is read.
            connection.query_row(sql::TOUCH, [], |_| Ok(()))
        });
        begun.map_err(failed("beginning a snapshot"))?;
        Ok(Self(connection))
    }

    fn synchronous(&self, level: &str) -> Checked<()> {
        self.0.pragma_update(None, "synchronous", level).map_err(failed(DOING))
    }

    /// Runs one statement for the first values of each row, in one transaction.
    fn each(&mut self, statement: &str, values: usize, rows: &Rows) -> Checked<()> {
        let tx = self.0.transaction().map_err(failed(DOING))?;
        {
            let mut statement = tx.prepare_cached(statement).map_err(failed(DOING))?;
            for row in rows.iter() {
                statement.execute(params_from_iter(Values(row).take(values))).map_err(failed(DOING))?;
            }
        }
        tx.commit().map_err(failed(DOING))
    }
}

/// `?1, ?2, ...`
fn places(count: usize) -> String {
    (1..=count).map(|number| format!("?{number}")).collect::<Vec<_>>().join(", ")
}

// The statements are made of names that are constants of this program.
impl Bulk for SqliteBulk {
    fn read(&mut self, table: &Table<'_>, after: Option<&[u8]>, limit: usize) -> Checked<Rows> {
        let (name, columns, key) = (table.name, table.columns, table.key());
        let after_key = match after {
            Some(_) => format!("WHERE ({key}) > ({})", places(table.keys)),
            None => String::new(),
        };
        let select = format!("SELECT {columns} FROM {name} {after_key} ORDER BY {key} LIMIT {limit}");
        let mut select = self.0.prepare_cached(&select).map_err(failed(DOING))?;
        let key = Values(after.unwrap_or_default()).take(table.keys);
        let mut found = select.query(params_from_iter(key)).map_err(failed(DOING))?;
        let mut rows = Rows::default();
        while let Some(row) = found.next().map_err(failed(DOING))? {
            rows.push(table, row)?;
        }
        Ok(rows)
    }

    fn add(&mut self, table: &Table<'_>, rows: &Rows) -> Checked<()> {
        let count = table.columns().count();
        let put = format!("INSERT INTO {} ({}) VALUES ({})", table.name, table.columns, places(count));
        self.each(&put, count, rows)
    }

    fn remove(&mut self, table: &Table<'_>, rows: &Rows) -> Checked<()> {
        let key = table.key();
        let delete = format!("DELETE FROM {} WHERE ({key}) = ({})", table.name, places(table.keys));
        self.each(&delete, table.keys, rows)
    }

    fn begin_fill(&mut self) -> Checked<()> {
        self.synchronous("OFF")?;
        load::begin(&self.0)?;
        // A new database has its counters; they come with all else.
        self.clear()
    }

    fn end_fill(&mut self) -> Checked<()> {
        self.0.pragma_update(None, "temp_store", "FILE").map_err(failed(DOING))?;
        load::end(&self.0)?;
        self.0.pragma_update(None, "temp_store", "MEMORY").map_err(failed(DOING))
    }

    fn clear(&mut self) -> Checked<()> {
        let kept = format!("DELETE FROM setting WHERE name NOT LIKE '{}%'", crate::transfer::OF_DATABASE);
        let all = TABLES.iter().filter(|table| table.name != "setting");
        let all: String = all.map(|table| format!("DELETE FROM {};", table.name)).collect();
        self.0.execute_batch(&format!("BEGIN IMMEDIATE; {all} {kept}; COMMIT")).map_err(failed(DOING))
    }

    fn set(&mut self, name: &str, value: &str) -> Checked<()> {
        self.synchronous("FULL")?;
        self.0.execute(sql::SETTING_PUT, (name, value)).map_err(failed(DOING))?;
        // What was written without waiting for the disk is in the file only now.
        let end = |row: &rusqlite::Row<'_>| row.get::<_, i64>(0);
        self.0.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], end).map(|_| ()).map_err(failed(DOING))
    }
}
