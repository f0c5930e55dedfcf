//! Protections at work: what is above a limit is held, in a plan named by the hash of its items; a person releases or
//! rejects it. A release is valid for exactly those items: new or changed ones are judged again.

use std::collections::{BTreeMap, BTreeSet};

use onesync_engine::{Changes, ExportLinkRow, ExportRow, Guarded, Hold, Limits, Numbers, judge};
use onesync_model::{AttrId, CsId, Hash128, TypeId};
use onesync_store::{
    ExportFilter, ExportLinkFilter, ExportLinkKey, HeldPlanRow, HeldState, ServiceChanges, StoreReader,
    export_hash, export_link_hash,
};
use serde::Serialize;

use crate::error::ServiceError;
use crate::export::HeldGroup;
use crate::runtime::{ConnectorHandle, Runtime, Service};

/// Rows read at once.
const PAGE: usize = 1_000;

/// One change that is held.
#[derive(Clone, Debug, Serialize)]
pub struct HeldItem {
    /// Its hash: `held release` takes it as well as the plan's.
    pub hash: String,
    /// The object's name.
    pub object: String,
    /// What would happen.
    pub change: String,
    /// Whether the object left the scope (else it was deleted at the source).
    pub left_scope: bool,
}

/// Free and held changes of one kind.
#[derive(Default)]
struct Gathered {
    exports: Vec<ExportRow>,
    links: Vec<ExportLinkRow>,
}

impl Gathered {
    fn hashes(&self) -> Vec<Hash128> {
        self.exports.iter().map(export_hash).chain(self.links.iter().map(export_link_hash)).collect()
    }
}

impl Service {
    /// Compares what is pending with the limits, holds what is above them, and frees what is below them again
    /// unless it was held before: a changed limit never frees a plan already held.
    pub(crate) fn hold(
        &self,
        runtime: &Runtime,
        connector: &ConnectorHandle,
    ) -> Result<Vec<HeldGroup>, ServiceError> {
        let reader = self.store().reader()?;
        let plans = reader.held_plans(None)?;
        let decided = |state: HeldState| -> BTreeSet<Hash128> {
            plans
                .iter()
                .filter(|plan| plan.connector == connector.id && plan.state == state)
                .flat_map(|plan| plan.items.iter().copied())
                .collect()
        };
        let (held_before, released, rejected) =
            (decided(HeldState::Held), decided(HeldState::Released), decided(HeldState::Rejected));
        let (mut changes, mut service, mut groups) =
            (Changes::default(), ServiceChanges::default(), Vec::new());
        for &object_type in connector.limits.keys() {
            for guarded in Guarded::ALL {
                let all = self.gather(&*reader, connector, object_type, guarded)?;
                let waiting = all.hashes().into_iter().filter(|hash| !released.contains(hash)).count() as u64;
                if waiting == 0
                    && all.exports.iter().all(|row| !row.held)
                    && all.links.iter().all(|row| !row.held)
                {
                    continue;
                }
                let limits = connector.limits.get(&object_type).copied().unwrap_or_default();
                let judged = if guarded == Guarded::Shrink {
                    // Groups are judged one by one when they are gathered: whatever is here is above its limit.
                    let groups: BTreeSet<CsId> = all.links.iter().map(|link| link.owner).collect();
                    (waiting > 0).then(|| Hold {
                        object_type,
                        guarded,
                        reason: format!("{waiting} members removed from {} groups, each of them shrinking by more than its limit", groups.len()),
                    })
                } else {
                    judge(
                        &limits,
                        object_type,
                        guarded,
                        self.numbers(&*reader, connector, object_type, guarded, waiting)?,
                    )
                };
                let hold = |hash: &Hash128| {
                    rejected.contains(hash)
                        || (!released.contains(hash) && (judged.is_some() || held_before.contains(hash)))
                };
                let mut items = Vec::new();
                for mut row in all.exports {
                    let hash = export_hash(&row);
                    let held = hold(&hash);
                    if held {
                        items.push(hash);
                    }
                    if row.held != held {
                        row.held = held;
                        changes.exports.push(row);
                    }
                }
                for mut row in all.links {
                    let hash = export_link_hash(&row);
                    let held = hold(&hash);
                    if held {
                        items.push(hash);
                    }
                    if row.held != held {
                        row.held = held;
                        changes.export_links.push(row);
                    }
                }
                if items.is_empty() {
                    continue;
                }
                let hash = items.iter().fold(Hash128::default(), |sum, &item| sum.plus(item));
                let reason = judged.as_ref().map_or_else(
                    || format!("{} held before", guarded.as_str()),
                    |hold: &Hold| hold.reason.clone(),
                );
                groups.push(HeldGroup {
                    connector: connector.name().to_owned(),
                    object_type: runtime.names.type_name(object_type).to_owned(),
                    reason: reason.clone(),
                    deletes: items.len() as u64,
                    hash: hash.to_string(),
                });
                let known = plans.iter().find(|plan| plan.hash == hash);
                if known.is_none() {
                    service.held.push(HeldPlanRow {
                        hash,
                        connector: connector.id,
                        object_type,
                        reason,
                        items,
                        state: HeldState::Held,
                        created: self.now(),
                        who: None,
                        decided: None,
                    });
                    service.events.push(self.audit("held", &hash.to_string(), ""));
                }
            }
        }
        drop(reader);
        // A row may be guarded for two reasons; it is held when one of them holds it.
        changes.exports = merge_held(changes.exports);
        if changes != Changes::default() || service != ServiceChanges::default() {
            self.store().write(self.epoch(), &changes, &service)?;
        }
        Ok(groups)
    }

