//! A source that tells one change, or that nothing has changed: what a directory with deltas does in a quiet time.

use std::sync::Mutex;

use async_trait::async_trait;
use onesync_connectors::{
    Anchor, Capabilities, Connector, ConnectorError, CreateKey, DiscoveredSchema, Entry, EntryChange,
    EntryFlags, ExportBatch, ExportResult, ImportEnd, ImportPage, ImportRequest, LinkChunk, LinkMode,
    LinkTarget, Marker, Proof, TestReport, Watermark,
};
use onesync_model::{AttrId, Bag};
use tokio::sync::mpsc;

/// A delta source; each import takes the next entries.
pub struct Scripted {
    capabilities: Capabilities,
    next: Mutex<Vec<Entry>>,
}

impl Scripted {
    /// Stands in for a connector.
    pub fn new(instead_of: &dyn Connector) -> Self {
        let capabilities =
            Capabilities { delta_import: true, link_deltas: true, ..instead_of.capabilities() };
        Self { capabilities, next: Mutex::new(Vec::new()) }
    }

    /// The next import tells that one link value came or went.
    pub fn link(&self, owner: &Anchor, attribute: AttrId, target: String, add: bool) {
        let mode = if add { LinkMode::Add } else { LinkMode::Remove };
        let entry = Entry {
            anchor: owner.clone(),
            dn: None,
            object_type: None,
            change: EntryChange::Merge,
            values: Bag::default(),
            cleared: Vec::new(),
            unknown: Vec::new(),
            links: vec![LinkChunk { attribute, mode, targets: vec![LinkTarget::Dn(target)] }],
            flags: EntryFlags::default(),
        };
        self.lock().push(entry);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Entry>> {
        self.next.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

#[async_trait]
impl Connector for Scripted {
    fn kind(&self) -> &'static str {
        "scripted"
    }

    fn capabilities(&self) -> Capabilities {
        self.capabilities.clone()
    }

    async fn test(&self) -> Result<TestReport, ConnectorError> {
        Ok(TestReport::default())
    }

    async fn schema(&self) -> Result<DiscoveredSchema, ConnectorError> {
        Ok(DiscoveredSchema::default())
    }

    async fn import(
        &self,
        _request: ImportRequest,
        pages: mpsc::Sender<ImportPage>,
    ) -> Result<ImportEnd, ConnectorError> {
        let entries = std::mem::take(&mut *self.lock());
        if !entries.is_empty() {
            // The receiver waits for the end of this call; that it is gone is seen there.
            let _ = pages.send(ImportPage { entries, ..ImportPage::default() }).await;
        }
        Ok(ImportEnd {
            proof: Proof::Complete,
            watermark: Some(Watermark(b"scripted".to_vec())),
            remarks: Vec::new(),
        })
    }

    async fn export(&self, _batch: ExportBatch) -> Result<Vec<ExportResult>, ConnectorError> {
        Ok(Vec::new())
    }

    async fn find_created(&self, keys: &[CreateKey]) -> Result<Vec<Option<Anchor>>, ConnectorError> {
        Ok(vec![None; keys.len()])
    }

    async fn marker(&self) -> Result<Option<Marker>, ConnectorError> {
        Ok(None)
    }

    async fn set_marker(&self, _marker: &Marker) -> Result<(), ConnectorError> {
        Ok(())
    }
}
