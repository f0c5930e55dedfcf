//! The contract between OneSync and a connected directory.
//!
//! - An **import** sends [`ImportPage`]s through a bounded channel and ends with an [`ImportEnd`] that says whether
//!   the connector can *prove* that it has seen everything it was asked for. Only a proven full import may delete.
//! - A page's watermark, where it has one, is a point from which the same import can go on after a crash.
//! - An entry carries everything selected ([`EntryChange::Full`]), or only what changed ([`EntryChange::Merge`]).
//! - A **container** may be told by an entry of its own ([`EntryChange::Container`]): its anchor, and the name that it
//!   has now. Whoever knows it by its anchor takes everything that lies below it along, so that a connector that tells
//!   a renamed container need not tell what lies below it again. Containers come before what lies in them, those that
//!   hold others first. Only where link values name their targets by anchor: a name in a value would not move along.
//!   Not told so are containers that bring objects into the selection or take them out of it: their objects are told,
//!   and only after them the container, so that an import that was cut short tells them again.
//! - Link values come in chunks ([`LinkChunk`]), so that a group of half a million members never is in memory whole.
//! - An **export** answers per item. An item that may have reached the directory although no answer came back is
//!   [`ExportOutcome::Unknown`], never failed: it will be looked up by its create key.
//! - Every error says what to do with it ([`ErrorClass`]); nobody parses messages.
//! - No connector deletes, adopts or overwrites by its own decision.

#[cfg(any(test, feature = "conformance"))]
pub mod conformance;
mod error;
mod export;
mod facts;
mod import;
mod pass;

use async_trait::async_trait;
use onesync_model::{AttrId, AttributeType, Time, TypeId};
use tokio::sync::mpsc;

pub use error::{ConnectorError, ErrorClass};
pub use export::{ExportBatch, ExportItem, ExportOutcome, ExportResult, LinkExport, RefusedAttribute};
pub use facts::DirectoryFacts;
pub use import::{ImportEnd, ImportMode, ImportPage, ImportRequest, KnownContainers, Proof, Watermark};
pub use onesync_model::{Anchor, Entry, EntryChange, EntryFlags, LinkChunk, LinkMode, LinkTarget, Operation};
pub use pass::{Pass, Permit};

/// How many pages may wait between a connector and its consumer: enough to keep both busy, few enough that memory
/// does not grow with the directory.
pub const PAGES_IN_FLIGHT: usize = 4;

/// One connected directory.
#[async_trait]
pub trait Connector: Send + Sync {
    /// The kind, as written in configuration files (`ad`, `graph`, `jsonl`, ...).
    fn kind(&self) -> &'static str;

    /// What this connector can do.
    fn capabilities(&self) -> Capabilities;

    /// What attributes mean to this connector, by object type. A connector that only reads needs none.
    fn type_roles(&self) -> Vec<TypeRoles> {
        Vec::new()
    }

    /// Looks at the directory without changing it: reachability, rights, per feature.
    async fn test(&self) -> Result<TestReport, ConnectorError>;

    /// What the directory can hold.
    async fn schema(&self) -> Result<DiscoveredSchema, ConnectorError>;

    /// What the settings say that can be read and is hardly meant, seen from the directory: a name that nothing there
    /// has. The place of each is its setting. Asked when a configuration is looked at, not when it runs.
    async fn doubts(&self) -> Vec<ConnectorError> {
        Vec::new()
    }

    /// Reads the directory. Pages go into `pages`; when its receiver is gone, the connector stops with an error of
    /// class [`ErrorClass::Stopped`].
    async fn import(
        &self,
        request: ImportRequest,
        pages: mpsc::Sender<ImportPage>,
    ) -> Result<ImportEnd, ConnectorError>;

    /// Writes one batch. The results are in the order of the items, one for each.
    async fn export(&self, batch: ExportBatch) -> Result<Vec<ExportResult>, ConnectorError>;

    /// Finds objects by their create keys, after a crash has left it unknown whether they were created.
    /// The results are in the order of the keys.
    async fn find_created(&self, keys: &[CreateKey]) -> Result<Vec<Option<Anchor>>, ConnectorError>;

