//! Everything of one store into another one, while the first one is written to.

use onesync_engine::Changes;
use onesync_store::conformance::{EPOCH, install};
use onesync_store::{
    MOVE_MARK, MoveMark, PostgresStore, ServiceChanges, SqliteStore, Store, StoreError, fill, settle,
};
use proptest::collection::vec;
use proptest::strategy::{Strategy, ValueTree as _};
use proptest::test_runner::{Config, TestRunner};

use super::lab::Lab;
use crate::equality::changes;
use crate::server;

fn dump(store: &dyn Store) -> String {
    store.reader().unwrap().dump(true).unwrap()
}

pub(crate) fn apply(store: &dyn Store, batches: &[Changes]) {
    for batch in batches {
        let _ = store.apply(EPOCH, batch); // refused ones change nothing
    }
}

/// Copies, lets the source change, brings the rest; both hold the same rows then.
pub(crate) fn transfer(from: &dyn Store, to: &dyn Store, meanwhile: &[Changes], word: &str) {
    {
        let (mut source, mut target) = (from.bulk().unwrap(), to.bulk().unwrap());
        fill(&mut *source, &mut *target, &|_, _| Ok(())).unwrap();
    }
    apply(from, meanwhile);
    let settings =
        vec![("scheduler".to_owned(), word.to_owned()), ("database-size".to_owned(), "1".to_owned())];
    from.record(EPOCH, &ServiceChanges { settings, ..ServiceChanges::default() }).unwrap();
    let (mut source, mut target) = (from.bulk().unwrap(), to.bulk().unwrap());
    let first = settle(&mut *source, &mut *target, &|_, _| Ok(())).unwrap();
    assert!(first.iter().any(|table| table.table == "setting" && table.rows == 1 && table.changed == 1));
    let again = settle(&mut *source, &mut *target, &|_, _| Ok(())).unwrap();
    assert!(again.iter().all(|table| table.changed == 0), "{again:?}");
    let hashes =
        |tables: &[onesync_store::TableHash]| tables.iter().map(|t| (t.rows, t.hash)).collect::<Vec<_>>();
    assert_eq!(hashes(&first), hashes(&again));
    drop((source, target));
    // What is about one database stays in it.
    assert_eq!(to.reader().unwrap().setting("database-size").unwrap(), None);
    let lines = |store: &dyn Store| {
        dump(store).lines().filter(|line| !line.contains("database-")).map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(lines(to), lines(from));
    server::write(to, [900]).unwrap();
}

#[test]
fn an_installation_goes_to_a_server_and_back_while_it_is_written_to() {
    let (lab, folder) = (Lab::new("transfer"), tempfile::tempdir().unwrap());
    let mut runner = TestRunner::new(Config::default());
    for case in 0..3 {
        let mut batches = || vec(changes(), 1..8).new_tree(&mut runner).unwrap().current();
        let (before, meanwhile): (Vec<Changes>, Vec<Changes>) = (batches(), batches());
        let file = |name: &str| folder.path().join(format!("{case}-{name}.db"));
        let (embedded, server) = (SqliteStore::open(&file("one")).unwrap(), lab.store(&format!("a{case}")));
        install(&embedded);
        apply(&embedded, &before);
        transfer(&embedded, &server, &meanwhile, "off");
        let back = SqliteStore::open(&file("back")).unwrap();
        transfer(&server, &back, &before, "on");
        let other: PostgresStore = lab.store(&format!("b{case}"));
        transfer(&server, &other, &meanwhile, "never");
    }
}

/// More rows than a page of each sort of table, and the pages end where the rows end.
#[test]
fn many_rows_go_in_pages() {
    let (lab, folder) = (Lab::new("pages"), tempfile::tempdir().unwrap());
    let (embedded, server) = (SqliteStore::open(&folder.path().join("one.db")).unwrap(), lab.store("s"));
    install(&embedded);
    let links = |ids: std::ops::Range<i64>| {
        let row = |n: i64| (onesync_model::CsId(n % 7), onesync_model::AttrId(1), key(n));
        Changes { links_added: ids.map(row).collect(), ..Changes::default() }
    };
    fn key(n: i64) -> onesync_model::Hash128 {
        onesync_model::hash128(&[&n.to_le_bytes()])
    }
    embedded.apply(EPOCH, &links(0..40_000)).unwrap();
    server::write(&embedded, 1..=3_000).unwrap();
    let (mut source, mut target) = (embedded.bulk().unwrap(), server.bulk().unwrap());
    fill(&mut *source, &mut *target, &|_, _| Ok(())).unwrap();
    // Rows come, go and change at both ends of the pages.
    server::write(&embedded, 2_990..=3_500).unwrap();
    let mut more = links(40_000..61_234);
    more.cs_deleted = [1, 2, 999, 1_000, 1_001, 2_000].map(onesync_model::CsId).to_vec();
    embedded.apply(EPOCH, &more).unwrap();
    let settled = settle(&mut *source, &mut *target, &|_, _| Ok(())).unwrap();
    let of =
        |name: &str| settled.iter().find(|table| table.table == name).map(|t| (t.rows, t.changed)).unwrap();
    assert_eq!(of("cs_object"), (3_494, 506));
    assert_eq!(
        of("cs_link").0,
        server.reader().unwrap().dump(true).unwrap().lines().filter(|l| l.starts_with("link ")).count()
            as u64
    );
    assert_eq!(dump(&server), dump(&embedded));
}

/// An anchor that went from one object to another one meanwhile: the one that has it now comes first.
#[test]
fn an_anchor_that_changed_hands_is_no_obstacle() {
    let (lab, folder) = (Lab::new("anchors"), tempfile::tempdir().unwrap());
    let (embedded, server) = (SqliteStore::open(&folder.path().join("one.db")).unwrap(), lab.store("s"));
    install(&embedded);
    server::write(&embedded, [1, 2]).unwrap();
    let (mut source, mut target) = (embedded.bulk().unwrap(), server.bulk().unwrap());
    fill(&mut *source, &mut *target, &|_, _| Ok(())).unwrap();
    let (mut one, mut two) = (server::row(1), server::row(2));
    std::mem::swap(&mut one.anchor, &mut two.anchor);
    embedded.apply(EPOCH, &Changes { cs: vec![one, two], ..Changes::default() }).unwrap();
    settle(&mut *source, &mut *target, &|_, _| Ok(())).unwrap();
    assert_eq!(dump(&server), dump(&embedded));
}

#[test]
fn what_was_left_is_not_written_any_more_and_what_is_half_there_serves_nobody() {
    let (lab, folder) = (Lab::new("marks"), tempfile::tempdir().unwrap());
    let file = folder.path().join("one.db");
    let (embedded, server) = (SqliteStore::open(&file).unwrap(), lab.store("s"));
    let stores: [&dyn Store; 2] = [&embedded, &server];
    let open = || -> [Result<(), StoreError>; 2] {
        [SqliteStore::open(&file).map(|_| ()), lab.open("s").map(|_| ())]
    };
    let set = |mark: MoveMark| {
        stores.iter().for_each(|store| store.bulk().unwrap().set(MOVE_MARK, &mark.text()).unwrap());
    };
    stores.iter().for_each(|store| install(*store));
    set(MoveMark::Filling { installation: "test".to_owned() });
    assert!(open().iter().all(|opened| matches!(opened, Err(StoreError::HalfMoved))));
    set(MoveMark::Leaving { epoch: EPOCH + 1, to: "there".to_owned() });
    assert!(open().iter().all(Result::is_ok));
    for store in stores {
        store.take_epoch(EPOCH).unwrap();
        let refused = server::write(store, [1]).unwrap_err();
        assert!(matches!(refused, StoreError::Moving { .. }), "{refused}");
    }
    set(MoveMark::Moved { when: "2026-11-26".to_owned(), to: "there".to_owned() });
    for opened in open() {
        let refused = opened.unwrap_err().to_string();
        assert!(refused.contains("was moved to there at 2026-11-26"), "{refused}");
    }
    let refused = server::write(&server, [1]).unwrap_err();
    assert!(matches!(refused, StoreError::Moved { .. }), "{refused}");
}

/// An anchor that goes to a later object while rows are copied comes twice: the copy goes on, and its end is right.
#[test]
fn an_anchor_that_changes_hands_during_the_copy_is_no_obstacle() {
    let (lab, folder) = (Lab::new("handed"), tempfile::tempdir().unwrap());
    let server = lab.store("s");
    let back = SqliteStore::open(&folder.path().join("back.db")).unwrap();
    for (number, target) in [&server as &dyn Store, &back].into_iter().enumerate() {
        let from = SqliteStore::open(&folder.path().join(format!("{number}.db"))).unwrap();
        install(&from);
        // More pages than are read ahead.
        server::write(&from, 1..=6_000).unwrap();
        let hand = |table: &'static str, count: u64| {
            if (table, count) == ("cs_object", 1_000) {
                let mut last = server::row(6_000);
                last.anchor = server::row(1).anchor;
                let cs_deleted = vec![onesync_model::CsId(1)];
                from.apply(EPOCH, &Changes { cs_deleted, ..Changes::default() })?;
                from.apply(EPOCH, &Changes { cs: vec![last], ..Changes::default() })?;
            }
            Ok(())
        };
        let (mut source, mut target_rows) = (from.bulk().unwrap(), target.bulk().unwrap());
        fill(&mut *source, &mut *target_rows, &hand).unwrap();
        settle(&mut *source, &mut *target_rows, &|_, _| Ok(())).unwrap();
        assert_eq!(dump(target), dump(&from));
    }
}
