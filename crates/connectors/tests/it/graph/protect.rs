//! What is enforced below the rules.

use onesync_connectors::{Connector, ErrorClass, ExportOutcome, Severity};
use onesync_graphsim::{GraphSim, SeedData, TenantConfig};
use serde_json::json;

use super::lab::{Lab, done, failed};

fn role(lab: &Lab, members: serde_json::Value) {
    let role = json!({"displayName": "Global Administrator", "members": members});
    let directory_roles = vec![role.as_object().unwrap().clone()];
    lab.sim.seed(SeedData { directory_roles, ..SeedData::default() }).unwrap();
}

#[tokio::test]
async fn a_tenant_that_entra_connect_serves_is_not_written_until_allowed() {
    let mut lab = Lab::tenant(|t| t.on_premises_sync_enabled = Some(true)).await;
    let ids = lab.seed(
        json!([{"userPrincipalName": "theirs@contoso.com", "displayName": "Theirs", "onPremisesSyncEnabled": true},
            {"userPrincipalName": "ours@contoso.com", "displayName": "Ours"}]),
        json!([{"displayName": "Their group", "onPremisesSyncEnabled": true, "members": ["ours@contoso.com"]}]),
    );
    let text = lab.graph.export_obstacle().await.unwrap().unwrap();
    assert!(text.contains("coexistence = true"), "{text}");
    let update = |lab: &Lab, id: &str| lab.update("user", id, json!({"city": "Ulm"}));
    let mark = lab.sim.log_mark();
    let error = lab.try_export(vec![update(&lab, &ids[1])]).await.unwrap_err();
    assert_eq!(error.class, ErrorClass::Configuration);
    assert!(lab.writes(mark).is_empty());

    lab.reconnect(|s| s.coexistence = true);
    assert_eq!(lab.graph.export_obstacle().await.unwrap(), None);
    let results = lab
        .export(vec![
            update(&lab, &ids[0]),
            update(&lab, &ids[1]),
            lab.delete("user", &ids[0]),
            lab.link("group", &ids[2], "members", &[&ids[0]], &[&ids[1]]),
        ])
        .await;
    for at in [0, 2, 3] {
        assert_eq!(failed(&results[at]).code, "GRAPH-MASTERED");
    }
    done(&results[1]);
    assert_eq!(lab.writes(mark), [format!("PATCH /v1.0/users/{}", ids[1])]);
    lab.finish().await;
}

#[tokio::test]
async fn guests_role_holders_and_the_listed_are_never_disabled_or_deleted() {
    let lab = Lab::set(|s| s.protected = vec!["Glass@contoso.com".into()]).await;
    let ids = lab.seed(
        json!([{"userPrincipalName": "guest#EXT#@contoso.com", "displayName": "Guest", "userType": "Guest"},
            {"userPrincipalName": "glass@contoso.com", "displayName": "Glass"},
            {"userPrincipalName": "admin@contoso.com", "displayName": "Admin"},
            {"userPrincipalName": "nested@contoso.com", "displayName": "Nested"},
            {"userPrincipalName": "plain@contoso.com", "displayName": "Plain"}]),
        json!([{"displayName": "Admins", "mailNickname": "admins", "isAssignableToRole": true,
            "members": ["nested@contoso.com"]}]),
    );
    role(&lab, json!(["admin@contoso.com", "admins"]));
    let mut items: Vec<_> = ids[..5].iter().map(|id| lab.delete("user", id)).collect();
    let disable = json!({"accountEnabled": false, "city": "Ulm"});
    items.extend(ids[..2].iter().map(|id| lab.update("user", id, disable.clone())));
    let results = lab.export(items).await;
    for (result, id) in results[..4].iter().zip(&ids) {
        let error = failed(result);
        assert_eq!((error.class, error.code.as_str()), (ErrorClass::Object, "GRAPH-PROTECTED"), "{id}");
    }
    done(&results[4]);
    // Disabling is refused, the rest is written.
    for (result, id) in results[5..].iter().zip(&ids) {
        assert!(matches!(result.outcome, ExportOutcome::Done { .. }), "{result:?}");
        assert_eq!(lab.name(result.refused[0].attribute), "accountEnabled");
        let user = lab.object("users", id);
        assert_eq!(user["city"], "Ulm");
        assert_ne!(user["accountEnabled"], false);
    }
    lab.finish().await;
}

