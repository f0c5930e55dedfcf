//! `keys rotate` is killed anywhere, and again: every secret opens, and the next one goes on.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use onesync_graphsim::GraphSim;
use onesync_service::Service;

use super::disturb::Dice;
use super::ldif::{SOURCE, small};
use crate::program::{CLOUD_SECRET, Setup, cloud, onesync, run};
use crate::setup::postgres::Server;
use crate::setup::{arguments, service};

/// Secrets beside that of the cloud: ten transactions, so that some are left when a kill has been decided on.
const SECRETS: usize = 190;
/// Kills, half of them at a time of the whole command, half once secrets are sealed under two keys.
const ROUNDS: usize = 10;
/// As many at most, until one fell between two transactions.
const MOST: usize = 40;

/// Begins `keys rotate` and kills it at a time; whether it was still there.
async fn killed_at(home: &Path, microseconds: u64) -> bool {
    let mut child = onesync(home, &["keys", "rotate"]).spawn().unwrap();
    tokio::time::sleep(Duration::from_micros(microseconds)).await;
    child.start_kill().unwrap();
    child.wait().await.unwrap().code().is_none()
}

/// Begins `keys rotate` and kills it as soon as a key has sealed more than it had before; whether it was still there.
///
/// Looking decides, no time: how long sealing takes depends on the machine.
async fn killed_halfway(home: &Path, looker: &Service) -> bool {
    let sealed_by = || looker.keys().unwrap().keys.into_iter().map(|key| (key.id, key.values));
    let before: BTreeMap<String, u64> = sealed_by().collect();
    let mut child = onesync(home, &["keys", "rotate"]).spawn().unwrap();
    while child.try_wait().unwrap().is_none() {
        if sealed_by().any(|(id, values)| values > before.get(&id).copied().unwrap_or_default()) {
            child.start_kill().unwrap();
            break;
        }
    }
    child.wait().await.unwrap().code().is_none()
}

/// Every secret opens; gives how many are sealed by older keys, and how many keys there are.
async fn all_open(home: &Path) -> (u64, usize) {
    let report = run(home, &["keys", "status", "--format", "json"]).await.ends_with(0).json();
    assert!(report["closed"].as_array().unwrap().is_empty(), "{report}");
    let keys = report["keys"].as_array().unwrap();
    let values = |key: &serde_json::Value| key["values"].as_u64().unwrap();
    assert_eq!(keys.iter().map(values).sum::<u64>(), SECRETS as u64 + 1, "{report}");
    let older = keys.iter().filter(|key| key["state"] == "retired").map(values).sum();
    (older, keys.len())
}

/// The story, in an installation whose cloud has its secret.
async fn is_killed_anywhere(setup: &Setup, sim: &GraphSim, name: &str) {
    let home = setup.home();
    let looker = service(&home).await;
    for number in 0..SECRETS {
        looker.set_secret(&format!("s{number}"), format!("value {number}").as_bytes()).unwrap();
    }
    let began = Instant::now();
    run(&home, &["keys", "rotate"]).await.ends_with(0);
    let took = began.elapsed().as_micros() as u64;
    let mut dice = Dice(8);
    let (mut in_time, mut halfway) = (0, 0);
    let (_, mut keys) = all_open(&home).await;
    for round in 0..MOST as u64 {
        if round >= ROUNDS as u64 && halfway > 0 {
            break;
        }
        let at = took * (round % ROUNDS as u64) / ROUNDS as u64 + dice.next() % (took / 10);
        in_time += usize::from(match round % 2 {
            0 => killed_at(&home, at).await,
            _ => killed_halfway(&home, &looker).await,
        });
        let (older, _) = all_open(&home).await;
        halfway += usize::from(older > 0);
        // Once more, while it goes on.
        match older > 0 && round % 4 == 1 {
            true => killed_halfway(&home, &looker).await,
            false => killed_at(&home, dice.next() % took).await,
        };
        let (older, between) = all_open(&home).await;
        let done = run(&home, &["keys", "rotate", "--format", "json"]).await.ends_with(0).json();
        assert_eq!(done["went_on"], older > 0, "{done}");
        let (older, after) = all_open(&home).await;
        assert_eq!((older, after), (0, between + usize::from(done["went_on"] == false)), "{done}");
        assert!(after <= keys + 3, "no key more than commands that were run");
        keys = after;
    }
    println!("{name}: {in_time} were killed in time, {halfway} left secrets under two keys");
    assert!(halfway > 0, "no kill fell between two transactions: {in_time} were in time");
    let left: Vec<_> = std::fs::read_dir(&home).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(!left.iter().any(|name| name.to_string_lossy().ends_with(".new")), "{left:?}");
    // The cloud takes what is sealed by the newest key.
    setup.run(&["connector", "test", "entra"]).await.ends_with(0);
    assert!(!sim.log(0).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn embedded() {
    let sim = GraphSim::builder().seed(61).judged().await.unwrap();
    let setup = small(&sim).await;
    is_killed_anywhere(&setup, &sim, "embedded").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_the_database_on_a_server() {
    let server = Server::new("rotate").await;
    let sim = GraphSim::builder().seed(62).judged().await.unwrap();
    let setup = Setup::new("ldif", SOURCE, &cloud(&sim)).await;
    let source = small(&sim).await;
    std::fs::copy(source.path().join("directory.ldif"), setup.path().join("directory.ldif")).unwrap();
    let file = |name: &str, text: &str| setup.file(name, text);
    let (password, admin) = (file("db", "of the service"), file("admin", &server.password));
    let (url, admin_url) = (server.url(), server.admin_url());
    let database = ["--database", &url, "--database-password-file", &password, "--yes"];
    let administrator = ["--database-admin", &admin_url, "--database-admin-password-file", &admin];
    let line = arguments(&[&database[..], &administrator].concat());
    // The service account's password is in a file: it is none of the secrets that are counted.
    let own = file("own", "a long password of the service account");
    setup.run(&[&line[..], &["--service-account-password-file", &own]].concat()).await.ends_with(0);
    setup.secret("graph", CLOUD_SECRET).await;
    setup.apply().await.ends_with(0);
    is_killed_anywhere(&setup, &sim, "postgres").await;
    server.remove().await;
}
