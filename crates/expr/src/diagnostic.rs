//! What is wrong with an expression, and what goes wrong when one is evaluated.

use onesync_model::Time;
use thiserror::Error;

/// How bad a diagnostic is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Hash)]
pub enum Severity {
    /// The expression can be used, but probably does not do what was meant.
    Warning,
    /// The expression cannot be used.
    Error,
}

/// One finding in the text of an expression.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Diagnostic {
    /// Where it starts: a byte offset in the expression's text.
    pub start: usize,
    /// Where it ends (exclusive).
    pub end: usize,
    /// What is wrong.
    pub message: String,
    /// What to do about it, where we know.
    pub hint: Option<String>,
    /// How bad it is.
    pub severity: Severity,
}

impl Diagnostic {
    pub(crate) fn error(span: Span, message: impl Into<String>) -> Self {
        Self {
            start: span.start as usize,
            end: span.end as usize,
            message: message.into(),
            hint: None,
            severity: Severity::Error,
        }
    }

    pub(crate) fn warning(span: Span, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(span, message) }
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    pub(crate) fn hint_opt(mut self, hint: Option<String>) -> Self {
        self.hint = hint;
        self
    }
}

/// A range of bytes in the expression's text.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Span {
    pub(crate) start: u32,
    pub(crate) end: u32,
}

impl Span {
    pub(crate) fn new(start: usize, end: usize) -> Self {
        // Texts are limited to a few kilobytes long before this could saturate.
        let clip = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        Self { start: clip(start), end: clip(end) }
    }

    pub(crate) fn to(self, other: Self) -> Self {
        Self { start: self.start, end: other.end }
    }
}

/// Why an evaluation gave no outcome.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum EvalError {
    /// The expression called `Error("...")`: the object is withheld.
    #[error("{0}")]
    Raised(String),
    /// A function or operator could not work with what it was given: the attribute is isolated.
    #[error("{message}")]
    Failed {
        /// What went wrong.
        message: String,
        /// Where the failing part starts in the expression's text.
        start: usize,
        /// Where it ends (exclusive).
        end: usize,
    },
    /// The evaluation took more steps or memory than any sensible expression needs.
    #[error("the evaluation was stopped: {0}")]
    Limit(String),
}

/// An evaluation that gave no outcome, and how long this holds while nothing but the clock moves.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[error("{error}")]
pub struct Failure {
    /// Why.
    pub error: EvalError,
    /// The first instant at which it may be otherwise; `None` for never.
    pub valid_until: Option<Time>,
}

/// What a function body reports; the evaluator adds the place.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It cannot work with these arguments.
    Failed(String),
    /// It would exceed a limit.
    Limit(String),
}

impl Fault {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self::Failed(message.into())
    }
}
