//! Rules of groups: kinds that can be made and changed, members and owners.

use serde_json::{Map, Value};

use super::check_quota;
use super::values::{Values, check_values};
use crate::error::GraphError;
use crate::message::Caller;
use crate::schema::Kind;
use crate::state::{Ix, LinkAttr, Object};
use crate::world::World;

/// Owners of a group.
const OWNERS_MAX: usize = 100;

/// Checks the body of `POST /groups`, or of an upsert (`unique_name` given).
pub(crate) fn check_group_create<'b>(
    world: &World,
    caller: &Caller,
    body: &'b Map<String, Value>,
    unique_name: Option<&str>,
) -> Result<Values<'b>, GraphError> {
    let mut values = check_values(world, Kind::Group, body, true)?;
    let in_body = body.get("uniqueName");
    if in_body.is_some() && unique_name.is_none() && !world.behaviours.unique_name_in_post {
        return Err(GraphError::read_only("uniqueName"));
    }
    for name in ["displayName", "mailEnabled", "mailNickname", "securityEnabled"] {
        if body.get(name).is_none_or(Value::is_null) {
            return Err(GraphError::required(name, Kind::Group));
        }
    }
    let flag = |name: &str| body.get(name).and_then(Value::as_bool) == Some(true);
    let types = strings(body.get("groupTypes"));
    let unified = types.iter().any(|t| t == "Unified");
    if let Some(other) = types.iter().find(|t| !matches!(t.as_str(), "Unified" | "DynamicMembership")) {
        return Err(GraphError::bad(format!(
            "Invalid value specified for property 'groupTypes' of resource 'Group': '{other}'."
        )));
    }
    if flag("mailEnabled") && !unified {
        return Err(GraphError::bad(
            "The service does not currently support writes of mail-enabled groups. Please ensure that the mail-enablement property is unset and the security-enablement property is set.",
        ));
    }
    if unified && !flag("mailEnabled") || !unified && !flag("securityEnabled") {
        return Err(GraphError::invalid_values());
    }
    if types.iter().any(|t| t == "DynamicMembership")
        && !body.get("membershipRule").is_some_and(Value::is_string)
    {
        return Err(GraphError::required("membershipRule", Kind::Group));
    }
    if flag("isAssignableToRole") && !caller.roles.iter().any(|r| r == "RoleManagement.ReadWrite.Directory") {
        return Err(GraphError::denied());
    }
    if let Some(name) = unique_name.or(in_body.and_then(Value::as_str))
        && let Some(other) = world.state.holder(Kind::Group, "uniqueName", name)
    {
        return Err(GraphError::taken("uniqueName", &holder_id(world, other)));
    }
    check_nickname(world, None, unified, &values)?;
    check_quota(world)?;
    if !values.iter().any(|(n, _)| *n == "visibility") {
        let public = unified && !flag("isAssignableToRole");
        values.push(("visibility", Value::from(if public { "Public" } else { "Private" })));
    }
    Ok(values)
}

/// Checks the body of `PATCH /groups/{id}`, apart from members to bind.
pub(crate) fn check_group_update<'b>(
    world: &World,
    ix: Ix,
    body: &'b Map<String, Value>,
) -> Result<Values<'b>, GraphError> {
    let Some(group) = world.state.get(ix) else { return Err(GraphError::not_found("group")) };
    // An upsert repeats the immutable key; equal values are no write.
    let mut kept = body.clone();
    kept.retain(|name, value| !(name == "uniqueName" && group.value("uniqueName") == Some(value)));
    check_values(world, Kind::Group, &kept, false)?;
    let mut values = check_values(world, Kind::Group, body, true)?;
    values.retain(|(name, _)| kept.contains_key(*name));
    if values.is_empty() {
        return Ok(values);
    }
    super::refuse_synced(world, ix)?;
    let unified = is_unified(group);
    if group.flag("mailEnabled") == Some(true) && !unified {
        return Err(GraphError::external());
    }
    for (name, value) in &values {
        let fixed = match *name {
            "groupTypes" => strings(Some(value)).iter().any(|t| t == "Unified") != unified,
            "mailEnabled" => group.value(name).is_some_and(|old| old != value),
            _ => false,
        };
        if fixed {
            return Err(GraphError::invalid_value(name, Kind::Group));
        }
    }
    check_nickname(world, Some(ix), unified, &values)?;
    Ok(values)
}

