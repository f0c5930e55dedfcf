//! Changes laid over a reader without writing them: what a preview sees is what a sync would see after it wrote.
//!
//! For few changes: pages are read from below and put together with what lies over them. The agenda is not covered:
//! whoever lays changes over one takes their agenda and works it off.

use std::collections::{BTreeMap, BTreeSet};

use onesync_model::{Anchor, AttrId, ConnectorId, ContainerId, CsId, Hash128, MvId, Time};

use crate::batch::{Batch, Context};
use crate::changes::{Changes, Counters};
use crate::reader::{JoinedIn, ReadError, Reader};
use crate::state::{AgendaRow, ContainerRow, CsRow, ErrorRow, ExportLinkRow, ExportRow, MvRow};

type Read<T> = Result<T, ReadError>;

/// An object as it might be: its row with its join keys, to be laid over a state. One without a number is a new one.
/// Gives its number, too.
///
/// # Errors
/// When the reader fails.
pub fn suppose(ctx: &Context<'_>, reader: &dyn Reader, row: CsRow) -> Result<(CsId, Changes), ReadError> {
    let mut batch = Batch::new(reader, ctx.run)?;
    let id = if row.id == CsId::default() { batch.new_cs_id() } else { row.id };
    batch.load_cs([id])?;
    batch.put_cs(CsRow { id, ..row });
    Ok((id, batch.finish(ctx)))
}

/// A reader with changes over it.
pub struct Overlay<'r> {
    base: &'r dyn Reader,
    cs: BTreeMap<CsId, Option<CsRow>>,
    mv: BTreeMap<MvId, Option<MvRow>>,
    exports: BTreeMap<CsId, Option<ExportRow>>,
    cs_keys: BTreeMap<(i64, CsId), bool>,
    mv_keys: BTreeMap<(i64, MvId), bool>,
    mv_links: BTreeMap<(MvId, AttrId, MvId), bool>,
    export_links: BTreeMap<(CsId, AttrId, CsId), Option<ExportLinkRow>>,
    errors: BTreeMap<(CsId, String), Option<ErrorRow>>,
    counters: Option<Counters>,
}

impl<'r> Overlay<'r> {
    /// Nothing over a reader.
    #[must_use]
    pub fn new(base: &'r dyn Reader) -> Self {
        Self {
            base,
            cs: BTreeMap::new(),
            mv: BTreeMap::new(),
            exports: BTreeMap::new(),
            cs_keys: BTreeMap::new(),
            mv_keys: BTreeMap::new(),
            mv_links: BTreeMap::new(),
            export_links: BTreeMap::new(),
            errors: BTreeMap::new(),
            counters: None,
        }
    }

    /// Lays the changes of a sync batch over what is there.
    pub fn apply(&mut self, changes: &Changes) {
        for &id in &changes.cs_deleted {
            self.cs.insert(id, None);
            self.exports.insert(id, None);
        }
        self.cs.extend(changes.cs.iter().map(|row| (row.id, Some(row.clone()))));
        self.mv.extend(changes.mv_deleted.iter().map(|&id| (id, None)));
        self.mv.extend(changes.mv.iter().map(|row| (row.id, Some(row.clone()))));
        self.exports.extend(changes.exports_deleted.iter().map(|&id| (id, None)));
        self.exports.extend(changes.exports.iter().map(|row| (row.cs, Some(row.clone()))));
        self.cs_keys.extend(changes.cs_keys_removed.iter().map(|&key| (key, false)));
        self.cs_keys.extend(changes.cs_keys_added.iter().map(|&key| (key, true)));
        self.mv_keys.extend(changes.mv_keys_removed.iter().map(|&key| (key, false)));
        self.mv_keys.extend(changes.mv_keys_added.iter().map(|&key| (key, true)));
        self.mv_links.extend(changes.mv_links_removed.iter().map(|&link| (link, false)));
        self.mv_links.extend(changes.mv_links_added.iter().map(|&link| (link, true)));
        self.export_links.extend(changes.export_links_deleted.iter().map(|&key| (key, None)));
        let links = changes.export_links.iter();
        self.export_links
            .extend(links.map(|row| ((row.owner, row.attribute, row.target), Some(row.clone()))));
        self.errors.extend(changes.errors_healed.iter().map(|key| (key.clone(), None)));
        let errors = changes.errors.iter();
        self.errors.extend(errors.map(|row| ((row.cs, row.place.clone()), Some(row.clone()))));
        self.counters = changes.counters.or(self.counters);
    }

