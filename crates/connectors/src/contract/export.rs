//! What an export is given and answers.

use onesync_model::{Anchor, AttrId, Operation, TypeId, Values};

use super::{ConnectorError, Pass};

/// Some changes to write.
#[derive(Clone, Debug)]
pub struct ExportBatch {
    /// The changes; at most [`super::Capabilities::export_batch_max`].
    pub items: Vec<ExportItem>,
    /// The leave to write it: asked directly before every request.
    pub pass: Pass,
    /// Random bytes for everything of this batch that must be random (initial passwords); connectors have no other
    /// source of randomness, so that a test can repeat a run.
    pub seed: [u8; 32],
}

/// One change to one object.
#[derive(Clone, Debug)]
pub struct ExportItem {
    /// What to do.
    pub operation: Operation,
    /// The object's type.
    pub object_type: TypeId,
    /// Its anchor; `None` when it is to be created.
    pub anchor: Option<Anchor>,
    /// Its create key; for an add always present where the connector has one.
    pub create_key: Option<String>,
    /// Attributes to set, or to remove where `None`.
    pub values: Vec<(AttrId, Option<Values>)>,
    /// Link values to add and remove.
    pub links: Vec<LinkExport>,
}

/// Link values of one attribute to add and remove; never a whole set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkExport {
    /// The attribute.
    pub attribute: AttrId,
    /// Targets to add.
    pub add: Vec<Anchor>,
    /// Targets to remove.
    pub remove: Vec<Anchor>,
}

/// The answer to one item.
#[derive(Clone, Debug)]
pub struct ExportResult {
    /// What became of it.
    pub outcome: ExportOutcome,
    /// Attributes and links that were refused while the rest was written.
    pub refused: Vec<RefusedAttribute>,
}

/// What became of one item.
#[derive(Clone, Debug)]
pub enum ExportOutcome {
    /// Written. An add carries the new object's anchor.
    Done {
        /// The anchor of the object.
        anchor: Option<Anchor>,
    },
    /// The object to change or delete is not there any more.
    Gone,
    /// Not written; the directory said so.
    Failed(ConnectorError),
    /// Perhaps written: no answer came back.
    Unknown(ConnectorError),
}

/// One attribute that a directory refused.
#[derive(Clone, Debug)]
pub struct RefusedAttribute {
    /// The attribute.
    pub attribute: AttrId,
    /// For a link attribute, the target it was about.
    pub target: Option<Anchor>,
    /// Why.
    pub error: ConnectorError,
}
