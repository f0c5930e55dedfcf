//! A server that is ended in the middle of everything. It is one of the test's own.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};
use std::time::Duration;

use onesync_model::CsId;
use onesync_store::conformance::install;
use onesync_store::{Store as _, StoreError};

use super::lab::Lab;
use crate::server;

/// A server below a folder, ended with it.
struct Server {
    folder: PathBuf,
    /// Of this process alone, so that nobody gets the port while the server is down.
    address: String,
    port: usize,
    _folder: tempfile::TempDir,
}

impl Server {
    fn start() -> Self {
        let folder = tempfile::Builder::new().prefix("onesync-pg-kill").tempdir().unwrap();
        static STARTED: AtomicUsize = AtomicUsize::new(0);
        let (process, port) = (std::process::id(), 5600 + STARTED.fetch_add(1, Ordering::Relaxed));
        let address = format!("127.77.{}.{}", process / 250 % 250 + 1, process % 250 + 1);
        let server = Self { folder: folder.path().join("pg"), address, port, _folder: folder };
        open_to_all(server._folder.path());
        server.script("start");
        server
    }

    fn command(&self, word: &str) -> Command {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/servers/postgres.sh");
        let mut command = Command::new(script);
        command.arg(word).env("DIR", &self.folder).env("PORT", self.port.to_string()).stdin(Stdio::null());
        command.env("IP", &self.address).stdout(Stdio::null());
        command
    }

    fn script(&self, word: &str) {
        assert!(self.command(word).status().unwrap().success(), "postgres.sh {word}");
    }

    fn url(&self) -> String {
        format!("postgres://sync:sync@{}:{}/sync", self.address, self.port)
    }

    /// Starts it again a moment later, while this program goes on.
    fn restart_later(&self) -> Child {
        self.command("start").spawn().unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.command("wipe").status();
    }
}

/// The server does not run as root, and must reach its folder.
fn open_to_all(folder: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o755)).unwrap();
}

/// Killed again and again while batches are written: each batch that was acknowledged is there, each is whole, and the
/// writer goes on by itself.
#[test]
fn a_killed_server_loses_nothing_and_leaves_nothing_half() {
    let server = Server::start();
    let lab = Lab::on(&server.url(), "kill");
    let store = lab.store("s");
    install(&store);
    let (acknowledged, ended) = (AtomicI64::new(0), AtomicBool::new(false));
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            for batch in 0..i64::MAX {
                if ended.load(Ordering::Relaxed) {
                    break;
                }
                server::write(&store, (1..=7).map(|n| batch * 7 + n)).unwrap();
                acknowledged.store((batch + 1) * 7, Ordering::Relaxed);
            }
        });
        for _ in 0..3 {
            let before = acknowledged.load(Ordering::Relaxed);
            // Until it writes again after the last time.
            while acknowledged.load(Ordering::Relaxed) < before + 70 {
                assert!(!writer.is_finished(), "it writes on");
                std::thread::sleep(Duration::from_millis(5));
            }
            server.script("kill");
            server.script("start");
        }
        ended.store(true, Ordering::Relaxed);
    });
    let acknowledged = acknowledged.load(Ordering::Relaxed);
    assert_eq!(server::rows(&store) as i64, acknowledged, "every batch once, and whole");
    let counts = store.reader().unwrap().cs_counts().unwrap();
    assert_eq!(counts.iter().map(|row| row.count as i64).sum::<i64>(), acknowledged);
}

/// A reader goes on over a new connection when nothing was written meanwhile, and says so when something was.
#[test]
fn a_reader_survives_a_restart_as_long_as_its_state_is_the_newest() {
    let server = Server::start();
    let lab = Lab::on(&server.url(), "reader");
    let store = lab.store("s");
    install(&store);
    server::write(&store, [1]).unwrap();
    let reader = store.reader().unwrap();
    assert_eq!(reader.cs_by_id(&[CsId(1)]).unwrap(), [server::row(1)]);
    server.script("kill");
    let mut restart = server.restart_later();
    assert_eq!(reader.cs_by_id(&[CsId(1)]).unwrap(), [server::row(1)]);
    assert!(restart.wait().unwrap().success());
    server.script("stop");
    server.script("start");
    server::write(&store, [2]).unwrap();
    let error = reader.cs_by_id(&[CsId(1)]).unwrap_err().to_string();
    assert!(error.contains("changed since"), "{error}");
    assert_eq!(server::rows(&store), 2);
}

/// A backup that is restored under a running store, as a standby that lacks batches: nothing is written on top.
#[test]
fn batches_that_were_acknowledged_and_are_gone_are_missed() {
    let lab = Lab::new("lost");
    let store = lab.store("s");
    install(&store);
    server::write(&store, [1]).unwrap();
    server::write(&store, [2]).unwrap();
    lab.run("UPDATE s.write_mark SET number = number - 1; DELETE FROM s.cs_object WHERE id = 2").unwrap();
    let error = server::write(&store, [3]).unwrap_err();
    assert!(matches!(error, StoreError::Lost { acknowledged: 3, found: 2 }), "{error}");
    assert_eq!(server::rows(&store), 1, "nothing is written on top");
    // What is begun anew begins from what is there.
    server::write(&store, [3]).unwrap();
    assert_eq!(server::rows(&store), 2);
}

/// Serialisation failures and deadlocks: the whole transaction runs again.
#[test]
fn what_the_database_asks_to_be_repeated_is_repeated() {
    let lab = Lab::new("again");
    let store = lab.store("s");
    install(&store);
    // The first three batches are refused so, at their last statement.
    lab.run(
        "CREATE TABLE s.tries (n bigint); INSERT INTO s.tries VALUES (0);
         CREATE SEQUENCE s.tried;
         CREATE FUNCTION s.refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
           IF nextval('s.tried') <= 3 THEN RAISE 'again' USING ERRCODE = '40001'; END IF; RETURN NEW; END $$;
         CREATE TRIGGER refuse BEFORE UPDATE ON s.write_mark FOR EACH ROW EXECUTE FUNCTION s.refuse()",
    )
    .unwrap();
    server::write(&store, [1, 2]).unwrap();
    assert_eq!(server::rows(&store), 2);
    let counts = store.reader().unwrap().cs_counts().unwrap();
    assert_eq!(counts.iter().map(|row| row.count).sum::<u64>(), 2, "once, not four times");
}
