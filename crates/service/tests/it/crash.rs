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
