//! The import step: pages from a connector into its connector space.
//!
//! Objects seen are a bitmap over row numbers, kept with the watermark of each page, so that an interrupted full
//! import goes on where it was. Deletions are decided only after the last page of an import that the connector can
//! prove complete, and not when it shows far less than it should.

use std::collections::BTreeMap;

use onesync_connectors::{
    ConnectorError, ErrorClass, ImportEnd, ImportMode, ImportPage, ImportRequest, KnownContainers,
    PAGES_IN_FLIGHT, Proof, Watermark,
};
use onesync_engine::{Changes, ContainerNames, Context, ImportCounters, ReadError, Reader, Stager, suspect};
use onesync_model::{Anchor, ConnectorId, CsId};
use onesync_store::{Store, StoreReader, apply_and};
use tokio::sync::mpsc;

use crate::error::{ServiceError, Status};
use crate::runs::{OpenRun, Progress, RunReport, Step, StepCounters};
use crate::runtime::{ConnectorHandle, Runtime, Service};
use crate::unreadable::LeftOut;
use crate::verified::VERIFY_FIRST;

/// How many times larger the pages of a first import are: measured, see `docs/performance.md`.
const FIRST_PAGES: usize = 4;

/// Row numbers in one chunk of the bitmap of seen objects: 4 KB.
const CHUNK_ROWS: i64 = 32_768;

/// The watermark of the last complete import.
pub(crate) const WATERMARK: &str = "watermark";
/// The watermark of the last complete import after an incomplete one: no delta starts from it, but it is known.
const KNOWN: &str = "known-watermark";
/// Why the last import that ended was not complete, where it was not.
pub(crate) const UNPROVEN: &str = "unproven-import";
/// The epoch at which the last complete import ended: who takes over reads before anything is exported.
pub(crate) const IMPORTED_AT: &str = "imported-at-epoch";
/// Where an interrupted full import goes on.
const RESUME: &str = "full-import/resume";
/// The bitmap of objects that a full import has seen.
const SEEN: &str = "full-import/seen/";

/// What an import did.
#[derive(Clone, Debug, Default)]
pub struct ImportReport {
    /// The numbers.
    pub counters: ImportCounters,
    /// What a person should know.
    pub remarks: Vec<String>,
}

/// Something that is kept about a connector, or is kept no more.
type State = (ConnectorId, String, Option<Vec<u8>>);

/// Objects that a full import has seen: bits by row number, in chunks.
#[derive(Default)]
pub(crate) struct Seen {
    chunks: BTreeMap<i64, Vec<u8>>,
    touched: std::collections::BTreeSet<i64>,
}

impl Seen {
    pub(crate) fn insert(&mut self, id: CsId) {
        let (chunk, bit) = (id.0.div_euclid(CHUNK_ROWS), id.0.rem_euclid(CHUNK_ROWS) as usize);
        let bytes = self.chunks.entry(chunk).or_insert_with(|| vec![0; CHUNK_ROWS as usize / 8]);
        if let Some(byte) = bytes.get_mut(bit / 8) {
            *byte |= 1 << (bit % 8);
            self.touched.insert(chunk);
        }
    }

    pub(crate) fn contains(&self, id: CsId) -> bool {
        let (chunk, bit) = (id.0.div_euclid(CHUNK_ROWS), id.0.rem_euclid(CHUNK_ROWS) as usize);
        self.chunks
            .get(&chunk)
            .and_then(|bytes| bytes.get(bit / 8))
            .is_some_and(|byte| byte & (1 << (bit % 8)) != 0)
    }

    /// The chunks changed since the last call, as states to keep.
    fn take_states(&mut self, connector: ConnectorId) -> Vec<State> {
        let touched = std::mem::take(&mut self.touched);
        touched
            .into_iter()
            .filter_map(|chunk| {
                Some((connector, format!("{SEEN}{chunk}"), Some(self.chunks.get(&chunk)?.clone())))
            })
            .collect()
    }

    fn load(&mut self, reader: &dyn StoreReader, connector: ConnectorId) -> Result<(), ServiceError> {
        let last = reader.counters()?.cs.div_euclid(CHUNK_ROWS);
        for chunk in 0..=last {
            if let Some(bytes) = reader.state(connector, &format!("{SEEN}{chunk}"))? {
                self.chunks.insert(chunk, bytes);
            }
        }
        Ok(())
    }

    fn clear_states(&self, connector: ConnectorId) -> Vec<State> {
        self.chunks.keys().map(|chunk| (connector, format!("{SEEN}{chunk}"), None)).collect()
    }
}

/// The containers that a connector has told.
struct Containers {
    store: std::sync::Arc<dyn Store>,
    connector: ConnectorId,
}

impl std::fmt::Debug for Containers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "containers of connector {}", self.connector.0)
    }
}

