//! `db move`: the installation goes from one database to another, is cut off at any place, and goes on.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use onesync_service::{
    CycleKind, DatabaseServer, Home, ManualClock, MoveReport, Moving, Service, ServiceError, move_database,
};
use onesync_store::{
    MOVE_MARK, MoveMark, PostgresOptions, PostgresStore, SqliteStore, Store as _, StoreError,
};

use crate::database::Database;
use crate::world::{World, person};

fn embedded() -> DatabaseServer {
    DatabaseServer::new("embedded", None)
}

fn go(world: &World, to: &DatabaseServer) -> Result<MoveReport, ServiceError> {
    move_database(world.service.home(), &*world.clock, to, &|_| (), &|| None)
}

fn open(database: &Database) -> Result<PostgresStore, StoreError> {
    let server = database.server();
    PostgresStore::open(&PostgresOptions::parse(&server.url)?.password(&server.password.unwrap()))
}

/// What a sync can tell apart, and what is kept for people; without what a move writes itself.
fn rows(world: &World) -> Vec<String> {
    let dump = world.service.dump().unwrap();
    let own = |line: &&str| ["installation", "event", "setting"].iter().any(|table| line.starts_with(table));
    dump.lines().filter(|line| !own(line)).map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_installation_moves_during_a_cycle_and_the_next_one_is_quiet() {
    let database = Database::new("moving").await;
    let mut world = World::embedded((1..=40).map(|n| person(n, &format!("Person {n}"))).collect()).await;
    world.go_live().await;
    world.person(3).department = "Purchasing".into();
    world.people.push(person(41, "Newcomer"));
    world.write();
    let (home, clock, server) = (world.service.home().clone(), world.clock.clone(), database.server());
    let mover =
        tokio::task::spawn_blocking(move || move_database(&home, &*clock, &server, &|_| (), &|| None));
    // Begins before, meanwhile or after: as it comes. Afterwards it is refused with words.
    match world.service.cycle(CycleKind::Delta, &|_| ()).await {
        Ok(_) => {}
        Err(error) => {
            let text = error.to_string();
            assert!(text.contains("moved") || text.contains("(db move)"), "{error}");
        }
    }
    let report = mover.await.unwrap().unwrap();
    assert_eq!(report.not_marked, None);
    assert!(report.to.starts_with("postgres://") && report.rows > 500, "{report:?}");
    let left = rows(&world);
    // The one that was open is refused; the home opens the other one.
    let refused = world.service.cycle(CycleKind::Delta, &|_| ()).await.unwrap_err();
    assert!(refused.to_string().contains("was moved meanwhile"), "{refused}");
    let refused = world.service.set_scheduler(false).unwrap_err();
    assert!(refused.to_string().contains("was moved to postgres://"), "{refused}");
    world.service = world.reopen().await;
    assert_eq!(rows(&world), left);
    world.cycle(CycleKind::Delta).await;
    let (_, writes) = world.step().await;
    assert_eq!(writes, Vec::<String>::new(), "a quiet cycle");
    assert_eq!(world.errors(), []);
    // The old one is kept, and not written any more.
    let file = world.service.home().database();
    let refused = SqliteStore::open(&file).err().unwrap();
    assert!(matches!(refused, StoreError::Moved { .. }), "{refused}");
    let refused = go(&world, &embedded()).unwrap_err();
    assert!(refused.to_string().contains("left at"), "{refused}");
    let refused = go(&world, &database.server()).unwrap_err();
    assert!(refused.to_string().contains("there already"), "{refused}");
    // Taken away, there is room for the way back.
    for end in ["", "-wal", "-shm"] {
        let _ = std::fs::remove_file(format!("{}{end}", file.display()));
    }
    go(&world, &embedded()).unwrap();
    assert!(!world.service.home().folder().join("database.password").exists(), "nothing needs it any more");
    world.service = world.reopen().await;
    world.person(5).department = "Warehouse".into();
    let (report, _) = world.step().await;
    assert_eq!(report.exported.update, 1);
    let refused = go(&world, &database.server()).unwrap_err();
    assert!(refused.to_string().contains("left at"), "{refused}");
}

/// Cut off at many places as by kill -9, and asked to end at others: the old one works each time, and at the end the move
/// succeeds.
#[tokio::test(flavor = "multi_thread")]
async fn a_move_that_was_cut_off_leaves_the_old_one_working() {
    let database = Database::new("cut").await;
    let mut world = World::embedded((1..=5).map(|n| person(n, &format!("Person {n}"))).collect()).await;
    world.go_live().await;
    let mut places = 0;
    for kill in [true, false] {
        for place in [0, 1, 20, 31, 32, 33, 50, 63, 64] {
            let seen = AtomicUsize::new(0);
            let here = || seen.fetch_add(1, Ordering::Relaxed) == place;
            let tell = |_: Moving| {
                if kill && here() {
                    panic!("killed")
                }
            };
            let stop = || (!kill && here()).then(|| "asked to".to_owned());
            let (home, clock) = (world.service.home().clone(), world.clock.clone());
            let server = database.server();
            let ended =
                catch_unwind(AssertUnwindSafe(|| move_database(&home, &*clock, &server, &tell, &stop)));
            if let Ok(ended) = ended {
                let Err(error) = ended else { break };
                assert!(error.to_string().contains("asked to"), "{error}");
            }
            places += 1;
            // Whoever had it open goes on, or is told to do it again; anew it works in any case.
            world.service = world.reopen().await;
            world.person(2).department = format!("Department {place} {kill}");
            let (report, _) = world.step().await;
            assert_eq!((report.exported.update, world.errors()), (1, vec![]), "place {place}");
            if kill {
                let half = open(&database).err().map(|error| error.to_string()).unwrap_or_default();
                assert!(half.contains("was not finished"), "{half}");
            }
        }
    }
    assert!(places > 10, "{places}");
    go(&world, &database.server()).unwrap();
    world.service = world.reopen().await;
    let (_, writes) = world.step().await;
    assert_eq!(writes, Vec::<String>::new());
}

/// Killed between the switch and the mark: whoever opens the home next marks the one that was left.
#[tokio::test(flavor = "multi_thread")]
async fn the_database_that_was_left_is_marked_by_whoever_comes_next() {
    let database = Database::new("left").await;
    let world = World::embedded(vec![person(1, "Person 1")]).await;
    go(&world, &database.server()).unwrap();
    let home = world.service.home();
    let store = SqliteStore::open_any(&home.database()).unwrap();
    let installation = store.reader().unwrap().installation().unwrap().unwrap();
    let mark = MoveMark::Leaving { epoch: installation.epoch, to: "there".into() };
    store.bulk().unwrap().set(MOVE_MARK, &mark.text()).unwrap();
    let server = database.server();
    let options = PostgresOptions::parse(&server.url).unwrap().password(&server.password.unwrap());
    let new = PostgresStore::open_any(&options).unwrap();
    assert!(matches!(MoveMark::of(&new).unwrap(), Some(MoveMark::Arrived { .. })));
    let filling = MoveMark::Filling { installation: installation.id.clone() };
    new.bulk().unwrap().set(MOVE_MARK, &filling.text()).unwrap();
    let left = home.folder().join("database.left.toml");
    std::fs::write(&left, format!("url = \"embedded\"\ninstallation = \"{}\"\n", installation.id)).unwrap();
    world.reopen().await;
    assert!(!left.exists());
    assert!(matches!(MoveMark::of(&new).unwrap(), Some(MoveMark::Arrived { .. })));
    assert!(matches!(MoveMark::of(&store).unwrap(), Some(MoveMark::Moved { .. })));
    assert_eq!(store.reader().unwrap().installation().unwrap().unwrap().epoch, installation.epoch + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_with_another_installation_is_left_as_it_is() {
    let database = Database::new("taken").await;
    let folder = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::new(onesync_model::Time::from_seconds(1_800_000_000)));
    let other = Home::new(folder.path().join("other"));
    other.create_on(Some(&database.server()), &*clock).unwrap();
    let world = World::embedded(vec![person(1, "Person 1")]).await;
    let refused = go(&world, &database.server()).unwrap_err();
    assert!(refused.to_string().contains("holds installation"), "{refused}");
    // The embedded place of a home on a server, where something else lies.
    std::fs::copy(world.service.home().database(), other.database()).unwrap();
    let refused = move_database(&other, &*clock, &embedded(), &|_| (), &|| None).unwrap_err();
    assert!(refused.to_string().contains("holds installation"), "{refused}");
    Service::open(other, clock, 1).await.unwrap();
}

/// A move that came to its end is not one that was cut off: an older copy of the home clears nothing.
#[tokio::test(flavor = "multi_thread")]
async fn an_older_copy_of_the_home_does_not_write_over_the_database() {
    let database = Database::new("older").await;
    let mut world = World::embedded(vec![person(1, "Person 1")]).await;
    let folder = tempfile::tempdir().unwrap();
    let older = Home::new(folder.path().join("older"));
    std::fs::create_dir(older.folder()).unwrap();
    onesync_vault::KeySet::copy(&world.service.home().key_set(), &older.key_set()).unwrap();
    let file = "server.toml";
    std::fs::copy(world.service.home().folder().join(file), older.folder().join(file)).unwrap();
    SqliteStore::copy_as_it_is(&world.service.home().database(), &older.database()).unwrap();
    go(&world, &database.server()).unwrap();
    world.service = world.reopen().await;
    world.go_live().await;
    let before = world.service.dump().unwrap();
    let refused = move_database(&older, &*world.clock, &database.server(), &|_| (), &|| None).unwrap_err();
    assert!(refused.to_string().contains("holds this very installation"), "{refused}");
    assert_eq!(world.service.dump().unwrap(), before);
}

/// Only an upgrade changes a schema: neither a move nor a new installation does so in a database of an older program.
#[tokio::test(flavor = "multi_thread")]
async fn a_database_of_an_older_program_is_left_as_it_is() {
    let database = Database::new("elder").await;
    let folder = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::new(onesync_model::Time::from_seconds(1_800_000_000)));
    Home::new(folder.path().join("other")).create_on(Some(&database.server()), &*clock).unwrap();
    let last = "(SELECT max(version) FROM onesync_migration)";
    database.execute(&format!("DELETE FROM onesync_migration WHERE version = {last}")).await;
    let server = database.server();
    let options = PostgresOptions::parse(&server.url).unwrap().password(&server.password.unwrap());
    let found = PostgresStore::schema(&options).unwrap();
    assert!(found.is_older());
    let world = World::embedded(vec![person(1, "Person 1")]).await;
    let refused = go(&world, &database.server()).unwrap_err();
    assert!(refused.to_string().contains("of an older program"), "{refused}");
    let new = Home::new(folder.path().join("new"));
    let refused = new.create_on(Some(&database.server()), &*clock).unwrap_err();
    assert!(refused.to_string().contains("of an older program"), "{refused}");
    assert_eq!(PostgresStore::schema(&options).unwrap(), found);
}
