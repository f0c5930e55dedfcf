//! Rows that belong to the service rather than to the engine, and what lists for people are asked by.

use std::collections::BTreeMap;

use onesync_engine::{ChangeState, ExportLinkRow, ExportRow, LinkSum, Turn};
use onesync_model::{AttrId, ConnectorId, CsId, Hash128, MvId, Operation, RuleId, RunId, Time, TypeId};

use crate::error::StoreError;

/// The one row that says whose database this is, and who may write.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct InstallationRow {
    /// The installation's lasting id.
    pub id: String,
    /// The fencing token: only the server that holds this number may write.
    pub epoch: u64,
    /// Whether exports are off.
    pub staging: bool,
    /// When it was set up.
    pub created: Time,
}

/// A connector-space object as a full sync goes over it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CsHead {
    /// Its row number, type and anchor: when it has its turn.
    pub turn: Turn,
    /// The metaverse object to which it is joined.
    pub mv: Option<MvId>,
    /// Counts and sums of its link values.
    pub links: Vec<LinkSum>,
}

/// One execution of one step of one connector.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RunRow {
    /// Its id: the next one is [`crate::StoreReader::next_run`].
    pub id: RunId,
    /// The connector; 0 for work on the metaverse.
    pub connector: ConnectorId,
    /// The step: `full-import`, `delta-import`, `full-sync`, `delta-sync`, `export`.
    pub step: String,
    /// When it began.
    pub started: Time,
    /// When it ended; `None` while it runs, and after a crash.
    pub ended: Option<Time>,
    /// How it ended, in a word.
    pub result: Option<String>,
    /// Its counters, as JSON.
    pub counters: String,
}

/// One connector that was ever configured. Rows are never deleted, so that no id is given twice.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ConnectorRow {
    /// Its id.
    pub id: ConnectorId,
    /// Its name.
    pub name: String,
    /// Its kind: `ad`, `ldif`, `graph`.
    pub kind: String,
    /// Whether the configuration has it no more.
    pub removed: bool,
}

/// One rule in one version, for one connector.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RuleRow {
    /// Its id.
    pub id: RuleId,
    /// The connector it is compiled for.
    pub connector: ConnectorId,
    /// Its name.
    pub name: String,
    /// The hash of its text: a changed rule gets a new id.
    pub hash: Hash128,
}

/// One version of the configuration, without its files.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ConfigVersionRow {
    /// Its number, from 1 on.
    pub version: u32,
    /// When it was applied.
    pub created: Time,
    /// Who applied it.
    pub who: String,
    /// The hash of its files.
    pub hash: Hash128,
}

/// The files of a configuration: path and content.
pub type ConfigFiles = BTreeMap<String, Vec<u8>>;

/// A sealed secret.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SecretRow {
    /// Its name.
    pub name: String,
    /// The sealed secret.
    pub current: Vec<u8>,
    /// The one before, until the current one has worked.
    pub previous: Option<Vec<u8>>,
    /// When it was set.
    pub changed: Time,
}

/// Something that happened and is kept for people: audit and events.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct EventRow {
    /// When.
    pub time: Time,
    /// What kind of event: a stable word.
    pub kind: String,
    /// Whom or what it is about.
    pub subject: String,
    /// The details, as JSON.
    pub text: String,
}

/// How many changes of one kind were really exported in one hour: the sliding windows of the protections.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct ExportedRow {
    /// The connector.
    pub connector: ConnectorId,
    /// The object type.
    pub object_type: TypeId,
    /// The kind: one bit of [`ExportRow::kinds`], or a number of the service's own.
    pub kind: u8,
    /// Whole hours since 1970.
    pub hour: i64,
    /// How many; added to what is there.
    pub count: u64,
}

/// A plan that a protection holds back.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HeldPlanRow {
    /// The sum of the hashes of its items.
    pub hash: Hash128,
    /// The connector.
    pub connector: ConnectorId,
    /// The object type.
    pub object_type: TypeId,
    /// Why it is held, for people.
    pub reason: String,
    /// The hashes of its items, as [`export_hash`] and [`export_link_hash`] give them.
    pub items: Vec<Hash128>,
    /// What was decided.
    pub state: HeldState,
    /// When it was held.
    pub created: Time,
    /// Who decided.
    pub who: Option<String>,
    /// When it was decided.
    pub decided: Option<Time>,
}

