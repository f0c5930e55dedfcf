//! The tenant: organisation, domains, roles, applications with their extensions, permissions granted, getByIds.

use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::members::closure_up;
use super::{get_only, members, object, single};
use crate::config::DomainConfig;
use crate::error::GraphError;
use crate::message::{Req, Resp};
use crate::odata::{Select, Source, count, entity, list, reference};
use crate::rules;
use crate::schema::Kind;
use crate::state::Ix;
use crate::world::{ExtensionProperty, World};

/// Ids one `getByIds` may name.
const GET_BY_IDS_MAX: usize = 1000;
/// The application id of Microsoft Graph itself, in every tenant.
const GRAPH_APP_ID: &str = "00000003-0000-0000-c000-000000000000";
/// Stable object id of its service principal in the simulator.
const GRAPH_SP_ID: &str = "7a1b2c3d-0000-4000-8000-000000000003";

fn names(req: &Req) -> Vec<&str> {
    req.segs.iter().map(|s| s.name.as_str()).collect()
}

pub(super) fn organization(world: &World, req: &Req) -> Result<Resp, GraphError> {
    let tenant = &world.tenant;
    let domains = tenant.domains.iter().filter(|d| d.verified);
    let verified: Value = domains
        .map(|d| {
            json!({
                "capabilities": "Email, OfficeCommunicationsOnline",
                "isDefault": d.default,
                "isInitial": d.initial,
                "name": d.name,
                "type": if d.federated { "Federated" } else { "Managed" },
            })
        })
        .collect();
    let synced = tenant.on_premises_sync_enabled == Some(true);
    let last = if synced { json!(crate::clock::iso(world.now_ms())) } else { Value::Null };
    let full = json!({
        "id": tenant.id,
        "displayName": tenant.display_name,
        "assignedPlans": [],
        "businessPhones": [],
        "city": null,
        "country": null,
        "countryLetterCode": "US",
        "onPremisesSyncEnabled": tenant.on_premises_sync_enabled,
        "onPremisesLastSyncDateTime": last,
        "technicalNotificationMails": [],
        "tenantType": "AAD",
        "verifiedDomains": verified,
    });
    let asked = req.query.get("$select");
    let mut out: Map<String, Value> = full.as_object().cloned().unwrap_or_default();
    if let Some(select) = asked {
        out.retain(|name, _| select.split(',').any(|s| s.trim() == name));
    }
    let context = format!("{}/v1.0/$metadata#organization", req.base);
    match (req.method.as_str(), names(req).as_slice()) {
        ("GET", [_]) => Ok(Resp::ok(json!({"@odata.context": context, "value": [out]}))),
        ("GET", [_, id]) if id.eq_ignore_ascii_case(&tenant.id) => {
            out.insert("@odata.context".into(), json!(format!("{context}/$entity")));
            Ok(Resp::ok(Value::Object(out)))
        }
        ("PATCH", [_, _]) => {
            let first = object(req)?.keys().next().map_or("id", String::as_str);
            Err(GraphError::read_only(first))
        }
        (_, [_, id]) if req.method == "GET" => Err(GraphError::not_found(id)),
        _ => Err(GraphError::not_allowed()),
    }
}

pub(super) fn domains(world: &World, req: &Req) -> Result<Resp, GraphError> {
    let one = |d: &DomainConfig| {
        json!({
            "id": d.name,
            "authenticationType": if d.federated { "Federated" } else { "Managed" },
            "availabilityStatus": null,
            "isAdminManaged": true,
            "isDefault": d.default,
            "isInitial": d.initial,
            "isRoot": true,
            "isVerified": d.verified,
            "supportedServices": ["Email", "OfficeCommunicationsOnline"],
            "passwordNotificationWindowInDays": 14,
            "passwordValidityPeriodInDays": 2_147_483_647,
        })
    };
    let context = format!("{}/v1.0/$metadata#domains", req.base);
    get_only(req, || match names(req).as_slice() {
        [_] => {
            let value: Value = world.tenant.domains.iter().map(one).collect();
            Ok(Resp::ok(json!({"@odata.context": context, "value": value})))
        }
        [_, name] => {
            let domain = world.tenant.domains.iter().find(|d| d.name.eq_ignore_ascii_case(name));
            let mut value = one(domain.ok_or_else(|| GraphError::not_found(name))?);
            value["@odata.context"] = json!(format!("{context}/$entity"));
            Ok(Resp::ok(value))
        }
        _ => Err(GraphError::no_segment("domains")),
    })
}

