//! The sync step: works off the agenda, pass by pass, batch by batch.

mod full;

use onesync_engine::{AgendaRow, Changes, Context, Covered, ReadError, Reader, Turn, Work};
use onesync_model::MvId;

use onesync_store::apply_and;

use crate::error::{ServiceError, Status};
use crate::runs::{OpenRun, Progress, RunReport, Step, StepCounters};
use crate::runtime::{ConnectorHandle, Runtime, Service};

/// Rounds over all passes after which a sync that never comes to rest is stopped as a bug or a pair of rules that
/// feed each other.
const ROUNDS_MAX: usize = 50;

/// What lies below renamed containers comes first, then the members of changed groups: all of them are on the agenda
/// before the first decision about any.
const PASSES: [u8; Work::PASSES as usize] = [BELOW, MEMBERS, 0, 1, 2, 3, 4, 5, 6, 7];
/// The pass over what lies below renamed containers.
const BELOW: u8 = Work::PASSES - 2;
/// The pass over members of groups.
const MEMBERS: u8 = Work::PASSES - 1;

/// How many times more objects a batch holds that is going to write: what a transaction costs are the pages of indices
/// with random keys, and these are nearly all of them however large it is. Measured, see `docs/performance.md`.
const WRITING: usize = 4;

/// Set when a change of rules requires a full sync.
pub(crate) const FULL_SYNC_NEEDED: &str = "full-sync-needed";

impl Service {
    /// Synchronises: every object of the connector, or what is on the agenda.
    ///
    /// # Errors
    /// When the database fails, or rules feed each other without end.
    pub fn sync(
        &self,
        runtime: &Runtime,
        connector: &ConnectorHandle,
        step: Step,
        progress: &(dyn Fn(Progress) + Sync),
    ) -> Result<RunReport, ServiceError> {
        let needed = self.store().reader()?.state(connector.id, FULL_SYNC_NEEDED)?.is_some();
        let step = if needed { Step::FullSync } else { step };
        progress(Progress::Begin { connector: connector.name().to_owned(), step });
        let mut run = self.begin_run(connector, step)?;
        let synchronised = self
            .sync_all(runtime, connector, &mut run, step, progress)
            .and_then(|processed| Ok((processed, self.note_what_stands(runtime, connector)?)));
        match synchronised {
            Ok((processed, errors)) => {
                let counters = StepCounters { processed, errors, ..StepCounters::default() };
                let outcome = if errors > 0 {
                    ("completed-with-errors", Status::ObjectErrors)
                } else {
                    ("success", Status::Done)
                };
                let report = self.end_run(run, connector, step, counters, Vec::new(), outcome)?;
                progress(Progress::End { report: Box::new(report.clone()) });
                Ok(report)
            }
            Err(error) => self.fail_run(run, error),
        }
    }

    /// Notes what exports are stopped, and gives how many errors stand.
    fn note_what_stands(&self, runtime: &Runtime, connector: &ConnectorHandle) -> Result<u64, ServiceError> {
        for target in runtime.connectors.iter().filter(|c| c.capabilities.export) {
            let stops = self.note_stops(runtime, target)?;
            self.retire_plans(target, &stops)?;
        }
        let counts = self.store().reader()?.error_counts()?;
        Ok(counts.iter().filter(|e| e.connector == connector.id).map(|e| e.count).sum())
    }

    fn sync_all(
        &self,
        runtime: &Runtime,
        connector: &ConnectorHandle,
        run: &mut OpenRun,
        step: Step,
        progress: &(dyn Fn(Progress) + Sync),
    ) -> Result<u64, ServiceError> {
        let ctx = self.context(runtime, run.id);
        let mut processed = 0;
        if step == Step::FullSync {
            for pass in [BELOW, MEMBERS] {
                self.pass(&ctx, connector, pass, None, 0, progress)?;
            }
            let full = self.full(&ctx, connector, progress);
            self.end_load(run);
            processed += full?;
        }
        for _ in 0..ROUNDS_MAX {
            let mut done = 0;
            for pass in PASSES {
                done += self.pass(&ctx, connector, pass, None, processed + done, progress)?;
            }
            processed += done;
            if done == 0 {
                return Ok(processed);
            }
        }
        Err(ServiceError::config(
            format!("the sync of `{}` does not come to rest after {ROUNDS_MAX} rounds", connector.name()),
            "two rules probably change each other's input for ever; `onesync history` of an object on the agenda shows which",
        ))
    }

