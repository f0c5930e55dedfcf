//! Writing: one batch, one transaction, rows in the order of their keys.

use std::collections::BTreeMap;

use onesync_engine::{AttributeChange, Cause, ChangeState, Changes, HistoryRow, LinkPick, LinkSum, MvState};
use onesync_model::normalise_rdn;
use rusqlite::{Connection, OptionalExtension as _, Transaction, TransactionBehavior, params};

use super::failed;
use crate::error::StoreError;
use crate::rows::{ServiceChanges, export_hash, operation_code};
use crate::store::work_columns;

type Outcome = Result<(), StoreError>;

pub(super) fn check_epoch(tx: &Transaction<'_>, ours: u64) -> Outcome {
    let theirs: Option<i64> =
        tx.prepare_cached("SELECT epoch FROM installation").and_then(|mut s| s.query_row([], |row| row.get(0)).optional()).map_err(failed("checking the epoch"))?;
    match theirs {
        None => Err(StoreError::NotInstalled),
        Some(theirs) if theirs as u64 == ours => Ok(()),
        Some(theirs) => Err(StoreError::Fenced { ours, theirs: theirs as u64 }),
    }
}

pub(super) fn write(connection: &mut Connection, epoch: u64, changes: &Changes, service: &ServiceChanges) -> Outcome {
    let doing = "writing";
    // What is being sent must be on the disk before the first byte leaves.
    let durable = changes.exports.iter().any(|row| row.state == ChangeState::Sending)
        || changes.export_links.iter().any(|row| row.state == ChangeState::Sending)
        || !service.secrets.is_empty();
    if durable {
        connection.pragma_update(None, "synchronous", "FULL").map_err(failed(doing))?;
    }
    let result = in_transaction(connection, epoch, changes, service);
    if durable {
        connection.pragma_update(None, "synchronous", "NORMAL").map_err(failed(doing))?;
    }
    result
}

fn in_transaction(connection: &mut Connection, epoch: u64, changes: &Changes, service: &ServiceChanges) -> Outcome {
    let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed("writing"))?;
    check_epoch(&tx, epoch)?;
    deletions(&tx, changes).map_err(failed("deleting rows"))?;
    objects(&tx, changes).map_err(failed("writing objects"))?;
    links(&tx, changes).map_err(failed("writing links"))?;
    exports(&tx, changes).map_err(failed("writing pending exports"))?;
    agenda(&tx, changes).map_err(failed("writing the agenda"))?;
    notes(&tx, changes).map_err(failed("writing errors and history"))?;
    service_rows(&tx, service)?;
    tx.commit().map_err(failed("committing"))
}

fn deletions(tx: &Transaction<'_>, changes: &Changes) -> rusqlite::Result<()> {
    for &id in &changes.cs_deleted {
        for sql in [
            "DELETE FROM cs_object WHERE id = ?1",
            "DELETE FROM cs_link WHERE owner = ?1",
            "DELETE FROM export_object WHERE cs = ?1",
            "DELETE FROM export_link WHERE owner = ?1",
            "DELETE FROM object_error WHERE cs = ?1",
        ] {
            tx.prepare_cached(sql)?.execute([id.0])?;
        }
    }
    for &id in &changes.mv_deleted {
        tx.prepare_cached("DELETE FROM mv_object WHERE id = ?1")?.execute([id.0])?;
        tx.prepare_cached("DELETE FROM mv_link WHERE owner = ?1")?.execute([id.0])?;
    }
    let mut statement = tx.prepare_cached("DELETE FROM cs_join WHERE join_key = ?1 AND id = ?2")?;
    for (key, id) in &changes.cs_keys_removed {
        statement.execute((key, id.0))?;
    }
    let mut statement = tx.prepare_cached("DELETE FROM mv_join WHERE join_key = ?1 AND id = ?2")?;
    for (key, id) in &changes.mv_keys_removed {
        statement.execute((key, id.0))?;
    }
    let mut statement = tx.prepare_cached("DELETE FROM cs_link WHERE owner = ?1 AND attribute = ?2 AND link_key = ?3")?;
    for (owner, attribute, key) in &changes.links_removed {
        statement.execute((owner.0, attribute.0, &key.0[..]))?;
    }
    let mut statement = tx.prepare_cached("DELETE FROM mv_link WHERE owner = ?1 AND attribute = ?2 AND target = ?3")?;
    for (owner, attribute, target) in &changes.mv_links_removed {
        statement.execute((owner.0, attribute.0, target.0))?;
    }
    let mut statement = tx.prepare_cached("DELETE FROM export_object WHERE cs = ?1")?;
    for id in &changes.exports_deleted {
        statement.execute([id.0])?;
    }
    let mut statement = tx.prepare_cached("DELETE FROM export_link WHERE owner = ?1 AND attribute = ?2 AND target = ?3")?;
    for (owner, attribute, target) in &changes.export_links_deleted {
        statement.execute((owner.0, attribute.0, target.0))?;
    }
    Ok(())
}

