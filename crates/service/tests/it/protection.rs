//! What administrators fear most.

use onesync_engine::{ChangeState, Changes, ExportRow};
use onesync_model::CsId;
use onesync_service::look::HeldDecision;
use onesync_service::{Status, Step};
use onesync_store::ExportFilter;

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
    assert_eq!(world.sim.changes(mark).len(), 0);
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
    assert_eq!(world.sim.changes(mark).len(), 0);
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
async fn a_disabling_that_was_sent_is_one_still_when_more_is_planned() {
    let mut world = World::new((1..=3).map(|n| person(n, &format!("Person {n}"))).collect()).await;
    let (store, _) = world.service.home().open().unwrap();
    let epoch = store.reader().unwrap().installation().unwrap().unwrap().epoch;
    let cloud = world.service.runtime().unwrap().connector("entra").unwrap().id;
    let pending = || {
        let rows = store.reader().unwrap().exports_page(cloud, ExportFilter::default(), CsId(i64::MIN), 10);
        let mut rows = rows.unwrap();
        assert_eq!(rows.len(), 1, "{rows:?}");
        rows.remove(0)
    };
    world.person(1).enabled = false;
    world.write();
    compute(&world).await;
    let mut row = pending();
    assert!(row.kinds & ExportRow::KIND_DISABLE != 0, "{row:?}");
    // It is sent, and the directory does not show it yet.
    (row.state, row.sent) = (ChangeState::Sent, Some(world.service.now()));
    row.changes.iter_mut().for_each(|change| change.state = ChangeState::Sent);
    store.apply(epoch, &Changes { exports: vec![row.clone()], ..Changes::default() }).unwrap();
    world.person(1).department = "Research".into();
    world.write();
    compute(&world).await;
    let more = pending();
    assert!(more.changes.len() > row.changes.len(), "{more:?}");
    assert!(
        more.kinds & ExportRow::KIND_DISABLE != 0,
        "it is sent again as an update like any other: {more:?}"
    );
}

