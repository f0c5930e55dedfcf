//! Events: what people did is there, told to the journal, and nobody changes it unseen.

use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use rusqlite::Connection;
use serde_json::Value;

use crate::program::{Setup, onesync};

const SOURCE: &str = "name = \"source\"\nkind = \"ldif\"\nrank = 1\n[settings]\npath = \"../source.ldif\"\n";

/// A configuration over a directory with next to nothing in it.
async fn with_source(cloud: &str) -> Setup {
    let setup = Setup::new("ldif", SOURCE, cloud).await;
    std::fs::create_dir(setup.home()).unwrap(); // the path of the source goes through it
    std::fs::write(
        setup.path().join("source.ldif"),
        "version: 1\n\ndn: DC=contoso,DC=com\nobjectClass: domainDNS\n",
    )
    .unwrap();
    setup
}

async fn listed(setup: &Setup, more: &[&str]) -> Vec<Value> {
    let arguments: Vec<&str> = ["events", "--format", "json"].iter().chain(more).copied().collect();
    setup.run(&arguments).await.ends_with(0).json().as_array().unwrap().clone()
}

/// A rehearsal restores into a scratch place: what happens there is no news for whoever reads the journal.
#[tokio::test(flavor = "multi_thread")]
async fn a_rehearsal_tells_the_journal_that_it_was_one_and_nothing_else() {
    let setup = with_source("").await;
    std::fs::remove_file(setup.configuration().join("connectors/entra.toml")).unwrap();
    setup.apply().await.ends_with(0);
    setup.run(&["cycle"]).await.ends_with(0);
    let (journal, backup) = (setup.path().join("journal"), setup.path().join("one.backup"));
    let backup = backup.to_str().unwrap();
    setup.run(&["backup", backup]).await.ends_with(0);
    let socket = UnixDatagram::bind(&journal).unwrap();
    socket.set_nonblocking(true).unwrap();
    let told = async |home: &std::path::Path, line: &[&str], status: i32| -> Vec<String> {
        let output = onesync(home, line).env("ONESYNC_JOURNAL", &journal).output().await.unwrap();
        assert_eq!(output.status.code(), Some(status), "{}", String::from_utf8_lossy(&output.stderr));
        let mut bytes = vec![0; 64 << 10];
        let entry = || {
            let length = socket.recv(&mut bytes).ok()?;
            Some(field(&String::from_utf8_lossy(&bytes[..length]), "ONESYNC_EVENT").to_owned())
        };
        std::iter::from_fn(entry).collect()
    };
    assert_eq!(told(&setup.home(), &["restore", "rehearse", backup], 0).await, ["7063"]);
    // A directory that is away is told by the rehearsal, not as a run that has failed.
    std::fs::remove_file(setup.path().join("source.ldif")).unwrap();
    assert_eq!(told(&setup.home(), &["restore", "rehearse", backup], 3).await, ["7063"]);
    let status = setup.run(&["status"]).await.out;
    assert!(status.contains("restored and opened; not proven that nothing would be written"), "{status}");
    assert_eq!(told(&setup.path().join("second"), &["restore", backup], 0).await, ["7062"]);
}

