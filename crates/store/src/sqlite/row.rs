//! Rows as columns, and back. What is read is checked: damage is named with table and row.

use onesync_engine::{
    AttributeChange, Cause, ChangeState, ContainerRow, CsFlags, CsRow, ErrorRow, ExportLinkRow, ExportRow, Join, LinkPick, LinkSum, MvRow, MvState,
};
use onesync_model::{Anchor, AttrId, ConnectorId, ContainerId, CsId, Hash128, Image, MvGuid, MvId, RuleId, RunId, Time, TypeId};
use rusqlite::Row;
use rusqlite::types::Type;

use crate::rows::operation_from_code;

type Result<T> = rusqlite::Result<T>;

fn damaged(column: usize, what: impl std::fmt::Display) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, Type::Blob, format!("the row is damaged ({what}); restore a backup, or run a full import and full sync").into())
}

pub(super) fn hash(row: &Row<'_>, column: usize) -> Result<Hash128> {
    Hash128::from_slice(row.get_ref(column)?.as_blob()?).ok_or_else(|| damaged(column, "a hash has the wrong length"))
}

pub(super) fn time(ticks: i64) -> Time {
    Time::from_ticks(ticks)
}

pub(super) const CS_COLUMNS: &str = "id, connector, object_type, flags, mv, join_rule, join_run, owned, container, anchor, name, reason, links, image, leaving";

pub(super) fn cs(row: &Row<'_>) -> Result<CsRow> {
    let join = match row.get::<_, Option<i64>>(4)? {
        None => None,
        Some(mv) => Some(Join { mv: MvId(mv), rule: RuleId(row.get(5)?), run: RunId(row.get(6)?), owned: row.get(7)? }),
    };
    Ok(CsRow {
        id: CsId(row.get(0)?),
        connector: ConnectorId(row.get(1)?),
        object_type: TypeId(row.get(2)?),
        flags: CsFlags(row.get(3)?),
        join,
        container: row.get::<_, Option<i64>>(8)?.map(ContainerId),
        anchor: row.get::<_, Option<Vec<u8>>>(9)?.map(|bytes| Anchor(bytes.into())),
        name: row.get(10)?,
        reason: row.get(11)?,
        links: LinkSum::decode(row.get_ref(12)?.as_blob()?).map_err(|e| damaged(12, e))?,
        image: Image::from_bytes(row.get_ref(13)?.as_blob()?).map_err(|e| damaged(13, e))?,
        leaving: row.get::<_, Option<i64>>(14)?.map(time),
    })
}

pub(super) const MV_COLUMNS: &str = "id, guid, object_type, leaving_since, leaving_deleted, causes, picks, image";

pub(super) fn mv(row: &Row<'_>) -> Result<MvRow> {
    let state = match row.get::<_, Option<i64>>(3)? {
        None => MvState::Active,
        Some(since) => MvState::Leaving { since: time(since), deleted: row.get(4)? },
    };
    Ok(MvRow {
        id: MvId(row.get(0)?),
        guid: MvGuid(hash(row, 1)?.0),
        object_type: TypeId(row.get(2)?),
        state,
        causes: Cause::decode(row.get_ref(5)?.as_blob()?).map_err(|e| damaged(5, e))?,
        picks: LinkPick::decode(row.get_ref(6)?.as_blob()?).map_err(|e| damaged(6, e))?,
        values: Image::from_bytes(row.get_ref(7)?.as_blob()?).map_err(|e| damaged(7, e))?,
    })
}

pub(super) const EXPORT_COLUMNS: &str = "cs, connector, object_type, operation, state, kinds, held, not_before, attempts, sent, create_key, error, changes";

pub(super) fn export(row: &Row<'_>) -> Result<ExportRow> {
    Ok(ExportRow {
        cs: CsId(row.get(0)?),
        connector: ConnectorId(row.get(1)?),
        object_type: TypeId(row.get(2)?),
        operation: operation_from_code(row.get(3)?).ok_or_else(|| damaged(3, "unknown operation"))?,
        state: ChangeState::from_code(row.get(4)?).ok_or_else(|| damaged(4, "unknown state"))?,
        kinds: row.get(5)?,
        held: row.get(6)?,
        not_before: time(row.get(7)?),
        attempts: row.get(8)?,
        sent: row.get::<_, Option<i64>>(9)?.map(time),
        create_key: row.get(10)?,
        error: row.get(11)?,
        changes: AttributeChange::decode(row.get_ref(12)?.as_blob()?).map_err(|e| damaged(12, e))?,
    })
}

pub(super) const EXPORT_LINK_COLUMNS: &str = "owner, attribute, target, connector, adds, state, held, not_before, attempts, error";

pub(super) fn export_link(row: &Row<'_>) -> Result<ExportLinkRow> {
    Ok(ExportLinkRow {
        owner: CsId(row.get(0)?),
        attribute: AttrId(row.get(1)?),
        target: CsId(row.get(2)?),
        connector: ConnectorId(row.get(3)?),
        add: row.get(4)?,
        state: ChangeState::from_code(row.get(5)?).ok_or_else(|| damaged(5, "unknown state"))?,
        held: row.get(6)?,
        not_before: time(row.get(7)?),
        attempts: row.get(8)?,
        error: row.get(9)?,
    })
}

pub(super) const ERROR_COLUMNS: &str = "cs, connector, place, code, message, first_seen, run, alarm";

pub(super) fn error(row: &Row<'_>) -> Result<ErrorRow> {
    Ok(ErrorRow {
        cs: CsId(row.get(0)?),
        connector: ConnectorId(row.get(1)?),
        place: row.get(2)?,
        code: row.get(3)?,
        message: row.get(4)?,
        first_seen: time(row.get(5)?),
        run: RunId(row.get(6)?),
        alarm: row.get(7)?,
    })
}

pub(super) fn container(row: &Row<'_>) -> Result<ContainerRow> {
    let parent: i64 = row.get(2)?;
    Ok(ContainerRow {
        id: ContainerId(row.get(0)?),
        connector: ConnectorId(row.get(1)?),
        parent: (parent != 0).then_some(ContainerId(parent)),
        rdn: row.get(3)?,
    })
}
