//! What a batch decided: rows to write in one transaction.

use onesync_model::{AttrId, ConnectorId, CsId, Hash128, MvId, RunId};

use crate::state::{
    AgendaRow, ContainerRow, CsRow, ErrorRow, ExportLinkRow, ExportRow, HistoryRow, MvRow, Work,
};

/// Rows to write in one transaction. Puts replace the whole row with the same key. Within one `Changes` no key is
/// both put and deleted, so the order of application does not matter.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Changes {
    /// Connector-space objects to write.
    pub cs: Vec<CsRow>,
    /// Those of `cs` whose name key must be indexed or was changed: id, connector, old key, new key.
    pub cs_names: Vec<(CsId, Option<Hash128>, Option<Hash128>)>,
    /// Connector-space objects to delete, with their link rows, pending exports and errors.
    pub cs_deleted: Vec<CsId>,
    /// Join keys of connector-space objects that came and went.
    pub cs_keys_added: Vec<(i64, CsId)>,
    /// See `cs_keys_added`.
    pub cs_keys_removed: Vec<(i64, CsId)>,
    /// Link rows that came.
    pub links_added: Vec<(CsId, AttrId, Hash128)>,
    /// Link rows that went.
    pub links_removed: Vec<(CsId, AttrId, Hash128)>,
    /// Containers to write.
    pub containers: Vec<ContainerRow>,
    /// Metaverse objects to write.
    pub mv: Vec<MvRow>,
    /// Metaverse objects to delete, with their links.
    pub mv_deleted: Vec<MvId>,
    /// Join keys of metaverse objects that came.
    pub mv_keys_added: Vec<(i64, MvId)>,
    /// Join keys of metaverse objects that went.
    pub mv_keys_removed: Vec<(i64, MvId)>,
    /// Metaverse links that came: owner, attribute, target.
    pub mv_links_added: Vec<(MvId, AttrId, MvId)>,
    /// Metaverse links that went.
    pub mv_links_removed: Vec<(MvId, AttrId, MvId)>,
    /// Pending exports to write.
    pub exports: Vec<ExportRow>,
    /// Pending exports that are done or withdrawn.
    pub exports_deleted: Vec<CsId>,
    /// Link values to export.
    pub export_links: Vec<ExportLinkRow>,
    /// Link values whose export is done or withdrawn: owner, attribute, target.
    pub export_links_deleted: Vec<(CsId, AttrId, CsId)>,
    /// Work to be done later; a row with the same work keeps the earlier time.
    pub agenda: Vec<AgendaRow>,
    /// Work that is done: taken off before `agenda` is put on, so that work may be done and due again later.
    pub agenda_done: Vec<Work>,
    /// Errors that stand.
    pub errors: Vec<ErrorRow>,
    /// Errors that are healed: object and place.
    pub errors_healed: Vec<(CsId, String)>,
    /// What happened.
    pub history: Vec<HistoryRow>,
    /// Small named states of the service (watermarks, progress marks, seen maps); `None` removes.
    pub states: Vec<(ConnectorId, String, Option<Vec<u8>>)>,
    /// The next free row numbers after this batch; `None` when none were taken.
    pub counters: Option<Counters>,
    /// The run that made these changes.
    pub run: RunId,
}

/// The next free row numbers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Counters {
    /// For connector-space objects.
    pub cs: i64,
    /// For metaverse objects.
    pub mv: i64,
    /// For containers.
    pub container: i64,
}

impl Default for Counters {
    fn default() -> Self {
        Self { cs: 1, mv: 1, container: 1 }
    }
}
