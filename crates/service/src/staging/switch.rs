//! The refusal of a switch-over: a connector leaves staging only when nothing is taken away from anybody that the active
//! server does not take away, too, or when a person accepts exactly that.
//!
//! The last comparison is remembered in this server's database: what a person reads of it as a setting, and the hashes of
//! what it explained with each connector.

use onesync_engine::Changes;
use onesync_model::Hash128;
use onesync_store::{EventRow, ServiceChanges};
use serde::{Deserialize, Serialize};

use super::diff::{Counted, StagingDiff, TakenAway};
use super::side::Side;
use crate::error::ServiceError;
use crate::events;
use crate::runtime::{ConnectorHandle, Runtime, Service};

/// The setting with the last comparison, as JSON.
const COMPARED: &str = "staging-compared";
/// The state of a connector with the hashes of what the active server takes away, too: 16 bytes each, ascending.
const EXPLAINED: &str = "staging-explained";
/// Hashes that are remembered of one connector: 3 MB. A server that takes away more has other troubles than this one.
const EXPLAINED_MAX: usize = 200_000;
/// Lines that are remembered, and that a refusal names.
const NAMED: usize = 20;

/// The last comparison with the active server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Compared {
    /// Its installation.
    pub installation: String,
    /// Its machine.
    pub host: String,
    /// Of when its plan is.
    pub taken: String,
    /// When it was compared.
    pub compared: String,
    /// Settings that differ.
    pub settings: u64,
    /// Some of them.
    pub setting_samples: Vec<String>,
    /// Targets.
    pub connectors: Vec<ComparedConnector>,
}

/// One target of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ComparedConnector {
    /// The connector.
    pub connector: String,
    /// What would be taken away and was not explained.
    pub unexplained: u64,
    /// The same in words.
    pub words: String,
    /// Its hash; empty where there was nothing.
    pub hash: String,
    /// What would be taken away on both servers.
    pub explained: u64,
    /// Other objects and link values that differ.
    pub differences: u64,
}

impl Compared {
    /// Which server it was, for people.
    #[must_use]
    pub fn with(&self) -> String {
        format!("installation {} at {}, its plan of {}", self.installation, self.host, self.taken)
    }

    /// The comparison in a line.
    #[must_use]
    pub fn words(&self) -> String {
        let of = |c: &ComparedConnector| {
            let taken = match c.unexplained {
                0 => "nothing unexplained would be taken away".to_owned(),
                _ => format!("{} unexplained, hash {}", c.words, c.hash),
            };
            format!("{}: {taken}, {} other differences", c.connector, c.differences)
        };
        let connectors: Vec<String> = self.connectors.iter().map(of).collect();
        format!(
            "compared at {} with {}; {} settings differ; {}",
            self.compared,
            self.with(),
            self.settings,
            connectors.join("; ")
        )
    }
}

