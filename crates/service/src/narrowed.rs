//! A selection that became narrower: what lies outside of it is counted, and leaves a copy of the database as it will
//! leave the installation with the next full import.

use std::collections::BTreeMap;

use onesync_engine::{ContainerNames, CsFlags, Stager, suspect};
use onesync_model::{CsId, RunId};

use crate::error::ServiceError;
use crate::runtime::{ConnectorHandle, Runtime, Service};

/// Objects looked at in one go.
const PAGE: usize = 2_000;

impl Service {
    /// Lets all objects leave that a connector's settings do not select. Gives what a person should know of it.
    pub(crate) fn leave_outside(
        &self,
        runtime: &Runtime,
        connector: &ConnectorHandle,
    ) -> Result<Vec<String>, ServiceError> {
        let known = self.known_watermark(connector)?;
        let Some(selects) = connector.connector.selector(known.as_ref()) else { return Ok(Vec::new()) };
        let mut stager = Stager::new(connector.id, true);
        let (mut all, mut outside, mut after) = (0u64, BTreeMap::<String, u64>::new(), CsId(i64::MIN));
        let mut containers = ContainerNames::default();
        loop {
            let reader = self.store().reader()?;
            let page = reader.cs_page(connector.id, after, PAGE)?;
            let Some(last) = page.last() else { break };
            after = last.id;
            let mut gone = Vec::new();
            for row in page.iter().filter(|row| !row.flags.has(CsFlags::GONE)) {
                all += 1;
                let object_type = runtime.names.type_name(row.object_type);
                if !selects(object_type, &containers.dn(&*reader, &row.name, row.container)?) {
                    *outside.entry(object_type.to_owned()).or_default() += 1;
                    gone.push(row.id);
                }
            }
            if !gone.is_empty() {
                let changes = stager.gone(&self.context(runtime, RunId(0)), &*reader, &gone)?;
                drop(reader);
                self.store().apply(self.epoch(), &changes)?;
            }
        }
        let name = connector.name();
        let mut said: Vec<String> = outside
            .iter()
            .map(|(object_type, count)| {
                format!("{count} objects of type {object_type} of `{name}` are outside of the new selection: they leave with its next full import")
            })
            .collect();
        let (percent, at_least) = (connector.file.suspect_percent, connector.file.suspect_at_least);
        if let Some(why) = suspect(all, outside.values().sum(), percent, at_least) {
            said.push(format!(
                "that import of `{name}` will stop as suspect before it deletes anything ({why}): if the selection is right, raise `suspect_percent` together with it"
            ));
        }
        Ok(said)
    }
}
