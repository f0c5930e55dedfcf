//! The outbound pass: what a metaverse object means for every target.
//!
//! For each connector with outbound rules: join or provision its object there, or deprovision it; compute the target
//! attributes; compare them with what the directory is known, or about, to hold; keep the difference as a pending
//! export. Recomputing is idempotent: the pending export is a function of the metaverse object, the confirmed image,
//! and what was sent and not yet seen.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use onesync_model::{
    AttrId, Bag, ConnectorId, CsId, Image, MvId, Operation, RuleId, Time, TypeId, Value, Values, ValuesRef,
    join_key,
};
use onesync_rules::{Direction, FlowSource, JoinGroup, LinkType, Rule};

use crate::batch::{Batch, Context, MvSource};
use crate::facts::holds_link;
use crate::identity::common;
use crate::policy::{ConnectorPolicy, Deprovision, TypePolicy};
use crate::reader::{ReadError, Reader};
use crate::resolve::{Resolved, collect, groups, resolve, seed};
use crate::state::{
    AttributeChange, ChangeState, CsFlags, CsRow, ExportRow, HistoryRow, Join, MvRow, MvState, Work,
};
use crate::{Changes, parallel};

/// Recomputes what is owed to all targets for metaverse objects that are on the agenda.
///
/// # Errors
/// When the reader fails.
pub fn outbound(ctx: &Context<'_>, reader: &dyn Reader, ids: &[MvId]) -> Result<Changes, ReadError> {
    let mut pass = Outbound { ctx, batch: Batch::new(reader, ctx.run)?, by_key: HashMap::new() };
    pass.load(ids)?;
    let mut ordered: Vec<MvId> = ids.to_vec();
    ordered.sort_by_key(|&id| (pass.batch.mv(id).map(|mv| (mv.object_type, mv.guid)), id));
    // What flows is computed ahead, in parallel, for the object as it is; who it flows to is decided in order.
    for id in ordered {
        pass.object(id)?;
        pass.batch.done(Work::Outbound(id));
    }
    pass.flow_all()?;
    pass.batch.wake_waiting(ctx)?;
    Ok(pass.batch.finish(ctx))
}

struct Outbound<'a, 'r> {
    ctx: &'a Context<'a>,
    batch: Batch<'r>,
    by_key: HashMap<i64, Vec<CsId>>,
}

