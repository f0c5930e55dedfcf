//! What every store on a server is put through, whichever it is.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use onesync_engine::{Changes, CsFlags, CsRow};
use onesync_model::{Anchor, ConnectorId, CsId, Image, TypeId};
use onesync_store::conformance::{EPOCH, install};
use onesync_store::{MemoryStore, ServiceChanges, SqliteStore, Store, StoreError};
use proptest::collection::vec;
use proptest::strategy::{Strategy, ValueTree as _};
use proptest::test_runner::{Config, TestRunner};

use crate::equality::{agree, changes};

/// Cases of random batches: each a database of its own.
const CASES: u32 = 12;

pub(crate) fn row(id: i64) -> CsRow {
    CsRow {
        id: CsId(id),
        connector: ConnectorId(1),
        object_type: TypeId(2),
        anchor: Some(Anchor::text(&id.to_string())),
        container: None,
        name: format!("CN={id}"),
        image: Image::empty(),
        links: Vec::new(),
        flags: CsFlags::default(),
        reason: None,
        join: None,
        leaving: None,
    }
}

/// Writes rows with these numbers.
pub(crate) fn write(store: &dyn Store, ids: impl IntoIterator<Item = i64>) -> Result<(), StoreError> {
    store.apply(EPOCH, &Changes { cs: ids.into_iter().map(row).collect(), ..Changes::default() })
}

/// How many rows there are.
pub(crate) fn rows(store: &dyn Store) -> usize {
    store.reader().unwrap().cs_page(ConnectorId(1), CsId(0), 99_999).unwrap().len()
}

/// How many rows the kept counts say there are: each batch written once, or they would differ.
pub(crate) fn counted(store: &dyn Store) -> i64 {
    store.reader().unwrap().cs_counts().unwrap().iter().map(|row| row.count as i64).sum()
}

pub(crate) fn never() -> onesync_store::Retention {
    let (start, hour) = (onesync_model::Time::default(), 0);
    onesync_store::Retention {
        history_before: start,
        runs_before: start,
        events_before: start,
        exported_before: hour,
    }
}

fn random_batches(runner: &mut TestRunner) -> Vec<Changes> {
    vec(changes(), 1..8).new_tree(runner).unwrap().current()
}

pub(crate) fn agrees_with_memory(mut make: impl FnMut() -> Box<dyn Store>) {
    let mut runner = TestRunner::new(Config::default());
    for _ in 0..CASES {
        let batches = random_batches(&mut runner);
        let (memory, server) = (MemoryStore::new(), make());
        install(&memory);
        install(&*server);
        agree(&memory, &*server, &batches);
    }
}

/// Readers on other threads see whole batches while one thread writes.
pub(crate) fn readers_see_whole_batches(store: &dyn Store) {
    install(store);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                for _ in 0..100 {
                    assert_eq!(rows(store) % 7, 0, "batches are of seven rows");
                }
            });
        }
        for batch in 0..40 {
            write(store, (1..=7).map(|n| batch * 7 + n)).unwrap();
        }
    });
}

/// Two programs with one epoch: their batches wait for each other, and the kept counts are right at the end.
pub(crate) fn two_writers_wait(stores: [&dyn Store; 2]) {
    install(stores[0]);
    std::thread::scope(|scope| {
        for (number, store) in (0..).zip(stores) {
            scope.spawn(move || {
                for batch in 0..20 {
                    write(store, [1_000 * number + batch + 1, 7_777]).unwrap();
                }
            });
        }
    });
    assert_eq!(counted(stores[0]), 41);
    assert_eq!(rows(stores[1]), 41);
}

pub(crate) fn who_lost_the_epoch_is_fenced(old: &dyn Store, new: &dyn Store) {
    install(old);
    write(old, [1]).unwrap();
    let epoch = new.take_epoch(EPOCH).unwrap();
    let refused = write(old, [2]).unwrap_err();
    assert!(refused.to_string().contains("fenced"), "{refused}");
    new.apply(epoch, &Changes::default()).unwrap();
    assert_eq!(rows(new), 1);
}

/// NUL, spaces at the end, and what stands for them.
pub(crate) fn every_text_is_kept(store: &dyn Store) {
    install(store);
    for name in ["CN=a\0b", "\u{1}", "\0\u{1}\u{2}", "", "a ", "a  ", "a", " ", "A", "\u{1f600}\u{e4}\"\\\n"]
    {
        let mut row = row(1);
        row.name = name.to_owned();
        row.reason = Some(name.to_owned());
        store.apply(EPOCH, &Changes { cs: vec![row.clone()], ..Changes::default() }).unwrap();
        assert_eq!(store.reader().unwrap().cs_by_id(&[row.id]).unwrap(), [row]);
    }
}

