//! A program that is newer than the database: nothing goes on before `upgrade`, what it does is shown before, and there
//! is a way back.

use std::path::Path;

use onesync_graphsim::GraphSim;
use rusqlite::Connection;
use tokio::io::{AsyncBufReadExt as _, BufReader};

use crate::kill::ldif::small;
use crate::program::{Setup, leave_staging, onesync, run};

/// The schema that the database is given: the one before settings.
const OLDER: u32 = 6;

/// How often an upgrade is killed until one has not ended before.
const TRIES: usize = 20;

/// Makes the database what the program of an older schema would have left.
fn make_older(home: &Path) {
    let database = Connection::open(home.join("onesync.db")).unwrap();
    let mut views = database.prepare("SELECT name FROM sqlite_master WHERE type = 'view'").unwrap();
    let views: Vec<String> = views.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    let views: String = views.iter().map(|name| format!("DROP VIEW {name};")).collect();
    database.execute_batch(&views).unwrap();
    let later = "DROP TABLE server; DROP TABLE setting; ALTER TABLE mv_object DROP COLUMN display_name;
        ALTER TABLE mv_object DROP COLUMN principal_name; ALTER TABLE event DROP COLUMN chain";
    database.execute_batch(later).unwrap();
    for later in ["server.toml", "witness.toml"] {
        std::fs::remove_file(home.join(later)).unwrap();
    }
    database.execute("DELETE FROM schema_migration WHERE version > ?1", [OLDER]).unwrap();
}

/// Copies a home with its modes.
fn copied(from: &Path, to: &Path) {
    let copied = std::process::Command::new("cp").arg("-a").args([from, to]).status();
    assert!(copied.unwrap().success());
}

fn changed_by_hand(home: &Path, statement: &str) -> usize {
    Connection::open(home.join("onesync.db")).unwrap().execute(statement, []).unwrap()
}

/// An installation that is quiet and writes, with an older database.
async fn older(sim: &GraphSim) -> Setup {
    let setup = small(sim).await;
    setup.run(&["cycle"]).await.ends_with(0);
    leave_staging(&setup.home()).await;
    setup.run(&["cycle"]).await.ends_with(0);
    make_older(&setup.home());
    setup
}