/// Has the service read the directory, and compute.
async fn compute(world: &World) {
    for step in [Step::DeltaImport, Step::DeltaSync] {
        world.service.run_step("directory", step, &|_| ()).await.unwrap();
    }
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

fn held(world: &World) -> Vec<serde_json::Value> {
    world.service.held_list(&world.service.runtime().unwrap(), false).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_does_not_speak_for_the_same_change_at_another_time() {
    let mut world = World::new((1..=100).map(|n| person(n, &format!("Person {n}"))).collect()).await;
    let switch = |world: &mut World, enabled: bool| {
        for person in &mut world.people[..15] {
            person.enabled = enabled;
        }
    };
    switch(&mut world, false);
    let (report, _) = world.step().await;
    assert_eq!(report.exported.held, 15);
    let hash = held(&world)[0]["hash"].as_str().unwrap().to_owned();
    world.service.held_decide(&hash, HeldDecision::Release, "anna").unwrap();
    let (report, writes) = world.step().await;
    assert_eq!((report.exported.held, writes.len()), (0, 15));
    switch(&mut world, true);
    world.step().await;
    world.clock.advance_seconds(8 * 86_400); // the windows are empty again
    switch(&mut world, false);
    let (report, writes) = world.step().await;
    assert_eq!((report.exported.held, writes.len()), (15, 0), "the same fifteen, and another decision");
    assert_eq!(held(&world).len(), 1);
    // One more joins them: one plan is shown, not two that overlap.
    world.people[15].enabled = false;
    world.step().await;
    let plans = held(&world);
    assert_eq!((plans.len(), plans[0]["changes"].as_u64()), (1, Some(16)), "{plans:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_limit_frees_nothing_that_is_held_and_a_rejection_stays() {
    let mut world = World::new((1..=100).map(|n| person(n, &format!("Person {n}"))).collect()).await;
    world.people[..15].iter_mut().for_each(|person| person.enabled = false);
    world.step().await;
    assert_eq!(held(&world).len(), 1);
    let status = world.service.status().unwrap();
    assert!(status.alarms.iter().any(|alarm| alarm.starts_with("15 changes for")), "{:?}", status.alarms);
    let wide = "[types.user.limits]\nday = { count = 500, percent = 90, at_least = 90 }\nweek = { count = 500, percent = 90, at_least = 90 }\n";
    world.service.apply(world.configuration(wide), "test").await.unwrap();
    // What is new is below the new limit and goes; what was held stays held.
    world.people[20].enabled = false;
    let (report, writes) = world.step().await;
    assert_eq!((report.exported.held, writes.len()), (15, 1));
    let hash = held(&world)[0]["hash"].as_str().unwrap().to_owned();
    world.service.held_decide(&hash, HeldDecision::Reject, "anna").unwrap();
    let (report, writes) = world.step().await;
    assert_eq!((report.exported.held, writes.len(), held(&world).len()), (0, 0, 0));
    let status = world.service.status().unwrap();
    assert!(!status.alarms.iter().any(|alarm| alarm.contains("are held")), "{:?}", status.alarms);
    let events = world.service.events(20).unwrap();
    let told = |kind: &str| events.iter().any(|event| event.kind == kind && event.subject == hash);
    assert!(told("held") && told("held-rejected"), "{events:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_left_the_scope_and_what_was_deleted_are_held_apart() {
    let mut world =
        World::staging_with((1..=100).map(|n| person(n, &format!("Person {n}"))).collect(), |setup| {
            setup.cloud("[types.user]\ndeprovision = \"delete\"\n")
        })
        .await;
    world.groups.clear();
    world.write();
    world.go_live().await;
    world.people.drain(0..8);
    for n in 20..28 {
        // A mailbox of this kind has no source anchor of its own and is left out by the shipped rules.
        world.leave_scope(n);
    }
    let (report, writes) = world.step().await;
    assert_eq!((report.exported.held, writes.len()), (16, 0), "{:?}", held(&world));
    let reasons: Vec<String> =
        held(&world).iter().map(|plan| plan["reason"].as_str().unwrap().to_owned()).collect();
    assert_eq!(reasons.len(), 2, "{reasons:?}");
    for cause in ["left the scope", "deleted at the source"] {
        assert!(reasons.iter().any(|reason| reason.ends_with(cause)), "{cause} in {reasons:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn deletions_in_drips_are_held_by_the_windows_and_status_shows_what_was_used() {
    let mut world =
        World::staging_with((1..=100).map(|n| person(n, &format!("Person {n}"))).collect(), |setup| {
            setup.cloud("[types.user]\ndeprovision = \"delete\"\n")
        })
        .await;
    world.groups.clear();
    world.write();
    world.go_live().await;
    world.people.drain(0..6);
    let (report, _) = world.step().await;
    assert_eq!((report.exported.delete, report.exported.held), (6, 0));
    world.people.drain(0..6);
    let (report, _) = world.step().await;
    assert_eq!((report.exported.delete, report.exported.held), (0, 6), "twelve in a day");
    let status = world.cloud_status();
    let used = status.windows.iter().find(|w| w.object_type == "user" && w.what == "deletions").unwrap();
    assert_eq!((used.pending, used.day, used.week), (6, 6, 6), "{used:?}");
    assert_eq!(
        status.windows.iter().filter(|w| w.object_type == "user").count(),
        4,
        "each of the four kinds"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn emptied_attributes_and_shrinking_groups_are_held_too() {
    let mut world = World::new((1..=60).map(|n| person(n, &format!("Person {n}"))).collect()).await;
    world.groups[0].1.retain(|n| *n > 15);
    let (report, writes) = world.step().await;
    assert_eq!((report.exported.held, writes.len()), (15, 0), "{:?}", held(&world));
    world.groups[0].1.extend(1..=15);
    world.step().await;
    assert_eq!(held(&world).len(), 0);

    // Members taken out in drips add up as well.
    world.groups[0].1.retain(|n| *n > 8);
    let (report, _) = world.step().await;
    assert_eq!((report.exported.links, report.exported.held), (8, 0));
    world.groups[0].1.retain(|n| *n > 16);
    let (report, _) = world.step().await;
    assert_eq!((report.exported.links, report.exported.held), (0, 8), "sixteen in a day");
    world.groups[0].1.extend(1..=16);
    world.step().await;

    for person in &mut world.people[..12] {
        person.department = String::new();
    }
    let (report, writes) = world.step().await;
    assert_eq!((report.exported.held, writes.len()), (12, 0), "{:?}", held(&world));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_suspect_import_ends_the_cycle_before_its_first_write() {
    let mut world = World::new((1..=60).map(|n| person(n, &format!("Person {n}"))).collect()).await;
    let everybody = world.people.clone();
    // Most are missing, and what is left reads differently: neither is believed.
    world.people.truncate(10);
    world.people[0].department = "Nowhere".into();
    world.groups[0].1 = vec![1, 2];
    let (report, writes) = world.step().await;
    assert_eq!((report.status, writes), (Some(Status::Held), Vec::new()));
    assert!(report.steps.iter().all(|step| step.step.as_str().ends_with("import")), "{report:?}");
    world.people = everybody;
    world.groups[0].1 = (1..=60).collect();
    let (_, writes) = world.step().await;
    assert_eq!(writes, Vec::<String>::new(), "as it was before");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_two_limits_look_at_is_held_when_one_of_them_holds_it() {
    let mut world = World::new((1..=60).map(|n| person(n, &format!("Person {n}"))).collect()).await;
    world.people[..12].iter_mut().for_each(|person| person.enabled = false);
    // Three of them lose an attribute, too: few enough by itself.
    world.people[..3].iter_mut().for_each(|person| person.department = String::new());
    for department in ["Research", "Purchasing"] {
        world.people[40].department = department.into(); // something goes, so that there is an export
        let (report, writes) = world.step().await;
        assert_eq!((report.exported.held, writes.len()), (12, 1), "{writes:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_decided_beside_work_under_way() {
    let mut world = World::new((1..=60).map(|n| person(n, &format!("Person {n}"))).collect()).await;
    world.people[..12].iter_mut().for_each(|person| person.enabled = false);
    world.step().await;
    let hash = held(&world)[0]["hash"].as_str().unwrap().to_owned();
    let lock =
        std::fs::File::options().write(true).open(world.service.home().folder().join("work.lock")).unwrap();
    lock.try_lock().unwrap();
    for decision in [HeldDecision::Release, HeldDecision::Reject] {
        let error = world.service.held_decide(&hash, decision, "anna").unwrap_err();
        assert_eq!(error.status(), Status::Held, "{error}");
    }
    assert_eq!(held(&world).len(), 1);
    drop(lock);
    world.service.held_decide(&hash, HeldDecision::Release, "anna").unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn staging_on_stops_an_export_under_way_at_its_next_batch() {
    let world = World::staging((1..=450).map(|n| person(n, &format!("Person {n}"))).collect()).await;
    world.cycle(onesync_service::CycleKind::Initial).await;
    world.activate();
    let runtime = world.service.runtime().unwrap();
    let cloud = runtime.connector("entra").unwrap();
    let brake = |progress: onesync_service::Progress| {
        if let onesync_service::Progress::At { done: 1.., .. } = progress
            && !world.cloud_accounts().is_empty()
        {
            world.service.staging_on(cloud).unwrap();
        }
    };
    let report = world.service.cycle(onesync_service::CycleKind::Delta, &brake).await.unwrap();
    assert_eq!(report.status, Some(Status::Held));
    assert!(report.failures.iter().any(|f| f.message.contains("put into staging")), "{:?}", report.failures);
    let sent = world.cloud_accounts().len();
    assert!(sent > 0 && sent < 450, "{sent}");
    // Nothing of it is lost: what was sent is known, the rest goes when it may. What was sent is looked at first.
    let error = world.service.staging_off(&runtime, cloud, &world.plan().hash).unwrap_err();
    assert!(error.to_string().contains("changes were not looked at yet"), "{error}");
    world.cycle(onesync_service::CycleKind::Delta).await;
    world.activate();
    world.cycle(onesync_service::CycleKind::Delta).await;
    assert_eq!((world.cloud_accounts().len(), world.errors()), (450, vec![]));
}
