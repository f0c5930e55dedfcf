//! The properties the simulator knows: type, length, who may write, how it may be filtered.
//!
//! Hand-written from the property texts of the official SDK; the OpenAPI subset judges it in tests.
//! Deliberately absent: properties of services outside the directory (mailbox, SharePoint), which answer 501.

use std::collections::HashMap;
use std::sync::OnceLock;

use serde::{Deserialize, Serialize};

/// A kind of directory object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Kind {
    /// A user.
    User,
    /// A group of any sort.
    Group,
    /// An organisational contact: readable only.
    OrgContact,
    /// A device.
    Device,
    /// An activated directory role.
    DirectoryRole,
    /// An application registration.
    Application,
    /// The service principal of an application.
    ServicePrincipal,
}

/// Number of kinds, the length of the per-kind tables.
pub(crate) const KINDS: usize = 7;

impl Kind {
    /// All kinds, in the order of their tables.
    pub(crate) const ALL: [Kind; KINDS] = [
        Kind::User,
        Kind::Group,
        Kind::OrgContact,
        Kind::Device,
        Kind::DirectoryRole,
        Kind::Application,
        Kind::ServicePrincipal,
    ];

    /// The OData type name, without the leading `#`.
    pub(crate) fn odata(self) -> &'static str {
        match self {
            Kind::User => "microsoft.graph.user",
            Kind::Group => "microsoft.graph.group",
            Kind::OrgContact => "microsoft.graph.orgContact",
            Kind::Device => "microsoft.graph.device",
            Kind::DirectoryRole => "microsoft.graph.directoryRole",
            Kind::Application => "microsoft.graph.application",
            Kind::ServicePrincipal => "microsoft.graph.servicePrincipal",
        }
    }

    /// The entity set, as it stands in a path and in `@odata.context`.
    pub(crate) fn set(self) -> &'static str {
        match self {
            Kind::User => "users",
            Kind::Group => "groups",
            Kind::OrgContact => "contacts",
            Kind::Device => "devices",
            Kind::DirectoryRole => "directoryRoles",
            Kind::Application => "applications",
            Kind::ServicePrincipal => "servicePrincipals",
        }
    }

    /// The name messages use for the resource.
    pub(crate) fn resource(self) -> &'static str {
        match self {
            Kind::User => "User",
            Kind::Group => "Group",
            Kind::OrgContact => "Contact",
            Kind::Device => "Device",
            Kind::DirectoryRole => "DirectoryRole",
            Kind::Application => "Application",
            Kind::ServicePrincipal => "ServicePrincipal",
        }
    }

    /// Reads a type cast segment or a `types` value: `microsoft.graph.user`, `graph.user`, `user`.
    pub(crate) fn from_cast(text: &str) -> Option<Kind> {
        let text = text.trim_start_matches('#');
        let name =
            text.strip_prefix("microsoft.graph.").or_else(|| text.strip_prefix("graph.")).unwrap_or(text);
        Kind::ALL
            .into_iter()
            .find(|k| k.odata().rsplit('.').next().is_some_and(|n| n.eq_ignore_ascii_case(name)))
    }

    /// Reads an entity set segment.
    pub(crate) fn from_set(text: &str) -> Option<Kind> {
        Kind::ALL.into_iter().find(|k| k.set().eq_ignore_ascii_case(text))
    }

    /// The index of this kind in per-kind tables.
    pub(crate) fn at(self) -> usize {
        self as usize
    }
}

/// The type of a property.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ty {
    Str,
    Bool,
    Int,
    Date,
    Strs,
    Obj,
    Objs,
}

/// Who may write a property.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    Write,
    Create,
    Read,
}

/// One property of one kind.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PropDef {
    pub(crate) name: &'static str,
    pub(crate) ty: Ty,
    /// Longest value in characters; 0 is no limit of its own.
    pub(crate) max: usize,
    pub(crate) access: Access,
    /// In the answer without `$select`.
    pub(crate) default: bool,
    /// On a role holder only a highly privileged application may write it.
    pub(crate) sensitive: bool,
    /// Filters on it need the advanced query mode.
    pub(crate) advanced: bool,
    /// Kept outside the directory: `$select` on a list answers 501.
    pub(crate) elsewhere: bool,
}

