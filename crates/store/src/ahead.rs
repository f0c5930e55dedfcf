//! Computing a batch beside the writing of the one before it.
//!
//! A read that this writing cannot change is answered from the state before it; the first that it may change waits
//! until the writing is done, and from then on everything is read from the state after it. What was read before is
//! the same in both, so that the batch sees exactly what it would see if it were computed afterwards: whether it had
//! to wait changes how long it takes, and nothing else.

use std::cell::OnceCell;
use std::collections::HashSet;
use std::hash::Hash;
use std::sync::{Condvar, Mutex, PoisonError};

use onesync_engine::{
    AgendaRow, Changes, ContainerRow, Counters, CsRow, ErrorRow, ExportLinkRow, ExportRow, JoinedIn, MvRow,
    ReadError, Reader,
};
use onesync_model::{Anchor, AttrId, ConnectorId, ContainerId, CsId, Hash128, MvId, Time};

use crate::error::StoreError;
use crate::rows::CsHead;
use crate::store::{Store, StoreReader};

type Read<T> = Result<T, ReadError>;

/// Writes a batch and computes, beside that, what comes next; where only one thread may compute, or the log must come to
/// an end, after it.
///
/// # Errors
/// As [`Store::write`], and what `next` fails with.
pub fn apply_and<T: Send, E: From<StoreError> + Send>(
    store: &dyn Store,
    epoch: u64,
    threads: usize,
    changes: &Changes,
    next: impl FnOnce(&Ahead<'_>) -> Result<T, E> + Send,
) -> Result<T, E> {
    let written = Gate::default();
    if threads < 2 || store.log_is_long() {
        store.apply(epoch, changes)?;
        written.open(true);
        return next(&Ahead::new(store, store.reader()?, &written, changes));
    }
    let before = store.reader()?;
    std::thread::scope(|scope| {
        let computing = scope.spawn(|| next(&Ahead::new(store, before, &written, changes)));
        let opened = OpenAtEnd(&written);
        let result = store.apply(epoch, changes);
        written.open(result.is_ok());
        drop(opened);
        // Its panic goes on here.
        let computed = computing.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        result?;
        computed
    })
}

/// Opens when the writing is done.
#[derive(Default)]
struct Gate {
    /// Whether it succeeded, once it is done.
    done: Mutex<Option<bool>>,
    changed: Condvar,
}

impl Gate {
    fn open(&self, success: bool) {
        self.done.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(success);
        self.changed.notify_all();
    }

    /// Waits; whether the writing succeeded.
    fn wait(&self) -> bool {
        let mut done = self.done.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            match *done {
                Some(success) => return success,
                None => done = self.changed.wait(done).unwrap_or_else(PoisonError::into_inner),
            }
        }
    }
}

/// Opens a gate also when the writing panics: nobody waits for ever.
struct OpenAtEnd<'g>(&'g Gate);

impl Drop for OpenAtEnd<'_> {
    fn drop(&mut self) {
        self.0.open(false);
    }
}

/// The keys of what is being written.
struct Changing<'c> {
    changes: &'c Changes,
    cs: HashSet<CsId>,
    /// Anchor keys and name keys under which objects are found from now on.
    keys: HashSet<Hash128>,
    /// Metaverse objects that something is joined to from now on.
    joined: HashSet<MvId>,
    cs_keys: HashSet<i64>,
    mv: HashSet<MvId>,
    mv_keys: HashSet<i64>,
    link_owners: HashSet<CsId>,
    link_keys: HashSet<Hash128>,
    mv_link_owners: HashSet<MvId>,
    mv_link_targets: HashSet<MvId>,
    exports: HashSet<CsId>,
    export_link_owners: HashSet<CsId>,
    errors: HashSet<CsId>,
}

impl<'c> Changing<'c> {
    fn of(changes: &'c Changes) -> Self {
        let c = changes;
        let gone = || c.cs_deleted.iter().copied();
        let links = || c.links_added.iter().chain(&c.links_removed);
        let mv_links = || c.mv_links_added.iter().chain(&c.mv_links_removed);
        Self {
            changes,
            cs: c.cs.iter().map(|row| row.id).chain(gone()).chain(c.cs_names.iter().map(|n| n.0)).collect(),
            keys: c.cs.iter().filter_map(CsRow::key).chain(c.cs_names.iter().filter_map(|n| n.2)).collect(),
            joined: c.cs.iter().filter_map(|row| Some(row.join?.mv)).collect(),
            cs_keys: c.cs_keys_added.iter().chain(&c.cs_keys_removed).map(|row| row.0).collect(),
            mv: c.mv.iter().map(|row| row.id).chain(c.mv_deleted.iter().copied()).collect(),
            mv_keys: c.mv_keys_added.iter().chain(&c.mv_keys_removed).map(|row| row.0).collect(),
            link_owners: links().map(|row| row.0).chain(gone()).collect(),
            link_keys: links().map(|row| row.2).collect(),
            mv_link_owners: mv_links().map(|row| row.0).chain(c.mv_deleted.iter().copied()).collect(),
            mv_link_targets: mv_links().map(|row| row.2).collect(),
            exports: c
                .exports
                .iter()
                .map(|row| row.cs)
                .chain(c.exports_deleted.iter().copied())
                .chain(gone())
                .collect(),
            export_link_owners: c
                .export_links
                .iter()
                .map(|row| row.owner)
                .chain(c.export_links_deleted.iter().map(|row| row.0))
                .chain(gone())
                .collect(),
            errors: c
                .errors
                .iter()
                .map(|row| row.cs)
                .chain(c.errors_healed.iter().map(|row| row.0))
                .chain(gone())
                .collect(),
        }
    }
}

