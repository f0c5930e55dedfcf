//! Members and managers.

use onesync_connectors::{ErrorClass, ExportOutcome};
use serde_json::json;

use super::lab::{Lab, created, done};

async fn people(lab: &Lab, count: usize) -> Vec<String> {
    let items = (0..count).map(|n| lab.user(&format!("u{n}"))).collect();
    lab.export(items).await.iter().map(created).collect()
}

fn members(lab: &Lab, group: &str) -> Vec<String> {
    let object = lab.object("groups", group);
    let mut ids: Vec<String> = object["members"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|m| m.as_str().map(str::to_owned))
        .collect();
    ids.sort();
    ids
}

#[tokio::test]
async fn members_are_added_twenty_at_a_time_and_removed_one_by_one() {
    let lab = Lab::new().await;
    let ids = people(&lab, 45).await;
    let refs: Vec<&str> = ids.iter().map(String::as_str).collect();
    let mut group = lab.group("team");
    group.links = vec![lab.links("members", &refs, &[])];
    let mark = lab.sim.log_mark();
    let team = lab.create(group).await;
    let binds = lab.writes(mark).iter().filter(|w| **w == format!("PATCH /v1.0/groups/{team}")).count();
    assert_eq!(binds, 3);
    assert_eq!(members(&lab, &team).len(), 45);
    done(&lab.export(vec![lab.link("group", &team, "members", &[], &refs[..30])]).await[0]);
    assert_eq!(members(&lab, &team).len(), 15);
    // The members themselves are still there.
    assert_eq!(lab.sim.dump()["users"].as_array().unwrap().len(), 45);
    lab.finish().await;
}

#[tokio::test]
async fn what_is_so_already_is_done() {
    for flavour in [false, true] {
        let lab = Lab::behaving(|b| b.remove_missing_is_400 = flavour).await;
        let ids = people(&lab, 3).await;
        let team = lab.create(lab.group("team")).await;
        let item = |add: &[&str], remove: &[&str]| lab.link("group", &team, "members", add, remove);
        done(&lab.export(vec![item(&[&ids[0]], &[])]).await[0]);
        done(&lab.export(vec![item(&[&ids[0], &ids[1]], &[&ids[2]])]).await[0]);
        let mut expected = vec![ids[0].clone(), ids[1].clone()];
        expected.sort();
        assert_eq!(members(&lab, &team), expected);
        done(&lab.export(vec![lab.link("user", &ids[0], "manager", &[], &[&ids[1]])]).await[0]);
        lab.finish().await;
    }
}

#[tokio::test]
async fn a_target_that_is_not_there_is_refused_by_name_and_the_others_are_added() {
    let lab = Lab::new().await;
    let ids = people(&lab, 3).await;
    let team = lab.create(lab.group("team")).await;
    let nobody = "11111111-2222-4333-8444-555555555555";
    let mut user = lab.update("user", &ids[0], json!({"city": "Ulm"}));
    user.links = vec![lab.links("manager", &[nobody], &[])];
    let results =
        lab.export(vec![lab.link("group", &team, "members", &[&ids[0], nobody, &ids[1]], &[]), user]).await;
    for result in &results {
        assert!(matches!(result.outcome, ExportOutcome::Done { .. }), "{result:?}");
        assert_eq!(result.refused.len(), 1);
        assert_eq!(result.refused[0].target.as_ref().map(ToString::to_string).as_deref(), Some(nobody));
        assert_eq!(result.refused[0].error.class, ErrorClass::Object);
    }
    assert_eq!(members(&lab, &team).len(), 2);
    assert_eq!(lab.object("users", &ids[0])["city"], "Ulm");
    lab.finish().await;
}

#[tokio::test]
async fn managers_are_set_changed_and_removed() {
    let lab = Lab::new().await;
    let ids = people(&lab, 3).await;
    let manager = |add: &[&str], remove: &[&str]| lab.link("user", &ids[0], "manager", add, remove);
    done(&lab.export(vec![manager(&[&ids[1]], &[])]).await[0]);
    assert_eq!(lab.object("users", &ids[0])["manager"], json!(ids[1]));
    done(&lab.export(vec![manager(&[&ids[2]], &[&ids[1]])]).await[0]);
    assert_eq!(lab.object("users", &ids[0])["manager"], json!(ids[2]));
    done(&lab.export(vec![manager(&[], &[&ids[2]])]).await[0]);
    assert_eq!(lab.object("users", &ids[0])["manager"], json!(null));
    lab.finish().await;
}

#[tokio::test]
async fn owners_cannot_be_written() {
    let lab = Lab::new().await;
    let ids = people(&lab, 1).await;
    let team = lab.create(lab.group("team")).await;
    let result = &lab.export(vec![lab.link("group", &team, "owners", &[&ids[0]], &[])]).await[0];
    assert_eq!(result.refused[0].error.code, "GRAPH-READ-ONLY");
    lab.finish().await;
}

#[tokio::test]
async fn new_objects_that_are_not_seen_yet_are_waited_for() {
    let lab = Lab::behaving(|b| b.blind_reads = 2).await;
    let ids = people(&lab, 2).await;
    let mut group = lab.group("team");
    group.links = vec![lab.links("members", &[&ids[0], &ids[1]], &[])];
    let mut user = lab.update("user", &ids[0], json!({"city": "Ulm"}));
    user.links = vec![lab.links("manager", &[&ids[1]], &[])];
    let results = lab.export(vec![group, user]).await;
    results.iter().for_each(done);
    assert_eq!(members(&lab, &created(&results[0])).len(), 2);
    assert_eq!(lab.object("users", &ids[0])["manager"], json!(ids[1]));
    lab.finish().await;
}
