//! The trait every store implements.
//!
//! It is synchronous: the service calls it on threads that may block. Writes are batches in one transaction that
//! checks the epoch first; reads are snapshots. Rows that exist on both sides of a batch are written in the order of
//! their keys. In one batch deletions are applied before puts, and of two puts with one key the last one counts.
//!
//! Deliberately absent: free queries, retries (an implementation retries what its database asks to be retried),
//! waiting, decisions.

use std::path::Path;

use onesync_engine::{AgendaRow, Changes, ErrorRow, ExportLinkRow, ExportRow, HistoryRow, ReadError, Reader};
use onesync_model::{AttrId, ConnectorId, CsId, Hash128, MvGuid, MvId, Operation, RunId, Time, TypeId};

use crate::bulk::Bulk;
use crate::chain::StoredEvent;
use crate::error::StoreError;
use crate::facts::{Answer, DatabaseFacts, TableSize, Tidied};
use crate::rows::{
    AgendaCount, ConfigFiles, ConfigVersionRow, ConnectorRow, CsCount, CsHead, ErrorCount, ExportCount,
    ExportFilter, ExportLinkCount, ExportLinkFilter, ExportLinkKey, ExportLinkOwner, ExportedRow,
    HeldPlanRow, HeldState, InstallationRow, MvCount, Retention, RuleRow, RunRow, SecretRow, ServiceChanges,
};
use crate::servers::{Lease, ServerRow};

/// A database of one installation.
pub trait Store: Send + Sync {
    /// A reader of one consistent state: what is committed now. Keep it for a batch, not for longer: an old snapshot
    /// keeps the database from freeing space.
    ///
    /// # Errors
    /// When the database is out of reach.
    fn reader(&self) -> Result<Box<dyn StoreReader + '_>, StoreError>;

    /// Writes what the engine decided and what the service records, in one transaction.
    ///
    /// A batch that sets an export to `Sending` is on the disk when this returns; other batches may be lost in a
    /// power failure, each as a whole and in their order.
    ///
    /// # Errors
    /// [`StoreError::Fenced`] when `epoch` is not the database's; [`StoreError::Conflict`] when two objects would
    /// have one anchor or an append-only row would change. After an error nothing was written.
    fn write(&self, epoch: u64, changes: &Changes, service: &ServiceChanges) -> Result<(), StoreError>;

    /// Writes what the engine decided.
    ///
    /// # Errors
    /// As [`Store::write`].
    fn apply(&self, epoch: u64, changes: &Changes) -> Result<(), StoreError> {
        self.write(epoch, changes, &ServiceChanges::default())
    }

    /// Writes what the service records.
    ///
    /// # Errors
    /// As [`Store::write`].
    fn record(&self, epoch: u64, service: &ServiceChanges) -> Result<(), StoreError> {
        self.write(epoch, &Changes::default(), service)
    }

    /// Makes the one installation of an empty database.
    ///
    /// # Errors
    /// [`StoreError::Installed`] when there is one.
    fn install(&self, installation: &InstallationRow) -> Result<(), StoreError>;

    /// Takes over for a server: raises the epoch by one, notes that this server holds it, gives the installation another id
    /// where one is named, and gives the new epoch; one transaction. Whoever holds the old one is fenced from now on.
    ///
    /// # Errors
    /// As [`Store::take_epoch`].
    fn take_over(&self, seen: u64, server: &ServerRow, installation: Option<&str>)
    -> Result<u64, StoreError>;

    /// Notes a server: one that holds the epoch already, or one that never took any (epoch 0).
    ///
    /// # Errors
    /// [`StoreError::Fenced`] when its epoch is not the database's, [`StoreError::Conflict`] when another server holds it.
    fn enrol(&self, server: &ServerRow) -> Result<(), StoreError>;

    /// Says that a noted server is there: a single statement, beside all transactions. Gives what it has from then on.
    ///
    /// # Errors
    /// [`StoreError::Fenced`] when it says that it holds an epoch and does not.
    fn renew(&self, server: &ServerRow) -> Result<Lease, StoreError>;

