//! The export step: protections, fencing, and the states of what is sent.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use onesync_connectors::{
    ConnectorError, ErrorClass, ExportBatch, ExportItem, ExportOutcome, ExportResult, LinkExport, Permit as _,
};
use onesync_engine::{Answer, ExportLinkRow, Guarded, Outcome, Outgoing, Refusal, Stopped};
use onesync_model::{AttrId, CsId, Operation, RunId, TypeId};
use onesync_store::{ExportedRow, HeldState, ServiceChanges};
use serde::Serialize;

use crate::anchor::EXPORTED;
use crate::error::{ServiceError, Status};
use crate::import::IMPORTED_AT;
use crate::permit::ExportPermit;
use crate::runs::{Progress, RunReport, Step, StepCounters};
use crate::runtime::{ConnectorHandle, Runtime, Service};
use crate::stops::{Stops, keep_sendable, waiting};

/// Rows read at once.
const PAGE: usize = 1_000;
/// Batches in a row that fail as a whole after which the step stops: the directory is out of reach.
const FAILED_BATCHES_MAX: u32 = 3;
/// Links sent for one owner in one read of the store: bounds memory for large groups.
pub(crate) const LINKS_PAGE: usize = 2_000;

/// What an export did.
#[derive(Clone, Copy, Debug, Default)]
pub struct ExportCounters {
    /// Created, changed, deleted objects; link values; errors.
    pub counters: (u64, u64, u64, u64, u64),
}

/// What a protection holds back, for reports.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HeldGroup {
    /// The connector.
    pub connector: String,
    /// The object type.
    pub object_type: String,
    /// Which limit, and the numbers.
    pub reason: String,
    /// How many changes.
    pub deletes: u64,
    /// The hash by which it is released.
    pub hash: String,
}

/// An export on its way.
struct Course {
    run: RunId,
    counters: StepCounters,
    /// Batches in a row that failed as a whole.
    failed: u32,
    stops: Stops,
    stopped: Stopped,
    /// There from the first batch on.
    permit: Option<Arc<ExportPermit>>,
}

impl Service {
    /// Exports what is owed to a connector.
    ///
    /// # Errors
    /// [`Status::Held`] when exports are off, the directory is another installation's, or this server is fenced.
    pub async fn export(
        &self,
        runtime: &Runtime,
        connector: &ConnectorHandle,
        progress: &(dyn Fn(Progress) + Sync),
    ) -> Result<RunReport, ServiceError> {
        self.may_export(runtime, connector).await?;
        self.recover_exports(runtime, connector).await?;
        progress(Progress::Begin { connector: connector.name().to_owned(), step: Step::Export });
        let run = self.begin_run(connector, Step::Export)?;
        if let Err(error) = self.hold_moved(runtime, connector) {
            return self.fail_run(run, error);
        }
        let held = match self.hold(runtime, connector) {
            Ok(held) => held,
            Err(error) => return self.fail_run(run, error),
        };
        let stops = match self.note_stops(runtime, connector) {
            Ok(stops) => stops,
            Err(error) => return self.fail_run(run, error),
        };
        let counters =
            StepCounters { held: held.iter().map(|group| group.deletes).sum(), ..StepCounters::default() };
        let mut course =
            Course { run: run.id, counters, failed: 0, stops, stopped: Stopped::default(), permit: None };
        course.stopped = course.stops.stopped();
        let sent = self.send_all(runtime, connector, &mut course, progress).await;
        let Course { counters, stops, permit, .. } = course;
        let mut remarks = Vec::new();
        if let Some(permit) = permit
            && permit.check().await.is_ok()
            && let Err(error) = self.leave(connector, permit.claim()).await
        {
            remarks.push(format!(
                "a copy of this server from during this run would not be seen as one: {error}"
            ));
        }
        if let Err(error) = sent {
            return self.fail_run(run, error);
        }
        let held = held.iter().map(|group| format!("held: {} ({})", group.reason, group.object_type));
        let standing = stops.0.iter().filter(|stop| stop.decided != HeldState::Released);
        let stopped = standing
            .map(|stop| format!("stopped: {} ({})", stop.reason, runtime.names.type_name(stop.object_type)));
        remarks.extend(held.chain(stopped));
        let outcome = if counters.held > 0 {
            ("completed-held", Status::Held)
        } else if counters.errors > 0 {
            ("completed-with-errors", Status::ObjectErrors)
        } else {
            ("success", Status::Done)
        };
        let report = self.end_run(run, connector, Step::Export, counters, remarks, outcome)?;
        progress(Progress::End { report: Box::new(report.clone()) });
        Ok(report)
    }

