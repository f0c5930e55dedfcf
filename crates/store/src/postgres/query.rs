//! Values on the wire, and the reads of a snapshot.

use std::cell::RefCell;
use std::error::Error;

use bytes::{BufMut as _, BytesMut};
use deadpool_postgres::Object;
use tokio_postgres::Row;
use tokio_postgres::types::{FromSql, IsNull, Kind, ToSql, Type, to_sql_checked};

use super::connection::{Connections, Patience};
use super::failure::failed;
use super::text::{escaped, unescaped};
use super::wait::{pipelined, wait};
use super::{sql, sql_write};
use crate::error::StoreError;
use crate::relational::row::Columns;
use crate::relational::{Cells, Checked, Query, Statements, Value, WriteStatements, reads, writes};

macro_rules! read_statements {
    ($($name:ident)*) => {
        impl Statements for Snapshot<'_> {
            $(const $name: &'static str = sql::$name;)*
        }
    };
}
reads!(read_statements);

/// The statements that write, and those that look, in one place: for their names.
mod written {
    pub(super) use super::sql::*;
    pub(super) use super::sql_write::*;
}

macro_rules! write_statements {
    ($($name:ident)*) => {
        impl WriteStatements for super::transaction::Tx<'_, '_> {
            $(const $name: &'static str = written::$name;)*
        }
    };
}
writes!(write_statements);

type Failure = Box<dyn Error + Sync + Send>;

impl ToSql for Value<'_> {
    fn to_sql(&self, ty: &Type, out: &mut BytesMut) -> Result<IsNull, Failure> {
        match self {
            Self::Null => return Ok(IsNull::Yes),
            Self::Integer(number) => match *ty {
                Type::INT8 => out.put_i64(*number),
                Type::INT4 => out.put_i32(i32::try_from(*number)?),
                Type::INT2 => out.put_i16(i16::try_from(*number)?),
                Type::BOOL => out.put_u8(u8::from(*number != 0)),
                _ => return Err(format!("a number for a column of type {ty}").into()),
            },
            Self::Text(text) => out.extend_from_slice(escaped(text).as_bytes()),
            Self::Blob(bytes) => out.extend_from_slice(bytes),
            Self::Made(bytes) => out.extend_from_slice(bytes),
        }
        Ok(IsNull::No)
    }

    fn accepts(ty: &Type) -> bool {
        [Type::INT8, Type::INT4, Type::INT2, Type::BOOL, Type::TEXT, Type::BYTEA].contains(ty)
    }

    to_sql_checked!();
}

impl<'a> FromSql<'a> for Value<'a> {
    fn from_sql(ty: &Type, raw: &'a [u8]) -> Result<Self, Failure> {
        Ok(match *ty {
            Type::INT8 => Self::Integer(i64::from_sql(ty, raw)?),
            Type::INT4 => Self::Integer(i32::from_sql(ty, raw)?.into()),
            Type::INT2 => Self::Integer(i16::from_sql(ty, raw)?.into()),
            Type::BOOL => Self::Integer(bool::from_sql(ty, raw)?.into()),
            Type::BYTEA => Self::Blob(raw),
            _ => Self::Text(unescaped(std::str::from_utf8(raw)?)),
        })
    }

    fn from_sql_null(_: &Type) -> Result<Self, Failure> {
        Ok(Self::Null)
    }

    fn accepts(ty: &Type) -> bool {
        <Self as ToSql>::accepts(ty)
    }
}

/// One parameter: a value, or those of one column for many rows.
#[derive(Debug)]
pub(super) enum Param<'a> {
    One(Value<'a>),
    Many(Vec<Value<'a>>),
}

impl ToSql for Param<'_> {
    fn to_sql(&self, ty: &Type, out: &mut BytesMut) -> Result<IsNull, Failure> {
        match self {
            Self::One(value) => value.to_sql(ty, out),
            Self::Many(values) => values.to_sql(ty, out),
        }
    }

    fn accepts(ty: &Type) -> bool {
        match ty.kind() {
            Kind::Array(member) => <Value<'_> as ToSql>::accepts(member),
            _ => <Value<'_> as ToSql>::accepts(ty),
        }
    }

    to_sql_checked!();
}

/// Rows as columns.
pub(super) fn columns<'v, const N: usize>(rows: impl Iterator<Item = [Value<'v>; N]>) -> Vec<Param<'v>> {
    let mut columns: [Vec<Value<'v>>; N] = std::array::from_fn(|_| Vec::with_capacity(rows.size_hint().0));
    for row in rows {
        for (column, value) in columns.iter_mut().zip(row) {
            column.push(value);
        }
    }
    columns.map(Param::Many).into()
}

impl Columns for Row {
    fn value(&self, column: usize) -> Result<Value<'_>, String> {
        self.try_get(column).map_err(|error| match error.source() {
            Some(cause) => format!("{error}: {cause}"),
            None => error.to_string(),
        })
    }
}

