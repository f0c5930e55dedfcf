//! What this connector reads and writes in a tenant: object types, attributes, where they lie in the service's JSON.
//!
//! Written down, not discovered: Graph describes far more than a synchronisation may touch. Nested properties are
//! flattened to plain names. Deliberately absent: passwords, licences, everything kept in Exchange or SharePoint.

use std::collections::HashMap;

use onesync_model::{AttrId, AttributeType, Names, TypeId};

use super::settings::GraphSettings;
use crate::{DiscoveredAttribute, DiscoveredSchema, DiscoveredType};

/// The object types.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Kind {
    User,
    Group,
    /// Mail-enabled security groups and distribution groups: readable only.
    MailGroup,
    Contact,
}

impl Kind {
    pub(super) const ALL: [Self; 4] = [Self::User, Self::Group, Self::MailGroup, Self::Contact];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Group => "group",
            Self::MailGroup => "mailGroup",
            Self::Contact => "orgContact",
        }
    }

    /// The collection its objects are in.
    pub(super) fn set(self) -> &'static str {
        match self {
            Self::User => "users",
            Self::Group | Self::MailGroup => "groups",
            Self::Contact => "contacts",
        }
    }

    fn bit(self) -> u8 {
        match self {
            Self::User => U,
            Self::Group => G,
            Self::MailGroup => M,
            Self::Contact => C,
        }
    }

    fn required(self) -> &'static [&'static str] {
        match self {
            Self::User => &["accountEnabled", "displayName", "userPrincipalName"],
            Self::Group => &["displayName", UNIQUE_NAME],
            Self::MailGroup | Self::Contact => &[],
        }
    }

    fn writable(self) -> bool {
        matches!(self, Self::User | Self::Group)
    }
}

const U: u8 = 1;
const G: u8 = 2;
const M: u8 = 4;
const C: u8 = 8;

/// The attribute that holds a group's source anchor, whatever keeps it in the tenant.
pub(super) const UNIQUE_NAME: &str = "uniqueName";
/// The attribute that holds a user's source anchor.
pub(super) const IMMUTABLE_ID: &str = "onPremisesImmutableId";

