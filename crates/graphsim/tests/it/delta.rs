//! Delta queries: rounds, removals, split groups, expiry.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::{Value, json};

use crate::lab::Lab;

fn reference(id: &str) -> Value {
    json!({"@odata.id": format!("https://graph.microsoft.com/v1.0/directoryObjects/{id}")})
}

#[tokio::test]
async fn users_change_and_leave() {
    let lab = Lab::new().await;
    let (ann, bob) = (lab.user("ann").await, lab.user("bob").await);
    for spelling in
        ["/users/delta", "/users/delta()", "/users/microsoft.graph.delta()", "/users/microsoft.graph.delta"]
    {
        assert_eq!(lab.round(spelling).await.0.len(), 2, "{spelling}");
    }
    let (_, link) = lab.round("/users/delta?$select=displayName,jobTitle,manager").await;
    assert_eq!(lab.round(&link).await.0, Vec::<Value>::new(), "quiet");
    // What is not selected does not bring the object up.
    lab.patch(&format!("/users/{ann}"), json!({"city": "Bonn"})).await.expect(204);
    assert_eq!(lab.round(&link).await.0, Vec::<Value>::new());
    lab.patch(&format!("/users/{ann}"), json!({"jobTitle": "x"})).await.expect(204);
    lab.put(&format!("/users/{ann}/manager/$ref"), reference(&bob)).await.expect(204);
    let (items, link2) = lab.round(&link).await;
    assert_eq!(
        items,
        [json!({"id": ann, "displayName": "ann", "jobTitle": "x",
            "manager@delta": [{"@odata.type": "#microsoft.graph.user", "id": bob}]})]
    );
    lab.patch(&format!("/users/{ann}"), json!({"jobTitle": null})).await.expect(204);
    lab.delete(&format!("/users/{ann}/manager/$ref")).await.expect(204);
    lab.delete(&format!("/users/{bob}")).await.expect(204);
    let (items, link3) = lab.round(&link2).await;
    assert_eq!(
        items,
        [
            json!({"id": ann, "displayName": "ann", "jobTitle": null,
                "manager@delta": [{"@odata.type": "#microsoft.graph.user", "id": bob, "@removed": {"reason": "deleted"}}]}),
            json!({"id": bob, "@removed": {"reason": "changed"}})
        ]
    );
    lab.post(&format!("/directory/deletedItems/{bob}/restore"), json!({})).await.expect(200);
    let (items, link4) = lab.round(&link3).await;
    assert_eq!(items, [json!({"id": bob, "displayName": "bob"})], "comes back as an ordinary object");
    lab.delete(&format!("/users/{bob}")).await.expect(204);
    lab.delete(&format!("/directory/deletedItems/{bob}")).await.expect(204);
    let (items, _) = lab.round(&link4).await;
    assert_eq!(items, [json!({"id": bob, "@removed": {"reason": "deleted"}})]);
    // An old link replays from its own place.
    assert_eq!(lab.round(&link).await.0.len(), 2);
    lab.finish().await;
}

#[tokio::test]
async fn minimal_answers_hold_only_changes() {
    let lab = Lab::new().await;
    let ann = lab.user("ann").await;
    let (_, link) = lab.round("/users/delta").await;
    lab.patch(&format!("/users/{ann}"), json!({"jobTitle": "x"})).await.expect(204);
    let minimal = lab.raw("GET", &link, &[("Prefer", "return=minimal")], None).await.unwrap().expect(200);
    assert_eq!(minimal.body["value"], json!([{"id": ann, "jobTitle": "x"}]));
    lab.finish().await;
}

/// Adds up the member events of a round: the state of each group.
fn add_up(items: &[Value], into: &mut BTreeMap<String, BTreeSet<String>>) {
    for item in items {
        let id = item["id"].as_str().unwrap().to_owned();
        if item.get("@removed").is_some() {
            into.remove(&id);
            continue;
        }
        let members = into.entry(id).or_default();
        for member in item["members@delta"].as_array().into_iter().flatten() {
            let member_id = member["id"].as_str().unwrap().to_owned();
            if member.get("@removed").is_some() {
                members.remove(&member_id);
            } else {
                members.insert(member_id);
            }
        }
    }
}

