//! Single values, and the ordered sets an attribute holds.

use std::borrow::Cow;
use std::fmt;

use compact_str::CompactString;

use crate::{AttrId, AttributeType, Time, hash64};

/// One value of an attribute.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Value {
    /// Unicode text.
    String(CompactString),
    /// A 64-bit integer.
    Integer(i64),
    /// True or false.
    Boolean(bool),
    /// Bytes.
    Binary(Box<[u8]>),
    /// A point in time.
    Time(Time),
    /// A reference to another object, as the connected directory writes it (a DN, an id).
    Reference(CompactString),
}

/// A value borrowed from an image.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum ValueRef<'a> {
    /// Unicode text.
    String(&'a str),
    /// A 64-bit integer.
    Integer(i64),
    /// True or false.
    Boolean(bool),
    /// Bytes.
    Binary(&'a [u8]),
    /// A point in time.
    Time(Time),
    /// A reference to another object.
    Reference(&'a str),
}

impl Value {
    /// Text.
    #[must_use]
    pub fn string(text: impl AsRef<str>) -> Self {
        Self::String(CompactString::new(text))
    }

    /// A reference.
    #[must_use]
    pub fn reference(text: impl AsRef<str>) -> Self {
        Self::Reference(CompactString::new(text))
    }

    /// Bytes.
    #[must_use]
    pub fn binary(bytes: impl Into<Box<[u8]>>) -> Self {
        Self::Binary(bytes.into())
    }

    /// The same value, borrowed.
    #[must_use]
    pub fn as_ref(&self) -> ValueRef<'_> {
        match self {
            Self::String(s) => ValueRef::String(s),
            Self::Integer(n) => ValueRef::Integer(*n),
            Self::Boolean(b) => ValueRef::Boolean(*b),
            Self::Binary(b) => ValueRef::Binary(b),
            Self::Time(t) => ValueRef::Time(*t),
            Self::Reference(r) => ValueRef::Reference(r),
        }
    }

    /// The text of a string or reference.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        self.as_ref().as_str()
    }
}

impl<'a> ValueRef<'a> {
    /// The text of a string or reference.
    #[must_use]
    pub fn as_str(self) -> Option<&'a str> {
        match self {
            Self::String(s) | Self::Reference(s) => Some(s),
            _ => None,
        }
    }

    /// Its type.
    #[must_use]
    pub fn kind(self) -> AttributeType {
        match self {
            Self::String(_) => AttributeType::String,
            Self::Integer(_) => AttributeType::Integer,
            Self::Boolean(_) => AttributeType::Boolean,
            Self::Binary(_) => AttributeType::Binary,
            Self::Time(_) => AttributeType::Time,
            Self::Reference(_) => AttributeType::Reference,
        }
    }

    /// An owned copy.
    #[must_use]
    pub fn to_owned(self) -> Value {
        match self {
            Self::String(s) => Value::string(s),
            Self::Integer(n) => Value::Integer(n),
            Self::Boolean(b) => Value::Boolean(b),
            Self::Binary(b) => Value::binary(b),
            Self::Time(t) => Value::Time(t),
            Self::Reference(r) => Value::reference(r),
        }
    }
}

/// The text a person reads, and that text comparisons of scope and join see: booleans as `True`/`False`, binary as
/// lower-case hexadecimal, times as RFC 3339.
impl fmt::Display for ValueRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::String(s) | Self::Reference(s) => f.write_str(s),
            Self::Integer(n) => n.fmt(f),
            Self::Boolean(b) => f.write_str(if *b { "True" } else { "False" }),
            Self::Binary(bytes) => bytes.iter().try_for_each(|b| write!(f, "{b:02x}")),
            Self::Time(t) => t.fmt(f),
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_ref().fmt(f)
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::String(s) => write!(f, "{s:?}"),
            Self::Reference(r) => write!(f, "ref {r:?}"),
            Self::Binary(_) => write!(f, "0x{self}"),
            _ => write!(f, "{self}"),
        }
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::string(text)
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Boolean(value)
    }
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self::Integer(value)
    }
}

/// The values of one attribute: never empty, no duplicates, in canonical order
/// (bytes of the case-folded form, then of the value).
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Values(Vec<Value>);

