//! Secrets of connectors: sealed in the database, named in configuration.

use std::collections::{BTreeMap, BTreeSet};

use onesync_connectors::ErrorClass;
use onesync_engine::Changes;
use onesync_model::ConnectorId;
use onesync_store::{SecretRow, ServiceChanges, StoreReader};
use onesync_vault::{Place, Vault};
use secrecy::SecretString;

use crate::error::ServiceError;
use crate::events;
use crate::facts::EXPIRIES;
use crate::kinds;
use crate::runtime::{ConnectorHandle, Service};

const TABLE: &str = "secret";
const FIELD: &str = "value";

/// The reason why a new secret is not used yet, by its name.
/// The longest name of a secret.
const NAME_BYTES_MAX: usize = 200;
const REFUSED: &str = "secret-refused/";

/// Secrets as they are stored.
#[derive(Default)]
pub(crate) struct OpenSecrets {
    /// The newest values.
    current: BTreeMap<String, SecretString>,
    /// The values before, as long as the newest ones have not worked.
    previous: BTreeMap<String, SecretString>,
    /// Those whose newest value was refused.
    refused: BTreeSet<String>,
    /// Those that do not open.
    pub(crate) closed: Vec<String>,
}

impl OpenSecrets {
    /// What connectors use: the newest, but the one before where the newest was refused.
    pub(crate) fn in_force(&self) -> BTreeMap<String, SecretString> {
        let mut out = self.current.clone();
        let kept = self.previous.iter().filter(|(name, _)| self.refused.contains(*name));
        out.extend(kept.map(|(name, value)| (name.clone(), value.clone())));
        out
    }
}

/// Opens all secrets; those that do not open are left out and named.
pub(crate) fn open_all(reader: &dyn StoreReader, vault: Option<&Vault>) -> Result<OpenSecrets, ServiceError> {
    let mut out = OpenSecrets::default();
    for row in reader.secrets()? {
        let place = Place { table: TABLE, row: &row.name, field: FIELD };
        let open = |sealed: &[u8]| {
            let bytes = vault.and_then(|vault| vault.open_sealed(&place, sealed).ok())?;
            String::from_utf8(bytes.to_vec()).ok().map(SecretString::from)
        };
        let Some(text) = open(&row.current) else {
            out.closed.push(row.name);
            continue;
        };
        if let Some(before) = row.previous.as_deref().and_then(open) {
            out.previous.insert(row.name.clone(), before);
        }
        if reader.state(ConnectorId(0), &format!("{REFUSED}{}", row.name))?.is_some() {
            out.refused.insert(row.name.clone());
        }
        out.current.insert(row.name, text);
    }
    Ok(out)
}