    /// The marker of the installation that writes to this directory, where the directory can keep one.
    async fn marker(&self) -> Result<Option<Marker>, ConnectorError>;

    /// Sets the marker, but for its session.
    async fn set_marker(&self, marker: &Marker) -> Result<(), ConnectorError>;

    /// Sets the session of the marker, and nothing else of it. May refuse one while another taking is read, never none.
    async fn set_session(&self, _marker: &Marker) -> Result<(), ConnectorError> {
        Err(ConnectorError::new(ErrorClass::Configuration, "NO-MARKER", self.kind(), "it keeps no marker"))
    }

    /// What stands in the way of any export, read from the directory itself (e.g. another synchronisation service
    /// masters the tenant). `None` when nothing does.
    async fn export_obstacle(&self) -> Result<Option<String>, ConnectorError> {
        Ok(None)
    }

    /// Looks again for objects that a full import did not show, and gives those of which the directory says neither
    /// that they are deleted nor that they lie elsewhere: they may only be out of sight. `known` is the watermark of
    /// the import before. Gives nothing where the directory cannot tell.
    async fn out_of_sight(
        &self,
        known: Option<&Watermark>,
        anchors: &[Anchor],
    ) -> Result<Vec<Anchor>, ConnectorError> {
        let _ = (known, anchors);
        Ok(Vec::new())
    }

    /// What this connector depends on and when it ends: secrets, certificates, authorities, as far as it can be read.
    async fn expiries(&self) -> Result<Vec<Expiry>, ConnectorError> {
        Ok(Vec::new())
    }

    /// Tells which objects, by object type and distinguished name, the settings select, without asking the directory.
    /// `known` is the watermark of the last complete import. `None` where the settings select nothing by name.
    fn selector(&self, known: Option<&Watermark>) -> Option<Selector> {
        let _ = known;
        None
    }

    /// Signs in and does nothing else: whether the secrets are right. An error of class
    /// [`ErrorClass::Configuration`] says that they are refused.
    async fn sign_in(&self) -> Result<(), ConnectorError> {
        Ok(())
    }

    /// What plans for this directory rest on.
    async fn facts(&self) -> Result<DirectoryFacts, ConnectorError> {
        Ok(DirectoryFacts::default())
    }
}

/// Whether an object of this type and distinguished name is selected.
pub type Selector = Box<dyn Fn(&str, &str) -> bool + Send + Sync>;

/// The end of something that a connector depends on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expiry {
    /// What ends, as people know it: `certificate of dc1.contoso.com:636`.
    pub what: String,
    /// When it ends.
    pub at: Time,
}

/// What a connector can do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Capabilities {
    /// It can read only what changed since a watermark.
    pub delta_import: bool,
    /// Its pages may tell of an object again: its anchors are the directory's own keys, so that this is no second one.
    pub repeats: bool,
    /// Its delta names link values added and removed one by one.
    pub link_deltas: bool,
    /// It can write.
    pub export: bool,
    /// Most items in one export batch.
    pub export_batch_max: usize,
    /// Most link values in one [`ExportItem`].
    pub export_links_max: usize,
    /// It keeps a marker against a second installation.
    pub marker: bool,
    /// Seconds within which a change that was sent may not be visible yet.
    pub settle_seconds: u32,
    /// Objects have distinguished names in a hierarchy of containers.
    pub hierarchical: bool,
    /// Link values name their targets by distinguished name or other name (else by anchor).
    pub links_by_name: bool,
}

pub use onesync_model::Obstacle;

/// What attributes of one object type mean to a connector that writes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TypeRoles {
    /// The object type.
    pub object_type: String,
    /// The attribute that identifies an object before it has an anchor.
    pub create_key: Option<String>,
    /// The attribute whose value is shown as the name of an object that is to be created.
    pub name: Option<String>,
    /// The attribute that enables an account.
    pub enabled: Option<String>,
    /// Whether people sign in with it: such objects are disabled and deleted later when they leave, others stay.
    pub account: bool,
    /// Values with which an object cannot be created here: it is computed and shown, never sent.
    pub not_created_if: Vec<(String, Obstacle)>,
}