/// What was decided about a held plan.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum HeldState {
    /// Nothing yet.
    Held,
    /// It may go.
    Released,
    /// It must not go.
    Rejected,
}

impl HeldState {
    /// The number under which it is stored.
    #[must_use]
    pub fn code(self) -> u8 {
        self as u8
    }

    /// Reads the number under which it is stored.
    #[must_use]
    pub fn from_code(code: u8) -> Option<Self> {
        [Self::Held, Self::Released, Self::Rejected].into_iter().find(|state| state.code() == code)
    }
}

/// What the service writes for itself, in the transaction of the engine's changes or in one of its own.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ServiceChanges {
    /// Whether exports are off; `None` leaves it.
    pub staging: Option<bool>,
    /// Settings to write: name and value; one with the same name is replaced.
    pub settings: Vec<(String, String)>,
    /// Runs to write; a row with the same id is replaced.
    pub runs: Vec<RunRow>,
    /// Runs that have ended. Each must be there as it began: in a database that was put back under it a run is missing, or
    /// another one has its number, and that is a conflict.
    pub runs_ended: Vec<RunRow>,
    /// Names that were interned. Append only: the same id with another name is a conflict.
    pub names: Vec<(AttrId, String)>,
    /// Connectors to write; a row with the same id is replaced.
    pub connectors: Vec<ConnectorRow>,
    /// Rules. Append only: the same id with other content is a conflict.
    pub rules: Vec<RuleRow>,
    /// Versions of the configuration. Append only: a version that exists is a conflict.
    pub configs: Vec<(ConfigVersionRow, ConfigFiles)>,
    /// Secrets to write; a row with the same name is replaced.
    pub secrets: Vec<SecretRow>,
    /// Secrets that are sealed anew: what was sealed before, and the row with the new seals. One that was set or deleted
    /// meanwhile stays as it is.
    pub secrets_resealed: Vec<(Vec<u8>, SecretRow)>,
    /// Names of secrets to delete.
    pub secrets_deleted: Vec<String>,
    /// Events to append.
    pub events: Vec<EventRow>,
    /// Counts to add.
    pub exported: Vec<ExportedRow>,
    /// Held plans to write; a row with the same hash is replaced.
    pub held: Vec<HeldPlanRow>,
    /// Whether this must be on the disk, with all that was written before it, when it is written.
    pub must_last: bool,
}

impl RunRow {
    /// A conflict unless the run is there as it began.
    pub(crate) fn must_be(&self, there: Option<&Self>) -> Result<(), StoreError> {
        let began = |row: &Self| (row.connector, row.started, row.step.clone());
        match there {
            Some(there) if began(there) == began(self) => Ok(()),
            _ => Err(StoreError::Conflict(format!(
                "run {} is not in the database as it began: the database was put back meanwhile",
                self.id.0
            ))),
        }
    }
}

/// What to delete because it is old.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Retention {
    /// History of metaverse objects from before this time.
    pub history_before: Time,
    /// Ended runs from before this time.
    pub runs_before: Time,
    /// Events from before this time.
    pub events_before: Time,
    /// Export counts of hours before this one.
    pub exported_before: i64,
}

/// Which pending exports to list; `None` takes all.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ExportFilter {
    /// Only these states.
    pub state: Option<ChangeState>,
    /// Only this operation.
    pub operation: Option<Operation>,
    /// Only this object type.
    pub object_type: Option<TypeId>,
    /// Only held ones, or only free ones.
    pub held: Option<bool>,
    /// Only those with any of these bits of [`ExportRow::kinds`]; 0 takes all.
    pub kinds: u8,
}

/// Which pending link exports to list; `None` takes all.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ExportLinkFilter {
    /// Only this state.
    pub state: Option<ChangeState>,
    /// Only values to add, or only values to remove.
    pub add: Option<bool>,
    /// Only held ones, or only free ones.
    pub held: Option<bool>,
}

/// The place of a link export: owner, attribute, target.
pub type ExportLinkKey = (CsId, AttrId, CsId);

