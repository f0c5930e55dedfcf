//! One works at a time, and whoever is killed leaves no lock and no half installation.

use std::time::Duration;

use onesync_graphsim::{FaultAction, FaultRule, GraphSim};

use super::disturb::Dice;
use super::ldif::small;
use crate::program::{CLOUD_SECRET, Setup, onesync, run, until};

#[tokio::test(flavor = "multi_thread")]
async fn a_second_cycle_says_who_works_and_writes_nothing() {
    let sim = GraphSim::builder().seed(5).judged().await.unwrap();
    let setup = small(&sim).await;
    // The first cycle waits for the cloud while the second one tries.
    sim.fault(FaultRule {
        method: Some("GET".to_owned()),
        path: Some("/v1.0/users".to_owned()),
        action: FaultAction::Hold,
        ..FaultRule::default()
    });
    let mut first = onesync(&setup.home(), &["cycle", "initial"]).spawn().unwrap();
    until("it asks the cloud", async || {
        assert_eq!(first.try_wait().unwrap(), None, "it ended before it asked the cloud");
        sim.faults_struck() > 0
    })
    .await;
    for command in [&["cycle"][..], &["run", "directory", "full-import"]] {
        let second = setup.run(command).await.ends_with(4);
        assert!(second.err.contains(&format!("process {} (cycle)", first.id().unwrap())), "{}", second.err);
        assert!(second.err.contains("hint: one at a time"), "{}", second.err);
    }
    let apply = setup.run(&["config", "apply", setup.configuration().to_str().unwrap()]).await.ends_with(4);
    assert!(apply.err.contains("is being worked on"), "{}", apply.err);
    // Looking is always possible.
    setup.run(&["status"]).await.ends_with(0);

    first.kill().await.unwrap();
    sim.clear_faults();
    setup.run(&["cycle", "initial"]).await.ends_with(0);
    let runs = setup.run(&["history", "--format", "json"]).await.ends_with(0).out;
    assert!(runs.contains("interrupted"), "the killed run is named: {runs}");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_cycles_at_once_write_each_object_once() {
    let sim = GraphSim::builder().seed(5).judged().await.unwrap();
    let setup = small(&sim).await;
    setup.run(&["cycle", "initial"]).await.ends_with(0);
    crate::program::leave_staging(&setup.home()).await;
    let home = setup.home();
    let mut codes: Vec<i32> = Vec::new();
    let both = tokio::join!(run(&home, &["cycle"]), run(&home, &["cycle"]));
    for ended in [both.0, both.1] {
        codes.push(ended.code.unwrap());
    }
    codes.sort_unstable();
    // Each ended well, or was told that the other one works.
    assert!(codes == [0, 4] || codes == [0, 0], "{codes:?}");
    super::cloud::assert_created_once(&sim, 0);
    let mark = sim.log_mark();
    setup.run(&["cycle"]).await.ends_with(0);
    assert_eq!(sim.changes(mark).len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_installation_whose_making_was_killed_can_be_made() {
    let sim = GraphSim::builder().seed(5).judged().await.unwrap();
    let mut dice = Dice(11);
    let (mut killed, mut early) = (0, 0);
    for round in 0..12 {
        let setup = Setup::new("ldif", super::ldif::SOURCE, &crate::program::cloud(&sim)).await;
        let secret = setup.path().join("secret");
        std::fs::write(&secret, CLOUD_SECRET).unwrap();
        let arguments = ["secret", "set", "graph", "--file", secret.to_str().unwrap()];
        let mut child = onesync(&setup.home(), &arguments).spawn().unwrap();
        // As soon as something of it is there, or some milliseconds later.
        while child.try_wait().unwrap().is_none() && !setup.home().join("work.lock").exists() {
            tokio::task::yield_now().await;
        }
        if round % 3 > 0 {
            tokio::time::sleep(Duration::from_micros((dice.next() % 150_000) >> (round % 4 * 3))).await;
        }
        child.start_kill().unwrap();
        if child.wait().await.unwrap().code().is_none() {
            killed += 1;
            early += usize::from(!setup.home().join("onesync.db").exists());
        }
        let again = setup.run(&arguments).await;
        assert_eq!(again.code, Some(0), "round {round}: {}", again.err);
        setup.run(&["secret", "list"]).await.ends_with(0);
    }
    println!("making an installation: {killed} of 12 were killed, {early} before it was made");
    assert!(early > 0, "nobody was killed before it was made");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_maker_left_is_not_taken_for_an_installation() {
    let sim = GraphSim::builder().seed(5).judged().await.unwrap();
    let setup = Setup::new("ldif", super::ldif::SOURCE, &crate::program::cloud(&sim)).await;
    std::fs::create_dir(setup.home()).unwrap();
    // Half a key set and half a database, as they lie there after a kill.
    std::fs::write(setup.home().join("keyset.toml.new"), "version = 1\ncur").unwrap();
    std::fs::write(setup.home().join("onesync.db.new"), "SQLite form").unwrap();
    std::fs::write(setup.home().join("onesync.db.new-wal"), "rubbish").unwrap();
    setup.run(&["status"]).await.ends_with(2);
    setup.secret("graph", CLOUD_SECRET).await;
    let list = setup.run(&["secret", "list"]).await.ends_with(0);
    assert!(list.out.contains("graph"), "{}", list.out);
    let left: Vec<_> = std::fs::read_dir(setup.home())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.contains(".new"))
        .collect();
    assert_eq!(left, Vec::<String>::new());
}
