//! The selection, laid out for reading: which types, which attributes, and what to ask the server for.

use std::collections::{BTreeSet, HashMap};

use onesync_ldap::Filter;
use onesync_model::{AttrId, AttributeType, TypeId, hash128};

use super::errors::configuration;
use super::settings::AdSettings;
use crate::{ConnectorError, Selection};

/// Classes of types whose objects have the classes of other types too: the more special one decides.
const SPECIAL_FIRST: [&str; 7] =
    ["computer", "inetOrgPerson", "user", "contact", "group", "foreignSecurityPrincipal", "msDS-Device"];

/// Classes of objects that are told as containers.
const CONTAINER_CLASSES: [&str; 3] = ["organizationalUnit", "container", "builtinDomain"];

/// Attributes of which DirSync tells no changes (back links, not replicated, computed when read): with them a delta
/// import would see less than a full one, so they are not offered.
const NOT_IN_DELTAS: &[&str] = &[
    "badPasswordTime",
    "badPwdCount",
    "directReports",
    "lastLogon",
    "logonCount",
    "memberOf",
    "msDS-User-Account-Control-Computed",
    "msDS-UserPasswordExpiryTimeComputed",
    "msExchBypassModerationFromDLMembersBL",
    "uSNChanged",
    "uSNCreated",
    "whenChanged",
];

/// References that are no links to the directory: they keep the name of a deleted object.
const NOT_LINKED: [&str; 4] = ["assistant", "secretary", "seeAlso", "uniqueMember"];

/// Whether a delta import sees changes of an attribute.
#[must_use]
pub fn is_in_deltas(attribute: &str) -> bool {
    !NOT_IN_DELTAS.iter().any(|name| name.eq_ignore_ascii_case(attribute))
}

/// One selected attribute.
#[derive(Clone, Debug)]
pub struct Slot {
    /// Its id.
    pub id: AttrId,
    /// Its name.
    pub name: String,
    /// The type of its values.
    pub kind: AttributeType,
}

/// One selected object type.
#[derive(Clone, Debug)]
pub struct TypeLayout {
    /// Its id.
    pub id: TypeId,
    name: String,
    by_name: HashMap<String, Slot>,
    /// Its link attributes.
    pub links: Vec<Slot>,
}

impl TypeLayout {
    /// The selected attribute of this name, in whatever case.
    #[must_use]
    pub fn slot(&self, name: &str) -> Option<&Slot> {
        self.by_name.get(name).or_else(|| self.by_name.get(&name.to_ascii_lowercase()))
    }
}

/// The selection.
#[derive(Clone, Debug)]
pub struct Layout {
    types: Vec<TypeLayout>,
    attributes: Vec<String>,
}

impl Layout {
    /// Lays out a selection.
    ///
    /// # Errors
    /// When the settings name types, and none of them is selected.
    pub fn new(selection: &Selection, settings: &AdSettings) -> Result<Self, ConnectorError> {
        let wanted = |name: &str| {
            settings.object_types.is_empty()
                || settings.object_types.iter().any(|own| own.eq_ignore_ascii_case(name))
        };
        let mut types = Vec::new();
        let mut attributes = BTreeSet::new();
        for selected in selection.types.iter().filter(|selected| wanted(&selected.name)) {
            let mut by_name = HashMap::new();
            let mut links = Vec::new();
            for attribute in selected.attributes.iter().filter(|attribute| is_in_deltas(&attribute.name)) {
                attributes.insert(attribute.name.to_ascii_lowercase());
                let slot = Slot { id: attribute.id, name: attribute.name.clone(), kind: attribute.kind };
                if attribute.kind == AttributeType::Reference {
                    links.push(slot.clone());
                }
                by_name.insert(attribute.name.to_ascii_lowercase(), slot.clone());
                by_name.insert(attribute.name.clone(), slot);
            }
            types.push(TypeLayout { id: selected.id, name: selected.name.clone(), by_name, links });
        }
        if types.is_empty() {
            return Err(configuration("AD-NO-TYPE", "setting `object_types`", "no object type is selected")
                .hint("name types that rules read, such as `user` and `group`"));
        }
        Ok(Self { types, attributes: attributes.into_iter().collect() })
    }

