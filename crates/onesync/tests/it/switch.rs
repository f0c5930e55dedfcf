//! Switching over to a staging server that has a database of its own, to the end, as docs/staging.md tells it.

use std::path::Path;

use onesync_graphsim::GraphSim;

use crate::kill::ldif::SOURCE;
use crate::program::{CLOUD_SECRET, Setup, cloud, directory, leave_staging, run};
use crate::setup::{Database, Place, arguments};

const ACCOUNT: &str = "svc-onesync";
const PASSWORD: &str = "a long password of the service account";

/// A server with this database, and the configuration.
async fn made(setup: &Setup, home: &Path, database: &Database, password: &str) {
    let account = ["--service-account-name", ACCOUNT, "--service-account-password-file", password];
    run(home, &arguments(&[&database.both()[..], &account].concat())).await.ends_with(0);
    let secret = setup.path().join("secret");
    std::fs::write(&secret, CLOUD_SECRET).unwrap();
    run(home, &["secret", "set", "graph", "--file", secret.to_str().unwrap()]).await.ends_with(0);
    run(home, &["config", "apply", setup.configuration().to_str().unwrap()]).await.ends_with(0);
    run(home, &["cycle", "initial"]).await.ends_with(0);
}

async fn switches_over(seed: u64, databases: [&Database; 2]) {
    let sim = GraphSim::builder().seed(seed).judged().await.unwrap();
    let setup = Setup::new("ldif", SOURCE, &cloud(&sim)).await;
    std::fs::write(setup.path().join("directory.ldif"), directory(60)).unwrap();
    let at = |name: &str| setup.path().join(name).to_str().unwrap().to_owned();
    let (password, keys, plan) = (at("account"), at("keys.age"), at("plan"));
    std::fs::write(&password, PASSWORD).unwrap();
    let (old, new) = (setup.home(), setup.path().join("new"));
    made(&setup, &old, databases[0], &password).await;
    leave_staging(&old).await;
    run(&old, &["cycle"]).await.ends_with(0);
    made(&setup, &new, databases[1], &password).await;

    // Nothing is written from here on, though something is owed.
    run(&old, &["scheduler", "off", "--wait"]).await.ends_with(0);
    run(&old, &["cycle"]).await.ends_with(0);
    run(&old, &["staging", "on", "entra"]).await.ends_with(0);
    setup.change_departments("New");
    run(&old, &["cycle"]).await.ends_with(0);
    run(&old, &["staging", "export-plan", &plan]).await.ends_with(0);
    let mark = sim.log_mark();

    run(&new, &["cycle"]).await.ends_with(0);
    let equal = run(&new, &["staging", "diff", &plan, "--format", "json"]).await.ends_with(0).json();
    assert_eq!(equal["connectors"][0]["unexplained"]["count"], 0, "{equal}");
    leave_staging(&new).await;
    let refused = run(&new, &["cycle"]).await.ends_with(4);
    assert!(refused.err.contains("belongs to installation"), "{refused:?}");
    assert_eq!(sim.writes(mark).len(), 0);

    run(&new, &["keys", "export", &keys, "--password-file", &password]).await.ends_with(0);
    let activate = ["activate", &keys, ACCOUNT, "--password-file", &password, "--yes"];
    let not_yet = run(&new, &activate).await.ends_with(0);
    assert!(not_yet.err.contains("--again"), "{not_yet:?}");
    let done = run(&new, &[&activate[..], &["--again"]].concat()).await.ends_with(0);
    assert!((done.out.clone() + &done.err).contains("the marker of `entra` names this server"), "{done:?}");
    let first = run(&new, &["cycle", "--format", "json"]).await.ends_with(0).json();
    assert_eq!(first["owed"], serde_json::json!(["directory", "entra"]), "{first}");
    let changed = sim.changes(mark);
    let mut once: Vec<&str> = changed.iter().map(|entry| entry.path.as_str()).collect();
    once.sort_unstable();
    once.dedup();
    assert!(!changed.is_empty() && once.len() == changed.len(), "what was owed there, once: {changed:?}");

    // Whoever turns the other one on again turns nothing on.
    setup.change_departments("Old");
    let mark = sim.log_mark();
    run(&old, &["cycle"]).await.ends_with(0);
    leave_staging(&old).await;
    let refused = run(&old, &["cycle"]).await.ends_with(4);
    assert!(refused.err.contains("belongs to installation"), "{refused:?}");
    assert_eq!(sim.writes(mark).len(), 0, "the old server writes nothing");
    run(&new, &["scheduler", "on"]).await.ends_with(0);
    run(&new, &["cycle"]).await.ends_with(0);
    assert!(!sim.changes(mark).is_empty(), "the new one does");
}

#[tokio::test(flavor = "multi_thread")]
async fn between_embedded_databases() {
    switches_over(71, [&Database::default(), &Database::default()]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn from_an_embedded_database_to_postgresql() {
    use crate::setup::postgres::Server;
    let (server, files) = (Server::new("switch").await, Place::new());
    switches_over(72, [&Database::default(), &server.database(&files)]).await;
    server.remove().await;
}

mod sqlserver {
    use super::{Place, switches_over};
    use crate::setup::sqlserver::Server;

    #[tokio::test(flavor = "multi_thread")]
    async fn between_two_databases() {
        let (one, two) = (Server::new("switch1").await, Server::new("switch2").await);
        let (files, others) = (Place::new(), Place::new());
        switches_over(73, [&one.database(&files), &two.database(&others)]).await;
        one.remove().await;
        two.remove().await;
    }
}
