//! Between the service's JSON and values.
//!
//! Deliberately absent: decisions about what to write; what a missing property means (the importer knows).

use onesync_model::{AttributeType, Value, Values};
use serde_json::{Map, Value as Json};

use super::schema::{Place, Spec};

/// What an object's JSON says about one attribute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Read {
    /// Nothing: the property is not there.
    Absent,
    /// It has no value.
    Cleared,
    /// These values.
    Values(Values),
    /// Something that is no value of this attribute.
    Wrong(String),
}

/// Reads one attribute. A group's source anchor and links are read elsewhere.
pub(super) fn read(object: &Map<String, Json>, spec: &Spec) -> Read {
    let Some(json) = object.get(spec.property()) else { return Read::Absent };
    match &spec.place {
        Place::Nested(_) => read_values(json.get(&spec.name).unwrap_or(&Json::Null), spec),
        Place::Phone(kind) => {
            let phones = json.as_array().map(Vec::as_slice).unwrap_or_default();
            let phone = phones.iter().find(|p| p.get("type").and_then(Json::as_str) == Some(kind));
            read_values(phone.and_then(|p| p.get("number")).unwrap_or(&Json::Null), spec)
        }
        Place::Address(field) => {
            read_values(json.pointer(&format!("/0/{field}")).unwrap_or(&Json::Null), spec)
        }
        Place::Plain
        | Place::Single
        | Place::GroupAnchor
        | Place::Link
        | Place::CloudAnchor
        | Place::CloudMastered
        | Place::Nowhere => read_values(json, spec),
    }
}

fn read_values(json: &Json, spec: &Spec) -> Read {
    let items = match json {
        Json::Null => return Read::Cleared,
        Json::Array(items) => items.as_slice(),
        one => std::slice::from_ref(one),
    };
    let mut values = Vec::with_capacity(items.len());
    for item in items {
        match read_value(item, spec.kind) {
            Ok(Some(value)) => values.push(value),
            Ok(None) => {}
            Err(what) => return Read::Wrong(what),
        }
    }
    if !spec.multi {
        values.truncate(1);
    }
    Values::new(values).map_or(Read::Cleared, Read::Values)
}

fn read_value(json: &Json, kind: AttributeType) -> Result<Option<Value>, String> {
    let wrong = || format!("{} is no {}", shown(json), kind.as_str());
    Ok(Some(match (kind, json) {
        (_, Json::Null) => return Ok(None),
        (_, Json::String(text)) if text.is_empty() => return Ok(None),
        (AttributeType::String | AttributeType::Reference, Json::String(text)) => Value::string(text),
        (AttributeType::Boolean, Json::Bool(value)) => Value::Boolean(*value),
        (AttributeType::Integer, Json::Number(number)) => Value::Integer(number.as_i64().ok_or_else(wrong)?),
        (AttributeType::Time, Json::String(text)) => Value::Time(text.parse().map_err(|_| wrong())?),
        _ => return Err(wrong()),
    }))
}

fn shown(json: &Json) -> String {
    json.to_string().chars().take(60).collect()
}

/// Puts one attribute into a request's body; `None` clears it.
pub(super) fn write(body: &mut Map<String, Json>, spec: &Spec, values: Option<&Values>) {
    let json = match (values, &spec.place) {
        (None, Place::Single) => Json::Array(Vec::new()),
        (None, _) if spec.multi => Json::Array(Vec::new()),
        (None, _) => Json::Null,
        (Some(values), Place::Single) => Json::Array(vec![write_value(values.first())]),
        (Some(values), _) if spec.multi => values.as_slice().iter().map(write_value).collect(),
        (Some(values), _) => write_value(values.first()),
    };
    match spec.place {
        Place::Nested(parent) => {
            let parent = body.entry(parent).or_insert_with(|| Json::Object(Map::new()));
            if let Json::Object(parent) = parent {
                parent.insert(spec.name.clone(), json);
            }
        }
        _ => {
            body.insert(spec.property().to_owned(), json);
        }
    }
}

fn write_value(value: &Value) -> Json {
    match value {
        Value::String(text) | Value::Reference(text) => Json::from(text.as_str()),
        Value::Integer(number) => Json::from(*number),
        Value::Boolean(value) => Json::from(*value),
        Value::Time(_) | Value::Binary(_) => Json::from(value.to_string()),
    }
}

/// The form in which a source anchor stands in `uniqueName`: whatever is not a letter, digit, `-` or `.` becomes
/// `_` and two hexadecimal digits for each byte, so that base64 needs no escapes in a URL.
pub(super) fn to_unique_name(anchor: &str) -> String {
    anchor.bytes().fold(String::with_capacity(anchor.len() + 8), |mut out, byte| {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' => out.push(char::from(byte)),
            _ => out.push_str(&format!("_{byte:02X}")),
        }
        out
    })
}

