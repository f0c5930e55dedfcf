//! What can go wrong in a store.

use onesync_engine::ReadError;
use thiserror::Error;

/// A failed operation of a store.
#[derive(Debug, Error)]
pub enum StoreError {
    /// Another server has taken over: this one must stop at once.
    #[error(
        "this server is fenced: it holds epoch {ours}, the database is at epoch {theirs}; another server has taken \
         over: stop this one, work goes on there"
    )]
    Fenced {
        /// The epoch this server holds.
        ours: u64,
        /// The epoch in the database.
        theirs: u64,
    },
    /// The database has the schema, and no installation yet.
    #[error(
        "the database holds no installation: it was never finished; remove the file and apply a configuration, or name another place"
    )]
    NotInstalled,
    /// The database holds an installation already.
    #[error("the database already holds installation {0}: join it, or name an empty database")]
    Installed(String),
    /// The schema is newer than this program.
    #[error(
        "the database has schema version {found}, this program knows versions up to {known}: use the newer program"
    )]
    Newer {
        /// The version of the database.
        found: u32,
        /// The newest version this program knows.
        known: u32,
    },
    /// A migration that was applied differs from the one in this program.
    #[error(
        "migration {version} ({name}) of the database is not the one in this program: the database was made by a \
         modified program; restore a backup or use that program"
    )]
    Migration {
        /// The version of the migration.
        version: u32,
        /// Its name in the database.
        name: String,
    },
    /// The file or database holds something else.
    #[error("`{place}` is not a database of OneSync ({why}): name another place, nothing was changed")]
    NotOurs {
        /// Where.
        place: String,
        /// How it was found out.
        why: String,
    },
    /// The file, or the folder beside it, cannot be written.
    #[error(
        "the database cannot be written while {doing}: the account that runs this program has no right to the file or its folder"
    )]
    ReadOnly {
        /// What was being done.
        doing: &'static str,
    },
    /// The database library or server is too old.
    #[error("{product} {found} is too old, at least {needed} is needed: {why}")]
    TooOld {
        /// Which product.
        product: &'static str,
        /// Its version.
        found: String,
        /// The oldest that will do.
        needed: &'static str,
        /// What is wrong with older ones.
        why: &'static str,
    },
    /// Stored bytes that this program did not write.
    #[error(
        "row {row} of table `{table}` is damaged: {what}; restore a backup, or run a full import and full sync"
    )]
    Damaged {
        /// The table.
        table: &'static str,
        /// The key of the row.
        row: String,
        /// What is wrong.
        what: String,
    },
    /// Rows that contradict what is stored: a mistake of the caller; nothing was written.
    #[error("the changes contradict the database: {0}")]
    Conflict(String),
    /// No space is left.
    #[error("no space is left for the database while {doing}: free some space, nothing is lost")]
    Full {
        /// What was being done.
        doing: &'static str,
    },
    /// Someone else holds the database for too long.
    #[error("the database is locked by another program while {doing}: end that program, then try again")]
    Busy {
        /// What was being done.
        doing: &'static str,
    },
    /// The database failed otherwise.
    #[error("the database failed while {doing}: {message}")]
    Database {
        /// What was being done.
        doing: &'static str,
        /// What the database said.
        message: String,
    },
}

impl StoreError {
    /// Whether the same call may succeed when it is repeated after a moment.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Busy { .. })
    }
}

impl From<StoreError> for ReadError {
    fn from(error: StoreError) -> Self {
        Self(error.to_string())
    }
}
