//! What travels between a connected directory and its connector space: entries in, operations out.

use std::fmt;

use crate::{AttrId, Bag, TypeId};

/// The immutable identity of an object inside one connected directory: bytes, opaque to everyone but its connector.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Anchor(pub Box<[u8]>);

impl Anchor {
    /// An anchor that is text (Graph `id`, `entryUUID`).
    #[must_use]
    pub fn text(text: &str) -> Self {
        Self(text.as_bytes().into())
    }

    /// The text, where it is text.
    #[must_use]
    pub fn as_text(&self) -> Option<&str> {
        str::from_utf8(&self.0).ok()
    }
}

impl fmt::Display for Anchor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.as_text() {
            Some(text) if !text.chars().any(char::is_control) => f.write_str(text),
            _ => self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}")),
        }
    }
}

impl fmt::Debug for Anchor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What to do with an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Operation {
    /// Create it.
    Add,
    /// Change it.
    Update,
    /// Delete it.
    Delete,
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
    /// Attributes that a merge removes. In a deletion: link attributes from whose values, on other objects, the
    /// directory took this object without telling so.
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
    /// The object is gone, or is not selected any more. Links to it stay but for those of the attributes in
    /// [`Entry::cleared`]. Of a container: it is not known any more, and its name is free.
    Delete,
    /// This is no object but a container, and its name is `dn` now: everything below it that is known moves along.
    Container,
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
