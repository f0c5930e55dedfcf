//! Reads for the service and for people.

use std::collections::BTreeMap;

use onesync_engine::{ChangeState, ErrorRow, ExportLinkRow, ExportRow, HistoryRow, ReadError};
use onesync_model::{AttrId, ConnectorId, CsId, Hash128, MvGuid, MvId, Operation, RuleId, RunId, Time, TypeId};
use rusqlite::Row;

use super::row::{self, ERROR_COLUMNS, EXPORT_COLUMNS, EXPORT_LINK_COLUMNS, hash, time};
use super::{SqliteReader, read_failed};
use crate::rows::{
    AgendaCount, ConfigFiles, ConfigVersionRow, ConnectorRow, CsCount, ErrorCount, EventRow, ExportCount, ExportFilter, ExportLinkCount,
    ExportLinkFilter, ExportLinkKey, ExportLinkOwner, ExportedRow, HeldPlanRow, HeldState, InstallationRow, MvCount, RuleRow, RunRow, SecretRow,
    export_link_hash, operation_code, operation_from_code,
};
use crate::store::StoreReader;

type Read<T> = Result<T, ReadError>;

fn run(row: &Row<'_>) -> rusqlite::Result<RunRow> {
    Ok(RunRow {
        id: RunId(row.get(0)?),
        connector: ConnectorId(row.get(1)?),
        step: row.get(2)?,
        started: time(row.get(3)?),
        ended: row.get::<_, Option<i64>>(4)?.map(time),
        result: row.get(5)?,
        counters: row.get(6)?,
    })
}

fn secret(row: &Row<'_>) -> rusqlite::Result<SecretRow> {
    Ok(SecretRow { name: row.get(0)?, current: row.get(1)?, previous: row.get(2)?, changed: time(row.get(3)?) })
}

fn held_plan(row: &Row<'_>) -> rusqlite::Result<HeldPlanRow> {
    let items: Vec<u8> = row.get(4)?;
    Ok(HeldPlanRow {
        hash: hash(row, 0)?,
        connector: ConnectorId(row.get(1)?),
        object_type: TypeId(row.get(2)?),
        reason: row.get(3)?,
        items: items.chunks_exact(16).filter_map(Hash128::from_slice).collect(),
        state: HeldState::from_code(row.get(5)?).ok_or(rusqlite::Error::IntegralValueOutOfRange(5, 0))?,
        created: time(row.get(6)?),
        who: row.get(7)?,
        decided: row.get::<_, Option<i64>>(8)?.map(time),
    })
}