fn any<'k, K: Hash + Eq + 'k>(asked: impl IntoIterator<Item = &'k K>, changing: &HashSet<K>) -> bool {
    !changing.is_empty() && asked.into_iter().any(|key| changing.contains(key))
}

/// A state that is being written, read from where that makes no difference.
pub struct Ahead<'s> {
    store: &'s dyn Store,
    before: Box<dyn StoreReader + 's>,
    after: OnceCell<Box<dyn StoreReader + 's>>,
    written: &'s Gate,
    changing: Changing<'s>,
}

impl<'s> Ahead<'s> {
    fn new(
        store: &'s dyn Store,
        before: Box<dyn StoreReader + 's>,
        written: &'s Gate,
        changes: &'s Changes,
    ) -> Self {
        Self { store, before, after: OnceCell::new(), written, changing: Changing::of(changes) }
    }

    /// The state after the writing: waits for it.
    fn after(&self) -> Read<&dyn StoreReader> {
        if let Some(after) = self.after.get() {
            return Ok(&**after);
        }
        if !self.written.wait() {
            return Err(ReadError("the batch before this one could not be written".to_owned()));
        }
        let after = self.store.reader().map_err(|error| ReadError(error.to_string()))?;
        Ok(&**self.after.get_or_init(|| after))
    }

    /// The reader for a question that the writing changes, or not, as the question itself shows.
    fn of(&self, changing: bool) -> Read<&dyn StoreReader> {
        match self.after.get() {
            Some(after) => Ok(&**after),
            None if changing => self.after(),
            None => Ok(&*self.before),
        }
    }

    /// The answer, asked again afterwards when the answer itself shows that the writing changes it.
    fn asked<T>(
        &self,
        changing: bool,
        ask: impl Fn(&dyn StoreReader) -> Read<T>,
        shows: impl Fn(&T) -> bool,
    ) -> Read<T> {
        let answer = ask(self.of(changing)?)?;
        match self.after.get() {
            None if shows(&answer) => ask(self.after()?),
            _ => Ok(answer),
        }
    }

    fn changes_cs(&self, rows: &[CsRow]) -> bool {
        any(rows.iter().map(|row| &row.id), &self.changing.cs)
    }

    /// The page of the agenda that follows the work being done, which ends with `last`; `None` when nothing does, or
    /// when it does not follow but begins anew.
    ///
    /// # Errors
    /// When the database fails.
    pub fn following(
        &self,
        pass: u8,
        connector: Option<ConnectorId>,
        now: Time,
        last: AgendaRow,
        limit: usize,
    ) -> Read<Option<Vec<AgendaRow>>> {
        let changes = self.changing.changes;
        let rows = self.before.agenda(pass, connector, now, Some(last), limit)?;
        let done: HashSet<_> = changes.agenda_done.iter().collect();
        let ours = |row: &&AgendaRow| {
            row.work.pass() == pass
                && row.not_before <= now
                && connector.is_none_or(|connector| pass != 0 || row.connector == connector)
        };
        let moved = changes.agenda.iter().filter(ours).any(|row| {
            row.work <= last.work
                || (rows.len() < limit || rows.last().is_some_and(|end| row.work < end.work))
                    && rows.binary_search_by_key(&row.work, |row| row.work).is_err()
        });
        let moved = moved || rows.iter().any(|row| done.contains(&row.work));
        Ok((!moved && !rows.is_empty()).then_some(rows))
    }

    /// A page of the objects of a connector, as [`StoreReader::cs_heads`].
    ///
    /// # Errors
    /// When the database fails.
    pub fn heads(&self, connector: ConnectorId, after: CsId, limit: usize) -> Read<Vec<CsHead>> {
        let new = |row: &CsRow| row.connector == connector && row.id > after;
        self.asked(
            false,
            |reader| reader.cs_heads(connector, after, limit),
            |page| {
                let end = page.last().filter(|_| page.len() == limit).map(|head| head.turn.cs);
                any(page.iter().map(|head| &head.turn.cs), &self.changing.cs)
                    || self
                        .changing
                        .changes
                        .cs
                        .iter()
                        .filter(|row| new(row))
                        .any(|row| end.is_none_or(|end| row.id < end))
            },
        )
    }
}

