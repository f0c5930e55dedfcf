//! Opening: is it a server that will do, is the database ours, is it too new, what is missing in its schema.

use super::connection::{Client, Connections};
use super::options::SqlServerOptions;
use super::query::last;
use super::sql_open as sql;
use super::transaction::locked;
use super::value::{Asked, params};
use crate::error::StoreError;
use crate::relational::{Cells, Checked, values};
use crate::schema::{SchemaState, checksum};

/// The oldest server that will do: the number its versions begin with, and its name.
const SERVER_MIN: (u32, &str) = (13, "2016");
/// The oldest compatibility level that reads JSON.
const LEVEL_MIN: i64 = 130;
/// Editions of the cloud, whose version says nothing: they are always new.
const ALWAYS_NEW: [i64; 2] = [5, 8];
/// What the database's administrator runs once.
pub(super) const ALLOW_SNAPSHOT: &str = "ALTER DATABASE CURRENT SET ALLOW_SNAPSHOT_ISOLATION ON";

const OPENING: &str = "opening the database";
const DOING: &str = "bringing the schema up to date";

/// Migrations in order: name and statements.
pub(super) const MIGRATIONS: [(&str, &str); 4] = [
    ("initial", include_str!("../../schema/mssql/0001_initial.sql")),
    ("views", include_str!("../../schema/mssql/0002_views.sql")),
    ("event chain", include_str!("../../schema/mssql/0003_event_chain.sql")),
    ("servers", include_str!("../../schema/mssql/0004_servers.sql")),
];

/// Checks the server and the database, and makes or updates what is in it.
pub(super) fn open(connections: &Connections, options: &SqlServerOptions) -> Checked<()> {
    open_of(connections, options, MIGRATIONS.len() as u32)
}

/// The same, up to a version of the schema.
pub(super) fn open_of(connections: &Connections, options: &SqlServerOptions, version: u32) -> Checked<()> {
    let client = connections.writer(OPENING)?;
    let found = is_at(&client, options, version);
    connections.end_write(client);
    if found? {
        return Ok(());
    }
    // An index over millions of rows takes its time. What a failed migration left is taken back with the connection.
    migrate(&connections.patient(DOING)?, version)
}

fn is_at(client: &Client, options: &SqlServerOptions, version: u32) -> Checked<bool> {
    check_server(client, options, true)?;
    let found = match exists(client)? {
        false => {
            refuse_others(client, options)?;
            0
        }
        true => applied(client)?.found,
    };
    match found {
        0 if options.filled => Err(StoreError::NotInstalled),
        found => Ok(found >= version),
    }
}

/// Whether the server and the database will do; `ready`: snapshots are allowed already.
pub(super) fn check_server(client: &Client, options: &SqlServerOptions, ready: bool) -> Checked<()> {
    let unsuitable = |why: String| Err(StoreError::Unsuitable { why });
    let rows = last(client.run(sql::SERVER, OPENING)?);
    let Some(row) = rows.first() else { return Ok(()) };
    let cells = Cells { table: "sys.databases", row };
    let (found, edition): (Option<String>, Option<i64>) = (cells.get(0)?, cells.get(1)?);
    // Babelfish, PostgreSQL with this protocol: it says that it is an old version, and needs none of what is asked below.
    if cells.get::<Option<i64>>(2)? == Some(1) {
        return Ok(());
    }
    let found = found.unwrap_or_default();
    let major: u32 = found.split('.').next().and_then(|number| number.parse().ok()).unwrap_or(0);
    let (least, needed) = SERVER_MIN;
    if major < least && !edition.is_some_and(|edition| ALWAYS_NEW.contains(&edition)) {
        let why = "older ones read no JSON, and get no repairs any more";
        return Err(StoreError::TooOld { product: "SQL Server", found, needed, why });
    }
    let (level, snapshot): (i64, Option<i64>) = (cells.get(4)?, cells.get(5)?);
    if level < LEVEL_MIN {
        return unsuitable(format!(
            "its compatibility level is {level}, and {LEVEL_MIN} is needed; the database's administrator runs: \
             `ALTER DATABASE CURRENT SET COMPATIBILITY_LEVEL = {LEVEL_MIN}` in `{}`",
            options.database()
        ));
    }
    if ready && snapshot != Some(1) {
        return unsuitable(format!(
            "it does not allow snapshots, without which readers and writers stand in each other's way; the database's \
             administrator runs: `{ALLOW_SNAPSHOT}` in `{}`",
            options.database()
        ));
    }
    if cells.get::<Option<i64>>(6)? == Some(2) {
        return unsuitable(format!(
            "its commits are always delayed (`DELAYED_DURABILITY = FORCED`), so that what was sent to a directory may be \
             forgotten; the database's administrator runs: `ALTER DATABASE CURRENT SET DELAYED_DURABILITY = DISABLED` \
             in `{}`",
            options.database()
        ));
    }
    if cells.get::<Option<i64>>(7)? == Some(1) {
        return unsuitable(
            "it is read-only: bring it back into use, or name the server that holds it now".to_owned(),
        );
    }
    Ok(())
}

