//! Every store passes the same suite.

use onesync_store::conformance::conformance;
use onesync_store::{MemoryStore, SqliteStore};

#[test]
fn memory() {
    conformance(|| Box::new(MemoryStore::new()));
}

#[test]
fn sqlite() {
    let folder = tempfile::tempdir().unwrap();
    let number = std::cell::Cell::new(0);
    conformance(|| {
        number.set(number.get() + 1);
        Box::new(SqliteStore::open(&folder.path().join(format!("{}.db", number.get()))).unwrap())
    });
}
