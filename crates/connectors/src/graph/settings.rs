//! The `[settings]` table of a connector of kind `graph`, read and checked before anything is sent.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::{AttributeWord, ConnectorError, ErrorClass};

/// Endpoint of the global cloud; national clouds are plain configuration.
const GRAPH_GLOBAL: &str = "https://graph.microsoft.com";
/// Sign-in endpoint of the global cloud.
const LOGIN_GLOBAL: &str = "https://login.microsoftonline.com";
/// Shortest initial password: the service asks for 8, ours is never typed by anyone before it is replaced.
const PASSWORD_LENGTH_MIN: usize = 16;
/// Longest password the service takes.
const PASSWORD_LENGTH_MAX: usize = 256;

/// What a connector of kind `graph` can be told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GraphSettings {
    /// Tenant id or one of its domains.
    pub tenant: String,
    /// Application (client) id of the app registration.
    pub client_id: String,
    /// Name of the secret that holds the client secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
    /// Name of the secret that holds the certificate (PEM), instead of a client secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<String>,
    /// Name of the secret that holds the certificate's private key (PEM); default: the same as `certificate`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// Root of Microsoft Graph, without version.
    #[serde(default = "graph_global")]
    pub graph_url: String,
    /// Root of the sign-in service.
    #[serde(default = "login_global")]
    pub login_url: String,
    /// The proxy to go through. The environment's proxy variables are not looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxy: Option<ProxySettings>,
    /// Certification authorities (PEM) to trust beside those of the system.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
    /// Objects to ask for in one page; the service may give fewer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub page_size: Option<usize>,
    /// What to do with a user principal name whose suffix is no verified domain of the tenant.
    #[serde(default)]
    pub unverified_suffix: UnverifiedSuffix,
    /// `usageLocation` of new users for whom the rules give none: two letters as of ISO 3166.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage_location_default: Option<String>,
    /// Existing groups to adopt: source anchor to group id. Groups are never adopted in any other way.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub group_mapping: BTreeMap<String, String>,
    /// User principal names or ids that are never matched, disabled or deleted (break-glass accounts).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub protected: Vec<String>,
    /// Whether holders of directory roles are protected like those named in `protected`.
    #[serde(default = "yes")]
    pub protect_role_holders: bool,
    /// Whether to write into a tenant in which Entra Connect or Cloud Sync is on; then only to cloud-mastered objects.
    #[serde(default)]
    pub coexistence: bool,
    /// How initial passwords of new users are made.
    #[serde(default)]
    pub initial_password: InitialPassword,
    /// Directory extensions (`extension_<app>_<name>`) to read and write as text, for users and groups.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub extension_attributes: Vec<String>,
    /// Whose names schema and rules have: Graph's own, or those of Azure AD Connect's cloud connector.
    #[serde(default)]
    pub names: AttributeNames,
    /// Attributes that rules compute and Graph has nowhere, beside those known: `name = "string*"`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub computed: BTreeMap<String, AttributeWord>,
}

/// Whose names attributes and object types have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AttributeNames {
    /// Microsoft Graph's.
    #[default]
    Graph,
    /// Those of Azure AD Connect's cloud connector, so that its rules run unchanged.
    EntraConnect,
}

/// The way through a proxy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProxySettings {
    /// `http://host:port`.
    pub url: String,
    /// User name for the proxy, where it asks for one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// Name of the secret that holds the proxy's password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<String>,
}

/// What to do with a user principal name whose suffix is not verified in the tenant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum UnverifiedSuffix {
    /// Hold it: the value is refused with the suffix named, and counted.
    #[default]
    Hold,
    /// Write the tenant's default domain in its place.
    DefaultDomain,
}

/// How initial passwords of new users are made: random, never stored, never logged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct InitialPassword {
    /// Characters.
    pub length: usize,
    /// Whether the user must change it at the first sign-in.
    pub change_at_first_sign_in: bool,
}