/// Identifies an object that may or may not have been created.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreateKey {
    /// The object's type.
    pub object_type: TypeId,
    /// The key's text: for Graph the immutable id or unique name, for LDAP the DN, for SCIM the `externalId`.
    pub key: String,
}

/// Says which installation writes to a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Marker {
    /// The installation's id.
    pub installation: String,
    /// The epoch of its active server.
    pub epoch: u64,
    /// Made anew by whoever takes the marker; `None` where a program set it that makes none.
    pub taken: Option<String>,
    /// Higher than whatever was there when it was taken.
    pub number: u64,
    /// Written apart by whoever has it, with each export. Letters, digits and `-`, at most 48.
    pub session: Option<String>,
}

impl Marker {
    /// One that nobody can be told from a copy by.
    #[must_use]
    pub fn new(installation: &str, epoch: u64) -> Self {
        Self { installation: installation.to_owned(), epoch, taken: None, number: 0, session: None }
    }

    /// What is left of one whose larger part somebody has removed: whoever takes it needs a higher number.
    #[must_use]
    pub fn remains(session: String) -> Self {
        Self { session: Some(session), ..Self::new("", 0) }
    }

    /// Whether it names nobody.
    #[must_use]
    pub fn is_nobodys(&self) -> bool {
        self.installation.is_empty()
    }
}

/// The result of looking at a connected directory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TestReport {
    /// What was looked at, in the order in which a person wants to read it.
    pub findings: Vec<Finding>,
}

/// One line of a [`TestReport`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// How it went.
    pub severity: Severity,
    /// What was looked at: host, bind, delta import, permission X.
    pub subject: String,
    /// What was seen, and what to do where it is not well.
    pub message: String,
}

/// How a finding is to be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// As it should be.
    Ok,
    /// Works, with a consequence to know.
    Warning,
    /// Does not work.
    Failed,
}

/// A schema as a directory describes itself, before names are interned.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DiscoveredSchema {
    /// Object types.
    pub types: Vec<DiscoveredType>,
    /// Attributes of all types.
    pub attributes: Vec<DiscoveredAttribute>,
}

/// One object type of a [`DiscoveredSchema`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DiscoveredType {
    /// Its name.
    pub name: String,
    /// Names of its attributes.
    pub attributes: Vec<String>,
    /// Names of attributes without which it cannot be created.
    pub required: Vec<String>,
    /// Whether its objects can be written at all.
    pub writable: bool,
    /// Names of attributes that nobody can write on its objects, though on others they may.
    pub read_only: Vec<String>,
    /// Names of attributes that nobody can empty on an object that has a value.
    pub never_empty: Vec<String>,
}

/// One attribute of a [`DiscoveredSchema`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiscoveredAttribute {
    /// Its name.
    pub name: String,
    /// The type of its values.
    pub kind: AttributeType,
    /// Whether it may hold several values.
    pub multi: bool,
    /// Whether values that differ in case only are different.
    pub case_exact: bool,
    /// Whether nobody can write it through this connector.
    pub read_only: bool,
    /// The most characters (or bytes) of one value.
    pub length_max: Option<usize>,
}

/// The object types and attributes that are read, with the ids under which they are stored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// Selected object types.
    pub types: Vec<SelectedType>,
}

/// One selected object type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SelectedType {
    /// Its interned name.
    pub id: TypeId,
    /// Its name as the directory spells it.
    pub name: String,
    /// Selected attributes.
    pub attributes: Vec<SelectedAttribute>,
}

/// One selected attribute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SelectedAttribute {
    /// Its interned name.
    pub id: AttrId,
    /// Its name as the directory spells it.
    pub name: String,
    /// The type of its values; references are delivered as links, never in the entry's values.
    pub kind: AttributeType,
    /// Whether it may hold several values.
    pub multi: bool,
}
