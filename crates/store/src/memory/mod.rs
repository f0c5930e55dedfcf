//! The store in memory: for tests, and as the second opinion on what every other store does.
//!
//! Written for being plainly right: ordered maps, counts counted when asked. Nothing is shared with the other stores
//! but the rows. Deliberately absent: durability; a limit of size.

mod engine_reads;
mod service_reads;
mod write;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use onesync_engine::{
    AgendaRow, Changes, ContainerRow, Counters, CsRow, ErrorRow, ExportLinkRow, ExportRow, HistoryRow, MvRow,
    Work,
};
use onesync_model::{AttrId, ConnectorId, ContainerId, CsId, Hash128, MvId, RuleId, RunId, Time, TypeId};

use crate::chain::StoredEvent;
use crate::error::StoreError;
use crate::relational::servers;
use crate::rows::{
    ConfigFiles, ConfigVersionRow, ConnectorRow, ExportLinkKey, HeldPlanRow, InstallationRow, Retention,
    RuleRow, RunRow, SecretRow, ServiceChanges,
};
use crate::servers::{Holder, Lease, ServerRow};
use crate::store::{Store, StoreReader};

/// All rows. Cloned for every batch, so that a failed one changes nothing; large rows are shared between clones.
#[derive(Clone, Default)]
struct State {
    installation: Option<InstallationRow>,
    servers: BTreeMap<String, ServerRow>,
    settings: BTreeMap<String, String>,
    counters: Counters,
    cs: BTreeMap<CsId, Arc<CsRow>>,
    name_keys: BTreeMap<CsId, Hash128>,
    by_key: BTreeMap<Hash128, CsId>,
    by_name: BTreeSet<(Hash128, CsId)>,
    by_mv: BTreeSet<(MvId, CsId)>,
    cs_join: BTreeSet<(i64, CsId)>,
    links: BTreeSet<(CsId, AttrId, Hash128)>,
    links_back: BTreeSet<(Hash128, CsId, AttrId)>,
    containers: BTreeMap<ContainerId, ContainerRow>,
    mv: BTreeMap<MvId, Arc<MvRow>>,
    mv_join: BTreeSet<(i64, MvId)>,
    mv_links: BTreeSet<(MvId, AttrId, MvId)>,
    mv_links_back: BTreeSet<(MvId, MvId, AttrId)>,
    exports: BTreeMap<CsId, Arc<ExportRow>>,
    export_links: BTreeMap<ExportLinkKey, ExportLinkRow>,
    agenda: BTreeMap<Work, AgendaRow>,
    errors: BTreeMap<(CsId, String), Arc<ErrorRow>>,
    history: BTreeMap<i64, Arc<HistoryRow>>,
    states: BTreeMap<(ConnectorId, String), Arc<[u8]>>,
    runs: BTreeMap<RunId, RunRow>,
    names: BTreeMap<AttrId, String>,
    connectors: BTreeMap<ConnectorId, ConnectorRow>,
    rules: BTreeMap<RuleId, RuleRow>,
    configs: BTreeMap<u32, (ConfigVersionRow, Arc<ConfigFiles>)>,
    secrets: BTreeMap<String, SecretRow>,
    events: BTreeMap<i64, StoredEvent>,
    exported: BTreeMap<(ConnectorId, TypeId, u8, i64), u64>,
    held: BTreeMap<Hash128, HeldPlanRow>,
}

/// The store in memory.
#[derive(Default)]
pub struct MemoryStore {
    state: Mutex<Arc<State>>,
    /// Its clock, in ticks.
    clock: AtomicI64,
}

impl State {
    fn lease(&self, now: Time) -> Option<Lease> {
        let epoch = self.installation.as_ref()?.epoch;
        let holder = self.servers.values().find(|row| row.epoch == epoch);
        let holder = holder.map(|row| Holder { id: row.id.clone(), seen: row.seen, lease: row.lease });
        Some(Lease { epoch, now, holder })
    }

    fn note_server(&mut self, server: &ServerRow, epoch: u64, seen: Time) {
        self.servers.insert(server.id.clone(), ServerRow { epoch, seen, ..server.clone() });
    }
}

