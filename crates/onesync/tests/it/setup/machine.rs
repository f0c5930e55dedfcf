//! What concerns the machine: the unit, system users, the old spellings, prerequisites, removal.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command as Sync;

use super::{Place, arguments, shown};
use crate::program::{onesync, run, serves};

fn tool(name: &str) -> Option<Sync> {
    let found = Sync::new(name).arg("--version").output().is_ok();
    if !found {
        eprintln!("SKIPPED: no `{name}` here");
    }
    found.then(|| Sync::new(name))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_unit_is_one_that_systemd_takes_and_is_well_closed() {
    let place = Place::new();
    let units = place.path().join("units");
    std::fs::create_dir(&units).unwrap();
    let option = format!("--systemd={}", units.display());
    let mut options = arguments(&[&option, "--yes"]);
    options.retain(|option| *option != "--no-systemd");
    let first = run(&place.home(), &options).await.ends_with(0);
    assert!(first.err.contains("where systemd does not look by itself"), "{}", first.err);
    let file = units.join("onesync.service");
    let unit = std::fs::read_to_string(&file).unwrap();
    assert!(unit.contains(&format!("--home {} serve\n", place.home().display())), "{unit}");
    let again = run(&place.home(), &options).await.ends_with(0);
    assert!(again.out.contains("nothing to do"), "{}", again.out);
    std::fs::write(&file, unit.replace("WatchdogSec=60s\n", "")).unwrap();
    let changed = run(&place.home(), &options).await.ends_with(0);
    assert!(changed.out.contains("bring up to date"), "{}", changed.out);
    assert_eq!(std::fs::read_to_string(&file).unwrap(), unit);

    if let Some(mut analyze) = tool("systemd-analyze") {
        let verified = analyze.args(["verify", "--man=no"]).arg(&file).output().unwrap();
        let said = String::from_utf8_lossy(&verified.stderr).into_owned();
        // A user that tests may take; what `setup` makes is none that others have.
        let complaints = said.lines().filter(|line| !line.contains("Special user nobody"));
        assert!(!complaints.clone().any(|line| line.contains("onesync.service:")), "{said}");
        // 0 is closed, 10 is open; services in general have 9.6.
        let security = Sync::new("systemd-analyze")
            .args(["security", "--offline=true", "--no-pager", "--threshold=20"])
            .arg(&file)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&security.stdout).into_owned();
        assert!(security.status.success(), "{said}{}", String::from_utf8_lossy(&security.stderr));
    }

    // The unit of another home, or of somebody else, is taken by nobody.
    for other in [unit.replace("/home serve", "/other serve"), unit.replacen("# Written", "# Kept", 1)] {
        std::fs::write(&file, &other).unwrap();
        let refused = run(&place.home(), &options).await.ends_with(2);
        assert!(
            refused.err.contains("is not the unit of") && refused.err.contains("--no-systemd"),
            "{}",
            refused.err
        );
        let folder = units.to_str().unwrap();
        let left = run(&place.home(), &["uninstall", "--keep-data", "--systemd", folder, "--yes"])
            .await
            .ends_with(0);
        assert!(left.out.contains("(it runs another home, or is not ours)"), "{}", left.out);
        assert_eq!(std::fs::read_to_string(&file).unwrap(), other);
    }
    std::fs::write(&file, &unit).unwrap();

    // What is not ours stays.
    std::fs::write(place.home().join("letter.txt"), "dear").unwrap();
    let removes = |data: &'static str| {
        let (home, units) = (place.home(), units.display().to_string());
        async move { run(&home, &["uninstall", data, "--systemd", &units, "--yes"]).await.ends_with(0) }
    };
    removes("--keep-data").await;
    assert!(!file.exists() && place.home().join("onesync.db").exists());
    run(&place.home(), &["secret", "list"]).await.ends_with(0);
    let unsure = run(&place.home(), &["uninstall", "--remove-data"]).await.ends_with(2);
    assert!(unsure.err.contains("nothing was done"), "{}", unsure.err);
    let removed = removes("--remove-data").await;
    assert!(removed.out.contains("letter.txt (not ours)"), "{}", removed.out);
    let left: Vec<_> = std::fs::read_dir(place.home()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(left, ["letter.txt"]);
    std::fs::remove_file(place.home().join("letter.txt")).unwrap();
    place.setup(&["--yes"]).await.ends_with(0);
    removes("--remove-data").await;
    assert!(!place.home().exists());
    let undecided = run(&place.home(), &["uninstall"]).await.ends_with(2);
    assert!(["--keep-data", "--remove-data"].iter().all(|o| undecided.err.contains(o)), "{}", undecided.err);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_root_lets_another_user_run_the_daemon_and_only_ours_is_made() {
    let place = Place::new();
    if onesync_service::account::is_root() {
        let refused =
            run(&place.home(), &["setup", "--run-as", "onesinc", "--no-systemd", "--yes"]).await.ends_with(2);
        assert!(refused.err.contains("useradd --system") && !place.home().exists(), "{}", refused.err);
        std::os::unix::fs::chown(place.path(), Some(65534), Some(65534)).unwrap();
    }
    let mut command = onesync(&place.home(), &["setup", "--run-as", "root", "--no-systemd", "--yes"]);
    if onesync_service::account::is_root() {
        command.uid(65534).gid(65534).current_dir(place.path());
    }
    let output = command.output().await.unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("closed to `root`") && said.contains("leave `--run-as` out"), "{said}");
    assert!(!place.home().exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_removed_under_a_daemon() {
    let place = Place::new();
    place.setup(&["--yes"]).await.ends_with(0);
    let mut daemon = onesync(&place.home(), &["serve"]).spawn().unwrap();
    serves(&mut daemon, &place.home()).await;
    if onesync_service::account::is_root() {
        let other = ["setup", "--run-as", "games", "--no-systemd", "--yes"];
        let refused = run(&place.home(), &other).await.ends_with(4);
        assert!(
            refused.err.contains("the daemon of ") && refused.err.contains("would be shut out"),
            "{refused:?}"
        );
    }
    let units = place.path().display().to_string();
    let refused =
        run(&place.home(), &["uninstall", "--remove-data", "--systemd", &units, "--yes"]).await.ends_with(4);
    assert!(refused.err.contains("somebody is at work"), "{}", refused.err);
    daemon.kill().await.unwrap();
    assert!(place.home().join("onesync.db").exists());
}

/// Programs in front of those of the system, so that no test makes a user.
fn pretended(place: &Place, name: &str, text: &str) -> String {
    let folder = place.path().join("bin");
    std::fs::create_dir_all(&folder).unwrap();
    let file = folder.join(name);
    std::fs::write(&file, format!("#!/bin/sh\n{text}\n")).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).unwrap();
    format!("{}:{}", folder.display(), std::env::var("PATH").unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn root_makes_a_system_user_and_nobody_else_does() {
    let place = Place::new();
    let made = place.path().join("made");
    pretended(&place, "useradd", &format!("printf '%s ' \"$@\" >> {}", made.display()));
    let known = format!(
        "case \"$2\" in 0) echo root:x:0:0::/root:/bin/sh;; root) echo root:x:0:0::/root:/bin/sh;; onesync) [ -e {} ] && echo onesync:x:65534:65534::/:/bin/false;; *) exec /usr/bin/getent \"$@\";; esac",
        made.display()
    );
    let path = pretended(&place, "getent", &known);
    let output =
        onesync(&place.home(), &["setup", "--yes", "--no-systemd"]).env("PATH", path).output().await.unwrap();
    let out = String::from_utf8(output.stdout).unwrap();
    if !onesync_service::account::is_root() {
        assert!(!made.exists(), "{out}");
        let refused = run(&place.home(), &["setup", "--run-as", "no-such-user"]).await.ends_with(2);
        assert!(refused.err.contains("only root can make one"), "{}", refused.err);
        return;
    }
    assert!(output.status.success(), "{out}");
    assert!(
        out.contains("1. make the system user `onesync`") && out.contains("service account  onesync"),
        "{out}"
    );
    let asked = std::fs::read_to_string(&made).unwrap();
    assert_eq!(
        asked,
        format!(
            "--system --user-group --shell /usr/sbin/nologin --home-dir {} -- onesync ",
            place.home().display()
        )
    );
    use std::os::unix::fs::MetadataExt as _;
    assert_eq!(std::fs::metadata(place.home().join("onesync.db")).unwrap().uid(), 65534);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_in_the_old_spelling_is_warned_of_and_taken_out_of_the_list_of_processes() {
    let place = Place::new();
    let pipe = place.path().join("answers");
    assert!(Sync::new("mkfifo").arg(&pipe).status().unwrap().success());
    let password = "hushhushhush";
    let options = ["/serviceAccountPassword", password, "/ServiceAccountName", "svc", "--yes", "--answers"];
    let options = arguments(&[&options[..], &[pipe.to_str().unwrap()]].concat());
    let child = onesync(&place.home(), &options).spawn().unwrap();
    let line = Path::new("/proc").join(child.id().unwrap().to_string()).join("cmdline");
    // Whoever opens the pipe for writing waits until the program reads it: by then it has hidden the password.
    let (answers, seen) = tokio::task::spawn_blocking(move || {
        let answers = std::fs::OpenOptions::new().write(true).open(&pipe).unwrap();
        (answers, std::fs::read(line).unwrap())
    })
    .await
    .unwrap();
    let seen = String::from_utf8(seen).unwrap();
    assert!(!seen.contains(password) && seen.contains("\0************\0"), "{seen:?}");
    drop(answers);
    let output = child.wait_with_output().await.unwrap();
    let (out, err) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert!(output.status.success(), "{out}{err}");
    assert!(err.contains("warning: a password on a command line can be seen"), "{err}");
    assert!(!out.contains(password) && !err.contains(password), "{out}{err}");
    let log = std::fs::read_to_string(place.home().join("setup.log")).unwrap();
    assert!(!log.contains(password), "{log}");
    let file = place.file("password", password);
    place
        .setup(&["--service-account-name", "SVC", "--service-account-password-file", &file])
        .await
        .ends_with(0);
}

#[tokio::test(flavor = "multi_thread")]
async fn prerequisites_are_looked_at_alone_and_each_has_a_remedy() {
    let place = Place::new();
    let mut check = arguments(&["check"]);
    // The options of `setup` stand before those of its command.
    check.retain(|word| *word != "check");
    check.insert(1, "check");
    let looked = run(&place.home(), &check).await.ends_with(0);
    assert!(looked.out.contains("system: linux") && looked.out.contains("disk: "), "{}", looked.out);
    assert!(!place.home().exists(), "nothing is made");
    let much = [&check[..], &["--identities", "100000000000000", "--format", "json"]].concat();
    let looked = run(&place.home(), &much).await.ends_with(1).json();
    let disk = looked.as_array().unwrap().iter().find(|check| check["subject"] == "disk").unwrap();
    assert!(disk["result"] == "failed" && disk["remedy"].is_string(), "{disk}");
    let refused = place.setup(&["--identities", "100000000000000", "--yes"]).await.ends_with(4);
    assert!(refused.err.contains("hint: make room") && !place.home().exists(), "{}", refused.err);
    assert!(shown(&refused).is_none());
}
