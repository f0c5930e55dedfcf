//! Where the play happens: a store that can die between two transactions or lose work of the agenda, and connectors
//! that deliver the same entries in another order.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use onesync_connectors::memory::MemoryConnector;
use onesync_connectors::pages::Pager;
use onesync_connectors::{
    Anchor, Capabilities, Connector, ConnectorError, CreateKey, DiscoveredSchema, Entry, EntryChange,
    ExportBatch, ExportResult, ImportEnd, ImportMode, ImportPage, ImportRequest, Marker, TestReport,
    TypeRoles,
};
use onesync_engine::{AgendaRow, Changes};
use onesync_model::hash64;
use onesync_store::{
    InstallationRow, Lease, Retention, ServerRow, ServiceChanges, Store, StoreError, StoreReader,
};
use tokio::sync::mpsc;

type Loses = Box<dyn Fn(&Changes, &AgendaRow) -> bool + Send>;

/// The store, and what goes wrong with it.
pub struct Stage {
    pub store: Arc<dyn Store>,
    pub shuffle: u64,
    /// Transactions until the process dies; `u64::MAX` when it does not.
    left: AtomicU64,
    loses: Mutex<Option<Loses>>,
}

impl Stage {
    pub fn new(store: Arc<dyn Store>, shuffle: u64) -> Self {
        Self { store, shuffle, left: AtomicU64::new(u64::MAX), loses: Mutex::new(None) }
    }

    /// Lets the process die after so many more transactions.
    pub fn die_after(&self, transactions: u64) {
        self.left.store(transactions, Relaxed);
    }

    /// It lives. Says whether it had died.
    pub fn revive(&self) -> bool {
        let dead = self.left.load(Relaxed) == 0;
        if dead {
            self.left.store(u64::MAX, Relaxed);
        }
        dead
    }

    /// Work that is put on the agenda by such a batch is lost.
    pub fn lose(&self, loses: impl Fn(&Changes, &AgendaRow) -> bool + Send + 'static) {
        *self.loses.lock().unwrap() = Some(Box::new(loses));
    }

    pub fn play(&self, connector: MemoryConnector) -> Player {
        Player { connector, shuffle: self.shuffle }
    }
}

impl Store for Stage {
    fn reader(&self) -> Result<Box<dyn StoreReader + '_>, StoreError> {
        self.store.reader()
    }

    fn write(&self, epoch: u64, changes: &Changes, service: &ServiceChanges) -> Result<(), StoreError> {
        let left = self.left.load(Relaxed);
        if left == 0 {
            return Err(StoreError::NotInstalled);
        }
        if left != u64::MAX {
            self.left.store(left - 1, Relaxed);
        }
        if let Some(loses) = &*self.loses.lock().unwrap() {
            let mut changes = changes.clone();
            let whole = changes.clone();
            changes.agenda.retain(|row| !loses(&whole, row));
            return self.store.write(epoch, &changes, service);
        }
        self.store.write(epoch, changes, service)
    }

    fn install(&self, installation: &InstallationRow) -> Result<(), StoreError> {
        self.store.install(installation)
    }

    fn take_epoch(&self, seen: u64) -> Result<u64, StoreError> {
        self.store.take_epoch(seen)
    }

    fn take_over(
        &self,
        seen: u64,
        server: &ServerRow,
        installation: Option<&str>,
    ) -> Result<u64, StoreError> {
        self.store.take_over(seen, server, installation)
    }

    fn enrol(&self, server: &ServerRow) -> Result<(), StoreError> {
        self.store.enrol(server)
    }

    fn renew(&self, server: &ServerRow) -> Result<Lease, StoreError> {
        self.store.renew(server)
    }

    fn lease(&self) -> Result<Lease, StoreError> {
        self.store.lease()
    }

    fn trim(&self, epoch: u64, retention: &Retention, limit: usize) -> Result<u64, StoreError> {
        self.store.trim(epoch, retention, limit)
    }

    fn checkpoint(&self) -> Result<(), StoreError> {
        self.store.checkpoint()
    }
}

/// A connector that gives the entries of imports in another order.
pub struct Player {
    connector: MemoryConnector,
    shuffle: u64,
}

#[async_trait]
impl Connector for Player {
    fn kind(&self) -> &'static str {
        self.connector.kind()
    }

    fn capabilities(&self) -> Capabilities {
        self.connector.capabilities()
    }

    fn type_roles(&self) -> Vec<TypeRoles> {
        self.connector.type_roles()
    }

    async fn test(&self) -> Result<TestReport, ConnectorError> {
        self.connector.test().await
    }

    async fn schema(&self) -> Result<DiscoveredSchema, ConnectorError> {
        self.connector.schema().await
    }

    async fn import(
        &self,
        request: ImportRequest,
        pages: mpsc::Sender<ImportPage>,
    ) -> Result<ImportEnd, ConnectorError> {
        if self.shuffle == 0 {
            return self.connector.import(request, pages).await;
        }
        let full = matches!(request.mode, ImportMode::Full { .. });
        let size = request.page_size;
        let (sender, mut receiver) = mpsc::channel(1_000);
        let end = self.connector.import(ImportRequest { page_size: 10_000, ..request }, sender).await?;
        let mut entries: Vec<Entry> = Vec::new();
        while let Some(page) = receiver.recv().await {
            assert!(page.entries.iter().all(|entry| entry.change != EntryChange::MoreLinks), "whole entries");
            entries.extend(page.entries);
        }
        if full {
            let place = |entry: &Entry| hash64(&[&self.shuffle.to_le_bytes()[..], &entry.anchor.0].concat());
            entries.sort_by_key(place);
        }
        let mut pager = Pager::new(size);
        entries.into_iter().for_each(|entry| pager.push(entry, None));
        while let Some(page) = pager.take_full() {
            pages.send(page).await.map_err(|_| ConnectorError::stopped())?;
        }
        if let Some(page) = pager.take_rest() {
            pages.send(page).await.map_err(|_| ConnectorError::stopped())?;
        }
        Ok(end)
    }

    async fn export(&self, batch: ExportBatch) -> Result<Vec<ExportResult>, ConnectorError> {
        self.connector.export(batch).await
    }

    async fn find_created(&self, keys: &[CreateKey]) -> Result<Vec<Option<Anchor>>, ConnectorError> {
        self.connector.find_created(keys).await
    }

    async fn marker(&self) -> Result<Option<Marker>, ConnectorError> {
        self.connector.marker().await
    }

    async fn set_marker(&self, marker: &Marker) -> Result<(), ConnectorError> {
        self.connector.set_marker(marker).await
    }

    async fn set_session(&self, marker: &Marker) -> Result<(), ConnectorError> {
        self.connector.set_session(marker).await
    }
}
