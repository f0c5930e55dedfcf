//! Scope: which objects of a type a rule is for. Groups of clauses: all clauses of one group, of any group.

use std::borrow::Cow;
use std::cmp::Ordering;

use onesync_expr::Source;
use onesync_model::{AttrId, Time, ValueRef, fold_case};
use thiserror::Error;

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
}

impl Operator {
    /// All operators with the words that rule files use; the first word of an operator is the one written.
    pub const WORDS: [(&'static str, Self); 20] = [
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

    /// The operator that this one negates.
    fn negated(self) -> Option<Self> {
        Some(match self {
            Self::NotEqual => Self::Equal,
            Self::NotContains => Self::Contains,
            Self::NotStartsWith => Self::StartsWith,
            Self::NotEndsWith => Self::EndsWith,
            Self::IsNotIn => Self::IsIn,
            _ => return None,
        })
    }
}

/// What a clause looks at.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Operand {
    /// An attribute's values.
    Attribute(AttrId),
    /// A link attribute: whether there are links.
    Link(AttrId),
    /// The distinguished name.
    Dn,
}

/// One comparison.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Clause {
    /// What it looks at.
    pub operand: Operand,
    /// The attribute's name, for messages.
    pub attribute: String,
    /// How.
    pub operator: Operator,
    /// With what: one text, several for lists, none for presence. May hold `%parameters%`.
    pub values: Vec<String>,
}

/// Which objects a rule is for. Without groups: all.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Scope {
    groups: Vec<Vec<Clause>>,
    attributes: Vec<AttrId>,
    links: Vec<AttrId>,
}

/// Why it cannot be told whether an object is in scope.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum ScopeError {
    /// A bit operator met a value without bits.
    #[error("scope compares bits of `{attribute}`, but its value `{value}` is not an integer")]
    NotAnInteger {
        /// The attribute.
        attribute: String,
        /// Its value.
        value: String,
    },
    /// A parameter is not set for the object's connector.
    #[error(
        "scope compares `{attribute}` with `%{parameter}%`, which is not set: add it to the connector's parameters"
    )]
    Parameter {
        /// The attribute.
        attribute: String,
        /// The parameter.
        parameter: String,
    },
}

impl Scope {
    /// Makes a scope of groups of clauses.
    #[must_use]
    pub fn new(groups: Vec<Vec<Clause>>) -> Self {
        let (mut attributes, mut links) = (Vec::new(), Vec::new());
        for clause in groups.iter().flatten() {
            match clause.operand {
                Operand::Attribute(id) => attributes.push(id),
                Operand::Link(id) => links.push(id),
                Operand::Dn => {}
            }
        }
        for list in [&mut attributes, &mut links] {
            list.sort_unstable();
            list.dedup();
        }
        Self { groups, attributes, links }
    }