/// Where an attribute lies in an object's JSON.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// A property.
    Plain,
    /// A property of a property.
    Nested(&'static str),
    /// The one element of a collection that may hold only one.
    Single,
    /// A group's source anchor.
    GroupAnchor,
    /// A phone of a contact, by its type.
    Phone(&'static str),
    /// A field of a contact's address.
    Address(&'static str),
    /// A navigation property: links.
    Link,
}

/// One attribute of some object types.
#[derive(Clone, Debug)]
pub(super) struct Spec {
    pub(super) name: String,
    pub(super) kind: AttributeType,
    pub(super) multi: bool,
    case_exact: bool,
    pub(super) read_only: bool,
    length_max: Option<usize>,
    pub(super) place: Place,
    types: u8,
}

impl Spec {
    fn new(name: &str, types: u8) -> Self {
        Self {
            name: name.to_owned(),
            kind: AttributeType::String,
            multi: false,
            case_exact: true,
            read_only: false,
            length_max: None,
            place: Place::Plain,
            types,
        }
    }

    /// The property to ask for with `$select`.
    pub(super) fn property(&self) -> &str {
        match self.place {
            Place::Nested(parent) => parent,
            Place::Phone(_) => "phones",
            Place::Address(_) => "addresses",
            Place::Plain | Place::Single | Place::GroupAnchor | Place::Link => &self.name,
        }
    }

    pub(super) fn is_link(&self) -> bool {
        self.place == Place::Link
    }
}

/// All attributes, with the ids under which the service knows them.
pub(super) struct Table {
    specs: Vec<Spec>,
    types: Vec<(Kind, TypeId)>,
    by_id: HashMap<AttrId, String>,
    /// The directory extension that holds source anchors of groups where `uniqueName` cannot.
    pub(super) anchor_extension: String,
}

impl Table {
    /// The table for one application; its names get their ids.
    pub(super) fn new(settings: &GraphSettings, names: &mut Names) -> Self {
        let specs = specs(&settings.extension_attributes);
        let by_id = specs.iter().map(|s| (names.intern(&s.name), s.name.clone())).collect();
        let types = Kind::ALL.into_iter().map(|k| (k, names.intern_type(k.name()))).collect();
        let app = settings.client_id.replace('-', "").to_ascii_lowercase();
        Self { specs, types, by_id, anchor_extension: format!("extension_{app}_{ANCHOR_EXTENSION}") }
    }

    pub(super) fn kind(&self, id: TypeId) -> Option<Kind> {
        self.types.iter().find(|(_, t)| *t == id).map(|(kind, _)| *kind)
    }

    pub(super) fn name(&self, id: AttrId) -> Option<&str> {
        self.by_id.get(&id).map(String::as_str)
    }

    pub(super) fn spec(&self, kind: Kind, name: &str) -> Option<&Spec> {
        self.specs.iter().find(|s| s.types & kind.bit() != 0 && s.name.eq_ignore_ascii_case(name))
    }

    /// As the trait wants it.
    pub(super) fn discovered(&self) -> DiscoveredSchema {
        let types = Kind::ALL.map(|kind| DiscoveredType {
            name: kind.name().to_owned(),
            attributes: self
                .specs
                .iter()
                .filter(|s| s.types & kind.bit() != 0)
                .map(|s| s.name.clone())
                .collect(),
            required: kind.required().iter().map(|&n| n.to_owned()).collect(),
            writable: kind.writable(),
        });
        let mut attributes: Vec<DiscoveredAttribute> = Vec::new();
        for spec in &self.specs {
            if attributes.iter().any(|a| a.name == spec.name) {
                continue; // the same attribute of another type: one definition for all
            }
            attributes.push(DiscoveredAttribute {
                name: spec.name.clone(),
                kind: spec.kind,
                multi: spec.multi,
                case_exact: spec.case_exact,
                read_only: spec.read_only,
                length_max: spec.length_max,
            });
        }
        DiscoveredSchema { types: types.into(), attributes }
    }
}

/// Last part of the name of the directory extension for source anchors of groups.
pub(super) const ANCHOR_EXTENSION: &str = "sourceAnchor";

fn specs(extensions: &[String]) -> Vec<Spec> {
    let mut all = Vec::with_capacity(120);
    let read_only = |spec: Spec| Spec { read_only: true, ..spec };
    let folded = |spec: Spec| Spec { case_exact: false, ..spec };
    let multi = |spec: Spec| Spec { multi: true, ..spec };
    let max = |spec: Spec, length| Spec { length_max: Some(length), ..spec };
    let of = |spec: Spec, kind| Spec { kind, ..spec };
    let at = |spec: Spec, place| Spec { place, ..spec };
    let link = |name, multi, read_only, types| Spec {
        kind: AttributeType::Reference,
        place: Place::Link,
        multi,
        read_only,
        ..Spec::new(name, types)
    };

    all.push(folded(read_only(Spec::new("id", U | G | M | C))));
    // What every type has. Contacts and mail-enabled groups are readable only as types.
    all.push(max(Spec::new("displayName", U | G | M | C), 256));
    all.push(folded(Spec::new("mail", U)));
    all.push(folded(read_only(Spec::new("mail", G | M | C))));
    all.push(max(folded(Spec::new("mailNickname", U | G | M | C)), 64));
    all.push(multi(read_only(Spec::new("proxyAddresses", U | G | M | C))));

    // Users.
    all.push(max(folded(Spec::new("userPrincipalName", U)), 113));
    all.push(of(Spec::new("accountEnabled", U), AttributeType::Boolean));
    all.push(Spec::new(IMMUTABLE_ID, U));
    for (name, length) in [
        ("givenName", 64),
        ("surname", 64),
        ("department", 64),
        ("companyName", 64),
        ("mobilePhone", 64),
        ("jobTitle", 128),
        ("city", 128),
        ("state", 128),
        ("country", 128),
        ("streetAddress", 1024),
        ("postalCode", 40),
        ("employeeId", 16),
    ] {
        all.push(max(Spec::new(name, U), length));
    }
    for name in
        ["officeLocation", "faxNumber", "employeeType", "userType", "ageGroup", "consentProvidedForMinor"]
    {
        all.push(Spec::new(name, U));
    }
    all.push(folded(Spec::new("preferredLanguage", U)));
    all.push(max(folded(Spec::new("usageLocation", U)), 2));
    all.push(of(Spec::new("employeeHireDate", U), AttributeType::Time));
    all.push(at(Spec::new("costCenter", U), Place::Nested("employeeOrgData")));
    all.push(at(Spec::new("division", U), Place::Nested("employeeOrgData")));
    all.push(max(at(Spec::new("businessPhones", U), Place::Single), 64));
    all.push(max(multi(folded(Spec::new("otherMails", U))), 250));
    for number in 1..=15 {
        let name = format!("extensionAttribute{number}");
        all.push(max(at(Spec::new(&name, U), Place::Nested("onPremisesExtensionAttributes")), 1024));
    }
    for name in [
        "onPremisesDistinguishedName",
        "onPremisesUserPrincipalName",
        "creationType",
        "externalUserState",
        "passwordPolicies",
    ] {
        all.push(read_only(Spec::new(name, U)));
    }
    all.push(multi(read_only(Spec::new("imAddresses", U))));
    all.push(link("manager", false, false, U));

    // Groups.
    all.push(max(Spec::new("description", G | M), 1024));
    all.push(of(Spec::new("mailEnabled", G | M), AttributeType::Boolean));
    all.push(of(Spec::new("securityEnabled", G | M), AttributeType::Boolean));
    all.push(multi(Spec::new("groupTypes", G | M)));
    all.push(Spec::new("visibility", G | M));
    all.push(Spec::new("classification", G | M));
    all.push(at(Spec::new(UNIQUE_NAME, G | M), Place::GroupAnchor));
    all.push(of(read_only(Spec::new("isAssignableToRole", G | M)), AttributeType::Boolean));
    all.push(read_only(Spec::new("onPremisesNetBiosName", G | M)));
    all.push(link("members", true, false, G | M));
    all.push(link("owners", true, true, G | M));

    // What a synchronisation on premises masters.
    for name in [
        "onPremisesDomainName",
        "onPremisesSamAccountName",
        "onPremisesSecurityIdentifier",
        "securityIdentifier",
    ] {
        all.push(folded(read_only(Spec::new(name, U | G | M))));
    }
    all.push(of(read_only(Spec::new("onPremisesSyncEnabled", U | G | M | C)), AttributeType::Boolean));
    all.push(of(read_only(Spec::new("onPremisesLastSyncDateTime", U | G | M | C)), AttributeType::Time));
    all.push(of(read_only(Spec::new("createdDateTime", U | G | M)), AttributeType::Time));

    // Contacts.
    for name in ["givenName", "surname", "companyName", "department", "jobTitle"] {
        all.push(Spec::new(name, C));
    }
    for (name, field) in [
        ("city", "city"),
        ("state", "state"),
        ("postalCode", "postalCode"),
        ("country", "countryOrRegion"),
        ("streetAddress", "street"),
        ("officeLocation", "officeLocation"),
    ] {
        all.push(at(Spec::new(name, C), Place::Address(field)));
    }
    for (name, kind) in
        [("mobilePhone", "mobile"), ("businessPhones", "business"), ("faxNumber", "businessFax")]
    {
        all.push(at(Spec::new(name, C), Place::Phone(kind)));
    }

    // Directory extensions named in the settings.
    for name in extensions {
        all.push(max(Spec::new(name, U | G | M), 256));
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let settings = GraphSettings::new("contoso.com", "5B0F4C7E-2f3a-4c55-9a57-6d2d8f0e1a22", "s");
        Table::new(&settings, &mut Names::new())
    }

    #[test]
    fn what_graph_lets_nobody_write_is_read_only() {
        let schema = table().discovered();
        let read_only = |name: &str| schema.attributes.iter().find(|a| a.name == name).unwrap().read_only;
        for name in ["proxyAddresses", "onPremisesSyncEnabled", "onPremisesSamAccountName", "id", "owners"] {
            assert!(read_only(name), "{name}");
        }
        for name in ["displayName", "onPremisesImmutableId", "manager", "members", "mail", "uniqueName"] {
            assert!(!read_only(name), "{name}");
        }
        let writable: Vec<_> = schema.types.iter().filter(|t| t.writable).map(|t| t.name.as_str()).collect();
        assert_eq!(writable, ["user", "group"]);
        for t in &schema.types {
            assert!(t.required.iter().all(|r| t.attributes.contains(r)));
        }
    }

    #[test]
    fn one_name_may_lie_in_different_places() {
        let table = table();
        assert_eq!(table.spec(Kind::User, "CITY").unwrap().place, Place::Plain);
        assert_eq!(table.spec(Kind::Contact, "city").unwrap().property(), "addresses");
        assert!(table.spec(Kind::Group, "city").is_none());
        assert_eq!(table.anchor_extension, "extension_5b0f4c7e2f3a4c559a576d2d8f0e1a22_sourceAnchor");
    }
}
