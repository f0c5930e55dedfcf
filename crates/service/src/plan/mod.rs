//! What a changed configuration would do: the sync itself, run over a copy of the database.
//!
//! Every difference between the two states is an item; all items are in a file below the home, and their sum is the hash
//! by which `config apply` takes the plan.

mod compare;
mod effect;
mod reviewed;

pub(crate) use reviewed::FOLDER as PLANS;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use onesync_engine::ExportRow;
use onesync_model::Operation;
use onesync_store::{ConfigFiles, SqliteStore, Store as _, StoreReader};
use serde::Serialize;

use crate::clock::ManualClock;
use crate::config::{Configuration, SourceAnchor};
use crate::error::ServiceError;
use crate::runs::Step;
use crate::runtime::{ConnectorHandle, Runtime, Service};
use crate::scratch::Scratch;
use crate::unreadable::source_place;
use crate::{Home, ServiceError as Error};

use compare::Comparison;
pub(crate) use compare::export_item;
use effect::Effects;
pub use effect::{AttributeCount, Difference, Effect, EffectCount, PlanItem};
pub(crate) use reviewed::forget_leftovers;
pub use reviewed::{Applied, Moved};

/// Objects named for each error that more objects would have, and errors looked at for them.
const ERROR_SAMPLES: usize = 3;
const ERRORS_LOOKED_AT: usize = 10_000;

/// What would be different.
#[derive(Clone, Debug, Default, Serialize)]
pub struct ConfigPlan {
    /// Findings of the check.
    pub messages: Vec<String>,
    /// Whether no configuration is applied yet.
    pub first: bool,
    /// Files that are new, changed or removed.
    pub files: Vec<FileChange>,
    /// Objects by what would become of them.
    pub effects: Vec<EffectCount>,
    /// Objects by the attributes that would change: of the metaverse, and as pending at targets.
    pub attributes: Vec<AttributeCount>,
    /// Numbers of objects and pending changes, before and after.
    pub counts: Vec<CountChange>,
    /// What a narrower selection of a connector leaves outside.
    pub outside: Vec<String>,
    /// The hash of all items: `config apply --plan` takes it. Empty where nothing could be computed.
    pub hash: String,
    /// How many items there are.
    pub items: u64,
    /// The file with all items, one JSON object a line.
    pub list: Option<PathBuf>,
    /// Errors that more objects would have, with some of these objects.
    pub errors: Vec<ErrorChange>,
}

/// An error that more objects would have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ErrorChange {
    /// Which error: connector, place, code.
    pub what: String,
    /// Objects with what is wrong with them.
    pub samples: Vec<String>,
}

/// One file of a configuration that differs from the one in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FileChange {
    /// The file.
    pub path: String,
    /// `new`, `changed`, `removed`.
    pub change: &'static str,
}

/// A number before and after.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CountChange {
    /// What is counted.
    pub what: String,
    /// Now.
    pub before: u64,
    /// With the configuration that was looked at.
    pub after: u64,
}

impl fmt::Display for ConfigPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for file in &self.files {
            writeln!(f, "{:<8} {}", file.change, file.path)?;
        }
        for line in &self.outside {
            writeln!(f, "{line}")?;
        }
        match (self.first, self.items == 0 && self.outside.is_empty()) {
            (true, _) => return write!(f, "this is the first configuration: nothing is imported yet"),
            (false, true) if self.files.is_empty() => return write!(f, "it is the configuration in force"),
            (false, true) => return write!(f, "no object and no pending change would be different"),
            (false, false) => {}
        }
        for EffectCount { connector, object_type, count, samples, words, .. } in &self.effects {
            let place = if connector.is_empty() { String::new() } else { format!("{connector}: ") };
            let more = if *count > samples.len() as u64 { ", ..." } else { "" };
            writeln!(f, "{place}{count} {object_type} {words}: {}{more}", samples.join(", "))?;
        }
        for count in &self.attributes {
            let place = if count.connector.is_empty() { "metaverse" } else { &count.connector };
            let parts = [(count.set, "set"), (count.changed, "changed"), (count.emptied, "emptied")];
            let parts = parts.iter().filter(|(count, _)| *count > 0);
            let parts: Vec<String> = parts.map(|(count, word)| format!("{count} {word}")).collect();
            writeln!(f, "{place}: {} {}: {}", count.object_type, count.attribute, parts.join(", "))?;
        }
        for CountChange { what, before, after } in self.counts.iter().filter(|c| c.before != c.after) {
            writeln!(f, "{what}: {before} -> {after}")?;
            for sample in self.errors.iter().filter(|e| e.what == *what).flat_map(|e| &e.samples) {
                writeln!(f, "    {sample}")?;
            }
        }
        if let Some(list) = &self.list {
            writeln!(f, "all {} items: {}", self.items, list.display())?;
        }
        write!(f, "plan {}", self.hash)
    }
}

