//! The outbound pass: what a metaverse object means for every target.
//!
//! For each connector with outbound rules: join or provision its object there, or deprovision it; compute the target
//! attributes; compare them with what the directory is known, or about, to hold; keep the difference as a pending
//! export. Recomputing is idempotent: the pending export is a function of the metaverse object, the confirmed image,
//! and what was sent and not yet seen.

mod contact;
pub(crate) mod flows;
mod leaving;
mod plan;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use onesync_model::{AttrId, ConnectorId, CsId, ImageIndex, MvId, NameDomains, ValuesRef, join_key};
use onesync_rules::{Direction, Rule};

use crate::Changes;
use crate::batch::{Batch, Context};
use crate::deleted::delete_cs;
use crate::facts::holds_link;
use crate::reader::{ReadError, Reader};
use crate::sources::MvSource;
use crate::state::{CsFlags, CsRow, Join, MvRow, MvState, Work};
use crate::trace::{Note, Subject, TargetStep};

pub(crate) use plan::equal;

/// Recomputes what is owed to all targets for metaverse objects that are on the agenda.
///
/// # Errors
/// When the reader fails.
pub fn outbound(ctx: &Context<'_>, reader: &dyn Reader, ids: &[MvId]) -> Result<Changes, ReadError> {
    let mut pass = Outbound {
        ctx,
        batch: Batch::new(reader, ctx.run)?,
        by_key: HashMap::new(),
        scoped: HashMap::new(),
        directories: BTreeMap::new(),
    };
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
    /// The rules in scope by which targets were decided: by the same ones attributes flow there.
    scoped: HashMap<(MvId, ConnectorId), Scoped<'a>>,
    directories: BTreeMap<ConnectorId, Directory>,
}

/// What a target directory said about itself at its last import.
#[derive(Clone, Default)]
struct Directory {
    /// The suffixes of sign-in names that it takes.
    domains: Option<NameDomains>,
    /// Why objects are found by their source anchor only.
    anchor_only: Option<String>,
}

/// The state of a connector that holds its [`NameDomains`].
pub const NAME_DOMAINS: &str = "name-domains";
/// The state of a connector that says why its objects must not be found by name, where that is so.
pub const ANCHOR_ONLY: &str = "anchor-only";

