//! The store on PostgreSQL: the suite of all stores, and what only a server can do to it. `./test` starts one and sets
//! `PG_URL`; where there is none these tests are left out by their names, aloud.

mod backup;
mod cut;
mod kill;
pub(crate) mod lab;
mod transfer;
mod trouble;

use std::cell::Cell;

use onesync_engine::Changes;
use onesync_store::conformance::{EPOCH, conformance, install};
use onesync_store::{MemoryStore, PostgresStore, ServiceChanges, SqliteStore, Store};
use proptest::collection::vec;
use proptest::strategy::{Strategy, ValueTree as _};
use proptest::test_runner::{Config, TestRunner};

use crate::equality::{agree, changes};
use lab::Lab;

/// Cases of random batches: each a schema of its own.
const CASES: u32 = 12;

#[test]
fn it_passes_the_suite_of_all_stores() {
    let lab = Lab::new("suite");
    let number = Cell::new(0);
    conformance(|| {
        number.set(number.get() + 1);
        Box::new(lab.store(&format!("s{}", number.get())))
    });
}

#[test]
fn it_agrees_with_the_memory_store_on_random_batches() {
    let lab = Lab::new("equality");
    let mut runner = TestRunner::new(Config::default());
    for case in 0..CASES {
        let batches: Vec<Changes> = vec(changes(), 1..8).new_tree(&mut runner).unwrap().current();
        let (memory, postgres) = (MemoryStore::new(), lab.store(&format!("c{case}")));
        install(&memory);
        install(&postgres);
        agree(&memory, &postgres, &batches);
    }
}

/// Readers on other threads see whole batches while one thread writes.
#[test]
fn readers_beside_the_writer_see_whole_batches() {
    let lab = Lab::new("readers");
    let store = lab.store("s");
    install(&store);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                for _ in 0..100 {
                    assert_eq!(lab::rows(&store) % 7, 0, "batches are of seven rows");
                }
            });
        }
        for batch in 0..40 {
            lab::write(&store, (1..=7).map(|n| batch * 7 + n)).unwrap();
        }
    });
}

/// Two programs with one epoch: their batches wait for each other, and the kept counts are right at the end.
#[test]
fn two_writers_wait_for_each_other() {
    let lab = Lab::new("writers");
    let stores = [lab.store("s"), lab.open("s").unwrap()];
    install(&stores[0]);
    std::thread::scope(|scope| {
        for (number, store) in (0..).zip(&stores) {
            scope.spawn(move || {
                for batch in 0..20 {
                    lab::write(store, [1_000 * number + batch + 1, 7_777]).unwrap();
                }
            });
        }
    });
    let counts = stores[0].reader().unwrap().cs_counts().unwrap();
    assert_eq!(counts.iter().map(|row| row.count).sum::<u64>(), 41);
    assert_eq!(lab::rows(&stores[1]), 41);
}

#[test]
fn who_lost_the_epoch_is_fenced() {
    let lab = Lab::new("fenced");
    let (old, new) = (lab.store("s"), lab.open("s").unwrap());
    install(&old);
    lab::write(&old, [1]).unwrap();
    let epoch = new.take_epoch(EPOCH).unwrap();
    let refused = lab::write(&old, [2]).unwrap_err();
    assert!(refused.to_string().contains("fenced"), "{refused}");
    new.apply(epoch, &Changes::default()).unwrap();
    assert_eq!(lab::rows(&new), 1);
}

#[test]
fn a_text_with_nul_is_kept() {
    let lab = Lab::new("nul");
    let store = lab.store("s");
    install(&store);
    for name in ["CN=a\0b", "\u{1}", "\0\u{1}\u{2}", ""] {
        let mut row = lab::row(1);
        row.name = name.to_owned();
        row.reason = Some(name.to_owned());
        store.apply(EPOCH, &Changes { cs: vec![row.clone()], ..Changes::default() }).unwrap();
        assert_eq!(store.reader().unwrap().cs_by_id(&[row.id]).unwrap(), [row]);
    }
}

/// A copy for what-if is an embedded database with the same rows, whatever they are.
#[test]
fn its_copy_holds_the_same_rows() {
    let (lab, folder) = (Lab::new("copy"), tempfile::tempdir().unwrap());
    let mut runner = TestRunner::new(Config::default());
    for case in 0..4 {
        let batches: Vec<Changes> = vec(changes(), 1..8).new_tree(&mut runner).unwrap().current();
        let store = lab.store(&format!("c{case}"));
        install(&store);
        for batch in &batches {
            let _ = store.apply(EPOCH, batch); // refused ones change nothing
        }
        let settings = vec![("scheduler".to_owned(), "off".to_owned())];
        store.record(EPOCH, &ServiceChanges { settings, ..ServiceChanges::default() }).unwrap();
        let file = folder.path().join(format!("{case}.db"));
        store.copy_to(&file).unwrap();
        let copy = SqliteStore::open(&file).unwrap();
        let dump = |store: &dyn Store| store.reader().unwrap().dump(true).unwrap();
        assert_eq!(dump(&copy), dump(&store));
        lab::write(&copy, [900]).unwrap();
    }
}

/// The trait is synchronous, and may be called where a runtime runs; there a store may also be dropped.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn it_works_on_the_thread_of_another_runtime() {
    let lab = Lab::new("runtime");
    let store: PostgresStore = lab.store("s");
    install(&store);
    lab::write(&store, [1]).unwrap();
    // More questions than tokio lets a task ask without waiting.
    for _ in 0..200 {
        assert_eq!(lab::rows(&store), 1);
    }
}