    /// Whether anything may be written there: a copy, staging, full imports that are owed, the directory's own obstacle, the
    /// marker.
    async fn may_export(&self, runtime: &Runtime, connector: &ConnectorHandle) -> Result<(), ServiceError> {
        let failed = |error| ServiceError::connector(connector.name(), error);
        if !connector.capabilities.export {
            return Err(ServiceError::usage(
                format!(
                    "connector `{}` only reads: what rules compute for it is shown by `pending` and never written",
                    connector.name()
                ),
                "export to another connector",
            ));
        }
        self.must_not_be_a_copy()?;
        if self.is_staging(connector)? {
            return Err(ServiceError::held(
                format!("`{}` is in staging: nothing is exported", connector.name()),
                format!(
                    "look at `onesync staging plan {0}`, then run `onesync staging off {0} --plan HASH`",
                    connector.name()
                ),
            ));
        }
        self.must_be_verified(runtime)?;
        // What the server before sent last may be there by now.
        let imported = self.store().reader()?.state(connector.id, IMPORTED_AT)?;
        if imported.is_some_and(|epoch| epoch != self.epoch().to_le_bytes()) {
            return Err(ServiceError::held(
                format!(
                    "nothing is exported to `{}`: it was not read since the epoch was taken, and what the server before sent \
                     last is not known",
                    connector.name()
                ),
                "run `onesync cycle`: it reads first",
            ));
        }
        if let Some(obstacle) = connector.connector.export_obstacle().await.map_err(failed)? {
            return Err(ServiceError::held(
                format!("nothing is exported to `{}`: {obstacle}", connector.name()),
                "see docs/graph.md, coexistence",
            ));
        }
        self.must_have_marker(connector).await?;
        self.set_refusal(connector, None).map(drop)
    }

    async fn send_all(
        &self,
        runtime: &Runtime,
        connector: &ConnectorHandle,
        course: &mut Course,
        progress: &(dyn Fn(Progress) + Sync),
    ) -> Result<(), ServiceError> {
        let mut after: Option<(Operation, TypeId, CsId)> = None;
        loop {
            let due = self.store().reader()?.due_exports(
                connector.id,
                &connector.write_order,
                self.now(),
                after,
                PAGE,
            )?;
            let Some(last) = due.last() else { break };
            after = Some((last.operation, last.object_type, last.cs));
            let mut rest = &due[..];
            while !rest.is_empty() {
                // What is stopped is left out before a batch is made of the rest: it costs no request.
                let mut ids: Vec<CsId> = Vec::new();
                while let Some((row, others)) = rest.split_first()
                    && ids.len() < connector.capabilities.export_batch_max.max(1)
                {
                    rest = others;
                    let policy = runtime.policies.of(connector.id).object_type(row.object_type);
                    let sends = course.stopped.sends(policy, row);
                    course.counters.held += u64::from(!sends || waiting(&course.stopped, row) > 0);
                    ids.extend(sends.then_some(row.cs));
                }
                if ids.is_empty() {
                    continue;
                }
                self.send(runtime, connector, &ids, &[], course).await?;
                let c = &course.counters;
                progress(Progress::At { done: c.add + c.update + c.delete, of: None });
            }
        }
        let mut after = None;
        loop {
            let mut due =
                self.store().reader()?.due_export_links(connector.id, self.now(), after, LINKS_PAGE)?;
            let Some(last) = due.last() else { return Ok(()) };
            after = Some((last.owner, last.attribute, last.target));
            let policy = runtime.policies.of(connector.id);
            course.counters.held +=
                keep_sendable(&*self.store().reader()?, policy, &course.stopped, &mut due)?;
            for batch in link_batches(
                &due,
                connector.capabilities.export_batch_max.max(1),
                connector.capabilities.export_links_max.max(1),
            ) {
                self.send(runtime, connector, &[], &batch, course).await?;
                progress(Progress::At { done: course.counters.links, of: None });
            }
        }
    }

