//! What the values of an object are compared with in scopes: read once, compared without copies.

use std::cmp::Ordering;

use onesync_model::{Time, ValueRef, fold_case};

/// A text that values are compared with, in the forms in which it is compared.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Comparand {
    pub(crate) text: String,
    pub(crate) folded: String,
    pub(crate) integer: Option<i64>,
}

impl Comparand {
    pub(crate) fn new(text: &str) -> Self {
        Self { text: text.to_owned(), folded: fold_case(text).into_owned(), integer: parse_integer(text) }
    }
}

pub(crate) fn equal(value: ValueRef<'_>, with: &Comparand) -> bool {
    match value {
        ValueRef::Integer(number) => with.integer == Some(number),
        ValueRef::Time(time) => parse_time(&with.text) == Some(time),
        _ => with_folded(value, |value| value.eq_ignore_ascii_case(with.folded.as_bytes())),
    }
}

pub(crate) fn compare(value: ValueRef<'_>, with: &Comparand) -> Ordering {
    if let (Some(a), Some(b)) = (integer(value), with.integer) {
        return a.cmp(&b);
    }
    if let (ValueRef::Time(a), Some(b)) = (value, parse_time(&with.text)) {
        return a.cmp(&b);
    }
    with_folded(value, |value| value.iter().map(u8::to_ascii_lowercase).cmp(with.folded.bytes()))
}

/// Hands over the bytes of a value's text, folded but for the case of ASCII letters: those compare without a copy.
pub(crate) fn with_folded<T>(value: ValueRef<'_>, test: impl FnOnce(&[u8]) -> T) -> T {
    let owned;
    let text = match value {
        ValueRef::String(s) | ValueRef::Reference(s) => s,
        ValueRef::Boolean(true) => "True",
        ValueRef::Boolean(false) => "False",
        other => {
            owned = other.to_string();
            &owned
        }
    };
    if text.is_ascii() { test(text.as_bytes()) } else { test(fold_case(text).as_bytes()) }
}

pub(crate) fn integer(value: ValueRef<'_>) -> Option<i64> {
    match value {
        ValueRef::Integer(number) => Some(number),
        ValueRef::String(text) => parse_integer(text),
        _ => None,
    }
}

/// Reads an integer: decimal, or hexadecimal as `0x...` or `&H...`.
pub(crate) fn parse_integer(text: &str) -> Option<i64> {
    let text = text.trim();
    let hex = ["0x", "0X", "&H", "&h"].iter().find_map(|prefix| text.strip_prefix(prefix));
    match hex {
        Some(digits) => i64::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    }
}

fn parse_time(text: &str) -> Option<Time> {
    text.trim().parse().ok().or_else(|| Time::parse_generalized(text.trim()))
}
