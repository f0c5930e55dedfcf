//! The same error on more objects than allowed stops the export of its attribute.
//!
//! One object that fails is left alone in that attribute. Many that fail alike are no matter of single objects: a rule,
//! a source or a directory is wrong as a whole, and what the others would get is not to be trusted either. So the
//! attribute is not exported to anybody through that connector until fewer objects have the error; it ends by itself.
//! A person can release it for as long as it lasts. It is computed from kept counts whenever it is asked for; only what
//! people decided about it is a row.

use std::collections::{BTreeMap, BTreeSet};

use onesync_engine::{ChangeState, ConnectorPolicy, CsFlags, CsRow, ExportLinkRow, ExportRow, Stopped};
use onesync_model::{AttrId, ConnectorId, CsId, Hash128, TypeId, hash128};
use onesync_rules::Direction;
use onesync_store::{CsCount, ErrorCount, HeldPlanRow, HeldState, ServiceChanges, StoreReader};

use crate::error::ServiceError;
use crate::events;
use crate::look::state;
use crate::runtime::{ConnectorHandle, Runtime, Service};

/// One error that stops attributes of one object type at one connector.
#[derive(Clone, Debug)]
pub(crate) struct Stop {
    /// By which it is released; the same as long as the error stands on too many objects.
    pub(crate) hash: Hash128,
    pub(crate) object_type: TypeId,
    pub(crate) attributes: BTreeSet<AttrId>,
    /// Which error, the numbers, and where to look.
    pub(crate) reason: String,
    /// What a person said about it.
    pub(crate) decided: HeldState,
}

/// All stops of one connector.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stops(pub(crate) Vec<Stop>);

impl Stops {
    /// The attributes that are not exported.
    pub(crate) fn stopped(&self) -> Stopped {
        let standing = self.0.iter().filter(|stop| stop.decided != HeldState::Released);
        Stopped(standing.flat_map(|s| s.attributes.iter().map(|&a| (s.object_type, a))).collect())
    }

    /// Why an attribute is not exported.
    pub(crate) fn why(&self, object_type: TypeId, attribute: AttrId) -> Option<&str> {
        let standing = self.0.iter().filter(|stop| stop.decided != HeldState::Released);
        let of = |stop: &&Stop| stop.object_type == object_type && stop.attributes.contains(&attribute);
        standing.filter(of).map(|stop| stop.reason.as_str()).next()
    }

    /// How an export stands, in a word, and why some of it waits although the object is written.
    pub(crate) fn export_state(
        &self,
        policy: &ConnectorPolicy,
        row: &ExportRow,
        object: Option<&CsRow>,
    ) -> (&'static str, Option<String>) {
        let stopped = self.stopped();
        let mut waiting = row.changes.iter().filter(|change| {
            change.state == ChangeState::Pending
                && stopped.holds(row.object_type, row.kinds, change.attribute)
        });
        let why = waiting.find_map(|change| self.why(row.object_type, change.attribute));
        let open = row.state == ChangeState::Pending && !row.held;
        let is = |flag| object.is_some_and(|object| object.flags.has(flag));
        let word = if open && !stopped.sends(policy.object_type(row.object_type), row) {
            "stopped"
        } else if is(CsFlags::OUTSIDE) {
            "outside the pilot"
        } else if is(CsFlags::MASTERED_ELSEWHERE) {
            "mastered elsewhere"
        } else {
            state(row.state, row.held, row.kinds & ExportRow::KIND_UNWRITABLE != 0)
        };
        (word, why.map(str::to_owned))
    }

    /// The same for a link value of an object of a type.
    pub(crate) fn link_state(
        &self,
        policy: &ConnectorPolicy,
        of: TypeId,
        row: &ExportLinkRow,
    ) -> (&'static str, Option<String>) {
        let held = self.stopped().holds_link(policy, of, row);
        let why = self.why(of, row.attribute).filter(|_| held).map(str::to_owned);
        let open = row.state == ChangeState::Pending && !row.held;
        (if open && why.is_some() { "stopped" } else { state(row.state, row.held, false) }, why)
    }

