//! A connector as people see it: settings, what is read, what becomes of objects that leave, what protects them.

use std::collections::BTreeMap;

use onesync_engine::Deprovision;
use serde::Serialize;

use crate::config::OutOfScope;
use crate::error::ServiceError;
use crate::runs::Step;
use crate::runtime::{Runtime, Service};

/// A connector as people see it.
#[derive(Clone, Debug, Serialize)]
pub struct ConnectorView {
    /// Its name.
    pub name: String,
    /// Its kind.
    pub kind: String,
    /// Its rank.
    pub rank: u32,
    /// `reads only`, `staging`, `active`.
    pub mode: &'static str,
    /// Whether it can read changes only.
    pub delta_import: bool,
    /// What becomes of the join of an object that leaves the scope.
    pub out_of_scope: &'static str,
    /// How much may be missing in a full import before it is suspect: percent, at least.
    pub suspect_percent: u64,
    /// See `suspect_percent`.
    pub suspect_at_least: u64,
    /// Run profiles.
    pub profiles: BTreeMap<String, Vec<Step>>,
    /// Values for rules.
    pub parameters: BTreeMap<String, String>,
    /// The settings of its kind; secrets are named, never shown.
    pub settings: toml::Table,
    /// Object types that rules read or write.
    pub types: Vec<TypeView>,
}

/// One object type of a connector.
#[derive(Clone, Debug, Serialize)]
pub struct TypeView {
    /// Its name.
    pub name: String,
    /// Whether it can be written.
    pub writable: bool,
    /// What becomes of objects that leave, where it can be written.
    pub deprovision: Option<String>,
    /// The attributes that are read.
    pub attributes: Vec<String>,
}

impl Service {
    /// Shows a connector.
    ///
    /// # Errors
    /// When there is none of that name.
    pub fn connector_view(&self, runtime: &Runtime, name: &str) -> Result<ConnectorView, ServiceError> {
        let connector = runtime.connector(name)?;
        let policy = runtime.policies.of(connector.id);
        let types = connector
            .selection
            .types
            .iter()
            .map(|selected| {
                let writable = connector.write_order.contains(&selected.id);
                let mut attributes: Vec<String> =
                    selected.attributes.iter().map(|attribute| attribute.name.clone()).collect();
                attributes.sort_unstable_by_key(|name| name.to_lowercase());
                TypeView {
                    name: selected.name.clone(),
                    writable,
                    deprovision: policy
                        .types
                        .get(&selected.id)
                        .filter(|_| writable)
                        .map(|policy| deprovision(policy.deprovision)),
                    attributes,
                }
            })
            .collect();
        Ok(ConnectorView {
            name: connector.name().to_owned(),
            kind: connector.file.kind.clone(),
            rank: connector.file.rank,
            mode: self.mode(connector)?,
            delta_import: connector.capabilities.delta_import,
            out_of_scope: match connector.file.out_of_scope {
                OutOfScope::Disconnect => "disconnect",
                OutOfScope::Stay => "stay",
            },
            suspect_percent: connector.file.suspect_percent,
            suspect_at_least: connector.file.suspect_at_least,
            profiles: connector.file.profiles.clone(),
            parameters: connector.file.parameters.clone(),
            settings: connector.file.settings.clone(),
            types,
        })
    }
}

fn deprovision(decision: Deprovision) -> String {
    let after = |seconds: i64| match (seconds / 86_400, seconds % 86_400) {
        (0, 0) => "at once".to_owned(),
        (days, 0) => format!("after {days} days"),
        _ => format!("after {} hours", seconds / 3_600),
    };
    match decision {
        Deprovision::Disconnect => "left alone".to_owned(),
        Deprovision::Disable => "disabled".to_owned(),
        Deprovision::DisableThenDelete { after_seconds } => {
            format!("disabled at once, deleted {}", after(after_seconds))
        }
        Deprovision::Delete { after_seconds } => format!("deleted {}", after(after_seconds)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_becomes_of_those_who_leave_is_said_in_words() {
        for (decision, expected) in [
            (
                Deprovision::DisableThenDelete { after_seconds: 30 * 86_400 },
                "disabled at once, deleted after 30 days",
            ),
            (Deprovision::Delete { after_seconds: 0 }, "deleted at once"),
            (Deprovision::Delete { after_seconds: 43_200 }, "deleted after 12 hours"),
            (Deprovision::Disconnect, "left alone"),
        ] {
            assert_eq!(deprovision(decision), expected);
        }
    }
}
