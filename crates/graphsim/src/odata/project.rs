//! `$select` and the JSON of an object.

use serde_json::{Map, Value, json};

use crate::clock::iso;
use crate::error::GraphError;
use crate::schema::{Kind, PropDef, Ty, find, is_extension, props};
use crate::state::{Ix, Life, Object, State};

/// What `$select` asks for.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Select {
    /// Names as asked; none is the default set.
    pub(crate) names: Option<Vec<String>>,
}

impl Select {
    /// Reads `$select`; with a kind, unknown names are refused and known ones get their spelling.
    pub(crate) fn parse(text: Option<&str>, kind: Option<Kind>) -> Result<Select, GraphError> {
        let Some(text) = text.filter(|t| !t.trim().is_empty()) else { return Ok(Select::default()) };
        let mut names = Vec::new();
        for name in text.split(',').map(str::trim).filter(|n| !n.is_empty()) {
            if name == "*" {
                return Ok(Select::default());
            }
            let head = name.split('/').next().unwrap_or(name);
            let Some(kind) = kind else {
                names.push(head.to_owned());
                continue;
            };
            let link = matches!(head, "members" | "owners" | "manager" | "memberOf");
            match find(kind, head) {
                Some(d) if d.elsewhere => {
                    return Err(GraphError::new(
                        501,
                        "NotImplemented",
                        "This operation target is not yet supported.",
                    ));
                }
                Some(d) => names.push(d.name.to_owned()),
                None if link || is_extension(head) => names.push(head.to_owned()),
                None => {
                    return Err(GraphError::new(
                        400,
                        "BadRequest",
                        format!(
                            "Parsing OData Select and Expand failed: Could not find a property named '{head}' on type '{}'.",
                            kind.odata()
                        ),
                    ));
                }
            }
        }
        Ok(Select { names: Some(names) })
    }

    /// True when the name was asked for explicitly.
    pub(crate) fn names_it(&self, name: &str) -> bool {
        self.names.iter().flatten().any(|n| n == name)
    }

    /// The names of one kind, in the answer's spelling.
    pub(crate) fn of(&self, kind: Kind) -> Vec<&str> {
        match &self.names {
            None => props(kind).iter().filter(|d| d.default).map(|d| d.name).collect(),
            Some(names) => names.iter().map(String::as_str).collect(),
        }
    }

    /// As it stands in `@odata.context`.
    fn in_context(&self) -> String {
        self.names.as_ref().map_or_else(String::new, |n| format!("({})", n.join(",")))
    }
}

/// The `@odata.context` of an answer.
pub(crate) fn context(base: &str, set: &str, select: &Select, single: bool) -> Value {
    let tail = if single { "/$entity" } else { "" };
    Value::String(format!("{base}/v1.0/$metadata#{set}{}{tail}", select.in_context()))
}

/// What a read shows of an object, from the replica that answers it.
pub(crate) fn shown(state: &State, ix: Ix, select: &Select) -> Map<String, Value> {
    state.get(ix).map_or_else(Map::new, |object| project(&object.as_of(state.as_of_ms), select))
}

/// The JSON of an object with the properties asked for; what is not set is null or empty.
pub(crate) fn project(object: &Object, select: &Select) -> Map<String, Value> {
    let mut out = Map::new();
    for name in select.of(object.kind) {
        match find(object.kind, name) {
            Some(def) => {
                out.insert(def.name.to_owned(), value(object, def));
            }
            // Extension values show only where they are set.
            None => {
                if let Some(value) = object.value(name).filter(|v| !v.is_null()) {
                    out.insert(name.to_owned(), value.clone());
                }
            }
        }
    }
    out
}

fn value(object: &Object, def: &PropDef) -> Value {
    match def.name {
        "id" => return Value::String(object.id.to_string()),
        "deletedDateTime" => {
            return match object.life {
                Life::Soft(at) => Value::String(iso(at)),
                Life::Live | Life::Gone => Value::Null,
            };
        }
        "passwordProfile" => return Value::Null,
        "onPremisesExtensionAttributes" => return extension_attributes(object.value(def.name)),
        _ => {}
    }
    match object.value(def.name) {
        Some(value) if !value.is_null() => value.clone(),
        _ if matches!(def.ty, Ty::Strs | Ty::Objs) => Value::Array(Vec::new()),
        _ => Value::Null,
    }
}

/// The service always shows all fifteen.
fn extension_attributes(set: Option<&Value>) -> Value {
    let one = |n: u32| {
        let name = format!("extensionAttribute{n}");
        let value = set.and_then(|s| s.get(&name)).cloned().unwrap_or(Value::Null);
        (name, value)
    };
    Value::Object((1..=15).map(one).collect())
}

/// An object of one known kind as a single answer, with its context.
pub(crate) fn entity(state: &State, ix: Ix, base: &str, select: &Select) -> Value {
    let mut out = shown(state, ix, select);
    if let Some(object) = state.get(ix) {
        out.insert("@odata.context".into(), context(base, object.kind.set(), select, true));
    }
    Value::Object(out)
}

/// An object as an item of a mixed list: with its type.
pub(crate) fn reference(state: &State, ix: Ix, select: &Select) -> Value {
    let mut out = shown(state, ix, select);
    if let Some(object) = state.get(ix) {
        out.insert("@odata.type".into(), json!(format!("#{}", object.kind.odata())));
    }
    Value::Object(out)
}
