//! Which rule, version of the configuration, object and run something came from.

use std::collections::BTreeMap;

use onesync_model::{ConnectorId, RuleId, RunId};
use onesync_store::{ConfigVersionRow, StoreReader};
use serde::Serialize;

use crate::error::ServiceError;
use crate::runtime::Runtime;

/// Which rule gave something, when.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ValueOrigin {
    /// The rule.
    pub rule: String,
    /// Whether the rule was changed or removed since.
    pub rule_changed: bool,
    /// The version of the configuration in which it was that rule.
    pub configuration: Option<u32>,
    /// The source object: connector and name.
    pub source: Option<String>,
    /// The run.
    pub run: i64,
    /// The connector and step of the run; nothing when it was forgotten.
    pub step: Option<String>,
    /// When the run began.
    pub time: Option<String>,
}

/// Finds out which rule and run something came from.
pub(crate) struct Origins<'a> {
    reader: &'a dyn StoreReader,
    runtime: &'a Runtime,
    versions: Vec<ConfigVersionRow>,
    /// Rules that the configuration in force does not have.
    old: BTreeMap<RuleId, String>,
}

impl<'a> Origins<'a> {
    pub(crate) fn new(reader: &'a dyn StoreReader, runtime: &'a Runtime) -> Result<Self, ServiceError> {
        let connectors = reader.connectors()?;
        // Kept as `CONNECTOR/RULE`, with `/TYPE` behind it where the rule is for several types.
        let rule_of = |kept: &str| {
            let mut own = connectors.iter().filter_map(|c| kept.strip_prefix(&c.name)?.strip_prefix('/'));
            own.next().unwrap_or(kept).to_owned()
        };
        let old = reader.rules()?.into_iter().map(|row| (row.id, rule_of(&row.name))).collect();
        Ok(Self { reader, runtime, versions: reader.config_versions()?, old })
    }

    /// The name of a rule, and whether it was changed or removed since.
    pub(crate) fn rule(&self, id: RuleId) -> (String, bool) {
        match self.runtime.rules.rule(id) {
            Some(rule) => (rule.name.clone(), false),
            None => (self.old.get(&id).cloned().unwrap_or_else(|| format!("rule {id}")), true),
        }
    }

    pub(crate) fn of(
        &self,
        rule: RuleId,
        run: RunId,
        source: Option<String>,
    ) -> Result<ValueOrigin, ServiceError> {
        let (rule, rule_changed) = self.rule(rule);
        let row = self.reader.run(run)?;
        let version = row.as_ref().and_then(|row| {
            self.versions.iter().rev().find(|version| version.created <= row.started).map(|v| v.version)
        });
        let name = |id: ConnectorId| self.runtime.connector_by_id(id).map_or("", |c| c.name());
        Ok(ValueOrigin {
            rule,
            rule_changed,
            configuration: version,
            source,
            run: run.0,
            step: row.as_ref().map(|row| format!("{} {}", name(row.connector), row.step)),
            time: row.map(|row| row.started.to_string()),
        })
    }
}
