//! Writing objects.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use async_trait::async_trait;
use onesync_connectors::{
    Connector, ConnectorError, CreateKey, ErrorClass, ExportBatch, ExportOutcome, Marker, Pass, Permit,
};
use onesync_graphsim::{FaultAction, FaultRule};
use serde_json::json;

use super::lab::{EPOCH, Lab, created, done, failed};

#[tokio::test]
async fn users_are_created_complete_and_their_passwords_stay_secret() {
    let lab = Lab::set(|s| s.usage_location_default = Some("DE".into())).await;
    let mut anna = lab.user("anna");
    anna.values.retain(|(id, _)| lab.name(*id) != "onPremisesImmutableId");
    let disabled = lab.add(
        "user",
        "key-2",
        json!({"accountEnabled": false, "displayName": "Bo \u{e9}", "userPrincipalName": "bo@contoso.com",
            "mailNickname": "bo ,x", "usageLocation": "FR", "businessPhones": "1", "costCenter": "7",
            "otherMails": ["a@b.c", "d@e.f"], "extensionAttribute2": "v", "city": null}),
    );
    let results = lab.export(vec![anna, disabled]).await;
    let anna = lab.object("users", &created(&results[0]));
    assert_eq!(anna["onPremisesImmutableId"], "key-anna==");
    assert_eq!((&anna["mailNickname"], &anna["usageLocation"]), (&json!("anna"), &json!("DE")));
    let bo = lab.object("users", &created(&results[1]));
    assert_eq!((&bo["accountEnabled"], &bo["usageLocation"]), (&json!(false), &json!("FR")));
    assert_eq!((&bo["mailNickname"], &bo["businessPhones"]), (&json!("box"), &json!(["1"])));
    assert_eq!(bo["employeeOrgData"]["costCenter"], "7");
    assert_eq!(bo["onPremisesExtensionAttributes"]["extensionAttribute2"], "v");
    assert_eq!(results[1].refused.len(), 1, "the nickname was not taken as it is");
    assert_eq!(results[0].refused.len(), 0);

    let bodies: Vec<_> = lab.sim.log(0).into_iter().filter_map(|e| e.request_body).collect();
    let profile = bodies.iter().find_map(|b| b.get("passwordProfile")).unwrap();
    assert_eq!(profile["forceChangePasswordNextSignIn"], true);
    assert_eq!(profile["password"].as_str().unwrap().len(), 32);
    let shown = format!("{results:?}");
    assert!(!shown.contains(profile["password"].as_str().unwrap()));
    lab.finish().await;
}

#[tokio::test]
async fn requests_show_the_epoch_and_go_twenty_at_a_time() {
    let lab = Lab::new().await;
    let items = (0..45).map(|n| lab.user(&format!("u{n}"))).collect();
    let mark = lab.sim.log_mark();
    for result in lab.export(items).await {
        done(&result);
    }
    let log = lab.sim.log(mark);
    let batches: Vec<_> = log.iter().filter(|e| e.path == "/v1.0/$batch").collect();
    assert_eq!(batches.len(), 3);
    for batch in batches {
        let id = batch.client_request_id.as_deref().unwrap();
        assert!(id.starts_with(&format!("{EPOCH:08x}-")), "{id}");
    }
    assert_eq!(lab.writes(mark).len(), 45);
    lab.finish().await;
}

/// Gives leave so many times.
#[derive(Debug)]
struct Leaves(AtomicUsize);

#[async_trait]
impl Permit for Leaves {
    async fn check(&self) -> Result<(), ConnectorError> {
        let error =
            || ConnectorError::new(ErrorClass::Fatal, "FENCED", "tenant", "another one has taken over");
        self.0.fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1)).map(drop).map_err(|_| error())
    }
}

