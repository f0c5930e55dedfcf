//! Where an import stands: the change links of finished types, and inside a round the next page.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{ConnectorError, ErrorClass, Watermark};

/// Version of the form below.
const VERSION: u32 = 1;

/// What a watermark holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct State {
    version: u32,
    /// Change links by collection, of rounds that came to their end.
    pub(super) links: BTreeMap<String, String>,
    /// `$select` by collection: a change of the selection asks for a full import.
    pub(super) select: BTreeMap<String, String>,
    /// Ids of holders of directory roles; `None` when they could not be read.
    pub(super) role_holders: Option<Vec<String>>,
    /// Inside a round: where it goes on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) at: Option<At>,
}

/// A point inside a round.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct At {
    /// The collection that is being read; empty when all are.
    pub(super) set: String,
    /// Link to its next page; `None` at its beginning.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) next: Option<String>,
    /// A group whose members may go on there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) open: Option<String>,
}

impl State {
    pub(super) fn new(select: BTreeMap<String, String>, role_holders: Option<Vec<String>>) -> Self {
        Self { version: VERSION, links: BTreeMap::new(), select, role_holders, at: None }
    }

    pub(super) fn write(&self) -> Watermark {
        // Serialising a struct of maps and texts cannot fail.
        Watermark(serde_json::to_vec(self).unwrap_or_default())
    }

    /// Reads a watermark and checks that it fits what is to be read now.
    pub(super) fn read(
        watermark: &Watermark,
        select: &BTreeMap<String, String>,
    ) -> Result<Self, ConnectorError> {
        let state: Self = serde_json::from_slice(&watermark.0)
            .map_err(|e| useless(format!("the watermark cannot be read: {e}")))?;
        if state.version != VERSION {
            return Err(useless(format!("the watermark has version {}", state.version)));
        }
        if &state.select != select {
            return Err(useless("the selection of attributes has changed".to_owned()));
        }
        Ok(state)
    }
}

pub(super) fn useless(message: String) -> ConnectorError {
    ConnectorError::new(ErrorClass::Watermark, "GRAPH-WATERMARK", "import", message).hint("run a full import")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_watermark_fits_its_selection_only() {
        let select = BTreeMap::from([("users".to_owned(), "id,mail".to_owned())]);
        let state = State::new(select.clone(), None);
        let written = state.write();
        assert_eq!(State::read(&written, &select).unwrap(), state);
        let newer = String::from_utf8(written.0.clone()).unwrap().replace("\"version\":1", "\"version\":2");
        for (bytes, select) in [
            (written.0, &BTreeMap::new()),
            (b"{}".to_vec(), &select),
            (b"x".to_vec(), &select),
            (newer.into_bytes(), &select),
        ] {
            let error = State::read(&Watermark(bytes), select).unwrap_err();
            assert_eq!(error.class, ErrorClass::Watermark);
        }
    }
}