/// Applications, service principals and directory roles.
pub(super) fn objects(world: &mut World, req: &Req, kind: Kind) -> Result<Resp, GraphError> {
    let keyed = req.segs.first().and_then(|s| s.key.clone());
    let all = names(req);
    let (property, key, rest): (String, String, &[&str]) = match (&keyed, all.as_slice()) {
        (Some((property, key)), [_, rest @ ..]) => (property.clone(), key.clone(), rest),
        (None, [_]) => return get_only(req, || list(world, req, &Source::Kind(kind), Some(kind))),
        (None, [_, "$count"]) => return get_only(req, || count(world, req, &Source::Kind(kind), Some(kind))),
        (None, [_, key, rest @ ..]) => (String::new(), (*key).to_owned(), rest),
        _ => return Err(GraphError::no_segment(kind.set())),
    };
    if kind == Kind::ServicePrincipal && key == GRAPH_SP_ID {
        return get_only(req, || Ok(Resp::ok(graph_principal(req))));
    }
    let ix = world.resolve(kind, &key, &property)?;
    match (req.method.as_str(), kind, rest) {
        ("GET", _, []) => single(world, req, kind, ix),
        ("PATCH", Kind::Application, []) => {
            let values = rules::check_values(world, kind, object(req)?, false)?;
            let now = world.now_ms();
            world.state.set(ix, values, now);
            Ok(Resp::none())
        }
        (_, Kind::Application, ["extensionProperties", rest @ ..]) => extensions(world, req, ix, rest),
        ("GET", Kind::ServicePrincipal, ["appRoleAssignments"]) => Ok(app_role_assignments(world, req, ix)),
        ("GET", Kind::DirectoryRole, ["members", ..]) => members::links(world, req, ix, rest),
        ("GET", _, ["memberOf" | "transitiveMemberOf", ..]) => members::backlinks(world, req, ix, rest),
        _ => Err(GraphError::no_segment(rest.first().copied().unwrap_or(kind.set()))),
    }
}

/// A stable id for a permission, so that the same name has the same id everywhere.
fn role_id(name: &str) -> Uuid {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, name.as_bytes());
    let mut bytes = [0u8; 16];
    for (to, from) in bytes.iter_mut().zip(digest.as_ref()) {
        *to = *from;
    }
    uuid::Builder::from_random_bytes(bytes).into_uuid()
}

fn graph_principal(req: &Req) -> Value {
    let roles: Value = crate::perms::KNOWN
        .iter()
        .map(|name| {
            json!({
                "id": role_id(name).to_string(),
                "value": name,
                "displayName": name,
                "description": name,
                "allowedMemberTypes": ["Application"],
                "isEnabled": true,
                "origin": "Application",
            })
        })
        .collect();
    json!({
        "@odata.context": format!("{}/v1.0/$metadata#servicePrincipals/$entity", req.base),
        "id": GRAPH_SP_ID,
        "appId": GRAPH_APP_ID,
        "displayName": "Microsoft Graph",
        "appRoles": roles,
    })
}

/// The permissions granted to an application, as grants on Microsoft Graph.
fn app_role_assignments(world: &World, req: &Req, ix: Ix) -> Resp {
    let Some(principal) = world.state.get(ix) else { return Resp::ok(json!({"value": []})) };
    let app_id = principal.text("appId").unwrap_or_default();
    let roles = world.app(app_id).map(|a| a.roles.clone()).unwrap_or_default();
    let created = crate::clock::iso(principal.born_ms);
    let value: Value = roles
        .iter()
        .map(|role| {
            json!({
                "id": role_id(&format!("{}/{role}", principal.id)).simple().to_string(),
                "appRoleId": role_id(role).to_string(),
                "createdDateTime": created,
                "deletedDateTime": null,
                "principalDisplayName": principal.text("displayName"),
                "principalId": principal.id.to_string(),
                "principalType": "ServicePrincipal",
                "resourceDisplayName": "Microsoft Graph",
                "resourceId": GRAPH_SP_ID,
            })
        })
        .collect();
    Resp::ok(
        json!({"@odata.context": format!("{}/v1.0/$metadata#appRoleAssignments", req.base), "value": value}),
    )
}

fn extension_json(world: &World, definition: &ExtensionProperty) -> Value {
    let app = world.state.by_id(definition.application).and_then(|ix| world.state.get(ix));
    json!({
        "id": definition.id.to_string(),
        "deletedDateTime": null,
        "appDisplayName": app.and_then(|a| a.text("displayName")).unwrap_or_default(),
        "name": definition.name,
        "dataType": definition.data_type,
        "isMultiValued": definition.multi_valued,
        "isSyncedFromOnPremises": false,
        "targetObjects": definition.target_objects,
    })
}