    /// What is not exported, and why, for people.
    pub(crate) fn words(&self, runtime: &Runtime, connector: &ConnectorHandle) -> Vec<String> {
        let standing = self.0.iter().filter(|stop| stop.decided != HeldState::Released);
        let words = standing.map(|stop| {
            format!("`{}`, {}: {}", connector.name(), runtime.names.type_name(stop.object_type), stop.reason)
        });
        words.collect()
    }

    pub(crate) fn by_hash(&self, hash: Hash128) -> Option<&Stop> {
        self.0.iter().find(|stop| stop.hash == hash)
    }
}

/// How many changes of an object wait for the end of a stop.
pub(crate) fn waiting(stopped: &Stopped, row: &ExportRow) -> usize {
    let pending = row.changes.iter().filter(|change| change.state == ChangeState::Pending);
    pending.filter(|change| stopped.holds(row.object_type, row.kinds, change.attribute)).count()
}

impl Service {
    /// What is stopped at a connector now.
    pub(crate) fn stops(
        &self,
        reader: &dyn StoreReader,
        runtime: &Runtime,
        target: &ConnectorHandle,
    ) -> Result<Stops, ServiceError> {
        let mut sums: BTreeMap<(ConnectorId, TypeId, String, String, i64), u64> = BTreeMap::new();
        for ErrorCount { connector, object_type, place, code, cause, count, .. } in reader.error_counts()? {
            *sums.entry((connector, object_type, place, code, cause)).or_default() += count;
        }
        let mut stops = Stops::default();
        let mut counts: Option<Vec<CsCount>> = None;
        for ((connector, object_type, place, code, cause), count) in sums {
            let Some(handle) = runtime.connector_by_id(connector) else { continue };
            let Some((side, name)) = place.split_once(':') else { continue };
            let limit = handle.limits.get(&object_type).copied().unwrap_or_default().errors;
            if count <= limit.at_least {
                continue; // whatever the population
            }
            let Some(attribute) = runtime.names.find(name) else { continue };
            let reached = match side {
                "flow" => reached(runtime, connector, object_type, attribute, target),
                "outbound" | "export" if connector == target.id => {
                    BTreeMap::from([(object_type, BTreeSet::from([attribute]))])
                }
                _ => continue,
            };
            let counts = match &mut counts {
                Some(counts) => counts,
                none => none.insert(reader.cs_counts()?),
            };
            let joined = counts.iter().filter(|c| {
                (c.connector, c.object_type) == (connector, object_type)
                    && c.joined
                    && !CsFlags(c.flags).has(CsFlags::GONE)
            });
            let population: u64 = joined.map(|c| c.count).sum();
            let allowed = limit.allows(population);
            if count <= allowed {
                continue;
            }
            for (target_type, attributes) in reached {
                let parts: [&[u8]; 7] = [
                    b"stop",
                    &target.id.0.to_le_bytes(),
                    &target_type.0.to_le_bytes(),
                    &connector.0.to_le_bytes(),
                    place.as_bytes(),
                    code.as_bytes(),
                    &cause.to_le_bytes(),
                ];
                let names: Vec<&str> = attributes.iter().map(|&id| runtime.names.name(id)).collect();
                let reason = format!(
                    "`{}` is not exported: {count} of {population} {} objects of `{from}` have the same error ({code} of `{name}`), {allowed} allowed: `onesync errors {from}`",
                    names.join("`, `"),
                    runtime.names.type_name(object_type),
                    from = handle.name(),
                );
                let (hash, decided) = (hash128(&parts), HeldState::Held);
                stops.0.push(Stop { hash, object_type: target_type, attributes, reason, decided });
            }
        }
        for stop in &mut stops.0 {
            if let Some(plan) = reader.held_plan(stop.hash)?.filter(|plan| !plan.items.is_empty()) {
                stop.decided = plan.state;
            }
        }
        Ok(stops)
    }

