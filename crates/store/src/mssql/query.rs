//! What a snapshot reads over a connection.

use tiberius::Row;

use super::connection::{Client, Connections};
use super::value::{Asked, params, rows};
use super::{sql, sql_open, sql_write};
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

/// The rows of the last result.
pub(super) fn last(mut results: Vec<Vec<Row>>) -> Vec<Row> {
    results.pop().unwrap_or_default()
}

impl Reads for Connections {
    type Client = Client;
    type Row = Row;
    type Asked<'v> = Asked<'v>;

    fn begin_read(&self, doing: &'static str) -> Checked<(Client, Vec<Row>)> {
        let client = self.reader(doing)?;
        match client.run(sql_open::BEGIN_READ, doing) {
            Ok(results) => Ok((client, last(results))),
            Err(error) => {
                self.end_read(client);
                Err(error)
            }
        }
    }

    fn ask(&self, client: &Client, sql: &'static str, asked: &Asked<'_>) -> Checked<Vec<Row>> {
        client.ask(sql, asked, "reading").map(last)
    }

    fn is_lost(client: &Client) -> bool {
        client.is_lost()
    }

    fn end_read(&self, client: Client) {
        Self::end_read(self, client);
    }

    fn values<'v>(values: &[Value<'v>]) -> Asked<'v> {
        Asked::Values(params(values))
    }

    fn keys<'v, const N: usize>(keys: impl Iterator<Item = [Value<'v>; N]>) -> Vec<Asked<'v>> {
        rows(keys)
    }
}