/// A copy for what-if is an embedded database with the same rows, whatever they are.
pub(crate) fn copies_hold_the_same_rows(mut make: impl FnMut() -> Box<dyn Store>) {
    let folder = tempfile::tempdir().unwrap();
    let mut runner = TestRunner::new(Config::default());
    for case in 0..4 {
        let batches = random_batches(&mut runner);
        let store = make();
        install(&*store);
        for batch in &batches {
            let _ = store.apply(EPOCH, batch); // refused ones change nothing
        }
        let settings = vec![("scheduler".to_owned(), "off".to_owned())];
        store.record(EPOCH, &ServiceChanges { settings, ..ServiceChanges::default() }).unwrap();
        let file = folder.path().join(format!("{case}.db"));
        store.copy_to(&file).unwrap();
        let copy = SqliteStore::open(&file).unwrap();
        let dump = |store: &dyn Store| store.reader().unwrap().dump(true).unwrap();
        assert_eq!(dump(&copy), dump(&*store));
        write(&copy, [900]).unwrap();
    }
}

/// Hands everything on.
pub(crate) const OPEN: u8 = 0;
/// Cuts before the next commit reaches the server.
pub(crate) const BEFORE: u8 = 1;
/// Cuts before the answer to the next commit reaches the store.
pub(crate) const AFTER: u8 = 2;

/// Hands on what is said between store and server, until it is told to cut.
pub(crate) struct Proxy {
    pub(crate) port: u16,
    pub(crate) cut: Arc<AtomicU8>,
}

impl Proxy {
    /// To a server, whose commit looks so on the wire.
    pub(crate) fn to(server: &str, commit: &'static [u8]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (cut, server) = (Arc::new(AtomicU8::new(OPEN)), server.to_owned());
        let proxy = Self { port, cut: Arc::clone(&cut) };
        // Ends with the test's process.
        std::thread::spawn(move || {
            for client in listener.incoming() {
                let (client, server) = (client.unwrap(), TcpStream::connect(&server).unwrap());
                let (cut, from, to) =
                    (Arc::clone(&cut), client.try_clone().unwrap(), server.try_clone().unwrap());
                std::thread::spawn(move || hand_on(from, to, &cut, commit));
                std::thread::spawn(move || answer(server, client));
            }
        });
        proxy
    }
}

/// From the store to the server. Who cuts the answer does not wait for it here: the connection to the store is closed at
/// once, the one to the server when it has answered.
fn hand_on(mut from: TcpStream, mut to: TcpStream, cut: &AtomicU8, commit: &[u8]) {
    let mut bytes = [0; 65_536];
    while let Ok(count @ 1..) = from.read(&mut bytes) {
        let said = &bytes[..count];
        let commit = said.windows(commit.len()).any(|word| word == commit);
        let mode = if commit { cut.swap(OPEN, Ordering::SeqCst) } else { OPEN };
        match mode {
            BEFORE => break,
            AFTER => {
                from.shutdown(Shutdown::Both).unwrap();
                to.write_all(said).unwrap();
                // The server says that it is done; nobody hears it.
                return;
            }
            _ => to.write_all(said).unwrap(),
        }
    }
    let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
}

/// From the server to the store.
fn answer(mut from: TcpStream, mut to: TcpStream) {
    let mut bytes = [0; 65_536];
    while let Ok(count @ 1..) = from.read(&mut bytes) {
        if to.write_all(&bytes[..count]).is_err() {
            break;
        }
    }
    let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
}

/// Commits that are cut off before and after they reach the server: each batch is written once.
pub(crate) fn a_commit_without_an_answer_is_found_out(store: &dyn Store, proxy: &Proxy) {
    write(store, [1]).unwrap();
    for (mode, id) in [(BEFORE, 2), (AFTER, 3), (BEFORE, 4), (AFTER, 5)] {
        proxy.cut.store(mode, Ordering::SeqCst);
        write(store, [id]).unwrap();
        assert_eq!(proxy.cut.load(Ordering::SeqCst), OPEN, "it was cut");
        assert_eq!(rows(store) as i64, id);
        assert_eq!(counted(store), id);
    }
}
