//! The refusal of a switch-over: a connector leaves staging only when nothing is taken away from anybody that the active
//! server does not take away, too, or when a person accepts exactly that.
//!
//! The last comparison is remembered in this server's database: what a person reads of it as a setting, and the hashes of
//! what it explained with each connector.

use onesync_engine::Changes;
use onesync_model::{ConnectorId, Hash128, Time};
use onesync_store::{EventRow, ServiceChanges, StoreReader};
use serde::{Deserialize, Serialize};

use super::diff::{Counted, StagingDiff, is_fresh};
use super::settings::SettingDifference;
use super::side::Side;
use crate::error::ServiceError;
use crate::events;
use crate::runtime::{ConnectorHandle, Runtime, Service};

/// The setting with the last comparison, as JSON.
const COMPARED: &str = "staging-compared";
/// The state of a connector with the hashes of what the active server takes away, too: 16 bytes each, ascending.
const EXPLAINED: &str = "staging-explained";
/// What stands there since something was changed that a comparison rests on.
const VOID: [u8; 1] = [0];
/// Hashes that are remembered of one connector: 3 MB. A server that takes away more has other troubles than this one.
const EXPLAINED_MAX: usize = 200_000;
/// Sections of settings in the order in which they are named: what lets more through, then what is read, then rules.
const SECTIONS: [&str; 7] = ["option", "threshold", "scope", "connector", "program", "precedence", "rule"];
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
    /// Why it explains nothing any more, when it is too old.
    fn too_old(&self, now: Time) -> Option<String> {
        let times = [("the plan of the active server", &self.taken), ("the last comparison", &self.compared)];
        let (what, time) = times.into_iter().find(|(_, time)| !is_fresh(time, now))?;
        Some(format!("{what} is of {time} and counts for 24 hours: compare again"))
    }

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

/// No comparison explains anything any more: rules, settings or the mode of a connector are others.
pub(crate) fn void(connector: ConnectorId) -> (ConnectorId, String, Option<Vec<u8>>) {
    (connector, EXPLAINED.to_owned(), Some(VOID.to_vec()))
}

/// The first settings that differ, as they are named.
fn samples(settings: &[SettingDifference]) -> Vec<String> {
    let place = |section: &str| SECTIONS.iter().position(|known| *known == section);
    let mut sorted: Vec<&SettingDifference> = settings.iter().collect();
    sorted.sort_by_key(|difference| place(&difference.section).unwrap_or(SECTIONS.len()));
    sorted.into_iter().take(NAMED).map(ToString::to_string).collect()
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
            setting_samples: samples(&diff.settings),
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

    /// What the last comparison explained; else why none explains anything.
    fn explained(
        &self,
        reader: &dyn StoreReader,
        connector: ConnectorId,
        compared: Option<&Compared>,
    ) -> Result<(Vec<Hash128>, Option<String>), ServiceError> {
        let state = reader.state(connector, EXPLAINED)?.unwrap_or_default();
        let why = match compared {
            None => Some("no comparison with an active server explains it".to_owned()),
            Some(_) if state == VOID => Some(
                "since the last comparison the configuration was changed, or exports were turned on or off: compare again"
                    .to_owned(),
            ),
            Some(compared) => compared.too_old(self.now()),
        };
        if why.is_some() {
            return Ok((Vec::new(), why));
        }
        Ok((state.chunks_exact(16).filter_map(Hash128::from_slice).collect(), None))
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
        let (name, compared) = (connector.name(), self.staging_compared()?);
        let mut counted = Counted::naming(NAMED);
        let why = {
            let reader = self.store().reader()?;
            let (known, why) = self.explained(&*reader, connector.id, compared.as_ref())?;
            Side::new(&*reader, runtime, connector)?.deletions(&mut |deletion| {
                if known.binary_search(&deletion.hash).is_err() {
                    counted.take(deletion);
                }
                Ok(())
            })?;
            why
        };
        let taken = counted.done();
        if taken.count == 0 {
            return Ok(None);
        }
        if accepted == Some(taken.hash.as_str()) {
            let text = format!("{}, hash {}", taken.words, taken.hash);
            return Ok(Some(self.audit(&events::STAGING_ACCEPTED, name, &text)));
        }
        let why = match (accepted, why) {
            (Some(other), _) => {
                format!("what would be taken away does not have the hash `{other}`: it has changed since")
            }
            (None, Some(why)) => why,
            (None, None) => {
                let with = compared.as_ref().map(Compared::with).unwrap_or_default();
                format!("the active server ({with}) does not do that")
            }
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
