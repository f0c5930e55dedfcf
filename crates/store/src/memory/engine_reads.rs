//! The engine's reads.

use std::collections::BTreeSet;
use std::ops::Bound::{Excluded, Unbounded};

use onesync_engine::{
    AgendaRow, ContainerRow, Counters, CsRow, ErrorRow, ExportLinkRow, ExportRow, JoinedIn, MvRow, ReadError,
    Reader,
};
use onesync_model::{Anchor, AttrId, ConnectorId, ContainerId, CsId, Hash128, MvId, Time};

use super::MemoryReader;

type Read<T> = Result<T, ReadError>;

fn unique<T: Ord + Copy>(keys: &[T]) -> BTreeSet<T> {
    keys.iter().copied().collect()
}

const FIRST_KEY: Hash128 = Hash128([0; 16]);
const FIRST_ATTRIBUTE: AttrId = AttrId(0);
const FIRST_CS: CsId = CsId(i64::MIN);
const FIRST_MV: MvId = MvId(i64::MIN);

impl MemoryReader {
    fn rows(&self, ids: impl IntoIterator<Item = CsId>) -> Vec<CsRow> {
        let ids: BTreeSet<CsId> = ids.into_iter().collect();
        ids.iter().filter_map(|id| self.0.cs.get(id)).map(|row| CsRow::clone(row)).collect()
    }
}

impl Reader for MemoryReader {
    fn counters(&self) -> Read<Counters> {
        Ok(self.0.counters)
    }

    fn cs_by_id(&self, ids: &[CsId]) -> Read<Vec<CsRow>> {
        Ok(self.rows(ids.iter().copied()))
    }

    fn cs_by_key(&self, keys: &[Hash128]) -> Read<Vec<CsRow>> {
        Ok(self.rows(keys.iter().filter_map(|key| self.0.by_key.get(key).copied())))
    }

    fn cs_by_name(&self, keys: &[Hash128]) -> Read<Vec<CsRow>> {
        let keys = unique(keys);
        Ok(self.rows(self.0.by_name.iter().filter(|(key, _)| keys.contains(key)).map(|(_, id)| *id)))
    }

    fn cs_of_mv(&self, mvs: &[MvId]) -> Read<Vec<CsRow>> {
        let of = |mv: MvId| self.0.by_mv.range((mv, FIRST_CS)..).take_while(move |row| row.0 == mv);
        Ok(self.rows(mvs.iter().flat_map(|mv| of(*mv)).map(|(_, id)| *id)))
    }

    fn joined_in(&self, connector: ConnectorId, mvs: &[MvId]) -> Read<Vec<JoinedIn>> {
        let mut out = Vec::new();
        for mv in unique(mvs) {
            for row in self.cs_of_mv(&[mv])?.into_iter().filter(|row| row.connector == connector) {
                let name_key = self.0.name_keys.get(&row.id).copied();
                out.push(JoinedIn { mv, cs: row.id, key: row.key(), name_key });
            }
        }
        Ok(out)
    }

    fn joins_of(&self, ids: &[CsId]) -> Read<Vec<(CsId, MvId)>> {
        let rows = self.cs_by_id(ids)?;
        Ok(rows.into_iter().filter_map(|row| Some((row.id, row.join?.mv))).collect())
    }

    fn cs_by_join(&self, keys: &[i64]) -> Read<Vec<(i64, CsId)>> {
        let keys = unique(keys);
        Ok(self.0.cs_join.iter().filter(|(key, _)| keys.contains(key)).copied().collect())
    }

    fn cs_page(&self, connector: ConnectorId, after: CsId, limit: usize) -> Read<Vec<CsRow>> {
        let above = self.0.cs.range((Excluded(after), Unbounded)).map(|(_, row)| row);
        Ok(above.filter(|row| row.connector == connector).take(limit).map(|row| CsRow::clone(row)).collect())
    }