    /// The type of an object with these classes, where it is selected.
    pub fn type_of<'c>(&self, classes: impl Iterator<Item = &'c [u8]> + Clone) -> Option<&TypeLayout> {
        let has = |name: &str| classes.clone().any(|class| class.eq_ignore_ascii_case(name.as_bytes()));
        match SPECIAL_FIRST.into_iter().find(|name| has(name)) {
            Some(name) => self.types.iter().find(|known| known.name.eq_ignore_ascii_case(name)),
            None => self.types.iter().find(|known| has(&known.name)),
        }
    }

    /// Selected link attributes from which the directory takes a deleted object without a word.
    pub fn dropped_links(&self) -> Vec<AttrId> {
        let linked = |slot: &&Slot| !NOT_LINKED.iter().any(|name| name.eq_ignore_ascii_case(&slot.name));
        let all = self.types.iter().flat_map(|known| &known.links).filter(linked).map(|slot| slot.id);
        all.collect::<BTreeSet<_>>().into_iter().collect()
    }

    /// Selected attributes, and what every object is asked for.
    pub fn attributes(&self) -> Vec<String> {
        let mut all = self.attributes.clone();
        for name in ["objectguid", "objectclass"] {
            if !all.iter().any(|known| known == name) {
                all.push(name.to_owned());
            }
        }
        all
    }

    /// What DirSync is asked for: what tells new, renamed, moved, deleted and restored objects, too.
    pub fn delta_attributes(&self) -> Vec<String> {
        let mut all = self.attributes();
        for name in ["name", "isdeleted"] {
            if !all.iter().any(|known| known == name) {
                all.push(name.to_owned());
            }
        }
        all
    }

    /// Matches objects of the selected types.
    pub fn filter(&self) -> Filter {
        Filter::Or(self.types.iter().map(|known| class_filter(&known.name)).collect())
    }

    /// Matches objects of the selected types and containers. By class only: deleted objects keep nothing else.
    pub fn delta_filter(&self) -> Filter {
        Filter::Or(
            self.types.iter().map(|known| class_filter(&known.name)).chain([container_filter()]).collect(),
        )
    }

    /// Identifies what is selected: a change of it makes a watermark useless.
    pub fn hash(&self, settings: &AdSettings) -> String {
        let mut parts = vec![format!("{:?}", (&settings.include, &settings.exclude, settings.include_below))];
        for known in &self.types {
            let mut names: Vec<_> = known
                .by_name
                .iter()
                .map(|(name, slot)| format!("{name}:{}:{:?}", slot.id, slot.kind))
                .collect();
            names.sort_unstable();
            parts.push(format!("{}:{}:{}", known.name, known.id, names.join(",")));
        }
        parts.sort_unstable();
        format!("{:?}", hash128(&[parts.join("\n").as_bytes()]))
    }
}

/// Matches containers.
pub fn container_filter() -> Filter {
    Filter::Or(CONTAINER_CLASSES.iter().map(|name| is_of(name)).collect())
}

/// Whether an entry is of a container.
pub fn is_container(entry: &onesync_ldap::Entry) -> bool {
    entry
        .values("objectClass")
        .any(|class| CONTAINER_CLASSES.iter().any(|name| class.eq_ignore_ascii_case(name.as_bytes())))
}

fn is_of(class: &str) -> Filter {
    Filter::equal("objectClass", class.as_bytes().to_vec())
}

/// Computers and inetOrgPersons are users to the directory, not to people.
fn class_filter(name: &str) -> Filter {
    let not = |class: &str| Filter::Not(Box::new(is_of(class)));
    if name.eq_ignore_ascii_case("user") {
        Filter::And(vec![is_of(name), not("computer"), not("inetOrgPerson")])
    } else {
        is_of(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{SelectedAttribute, SelectedType};

    fn selection() -> Selection {
        let attribute = |id, name: &str, kind| SelectedAttribute {
            id: AttrId(id),
            name: name.to_owned(),
            kind,
            multi: true,
        };
        let types = [("user", 1), ("group", 2)].map(|(name, id)| SelectedType {
            id: TypeId(id),
            name: name.to_owned(),
            attributes: vec![
                attribute(3, "member", AttributeType::Reference),
                attribute(4, "givenName", AttributeType::String),
                attribute(5, "memberOf", AttributeType::Reference),
            ],
        });
        Selection { types: types.into() }
    }

    fn settings(more: &str) -> AdSettings {
        toml::from_str(&format!("url = \"ldap://dc1\"\nbind = \"b\"\npassword = \"p\"\n{more}")).unwrap()
    }

    #[test]
    fn the_most_special_class_decides_the_type() {
        let layout = Layout::new(&selection(), &settings("")).unwrap();
        let type_of =
            |classes: &[&'static str]| layout.type_of(classes.iter().map(|c| c.as_bytes())).map(|t| t.id);
        assert_eq!(type_of(&["top", "person", "USER"]), Some(TypeId(1)));
        assert_eq!(type_of(&["top", "group"]), Some(TypeId(2)));
        assert_eq!(type_of(&["top", "person", "user", "computer"]), None);
        assert_eq!(type_of(&["top", "person", "user", "inetOrgPerson"]), None);
    }

    #[test]
    fn attributes_without_deltas_are_left_out() {
        let layout = Layout::new(&selection(), &settings("")).unwrap();
        assert_eq!(layout.attributes(), ["givenname", "member", "objectguid", "objectclass"]);
        assert_eq!(
            layout.filter().to_string(),
            "(|(&(objectClass=user)(!(objectClass=computer))(!(objectClass=inetOrgPerson)))(objectClass=group))"
        );
    }

    #[test]
    fn another_selection_has_another_hash() {
        let hash = |selection: &Selection, more| {
            Layout::new(selection, &settings(more)).unwrap().hash(&settings(more))
        };
        let plain = hash(&selection(), "");
        assert_eq!(plain, hash(&selection(), "page_size = 7"));
        for more in ["include = [\"OU=a\"]", "include_below = false", "object_types = [\"group\"]"] {
            assert_ne!(plain, hash(&selection(), more), "{more}");
        }
        let mut fewer = selection();
        fewer.types[0].attributes.remove(1);
        assert_ne!(plain, hash(&fewer, ""));
        assert!(Layout::new(&selection(), &settings("object_types = [\"contact\"]")).is_err());
    }
}
