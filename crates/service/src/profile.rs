//! Run profiles: named lists of steps in a connector's file.

use crate::config::ConnectorFile;
use crate::cycle::CycleReport;
use crate::error::ServiceError;
use crate::runs::{Progress, Step};
use crate::runtime::{ConnectorHandle, Service};

/// What is wrong with the profiles of a file: key, message.
pub(crate) fn mistakes(file: &ConnectorFile) -> Vec<(&str, String)> {
    let mut found = Vec::new();
    for (name, steps) in &file.profiles {
        if name.trim().is_empty() {
            found.push((name.as_str(), "a run profile needs a name".to_owned()));
        } else if Step::parse(name).is_some() {
            found.push((name.as_str(), format!("`{name}` is a step: give the run profile another name")));
        } else if steps.is_empty() {
            found.push((name.as_str(), format!("the run profile `{name}` has no steps: write {}", words())));
        }
    }
    found
}

/// The profiles of a connector that only reads, and write all the same: what is wrong with them, with its place.
pub(crate) fn cannot_export(connector: &ConnectorHandle) -> Vec<String> {
    if connector.capabilities.export {
        return Vec::new();
    }
    let file = &connector.file;
    let wrong = file.profiles.iter().filter(|(_, steps)| steps.contains(&Step::Export));
    wrong
        .map(|(name, _)| {
            let place = file.place_of(&["profiles", name]);
            format!("{place}: the run profile `{name}` has the step `export`, and `{}` only reads", file.name)
        })
        .collect()
}

fn words() -> String {
    Step::ALL.map(Step::as_str).join(", ")
}

impl Service {
    /// Runs the steps of a profile in their order. A step that fails or is held back is the last one.
    ///
    /// # Errors
    /// When there is no such connector or profile, or nothing more can be done at all.
    pub async fn run_profile(
        &self,
        connector: &str,
        profile: &str,
        progress: &(dyn Fn(Progress) + Sync),
    ) -> Result<CycleReport, ServiceError> {
        let began = std::time::Instant::now();
        let steps = self.profile(connector, profile)?;
        let _lock = self.begin_work(profile)?;
        self.ask_again().await?;
        self.try_new_secrets().await?;
        let mut report = CycleReport::default();
        for step in steps {
            match self.one_step(connector, step, progress).await {
                Ok(run) => report.take(run),
                Err(error) if error.ends_everything() => return Err(error),
                Err(error) => {
                    report.fail(self.runtime()?.connector(connector)?, step, &error);
                    break;
                }
            }
        }
        self.closed(report, began)
    }

    fn profile(&self, connector: &str, profile: &str) -> Result<Vec<Step>, ServiceError> {
        let runtime = self.runtime()?;
        let connector = runtime.connector(connector)?;
        let profiles = &connector.file.profiles;
        profiles.get(profile).cloned().ok_or_else(|| {
            let known: Vec<&str> = profiles.keys().map(String::as_str).collect();
            let name = connector.name();
            let profiles = match known.as_slice() {
                [] => format!("`{name}` has no run profiles"),
                known => format!("run profiles of `{name}` are: {}", known.join(", ")),
            };
            ServiceError::usage(
                format!("`{profile}` is neither a step nor a run profile of `{name}`"),
                format!("steps are: {}; {profiles}", words()),
            )
        })
    }
}
