//! The routes below `/v1.0`: from segments to handlers.
//!
//! A handler takes the world and a request and gives an answer or a refusal; it neither logs nor waits.

mod deleted;
mod groups;
mod members;
mod tenant;
mod users;

use serde_json::{Map, Value};

use crate::delta;
use crate::error::GraphError;
use crate::message::{Req, Resp};
use crate::odata::{Select, Source, count, entity, expanded, list};
use crate::perms;
use crate::schema::Kind;
use crate::state::Ix;
use crate::world::World;

pub(crate) use groups::make as make_group;
pub(crate) use users::make as make_user;

/// Answers a request, after its permission is checked.
pub(crate) fn dispatch(world: &mut World, req: &Req) -> Result<Resp, GraphError> {
    perms::check(req)?;
    let Some(first) = req.segs.first() else { return Err(GraphError::no_segment("")) };
    if let Some(kind) = Kind::from_set(&first.name) {
        return match kind {
            Kind::Application | Kind::ServicePrincipal | Kind::DirectoryRole => {
                tenant::objects(world, req, kind)
            }
            _ => set(world, req, kind),
        };
    }
    match first.name.as_str() {
        "directory" => deleted::directory(world, req),
        "directoryObjects" => tenant::directory_objects(world, req),
        "organization" => tenant::organization(world, req),
        "domains" => tenant::domains(world, req),
        "roleManagement" => tenant::role_management(world, req),
        other => Err(GraphError::no_segment(other)),
    }
}

/// Users, groups, contacts and devices.
fn set(world: &mut World, req: &Req, kind: Kind) -> Result<Resp, GraphError> {
    let names: Vec<&str> = req.segs.iter().map(|s| s.name.as_str()).collect();
    let method = req.method.as_str();
    let keyed = req.segs.first().and_then(|s| s.key.clone());
    // `users(key='x')/rest` and `users/x/rest` are one from here on.
    let (property, key, rest): (String, String, &[&str]) = match (&keyed, names.as_slice()) {
        (Some((property, key)), [_, rest @ ..]) => (property.clone(), key.clone(), rest),
        (None, [_]) => {
            return match (method, kind) {
                ("GET", _) => list(world, req, &Source::Kind(kind), Some(kind)),
                ("POST", Kind::User) => users::create(world, req),
                ("POST", Kind::Group) => groups::create(world, req),
                _ => Err(GraphError::not_allowed()),
            };
        }
        (None, [_, "$count"]) => return get_only(req, || count(world, req, &Source::Kind(kind), Some(kind))),
        (None, [_, "delta"]) => {
            return if method == "GET" {
                delta::delta(world, req, kind)
            } else {
                Err(GraphError::not_allowed())
            };
        }
        (None, [_, "getByIds"]) => return tenant::get_by_ids(world, req),
        (None, [_, key, rest @ ..]) => (String::new(), (*key).to_owned(), rest),
        _ => return Err(GraphError::no_segment(kind.set())),
    };
    if let (Kind::Group, "uniqueName", "PATCH", []) = (kind, property.as_str(), method, rest) {
        return groups::upsert(world, req, &key);
    }
    let ix = world.resolve(kind, &key, &property)?;
    match (method, rest) {
        ("GET", []) => single(world, req, kind, ix),
        ("PATCH", []) => match kind {
            Kind::User => users::update(world, req, ix),
            Kind::Group => groups::update(world, req, ix),
            _ => Err(GraphError::not_allowed()),
        },
        ("DELETE", []) => match kind {
            Kind::User => users::delete(world, req, ix),
            Kind::Group => groups::delete(world, ix),
            _ => Err(GraphError::not_allowed()),
        },
        (_, ["manager"]) | (_, ["manager", "$ref"]) if matches!(kind, Kind::User | Kind::OrgContact) => {
            users::manager(world, req, ix, rest.len() == 2)
        }
        (_, ["members" | "owners" | "transitiveMembers" | "transitivemembers", ..])
            if kind == Kind::Group =>
        {
            members::links(world, req, ix, rest)
        }
        (_, ["memberOf" | "transitiveMemberOf" | "directReports", ..]) => {
            members::backlinks(world, req, ix, rest)
        }
        ("POST", [name @ ("checkMemberGroups" | "getMemberGroups")]) => {
            members::member_groups(world, req, ix, name)
        }
        _ => Err(GraphError::no_segment(rest.first().copied().unwrap_or_default())),
    }
}

/// A single object by GET.
fn single(world: &mut World, req: &Req, kind: Kind, ix: Ix) -> Result<Resp, GraphError> {
    let select = Select::parse(req.query.get("$select"), Some(kind))?;
    let mut value = entity(&world.state, ix, &req.base, &select);
    if let Some(text) = req.query.get("$expand") {
        let (name, options) = text.split_once('(').unwrap_or((text, ""));
        let inner = options.trim_end_matches(')').split(';').find_map(|o| o.trim().strip_prefix("$select="));
        if !matches!(name, "manager" | "members" | "owners" | "memberOf") {
            return Err(GraphError::unsupported_query("Unsupported expand."));
        }
        value[name] = expanded(&world.state, ix, name, &Select::parse(inner, None)?);
    }
    Ok(Resp::ok(value))
}

fn get_only(req: &Req, answer: impl FnOnce() -> Result<Resp, GraphError>) -> Result<Resp, GraphError> {
    if req.method == "GET" { answer() } else { Err(GraphError::not_allowed()) }
}

/// The body as a JSON object.
fn object(req: &Req) -> Result<&Map<String, Value>, GraphError> {
    match &req.body {
        Some(Value::Object(map)) => Ok(map),
        _ => Err(GraphError::new(
            400,
            "BadRequest",
            "Unable to read JSON request payload. Please ensure Content-Type header is set and payload is of valid JSON format.",
        )),
    }
}

/// The `@odata.id` of a reference body.
fn reference_url(req: &Req) -> Result<&str, GraphError> {
    object(req)?.get("@odata.id").and_then(Value::as_str).ok_or_else(|| {
        GraphError::new(
            400,
            "BadRequest",
            "The request is currently not supported on the targeted entity set",
        )
    })
}