impl KnownContainers for Containers {
    fn names(&self, anchors: &[Anchor]) -> Result<Vec<Option<String>>, ConnectorError> {
        let failed = |error: String| {
            ConnectorError::new(ErrorClass::Fatal, "CONTAINERS", "the database", error)
                .hint("containers that were told before could not be read")
        };
        let reader = self.store.reader().map_err(|error| failed(error.to_string()))?;
        let asked: Vec<&Anchor> = anchors.iter().collect();
        let mut known = BTreeMap::new();
        let mut names = ContainerNames::default();
        let rows = reader.containers_by_anchor(self.connector, &asked);
        for row in rows.map_err(|error| failed(error.to_string()))?.into_iter().filter(|row| !row.hidden) {
            let name = names.dn(&*reader, &row.rdn, row.parent).map_err(|error| failed(error.to_string()))?;
            known.extend(row.anchor.map(|anchor| (anchor, name)));
        }
        Ok(anchors.iter().map(|anchor| known.get(anchor).cloned()).collect())
    }
}

/// Stages a page of a full import (where objects seen are noted) or of a delta.
fn stage(
    ctx: &Context<'_>,
    connector: ConnectorId,
    reader: &dyn Reader,
    stager: &mut Stager,
    seen: &mut Seen,
    page: ImportPage,
    left_out: &mut LeftOut,
) -> Result<Changes, ReadError> {
    stager.counters.errors += page.errors.len() as u64;
    let full = stager.full();
    let healed = left_out.read(&page.entries);
    let mut staged = stager.page(ctx, reader, page.entries, &|id| full && seen.contains(id))?;
    staged.changes.errors.extend(left_out.rows());
    staged.changes.errors_healed.extend(healed);
    for anchor in &staged.unknown {
        stager.counters.errors += 1;
        left_out.name(format!(
            "a change of the unknown object {anchor} was left out: the next full import reads it"
        ));
    }
    if full {
        for id in &staged.seen {
            seen.insert(*id);
        }
        if let (true, Some(resume)) = (staged.clean, page.resume) {
            staged.changes.states = seen.take_states(connector);
            staged.changes.states.push((connector, RESUME.to_owned(), Some(resume.0)));
        }
    }
    Ok(staged.changes)
}

impl Service {
    /// Imports from a connector: everything, or what changed where that is possible.
    ///
    /// # Errors
    /// When the directory cannot be read, or shows suspiciously little (then nothing is deleted).
    pub async fn import(
        &self,
        runtime: &Runtime,
        connector: &ConnectorHandle,
        step: Step,
        progress: &(dyn Fn(Progress) + Sync),
    ) -> Result<RunReport, ServiceError> {
        let watermark = self.store().reader()?.state(connector.id, WATERMARK)?;
        let delta = step == Step::DeltaImport && connector.capabilities.delta_import;
        match (delta, watermark) {
            (true, Some(since)) => {
                let mode = ImportMode::Delta { since: Watermark(since) };
                match self.import_mode(runtime, connector, Step::DeltaImport, mode, progress).await {
                    Err(ServiceError::Connector { source, .. }) if source.class == ErrorClass::Watermark => {
                        tracing::warn!(connector = connector.name(), reason = %source, "the watermark is of no use, a full import follows");
                        let mut report = self.import_full(runtime, connector, progress).await?;
                        report.remarks.insert(0, format!("a full import was made: {}", source.message));
                        Ok(report)
                    }
                    other => other,
                }
            }
            _ => self.import_full(runtime, connector, progress).await,
        }
    }

    async fn import_full(
        &self,
        runtime: &Runtime,
        connector: &ConnectorHandle,
        progress: &(dyn Fn(Progress) + Sync),
    ) -> Result<RunReport, ServiceError> {
        let resume = self.store().reader()?.state(connector.id, RESUME)?.map(Watermark);
        let resumed = resume.is_some();
        let mode = ImportMode::Full { resume };
        match self.import_mode(runtime, connector, Step::FullImport, mode, progress).await {
            Err(ServiceError::Connector { source, .. })
                if resumed && source.class == ErrorClass::Watermark =>
            {
                tracing::warn!(connector = connector.name(), reason = %source, "the interrupted full import cannot go on and starts again");
                let mut seen = Seen::default();
                seen.load(&*self.store().reader()?, connector.id)?;
                let states = full_import_states(connector.id, &seen);
                self.store().apply(self.epoch(), &Changes { states, ..Changes::default() })?;
                let mode = ImportMode::Full { resume: None };
                self.import_mode(runtime, connector, Step::FullImport, mode, progress).await
            }
            other => other,
        }
    }

