//! Upkeep of the database: what is old goes, how it grows is known, and nothing begins without room.

use onesync_service::{Cell, Configuration, CycleKind, ServiceError, Status};

use crate::database::Database;
use crate::world::{World, person};

async fn world() -> World {
    let mut world = World::embedded((1..=5).map(|n| person(n, &format!("Person {n}"))).collect()).await;
    world.go_live().await;
    world
}

async fn apply(world: &World, database: &str) {
    let configuration: Configuration = world.configuration_with(&format!("[database]\n{database}\n"), "");
    world.service.apply(configuration, "test").await.unwrap();
}

fn count(world: &World, view: &str) -> i64 {
    let answer = world.service.query(&format!("SELECT count(*) FROM {view}"), 1).unwrap();
    match answer.rows[0][0] {
        Cell::Integer(count) => count,
        _ => panic!("{answer:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_old_goes_and_growth_is_known() {
    let world = world().await;
    apply(&world, "keep_history = \"30d\"\nkeep_runs = \"60d\"").await;
    let before = world.service.dump().unwrap();
    assert!(world.service.maintenance_is_due().unwrap());
    let first = world.service.maintain(&|_| ()).unwrap();
    assert_eq!(first.rows, 0);
    assert!(!world.service.maintenance_is_due().unwrap());
    let (history, runs) = (count(&world, "onesync_history"), count(&world, "onesync_runs"));
    assert!(history >= 5 && runs > 3, "{history} {runs}");
    assert_eq!(count(&world, "onesync_people WHERE principal_name LIKE '%@%'"), 5);
    let status = world.service.database_status().unwrap();
    assert_eq!((status.growth_per_day, status.kind.as_str(), status.backup), (None, "SQLite", None));
    assert!(status.oldest_history.is_some() && status.tables.iter().any(|table| table.table == "cs_object"));
    world.clock.advance_seconds(40 * 86_400);
    assert!(world.service.maintenance_is_due().unwrap());
    let second = world.service.maintain(&|_| ()).unwrap();
    assert!(second.rows >= u64::try_from(history).unwrap(), "{second:?}");
    assert_eq!((count(&world, "onesync_history"), count(&world, "onesync_runs")), (0, runs));
    let status = world.service.database_status().unwrap();
    assert!(status.growth_per_day.is_some() && status.oldest_history.is_none());
    assert_eq!(status.maintained, Some(second));
    world.clock.advance_seconds(40 * 86_400);
    world.service.maintain(&|_| ()).unwrap();
    assert_eq!(count(&world, "onesync_runs"), 0);
    // What a sync can tell apart is what it was.
    let kept = |dump: &str| {
        let of = |line: &&str| ["cs ", "mv ", "export", "link"].iter().any(|table| line.starts_with(table));
        dump.lines().filter(of).map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(kept(&world.service.dump().unwrap()), kept(&before));
}

#[tokio::test(flavor = "multi_thread")]
async fn history_that_takes_too_much_goes_however_young() {
    let mut world = world().await;
    for round in 0..40 {
        for n in 1..=5 {
            world.person(n).department = format!("{round} {}", "x".repeat(60));
        }
        world.step().await;
    }
    let before = count(&world, "onesync_history");
    apply(&world, "history_max_size = \"40KB\"").await;
    let done = world.service.maintain(&|_| ()).unwrap();
    let after = count(&world, "onesync_history");
    assert!(after > 0 && after < before, "{before} {after} {done:?}");
    // The youngest stay.
    assert_eq!(
        count(&world, "onesync_history WHERE change <= (SELECT max(change) FROM onesync_history)"),
        after
    );
    assert_eq!(done.rows, u64::try_from(before - after).unwrap());
}

/// A server does not make its files smaller: what is free in them does not count, or the same share would go day by day.
#[tokio::test(flavor = "multi_thread")]
async fn history_on_a_server_is_cut_once() {
    let database = Database::new("upkeep").await;
    let people = (1..=5).map(|n| person(n, &format!("Person {n}"))).collect();
    let mut world = World::staging_with(people, |setup| setup.database = Some(database.server())).await;
    world.go_live().await;
    for round in 0..30 {
        for n in 1..=5 {
            world.person(n).department = format!("{round} {}", "x".repeat(1_000));
        }
        world.clock.advance_seconds(60);
        world.step().await;
    }
    let before = count(&world, "onesync_history");
    apply(&world, "history_max_size = \"30KB\"").await;
    let done = world.service.maintain(&|_| ()).unwrap();
    let after = count(&world, "onesync_history");
    assert!(after > 5 && after < before * 3 / 4, "{before} {after} {done:?}");
    let again = world.service.maintain(&|_| ()).unwrap();
    assert_eq!((again.rows, count(&world, "onesync_history")), (0, after), "{done:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_step_begins_without_room_and_nothing_is_lost() {
    let mut world = world().await;
    world.person(1).department = "Purchasing".into();
    world.write();
    apply(&world, "max_size = \"1MB\"").await;
    // The log of the embedded database alone is larger.
    let refused = world.service.cycle(CycleKind::Delta, &|_| ()).await.unwrap_err();
    assert!(matches!(refused, ServiceError::NoRoom { .. }), "{refused}");
    assert_eq!(refused.status(), Status::Held);
    assert!(refused.to_string().contains("no step begins") && refused.hint().is_some(), "{refused}");
    let alarms = world.service.status().unwrap().alarms;
    assert!(alarms.iter().any(|alarm| alarm.contains("`max_size`")), "{alarms:?}");
    assert!(!world.service.database_status().unwrap().warnings.is_empty());
    apply(&world, "max_size = \"1GB\"").await;
    assert_eq!(world.service.cycle(CycleKind::Delta, &|_| ()).await.unwrap().exported.update, 1);
    for wrong in ["max_size = \"big\"", "keep_runs = \"1h\"", "history_max_size = \"1\"", "colour = 1"] {
        let main = format!("name = \"x\"\n[database]\n{wrong}\n").into_bytes();
        let refused =
            Configuration::parse([("onesync.toml".to_owned(), main)].into()).unwrap_err().to_string();
        assert!(refused.contains("onesync.toml:3:1"), "{refused}");
    }
}
