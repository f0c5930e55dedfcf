//! Members, owners, managers.

use serde_json::{Value, json};

use crate::lab::{Lab, group};

fn reference(id: &str) -> Value {
    json!({"@odata.id": format!("https://graph.microsoft.com/v1.0/directoryObjects/{id}")})
}

fn url(id: &str) -> Value {
    json!(format!("https://graph.microsoft.com/v1.0/directoryObjects/{id}"))
}

fn ids(items: &Value) -> Vec<String> {
    let mut ids: Vec<String> =
        items.as_array().unwrap().iter().map(|i| i["id"].as_str().unwrap().to_owned()).collect();
    ids.sort_unstable();
    ids
}

#[tokio::test]
async fn members_come_and_go_one_by_one() {
    let lab = Lab::new().await;
    let (group, ann, bob) = (lab.group("g").await, lab.user("ann").await, lab.user("bob").await);
    let members = format!("/groups/{group}/members");
    lab.post(&format!("{members}/$ref"), reference(&ann)).await.expect(204);
    let twice = lab.post(&format!("{members}/$ref"), reference(&ann)).await.expect(400);
    assert_eq!(
        twice.message(),
        "One or more added object references already exist for the following modified properties: 'members'."
    );
    let stranger = lab.delete(&format!("{members}/{bob}/$ref")).await.expect(404);
    assert!(stranger.message().contains(&group), "names the group: {}", stranger.text);
    lab.post(&format!("{members}/$ref"), reference("87d349ed-44d7-43e1-9a83-5f2406dee5bd")).await.expect(404);
    let refused =
        lab.patch(&format!("{members}/$ref"), json!({"members@odata.bind": [url(&bob)]})).await.expect(400);
    assert_eq!(refused.code(), "BadRequest");
    let listed = lab.get(&members).await.expect(200);
    assert_eq!(listed.body["value"][0]["@odata.type"], "#microsoft.graph.user");
    assert_eq!(ids(&listed.body["value"]), std::slice::from_ref(&ann));
    lab.delete(&format!("{members}/{ann}/$ref")).await.expect(204);
    assert!(ids(&lab.get(&members).await.body["value"]).is_empty());
    lab.sim.change_behaviours(|b| b.remove_missing_is_400 = true);
    let gone = lab.delete(&format!("{members}/{ann}/$ref")).await.expect(400);
    assert!(gone.message().starts_with("One or more removed object references do not exist"));
    // Without /$ref the object itself goes, as the service does.
    lab.post(&format!("{members}/$ref"), reference(&ann)).await.expect(204);
    lab.raw("DELETE", &format!("{members}/{ann}"), &[], None).await.unwrap().expect(204);
    lab.get(&format!("/users/{ann}")).await.expect(404);
    lab.sim.clear_log();
    lab.finish().await;
}

#[tokio::test]
async fn a_bind_is_all_or_nothing() {
    let lab = Lab::new().await;
    let group_id = lab.group("g").await;
    let mut users = Vec::new();
    for n in 0..21 {
        users.push(lab.user(&format!("u{n}")).await);
    }
    let bind = |ids: &[String]| json!({"members@odata.bind": ids.iter().map(|i| url(i)).collect::<Vec<_>>()});
    let path = format!("/groups/{group_id}");
    lab.patch(&path, bind(&users)).await.expect(400);
    let mut unknown = users[..2].to_vec();
    unknown.push("87d349ed-44d7-43e1-9a83-5f2406dee5bd".into());
    lab.patch(&path, bind(&unknown)).await.expect(404);
    assert!(ids(&lab.get(&format!("{path}/members")).await.body["value"]).is_empty());
    lab.patch(&path, bind(&users[..20])).await.expect(204);
    lab.patch(&path, bind(&users[19..21])).await.expect(400);
    assert_eq!(ids(&lab.get(&format!("{path}/members?$top=999")).await.body["value"]).len(), 20);
    assert_eq!(lab.eventual(&format!("{path}/members/$count")).await.text, "20");
    let mut body = group("h");
    body["members@odata.bind"] = json!([url(&users[0])]);
    body["owners@odata.bind"] = json!([url(&users[1])]);
    let made = lab.post("/groups", body).await.expect(201).id();
    assert_eq!(ids(&lab.get(&format!("/groups/{made}/owners")).await.body["value"]), [users[1].clone()]);
    let last = lab.delete(&format!("/groups/{made}/owners/{}/$ref", users[1])).await.expect(400);
    assert!(last.message().contains("at least one owner"));
    let groups = lab.get(&format!("/users/{}/memberOf", users[0])).await.expect(200);
    assert_eq!(groups.body["value"].as_array().unwrap().len(), 2);
    lab.finish().await;
}

