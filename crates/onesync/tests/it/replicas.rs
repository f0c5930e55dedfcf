//! A tenant whose replicas are behind: what it shows of the marker may be seconds old.

use std::time::Duration;

use onesync_graphsim::{Behaviours, GraphSim};
use tokio::process::Command;

use crate::kill::ldif::small;
use crate::program::{leave_staging, run};

/// More than what a marker that was read is believed for, and less than it is waited for.
const LAG: Duration = Duration::from_secs(4);
/// Cycles that may end without having written all: each has met an old answer, and said so.
const ATTEMPTS: usize = 5;

#[tokio::test(flavor = "multi_thread")]
async fn old_answers_make_no_copy_of_this_server_and_no_active_one_of_an_old_copy() {
    let lagging =
        Behaviours { read_lag_ms: i64::try_from(LAG.as_millis()).unwrap(), ..Behaviours::default() };
    let sim = GraphSim::builder().seed(67).behaviours(lagging).judged().await.unwrap();
    let setup = small(&sim).await;
    setup.run(&["cycle"]).await.ends_with(0);
    leave_staging(&setup.home()).await;
    let cycle = async || {
        for _ in 0..ATTEMPTS {
            let ended = setup.run(&["cycle"]).await;
            if ended.code == Some(0) {
                return;
            }
            // Or slow ones, where this machine is busy.
            let met = ["old answer", "MARKER-OLD", "MARKER-SLOW"];
            assert!(met.iter().any(|word| ended.err.contains(word)), "{ended:?}");
        }
        panic!("{ATTEMPTS} cycles have met old answers");
    };
    cycle().await;
    let old = setup.path().join("old");
    assert!(Command::new("cp").arg("-a").args([&setup.home(), &old]).status().await.unwrap().success());

    for name in ["One", "Two", "Three"] {
        setup.change_departments(name);
        let mark = sim.log_mark();
        cycle().await;
        let paths: Vec<String> = sim.changes(mark).into_iter().map(|entry| entry.path).collect();
        let mut once = paths.clone();
        once.sort();
        once.dedup();
        assert!(!paths.is_empty() && once.len() == paths.len(), "each is written once: {paths:?}");
    }
    let events = setup.run(&["events", "--number", "7076", "--format", "json"]).await.ends_with(0).json();
    assert_eq!(events, serde_json::json!([]), "an old answer is no copy");

    // So long an old copy may find what it knows (docs/standby.md).
    sim.advance(LAG);
    setup.change_departments("Four");
    let mark = sim.log_mark();
    let refused = run(&old, &["cycle"]).await.ends_with(4);
    assert!((refused.out + &refused.err).contains("another copy of this server"), "{}", refused.err);
    assert_eq!(sim.writes(mark).len(), 0);
}
