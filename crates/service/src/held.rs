//! What is held: a person looks at plans and their items, and releases or rejects them by their hashes. A release is
//! valid for exactly those items: new or changed ones are judged again.

use std::collections::BTreeSet;

use onesync_engine::{ChangeState, Changes, ExportLinkRow, ExportRow, Stopped};
use onesync_model::{CsId, Hash128, Operation};
use onesync_store::{
    ExportFilter, ExportLinkFilter, HeldPlanRow, HeldState, ServiceChanges, StoreReader, export_hash,
    export_link_hash,
};
use serde::Serialize;

use crate::error::ServiceError;
use crate::events;
use crate::find::objects;
use crate::look::label;
use crate::runtime::{ConnectorHandle, Runtime, Service};
use crate::stops::{Stop, waiting};

/// Rows read at once.
const PAGE: usize = 1_000;

/// Changes that wait for the end of a stop and are shown one by one; a stop may keep all objects of a type waiting.
const SHOWN_MAX: usize = 100;

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
    /// Whether it deletes the object, or disables the account of somebody who was deleted at the source.
    pub deletes: bool,
}

impl Service {
    /// What is held now.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn held_plans(&self, all: bool) -> Result<Vec<HeldPlanRow>, ServiceError> {
        let plans = self.store().reader()?.held_plans(if all { None } else { Some(HeldState::Held) })?;
        if all {
            return Ok(plans);
        }
        // A plan whose items have all changed or gone is history; a stop stands although nothing waits for it yet.
        let runtime = self.runtime()?;
        let reader = self.store().reader()?;
        let mut stops = BTreeSet::new();
        for target in runtime.connectors.iter().filter(|c| c.capabilities.export) {
            stops.extend(self.stops(&*reader, &runtime, target)?.0.iter().map(|stop| stop.hash));
        }
        let mut out = Vec::new();
        for plan in plans {
            if stops.contains(&plan.hash) || !self.held_items(&runtime, &plan)?.is_empty() {
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
        if let Some(connector) = runtime.connector_by_id(plan.connector)
            && let Some(stop) = self.stops(&*reader, runtime, connector)?.by_hash(plan.hash)
        {
            return stopped_items(&*reader, runtime, connector, stop, SHOWN_MAX);
        }
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
            let known = objects(&*reader, rows.iter().map(|row| row.cs))?;
            items.extend(rows.into_iter().map(|row| HeldItem {
                hash: export_hash(&row).to_string(),
                object: known.get(&row.cs).map_or_else(String::new, |cs| label(runtime, cs, Some(&row))),
                change: crate::look::describe_export(runtime, &row),
                deletes: deletes(&row),
                left_scope: row.kinds & ExportRow::KIND_LEFT_SCOPE != 0,
            }));
        }
        let filter = ExportLinkFilter { held: Some(true), ..ExportLinkFilter::default() };
        let mut after = None;
        loop {
            let page = reader.export_links_page(plan.connector, filter, after, PAGE)?;
            let Some(last) = page.last() else { return Ok(items) };
            after = Some((last.owner, last.attribute, last.target));
            let rows: Vec<ExportLinkRow> =
                page.into_iter().filter(|row| wanted.contains(&export_link_hash(row))).collect();
            let known = objects(&*reader, rows.iter().flat_map(|row| [row.owner, row.target]))?;
            let name = |id: &CsId| known.get(id).map(|cs| label(runtime, cs, None)).unwrap_or_default();
            for row in rows {
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
                    deletes: false,
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
        // A cycle under way plans anew: what is decided beside it could bring back a change that it has withdrawn.
        let _lock = self.begin_work("held")?;
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
        let released = state == HeldState::Released;
        let event = if released { &events::HELD_RELEASED } else { &events::HELD_REJECTED };
        let event = self.audit(event, hash, &format!("by {who}"));
        let freed = if released { self.freed(&rows, &items)? } else { Changes::default() };
        self.write(&freed, &ServiceChanges { held: rows, events: vec![event], ..ServiceChanges::default() })?;
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

/// Whether a change takes an object away, now or by disabling it first.
fn deletes(row: &ExportRow) -> bool {
    let leaves = ExportRow::KIND_LEAVER | ExportRow::KIND_DISABLE;
    row.operation == Operation::Delete
        || (row.kinds & leaves == leaves && row.kinds & ExportRow::KIND_LEFT_SCOPE == 0)
}

/// The changes that wait for the end of a stop: the first of them one by one, of the rest how many there are.
fn stopped_items(
    reader: &dyn StoreReader,
    runtime: &Runtime,
    connector: &ConnectorHandle,
    stop: &Stop,
    shown_max: usize,
) -> Result<Vec<HeldItem>, ServiceError> {
    let of: Stopped = Stopped(stop.attributes.iter().map(|&a| (stop.object_type, a)).collect());
    let policy = runtime.policies.of(connector.id);
    let item = |object: &str, change: String| HeldItem {
        hash: stop.hash.to_string(),
        object: object.to_owned(),
        change,
        left_scope: false,
        deletes: false,
    };
    let (mut items, mut more) = (Vec::new(), 0);
    let filter = ExportFilter {
        state: Some(ChangeState::Pending),
        object_type: Some(stop.object_type),
        ..ExportFilter::default()
    };
    let mut after = CsId(i64::MIN);
    loop {
        let page = reader.exports_page(connector.id, filter, after, PAGE)?;
        let Some(last) = page.last() else { break };
        after = last.cs;
        let mut rows: Vec<ExportRow> = page.into_iter().filter(|row| waiting(&of, row) > 0).collect();
        more += rows.len().saturating_sub(shown_max - items.len());
        rows.truncate(shown_max - items.len());
        let known = objects(reader, rows.iter().map(|row| row.cs))?;
        for mut row in rows {
            row.changes.retain(|change| stop.attributes.contains(&change.attribute));
            let name = known.get(&row.cs).map(|cs| label(runtime, cs, None)).unwrap_or_default();
            items.push(item(&name, crate::look::describe_export(runtime, &row)));
        }
    }
    let filter = ExportLinkFilter { state: Some(ChangeState::Pending), ..ExportLinkFilter::default() };
    let mut after = None;
    loop {
        let mut page = reader.export_links_page(connector.id, filter, after, PAGE)?;
        let Some(last) = page.last() else { break };
        after = Some((last.owner, last.attribute, last.target));
        page.retain(|row| of.holds_link(policy, stop.object_type, row));
        let known = objects(reader, page.iter().map(|row| row.owner))?;
        for row in &page {
            let owner = known.get(&row.owner).filter(|owner| owner.object_type == stop.object_type);
            match owner {
                Some(owner) if items.len() < shown_max => {
                    let verb = if row.add { "add a value of" } else { "remove a value of" };
                    let name = label(runtime, owner, None);
                    items.push(item(&name, format!("{verb} {}", runtime.names.name(row.attribute))));
                }
                Some(_) => more += 1,
                None => {}
            }
        }
    }
    if more > 0 {
        items.push(item("", format!("and {more} more: `onesync pending {}`", connector.name())));
    }
    Ok(items)
}