fn files(home: &Path) -> Vec<String> {
    let files = std::fs::read_dir(home).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap());
    let mut files: Vec<String> =
        files.filter(|name| !name.ends_with("-shm") && !name.ends_with("-wal")).collect();
    files.sort();
    files
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_database_waits_for_its_upgrade_and_goes_on_after_it() {
    let sim = GraphSim::builder().seed(31).judged().await.unwrap();
    let setup = older(&sim).await;
    let home = setup.home();
    for command in
        [&["cycle"][..], &["status"], &["config", "apply", setup.configuration().to_str().unwrap()]]
    {
        let refused = setup.run(command).await.ends_with(4);
        assert!(refused.err.contains("has schema version 6, this program works with version"), "{refused:?}");
        assert!(refused.err.contains("hint: `onesync upgrade check`"), "{refused:?}");
    }

    let before = files(&home);
    let check = setup.run(&["upgrade", "check", "--format", "json"]).await.ends_with(0).json();
    assert_eq!((check["schema"].as_u64(), check["plan"]["items"].as_u64()), (Some(6), Some(0)), "{check}");
    assert_eq!(check["migrations"][0], "settings", "{check}");
    assert!(check["seconds"].as_f64().is_some_and(|seconds| seconds > 0.0), "{check}");
    let told = setup.run(&["upgrade", "check"]).await.ends_with(0).out;
    assert!(told.contains("settings") && told.contains("no export comes of it"), "{told}");
    assert_eq!(files(&home), before, "nothing is left behind");
    setup.run(&["status"]).await.ends_with(4);

    let nowhere = setup.path().join("nowhere");
    for line in [&["upgrade", "check"][..], &["upgrade"]] {
        let refused = run(&nowhere, line).await.ends_with(2);
        assert!(refused.err.contains("holds no installation"), "{refused:?}");
    }
    std::fs::write(home.join("backups"), "a file").unwrap();
    let refused = setup.run(&["upgrade"]).await.ends_with(2);
    assert!(
        refused.err.contains("backups is a file") && refused.err.contains("hint: move it away"),
        "{refused:?}"
    );
    std::fs::remove_file(home.join("backups")).unwrap();

    let done = setup.run(&["upgrade", "--format", "json"]).await.ends_with(0).json();
    assert_eq!((done["from"].as_u64(), &done["staged"]), (Some(6), &serde_json::json!([])), "{done}");
    let backup = done["backup"]["folder"].as_str().unwrap().to_owned();
    let mark = sim.log_mark();
    let cycle = setup.run(&["cycle", "--format", "json"]).await.ends_with(0).json();
    let exported = &cycle["exported"];
    assert_eq!((exported["add"].as_u64(), exported["update"].as_u64()), (Some(0), Some(0)), "{cycle}");
    assert_eq!(sim.changes(mark).len(), 0);
    let again = setup.run(&["upgrade"]).await.ends_with(0).out;
    assert!(again.contains("which is this program's") && !again.contains("backup"), "{again}");

    // The way back: the older program's database, with exports off.
    let back = setup.run(&["upgrade", "back", &backup]).await.ends_with(0).out;
    assert!(back.contains("with schema 6") && back.contains("exports are off"), "{back}");
    setup.run(&["status"]).await.ends_with(4);
    assert!(files(&home).iter().any(|name| name.starts_with("onesync.db.until-")), "{:?}", files(&home));
    setup.run(&["upgrade"]).await.ends_with(0);
    let cycle = setup.run(&["cycle", "--format", "json"]).await.ends_with(0).json();
    let status = setup.run(&["status"]).await.ends_with(0).out;
    assert!(status.contains("staging"), "{status}\n{cycle}");
    leave_staging(&home).await;
    setup.run(&["cycle"]).await.ends_with(0);
    assert_eq!(sim.changes(mark).len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_program_decides_differently_is_not_exported_unseen() {
    let sim = GraphSim::builder().seed(32).judged().await.unwrap();
    let setup = older(&sim).await;
    let home = setup.home();
    // As if the program before had owed an account of the cloud something else: it has another one's values.
    let swapped = changed_by_hand(
        &home,
        "UPDATE cs_object AS one SET image = (SELECT other.image FROM cs_object AS other
           WHERE other.connector = one.connector AND other.object_type = one.object_type AND other.id > one.id LIMIT 1)
         WHERE id = (SELECT min(o.id) FROM cs_object AS o JOIN cs_joined AS j ON j.id = o.id
           JOIN connector AS c ON c.id = o.connector WHERE c.name = 'entra')",
    );
    assert_eq!(swapped, 1);
    let told = setup.run(&["upgrade", "check"]).await.ends_with(0).out;
    assert!(told.contains("a full sync with this program is needed"), "{told}");
    let done = setup.run(&["upgrade"]).await.ends_with(4).out;
    assert!(done.contains("entra: exports are off"), "{done}");
    let mark = sim.log_mark();
    setup.run(&["cycle"]).await;
    assert_eq!(sim.changes(mark).len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upgrade_that_is_killed_before_it_has_compared_is_ended_first() {
    let sim = GraphSim::builder().seed(34).judged().await.unwrap();
    let setup = older(&sim).await;
    let home = setup.home();
    let before = setup.path().join("before");
    copied(&home, &before);
    // Comparing takes as long as the machine likes: one that has ended before it was killed is no such story.
    for _ in 0..TRIES {
        let mut upgrade = onesync(&home, &["upgrade"]).spawn().unwrap();
        let mut told = BufReader::new(upgrade.stderr.take().unwrap()).lines();
        while told.next_line().await.unwrap().expect("it compares") != "comparing" {}
        upgrade.kill().await.unwrap();
        if setup.run(&["status"]).await.code == Some(4) {
            break;
        }
        std::fs::remove_dir_all(&home).unwrap();
        copied(&before, &home);
    }
    for command in [&["cycle"][..], &["status"], &["scheduler", "status"]] {
        let refused = setup.run(command).await.ends_with(4);
        assert!(
            refused.err.contains("an upgrade has changed the database, and was cut short"),
            "{refused:?}"
        );
    }
    let done = setup.run(&["upgrade"]).await.ends_with(0).out;
    assert!(done.contains("no export comes of it"), "{done}");
    assert!(done.contains("backup, read through: ") && done.contains("upgrade-schema"), "{done}");
    setup.run(&["cycle"]).await.ends_with(0);
    let status = setup.run(&["db", "status", "--format", "json"]).await.ends_with(0).json();
    assert!(status["backup"].is_string(), "{status}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_that_is_damaged_or_none_is_not_put_back() {
    let sim = GraphSim::builder().seed(33).judged().await.unwrap();
    let setup = older(&sim).await;
    let home = setup.home();
    let done = setup.run(&["upgrade", "--format", "json"]).await.ends_with(0).json();
    let backup = Path::new(done["backup"]["folder"].as_str().unwrap()).to_owned();
    let database = backup.join("onesync.db");
    let mut bytes = std::fs::read(&database).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&database, &bytes).unwrap();
    let refused = setup.run(&["upgrade", "back", backup.to_str().unwrap()]).await.ends_with(2);
    assert!(refused.err.contains("`onesync.db` is not what was written into it"), "{refused:?}");
    std::fs::remove_file(backup.join("manifest.json")).unwrap();
    let refused = setup.run(&["upgrade", "back", backup.to_str().unwrap()]).await;
    assert!(refused.code != Some(0) && refused.err.contains("manifest.json"), "{refused:?}");
    let nowhere = run(&setup.path().join("none"), &["upgrade", "back", backup.to_str().unwrap()]).await;
    assert!(nowhere.ends_with(2).err.contains("holds no installation"));
    setup.run(&["cycle"]).await.ends_with(0);
    assert!(run(&home, &["upgrade", "--own-backup", "check"]).await.code == Some(2));
}
