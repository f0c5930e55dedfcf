//! A database that was restored is a copy: the one it was taken of may be at work elsewhere, and nothing in this one can
//! stop it. Until this server is activated it reads, synchronises and plans, and exports nothing.
//!
//! Deliberately absent: activation itself, which ends it, and staging, in which a copy begins beside this.

use onesync_store::StoreReader;
use serde::{Deserialize, Serialize};

use crate::error::ServiceError;
use crate::runtime::Service;

/// The setting; empty, or not there: no copy.
pub(crate) const COPY_OF: &str = "copy-of";

/// The setting with the ids that the installation had before it was activated as a copy, as JSON.
pub(crate) const FORMER: &str = "former-installations";

/// The ids that an installation had before.
pub(crate) fn former_ids(reader: &dyn StoreReader) -> Result<Vec<String>, ServiceError> {
    // What another version wrote otherwise says nothing: then an older key file is of another installation.
    Ok(reader.setting(FORMER)?.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default())
}

/// Of what a database is a copy.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct CopyOf {
    /// The installation.
    pub installation: String,
    /// The epoch that it had.
    pub epoch: u64,
    /// When the backup was taken.
    pub taken: String,
    /// When it was restored.
    pub restored: String,
    /// The machine on which the backup was taken; older ones do not say it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// The backup, where the keys are inside of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keys_in: Option<String>,
    /// Whether they are sealed to recipients, and not to a password.
    #[serde(default)]
    pub by_recipients: bool,
}

impl CopyOf {
    /// The mark of a database.
    pub(crate) fn of(reader: &dyn StoreReader) -> Result<Option<Self>, ServiceError> {
        let text = reader.setting(COPY_OF)?.filter(|text| !text.is_empty());
        let read = |text: String| {
            serde_json::from_str(&text).map_err(|error| {
                ServiceError::held(
                    format!(
                        "the mark of a copy in this database cannot be read ({error}): it is taken for one"
                    ),
                    "run `onesync activate`",
                )
            })
        };
        text.map(read).transpose()
    }

    /// What it means, for people.
    #[must_use]
    pub fn words(&self) -> String {
        format!(
            "this database is a copy: a backup of installation {} (epoch {}) taken at {}, restored at {}; nothing is \
             exported until this server is activated",
            self.installation, self.epoch, self.taken, self.restored
        )
    }
}

impl Service {
    /// Of what this database is a copy, while it is one.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn copy_of(&self) -> Result<Option<CopyOf>, ServiceError> {
        CopyOf::of(&*self.store().reader()?)
    }

    /// An error while the database is a copy.
    pub(crate) fn must_not_be_a_copy(&self) -> Result<(), ServiceError> {
        match self.copy_of()? {
            None => Ok(()),
            Some(copy) => Err(ServiceError::held(
                copy.words(),
                "run `onesync activate KEYFILE ACCOUNT PASSWORD`: it takes the place of the server that the backup is of",
            )),
        }
    }
}