#[tokio::test]
async fn a_large_group_comes_in_parts_and_adds_up() {
    let lab = Lab::behaving(|b| b.delta_members_page = 10).await;
    let users: Vec<Value> = (0..35)
        .map(|n| json!({"userPrincipalName": format!("u{n}@contoso.com"), "displayName": "u"}))
        .collect();
    let names: Vec<String> = (0..35).map(|n| format!("u{n}@contoso.com")).collect();
    let group = |name: &str| json!({"displayName": name, "mailNickname": name, "mailEnabled": false, "securityEnabled": true, "members": names});
    let seed = json!({"users": users, "groups": [group("a"), group("b")]});
    let ids = lab.sim.seed(serde_json::from_value(seed).unwrap()).unwrap();
    let (members, groups) = ids.split_at(35);
    let mut state = BTreeMap::new();
    // In the middle of the round a member already told of leaves, and one joins.
    let first = lab.get("/groups/delta?$select=displayName,members").await.expect(200);
    let page = first.body["value"].as_array().unwrap();
    assert_eq!(page[0]["members@delta"].as_array().unwrap().len(), 10);
    add_up(page, &mut state);
    lab.delete(&format!("/groups/{}/members/{}/$ref", groups[0], members[0])).await.expect(204);
    let extra = lab.user("extra").await;
    lab.post(&format!("/groups/{}/members/$ref", groups[0]), reference(&extra)).await.expect(204);
    let (rest, link) = lab.round(first.body["@odata.nextLink"].as_str().unwrap()).await;
    assert!(rest.iter().filter(|i| i["id"] == groups[0].to_string()).count() > 2, "the same group recurs");
    add_up(&rest, &mut state);
    let expected = |mut ids: BTreeSet<String>, out: &[&str], more: &[&str]| {
        ids.retain(|i| !out.contains(&i.as_str()));
        ids.extend(more.iter().map(|m| (*m).to_owned()));
        ids
    };
    let all: BTreeSet<String> = members.iter().map(ToString::to_string).collect();
    let left = members[0].to_string();
    assert_eq!(state[&groups[0].to_string()], expected(all.clone(), &[&left], &[&extra]));
    assert_eq!(state[&groups[1].to_string()], all);
    // The next round has only what changed.
    lab.delete(&format!("/groups/{}/members/{}/$ref", groups[1], members[1])).await.expect(204);
    let (items, link) = lab.round(&link).await;
    let events = items.iter().flat_map(|i| i["members@delta"].as_array().unwrap()).collect::<Vec<_>>();
    assert_eq!(
        events,
        [
            &json!({"@odata.type": "#microsoft.graph.user", "id": members[1].to_string(), "@removed": {"reason": "deleted"}})
        ]
    );
    // A soft-deleted member leaves its groups only when it goes for ever.
    lab.delete(&format!("/users/{}", members[2])).await.expect(204);
    let (items, link) = lab.round(&link).await;
    assert!(items.is_empty());
    lab.delete(&format!("/directory/deletedItems/{}", members[2])).await.expect(204);
    let (items, _) = lab.round(&link).await;
    assert_eq!(items.len(), 2, "both groups");
    lab.finish().await;
}

