//! The main job on PostgreSQL: the same story as on the embedded database, and the same rows after each step.

use std::sync::Arc;

use onesync_model::Time;
use onesync_service::{CycleKind, DatabaseServer, Home, ManualClock, Service, ServiceError};

use crate::database::Database;
use crate::world::{Setup, World, person};

/// What there is after each step: all rows, and the accounts of the cloud.
async fn story(database: Option<DatabaseServer>) -> Vec<(String, Vec<String>)> {
    // As many as go to the cloud in one request: those that go side by side get their ids in the order in which they arrive.
    let people = (1..=15).map(|n| person(n, &format!("Person {n}"))).collect();
    let special = |setup: &mut Setup| {
        setup.database = database;
        setup.now = Some(Time::from_seconds(1_800_000_000));
    };
    let mut world = World::staging_with(people, special).await;
    let mut seen = Vec::new();
    let look = |world: &World| (world.service.dump().unwrap(), world.cloud_accounts());
    world.go_live().await;
    seen.push(look(&world));
    world.people[3].department = "Purchasing".into();
    world.people[7].name = "Person Eight-Married".into();
    world.people[9].enabled = false;
    world.people.push(person(16, "Newcomer"));
    world.groups[0].1.push(16);
    world.groups.push(("Few".into(), vec![1, 2, 16]));
    world.step().await;
    seen.push(look(&world));
    let gone = world.people.remove(4);
    world.groups[0].1.retain(|n| *n != gone.number);
    world.step().await;
    seen.push(look(&world));
    // A plan is a sync over a copy; it changes nothing here.
    let changed = world.changed("connectors/entra.toml", "rank = 100", "rank = 99");
    let plan = world.service.config_plan(changed).await.unwrap();
    assert!(!plan.hash.is_empty());
    assert_eq!(look(&world), seen[2]);
    world.service = world.reopen().await;
    world.clock.advance_seconds(31 * 86_400);
    world.cycle(CycleKind::Delta).await;
    world.cycle(CycleKind::Initial).await;
    seen.push(look(&world));
    let (report, writes) = world.step().await;
    assert_eq!(writes, Vec::<String>::new(), "a quiet cycle");
    assert_eq!(report.exported.add, 0);
    assert_eq!(world.errors(), []);
    seen
}

/// The story on a server ends in the same rows as on the embedded database, step by step.
pub(crate) async fn the_same_story(server: DatabaseServer) {
    let (embedded, server) = (story(None).await, story(Some(server)).await);
    for (step, (one, two)) in embedded.iter().zip(&server).enumerate() {
        let differences: Vec<_> = one.0.lines().zip(two.0.lines()).filter(|(a, b)| a != b).take(5).collect();
        assert!(differences.is_empty() && one == two, "step {step}: {differences:#?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_main_job_ends_in_the_same_rows_as_on_the_embedded_database() {
    let database = Database::new("story").await;
    the_same_story(database.server()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_home_names_its_database_and_keeps_the_password_to_itself() {
    let database = Database::new("home").await;
    let folder = tempfile::tempdir().unwrap();
    let home = Home::new(folder.path().join("home"));
    let clock = Arc::new(ManualClock::new(Time::from_seconds(1_800_000_000)));
    let shown =
        DatabaseServer { url: database.server().url.replace("sync@", "sync:hush@"), ..database.server() };
    let refused = home.create_on(Some(&shown), &*clock).unwrap_err();
    assert!(
        matches!(refused, ServiceError::Usage { .. }) && !refused.to_string().contains("hush"),
        "{refused}"
    );
    assert!(!home.exists());
    home.create_on(Some(&database.server()), &*clock).unwrap();
    assert!(home.exists() && !home.database().exists());
    let mode = |name: &str| {
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::metadata(home.folder().join(name)).unwrap().permissions().mode() & 0o777
    };
    assert_eq!((mode("database.toml"), mode("database.password")), (0o600, 0o600));
    let open = || async { Service::open(home.clone(), clock.clone(), 1).await };
    open().await.unwrap();
    // Another installation cannot be made in it, nor taken for this one.
    let other = Home::new(folder.path().join("other"));
    let refused = other.create_on(Some(&database.server()), &*clock).unwrap_err();
    assert!(refused.to_string().contains("already holds installation"), "{refused}");
    assert!(!other.exists());
    let file = home.folder().join("database.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    let (line, _) = text.split_once("installation").unwrap();
    std::fs::write(&file, format!("{line}installation = \"another\"\n")).unwrap();
    let refused = open().await.err().unwrap();
    assert!(refused.to_string().contains("belongs to installation another"), "{refused}");
    std::fs::write(&file, &text).unwrap();
    // Killed before the home names it: the next attempt finds its own.
    std::fs::rename(&file, home.folder().join("database.toml.new")).unwrap();
    home.create_on(Some(&database.server()), &*clock).unwrap();
    assert_eq!(std::fs::read_to_string(&file).unwrap(), text);
    open().await.unwrap();
    let password = home.folder().join("database.password");
    std::fs::set_permissions(&password, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
    let refused = open().await.err().unwrap();
    assert!(refused.to_string().contains("others may read"), "{refused}");
}
