//! How far a database's schema is: what its migrations are beside those of this program.

use onesync_model::hash128;

use crate::error::StoreError;

/// How far the schema of a database is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SchemaState {
    /// Its version; 0 of an empty database.
    pub found: u32,
    /// The version that this program works with.
    pub known: u32,
    /// The names of the migrations that it lacks, in order.
    pub missing: Vec<&'static str>,
}

impl SchemaState {
    /// Whether there is a schema, and it is older than this program's.
    #[must_use]
    pub fn is_older(&self) -> bool {
        self.found > 0 && !self.missing.is_empty()
    }

    /// Compares the migrations that a database names (version, name, checksum; ascending) with this program's.
    ///
    /// # Errors
    /// When it is newer, or one of them is not the one of this program.
    pub(crate) fn of(
        applied: &[(u32, String, Vec<u8>)],
        migrations: &[(&'static str, &str)],
    ) -> Result<Self, StoreError> {
        let known = migrations.len() as u32;
        let found = applied.last().map_or(0, |(version, ..)| *version);
        if found > known {
            return Err(StoreError::Newer { found, known });
        }
        // Each batch of migrations is one transaction in order: what is there is a beginning of all of them.
        for ((expected, (_, text)), (version, name, sum)) in (1u32..).zip(migrations).zip(applied) {
            if expected != *version || *sum != checksum(text) {
                return Err(StoreError::Migration { version: *version, name: name.clone() });
            }
        }
        let missing = migrations.iter().skip(found as usize).map(|(name, _)| *name).collect();
        Ok(Self { found, known, missing })
    }
}

/// The version of the schema that this program works with in each kind of database: by the name that backups give it.
#[must_use]
pub fn schema_versions() -> [(&'static str, u32); 3] {
    use crate::{mssql, postgres, sqlite};
    [("embedded", sqlite::SCHEMA), ("postgres", postgres::SCHEMA), ("sqlserver", mssql::SCHEMA)]
}

/// What tells whether a migration is the one that was applied.
pub(crate) fn checksum(text: &str) -> Vec<u8> {
    hash128(&[text.as_bytes()]).0.to_vec()
}