impl Reader for Ahead<'_> {
    fn counters(&self) -> Read<Counters> {
        match self.changing.changes.counters {
            Some(counters) => Ok(counters),
            None => self.of(false)?.counters(),
        }
    }

    fn cs_by_id(&self, ids: &[CsId]) -> Read<Vec<CsRow>> {
        self.of(any(ids, &self.changing.cs))?.cs_by_id(ids)
    }

    fn cs_by_key(&self, keys: &[Hash128]) -> Read<Vec<CsRow>> {
        let changing = any(keys, &self.changing.keys);
        self.asked(changing, |reader| reader.cs_by_key(keys), |rows| self.changes_cs(rows))
    }

    fn cs_by_name(&self, keys: &[Hash128]) -> Read<Vec<CsRow>> {
        let changing = any(keys, &self.changing.keys);
        self.asked(changing, |reader| reader.cs_by_name(keys), |rows| self.changes_cs(rows))
    }

    fn cs_of_mv(&self, mvs: &[MvId]) -> Read<Vec<CsRow>> {
        let changing = any(mvs, &self.changing.joined);
        self.asked(changing, |reader| reader.cs_of_mv(mvs), |rows| self.changes_cs(rows))
    }

    fn joined_to(&self, mvs: &[MvId]) -> Read<Vec<(MvId, CsId)>> {
        let shows = |rows: &Vec<(MvId, CsId)>| any(rows.iter().map(|row| &row.1), &self.changing.cs);
        self.asked(any(mvs, &self.changing.joined), |reader| reader.joined_to(mvs), shows)
    }

    fn joined_in(&self, connector: ConnectorId, mvs: &[MvId]) -> Read<Vec<JoinedIn>> {
        let shows = |rows: &Vec<JoinedIn>| any(rows.iter().map(|row| &row.cs), &self.changing.cs);
        self.asked(any(mvs, &self.changing.joined), |reader| reader.joined_in(connector, mvs), shows)
    }

    fn joins_of(&self, ids: &[CsId]) -> Read<Vec<(CsId, MvId)>> {
        self.of(any(ids, &self.changing.cs))?.joins_of(ids)
    }

    fn cs_by_join(&self, keys: &[i64]) -> Read<Vec<(i64, CsId)>> {
        self.of(any(keys, &self.changing.cs_keys))?.cs_by_join(keys)
    }

    fn cs_page(&self, connector: ConnectorId, after: CsId, limit: usize) -> Read<Vec<CsRow>> {
        self.of(!self.changing.cs.is_empty())?.cs_page(connector, after, limit)
    }

    fn link_targets(&self, keys: &[Hash128]) -> Read<Vec<(Hash128, CsId, Option<MvId>)>> {
        let shows =
            |rows: &Vec<(Hash128, CsId, Option<MvId>)>| any(rows.iter().map(|row| &row.1), &self.changing.cs);
        self.asked(any(keys, &self.changing.keys), |reader| reader.link_targets(keys), shows)
    }

    fn name_key(&self, ids: &[CsId]) -> Read<Vec<(CsId, Hash128)>> {
        self.of(any(ids, &self.changing.cs))?.name_key(ids)
    }

    fn mv_by_id(&self, ids: &[MvId]) -> Read<Vec<MvRow>> {
        self.of(any(ids, &self.changing.mv))?.mv_by_id(ids)
    }

    fn mv_by_join(&self, keys: &[i64]) -> Read<Vec<(i64, MvId)>> {
        self.of(any(keys, &self.changing.mv_keys))?.mv_by_join(keys)
    }

    fn mv_page(&self, after: MvId, limit: usize) -> Read<Vec<MvRow>> {
        self.of(!self.changing.mv.is_empty())?.mv_page(after, limit)
    }

    fn links(
        &self,
        owner: CsId,
        attribute: AttrId,
        after: Option<Hash128>,
        limit: usize,
    ) -> Read<Vec<Hash128>> {
        self.of(self.changing.link_owners.contains(&owner))?.links(owner, attribute, after, limit)
    }

    fn has_links(&self, rows: &[(CsId, AttrId, Hash128)]) -> Read<Vec<bool>> {
        self.of(any(rows.iter().map(|row| &row.0), &self.changing.link_owners))?.has_links(rows)
    }

    fn referrers(
        &self,
        key: Hash128,
        after: Option<(CsId, AttrId)>,
        limit: usize,
    ) -> Read<Vec<(CsId, AttrId)>> {
        let changing = !self.changing.changes.cs_deleted.is_empty() || self.changing.link_keys.contains(&key);
        self.of(changing)?.referrers(key, after, limit)
    }

    fn mv_links(&self, owner: MvId, attribute: AttrId, after: MvId, limit: usize) -> Read<Vec<MvId>> {
        self.of(self.changing.mv_link_owners.contains(&owner))?.mv_links(owner, attribute, after, limit)
    }

    fn mv_link_count(&self, owner: MvId, attribute: AttrId) -> Read<u64> {
        self.of(self.changing.mv_link_owners.contains(&owner))?.mv_link_count(owner, attribute)
    }

    fn has_mv_links(&self, rows: &[(MvId, AttrId, MvId)]) -> Read<Vec<bool>> {
        self.of(any(rows.iter().map(|row| &row.0), &self.changing.mv_link_owners))?.has_mv_links(rows)
    }

    fn mv_referrers(
        &self,
        target: MvId,
        after: Option<(MvId, AttrId)>,
        limit: usize,
    ) -> Read<Vec<(MvId, AttrId)>> {
        let changing =
            !self.changing.changes.mv_deleted.is_empty() || self.changing.mv_link_targets.contains(&target);
        self.of(changing)?.mv_referrers(target, after, limit)
    }

    fn exports(&self, ids: &[CsId]) -> Read<Vec<ExportRow>> {
        self.of(any(ids, &self.changing.exports))?.exports(ids)
    }

    fn export_links(
        &self,
        owner: CsId,
        attribute: AttrId,
        after: CsId,
        limit: usize,
    ) -> Read<Vec<ExportLinkRow>> {
        let changing = self.changing.export_link_owners.contains(&owner);
        self.of(changing)?.export_links(owner, attribute, after, limit)
    }

    fn export_removals_to(
        &self,
        target: CsId,
        after: Option<(CsId, AttrId)>,
        limit: usize,
    ) -> Read<Vec<(CsId, AttrId)>> {
        // An owner that goes takes its link exports along, whatever they point at.
        let c = self.changing.changes;
        let changing = !c.cs_deleted.is_empty()
            || c.export_links.iter().any(|row| row.target == target)
            || c.export_links_deleted.iter().any(|row| row.2 == target);
        self.of(changing)?.export_removals_to(target, after, limit)
    }

    fn export_links_by_key(&self, rows: &[(CsId, AttrId, CsId)]) -> Read<Vec<ExportLinkRow>> {
        let changing = any(rows.iter().map(|row| &row.0), &self.changing.export_link_owners);
        self.of(changing)?.export_links_by_key(rows)
    }

    fn containers(&self, ids: &[ContainerId]) -> Read<Vec<ContainerRow>> {
        let changing = self.changing.changes.containers.iter().any(|row| ids.contains(&row.id));
        self.of(changing)?.containers(ids)
    }

    fn container(
        &self,
        connector: ConnectorId,
        parent: Option<ContainerId>,
        normalised_rdn: &str,
    ) -> Read<Option<ContainerRow>> {
        let changing = !self.changing.changes.containers.is_empty();
        self.of(changing)?.container(connector, parent, normalised_rdn)
    }

    fn cs_in_container(&self, container: ContainerId, after: CsId, limit: usize) -> Read<Vec<CsId>> {
        self.of(!self.changing.cs.is_empty())?.cs_in_container(container, after, limit)
    }

    fn containers_in(
        &self,
        container: ContainerId,
        after: ContainerId,
        limit: usize,
    ) -> Read<Vec<ContainerRow>> {
        let changing = !self.changing.changes.containers.is_empty();
        self.of(changing)?.containers_in(container, after, limit)
    }

    fn containers_by_anchor(&self, connector: ConnectorId, anchors: &[&Anchor]) -> Read<Vec<ContainerRow>> {
        let changing = !self.changing.changes.containers.is_empty();
        self.of(changing)?.containers_by_anchor(connector, anchors)
    }

    fn agenda(
        &self,
        pass: u8,
        connector: Option<ConnectorId>,
        now: Time,
        after: Option<AgendaRow>,
        limit: usize,
    ) -> Read<Vec<AgendaRow>> {
        let changes = self.changing.changes;
        let changing = !changes.agenda.is_empty() || !changes.agenda_done.is_empty();
        self.of(changing)?.agenda(pass, connector, now, after, limit)
    }

    fn errors_of(&self, ids: &[CsId]) -> Read<Vec<ErrorRow>> {
        self.of(any(ids, &self.changing.errors))?.errors_of(ids)
    }

    fn state(&self, connector: ConnectorId, name: &str) -> Read<Option<Vec<u8>>> {
        let changing = self.changing.changes.states.iter().any(|row| row.0 == connector && row.1 == name);
        self.of(changing)?.state(connector, name)
    }
}
