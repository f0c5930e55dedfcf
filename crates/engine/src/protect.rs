//! Protections: how much may be deleted, disabled, emptied, shrunk before a person must look.
//!
//! Limits count per connector and object type, in one run and in sliding windows of what was really exported. Above a
//! limit all changes of that kind are held and everything else goes on. Where one error stands on too many objects,
//! its attribute is not exported at all. Pure: counts in, decisions out.

use std::collections::BTreeSet;

use onesync_model::{AttrId, Operation, TypeId};

use crate::policy::{ConnectorPolicy, TypePolicy};
use crate::state::{ChangeState, ExportLinkRow, ExportRow};

/// How many of something may happen.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limit {
    /// At most so many.
    pub count: u64,
    /// At most so many percent of all objects of the type.
    pub percent: u64,
    /// But always so many, so that small directories can work.
    pub at_least: u64,
}

impl Limit {
    /// The number this limit allows among so many objects: the smaller of count and percentage, but at least
    /// `at_least`.
    #[must_use]
    pub fn allows(&self, population: u64) -> u64 {
        self.count.min(population.saturating_mul(self.percent) / 100).max(self.at_least)
    }
}

/// The limits of one connector and object type.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// In one run, and in any 24 hours.
    pub day: Limit,
    /// In any 7 days.
    pub week: Limit,
    /// On so many objects the same error may stand before its attribute is not exported any more.
    pub errors: Limit,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            day: Limit { count: 500, percent: 10, at_least: 10 },
            week: Limit { count: 1_500, percent: 20, at_least: 20 },
            // One error on a tenth of all objects, or on a hundred, is no matter of single objects: it is a rule, a
            // source or a directory that is wrong as a whole.
            errors: Limit { count: 100, percent: 10, at_least: 10 },
        }
    }
}

/// What is limited.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Hash)]
pub enum Guarded {
    /// Deleting objects.
    Delete,
    /// Disabling accounts.
    Disable,
    /// Emptying attributes.
    Empty,
    /// Taking members out of groups.
    Shrink,
}

impl Guarded {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Delete, Self::Disable, Self::Empty, Self::Shrink];

    /// The bit of [`ExportRow::kinds`] that marks such a change; 0 for link values, which have rows of their own.
    #[must_use]
    pub const fn bit(self) -> u8 {
        match self {
            Self::Delete => ExportRow::KIND_DELETE,
            Self::Disable => ExportRow::KIND_DISABLE,
            Self::Empty => ExportRow::KIND_EMPTY,
            Self::Shrink => 0,
        }
    }

    /// The number under which exported changes of this kind are counted.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Delete => 1,
            Self::Disable => 2,
            Self::Empty => 4,
            Self::Shrink => 128,
        }
    }

    /// In words.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Delete => "deletions",
            Self::Disable => "disablings",
            Self::Empty => "emptied attributes",
            Self::Shrink => "members or managers removed",
        }
    }
}

/// The numbers of one kind of change for one object type.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Numbers {
    /// Objects of this type at the target that are ours (for members: link values).
    pub population: u64,
    /// Pending now and not released.
    pub pending: u64,
    /// Really exported in the last 24 hours.
    pub day: u64,
    /// Really exported in the last 7 days.
    pub week: u64,
}

/// Why changes are held.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Hold {
    /// The object type.
    pub object_type: TypeId,
    /// What is held.
    pub guarded: Guarded,
    /// In words: which limit, and the numbers.
    pub reason: String,
}

/// Attributes that are not exported now, because the same error stands on too many objects.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Stopped(pub BTreeSet<(TypeId, AttrId)>);

impl Stopped {
    /// Whether an attribute's change waits. What is written because somebody leaves comes from no flow, and goes on.
    #[must_use]
    pub fn holds(&self, object_type: TypeId, kinds: u8, attribute: AttrId) -> bool {
        kinds & ExportRow::KIND_LEAVER == 0 && self.0.contains(&(object_type, attribute))
    }

    /// Whether a link value waits. What takes away and what was tried already go on: access that ends must end, and by
    /// retries it is seen that the directory takes them again. Where a new value takes the place of the old one, taking
    /// away waits for it.
    #[must_use]
    pub fn holds_link(&self, policy: &ConnectorPolicy, object_type: TypeId, link: &ExportLinkRow) -> bool {
        (link.add || policy.single_links.contains(&link.attribute))
            && link.attempts == 0
            && self.holds(object_type, 0, link.attribute)
    }

    /// Whether anything of an export is sent now: a new object waits for what it needs, a change for something to
    /// change.
    #[must_use]
    pub fn sends(&self, policy: &TypePolicy, row: &ExportRow) -> bool {
        let mut pending = row.changes.iter().filter(|change| change.state == ChangeState::Pending).peekable();
        let waits = |attribute| self.holds(row.object_type, row.kinds, attribute);
        let needed = |attribute| policy.create_key == Some(attribute) || policy.required.contains(&attribute);
        match row.operation {
            Operation::Add => !pending.any(|c| waits(c.attribute) && needed(c.attribute)),
            Operation::Update => pending.peek().is_none() || !pending.all(|c| waits(c.attribute)),
            Operation::Delete => true,
        }
    }
}

