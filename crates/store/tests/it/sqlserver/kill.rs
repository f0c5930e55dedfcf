//! A server that is ended in the middle of everything: only where `ONESYNC_TEST_SQLSERVER_CRASH` is a command that kills
//! it, and starts it again. It is not this test's own, so that no other one may run beside this.

use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use onesync_model::CsId;
use onesync_store::Store as _;
use onesync_store::conformance::install;

use super::lab::Lab;
use crate::server;

/// Kills the server and starts it again; `None`, and said aloud, where nobody says how.
fn crash() -> Option<impl Fn()> {
    let Ok(command) = std::env::var("ONESYNC_TEST_SQLSERVER_CRASH") else {
        eprintln!("SKIPPED: ONESYNC_TEST_SQLSERVER_CRASH names no command that kills and starts the server");
        return None;
    };
    Some(move || {
        let status = Command::new(&command).stdin(Stdio::null()).stdout(Stdio::null()).status().unwrap();
        assert!(status.success(), "{command}");
    })
}

/// Killed again and again while batches are written: each batch that was acknowledged is there, each is whole, and the
/// writer goes on by itself.
#[test]
fn a_killed_server_loses_nothing_and_leaves_nothing_half() {
    let Some(crash) = crash() else { return };
    let lab = Lab::new("kill");
    let store = lab.open().unwrap();
    install(&store);
    let (acknowledged, ended) = (AtomicI64::new(0), AtomicBool::new(false));
    std::thread::scope(|scope| {
        scope.spawn(|| {
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
                std::thread::sleep(Duration::from_millis(5));
            }
            crash();
        }
        ended.store(true, Ordering::Relaxed);
    });
    let acknowledged = acknowledged.load(Ordering::Relaxed);
    assert_eq!(server::rows(&store) as i64, acknowledged, "every batch once, and whole");
    assert_eq!(server::counted(&store), acknowledged);
}

/// A reader goes on over a new connection when nothing was written meanwhile, and says so when something was.
#[test]
fn a_reader_survives_a_restart_as_long_as_its_state_is_the_newest() {
    let Some(crash) = crash() else { return };
    let lab = Lab::new("reader");
    let store = lab.open().unwrap();
    install(&store);
    server::write(&store, [1]).unwrap();
    let reader = store.reader().unwrap();
    assert_eq!(reader.cs_by_id(&[CsId(1)]).unwrap(), [server::row(1)]);
    crash();
    assert_eq!(reader.cs_by_id(&[CsId(1)]).unwrap(), [server::row(1)]);
    crash();
    server::write(&store, [2]).unwrap();
    let error = reader.cs_by_id(&[CsId(1)]).unwrap_err().to_string();
    assert!(error.contains("changed since"), "{error}");
    assert_eq!(server::rows(&store), 2);
}
