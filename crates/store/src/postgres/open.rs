//! Opening: is it a server that will do, is the database ours, is it too new, what is missing in its schema.

use deadpool_postgres::Object;

use super::connection::{Connections, run};
use super::failure::failed;
use super::options::PostgresOptions;
use super::query::ask;
use super::sql;
use crate::error::StoreError;
use crate::relational::wait::wait;
use crate::relational::{Cells, Checked, Patience};
use crate::schema::{SchemaState, checksum};

/// The oldest server that will do, as a number and as text.
const SERVER_MIN: (i64, &str) = (130_000, "13");
/// Attempts to make the table of migrations: another program may make it at the same instant.
const ATTEMPTS: usize = 10;

const DOING: &str = "bringing the schema up to date";

/// Migrations in order: name and statements.
pub(super) const MIGRATIONS: [(&str, &str); 5] = [
    ("initial", include_str!("../../schema/postgres/0001_initial.sql")),
    ("views", include_str!("../../schema/postgres/0002_views.sql")),
    ("agenda by number", include_str!("../../schema/postgres/0003_agenda_by_number.sql")),
    ("event chain", include_str!("../../schema/postgres/0004_event_chain.sql")),
    ("servers", include_str!("../../schema/postgres/0005_servers.sql")),
];

/// Checks the server and the database, and makes or updates what is in it.
pub(super) fn open(connections: &Connections, options: &PostgresOptions) -> Checked<()> {
    open_of(connections, options, MIGRATIONS.len() as u32)
}

/// The same, up to a version of the schema.
pub(super) fn open_of(connections: &Connections, options: &PostgresOptions, version: u32) -> Checked<()> {
    let client = connections.writer("opening the database")?;
    check_server(&client)?;
    let found = match exists(&client)? {
        false => {
            refuse_others(&client, options)?;
            0
        }
        true => applied(&client)?.found,
    };
    if found >= version {
        return Ok(());
    }
    if found == 0 && options.filled {
        return Err(StoreError::NotInstalled);
    }
    let mut patience = Patience::new();
    for _ in 0..ATTEMPTS {
        match make_table(&client) {
            Ok(()) => break,
            // The other one was faster.
            Err(StoreError::Conflict(_)) => patience.pause(StoreError::Busy { doing: DOING })?,
            Err(error) => return Err(error),
        }
    }
    let migrated = migrate(&client, version);
    if migrated.is_err() {
        run(&client, sql::ROLLBACK, DOING)?;
    }
    migrated
}

pub(super) fn check_server(client: &Object) -> Checked<()> {
    let rows = wait(ask(client, sql::SERVER, &[])).map_err(failed("opening the database"))?;
    let Some(row) = rows.first() else { return Ok(()) };
    let cells = Cells { table: "pg_settings", row };
    let (version, found, encoding): (i64, String, String) = (cells.get(0)?, cells.get(1)?, cells.get(2)?);
    let (least, needed) = SERVER_MIN;
    if version < least {
        let why = "older ones get no repairs any more";
        return Err(StoreError::TooOld { product: "PostgreSQL", found, needed, why });
    }
    if encoding != "UTF8" {
        let why = format!(
            "its encoding is {encoding}, and names of people need UTF8: make a database with `CREATE DATABASE ... \
             ENCODING 'UTF8' TEMPLATE template0`"
        );
        return Err(StoreError::Unsuitable { why });
    }
    match cells.get::<Option<String>>(3)? {
        Some(_) => Ok(()),
        None => Err(StoreError::Unsuitable {
            why: "no schema of its search path exists or may be used by the account: make one, or set `search_path`"
                .to_owned(),
        }),
    }
}

pub(super) fn exists(client: &Object) -> Checked<bool> {
    let rows = wait(ask(client, sql::HAS_MIGRATIONS, &[])).map_err(failed("opening the database"))?;
    let there = rows.first().map(|row| Cells { table: "pg_class", row }.count(0)).transpose()?;
    Ok(there.unwrap_or(0) > 0)
}

pub(super) fn refuse_others(client: &Object, options: &PostgresOptions) -> Checked<()> {
    let rows = wait(ask(client, sql::OTHERS, &[])).map_err(failed("opening the database"))?;
    let name =
        rows.first().map(|row| Cells { table: "pg_class", row }.get::<Option<String>>(0)).transpose()?;
    match name.flatten() {
        None => Ok(()),
        Some(name) => {
            let why = format!("it holds `{name}` and no table `onesync_migration`");
            Err(StoreError::NotOurs { place: options.place(), why })
        }
    }
}

pub(super) fn applied(client: &Object) -> Checked<SchemaState> {
    let rows = wait(ask(client, sql::MIGRATIONS, &[])).map_err(failed(DOING))?;
    let mut versions = Vec::with_capacity(rows.len());
    for row in &rows {
        let cells = Cells { table: "onesync_migration", row };
        versions.push((cells.get::<u32>(0)?, cells.get::<String>(1)?, cells.get::<Vec<u8>>(2)?));
    }
    SchemaState::of(&versions, &MIGRATIONS)
}

/// How far the schema is; nothing is changed.
pub(super) fn schema(connections: &Connections, options: &PostgresOptions) -> Checked<SchemaState> {
    let client = connections.writer("looking at the database's schema")?;
    check_server(&client)?;
    if exists(&client)? {
        return applied(&client);
    }
    refuse_others(&client, options)?;
    SchemaState::of(&[], &MIGRATIONS)
}

pub(super) fn make_table(client: &Object) -> Checked<()> {
    run(client, sql::MIGRATION_TABLE, DOING)?;
    run(client, sql::MIGRATION_LOCK_ROW, DOING)
}

/// Applies what is missing, in one transaction; whoever comes at the same time waits at the row, and finds it done.
fn migrate(client: &Object, version: u32) -> Checked<()> {
    run(client, sql::BEGIN_WRITE, DOING)?;
    wait(ask(client, sql::MIGRATION_LOCK, &[])).map_err(failed(DOING))?;
    let state = applied(client)?;
    apply(client, state.found, version)?;
    run(client, sql::COMMIT, DOING)
}

/// Applies the migrations after one version, up to another.
pub(super) fn apply(client: &Object, from: u32, to: u32) -> Checked<()> {
    for (version, (name, text)) in (1u32..).zip(MIGRATIONS).take(to as usize).skip(from as usize) {
        run(client, text, DOING)?;
        let version = version as i32;
        wait(client.execute(sql::MIGRATION_PUT, &[&version, &name, &checksum(text)]))
            .map_err(failed(DOING))?;
    }
    Ok(())
}
