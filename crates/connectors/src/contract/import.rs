//! What an import asks for and gives.

use std::fmt;
use std::sync::Arc;

use onesync_model::{Anchor, Entry};

use super::{ConnectorError, Selection};

/// What to read.
#[derive(Clone, Debug)]
pub struct ImportRequest {
    /// Everything, or what changed.
    pub mode: ImportMode,
    /// Which object types and attributes.
    pub selection: Selection,
    /// The watermark of the last complete import, also where a full import is asked for: what was found once by name
    /// (containers) is found again by it.
    pub known: Option<Watermark>,
    /// The containers that were told before; `None` where nobody remembers any.
    pub containers: Option<Arc<dyn KnownContainers>>,
    /// Most entries in one page (link values count as a tenth of an entry).
    pub page_size: usize,
}

/// The containers that were told before ([`onesync_model::EntryChange::Container`]).
pub trait KnownContainers: fmt::Debug + Send + Sync {
    /// The names under which they are known now. A page that was sent counts at the latest when the one after the
    /// next was taken.
    ///
    /// # Errors
    /// When what is known cannot be read.
    fn names(&self, anchors: &[Anchor]) -> Result<Vec<Option<String>>, ConnectorError>;
}

/// Everything, or what changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ImportMode {
    /// Everything, from the start or from a page's watermark of an interrupted full import.
    Full {
        /// Where an interrupted full import goes on.
        resume: Option<Watermark>,
    },
    /// What changed since the watermark with which the last complete import ended.
    Delta {
        /// That watermark.
        since: Watermark,
    },
}

/// A point in an import, opaque to everyone but its connector.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Watermark(pub Vec<u8>);

/// Some entries, and the point from which the import can go on after them.
#[derive(Clone, Debug, Default)]
pub struct ImportPage {
    /// Entries in the order of the directory.
    pub entries: Vec<Entry>,
    /// Where to go on after this page.
    pub resume: Option<Watermark>,
    /// Entries that could not be read, one error each; they are left as they are.
    pub errors: Vec<super::ConnectorError>,
}

/// How an import ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImportEnd {
    /// Whether everything asked for was seen.
    pub proof: Proof,
    /// Where the next delta import starts; `None` when there can be none.
    pub watermark: Option<Watermark>,
    /// What a person should know (containers renamed, fewer rights than last time).
    pub remarks: Vec<String>,
}

/// Whether an import has seen everything it was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Proof {
    /// Yes: what was not seen is gone.
    Complete,
    /// No, with the reason: nothing may be deleted because it was not seen.
    Incomplete(String),
}