impl<'a> Outbound<'a, '_> {
    fn load(&mut self, ids: &[MvId]) -> Result<(), ReadError> {
        self.batch.load_mv(ids.iter().copied())?;
        let mut keys = Vec::new();
        let mut targets = Vec::new();
        for &id in ids {
            let joined = self.batch.joined(id);
            let Some(mv) = self.batch.mv(id) else { continue };
            for (connector, rules) in self.ctx.rules.outbound(mv.object_type) {
                let existing = joined
                    .iter()
                    .copied()
                    .find(|&cs| self.batch.cs(cs).is_some_and(|row| row.connector == connector));
                targets.extend(existing);
                if existing.is_some() {
                    continue;
                }
                for condition in
                    rules.flat_map(|rule| &rule.join).filter_map(|group| group.conditions.first())
                {
                    for value in
                        mv.values.as_ref().get(condition.metaverse).into_iter().flat_map(ValuesRef::iter)
                    {
                        keys.push(join_key(condition.connector, value));
                    }
                }
            }
        }
        keys.sort_unstable();
        keys.dedup();
        let mut found = Vec::new();
        for (key, id) in self.batch.reader.cs_by_join(&keys)? {
            self.by_key.entry(key).or_default().push(id);
            found.push(id);
        }
        self.batch.load_cs(found)?;
        self.batch.load_exports(targets)
    }

    fn object(&mut self, id: MvId) -> Result<(), ReadError> {
        let Some(mv) = self.batch.mv(id).cloned() else { return Ok(()) };
        let connectors: Vec<ConnectorId> =
            self.ctx.rules.outbound(mv.object_type).map(|(connector, _)| connector).collect();
        for connector in connectors {
            self.target(&mv, connector)?;
        }
        if let MvState::Leaving { .. } = mv.state
            && !crate::settle::has_target(&self.batch, self.ctx, id)
        {
            self.depart(&mv);
        }
        Ok(())
    }

    /// The last target is settled: the metaverse object goes, and with it what only waited for that.
    fn depart(&mut self, mv: &MvRow) {
        for cs in self.batch.joined(mv.id) {
            let Some(row) = self.batch.cs(cs).cloned() else { continue };
            let (connector, gone) = (row.connector, row.flags.has(CsFlags::GONE));
            self.batch.wake(Work::Target(cs));
            if gone {
                self.batch.delete_cs(cs);
            } else {
                self.batch.put_cs(CsRow { join: None, ..row });
                self.batch.wake_identity(connector, cs);
            }
        }
        self.event(mv.id, "deleted");
        self.batch.join_values_lost(self.ctx, mv);
        self.batch.wake(Work::MvTarget(mv.id));
        self.batch.delete_mv(mv.id);
    }

    fn target(&mut self, mv: &MvRow, connector: ConnectorId) -> Result<(), ReadError> {
        let policy = self.ctx.policies.of(connector);
        let scoped = in_scope(self.ctx, self.batch.reader, mv, connector)?;
        let existing: Vec<CsRow> = self
            .batch
            .joined(mv.id)
            .into_iter()
            .filter_map(|id| self.batch.cs(id))
            .filter(|row| row.connector == connector)
            .cloned()
            .collect();
        let is_source = |row: &CsRow| {
            let inbound = row
                .join
                .and_then(|join| self.ctx.rules.rule(join.rule))
                .is_some_and(|r| r.direction == Direction::Inbound);
            inbound && !row.join.is_some_and(|join| join.owned)
        };
        if let Some((rule, message)) = &scoped.failed {
            if let Some(row) = existing.first() {
                let message = format!("scope of rule `{}`: {message}; the object stays as it is", rule.name);
                self.batch.error(self.ctx, (row.id, connector), "scope", "scope-failed", message, false);
            }
            return Ok(());
        }
        let linking = scoped.rules.iter().find(|rule| holds_link(rule));
        let mut kept = false;
        for row in existing {
            match linking {
                Some(rule) if mv.state == MvState::Active && rule.object == row.object_type => {
                    kept = true;
                    if row.leaving.is_some() {
                        self.batch.put_cs(CsRow { leaving: None, ..row });
                    }
                }
                _ if is_source(&row) => {}
                _ => self.deprovision(mv, row, policy),
            }
        }
        if let Some(rule) = linking
            && !kept
            && mv.state == MvState::Active
            && !self
                .batch
                .joined(mv.id)
                .into_iter()
                .filter_map(|id| self.batch.cs(id))
                .any(|row| row.connector == connector)
        {
            self.connect(mv, connector, rule.object, &scoped.rules)?;
        }
        Ok(())
    }

    /// Finds the object at the target, or plans to create it.
    fn connect(
        &mut self,
        mv: &MvRow,
        connector: ConnectorId,
        object_type: TypeId,
        rules: &[&'a Rule],
    ) -> Result<(), ReadError> {
        let candidates: Vec<&'a Rule> =
            rules.iter().copied().filter(|rule| rule.object == object_type && holds_link(rule)).collect();
        for rule in &candidates {
            for group in &rule.join {
                let matches = self.matches(mv, connector, object_type, group);
                let [one] = matches.as_slice() else {
                    if matches.len() > 1 {
                        self.conflict(mv, connector, &matches, "several objects there match");
                        return Ok(());
                    }
                    continue;
                };
                let Some(row) = self.batch.cs(*one).cloned() else { continue };
                let refusal = if row.flags.has(CsFlags::PROTECTED) {
                    Some(format!("it is protected ({})", row.reason.as_deref().unwrap_or("by configuration")))
                } else {
                    row.join
                        .filter(|join| join.mv != mv.id)
                        .map(|_| "it belongs to another object already".to_owned())
                };
                if let Some(why) = refusal {
                    self.conflict(mv, connector, &matches, &why);
                    return Ok(());
                }
                self.event(
                    mv.id,
                    &format!(
                        "joined {}: {} by rule `{}`",
                        self.ctx.policies.of(connector).name,
                        row.name,
                        rule.name
                    ),
                );
                self.attach(mv.id, row, rule.id);
                return Ok(());
            }
        }
        let Some(rule) = candidates.iter().find(|rule| rule.link == LinkType::Provision) else {
            return Ok(());
        };
        self.event(
            mv.id,
            &format!("provisioned to {} by rule `{}`", self.ctx.policies.of(connector).name, rule.name),
        );
        let row = CsRow {
            id: self.batch.new_cs_id(),
            connector,
            object_type,
            anchor: None,
            container: None,
            name: String::new(),
            image: Image::empty(),
            links: Vec::new(),
            flags: CsFlags::PROVISIONED,
            reason: None,
            join: None,
            leaving: None,
        };
        self.attach(mv.id, row, rule.id);
        Ok(())
    }

    fn attach(&mut self, mv: MvId, row: CsRow, rule: RuleId) {
        let id = row.id;
        let flags = row.flags.with(CsFlags::REFUSED, false);
        self.batch.put_cs(CsRow {
            join: Some(Join { mv, rule, run: self.ctx.run, owned: true }),
            flags,
            ..row
        });
        self.batch.wake(Work::Target(id));
        self.wake_links(mv);
    }

    /// All links of an object that got, or lost, its object at a target.
    fn wake_links(&mut self, mv: MvId) {
        let picks = self.batch.mv(mv).map(|row| row.picks.clone()).unwrap_or_default();
        let attributes: BTreeSet<AttrId> = picks.into_iter().map(|pick| pick.attribute).collect();
        for attribute in attributes {
            self.batch.wake(Work::MvLinks(mv, attribute));
        }
        self.batch.wake(Work::MvTarget(mv));
    }

    fn matches(
        &self,
        mv: &MvRow,
        connector: ConnectorId,
        object_type: TypeId,
        group: &JoinGroup,
    ) -> Vec<CsId> {
        let Some(first) = group.conditions.first() else { return Vec::new() };
        let mut ids = BTreeSet::new();
        for value in mv.values.as_ref().get(first.metaverse).into_iter().flat_map(ValuesRef::iter) {
            ids.extend(self.by_key.get(&join_key(first.connector, value)).into_iter().flatten().copied());
        }
        ids.retain(|&id| {
            self.batch.cs(id).is_some_and(|row| {
                row.connector == connector
                    && row.object_type == object_type
                    && !row.flags.has(CsFlags::GONE)
                    && !row.flags.has(CsFlags::CONFLICT)
                    && group.conditions.iter().all(|c| {
                        common(
                            row.image.as_ref().get(c.connector),
                            mv.values.as_ref().get(c.metaverse),
                            c.case_sensitive,
                        )
                    })
            })
        });
        ids.into_iter().collect()
    }

    fn conflict(&mut self, mv: &MvRow, connector: ConnectorId, matches: &[CsId], why: &str) {
        let names: Vec<String> = matches
            .iter()
            .take(3)
            .filter_map(|&id| self.batch.cs(id))
            .map(|row| format!("`{}`", row.name))
            .collect();
        let target = &self.ctx.policies.of(connector).name;
        let sources: Vec<(CsId, ConnectorId, String)> = self
            .batch
            .joined(mv.id)
            .into_iter()
            .filter_map(|id| self.batch.cs(id))
            .map(|row| (row.id, row.connector, row.name.clone()))
            .collect();
        let Some((id, source, name)) = sources.into_iter().next() else { return };
        let message = format!(
            "`{name}` would be joined with {} in {target}, but {why}; nothing is written. Resolve it there, or map the object explicitly",
            names.join(", ")
        );
        self.batch.error(self.ctx, (id, source), &format!("join:{target}"), "conflict", message, false);
    }

    // --- leaving ---

    fn deprovision(&mut self, mv: &MvRow, row: CsRow, policy: &ConnectorPolicy) {
        let rules = policy.object_type(row.object_type);
        let export = self.batch.export(row.id).cloned();
        let never_sent = row.flags.has(CsFlags::PROVISIONED)
            && export.as_ref().is_none_or(|e| {
                matches!(e.state, ChangeState::Pending | ChangeState::Refused) && e.sent.is_none()
            });
        let owned = row.join.is_some_and(|join| join.owned);
        if never_sent {
            self.batch.delete_export(row.id);
            self.batch.wake(Work::MvTarget(mv.id));
            self.batch.delete_cs(row.id);
            return;
        }
        if !owned
            || rules.unwritable
            || !policy.writable
            || row.flags.has(CsFlags::MASTERED_ELSEWHERE)
            || row.flags.has(CsFlags::PROTECTED)
        {
            self.disconnect(mv, row);
            return;
        }
        if row.flags.has(CsFlags::PROVISIONED) {
            return; // it is being created: what becomes of it is decided when the answer is here
        }
        let (since, deleted) = match mv.state {
            MvState::Leaving { since, deleted } => (since, deleted),
            MvState::Active => (row.leaving.unwrap_or(self.ctx.now), false),
        };
        let row = CsRow { leaving: Some(since), ..row };
        self.batch.put_cs(row.clone());
        let (disable, delete_at) = match rules.deprovision {
            Deprovision::Disconnect => {
                self.disconnect(mv, row);
                return;
            }
            Deprovision::Disable => (true, None),
            Deprovision::DisableThenDelete { after_seconds } => {
                (true, Some(since.plus_seconds(after_seconds)))
            }
            Deprovision::Delete { after_seconds } => (false, Some(since.plus_seconds(after_seconds))),
        };
        let kinds = ExportRow::KIND_LEAVER | if deleted { 0 } else { ExportRow::KIND_LEFT_SCOPE };
        if delete_at.is_some_and(|at| at <= self.ctx.now) {
            self.plan_delete(row, export, kinds);
            return;
        }
        if let Some(at) = delete_at {
            self.batch.wake_at(Work::Outbound(mv.id), ConnectorId(0), at);
        }
        let mut wanted = BTreeMap::new();
        if let (true, Some((attribute, value))) = (disable, &rules.disable) {
            wanted.insert(*attribute, Wanted { values: Some(Values::one(value.clone())), rule: RuleId(0) });
        }
        plan_update(self.ctx, &mut self.batch, &row, policy, &rules, wanted, kinds, None);
    }

    fn plan_delete(&mut self, row: CsRow, export: Option<ExportRow>, kinds: u8) {
        let kinds = kinds | ExportRow::KIND_DELETE;
        let planned = match export {
            Some(known) if known.operation == Operation::Delete => ExportRow { kinds, ..known },
            other => ExportRow {
                cs: row.id,
                connector: row.connector,
                object_type: row.object_type,
                operation: Operation::Delete,
                state: ChangeState::Pending,
                changes: Vec::new(),
                create_key: None,
                not_before: Time::default(),
                attempts: 0,
                sent: None,
                error: None,
                kinds,
                held: other.is_some_and(|known| known.held && known.operation == Operation::Delete),
            },
        };
        self.batch.put_export(planned);
    }

    fn disconnect(&mut self, mv: &MvRow, row: CsRow) {
        self.event(
            mv.id,
            &format!("disconnected from {}: {}", self.ctx.policies.of(row.connector).name, row.name),
        );
        self.batch.delete_export(row.id);
        self.batch.wake(Work::Target(row.id));
        self.batch.wake(Work::MvTarget(mv.id));
        self.batch.put_cs(CsRow { join: None, leaving: None, ..row });
    }

    // --- flows ---

    /// Computes and plans the attributes of all targets of the batch's objects, the computing in parallel.
    fn flow_all(&mut self) -> Result<(), ReadError> {
        struct Job<'a> {
            mv: MvRow,
            row: CsRow,
            rules: Vec<&'a Rule>,
            counts: BTreeMap<AttrId, u64>,
        }
        let mut jobs: Vec<Job<'a>> = Vec::new();
        let mvs: Vec<MvRow> =
            self.batch.loaded_mvs().into_iter().filter(|mv| mv.state == MvState::Active).collect();
        let mut targets = Vec::new();
        for mv in mvs {
            for id in self.batch.joined(mv.id) {
                let Some(row) = self.batch.cs(id).cloned() else { continue };
                let policy = self.ctx.policies.of(row.connector);
                if !self
                    .ctx
                    .rules
                    .outbound_for(row.connector, mv.object_type)
                    .any(|rule| rule.object == row.object_type)
                    || row.flags.has(CsFlags::MASTERED_ELSEWHERE)
                    || row.flags.has(CsFlags::GONE)
                    || row.flags.has(CsFlags::CONFLICT)
                    || !row.join.is_some_and(|join| join.owned || policy.writable)
                {
                    continue;
                }
                let scoped = in_scope(self.ctx, self.batch.reader, &mv, row.connector)?;
                if scoped.failed.is_some()
                    || !scoped.rules.iter().any(|rule| holds_link(rule) && rule.object == row.object_type)
                {
                    continue;
                }
                let rules = scoped.rules.into_iter().filter(|rule| rule.object == row.object_type).collect();
                targets.push(row.id);
                jobs.push(Job { mv: mv.clone(), row, rules, counts: scoped.counts });
            }
        }
        self.batch.load_exports(targets)?;
        let ctx = self.ctx;
        let computed =
            parallel::map(ctx.threads, &jobs, |job| flow(ctx, &job.mv, &job.row, &job.rules, &job.counts));
        for (job, flows) in jobs.into_iter().zip(computed) {
            self.settle(job.row, flows);
        }
        Ok(())
    }

    fn settle(&mut self, row: CsRow, flows: Flows) {
        let (id, connector) = (row.id, row.connector);
        self.batch.heal(id, |place| place.starts_with("flow:") || place == "object" || place == "required");
        for (attribute, message) in &flows.failed {
            let name = self.ctx.attribute(*attribute);
            let alarm = name.eq_ignore_ascii_case("accountEnabled");
            let message = format!("`{name}`: {message}; the target keeps what it has");
            self.batch.error(
                self.ctx,
                (id, connector),
                &format!("flow:{name}"),
                "flow-failed",
                message,
                alarm,
            );
        }
        if let Some((attribute, message)) = &flows.raised {
            let message = format!(
                "`{}`: {message}; nothing of this object is exported",
                self.ctx.attribute(*attribute)
            );
            self.batch.error(
                self.ctx,
                (id, connector),
                "object",
                "sync-rule-error-function-triggered",
                message,
                false,
            );
            // What was planned before rests on values that are withheld now.
            match self.batch.export(id).cloned() {
                Some(mut known) if known.changes.iter().any(|c| c.state == ChangeState::Sent) => {
                    known.changes.retain(|c| c.state == ChangeState::Sent);
                    self.batch.put_export(known);
                }
                Some(known) if known.state != ChangeState::Sending => self.batch.delete_export(id),
                _ => {}
            }
            return;
        }
        let policy = self.ctx.policies.of(connector);
        let rules = policy.object_type(row.object_type);
        let failed: Vec<AttrId> = flows.failed.iter().map(|(attribute, _)| *attribute).collect();
        plan_update(self.ctx, &mut self.batch, &row, policy, &rules, flows.wanted, 0, Some(&failed));
    }

    fn event(&mut self, mv: MvId, event: &str) {
        let row = HistoryRow {
            mv,
            run: self.ctx.run,
            time: self.ctx.now,
            event: Some(event.to_owned()),
            changes: Vec::new(),
        };
        self.batch.history(row);
    }
}

