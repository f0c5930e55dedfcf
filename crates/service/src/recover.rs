//! What an export leaves open: items that were being sent when the server stopped, and what was sent and never seen.

use std::collections::BTreeMap;

use onesync_connectors::CreateKey;
use onesync_engine::{ChangeState, Changes, ExportLinkRow, ExportRow, Guarded};
use onesync_model::{CsId, Operation, RunId, TypeId};
use onesync_store::{ExportCount, ExportFilter, ExportLinkFilter, ExportedRow, ServiceChanges};

use crate::error::ServiceError;
use crate::export::LINKS_PAGE;
use crate::runtime::{ConnectorHandle, Runtime, Service};

/// Rows read at once.
const PAGE: usize = 1_000;

impl Service {
    /// What was perhaps written when the server stopped counts as written: a protection errs to the safe side.
    fn perhaps_exported(
        &self,
        connector: &ConnectorHandle,
        exports: &[ExportRow],
        links: &[ExportLinkRow],
    ) -> Result<Vec<ExportedRow>, ServiceError> {
        let mut counts: BTreeMap<(TypeId, u8), u64> = BTreeMap::new();
        for guarded in [Guarded::Delete, Guarded::Disable, Guarded::Empty] {
            for row in exports.iter().filter(|row| row.kinds & guarded.bit() != 0) {
                *counts.entry((row.object_type, guarded.code())).or_default() += 1;
            }
        }
        let removed: Vec<CsId> = links.iter().filter(|link| !link.add).map(|link| link.owner).collect();
        let types: BTreeMap<CsId, TypeId> = self
            .store()
            .reader()?
            .cs_by_id(&removed)?
            .into_iter()
            .map(|row| (row.id, row.object_type))
            .collect();
        for object_type in removed.iter().filter_map(|owner| types.get(owner)) {
            *counts.entry((*object_type, Guarded::Shrink.code())).or_default() += 1;
        }
        Ok(self.exported_rows(connector, counts))
    }

    /// Decides about what was being sent when the server stopped.
    pub(crate) async fn recover_exports(
        &self,
        runtime: &Runtime,
        connector: &ConnectorHandle,
    ) -> Result<(), ServiceError> {
        let (sending, links) = {
            let reader = self.store().reader()?;
            (reader.sending_exports(connector.id)?, reader.sending_export_links(connector.id)?)
        };
        if sending.is_empty() && links.is_empty() {
            return Ok(());
        }
        let exported = self.perhaps_exported(connector, &sending, &links)?;
        let asked: Vec<(usize, CreateKey)> = sending
            .iter()
            .enumerate()
            .filter(|(_, row)| row.operation == Operation::Add)
            .filter_map(|(at, row)| {
                Some((at, CreateKey { object_type: row.object_type, key: row.create_key.clone()? }))
            })
            .collect();
        let keys: Vec<CreateKey> = asked.iter().map(|(_, key)| key.clone()).collect();
        let found = if keys.is_empty() {
            Vec::new()
        } else {
            connector
                .connector
                .find_created(&keys)
                .await
                .map_err(|e| ServiceError::connector(connector.name(), e))?
        };
        let by_index: BTreeMap<usize, _> = asked.into_iter().map(|(at, _)| at).zip(found).collect();
        let rows: Vec<(ExportRow, _)> = sending
            .into_iter()
            .enumerate()
            .map(|(at, row)| (row, by_index.get(&at).cloned().flatten()))
            .collect();
        let changes = {
            let reader = self.store().reader()?;
            onesync_engine::recover(&self.context(runtime, RunId(0)), &*reader, &rows, &links)?
        };
        tracing::info!(
            connector = connector.name(),
            items = rows.len(),
            links = links.len(),
            "what was being sent when the server stopped was looked up"
        );
        let service = ServiceChanges { exported, ..ServiceChanges::default() };
        Ok(self.store().write(self.epoch(), &changes, &service)?)
    }

    /// What was sent longer ago than the settling time and never seen is sent again, or isolated.
    pub(crate) fn overdue_exports(
        &self,
        runtime: &Runtime,
        connector: &ConnectorHandle,
        run: RunId,
    ) -> Result<(), ServiceError> {
        let ctx = self.context(runtime, run);
        let counts = self.store().reader()?.export_counts()?;
        for state in [ChangeState::Sent, ChangeState::Pending] {
            // What nobody can write was never sent; it may be much, and an idle cycle does not go through it.
            let perhaps_sent = |c: &ExportCount| {
                let written = state == ChangeState::Sent || c.kinds & ExportRow::KIND_UNWRITABLE == 0;
                c.connector == connector.id && c.state == state && written
            };
            if !counts.iter().any(perhaps_sent) {
                continue;
            }
            let mut after = CsId(i64::MIN);
            loop {
                let reader = self.store().reader()?;
                let filter = ExportFilter { state: Some(state), ..ExportFilter::default() };
                let page = reader.exports_page(connector.id, filter, after, PAGE)?;
                let Some(last) = page.last() else { break };
                after = last.cs;
                let ids: Vec<CsId> = page.iter().filter(|row| row.sent.is_some()).map(|row| row.cs).collect();
                let changes = onesync_engine::overdue(&ctx, &*reader, &ids)?;
                drop(reader);
                if changes != (Changes { run, ..Changes::default() }) {
                    self.store().apply(self.epoch(), &changes)?;
                }
            }
        }
        let filter = ExportLinkFilter { state: Some(ChangeState::Sent), ..ExportLinkFilter::default() };
        let mut after = None;
        loop {
            let reader = self.store().reader()?;
            let page = reader.export_links_page(connector.id, filter, after, LINKS_PAGE)?;
            let Some(last) = page.last() else { return Ok(()) };
            after = Some((last.owner, last.attribute, last.target));
            let changes = onesync_engine::overdue_links(&ctx, &*reader, &page)?;
            drop(reader);
            if changes != (Changes { run, ..Changes::default() }) {
                self.store().apply(self.epoch(), &changes)?;
            }
        }
    }
}
