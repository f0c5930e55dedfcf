//! The types of values, and the few conversions between them that lose nothing.

use onesync_model::{AttributeType, Value};

/// The type of a value.
#[must_use]
pub fn kind_of(value: &Value) -> AttributeType {
    match value {
        Value::String(_) => AttributeType::String,
        Value::Integer(_) => AttributeType::Integer,
        Value::Boolean(_) => AttributeType::Boolean,
        Value::Binary(_) => AttributeType::Binary,
        Value::Time(_) => AttributeType::Time,
        Value::Reference(_) => AttributeType::Reference,
    }
}

/// Gives a value the type that its attribute has: numbers and the like may become text, and text that says exactly
/// a number, a truth value or a time may become that. `None` where it would be a guess.
#[must_use]
pub fn coerce(value: Value, kind: AttributeType) -> Option<Value> {
    if kind_of(&value) == kind {
        return Some(value);
    }
    match (kind, &value) {
        (AttributeType::String, Value::Binary(_)) => None,
        (AttributeType::String, other) => Some(Value::string(other.to_string())),
        (AttributeType::Integer, Value::String(text)) => text.parse().ok().map(Value::Integer),
        (AttributeType::Boolean, Value::String(text)) => parse_boolean(text.as_bytes()).map(Value::Boolean),
        (AttributeType::Time, Value::String(text)) => text.parse().ok().map(Value::Time),
        (AttributeType::Reference, Value::String(text)) => Some(Value::reference(text)),
        _ => None,
    }
}

/// Reads a truth value as LDAP and people write it.
#[must_use]
pub fn parse_boolean(text: &[u8]) -> Option<bool> {
    if text.eq_ignore_ascii_case(b"true") {
        Some(true)
    } else if text.eq_ignore_ascii_case(b"false") {
        Some(false)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_says_exactly_the_same_is_converted() {
        assert_eq!(coerce(Value::Integer(7), AttributeType::String), Some("7".into()));
        assert_eq!(coerce("7".into(), AttributeType::Integer), Some(Value::Integer(7)));
        assert_eq!(coerce("FALSE".into(), AttributeType::Boolean), Some(Value::Boolean(false)));
        assert_eq!(coerce("seven".into(), AttributeType::Integer), None);
        assert_eq!(coerce(Value::Integer(1), AttributeType::Boolean), None);
        assert_eq!(coerce(Value::binary(*b"x"), AttributeType::String), None);
    }
}
