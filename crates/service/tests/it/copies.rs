//! A copied machine, an old snapshot, a database that was put back: found out, said, and nothing is written.

use std::path::{Path, PathBuf};

use onesync_service::{CycleKind, DatabaseServer, Home, Service, Standing, Status, Step};
use onesync_store::SqliteStore;

use crate::world::{World, person};

/// The files of a home but its database.
const FILES: [&str; 5] = ["keyset.toml", "kek", "server.toml", "markers.toml", "witness.toml"];

/// What the disk of a home holds, in a folder beside it.
fn image(world: &World, name: &str) -> PathBuf {
    let (home, folder) = (world.service.home(), world.beside(name));
    std::fs::create_dir(&folder).unwrap();
    for file in FILES.into_iter().filter(|file| home.folder().join(file).exists()) {
        std::fs::copy(home.folder().join(file), folder.join(file)).unwrap();
    }
    SqliteStore::copy_as_it_is(&home.database(), &Home::new(&folder).database()).unwrap();
    folder
}

async fn booted(world: &World, folder: &Path) -> Service {
    Service::open(Home::new(folder), world.clock.clone(), 1).await.unwrap()
}

async fn live() -> World {
    let mut world = World::embedded((1..=3).map(|n| person(n, &format!("Person {n}"))).collect()).await;
    world.go_live().await;
    world
}

/// Something is owed to the cloud.
fn change(world: &mut World, department: &str) {
    world.people[1].department = department.to_owned();
    world.write();
    world.clock.advance_seconds(1_800);
}

/// Runs a cycle that is refused at the target, and says so.
async fn refused(world: &World, service: &Service) {
    let mark = world.sim.log_mark();
    let report = service.cycle(CycleKind::Delta, &|_| ()).await.unwrap();
    let said = &report.failures[0];
    assert!(said.message.contains("another copy of this server") && said.step == Step::Export, "{said:?}");
    let hint = said.hint.as_ref().unwrap();
    assert!(
        hint.contains("brought back from a backup")
            && hint.contains("`onesync activate KEYFILE ACCOUNT PASSWORD --again`"),
        "{hint}"
    );
    assert_eq!(report.exit_status(), Status::Held);
    let log = world.sim.log(mark);
    let writes = log.iter().filter(|entry| entry.method != "GET" && !entry.path.ends_with("/token"));
    assert_eq!(writes.count(), 0, "not even a marker");
    assert!(has(service, "server-copied"));
}

