//! Protections before an export: what is above a limit is held, in plans named by the hashes of their items.
//!
//! What was exported counts in windows of a day and a week. What left the scope and what was deleted at the source are
//! counted together and held in plans of their own. A release is spent when its item is gone or another one.

use std::collections::{BTreeMap, BTreeSet};

use onesync_engine::{
    ChangeState, Changes, CsFlags, ExportLinkRow, ExportRow, Guarded, Limits, Numbers, judge,
};
use onesync_model::{AttrId, CsId, Hash128, TypeId};
use onesync_store::{
    ExportFilter, ExportLinkFilter, ExportLinkKey, HeldPlanRow, HeldState, ServiceChanges, StoreReader,
    export_hash, export_link_hash,
};
use serde::Serialize;

use crate::error::ServiceError;
use crate::events;
use crate::export::HeldGroup;
use crate::find::objects;
use crate::runtime::{ConnectorHandle, Runtime, Service};
use crate::stops::Stops;

/// Rows read at once.
const PAGE: usize = 1_000;
const SECONDS_PER_HOUR: i64 = 3_600;

/// What was used of a limit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct WindowUse {
    /// The object type.
    pub object_type: String,
    /// What is limited: deletions, disablings, emptied attributes, members removed.
    pub what: &'static str,
    /// Pending now: what the next run would do.
    pub pending: u64,
    /// Exported in the last 24 hours.
    pub day: u64,
    /// Allowed in a run and in 24 hours.
    pub day_allowed: u64,
    /// Exported in the last 7 days.
    pub week: u64,
    /// Allowed in 7 days.
    pub week_allowed: u64,
}

/// Pending changes of one kind.
#[derive(Default)]
struct Gathered {
    exports: Vec<ExportRow>,
    links: Vec<ExportLinkRow>,
}

/// What people decided about plans of a connector.
struct Decided {
    plans: Vec<HeldPlanRow>,
    held: BTreeSet<Hash128>,
    released: BTreeSet<Hash128>,
    rejected: BTreeSet<Hash128>,
}

impl Decided {
    fn new(plans: Vec<HeldPlanRow>) -> Self {
        let of = |state: HeldState| {
            let wanted = plans.iter().filter(|plan| plan.state == state);
            wanted.flat_map(|plan| plan.items.iter().copied()).collect()
        };
        let (held, released, rejected) =
            (of(HeldState::Held), of(HeldState::Released), of(HeldState::Rejected));
        Self { plans, held, released, rejected }
    }