    fn gather(
        &self,
        reader: &dyn StoreReader,
        connector: &ConnectorHandle,
        object_type: TypeId,
        guarded: Guarded,
    ) -> Result<Gathered, ServiceError> {
        let mut out = Gathered::default();
        if guarded == Guarded::Shrink {
            self.gather_links(reader, connector, object_type, &mut out)?;
            return Ok(out);
        }
        let counted = reader.export_counts()?.iter().any(|c| {
            c.connector == connector.id && c.object_type == object_type && c.kinds & guarded.bit() != 0
        });
        if !counted {
            return Ok(out);
        }
        let filter = ExportFilter {
            state: Some(onesync_engine::ChangeState::Pending),
            object_type: Some(object_type),
            kinds: guarded.bit(),
            ..ExportFilter::default()
        };
        let mut after = CsId(i64::MIN);
        loop {
            let page = reader.exports_page(connector.id, filter, after, PAGE)?;
            let Some(last) = page.last() else { return Ok(out) };
            after = last.cs;
            out.exports.extend(page.into_iter().filter(|row| row.kinds & ExportRow::KIND_UNWRITABLE == 0));
        }
    }

    /// Removals of link values: counted per object, since one emptied group does harm although many groups lose one.
    fn gather_links(
        &self,
        reader: &dyn StoreReader,
        connector: &ConnectorHandle,
        object_type: TypeId,
        out: &mut Gathered,
    ) -> Result<(), ServiceError> {
        let removals = reader
            .export_link_counts()?
            .iter()
            .filter(|c| c.connector == connector.id && !c.add)
            .map(|c| c.count)
            .sum::<u64>();
        if removals == 0 {
            return Ok(());
        }
        let limits = connector.limits.get(&object_type).copied().unwrap_or_default();
        let filter = ExportLinkFilter {
            state: Some(onesync_engine::ChangeState::Pending),
            add: Some(false),
            held: None,
        };
        let mut after: Option<ExportLinkKey> = None;
        let mut by_owner: BTreeMap<(CsId, AttrId), Vec<ExportLinkRow>> = BTreeMap::new();
        loop {
            let page = reader.export_links_page(connector.id, filter, after, PAGE)?;
            let Some(last) = page.last() else { break };
            after = Some((last.owner, last.attribute, last.target));
            for row in page {
                by_owner.entry((row.owner, row.attribute)).or_default().push(row);
            }
        }
        let owners: Vec<CsId> = by_owner.keys().map(|(owner, _)| *owner).collect();
        let rows: BTreeMap<CsId, _> =
            reader.cs_by_id(&owners)?.into_iter().map(|row| (row.id, row)).collect();
        for ((owner, attribute), links) in by_owner {
            let Some(row) = rows.get(&owner).filter(|row| row.object_type == object_type) else { continue };
            let members = row.link_count(attribute).max(links.len() as u64);
            if shrinks_too_much(&limits, links.len() as u64, members) || links.iter().any(|link| link.held) {
                out.links.extend(links);
            }
        }
        Ok(())
    }