/// How many connector-space objects there are of one sort.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct CsCount {
    /// The connector.
    pub connector: ConnectorId,
    /// The object type.
    pub object_type: TypeId,
    /// Whether they are joined.
    pub joined: bool,
    /// Their flags ([`onesync_engine::CsFlags`]).
    pub flags: u16,
    /// How many.
    pub count: u64,
}

/// How many metaverse objects there are of one sort.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct MvCount {
    /// The object type.
    pub object_type: TypeId,
    /// Whether they are leaving.
    pub leaving: bool,
    /// How many.
    pub count: u64,
}

/// How many pending exports there are of one sort.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct ExportCount {
    /// The connector.
    pub connector: ConnectorId,
    /// The object type.
    pub object_type: TypeId,
    /// What is to be done.
    pub operation: Operation,
    /// What kinds of change they are.
    pub kinds: u8,
    /// Where they stand.
    pub state: ChangeState,
    /// Whether a protection holds them.
    pub held: bool,
    /// How many.
    pub count: u64,
    /// The sum of their hashes.
    pub hashes: Hash128,
}

/// How many pending link exports there are of one sort.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct ExportLinkCount {
    /// The connector.
    pub connector: ConnectorId,
    /// The attribute.
    pub attribute: AttrId,
    /// Whether values are to be added.
    pub add: bool,
    /// Where they stand.
    pub state: ChangeState,
    /// Whether a protection holds them.
    pub held: bool,
    /// How many.
    pub count: u64,
    /// The sum of their hashes.
    pub hashes: Hash128,
}

/// The pending link exports of one attribute of one object, counted.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct ExportLinkOwner {
    /// The object.
    pub owner: CsId,
    /// The attribute.
    pub attribute: AttrId,
    /// How many values are to be added.
    pub adds: u64,
    /// How many values are to be removed.
    pub removes: u64,
}

/// How many standing errors there are of one sort.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct ErrorCount {
    /// The connector.
    pub connector: ConnectorId,
    /// The object type.
    pub object_type: TypeId,
    /// What they are about.
    pub place: String,
    /// Their code.
    pub code: String,
    /// What they have in common beyond that.
    pub cause: i64,
    /// Whether they need attention at once.
    pub alarm: bool,
    /// How many.
    pub count: u64,
}

/// How much of one pass of one connector is on the agenda.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct AgendaCount {
    /// The pass.
    pub pass: u8,
    /// The connector; 0 but for the identity pass.
    pub connector: ConnectorId,
    /// How much is due.
    pub due: u64,
    /// How much waits for its time.
    pub later: u64,
}

/// The hash that names a pending export: over object, operation and values; not over where it stands.
#[must_use]
pub fn export_hash(row: &ExportRow) -> Hash128 {
    let changes: Vec<_> = row
        .changes
        .iter()
        .map(|change| onesync_engine::AttributeChange {
            state: ChangeState::Pending,
            attempts: 0,
            rule: RuleId(0),
            error: None,
            ..change.clone()
        })
        .collect();
    onesync_model::hash128(&[
        b"e",
        &row.cs.0.to_le_bytes(),
        &[operation_code(row.operation)],
        row.create_key.as_deref().unwrap_or_default().as_bytes(),
        &onesync_engine::AttributeChange::encode(&changes),
    ])
}

/// The hash that names a pending link export: over object, attribute, target and direction.
#[must_use]
pub fn export_link_hash(row: &ExportLinkRow) -> Hash128 {
    onesync_model::hash128(&[
        b"l",
        &row.owner.0.to_le_bytes(),
        &row.attribute.0.to_le_bytes(),
        &row.target.0.to_le_bytes(),
        &[u8::from(row.add)],
    ])
}

/// The number under which an operation is stored; ascending in the order of sending.
#[must_use]
pub fn operation_code(operation: Operation) -> u8 {
    match operation {
        Operation::Add => 0,
        Operation::Update => 1,
        Operation::Delete => 2,
    }
}

/// Reads the number under which an operation is stored.
#[must_use]
pub fn operation_from_code(code: u8) -> Option<Operation> {
    [Operation::Add, Operation::Update, Operation::Delete]
        .into_iter()
        .find(|operation| operation_code(*operation) == code)
}
