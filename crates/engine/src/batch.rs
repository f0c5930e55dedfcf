//! One batch: rows read once, changed in memory, visible to the rest of the batch, and handed over as [`Changes`].

use std::collections::{BTreeMap, BTreeSet, HashMap};

use onesync_model::{
    AttrId, ConnectorId, ContainerId, CsId, MvId, Names, RunId, Time, TypeId, Values, ValuesRef, join_key,
};
use onesync_rules::{Direction, RuleSet};

use crate::changes::{Changes, Counters};
use crate::containers::ContainerNames;
use crate::identity::GainedValue;
use crate::policy::Policies;
use crate::reader::{ReadError, Reader};
use crate::resolve::Failure;
use crate::sources::{cs_keys, mv_keys};
use crate::state::{AgendaRow, CsRow, ErrorRow, ExportRow, HistoryRow, MvRow, Turn, ValueChange, Work};
use crate::trace::{Note, Trace};

/// Everything a decision rests on besides the rows: fixed for a run.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    /// The compiled rules.
    pub rules: &'a RuleSet,
    /// The decisions beyond rules.
    pub policies: &'a Policies,
    /// Interned names, for messages.
    pub names: &'a Names,
    /// The time, fixed for the run.
    pub now: Time,
    /// The run.
    pub run: RunId,
    /// How many threads may compute at once.
    pub threads: usize,
    /// Where notes of decisions go; `None` in a sync.
    pub trace: Option<&'a Trace>,
}

impl Context<'_> {
    /// The name of an attribute, for messages.
    pub(crate) fn attribute(&self, id: AttrId) -> &str {
        self.names.name(id)
    }

    /// Takes a note where notes are taken.
    pub(crate) fn note(&self, note: impl FnOnce() -> Note) {
        if let Some(trace) = self.trace {
            trace.note(note());
        }
    }
}

/// A row that was read, and what became of it.
struct Slot<T> {
    before: Option<T>,
    /// What is to be there instead; `None` when nothing was decided.
    after: Option<Option<T>>,
}

impl<T: PartialEq> Slot<T> {
    fn read(row: Option<T>) -> Self {
        Self { before: row, after: None }
    }

    fn now(&self) -> Option<&T> {
        self.after.as_ref().map_or(self.before.as_ref(), Option::as_ref)
    }

    fn touched(&self) -> bool {
        self.after.is_some()
    }

    /// What was there and what is to be there, when that is different.
    fn change(self) -> Option<(Option<T>, Option<T>)> {
        let after = self.after?;
        (self.before != after).then_some((self.before, after))
    }
}

/// One batch in the making.
pub(crate) struct Batch<'r> {
    pub(crate) reader: &'r dyn Reader,
    pub(crate) changes: Changes,
    cs: BTreeMap<CsId, Slot<CsRow>>,
    mv: BTreeMap<MvId, Slot<MvRow>>,
    exports: BTreeMap<CsId, Slot<ExportRow>>,
    joined: HashMap<MvId, BTreeSet<CsId>>,
    mv_keys: HashMap<i64, Vec<MvId>>,
    /// Connector-space objects by join key, as read for this batch.
    cs_keys: HashMap<i64, Vec<CsId>>,
    agenda: BTreeMap<Work, (ConnectorId, Time)>,
    errors: BTreeMap<(CsId, String), ErrorRow>,
    healed: BTreeSet<(CsId, String)>,
    known_errors: BTreeMap<(CsId, String), ErrorRow>,
    containers: ContainerNames,
    gained: Vec<GainedValue>,
    counters: Counters,
    counters_before: Counters,
}

impl<'r> Batch<'r> {
    pub(crate) fn new(reader: &'r dyn Reader, run: RunId) -> Result<Self, ReadError> {
        let counters = reader.counters()?;
        Ok(Self {
            reader,
            changes: Changes { run, ..Changes::default() },
            cs: BTreeMap::new(),
            mv: BTreeMap::new(),
            exports: BTreeMap::new(),
            joined: HashMap::new(),
            mv_keys: HashMap::new(),
            cs_keys: HashMap::new(),
            agenda: BTreeMap::new(),
            errors: BTreeMap::new(),
            healed: BTreeSet::new(),
            known_errors: BTreeMap::new(),
            containers: ContainerNames::default(),
            gained: Vec::new(),
            counters,
            counters_before: counters,
        })
    }

    // --- reading ---

