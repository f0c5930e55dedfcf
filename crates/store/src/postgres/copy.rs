//! A copy of everything in an embedded database, for what-if.

use std::path::Path;

use deadpool_postgres::Object;

use super::connection::{Connections, run};
use super::failure::failed;
use super::sql;
use super::wait::wait;
use crate::relational::Checked;
use crate::relational::tables::TABLES;
use crate::sqlite::Filling;

/// Rows asked for at once.
const ROWS: usize = 2_000;

const DOING: &str = "copying the database";

/// Copies one state of the database into a new file.
pub(super) fn copy(connections: &Connections, file: &Path) -> Checked<()> {
    let client = connections.reader(DOING)?;
    let copied = copy_tables(&client, file);
    if client.is_closed() || run(&client, sql::ROLLBACK, DOING).is_err() {
        drop(Object::take(client));
    }
    copied
}

fn copy_tables(client: &Object, file: &Path) -> Checked<()> {
    run(client, sql::BEGIN_READ, DOING)?;
    let mut filling = Filling::begin(file)?;
    let fetch = format!("FETCH {ROWS} FROM copied");
    for table in TABLES {
        // From names that are constants of this program; by the key, as the embedded database likes it best.
        let (columns, name) = (table.columns, table.name);
        let cursor = format!("DECLARE copied NO SCROLL CURSOR FOR SELECT {columns} FROM {name} ORDER BY 1");
        run(client, &cursor, DOING)?;
        loop {
            let rows = wait(client.query(&fetch, &[])).map_err(failed(DOING))?;
            filling.rows(table, &rows)?;
            if rows.len() < ROWS {
                break;
            }
        }
        run(client, "CLOSE copied", DOING)?;
    }
    filling.end()
}