fn objects(tx: &Transaction<'_>, changes: &Changes) -> rusqlite::Result<()> {
    let mut statement = tx.prepare_cached(
        "INSERT INTO cs_object (id, connector, object_type, flags, mv, join_rule, join_run, owned, container, anchor_key, anchor, name, reason, leaving, links, image)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16)
         ON CONFLICT (id) DO UPDATE SET connector = ?2, object_type = ?3, flags = ?4, mv = ?5, join_rule = ?6, join_run = ?7, owned = ?8,
           container = ?9, anchor_key = ?10, anchor = ?11, name = ?12, reason = ?13, leaving = ?14, links = ?15, image = ?16",
    )?;
    for row in &changes.cs {
        let key = row.key();
        statement.execute(params![
            row.id.0,
            row.connector.0,
            row.object_type.0,
            row.flags.0,
            row.join.map(|join| join.mv.0),
            row.join.map(|join| join.rule.0),
            row.join.map(|join| join.run.0),
            row.join.map(|join| join.owned),
            row.container.map(|id| id.0),
            key.as_ref().map(|key| &key.0[..]),
            row.anchor.as_ref().map(|anchor| &*anchor.0),
            row.name,
            row.reason,
            row.leaving.map(onesync_model::Time::ticks),
            LinkSum::encode(&row.links),
            row.image.as_bytes(),
        ])?;
    }
    let mut statement = tx.prepare_cached("UPDATE cs_object SET name_key = ?2 WHERE id = ?1")?;
    for (id, _, new) in &changes.cs_names {
        statement.execute((id.0, new.as_ref().map(|key| &key.0[..])))?;
    }
    let mut statement = tx.prepare_cached("INSERT OR IGNORE INTO cs_join VALUES (?1, ?2)")?;
    let mut keys = changes.cs_keys_added.clone();
    keys.sort_unstable();
    for (key, id) in &keys {
        statement.execute((key, id.0))?;
    }
    let mut statement = tx.prepare_cached("INSERT OR REPLACE INTO container VALUES (?1, ?2, ?3, ?4, ?5)")?;
    for row in &changes.containers {
        statement.execute((row.id.0, row.connector.0, row.parent.map_or(0, |id| id.0), &row.rdn, normalise_rdn(&row.rdn)))?;
    }
    let mut statement = tx.prepare_cached("INSERT OR REPLACE INTO mv_object VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)")?;
    for row in &changes.mv {
        let (since, deleted) = match row.state {
            MvState::Active => (None, None),
            MvState::Leaving { since, deleted } => (Some(since.ticks()), Some(deleted)),
        };
        statement.execute(params![
            row.id.0,
            &row.guid.0[..],
            row.object_type.0,
            since,
            deleted,
            Cause::encode(&row.causes),
            LinkPick::encode(&row.picks),
            row.values.as_bytes(),
        ])?;
    }
    let mut statement = tx.prepare_cached("INSERT OR IGNORE INTO mv_join VALUES (?1, ?2)")?;
    let mut keys = changes.mv_keys_added.clone();
    keys.sort_unstable();
    for (key, id) in &keys {
        statement.execute((key, id.0))?;
    }
    if let Some(counters) = changes.counters {
        tx.prepare_cached("UPDATE counter SET next_cs = ?1, next_mv = ?2, next_container = ?3")?.execute((counters.cs, counters.mv, counters.container))?;
    }
    Ok(())
}

