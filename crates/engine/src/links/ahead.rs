//! Reading ahead: what several attributes are compared with, in a few set reads. On a server each read is a journey.
//!
//! Nothing is decided here: what is not read ahead is read when it is asked for, with the same answer.

use std::collections::{BTreeSet, HashMap};

use onesync_model::{AttrId, ConnectorId, CsId, Hash128, MvId};

use super::{Links, PAGE, chooses};
use crate::reader::{JoinedIn, ReadError};
use crate::state::ExportLinkRow;

/// Attributes whose links are read at once.
pub(super) const ATTRIBUTES: usize = 250;
/// The first links of each; the rest of those that have more is read page by page.
const FIRST: usize = 500;

/// What was read of some attributes, whether they have any links or not.
#[derive(Default)]
pub(super) struct Ahead {
    mv: HashMap<(MvId, AttrId), Vec<MvId>>,
    links: HashMap<(CsId, AttrId), Vec<Hash128>>,
    exports: HashMap<(CsId, AttrId), Vec<ExportLinkRow>>,
    /// The metaverse objects to which links lead.
    targets: HashMap<Hash128, Vec<MvId>>,
    joined: HashMap<(ConnectorId, MvId), Vec<JoinedIn>>,
}

impl Links<'_, '_> {
    /// Reads what some attributes are compared with.
    pub(super) fn read_ahead(&mut self, some: &[(MvId, AttrId)]) -> Result<(), ReadError> {
        self.ahead = Ahead::default();
        self.batch.load_mv(some.iter().map(|(owner, _)| *owner))?;
        let (mut from, mut to) = (BTreeSet::new(), BTreeSet::new());
        for &(owner, attribute) in some {
            let picks = self.batch.mv(owner).map(|row| row.picks.as_slice()).unwrap_or_default();
            let picked = picks.iter().filter(|pick| pick.attribute == attribute && !chooses(self.ctx, pick));
            from.extend(picked.map(|pick| (pick.source, pick.source_attribute)));
            for &connector in self.ctx.rules.connector_order() {
                let flows = self.out_flows(owner, connector)?;
                let Some(end) = self.target_of(owner, connector) else { continue };
                let flows = flows.into_iter().filter(|(from, _)| *from == attribute);
                to.extend(flows.map(|(_, to)| (connector, end, to)));
            }
        }
        self.batch.load_cs(from.iter().map(|(source, _)| *source))?;
        let ends: BTreeSet<(CsId, AttrId)> = to.iter().map(|&(_, end, attribute)| (end, attribute)).collect();
        let connectors: BTreeSet<ConnectorId> = to.iter().map(|(connector, ..)| *connector).collect();
        let ends: Vec<(CsId, AttrId)> = ends.into_iter().collect();
        let asked: BTreeSet<(CsId, AttrId)> = from.iter().chain(&ends).copied().collect();
        let asked: Vec<(CsId, AttrId)> = asked.into_iter().collect();

        let ahead = &mut self.ahead;
        ahead.mv = some.iter().map(|&key| (key, Vec::new())).collect();
        for (owner, attribute, target) in self.reader.mv_links_of(some, FIRST)? {
            ahead.mv.entry((owner, attribute)).or_default().push(target);
        }
        ahead.links = asked.iter().map(|&key| (key, Vec::new())).collect();
        for (owner, attribute, key) in self.reader.links_of(&asked, FIRST)? {
            ahead.links.entry((owner, attribute)).or_default().push(key);
        }
        ahead.exports = ends.iter().map(|&key| (key, Vec::new())).collect();
        for row in self.reader.export_links_of(&ends, FIRST)? {
            ahead.exports.entry((row.owner, row.attribute)).or_default().push(row);
        }

        let keys: BTreeSet<Hash128> =
            from.iter().filter_map(|of| ahead.links.get(of)).flatten().copied().collect();
        ahead.targets = keys.iter().map(|&key| (key, Vec::new())).collect();
        for (key, mv) in self.known.linked(self.reader, keys)? {
            ahead.targets.entry(key).or_default().push(mv);
        }
        let mvs: BTreeSet<MvId> = ahead.targets.values().flatten().copied().collect();
        for connector in connectors {
            ahead.joined.extend(mvs.iter().map(|&mv| ((connector, mv), Vec::new())));
            for joined in self.known.joined_in(self.reader, connector, mvs.iter().copied())? {
                ahead.joined.entry((connector, joined.mv)).or_default().push(joined);
            }
        }
        Ok(())
    }

