//! Coming from Entra Connect: beside it in staging, its end, and the first cycle that adopts everybody.
//! `docs/coming-from-entra-connect.md` tells it to administrators.

use onesync_graphsim::TenantConfig;
use onesync_service::{CycleKind, StagingPlan};
use serde_json::{Value, json};

use crate::contact::{account, anchor, count, people};
use crate::world::World;

/// People whom Entra Connect synchronises, one of whom it wrote otherwise than our rules would.
async fn beside() -> World {
    World::staging_with(people(5), |setup| {
        setup.tenant = Some(TenantConfig { on_premises_sync_enabled: Some(true), ..TenantConfig::default() });
        // What else the rules give is in the cloud as they give it.
        setup.seed.users = (1..=5)
            .map(|n| {
                let department = if n == 2 { "Old" } else { "Sales" };
                account(
                    &format!("u{n}@contoso.com"),
                    json!({
                        "onPremisesImmutableId": anchor(n), "onPremisesSyncEnabled": true,
                        "department": department, "displayName": format!("Person {n}"),
                    }),
                )
            })
            .collect();
    })
    .await
}

/// The accounts as they are, each with the attributes that somebody set.
fn accounts(world: &World) -> Vec<Value> {
    world.cloud_dump("users")
}

fn differing(plan: &StagingPlan) -> Vec<(&str, u64)> {
    let counts = plan.mastered.iter().map(|d| (d.attribute.as_str(), d.overwritten + d.emptied + d.set));
    counts.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn everybody_is_adopted_when_the_old_synchronisation_has_ended_and_nobody_is_created_or_deleted() {
    let mut world = beside().await;
    world.cycle(CycleKind::Initial).await;
    let plan = world.plan();
    assert_eq!(count(&plan, "mastered elsewhere, untouched"), 5, "{plan:#?}");
    assert_eq!(
        (count(&plan, "adopt"), count(&plan, "conflict"), count(&plan, "delete")),
        (0, 0, 0),
        "{plan:#?}"
    );
    let create: Vec<_> =
        plan.groups.iter().filter(|g| g.what == "create").map(|g| g.object_type.as_str()).collect();
    assert_eq!(create, ["group"], "nobody, but the group, which has no source anchor there: {plan:#?}");
    // The difference is shown, with both values, and counted by attribute.
    assert!(differing(&plan).contains(&("department", 1)), "{:?}", differing(&plan));
    let other = plan.groups.iter().find(|g| g.what.starts_with("mastered elsewhere, with")).unwrap();
    assert!(
        other.samples.iter().any(|text| {
            text.starts_with("u2@contoso.com: ") && text.contains("department: \"Old\" -> \"Sales\"")
        }),
        "{:?}",
        other.samples
    );
    let runtime = world.service.runtime().unwrap();
    let pending = world.service.pending(&runtime, runtime.connector("entra").unwrap(), 100).unwrap();
    let of = |name: &str| pending.iter().find(|row| row.object == name).map(|row| row.state.as_str());
    assert_eq!(of("u2@contoso.com"), Some("mastered elsewhere"), "{pending:#?}");

    // What is mended at the source before the switch is a difference no more.
    world.people[1].department = "Old".into();
    world.step().await;
    assert!(!differing(&world.plan()).iter().any(|(attribute, _)| *attribute == "department"));
    world.people[1].department = "Sales".into();
    world.step().await;

    let before = accounts(&world).len();
    world.sim.end_directory_sync();
    world.step().await;
    let plan = world.plan();
    assert_eq!(differing(&plan), [], "{plan:#?}");
    assert_eq!((count(&plan, "create"), count(&plan, "delete")), (1, 0), "the group alone: {plan:#?}");
    assert_eq!(count(&plan, "mastered elsewhere, untouched"), 0, "{plan:#?}");
    assert!(plan.adopted.iter().any(|a| a.attribute == "department" && a.overwritten == 1), "{plan:#?}");
    world.activate();
    let (report, _) = world.step().await;
    assert_eq!((report.exported.add, report.exported.delete), (1, 0), "the group alone: {report:#?}");
    world.step().await;
    assert_eq!(accounts(&world).len(), before);
    assert_eq!(world.in_cloud(2, "department"), "Sales");
    assert_eq!(world.cloud_members("Everyone").len(), 5);
    let (_, writes) = world.step().await;
    assert_eq!(writes, Vec::<String>::new());
    // They are ours now: who leaves is disabled.
    world.people.retain(|person| person.number != 5);
    world.step().await;
    assert_eq!(world.in_cloud(5, "accountEnabled"), false);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_another_system_masters_is_never_ours_though_a_person_leaves_meanwhile() {
    let mut world = beside().await;
    world.cycle(CycleKind::Initial).await;
    world.people.retain(|person| person.number != 5);
    world.step().await;
    world.sim.end_directory_sync();
    world.step().await;
    let plan = world.plan();
    assert_eq!(count(&plan, "delete"), 0, "{plan:#?}");
    assert_eq!(count(&plan, "only there, untouched"), 1, "{plan:#?}");
}