    /// Whether an object is in scope.
    ///
    /// # Errors
    /// When a value cannot be compared as asked; the caller then leaves the object's links as they are. A group
    /// that holds decides before an error in a later one is met.
    pub fn holds(&self, source: &dyn Source) -> Result<bool, ScopeError> {
        if self.groups.is_empty() {
            return Ok(true);
        }
        for group in &self.groups {
            if holds_all(group, source)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The groups.
    #[must_use]
    pub fn groups(&self) -> &[Vec<Clause>] {
        &self.groups
    }

    /// Whether all objects of the type are in scope.
    #[must_use]
    pub fn is_all(&self) -> bool {
        self.groups.is_empty()
    }

    /// The attributes it looks at, ordered, without link attributes.
    #[must_use]
    pub fn attributes(&self) -> &[AttrId] {
        &self.attributes
    }

    /// The link attributes whose presence it looks at, ordered.
    #[must_use]
    pub fn links(&self) -> &[AttrId] {
        &self.links
    }

    /// Whether it looks at the distinguished name.
    #[must_use]
    pub fn uses_dn(&self) -> bool {
        self.groups.iter().flatten().any(|clause| clause.operand == Operand::Dn)
    }
}

fn holds_all(clauses: &[Clause], source: &dyn Source) -> Result<bool, ScopeError> {
    for clause in clauses {
        if !clause.holds(source)? {
            return Ok(false);
        }
    }
    Ok(true)
}

impl Clause {
    /// Whether the comparison holds for an object.
    ///
    /// # Errors
    /// When a value cannot be compared as asked.
    pub fn holds(&self, source: &dyn Source) -> Result<bool, ScopeError> {
        let (operator, negate) = match self.operator.negated() {
            Some(operator) => (operator, true),
            None => (self.operator, false),
        };
        let values = match self.operand {
            Operand::Attribute(id) => source.values(id),
            Operand::Link(id) => {
                return Ok((source.link_count(id) > 0) == (self.operator == Operator::IsNotNull));
            }
            Operand::Dn => {
                return match source.dn() {
                    Some(dn) => self.any(operator, [ValueRef::String(dn)].into_iter(), source),
                    None => Ok(operator == Operator::IsNull),
                }
                .map(|held| held != negate);
            }
        };
        match values {
            Some(values) => self.any(operator, values.iter(), source),
            None => Ok(operator == Operator::IsNull),
        }
        .map(|held| held != negate)
    }

    fn any<'v>(
        &self,
        operator: Operator,
        mut values: impl Iterator<Item = ValueRef<'v>>,
        source: &dyn Source,
    ) -> Result<bool, ScopeError> {
        match operator {
            Operator::IsNull => return Ok(false),
            Operator::IsNotNull => return Ok(true),
            _ => {}
        }
        let operands = self
            .values
            .iter()
            .map(|text| substitute(text, source).map_err(|parameter| self.parameter_error(parameter)))
            .collect::<Result<Vec<_>, _>>()?;
        values.try_fold(false, |held, value| {
            let mut operands = operands.iter();
            Ok(held || operands.try_fold(false, |held, text| Ok(held || self.one(operator, value, text)?))?)
        })
    }

    fn one(&self, operator: Operator, value: ValueRef<'_>, text: &str) -> Result<bool, ScopeError> {
        Ok(match operator {
            Operator::Equal | Operator::IsIn => equal(value, text),
            Operator::LessThan => compare(value, text) == Ordering::Less,
            Operator::LessThanOrEqual => compare(value, text) != Ordering::Greater,
            Operator::GreaterThan => compare(value, text) == Ordering::Greater,
            Operator::GreaterThanOrEqual => compare(value, text) != Ordering::Less,
            Operator::Contains => with_folded(value, text, |value, text| value.contains(text)),
            Operator::StartsWith => with_folded(value, text, |value, text| value.starts_with(text)),
            Operator::EndsWith => with_folded(value, text, |value, text| value.ends_with(text)),
            Operator::IsBitSet | Operator::IsBitNotSet => {
                let not_an_integer = |value: &dyn std::fmt::Display| ScopeError::NotAnInteger {
                    attribute: self.attribute.clone(),
                    value: value.to_string(),
                };
                let bits = integer(value).ok_or_else(|| not_an_integer(&value))?;
                let mask = parse_integer(text).ok_or_else(|| not_an_integer(&text))?;
                (bits & mask == mask) == (operator == Operator::IsBitSet)
            }
            // Decided by presence, or turned into the operator they negate, before.
            Operator::IsNull
            | Operator::IsNotNull
            | Operator::NotEqual
            | Operator::NotContains
            | Operator::NotStartsWith
            | Operator::NotEndsWith
            | Operator::IsNotIn => false,
        })
    }

    fn parameter_error(&self, parameter: String) -> ScopeError {
        ScopeError::Parameter { attribute: self.attribute.clone(), parameter }
    }
}

/// Replaces each `%Name%`; `Err` has the name of one that is not set. A lone `%` stays as it is.
pub(crate) fn substitute<'t>(text: &'t str, source: &dyn Source) -> Result<Cow<'t, str>, String> {
    if !text.contains('%') {
        return Ok(Cow::Borrowed(text));
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, name, after)) = next_parameter(rest) {
        out.push_str(before);
        out.push_str(source.parameter(name).ok_or_else(|| name.to_owned())?);
        rest = after;
    }
    out.push_str(rest);
    Ok(Cow::Owned(out))
}

