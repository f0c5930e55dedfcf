//! Verify first: a database may be older than the directories it speaks of, and then everything is read before anything
//! is written.
//!
//! After a restore, or when another server takes over, each connector owes a full import. Until it has ended, and was
//! complete, nothing is exported to any of them: what one directory shows decides what another one gets. Deliberately
//! absent: who may export at all (staging, the marker, the copy).

use onesync_engine::{ChangeState, Changes};
use onesync_model::Operation;
use onesync_store::StoreReader;

use crate::cycle::CycleKind;
use crate::error::ServiceError;
use crate::import::{UNPROVEN, forgotten_watermarks};
use crate::runtime::{Runtime, Service};

/// Present while a full import of a connector is owed before anything is exported.
pub(crate) const VERIFY_FIRST: &str = "verify-first";

/// What is to be written into a database that may be older than the directories: each connector owes a full import, no
/// import goes on from where one was, and what was being sent is to be sent. Whether it arrived is seen by that import,
/// which finds what was created by its create key; what has none stays as it was, and is looked at by a person.
pub(crate) fn distrusted(reader: &dyn StoreReader) -> Result<Changes, ServiceError> {
    let mut changes = Changes::default();
    for connector in reader.connectors()?.into_iter().filter(|connector| !connector.removed) {
        changes.states.push((connector.id, VERIFY_FIRST.to_owned(), Some(vec![1])));
        changes.states.extend(forgotten_watermarks(reader, connector.id)?);
        for mut row in reader.sending_exports(connector.id)? {
            if row.operation == Operation::Add && row.create_key.is_none() {
                continue;
            }
            for change in row.changes.iter_mut().filter(|change| change.state == ChangeState::Sending) {
                change.state = ChangeState::Pending;
            }
            (row.state, row.sent) = (ChangeState::Pending, None);
            changes.exports.push(row);
        }
        for mut row in reader.sending_export_links(connector.id)? {
            row.state = ChangeState::Pending;
            changes.export_links.push(row);
        }
    }
    Ok(changes)
}

impl Service {
    /// The connectors whose full import is owed before anything is exported.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn imports_owed(&self, runtime: &Runtime) -> Result<Vec<String>, ServiceError> {
        let reader = self.store().reader()?;
        let mut owed = Vec::new();
        for connector in &runtime.connectors {
            if reader.state(connector.id, VERIFY_FIRST)?.is_some() {
                owed.push(connector.name().to_owned());
            }
        }
        Ok(owed)
    }

    /// How a cycle begins: with full imports as long as one is owed.
    pub(crate) fn kind_owed(&self, owed: &[String], kind: CycleKind) -> CycleKind {
        if owed.is_empty() { kind } else { CycleKind::Initial }
    }

    /// An error as long as a full import of any connector is owed.
    pub(crate) fn must_be_verified(&self, runtime: &Runtime) -> Result<(), ServiceError> {
        let owed = self.imports_owed(runtime)?;
        if owed.is_empty() {
            return Ok(());
        }
        let reader = self.store().reader()?;
        let mut why = Vec::new();
        for connector in runtime.connectors.iter().filter(|c| owed.iter().any(|name| name == c.name())) {
            if let Some(unproven) = reader.state(connector.id, UNPROVEN)? {
                why.push(format!(
                    "; that of `{}` was {}",
                    connector.name(),
                    String::from_utf8_lossy(&unproven)
                ));
            }
        }
        Err(ServiceError::held(
            format!(
                "nothing is exported before a full import of `{}` has ended and was complete: since this database was \
                 restored, or this server took over, it may be older than the directories{}",
                owed.join("`, `"),
                why.concat()
            ),
            format!(
                "`onesync cycle` begins with full imports; or run `onesync run {} full-import`",
                owed.join(" full-import`, `onesync run ")
            ),
        ))
    }
}
