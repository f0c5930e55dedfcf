//! The operators of scopes.

/// The comparison of one clause.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Operator {
    /// A value equals.
    Equal,
    /// No value equals; holds for an absent attribute.
    NotEqual,
    /// A value is smaller.
    LessThan,
    /// A value is smaller or equal.
    LessThanOrEqual,
    /// A value is greater.
    GreaterThan,
    /// A value is greater or equal.
    GreaterThanOrEqual,
    /// A value contains.
    Contains,
    /// No value contains.
    NotContains,
    /// A value starts with.
    StartsWith,
    /// No value starts with.
    NotStartsWith,
    /// A value ends with.
    EndsWith,
    /// No value ends with.
    NotEndsWith,
    /// The attribute is absent.
    IsNull,
    /// The attribute is present.
    IsNotNull,
    /// A value is in the list.
    IsIn,
    /// No value is in the list.
    IsNotIn,
    /// A value has all bits of the mask set.
    IsBitSet,
    /// A value is there, and has not all bits of the mask set.
    IsBitNotSet,
    /// The object is a direct member of the group with this name.
    IsMemberOf,
    /// It is none.
    IsNotMemberOf,
}

impl Operator {
    /// All operators with the words that rule files use; the first word of an operator is the one written.
    pub const WORDS: [(&'static str, Self); 22] = [
        ("EQUAL", Self::Equal),
        ("NOTEQUAL", Self::NotEqual),
        ("LESSTHAN", Self::LessThan),
        ("LESSTHAN_OR_EQUAL", Self::LessThanOrEqual),
        ("GREATERTHAN", Self::GreaterThan),
        ("GREATERTHAN_OR_EQUAL", Self::GreaterThanOrEqual),
        ("CONTAINS", Self::Contains),
        ("NOTCONTAINS", Self::NotContains),
        ("STARTSWITH", Self::StartsWith),
        ("NOTSTARTSWITH", Self::NotStartsWith),
        ("ENDSWITH", Self::EndsWith),
        ("NOTENDSWITH", Self::NotEndsWith),
        ("ISNULL", Self::IsNull),
        ("ISNOTNULL", Self::IsNotNull),
        ("ISIN", Self::IsIn),
        ("ISNOTIN", Self::IsNotIn),
        ("ISBITSET", Self::IsBitSet),
        ("ISBITNOTSET", Self::IsBitNotSet), // the word stored by the original
        ("ISNOTBITSET", Self::IsBitNotSet), // the word its documentation shows
        ("ISNOTEQUAL", Self::NotEqual),
        ("ISMEMBEROF", Self::IsMemberOf),
        ("ISNOTMEMBEROF", Self::IsNotMemberOf),
    ];

    /// Reads the word of a rule file, without regard to case.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::WORDS.iter().find(|(known, _)| known.eq_ignore_ascii_case(word)).map(|&(_, operator)| operator)
    }

    /// The word used in rule files.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        Self::WORDS.iter().find(|&&(_, operator)| operator == self).map_or("?", |&(word, _)| word)
    }

    /// Whether it asks for presence only and takes no value.
    #[must_use]
    pub fn is_presence(self) -> bool {
        matches!(self, Self::IsNull | Self::IsNotNull)
    }

    /// Whether it looks at bits, and needs integers on both sides.
    #[must_use]
    pub fn is_bitwise(self) -> bool {
        matches!(self, Self::IsBitSet | Self::IsBitNotSet)
    }

    /// Whether it asks for groups, and for no attribute.
    #[must_use]
    pub fn is_membership(self) -> bool {
        matches!(self, Self::IsMemberOf | Self::IsNotMemberOf)
    }

    /// The operator that this one negates.
    pub(crate) fn negated(self) -> Option<Self> {
        Some(match self {
            Self::NotEqual => Self::Equal,
            Self::NotContains => Self::Contains,
            Self::NotStartsWith => Self::StartsWith,
            Self::NotEndsWith => Self::EndsWith,
            Self::IsNotIn => Self::IsIn,
            Self::IsNotMemberOf => Self::IsMemberOf,
            _ => return None,
        })
    }
}
