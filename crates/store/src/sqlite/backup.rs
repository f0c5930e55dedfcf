//! The embedded database as a file beside it, and back.

use std::path::Path;

use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, OpenFlags};

use super::{failed, open, sql};
use crate::backup::BackedUp;
use crate::error::StoreError;

const DOING: &str = "backing up the database";

/// Writes one state of the database into a new file, and looks whether the file is sound and holds as much.
pub(super) fn backup(path: &Path, into: &Path) -> Result<Vec<BackedUp>, StoreError> {
    let source = open::as_it_is(path, DOING)?;
    // What is counted is what is copied: both are of this snapshot's time, since nobody else may write meanwhile.
    let before = counts(&source)?;
    source.execute(sql::COPY, [into.to_string_lossy()]).map_err(failed(DOING))?;
    let copied = verify(into)?;
    if copied != before {
        return Err(StoreError::Busy { doing: DOING });
    }
    Ok(copied)
}

/// Writes one state of the database into a new file.
pub(super) fn copy(path: &Path, into: &Path) -> Result<(), StoreError> {
    let source = open::as_it_is(path, DOING)?;
    source.execute(sql::COPY, [into.to_string_lossy()]).map(|_| ()).map_err(failed(DOING))
}

/// Puts the contents of another file into a database, whole or not at all; whoever reads it sees one or the other.
pub(super) fn replace(path: &Path, with: &Path) -> Result<(), StoreError> {
    let doing = "putting a backup back";
    let (source, mut target) = (open::as_it_is(with, doing)?, open::as_it_is(path, doing)?);
    target.pragma_update(None, "synchronous", "FULL").map_err(failed(doing))?;
    let backup = Backup::new(&source, &mut target).map_err(failed(doing))?;
    match backup.step(-1).map_err(failed(doing))? {
        StepResult::Done => Ok(()),
        _ => Err(StoreError::Busy { doing }),
    }
}

/// Reads a backup through: its pages, its indices, the rows of its tables.
pub(super) fn verify(file: &Path) -> Result<Vec<BackedUp>, StoreError> {
    let doing = "verifying the backup";
    let flags = OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_READ_ONLY;
    let copy = Connection::open_with_flags(file, flags).map_err(failed(doing))?;
    let found: String =
        copy.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0)).map_err(failed(doing))?;
    if found != "ok" {
        let place = file.display();
        return Err(StoreError::Unsuitable { why: format!("the backup `{place}` is damaged: {found}") });
    }
    counts(&copy)
}

/// Forgets what the service has noted under a name, in a file that was put back.
pub(super) fn forget(file: &Path, state: &str) -> Result<(), StoreError> {
    let connection = open::as_it_is(file, DOING)?;
    connection.execute(sql::FORGET, [state]).map(|_| ()).map_err(failed(DOING))
}

/// Raises the epoch to a number, in a file that was put back.
pub(super) fn raise_epoch(file: &Path, epoch: u64) -> Result<(), StoreError> {
    let connection = open::as_it_is(file, DOING)?;
    connection.execute(sql::EPOCH_AT_LEAST, [epoch as i64]).map(|_| ()).map_err(failed(DOING))
}

fn counts(connection: &Connection) -> Result<Vec<BackedUp>, StoreError> {
    let names: Vec<String> = {
        let mut tables = connection.prepare(sql::OWN_TABLES).map_err(failed(DOING))?;
        let rows = tables.query_map([], |row| row.get(0)).map_err(failed(DOING))?;
        rows.collect::<Result<_, _>>().map_err(failed(DOING))?
    };
    let count = |table: String| {
        // A name that the database itself gave.
        let ask = format!("SELECT count(*) FROM \"{}\"", table.replace('"', "\"\""));
        let rows: i64 = connection.query_row(&ask, [], |row| row.get(0)).map_err(failed(DOING))?;
        Ok(BackedUp { table, rows: rows.unsigned_abs() })
    };
    names.into_iter().map(count).collect()
}
