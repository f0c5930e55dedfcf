//! Reads for the service and for people.

use onesync_engine::{ChangeState, ErrorRow, ExportLinkRow, ExportRow, HistoryRow, LinkSum, Turn};
use onesync_model::{AttrId, ConnectorId, CsId, Hash128, MvGuid, MvId, Operation, RunId, Time, TypeId};

use super::row::{self, Cells};
use super::{Query, Read, SqlReader, limit_of, servers, values};
use crate::chain::StoredEvent;
use crate::dump::Dump;
use crate::rows::{
    AgendaCount, ConfigFiles, ConfigVersionRow, ConnectorRow, CsCount, CsHead, ErrorCount, ExportCount,
    ExportFilter, ExportLinkCount, ExportLinkFilter, ExportLinkKey, ExportLinkOwner, ExportedRow,
    HeldPlanRow, HeldState, InstallationRow, MvCount, RuleRow, RunRow, SecretRow, operation_code,
};
use crate::servers::ServerRow;
use crate::store::StoreReader;

/// The place before every link export.
const BEFORE_ALL: (i64, u32, i64) = (i64::MIN, 0, i64::MIN);

fn place(after: Option<ExportLinkKey>) -> (i64, u32, i64) {
    after.map_or(BEFORE_ALL, |key| (key.0.0, key.1.0, key.2.0))
}

impl<Q: Query + Send> StoreReader for SqlReader<Q> {
    fn installation(&self) -> Read<Option<InstallationRow>> {
        self.one(Q::INSTALLATION, "installation", &[], row::installation)
    }

    fn servers(&self) -> Read<Vec<ServerRow>> {
        self.all(Q::SERVERS, "server", &[], servers::server)
    }

    fn settings(&self) -> Read<Vec<(String, String)>> {
        self.all(Q::SETTINGS, "setting", &[], |cells| Ok((cells.get(0)?, cells.get(1)?)))
    }

    fn setting(&self, name: &str) -> Read<Option<String>> {
        self.one(Q::SETTING, "setting", &values![name], |cells| cells.get(0))
    }

    fn names(&self) -> Read<Vec<(AttrId, String)>> {
        self.all(Q::NAMES, "attribute_name", &[], |cells| Ok((AttrId(cells.get(0)?), cells.get(1)?)))
    }

    fn connectors(&self) -> Read<Vec<ConnectorRow>> {
        self.all(Q::CONNECTORS, "connector", &[], row::connector)
    }

    fn rules(&self) -> Read<Vec<RuleRow>> {
        self.all(Q::RULES, "sync_rule", &[], row::rule)
    }

    fn config_versions(&self) -> Read<Vec<ConfigVersionRow>> {
        self.all(Q::CONFIGS, "config_version", &[], row::config_version)
    }

    fn config_files(&self, version: u32) -> Read<Option<ConfigFiles>> {
        if self.one(Q::CONFIG_HAS, "config_version", &values![version], |_| Ok(()))?.is_none() {
            return Ok(None);
        }
        let files = self.all(Q::CONFIG_FILES, "config_file", &values![version], |cells| {
            Ok((cells.get(0)?, cells.get(1)?))
        })?;
        Ok(Some(files.into_iter().collect()))
    }

    fn secrets(&self) -> Read<Vec<SecretRow>> {
        self.all(Q::SECRETS, "secret", &[], row::secret)
    }

    fn secret(&self, name: &str) -> Read<Option<SecretRow>> {
        self.one(Q::SECRET, "secret", &values![name], row::secret)
    }

    fn next_run(&self) -> Read<RunId> {
        Ok(self.one(Q::RUN_NEXT, "run", &[], row::id(RunId))?.unwrap_or(RunId(1)))
    }

    fn runs(&self, connector: Option<ConnectorId>, before: Option<RunId>, limit: usize) -> Read<Vec<RunRow>> {
        let (before, limit) = (before.map_or(i64::MAX, |id| id.0), limit_of(limit));
        match connector {
            Some(connector) => {
                self.all(Q::RUN_PAGE_OF, "run", &values![before, limit, connector.0], row::run)
            }
            None => self.all(Q::RUN_PAGE, "run", &values![before, limit], row::run),
        }
    }

    fn run(&self, id: RunId) -> Read<Option<RunRow>> {
        self.one(Q::RUN, "run", &values![id.0], row::run)
    }

