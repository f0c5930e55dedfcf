//! The store on PostgreSQL: the suite of all stores, and what only a server can do to it. `./test` starts one and sets
//! `PG_URL`; where there is none these tests are left out by their names, aloud.

mod backup;
mod cut;
mod kill;
pub(crate) mod lab;
pub(crate) mod transfer;
mod trouble;

use std::cell::Cell;

use onesync_engine::Changes;
use onesync_model::CsId;
use onesync_store::conformance::{EPOCH, conformance, install};
use onesync_store::{PostgresStore, Store};

use crate::server;
use lab::Lab;

/// Stores one after the other, each in a schema of its own.
fn stores(lab: &Lab) -> impl Fn() -> Box<dyn Store> + '_ {
    let number = Cell::new(0);
    move || {
        number.set(number.get() + 1);
        Box::new(lab.store(&format!("s{}", number.get())))
    }
}

#[test]
fn it_passes_the_suite_of_all_stores() {
    let lab = Lab::new("suite");
    conformance(stores(&lab));
}

#[test]
fn it_agrees_with_the_memory_store_on_random_batches() {
    let lab = Lab::new("equality");
    server::agrees_with_memory(stores(&lab));
}

#[test]
fn readers_beside_the_writer_see_whole_batches() {
    let lab = Lab::new("readers");
    server::readers_see_whole_batches(&lab.store("s"));
}

#[test]
fn two_writers_wait_for_each_other() {
    let lab = Lab::new("writers");
    server::two_writers_wait([&lab.store("s"), &lab.open("s").unwrap()]);
}

#[test]
fn who_lost_the_epoch_is_fenced() {
    let lab = Lab::new("fenced");
    server::who_lost_the_epoch_is_fenced(&lab.store("s"), &lab.open("s").unwrap());
}

#[test]
fn every_text_is_kept() {
    let lab = Lab::new("texts");
    server::every_text_is_kept(&lab.store("s"));
}

#[test]
fn its_copy_holds_the_same_rows() {
    let lab = Lab::new("copy");
    server::copies_hold_the_same_rows(stores(&lab));
}

#[test]
fn room_that_deleted_rows_have_left_is_told_apart() {
    const ROWS: i64 = 6_000;
    let lab = Lab::new("unused");
    let store = lab.store("s");
    install(&store);
    server::write(&store, 0..ROWS).unwrap();
    assert_eq!(
        store.facts().unwrap().unused,
        Some(0),
        "nothing is known of a table that was never looked at"
    );
    store.tidy().unwrap();
    let full = store.facts().unwrap();
    // Every second one, so that no file becomes shorter.
    let gone = (0..ROWS).step_by(2).map(CsId).collect();
    store.apply(EPOCH, &Changes { cs_deleted: gone, ..Changes::default() }).unwrap();
    store.tidy().unwrap();
    let half = store.facts().unwrap();
    assert!(full.unused < Some(50_000), "{full:?}");
    assert!(half.unused > Some(150_000) && half.bytes + 50_000 > full.bytes, "{full:?}, {half:?}");
    server::write(&store, ROWS..ROWS * 3 / 2).unwrap();
    store.tidy().unwrap();
    assert!(store.facts().unwrap().unused < Some(50_000), "it is filled again");
}

/// The trait is synchronous, and may be called where a runtime runs; there a store may also be dropped.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn it_works_on_the_thread_of_another_runtime() {
    let lab = Lab::new("runtime");
    let store: PostgresStore = lab.store("s");
    install(&store);
    server::write(&store, [1]).unwrap();
    // More questions than tokio lets a task ask without waiting.
    for _ in 0..200 {
        assert_eq!(server::rows(&store), 1);
    }
}
