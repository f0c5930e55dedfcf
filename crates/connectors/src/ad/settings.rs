//! The settings of an Active Directory connector, as they stand in its configuration file.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::AttributeWord;

/// Entries in one LDAP page: the limit (`MaxPageSize`) that Active Directory has by default.
const PAGE_SIZE: u16 = 1000;

/// The settings of an Active Directory connector.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AdSettings {
    /// The domain controller: `ldaps://dc1.example.com`, or `ldap://dc1.example.com` with `starttls = true`.
    pub url: String,
    /// Domain controllers that are tried before `url`, in this order.
    #[serde(default)]
    pub preferred_servers: Vec<String>,
    /// Encrypts `ldap://` connections by StartTLS.
    #[serde(default)]
    pub starttls: bool,
    /// A PEM file with the authorities to trust instead of those of the system.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    /// The account: a DN, `user@domain` or `DOMAIN\user`.
    pub bind: String,
    /// The name of the secret that holds the account's password.
    pub password: String,
    /// The domain; by default what the server names as its own.
    #[serde(default)]
    pub base: Option<String>,
    /// Containers to read, by DN or `<GUID=...>`; none means the whole domain.
    #[serde(default)]
    pub include: Vec<String>,
    /// Containers to leave out. Of an included and an excluded container the nearer one decides.
    #[serde(default)]
    pub exclude: Vec<String>,
    /// Whether containers below an included one, new ones too, are read with it.
    #[serde(default = "yes")]
    pub include_below: bool,
    /// Object types to read; none means all that rules select.
    #[serde(default)]
    pub object_types: Vec<String>,
    /// Attributes beside those of the built-in schema, of all object types: `name = "string*"`.
    #[serde(default)]
    pub schema: BTreeMap<String, AttributeWord>,
    /// Entries in one LDAP page.
    #[serde(default = "page_size")]
    pub page_size: u16,
    /// Whether DirSync may tell deletions. Otherwise they are found by full imports.
    #[serde(default = "yes")]
    pub deleted_objects: bool,
    /// Never asks DirSync: every import reads everything, for an account without the right to replicate.
    #[serde(default)]
    pub without_dirsync: bool,
    /// Lets the password go over an unencrypted connection: for tests only.
    #[serde(default)]
    pub allow_plaintext_password: bool,
}

impl AdSettings {
    /// Makes relative paths relative to `folder`.
    #[must_use]
    pub fn within(mut self, folder: &Path) -> Self {
        self.ca_file = self.ca_file.map(|path| crate::files::within(folder, &path));
        self
    }
}

fn yes() -> bool {
    true
}

fn page_size() -> u16 {
    PAGE_SIZE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_read_and_typos_are_named() {
        let text =
            "url = \"ldaps://dc1\"\nbind = \"svc@contoso.test\"\npassword = \"ad\"\nca_file = \"ca.pem\"";
        let settings: AdSettings = toml::from_str(text).unwrap();
        let settings = settings.within(Path::new("/srv"));
        assert_eq!(settings.ca_file.as_deref(), Some(Path::new("/srv/ca.pem")));
        assert_eq!(
            (settings.page_size, settings.include_below, settings.allow_plaintext_password),
            (1000, true, false)
        );
        let error = toml::from_str::<AdSettings>(&format!("{text}\nincludes = []")).unwrap_err().to_string();
        assert!(error.contains("includes"), "{error}");
    }
}