    /// Who may write now: a single statement, beside all transactions.
    ///
    /// # Errors
    /// When the database is out of reach.
    fn lease(&self) -> Result<Lease, StoreError>;

    /// Now, by the clock of the database.
    ///
    /// # Errors
    /// As [`Store::lease`].
    fn now(&self) -> Result<Time, StoreError> {
        Ok(self.lease()?.now)
    }

    /// Raises the epoch by one for nobody and gives the new one. Whoever holds the old one is fenced from now on.
    ///
    /// # Errors
    /// [`StoreError::Fenced`] when the epoch is not `seen`: someone else was faster.
    fn take_epoch(&self, seen: u64) -> Result<u64, StoreError>;

    /// Deletes what is older than the retention, at most `limit` rows of each sort; gives how many were deleted, so
    /// that the caller repeats it until nothing is left, in transactions that are short.
    ///
    /// # Errors
    /// As [`Store::write`].
    fn trim(&self, epoch: u64, retention: &Retention, limit: usize) -> Result<u64, StoreError>;

    /// Prepares for a first load: an index of links that are all still to come may be left out until
    /// [`Store::end_load`], which builds it in one go. What is read meanwhile is right, but searches for referrers
    /// are slow.
    ///
    /// # Errors
    /// When the database fails.
    fn begin_load(&self, _epoch: u64) -> Result<(), StoreError> {
        Ok(())
    }

    /// Builds the indices that a load left out, also one that was cut short. Cheap when none is missing.
    ///
    /// # Errors
    /// When the database fails, or has no room: nothing is wrong then but the speed of some searches.
    fn end_load(&self, _epoch: u64) -> Result<(), StoreError> {
        Ok(())
    }

    /// Whether the log has grown because something was being read whenever a batch was written: then the next one
    /// should be written while nothing is.
    fn log_is_long(&self) -> bool {
        false
    }

    /// Writes a copy of one state, all of it, into a new embedded database: a scratch for what-if, which may be written.
    ///
    /// # Errors
    /// When the database fails, or the file is there or cannot be written; always for a store that is no database.
    fn copy_to(&self, file: &Path) -> Result<(), StoreError> {
        let why = format!("it is no database, and cannot be copied to `{}`", file.display());
        Err(StoreError::Unsuitable { why })
    }

    /// A connection that reads and writes whole tables: for moving an installation.
    ///
    /// # Errors
    /// When the database is out of reach; always for a store that is no database.
    fn bulk(&self) -> Result<Box<dyn Bulk + '_>, StoreError> {
        let why = "it is no database, and cannot be moved".to_owned();
        Err(StoreError::Unsuitable { why })
    }

    /// A connection that reads whole tables of one state, what is committed now, and cannot write. Cycles may go on
    /// meanwhile, but the database keeps what they replace until this goes.
    ///
    /// # Errors
    /// When the database is out of reach; always for a store that is no database.
    fn snapshot(&self) -> Result<Box<dyn Bulk + '_>, StoreError> {
        let why = "it is no database, and cannot be backed up".to_owned();
        Err(StoreError::Unsuitable { why })
    }

    /// The database in one look.
    ///
    /// # Errors
    /// When it fails.
    fn facts(&self) -> Result<DatabaseFacts, StoreError> {
        Ok(DatabaseFacts { kind: "memory", ..DatabaseFacts::default() })
    }

    /// What each table takes, the largest first. It may have to look at all of the database.
    ///
    /// # Errors
    /// When it fails.
    fn table_sizes(&self) -> Result<Vec<TableSize>, StoreError> {
        Ok(Vec::new())
    }

    /// Asks a question in the database's SQL that writes nothing: one statement, at most `limit` rows.
    ///
    /// # Errors
    /// When it is no question, the database does not understand it, or it takes too long.
    fn query(&self, _sql: &str, _limit: usize) -> Result<Answer, StoreError> {
        Err(StoreError::Unsuitable { why: "it is no database, and cannot be asked".to_owned() })
    }

    /// What the kept changes of metaverse objects take, with their indices; where deleted ones leave their room to later
    /// ones, without that room.
    ///
    /// # Errors
    /// When the database fails.
    fn history_bytes(&self) -> Result<u64, StoreError> {
        let size = self.table_sizes()?.into_iter().find(|size| size.table == "history");
        Ok(size.map_or(0, |size| size.bytes + size.indices))
    }

    /// The time of the change of a metaverse object before which that share of all kept changes lies; `None` where none is
    /// kept.
    ///
    /// # Errors
    /// When the database fails.
    fn history_before(&self, _share: f64) -> Result<Option<Time>, StoreError> {
        Ok(None)
    }

    /// Gives back to the disk what is free, and keeps the database's own statistics, a little at a time: never for long in
    /// the way of whoever writes. To be repeated as long as there is more.
    ///
    /// # Errors
    /// When the database fails.
    fn tidy(&self) -> Result<Tidied, StoreError> {
        Ok(Tidied::default())
    }

    /// Brings what is committed into its final place and frees the log, as far as readers allow. Cheap when there is
    /// nothing to do.
    ///
    /// # Errors
    /// When the database fails.
    fn checkpoint(&self) -> Result<(), StoreError>;
}