/// Decides whether pending changes of one kind must be held.
#[must_use]
pub fn judge(limits: &Limits, object_type: TypeId, guarded: Guarded, numbers: Numbers) -> Option<Hold> {
    if numbers.pending == 0 {
        return None;
    }
    // Windows count what was exported before; the population they are measured by was larger by as much.
    let day = limits.day.allows(numbers.population.saturating_add(if guarded == Guarded::Delete {
        numbers.day
    } else {
        0
    }));
    let week = limits.week.allows(numbers.population.saturating_add(if guarded == Guarded::Delete {
        numbers.week
    } else {
        0
    }));
    let what = guarded.as_str();
    let reason = if numbers.pending > day {
        format!("{} {what} in one run, {day} allowed (of {})", numbers.pending, numbers.population)
    } else if numbers.pending + numbers.day > day {
        format!("{} {what} and {} exported in the last 24 hours, {day} allowed", numbers.pending, numbers.day)
    } else if numbers.pending + numbers.week > week {
        format!("{} {what} and {} exported in the last 7 days, {week} allowed", numbers.pending, numbers.week)
    } else {
        return None;
    };
    Some(Hold { object_type, guarded, reason })
}

/// Whether an import sees so much less than it should that it must be suspected: `known` objects were there, `gone`
/// of them are not any more. A share of 100 percent says that everything may be gone.
#[must_use]
pub fn suspect(known: u64, gone: u64, share_percent: u64, at_least: u64) -> Option<String> {
    if known == 0 || gone < at_least || share_percent >= 100 {
        return None;
    }
    if gone == known {
        return Some(format!("it shows none of the {known} objects known before"));
    }
    (gone.saturating_mul(100) > known.saturating_mul(share_percent)).then(|| {
        format!("{gone} of the {known} objects known before are missing, more than {share_percent} percent")
    })
}

#[cfg(test)]
mod tests {
    use onesync_model::{ConnectorId, CsId, Time};

    use super::*;

    fn held(population: u64, pending: u64, day: u64, week: u64) -> bool {
        let numbers = Numbers { population, pending, day, week };
        judge(&Limits::default(), TypeId(1), Guarded::Delete, numbers).is_some()
    }

    #[test]
    fn limits_are_the_smaller_of_count_and_share_but_leave_room_for_small_directories() {
        assert!(!held(50, 10, 0, 0));
        assert!(held(50, 11, 0, 0));
        assert!(!held(2_000, 200, 0, 0));
        assert!(held(2_000, 201, 0, 0));
        assert!(!held(100_000, 500, 0, 0));
        assert!(held(100_000, 501, 0, 0));
    }

    #[test]
    fn deletions_that_come_in_drips_are_seen_by_the_windows() {
        assert!(held(100_000, 200, 400, 400), "600 in 24 hours");
        assert!(held(100_000, 100, 0, 1_450), "1,550 in 7 days");
        assert!(!held(100_000, 50, 400, 1_400));
        assert!(!held(100_000, 0, 9_999, 9_999), "nothing pending, nothing to hold");
    }

    #[test]
    fn a_stop_lets_access_end_but_no_single_link_be_emptied() {
        let [single, several] = [AttrId(1), AttrId(2)];
        let policy = ConnectorPolicy { single_links: vec![single], ..ConnectorPolicy::default() };
        let stopped = Stopped(BTreeSet::from([(TypeId(1), single), (TypeId(1), several)]));
        let link = |attribute, add, attempts| ExportLinkRow {
            connector: ConnectorId(1),
            owner: CsId(1),
            attribute,
            target: CsId(2),
            add,
            state: ChangeState::Pending,
            attempts,
            not_before: Time::default(),
            held: false,
            error: None,
        };
        let holds = |attribute, add, attempts| {
            stopped.holds_link(&policy, TypeId(1), &link(attribute, add, attempts))
        };
        assert!(holds(several, true, 0) && holds(single, true, 0), "what is new waits");
        assert!(!holds(several, false, 0), "who leaves a group leaves it");
        assert!(holds(single, false, 0), "nobody is left without a manager because the next one must wait");
        assert!(!holds(single, false, 1) && !holds(several, true, 1), "what was tried is tried again");
        assert!(!holds(AttrId(3), true, 0));
        assert!(!stopped.holds_link(&policy, TypeId(2), &link(several, true, 0)), "another type");
    }

    #[test]
    fn an_empty_or_shrunken_import_is_suspect_but_not_an_empty_directory() {
        assert!(suspect(5_000, 5_000, 30, 10).is_some());
        assert!(suspect(5_000, 1_501, 30, 10).is_some());
        assert!(suspect(5_000, 1_500, 30, 10).is_none());
        assert!(suspect(0, 0, 30, 10).is_none());
        assert!(suspect(5_000, 5_000, 99, 10).is_some());
        assert!(suspect(5_000, 5_000, 100, 10).is_none());
        assert!(suspect(4, 4, 30, 10).is_none(), "fewer than the floor is ordinary work");
    }
}
