//! The description judges the simulator's own table of properties.

use serde_json::{Value, json};

use onesync_graphsim::judged::validator;

use crate::lab::Lab;

/// Every property the description calls read-only is refused on PATCH, and every writable one is known.
#[tokio::test]
async fn read_only_properties_are_refused() {
    let Some(validator) = validator() else { return };
    let lab = Lab::new().await;
    let user = format!("/users/{}", lab.user("ann").await);
    let group = format!("/groups/{}", lab.group("g").await);
    let mut checked = 0;
    for (path, name) in [(&user, "microsoft.graph.user"), (&group, "microsoft.graph.group")] {
        for (property, schema) in validator.properties(name).unwrap() {
            let navigation = schema["items"]["$ref"].as_str().is_some_and(|r| r.ends_with("directoryObject"))
                || ["manager", "licenseDetails", "signInActivity", "licenseProcessingState"]
                    .contains(&property.as_str());
            let mutability = schema["x-doc-mutability"].as_str();
            if navigation || !matches!(mutability, Some("readOnly" | "createOnly")) {
                continue;
            }
            let value = match schema["type"].as_str().or(schema["type"][0].as_str()) {
                Some("boolean") => json!(true),
                Some("array") => json!([]),
                _ => json!("2026-01-01T00:00:00Z"),
            };
            // Licences are assigned by an action of their own.
            let path_status = lab.patch(path, json!({ property.clone(): value })).await;
            if property == "assignedLicenses" && name.ends_with("user") {
                continue;
            }
            assert_eq!(path_status.status, 400, "{name}.{property}");
            checked += 1;
        }
    }
    assert!(checked > 30, "{checked}");
    lab.sim.clear_log();
    lab.finish().await;
}

/// Lengths of the description hold: one character more is refused.
#[tokio::test]
async fn lengths_are_those_of_the_description() {
    let Some(validator) = validator() else { return };
    let lab = Lab::new().await;
    let user = format!("/users/{}", lab.user("ann").await);
    let group = format!("/groups/{}", lab.group("g").await);
    for (path, name) in [(&user, "microsoft.graph.user"), (&group, "microsoft.graph.group")] {
        for (property, schema) in validator.properties(name).unwrap() {
            let Some(max) = schema["maxLength"].as_u64() else { continue };
            let text = |n: u64| Value::String("x".repeat(usize::try_from(n).unwrap()));
            lab.patch(path, json!({ property.clone(): text(max) })).await.expect(204);
            lab.patch(path, json!({ property.clone(): text(max + 1) })).await.expect(400);
        }
    }
    lab.finish().await;
}
