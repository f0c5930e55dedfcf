//! Users and groups: create, read, change, delete, restore, and what is refused.

use onesync_graphsim::{DomainConfig, SeedData};
use serde_json::{Value, json};

use crate::lab::{Lab, group, user};

fn with(mut body: Value, name: &str, value: Value) -> Value {
    body[name] = value;
    body
}

#[tokio::test]
async fn a_user_lives_and_dies() {
    let lab = Lab::new().await;
    let made =
        lab.post("/users", with(user("ann"), "onPremisesImmutableId", json!("aB=="))).await.expect(201);
    assert_eq!(made.header("odata-version"), Some("4.0"));
    assert_eq!(made.header("client-request-id"), Some("c0ffee"));
    assert_eq!(made.body.as_object().unwrap().len(), 12, "default set and context: {}", made.text);
    let id = made.id();
    lab.patch(&format!("/users/{id}"), json!({"jobTitle": "Boss", "department": null})).await.expect(204);
    for path in
        ["/users/ann@contoso.com", "/users(userPrincipalName='ANN@contoso.com')", &format!("/users('{id}')")]
    {
        let read = lab
            .get(&format!("{path}?$select=id,jobTitle,onPremisesImmutableId,passwordProfile"))
            .await
            .expect(200);
        assert_eq!(read.body["jobTitle"], "Boss");
        assert_eq!(read.body["onPremisesImmutableId"], "aB==");
        assert_eq!(read.body["passwordProfile"], Value::Null, "never returned");
    }
    lab.delete(&format!("/users/{id}")).await.expect(204);
    let gone = lab.get(&format!("/users/{id}")).await.expect(404);
    assert_eq!(gone.code(), "Request_ResourceNotFound");
    // The name is free, the anchor is not.
    let again =
        lab.post("/users", with(user("ann"), "onPremisesImmutableId", json!("aB=="))).await.expect(400);
    assert!(again.message().starts_with("A conflicting object"), "{}", again.text);
    let rival = lab.user("ann").await;
    let refused = lab.post(&format!("/directory/deletedItems/{id}/restore"), json!({})).await.expect(400);
    assert_eq!(refused.body["error"]["details"][0]["code"], "ObjectConflict");
    lab.delete(&format!("/users/{rival}")).await.expect(204);
    let back = lab.post(&format!("/directory/deletedItems/{id}/restore"), json!({})).await.expect(200);
    assert_eq!(back.body["userPrincipalName"], "ann@contoso.com");
    assert_eq!(back.body["@odata.type"], "#microsoft.graph.user");
    let deleted =
        lab.get("/directory/deletedItems/microsoft.graph.user?$select=id,deletedDateTime").await.expect(200);
    assert_eq!(deleted.body["value"][0]["id"], rival.as_str());
    lab.delete(&format!("/directory/deletedItems/{rival}")).await.expect(204);
    lab.delete(&format!("/directory/deletedItems/{rival}")).await.expect(404);
    lab.finish().await;
}

#[tokio::test]
async fn deleted_items_last_thirty_days() {
    let lab = Lab::new().await;
    let id = lab.user("ann").await;
    lab.delete(&format!("/users/{id}")).await.expect(204);
    lab.sim.advance(std::time::Duration::from_secs(29 * 86_400));
    let mut lab = lab;
    lab.sign_in().await;
    lab.get(&format!("/directory/deletedItems/{id}")).await.expect(200);
    lab.sim.advance(std::time::Duration::from_secs(2 * 86_400));
    lab.sign_in().await;
    lab.get(&format!("/directory/deletedItems/{id}")).await.expect(404);
    lab.finish().await;
}

