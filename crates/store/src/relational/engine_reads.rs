//! The engine's reads: by key, many keys at a time. A library steps a prepared statement per key, a server gets all
//! keys at once.

use onesync_engine::{
    AgendaRow, ContainerRow, Counters, CsRow, ErrorRow, ExportLinkRow, ExportRow, JoinedIn, MvRow, Reader,
};
use onesync_model::{Anchor, AttrId, ConnectorId, ContainerId, CsId, Hash128, MvId, Time};

use super::row::{self, Cells};
use super::{Checked, Query, Read, SqlReader, Value, limit_of, values};
use crate::store::{agenda_page, work_columns};

/// Up to this many rows that are due, they are found by time and sorted; beyond, the agenda is walked in its order.
const AGENDA_FEW: i64 = 4_096;

fn sorted<T: Ord + Copy>(keys: &[T]) -> Vec<T> {
    let mut keys = keys.to_vec();
    keys.sort_unstable();
    keys.dedup();
    keys
}

impl<Q: Query> SqlReader<Q> {
    /// The rows of a query for each of some keys, in the order of the keys where these ascend.
    fn each<'v, const N: usize, T>(
        &self,
        sql: &'static str,
        table: &'static str,
        keys: impl Iterator<Item = [Value<'v>; N]>,
        one: impl FnMut(&Cells<'_>) -> Checked<T>,
    ) -> Read<Vec<T>> {
        Ok(self.0.each(sql, table, keys, one)?)
    }

    /// All rows of a query.
    pub(super) fn all<T>(
        &self,
        sql: &'static str,
        table: &'static str,
        values: &[Value<'_>],
        one: impl FnMut(&Cells<'_>) -> Checked<T>,
    ) -> Read<Vec<T>> {
        Ok(self.0.all(sql, table, values, one)?)
    }

    /// The one row of a query, if any.
    pub(super) fn one<T>(
        &self,
        sql: &'static str,
        table: &'static str,
        values: &[Value<'_>],
        one: impl FnMut(&Cells<'_>) -> Checked<T>,
    ) -> Read<Option<T>> {
        Ok(self.0.one(sql, table, values, one)?)
    }

    fn cs_sorted<'v, const N: usize>(
        &self,
        sql: &'static str,
        keys: impl Iterator<Item = [Value<'v>; N]>,
    ) -> Read<Vec<CsRow>> {
        let mut rows = self.each(sql, "cs_object", keys, row::cs)?;
        rows.sort_by_key(|row| row.id);
        Ok(rows)
    }

    /// The connectors under which a pass has work: few, one seek each.
    pub(super) fn agenda_connectors(&self, pass: u8) -> Read<Vec<u32>> {
        let mut out = Vec::new();
        let mut after = -1;
        while let Some(Some(connector)) =
            self.one(Q::AGENDA_CONNECTOR, "agenda", &values![pass, after], |cells| {
                cells.get::<Option<u32>>(0)
            })?
        {
            out.push(connector);
            after = i64::from(connector);
        }
        Ok(out)
    }
}

impl<Q: Query> Reader for SqlReader<Q> {
    fn counters(&self) -> Read<Counters> {
        let found = self.one(Q::COUNTERS, "counter", &[], |cells| {
            Ok(Counters { cs: cells.get(0)?, mv: cells.get(1)?, container: cells.get(2)? })
        })?;
        Ok(found.unwrap_or_default())
    }

    fn cs_by_id(&self, ids: &[CsId]) -> Read<Vec<CsRow>> {
        self.each(Q::CS_BY_ID, "cs_object", sorted(ids).iter().map(|id| values![id.0]), row::cs)
    }

    fn cs_by_key(&self, keys: &[Hash128]) -> Read<Vec<CsRow>> {
        self.cs_sorted(Q::CS_BY_KEY, sorted(keys).iter().map(|key| values![key]))
    }

    fn cs_by_name(&self, keys: &[Hash128]) -> Read<Vec<CsRow>> {
        self.cs_sorted(Q::CS_BY_NAME, sorted(keys).iter().map(|key| values![key]))
    }

    fn cs_of_mv(&self, mvs: &[MvId]) -> Read<Vec<CsRow>> {
        self.cs_sorted(Q::CS_OF_MV, sorted(mvs).iter().map(|mv| values![mv.0]))
    }

    fn joined_to(&self, mvs: &[MvId]) -> Read<Vec<(MvId, CsId)>> {
        self.each(Q::CS_JOINED_TO, "cs_joined", sorted(mvs).iter().map(|mv| values![mv.0]), |cells| {
            Ok((MvId(cells.get(0)?), CsId(cells.get(1)?)))
        })
    }

    fn joined_in(&self, connector: ConnectorId, mvs: &[MvId]) -> Read<Vec<JoinedIn>> {
        let keys = sorted(mvs);
        let keys = keys.iter().map(|mv| values![mv.0, connector.0]);
        self.each(Q::CS_JOINED_IN, "cs_joined", keys, |cells| {
            Ok(JoinedIn {
                mv: MvId(cells.get(0)?),
                cs: CsId(cells.get(1)?),
                key: cells.hash_or_null(2)?,
                name_key: cells.hash_or_null(3)?,
            })
        })
    }

    fn joins_of(&self, ids: &[CsId]) -> Read<Vec<(CsId, MvId)>> {
        self.each(Q::CS_JOIN_OF, "cs_joined", sorted(ids).iter().map(|id| values![id.0]), |cells| {
            Ok((CsId(cells.get(0)?), MvId(cells.get(1)?)))
        })
    }

    fn cs_by_join(&self, keys: &[i64]) -> Read<Vec<(i64, CsId)>> {
        self.each(Q::CS_BY_JOIN, "cs_join", sorted(keys).iter().map(|key| values![*key]), |cells| {
            Ok((cells.get(0)?, CsId(cells.get(1)?)))
        })
    }

    fn cs_page(&self, connector: ConnectorId, after: CsId, limit: usize) -> Read<Vec<CsRow>> {
        self.all(Q::CS_PAGE, "cs_object", &values![connector.0, after.0, limit_of(limit)], row::cs)
    }

    fn link_targets(&self, keys: &[Hash128]) -> Read<Vec<(Hash128, CsId, Option<MvId>)>> {
        let keys = sorted(keys);
        let mut out = Vec::with_capacity(keys.len());
        for sql in [Q::CS_TARGET_BY_KEY, Q::CS_TARGET_BY_NAME] {
            let keys = keys.iter().map(|key| values![key]);
            let mut found = self.each(sql, "cs_object", keys, |cells| {
                Ok((cells.hash(2)?, CsId(cells.get(0)?), cells.get::<Option<i64>>(1)?.map(MvId)))
            })?;
            // Several of one name are few, and come in no order.
            found.sort_unstable();
            out.append(&mut found);
        }
        out.sort_by_key(|(key, ..)| *key); // stable: those found by anchor first
        Ok(out)
    }

    fn name_key(&self, ids: &[CsId]) -> Read<Vec<(CsId, Hash128)>> {
        self.each(Q::CS_NAME_KEY, "cs_object", sorted(ids).iter().map(|id| values![id.0]), |cells| {
            Ok((CsId(cells.get(0)?), cells.hash(1)?))
        })
    }

    fn mv_by_id(&self, ids: &[MvId]) -> Read<Vec<MvRow>> {
        self.each(Q::MV_BY_ID, "mv_object", sorted(ids).iter().map(|id| values![id.0]), row::mv)
    }

    fn mv_by_join(&self, keys: &[i64]) -> Read<Vec<(i64, MvId)>> {
        self.each(Q::MV_BY_JOIN, "mv_join", sorted(keys).iter().map(|key| values![*key]), |cells| {
            Ok((cells.get(0)?, MvId(cells.get(1)?)))
        })
    }

    fn mv_page(&self, after: MvId, limit: usize) -> Read<Vec<MvRow>> {
        self.all(Q::MV_PAGE, "mv_object", &values![after.0, limit_of(limit)], row::mv)
    }

    fn links(
        &self,
        owner: CsId,
        attribute: AttrId,
        after: Option<Hash128>,
        limit: usize,
    ) -> Read<Vec<Hash128>> {
        let after = after.as_ref().map_or(&[][..], |key| &key.0[..]);
        let values = values![owner.0, attribute.0, after, limit_of(limit)];
        self.all(Q::LINKS, "cs_link", &values, |cells| cells.hash(0))
    }

    fn links_of(&self, of: &[(CsId, AttrId)], limit: usize) -> Read<Vec<(CsId, AttrId, Hash128)>> {
        let keys = of.iter().map(|(owner, attribute)| values![owner.0, attribute.0, limit_of(limit)]);
        let mut rows = self.each(Q::LINKS_OF, "cs_link", keys, |cells| {
            Ok((CsId(cells.get(0)?), AttrId(cells.get(1)?), cells.hash(2)?))
        })?;
        rows.sort_unstable();
        Ok(rows)
    }

    fn has_links(&self, rows: &[(CsId, AttrId, Hash128)]) -> Read<Vec<bool>> {
        Ok(self.0.exist(Q::LINK_HAS, rows.iter().map(|row| values![row.0.0, row.1.0, &row.2]))?)
    }

    fn referrers(
        &self,
        key: Hash128,
        after: Option<(CsId, AttrId)>,
        limit: usize,
    ) -> Read<Vec<(CsId, AttrId)>> {
        let (owner, attribute) = after.map_or((i64::MIN, 0), |row| (row.0.0, row.1.0));
        let values = values![&key, owner, attribute, limit_of(limit)];
        self.all(Q::LINK_REFERRERS, "cs_link", &values, |cells| {
            Ok((CsId(cells.get(0)?), AttrId(cells.get(1)?)))
        })
    }

    fn mv_links(&self, owner: MvId, attribute: AttrId, after: MvId, limit: usize) -> Read<Vec<MvId>> {
        let values = values![owner.0, attribute.0, after.0, limit_of(limit)];
        self.all(Q::MV_LINKS, "mv_link", &values, row::id(MvId))
    }

    fn mv_links_of(&self, of: &[(MvId, AttrId)], limit: usize) -> Read<Vec<(MvId, AttrId, MvId)>> {
        let keys = of.iter().map(|(owner, attribute)| values![owner.0, attribute.0, limit_of(limit)]);
        let mut rows = self.each(Q::MV_LINKS_OF, "mv_link", keys, |cells| {
            Ok((MvId(cells.get(0)?), AttrId(cells.get(1)?), MvId(cells.get(2)?)))
        })?;
        rows.sort_unstable();
        Ok(rows)
    }

    fn mv_link_count(&self, owner: MvId, attribute: AttrId) -> Read<u64> {
        let found =
            self.one(Q::MV_LINK_COUNT, "mv_link", &values![owner.0, attribute.0], |cells| cells.count(0))?;
        Ok(found.unwrap_or(0))
    }

    fn has_mv_links(&self, rows: &[(MvId, AttrId, MvId)]) -> Read<Vec<bool>> {
        Ok(self.0.exist(Q::MV_LINK_HAS, rows.iter().map(|row| values![row.0.0, row.1.0, row.2.0]))?)
    }

    fn mv_referrers(
        &self,
        target: MvId,
        after: Option<(MvId, AttrId)>,
        limit: usize,
    ) -> Read<Vec<(MvId, AttrId)>> {
        let (owner, attribute) = after.map_or((i64::MIN, 0), |row| (row.0.0, row.1.0));
        let values = values![target.0, owner, attribute, limit_of(limit)];
        self.all(Q::MV_LINK_REFERRERS, "mv_link", &values, |cells| {
            Ok((MvId(cells.get(0)?), AttrId(cells.get(1)?)))
        })
    }

    fn exports(&self, ids: &[CsId]) -> Read<Vec<ExportRow>> {
        self.each(Q::EXPORT_BY_ID, "export_object", sorted(ids).iter().map(|id| values![id.0]), row::export)
    }

    fn export_links(
        &self,
        owner: CsId,
        attribute: AttrId,
        after: CsId,
        limit: usize,
    ) -> Read<Vec<ExportLinkRow>> {
        let values = values![owner.0, attribute.0, after.0, limit_of(limit)];
        self.all(Q::EXPORT_LINKS, "export_link", &values, row::export_link)
    }

    fn export_links_of(&self, of: &[(CsId, AttrId)], limit: usize) -> Read<Vec<ExportLinkRow>> {
        let keys = of.iter().map(|(owner, attribute)| values![owner.0, attribute.0, limit_of(limit)]);
        let mut rows = self.each(Q::EXPORT_LINKS_OF, "export_link", keys, row::export_link)?;
        rows.sort_unstable_by_key(|row| (row.owner, row.attribute, row.target));
        Ok(rows)
    }

    fn export_removals_to(
        &self,
        target: CsId,
        after: Option<(CsId, AttrId)>,
        limit: usize,
    ) -> Read<Vec<(CsId, AttrId)>> {
        let (owner, attribute) = after.map_or((i64::MIN, 0), |row| (row.0.0, row.1.0));
        let values = values![target.0, owner, attribute, limit_of(limit)];
        self.all(Q::EXPORT_REMOVALS_TO, "export_link", &values, |cells| {
            Ok((CsId(cells.get(0)?), AttrId(cells.get(1)?)))
        })
    }

    fn export_links_by_key(&self, rows: &[(CsId, AttrId, CsId)]) -> Read<Vec<ExportLinkRow>> {
        let keys = rows.iter().map(|row| values![row.0.0, row.1.0, row.2.0]);
        self.each(Q::EXPORT_LINK_BY_KEY, "export_link", keys, row::export_link)
    }

    fn containers(&self, ids: &[ContainerId]) -> Read<Vec<ContainerRow>> {
        self.each(Q::CONTAINER_BY_ID, "container", sorted(ids).iter().map(|id| values![id.0]), row::container)
    }

    fn container(
        &self,
        connector: ConnectorId,
        parent: Option<ContainerId>,
        normalised_rdn: &str,
    ) -> Read<Option<ContainerRow>> {
        let parent = parent.map_or(0, |id| id.0);
        let values = values![connector.0, parent, normalised_rdn];
        self.one(Q::CONTAINER_BY_NAME, "container", &values, row::container)
    }

    fn cs_in_container(&self, container: ContainerId, after: CsId, limit: usize) -> Read<Vec<CsId>> {
        let values = values![container.0, after.0, limit_of(limit)];
        self.all(Q::CS_IN_CONTAINER, "cs_object", &values, row::id(CsId))
    }

    fn containers_in(
        &self,
        container: ContainerId,
        after: ContainerId,
        limit: usize,
    ) -> Read<Vec<ContainerRow>> {
        let values = values![container.0, after.0, limit_of(limit)];
        self.all(Q::CONTAINERS_IN, "container", &values, row::container)
    }

    fn containers_by_anchor(&self, connector: ConnectorId, anchors: &[&Anchor]) -> Read<Vec<ContainerRow>> {
        let keys = anchors.iter().map(|anchor| values![connector.0, *anchor]);
        let mut rows = self.each(Q::CONTAINER_BY_ANCHOR, "container", keys, row::container)?;
        rows.sort_by_key(|row| row.id);
        Ok(rows)
    }

    fn agenda(
        &self,
        pass: u8,
        connector: Option<ConnectorId>,
        now: Time,
        after: Option<AgendaRow>,
        limit: usize,
    ) -> Read<Vec<AgendaRow>> {
        let connectors = match connector {
            Some(connector) if pass == 0 => vec![connector.0],
            _ => self.agenda_connectors(pass)?,
        };
        let (a, b, c) = after.map_or((i64::MIN, i64::MIN, Vec::new()), |row| {
            let (_, a, b, c) = work_columns(row.work);
            (a, b, c)
        });
        let now = now.ticks();
        let mut out = Vec::new();
        for connector in connectors {
            let key = values![pass, connector, now, AGENDA_FEW];
            let due = self.one(Q::AGENDA_FEW, "agenda", &key, |cells| cells.get::<i64>(0))?.unwrap_or(0);
            let sql = match due {
                0 => continue,
                AGENDA_FEW => Q::AGENDA_BY_WORK,
                _ => Q::AGENDA_BY_TIME,
            };
            let values = values![pass, connector, now, a, b, &c, limit_of(limit)];
            out.extend(self.all(sql, "agenda", &values, |cells| row::agenda(cells, pass, connector))?);
        }
        Ok(agenda_page(out, limit))
    }

    fn errors_of(&self, ids: &[CsId]) -> Read<Vec<ErrorRow>> {
        // Nearly always there are none at all: one look saves one for each object.
        if self.one(Q::ERROR_ANY, "object_error", &[], |_| Ok(()))?.is_none() {
            return Ok(Vec::new());
        }
        self.each(Q::ERRORS_OF, "object_error", sorted(ids).iter().map(|id| values![id.0]), row::error)
    }

    fn state(&self, connector: ConnectorId, name: &str) -> Read<Option<Vec<u8>>> {
        self.one(Q::STATE, "service_state", &values![connector.0, name], |cells| cells.get(0))
    }
}