impl Service {
    /// Runs a full sync of all connectors under a configuration over a copy of the database, and compares. Objects
    /// that a narrower selection leaves outside are counted and leave the copy before.
    /// Nothing is imported, nothing is exported, nothing of the installation is touched.
    ///
    /// # Errors
    /// When the configuration has errors, or there is no room for the copy.
    pub async fn config_plan(&self, configuration: Configuration) -> Result<ConfigPlan, ServiceError> {
        reviewed::forget_leftovers(self.home().folder());
        let scratch = Scratch::make(self.home().folder())?;
        self.plan_in(Home::new(scratch.home()), configuration).await
    }

    /// The files in which a configuration differs from the one in force.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn changed_files(&self, configuration: &Configuration) -> Result<Vec<FileChange>, ServiceError> {
        let reader = self.store().reader()?;
        let before = match reader.config_versions()?.last() {
            Some(latest) => reader.config_files(latest.version)?.unwrap_or_default(),
            None => ConfigFiles::default(),
        };
        let after = &configuration.files;
        let names: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
        let change = |path: &String| match (before.get(path), after.get(path)) {
            (None, _) => Some("new"),
            (_, None) => Some("removed"),
            (old, new) => (old != new).then_some("changed"),
        };
        Ok(names
            .into_iter()
            .filter_map(|path| Some(FileChange { path: path.clone(), change: change(path)? }))
            .collect())
    }

    async fn plan_in(&self, scratch: Home, configuration: Configuration) -> Result<ConfigPlan, ServiceError> {
        let files = self.changed_files(&configuration)?;
        let first = self.store().reader()?.config_versions()?.is_empty();
        self.store().copy_to(&scratch.database())?;
        if self.home().key_set().exists() {
            onesync_vault::KeySet::copy(&self.home().key_set(), &scratch.key_set())?;
        }
        // The state to compare with is the one that was copied, whatever a cycle does meanwhile.
        let untouched = scratch.folder().join("before.db");
        std::fs::copy(scratch.database(), &untouched)
            .map_err(|source| Error::File { place: untouched.display().to_string(), source })?;
        let untouched = SqliteStore::open(&untouched)?;
        let before = self.plan_counts(&*untouched.reader()?)?;
        let named = configuration.hash();
        let copy = Box::pin(Self::open_from(
            scratch,
            self.paths_from().to_owned(),
            Arc::new(ManualClock::new(self.now())),
            self.threads(),
        ))
        .await?;
        let asks_tenant = configuration.main.source_anchor == SourceAnchor::Tenant;
        let (_, mut check) = copy.apply(configuration, "plan").await?;
        if asks_tenant {
            let hits = copy.anchor_hits(&*copy.runtime()?)?;
            check.messages.push(format!("source anchor: {hits}"));
            match copy.find_source_anchor(&*copy.runtime()?) {
                Ok(true) => copy.reload().await?,
                Ok(false) => {}
                // Nothing will be synchronised either, and the way out may be this very configuration.
                Err(ServiceError::Held { message, .. }) => {
                    check.messages.push(format!("warning: {message}"));
                    return Ok(ConfigPlan {
                        messages: check.messages,
                        first,
                        files,
                        ..ConfigPlan::default()
                    });
                }
                Err(error) => return Err(error),
            }
        }
        let runtime = copy.runtime()?;
        if !asks_tenant {
            check.messages.extend(copy.anchor_compared(&runtime)?);
        }
        let mut outside = Vec::new();
        for connector in &runtime.connectors {
            outside.extend(tokio::task::block_in_place(|| copy.leave_outside(&runtime, connector))?);
        }
        for connector in &runtime.connectors {
            tokio::task::block_in_place(|| copy.sync(&runtime, connector, Step::FullSync, &|_| ()))?;
        }
        let after = copy.plan_counts(&*copy.store().reader()?)?;
        let names: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
        let count = |map: &BTreeMap<String, u64>, name: &String| map.get(name).copied().unwrap_or(0);
        let counts: Vec<CountChange> = names
            .into_iter()
            .map(|name| CountChange {
                what: name.clone(),
                before: count(&before, name),
                after: count(&after, name),
            })
            .collect();
        let mut list = self.begin_list(&copy)?;
        let mut effects = Effects::default();
        tokio::task::block_in_place(|| -> Result<(), ServiceError> {
            let (before, after) = (untouched.reader()?, copy.store().reader()?);
            let comparison = Comparison { before: &*before, after: &*after, runtime: &runtime };
            comparison.all(&mut |item| {
                effects.take(&item);
                list.write(&item)
            })
        })?;
        let hash = onesync_model::hash128(&[&named.0, &effects.hash.0]);
        let list = self.keep_list(list, hash, named)?;
        let errors = copy.more_errors(&runtime, &counts)?;
        Ok(ConfigPlan {
            messages: check.messages,
            first,
            files,
            effects: effects.counts(),
            attributes: effects.attributes(),
            counts,
            outside,
            errors,
            hash: hash.to_string(),
            items: effects.items,
            list: Some(list),
        })
    }

    fn plan_counts(&self, reader: &dyn StoreReader) -> Result<BTreeMap<String, u64>, ServiceError> {
        let mut out = BTreeMap::new();
        let Ok(runtime) = self.runtime() else { return Ok(out) };
        let type_name = |id| runtime.names.type_name(id).to_owned();
        for count in reader.mv_counts()? {
            let what = format!(
                "metaverse: {}{}",
                type_name(count.object_type),
                if count.leaving { " leaving" } else { "" }
            );
            *out.entry(what).or_default() += count.count;
        }
        for count in reader.cs_counts()? {
            let connector =
                runtime.connector_by_id(count.connector).map(|c| c.name().to_owned()).unwrap_or_default();
            let what = format!(
                "{connector}: {} {}",
                type_name(count.object_type),
                if count.joined { "joined" } else { "not joined" }
            );
            *out.entry(what).or_default() += count.count;
        }
        for count in reader.export_counts()? {
            let connector =
                runtime.connector_by_id(count.connector).map(|c| c.name().to_owned()).unwrap_or_default();
            let operation = match count.operation {
                _ if count.kinds & ExportRow::KIND_OUTSIDE != 0 => "not to be sent",
                Operation::Add => "to create",
                Operation::Update => "to update",
                Operation::Delete => "to delete",
            };
            let what = format!("{connector}: {} {operation}", type_name(count.object_type));
            *out.entry(what).or_default() += count.count;
            let not_sent = count.kinds & ExportRow::KINDS_NOT_SENT != 0;
            if count.kinds & ExportRow::KIND_DISABLE != 0 && !not_sent {
                let what = format!("{connector}: {} to disable", type_name(count.object_type));
                *out.entry(what).or_default() += count.count;
            }
        }
        for count in reader.error_counts()? {
            let Some(connector) = runtime.connector_by_id(count.connector) else { continue };
            *out.entry(error_words(connector, &count.place, &count.code)).or_default() += count.count;
        }
        for count in reader.export_link_counts()? {
            let word = if count.add { "to add" } else { "to remove" };
            let connector =
                runtime.connector_by_id(count.connector).map(|c| c.name().to_owned()).unwrap_or_default();
            let what = format!("{connector}: values of {} {word}", runtime.names.name(count.attribute));
            *out.entry(what).or_default() += count.count;
        }
        Ok(out)
    }

    /// Some objects of each error that more objects have after than before.
    fn more_errors(
        &self,
        runtime: &Runtime,
        counts: &[CountChange],
    ) -> Result<Vec<ErrorChange>, ServiceError> {
        let more: BTreeSet<&str> =
            counts.iter().filter(|c| c.after > c.before).map(|c| c.what.as_str()).collect();
        let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for connector in &runtime.connectors {
            for (object, row) in self.errors(Some(connector), ERRORS_LOOKED_AT)? {
                let what = error_words(connector, &row.place, &row.code);
                if !more.contains(what.as_str()) {
                    continue;
                }
                let samples = found.entry(what).or_default();
                if samples.len() < ERROR_SAMPLES {
                    samples.push(format!("{object}: {}", row.message));
                }
            }
        }
        Ok(found.into_iter().map(|(what, samples)| ErrorChange { what, samples }).collect())
    }
}

fn error_words(connector: &ConnectorHandle, place: &str, code: &str) -> String {
    // Each place in a source is one of its own: they are counted together.
    let place = if source_place(place).is_some() { "source" } else { place };
    format!("{}: errors of {place} ({code})", connector.name())
}
