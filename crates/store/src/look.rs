//! What a database on a server is, found without writing anything: for whoever sets up an installation.

use onesync_model::Time;
use secrecy::SecretString;

use crate::error::StoreError;
use crate::schema::SchemaState;

/// An administrator of a server, at work for one installation.
pub trait DatabaseAdmin {
    /// What there is for the installation, and what the administrator may do about it.
    ///
    /// # Errors
    /// When the server does not let the administrator in.
    fn look(&self) -> Result<ServerLook, StoreError>;

    /// What is in the database, which is there.
    ///
    /// # Errors
    /// When the server will not do, or the database is of a newer program.
    fn content(&self) -> Result<DatabaseContent, StoreError>;

    /// Makes what is missing of accounts and database.
    ///
    /// # Errors
    /// When the administrator lacks a right; the message names it.
    fn make_database(&self, password: Option<&SecretString>) -> Result<(), StoreError>;

    /// Makes or updates the tables as the database's owner, and gives the service what it needs and nothing else.
    ///
    /// # Errors
    /// When the database holds something else, is newer, or the administrator lacks a right.
    fn make_tables(&self) -> Result<(), StoreError>;
}

/// What there is for an installation on a server, as its administrator sees it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ServerLook {
    /// Whether the account of the service is there.
    pub role: bool,
    /// Whether the database is there.
    pub database: bool,
    /// Whether the administrator may make what is missing, and the tables.
    pub may: bool,
    /// What [`DatabaseAdmin::make_database`] would do, in words; `None` when there is nothing to do.
    pub makes: Option<String>,
}

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
    /// Whether reports of others make those wait who write.
    pub readers_block: bool,
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

impl DatabaseContent {
    /// What a database without our tables holds: nothing, or something of others, which `refused` says.
    pub(crate) fn of_others(refused: Result<(), StoreError>) -> Result<Self, StoreError> {
        match refused {
            Ok(()) => Ok(Self::Empty),
            Err(StoreError::NotOurs { why, .. }) => Ok(Self::Other { why }),
            Err(error) => Err(error),
        }
    }

    /// What a database with our tables holds. Where the account may not read them, nobody can tell.
    pub(crate) fn of_ours(
        applied: Result<SchemaState, StoreError>,
        installation: impl FnOnce() -> Result<Option<String>, StoreError>,
    ) -> Result<Self, StoreError> {
        let read = applied.and_then(|state| {
            if state.found == 0 {
                return Ok(Self::Schema { current: false });
            }
            let current = state.missing.is_empty();
            Ok(match installation()? {
                None => Self::Schema { current },
                Some(id) => Self::Installation { id, current },
            })
        });
        match read {
            Err(StoreError::Rights { .. }) => Ok(Self::Unreadable),
            read => read,
        }
    }
}