const fn p(name: &'static str, ty: Ty, max: usize) -> PropDef {
    PropDef {
        name,
        ty,
        max,
        access: Access::Write,
        default: false,
        sensitive: false,
        advanced: false,
        elsewhere: false,
    }
}

const fn ro(mut d: PropDef) -> PropDef {
    d.access = Access::Read;
    d
}

const fn once(mut d: PropDef) -> PropDef {
    d.access = Access::Create;
    d
}

const fn def(mut d: PropDef) -> PropDef {
    d.default = true;
    d
}

const fn sens(mut d: PropDef) -> PropDef {
    d.sensitive = true;
    d
}

const fn adv(mut d: PropDef) -> PropDef {
    d.advanced = true;
    d
}

const fn away(mut d: PropDef) -> PropDef {
    d.elsewhere = true;
    d
}

use Ty::{Bool, Date, Int, Obj, Objs, Str, Strs};

const USER: &[PropDef] = &[
    def(ro(p("id", Str, 0))),
    ro(p("deletedDateTime", Date, 0)),
    away(p("aboutMe", Str, 0)),
    sens(p("accountEnabled", Bool, 0)),
    p("ageGroup", Str, 0),
    p("assignedLicenses", Objs, 0),
    ro(p("assignedPlans", Objs, 0)),
    away(p("birthday", Date, 0)),
    def(sens(p("businessPhones", Strs, 64))),
    p("city", Str, 128),
    adv(p("companyName", Str, 64)),
    p("consentProvidedForMinor", Str, 0),
    p("country", Str, 128),
    ro(p("createdDateTime", Date, 0)),
    ro(p("creationType", Str, 0)),
    p("department", Str, 64),
    def(p("displayName", Str, 256)),
    p("employeeHireDate", Date, 0),
    p("employeeId", Str, 16),
    p("employeeLeaveDateTime", Date, 0),
    p("employeeOrgData", Obj, 0),
    adv(p("employeeType", Str, 0)),
    ro(p("externalUserState", Str, 0)),
    ro(p("externalUserStateChangeDateTime", Date, 0)),
    p("faxNumber", Str, 0),
    def(p("givenName", Str, 64)),
    away(p("hireDate", Date, 0)),
    p("identities", Objs, 0),
    ro(p("imAddresses", Strs, 0)),
    away(p("interests", Strs, 0)),
    ro(p("isManagementRestricted", Bool, 0)),
    p("isResourceAccount", Bool, 0),
    def(p("jobTitle", Str, 128)),
    ro(p("lastPasswordChangeDateTime", Date, 0)),
    ro(p("legalAgeGroupClassification", Str, 0)),
    ro(p("licenseAssignmentStates", Objs, 0)),
    def(p("mail", Str, 0)),
    p("mailNickname", Str, 64),
    def(sens(adv(p("mobilePhone", Str, 64)))),
    away(p("mySite", Str, 0)),
    def(adv(p("officeLocation", Str, 0))),
    adv(ro(p("onPremisesDistinguishedName", Str, 0))),
    adv(ro(p("onPremisesDomainName", Str, 0))),
    p("onPremisesExtensionAttributes", Obj, 1024),
    sens(p("onPremisesImmutableId", Str, 0)),
    ro(p("onPremisesLastSyncDateTime", Date, 0)),
    ro(p("onPremisesProvisioningErrors", Objs, 0)),
    adv(ro(p("onPremisesSamAccountName", Str, 0))),
    adv(ro(p("onPremisesSecurityIdentifier", Str, 0))),
    ro(p("onPremisesSyncEnabled", Bool, 0)),
    adv(ro(p("onPremisesUserPrincipalName", Str, 0))),
    sens(p("otherMails", Strs, 250)),
    p("passwordPolicies", Str, 0),
    sens(p("passwordProfile", Obj, 256)),
    away(p("pastProjects", Strs, 0)),
    adv(p("postalCode", Str, 40)),
    p("preferredDataLocation", Str, 0),
    def(p("preferredLanguage", Str, 0)),
    away(p("preferredName", Str, 0)),
    ro(p("provisionedPlans", Objs, 0)),
    ro(p("proxyAddresses", Strs, 0)),
    away(p("responsibilities", Strs, 0)),
    away(p("schools", Strs, 0)),
    ro(p("securityIdentifier", Str, 0)),
    ro(p("serviceProvisioningErrors", Objs, 0)),
    p("showInAddressList", Bool, 0),
    ro(p("signInSessionsValidFromDateTime", Date, 0)),
    away(p("skills", Strs, 0)),
    p("state", Str, 128),
    p("streetAddress", Str, 1024),
    def(p("surname", Str, 64)),
    p("usageLocation", Str, 2),
    def(sens(p("userPrincipalName", Str, 113))),
    p("userType", Str, 0),
];

