//! The pilot of a connector: who may be written there while everybody else is computed, shown and counted.
//!
//! Decided in the outbound pass and kept as a mark on the target's row ([`crate::CsFlags::OUTSIDE`]); whoever sends
//! asks only for the mark, so that there is one place to enforce it. Nobody is written, created, disabled or deleted
//! there without being inside, and no link value is sent of or to somebody outside.

use std::collections::BTreeSet;

use onesync_model::{AttrId, MvId, ValuesRef, fold_case};

use crate::reader::{ReadError, Reader};
use crate::state::MvRow;

/// Groups of one object that are read at once.
const PAGE: usize = 500;

/// Who is in the pilot: people named, or a group and its direct members.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pilot {
    /// Metaverse attributes by which objects are named.
    pub attributes: Vec<AttrId>,
    /// Names of objects, with their case folded.
    pub people: BTreeSet<String>,
    /// The name of the group, with its case folded.
    pub group: Option<String>,
    /// The metaverse attribute that holds members.
    pub member: AttrId,
}

impl Pilot {
    /// Whether an object is in the pilot.
    pub(crate) fn holds(&self, reader: &dyn Reader, row: &MvRow) -> Result<bool, ReadError> {
        if self.named(row, |name| self.people.contains(name)) || self.is_group(row) {
            return Ok(true);
        }
        if self.group.is_none() {
            return Ok(false);
        }
        let mut after: Option<(MvId, AttrId)> = None;
        loop {
            let page = reader.mv_referrers(row.id, after, PAGE)?;
            let Some(&last) = page.last() else { return Ok(false) };
            after = Some(last);
            let owners: Vec<MvId> =
                page.iter().filter(|(_, attribute)| *attribute == self.member).map(|(mv, _)| *mv).collect();
            if reader.mv_by_id(&owners)?.iter().any(|owner| self.is_group(owner)) {
                return Ok(true);
            }
        }
    }

    /// Whether this is the pilot's group.
    pub(crate) fn is_group(&self, row: &MvRow) -> bool {
        let Some(group) = &self.group else { return false };
        self.named(row, |name| name == group)
    }

    fn named(&self, row: &MvRow, wanted: impl Fn(&str) -> bool) -> bool {
        self.attributes.iter().any(|&attribute| {
            let values = row.values.as_ref().get(attribute).into_iter().flat_map(ValuesRef::iter);
            values.map(|value| fold_case(&value.to_string()).to_string()).any(|name| wanted(&name))
        })
    }
}