/// The outbound rules in scope of a metaverse object for one connector.
pub(crate) struct Scoped<'a> {
    pub(crate) rules: Vec<&'a Rule>,
    pub(crate) failed: Option<(&'a Rule, String)>,
    pub(crate) counts: BTreeMap<AttrId, u64>,
}

/// Evaluates the scopes of the outbound rules to one connector.
pub(crate) fn in_scope<'a>(
    ctx: &Context<'a>,
    reader: &dyn Reader,
    mv: &MvRow,
    connector: ConnectorId,
) -> Result<Scoped<'a>, ReadError> {
    let mut counts = BTreeMap::new();
    for rule in ctx.rules.outbound_for(connector, mv.object_type) {
        let flows = rule.flows.iter().filter_map(|flow| flow.program()).flat_map(|program| program.links());
        let direct = rule.flows.iter().filter_map(|flow| match &flow.source {
            FlowSource::Link(link) => Some(&link.source),
            _ => None,
        });
        for &attribute in rule.scope.links().iter().chain(flows) {
            if let std::collections::btree_map::Entry::Vacant(slot) = counts.entry(attribute) {
                slot.insert(reader.mv_link_count(mv.id, attribute)?);
            }
        }
        // Whether a direct link flow has links matters only to who is picked: it is decided when links are looked at.
        for &attribute in direct {
            counts.entry(attribute).or_insert(1);
        }
    }
    let parameters = ctx.rules.parameters(connector);
    let source = MvSource { row: mv, target: None, link_counts: &counts, parameters };
    let (mut rules, mut failed) = (Vec::new(), None);
    for rule in ctx.rules.outbound_for(connector, mv.object_type) {
        match rule.scope.holds(&source) {
            Ok(true) => rules.push(rule),
            Ok(false) => {}
            Err(error) => failed = failed.or(Some((rule, error.to_string()))),
        }
    }
    Ok(Scoped { rules, failed, counts })
}