/// Reads of one consistent state: the engine's, and those for the service and for people.
///
/// Pages are ascending by the key that `after` is of, and begin after it; where it is said, they are descending and
/// begin before it. A page shorter than its limit is the last one.
pub trait StoreReader: Reader + Send {
    /// The installation; `None` in a database that has none yet.
    fn installation(&self) -> Result<Option<InstallationRow>, ReadError>;
    /// The servers that were noted, ascending by id.
    fn servers(&self) -> Result<Vec<ServerRow>, ReadError>;
    /// All settings, ascending by name.
    fn settings(&self) -> Result<Vec<(String, String)>, ReadError>;
    /// The value of one setting; `None` where it was never set.
    fn setting(&self, name: &str) -> Result<Option<String>, ReadError>;
    /// All interned names, ascending by id.
    fn names(&self) -> Result<Vec<(AttrId, String)>, ReadError>;
    /// All connectors that ever were, ascending by id.
    fn connectors(&self) -> Result<Vec<ConnectorRow>, ReadError>;
    /// All versions of all rules, ascending by id.
    fn rules(&self) -> Result<Vec<RuleRow>, ReadError>;
    /// All versions of the configuration, ascending.
    fn config_versions(&self) -> Result<Vec<ConfigVersionRow>, ReadError>;
    /// The files of a version; `None` for a version that does not exist.
    fn config_files(&self, version: u32) -> Result<Option<ConfigFiles>, ReadError>;
    /// All secrets, ascending by name.
    fn secrets(&self) -> Result<Vec<SecretRow>, ReadError>;
    /// One secret.
    fn secret(&self, name: &str) -> Result<Option<SecretRow>, ReadError>;
    /// The id of the next run.
    fn next_run(&self) -> Result<RunId, ReadError>;
    /// A page of the runs of one or all connectors, descending by id, before `before`.
    fn runs(
        &self,
        connector: Option<ConnectorId>,
        before: Option<RunId>,
        limit: usize,
    ) -> Result<Vec<RunRow>, ReadError>;
    /// One run.
    fn run(&self, id: RunId) -> Result<Option<RunRow>, ReadError>;
    /// A page of the events, descending by number, before `before`.
    fn events(&self, before: Option<i64>, limit: usize) -> Result<Vec<StoredEvent>, ReadError>;
    /// A page of the events, ascending by number.
    fn events_after(&self, after: i64, limit: usize) -> Result<Vec<StoredEvent>, ReadError>;
    /// What a connector really exported since an hour (that hour included), ascending by row.
    fn exported_since(&self, connector: ConnectorId, hour: i64) -> Result<Vec<ExportedRow>, ReadError>;
    /// Held plans in one state or all, ascending by hash.
    fn held_plans(&self, state: Option<HeldState>) -> Result<Vec<HeldPlanRow>, ReadError>;
    /// One held plan.
    fn held_plan(&self, hash: Hash128) -> Result<Option<HeldPlanRow>, ReadError>;