fn extensions(world: &mut World, req: &Req, ix: Ix, rest: &[&str]) -> Result<Resp, GraphError> {
    let Some(app) = world.state.get(ix) else { return Err(GraphError::not_found("application")) };
    let (app_object, app_id) = (app.id, app.text("appId").unwrap_or_default().replace('-', ""));
    let context = format!("{}/v1.0/$metadata#applications('{app_object}')/extensionProperties", req.base);
    let own = |e: &&ExtensionProperty| e.application == app_object;
    match (req.method.as_str(), rest) {
        ("GET", []) => {
            let wanted = req.query.get("$filter").and_then(|f| f.split('\'').nth(1));
            let named = |e: &&ExtensionProperty| wanted.is_none_or(|w| e.name == w);
            let value: Value =
                world.extensions.iter().filter(own).filter(named).map(|e| extension_json(world, e)).collect();
            Ok(Resp::ok(json!({"@odata.context": context, "value": value})))
        }
        ("POST", []) => {
            let definition = read_extension(object(req)?, app_object, &app_id)?;
            if world.extensions.iter().any(|e| e.name == definition.name) {
                return Err(GraphError::bad("An extension property exists with the name."));
            }
            let definition = ExtensionProperty { id: world.ids.uuid(), ..definition };
            let mut value = extension_json(world, &definition);
            value["@odata.context"] = json!(format!("{context}/$entity"));
            world.extensions.push(definition);
            Ok(Resp::created(value))
        }
        ("GET", [id]) => {
            let found =
                world.extensions.iter().filter(own).find(|e| e.id.to_string() == id.to_ascii_lowercase());
            let mut value = extension_json(world, found.ok_or_else(|| GraphError::not_found(id))?);
            value["@odata.context"] = json!(format!("{context}/$entity"));
            Ok(Resp::ok(value))
        }
        ("DELETE", [id]) => {
            let before = world.extensions.len();
            world
                .extensions
                .retain(|e| !(e.application == app_object && e.id.to_string() == id.to_ascii_lowercase()));
            if world.extensions.len() == before { Err(GraphError::not_found(id)) } else { Ok(Resp::none()) }
        }
        _ => Err(GraphError::not_allowed()),
    }
}

fn read_extension(
    body: &Map<String, Value>,
    application: Uuid,
    app_id: &str,
) -> Result<ExtensionProperty, GraphError> {
    const TYPES: [&str; 6] = ["Binary", "Boolean", "DateTime", "Integer", "LargeInteger", "String"];
    const TARGETS: [&str; 6] =
        ["User", "Group", "AdministrativeUnit", "Application", "Device", "Organization"];
    let text = |name: &str| body.get(name).and_then(Value::as_str).unwrap_or_default();
    let canonical = |known: &[&str], text: &str| -> Option<String> {
        known.iter().find(|k| k.eq_ignore_ascii_case(text)).map(|k| (*k).to_owned())
    };
    let invalid = |name: &str| {
        GraphError::bad(format!(
            "Invalid value specified for property '{name}' of resource 'ExtensionProperty'."
        ))
    };
    let name = text("name");
    if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
        return Err(invalid("name"));
    }
    let targets = body.get("targetObjects").and_then(Value::as_array);
    let targets: Option<Vec<String>> =
        targets.into_iter().flatten().map(|t| canonical(&TARGETS, t.as_str().unwrap_or_default())).collect();
    Ok(ExtensionProperty {
        id: Uuid::nil(),
        application,
        name: format!("extension_{app_id}_{name}"),
        data_type: canonical(&TYPES, text("dataType")).ok_or_else(|| invalid("dataType"))?,
        multi_valued: body.get("isMultiValued").and_then(Value::as_bool) == Some(true),
        target_objects: targets.filter(|t| !t.is_empty()).ok_or_else(|| invalid("targetObjects"))?,
    })
}

