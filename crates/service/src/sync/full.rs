//! A full sync: every object of a connector is looked at again.
//!
//! Three rounds over the objects: identities and values, what they mean for targets, links as a whole. What is as it
//! should be costs no write. What an earlier round would put on the agenda for a later one is left out
//! ([`Covered`]); a durable mark makes the next sync a full one when this one is cut short.

use std::collections::{HashSet, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::ScopedJoinHandle;

use onesync_engine::{AgendaRow, Changes, Context, Covered, KnownTargets, ReadError, Reader, Turn, Work};
use onesync_model::{AttrId, ConnectorId, CsId, MvId, Time};
use onesync_store::{CsHead, ExportLinkFilter, apply_and};

use super::{FULL_SYNC_NEEDED, WRITING};
use crate::error::ServiceError;
use crate::runs::Progress;
use crate::runtime::{ConnectorHandle, Service};

/// Link values in one batch of links; the links of one object are never divided.
const LINKS_IN_BATCH: u64 = 20_000;
/// Objects with links in one batch of links.
const OWNERS_IN_BATCH: usize = 1_000;

/// Pages computed beside each other for each thread while nothing changes: enough that none waits long for the last.
const PAGES_PER_THREAD: usize = 4;

impl Service {
    /// Looks at every object again: identity, values, what it means for targets, and its links.
    pub(super) fn full(
        &self,
        ctx: &Context<'_>,
        connector: &ConnectorHandle,
        progress: &(dyn Fn(Progress) + Sync),
    ) -> Result<u64, ServiceError> {
        self.mark_full(ctx, connector.id, true)?;
        let covered = Covered::by(ctx, connector.id);
        let processed = self.identities(ctx, connector, covered, progress)?;
        // Newcomers, and what new join values wake, are decided before targets are looked at.
        for pass in 0..=1 {
            self.pass(ctx, connector, pass, Some(covered), processed, progress)?;
        }
        self.targets(ctx, connector, covered)?;
        self.store().begin_load(self.epoch())?;
        self.all_links(ctx, connector, covered)?;
        self.drop_stale_links(ctx, connector)?;
        self.mark_full(ctx, connector.id, false)?;
        Ok(processed)
    }

    fn mark_full(&self, ctx: &Context<'_>, connector: ConnectorId, begun: bool) -> Result<(), ServiceError> {
        let states = vec![(connector, FULL_SYNC_NEEDED.to_owned(), begun.then(|| vec![1]))];
        Ok(self.store().apply(self.epoch(), &Changes { states, run: ctx.run, ..Changes::default() })?)
    }

    fn identities(
        &self,
        ctx: &Context<'_>,
        handle: &ConnectorHandle,
        covered: Covered,
        progress: &(dyn Fn(Progress) + Sync),
    ) -> Result<u64, ServiceError> {
        let waiting = self.waits(0)?;
        let connector = handle.id;
        let batch = |ctx: &Context<'_>, reader: &dyn Reader, heads: &[CsHead]| {
            // Who is not joined yet waits for its turn among all of them: decisions do not depend on row numbers.
            let (joined, newcomers): (Vec<&CsHead>, Vec<&CsHead>) =
                heads.iter().partition(|head| head.mv.is_some());
            let turns: Vec<Turn> = joined.iter().map(|head| head.turn).collect();
            let mut changes = onesync_engine::identity(ctx, reader, &turns)?;
            changes.agenda.extend(newcomers.iter().map(|head| AgendaRow {
                connector,
                work: Work::Identity(head.turn),
                not_before: Time::default(),
            }));
            let mut written: HashSet<CsId> = changes.cs.iter().map(|row| row.id).collect();
            // Who is deleted here is not met in the round over targets: what that means for others stays on the agenda.
            written.extend(&changes.cs_deleted);
            let kept =
                heads.iter().filter(|head| !written.contains(&head.turn.cs)).filter_map(|head| head.mv);
            covered.after_identity(&mut changes, kept);
            Ok(written_if(changes, waiting))
        };
        self.over_heads(ctx, connector, &batch, progress)
    }

    fn targets(
        &self,
        ctx: &Context<'_>,
        connector: &ConnectorHandle,
        covered: Covered,
    ) -> Result<(), ServiceError> {
        let waiting = self.waits(2)?;
        let batch = |ctx: &Context<'_>, reader: &dyn Reader, heads: &[CsHead]| {
            let mut mvs: Vec<MvId> = heads.iter().filter_map(|head| head.mv).collect();
            mvs.sort_unstable();
            mvs.dedup();
            let mut changes = onesync_engine::outbound(ctx, reader, &mvs)?;
            covered.after_outbound(&mut changes);
            Ok(written_if(changes, waiting))
        };
        self.over_heads(ctx, connector.id, &batch, &|_| ()).map(|_| ())
    }

    /// Links of one owner do not depend on those of another: batches are computed beside each other, and beside the
    /// writing of those before.
    fn all_links(
        &self,
        ctx: &Context<'_>,
        connector: &ConnectorHandle,
        covered: Covered,
    ) -> Result<(), ServiceError> {
        // An import puts each new object on the agenda as a possible target of links.
        let targets_wait = covered.all_links() && self.waits(Work::Target(CsId(0)).pass())?;
        let waiting = self.waits(Work::CsLinks(CsId(0), AttrId(0)).pass())?;
        let mut owners = Owners {
            service: self,
            connector: connector.id,
            after: CsId(i64::MIN),
            rest: VecDeque::new(),
            targets: targets_wait,
        };
        let known = KnownTargets::default();
        let compute = |work: Vec<Work>| -> Result<Option<Changes>, ServiceError> {
            // What only comes off the agenda needs no thought.
            if let Some(Work::Target(_)) = work.first() {
                return Ok(Some(Changes { agenda_done: work, run: ctx.run, ..Changes::default() }));
            }
            let reader = self.store().reader()?;
            Ok(written_if(onesync_engine::links_knowing(ctx, &*reader, &work, &known)?, waiting))
        };
        std::thread::scope(|scope| {
            let (mut running, mut computed) = (VecDeque::new(), VecDeque::new());
            loop {
                self.check_stop()?;
                let under_way = !running.is_empty() || !computed.is_empty();
                if under_way && self.store().log_is_long() {
                    computed.extend(running.drain(..).map(joined)); // so that nothing is read while it is written
                } else {
                    while running.len() < ctx.threads.max(1) {
                        let Some(work) = owners.next_batch()? else { break };
                        running.push_back(scope.spawn(|| compute(work)));
                    }
                }
                let next = computed.pop_front().or_else(|| running.pop_front().map(joined));
                let Some(changes) = next else { return Ok(()) };
                self.write_some(changes?)?;
            }
        })
    }

    /// Takes back link values that were to be written to a connector and that no flow leads to any more.
    fn drop_stale_links(&self, ctx: &Context<'_>, connector: &ConnectorHandle) -> Result<(), ServiceError> {
        let mut after = None;
        loop {
            self.check_stop()?;
            let reader = self.store().reader()?;
            let page = reader.export_links_page(
                connector.id,
                ExportLinkFilter::default(),
                after,
                OWNERS_IN_BATCH,
            )?;
            let Some(last) = page.last() else { return Ok(()) };
            after = Some((last.owner, last.attribute, last.target));
            let changes = onesync_engine::stale_links(ctx, &*reader, &page)?;
            drop(reader);
            self.write_some(written_if(changes, false))?;
        }
    }

    /// Whether anything of a pass is on the agenda, due or not.
    fn waits(&self, pass: u8) -> Result<bool, ServiceError> {
        Ok(!self.store().reader()?.agenda(pass, None, Time::from_ticks(i64::MAX), None, 1)?.is_empty())
    }

    /// Goes over all objects of a connector, one batch a transaction; gives how many there were.
    ///
    /// Batches see what those before them wrote. Where these wrote nothing, as is the rule when nothing has changed,
    /// the next ones have been computed beside them already; what was computed on a state that changed is thrown away.
    fn over_heads(
        &self,
        ctx: &Context<'_>,
        connector: ConnectorId,
        batch: &HeadsBatch<'_>,
        progress: &(dyn Fn(Progress) + Sync),
    ) -> Result<u64, ServiceError> {
        let (mut after, mut processed) = (CsId(i64::MIN), 0);
        let (mut ahead, mut size) = (1, self.sizes().batch);
        let mut ready: Option<(Vec<CsHead>, Option<Changes>)> = None;
        loop {
            self.check_stop()?;
            let (pages, results) = match ready.take() {
                Some((page, changes)) => (vec![page], vec![Ok(changes)]),
                None => {
                    let pages = self.pages(connector, after, size, ahead)?;
                    let results = match pages.as_slice() {
                        [] => return Ok(processed),
                        [page] => vec![batch(ctx, &*self.store().reader()?, page)],
                        pages => self.beside(ctx, batch, pages),
                    };
                    (pages, results)
                }
            };
            for (page, result) in pages.iter().zip(results) {
                let changes = result?;
                after = page.last().map_or(after, |head| head.turn.cs);
                processed += page.len() as u64;
                let Some(changes) = changes else {
                    ahead = (ahead * 2).min(ctx.threads * PAGES_PER_THREAD).max(1);
                    size = self.sizes().batch;
                    progress(Progress::At { done: processed, of: None });
                    continue;
                };
                (ahead, size) = (1, self.sizes().batch * WRITING);
                ready = apply_and(&**self.store(), self.epoch(), ctx.threads, &changes, |reader| {
                    let page = reader.heads(connector, after, size)?;
                    if page.is_empty() {
                        return Ok::<_, ServiceError>(None);
                    }
                    let changes = batch(ctx, reader, &page)?;
                    Ok(Some((page, changes)))
                })?;
                progress(Progress::At { done: processed, of: None });
                break; // what was computed beside this page rests on a state that is no more
            }
        }
    }

    /// The next pages of the objects of a connector.
    fn pages(
        &self,
        connector: ConnectorId,
        mut after: CsId,
        size: usize,
        count: usize,
    ) -> Result<Vec<Vec<CsHead>>, ServiceError> {
        let reader = self.store().reader()?;
        let mut pages = Vec::new();
        while pages.len() < count {
            let page = reader.cs_heads(connector, after, size)?;
            let Some(last) = page.last() else { break };
            after = last.turn.cs;
            pages.push(page);
        }
        Ok(pages)
    }

    /// Computes pages on several threads, each taking the next one; results in the order of the pages.
    fn beside(
        &self,
        ctx: &Context<'_>,
        batch: &HeadsBatch<'_>,
        pages: &[Vec<CsHead>],
    ) -> Vec<Result<Option<Changes>, ReadError>> {
        let alone = Context { threads: 1, ..*ctx };
        let next = AtomicUsize::new(0);
        let work = || {
            let mut done = Vec::new();
            loop {
                let index = next.fetch_add(1, Ordering::Relaxed);
                let Some(page) = pages.get(index) else { return done };
                let result = match self.store().reader() {
                    Ok(reader) => batch(&alone, &*reader, page),
                    Err(error) => Err(ReadError(error.to_string())),
                };
                done.push((index, result));
            }
        };
        let mut results = std::thread::scope(|scope| {
            let running: Vec<_> = (0..ctx.threads.min(pages.len())).map(|_| scope.spawn(work)).collect();
            running.into_iter().flat_map(joined).collect::<Vec<_>>()
        });
        results.sort_by_key(|(index, _)| *index);
        results.into_iter().map(|(_, result)| result).collect()
    }

    fn write_some(&self, changes: Option<Changes>) -> Result<(), ServiceError> {
        match changes {
            Some(changes) => Ok(self.store().apply(self.epoch(), &changes)?),
            None => Ok(()),
        }
    }
}