/// A target attribute as it should be.
#[derive(Debug)]
struct Wanted {
    values: Option<Values>,
    rule: RuleId,
}

#[derive(Debug, Default)]
struct Flows {
    wanted: BTreeMap<AttrId, Wanted>,
    failed: Vec<(AttrId, String)>,
    raised: Option<(AttrId, String)>,
}

fn flow(
    ctx: &Context<'_>,
    mv: &MvRow,
    row: &CsRow,
    rules: &[&Rule],
    counts: &BTreeMap<AttrId, u64>,
) -> Flows {
    let provisioned = row.flags.has(CsFlags::PROVISIONED);
    let target = (!provisioned).then_some(row);
    let source =
        MvSource { row: mv, target, link_counts: counts, parameters: ctx.rules.parameters(row.connector) };
    let policy = ctx.policies.of(row.connector);
    let mut out = Flows::default();
    let candidates = collect(&[rules]);
    let mut valid_until = None;
    for (attribute, group) in groups(&candidates) {
        if policy.link_attributes.contains(&attribute) {
            continue;
        }
        let present = |attribute| {
            target.and_then(|row| row.image.as_ref().get(attribute)).and_then(ValuesRef::to_values)
        };
        let resolved = resolve(
            group,
            ctx.now,
            |c| {
                if c.flow.program().is_some() {
                    seed(&mv.guid.0, ctx.attribute(attribute), &c.rule.name)
                } else {
                    0
                }
            },
            |_| &source,
            |_| present(attribute),
            &mut valid_until,
        );
        let rule = |index: usize| group.get(index).map_or(RuleId(0), |c| c.rule.id);
        match resolved {
            Resolved::Values { values, from, .. } => {
                let rule = from.first().map_or(RuleId(0), |&index| rule(index));
                out.wanted.insert(attribute, Wanted { values: Some(values), rule });
            }
            Resolved::Absent => {
                out.wanted.insert(attribute, Wanted { values: None, rule: rule(0) });
            }
            Resolved::Keep | Resolved::Links(_) => {}
            Resolved::Failed { message, .. } => out.failed.push((attribute, message)),
            Resolved::Raised { message, .. } => {
                out.raised = Some((attribute, message));
                break;
            }
        }
    }
    out
}