    /// A metaverse object by its lasting identity: its row number.
    fn mv_by_guid(&self, guid: MvGuid) -> Result<Option<MvId>, ReadError>;
    /// A page of the history of a metaverse object with its numbers, descending, before `before`.
    fn history(
        &self,
        mv: MvId,
        before: Option<i64>,
        limit: usize,
    ) -> Result<Vec<(i64, HistoryRow)>, ReadError>;
    /// How many connector-space objects there are, by sort; kept counts.
    fn cs_counts(&self) -> Result<Vec<CsCount>, ReadError>;
    /// How many metaverse objects there are, by sort; kept counts.
    fn mv_counts(&self) -> Result<Vec<MvCount>, ReadError>;
    /// A page of the standing errors of one or all connectors; of all, ascending by object and place.
    fn errors_page(
        &self,
        connector: Option<ConnectorId>,
        after: Option<(CsId, &str)>,
        limit: usize,
    ) -> Result<Vec<ErrorRow>, ReadError>;
    /// How many standing errors there are, by sort; kept counts.
    fn error_counts(&self) -> Result<Vec<ErrorCount>, ReadError>;
    /// What is on the agenda, by pass and connector. It counts: for people, not for every cycle.
    fn agenda_counts(&self, now: Time) -> Result<Vec<AgendaCount>, ReadError>;
    /// The earliest time of the agenda; `None` when it is empty. A few index seeks.
    fn agenda_next(&self) -> Result<Option<Time>, ReadError>;
    /// A page of all objects of a connector, without their images.
    fn cs_heads(&self, connector: ConnectorId, after: CsId, limit: usize) -> Result<Vec<CsHead>, ReadError>;
    /// A page of the live objects of a connector: row numbers of those neither `GONE` nor `PROVISIONED`. A full import
    /// compares them with what it has seen.
    fn live_ids(&self, connector: ConnectorId, after: CsId, limit: usize) -> Result<Vec<CsId>, ReadError>;

    /// A page of the pending exports of a connector.
    fn exports_page(
        &self,
        connector: ConnectorId,
        filter: ExportFilter,
        after: CsId,
        limit: usize,
    ) -> Result<Vec<ExportRow>, ReadError>;
    /// How many pending exports there are, by sort; kept counts.
    fn export_counts(&self) -> Result<Vec<ExportCount>, ReadError>;
    /// A page of the pending link exports of a connector.
    fn export_links_page(
        &self,
        connector: ConnectorId,
        filter: ExportLinkFilter,
        after: Option<ExportLinkKey>,
        limit: usize,
    ) -> Result<Vec<ExportLinkRow>, ReadError>;
    /// How many pending link exports there are, by sort; kept counts.
    fn export_link_counts(&self) -> Result<Vec<ExportLinkCount>, ReadError>;
    /// A page of the objects with free link exports in state `Pending`, with their numbers, for the protection of
    /// shrinking groups. It counts the rows of the objects on the page.
    fn export_link_owners(
        &self,
        connector: ConnectorId,
        after: Option<(CsId, AttrId)>,
        limit: usize,
    ) -> Result<Vec<ExportLinkOwner>, ReadError>;

    /// A page of the exports to be sent now: `Pending`, not held, writable, not before their time. Ordered by operation (adds,
    /// updates, deletions), then by the place of their type in `types`, then by object. Types that are not named are
    /// left out. `after` is the last row of the page before.
    fn due_exports(
        &self,
        connector: ConnectorId,
        types: &[TypeId],
        now: Time,
        after: Option<(Operation, TypeId, CsId)>,
        limit: usize,
    ) -> Result<Vec<ExportRow>, ReadError>;
    /// A page of the link exports to be sent now: `Pending`, not held, not before their time, both ends with an anchor.
    /// The rows of one object's attribute follow each other.
    fn due_export_links(
        &self,
        connector: ConnectorId,
        now: Time,
        after: Option<ExportLinkKey>,
        limit: usize,
    ) -> Result<Vec<ExportLinkRow>, ReadError>;
    /// All exports of a connector in state `Sending`: after a crash it is unknown whether they arrived. As many as one
    /// batch at most.
    fn sending_exports(&self, connector: ConnectorId) -> Result<Vec<ExportRow>, ReadError>;
    /// All link exports of a connector in state `Sending`.
    fn sending_export_links(&self, connector: ConnectorId) -> Result<Vec<ExportLinkRow>, ReadError>;

