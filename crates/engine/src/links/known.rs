//! What links lead to, kept from batch to batch of a full sync: each person is in many groups, and is looked up once.
//!
//! True while nothing changes that links are resolved by: objects, their names and their joins. A round over links
//! changes none of these.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{PoisonError, RwLock};

use onesync_model::{ConnectorId, CsId, Hash128, MvId};

use super::Links;
use crate::reader::{JoinedIn, ReadError, Reader};
use crate::state::Work;

/// Targets kept, 15 MB of them; those of larger directories are looked up as often as they are met. As many as fill a
/// hash table without making it twice as large.
const TARGETS_MAX: usize = 114_688;

/// Targets of links that were resolved, for several threads.
#[derive(Default)]
pub struct KnownTargets {
    /// By link key, where it leads to one metaverse object, or to none.
    mvs: RwLock<HashMap<Hash128, Option<MvId>>>,
    /// What is joined to a metaverse object in a connector, where that is one object, or none.
    joined: RwLock<HashMap<(ConnectorId, MvId), Option<JoinedIn>>>,
}

impl KnownTargets {
    /// The metaverse objects at which links point, resolved as by [`Reader::link_targets`], in no order.
    pub(super) fn linked(
        &self,
        reader: &dyn Reader,
        keys: impl IntoIterator<Item = Hash128>,
    ) -> Result<Vec<(Hash128, MvId)>, ReadError> {
        let (mut out, missing) = look(&self.mvs, keys);
        if !missing.is_empty() {
            let found = reader.link_targets(&missing)?;
            let found = found.into_iter().filter_map(|(key, _, mv)| Some((key, mv?)));
            out.extend(keep(&self.mvs, missing, found));
        }
        Ok(out)
    }

    /// As [`Reader::joined_in`], in no order.
    pub(super) fn joined_in(
        &self,
        reader: &dyn Reader,
        connector: ConnectorId,
        mvs: impl IntoIterator<Item = MvId>,
    ) -> Result<Vec<JoinedIn>, ReadError> {
        let (mut out, missing) = look(&self.joined, mvs.into_iter().map(|mv| (connector, mv)));
        if !missing.is_empty() {
            let mvs: Vec<MvId> = missing.iter().map(|(_, mv)| *mv).collect();
            let found = reader.joined_in(connector, &mvs)?;
            let found = found.into_iter().map(|joined| ((connector, joined.mv), joined));
            out.extend(keep(&self.joined, missing, found));
        }
        Ok(out.into_iter().map(|(_, joined)| joined).collect())
    }
}

impl Links<'_, '_> {
    /// Reads the owners of links in a few set reads.
    pub(super) fn load(&mut self, work: &[Work]) -> Result<(), ReadError> {
        let owner = |item: &Work| match item {
            Work::CsLinks(owner, _) | Work::CsLink(owner, ..) => Some(*owner),
            _ => None,
        };
        let owners: Vec<CsId> = work.iter().filter_map(owner).collect();
        self.batch.load_cs(owners.iter().copied())?;
        let mvs: Vec<MvId> =
            owners.iter().filter_map(|&id| self.batch.cs(id)?.join).map(|join| join.mv).collect();
        self.batch.load_mv(mvs)
    }
}

/// What is known of some keys, and the keys of which nothing is.
fn look<K: Eq + Hash + Copy, V: Copy>(
    known: &RwLock<HashMap<K, Option<V>>>,
    keys: impl IntoIterator<Item = K>,
) -> (Vec<(K, V)>, Vec<K>) {
    let known = known.read().unwrap_or_else(PoisonError::into_inner);
    let (mut out, mut missing) = (Vec::new(), Vec::new());
    for key in keys {
        match known.get(&key) {
            Some(value) => out.extend(value.map(|value| (key, value))),
            None => missing.push(key),
        }
    }
    (out, missing)
}

/// Keeps what was found for some keys, and that nothing was; gives all that was found.
fn keep<K: Eq + Hash + Copy, V: Copy>(
    known: &RwLock<HashMap<K, Option<V>>>,
    keys: Vec<K>,
    found: impl Iterator<Item = (K, V)>,
) -> Vec<(K, V)> {
    let mut by_key: HashMap<K, Vec<V>> = HashMap::with_capacity(keys.len());
    let mut out = Vec::with_capacity(keys.len());
    for (key, value) in found {
        by_key.entry(key).or_default().push(value);
        out.push((key, value));
    }
    let mut known = known.write().unwrap_or_else(PoisonError::into_inner);
    for key in keys {
        let one = match by_key.get(&key).map(Vec::as_slice) {
            None => None,
            Some([one]) => Some(*one),
            Some(_) => continue, // several: looked up each time
        };
        if known.len() < TARGETS_MAX {
            known.insert(key, one);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_target_or_none_is_kept_and_several_are_asked_for_again() {
        let known = RwLock::default();
        assert_eq!(look(&known, [1, 2, 3]), (vec![], vec![1, 2, 3]));
        let found = keep(&known, vec![1, 2, 3], [(1, 'a'), (3, 'b'), (3, 'c')].into_iter());
        assert_eq!(found, [(1, 'a'), (3, 'b'), (3, 'c')]);
        assert_eq!(look(&known, [1, 2, 3]), (vec![(1, 'a')], vec![3]));
    }

    #[test]
    fn no_more_are_kept_than_memory_is_meant_for() {
        let known = RwLock::default();
        let keys: Vec<usize> = (0..TARGETS_MAX + 9).collect();
        assert_eq!(keep(&known, keys.clone(), keys.iter().map(|&key| (key, key))).len(), keys.len());
        let (found, missing) = look(&known, keys);
        assert_eq!((found.len(), missing.len()), (TARGETS_MAX, 9));
    }
}