#[tokio::test]
async fn wrong_users_are_refused_with_the_services_words() {
    let lab = Lab::tenant(|t| {
        t.domains.push(DomainConfig { name: "fed.com".into(), federated: true, ..DomainConfig::default() });
        t.domains.push(DomainConfig { name: "new.com".into(), verified: false, ..DomainConfig::default() });
    })
    .await;
    let taken = lab.user("ann").await;
    let set = |name: &str, value: Value| with(user("bob"), name, value);
    let upn = |value: &str| set("userPrincipalName", json!(value));
    let password = |value: &str| set("passwordProfile", json!({ "password": value }));
    let without = |name: &str| {
        let mut body = user("bob");
        body.as_object_mut().unwrap().remove(name);
        body
    };
    let cases = [
        (upn("ann@contoso.com"), "property userPrincipalName already exists"),
        (upn("bob@elsewhere.org"), "One or more properties contains invalid values."),
        (upn("bob@new.com"), "One or more properties contains invalid values."),
        (upn("bob@fed.com"), "One or more properties contains invalid values."),
        (upn("b\u{f6}b@contoso.com"), "'userPrincipalName' of resource 'User'"),
        (upn("bob.@contoso.com"), "'userPrincipalName' of resource 'User'"),
        (without("displayName"), "A value is required for property 'displayName'"),
        (without("passwordProfile"), "A value is required for property 'passwordProfile'"),
        (without("accountEnabled"), "A value is required for property 'accountEnabled'"),
        (
            set("mailNickname", json!("b,b")),
            "Invalid value specified for property 'mailNickname' of resource 'User'.",
        ),
        (set("givenName", json!("x".repeat(65))), "'givenName'"),
        (set("givenName", json!("")), "'givenName'"),
        (set("givenName", json!(1)), "'givenName'"),
        (set("employeeId", json!("x".repeat(17))), "'employeeId'"),
        (set("usageLocation", json!("GER")), "'usageLocation'"),
        (set("businessPhones", json!(["1", "2"])), "'businessPhones'"),
        (set("onPremisesImmutableId", json!("a_b")), "'onPremisesImmutableId'"),
        (
            set("onPremisesSyncEnabled", json!(true)),
            "Property 'onPremisesSyncEnabled' is read-only and cannot be set.",
        ),
        (set("proxyAddresses", json!(["SMTP:a@b.c"])), "Property 'proxyAddresses' is read-only"),
        (set("nonsense", json!(1)), "nonsense"),
        (set("extension_0_x", json!("1")), "The following extension properties are not available"),
        (password("short1!"), "password complexity"),
        (password("alllowercaseletters"), "password complexity"),
        (password("Bob-is-1-password"), "password complexity"),
    ];
    for (body, words) in cases {
        let refused = lab.post("/users", body.clone()).await;
        assert_eq!(refused.status, 400, "{body}");
        assert!(refused.message().contains(words), "{body}: {}", refused.text);
        assert_eq!(refused.code(), "Request_BadRequest");
    }
    lab.post("/users", with(upn("bob@fed.com"), "onPremisesImmutableId", json!("x"))).await.expect(201);
    for body in [json!({"displayName": null}), json!({"usageLocation": null}), json!({"displayName": ""})] {
        lab.patch(&format!("/users/{taken}"), body).await.expect(400);
    }
    // Without a directory role no application changes passwords.
    let denied = lab
        .patch(&format!("/users/{taken}"), json!({"passwordProfile": {"password": "xWwvJ]6NMw+bWH-d"}}))
        .await;
    assert_eq!((denied.status, denied.code()), (403, "Authorization_RequestDenied"));
    lab.sim.change_tenant(|t| t.applications[0].directory_roles = vec!["User Administrator".into()]);
    lab.patch(&format!("/users/{taken}"), json!({"passwordProfile": {"password": "xWwvJ]6NMw+bWH-d"}}))
        .await
        .expect(204);
    lab.finish().await;
}

#[tokio::test]
async fn mail_is_unique_and_moves_the_proxy_addresses() {
    let lab = Lab::new().await;
    let ann = lab.post("/users", with(user("ann"), "mail", json!("ann@contoso.com"))).await.expect(201).id();
    let bob = lab.user("bob").await;
    let refused = lab.patch(&format!("/users/{bob}"), json!({"mail": "ANN@contoso.com"})).await.expect(400);
    let details = &refused.body["error"]["details"];
    assert_eq!(details[0]["code"], "ObjectConflict");
    assert_eq!(details[0]["target"], "proxyAddresses");
    assert_eq!(details[1]["code"], "ConflictingObjects");
    assert!(details[1]["target"].as_str().unwrap().contains(&ann));
    lab.patch(&format!("/users/{ann}"), json!({"mail": "new@contoso.com"})).await.expect(204);
    let read = lab.get(&format!("/users/{ann}?$select=proxyAddresses")).await.expect(200);
    assert_eq!(read.body["proxyAddresses"], json!(["SMTP:new@contoso.com", "smtp:ann@contoso.com"]));
    lab.finish().await;
}

