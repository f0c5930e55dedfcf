//! Members, owners, and the way back: `memberOf`, `directReports`, transitive closures.

use std::collections::HashSet;

use serde_json::{Value, json};

use super::{get_only, object, reference_url};
use crate::error::GraphError;
use crate::message::{Req, Resp};
use crate::odata::{Source, count, list};
use crate::rules;
use crate::schema::Kind;
use crate::state::{Ix, LinkAttr};
use crate::world::World;

/// Ids one `checkMemberGroups` may name.
const CHECK_MAX: usize = 20;

/// `members...`, `owners...`, `transitiveMembers...` of a group.
pub(super) fn links(world: &mut World, req: &Req, ix: Ix, rest: &[&str]) -> Result<Resp, GraphError> {
    let (which, transitive) = match rest.first().copied() {
        Some("owners") => (LinkAttr::Owners, false),
        Some("members") => (LinkAttr::Members, false),
        _ => (LinkAttr::Members, true),
    };
    let method = req.method.as_str();
    match (method, rest) {
        ("POST", [_, "$ref"]) if !transitive => {
            let url = reference_url(req)?.to_owned();
            rules::check_members_writable(world, ix, &req.caller)?;
            let target = world.resolve_url(&url)?;
            rules::check_member(world, ix, which, target)?;
            let now = world.now_ms();
            world.state.link(ix, which, target, now);
            Ok(Resp::none())
        }
        ("DELETE", [_, id, "$ref"]) if !transitive => remove(world, req, ix, which, id),
        // Without `/$ref` the service deletes the object itself; so do we.
        ("DELETE", [_, id]) if !transitive && *id != "$ref" => {
            let target = world.resolve_any(id)?;
            match world.state.get(target).map(|o| o.kind) {
                Some(Kind::User) => super::users::delete(world, req, target),
                Some(Kind::Group) => super::groups::delete(world, target),
                _ => Err(GraphError::not_allowed()),
            }
        }
        ("DELETE", [_, "$ref"]) if !transitive => {
            let url = req.query.get("@id").or(req.query.get("$id")).unwrap_or_default().to_owned();
            let id = url.rsplit('/').next().unwrap_or_default().to_owned();
            remove(world, req, ix, which, &id)
        }
        ("GET", [_, "$ref"]) if !transitive => Ok(references(world, req, ix, which)),
        ("PATCH" | "PUT", [_, "$ref"]) => Err(GraphError::new(
            400,
            "BadRequest",
            "The request is currently not supported on the targeted entity set",
        )),
        _ => {
            let source = |cast| {
                if transitive {
                    Source::Fixed(closure_down(world, ix, cast))
                } else {
                    Source::Links(ix, which, cast)
                }
            };
            listing(world, req, rest, source)
        }
    }
}

fn remove(world: &mut World, req: &Req, ix: Ix, which: LinkAttr, id: &str) -> Result<Resp, GraphError> {
    rules::check_members_writable(world, ix, &req.caller)?;
    let target = world
        .find(Kind::User, id, "")
        .or_else(|| uuid::Uuid::parse_str(id).ok().and_then(|id| world.state.by_id(id)));
    let links = world.state.get(ix).and_then(|o| o.links(which));
    let member = target.filter(|t| links.is_some_and(|l| l.contains(*t)));
    let Some(member) = member else {
        if world.behaviours.remove_missing_is_400 {
            return Err(GraphError::bad(format!(
                "One or more removed object references do not exist for the following modified properties: '{}'.",
                which.name()
            )));
        }
        let group = world.state.get(ix).map_or_else(String::new, |o| o.id.to_string());
        return Err(GraphError::not_found(&group));
    };
    if which == LinkAttr::Owners && links.is_some_and(|l| l.len() == 1) {
        return Err(GraphError::bad(
            "The group must have at least one owner, hence this owner cannot be removed.",
        ));
    }
    let now = world.now_ms();
    world.state.unlink(ix, which, member, now);
    Ok(Resp::none())
}

fn references(world: &World, req: &Req, ix: Ix, which: LinkAttr) -> Resp {
    let links = world.state.get(ix).and_then(|o| o.links(which));
    let urls =
        links.into_iter().flat_map(|l| l.all()).filter_map(|t| world.state.get(t)).filter(|o| o.is_live());
    let value: Value =
        urls.map(|o| json!({"@odata.id": format!("{}/v1.0/directoryObjects/{}", req.base, o.id)})).collect();
    Resp::ok(
        json!({"@odata.context": format!("{}/v1.0/$metadata#Collection($ref)", req.base), "value": value}),
    )
}

