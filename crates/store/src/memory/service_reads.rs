//! Reads for the service and for people. Counts are counted here, where other stores keep them.

use std::collections::BTreeMap;
use std::ops::Bound::{Excluded, Unbounded};

use onesync_engine::{
    ChangeState, CsFlags, ErrorRow, ExportLinkRow, ExportRow, HistoryRow, MvState, ReadError, Turn,
};
use onesync_model::{AttrId, ConnectorId, CsId, Hash128, MvGuid, MvId, Operation, RunId, Time, TypeId};

use super::MemoryReader;
use crate::chain::StoredEvent;
use crate::dump::Dump;
use crate::rows::{
    AgendaCount, ConfigFiles, ConfigVersionRow, ConnectorRow, CsCount, CsHead, ErrorCount, ExportCount,
    ExportFilter, ExportLinkCount, ExportLinkFilter, ExportLinkKey, ExportLinkOwner, ExportedRow,
    HeldPlanRow, HeldState, InstallationRow, MvCount, RuleRow, RunRow, SecretRow, export_hash,
    export_link_hash,
};
use crate::servers::ServerRow;
use crate::store::StoreReader;

type Read<T> = Result<T, ReadError>;

/// Counts items by sort, with the sum of their hashes.
fn counted<K: Ord>(items: impl Iterator<Item = (K, Hash128)>) -> BTreeMap<K, (u64, Hash128)> {
    let mut counts: BTreeMap<K, (u64, Hash128)> = BTreeMap::new();
    for (key, hash) in items {
        let (count, sum) = counts.entry(key).or_default();
        *count += 1;
        *sum = sum.plus(hash);
    }
    counts
}

/// Whether a row may be sent now, as far as it can tell by itself.
fn due(state: ChangeState, held: bool, not_before: Time, now: Time) -> bool {
    state == ChangeState::Pending && !held && not_before <= now
}

impl MemoryReader {
    fn has_anchor(&self, id: CsId) -> bool {
        self.0.cs.get(&id).is_some_and(|row| row.anchor.is_some())
    }
}

impl StoreReader for MemoryReader {
    fn installation(&self) -> Read<Option<InstallationRow>> {
        Ok(self.0.installation.clone())
    }

    fn servers(&self) -> Read<Vec<ServerRow>> {
        Ok(self.0.servers.values().cloned().collect())
    }

    fn settings(&self) -> Read<Vec<(String, String)>> {
        Ok(self.0.settings.iter().map(|(name, value)| (name.clone(), value.clone())).collect())
    }

    fn setting(&self, name: &str) -> Read<Option<String>> {
        Ok(self.0.settings.get(name).cloned())
    }

    fn names(&self) -> Read<Vec<(AttrId, String)>> {
        Ok(self.0.names.iter().map(|(id, name)| (*id, name.clone())).collect())
    }

    fn connectors(&self) -> Read<Vec<ConnectorRow>> {
        Ok(self.0.connectors.values().cloned().collect())
    }

    fn rules(&self) -> Read<Vec<RuleRow>> {
        Ok(self.0.rules.values().cloned().collect())
    }

    fn config_versions(&self) -> Read<Vec<ConfigVersionRow>> {
        Ok(self.0.configs.values().map(|(row, _)| row.clone()).collect())
    }

    fn config_files(&self, version: u32) -> Read<Option<ConfigFiles>> {
        Ok(self.0.configs.get(&version).map(|(_, files)| (**files).clone()))
    }

    fn secrets(&self) -> Read<Vec<SecretRow>> {
        Ok(self.0.secrets.values().cloned().collect())
    }

    fn secret(&self, name: &str) -> Read<Option<SecretRow>> {
        Ok(self.0.secrets.get(name).cloned())
    }

    fn next_run(&self) -> Read<RunId> {
        Ok(RunId(self.0.runs.last_key_value().map_or(1, |(id, _)| id.0 + 1)))
    }

    fn runs(&self, connector: Option<ConnectorId>, before: Option<RunId>, limit: usize) -> Read<Vec<RunRow>> {
        let rows = self.0.runs.values().rev().filter(|row| before.is_none_or(|before| row.id < before));
        let rows = rows.filter(|row| connector.is_none_or(|connector| row.connector == connector));
        Ok(rows.take(limit).cloned().collect())
    }

