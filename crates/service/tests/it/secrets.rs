//! Secrets are replaced without a restart, and the one before stays in use until the new one has worked.

use std::time::Duration;

use onesync_graphsim::SecretConfig;

use crate::world::{World, person};

/// Longer than anything that is waited for needs on a busy machine.
const LONG: Duration = Duration::from_secs(300);

fn set(world: &World, values: &[&str], expires_ms: Option<i64>) {
    let secrets: Vec<SecretConfig> =
        values.iter().map(|v| SecretConfig { value: (*v).to_owned(), expires_ms }).collect();
    world.sim.change_tenant(move |tenant| tenant.applications[0].secrets = secrets);
}

fn kept(world: &World) -> bool {
    world.service.secrets().unwrap()[0].2
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_secret_takes_over_when_it_works_and_not_before() {
    let mut world = World::new((1..=3).map(|n| person(n, &format!("Person {n}"))).collect()).await;
    let old = onesync_graphsim::DEFAULT_CLIENT_SECRET;

    // A wrong one: the service goes on with the old one and says so.
    world.service.set_secret("graph", b"mistyped").unwrap();
    world.people[0].department = "Research".into();
    let (report, writes) = world.step().await;
    assert_eq!((report.failures.len(), writes.len()), (0, 1), "{:?}", report.failures);
    let alarms = world.service.status().unwrap().alarms;
    assert!(
        alarms.iter().any(|a| a.contains("`graph` is refused") && a.contains("secret is wrong")),
        "{alarms:?}"
    );
    assert!(kept(&world));

    // Set again, right this time; what has never worked is not kept in place of the old one.
    world.service.set_secret("graph", b"second").unwrap();
    set(&world, &[old, "second"], None);
    world.people[0].department = "Sales".into();
    let (report, _) = world.step().await;
    assert_eq!(report.failures.len(), 0, "{:?}", report.failures);
    assert!(!kept(&world), "the old one is gone once the new one worked");
    assert!(!world.service.status().unwrap().alarms.iter().any(|a| a.contains("secret")));
    set(&world, &["second"], None);
    world.people[0].department = "Research".into();
    let (report, writes) = world.step().await;
    assert_eq!((report.failures.len(), writes.len()), (0, 1), "{:?}", report.failures);
}

#[tokio::test(flavor = "multi_thread")]
async fn status_warns_before_a_secret_ends_without_asking_anybody() {
    let world = World::staging(vec![person(1, "Person 1")]).await;
    let in_days = |days: i64| world.sim.now_ms() + days * 86_400_000;
    set(&world, &[onesync_graphsim::DEFAULT_CLIENT_SECRET], Some(in_days(20)));
    world.cycle(onesync_service::CycleKind::Initial).await;
    let said = |text: &str| {
        let alarms = world.service.status().unwrap().alarms;
        alarms.iter().any(|alarm| alarm.contains("client secret") && alarm.contains(text))
    };
    assert!(said("within 30 days"), "{:?}", world.service.status().unwrap().alarms);
    let mark = world.sim.log_mark();
    world.clock.advance_seconds(14 * 86_400);
    assert!(said("within 7 days"));
    world.clock.advance_seconds(5 * 86_400);
    assert!(said("within a day"));
    world.clock.advance_seconds(2 * 86_400);
    assert!(said("has ended"));
    assert_eq!(world.sim.log(mark).len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_is_set_while_another_is_tried_is_the_one_that_counts() {
    let world = World::new(vec![person(1, "Person 1")]).await;
    let old = onesync_graphsim::DEFAULT_CLIENT_SECRET;
    set(&world, &[old, "second", "third"], None);
    world.service.set_secret("graph", b"second").unwrap();
    world.sim.fault(onesync_graphsim::FaultRule {
        path: Some("/oauth2/v2.0/token".into()),
        action: onesync_graphsim::FaultAction::Hold,
        ..onesync_graphsim::FaultRule::default()
    });
    let meanwhile = async {
        let asked = async {
            while world.sim.faults_struck() == 0 {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(LONG, asked).await.expect("nobody signs in");
        world.service.set_secret("graph", b"third").unwrap();
        world.sim.clear_faults();
    };
    let (report, ()) = tokio::join!(world.cycle(onesync_service::CycleKind::Delta), meanwhile);
    assert_eq!(report.failures.len(), 0, "{:?}", report.failures);
    assert!(kept(&world), "the one that worked says nothing about the one set since");
    set(&world, &["third"], None);
    let report = world.cycle(onesync_service::CycleKind::Delta).await;
    assert_eq!((report.failures.len(), kept(&world)), (0, false), "{:?}", report.failures);
}