#[tokio::test]
async fn nesting_ends_even_in_a_cycle() {
    let lab = Lab::new().await;
    let (a, b, ann) = (lab.group("a").await, lab.group("b").await, lab.user("ann").await);
    for (group, member) in [(&a, &b), (&b, &a), (&b, &ann)] {
        lab.post(&format!("/groups/{group}/members/$ref"), reference(member)).await.expect(204);
    }
    let below = lab.get(&format!("/groups/{a}/transitiveMembers")).await.expect(200);
    assert_eq!(ids(&below.body["value"]).len(), 2);
    let users = lab.get(&format!("/groups/{a}/transitiveMembers/microsoft.graph.user")).await.expect(200);
    assert_eq!(ids(&users.body["value"]), std::slice::from_ref(&ann));
    let above = lab.get(&format!("/users/{ann}/transitiveMemberOf/microsoft.graph.group")).await.expect(200);
    assert_eq!(ids(&above.body["value"]).len(), 2);
    let checked =
        lab.post(&format!("/users/{ann}/checkMemberGroups"), json!({"groupIds": [a]})).await.expect(200);
    assert_eq!(checked.body["value"], json!([a]));
    lab.finish().await;
}

#[tokio::test]
async fn a_manager_is_set_and_cleared() {
    let lab = Lab::new().await;
    let (ann, bob) = (lab.user("ann").await, lab.user("bob").await);
    let path = format!("/users/{ann}/manager");
    lab.get(&path).await.expect(404);
    lab.put(&format!("{path}/$ref"), reference(&bob)).await.expect(204);
    assert_eq!(lab.get(&path).await.expect(200).body["id"], bob.as_str());
    lab.get(&format!("{path}/$ref")).await.expect(200);
    let reports = lab.get(&format!("/users/{bob}/directReports")).await.expect(200);
    assert_eq!(ids(&reports.body["value"]), std::slice::from_ref(&ann));
    let expanded = lab.get("/users?$expand=manager($select=id)&$select=id").await.expect(200);
    assert_eq!(expanded.body["value"][0]["manager"]["id"], bob.as_str());
    lab.delete(&format!("{path}/$ref")).await.expect(204);
    lab.get(&path).await.expect(404);
    lab.finish().await;
}

#[tokio::test]
async fn foreign_groups_refuse_members() {
    let lab = Lab::new().await;
    let seeded = json!({"groups": [
        {"displayName": "list", "mailNickname": "list", "mailEnabled": true, "securityEnabled": false},
        {"displayName": "mes", "mailNickname": "mes", "mailEnabled": true, "securityEnabled": true},
        {"displayName": "dyn", "mailNickname": "dyn", "mailEnabled": false, "securityEnabled": true,
         "groupTypes": ["DynamicMembership"], "membershipRule": "user.department -eq \"x\""}]});
    let groups = lab.sim.seed(serde_json::from_value(seeded).unwrap()).unwrap();
    let ann = lab.user("ann").await;
    for (group, status) in groups.iter().zip([400, 400, 403]) {
        lab.post(&format!("/groups/{group}/members/$ref"), reference(&ann)).await.expect(status);
    }
    lab.patch(&format!("/groups/{}", groups[0]), json!({"displayName": "x"})).await.expect(400);
    lab.delete(&format!("/groups/{}", groups[1])).await.expect(400);
    lab.finish().await;
}
