//! The link pass: metaverse links, and the link values that targets are owed.
//!
//! A metaverse link (owner, attribute, target) exists while any row of the picked contributors resolves to the
//! target: it is probed, not counted. A link value is owed to a directory when the metaverse link exists, both ends
//! have objects there, and the directory does not hold it, or is not about to. Single rows are probed one by one;
//! an owner whose contributor changed, or that is new, is compared as a whole, page by page.

mod ahead;
mod chosen;
mod known;
mod stale;
mod whole;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::rc::Rc;

use onesync_model::{AttrId, ConnectorId, CsId, Hash128, MvId, Time};
use onesync_rules::{FlowSource, Rule};

use crate::batch::{Batch, Context};
use crate::changes::Changes;
use crate::export::heal_links;
use crate::pilot::Pilot;
use crate::reader::{JoinedIn, ReadError, Reader};
use crate::sources::MvSource;
use crate::state::{ChangeState, CsFlags, CsRow, ExportLinkRow, LinkPick, MvRow, MvState, Work};

pub(crate) use chosen::{Chosen, chooses, chosen};
pub use known::KnownTargets;
pub use stale::stale_links;

/// Rows read at once.
const PAGE: usize = 2_000;

/// Decides about links that are on the agenda.
///
/// # Errors
/// When the reader fails.
pub fn links(ctx: &Context<'_>, reader: &dyn Reader, work: &[Work]) -> Result<Changes, ReadError> {
    links_knowing(ctx, reader, work, &KnownTargets::default())
}

/// As [`links`], with the targets that batches before have met.
///
/// # Errors
/// When the reader fails.
pub fn links_knowing(
    ctx: &Context<'_>,
    reader: &dyn Reader,
    work: &[Work],
    known: &KnownTargets,
) -> Result<Changes, ReadError> {
    let mut pass = Links::new(ctx, reader, known)?;
    pass.load(work)?;
    for &item in work {
        pass.spread(item)?;
        pass.batch.done(item);
    }
    let whole: Vec<(MvId, AttrId)> = std::mem::take(&mut pass.whole).into_iter().collect();
    for some in whole.chunks(ahead::ATTRIBUTES) {
        pass.read_ahead(some)?;
        for &(owner, attribute) in some {
            pass.whole_attribute(owner, attribute)?;
            pass.units.retain(|unit| (unit.0, unit.1) != (owner, attribute));
        }
    }
    pass.probe_units()?;
    pass.check_values()?;
    pass.wake_pilots()?;
    heal_links(ctx, &mut pass.batch, std::mem::take(&mut pass.freed))?;
    Ok(pass.batch.finish(ctx))
}

/// A link flow to a target: metaverse attribute, target attribute.
type OutFlows = Vec<(AttrId, AttrId)>;

struct Links<'a, 'r> {
    ctx: &'a Context<'a>,
    reader: &'r dyn Reader,
    known: &'a KnownTargets,
    batch: Batch<'r>,
    /// Metaverse links to probe.
    units: BTreeSet<(MvId, AttrId, MvId)>,
    /// Attributes to compare as a whole.
    whole: BTreeSet<(MvId, AttrId)>,
    ahead: ahead::Ahead,
    /// Link values of target objects to compare with what is owed: owner, attribute, target.
    values: BTreeSet<(CsId, AttrId, CsId)>,
    scopes: HashMap<(MvId, ConnectorId), OutFlows>,
    /// What expressions choose among links.
    chosen: BTreeMap<LinkPick, Rc<Chosen>>,
    /// Attributes at targets whose guard fails: what flows there is not known now.
    unclear: HashSet<(MvId, ConnectorId, AttrId)>,
    /// Link attributes of target objects of which a value that failed goes, or is planned anew.
    freed: BTreeSet<(CsId, AttrId)>,
}

impl<'a, 'r> Links<'a, 'r> {
    fn new(ctx: &'a Context<'a>, reader: &'r dyn Reader, known: &'a KnownTargets) -> Result<Self, ReadError> {
        Ok(Self {
            ctx,
            reader,
            known,
            batch: Batch::new(reader, ctx.run)?,
            units: BTreeSet::new(),
            whole: BTreeSet::new(),
            ahead: ahead::Ahead::default(),
            values: BTreeSet::new(),
            scopes: HashMap::new(),
            chosen: BTreeMap::new(),
            unclear: HashSet::new(),
            freed: BTreeSet::new(),
        })
    }
}