/// `roleManagement/directory/roleAssignments` and `roleDefinitions`, made from the members of roles.
pub(super) fn role_management(world: &World, req: &Req) -> Result<Resp, GraphError> {
    let roles: Vec<Ix> = world.state.live_after(Kind::DirectoryRole, None).collect();
    let template =
        |ix: Ix| world.state.get(ix).and_then(|o| o.text("roleTemplateId")).unwrap_or_default().to_owned();
    get_only(req, || match names(req).as_slice() {
        [_, "directory", "roleAssignments"] => {
            let principal = req.query.get("$filter").and_then(|f| f.split('\'').nth(1)).map(str::to_owned);
            let mut value = Vec::new();
            for role in roles {
                let members = world.state.get(role).and_then(|o| o.members.as_ref());
                for member in members.into_iter().flat_map(|l| l.all()).filter_map(|m| world.state.get(m)) {
                    let id = member.id.to_string();
                    if principal.as_ref().is_some_and(|p| *p != id && *p != template(role)) {
                        continue;
                    }
                    value.push(json!({
                        "id": role_id(&format!("{}/{id}", template(role))).simple().to_string(),
                        "principalId": id,
                        "directoryScopeId": "/",
                        "roleDefinitionId": template(role),
                    }));
                }
            }
            let context = format!("{}/v1.0/$metadata#roleManagement/directory/roleAssignments", req.base);
            Ok(Resp::ok(json!({"@odata.context": context, "value": value})))
        }
        [_, "directory", "roleDefinitions"] => {
            let definition = |ix: &Ix| {
                let name = world.state.get(*ix).and_then(|o| o.text("displayName"));
                json!({"id": template(*ix), "displayName": name, "isBuiltIn": true, "isEnabled": true, "templateId": template(*ix)})
            };
            let value: Value = roles.iter().map(definition).collect();
            let context = format!("{}/v1.0/$metadata#roleManagement/directory/roleDefinitions", req.base);
            Ok(Resp::ok(json!({"@odata.context": context, "value": value})))
        }
        _ => Err(GraphError::no_segment("roleManagement")),
    })
}

pub(super) fn directory_objects(world: &mut World, req: &Req) -> Result<Resp, GraphError> {
    let all = names(req);
    let keyed = req.segs.first().and_then(|s| s.key.as_ref()).map(|(_, k)| k.clone());
    let (id, rest): (String, &[&str]) = match (&keyed, all.as_slice()) {
        (Some(key), [_, rest @ ..]) => (key.clone(), rest),
        (None, [_, "getByIds"]) => return get_by_ids(world, req),
        (None, [_, id, rest @ ..]) => ((*id).to_owned(), rest),
        _ => return Err(GraphError::no_segment("directoryObjects")),
    };
    let ix = world.resolve_any(&id)?;
    match (req.method.as_str(), rest) {
        ("GET", []) => {
            let kind = world.state.get(ix).map(|o| o.kind);
            let select = Select::parse(req.query.get("$select"), kind)?;
            let mut value = entity(&world.state, ix, &req.base, &select);
            value["@odata.type"] = json!(kind.map(|k| format!("#{}", k.odata())));
            value["@odata.context"] = json!(format!("{}/v1.0/$metadata#directoryObjects/$entity", req.base));
            Ok(Resp::ok(value))
        }
        ("POST", [name @ ("checkMemberGroups" | "getMemberGroups")]) => {
            members::member_groups(world, req, ix, name)
        }
        ("POST", ["checkMemberObjects" | "getMemberObjects"]) => {
            let ids: Value = closure_up(world, ix)
                .into_iter()
                .filter_map(|g| world.state.get(g))
                .map(|o| o.id.to_string())
                .collect();
            Ok(Resp::ok(json!({"value": ids})))
        }
        _ => Err(GraphError::not_allowed()),
    }
}

pub(super) fn get_by_ids(world: &World, req: &Req) -> Result<Resp, GraphError> {
    let body = object(req)?;
    let list = |name: &str| -> Vec<String> {
        let items = body.get(name).and_then(Value::as_array);
        items.into_iter().flatten().filter_map(|v| v.as_str().map(str::to_owned)).collect()
    };
    let ids = list("ids");
    if ids.is_empty() || ids.len() > GET_BY_IDS_MAX {
        return Err(GraphError::bad(format!("'ids' must have 1 to {GET_BY_IDS_MAX} values.")));
    }
    let kinds: Vec<Kind> = list("types").iter().filter_map(|t| Kind::from_cast(t)).collect();
    let select = Select::parse(req.query.get("$select"), None)?;
    let value: Value = ids
        .iter()
        .filter_map(|id| Uuid::parse_str(id).ok().and_then(|id| world.state.by_id(id)))
        .filter(|ix| {
            world.state.get(*ix).is_some_and(|o| o.is_live() && (kinds.is_empty() || kinds.contains(&o.kind)))
        })
        .map(|ix| reference(&world.state, ix, &select))
        .collect();
    Ok(Resp::ok(json!({
        "@odata.context": format!("{}/v1.0/$metadata#directoryObjects", req.base),
        "value": value,
    })))
}
