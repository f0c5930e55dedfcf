//! Verifying: whether what is stored is what it must be.

use onesync_engine::invariants;
use onesync_model::{CsId, MvId, RunId};

use crate::error::ServiceError;
use crate::runtime::Service;

/// Rows looked at in one go.
const PAGE: usize = 500;

impl Service {
    /// Compares all stored rows with the engine's invariants; gives what does not hold, in words.
    ///
    /// # Errors
    /// When the database cannot be read, or no configuration is applied.
    pub fn verify(&self) -> Result<Vec<String>, ServiceError> {
        let runtime = self.runtime()?;
        let reader = self.store().reader()?;
        let ctx = self.context(&runtime, RunId(0));
        let mut broken = Vec::new();
        for connector in &runtime.connectors {
            let mut after = CsId(i64::MIN);
            loop {
                let rows = reader.cs_page(connector.id, after, PAGE)?;
                let Some(last) = rows.last() else { break };
                after = last.id;
                broken.extend(invariants::of_connector_space(&ctx, &*reader, &rows)?);
            }
        }
        let mut after = MvId(i64::MIN);
        loop {
            let ids: Vec<MvId> = reader.mv_page(after, PAGE)?.iter().map(|row| row.id).collect();
            let Some(&last) = ids.last() else { break };
            after = last;
            broken.extend(invariants::of_metaverse(&ctx, &*reader, &ids)?);
        }
        Ok(broken.into_iter().map(|(invariant, place)| format!("{invariant:?}: {place}")).collect())
    }
}
