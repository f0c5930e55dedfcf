//! Writing what the service records, and the kept counts.

use onesync_model::{Hash128, Time};

use super::row::{self, Cells};
use super::{Checked, Value, Writer, values};
use crate::error::StoreError;
use crate::rows::ServiceChanges;
use crate::tally::Tallies;

pub(crate) fn service_rows<W: Writer>(tx: &mut W, service: &ServiceChanges) -> Checked<()> {
    if let Some(staging) = service.staging {
        tx.put(W::STAGING, &values![staging])?;
    }
    for (name, value) in &service.settings {
        tx.put(W::SETTING_PUT, &values![name, value])?;
    }
    for row in &service.runs_ended {
        row.must_be(tx.there(W::RUN, "run", &values![row.id.0], row::run)?.as_ref())?;
    }
    for row in service.runs.iter().chain(&service.runs_ended) {
        let (started, ended) = (row.started.ticks(), row.ended.map(Time::ticks));
        let values =
            values![row.id.0, row.connector.0, &row.step, started, ended, row.result.as_ref(), &row.counters];
        tx.put(W::RUN_PUT, &values)?;
    }
    for (id, name) in &service.names {
        match tx.there(W::NAME, "attribute_name", &values![id.0], |cells| cells.get::<String>(0))? {
            None => tx.put(W::NAME_PUT, &values![id.0, name])?,
            Some(known) if known == *name => {}
            Some(_) => return Err(conflict("name", id)),
        }
    }
    for row in &service.connectors {
        tx.put(W::CONNECTOR_PUT, &values![row.id.0, &row.name, &row.kind, row.removed])?;
    }
    for row in &service.rules {
        match tx.there(W::RULE, "sync_rule", &values![row.id.0], row::rule)? {
            None => {
                tx.put(W::RULE_PUT, &values![row.id.0, row.connector.0, &row.name, &row.hash])?;
            }
            Some(known) if known == *row => {}
            Some(_) => return Err(conflict("rule", row.id)),
        }
    }
    for (row, files) in &service.configs {
        if tx.there(W::CONFIG_HAS, "config_version", &values![row.version], |_| Ok(()))?.is_some() {
            return Err(StoreError::Conflict(format!("configuration {} exists already", row.version)));
        }
        tx.put(W::CONFIG_PUT, &values![row.version, row.created.ticks(), &row.who, &row.hash])?;
        for (path, content) in files {
            tx.put(W::CONFIG_FILE_PUT, &values![row.version, path, content])?;
        }
    }
    for name in &service.secrets_deleted {
        tx.put(W::SECRET_DELETE, &values![name])?;
    }
    for row in &service.secrets {
        tx.put(W::SECRET_PUT, &values![&row.name, &row.current, row.previous.as_ref(), row.changed.ticks()])?;
    }
    for (before, row) in &service.secrets_resealed {
        tx.put(W::SECRET_RESEAL, &values![&row.name, &row.current, row.previous.as_ref(), before])?;
    }
    super::event_chain::append(tx, &service.events)?;
    for row in &service.exported {
        let count = row.count as i64;
        let values = values![row.connector.0, row.object_type.0, row.kind, row.hour, count];
        tx.put(W::EXPORTED_ADD, &values)?;
    }
    for row in &service.held {
        let items: Vec<u8> = row.items.iter().flat_map(|item| item.0).collect();
        let (created, decided) = (row.created.ticks(), row.decided.map(Time::ticks));
        let values = values![
            &row.hash,
            row.connector.0,
            row.object_type.0,
            &row.reason,
            &items,
            row.state.code(),
            created,
            row.who.as_ref(),
            decided,
        ];
        tx.put(W::HELD_PLAN_PUT, &values)?;
    }
    Ok(())
}

fn conflict(what: &str, id: impl std::fmt::Display) -> StoreError {
    StoreError::Conflict(format!("{what} {id} exists already with other content"))
}

/// Adds what a batch changed to the kept counts.
pub(crate) fn counts<W: Writer>(tx: &mut W, tallies: &Tallies) -> Checked<()> {
    let mut gone = [false; 5];
    for (&(connector, object_type, joined, flags), difference) in tallies.cs.differences() {
        gone[0] |= difference.count < 0;
        tx.put(W::CS_COUNT_ADD, &values![connector, object_type, joined, flags, difference.count])?;
    }
    for (&(object_type, leaving), difference) in tallies.mv.differences() {
        gone[1] |= difference.count < 0;
        tx.put(W::MV_COUNT_ADD, &values![object_type, leaving, difference.count])?;
    }
    let hash = |cells: &Cells<'_>| cells.hash(0);
    for (&(connector, object_type, operation, kinds, state, held), difference) in
        tallies.exports.differences()
    {
        gone[2] |= difference.count < 0;
        let key = values![connector, object_type, operation, kinds, state, held];
        let sum = tx.there(W::EXPORT_COUNT, "export_count", &key, hash)?.unwrap_or_default();
        let sum: Hash128 = sum.plus(difference.hashes);
        let values: Vec<Value<'_>> = key.into_iter().chain(values![difference.count, &sum]).collect();
        tx.put(W::EXPORT_COUNT_ADD, &values)?;
    }
    for (&(connector, attribute, add, state, held), difference) in tallies.export_links.differences() {
        gone[3] |= difference.count < 0;
        let key = values![connector, attribute, add, state, held];
        let sum = tx.there(W::EXPORT_LINK_COUNT, "export_link_count", &key, hash)?.unwrap_or_default();
        let sum = sum.plus(difference.hashes);
        let values: Vec<Value<'_>> = key.into_iter().chain(values![difference.count, &sum]).collect();
        tx.put(W::EXPORT_LINK_COUNT_ADD, &values)?;
    }
    for ((connector, object_type, place, code, cause, alarm), difference) in tallies.errors.differences() {
        gone[4] |= difference.count < 0;
        let sort = values![*connector, *object_type, place, code, *cause, *alarm, difference.count];
        tx.put(W::ERROR_COUNT_ADD, &sort)?;
    }
    let cleans = [
        W::CS_COUNT_CLEAN,
        W::MV_COUNT_CLEAN,
        W::EXPORT_COUNT_CLEAN,
        W::EXPORT_LINK_COUNT_CLEAN,
        W::ERROR_COUNT_CLEAN,
    ];
    for (clean, gone) in cleans.into_iter().zip(gone) {
        if gone {
            tx.put(clean, &[])?;
        }
    }
    Ok(())
}