impl Default for InitialPassword {
    fn default() -> Self {
        Self { length: 32, change_at_first_sign_in: true }
    }
}

fn graph_global() -> String {
    GRAPH_GLOBAL.to_owned()
}

fn login_global() -> String {
    LOGIN_GLOBAL.to_owned()
}

fn yes() -> bool {
    true
}

impl GraphSettings {
    /// Settings for one application with a client secret; everything else as by default.
    #[must_use]
    pub fn new(tenant: impl Into<String>, client_id: impl Into<String>, secret: impl Into<String>) -> Self {
        Self {
            tenant: tenant.into(),
            client_id: client_id.into(),
            secret: Some(secret.into()),
            certificate: None,
            key: None,
            graph_url: graph_global(),
            login_url: login_global(),
            proxy: None,
            ca_file: None,
            page_size: None,
            unverified_suffix: UnverifiedSuffix::default(),
            usage_location_default: None,
            group_mapping: BTreeMap::new(),
            protected: Vec::new(),
            protect_role_holders: true,
            coexistence: false,
            initial_password: InitialPassword::default(),
            extension_attributes: Vec::new(),
            names: AttributeNames::default(),
            computed: BTreeMap::new(),
        }
    }

    /// Reads the `[settings]` table of a connector's file.
    ///
    /// # Errors
    /// When a key is unknown, missing or of the wrong type, or a value cannot be right; the message names the key.
    pub fn from_toml(table: &toml::Table) -> Result<Self, ConnectorError> {
        let settings: Self = table
            .clone()
            .try_into()
            .map_err(|e: toml::de::Error| wrong("settings", e.message().to_owned(), "see docs/graph.md"))?;
        settings.check()?;
        Ok(settings)
    }

    /// Makes relative paths relative to `folder`.
    #[must_use]
    pub fn within(mut self, folder: &Path) -> Self {
        self.ca_file = self.ca_file.map(|path| crate::files::within(folder, &path));
        self
    }

    /// The names of the secrets these settings refer to, which the service resolves.
    #[must_use]
    pub fn secret_names(&self) -> Vec<&str> {
        let proxy = self.proxy.as_ref().and_then(|p| p.password.as_deref());
        [self.secret.as_deref(), self.certificate.as_deref(), self.key.as_deref(), proxy]
            .into_iter()
            .flatten()
            .collect()
    }

    /// Checks what types cannot say.
    ///
    /// # Errors
    /// When a value cannot be right; the message names the key.
    pub fn check(&self) -> Result<(), ConnectorError> {
        let plain = |text: &str| !text.is_empty() && text.bytes().all(is_name_byte);
        if !plain(&self.tenant) {
            return Err(wrong("tenant", format!("`{}` is no tenant", self.tenant), TENANT_HINT));
        }
        if !is_guid(&self.client_id) {
            let text = format!("`{}` is no application (client) id", self.client_id);
            return Err(wrong(
                "client_id",
                text,
                "copy it from the app registration's overview: it is a GUID",
            ));
        }
        match (&self.secret, &self.certificate) {
            (Some(_), None) | (None, Some(_)) => {}
            (None, None) => {
                let hint = "set `secret = \"name\"`, or `certificate` and `key`, to names of stored secrets";
                return Err(wrong("secret", "no credential is named", hint));
            }
            (Some(_), Some(_)) => {
                return Err(wrong("secret", "both `secret` and `certificate` are set", "keep one of them"));
            }
        }
        check_url("graph_url", &self.graph_url)?;
        check_url("login_url", &self.login_url)?;
        if let Some(place) = &self.usage_location_default
            && !(place.len() == 2 && place.bytes().all(|b| b.is_ascii_uppercase()))
        {
            let text = format!("`{place}` is no country");
            return Err(wrong("usage_location_default", text, "write two capital letters as of ISO 3166"));
        }
        if !(PASSWORD_LENGTH_MIN..=PASSWORD_LENGTH_MAX).contains(&self.initial_password.length) {
            let text =
                format!("an initial password has {PASSWORD_LENGTH_MIN} to {PASSWORD_LENGTH_MAX} characters");
            return Err(wrong("initial_password.length", text, "leave it out for the default"));
        }
        if let Some((anchor, id)) = self.group_mapping.iter().find(|(_, id)| !is_guid(id)) {
            let text = format!("`{anchor}` is mapped to `{id}`, which is no group id");
            return Err(wrong("group_mapping", text, "write the group's object id: it is a GUID"));
        }
        if let Some(name) = self.extension_attributes.iter().find(|n| !n.starts_with("extension_")) {
            let hint = "write the full name, as `extension_<application id without dashes>_<name>`";
            return Err(wrong("extension_attributes", format!("`{name}` is no directory extension"), hint));
        }
        if self.names == AttributeNames::Graph && !self.computed.is_empty() {
            let text = "attributes that are only computed go with the names of Azure AD Connect";
            return Err(wrong("computed", text, "set `names = \"entra-connect\"`, or remove them"));
        }
        Ok(())
    }
}