const GROUP: &[PropDef] = &[
    def(ro(p("id", Str, 0))),
    def(ro(p("deletedDateTime", Date, 0))),
    p("allowExternalSenders", Bool, 0),
    ro(p("assignedLicenses", Objs, 0)),
    p("autoSubscribeNewMembers", Bool, 0),
    def(p("classification", Str, 0)),
    def(ro(p("createdDateTime", Date, 0))),
    def(p("description", Str, 1024)),
    def(p("displayName", Str, 256)),
    def(ro(p("expirationDateTime", Date, 0))),
    def(p("groupTypes", Strs, 0)),
    adv(ro(p("hasMembersWithLicenseErrors", Bool, 0))),
    p("hideFromAddressLists", Bool, 0),
    p("hideFromOutlookClients", Bool, 0),
    def(once(p("isAssignableToRole", Bool, 0))),
    ro(p("isManagementRestricted", Bool, 0)),
    p("isSubscribedByMail", Bool, 0),
    def(ro(p("mail", Str, 0))),
    def(p("mailEnabled", Bool, 0)),
    def(p("mailNickname", Str, 64)),
    def(p("membershipRule", Str, 3072)),
    def(p("membershipRuleProcessingState", Str, 0)),
    def(ro(p("onPremisesDomainName", Str, 0))),
    p("onPremisesExtensionAttributes", Obj, 1024),
    def(ro(p("onPremisesLastSyncDateTime", Date, 0))),
    def(ro(p("onPremisesNetBiosName", Str, 0))),
    def(ro(p("onPremisesProvisioningErrors", Objs, 0))),
    def(ro(p("onPremisesSamAccountName", Str, 0))),
    def(ro(p("onPremisesSecurityIdentifier", Str, 0))),
    def(ro(p("onPremisesSyncEnabled", Bool, 0))),
    def(p("preferredDataLocation", Str, 0)),
    def(p("preferredLanguage", Str, 0)),
    def(ro(p("proxyAddresses", Strs, 0))),
    def(ro(p("renewedDateTime", Date, 0))),
    def(p("resourceBehaviorOptions", Strs, 0)),
    def(p("resourceProvisioningOptions", Strs, 0)),
    def(p("securityEnabled", Bool, 0)),
    def(ro(p("securityIdentifier", Str, 0))),
    ro(p("serviceProvisioningErrors", Objs, 0)),
    def(p("theme", Str, 0)),
    once(p("uniqueName", Str, 0)),
    p("unseenCount", Int, 0),
    def(p("visibility", Str, 0)),
];

const CONTACT: &[PropDef] = &[
    def(ro(p("id", Str, 0))),
    def(ro(p("deletedDateTime", Date, 0))),
    def(ro(p("addresses", Objs, 0))),
    def(ro(p("companyName", Str, 0))),
    def(ro(p("department", Str, 0))),
    def(ro(p("displayName", Str, 256))),
    def(ro(p("givenName", Str, 0))),
    def(ro(p("jobTitle", Str, 0))),
    def(ro(p("mail", Str, 0))),
    def(ro(p("mailNickname", Str, 0))),
    def(ro(p("onPremisesLastSyncDateTime", Date, 0))),
    def(ro(p("onPremisesSyncEnabled", Bool, 0))),
    def(ro(p("phones", Objs, 0))),
    def(ro(p("proxyAddresses", Strs, 0))),
    def(ro(p("surname", Str, 0))),
];

