//! A pilot: who is outside is computed and shown, and never written, joined or linked there.

use onesync_service::CycleKind;

use crate::world::{World, person};

fn people(count: u32) -> Vec<crate::world::Person> {
    (1..=count).map(|n| person(n, &format!("Person {n}"))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn only_who_is_named_is_created_and_only_links_between_them_are_sent() {
    let mut world = World::staging_with(people(10), |setup| {
        setup.cloud("[pilot]\npeople = [\"u1@contoso.com\", \"U2@Contoso.com\", \"g0\"]\n");
    })
    .await;
    world.cycle(CycleKind::Initial).await;
    let plan = world.plan();
    let count = |what: &str, of: &str| {
        plan.groups.iter().find(|g| g.what == what && g.object_type == of).map_or(0, |g| g.count)
    };
    assert_eq!((count("create", "user"), count("create", "group")), (2, 1), "{plan:?}");
    assert_eq!(count("outside the pilot, untouched", "user"), 8, "{plan:?}");
    world.go_live().await;
    world.step().await;
    assert_eq!(world.cloud_accounts(), ["u1@contoso.com", "u2@contoso.com"]);
    assert_eq!(world.cloud_members("Everyone"), ["u1@contoso.com", "u2@contoso.com"]);

    // A change outside is computed, and nothing of it is sent.
    world.people[4].department = "Research".into();
    world.people[4].enabled = false;
    let (report, writes) = world.step().await;
    assert_eq!(writes, Vec::<String>::new());
    assert_eq!(report.exported.update, 0);
    let status = world.cloud_status();
    assert_eq!((status.outside_pilot, status.pending), (8, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_decides_and_its_members_come_and_stay_untouched_when_they_go() {
    let mut world = World::staging_with(people(6), |setup| {
        setup.cloud("[pilot]\ngroup = \"g1\"\n");
    })
    .await;
    world.groups.push(("Pilot".into(), vec![1, 2]));
    world.write();
    world.go_live().await;
    world.step().await;
    assert_eq!(world.cloud_accounts(), ["u1@contoso.com", "u2@contoso.com"]);
    assert_eq!(world.cloud_members("Pilot"), ["u1@contoso.com", "u2@contoso.com"]);

    world.groups[1].1.push(3);
    let (report, _) = world.step().await;
    assert_eq!(report.exported.add, 1, "the newcomer of the group is created");
    world.step().await;
    assert_eq!(world.cloud_members("Pilot"), ["u1@contoso.com", "u2@contoso.com", "u3@contoso.com"]);

    // Who leaves the group is left as he is: neither changed nor disabled nor deleted, nor taken out of the group.
    world.groups[1].1.retain(|n| *n != 2);
    world.people[1].department = "Research".into();
    let (_, writes) = world.step().await;
    assert_eq!(writes, Vec::<String>::new());
    world.people.retain(|p| p.number != 2);
    let (_, writes) = world.step().await;
    assert_eq!(writes, Vec::<String>::new());
    assert_eq!(world.cloud_accounts().len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn removing_the_pilot_is_planned_with_counts_before_it_happens() {
    let mut world = World::staging_with(people(7), |setup| {
        setup.cloud("[pilot]\npeople = [\"u1@contoso.com\"]\n");
    })
    .await;
    world.go_live().await;
    world.step().await;
    let wide = world.configuration("");
    let plan = world.service.config_plan(wide.clone()).await.unwrap();
    let pending = |what: &str| plan.counts.iter().find(|c| c.what == what).map(|c| (c.before, c.after));
    assert_eq!(pending("entra: user to create"), Some((0, 6)), "{plan}");
    assert_eq!(pending("entra: user not to be sent"), Some((6, 0)), "{plan}");
    world.service.apply(wide, "test").await.unwrap();
    let (report, _) = world.step().await;
    assert_eq!(report.exported.add, 7, "six people and the group: {report:?}");
    world.step().await;
    assert_eq!(world.cloud_accounts().len(), 7);
    assert_eq!(world.cloud_members("Everyone").len(), 7);
    let (_, writes) = world.step().await;
    assert_eq!(writes, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pilot_that_says_nothing_or_too_much_is_refused() {
    let world = World::staging(people(1)).await;
    for pilot in ["[pilot]\n", "[pilot]\ngroup = \"g0\"\npeople = [\"u1\"]\n"] {
        let error = world.service.apply(world.configuration(pilot), "test").await.unwrap_err().to_string();
        assert!(error.contains("either a `group` or `people`"), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_deleted_group_of_a_pilot_takes_its_members_with_it() {
    let mut world = World::staging_with(people(6), |setup| {
        setup.cloud("[pilot]\ngroup = \"g1\"\n[types.group]\ndeprovision = \"delete\"\n");
    })
    .await;
    world.groups.push(("Pilot".into(), vec![1, 2]));
    world.write();
    world.go_live().await;
    world.step().await;
    assert_eq!(world.cloud_status().outside_pilot, 5, "four people and the other group");
    world.groups.pop();
    world.step().await;
    world.step().await;
    // Nothing is anybody's now: a change of a former member is shown, and not sent.
    world.people[0].department = "Research".into();
    let (_, writes) = world.step().await;
    assert_eq!(writes, Vec::<String>::new());
    assert_eq!((world.cloud_status().outside_pilot, world.cloud_accounts().len()), (7, 2));
    let alarms = world.service.status().unwrap().alarms;
    assert!(alarms.iter().any(|alarm| alarm.contains("nobody is in the pilot")), "{alarms:?}");
}