/// A snapshot: the state as it was.
struct MemoryReader(Arc<State>);

impl MemoryStore {
    /// Makes an empty one.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Another one with the same rows, as a copy of the database is.
    #[must_use]
    pub fn fork(&self) -> Self {
        Self { state: Mutex::new(self.lock().clone()), clock: AtomicI64::new(self.clock().ticks()) }
    }

    /// Sets its clock, which stands until then.
    pub fn set_clock(&self, now: Time) {
        self.clock.store(now.ticks(), Ordering::Relaxed);
    }

    fn clock(&self) -> Time {
        Time::from_ticks(self.clock.load(Ordering::Relaxed))
    }

    fn lock(&self) -> MutexGuard<'_, Arc<State>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes a copy of the state, which takes its place when all went well.
    fn change<T>(
        &self,
        epoch: u64,
        change: impl FnOnce(&mut State) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let mut current = self.lock();
        match &current.installation {
            None => return Err(StoreError::NotInstalled),
            Some(row) if row.epoch != epoch => {
                return Err(StoreError::Fenced { ours: epoch, theirs: row.epoch });
            }
            Some(_) => {}
        }
        let mut next = State::clone(&current);
        let done = change(&mut next)?;
        *current = Arc::new(next);
        Ok(done)
    }
}

impl Store for MemoryStore {
    fn reader(&self) -> Result<Box<dyn StoreReader + '_>, StoreError> {
        Ok(Box::new(MemoryReader(self.lock().clone())))
    }

    fn write(&self, epoch: u64, changes: &Changes, service: &ServiceChanges) -> Result<(), StoreError> {
        self.change(epoch, |state| {
            state.engine_rows(changes)?;
            state.service_rows(service)
        })
    }

    fn install(&self, installation: &InstallationRow) -> Result<(), StoreError> {
        let mut current = self.lock();
        if let Some(there) = &current.installation {
            return Err(StoreError::Installed(there.id.clone()));
        }
        Arc::make_mut(&mut current).installation = Some(installation.clone());
        Ok(())
    }

    fn take_over(
        &self,
        seen: u64,
        server: &ServerRow,
        installation: Option<&str>,
    ) -> Result<u64, StoreError> {
        self.change(seen, |state| {
            if let Some(row) = &mut state.installation {
                row.epoch += 1;
                if let Some(id) = installation {
                    id.clone_into(&mut row.id);
                }
            }
            state.note_server(server, seen + 1, self.clock());
            Ok(seen + 1)
        })
    }

    fn enrol(&self, server: &ServerRow) -> Result<(), StoreError> {
        let mut current = self.lock();
        servers::may_enrol(server, current.lease(self.clock()))?;
        Arc::make_mut(&mut current).note_server(server, server.epoch, self.clock());
        Ok(())
    }

    fn renew(&self, server: &ServerRow) -> Result<Lease, StoreError> {
        let mut current = self.lock();
        let there = current.lease(self.clock());
        let holds = server.epoch == 0 || there.as_ref().is_some_and(|there| there.epoch == server.epoch);
        let noted = current.servers.get(&server.id).is_some_and(|row| row.epoch == server.epoch);
        if !(holds && noted) {
            return servers::renewed(server, None, there);
        }
        let state = Arc::make_mut(&mut current);
        state.note_server(server, server.epoch, self.clock());
        let holder = Holder { id: server.id.clone(), seen: self.clock(), lease: server.lease };
        Ok(Lease { epoch: server.epoch, now: self.clock(), holder: Some(holder) })
    }

    fn lease(&self) -> Result<Lease, StoreError> {
        self.lock().lease(self.clock()).ok_or(StoreError::NotInstalled)
    }

    fn take_epoch(&self, seen: u64) -> Result<u64, StoreError> {
        self.change(seen, |state| {
            if let Some(row) = &mut state.installation {
                row.epoch += 1;
            }
            Ok(seen + 1)
        })
    }

    fn trim(&self, epoch: u64, retention: &Retention, limit: usize) -> Result<u64, StoreError> {
        self.change(epoch, |state| Ok(state.trim(retention, limit)))
    }

    fn checkpoint(&self) -> Result<(), StoreError> {
        Ok(())
    }
}