const DEVICE: &[PropDef] = &[
    def(ro(p("id", Str, 0))),
    def(ro(p("deletedDateTime", Date, 0))),
    def(p("accountEnabled", Bool, 0)),
    def(once(p("deviceId", Str, 36))),
    def(p("displayName", Str, 256)),
    def(p("operatingSystem", Str, 0)),
    def(p("operatingSystemVersion", Str, 0)),
    ro(p("trustType", Str, 0)),
    ro(p("onPremisesSyncEnabled", Bool, 0)),
];

const ROLE: &[PropDef] = &[
    def(ro(p("id", Str, 0))),
    def(ro(p("deletedDateTime", Date, 0))),
    def(ro(p("description", Str, 0))),
    def(ro(p("displayName", Str, 256))),
    def(ro(p("roleTemplateId", Str, 0))),
];

const APPLICATION: &[PropDef] = &[
    def(ro(p("id", Str, 0))),
    def(ro(p("deletedDateTime", Date, 0))),
    def(ro(p("appId", Str, 0))),
    def(ro(p("createdDateTime", Date, 0))),
    def(p("description", Str, 1024)),
    def(p("displayName", Str, 256)),
    def(p("identifierUris", Strs, 0)),
    def(p("notes", Str, 1024)),
    def(ro(p("passwordCredentials", Objs, 0))),
    def(p("signInAudience", Str, 0)),
    def(p("tags", Strs, 0)),
    once(p("uniqueName", Str, 0)),
];

const SERVICE_PRINCIPAL: &[PropDef] = &[
    def(ro(p("id", Str, 0))),
    def(ro(p("deletedDateTime", Date, 0))),
    def(p("accountEnabled", Bool, 0)),
    def(ro(p("appDisplayName", Str, 256))),
    def(ro(p("appId", Str, 0))),
    def(ro(p("appRoles", Objs, 0))),
    def(p("displayName", Str, 0)),
    def(ro(p("servicePrincipalNames", Strs, 0))),
    def(ro(p("servicePrincipalType", Str, 0))),
    def(p("tags", Strs, 0)),
];

/// All properties of a kind.
pub(crate) fn props(kind: Kind) -> &'static [PropDef] {
    match kind {
        Kind::User => USER,
        Kind::Group => GROUP,
        Kind::OrgContact => CONTACT,
        Kind::Device => DEVICE,
        Kind::DirectoryRole => ROLE,
        Kind::Application => APPLICATION,
        Kind::ServicePrincipal => SERVICE_PRINCIPAL,
    }
}

/// Finds a property of a kind; names compare without case, as the service does.
pub(crate) fn find(kind: Kind, name: &str) -> Option<&'static PropDef> {
    type Tables = Vec<HashMap<String, &'static PropDef>>;
    static TABLES: OnceLock<Tables> = OnceLock::new();
    let tables = TABLES.get_or_init(|| {
        let table = |k: Kind| {
            let exact = props(k).iter().map(|d| (d.name.to_owned(), d));
            exact.chain(props(k).iter().map(|d| (d.name.to_ascii_lowercase(), d))).collect()
        };
        Kind::ALL.into_iter().map(table).collect()
    });
    let table = tables.get(kind.at())?;
    table.get(name).or_else(|| table.get(&name.to_ascii_lowercase())).copied()
}

/// True for a directory-extension property name.
pub(crate) fn is_extension(name: &str) -> bool {
    name.starts_with("extension_")
}

/// Properties with an index over their values, so that filters and key lookups need no scan.
pub(crate) fn is_indexed(name: &str) -> bool {
    matches!(
        name,
        "userPrincipalName"
            | "mail"
            | "onPremisesImmutableId"
            | "employeeId"
            | "mailNickname"
            | "uniqueName"
            | "proxyAddresses"
            | "appId"
            | "deviceId"
            | "roleTemplateId"
    ) || is_extension(name)
}
