//! Staging: a connector that can export begins in it. Leaving it needs the shown plan, by its hash.

use std::collections::BTreeMap;

use onesync_engine::{Changes, CsFlags, ExportRow};
use onesync_model::{ConnectorId, CsId, Hash128, Operation};
use onesync_store::{ExportFilter, ServiceChanges};
use serde::Serialize;

use crate::error::ServiceError;
use crate::runs::Step;
use crate::runtime::{ConnectorHandle, Runtime, Service};

/// Present when exports to a connector are on.
const ACTIVE: &str = "export-active";
/// Rows read at once.
const PAGE: usize = 1_000;
/// Runs that are looked at for an import.
const RUNS: usize = 1_000;
/// Samples of each group that a plan shows.
const SAMPLES: usize = 10;

/// What leaving staging would do: first contact with a directory.
#[derive(Clone, Debug, Default, Serialize)]
pub struct StagingPlan {
    /// The connector.
    pub connector: String,
    /// The hash of all that is pending: `staging off` takes it.
    pub hash: String,
    /// Objects by what would happen to them.
    pub groups: Vec<FirstContact>,
}

/// One group of a [`StagingPlan`].
#[derive(Clone, Debug, Default, Serialize)]
pub struct FirstContact {
    /// `adopt`, `create`, `update`, `delete`, `links`, `conflict`, `cloud-only, untouched`, `mastered elsewhere`.
    pub what: String,
    /// The object type.
    pub object_type: String,
    /// How many.
    pub count: u64,
    /// Some of them, with what would change.
    pub samples: Vec<String>,
}

