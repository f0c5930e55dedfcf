//! Where keys lie that this server does not have: whoever is about to give them up, or has a file that is too old, is told.

use std::collections::BTreeSet;

use super::exports_with;
use crate::error::ServiceError;
use crate::runtime::Service;

/// Places that are named at most.
const NAMED: usize = 5;

impl Service {
    /// The files that hold all of these keys, as far as the database knows them and they can be seen: exported key files, the newest
    /// first, and backups with their keys inside.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub(crate) fn places_of_keys(&self, ids: &BTreeSet<String>) -> Result<Vec<String>, ServiceError> {
        let exports = exports_with(&*self.store().reader()?, ids)?.into_iter().map(|note| {
            format!(
                "`{}` on {}, exported at {} (sealed by {})",
                note.file, note.host, note.exported, note.sealed
            )
        });
        let kept = self.kept_backups()?;
        let backups =
            kept.backups.iter().rev().filter(|backup| ids.iter().all(|id| backup.inside.contains(id)));
        let backups = backups
            .map(|backup| format!("the backup `{}`, which has them inside", backup.file.display()))
            .collect::<Vec<_>>();
        Ok(exports.chain(backups).take(NAMED).collect())
    }
}
