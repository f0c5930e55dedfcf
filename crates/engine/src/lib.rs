//! The engine: decides what a change means, without doing anything itself.
//!
//! It reads rows through [`Reader`] (keyed reads only), and gives [`Changes`]: rows to write, in one transaction with
//! a progress mark. The store keeps the rows, the service asks what is due. Preview, what-if and the real sync run
//! this code and differ only in who takes the changes.
//!
//! Deliberately absent: I/O, clock, randomness, async, SQL. `now` is an argument.

#[cfg(feature = "alone")]
pub mod alone;
mod batch;
mod changes;
mod codec;
mod confirm;
mod containers;
mod deleted;
mod export;
mod facts;
mod full;
mod identity;
mod import;
pub mod invariants;
mod link_names;
mod links;
mod memberships;
mod outbound;
mod overlay;
mod parallel;
mod pilot;
mod policy;
mod protect;
mod reader;
mod resolve;
mod settle;
mod sources;
mod state;
mod trace;
mod values;

pub use batch::Context;
pub use changes::{Changes, Counters};
pub use codec::CodecError;
pub use confirm::{SENDS_MAX, overdue, overdue_links};
pub use containers::{ContainerNames, below};
pub use export::{Answer, Outcome, Outgoing, OutgoingLink, Refusal, begin, recover, settle};
pub use facts::holds_link;
pub use full::Covered;
pub use identity::{identity, values};
pub use import::{ImportCounters, Staged, Stager};
pub use link_names::link_names;
pub use links::{KnownTargets, links, links_knowing, stale_links};
pub use memberships::members;
pub use outbound::{ANCHOR_ONLY, NAME_DOMAINS, outbound};
pub use overlay::{Overlay, suppose};
pub use pilot::Pilot;
pub use policy::{ConnectorPolicy, Deprovision, NameMatch, Policies, TypePolicy};
pub use protect::{Guarded, Hold, Limit, Limits, Numbers, Stopped, judge, suspect};
pub use reader::{JoinedIn, ReadError, Reader};
pub use state::{
    AgendaRow, AttributeChange, Below, Cause, ChangeState, ContainerRow, CsFlags, CsRow, ErrorRow,
    ExportLinkRow, ExportRow, HistoryRow, Join, LinkPick, LinkSum, Members, MvRow, MvState, Retained, Turn,
    ValueChange, Work,
};
pub use trace::{Fate, Gave, JoinStep, Note, Subject, TargetStep, Trace, Tried};
