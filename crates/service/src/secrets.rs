//! Secrets of connectors: sealed in the database, named in configuration.

use std::collections::BTreeMap;

use onesync_store::{SecretRow, ServiceChanges, StoreReader};
use onesync_vault::{Place, Vault};
use secrecy::SecretString;

use crate::error::ServiceError;
use crate::kinds;
use crate::runtime::{ConnectorHandle, Service};

const TABLE: &str = "secret";
const FIELD: &str = "value";

/// Opens all secrets; those that do not open are left out and named.
pub(crate) fn open_all(
    reader: &dyn StoreReader,
    vault: Option<&Vault>,
) -> Result<(BTreeMap<String, SecretString>, Vec<String>), ServiceError> {
    let (mut open, mut closed) = (BTreeMap::new(), Vec::new());
    for row in reader.secrets()? {
        let place = Place { table: TABLE, row: &row.name, field: FIELD };
        let opened = vault.and_then(|vault| vault.open_sealed(&place, &row.current).ok());
        match opened.and_then(|bytes| String::from_utf8(bytes.to_vec()).ok()) {
            Some(text) => {
                open.insert(row.name, SecretString::from(text));
            }
            None => closed.push(row.name),
        }
    }
    Ok((open, closed))
}

impl Service {
    /// Whether the secrets that a connector needs are there.
    ///
    /// # Errors
    /// [`crate::Status::Held`] when the key set is missing or is not the one that sealed them; else when one is not
    /// stored.
    pub(crate) fn secrets_ready(&self, connector: &ConnectorHandle) -> Result<(), ServiceError> {
        let reader = self.store().reader()?;
        for name in kinds::secret_names(&connector.file)? {
            let Some(row) = reader.secret(&name)? else {
                return Err(ServiceError::config(
                    format!(
                        "connector `{}` needs the secret `{name}`, which is not stored",
                        connector.name()
                    ),
                    format!("run `onesync secret set {name}`"),
                ));
            };
            let place = Place { table: TABLE, row: &name, field: FIELD };
            self.vault()?.open_sealed(&place, &row.current).map_err(|error| {
                ServiceError::held(
                    format!("connector `{}` needs the secret `{name}`: {error}", connector.name()),
                    format!("restore the key set that belongs to this database, or run `onesync secret set {name}`"),
                )
            })?;
        }
        Ok(())
    }

    /// Sets a secret; the one before stays until the new one has worked.
    ///
    /// # Errors
    /// When the key set is missing or the database cannot be written.
    pub fn set_secret(&self, name: &str, value: &[u8]) -> Result<(), ServiceError> {
        if name.trim().is_empty() || name.len() > 200 {
            return Err(ServiceError::usage(
                "a secret needs a name of at most 200 bytes",
                "choose the name that the connector's settings use",
            ));
        }
        let vault = self.vault()?;
        let place = Place { table: TABLE, row: name, field: FIELD };
        let current = vault.seal(&place, value)?;
        let previous = self.store().reader()?.secret(name)?.map(|row| row.current);
        let row = SecretRow { name: name.to_owned(), current, previous, changed: self.now() };
        let event = self.audit("secret-set", name, "");
        self.record(&ServiceChanges { secrets: vec![row], events: vec![event], ..ServiceChanges::default() })
    }

    /// Removes a secret.
    ///
    /// # Errors
    /// When there is none of that name.
    pub fn remove_secret(&self, name: &str) -> Result<(), ServiceError> {
        if self.store().reader()?.secret(name)?.is_none() {
            return Err(ServiceError::usage(
                format!("there is no secret `{name}`"),
                "`onesync secret list` shows the names",
            ));
        }
        let event = self.audit("secret-removed", name, "");
        self.record(&ServiceChanges {
            secrets_deleted: vec![name.to_owned()],
            events: vec![event],
            ..ServiceChanges::default()
        })
    }

    /// The names of secrets and when each was set; whether an older one is still kept.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn secrets(&self) -> Result<Vec<(String, onesync_model::Time, bool)>, ServiceError> {
        let rows = self.store().reader()?.secrets()?;
        Ok(rows.into_iter().map(|row| (row.name, row.changed, row.previous.is_some())).collect())
    }
}
