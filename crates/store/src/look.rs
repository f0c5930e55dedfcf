//! What a database on a server is, found without writing anything: for whoever sets up an installation.

use onesync_model::Time;

/// What was found on a server.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DatabaseLook {
    /// The product.
    pub product: &'static str,
    /// Its version.
    pub version: String,
    /// How the database orders text.
    pub collation: String,
    /// The server's clock.
    pub now: Time,
    /// Whether the account may make tables.
    pub may_make_tables: bool,
    /// Whether the account owns the tables that are there: more than a service needs.
    pub owns_tables: bool,
    /// Whether the account may do everything on the server.
    pub is_administrator: bool,
    /// What is in it.
    pub content: DatabaseContent,
    /// Rights on our tables that the account lacks, each as `RIGHT on TABLE`.
    pub missing: Vec<String>,
}

/// What is in a database.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum DatabaseContent {
    /// Nothing.
    Empty,
    /// Our tables, and no installation.
    Schema {
        /// Whether they are those of this program; older ones else.
        current: bool,
    },
    /// An installation of OneSync.
    Installation {
        /// Its id.
        id: String,
        /// Whether the tables are those of this program; older ones else.
        current: bool,
    },
    /// Our tables, which the account may not read.
    Unreadable,
    /// Something else.
    Other {
        /// How it was found out.
        why: String,
    },
}
