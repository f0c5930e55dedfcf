//! Values on the wire, and what a snapshot reads over a connection.

use std::error::Error;

use bytes::{BufMut as _, BytesMut};
use deadpool_postgres::Object;
use tokio_postgres::Row;
use tokio_postgres::types::{FromSql, IsNull, Kind, ToSql, Type, to_sql_checked};

use super::connection::Connections;
use super::failure::failed;
use super::text::{escaped, unescaped};
use super::{sql, sql_write};
use crate::relational::row::Columns;
use crate::relational::wait::{pipelined, wait};
use crate::relational::{
    Checked, Reads, SetStatements, Statements, Value, WriteStatements, reads, sets, writes,
};

macro_rules! read_statements {
    ($($name:ident)*) => {
        impl Statements for Connections {
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

macro_rules! set_statements {
    ($($name:ident)*) => {
        impl SetStatements for super::transaction::Tx<'_, '_> {
            $(const $name: &'static str = written::$name;)*
        }
    };
}
sets!(set_statements);

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

/// Begins a snapshot over a connection.
async fn begin(client: &Object) -> Result<Vec<Row>, tokio_postgres::Error> {
    client.prepare_cached(sql::MARK).await?;
    let both = pipelined(vec![
        Box::pin(async { client.batch_execute(sql::BEGIN_READ).await.map(|()| Vec::new()) }),
        Box::pin(ask(client, sql::MARK, &[])),
    ]);
    let both = both.await.into_iter().collect::<Result<Vec<Vec<Row>>, _>>()?;
    Ok(both.into_iter().flatten().collect())
}

impl Reads for Connections {
    type Client = Object;
    type Row = Row;
    type Asked<'v> = Vec<Param<'v>>;

    fn begin_read(&self, doing: &'static str) -> Checked<(Object, Vec<Row>)> {
        let client = self.reader(doing)?;
        let rows = wait(begin(&client)).map_err(failed(doing))?;
        Ok((client, rows))
    }

    fn ask(&self, client: &Object, sql: &'static str, asked: &Vec<Param<'_>>) -> Checked<Vec<Row>> {
        wait(ask(client, sql, asked)).map_err(failed("reading"))
    }

    fn is_lost(client: &Object) -> bool {
        client.is_closed()
    }

    fn end_read(&self, client: Object) {
        // A connection whose snapshot cannot be ended is not used again.
        if client.is_closed() || wait(client.batch_execute(sql::ROLLBACK)).is_err() {
            drop(Object::take(client));
        }
    }

    fn values<'v>(values: &[Value<'v>]) -> Vec<Param<'v>> {
        values.iter().cloned().map(Param::One).collect()
    }

    fn keys<'v, const N: usize>(rows: impl Iterator<Item = [Value<'v>; N]>) -> Vec<Vec<Param<'v>>> {
        let mut rows = rows.peekable();
        rows.peek().is_some().then(|| columns(rows)).into_iter().collect()
    }
}