    /// What was decided about link values that are owed.
    pub fn export_links_changed(
        &self,
    ) -> impl Iterator<Item = (&(CsId, AttrId, CsId), Option<&ExportLinkRow>)> {
        self.export_links.iter().map(|(key, row)| (key, row.as_ref()))
    }

    /// What became of rows that come from below, ascending.
    fn cs_over(
        &self,
        rows: Vec<CsRow>,
        more: impl IntoIterator<Item = CsId>,
        keep: impl Fn(&CsRow) -> bool,
    ) -> Vec<CsRow> {
        let mut all: BTreeMap<CsId, CsRow> = rows.into_iter().map(|row| (row.id, row)).collect();
        for id in more {
            if let Some(Some(row)) = self.cs.get(&id) {
                all.insert(id, row.clone());
            }
        }
        let now = |row: CsRow| match self.cs.get(&row.id) {
            Some(over) => over.clone(),
            None => Some(row),
        };
        all.into_values().filter_map(now).filter(keep).collect()
    }

    fn anywhere(&self) -> Vec<CsId> {
        self.cs.keys().copied().collect()
    }
}

/// A page of keys put together with what lies over it: `over` says of keys above `after` whether they are there.
fn page<K: Ord + Copy>(
    after: Option<K>,
    limit: usize,
    over: &BTreeMap<K, bool>,
    below: impl Fn(Option<K>) -> Read<Vec<K>>,
) -> Read<Vec<K>> {
    let mut out = BTreeSet::new();
    let mut from = after;
    loop {
        let rows = below(from)?;
        let end = rows.last().copied().filter(|_| rows.len() >= limit);
        let reaches = |key: &K| end.is_none_or(|end| *key <= end);
        out.extend(rows.iter().copied().filter(|key| over.get(key) != Some(&false)));
        let added = over.iter().filter(|(key, there)| **there && from.is_none_or(|from| **key > from));
        out.extend(added.map(|(key, _)| *key).filter(reaches));
        if end.is_none() || out.len() >= limit {
            return Ok(out.into_iter().take(limit).collect());
        }
        from = end;
    }
}

