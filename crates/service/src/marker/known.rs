//! What a home knows of its markers: what it has written there, and whether that was waited for.

use std::collections::BTreeMap;
use std::path::PathBuf;

use onesync_connectors::Marker;
use serde::{Deserialize, Serialize};

use super::Claim;
use crate::Home;
use crate::error::ServiceError;
use crate::flushed::write_flushed;
use crate::runtime::ConnectorHandle;

/// What this home knows of markers.
pub(crate) const FILE: &str = "markers.toml";
/// What is remembered: the newest, those before it that an answer of the target may still show, and what was there. An
/// export makes two sessions, and a cycle may export several times within a minute.
const KEPT: usize = 32;

/// What this home has written at one target, the newest last.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Noted {
    /// Takings.
    pub(super) taken: Vec<String>,
    /// Sessions.
    pub(super) sessions: Vec<String>,
    /// The taking that was waited for.
    pub(super) held: Option<String>,
    /// On which start of the machine, and in which folder.
    pub(super) place: Option<String>,
}

/// The same for all targets, by the names of their connectors.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub(super) struct Known(BTreeMap<String, Noted>);

/// Adds what is about to be written; what is there stays known.
pub(super) fn note(list: &mut Vec<String>, there: Option<&str>, new: &str) {
    let from = list.len().saturating_sub(KEPT);
    let mut at = 0..;
    list.retain(|one| at.next() >= Some(from) || Some(one.as_str()) == there);
    list.push(new.to_owned());
}

/// Forgets what a home wrote at the targets of a database that it has no more.
pub(crate) fn forget(home: &Home) -> Result<(), ServiceError> {
    let path = Known::path(home);
    match std::fs::remove_file(&path) {
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
            Err(ServiceError::File { place: path.display().to_string(), source })
        }
        _ => Ok(()),
    }
}

impl Known {
    fn path(home: &Home) -> PathBuf {
        home.folder().join(FILE)
    }

    pub(super) fn read(home: &Home) -> Result<Self, ServiceError> {
        let path = Self::path(home);
        let text = match std::fs::read_to_string(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Self::default()),
            text => {
                text.map_err(|source| ServiceError::File { place: path.display().to_string(), source })?
            }
        };
        toml::from_str(&text).map_err(|error| {
            ServiceError::held(
                format!("{} cannot be read: {}", path.display(), error.message()),
                "move it away, and run `onesync activate KEYFILE ACCOUNT PASSWORD --again`: without it this server is not told from a copy of it",
            )
        })
    }

    pub(super) fn write(&self, home: &Home) -> Result<(), ServiceError> {
        let path = Self::path(home);
        let text = toml::to_string(self).map_err(|error| ServiceError::Internal(error.to_string()))?;
        let text =
            format!("# By what this server is told from a copy of it. Not for another machine.\n{text}");
        write_flushed(&path, &text)
            .and_then(|()| std::fs::File::open(home.folder())?.sync_all())
            .map_err(|source| ServiceError::File { place: path.display().to_string(), source })
    }

    pub(super) fn of(&mut self, connector: &ConnectorHandle) -> &mut Noted {
        self.0.entry(connector.name().to_owned()).or_default()
    }

    /// Whether this home took it, under whatever name the connector had then.
    pub(super) fn took(&self, taken: &str) -> bool {
        self.0.values().any(|noted| noted.taken.iter().any(|one| one == taken))
    }

    pub(super) fn began(&self, session: &str) -> bool {
        self.0.values().any(|noted| noted.sessions.iter().any(|one| one == session))
    }

    /// Whether a taking was waited for at this place. Two connectors of one target have one marker.
    pub(super) fn holds(&self, taken: &str, place: &str) -> bool {
        let is =
            |noted: &Noted| (noted.held.as_deref(), noted.place.as_deref()) == (Some(taken), Some(place));
        self.0.values().any(is)
    }

    /// The highest number of a session.
    pub(super) fn highest(&self) -> u64 {
        let sessions = self.0.values().flat_map(|noted| &noted.sessions);
        sessions.filter_map(|session| session.split_once('-')?.0.parse().ok()).max().unwrap_or_default()
    }

    pub(super) fn claim(&self, marker: Marker) -> Claim {
        let sessions = self.0.values().flat_map(|noted| noted.sessions.clone()).collect();
        let takings = self.0.values().flat_map(|noted| noted.taken.clone());
        let earlier = takings.filter(|taken| Some(taken) != marker.taken.as_ref()).collect();
        Claim { marker, sessions, earlier }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::marker;
    use super::*;

    #[test]
    fn two_connectors_of_one_target_have_one_marker() {
        let noted = |taken: &str, sessions: &[&str]| Noted {
            taken: vec![taken.to_owned()],
            sessions: sessions.iter().map(|text| (*text).to_owned()).collect(),
            held: Some(taken.to_owned()),
            place: Some("here".to_owned()),
        };
        let both = [("one", noted("s", &["12-s-a", "x"])), ("two", noted("t", &["9-t-b"]))];
        let known = Known(both.map(|(name, noted)| (name.to_owned(), noted)).into());
        assert!(known.holds("s", "here") && known.holds("t", "here") && !known.holds("s", "there"));
        assert_eq!(known.highest(), 12);
        let claim = known.claim(marker("t", 5, "9-t-b"));
        assert!(claim.is(&marker("t", 5, "9-t-b")) && claim.was(&marker("s", 5, "12-s-a")));
    }
}
