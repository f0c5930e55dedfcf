//! Checks of single values that need no other object: known name, access, type, length.

use serde_json::{Map, Value};

use crate::error::GraphError;
use crate::schema::{Access, Kind, PropDef, Ty, find, is_extension};
use crate::world::World;

/// Checked values, ready for the state.
pub(crate) type Values<'b> = Vec<(&'b str, Value)>;

/// Longest directory-extension string.
const EXTENSION_MAX: usize = 256;
/// Values of `otherMails`.
const OTHER_MAILS_MAX: usize = 250;

/// Checks every member of a body; annotations and links are left to the caller.
pub(crate) fn check_values<'b>(
    world: &World,
    kind: Kind,
    body: &'b Map<String, Value>,
    creating: bool,
) -> Result<Values<'b>, GraphError> {
    let mut out = Vec::with_capacity(body.len());
    for (name, value) in body {
        if name.contains('@') || matches!(name.as_str(), "members" | "owners" | "manager") {
            continue;
        }
        if is_extension(name) {
            check_extension(world, kind, name, value)?;
            out.push((name.as_str(), value.clone()));
            continue;
        }
        let Some(def) = find(kind, name) else {
            return Err(GraphError::bad(format!("Invalid property '{name}'.")));
        };
        match def.access {
            Access::Read => return Err(GraphError::read_only(def.name)),
            Access::Create if !creating => return Err(GraphError::read_only(def.name)),
            Access::Create | Access::Write => {}
        }
        if def.elsewhere {
            return Err(GraphError::denied());
        }
        if value.is_null() {
            if matches!(def.ty, Ty::Strs | Ty::Objs)
                || matches!(
                    def.name,
                    "displayName"
                        | "usageLocation"
                        | "accountEnabled"
                        | "mailNickname"
                        | "userPrincipalName"
                        | "mailEnabled"
                        | "securityEnabled"
                )
            {
                return Err(GraphError::invalid_value(def.name, kind));
            }
        } else {
            check_value(kind, def, value)?;
        }
        out.push((def.name, value.clone()));
    }
    Ok(out)
}

fn check_value(kind: Kind, def: &PropDef, value: &Value) -> Result<(), GraphError> {
    let invalid = || GraphError::invalid_value(def.name, kind);
    let fits = |text: &str| !text.is_empty() && (def.max == 0 || text.chars().count() <= def.max);
    let good = match (def.ty, value) {
        (Ty::Str, Value::String(text)) => fits(text) && check_text(kind, def.name, text),
        (Ty::Bool, Value::Bool(_)) | (Ty::Obj, Value::Object(_)) => true,
        (Ty::Int, Value::Number(n)) => n.is_i64(),
        (Ty::Date, Value::String(text)) => text.parse::<jiff::Timestamp>().is_ok(),
        (Ty::Strs, Value::Array(items)) => {
            let limit = match def.name {
                "businessPhones" => 1,
                "otherMails" => OTHER_MAILS_MAX,
                _ => usize::MAX,
            };
            items.len() <= limit && items.iter().all(|i| i.as_str().is_some_and(fits))
        }
        (Ty::Objs, Value::Array(items)) => items.iter().all(Value::is_object),
        _ => false,
    };
    if !good {
        return Err(invalid());
    }
    if def.name == "onPremisesExtensionAttributes" {
        for (name, value) in value.as_object().into_iter().flatten() {
            let number = name.strip_prefix("extensionAttribute").and_then(|n| n.parse::<u8>().ok());
            let known = number.is_some_and(|n| (1..=15).contains(&n)) || name.contains('@');
            let short = value.is_null() || value.as_str().is_some_and(fits);
            if !known || !short {
                return Err(invalid());
            }
        }
    }
    Ok(())
}

/// Rules on characters.
fn check_text(kind: Kind, name: &str, text: &str) -> bool {
    match name {
        "mailNickname" => {
            text.is_ascii()
                && !text
                    .contains(['@', '(', ')', '\\', '/', '[', ']', '"', '\'', ';', ':', '<', '>', ',', ' '])
        }
        "mail" => {
            text.is_ascii()
                && text
                    .split_once('@')
                    .is_some_and(|(l, d)| !l.is_empty() && d.contains('.') && !d.contains('@'))
        }
        "onPremisesImmutableId" => !text.contains(['$', '_']),
        "usageLocation" => text.len() == 2 && text.bytes().all(|b| b.is_ascii_alphabetic()),
        "userType" => matches!(text, "Member" | "Guest"),
        "visibility" => kind != Kind::Group || matches!(text, "Private" | "Public" | "HiddenMembership"),
        "passwordPolicies" => text
            .split(',')
            .all(|p| matches!(p.trim(), "None" | "DisableStrongPassword" | "DisablePasswordExpiration")),
        _ => true,
    }
}

fn check_extension(world: &World, kind: Kind, name: &str, value: &Value) -> Result<(), GraphError> {
    let definition = world.extensions.iter().find(|e| e.name.eq_ignore_ascii_case(name));
    let target = |t: &String| t.eq_ignore_ascii_case(kind.resource());
    let Some(definition) = definition.filter(|d| d.target_objects.iter().any(target)) else {
        return Err(GraphError::bad(format!(
            "The following extension properties are not available: {name}."
        )));
    };
    let one = |value: &Value| match definition.data_type.as_str() {
        "Boolean" => value.is_boolean(),
        "Integer" => value.as_i64().is_some_and(|n| i32::try_from(n).is_ok()),
        "LargeInteger" => value.is_i64(),
        "DateTime" => value.as_str().is_some_and(|t| t.parse::<jiff::Timestamp>().is_ok()),
        _ => value.as_str().is_some_and(|t| t.chars().count() <= EXTENSION_MAX),
    };
    let good = match value {
        Value::Null => true,
        Value::Array(items) => definition.multi_valued && items.iter().all(one),
        value => !definition.multi_valued && one(value),
    };
    if good { Ok(()) } else { Err(GraphError::invalid_value(name, kind)) }
}
