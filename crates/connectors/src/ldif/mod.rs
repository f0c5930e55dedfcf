//! LDIF files (RFC 2849) as a connected directory that is read: for tests, audits, demonstrations, and directories
//! that give nothing but an export.
//!
//! Every import is a full one; its watermark is a place in a file. Records that add entries are entries; other
//! change records are refused. Deliberately absent: writing, values by URL, character sets other than UTF-8.

mod connector;
mod import;
mod layout;
mod lines;
mod marks;
mod record;
mod records;
mod settings;
mod watermark;

pub use connector::LdifConnector;
pub use lines::{Line, LineError, Lines, RawValue, decode};
pub use settings::LdifSettings;