    /// The same, with rows for what people decide about them: new ones are held, numbers are brought up to date.
    pub(crate) fn note_stops(
        &self,
        runtime: &Runtime,
        target: &ConnectorHandle,
    ) -> Result<Stops, ServiceError> {
        let reader = self.store().reader()?;
        let stops = self.stops(&*reader, runtime, target)?;
        let mut service = ServiceChanges::default();
        for stop in &stops.0 {
            let known = reader.held_plan(stop.hash)?.filter(|plan| !plan.items.is_empty());
            if known.as_ref().is_some_and(|plan| plan.reason == stop.reason) {
                continue;
            }
            if known.is_none() {
                let text = format!("{}: {}", target.name(), stop.reason);
                service.events.push(self.audit(&events::ATTRIBUTE_STOPPED, &stop.hash.to_string(), &text));
            }
            let new = HeldPlanRow {
                hash: stop.hash,
                connector: target.id,
                object_type: stop.object_type,
                reason: String::new(),
                items: vec![stop.hash],
                state: HeldState::Held,
                created: self.now(),
                who: None,
                decided: None,
            };
            service.held.push(HeldPlanRow { reason: stop.reason.clone(), ..known.unwrap_or(new) });
        }
        drop(reader);
        if service != ServiceChanges::default() {
            self.record(&service)?;
        }
        Ok(stops)
    }
}

/// What flows from a metaverse attribute to a connector, where objects of a source give that attribute.
fn reached(
    runtime: &Runtime,
    source: ConnectorId,
    object_type: TypeId,
    attribute: AttrId,
    target: &ConnectorHandle,
) -> BTreeMap<TypeId, BTreeSet<AttrId>> {
    let rules = runtime.rules.rules();
    let inbound = rules.iter().filter(|rule| {
        rule.direction == Direction::Inbound
            && (rule.connector, rule.object) == (source, object_type)
            && rule.flows.iter().any(|flow| flow.target == attribute)
    });
    let types: BTreeSet<Option<TypeId>> = inbound.map(|rule| rule.metaverse).collect();
    let fits = |wanted: Option<TypeId>| wanted.is_none() || types.contains(&None) || types.contains(&wanted);
    let mut out: BTreeMap<TypeId, BTreeSet<AttrId>> = BTreeMap::new();
    for rule in rules.iter().filter(|rule| {
        rule.direction == Direction::Outbound && rule.connector == target.id && fits(rule.metaverse)
    }) {
        let flows = rule.flows.iter().filter(|flow| flow.attributes().any(|input| input == attribute));
        out.entry(rule.object).or_default().extend(flows.map(|flow| flow.target));
    }
    out.retain(|of, attributes| !attributes.is_empty() && target.write_order.contains(of));
    out
}

/// Takes link values out that wait for the end of a stop; gives how many.
pub(crate) fn keep_sendable(
    reader: &dyn StoreReader,
    policy: &ConnectorPolicy,
    stopped: &Stopped,
    due: &mut Vec<ExportLinkRow>,
) -> Result<u64, ServiceError> {
    if !due.iter().any(|link| stopped.0.iter().any(|(_, attribute)| *attribute == link.attribute)) {
        return Ok(0);
    }
    let owners: BTreeSet<CsId> = due.iter().map(|link| link.owner).collect();
    let owners: Vec<CsId> = owners.into_iter().collect();
    let types: BTreeMap<CsId, TypeId> =
        reader.cs_by_id(&owners)?.into_iter().map(|row| (row.id, row.object_type)).collect();
    let before = due.len();
    due.retain(|link| !types.get(&link.owner).is_some_and(|&of| stopped.holds_link(policy, of, link)));
    Ok((before - due.len()) as u64)
}