    fn run(&self, id: RunId) -> Read<Option<RunRow>> {
        Ok(self.0.runs.get(&id).cloned())
    }

    fn events(&self, before: Option<i64>, limit: usize) -> Read<Vec<StoredEvent>> {
        let rows = self.0.events.range(..before.unwrap_or(i64::MAX)).rev();
        Ok(rows.take(limit).map(|(_, row)| row.clone()).collect())
    }

    fn events_after(&self, after: i64, limit: usize) -> Read<Vec<StoredEvent>> {
        let rows = self.0.events.range((Excluded(after), Unbounded));
        Ok(rows.take(limit).map(|(_, row)| row.clone()).collect())
    }

    fn exported_since(&self, connector: ConnectorId, hour: i64) -> Read<Vec<ExportedRow>> {
        let rows = self.0.exported.iter().filter(|(key, _)| key.0 == connector && key.3 >= hour);
        Ok(rows
            .map(|(&(connector, object_type, kind, hour), &count)| ExportedRow {
                connector,
                object_type,
                kind,
                hour,
                count,
            })
            .collect())
    }

    fn held_plans(&self, state: Option<HeldState>) -> Read<Vec<HeldPlanRow>> {
        let rows = self.0.held.values().filter(|row| state.is_none_or(|state| row.state == state));
        Ok(rows.cloned().collect())
    }

    fn held_plan(&self, hash: Hash128) -> Read<Option<HeldPlanRow>> {
        Ok(self.0.held.get(&hash).cloned())
    }

    fn mv_by_guid(&self, guid: MvGuid) -> Read<Option<MvId>> {
        Ok(self.0.mv.values().find(|row| row.guid == guid).map(|row| row.id))
    }

    fn history(&self, mv: MvId, before: Option<i64>, limit: usize) -> Read<Vec<(i64, HistoryRow)>> {
        let rows = self.0.history.iter().rev().filter(|(seq, _)| before.is_none_or(|before| **seq < before));
        let rows = rows.filter(|(_, row)| row.mv == mv);
        Ok(rows.take(limit).map(|(seq, row)| (*seq, (**row).clone())).collect())
    }

    fn cs_counts(&self) -> Read<Vec<CsCount>> {
        let sorts = self.0.cs.values().map(|row| {
            ((row.connector, row.object_type, row.join.is_some(), row.flags.0), Hash128::default())
        });
        let counts = counted(sorts).into_iter();
        Ok(counts
            .map(|((connector, object_type, joined, flags), (count, _))| CsCount {
                connector,
                object_type,
                joined,
                flags,
                count,
            })
            .collect())
    }

    fn mv_counts(&self) -> Read<Vec<MvCount>> {
        let sorts = self
            .0
            .mv
            .values()
            .map(|row| ((row.object_type, row.state != MvState::Active), Hash128::default()));
        let counts = counted(sorts).into_iter();
        Ok(counts
            .map(|((object_type, leaving), (count, _))| MvCount { object_type, leaving, count })
            .collect())
    }

    fn errors_page(
        &self,
        connector: Option<ConnectorId>,
        after: Option<(CsId, &str)>,
        limit: usize,
    ) -> Read<Vec<ErrorRow>> {
        let rows = self.0.errors.values().filter(|row| connector.is_none_or(|c| row.connector == c));
        let rows = rows.filter(|row| after.is_none_or(|after| (row.cs, row.place.as_str()) > after));
        Ok(rows.take(limit).map(|row| (**row).clone()).collect())
    }

    fn error_counts(&self) -> Read<Vec<ErrorCount>> {
        let sorts = self.0.errors.values().map(|row| (crate::tally::error_sort(row), Hash128::default()));
        let counts = counted(sorts).into_iter();
        Ok(counts
            .map(|((connector, object_type, place, code, cause, alarm), (count, _))| ErrorCount {
                connector: ConnectorId(connector),
                object_type: TypeId(object_type),
                place,
                code,
                cause,
                alarm,
                count,
            })
            .collect())
    }