    /// Works off what is due of one pass; within a full sync without what its later rounds look at anyway.
    fn pass(
        &self,
        ctx: &Context<'_>,
        connector: &ConnectorHandle,
        pass: u8,
        covered: Option<Covered>,
        before: u64,
        progress: &(dyn Fn(Progress) + Sync),
    ) -> Result<u64, ServiceError> {
        let limit = match pass {
            BELOW => self.sizes().batch,
            0..=2 => self.sizes().batch * WRITING,
            _ => self.sizes().links,
        };
        let of = (pass == 0).then_some(connector.id);
        let compute = |reader: &dyn Reader, mut rows: Vec<AgendaRow>| {
            let whole = rows.len();
            // What those that are joined give up is written before anyone wants it.
            let newcomer = |row: &AgendaRow| matches!(row.work, Work::Identity(turn) if turn.newcomer);
            if let Some(first) = rows.iter().position(newcomer).filter(|first| *first > 0) {
                rows.truncate(first);
            }
            let work: Vec<Work> = rows.iter().map(|row| row.work).collect();
            let mut changes = batch(ctx, reader, pass, &work, limit)?;
            if let (0, Some(covered)) = (pass, covered) {
                covered.after_identity(&mut changes, None);
            }
            let more = (whole == limit || rows.len() < whole).then(|| rows.last().copied()).flatten();
            Ok::<_, ServiceError>(Batch { count: work.len() as u64, changes, more })
        };
        let (mut done, mut ready) = (0, None);
        loop {
            self.check_stop()?;
            let batch = match ready.take() {
                Some(batch) => batch,
                None => {
                    let reader = self.store().reader()?;
                    let rows = reader.agenda(pass, of, ctx.now, None, limit)?;
                    if rows.is_empty() {
                        return Ok(done);
                    }
                    let reader: &dyn Reader = &*reader;
                    compute(reader, rows)?
                }
            };
            match batch.more {
                None => self.store().apply(self.epoch(), &batch.changes)?,
                Some(last) => {
                    ready = apply_and(&**self.store(), self.epoch(), ctx.threads, &batch.changes, |ahead| {
                        let rows = ahead.following(pass, of, ctx.now, last, limit)?;
                        rows.map(|rows| compute(ahead, rows)).transpose()
                    })?;
                }
            }
            done += batch.count;
            progress(Progress::At { done: before + done, of: None });
        }
    }
}

/// A batch that is computed and not written yet.
struct Batch {
    /// Items of the agenda.
    count: u64,
    changes: Changes,
    /// The last of them, when there are probably more.
    more: Option<AgendaRow>,
}

pub(crate) fn batch(
    ctx: &Context<'_>,
    reader: &dyn Reader,
    pass: u8,
    work: &[Work],
    limit: usize,
) -> Result<Changes, ReadError> {
    let mvs = || -> Vec<MvId> {
        work.iter()
            .filter_map(|work| match work {
                Work::Values(mv) | Work::Outbound(mv) => Some(*mv),
                _ => None,
            })
            .collect()
    };
    match pass {
        0 => {
            let turns: Vec<Turn> = work
                .iter()
                .filter_map(|work| match work {
                    Work::Identity(turn) => Some(*turn),
                    _ => None,
                })
                .collect();
            onesync_engine::identity(ctx, reader, &turns)
        }
        1 => onesync_engine::values(ctx, reader, &mvs()),
        2 => onesync_engine::outbound(ctx, reader, &mvs()),
        BELOW => onesync_engine::below(ctx, reader, work, limit),
        MEMBERS => onesync_engine::members(ctx, reader, work, limit),
        _ => onesync_engine::links(ctx, reader, work),
    }
}
