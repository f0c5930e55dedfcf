//! The engine's reads: by key, many keys at a time. A prepared statement is stepped per key: in SQLite a function
//! call, not a round trip.

use onesync_engine::{
    AgendaRow, ContainerRow, Counters, CsRow, ErrorRow, ExportLinkRow, ExportRow, JoinedIn, MvRow, ReadError, Reader,
};
use onesync_model::{AttrId, ConnectorId, ContainerId, CsId, Hash128, MvId, Time};
use rusqlite::{OptionalExtension as _, Row, ToSql};

use super::row::{self, CS_COLUMNS, ERROR_COLUMNS, EXPORT_COLUMNS, EXPORT_LINK_COLUMNS, MV_COLUMNS};
use super::{SqliteReader, read_failed};
use crate::store::{agenda_page, work_columns, work_from_columns};

type Read<T> = Result<T, ReadError>;

impl SqliteReader<'_> {
    /// All rows of a query.
    pub(super) fn all<T>(&self, sql: &str, values: &[&dyn ToSql], one: impl FnMut(&Row<'_>) -> rusqlite::Result<T>) -> Read<Vec<T>> {
        let mut statement = self.connection()?.prepare_cached(sql).map_err(read_failed)?;
        let rows = statement.query_map(values, one).map_err(read_failed)?;
        rows.collect::<Result<_, _>>().map_err(read_failed)
    }

    /// The one row of a query, if any.
    pub(super) fn one<T>(&self, sql: &str, values: &[&dyn ToSql], one: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>) -> Read<Option<T>> {
        let mut statement = self.connection()?.prepare_cached(sql).map_err(read_failed)?;
        statement.query_row(values, one).optional().map_err(read_failed)
    }

    /// The rows of a query for each key.
    fn each<K: ToSql, T>(&self, sql: &str, keys: impl IntoIterator<Item = K>, mut one: impl FnMut(&Row<'_>) -> rusqlite::Result<T>) -> Read<Vec<T>> {
        let mut statement = self.connection()?.prepare_cached(sql).map_err(read_failed)?;
        let mut out = Vec::new();
        for key in keys {
            let mut rows = statement.query([key]).map_err(read_failed)?;
            while let Some(found) = rows.next().map_err(read_failed)? {
                out.push(one(found).map_err(read_failed)?);
            }
        }
        Ok(out)
    }

    /// Whether each of some rows exists.
    fn exist(&self, sql: &str, rows: impl Iterator<Item = (i64, u32, Vec<u8>, i64)>) -> Read<Vec<bool>> {
        let mut statement = self.connection()?.prepare_cached(sql).map_err(read_failed)?;
        rows.map(|(owner, attribute, key, target)| {
            let by_key = !key.is_empty();
            if by_key { statement.exists((owner, attribute, key)) } else { statement.exists((owner, attribute, target)) }.map_err(read_failed)
        })
        .collect()
    }
}

fn sorted<T: Ord + Copy>(keys: &[T]) -> Vec<T> {
    let mut keys = keys.to_vec();
    keys.sort_unstable();
    keys.dedup();
    keys
}

fn cs_id(row: &Row<'_>) -> rusqlite::Result<CsId> {
    row.get(0).map(CsId)
}

impl Reader for SqliteReader<'_> {
    fn counters(&self) -> Read<Counters> {
        let found = self.one("SELECT next_cs, next_mv, next_container FROM counter", &[], |row| {
            Ok(Counters { cs: row.get(0)?, mv: row.get(1)?, container: row.get(2)? })
        })?;
        Ok(found.unwrap_or_default())
    }

    fn cs_by_id(&self, ids: &[CsId]) -> Read<Vec<CsRow>> {
        self.each(&format!("SELECT {CS_COLUMNS} FROM cs_object WHERE id = ?1"), sorted(ids).iter().map(|id| id.0), row::cs)
    }

    fn cs_by_key(&self, keys: &[Hash128]) -> Read<Vec<CsRow>> {
        let mut rows = self.each(&format!("SELECT {CS_COLUMNS} FROM cs_object WHERE anchor_key = ?1"), sorted(keys).iter().map(|key| &key.0[..]), row::cs)?;
        rows.sort_by_key(|row| row.id);
        Ok(rows)
    }

    fn cs_by_name(&self, keys: &[Hash128]) -> Read<Vec<CsRow>> {
        let mut rows = self.each(&format!("SELECT {CS_COLUMNS} FROM cs_object WHERE name_key = ?1"), sorted(keys).iter().map(|key| &key.0[..]), row::cs)?;
        rows.sort_by_key(|row| row.id);
        Ok(rows)
    }

    fn cs_of_mv(&self, mvs: &[MvId]) -> Read<Vec<CsRow>> {
        let mut rows = self.each(&format!("SELECT {CS_COLUMNS} FROM cs_object WHERE mv = ?1"), sorted(mvs).iter().map(|mv| mv.0), row::cs)?;
        rows.sort_by_key(|row| row.id);
        Ok(rows)
    }

    fn joined_in(&self, connector: ConnectorId, mvs: &[MvId]) -> Read<Vec<JoinedIn>> {
        let key = |row: &Row<'_>, column: usize| -> rusqlite::Result<Option<Hash128>> {
            Ok(row.get_ref(column)?.as_blob_or_null()?.and_then(Hash128::from_slice))
        };
        let rows = self.each("SELECT mv, id, anchor_key, name_key, connector FROM cs_object WHERE mv = ?1 ORDER BY id", sorted(mvs).iter().map(|mv| mv.0), |row| {
            let found = JoinedIn { mv: MvId(row.get(0)?), cs: CsId(row.get(1)?), key: key(row, 2)?, name_key: key(row, 3)? };
            Ok((row.get::<_, u32>(4)?, found))
        })?;
        Ok(rows.into_iter().filter(|(of, _)| *of == connector.0).map(|(_, found)| found).collect())
    }

    fn joins_of(&self, ids: &[CsId]) -> Read<Vec<(CsId, MvId)>> {
        self.each("SELECT id, mv FROM cs_object WHERE id = ?1 AND mv IS NOT NULL", sorted(ids).iter().map(|id| id.0), |row| {
            Ok((CsId(row.get(0)?), MvId(row.get(1)?)))
        })
    }

    fn cs_by_join(&self, keys: &[i64]) -> Read<Vec<(i64, CsId)>> {
        self.each("SELECT join_key, id FROM cs_join WHERE join_key = ?1 ORDER BY id", sorted(keys), |row| Ok((row.get(0)?, CsId(row.get(1)?))))
    }

    fn cs_page(&self, connector: ConnectorId, after: CsId, limit: usize) -> Read<Vec<CsRow>> {
        let ids = self.all("SELECT id FROM cs_object INDEXED BY cs_by_connector WHERE connector = ?1 AND id > ?2 ORDER BY id LIMIT ?3", &[&connector.0, &after.0, &(limit as i64)], cs_id)?;
        self.cs_by_id(&ids)
    }

    fn link_targets(&self, keys: &[Hash128]) -> Read<Vec<(Hash128, CsId, Option<MvId>)>> {
        let keys = sorted(keys);
        let mut out = Vec::with_capacity(keys.len());
        let connection = self.connection()?;
        let mut by_anchor = connection.prepare_cached("SELECT id, mv FROM cs_object WHERE anchor_key = ?1").map_err(read_failed)?;
        let mut by_name = connection.prepare_cached("SELECT id, mv FROM cs_object WHERE name_key = ?1 ORDER BY id").map_err(read_failed)?;
        for key in keys {
            for statement in [&mut by_anchor, &mut by_name] {
                let mut rows = statement.query([&key.0[..]]).map_err(read_failed)?;
                while let Some(row) = rows.next().map_err(read_failed)? {
                    let mv: Option<i64> = row.get(1).map_err(read_failed)?;
                    out.push((key, CsId(row.get(0).map_err(read_failed)?), mv.map(MvId)));
                }
            }
        }
        Ok(out)
    }

    fn name_key(&self, ids: &[CsId]) -> Read<Vec<(CsId, Hash128)>> {
        self.each("SELECT id, name_key FROM cs_object WHERE id = ?1 AND name_key IS NOT NULL", sorted(ids).iter().map(|id| id.0), |row| {
            Ok((CsId(row.get(0)?), row::hash(row, 1)?))
        })
    }

    fn mv_by_id(&self, ids: &[MvId]) -> Read<Vec<MvRow>> {
        self.each(&format!("SELECT {MV_COLUMNS} FROM mv_object WHERE id = ?1"), sorted(ids).iter().map(|id| id.0), row::mv)
    }

    fn mv_by_join(&self, keys: &[i64]) -> Read<Vec<(i64, MvId)>> {
        self.each("SELECT join_key, id FROM mv_join WHERE join_key = ?1 ORDER BY id", sorted(keys), |row| Ok((row.get(0)?, MvId(row.get(1)?))))
    }

    fn mv_page(&self, after: MvId, limit: usize) -> Read<Vec<MvRow>> {
        self.all(&format!("SELECT {MV_COLUMNS} FROM mv_object WHERE id > ?1 ORDER BY id LIMIT ?2"), &[&after.0, &(limit as i64)], row::mv)
    }

    fn links(&self, owner: CsId, attribute: AttrId, after: Option<Hash128>, limit: usize) -> Read<Vec<Hash128>> {
        let after = after.map(|key| key.0.to_vec()).unwrap_or_default();
        self.all(
            "SELECT link_key FROM cs_link WHERE owner = ?1 AND attribute = ?2 AND link_key > ?3 ORDER BY link_key LIMIT ?4",
            &[&owner.0, &attribute.0, &after, &(limit as i64)],
            |row| row::hash(row, 0),
        )
    }

    fn has_links(&self, rows: &[(CsId, AttrId, Hash128)]) -> Read<Vec<bool>> {
        let rows = rows.iter().map(|(owner, attribute, key)| (owner.0, attribute.0, key.0.to_vec(), 0));
        self.exist("SELECT 1 FROM cs_link WHERE owner = ?1 AND attribute = ?2 AND link_key = ?3", rows)
    }

    fn referrers(&self, key: Hash128, after: Option<(CsId, AttrId)>, limit: usize) -> Read<Vec<(CsId, AttrId)>> {
        let (owner, attribute) = after.map_or((i64::MIN, 0), |(owner, attribute)| (owner.0, attribute.0));
        self.all(
            "SELECT owner, attribute FROM cs_link WHERE link_key = ?1 AND (owner, attribute) > (?2, ?3) ORDER BY owner, attribute LIMIT ?4",
            &[&&key.0[..], &owner, &attribute, &(limit as i64)],
            |row| Ok((CsId(row.get(0)?), AttrId(row.get(1)?))),
        )
    }

    fn mv_links(&self, owner: MvId, attribute: AttrId, after: MvId, limit: usize) -> Read<Vec<MvId>> {
        self.all(
            "SELECT target FROM mv_link WHERE owner = ?1 AND attribute = ?2 AND target > ?3 ORDER BY target LIMIT ?4",
            &[&owner.0, &attribute.0, &after.0, &(limit as i64)],
            |row| row.get(0).map(MvId),
        )
    }

    fn mv_link_count(&self, owner: MvId, attribute: AttrId) -> Read<u64> {
        let found = self.one("SELECT count(*) FROM mv_link WHERE owner = ?1 AND attribute = ?2", &[&owner.0, &attribute.0], |row| row.get::<_, i64>(0))?;
        Ok(found.unwrap_or(0) as u64)
    }

    fn has_mv_links(&self, rows: &[(MvId, AttrId, MvId)]) -> Read<Vec<bool>> {
        let rows = rows.iter().map(|(owner, attribute, target)| (owner.0, attribute.0, Vec::new(), target.0));
        self.exist("SELECT 1 FROM mv_link WHERE owner = ?1 AND attribute = ?2 AND target = ?3", rows)
    }

    fn mv_referrers(&self, target: MvId, after: Option<(MvId, AttrId)>, limit: usize) -> Read<Vec<(MvId, AttrId)>> {
        let (owner, attribute) = after.map_or((i64::MIN, 0), |(owner, attribute)| (owner.0, attribute.0));
        self.all(
            "SELECT owner, attribute FROM mv_link WHERE target = ?1 AND (owner, attribute) > (?2, ?3) ORDER BY owner, attribute LIMIT ?4",
            &[&target.0, &owner, &attribute, &(limit as i64)],
            |row| Ok((MvId(row.get(0)?), AttrId(row.get(1)?))),
        )
    }

    fn exports(&self, ids: &[CsId]) -> Read<Vec<ExportRow>> {
        self.each(&format!("SELECT {EXPORT_COLUMNS} FROM export_object WHERE cs = ?1"), sorted(ids).iter().map(|id| id.0), row::export)
    }

    fn export_links(&self, owner: CsId, attribute: AttrId, after: CsId, limit: usize) -> Read<Vec<ExportLinkRow>> {
        self.all(
            &format!("SELECT {EXPORT_LINK_COLUMNS} FROM export_link WHERE owner = ?1 AND attribute = ?2 AND target > ?3 ORDER BY target LIMIT ?4"),
            &[&owner.0, &attribute.0, &after.0, &(limit as i64)],
            row::export_link,
        )
    }

    fn export_links_by_key(&self, rows: &[(CsId, AttrId, CsId)]) -> Read<Vec<ExportLinkRow>> {
        let sql = format!("SELECT {EXPORT_LINK_COLUMNS} FROM export_link WHERE owner = ?1 AND attribute = ?2 AND target = ?3");
        let mut out = Vec::new();
        for (owner, attribute, target) in rows {
            out.extend(self.one(&sql, &[&owner.0, &attribute.0, &target.0], row::export_link)?);
        }
        Ok(out)
    }

    fn containers(&self, ids: &[ContainerId]) -> Read<Vec<ContainerRow>> {
        self.each("SELECT id, connector, parent, rdn FROM container WHERE id = ?1", sorted(ids).iter().map(|id| id.0), row::container)
    }

    fn container(&self, connector: ConnectorId, parent: Option<ContainerId>, normalised_rdn: &str) -> Read<Option<ContainerRow>> {
        let parent = parent.map_or(0, |id| id.0);
        self.one(
            "SELECT id, connector, parent, rdn FROM container WHERE connector = ?1 AND parent = ?2 AND normalised = ?3",
            &[&connector.0, &parent, &normalised_rdn],
            row::container,
        )
    }

    fn cs_in_container(&self, container: ContainerId, after: CsId, limit: usize) -> Read<Vec<CsId>> {
        self.all("SELECT id FROM cs_object WHERE container = ?1 AND id > ?2 ORDER BY id LIMIT ?3", &[&container.0, &after.0, &(limit as i64)], cs_id)
    }

    fn containers_in(&self, container: ContainerId) -> Read<Vec<ContainerRow>> {
        self.all("SELECT id, connector, parent, rdn FROM container WHERE parent = ?1 ORDER BY id", &[&container.0], row::container)
    }

    fn agenda(&self, pass: u8, connector: Option<ConnectorId>, now: Time, after: Option<AgendaRow>, limit: usize) -> Read<Vec<AgendaRow>> {
        let connectors: Vec<u32> = match (pass, connector) {
            (0, Some(connector)) => vec![connector.0],
            (0, None) => self.all("SELECT id FROM connector ORDER BY id", &[], |row| row.get(0))?,
            _ => vec![0],
        };
        let (a, b, c) = after.map_or((i64::MIN, i64::MIN, Vec::new()), |row| {
            let (_, a, b, c) = work_columns(row.work);
            (a, b, c)
        });
        let mut out = Vec::new();
        for connector in connectors {
            let rows = self.all(
                "SELECT a, b, c, not_before FROM agenda WHERE pass = ?1 AND connector = ?2 AND (a, b, c) > (?3, ?4, ?5) AND not_before <= ?6 ORDER BY a, b, c LIMIT ?7",
                &[&pass, &connector, &a, &b, &c, &now.ticks(), &(limit as i64)],
                |row| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?, row.get::<_, Vec<u8>>(2)?, row.get::<_, i64>(3)?)),
            )?;
            for (a, b, c, not_before) in rows {
                let work = work_from_columns(pass, a, b, &c).ok_or_else(|| ReadError(format!("agenda row ({pass}, {a}, {b}) is damaged")))?;
                out.push(AgendaRow { connector: ConnectorId(connector), work, not_before: Time::from_ticks(not_before) });
            }
        }
        Ok(agenda_page(out, limit))
    }

    fn errors_of(&self, ids: &[CsId]) -> Read<Vec<ErrorRow>> {
        // Nearly always there are none at all: one look saves one for each object.
        if self.one("SELECT 1 FROM object_error LIMIT 1", &[], |_| Ok(()))?.is_none() {
            return Ok(Vec::new());
        }
        self.each(&format!("SELECT {ERROR_COLUMNS} FROM object_error WHERE cs = ?1 ORDER BY place"), sorted(ids).iter().map(|id| id.0), row::error)
    }

    fn state(&self, connector: ConnectorId, name: &str) -> Read<Option<Vec<u8>>> {
        self.one("SELECT value FROM service_state WHERE connector = ?1 AND name = ?2", &[&connector.0, &name], |row| row.get(0))
    }
}
