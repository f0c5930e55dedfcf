//! `keys`: who may export, what is said to whoever may not, and that no secret lies where it should not.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Instant;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use onesync_graphsim::GraphSim;
use serde_json::Value;
use tokio::io::AsyncWriteExt as _;

use crate::kill::ldif::small;
use crate::program::{CLOUD_SECRET, Ended, LONG, idles, leave_staging, onesync, run, serves};
use crate::search::Needles;
use crate::setup::{Place, arguments};

const PASSWORD: &str = "correct horse battery";
pub const ACCOUNT: &str = "CONTOSO\\svc-sync";

/// An installation with a service account, whose password is in the file `password`.
pub async fn installed(more: &[&str]) -> (Place, String) {
    let place = Place::new();
    let password = place.file("password", PASSWORD);
    let options = [
        "--service-account-domain",
        "CONTOSO",
        "--service-account-name",
        "svc-sync",
        "--service-account-password-file",
        &password,
        "--yes",
    ];
    place.setup(&[options.as_slice(), more].concat()).await.ends_with(0);
    (place, password)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_asks_for_the_account_and_overwrites_nothing() {
    let (place, password) = installed(&[]).await;
    let (home, file) = (place.home(), place.path().join("keys.age"));
    let file = file.to_str().unwrap();
    let status = run(&home, &["status"]).await.ends_with(0);
    assert!(status.out.contains("REMINDER: the keys were never exported"), "{}", status.out);
    let status = run(&home, &["keys", "status"]).await.ends_with(0);
    assert!(status.out.contains("last export: never") && status.out.contains("current"), "{}", status.out);

    let wrong = place.file("wrong", "wrong horse battery");
    let refused = run(&home, &["keys", "export", file, "--password-file", &wrong]).await.ends_with(2);
    assert!(refused.err.contains("not the password of the service account"), "{}", refused.err);
    let other = ["keys", "export", file, "--account", "CONTOSO\\other", "--password-file", &password];
    let refused = run(&home, &other).await.ends_with(2);
    assert!(refused.err.contains("is `CONTOSO\\svc-sync`, not `CONTOSO\\other`"), "{}", refused.err);
    assert!(!Path::new(file).exists());

    let right = ["keys", "export", file, "--account", ACCOUNT, "--password-file", &password];
    let exported = run(&home, &right).await.ends_with(0);
    assert!(exported.err.contains("fingerprint") && exported.out.is_empty(), "{exported:?}");
    assert_eq!(std::fs::metadata(file).unwrap().mode() & 0o777, 0o600);
    let again = run(&home, &right).await.ends_with(2);
    assert!(again.err.contains("exists already, and is not overwritten"), "{}", again.err);
    // By standard input, while the daemon runs.
    let mut daemon = onesync(&home, &["serve"]).spawn().unwrap();
    serves(&mut daemon, &home).await;
    let second = place.path().join("second.age");
    let line = ["keys", "export", second.to_str().unwrap(), "--format", "json"];
    let mut export = onesync(&home, &line).stdin(Stdio::piped()).spawn().unwrap();
    export.stdin.take().unwrap().write_all(PASSWORD.as_bytes()).await.unwrap();
    let output = export.wait_with_output().await.unwrap();
    daemon.kill().await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (&told["note"]["verified"], &told["note"]["sealed"]),
        (&Value::Bool(true), &"password".into())
    );

    let status = run(&home, &["status"]).await.ends_with(0);
    assert!(!status.out.contains("REMINDER"), "{}", status.out);
    let status = run(&home, &["keys", "status"]).await.ends_with(0);
    assert!(status.out.contains("second.age") && status.out.contains("it opens all"), "{}", status.out);
    // After a change of the password the older files keep theirs.
    let new = place.file("new", "another horse battery");
    let change = ["setup", "service-account", "--password-file", &password, "--new-password-file", &new];
    let changed = run(&home, &change).await.ends_with(0);
    assert!(changed.err.contains("key files"), "{}", changed.err);
    let status = run(&home, &["keys", "status"]).await.ends_with(0);
    assert!(status.out.contains("second.age` of") && status.out.contains("it had then"), "{}", status.out);
}