#[tokio::test]
async fn synced_and_protected_objects_are_left_alone() {
    let lab = Lab::new().await;
    let ids = lab
        .sim
        .seed(
            serde_json::from_value::<SeedData>(json!({
                "users": [
                    {"userPrincipalName": "s@contoso.com", "displayName": "Synced", "onPremisesSyncEnabled": true,
                     "onPremisesImmutableId": "s", "onPremisesSamAccountName": "s"},
                    {"userPrincipalName": "was@contoso.com", "displayName": "Was synced", "onPremisesSyncEnabled": false},
                    {"userPrincipalName": "boss@contoso.com", "displayName": "Boss"}],
                "groups": [{"displayName": "Synced", "mailNickname": "s", "mailEnabled": false, "securityEnabled": true,
                    "onPremisesSyncEnabled": true, "members": ["s@contoso.com"]}],
                "directoryRoles": [{"displayName": "Global Administrator",
                    "roleTemplateId": "62e90394-69f5-4237-9190-012177145e10", "members": ["boss@contoso.com"]}]
            }))
            .unwrap(),
        )
        .unwrap();
    let [synced, was, boss, group, role] = &ids[..] else { panic!("five objects") };
    let words = "on-premises mastered Directory Sync objects";
    for answer in [
        lab.patch(&format!("/users/{synced}"), json!({"displayName": "x"})).await,
        lab.delete(&format!("/users/{synced}")).await,
        lab.patch(&format!("/groups/{group}"), json!({"displayName": "x"})).await,
        lab.delete(&format!("/groups/{group}")).await,
        lab.post(
            &format!("/groups/{group}/members/$ref"),
            json!({"@odata.id": format!("/directoryObjects/{boss}")}),
        )
        .await,
        lab.delete(&format!("/groups/{group}/members/{synced}/$ref")).await,
    ] {
        assert_eq!(answer.status, 400);
        assert!(answer.message().contains(words), "{}", answer.text);
    }
    lab.patch(&format!("/users/{synced}"), json!({"usageLocation": "DE"})).await.expect(204);
    let external = lab
        .patch(
            &format!("/users/{was}"),
            json!({"onPremisesExtensionAttributes": {"extensionAttribute1": "x"}}),
        )
        .await
        .expect(400);
    assert!(external.message().contains("originated within an external service"));
    for answer in [
        lab.patch(&format!("/users/{boss}"), json!({"accountEnabled": false})).await,
        lab.patch(&format!("/users/{boss}"), json!({"onPremisesImmutableId": "x"})).await,
        lab.delete(&format!("/users/{boss}")).await,
    ] {
        assert_eq!((answer.status, answer.code()), (403, "Authorization_RequestDenied"));
    }
    lab.patch(&format!("/users/{boss}"), json!({"jobTitle": "x"})).await.expect(204);
    let holders = lab.get(&format!("/directoryRoles/{role}/members")).await.expect(200);
    assert_eq!(holders.body["value"][0]["id"], boss.to_string());
    let template = lab
        .get("/directoryRoles(roleTemplateId='62e90394-69f5-4237-9190-012177145e10')/members")
        .await
        .expect(200);
    assert_eq!(template.body["value"][0]["id"], boss.to_string());
    let assignments = lab.get("/roleManagement/directory/roleAssignments").await.expect(200);
    assert_eq!(assignments.body["value"][0]["principalId"], boss.to_string());
    lab.sim.change_tenant(|t| t.applications[0].directory_roles = vec!["Global Administrator".into()]);
    lab.delete(&format!("/users/{boss}")).await.expect(204);
    lab.finish().await;
}

