//! A cycle: imports of all connectors, sync of all, export, then confirming import and sync of the connectors
//! exported to; repeated while work is due now, three rounds at most.

use std::collections::{BTreeMap, BTreeSet};

use onesync_engine::{ChangeState, ExportRow};
use onesync_model::CsId;
use serde::Serialize;

use crate::error::{ServiceError, Status};
use crate::events;
use crate::runs::{Progress, RunReport, Step, StepCounters};
use crate::runtime::{ConnectorHandle, Runtime, Service};
use crate::unplaced::Unplaced;

/// Rounds of export and confirmation in one cycle. A further one would mean that rules alternate.
const ROUNDS_MAX: usize = 3;

/// Changes looked at, and objects named, when a cycle does not come to rest.
const RESTLESS_LOOKED_AT: usize = 100;
const RESTLESS_NAMED: usize = 5;

/// How a cycle begins.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CycleKind {
    /// Full imports, full sync.
    Initial,
    /// What changed.
    Delta,
}

/// What a cycle did.
#[derive(Clone, Debug, Default, Serialize)]
pub struct CycleReport {
    /// Its steps in order.
    pub steps: Vec<RunReport>,
    /// Steps that could not run.
    pub failures: Vec<StepFailure>,
    /// What imports brought, without confirmations.
    pub imported: StepCounters,
    /// Sent before, seen now.
    pub confirmed: u64,
    /// What was written.
    pub exported: StepCounters,
    /// Errors of single objects.
    pub errors: u64,
    /// Attributes that are not exported because of an error on too many objects, and why.
    pub stopped: Vec<String>,
    /// Objects that are not in the metaverse for want of a value to join by.
    pub unplaced: Vec<Unplaced>,
    /// What is running out of room.
    pub room: Vec<String>,
    /// Connectors whose full import was owed when it began: then all of them are read as a whole.
    pub owed: Vec<String>,
    /// How long it took.
    pub seconds: f64,
    /// The worst exit status of its steps.
    #[serde(skip)]
    pub status: Option<Status>,
}

/// A step that could not run.
#[derive(Clone, Debug, Serialize)]
pub struct StepFailure {
    /// The connector.
    pub connector: String,
    /// The step.
    pub step: Step,
    /// Why.
    pub message: String,
    /// What to do.
    pub hint: Option<String>,
}

impl CycleReport {
    pub(crate) fn take(&mut self, report: RunReport) {
        let c = &report.counters;
        match report.step {
            Step::FullImport | Step::DeltaImport => {
                self.imported.add += c.add;
                self.imported.update += c.update;
                self.imported.delete += c.delete;
                self.imported.unchanged += c.unchanged;
                self.confirmed += c.confirmed;
            }
            Step::Export => {
                self.exported.add += c.add;
                self.exported.update += c.update;
                self.exported.delete += c.delete;
                self.exported.links += c.links;
                self.exported.held += c.held;
            }
            Step::FullSync | Step::DeltaSync => {}
        }
        self.status = self.status.max(Some(report.status));
        self.steps.push(report);
    }

    /// How it ended: the worst of its steps, or errors of single objects that stand.
    #[must_use]
    pub fn exit_status(&self) -> Status {
        let errors = if self.errors > 0 { Status::ObjectErrors } else { Status::Done };
        self.status.unwrap_or(Status::Done).max(errors)
    }

    /// Takes the steps of a cycle that continued this one.
    pub fn merge(&mut self, other: &Self) {
        for step in &other.steps {
            // What an import sees again unchanged in the same cycle is not counted twice.
            let mut step = step.clone();
            step.counters.unchanged = 0;
            self.take(step);
        }
        self.failures.extend(other.failures.iter().cloned());
        self.errors = other.errors;
        (self.stopped, self.unplaced) = (other.stopped.clone(), other.unplaced.clone());
        self.room.clone_from(&other.room);
        self.seconds += other.seconds;
    }

