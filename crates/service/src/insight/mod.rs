//! Seeing before doing: `preview` and `explain`.
//!
//! Both rehearse the sync of one object ([`rehearse`]): the engine's own passes over the stored state, with their
//! changes laid over it and their decisions noted. Nothing is written, nothing of a directory is asked. What is shown
//! are these decisions and rows in the words of people; no decision is made here.

mod clause;
mod explain;
mod find;
mod origins;
mod preview;
mod reasons;
mod rehearse;
mod suppose;
mod view;

pub use clause::ClauseView;
pub use explain::{AttributeThere, Explanation, JoinedObject, TargetState, ValueChanged, ValueReason};
pub(crate) use find::{Found, find_group};
pub use origins::ValueOrigin;
pub(crate) use preview::last_import;
pub use preview::{Preview, PreviewSource, PreviewTarget};
pub use reasons::Reason;
pub use suppose::Supposed;
pub use view::{
    AttributeView, CandidateView, MetaverseView, ObjectLine, PendingChange, PendingLink, PendingValue,
    PlaceStep, PlaceView, RuleView,
};
