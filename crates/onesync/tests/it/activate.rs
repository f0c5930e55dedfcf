//! `activate`: a server is lost, and another one takes its place; each wrong input is named, and nothing is changed by it.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use onesync_graphsim::GraphSim;
use serde_json::Value;

use crate::kill::ldif::small;
use crate::program::{Ended, Setup, leave_staging, onesync, run};
use crate::setup::postgres::Server;
use crate::setup::{arguments, rows};

const PASSWORD: &str = "a long password of the service account";
const ACCOUNT: &str = "CONTOSO\\svc-onesync";

/// An installation with this service account.
async fn with_account(setup: &Setup) {
    let password = setup.file("account.pass", PASSWORD);
    let account = ["--yes", "--service-account-name", ACCOUNT, "--service-account-password-file", &password];
    setup.run(&arguments(&account)).await.ends_with(0);
}

/// All files of a home, but locks and the database, whose rows are compared.
fn files(home: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let (mut open, mut found) = (vec![home.to_owned()], BTreeMap::new());
    while let Some(place) = open.pop() {
        for file in std::fs::read_dir(&place).unwrap().map(|entry| entry.unwrap().path()) {
            let name = file.file_name().unwrap().to_string_lossy();
            match name.starts_with("onesync.db") || name.ends_with(".lock") {
                true => {}
                false if file.is_dir() => open.push(file),
                false => drop(found.insert(file.clone(), std::fs::read(&file).unwrap())),
            }
        }
    }
    found
}

/// One that has exported to the cloud, with its scheduler off: embedded.
async fn live(sim: &GraphSim) -> Setup {
    let setup = small(sim).await;
    with_account(&setup).await;
    setup.run(&["cycle"]).await;
    leave_staging(&setup.home()).await;
    setup.run(&["cycle"]).await.ends_with(0);
    setup.run(&["scheduler", "off", "--wait"]).await.ends_with(0);
    setup
}

async fn export(setup: &Setup, name: &str, more: &[&str]) -> PathBuf {
    let password = setup.file("account.pass", PASSWORD);
    let to = setup.path().join(name);
    let begin = ["keys", "export", to.to_str().unwrap(), "--password-file", &password];
    setup.run(&[&begin[..], more].concat()).await.ends_with(0);
    to
}

async fn back_up(setup: &Setup, name: &str) -> String {
    let to = setup.path().join(name).to_str().unwrap().to_owned();
    setup.run(&["backup", &to]).await.ends_with(0);
    to
}

async fn activate(setup: &Setup, home: &Path, keys: &Path, account: &str, more: &[&str]) -> Ended {
    let password = setup.file("account.pass", PASSWORD);
    let begin = ["activate", keys.to_str().unwrap(), account, "--password-file", &password];
    run(home, &[&begin[..], more].concat()).await
}

