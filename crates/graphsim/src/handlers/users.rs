//! Users: create, update, delete, manager.

use serde_json::{Value, json};
use uuid::Uuid;

use super::{object, reference_url};
use crate::clock::iso;
use crate::error::GraphError;
use crate::message::{Req, Resp};
use crate::odata::{Select, context, entity, shown};
use crate::rules;
use crate::schema::Kind;
use crate::state::Ix;
use crate::world::World;

pub(super) fn create(world: &mut World, req: &Req) -> Result<Resp, GraphError> {
    let body = object(req)?;
    let manager = match body.get("manager@odata.bind").and_then(Value::as_str) {
        Some(url) => Some(world.resolve_url(url)?),
        None => None,
    };
    let values = rules::check_user_create(world, body)?;
    let ix = make(world, values, None);
    if let Some(manager) = manager {
        let now = world.now_ms();
        world.state.set_manager(ix, Some(manager), now);
    }
    Ok(Resp::created(entity(&world.state, ix, &req.base, &Select::default())))
}

/// Creates a user of checked values; those that the directory fills in itself are added.
pub(crate) fn make(world: &mut World, mut values: Vec<(&str, Value)>, id: Option<Uuid>) -> Ix {
    let now = world.now_ms();
    let id = id.unwrap_or_else(|| world.ids.uuid());
    let has = |values: &Vec<(&str, Value)>, name: &str| values.iter().any(|(n, _)| *n == name);
    if !has(&values, "createdDateTime") {
        values.push(("createdDateTime", Value::String(iso(now))));
    }
    if !has(&values, "userType") {
        values.push(("userType", Value::from("Member")));
    }
    if !has(&values, "businessPhones") {
        values.push(("businessPhones", json!([])));
    }
    if !has(&values, "userPrincipalName") {
        let domain = default_domain(world);
        values.push(("userPrincipalName", Value::String(format!("{}@{domain}", id.simple()))));
        values.push(("creationType", Value::from("LocalAccount")));
    }
    let mail = values.iter().find(|(n, _)| *n == "mail").and_then(|(_, v)| v.as_str().map(str::to_owned));
    if let Some(mail) = mail.filter(|_| !has(&values, "proxyAddresses")) {
        values.push(("proxyAddresses", json!([format!("SMTP:{mail}")])));
    }
    let ix = world.state.create(Kind::User, id, now);
    world.state.init(ix, values);
    let blind = world.behaviours.blind_reads;
    if let Some(user) = world.state.get_mut(ix) {
        user.blind_reads = blind;
    }
    ix
}

/// The domain new objects get.
pub(crate) fn default_domain(world: &World) -> String {
    let default = world.tenant.domains.iter().find(|d| d.default);
    default.or(world.tenant.domains.first()).map_or_else(String::new, |d| d.name.clone())
}

pub(super) fn update(world: &mut World, req: &Req, ix: Ix) -> Result<Resp, GraphError> {
    let body = object(req)?;
    let manager = match body.get("manager@odata.bind").and_then(Value::as_str) {
        Some(url) => Some(world.resolve_url(url)?),
        None => None,
    };
    let mut values = rules::check_user_update(world, &req.caller, ix, body)?;
    if let Some((_, mail)) = values.iter().find(|(n, _)| *n == "mail") {
        let proxies = proxies_with(world, ix, mail.as_str());
        values.push(("proxyAddresses", proxies));
    }
    let now = world.now_ms();
    world.state.set(ix, values, now);
    if let Some(manager) = manager {
        world.state.set_manager(ix, Some(manager), now);
    }
    Ok(Resp::none())
}

/// A written `mail` becomes the primary address; the old one stays as a secondary one.
fn proxies_with(world: &World, ix: Ix, mail: Option<&str>) -> Value {
    let old = world.state.get(ix).and_then(|o| o.value("proxyAddresses")).and_then(Value::as_array);
    let mut out: Vec<String> =
        old.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect();
    let Some(mail) = mail else { return json!(out) };
    for address in &mut out {
        if let Some(primary) = address.strip_prefix("SMTP:") {
            *address = format!("smtp:{primary}");
        }
    }
    let lower = format!("smtp:{}", mail.to_lowercase());
    out.retain(|a| a.to_lowercase() != lower);
    out.insert(0, format!("SMTP:{mail}"));
    json!(out)
}

pub(super) fn delete(world: &mut World, req: &Req, ix: Ix) -> Result<Resp, GraphError> {
    rules::refuse_synced(world, ix)?;
    if rules::is_protected(world, ix) && !rules::holds(&req.caller, rules::HIGHEST) {
        return Err(GraphError::denied());
    }
    let now = world.now_ms();
    // The name becomes free at once: the deleted user keeps it behind its id.
    if let Some(user) = world.state.get(ix) {
        let upn = user.text("userPrincipalName").unwrap_or_default();
        let hidden = format!("{}{upn}", user.id.simple());
        world.state.set(ix, vec![("userPrincipalName", Value::String(hidden))], now);
    }
    world.state.delete_soft(ix, now);
    Ok(Resp::none())
}

pub(super) fn manager(world: &mut World, req: &Req, ix: Ix, by_ref: bool) -> Result<Resp, GraphError> {
    let now = world.now_ms();
    let id = world.state.get(ix).map_or_else(String::new, |o| o.id.to_string());
    let kind = world.state.get(ix).map(|o| o.kind);
    let manager = world.state.get(ix).and_then(|o| o.manager);
    let live = manager.filter(|m| world.state.get(*m).is_some_and(|o| o.is_live()));
    match (req.method.as_str(), by_ref) {
        ("GET", false) => {
            let manager = live.ok_or_else(|| GraphError::not_found("manager"))?;
            let select = Select::parse(req.query.get("$select"), Some(Kind::User))?;
            let mut out = shown(&world.state, manager, &select);
            out.insert(
                "@odata.context".into(),
                context(&req.base, "directoryObjects", &Select::default(), true),
            );
            out.insert("@odata.type".into(), json!("#microsoft.graph.user"));
            Ok(Resp::ok(Value::Object(out)))
        }
        ("GET", true) => {
            let manager = live.ok_or_else(|| GraphError::not_found("manager"))?;
            let target = world.state.get(manager).map_or_else(String::new, |o| o.id.to_string());
            Ok(Resp::ok(json!({
                "@odata.context": format!("{}/v1.0/$metadata#$ref", req.base),
                "@odata.id": format!("{}/v1.0/directoryObjects/{target}/Microsoft.DirectoryServices.User", req.base),
            })))
        }
        ("PUT", true) if kind == Some(Kind::User) => {
            rules::refuse_synced(world, ix)?;
            let target = world.resolve_url(reference_url(req)?)?;
            let fits =
                world.state.get(target).is_some_and(|o| matches!(o.kind, Kind::User | Kind::OrgContact));
            if !fits || target == ix {
                return Err(GraphError::bad("The specified reference is not allowed as a manager."));
            }
            world.state.set_manager(ix, Some(target), now);
            Ok(Resp::none())
        }
        ("DELETE", true) if kind == Some(Kind::User) => {
            rules::refuse_synced(world, ix)?;
            if manager.is_none() {
                return Err(GraphError::not_found(&id));
            }
            world.state.set_manager(ix, None, now);
            Ok(Resp::none())
        }
        _ => Err(GraphError::not_allowed()),
    }
}
