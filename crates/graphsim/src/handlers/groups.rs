//! Groups: create, upsert by `uniqueName`, update with members to bind, delete.

use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::object;
use super::users::default_domain;
use crate::clock::iso;
use crate::error::GraphError;
use crate::message::{Req, Resp};
use crate::odata::{Select, entity};
use crate::rules;
use crate::schema::Kind;
use crate::state::{Ix, LinkAttr};
use crate::world::World;

/// References one request may carry.
const BIND_MAX: usize = 20;

pub(super) fn create(world: &mut World, req: &Req) -> Result<Resp, GraphError> {
    create_with(world, req, None)
}

fn create_with(world: &mut World, req: &Req, unique_name: Option<&str>) -> Result<Resp, GraphError> {
    let body = object(req)?;
    let mut values = rules::check_group_create(world, &req.caller, body, unique_name)?;
    let bound = binds(world, body, true)?;
    if let Some(name) = unique_name {
        values.retain(|(n, _)| *n != "uniqueName");
        values.push(("uniqueName", Value::from(name)));
    }
    let ix = make(world, values, None);
    let now = world.now_ms();
    for (which, target) in bound {
        world.state.link(ix, which, target, now);
    }
    Ok(Resp::created(entity(&world.state, ix, &req.base, &Select::default())))
}

/// Creates a group of checked values; those that the directory fills in itself are added.
pub(crate) fn make(world: &mut World, mut values: Vec<(&str, Value)>, id: Option<Uuid>) -> Ix {
    let now = world.now_ms();
    let id = id.unwrap_or_else(|| world.ids.uuid());
    for name in ["createdDateTime", "renewedDateTime"] {
        if !values.iter().any(|(n, _)| *n == name) {
            values.push((name, Value::String(iso(now))));
        }
    }
    if !values.iter().any(|(n, _)| *n == "groupTypes") {
        values.push(("groupTypes", json!([])));
    }
    let text = |name: &str| values.iter().find(|(n, _)| *n == name).and_then(|(_, v)| v.as_str());
    let mailed = values.iter().any(|(n, v)| *n == "mailEnabled" && *v == Value::Bool(true));
    if mailed && text("mail").is_none() {
        let mail = format!("{}@{}", text("mailNickname").unwrap_or_default(), default_domain(world));
        values.push(("proxyAddresses", json!([format!("SMTP:{mail}")])));
        values.push(("mail", Value::String(mail)));
    }
    let ix = world.state.create(Kind::Group, id, now);
    world.state.init(ix, values);
    let blind = world.behaviours.blind_reads;
    if let Some(group) = world.state.get_mut(ix) {
        group.blind_reads = blind;
    }
    ix
}

/// `PATCH /groups(uniqueName='x')`: creates only with `Prefer: create-if-missing`.
pub(super) fn upsert(world: &mut World, req: &Req, unique_name: &str) -> Result<Resp, GraphError> {
    if let Some(ix) = world.find(Kind::Group, unique_name, "uniqueName") {
        return update(world, req, ix);
    }
    if world.behaviours.group_upsert && req.prefers("create-if-missing") {
        return create_with(world, req, Some(unique_name));
    }
    Err(GraphError::not_found(unique_name))
}

pub(super) fn update(world: &mut World, req: &Req, ix: Ix) -> Result<Resp, GraphError> {
    let body = object(req)?;
    let values = rules::check_group_update(world, ix, body)?;
    let bound = binds(world, body, false)?;
    if !bound.is_empty() {
        rules::check_members_writable(world, ix, &req.caller)?;
    }
    for (which, target) in &bound {
        rules::check_member(world, ix, *which, *target)?;
    }
    let now = world.now_ms();
    world.state.set(ix, values, now);
    for (which, target) in bound {
        world.state.link(ix, which, target, now);
    }
    Ok(Resp::none())
}

/// The references of `members@odata.bind` and `owners@odata.bind`: all of them resolve, or nothing is done.
fn binds(
    world: &mut World,
    body: &Map<String, Value>,
    creating: bool,
) -> Result<Vec<(LinkAttr, Ix)>, GraphError> {
    let mut out: Vec<(LinkAttr, Ix)> = Vec::new();
    for which in [LinkAttr::Members, LinkAttr::Owners] {
        let Some(value) = body.get(&format!("{}@odata.bind", which.name())) else { continue };
        let Some(urls) = value.as_array() else {
            return Err(GraphError::new(400, "BadRequest", "A collection of references is expected."));
        };
        if out.len() + urls.len() > BIND_MAX {
            return Err(GraphError::bad(format!(
                "The number of members in a single request cannot exceed {BIND_MAX}."
            )));
        }
        for url in urls {
            let url = url.as_str().unwrap_or_default();
            let target = world.resolve_url(url).map_err(|refusal| {
                // A create answers 400 for what an update answers 404.
                if creating { GraphError::bad(refusal.message) } else { refusal }
            })?;
            if out.contains(&(which, target)) {
                return Err(GraphError::bad("Request contains a property with duplicate values."));
            }
            out.push((which, target));
        }
    }
    Ok(out)
}

pub(super) fn delete(world: &mut World, ix: Ix) -> Result<Resp, GraphError> {
    rules::refuse_synced(world, ix)?;
    let group = world.state.get(ix);
    let is = |name: &str, wanted: &str| {
        let types = group.and_then(|g| g.value(name)).and_then(Value::as_array);
        types.into_iter().flatten().any(|t| t == wanted)
    };
    let unified = is("groupTypes", "Unified");
    if !unified && group.and_then(|g| g.flag("mailEnabled")) == Some(true) {
        return Err(GraphError::external());
    }
    let now = world.now_ms();
    if unified || world.behaviours.security_group_soft_delete {
        world.state.delete_soft(ix, now);
    } else {
        world.state.delete_hard(ix, now);
    }
    Ok(Resp::none())
}
