//! Any attribute descriptions: values in ranges are collected without a panic, complete only with a `*` or
//! without any range.
//!
//! Run it with `cargo +nightly fuzz run range` in `crates/ldap`.

#![no_main]

use libfuzzer_sys::fuzz_target;
use onesync_ldap::{Entry, RangeOption, Ranged, link_changes, ranged_values};

fuzz_target!(|descriptions: Vec<(String, u8)>| {
    let list = descriptions.iter().map(|(name, count)| (name, vec![b"v"; usize::from(*count)]));
    let entry = Entry::build("cn=g", list);
    for (description, _) in &descriptions {
        let (name, _) = RangeOption::parse(description);
        let _ = link_changes(&entry, name);
        let ranges = || descriptions.iter().map(|(other, _)| RangeOption::parse(other));
        let mut of_name = ranges().filter(|(other, _)| other.eq_ignore_ascii_case(name));
        if matches!(ranged_values(&entry, name), Ranged::Complete(_)) {
            assert!(of_name.any(|(_, range)| range.is_none_or(|range| range.end.is_none())));
        }
    }
});