fn links(tx: &Transaction<'_>, changes: &Changes) -> rusqlite::Result<()> {
    let mut statement = tx.prepare_cached("INSERT OR IGNORE INTO cs_link VALUES (?1, ?2, ?3)")?;
    let mut rows = changes.links_added.clone();
    rows.sort_unstable();
    for (owner, attribute, key) in &rows {
        statement.execute((owner.0, attribute.0, &key.0[..]))?;
    }
    let mut statement = tx.prepare_cached("INSERT OR IGNORE INTO mv_link VALUES (?1, ?2, ?3)")?;
    let mut rows = changes.mv_links_added.clone();
    rows.sort_unstable();
    for (owner, attribute, target) in &rows {
        statement.execute((owner.0, attribute.0, target.0))?;
    }
    Ok(())
}

fn exports(tx: &Transaction<'_>, changes: &Changes) -> rusqlite::Result<()> {
    let mut statement = tx.prepare_cached(
        "INSERT OR REPLACE INTO export_object (cs, connector, object_type, operation, state, kinds, held, not_before, attempts, sent, hash, create_key, error, changes)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)",
    )?;
    for row in &changes.exports {
        statement.execute(params![
            row.cs.0,
            row.connector.0,
            row.object_type.0,
            operation_code(row.operation),
            row.state.code(),
            row.kinds,
            row.held,
            row.not_before.ticks(),
            row.attempts,
            row.sent.map(onesync_model::Time::ticks),
            &export_hash(row).0[..],
            row.create_key,
            row.error,
            AttributeChange::encode(&row.changes),
        ])?;
    }
    let mut statement = tx.prepare_cached("INSERT OR REPLACE INTO export_link VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)")?;
    for row in &changes.export_links {
        statement.execute(params![
            row.owner.0,
            row.attribute.0,
            row.target.0,
            row.connector.0,
            row.add,
            row.state.code(),
            row.held,
            row.not_before.ticks(),
            row.attempts,
            row.error,
        ])?;
    }
    Ok(())
}

fn agenda(tx: &Transaction<'_>, changes: &Changes) -> rusqlite::Result<()> {
    let mut statement = tx.prepare_cached("DELETE FROM agenda WHERE pass = ?1 AND connector = ?2 AND a = ?3 AND b = ?4 AND c = ?5")?;
    let mut by_connector = tx.prepare_cached("DELETE FROM agenda WHERE pass = 0 AND connector IN (SELECT DISTINCT connector FROM cs_object WHERE id = ?1) AND a = ?1")?;
    let mut anywhere = tx.prepare_cached("DELETE FROM agenda WHERE pass = 0 AND connector IN (SELECT id FROM connector) AND a = ?1")?;
    for work in &changes.agenda_done {
        let (pass, a, b, c) = work_columns(*work);
        if pass != 0 {
            statement.execute((pass, 0, a, b, c))?;
        } else if by_connector.execute([a])? == 0 {
            // The object itself may have gone in this very batch.
            anywhere.execute([a])?;
        }
    }
    let mut statement = tx.prepare_cached(
        "INSERT INTO agenda VALUES (?1, ?2, ?3, ?4, ?5, ?6)
         ON CONFLICT (pass, connector, a, b, c) DO UPDATE SET not_before = min(not_before, excluded.not_before)",
    )?;
    for row in &changes.agenda {
        let (pass, a, b, c) = work_columns(row.work);
        statement.execute((pass, row.connector.0, a, b, c, row.not_before.ticks()))?;
    }
    Ok(())
}