/// Splits text at its first `%Name%`.
pub(crate) fn next_parameter(text: &str) -> Option<(&str, &str, &str)> {
    let mut from = 0;
    loop {
        let open = from + text.get(from..)?.find('%')?;
        let close = open + 1 + text.get(open + 1..)?.find('%')?;
        let name = text.get(open + 1..close)?;
        let is_name = name.starts_with(|c: char| c.is_ascii_alphabetic())
            && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'));
        if is_name {
            return Some((text.get(..open)?, name, text.get(close + 1..)?));
        }
        from = close;
    }
}

fn equal(value: ValueRef<'_>, text: &str) -> bool {
    match value {
        ValueRef::Integer(number) => parse_integer(text) == Some(number),
        ValueRef::Time(time) => parse_time(text) == Some(time),
        _ => with_folded(value, text, |value, text| value == text),
    }
}

fn compare(value: ValueRef<'_>, text: &str) -> Ordering {
    if let (Some(a), Some(b)) = (integer(value), parse_integer(text)) {
        return a.cmp(&b);
    }
    if let (ValueRef::Time(a), Some(b)) = (value, parse_time(text)) {
        return a.cmp(&b);
    }
    let mut order = Ordering::Equal;
    with_folded(value, text, |value, text| {
        order = value.cmp(text);
        true
    });
    order
}

fn with_folded(value: ValueRef<'_>, text: &str, test: impl FnOnce(&str, &str) -> bool) -> bool {
    let owned;
    let value = match value {
        ValueRef::String(s) | ValueRef::Reference(s) => s,
        other => {
            owned = other.to_string();
            &owned
        }
    };
    test(&fold_case(value), &fold_case(text))
}