const TENANT_HINT: &str = "write the tenant's id or one of its domains, e.g. contoso.onmicrosoft.com";

fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-')
}

pub(super) fn is_guid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

/// Credentials go over TLS only; a plain connection is for a simulator on this machine.
fn check_url(key: &str, text: &str) -> Result<(), ConnectorError> {
    let url = reqwest::Url::parse(text).map_err(|e| {
        wrong(key, format!("`{text}` is no URL: {e}"), "write e.g. https://graph.microsoft.com")
    })?;
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    let local = host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback());
    match url.scheme() {
        "https" => Ok(()),
        "http" if local => Ok(()),
        _ => Err(wrong(key, format!("`{text}` is not https"), "secrets and tokens go over https only")),
    }
}

fn wrong(key: &str, message: impl Into<String>, hint: &str) -> ConnectorError {
    ConnectorError::new(
        ErrorClass::Configuration,
        "GRAPH-SETTINGS",
        format!("settings, key `{key}`"),
        message,
    )
    .hint(hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    const APP: &str = "5b0f4c7e-2f3a-4c55-9a57-6d2d8f0e1a22";

    fn read(text: &str) -> Result<GraphSettings, ConnectorError> {
        GraphSettings::from_toml(&text.parse().unwrap())
    }

    #[test]
    fn the_smallest_table_is_enough() {
        let settings = read(&format!("tenant='contoso.com'\nclient_id='{APP}'\nsecret='graph'")).unwrap();
        assert_eq!(settings, GraphSettings::new("contoso.com", APP, "graph"));
        assert_eq!(settings.secret_names(), ["graph"]);
    }

    #[test]
    fn a_typo_is_named() {
        let good = format!("tenant='contoso.com'\nclient_id='{APP}'\n");
        for (table, word) in [
            (format!("{good}secret='s'\ntenat='x'"), "tenat"),
            (good.clone(), "credential"),
            (format!("{good}secret='s'\ncertificate='c'"), "both"),
            (format!("{good}secret='s'\ngraph_url='http://graph.microsoft.com'"), "https"),
            (format!("{good}secret='s'\nusage_location_default='Germany'"), "country"),
            (format!("{good}secret='s'\nunverified_suffix='drop'"), "drop"),
            (format!("{good}secret='s'\n[group_mapping]\nabc='All staff'"), "All staff"),
            (format!("{good}secret='s'\n[initial_password]\nlength=8"), "16 to 256"),
            ("tenant='a b'\nclient_id='x'\nsecret='s'".to_owned(), "tenant"),
            ("tenant='a'\nclient_id='x'\nsecret='s'".to_owned(), "client"),
        ] {
            let error = read(&table).unwrap_err();
            assert_eq!(error.class, ErrorClass::Configuration);
            assert!(error.to_string().contains(word), "{error}");
        }
    }
}