    fn numbers(
        &self,
        reader: &dyn StoreReader,
        connector: &ConnectorHandle,
        object_type: TypeId,
        guarded: Guarded,
        pending: u64,
    ) -> Result<Numbers, ServiceError> {
        let counts = reader.cs_counts()?;
        let of_type =
            counts.iter().filter(|c| c.connector == connector.id && c.object_type == object_type && c.joined);
        let population = of_type.map(|c| c.count).sum();
        let hour = self.now().seconds().div_euclid(3_600);
        let rows = reader.exported_since(connector.id, hour - 7 * 24)?;
        let since = |from: i64| {
            rows.iter()
                .filter(|row| row.object_type == object_type && row.kind == guarded.code() && row.hour > from)
                .map(|row| row.count)
                .sum()
        };
        let (day, week) = (since(hour - 24), since(hour - 7 * 24));
        Ok(Numbers { population, pending, day, week })
    }

    /// What is held now.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn held_plans(&self, all: bool) -> Result<Vec<HeldPlanRow>, ServiceError> {
        let plans = self.store().reader()?.held_plans(if all { None } else { Some(HeldState::Held) })?;
        if all {
            return Ok(plans);
        }
        // A plan whose items have all changed or gone is history.
        let runtime = self.runtime()?;
        let mut out = Vec::new();
        for plan in plans {
            if !self.held_items(&runtime, &plan)?.is_empty() {
                out.push(plan);
            }
        }
        Ok(out)
    }

    /// The items of a plan that are still held.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn held_items(&self, runtime: &Runtime, plan: &HeldPlanRow) -> Result<Vec<HeldItem>, ServiceError> {
        let reader = self.store().reader()?;
        let wanted: BTreeSet<Hash128> = plan.items.iter().copied().collect();
        let mut items = Vec::new();
        let filter =
            ExportFilter { held: Some(true), object_type: Some(plan.object_type), ..ExportFilter::default() };
        let mut after = CsId(i64::MIN);
        loop {
            let page = reader.exports_page(plan.connector, filter, after, PAGE)?;
            let Some(last) = page.last() else { break };
            after = last.cs;
            let rows: Vec<ExportRow> =
                page.into_iter().filter(|row| wanted.contains(&export_hash(row))).collect();
            let ids: Vec<CsId> = rows.iter().map(|row| row.cs).collect();
            let names: BTreeMap<CsId, String> =
                reader.cs_by_id(&ids)?.into_iter().map(|row| (row.id, row.name)).collect();
            items.extend(rows.into_iter().map(|row| HeldItem {
                hash: export_hash(&row).to_string(),
                object: names.get(&row.cs).cloned().unwrap_or_default(),
                change: crate::look::describe_export(runtime, &row),
                left_scope: row.kinds & ExportRow::KIND_LEFT_SCOPE != 0,
            }));
        }
        let filter = ExportLinkFilter { held: Some(true), ..ExportLinkFilter::default() };
        let mut after = None;
        loop {
            let page = reader.export_links_page(plan.connector, filter, after, PAGE)?;
            let Some(last) = page.last() else { return Ok(items) };
            after = Some((last.owner, last.attribute, last.target));
            for row in page.into_iter().filter(|row| wanted.contains(&export_link_hash(row))) {
                let names: BTreeMap<CsId, String> = reader
                    .cs_by_id(&[row.owner, row.target])?
                    .into_iter()
                    .map(|row| (row.id, row.name))
                    .collect();
                let name = |id: &CsId| names.get(id).cloned().unwrap_or_default();
                items.push(HeldItem {
                    hash: export_link_hash(&row).to_string(),
                    object: name(&row.owner),
                    change: format!(
                        "{} `{}` in {}",
                        if row.add { "add" } else { "remove" },
                        name(&row.target),
                        runtime.names.name(row.attribute)
                    ),
                    left_scope: false,
                });
            }
        }
    }

    /// Releases or rejects a plan, or a single item of one, by its hash.
    ///
    /// # Errors
    /// When nothing with this hash is held.
    pub fn decide_held(&self, hash: &str, state: HeldState, who: &str) -> Result<u64, ServiceError> {
        let unknown = || {
            ServiceError::usage(
                format!("nothing with the hash `{hash}` is held"),
                "`onesync held list` shows the plans, `onesync held show HASH` their items",
            )
        };
        let wanted = Hash128::parse(hash).ok_or_else(unknown)?;
        let plans = self.store().reader()?.held_plans(None)?;
        let decide = |plan: HeldPlanRow| HeldPlanRow {
            state,
            who: Some(who.to_owned()),
            decided: Some(self.now()),
            ..plan
        };
        let (rows, items) = if let Some(plan) = plans.iter().find(|plan| plan.hash == wanted) {
            (vec![decide(plan.clone())], plan.items.clone())
        } else {
            let plan = plans
                .iter()
                .find(|plan| plan.state == HeldState::Held && plan.items.contains(&wanted))
                .ok_or_else(unknown)?;
            // The item gets a plan of its own; the rest stays as it was, under a new hash.
            let rest: Vec<Hash128> = plan.items.iter().copied().filter(|item| *item != wanted).collect();
            let rest_hash = rest.iter().fold(Hash128::default(), |sum, &item| sum.plus(item));
            let one = HeldPlanRow { hash: wanted, items: vec![wanted], ..plan.clone() };
            let old = HeldPlanRow { items: Vec::new(), ..decide(plan.clone()) };
            let mut rows = vec![decide(one), old];
            if !rest.is_empty() {
                rows.push(HeldPlanRow { hash: rest_hash, items: rest, ..plan.clone() });
            }
            (rows, vec![wanted])
        };
        let word = if state == HeldState::Released { "held-released" } else { "held-rejected" };
        let event = self.audit(word, hash, who);
        let freed =
            if state == HeldState::Released { self.freed(&rows, &items)? } else { Changes::default() };
        self.store().write(
            self.epoch(),
            &freed,
            &ServiceChanges { held: rows, events: vec![event], ..ServiceChanges::default() },
        )?;
        Ok(items.len() as u64)
    }

    /// The rows that a release frees.
    fn freed(&self, plans: &[HeldPlanRow], items: &[Hash128]) -> Result<Changes, ServiceError> {
        let wanted: BTreeSet<Hash128> = items.iter().copied().collect();
        let mut changes = Changes::default();
        let Some(plan) = plans.first() else { return Ok(changes) };
        let reader = self.store().reader()?;
        let filter =
            ExportFilter { held: Some(true), object_type: Some(plan.object_type), ..ExportFilter::default() };
        let mut after = CsId(i64::MIN);
        loop {
            let page = reader.exports_page(plan.connector, filter, after, PAGE)?;
            let Some(last) = page.last() else { break };
            after = last.cs;
            let freed = page.into_iter().filter(|row| wanted.contains(&export_hash(row)));
            changes.exports.extend(freed.map(|row| ExportRow { held: false, ..row }));
        }
        let filter = ExportLinkFilter { held: Some(true), ..ExportLinkFilter::default() };
        let mut after = None;
        loop {
            let page = reader.export_links_page(plan.connector, filter, after, PAGE)?;
            let Some(last) = page.last() else { return Ok(changes) };
            after = Some((last.owner, last.attribute, last.target));
            let freed = page.into_iter().filter(|row| wanted.contains(&export_link_hash(row)));
            changes.export_links.extend(freed.map(|row| ExportLinkRow { held: false, ..row }));
        }
    }
}

/// Whether taking so many members out of a group of so many must be looked at.
fn shrinks_too_much(limits: &Limits, removals: u64, members: u64) -> bool {
    removals > limits.day.allows(members)
}

fn merge_held(rows: Vec<ExportRow>) -> Vec<ExportRow> {
    let mut by_id: BTreeMap<CsId, ExportRow> = BTreeMap::new();
    for row in rows {
        by_id.entry(row.cs).and_modify(|known| known.held |= row.held).or_insert(row);
    }
    by_id.into_values().collect()
}
