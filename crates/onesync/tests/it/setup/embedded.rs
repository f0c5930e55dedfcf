//! With the embedded database.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

use super::{Place, arguments, record, rows, service, shown};
use crate::program::{onesync, run};

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_is_shown_first_and_nothing_is_done_without_consent() {
    let place = Place::new();
    let ended = place.setup(&[]).await.ends_with(2);
    assert!(ended.out.contains("plan\n  1. make the installation, with a new key set"), "{}", ended.out);
    assert!(ended.err.contains("nothing was done") && ended.err.contains("--yes"), "{}", ended.err);
    assert!(!place.home().exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn twice_in_a_row_there_is_nothing_to_do() {
    let place = Place::new();
    let first = place.setup(&["--yes"]).await.ends_with(0);
    let password = shown(&first).unwrap();
    assert_eq!(password.len(), 32);
    let home = place.home();
    let log = std::fs::read_to_string(home.join("setup.log")).unwrap();
    let steps = record(&home);
    for step in ["installation", "service-account", "credentials", "roles"] {
        for result in ["begins", "done"] {
            assert!(steps.contains(&(step.to_owned(), result.to_owned())), "{step} {result} of {steps:?}");
        }
    }
    let before = rows(&home).await;
    for kept in [&log, &before, &first.err] {
        assert!(!kept.contains(&password), "{kept}");
    }
    let events = service(&home).await.events(100).unwrap();
    assert!(
        events.iter().any(|event| event.kind == "setup" && event.subject == "installation"),
        "{events:?}"
    );

    let second = place.setup(&["--yes"]).await.ends_with(0);
    assert!(second.out.contains("nothing to do") && shown(&second).is_none(), "{}", second.out);
    assert_eq!(rows(&home).await, before);
    assert_eq!(std::fs::read_to_string(home.join("setup.log")).unwrap(), log);
    // Also without consent: there is nothing to consent to.
    place.setup(&[]).await.ends_with(0);

    let mode = |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&home), 0o700);
    let owner = std::fs::metadata(&home).unwrap().uid();
    for name in ["onesync.db", "keyset.toml", "setup.log"] {
        assert_eq!(mode(&home.join(name)), 0o600, "{name}");
        assert_eq!(std::fs::metadata(home.join(name)).unwrap().uid(), owner, "{name}");
    }
    if onesync_service::account::is_root() {
        assert_ne!(owner, 0, "it belongs to the user that runs it");
        // A file that belongs to another user is brought home.
        std::os::unix::fs::chown(home.join("keyset.toml"), Some(0), Some(0)).unwrap();
        let ended = place.setup(&["--yes"]).await.ends_with(0);
        assert!(ended.out.contains("1. give "), "{}", ended.out);
        assert_eq!(std::fs::metadata(home.join("keyset.toml")).unwrap().uid(), owner);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_come_from_a_file_and_another_account_is_refused() {
    let place = Place::new();
    let password = place.file("password", "correct horse battery\n");
    let answers = place.file(
        "answers.toml",
        &format!(
            "service-account-domain = \"CONTOSO\"\nservice-account-name = \"svc-sync\"\nservice-account-password-file = {password:?}\nadmins = [\"root\"]\noperators = [\"group:root\"]\nidentities = 2000\n"
        ),
    );
    let ended = place.setup(&["--answers", &answers, "--yes", "--format", "json"]).await.ends_with(0);
    let told = ended.json();
    assert_eq!(told["service_account"], serde_json::Value::Null, "it is known to whoever gave it");
    assert!(ended.out.contains("CONTOSO\\\\svc-sync") && !ended.out.contains("battery"), "{}", ended.out);
    let home = place.home();
    assert_eq!(service(&home).await.service_account().unwrap().as_deref(), Some("CONTOSO\\svc-sync"));
    let roles = service(&home).await.roles().unwrap();
    assert_eq!(
        (&roles["admins"], &roles["operators"]),
        (&vec!["root".to_owned()], &vec!["group:root".to_owned()])
    );
    assert!(roles["browse"].is_empty());
    let before = rows(&home).await;

    // Names without regard to case; anything else is refused, and it is said what is another one.
    let same = ["--service-account-domain", "contoso", "--service-account-name", "SVC-SYNC", "--yes"];
    let ended = place.setup(&same).await.ends_with(0);
    assert!(ended.out.contains("nothing to do"), "{}", ended.out);
    let other = place.setup(&["--service-account-name", "svc-sync", "--yes"]).await.ends_with(2);
    assert!(other.err.contains("is `CONTOSO\\svc-sync`, not `svc-sync`"), "{}", other.err);
    let wrong = place.file("wrong", "incorrect horse battery");
    let other = place.setup(&["--service-account-password-file", &wrong, "--yes"]).await.ends_with(2);
    assert!(other.err.contains("not the password of the service account"), "{}", other.err);
    assert_eq!(rows(&home).await, before);

    let typo = place.file("typo.toml", "service-acount-name = \"x\"\n");
    let ended = place.setup(&["--answers", &typo]).await.ends_with(2);
    assert!(ended.err.contains("service-acount-name"), "{}", ended.err);
    let ended = place.setup(&["--admin", "nobody-of-that-name", "--yes"]).await.ends_with(2);
    assert!(ended.err.contains("`nobody-of-that-name`"), "{}", ended.err);
}

#[tokio::test(flavor = "multi_thread")]
async fn name_and_password_of_the_service_account_change_for_whoever_knows_them() {
    let place = Place::new();
    let first = shown(&place.setup(&["--yes"]).await.ends_with(0)).unwrap();
    let home = place.home();
    let old = place.file("old", &first);
    let wrong = place.file("wrong", "something else entirely");
    let change = ["setup", "service-account", "--name", "svc@contoso.com", "--password-file"];
    let refused = run(&home, &[&change[..], &[wrong.as_str()]].concat()).await.ends_with(2);
    assert!(refused.err.contains("not the password"), "{}", refused.err);
    let changed = run(&home, &[&change[..], &[old.as_str()]].concat()).await.ends_with(0);
    let second = shown(&changed).unwrap();
    assert_ne!(first, second);
    assert!(changed.out.contains("svc@contoso.com"), "{}", changed.out);
    let again = run(&home, &[&change[..], &[old.as_str()]].concat()).await.ends_with(2);
    assert!(again.err.contains("not the password"), "{}", again.err);
    let new = place.file("new", "chosen by a person");
    let old = place.file("old", &second);
    let chosen = [
        "setup",
        "service-account",
        "--password-file",
        &old,
        "--new-password-file",
        &new,
        "--format",
        "json",
    ];
    let changed = run(&home, &chosen).await.ends_with(0);
    assert_eq!(changed.json()["password"], serde_json::Value::Null);
    assert!(!rows(&home).await.contains("onesync/service-account"), "the one that was made is gone");
    place.setup(&["--service-account-password-file", &new, "--yes"]).await.ends_with(0);
    let short = place.file("short", "short");
    let ended =
        run(&home, &["setup", "service-account", "--password-file", &new, "--new-password-file", &short])
            .await;
    assert!(ended.ends_with(2).err.contains("too short"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_with_something_else_is_no_home_and_an_installation_without_its_keys_gets_no_others() {
    let place = Place::new();
    std::fs::create_dir(place.home()).unwrap();
    std::fs::write(place.home().join("letter.txt"), "dear").unwrap();
    let ended = place.setup(&["--yes"]).await.ends_with(2);
    assert!(ended.err.contains("letter.txt"), "{}", ended.err);
    std::fs::remove_file(place.home().join("letter.txt")).unwrap();
    place.setup(&["--yes"]).await.ends_with(0);

    let keys = place.home().join("keyset.toml");
    std::fs::rename(&keys, place.path().join("keys")).unwrap();
    let ended = place.setup(&["--yes"]).await.ends_with(0);
    for part in ["WARNING", "keyset.toml is missing", "`onesync activate KEYFILE ACCOUNT PASSWORD`"] {
        assert!(ended.out.contains(part), "{}", ended.out);
    }
    assert!(!keys.exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_home_that_is_a_link_is_set_up_where_it_leads() {
    let place = Place::new();
    let real = place.path().join("real");
    std::fs::create_dir(&real).unwrap();
    std::os::unix::fs::symlink(&real, place.home()).unwrap();
    let ended = place.setup(&["--yes"]).await.ends_with(0);
    assert!(ended.out.contains(real.to_str().unwrap()), "{}", ended.out);
    if onesync_service::account::is_root() {
        assert_ne!(std::fs::metadata(real.join("onesync.db")).unwrap().uid(), 0);
    }
    let leads_nowhere = place.path().join("nowhere");
    std::os::unix::fs::symlink(place.path().join("gone"), &leads_nowhere).unwrap();
    let ended = run(&leads_nowhere, &arguments(&["--yes"])).await.ends_with(2);
    assert!(ended.err.contains("the folder itself"), "{}", ended.err);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_made_password_is_never_lost() {
    // A later step fails: the JSON has the password.
    let place = Place::new();
    let folder = place.path().join("units");
    // Where the unit is written first, something else lies.
    std::fs::create_dir_all(folder.join("onesync.service.new.part")).unwrap();
    let units = format!("--systemd={}", folder.display());
    let mut options = arguments(&[&units, "--yes", "--format", "json"]);
    options.retain(|option| *option != "--no-systemd");
    let failed = run(&place.home(), &options).await;
    assert_eq!(failed.code, Some(2), "{}", failed.err);
    let told = failed.json();
    assert!(told["carried_out"] == false && told["error"].is_string(), "{told}");
    assert_eq!(told["service_account"]["password"].as_str().unwrap().len(), 32);
    assert!(shown(&place.setup(&["--yes"]).await.ends_with(0)).is_none(), "it was shown");

    // Nobody reads it, or there is nothing to write it to: it is shown the next time.
    for format in ["table", "json"] {
        let place = Place::new();
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let null = std::fs::OpenOptions::new().write(true).open("/dev/null").unwrap();
        for to in [null, full] {
            let options = arguments(&["--yes", "--format", format]);
            let mut child = onesync(&place.home(), &options);
            child.stdout(to).stderr(std::process::Stdio::null()).status().await.unwrap();
        }
        assert!(shown(&place.setup(&["--yes"]).await.ends_with(0)).is_some(), "{format}");
        assert!(shown(&place.setup(&["--yes"]).await.ends_with(0)).is_none(), "{format}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn root_writes_through_no_link_of_a_home() {
    for name in ["setup.log", "setup.lock", "work.lock", "onesync.db.new"] {
        let place = Place::new();
        std::fs::create_dir(place.home()).unwrap();
        let outside = place.file("outside", "kept");
        std::os::unix::fs::symlink(&outside, place.home().join(name)).unwrap();
        place.setup(&["--yes"]).await;
        assert_eq!(std::fs::read_to_string(&outside).unwrap(), "kept", "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_is_kept_for_connectors() {
    let place = Place::new();
    place.setup(&["--yes", "--proxy", "http://proxy:3128"]).await.ends_with(0);
    assert_eq!(service(&place.home()).await.proxy().unwrap().as_deref(), Some("http://proxy:3128"));
    for wrong in ["proxy:3128", "http://user:word@proxy"] {
        place.setup(&["--yes", "--proxy", wrong]).await.ends_with(2);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_installation_that_config_apply_made_is_completed() {
    let place = Place::new();
    let secret = place.file("secret", "x");
    run(&place.home(), &["secret", "set", "graph", "--file", &secret]).await.ends_with(0);
    let ended = place.setup(&["--yes"]).await.ends_with(0);
    assert!(!ended.out.contains("key set, ") && shown(&ended).is_some(), "{}", ended.out);
    let secrets = run(&place.home(), &["secret", "list", "--format", "json"]).await.ends_with(0);
    assert!(secrets.out.contains("\"graph\""), "{}", secrets.out);
}

/// Where what is written is lost: closed, full, and read by nobody.
fn nowhere() -> Vec<std::process::Stdio> {
    let open = |name: &str| std::fs::OpenOptions::new().write(true).open(name).unwrap();
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    vec![open("/dev/null").into(), open("/dev/full").into(), writer.into()]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_password_that_nobody_saw_is_shown_by_the_next_setup() {
    let place = Place::new();
    let mut known = shown(&place.setup(&["--yes"]).await.ends_with(0)).unwrap();
    for format in ["table", "json"] {
        for to in nowhere() {
            let file = place.file("known", &known);
            let change = ["setup", "service-account", "--password-file", &file, "--format", format];
            let mut child = onesync(&place.home(), &change);
            child.stdout(to).stderr(std::process::Stdio::null()).status().await.unwrap();
            let next = shown(&place.setup(&["--yes"]).await.ends_with(0)).unwrap();
            assert_ne!(next, known, "{format}");
            known = next;
        }
    }
    assert!(shown(&place.setup(&["--yes"]).await.ends_with(0)).is_none(), "it was shown");
    let file = place.file("known", &known);
    place.setup(&["--service-account-password-file", &file]).await.ends_with(0);
    // Whoever sees it at once needs nothing more.
    let change = ["setup", "service-account", "--password-file", &file, "--format", "json"];
    let seen = run(&place.home(), &change).await.ends_with(0).json();
    assert_eq!(seen["password"].as_str().unwrap().len(), 32);
    assert!(place.setup(&["--yes"]).await.ends_with(0).out.contains("nothing to do"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_home_that_has_lost_its_database_gets_no_other_one() {
    let place = Place::new();
    place.setup(&["--yes"]).await.ends_with(0);
    let (home, secret) = (place.home(), place.file("secret", "s3cret"));
    run(&home, &["secret", "set", "graph", "--file", &secret]).await.ends_with(0);
    for name in ["onesync.db", "onesync.db-wal", "onesync.db-shm"] {
        let _ = std::fs::remove_file(home.join(name));
    }
    let setup = arguments(&["--yes"]);
    for command in [&setup[..], &["status"], &["secret", "set", "graph", "--file", &secret]] {
        let refused = run(&home, command).await.ends_with(4);
        for part in ["belongs to installation", "whose database is not here", "onesync restore FILE"] {
            assert!(refused.err.contains(part), "{command:?}: {}", refused.err);
        }
        assert!(!home.join("onesync.db").exists(), "{command:?}");
    }
    // Nor are tables made in what stands in its place.
    std::fs::write(home.join("onesync.db"), "").unwrap();
    for command in [&setup[..], &["status"], &["upgrade"], &["upgrade", "check"], &["cycle"]] {
        let refused = run(&home, command).await.ends_with(4);
        for part in ["belongs to installation", "whose database is not here", "onesync restore FILE"] {
            assert!(refused.err.contains(part), "{command:?}: {}", refused.err);
        }
        assert_eq!(std::fs::metadata(home.join("onesync.db")).unwrap().len(), 0, "{command:?}");
    }
    // Where nothing tells of another installation a key set that is there is taken.
    for name in ["server.toml", "witness.toml"] {
        let _ = std::fs::remove_file(home.join(name));
    }
    for made in [true, false] {
        let empty = run(&home, &["status"]).await.ends_with(2);
        assert!(empty.err.contains("`onesync setup` makes one"), "{}", empty.err);
        assert_eq!(empty.err.contains("move that file away"), made, "{}", empty.err);
        if made {
            std::fs::remove_file(home.join("onesync.db")).unwrap();
        }
    }
    place.setup(&["--yes"]).await.ends_with(0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_is_refused_before_anything_is_made() {
    let place = Place::new();
    let short = place.file("short", "short");
    let units = format!("--systemd={}", place.path().join("missing").display());
    for (options, parts) in [
        (&["--service-account-password-file", &short, "--yes"][..], ["too short", "leave it out"]),
        (&["--database-password-file", &short, "--yes"], ["no such database", "`--database`"]),
        (&[&units, "--yes"], ["there is no folder", "--no-systemd"]),
    ] {
        let mut options = arguments(options);
        if options.contains(&units.as_str()) {
            options.retain(|option| *option != "--no-systemd");
        }
        let refused = run(&place.home(), &options).await.ends_with(2);
        assert!(parts.iter().all(|part| refused.err.contains(part)), "{}", refused.err);
        assert!(!place.home().exists());
    }
    // A plan for programs is shown, and not asked about.
    let planned = place.setup(&["--format", "json"]).await.ends_with(2);
    let told = planned.json();
    assert!(told["carried_out"] == false && !told["plan"]["steps"].as_array().unwrap().is_empty(), "{told}");
    assert!(planned.err.contains("--yes") && !place.home().exists(), "{}", planned.err);
    // What belongs to a server is nothing for an embedded database.
    place.setup(&["--yes", "--identities", "2000"]).await.ends_with(0);
    let refused = place.setup(&["--database-password-file", &short, "--yes"]).await.ends_with(2);
    assert!(refused.err.contains("is embedded"), "{}", refused.err);
    // What was said of its size holds from then on.
    let check = run(&place.home(), &["setup", "check"]).await;
    assert!(check.out.contains("2000 identities need"), "{}", check.out);
}
