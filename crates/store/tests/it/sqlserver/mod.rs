//! The store on SQL Server: the suite of all stores, and what only a server can do to it. `ONESYNC_TEST_SQLSERVER` names
//! one, where an account may make databases; without it these tests are left out by their names, aloud.

mod admin;
mod cut;
mod kill;
mod lab;
mod trouble;

use onesync_engine::Changes;
use onesync_store::conformance::{conformance, install};
use onesync_store::{SqliteStore, Store as _};

use proptest::collection::vec;
use proptest::strategy::{Strategy as _, ValueTree as _};
use proptest::test_runner::{Config, TestRunner};

use crate::equality::changes;
use crate::postgres::transfer;
use crate::{server, views};
use lab::Lab;

#[test]
fn it_passes_the_suite_of_all_stores() {
    let lab = Lab::new("suite");
    conformance(lab.stores());
}

#[test]
fn it_agrees_with_the_memory_store_on_random_batches() {
    let lab = Lab::new("equality");
    server::agrees_with_memory(lab.stores());
}

#[test]
fn readers_beside_the_writer_see_whole_batches() {
    let lab = Lab::new("readers");
    server::readers_see_whole_batches(&lab.open().unwrap());
}

#[test]
fn two_writers_wait_for_each_other() {
    let lab = Lab::new("writers");
    server::two_writers_wait([&lab.open().unwrap(), &lab.open().unwrap()]);
}

#[test]
fn who_lost_the_epoch_is_fenced() {
    let lab = Lab::new("fenced");
    server::who_lost_the_epoch_is_fenced(&lab.open().unwrap(), &lab.open().unwrap());
}

#[test]
fn every_text_is_kept() {
    let lab = Lab::new("texts");
    server::every_text_is_kept(&lab.open().unwrap());
}

#[test]
fn its_copy_holds_the_same_rows() {
    let lab = Lab::new("copy");
    server::copies_hold_the_same_rows(lab.stores());
}

/// From an embedded database and back into another one, while it is written to.
#[test]
fn an_installation_goes_to_it_and_back() {
    let (lab, folder) = (Lab::new("transfer"), tempfile::tempdir().unwrap());
    let mut runner = TestRunner::new(Config::default());
    let mut batches = || vec(changes(), 1..8).new_tree(&mut runner).unwrap().current();
    let (before, meanwhile): (Vec<Changes>, Vec<Changes>) = (batches(), batches());
    let store = |name: &str| SqliteStore::open(&folder.path().join(name)).unwrap();
    let (embedded, back, server) = (store("one.db"), store("back.db"), lab.open().unwrap());
    install(&embedded);
    transfer::apply(&embedded, &before);
    transfer::transfer(&embedded, &server, &meanwhile, "off");
    transfer::transfer(&server, &back, &before, "on");
}

#[test]
fn it_has_the_views_that_are_documented() {
    let lab = Lab::new("views");
    let store = lab.open().unwrap();
    views::check(&store, "SELECT name FROM sys.views WHERE is_ms_shipped = 0 ORDER BY name");
    views::questions(&store);
    assert_eq!(store.facts().unwrap().kind, "SQL Server");
}

/// More rows than go in one request, and enough to be loaded rather than inserted.
#[test]
fn a_large_batch_is_written_whole() {
    let lab = Lab::new("large");
    let store = lab.open().unwrap();
    install(&store);
    server::write(&store, 1..=5_000).unwrap();
    server::write(&store, 4_000..=9_000).unwrap();
    assert_eq!((server::rows(&store), server::counted(&store)), (9_000, 9_000));
}

/// The trait is synchronous, and may be called where a runtime runs; there a store may also be dropped.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn it_works_on_the_thread_of_another_runtime() {
    let lab = Lab::new("runtime");
    let store = lab.open().unwrap();
    install(&store);
    server::write(&store, [1]).unwrap();
    // More questions than tokio lets a task ask without waiting.
    for _ in 0..200 {
        assert_eq!(server::rows(&store), 1);
    }
}