impl Service {
    /// The last comparison with the active server.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn staging_compared(&self) -> Result<Option<Compared>, ServiceError> {
        // What another version wrote otherwise says nothing: then it is to be compared anew.
        Ok(self.store().reader()?.setting(COMPARED)?.and_then(|text| serde_json::from_str(&text).ok()))
    }

    /// Remembers a comparison; says what of it is not.
    pub(super) fn keep_diff(
        &self,
        runtime: &Runtime,
        diff: &StagingDiff,
    ) -> Result<Option<String>, ServiceError> {
        let (mut states, mut not_kept) = (Vec::new(), None);
        for connector in &runtime.connectors {
            let of = diff.connectors.iter().find(|c| c.connector == connector.name());
            let mut known: Vec<Hash128> = of.map(|c| c.known.clone()).unwrap_or_default();
            if known.len() > EXPLAINED_MAX {
                not_kept = Some(format!(
                    "{} deletions of `{}` are explained, and at most {EXPLAINED_MAX} are remembered: `staging off` asks for \
                     all of them",
                    known.len(),
                    connector.name()
                ));
                known.clear();
            }
            known.sort_unstable();
            let bytes: Vec<u8> = known.iter().flat_map(|hash| hash.0).collect();
            states.push((connector.id, EXPLAINED.to_owned(), (!bytes.is_empty()).then_some(bytes)));
        }
        let compared = Compared {
            installation: diff.installation.clone(),
            host: diff.host.clone(),
            taken: diff.taken.clone(),
            compared: diff.compared.clone(),
            settings: diff.settings.len() as u64,
            setting_samples: diff.settings.iter().take(NAMED).map(ToString::to_string).collect(),
            connectors: diff
                .connectors
                .iter()
                .map(|c| ComparedConnector {
                    connector: c.connector.clone(),
                    unexplained: c.unexplained.count,
                    words: c.unexplained.words.clone(),
                    hash: c.unexplained.hash.clone(),
                    explained: c.explained,
                    differences: c.groups.iter().map(|group| group.count).sum(),
                })
                .collect(),
        };
        let text =
            serde_json::to_string(&compared).map_err(|error| ServiceError::Internal(error.to_string()))?;
        let settings = vec![(COMPARED.to_owned(), text)];
        let service = ServiceChanges { settings, ..ServiceChanges::default() };
        self.write(&Changes { states, ..Changes::default() }, &service)?;
        Ok(not_kept)
    }

    /// What leaving staging would take away from people that the active server does not, as far as it is known.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn unexplained(
        &self,
        runtime: &Runtime,
        connector: &ConnectorHandle,
        limit: usize,
    ) -> Result<TakenAway, ServiceError> {
        let reader = self.store().reader()?;
        let state = reader.state(connector.id, EXPLAINED)?.unwrap_or_default();
        let known: Vec<Hash128> = state.chunks_exact(16).filter_map(Hash128::from_slice).collect();
        let mut counted = Counted::naming(limit);
        Side::new(&*reader, runtime, connector)?.deletions(&mut |deletion| {
            if known.binary_search(&deletion.hash).is_err() {
                counted.take(deletion);
            }
            Ok(())
        })?;
        Ok(counted.done())
    }

    /// An error while something would be taken away that is neither explained nor accepted by its hash; else the event of
    /// the acceptance, where one was needed.
    pub(super) fn must_be_accepted(
        &self,
        runtime: &Runtime,
        connector: &ConnectorHandle,
        plan: &str,
        accepted: Option<&str>,
    ) -> Result<Option<EventRow>, ServiceError> {
        let (taken, name) = (self.unexplained(runtime, connector, NAMED)?, connector.name());
        if taken.count == 0 {
            return Ok(None);
        }
        if accepted == Some(taken.hash.as_str()) {
            let text = format!("{}, hash {}", taken.words, taken.hash);
            return Ok(Some(self.audit(&events::STAGING_ACCEPTED, name, &text)));
        }
        let compared = self.staging_compared()?;
        let why = match (&compared, accepted) {
            (_, Some(other)) => {
                format!("what would be taken away does not have the hash `{other}`: it has changed since")
            }
            (Some(compared), None) => format!("the active server ({}) does not do that", compared.with()),
            (None, None) => "no comparison with an active server explains it".to_owned(),
        };
        let mut lines: Vec<String> = taken.samples.iter().map(|sample| format!("\n  {sample}")).collect();
        let more = taken.count - taken.samples.len() as u64;
        if more > 0 {
            lines.push(format!("\n  and {more} more"));
        }
        if let Some(compared) = compared.filter(|compared| compared.settings > 0) {
            lines.push(format!("\nof that server, {} settings differ:", compared.settings));
            lines.extend(compared.setting_samples.iter().map(|line| format!("\n  {line}")));
        }
        Err(ServiceError::held(
            format!(
                "leaving staging would take away from people at `{name}`, and {why}: {}{}",
                taken.words,
                lines.concat()
            ),
            format!(
                "where another server is active, run `onesync staging export-plan FILE` there and `onesync staging diff FILE` \
                 here, and mend what differs. To accept exactly this: `onesync staging off {name} --plan {plan} --accept {}`",
                taken.hash
            ),
        ))
    }
}