/// Compares what is wanted with what the target holds, or will when everything sent has arrived, and keeps the
/// difference as the pending export.
#[allow(clippy::too_many_arguments)]
fn plan_update(
    ctx: &Context<'_>,
    batch: &mut Batch<'_>,
    row: &CsRow,
    policy: &ConnectorPolicy,
    rules: &TypePolicy,
    wanted: BTreeMap<AttrId, Wanted>,
    kinds: u8,
    failed: Option<&[AttrId]>,
) {
    let known = batch.export(row.id).cloned();
    let adding = row.flags.has(CsFlags::PROVISIONED);
    let in_flight = known.as_ref().is_some_and(|k| {
        k.operation == Operation::Add && k.state != ChangeState::Pending && k.sent.is_some()
    });
    let empty = Image::empty();
    let image = if adding { &empty } else { &row.image };
    let earlier: BTreeMap<AttrId, &AttributeChange> = known
        .iter()
        .filter(|k| k.operation != Operation::Delete)
        .flat_map(|k| &k.changes)
        .map(|c| (c.attribute, c))
        .collect();
    let mut changes = Vec::new();
    let mut kinds = kinds;
    for (&attribute, want) in &wanted {
        if policy.read_only.contains(&attribute) && Some(attribute) != rules.create_key {
            continue;
        }
        let exact = policy.case_exact.contains(&attribute);
        let have = image.as_ref().get(attribute).and_then(ValuesRef::to_values);
        let before = earlier.get(&attribute);
        let flying = before.filter(|c| matches!(c.state, ChangeState::Sent | ChangeState::Sending));
        let effective = flying.map_or(have.as_ref(), |c| c.values.as_ref());
        if equal(want.values.as_ref(), effective, exact) {
            changes.extend(flying.map(|c| (*c).clone()));
            continue;
        }
        match before {
            Some(same) if equal(same.values.as_ref(), want.values.as_ref(), true) => {
                changes.push(AttributeChange { rule: want.rule, ..(*same).clone() });
            }
            _ => changes.push(AttributeChange {
                attribute,
                values: want.values.clone(),
                state: ChangeState::Pending,
                attempts: 0,
                rule: want.rule,
                error: None,
            }),
        }
        if !adding && want.values.is_none() {
            kinds |= ExportRow::KIND_EMPTY;
        }
        if !adding
            && rules.disable.as_ref().is_some_and(|(a, off)| *a == attribute && is(want.values.as_ref(), off))
        {
            kinds |= ExportRow::KIND_DISABLE;
        }
    }
    // A failed flow leaves its attribute alone; what is on its way and no longer wanted is still waited for.
    for (attribute, change) in &earlier {
        let isolated = failed.is_some_and(|failed| failed.contains(attribute));
        if !wanted.contains_key(attribute)
            && (change.state == ChangeState::Sent || change.state == ChangeState::Sending)
            && !isolated
        {
            changes.push((*change).clone());
        }
    }
    changes.sort_by_key(|change| change.attribute);
    if rules.unwritable || !policy.writable {
        kinds |= ExportRow::KIND_UNWRITABLE;
    }
    let joined_now = batch.cs_before(row.id).is_none_or(|before| before.join.is_none()) && !adding;
    if joined_now || known.as_ref().is_some_and(|k| k.kinds & ExportRow::KIND_ADOPT != 0) {
        kinds |= ExportRow::KIND_ADOPT;
    }
    if adding && !in_flight {
        let key = rules.create_key.and_then(|key| wanted.get(&key)).and_then(|w| w.values.as_ref());
        name_newcomer(batch, row, rules, &wanted, key);
        // An attribute that a new object needs and whose flow failed makes the object wait.
        let missing: Vec<&str> = failed
            .into_iter()
            .flatten()
            .filter(|a| rules.required.contains(a))
            .map(|a| ctx.attribute(*a))
            .collect();
        if !missing.is_empty() || (rules.create_key.is_some() && key.is_none() && !rules.unwritable) {
            let what = if missing.is_empty() {
                rules.create_key.map_or("", |key| ctx.attribute(key)).to_owned()
            } else {
                missing.join("`, `")
            };
            let message = format!(
                "`{what}` is needed to create the object and has no value: the object waits; correct it at the source"
            );
            batch.error(ctx, (row.id, row.connector), "required", "missing-required", message, false);
            batch.delete_export(row.id);
            return;
        }
    }
    let operation = if adding { Operation::Add } else { Operation::Update };
    if operation == Operation::Update && changes.is_empty() {
        batch.delete_export(row.id);
        return;
    }
    let state = changes.iter().map(|c| c.state).min().unwrap_or(ChangeState::Pending);
    let create_key = rules
        .create_key
        .filter(|_| adding)
        .and_then(|key| wanted.get(&key))
        .and_then(|w| w.values.as_ref())
        .map(|values| values.first().to_string());
    let planned = match known {
        Some(known) if known.operation == operation => {
            let state = if operation == Operation::Add { known.state } else { state };
            let create_key = if in_flight { known.create_key } else { create_key };
            ExportRow { changes, kinds, create_key, state, ..known }
        }
        _ => ExportRow {
            cs: row.id,
            connector: row.connector,
            object_type: row.object_type,
            operation,
            state: ChangeState::Pending,
            changes,
            create_key,
            not_before: Time::default(),
            attempts: 0,
            sent: None,
            error: None,
            kinds,
            held: false,
        },
    };
    batch.put_export(planned);
}

