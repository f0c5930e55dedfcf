//! The note of an activation under way, in the home: from before the epoch is taken until what must not be forgotten
//! then is in the database. While it is there nothing works here.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::error::ServiceError;
use crate::flushed::write_flushed;
use crate::home::Home;

/// The file.
const FILE: &str = "activation.unfinished";

/// What an activation is about to do.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Note {
    /// The id that it gets, where the database is a copy.
    pub(super) installation: Option<String>,
    /// The epoch that it found.
    pub(super) epoch_before: u64,
}

fn path(home: &Home) -> PathBuf {
    home.folder().join(FILE)
}

fn failed(home: &Home) -> impl Fn(std::io::Error) -> ServiceError {
    let place = path(home).display().to_string();
    move |source| ServiceError::File { place: place.clone(), source }
}

impl Note {
    /// Reads it; `None` where there is none.
    pub(super) fn read(home: &Home) -> Result<Option<Self>, ServiceError> {
        let text = match std::fs::read_to_string(path(home)) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            text => text.map_err(failed(home))?,
        };
        serde_json::from_str(&text).map(Some).map_err(|error| {
            ServiceError::held(
                format!("{} cannot be read: {error}", path(home).display()),
                "move it away, and run `onesync activate` again",
            )
        })
    }

    /// Writes it, in a way that lasts.
    pub(super) fn write(&self, home: &Home) -> Result<(), ServiceError> {
        let text = serde_json::to_string(self).map_err(|error| ServiceError::Internal(error.to_string()))?;
        write_flushed(&path(home), &text)
            .and_then(|()| std::fs::File::open(home.folder())?.sync_all())
            .map_err(failed(home))
    }

    /// Takes it away.
    pub(crate) fn remove(home: &Home) -> Result<(), ServiceError> {
        std::fs::remove_file(path(home))
            .or_else(|error| if error.kind() == std::io::ErrorKind::NotFound { Ok(()) } else { Err(error) })
            .and_then(|()| std::fs::File::open(home.folder())?.sync_all())
            .map_err(failed(home))
    }
}

/// An error while an activation was begun here and has not ended.
pub(crate) fn must_be_finished(home: &Home) -> Result<(), ServiceError> {
    match Note::read(home)? {
        None => Ok(()),
        Some(_) => Err(ServiceError::held(
            "the activation of this server was begun and has not ended",
            "run the same `onesync activate` again: it goes on from there",
        )),
    }
}
