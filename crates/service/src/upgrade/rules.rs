//! Shipped rules of a configuration whose shipped text is another one in this program.

use std::collections::BTreeMap;

use onesync_rules::{Merge, RuleFile, ShippedChange, shipped_changes};
use onesync_store::ConfigFiles;
use serde::Serialize;

use crate::error::ServiceError;
use crate::runtime::Service;

/// A shipped rule that is shipped with another text now.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct RuleUpdate {
    /// Its file in the configuration.
    pub path: String,
    /// The tag of the file.
    pub from: String,
    /// The tag that is shipped now.
    pub to: String,
    /// `as shipped`, `customised, both changes`, `customised, conflict`, `made from an unknown text`.
    pub state: &'static str,
}

/// The configuration in force with the shipped texts of this program.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UpdatedRules {
    /// All its files. A file with conflicts is left as it is, and lies with the marks of conflict beside it, as
    /// `FILE.conflict`.
    pub files: BTreeMap<String, Vec<u8>>,
    /// What became of each file.
    pub updates: Vec<RuleUpdate>,
}

fn update(change: &ShippedChange) -> RuleUpdate {
    let state = match change.merge {
        Merge::Taken(_) => "as shipped",
        Merge::Merged(_) => "customised, both changes",
        Merge::Conflict(_) => "customised, conflict",
        Merge::Unknown => "made from an unknown text",
    };
    let ShippedChange { path, from, to, .. } = change.clone();
    RuleUpdate { path, from, to, state }
}

fn changes(files: &ConfigFiles) -> Vec<ShippedChange> {
    let rules = files.iter().filter(|(path, _)| path.starts_with("rules/"));
    let text = |(path, bytes): (&String, &Vec<u8>)| {
        Some(RuleFile { path: path.clone(), text: std::str::from_utf8(bytes).ok()?.to_owned() })
    };
    shipped_changes(&rules.filter_map(text).collect::<Vec<_>>())
}

/// What would become of the shipped rules in the configuration in force.
pub(super) fn updates(service: &Service) -> Result<Vec<RuleUpdate>, ServiceError> {
    match service.runtime() {
        Ok(runtime) => Ok(changes(&runtime.configuration.files).iter().map(update).collect()),
        Err(_) => Ok(Vec::new()),
    }
}

/// Puts what this program ships into a configuration; what was customised stays.
fn merged(files: &ConfigFiles) -> UpdatedRules {
    let changes = changes(files);
    let updates = changes.iter().map(update).collect();
    let mut files = files.clone();
    for change in changes {
        match change.merge {
            Merge::Taken(text) | Merge::Merged(text) => files.insert(change.path, text.into_bytes()),
            Merge::Conflict(text) => files.insert(format!("{}.conflict", change.path), text.into_bytes()),
            Merge::Unknown => None,
        };
    }
    UpdatedRules { files, updates }
}

impl Service {
    /// The configuration in force with the shipped texts of this program, for `config plan` and `config apply`.
    ///
    /// # Errors
    /// When none is applied, or it cannot be read.
    pub fn updated_rules(&self) -> Result<UpdatedRules, ServiceError> {
        Ok(merged(&self.config_files(None)?))
    }
}
