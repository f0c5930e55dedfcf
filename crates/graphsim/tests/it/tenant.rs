//! The tenant: organisation, domains, contacts, extensions, lookups.

use serde_json::json;

use crate::lab::{Lab, group};
use onesync_graphsim::DEFAULT_CLIENT_ID;

#[tokio::test]
async fn the_tenant_tells_who_masters_it() {
    let lab = Lab::tenant(|t| t.on_premises_sync_enabled = Some(true)).await;
    let organization = lab.get("/organization").await.expect(200);
    let one = &organization.body["value"][0];
    assert_eq!(one["onPremisesSyncEnabled"], true);
    assert_eq!(one["verifiedDomains"][0]["name"], "contoso.com");
    let id = one["id"].as_str().unwrap();
    let refused =
        lab.patch(&format!("/organization/{id}"), json!({"onPremisesSyncEnabled": false})).await.expect(400);
    assert_eq!(refused.message(), "Property 'onPremisesSyncEnabled' is read-only and cannot be set.");
    let domains = lab.get("/domains").await.expect(200);
    assert_eq!(domains.body["value"].as_array().unwrap().len(), 2);
    assert_eq!(lab.get("/domains/contoso.com").await.expect(200).body["isDefault"], true);
    let sync = lab.get(&format!("/directory/onPremisesSynchronization/{id}")).await.expect(200);
    assert_eq!(sync.body["features"]["passwordSyncEnabled"], true);
    lab.get("/directory/onPremisesSynchronization").await.expect(200);
    lab.finish().await;
}

#[tokio::test]
async fn contacts_are_read_only() {
    let lab = Lab::new().await;
    let seeded = json!({"contacts": [{"displayName": "Con", "mail": "con@partner.com", "proxyAddresses": ["SMTP:con@partner.com"],
        "phones": [{"type": "mobile", "number": "1"}]}]});
    let ids = lab.sim.seed(serde_json::from_value(seeded).unwrap()).unwrap();
    assert_eq!(lab.get("/contacts").await.expect(200).body["value"][0]["mail"], "con@partner.com");
    lab.get(&format!("/contacts/{}", ids[0])).await.expect(200);
    assert_eq!(lab.round("/contacts/delta").await.0.len(), 1);
    assert_eq!(lab.eventual("/contacts/$count").await.text, "1");
    let taken = lab.user("ann").await;
    lab.patch(&format!("/users/{taken}"), json!({"mail": "con@partner.com"})).await.expect(400);
    lab.sim.clear_log();
    lab.post("/contacts", json!({"displayName": "x"})).await.expect(405);
    lab.delete(&format!("/contacts/{}", ids[0])).await.expect(405);
    lab.sim.clear_log();
    lab.finish().await;
}

#[tokio::test]
async fn extensions_anchor_groups_and_mark_the_tenant() {
    let lab = Lab::new().await;
    let app = lab.get(&format!("/applications(appId='{DEFAULT_CLIENT_ID}')")).await.expect(200).id();
    let by_filter =
        lab.get(&format!("/applications?$filter=appId eq '{DEFAULT_CLIENT_ID}'")).await.expect(200);
    assert_eq!(by_filter.body["value"][0]["id"], app.as_str());
    let path = format!("/applications/{app}/extensionProperties");
    let define =
        json!({"name": "sourceAnchor", "dataType": "string", "targetObjects": ["Group", "application"]});
    let made = lab.post(&path, define.clone()).await.expect(201);
    let name = made.body["name"].as_str().unwrap().to_owned();
    assert_eq!(name, format!("extension_{}_sourceAnchor", DEFAULT_CLIENT_ID.replace('-', "")));
    assert_eq!(made.body["targetObjects"], json!(["Group", "Application"]));
    lab.post(&path, define).await.expect(400);
    lab.post(&path, json!({"name": "x", "dataType": "Float", "targetObjects": ["User"]})).await.expect(400);
    assert_eq!(lab.get(&path).await.expect(200).body["value"].as_array().unwrap().len(), 1);
    let mut body = group("g");
    body[&name] = json!("anchor-1");
    let id = lab.post("/groups", body).await.expect(201).id();
    let found = lab.get(&format!("/groups?$filter={name} eq 'anchor-1'&$select=id,{name}")).await.expect(200);
    assert_eq!(found.body["value"], json!([{"id": id, name.clone(): "anchor-1"}]));
    let (items, _) = lab.round(&format!("/groups/delta?$select=id,{name}")).await;
    assert_eq!(items[0][&name], "anchor-1");
    // The marker of an installation.
    lab.patch(&format!("/applications/{app}"), json!({name.clone(): "installation-1"})).await.expect(204);
    let marker = lab.get(&format!("/applications/{app}?$select=id,{name}")).await.expect(200);
    assert_eq!(marker.body[&name], "installation-1");
    let user = lab.user("ann").await;
    lab.patch(&format!("/users/{user}"), json!({name.clone(): "x"})).await.expect(400);
    lab.finish().await;
}

#[tokio::test]
async fn objects_are_found_by_ids() {
    let lab = Lab::new().await;
    let (ann, group) = (lab.user("ann").await, lab.group("g").await);
    let ids = json!({"ids": [ann, group, "87d349ed-44d7-43e1-9a83-5f2406dee5bd"], "types": ["user", "microsoft.graph.group"]});
    assert_eq!(
        lab.post("/directoryObjects/getByIds", ids).await.expect(200).body["value"].as_array().unwrap().len(),
        2
    );
    let only = lab
        .post("/directoryObjects/getByIds", json!({"ids": [ann, group], "types": ["user"]}))
        .await
        .expect(200);
    assert_eq!(only.body["value"][0]["@odata.type"], "#microsoft.graph.user");
    lab.get(&format!("/directoryObjects/{group}")).await.expect(200);
    lab.sim.change_tenant(|t| t.object_quota = 3);
    let full = lab.post("/users", crate::lab::user("bob")).await.expect(403);
    assert_eq!(full.code(), "Directory_QuotaExceeded");
    lab.finish().await;
}