#[tokio::test(flavor = "multi_thread")]
async fn shares_and_recipients_are_taken_in_place_of_the_password() {
    let (place, password) = installed(&[]).await;
    let export = |name: &str, more: &[&str]| {
        let file = place.path().join(name).display().to_string();
        let line = ["keys", "export", &file, "--password-file", &password];
        let line: Vec<String> = line.iter().chain(more).map(|&part| part.to_owned()).collect();
        let home = place.home();
        async move { run(&home, &line.iter().map(String::as_str).collect::<Vec<_>>()).await }
    };
    let shared = export("shared", &["--shares", "3-of-5"]).await.ends_with(0);
    let shares: Vec<&str> = shared.out.lines().filter(|line| line.starts_with("onesync-share-")).collect();
    assert_eq!(shares.len(), 5, "{}", shared.out);
    assert!(shared.out.contains("# share 5 of 5; 3 of them"), "{}", shared.out);
    let lines = place.path().join("lines");
    let lines = lines.to_str().unwrap();
    let quiet = export("quiet", &["--shares", "2-of-2", "--shares-file", lines]).await.ends_with(0);
    assert!(quiet.out.is_empty() && std::fs::read_to_string(lines).unwrap().contains("onesync-share-"));
    assert_eq!(std::fs::metadata(lines).unwrap().mode() & 0o777, 0o600);
    let wrong = export("wrong", &["--shares", "5-of-3"]).await.ends_with(2);
    assert!(wrong.err.contains("3-of-5"), "{}", wrong.err);

    // Of the test vectors of the format.
    let recipient = "age1zvkyg2lqzraa2lnjvqej32nkuu0ues2s82hzrye869xeexvn73equnujwj";
    let sealed = export("sealed", &["--recipient", recipient]).await.ends_with(0);
    assert!(sealed.err.contains("not tried here"), "{}", sealed.err);
    let text = std::fs::read(place.path().join("sealed")).unwrap();
    assert!(text.starts_with(b"age-encryption.org/v1\n-> X25519 "));
    let wrong = export("none", &["--recipient", "age1nonsense"]).await.ends_with(2);
    assert!(wrong.err.contains("no recipient"), "{}", wrong.err);
    assert!(!place.path().join("none").exists() && !place.path().join("wrong").exists());
}

