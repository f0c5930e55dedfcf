//! First contact with a tenant that is not empty: adopt, create, conflict, untouched; suffixes; another master.

use onesync_graphsim::{DomainConfig, TenantConfig};
use onesync_service::{CycleKind, StagingPlan, Status};
use serde_json::{Map, Value, json};

use crate::world::{Person, Setup, World, base64, person};

pub fn people(count: u32) -> Vec<Person> {
    (1..=count).map(|n| person(n, &format!("Person {n}"))).collect()
}

/// An account as the cloud holds it.
pub fn account(name: &str, more: Value) -> Map<String, Value> {
    let Value::Object(mut account) = json!({
        "userPrincipalName": name, "displayName": name, "accountEnabled": true, "mailNickname": "x", "userType": "Member"
    }) else {
        panic!()
    };
    account.extend(more.as_object().unwrap().clone());
    account
}

/// The source anchor of a person, as the shipped rules write it.
pub fn anchor(number: u32) -> String {
    base64(format!("guid-{number:011}").as_bytes())
}

pub fn count(plan: &StagingPlan, what: &str) -> u64 {
    plan.groups.iter().filter(|group| group.what == what).map(|group| group.count).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_plan_names_what_is_adopted_created_in_conflict_and_left_alone() {
    let mut world = World::staging_with(people(4), |setup| {
        setup.seed.users = vec![
            account(
                "u1@contoso.com",
                json!({"onPremisesImmutableId": anchor(1), "department": "Old", "jobTitle": "Chief"}),
            ),
            account("u2@contoso.com", json!({})),
            account("cloud@contoso.com", json!({"department": "Cloud"})),
        ];
    })
    .await;
    world.cycle(CycleKind::Initial).await;
    let plan = world.plan();
    assert_eq!((count(&plan, "adopt"), count(&plan, "conflict")), (1, 1), "{plan:#?}");
    assert_eq!(count(&plan, "create"), 3, "two people and the group: {plan:#?}");
    assert_eq!(count(&plan, "only there, untouched"), 2, "{plan:#?}");
    // Every attribute that adoption overwrites or empties, as it is and as it would be.
    let adopt = plan.groups.iter().find(|group| group.what == "adopt").unwrap();
    for part in ["department: \"Old\" -> \"Sales\"", "jobTitle: \"Chief\" -> nothing"] {
        assert!(adopt.samples[0].contains(part), "{part} in {:?}", adopt.samples);
    }
    let numbers = |attribute: &str| {
        let found = plan.adopted.iter().find(|a| a.attribute == attribute).unwrap();
        (found.overwritten, found.emptied, found.set)
    };
    assert_eq!((numbers("department"), numbers("jobTitle")), ((1, 0, 0), (0, 1, 0)));
    // Both are named, and what would settle it.
    let conflict = plan.groups.iter().find(|group| group.what == "conflict").unwrap();
    for part in ["Person 2", "u2@contoso.com", "adopt_by"] {
        assert!(conflict.samples[0].contains(part), "{part} in {:?}", conflict.samples);
    }

    // A plan that changed in between is refused.
    world.people[2].department = "Research".into();
    world.write();
    world.cycle(CycleKind::Delta).await;
    let runtime = world.service.runtime().unwrap();
    let cloud = runtime.connector("entra").unwrap();
    let error = world.service.staging_off(&runtime, cloud, &plan.hash).unwrap_err();
    assert_eq!(error.status(), Status::Held);
    assert!(world.service.is_staging(cloud).unwrap());

    world.activate();
    world.cycle(CycleKind::Delta).await;
    world.step().await;
    let adopted = world.cloud_user("u1@contoso.com");
    assert_eq!((adopted["department"].as_str(), adopted["jobTitle"].as_str()), (Some("Sales"), None));
    assert!(world.cloud_user("u2@contoso.com")["onPremisesImmutableId"].is_null(), "not taken by its name");
    assert_eq!(world.cloud_user("cloud@contoso.com")["department"], "Cloud");
}

#[tokio::test(flavor = "multi_thread")]
async fn accounts_are_adopted_by_a_name_only_where_that_is_switched_on_and_never_protected_ones() {
    let world = World::staging_with(people(6), |setup| {
        setup.top = "adopt_by = [\"userPrincipalName\", \"mail\"]\n".into();
        setup.settings = "protected = [\"u4@contoso.com\"]\n".into();
        setup.seed.users = vec![
            account("U1@contoso.com", json!({})),
            account("other@contoso.com", json!({"mail": "u2@contoso.com"})),
            account("u3@contoso.com", json!({"userType": "Guest"})),
            account("u4@contoso.com", json!({})),
            account("u5@contoso.com", json!({})),
            account("u6@contoso.com", json!({"onPremisesImmutableId": "another"})),
        ];
        let role = json!({"displayName": "User Administrator", "members": ["u5@contoso.com"]});
        setup.seed.directory_roles = vec![role.as_object().unwrap().clone()];
    })
    .await;
    world.cycle(CycleKind::Initial).await;
    let plan = world.plan();
    assert_eq!((count(&plan, "adopt"), count(&plan, "conflict")), (2, 4), "{plan:#?}");
    let conflicts = &plan.groups.iter().find(|group| group.what == "conflict").unwrap().samples;
    for part in ["is a guest", "list of protected accounts", "directory role", "source anchor `another`"] {
        assert!(conflicts.iter().any(|text| text.contains(part)), "{part} in {conflicts:#?}");
    }
    world.activate();
    world.cycle(CycleKind::Delta).await;
    for name in ["u3@contoso.com", "u4@contoso.com", "u5@contoso.com"] {
        assert!(world.cloud_user(name)["onPremisesImmutableId"].is_null(), "{name}");
    }
    assert_eq!(world.cloud_user("U1@contoso.com")["onPremisesImmutableId"], anchor(1));
    assert_eq!(world.cloud_accounts().len(), 6, "nobody is created beside them");
}

#[tokio::test(flavor = "multi_thread")]
async fn where_roles_cannot_be_read_nobody_is_matched_by_name() {
    let world = World::staging_with(people(2), |setup| {
        setup.top = "adopt_by = [\"userPrincipalName\"]\n".into();
        setup.seed.users = vec![account("u1@contoso.com", json!({}))];
        let mut tenant = TenantConfig::default();
        for app in &mut tenant.applications {
            app.roles.retain(|role| !role.starts_with("RoleManagement") && role != "Directory.Read.All");
        }
        setup.tenant = Some(tenant);
    })
    .await;
    world.cycle(CycleKind::Initial).await;
    let plan = world.plan();
    assert_eq!((count(&plan, "adopt"), count(&plan, "conflict")), (0, 1), "{plan:#?}");
    let conflict = plan.groups.iter().find(|group| group.what == "conflict").unwrap();
    assert!(conflict.samples[0].contains("matching by name is off"), "{:?}", conflict.samples);
}

fn corp(setup: &mut Setup) {
    let domain = |name: &str, default| DomainConfig { name: name.into(), default, ..DomainConfig::default() };
    let domains = vec![
        domain("contoso.com", true),
        DomainConfig { initial: true, ..domain("contoso.onmicrosoft.com", false) },
    ];
    setup.tenant = Some(TenantConfig { domains, ..TenantConfig::default() });
}

#[tokio::test(flavor = "multi_thread")]
async fn names_with_a_suffix_that_is_not_verified_are_counted_and_held_until_it_is() {
    let mut world = World::staging_with(people(5), corp).await;
    world.people[0].suffix = "corp.local";
    world.people[1].suffix = "corp.local";
    world.write();
    world.cycle(CycleKind::Initial).await;
    let plan = world.plan();
    assert_eq!(count(&plan, "held, suffix `corp.local`"), 2, "{plan:#?}");
    assert_eq!(count(&plan, "create"), 4, "three people and the group");
    world.activate();
    world.cycle(CycleKind::Delta).await;
    assert_eq!(world.cloud_accounts().len(), 3);
    assert_eq!(world.cloud_status().held_suffixes, [("corp.local".to_owned(), 2)]);

    // The domain is verified in the tenant: the next import sees it, and they are created.
    world.sim.change_tenant(|tenant| {
        tenant.domains.push(DomainConfig { name: "corp.local".into(), ..DomainConfig::default() });
    });
    world.service.reload().await.unwrap(); // the connector believes what it read for a few minutes
    world.cycle(CycleKind::Delta).await;
    world.cycle(CycleKind::Delta).await;
    assert_eq!(world.cloud_accounts().len(), 5);
    assert_eq!(world.cloud_status().held_suffixes, []);
    let (_, writes) = world.step().await;
    assert_eq!(writes, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_suffix_that_is_replaced_is_planned_sent_and_confirmed_as_one_value() {
    let mut world = World::staging_with(people(3), |setup| {
        corp(setup);
        setup.settings = "unverified_suffix = \"default-domain\"\n".into();
    })
    .await;
    world.people[0].suffix = "corp.local";
    world.write();
    world.cycle(CycleKind::Initial).await;
    assert!(
        world
            .plan()
            .groups
            .iter()
            .flat_map(|g| &g.samples)
            .any(|s| s.contains("userPrincipalName = u1@contoso.com")),
        "the plan shows what will be sent"
    );
    world.activate();
    world.cycle(CycleKind::Delta).await;
    assert_eq!(world.cloud_accounts(), ["u1@contoso.com", "u2@contoso.com", "u3@contoso.com"]);
    world.step().await;
    assert_eq!(world.cloud_status().unconfirmed, 0, "what was sent is what is seen");
    let (_, writes) = world.step().await;
    assert_eq!(writes, Vec::<String>::new());
    assert_eq!(world.errors(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_with_another_synchronisation_is_not_written_until_coexistence_and_then_in_part() {
    let special = |settings: &'static str| {
        move |setup: &mut Setup| {
            setup.settings = settings.into();
            setup.tenant =
                Some(TenantConfig { on_premises_sync_enabled: Some(true), ..TenantConfig::default() });
            setup.seed.users = vec![
                account(
                    "u1@contoso.com",
                    json!({"onPremisesImmutableId": anchor(1), "onPremisesSyncEnabled": true, "department": "Old"}),
                ),
                account("u2@contoso.com", json!({"onPremisesImmutableId": anchor(2), "department": "Old"})),
            ];
        }
    };
    let world = World::staging_with(people(3), special("")).await;
    world.cycle(CycleKind::Initial).await;
    world.activate();
    let mark = world.sim.log_mark();
    let report = world.cycle(CycleKind::Delta).await;
    assert_eq!(report.status, Some(Status::Held));
    assert!(
        report.failures.iter().any(|f| f.step == onesync_service::Step::Export
            && f.message.contains("directory synchronisation is on")
            && f.hint.is_some()),
        "{:?}",
        report.failures
    );
    assert_eq!(world.sim.changes(mark).len(), 0);
    drop(world);

    let mut world = World::staging_with(people(3), special("coexistence = true\n")).await;
    world.cycle(CycleKind::Initial).await;
    assert_eq!(world.cloud_status().mastered_elsewhere, 1);
    world.activate();
    world.cycle(CycleKind::Delta).await;
    world.step().await;
    assert_eq!(world.cloud_user("u1@contoso.com")["department"], "Old", "mastered elsewhere: never written");
    assert_eq!(world.cloud_user("u2@contoso.com")["department"], "Sales");
    assert_eq!(world.cloud_accounts().len(), 3);
    // Who is mastered elsewhere is not disabled or deleted when the person leaves.
    world.people.remove(0);
    world.step().await;
    world.clock.advance_seconds(40 * 86_400);
    world.step().await;
    assert_eq!(world.cloud_user("u1@contoso.com")["accountEnabled"], true);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_that_another_installation_writes_to_is_left_alone() {
    let world = World::new(people(3)).await;
    let rival = world.rival().await;
    rival.cycle(CycleKind::Initial, &|_| ()).await.unwrap();
    let runtime = rival.runtime().unwrap();
    let cloud = runtime.connector("entra").unwrap();
    let directory = std::fs::read_to_string(world.ldif()).unwrap().replace("Sales", "Research");
    std::fs::write(world.ldif(), directory).unwrap();
    rival.cycle(CycleKind::Delta, &|_| ()).await.unwrap();
    rival.staging_off(&runtime, cloud, &rival.staging_plan(&runtime, cloud).unwrap().hash).unwrap();
    let mark = world.sim.log_mark();
    let report = rival.cycle(CycleKind::Delta, &|_| ()).await.unwrap();
    assert_eq!(world.sim.changes(mark).len(), 0);
    assert_eq!(report.status, Some(Status::Held));
    assert!(
        report.failures.iter().any(|f| f.message.contains("belongs to installation")),
        "{:?}",
        report.failures
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn another_reason_why_roles_cannot_be_read_is_no_reason_to_look_at_everything() {
    let world = World::new(people(3)).await;
    let mut synced = Vec::new();
    for message in ["the first reason", "the first reason", "another reason"] {
        world.sim.clear_faults();
        world.sim.fault(onesync_graphsim::FaultRule {
            path: Some("/directoryRoles".into()),
            times: 0,
            action: onesync_graphsim::FaultAction::Status {
                status: 403,
                code: None,
                message: Some(message.into()),
                retry_after: None,
                sticky: false,
            },
            ..onesync_graphsim::FaultRule::default()
        });
        world.clock.advance_seconds(1_800);
        let report = world.reopen().await.cycle(CycleKind::Delta, &|_| ()).await.unwrap();
        let full = report.steps.iter().filter(|step| step.step == onesync_service::Step::FullSync).count();
        synced.push(full);
    }
    assert_eq!(synced, [2, 0, 0], "once, when it cannot be known any more who is protected");
}