    async fn import_mode(
        &self,
        runtime: &Runtime,
        connector: &ConnectorHandle,
        step: Step,
        mode: ImportMode,
        progress: &(dyn Fn(Progress) + Sync),
    ) -> Result<RunReport, ServiceError> {
        if connector.capabilities.export {
            self.recover_exports(runtime, connector).await?;
        }
        progress(Progress::Begin { connector: connector.name().to_owned(), step });
        let mut run = self.begin_run(connector, step)?;
        let imported = match self.store().begin_load(self.epoch()) {
            Ok(()) => self.import_pages(runtime, connector, &run, mode, progress).await,
            Err(error) => Err(error.into()),
        };
        tokio::task::block_in_place(|| self.end_load(&mut run));
        let report = match imported {
            Ok(report) => report,
            Err(error) => return self.fail_run(run, error),
        };
        let c = report.counters;
        let counters = StepCounters {
            add: c.add,
            update: c.update,
            delete: c.delete,
            unchanged: c.unchanged,
            confirmed: c.confirmed,
            errors: c.errors,
            ..StepCounters::default()
        };
        let outcome = if c.errors > 0 {
            ("completed-with-errors", Status::ObjectErrors)
        } else {
            ("success", Status::Done)
        };
        let report = self.end_run(run, connector, step, counters, report.remarks, outcome)?;
        progress(Progress::End { report: Box::new(report.clone()) });
        Ok(report)
    }

    async fn import_pages(
        &self,
        runtime: &Runtime,
        connector: &ConnectorHandle,
        run: &OpenRun,
        mode: ImportMode,
        progress: &(dyn Fn(Progress) + Sync),
    ) -> Result<ImportReport, ServiceError> {
        let full = matches!(mode, ImportMode::Full { .. });
        let from_start = matches!(mode, ImportMode::Full { resume: None });
        let mut seen = Seen::default();
        if let ImportMode::Full { resume: Some(_) } = &mode {
            seen.load(&*self.store().reader()?, connector.id)?;
        }
        let (sender, mut pages) = mpsc::channel::<ImportPage>(PAGES_IN_FLIGHT);
        let known = self.known_watermark(connector)?;
        let request = ImportRequest {
            mode,
            selection: connector.selection.clone(),
            known,
            containers: Some(std::sync::Arc::new(Containers {
                store: std::sync::Arc::clone(self.store()),
                connector: connector.id,
            })),
            page_size: self.page_size(connector)?,
        };
        let source = std::sync::Arc::clone(&connector.connector);
        let task = tokio::spawn(async move { source.import(request, sender).await });
        let mut stager = Stager::new(connector.id, full);
        let mut left_out = LeftOut::new(&*self.store().reader()?, connector.id)?;
        let mut failure = None;
        // The page that is staged and not written yet: it is written beside the staging of the next one.
        let mut staged: Option<Changes> = None;
        loop {
            let page = tokio::select! {
                page = pages.recv() => page,
                stopped = self.stopped() => {
                    // A directory that does not answer is not waited for.
                    task.abort();
                    failure = Some(stopped);
                    None
                }
            };
            let Some(page) = page else { break };
            left_out.note(&self.context(runtime, run.id), &page.errors);
            let before = staged.take();
            let result = tokio::task::block_in_place(|| {
                let ctx = self.context(runtime, run.id);
                let stage = |reader: &dyn Reader| {
                    stage(&ctx, connector.id, reader, &mut stager, &mut seen, page, &mut left_out)
                };
                match before {
                    None => {
                        let reader = self.store().reader()?;
                        let reader: &dyn Reader = &*reader;
                        Ok(stage(reader)?)
                    }
                    Some(changes) => {
                        apply_and(&**self.store(), self.epoch(), ctx.threads, &changes, |reader| {
                            Ok(stage(reader)?)
                        })
                    }
                }
            });
            match result {
                Ok(changes) => staged = Some(changes),
                Err(error) => {
                    failure = Some(error);
                    break;
                }
            }
            let c = &stager.counters;
            progress(Progress::At {
                done: c.add + c.update + c.delete + c.unchanged + c.confirmed,
                of: None,
            });
        }
        drop(pages);
        let end = task.await;
        if let Some(changes) = staged {
            tokio::task::block_in_place(|| self.store().apply(self.epoch(), &changes))?;
        }
        if let Some(error) = failure {
            return Err(error);
        }
        let end = end.map_err(|error| ServiceError::Internal(error.to_string()))?;
        let mut end: ImportEnd =
            end.map_err(|error: ConnectorError| ServiceError::connector(connector.name(), error))?;
        let healed = if from_start { left_out.healed() } else { Vec::new() };
        end.remarks.extend(left_out.into_remarks());
        let report = self.finish_import(runtime, connector, run, stager, seen, end).await?;
        if !healed.is_empty() {
            let changes = Changes { errors_healed: healed, run: run.id, ..Changes::default() };
            self.store().apply(self.epoch(), &changes)?;
        }
        Ok(report)
    }

