//! What a batch adds to the kept counts.
//!
//! Every SQL store collects here while it writes, and adds the differences at the end: a batch of a thousand rows
//! changes a handful of counts.

use std::collections::BTreeMap;

use onesync_engine::{CsRow, ErrorRow, ExportLinkRow, ExportRow, MvRow, MvState};
use onesync_model::Hash128;

use crate::rows::{export_hash, export_link_hash, operation_code};

/// Connector, object type, joined, flags.
pub(crate) type CsSort = (u32, u32, bool, u16);
/// Object type, leaving.
pub(crate) type MvSort = (u32, bool);
/// Connector, object type, operation, kinds, state, held.
pub(crate) type ExportSort = (u32, u32, u8, u8, u8, bool);
/// Connector, attribute, add, state, held.
pub(crate) type ExportLinkSort = (u32, u32, bool, u8, bool);
/// Connector, object type, place, code, cause, alarm.
pub(crate) type ErrorSort = (u32, u32, String, String, i64, bool);

/// A difference: how many came (or went), and the sum of the hashes of those that came without those that went.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Difference {
    pub(crate) count: i64,
    pub(crate) hashes: Hash128,
}

/// Differences by sort.
#[derive(Debug)]
pub(crate) struct Tally<K>(BTreeMap<K, Difference>);

impl<K> Default for Tally<K> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<K: Ord> Tally<K> {
    /// A row came.
    pub(crate) fn came(&mut self, sort: K, hash: Hash128) {
        let difference = self.0.entry(sort).or_default();
        difference.count += 1;
        difference.hashes = difference.hashes.plus(hash);
    }

    /// A row went.
    pub(crate) fn went(&mut self, sort: K, hash: Hash128) {
        let difference = self.0.entry(sort).or_default();
        difference.count -= 1;
        difference.hashes = difference.hashes.minus(hash);
    }

    /// The sorts whose count or sum differs, ascending.
    pub(crate) fn differences(&self) -> impl Iterator<Item = (&K, Difference)> {
        self.0
            .iter()
            .map(|(sort, difference)| (sort, *difference))
            .filter(|(_, d)| *d != Difference::default())
    }
}

/// The differences of one batch.
#[derive(Debug, Default)]
pub(crate) struct Tallies {
    pub(crate) cs: Tally<CsSort>,
    pub(crate) mv: Tally<MvSort>,
    pub(crate) exports: Tally<ExportSort>,
    pub(crate) export_links: Tally<ExportLinkSort>,
    pub(crate) errors: Tally<ErrorSort>,
}

pub(crate) fn cs_sort(row: &CsRow) -> CsSort {
    (row.connector.0, row.object_type.0, row.join.is_some(), row.flags.0)
}

pub(crate) fn mv_sort(row: &MvRow) -> MvSort {
    (row.object_type.0, row.state != MvState::Active)
}

pub(crate) fn export_sort(row: &ExportRow) -> ExportSort {
    let (operation, state) = (operation_code(row.operation), row.state.code());
    (row.connector.0, row.object_type.0, operation, row.kinds, state, row.held)
}

pub(crate) fn export_link_sort(row: &ExportLinkRow) -> ExportLinkSort {
    (row.connector.0, row.attribute.0, row.add, row.state.code(), row.held)
}

pub(crate) fn error_sort(row: &ErrorRow) -> ErrorSort {
    let (connector, object_type) = (row.connector.0, row.object_type.0);
    (connector, object_type, row.place.clone(), row.code.clone(), row.cause, row.alarm)
}

impl Tallies {
    pub(crate) fn export_came(&mut self, row: &ExportRow) -> Hash128 {
        let hash = export_hash(row);
        self.exports.came(export_sort(row), hash);
        hash
    }

    pub(crate) fn export_link_came(&mut self, row: &ExportLinkRow) {
        self.export_links.came(export_link_sort(row), export_link_hash(row));
    }

    pub(crate) fn export_link_went(&mut self, row: &ExportLinkRow) {
        self.export_links.went(export_link_sort(row), export_link_hash(row));
    }
}

/// The rows of a batch in the order of their keys; of several with one key the last.
pub(crate) fn in_order<T, K: Ord>(rows: &[T], key: impl Fn(&T) -> K) -> Vec<&T> {
    let mut rows: Vec<&T> = rows.iter().collect();
    rows.sort_by_key(|row| key(row)); // stable: the last one stays last
    let mut out: Vec<&T> = Vec::with_capacity(rows.len());
    for row in rows {
        match out.last_mut() {
            Some(last) if key(last) == key(row) => *last = row,
            _ => out.push(row),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_and_goes_again_is_no_difference() {
        let hash = Hash128([7; 16]);
        let mut tally = Tally::default();
        tally.came("a", hash);
        tally.came("b", hash);
        tally.went("a", hash);
        let left: Vec<_> = tally.differences().map(|(sort, d)| (*sort, d.count, d.hashes)).collect();
        assert_eq!(left, [("b", 1, hash)]);
    }

    #[test]
    fn of_two_rows_with_one_key_the_last_stays() {
        let rows = [(2, 'a'), (1, 'b'), (2, 'c'), (1, 'd')];
        assert_eq!(in_order(&rows, |row| row.0), [&(1, 'd'), &(2, 'c')]);
    }
}
