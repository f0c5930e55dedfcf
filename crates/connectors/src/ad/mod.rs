//! Active Directory, read over LDAP.
//!
//! How it reads:
//! - A **full import** first takes a DirSync cookie and then reads the selected containers in pages. The cookie comes
//!   from a DirSync search whose filter matches nothing, so that it costs no entries (2 ms against Samba, where a
//!   DirSync that returns everything takes 40 s for 100,000 objects and arrives as one answer without pages, and
//!   leaves out constructed and back-link attributes). What changes while the pages are read is told again by the
//!   first delta import: harmless, since changes are absolute.
//! - A **delta import** asks DirSync what changed. Attribute and link changes are passed on as they are. Whatever is
//!   new, renamed, moved or restored is read whole, since DirSync sends only what changed, and nobody here remembers
//!   whether it was in the selection before.
//! - **Containers** are known by `objectGUID`: those that the settings name in the watermark, so that a renamed one
//!   stays selected; all of them by the importer, so that a renamed or moved one is told by its own entry. Only below
//!   one that comes into the selection or leaves it, or that is not known, everything is read whole.
//! - What a full import did not show is **looked up again** by its GUID before it counts as gone: an object without a
//!   tombstone is only out of sight (a right was lost, another domain controller lags behind).
//! - A cookie is used with the domain controller that made it (by its `invocationId`) and no other; whatever is in
//!   doubt asks for a full import.
//!
//! Deliberately absent: writing; more than one domain in one connector (each domain is a connector); Kerberos.

mod account;
mod connector;
mod containers;
mod delta;
mod errors;
mod full;
mod layout;
mod links;
mod missing;
mod moved;
mod places;
mod probe;
mod reader;
mod server;
mod settings;
mod watermark;

pub use connector::AdConnector;
pub use places::{Places, places};
pub use settings::AdSettings;
