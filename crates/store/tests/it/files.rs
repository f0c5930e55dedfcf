//! Files: ours, not ours, newer, damaged, reopened, cut off in the middle.

use onesync_engine::{Changes, CsRow};
use onesync_model::{Anchor, ConnectorId, CsId, Image, TypeId};
use onesync_store::conformance::{EPOCH, install};
use onesync_store::{SqliteStore, Store, StoreError};
use rusqlite::Connection;

fn row(id: i64) -> CsRow {
    CsRow {
        id: CsId(id),
        connector: ConnectorId(1),
        object_type: TypeId(1),
        anchor: Some(Anchor::text(&id.to_string())),
        container: None,
        name: "x".to_owned(),
        image: Image::empty(),
        links: vec![],
        flags: Default::default(),
        reason: None,
        join: None,
        leaving: None,
    }
}

fn error(path: &std::path::Path) -> StoreError {
    match SqliteStore::open(path) {
        Ok(_) => panic!("{} was opened", path.display()),
        Err(error) => error,
    }
}

#[test]
fn what_was_written_is_there_after_reopening() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("one.db");
    let store = SqliteStore::open(&path).unwrap();
    install(&store);
    store.apply(EPOCH, &Changes { cs: vec![row(1)], ..Changes::default() }).unwrap();
    let before = store.reader().unwrap().dump(true).unwrap();
    drop(store);
    let store = SqliteStore::open(&path).unwrap();
    assert_eq!(store.reader().unwrap().dump(true).unwrap(), before);
    let copy = folder.path().join("copy.db");
    store.copy_to(&copy).unwrap();
    assert_eq!(SqliteStore::open(&copy).unwrap().reader().unwrap().dump(true).unwrap(), before);
}

#[test]
fn a_file_that_is_not_ours_is_refused_and_left_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let text = folder.path().join("text");
    std::fs::write(
        &text,
        "this is no database, and long enough to be taken for one if nobody looked".repeat(20),
    )
    .unwrap();
    let other = folder.path().join("other.db");
    Connection::open(&other).unwrap().execute_batch("CREATE TABLE song (title TEXT)").unwrap();
    for path in [text, other] {
        let before = std::fs::read(&path).unwrap();
        let refused = error(&path);
        assert!(matches!(refused, StoreError::NotOurs { .. }), "{refused}");
        assert!(refused.to_string().contains(&path.display().to_string()), "{refused}");
        assert_eq!(std::fs::read(&path).unwrap(), before);
    }
}

#[test]
fn an_empty_file_becomes_a_store() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("empty");
    std::fs::write(&path, "").unwrap();
    install(&SqliteStore::open(&path).unwrap());
}

#[test]
fn a_newer_database_is_refused_with_both_versions() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("one.db");
    drop(SqliteStore::open(&path).unwrap());
    let other = Connection::open(&path).unwrap();
    other.execute("INSERT INTO schema_migration VALUES (99, 'later', x'00', '')", []).unwrap();
    let refused = error(&path);
    assert!(matches!(refused, StoreError::Newer { found: 99, known: 10 }), "{refused}");
    other.execute("DELETE FROM schema_migration WHERE version = 99", []).unwrap();
    other.execute("UPDATE schema_migration SET checksum = x'00'", []).unwrap();
    let refused = error(&path);
    assert!(matches!(refused, StoreError::Migration { version: 1, .. }), "{refused}");
}

