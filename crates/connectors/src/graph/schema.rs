//! What this connector reads and writes in a tenant: object types, attributes, where they lie in the service's JSON.
//!
//! Written down, not discovered: Graph describes far more than a synchronisation may touch. Nested properties are
//! flattened to plain names. Deliberately absent: passwords, licences, everything kept in Exchange or SharePoint.

use std::collections::HashMap;

use onesync_model::{AttrId, AttributeType, Names, Obstacle, TypeId, Value};

use super::dialect;
use super::settings::{AttributeNames, GraphSettings};
use crate::{DiscoveredAttribute, DiscoveredSchema, DiscoveredType};

/// The object types.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Kind {
    User,
    Group,
    /// Mail-enabled security groups and distribution groups: readable only.
    MailGroup,
    Contact,
    /// Neither read nor written; rules of the original compute it.
    Device,
}

impl Kind {
    pub(super) const ALL: [Self; 5] = [Self::User, Self::Group, Self::MailGroup, Self::Contact, Self::Device];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Group => "group",
            Self::MailGroup => "mailGroup",
            Self::Contact => "orgContact",
            Self::Device => "device",
        }
    }

    /// The collection its objects are in.
    pub(super) fn set(self) -> &'static str {
        match self {
            Self::User => "users",
            Self::Group | Self::MailGroup => "groups",
            Self::Contact => "contacts",
            Self::Device => "devices",
        }
    }

    fn bit(self) -> u8 {
        match self {
            Self::User => U,
            Self::Group => G,
            Self::MailGroup => M,
            Self::Contact => C,
            Self::Device => D,
        }
    }

    fn required(self) -> &'static [&'static str] {
        match self {
            Self::User => &["accountEnabled", "displayName", "userPrincipalName"],
            Self::Group => &["displayName", UNIQUE_NAME],
            Self::MailGroup | Self::Contact | Self::Device => &[],
        }
    }

    /// Attributes that the service lets nobody empty, by their names in Graph.
    pub(super) fn never_empty(self) -> &'static [&'static str] {
        match self {
            Self::User => {
                &["accountEnabled", "displayName", "mailNickname", "usageLocation", "userPrincipalName"]
            }
            Self::Group => &["displayName", "mailEnabled", "mailNickname", "securityEnabled"],
            Self::MailGroup | Self::Contact | Self::Device => &[],
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
const D: u8 = 16;

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
    /// The id behind its object type, as the original writes it: `User_...`.
    CloudAnchor,
    /// Whether nobody synchronises the object: it has no source anchor.
    CloudMastered,
    /// Graph has no such attribute: rules compute it, nobody reads or writes it.
    Nowhere,
}

/// One attribute of some object types.
#[derive(Clone, Debug)]
pub(super) struct Spec {
    /// Its name in Graph.
    pub(super) name: String,
    /// Its name in schema and rules.
    pub(super) shown: String,
    pub(super) kind: AttributeType,
    pub(super) multi: bool,
    pub(super) case_exact: bool,
    pub(super) read_only: bool,
    pub(super) length_max: Option<usize>,
    pub(super) place: Place,
    pub(super) types: u8,
}

impl Spec {
    pub(super) fn new(name: &str, types: u8) -> Self {
        Self {
            name: name.to_owned(),
            shown: name.to_owned(),
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
            Place::CloudAnchor => "id",
            Place::CloudMastered if self.is_of(U) => IMMUTABLE_ID,
            Place::CloudMastered if self.is_of(G | M) => UNIQUE_NAME,
            Place::CloudMastered => "onPremisesSyncEnabled",
            Place::Plain | Place::Single | Place::GroupAnchor | Place::Link | Place::Nowhere => &self.name,
        }
    }

    /// Whether one of these types has it.
    pub(super) fn is_of(&self, types: u8) -> bool {
        self.types & types != 0
    }

    /// The same, for those of its types that are among `types`.
    pub(super) fn of_types(&self, types: u8) -> Self {
        Self { types: self.types & types, ..self.clone() }
    }

    /// The same, for the types that are left; `None` when there are none.
    pub(super) fn without_types(self, types: u8) -> Option<Self> {
        let types = self.types & !types;
        (types != 0).then_some(Self { types, ..self })
    }

    pub(super) fn is_link(&self) -> bool {
        self.place == Place::Link
    }
}

/// All attributes, with the ids under which the service knows them.
pub(super) struct Table {
    specs: Vec<Spec>,
    dialect: AttributeNames,
    types: Vec<(Kind, TypeId)>,
    by_id: HashMap<AttrId, String>,
    /// The directory extension that holds source anchors of groups where `uniqueName` cannot.
    pub(super) anchor_extension: String,
}

impl Table {
    /// The table for one application; its names get their ids.
    pub(super) fn new(settings: &GraphSettings, names: &mut Names) -> Self {
        let dialect = settings.names;
        let mut specs = specs(&settings.extension_attributes);
        if dialect == AttributeNames::EntraConnect {
            let computed: Vec<_> = settings.computed.iter().map(|(n, a)| (n.clone(), *a)).collect();
            specs = dialect::specs(specs, &computed);
        }
        let by_id = specs.iter().map(|s| (names.intern(&s.shown), s.shown.clone())).collect();
        let types = kinds(dialect).map(|k| (k, names.intern_type(type_name(dialect, k)))).collect();
        let app = settings.client_id.replace('-', "").to_ascii_lowercase();
        Self { specs, dialect, types, by_id, anchor_extension: format!("extension_{app}_{ANCHOR_EXTENSION}") }
    }

    pub(super) fn kind(&self, id: TypeId) -> Option<Kind> {
        self.types.iter().find(|(_, t)| *t == id).map(|(kind, _)| *kind)
    }

    pub(super) fn name(&self, id: AttrId) -> Option<&str> {
        self.by_id.get(&id).map(String::as_str)
    }

    pub(super) fn spec(&self, kind: Kind, name: &str) -> Option<&Spec> {
        self.specs.iter().find(|s| s.types & kind.bit() != 0 && s.shown.eq_ignore_ascii_case(name))
    }

    /// The name in schema and rules of what Graph calls so.
    pub(super) fn shown(&self, kind: Kind, name: &str) -> String {
        let spec = self.specs.iter().find(|s| s.types & kind.bit() != 0 && s.name == name);
        spec.map_or(name, |spec| &spec.shown).to_owned()
    }

    /// What makes a group of the original's rules one that Graph lets nobody create: mail, or no security. With
    /// Graph's own names mail-enabled groups are a type of their own.
    pub(super) fn mail_enabled(&self) -> Vec<(String, Obstacle)> {
        if self.dialect == AttributeNames::Graph {
            return Vec::new();
        }
        vec![
            ("mail".to_owned(), Obstacle::Contains("@".to_owned())),
            ("proxyAddresses".to_owned(), Obstacle::StartsWith("SMTP:".to_owned())),
            ("securityEnabled".to_owned(), Obstacle::OtherThan(Value::Boolean(true))),
        ]
    }

    /// The object types as schema and rules name them.
    pub(super) fn type_name(&self, kind: Kind) -> &'static str {
        type_name(self.dialect, kind)
    }

    /// As the trait wants it.
    pub(super) fn discovered(&self) -> DiscoveredSchema {
        let mut types: Vec<DiscoveredType> = Vec::new();
        for kind in kinds(self.dialect) {
            if types.iter().any(|known| known.name == self.type_name(kind)) {
                continue; // mail groups are groups in the original
            }
            let of_type = || self.specs.iter().filter(|s| s.types & kind.bit() != 0);
            let writable_elsewhere =
                |spec: &Spec| self.specs.iter().any(|other| other.shown == spec.shown && !other.read_only);
            types.push(DiscoveredType {
                name: self.type_name(kind).to_owned(),
                attributes: of_type().map(|s| s.shown.clone()).collect(),
                required: kind.required().iter().map(|n| self.shown(kind, n)).collect(),
                writable: kind.writable(),
                read_only: of_type()
                    .filter(|s| s.read_only && writable_elsewhere(s))
                    .map(|s| s.shown.clone())
                    .collect(),
                never_empty: kind.never_empty().iter().map(|n| self.shown(kind, n)).collect(),
            });
        }
        let mut attributes: Vec<DiscoveredAttribute> = Vec::new();
        for spec in &self.specs {
            // The same attribute of another type: one definition for all, that of the type where it can be written.
            if let Some(known) = attributes.iter_mut().find(|a| a.name == spec.shown) {
                known.read_only &= spec.read_only;
                continue;
            }
            attributes.push(DiscoveredAttribute {
                name: spec.shown.clone(),
                kind: spec.kind,
                multi: spec.multi,
                case_exact: spec.case_exact,
                read_only: spec.read_only,
                length_max: spec.length_max,
            });
        }
        DiscoveredSchema { types, attributes }
    }
}

fn kinds(dialect: AttributeNames) -> impl Iterator<Item = Kind> {
    Kind::ALL.into_iter().filter(move |kind| *kind != Kind::Device || dialect == AttributeNames::EntraConnect)
}

fn type_name(dialect: AttributeNames, kind: Kind) -> &'static str {
    match dialect {
        AttributeNames::Graph => kind.name(),
        AttributeNames::EntraConnect => dialect::type_name(kind),
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
            assert!(t.never_empty.iter().all(|r| t.attributes.contains(r)));
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