/// Asks one statement.
pub(super) async fn ask(
    client: &Object,
    sql: &'static str,
    params: &[Param<'_>],
) -> Result<Vec<Row>, tokio_postgres::Error> {
    let statement = client.prepare_cached(sql).await?;
    let params: Vec<&(dyn ToSql + Sync)> = params.iter().map(|param| param as _).collect();
    client.query(&statement, &params).await
}

/// A state of the database, read over one connection.
pub(super) struct Snapshot<'s> {
    connections: &'s Connections,
    /// `None` only while it is dropped, or after it was lost.
    client: RefCell<Option<Object>>,
    /// The batch that the state is of: its number and its writer.
    mark: Mark,
}

/// The number of a batch, and the name of its writer.
pub(super) type Mark = (i64, Vec<u8>);

impl<'s> Snapshot<'s> {
    pub(super) fn begin(connections: &'s Connections) -> Checked<Self> {
        let (client, mark) = begin(connections)?;
        Ok(Self { connections, client: RefCell::new(Some(client)), mark })
    }

    /// Asks; when the connection was lost, over another one, as long as nothing was written meanwhile: then it is the
    /// same state.
    fn ask(&self, sql: &'static str, params: &[Param<'_>]) -> Checked<Vec<Row>> {
        let mut held = self.client.borrow_mut();
        // A statement that ends its connection each time is not asked for ever.
        let mut patience = Patience::new();
        loop {
            let client = match held.take() {
                Some(client) => held.insert(client),
                None => {
                    let (client, mark) = begin(self.connections)?;
                    if mark != self.mark {
                        return Err(StoreError::Unreachable {
                            doing: "reading",
                            why: "the connection was lost in the middle of reading, and the database has changed since"
                                .to_owned(),
                        });
                    }
                    held.insert(client)
                }
            };
            match wait(ask(client, sql, params)).map_err(failed("reading")) {
                Ok(rows) => return Ok(rows),
                Err(error @ StoreError::Unreachable { .. }) if client.is_closed() => {
                    *held = None;
                    patience.pause(error)?;
                }
                Err(error) => return Err(error),
            }
        }
    }
}

/// Begins a snapshot; patient with a server that is being restarted.
fn begin(connections: &Connections) -> Checked<(Object, Mark)> {
    let doing = "beginning a snapshot";
    let mut patience = Patience::new();
    loop {
        match try_begin(connections, doing) {
            Ok(begun) => return Ok(begun),
            Err(error) => patience.pause(error)?,
        }
    }
}

fn try_begin(connections: &Connections, doing: &'static str) -> Checked<(Object, Mark)> {
    let client = connections.reader(doing)?;
    let begun = wait(async {
        client.prepare_cached(sql::MARK).await?;
        let both = pipelined(vec![
            Box::pin(async { client.batch_execute(sql::BEGIN_READ).await.map(|()| Vec::new()) }),
            Box::pin(ask(&client, sql::MARK, &[])),
        ]);
        both.await.into_iter().collect::<Result<Vec<Vec<Row>>, _>>()
    });
    let rows: Vec<Row> = begun.map_err(failed(doing))?.into_iter().flatten().collect();
    let mark = match rows.first().map(|row| Cells { table: "write_mark", row }) {
        Some(cells) => (cells.get(0)?, cells.get(1)?),
        None => Mark::default(),
    };
    Ok((client, mark))
}

impl Drop for Snapshot<'_> {
    fn drop(&mut self) {
        let Some(client) = self.client.take() else { return };
        // A connection whose snapshot cannot be ended is not used again.
        if client.is_closed() || wait(client.batch_execute(sql::ROLLBACK)).is_err() {
            drop(Object::take(client));
        }
    }
}

fn rows<T>(
    table: &'static str,
    rows: &[Row],
    mut one: impl FnMut(&Cells<'_>) -> Checked<T>,
) -> Checked<Vec<T>> {
    rows.iter().map(|row| one(&Cells { table, row })).collect()
}

impl Query for Snapshot<'_> {
    fn all<T>(
        &self,
        sql: &'static str,
        table: &'static str,
        values: &[Value<'_>],
        one: impl FnMut(&Cells<'_>) -> Checked<T>,
    ) -> Checked<Vec<T>> {
        let params: Vec<Param<'_>> = values.iter().cloned().map(Param::One).collect();
        rows(table, &self.ask(sql, &params)?, one)
    }

    fn each<'v, const N: usize, T>(
        &self,
        sql: &'static str,
        table: &'static str,
        keys: impl Iterator<Item = [Value<'v>; N]>,
        one: impl FnMut(&Cells<'_>) -> Checked<T>,
    ) -> Checked<Vec<T>> {
        let mut keys = keys.peekable();
        if keys.peek().is_none() {
            return Ok(Vec::new());
        }
        rows(table, &self.ask(sql, &columns(keys))?, one)
    }

    fn exist<'v, const N: usize>(
        &self,
        sql: &'static str,
        keys: impl Iterator<Item = [Value<'v>; N]>,
    ) -> Checked<Vec<bool>> {
        self.each(sql, "a table of links", keys, |cells| cells.get(0))
    }
}
