//! Backups: one file with one state of the database, whatever kind that is, taken while cycles go on.
//!
//! The file is a portable form of all tables (`file`), so that it goes into any kind of database; it holds no secret that
//! is not sealed. Embedded databases are read by a read transaction, not by SQLite's own online backup: both give one
//! state while others write, and only this one goes into another kind of database. Deliberately absent: the folders that
//! `upgrade` makes for the way back (they are a database as it is, of whatever version), and what a database server does
//! by itself.

mod file;
mod inside;
mod kept;
mod keys;
mod rehearse;
mod restore;
mod schedule;
mod take;

use std::path::Path;

use aws_lc_rs::digest::{Context as Digest, SHA256, digest};
use onesync_model::Time;

pub use file::{Backup, Manifest, Part, TablePart};
pub(crate) use file::{appear, begin_part};
pub use inside::{KeysInside, key_file_in, open_key_file};
pub use keys::{KeyExport, KeysIncluded, KeysNeeded};
pub use onesync_vault::{AccountName, KEY_FILE_MAX, KeyFile, Unlock, VaultError};
pub use rehearse::{Owed, Proven, Rehearsal, RehearsedKeys, rehearse};
pub use restore::{RestoreReport, Restoring, restore};
pub use schedule::{BackupView, Failed, ScheduleChange, Scheduled, Taken};
pub use take::{BackupReport, Verified, verify};

use crate::error::ServiceError;
pub(crate) use inside::RECIPIENTS;
pub(crate) use kept::KeptBackups;

/// An error in a file.
pub(crate) fn at(place: &Path) -> impl Fn(std::io::Error) -> ServiceError + '_ {
    move |source| ServiceError::File { place: place.display().to_string(), source }
}

/// A time as a part of a name.
pub(crate) fn stamp(time: Time) -> String {
    time.to_string().chars().filter(char::is_ascii_alphanumeric).collect()
}

/// A digest in hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Ends a SHA-256.
pub(crate) fn ended(digest: Digest) -> String {
    hex(digest.finish().as_ref())
}

/// The SHA-256 of bytes.
fn sha256(bytes: &[u8]) -> String {
    hex(digest(&SHA256, bytes).as_ref())
}
