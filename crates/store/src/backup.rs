//! A backup of a database as it is, whatever version its schema has: the way back from an upgrade.
//!
//! It knows nothing of rows but how many there are: a program that is newer than the database must be able to make
//! one, and to put one back for a program that is older. Deliberately absent: manifests, hashes and names of folders.

/// A table in a backup.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BackedUp {
    /// The table.
    pub table: String,
    /// Its rows.
    pub rows: u64,
}
