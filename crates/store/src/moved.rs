//! What a database says of itself when its installation moves, or has moved: one setting, in words that are kept.
//!
//! A database that is being filled, by a move or from a backup, serves nobody; one that was left is never written again. Deliberately absent: which
//! database counts (the home names it).

use crate::error::StoreError;
use crate::store::Store;

/// The setting.
pub const MOVE_MARK: &str = "database-move";

/// The mark of a move.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum MoveMark {
    /// A move into this database is under way, or was cut off.
    Filling {
        /// The installation that is to come.
        installation: String,
    },
    /// A restore into this database is under way, or was cut off.
    Restoring {
        /// What tells the backup.
        backup: String,
    },
    /// A move out of this database is under way, or was cut off: with this epoch, which nobody but the mover has.
    Leaving {
        /// The epoch since it began.
        epoch: u64,
        /// Where to.
        to: String,
    },
    /// A move out of it ended without success: the epoch is another one since, and nothing else has changed.
    Stayed {
        /// The epoch since.
        epoch: u64,
        /// Where to it would have gone.
        to: String,
    },
    /// The installation came here.
    Arrived {
        /// When.
        when: String,
        /// From where.
        from: String,
    },
    /// The installation has gone.
    Moved {
        /// When.
        when: String,
        /// Where to.
        to: String,
    },
}

impl MoveMark {
    /// The setting's value.
    #[must_use]
    pub fn text(&self) -> String {
        match self {
            Self::Filling { installation } => format!("filling {installation}"),
            Self::Restoring { backup } => format!("restoring {backup}"),
            Self::Leaving { epoch, to } => format!("leaving {epoch} {to}"),
            Self::Stayed { epoch, to } => format!("stayed {epoch} {to}"),
            Self::Arrived { when, from } => format!("arrived {when} {from}"),
            Self::Moved { when, to } => format!("moved {when} {to}"),
        }
    }

    /// Reads the setting's value; `None` for one that no program of ours wrote.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (state, rest) = text.split_once(' ')?;
        let two = || rest.split_once(' ').map(|(a, b)| (a.to_owned(), b.to_owned()));
        Some(match state {
            "filling" => Self::Filling { installation: rest.to_owned() },
            "restoring" => Self::Restoring { backup: rest.to_owned() },
            "leaving" => Self::Leaving { epoch: two()?.0.parse().ok()?, to: two()?.1 },
            "stayed" => Self::Stayed { epoch: two()?.0.parse().ok()?, to: two()?.1 },
            "arrived" => two().map(|(when, from)| Self::Arrived { when, from })?,
            "moved" => two().map(|(when, to)| Self::Moved { when, to })?,
            _ => return None,
        })
    }

    /// The mark of a database, if it has one.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn of(store: &dyn Store) -> Result<Option<Self>, StoreError> {
        let reader = store.reader()?;
        let text = reader.setting(MOVE_MARK).map_err(|error| StoreError::Database {
            doing: "looking whether the database was moved",
            message: error.0,
        })?;
        Ok(text.as_deref().and_then(Self::parse))
    }
}

/// Refuses a database that the installation has left, or has not reached yet.
pub(crate) fn check(store: &dyn Store) -> Result<(), StoreError> {
    match MoveMark::of(store)? {
        Some(MoveMark::Moved { when, to }) => Err(StoreError::Moved { when, to }),
        Some(MoveMark::Filling { .. }) => Err(StoreError::HalfMoved),
        Some(MoveMark::Restoring { .. }) => Err(StoreError::HalfRestored),
        _ => Ok(()),
    }
}

/// Whoever is fenced because the installation moves, or has moved, is told so.
pub(crate) fn why_fenced(store: &dyn Store, error: StoreError) -> StoreError {
    let StoreError::Fenced { .. } = error else { return error };
    match MoveMark::of(store) {
        Ok(Some(MoveMark::Leaving { to, .. } | MoveMark::Stayed { to, .. })) => StoreError::Moving { to },
        Ok(Some(MoveMark::Moved { when, to })) => StoreError::Moved { when, to },
        _ => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_read_as_it_was_written() {
        let (when, place) = ("2026-11-26T09:00:00Z".to_owned(), "postgres://a b@c/d".to_owned());
        for mark in [
            MoveMark::Filling { installation: "abc".to_owned() },
            MoveMark::Restoring { backup: "0a1b".to_owned() },
            MoveMark::Leaving { epoch: 7, to: place.clone() },
            MoveMark::Stayed { epoch: 8, to: place.clone() },
            MoveMark::Arrived { when: when.clone(), from: place.clone() },
            MoveMark::Moved { when, to: place },
        ] {
            assert_eq!(MoveMark::parse(&mark.text()), Some(mark));
        }
        assert_eq!(MoveMark::parse("moved"), None);
        assert_eq!(MoveMark::parse("leaving x y"), None);
    }
}