impl Reader for Overlay<'_> {
    fn counters(&self) -> Read<Counters> {
        self.counters.map_or_else(|| self.base.counters(), Ok)
    }

    fn cs_by_id(&self, ids: &[CsId]) -> Read<Vec<CsRow>> {
        Ok(self.cs_over(self.base.cs_by_id(ids)?, ids.iter().copied(), |_| true))
    }

    fn cs_by_key(&self, keys: &[Hash128]) -> Read<Vec<CsRow>> {
        let keep = |row: &CsRow| row.key().is_some_and(|key| keys.contains(&key));
        Ok(self.cs_over(self.base.cs_by_key(keys)?, self.anywhere(), keep))
    }

    fn cs_by_name(&self, keys: &[Hash128]) -> Read<Vec<CsRow>> {
        Ok(self.cs_over(self.base.cs_by_name(keys)?, [], |_| true))
    }

    fn cs_of_mv(&self, mvs: &[MvId]) -> Read<Vec<CsRow>> {
        let keep = |row: &CsRow| row.join.is_some_and(|join| mvs.contains(&join.mv));
        Ok(self.cs_over(self.base.cs_of_mv(mvs)?, self.anywhere(), keep))
    }

    fn joined_in(&self, connector: ConnectorId, mvs: &[MvId]) -> Read<Vec<JoinedIn>> {
        let mut out = self.base.joined_in(connector, mvs)?;
        out.retain(|joined| !self.cs.contains_key(&joined.cs));
        let over = self.cs.values().flatten().filter(|row| row.connector == connector);
        for (row, mv) in over.filter_map(|row| Some((row, row.join?.mv))) {
            if mvs.contains(&mv) {
                let name_key = self.base.name_key(&[row.id])?.into_iter().map(|(_, key)| key).next();
                out.push(JoinedIn { mv, cs: row.id, key: row.key(), name_key });
            }
        }
        out.sort_by_key(|joined| (joined.mv, joined.cs));
        Ok(out)
    }

    fn joins_of(&self, ids: &[CsId]) -> Read<Vec<(CsId, MvId)>> {
        let mut out = self.base.joins_of(ids)?;
        out.retain(|(id, _)| !self.cs.contains_key(id));
        let over = self.cs.values().flatten().filter(|row| ids.contains(&row.id));
        out.extend(over.filter_map(|row| Some((row.id, row.join?.mv))));
        out.sort_unstable();
        Ok(out)
    }

    fn cs_by_join(&self, keys: &[i64]) -> Read<Vec<(i64, CsId)>> {
        let mut out: BTreeSet<(i64, CsId)> = self.base.cs_by_join(keys)?.into_iter().collect();
        for (key, there) in self.cs_keys.iter().filter(|((key, _), _)| keys.contains(key)) {
            if *there {
                out.insert(*key)
            } else {
                out.remove(key)
            };
        }
        out.retain(|(_, id)| self.cs.get(id) != Some(&None));
        Ok(out.into_iter().collect())
    }

    fn cs_page(&self, connector: ConnectorId, after: CsId, limit: usize) -> Read<Vec<CsRow>> {
        let over =
            self.cs.iter().map(|(&id, row)| (id, row.as_ref().is_some_and(|r| r.connector == connector)));
        let ids = page(Some(after), limit, &over.collect(), |from| {
            let rows = self.base.cs_page(connector, from.unwrap_or(after), limit)?;
            Ok(rows.iter().map(|row| row.id).collect())
        })?;
        self.cs_by_id(&ids)
    }

    fn link_targets(&self, keys: &[Hash128]) -> Read<Vec<(Hash128, CsId, Option<MvId>)>> {
        let mut out = self.base.link_targets(keys)?;
        for (_, id, mv) in &mut out {
            if let Some(over) = self.cs.get(id) {
                *mv = over.as_ref().and_then(|row| row.join).map(|join| join.mv);
            }
        }
        out.retain(|(_, id, _)| self.cs.get(id) != Some(&None));
        for row in self.cs.values().flatten() {
            if let Some(key) = row.key().filter(|key| keys.contains(key))
                && !out.iter().any(|(known, id, _)| (*known, *id) == (key, row.id))
            {
                out.push((key, row.id, row.join.map(|join| join.mv)));
            }
        }
        Ok(out)
    }

    fn name_key(&self, ids: &[CsId]) -> Read<Vec<(CsId, Hash128)>> {
        self.base.name_key(ids)
    }

    fn mv_by_id(&self, ids: &[MvId]) -> Read<Vec<MvRow>> {
        let mut all: BTreeMap<MvId, MvRow> =
            self.base.mv_by_id(ids)?.into_iter().map(|row| (row.id, row)).collect();
        for id in ids {
            match self.mv.get(id) {
                Some(Some(row)) => _ = all.insert(*id, row.clone()),
                Some(None) => _ = all.remove(id),
                None => {}
            }
        }
        Ok(all.into_values().collect())
    }

    fn mv_by_join(&self, keys: &[i64]) -> Read<Vec<(i64, MvId)>> {
        let mut out: BTreeSet<(i64, MvId)> = self.base.mv_by_join(keys)?.into_iter().collect();
        for (key, there) in self.mv_keys.iter().filter(|((key, _), _)| keys.contains(key)) {
            if *there {
                out.insert(*key)
            } else {
                out.remove(key)
            };
        }
        out.retain(|(_, id)| self.mv.get(id) != Some(&None));
        Ok(out.into_iter().collect())
    }

    fn mv_page(&self, after: MvId, limit: usize) -> Read<Vec<MvRow>> {
        let over = self.mv.iter().map(|(&id, row)| (id, row.is_some())).collect();
        let ids = page(Some(after), limit, &over, |from| {
            let rows = self.base.mv_page(from.unwrap_or(after), limit)?;
            Ok(rows.iter().map(|row| row.id).collect())
        })?;
        self.mv_by_id(&ids)
    }

    fn links(
        &self,
        owner: CsId,
        attribute: AttrId,
        after: Option<Hash128>,
        limit: usize,
    ) -> Read<Vec<Hash128>> {
        self.base.links(owner, attribute, after, limit)
    }

    fn has_links(&self, rows: &[(CsId, AttrId, Hash128)]) -> Read<Vec<bool>> {
        self.base.has_links(rows)
    }

    fn referrers(
        &self,
        key: Hash128,
        after: Option<(CsId, AttrId)>,
        limit: usize,
    ) -> Read<Vec<(CsId, AttrId)>> {
        self.base.referrers(key, after, limit)
    }

    fn mv_links(&self, owner: MvId, attribute: AttrId, after: MvId, limit: usize) -> Read<Vec<MvId>> {
        let of = self.mv_links.iter().filter(|((of, by, _), _)| (*of, *by) == (owner, attribute));
        let over = of.map(|((_, _, target), &there)| (*target, there)).collect();
        page(Some(after), limit, &over, |from| {
            self.base.mv_links(owner, attribute, from.unwrap_or(after), limit)
        })
    }

    fn mv_link_count(&self, owner: MvId, attribute: AttrId) -> Read<u64> {
        let rows: Vec<_> =
            self.mv_links.keys().filter(|(of, by, _)| (*of, *by) == (owner, attribute)).copied().collect();
        let mut count = self.base.mv_link_count(owner, attribute)?;
        for (row, was) in rows.iter().zip(self.base.has_mv_links(&rows)?) {
            match (was, self.mv_links.get(row)) {
                (false, Some(true)) => count += 1,
                (true, Some(false)) => count = count.saturating_sub(1),
                _ => {}
            }
        }
        Ok(count)
    }

    fn has_mv_links(&self, rows: &[(MvId, AttrId, MvId)]) -> Read<Vec<bool>> {
        let below = self.base.has_mv_links(rows)?;
        Ok(rows.iter().zip(below).map(|(row, was)| self.mv_links.get(row).copied().unwrap_or(was)).collect())
    }

    fn mv_referrers(
        &self,
        target: MvId,
        after: Option<(MvId, AttrId)>,
        limit: usize,
    ) -> Read<Vec<(MvId, AttrId)>> {
        let of = self.mv_links.iter().filter(|((_, _, to), _)| *to == target);
        let over = of.map(|((owner, attribute, _), &there)| ((*owner, *attribute), there)).collect();
        page(after, limit, &over, |from| self.base.mv_referrers(target, from, limit))
    }

    fn exports(&self, ids: &[CsId]) -> Read<Vec<ExportRow>> {
        let mut all: BTreeMap<CsId, ExportRow> =
            self.base.exports(ids)?.into_iter().map(|row| (row.cs, row)).collect();
        for id in ids {
            match self.exports.get(id) {
                Some(Some(row)) => _ = all.insert(*id, row.clone()),
                Some(None) => _ = all.remove(id),
                None => {}
            }
        }
        Ok(all.into_values().collect())
    }

    fn export_links(
        &self,
        owner: CsId,
        attribute: AttrId,
        after: CsId,
        limit: usize,
    ) -> Read<Vec<ExportLinkRow>> {
        let of = self.export_links.iter().filter(|((of, by, _), _)| (*of, *by) == (owner, attribute));
        let over = of.map(|((_, _, target), row)| (*target, row.is_some())).collect();
        let targets = page(Some(after), limit, &over, |from| {
            let rows = self.base.export_links(owner, attribute, from.unwrap_or(after), limit)?;
            Ok(rows.iter().map(|row| row.target).collect())
        })?;
        let keys: Vec<_> = targets.into_iter().map(|target| (owner, attribute, target)).collect();
        self.export_links_by_key(&keys)
    }

    fn export_removals_to(
        &self,
        target: CsId,
        after: Option<(CsId, AttrId)>,
        limit: usize,
    ) -> Read<Vec<(CsId, AttrId)>> {
        let to = self.export_links.iter().filter(|((_, _, to), _)| *to == target);
        let over = to.map(|((owner, attribute, _), row)| {
            ((*owner, *attribute), row.as_ref().is_some_and(|row| !row.add))
        });
        page(after, limit, &over.collect(), |from| self.base.export_removals_to(target, from, limit))
    }

    fn export_links_by_key(&self, rows: &[(CsId, AttrId, CsId)]) -> Read<Vec<ExportLinkRow>> {
        let below = self.base.export_links_by_key(rows)?;
        let mut all: BTreeMap<_, _> =
            below.into_iter().map(|row| ((row.owner, row.attribute, row.target), row)).collect();
        for key in rows {
            match self.export_links.get(key) {
                Some(Some(row)) => _ = all.insert(*key, row.clone()),
                Some(None) => _ = all.remove(key),
                None => {}
            }
        }
        Ok(all.into_values().collect())
    }

    fn containers(&self, ids: &[ContainerId]) -> Read<Vec<ContainerRow>> {
        self.base.containers(ids)
    }

    fn container(
        &self,
        connector: ConnectorId,
        parent: Option<ContainerId>,
        normalised_rdn: &str,
    ) -> Read<Option<ContainerRow>> {
        self.base.container(connector, parent, normalised_rdn)
    }

    fn cs_in_container(&self, container: ContainerId, after: CsId, limit: usize) -> Read<Vec<CsId>> {
        let over = self
            .cs
            .iter()
            .map(|(&id, row)| (id, row.as_ref().is_some_and(|r| r.container == Some(container))));
        page(Some(after), limit, &over.collect(), |from| {
            self.base.cs_in_container(container, from.unwrap_or(after), limit)
        })
    }

    fn containers_in(
        &self,
        container: ContainerId,
        after: ContainerId,
        limit: usize,
    ) -> Read<Vec<ContainerRow>> {
        self.base.containers_in(container, after, limit)
    }

    fn containers_by_anchor(&self, connector: ConnectorId, anchors: &[&Anchor]) -> Read<Vec<ContainerRow>> {
        self.base.containers_by_anchor(connector, anchors)
    }

    fn agenda(
        &self,
        pass: u8,
        connector: Option<ConnectorId>,
        now: Time,
        after: Option<AgendaRow>,
        limit: usize,
    ) -> Read<Vec<AgendaRow>> {
        self.base.agenda(pass, connector, now, after, limit)
    }

    fn errors_of(&self, ids: &[CsId]) -> Read<Vec<ErrorRow>> {
        let mut all: BTreeMap<(CsId, String), ErrorRow> =
            self.base.errors_of(ids)?.into_iter().map(|row| ((row.cs, row.place.clone()), row)).collect();
        for (key, over) in self.errors.iter().filter(|((id, _), _)| ids.contains(id)) {
            match over {
                Some(row) => _ = all.insert(key.clone(), row.clone()),
                None => _ = all.remove(key),
            }
        }
        Ok(all.into_values().collect())
    }

    fn state(&self, connector: ConnectorId, name: &str) -> Read<Option<Vec<u8>>> {
        self.base.state(connector, name)
    }
}
