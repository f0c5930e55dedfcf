//! Asked to end, a cycle ends after its next transaction, says so, and the next one goes on from there.

use std::time::Duration;

use onesync_graphsim::{FaultAction, FaultPhase, FaultRule, GraphSim};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use tokio::time::timeout;

use super::cloud::{assert_created_once, contents};
use super::ldif::small;
use crate::program::{Ended, LONG, Setup, leave_staging, onesync, signal, until};

/// Of a demonstration that cannot have come to its end when it is asked to.
const OBJECTS: &str = "20000";
/// How long is looked whether a process ends that is not to end yet.
const LOOK: Duration = Duration::from_secs(1);

/// Asks a process to end while its requests are held; `waits`: it does not end before they are answered.
async fn signalled(
    sim: &GraphSim,
    setup: &Setup,
    arguments: &[&str],
    name: &str,
    [method, path]: [&str; 2],
    waits: bool,
) -> Ended {
    let struck = sim.faults_struck();
    sim.fault(FaultRule {
        method: Some(method.to_owned()),
        path: Some(path.to_owned()),
        times: 0,
        phase: FaultPhase::After,
        action: FaultAction::Hold,
        ..FaultRule::default()
    });
    let mut child = onesync(&setup.home(), arguments).spawn().unwrap();
    until("a request is held", async || {
        assert_eq!(child.try_wait().unwrap(), None, "it ended before the signal");
        sim.faults_struck() > struck
    })
    .await;
    signal(&child, name).await;
    let mut said = BufReader::new(child.stderr.take().unwrap());
    let mut err = String::new();
    while !err.contains("stops: ") {
        let read = timeout(LONG, said.read_line(&mut err)).await.expect("it does not hear").unwrap();
        assert!(read > 0, "it ended without having heard: {err}");
    }
    if waits {
        assert!(timeout(LOOK, child.wait()).await.is_err(), "it did not wait for the answers: {err}");
        sim.clear_faults();
    }
    let output = timeout(LONG, child.wait_with_output()).await.expect("it waits for the directory").unwrap();
    sim.clear_faults();
    said.read_to_string(&mut err).await.unwrap();
    Ended { err, ..Ended::of(output) }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_ends_a_cycle_politely_and_nothing_is_lost() {
    let sim = GraphSim::builder().seed(9).judged().await.unwrap();
    let setup = small(&sim).await;

    // An import does not wait for a directory that does not answer.
    let users = ["GET", "/v1.0/users"];
    let ended = signalled(&sim, &setup, &["cycle", "initial"], "-TERM", users, false).await.ends_with(1);
    assert!(ended.err.contains("error: stopped: this process was asked to end (SIGTERM)"), "{}", ended.err);
    assert!(ended.err.contains("hint: nothing is lost"), "{}", ended.err);
    setup.run(&["cycle", "initial"]).await.ends_with(0);
    leave_staging(&setup.home()).await;

    // An export waits for the batch that is under way and takes its answers.
    let ended = signalled(&sim, &setup, &["cycle"], "-INT", ["POST", "/v1.0/users"], true).await.ends_with(1);
    assert!(ended.err.contains("(SIGINT)"), "{}", ended.err);
    let runs = setup.run(&["history", "--format", "json"]).await.ends_with(0).out;
    assert!(runs.contains("stopped") && !runs.contains("interrupted"), "{runs}");
    let some = contents(&sim);
    let sent =
        setup.run(&["pending", "entra", "--limit", "10000", "--format", "json"]).await.ends_with(0).out;
    assert!(!sent.contains("\"sending\""), "the answers of the last batch are taken: {sent}");

    setup.run(&["cycle"]).await.ends_with(0);
    assert!(contents(&sim) != some, "the rest came with the next cycle");
    assert_created_once(&sim, 0);
    let mark = sim.log_mark();
    setup.run(&["cycle"]).await.ends_with(0);
    assert_eq!(sim.changes(mark).len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_demonstration_that_is_asked_to_end_leaves_nothing_behind() {
    // As soon as there is anything, and when it works with its database.
    for (by, name, file) in [
        ("-INT", "SIGINT", ""),
        ("-TERM", "SIGTERM", ""),
        ("-INT", "SIGINT", "home/onesync.db-wal"),
        ("-TERM", "SIGTERM", "home/onesync.db-wal"),
    ] {
        let place = tempfile::tempdir().unwrap();
        let entries = || std::fs::read_dir(place.path()).unwrap().map(|entry| entry.unwrap().path());
        let mut command = onesync(place.path(), &["demo", "--objects", OBJECTS]);
        let mut child = command.env("TMPDIR", place.path()).spawn().unwrap();
        until("it has begun", async || {
            assert_eq!(child.try_wait().unwrap(), None, "it ended before the signal");
            entries().any(|folder| folder.join(file).exists())
        })
        .await;
        signal(&child, by).await;
        let ended = timeout(LONG, child.wait_with_output()).await.expect("it does not end").unwrap();
        let told = String::from_utf8(ended.stderr).unwrap();
        assert_eq!(ended.status.code(), Some(1), "{told}");
        assert!(told.contains(&format!("asked to end ({name})")), "{told}");
        assert_eq!(entries().count(), 0);
    }
}
