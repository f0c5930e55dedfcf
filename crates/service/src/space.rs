//! How much room the database has left: on the disk of the embedded one, and below what the configuration allows.
//!
//! Warnings at 80 and 90 percent; at 95 no further step begins. A large disk is not full at 95 percent: where enough is
//! free, its share does not count.

use std::path::Path;

use serde::Serialize;

use crate::error::ServiceError;
use crate::keep::{Keep, size};
use crate::runtime::Service;

/// Percent from which on is warned.
const WARN: u64 = 80;
/// Percent from which on no step begins.
const STOP: u64 = 95;
/// With so much free a disk is not full, whatever its share: the largest step of a million identities needs less.
const ENOUGH: u64 = 20_000_000_000;

/// Room of one kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Space {
    /// Of what.
    pub what: String,
    /// Bytes that are taken.
    pub used: u64,
    /// Bytes that there are.
    pub of: u64,
}

impl Space {
    /// The share that is taken.
    #[must_use]
    pub fn percent(&self) -> u64 {
        (self.used.saturating_mul(100)).checked_div(self.of).unwrap_or(0)
    }

    /// What is left.
    #[must_use]
    pub fn free(&self) -> u64 {
        self.of.saturating_sub(self.used)
    }

    fn words(&self) -> String {
        format!(
            "{}: {} percent taken, {} of {} are free",
            self.what,
            self.percent(),
            size(self.free()),
            size(self.of)
        )
    }
}

/// The disk of a folder.
pub(crate) fn disk(folder: &Path) -> Option<Space> {
    let disk = rustix::fs::statvfs(folder).ok()?;
    // What the system keeps for its administrator is not ours.
    let (free, used) = (disk.f_bavail * disk.f_frsize, (disk.f_blocks - disk.f_bfree) * disk.f_frsize);
    Some(Space { what: format!("the disk of {}", folder.display()), used, of: used + free })
}

impl Service {
    /// What the applied configuration keeps; the defaults when none can be used.
    pub(crate) fn keep(&self) -> Keep {
        let file = self.runtime().ok().map(|runtime| runtime.configuration.main.database.clone());
        // One with a mistake is never applied.
        file.and_then(|file| Keep::read(&file).ok()).unwrap_or_default()
    }

    /// The room that there is, as far as it can be seen.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub(crate) fn spaces(&self) -> Result<Vec<Space>, ServiceError> {
        let mut out = Vec::new();
        if self.is_embedded() {
            out.extend(disk(self.home().folder()));
        }
        if let Some(of) = self.keep().max_size {
            let facts = self.store().facts()?;
            let used = (facts.bytes + facts.log.unwrap_or(0)).saturating_sub(facts.unused.unwrap_or(0));
            out.push(Space { what: "`max_size` of the database".to_owned(), used, of });
        }
        Ok(out)
    }

    /// What is short, in words.
    pub(crate) fn room_warnings(&self) -> Result<Vec<String>, ServiceError> {
        let spaces = self.spaces()?;
        Ok(short(&spaces, WARN)
            .map(|space| match space.percent() {
                STOP.. => format!("{}: no step begins any more", space.words()),
                90.. => format!("{}: at {STOP} percent no step begins any more", space.words()),
                _ => space.words(),
            })
            .collect())
    }

    /// No step begins when there is hardly any room: it would end in its middle.
    pub(crate) fn check_room(&self) -> Result<(), ServiceError> {
        match short(&self.spaces()?, STOP).next() {
            Some(space) => {
                Err(ServiceError::NoRoom { message: format!("no step begins: {}", space.words()) })
            }
            None => Ok(()),
        }
    }
}

fn short(spaces: &[Space], percent: u64) -> impl Iterator<Item = &Space> {
    let enough = |space: &Space| space.what.starts_with("the disk") && space.free() >= ENOUGH;
    spaces.iter().filter(move |space| space.percent() >= percent && !enough(space))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_counts_where_little_is_free() {
        let space = |what: &str, used, of| Space { what: what.to_owned(), used, of };
        let gb = 1_000_000_000;
        let spaces = [
            space("the disk of /x", 96 * gb, 100 * gb),
            space("the disk of /x", 1_900 * gb, 2_000 * gb), // 100 GB are free
            space("`max_size` of the database", 1_900 * gb, 2_000 * gb),
            space("the disk of /x", 94 * gb, 100 * gb),
        ];
        let percents = |least| short(&spaces, least).map(Space::percent).collect::<Vec<_>>();
        assert_eq!((percents(STOP), percents(WARN)), (vec![96, 95], vec![96, 95, 94]));
        assert!(disk(Path::new("/")).is_some_and(|disk| disk.of > 0 && disk.used <= disk.of));
    }
}
