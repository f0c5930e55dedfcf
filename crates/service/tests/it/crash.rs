//! Connections that break after the cloud has taken a request: nothing is lost, nothing is created twice.

use onesync_graphsim::{FaultAction, FaultPhase, FaultRule};

use crate::world::{World, person};

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_never_came_creates_nobody_twice() {
    let mut world = World::new((1..=5).map(|n| person(n, &format!("Person {n}"))).collect()).await;
    for number in 6..=30 {
        world.people.push(person(number, &format!("Person {number}")));
    }
    world.sim.fault(FaultRule {
        method: Some("POST".into()),
        path: Some("/v1.0/users".into()),
        nth: 3,
        times: 1,
        phase: FaultPhase::After,
        action: FaultAction::Reset,
        ..FaultRule::default()
    });
    world.step().await;
    assert!(world.sim.faults_struck() > 0, "the fault must have struck");
    world.step().await;
    let (_, writes) = world.step().await;
    assert_eq!(writes, Vec::<String>::new());
    assert_eq!(world.errors(), []);
    assert_eq!(world.cloud_users().await, 30);
}

/// The cloud answers that it took a member, and did not.
fn lost_members(times: u64) -> FaultRule {
    let action =
        FaultAction::Status { status: 204, code: None, message: None, retry_after: None, sticky: false };
    FaultRule {
        method: Some("PATCH".into()),
        path: Some("/v1.0/groups/".into()),
        body: Some("members@odata.bind".into()),
        times,
        phase: FaultPhase::Before,
        action,
        ..FaultRule::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_the_cloud_took_and_never_showed_is_sent_again() {
    let mut world = World::new((1..=5).map(|n| person(n, &format!("Person {n}"))).collect()).await;
    world.groups[0].1.retain(|n| *n != 5);
    world.step().await;
    world.sim.fault(lost_members(1));
    world.groups[0].1.push(5);
    let (report, _) = world.step().await;
    assert_eq!(report.exported.links, 1);
    assert_eq!(world.sim.faults_struck(), 1, "the fault must have struck");
    let (report, _) = world.step().await;
    assert_eq!((report.exported.links, report.confirmed), (1, 1), "sent again, and seen");
    let (_, writes) = world.step().await;
    assert_eq!(writes, Vec::<String>::new());
    assert_eq!(world.errors(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_is_never_shown_is_sent_three_times_and_then_named() {
    let mut world = World::new((1..=5).map(|n| person(n, &format!("Person {n}"))).collect()).await;
    world.groups[0].1.retain(|n| *n != 5);
    world.step().await;
    world.sim.fault(lost_members(0));
    world.groups[0].1.push(5);
    let mut sent = 0;
    for _ in 0..6 {
        sent += world.step().await.0.exported.links;
    }
    assert_eq!(sent, 3);
    let errors = world.errors();
    assert!(
        matches!(errors.as_slice(), [(code, _)] if code == "exported-change-not-reimported"),
        "{errors:?}"
    );
}
