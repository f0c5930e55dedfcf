//! A connection that is cut at the commit: by a proxy between store and server.

use std::sync::atomic::Ordering;

use onesync_store::conformance::install;
use onesync_store::{PostgresStore, StoreError};

use super::lab::{self, Lab};
use crate::server::{self, AFTER, Proxy};

const COMMIT: &[u8] = b"COMMIT\0";

fn through(proxy: &Proxy, lab: &Lab) -> PostgresStore {
    let url = lab.url("sslmode=disable&options=-csearch_path%3Ds");
    let (who, rest) = url.split_once('@').unwrap();
    let name = rest.split_once('/').unwrap().1;
    lab::open(&format!("{who}@127.0.0.1:{}/{name}", proxy.port)).unwrap()
}

fn address(lab: &Lab) -> String {
    lab.url("").split('@').nth(1).unwrap().split('/').next().unwrap().to_owned()
}

#[test]
fn a_commit_without_an_answer_is_found_out() {
    let lab = Lab::new("cut");
    install(&lab.store("s"));
    let proxy = Proxy::to(&address(&lab), COMMIT);
    let store = through(&proxy, &lab);
    server::a_commit_without_an_answer_is_found_out(&store, &proxy);
    // The number of the mark: the installation, and each batch once.
    lab.run("DO $$ BEGIN IF (SELECT number FROM s.write_mark) <> 6 THEN RAISE 'not once'; END IF; END $$")
        .unwrap();
}

/// Another program writes between the cut and the look at the mark: that it does is a trigger here, which stands for it.
#[test]
fn what_cannot_be_told_is_said() {
    let lab = Lab::new("unsure");
    install(&lab.store("s"));
    let proxy = Proxy::to(&address(&lab), COMMIT);
    let store = through(&proxy, &lab);
    server::write(&store, [1]).unwrap();
    lab.run(
        "CREATE FUNCTION s.another() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
           NEW.number := NEW.number + 1; NEW.writer := 'another'; RETURN NEW; END $$;
         CREATE TRIGGER another BEFORE UPDATE ON s.write_mark FOR EACH ROW EXECUTE FUNCTION s.another()",
    )
    .unwrap();
    proxy.cut.store(AFTER, Ordering::SeqCst);
    let error = server::write(&store, [2]).unwrap_err();
    assert!(matches!(error, StoreError::Unsure), "{error}");
    lab.run("DROP TRIGGER another ON s.write_mark").unwrap();
    server::write(&store, [3]).unwrap();
    assert_eq!(server::rows(&store), 3);
}
