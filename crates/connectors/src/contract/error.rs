//! Errors of connectors: what happened, where, and what is to be done with it.

use std::time::Duration;

use thiserror::Error;

/// What is to be done with an error: data, so that nobody parses messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorClass {
    /// Try the same again later: connection lost, server busy.
    Transient,
    /// Try again after the time the directory asked for, where it said one.
    Throttled(Option<Duration>),
    /// Only this object or value is refused; everything else goes on.
    Object,
    /// The configuration, a credential or a permission must be changed by a person.
    Configuration,
    /// The watermark is of no use (expired, another server): a full import is needed.
    Watermark,
    /// The receiver went away: the step was stopped.
    Stopped,
    /// The directory or this program misbehaves: stop and show.
    Fatal,
}

/// An error of a connected directory.
#[derive(Clone, Debug, Error)]
#[error("{place}: {message}")]
pub struct ConnectorError {
    /// What is to be done with it.
    pub class: ErrorClass,
    /// A stable code for people who search for it, e.g. `LDAP-INVALID-CREDENTIALS`, `Request_BadRequest`.
    pub code: String,
    /// Host, file, line, object: where it happened.
    pub place: String,
    /// What happened, in one sentence.
    pub message: String,
    /// What to do about it, where that is known.
    pub hint: Option<String>,
}

impl ConnectorError {
    /// Makes an error without a hint.
    #[must_use]
    pub fn new(
        class: ErrorClass,
        code: impl Into<String>,
        place: impl Into<String>,
        message: impl Into<String>,
    ) -> Self {
        Self { class, code: code.into(), place: place.into(), message: message.into(), hint: None }
    }

    /// Adds what to do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The error of a step whose receiver went away.
    #[must_use]
    pub fn stopped() -> Self {
        Self::new(ErrorClass::Stopped, "STOPPED", "import", "the step was stopped")
    }
}