    async fn send(
        &self,
        runtime: &Runtime,
        connector: &ConnectorHandle,
        ids: &[CsId],
        links: &[ExportLinkRow],
        course: &mut Course,
    ) -> Result<(), ServiceError> {
        self.check_stop()?;
        // `staging on` is the emergency brake: it holds from the next batch on.
        if self.is_staging(connector)? {
            return Err(ServiceError::held(
                format!(
                    "`{}` was put into staging while it was written: the rest is not sent",
                    connector.name()
                ),
                format!("look at `onesync staging plan {}`", connector.name()),
            ));
        }
        let permit = match &course.permit {
            Some(permit) => permit.clone(),
            None => {
                // What is sent from here on is to be missed in a database that was brought back from before.
                self.bear_witness()?;
                let permit = self.permit(connector, self.claim(connector).await?)?;
                course.permit.insert(permit).clone()
            }
        };
        let ctx = self.context(runtime, course.run);
        let (changes, outgoing) = {
            let reader = self.store().reader()?;
            onesync_engine::begin(&ctx, &*reader, ids, links, &course.stopped)?
        };
        let mut changes = changes;
        if !outgoing.is_empty() {
            changes.states.push((connector.id, EXPORTED.to_owned(), Some(vec![1])));
            changes.states.extend(self.first_anchor(runtime, connector)?);
        }
        self.store().apply(self.epoch(), &changes)?; // durable before the first byte leaves
        if outgoing.is_empty() {
            return Ok(());
        }
        let mut seed = [0u8; 32];
        aws_lc_rs::rand::fill(&mut seed).map_err(|_| onesync_vault::VaultError::Random)?;
        let items = split_items(&outgoing, connector.capabilities.export_links_max.max(1));
        let batch = ExportBatch {
            items: items.iter().map(|(_, item)| item.clone()).collect(),
            pass: permit.pass(),
            seed,
        };
        let exported = connector.connector.export(batch).await;
        // What is not known to have been sent stays as it is, and is looked up by whoever may write.
        if let Some((refused, copied)) = permit.refusal() {
            self.note_refusal(connector, &refused, copied);
            return Err(refused);
        }
        let results = match exported {
            Ok(results) => {
                course.failed = 0;
                results
            }
            Err(error) => {
                course.failed += 1;
                let results = items
                    .iter()
                    .map(|_| ExportResult {
                        outcome: ExportOutcome::Failed(error.clone()),
                        refused: Vec::new(),
                    })
                    .collect();
                if course.failed >= FAILED_BATCHES_MAX
                    || matches!(error.class, ErrorClass::Configuration | ErrorClass::Fatal)
                {
                    let answers = answers(&outgoing, &items, results);
                    self.settle(runtime, connector, &answers, course)?;
                    return Err(ServiceError::connector(connector.name(), error));
                }
                results
            }
        };
        let answers = answers(&outgoing, &items, results);
        self.settle(runtime, connector, &answers, course)?;
        // What is refused alike too often stops with this batch, not with the next run.
        if answers.iter().any(|(_, answer)| !answer.refused.is_empty()) {
            course.stops = self.note_stops(runtime, connector)?;
            course.stopped = course.stops.stopped();
        }
        Ok(())
    }

    fn settle(
        &self,
        runtime: &Runtime,
        connector: &ConnectorHandle,
        answers: &[(Outgoing, Answer)],
        course: &mut Course,
    ) -> Result<(), ServiceError> {
        let ctx = self.context(runtime, course.run);
        let counters = &mut course.counters;
        let changes = {
            let reader = self.store().reader()?;
            onesync_engine::settle(&ctx, &*reader, answers)?
        };
        let mut exported: BTreeMap<(TypeId, u8), u64> = BTreeMap::new();
        for (item, answer) in answers {
            match &answer.outcome {
                Outcome::Done { .. } | Outcome::Gone => {
                    match item.operation {
                        Operation::Add => counters.add += 1,
                        Operation::Update if item.values.is_empty() => {}
                        Operation::Update => counters.update += 1,
                        Operation::Delete => counters.delete += 1,
                    }
                    let refused = answer.refused.iter().filter(|r| r.target.is_some()).count() as u64;
                    counters.links += (item.links.len() as u64).saturating_sub(refused);
                    counters.errors += u64::from(!answer.refused.is_empty());
                    for guarded in [Guarded::Delete, Guarded::Disable, Guarded::Empty] {
                        if item.kinds & guarded.bit() != 0 {
                            *exported.entry((item.object_type, guarded.code())).or_default() += 1;
                        }
                    }
                    let removed = item.links.iter().filter(|link| !link.add).count() as u64;
                    if removed > 0 {
                        *exported.entry((item.object_type, Guarded::Shrink.code())).or_default() += removed;
                    }
                }
                Outcome::Failed { .. } | Outcome::Unknown => counters.errors += 1,
            }
        }
        let exported = self.exported_rows(connector, exported);
        self.store().write(
            self.epoch(),
            &changes,
            &ServiceChanges { exported, ..ServiceChanges::default() },
        )?;
        Ok(())
    }

    pub(crate) fn exported_rows(
        &self,
        connector: &ConnectorHandle,
        counts: BTreeMap<(TypeId, u8), u64>,
    ) -> Vec<ExportedRow> {
        let hour = self.now().seconds().div_euclid(3_600);
        let row = |((object_type, kind), count)| ExportedRow {
            connector: connector.id,
            object_type,
            kind,
            hour,
            count,
        };
        counts.into_iter().map(row).collect()
    }
}

