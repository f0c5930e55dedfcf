//! The outbound pass: what a metaverse object means for every target.
//!
//! For each connector with outbound rules: join or provision its object there, or deprovision it; compute the target
//! attributes; compare them with what the directory is known, or about, to hold; keep the difference as a pending
//! export. Recomputing is idempotent: the pending export is a function of the metaverse object, the confirmed image,
//! and what was sent and not yet seen.

mod flows;
mod leaving;
mod plan;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use onesync_model::{AttrId, ConnectorId, CsId, Image, MvId, RuleId, TypeId, ValuesRef, join_key};
use onesync_rules::{Direction, FlowSource, JoinGroup, LinkType, Rule};

use crate::Changes;
use crate::batch::{Batch, Context};
use crate::facts::holds_link;
use crate::identity::common;
use crate::reader::{ReadError, Reader};
use crate::sources::MvSource;
use crate::state::{CsFlags, CsRow, HistoryRow, Join, MvRow, MvState, Work};

pub(crate) use plan::equal;

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
    let source = MvSource::new(mv, None, &counts, parameters);
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