/// Computes what a batch of objects changes; `None` when nothing is to be written.
type HeadsBatch<'b> =
    dyn Fn(&Context<'_>, &dyn Reader, &[CsHead]) -> Result<Option<Changes>, ReadError> + Sync + 'b;

/// The result of a thread; its panic goes on here.
fn joined<T>(thread: ScopedJoinHandle<'_, T>) -> T {
    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// The objects of a connector that have links, in batches of about as many links.
struct Owners<'s> {
    service: &'s Service,
    connector: ConnectorId,
    after: CsId,
    rest: VecDeque<CsHead>,
    /// Whether objects are to be taken off the agenda as targets of links.
    targets: bool,
}

impl Owners<'_> {
    fn next_batch(&mut self) -> Result<Option<Vec<Work>>, ServiceError> {
        let (mut work, mut weight, mut owners) = (Vec::new(), 0, 0);
        loop {
            while let Some(head) = self.rest.front() {
                let more: u64 = head.links.iter().map(|sum| sum.count).sum();
                let full = weight + more > LINKS_IN_BATCH || owners == OWNERS_IN_BATCH;
                if !work.is_empty() && full {
                    return Ok(Some(work));
                }
                weight += more;
                owners += usize::from(more > 0);
                work.extend(head.links.iter().map(|sum| Work::CsLinks(head.turn.cs, sum.attribute)));
                self.rest.pop_front();
            }
            if !work.is_empty() && self.targets {
                return Ok(Some(work)); // targets of the next page are a batch of their own
            }
            let reader = self.service.store().reader()?;
            self.rest = reader.cs_heads(self.connector, self.after, OWNERS_IN_BATCH)?.into();
            let Some(last) = self.rest.back() else { return Ok((!work.is_empty()).then_some(work)) };
            self.after = last.turn.cs;
            if self.targets {
                return Ok(Some(self.rest.iter().map(|head| Work::Target(head.turn.cs)).collect()));
            }
        }
    }
}

/// The changes, unless they only take work off an agenda that has none.
fn written_if(changes: Changes, waiting: bool) -> Option<Changes> {
    if waiting {
        return Some(changes);
    }
    let rest = Changes { agenda_done: Vec::new(), ..changes };
    let nothing = Changes { run: rest.run, ..Changes::default() };
    (rest != nothing).then_some(rest)
}
