//! Speed at the size of a large tenant; run with `--release -- --ignored` and `--nocapture`.

use std::time::Instant;

use serde_json::{Value, json};

use crate::lab::{Lab, user};
use onesync_graphsim::GraphSim;

#[tokio::test]
#[ignore = "a measurement: needs a release build"]
async fn a_hundred_thousand_users_and_one_group_of_all() {
    const USERS: usize = 100_000;
    let lab = Lab::with(GraphSim::builder()).await;
    lab.sim.keep_bodies(false);
    let users: Vec<Value> = (0..USERS)
        .map(|n| json!({"userPrincipalName": format!("u{n}@contoso.com"), "displayName": format!("User {n}"), "accountEnabled": true,
            "mailNickname": format!("u{n}"), "onPremisesImmutableId": format!("anchor{n}"), "givenName": "G", "surname": "S", "department": "D"}))
        .collect();
    let names: Vec<String> = (0..USERS).map(|n| format!("u{n}@contoso.com")).collect();
    let seed = json!({"users": users, "groups": [{"displayName": "all", "mailNickname": "all", "mailEnabled": false, "securityEnabled": true, "members": names}]});
    let data = serde_json::from_value(seed).unwrap();
    let start = Instant::now();
    lab.sim.seed(data).unwrap();
    println!("seed: {:?}", start.elapsed());
    for path in ["/users/delta?$select=displayName,userPrincipalName,onPremisesImmutableId", "/groups/delta"]
    {
        let start = Instant::now();
        let (items, link) = lab.round(path).await;
        println!("{path}: {} items in {:?}", items.len(), start.elapsed());
        let start = Instant::now();
        lab.round(&link).await;
        println!("  quiet round: {:?}", start.elapsed());
    }
    let start = Instant::now();
    lab.get("/users?$filter=onPremisesImmutableId eq 'anchor5'").await.expect(200);
    println!("filter by anchor: {:?}", start.elapsed());
    let start = Instant::now();
    const BATCHES: usize = 500;
    for b in 0..BATCHES {
        let requests: Vec<Value> = (0..20)
            .map(|n| json!({"id": n.to_string(), "method": "POST", "url": "/users", "headers": {"Content-Type": "application/json"}, "body": user(&format!("n{b}-{n}"))}))
            .collect();
        lab.post("/$batch", json!({ "requests": requests })).await.expect(200);
    }
    let seconds = start.elapsed().as_secs_f64();
    println!("creates by batch: {:.0} users/s, client included", (BATCHES * 20) as f64 / seconds);
    // Bodies were not kept, so there is nothing to judge.
    lab.sim.clear_log();
    lab.finish().await;
}
