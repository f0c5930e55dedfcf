//! Snapshots of a server: one state, read over one connection, and over another one when that is lost.

use std::cell::RefCell;

use super::row::Columns;
use super::{Cells, Checked, Mark, Patience, Query, Statements, Value, reads};
use crate::error::StoreError;

/// The connections to a server, as far as snapshots need them.
pub(crate) trait Reads: Statements {
    /// One connection.
    type Client;
    /// A row as the driver gives it.
    type Row: Columns;
    /// Parameters as the dialect sends them.
    type Asked<'v>;

    /// Begins a snapshot over a connection; gives the row of the mark, which is what it reads first.
    fn begin_read(&self, doing: &'static str) -> Checked<(Self::Client, Vec<Self::Row>)>;
    /// Asks one statement.
    fn ask(
        &self,
        client: &Self::Client,
        sql: &'static str,
        asked: &Self::Asked<'_>,
    ) -> Checked<Vec<Self::Row>>;
    /// Whether a connection is of no use any more.
    fn is_lost(client: &Self::Client) -> bool;
    /// Ends a snapshot.
    fn end_read(&self, client: Self::Client);
    /// Single values as parameters.
    fn values<'v>(values: &[Value<'v>]) -> Self::Asked<'v>;
    /// Keys as parameters, for as many requests as they need; for none where there are none.
    fn keys<'v, const N: usize>(rows: impl Iterator<Item = [Value<'v>; N]>) -> Vec<Self::Asked<'v>>;
}

/// A state of the database, read over one connection.
pub(crate) struct Snapshot<'s, D: Reads> {
    connections: &'s D,
    /// `None` only while it is dropped, or after it was lost.
    client: RefCell<Option<D::Client>>,
    /// The batch that the state is of: its number and its writer.
    mark: Mark,
}

impl<'s, D: Reads> Snapshot<'s, D> {
    pub(crate) fn begin(connections: &'s D) -> Checked<Self> {
        let (client, mark) = begin(connections)?;
        Ok(Self { connections, client: RefCell::new(Some(client)), mark })
    }

    /// Asks; when the connection was lost, over another one, as long as nothing was written meanwhile: then it is the
    /// same state.
    fn ask(&self, sql: &'static str, asked: &D::Asked<'_>) -> Checked<Vec<D::Row>> {
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
            match self.connections.ask(client, sql, asked) {
                Ok(rows) => return Ok(rows),
                Err(error @ StoreError::Unreachable { .. }) if D::is_lost(client) => {
                    *held = None;
                    patience.pause(error)?;
                }
                Err(error) => return Err(error),
            }
        }
    }
}

/// Begins a snapshot; patient with a server that is being restarted.
fn begin<D: Reads>(connections: &D) -> Checked<(D::Client, Mark)> {
    let mut patience = Patience::new();
    loop {
        match connections.begin_read("beginning a snapshot") {
            Ok((client, rows)) => {
                let mark = match rows.first().map(|row| Cells { table: "write_mark", row }) {
                    Some(cells) => (cells.get(0)?, cells.get(1)?),
                    None => Mark::default(),
                };
                return Ok((client, mark));
            }
            Err(error) => patience.pause(error)?,
        }
    }
}

impl<D: Reads> Drop for Snapshot<'_, D> {
    fn drop(&mut self) {
        if let Some(client) = self.client.take() {
            self.connections.end_read(client);
        }
    }
}

macro_rules! same_statements {
    ($($name:ident)*) => {
        impl<D: Reads> Statements for Snapshot<'_, D> {
            $(const $name: &'static str = D::$name;)*
        }
    };
}
reads!(same_statements);

fn rows<T>(
    table: &'static str,
    rows: &[impl Columns],
    mut one: impl FnMut(&Cells<'_>) -> Checked<T>,
) -> Checked<Vec<T>> {
    rows.iter().map(|row| one(&Cells { table, row })).collect()
}

impl<D: Reads> Query for Snapshot<'_, D> {
    fn all<T>(
        &self,
        sql: &'static str,
        table: &'static str,
        values: &[Value<'_>],
        one: impl FnMut(&Cells<'_>) -> Checked<T>,
    ) -> Checked<Vec<T>> {
        rows(table, &self.ask(sql, &D::values(values))?, one)
    }

    fn each<'v, const N: usize, T>(
        &self,
        sql: &'static str,
        table: &'static str,
        keys: impl Iterator<Item = [Value<'v>; N]>,
        mut one: impl FnMut(&Cells<'_>) -> Checked<T>,
    ) -> Checked<Vec<T>> {
        let mut out = Vec::new();
        for asked in D::keys(keys) {
            out.append(&mut rows(table, &self.ask(sql, &asked)?, &mut one)?);
        }
        Ok(out)
    }

    fn exist<'v, const N: usize>(
        &self,
        sql: &'static str,
        keys: impl Iterator<Item = [Value<'v>; N]>,
    ) -> Checked<Vec<bool>> {
        self.each(sql, "a table of links", keys, |cells| cells.get(0))
    }
}
