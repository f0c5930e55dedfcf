//! Links of one attribute of one object: members or owners.
//!
//! Each target has exactly one latest event, added or removed, at its own sequence number, so that a delta
//! page over a group of any size reads only the events after its token.

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound::{Excluded, Unbounded};

use super::Ix;

/// Targets with the sequence number of their latest event.
#[derive(Clone, Debug, Default)]
pub(crate) struct Links {
    live: BTreeMap<u64, Ix>,
    gone: BTreeMap<u64, Ix>,
    at: HashMap<Ix, (u64, bool)>,
    last: u64,
}

impl Links {
    pub(crate) fn contains(&self, target: Ix) -> bool {
        self.at.get(&target).is_some_and(|(_, live)| *live)
    }

    pub(crate) fn len(&self) -> usize {
        self.live.len()
    }

    /// Sequence number of the latest event.
    pub(crate) fn last(&self) -> u64 {
        self.last
    }

    /// Adds a target; false when it was there.
    pub(crate) fn add(&mut self, target: Ix, seq: u64) -> bool {
        match self.at.get(&target).copied() {
            Some((_, true)) => return false,
            Some((old, false)) => {
                self.gone.remove(&old);
            }
            None => {}
        }
        self.at.insert(target, (seq, true));
        self.live.insert(seq, target);
        self.last = seq;
        true
    }

    /// Removes a target; false when it was not there.
    pub(crate) fn remove(&mut self, target: Ix, seq: u64) -> bool {
        let Some((old, true)) = self.at.get(&target).copied() else { return false };
        self.live.remove(&old);
        self.at.insert(target, (seq, false));
        self.gone.insert(seq, target);
        self.last = seq;
        true
    }

    /// Targets in the order of their adding, after a position.
    pub(crate) fn after(&self, pos: u64) -> impl Iterator<Item = (u64, Ix)> + '_ {
        self.live.range((Excluded(pos), Unbounded)).map(|(s, i)| (*s, *i))
    }

    /// All targets.
    pub(crate) fn all(&self) -> impl Iterator<Item = Ix> + '_ {
        self.live.values().copied()
    }

    /// Events in order: additions after `live_after`, removals after `gone_after`, both after `pos`.
    pub(crate) fn events(
        &self,
        pos: u64,
        live_after: u64,
        gone_after: u64,
    ) -> impl Iterator<Item = (u64, Ix, bool)> + '_ {
        let from = |since: u64| (Excluded(since.max(pos)), Unbounded);
        let mut added = self.live.range(from(live_after)).peekable();
        let mut removed = self.gone.range(from(gone_after)).peekable();
        std::iter::from_fn(move || {
            let first_is_added = match (added.peek(), removed.peek()) {
                (Some((a, _)), Some((r, _))) => a < r,
                (Some(_), None) => true,
                (None, _) => false,
            };
            if first_is_added {
                added.next().map(|(s, i)| (*s, *i, true))
            } else {
                removed.next().map(|(s, i)| (*s, *i, false))
            }
        })
    }

    /// The events as rows, for a snapshot.
    pub(crate) fn rows(&self) -> Vec<(u64, Ix, bool)> {
        self.events(0, 0, 0).collect()
    }

    /// The links of a snapshot's rows.
    pub(crate) fn from_rows(rows: &[(u64, Ix, bool)]) -> Links {
        let mut links = Links::default();
        for (seq, target, live) in rows {
            links.at.insert(*target, (*seq, *live));
            if *live {
                links.live.insert(*seq, *target)
            } else {
                links.gone.insert(*seq, *target)
            };
            links.last = links.last.max(*seq);
        }
        links
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_has_one_latest_event() {
        let mut links = Links::default();
        assert!(links.add(1, 1));
        assert!(links.add(2, 2));
        assert!(!links.add(1, 3), "already there");
        assert!(links.remove(1, 4));
        assert!(!links.remove(1, 5), "already gone");
        assert_eq!(links.rows(), [(2, 2, true), (4, 1, false)]);
        assert!(links.add(1, 6));
        assert_eq!(links.events(0, 2, 2).collect::<Vec<_>>(), [(6, 1, true)]);
        assert_eq!(Links::from_rows(&links.rows()).rows(), links.rows());
    }
}