impl Service {
    /// Whether exports to a connector are off.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn is_staging(&self, connector: &ConnectorHandle) -> Result<bool, ServiceError> {
        let reader = self.store().reader()?;
        let whole = reader.installation()?.is_some_and(|installation| installation.staging);
        Ok(whole || reader.state(connector.id, ACTIVE)?.is_none())
    }

    /// `reads only`, `staging`, `active`.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn mode(&self, connector: &ConnectorHandle) -> Result<&'static str, ServiceError> {
        Ok(match (connector.capabilities.export, self.is_staging(connector)?) {
            (false, _) => "reads only",
            (true, true) => "staging",
            (true, false) => "active",
        })
    }

    /// Turns exports to a connector off.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub fn staging_on(&self, connector: &ConnectorHandle) -> Result<(), ServiceError> {
        can_be_written(connector)?;
        self.set_active(connector.id, None, "staging-on", connector.name())
    }

    /// Turns exports to a connector on. Needs the hash of the plan as it is now.
    ///
    /// # Errors
    /// [`crate::Status::Held`] when the plan is another one by now, or nothing was read from the directory yet.
    pub fn staging_off(
        &self,
        runtime: &Runtime,
        connector: &ConnectorHandle,
        plan: &str,
    ) -> Result<(), ServiceError> {
        let name = connector.name();
        can_be_written(connector)?;
        if !self.was_imported(connector)? {
            return Err(ServiceError::held(
                format!("`{name}` was never read: what is there already is not in the plan"),
                "run `onesync cycle initial`, then look at the plan again",
            ));
        }
        let _lock = self.begin_work("staging off")?; // the plan stays what it is while it is compared
        let now = self.plan_hash(connector)?;
        if Hash128::parse(plan) != Some(now) {
            let _ = runtime;
            let message = if plan.is_empty() {
                format!(
                    "leaving staging needs the hash of the plan of `{name}`, which shows that it was read"
                )
            } else {
                format!(
                    "the plan of `{name}` does not have the hash `{plan}`: it has changed since it was shown, or the hash is mistyped"
                )
            };
            let hint = format!(
                "look at it with `onesync staging plan {name}`, then name the hash it shows with `--plan`"
            );
            return Err(ServiceError::held(message, hint));
        }
        self.set_active(connector.id, Some(vec![1]), "staging-off", connector.name())
    }

    /// Whether a full import of this directory ever ended well.
    fn was_imported(&self, connector: &ConnectorHandle) -> Result<bool, ServiceError> {
        let reader = self.store().reader()?;
        Ok(reader.state(connector.id, crate::import::WATERMARK)?.is_some()
            || reader.runs(Some(connector.id), None, RUNS)?.iter().any(|run| {
                run.step == Step::FullImport.as_str()
                    && run.ended.is_some()
                    && run.result.as_deref() != Some("failed")
            }))
    }

    fn set_active(
        &self,
        connector: ConnectorId,
        value: Option<Vec<u8>>,
        kind: &str,
        name: &str,
    ) -> Result<(), ServiceError> {
        let states = vec![(connector, ACTIVE.to_owned(), value)];
        let service =
            ServiceChanges { events: vec![self.audit(kind, name, "")], ..ServiceChanges::default() };
        Ok(self.store().write(self.epoch(), &Changes { states, ..Changes::default() }, &service)?)
    }

    /// The hash of everything that is pending for a connector.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn plan_hash(&self, connector: &ConnectorHandle) -> Result<Hash128, ServiceError> {
        let reader = self.store().reader()?;
        let objects =
            reader.export_counts()?.into_iter().filter(|c| c.connector == connector.id).map(|c| c.hashes);
        let links = reader
            .export_link_counts()?
            .into_iter()
            .filter(|c| c.connector == connector.id)
            .map(|c| c.hashes);
        Ok(objects.chain(links).fold(Hash128::default(), Hash128::plus))
    }

    /// What leaving staging would do.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn staging_plan(
        &self,
        runtime: &Runtime,
        connector: &ConnectorHandle,
    ) -> Result<StagingPlan, ServiceError> {
        can_be_written(connector)?;
        let reader = self.store().reader()?;
        let mut groups: BTreeMap<(u8, String, String), FirstContact> = BTreeMap::new();
        let mut add = |order: u8, what: &str, object_type: String, sample: Option<String>, count: u64| {
            let group = groups.entry((order, what.to_owned(), object_type.clone())).or_insert_with(|| {
                FirstContact { what: what.to_owned(), object_type, ..FirstContact::default() }
            });
            group.count += count;
            if let Some(sample) = sample.filter(|_| group.samples.len() < SAMPLES) {
                group.samples.push(sample);
            }
        };
        let mut after = CsId(i64::MIN);
        loop {
            let page = reader.exports_page(connector.id, ExportFilter::default(), after, PAGE)?;
            let Some(last) = page.last() else { break };
            after = last.cs;
            let ids: Vec<CsId> = page.iter().map(|row| row.cs).collect();
            let names: BTreeMap<CsId, String> =
                reader.cs_by_id(&ids)?.into_iter().map(|row| (row.id, row.name)).collect();
            for row in &page {
                let object_type = runtime.names.type_name(row.object_type).to_owned();
                let name = names.get(&row.cs).cloned().unwrap_or_default();
                let sample = Some(format!("{name}: {}", crate::look::describe_export(runtime, row)));
                let (order, what) = match row.operation {
                    _ if row.kinds & ExportRow::KIND_UNWRITABLE != 0 => (7, "cannot be written"),
                    Operation::Add => (2, "create"),
                    Operation::Update if row.kinds & ExportRow::KIND_ADOPT != 0 => (1, "adopt"),
                    Operation::Update => (3, "update"),
                    Operation::Delete => (4, "delete"),
                };
                add(order, what, object_type, sample, 1);
            }
        }
        for count in reader.export_link_counts()?.into_iter().filter(|c| c.connector == connector.id) {
            let what = if count.add { "link values to add" } else { "link values to remove" };
            add(5, what, runtime.names.name(count.attribute).to_owned(), None, count.count);
        }
        for count in reader.cs_counts()?.into_iter().filter(|c| c.connector == connector.id) {
            let object_type = runtime.names.type_name(count.object_type).to_owned();
            let flags = CsFlags(count.flags);
            if flags.has(CsFlags::MASTERED_ELSEWHERE) {
                add(8, "mastered elsewhere, untouched", object_type, None, count.count);
            } else if !count.joined && !flags.has(CsFlags::GONE) {
                add(9, "only there, untouched", object_type, None, count.count);
            }
        }
        let mut conflicts = 0;
        let place = format!("join:{}", connector.name());
        for count in reader.error_counts()?.into_iter().filter(|c| c.place == place) {
            conflicts += count.count;
        }
        if conflicts > 0 {
            add(6, "conflict (see `onesync errors`)", String::new(), None, conflicts);
        }
        drop(reader);
        Ok(StagingPlan {
            connector: connector.name().to_owned(),
            hash: self.plan_hash(connector)?.to_string(),
            groups: groups.into_values().collect(),
        })
    }
}

fn can_be_written(connector: &ConnectorHandle) -> Result<(), ServiceError> {
    if connector.capabilities.export {
        return Ok(());
    }
    Err(ServiceError::usage(
        format!("`{}` is only read: nothing is exported to it, staging or not", connector.name()),
        "`onesync staging status` shows which connectors can be written",
    ))
}
