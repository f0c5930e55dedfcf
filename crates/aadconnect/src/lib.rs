//! An exported configuration of Azure AD Connect: read as data, written as files of ours.
//!
//! Two forms are read into one [`Export`]: the folder of XML files that `Get-ADSyncServerConfiguration` writes, and
//! the PowerShell scripts of the Synchronization Rules Editor, which are never run. [`write()`] turns it into the files
//! of a configuration and a [`Report`] of what they cannot carry.
//!
//! # Invariants
//! - Liberal in what is read, strict in saying what was not understood: nothing is dropped without a line in the
//!   report, and what is not of the form is a [`Mistake`] with file, line and column.
//! - Rules are carried as they are: names, numbers, expressions.
//!
//! Deliberately absent: files and folders (the service reads and writes them), knowledge of what our connectors can
//! hold (given as [`Directory`]), whether an expression is right (the rules' own compiler says so).

mod limits;
mod mistake;
mod model;
mod order;
mod powershell;
mod read;
mod report;
mod text;
mod words;
mod write;
mod xml;

pub use limits::{EXPORT_BYTES_MAX, FILE_BYTES_MAX, FILES_MAX};
pub use mistake::Mistake;
pub use model::{
    Condition, Connector, ConnectorKind, Domain, Export, Flow, FlowSource, Form, LinkType, Merge, Metaverse,
    MetaverseAttribute, Profile, Rule, SchemaAttribute, ScopeClause,
};
pub use read::{ConnectorName, SourceFile, read};
pub use report::{Item, Report, Topic};
pub use write::{
    Directory, DirectoryAttribute, DirectoryType, Dropped, Ground, Part, Place, TypeOf, Written, write,
};
