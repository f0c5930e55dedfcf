//! The checks that are ours: each takes facts and returns what is wrong with them, and prints nothing.

pub mod bans;
pub mod direction;
pub mod documented;
pub mod modules;
pub mod purity;
pub mod sizes;
pub mod text;

/// What a check found.
#[derive(Debug, Default)]
pub struct Findings {
    /// What has to be mended before the gate opens.
    pub errors: Vec<String>,
    /// What deserves a thought.
    pub warnings: Vec<String>,
}

impl Findings {
    /// Findings that are all errors.
    pub fn errors(errors: Vec<String>) -> Self {
        Self { errors, warnings: Vec::new() }
    }

    /// Takes up another check's findings.
    pub fn add(&mut self, other: Self) {
        self.errors.extend(other.errors);
        self.warnings.extend(other.warnings);
    }
}