    /// Entries in a page. While nothing is there yet, pages are larger: what each transaction of a first load costs
    /// are the pages of indices with random keys, and these are nearly all of them however large it is.
    fn page_size(&self, connector: &ConnectorHandle) -> Result<usize, ServiceError> {
        let first = self.store().reader()?.cs_heads(connector.id, CsId(i64::MIN), 1)?.is_empty();
        Ok(self.sizes().page * if first { FIRST_PAGES } else { 1 })
    }

    async fn finish_import(
        &self,
        runtime: &Runtime,
        connector: &ConnectorHandle,
        run: &OpenRun,
        mut stager: Stager,
        seen: Seen,
        end: ImportEnd,
    ) -> Result<ImportReport, ServiceError> {
        let full = stager.full();
        let mut remarks = end.remarks;
        let unproven = match end.proof {
            Proof::Complete => None,
            Proof::Incomplete(why) => Some(why),
        };
        let complete = unproven.is_none();
        remarks.extend(
            unproven.iter().map(|why| format!("the import is not complete, nothing is deleted: {why}")),
        );
        if full && complete {
            let (known, gone) = self.count_gone(connector, &seen)?;
            if let Some(why) =
                suspect(known, gone, connector.file.suspect_percent, connector.file.suspect_at_least)
            {
                // The next try starts from the beginning: what was seen must not be believed.
                self.store().apply(
                    self.epoch(),
                    &Changes { states: full_import_states(connector.id, &seen), ..Changes::default() },
                )?;
                return Err(ServiceError::Suspect {
                    message: format!(
                        "the import of `{0}` is suspect: {why}; nothing is deleted, and nothing is synchronised or written in this cycle",
                        connector.name()
                    ),
                    hint: Some(format!(
                        "look at filter, base and rights of the account, then run `onesync run {0} full-import` again; if it is right, raise `suspect_percent` in `{1}` for this once (100 lets everything be gone), `onesync config apply FOLDER`, and run it again",
                        connector.name(),
                        connector.file.path
                    )),
                });
            }
            remarks.extend(self.delete_gone(runtime, connector, run, &mut stager, &seen).await?);
        }
        let mut states = full_import_states(connector.id, &seen);
        states.push((connector.id, UNPROVEN.to_owned(), unproven.map(String::into_bytes)));
        if full && complete {
            states.push((connector.id, VERIFY_FIRST.to_owned(), None));
        }
        if complete {
            states.push((connector.id, IMPORTED_AT.to_owned(), Some(self.epoch().to_le_bytes().to_vec())));
            states.push((connector.id, WATERMARK.to_owned(), end.watermark.map(|watermark| watermark.0)));
        } else if full {
            // A delta after an incomplete full import would hide what is missing.
            // What was known before stays: a loss of rights must be seen by the next import, too.
            let known = self.known_watermark(connector)?.or(end.watermark);
            states.push((connector.id, KNOWN.to_owned(), known.map(|watermark| watermark.0)));
            states.push((connector.id, WATERMARK.to_owned(), None));
        }
        self.store().apply(self.epoch(), &Changes { states, run: run.id, ..Changes::default() })?;
        if complete && connector.capabilities.export {
            self.overdue_exports(runtime, connector, run.id)?;
        }
        Ok(ImportReport { counters: stager.counters, remarks })
    }

    /// The watermark of the last complete import, or what an incomplete one knew after it.
    pub(crate) fn known_watermark(
        &self,
        connector: &ConnectorHandle,
    ) -> Result<Option<Watermark>, ServiceError> {
        let reader = self.store().reader()?;
        let last = reader.state(connector.id, WATERMARK)?;
        let known = if last.is_some() { last } else { reader.state(connector.id, KNOWN)? };
        Ok(known.map(Watermark))
    }
}

/// What is left of a full import when it has ended, or is not gone on with.
fn full_import_states(connector: ConnectorId, seen: &Seen) -> Vec<State> {
    let mut states = seen.clear_states(connector);
    states.push((connector, RESUME.to_owned(), None));
    states
}

/// No import goes on from where one was. What was known stays known: a loss of rights must be seen by the next one.
pub(crate) fn forgotten_watermarks(
    reader: &dyn StoreReader,
    connector: ConnectorId,
) -> Result<Vec<State>, ServiceError> {
    let mut seen = Seen::default();
    seen.load(reader, connector)?;
    let mut states = full_import_states(connector, &seen);
    if let Some(known) = reader.state(connector, WATERMARK)? {
        states.push((connector, KNOWN.to_owned(), Some(known)));
        states.push((connector, WATERMARK.to_owned(), None));
    }
    Ok(states)
}
