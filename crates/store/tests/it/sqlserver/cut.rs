//! A connection that is cut at the commit: by a proxy between store and server, which must see what is said.

use std::sync::atomic::Ordering;

use onesync_store::conformance::install;
use onesync_store::{SqlServerStore, StoreError};

use super::lab::{self, Lab};
use crate::server::{self, AFTER, Proxy};

const COMMIT: &[u8] = b"C\0O\0M\0M\0I\0T\0";

fn through(proxy: &Proxy, lab: &Lab) -> SqlServerStore {
    let url = lab.url();
    let (who, _) = url.split_once('@').unwrap();
    lab::open(&format!("{who}@127.0.0.1:{}/{}?encrypt=disabled", proxy.port, lab.name)).unwrap()
}

#[test]
fn a_commit_without_an_answer_is_found_out() {
    let lab = Lab::new("cut");
    install(&lab.open().unwrap());
    let proxy = Proxy::to(&lab::address(&lab.url()), COMMIT);
    let store = through(&proxy, &lab);
    server::a_commit_without_an_answer_is_found_out(&store, &proxy);
    // The number of the mark: the installation, and each batch once.
    assert_eq!(lab.number("SELECT number FROM write_mark"), 6);
}

/// Another program writes between the cut and the look at the mark: that it does is a trigger here, which stands for it.
#[test]
fn what_cannot_be_told_is_said() {
    let lab = Lab::new("unsure");
    install(&lab.open().unwrap());
    let proxy = Proxy::to(&lab::address(&lab.url()), COMMIT);
    let store = through(&proxy, &lab);
    server::write(&store, [1]).unwrap();
    lab.run(
        "CREATE TRIGGER another ON write_mark AFTER UPDATE AS
         UPDATE write_mark SET number = number + 1, writer = 0x01",
    )
    .unwrap();
    proxy.cut.store(AFTER, Ordering::SeqCst);
    let error = server::write(&store, [2]).unwrap_err();
    assert!(matches!(error, StoreError::Unsure), "{error}");
    lab.run("DROP TRIGGER another").unwrap();
    server::write(&store, [3]).unwrap();
    assert_eq!(server::rows(&store), 3);
}
