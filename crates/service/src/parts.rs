//! What a service is put together from: the one place where the database, the key set and the kinds of connectors can
//! be others than those of a home.

use std::path::PathBuf;
use std::sync::Arc;

use onesync_store::Store;

use crate::clock::Clock;
use crate::kinds::MakeConnector;

/// What a service is put together from.
pub struct Parts {
    /// The database; it holds an installation.
    pub store: Arc<dyn Store>,
    /// Where the key set comes from.
    pub keys: Keys,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// Where relative paths in configurations begin.
    pub paths_from: PathBuf,
    /// How many threads may compute at once.
    pub threads: usize,
    /// How much is done at once.
    pub sizes: Sizes,
    /// Kinds of connectors that only the caller knows.
    pub kinds: Option<Box<MakeConnector>>,
}

/// Where the key set comes from.
#[derive(Clone, Debug)]
pub enum Keys {
    /// From the home. It is opened for each use and closed after it: what does not lie in memory is in no dump of it.
    OfHome,
    /// There is none, and why.
    None(String),
}

/// How much is done at once. Results do not depend on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// Entries in one page of an import, one transaction; four times as many while nothing is there yet.
    pub page: usize,
    /// Objects in one batch of a sync, one transaction; four times as many in one that is going to write.
    pub batch: usize,
    /// Links in one batch of a sync.
    pub links: usize,
}

impl Default for Sizes {
    fn default() -> Self {
        Self { page: 1_000, batch: 500, links: 2_000 }
    }
}