    /// Reads connector-space objects and the standing errors of each.
    pub(crate) fn load_cs(&mut self, ids: impl IntoIterator<Item = CsId>) -> Result<(), ReadError> {
        let mut missing: Vec<CsId> = ids.into_iter().filter(|id| !self.cs.contains_key(id)).collect();
        missing.sort_unstable();
        missing.dedup();
        if missing.is_empty() {
            return Ok(());
        }
        let rows = self.reader.cs_by_id(&missing)?;
        for id in &missing {
            self.cs.insert(*id, Slot::read(None));
        }
        self.keep_cs(rows)
    }

    /// Takes rows that a set read gave.
    pub(crate) fn keep_cs(&mut self, rows: Vec<CsRow>) -> Result<(), ReadError> {
        let ids: Vec<CsId> = rows.iter().map(|row| row.id).collect();
        for row in rows {
            match self.cs.get(&row.id) {
                Some(slot) if slot.before.is_some() || slot.touched() => {}
                _ => {
                    self.cs.insert(row.id, Slot::read(Some(row)));
                }
            }
        }
        for error in self.reader.errors_of(&ids)? {
            self.known_errors.insert((error.cs, error.place.clone()), error);
        }
        Ok(())
    }

    /// Reads metaverse objects with everything joined to them.
    pub(crate) fn load_mv(&mut self, ids: impl IntoIterator<Item = MvId>) -> Result<(), ReadError> {
        let mut missing: Vec<MvId> = ids.into_iter().filter(|id| !self.mv.contains_key(id)).collect();
        missing.sort_unstable();
        missing.dedup();
        if missing.is_empty() {
            return Ok(());
        }
        let rows = self.reader.mv_by_id(&missing)?;
        for id in &missing {
            self.mv.insert(*id, Slot::read(None));
            self.joined.entry(*id).or_default();
        }
        for row in rows {
            self.mv.insert(row.id, Slot::read(Some(row)));
        }
        let joined = self.reader.joined_to(&missing)?;
        for (mv, id) in &joined {
            // A row that this batch has already unjoined stays unjoined.
            if self.cs.get(id).is_none_or(|slot| !slot.touched()) {
                self.joined.entry(*mv).or_default().insert(*id);
            }
        }
        self.load_cs(joined.into_iter().map(|(_, id)| id))
    }

    /// Reads which connector-space objects have some join keys.
    pub(crate) fn load_cs_keys(&mut self, keys: &[i64]) -> Result<(), ReadError> {
        let mut missing: Vec<i64> =
            keys.iter().copied().filter(|key| !self.cs_keys.contains_key(key)).collect();
        missing.sort_unstable();
        missing.dedup();
        if missing.is_empty() {
            return Ok(());
        }
        self.cs_keys.extend(missing.iter().map(|&key| (key, Vec::new())));
        for (key, id) in self.reader.cs_by_join(&missing)? {
            self.cs_keys.entry(key).or_default().push(id);
        }
        Ok(())
    }

    /// The connector-space objects with a join key that was read.
    pub(crate) fn cs_of_key(&self, key: i64) -> &[CsId] {
        self.cs_keys.get(&key).map_or(&[], Vec::as_slice)
    }

    /// Reads pending exports.
    pub(crate) fn load_exports(&mut self, ids: impl IntoIterator<Item = CsId>) -> Result<(), ReadError> {
        let mut missing: Vec<CsId> = ids.into_iter().filter(|id| !self.exports.contains_key(id)).collect();
        missing.sort_unstable();
        missing.dedup();
        let rows = if missing.is_empty() { Vec::new() } else { self.reader.exports(&missing)? };
        for id in missing {
            self.exports.insert(id, Slot::read(None));
        }
        for row in rows {
            self.exports.insert(row.cs, Slot::read(Some(row)));
        }
        Ok(())
    }

    pub(crate) fn cs(&self, id: CsId) -> Option<&CsRow> {
        self.cs.get(&id).and_then(Slot::now)
    }

    /// The row as it was before this batch.
    pub(crate) fn cs_before(&self, id: CsId) -> Option<&CsRow> {
        self.cs.get(&id).and_then(|slot| slot.before.as_ref())
    }

    /// All metaverse objects of the batch, ascending.
    pub(crate) fn loaded_mvs(&self) -> Vec<MvRow> {
        self.mv.values().filter_map(|slot| slot.now().cloned()).collect()
    }

    pub(crate) fn mv(&self, id: MvId) -> Option<&MvRow> {
        self.mv.get(&id).and_then(Slot::now)
    }