    /// All rows as text, one a line, in a fixed order: for comparing stores and states in tests. Without annotations
    /// (which run and rule, when first seen, history) two states are equal when a sync cannot tell them apart.
    fn dump(&self, annotations: bool) -> Result<String, ReadError>;
}

/// One row of the agenda as columns: pass, two numbers, one key (empty where there is none).
pub(crate) fn work_columns(work: onesync_engine::Work) -> (u8, i64, i64, Vec<u8>) {
    use onesync_engine::Work;
    let (a, b, c) = match work {
        Work::Identity(turn) => (
            i64::from(turn.newcomer) << 32 | i64::from(turn.object_type.0),
            turn.place,
            turn.cs.0.to_be_bytes().to_vec(),
        ),
        Work::Target(cs) => (cs.0, 0, Vec::new()),
        Work::Values(mv) | Work::Outbound(mv) | Work::MvTarget(mv) => (mv.0, 0, Vec::new()),
        Work::CsLinks(cs, attribute) => (cs.0, i64::from(attribute.0), Vec::new()),
        Work::MvLinks(mv, attribute) => (mv.0, i64::from(attribute.0), Vec::new()),
        Work::CsLink(cs, attribute, key) => (cs.0, i64::from(attribute.0), key.0.to_vec()),
        Work::Members(at) => {
            (at.group.0, i64::from(at.attribute.0), at.after.map_or_else(Vec::new, |key| key.0.to_vec()))
        }
        Work::Below(below) => (below.container.0, below.after.0, below.after_object.0.to_be_bytes().to_vec()),
    };
    (work.pass(), a, b, c)
}

/// Reads what [`work_columns`] made.
pub(crate) fn work_from_columns(pass: u8, a: i64, b: i64, c: &[u8]) -> Option<onesync_engine::Work> {
    use onesync_engine::{Below, Members, Turn, Work};
    use onesync_model::ContainerId;
    let attribute = || u32::try_from(b).ok().map(AttrId);
    let work = match pass {
        0 => Work::Identity(Turn {
            newcomer: a >> 32 == 1,
            object_type: TypeId(u32::try_from(a & i64::from(u32::MAX)).ok()?),
            place: b,
            cs: CsId(i64::from_be_bytes(c.try_into().ok()?)),
        }),
        1 => Work::Values(MvId(a)),
        2 => Work::Outbound(MvId(a)),
        3 => Work::Target(CsId(a)),
        4 => Work::MvTarget(MvId(a)),
        5 => Work::CsLinks(CsId(a), attribute()?),
        6 => Work::MvLinks(MvId(a), attribute()?),
        7 => Work::CsLink(CsId(a), attribute()?, Hash128::from_slice(c)?),
        8 => Work::Below(Below {
            container: ContainerId(a),
            after: ContainerId(b),
            after_object: CsId(i64::from_be_bytes(c.try_into().ok()?)),
        }),
        9 => Work::Members(Members {
            group: CsId(a),
            attribute: attribute()?,
            after: if c.is_empty() { None } else { Some(Hash128::from_slice(c)?) },
        }),
        _ => return None,
    };
    (work.pass() == pass).then_some(work)
}

/// Orders a page of the agenda that was gathered in parts, and cuts it.
pub(crate) fn agenda_page(mut rows: Vec<AgendaRow>, limit: usize) -> Vec<AgendaRow> {
    rows.sort_by_key(|row| row.work);
    rows.truncate(limit);
    rows
}
