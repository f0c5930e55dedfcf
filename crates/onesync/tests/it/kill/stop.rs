//! Asked to end, a cycle ends after its next transaction, says so, and the next one goes on from there.

use std::time::Duration;

use onesync_graphsim::{FaultAction, FaultPhase, FaultRule, GraphSim};
use tokio::process::Command;

use super::cloud::{assert_created_once, contents};
use super::ldif::small;
use crate::program::{Ended, Setup, leave_staging, onesync};

/// A request that is held back, so that the signal comes while it is under way.
async fn signalled(
    sim: &GraphSim,
    setup: &Setup,
    arguments: &[&str],
    signal: &str,
    fault: FaultRule,
) -> Ended {
    let struck = sim.faults_struck();
    sim.fault(fault);
    let child = onesync(&setup.home(), arguments).spawn().unwrap();
    let id = child.id().unwrap().to_string();
    let output = tokio::spawn(child.wait_with_output());
    while sim.faults_struck() == struck {
        assert!(!output.is_finished(), "it ended before the signal");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    assert!(Command::new("kill").args([signal, &id]).status().await.unwrap().success());
    let output = output.await.unwrap().unwrap();
    sim.clear_faults();
    Ended::of(output)
}

fn held_back(method: &str, path: &str, ms: u64) -> FaultRule {
    FaultRule {
        method: Some(method.to_owned()),
        path: Some(path.to_owned()),
        phase: FaultPhase::After,
        action: FaultAction::Delay { ms },
        ..FaultRule::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_ends_a_cycle_politely_and_nothing_is_lost() {
    let sim = GraphSim::builder().seed(9).judged().await.unwrap();
    let setup = small(&sim).await;

    // An import does not wait for a directory that does not answer.
    let began = std::time::Instant::now();
    let slow = held_back("GET", "/v1.0/users", 60_000);
    let ended = signalled(&sim, &setup, &["cycle", "initial"], "-TERM", slow).await.ends_with(1);
    assert!(ended.err.contains("error: stopped: this process was asked to end (SIGTERM)"), "{}", ended.err);
    assert!(ended.err.contains("hint: nothing is lost"), "{}", ended.err);
    assert!(began.elapsed() < Duration::from_secs(30), "it waited for the directory");
    setup.run(&["cycle", "initial"]).await.ends_with(0);
    leave_staging(&setup.home()).await;

    // An export waits for the batch that is under way and takes its answers.
    let slow = held_back("POST", "/v1.0/users", 400);
    let ended = signalled(&sim, &setup, &["cycle"], "-INT", slow).await.ends_with(1);
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
    for (signal, name) in [("-INT", "SIGINT"), ("-TERM", "SIGTERM")] {
        let place = tempfile::tempdir().unwrap();
        let entries = || std::fs::read_dir(place.path()).unwrap().count();
        let mut command = crate::program::onesync(place.path(), &["demo", "--objects", "200", "--once"]);
        let child = command.env("TMPDIR", place.path()).spawn().unwrap();
        while entries() == 0 {
            tokio::task::yield_now().await;
        }
        let id = child.id().unwrap().to_string();
        assert!(Command::new("kill").args([signal, &id]).status().await.unwrap().success());
        let ended = child.wait_with_output().await.unwrap();
        let told = String::from_utf8(ended.stderr).unwrap();
        assert_eq!(ended.status.code(), Some(1), "{told}");
        assert!(told.contains(&format!("asked to end ({name})")), "{told}");
        assert_eq!(entries(), 0);
    }
}
