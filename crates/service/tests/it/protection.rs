//! What administrators fear most.

use onesync_service::Status;
use onesync_service::look::HeldDecision;

use crate::world::{World, person};

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_import_is_suspect_and_deletes_nothing() {
    let world = World::new((1..=40).map(|n| person(n, &format!("Person {n}"))).collect()).await;
    std::fs::write(world.ldif(), "version: 1\n").unwrap();
    let before = world.service.dump().unwrap();
    let mark = world.sim.log_mark();
    let report = world.cycle(onesync_service::CycleKind::Delta).await;
    assert_eq!(report.status, Some(Status::Held));
    assert!(
        report
            .failures
            .iter()
            .any(|f| f.connector == "directory" && f.message.contains("suspect") && f.hint.is_some()),
        "{:?}",
        report.failures
    );
    assert_eq!(world.sim.writes(mark).len(), 0);
    assert_eq!(world.service.dump().unwrap(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_file_deletes_nothing() {
    let world = World::new((1..=40).map(|n| person(n, &format!("Person {n}"))).collect()).await;
    let text = std::fs::read_to_string(world.ldif()).unwrap();
    let cut = text.find("Person 30").unwrap();
    std::fs::write(world.ldif(), &text[..cut]).unwrap();
    let mark = world.sim.log_mark();
    world.cycle(onesync_service::CycleKind::Delta).await;
    assert_eq!(world.sim.writes(mark).len(), 0);
    assert_eq!(world.cloud_users().await, 40);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mass_deletion_is_held_everything_else_goes_on_and_a_release_is_for_that_plan_only() {
    let mut world = World::new((1..=100).map(|n| person(n, &format!("Person {n}"))).collect()).await;
    world.groups.clear();
    world.write();
    world.step().await;
    world.people.drain(0..15);
    world.people[50].department = "Research".into();
    let (report, writes) = world.step().await;
    assert_eq!(report.exported.held, 15);
    assert_eq!(report.status, Some(Status::Held));
    assert_eq!(writes.len(), 1, "the other change goes on: {writes:?}");

    let runtime = world.service.runtime().unwrap();
    let plans = world.service.held_list(&runtime, false).unwrap();
    assert_eq!(plans.len(), 1, "{plans:?} of {:?}", world.service.held_list(&runtime, true));
    let hash = plans[0]["hash"].as_str().unwrap().to_owned();
    let items = world.service.held_show(&runtime, &hash).unwrap();
    assert_eq!(items.len(), 15);

    // One of them, by its own hash.
    world.service.held_decide(&items[0].hash, HeldDecision::Release, "test").unwrap();
    let (_, writes) = world.step().await;
    assert_eq!(writes.len(), 1, "{writes:?}");

    let rest = world.service.held_list(&runtime, false).unwrap();
    assert_eq!(rest.len(), 1, "{rest:?}");
    world.service.held_decide(rest[0]["hash"].as_str().unwrap(), HeldDecision::Release, "test").unwrap();
    let (report, writes) = world.step().await;
    assert_eq!(writes.len(), 14, "{writes:?}");
    assert_eq!(report.exported.held, 0);

    // A release is no licence: the next mass deletion is held again.
    world.people.drain(0..15);
    let (report, writes) = world.step().await;
    assert_eq!((report.exported.held, writes.len()), (15, 0));
    assert!(
        world.service.held_decide("00000000000000000000000000000000", HeldDecision::Release, "test").is_err()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn staging_is_left_with_the_hash_of_the_plan_only() {
    let world = World::staging((1..=5).map(|n| person(n, &format!("Person {n}"))).collect()).await;
    world.write();
    let report = world.cycle(onesync_service::CycleKind::Initial).await;
    assert_eq!(report.exported.add, 0);
    let runtime = world.service.runtime().unwrap();
    let cloud = runtime.connector("entra").unwrap();
    let plan = world.service.staging_plan(&runtime, cloud).unwrap();
    assert!(
        plan.groups.iter().any(|g| g.what == "create" && g.object_type == "user" && g.count == 5),
        "{plan:?}"
    );
    let error = world.service.staging_off(&runtime, cloud, "0123").unwrap_err();
    assert_eq!(error.status(), Status::Held);
    assert!(world.service.is_staging(cloud).unwrap());
    world.service.staging_off(&runtime, cloud, &plan.hash).unwrap();
    assert!(!world.service.is_staging(cloud).unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_entry_that_cannot_be_read_is_named_and_nobody_is_deleted() {
    let world = World::new((1..=20).map(|n| person(n, &format!("Person {n}"))).collect()).await;
    let text = std::fs::read_to_string(world.ldif()).unwrap();
    std::fs::write(world.ldif(), text.replace("objectGUID: guid-00000000007\n", "objectGUID:: %%%\n"))
        .unwrap();
    let report = world.cycle(onesync_service::CycleKind::Delta).await;
    let import = report.steps.iter().find(|step| step.connector == "directory").unwrap();
    assert_eq!((import.counters.errors, import.counters.delete), (1, 0), "{import:?}");
    assert!(
        import.remarks.iter().any(|remark| remark.contains("directory.ldif:")),
        "file and line: {:?}",
        import.remarks
    );
    assert_eq!(report.status, Some(Status::ObjectErrors));
    assert_eq!(world.cloud_users().await, 20);
}
