//! Columns as rows. What is read is checked: damage is named with table and row.

use std::borrow::Cow;

use onesync_engine::{
    AgendaRow, AttributeChange, Cause, ChangeState, CodecError, ContainerRow, CsFlags, CsRow, ErrorRow,
    ExportLinkRow, ExportRow, HistoryRow, Join, LinkPick, LinkSum, MvRow, MvState,
};
use onesync_model::{
    Anchor, AttrId, ConnectorId, ContainerId, CsId, Hash128, Image, ImageError, MvGuid, MvId, RuleId, RunId,
    Time, TypeId,
};

use super::Checked;
use super::value::{FromValue, Value};
use crate::chain::{ChainHash, StoredEvent};
use crate::error::StoreError;
use crate::rows::{
    ConfigVersionRow, ConnectorRow, EventRow, ExportedRow, HeldPlanRow, HeldState, InstallationRow, RuleRow,
    RunRow, SecretRow, operation_from_code,
};
use crate::store::work_from_columns;

/// A row as a database gives it.
pub(crate) trait Columns {
    /// One column; in words why not, when there is none or it is of a type that is not used.
    fn value(&self, column: usize) -> Result<Value<'_>, String>;
}

/// One row with the name of its table for complaints.
pub(crate) struct Cells<'a> {
    pub(crate) table: &'static str,
    pub(crate) row: &'a dyn Columns,
}

impl<'a> Cells<'a> {
    fn value(&self, column: usize) -> Checked<Value<'a>> {
        self.row.value(column).map_err(|why| self.damaged(why))
    }

    pub(crate) fn get<T: FromValue>(&self, column: usize) -> Checked<T> {
        T::from_value(self.value(column)?)
            .ok_or_else(|| self.damaged(format_args!("column {column} is not {}", T::WHAT)))
    }

    /// The complaint. The key is the first column in nearly all tables: it leads to the row.
    pub(crate) fn damaged(&self, what: impl std::fmt::Display) -> StoreError {
        let row = match self.row.value(0) {
            Ok(Value::Integer(number)) => number.to_string(),
            Ok(Value::Text(text)) => text.into_owned(),
            Ok(Value::Blob(bytes)) => bytes.iter().map(|byte| format!("{byte:02x}")).collect(),
            _ => "?".to_owned(),
        };
        StoreError::Damaged { table: self.table, row, what: what.to_string() }
    }

    pub(crate) fn blob(&self, column: usize) -> Checked<&'a [u8]> {
        self.blob_or_null(column)?.ok_or_else(|| self.damaged(format_args!("column {column} is empty")))
    }

    pub(crate) fn blob_or_null(&self, column: usize) -> Checked<Option<&'a [u8]>> {
        match self.value(column)? {
            Value::Null => Ok(None),
            Value::Blob(bytes) => Ok(Some(bytes)),
            _ => Err(self.damaged(format_args!("column {column} is not bytes"))),
        }
    }

    pub(crate) fn text_or_null(&self, column: usize) -> Checked<Option<Cow<'a, str>>> {
        match self.value(column)? {
            Value::Null => Ok(None),
            Value::Text(text) => Ok(Some(text)),
            _ => Err(self.damaged(format_args!("column {column} is not text"))),
        }
    }

    pub(crate) fn hash(&self, column: usize) -> Checked<Hash128> {
        Hash128::from_slice(self.blob(column)?).ok_or_else(|| self.damaged("a hash has the wrong length"))
    }

    pub(crate) fn hash_or_null(&self, column: usize) -> Checked<Option<Hash128>> {
        let hash =
            |bytes| Hash128::from_slice(bytes).ok_or_else(|| self.damaged("a hash has the wrong length"));
        self.blob_or_null(column)?.map(hash).transpose()
    }

    fn time(&self, column: usize) -> Checked<Time> {
        self.get(column).map(Time::from_ticks)
    }

    fn time_or_null(&self, column: usize) -> Checked<Option<Time>> {
        Ok(self.get::<Option<i64>>(column)?.map(Time::from_ticks))
    }

    pub(crate) fn count(&self, column: usize) -> Checked<u64> {
        u64::try_from(self.get::<i64>(column)?).map_err(|_| self.damaged("a count is negative"))
    }

    pub(crate) fn list<T>(
        &self,
        column: usize,
        decode: fn(&[u8]) -> Result<Vec<T>, CodecError>,
    ) -> Checked<Vec<T>> {
        decode(self.blob(column)?).map_err(|error| self.damaged(error))
    }

    fn image(&self, column: usize) -> Checked<Image> {
        Image::from_bytes(self.blob(column)?).map_err(|error: ImageError| self.damaged(error))
    }

    pub(crate) fn state(&self, column: usize) -> Checked<ChangeState> {
        ChangeState::from_code(self.get(column)?).ok_or_else(|| self.damaged("its state is unknown"))
    }

    pub(crate) fn operation(&self, column: usize) -> Checked<onesync_model::Operation> {
        operation_from_code(self.get(column)?).ok_or_else(|| self.damaged("its operation is unknown"))
    }
}

