//! A server is lost and another one takes its place, step by step as an administrator does it: the scheduler off, keys
//! exported, a backup, the server gone, a new one set up that says in plain words what it lacks, `activate` with `*`,
//! the warning, the success and its event, the scheduler on; nothing is exported twice. Embedded, and on each server.

use std::path::{Path, PathBuf};
use std::time::Duration;

use onesync_graphsim::{GraphSim, judged::Judged};

use crate::kill::ldif::SOURCE;
use crate::program::{CLOUD_SECRET, Ended, Setup, cloud, directory, leave_staging, onesync, run};
use crate::setup::{Database, Place, arguments};
use crate::terminal::Terminal;

const ACCOUNT: &str = "CONTOSO\\svc-onesync";
const PASSWORD: &str = "a long password of the service account";

/// What is left of the server.
struct Left {
    sim: Judged,
    setup: Setup,
    files: Place,
    keys: String,
    backup: String,
    /// Its home, at another place: the machine may come back.
    old: PathBuf,
}

/// A server that works, is prepared for its loss, and lost.
async fn lost(seed: u64, database: &Database, files: Place) -> Left {
    let sim = GraphSim::builder().seed(seed).judged().await.unwrap();
    let setup = Setup::new("ldif", SOURCE, &cloud(&sim)).await;
    std::fs::write(setup.path().join("directory.ldif"), directory(60)).unwrap();
    let password = files.file("account", PASSWORD);
    let account = ["--service-account-name", ACCOUNT, "--service-account-password-file", &password];
    setup.run(&arguments(&[&database.both()[..], &account].concat())).await.ends_with(0);
    setup.secret("graph", CLOUD_SECRET).await;
    setup.apply().await.ends_with(0);
    setup.run(&["cycle", "initial"]).await.ends_with(0);
    leave_staging(&setup.home()).await;
    setup.run(&["cycle"]).await.ends_with(0);
    assert!(!sim.changes(0).is_empty());

    setup.run(&["scheduler", "off", "--wait"]).await.ends_with(0);
    let at = |name: &str| files.path().join(name).to_str().unwrap().to_owned();
    let (keys, backup) = (at("keys.age"), at("onesync.backup"));
    setup.run(&["keys", "export", &keys, "--password-file", &password]).await.ends_with(0);
    setup.run(&["backup", &backup]).await.ends_with(0);
    setup.run(&["backup", "verify", &backup]).await.ends_with(0);
    let old = setup.path().join("old");
    std::fs::rename(setup.home(), &old).unwrap();
    Left { sim, setup, files, keys, backup, old }
}

impl Left {
    /// The home of the new server.
    fn home(&self) -> PathBuf {
        self.setup.path().join("new")
    }

    /// The new server, which has a database and nothing else: what it says, how it is activated, its first cycles.
    async fn comes_back(&self) {
        let home = self.home();
        let plain = "configuration settings cannot be read: this database is protected by key set";
        let status = run(&home, &["status"]).await.ends_with(4);
        assert!(status.out.contains(plain) && status.out.contains("exported at"), "{status:?}");
        assert!(status.out.contains("onesync activate"), "{status:?}");
        run(&home, &["cycle"]).await.ends_with(4);
        run(&home, &["search", "mv"]).await.ends_with(0);
        self.serves_and_waits(&home, plain).await;

        let line = format!("activate {} '{ACCOUNT}' '*'", self.keys);
        let mut terminal = Terminal::run(&home, &line);
        terminal.answer("Password of the service account:", PASSWORD).await;
        terminal.expect("warning: ").await;
        terminal.answer("Activate this server?", "y").await;
        terminal.expect("service activated and running").await;
        let screen = terminal.ends_with(0).await;
        assert!(!screen.contains(PASSWORD) && screen.contains("the scheduler is off"), "{screen}");
        let events = run(&home, &["events", "--number", "7070"]).await.ends_with(0);
        assert!(events.out.contains("service activated and running"), "{events:?}");

        let mark = self.sim.log_mark();
        run(&home, &["scheduler", "on"]).await.ends_with(0);
        let cycle = run(&home, &["cycle", "--format", "json"]).await.ends_with(0).json();
        assert_eq!(cycle["owed"], serde_json::json!(["directory", "entra"]), "{cycle}");
        assert_eq!(self.sim.changes(mark).len(), 0, "what was exported is not exported again");
        self.setup.change_departments("New");
        run(&home, &["cycle"]).await.ends_with(0);
        assert!(!self.sim.changes(mark).is_empty(), "it works");
        run(&home, &["events", "verify"]).await.ends_with(0);
        run(&home, &["status"]).await.ends_with(0);
    }

