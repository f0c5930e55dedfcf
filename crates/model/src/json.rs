//! Values in JSON, everywhere the same: string, number, boolean, `null`; `{"$bin": base64}`, `{"$dt": RFC 3339}`,
//! `{"$ref": text}`; several values as an array (design, section 7).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Map, Value as Json, json};
use thiserror::Error;

use crate::{AttrId, Bag, Value, ValueRef, Values};

/// Why JSON is not a value.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum JsonError {
    /// No value has this form.
    #[error(
        "`{0}` is no value: write a string, an integer, true, false, null, {{\"$bin\": base64}}, {{\"$dt\": RFC 3339}} or {{\"$ref\": text}}"
    )]
    Form(String),
    /// The text behind `$bin` is not base64.
    #[error("`{0}` is not base64")]
    Base64(String),
    /// The text behind `$dt` is not RFC 3339.
    #[error("`{0}` is not a time as of RFC 3339, e.g. 2026-01-31T00:00:00Z")]
    Time(String),
    /// An array inside an array, or the like.
    #[error("values of `{0}` are nested: an attribute is one value or one flat array of values")]
    Nested(String),
}

/// Writes one value.
#[must_use]
pub fn value_to_json(value: ValueRef<'_>) -> Json {
    match value {
        ValueRef::String(s) => json!(s),
        ValueRef::Integer(n) => json!(n),
        ValueRef::Boolean(b) => json!(b),
        ValueRef::Binary(b) => json!({"$bin": BASE64.encode(b)}),
        ValueRef::Time(t) => json!({"$dt": t.to_string()}),
        ValueRef::Reference(r) => json!({"$ref": r}),
    }
}

/// Reads one value; `null` is `None`.
///
/// # Errors
/// When the JSON has none of the forms named above.
pub fn value_from_json(json: &Json) -> Result<Option<Value>, JsonError> {
    let form = || JsonError::Form(json.to_string().chars().take(120).collect());
    Ok(Some(match json {
        Json::Null => return Ok(None),
        Json::String(s) => Value::string(s),
        Json::Bool(b) => Value::Boolean(*b),
        Json::Number(n) => Value::Integer(n.as_i64().ok_or_else(form)?),
        Json::Object(map) => tagged(map).ok_or_else(form)??,
        Json::Array(_) => return Err(form()),
    }))
}

fn tagged(map: &Map<String, Json>) -> Option<Result<Value, JsonError>> {
    let (tag, text) = match map.iter().next() {
        Some((tag, Json::String(text))) if map.len() == 1 => (tag.as_str(), text),
        _ => return None,
    };
    Some(match tag {
        "$bin" => BASE64.decode(text).map(Value::binary).map_err(|_| JsonError::Base64(text.clone())),
        "$dt" => text.parse().map(Value::Time).map_err(|_| JsonError::Time(text.clone())),
        "$ref" => Ok(Value::reference(text)),
        _ => return None,
    })
}

/// Writes values: one as itself, several as an array.
#[must_use]
pub fn values_to_json(values: &Values) -> Json {
    match values.as_slice() {
        [one] => value_to_json(one.as_ref()),
        many => Json::Array(many.iter().map(|v| value_to_json(v.as_ref())).collect()),
    }
}

/// Reads one value or a flat array; `null` and `[]` are `None`.
///
/// # Errors
/// When an element has none of the forms of a value.
pub fn values_from_json(json: &Json) -> Result<Option<Values>, JsonError> {
    match json {
        Json::Array(items) => {
            let values = items.iter().map(value_from_json).collect::<Result<Vec<_>, _>>()?;
            Ok(Values::new(values.into_iter().flatten().collect()))
        }
        one => Ok(value_from_json(one)?.map(Values::one)),
    }
}

/// Reads an object of attributes; `intern` gives the ids of its names.
///
/// # Errors
/// When an element has none of the forms of a value; the message names the attribute.
pub fn bag_from_json(
    map: &Map<String, Json>,
    mut intern: impl FnMut(&str) -> AttrId,
) -> Result<Bag, JsonError> {
    let mut bag = Bag::new();
    for (name, json) in map {
        bag.set(intern(name), Values::new(list_from_json(name, json)?));
    }
    Ok(bag)
}

/// Reads the values of one attribute in the order given, repeated ones too; `null` is no value.
///
/// # Errors
/// When an element has none of the forms of a value; the message names the attribute.
pub fn list_from_json(name: &str, json: &Json) -> Result<Vec<Value>, JsonError> {
    match json {
        Json::Array(items) if items.iter().any(Json::is_array) => Err(JsonError::Nested(name.to_owned())),
        Json::Array(items) => items.iter().filter_map(|item| value_from_json(item).transpose()).collect(),
        one => Ok(value_from_json(one)?.into_iter().collect()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_survive_the_round_trip() {
        for text in [
            r#""a""#,
            "-3",
            "true",
            r#"{"$bin":"AAE="}"#,
            r#"{"$dt":"2026-01-31T00:00:00Z"}"#,
            r#"{"$ref":"CN=a"}"#,
            r#"["a","b"]"#,
        ] {
            let json: Json = serde_json::from_str(text).unwrap();
            assert_eq!(values_to_json(&values_from_json(&json).unwrap().unwrap()), json);
        }
        assert_eq!(values_from_json(&json!([])), Ok(None));
        for bad in
            [json!(1.5), json!({"$bin": "?"}), json!({"$dt": "today"}), json!({"a": 1}), json!([["a"]])]
        {
            assert!(values_from_json(&bad).is_err(), "{bad}");
        }
    }
}