pub(super) fn exists(client: &Client) -> Checked<bool> {
    let rows = last(client.run(sql::HAS_MIGRATIONS, OPENING)?);
    let there = rows.first().map(|row| Cells { table: "sys.objects", row }.get(0)).transpose()?;
    Ok(there.unwrap_or(false))
}

pub(super) fn refuse_others(client: &Client, options: &SqlServerOptions) -> Checked<()> {
    let rows = last(client.run(sql::OTHERS, OPENING)?);
    let name =
        rows.first().map(|row| Cells { table: "sys.objects", row }.get::<Option<String>>(0)).transpose()?;
    match name.flatten() {
        None => Ok(()),
        Some(name) => {
            let why = format!("it holds `{name}` and no table `onesync_migration`");
            Err(StoreError::NotOurs { place: options.place(), why })
        }
    }
}

/// The migrations of the database beside those of this program; an error when it was made by a newer or modified one.
pub(super) fn applied(client: &Client) -> Checked<SchemaState> {
    let mut known = Vec::new();
    for row in &last(client.run(sql::MIGRATIONS, DOING)?) {
        let cells = Cells { table: "onesync_migration", row };
        known.push((cells.get(0)?, cells.get(1)?, cells.get(2)?));
    }
    SchemaState::of(&known, &MIGRATIONS)
}

/// How far the schema of a database is; nothing is changed.
pub(super) fn schema(connections: &Connections, options: &SqlServerOptions) -> Checked<SchemaState> {
    let client = connections.writer(OPENING)?;
    let looked = check_server(&client, options, true).and_then(|()| match exists(&client)? {
        true => applied(&client),
        false => refuse_others(&client, options).and_then(|()| SchemaState::of(&[], &MIGRATIONS)),
    });
    connections.end_write(client);
    looked
}

/// Applies what is missing, in one transaction; whoever comes at the same time waits at the lock, and finds it done.
fn migrate(client: &Client, version: u32) -> Checked<()> {
    locked(&last(client.run(sql::BEGIN_MIGRATION, DOING)?), DOING)?;
    client.run(sql::MIGRATION_TABLE, DOING)?;
    apply(client, applied(client)?.found, version)?;
    client.run(sql::COMMIT, DOING).map(|_| ())
}

/// Applies the migrations after a version up to another one.
fn apply(client: &Client, found: u32, version: u32) -> Checked<()> {
    let migrations = (1u32..).zip(MIGRATIONS).take(version as usize).skip(found as usize);
    for (version, (name, text)) in migrations {
        for batch in batches(text) {
            client.run(&batch, DOING)?;
        }
        let row = Asked::Values(params(&values![version, name, checksum(text)]));
        client.ask(sql::MIGRATION_PUT, &row, DOING)?;
    }
    Ok(())
}

/// The batches of a migration: a view, for example, must be alone in one. A line `GO` stands between them.
pub(super) fn batches(text: &str) -> Vec<String> {
    let mut out = vec![String::new()];
    for line in text.lines() {
        match (line.trim(), out.last_mut()) {
            ("GO", _) => out.push(String::new()),
            (_, Some(batch)) => {
                batch.push_str(line);
                batch.push('\n');
            }
            _ => {}
        }
    }
    out.retain(|batch| !batch.trim().is_empty());
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_go_parts_batches() {
        assert_eq!(batches("a\nb\nGO\nc\n GO \n\n"), ["a\nb\n", "c\n"]);
    }
}
