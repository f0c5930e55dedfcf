//! Writing what the engine decided: what is there of the rows of a batch is read at once, the differences of the kept
//! counts are computed here, and the rows are written as sets, each set one statement.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use onesync_engine::{
    AttributeChange, Cause, Changes, CsRow, ExportLinkRow, HistoryRow, Join, LinkPick, LinkSum, MvState, Work,
};
use onesync_model::{AttrId, CsId, Hash128, MvId, Time};

use super::row::Columns;
use super::{Cells, Checked, Labels, SetStatements, Value, Writer, row, values};
use crate::rows::operation_code;
use crate::store::work_columns;
use crate::tally::{self, Tallies, in_order};

const DOING: &str = "writing a batch";

/// A transaction of a server: it takes rows as sets.
pub(crate) trait SetWriter<'c>: SetStatements + Writer {
    /// The keys of a question as the dialect sends them.
    type Keys;
    /// A row as the driver gives it.
    type Row: Columns;
    /// What asks which owners have links, in the connector spaces and in the metaverse; without it all may have some.
    const LINKED: Option<[&'static str; 2]> = None;

    /// Keys, made for a question.
    fn keys<const N: usize>(rows: impl Iterator<Item = [Value<'c>; N]>) -> Self::Keys;

    /// Asks several statements; one without keys is not asked. The rows in the order of the statements.
    fn look(&mut self, questions: Vec<(&'static str, Self::Keys)>) -> Checked<Vec<Vec<Self::Row>>>;

    /// Queues a statement for a set of rows, unless there are none.
    fn set<const N: usize>(&mut self, sql: &'static str, rows: impl IntoIterator<Item = [Value<'c>; N]>);

    /// Queues a statement for rows whose keys are known not to be there: a dialect may know a faster way for many.
    fn set_new<const N: usize>(&mut self, sql: &'static str, rows: Vec<[Value<'c>; N]>) {
        self.set(sql, rows);
    }

    /// Queues a statement for one row.
    fn one(&mut self, sql: &'static str, values: Vec<Value<'c>>);

    /// Sends what is queued.
    fn flush(&mut self, doing: &'static str) -> Checked<()>;

    /// Runs a statement at once, after what is queued; how many rows it met.
    fn execute(&mut self, sql: &'static str, values: &[Value<'_>]) -> Checked<u64>;
}

/// A stored connector-space object, as far as it matters.
struct OldCs {
    sort: tally::CsSort,
    key: Option<Hash128>,
    join: Option<Join>,
}

/// What is there of the rows that a batch names.
struct Old {
    labels: Labels,
    cs: HashMap<CsId, OldCs>,
    mv: HashMap<MvId, tally::MvSort>,
    exports: HashMap<CsId, (tally::ExportSort, Hash128)>,
    export_links: BTreeMap<(CsId, AttrId, CsId), ExportLinkRow>,
    errors: BTreeMap<(CsId, String), tally::ErrorSort>,
    /// Owners that have links, or may have some.
    linked: [HashSet<i64>; 2],
}

/// Keys of one column.
fn keys<'c, W: SetWriter<'c>>(ids: impl Iterator<Item = i64>) -> W::Keys {
    W::keys(ids.map(|id| values![id]))
}

impl Old {
    fn read<'c, W: SetWriter<'c>>(tx: &mut W, changes: &'c Changes) -> Checked<Self> {
        let gone = || changes.cs_deleted.iter().map(|id| id.0);
        let links = changes.export_links.iter().map(|row| (row.owner, row.attribute, row.target));
        let links = links.chain(changes.export_links_deleted.iter().copied());
        let errors = changes.errors.iter().map(|row| (row.cs, &row.place));
        let errors = errors.chain(changes.errors_healed.iter().map(|(cs, place)| (*cs, place)));
        let exports = changes.exports.iter().map(|row| row.cs.0);
        let exports = exports.chain(changes.exports_deleted.iter().map(|id| id.0)).chain(gone());
        let mv = changes.mv.iter().map(|row| row.id.0).chain(changes.mv_deleted.iter().map(|id| id.0));
        let owners: [BTreeSet<i64>; 2] = [
            changes.links_added.iter().map(|row| row.0.0).collect(),
            changes.mv_links_added.iter().map(|row| row.0.0).collect(),
        ];
        let mut questions = vec![
            (W::CS_OLD, keys::<W>(changes.cs.iter().map(|row| row.id.0).chain(gone()))),
            (W::MV_OLD, keys::<W>(mv)),
            (W::EXPORT_OLD, keys::<W>(exports)),
            (W::EXPORT_LINK_BY_KEY, W::keys(links.map(|(o, a, t)| values![o.0, a.0, t.0]))),
            (W::EXPORT_LINK_OF, keys::<W>(gone())),
            (W::ERROR_BY_KEY, W::keys(errors.map(|(cs, place)| values![cs.0, place]))),
            (W::ERRORS_OF, keys::<W>(gone())),
            (W::LABELS, keys::<W>(changes.mv.iter().map(|row| row.id.0).take(1))),
        ];
        for (sql, owners) in W::LINKED.into_iter().flatten().zip(&owners) {
            questions.push((sql, keys::<W>(owners.iter().copied())));
        }
        let found = tx.look(questions)?;
        let mut old = Self {
            labels: Labels::default(),
            cs: HashMap::new(),
            mv: HashMap::new(),
            exports: HashMap::new(),
            export_links: BTreeMap::new(),
            errors: BTreeMap::new(),
            linked: [HashSet::new(), HashSet::new()],
        };
        let mut found = found.into_iter();
        for row in found.next().unwrap_or_default() {
            let cells = Cells { table: "cs_object", row: &row };
            let (key, join) = (cells.hash_or_null(4)?, row::join(&cells, 5)?);
            let sort = (cells.get(1)?, cells.get(2)?, join.is_some(), cells.get(3)?);
            old.cs.insert(CsId(cells.get(0)?), OldCs { sort, key, join });
        }
        for row in found.next().unwrap_or_default() {
            let cells = Cells { table: "mv_object", row: &row };
            old.mv.insert(MvId(cells.get(0)?), (cells.get(1)?, cells.get(2)?));
        }
        for row in found.next().unwrap_or_default() {
            let cells = Cells { table: "export_object", row: &row };
            let (connector, object_type, operation) = (cells.get(1)?, cells.get(2)?, cells.get(3)?);
            let sort = (connector, object_type, operation, cells.get(4)?, cells.get(5)?, cells.get(6)?);
            old.exports.insert(CsId(cells.get(0)?), (sort, cells.hash(7)?));
        }
        for row in found.by_ref().take(2).flatten() {
            let row = row::export_link(&Cells { table: "export_link", row: &row })?;
            old.export_links.insert((row.owner, row.attribute, row.target), row);
        }
        match W::LINKED {
            None => old.linked = owners.map(|owners| owners.into_iter().collect()),
            Some(_) => {
                for (table, linked) in ["cs_link", "mv_link"].into_iter().zip(&mut old.linked).rev() {
                    for row in found.next_back().unwrap_or_default() {
                        linked.insert(Cells { table, row: &row }.get(0)?);
                    }
                }
            }
        }
        for row in found.next_back().unwrap_or_default() {
            old.labels.note(&Cells { table: "attribute_name", row: &row })?;
        }
        for row in found.flatten() {
            let row = row::error(&Cells { table: "object_error", row: &row })?;
            old.errors.insert((row.cs, row.place.clone()), tally::error_sort(&row));
        }
        Ok(old)
    }
}

/// A batch being written.
struct Batch<'b, 'c, W> {
    tx: &'b mut W,
    changes: &'c Changes,
    old: Old,
    tallies: Tallies,
}

/// Writes a batch; gives what it adds to the kept counts. Its last statements are still queued.
pub(crate) fn apply<'c, W: SetWriter<'c>>(tx: &mut W, changes: &'c Changes) -> Checked<Tallies> {
    let old = Old::read(tx, changes)?;
    let mut batch = Batch { tx, changes, old, tallies: Tallies::default() };
    batch.delete_objects();
    batch.delete_rows();
    batch.cs();
    batch.mv();
    batch.keys_and_links();
    batch.exports();
    batch.agenda();
    batch.notes();
    batch.tx.flush(DOING)?;
    Ok(batch.tallies)
}

impl<'c, W: SetWriter<'c>> Batch<'_, 'c, W> {
    fn delete_objects(&mut self) {
        let gone = in_order(&self.changes.cs_deleted, |id| *id);
        for id in &gone {
            if let Some(old) = self.old.cs.remove(id) {
                self.tallies.cs.went(old.sort, Hash128::default());
            }
        }
        let links = self.old.export_links.keys().filter(|key| gone.binary_search(&&key.0).is_ok());
        for key in links.copied().collect::<Vec<_>>() {
            self.export_link_goes(key);
        }
        let errors = self.old.errors.keys().filter(|key| gone.binary_search(&&key.0).is_ok());
        for key in errors.cloned().collect::<Vec<_>>() {
            self.error_goes(&key);
        }
        for sql in [
            W::CS_DELETE,
            W::CS_JOINED_DELETE,
            W::LINK_DELETE_OF,
            W::EXPORT_LINK_DELETE_OF,
            W::ERROR_DELETE_OF,
        ] {
            self.tx.set(sql, gone.iter().map(|id| values![id.0]));
        }
        self.delete_exports(&self.changes.cs_deleted);
        let gone = in_order(&self.changes.mv_deleted, |id| *id);
        for id in &gone {
            if let Some(sort) = self.old.mv.remove(id) {
                self.tallies.mv.went(sort, Hash128::default());
            }
        }
        for sql in [W::MV_DELETE, W::MV_LINK_DELETE_OF] {
            self.tx.set(sql, gone.iter().map(|id| values![id.0]));
        }
    }

    fn export_link_goes(&mut self, key: (CsId, AttrId, CsId)) -> bool {
        let old = self.old.export_links.remove(&key);
        old.iter().for_each(|row| self.tallies.export_link_went(row));
        old.is_some()
    }

    fn error_goes(&mut self, key: &(CsId, String)) -> bool {
        let old = self.old.errors.remove(key);
        let there = old.is_some();
        if let Some(sort) = old {
            self.tallies.errors.went(sort, Hash128::default());
        }
        there
    }

    fn delete_exports(&mut self, ids: &'c [CsId]) {
        let mut there = Vec::new();
        for id in in_order(ids, |id| *id) {
            if let Some((sort, hash)) = self.old.exports.remove(id) {
                self.tallies.exports.went(sort, hash);
                there.push(values![id.0]);
            }
        }
        self.tx.set(W::EXPORT_DELETE, there);
    }

    fn delete_rows(&mut self) {
        let changes = self.changes;
        let by_key = |rows: &'c [(i64, CsId)]| in_order(rows, |row| *row).into_iter();
        self.tx.set(W::CS_JOIN_DELETE, by_key(&changes.cs_keys_removed).map(|(key, id)| values![*key, id.0]));
        let rows = in_order(&changes.mv_keys_removed, |row| *row).into_iter();
        self.tx.set(W::MV_JOIN_DELETE, rows.map(|(key, id)| values![*key, id.0]));
        let rows = in_order(&changes.links_removed, |row| *row).into_iter();
        self.tx.set(W::LINK_DELETE, rows.map(|(owner, a, key)| values![owner.0, a.0, key]));
        let rows = in_order(&changes.mv_links_removed, |row| *row).into_iter();
        self.tx.set(W::MV_LINK_DELETE, rows.map(|(owner, a, target)| values![owner.0, a.0, target.0]));
        self.delete_exports(&changes.exports_deleted);
        let mut rows = in_order(&changes.export_links_deleted, |row| *row);
        rows.retain(|key| self.export_link_goes(**key));
        let rows = rows.into_iter().map(|(owner, a, target)| values![owner.0, a.0, target.0]);
        self.tx.set(W::EXPORT_LINK_DELETE, rows);
        let mut rows: Vec<_> = changes.errors_healed.iter().collect();
        rows.retain(|key| self.error_goes(key));
        self.tx.set(W::ERROR_DELETE, rows.into_iter().map(|(cs, place)| values![cs.0, place]));
    }

    fn cs(&mut self) {
        let rows = in_order(&self.changes.cs, |row| row.id);
        let mut names: BTreeMap<CsId, Option<&'c Hash128>> =
            self.changes.cs_names.iter().map(|(id, _, new)| (*id, new.as_ref())).collect();
        let (mut new, mut known, mut freed) = (Vec::new(), Vec::new(), Vec::new());
        let (mut joined, mut newly_joined, mut unjoined) = (Vec::new(), Vec::new(), Vec::new());
        for row in rows {
            self.tallies.cs.came(tally::cs_sort(row), Hash128::default());
            let join = match self.old.cs.remove(&row.id) {
                None => {
                    new.push((row, names.remove(&row.id).flatten()));
                    None
                }
                Some(old) => {
                    self.tallies.cs.went(old.sort, Hash128::default());
                    if old.key.is_some() && old.key != row.key() {
                        // An anchor that is given up here may be taken by another row of this batch.
                        freed.push(values![row.id.0]);
                    }
                    known.push(row);
                    old.join
                }
            };
            match row.join {
                same if same == join => {}
                Some(now) => {
                    let list = if join.is_none() { &mut newly_joined } else { &mut joined };
                    list.push(values![row.id.0, now.mv.0, now.rule.0, now.run.0, now.owned]);
                }
                None => unjoined.push(values![row.id.0]),
            }
        }
        self.tx.set(W::CS_FREE_ANCHOR, freed);
        let new = new.into_iter().map(|(row, name_key)| {
            let [a, b, c, d, e, f, g, h, i, j, k, l] = cs_values(row);
            [a, b, c, d, e, f, g, h, i, j, k, l, name_key.into()]
        });
        self.tx.set_new(W::CS_INSERT, new.collect());
        self.tx.set(W::CS_UPDATE, known.into_iter().map(cs_values));
        self.tx.set_new(W::CS_JOINED_PUT, newly_joined);
        self.tx.set(W::CS_JOINED_PUT, joined);
        self.tx.set(W::CS_JOINED_DELETE, unjoined);
        self.tx.set(W::CS_NAME_PUT, names.into_iter().map(|(id, key)| values![id.0, key]));
        let containers = in_order(&self.changes.containers, |row| row.id).into_iter();
        self.tx.set(
            W::CONTAINER_PUT,
            containers.map(|row| {
                let parent = row.parent.map_or(0, |id| id.0);
                let key = Value::Text(row.key().into());
                let [a, b, c, d] = values![row.id.0, row.connector.0, parent, &row.rdn];
                [a, b, c, d, key, row.anchor.as_ref().into(), row.hidden.into()]
            }),
        );
    }

    fn mv(&mut self) {
        let labels = self.old.labels;
        let (mut new, mut known) = (Vec::new(), Vec::new());
        for row in in_order(&self.changes.mv, |row| row.id) {
            self.tallies.mv.came(tally::mv_sort(row), Hash128::default());
            let (since, deleted) = match row.state {
                MvState::Active => (None, None),
                MvState::Leaving { since, deleted } => (Some(since.ticks()), Some(deleted)),
            };
            let [display, principal] = labels.of(&row.values);
            let values = values![
                row.id.0,
                row.object_type.0,
                since,
                deleted,
                Cause::encode(&row.causes),
                LinkPick::encode(&row.picks),
                row.values.as_bytes(),
                &row.guid.0[..],
                display,
                principal,
            ];
            match self.old.mv.remove(&row.id) {
                None => new.push(values),
                Some(sort) => {
                    self.tallies.mv.went(sort, Hash128::default());
                    known.push(values);
                }
            }
        }
        self.tx.set_new(W::MV_PUT, new);
        self.tx.set(W::MV_PUT, known);
    }

    fn keys_and_links(&mut self) {
        let changes = self.changes;
        let rows = in_order(&changes.cs_keys_added, |row| *row).into_iter();
        self.tx.set(W::CS_JOIN_PUT, rows.map(|(key, id)| values![*key, id.0]));
        let rows = in_order(&changes.mv_keys_added, |row| *row).into_iter();
        self.tx.set(W::MV_JOIN_PUT, rows.map(|(key, id)| values![*key, id.0]));
        let (mut new, mut known) = (Vec::new(), Vec::new());
        for row in in_order(&changes.links_added, |row| *row) {
            let rows = if self.old.linked[0].contains(&row.0.0) { &mut known } else { &mut new };
            rows.push(values![row.0.0, row.1.0, &row.2]);
        }
        self.tx.set_new(W::LINK_PUT, new);
        self.tx.set(W::LINK_PUT, known);
        let (mut new, mut known) = (Vec::new(), Vec::new());
        for row in in_order(&changes.mv_links_added, |row| *row) {
            let rows = if self.old.linked[1].contains(&row.0.0) { &mut known } else { &mut new };
            rows.push(values![row.0.0, row.1.0, row.2.0]);
        }
        self.tx.set_new(W::MV_LINK_PUT, new);
        self.tx.set(W::MV_LINK_PUT, known);
        if let Some(counters) = changes.counters {
            let values = values![counters.cs, counters.mv, counters.container];
            self.tx.one(W::COUNTERS_PUT, values.into());
        }
    }

    fn exports(&mut self) {
        let (mut new, mut known) = (Vec::new(), Vec::new());
        for row in in_order(&self.changes.exports, |row| row.cs) {
            let hash = self.tallies.export_came(row);
            let rows = match self.old.exports.remove(&row.cs) {
                None => &mut new,
                Some((sort, old)) => {
                    self.tallies.exports.went(sort, old);
                    &mut known
                }
            };
            rows.push(values![
                row.cs.0,
                row.connector.0,
                row.object_type.0,
                operation_code(row.operation),
                row.state.code(),
                row.kinds,
                row.held,
                row.not_before.ticks(),
                row.attempts,
                row.sent.map(Time::ticks),
                hash.0.to_vec(),
                row.create_key.as_ref(),
                row.error.as_ref(),
                AttributeChange::encode(&row.changes),
            ]);
        }
        self.tx.set_new(W::EXPORT_PUT, new);
        self.tx.set(W::EXPORT_PUT, known);
        let (mut new, mut known) = (Vec::new(), Vec::new());
        for row in in_order(&self.changes.export_links, |row| (row.owner, row.attribute, row.target)) {
            self.tallies.export_link_came(row);
            let there = self.export_link_goes((row.owner, row.attribute, row.target));
            let rows = if there { &mut known } else { &mut new };
            rows.push(values![
                row.owner.0,
                row.attribute.0,
                row.target.0,
                row.connector.0,
                row.add,
                row.state.code(),
                row.held,
                row.not_before.ticks(),
                row.attempts,
                row.error.as_ref(),
            ]);
        }
        self.tx.set_new(W::EXPORT_LINK_PUT, new);
        self.tx.set(W::EXPORT_LINK_PUT, known);
    }

    fn agenda(&mut self) {
        let done = in_order(&self.changes.agenda_done, |work| *work);
        let (identity, other): (Vec<&Work>, Vec<&Work>) =
            done.into_iter().partition(|work| matches!(work, Work::Identity(_)));
        self.tx.set(
            W::AGENDA_DELETE_IDENTITY,
            identity.into_iter().map(|work| {
                let (_, a, b, c) = work_columns(*work);
                values![a, b, c]
            }),
        );
        self.tx.set(
            W::AGENDA_DELETE,
            other.into_iter().map(|work| {
                let (pass, a, b, c) = work_columns(*work);
                values![pass, a, b, c]
            }),
        );
        // Of several rows for one piece of work the earliest counts; a statement must not meet a row twice.
        let mut earliest: BTreeMap<(u8, u32, i64, i64, Vec<u8>), i64> = BTreeMap::new();
        for row in &self.changes.agenda {
            let (pass, a, b, c) = work_columns(row.work);
            let time = row.not_before.ticks();
            let known = earliest.entry((pass, row.connector.0, a, b, c)).or_insert(time);
            *known = time.min(*known);
        }
        self.tx.set(
            W::AGENDA_PUT,
            earliest
                .into_iter()
                .map(|((pass, connector, a, b, c), time)| values![pass, connector, a, b, c, time]),
        );
    }

    fn notes(&mut self) {
        let mut rows = Vec::new();
        for row in in_order(&self.changes.errors, |row| (row.cs, row.place.clone())) {
            self.error_goes(&(row.cs, row.place.clone()));
            self.tallies.errors.came(tally::error_sort(row), Hash128::default());
            rows.push(values![
                row.cs.0,
                &row.place,
                row.connector.0,
                &row.code,
                &row.message,
                row.first_seen.ticks(),
                row.run.0,
                row.alarm,
                row.object_type.0,
                row.cause,
            ]);
        }
        self.tx.set(W::ERROR_PUT, rows);
        self.tx.set(
            W::HISTORY_PUT,
            self.changes.history.iter().map(|row| {
                let changes = HistoryRow::encode_changes(&row.changes);
                values![row.mv.0, row.run.0, row.time.ticks(), row.event.as_ref(), changes]
            }),
        );
        let states = in_order(&self.changes.states, |(connector, name, _)| (*connector, name.clone()));
        let (put, gone): (Vec<_>, Vec<_>) = states.into_iter().partition(|(.., value)| value.is_some());
        let put = put.into_iter().map(|(connector, name, value)| values![connector.0, name, value.as_ref()]);
        self.tx.set(W::STATE_PUT, put);
        let gone = gone.into_iter().map(|(connector, name, _)| values![connector.0, name]);
        self.tx.set(W::STATE_DELETE, gone);
    }
}

/// The columns of a connector-space object but its name key.
fn cs_values(row: &CsRow) -> [Value<'_>; 12] {
    values![
        row.id.0,
        &row.name,
        row.reason.as_ref(),
        row.leaving.map(Time::ticks),
        LinkSum::encode(&row.links),
        row.image.as_bytes(),
        row.connector.0,
        row.object_type.0,
        row.flags.0,
        row.container.map(|id| id.0),
        row.key().map(|key| key.0.to_vec()),
        row.anchor.as_ref(),
    ]
}