    pub(crate) fn fail(&mut self, connector: &ConnectorHandle, step: Step, error: &ServiceError) {
        self.status = self.status.max(Some(error.status()));
        // The connector is named beside the message.
        let message = match error {
            ServiceError::Connector { source, .. } => source.to_string(),
            other => other.to_string(),
        };
        self.failures.push(StepFailure {
            connector: connector.name().to_owned(),
            step,
            message,
            hint: error.hint().map(str::to_owned),
        });
    }
}

impl Service {
    /// Runs one step.
    ///
    /// # Errors
    /// When the step fails.
    pub async fn run_step(
        &self,
        connector: &str,
        step: Step,
        progress: &(dyn Fn(Progress) + Sync),
    ) -> Result<RunReport, ServiceError> {
        self.runtime()?.connector(connector)?;
        let _lock = self.begin_work(step.as_str())?;
        self.ask_again().await?;
        self.try_new_secrets().await?;
        let report = self.one_step(connector, step, progress).await?;
        self.bear_witness()?;
        Ok(report)
    }

    /// One step, under the lock of the work that it belongs to.
    pub(crate) async fn one_step(
        &self,
        connector: &str,
        step: Step,
        progress: &(dyn Fn(Progress) + Sync),
    ) -> Result<RunReport, ServiceError> {
        if matches!(step, Step::FullSync | Step::DeltaSync) && self.find_source_anchor(&*self.runtime()?)? {
            self.reload().await?;
        }
        let runtime = self.runtime()?;
        let connector = runtime.connector(connector)?;
        self.step(&runtime, connector, step, progress).await
    }

    async fn step(
        &self,
        runtime: &Runtime,
        connector: &ConnectorHandle,
        step: Step,
        progress: &(dyn Fn(Progress) + Sync),
    ) -> Result<RunReport, ServiceError> {
        let ended = self.attempt(runtime, connector, step, progress).await;
        self.note_step(connector, step, &ended);
        ended
    }

    async fn attempt(
        &self,
        runtime: &Runtime,
        connector: &ConnectorHandle,
        step: Step,
        progress: &(dyn Fn(Progress) + Sync),
    ) -> Result<RunReport, ServiceError> {
        if !matches!(step, Step::FullSync | Step::DeltaSync) {
            self.secrets_ready(connector)?;
            if let Some(away) = &connector.unreachable {
                return Err(ServiceError::connector(connector.name(), away.error.clone()));
            }
        }
        self.check_stop()?;
        self.check_room()?;
        match step {
            Step::FullImport | Step::DeltaImport => {
                let report = self.import(runtime, connector, step, progress).await?;
                self.learn(runtime, connector).await?;
                Ok(report)
            }
            Step::FullSync | Step::DeltaSync => {
                tokio::task::block_in_place(|| self.sync(runtime, connector, step, progress))
            }
            Step::Export => self.export(runtime, connector, progress).await,
        }
    }

    /// Runs a cycle. A connector that fails is left out of the rest and named; what does not depend on it goes on.
    ///
    /// # Errors
    /// When the database fails, or no configuration is applied.
    pub async fn cycle(
        &self,
        kind: CycleKind,
        progress: &(dyn Fn(Progress) + Sync),
    ) -> Result<CycleReport, ServiceError> {
        let _lock = self.begin_work("cycle")?;
        self.noted(kind, true, progress).await
    }

    /// Runs a cycle of the scheduler: none when it was switched off before the work was this one's. Whoever switches it
    /// off and then sees nobody at work can rely on that.
    pub(crate) async fn scheduled_cycle(
        &self,
        progress: &(dyn Fn(Progress) + Sync),
    ) -> Result<Option<CycleReport>, ServiceError> {
        let _lock = self.begin_work("cycle")?;
        if !self.scheduler_is_on()? {
            return Ok(None);
        }
        self.noted(CycleKind::Delta, false, progress).await.map(Some)
    }

