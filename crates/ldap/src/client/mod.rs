//! The client: connecting, operations, searches, pages, ranges, reconnecting.

mod connect;
mod connection;
mod operations;
mod options;
mod paged;
mod ranges;
mod search;
mod session;
mod tls;

pub use connection::Client;
pub use options::{ClientIdentity, ConnectOptions, TlsMode};
pub use paged::PagedSearch;
pub use ranges::RangeFetch;
pub use search::{SearchDone, SearchItem, SearchStream};
pub use session::{Credentials, Session};
