//! Range retrieval of Active Directory: attributes with many values come in parts, `member;range=0-1499`.
//!
//! The rule that protects from false removals: values are complete only when a range ended with `*`, or
//! when the attribute came whole. Anything else is [`Ranged::Incomplete`], never *empty*.

use bytes::Bytes;

use crate::entry::{Attribute, Entry};

/// A `range` option in an attribute description.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct RangeOption {
    /// Number of the first value.
    pub start: u32,
    /// Number of the last value; absent (`*`) when no value follows.
    pub end: Option<u32>,
}

impl RangeOption {
    /// Splits a description into the name and its range, if it has one; other options are passed over.
    pub fn parse(description: &str) -> (&str, Option<Self>) {
        let mut parts = description.split(';');
        let name = parts.next().unwrap_or_default();
        (name, parts.find_map(Self::parse_option))
    }

    fn parse_option(option: &str) -> Option<Self> {
        let (key, range) = option.split_once('=')?;
        if !key.eq_ignore_ascii_case("range") {
            return None;
        }
        let (start, end) = range.split_once('-')?;
        let start = number(start)?;
        let end = if end == "*" { None } else { Some(number(end)?) };
        if end.is_some_and(|end| end < start) { None } else { Some(Self { start, end }) }
    }
}

/// Reads digits only: `u32::from_str` would take a sign.
fn number(digits: &str) -> Option<u32> {
    if digits.bytes().all(|byte| byte.is_ascii_digit()) { digits.parse().ok() } else { None }
}

/// What an entry says about an attribute that may come in ranges.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ranged {
    /// The entry does not name the attribute.
    Absent,
    /// These are all values; none at all is a statement too.
    Complete(Vec<Bytes>),
    /// There are more values, or it is not known whether there are.
    Incomplete {
        /// The values from the first on, without a gap.
        values: Vec<Bytes>,
        /// Number of the first value that is missing.
        next: u32,
    },
}