    /// The row as it was before this batch.
    pub(crate) fn mv_before(&self, id: MvId) -> Option<&MvRow> {
        self.mv.get(&id).and_then(|slot| slot.before.as_ref())
    }

    pub(crate) fn export(&self, id: CsId) -> Option<&ExportRow> {
        self.exports.get(&id).and_then(Slot::now)
    }

    /// What is joined to a loaded metaverse object, ascending.
    pub(crate) fn joined(&self, mv: MvId) -> Vec<CsId> {
        self.joined.get(&mv).map(|set| set.iter().copied().collect()).unwrap_or_default()
    }

    /// Metaverse objects that got a join key in this batch.
    pub(crate) fn mv_keys_in_batch(&self, key: i64) -> &[MvId] {
        self.mv_keys.get(&key).map_or(&[], Vec::as_slice)
    }

    // --- writing ---

    pub(crate) fn new_cs_id(&mut self) -> CsId {
        let id = CsId(self.counters.cs);
        self.counters.cs += 1;
        id
    }

    pub(crate) fn new_mv_id(&mut self) -> MvId {
        let id = MvId(self.counters.mv);
        self.counters.mv += 1;
        id
    }

    pub(crate) fn new_container_id(&mut self) -> ContainerId {
        let id = ContainerId(self.counters.container);
        self.counters.container += 1;
        id
    }

    pub(crate) fn put_cs(&mut self, row: CsRow) {
        let id = row.id;
        let before_join = self.cs(id).and_then(|row| row.join).map(|join| join.mv);
        let after_join = row.join.map(|join| join.mv);
        if before_join != after_join {
            if let Some(mv) = before_join {
                self.joined.entry(mv).or_default().remove(&id);
            }
            if let Some(mv) = after_join {
                self.joined.entry(mv).or_default().insert(id);
            }
        }
        let slot = self.cs.entry(id).or_insert_with(|| Slot::read(None));
        slot.after = Some(Some(row));
    }

    pub(crate) fn delete_cs(&mut self, id: CsId) {
        if let Some(mv) = self.cs(id).and_then(|row| row.join).map(|join| join.mv) {
            self.joined.entry(mv).or_default().remove(&id);
        }
        let slot = self.cs.entry(id).or_insert_with(|| Slot::read(None));
        slot.after = Some(None);
    }

    pub(crate) fn put_mv(&mut self, row: MvRow) {
        let slot = self.mv.entry(row.id).or_insert_with(|| Slot::read(None));
        self.joined.entry(row.id).or_default();
        slot.after = Some(Some(row));
    }

    pub(crate) fn delete_mv(&mut self, id: MvId) {
        let slot = self.mv.entry(id).or_insert_with(|| Slot::read(None));
        slot.after = Some(None);
    }

    pub(crate) fn put_export(&mut self, row: ExportRow) {
        let slot = self.exports.entry(row.cs).or_insert_with(|| Slot::read(None));
        slot.after = Some(Some(row));
    }

    pub(crate) fn delete_export(&mut self, id: CsId) {
        let slot = self.exports.entry(id).or_insert_with(|| Slot::read(None));
        slot.after = Some(None);
    }

    pub(crate) fn add_mv_key(&mut self, key: i64, mv: MvId) {
        let list = self.mv_keys.entry(key).or_default();
        if !list.contains(&mv) {
            list.push(mv);
        }
    }

    /// Notes values of join attributes that a metaverse object got or lost: others may join by them, or may have
    /// waited for the place to become free.
    pub(crate) fn join_values_changed(&mut self, ctx: &Context<'_>, changes: &[ValueChange]) {
        for (attribute, old, new, _) in changes {
            if ctx.rules.join_attributes_mv().binary_search(attribute).is_err() {
                continue;
            }
            let old = old.as_ref().map(Values::as_slice).unwrap_or_default();
            let new = new.as_ref().map(Values::as_slice).unwrap_or_default();
            let changed =
                new.iter().filter(|v| !old.contains(v)).chain(old.iter().filter(|v| !new.contains(v)));
            self.gained.extend(changed.map(|v| (*attribute, v.clone())));
        }
    }

    /// Notes that a metaverse object goes, and with it all its join values.
    pub(crate) fn join_values_lost(&mut self, ctx: &Context<'_>, mv: &MvRow) {
        for &attribute in ctx.rules.join_attributes_mv() {
            let values = mv.values.as_ref().get(attribute).and_then(ValuesRef::to_values);
            self.gained.extend(values.into_iter().flat_map(Values::into_vec).map(|value| (attribute, value)));
        }
    }