/// `memberOf...`, `transitiveMemberOf...`, `directReports`.
pub(super) fn backlinks(world: &mut World, req: &Req, ix: Ix, rest: &[&str]) -> Result<Resp, GraphError> {
    let items = match rest.first().copied() {
        Some("directReports") => world.state.reports(ix).collect(),
        Some("memberOf") => world.state.parents(ix).collect(),
        _ => closure_up(world, ix),
    };
    let world = &*world;
    let source = |cast: Option<Kind>| {
        let fits =
            |ix: &Ix| world.state.get(*ix).is_some_and(|o| o.is_live() && cast.is_none_or(|k| o.kind == k));
        Source::Fixed(items.iter().copied().filter(fits).collect())
    };
    listing(world, req, rest, source)
}

/// `x`, `x/$count`, `x/microsoft.graph.user`, `x/microsoft.graph.user/$count`.
fn listing(
    world: &World,
    req: &Req,
    rest: &[&str],
    source: impl Fn(Option<Kind>) -> Source,
) -> Result<Resp, GraphError> {
    let cast = |text: &str| Kind::from_cast(text).ok_or_else(|| GraphError::no_segment(text));
    get_only(req, || match rest {
        [_] => list(world, req, &source(None), None),
        [_, "$count"] => count(world, req, &source(None), None),
        [_, kind] => {
            let kind = cast(kind)?;
            list(world, req, &source(Some(kind)), Some(kind))
        }
        [_, kind, "$count"] => {
            let kind = cast(kind)?;
            count(world, req, &source(Some(kind)), Some(kind))
        }
        _ => Err(GraphError::no_segment(rest.last().copied().unwrap_or_default())),
    })
}

/// All members below a group; cycles end.
fn closure_down(world: &World, ix: Ix, cast: Option<Kind>) -> Vec<Ix> {
    let below = |ix: Ix| -> Vec<Ix> {
        world.state.get(ix).and_then(|o| o.members.as_ref()).into_iter().flat_map(|l| l.all()).collect()
    };
    let mut found = closure(world, ix, below);
    found.retain(|ix| world.state.get(*ix).is_some_and(|o| cast.is_none_or(|k| o.kind == k)));
    found
}

/// All groups above an object; cycles end.
pub(super) fn closure_up(world: &World, ix: Ix) -> Vec<Ix> {
    closure(world, ix, |ix| world.state.parents(ix).collect())
}

fn closure(world: &World, start: Ix, step: impl Fn(Ix) -> Vec<Ix>) -> Vec<Ix> {
    let mut seen: HashSet<Ix> = HashSet::from([start]);
    let mut todo = vec![start];
    let mut found = Vec::new();
    while let Some(ix) = todo.pop() {
        for next in step(ix) {
            if seen.insert(next) && world.state.get(next).is_some_and(|o| o.is_live()) {
                found.push(next);
                todo.push(next);
            }
        }
    }
    found.sort_unstable();
    found
}

/// `checkMemberGroups` and `getMemberGroups`: transitive.
pub(super) fn member_groups(world: &World, req: &Req, ix: Ix, name: &str) -> Result<Resp, GraphError> {
    let body = object(req)?;
    let groups = closure_up(world, ix);
    let all = groups.into_iter().filter_map(|g| world.state.get(g)).filter(|o| o.kind == Kind::Group);
    let asked: Option<Vec<String>> = match name {
        "checkMemberGroups" => {
            let ids: Vec<String> = body
                .get("groupIds")
                .and_then(Value::as_array)
                .into_iter()
                .flatten()
                .filter_map(|v| v.as_str().map(str::to_ascii_lowercase))
                .collect();
            if ids.is_empty() || ids.len() > CHECK_MAX {
                return Err(GraphError::bad(format!("'groupIds' must have 1 to {CHECK_MAX} values.")));
            }
            Some(ids)
        }
        _ => None,
    };
    let only_security = body.get("securityEnabledOnly").and_then(Value::as_bool) == Some(true);
    let value: Value = all
        .filter(|o| !only_security || o.flag("securityEnabled") == Some(true))
        .map(|o| o.id.to_string())
        .filter(|id| asked.as_ref().is_none_or(|a| a.contains(id)))
        .collect();
    Ok(Resp::ok(json!({
        "@odata.context": format!("{}/v1.0/$metadata#Collection(Edm.String)", req.base),
        "value": value,
    })))
}