    fn events(&self, before: Option<i64>, limit: usize) -> Read<Vec<StoredEvent>> {
        self.all(Q::EVENTS, "event", &values![before.unwrap_or(i64::MAX), limit_of(limit)], row::event)
    }

    fn events_after(&self, after: i64, limit: usize) -> Read<Vec<StoredEvent>> {
        self.all(Q::EVENTS_AFTER, "event", &values![after, limit_of(limit)], row::event)
    }

    fn exported_since(&self, connector: ConnectorId, hour: i64) -> Read<Vec<ExportedRow>> {
        self.all(Q::EXPORTED, "exported", &values![connector.0, hour], row::exported)
    }

    fn held_plans(&self, state: Option<HeldState>) -> Read<Vec<HeldPlanRow>> {
        let mut rows = self.all(Q::HELD_PLANS, "held_plan", &[], row::held_plan)?;
        rows.retain(|row| state.is_none_or(|state| row.state == state));
        Ok(rows)
    }

    fn held_plan(&self, hash: Hash128) -> Read<Option<HeldPlanRow>> {
        self.one(Q::HELD_PLAN, "held_plan", &values![&hash], row::held_plan)
    }

    fn mv_by_guid(&self, guid: MvGuid) -> Read<Option<MvId>> {
        self.one(Q::MV_BY_GUID, "mv_object", &values![&guid.0[..]], row::id(MvId))
    }

    fn history(&self, mv: MvId, before: Option<i64>, limit: usize) -> Read<Vec<(i64, HistoryRow)>> {
        let values = values![mv.0, before.unwrap_or(i64::MAX), limit_of(limit)];
        self.all(Q::HISTORY, "history", &values, row::history)
    }

    fn cs_counts(&self) -> Read<Vec<CsCount>> {
        self.all(Q::CS_COUNTS, "cs_count", &[], |cells| {
            Ok(CsCount {
                connector: ConnectorId(cells.get(0)?),
                object_type: TypeId(cells.get(1)?),
                joined: cells.get(2)?,
                flags: cells.get(3)?,
                count: cells.count(4)?,
            })
        })
    }

    fn mv_counts(&self) -> Read<Vec<MvCount>> {
        self.all(Q::MV_COUNTS, "mv_count", &[], |cells| {
            Ok(MvCount { object_type: TypeId(cells.get(0)?), leaving: cells.get(1)?, count: cells.count(2)? })
        })
    }

    fn errors_page(
        &self,
        connector: Option<ConnectorId>,
        after: Option<(CsId, &str)>,
        limit: usize,
    ) -> Read<Vec<ErrorRow>> {
        let (cs, place) = after.map_or((i64::MIN, ""), |(cs, place)| (cs.0, place));
        let limit = limit_of(limit);
        match connector {
            Some(connector) => {
                let values = values![cs, place, limit, connector.0];
                self.all(Q::ERROR_PAGE_OF, "object_error", &values, row::error)
            }
            None => self.all(Q::ERROR_PAGE, "object_error", &values![cs, place, limit], row::error),
        }
    }

    fn error_counts(&self) -> Read<Vec<ErrorCount>> {
        self.all(Q::ERROR_COUNTS, "error_count", &[], |cells| {
            Ok(ErrorCount {
                connector: ConnectorId(cells.get(0)?),
                object_type: TypeId(cells.get(1)?),
                place: cells.get(2)?,
                code: cells.get(3)?,
                cause: cells.get(4)?,
                alarm: cells.get(5)?,
                count: cells.count(6)?,
            })
        })
    }

    fn agenda_counts(&self, now: Time) -> Read<Vec<AgendaCount>> {
        self.all(Q::AGENDA_COUNTS, "agenda", &values![now.ticks()], |cells| {
            Ok(AgendaCount {
                pass: cells.get(0)?,
                connector: ConnectorId(cells.get(1)?),
                due: cells.count(2)?,
                later: cells.count(3)?,
            })
        })
    }

    fn agenda_next(&self) -> Read<Option<Time>> {
        let mut next = None;
        for pass in 0..onesync_engine::Work::PASSES {
            for connector in self.agenda_connectors(pass)? {
                let earliest =
                    self.one(Q::AGENDA_EARLIEST, "agenda", &values![pass, connector], |cells| {
                        Ok(Time::from_ticks(cells.get(0)?))
                    })?;
                next = match (next, earliest) {
                    (Some(a), Some(b)) => Some(std::cmp::min(a, b)),
                    (a, b) => a.or(b),
                };
            }
        }
        Ok(next)
    }