    fn agenda_counts(&self, now: Time) -> Read<Vec<AgendaCount>> {
        let mut counts: BTreeMap<(u8, ConnectorId), (u64, u64)> = BTreeMap::new();
        for row in self.0.agenda.values() {
            let (due, later) = counts.entry((row.work.pass(), row.connector)).or_default();
            *(if row.not_before <= now { due } else { later }) += 1;
        }
        let counts = counts.into_iter();
        Ok(counts
            .map(|((pass, connector), (due, later))| AgendaCount { pass, connector, due, later })
            .collect())
    }

    fn agenda_next(&self) -> Read<Option<Time>> {
        Ok(self.0.agenda.values().map(|row| row.not_before).min())
    }

    fn cs_heads(&self, connector: ConnectorId, after: CsId, limit: usize) -> Read<Vec<CsHead>> {
        let above = self.0.cs.range((Excluded(after), Unbounded)).map(|(_, row)| row);
        let rows = above.filter(|row| row.connector == connector).take(limit);
        let heads = rows.map(|row| CsHead {
            turn: Turn::of(row),
            mv: row.join.map(|join| join.mv),
            links: row.links.clone(),
        });
        Ok(heads.collect())
    }

    fn live_ids(&self, connector: ConnectorId, after: CsId, limit: usize) -> Read<Vec<CsId>> {
        let above = self.0.cs.range((Excluded(after), Unbounded)).map(|(_, row)| row);
        let live = above.filter(|row| {
            row.connector == connector
                && !row.flags.has(CsFlags::GONE)
                && !row.flags.has(CsFlags::PROVISIONED)
        });
        Ok(live.map(|row| row.id).take(limit).collect())
    }

    fn exports_page(
        &self,
        connector: ConnectorId,
        filter: ExportFilter,
        after: CsId,
        limit: usize,
    ) -> Read<Vec<ExportRow>> {
        let above = self.0.exports.range((Excluded(after), Unbounded)).map(|(_, row)| row);
        let wanted = above.filter(|row| {
            row.connector == connector
                && filter.state.is_none_or(|state| row.state == state)
                && filter.operation.is_none_or(|operation| row.operation == operation)
                && filter.object_type.is_none_or(|object_type| row.object_type == object_type)
                && filter.held.is_none_or(|held| row.held == held)
                && (filter.kinds == 0 || row.kinds & filter.kinds != 0)
        });
        Ok(wanted.take(limit).map(|row| (**row).clone()).collect())
    }

    fn export_counts(&self) -> Read<Vec<ExportCount>> {
        let sorts = self.0.exports.values().map(|row| {
            let sort = (row.connector, row.object_type, row.operation, row.kinds, row.state, row.held);
            (sort, export_hash(row))
        });
        let counts = counted(sorts).into_iter();
        Ok(counts
            .map(|((connector, object_type, operation, kinds, state, held), (count, hashes))| ExportCount {
                connector,
                object_type,
                operation,
                kinds,
                state,
                held,
                count,
                hashes,
            })
            .collect())
    }

    fn export_links_page(
        &self,
        connector: ConnectorId,
        filter: ExportLinkFilter,
        after: Option<ExportLinkKey>,
        limit: usize,
    ) -> Read<Vec<ExportLinkRow>> {
        let rows = self.0.export_links.iter().filter(|(key, row)| {
            row.connector == connector
                && after.is_none_or(|after| **key > after)
                && filter.state.is_none_or(|state| row.state == state)
                && filter.add.is_none_or(|add| row.add == add)
                && filter.held.is_none_or(|held| row.held == held)
        });
        Ok(rows.take(limit).map(|(_, row)| row.clone()).collect())
    }

    fn export_link_counts(&self) -> Read<Vec<ExportLinkCount>> {
        let sorts =
            self.0.export_links.values().map(|row| {
                ((row.connector, row.attribute, row.add, row.state, row.held), export_link_hash(row))
            });
        let counts = counted(sorts).into_iter();
        Ok(counts
            .map(|((connector, attribute, add, state, held), (count, hashes))| ExportLinkCount {
                connector,
                attribute,
                add,
                state,
                held,
                count,
                hashes,
            })
            .collect())
    }

