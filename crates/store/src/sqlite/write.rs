//! Writing what the engine decided: one batch, one transaction, rows in the order of their keys.
//!
//! Rows that are written again are compared with what is there by their small columns, for two reasons: the kept
//! counts, and to leave indices alone whose columns did not change.

use std::collections::HashMap;

use onesync_engine::{
    AttributeChange, Cause, Changes, CsRow, HistoryRow, Join, LinkPick, LinkSum, MvRow, MvState, Work,
};
use onesync_model::{CsId, Hash128, Time};
use rusqlite::{CachedStatement, ToSql, Transaction, params};

use super::{failed, sql};
use crate::relational::{Cells, Checked, Labels, row};
use crate::rows::operation_code;
use crate::store::work_columns;
use crate::tally::{self, Tallies, in_order};

/// A batch being written.
pub(super) struct Batch<'t> {
    tx: &'t Transaction<'t>,
    pub(super) tallies: Tallies,
}

/// A stored connector-space object beside the row that is to be there.
struct OldCs {
    sort: tally::CsSort,
    /// Whether its anchor's key goes.
    frees_anchor: bool,
    join: Option<Join>,
    /// Whether no column of any index differs.
    same_indexed: bool,
    /// Whether none of the other columns differs.
    same_body: bool,
}

/// A read inside the transaction.
fn look<T>(
    statement: &mut CachedStatement<'_>,
    table: &'static str,
    key: &[&dyn ToSql],
    mut one: impl FnMut(&Cells<'_>) -> Checked<T>,
) -> Checked<Vec<T>> {
    let mut rows = statement.query(key).map_err(failed("reading what is there"))?;
    let mut out = Vec::new();
    while let Some(row) = rows.next().map_err(failed("reading what is there"))? {
        out.push(one(&Cells { table, row })?);
    }
    Ok(out)
}

fn old_cs(cells: &Cells<'_>, row: &CsRow, links: &[u8]) -> Checked<OldCs> {
    let (connector, object_type, flags) = (cells.get(0)?, cells.get(1)?, cells.get(2)?);
    let (key, join) = (cells.hash_or_null(4)?, row::join(cells, 5)?);
    let same_key = key == row.key();
    Ok(OldCs {
        sort: (connector, object_type, join.is_some(), flags),
        frees_anchor: key.is_some() && !same_key,
        join,
        same_indexed: connector == row.connector.0
            && object_type == row.object_type.0
            && flags == row.flags.0
            && cells.get::<Option<i64>>(3)? == row.container.map(|id| id.0)
            && same_key
            && cells.blob_or_null(9)? == row.anchor.as_ref().map(|anchor| &*anchor.0),
        same_body: cells.text_or_null(10)?.as_deref() == Some(&*row.name)
            && cells.text_or_null(11)?.as_deref() == row.reason.as_deref()
            && cells.get::<Option<i64>>(12)? == row.leaving.map(Time::ticks)
            && cells.blob(13)? == links
            && cells.blob(14)? == row.image.as_bytes(),
    })
}

fn cs_sort(cells: &Cells<'_>) -> Checked<tally::CsSort> {
    Ok((cells.get(0)?, cells.get(1)?, cells.get(2)?, cells.get(3)?))
}

fn old_mv(cells: &Cells<'_>) -> Checked<(tally::MvSort, Hash128)> {
    Ok(((cells.get(0)?, cells.get(1)?), cells.hash(2)?))
}

fn old_export(cells: &Cells<'_>) -> Checked<(tally::ExportSort, Hash128)> {
    let sort = (cells.get(0)?, cells.get(1)?, cells.get(2)?, cells.get(3)?, cells.get(4)?, cells.get(5)?);
    Ok((sort, cells.hash(6)?))
}

impl<'t> Batch<'t> {
    pub(super) fn new(tx: &'t Transaction<'t>) -> Self {
        Self { tx, tallies: Tallies::default() }
    }

    pub(super) fn apply(&mut self, changes: &Changes) -> Checked<()> {
        self.delete_objects(changes)?;
        self.delete_rows(changes)?;
        self.cs(changes)?;
        self.containers(changes)?;
        self.mv(changes)?;
        self.keys_and_links(changes)?;
        self.exports(changes)?;
        self.agenda(changes)?;
        self.notes(changes)
    }

    fn prepare(&self, sql: &'static str) -> Checked<CachedStatement<'t>> {
        self.tx.prepare_cached(sql).map_err(failed("preparing a statement"))
    }

    fn delete_objects(&mut self, changes: &Changes) -> Checked<()> {
        if !changes.cs_deleted.is_empty() {
            let mut old = self.prepare(sql::CS_SORT)?;
            let mut delete = self.prepare(sql::CS_DELETE)?;
            let mut join = self.prepare(sql::CS_JOINED_DELETE)?;
            let mut links = self.prepare(sql::LINK_DELETE_OF)?;
            let mut export_links_old = self.prepare(sql::EXPORT_LINK_OF)?;
            let mut export_links = self.prepare(sql::EXPORT_LINK_DELETE_OF)?;
            let mut errors_old = self.prepare(sql::ERRORS_OF)?;
            let mut errors = self.prepare(sql::ERROR_DELETE_OF)?;
            for id in in_order(&changes.cs_deleted, |id| *id) {
                for sort in look(&mut old, "cs_object", &[&id.0], cs_sort)? {
                    self.tallies.cs.went(sort, Hash128::default());
                }
                for row in look(&mut export_links_old, "export_link", &[&id.0], row::export_link)? {
                    self.tallies.export_link_went(&row);
                }
                for row in look(&mut errors_old, "object_error", &[&id.0], row::error)? {
                    self.tallies.errors.went(tally::error_sort(&row), Hash128::default());
                }
                for statement in [&mut delete, &mut join, &mut links, &mut export_links, &mut errors] {
                    statement.execute([id.0]).map_err(failed("deleting objects"))?;
                }
            }
            self.delete_exports(&changes.cs_deleted)?;
        }
        if !changes.mv_deleted.is_empty() {
            let mut old = self.prepare(sql::MV_OLD)?;
            let mut delete = self.prepare(sql::MV_DELETE)?;
            let mut links = self.prepare(sql::MV_LINK_DELETE_OF)?;
            for id in in_order(&changes.mv_deleted, |id| *id) {
                for (sort, _) in look(&mut old, "mv_object", &[&id.0], old_mv)? {
                    self.tallies.mv.went(sort, Hash128::default());
                }
                delete.execute([id.0]).map_err(failed("deleting objects"))?;
                links.execute([id.0]).map_err(failed("deleting objects"))?;
            }
        }
        Ok(())
    }

    fn delete_exports(&mut self, ids: &[CsId]) -> Checked<()> {
        let mut old = self.prepare(sql::EXPORT_OLD)?;
        let mut delete = self.prepare(sql::EXPORT_DELETE)?;
        for id in in_order(ids, |id| *id) {
            for (sort, hash) in look(&mut old, "export_object", &[&id.0], old_export)? {
                self.tallies.exports.went(sort, hash);
                delete.execute([id.0]).map_err(failed("deleting pending exports"))?;
            }
        }
        Ok(())
    }

    fn delete_rows(&mut self, changes: &Changes) -> Checked<()> {
        let doing = "deleting rows";
        let mut statement = self.prepare(sql::CS_JOIN_DELETE)?;
        for (key, id) in in_order(&changes.cs_keys_removed, |row| *row) {
            statement.execute((key, id.0)).map_err(failed(doing))?;
        }
        let mut statement = self.prepare(sql::MV_JOIN_DELETE)?;
        for (key, id) in in_order(&changes.mv_keys_removed, |row| *row) {
            statement.execute((key, id.0)).map_err(failed(doing))?;
        }
        let mut statement = self.prepare(sql::LINK_DELETE)?;
        for (owner, attribute, key) in in_order(&changes.links_removed, |row| *row) {
            statement.execute((owner.0, attribute.0, &key.0[..])).map_err(failed(doing))?;
        }
        let mut statement = self.prepare(sql::MV_LINK_DELETE)?;
        for (owner, attribute, target) in in_order(&changes.mv_links_removed, |row| *row) {
            statement.execute((owner.0, attribute.0, target.0)).map_err(failed(doing))?;
        }
        self.delete_exports(&changes.exports_deleted)?;
        let mut old = self.prepare(sql::EXPORT_LINK_BY_KEY)?;
        let mut statement = self.prepare(sql::EXPORT_LINK_DELETE)?;
        for (owner, attribute, target) in in_order(&changes.export_links_deleted, |row| *row) {
            let key: [&dyn ToSql; 3] = [&owner.0, &attribute.0, &target.0];
            for row in look(&mut old, "export_link", &key, row::export_link)? {
                self.tallies.export_link_went(&row);
                statement.execute(&key[..]).map_err(failed(doing))?;
            }
        }
        let mut old = self.prepare(sql::ERROR_OLD)?;
        let mut statement = self.prepare(sql::ERROR_DELETE)?;
        for (cs, place) in &changes.errors_healed {
            for row in look(&mut old, "object_error", &[&cs.0, place], row::error)? {
                self.tallies.errors.went(tally::error_sort(&row), Hash128::default());
                statement.execute((cs.0, place)).map_err(failed(doing))?;
            }
        }
        Ok(())
    }

    fn cs(&mut self, changes: &Changes) -> Checked<()> {
        let doing = "writing connector-space objects";
        let rows = in_order(&changes.cs, |row| row.id);
        let mut names: HashMap<CsId, Option<Hash128>> =
            changes.cs_names.iter().map(|&(id, _, new)| (id, new)).collect();
        // Row numbers ascend: above the last one there is nothing to look up.
        let last = look(&mut self.prepare(sql::CS_LAST)?, "cs_object", &[], |cells| cells.get::<i64>(0))?;
        let last = last.first().copied().unwrap_or(0);
        let mut look_up = self.prepare(sql::CS_OLD)?;
        let mut free = self.prepare(sql::CS_FREE_ANCHOR)?;
        let mut olds = Vec::with_capacity(rows.len());
        for row in &rows {
            let links = LinkSum::encode(&row.links);
            let old = match row.id.0 <= last {
                true => {
                    look(&mut look_up, "cs_object", &[&row.id.0], |cells| old_cs(cells, row, &links))?.pop()
                }
                false => None,
            };
            if old.as_ref().is_some_and(|old| old.frees_anchor) {
                // An anchor that is given up here may be taken by another row of this batch.
                free.execute([row.id.0]).map_err(failed(doing))?;
            }
            olds.push((old, links));
        }
        let mut insert = self.prepare(sql::CS_INSERT)?;
        let mut update_body = self.prepare(sql::CS_UPDATE_BODY)?;
        let mut update_all = self.prepare(sql::CS_UPDATE_ALL)?;
        let mut put_join = self.prepare(sql::CS_JOINED_PUT)?;
        let mut delete_join = self.prepare(sql::CS_JOINED_DELETE)?;
        for (row, (old, links)) in rows.into_iter().zip(olds) {
            self.tallies.cs.came(tally::cs_sort(row), Hash128::default());
            let key = row.key();
            let key = key.as_ref().map(|key| &key.0[..]);
            let (leaving, image) = (row.leaving.map(Time::ticks), row.image.as_bytes());
            let anchor = row.anchor.as_ref().map(|anchor| &*anchor.0);
            let (container, name) = (row.container.map(|id| id.0), row.name.as_str());
            let name_key = match old {
                None => names.remove(&row.id).flatten(),
                Some(_) => None,
            };
            let name_key = name_key.as_ref().map(|key| &key.0[..]);
            let values: [&dyn ToSql; 13] = [
                &row.id.0,
                &name,
                &row.reason,
                &leaving,
                &links,
                &image,
                &row.connector.0,
                &row.object_type.0,
                &row.flags.0,
                &container,
                &key,
                &anchor,
                &name_key,
            ];
            let [indexed @ .., _] = &values;
            let [body @ .., _, _, _, _, _, _] = indexed;
            match &old {
                None => insert.execute(&values[..]),
                Some(old) if !old.same_indexed => update_all.execute(indexed),
                Some(old) if !old.same_body => update_body.execute(body),
                Some(_) => Ok(0),
            }
            .map_err(failed(doing))?;
            let join = old.as_ref().and_then(|old| old.join);
            if let Some(old) = old {
                self.tallies.cs.went(old.sort, Hash128::default());
            }
            match row.join {
                same if same == join => Ok(0),
                Some(join) => put_join.execute((row.id.0, join.mv.0, join.rule.0, join.run.0, join.owned)),
                None => delete_join.execute([row.id.0]),
            }
            .map_err(failed(doing))?;
        }
        let mut names: Vec<(CsId, Option<Hash128>)> = names.into_iter().collect();
        names.sort_unstable();
        let mut put = self.prepare(sql::CS_NAME_PUT)?;
        for (id, key) in names {
            put.execute((id.0, key.as_ref().map(|key| &key.0[..]))).map_err(failed(doing))?;
        }
        Ok(())
    }

    fn containers(&mut self, changes: &Changes) -> Checked<()> {
        let mut put = self.prepare(sql::CONTAINER_PUT)?;
        for row in in_order(&changes.containers, |row| row.id) {
            let parent = row.parent.map_or(0, |id| id.0);
            let anchor = row.anchor.as_ref().map(|anchor| &*anchor.0);
            put.execute((row.id.0, row.connector.0, parent, &row.rdn, row.key(), anchor, row.hidden))
                .map_err(failed("writing containers"))?;
        }
        Ok(())
    }

    fn mv(&mut self, changes: &Changes) -> Checked<()> {
        let doing = "writing metaverse objects";
        let last = look(&mut self.prepare(sql::MV_LAST)?, "mv_object", &[], |cells| cells.get::<i64>(0))?;
        let last = last.first().copied().unwrap_or(0);
        let mut look_up = self.prepare(sql::MV_OLD)?;
        let mut labels = Labels::default();
        if !changes.mv.is_empty() {
            look(&mut self.prepare(sql::LABELS)?, "attribute_name", &[], |cells| labels.note(cells))?;
        }
        let mut insert = self.prepare(sql::MV_INSERT)?;
        let mut update_body = self.prepare(sql::MV_UPDATE_BODY)?;
        let mut update_all = self.prepare(sql::MV_UPDATE_ALL)?;
        for row in in_order(&changes.mv, |row: &MvRow| row.id) {
            let old = match row.id.0 <= last {
                true => look(&mut look_up, "mv_object", &[&row.id.0], old_mv)?.pop(),
                false => None,
            };
            self.tallies.mv.came(tally::mv_sort(row), Hash128::default());
            let (since, deleted) = match row.state {
                MvState::Active => (None, None),
                MvState::Leaving { since, deleted } => (Some(since.ticks()), Some(deleted)),
            };
            let (causes, picks) = (Cause::encode(&row.causes), LinkPick::encode(&row.picks));
            let (image, guid) = (row.values.as_bytes(), &row.guid.0[..]);
            let [display, principal] = labels.of(&row.values);
            let values: [&dyn ToSql; 10] = [
                &row.id.0,
                &row.object_type.0,
                &since,
                &deleted,
                &causes,
                &picks,
                &image,
                &display,
                &principal,
                &guid,
            ];
            let [body @ .., _] = &values;
            match old {
                None => insert.execute(&values[..]),
                Some((sort, old_guid)) => {
                    self.tallies.mv.went(sort, Hash128::default());
                    match old_guid.0 == row.guid.0 {
                        true => update_body.execute(body),
                        false => update_all.execute(&values[..]),
                    }
                }
            }
            .map_err(failed(doing))?;
        }
        Ok(())
    }

    fn keys_and_links(&mut self, changes: &Changes) -> Checked<()> {
        let mut put = self.prepare(sql::CS_JOIN_PUT)?;
        for (key, id) in in_order(&changes.cs_keys_added, |row| *row) {
            put.execute((key, id.0)).map_err(failed("writing join keys"))?;
        }
        let mut put = self.prepare(sql::MV_JOIN_PUT)?;
        for (key, id) in in_order(&changes.mv_keys_added, |row| *row) {
            put.execute((key, id.0)).map_err(failed("writing join keys"))?;
        }
        let mut put = self.prepare(sql::LINK_PUT)?;
        for (owner, attribute, key) in in_order(&changes.links_added, |row| *row) {
            put.execute((owner.0, attribute.0, &key.0[..])).map_err(failed("writing links"))?;
        }
        let mut put = self.prepare(sql::MV_LINK_PUT)?;
        for (owner, attribute, target) in in_order(&changes.mv_links_added, |row| *row) {
            put.execute((owner.0, attribute.0, target.0)).map_err(failed("writing links"))?;
        }
        if let Some(counters) = changes.counters {
            self.prepare(sql::COUNTERS_PUT)?
                .execute((counters.cs, counters.mv, counters.container))
                .map_err(failed("writing the counters"))?;
        }
        Ok(())
    }

    fn exports(&mut self, changes: &Changes) -> Checked<()> {
        let doing = "writing pending exports";
        let mut old = self.prepare(sql::EXPORT_OLD)?;
        let mut insert = self.prepare(sql::EXPORT_INSERT)?;
        let mut update = self.prepare(sql::EXPORT_UPDATE)?;
        for row in in_order(&changes.exports, |row| row.cs) {
            let hash = self.tallies.export_came(row);
            let (hash, changes) = (&hash.0[..], AttributeChange::encode(&row.changes));
            let (operation, state) = (operation_code(row.operation), row.state.code());
            let (not_before, sent) = (row.not_before.ticks(), row.sent.map(Time::ticks));
            let values: [&dyn ToSql; 14] = [
                &row.cs.0,
                &row.connector.0,
                &row.object_type.0,
                &operation,
                &state,
                &row.kinds,
                &row.held,
                &not_before,
                &row.attempts,
                &sent,
                &hash,
                &row.create_key,
                &row.error,
                &changes,
            ];
            if insert.execute(&values[..]).map_err(failed(doing))? == 0 {
                for (sort, hash) in look(&mut old, "export_object", &[&row.cs.0], old_export)? {
                    self.tallies.exports.went(sort, hash);
                }
                update.execute(&values[..]).map_err(failed(doing))?;
            }
        }
        let mut old = self.prepare(sql::EXPORT_LINK_BY_KEY)?;
        let mut insert = self.prepare(sql::EXPORT_LINK_INSERT)?;
        let mut update = self.prepare(sql::EXPORT_LINK_UPDATE)?;
        for row in in_order(&changes.export_links, |row| (row.owner, row.attribute, row.target)) {
            self.tallies.export_link_came(row);
            let (state, not_before) = (row.state.code(), row.not_before.ticks());
            let values: [&dyn ToSql; 10] = [
                &row.owner.0,
                &row.attribute.0,
                &row.target.0,
                &row.connector.0,
                &row.add,
                &state,
                &row.held,
                &not_before,
                &row.attempts,
                &row.error,
            ];
            if insert.execute(&values[..]).map_err(failed(doing))? == 0 {
                let [key @ .., _, _, _, _, _, _, _] = &values;
                for row in look(&mut old, "export_link", key, row::export_link)? {
                    self.tallies.export_link_went(&row);
                }
                update.execute(&values[..]).map_err(failed(doing))?;
            }
        }
        Ok(())
    }

    fn agenda(&mut self, changes: &Changes) -> Checked<()> {
        let doing = "writing the agenda";
        // Work does not name the connector; there are few, and a row that is not there costs one seek.
        let identity = changes.agenda_done.iter().any(|work| matches!(work, Work::Identity(_)));
        let connectors = if identity { self.agenda_connectors()? } else { Vec::new() };
        let mut delete = self.prepare(sql::AGENDA_DELETE)?;
        for work in in_order(&changes.agenda_done, |work| *work) {
            let (pass, a, b, c) = work_columns(*work);
            for connector in if pass == 0 { connectors.as_slice() } else { &[0] } {
                if delete.execute((pass, connector, a, b, &c)).map_err(failed(doing))? > 0 {
                    break;
                }
            }
        }
        let mut put = self.prepare(sql::AGENDA_PUT)?;
        let mut rows: Vec<_> = changes.agenda.iter().collect();
        rows.sort_unstable();
        for row in rows {
            let (pass, a, b, c) = work_columns(row.work);
            put.execute((pass, row.connector.0, a, b, c, row.not_before.ticks())).map_err(failed(doing))?;
        }
        Ok(())
    }

    /// The connectors that have identity work.
    fn agenda_connectors(&self) -> Checked<Vec<u32>> {
        let mut next = self.prepare(sql::AGENDA_CONNECTOR)?;
        let mut out = Vec::new();
        let mut after = -1;
        while let Some(Some(connector)) =
            look(&mut next, "agenda", &[&0, &after], |cells| cells.get::<Option<u32>>(0))?.pop()
        {
            out.push(connector);
            after = i64::from(connector);
        }
        Ok(out)
    }

    fn notes(&mut self, changes: &Changes) -> Checked<()> {
        let mut old = self.prepare(sql::ERROR_OLD)?;
        let mut put = self.prepare(sql::ERROR_PUT)?;
        for row in in_order(&changes.errors, |row| (row.cs, row.place.clone())) {
            for row in look(&mut old, "object_error", &[&row.cs.0, &row.place], row::error)? {
                self.tallies.errors.went(tally::error_sort(&row), Hash128::default());
            }
            self.tallies.errors.came(tally::error_sort(row), Hash128::default());
            put.execute(params![
                row.cs.0,
                row.place,
                row.connector.0,
                row.code,
                row.message,
                row.first_seen.ticks(),
                row.run.0,
                row.alarm,
                row.object_type.0,
                row.cause,
            ])
            .map_err(failed("writing errors"))?;
        }
        let mut put = self.prepare(sql::HISTORY_PUT)?;
        for row in &changes.history {
            let values = HistoryRow::encode_changes(&row.changes);
            put.execute((row.mv.0, row.run.0, row.time.ticks(), &row.event, values))
                .map_err(failed("writing the history"))?;
        }
        for (connector, name, value) in &changes.states {
            match value {
                Some(value) => self.prepare(sql::STATE_PUT)?.execute((connector.0, name, value)),
                None => self.prepare(sql::STATE_DELETE)?.execute((connector.0, name)),
            }
            .map_err(failed("writing a state"))?;
        }
        Ok(())
    }
}