#[tokio::test]
async fn groups_are_made_by_kind_and_by_unique_name() {
    let lab = Lab::new().await;
    let id = lab.group("ops").await;
    let read = lab.get(&format!("/groups/{id}")).await.expect(200);
    assert_eq!(read.body["groupTypes"], json!([]));
    assert_eq!(read.body["visibility"], "Private");
    let unified = with(with(group("team"), "groupTypes", json!(["Unified"])), "mailEnabled", json!(true));
    let team = lab.post("/groups", unified.clone()).await.expect(201);
    assert_eq!(team.body["mail"], "team@contoso.com");
    let twice = lab.post("/groups", unified).await.expect(400);
    assert_eq!(twice.body["error"]["details"][0]["target"], "mailNickname");
    for (body, words) in [
        (
            with(group("x"), "mailEnabled", json!(true)),
            "does not currently support writes of mail-enabled groups",
        ),
        (with(group("x"), "securityEnabled", json!(false)), "invalid values"),
        (with(group("x"), "mailNickname", json!("a b")), "'mailNickname'"),
        (with(group("x"), "uniqueName", json!("x")), "Property 'uniqueName' is read-only"),
        (with(group("x"), "mail", json!("x@contoso.com")), "Property 'mail' is read-only"),
        (with(group("x"), "description", json!("x".repeat(1025))), "'description'"),
        (json!({"displayName": "x"}), "A value is required for property 'mailEnabled'"),
    ] {
        let refused = lab.post("/groups", body).await.expect(400);
        assert!(refused.message().contains(words), "{words}: {}", refused.text);
    }
    // Upsert.
    let prefer = [("Prefer", "create-if-missing")];
    let upsert = |headers: &'static [(&'static str, &'static str)], body: Value| {
        let lab = &lab;
        async move { lab.raw("PATCH", "/groups(uniqueName='g-1')", headers, Some(&body)).await.unwrap() }
    };
    assert_eq!(upsert(&[], group("g")).await.status, 404);
    let made =
        lab.raw("PATCH", "/groups(uniqueName='g-1')", &prefer, Some(&group("g"))).await.unwrap().expect(201);
    assert_eq!(upsert(&[("Prefer", "create-if-missing")], group("g2")).await.status, 204);
    let read = lab.get("/groups(uniqueName='g-1')?$select=id,displayName,uniqueName").await.expect(200);
    assert_eq!(read.body["id"], made.body["id"]);
    assert_eq!(read.body["displayName"], "g2");
    assert_eq!(read.body["uniqueName"], "g-1");
    let refused =
        lab.patch(&format!("/groups/{}", made.id()), json!({"uniqueName": "other"})).await.expect(400);
    assert!(refused.message().contains("read-only"));
    lab.sim.change_behaviours(|b| b.group_upsert = false);
    lab.raw("PATCH", "/groups(uniqueName='g-2')", &prefer, Some(&group("h"))).await.unwrap().expect(404);
    // Deleted softly, or at once where the tenant does so.
    lab.delete(&format!("/groups/{id}")).await.expect(204);
    lab.get(&format!("/directory/deletedItems/{id}/microsoft.graph.group")).await.expect(200);
    lab.sim.change_behaviours(|b| b.security_group_soft_delete = false);
    lab.delete(&format!("/groups/{}", made.id())).await.expect(204);
    lab.get(&format!("/directory/deletedItems/{}", made.id())).await.expect(404);
    lab.finish().await;
}