/// Whoever pastes the secret in the place of its recipient or its file has shown it once, and not a second time.
#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_stands_in_the_place_of_a_name_is_not_printed() {
    let (place, _password) = installed(&[]).await;
    let file = place.path().join("keys.age").display().to_string();
    let body = "gfpyysjzgfpyysjzgfpyysjzgfpyysjzgfpyysjzgfpyysjzgfpq4egaex";
    for secret in [format!("AGE-SECRET-KEY-1{body}").to_uppercase(), format!("onesync-share-1{body}")] {
        let joined = format!("--recipient={}", secret.to_lowercase());
        for line in [
            &["keys", "export", &file, "--recipient", &secret][..],
            &["keys", "export", &file, &joined],
            &["backup", &file, "--include-keys", "--recipient", &secret],
            &["backup", "schedule", &file, "--include-keys", "--recipient", &secret],
            &["backup", "verify", &file, "--share-file", &secret],
            &["restore", "rehearse", &file, "--identity", &secret],
            &["activate", &file, "--identity", &secret],
            &["activate", &file, "--share", &secret],
            &["status", &secret],
        ] {
            let refused = run(&place.home(), line).await.ends_with(2);
            let said = format!("{}{}", refused.out, refused.err).to_lowercase();
            assert!(!said.contains(&body[..8]), "{line:?}: {said}");
            assert!(
                said.contains("the secret itself") && said.contains("hint: keep it in a file"),
                "{line:?}: {said}"
            );
        }
    }
    assert!(!Path::new(&file).exists());
    // A file may have such a name.
    let share = place.path().join("onesync-share-1.txt").display().to_string();
    for share in [&share, "onesync-share-1.txt"] {
        let refused = run(&place.home(), &["activate", &place.file("any", "-"), "--share", share]).await;
        assert!(refused.err.contains("onesync-share-1.txt cannot be read"), "{refused:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_said_to_do_can_be_done() {
    let (place, password) = installed(&[]).await;
    let home = place.home();
    let same = place.path().join("same.age").display().to_string();
    let other = format!("{}/./same.age", place.path().display());
    let export = ["keys", "export", &same, "--password-file", &password, "--shares", "2-of-2"];
    let refused = run(&home, &[&export[..], &["--shares-file", &other]].concat()).await.ends_with(2);
    assert!(refused.err.contains("name one file") && !Path::new(&same).exists(), "{refused:?}");
    // Shares are lines; what is to be read by a program has them in a file of their own.
    let refused = run(&home, &[&export[..], &["--format", "json"]].concat()).await.ends_with(2);
    assert!(refused.out.is_empty() && refused.err.contains("--shares-file FILE"), "{refused:?}");
    assert!(!Path::new(&same).exists());
    let shares = place.path().join("shares").display().to_string();
    let told = run(&home, &[&export[..], &["--shares-file", &shares, "--format", "json"]].concat()).await;
    assert_eq!(told.ends_with(0).json()["note"]["file"], same.as_str());

    // The password is forgotten: what works without.
    let wrong = place.file("wrong", "wrong horse battery");
    for line in [
        &["keys", "export", "none.age", "--password-file", &wrong][..],
        &["setup", "service-account", "--password-file", &wrong],
    ] {
        let refused = run(&home, line).await.ends_with(2);
        assert!(refused.err.contains("backup FILE --include-keys --recipient"), "{refused:?}");
    }

    // Without its key set it exports none.
    std::fs::remove_file(home.join("keyset.toml")).unwrap();
    for line in [&["status"][..], &["keys", "status"]] {
        let told = run(&home, line).await.ends_with(4).out;
        assert!(told.contains("is missing") && !told.contains("keys export"), "{told}");
        assert!(!told.contains("not sealed"), "{told}");
    }

    // No service account is asked for its password.
    let bare = place.path().join("bare");
    let secret = place.file("secret", "a secret");
    run(&bare, &["secret", "set", "graph", "--file", &secret]).await.ends_with(0);
    for line in [
        &["keys", "export", "none.age"][..],
        &["backup", "none", "--include-keys"],
        &["setup", "service-account"],
    ] {
        let refused = run(&bare, line).await.ends_with(2);
        assert!(
            refused.err.contains("no service account") && refused.err.contains("`onesync setup`"),
            "{refused:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_could_use_is_refused_before_anything_is_done() {
    let (place, password) = installed(&[]).await;
    let home = place.home();
    let file = place.path().join("shared.age");
    let export = ["keys", "export", file.to_str().unwrap(), "--password-file", &password];
    let shared = [&export[..], &["--shares", "2-of-3"]].concat();
    // Shares that nobody gets: the system opens the null device where standard output was closed.
    for script in ["exec \"$@\" >&-", "exec \"$@\" >/dev/null"] {
        let mut shell = tokio::process::Command::new("sh");
        shell.args(["-c", script, "sh", env!("CARGO_BIN_EXE_onesync"), "--home"]).arg(&home);
        let ended = shell.args(&shared).env_remove("ONESYNC_HOME").output().await.unwrap();
        let err = String::from_utf8(ended.stderr).unwrap();
        assert_eq!(ended.status.code(), Some(2), "{err}");
        assert!(err.contains("leads nowhere") && err.contains("--shares-file FILE"), "{err}");
    }
    assert!(!file.exists());
    assert!(run(&home, &["status"]).await.out.contains("REMINDER: the keys were never exported"));

    // Files that are not there, or are none; and the hint names the option that there is.
    let (nowhere, folder) = (place.path().join("nowhere"), place.path());
    for (given, words) in [(nowhere.as_path(), "No such file"), (folder, "it is a folder")] {
        let line = [&export[..3], &["--password-file", given.to_str().unwrap()]].concat();
        let refused = run(&home, &line).await.ends_with(2);
        assert!(refused.err.contains(words) && refused.err.contains("hint: "), "{refused:?}");
        let keys = place.file("keys.age", "-");
        let line = ["activate", &keys, "--identity", given.to_str().unwrap(), "--yes"];
        let refused = run(&home, &line).await.ends_with(2);
        assert!(refused.err.contains(words) && refused.err.contains("hint: "), "{refused:?}");
    }
    let refused = run(&home, &export[..3]).await.ends_with(2);
    assert!(refused.err.contains("with `--password-file FILE`"), "{refused:?}");
    let wrong = place.file("wrong", "wrong horse battery");
    let refused = run(&home, &[&export[..3], &["--password-file", &wrong]].concat()).await.ends_with(2);
    assert!(refused.err.contains("hint: type it again"), "{refused:?}");
    let refused = run(&home, &["db", "move", "--to", "postgres://u:pw@127.0.0.1/d"]).await.ends_with(2);
    assert!(refused.err.contains("`--password-file FILE`"), "{refused:?}");
    assert!(!refused.err.contains("--database-password-file"), "{refused:?}");

    // Passwords that nobody could type.
    for (text, words) in [
        ("a first line\nand a second one\n", "more than one line"),
        ("a password with\0a nul", "control character"),
        ("                  \n", "nothing but spaces"),
    ] {
        let new = place.file("new", text);
        let change = ["setup", "service-account", "--password-file", &password, "--new-password-file", &new];
        let refused = run(&home, &change).await.ends_with(2);
        assert!(refused.err.contains(words), "{words}: {refused:?}");
    }
    let both = ["setup", "service-account", "--password-file", "-", "--new-password-file", "-"];
    let refused = run(&home, &both).await.ends_with(2);
    assert!(refused.err.contains("only one of"), "{refused:?}");
    // A mark of an editor is no part of it.
    let marked = place.file("marked", &format!("\u{feff}{PASSWORD}\r\n"));
    run(&home, &[&export[..3], &["--password-file", &marked]].concat()).await.ends_with(0);

    let refused = run(&home, &["keys", "rotate", "--retention", "99999999"]).await.ends_with(2);
    assert!(refused.err.contains("at most 36500 days"), "{refused:?}");
    run(&home, &["keys", "rotate", "--retention", "36500"]).await.ends_with(0);
    let kept = run(&home, &["keys", "rotate", "--forget-retired"]).await.ends_with(0).out;
    assert!(kept.contains("backups from before 21") && !kept.contains("ns "), "{kept}");
    let sealed = run(&home, &["keys", "seal", "--format", "json"]).await.ends_with(0).json();
    assert!(sealed["kek"].as_str().unwrap().starts_with("file "), "{sealed}");
    let switched = run(&home, &["scheduler", "off", "--format", "json"]).await.ends_with(0).json();
    assert_eq!(switched["on"], false, "{switched}");
}

#[tokio::test(flavor = "multi_thread")]
async fn setup_takes_the_key_encryption_key_from_elsewhere() {
    let other = Place::new();
    let mode = |mode: u32| {
        std::fs::set_permissions(other.path(), std::fs::Permissions::from_mode(mode)).unwrap();
    };
    mode(0o755);
    let elsewhere = other.path().join("kek");
    let source = format!("file:{}", elsewhere.display());
    let (place, _) = installed(&["--kek", &source]).await;
    let home = place.home();
    assert!(elsewhere.exists() && !home.join("kek").exists());
    let owner = |file: &Path| std::fs::metadata(file).unwrap().uid();
    assert_eq!(owner(&elsewhere), owner(&home.join("keyset.toml")), "the service reads it");
    let status = run(&home, &["keys", "status"]).await.ends_with(0);
    assert!(status.out.contains(elsewhere.to_str().unwrap()), "{}", status.out);
    let refused = place.setup(&["--kek", "file", "--yes"]).await.ends_with(2);
    assert!(refused.err.contains("keys seal --kek"), "{}", refused.err);
    run(&home, &["keys", "seal", "--kek", "file"]).await.ends_with(0);
    if onesync_service::account::is_root() {
        // A place that root can read, and the service cannot get to.
        mode(0o700);
        let source = format!("file:{}", other.path().join("second").display());
        let refused = run(&home, &["keys", "seal", "--kek", &source]).await.ends_with(4);
        let folder = other.path().canonicalize().unwrap();
        assert!(
            refused.err.contains(&format!("may not enter the folder {}", folder.display())),
            "{refused:?}"
        );
        assert!(!other.path().join("second").exists());
        run(&home, &["keys", "status"]).await.ends_with(0);
        mode(0o755);
    }
    assert_eq!(owner(&home.join("kek")), owner(&home.join("keyset.toml")));
    // A credential of systemd, as the unit gives it.
    let folder = other.path().join("credentials");
    std::fs::create_dir(&folder).unwrap();
    std::fs::rename(home.join("kek"), folder.join("onesync-kek")).unwrap();
    let text = std::fs::read_to_string(home.join("keyset.toml")).unwrap();
    let text =
        text.replace("source = \"file\"\npath = \"kek\"", "source = \"credential\"\nname = \"onesync-kek\"");
    std::fs::write(home.join("keyset.toml"), text).unwrap();
    let refused = run(&home, &["keys", "status"]).await.ends_with(4);
    assert!(refused.out.contains("LoadCredentialEncrypted=onesync-kek"), "{}", refused.out);
    // `setup` writes that unit, though it cannot read the credential itself.
    let units = other.path().join("units");
    std::fs::create_dir(&units).unwrap();
    let option = format!("--systemd={}", units.display());
    let mut options = arguments(&[&option, "--yes"]);
    options.retain(|option| *option != "--no-systemd");
    let again = run(&home, &options).await.ends_with(0);
    assert!(again.out.contains("LoadCredentialEncrypted"), "{again:?}");
    let unit = std::fs::read_to_string(units.join("onesync.service")).unwrap();
    assert!(unit.contains("\nLoadCredentialEncrypted=onesync-kek\n"), "{unit}");
    let given =
        onesync(&home, &["keys", "status"]).env("CREDENTIALS_DIRECTORY", &folder).output().await.unwrap();
    assert_eq!(given.status.code(), Some(0), "{}", String::from_utf8_lossy(&given.stdout));
}

/// Runs the program as another user of the system.
pub async fn run_as(user: (u32, u32), home: &Path, line: &[&str]) -> Ended {
    let mut command = onesync(home, line);
    command.uid(user.0).gid(user.1).env_remove("SUDO_USER").env("HOME", "/");
    Ended::of(command.output().await.unwrap())
}

/// Number and group of a user of the system.
pub fn user(name: &str) -> (u32, u32) {
    let entries = std::fs::read_to_string("/etc/passwd").unwrap();
    let line = entries.lines().find(|line| line.starts_with(&format!("{name}:"))).unwrap();
    let parts: Vec<&str> = line.split(':').collect();
    (parts[2].parse().unwrap(), parts[3].parse().unwrap())
}

/// The host is one where the service runs as a user of its own, beside people with and without a role.
#[tokio::test(flavor = "multi_thread")]
async fn whoever_may_not_read_the_keys_is_told_the_right_and_what_works() {
    if !onesync_service::account::is_root() {
        eprintln!("SKIPPED: only root can act as several users");
        return;
    }
    let place = Place::new();
    let everybody = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(place.path(), everybody).unwrap();
    let password = place.file("password", PASSWORD);
    std::fs::set_permissions(&password, std::fs::Permissions::from_mode(0o644)).unwrap();
    let home = place.home();
    let setup = ["setup", "--run-as", "daemon", "--no-systemd", "--operator", "games", "--yes"];
    run(&home, &[setup.as_slice(), &["--service-account-password-file", &password]].concat())
        .await
        .ends_with(0);
    let folder = |name: &str, user: (u32, u32)| -> PathBuf {
        let folder = place.path().join(name);
        std::fs::create_dir(&folder).unwrap();
        std::os::unix::fs::chown(&folder, Some(user.0), Some(user.1)).unwrap();
        folder
    };
    let (ordinary, operator, service) = (user("nobody"), user("games"), user("daemon"));
    for (name, who) in [("nobody", ordinary), ("games", operator)] {
        let file = folder(name, who).join("keys.age");
        let file = file.to_str().unwrap();
        let refused = run_as(who, &home, &["keys", "export", file, "--password-file", &password]).await;
        let refused = refused.ends_with(4);
        for part in [
            "the right to read the files of".to_owned(),
            "belong to `daemon`, the account that runs the service".to_owned(),
            format!("you are `{name}`"),
            "A role of OneSync does not give it".to_owned(),
            format!("hint: run `sudo -u daemon onesync --home {} keys export {file}`", home.display()),
        ] {
            assert!(refused.err.contains(&part), "{part}: {}", refused.err);
        }
        assert!(!Path::new(file).exists());
        for line in [&["events"][..], &["backup", file], &["backup", "schedule"]] {
            let refused = run_as(who, &home, line).await.ends_with(4);
            let begin = format!("the right to read the files of {} is missing", home.display());
            let hint = format!("`sudo onesync --home {} {}", home.display(), line[0]);
            assert!(refused.err.contains(&begin) && refused.err.contains(&hint), "{refused:?}");
            assert!(!refused.err.contains("the keys open"), "{refused:?}");
        }
        let refused = run_as(who, &home, &["keys", "status"]).await.ends_with(4);
        assert!(refused.err.contains("sudo -u daemon onesync"), "{}", refused.err);
    }
    // The account that runs the service: where it may write, and where not.
    let file = folder("service", service).join("keys.age");
    let line = ["keys", "export", file.to_str().unwrap(), "--password-file", &password];
    run_as(service, &home, &line).await.ends_with(0);
    assert_eq!(std::fs::metadata(&file).unwrap().uid(), service.0);
    let file = place.path().join("keys.age");
    let line = ["keys", "export", file.to_str().unwrap(), "--password-file", &password];
    let refused = run_as(service, &home, &line).await.ends_with(4);
    assert!(
        refused.err.contains("`daemon` has no right to write in") && refused.err.contains("sudo onesync")
    );
    // Root: and what the home holds still belongs to the service.
    run(&home, &line).await.ends_with(0);
    assert_eq!(std::fs::metadata(&file).unwrap().uid(), 0);
    for entry in std::fs::read_dir(&home).unwrap().map(Result::unwrap) {
        assert_eq!(entry.metadata().unwrap().uid(), service.0, "{}", entry.path().display());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_rotated_under_the_daemon_and_lost_ones_given_up() {
    let sim = GraphSim::builder().seed(5).judged().await.unwrap();
    let setup = small(&sim).await;
    let home = setup.home();
    setup.run(&["cycle", "initial"]).await.ends_with(0);
    leave_staging(&home).await;
    setup.write("onesync.toml", "name = \"test\"\n[schedule]\nevery = \"1s\"\n");
    setup.apply().await.ends_with(0);
    let mut daemon = onesync(&home, &["serve"]).spawn().unwrap();
    serves(&mut daemon, &home).await;
    let rotated = run(&home, &["keys", "rotate", "--format", "json"]).await.ends_with(0).json();
    assert_eq!((&rotated["sealed"], &rotated["went_on"]), (&1.into(), &Value::Bool(false)), "{rotated}");
    // The daemon goes on, with the new key: it has to sign in anew, and nothing fails.
    setup.secret("graph", CLOUD_SECRET).await;
    let last = |view: &Value| view["last"]["began"].as_str().unwrap_or_default().to_owned();
    let status =
        || async { run(&home, &["scheduler", "status", "--format", "json"]).await.ends_with(0).json() };
    let (before, began) = (last(&status().await), Instant::now());
    loop {
        let view = status().await;
        if last(&view) > before && view["last"]["result"] == "done" {
            break;
        }
        assert!(began.elapsed() < LONG, "{view}");
    }
    daemon.kill().await.unwrap();
    let report = run(&home, &["keys", "status", "--format", "json"]).await.ends_with(0).json();
    let values: Vec<_> = report["keys"].as_array().unwrap().iter().map(|key| &key["values"]).collect();
    assert_eq!(values[0], &Value::from(0), "{report}");
    let kept = run(&home, &["keys", "rotate", "--forget-retired"]).await.ends_with(0);
    assert!(kept.out.contains("kept: ") && kept.out.contains("backups"), "{}", kept.out);
    // A key that is in no key file may be the only one that opens a backup.
    let forgotten = ["keys", "rotate", "--forget-retired", "--retention", "0"];
    assert!(run(&home, &forgotten).await.ends_with(0).out.contains("no exported key file"));

    std::fs::remove_file(home.join("kek")).unwrap();
    let status = run(&home, &["keys", "status"]).await.ends_with(4);
    assert!(
        status.out.contains("CLOSED: secret `graph`") && status.out.contains("kek is missing"),
        "{}",
        status.out
    );
    let asked = run(&home, &["keys", "abandon", "--kek-is-lost"]).await.ends_with(2);
    assert!(asked.out.contains("unreadable: `graph`, used by entra"), "{}", asked.out);
    // It may only be away: then nothing is given up.
    let refused = run(&home, &["keys", "abandon", "--yes"]).await.ends_with(4);
    assert!(
        refused.err.contains("kek is missing") && refused.err.contains("--kek-is-lost"),
        "{}",
        refused.err
    );
    let given_up = run(&home, &["keys", "abandon", "--kek-is-lost", "--yes"]).await.ends_with(0);
    assert!(given_up.err.contains("onesync secret set graph"), "{}", given_up.err);
    setup.secret("graph", CLOUD_SECRET).await;
    let mark = sim.log_mark();
    setup.run(&["cycle"]).await.ends_with(0);
    assert!(sim.changes(mark).is_empty(), "links and history are there: nothing is written anew");
    run(&home, &["keys", "status"]).await.ends_with(0);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_lies_in_files_logs_or_the_memory_of_the_daemon() {
    let sim = GraphSim::builder().seed(6).judged().await.unwrap();
    let setup = small(&sim).await;
    let home = setup.home();
    let file = |name: &str, text: &str| setup.file(name, text);
    let password = file("password", PASSWORD);
    let root = onesync_service::account::is_root();
    let line = arguments(&["--service-account-password-file", &password, "--yes"]);
    let line: Vec<&str> = line.into_iter().map(|part| if part == "nobody" { "root" } else { part }).collect();
    setup.run(&line).await.ends_with(0);
    // A key that the test knows, in the form of an earlier version; then sealed.
    let key: Vec<u8> = (0..32u8).map(|at| at.wrapping_mul(73) ^ 0xa7).collect();
    let (id, text) = ("00112233445566ff", BASE64.encode(&key));
    let plain = format!("version = 1\ncurrent = \"{id}\"\n\n[[keys]]\nid = \"{id}\"\nkey = \"{text}\"\n");
    std::fs::write(home.join("keyset.toml"), plain).unwrap();
    setup.run(&["keys", "seal"]).await.ends_with(0);
    setup.run(&["keys", "abandon", "--yes"]).await.ends_with(0);
    setup.secret("graph", CLOUD_SECRET).await;
    std::fs::remove_file(setup.path().join("secret")).unwrap();
    let status = setup.run(&["keys", "status", "--format", "json"]).await.ends_with(0).json();
    assert_eq!(status["keys"][0]["id"], id, "{status}");
    let kek_text = std::fs::read_to_string(home.join("kek")).unwrap().trim().to_owned();
    let known = Needles::default()
        .with("the data key", &key)
        .with("the key-encryption key", &BASE64.decode(&kek_text).unwrap())
        .with("the password of the service account", PASSWORD.as_bytes());
    let on_disk = known.clone().with("the secret of the connector", CLOUD_SECRET.as_bytes());

    let said = |ended: &Ended| format!("{}{}", ended.out, ended.err);
    let trace = |line: Vec<String>| {
        let home = home.clone();
        async move {
            let line: Vec<&str> = line.iter().map(String::as_str).collect();
            let output = onesync(&home, &line).env("ONESYNC_LOG", "trace").output().await.unwrap();
            let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
            Ended { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
        }
    };
    let words = |line: &[&str]| line.iter().map(|&word| word.to_owned()).collect::<Vec<_>>();
    let exported = setup.path().join("keys.age").display().to_string();
    for line in [
        words(&["cycle", "initial"]),
        words(&["keys", "export", &exported, "--password-file", &password]),
        words(&["keys", "status"]),
        words(&["status"]),
    ] {
        let ended = trace(line.clone()).await;
        assert!(ended.code == Some(0) && ended.err.contains("TRACE") | !line.contains(&"cycle".to_owned()));
        assert_eq!(on_disk.found(said(&ended).as_bytes()), [""; 0], "{line:?}");
    }
    let log = setup.path().join("log");
    let mut daemon = onesync(&home, &["serve"])
        .env("ONESYNC_LOG", "trace")
        .stderr(std::fs::File::create(&log).unwrap())
        .spawn()
        .unwrap();
    let process = daemon.id().unwrap();
    idles(&mut daemon, &home).await;
    let limits = std::fs::read_to_string(format!("/proc/{process}/limits")).unwrap();
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert_eq!(core.split_whitespace().filter(|word| *word == "0").count(), 2, "{core}");
    if root {
        let (found, seen) = known.stays_in_memory(process, &[]).await;
        assert_eq!(found, [""; 0]);
        assert!(seen > 1 << 20, "{seen}");
    } else {
        eprintln!("SKIPPED: only root can look into the memory of a process that is closed to others");
    }
    daemon.kill().await.unwrap();
    assert_eq!(on_disk.found(&std::fs::read(&log).unwrap()), [""; 0]);

    // Files: the database with its log, the key set, what was exported; the key-encryption key lies in its own file only.
    let kek = home.join("kek");
    let found: Vec<_> = on_disk.found_below(&home).into_iter().filter(|(file, _)| *file != kek).collect();
    assert!(found.is_empty(), "{found:?}");
    assert_eq!(on_disk.found(&std::fs::read(&exported).unwrap()), [""; 0]);
}