    fn holds(&self, hash: &Hash128, above: bool) -> bool {
        self.rejected.contains(hash) || (!self.released.contains(hash) && (above || self.held.contains(hash)))
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
        let plans = reader.held_plans(None)?.into_iter().filter(|plan| plan.connector == connector.id);
        let decided = Decided::new(plans.collect());
        let (mut changes, mut service, mut groups) =
            (Changes::default(), ServiceChanges::default(), Vec::new());
        // A change may be guarded for several reasons: it is held when one of them holds it.
        let mut verdicts: BTreeMap<CsId, (ExportRow, bool)> = BTreeMap::new();
        // It is listed in one plan only.
        let mut listed: BTreeSet<Hash128> = BTreeSet::new();
        for &object_type in connector.limits.keys() {
            for guarded in Guarded::ALL {
                let (all, reason) = self.judged(&*reader, connector, object_type, guarded, &decided)?;
                // What the person did at the source and what left the scope are looked at apart.
                let mut items: BTreeMap<&'static str, Vec<Hash128>> = BTreeMap::new();
                let mut take = |hash: Hash128, cause: &'static str| {
                    let held = decided.holds(&hash, reason.is_some());
                    if held && !decided.rejected.contains(&hash) && listed.insert(hash) {
                        items.entry(cause).or_default().push(hash);
                    }
                    held
                };
                for row in all.exports {
                    let held = take(export_hash(&row), cause(guarded, &row));
                    verdicts.entry(row.cs).or_insert((row, false)).1 |= held;
                }
                for mut row in all.links {
                    let held = take(export_link_hash(&row), "");
                    if row.held != held {
                        row.held = held;
                        changes.export_links.push(row);
                    }
                }
                for (cause, items) in items {
                    let hash = items.iter().fold(Hash128::default(), |sum, &item| sum.plus(item));
                    let why = reason.clone().unwrap_or_else(|| format!("{} held before", guarded.as_str()));
                    let reason = format!("{why}{cause}");
                    groups.push(HeldGroup {
                        connector: connector.name().to_owned(),
                        object_type: runtime.names.type_name(object_type).to_owned(),
                        reason: reason.clone(),
                        deletes: items.len() as u64,
                        hash: hash.to_string(),
                    });
                    let known: BTreeSet<Hash128> = items.iter().copied().collect();
                    let standing = decided.plans.iter().filter(|plan| {
                        plan.state == HeldState::Held
                            && plan.object_type == object_type
                            && !plan.items.is_empty()
                            && plan.items.iter().all(|item| known.contains(item))
                    });
                    let (same, parts): (Vec<_>, Vec<_>) = standing.partition(|plan| plan.hash == hash);
                    // A plan whose items are all in this one is not shown beside it.
                    let parts =
                        parts.into_iter().map(|plan| HeldPlanRow { items: Vec::new(), ..plan.clone() });
                    service.held.extend(parts);
                    if !same.is_empty() {
                        continue;
                    }
                    let text = format!("{}: {reason}", connector.name());
                    service.events.push(self.audit(&events::HELD, &hash.to_string(), &text));
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
                }
            }
        }
        drop(reader);
        let moved = verdicts.into_values().filter(|(row, held)| row.held != *held);
        changes.exports = moved.map(|(row, held)| ExportRow { held, ..row }).collect();
        if changes != Changes::default() || service != ServiceChanges::default() {
            self.write(&changes, &service)?;
        }
        Ok(groups)
    }

    /// Pending changes of one kind, and why they are held where they are above a limit.
    fn judged(
        &self,
        reader: &dyn StoreReader,
        connector: &ConnectorHandle,
        object_type: TypeId,
        guarded: Guarded,
        decided: &Decided,
    ) -> Result<(Gathered, Option<String>), ServiceError> {
        let limits = connector.limits.get(&object_type).copied().unwrap_or_default();
        let waiting = |hashes: &mut dyn Iterator<Item = Hash128>| {
            hashes.filter(|hash| !decided.released.contains(hash)).count() as u64
        };
        if guarded != Guarded::Shrink {
            let exports = gather(reader, connector, object_type, guarded)?;
            let pending = waiting(&mut exports.iter().map(export_hash));
            let numbers = self.numbers(reader, connector, object_type, guarded, pending)?;
            let hold = judge(&limits, object_type, guarded, numbers);
            return Ok((Gathered { exports, links: Vec::new() }, hold.map(|hold| hold.reason)));
        }
        let (shrinking, all) = gather_links(reader, connector, object_type, &limits)?;
        if all.is_empty() {
            return Ok((Gathered::default(), None));
        }
        let pending = waiting(&mut all.iter().map(export_link_hash));
        let numbers = self.numbers(reader, connector, object_type, guarded, pending)?;
        if let Some(hold) = judge(&limits, object_type, guarded, numbers) {
            return Ok((Gathered { exports: Vec::new(), links: all }, Some(hold.reason)));
        }
        // One emptied group does harm although many groups lose one member each: groups are judged one by one, too.
        let pending = waiting(&mut shrinking.iter().map(export_link_hash));
        let groups: BTreeSet<CsId> = shrinking.iter().map(|link| link.owner).collect();
        let reason = (pending > 0).then(|| {
            format!(
                "{pending} members removed from {} groups, each of them shrinking by more than its limit",
                groups.len()
            )
        });
        // What is held stays held; the rest is only looked at, to be freed where it was held for all groups together.
        if reason.is_none() {
            return Ok((Gathered { exports: Vec::new(), links: all }, None));
        }
        Ok((Gathered { exports: Vec::new(), links: shrinking }, reason))
    }

    fn numbers(
        &self,
        reader: &dyn StoreReader,
        connector: &ConnectorHandle,
        object_type: TypeId,
        guarded: Guarded,
        pending: u64,
    ) -> Result<Numbers, ServiceError> {
        let hour = self.now().seconds().div_euclid(SECONDS_PER_HOUR);
        let rows = reader.exported_since(connector.id, hour - 7 * 24)?;
        let since = |from: i64| {
            rows.iter()
                .filter(|row| {
                    row.object_type == object_type && row.kind == guarded.code() && row.hour >= from
                })
                .map(|row| row.count)
                .sum()
        };
        let (day, week) = (since(hour - 24), since(hour - 7 * 24));
        let population = if guarded == Guarded::Shrink {
            // Counting members reads every group: not done for what is allowed in any case.
            let limits = connector.limits.get(&object_type).copied().unwrap_or_default();
            let allowed = limits.day.at_least.min(limits.week.at_least);
            if pending + week > allowed { members(reader, connector, object_type)? } else { 0 }
        } else {
            let ours = |c: &&onesync_store::CsCount| {
                c.connector == connector.id
                    && c.object_type == object_type
                    && c.joined
                    && !CsFlags(c.flags).has(CsFlags::OUTSIDE)
            };
            reader.cs_counts()?.iter().filter(ours).map(|c| c.count).sum()
        };
        Ok(Numbers { population, pending, day, week })
    }

    /// Takes out of plans what is gone, exported, or another change by now. A release is for that plan only and does
    /// not speak for the same change at another time; nor is that held because it once was. After each
    /// synchronisation; costs nothing without plans.
    pub(crate) fn retire_plans(
        &self,
        connector: &ConnectorHandle,
        stops: &Stops,
    ) -> Result<(), ServiceError> {
        let reader = self.store().reader()?;
        let plans: Vec<HeldPlanRow> = reader
            .held_plans(None)?
            .into_iter()
            .filter(|plan| plan.connector == connector.id && !plan.items.is_empty())
            .collect();
        let wanted: BTreeSet<Hash128> = plans.iter().flat_map(|plan| plan.items.iter().copied()).collect();
        if wanted.is_empty() {
            return Ok(());
        }
        let mut alive: BTreeSet<Hash128> = stops.0.iter().map(|stop| stop.hash).collect();
        let mut after = CsId(i64::MIN);
        loop {
            let page = reader.exports_page(connector.id, ExportFilter::default(), after, PAGE)?;
            let Some(last) = page.last() else { break };
            after = last.cs;
            let waiting = page.iter().filter(|row| row.state <= ChangeState::Sending);
            alive.extend(waiting.map(export_hash).filter(|hash| wanted.contains(hash)));
        }
        let mut after: Option<ExportLinkKey> = None;
        loop {
            let page = reader.export_links_page(connector.id, ExportLinkFilter::default(), after, PAGE)?;
            let Some(last) = page.last() else { break };
            after = Some((last.owner, last.attribute, last.target));
            let waiting = page.iter().filter(|row| row.state <= ChangeState::Sending);
            alive.extend(waiting.map(export_link_hash).filter(|hash| wanted.contains(hash)));
        }
        drop(reader);
        let held: Vec<HeldPlanRow> = plans
            .into_iter()
            .filter(|plan| plan.items.iter().any(|item| !alive.contains(item)))
            .map(|plan| HeldPlanRow {
                items: plan.items.iter().copied().filter(|item| alive.contains(item)).collect(),
                ..plan
            })
            .collect();
        if held.is_empty() {
            return Ok(());
        }
        self.record(&ServiceChanges { held, ..ServiceChanges::default() })
    }

    /// What was used of each limit of a connector.
    pub(crate) fn windows(
        &self,
        reader: &dyn StoreReader,
        runtime: &Runtime,
        connector: &ConnectorHandle,
    ) -> Result<Vec<WindowUse>, ServiceError> {
        let (exports, links) = (reader.export_counts()?, reader.export_link_counts()?);
        let mut out = Vec::new();
        for (&object_type, limits) in &connector.limits {
            if !connector.write_order.contains(&object_type) {
                continue;
            }
            for guarded in Guarded::ALL {
                let pending = if guarded == Guarded::Shrink {
                    let removals = links.iter().filter(|c| {
                        c.connector == connector.id
                            && !c.add
                            && c.state == ChangeState::Pending
                            && connector.schema.allows(object_type, c.attribute)
                    });
                    removals.map(|c| c.count).sum()
                } else {
                    let kind = exports.iter().filter(|c| {
                        c.connector == connector.id
                            && c.object_type == object_type
                            && c.state == ChangeState::Pending
                            && c.kinds & guarded.bit() != 0
                            && c.kinds & ExportRow::KINDS_NOT_SENT == 0
                    });
                    kind.map(|c| c.count).sum()
                };
                let numbers = self.numbers(reader, connector, object_type, guarded, pending)?;
                out.push(WindowUse {
                    object_type: runtime.names.type_name(object_type).to_owned(),
                    what: guarded.as_str(),
                    pending,
                    day: numbers.day,
                    day_allowed: limits.day.allows(numbers.population),
                    week: numbers.week,
                    week_allowed: limits.week.allows(numbers.population),
                });
            }
        }
        Ok(out)
    }
}

