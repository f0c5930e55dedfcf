//! Filling an empty database with the rows of another store.

use std::path::Path;

use rusqlite::{Connection, params_from_iter};

use super::{failed, load, open};
use crate::relational::Checked;
use crate::relational::row::Columns;
use crate::relational::tables::Table;

const DOING: &str = "copying the database";

/// A new database that is being filled.
pub(crate) struct Filling(Connection);

impl Filling {
    /// Makes it; the file must not be there.
    pub(crate) fn begin(path: &Path) -> Checked<Self> {
        let connection = open::writer(path)?;
        load::begin(&connection)?;
        connection.execute_batch("BEGIN").map_err(failed(DOING))?;
        Ok(Self(connection))
    }

    /// Adds rows of a table.
    pub(crate) fn rows(&mut self, table: &Table, rows: &[impl Columns]) -> Checked<()> {
        let count = table.columns.split(',').count();
        let places: Vec<String> = (1..=count).map(|number| format!("?{number}")).collect();
        // From names that are constants of this program.
        let put = format!(
            "INSERT OR REPLACE INTO {} ({}) VALUES ({})",
            table.name,
            table.columns,
            places.join(", ")
        );
        let mut put = self.0.prepare_cached(&put).map_err(failed(DOING))?;
        for row in rows {
            let values = (0..count).map(|column| row.value(column)).collect::<Result<Vec<_>, _>>();
            let values = values.map_err(|what| crate::StoreError::Damaged {
                table: table.name,
                row: "?".to_owned(),
                what,
            })?;
            put.execute(params_from_iter(values)).map_err(failed(DOING))?;
        }
        Ok(())
    }

    /// Ends it: now it is a database like any other.
    pub(crate) fn end(self) -> Checked<()> {
        self.0.execute_batch("COMMIT").map_err(failed(DOING))?;
        load::end(&self.0)
    }
}