fn has(service: &Service, event: &str) -> bool {
    service.events(100).unwrap().iter().any(|row| row.kind == event)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_from_before_the_last_export_writes_nothing() {
    let mut world = live().await;
    let folder = image(&world, "copy");
    change(&mut world, "Purchasing");
    assert_eq!(world.cycle(CycleKind::Delta).await.exported.update, 1);
    let copy = booted(&world, &folder).await;
    assert!(matches!(copy.standing(), Standing::Active { epoch: 1, .. }), "nothing in its database tells");
    change(&mut world, "Sales again");
    refused(&world, &copy).await;
    assert_eq!(world.cycle(CycleKind::Delta).await.exported.update, 1, "the one goes on");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_that_know_the_same_the_first_has_the_marker_and_a_person_decides_otherwise() {
    let mut world = live().await;
    let folder = image(&world, "copy");
    let copy = booted(&world, &folder).await;
    change(&mut world, "Purchasing");
    assert_eq!(copy.cycle(CycleKind::Delta, &|_| ()).await.unwrap().exported.update, 1);
    change(&mut world, "Sales again");
    refused(&world, &world.service).await;
    // As `activate --again` does it.
    assert_eq!(world.service.take_over(None).unwrap(), 2);
    world.service = world.reopen().await;
    let runtime = world.service.runtime().unwrap();
    world.service.take_marker(runtime.connector("entra").unwrap()).await.unwrap();
    assert_eq!(world.cycle(CycleKind::Initial).await.exported.update, 1);
    change(&mut world, "Elsewhere");
    let report = copy.cycle(CycleKind::Delta, &|_| ()).await.unwrap();
    assert!(report.failures[0].message.contains("(epoch 2), this is"), "{:?}", report.failures);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_that_was_put_back_to_a_snapshot_writes_nothing() {
    let mut world = live().await;
    let folder = image(&world, "snapshot");
    change(&mut world, "Purchasing");
    world.cycle(CycleKind::Delta).await;
    let home = world.service.home().clone();
    for file in FILES.into_iter().filter(|file| folder.join(file).exists()) {
        std::fs::copy(folder.join(file), home.folder().join(file)).unwrap();
    }
    SqliteStore::replace(&home.database(), &Home::new(&folder).database()).unwrap();
    world.service = world.reopen().await;
    change(&mut world, "Sales again");
    refused(&world, &world.service).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_was_put_back_in_the_same_epoch_is_missed_until_a_person_goes_on_with_it() {
    let mut world = live().await;
    let before = image(&world, "before");
    change(&mut world, "Purchasing");
    world.cycle(CycleKind::Delta).await;
    let home = world.service.home().clone();
    SqliteStore::replace(&home.database(), &Home::new(&before).database()).unwrap();
    // Whoever has it open finds out with the next step, and whoever opens it at once.
    change(&mut world, "Sales again");
    let mark = world.sim.log_mark();
    let refused = world.service.cycle(CycleKind::Delta, &|_| ()).await.unwrap_err();
    assert!(
        refused.status() == Status::Held && refused.to_string().contains("was brought back from before"),
        "{refused}"
    );
    world.service = world.reopen().await;
    assert!(matches!(world.service.standing(), Standing::Behind { .. }), "{:?}", world.service.standing());
    let refused = world.service.run_step("entra", Step::Export, &|_| ()).await.unwrap_err();
    assert!(refused.hint().unwrap().contains("onesync activate"), "{refused}");
    assert!(world.service.set_scheduler(true).is_err(), "nothing at all is written");
    assert!(world.sim.writes(mark).is_empty());
    assert!(
        world.service.status().unwrap().alarms.iter().any(|alarm| alarm.contains("brought back from before"))
    );
    assert_eq!(world.service.take_over(None).unwrap(), 2);
    world.service = world.reopen().await;
    assert_eq!(world.cycle(CycleKind::Initial).await.exported.update, 1);
    world.service = world.reopen().await;
    assert!(matches!(world.service.standing(), Standing::Active { epoch: 2, .. }));
}

/// What is no such case: a process that was killed, an older witness, none at all, a database without runs and events.
#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_nobody_put_back_is_not_missed() {
    let mut world = live().await;
    let file = world.service.home().folder().join("witness.toml");
    let old = std::fs::read(&file).unwrap();
    change(&mut world, "Purchasing");
    world.cycle(CycleKind::Delta).await;
    // Killed between the database and the home.
    std::fs::write(&file, old).unwrap();
    world.service = world.reopen().await;
    world.cycle(CycleKind::Delta).await;
    std::fs::remove_file(&file).unwrap();
    world.clock.advance_seconds(400 * 86_400);
    world.service.maintain(&|_| ()).unwrap();
    assert!(world.service.run_list(9).unwrap().is_empty(), "all runs are gone");
    world.service = world.reopen().await;
    world.cycle(CycleKind::Delta).await;
    world.service = world.reopen().await;
    assert!(matches!(world.service.standing(), Standing::Active { epoch: 1, .. }));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_marker_that_was_removed_is_taken_anew_and_that_is_an_event() {
    let mut world = live().await;
    assert!(!has(&world.service, "marker-gone"), "the first time is none");
    let marker = |world: &World| {
        let groups = world.cloud_dump("groups");
        let found = groups.into_iter().find(|group| group["displayName"] == "OneSync marker").unwrap();
        (found["description"].clone(), found["mailNickname"].clone())
    };
    // Its group is left, with nothing in it that can be read.
    let before = marker(&world);
    let snapshot = world.sim.snapshot().unwrap().to_string();
    let emptied = snapshot.replace("do not change or delete. {", "do not change or delete. (");
    assert_ne!(emptied, snapshot);
    world.sim.restore(serde_json::from_str(&emptied).unwrap()).unwrap();
    change(&mut world, "Purchasing");
    assert_eq!(world.cycle(CycleKind::Delta).await.exported.update, 1);
    let after = marker(&world);
    assert!(after.0 != before.0 && after.1 != before.1 && has(&world.service, "marker-gone"), "{after:?}");
    change(&mut world, "Sales again");
    assert_eq!(world.cycle(CycleKind::Delta).await.exported.update, 1);
    let later = marker(&world);
    assert!(later.0 == after.0 && later.1 != after.1, "{later:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_that_is_restored_into_the_same_home_is_a_copy_and_not_behind() {
    let mut world = live().await;
    let folder = image(&world, "same");
    let (home, place) = (Home::new(&folder), world.beside("backups"));
    std::fs::create_dir(&place).unwrap();
    let service = booted(&world, &folder).await;
    let backup = tokio::task::block_in_place(|| service.backup(&place, None, &|_, _| Ok(()))).unwrap();
    change(&mut world, "Purchasing");
    assert_eq!(service.cycle(CycleKind::Delta, &|_| ()).await.unwrap().exported.update, 1);
    drop(service);
    for suffix in ["", "-wal", "-shm"] {
        let file = format!("{}{suffix}", home.database().display());
        let _ = std::fs::remove_file(file); // the log goes by itself
    }
    let to = DatabaseServer::new("embedded", None);
    let all = || onesync_service::backup::restore(&home, &*world.clock, &backup.file, &to, &|_| Ok(()));
    tokio::task::block_in_place(all).unwrap();
    let service = booted(&world, &folder).await;
    assert!(matches!(service.standing(), Standing::Active { epoch: 1, .. }), "{:?}", service.standing());
    let refused = service.run_step("entra", Step::Export, &|_| ()).await.unwrap_err();
    assert!(refused.status() == Status::Held && refused.to_string().contains("copy"), "{refused}");
    assert!(!folder.join("markers.toml").exists() && !folder.join("witness.toml").exists());
}
