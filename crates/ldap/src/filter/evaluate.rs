//! Filters against an entry, for servers that live inside a test or a demonstration.
//!
//! Three-valued as RFC 4511 section 4.5.1.7 wants it. There is no schema here: text is compared without
//! case, numbers as numbers where both sides are some, anything else octet by octet.

use std::cmp::Ordering;

use super::{Extensible, Filter, RULE_BIT_AND, RULE_BIT_OR, Substrings};
use crate::entry::Entry;

impl Filter {
    /// Says whether the entry matches; `None` is *undefined* (a matching rule that is not known here).
    ///
    /// The caller sees to it that the filter was parsed or decoded, which bounds its depth.
    pub fn matches(&self, entry: &Entry) -> Option<bool> {
        match self {
            Self::And(parts) => unless(false, parts, entry),
            Self::Or(parts) => unless(true, parts, entry),
            Self::Not(part) => part.matches(entry).map(|matched| !matched),
            Self::Present(attribute) => Some(any_value(entry, attribute, |_| true)),
            Self::Equal(attribute, wanted) | Self::Approx(attribute, wanted) => {
                let wanted = folded(wanted);
                Some(any_value(entry, attribute, |value| folded(value) == wanted))
            }
            Self::GreaterOrEqual(attribute, wanted) => {
                Some(any_value(entry, attribute, |value| order(value, wanted) != Ordering::Less))
            }
            Self::LessOrEqual(attribute, wanted) => {
                Some(any_value(entry, attribute, |value| order(value, wanted) != Ordering::Greater))
            }
            Self::Substrings(parts) => Some(any_value(entry, &parts.attribute, |value| fits(parts, value))),
            Self::Extensible(parts) => extensible(parts, entry),
        }
    }
}

/// One part that is `decisive` decides; else one that is undefined; else the answer is the other one.
fn unless(decisive: bool, parts: &[Filter], entry: &Entry) -> Option<bool> {
    let mut answer = Some(!decisive);
    for part in parts {
        match part.matches(entry) {
            Some(matched) if matched == decisive => return Some(decisive),
            Some(_) => {}
            None => answer = None,
        }
    }
    answer
}

fn any_value(entry: &Entry, attribute: &str, test: impl Fn(&[u8]) -> bool) -> bool {
    entry
        .attributes()
        .filter(|found| found.name().eq_ignore_ascii_case(attribute))
        .any(|found| found.value_slices().any(&test))
}

fn extensible(parts: &Extensible, entry: &Entry) -> Option<bool> {
    let attribute = parts.attribute.as_deref()?;
    match parts.rule.as_deref() {
        None => Filter::Equal(attribute.to_owned(), parts.value.clone()).matches(entry),
        Some(rule @ (RULE_BIT_AND | RULE_BIT_OR)) => {
            let mask = number(&parts.value)?;
            Some(any_value(entry, attribute, |value| match number(value) {
                Some(bits) if rule == RULE_BIT_AND => bits & mask == mask,
                Some(bits) => bits & mask != 0,
                None => false,
            }))
        }
        Some(_) => None,
    }
}

fn number(value: &[u8]) -> Option<i64> {
    std::str::from_utf8(value).ok()?.parse().ok()
}

/// Gives text in lower case, anything else as it is.
fn folded(value: &[u8]) -> Vec<u8> {
    std::str::from_utf8(value).map_or_else(|_| value.to_vec(), |text| text.to_lowercase().into_bytes())
}

fn order(left: &[u8], right: &[u8]) -> Ordering {
    match (number(left), number(right)) {
        (Some(left), Some(right)) => left.cmp(&right),
        _ => folded(left).cmp(&folded(right)),
    }
}

fn fits(parts: &Substrings, value: &[u8]) -> bool {
    let value = folded(value);
    let mut rest = value.as_slice();
    if let Some(initial) = &parts.initial {
        let Some(behind) = rest.strip_prefix(folded(initial).as_slice()) else { return false };
        rest = behind;
    }
    for part in &parts.any {
        let part = folded(part);
        if part.is_empty() {
            continue; // it stands everywhere, and windows of no size are not allowed
        }
        let found = rest.windows(part.len()).position(|window| window == part.as_slice());
        let Some(behind) = found.and_then(|at| rest.get(at + part.len()..)) else { return false };
        rest = behind;
    }
    parts.last.as_ref().is_none_or(|last| rest.ends_with(&folded(last)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn evaluation() {
        let entry = Entry::build(
            "CN=Ana,DC=x",
            [
                ("cn", vec!["\u{c1}na Lima"]),
                ("userAccountControl", vec!["514"]),
                ("objectClass", vec!["top", "user"]),
            ],
        );
        for (text, expected) in [
            ("(CN=\u{e1}na lima)", Some(true)),
            ("(cn=*LIM*)", Some(true)),
            ("(cn=\u{e1}*a*a)", Some(true)),
            ("(cn=lima*)", Some(false)),
            ("(userAccountControl>=99)", Some(true)),
            ("(userAccountControl<=99)", Some(false)),
            ("(userAccountControl:1.2.840.113556.1.4.803:=2)", Some(true)),
            ("(userAccountControl:1.2.840.113556.1.4.803:=6)", Some(false)),
            ("(userAccountControl:1.2.840.113556.1.4.804:=6)", Some(true)),
            ("(&(objectClass=user)(!(sn=*)))", Some(true)),
            ("(cn:1.2.3:=x)", None),
            ("(|(cn:1.2.3:=x)(objectClass=user))", Some(true)),
            ("(&(cn:1.2.3:=x)(objectClass=user))", None),
            ("(!(cn:1.2.3:=x))", None),
            ("(&)", Some(true)),
            ("(|)", Some(false)),
        ] {
            let filter: Filter = text.parse().expect(text);
            assert_eq!(filter.matches(&entry), expected, "{text}");
        }
    }
}