fn notes(tx: &Transaction<'_>, changes: &Changes) -> rusqlite::Result<()> {
    let mut statement = tx.prepare_cached("DELETE FROM object_error WHERE cs = ?1 AND place = ?2")?;
    for (cs, place) in &changes.errors_healed {
        statement.execute((cs.0, place))?;
    }
    let mut statement = tx.prepare_cached("INSERT OR REPLACE INTO object_error (cs, place, connector, code, message, first_seen, run, alarm) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)")?;
    for row in &changes.errors {
        statement.execute((row.cs.0, &row.place, row.connector.0, &row.code, &row.message, row.first_seen.ticks(), row.run.0, row.alarm))?;
    }
    let mut statement = tx.prepare_cached("INSERT INTO history (mv, run, time, event, changes) VALUES (?1, ?2, ?3, ?4, ?5)")?;
    for row in &changes.history {
        statement.execute((row.mv.0, row.run.0, row.time.ticks(), &row.event, HistoryRow::encode_changes(&row.changes)))?;
    }
    for (connector, name, value) in &changes.states {
        match value {
            Some(value) => tx.prepare_cached("INSERT OR REPLACE INTO service_state VALUES (?1, ?2, ?3)")?.execute((connector.0, name, value))?,
            None => tx.prepare_cached("DELETE FROM service_state WHERE connector = ?1 AND name = ?2")?.execute((connector.0, name))?,
        };
    }
    Ok(())
}

fn service_rows(tx: &Transaction<'_>, service: &ServiceChanges) -> Outcome {
    let doing = "writing for the service";
    let run = |sql: &str, values: &[&dyn rusqlite::ToSql]| -> Outcome {
        tx.prepare_cached(sql).and_then(|mut s| s.execute(values)).map(|_| ()).map_err(failed(doing))
    };
    if let Some(staging) = service.staging {
        run("UPDATE installation SET staging = ?1", &[&staging])?;
    }
    for row in &service.runs {
        let (started, ended) = (row.started.ticks(), row.ended.map(onesync_model::Time::ticks));
        run("INSERT OR REPLACE INTO run VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)", &[&row.id.0, &row.connector.0, &row.step, &started, &ended, &row.result, &row.counters])?;
    }
    let mut names: BTreeMap<u32, &str> = BTreeMap::new();
    for (id, name) in &service.names {
        names.insert(id.0, name);
    }
    for (id, name) in names {
        let known: Option<String> = tx.query_row("SELECT name FROM attribute_name WHERE id = ?1", [id], |row| row.get(0)).optional().map_err(failed(doing))?;
        match known {
            Some(known) if known == name => {}
            Some(known) => return Err(StoreError::Conflict(format!("name {id} is `{known}` already, not `{name}`"))),
            None => run("INSERT INTO attribute_name VALUES (?1, ?2)", &[&id, &name])?,
        }
    }
    for row in &service.connectors {
        run("INSERT OR REPLACE INTO connector VALUES (?1, ?2, ?3, ?4)", &[&row.id.0, &row.name, &row.kind, &row.removed])?;
    }
    for row in &service.rules {
        run("INSERT INTO sync_rule VALUES (?1, ?2, ?3, ?4)", &[&row.id.0, &row.connector.0, &row.name, &row.hash.0.to_vec()])?;
    }
    for (row, files) in &service.configs {
        run("INSERT INTO config_version VALUES (?1, ?2, ?3, ?4)", &[&row.version, &row.created.ticks(), &row.who, &row.hash.0.to_vec()])?;
        for (path, content) in files {
            run("INSERT INTO config_file VALUES (?1, ?2, ?3)", &[&row.version, path, content])?;
        }
    }
    for row in &service.secrets {
        run("INSERT OR REPLACE INTO secret VALUES (?1, ?2, ?3, ?4)", &[&row.name, &row.current, &row.previous, &row.changed.ticks()])?;
    }
    for name in &service.secrets_deleted {
        run("DELETE FROM secret WHERE name = ?1", &[name])?;
    }
    for row in &service.events {
        run("INSERT INTO event (time, kind, subject, text) VALUES (?1, ?2, ?3, ?4)", &[&row.time.ticks(), &row.kind, &row.subject, &row.text])?;
    }
    for row in &service.exported {
        run(
            "INSERT INTO exported VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT DO UPDATE SET count = count + excluded.count",
            &[&row.connector.0, &row.object_type.0, &row.kind, &row.hour, &(row.count as i64)],
        )?;
    }
    for row in &service.held {
        let items: Vec<u8> = row.items.iter().flat_map(|item| item.0).collect();
        run(
            "INSERT OR REPLACE INTO held_plan VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
            &[&row.hash.0.to_vec(), &row.connector.0, &row.object_type.0, &row.reason, &items, &row.state.code(), &row.created.ticks(), &row.who, &row.decided.map(onesync_model::Time::ticks)],
        )?;
    }
    Ok(())
}