fn cause(guarded: Guarded, row: &ExportRow) -> &'static str {
    match guarded {
        Guarded::Empty | Guarded::Shrink => "",
        _ if row.kinds & ExportRow::KIND_LEFT_SCOPE != 0 => "; left the scope",
        _ if row.kinds & ExportRow::KIND_LEAVER != 0 => "; deleted at the source",
        _ => "; changed at the source",
    }
}

fn gather(
    reader: &dyn StoreReader,
    connector: &ConnectorHandle,
    object_type: TypeId,
    guarded: Guarded,
) -> Result<Vec<ExportRow>, ServiceError> {
    let mut out = Vec::new();
    let counted = reader
        .export_counts()?
        .iter()
        .any(|c| c.connector == connector.id && c.object_type == object_type && c.kinds & guarded.bit() != 0);
    if !counted {
        return Ok(out);
    }
    let filter = ExportFilter {
        state: Some(ChangeState::Pending),
        object_type: Some(object_type),
        kinds: guarded.bit(),
        ..ExportFilter::default()
    };
    let mut after = CsId(i64::MIN);
    loop {
        let page = reader.exports_page(connector.id, filter, after, PAGE)?;
        let Some(last) = page.last() else { return Ok(out) };
        after = last.cs;
        out.extend(page.into_iter().filter(|row| row.kinds & ExportRow::KINDS_NOT_SENT == 0));
    }
}