impl StoreReader for SqliteReader<'_> {
    fn installation(&self) -> Read<Option<InstallationRow>> {
        self.one("SELECT id, epoch, staging, created FROM installation", &[], |row| {
            Ok(InstallationRow { id: row.get(0)?, epoch: row.get::<_, i64>(1)? as u64, staging: row.get(2)?, created: time(row.get(3)?) })
        })
    }

    fn names(&self) -> Read<Vec<(AttrId, String)>> {
        self.all("SELECT id, name FROM attribute_name ORDER BY id", &[], |row| Ok((AttrId(row.get(0)?), row.get(1)?)))
    }

    fn connectors(&self) -> Read<Vec<ConnectorRow>> {
        self.all("SELECT id, name, kind, removed FROM connector ORDER BY id", &[], |row| {
            Ok(ConnectorRow { id: ConnectorId(row.get(0)?), name: row.get(1)?, kind: row.get(2)?, removed: row.get(3)? })
        })
    }

    fn rules(&self) -> Read<Vec<RuleRow>> {
        self.all("SELECT id, connector, name, hash FROM sync_rule ORDER BY id", &[], |row| {
            Ok(RuleRow { id: RuleId(row.get(0)?), connector: ConnectorId(row.get(1)?), name: row.get(2)?, hash: hash(row, 3)? })
        })
    }

    fn config_versions(&self) -> Read<Vec<ConfigVersionRow>> {
        self.all("SELECT version, created, who, hash FROM config_version ORDER BY version", &[], |row| {
            Ok(ConfigVersionRow { version: row.get(0)?, created: time(row.get(1)?), who: row.get(2)?, hash: hash(row, 3)? })
        })
    }

    fn config_files(&self, version: u32) -> Read<Option<ConfigFiles>> {
        if self.one("SELECT 1 FROM config_version WHERE version = ?1", &[&version], |_| Ok(()))?.is_none() {
            return Ok(None);
        }
        let files = self.all("SELECT path, content FROM config_file WHERE version = ?1", &[&version], |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(Some(files.into_iter().collect()))
    }

    fn secrets(&self) -> Read<Vec<SecretRow>> {
        self.all("SELECT name, sealed_current, sealed_previous, changed FROM secret ORDER BY name", &[], secret)
    }

    fn secret(&self, name: &str) -> Read<Option<SecretRow>> {
        self.one("SELECT name, sealed_current, sealed_previous, changed FROM secret WHERE name = ?1", &[&name], secret)
    }

    fn next_run(&self) -> Read<RunId> {
        Ok(RunId(self.one("SELECT coalesce(max(id), 0) + 1 FROM run", &[], |row| row.get(0))?.unwrap_or(1)))
    }

    fn runs(&self, connector: Option<ConnectorId>, before: Option<RunId>, limit: usize) -> Read<Vec<RunRow>> {
        let before = before.map_or(i64::MAX, |id| id.0);
        let limit = limit as i64;
        match connector {
            Some(connector) => self.all(
                "SELECT id, connector, step, started, ended, result, counters FROM run WHERE connector = ?1 AND id < ?2 ORDER BY id DESC LIMIT ?3",
                &[&connector.0, &before, &limit],
                run,
            ),
            None => self.all("SELECT id, connector, step, started, ended, result, counters FROM run WHERE id < ?1 ORDER BY id DESC LIMIT ?2", &[&before, &limit], run),
        }
    }

    fn run(&self, id: RunId) -> Read<Option<RunRow>> {
        self.one("SELECT id, connector, step, started, ended, result, counters FROM run WHERE id = ?1", &[&id.0], run)
    }

    fn events(&self, before: Option<i64>, limit: usize) -> Read<Vec<(i64, EventRow)>> {
        let before = before.unwrap_or(i64::MAX);
        self.all("SELECT seq, time, kind, subject, text FROM event WHERE seq < ?1 ORDER BY seq DESC LIMIT ?2", &[&before, &(limit as i64)], |row| {
            Ok((row.get(0)?, EventRow { time: time(row.get(1)?), kind: row.get(2)?, subject: row.get(3)?, text: row.get(4)? }))
        })
    }

    fn exported_since(&self, connector: ConnectorId, hour: i64) -> Read<Vec<ExportedRow>> {
        self.all(
            "SELECT connector, object_type, kind, hour, count FROM exported WHERE connector = ?1 AND hour >= ?2 ORDER BY object_type, kind, hour",
            &[&connector.0, &hour],
            |row| {
                Ok(ExportedRow {
                    connector: ConnectorId(row.get(0)?),
                    object_type: TypeId(row.get(1)?),
                    kind: row.get(2)?,
                    hour: row.get(3)?,
                    count: row.get::<_, i64>(4)? as u64,
                })
            },
        )
    }

    fn held_plans(&self, state: Option<HeldState>) -> Read<Vec<HeldPlanRow>> {
        let rows = self.all("SELECT hash, connector, object_type, reason, items, state, created, who, decided FROM held_plan ORDER BY hash", &[], held_plan)?;
        Ok(rows.into_iter().filter(|row| state.is_none_or(|state| row.state == state)).collect())
    }

    fn held_plan(&self, wanted: Hash128) -> Read<Option<HeldPlanRow>> {
        self.one("SELECT hash, connector, object_type, reason, items, state, created, who, decided FROM held_plan WHERE hash = ?1", &[&&wanted.0[..]], held_plan)
    }

    fn mv_by_guid(&self, guid: MvGuid) -> Read<Option<MvId>> {
        self.one("SELECT id FROM mv_object WHERE guid = ?1", &[&&guid.0[..]], |row| row.get(0).map(MvId))
    }

    fn history(&self, mv: MvId, before: Option<i64>, limit: usize) -> Read<Vec<(i64, HistoryRow)>> {
        let before = before.unwrap_or(i64::MAX);
        self.all(
            "SELECT seq, mv, run, time, event, changes FROM history WHERE mv = ?1 AND seq < ?2 ORDER BY seq DESC LIMIT ?3",
            &[&mv.0, &before, &(limit as i64)],
            |row| {
                let changes = HistoryRow::decode_changes(row.get_ref(5)?.as_blob()?)
                    .map_err(|error| rusqlite::Error::FromSqlConversionFailure(5, rusqlite::types::Type::Blob, error.into()))?;
                Ok((row.get(0)?, HistoryRow { mv: MvId(row.get(1)?), run: RunId(row.get(2)?), time: time(row.get(3)?), event: row.get(4)?, changes }))
            },
        )
    }

    fn cs_counts(&self) -> Read<Vec<CsCount>> {
        self.all(
            "SELECT connector, object_type, mv IS NOT NULL, flags, count(*) FROM cs_object GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4",
            &[],
            |row| {
                Ok(CsCount {
                    connector: ConnectorId(row.get(0)?),
                    object_type: TypeId(row.get(1)?),
                    joined: row.get(2)?,
                    flags: row.get(3)?,
                    count: row.get::<_, i64>(4)? as u64,
                })
            },
        )
    }

    fn mv_counts(&self) -> Read<Vec<MvCount>> {
        self.all("SELECT object_type, leaving_since IS NOT NULL, count(*) FROM mv_object GROUP BY 1, 2 ORDER BY 1, 2", &[], |row| {
            Ok(MvCount { object_type: TypeId(row.get(0)?), leaving: row.get(1)?, count: row.get::<_, i64>(2)? as u64 })
        })
    }

    fn errors_page(&self, connector: Option<ConnectorId>, after: Option<(CsId, &str)>, limit: usize) -> Read<Vec<ErrorRow>> {
        let (cs, place) = after.map_or((i64::MIN, ""), |(cs, place)| (cs.0, place));
        let limit = limit as i64;
        match connector {
            Some(connector) => self.all(
                &format!("SELECT {ERROR_COLUMNS} FROM object_error WHERE connector = ?1 AND (cs, place) > (?2, ?3) ORDER BY cs, place LIMIT ?4"),
                &[&connector.0, &cs, &place, &limit],
                row::error,
            ),
            None => self.all(
                &format!("SELECT {ERROR_COLUMNS} FROM object_error WHERE (cs, place) > (?1, ?2) ORDER BY cs, place LIMIT ?3"),
                &[&cs, &place, &limit],
                row::error,
            ),
        }
    }

    fn error_counts(&self) -> Read<Vec<ErrorCount>> {
        self.all("SELECT connector, place, code, alarm, count(*) FROM object_error GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4", &[], |row| {
            Ok(ErrorCount {
                connector: ConnectorId(row.get(0)?),
                place: row.get(1)?,
                code: row.get(2)?,
                alarm: row.get(3)?,
                count: row.get::<_, i64>(4)? as u64,
            })
        })
    }

    fn agenda_counts(&self, now: Time) -> Read<Vec<AgendaCount>> {
        self.all(
            "SELECT pass, connector, sum(not_before <= ?1), sum(not_before > ?1) FROM agenda GROUP BY 1, 2 ORDER BY 1, 2",
            &[&now.ticks()],
            |row| {
                Ok(AgendaCount {
                    pass: row.get(0)?,
                    connector: ConnectorId(row.get(1)?),
                    due: row.get::<_, i64>(2)? as u64,
                    later: row.get::<_, i64>(3)? as u64,
                })
            },
        )
    }

    fn agenda_next(&self) -> Read<Option<Time>> {
        let found = self.one("SELECT min(not_before) FROM agenda", &[], |row| row.get::<_, Option<i64>>(0))?;
        Ok(found.flatten().map(Time::from_ticks))
    }

    fn live_ids(&self, connector: ConnectorId, after: CsId, limit: usize) -> Read<Vec<CsId>> {
        self.all(
            "SELECT id FROM cs_object INDEXED BY cs_by_connector WHERE connector = ?1 AND id > ?2 AND flags & 17 = 0 ORDER BY id LIMIT ?3",
            &[&connector.0, &after.0, &(limit as i64)],
            |row| row.get(0).map(CsId),
        )
    }

    fn exports_page(&self, connector: ConnectorId, filter: ExportFilter, after: CsId, limit: usize) -> Read<Vec<ExportRow>> {
        self.all(
            &format!(
                "SELECT {EXPORT_COLUMNS} FROM export_object WHERE connector = ?1 AND cs > ?2 AND (?3 IS NULL OR state = ?3) AND (?4 IS NULL OR operation = ?4)
                 AND (?5 IS NULL OR object_type = ?5) AND (?6 IS NULL OR held = ?6) AND (?7 = 0 OR kinds & ?7 <> 0) ORDER BY cs LIMIT ?8"
            ),
            &[
                &connector.0,
                &after.0,
                &filter.state.map(ChangeState::code),
                &filter.operation.map(operation_code),
                &filter.object_type.map(|id| id.0),
                &filter.held,
                &filter.kinds,
                &(limit as i64),
            ],
            row::export,
        )
    }

    fn export_counts(&self) -> Read<Vec<ExportCount>> {
        let rows = self.all("SELECT connector, object_type, operation, kinds, state, held, hash FROM export_object", &[], |row| {
            let key: (u32, u32, u8, u8, u8, bool) = (row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?, row.get(5)?);
            Ok((key, hash(row, 6)?))
        })?;
        let mut counts: BTreeMap<(u32, u32, u8, u8, u8, bool), (u64, Hash128)> = BTreeMap::new();
        for (key, hash) in rows {
            let entry = counts.entry(key).or_default();
            entry.0 += 1;
            entry.1 = entry.1.plus(hash);
        }
        let damaged = || ReadError("a row of `export_object` is damaged".to_owned());
        counts
            .into_iter()
            .map(|((connector, object_type, operation, kinds, state, held), (count, hashes))| {
                Ok(ExportCount {
                    connector: ConnectorId(connector),
                    object_type: TypeId(object_type),
                    operation: operation_from_code(operation).ok_or_else(damaged)?,
                    kinds,
                    state: ChangeState::from_code(state).ok_or_else(damaged)?,
                    held,
                    count,
                    hashes,
                })
            })
            .collect()
    }

    fn export_links_page(&self, connector: ConnectorId, filter: ExportLinkFilter, after: Option<ExportLinkKey>, limit: usize) -> Read<Vec<ExportLinkRow>> {
        let (owner, attribute, target) = after.map_or((i64::MIN, 0, i64::MIN), |(o, a, t)| (o.0, a.0, t.0));
        self.all(
            &format!(
                "SELECT {EXPORT_LINK_COLUMNS} FROM export_link WHERE connector = ?1 AND (owner, attribute, target) > (?2, ?3, ?4)
                 AND (?5 IS NULL OR state = ?5) AND (?6 IS NULL OR adds = ?6) AND (?7 IS NULL OR held = ?7) ORDER BY owner, attribute, target LIMIT ?8"
            ),
            &[&connector.0, &owner, &attribute, &target, &filter.state.map(ChangeState::code), &filter.add, &filter.held, &(limit as i64)],
            row::export_link,
        )
    }

    fn export_link_counts(&self) -> Read<Vec<ExportLinkCount>> {
        let rows = self.all(&format!("SELECT {EXPORT_LINK_COLUMNS} FROM export_link"), &[], row::export_link)?;
        let mut counts: BTreeMap<(ConnectorId, AttrId, bool, ChangeState, bool), (u64, Hash128)> = BTreeMap::new();
        for row in rows {
            let entry = counts.entry((row.connector, row.attribute, row.add, row.state, row.held)).or_default();
            entry.0 += 1;
            entry.1 = entry.1.plus(export_link_hash(&row));
        }
        Ok(counts
            .into_iter()
            .map(|((connector, attribute, add, state, held), (count, hashes))| ExportLinkCount { connector, attribute, add, state, held, count, hashes })
            .collect())
    }

    fn export_link_owners(&self, connector: ConnectorId, after: Option<(CsId, AttrId)>, limit: usize) -> Read<Vec<ExportLinkOwner>> {
        let (owner, attribute) = after.map_or((i64::MIN, 0), |(owner, attribute)| (owner.0, attribute.0));
        self.all(
            "SELECT owner, attribute, sum(adds), sum(NOT adds) FROM export_link WHERE connector = ?1 AND state = 0 AND held = 0 AND (owner, attribute) > (?2, ?3)
             GROUP BY 1, 2 ORDER BY 1, 2 LIMIT ?4",
            &[&connector.0, &owner, &attribute, &(limit as i64)],
            |row| {
                Ok(ExportLinkOwner {
                    owner: CsId(row.get(0)?),
                    attribute: AttrId(row.get(1)?),
                    adds: row.get::<_, i64>(2)? as u64,
                    removes: row.get::<_, i64>(3)? as u64,
                })
            },
        )
    }

    fn due_exports(&self, connector: ConnectorId, types: &[TypeId], now: Time, after: Option<(Operation, TypeId, CsId)>, limit: usize) -> Read<Vec<ExportRow>> {
        let mut out = Vec::new();
        for operation in [Operation::Add, Operation::Update, Operation::Delete] {
            for object_type in types {
                let place = |operation: Operation, object_type: TypeId| (operation_code(operation), types.iter().position(|t| *t == object_type));
                let from = match after {
                    Some((op, of, cs)) if place(op, of) == place(operation, *object_type) => cs.0,
                    Some((op, of, _)) if place(op, of) > place(operation, *object_type) => continue,
                    _ => i64::MIN,
                };
                let missing = (limit - out.len()) as i64;
                if missing == 0 {
                    return Ok(out);
                }
                out.extend(self.all(
                    &format!(
                        "SELECT {EXPORT_COLUMNS} FROM export_object INDEXED BY export_due WHERE connector = ?1 AND operation = ?2 AND object_type = ?3 AND cs > ?4
                         AND not_before <= ?5 AND state = 0 AND held = 0 AND kinds & 32 = 0 ORDER BY cs LIMIT ?6"
                    ),
                    &[&connector.0, &operation_code(operation), &object_type.0, &from, &now.ticks(), &missing],
                    row::export,
                )?);
            }
        }
        Ok(out)
    }

    fn due_export_links(&self, connector: ConnectorId, now: Time, after: Option<ExportLinkKey>, limit: usize) -> Read<Vec<ExportLinkRow>> {
        let (owner, attribute, target) = after.map_or((i64::MIN, 0, i64::MIN), |(o, a, t)| (o.0, a.0, t.0));
        self.all(
            &format!(
                "SELECT {EXPORT_LINK_COLUMNS} FROM export_link INDEXED BY export_link_due WHERE connector = ?1 AND (owner, attribute, target) > (?2, ?3, ?4)
                 AND not_before <= ?5 AND state = 0 AND held = 0
                 AND (SELECT anchor_key FROM cs_object WHERE id = owner) IS NOT NULL AND (SELECT anchor_key FROM cs_object WHERE id = target) IS NOT NULL
                 ORDER BY owner, attribute, target LIMIT ?6"
            ),
            &[&connector.0, &owner, &attribute, &target, &now.ticks(), &(limit as i64)],
            row::export_link,
        )
    }

    fn sending_exports(&self, connector: ConnectorId) -> Read<Vec<ExportRow>> {
        self.all(&format!("SELECT {EXPORT_COLUMNS} FROM export_object WHERE connector = ?1 AND state = 1 AND state <> 0 ORDER BY cs"), &[&connector.0], row::export)
    }

    fn sending_export_links(&self, connector: ConnectorId) -> Read<Vec<ExportLinkRow>> {
        self.all(
            &format!("SELECT {EXPORT_LINK_COLUMNS} FROM export_link WHERE connector = ?1 AND state = 1 AND state <> 0 ORDER BY owner, attribute, target"),
            &[&connector.0],
            row::export_link,
        )
    }

    fn dump(&self, annotations: bool) -> Read<String> {
        let mut tables = vec!["cs_object", "cs_join", "cs_link", "container", "mv_object", "mv_join", "mv_link", "export_object", "export_link", "agenda"];
        if annotations {
            tables.extend(["object_error", "history", "service_state"]);
        }
        let mut out = String::new();
        for table in tables {
            let connection = self.connection()?;
            let mut statement = connection.prepare(&format!("SELECT * FROM {table} ORDER BY 1, 2, 3")).map_err(read_failed)?;
            let names: Vec<String> = statement.column_names().into_iter().map(str::to_owned).collect();
            let mut rows = statement.query([]).map_err(read_failed)?;
            while let Some(row) = rows.next().map_err(read_failed)? {
                out.push_str(table);
                for (index, name) in names.iter().enumerate() {
                    if !annotations && matches!(name.as_str(), "join_run" | "join_rule" | "causes" | "first_seen" | "run") {
                        continue;
                    }
                    let value = row.get_ref(index).map_err(read_failed)?;
                    out.push_str(&format!(" {name}={value:?}"));
                }
                out.push('\n');
            }
        }
        Ok(out)
    }
}
