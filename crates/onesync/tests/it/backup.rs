//! `backup` and `restore` as people run them: beside the daemon, killed anywhere, and what a copy says.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use onesync_graphsim::{FaultAction, FaultRule, GraphSim};

use crate::kill::disturb::Dice;
use crate::kill::ldif::small;
use crate::program::{CLOUD_SECRET, LONG, Setup, leave_staging, onesync, run, signal, until};
use crate::setup::{arguments, rows};

const PASSWORD: &str = "a long password of the service account";
const ACCOUNT: &str = "CONTOSO\\svc-onesync";
/// A pair of the test vectors of the format.
pub(crate) const RECIPIENT: &str = "age1zvkyg2lqzraa2lnjvqej32nkuu0ues2s82hzrye869xeexvn73equnujwj";
const IDENTITY: &str = "AGE-SECRET-KEY-1GFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPQ4EGAEX";

async fn live(sim: &GraphSim) -> Setup {
    let setup = small(sim).await;
    setup.run(&["cycle"]).await.ends_with(0);
    leave_staging(&setup.home()).await;
    setup.run(&["cycle"]).await.ends_with(0);
    setup
}

fn files(folder: &Path) -> Vec<PathBuf> {
    std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_lost_is_back_from_its_backup() {
    let sim = GraphSim::builder().seed(41).judged().await.unwrap();
    let setup = live(&sim).await;
    let (folder, second) = (setup.path().join("backups"), setup.path().join("second"));
    std::fs::create_dir(&folder).unwrap();
    setup.run(&["backup"]).await.ends_with(2);
    // The key set is on this server only, and that is said.
    let taken = setup.run(&["backup", folder.to_str().unwrap()]).await.ends_with(4);
    assert!(taken.err.contains("not restorable") && taken.err.contains("onesync keys export"), "{taken:?}");
    let file = files(&folder).remove(0);
    let file = file.to_str().unwrap();
    let bytes = std::fs::read(file).unwrap();
    assert!(!bytes.windows(CLOUD_SECRET.len()).any(|window| window == CLOUD_SECRET.as_bytes()));
    let verified = run(&second, &["backup", "verify", file]).await.ends_with(4);
    assert!(verified.out.contains("all as they were written"), "{verified:?}");
    assert!(!second.exists(), "looking makes nothing");
    let folder_given = run(&second, &["backup", "verify", folder.to_str().unwrap()]).await.ends_with(2);
    assert!(folder_given.err.contains("hint: it is a folder"), "{folder_given:?}");
    let long = setup.path().join("x".repeat(300)).display().to_string();
    let long = setup.run(&["backup", &long]).await.ends_with(1);
    assert!(!long.err.contains("WARN"), "{long:?}");
    let nowhere = setup.path().join("nowhere").display().to_string();
    for line in
        [&["backup", "verify", &nowhere][..], &["restore", &nowhere], &["backup", "schedule", &nowhere]]
    {
        setup.run(line).await.ends_with(2);
    }
    let password = setup.path().join("some-password");
    std::fs::write(&password, "a long enough password").unwrap();
    let account = ["--account", "sync", "--password-file", password.to_str().unwrap()];
    let none = run(&second, &[&["backup", "verify", file, "--key-file", file][..], &account].concat()).await;
    assert!(none.ends_with(2).err.contains("no key file"), "a backup is none");
    let cut = setup.path().join("cut.backup");
    std::fs::write(&cut, &bytes[..bytes.len() - 9]).unwrap();
    let damaged = setup.run(&["backup", "verify", cut.to_str().unwrap()]).await.ends_with(1);
    assert!(damaged.err.contains("never finished, or was cut"), "{damaged:?}");
    setup.run(&["backup", file]).await.ends_with(2);
    setup.run(&["restore", file]).await.ends_with(2);

    // What is changed after it was taken is exported by the old server.
    setup.change_departments("New");
    setup.run(&["cycle"]).await.ends_with(0);

    let restored = run(&second, &["restore", file]).await.ends_with(0).out;
    assert!(restored.contains("it is a copy") && restored.contains("onesync activate"), "{restored}");
    let status = run(&second, &["status"]).await.ends_with(4).out;
    assert!(status.contains("this database is a copy") && status.contains("onesync activate"), "{status}");
    run(&second, &["restore", file]).await.ends_with(2);
    // The database file has no secret that is not sealed either.
    let database = std::fs::read(second.join("onesync.db")).unwrap();
    assert!(!database.windows(CLOUD_SECRET.len()).any(|window| window == CLOUD_SECRET.as_bytes()));

    // With its keys it reads and plans, and nothing is owed that the old server has exported.
    for name in ["keyset.toml", "kek"] {
        std::fs::copy(setup.home().join(name), second.join(name)).unwrap();
    }
    let mark = sim.log_mark();
    let cycle = run(&second, &["cycle", "--format", "json"]).await;
    assert_eq!(cycle.json()["owed"], serde_json::json!(["directory", "entra"]), "{cycle:?}");
    assert_eq!(sim.changes(mark).len(), 0);
    let plan = run(&second, &["staging", "plan", "entra", "--format", "json"]).await.ends_with(0).json();
    let sent = ["create", "update", "delete", "adopt"];
    let owed = plan["groups"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|group| sent.contains(&group["what"].as_str().unwrap()));
    assert_eq!(owed.count(), 0, "{plan}");
    let hash = plan["hash"].as_str().unwrap();
    for command in [&["staging", "off", "entra", "--plan", hash][..], &["run", "entra", "export"]] {
        let refused = run(&second, command).await.ends_with(4);
        assert!(refused.err.contains("onesync activate"), "{refused:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_that_is_killed_goes_on() {
    let sim = GraphSim::builder().seed(42).judged().await.unwrap();
    let setup = live(&sim).await;
    let file = setup.path().join("one.backup");
    let file = file.to_str().unwrap();
    setup.run(&["backup", file]).await.ends_with(4);
    let began = Instant::now();
    run(&setup.path().join("whole"), &["restore", file]).await.ends_with(0);
    let took = began.elapsed().as_micros() as u64;
    let mut dice = Dice(5);
    let (mut killed, mut half) = (0, 0);
    for round in 0..10 {
        let home = setup.path().join(format!("home{round}"));
        let mut child = onesync(&home, &["restore", file]).spawn().unwrap();
        let unfinished = || home.join("restore.unfinished").exists();
        if round % 2 == 0 {
            tokio::time::sleep(Duration::from_micros(took * round / 10 + dice.next() % (took / 10))).await;
        } else {
            // Looking decides, no time: how long its middle takes depends on the machine.
            while !unfinished() && child.try_wait().unwrap().is_none() {
                tokio::task::yield_now().await;
            }
        }
        child.start_kill().unwrap();
        if child.wait().await.unwrap().code().is_none() {
            killed += 1;
            if unfinished() {
                half += 1;
                let refused = run(&home, &["status"]).await;
                assert!([Some(4), Some(0)].contains(&refused.code), "{refused:?}");
            }
        }
        let again = run(&home, &["restore", file]).await;
        // Killed after its end, it was one already.
        assert!(again.code == Some(0) || again.err.contains("holds an installation already"), "{again:?}");
        assert!(!home.join("restore.unfinished").exists() && !home.join("onesync.db.restore").exists());
        run(&home, &["status"]).await.ends_with(4);
    }
    println!("restoring: {killed} of 10 were killed, {half} in its middle");
    assert!(half > 0, "no kill fell into the middle of a restore: {killed} were in time");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_daemon_takes_backups_by_itself() {
    let sim = GraphSim::builder().seed(43).judged().await.unwrap();
    let setup = live(&sim).await;
    let folder = setup.path().join("backups");
    std::fs::create_dir(&folder).unwrap();
    let none = setup.run(&["backup", "schedule"]).await.ends_with(0).out;
    assert!(none.contains("no backups are taken"), "{none}");
    let place = folder.to_str().unwrap();
    setup.run(&["backup", "schedule", place, "--every", "5m"]).await.ends_with(2);
    let set =
        setup.run(&["backup", "schedule", place, "--every", "12h", "--keep", "3"]).await.ends_with(0).out;
    assert!(set.contains("every 12h") && set.contains("3 are kept"), "{set}");
    let mut daemon = onesync(&setup.home(), &["serve"]).spawn().unwrap();
    let began = Instant::now();
    let taken = loop {
        let view = setup.run(&["backup", "schedule", "--format", "json"]).await.ends_with(0).json();
        if let Some(file) = view["last"]["file"].as_str() {
            break file.to_owned();
        }
        assert!(began.elapsed() < LONG, "{view}");
    };
    daemon.start_kill().unwrap();
    daemon.wait().await.unwrap();
    setup.run(&["backup", "verify", &taken]).await.ends_with(4);
    let set = setup.run(&["backup", "schedule"]).await.ends_with(0).out;
    assert!(set.contains("not restorable"), "{set}");
    let status = setup.run(&["db", "status"]).await.out;
    assert!(status.contains("last backup: 2"), "{status}");
    setup.run(&["backup", "schedule", "off"]).await.ends_with(0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_named_of_a_schedule_stays_as_it_was() {
    let (place, _password) = crate::keys::installed(&[]).await;
    let (home, folder) = (place.home(), place.path().join("backups"));
    std::fs::create_dir(&folder).unwrap();
    if onesync_service::account::is_root() {
        let (user, group) = crate::keys::user("nobody");
        std::os::unix::fs::chown(&folder, Some(user), Some(group)).unwrap();
        for on_the_way in [place.path(), &folder] {
            let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
            std::fs::set_permissions(on_the_way, mode).unwrap();
        }
    }
    let schedule = |more: &[&str]| {
        let line: Vec<String> =
            ["backup", "schedule"].iter().chain(more).map(|&part| part.to_owned()).collect();
        let home = home.clone();
        async move { run(&home, &line.iter().map(String::as_str).collect::<Vec<_>>()).await }
    };
    let none = schedule(&["--every", "20m"]).await.ends_with(2);
    assert!(none.err.contains("where to is missing") && none.err.contains("backup schedule DIR"), "{none:?}");
    let set = [
        folder.to_str().unwrap(),
        "--every",
        "10m",
        "--keep",
        "2",
        "--include-keys",
        "--recipient",
        RECIPIENT,
    ];
    schedule(&set).await.ends_with(0);
    let keys = format!("with the keys inside, for {RECIPIENT}");
    for (more, every, keep) in [
        (&["--every", "20m"][..], "20m", 2),
        (&["--keep", "3"], "20m", 3),
        (&[folder.to_str().unwrap()], "20m", 3),
    ] {
        let changed = schedule(more).await.ends_with(0).out;
        let words = format!("every {every} into {}, {keep} are kept", folder.display());
        assert!(changed.contains(&words) && changed.contains(&keys), "{more:?}: {changed}");
    }
    let both = schedule(&["off", "--keep", "5"]).await.ends_with(2);
    assert!(both.err.contains("takes nothing else"), "{both:?}");
    let without = schedule(&["--without-keys"]).await.ends_with(0).out;
    assert!(without.contains("every 20m") && !without.contains("with the keys inside"), "{without}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rehearsal_that_is_killed_leaves_no_keys_behind() {
    let sim = GraphSim::builder().seed(45).judged().await.unwrap();
    let setup = small(&sim).await;
    let file = |name: &str, text: &str| setup.file(name, text);
    let (password, identity) = (file("password", PASSWORD), file("identity", IDENTITY));
    let account = ["--yes", "--service-account-name", ACCOUNT, "--service-account-password-file", &password];
    setup.run(&arguments(&account)).await.ends_with(0);
    let one = setup.path().join("one.backup").display().to_string();
    setup.run(&["backup", &one, "--include-keys", "--recipient", RECIPIENT]).await.ends_with(0);
    let scratch = || {
        let below = files(&setup.home()).into_iter();
        below.filter(|file| file.to_string_lossy().contains("/scratch-")).collect::<Vec<_>>()
    };
    // It waits for a directory that does not answer, with the keys opened.
    sim.fault(FaultRule {
        path: Some("/v1.0/".to_owned()),
        times: 0,
        action: FaultAction::Hold,
        ..FaultRule::default()
    });
    let rehearse = ["restore", "rehearse", &one, "--identity", &identity];
    let mut clearing = vec![vec!["db", "maintain", "--now"], vec!["serve"], rehearse.to_vec()];
    while let Some(line) = clearing.pop() {
        let struck = sim.faults_struck();
        let mut child = onesync(&setup.home(), &rehearse).spawn().unwrap();
        until("it reads the cloud", async || {
            assert_eq!(child.try_wait().unwrap(), None, "it ended");
            sim.faults_struck() > struck
        })
        .await;
        let left = scratch();
        assert!(left.len() == 1 && left[0].join("home/kek").exists(), "{left:?}");
        setup.run(&["db", "maintain", "--now"]).await.ends_with(0);
        assert_eq!(scratch(), left, "it is in use");
        signal(&child, "-KILL").await;
        child.wait().await.unwrap();
        assert_eq!(scratch(), left);
        let mut next = onesync(&setup.home(), &line).spawn().unwrap();
        until("it clears up", async || !left[0].exists()).await;
        signal(&next, "-KILL").await;
        next.wait().await.unwrap();
        setup.run(&["db", "maintain", "--now"]).await.ends_with(0);
        assert!(scratch().is_empty(), "{line:?}: {:?}", scratch());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_with_its_keys_inside_is_all_that_a_new_server_needs() {
    let sim = GraphSim::builder().seed(44).judged().await.unwrap();
    let setup = live(&sim).await;
    let file = |name: &str, text: &str| setup.file(name, text);
    let place = |name: &str| setup.path().join(name).display().to_string();
    let (password, wrong) = (file("password", PASSWORD), file("wrong", "another password than that"));
    let account = ["--yes", "--service-account-name", ACCOUNT, "--service-account-password-file", &password];
    setup.run(&arguments(&account)).await.ends_with(0);

    // Who may not export keys takes none into a backup either; what makes no sense is refused.
    let one = place("one.backup");
    let keys = ["backup", &one, "--include-keys"];
    let with = |more: &[&'static str]| [&keys[..], more].concat();
    let refused = setup.run(&[&keys[..], &["--password-file", &wrong]].concat()).await.ends_with(2);
    assert!(refused.err.contains("not the password of the service account"), "{}", refused.err);
    let other = [&keys[..], &["--account", "CONTOSO\\other", "--password-file", &password]].concat();
    assert!(setup.run(&other).await.ends_with(2).err.contains("not `CONTOSO\\other`"));
    let refused = setup.run(&keys).await.ends_with(2); // no terminal, and no password
    assert!(refused.err.contains("with `--password-file FILE`"), "{refused:?}");
    let refused = setup.run(&with(&["--recipient", "age1nonsense"])).await.ends_with(2);
    assert!(refused.err.contains("no recipient"), "{}", refused.err);
    setup.run(&["backup", &one, "--recipient", RECIPIENT]).await.ends_with(2);
    let schedule = ["backup", "schedule", setup.path().to_str().unwrap(), "--include-keys"];
    let refused = setup.run(&schedule).await.ends_with(2);
    assert!(refused.err.contains("knows no password") && refused.err.contains("--recipient age1"));
    assert!(!files(setup.path()).iter().any(|file| file.to_string_lossy().contains(".backup")));

    // With the password, it is restorable by itself: status 0.
    let taken = setup.run(&[&keys[..], &["--password-file", &password]].concat()).await.ends_with(0);
    assert!(taken.err.contains("the keys are inside") && !taken.err.contains("not restorable"), "{taken:?}");
    let second = setup.path().join("second");
    let verify = ["backup", "verify", &one];
    let verified = run(&second, &verify).await.ends_with(0);
    let inside = format!("key file inside, not opened here: the service account `{ACCOUNT}`");
    assert!(verified.out.contains(&inside), "{inside}: {verified:?}");
    let opens = |password| [&verify[..], &["--account", ACCOUNT, "--password-file", password]].concat();
    let opened = run(&second, &opens(&password)).await.ends_with(0);
    assert!(opened.out.contains("key file inside, opened: "), "{opened:?}");
    let refused = run(&second, &opens(&wrong)).await.ends_with(4);
    assert!(refused.err.contains("the password is wrong: the password does not open"), "{refused:?}");
    assert!(refused.err.contains("hint: type it again"), "{refused:?}");
    let rehearse = ["restore", "rehearse", &one, "--account", ACCOUNT, "--password-file", &wrong];
    let refused = run(&second, &rehearse).await.ends_with(4);
    assert!(refused.err.contains("the password is wrong: the password does not open"), "{refused:?}");
    assert!(!second.exists(), "nothing is left behind");
    std::fs::write(&second, "a file").unwrap();
    let refused = run(&second, &["restore", &one]).await.ends_with(2);
    assert!(
        refused.err.contains("is a file, and no folder") && refused.err.contains("--home"),
        "{refused:?}"
    );
    std::fs::remove_file(&second).unwrap();
    let kinds: Vec<u64> = setup
        .run(&["events", "--format", "json"])
        .await
        .json()
        .as_array()
        .unwrap()
        .iter()
        .filter(|event| event["subject"] == one)
        .filter_map(|event| event["number"].as_u64())
        .collect();
    assert_eq!(kinds, [7060, 7050]);
    // And it proves itself, with the password alone.
    let rehearse = ["restore", "rehearse", &one, "--account", ACCOUNT, "--password-file", &password];
    let proven = setup.run(&rehearse).await.ends_with(0);
    assert!(proven.out.contains("proven: nothing would be written"), "{proven:?}");
    // Root names no folder into which the service may not write.
    if onesync_service::account::is_root() {
        let folder = setup.path().join("backups");
        std::fs::create_dir(&folder).unwrap();
        let closed = std::os::unix::fs::PermissionsExt::from_mode(0o700);
        std::fs::set_permissions(setup.path(), closed).unwrap();
        for on_the_way in [setup.path(), &folder] {
            let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
            let schedule = ["backup", "schedule", folder.to_str().unwrap()];
            let refused = setup.run(&schedule).await.ends_with(4);
            let closed = format!("{} is closed to it", on_the_way.canonicalize().unwrap().display());
            assert!(refused.err.contains("`nobody`") && refused.err.contains(&closed), "{refused:?}");
            std::fs::set_permissions(on_the_way, mode).unwrap();
        }
        let (user, group) = crate::keys::user("nobody");
        std::os::unix::fs::chown(&folder, Some(user), Some(group)).unwrap();
        setup.run(&["backup", "schedule", folder.to_str().unwrap()]).await.ends_with(0);
    }
    // To recipients, it needs no password here.
    let two = place("two.backup");
    setup.run(&["backup", &two, "--include-keys", "--recipient", RECIPIENT]).await.ends_with(0);
    assert!(run(&second, &["backup", "verify", &two]).await.ends_with(0).out.contains(RECIPIENT));
    let plain = place("plain.backup");
    setup.run(&["backup", &plain]).await.ends_with(4);
    for name in [&one, &two] {
        let bytes = std::fs::read(name).unwrap();
        assert!(
            ![CLOUD_SECRET, PASSWORD]
                .iter()
                .any(|secret| { bytes.windows(secret.len()).any(|window| window == secret.as_bytes()) })
        );
    }

    // The server is lost. The new one says where its keys are, and the backup is the key file.
    let restored = run(&second, &["restore", &one]).await.ends_with(0);
    let schedule =
        run(&second, &["backup", "schedule", setup.path().to_str().unwrap()]).await.ends_with(0).out;
    assert!(schedule.contains("no backup is taken here until `onesync activate"), "{schedule}");
    assert!(!schedule.contains("next: "), "{schedule}");
    assert!(restored.out.contains(&format!("`onesync activate {one} ACCOUNT PASSWORD`")), "{restored:?}");
    let keys = run(&second, &["keys", "status"]).await.ends_with(4);
    assert!(keys.out.contains(&format!("onesync activate {one} ACCOUNT PASSWORD")), "{keys:?}");
    let status = run(&second, &["status"]).await.ends_with(4);
    assert!(status.out.contains("inside of the backup that it was restored from"), "{status:?}");
    assert!(status.out.contains(&format!("onesync activate {one} ACCOUNT PASSWORD")), "{status:?}");
    let before = rows(&second).await;
    let cut = place("cut.backup");
    let bytes = std::fs::read(&one).unwrap();
    std::fs::write(&cut, &bytes[..bytes.len() / 2]).unwrap();
    let folder = setup.path().to_str().unwrap();
    let activate = |file, password| ["activate", file, ACCOUNT, "--password-file", password, "--yes"];
    for (line, status, words) in [
        (activate(&plain, &password), 4, "the key file is wrong: "),
        (activate(&plain, &password), 4, "is a backup without its keys"),
        (activate(&cut, &password), 4, "the key file is wrong: "),
        (activate(&one, &wrong), 4, "the password is wrong"),
        (activate(&two, &password), 4, "does not open with a password"),
        (activate(folder, &password), 2, "it is a folder"),
        (activate("/nowhere/keys.age", &password), 2, "cannot be read: No such file"),
    ] {
        let refused = run(&second, &line).await.ends_with(status);
        assert!(refused.err.contains(words), "{words}: {refused:?}");
    }
    // Its key-encryption key may come from elsewhere; where that is not there, nothing has happened yet.
    let elsewhere = place("kek-of-the-second");
    let source = format!("file:{elsewhere}");
    let line = activate(&one, &password);
    let refused = run(&second, &[&line[..], &["--kek", "credential:none"]].concat()).await.ends_with(4);
    assert!(refused.err.contains("LoadCredentialEncrypted=none"), "{refused:?}");
    run(&second, &[&line[..], &["--kek", "usb"]].concat()).await.ends_with(2);
    assert!(!second.join("keyset.toml").exists() && !second.join("activation.unfinished").exists());
    assert_eq!(rows(&second).await, before, "nothing was changed");
    let done = run(&second, &[&line[..], &["--kek", &source]].concat()).await.ends_with(0);
    assert!(done.out.contains("service activated and running"), "{done:?}");
    assert!(Path::new(&elsewhere).exists() && !second.join("kek").exists());
    let keys = run(&second, &["keys", "status"]).await.ends_with(0);
    assert!(keys.out.contains(&elsewhere), "{keys:?}");
    let refused = run(&second, &[&line[..], &["--again", "--kek", "file"]].concat()).await.ends_with(2);
    assert!(refused.err.contains("keys seal --kek"), "{refused:?}");
    let mark = sim.log_mark();
    run(&second, &["cycle"]).await.ends_with(0);
    assert_eq!(sim.changes(mark).len(), 0, "what was exported is not exported again");

    // The other one is opened by whoever has the identity.
    let third = setup.path().join("third");
    run(&third, &["restore", &two]).await.ends_with(0);
    let status = run(&third, &["status"]).await.ends_with(4);
    assert!(status.out.contains(&format!("onesync activate {two} --identity FILE")), "{status:?}");
    let identity = file("identity", IDENTITY);
    run(&third, &["activate", &two, "--identity", &identity, "--yes"]).await.ends_with(0);
    run(&third, &["keys", "status"]).await.ends_with(0);
}
