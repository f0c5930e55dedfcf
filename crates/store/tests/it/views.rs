//! The views, the same in every database and as `docs/views.md` has them; and questions, which change nothing.

use std::collections::BTreeMap;

use onesync_engine::{Changes, MvRow, MvState};
use onesync_model::{AttrId, Bag, Image, MvGuid, MvId, TypeId, Value, Values};
use onesync_store::conformance::{EPOCH, install};
use onesync_store::{Cell, ServiceChanges, SqliteStore, Store, StoreError};

use crate::postgres::lab::Lab;

/// The views and their columns, as they are documented.
fn documented() -> BTreeMap<String, Vec<String>> {
    let text = include_str!("../../../../docs/views.md");
    let mut out: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut view = None;
    for line in text.lines() {
        if let Some(name) = line.strip_prefix("## ") {
            view = Some(out.entry(name.to_owned()).or_default());
        }
        let column = line.strip_prefix("| `").and_then(|rest| rest.split('`').next());
        if let (Some(columns), Some(column)) = (&mut view, column) {
            columns.push(column.to_owned());
        }
    }
    out
}

fn columns(store: &dyn Store, name: &str) -> Vec<String> {
    store.query(&format!("SELECT * FROM {name}"), 0).unwrap().columns
}

pub(crate) fn check(store: &dyn Store, all: &str) {
    let there = store.query(all, 1_000).unwrap();
    let names: Vec<String> = there.rows.iter().map(|row| format!("{:?}", row[0])).collect();
    let known = documented();
    let wanted: Vec<String> = known.keys().map(|name| format!("{:?}", Cell::Text(name.clone()))).collect();
    assert_eq!(names, wanted);
    for (name, wanted) in known {
        assert_eq!(columns(store, &name), wanted, "{name}");
    }
}

fn object(id: i64, object_type: u32, name: &str) -> MvRow {
    let mut bag = Bag::new();
    bag.set(AttrId(3), Values::new(vec![Value::String(name.into())]));
    bag.set(AttrId(4), Values::new(vec![Value::String(format!("{id}@x").into())]));
    MvRow {
        id: MvId(id),
        guid: MvGuid([id as u8; 16]),
        object_type: TypeId(object_type),
        state: MvState::Active,
        causes: Vec::new(),
        picks: Vec::new(),
        values: Image::from_bag(&bag),
    }
}

/// Two people and their group, one of them renamed.
fn fill(store: &dyn Store) {
    install(store);
    let names = ["person", "group", "member", "displayName", "userPrincipalName"];
    let names = (0..).zip(names).map(|(id, name)| (AttrId(id), name.to_owned())).collect();
    store.record(EPOCH, &ServiceChanges { names, ..ServiceChanges::default() }).unwrap();
    let mv = vec![object(1, 0, "Ada"), object(2, 0, "B\u{f6}b"), object(3, 1, "All")];
    let mv_links_added = vec![(MvId(3), AttrId(2), MvId(1)), (MvId(3), AttrId(2), MvId(2))];
    store.apply(EPOCH, &Changes { mv, mv_links_added, ..Changes::default() }).unwrap();
    store.apply(EPOCH, &Changes { mv: vec![object(1, 0, "Ada K.")], ..Changes::default() }).unwrap();
}

fn asked(store: &dyn Store, sql: &str) -> Vec<Vec<Cell>> {
    store.query(sql, 100).unwrap().rows
}

/// What the views answer, and what they do not let happen.
pub(crate) fn questions(store: &dyn Store) {
    fill(store);
    let text = |text: &str| Cell::Text(text.to_owned());
    let people = "SELECT display_name, principal_name, state, id FROM onesync_people ORDER BY number";
    let guid = "01010101-0101-0101-0101-010101010101";
    let rows = asked(store, people);
    assert_eq!(rows[0], [text("Ada K."), text("1@x"), text("active"), text(guid)]);
    assert_eq!(rows[1][0], text("B\u{f6}b"));
    let groups = "SELECT display_name, members FROM onesync_groups;";
    assert_eq!(asked(store, groups), [vec![text("All"), Cell::Integer(2)]]);
    let links = "SELECT owner_name FROM onesync_links WHERE target_name = 'Ada K.' AND attribute = 'member'";
    assert_eq!(asked(store, links), [vec![text("All")]]);
    let some = store.query("SELECT number FROM onesync_objects", 2).unwrap();
    assert_eq!((some.rows.len(), some.more), (2, true));
    assert!(!store.query("SELECT number FROM onesync_objects", 3).unwrap().more);
    let all =
        store.query("-- all of them\n/* really */ SELECT number FROM onesync_objects", usize::MAX).unwrap();
    assert_eq!((all.rows.len(), all.more), (3, false));
    let before = store.reader().unwrap().dump(true).unwrap();
    for wrong in [
        "DELETE FROM mv_object",
        "SELECT 1; DELETE FROM mv_object",
        "COMMIT; DELETE FROM mv_object",
        "WITH gone AS (DELETE FROM mv_object RETURNING id) SELECT * FROM gone",
        "PRAGMA query_only = 0",
        "CREATE TABLE x (y integer)",
        "SELECT nothing FROM onesync_people",
        "SELEC 1",
        "",
    ] {
        let refused = store.query(wrong, 10).unwrap_err();
        assert!(matches!(refused, StoreError::Question { .. }), "{wrong}: {refused}");
    }
    assert_eq!(store.reader().unwrap().dump(true).unwrap(), before);
}

fn answers(store: &dyn Store) {
    questions(store);
    let facts = store.facts().unwrap();
    assert!(facts.bytes > 100_000 && facts.oldest_run.is_none(), "{facts:?}");
    let sizes = store.table_sizes().unwrap();
    assert!(sizes.iter().any(|size| size.table == "mv_object" && size.bytes > 0), "{sizes:?}");
    assert_eq!(store.history_before(0.5).unwrap(), None);
    store.tidy().unwrap();
}

#[test]
fn the_embedded_database_has_the_views_that_are_documented() {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(&folder.path().join("one.db")).unwrap();
    check(&store, "SELECT name FROM sqlite_master WHERE type = 'view' ORDER BY name");
    answers(&store);
}

#[test]
fn postgres_has_the_views_that_are_documented() {
    let lab = Lab::new("views");
    let store = lab.store("s");
    let all =
        "SELECT viewname FROM pg_views WHERE schemaname = current_schema() ORDER BY viewname COLLATE \"C\"";
    check(&store, all);
    answers(&store);
}
