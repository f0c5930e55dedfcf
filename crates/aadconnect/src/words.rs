//! Words that both forms have.

use crate::{LinkType, Merge};

/// An interval that is not zero.
pub(crate) fn soft_delete(text: &str) -> Option<String> {
    text.bytes().any(|b| (b'1'..=b'9').contains(&b)).then(|| text.to_owned())
}

pub(crate) fn parse_link(word: &str) -> Option<LinkType> {
    [("provision", LinkType::Provision), ("join", LinkType::Join), ("stickyjoin", LinkType::StickyJoin)]
        .into_iter()
        .find(|(known, _)| known.eq_ignore_ascii_case(word.trim()))
        .map(|(_, link)| link)
}

pub(crate) fn parse_merge(word: &str) -> Option<Merge> {
    [
        ("update", Merge::Update),
        ("replace", Merge::Replace),
        ("merge", Merge::Merge),
        ("mergecaseinsensitive", Merge::MergeCaseInsensitive),
    ]
    .into_iter()
    .find(|(known, _)| known.eq_ignore_ascii_case(word.trim()))
    .map(|(_, merge)| merge)
}