    fn link_targets(&self, keys: &[Hash128]) -> Read<Vec<(Hash128, CsId, Option<MvId>)>> {
        let mut out = Vec::new();
        for key in unique(keys) {
            let by_name = self.0.by_name.range((key, FIRST_CS)..).take_while(|row| row.0 == key);
            let ids: Vec<CsId> =
                self.0.by_key.get(&key).copied().into_iter().chain(by_name.map(|(_, id)| *id)).collect();
            for id in ids {
                out.push((key, id, self.0.cs.get(&id).and_then(|row| row.join).map(|join| join.mv)));
            }
        }
        Ok(out)
    }

    fn name_key(&self, ids: &[CsId]) -> Read<Vec<(CsId, Hash128)>> {
        Ok(unique(ids).into_iter().filter_map(|id| Some((id, *self.0.name_keys.get(&id)?))).collect())
    }

    fn mv_by_id(&self, ids: &[MvId]) -> Read<Vec<MvRow>> {
        Ok(unique(ids).iter().filter_map(|id| self.0.mv.get(id)).map(|row| MvRow::clone(row)).collect())
    }

    fn mv_by_join(&self, keys: &[i64]) -> Read<Vec<(i64, MvId)>> {
        let keys = unique(keys);
        Ok(self.0.mv_join.iter().filter(|(key, _)| keys.contains(key)).copied().collect())
    }

    fn mv_page(&self, after: MvId, limit: usize) -> Read<Vec<MvRow>> {
        let above = self.0.mv.range((Excluded(after), Unbounded));
        Ok(above.take(limit).map(|(_, row)| MvRow::clone(row)).collect())
    }

    fn links(
        &self,
        owner: CsId,
        attribute: AttrId,
        after: Option<Hash128>,
        limit: usize,
    ) -> Read<Vec<Hash128>> {
        let of = self.0.links.range((owner, attribute, after.unwrap_or(FIRST_KEY))..);
        let of = of.take_while(|row| (row.0, row.1) == (owner, attribute)).map(|row| row.2);
        Ok(of.filter(|key| after.is_none_or(|after| *key > after)).take(limit).collect())
    }

    fn has_links(&self, rows: &[(CsId, AttrId, Hash128)]) -> Read<Vec<bool>> {
        Ok(rows.iter().map(|row| self.0.links.contains(row)).collect())
    }

    fn referrers(
        &self,
        key: Hash128,
        after: Option<(CsId, AttrId)>,
        limit: usize,
    ) -> Read<Vec<(CsId, AttrId)>> {
        let of = self.0.links_back.range((key, FIRST_CS, FIRST_ATTRIBUTE)..);
        let of = of.take_while(|row| row.0 == key).map(|row| (row.1, row.2));
        Ok(of.filter(|row| after.is_none_or(|after| *row > after)).take(limit).collect())
    }

    fn mv_links(&self, owner: MvId, attribute: AttrId, after: MvId, limit: usize) -> Read<Vec<MvId>> {
        let of = self.0.mv_links.range((Excluded((owner, attribute, after)), Unbounded));
        let of = of.take_while(|row| (row.0, row.1) == (owner, attribute));
        Ok(of.map(|row| row.2).take(limit).collect())
    }

    fn mv_link_count(&self, owner: MvId, attribute: AttrId) -> Read<u64> {
        let of = self.0.mv_links.range((owner, attribute, FIRST_MV)..);
        Ok(of.take_while(|row| (row.0, row.1) == (owner, attribute)).count() as u64)
    }

    fn has_mv_links(&self, rows: &[(MvId, AttrId, MvId)]) -> Read<Vec<bool>> {
        Ok(rows.iter().map(|row| self.0.mv_links.contains(row)).collect())
    }

    fn mv_referrers(
        &self,
        target: MvId,
        after: Option<(MvId, AttrId)>,
        limit: usize,
    ) -> Read<Vec<(MvId, AttrId)>> {
        let of = self.0.mv_links_back.range((target, FIRST_MV, FIRST_ATTRIBUTE)..);
        let of = of.take_while(|row| row.0 == target).map(|row| (row.1, row.2));
        Ok(of.filter(|row| after.is_none_or(|after| *row > after)).take(limit).collect())
    }

