//! Opening: is it ours, is it too new, what is missing in its schema; and how every connection is set.

use std::path::Path;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags, TransactionBehavior};

use super::{failed, sql};
use crate::error::StoreError;
use crate::schema::{SchemaState, checksum};

/// Marks the file as ours (`PRAGMA application_id`): "1Syn".
const APPLICATION_ID: i64 = 0x3153_796e;
/// The oldest SQLite without the WAL-reset corruption bug, as a number and as text.
const SQLITE_MIN: (i32, &str) = (3_051_003, "3.51.3");
/// How long a connection waits for another program's lock.
const BUSY: Duration = Duration::from_secs(10);
/// Cache of the writer: the inner pages of all indices that a batch touches, and what the batch changes. With 64 MB
/// a load of 50,000 objects is not faster; the memory of the whole process is to stay below 300 MB.
const WRITER_CACHE_KB: i64 = 32 * 1024;
/// Cache of each reader.
const READER_CACHE_KB: i64 = 16 * 1024;
/// Pages in the log before it is brought over. Larger than the default of 1,000: pages of indices are changed by
/// many batches and are brought over once for all of them.
const CHECKPOINT_PAGES: i64 = 8_000;
/// The log file is cut to this size after it was brought over.
const LOG_BYTES: i64 = 64 * 1024 * 1024;
/// A log longer than this was not brought over as a whole, because something was always being read.
pub(super) const LOG_MAX: u64 = 2 * LOG_BYTES as u64;
/// Prepared statements kept per connection: more than there are.
const STATEMENTS: usize = 200;
/// The page size of new databases. Measured with rows of 1.5 KB: 18 percent fewer bytes than with 4 KB, and a quarter
/// more rows a second; 16 KB saves nothing more, and writes more to the log for links, whose keys are random.
const PAGE_BYTES: i64 = 8192;

/// Migrations in order: name and statements.
pub(super) const MIGRATIONS: [(&str, &str); 10] = [
    ("initial", include_str!("../../schema/sqlite/0001_initial.sql")),
    ("errors by cause", include_str!("../../schema/sqlite/0002_errors_by_cause.sql")),
    ("containers by anchor", include_str!("../../schema/sqlite/0003_containers.sql")),
    ("links without objects", include_str!("../../schema/sqlite/0004_links_without_objects.sql")),
    ("removals of links by target", include_str!("../../schema/sqlite/0005_removals_by_target.sql")),
    ("joins apart", include_str!("../../schema/sqlite/0006_joins_apart.sql")),
    ("settings", include_str!("../../schema/sqlite/0007_settings.sql")),
    ("views", include_str!("../../schema/sqlite/0008_views.sql")),
    ("event chain", include_str!("../../schema/sqlite/0009_event_chain.sql")),
    ("servers", include_str!("../../schema/sqlite/0010_servers.sql")),
];

/// Opens the writer, and makes or updates what is in the file.
pub(super) fn writer(path: &Path) -> Result<Connection, StoreError> {
    writer_of(path, MIGRATIONS.len() as u32)
}

/// The same, up to a version of the schema.
pub(super) fn writer_of(path: &Path, version: u32) -> Result<Connection, StoreError> {
    let doing = "opening the database";
    let (least, needed) = SQLITE_MIN;
    if rusqlite::version_number() < least {
        return Err(StoreError::TooOld {
            product: "SQLite",
            found: rusqlite::version().to_owned(),
            needed,
            why: "older ones can damage the database when it is written and checkpointed at once",
        });
    }
    let flags =
        OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE;
    let mut connection = Connection::open_with_flags(path, flags).map_err(failed(doing))?;
    connection.busy_timeout(BUSY).map_err(failed(doing))?;
    // Nothing is set before it is known that the file is ours: to change a setting is to write to the file.
    let fresh = refuse_others(&connection, path)?;
    let set = |name: &str, value: i64| connection.pragma_update(None, name, value).map_err(failed(doing));
    if fresh {
        set("page_size", PAGE_BYTES)?;
        // So that freed pages can be given back a few at a time; it cannot be switched on later. Costs up to a tenth.
        connection.pragma_update(None, "auto_vacuum", "INCREMENTAL").map_err(failed(doing))?;
    }
    configure(&connection, WRITER_CACHE_KB)?;
    set("wal_autocheckpoint", CHECKPOINT_PAGES)?;
    set("journal_size_limit", LOG_BYTES)?;
    migrate(&mut connection, version)?;
    Ok(connection)
}

