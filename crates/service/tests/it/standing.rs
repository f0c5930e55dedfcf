//! Which server a home is: adopted once, taken over whole or not at all, found out when the database says otherwise.

use std::path::Path;
use std::sync::Arc;

use onesync_service::{Home, Service, ServiceError, Standing, Status, Step, SystemClock};
use onesync_store::{SqliteStore, Store as _};

use crate::world::{World, person};

fn made(folder: &Path) -> Home {
    let home = Home::new(folder.join("home"));
    home.create(&SystemClock).unwrap();
    home
}

async fn open(home: &Home) -> Service {
    Service::open(home.clone(), Arc::new(SystemClock), 1).await.unwrap()
}

fn file(home: &Home) -> std::path::PathBuf {
    home.folder().join("server.toml")
}

fn text(home: &Home) -> String {
    std::fs::read_to_string(file(home)).unwrap()
}

fn is_active(service: &Service, at: u64) -> bool {
    matches!(service.standing(), Standing::Active { epoch, .. } if *epoch == at)
}

/// Another home with the same files but those that are named.
fn copy(home: &Home, folder: &Path, without: &[&str]) -> Home {
    let copy = Home::new(folder);
    std::fs::create_dir(folder).unwrap();
    for file in ["keyset.toml", "kek", "server.toml"].into_iter().filter(|file| !without.contains(file)) {
        std::fs::copy(home.folder().join(file), folder.join(file)).unwrap();
    }
    SqliteStore::copy_as_it_is(&home.database(), &copy.database()).unwrap();
    copy
}

#[tokio::test(flavor = "multi_thread")]
async fn a_home_gets_its_epoch_once_and_a_database_without_the_file_is_no_active_server() {
    let folder = tempfile::tempdir().unwrap();
    let home = made(folder.path());
    let service = open(&home).await;
    assert!(is_active(&service, 1), "{:?}", service.standing());
    let servers = service.servers().unwrap();
    assert!(servers.len() == 1 && servers[0].active && servers[0].here && !servers[0].facts.host.is_empty());
    let first = text(&home);
    assert!(first.contains("epoch = 1\n") && first.contains("standby = \"off\"\n"), "{first}");
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = std::fs::metadata(file(&home)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
    drop(service);
    assert!(is_active(&open(&home).await, 1));
    assert_eq!(text(&home), first);

    let other = copy(&home, &folder.path().join("other"), &["server.toml"]);
    let service = open(&other).await;
    assert!(matches!(service.standing(), Standing::Joined { .. }), "{:?}", service.standing());
    let refused = service.set_scheduler(false).unwrap_err();
    assert!(refused.status() == Status::Held && refused.to_string().contains("not active"), "{refused}");
    let status = service.status().unwrap();
    assert!(status.alarms.iter().any(|alarm| alarm.contains("onesync activate")), "{:?}", status.alarms);
    // It is made the active one of this database, and the home that knows it from before is not.
    assert_eq!(service.take_over(None).unwrap(), 2);
    drop(service);
    let service = open(&other).await;
    assert!(is_active(&service, 2));
    service.set_scheduler(false).unwrap();
    std::fs::copy(file(&home), file(&other)).unwrap();
    let service = open(&other).await;
    let Standing::Replaced { epoch: 1, theirs: 2, by: Some(by), .. } = service.standing() else {
        panic!("{:?}", service.standing())
    };
    assert!(by.active && by.epoch == 2 && by.facts.taken.is_some(), "{by:?}");
    let refused = service.set_scheduler(true).unwrap_err();
    assert!(refused.status() == Status::Held, "{refused}");
    let alarms = service.status().unwrap().alarms;
    assert!(
        alarms.iter().any(|alarm| alarm.contains("was replaced") && alarm.contains("epoch 2")),
        "{alarms:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_takeover_that_was_cut_short_is_whole_or_none() {
    let folder = tempfile::tempdir().unwrap();
    let home = made(folder.path());
    drop(open(&home).await);
    let before = text(&home);
    let installation = before.lines().find(|line| line.starts_with("installation")).unwrap();
    let noted = format!("{before}taking = 2\ntaking-{installation}\n");
    // Killed before the database had it.
    std::fs::write(file(&home), &noted).unwrap();
    assert!(is_active(&open(&home).await, 1));
    // Killed after that.
    assert_eq!(open(&home).await.take_over(None).unwrap(), 2);
    let after = text(&home);
    assert!(after.contains("epoch = 2\n") && !after.contains("taking"), "{after}");
    std::fs::write(file(&home), &noted).unwrap();
    let service = open(&home).await;
    assert!(is_active(&service, 2), "{:?}", service.standing());
    service.set_scheduler(false).unwrap();
    // Another one took it meanwhile: what was noted counts for nothing.
    drop(service);
    let store = SqliteStore::open(&home.database()).unwrap();
    let other = onesync_store::ServerRow { id: "other".into(), facts: "{}".into(), ..Default::default() };
    assert_eq!(store.take_over(2, &other, None).unwrap(), 3);
    std::fs::write(file(&home), noted.replace("taking = 2", "taking = 3")).unwrap();
    let service = open(&home).await;
    assert!(matches!(service.standing(), Standing::Replaced { epoch: 1, theirs: 3, .. }));
    // A restored copy goes on under another id; the home knows it by that.
    assert_eq!(service.take_over(Some("copied")).unwrap(), 4);
    let service = open(&home).await;
    assert!(is_active(&service, 4) && service.status().unwrap().installation == "copied");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_was_brought_back_from_before_is_only_looked_at() {
    let folder = tempfile::tempdir().unwrap();
    let home = made(folder.path());
    drop(open(&home).await);
    let before = copy(&home, &folder.path().join("before"), &[]);
    assert_eq!(open(&home).await.take_over(None).unwrap(), 2);
    SqliteStore::replace(&home.database(), &before.database()).unwrap();
    let service = open(&home).await;
    assert!(matches!(service.standing(), Standing::Behind { .. }), "{:?}", service.standing());
    let refused = service.standing().must_be_active().unwrap_err();
    assert!(
        matches!(refused, ServiceError::Held { .. }) && refused.to_string().contains("brought back"),
        "{refused}"
    );
    assert_eq!(service.set_scheduler(true).unwrap_err().status(), Status::Held);
    // Gone on with on purpose it has an epoch that was never used.
    assert_eq!(service.take_over(None).unwrap(), 3);
    assert!(is_active(&open(&home).await, 3));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_took_over_reads_before_anything_is_exported() {
    let mut world = World::embedded(vec![person(1, "Person 1"), person(2, "Person 2")]).await;
    world.go_live().await;
    assert_eq!(world.service.take_over(None).unwrap(), 2);
    world.service = world.reopen().await;
    let export = async |world: &World| world.service.run_step("entra", Step::Export, &|_| ()).await;
    let refused = export(&world).await.unwrap_err();
    assert!(refused.status() == Status::Held && refused.to_string().contains("not read since"), "{refused}");
    world.service.run_step("entra", Step::DeltaImport, &|_| ()).await.unwrap();
    export(&world).await.unwrap();
}
