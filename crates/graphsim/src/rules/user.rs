//! Rules of users: keys, domains, passwords, synced and protected users.

use serde_json::{Map, Value};

use super::values::{Values, check_values};
use super::{HIGHEST, check_quota, holds};
use crate::config::DomainConfig;
use crate::error::GraphError;
use crate::message::Caller;
use crate::schema::{Kind, find, is_extension};
use crate::state::Ix;
use crate::world::World;

/// Longest parts of a user principal name.
const UPN_LOCAL_MAX: usize = 64;
const UPN_DOMAIN_MAX: usize = 48;
/// Shortest and longest password.
const PASSWORD_MIN: usize = 8;
const PASSWORD_MAX: usize = 256;
/// Shortest user name that may not stand in the password: shorter ones stand everywhere.
const NAME_IN_PASSWORD_MIN: usize = 3;
/// Classes of characters a password must have.
const PASSWORD_CLASSES: usize = 3;
/// Words no password may hold; the service's list is longer and secret.
const BANNED: &[&str] = &["password", "qwerty", "contoso"];

/// What may be written on a synced user: the cloud masters it.
const CLOUD_MASTERED: &[&str] = &["usageLocation", "preferredDataLocation"];

/// Checks the body of `POST /users`.
pub(crate) fn check_user_create<'b>(
    world: &World,
    body: &'b Map<String, Value>,
) -> Result<Values<'b>, GraphError> {
    let mut values = check_values(world, Kind::User, body, true)?;
    let local = body.get("identities").and_then(Value::as_array).is_some_and(|i| !i.is_empty());
    let required: &[&str] = if local {
        &["displayName", "passwordProfile"]
    } else {
        &["accountEnabled", "displayName", "mailNickname", "passwordProfile", "userPrincipalName"]
    };
    for name in required {
        if body.get(*name).is_none_or(Value::is_null) {
            return Err(GraphError::required(name, Kind::User));
        }
    }
    let upn = body.get("userPrincipalName").and_then(Value::as_str);
    check_password(body.get("passwordProfile"), upn, true)?;
    if let Some(upn) = upn {
        let anchored = body.get("onPremisesImmutableId").is_some_and(Value::is_string);
        check_upn(world, upn, anchored)?;
    }
    check_unique(world, None, &values)?;
    check_quota(world)?;
    values.retain(|(name, _)| *name != "passwordProfile");
    if !values.iter().any(|(n, _)| *n == "accountEnabled") {
        values.push(("accountEnabled", Value::Bool(true)));
    }
    Ok(values)
}

/// Checks the body of `PATCH /users/{id}`.
pub(crate) fn check_user_update<'b>(
    world: &World,
    caller: &Caller,
    ix: Ix,
    body: &'b Map<String, Value>,
) -> Result<Values<'b>, GraphError> {
    let mut values = check_values(world, Kind::User, body, false)?;
    let Some(user) = world.state.get(ix) else { return Err(GraphError::not_found("user")) };
    let sensitive = values.iter().any(|(n, _)| find(Kind::User, n).is_some_and(|d| d.sensitive));
    if sensitive && is_protected(world, ix) && !holds(caller, HIGHEST) {
        return Err(GraphError::denied());
    }
    if body.contains_key("passwordProfile") {
        check_password_right(caller)?;
        let upn = user.text("userPrincipalName");
        check_password(body.get("passwordProfile"), upn, false)?;
    }
    let synced = user.flag("onPremisesSyncEnabled");
    let mastered = |n: &str| !CLOUD_MASTERED.contains(&n) && !is_extension(n) && n != "passwordProfile";
    if synced == Some(true) && values.iter().any(|(n, _)| mastered(n)) {
        return Err(GraphError::synced());
    }
    let attributes = values.iter_mut().find(|(n, _)| *n == "onPremisesExtensionAttributes");
    if let Some((_, value)) = attributes {
        // Written once by Connect, these stay closed for ever.
        if synced.is_some() {
            return Err(GraphError::external());
        }
        merge(value, user.value("onPremisesExtensionAttributes"));
    }
    if let Some(Value::String(upn)) = body.get("userPrincipalName") {
        let anchored = match body.get("onPremisesImmutableId") {
            Some(value) => value.is_string(),
            None => user.text("onPremisesImmutableId").is_some(),
        };
        check_upn(world, upn, anchored)?;
    }
    check_unique(world, Some(ix), &values)?;
    values.retain(|(name, _)| *name != "passwordProfile");
    Ok(values)
}

