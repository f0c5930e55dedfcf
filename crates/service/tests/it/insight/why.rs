//! `explain`: where a value comes from.

use serde_json::json;

use super::{explain, state};
use crate::world::{World, person};

#[tokio::test(flavor = "multi_thread")]
async fn a_value_names_rule_version_object_run_and_time() {
    let mut world = World::new(vec![person(1, "Ada Adams"), person(2, "Ben Brown")]).await;
    world.step().await;
    world.person(2).department = "Research".into();
    world.step().await;
    world.step().await;
    let seen = explain(&world, "u2@contoso.com", Some("department"));
    assert_eq!(seen.attributes.len(), 1);
    let department = &seen.attributes[0];
    assert_eq!(department.value, json!("Research"));
    let from = &department.from[0];
    assert!(from.rule.starts_with("In from AD - User"), "{from:?}");
    assert_eq!((from.configuration, from.rule_changed), (Some(1), false));
    assert_eq!(from.source.as_deref(), Some("directory: CN=Ben Brown,OU=People,DC=contoso,DC=com"));
    assert_eq!(from.step.as_deref(), Some("directory delta-sync"));
    assert!(from.time.is_some());
    assert_eq!(department.changes.len(), 2, "{:#?}", department.changes);
    assert_eq!(
        (&department.changes[0].old, &department.changes[0].new),
        (&json!("Sales"), &json!("Research"))
    );
    assert_eq!(department.changes[0].run, from.run);
    assert_eq!(seen.there.len(), 2, "{:#?}", seen.there);
    let cloud = state(&seen, "entra");
    assert_eq!(cloud.state, "as it should be", "{cloud:#?}");
    assert_eq!(cloud.target.attributes.len(), 1, "only what is about it: {:#?}", cloud.target.attributes);
    assert_eq!(cloud.target.attributes[0].before, json!("Research"));
    assert_eq!(seen.next, Vec::<String>::new());

    // A changed rule: its old version gave the value, until the next sync.
    world
        .reconfigure("rules/in-from-ad-user-common.toml", "\"Trim([department])\"", "\"RTrim([department])\"")
        .await;
    let seen = explain(&world, "u2@contoso.com", Some("department"));
    let from = &seen.attributes[0].from[0];
    assert!(from.rule.starts_with("In from AD - User Common"), "{from:?}");
    assert!(from.rule_changed, "{from:?}");
    let whole = explain(&world, "cs:2", None);
    assert_eq!(whole.object.unwrap().name, "CN=Ben Brown,OU=People,DC=contoso,DC=com");
    assert!(whole.attributes.len() > 5 && whole.joined.len() == 2);
    assert!(whole.joined.iter().any(|joined| joined.ours) && whole.joined.iter().any(|joined| !joined.ours));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attribute_without_value_says_what_was_asked() {
    let world = World::new(vec![person(1, "Ada Adams")]).await;
    let seen = explain(&world, "u1@contoso.com", Some("title"));
    let title = &seen.attributes[0];
    assert!(title.value.is_null() && title.why_not.is_some(), "{title:#?}");
    assert_eq!(title.candidates[0].result, "nothing");
    assert!(title.candidates[0].reads.contains_key("title"));
    // Of an attribute that no rule reads, the directory tells us nothing.
    let seen = explain(&world, "u1@contoso.com", Some("objectGUID"));
    assert!(!seen.there.is_empty());
    let runtime = world.service.runtime().unwrap();
    let error = world.service.explain(&runtime, "u1@contoso.com", Some("departmnet")).unwrap_err();
    assert!(error.hint().unwrap().contains("`department`"), "{error}: {:?}", error.hint());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_that_stays_says_why() {
    let mut world = World::staging_with(vec![person(1, "Ada Adams")], |setup| {
        setup.inbound("[flow]\nemployeeType = { expr = \"[department]\", once = true }\n");
    })
    .await;
    world.go_live().await;
    world.person(1).department = "Research".into();
    world.step().await;
    let seen = explain(&world, "u1@contoso.com", Some("employeeType"));
    assert_eq!(seen.attributes[0].value, json!("Sales"));
    assert!(seen.attributes[0].retained.unwrap().contains("once"), "{:#?}", seen.attributes[0]);
}