    /// A cycle with its mark, under the lock.
    async fn noted(
        &self,
        kind: CycleKind,
        by_hand: bool,
        progress: &(dyn Fn(Progress) + Sync),
    ) -> Result<CycleReport, ServiceError> {
        let last = self.note_begin(by_hand)?;
        let ended = self.cycle_locked(kind, progress).await;
        match (self.note_end(last, &ended).and_then(|()| self.bear_witness()), &ended) {
            (Err(error), Ok(_)) => Err(error),
            _ => ended, // an error of the cycle itself says more
        }
    }

    async fn cycle_locked(
        &self,
        kind: CycleKind,
        progress: &(dyn Fn(Progress) + Sync),
    ) -> Result<CycleReport, ServiceError> {
        let began = std::time::Instant::now();
        self.ask_again().await?;
        self.try_new_secrets().await?;
        let mut runtime = self.runtime()?;
        let mut report = CycleReport { owed: self.imports_owed(&runtime)?, ..CycleReport::default() };
        let kind = self.kind_owed(&report.owed, kind);
        let import = if kind == CycleKind::Initial { Step::FullImport } else { Step::DeltaImport };
        let sync = if kind == CycleKind::Initial { Step::FullSync } else { Step::DeltaSync };
        let mut failed: BTreeSet<u32> = BTreeSet::new();
        let mut suspect = false;
        for connector in &runtime.connectors {
            match self.step(&runtime, connector, import, progress).await {
                Ok(run) => report.take(run),
                Err(error) if error.ends_everything() => return Err(error),
                Err(error) => {
                    suspect |= matches!(error, ServiceError::Suspect { .. });
                    failed.insert(connector.id.0);
                    report.fail(connector, import, &error);
                }
            }
        }
        // What the suspect import showed is staged, and what others mean rests on it, too: the first write waits.
        if suspect {
            return self.closed(report, began);
        }
        match self.find_source_anchor(&runtime) {
            Ok(false) => {}
            Ok(true) => {
                self.reload().await?;
                runtime = self.runtime()?;
            }
            // The tenant could not be read, and the report says why.
            Err(ServiceError::Held { .. }) if !failed.is_empty() => return self.closed(report, began),
            Err(error) => {
                let version = runtime.version.to_string();
                self.note_event(&events::CYCLE_FAILED, &version, &error.to_string());
                return Err(error);
            }
        }
        for connector in runtime.connectors.iter().filter(|c| !failed.contains(&c.id.0)) {
            report.take(self.step(&runtime, connector, sync, progress).await?);
        }
        for _ in 0..ROUNDS_MAX {
            let exported = self.export_round(&runtime, &mut failed, &mut report, progress).await?;
            if exported.is_empty() {
                break;
            }
            for connector in runtime.connectors.iter().filter(|c| exported.contains(&c.id.0)) {
                match self.step(&runtime, connector, Step::DeltaImport, progress).await {
                    Ok(run) => report.take(run),
                    Err(error) if error.ends_everything() => return Err(error),
                    Err(error) => {
                        failed.insert(connector.id.0);
                        report.fail(connector, Step::DeltaImport, &error);
                        continue;
                    }
                }
                report.take(self.step(&runtime, connector, Step::DeltaSync, progress).await?);
            }
        }
        for connector in runtime.connectors.iter().filter(|c| !failed.contains(&c.id.0)) {
            if let Some(error) = self.restless(&runtime, connector)? {
                self.note_error(&error, connector.name(), "");
                report.fail(connector, Step::Export, &error);
            }
        }
        self.closed(report, began)
    }

    pub(crate) fn closed(
        &self,
        mut report: CycleReport,
        began: std::time::Instant,
    ) -> Result<CycleReport, ServiceError> {
        let (reader, runtime) = (self.store().reader()?, self.runtime()?);
        report.errors = reader.error_counts()?.iter().map(|e| e.count).sum();
        report.unplaced = self.unplaced(&*reader, &runtime)?;
        report.room = self.room_warnings()?;
        for connector in runtime.connectors.iter().filter(|c| c.capabilities.export) {
            let stops = self.stops(&*reader, &runtime, connector)?;
            report.stopped.extend(stops.words(&runtime, connector));
        }
        report.seconds = began.elapsed().as_secs_f64();
        Ok(report)
    }

