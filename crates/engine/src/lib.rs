//! The engine: decides what a change means, without doing anything itself.
//!
//! It reads rows through [`Reader`] (keyed reads only), and gives [`Changes`]: rows to write, in one transaction with
//! a progress mark. The store keeps the rows, the service asks what is due. Preview, what-if and the real sync run
//! this code and differ only in who takes the changes.
//!
//! Deliberately absent: I/O, clock, randomness, async, SQL. `now` is an argument.

mod changes;
mod codec;
mod reader;
mod state;

pub use changes::{Changes, Counters};
pub use codec::CodecError;
pub use reader::{ReadError, Reader};
pub use state::{
    AgendaRow, AttributeChange, Cause, ChangeState, ContainerRow, CsFlags, CsRow, ErrorRow, ExportLinkRow, ExportRow,
    HistoryRow, Join, LinkPick, LinkSum, MvRow, MvState, Retained, Work,
};