    /// Puts unjoined objects on the agenda that may join, or not, by the values noted in this batch.
    pub(crate) fn wake_waiting(&mut self, ctx: &Context<'_>) -> Result<(), ReadError> {
        let mut keys = BTreeSet::new();
        for (attribute, value) in std::mem::take(&mut self.gained) {
            let inbound = ctx.rules.rules().iter().filter(|rule| rule.direction == Direction::Inbound);
            let conditions = inbound.flat_map(|rule| &rule.join).flat_map(|group| &group.conditions);
            keys.extend(
                conditions
                    .filter(|c| c.metaverse == attribute)
                    .map(|c| join_key(c.connector, value.as_ref())),
            );
        }
        let keys: Vec<i64> = keys.into_iter().collect();
        self.wake_unjoined(&keys)
    }

    /// Puts unjoined objects with one of these join keys on the agenda.
    pub(crate) fn wake_unjoined(&mut self, keys: &[i64]) -> Result<(), ReadError> {
        self.load_cs_keys(keys)?;
        let waiting: BTreeSet<CsId> = keys.iter().flat_map(|&key| self.cs_of_key(key)).copied().collect();
        self.load_cs(waiting.iter().copied())?;
        for id in waiting {
            if let Some(row) = self.cs(id).filter(|row| row.join.is_none()).cloned() {
                self.wake_identity(&row);
            }
        }
        Ok(())
    }

    /// Puts work on the agenda.
    pub(crate) fn wake(&mut self, work: Work) {
        self.wake_at(work, ConnectorId(0), Time::default());
    }

    /// Puts the identity of a connector-space object on the agenda.
    pub(crate) fn wake_identity(&mut self, row: &CsRow) {
        self.wake_at(Work::Identity(Turn::of(row)), row.connector, Time::default());
    }

    pub(crate) fn wake_at(&mut self, work: Work, connector: ConnectorId, not_before: Time) {
        let entry = self.agenda.entry(work).or_insert((connector, not_before));
        entry.1 = entry.1.min(not_before);
    }

    /// Whether this batch puts work on the agenda.
    pub(crate) fn is_awake(&self, work: Work) -> bool {
        self.agenda.contains_key(&work)
    }

    /// Takes work off the agenda; what the batch puts there again, perhaps for later, stays as it says.
    pub(crate) fn done(&mut self, work: Work) {
        self.changes.agenda_done.push(work);
    }

    pub(crate) fn error(
        &mut self,
        ctx: &Context<'_>,
        row: (CsId, ConnectorId),
        place: &str,
        code: &str,
        message: String,
        alarm: bool,
    ) {
        let key = (row.0, place.to_owned());
        self.healed.remove(&key);
        let first_seen = self.known_errors.get(&key).map_or(ctx.now, |known| known.first_seen);
        let error = ErrorRow {
            cs: row.0,
            connector: row.1,
            object_type: TypeId(0), // as the row says when the batch is done
            place: place.to_owned(),
            code: code.to_owned(),
            cause: 0,
            message,
            first_seen,
            run: ctx.run,
            alarm,
        };
        self.errors.insert(key, error);
    }

    /// Notes that a flow failed on an object: its attribute is isolated, and that is an alarm where an account might be
    /// left enabled or disabled by it.
    pub(crate) fn flow_failed(
        &mut self,
        ctx: &Context<'_>,
        row: (CsId, ConnectorId),
        side: &str,
        attribute: AttrId,
        failure: &Failure,
    ) {
        let name = ctx.attribute(attribute);
        let place = format!("{side}:{name}");
        let keeps = if side == "flow" { "the value stays as it was" } else { "the target keeps what it has" };
        let message = format!("`{name}`: {}; {keeps}", failure.message);
        self.error(ctx, row, &place, "flow-failed", message, name.eq_ignore_ascii_case("accountEnabled"));
        self.caused(row.0, place, failure.cause);
    }

    /// Says of an error that was just noted what it has in common with others of its code.
    pub(crate) fn caused(&mut self, id: CsId, place: String, cause: i64) {
        if let Some(error) = self.errors.get_mut(&(id, place)) {
            error.cause = cause;
        }
    }

