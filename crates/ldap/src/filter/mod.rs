//! Search filters: the tree, its text form (RFC 4515), its encoding (RFC 4511), and its evaluation.

mod codec;
mod evaluate;
mod text;

use bytes::Bytes;

pub use text::FilterError;

use crate::ber::DEPTH_MAX;

/// Matching rule of Active Directory: all bits of the value are set.
pub const RULE_BIT_AND: &str = "1.2.840.113556.1.4.803";
/// Matching rule of Active Directory: some bit of the value is set.
pub const RULE_BIT_OR: &str = "1.2.840.113556.1.4.804";
/// Matching rule of Active Directory: the link, followed through groups in groups.
pub const RULE_IN_CHAIN: &str = "1.2.840.113556.1.4.1941";

/// A search filter.
///
/// Values are bytes: a filter on `objectGUID` needs no escaping here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Filter {
    /// All of them; none at all means *true* (RFC 4526).
    And(Vec<Filter>),
    /// Any of them; none at all means *false* (RFC 4526).
    Or(Vec<Filter>),
    /// Not this one.
    Not(Box<Filter>),
    /// The attribute has this value.
    Equal(String, Bytes),
    /// The attribute has a value with these parts.
    Substrings(Substrings),
    /// The attribute has a value that is not smaller.
    GreaterOrEqual(String, Bytes),
    /// The attribute has a value that is not greater.
    LessOrEqual(String, Bytes),
    /// The attribute has any value.
    Present(String),
    /// The attribute has a value like this one.
    Approx(String, Bytes),
    /// A matching rule decides.
    Extensible(Extensible),
}

/// The parts of a substring filter, in their order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Substrings {
    /// The attribute.
    pub attribute: String,
    /// How the value begins.
    pub initial: Option<Bytes>,
    /// What it holds between.
    pub any: Vec<Bytes>,
    /// How it ends.
    pub last: Option<Bytes>,
}

/// The parts of an extensible filter.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Extensible {
    /// The attribute; absent means all that the rule fits.
    pub attribute: Option<String>,
    /// The matching rule; absent means the attribute's equality.
    pub rule: Option<String>,
    /// The value to match.
    pub value: Bytes,
    /// Whether the attributes within the DN count as well.
    pub dn_attributes: bool,
}

impl Filter {
    /// Makes an equality filter.
    pub fn equal(attribute: impl Into<String>, value: impl Into<Bytes>) -> Self {
        Self::Equal(attribute.into(), value.into())
    }

    /// Makes a presence filter.
    pub fn present(attribute: impl Into<String>) -> Self {
        Self::Present(attribute.into())
    }

    /// Makes the filter that every entry matches.
    pub fn any_object() -> Self {
        Self::present("objectClass")
    }

    /// Says whether the tree is at most `levels` deep; never looks deeper than that.
    fn is_within(&self, levels: u8) -> bool {
        let Some(below) = levels.checked_sub(1) else { return false };
        match self {
            Self::And(parts) | Self::Or(parts) => parts.iter().all(|part| part.is_within(below)),
            Self::Not(part) => part.is_within(below),
            _ => true,
        }
    }
}

/// How deep a filter may be: inside a message there are three levels around it.
const FILTER_DEPTH_MAX: u8 = DEPTH_MAX - 8;
