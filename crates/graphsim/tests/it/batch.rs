//! `$batch`.

use serde_json::{Value, json};

use crate::lab::{Lab, user};

fn item(id: &str, method: &str, url: &str, body: Option<Value>) -> Value {
    let mut item = json!({"id": id, "method": method, "url": url});
    if let Some(body) = body {
        item["headers"] = json!({"Content-Type": "application/json"});
        item["body"] = body;
    }
    item
}

fn by_id<'a>(answer: &'a Value, id: &str) -> &'a Value {
    answer["responses"].as_array().unwrap().iter().find(|r| r["id"] == id).unwrap()
}

#[tokio::test]
async fn items_are_answered_each_for_itself() {
    let lab = Lab::new().await;
    let ann = lab.user("ann").await;
    let base = lab.sim.graph_url();
    let requests = json!({"requests": [
        item("a", "POST", "/users", Some(user("bob"))),
        item("b", "POST", "users", Some(user("ann"))),
        item("c", "GET", &format!("/v1.0/users/{ann}?$select=id"), None),
        item("d", "GET", &format!("{base}/users/{ann}"), None),
        item("e", "DELETE", "/users/87d349ed-44d7-43e1-9a83-5f2406dee5bd", None),
        item("f", "PATCH", &format!("/users/{ann}"), Some(json!({"jobTitle": "x"}))),
    ]});
    let answer = lab.post("/$batch", requests).await.expect(200).body;
    let statuses: Vec<u64> =
        ["a", "b", "c", "d", "e", "f"].map(|id| by_id(&answer, id)["status"].as_u64().unwrap()).to_vec();
    assert_eq!(statuses, [201, 400, 200, 200, 404, 204]);
    assert!(by_id(&answer, "a")["headers"]["Content-Type"].as_str().unwrap().starts_with("application/json"));
    assert_eq!(by_id(&answer, "f")["body"], Value::Null);
    lab.finish().await;
}

#[tokio::test]
async fn answers_come_in_another_order() {
    let lab = Lab::new().await;
    let requests: Vec<Value> = (0..20).map(|n| item(&n.to_string(), "GET", "/organization", None)).collect();
    let answer = lab.post("/$batch", json!({ "requests": requests })).await.expect(200);
    let order: Vec<&str> =
        answer.body["responses"].as_array().unwrap().iter().map(|r| r["id"].as_str().unwrap()).collect();
    let mut sorted = order.clone();
    sorted.sort_unstable_by_key(|id| id.parse::<u32>().unwrap());
    assert_eq!(sorted.len(), 20);
    assert_ne!(order, sorted);
    lab.finish().await;
}

#[tokio::test]
async fn dependents_of_a_failure_fail() {
    let lab = Lab::new().await;
    let depends = |mut item: Value, on: &str| {
        item["dependsOn"] = json!([on]);
        item
    };
    let mut bad = user("bad");
    bad["displayName"] = json!("");
    let requests = json!({"requests": [
        depends(item("2", "POST", "/users", Some(user("two"))), "ONE"),
        item("one", "POST", "/users", Some(bad)),
        depends(item("3", "POST", "/users", Some(user("three"))), "4"),
        item("4", "POST", "/users", Some(user("four"))),
    ]});
    let answer = lab.post("/$batch", requests).await.expect(200).body;
    assert_eq!(by_id(&answer, "one")["status"], 400);
    assert_eq!(by_id(&answer, "2")["status"], 424);
    assert_eq!(by_id(&answer, "3")["status"], 201);
    assert_eq!(lab.sim.dump()["users"].as_array().unwrap().len(), 2);
    lab.finish().await;
}

#[tokio::test]
async fn malformed_batches_do_nothing() {
    let lab = Lab::new().await;
    let make = |id: &str| item(id, "POST", "/users", Some(user("ann")));
    let many: Vec<Value> = (0..21).map(|n| item(&n.to_string(), "GET", "/organization", None)).collect();
    let mut cycle = [make("1"), make("2")];
    cycle[0]["dependsOn"] = json!(["2"]);
    cycle[1]["dependsOn"] = json!(["1"]);
    let mut lost = make("1");
    lost["dependsOn"] = json!(["9"]);
    for requests in [
        json!([]),
        json!(many),
        json!([make("x"), make("X")]),
        json!([make("1"), item("2", "POST", "/users", None)]),
        json!([{"id": "1", "url": "/users"}]),
        json!(cycle),
        json!([lost]),
    ] {
        lab.post("/$batch", json!({ "requests": requests })).await.expect(400);
    }
    assert!(lab.sim.dump()["users"].as_array().unwrap().is_empty());
    lab.finish().await;
}
