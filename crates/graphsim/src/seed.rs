//! Filling a tenant in bulk, and dumping it readably.
//!
//! Seeding bypasses the rules of writing: it plays what others (Connect, Exchange, people) have made.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::config::{Behaviours, TenantConfig};
use crate::handlers::{make_group, make_user};
use crate::schema::{Kind, find, is_extension};
use crate::state::{Ix, LinkAttr, Object};
use crate::world::World;

/// What to fill a tenant with.
///
/// Objects are JSON as Graph shows them, read-only properties included. `id` may be given; `manager`, `members`
/// and `owners` name objects by id, user principal name, mail, `uniqueName` or `mailNickname`; `deleted: true`
/// puts the object into deleted items.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct SeedData {
    /// Replaces the tenant's settings.
    pub tenant: Option<TenantConfig>,
    /// Replaces the behaviours.
    pub behaviours: Option<Behaviours>,
    /// Users.
    pub users: Vec<Map<String, Value>>,
    /// Groups.
    pub groups: Vec<Map<String, Value>>,
    /// Organisational contacts.
    pub contacts: Vec<Map<String, Value>>,
    /// Devices.
    pub devices: Vec<Map<String, Value>>,
    /// Directory roles with their members.
    pub directory_roles: Vec<Map<String, Value>>,
}

/// Names of a seed object that are no properties.
const SPECIAL: [&str; 6] = ["id", "manager", "members", "owners", "deleted", "deletedDateTime"];

/// Fills the tenant. Returns the ids in the order of users, groups, contacts, devices, roles.
pub(crate) fn seed(world: &mut World, data: SeedData) -> Result<Vec<Uuid>, String> {
    if let Some(behaviours) = data.behaviours {
        world.behaviours = behaviours;
    }
    if let Some(tenant) = data.tenant {
        world.tenant = tenant;
        world.plant_applications();
    }
    let rows = [
        (Kind::User, data.users),
        (Kind::Group, data.groups),
        (Kind::OrgContact, data.contacts),
        (Kind::Device, data.devices),
        (Kind::DirectoryRole, data.directory_roles),
    ];
    let mut made: Vec<(Ix, &Map<String, Value>)> = Vec::new();
    for (kind, rows) in &rows {
        for row in rows {
            made.push((object(world, *kind, row)?, row));
        }
    }
    let now = world.now_ms();
    for (ix, row) in &made {
        links(world, *ix, row)?;
        if row.get("deleted").and_then(Value::as_bool) == Some(true) {
            world.state.delete_soft(*ix, now);
        }
    }
    Ok(made.iter().filter_map(|(ix, _)| world.state.get(*ix)).map(|o| o.id).collect())
}

fn object(world: &mut World, kind: Kind, row: &Map<String, Value>) -> Result<Ix, String> {
    let id = match row.get("id").and_then(Value::as_str) {
        Some(text) => {
            let id = Uuid::parse_str(text).map_err(|_| format!("seed: id `{text}` is no GUID"))?;
            if world.state.by_id(id).is_some() {
                return Err(format!("seed: id `{text}` is there already"));
            }
            Some(id)
        }
        None => None,
    };
    let mut values: Vec<(&str, Value)> = Vec::with_capacity(row.len());
    for (name, value) in row {
        if SPECIAL.contains(&name.as_str()) || name.contains('@') || value.is_null() {
            continue;
        }
        match find(kind, name) {
            Some(def) => values.push((def.name, value.clone())),
            None if is_extension(name) => values.push((name, value.clone())),
            None => return Err(format!("seed: `{name}` is no property of {}", kind.odata())),
        }
    }
    Ok(match kind {
        Kind::User => make_user(world, values, id),
        Kind::Group => make_group(world, values, id),
        _ => {
            let id = id.unwrap_or_else(|| world.ids.uuid());
            if kind == Kind::DirectoryRole && !values.iter().any(|(n, _)| *n == "roleTemplateId") {
                values.push(("roleTemplateId", Value::String(id.to_string())));
            }
            let now = world.now_ms();
            let ix = world.state.create(kind, id, now);
            world.state.init(ix, values);
            ix
        }
    })
}

fn links(world: &mut World, ix: Ix, row: &Map<String, Value>) -> Result<(), String> {
    let now = world.now_ms();
    if let Some(name) = row.get("manager").and_then(Value::as_str) {
        let manager = named(world, name)?;
        world.state.set_manager(ix, Some(manager), now);
    }
    for which in [LinkAttr::Members, LinkAttr::Owners] {
        for name in row.get(which.name()).and_then(Value::as_array).into_iter().flatten() {
            let target = named(world, name.as_str().unwrap_or_default())?;
            world.state.link(ix, which, target, now);
        }
    }
    Ok(())
}

fn named(world: &World, name: &str) -> Result<Ix, String> {
    let live = |ix: Option<Ix>| ix.filter(|ix| world.state.get(*ix).is_some_and(|o| o.is_live()));
    let by_id = Uuid::parse_str(name).ok().and_then(|id| world.state.by_id(id));
    let state = &world.state;
    live(by_id)
        .or_else(|| state.holder(Kind::User, "userPrincipalName", name))
        .or_else(|| state.holder(Kind::User, "mail", name))
        .or_else(|| state.holder(Kind::OrgContact, "mail", name))
        .or_else(|| state.holder(Kind::Group, "uniqueName", name))
        .or_else(|| state.holder(Kind::Group, "mailNickname", name))
        .ok_or_else(|| format!("seed: no object is called `{name}`"))
}

/// The tenant as JSON, in the order of creation, with every value that is set.
pub(crate) fn dump(world: &World) -> Value {
    let live = |kind: Kind| -> Vec<Value> {
        world
            .state
            .live_after(kind, None)
            .filter_map(|ix| world.state.get(ix))
            .map(|o| one(world, o))
            .collect()
    };
    let soft = |kind: Kind| -> Vec<Value> {
        world
            .state
            .soft_after(kind, None)
            .filter_map(|ix| world.state.get(ix))
            .map(|o| one(world, o))
            .collect()
    };
    json!({
        "tenant": {"id": world.tenant.id, "onPremisesSyncEnabled": world.tenant.on_premises_sync_enabled},
        "users": live(Kind::User),
        "groups": live(Kind::Group),
        "contacts": live(Kind::OrgContact),
        "devices": live(Kind::Device),
        "directoryRoles": live(Kind::DirectoryRole),
        "applications": live(Kind::Application),
        "deletedUsers": soft(Kind::User),
        "deletedGroups": soft(Kind::Group),
        "extensionProperties": world.extensions,
    })
}

fn one(world: &World, object: &Object) -> Value {
    let mut out: Map<String, Value> = object
        .props
        .iter()
        .filter(|p| !p.value.is_null())
        .map(|p| (p.name.to_string(), p.value.clone()))
        .collect();
    out.insert("id".into(), json!(object.id));
    let id = |ix: Ix| world.state.get(ix).filter(|o| o.is_live()).map(|o| o.id.to_string());
    if let Some(manager) = object.manager.and_then(id) {
        out.insert("manager".into(), json!(manager));
    }
    for which in [LinkAttr::Members, LinkAttr::Owners] {
        if let Some(links) = object.links(which) {
            let mut ids: Vec<String> = links.all().filter_map(id).collect();
            ids.sort_unstable();
            out.insert(which.name().into(), json!(ids));
        }
    }
    Value::Object(out)
}
