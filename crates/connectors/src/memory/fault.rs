//! What can be made to go wrong.

use std::time::Duration;

use crate::ErrorClass;

/// One thing that goes wrong. Faults happen once, in the order in which they were injected among those of one kind;
/// [`Fault::RefuseAttribute`] stays until [`super::MemoryDirectory::clear_faults`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The next import ends in an error after so many pages.
    ImportFails {
        /// Pages that are still delivered.
        after_pages: usize,
        /// The error's class.
        class: ErrorClass,
    },
    /// The next import delivers everything but cannot prove it, for this reason.
    Incomplete(String),
    /// The next import stops after so many pages, unproven, without an error.
    CutShort {
        /// Pages that are still delivered.
        after_pages: usize,
    },
    /// The watermark of the next delta import is of no use.
    WatermarkLost,
    /// The next import cannot read this link attribute of any object.
    LinksUnknown(String),
    /// The next export batch is refused whole: throttled.
    Throttle(Option<Duration>),
    /// The next export batch ends in an error as a whole, nothing written.
    ExportFails(ErrorClass),
    /// The next exported item is written, but no answer comes back.
    UnknownAfterCommit,
    /// The next exported item is not written, and no answer comes back.
    UnknownBeforeCommit,
    /// The next exported item is refused.
    RefuseItem,
    /// This attribute is refused in every export, while the rest of each item is written.
    RefuseAttribute(String),
}
