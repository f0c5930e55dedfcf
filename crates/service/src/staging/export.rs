//! `staging export-plan`: what this server holds at each target and would write there now, for another server.

use std::path::{Path, PathBuf};

use onesync_model::ConnectorId;
use onesync_store::StoreReader;
use serde::Serialize;

use super::file::{ConnectorHead, FORM, Head, Line, Writer};
use super::settings::Settings;
use super::side::Side;
use crate::error::ServiceError;
use crate::facts::TARGET;
use crate::import::UNPROVEN;
use crate::process;
use crate::runs::Step;
use crate::runtime::{ConnectorHandle, Runtime, Service};

/// Runs that are looked at for an import.
const RUNS: usize = 200;

/// What was written for another server.
#[derive(Clone, Debug, Serialize)]
pub struct PlanExported {
    /// The file.
    pub file: PathBuf,
    /// Its bytes.
    pub bytes: u64,
    /// Objects in it.
    pub objects: u64,
    /// Changes of objects and link values that are owed.
    pub changes: u64,
    /// What was read or set and is not in it yet.
    pub not_computed: Option<String>,
}

impl Service {
    /// Writes what this server holds at each target, and what it would write there now, into a new file. Nothing else is
    /// changed, and it works whatever this server is.
    ///
    /// # Errors
    /// When the file is there or cannot be written, or no configuration is in force.
    pub fn export_plan(&self, file: &Path) -> Result<PlanExported, ServiceError> {
        let runtime = self.runtime()?;
        let reader = self.store().reader()?;
        let head = self.plan_head(&*reader, &runtime)?;
        let mut writer = Writer::begin(file, &head)?;
        let part = writer.part();
        let (mut objects, mut changes) = (0, 0);
        let mut write = || -> Result<(), ServiceError> {
            for connector in runtime.connectors.iter().filter(|c| c.capabilities.export) {
                let side = Side::new(&*reader, &runtime, connector)?;
                writer.line(&Line::Connector(connector.name().to_owned()))?;
                side.entries(&mut |(_, entry)| {
                    objects += 1;
                    changes += u64::from(entry.change.is_some());
                    writer.line(&Line::Object(entry))
                })?;
                side.links(&mut |link| {
                    changes += 1;
                    writer.line(&Line::Link(link))
                })?;
            }
            Ok(())
        };
        match write().and_then(|()| writer.end()) {
            Ok(bytes) => {
                let (file, not_computed) = (file.to_owned(), head.not_computed);
                Ok(PlanExported { file, bytes, objects, changes, not_computed })
            }
            Err(error) => {
                // Half a file is none.
                if let Err(left) = std::fs::remove_file(&part) {
                    tracing::warn!(file = %part.display(), %left, "half a plan could not be removed");
                }
                Err(error)
            }
        }
    }

    /// What this server is, and what it is set to.
    pub(super) fn plan_head(
        &self,
        reader: &dyn StoreReader,
        runtime: &Runtime,
    ) -> Result<Head, ServiceError> {
        let connectors = runtime.connectors.iter().map(|c| self.connector_head(reader, c));
        Ok(Head {
            form: FORM,
            program: env!("CARGO_PKG_VERSION").to_owned(),
            installation: self.installation_id().to_owned(),
            epoch: reader.installation()?.map_or(0, |row| row.epoch),
            server: self.standing().server().to_owned(),
            host: process::host(),
            standing: self.standing().word().to_owned(),
            taken: self.now().to_string(),
            not_computed: self.not_computed(reader, runtime)?,
            settings: Settings::of(self, runtime)?,
            connectors: connectors.collect::<Result<_, _>>()?,
        })
    }

    fn connector_head(
        &self,
        reader: &dyn StoreReader,
        connector: &ConnectorHandle,
    ) -> Result<ConnectorHead, ServiceError> {
        let target = reader.state(connector.id, TARGET)?;
        Ok(ConnectorHead {
            name: connector.name().to_owned(),
            kind: connector.file.kind.clone(),
            writes: connector.capabilities.export,
            mode: self.mode(connector)?.to_owned(),
            target: target.map(|name| String::from_utf8_lossy(&name).into_owned()),
            imported: imported(reader, connector.id)?,
        })
    }
}

/// When the last complete import of a directory ended; `None` where the last one was not complete, or none was.
fn imported(reader: &dyn StoreReader, connector: ConnectorId) -> Result<Option<String>, ServiceError> {
    if reader.state(connector, UNPROVEN)?.is_some() {
        return Ok(None);
    }
    let imports = [Step::FullImport.as_str(), Step::DeltaImport.as_str()];
    let mut runs = reader.runs(Some(connector), None, RUNS)?.into_iter();
    let last = runs.find(|run| {
        imports.contains(&run.step.as_str())
            && matches!(run.result.as_deref(), Some("success" | "completed-with-errors"))
    });
    Ok(last.and_then(|run| run.ended).map(|ended| ended.to_string()))
}