    /// Whether an error of a loaded object stood before the batch at this place.
    pub(crate) fn has_error(&self, id: CsId, place: &str) -> bool {
        self.known_errors.contains_key(&(id, place.to_owned()))
    }

    /// Takes back the standing errors of an object whose place satisfies `which`, unless the batch reports them anew.
    pub(crate) fn heal(&mut self, id: CsId, which: impl Fn(&str) -> bool) {
        let from = (id, String::new());
        let places: Vec<_> = self
            .known_errors
            .range(from..)
            .take_while(|((cs, _), _)| *cs == id)
            .filter(|((_, place), _)| which(place))
            .map(|(key, _)| key.clone())
            .collect();
        for key in places {
            if !self.errors.contains_key(&key) {
                self.healed.insert(key);
            }
        }
    }

    pub(crate) fn history(&mut self, row: HistoryRow) {
        self.changes.history.push(row);
    }

    /// Notes what happened to a metaverse object itself.
    pub(crate) fn event(&mut self, ctx: &Context<'_>, mv: MvId, event: &str) {
        let event = Some(event.to_owned());
        self.history(HistoryRow { mv, run: ctx.run, time: ctx.now, event, changes: Vec::new() });
    }

    /// The distinguished name of a row.
    pub(crate) fn dn(&mut self, row: &CsRow) -> Result<String, ReadError> {
        self.containers.dn(self.reader, &row.name, row.container)
    }

    /// Hands over what was decided. Join keys follow from the rows; rows that ended as they began are left out.
    pub(crate) fn finish(mut self, ctx: &Context<'_>) -> Changes {
        let mut changes = std::mem::take(&mut self.changes);
        for ((id, _), error) in &mut self.errors {
            error.object_type = self.cs.get(id).and_then(Slot::now).map_or(TypeId(0), |row| row.object_type);
        }
        for (id, slot) in std::mem::take(&mut self.cs) {
            let Some((before, now)) = slot.change() else { continue };
            let old = before.as_ref().map(|row| cs_keys(ctx, row)).unwrap_or_default();
            let new = now.as_ref().map(|row| cs_keys(ctx, row)).unwrap_or_default();
            changes.cs_keys_added.extend(new.difference(&old).map(|&key| (key, id)));
            match now {
                Some(row) => {
                    changes.cs_keys_removed.extend(old.difference(&new).map(|&key| (key, id)));
                    changes.cs.push(row);
                }
                None if before.is_some() => {
                    changes.cs_keys_removed.extend(old.into_iter().map(|key| (key, id)));
                    changes.cs_deleted.push(id);
                }
                None => {}
            }
        }
        for (id, slot) in std::mem::take(&mut self.mv) {
            let Some((before, now)) = slot.change() else { continue };
            let old = before.as_ref().map(|row| mv_keys(ctx, row)).unwrap_or_default();
            let new = now.as_ref().map(|row| mv_keys(ctx, row)).unwrap_or_default();
            changes.mv_keys_added.extend(new.difference(&old).map(|&key| (key, id)));
            changes.mv_keys_removed.extend(old.difference(&new).map(|&key| (key, id)));
            match now {
                Some(row) => changes.mv.push(row),
                None if before.is_some() => changes.mv_deleted.push(id),
                None => {}
            }
        }
        for (id, slot) in std::mem::take(&mut self.exports) {
            let Some((before, now)) = slot.change() else { continue };
            match now {
                Some(row) => changes.exports.push(row),
                None if before.is_some() => changes.exports_deleted.push(id),
                None => {}
            }
        }
        changes.agenda_done.sort_unstable();
        changes.agenda_done.dedup();
        changes.agenda.extend(self.agenda.iter().map(|(&work, &(connector, not_before))| AgendaRow {
            connector,
            work,
            not_before,
        }));
        let deleted: BTreeSet<CsId> = changes.cs_deleted.iter().copied().collect();
        changes.errors.extend(self.errors.into_values().filter(|error| {
            let same = |known: &ErrorRow| {
                let sort = |row: &ErrorRow| (row.object_type, row.cause);
                known.code == error.code && known.message == error.message && sort(known) == sort(error)
            };
            !deleted.contains(&error.cs)
                && !self.known_errors.get(&(error.cs, error.place.clone())).is_some_and(same)
        }));
        changes.errors_healed.extend(self.healed);
        changes.counters = (self.counters != self.counters_before).then_some(self.counters);
        debug_assert_eq!(crate::invariants::of_changes(&changes), None);
        changes
    }
}