    fn export_link_owners(
        &self,
        connector: ConnectorId,
        after: Option<(CsId, AttrId)>,
        limit: usize,
    ) -> Read<Vec<ExportLinkOwner>> {
        let mut owners: BTreeMap<(CsId, AttrId), (u64, u64)> = BTreeMap::new();
        for row in self.0.export_links.values() {
            let key = (row.owner, row.attribute);
            let free = row.state == ChangeState::Pending && !row.held;
            if row.connector == connector && free && after.is_none_or(|after| key > after) {
                let (adds, removes) = owners.entry(key).or_default();
                *(if row.add { adds } else { removes }) += 1;
            }
        }
        let owners = owners.into_iter().take(limit);
        Ok(owners
            .map(|((owner, attribute), (adds, removes))| ExportLinkOwner { owner, attribute, adds, removes })
            .collect())
    }

    fn due_exports(
        &self,
        connector: ConnectorId,
        types: &[TypeId],
        now: Time,
        after: Option<(Operation, TypeId, CsId)>,
        limit: usize,
    ) -> Read<Vec<ExportRow>> {
        let place = |operation: Operation, object_type: TypeId, cs: CsId| {
            Some((operation, types.iter().position(|of| *of == object_type)?, cs))
        };
        let after = after.and_then(|(operation, object_type, cs)| place(operation, object_type, cs));
        let due = self.0.exports.values().filter(|row| {
            row.connector == connector
                && due(row.state, row.held, row.not_before, now)
                && row.kinds & ExportRow::KINDS_NOT_SENT == 0
        });
        let mut placed: Vec<_> = due
            .filter_map(|row| Some((place(row.operation, row.object_type, row.cs)?, row)))
            .filter(|(place, _)| after.is_none_or(|after| *place > after))
            .collect();
        placed.sort_by_key(|(place, _)| *place);
        Ok(placed.into_iter().take(limit).map(|(_, row)| (**row).clone()).collect())
    }

    fn due_export_links(
        &self,
        connector: ConnectorId,
        now: Time,
        after: Option<ExportLinkKey>,
        limit: usize,
    ) -> Read<Vec<ExportLinkRow>> {
        let rows = self.0.export_links.iter().filter(|(key, row)| {
            row.connector == connector
                && after.is_none_or(|after| **key > after)
                && due(row.state, row.held, row.not_before, now)
                && self.has_anchor(row.owner)
                && self.has_anchor(row.target)
        });
        Ok(rows.take(limit).map(|(_, row)| row.clone()).collect())
    }

    fn sending_exports(&self, connector: ConnectorId) -> Read<Vec<ExportRow>> {
        let filter = ExportFilter { state: Some(ChangeState::Sending), ..ExportFilter::default() };
        self.exports_page(connector, filter, CsId(i64::MIN), usize::MAX)
    }

    fn sending_export_links(&self, connector: ConnectorId) -> Read<Vec<ExportLinkRow>> {
        let filter = ExportLinkFilter { state: Some(ChangeState::Sending), ..ExportLinkFilter::default() };
        self.export_links_page(connector, filter, None, usize::MAX)
    }

    fn dump(&self, annotations: bool) -> Read<String> {
        let mut dump = Dump::new(annotations);
        let state = &*self.0;
        state.cs.values().for_each(|row| dump.cs(row, state.name_keys.get(&row.id).copied()));
        state.cs_join.iter().for_each(|row| dump.row("cs_join", row));
        state.links.iter().for_each(|row| dump.row("link", row));
        state.containers.values().for_each(|row| dump.row("container", row));
        state.mv.values().for_each(|row| dump.mv(row));
        state.mv_join.iter().for_each(|row| dump.row("mv_join", row));
        state.mv_links.iter().for_each(|row| dump.row("mv_link", row));
        state.exports.values().for_each(|row| dump.export(row));
        state.export_links.values().for_each(|row| dump.row("export_link", row));
        let mut agenda: Vec<_> = state.agenda.values().collect();
        agenda.sort_by_key(|row| (row.work.pass(), row.connector, row.work));
        agenda.into_iter().for_each(|row| dump.row("agenda", row));
        state.errors.values().for_each(|row| dump.error(row));
        state.history.iter().for_each(|row| dump.note("history", &row));
        state.states.iter().for_each(|((c, name), value)| dump.note("state", &(c, name, &value[..])));
        dump.through(self)?;
        Ok(dump.finish())
    }
}
