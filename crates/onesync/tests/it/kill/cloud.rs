//! What is in the cloud, with names instead of the ids that the cloud chose, so that two runs can be compared.

use std::collections::BTreeMap;

use onesync_graphsim::GraphSim;
use serde_json::{Map, Value};

/// What differs between two runs that did the same: times, ids, random passwords.
const VOLATILE: [&str; 10] = [
    "id",
    "createdDateTime",
    "deletedDateTime",
    "renewedDateTime",
    "expirationDateTime",
    "lastPasswordChangeDateTime",
    "passwordProfile",
    "securityIdentifier",
    "signInSessionsValidFromDateTime",
    "refreshTokensValidFromDateTime",
];

/// Users and groups, live and deleted, by name.
pub type Contents = BTreeMap<String, Value>;

/// The contents of the cloud.
pub fn contents(sim: &GraphSim) -> Contents {
    let dump = sim.dump();
    let sets = ["users", "groups", "deletedUsers", "deletedGroups"];
    let objects = |set: &str| dump[set].as_array().cloned().unwrap_or_default();
    let names: BTreeMap<String, String> =
        sets.iter().flat_map(|set| objects(set)).map(|o| (text(&o["id"]), name(&o))).collect();
    let mut contents = Contents::new();
    for set in sets {
        for object in objects(set) {
            let key = format!("{set} {}", name(&object));
            let values = plain(&object, &names);
            assert_eq!(contents.insert(key.clone(), values), None, "{key} is there twice");
        }
    }
    contents
}

fn plain(object: &Value, names: &BTreeMap<String, String>) -> Value {
    let by_name = |id: &Value| names.get(&text(id)).cloned().unwrap_or_else(|| text(id));
    let mut out = Map::new();
    for (key, value) in object.as_object().unwrap() {
        let value = match (key.as_str(), value) {
            (key, _) if VOLATILE.contains(&key) => continue,
            ("manager", id) => Value::String(by_name(id)),
            ("members" | "owners", Value::Array(ids)) if ids.is_empty() => continue,
            ("members" | "owners", Value::Array(ids)) => {
                let mut ids: Vec<String> = ids.iter().map(by_name).collect();
                ids.sort();
                ids.into()
            }
            // The marker: installation and epoch are equal in copies of one home, what is made anew is not.
            ("mailNickname", Value::String(text)) if text.starts_with("onesync-marker") => continue,
            ("description", Value::String(text)) if text.starts_with("Kept by OneSync") => {
                Value::String(text.split(",\"taken\"").next().unwrap_or_default().to_owned())
            }
            (_, value) => value.clone(),
        };
        out.insert(key.clone(), value);
    }
    Value::Object(out)
}

/// What ties an object to its source.
fn name(object: &Value) -> String {
    ["onPremisesImmutableId", "uniqueName", "userPrincipalName", "displayName"]
        .iter()
        .find_map(|key| object[*key].as_str())
        .unwrap_or_default()
        .to_owned()
}

/// Fails where one object was created twice with success.
pub fn assert_created_once(sim: &GraphSim, after: u64) {
    let mut created: BTreeMap<String, u32> = BTreeMap::new();
    for entry in sim.log(after).into_iter().filter(|entry| entry.done && entry.status == 201) {
        let body = entry.request_body.unwrap_or_default();
        let key = match (entry.method.as_str(), entry.path.as_str()) {
            ("POST", "/v1.0/users") => text(&body["onPremisesImmutableId"]),
            ("POST", "/v1.0/groups") => text(&body["displayName"]),
            ("PATCH", path) => path.to_owned(),
            _ => continue,
        };
        assert!(!key.is_empty(), "a create without a key: {body}");
        *created.entry(key).or_default() += 1;
    }
    let twice: Vec<_> = created.iter().filter(|(_, count)| **count > 1).collect();
    assert!(twice.is_empty(), "created twice: {twice:?}");
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