pub(crate) fn id<T>(make: fn(i64) -> T) -> impl FnMut(&Cells<'_>) -> Checked<T> {
    move |cells| cells.get(0).map(make)
}

/// The join in four columns, the first of which is null where there is none.
pub(crate) fn join(cells: &Cells<'_>, from: usize) -> Checked<Option<Join>> {
    let Some(mv) = cells.get::<Option<i64>>(from)? else { return Ok(None) };
    Ok(Some(Join {
        mv: MvId(mv),
        rule: RuleId(cells.get(from + 1)?),
        run: RunId(cells.get(from + 2)?),
        owned: cells.get(from + 3)?,
    }))
}

pub(crate) fn cs(cells: &Cells<'_>) -> Checked<CsRow> {
    let join = join(cells, 4)?;
    Ok(CsRow {
        id: CsId(cells.get(0)?),
        connector: ConnectorId(cells.get(1)?),
        object_type: TypeId(cells.get(2)?),
        flags: CsFlags(cells.get(3)?),
        join,
        container: cells.get::<Option<i64>>(8)?.map(ContainerId),
        anchor: cells.blob_or_null(9)?.map(|bytes| Anchor(bytes.into())),
        name: cells.get(10)?,
        reason: cells.get(11)?,
        leaving: cells.time_or_null(12)?,
        links: cells.list(13, LinkSum::decode)?,
        image: cells.image(14)?,
    })
}

pub(crate) fn mv(cells: &Cells<'_>) -> Checked<MvRow> {
    let state = match cells.time_or_null(3)? {
        None => MvState::Active,
        Some(since) => MvState::Leaving { since, deleted: cells.get(4)? },
    };
    Ok(MvRow {
        id: MvId(cells.get(0)?),
        guid: MvGuid(cells.hash(1)?.0),
        object_type: TypeId(cells.get(2)?),
        state,
        causes: cells.list(5, Cause::decode)?,
        picks: cells.list(6, LinkPick::decode)?,
        values: cells.image(7)?,
    })
}

pub(crate) fn export(cells: &Cells<'_>) -> Checked<ExportRow> {
    Ok(ExportRow {
        cs: CsId(cells.get(0)?),
        connector: ConnectorId(cells.get(1)?),
        object_type: TypeId(cells.get(2)?),
        operation: cells.operation(3)?,
        state: cells.state(4)?,
        kinds: cells.get(5)?,
        held: cells.get(6)?,
        not_before: cells.time(7)?,
        attempts: cells.get(8)?,
        sent: cells.time_or_null(9)?,
        create_key: cells.get(10)?,
        error: cells.get(11)?,
        changes: cells.list(12, AttributeChange::decode)?,
    })
}

pub(crate) fn export_link(cells: &Cells<'_>) -> Checked<ExportLinkRow> {
    Ok(ExportLinkRow {
        owner: CsId(cells.get(0)?),
        attribute: AttrId(cells.get(1)?),
        target: CsId(cells.get(2)?),
        connector: ConnectorId(cells.get(3)?),
        add: cells.get(4)?,
        state: cells.state(5)?,
        held: cells.get(6)?,
        not_before: cells.time(7)?,
        attempts: cells.get(8)?,
        error: cells.get(9)?,
    })
}

pub(crate) fn error(cells: &Cells<'_>) -> Checked<ErrorRow> {
    Ok(ErrorRow {
        cs: CsId(cells.get(0)?),
        place: cells.get(1)?,
        connector: ConnectorId(cells.get(2)?),
        object_type: TypeId(cells.get(8)?),
        cause: cells.get(9)?,
        code: cells.get(3)?,
        message: cells.get(4)?,
        first_seen: cells.time(5)?,
        run: RunId(cells.get(6)?),
        alarm: cells.get(7)?,
    })
}

