//! Running statements: a prepared statement is stepped per key, which is a function call, not a round trip.

use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, Row, ToSql, Transaction, params_from_iter};

use super::{SqliteReader, failed, sql};
use crate::relational::row::Columns;
use crate::relational::{
    Cells, Checked, Query, Statements, Value, WriteStatements, Writer, reads, servers, writes,
};
use crate::servers::Lease;

macro_rules! read_statements {
    ($($name:ident)*) => {
        impl Statements for SqliteReader<'_> {
            $(const $name: &'static str = sql::$name;)*
        }
    };
}
reads!(read_statements);

macro_rules! write_statements {
    ($($name:ident)*) => {
        impl WriteStatements for Writing<'_, '_> {
            $(const $name: &'static str = sql::$name;)*
        }
    };
}
writes!(write_statements);

impl ToSql for Value<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Self::Null => ValueRef::Null,
            Self::Integer(number) => ValueRef::Integer(*number),
            Self::Text(text) => ValueRef::Text(text.as_bytes()),
            Self::Blob(bytes) => ValueRef::Blob(bytes),
            Self::Made(bytes) => ValueRef::Blob(bytes),
        }))
    }
}

impl Columns for Row<'_> {
    fn value(&self, column: usize) -> Result<Value<'_>, String> {
        Ok(match self.get_ref(column).map_err(|error| error.to_string())? {
            ValueRef::Null => Value::Null,
            ValueRef::Integer(number) => Value::Integer(number),
            ValueRef::Text(text) => {
                Value::from(std::str::from_utf8(text).map_err(|_| "a text is no UTF-8".to_owned())?)
            }
            ValueRef::Blob(bytes) => Value::Blob(bytes),
            ValueRef::Real(_) => return Err("a number is no whole one".to_owned()),
        })
    }
}

impl Query for SqliteReader<'_> {
    fn all<T>(
        &self,
        sql: &'static str,
        table: &'static str,
        values: &[Value<'_>],
        mut one: impl FnMut(&Cells<'_>) -> Checked<T>,
    ) -> Checked<Vec<T>> {
        let doing = failed("reading");
        let mut statement = self.connection()?.prepare_cached(sql).map_err(&doing)?;
        let mut rows = statement.query(params_from_iter(values)).map_err(&doing)?;
        let mut out = Vec::new();
        while let Some(row) = rows.next().map_err(&doing)? {
            out.push(one(&Cells { table, row })?);
        }
        Ok(out)
    }

    fn each<'v, const N: usize, T>(
        &self,
        sql: &'static str,
        table: &'static str,
        keys: impl Iterator<Item = [Value<'v>; N]>,
        mut one: impl FnMut(&Cells<'_>) -> Checked<T>,
    ) -> Checked<Vec<T>> {
        let doing = failed("reading");
        let mut statement = self.connection()?.prepare_cached(sql).map_err(&doing)?;
        let mut out = Vec::new();
        for key in keys {
            let mut rows = statement.query(params_from_iter(&key)).map_err(&doing)?;
            while let Some(row) = rows.next().map_err(&doing)? {
                out.push(one(&Cells { table, row })?);
            }
        }
        Ok(out)
    }

    fn exist<'v, const N: usize>(
        &self,
        sql: &'static str,
        keys: impl Iterator<Item = [Value<'v>; N]>,
    ) -> Checked<Vec<bool>> {
        let doing = failed("reading");
        let mut statement = self.connection()?.prepare_cached(sql).map_err(&doing)?;
        keys.map(|key| statement.exists(params_from_iter(&key)).map_err(&doing)).collect()
    }
}

/// Who may write, as a statement by itself says.
pub(super) fn one(
    connection: &Connection,
    sql: &'static str,
    values: &[Value<'_>],
    doing: &'static str,
) -> Checked<Option<Lease>> {
    let mut statement = connection.prepare_cached(sql).map_err(failed(doing))?;
    let mut rows = statement.query(params_from_iter(values)).map_err(failed(doing))?;
    let row = rows.next().map_err(failed(doing))?;
    row.map(|row| servers::lease(&Cells { table: "server", row })).transpose()
}

/// A write transaction, statement by statement.
pub(super) struct Writing<'w, 't>(pub(super) &'w Transaction<'t>);

impl Writer for Writing<'_, '_> {
    fn put(&mut self, sql: &'static str, values: &[Value<'_>]) -> Checked<()> {
        let doing = failed("writing what the service records");
        let mut statement = self.0.prepare_cached(sql).map_err(&doing)?;
        statement.execute(params_from_iter(values)).map(|_| ()).map_err(&doing)
    }

    fn there<T>(
        &mut self,
        sql: &'static str,
        table: &'static str,
        key: &[Value<'_>],
        one: impl Fn(&Cells<'_>) -> Checked<T>,
    ) -> Checked<Option<T>> {
        let doing = failed("reading what is there");
        let mut statement = self.0.prepare_cached(sql).map_err(&doing)?;
        let mut rows = statement.query(params_from_iter(key)).map_err(&doing)?;
        rows.next().map_err(&doing)?.map(|row| one(&Cells { table, row })).transpose()
    }
}