/// Three requests, two of which are turned away at first: five in all.
#[tokio::test]
async fn leave_is_asked_before_every_request_and_every_attempt() {
    for leaves in [0, 1, 2, 3, 4] {
        let lab = Lab::new().await;
        let busy = FaultAction::Status {
            status: 429,
            code: None,
            message: None,
            retry_after: Some("0".to_owned()),
            sticky: false,
        };
        lab.sim.fault(FaultRule {
            path: Some("$batch".to_owned()),
            times: 2,
            action: busy,
            ..FaultRule::default()
        });
        let mark = lab.sim.log_mark();
        let items: Vec<_> = (0..45).map(|n| lab.user(&format!("u{n}"))).collect();
        let pass = Pass::new(EPOCH, Arc::new(Leaves(AtomicUsize::new(leaves))));
        let results = lab.graph.export(ExportBatch { items, pass, seed: [3; 32] }).await.unwrap();
        let sent = lab.sim.log(mark).iter().filter(|entry| entry.path == "/v1.0/$batch").count();
        assert_eq!(sent, leaves);
        let fenced = |outcome: &ExportOutcome| matches!(outcome, ExportOutcome::Failed(error) if error.code == "FENCED" && error.class == ErrorClass::Fatal);
        let fenced = results.iter().filter(|result| fenced(&result.outcome)).count();
        assert_eq!(lab.writes(mark).len() + fenced, 45, "what was not sent is known to be so");
        lab.finish().await;
    }
}

#[tokio::test]
async fn updates_write_what_changed_and_deletes_delete() {
    let lab = Lab::new().await;
    let id = lab.create(lab.user("anna")).await;
    let gone = lab.create(lab.user("gone")).await;
    let results = lab
        .export(vec![
            lab.update("user", &id, json!({"jobTitle": "Boss", "accountEnabled": false, "city": null})),
            lab.delete("user", &gone),
        ])
        .await;
    results.iter().for_each(done);
    let anna = lab.object("users", &id);
    assert_eq!((&anna["jobTitle"], &anna["accountEnabled"]), (&json!("Boss"), &json!(false)));
    assert_eq!(lab.object("users", &gone), json!(null));
    let nobody = "11111111-2222-4333-8444-555555555555";
    let results = lab
        .export(vec![lab.delete("user", nobody), lab.update("group", nobody, json!({"description": "x"}))])
        .await;
    assert!(results.iter().all(|r| matches!(r.outcome, ExportOutcome::Gone)), "{results:?}");
    lab.finish().await;
}

#[tokio::test]
async fn a_taken_value_is_an_object_error_that_names_the_property() {
    let lab = Lab::new().await;
    let first = lab.create(lab.user("anna")).await;
    let other = lab.create(lab.user("bo")).await;
    let mut twin = lab.user("anna");
    twin.create_key = Some("another".into());
    twin.values.retain(|(id, _)| lab.name(*id) != "onPremisesImmutableId");
    let results = lab
        .export(vec![
            twin,
            lab.update("user", &other, json!({"userPrincipalName": "anna@contoso.com", "city": "Ulm"})),
        ])
        .await;
    let error = failed(&results[0]);
    assert_eq!(error.class, ErrorClass::Object);
    assert!(error.message.contains("userPrincipalName"), "{error}");
    // Of an update only the value is refused.
    assert!(matches!(results[1].outcome, ExportOutcome::Done { .. }));
    assert_eq!(results[1].refused.len(), 1);
    assert_eq!(lab.name(results[1].refused[0].attribute), "userPrincipalName");
    assert_eq!(lab.object("users", &other)["city"], "Ulm");
    assert_eq!(lab.object("users", &first)["userPrincipalName"], "anna@contoso.com");
    lab.finish().await;
}

#[tokio::test]
async fn a_value_that_is_refused_is_isolated_and_the_rest_is_written() {
    let lab = Lab::new().await;
    let mut anna = lab.user("anna");
    let long = "x".repeat(100);
    anna.values.extend(lab.update("user", "", json!({"givenName": long, "city": "Jena"})).values);
    let results = lab.export(vec![anna]).await;
    let id = created(&results[0]);
    assert_eq!(results[0].refused.len(), 1, "{:?}", results[0].refused);
    assert_eq!(lab.object("users", &id)["city"], "Jena");
    let results = lab
        .export(vec![lab.update(
            "user",
            &id,
            json!({"surname": long, "department": long, "city": "Ulm", "proxyAddresses": "SMTP:a@b.c"}),
        )])
        .await;
    let mut refused: Vec<_> = results[0].refused.iter().map(|r| lab.name(r.attribute)).collect();
    refused.sort_unstable();
    assert_eq!(refused, ["department", "proxyAddresses", "surname"]);
    assert_eq!(lab.object("users", &id)["city"], "Ulm");
    lab.finish().await;
}