/// Undoes [`to_unique_name`]; a name somebody else gave comes out as it is.
pub(super) fn from_unique_name(name: &str) -> String {
    let mut bytes = Vec::with_capacity(name.len());
    let mut rest = name.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        let code = after
            .get(..2)
            .filter(|_| byte == b'_')
            .and_then(|two| str::from_utf8(two).ok())
            .and_then(|two| u8::from_str_radix(two, 16).ok());
        match code {
            Some(code) => {
                bytes.push(code);
                rest = after.get(2..).unwrap_or_default();
            }
            None => {
                bytes.push(byte);
                rest = after;
            }
        }
    }
    let decoded = String::from_utf8_lossy(&bytes).into_owned();
    if to_unique_name(&decoded) == name { decoded } else { name.to_owned() }
}

#[cfg(test)]
mod tests {
    use onesync_model::Names;
    use serde_json::json;

    use super::super::GraphSettings;
    use super::super::schema::{Kind, Table};
    use super::*;

    fn table() -> Table {
        let settings = GraphSettings::new("contoso.com", "5b0f4c7e-2f3a-4c55-9a57-6d2d8f0e1a22", "s");
        Table::new(&settings, &mut Names::new())
    }

    fn reading(kind: Kind, name: &str, object: Json) -> Read {
        read(object.as_object().unwrap(), table().spec(kind, name).unwrap())
    }

    #[test]
    fn attributes_are_found_where_they_lie() {
        let text = |s: &str| Read::Values(Values::one(s.into()));
        let user = json!({"city": "Jena", "surname": null, "businessPhones": ["1"], "otherMails": [],
            "onPremisesExtensionAttributes": {"extensionAttribute3": "x", "extensionAttribute4": null},
            "accountEnabled": "yes", "employeeHireDate": "2026-01-31T00:00:00Z"});
        assert_eq!(reading(Kind::User, "city", user.clone()), text("Jena"));
        assert_eq!(reading(Kind::User, "surname", user.clone()), Read::Cleared);
        assert_eq!(reading(Kind::User, "state", user.clone()), Read::Absent);
        assert_eq!(reading(Kind::User, "businessPhones", user.clone()), text("1"));
        assert_eq!(reading(Kind::User, "otherMails", user.clone()), Read::Cleared);
        assert_eq!(reading(Kind::User, "extensionAttribute3", user.clone()), text("x"));
        assert_eq!(reading(Kind::User, "extensionAttribute4", user.clone()), Read::Cleared);
        assert!(matches!(reading(Kind::User, "accountEnabled", user.clone()), Read::Wrong(_)));
        assert!(matches!(reading(Kind::User, "employeeHireDate", user), Read::Values(_)));
        let contact = json!({"addresses": [{"city": "Ulm", "countryOrRegion": "DE"}],
            "phones": [{"type": "mobile", "number": "7"}]});
        assert_eq!(reading(Kind::Contact, "country", contact.clone()), text("DE"));
        assert_eq!(reading(Kind::Contact, "mobilePhone", contact.clone()), text("7"));
        assert_eq!(reading(Kind::Contact, "faxNumber", contact), Read::Cleared);
    }

    #[test]
    fn bodies_have_the_services_shape() {
        let table = table();
        let mut body = Map::new();
        let spec = |name| table.spec(Kind::User, name).unwrap();
        write(&mut body, spec("city"), Some(&Values::one("Jena".into())));
        write(&mut body, spec("surname"), None);
        write(&mut body, spec("businessPhones"), Some(&Values::one("1".into())));
        write(&mut body, spec("otherMails"), None);
        write(&mut body, spec("costCenter"), Some(&Values::one("7".into())));
        write(&mut body, spec("division"), None);
        write(&mut body, spec("accountEnabled"), Some(&Values::one(true.into())));
        assert_eq!(
            Json::Object(body),
            json!({"city": "Jena", "surname": null, "businessPhones": ["1"], "otherMails": [],
                "employeeOrgData": {"costCenter": "7", "division": null}, "accountEnabled": true})
        );
    }

    #[test]
    fn anchors_survive_unique_names() {
        for anchor in ["abc+/==", "a_b", "x-1.2", "\u{fc}ber", ""] {
            assert_eq!(from_unique_name(&to_unique_name(anchor)), anchor);
        }
        assert_eq!(to_unique_name("ab+/=="), "ab_2B_2F_3D_3D");
        for foreign in ["my_group", "team_41", "a/b", "x_fz"] {
            assert_eq!(from_unique_name(foreign), foreign);
        }
    }
}