fn integer(value: ValueRef<'_>) -> Option<i64> {
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

#[cfg(test)]
mod tests {
    use onesync_model::{Bag, Image, Value, Values, ValuesRef};

    use super::*;

    struct Object(Image);

    impl Source for Object {
        fn values(&self, attribute: AttrId) -> Option<ValuesRef<'_>> {
            self.0.as_ref().get(attribute)
        }

        fn imported(&self, attribute: AttrId) -> Option<ValuesRef<'_>> {
            self.values(attribute)
        }

        fn dn(&self) -> Option<&str> {
            Some("CN=Anna,OU=People,DC=contoso,DC=test")
        }

        fn link_count(&self, _: AttrId) -> u64 {
            3
        }

        fn parameter(&self, name: &str) -> Option<&str> {
            (name == "Connector.ID").then_some("7")
        }
    }

    const A: AttrId = AttrId(1);

    fn object(values: Vec<Value>) -> Object {
        let mut bag = Bag::new();
        bag.set(A, Values::new(values));
        Object(Image::from_bag(&bag))
    }

    fn clause(operand: Operand, operator: &str, values: &[&str]) -> Clause {
        Clause {
            operand,
            attribute: "a".into(),
            operator: Operator::parse(operator).unwrap(),
            values: values.iter().map(|&v| v.to_owned()).collect(),
        }
    }

    fn holds(values: Vec<Value>, operator: &str, text: &str) -> bool {
        clause(Operand::Attribute(A), operator, &[text]).holds(&object(values)).unwrap()
    }

    #[test]
    fn every_operator_holds_and_fails() {
        let anna = || vec![Value::string("Anna"), Value::string("Berta")];
        for (operator, yes, no) in [
            ("EQUAL", "anna", "Ann"),
            ("NOTEQUAL", "Ann", "BERTA"),
            ("CONTAINS", "NN", "x"),
            ("NOTCONTAINS", "x", "ert"),
            ("STARTSWITH", "be", "erta"),
            ("NOTSTARTSWITH", "erta", "BE"),
            ("ENDSWITH", "NA", "n"),
            ("NOTENDSWITH", "n", "TA"),
            ("LESSTHAN", "anz", "Anna"),
            ("LESSTHAN_OR_EQUAL", "Anna", "Ann"),
            ("GREATERTHAN", "anna", "Berta"),
            ("GREATERTHAN_OR_EQUAL", "Berta", "Bertb"),
        ] {
            assert!(holds(anna(), operator, yes), "{operator} {yes}");
            assert!(!holds(anna(), operator, no), "{operator} {no}");
        }
        let list = clause(Operand::Attribute(A), "ISIN", &["x", "ANNA"]);
        assert_eq!(list.holds(&object(anna())), Ok(true));
        let list = clause(Operand::Attribute(A), "ISNOTIN", &["x", "y"]);
        assert_eq!(list.holds(&object(anna())), Ok(true));
        assert_eq!(list.holds(&object(vec!["Y".into()])), Ok(false));
        assert!(holds(vec![514.into()], "ISBITSET", "2"));
        assert!(!holds(vec![512.into()], "ISBITSET", "2"));
        assert!(holds(vec!["512".into()], "ISBITNOTSET", "0x2"));
        assert!(!holds(vec![514.into()], "ISNOTBITSET", "2"));
    }

    #[test]
    fn absent_attributes_meet_only_negations() {
        for (operator, expected) in [
            ("NOTEQUAL", true),
            ("NOTCONTAINS", true),
            ("NOTSTARTSWITH", true),
            ("NOTENDSWITH", true),
            ("ISNOTIN", true),
            ("ISNULL", true),
            ("ISNOTNULL", false),
            ("EQUAL", false),
            ("CONTAINS", false),
            ("LESSTHAN", false),
            ("GREATERTHAN_OR_EQUAL", false),
            ("ISIN", false),
            ("ISBITSET", false),
            ("ISBITNOTSET", false),
        ] {
            assert_eq!(holds(vec![], operator, "2"), expected, "{operator}");
        }
        assert!(holds(vec!["".into()], "ISNOTNULL", ""));
    }

    #[test]
    fn numbers_compare_as_numbers_and_booleans_without_case() {
        assert!(holds(vec![9.into()], "LESSTHAN", "50000"));
        assert!(holds(vec!["9".into()], "LESSTHAN", "50000"));
        assert!(!holds(vec![50_000.into()], "LESSTHAN", "50000"));
        assert!(holds(vec![7.into()], "EQUAL", "7"));
        assert!(!holds(vec!["007".into()], "EQUAL", "7"));
        assert!(holds(vec![true.into()], "EQUAL", "TRUE"));
        assert!(holds(vec!["TRUE".into()], "EQUAL", "True"));
        assert!(!holds(vec![true.into()], "NOTEQUAL", "true"));
        let time = Value::Time("2026-01-31T00:00:00Z".parse().unwrap());
        assert!(holds(vec![time.clone()], "LESSTHAN", "20260201000000.0Z"));
        assert!(holds(vec![time], "EQUAL", "2026-01-31T01:00:00+01:00"));
    }

    #[test]
    fn names_links_and_parameters_are_compared() {
        let anna = object(vec!["7".into()]);
        assert_eq!(clause(Operand::Dn, "ENDSWITH", &["ou=people,dc=contoso,dc=TEST"]).holds(&anna), Ok(true));
        assert_eq!(clause(Operand::Dn, "NOTCONTAINS", &["OU=People"]).holds(&anna), Ok(false));
        assert_eq!(clause(Operand::Link(A), "ISNOTNULL", &[]).holds(&anna), Ok(true));
        assert_eq!(clause(Operand::Link(A), "ISNULL", &[]).holds(&anna), Ok(false));
        assert_eq!(clause(Operand::Attribute(A), "EQUAL", &["%Connector.ID%"]).holds(&anna), Ok(true));
        assert!(matches!(
            clause(Operand::Attribute(A), "EQUAL", &["%Forest.FQDN%"]).holds(&anna),
            Err(ScopeError::Parameter { .. })
        ));
        assert_eq!(
            clause(Operand::Attribute(A), "EQUAL", &["100 % of 7 %"]).holds(&anna),
            Ok(false),
            "percent signs alone are text"
        );
    }

    #[test]
    fn what_cannot_be_compared_is_an_error_not_a_guess() {
        let scope =
            |first: Clause| Scope::new(vec![vec![first], vec![clause(Operand::Dn, "ISNOTNULL", &[])]]);
        let bits = clause(Operand::Attribute(A), "ISBITSET", &["2"]);
        assert!(matches!(
            scope(bits.clone()).holds(&object(vec!["abc".into()])),
            Err(ScopeError::NotAnInteger { .. })
        ));
        assert_eq!(scope(bits.clone()).holds(&object(vec![1.into()])), Ok(true));
        assert_eq!(Scope::new(vec![vec![bits]]).holds(&object(vec![1.into()])), Ok(false));
        assert_eq!(Scope::default().holds(&object(vec![])), Ok(true));
    }
}
