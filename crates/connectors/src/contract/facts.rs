//! What a directory says about itself that plans rest on.

use onesync_model::NameDomains;

/// What must be known of a directory before anything is planned for it; read after each import.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DirectoryFacts {
    /// The suffixes of sign-in names that it takes; `None` where any will do.
    pub domains: Option<NameDomains>,
    /// Why its objects must be found by their source anchor only, e.g. because nobody can tell who is protected.
    pub anchor_only: Option<String>,
    /// What it calls itself, the same to everybody who is connected to it: the id of a tenant. `None` where it has no such
    /// name.
    pub target: Option<String>,
}