    /// Before it is activated its daemon runs, and says what it lacks.
    async fn serves_and_waits(&self, home: &Path, plain: &str) {
        let daemon = onesync(home, &["serve"]).spawn().unwrap();
        let doing = async || {
            let view = run(home, &["scheduler", "status", "--format", "json"]).await.json();
            view["daemon"]["doing"].as_str().is_some_and(|doing| !doing.is_empty())
        };
        let began = std::time::Instant::now();
        while !doing().await {
            assert!(began.elapsed() < Duration::from_secs(120), "the daemon serves");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let status = run(home, &["status"]).await.ends_with(4);
        assert!(status.out.contains(plain), "{status:?}");
        let id = daemon.id().unwrap().to_string();
        tokio::process::Command::new("kill").args(["-TERM", &id]).status().await.unwrap();
        let ended = daemon.wait_with_output().await.unwrap();
        let said = String::from_utf8(ended.stderr).unwrap();
        assert!(ended.status.success() && said.contains(plain), "{said}");
    }

    /// The old machine is switched on again, with something to send.
    async fn old_one_is_refused(&self, words: &str) {
        self.setup.change_departments("Old");
        let mark = self.sim.log_mark();
        let refused: Ended = run(&self.old, &["cycle"]).await.ends_with(4);
        assert!((refused.out.clone() + &refused.err).contains(words), "{refused:?}");
        assert_eq!(self.sim.writes(mark).len(), 0, "the old server writes nothing");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_server_with_an_embedded_database() {
    let left = lost(61, &Database::default(), Place::new()).await;
    run(&left.home(), &["restore", &left.backup]).await.ends_with(0);
    let set_up = run(&left.home(), &arguments(&["--yes"])).await.ends_with(0);
    assert!(set_up.out.contains("brings it from an exported key file"), "{set_up:?}");
    left.comes_back().await;
    left.old_one_is_refused("belongs to installation").await;
}

/// The database is still there: the new server joins it.
async fn only_the_machine(seed: u64, database: &Database, files: Place) {
    let left = lost(seed, database, files).await;
    let joined = run(&left.home(), &arguments(&database.service())).await.ends_with(0);
    assert!(joined.err.contains("onesync activate"), "{joined:?}");
    left.comes_back().await;
    left.old_one_is_refused("this server was replaced").await;
}

/// The database is gone with it: a backup goes into an empty one.
async fn the_database_too(
    seed: u64,
    database: &Database,
    files: Place,
    url: &str,
    password: &str,
    emptied: impl AsyncFn(),
) {
    let left = lost(seed, database, files).await;
    emptied().await;
    let password = left.files.file("service", password);
    let back = ["restore", &left.backup, "--to", url, "--database-password-file", &password];
    run(&left.home(), &back).await.ends_with(0);
    let alone = run(&left.home(), &["standby", "automatic"]).await.ends_with(4);
    assert!(alone.err.contains("activate KEYFILE") && !alone.err.contains("--stand-by"), "{alone:?}");
    left.comes_back().await;
}

/// The stories of a kind of server.
macro_rules! on_a_server {
    ($kind:ident, $seed:literal) => {
        mod $kind {
            use super::{Place, only_the_machine, the_database_too};
            use crate::setup::$kind::{PASSWORD, Server};

            #[tokio::test(flavor = "multi_thread")]
            async fn a_lost_machine() {
                let (server, files) = (Server::new("lost").await, Place::new());
                only_the_machine($seed, &server.database(&files), files).await;
                server.remove().await;
            }

            #[tokio::test(flavor = "multi_thread")]
            async fn a_lost_machine_and_its_database() {
                let (server, files) = (Server::new("gone").await, Place::new());
                let emptied = async || {
                    server.remove().await;
                    server.make_empty().await;
                };
                let (database, url) = (server.database(&files), server.url());
                the_database_too($seed + 1, &database, files, &url, PASSWORD, emptied).await;
                server.remove().await;
            }
        }
    };
}

on_a_server!(postgres, 62);
on_a_server!(sqlserver, 64);
