//! Writing what the service records, and the kept counts.

use onesync_model::{Hash128, Time};
use rusqlite::{ToSql, Transaction};

use super::row::{self, Cells, Checked};
use super::{failed, sql};
use crate::error::StoreError;
use crate::rows::ServiceChanges;
use crate::tally::Tallies;

const DOING: &str = "writing what the service records";

fn put(tx: &Transaction<'_>, sql: &'static str, values: &[&dyn ToSql]) -> Checked<()> {
    let mut statement = tx.prepare_cached(sql).map_err(failed(DOING))?;
    statement.execute(values).map(|_| ()).map_err(failed(DOING))
}

/// The row that is there already, for tables that only grow.
fn there<T>(
    tx: &Transaction<'_>,
    sql: &'static str,
    table: &'static str,
    key: &[&dyn ToSql],
    one: impl Fn(&Cells<'_>) -> Checked<T>,
) -> Checked<Option<T>> {
    let mut statement = tx.prepare_cached(sql).map_err(failed(DOING))?;
    let mut rows = statement.query(key).map_err(failed(DOING))?;
    rows.next().map_err(failed(DOING))?.map(|row| one(&Cells { table, row })).transpose()
}

pub(super) fn service_rows(tx: &Transaction<'_>, service: &ServiceChanges) -> Checked<()> {
    if let Some(staging) = service.staging {
        put(tx, sql::STAGING, &[&staging])?;
    }
    for row in &service.runs {
        let (started, ended) = (row.started.ticks(), row.ended.map(Time::ticks));
        let values: [&dyn ToSql; 7] =
            [&row.id.0, &row.connector.0, &row.step, &started, &ended, &row.result, &row.counters];
        put(tx, sql::RUN_PUT, &values)?;
    }
    for (id, name) in &service.names {
        match there(tx, sql::NAME, "attribute_name", &[&id.0], |cells| cells.get::<String>(0))? {
            None => put(tx, sql::NAME_PUT, &[&id.0, name])?,
            Some(known) if known == *name => {}
            Some(_) => return Err(conflict("name", id)),
        }
    }
    for row in &service.connectors {
        put(tx, sql::CONNECTOR_PUT, &[&row.id.0, &row.name, &row.kind, &row.removed])?;
    }
    for row in &service.rules {
        match there(tx, sql::RULE, "sync_rule", &[&row.id.0], row::rule)? {
            None => {
                put(tx, sql::RULE_PUT, &[&row.id.0, &row.connector.0, &row.name, &&row.hash.0[..]])?;
            }
            Some(known) if known == *row => {}
            Some(_) => return Err(conflict("rule", row.id)),
        }
    }
    for (row, files) in &service.configs {
        if there(tx, sql::CONFIG_HAS, "config_version", &[&row.version], |_| Ok(()))?.is_some() {
            return Err(StoreError::Conflict(format!("configuration {} exists already", row.version)));
        }
        put(tx, sql::CONFIG_PUT, &[&row.version, &row.created.ticks(), &row.who, &&row.hash.0[..]])?;
        for (path, content) in files {
            put(tx, sql::CONFIG_FILE_PUT, &[&row.version, path, content])?;
        }
    }
    for name in &service.secrets_deleted {
        put(tx, sql::SECRET_DELETE, &[name])?;
    }
    for row in &service.secrets {
        put(tx, sql::SECRET_PUT, &[&row.name, &row.current, &row.previous, &row.changed.ticks()])?;
    }
    for row in &service.events {
        put(tx, sql::EVENT_PUT, &[&row.time.ticks(), &row.kind, &row.subject, &row.text])?;
    }
    for row in &service.exported {
        let count = row.count as i64;
        let values: [&dyn ToSql; 5] = [&row.connector.0, &row.object_type.0, &row.kind, &row.hour, &count];
        put(tx, sql::EXPORTED_ADD, &values)?;
    }
    for row in &service.held {
        let items: Vec<u8> = row.items.iter().flat_map(|item| item.0).collect();
        let (created, decided) = (row.created.ticks(), row.decided.map(Time::ticks));
        let values: [&dyn ToSql; 9] = [
            &&row.hash.0[..],
            &row.connector.0,
            &row.object_type.0,
            &row.reason,
            &items,
            &row.state.code(),
            &created,
            &row.who,
            &decided,
        ];
        put(tx, sql::HELD_PLAN_PUT, &values)?;
    }
    Ok(())
}

fn conflict(what: &str, id: impl std::fmt::Display) -> StoreError {
    StoreError::Conflict(format!("{what} {id} exists already with other content"))
}

/// Adds what a batch changed to the kept counts.
pub(super) fn counts(tx: &Transaction<'_>, tallies: &Tallies) -> Checked<()> {
    let mut gone = [false; 5];
    for (&(connector, object_type, joined, flags), difference) in tallies.cs.differences() {
        gone[0] |= difference.count < 0;
        put(tx, sql::CS_COUNT_ADD, &[&connector, &object_type, &joined, &flags, &difference.count])?;
    }
    for (&(object_type, leaving), difference) in tallies.mv.differences() {
        gone[1] |= difference.count < 0;
        put(tx, sql::MV_COUNT_ADD, &[&object_type, &leaving, &difference.count])?;
    }
    let hash = |cells: &Cells<'_>| cells.hash(0);
    for (&(connector, object_type, operation, kinds, state, held), difference) in
        tallies.exports.differences()
    {
        gone[2] |= difference.count < 0;
        let key: [&dyn ToSql; 6] = [&connector, &object_type, &operation, &kinds, &state, &held];
        let sum = there(tx, sql::EXPORT_COUNT, "export_count", &key, hash)?.unwrap_or_default();
        let sum: Hash128 = sum.plus(difference.hashes);
        let sum = &sum.0[..];
        let values: Vec<&dyn ToSql> =
            key.into_iter().chain([&difference.count as &dyn ToSql, &sum]).collect();
        put(tx, sql::EXPORT_COUNT_ADD, &values)?;
    }
    for (&(connector, attribute, add, state, held), difference) in tallies.export_links.differences() {
        gone[3] |= difference.count < 0;
        let key: [&dyn ToSql; 5] = [&connector, &attribute, &add, &state, &held];
        let sum = there(tx, sql::EXPORT_LINK_COUNT, "export_link_count", &key, hash)?.unwrap_or_default();
        let sum = sum.plus(difference.hashes);
        let sum = &sum.0[..];
        let values: Vec<&dyn ToSql> =
            key.into_iter().chain([&difference.count as &dyn ToSql, &sum]).collect();
        put(tx, sql::EXPORT_LINK_COUNT_ADD, &values)?;
    }
    for ((connector, object_type, place, code, cause, alarm), difference) in tallies.errors.differences() {
        gone[4] |= difference.count < 0;
        let sort: [&dyn ToSql; 7] = [connector, object_type, place, code, cause, alarm, &difference.count];
        put(tx, sql::ERROR_COUNT_ADD, &sort)?;
    }
    let cleans = [
        sql::CS_COUNT_CLEAN,
        sql::MV_COUNT_CLEAN,
        sql::EXPORT_COUNT_CLEAN,
        sql::EXPORT_LINK_COUNT_CLEAN,
        sql::ERROR_COUNT_CLEAN,
    ];
    for (clean, gone) in cleans.into_iter().zip(gone) {
        if gone {
            put(tx, clean, &[])?;
        }
    }
    Ok(())
}