/// What a field of an entry of the journal is.
fn field<'a>(entry: &'a str, name: &str) -> &'a str {
    entry.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('=')).unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_done_is_kept_told_and_cannot_be_changed_unseen() {
    let setup = with_source("").await;
    std::fs::remove_file(setup.configuration().join("connectors/entra.toml")).unwrap();
    let journal = setup.path().join("journal");
    let socket = UnixDatagram::bind(&journal).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let apply = ["config", "apply", setup.configuration().to_str().unwrap()].map(str::to_owned);
    let told = async |arguments: &[&str]| {
        let mut command = onesync(&setup.home(), arguments);
        let output = command
            .env("ONESYNC_JOURNAL", &journal)
            .env("SSH_CONNECTION", "192.0.2.7 50000 192.0.2.1 22")
            .output()
            .await
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    told(&apply.each_ref().map(String::as_str)).await;
    told(&["scheduler", "off"]).await;
    told(&["scheduler", "on"]).await;
    // A logger that is gone stops nothing.
    let mut entries: Vec<String> = Vec::new();
    let mut bytes = vec![0; 64 << 10];
    while entries.iter().filter(|entry| field(entry, "ONESYNC_EVENT") == "904").count() < 2 {
        let length = socket.recv(&mut bytes).unwrap();
        entries.push(String::from_utf8(bytes[..length].to_vec()).unwrap());
    }
    drop(socket);
    told(&["scheduler", "off"]).await;

    let events = listed(&setup, &[]).await;
    let numbers: Vec<u64> = events.iter().filter_map(|event| event["number"].as_u64()).collect();
    assert!(
        numbers.ends_with(&[904, 904, 904]) && numbers.contains(&7030) && numbers.contains(&2503),
        "{numbers:?}"
    );
    let last = events.last().unwrap();
    assert_eq!(last["message"], "the scheduler was switched off");
    assert_eq!((&last["level"], &last["ssh"]), (&"notice".into(), &"192.0.2.7".into()));
    assert!(
        last["host"].is_string() && last["uid"].is_u64() && !last["who"].as_str().unwrap().is_empty(),
        "{last}"
    );
    // The journal was told the same, with the place in the chain.
    for entry in &entries {
        let seq: i64 = field(entry, "ONESYNC_SEQ").parse().unwrap();
        let event = events.iter().find(|event| event["seq"] == seq).unwrap();
        assert_eq!(event["chain"], field(entry, "ONESYNC_CHAIN"), "{entry}");
        assert_eq!(event["number"].to_string(), field(entry, "ONESYNC_EVENT"));
        assert_eq!(field(entry, "SYSLOG_IDENTIFIER"), "onesync");
        assert_eq!(field(entry, "ONESYNC_SSH"), "192.0.2.7");
    }
    assert_eq!(listed(&setup, &["--number", "904", "--limit", "2"]).await, events[events.len() - 2..]);
    assert_eq!(listed(&setup, &["--level", "warning"]).await.len(), 0);
    assert_eq!(listed(&setup, &["--since", "1h"]).await, events);
    assert_eq!(listed(&setup, &["--since", "2100-01-01T00:00:00Z"]).await.len(), 0);
    setup.run(&["events", "--since", "yesterday"]).await.ends_with(2);
    setup.run(&["events", "--level", "grave"]).await.ends_with(2);

    // Without the key set, too.
    std::fs::rename(setup.home().join("keyset.toml"), setup.path().join("keyset.toml")).unwrap();
    let whole = setup.run(&["events", "verify"]).await.ends_with(0);
    let newest = format!("newest: {} {}", last["seq"], last["chain"].as_str().unwrap());
    assert!(whole.out.contains("none was changed") && whole.out.contains(&newest), "{whole:?}");

    let database = setup.home().join("onesync.db");
    let (first, second) = (events[events.len() - 3]["seq"].as_i64().unwrap(), last["seq"].as_i64().unwrap());
    for (change, back, named) in [
        (
            format!("UPDATE event SET subject = 'on' WHERE seq = {second}"),
            format!("UPDATE event SET subject = 'off' WHERE seq = {second}"),
            format!("event {second} was changed"),
        ),
        (
            format!("UPDATE event SET time = time + 1 WHERE seq = {first}"),
            format!("UPDATE event SET time = time - 1 WHERE seq = {first}"),
            format!("event {first} was changed"),
        ),
        (
            format!("UPDATE event SET seq = -seq WHERE seq = {first}"),
            format!("UPDATE event SET seq = -seq WHERE seq = -{first}"),
            String::new(),
        ),
        (
            format!("DELETE FROM event WHERE seq = {second}"),
            String::new(),
            format!("event {second} was taken out"),
        ),
    ] {
        let changed = |sql: &str| Connection::open(&database).unwrap().execute_batch(sql).unwrap();
        changed(&change);
        let broken = setup.run(&["events", "verify"]).await.ends_with(1);
        assert!(broken.err.contains(&named), "{change}: {broken:?}");
        changed(&back);
        if !back.is_empty() {
            setup.run(&["events", "verify"]).await.ends_with(0);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn events_are_followed_as_they_come() {
    let setup = with_source("").await;
    std::fs::remove_file(setup.configuration().join("connectors/entra.toml")).unwrap();
    setup.apply().await.ends_with(0);
    let mut child = onesync(&setup.home(), &["events", "--follow", "--number", "904", "--format", "json"])
        .spawn()
        .unwrap();
    let mut lines = {
        use tokio::io::AsyncBufReadExt as _;
        tokio::io::BufReader::new(child.stdout.take().unwrap()).lines()
    };
    for word in ["off", "on"] {
        setup.run(&["scheduler", word]).await.ends_with(0);
        let line = tokio::time::timeout(Duration::from_secs(30), lines.next_line()).await.unwrap().unwrap();
        let event: Value = serde_json::from_str(&line.unwrap()).unwrap();
        assert_eq!((&event["subject"], &event["number"]), (&word.into(), &904.into()));
    }
    child.kill().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn steps_that_fail_and_a_missing_key_set_are_events() {
    let sim = onesync_graphsim::GraphSim::builder().seed(5).start().await.unwrap();
    let setup = with_source(&crate::program::cloud(&sim)).await;
    setup.secret("graph", onesync_graphsim::DEFAULT_CLIENT_SECRET).await;
    setup.apply().await.ends_with(0);
    // The file that is to be read is not there any more.
    std::fs::remove_file(setup.path().join("source.ldif")).unwrap();
    setup.run(&["cycle"]).await;
    let failed = listed(&setup, &["--number", "6000"]).await;
    assert!(failed.iter().any(|event| event["subject"] == "source"), "{failed:?}");
    std::fs::remove_file(setup.home().join("keyset.toml")).unwrap();
    setup.run(&["run", "entra", "full-import"]).await.ends_with(4);
    let missing = listed(&setup, &["--number", "6028", "--level", "error"]).await;
    assert_eq!(missing.len(), 1, "{missing:?}");
}