#[tokio::test]
async fn a_suffix_that_is_not_verified_is_held_or_replaced() {
    let mut lab = Lab::new().await;
    let id = lab.create(lab.user("anna")).await;
    let mut local = lab.user("bo");
    local.values = lab
        .update(
            "user",
            "",
            json!({"accountEnabled": true, "displayName": "Bo",
        "userPrincipalName": "bo@contoso.local"}),
        )
        .values;
    let update = lab.update("user", &id, json!({"userPrincipalName": "anna@Contoso.Local", "city": "Ulm"}));
    let results = lab.export(vec![local.clone(), update]).await;
    let error = failed(&results[0]);
    assert!(error.class == ErrorClass::Object && error.message.contains("contoso.local"), "{error}");
    assert_eq!(lab.name(results[1].refused[0].attribute), "userPrincipalName");
    assert_eq!(lab.object("users", &id)["city"], "Ulm");

    lab.reconnect(|s| s.unverified_suffix = onesync_connectors::graph::UnverifiedSuffix::DefaultDomain);
    let results = lab.export(vec![local]).await;
    assert_eq!(lab.object("users", &created(&results[0]))["userPrincipalName"], "bo@contoso.com");
    lab.finish().await;
}

#[tokio::test]
async fn groups_are_created_once_by_their_source_anchor() {
    let lab = Lab::new().await;
    let results = lab.export(vec![lab.group("a"), lab.group("b")]).await;
    let (a, b) = (created(&results[0]), created(&results[1]));
    let found = lab.object("groups", &a);
    assert_eq!((&found["securityEnabled"], &found["mailEnabled"]), (&json!(true), &json!(false)));
    assert_eq!(found["uniqueName"], "g_2Ba_2F_3D");
    // The same create again meets the group it made before.
    let again = lab.export(vec![lab.group("a")]).await;
    assert_eq!(created(&again[0]), a);
    let key = |key: &str, kind: &str| CreateKey {
        object_type: lab.names.find_type(kind).unwrap(),
        key: key.to_owned(),
    };
    let user = lab.create(lab.user("o'neill")).await;
    let found = lab
        .graph
        .find_created(&[
            key("g+b/=", "group"),
            key("none", "group"),
            key("key-o'neill==", "user"),
            key("no'ne", "user"),
        ])
        .await
        .unwrap();
    let found: Vec<_> = found.iter().map(|f| f.as_ref().map(ToString::to_string)).collect();
    assert_eq!(found, [Some(b), None, Some(user), None]);
    // Mail-enabled groups are never turned into plain ones.
    let mut list = lab.group("list");
    list.values.extend(lab.update("group", "", json!({"mailEnabled": true})).values);
    assert_eq!(failed(&lab.export(vec![list]).await[0]).code, "GRAPH-READ-ONLY-TYPE");
    let (space, _) = lab.full().await;
    assert_eq!(space.named("a").text("uniqueName"), Some("g+a/=".into()));
    assert!(!space.objects.values().any(|o| o.dn.contains("marker")), "the marker is no identity");
    lab.finish().await;
}