#[test]
fn a_database_of_the_first_schema_keeps_its_errors_and_counts_them_by_type() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("one.db");
    // The mark of the file and of its first migration are those of a new one.
    let new = folder.path().join("new.db");
    drop(SqliteStore::open(&new).unwrap());
    let old = Connection::open(&path).unwrap();
    old.execute("ATTACH ?1 AS new", [new.to_str().unwrap()]).unwrap();
    let id: i64 = old.query_row("PRAGMA new.application_id", [], |row| row.get(0)).unwrap();
    old.pragma_update(None, "application_id", id).unwrap();
    let table = "SELECT sql FROM new.sqlite_master WHERE name = 'schema_migration'";
    let table: String = old.query_row(table, [], |row| row.get(0)).unwrap();
    old.execute_batch(&table).unwrap();
    old.execute_batch(include_str!("../../schema/sqlite/0001_initial.sql")).unwrap();
    let object_type = row(1).object_type.0;
    old.execute_batch(&format!(
        "INSERT INTO main.schema_migration SELECT * FROM new.schema_migration WHERE version = 1;
         INSERT INTO main.cs_object (id, connector, object_type, flags, name, links, image)
           VALUES (1, 1, {object_type}, 0, 'CN=1', x'', x''), (2, 1, {object_type}, 0, 'CN=2', x'', x'');
         INSERT INTO main.object_error VALUES (1, 'import', 1, 'A', '', 0, 1, 0), (2, 'import', 1, 'A', '', 0, 1, 0);",
    ))
    .unwrap();
    drop(old);
    let r = SqliteStore::open(&path).unwrap();
    let counts = r.reader().unwrap().error_counts().unwrap();
    let counts: Vec<_> = counts.iter().map(|c| (c.object_type, c.cause, c.count)).collect();
    assert_eq!(counts, [(row(1).object_type, 0, 2)]);
}

#[test]
fn damage_is_named_with_table_and_row() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("one.db");
    let store = SqliteStore::open(&path).unwrap();
    install(&store);
    store.apply(EPOCH, &Changes { cs: vec![row(1), row(42)], ..Changes::default() }).unwrap();
    let other = Connection::open(&path).unwrap();
    other.execute("UPDATE cs_object SET image = x'FF00' WHERE id = 42", []).unwrap();
    let r = store.reader().unwrap();
    assert_eq!(r.cs_by_id(&[CsId(1)]).unwrap().len(), 1);
    let message = r.cs_by_id(&[CsId(42)]).unwrap_err().to_string();
    assert!(message.contains("row 42") && message.contains("`cs_object`"), "{message}");
}

#[test]
fn two_stores_on_one_file_fence_each_other() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("one.db");
    let (old, new) = (SqliteStore::open(&path).unwrap(), SqliteStore::open(&path).unwrap());
    install(&old);
    let epoch = new.take_epoch(EPOCH).unwrap();
    let refused = old.apply(EPOCH, &Changes::default()).unwrap_err();
    assert!(matches!(refused, StoreError::Fenced { ours: EPOCH, .. }), "{refused}");
    new.apply(epoch, &Changes::default()).unwrap();
}

/// A process that is killed leaves the file and its log as they are at that instant: so does copying both while the
/// store is open. What was applied is there whole, and the next batch goes on.
#[test]
fn a_killed_process_loses_no_batch() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("one.db");
    let store = SqliteStore::open(&path).unwrap();
    install(&store);
    for id in 1..=50 {
        store.apply(EPOCH, &Changes { cs: vec![row(id)], ..Changes::default() }).unwrap();
        if id % 10 != 0 {
            continue;
        }
        let after = folder.path().join(format!("after-{id}.db"));
        for end in ["", "-wal"] {
            let name = |path: &std::path::Path| format!("{}{end}", path.display());
            std::fs::copy(name(&path), name(&after)).unwrap();
        }
        let found = SqliteStore::open(&after).unwrap();
        let rows = found.reader().unwrap().cs_page(ConnectorId(1), CsId(0), 99).unwrap();
        assert_eq!(rows.len() as i64, id);
        found.apply(EPOCH, &Changes { cs: vec![row(id + 1)], ..Changes::default() }).unwrap();
    }
}

/// Readers on other threads see whole batches while one thread writes.
#[test]
fn readers_beside_the_writer_see_whole_batches() {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(&folder.path().join("one.db")).unwrap();
    install(&store);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                for _ in 0..200 {
                    let rows = store.reader().unwrap().cs_page(ConnectorId(1), CsId(0), 9_999).unwrap();
                    assert_eq!(rows.len() % 7, 0, "batches are of seven rows");
                }
            });
        }
        for batch in 0..60 {
            let cs = (1..=7).map(|n| row(batch * 7 + n)).collect();
            store.apply(EPOCH, &Changes { cs, ..Changes::default() }).unwrap();
        }
    });
}
