//! JSON lines as a connected directory: one object a line, read and written.
//!
//! ```json
//! {"anchor": "7", "type": "user", "dn": "CN=Anna", "attributes": {"mail": "a@x"}, "links": {"manager": ["3"]}}
//! ```
//!
//! Values are written as everywhere ([`onesync_model::value_to_json`]). An export rewrites the file beside itself
//! and renames it, so that a reader sees the file before or after a batch, never between, and a confirming import
//! finds what was written. Deliberately absent: delta import, several files, an index: this is for tests, audits and
//! demonstrations.

mod connector;
mod import;
mod line;
mod rewrite;
mod schema;
mod settings;

pub use connector::JsonlConnector;
pub use settings::{JsonlSettings, JsonlType, LinksBy};