impl Values {
    /// Orders values and drops exact duplicates; `None` when there are none.
    #[must_use]
    pub fn new(mut values: Vec<Value>) -> Option<Self> {
        match values.len() {
            0 => return None,
            1 => {}
            _ => {
                values.sort_by(canonical_order);
                values.dedup();
            }
        }
        Some(Self(values))
    }

    /// One value.
    #[must_use]
    pub fn one(value: Value) -> Self {
        Self(vec![value])
    }

    /// The values in canonical order.
    #[must_use]
    pub fn as_slice(&self) -> &[Value] {
        &self.0
    }

    /// The first value in canonical order.
    #[must_use]
    pub fn first(&self) -> &Value {
        // Constructors never make an empty set.
        &self.0[0]
    }

    /// Gives the values up.
    #[must_use]
    pub fn into_vec(self) -> Vec<Value> {
        self.0
    }
}

impl From<Value> for Values {
    fn from(value: Value) -> Self {
        Self::one(value)
    }
}

fn canonical_order(a: &Value, b: &Value) -> std::cmp::Ordering {
    match (a, b) {
        (Value::String(x), Value::String(y)) | (Value::Reference(x), Value::Reference(y)) => {
            let folded = match x.is_ascii() && y.is_ascii() {
                true => lower(x).cmp(lower(y)),
                false => fold_case(x).as_bytes().cmp(fold_case(y).as_bytes()),
            };
            folded.then_with(|| x.cmp(y))
        }
        _ => a.cmp(b),
    }
}

/// The folded form of a text in ASCII.
fn lower(text: &str) -> impl Iterator<Item = u8> {
    text.bytes().map(|byte| byte.to_ascii_lowercase())
}

/// The form in which text is compared where case does not matter: lower case, by Unicode's simple mapping.
#[must_use]
pub fn fold_case(text: &str) -> Cow<'_, str> {
    if text.bytes().all(|b| b.is_ascii() && !b.is_ascii_uppercase()) {
        Cow::Borrowed(text)
    } else if text.is_ascii() {
        Cow::Owned(text.to_ascii_lowercase())
    } else {
        Cow::Owned(text.chars().flat_map(char::to_lowercase).collect())
    }
}

/// Binary values as they are shown.
fn hex(bytes: &[u8]) -> String {
    let digit = |nibble: u8| char::from_digit(u32::from(nibble), 16).unwrap_or_default();
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

/// The key under which a value is found in the join index of an attribute.
///
/// Text is folded, so that one index serves comparisons with and without case; and values of different types
/// that read the same (an integer and its digits) meet. Every hit is verified against the values themselves.
#[must_use]
pub fn join_key(attribute: AttrId, value: ValueRef<'_>) -> i64 {
    let text: String;
    let folded = match value {
        ValueRef::String(s) | ValueRef::Reference(s) => fold_case(s),
        ValueRef::Binary(bytes) => {
            text = hex(bytes);
            text.as_str().into()
        }
        other => {
            text = other.to_string();
            fold_case(&text)
        }
    };
    let mut bytes = Vec::with_capacity(folded.len() + 4);
    bytes.extend_from_slice(&attribute.0.to_le_bytes());
    bytes.extend_from_slice(folded.as_bytes());
    hash64(&bytes) as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_ordered_sets() {
        let values = Values::new(vec!["b".into(), "A".into(), "a".into(), "b".into()]).unwrap();
        assert_eq!(values.as_slice(), ["A".into(), "a".into(), "b".into()]);
        assert_eq!(Values::new(vec![]), None);
    }

    #[test]
    fn join_keys_ignore_case_and_type_but_not_the_attribute() {
        assert_eq!(hex(&[0, 0x9a, 0xff]), ValueRef::Binary(&[0, 0x9a, 0xff]).to_string());
        let key = |attribute, value: &Value| join_key(AttrId(attribute), value.as_ref());
        assert_eq!(key(1, &"Anna@Contoso.com".into()), key(1, &"anna@contoso.COM".into()));
        assert_eq!(key(1, &"42".into()), key(1, &42.into()));
        assert_ne!(key(1, &"42".into()), key(2, &"42".into()));
    }
}