/// Removals of link values: those of groups that shrink by more than their own limit or were held, and all.
fn gather_links(
    reader: &dyn StoreReader,
    connector: &ConnectorHandle,
    object_type: TypeId,
    limits: &Limits,
) -> Result<(Vec<ExportLinkRow>, Vec<ExportLinkRow>), ServiceError> {
    let (mut shrinking, mut all) = (Vec::new(), Vec::new());
    let counts = reader.export_link_counts()?;
    if !counts.iter().any(|c| c.connector == connector.id && !c.add && c.count > 0) {
        return Ok((shrinking, all));
    }
    let filter = ExportLinkFilter { state: Some(ChangeState::Pending), add: Some(false), held: None };
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
    let rows = objects(reader, by_owner.keys().map(|(owner, _)| *owner))?;
    for ((owner, attribute), links) in by_owner {
        let Some(row) = rows.get(&owner).filter(|row| row.object_type == object_type) else { continue };
        let members = row.link_count(attribute).max(links.len() as u64);
        if links.len() as u64 > limits.day.allows(members) || links.iter().any(|link| link.held) {
            shrinking.extend(links.iter().cloned());
        }
        all.extend(links);
    }
    Ok((shrinking, all))
}

/// How many link values the objects of a type have that are ours.
fn members(
    reader: &dyn StoreReader,
    connector: &ConnectorHandle,
    object_type: TypeId,
) -> Result<u64, ServiceError> {
    let (mut sum, mut after) = (0, CsId(i64::MIN));
    loop {
        let page = reader.cs_page(connector.id, after, PAGE)?;
        let Some(last) = page.last() else { return Ok(sum) };
        after = last.id;
        let ours = page.iter().filter(|row| row.object_type == object_type && row.join.is_some());
        sum += ours.flat_map(|row| &row.links).map(|links| links.count).sum::<u64>();
    }
}