/// Whether a secret can have this name.
pub(crate) fn check_name(name: &str) -> Result<(), String> {
    let bad = |c: char| c.is_control() || (c.is_whitespace() && c != ' ');
    if name.is_empty() || name.len() > NAME_BYTES_MAX || name != name.trim() || name.contains(bad) {
        return Err(format!(
            "`{}` is no name of a secret: write 1 to {NAME_BYTES_MAX} characters, without line breaks and without spaces around it",
            name.escape_debug()
        ));
    }
    Ok(())
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
        check_name(name).map_err(|message| {
            ServiceError::usage(message, "choose the name that the connector's settings use")
        })?;
        let vault = self.vault()?;
        let place = Place { table: TABLE, row: name, field: FIELD };
        let current = vault.seal(&place, value)?;
        // What has never worked is not kept: the one that works stays until a new one does.
        let before = self.store().reader()?.secret(name)?;
        let previous = before.map(|row| row.previous.unwrap_or(row.current));
        let row = SecretRow { name: name.to_owned(), current, previous, changed: self.now() };
        let event = self.audit(&events::SECRET_SET, name, "");
        let states = vec![(ConnectorId(0), format!("{REFUSED}{name}"), None)];
        self.write(
            &Changes { states, ..Changes::default() },
            &ServiceChanges { secrets: vec![row], events: vec![event], ..ServiceChanges::default() },
        )
    }

    /// What speaks for a typo in the name of a secret: no connector uses it.
    ///
    /// # Errors
    /// When the settings of a connector cannot be read.
    pub fn secret_unused(&self, name: &str) -> Result<Option<String>, ServiceError> {
        let Ok(runtime) = self.runtime() else { return Ok(None) };
        let mut used = Vec::new();
        for connector in &runtime.connectors {
            used.extend(kinds::secret_names(&connector.file)?);
        }
        if used.is_empty() || used.iter().any(|known| known == name) {
            return Ok(None);
        }
        let near = onesync_rules::nearest(name, used.iter().map(String::as_str));
        let near = near.map(|near| format!(": did you mean `{near}`?"));
        let near = near.unwrap_or_else(|| format!("; they use {}", used.join(", ")));
        Ok(Some(format!("no connector of the configuration in force uses the secret `{name}`{near}")))
    }

    /// Tries secrets that were replaced: the one before is dropped once every connector that uses the new one has
    /// signed in with it, and stays in use as long as the new one is refused.
    ///
    /// # Errors
    /// When the database fails, or the configuration does not compile any more.
    pub(crate) async fn try_new_secrets(&self) -> Result<(), ServiceError> {
        let (open, pending) = {
            let reader = self.store().reader()?;
            let pending: Vec<SecretRow> =
                reader.secrets()?.into_iter().filter(|row| row.previous.is_some()).collect();
            if pending.is_empty() {
                return Ok(());
            }
            (open_all(&*reader, self.vault().ok().as_ref())?, pending)
        };
        let runtime = self.runtime()?;
        let mut names = runtime.names.clone();
        for row in pending {
            let mut users = Vec::new();
            for connector in &runtime.connectors {
                if kinds::secret_names(&connector.file)?.contains(&row.name) {
                    users.push(connector);
                }
            }
            let (mut worked, mut refused) = (!users.is_empty(), None);
            for connector in users {
                let candidate = kinds::make(&connector.file, self.workshop(), &open.current, &mut names);
                let answer = match candidate {
                    Ok(candidate) => candidate.sign_in().await,
                    Err(ServiceError::Connector { source, .. }) => Err(*source),
                    Err(other) => return Err(other),
                };
                if let Err(error) = answer {
                    worked = false;
                    // Whoever cannot be reached says nothing about a secret.
                    if error.class == ErrorClass::Configuration {
                        refused = Some(format!("`{}` does not take it: {error}", connector.name()));
                    }
                }
            }
            self.settle_secret(row, worked, refused)?;
        }
        self.reload().await
    }

    fn settle_secret(
        &self,
        row: SecretRow,
        worked: bool,
        refused: Option<String>,
    ) -> Result<(), ServiceError> {
        let place = format!("{REFUSED}{}", row.name);
        let known = self.store().reader()?.state(ConnectorId(0), &place)?;
        let (mut states, mut service) = (Vec::new(), ServiceChanges::default());
        // Set again meanwhile: that one is tried by the next work.
        let current = self.store().reader()?.secret(&row.name)?;
        if current.is_none_or(|current| current != row) {
            return Ok(());
        }
        if worked {
            states.push((ConnectorId(0), place, None));
            // What was known of the end of the old one says nothing about the new one.
            let ends = self
                .runtime()?
                .connectors
                .iter()
                .map(|c| (c.id, EXPIRIES.to_owned(), None))
                .collect::<Vec<_>>();
            states.extend(ends);
            service.events.push(self.audit(&events::SECRET_WORKED, &row.name, "the one before is dropped"));
            service.secrets.push(SecretRow { previous: None, ..row });
        } else if let Some(why) = refused.filter(|why| known.as_deref() != Some(why.as_bytes())) {
            service.events.push(self.audit(&events::SECRET_REFUSED, &row.name, &why));
            states.push((ConnectorId(0), place, Some(why.into_bytes())));
        }
        self.write(&Changes { states, ..Changes::default() }, &service)
    }

    /// New secrets that are not in use because they were refused, with the reason.
    pub(crate) fn refused_secrets(&self) -> Result<Vec<(String, String)>, ServiceError> {
        let reader = self.store().reader()?;
        let mut out = Vec::new();
        for row in reader.secrets()?.into_iter().filter(|row| row.previous.is_some()) {
            if let Some(why) = reader.state(ConnectorId(0), &format!("{REFUSED}{}", row.name))? {
                out.push((row.name, String::from_utf8_lossy(&why).into_owned()));
            }
        }
        Ok(out)
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
        let event = self.audit(&events::SECRET_REMOVED, name, "");
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
