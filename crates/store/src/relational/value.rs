//! One value on its way into a statement or out of a row.

use std::borrow::Cow;

/// What a column holds, or a parameter takes. Booleans and small numbers are integers: the column says which.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Value<'a> {
    Null,
    Integer(i64),
    Text(Cow<'a, str>),
    Blob(&'a [u8]),
    /// Bytes that were made for the statement.
    Made(Vec<u8>),
}

impl Value<'_> {
    /// The same value, borrowing nothing.
    pub(crate) fn into_owned(self) -> Value<'static> {
        match self {
            Self::Null => Value::Null,
            Self::Integer(number) => Value::Integer(number),
            Self::Text(text) => Value::Text(Cow::Owned(text.into_owned())),
            Self::Blob(bytes) => Value::Made(bytes.to_vec()),
            Self::Made(bytes) => Value::Made(bytes),
        }
    }
}

macro_rules! integers {
    ($($type:ty),*) => { $(
        impl From<$type> for Value<'_> {
            fn from(number: $type) -> Self {
                Self::Integer(number.into())
            }
        }
    )* };
}
integers!(i64, u32, u16, u8, bool);

impl<'a> From<&'a str> for Value<'a> {
    fn from(text: &'a str) -> Self {
        Self::Text(Cow::Borrowed(text))
    }
}

impl<'a> From<&'a String> for Value<'a> {
    fn from(text: &'a String) -> Self {
        text.as_str().into()
    }
}

impl<'a> From<&'a [u8]> for Value<'a> {
    fn from(bytes: &'a [u8]) -> Self {
        Self::Blob(bytes)
    }
}

impl<'a> From<&'a Vec<u8>> for Value<'a> {
    fn from(bytes: &'a Vec<u8>) -> Self {
        Self::Blob(bytes)
    }
}

impl From<Vec<u8>> for Value<'_> {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Made(bytes)
    }
}

impl<'a> From<&'a onesync_model::Hash128> for Value<'a> {
    fn from(hash: &'a onesync_model::Hash128) -> Self {
        Self::Blob(&hash.0)
    }
}

impl<'a> From<&'a onesync_model::Anchor> for Value<'a> {
    fn from(anchor: &'a onesync_model::Anchor) -> Self {
        Self::Blob(&anchor.0)
    }
}

impl<'a, T: Into<Value<'a>>> From<Option<T>> for Value<'a> {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

/// What a column is read as.
pub(crate) trait FromValue: Sized {
    /// What was expected, for complaints.
    const WHAT: &'static str;
    /// The value, if the column holds such a one.
    fn from_value(value: Value<'_>) -> Option<Self>;
}

macro_rules! numbers {
    ($($type:ty),*) => { $(
        impl FromValue for $type {
            const WHAT: &'static str = concat!("a number (", stringify!($type), ")");
            fn from_value(value: Value<'_>) -> Option<Self> {
                match value {
                    Value::Integer(number) => number.try_into().ok(),
                    _ => None,
                }
            }
        }
    )* };
}
numbers!(i64, u32, u16, u8);

impl FromValue for bool {
    const WHAT: &'static str = "yes or no";
    fn from_value(value: Value<'_>) -> Option<Self> {
        i64::from_value(value).map(|number| number != 0)
    }
}

impl FromValue for String {
    const WHAT: &'static str = "text";
    fn from_value(value: Value<'_>) -> Option<Self> {
        match value {
            Value::Text(text) => Some(text.into_owned()),
            _ => None,
        }
    }
}

impl FromValue for Vec<u8> {
    const WHAT: &'static str = "bytes";
    fn from_value(value: Value<'_>) -> Option<Self> {
        match value {
            Value::Blob(bytes) => Some(bytes.to_vec()),
            _ => None,
        }
    }
}

impl<T: FromValue> FromValue for Option<T> {
    const WHAT: &'static str = T::WHAT;
    fn from_value(value: Value<'_>) -> Option<Self> {
        match value {
            Value::Null => Some(None),
            value => T::from_value(value).map(Some),
        }
    }
}
