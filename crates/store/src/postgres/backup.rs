//! A database on a server as files, one a table, in the server's own form of COPY, and back into an empty database.

use std::fs::File;
use std::io::{BufReader, BufWriter, Read as _, Write as _};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use deadpool_postgres::Object;
use futures::{SinkExt as _, StreamExt as _};

use super::connection::{Connections, run};
use super::failure::failed;
use super::options::PostgresOptions;
use super::query::{Param, ask};
use super::{open, sql};
use crate::backup::BackedUp;
use crate::error::StoreError;
use crate::relational::wait::wait;
use crate::relational::{Cells, Checked, Value};

const DOING: &str = "backing up the database";
const RESTORING: &str = "putting a backup back";
/// Bytes sent at once.
const PIECE: usize = 256 * 1024;

/// The file of a table.
fn file(folder: &Path, table: &str) -> PathBuf {
    folder.join(format!("{table}.copy"))
}

/// Writes one state of all tables into a folder.
pub(super) fn backup(connections: &Connections, folder: &Path) -> Checked<Vec<BackedUp>> {
    let client = connections.reader(DOING)?;
    let written = tables(&client, folder);
    if client.is_closed() || run(&client, sql::ROLLBACK, DOING).is_err() {
        drop(Object::take(client));
    }
    written
}

fn tables(client: &Object, folder: &Path) -> Checked<Vec<BackedUp>> {
    run(client, sql::BEGIN_READ, DOING)?;
    let rows = wait(ask(client, sql::OWN_TABLES, &[])).map_err(failed(DOING))?;
    let mut out = Vec::with_capacity(rows.len());
    for row in &rows {
        let table: String = Cells { table: "pg_class", row }.get(0)?;
        let place = file(folder, &table);
        wait(copy_out(client, &table, &place))?;
        out.push(BackedUp { rows: count(client, &table)?, table });
    }
    Ok(out)
}

/// A file in which something went wrong.
fn in_file<'p>(place: &'p Path, doing: &'static str) -> impl Fn(std::io::Error) -> StoreError + 'p {
    move |error| match error.kind() {
        std::io::ErrorKind::StorageFull => StoreError::Full { doing },
        _ => StoreError::Database { doing, message: format!("{}: {error}", place.display()) },
    }
}

async fn copy_out(client: &Object, table: &str, place: &Path) -> Checked<()> {
    let to_file = in_file(place, DOING);
    let mut out = BufWriter::new(File::create_new(place).map_err(&to_file)?);
    let copy = format!("COPY {table} TO STDOUT (FORMAT binary)");
    let stream = client.copy_out(&copy).await.map_err(failed(DOING))?;
    let mut stream = std::pin::pin!(stream);
    while let Some(piece) = stream.next().await {
        out.write_all(&piece.map_err(failed(DOING))?).map_err(&to_file)?;
    }
    out.into_inner()
        .map_err(std::io::IntoInnerError::into_error)
        .and_then(|file| file.sync_all())
        .map_err(to_file)
}

fn count(client: &Object, table: &str) -> Checked<u64> {
    let rows = wait(client.query(&format!("SELECT count(*) FROM {table}"), &[])).map_err(failed(DOING))?;
    let count = rows.first().map_or(Ok(0), |row| row.try_get::<_, i64>(0)).map_err(failed(DOING))?;
    Ok(count.unsigned_abs())
}

/// Makes the schema of a version in an empty database, fills its tables, forgets what the service has noted under a
/// name, and raises the epoch to a number; all of it or nothing.
pub(super) fn restore(
    connections: &Connections,
    options: &PostgresOptions,
    folder: &Path,
    version: u32,
    tables: &[BackedUp],
    forget: &str,
    epoch: u64,
) -> Checked<()> {
    let client = connections.writer(RESTORING)?;
    open::check_server(&client)?;
    if open::exists(&client)? {
        let why = format!("{} holds an installation; a backup goes into an empty database", options.place());
        return Err(StoreError::Unsuitable { why });
    }
    open::refuse_others(&client, options)?;
    run(&client, sql::BEGIN_WRITE, RESTORING)?;
    let restored = fill(&client, folder, version, tables).and_then(|()| {
        let params = [Param::One(Value::Text(forget.into()))];
        wait(ask(&client, sql::FORGET, &params)).map_err(failed(RESTORING))?;
        let params = [Param::One(Value::Integer(epoch as i64))];
        wait(ask(&client, sql::EPOCH_AT_LEAST, &params)).map_err(failed(RESTORING))?;
        run(&client, sql::COMMIT, RESTORING)
    });
    if restored.is_err() && !client.is_closed() {
        run(&client, sql::ROLLBACK, RESTORING)?;
    }
    restored
}

fn fill(client: &Object, folder: &Path, version: u32, tables: &[BackedUp]) -> Checked<()> {
    open::make_table(client)?;
    open::apply(client, 0, version)?;
    for BackedUp { table, rows } in tables {
        // What the migrations themselves put there is in the backup, too.
        run(client, &format!("DELETE FROM {table}"), RESTORING)?;
        wait(copy_in(client, table, &file(folder, table)))?;
        let found = count(client, table)?;
        if found != *rows {
            let why = format!("the backup's table `{table}` has {found} rows, {rows} were written into it");
            return Err(StoreError::Unsuitable { why });
        }
    }
    Ok(())
}

async fn copy_in(client: &Object, table: &str, place: &Path) -> Checked<()> {
    let of_file = in_file(place, RESTORING);
    let mut source = BufReader::new(File::open(place).map_err(&of_file)?);
    let copy = format!("COPY {table} FROM STDIN (FORMAT binary)");
    let sink = client.copy_in::<_, Bytes>(&copy).await.map_err(failed(RESTORING))?;
    let mut sink = std::pin::pin!(sink);
    loop {
        let mut piece = Vec::with_capacity(PIECE);
        source.by_ref().take(PIECE as u64).read_to_end(&mut piece).map_err(&of_file)?;
        if piece.is_empty() {
            break;
        }
        sink.send(Bytes::from(piece)).await.map_err(failed(RESTORING))?;
    }
    sink.finish().await.map(|_| ()).map_err(failed(RESTORING))
}
