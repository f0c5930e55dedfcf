//! Microsoft Graph: users, groups and contacts of a Microsoft Entra tenant (docs/graph.md).
//!
//! Reads by delta queries, writes users and security groups by `$batch`, and keeps off everything that another
//! synchronisation masters or that is protected. Deliberately absent: passwords and licences of existing users,
//! password hashes, everything Exchange keeps, changing the source of authority, devices.

mod assertion;
mod batch;
mod convert;
mod dialect;
mod error;
mod expiry;
mod export;
mod http;
mod import;
mod marker;
mod memory;
mod report;
mod retry;
mod schema;
mod settings;
mod tenant;
mod tls;
mod token;
mod watermark;

use std::collections::BTreeMap;
use std::sync::Mutex;

use async_trait::async_trait;
use onesync_model::{NameDomains, Names};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::sync::mpsc;

pub use retry::{Failure, RetryPolicy, parse_retry_after};
pub use settings::{AttributeNames, GraphSettings, InitialPassword, ProxySettings, UnverifiedSuffix};

use self::assertion::SigningCertificate;
use self::http::Api;
use self::memory::Memory;
use self::schema::{IMMUTABLE_ID, Kind, Table, UNIQUE_NAME};
use self::tenant::RoleHolders;
use self::token::{Credential, TokenClient};
use crate::{
    Anchor, Capabilities, Connector, ConnectorError, CreateKey, DirectoryFacts, DiscoveredSchema, ErrorClass,
    Expiry, ExportBatch, ExportResult, ImportEnd, ImportPage, ImportRequest, Marker, TestReport, TypeRoles,
};

/// Most items in one export batch: ten `$batch` requests, so that several are under way at once.
const EXPORT_BATCH_MAX: usize = 200;
/// Most link values in one item: a hundred requests of twenty.
const EXPORT_LINKS_MAX: usize = 2000;
/// How long a change may stay invisible in delta queries.
const SETTLE_SECONDS: u32 = 600;

/// A Microsoft Entra tenant.
pub struct GraphConnector {
    settings: GraphSettings,
    table: Table,
    api: Api,
    memory: Mutex<Memory>,
}

impl GraphConnector {
    /// A connector for these settings. `secrets` holds the values of the secrets they name; `names` gives the
    /// attributes their ids.
    ///
    /// # Errors
    /// When a setting cannot be right, or a CA file cannot be used. A secret that is missing or of no use is told when
    /// the tenant is asked for something.
    pub fn new(
        settings: GraphSettings,
        secrets: &BTreeMap<String, SecretString>,
        names: &mut Names,
    ) -> Result<Self, ConnectorError> {
        settings.check()?;
        let proxy_password = settings.proxy.as_ref().and_then(|p| secrets.get(p.password.as_deref()?));
        let client = tls::client(&settings, proxy_password)?;
        let credential =
            credential(&settings, secrets).unwrap_or_else(|error| Credential::Unusable(Box::new(error)));
        let tokens = TokenClient::new(&settings, credential);
        let api = Api::new(client, tokens, &settings.graph_url, settings.client_id.as_bytes());
        let table = Table::new(&settings, names);
        Ok(Self { settings, table, api, memory: Mutex::default() })
    }

    /// Replaces how often and how long requests are repeated.
    #[must_use]
    pub fn with_retry(mut self, policy: RetryPolicy) -> Self {
        self.api.policy = policy;
        self
    }
}

fn credential(
    settings: &GraphSettings,
    secrets: &BTreeMap<String, SecretString>,
) -> Result<Credential, ConnectorError> {
    let secret = |name: &str| {
        secrets.get(name).ok_or_else(|| {
            let text = format!("the secret `{name}` is not stored");
            ConnectorError::new(ErrorClass::Configuration, "GRAPH-SECRET", "settings", text)
                .hint(format!("run `onesync secret set {name}`"))
        })
    };
    if let Some(name) = settings.proxy.as_ref().and_then(|p| p.password.as_deref()) {
        secret(name)?;
    }
    Ok(match (&settings.secret, &settings.certificate) {
        (Some(name), _) => Credential::Secret(secret(name)?.clone()),
        (None, certificate) => {
            let name = certificate.as_deref().unwrap_or_default();
            let key = secret(settings.key.as_deref().unwrap_or(name))?;
            let certificate = secret(name)?;
            let pair = SigningCertificate::from_pem(certificate.expose_secret(), key.expose_secret())?;
            Credential::Certificate(Box::new(pair))
        }
    })
}