    /// Exports to every connector that may be written and has something due; gives those where something was written.
    async fn export_round(
        &self,
        runtime: &Runtime,
        failed: &mut BTreeSet<u32>,
        report: &mut CycleReport,
        progress: &(dyn Fn(Progress) + Sync),
    ) -> Result<BTreeSet<u32>, ServiceError> {
        let mut exported = BTreeSet::new();
        for connector in &runtime.connectors {
            if !connector.capabilities.export
                || failed.contains(&connector.id.0)
                || self.is_staging(connector)?
                || !self.has_due_exports(connector)?
            {
                continue;
            }
            match self.step(runtime, connector, Step::Export, progress).await {
                Ok(run) => {
                    let c = &run.counters;
                    if c.add + c.update + c.delete + c.links > 0 {
                        exported.insert(connector.id.0);
                    }
                    report.take(run);
                }
                Err(error) if error.ends_everything() => return Err(error),
                Err(error) => {
                    failed.insert(connector.id.0);
                    report.fail(connector, Step::Export, &error);
                }
            }
        }
        Ok(exported)
    }

    /// What would still be written to a connector after the last round, though nothing of it was refused: rules that
    /// alternate, or a directory that changes by itself what is written to it.
    fn restless(
        &self,
        runtime: &Runtime,
        connector: &ConnectorHandle,
    ) -> Result<Option<ServiceError>, ServiceError> {
        if !connector.capabilities.export || self.is_staging(connector)? {
            return Ok(None);
        }
        let reader = self.store().reader()?;
        let due =
            reader.due_exports(connector.id, &connector.write_order, self.now(), None, RESTLESS_LOOKED_AT)?;
        let (policy, stopped) =
            (runtime.policies.of(connector.id), self.stops(&*reader, runtime, connector)?.stopped());
        let fresh: Vec<&ExportRow> = due
            .iter()
            .filter(|row| row.error.is_none() && row.attempts == 0)
            .filter(|row| stopped.sends(policy.object_type(row.object_type), row))
            .collect();
        if fresh.is_empty() {
            return Ok(None);
        }
        let ids: Vec<CsId> = fresh.iter().take(RESTLESS_NAMED).map(|row| row.cs).collect();
        let names: BTreeMap<CsId, String> =
            reader.cs_by_id(&ids)?.into_iter().map(|row| (row.id, row.name)).collect();
        let mut lines = Vec::new();
        for row in fresh.iter().take(RESTLESS_NAMED) {
            let changes =
                row.changes.iter().filter(|change| change.state == ChangeState::Pending).map(|change| {
                    let rule =
                        runtime.rules.rule(change.rule).map_or("deprovisioning", |rule| rule.name.as_str());
                    format!("`{}` by rule `{rule}`", runtime.names.name(change.attribute))
                });
            let changes: Vec<String> = changes.collect();
            lines.push(format!("{}: {}", names.get(&row.cs).map_or("?", String::as_str), changes.join(", ")));
        }
        Ok(Some(ServiceError::config(
            format!(
                "`{}` does not come to rest: after {ROUNDS_MAX} rounds there are still changes to write that were \
                 planned by the last confirmation: {}",
                connector.name(),
                lines.join("; ")
            ),
            "two rules probably alternate, or the directory changes what is written to it; nothing more is written \
             in this cycle",
        )))
    }

    fn has_due_exports(&self, connector: &ConnectorHandle) -> Result<bool, ServiceError> {
        let reader = self.store().reader()?;
        Ok(!reader.due_exports(connector.id, &connector.write_order, self.now(), None, 1)?.is_empty()
            || !reader.due_export_links(connector.id, self.now(), None, 1)?.is_empty()
            || !reader.sending_exports(connector.id)?.is_empty())
    }
}