/// Splits due link values into batches: at most so many owners, each with at most so many values.
fn link_batches(due: &[ExportLinkRow], owners_max: usize, links_max: usize) -> Vec<Vec<ExportLinkRow>> {
    let mut batches: Vec<Vec<ExportLinkRow>> = Vec::new();
    let mut current: Vec<ExportLinkRow> = Vec::new();
    let mut owners: BTreeSet<(CsId, usize)> = BTreeSet::new();
    let mut in_owner: BTreeMap<CsId, usize> = BTreeMap::new();
    for row in due {
        let count = in_owner.entry(row.owner).or_default();
        let part = (row.owner, *count / links_max);
        if !owners.contains(&part) && owners.len() >= owners_max {
            batches.push(std::mem::take(&mut current));
            owners.clear();
            in_owner.clear();
            in_owner.insert(row.owner, 1);
            owners.insert((row.owner, 0));
        } else {
            *count += 1;
            owners.insert(part);
        }
        current.push(row.clone());
    }
    if !current.is_empty() {
        batches.push(current);
    }
    batches
}

/// Makes items for the connector; an owner with many links becomes several items.
fn split_items(outgoing: &[Outgoing], links_max: usize) -> Vec<(usize, ExportItem)> {
    let mut items = Vec::new();
    for (index, out) in outgoing.iter().enumerate() {
        let item = |values: Vec<_>, links: Vec<LinkExport>| ExportItem {
            operation: out.operation,
            object_type: out.object_type,
            anchor: out.anchor.clone(),
            create_key: out.create_key.clone(),
            values,
            links,
        };
        if out.links.is_empty() {
            items.push((index, item(out.values.clone(), Vec::new())));
            continue;
        }
        for (part, chunk) in out.links.chunks(links_max).enumerate() {
            let mut by_attribute: BTreeMap<AttrId, LinkExport> = BTreeMap::new();
            for link in chunk {
                let export = by_attribute.entry(link.attribute).or_insert_with(|| LinkExport {
                    attribute: link.attribute,
                    add: Vec::new(),
                    remove: Vec::new(),
                });
                if link.add {
                    export.add.push(link.anchor.clone())
                } else {
                    export.remove.push(link.anchor.clone())
                }
            }
            let values = if part == 0 { out.values.clone() } else { Vec::new() };
            items.push((index, item(values, by_attribute.into_values().collect())));
        }
    }
    items
}

/// Brings the results of items back to what was outgoing: parts of one object together, the worst outcome counts.
fn answers(
    outgoing: &[Outgoing],
    items: &[(usize, ExportItem)],
    results: Vec<ExportResult>,
) -> Vec<(Outgoing, Answer)> {
    let mut merged: BTreeMap<usize, Answer> = BTreeMap::new();
    let missing = || ExportResult {
        outcome: ExportOutcome::Unknown(ConnectorError::new(
            ErrorClass::Fatal,
            "NO-ANSWER",
            "export",
            "the connector gave no answer for this item",
        )),
        refused: Vec::new(),
    };
    let padded = results.into_iter().map(Some).chain(std::iter::repeat_with(|| None));
    for ((index, _), result) in items.iter().zip(padded) {
        let result = result.unwrap_or_else(missing);
        let Some(out) = outgoing.get(*index) else { continue };
        let answer = Answer {
            outcome: outcome(result.outcome),
            refused: result
                .refused
                .into_iter()
                .map(|refused| {
                    let target = refused
                        .target
                        .as_ref()
                        .and_then(|anchor| out.links.iter().find(|link| link.anchor == *anchor))
                        .map(|link| link.target);
                    Refusal {
                        attribute: refused.attribute,
                        target,
                        code: refused.error.code.clone(),
                        message: with_hint(&refused.error),
                    }
                })
                .collect(),
        };
        match merged.get_mut(index) {
            None => {
                merged.insert(*index, answer);
            }
            Some(known) => {
                known.refused.extend(answer.refused);
                if matches!(known.outcome, Outcome::Done { .. }) {
                    known.outcome = answer.outcome;
                }
            }
        }
    }
    outgoing
        .iter()
        .cloned()
        .enumerate()
        .filter_map(|(index, out)| Some((out, merged.remove(&index)?)))
        .collect()
}

fn outcome(outcome: ExportOutcome) -> Outcome {
    match outcome {
        ExportOutcome::Done { anchor } => Outcome::Done { anchor },
        ExportOutcome::Gone => Outcome::Gone,
        ExportOutcome::Unknown(_) => Outcome::Unknown,
        ExportOutcome::Failed(error) => {
            let retry_seconds = match error.class {
                ErrorClass::Throttled(Some(after)) => i64::try_from(after.as_secs()).ok().map(|s| s + 1),
                _ => None,
            };
            let object = error.class == ErrorClass::Object;
            Outcome::Failed { message: with_hint(&error), code: error.code, object, retry_seconds }
        }
    }
}

fn with_hint(error: &ConnectorError) -> String {
    match &error.hint {
        Some(hint) => format!("{}; {hint}", error.message),
        None => error.message.clone(),
    }
}
