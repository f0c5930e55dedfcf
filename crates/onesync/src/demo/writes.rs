//! What was written to the cloud, in words: the simulator's log, with names instead of ids.

use std::collections::BTreeMap;

use onesync_graphsim::{GraphSim, LogEntry};
use serde_json::Value as Json;

/// Values of an update longer than this are cut.
const VALUE_CHARS: usize = 40;

/// Every write after a mark, a line each.
pub fn lines(sim: &GraphSim, mark: u64) -> Vec<String> {
    let names = names(&sim.dump());
    sim.changes(mark).iter().map(|write| line(write, &names)).collect()
}

fn names(dump: &Json) -> BTreeMap<String, String> {
    let lists = ["users", "groups", "deletedUsers", "deletedGroups"];
    let objects = lists.iter().flat_map(|list| dump[*list].as_array().into_iter().flatten());
    objects
        .filter_map(|object| {
            let name = object["userPrincipalName"].as_str().or_else(|| object["displayName"].as_str())?;
            Some((object["id"].as_str()?.to_owned(), name.to_owned()))
        })
        .collect()
}

fn line(write: &LogEntry, names: &BTreeMap<String, String>) -> String {
    let name = |id: &str| names.get(id).cloned().unwrap_or_else(|| id.to_owned());
    let parts: Vec<&str> = write.path.trim_start_matches("/v1.0/").split('/').collect();
    let body = write.request_body.as_ref();
    match (write.method.as_str(), parts.as_slice()) {
        ("POST", ["users"]) => {
            format!("create user {}", body.map(|b| shown(&b["userPrincipalName"])).unwrap_or_default())
        }
        ("DELETE", ["users", id]) => format!("delete user {}", name(id)),
        ("PUT", ["users", id, "manager", "$ref"]) => {
            format!("manager of {}: {}", name(id), body.map(|b| target(b, &name)).unwrap_or_default())
        }
        ("DELETE", ["users", id, "manager", "$ref"]) => format!("manager of {}: nobody", name(id)),
        ("DELETE", ["groups", group, "members", id, "$ref"]) => {
            format!("group {}: without {}", name(group), name(id))
        }
        ("PATCH", ["groups", group]) if body.is_some_and(|b| b.get("members@odata.bind").is_some()) => {
            let bound = body.and_then(|b| b["members@odata.bind"].as_array()).into_iter().flatten();
            let members: Vec<String> =
                bound.map(|url| name(last(url.as_str().unwrap_or_default()))).collect();
            format!("group {}: with {}", name(group), members.join(", "))
        }
        ("PATCH", [kind, id]) => {
            let values = body.and_then(Json::as_object).into_iter().flatten();
            let values: Vec<String> =
                values.map(|(key, value)| format!("{key} = {}", shown(value))).collect();
            format!("update {} {}: {}", kind.trim_end_matches('s'), name(id), values.join(", "))
        }
        (method, _) => format!("{method} {}", write.path),
    }
}

fn target(body: &Json, name: &impl Fn(&str) -> String) -> String {
    name(last(body["@odata.id"].as_str().unwrap_or_default()))
}

fn last(url: &str) -> &str {
    url.rsplit('/').next().unwrap_or_default()
}

fn shown(value: &Json) -> String {
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    match text.char_indices().nth(VALUE_CHARS) {
        Some((at, _)) => format!("{}...", text.get(..at).unwrap_or_default()),
        None => text,
    }
}
