//! What an import asks for and gives.

use onesync_model::{AttrId, Bag, TypeId};

use super::{Anchor, Selection};

/// What to read.
#[derive(Clone, Debug)]
pub struct ImportRequest {
    /// Everything, or what changed.
    pub mode: ImportMode,
    /// Which object types and attributes.
    pub selection: Selection,
    /// Most entries in one page (link values count as a tenth of an entry).
    pub page_size: usize,
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

/// One object as the directory tells it, or a part of it.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Its immutable identity.
    pub anchor: Anchor,
    /// Its distinguished name, where the directory is hierarchical; else a name to show.
    /// Required for [`EntryChange::Full`]; in a merge, `None` means unchanged.
    pub dn: Option<String>,
    /// Its type; in a deletion `None` is allowed.
    pub object_type: Option<TypeId>,
    /// What this entry says.
    pub change: EntryChange,
    /// Values; in a merge only those that changed. Never link attributes.
    pub values: Bag,
    /// Attributes that a merge removes.
    pub cleared: Vec<AttrId>,
    /// Attributes whose values could not be read completely: the stored ones stay.
    pub unknown: Vec<AttrId>,
    /// Link values. A full entry names every selected link attribute of its type: one without values has one chunk
    /// [`LinkMode::Replace`] with `first` and `last` set and no targets.
    pub links: Vec<LinkChunk>,
    /// What the directory says about who may touch this object.
    pub flags: EntryFlags,
}

/// What an entry says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryChange {
    /// All selected attributes are here; what is absent has no value.
    Full,
    /// Only what changed is here. For an object that is not known the importer asks for it whole.
    Merge,
    /// More links of the entry before it with the same anchor.
    MoreLinks,
    /// The object is gone.
    Delete,
}

/// What the directory says about who may touch an object: enforced below the rules.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EntryFlags {
    /// Never match, disable or delete it: role holder, guest, break-glass account. With the reason.
    pub protected: Option<String>,
    /// Another system masters it: join and compare it, never write it. With the name of that system.
    pub mastered_elsewhere: Option<String>,
}

/// Some values of one link attribute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkChunk {
    /// The attribute.
    pub attribute: AttrId,
    /// How to take them.
    pub mode: LinkMode,
    /// The values.
    pub targets: Vec<LinkTarget>,
}

/// How a chunk of link values is to be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkMode {
    /// A part of all values; what no part from `first` to `last` names is gone.
    Replace {
        /// This is the first part.
        first: bool,
        /// This is the last part.
        last: bool,
    },
    /// These values were added.
    Add,
    /// These values were removed.
    Remove,
    /// The values could not be read completely: the stored ones stay, and the object is reported.
    Unknown,
}

/// The name of a link's target.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LinkTarget {
    /// By its anchor.
    Anchor(Anchor),
    /// By its distinguished name.
    Dn(String),
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
