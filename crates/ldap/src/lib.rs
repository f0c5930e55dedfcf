//! LDAP version 3: the protocol and a client for it, made for reading large directories.
//!
//! One [`Client`] is one connection with one operation at a time. A search is a stream that the caller
//! pulls: what is not asked for stays in the server's and the kernel's buffers, so memory is bounded by
//! one read buffer however large the result is. Values are slices of the messages, never copies.
//!
//! A server is not trusted: sizes, nesting and waiting have limits, malformed or unexpected bytes end in
//! an [`LdapError`], never in a panic.
//!
//! Deliberately absent: any knowledge of synchronisation, following of referrals (they are reported),
//! several operations at once over one connection (a slow reader of one would hold up the others), GSSAPI.

#![cfg_attr(
    not(test),
    deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used, clippy::panic)
)]

pub mod ber;
mod client;
pub mod control;
mod entry;
mod error;
pub mod filter;
pub mod frame;
pub mod message;
mod range;
mod result;
pub mod sync;

pub use client::{
    Client, ClientIdentity, ConnectOptions, Credentials, PagedSearch, RangeFetch, SearchDone, SearchItem,
    SearchStream, Session, TlsMode,
};
pub use control::{Control, TypedControl};
pub use entry::{Attribute, Attributes, Entry, Values};
pub use error::{ErrorClass, LdapError, TlsProblem};
pub use filter::Filter;
pub use message::{Change, ChangeKind, Message, Op, Scope, SearchRequest};
pub use range::{LinkChanges, RangeOption, Ranged, link_changes, ranged_values};
pub use result::{AdBindFailure, LdapResult, ResultCode};