    fn cs_heads(&self, connector: ConnectorId, after: CsId, limit: usize) -> Read<Vec<CsHead>> {
        let values = values![connector.0, after.0, limit_of(limit)];
        self.all(Q::CS_HEADS, "cs_object", &values, |cells| {
            let mv = cells.get::<Option<i64>>(1)?.map(MvId);
            Ok(CsHead {
                turn: Turn::new(
                    mv.is_none(),
                    TypeId(cells.get(3)?),
                    cells.blob_or_null(4)?,
                    CsId(cells.get(0)?),
                ),
                mv,
                links: cells.list(2, LinkSum::decode)?,
            })
        })
    }

    fn live_ids(&self, connector: ConnectorId, after: CsId, limit: usize) -> Read<Vec<CsId>> {
        let values = values![connector.0, after.0, limit_of(limit)];
        self.all(Q::CS_LIVE, "cs_object", &values, row::id(CsId))
    }

    fn exports_page(
        &self,
        connector: ConnectorId,
        filter: ExportFilter,
        after: CsId,
        limit: usize,
    ) -> Read<Vec<ExportRow>> {
        let values = values![
            connector.0,
            after.0,
            filter.state.map(ChangeState::code),
            filter.operation.map(operation_code),
            filter.object_type.map(|id| id.0),
            filter.held,
            filter.kinds,
            limit_of(limit),
        ];
        self.all(Q::EXPORT_PAGE, "export_object", &values, row::export)
    }

    fn export_counts(&self) -> Read<Vec<ExportCount>> {
        self.all(Q::EXPORT_COUNTS, "export_count", &[], |cells| {
            Ok(ExportCount {
                connector: ConnectorId(cells.get(0)?),
                object_type: TypeId(cells.get(1)?),
                operation: cells.operation(2)?,
                kinds: cells.get(3)?,
                state: cells.state(4)?,
                held: cells.get(5)?,
                count: cells.count(6)?,
                hashes: cells.hash(7)?,
            })
        })
    }

    fn export_links_page(
        &self,
        connector: ConnectorId,
        filter: ExportLinkFilter,
        after: Option<ExportLinkKey>,
        limit: usize,
    ) -> Read<Vec<ExportLinkRow>> {
        let (owner, attribute, target) = place(after);
        let values = values![
            connector.0,
            owner,
            attribute,
            target,
            filter.state.map(ChangeState::code),
            filter.add,
            filter.held,
            limit_of(limit),
        ];
        self.all(Q::EXPORT_LINK_PAGE, "export_link", &values, row::export_link)
    }

    fn export_link_counts(&self) -> Read<Vec<ExportLinkCount>> {
        self.all(Q::EXPORT_LINK_COUNTS, "export_link_count", &[], |cells| {
            Ok(ExportLinkCount {
                connector: ConnectorId(cells.get(0)?),
                attribute: AttrId(cells.get(1)?),
                add: cells.get(2)?,
                state: cells.state(3)?,
                held: cells.get(4)?,
                count: cells.count(5)?,
                hashes: cells.hash(6)?,
            })
        })
    }

    fn export_link_owners(
        &self,
        connector: ConnectorId,
        after: Option<(CsId, AttrId)>,
        limit: usize,
    ) -> Read<Vec<ExportLinkOwner>> {
        let (owner, attribute) = after.map_or((i64::MIN, 0), |row| (row.0.0, row.1.0));
        let values = values![connector.0, owner, attribute, limit_of(limit)];
        self.all(Q::EXPORT_LINK_OWNERS, "export_link", &values, |cells| {
            Ok(ExportLinkOwner {
                owner: CsId(cells.get(0)?),
                attribute: AttrId(cells.get(1)?),
                adds: cells.count(2)?,
                removes: cells.count(3)?,
            })
        })
    }

    fn due_exports(
        &self,
        connector: ConnectorId,
        types: &[TypeId],
        now: Time,
        after: Option<(Operation, TypeId, CsId)>,
        limit: usize,
    ) -> Read<Vec<ExportRow>> {
        let place = |operation, of| Some((operation, types.iter().position(|t| *t == of)?));
        let after = after.and_then(|(operation, of, cs)| Some((place(operation, of)?, cs)));
        let mut out = Vec::new();
        for operation in [Operation::Add, Operation::Update, Operation::Delete] {
            for (index, object_type) in types.iter().enumerate() {
                let from = match after {
                    Some((last, _)) if (operation, index) < last => continue,
                    Some((last, cs)) if (operation, index) == last => cs.0,
                    _ => i64::MIN,
                };
                let missing = limit_of(limit.saturating_sub(out.len()));
                if missing == 0 {
                    return Ok(out);
                }
                let operation = operation_code(operation);
                let values = values![connector.0, operation, object_type.0, from, now.ticks(), missing];
                out.extend(self.all(Q::EXPORT_DUE, "export_object", &values, row::export)?);
            }
        }
        Ok(out)
    }

