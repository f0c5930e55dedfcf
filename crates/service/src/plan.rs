//! What a changed configuration would do: the sync itself, run over a copy of the database.

use std::fmt;
use std::sync::Arc;

use onesync_store::SqliteStore;
use serde::Serialize;

use crate::clock::ManualClock;
use crate::config::Configuration;
use crate::error::ServiceError;
use crate::runs::Step;
use crate::runtime::Service;
use crate::{Home, ServiceError as Error};

/// What would be different.
#[derive(Clone, Debug, Default, Serialize)]
pub struct ConfigPlan {
    /// Findings of the check.
    pub messages: Vec<String>,
    /// Counts before and after: what, before, after.
    pub counts: Vec<(String, u64, u64)>,
}

impl fmt::Display for ConfigPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for message in &self.messages {
            writeln!(f, "{message}")?;
        }
        let mut same = true;
        for (what, before, after) in self.counts.iter().filter(|(_, before, after)| before != after) {
            same = false;
            writeln!(f, "{what}: {before} -> {after}")?;
        }
        if same {
            writeln!(f, "nothing would change")?;
        }
        Ok(())
    }
}

impl Service {
    /// Runs a full sync of all connectors under a configuration over a copy of the database, and compares.
    /// Nothing is imported, nothing is exported, nothing of the installation is touched.
    ///
    /// # Errors
    /// When the configuration has errors, or there is no room for the copy.
    pub async fn config_plan(&self, configuration: Configuration) -> Result<ConfigPlan, ServiceError> {
        let mut id = [0u8; 8];
        aws_lc_rs::rand::fill(&mut id).map_err(|_| onesync_vault::VaultError::Random)?;
        let name: String = id.iter().map(|byte| format!("{byte:02x}")).collect();
        let folder = self.home().folder().join(format!("scratch-{name}"));
        std::fs::create_dir(&folder)
            .map_err(|source| Error::File { place: folder.display().to_string(), source })?;
        let result = self.plan_in(Home::new(&folder), configuration).await;
        if let Err(source) = std::fs::remove_dir_all(&folder) {
            tracing::warn!(folder = %folder.display(), %source, "the scratch folder could not be removed");
        }
        result
    }

    async fn plan_in(&self, scratch: Home, configuration: Configuration) -> Result<ConfigPlan, ServiceError> {
        SqliteStore::copy(&self.home().database(), &scratch.database())?;
        if self.home().key_set().exists() {
            std::fs::copy(self.home().key_set(), scratch.key_set())
                .map_err(|source| Error::File { place: scratch.key_set().display().to_string(), source })?;
        }
        let before = self.plan_counts()?;
        let copy = Box::pin(Self::open(scratch, Arc::new(ManualClock::new(self.now())), 1)).await?;
        let (_, check) = copy.apply(configuration, "plan").await?;
        let runtime = copy.runtime()?;
        for connector in &runtime.connectors {
            tokio::task::block_in_place(|| copy.sync(&runtime, connector, Step::FullSync, &|_| ()))?;
        }
        let after = copy.plan_counts()?;
        let names: std::collections::BTreeSet<&String> = before.keys().chain(after.keys()).collect();
        let count = |map: &std::collections::BTreeMap<String, u64>, name: &String| {
            map.get(name).copied().unwrap_or(0)
        };
        let counts =
            names.into_iter().map(|name| (name.clone(), count(&before, name), count(&after, name))).collect();
        Ok(ConfigPlan { messages: check.messages, counts })
    }

    fn plan_counts(&self) -> Result<std::collections::BTreeMap<String, u64>, ServiceError> {
        let reader = self.store().reader()?;
        let mut out = std::collections::BTreeMap::new();
        let Ok(runtime) = self.runtime() else { return Ok(out) };
        let type_name = |id| runtime.names.type_name(id).to_owned();
        for count in reader.mv_counts()? {
            let what = format!(
                "metaverse {}{}",
                type_name(count.object_type),
                if count.leaving { " leaving" } else { "" }
            );
            *out.entry(what).or_default() += count.count;
        }
        for count in reader.cs_counts()? {
            let connector =
                runtime.connector_by_id(count.connector).map(|c| c.name().to_owned()).unwrap_or_default();
            let what = format!(
                "{connector} {} {}",
                type_name(count.object_type),
                if count.joined { "joined" } else { "not joined" }
            );
            *out.entry(what).or_default() += count.count;
        }
        for count in reader.export_counts()? {
            let connector =
                runtime.connector_by_id(count.connector).map(|c| c.name().to_owned()).unwrap_or_default();
            *out.entry(format!(
                "{connector} {} pending {:?}",
                type_name(count.object_type),
                count.operation
            ))
            .or_default() += count.count;
        }
        for count in reader.export_link_counts()? {
            let word = if count.add { "to add" } else { "to remove" };
            *out.entry(format!("links of {} {word}", runtime.names.name(count.attribute))).or_default() +=
                count.count;
        }
        Ok(out)
    }
}