/// Refuses changes of members where something else masters them.
pub(crate) fn check_members_writable(world: &World, ix: Ix, caller: &Caller) -> Result<(), GraphError> {
    let Some(group) = world.state.get(ix) else { return Err(GraphError::not_found("group")) };
    super::refuse_synced(world, ix)?;
    if group.flag("mailEnabled") == Some(true) && !is_unified(group) {
        return Err(GraphError::external());
    }
    let dynamic = strings(group.value("groupTypes")).iter().any(|t| t == "DynamicMembership");
    let assignable = group.flag("isAssignableToRole") == Some(true);
    if dynamic || assignable && !caller.roles.iter().any(|r| r == "RoleManagement.ReadWrite.Directory") {
        return Err(GraphError::denied());
    }
    Ok(())
}

/// Checks one member or owner to add.
pub(crate) fn check_member(world: &World, ix: Ix, which: LinkAttr, member: Ix) -> Result<(), GraphError> {
    let (Some(group), Some(object)) = (world.state.get(ix), world.state.get(member)) else {
        return Err(GraphError::not_found("member"));
    };
    if group.links(which).is_some_and(|l| l.contains(member)) {
        return Err(GraphError::bad(format!(
            "One or more added object references already exist for the following modified properties: '{}'.",
            which.name()
        )));
    }
    let refused = || GraphError::bad("The specified reference is not allowed as a member of this group.");
    match which {
        LinkAttr::Members => {
            let unified = is_unified(group);
            let fits = match object.kind {
                Kind::User | Kind::Device | Kind::ServicePrincipal | Kind::OrgContact => true,
                Kind::Group => !unified && !is_unified(object) && ix != member,
                Kind::DirectoryRole | Kind::Application => false,
            };
            if fits { Ok(()) } else { Err(refused()) }
        }
        LinkAttr::Owners => {
            if !matches!(object.kind, Kind::User | Kind::ServicePrincipal) {
                return Err(refused());
            }
            let count = group.links(which).map_or(0, crate::state::Links::len);
            if count >= OWNERS_MAX {
                return Err(GraphError::new(
                    403,
                    "Directory_QuotaExceeded",
                    format!(
                        "Unable to perform operation as '{}' would exceed the maximum quota count '{OWNERS_MAX}' for forward-link 'owners'.",
                        count + 1
                    ),
                ));
            }
            Ok(())
        }
    }
}

fn check_nickname(
    world: &World,
    own: Option<Ix>,
    unified: bool,
    values: &Values<'_>,
) -> Result<(), GraphError> {
    let Some((_, Value::String(nickname))) = values.iter().find(|(n, _)| *n == "mailNickname") else {
        return Ok(());
    };
    if !unified {
        return Ok(());
    }
    let taken = |ix: &Ix| {
        Some(*ix) != own
            && world.state.get(*ix).is_some_and(|o| o.kind == Kind::Group && o.is_live() && is_unified(o))
    };
    match world.state.holders("mailNickname", nickname).find(taken) {
        Some(other) => Err(GraphError::taken("mailNickname", &holder_id(world, other))),
        None => Ok(()),
    }
}

fn holder_id(world: &World, ix: Ix) -> String {
    world.state.get(ix).map_or_else(String::new, |o| format!("{}_{}", o.kind.resource(), o.id))
}

fn is_unified(group: &Object) -> bool {
    strings(group.value("groupTypes")).iter().any(|t| t == "Unified")
}

fn strings(value: Option<&Value>) -> Vec<String> {
    value
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .map(str::to_owned)
        .collect()
}
