//! Giving up keys that are lost: what they sealed is dropped, and nothing else.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use onesync_store::{SecretRow, ServiceChanges};
use onesync_vault::{Kek, KeySet, Vault, VaultError};
use serde::Serialize;

use super::{ANEW, place};
use crate::backup::RECIPIENTS;
use crate::error::ServiceError;
use crate::events;
use crate::kinds;
use crate::runtime::Service;
use crate::setup::credential;

/// A secret that cannot be read any more.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Lost {
    /// Its name.
    pub name: String,
    /// The key that sealed it.
    pub key: Option<String>,
    /// The connectors that use it.
    pub used_by: Vec<String>,
    /// Whether the value before it opens, and is used again.
    pub falls_back: bool,
    /// How it is entered again.
    pub remedy: String,
}

/// What whoever gives keys up has made sure of.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct LostForGood {
    /// The key-encryption key is lost, and not only away.
    pub kek: bool,
    /// The key files and backups that hold the keys are lost, too.
    pub files: bool,
}

impl Service {
    /// What is lost with the keys that are missing: nothing is changed.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn lost_with_keys(&self) -> Result<Vec<Lost>, ServiceError> {
        let vault = Vault::open(&self.home().key_set()).ok();
        let opens = |row: &SecretRow, sealed: &[u8]| {
            vault.as_ref().is_some_and(|vault| vault.open_sealed(&place(&row.name), sealed).is_ok())
        };
        let mut lost = Vec::new();
        for row in self.store().reader()?.secrets()? {
            if opens(&row, &row.current) {
                continue;
            }
            lost.push(Lost {
                key: Vault::sealed_by(&row.current),
                used_by: self.users_of(&row.name),
                falls_back: row.previous.as_deref().is_some_and(|before| opens(&row, before)),
                remedy: match row.name.as_str() {
                    credential::SEALED => {
                        "the password of the service account was shown when it was made, and still counts"
                            .to_owned()
                    }
                    RECIPIENTS => {
                        "onesync backup schedule DIR --include-keys --recipient RECIPIENT".to_owned()
                    }
                    name => format!("onesync secret set {name}"),
                },
                name: row.name,
            });
        }
        Ok(lost)
    }

    /// What giving the missing keys up would drop, and whether the key set itself opens: nothing is changed.
    ///
    /// # Errors
    /// When nothing is lost; when the key set is there and its key-encryption key is not, or a file is known that holds a lost key,
    /// unless they are lost for good.
    fn to_abandon(&self, sure: LostForGood) -> Result<(Vec<Lost>, bool), ServiceError> {
        let lost = self.lost_with_keys()?;
        let vault = match Vault::open(&self.home().key_set()) {
            Ok(vault) => Some(vault),
            // They are there: that they cannot be read is mended otherwise than by giving them up.
            Err(error @ (VaultError::TooOpen { .. } | VaultError::Io { .. })) => {
                return Err(ServiceError::held(error.to_string(), "repair that first: nothing was changed"));
            }
            // A token that is out, a wrong PIN, a credential of a service that is stopped: they come back.
            Err(error @ (VaultError::Kek { .. } | VaultError::OtherKek { .. })) if !sure.kek => {
                return Err(ServiceError::held(
                    error.to_string(),
                    "bring that key-encryption key back: nothing was changed; when it is lost for good, `--kek-is-lost` gives up what \
                     it seals",
                ));
            }
            Err(_) => None,
        };
        if lost.is_empty() && vault.is_some() {
            return Err(ServiceError::usage(
                "no key is lost: everything that is sealed in the database opens",
                "there is nothing to give up; `onesync keys status` shows the keys",
            ));
        }
        // What the key set has a key for and does not open is damaged: no file helps.
        let lacks = |id: &String| !vault.as_ref().is_some_and(|vault| vault.has(id));
        let ids: BTreeSet<String> = lost.iter().filter_map(|lost| lost.key.clone()).filter(lacks).collect();
        // Also one that holds some of them: what it opens is not lost.
        let places = match sure.files {
            true => Vec::new(),
            false => self.places_of_keys(|has| ids.iter().any(has))?,
        };
        if !places.is_empty() {
            let ids = ids.into_iter().collect::<Vec<_>>().join(", ");
            return Err(ServiceError::held(
                format!("not all is lost of what key {ids} has sealed: keys are in {}", places.join(", ")),
                "`onesync activate FILE ACCOUNT` brings them back: nothing was changed; when these files are lost too, or nobody can open \
                 them, `--key-files-are-lost` gives up what they would open",
            ));
        }
        Ok((lost, vault.is_some()))
    }

    /// What [`Service::abandon_keys`] would drop.
    ///
    /// # Errors
    /// As there.
    pub fn abandonable(&self, sure: LostForGood) -> Result<Vec<Lost>, ServiceError> {
        Ok(self.to_abandon(sure)?.0)
    }

    /// Gives the missing keys up: drops what they sealed, and makes a new key set where there is none that opens. The file that
    /// does not open is kept beside. Links, history and configuration stay as they are.
    ///
    /// # Errors
    /// When nothing is lost, or the key set or the database cannot be written; when the key set is there and its
    /// key-encryption key is not, or a file is known that holds a lost key, unless they are lost for good.
    pub fn abandon_keys(&self, sure: LostForGood) -> Result<Vec<Lost>, ServiceError> {
        let _lock = self.lock_keys("keys abandon")?;
        let (lost, whole) = self.to_abandon(sure)?;
        if !whole {
            self.begin_anew()?;
        }
        let reader = self.store().reader()?;
        let mut changes = ServiceChanges::default();
        for gone in &lost {
            match reader.secret(&gone.name)? {
                Some(SecretRow { name, previous: Some(current), changed, .. }) if gone.falls_back => {
                    changes.secrets.push(SecretRow { name, current, previous: None, changed });
                }
                _ => changes.secrets_deleted.push(gone.name.clone()),
            }
        }
        // A value before that nobody can read is none.
        let vault = Vault::open(&self.home().key_set())?;
        for row in reader.secrets()? {
            let opens = |sealed: &[u8]| vault.open_sealed(&place(&row.name), sealed).is_ok();
            if opens(&row.current) && row.previous.as_deref().is_some_and(|before| !opens(before)) {
                changes.secrets.push(SecretRow { previous: None, ..row });
            }
        }
        drop(reader);
        if !whole {
            changes.settings.push((ANEW.to_owned(), self.now().to_string()));
        }
        let names: Vec<&str> = lost.iter().map(|lost| lost.name.as_str()).collect();
        changes.events.push(self.audit(&events::KEYS_ABANDONED, vault.key_id(), &names.join(", ")));
        self.record(&changes)?;
        Ok(lost)
    }

    /// A new key set in place of one that is gone or does not open; that one is kept under another name.
    fn begin_anew(&self) -> Result<(), ServiceError> {
        let file = self.home().key_set();
        let now = self.now();
        let kek = KeySet::source(&file).ok().flatten().map_or_else(Kek::default, |(kek, _)| kek);
        aside(&file, now.seconds())?;
        match Vault::create(&file, &kek, &now.to_string()) {
            // Where its key-encryption key came from there is none any more, or something else.
            Err(VaultError::Kek { .. }) => {
                if let Kek::File { path } = kek {
                    aside(&file.with_file_name(path), now.seconds())?;
                }
                Vault::create(&file, &Kek::default(), &now.to_string())?;
            }
            made => drop(made?),
        }
        Ok(())
    }

    fn users_of(&self, name: &str) -> Vec<String> {
        let Ok(runtime) = self.runtime() else { return Vec::new() };
        let uses = |connector: &&crate::ConnectorHandle| {
            kinds::secret_names(&connector.file).is_ok_and(|names| names.iter().any(|used| used == name))
        };
        runtime.connectors.iter().filter(uses).map(|connector| connector.name().to_owned()).collect()
    }
}

/// Gives a file another name, under which nothing lies yet.
pub(crate) fn aside(file: &Path, seconds: i64) -> Result<(), ServiceError> {
    let failed = |source| ServiceError::File { place: file.display().to_string(), source };
    let free = (0..).map(|number| PathBuf::from(format!("{}.lost-{seconds}-{number}", file.display())));
    let Some(name) = free.take(100).find(|name| std::fs::symlink_metadata(name).is_err()) else {
        return Err(failed(std::io::ErrorKind::AlreadyExists.into()));
    };
    match std::fs::rename(file, name) {
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => Err(failed(source)),
        _ => Ok(()),
    }
}