async fn numbers(home: &Path) -> Vec<u64> {
    let events: Value = run(home, &["events", "--format", "json"]).await.ends_with(0).json();
    events.as_array().unwrap().iter().filter_map(|event| event["number"].as_u64()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_wrong_input_has_its_own_words_and_changes_nothing() {
    let sim = GraphSim::builder().seed(51).judged().await.unwrap();
    let setup = live(&sim).await;
    let old = export(&setup, "old.age", &[]).await;
    setup.run(&["keys", "rotate"]).await.ends_with(0);
    let keys = export(&setup, "keys.age", &[]).await;
    let shares_file = setup.path().join("shares");
    let in_shares =
        export(&setup, "shares.age", &["--shares", "2-of-3", "--shares-file", shares_file.to_str().unwrap()])
            .await;
    let backup = back_up(&setup, "onesync.backup").await;
    let second = setup.path().join("second");
    run(&second, &["restore", &backup]).await.ends_with(0);
    let status = run(&second, &["status"]).await.ends_with(4);
    assert!(
        status.out.contains("configuration settings cannot be read: this database is protected by key set"),
        "{status:?}"
    );
    assert!(status.out.contains("exported at") && status.out.contains("onesync activate"), "{status:?}");
    run(&second, &["search", "mv"]).await.ends_with(0);
    run(&second, &["run", "entra", "full-import"]).await.ends_with(4);

    let other = small(&sim).await;
    with_account(&other).await;
    let foreign = export(&other, "keys.age", &[]).await;
    let bytes = std::fs::read(&keys).unwrap();
    let cut = setup.path().join("cut.age");
    std::fs::write(&cut, &bytes[..bytes.len() - 40]).unwrap();
    let none = setup.path().join("none.age");
    std::fs::write(&none, "no key file").unwrap();
    let empty = setup.path().join("empty.age");
    std::fs::write(&empty, "").unwrap();
    let begun = setup.path().join("begun.age");
    std::fs::write(&begun, &bytes[..9]).unwrap();
    let lines = std::fs::read_to_string(&shares_file).unwrap();
    let shares: Vec<&str> = lines.lines().filter(|line| line.starts_with("onesync-share-")).collect();
    let (one_share, two_share) = (setup.file("share", shares[0]), setup.file("share2", shares[1]));
    let damaged = shares[1].replace(['q', 'p'], "z");
    let damaged = setup.file("damaged", &damaged);
    let again_file = setup.path().join("again");
    export(&setup, "again.age", &["--shares", "2-of-3", "--shares-file", again_file.to_str().unwrap()]).await;
    let again = std::fs::read_to_string(&again_file).unwrap();
    let again = setup.file("share3", again.lines().rfind(|line| line.starts_with("onesync-share-")).unwrap());
    let wrong = setup.file("wrong.pass", "another password than that");

    let before = (rows(&second).await, files(&second));
    let folder = setup.path().to_owned();
    let nowhere = folder.join("nowhere.age");
    for (keys, account, status, words) in [
        (&none, ACCOUNT, 4, "the key file is wrong: this is no key file"),
        (&empty, ACCOUNT, 4, "the key file is wrong: this is no key file"),
        (&PathBuf::from(&backup), ACCOUNT, 4, "is a backup without its keys"),
        (&cut, ACCOUNT, 4, "the key file is wrong: the key file is cut short"),
        (&begun, ACCOUNT, 4, "the key file is wrong: the key file is cut short"),
        (&keys, "CONTOSO\\somebody", 4, "the account is wrong"),
        (
            &keys,
            "svc-onesync@contoso.com",
            4,
            "by the service account `CONTOSO\\svc-onesync`, not by `svc-onesync@contoso.com`",
        ),
        (&keys, "svc-onesync", 4, "the account is wrong"),
        (&keys, "CONTOSO\\", 2, "a service account is named"),
        (&in_shares, ACCOUNT, 4, "is sealed to recipients or shares, and does not open with a password"),
        (&foreign, ACCOUNT, 4, "the key file is of another database"),
        (&old, ACCOUNT, 4, "the key file is too old"),
        (&folder, ACCOUNT, 2, "it is a folder"),
        (&nowhere, ACCOUNT, 2, "nowhere.age cannot be read: No such file"),
    ] {
        let refused = activate(&setup, &second, keys, account, &["--yes"]).await.ends_with(status);
        assert!(refused.err.contains(words), "{words}: {refused:?}");
    }
    let keys_path = keys.to_str().unwrap();
    let refused = run(&second, &["activate", keys_path, ACCOUNT, "--password-file", &wrong, "--yes"])
        .await
        .ends_with(4);
    assert!(refused.err.contains("the password is wrong"), "{refused:?}");
    let in_shares = in_shares.to_str().unwrap();
    for (given, words) in [
        (&[&one_share][..], "the shares are wrong: 2 different shares are needed; given: 1"),
        (&[&one_share, &one_share][..], "the shares are wrong: 2 different shares are needed; given: 1"),
        (&[&one_share, &damaged][..], "the shares are wrong: line 2 of the shares is damaged"),
        (&[&one_share, &again][..], "the shares are wrong: the share in line 2 is of set "),
    ] {
        let mut line = vec!["activate", in_shares, "--yes"];
        line.extend(given.iter().flat_map(|share| ["--share", share.as_str()]));
        let refused = run(&second, &line).await.ends_with(4);
        assert!(refused.err.contains(words), "{words}: {refused:?}");
    }
    let refused =
        run(&second, &["activate", keys_path, "--share", &one_share, "--share", &two_share, "--yes"])
            .await
            .ends_with(4);
    assert!(refused.err.contains("is sealed to a password, and does not open with shares"), "{refused:?}");
    // A file with all of them, as the export wrote it, opens it as well.
    let all = shares_file.to_str().unwrap();
    let refused = run(&second, &["activate", in_shares, "--share", all]).await.ends_with(2);
    assert!(refused.err.contains("this needs consent"), "{refused:?}");
    let verify = ["backup", "verify", &backup, "--key-file", in_shares];
    setup.run(&[&verify[..], &["--share-file", all]].concat()).await.ends_with(0);
    let each = ["--share-file", one_share.as_str(), "--share-file", two_share.as_str()];
    setup.run(&[&verify[..], &each].concat()).await.ends_with(0);
    let refused = setup.run(&[&verify[..], &["--share-file", &one_share]].concat()).await.ends_with(4);
    assert!(refused.err.contains("2 different shares are needed; given: 1"), "{refused:?}");
    // One at a time: the second one of two is told.
    let lock = std::fs::File::options().write(true).open(second.join("activate.lock")).unwrap();
    lock.lock().unwrap();
    let refused = activate(&setup, &second, &keys, ACCOUNT, &["--yes"]).await.ends_with(4);
    assert!(refused.err.contains("is being worked on by process"), "{refused:?}");
    drop(lock);
    // Without consent, too.
    let refused = activate(&setup, &second, &keys, ACCOUNT, &[]).await.ends_with(2);
    assert!(refused.err.contains("warning: ") && refused.err.contains("nothing was changed"), "{refused:?}");
    // Closed to whoever asks: root is asked by somebody else.
    std::fs::set_permissions(&cut, std::fs::Permissions::from_mode(0o000)).unwrap();
    let line = ["activate", cut.to_str().unwrap(), ACCOUNT, "--password-file", &wrong, "--yes"];
    let refused = match onesync_service::account::is_root() {
        true => crate::keys::run_as(crate::keys::user("nobody"), &second, &line).await,
        false => run(&second, &line).await,
    };
    assert!(refused.ends_with(2).err.contains("cannot be read: Permission denied"));
    assert!((rows(&second).await, files(&second)) == before, "nothing was changed");
    assert!(!second.join("keyset.toml").exists() && !second.join("activation.unfinished").exists());

    // Through a link, with the account in other letters, and a password as people have them.
    let new = setup.file("new.pass", " Gr\u{fc}\u{df}e  aus K\u{f6}ln \u{2602} ");
    let password = setup.file("account.pass", PASSWORD);
    let change = ["setup", "service-account", "--password-file", &password, "--new-password-file", &new];
    setup.run(&change).await.ends_with(0);
    let latest = setup.path().join("latest.age");
    setup.run(&["keys", "export", latest.to_str().unwrap(), "--password-file", &new]).await.ends_with(0);
    let refused = activate(&setup, &second, &latest, ACCOUNT, &["--yes"]).await.ends_with(4);
    assert!(refused.err.contains("the password is wrong"), "older files keep their password: {refused:?}");
    let link = setup.path().join("link.age");
    std::os::unix::fs::symlink(&latest, &link).unwrap();
    let line = ["activate", link.to_str().unwrap(), "contoso\\SVC-OneSync", "--password-file", &new, "--yes"];
    run(&second, &line).await.ends_with(0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_server_with_its_own_database_is_back_and_the_old_one_is_refused() {
    let sim = GraphSim::builder().seed(52).judged().await.unwrap();
    let setup = live(&sim).await;
    let keys = export(&setup, "keys.age", &[]).await;
    let backup = back_up(&setup, "onesync.backup").await;
    let installation = setup.run(&["status", "--format", "json"]).await.json()["installation"].clone();
    let second = setup.path().join("second");
    run(&second, &["restore", &backup]).await.ends_with(0);
    let done = activate(&setup, &second, &keys, ACCOUNT, &["--yes"]).await.ends_with(0);
    for words in [
        "This database alone cannot stop the server it was taken of",
        "the marker of `entra` names this server",
        "az ad app credential delete --id",
        "onesync scheduler on",
    ] {
        assert!(done.err.contains(words), "{words}: {done:?}");
    }
    assert!(done.out.contains("service activated and running: installation"), "{done:?}");
    assert!(numbers(&second).await.contains(&7070));
    let taken = run(&second, &["events", "--number", "7074", "--format", "json"]).await.ends_with(0).json();
    let before = taken[0]["subject"].as_str().unwrap();
    let host = onesync_service::process::host();
    assert!(before.starts_with(&format!("{host}, of which a backup was taken at 20")), "{taken}");
    assert!(!before.contains("last seen"), "{taken}");
    let status = run(&second, &["status", "--format", "json"]).await.json();
    assert_ne!(status["installation"], installation, "{status}");
    assert_eq!(status["scheduler"]["on"], false);
    // Again: nothing to do.
    let again = activate(&setup, &second, &keys, ACCOUNT, &["--yes"]).await;
    assert!(again.ends_with(0).err.contains("nothing to do"));

    // The old machine comes back with its own database, and something to send.
    setup.change_departments("New");
    let mark = sim.log_mark();
    let old = setup.run(&["cycle"]).await.ends_with(4);
    assert!(old.err.contains("belongs to installation"), "{old:?}");
    assert_eq!(sim.writes(mark).len(), 0, "the old server writes nothing");
    // The new one reads everything first, and sends what is owed.
    run(&second, &["scheduler", "on"]).await.ends_with(0);
    let cycle = run(&second, &["cycle", "--format", "json"]).await.ends_with(0).json();
    assert_eq!(cycle["owed"], serde_json::json!(["directory", "entra"]), "{cycle}");
    assert!(!sim.changes(mark).is_empty());
    run(&second, &["events", "verify"]).await.ends_with(0);
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_any_step_it_goes_on_where_it_was() {
    let sim = GraphSim::builder().seed(53).judged().await.unwrap();
    let setup = live(&sim).await;
    let keys = export(&setup, "keys.age", &[]).await;
    let backup = back_up(&setup, "onesync.backup").await;
    let password = setup.file("account.pass", PASSWORD);
    for (place, milliseconds) in [0u64, 2, 10, 30, 100, 400, 1_500, 2_500].into_iter().enumerate() {
        let home = setup.path().join(format!("home{place}"));
        run(&home, &["restore", &backup]).await.ends_with(0);
        let command = ["activate", keys.to_str().unwrap(), ACCOUNT, "--password-file", &password, "--yes"];
        let mut child = onesync(&home, &command).spawn().unwrap();
        // It opens the key file for a while; then each step is a matter of milliseconds.
        let note = home.join("activation.unfinished");
        let began = std::time::Instant::now();
        while !note.exists() && !home.join("keyset.toml").exists() {
            assert!(began.elapsed().as_secs() < 120, "it begins");
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
        tokio::time::sleep(std::time::Duration::from_millis(milliseconds)).await;
        child.kill().await.unwrap();
        if note.exists() {
            let waits = run(&home, &["cycle"]).await.ends_with(4);
            assert!(waits.err.contains("activation of this server was begun"), "{waits:?}");
        }
        let done = run(&home, &command).await.ends_with(0);
        assert!(!note.exists(), "{done:?}");
        let mark = sim.log_mark();
        let cycle = run(&home, &["cycle", "--format", "json"]).await.ends_with(0).json();
        assert_eq!(cycle["owed"].as_array().map(Vec::len), Some(2), "{cycle}");
        assert_eq!(sim.changes(mark).len(), 0, "what was exported is not exported again");
        let activated = numbers(&home).await.into_iter().filter(|number| *number == 7070).count();
        assert_eq!(activated, 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_server_on_the_same_database_takes_the_place_of_the_first() {
    let server = Server::new("activate").await;
    let sim = GraphSim::builder().seed(54).judged().await.unwrap();
    let setup = Setup::new("ldif", crate::kill::ldif::SOURCE, &crate::program::cloud(&sim)).await;
    let company = small(&sim).await;
    std::fs::copy(company.path().join("directory.ldif"), setup.path().join("directory.ldif")).unwrap();
    let (password, admin) =
        (setup.file("db.pass", "of the service"), setup.file("admin.pass", &server.password));
    let (url, admin_url) = (server.url(), server.admin_url());
    let database = ["--database", &url, "--database-password-file", &password, "--yes"];
    let account_password = setup.file("account.pass", PASSWORD);
    let more = [
        "--database-admin",
        &admin_url,
        "--database-admin-password-file",
        &admin,
        "--service-account-name",
        ACCOUNT,
        "--service-account-password-file",
        &account_password,
    ];
    setup.run(&arguments(&[&database[..], &more].concat())).await.ends_with(0);
    setup.secret("graph", crate::program::CLOUD_SECRET).await;
    setup.apply().await.ends_with(0);
    setup.run(&["cycle"]).await;
    leave_staging(&setup.home()).await;
    setup.run(&["cycle"]).await.ends_with(0);
    let keys = export(&setup, "keys.age", &[]).await;

    let second = setup.path().join("second");
    run(&second, &arguments(&database)).await.ends_with(0);
    let status = run(&second, &["status"]).await;
    assert!(status.out.contains("configuration settings cannot be read"), "{status:?}");
    run(&second, &["cycle"]).await.ends_with(4);
    run(&second, &["events"]).await.ends_with(0);
    let before = setup.run(&["status", "--format", "json"]).await.json()["installation"].clone();
    // What is wrong changes nothing on a shared database either.
    let held = (rows(&second).await, server.mark().await, files(&second));
    let cut = setup.path().join("cut.age");
    std::fs::write(&cut, &std::fs::read(&keys).unwrap()[..200]).unwrap();
    for (keys, account, words) in
        [(&keys, "CONTOSO\\somebody", "the account is wrong"), (&cut, ACCOUNT, "cut short")]
    {
        let refused = activate(&setup, &second, keys, account, &["--yes"]).await.ends_with(4);
        assert!(refused.err.contains(words), "{words}: {refused:?}");
    }
    assert!((rows(&second).await, server.mark().await, files(&second)) == held);
    // By its old name, as a link.
    let link = setup.path().join("miisactivate");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_onesync"), &link).unwrap();
    let output = tokio::process::Command::new(&link)
        .args([keys.to_str().unwrap(), ACCOUNT, PASSWORD, "--yes"])
        .env("ONESYNC_HOME", &second)
        .output()
        .await
        .unwrap();
    let (out, err) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert!(output.status.success() && out.contains("service activated and running"), "{out}{err}");
    assert!(err.contains("can be seen by everybody") && err.contains("takes the place of"), "{err}");
    assert!(err.contains("seconds ago"), "{err}");

    // The first one says who took its place, and writes nothing.
    let mark = sim.log_mark();
    let replaced = setup.run(&["cycle"]).await.ends_with(4);
    assert!(replaced.err.contains("this server was replaced"), "{replaced:?}");
    assert_eq!(sim.writes(mark).len(), 0);
    let cycle = run(&second, &["cycle", "--format", "json"]).await.ends_with(0).json();
    assert_eq!(cycle["owed"].as_array().map(Vec::len), Some(2), "{cycle}");
    assert_eq!(sim.changes(mark).len(), 0, "what was exported is not exported again");
    let status = run(&second, &["status", "--format", "json"]).await.json();
    assert_eq!(status["installation"], before, "the same installation, at another server");
    run(&second, &["events", "verify"]).await.ends_with(0);

    // Somebody else takes its place from a backup; whoever then activates the first one, as in panic, takes nothing from that.
    let backup = setup.path().join("of-second.backup").display().to_string();
    run(&second, &["backup", &backup]).await.ends_with(0);
    let restored = setup.path().join("restored");
    run(&restored, &["restore", &backup]).await.ends_with(0);
    activate(&setup, &restored, &keys, ACCOUNT, &["--yes"]).await.ends_with(0);
    let home = setup.home();
    let done = activate(&setup, &home, &keys, ACCOUNT, &["--yes"]).await.ends_with(0);
    let theirs = run(&restored, &["status", "--format", "json"]).await.json()["installation"].clone();
    let belongs = format!("`entra` belongs to installation {}", theirs.as_str().unwrap());
    assert!(done.err.contains(&belongs) && done.err.contains("`--again` takes it"), "{done:?}");
    setup.change_departments("New");
    let mark = sim.log_mark();
    setup.run(&["cycle"]).await.ends_with(4);
    assert_eq!(sim.writes(mark).len(), 0);
    let again = activate(&setup, &home, &keys, ACCOUNT, &["--yes", "--again"]).await.ends_with(0);
    assert!(again.err.contains("which is refused there from now on"), "{again:?}");
    setup.run(&["cycle"]).await.ends_with(0);
    assert!(!sim.changes(mark).is_empty());
    setup.change_departments("Newer");
    run(&restored, &["cycle"]).await.ends_with(4);
    server.remove().await;
}

/// What was set up and not configured yet is brought back, too.
#[tokio::test(flavor = "multi_thread")]
async fn an_installation_without_a_configuration_comes_back() {
    let place = crate::setup::Place::new();
    let password = place.file("account.pass", PASSWORD);
    let account = ["--yes", "--service-account-name", ACCOUNT, "--service-account-password-file", &password];
    place.setup(&account).await.ends_with(0);
    let file = place.path().join("backup").to_str().unwrap().to_owned();
    let backup = ["backup", &file, "--include-keys", "--password-file", &password];
    run(&place.home(), &backup).await.ends_with(0);
    let second = place.path().join("second");
    run(&second, &["restore", &file]).await.ends_with(0);
    let done =
        run(&second, &["activate", &file, ACCOUNT, "--password-file", &password, "--yes"]).await.ends_with(0);
    assert!(done.out.contains("service activated and running"), "{done:?}");
    assert!(numbers(&second).await.contains(&7070));
    run(&second, &["keys", "status"]).await.ends_with(0);
}

/// As when a TPM was replaced: the key set in the home lies under a key that this machine does not have any more.
#[tokio::test(flavor = "multi_thread")]
async fn keys_whose_key_encryption_key_is_lost_come_back_from_a_key_file() {
    let sim = GraphSim::builder().seed(58).judged().await.unwrap();
    let setup = live(&sim).await;
    let keys = export(&setup, "keys.age", &[]).await;
    let (home, there) = (setup.home(), setup.home().join("keyset.toml"));
    let text = std::fs::read_to_string(&there).unwrap();
    let sealed = "source = \"credential\"\nname = \"onesync-kek\"";
    std::fs::write(&there, text.replace("source = \"file\"\npath = \"kek\"", sealed)).unwrap();
    std::fs::remove_file(home.join("kek")).unwrap();
    for more in [&[][..], &["--kek", "file"]] {
        let refused = activate(&setup, &home, &keys, ACCOUNT, &[&["--yes"][..], more].concat()).await;
        let said = refused.ends_with(4).err;
        for part in ["keyset.toml is there, and cannot be used", "LoadCredentialEncrypted", "move it away"] {
            assert!(said.contains(part), "{said}");
        }
    }
    std::fs::rename(&there, setup.path().join("keyset.toml")).unwrap();
    let done = activate(&setup, &home, &keys, ACCOUNT, &["--yes"]).await.ends_with(0);
    assert!(done.out.contains("has its keys again") && done.out.contains("epoch 1"), "{done:?}");
    setup.run(&["cycle"]).await.ends_with(0);
}
