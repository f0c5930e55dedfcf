//! Where keys lie that this server does not have: whoever is about to give them up, or has a file that is too old, is told.

use super::exports;
use crate::error::ServiceError;
use crate::runtime::Service;

/// Places that are named at most.
const NAMED: usize = 5;

impl Service {
    /// The files with the right keys, as far as the database knows them and they can be seen: exported key files, the newest
    /// first, and backups with their keys inside. `right` is given what tells whether a file has a key.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub(crate) fn places_of_keys(
        &self,
        right: impl Fn(&dyn Fn(&String) -> bool) -> bool,
    ) -> Result<Vec<String>, ServiceError> {
        let (exports, kept) = (exports(&*self.store().reader()?)?, self.kept_backups()?);
        let exports = exports.iter().filter(|note| right(&|id| note.keys.contains_key(id))).map(|note| {
            format!(
                "`{}` on {}, exported at {} (sealed by {})",
                note.file, note.host, note.exported, note.sealed
            )
        });
        let backups = kept.backups.iter().rev().filter(|backup| right(&|id| backup.inside.contains(id)));
        let backups =
            backups.map(|backup| format!("the backup `{}`, which has them inside", backup.file.display()));
        Ok(exports.chain(backups).take(NAMED).collect())
    }
}
