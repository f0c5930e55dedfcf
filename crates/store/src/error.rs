//! What can go wrong in a store.

use onesync_engine::ReadError;
use thiserror::Error;

/// How the words begin of an error that says so: many a read keeps only the words.
pub const DAMAGED: &str = "the database is damaged";

/// A failed operation of a store.
#[derive(Debug, Error)]
pub enum StoreError {
    /// Another server has taken over: this one must stop at once.
    #[error("{}", fenced(*.ours, *.theirs))]
    Fenced {
        /// The epoch this server holds.
        ours: u64,
        /// The epoch in the database.
        theirs: u64,
    },
    /// The installation is on its way to another database.
    #[error(
        "the database is being moved to {to}: nothing can be written until that has ended; do it again in a moment, nothing is lost"
    )]
    Moving {
        /// Where to.
        to: String,
    },
    /// The installation has gone to another database.
    #[error(
        "the installation was moved to {to} at {when}: this database is what it was then, and is not written any more; \
         work goes on there"
    )]
    Moved {
        /// Where to.
        to: String,
        /// When.
        when: String,
    },
    /// A move into this database was cut off.
    #[error(
        "a move into this database was not finished: it serves nobody; the installation works where it was, and \
         `onesync db move` there begins anew"
    )]
    HalfMoved,
    /// A restore into this database was cut off.
    #[error(
        "a restore into this database was not finished: it serves nobody; run the same `onesync restore` again, it begins \
         anew by itself"
    )]
    HalfRestored,
    /// The database is empty, or has the schema and no installation.
    #[error("the database holds no installation")]
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
    /// What was said about the database cannot be used.
    #[error("the setting of the database cannot be used: {why}")]
    Settings {
        /// What is wrong; never a part of the setting that may be secret.
        why: String,
    },
    /// A question that cannot be answered.
    #[error("the database cannot answer this: {why}")]
    Question {
        /// Why, in the database's words.
        why: String,
    },
    /// There is no such database on the server.
    #[error("the setting of the database cannot be used: {why}: create it, or name another one")]
    NoDatabase {
        /// What the server said.
        why: String,
    },
    /// The server or its driver refused, for a reason that has no place of its own here.
    #[error("the database server refused, while {doing}: {message}; nothing was written")]
    Server {
        /// What was being done.
        doing: &'static str,
        /// What it said.
        message: String,
    },
    /// The server does not answer, or stopped answering.
    #[error(
        "the database server is out of reach while {doing}: {why}; nothing was lost: look whether it runs and whether \
         host and port are right, then do it again"
    )]
    Unreachable {
        /// What was being done.
        doing: &'static str,
        /// What happened.
        why: String,
    },
    /// The server does not let this account in.
    #[error(
        "the database server refuses the account: {why}; check user and password, and the server's access rules \
         (PostgreSQL: pg_hba.conf; SQL Server: SQL logins allowed, and a user in this database for the login)"
    )]
    SignIn {
        /// What the server said.
        why: String,
    },
    /// The server is not proven to be the right one.
    #[error(
        "the certificate of the database server is not trusted: {why}; name the file of its authority \
         (`sslrootcert=FILE`, SQL Server: `ca_file=FILE`) and connect by the name in the certificate; nothing was sent"
    )]
    Untrusted {
        /// What is wrong with it.
        why: String,
    },
    /// The account lacks a right.
    #[error(
        "the database account lacks a right while {doing}: {why}; the database's administrator can give it"
    )]
    Rights {
        /// What was being done.
        doing: &'static str,
        /// What the server said.
        why: String,
    },
    /// The database cannot serve as a store.
    #[error("the database cannot be used: {why}")]
    Unsuitable {
        /// Why, and what would do.
        why: String,
    },
    /// The server lost batches that it had acknowledged: it crashed, or a standby that lacked them took over.
    #[error(
        "the database server has lost what it had acknowledged: batch {acknowledged} was written, it is at batch {found} \
         (it crashed, a standby took over, or a backup was restored); do this step again: it goes on from what is there"
    )]
    Lost {
        /// The batch that was acknowledged.
        acknowledged: u64,
        /// The last batch that is there.
        found: u64,
    },
    /// The connection broke while a batch was committed, and another program wrote before it could be looked at.
    #[error(
        "whether the last batch was written cannot be told: the connection broke at the commit, and another program has \
         written since; do this step again: it goes on from what is there"
    )]
    Unsure,
    /// Someone else holds the database for too long.
    #[error("the database is locked by another program while {doing}: end that program, then try again")]
    Busy {
        /// What was being done.
        doing: &'static str,
    },
    /// The place of the database failed, and not what is in it.
    #[error("the file of the database cannot be used while {doing}: {message}")]
    Disk {
        /// What was being done.
        doing: &'static str,
        /// What the database library said.
        message: String,
    },
    /// What is in the file is no database any more.
    #[error("{DAMAGED}, found while {doing}: {message}")]
    Corrupt {
        /// What was being done.
        doing: &'static str,
        /// What the database library said.
        message: String,
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

/// Epochs begin at 1: a server that has only joined a database, or leaves it, holds none.
fn fenced(ours: u64, theirs: u64) -> String {
    match ours {
        0 => "this server is not active: it looks, and writes nothing into the database".to_owned(),
        _ => format!(
            "this server is fenced: it holds epoch {ours}, the database is at epoch {theirs}; another server has taken \
             over: stop this one, work goes on there"
        ),
    }
}

impl StoreError {
    /// Whether the same call may succeed when it is repeated after a moment.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Busy { .. } | Self::Unreachable { .. })
    }
}

impl From<StoreError> for ReadError {
    fn from(error: StoreError) -> Self {
        Self(error.to_string())
    }
}
