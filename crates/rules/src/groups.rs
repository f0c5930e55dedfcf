//! Which groups scopes ask for: what tells a change of membership that matters from one that does not.

use std::collections::BTreeSet;

use onesync_model::{AttrId, AttributeType, Schema, TypeId, group_own_name};

use crate::scope::{Scope, substitute_with};

/// The link attributes that hold members of groups, in the directories there are.
const MEMBER_ATTRIBUTES: [&str; 3] = ["member", "members", "uniqueMember"];

/// Parameters that say of an object where it lies, while the configuration leaves them empty.
const OF_THE_OBJECT: [&str; 2] = ["Domain.FQDN", "Domain.LDAP"];

/// The link attributes of a directory that hold members of groups.
#[must_use]
pub fn membership(schema: &Schema) -> Vec<AttrId> {
    let links = schema.attributes.values().filter(|def| def.kind == AttributeType::Reference);
    let holds = |name: &str| MEMBER_ATTRIBUTES.iter().any(|known| known.eq_ignore_ascii_case(name));
    links.filter(|def| holds(&def.name)).map(|def| def.id).collect()
}

/// The groups that the inbound scopes of one connector ask for.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct GroupsAsked {
    types: BTreeSet<TypeId>,
    /// Own names and anchors, in the form in which they are compared.
    names: BTreeSet<String>,
    /// Whether what a group is called depends on who asks, so that it may be any.
    any: bool,
}

impl GroupsAsked {
    /// Takes in the scope of a rule for objects of a type.
    pub(crate) fn add<'p>(
        &mut self,
        object: TypeId,
        scope: &Scope,
        parameter: impl Fn(&str) -> Option<&'p str>,
    ) {
        for text in scope.groups_asked() {
            self.types.insert(object);
            let named = |domain: &'p str| {
                let text = substitute_with(text, |name| match parameter(name) {
                    Some("") if OF_THE_OBJECT.contains(&name) => Some(domain),
                    found => found,
                });
                text.ok().map(|text| group_own_name(&text))
            };
            // What is not set names no group, and is an error of each object that asks.
            let Some(name) = named("DC=a") else { continue };
            self.any |= named("DC=b").as_ref() != Some(&name);
            self.names.insert(name);
        }
    }

    /// Whether a scope for objects of this type asks for groups.
    #[must_use]
    pub fn by(&self, object: TypeId) -> bool {
        self.types.contains(&object)
    }

    /// Whether a group may be asked for that has one of these names: its own name, or its anchor.
    pub fn may_be(&self, mut names: impl Iterator<Item = String>) -> bool {
        self.any || names.any(|name| self.names.contains(&name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Clause, Operand, Operator};

    #[test]
    fn a_group_may_be_asked_for_by_its_own_name_or_its_anchor() {
        let asked = |value: &str| {
            let clause =
                Clause::new(Operand::Groups, "member".into(), Operator::IsMemberOf, vec![value.into()]);
            let mut asked = GroupsAsked::default();
            let parameter = |name: &str| match name {
                "Domain.LDAP" | "Domain.FQDN" => Some(""),
                "Vip" => Some("CN=Vip,DC=test"),
                _ => None,
            };
            asked.add(TypeId(3), &Scope::new(vec![vec![clause]]), parameter);
            asked
        };
        let is = |value: &str, own: &str| asked(value).may_be([group_own_name(own)].into_iter());
        assert!(asked("CN=Vip,DC=test").by(TypeId(3)) && !asked("CN=Vip,DC=test").by(TypeId(4)));
        assert!(is("CN=Vip,OU=Groups,DC=test", "cn=vip") && !is("CN=Vip,DC=test", "CN=Others"));
        assert!(is("%Vip%", "CN=Vip") && is("CN=Vip,%Domain.LDAP%", "CN=Vip"));
        assert!(!is("CN=Vip,%Domain.LDAP%", "CN=Others"));
        assert!(is("CN=Vip %Domain.FQDN%,DC=test", "CN=Vip contoso.com"), "whoever asks says which");
        assert!(is("{Group-7}", "group-7") && !is("%Unset%", "CN=Vip"));
    }
}
