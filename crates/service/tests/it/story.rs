//! Convergence, and each change written exactly once and nothing else.

use onesync_service::{Configuration, CycleKind, Status, Step};

use crate::world::{World, person};

#[tokio::test(flavor = "multi_thread")]
async fn a_second_cycle_over_unchanged_directories_changes_nothing() {
    let world = World::new((1..=60).map(|n| person(n, &format!("Person {n}"))).collect()).await;
    assert_eq!(world.errors(), []);
    assert_eq!(world.cloud_users().await, 60);
    world.cycle(CycleKind::Delta).await;
    let before = world.service.dump().unwrap();
    let (report, writes) = world.step().await;
    assert_eq!(writes, Vec::<String>::new());
    assert_eq!((report.imported.add, report.imported.update, report.imported.delete), (0, 0, 0));
    assert_eq!(world.service.dump().unwrap(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_change_is_written_once_and_nothing_else() {
    let mut world = World::new((1..=20).map(|n| person(n, &format!("Person {n}"))).collect()).await;
    world.people[3].department = "Purchasing".into();
    let (_, writes) = world.step().await;
    assert_eq!(writes.len(), 1, "{writes:?}");
    assert!(writes[0].starts_with("PATCH /v1.0/users/"), "{writes:?}");

    world.people.push(person(21, "Newcomer"));
    let (report, writes) = world.step().await;
    assert_eq!(writes, ["POST /v1.0/users"]);
    assert_eq!(report.exported.add, 1);

    world.groups[0].1.push(21);
    let (report, writes) = world.step().await;
    assert_eq!(writes.len(), 1, "one member: {writes:?}");
    assert!(writes[0].starts_with("PATCH /v1.0/groups/"), "{writes:?}");
    assert_eq!(report.exported.links, 1);

    world.groups[0].1.retain(|n| *n != 5);
    let (report, writes) = world.step().await;
    assert_eq!(writes.len(), 1, "{writes:?}");
    assert!(writes[0].starts_with("DELETE /v1.0/groups/") && writes[0].ends_with("/$ref"), "{writes:?}");
    assert_eq!(report.exported.links, 1);

    // A new name is a new DN for the same object: one change of the user, and the group keeps its member.
    world.people[7].name = "Person Eight-Married".into();
    let (_, writes) = world.step().await;
    assert_eq!(writes.len(), 1, "{writes:?}");
    assert!(writes[0].starts_with("PATCH /v1.0/users/"), "{writes:?}");
    let (_, writes) = world.step().await;
    assert_eq!(writes, Vec::<String>::new());
    assert_eq!(world.errors(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_sync_finds_nothing_that_the_delta_left() {
    let mut world = World::new((1..=30).map(|n| person(n, &format!("Person {n}"))).collect()).await;
    let runtime = world.service.runtime().unwrap();
    world.service.staging_on(runtime.connector("entra").unwrap()).unwrap();
    world.people[1].department = "Research".into();
    world.people[2].enabled = false;
    world.people.remove(9);
    world.people.push(person(31, "Newcomer"));
    world.groups.push(("Few".into(), vec![1, 2, 31]));
    world.groups[0].1.push(31);
    world.write();
    world.cycle(CycleKind::Delta).await;
    let delta = world.service.dump().unwrap();
    for connector in ["directory", "entra"] {
        world.service.run_step(connector, Step::FullSync, &|_| ()).await.unwrap();
    }
    let full = world.service.dump().unwrap();
    let differences: Vec<(&str, &str)> = delta.lines().zip(full.lines()).filter(|(a, b)| a != b).collect();
    assert!(differences.is_empty() && delta.lines().count() == full.lines().count(), "{differences:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_leaves_is_disabled_at_once_deleted_after_the_grace_time_and_comes_back_as_before() {
    let mut world = World::new((1..=20).map(|n| person(n, &format!("Person {n}"))).collect()).await;
    let gone = world.people.remove(4);
    let back = world.people.remove(4);
    world.groups[0].1.retain(|n| *n != gone.number && *n != back.number);
    let (report, _) = world.step().await;
    assert_eq!((report.exported.update, report.exported.delete), (2, 0), "both are disabled");
    world.people.push(back.clone());
    let (report, _) = world.step().await;
    assert_eq!((report.exported.add, report.exported.update), (0, 1), "the same account is enabled again");
    world.clock.advance_seconds(29 * 86_400);
    let (report, _) = world.step().await;
    assert_eq!(report.exported.delete, 0);
    world.clock.advance_seconds(2 * 86_400);
    let (report, _) = world.step().await;
    assert_eq!(report.exported.delete, 1);
    assert_eq!(report.status, Some(Status::Done));
    assert_eq!(world.cloud_users().await, 19);
    let (_, writes) = world.step().await;
    assert_eq!(writes, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_that_never_comes_to_rest_is_named() {
    let world = World::new(vec![person(1, "Person 1")]).await;
    let mut files = world.service.runtime().unwrap().configuration.files.clone();
    let rule = "name = \"See-saw\"\ndirection = \"outbound\"\nconnector = \"entra\"\nobject = \"user\"\n\
        metaverse = \"person\"\nlink = \"join\"\nprecedence = 1\n[flow]\n\
        city = \"IIF(ImportedValue(\\\"city\\\") = \\\"Up\\\", \\\"Down\\\", \\\"Up\\\")\"\n";
    files.insert("rules/see-saw.toml".into(), rule.into());
    world.service.apply(Configuration::parse(files).unwrap(), "test").await.unwrap();
    let report = world.cycle(CycleKind::Delta).await;
    let onesync_service::StepFailure { step, message, hint, .. } =
        report.failures.first().expect("a failure");
    assert_eq!(*step, Step::Export);
    assert!(message.contains("Person 1") || message.contains("u1@"), "{message}");
    assert!(message.contains("`city`") && message.contains("`See-saw`"), "{message}");
    assert!(hint.is_some());
    assert_eq!(report.status, Some(Status::Failed));
    assert_eq!(report.exported.update, 3, "three rounds and no more");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_flows_to_a_directory_that_is_only_read_is_computed_counted_and_never_written() {
    let world = World::new((1..=3).map(|n| person(n, &format!("Person {n}"))).collect()).await;
    let mut files = world.service.config_files(None).unwrap();
    let rule = "name = \"Out to AD\"\ndirection = \"outbound\"\nconnector = \"directory\"\nobject = \"user\"\n\
                metaverse = \"person\"\nlink = \"join\"\nprecedence = 500\n[flow]\ninfo = '\"seen by OneSync\"'\n";
    files.insert("rules/out-to-ad.toml".into(), rule.as_bytes().to_vec());
    world.service.apply(Configuration::parse(files).unwrap(), "test").await.unwrap();
    let before = std::fs::read(world.ldif()).unwrap();
    for connector in ["directory", "entra"] {
        world.service.run_step(connector, Step::FullSync, &|_| ()).await.unwrap();
    }
    let status = world.service.status().unwrap();
    let directory = status.connectors.iter().find(|c| c.name == "directory").unwrap();
    let counts: Vec<(&str, u64)> =
        directory.cannot_be_written.iter().map(|c| (c.object_type.as_str(), c.count)).collect();
    assert_eq!(counts, [("user", 3)]);
    let runtime = world.service.runtime().unwrap();
    let pending = world.service.pending(&runtime, runtime.connector("directory").unwrap(), 100).unwrap();
    assert!(pending.len() == 3 && pending.iter().all(|p| p.state == "cannot be written"), "{pending:?}");
    let (_, writes) = world.step().await;
    assert_eq!(writes, Vec::<String>::new());
    assert_eq!(std::fs::read(world.ldif()).unwrap(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_shipped_configurations_fit_the_schemas_of_their_connectors() {
    let world = World::staging(vec![person(1, "Person 1")]).await;
    for name in ["ad-password", "graph-secret"] {
        world.service.set_secret(name, b"secret").unwrap();
    }
    for topology in ["single-forest", "multi-forest-mail", "account-resource"] {
        let files = onesync_service::template(topology, "ad").unwrap();
        let files = files.into_iter().map(|(path, text)| (path, text.into_bytes())).collect();
        let check = world.service.check(Configuration::parse(files).unwrap()).await.unwrap();
        assert_eq!(check.errors, 0, "{topology}: {}", check.messages.join("\n"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_first_full_sync_ends_where_a_delta_sync_ends() {
    let mut ends = Vec::new();
    for sync in [Step::DeltaSync, Step::FullSync] {
        let mut world = World::staging((1..=700).map(|n| person(n, &format!("Person {n}"))).collect()).await;
        world.groups.push(("Few".into(), vec![1, 2, 699]));
        world.groups.push(("Nobody".into(), vec![]));
        world.write();
        for (connector, step) in
            [("directory", Step::FullImport), ("entra", Step::FullImport), ("directory", sync)]
        {
            world.service.run_step(connector, step, &|_| ()).await.unwrap();
        }
        ends.push(world.service.dump().unwrap());
    }
    let differences: Vec<(&str, &str)> =
        ends[0].lines().zip(ends[1].lines()).filter(|(a, b)| a != b).collect();
    assert!(differences.is_empty() && ends[0].lines().count() == ends[1].lines().count(), "{differences:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_larger_than_a_chunk_of_links_keeps_all_members() {
    let world = World::staging((1..=5_010).map(|n| person(n, &format!("Person {n}"))).collect()).await;
    world.service.run_step("directory", Step::FullImport, &|_| ()).await.unwrap();
    let links = world.service.dump().unwrap().lines().filter(|line| line.starts_with("link ")).count();
    assert_eq!(links, 5_010);
}

#[tokio::test(flavor = "multi_thread")]
async fn link_values_that_no_flow_leads_to_any_more_are_not_owed() {
    let world = World::staging((1..=8).map(|n| person(n, &format!("Person {n}"))).collect()).await;
    world.cycle(CycleKind::Initial).await;
    let links = |world: &World| {
        let runtime = world.service.runtime().unwrap();
        let rows = world.service.pending(&runtime, runtime.connector("entra").unwrap(), 1_000).unwrap();
        let links: Vec<_> = rows.into_iter().filter(|row| row.operation == "add link").collect();
        for link in &links {
            assert!(link.change.ends_with("@contoso.com"), "who it will be has a name: {link:?}");
            assert_eq!(link.waits.as_deref(), Some("waits until that is there"), "{link:?}");
        }
        links.len()
    };
    assert_eq!(links(&world), 8);
    world.reconfigure("rules/out-to-entra-group-identity.toml", "members = \"[member]\"", "").await;
    world.cycle(CycleKind::Delta).await;
    assert_eq!(links(&world), 0);
    // The flow comes back, and with it what is owed.
    world
        .reconfigure("rules/out-to-entra-group-identity.toml", "[flow]\n", "[flow]\nmembers = \"[member]\"\n")
        .await;
    world.cycle(CycleKind::Delta).await;
    assert_eq!(links(&world), 8);
}