    fn exports(&self, ids: &[CsId]) -> Read<Vec<ExportRow>> {
        let rows =
            unique(ids).into_iter().filter_map(|id| self.0.exports.get(&id).map(|row| (**row).clone()));
        Ok(rows.collect())
    }

    fn export_links(
        &self,
        owner: CsId,
        attribute: AttrId,
        after: CsId,
        limit: usize,
    ) -> Read<Vec<ExportLinkRow>> {
        let of = self.0.export_links.range((Excluded((owner, attribute, after)), Unbounded));
        let of = of.take_while(|(key, _)| (key.0, key.1) == (owner, attribute));
        Ok(of.map(|(_, row)| row.clone()).take(limit).collect())
    }

    fn export_removals_to(
        &self,
        target: CsId,
        after: Option<(CsId, AttrId)>,
        limit: usize,
    ) -> Read<Vec<(CsId, AttrId)>> {
        let to = self.0.export_links.values().filter(|row| row.target == target && !row.add);
        let to = to.map(|row| (row.owner, row.attribute));
        Ok(to.filter(|row| after.is_none_or(|after| *row > after)).take(limit).collect())
    }

    fn export_links_by_key(&self, rows: &[(CsId, AttrId, CsId)]) -> Read<Vec<ExportLinkRow>> {
        Ok(rows.iter().filter_map(|key| self.0.export_links.get(key)).cloned().collect())
    }

    fn containers(&self, ids: &[ContainerId]) -> Read<Vec<ContainerRow>> {
        Ok(unique(ids).iter().filter_map(|id| self.0.containers.get(id)).cloned().collect())
    }

    fn container(
        &self,
        connector: ConnectorId,
        parent: Option<ContainerId>,
        normalised_rdn: &str,
    ) -> Read<Option<ContainerRow>> {
        let found =
            self.0.containers.values().find(|row| {
                row.connector == connector && row.parent == parent && row.key() == normalised_rdn
            });
        Ok(found.cloned())
    }

    fn cs_in_container(&self, container: ContainerId, after: CsId, limit: usize) -> Read<Vec<CsId>> {
        let above = self.0.cs.range((Excluded(after), Unbounded));
        let inside = above.filter(|(_, row)| row.container == Some(container));
        Ok(inside.map(|(id, _)| *id).take(limit).collect())
    }

    fn containers_in(
        &self,
        container: ContainerId,
        after: ContainerId,
        limit: usize,
    ) -> Read<Vec<ContainerRow>> {
        let above = self.0.containers.range((Excluded(after), Unbounded)).map(|(_, row)| row);
        Ok(above.filter(|row| row.parent == Some(container)).take(limit).cloned().collect())
    }

    fn containers_by_anchor(&self, connector: ConnectorId, anchors: &[&Anchor]) -> Read<Vec<ContainerRow>> {
        let wanted = |row: &&ContainerRow| {
            row.connector == connector && row.anchor.as_ref().is_some_and(|anchor| anchors.contains(&anchor))
        };
        Ok(self.0.containers.values().filter(wanted).cloned().collect())
    }

    fn agenda(
        &self,
        pass: u8,
        connector: Option<ConnectorId>,
        now: Time,
        after: Option<AgendaRow>,
        limit: usize,
    ) -> Read<Vec<AgendaRow>> {
        let wanted = |row: &&AgendaRow| {
            row.work.pass() == pass
                && row.not_before <= now
                && (pass != 0 || connector.is_none_or(|connector| row.connector == connector))
                && after.is_none_or(|after| row.work > after.work)
        };
        Ok(self.0.agenda.values().filter(wanted).take(limit).copied().collect())
    }

    fn errors_of(&self, ids: &[CsId]) -> Read<Vec<ErrorRow>> {
        let ids = unique(ids);
        let of = self.0.errors.iter().filter(|((cs, _), _)| ids.contains(cs));
        Ok(of.map(|(_, row)| (**row).clone()).collect())
    }

    fn state(&self, connector: ConnectorId, name: &str) -> Read<Option<Vec<u8>>> {
        Ok(self.0.states.get(&(connector, name.to_owned())).map(|value| value.to_vec()))
    }
}
