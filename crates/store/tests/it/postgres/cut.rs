//! A connection that is cut at the commit: by a proxy between store and server.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use onesync_store::conformance::install;
use onesync_store::{PostgresStore, StoreError};

use super::lab::{self, Lab};

/// Hands everything on.
const OPEN: u8 = 0;
/// Cuts before the next commit reaches the server.
const BEFORE: u8 = 1;
/// Cuts before the answer to the next commit reaches the store.
const AFTER: u8 = 2;

/// Hands on what is said between store and server, until it is told to cut.
struct Proxy {
    port: u16,
    cut: Arc<AtomicU8>,
}

impl Proxy {
    fn to(server: &str) -> Self {
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
                std::thread::spawn(move || hand_on(from, to, &cut));
                std::thread::spawn(move || answer(server, client));
            }
        });
        proxy
    }
}

/// From the store to the server. Who cuts the answer does not wait for it here: the connection to the store is closed at
/// once, the one to the server when it has answered.
fn hand_on(mut from: TcpStream, mut to: TcpStream, cut: &AtomicU8) {
    let mut bytes = [0; 65_536];
    while let Ok(count @ 1..) = from.read(&mut bytes) {
        let said = &bytes[..count];
        let commit = said.windows(7).any(|word| word == b"COMMIT\0");
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

fn through(proxy: &Proxy, lab: &Lab) -> PostgresStore {
    let url = lab.url("sslmode=disable&options=-csearch_path%3Ds");
    let (who, rest) = url.split_once('@').unwrap();
    let name = rest.split_once('/').unwrap().1;
    lab::open(&format!("{who}@127.0.0.1:{}/{name}", proxy.port)).unwrap()
}

fn server(lab: &Lab) -> String {
    lab.url("").split('@').nth(1).unwrap().split('/').next().unwrap().to_owned()
}

#[test]
fn a_commit_without_an_answer_is_found_out() {
    let lab = Lab::new("cut");
    install(&lab.store("s"));
    let proxy = Proxy::to(&server(&lab));
    let store = through(&proxy, &lab);
    lab::write(&store, [1]).unwrap();
    for (mode, id) in [(BEFORE, 2), (AFTER, 3), (BEFORE, 4), (AFTER, 5)] {
        proxy.cut.store(mode, Ordering::SeqCst);
        lab::write(&store, [id]).unwrap();
        assert_eq!(proxy.cut.load(Ordering::SeqCst), OPEN, "it was cut");
        assert_eq!(lab::rows(&store) as i64, id);
        // Written once: the kept counts would tell.
        let counts = onesync_store::Store::reader(&store).unwrap().cs_counts().unwrap();
        assert_eq!(counts.iter().map(|row| row.count as i64).sum::<i64>(), id);
    }
    // The number of the mark: the installation, and each batch once.
    lab.run("DO $$ BEGIN IF (SELECT number FROM s.write_mark) <> 6 THEN RAISE 'not once'; END IF; END $$")
        .unwrap();
}

/// Another program writes between the cut and the look at the mark: that it does is a trigger here, which stands for it.
#[test]
fn what_cannot_be_told_is_said() {
    let lab = Lab::new("unsure");
    install(&lab.store("s"));
    let proxy = Proxy::to(&server(&lab));
    let store = through(&proxy, &lab);
    lab::write(&store, [1]).unwrap();
    lab.run(
        "CREATE FUNCTION s.another() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
           NEW.number := NEW.number + 1; NEW.writer := 'another'; RETURN NEW; END $$;
         CREATE TRIGGER another BEFORE UPDATE ON s.write_mark FOR EACH ROW EXECUTE FUNCTION s.another()",
    )
    .unwrap();
    proxy.cut.store(AFTER, Ordering::SeqCst);
    let error = lab::write(&store, [2]).unwrap_err();
    assert!(matches!(error, StoreError::Unsure), "{error}");
    lab.run("DROP TRIGGER another ON s.write_mark").unwrap();
    lab::write(&store, [3]).unwrap();
    assert_eq!(lab::rows(&store), 3);
}
