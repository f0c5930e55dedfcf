//! What a simulated tenant is made of, and which behaviours are switched on.
//!
//! All of it is data: builder, control plane and the standalone program read the same types. Everything beyond a
//! plain, quick, faultless tenant is off by default.

use serde::{Deserialize, Serialize};

/// A tenant: its identity, domains and application registrations.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TenantConfig {
    /// Tenant id, a GUID.
    pub id: String,
    /// Display name of the organisation.
    pub display_name: String,
    /// Domains; one of them is the default one.
    pub domains: Vec<DomainConfig>,
    /// True plays a tenant that Entra Connect serves already.
    pub on_premises_sync_enabled: Option<bool>,
    /// Applications that may sign in.
    pub applications: Vec<AppConfig>,
    /// Number of live objects the directory may hold; 0 is no limit.
    pub object_quota: usize,
}

/// A domain of a tenant.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DomainConfig {
    /// Domain name.
    pub name: String,
    /// Only verified domains may stand in a user principal name.
    pub verified: bool,
    /// The domain new objects get.
    pub default: bool,
    /// The `onmicrosoft.com` domain the tenant was born with.
    pub initial: bool,
    /// Federated domains ask for `onPremisesImmutableId`.
    pub federated: bool,
}

/// An application registration with its service principal.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct AppConfig {
    /// Application (client) id, a GUID.
    pub client_id: String,
    /// Display name.
    pub display_name: String,
    /// Client secrets.
    pub secrets: Vec<SecretConfig>,
    /// Certificates as PEM, for client assertions.
    pub certificates: Vec<String>,
    /// Granted application permissions, such as `User.ReadWrite.All`.
    pub roles: Vec<String>,
    /// Directory roles the service principal holds, such as `User Administrator`.
    pub directory_roles: Vec<String>,
}

/// A client secret.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SecretConfig {
    /// The secret.
    pub value: String,
    /// Millisecond since 1970 at which it expires.
    pub expires_ms: Option<i64>,
}

/// Id of the tenant unless one is given.
pub const DEFAULT_TENANT_ID: &str = "9c1f6f0a-5f3e-4d0e-8a53-2f1f6b7c0d11";
/// Client id of the registered application unless one is given.
pub const DEFAULT_CLIENT_ID: &str = "5b0f4c7e-2f3a-4c55-9a57-6d2d8f0e1a22";
/// Client secret of the registered application unless one is given.
pub const DEFAULT_CLIENT_SECRET: &str = "graphsim-secret";

/// Every permission the simulator checks: what the default application holds.
pub const ALL_ROLES: &[&str] = &[
    "Application.ReadWrite.All",
    "Device.ReadWrite.All",
    "Directory.Read.All",
    "Domain.Read.All",
    "Group.Create",
    "Group.ReadWrite.All",
    "GroupMember.ReadWrite.All",
    "OnPremDirectorySynchronization.Read.All",
    "Organization.Read.All",
    "OrgContact.Read.All",
    "RoleManagement.Read.Directory",
    "User.DeleteRestore.All",
    "User.ReadWrite.All",
];

impl Default for TenantConfig {
    fn default() -> TenantConfig {
        let domain = |name: &str| DomainConfig { name: name.to_owned(), ..DomainConfig::default() };
        TenantConfig {
            id: DEFAULT_TENANT_ID.to_owned(),
            display_name: "Contoso".to_owned(),
            domains: vec![
                DomainConfig { default: true, ..domain("contoso.com") },
                DomainConfig { initial: true, ..domain("contoso.onmicrosoft.com") },
            ],
            on_premises_sync_enabled: None,
            applications: vec![AppConfig::default()],
            object_quota: 0,
        }
    }
}

impl Default for DomainConfig {
    fn default() -> DomainConfig {
        DomainConfig { name: String::new(), verified: true, default: false, initial: false, federated: false }
    }
}

impl Default for AppConfig {
    fn default() -> AppConfig {
        AppConfig {
            client_id: DEFAULT_CLIENT_ID.to_owned(),
            display_name: "OneSync".to_owned(),
            secrets: vec![SecretConfig { value: DEFAULT_CLIENT_SECRET.to_owned(), expires_ms: None }],
            certificates: Vec::new(),
            roles: ALL_ROLES.iter().map(|r| (*r).to_owned()).collect(),
            directory_roles: Vec::new(),
        }
    }
}

/// How an expired delta token is answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ExpiredDelta {
    /// 410 Gone with `syncStateNotFound` and a `Location`.
    #[default]
    Gone,
    /// 400 with `syncStateNotFound`, no `Location`.
    BadRequest,
}

/// Switches of the tenant's behaviour.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Behaviours {
    /// `PATCH /groups(uniqueName='x')` with `Prefer: create-if-missing` creates; off: 404 as without the header.
    pub group_upsert: bool,
    /// `uniqueName` may stand in the body of `POST /groups`.
    pub unique_name_in_post: bool,
    /// Deleted security groups go to deleted items; off: they are gone at once, as older tenants do.
    pub security_group_soft_delete: bool,
    /// The answer of an expired delta token.
    pub expired_delta: ExpiredDelta,
    /// Objects on a delta page.
    pub delta_page: usize,
    /// Member references on a page of `groups/delta`, over all groups of the page.
    pub delta_members_page: usize,
    /// Reads of a new object by id (and references to it) that answer 404 first.
    pub blind_reads: u32,
    /// Milliseconds until a change shows in delta.
    pub delta_lag_ms: i64,
    /// Milliseconds until a new object shows in lists and searches.
    pub list_lag_ms: i64,
    /// Each read by id or of a list is answered by a replica that is up to this many milliseconds behind: it shows the
    /// values of properties as they were. Filters and links are those of now.
    pub read_lag_ms: i64,
    /// Throttling with the documented numbers times this factor; 0 is off.
    pub throttle_scale: f64,
    /// Answers of a batch come in another order than its requests.
    pub batch_shuffle: bool,
    /// A delta round repeats this many objects of the round before (replay).
    pub delta_replay: usize,
    /// Removing somebody who is not a member answers 400 "do not exist" instead of 404 naming the group.
    pub remove_missing_is_400: bool,
}

/// Objects on a delta page unless set: small enough that tests see several pages.
const DELTA_PAGE: usize = 200;
/// Member references on a delta page unless set: the service splits at about this size.
const DELTA_MEMBERS_PAGE: usize = 1000;

impl Default for Behaviours {
    fn default() -> Behaviours {
        Behaviours {
            group_upsert: true,
            unique_name_in_post: false,
            security_group_soft_delete: true,
            expired_delta: ExpiredDelta::Gone,
            delta_page: DELTA_PAGE,
            delta_members_page: DELTA_MEMBERS_PAGE,
            blind_reads: 0,
            delta_lag_ms: 0,
            list_lag_ms: 0,
            read_lag_ms: 0,
            throttle_scale: 0.0,
            batch_shuffle: true,
            delta_replay: 0,
            remove_missing_is_400: false,
        }
    }
}