pub(crate) fn container(cells: &Cells<'_>) -> Checked<ContainerRow> {
    let parent: i64 = cells.get(2)?;
    Ok(ContainerRow {
        id: ContainerId(cells.get(0)?),
        connector: ConnectorId(cells.get(1)?),
        parent: (parent != 0).then_some(ContainerId(parent)),
        rdn: cells.get(3)?,
        anchor: cells.get::<Option<Vec<u8>>>(4)?.map(|bytes| Anchor(bytes.into())),
        hidden: cells.get(5)?,
    })
}

/// Columns a, b, c, time; pass and connector are known.
pub(crate) fn agenda(cells: &Cells<'_>, pass: u8, connector: u32) -> Checked<AgendaRow> {
    let work = work_from_columns(pass, cells.get(0)?, cells.get(1)?, cells.blob(2)?);
    Ok(AgendaRow {
        connector: ConnectorId(connector),
        work: work.ok_or_else(|| cells.damaged("its work is unknown"))?,
        not_before: cells.time(3)?,
    })
}

pub(crate) fn history(cells: &Cells<'_>) -> Checked<(i64, HistoryRow)> {
    let row = HistoryRow {
        mv: MvId(cells.get(1)?),
        run: RunId(cells.get(2)?),
        time: cells.time(3)?,
        event: cells.get(4)?,
        changes: cells.list(5, HistoryRow::decode_changes)?,
    };
    Ok((cells.get(0)?, row))
}

pub(crate) fn installation(cells: &Cells<'_>) -> Checked<InstallationRow> {
    Ok(InstallationRow {
        id: cells.get(0)?,
        epoch: cells.count(1)?,
        staging: cells.get(2)?,
        created: cells.time(3)?,
    })
}

pub(crate) fn run(cells: &Cells<'_>) -> Checked<RunRow> {
    Ok(RunRow {
        id: RunId(cells.get(0)?),
        connector: ConnectorId(cells.get(1)?),
        step: cells.get(2)?,
        started: cells.time(3)?,
        ended: cells.time_or_null(4)?,
        result: cells.get(5)?,
        counters: cells.get(6)?,
    })
}

pub(crate) fn connector(cells: &Cells<'_>) -> Checked<ConnectorRow> {
    Ok(ConnectorRow {
        id: ConnectorId(cells.get(0)?),
        name: cells.get(1)?,
        kind: cells.get(2)?,
        removed: cells.get(3)?,
    })
}

pub(crate) fn rule(cells: &Cells<'_>) -> Checked<RuleRow> {
    Ok(RuleRow {
        id: RuleId(cells.get(0)?),
        connector: ConnectorId(cells.get(1)?),
        name: cells.get(2)?,
        hash: cells.hash(3)?,
    })
}

pub(crate) fn config_version(cells: &Cells<'_>) -> Checked<ConfigVersionRow> {
    Ok(ConfigVersionRow {
        version: cells.get(0)?,
        created: cells.time(1)?,
        who: cells.get(2)?,
        hash: cells.hash(3)?,
    })
}

pub(crate) fn secret(cells: &Cells<'_>) -> Checked<SecretRow> {
    Ok(SecretRow {
        name: cells.get(0)?,
        current: cells.get(1)?,
        previous: cells.get(2)?,
        changed: cells.time(3)?,
    })
}

pub(crate) fn event(cells: &Cells<'_>) -> Checked<StoredEvent> {
    let event =
        EventRow { time: cells.time(1)?, kind: cells.get(2)?, subject: cells.get(3)?, text: cells.get(4)? };
    Ok(StoredEvent { seq: cells.get(0)?, event, chain: ChainHash::from_slice(&cells.get::<Vec<u8>>(5)?) })
}

pub(crate) fn exported(cells: &Cells<'_>) -> Checked<ExportedRow> {
    Ok(ExportedRow {
        connector: ConnectorId(cells.get(0)?),
        object_type: TypeId(cells.get(1)?),
        kind: cells.get(2)?,
        hour: cells.get(3)?,
        count: cells.count(4)?,
    })
}

pub(crate) fn held_plan(cells: &Cells<'_>) -> Checked<HeldPlanRow> {
    let items = cells.blob(4)?.chunks(16).map(Hash128::from_slice).collect::<Option<Vec<_>>>();
    Ok(HeldPlanRow {
        hash: cells.hash(0)?,
        connector: ConnectorId(cells.get(1)?),
        object_type: TypeId(cells.get(2)?),
        reason: cells.get(3)?,
        items: items.ok_or_else(|| cells.damaged("a hash has the wrong length"))?,
        state: HeldState::from_code(cells.get(5)?).ok_or_else(|| cells.damaged("its state is unknown"))?,
        created: cells.time(6)?,
        who: cells.get(7)?,
        decided: cells.time_or_null(8)?,
    })
}