#[tokio::test]
async fn without_upsert_groups_are_anchored_by_an_extension() {
    let mut lab = Lab::behaving(|b| b.group_upsert = false).await;
    let marker = Marker::new("one", 3);
    lab.graph.set_marker(&marker).await.unwrap();
    let id = lab.create(lab.group("a")).await;
    // Another process finds the decision in the tenant, even if the tenant has learned upserts meanwhile.
    lab.sim.change_behaviours(|b| b.group_upsert = true);
    lab.reconnect(|_| {});
    let key = CreateKey { object_type: lab.names.find_type("group").unwrap(), key: "g+a/=".into() };
    let found = lab.graph.find_created(&[key]).await.unwrap();
    assert_eq!(found[0].as_ref().map(ToString::to_string), Some(id));
    assert_eq!(lab.graph.marker().await.unwrap(), Some(marker));
    let b = lab.create(lab.group("b")).await;
    assert_eq!(lab.object("groups", &b)["uniqueName"], json!(null));
    let (space, _) = lab.full().await;
    assert_eq!(space.named("b").text("uniqueName"), Some("g+b/=".into()));
    lab.finish().await;
}

#[tokio::test]
async fn the_marker_is_kept_in_the_tenant() {
    let mut lab = Lab::new().await;
    assert_eq!(lab.graph.marker().await.unwrap(), None);
    let marker =
        |epoch| Marker { taken: Some(format!("t{epoch}")), number: epoch, ..Marker::new("inst-1", epoch) };
    lab.graph.set_marker(&marker(1)).await.unwrap();
    assert_eq!(lab.graph.marker().await.unwrap(), Some(marker(1)));
    lab.reconnect(|_| {});
    assert_eq!(lab.graph.marker().await.unwrap(), Some(marker(1)));
    lab.graph.set_marker(&marker(2)).await.unwrap();
    lab.reconnect(|_| {});
    assert_eq!(lab.graph.marker().await.unwrap(), Some(marker(2)));
    // The session stands apart.
    let session = Some("3-t2-s".to_owned());
    lab.graph.set_session(&Marker { session: session.clone(), ..marker(2) }).await.unwrap();
    assert_eq!(lab.graph.marker().await.unwrap(), Some(Marker { session: session.clone(), ..marker(2) }));
    // Whoever has it no more begins none; what it had begun late can be ended.
    let late = Marker { session: Some("4-t1-s".to_owned()), ..marker(1) };
    assert_eq!(lab.graph.set_session(&late).await.unwrap_err().code, "MARKER-OLD");
    assert_eq!(lab.graph.marker().await.unwrap(), Some(Marker { session, ..marker(2) }));
    lab.graph.set_session(&marker(1)).await.unwrap();
    assert_eq!(lab.graph.marker().await.unwrap(), Some(marker(2)));
    let groups = lab.sim.dump()["groups"].as_array().unwrap().clone();
    assert_eq!(groups.len(), 1);
    // Nobody deletes it through us.
    let id = groups[0]["id"].as_str().unwrap();
    assert_eq!(failed(&lab.export(vec![lab.delete("group", id)]).await[0]).code, "GRAPH-MARKER");
    lab.finish().await;
}

#[tokio::test]
async fn mapped_groups_are_not_created_a_second_time() {
    let mut lab = Lab::new().await;
    let ids = lab.seed(json!([]), json!([{"displayName": "Old team"}]));
    lab.reconnect(|s| drop(s.group_mapping.insert("g+a/=".into(), ids[0].clone())));
    let error = failed(&lab.export(vec![lab.group("a")]).await[0]);
    assert!(error.code == "GRAPH-MAPPED" && error.message.contains(&ids[0]), "{error}");
    lab.finish().await;
}

#[tokio::test]
async fn contacts_and_what_is_missing_are_refused_with_a_reason() {
    let lab = Lab::new().await;
    let mut nameless = lab.user("anna");
    nameless.values.retain(|(id, _)| lab.name(*id) != "displayName");
    let mut anchorless = lab.group("a");
    anchorless.create_key = None;
    let results =
        lab.export(vec![lab.add("orgContact", "c", json!({"displayName": "x"})), nameless, anchorless]).await;
    let codes: Vec<_> = results.iter().map(|r| failed(r).code).collect();
    assert_eq!(codes, ["GRAPH-READ-ONLY-TYPE", "GRAPH-REQUIRED", "GRAPH-ANCHOR"]);
    lab.finish().await;
}
