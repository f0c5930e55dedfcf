//! Whole tables on a PostgreSQL server: read by key, written by COPY in its binary form.

use std::collections::HashMap;

use deadpool_postgres::Object;
use tokio_postgres::Statement;
use tokio_postgres::binary_copy::BinaryCopyInWriter;
use tokio_postgres::types::{ToSql, Type};

use super::connection::{Connections, run};
use super::failure::failed;
use super::query::Param;
use super::{load, sql};
use crate::bulk::{Bulk, Rows, Values};
use crate::error::StoreError;
use crate::relational::tables::{TABLES, Table};
use crate::relational::wait::wait;
use crate::relational::{Checked, Value};

const DOING: &str = "copying the database";
/// Rows deleted by one statement.
const REMOVED_AT_ONCE: usize = 2_000;

/// A connection that is not used for anything else afterwards.
pub(super) struct PostgresBulk {
    client: Option<Object>,
    statements: HashMap<String, Statement>,
    /// The types of the columns.
    types: HashMap<String, Vec<Type>>,
}

impl PostgresBulk {
    pub(super) fn open(connections: &Connections) -> Checked<Self> {
        Ok(Self {
            client: Some(connections.reader(DOING)?),
            statements: HashMap::new(),
            types: HashMap::new(),
        })
    }

    /// The same over one state of the database, which cannot be written.
    pub(super) fn snapshot(connections: &Connections) -> Checked<Self> {
        let bulk = Self::open(connections)?;
        run(bulk.client()?, sql::BEGIN_READ, DOING)?;
        Ok(bulk)
    }

    fn client(&self) -> Checked<&Object> {
        let closed = || StoreError::Server { doing: DOING, message: "the connection is closed".to_owned() };
        self.client.as_ref().ok_or_else(closed)
    }

    /// Prepares a statement made of names that are constants of this program.
    fn prepared(&mut self, text: String) -> Checked<Statement> {
        if let Some(known) = self.statements.get(&text) {
            return Ok(known.clone());
        }
        let statement = wait(self.client()?.prepare(&text)).map_err(failed(DOING))?;
        self.statements.insert(text, statement.clone());
        Ok(statement)
    }

    fn types(&mut self, table: &Table<'_>) -> Checked<Vec<Type>> {
        if let Some(types) = self.types.get(table.name) {
            return Ok(types.clone());
        }
        let statement = self.prepared(format!("SELECT {} FROM {}", table.columns, table.name))?;
        let types: Vec<Type> = statement.columns().iter().map(|column| column.type_().clone()).collect();
        self.types.insert(table.name.to_owned(), types.clone());
        Ok(types)
    }
}

impl Drop for PostgresBulk {
    fn drop(&mut self) {
        // Its settings are its own.
        if let Some(client) = self.client.take() {
            drop(Object::take(client));
        }
    }
}

impl Bulk for PostgresBulk {
    fn read(&mut self, table: &Table<'_>, after: Option<&[u8]>, limit: usize) -> Checked<Rows> {
        let (name, columns, key) = (table.name, table.columns, table.key());
        let places = (1..=table.keys).map(|n| format!("${n}")).collect::<Vec<_>>().join(", ");
        let after_key = match after {
            Some(_) => format!("WHERE ({key}) > ({places})"),
            None => String::new(),
        };
        let select = format!("SELECT {columns} FROM {name} {after_key} ORDER BY {key} LIMIT {limit}");
        let select = self.prepared(select)?;
        let key: Vec<Value<'_>> = Values(after.unwrap_or_default()).take(table.keys).collect();
        let key: Vec<&(dyn ToSql + Sync)> = key.iter().map(|value| value as _).collect();
        let found = wait(self.client()?.query(&select, &key)).map_err(failed(DOING))?;
        let mut rows = Rows::default();
        found.iter().try_for_each(|row| rows.push(table, row))?;
        Ok(rows)
    }

    fn add(&mut self, table: &Table<'_>, rows: &Rows) -> Checked<()> {
        let types = self.types(table)?;
        let copy = format!("COPY {} ({}) FROM STDIN (FORMAT binary)", table.name, table.columns);
        let client = self.client()?;
        let copied = wait(async {
            let sink = client.copy_in(copy.as_str()).await?;
            let writer = BinaryCopyInWriter::new(sink, &types);
            let mut writer = std::pin::pin!(writer);
            for row in rows.iter() {
                let values: Vec<Value<'_>> = Values(row).collect();
                let values: Vec<&(dyn ToSql + Sync)> = values.iter().map(|value| value as _).collect();
                writer.as_mut().write(&values).await?;
            }
            writer.as_mut().finish().await
        });
        copied.map(|_| ()).map_err(failed(DOING))
    }

    fn remove(&mut self, table: &Table<'_>, rows: &Rows) -> Checked<()> {
        let types = self.types(table)?;
        let columns: Vec<&str> = table.columns().take(table.keys).collect();
        let arrays: Vec<String> = types
            .iter()
            .take(table.keys)
            .zip(1..)
            .map(|(type_, number)| format!("${number}::{}[]", type_.name()))
            .collect();
        let equal: Vec<String> = columns.iter().map(|name| format!("t.{name} = k.{name}")).collect();
        let delete = format!(
            "DELETE FROM {} AS t USING unnest({}) AS k({}) WHERE {}",
            table.name,
            arrays.join(", "),
            columns.join(", "),
            equal.join(" AND ")
        );
        let delete = self.prepared(delete)?;
        let all: Vec<&[u8]> = rows.iter().collect();
        for some in all.chunks(REMOVED_AT_ONCE) {
            let mut keys: Vec<Param<'_>> = columns.iter().map(|_| Param::Many(Vec::new())).collect();
            for row in some {
                for (column, value) in keys.iter_mut().zip(Values(row)) {
                    if let Param::Many(values) = column {
                        values.push(value);
                    }
                }
            }
            let keys: Vec<&(dyn ToSql + Sync)> = keys.iter().map(|param| param as _).collect();
            wait(self.client()?.execute(&delete, &keys)).map_err(failed(DOING))?;
        }
        Ok(())
    }

    fn begin_fill(&mut self) -> Checked<()> {
        self.clear()?;
        run(self.client()?, sql::UNFLUSHED, DOING)?;
        load::drop_all(self.client()?, DOING)
    }

    fn end_fill(&mut self) -> Checked<()> {
        load::end(self.client()?)?;
        let names: Vec<&str> = TABLES.iter().map(|table| table.name).collect();
        run(self.client()?, &format!("ANALYZE {}", names.join(", ")), DOING)
    }

    fn clear(&mut self) -> Checked<()> {
        let kept = format!("DELETE FROM setting WHERE name NOT LIKE '{}%'", crate::transfer::OF_DATABASE);
        let names: Vec<&str> =
            TABLES.iter().map(|table| table.name).filter(|name| *name != "setting").collect();
        let cut = format!("TRUNCATE {}", names.join(", "));
        match run(self.client()?, &cut, DOING) {
            // Whoever is not the owner may delete all the same.
            Err(StoreError::Rights { .. }) => {
                for name in names {
                    run(self.client()?, &format!("DELETE FROM {name}"), DOING)?;
                }
            }
            done => done?,
        }
        run(self.client()?, &kept, DOING)
    }

    fn set(&mut self, name: &str, value: &str) -> Checked<()> {
        let client = self.client()?;
        run(client, sql::FLUSHED, DOING)?;
        wait(client.execute(super::sql_write::SETTING_PUT, &[&name, &value]))
            .map(|_| ())
            .map_err(failed(DOING))
    }
}
