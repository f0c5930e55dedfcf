//! The same error on many objects stops the export of its attribute; different errors, or few, do not.

use onesync_graphsim::{FaultAction, FaultRule};
use onesync_service::Status;
use onesync_service::look::HeldDecision;
use serde_json::Value as Json;

use crate::world::{World, person};

const INBOUND: &str = "rules/in-from-ad-user-common.toml";
const OUTBOUND: &str = "rules/out-to-entra-user-profile.toml";
/// Flows that fail on departments that are no number.
const TRIMMED: &str = "department = \"Trim([department])\"";
const NUMBERED: &str = "department = \"CStr(CNum([department]))\"";

/// Thirty people; the department of the last ten is a number.
async fn thirty() -> World {
    let mut people: Vec<_> = (1..=30).map(|n| person(n, &format!("Person {n}"))).collect();
    people[20..].iter_mut().for_each(|person| person.department = "100".into());
    World::new(people).await
}

fn held(world: &World) -> Vec<Json> {
    world.service.held_list(&world.service.runtime().unwrap(), false).unwrap()
}

fn decide(world: &World, decision: HeldDecision) {
    let hash = held(world)[0]["hash"].as_str().unwrap().to_owned();
    world.service.held_decide(&hash, decision, "anna").unwrap();
}

/// What `pending` says of one object.
fn pending(world: &World, name: &str) -> (String, Option<String>) {
    let runtime = world.service.runtime().unwrap();
    let rows = world.service.pending(&runtime, runtime.connector("entra").unwrap(), 1_000).unwrap();
    let row = rows.into_iter().find(|row| row.object == name).expect("nothing is pending");
    (row.state, row.waits)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_that_fails_on_many_stops_its_attribute_until_the_source_is_right() {
    let mut world = thirty().await;
    world.reconfigure(INBOUND, TRIMMED, NUMBERED).await;
    world.person(25).department = "101".into();
    let (report, writes) = world.step().await;
    assert_eq!((report.status, writes), (Some(Status::Held), Vec::new()));
    assert_eq!(report.exported.held, 1, "one object has something to write");
    let [stopped] = report.stopped.as_slice() else { panic!("{:?}", report.stopped) };
    assert!(stopped.starts_with("`entra`, user: `department` is not exported"), "{stopped}");
    assert_eq!(world.in_cloud(25, "department"), "100");
    let (state, why) = pending(&world, "u25@contoso.com");
    assert_eq!(state, "stopped");
    assert!(why.unwrap().contains("20 of 30 user objects of `directory` have the same error"));

    // Everybody's other attributes go on, and so does a new object, without the attribute.
    world.person(25).name = "Person Renamed".into();
    world.people.push(person(31, "Newcomer"));
    world.person(31).department = "102".into();
    let (_, writes) = world.step().await;
    assert_eq!(writes.len(), 2, "{writes:?}");
    assert_eq!(world.in_cloud(25, "displayName"), "Person Renamed");
    assert_eq!(world.in_cloud(25, "department"), "100");
    assert_eq!(world.in_cloud(31, "department"), Json::Null);
    let (state, why) = pending(&world, "u31@contoso.com");
    assert!(state == "stopped" && why.is_some(), "{state}");
    let status = world.service.status().unwrap();
    assert!(status.alarms.iter().any(|alarm| alarm.contains("`department` is not exported")), "{status:?}");
    assert_eq!(world.cloud_status().stopped.len(), 1);
    let plans = held(&world);
    assert_eq!(plans.len(), 1, "{plans:?}");
    let items =
        world.service.held_show(&world.service.runtime().unwrap(), plans[0]["hash"].as_str().unwrap());
    assert_eq!(items.unwrap().len(), 2, "the two whose departments wait");

    // The source is put right for most: what is left is a matter of single objects.
    (1..=10).for_each(|n| world.person(n).department = "7".into());
    let (report, writes) = world.step().await;
    assert_eq!((report.status, writes.len()), (Some(Status::ObjectErrors), 12), "{writes:?}");
    assert_eq!(world.in_cloud(25, "department"), "101");
    assert_eq!(world.in_cloud(31, "department"), "102");
    assert_eq!(world.in_cloud(15, "department"), "Sales", "those that fail keep what they have");
    assert_eq!((held(&world).len(), world.cloud_status().stopped.len()), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn as_many_different_errors_stop_nothing() {
    let mut world = thirty().await;
    (1..=10).for_each(|n| world.person(n).department = "Other".into());
    world.step().await;
    let two =
        "department = 'IIF([department] = \"Sales\", CStr(CNum([department])), CStr(CNum([department])))'";
    world.reconfigure(INBOUND, TRIMMED, two).await;
    world.person(25).department = "101".into();
    let (report, writes) = world.step().await;
    assert_eq!((report.status, writes.len()), (Some(Status::ObjectErrors), 1), "{writes:?}");
    assert_eq!(world.errors().len(), 20);
    assert_eq!((world.in_cloud(25, "department"), held(&world).len()), ("101".into(), 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outbound_flow_that_fails_on_many_stops_it_too_and_a_release_lasts_as_long_as_it_stands() {
    let mut world = thirty().await;
    let flow = "department = \"IIF(IsNullOrEmpty([department]), NULL, Left(Trim([department]), 64))\"";
    world.reconfigure(OUTBOUND, flow, NUMBERED).await;
    world.person(25).department = "101".into();
    let (report, writes) = world.step().await;
    assert_eq!((report.status, writes.len()), (Some(Status::Held), 0));
    decide(&world, HeldDecision::Reject);
    let (report, writes) = world.step().await;
    assert_eq!((report.status, writes.len(), held(&world).len()), (Some(Status::Held), 0, 0));
    decide_again(&world, HeldDecision::Release);
    let (report, writes) = world.step().await;
    assert_eq!((report.status, writes.len()), (Some(Status::ObjectErrors), 1));
    // More of the same: what was released is this error, not these objects.
    world.person(26).department = "none".into();
    world.person(27).department = "102".into();
    let (report, writes) = world.step().await;
    assert_eq!((report.status, writes.len()), (Some(Status::ObjectErrors), 1));
    // It ends, and comes back: that is another time.
    (1..=20).for_each(|n| world.person(n).department = "7".into());
    world.step().await;
    (1..=20).for_each(|n| world.person(n).department = "Sales".into());
    world.person(28).department = "103".into();
    let (report, writes) = world.step().await;
    assert_eq!((report.status, writes.len(), held(&world).len()), (Some(Status::Held), 0, 1));
}

/// Decides once more about what was decided.
fn decide_again(world: &World, decision: HeldDecision) {
    let all = world.service.held_list(&world.service.runtime().unwrap(), true).unwrap();
    let rejected = all.iter().find(|plan| plan["state"] == "rejected").unwrap();
    world.service.held_decide(rejected["hash"].as_str().unwrap(), decision, "anna").unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn values_that_the_target_refuses_stop_their_attribute_until_other_values_come() {
    let mut world = thirty().await;
    world.sim.fault(FaultRule {
        method: Some("PATCH".into()),
        path: Some("/users/".into()),
        body: Some("department".into()),
        times: 0,
        action: FaultAction::Status {
            status: 400,
            code: Some("Request_BadRequest".into()),
            message: Some("Invalid value specified for property 'department' of resource 'User'.".into()),
            retry_after: None,
            sticky: false,
        },
        ..FaultRule::default()
    });
    (1..=20).for_each(|n| world.person(n).department = "Refused".into());
    world.step().await;
    assert_eq!(world.errors().len(), 20, "{:?}", world.errors());
    assert_eq!(world.cloud_status().stopped.len(), 1);
    world.person(25).department = "101".into();
    let (report, writes) = world.step().await;
    assert_eq!((report.status, writes), (Some(Status::Held), Vec::new()), "nobody else's is even tried");
    // The directory takes them again, and most get other values: these are tried, and with them the one that waited.
    world.sim.clear_faults();
    (1..=12).for_each(|n| world.person(n).department = "Taken".into());
    let (report, writes) = world.step().await;
    assert_eq!((report.status, writes.len()), (Some(Status::ObjectErrors), 13), "{writes:?}");
    assert_eq!(world.in_cloud(25, "department"), "101");
    assert_eq!(world.errors().len(), 8, "what was refused and has not changed stays as it is");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_object_waits_for_what_it_needs_and_leavers_are_disabled_all_the_same() {
    let mut world = thirty().await;
    let enabled = "rules/in-from-ad-user-account-enabled.toml";
    let text = String::from_utf8(world.service.config_files(None).unwrap()[enabled].clone()).unwrap();
    let flow = text.lines().find(|line| line.starts_with("accountEnabled")).unwrap().to_owned();
    let failing = "accountEnabled = 'IIF([department] = \"Sales\", CBool(CNum([department])), True)'";
    world.reconfigure(enabled, &flow, failing).await;
    world.people.push(person(31, "Newcomer"));
    world.person(31).department = "100".into();
    world.people.retain(|person| person.number != 3);
    world.groups[0].1.retain(|n| *n != 3);
    let (report, writes) = world.step().await;
    assert_eq!(report.status, Some(Status::Held));
    assert!(writes.iter().all(|write| !write.starts_with("POST /v1.0/users")), "{writes:?}");
    assert_eq!(world.in_cloud(3, "accountEnabled"), false, "who leaves is out at once");
    assert_eq!(pending(&world, "u31@contoso.com").0, "stopped");
    let alarms = world.service.status().unwrap().alarms;
    assert!(alarms.iter().any(|alarm| alarm.contains("objects: flow:accountEnabled")), "{alarms:?}");
    world.reconfigure(enabled, failing, &flow).await;
    let (report, writes) = world.step().await;
    assert_eq!((report.status, writes), (Some(Status::Done), vec!["POST /v1.0/users".to_owned()]));
}

/// The cloud refuses one member, whatever group it is to be put into.
fn refuse_member(world: &World, number: u32) {
    let id = world.in_cloud(number, "id").as_str().unwrap().to_owned();
    for method in ["PATCH", "POST"] {
        world.sim.fault(FaultRule {
            method: Some(method.into()),
            path: Some("/groups/".into()),
            body: Some(id.clone()),
            times: 0,
            action: FaultAction::Status {
                status: 400,
                code: Some("Request_BadRequest".into()),
                message: Some("The member cannot be added.".into()),
                retry_after: None,
                sticky: false,
            },
            ..FaultRule::default()
        });
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn members_that_are_refused_stop_new_members_until_they_go_or_are_taken_and_removals_go_on() {
    let mut world = World::staging((1..=30).map(|n| person(n, &format!("Person {n}"))).collect()).await;
    world.groups.extend((1..=19).map(|n| (format!("Group {n}"), vec![1, 2])));
    world.write();
    world.go_live().await;
    world.step().await;
    refuse_member(&world, 30);
    let join = |world: &mut World| world.groups[1..=12].iter_mut().for_each(|(_, of)| of.push(30));
    join(&mut world);
    world.step().await;
    assert_eq!((world.errors().len(), world.cloud_status().stopped.len()), (12, 1), "{:?}", world.errors());

    // Somebody is put into a group and waits; who is taken out of one is out.
    world.groups[19].1 = vec![1, 29];
    let (report, _) = world.step().await;
    assert_eq!(report.status, Some(Status::Held));
    assert_eq!(world.cloud_members("Group 19"), ["u1@contoso.com"]);
    let runtime = world.service.runtime().unwrap();
    let rows = world.service.pending(&runtime, runtime.connector("entra").unwrap(), 1_000).unwrap();
    let stopped: Vec<_> = rows.iter().filter(|row| row.state == "stopped").collect();
    assert!(stopped.len() == 1 && stopped[0].object.contains("Group 19"), "{stopped:?}");
    let hash = held(&world)[0]["hash"].as_str().unwrap().to_owned();
    assert_eq!(world.service.held_show(&runtime, &hash).unwrap().len(), 1, "what is tried does not wait");

    // The members go at the source: nothing fails any more, and nothing waits.
    world.groups[1..=12].iter_mut().for_each(|(_, of)| of.truncate(2));
    let (report, _) = world.step().await;
    assert_eq!((report.status, world.errors()), (Some(Status::Done), Vec::new()));
    assert_eq!(world.cloud_members("Group 19"), ["u1@contoso.com", "u29@contoso.com"]);

    // They come again, are refused again, and then taken: retries end it.
    join(&mut world);
    world.step().await;
    world.groups[19].1 = vec![1, 28];
    world.step().await;
    assert_eq!((world.errors().len(), world.cloud_members("Group 19").len()), (12, 1));
    world.sim.clear_faults();
    world.step().await;
    assert_eq!((world.errors(), world.cloud_status().stopped.len()), (Vec::new(), 0));
    let (report, _) = world.step().await;
    assert_eq!(report.status, Some(Status::Done));
    assert_eq!(world.cloud_members("Group 19"), ["u1@contoso.com", "u28@contoso.com"]);
    assert!(world.cloud_members("Group 5").contains(&"u30@contoso.com".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_is_refused_stays_an_error_when_others_are_taken() {
    let mut world = World::new((1..=5).map(|n| person(n, &format!("Person {n}"))).collect()).await;
    world.groups.push(("Group".to_owned(), vec![1]));
    world.step().await;
    refuse_member(&world, 5);
    world.groups[1].1 = vec![1, 5];
    // By and by it is tried less often than a cycle runs.
    for _ in 0..4 {
        world.step().await;
    }
    world.groups[1].1 = vec![1, 2, 5];
    let (_, writes) = world.step().await;
    assert_eq!(writes.len(), 1, "only the new one is sent: {writes:?}");
    assert_eq!(world.cloud_members("Group"), ["u1@contoso.com", "u2@contoso.com"]);
    assert_eq!(world.errors().len(), 1, "{:?}", world.errors());
    world.groups[1].1 = vec![1, 2];
    world.step().await;
    assert_eq!(world.errors(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_changes_that_wait_the_first_are_shown_and_the_rest_counted() {
    let mut people: Vec<_> = (1..=150).map(|n| person(n, &format!("Person {n}"))).collect();
    people[20..].iter_mut().for_each(|person| person.department = "100".into());
    let mut world = World::new(people).await;
    world.reconfigure(INBOUND, TRIMMED, NUMBERED).await;
    world.people[20..].iter_mut().for_each(|person| person.department = "101".into());
    let (report, _) = world.step().await;
    assert_eq!(report.exported.held, 130);
    let runtime = world.service.runtime().unwrap();
    let items = world.service.held_show(&runtime, held(&world)[0]["hash"].as_str().unwrap()).unwrap();
    assert_eq!(items.len(), 101);
    assert!(items[0].object.starts_with('u') && items[0].change.contains("department"), "{:?}", items[0]);
    assert!(items[100].change.starts_with("and 30 more"), "{:?}", items[100]);
}
