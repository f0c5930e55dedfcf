//! Writing into the maps.

use std::collections::BTreeMap;
use std::sync::Arc;

use onesync_engine::Changes;
use onesync_model::{CsId, MvId};

use super::State;
use crate::chain::{CHAIN_BEGIN, CHAIN_HEAD, ChainMark, StoredEvent};
use crate::error::StoreError;
use crate::rows::{Retention, ServiceChanges};

type Outcome = Result<(), StoreError>;

impl State {
    pub(super) fn engine_rows(&mut self, changes: &Changes) -> Outcome {
        self.deletions(changes);
        let rows: BTreeMap<CsId, _> = changes.cs.iter().map(|row| (row.id, row)).collect();
        // Anchors that rows of this batch give up are free for others of this batch.
        for &id in rows.keys() {
            self.unindex(id);
        }
        for row in rows.into_values() {
            if let Some(key) = row.key()
                && let Some(other) = self.by_key.insert(key, row.id)
                && other != row.id
            {
                return Err(StoreError::Conflict(format!(
                    "connector-space objects {other} and {} have one anchor",
                    row.id
                )));
            }
            if let Some(join) = row.join {
                self.by_mv.insert((join.mv, row.id));
            }
            self.cs.insert(row.id, Arc::new(row.clone()));
        }
        for &(id, _, new) in &changes.cs_names {
            if !self.cs.contains_key(&id) {
                continue;
            }
            self.unname(id);
            if let Some(key) = new {
                self.name_keys.insert(id, key);
                self.by_name.insert((key, id));
            }
        }
        self.cs_join.extend(&changes.cs_keys_added);
        for &(owner, attribute, key) in &changes.links_added {
            self.links.insert((owner, attribute, key));
            self.links_back.insert((key, owner, attribute));
        }
        self.containers.extend(changes.containers.iter().map(|row| (row.id, row.clone())));
        self.mv.extend(changes.mv.iter().map(|row| (row.id, Arc::new(row.clone()))));
        self.mv_join.extend(&changes.mv_keys_added);
        for &(owner, attribute, target) in &changes.mv_links_added {
            self.mv_links.insert((owner, attribute, target));
            self.mv_links_back.insert((target, owner, attribute));
        }
        self.exports.extend(changes.exports.iter().map(|row| (row.cs, Arc::new(row.clone()))));
        for row in &changes.export_links {
            self.export_links.insert((row.owner, row.attribute, row.target), row.clone());
        }
        for row in &changes.agenda {
            let kept = self.agenda.entry(row.work).or_insert(*row);
            kept.not_before = kept.not_before.min(row.not_before);
        }
        for row in &changes.errors {
            self.errors.insert((row.cs, row.place.clone()), Arc::new(row.clone()));
        }
        for row in &changes.history {
            let seq = next(&self.history);
            self.history.insert(seq, Arc::new(row.clone()));
        }
        for (connector, name, value) in &changes.states {
            let key = (*connector, name.clone());
            match value {
                Some(value) => self.states.insert(key, value.as_slice().into()),
                None => self.states.remove(&key),
            };
        }
        self.counters = changes.counters.unwrap_or(self.counters);
        Ok(())
    }

    fn deletions(&mut self, changes: &Changes) {
        for &id in &changes.cs_deleted {
            self.unindex(id);
            self.unname(id);
            self.cs.remove(&id);
            let gone: Vec<_> = self.links.iter().filter(|row| row.0 == id).copied().collect();
            gone.into_iter().for_each(|row| self.unlink(row));
            self.exports.remove(&id);
            self.export_links.retain(|(owner, ..), _| *owner != id);
            self.errors.retain(|(cs, _), _| *cs != id);
        }
        for &id in &changes.mv_deleted {
            self.mv.remove(&id);
            let gone: Vec<_> = self.mv_links.iter().filter(|row| row.0 == id).copied().collect();
            gone.into_iter().for_each(|row| self.mv_unlink(row));
        }
        for row in &changes.cs_keys_removed {
            self.cs_join.remove(row);
        }
        for row in &changes.mv_keys_removed {
            self.mv_join.remove(row);
        }
        changes.links_removed.iter().for_each(|row| self.unlink(*row));
        changes.mv_links_removed.iter().for_each(|row| self.mv_unlink(*row));
        for id in &changes.exports_deleted {
            self.exports.remove(id);
        }
        for key in &changes.export_links_deleted {
            self.export_links.remove(key);
        }
        for work in &changes.agenda_done {
            self.agenda.remove(work);
        }
        for key in &changes.errors_healed {
            self.errors.remove(key);
        }
    }

    fn unindex(&mut self, id: CsId) {
        if let Some(row) = self.cs.get(&id) {
            if let Some(key) = row.key()
                && self.by_key.get(&key) == Some(&id)
            {
                self.by_key.remove(&key);
            }
            if let Some(join) = row.join {
                self.by_mv.remove(&(join.mv, id));
            }
        }
    }

    fn unname(&mut self, id: CsId) {
        if let Some(key) = self.name_keys.remove(&id) {
            self.by_name.remove(&(key, id));
        }
    }