#[tokio::test]
async fn lists_page_filter_and_count() {
    let lab = Lab::new().await;
    for n in 0..7 {
        let body = with(
            with(user(&format!("u{n}")), "employeeId", json!(format!("e{n}"))),
            "department",
            json!("d"),
        );
        lab.post("/users", with(body, "onPremisesImmutableId", json!(format!("Anchor{n}"))))
            .await
            .expect(201);
    }
    let (all, _) = lab.round("/users?$top=3&$select=id").await;
    assert_eq!(all.len(), 7);
    let found = |answer: &crate::lab::Answer| answer.body["value"].as_array().unwrap().len();
    for (filter, count) in [
        ("onPremisesImmutableId eq 'Anchor3'", 1),
        ("onPremisesImmutableId eq 'anchor3'", 0),
        ("onPremisesImmutableId in ('Anchor1','Anchor2','x')", 2),
        ("startsWith(onPremisesImmutableId,'Anchor')", 7),
        ("employeeId eq 'e1' or employeeId eq 'e2'", 2),
        ("userPrincipalName eq 'u1@contoso.com' and accountEnabled eq true", 1),
        ("onPremisesSyncEnabled eq true", 0),
        ("department eq 'd'", 7),
    ] {
        let answer = lab.get(&format!("/users?$select=id&$filter={filter}")).await.expect(200);
        assert_eq!(found(&answer), count, "{filter}");
    }
    let refused = lab.get("/users/$count").await.expect(400);
    assert_eq!(refused.message(), "$count is not currently supported.");
    assert_eq!(lab.eventual("/users/$count").await.expect(200).text, "7");
    let counted = lab
        .eventual("/users?$count=true&$filter=userType ne 'Guest'&$orderby=displayName desc&$top=2")
        .await
        .expect(200);
    assert_eq!(counted.body["@odata.count"], 7);
    assert_eq!(counted.body["value"][0]["displayName"], "u6");
    for path in [
        "/users?$filter=endsWith(mail,'x')",
        "/users?$filter=accountEnabled ne true",
        "/users?$filter=companyName eq 'x'",
        "/users?$search=\"displayName:u\"",
        "/users?$skip=1",
        "/users?$top=1000",
        "/users?$select=nonsense",
    ] {
        lab.get(path).await.expect(400);
    }
    lab.get("/users?$select=skills").await.expect(501);
    let searched = lab.eventual("/users?$search=\"displayName:u1\" OR \"displayName:u2\"").await.expect(200);
    assert_eq!(found(&searched), 2);
    let expired = lab.get("/users?$skiptoken=rubbish").await.expect(400);
    assert_eq!(expired.code(), "Directory_ExpiredPageToken");
    lab.finish().await;
}

#[tokio::test]
async fn a_new_object_may_stay_unseen_for_a_while() {
    let lab = Lab::behaving(|b| {
        b.blind_reads = 2;
        b.list_lag_ms = 5_000;
    })
    .await;
    let id = lab.user("ann").await;
    lab.get(&format!("/users/{id}")).await.expect(404);
    lab.patch(&format!("/users/{id}"), json!({"jobTitle": "x"})).await.expect(404);
    lab.get(&format!("/users/{id}")).await.expect(200);
    let found = |answer: crate::lab::Answer| answer.body["value"].as_array().unwrap().len();
    assert_eq!(found(lab.get("/users").await), 0);
    lab.sim.advance(std::time::Duration::from_secs(6));
    assert_eq!(found(lab.get("/users").await), 1);
    lab.finish().await;
}

#[tokio::test]
async fn a_read_may_show_values_as_they_were_and_delta_and_what_is_written_do_not() {
    let lab = Lab::behaving(|b| b.read_lag_ms = 4_000).await;
    let id = lab.user("ann").await;
    let path = format!("/users/{id}?$select=jobTitle,department");
    for title in ["one", "two", "three"] {
        lab.sim.advance(std::time::Duration::from_secs(1));
        lab.patch(&format!("/users/{id}"), json!({"jobTitle": title})).await.expect(204);
    }
    lab.sim.advance(std::time::Duration::from_millis(500));
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..200 {
        let one = lab.get(&path).await.expect(200).body;
        assert_eq!(one["department"], serde_json::Value::Null);
        seen.insert(one["jobTitle"].as_str().unwrap_or("none").to_owned());
    }
    assert_eq!(seen, ["none", "one", "three", "two"].map(str::to_owned).into());
    let listed = |answer: crate::lab::Answer| answer.body["value"][0]["jobTitle"].clone();
    let delta = lab.get("/users/delta?$select=jobTitle").await.expect(200);
    assert_eq!(listed(delta), "three");
    lab.sim.advance(std::time::Duration::from_secs(5));
    for _ in 0..20 {
        assert_eq!(listed(lab.get("/users?$select=jobTitle").await.expect(200)), "three");
    }
    lab.finish().await;
}
