//! Scope: which objects of a type a rule is for. Groups of clauses: all clauses of one group, of any group.

use std::borrow::Cow;
use std::cmp::Ordering;

use onesync_expr::Source;
use onesync_model::{AttrId, ValueRef, group_name};
use thiserror::Error;

use crate::Operator;
use crate::comparand::{Comparand, compare, equal, integer, with_folded};

/// What a clause looks at.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Operand {
    /// An attribute's values.
    Attribute(AttrId),
    /// A link attribute: whether there are links.
    Link(AttrId),
    /// The distinguished name.
    Dn,
    /// The groups that the object is a direct member of.
    Groups,
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
    values: Vec<String>,
    /// The same, ready to be compared; empty where a parameter is among them.
    ready: Vec<Comparand>,
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
                Operand::Dn | Operand::Groups => {}
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

    /// Names of groups that it asks for; may hold `%parameters%`.
    pub(crate) fn groups_asked(&self) -> impl Iterator<Item = &str> {
        let clauses = self.groups.iter().flatten().filter(|clause| clause.operand == Operand::Groups);
        clauses.flat_map(|clause| clause.values()).map(String::as_str)
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
    /// Makes a comparison; what can be read of its values is read here, once.
    #[must_use]
    pub fn new(operand: Operand, attribute: String, operator: Operator, values: Vec<String>) -> Self {
        let fixed = !values.iter().any(|text| next_parameter(text).is_some());
        let ready = |text: &String| match operand {
            Operand::Groups => Comparand::new(&group_name(text)),
            _ => Comparand::new(text),
        };
        let ready = if fixed { values.iter().map(ready).collect() } else { Vec::new() };
        Self { operand, attribute, operator, values, ready }
    }

    /// With what: one text, several for lists, none for presence. May hold `%parameters%`.
    #[must_use]
    pub fn values(&self) -> &[String] {
        &self.values
    }

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
            Operand::Groups => return self.is_member(source).map(|member| member != negate),
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

    /// Whether the object is a member of one of the groups that are named.
    fn is_member(&self, source: &dyn Source) -> Result<bool, ScopeError> {
        if self.ready.len() == self.values.len() {
            return Ok(self.ready.iter().any(|group| source.is_member_of(&group.text)));
        }
        for text in &self.values {
            let text = substitute(text, source).map_err(|parameter| self.parameter_error(parameter))?;
            if source.is_member_of(&group_name(&text)) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn any<'v>(
        &self,
        operator: Operator,
        values: impl Iterator<Item = ValueRef<'v>>,
        source: &dyn Source,
    ) -> Result<bool, ScopeError> {
        match operator {
            Operator::IsNull => return Ok(false),
            Operator::IsNotNull => return Ok(true),
            _ => {}
        }
        if self.ready.len() == self.values.len() {
            return self.any_of(operator, values, &self.ready);
        }
        let operands = self
            .values
            .iter()
            .map(|text| match substitute(text, source) {
                Ok(text) => Ok(Comparand::new(&text)),
                Err(parameter) => Err(self.parameter_error(parameter)),
            })
            .collect::<Result<Vec<_>, _>>()?;
        self.any_of(operator, values, &operands)
    }

    fn any_of<'v>(
        &self,
        operator: Operator,
        values: impl Iterator<Item = ValueRef<'v>>,
        operands: &[Comparand],
    ) -> Result<bool, ScopeError> {
        for value in values {
            for operand in operands {
                if self.one(operator, value, operand)? {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    fn one(&self, operator: Operator, value: ValueRef<'_>, with: &Comparand) -> Result<bool, ScopeError> {
        Ok(match operator {
            Operator::Equal | Operator::IsIn => equal(value, with),
            Operator::LessThan => compare(value, with) == Ordering::Less,
            Operator::LessThanOrEqual => compare(value, with) != Ordering::Greater,
            Operator::GreaterThan => compare(value, with) == Ordering::Greater,
            Operator::GreaterThanOrEqual => compare(value, with) != Ordering::Less,
            Operator::Contains => with_folded(value, |value| {
                let text = with.folded.as_bytes();
                text.is_empty() || value.windows(text.len()).any(|part| part.eq_ignore_ascii_case(text))
            }),
            Operator::StartsWith => with_folded(value, |value| {
                let start = value.get(..with.folded.len());
                start.is_some_and(|start| start.eq_ignore_ascii_case(with.folded.as_bytes()))
            }),
            Operator::EndsWith => with_folded(value, |value| {
                let end = value.len().checked_sub(with.folded.len()).and_then(|from| value.get(from..));
                end.is_some_and(|end| end.eq_ignore_ascii_case(with.folded.as_bytes()))
            }),
            Operator::IsBitSet | Operator::IsBitNotSet => {
                let not_an_integer = |value: &dyn std::fmt::Display| ScopeError::NotAnInteger {
                    attribute: self.attribute.clone(),
                    value: value.to_string(),
                };
                let bits = integer(value).ok_or_else(|| not_an_integer(&value))?;
                let mask = with.integer.ok_or_else(|| not_an_integer(&with.text))?;
                (bits & mask == mask) == (operator == Operator::IsBitSet)
            }
            // Decided by presence or by groups, or turned into the operator they negate, before.
            Operator::IsNull
            | Operator::IsNotNull
            | Operator::NotEqual
            | Operator::NotContains
            | Operator::NotStartsWith
            | Operator::NotEndsWith
            | Operator::IsNotIn
            | Operator::IsMemberOf
            | Operator::IsNotMemberOf => false,
        })
    }

    fn parameter_error(&self, parameter: String) -> ScopeError {
        ScopeError::Parameter { attribute: self.attribute.clone(), parameter }
    }
}

/// Replaces each `%Name%`; `Err` has the name of one that is not set. A lone `%` stays as it is.
pub(crate) fn substitute<'t>(text: &'t str, source: &dyn Source) -> Result<Cow<'t, str>, String> {
    substitute_with(text, |name| source.parameter(name))
}

/// The same with other values.
pub(crate) fn substitute_with<'t, 'p>(
    text: &'t str,
    parameter: impl Fn(&str) -> Option<&'p str>,
) -> Result<Cow<'t, str>, String> {
    if !text.contains('%') {
        return Ok(Cow::Borrowed(text));
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, name, after)) = next_parameter(rest) {
        out.push_str(before);
        out.push_str(parameter(name).ok_or_else(|| name.to_owned())?);
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

        fn is_member_of(&self, group: &str) -> bool {
            group == "cn=staff 7,dc=test"
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
        let values = values.iter().map(|&v| v.to_owned()).collect();
        Clause::new(operand, "a".into(), Operator::parse(operator).unwrap(), values)
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
        let written = || vec![Value::string("J\u{d6}RG \u{dc}ber")];
        for (operator, yes, no) in [
            ("EQUAL", "j\u{f6}rg \u{dc}BER", "jorg uber"),
            ("CONTAINS", "RG \u{fc}", "rg u"),
            ("STARTSWITH", "j\u{d6}", "jo"),
            ("ENDSWITH", "\u{dc}bEr", "uber"),
            ("LESSTHAN", "j\u{f6}rgz", "J\u{d6}RG"),
        ] {
            assert!(holds(written(), operator, yes), "{operator} {yes}");
            assert!(!holds(written(), operator, no), "{operator} {no}");
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
        for (operator, groups, expected) in [
            ("ISMEMBEROF", &["CN=Staff %Connector.ID%,DC=test"][..], true),
            ("ISMEMBEROF", &["CN=Others", "cn=staff 7, dc=TEST"], true),
            ("ISMEMBEROF", &["CN=Others"], false),
            ("ISNOTMEMBEROF", &["CN=Others", "CN=Staff %Connector.ID%,DC=test"], false),
            ("ISNOTMEMBEROF", &["CN=Others"], true),
        ] {
            let clause = clause(Operand::Groups, operator, groups);
            assert_eq!(clause.holds(&anna), Ok(expected), "{operator} {groups:?}");
        }
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
