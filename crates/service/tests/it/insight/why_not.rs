//! `explain`: whatever can keep an object from where it might be expected is named.

use onesync_graphsim::{FaultAction, FaultRule};
use onesync_service::CycleKind;
use serde_json::json;

use super::{explain, reasons, state};
use crate::contact::{account, anchor};
use crate::world::{Person, World, person};

fn people(count: u32) -> Vec<Person> {
    (1..=count).map(|n| person(n, &format!("Person {n}"))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_knows_it() {
    let world = World::staging(people(1)).await;
    let runtime = world.service.runtime().unwrap();
    let dn = "CN=Nobody,OU=People,DC=contoso,DC=com";
    let seen = explain(&world, dn, None);
    reasons(&seen.why_not, "never-imported");
    world.write();
    world.cycle(CycleKind::Initial).await;
    let seen = explain(&world, dn, None);
    assert!(reasons(&seen.why_not, "not-read")[0].contains("user"), "{:#?}", seen.why_not);
    let error = world.service.explain(&runtime, "nobody@contoso.com", None).unwrap_err();
    assert!(error.to_string().contains("nobody@contoso.com") && error.hint().is_some(), "{error}");
    let error = world.service.explain(&runtime, "Person", None);
    assert!(error.is_ok(), "one person has it");
}

#[tokio::test(flavor = "multi_thread")]
async fn it_lies_where_nothing_is_read() {
    let mut world = World::staging(people(1)).await;
    world
        .reconfigure(
            "connectors/source.toml",
            "[settings]\n",
            "[settings]\nbase = \"OU=People,DC=contoso,DC=com\"\n",
        )
        .await;
    world.write();
    world.cycle(CycleKind::Initial).await;
    let seen = explain(&world, "CN=Everyone,OU=Groups,DC=contoso,DC=com", None);
    let filtered = reasons(&seen.why_not, "filtered-container");
    assert!(filtered[0].contains("directory") && seen.why_not[0].hint.as_ref().unwrap().contains("base"));
    world.people.clear();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_scope_leaves_it_out() {
    let mut world = World::staging(people(2)).await;
    world.leave_scope(2);
    world.write();
    world.cycle(CycleKind::Initial).await;
    let seen = explain(&world, "CN=Person 2,OU=People,DC=contoso,DC=com", None);
    let out = reasons(&seen.why_not, "out-of-scope");
    assert!(
        out.iter().any(|text| text.contains("In from AD - User Join")
            && text.contains("adminDescription NOTSTARTSWITH")
            && text.contains("User_NoSync")),
        "{out:#?}"
    );
    assert!(seen.metaverse.is_none() && seen.targets.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outbound_scope_leaves_it_out() {
    let world = World::staging_with(people(1), |setup| {
        setup.inbound("[flow]\ncloudFiltered = \"True\"\n");
    })
    .await;
    world.write();
    world.cycle(CycleKind::Initial).await;
    let seen = explain(&world, "u1@contoso.com", None);
    let cloud = state(&seen, "entra");
    assert_eq!(cloud.state, "not there");
    let out = reasons(&cloud.target.why_not, "out-of-scope");
    assert!(out[0].contains("cloudFiltered") && out[0].contains("it has true"), "{out:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_to_join_by_and_nobody_to_join() {
    let world = World::staging_with(people(2), |setup| {
        let rule = "name = \"In from AD - User Join\"\ndirection = \"inbound\"\nconnector = \"directory\"\nobject = \"user\"\n\
            metaverse = \"person\"\nlink = \"LINK\"\nprecedence = 100\n[[join]]\nconditions = [{ connector = \"employeeID\", metaverse = \"employeeID\" }]\n\
            [flow]\nemployeeID = \"[employeeID]\"\n";
        setup.rules.insert("rules/in-from-ad-user-join.toml".into(), rule.replace("LINK", "provision"));
        setup.lines.insert(2, "employeeID: 7\n".into());
    })
    .await;
    world.write();
    world.cycle(CycleKind::Initial).await;
    let seen = explain(&world, "CN=Person 1,OU=People,DC=contoso,DC=com", None);
    reasons(&seen.why_not, "no-value");
    reasons(&seen.why_not, "nothing-to-join-by");
    world.reconfigure("rules/in-from-ad-user-join.toml", "\"provision\"", "\"join\"").await;
    world.cycle(CycleKind::Initial).await;
    let seen = explain(&world, "CN=Person 1,OU=People,DC=contoso,DC=com", None);
    reasons(&seen.why_not, "no-provision");
}

#[tokio::test(flavor = "multi_thread")]
async fn rivals_and_anchors_that_come_twice() {
    let mut people = people(3);
    people[1].sid = 1;
    people[2].number = 7;
    let world = World::staging(people).await;
    world.write();
    world.cycle(CycleKind::Initial).await;
    let seen = explain(&world, "CN=Person 2,OU=People,DC=contoso,DC=com", None);
    assert!(reasons(&seen.why_not, "rivals")[0].contains("Person 1"), "{:#?}", seen.why_not);
    assert!(reasons(&seen.why_not, "refused")[0].contains("duplicate-join-key"));
    let text = std::fs::read_to_string(world.ldif()).unwrap();
    std::fs::write(world.ldif(), text.replace("guid-00000000002", "guid-00000000001")).unwrap();
    world.cycle(CycleKind::Initial).await;
    let seen = explain(&world, "guid-00000000001", None);
    let known = seen.why_not.iter().chain(seen.targets.iter().flat_map(|state| &state.target.why_not));
    assert!(known.clone().any(|reason| reason.code == "conflict"), "{seen:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn staging_pilot_and_what_nobody_can_write() {
    let mut world = World::staging_with(people(3), |setup| {
        setup.cloud("[pilot]\npeople = [\"u1@contoso.com\"]\n");
    })
    .await;
    world.write();
    world.cycle(CycleKind::Initial).await;
    let seen = explain(&world, "u1@contoso.com", None);
    let cloud = state(&seen, "entra");
    assert_eq!(cloud.state, "not there yet");
    reasons(&cloud.target.why_not, "staging");
    world.go_live().await;
    world.step().await;
    let inside = explain(&world, "u1@contoso.com", None);
    assert_eq!(state(&inside, "entra").state, "as it should be", "{:#?}", state(&inside, "entra"));
    let outside = explain(&world, "u2@contoso.com", None);
    assert_eq!(reasons(&state(&outside, "entra").target.why_not, "pilot").len(), 1);
    // A mail-enabled group cannot be written through Graph by anybody.
    let text = std::fs::read_to_string(world.ldif()).unwrap();
    std::fs::write(
        world.ldif(),
        text.replace("sAMAccountName: g0\n", "sAMAccountName: g0\nmail: all@contoso.com\n"),
    )
    .unwrap();
    world.cycle(CycleKind::Delta).await;
    let seen = explain(&world, "g0", None);
    assert!(!state(&seen, "entra").target.why_not.is_empty(), "{:#?}", state(&seen, "entra"));
    world.people.clear();
}

#[tokio::test(flavor = "multi_thread")]
async fn held_rejected_refused_and_stopped() {
    let mut world = World::new(people(100)).await;
    world.step().await;
    for person in &mut world.people[..15] {
        person.enabled = false;
    }
    world.step().await;
    let seen = explain(&world, "u3@contoso.com", None);
    let cloud = state(&seen, "entra");
    assert_eq!(cloud.state, "changes are pending");
    assert!(
        reasons(&cloud.target.why_not, "held")[0].contains("15 disablings"),
        "{:#?}",
        cloud.target.why_not
    );
    let runtime = world.service.runtime().unwrap();
    let plans = world.service.held_list(&runtime, false).unwrap();
    let hash = plans[0]["hash"].as_str().unwrap();
    world.service.held_decide(hash, onesync_service::look::HeldDecision::Reject, "test").unwrap();
    let seen = explain(&world, "u3@contoso.com", None);
    reasons(&state(&seen, "entra").target.why_not, "rejected");

    world.sim.fault(FaultRule {
        method: Some("PATCH".to_owned()),
        path: Some("/users/".to_owned()),
        action: FaultAction::Status {
            status: 400,
            code: Some("Request_BadRequest".to_owned()),
            message: Some("The name is not to our taste.".to_owned()),
            retry_after: None,
            sticky: false,
        },
        times: 0,
        ..FaultRule::default()
    });
    world.person(50).department = "Research".into();
    world.step().await;
    let seen = explain(&world, "u50@contoso.com", None);
    assert!(reasons(&state(&seen, "entra").target.why_not, "refused")[0].contains("not to our taste"));
    for person in &mut world.people[40..80] {
        person.department = "Elsewhere".into();
    }
    world.step().await;
    world.person(90).department = "Nowhere".into();
    world.step().await;
    let seen = explain(&world, "u90@contoso.com", None);
    let why = &state(&seen, "entra").target.why_not;
    assert!(why.iter().any(|reason| matches!(reason.code, "stopped" | "refused")), "{why:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn suffixes_and_missing_values_that_make_a_new_object_wait() {
    let mut people = people(2);
    people[1].suffix = "unknown.example";
    let world = World::staging(people).await;
    world.write();
    world.cycle(CycleKind::Initial).await;
    let seen = explain(&world, "CN=Person 2,OU=People,DC=contoso,DC=com", None);
    let errors = reasons(&state(&seen, "entra").target.why_not, "error");
    assert!(errors.iter().any(|text| text.contains("unknown.example")), "{errors:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_there_already_and_whose_it_is() {
    let mut world = World::staging_with(people(5), |setup| {
        setup.settings = "protected = [\"u4@contoso.com\"]\n".into();
        let mastered =
            json!({"onPremisesImmutableId": anchor(1), "onPremisesSyncEnabled": true, "department": "Old"});
        setup.seed.users = vec![
            account("u1@contoso.com", mastered),
            account("u3@contoso.com", json!({})),
            account("u4@contoso.com", json!({"onPremisesImmutableId": anchor(4)})),
            account("stranger@contoso.com", json!({})),
        ];
    })
    .await;
    world.write();
    world.cycle(CycleKind::Initial).await;
    let seen = explain(&world, "u1@contoso.com", None);
    reasons(&state(&seen, "entra").target.why_not, "mastered-elsewhere");
    // Somebody has the name, and may not be taken by it.
    let seen = explain(&world, "CN=Person 3,OU=People,DC=contoso,DC=com", None);
    assert!(reasons(&state(&seen, "entra").target.why_not, "conflict")[0].contains("u3@contoso.com"));
    assert!(state(&seen, "entra").target.place.steps.iter().any(|step| step.result == "refused"));
    let seen = explain(&world, "CN=Person 4,OU=People,DC=contoso,DC=com", None);
    assert!(reasons(&state(&seen, "entra").target.why_not, "conflict")[0].contains("protected"));
    let seen = explain(&world, "stranger@contoso.com", None);
    assert!(!seen.why_not.is_empty() && seen.metaverse.is_none(), "{seen:#?}");

    world.activate();
    world.cycle(CycleKind::Delta).await;
    // Who is gone at the source, and not yet there.
    world.people.retain(|person| person.number != 5);
    world.step().await;
    let seen = explain(&world, "u5@contoso.com", None);
    assert!(reasons(&state(&seen, "entra").target.why_not, "leaving")[0].contains("was deleted"));
}