/// Gives an object that is to be created its name to show, and the key by which it will be recognised.
fn name_newcomer(
    batch: &mut Batch<'_>,
    row: &CsRow,
    rules: &TypePolicy,
    wanted: &BTreeMap<AttrId, Wanted>,
    key: Option<&Values>,
) {
    let name = rules
        .name
        .and_then(|name| wanted.get(&name))
        .and_then(|w| w.values.as_ref())
        .map(|v| v.first().to_string());
    let mut image = Bag::new();
    if let (Some(attribute), Some(values)) = (rules.create_key, key) {
        image.set(attribute, Some(values.clone()));
    }
    let image = Image::from_bag(&image);
    batch.put_cs(CsRow { name: name.unwrap_or_default(), image, ..row.clone() });
}

/// Whether two sets of values are the same to a directory that does not tell case apart, unless it does.
pub(crate) fn equal(a: Option<&Values>, b: Option<&Values>, case_exact: bool) -> bool {
    match (a, b) {
        (None, None) => true,
        (Some(a), Some(b)) if a == b => true,
        (Some(a), Some(b)) if !case_exact && a.as_slice().len() == b.as_slice().len() => {
            a.as_slice().iter().zip(b.as_slice()).all(|(a, b)| match (a.as_str(), b.as_str()) {
                (Some(a), Some(b)) => onesync_model::fold_case(a) == onesync_model::fold_case(b),
                _ => a == b,
            })
        }
        _ => false,
    }
}

fn is(values: Option<&Values>, value: &Value) -> bool {
    values.is_some_and(|values| values.as_slice() == [value.clone()])
}