    fn unlink(&mut self, row: (CsId, onesync_model::AttrId, onesync_model::Hash128)) {
        self.links.remove(&row);
        self.links_back.remove(&(row.2, row.0, row.1));
    }

    fn mv_unlink(&mut self, row: (MvId, onesync_model::AttrId, MvId)) {
        self.mv_links.remove(&row);
        self.mv_links_back.remove(&(row.2, row.0, row.1));
    }

    pub(super) fn service_rows(&mut self, service: &ServiceChanges) -> Outcome {
        if let (Some(staging), Some(row)) = (service.staging, &mut self.installation) {
            row.staging = staging;
        }
        self.settings.extend(service.settings.iter().cloned());
        for row in &service.runs_ended {
            row.must_be(self.runs.get(&row.id))?;
        }
        let runs = service.runs.iter().chain(&service.runs_ended);
        self.runs.extend(runs.map(|row| (row.id, row.clone())));
        for (id, name) in &service.names {
            append(&mut self.names, *id, name.clone(), "name")?;
        }
        self.connectors.extend(service.connectors.iter().map(|row| (row.id, row.clone())));
        for row in &service.rules {
            append(&mut self.rules, row.id, row.clone(), "rule")?;
        }
        for (row, files) in &service.configs {
            if self.configs.insert(row.version, (row.clone(), Arc::new(files.clone()))).is_some() {
                return Err(StoreError::Conflict(format!("configuration {} exists already", row.version)));
            }
        }
        for name in &service.secrets_deleted {
            self.secrets.remove(name);
        }
        self.secrets.extend(service.secrets.iter().map(|row| (row.name.clone(), row.clone())));
        for (before, row) in &service.secrets_resealed {
            if let Some(there) = self.secrets.get_mut(&row.name).filter(|there| there.current == *before) {
                (there.current, there.previous) = (row.current.clone(), row.previous.clone());
            }
        }
        if !service.events.is_empty() {
            let last = self.events.last_key_value().map_or(0, |(seq, _)| *seq);
            let head = self.settings.get(CHAIN_HEAD).map(String::as_str);
            let (mut mark, begin) = ChainMark::newest(head, last);
            self.settings.extend(begin.map(|begin| (CHAIN_BEGIN.to_owned(), begin.to_string())));
            for event in &service.events {
                mark = mark.then(event);
                let row = StoredEvent { seq: mark.seq, event: event.clone(), chain: Some(mark.hash) };
                self.events.insert(mark.seq, row);
            }
            self.settings.insert(CHAIN_HEAD.to_owned(), mark.to_string());
        }
        for row in &service.exported {
            let key = (row.connector, row.object_type, row.kind, row.hour);
            *self.exported.entry(key).or_default() += row.count;
        }
        self.held.extend(service.held.iter().map(|row| (row.hash, row.clone())));
        Ok(())
    }

    pub(super) fn trim(&mut self, retention: &Retention, limit: usize) -> u64 {
        let before = (self.history.len(), self.runs.len(), self.events.len(), self.exported.len());
        remove_some(&mut self.history, limit, |_, row| row.time < retention.history_before);
        remove_some(&mut self.runs, limit, |_, row| {
            row.ended.is_some_and(|ended| ended < retention.runs_before)
        });
        // Only what is before all that stays, so that the chain goes on from it.
        let old = |row: &&StoredEvent| row.event.time < retention.events_before;
        let gone: Vec<StoredEvent> = self.events.values().take(limit).take_while(old).cloned().collect();
        for row in gone {
            self.events.remove(&row.seq);
            if let Some(hash) = row.chain {
                self.settings.insert(CHAIN_BEGIN.to_owned(), ChainMark { seq: row.seq, hash }.to_string());
            }
        }
        remove_some(&mut self.exported, limit, |key, _| key.3 < retention.exported_before);
        let now = (self.history.len(), self.runs.len(), self.events.len(), self.exported.len());
        (before.0 + before.1 + before.2 + before.3 - now.0 - now.1 - now.2 - now.3) as u64
    }
}

/// The number of the next row of what is numbered in the order of writing.
fn next<T>(rows: &BTreeMap<i64, T>) -> i64 {
    rows.last_key_value().map_or(1, |(seq, _)| seq + 1)
}

fn append<K: Ord + std::fmt::Display, V: PartialEq>(
    rows: &mut BTreeMap<K, V>,
    id: K,
    row: V,
    what: &str,
) -> Outcome {
    match rows.get(&id) {
        Some(there) if *there != row => {
            Err(StoreError::Conflict(format!("{what} {id} exists already with other content")))
        }
        _ => {
            rows.insert(id, row);
            Ok(())
        }
    }
}

fn remove_some<K: Ord + Clone, V>(rows: &mut BTreeMap<K, V>, limit: usize, old: impl Fn(&K, &V) -> bool) {
    let gone: Vec<K> =
        rows.iter().filter(|(key, row)| old(key, row)).take(limit).map(|(key, _)| key.clone()).collect();
    for key in gone {
        rows.remove(&key);
    }
}