/// Opens a connection that cannot write.
pub(super) fn reader(path: &Path) -> Result<Connection, StoreError> {
    let doing = "opening the database";
    // Not opened read-only: a reader of a log must be able to write its index.
    let flags = OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_READ_WRITE;
    let connection = Connection::open_with_flags(path, flags).map_err(failed(doing))?;
    connection.busy_timeout(BUSY).map_err(failed(doing))?;
    configure(&connection, READER_CACHE_KB)?;
    connection.pragma_update(None, "query_only", true).map_err(failed(doing))?;
    Ok(connection)
}

/// Whether the database is empty; an error when it holds something that is not ours.
fn refuse_others(connection: &Connection, path: &Path) -> Result<bool, StoreError> {
    let other = |why: String| StoreError::NotOurs { place: path.display().to_string(), why };
    let id = connection.pragma_query_value(None, "application_id", |row| row.get::<_, i64>(0));
    let id = id.map_err(|error| match error.sqlite_error_code() {
        Some(ErrorCode::NotADatabase) => other("it is no SQLite database".to_owned()),
        _ => failed("opening the database")(error),
    })?;
    let empty: bool =
        connection.query_row(sql::IS_EMPTY, [], |row| row.get(0)).map_err(failed("opening the database"))?;
    if id != APPLICATION_ID && !(empty && id == 0) {
        return Err(other(format!("it holds tables of another program, application id {id:#x}")));
    }
    Ok(empty)
}

fn configure(connection: &Connection, cache_kb: i64) -> Result<(), StoreError> {
    let doing = "setting up the database connection";
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    // Plans must not depend on bound values: SQLite would prepare a statement again for each new limit. Measured: a
    // fifth of the time of a full sync.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true).map_err(failed(doing))?;
    let set = |name: &str, value: &dyn rusqlite::ToSql| {
        connection.pragma_update(None, name, value).map_err(failed(doing))
    };
    set("journal_mode", &"WAL")?;
    set("synchronous", &"NORMAL")?;
    set("cache_size", &-cache_kb)?;
    set("temp_store", &"MEMORY")?;
    set("trusted_schema", &false)
}

/// The migrations of a database, and which of this program's it lacks; an error when it was made by a newer or a
/// modified program.
fn applied(connection: &Connection, doing: &'static str) -> Result<SchemaState, StoreError> {
    let rows: Vec<(u32, String, Vec<u8>)> = {
        let mut statement = connection.prepare(sql::MIGRATIONS).map_err(failed(doing))?;
        let rows = statement
            .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
            .map_err(failed(doing))?;
        rows.collect::<Result<_, _>>().map_err(failed(doing))?
    };
    SchemaState::of(&rows, &MIGRATIONS)
}

/// How far the schema of a database in a file is; nothing is changed, and nothing made.
pub(super) fn schema(path: &Path) -> Result<SchemaState, StoreError> {
    let doing = "looking at the database's schema";
    let connection = as_it_is(path, doing)?;
    let empty: bool = connection.query_row(sql::IS_EMPTY, [], |row| row.get(0)).map_err(failed(doing))?;
    match empty {
        true => SchemaState::of(&[], &MIGRATIONS),
        false => applied(&connection, doing),
    }
}

/// Opens a database of ours, of whatever version, which must be there; nothing of it is changed.
pub(super) fn as_it_is(path: &Path, doing: &'static str) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_READ_WRITE;
    let connection = Connection::open_with_flags(path, flags).map_err(failed(doing))?;
    connection.busy_timeout(BUSY).map_err(failed(doing))?;
    refuse_others(&connection, path)?;
    Ok(connection)
}

fn migrate(connection: &mut Connection, to: u32) -> Result<(), StoreError> {
    let doing = "bringing the schema up to date";
    // Whoever only looks waits for no writer. What is wrong, or missing, is said below.
    if applied(connection, doing).is_ok_and(|state| state.found >= to) {
        return Ok(());
    }
    // Two programs that open an empty file at once: the second waits here and finds the work done.
    let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed(doing))?;
    tx.execute_batch(sql::MIGRATION_TABLE).map_err(failed(doing))?;
    let state = applied(&tx, doing)?;
    if state.found >= to {
        return Ok(());
    }
    for (version, (name, text)) in (1u32..).zip(MIGRATIONS).take(to as usize).skip(state.found as usize) {
        tx.execute_batch(text).map_err(failed(doing))?;
        tx.execute(sql::MIGRATION_PUT, (version, name, checksum(text))).map_err(failed(doing))?;
    }
    tx.execute(sql::COUNTER_INIT, []).map_err(failed(doing))?;
    tx.pragma_update(None, "application_id", APPLICATION_ID).map_err(failed(doing))?;
    tx.commit().map_err(failed(doing))
}