/// A password may be changed by an application only with the permission and a directory role.
fn check_password_right(caller: &Caller) -> Result<(), GraphError> {
    let permission = ["User-PasswordProfile.ReadWrite.All", "Directory.ReadWrite.All", "User.ReadWrite.All"];
    let permitted = caller.roles.iter().any(|r| permission.contains(&r.as_str()));
    let role = holds(caller, &["User Administrator", "Password Administrator"]) || holds(caller, HIGHEST);
    if permitted && role { Ok(()) } else { Err(GraphError::denied()) }
}

/// True for a user who holds a directory role, directly or through a role-assignable group.
pub(crate) fn is_protected(world: &World, ix: Ix) -> bool {
    let is_role = |ix: Ix| world.state.get(ix).is_some_and(|o| o.kind == Kind::DirectoryRole);
    world.state.parents(ix).any(|parent| {
        let group = world.state.get(parent).is_some_and(|o| o.flag("isAssignableToRole") == Some(true));
        is_role(parent) || group
    })
}

fn check_upn(world: &World, upn: &str, anchored: bool) -> Result<(), GraphError> {
    let invalid = || GraphError::invalid_value("userPrincipalName", Kind::User);
    let (local, domain) = upn.rsplit_once('@').ok_or_else(invalid)?;
    let allowed =
        |c: char| c.is_ascii_alphanumeric() || matches!(c, '\'' | '.' | '-' | '_' | '!' | '#' | '^' | '~');
    let length = !local.is_empty() && local.len() <= UPN_LOCAL_MAX && domain.len() <= UPN_DOMAIN_MAX;
    if !length || !local.chars().all(allowed) || local.ends_with('.') {
        return Err(invalid());
    }
    let found: Option<&DomainConfig> =
        world.tenant.domains.iter().find(|d| d.name.eq_ignore_ascii_case(domain));
    match found {
        Some(d) if d.verified && (!d.federated || anchored) => Ok(()),
        _ => Err(GraphError::invalid_values()),
    }
}

fn check_unique(world: &World, own: Option<Ix>, values: &Values<'_>) -> Result<(), GraphError> {
    let state = &world.state;
    for (name, value) in values {
        let Value::String(text) = value else { continue };
        let others = |name: &str, text: &str| -> Vec<Ix> {
            state.holders(name, text).filter(|ix| Some(*ix) != own).collect()
        };
        let live = |ix: &&Ix| state.get(**ix).is_some_and(|o| o.is_live());
        let id =
            |ix: &Ix| state.get(*ix).map_or_else(String::new, |o| format!("{}_{}", o.kind.resource(), o.id));
        match *name {
            "userPrincipalName" => {
                if let Some(other) = others(name, text).iter().find(live) {
                    return Err(GraphError::taken("userPrincipalName", &id(other)));
                }
            }
            "onPremisesImmutableId" => {
                let others = others(name, text);
                if let Some(other) = others.iter().find(live) {
                    return Err(GraphError::taken("onPremisesImmutableId", &id(other)));
                }
                if !others.is_empty() {
                    return Err(GraphError::conflicting());
                }
            }
            "mail" => {
                let mut others = others("proxyAddresses", &format!("smtp:{text}"));
                others.retain(|ix| state.get(*ix).is_some_and(|o| o.is_live()));
                if let Some(other) = others.first() {
                    return Err(GraphError::taken("proxyAddresses", &id(other)));
                }
            }
            _ => {}
        }
    }
    Ok(())
}

fn check_password(profile: Option<&Value>, upn: Option<&str>, creating: bool) -> Result<(), GraphError> {
    let Some(profile) = profile.and_then(Value::as_object) else { return Ok(()) };
    let Some(password) = profile.get("password").and_then(Value::as_str) else {
        return if creating { Err(GraphError::required("password", Kind::User)) } else { Ok(()) };
    };
    let class = |is: fn(&char) -> bool| usize::from(password.chars().any(|c| is(&c)));
    let classes = class(char::is_ascii_lowercase)
        + class(char::is_ascii_uppercase)
        + class(char::is_ascii_digit)
        + class(|c| c.is_ascii_punctuation() || *c == ' ');
    let lower = password.to_ascii_lowercase();
    let name = upn.and_then(|u| u.split('@').next()).unwrap_or_default().to_ascii_lowercase();
    let named = name.len() >= NAME_IN_PASSWORD_MIN && lower.contains(&name);
    let banned = named || BANNED.iter().any(|b| lower == *b);
    let length = (PASSWORD_MIN..=PASSWORD_MAX).contains(&password.len());
    if !length || !password.is_ascii() || classes < PASSWORD_CLASSES || banned {
        return Err(GraphError::password_policy());
    }
    Ok(())
}

/// A complex value is patched member by member.
fn merge(value: &mut Value, old: Option<&Value>) {
    if let (Value::Object(new), Some(Value::Object(old))) = (value, old) {
        for (name, value) in old {
            new.entry(name.clone()).or_insert_with(|| value.clone());
        }
    }
}