impl Links<'_, '_> {
    /// Spreads an item of the agenda into what must be looked at.
    fn spread(&mut self, item: Work) -> Result<(), ReadError> {
        match item {
            Work::MvLinks(owner, attribute) => {
                self.whole.insert((owner, attribute));
            }
            Work::CsLinks(owner, attribute) => {
                self.batch.load_cs([owner])?;
                // An object in conflict is left as it is until an import shows it once.
                let row = self.batch.cs(owner).filter(|row| !row.flags.has(CsFlags::CONFLICT));
                let Some(mv) = row.and_then(|row| row.join).map(|join| join.mv) else {
                    return Ok(());
                };
                self.batch.load_mv([mv])?;
                for picked in self.picked_by(mv, owner, attribute) {
                    self.whole.insert((mv, picked));
                }
                for flowing in self.flowing_to(mv, owner, attribute)? {
                    self.whole.insert((mv, flowing));
                }
            }
            Work::CsLink(owner, attribute, key) => {
                self.batch.load_cs([owner])?;
                // An object in conflict is left as it is until an import shows it once.
                let row = self.batch.cs(owner).filter(|row| !row.flags.has(CsFlags::CONFLICT));
                let Some(mv) = row.and_then(|row| row.join).map(|join| join.mv) else {
                    return Ok(());
                };
                self.batch.load_mv([mv])?;
                for (_, target, target_mv) in self.reader.link_targets(&[key])? {
                    if let Some(target_mv) = target_mv {
                        for picked in self.picked_by(mv, owner, attribute) {
                            self.units.insert((mv, picked, target_mv));
                        }
                    }
                    if !self.flowing_to(mv, owner, attribute)?.is_empty() {
                        self.values.insert((owner, attribute, target));
                    }
                }
            }
            Work::Target(cs) => {
                self.batch.load_cs([cs])?;
                let keys: Vec<Hash128> = {
                    let named = self.reader.name_key(&[cs])?.into_iter().map(|(_, key)| key);
                    self.batch.cs(cs).and_then(CsRow::key).into_iter().chain(named).collect()
                };
                let target_mv = self.batch.cs(cs).and_then(|row| row.join).map(|join| join.mv);
                for key in keys {
                    self.spread_referrers(key, cs, target_mv)?;
                }
                if let Some(mv) = target_mv {
                    self.spread_mv_referrers(mv)?;
                }
            }
            Work::MvTarget(mv) => self.spread_mv_referrers(mv)?,
            Work::Identity(_) | Work::Values(_) | Work::Outbound(_) | Work::Below(_) | Work::Members(_) => {}
        }
        Ok(())
    }

    /// Everything in the same connector space that points at a key.
    fn spread_referrers(
        &mut self,
        key: Hash128,
        target: CsId,
        target_mv: Option<MvId>,
    ) -> Result<(), ReadError> {
        let mut after = None;
        loop {
            let page = self.reader.referrers(key, after, PAGE)?;
            let Some(&last) = page.last() else { return Ok(()) };
            after = Some(last);
            let owners: Vec<CsId> = page.iter().map(|(owner, _)| *owner).collect();
            let joins = self.reader.joins_of(&owners)?;
            let by_owner: BTreeMap<CsId, MvId> = joins.into_iter().collect();
            self.batch.load_mv(by_owner.values().copied())?;
            for (owner, attribute) in page {
                let Some(&mv) = by_owner.get(&owner) else { continue };
                if let Some(target_mv) = target_mv {
                    for picked in self.picked_by(mv, owner, attribute) {
                        self.units.insert((mv, picked, target_mv));
                    }
                }
                if !self.flowing_to(mv, owner, attribute)?.is_empty() {
                    self.values.insert((owner, attribute, target));
                }
            }
        }
    }

    /// Every metaverse link that points at an object.
    fn spread_mv_referrers(&mut self, target: MvId) -> Result<(), ReadError> {
        let mut after = None;
        loop {
            let page = self.reader.mv_referrers(target, after, PAGE)?;
            let Some(&last) = page.last() else { return Ok(()) };
            after = Some(last);
            self.units.extend(page.into_iter().map(|(owner, attribute)| (owner, attribute, target)));
        }
    }

    /// The metaverse attributes for which a source attribute of an object was picked.
    fn picked_by(&self, mv: MvId, source: CsId, source_attribute: AttrId) -> Vec<AttrId> {
        let picks = self.batch.mv(mv).map(|row| row.picks.as_slice()).unwrap_or_default();
        picks
            .iter()
            .filter(|p| p.source == source && p.source_attribute == source_attribute)
            .map(|p| p.attribute)
            .collect()
    }

