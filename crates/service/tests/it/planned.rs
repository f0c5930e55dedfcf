//! A changed configuration is looked at item by item, and applied as it was looked at.

use onesync_service::{Applied, ConfigPlan, Configuration, EffectCount, ServiceError, Status, Step};
use onesync_store::HeldState;

use crate::world::{World, person};

const PROFILE: &str = "rules/out-to-entra-user-profile.toml";
const DEPARTMENT: &str = "Left(Trim([department]), 64)";

async fn three() -> World {
    World::new((1..=3).map(|n| person(n, &format!("Person {n}"))).collect()).await
}

/// Departments in capitals at the target.
fn capitals(world: &World) -> Configuration {
    world.changed(PROFILE, DEPARTMENT, "UCase(Trim([department]))")
}

fn effects(plan: &ConfigPlan) -> Vec<(&str, &str, u64)> {
    plan.effects
        .iter()
        .map(|EffectCount { effect, connector, count, .. }| (effect.as_str(), connector.as_str(), *count))
        .collect()
}

async fn apply(world: &World, configuration: Configuration, plan: &str) -> Result<Applied, ServiceError> {
    world.service.apply_reviewed(configuration, plan, "test", &|_| ()).await
}

/// Reads the directory as it is now, and does nothing with it.
async fn import(world: &World) {
    world.write();
    world.service.run_step("directory", Step::FullImport, &|_| ()).await.unwrap();
}