#[tokio::test]
async fn where_roles_cannot_be_read_nobody_is_disabled_or_deleted() {
    let tenant = without(&["RoleManagement.Read.Directory", "Directory.Read.All"]);
    let mut lab = Lab::with(GraphSim::builder().tenant(tenant), |_| {}).await;
    let ids = lab.seed(json!([{"userPrincipalName": "a@contoso.com", "displayName": "A"}]), json!([]));
    let (space, end) = lab.full().await;
    assert_eq!(space.objects[&ids[0]].flags.protected, None);
    assert!(end.remarks.iter().any(|r| r.contains("RoleManagement.Read.Directory")), "{:?}", end.remarks);
    assert_eq!(lab.graph.roles_known(), Some(false));
    let results = lab
        .export(vec![lab.delete("user", &ids[0]), lab.update("user", &ids[0], json!({"city": "Ulm"}))])
        .await;
    let error = failed(&results[0]);
    assert_eq!(error.class, ErrorClass::Configuration);
    assert!(error.hint.unwrap().contains("RoleManagement.Read.Directory"));
    done(&results[1]);
    lab.reconnect(|s| s.protect_role_holders = false);
    done(&lab.export(vec![lab.delete("user", &ids[0])]).await[0]);
    lab.finish().await;
}

/// The default tenant, with some permissions taken from the application.
fn without(missing: &[&str]) -> TenantConfig {
    let mut tenant = TenantConfig::default();
    tenant.applications[0].roles.retain(|r| !missing.contains(&r.as_str()));
    tenant
}

#[tokio::test]
async fn an_administrator_is_updated_as_far_as_the_service_lets_us() {
    let lab = Lab::new().await;
    let ids =
        lab.seed(json!([{"userPrincipalName": "admin@contoso.com", "displayName": "Admin"}]), json!([]));
    role(&lab, json!(["admin@contoso.com"]));
    let results =
        lab.export(vec![lab.update("user", &ids[0], json!({"city": "Ulm", "mobilePhone": "7"}))]).await;
    assert!(matches!(results[0].outcome, ExportOutcome::Done { .. }), "{results:?}");
    assert_eq!(lab.name(results[0].refused[0].attribute), "mobilePhone");
    assert_eq!(results[0].refused[0].error.class, ErrorClass::Object);
    assert_eq!(lab.object("users", &ids[0])["city"], "Ulm");
    lab.finish().await;
}

#[tokio::test]
async fn mail_enabled_groups_are_never_written() {
    let lab = Lab::new().await;
    let ids = lab.seed(
        json!([]),
        json!([{"displayName": "List", "mailEnabled": true, "securityEnabled": false, "groupTypes": []}]),
    );
    let results = lab.export(vec![lab.update("group", &ids[0], json!({"description": "x"}))]).await;
    assert_eq!(failed(&results[0]).code, "GRAPH-READ-ONLY-TYPE");
    lab.finish().await;
}

#[tokio::test]
async fn a_missing_permission_is_told_with_its_name() {
    let tenant = without(&["User.ReadWrite.All", "Directory.ReadWrite.All"]);
    let lab = Lab::with(GraphSim::builder().tenant(tenant), |_| {}).await;
    let error = failed(&lab.export(vec![lab.user("anna")]).await[0]);
    assert_eq!(
        (error.class, error.code.as_str()),
        (ErrorClass::Configuration, "Authorization_RequestDenied")
    );
    let report = lab.graph.test().await.unwrap();
    let finding = report.findings.iter().find(|f| f.subject == "write users").unwrap();
    assert_eq!(finding.severity, Severity::Warning);
    assert!(finding.message.contains("User.ReadWrite.All"), "{finding:?}");
    lab.finish().await;
}

#[tokio::test]
async fn the_report_names_host_tenant_domains_and_permissions() {
    let lab = Lab::new().await;
    let report = lab.graph.test().await.unwrap();
    let said = |subject: &str| {
        let found = report.findings.iter().find(|f| f.subject == subject);
        found.unwrap_or_else(|| panic!("no {subject} in {report:#?}")).message.clone()
    };
    assert!(said("host").contains(&lab.sim.base_url()));
    assert!(said("tenant").contains("Contoso"));
    assert!(said("verified domains").contains("contoso.onmicrosoft.com"));
    assert!(said("permissions granted").contains("User.ReadWrite.All"));
    assert_eq!(said("directory synchronisation"), "off");
    assert!(report.findings.iter().all(|f| f.severity != Severity::Failed), "{report:#?}");
    lab.sim.change_tenant(|t| t.on_premises_sync_enabled = Some(true));
    let report = lab.graph.test().await.unwrap();
    assert!(
        report.findings.iter().any(|f| f.severity == Severity::Failed && f.message.contains("coexistence"))
    );
    lab.finish().await;
}
