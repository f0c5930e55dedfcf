//! Deleted items: list, read, restore, delete for ever; and the directory-synchronisation settings.

use serde_json::{Map, Value, json};

use super::{get_only, object};
use crate::error::GraphError;
use crate::message::{Req, Resp};
use crate::odata::{Select, Source, context, count, list, reference};
use crate::schema::Kind;
use crate::state::Ix;
use crate::world::World;

pub(super) fn directory(world: &mut World, req: &Req) -> Result<Resp, GraphError> {
    let names: Vec<&str> = req.segs.iter().map(|s| s.name.as_str()).collect();
    let keyed = req.segs.get(1).and_then(|s| s.key.as_ref()).map(|(_, k)| k.clone());
    let mut rest: Vec<&str> = names.get(2..).unwrap_or_default().to_vec();
    if let Some(key) = &keyed {
        rest.insert(0, key);
    }
    match (names.get(1).copied(), rest.as_slice()) {
        (Some("deletedItems"), rest) => items(world, req, rest),
        (Some("onPremisesSynchronization"), rest) => get_only(req, || Ok(synchronization(world, req, rest))),
        (other, _) => Err(GraphError::no_segment(other.unwrap_or("directory"))),
    }
}

fn items(world: &mut World, req: &Req, rest: &[&str]) -> Result<Resp, GraphError> {
    world.purge_deleted();
    match (req.method.as_str(), rest) {
        ("GET", []) => Err(GraphError::bad(
            "The type of the deleted items has to be named: append a cast such as microsoft.graph.user.",
        )),
        ("GET", [cast]) if Kind::from_cast(cast).is_some() => {
            let kind = Kind::from_cast(cast).unwrap_or(Kind::User);
            list(world, req, &Source::Soft(kind), Some(kind))
        }
        ("GET", [cast, "$count"]) => {
            let kind = Kind::from_cast(cast).ok_or_else(|| GraphError::no_segment(cast))?;
            count(world, req, &Source::Soft(kind), Some(kind))
        }
        ("GET", [id] | [id, _]) => {
            let ix = world.soft(id)?;
            Ok(Resp::ok(as_directory_object(world, req, ix)?))
        }
        ("POST", [id, "restore"]) => restore(world, req, id),
        ("DELETE", [id]) => {
            let ix = world.soft(id)?;
            let now = world.now_ms();
            world.state.delete_hard(ix, now);
            Ok(Resp::none())
        }
        _ => Err(GraphError::not_allowed()),
    }
}

fn as_directory_object(world: &World, req: &Req, ix: Ix) -> Result<Value, GraphError> {
    let kind = world.state.get(ix).map(|o| o.kind);
    let select = Select::parse(req.query.get("$select"), kind)?;
    let mut value = reference(&world.state, ix, &select);
    value["@odata.context"] = context(&req.base, "directoryObjects", &Select::default(), true);
    Ok(value)
}

fn restore(world: &mut World, req: &Req, id: &str) -> Result<Resp, GraphError> {
    let ix = world.soft(id)?;
    let now = world.now_ms();
    let Some(item) = world.state.get(ix) else { return Err(GraphError::not_found(id)) };
    let kind = item.kind;
    let mut values: Vec<(&str, Value)> = Vec::new();
    if kind == Kind::User {
        let asked = match &req.body {
            Some(Value::Object(_)) => object(req)?.get("newUserPrincipalName").and_then(Value::as_str),
            _ => None,
        };
        let hidden = item.text("userPrincipalName").unwrap_or_default();
        let plain = hidden.strip_prefix(&item.id.simple().to_string()).unwrap_or(hidden);
        let upn = asked.unwrap_or(plain).to_owned();
        if world.state.holder(Kind::User, "userPrincipalName", &upn).is_some() {
            return Err(GraphError::taken("userPrincipalName", id));
        }
        values.push(("userPrincipalName", Value::String(upn)));
    }
    for name in ["proxyAddresses", "uniqueName"] {
        let held: Vec<String> = match item.value(name) {
            Some(Value::Array(items)) => items.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
            Some(Value::String(text)) => vec![text.clone()],
            _ => Vec::new(),
        };
        for text in held {
            let live = |o: Ix| o != ix && world.state.get(o).is_some_and(|o| o.is_live());
            if world.state.holders(name, &text).any(live) {
                return Err(GraphError::taken(name, id));
            }
        }
    }
    world.state.restore(ix, now);
    world.state.set(ix, values, now);
    Ok(Resp::ok(as_directory_object(world, req, ix)?))
}

/// Settings of directory synchronisation: readable, so that a client can see whom a tenant belongs to.
fn synchronization(world: &World, req: &Req, rest: &[&str]) -> Resp {
    let synced = world.tenant.on_premises_sync_enabled == Some(true);
    let mut out: Map<String, Value> = Map::new();
    out.insert("id".into(), json!(world.tenant.id));
    out.insert(
        "configuration".into(),
        json!({"accidentalDeletionPrevention": {
            "synchronizationPreventionType": if synced { "enabledForCount" } else { "disabled" },
            "alertThreshold": 500,
        }}),
    );
    out.insert(
        "features".into(),
        json!({
            "blockSoftMatchEnabled": false,
            "blockCloudObjectTakeoverThroughHardMatchEnabled": false,
            "passwordSyncEnabled": synced,
            "softMatchOnUpnEnabled": true,
            "synchronizeUpnForManagedUsersEnabled": true,
        }),
    );
    let context =
        |tail: &str| format!("{}/v1.0/$metadata#directory/onPremisesSynchronization{tail}", req.base);
    if rest.is_empty() {
        Resp::ok(json!({"@odata.context": context(""), "value": [out]}))
    } else {
        out.insert("@odata.context".into(), json!(context("/$entity")));
        Resp::ok(Value::Object(out))
    }
}