#[cfg(test)]
mod tests {
    use onesync_engine::Join;
    use onesync_model::{ConnectorId, CsId, Hash128, MvId, RuleId, RunId};

    use super::*;
    use crate::sqlite::SqliteStore;
    use crate::store::Store as _;

    /// A database as a program with so many migrations left it, with two objects, one of them joined.
    fn of_version(path: &Path, version: usize) {
        let old = Connection::open(path).unwrap();
        old.pragma_update(None, "application_id", APPLICATION_ID).unwrap();
        old.execute_batch(sql::MIGRATION_TABLE).unwrap();
        for (number, (name, text)) in (1u32..).zip(MIGRATIONS).take(version) {
            old.execute_batch(text).unwrap();
            old.execute(sql::MIGRATION_PUT, (number, name, checksum(text))).unwrap();
        }
        old.execute(sql::COUNTER_INIT, []).unwrap();
        // The image of an object without values.
        let image = onesync_model::Image::empty();
        let row = "INSERT INTO cs_object (id, connector, object_type, flags, anchor_key, name_key, name, links, image)
            VALUES (?1, 1, 2, 0, ?2, ?3, 'CN=a', x'', ?4)";
        for id in [1u8, 2] {
            old.execute(row, (id, [id; 16], [id + 2; 16], image.as_bytes())).unwrap();
        }
        let join = match version {
            1..=5 => "UPDATE cs_object SET mv = 7, join_rule = 8, join_run = 9, owned = 1 WHERE id = 2",
            _ => "INSERT INTO cs_joined VALUES (2, 7, 8, 9, 1)",
        };
        old.execute(join, []).unwrap();
    }

    fn schema(path: &Path) -> Vec<(String, String)> {
        let connection = Connection::open(path).unwrap();
        let all = "SELECT name, coalesce(sql, '') FROM sqlite_master ORDER BY name";
        let mut statement = connection.prepare(all).unwrap();
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
        rows.collect::<Result<_, _>>().unwrap()
    }

    /// A writer that was stopped in the middle of its transaction is no reason not to see how things are.
    #[test]
    fn whoever_looks_waits_for_no_writer() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("one.db");
        drop(SqliteStore::open(&path).unwrap());
        let writer = Connection::open(&path).unwrap();
        writer.execute_batch("BEGIN IMMEDIATE").unwrap();
        assert!(SqliteStore::open(&path).unwrap().reader().unwrap().installation().unwrap().is_none());
    }

    #[test]
    fn a_database_of_each_earlier_version_ends_like_a_new_one_and_keeps_what_it_holds() {
        let folder = tempfile::tempdir().unwrap();
        let fresh = folder.path().join("fresh.db");
        drop(SqliteStore::open(&fresh).unwrap());
        for version in 1..=MIGRATIONS.len() {
            let path = folder.path().join(format!("{version}.db"));
            of_version(&path, version);
            let store = SqliteStore::open(&path).unwrap();
            assert_eq!(schema(&path), schema(&fresh), "version {version}");
            let reader = store.reader().unwrap();
            let join = Join { mv: MvId(7), rule: RuleId(8), run: RunId(9), owned: true };
            let joins: Vec<_> =
                reader.cs_by_id(&[CsId(1), CsId(2)]).unwrap().into_iter().map(|r| r.join).collect();
            assert_eq!(joins, [None, Some(join)], "version {version}");
            let found = reader.joined_in(ConnectorId(1), &[MvId(7)]).unwrap();
            let found: Vec<_> = found.iter().map(|row| (row.cs, row.key, row.name_key)).collect();
            assert_eq!(found, [(CsId(2), Some(Hash128([2; 16])), Some(Hash128([4; 16])))]);
            let targets = reader.link_targets(&[Hash128([2; 16]), Hash128([3; 16])]).unwrap();
            assert_eq!(
                targets,
                [(Hash128([2; 16]), CsId(2), Some(MvId(7))), (Hash128([3; 16]), CsId(1), None)]
            );
        }
    }
}