/// Collects the values of `attribute` in an entry, whole or in ranges.
///
/// Knows the habits of Active Directory: an empty `member` beside `member;range=0-1499`, two ranges in any
/// order, any case of letters.
pub fn ranged_values(entry: &Entry, attribute: &str) -> Ranged {
    let mut whole: Option<Vec<Bytes>> = None;
    let mut ranges: Vec<(RangeOption, Attribute<'_>)> = Vec::new();
    for found in entry.attributes() {
        let (name, range) = RangeOption::parse(found.name());
        if !name.eq_ignore_ascii_case(attribute) {
            continue;
        }
        match range {
            Some(range) => ranges.push((range, found)),
            None if mentions_range(found.name()) => {
                // a range that cannot be understood: nothing is known
                return Ranged::Incomplete { values: Vec::new(), next: 0 };
            }
            None => whole.get_or_insert_default().extend(found.values()),
        }
    }
    if ranges.is_empty() {
        return whole.map_or(Ranged::Absent, Ranged::Complete);
    }
    join(ranges)
}

fn mentions_range(description: &str) -> bool {
    let options = description.split(';').skip(1);
    options.filter_map(|option| option.split_once('=')).any(|(key, _)| key.eq_ignore_ascii_case("range"))
}

/// Joins ranges that follow each other from 0 on.
fn join(mut ranges: Vec<(RangeOption, Attribute<'_>)>) -> Ranged {
    ranges.sort_by_key(|(range, _)| *range);
    let mut values = Vec::new();
    let mut next = 0;
    for (range, attribute) in ranges {
        if range.start != next {
            break;
        }
        let count = values.len();
        values.extend(attribute.values());
        let Some(end) = range.end else { return Ranged::Complete(values) };
        // the values, not the announcement, say how far we are
        let got = u32::try_from(values.len() - count).unwrap_or(u32::MAX);
        next = next.saturating_add(got);
        if next != end.saturating_add(1) {
            break;
        }
    }
    Ranged::Incomplete { values, next }
}

/// Changes of a link attribute in an answer of DirSync with incremental values.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LinkChanges {
    /// Values that were added: `member;range=1-1`.
    pub added: Vec<Bytes>,
    /// Values that were removed: `member;range=0-0`.
    pub removed: Vec<Bytes>,
    /// Whether the attribute came without a range and without values: all of them are gone.
    pub cleared: bool,
}

impl LinkChanges {
    /// Says whether nothing changed.
    pub fn is_empty(&self) -> bool {
        !self.cleared && self.added.is_empty() && self.removed.is_empty()
    }
}

/// Reads the link changes of an entry that DirSync sent with incremental values.
///
/// Values without a range are additions: that is how a new object comes.
pub fn link_changes(entry: &Entry, attribute: &str) -> LinkChanges {
    let mut changes = LinkChanges::default();
    let mut empty = false;
    for found in entry.attributes() {
        let (name, range) = RangeOption::parse(found.name());
        if !name.eq_ignore_ascii_case(attribute) {
            continue;
        }
        match range {
            Some(RangeOption { start: 0, end: Some(0) }) => changes.removed.extend(found.values()),
            Some(_) => changes.added.extend(found.values()),
            None if found.is_empty() => empty = true,
            None => changes.added.extend(found.values()),
        }
    }
    // an empty `member` beside ranges is only their companion
    changes.cleared = empty && changes.added.is_empty() && changes.removed.is_empty();
    changes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options() {
        let range = |start, end| Some(RangeOption { start, end });
        for (text, name, option) in [
            ("member", "member", None),
            ("member;range=0-1499", "member", range(0, Some(1499))),
            ("member;Range=1500-*", "member", range(1500, None)),
            ("member;x-a;RANGE=0-*", "member", range(0, None)),
            ("member;range=5-4", "member", None),
            ("member;range=+1-4", "member", None),
            ("member;range=-", "member", None),
            ("member;range=0-4294967296", "member", None),
            ("", "", None),
        ] {
            assert_eq!(RangeOption::parse(text), (name, option), "{text}");
        }
    }

    fn outcome(attributes: &[(&str, &[&str])]) -> Ranged {
        ranged_values(
            &Entry::build("cn=g", attributes.iter().map(|(name, values)| (*name, *values))),
            "member",
        )
    }

    fn bytes(values: &[&str]) -> Vec<Bytes> {
        values.iter().map(|value| Bytes::copy_from_slice(value.as_bytes())).collect()
    }

    #[test]
    fn whole_attributes() {
        assert_eq!(outcome(&[("cn", &["g"])]), Ranged::Absent);
        assert_eq!(outcome(&[("Member", &["a", "b"])]), Ranged::Complete(bytes(&["a", "b"])));
        assert_eq!(outcome(&[("member", &[])]), Ranged::Complete(vec![]));
    }

    #[test]
    fn the_empty_attribute_beside_a_range_means_nothing() {
        let found = outcome(&[("member", &[]), ("member;range=0-1", &["a", "b"])]);
        assert_eq!(found, Ranged::Incomplete { values: bytes(&["a", "b"]), next: 2 });
    }

    #[test]
    fn the_star_ends() {
        assert_eq!(outcome(&[("member;range=0-*", &["a"])]), Ranged::Complete(bytes(&["a"])));
        let two = outcome(&[("member;range=2-*", &["c"]), ("member;range=0-1", &["a", "b"])]);
        assert_eq!(two, Ranged::Complete(bytes(&["a", "b", "c"])));
    }

    #[test]
    fn gaps_and_short_ranges_are_incomplete() {
        let gap = outcome(&[("member;range=0-0", &["a"]), ("member;range=5-*", &["f"])]);
        assert_eq!(gap, Ranged::Incomplete { values: bytes(&["a"]), next: 1 });
        let short = outcome(&[("member;range=0-9", &["a"]), ("member;range=10-*", &["k"])]);
        assert_eq!(short, Ranged::Incomplete { values: bytes(&["a"]), next: 1 });
        let odd = outcome(&[("member;range=x-y", &["a"])]);
        assert_eq!(odd, Ranged::Incomplete { values: vec![], next: 0 });
    }

    #[test]
    fn link_changes_of_dir_sync() {
        let entry = |list: &[(&str, &[&str])]| {
            Entry::build("cn=g", list.iter().map(|(name, values)| (*name, *values)))
        };
        let both =
            link_changes(&entry(&[("member;range=1-1", &["a"]), ("member;range=0-0", &["b"])]), "member");
        assert_eq!((both.added, both.removed, both.cleared), (bytes(&["a"]), bytes(&["b"]), false));
        assert!(link_changes(&entry(&[("member", &[])]), "member").cleared);
        assert!(link_changes(&entry(&[("cn", &["x"])]), "member").is_empty());
        assert!(!link_changes(&entry(&[("member", &[]), ("member;range=1-1", &["a"])]), "member").cleared);
    }
}