    fn due_export_links(
        &self,
        connector: ConnectorId,
        now: Time,
        after: Option<ExportLinkKey>,
        limit: usize,
    ) -> Read<Vec<ExportLinkRow>> {
        if self.one(Q::EXPORT_LINK_ANY_DUE, "export_link_count", &values![connector.0], |_| Ok(()))?.is_none()
        {
            return Ok(Vec::new());
        }
        let (owner, attribute, target) = place(after);
        let values = values![connector.0, owner, attribute, target, now.ticks(), limit_of(limit)];
        self.all(Q::EXPORT_LINK_DUE, "export_link", &values, row::export_link)
    }

    fn sending_exports(&self, connector: ConnectorId) -> Read<Vec<ExportRow>> {
        self.all(Q::EXPORT_SENDING, "export_object", &values![connector.0], row::export)
    }

    fn sending_export_links(&self, connector: ConnectorId) -> Read<Vec<ExportLinkRow>> {
        self.all(Q::EXPORT_LINK_SENDING, "export_link", &values![connector.0], row::export_link)
    }

    fn dump(&self, annotations: bool) -> Read<String> {
        let mut dump = Dump::new(annotations);
        let join_key = |cells: &Cells<'_>| Ok((cells.get::<i64>(0)?, cells.get::<i64>(1)?));
        let cs = |cells: &Cells<'_>| Ok((row::cs(cells)?, cells.hash_or_null(15)?));
        self.all(Q::CS_ALL, "cs_object", &[], cs)?.iter().for_each(|(row, key)| dump.cs(row, *key));
        for (key, id) in self.all(Q::CS_JOIN_ALL, "cs_join", &[], join_key)? {
            dump.row("cs_join", &(key, CsId(id)));
        }
        let link = |c: &Cells<'_>| Ok((CsId(c.get(0)?), AttrId(c.get(1)?), c.hash(2)?));
        self.all(Q::LINK_ALL, "cs_link", &[], link)?.iter().for_each(|row| dump.row("link", row));
        let containers = self.all(Q::CONTAINER_ALL, "container", &[], row::container)?;
        containers.iter().for_each(|row| dump.row("container", row));
        let mvs = self.all(Q::MV_PAGE, "mv_object", &values![i64::MIN, i64::MAX], row::mv)?;
        mvs.iter().for_each(|row| dump.mv(row));
        for (key, id) in self.all(Q::MV_JOIN_ALL, "mv_join", &[], join_key)? {
            dump.row("mv_join", &(key, MvId(id)));
        }
        let link = |c: &Cells<'_>| Ok((MvId(c.get(0)?), AttrId(c.get(1)?), MvId(c.get(2)?)));
        self.all(Q::MV_LINK_ALL, "mv_link", &[], link)?.iter().for_each(|row| dump.row("mv_link", row));
        let exports = self.all(Q::EXPORT_ALL, "export_object", &[], row::export)?;
        exports.iter().for_each(|row| dump.export(row));
        let links = self.all(Q::EXPORT_LINK_ALL, "export_link", &[], row::export_link)?;
        links.iter().for_each(|row| dump.row("export_link", row));
        let agenda = |cells: &Cells<'_>| row::agenda(cells, cells.get(4)?, cells.get(5)?);
        self.all(Q::AGENDA_ALL, "agenda", &[], agenda)?.iter().for_each(|row| dump.row("agenda", row));
        self.all(Q::ERROR_ALL, "object_error", &[], row::error)?.iter().for_each(|row| dump.error(row));
        let history = self.all(Q::HISTORY_ALL, "history", &[], row::history)?;
        history.iter().for_each(|row| dump.note("history", row));
        let state = |c: &Cells<'_>| Ok((ConnectorId(c.get(0)?), c.get::<String>(1)?, c.get::<Vec<u8>>(2)?));
        self.all(Q::STATE_ALL, "service_state", &[], state)?.iter().for_each(|row| dump.note("state", row));
        dump.through(self)?;
        Ok(dump.finish())
    }
}