    /// All links of an attribute of a metaverse object, ascending.
    pub(super) fn all_mv_links(&mut self, owner: MvId, attribute: AttrId) -> Result<Vec<MvId>, ReadError> {
        let first = self.ahead.mv.remove(&(owner, attribute));
        rest(first, |last| {
            let after = last.copied().unwrap_or(MvId(i64::MIN));
            self.reader.mv_links(owner, attribute, after, PAGE)
        })
    }

    /// All links of an attribute of an object, ascending.
    pub(super) fn all_links(&self, owner: CsId, attribute: AttrId) -> Result<Vec<Hash128>, ReadError> {
        // Two metaverse objects may be given the links of one object: its page stays.
        let first = self.ahead.links.get(&(owner, attribute)).cloned();
        rest(first, |last| self.reader.links(owner, attribute, last.copied(), PAGE))
    }

    /// All link exports of an attribute of an object, ascending.
    pub(super) fn all_export_links(
        &self,
        owner: CsId,
        attribute: AttrId,
    ) -> Result<Vec<ExportLinkRow>, ReadError> {
        let first = self.ahead.exports.get(&(owner, attribute)).cloned();
        rest(first, |last| {
            let after = last.map_or(CsId(i64::MIN), |row| row.target);
            self.reader.export_links(owner, attribute, after, PAGE)
        })
    }

    /// The metaverse objects to which links lead, in no order.
    pub(super) fn targets(&self, keys: &[Hash128]) -> Result<Vec<MvId>, ReadError> {
        let (mut out, missing) = look(&self.ahead.targets, keys.iter().copied());
        for page in missing.chunks(PAGE) {
            let found = self.known.linked(self.reader, page.iter().copied())?;
            out.extend(found.into_iter().map(|(_, mv)| mv));
        }
        Ok(out)
    }

    /// What is joined to metaverse objects in a connector, in no order.
    pub(super) fn joined(&self, connector: ConnectorId, mvs: &[MvId]) -> Result<Vec<JoinedIn>, ReadError> {
        let (mut out, missing) = look(&self.ahead.joined, mvs.iter().map(|&mv| (connector, mv)));
        if !missing.is_empty() {
            let missing = missing.into_iter().map(|(_, mv)| mv);
            out.append(&mut self.known.joined_in(self.reader, connector, missing)?);
        }
        Ok(out)
    }
}

/// What was read of some keys, and the keys that were not asked for.
fn look<K: Eq + std::hash::Hash, V: Copy>(
    read: &HashMap<K, Vec<V>>,
    keys: impl Iterator<Item = K>,
) -> (Vec<V>, Vec<K>) {
    let (mut out, mut missing) = (Vec::new(), Vec::new());
    for key in keys {
        match read.get(&key) {
            Some(values) => out.extend(values),
            None => missing.push(key),
        }
    }
    (out, missing)
}

/// A list whose beginning may have been read, and the pages after it.
fn rest<T>(
    first: Option<Vec<T>>,
    page: impl Fn(Option<&T>) -> Result<Vec<T>, ReadError>,
) -> Result<Vec<T>, ReadError> {
    let mut more = first.as_ref().is_none_or(|first| first.len() == FIRST);
    let mut out = first.unwrap_or_default();
    while more {
        let next = page(out.last())?;
        more = next.len() == PAGE;
        out.extend(next);
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_read_to_its_end_and_no_further() {
        let all: Vec<usize> = (0..FIRST + PAGE + 7).collect();
        let asked = std::cell::Cell::new(0);
        let page = |last: Option<&usize>| {
            asked.set(asked.get() + 1);
            Ok(all.iter().copied().skip(last.map_or(0, |last| last + 1)).take(PAGE).collect())
        };
        let first = |count: usize| Some(all.iter().copied().take(count).collect());
        assert_eq!(rest(first(FIRST), page).expect("pages").len(), all.len());
        assert_eq!(asked.take(), 2);
        assert_eq!(rest(first(FIRST - 1), page).expect("pages").len(), FIRST - 1);
        assert_eq!(rest(first(0), page).expect("pages"), Vec::<usize>::new());
        assert_eq!(asked.take(), 0);
        assert_eq!(rest(None, page).expect("pages"), all);
        assert_eq!(asked.take(), 2);
    }
}