fn departments(world: &World) -> Vec<String> {
    let of = |n| world.in_cloud(n, "department").as_str().unwrap_or_default().to_owned();
    world.people.iter().map(|person| of(person.number)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reviewed_plan_is_what_happens() {
    let world = three().await;
    let plan = world.service.config_plan(capitals(&world)).await.unwrap();
    assert_eq!(effects(&plan), [("update", "entra", 3)]);
    let shown = plan.to_string();
    assert!(shown.contains("entra: 3 user would be updated: "), "{shown}");
    assert!(shown.contains("entra: user department: 3 changed"), "{shown}");
    let list = std::fs::read_to_string(plan.list.as_ref().unwrap()).unwrap();
    assert_eq!(list.lines().count(), 3);
    assert!(list.contains(r#""department":{"before":"Sales","after":"SALES"}"#), "{list}");
    assert_eq!(world.service.config_plan(capitals(&world)).await.unwrap().hash, plan.hash);

    let applied = apply(&world, capitals(&world), &plan.hash).await.unwrap();
    assert_eq!((applied.version, applied.as_reviewed, applied.moved), (2, 3, 0));
    let (_, writes) = world.step().await;
    assert_eq!(writes.len(), 3, "{writes:?}");
    assert_eq!(departments(&world), ["SALES"; 3]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_moved_since_the_review_is_held_with_both_versions() {
    let mut world = three().await;
    let plan = world.service.config_plan(capitals(&world)).await.unwrap();
    world.person(2).department = "Research".into();
    import(&world).await;
    let applied = apply(&world, capitals(&world), &plan.hash).await.unwrap();
    assert_eq!(applied.as_reviewed, 2);
    let moved: Vec<_> = applied.samples.iter().filter(|moved| moved.now.connector == "entra").collect();
    let [moved] = moved.as_slice() else { panic!("{applied:?}") };
    let value = |item: &onesync_service::PlanItem| item.changes["department"].after.clone();
    assert_eq!(
        (moved.reviewed.as_ref().map(value), value(&moved.now)),
        (Some("SALES".into()), "RESEARCH".into())
    );
    assert_eq!(applied.held.get("entra"), Some(&1));

    world.step().await;
    assert_eq!(departments(&world), ["SALES", "Sales", "SALES"]);
    let held = world.service.held_plans(false).unwrap();
    let [held] = held.as_slice() else { panic!("{held:?}") };
    assert!(held.reason.contains(&plan.hash), "{}", held.reason);
    world.service.decide_held(&held.hash.to_string(), HeldState::Released, "test").unwrap();
    world.step().await;
    assert_eq!(departments(&world), ["SALES", "RESEARCH", "SALES"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_applied_when_it_would_take_away_more_than_was_reviewed() {
    let mut world = three().await;
    let plan = world.service.config_plan(capitals(&world)).await.unwrap();
    world.people.retain(|person| person.number != 3);
    import(&world).await;
    let error = apply(&world, capitals(&world), &plan.hash).await.unwrap_err();
    assert_eq!(error.status(), Status::Held);
    assert!(
        error
            .to_string()
            .contains("user `u3@contoso.com` of `entra` would be disabled: accountEnabled: true -> false"),
        "{error}"
    );
    assert_eq!(world.service.runtime().unwrap().version, 1);
    // Looked at again, it goes through.
    let plan = world.service.config_plan(capitals(&world)).await.unwrap();
    let shown = plan.to_string();
    assert!(shown.contains("entra: 1 user would be disabled: u3@contoso.com"), "{shown}");
    assert_eq!(apply(&world, capitals(&world), &plan.hash).await.unwrap().version, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_is_good_for_its_configuration_only() {
    let world = three().await;
    let plan = world.service.config_plan(capitals(&world)).await.unwrap();
    let other = world.changed(PROFILE, DEPARTMENT, "LCase(Trim([department]))");
    let error = apply(&world, other, &plan.hash).await.unwrap_err();
    assert!(error.to_string().contains("was made for another configuration"), "{error}");
    for wrong in ["", "x", "0123456789abcdef0123456789abcdef"] {
        let error = apply(&world, capitals(&world), wrong).await.unwrap_err();
        assert!(error.to_string().contains(&format!("there is no plan `{wrong}`")), "{error}");
    }
    assert_eq!(world.service.runtime().unwrap().version, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_moved_is_held_although_the_application_was_cut_short() {
    let mut world = three().await;
    let plan = world.service.config_plan(capitals(&world)).await.unwrap();
    world.person(2).department = "Research".into();
    import(&world).await;
    world.service.stopper().stop("the test ends it");
    let error = apply(&world, capitals(&world), &plan.hash).await.unwrap_err();
    assert!(matches!(error, ServiceError::Stopped { .. }), "{error}");
    world.service = world.reopen().await;
    assert_eq!(world.service.runtime().unwrap().version, 2, "it is in force already");
    world.step().await;
    assert_eq!(departments(&world), ["SALES", "Sales", "SALES"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn members_that_a_rule_takes_out_are_items_of_their_group() {
    let world = three().await;
    let without = world.changed("rules/in-from-ad-group-common.toml", "\nmember = ", "\n# member = ");
    let plan = world.service.config_plan(without).await.unwrap();
    assert!(effects(&plan).contains(&("links", "entra", 1)), "{plan}");
    let list = std::fs::read_to_string(plan.list.unwrap()).unwrap();
    assert!(list.contains(r#""values":{"removed":3}"#), "{list}");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_what_would_be_created_nothing_is_there_before() {
    let mut world = three().await;
    world.people.push(person(4, "Person 4"));
    import(&world).await;
    let plan = world.service.config_plan(capitals(&world)).await.unwrap();
    assert!(effects(&plan).contains(&("create", "entra", 1)), "{plan}");
    let list = std::fs::read_to_string(plan.list.unwrap()).unwrap();
    let created = list.lines().find(|line| line.contains(r#""effect":"create""#)).unwrap();
    let created: onesync_service::PlanItem = serde_json::from_str(created).unwrap();
    assert!(created.changes.len() > 3, "{created:?}");
    assert!(created.changes.values().all(|change| change.before.is_null()), "{created:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_that_fails_is_an_item_for_each_object() {
    let world = three().await;
    let failing = world.changed(PROFILE, DEPARTMENT, "CStr(CNum([department]))");
    let plan = world.service.config_plan(failing).await.unwrap();
    assert!(effects(&plan).contains(&("error", "entra", 3)), "{plan}");
    assert!(plan.to_string().contains("entra: 3 user would have an error: "), "{plan}");
}

/// Person 2 gets another department between the review and the application: that change is held.
async fn one_moved(world: &mut World, configuration: Configuration) -> Applied {
    let plan = world.service.config_plan(configuration.clone()).await.unwrap();
    world.person(2).department = "Research".into();
    import(world).await;
    apply(world, configuration, &plan.hash).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_held_change_that_changes_once_more_is_judged_anew() {
    let mut world = three().await;
    let configuration = capitals(&world);
    assert_eq!(one_moved(&mut world, configuration).await.held.get("entra"), Some(&1));
    world.step().await;
    assert_eq!(departments(&world)[1], "Sales", "held");
    world.person(2).department = "Board".into();
    world.step().await;
    assert_eq!(departments(&world), ["SALES", "BOARD", "SALES"]);
    assert!(world.service.held_plans(false).unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_moved_is_held_although_the_configuration_was_in_force_already() {
    let mut world = three().await;
    world.service.apply(capitals(&world), "test").await.unwrap();
    let configuration = capitals_in_force(&world);
    assert_eq!(one_moved(&mut world, configuration).await.held.get("entra"), Some(&1));
    world.step().await;
    assert_eq!(departments(&world), ["SALES", "Sales", "SALES"]);
}

/// The configuration in force.
fn capitals_in_force(world: &World) -> Configuration {
    Configuration::parse(world.service.config_files(None).unwrap()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_review_of_who_goes_stays_good_though_something_else_has_moved() {
    let mut world = three().await;
    world.people.retain(|person| person.number != 3);
    import(&world).await;
    let plan = world.service.config_plan(capitals(&world)).await.unwrap();
    assert!(effects(&plan).contains(&("disable", "entra", 1)), "{plan}");
    world.person(1).department = "Research".into();
    import(&world).await;
    let applied = apply(&world, capitals(&world), &plan.hash).await.unwrap();
    assert_eq!(applied.held.get("entra"), Some(&1), "{applied:?}");
    world.step().await;
    assert_eq!(world.in_cloud(3, "accountEnabled"), false, "reviewed");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_oldest_plan_that_is_kept_can_be_applied() {
    let mut world = three().await;
    let first = world.service.config_plan(capitals(&world)).await.unwrap();
    for number in 0..9 {
        let other = world.changed(PROFILE, DEPARTMENT, &format!("Left(Trim([department]), {number})"));
        world.service.config_plan(other).await.unwrap();
    }
    world.person(2).department = "Research".into();
    import(&world).await;
    let applied = apply(&world, capitals(&world), &first.hash).await.unwrap();
    assert_eq!(applied.moved, 2, "in the metaverse and at the target: {applied:?}");
}