#[async_trait]
impl Connector for GraphConnector {
    fn kind(&self) -> &'static str {
        "graph"
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            delta_import: true,
            repeats: true,
            link_deltas: true,
            export: true,
            export_batch_max: EXPORT_BATCH_MAX,
            export_links_max: EXPORT_LINKS_MAX,
            marker: true,
            settle_seconds: SETTLE_SECONDS,
            hierarchical: false,
            links_by_name: false,
        }
    }

    fn type_roles(&self) -> Vec<TypeRoles> {
        let table = &self.table;
        let mut roles = vec![
            TypeRoles {
                object_type: table.type_name(Kind::User).to_owned(),
                create_key: Some(table.shown(Kind::User, IMMUTABLE_ID)),
                name: Some("userPrincipalName".to_owned()),
                enabled: Some("accountEnabled".to_owned()),
                account: true,
                not_created_if: Vec::new(),
            },
            TypeRoles {
                object_type: table.type_name(Kind::Group).to_owned(),
                create_key: Some(table.shown(Kind::Group, UNIQUE_NAME)),
                name: Some("displayName".to_owned()),
                not_created_if: table.mail_enabled(),
                ..TypeRoles::default()
            },
        ];
        if table.type_name(Kind::Contact) != Kind::Contact.name() {
            let named = |kind| TypeRoles {
                object_type: table.type_name(kind).to_owned(),
                name: Some("displayName".to_owned()),
                ..TypeRoles::default()
            };
            roles.extend([named(Kind::Contact), named(Kind::Device)]);
        }
        roles
    }

    async fn test(&self) -> Result<TestReport, ConnectorError> {
        self.report().await
    }

    async fn schema(&self) -> Result<DiscoveredSchema, ConnectorError> {
        Ok(self.table.discovered())
    }

    async fn import(
        &self,
        request: ImportRequest,
        pages: mpsc::Sender<ImportPage>,
    ) -> Result<ImportEnd, ConnectorError> {
        self.run_import(request, pages).await
    }

    async fn export(&self, batch: ExportBatch) -> Result<Vec<ExportResult>, ConnectorError> {
        self.run_export(batch).await
    }

    async fn find_created(&self, keys: &[CreateKey]) -> Result<Vec<Option<Anchor>>, ConnectorError> {
        self.find_by_keys(keys).await
    }

    async fn marker(&self) -> Result<Option<Marker>, ConnectorError> {
        let found = self.find_marker().await.map_err(|e| e.at("marker group"))?;
        Ok(found.and_then(|f| f.marker))
    }

    async fn set_marker(&self, marker: &Marker) -> Result<(), ConnectorError> {
        self.write_marker(marker).await
    }

    async fn set_session(&self, marker: &Marker) -> Result<(), ConnectorError> {
        self.write_session(marker).await
    }

    async fn export_obstacle(&self) -> Result<Option<String>, ConnectorError> {
        let organization = self.read_organization().await.map_err(|e| e.at("organization"))?;
        Ok(self.obstacle(&organization))
    }

    async fn sign_in(&self) -> Result<(), ConnectorError> {
        self.api.token().await.map(drop).map_err(|error| error.at("sign-in"))
    }

    async fn expiries(&self) -> Result<Vec<Expiry>, ConnectorError> {
        self.ends().await
    }

    async fn facts(&self) -> Result<DirectoryFacts, ConnectorError> {
        let organization = self.organization().await.map_err(|e| e.at("organization"))?;
        let anchor_only = match &*self.roles().await {
            RoleHolders::Unknown(error) => {
                Some(format!("directory roles cannot be read ({error}); grant RoleManagement.Read.Directory"))
            }
            RoleHolders::Known(_) | RoleHolders::NotAsked => None,
        };
        let domains = NameDomains {
            verified: organization.domains.clone(),
            default: organization.default_domain.clone(),
            replace: self.settings.unverified_suffix == UnverifiedSuffix::DefaultDomain,
        };
        let target = Some(format!("tenant {}", organization.id)).filter(|_| !organization.id.is_empty());
        Ok(DirectoryFacts { domains: Some(domains), anchor_only, target })
    }
}
