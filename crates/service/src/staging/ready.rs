//! Whether what is pending is all there is: what was read or set and not synchronised yet is in no plan.

use onesync_model::ConnectorId;
use onesync_store::StoreReader;

use crate::error::ServiceError;
use crate::import::UNPROVEN;
use crate::runtime::{Runtime, Service};
use crate::sync::FULL_SYNC_NEEDED;

impl Service {
    /// What was read or set and is not in the plan yet, in words.
    pub(super) fn not_computed(
        &self,
        reader: &dyn StoreReader,
        runtime: &Runtime,
    ) -> Result<Option<String>, ServiceError> {
        let mut out = Vec::new();
        for connector in &runtime.connectors {
            let name = connector.name();
            if reader.state(connector.id, FULL_SYNC_NEEDED)?.is_some() {
                out.push(format!("`{name}` was not synchronised by the rules and settings in force"));
            }
            if let Some(why) = reader.state(connector.id, UNPROVEN)? {
                let why = String::from_utf8_lossy(&why).into_owned();
                out.push(format!(
                    "the last import of `{name}` was not complete, so that nobody is gone: {why}"
                ));
            }
        }
        // What is on the agenda of a connector that is no more is never done.
        let known = |id: ConnectorId| id.0 == 0 || runtime.connectors.iter().any(|c| c.id == id);
        let counts = reader.agenda_counts(self.now())?.into_iter();
        let due: u64 = counts.filter(|count| known(count.connector)).map(|count| count.due).sum();
        if due > 0 {
            out.push(format!("{due} changes were not looked at yet"));
        }
        Ok((!out.is_empty()).then(|| out.join("; ")))
    }

    /// An error while something is not in the plan yet: the next cycle would compute it, and export it unseen.
    pub(super) fn must_be_computed(&self, runtime: &Runtime, name: &str) -> Result<(), ServiceError> {
        let why = self.not_computed(&*self.store().reader()?, runtime)?;
        let Some(why) = why else { return Ok(()) };
        Err(ServiceError::held(
            format!("the plan of `{name}` is not what would be done: {why}"),
            format!(
                "run `onesync cycle` first, then look at `onesync staging plan {name}` again; an import that was not complete \
                 says what to mend"
            ),
        ))
    }
}
