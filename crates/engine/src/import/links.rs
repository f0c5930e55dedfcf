//! Link values: whole sets compared by count and sum, single ones added and removed.

use std::collections::BTreeMap;

use onesync_model::{AttrId, CsId, Hash128, LinkChunk, LinkMode};

use super::{Counted, OpenLinks, Page};
use crate::confirm;
use crate::memberships;
use crate::reader::ReadError;
use crate::state::{LinkSum, Work};

/// Changed links of one attribute up to which each is looked at by itself; above, the attribute is compared whole.
const SINGLE_LINKS_MAX: usize = 1_000;
/// Links read at once.
const PAGE: usize = 5_000;

impl Page<'_, '_, '_> {
    pub(super) fn begin_links(&mut self, id: CsId, counted: Counted) {
        self.stager.open = Some(OpenLinks { id, attributes: BTreeMap::new(), counted });
    }

    pub(super) fn links(&mut self, id: CsId, chunks: Vec<LinkChunk>) -> Result<(), ReadError> {
        for chunk in chunks {
            let keys =
                chunk.targets.iter().map(|target| self.link_key(target)).collect::<Result<Vec<_>, _>>()?;
            match chunk.mode {
                LinkMode::Replace { first, last } => {
                    let Some(open) = &mut self.stager.open else { continue };
                    let collected = open.attributes.entry(chunk.attribute).or_default();
                    if first {
                        collected.clear();
                    }
                    collected.extend(keys);
                    if last {
                        let keys = open.attributes.remove(&chunk.attribute).unwrap_or_default();
                        self.replace(id, chunk.attribute, keys)?;
                    }
                }
                LinkMode::Add => self.change(id, chunk.attribute, keys, Vec::new())?,
                LinkMode::Remove => self.change(id, chunk.attribute, Vec::new(), keys)?,
                LinkMode::Unknown => {
                    if let Some(open) = &mut self.stager.open {
                        open.attributes.remove(&chunk.attribute);
                    }
                    let connector = self.stager.connector;
                    let name = self.ctx.attribute(chunk.attribute).to_owned();
                    let message =
                        format!("`{name}` could not be read completely; its values stay as they were");
                    self.stager.counters.errors += 1;
                    self.batch.error(
                        self.ctx,
                        (id, connector),
                        &format!("import:{name}"),
                        "incomplete-values",
                        message,
                        false,
                    );
                    continue;
                }
            }
            let name = format!("import:{}", self.ctx.attribute(chunk.attribute));
            self.batch.heal(id, |place| place == name);
        }
        Ok(())
    }

    /// Compares a whole set of link values with the stored one: by count and sum, and only if these differ row by row.
    fn replace(&mut self, id: CsId, attribute: AttrId, mut keys: Vec<Hash128>) -> Result<(), ReadError> {
        keys.sort_unstable();
        keys.dedup();
        let sum = keys.iter().fold(Hash128::default(), |sum, &key| sum.plus(key));
        let stored =
            self.batch.cs(id).and_then(|row| row.links.iter().find(|s| s.attribute == attribute).copied());
        if stored.map_or((0, Hash128::default()), |s| (s.count, s.sum)) == (keys.len() as u64, sum) {
            return Ok(());
        }
        let mut removed = Vec::new();
        let mut added: Vec<Hash128> = Vec::new();
        let mut new = keys.into_iter().peekable();
        let mut after = None;
        while stored.is_some() {
            let page = self.batch.reader.links(id, attribute, after, PAGE)?;
            let Some(&last) = page.last() else { break };
            after = Some(last);
            for old in page {
                while let Some(key) = new.next_if(|&key| key < old) {
                    added.push(key);
                }
                if new.next_if_eq(&old).is_none() {
                    removed.push(old);
                }
            }
        }
        added.extend(new);
        self.write_links(id, attribute, added, removed)
    }

    /// The directory took a deleted object out of link attributes of others without telling so.
    pub(super) fn drop_links_to(
        &mut self,
        id: CsId,
        key: Hash128,
        attributes: &[AttrId],
    ) -> Result<(), ReadError> {
        if attributes.is_empty() {
            return Ok(());
        }
        let name_key = self.batch.reader.name_key(&[id])?.into_iter().map(|(_, key)| key);
        for key in std::iter::once(key).chain(name_key) {
            let mut after = None;
            loop {
                let page = self.batch.reader.referrers(key, after, PAGE)?;
                let Some(&last) = page.last() else { break };
                after = Some(last);
                let dropped = page.into_iter().filter(|(_, attribute)| attributes.contains(attribute));
                for (owner, attribute) in dropped {
                    self.batch.load_cs([owner])?;
                    self.change(owner, attribute, Vec::new(), vec![key])?;
                }
            }
        }
        Ok(())
    }

    /// Adds and removes single link values.
    fn change(
        &mut self,
        id: CsId,
        attribute: AttrId,
        add: Vec<Hash128>,
        remove: Vec<Hash128>,
    ) -> Result<(), ReadError> {
        let have = |keys: &[Hash128]| {
            let rows: Vec<_> = keys.iter().map(|&key| (id, attribute, key)).collect();
            self.batch.reader.has_links(&rows)
        };
        // What this page has said before about the same value counts.
        let pending = |key: &Hash128, list: &[(CsId, AttrId, Hash128)]| list.contains(&(id, attribute, *key));
        let (held_add, held_remove) = (have(&add)?, have(&remove)?);
        let (mut added, mut removed) = (Vec::new(), Vec::new());
        for (key, held) in add.into_iter().zip(held_add) {
            let gone = pending(&key, &self.batch.changes.links_removed);
            let there = (held && !gone) || pending(&key, &self.batch.changes.links_added);
            if gone {
                self.batch.changes.links_removed.retain(|row| *row != (id, attribute, key));
                self.adjust(id, attribute, &[key], &[]);
            } else if !there {
                added.push(key);
            }
        }
        for (key, held) in remove.into_iter().zip(held_remove) {
            if pending(&key, &self.batch.changes.links_added) {
                self.batch.changes.links_added.retain(|row| *row != (id, attribute, key));
                self.adjust(id, attribute, &[], &[key]);
            } else if held && !pending(&key, &self.batch.changes.links_removed) {
                removed.push(key);
            }
        }
        self.write_links(id, attribute, added, removed)
    }

    fn write_links(
        &mut self,
        id: CsId,
        attribute: AttrId,
        mut added: Vec<Hash128>,
        mut removed: Vec<Hash128>,
    ) -> Result<(), ReadError> {
        added.sort_unstable();
        added.dedup();
        removed.sort_unstable();
        removed.dedup();
        if added.is_empty() && removed.is_empty() {
            return Ok(());
        }
        let before = self.batch.cs(id).map_or(0, |row| row.link_count(attribute));
        let confirmed = confirm::links_seen(self.ctx, &mut self.batch, id, attribute, &added, &removed)?;
        self.recount(confirmed == added.len() + removed.len());
        self.adjust(id, attribute, &added, &removed);
        let Some(row) = self.batch.cs(id).cloned() else { return Ok(()) };
        let (after, join) = (row.link_count(attribute), row.join);
        // Rules may count link values or look at them, and a contributor with none gives way to the next.
        let looked_at = self.ctx.rules.link_names_asked(row.connector, row.object_type).contains(&attribute);
        if join.is_none() || before != after || looked_at {
            self.batch.wake_identity(&row);
        }
        if before == 0 || added.len() + removed.len() > SINGLE_LINKS_MAX {
            self.batch.wake(Work::CsLinks(id, attribute));
        } else {
            for &key in added.iter().chain(&removed) {
                self.batch.wake(Work::CsLink(id, attribute, key));
            }
        }
        memberships::links_changed(self.ctx, &mut self.batch, &row, attribute, (&added, &removed))?;
        self.batch.changes.links_added.extend(added.into_iter().map(|key| (id, attribute, key)));
        self.batch.changes.links_removed.extend(removed.into_iter().map(|key| (id, attribute, key)));
        Ok(())
    }

    fn adjust(&mut self, id: CsId, attribute: AttrId, added: &[Hash128], removed: &[Hash128]) {
        let Some(mut row) = self.batch.cs(id).cloned() else { return };
        let at = row.links.binary_search_by_key(&attribute, |sum| sum.attribute);
        let mut sum = match at {
            Ok(at) => row.links.remove(at),
            Err(_) => LinkSum { attribute, count: 0, sum: Hash128::default() },
        };
        sum.count = (sum.count + added.len() as u64).saturating_sub(removed.len() as u64);
        sum.sum = added.iter().fold(sum.sum, |total, &key| total.plus(key));
        sum.sum = removed.iter().fold(sum.sum, |total, &key| total.minus(key));
        if sum.count > 0 {
            let at = row.links.partition_point(|other| other.attribute < attribute);
            row.links.insert(at, sum);
        }
        self.batch.put_cs(row);
    }

    /// An object counted as unchanged has changed links after all.
    fn recount(&mut self, confirmed: bool) {
        let Some(open) = &mut self.stager.open else { return };
        let counters = &mut self.stager.counters;
        match (open.counted, confirmed) {
            (Counted::Unchanged, true) => {
                counters.unchanged -= 1;
                counters.confirmed += 1;
                open.counted = Counted::Confirmed;
            }
            (Counted::Unchanged, false) => {
                counters.unchanged -= 1;
                counters.update += 1;
                open.counted = Counted::Otherwise;
            }
            (Counted::Confirmed, false) => {
                counters.confirmed -= 1;
                counters.update += 1;
                open.counted = Counted::Otherwise;
            }
            _ => {}
        }
    }
}
