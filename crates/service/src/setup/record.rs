//! The record of what was done to set up an installation: a line of JSON for each step, without secrets.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use serde_json::json;

use super::PlannedStep;
use crate::account;
use crate::clock::Clock;
use crate::error::ServiceError;

/// The file in the home.
pub(super) const FILE: &str = "setup.log";

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
        let file = OpenOptions::new().append(true).create(true).mode(0o600).open(&self.path);
        file.and_then(|mut file| {
            file.write_all(format!("{line}\n").as_bytes())?;
            file.sync_data()
        })
        .map_err(|source| ServiceError::File { place: self.path.display().to_string(), source })
    }
}