impl<'a> Outbound<'a, '_> {
    fn load(&mut self, ids: &[MvId]) -> Result<(), ReadError> {
        self.batch.load_mv(ids.iter().copied())?;
        for &connector in self.ctx.rules.connector_order() {
            let state = |name| self.batch.reader.state(connector, name);
            let domains = state(NAME_DOMAINS)?.and_then(|bytes| NameDomains::decode(&bytes));
            let anchor_only = state(ANCHOR_ONLY)?.map(|text| String::from_utf8_lossy(&text).into_owned());
            self.directories.insert(connector, Directory { domains, anchor_only });
        }
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
                self.name_keys(mv, connector, &mut keys);
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
        let values = mv.values.as_ref().index();
        for connector in connectors {
            self.target(&mv, &values, connector)?;
        }
        if let MvState::Leaving { .. } = mv.state
            && !crate::settle::has_target(&self.batch, self.ctx, id)
        {
            self.depart(&mv)?;
        }
        Ok(())
    }

    /// The last target is settled: the metaverse object goes, and with it what only waited for that.
    fn depart(&mut self, mv: &MvRow) -> Result<(), ReadError> {
        crate::settle::wake_pilot_members(self.ctx, &mut self.batch, mv)?;
        for cs in self.batch.joined(mv.id) {
            let Some(row) = self.batch.cs(cs).cloned() else { continue };
            let gone = row.flags.has(CsFlags::GONE);
            self.batch.wake(Work::Target(cs));
            if gone {
                delete_cs(self.ctx, &mut self.batch, &row, Some(mv.id))?;
            } else {
                self.batch.wake_identity(&row);
                self.batch.put_cs(CsRow { join: None, ..row });
            }
        }
        self.event(mv.id, "deleted");
        self.batch.join_values_lost(self.ctx, mv);
        self.batch.wake(Work::MvTarget(mv.id));
        self.batch.delete_mv(mv.id);
        Ok(())
    }

    fn target(
        &mut self,
        mv: &MvRow,
        values: &ImageIndex<'_>,
        connector: ConnectorId,
    ) -> Result<(), ReadError> {
        let policy = self.ctx.policies.of(connector);
        let scoped = in_scope(self.ctx, self.batch.reader, mv, values, connector)?;
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
        let outside = match &policy.pilot {
            Some(pilot) => !pilot.holds(self.batch.reader, mv)?,
            None => false,
        };
        let linking = scoped.rules.iter().find(|rule| holds_link(rule));
        let mut kept = false;
        for row in existing {
            let row = self.mark_outside(mv, row, outside);
            let object = row.id;
            let note = |step| Note::Target { of: mv.id, connector, object, step };
            if outside {
                self.ctx.note(|| note(TargetStep::Outside));
            }
            match linking {
                Some(rule) if mv.state == MvState::Active && rule.object == row.object_type => {
                    kept = true;
                    let ours =
                        row.flags.has(CsFlags::MASTERED_ELSEWHERE) || row.join.is_some_and(|join| join.owned);
                    let adopts = policy.writable && !ours;
                    let step = if adopts { TargetStep::Adopted } else { TargetStep::Kept };
                    self.ctx.note(|| note(step));
                    self.keep(row, policy.writable);
                }
                _ if is_source(&row) => self.ctx.note(|| note(TargetStep::Source)),
                _ => {
                    self.ctx.note(|| note(TargetStep::Deprovisioned));
                    self.deprovision(mv, row, policy)?;
                }
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
            self.connect(mv, connector, rule.object, &scoped.rules, outside);
        }
        self.scoped.insert((mv.id, connector), scoped);
        Ok(())
    }

    /// A rule in scope holds the object: it stays, and one that only joined so far is adopted.
    fn keep(&mut self, row: CsRow, writable: bool) {
        let Some(join) = row.join else { return };
        let elsewhere = row.flags.has(CsFlags::MASTERED_ELSEWHERE);
        let owned = !elsewhere && (join.owned || writable);
        let adopted = owned && !join.owned;
        if adopted {
            self.wake_links(join.mv);
        }
        if owned != join.owned || row.leaving.is_some() {
            let join = Some(Join { owned, ..join });
            self.batch.put_cs(CsRow { leaving: None, join, ..row });
        }
    }

    /// Keeps on the row whether it is outside the pilot; a change of that concerns every link to and from it.
    fn mark_outside(&mut self, mv: &MvRow, row: CsRow, outside: bool) -> CsRow {
        if row.flags.has(CsFlags::OUTSIDE) == outside {
            return row;
        }
        let row = CsRow { flags: row.flags.with(CsFlags::OUTSIDE, outside), ..row };
        self.batch.put_cs(row.clone());
        self.batch.wake(Work::Target(row.id));
        self.wake_links(mv.id);
        row
    }

    /// All links of an object that got its object at a target.
    fn wake_links(&mut self, mv: MvId) {
        let picks = self.batch.mv(mv).map(|row| row.picks.clone()).unwrap_or_default();
        let attributes: BTreeSet<AttrId> = picks.into_iter().map(|pick| pick.attribute).collect();
        for attribute in attributes {
            self.batch.wake(Work::MvLinks(mv, attribute));
        }
    }

    fn event(&mut self, mv: MvId, event: &str) {
        self.batch.event(self.ctx, mv, event);
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
    values: &ImageIndex<'_>,
    connector: ConnectorId,
) -> Result<Scoped<'a>, ReadError> {
    in_scope_counting(ctx, mv, values, connector, |attribute| reader.mv_link_count(mv.id, attribute))
}

/// The same, where somebody else counts links.
pub(crate) fn in_scope_counting<'a, E>(
    ctx: &Context<'a>,
    mv: &MvRow,
    values: &ImageIndex<'_>,
    connector: ConnectorId,
    mut count: impl FnMut(AttrId) -> Result<u64, E>,
) -> Result<Scoped<'a>, E> {
    let asked = ctx.rules.links_asked(connector, mv.object_type);
    let mut counts = BTreeMap::new();
    for &attribute in &asked.counted {
        counts.insert(attribute, count(attribute)?);
    }
    // Whether a direct link flow has links matters only to who is picked: it is decided when links are looked at.
    for &attribute in &asked.handed_on {
        counts.entry(attribute).or_insert(1);
    }
    let parameters = ctx.rules.parameters(connector);
    let source = MvSource::new(mv, values, None, &counts, parameters);
    let (mut rules, mut failed) = (Vec::new(), None);
    for rule in ctx.rules.outbound_for(connector, mv.object_type) {
        ctx.note(|| Note::Scope {
            of: Subject::Mv(mv.id),
            rule: rule.id,
            connector,
            asked: rule.scope.trace(&source),
        });
        match rule.scope.holds(&source) {
            Ok(true) => rules.push(rule),
            Ok(false) => {}
            Err(error) => failed = failed.or(Some((rule, error.to_string()))),
        }
    }
    Ok(Scoped { rules, failed, counts })
}
