//! The record of what was done to set up an installation: a line of JSON for each step, without secrets.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use serde_json::json;

use super::PlannedStep;
use crate::account;
use crate::clock::Clock;
use crate::error::ServiceError;
use crate::home::no_link;

/// The file in the home.
pub(super) const FILE: &str = "setup.log";

/// Whether a folder has such a record.
pub(super) fn is_one(folder: &Path) -> bool {
    let Ok(text) = std::fs::read_to_string(folder.join(FILE)) else { return false };
    let line = text.lines().next().and_then(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    line.is_some_and(|line| line.get("step").is_some() && line.get("program").is_some())
}

/// Writes the record.
pub(super) struct Record {
    path: PathBuf,
}

impl Record {
    pub(super) fn of(folder: &Path) -> Self {
        Self { path: folder.join(FILE) }
    }

    /// Adds a line, on the disk before anything else is done.
    pub(super) fn write(
        &self,
        step: &PlannedStep,
        result: &str,
        clock: &dyn Clock,
    ) -> Result<(), ServiceError> {
        let line = json!({
            "time": clock.now().to_string(),
            "who": account::who(),
            "program": env!("CARGO_PKG_VERSION"),
            "step": step.step,
            "text": step.text,
            "result": result,
        });
        no_link()
            .append(true)
            .create(true)
            .open(&self.path)
            .and_then(|mut file| {
                file.write_all(format!("{line}\n").as_bytes())?;
                file.sync_data()
            })
            .map_err(|source| ServiceError::File { place: self.path.display().to_string(), source })
    }
}