    /// The metaverse attributes that flow into an attribute of a target object.
    fn flowing_to(&mut self, mv: MvId, target: CsId, attribute: AttrId) -> Result<Vec<AttrId>, ReadError> {
        self.batch.load_cs([target])?;
        let Some(connector) = self.batch.cs(target).map(|row| row.connector) else { return Ok(Vec::new()) };
        let flows = self.out_flows(mv, connector)?.into_iter();
        Ok(flows.filter(|(_, to)| *to == attribute).map(|(from, _)| from).collect())
    }

    /// The link flows from an object to a connector: those of the rules in scope, the first per target attribute.
    fn out_flows(&mut self, mv: MvId, connector: ConnectorId) -> Result<OutFlows, ReadError> {
        if let Some(known) = self.scopes.get(&(mv, connector)) {
            return Ok(known.clone());
        }
        self.batch.load_mv([mv])?;
        let Some(row) = self.batch.mv(mv).cloned() else { return Ok(Vec::new()) };
        let mut flows: OutFlows = Vec::new();
        let owner = self
            .batch
            .joined(mv)
            .into_iter()
            .filter_map(|id| self.batch.cs(id))
            .find(|cs| cs.connector == connector)
            .cloned();
        let policy = self.ctx.policies.of(connector);
        let open = owner.as_ref().is_some_and(|owner| {
            policy.writable
                && !owner.flags.has(CsFlags::MASTERED_ELSEWHERE)
                && !owner.flags.has(CsFlags::GONE)
                && !policy.object_type(owner.object_type).unwritable
                && owner.join.is_some_and(|join| join.owned)
        });
        if open && row.state == MvState::Active {
            let object_type = owner.as_ref().map(|owner| owner.object_type);
            let values = row.values.as_ref().index();
            let scoped = crate::outbound::in_scope(self.ctx, self.reader, &row, &values, connector)?;
            let parameters = self.ctx.rules.parameters(connector);
            let source = MvSource::new(&row, &values, owner.as_ref(), &scoped.counts, parameters);
            for rule in scoped.rules.iter().filter(|rule| Some(rule.object) == object_type) {
                self.collect_flows(rule, &source, &row, &mut flows);
            }
        }
        self.scopes.insert((mv, connector), flows.clone());
        Ok(flows)
    }

    fn collect_flows(&mut self, rule: &Rule, source: &MvSource<'_>, row: &MvRow, flows: &mut OutFlows) {
        for flow in &rule.flows {
            let FlowSource::Link(link) = &flow.source else { continue };
            let policy = self.ctx.policies.of(rule.connector);
            if policy.computes_only(policy.object_type(rule.object), flow.target) {
                continue;
            }
            let taken = flows.iter().any(|(_, to)| *to == flow.target);
            if taken && !flow.merge.takes_all() {
                continue;
            }
            let seed = crate::resolve::seed(&row.guid.0, self.ctx.attribute(flow.target), &rule.name);
            let env = onesync_expr::Env { now: self.ctx.now, seed };
            // A guard that fails, or says NULL or IgnoreThisFlow, lets nothing flow: the target keeps its links.
            let evaluated = flow.evaluate(source, &env);
            let until = evaluated.as_ref().map_or_else(|failure| failure.valid_until, |e| e.valid_until);
            if let Some(until) = until {
                self.batch.wake_at(Work::MvLinks(row.id, link.source), ConnectorId(0), until);
            }
            match evaluated.map(|evaluated| evaluated.outcome) {
                Ok(onesync_expr::Outcome::Link(from)) => flows.push((from, flow.target)),
                Ok(_) => {}
                Err(_) => _ = self.unclear.insert((row.id, rule.connector, flow.target)),
            }
        }
    }

    // --- single links ---