#[tokio::test]
async fn a_changing_directory_adds_up_over_many_rounds() {
    let lab = Lab::behaving(|b| {
        b.delta_page = 3;
        b.delta_members_page = 4;
    })
    .await;
    let mut users = Vec::new();
    for n in 0..12 {
        users.push(lab.user(&format!("u{n}")).await);
    }
    let mut groups = Vec::new();
    for n in 0..4 {
        groups.push(lab.group(&format!("g{n}")).await);
    }
    let mut state = BTreeMap::new();
    let mut link = "/groups/delta".to_owned();
    // A small linear congruence: the walk is the same on every run.
    let mut x: usize = 7;
    let mut next = |n: usize| {
        x = (x * 1_103_515_245 + 12_345) % 2_147_483_648;
        (x / 65_536) % n
    };
    for _ in 0..25 {
        let first = lab.get(&link).await.expect(200);
        add_up(first.body["value"].as_array().unwrap(), &mut state);
        for _ in 0..6 {
            let (group, user) = (&groups[next(4)], &users[next(12)]);
            let path = format!("/groups/{group}/members");
            let added = lab.post(&format!("{path}/$ref"), reference(user)).await;
            if added.status == 400 {
                lab.delete(&format!("{path}/{user}/$ref")).await.expect(204);
            }
        }
        link = match first.body["@odata.nextLink"].as_str() {
            Some(more) => {
                let (rest, link) = lab.round(more).await;
                add_up(&rest, &mut state);
                link
            }
            None => first.body["@odata.deltaLink"].as_str().unwrap().to_owned(),
        };
    }
    let (rest, _) = lab.round(&link).await;
    add_up(&rest, &mut state);
    for group in lab.sim.dump()["groups"].as_array().unwrap() {
        let members: BTreeSet<String> = group["members"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|m| m.as_str().unwrap().to_owned())
            .collect();
        assert_eq!(state[group["id"].as_str().unwrap()], members);
    }
    lab.finish().await;
}

#[tokio::test]
async fn tokens_expire_and_are_not_forged() {
    let mut lab = Lab::new().await;
    lab.user("ann").await;
    let latest = lab.get("/users/delta?$deltatoken=latest").await.expect(200);
    assert_eq!(latest.body["value"], json!([]));
    let link = latest.body["@odata.deltaLink"].as_str().unwrap().to_owned();
    lab.user("bob").await;
    assert_eq!(lab.round(&link).await.0.len(), 1);
    lab.sim.advance(Duration::from_secs(8 * 86_400));
    lab.sign_in().await;
    let expired = lab.get(&link).await.expect(410);
    assert_eq!(expired.code(), "syncStateNotFound");
    assert!(expired.header("location").unwrap().ends_with("/v1.0/users/delta?$deltatoken="));
    assert_eq!(lab.round(expired.header("location").unwrap()).await.0.len(), 2, "leads to a full round");
    let (_, link) = lab.round("/users/delta").await;
    lab.sim.expire_deltas();
    lab.sim.change_behaviours(|b| b.expired_delta = onesync_graphsim::ExpiredDelta::BadRequest);
    assert_eq!(lab.get(&link).await.expect(400).code(), "syncStateNotFound");
    lab.get("/users/delta?$deltatoken=rubbish").await.expect(400);
    lab.get(&link.replace("/users/", "/groups/")).await.expect(400);
    for option in ["$top=5", "$expand=manager", "$orderby=displayName", "$filter=displayName eq 'x'"] {
        lab.get(&format!("/users/delta?{option}")).await.expect(400);
    }
    lab.finish().await;
}

#[tokio::test]
async fn delta_lags_and_replays_on_order() {
    let lab = Lab::behaving(|b| b.delta_lag_ms = 60_000).await;
    let ann = lab.user("ann").await;
    let (items, link) = lab.round("/users/delta").await;
    assert!(items.is_empty(), "not there yet");
    lab.sim.advance(Duration::from_secs(61));
    let (items, link) = lab.round(&link).await;
    assert_eq!(items[0]["id"], ann.as_str(), "later, not lost");
    assert!(lab.round(&link).await.0.is_empty());
    lab.sim.change_behaviours(|b| b.delta_replay = 1);
    assert_eq!(lab.round(&link).await.0.len(), 1, "the last object once more");
    let filtered = lab.get(&format!("/users/delta?$filter=id eq '{ann}'")).await.expect(200);
    assert_eq!(filtered.body["value"].as_array().unwrap().len(), 1);
    lab.finish().await;
}
