//! Sets of types: what is known of a value before it is there.

use std::fmt;

use onesync_model::AttributeType;

/// A set of value types. Empty means: never a value (NULL, `Error`), which fits everywhere.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Types(u8);

impl Types {
    /// No value.
    pub const NONE: Self = Self(0);
    /// Text.
    pub const TEXT: Self = Self(1);
    /// Numbers: integers, and decimals as intermediate results.
    pub const NUMBER: Self = Self(2);
    /// True or False.
    pub const BOOLEAN: Self = Self(4);
    /// Bytes.
    pub const BINARY: Self = Self(8);
    /// A point in time.
    pub const TIME: Self = Self(16);
    /// A reference. Wherever a text is taken, a reference is taken as its text.
    pub const REFERENCE: Self = Self(32);
    /// Text, or a reference as text.
    pub const STRING: Self = Self(1 | 32);
    /// Anything.
    pub const ANY: Self = Self(63);

    const NAMES: [(Self, &'static str, &'static str); 6] = [
        (Self::TEXT, "str", "text"),
        (Self::NUMBER, "num", "number"),
        (Self::BOOLEAN, "bool", "boolean"),
        (Self::BINARY, "bin", "binary"),
        (Self::TIME, "dt", "time"),
        (Self::REFERENCE, "ref", "reference"),
    ];

    /// The type of an attribute's values.
    #[must_use]
    pub const fn of(kind: AttributeType) -> Self {
        match kind {
            AttributeType::String => Self::TEXT,
            AttributeType::Integer => Self::NUMBER,
            AttributeType::Boolean => Self::BOOLEAN,
            AttributeType::Binary => Self::BINARY,
            AttributeType::Time => Self::TIME,
            AttributeType::Reference => Self::REFERENCE,
        }
    }

    /// Whether the set is empty: there is never a value.
    #[must_use]
    pub const fn is_none(self) -> bool {
        self.0 == 0
    }

    /// The types in either set.
    #[must_use]
    pub const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether a value of the one set may be of the other: false only where this is impossible.
    #[must_use]
    pub const fn may_be(self, other: Self) -> bool {
        self.0 == 0 || self.0 & other.0 != 0
    }

    /// The tag the function reference uses, e.g. `str`, `var`.
    #[must_use]
    pub fn tag(self) -> String {
        let tags = match self {
            Self::ANY => vec!["var"],
            Self::NONE => vec!["void"],
            _ => self.names().map(|(tag, _)| tag).collect(),
        };
        tags.join("|")
    }

    /// Tag and word of each type; a reference that goes for text is not named beside it.
    fn names(self) -> impl Iterator<Item = (&'static str, &'static str)> {
        let shown = if self.0 & Self::TEXT.0 != 0 { self.0 & !Self::REFERENCE.0 } else { self.0 };
        Self::NAMES.into_iter().filter(move |(t, ..)| shown & t.0 != 0).map(|(_, tag, word)| (tag, word))
    }
}

/// The words of a message: `text or number`.
impl fmt::Display for Types {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words: Vec<_> = self.names().map(|(_, word)| word).collect();
        f.write_str(&words.join(" or "))
    }
}