    fn probe_units(&mut self) -> Result<(), ReadError> {
        let units: Vec<_> = std::mem::take(&mut self.units).into_iter().collect();
        if units.is_empty() {
            return Ok(());
        }
        let exist = self.reader.has_mv_links(&units)?;
        self.batch.load_mv(units.iter().map(|unit| unit.0))?;
        let targets: BTreeSet<MvId> = units.iter().map(|unit| unit.2).collect();
        let targets: Vec<MvId> = targets.into_iter().collect();
        let mut keys: HashMap<ConnectorId, HashMap<MvId, Vec<JoinedIn>>> = HashMap::new();
        for &connector in self.ctx.rules.connector_order() {
            let by_mv = keys.entry(connector).or_default();
            for joined in self.reader.joined_in(connector, &targets)? {
                by_mv.entry(joined.mv).or_default().push(joined);
            }
        }
        let mut asked: Vec<(CsId, AttrId, Hash128)> = Vec::new();
        let mut spans = Vec::with_capacity(units.len());
        for &(owner, attribute, target) in &units {
            let from = asked.len();
            for pick in self.batch.mv(owner).map(|row| row.picks.clone()).unwrap_or_default() {
                if pick.attribute != attribute {
                    continue;
                }
                self.batch.load_cs([pick.source])?;
                let Some(connector) = self.batch.cs(pick.source).map(|row| row.connector) else { continue };
                let chosen = self.chosen(&pick)?;
                let flows = |joined: &&JoinedIn| match &*chosen {
                    Chosen::All | Chosen::Unclear => true,
                    Chosen::These(targets) => targets.binary_search(&joined.cs).is_ok(),
                };
                let joined = keys.get(&connector).and_then(|by_mv| by_mv.get(&target));
                let joined = joined.into_iter().flatten().filter(flows);
                for key in joined.flat_map(|j| j.key.into_iter().chain(j.name_key)) {
                    asked.push((pick.source, pick.source_attribute, key));
                }
            }
            spans.push(from..asked.len());
        }
        let found = self.reader.has_links(&asked)?;
        // What objects in conflict gave, and what is unclear, stays as long as its ends are there: one read for all.
        let frozen: BTreeSet<MvId> =
            units.iter().filter(|unit| self.frozen(unit.0, unit.1)).map(|unit| unit.2).collect();
        let frozen: Vec<MvId> = frozen.into_iter().collect();
        let there: BTreeSet<MvId> = match frozen.is_empty() {
            true => BTreeSet::new(),
            false => self.reader.mv_by_id(&frozen)?.into_iter().map(|row| row.id).collect(),
        };
        for ((&(owner, attribute, target), span), existed) in units.iter().zip(spans).zip(exist) {
            let exists = found.get(span).is_some_and(|hits| hits.iter().any(|&hit| hit));
            let exists = match self.frozen(owner, attribute) {
                true => existed && there.contains(&target),
                false => exists,
            };
            match (existed, exists) {
                (false, true) => self.batch.changes.mv_links_added.push((owner, attribute, target)),
                (true, false) => self.batch.changes.mv_links_removed.push((owner, attribute, target)),
                _ => {}
            }
            for (&connector, by_mv) in &keys {
                let Some(targets) = by_mv.get(&target) else { continue };
                let flows: OutFlows = self
                    .out_flows(owner, connector)?
                    .into_iter()
                    .filter(|(from, _)| *from == attribute)
                    .collect();
                let Some(owner_cs) = self.target_of(owner, connector) else { continue };
                for (_, to) in flows {
                    for joined in targets {
                        self.values.remove(&(owner_cs, to, joined.cs));
                        self.owe(connector, owner_cs, to, *joined, exists)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Whether an object in conflict gives these links: they stay as they are until an import shows it once. So do those
    /// of which nobody knows now which are chosen.
    fn frozen(&self, owner: MvId, attribute: AttrId) -> bool {
        let picks = self.batch.mv(owner).map(|row| row.picks.as_slice()).unwrap_or_default();
        let mut picked = picks.iter().filter(|pick| pick.attribute == attribute);
        picked.any(|pick| {
            self.batch.cs(pick.source).is_some_and(|row| row.flags.has(CsFlags::CONFLICT))
                || self.chosen.get(pick).is_some_and(|chosen| **chosen == Chosen::Unclear)
        })
    }

    fn target_of(&self, mv: MvId, connector: ConnectorId) -> Option<CsId> {
        self.batch
            .joined(mv)
            .into_iter()
            .find(|&id| self.batch.cs(id).is_some_and(|row| row.connector == connector))
    }

    /// Reads the ends of link values where a pilot says that not everybody is written.
    fn load_ends(&mut self, connector: ConnectorId, ends: &[CsId]) -> Result<(), ReadError> {
        match self.ctx.policies.of(connector).pilot {
            Some(_) => self.batch.load_cs(ends.iter().copied()),
            None => Ok(()),
        }
    }

    /// Whoever joined or left the group of a pilot is judged again.
    fn wake_pilots(&mut self) -> Result<(), ReadError> {
        let changes = &self.batch.changes;
        let changed: Vec<(MvId, AttrId, MvId)> =
            changes.mv_links_added.iter().chain(&changes.mv_links_removed).copied().collect();
        let pilots: Vec<&Pilot> = self.ctx.policies.pilots().collect();
        for (owner, attribute, target) in changed {
            if !pilots.iter().any(|pilot| pilot.member == attribute) {
                continue;
            }
            self.batch.load_mv([owner])?;
            if self.batch.mv(owner).is_some_and(|row| pilots.iter().any(|pilot| pilot.is_group(row))) {
                self.batch.wake(Work::Outbound(target));
            }
        }
        Ok(())
    }

    /// Compares one link value of a target object with what it should be.
    fn owe(
        &mut self,
        connector: ConnectorId,
        owner: CsId,
        attribute: AttrId,
        target: JoinedIn,
        wanted: bool,
    ) -> Result<(), ReadError> {
        let keys: Vec<_> =
            target.key.into_iter().chain(target.name_key).map(|key| (owner, attribute, key)).collect();
        let held = self.reader.has_links(&keys)?.into_iter().any(|hit| hit);
        let known = self.reader.export_links_by_key(&[(owner, attribute, target.cs)])?.into_iter().next();
        self.load_ends(connector, &[owner, target.cs])?;
        self.settle(connector, (owner, attribute, target.cs), held, wanted, known);
        Ok(())
    }

    fn settle(
        &mut self,
        connector: ConnectorId,
        key: (CsId, AttrId, CsId),
        held: bool,
        wanted: bool,
        known: Option<ExportLinkRow>,
    ) {
        // What is outside the pilot stays as it is: neither given links nor taken out of any.
        let outside = |id| self.batch.cs(id).is_some_and(|row| row.flags.has(CsFlags::OUTSIDE));
        let wanted = if outside(key.0) || outside(key.2) { held } else { wanted };
        let flying = known
            .as_ref()
            .filter(|k| matches!(k.state, ChangeState::Sent | ChangeState::Sending))
            .map(|k| k.add);
        if flying.unwrap_or(held) == wanted {
            if let Some(known) = known.filter(|_| flying.is_none() || held == wanted) {
                self.freed.extend(known.error.is_some().then_some((known.owner, known.attribute)));
                self.batch.changes.export_links_deleted.push((known.owner, known.attribute, known.target));
            }
            return;
        }
        if known.as_ref().is_some_and(|k| k.add == wanted && flying.is_none()) {
            return; // planned already, or refused and unchanged
        }
        let (owner, attribute, target) = key;
        self.freed.extend(known.and_then(|known| known.error).map(|_| (owner, attribute)));
        self.batch.changes.export_links.push(ExportLinkRow {
            connector,
            owner,
            attribute,
            target,
            add: wanted,
            state: ChangeState::Pending,
            attempts: 0,
            not_before: Time::default(),
            held: false,
            error: None,
        });
    }

    /// Link values of target objects that changed there, or point at an object whose join changed.
    fn check_values(&mut self) -> Result<(), ReadError> {
        let values: Vec<_> = std::mem::take(&mut self.values).into_iter().collect();
        self.batch.load_cs(values.iter().flat_map(|&(owner, _, target)| [owner, target]))?;
        for (owner, attribute, target) in values {
            let Some((connector, mv)) =
                self.batch.cs(owner).and_then(|row| Some((row.connector, row.join?.mv)))
            else {
                continue;
            };
            let Some(row) = self.batch.cs(target) else { continue };
            let (key, target_mv) = (row.key(), row.join.map(|join| join.mv));
            let name_key = self.reader.name_key(&[target])?.into_iter().map(|(_, key)| key).next();
            let mut wanted = false;
            for from in self.flowing_to(mv, owner, attribute)? {
                if let Some(target_mv) = target_mv {
                    wanted |= self.link_exists(mv, from, target_mv)?;
                }
            }
            let joined = JoinedIn { mv: target_mv.unwrap_or_default(), cs: target, key, name_key };
            self.owe(connector, owner, attribute, joined, wanted)?;
        }
        Ok(())
    }

    fn link_exists(&self, owner: MvId, attribute: AttrId, target: MvId) -> Result<bool, ReadError> {
        let unit = (owner, attribute, target);
        if self.batch.changes.mv_links_added.contains(&unit) {
            return Ok(true);
        }
        if self.batch.changes.mv_links_removed.contains(&unit) {
            return Ok(false);
        }
        Ok(self.reader.has_mv_links(&[unit])?.first().copied().unwrap_or(false))
    }
}
