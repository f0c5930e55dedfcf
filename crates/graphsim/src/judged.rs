//! A simulator whose whole traffic is judged when it ends (feature `validate`): the one way for tests to start it.
//!
//! It fails by panicking, because it is the last assertion of a test. Deliberately absent: traffic whose bodies were not
//! kept; a test that switches them off says so by doing it.

use std::ops::Deref;
use std::path::Path;
use std::sync::OnceLock;

use crate::validate::{Validator, description};
use crate::{Builder, GraphSim, LogEntry, SimError};

/// Requests that the description leaves out: sign-in, and what it has no path for.
const NOT_DESCRIBED: [&str; 3] = ["/oauth2/v2.0/token", "/v1.0/directoryRoles", "/v1.0/applications"];

/// A running simulator; when it is dropped or shut down, every request and response must fit the description.
pub struct Judged {
    sim: GraphSim,
    also: &'static [&'static str],
}

impl Builder {
    /// Starts the simulator with its traffic kept, to be judged at its end.
    ///
    /// # Errors
    /// As [`Builder::start`].
    pub async fn judged(self) -> Result<Judged, SimError> {
        self.judged_beside(&[]).await
    }

    /// The same, where requests with one of these in their path are made although the description lacks them.
    ///
    /// # Errors
    /// As [`Builder::start`].
    pub async fn judged_beside(self, also: &'static [&'static str]) -> Result<Judged, SimError> {
        Ok(Judged { sim: self.keep_bodies(true).start().await?, also })
    }
}

impl Judged {
    /// Stops, writes the state file if there is one, and judges.
    ///
    /// # Errors
    /// As [`GraphSim::shutdown`].
    pub async fn shutdown(mut self) -> Result<(), SimError> {
        self.sim.stop().await
    }
}

impl Deref for Judged {
    type Target = GraphSim;

    fn deref(&self) -> &GraphSim {
        &self.sim
    }
}

impl Drop for Judged {
    fn drop(&mut self) {
        // The first failure of a test is the one to read; and a second panic would abort the process.
        if std::thread::panicking() {
            return;
        }
        let Some(validator) = validator() else { return };
        let misfits = verdict(validator, &self.sim.log(0), self.also);
        assert!(misfits.is_empty(), "traffic does not fit the description:\n{}", misfits.join("\n"));
    }
}

/// The description, read once per process; none where the shared folder is missing.
///
/// # Panics
/// When it is missing in CI, or cannot be read.
#[must_use]
pub fn validator() -> Option<&'static Validator> {
    static VALIDATOR: OnceLock<Option<Validator>> = OnceLock::new();
    let open = || {
        let Some(file) = description(Path::new(env!("CARGO_MANIFEST_DIR"))) else {
            skip("graph_v1_subset.openapi.yaml");
            return None;
        };
        match Validator::open(&file) {
            Ok(validator) => Some(validator),
            Err(reason) => {
                assert!(reason.is_empty(), "the description cannot be used: {reason}");
                None
            }
        }
    };
    VALIDATOR.get_or_init(open).as_ref()
}

/// Says aloud that a judge is missing.
///
/// # Panics
/// In CI, where nothing may be left out.
pub fn skip(file: &str) {
    assert!(std::env::var_os("CI").is_none(), "CI needs shared/data/{file} beside the workspace");
    eprintln!("SKIPPED: traffic is not judged, shared/data/{file} is not beside the workspace");
}

/// What does not fit, and what should have been described.
fn verdict(validator: &Validator, log: &[LogEntry], also: &[&str]) -> Vec<String> {
    let (mut misfits, unknown) = validator.check_all(log);
    // The description's generator wrote `string` for this one; the service answers an object with @odata.id.
    misfits.retain(|line| !(line.contains(" GET ") && line.contains("/manager/$ref -> 200")));
    let expected = |line: &String| NOT_DESCRIBED.iter().chain(also).any(|part| line.contains(part));
    misfits.extend(
        unknown.into_iter().filter(|line| !expected(line)).map(|line| format!("{line}: not described")),
    );
    misfits
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn entry(method: &str, path: &str, response: serde_json::Value) -> LogEntry {
        let (method, path) = (method.to_owned(), path.to_owned());
        LogEntry { method, path, status: 200, response_body: Some(response), ..LogEntry::default() }
    }

    #[test]
    fn wrong_answers_and_unknown_requests_are_found() {
        let Some(validator) = validator() else { return };
        let good = entry("GET", "/v1.0/users/1", json!({"id": "1", "displayName": "Ada"}));
        let wrong = entry("GET", "/v1.0/users/1", json!({"id": "1", "displayName": 7}));
        let unknown = entry("GET", "/v1.0/nothing", json!({}));
        let count = |log: &[LogEntry], also: &[&str]| verdict(validator, log, also).len();
        assert_eq!(count(std::slice::from_ref(&good), &[]), 0);
        assert_eq!(count(&[good, wrong, unknown.clone()], &[]), 2);
        assert_eq!(count(&[unknown], &["/v1.0/nothing"]), 0);
    }
}
