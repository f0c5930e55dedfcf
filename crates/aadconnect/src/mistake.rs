//! What is not of the form, with its place.

use std::fmt;

/// Something that is not of the form of an export.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub struct Mistake {
    /// The file.
    pub file: String,
    /// Its line, from 1; 0 when the file as a whole is meant.
    pub line: u32,
    /// The column in characters, from 1.
    pub column: u32,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub hint: Option<String>,
}

impl Mistake {
    pub(crate) fn new(file: &str, at: (u32, u32), message: impl Into<String>) -> Self {
        Self { file: file.to_owned(), line: at.0, column: at.1, message: message.into(), hint: None }
    }

    pub(crate) fn whole(file: &str, message: impl Into<String>) -> Self {
        Self::new(file, (0, 0), message)
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}: {}", self.file, self.message)?,
            line => write!(f, "{}:{line}:{}: {}", self.file, self.column, self.message)?,
        }
        match &self.hint {
            Some(hint) => write!(f, " ({hint})"),
            None => Ok(()),
        }
    }
}
