//! The identity pass: scope, join, provisioning; and the values of every metaverse object that it touches.
//!
//! Decisions are made serially, in the order object type, anchor, and each sees those before it. What can be computed
//! ahead (scopes, join keys) and afterwards (values) is computed in parallel.
//!
//! - An established join stays. A newcomer that wants the place of an object of the same connector and type is
//!   refused, with both names.
//! - Newcomers of one connector and type with one join key are all refused: they are found by the join index, which
//!   holds every object of the connector space, so that order and batch size do not matter.
//! - An object that loses its link while nothing else keeps its metaverse object makes that object *leaving*; it
//!   stays joined until the deprovisioning is done, and comes back as it was when the object returns.

mod newcomers;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use onesync_expr::{LINKS_MAX, Program};
use onesync_model::{
    AttrId, ConnectorId, CsId, MvId, TypeId, Value, ValueRef, ValuesRef, fold_case, join_key,
};
use onesync_rules::{Direction, Flow, JoinGroup};

use crate::batch::{Batch, Context};
use crate::deleted::delete_cs;
use crate::facts::Facts;
use crate::link_names::LinkNames;
use crate::memberships::Memberships;
use crate::reader::{ReadError, Reader};
use crate::state::{CsFlags, CsRow, Join, MvRow, MvState, Turn, Work};
use crate::values::{self, Contributor, fits};
use crate::{Changes, parallel};

/// Names of links in memory at once beyond those of one object: some megabytes.
const NAMES_AT_ONCE: u64 = 50_000;

/// Decides about connector-space objects that are on the agenda.
///
/// # Errors
/// When the reader fails.
pub fn identity(ctx: &Context<'_>, reader: &dyn Reader, turns: &[Turn]) -> Result<Changes, ReadError> {
    let mut pass = Pass::new(ctx, Batch::new(reader, ctx.run)?);
    let mut ordered = turns.to_vec();
    ordered.sort_unstable();
    let ids: Vec<CsId> = ordered.iter().map(|turn| turn.cs).collect();
    pass.load(&ids)?;
    for turn in ordered {
        pass.decide(turn.cs)?;
        pass.batch.done(Work::Identity(turn));
    }
    pass.compute_values()?;
    Ok(pass.batch.finish(ctx))
}

/// Computes the values of metaverse objects that are on the agenda.
///
/// # Errors
/// When the reader fails.
pub fn values(ctx: &Context<'_>, reader: &dyn Reader, ids: &[MvId]) -> Result<Changes, ReadError> {
    let mut pass = Pass::new(ctx, Batch::new(reader, ctx.run)?);
    pass.batch.load_mv(ids.iter().copied())?;
    for &id in ids {
        pass.affected.insert(id);
        pass.batch.done(Work::Values(id));
    }
    pass.compute_values()?;
    Ok(pass.batch.finish(ctx))
}

struct Pass<'a, 'r> {
    ctx: &'a Context<'a>,
    batch: Batch<'r>,
    facts: HashMap<CsId, Facts<'a>>,
    dns: HashMap<CsId, String>,
    memberships: Memberships,
    /// The names of links that are looked at, of objects that are being computed.
    link_names: HashMap<CsId, LinkNames>,
    /// Connectors whose newcomers are found by their anchor only, as far as it was asked.
    anchor_only: BTreeMap<ConnectorId, bool>,
    /// Metaverse objects by join key, as read for this batch.
    mv_by_key: HashMap<i64, Vec<MvId>>,
    affected: BTreeSet<MvId>,
}

impl<'a, 'r> Pass<'a, 'r> {
    fn new(ctx: &'a Context<'a>, batch: Batch<'r>) -> Self {
        Self {
            ctx,
            batch,
            facts: HashMap::new(),
            dns: HashMap::new(),
            memberships: Memberships::default(),
            link_names: HashMap::new(),
            anchor_only: BTreeMap::new(),
            mv_by_key: HashMap::new(),
            affected: BTreeSet::new(),
        }
    }

    /// Reads everything the decisions need in a few set reads.
    fn load(&mut self, ids: &[CsId]) -> Result<(), ReadError> {
        self.batch.load_cs(ids.iter().copied())?;
        self.know_facts(ids)?;
        let mvs: Vec<MvId> =
            ids.iter().filter_map(|&id| self.batch.cs(id)?.join).map(|join| join.mv).collect();
        self.batch.load_mv(mvs.iter().copied())?;
        let (mut cs_keys, mut mv_keys) = (Vec::new(), Vec::new());
        for &id in ids {
            let Some(row) = self.batch.cs(id).filter(|row| row.join.is_none()) else { continue };
            for group in
                self.facts.get(&id).into_iter().flat_map(|facts| &facts.rules).flat_map(|rule| &rule.join)
            {
                let Some(first) = group.conditions.first() else { continue };
                for value in row.image.as_ref().get(first.connector).into_iter().flat_map(ValuesRef::iter) {
                    cs_keys.push(join_key(first.connector, value));
                    mv_keys.push(join_key(first.metaverse, value));
                }
            }
        }
        self.batch.load_cs_keys(&cs_keys)?;
        mv_keys.sort_unstable();
        mv_keys.dedup();
        let mut found = Vec::new();
        for key in &mv_keys {
            self.mv_by_key.insert(*key, Vec::new());
        }
        for (key, mv) in self.batch.reader.mv_by_join(&mv_keys)? {
            self.mv_by_key.entry(key).or_default().push(mv);
            found.push(mv);
        }
        self.batch.load_mv(found)?;
        let rivals: Vec<CsId> = cs_keys.iter().flat_map(|&key| self.batch.cs_of_key(key)).copied().collect();
        self.batch.load_cs(rivals)
    }

    /// Evaluates scopes, in parallel where there are many.
    fn know_facts(&mut self, ids: &[CsId]) -> Result<(), ReadError> {
        // Once each: an object whose type has changed may have two turns, and its groups are given once.
        let unknown: BTreeSet<CsId> = ids.iter().copied().filter(|id| !self.facts.contains_key(id)).collect();
        let rows: Vec<CsRow> = unknown.into_iter().filter_map(|id| self.batch.cs(id).cloned()).collect();
        let ctx = self.ctx;
        let mut groups = self.memberships.of(ctx, &mut self.batch, &rows)?;
        let mut work = Vec::with_capacity(rows.len());
        for row in rows {
            let (dn, groups) = (self.batch.dn(&row)?, groups.remove(&row.id).unwrap_or_default());
            work.push((row, dn, groups));
        }
        let facts = parallel::map(ctx.threads, &work, |(row, dn, groups)| Facts::new(ctx, row, dn, groups));
        for ((row, dn, _), facts) in work.into_iter().zip(facts) {
            self.dns.insert(row.id, dn);
            self.facts.insert(row.id, facts);
        }
        Ok(())
    }

    fn decide(&mut self, id: CsId) -> Result<(), ReadError> {
        let Some(row) = self.batch.cs(id).cloned() else { return Ok(()) };
        if row.flags.has(CsFlags::CONFLICT) {
            return Ok(()); // stays exactly as it is until an import shows it once
        }
        let failed: Vec<String> = self
            .facts
            .get(&id)
            .into_iter()
            .flat_map(|f| &f.failed)
            .map(|(rule, m)| format!("rule `{}`: {m}", rule.name))
            .collect();
        self.batch.heal(id, |place| place == "scope");
        if !failed.is_empty() {
            let message = format!("{}; the object stays as it is", failed.join("; "));
            self.batch.error(self.ctx, (id, row.connector), "scope", "scope-failed", message, false);
        }
        match row.join {
            Some(join) => self.review_join(row, join, !failed.is_empty()),
            None if row.flags.has(CsFlags::GONE) => {
                self.wake_rivals(&row)?;
                delete_cs(self.ctx, &mut self.batch, &row, None)
            }
            None => self.place_newcomer(row, !failed.is_empty()),
        }
    }

    // --- objects that are joined ---

    fn review_join(&mut self, row: CsRow, join: Join, unclear: bool) -> Result<(), ReadError> {
        self.affected.insert(join.mv);
        let Some(mv) = self.batch.mv(join.mv).cloned() else { return Ok(()) };
        let outbound =
            self.ctx.rules.rule(join.rule).is_some_and(|rule| rule.direction == Direction::Outbound);
        if outbound || join.owned {
            // A target object: its link is the outbound rules' affair. When the directory has deleted it, it goes.
            if row.flags.has(CsFlags::GONE) {
                self.leave(&row, &mv, "deleted in the directory")?;
                delete_cs(self.ctx, &mut self.batch, &row, Some(mv.id))?;
                self.batch.delete_export(row.id);
            }
            self.batch.wake(Work::Outbound(mv.id));
            return Ok(());
        }
        let gone = row.flags.has(CsFlags::GONE);
        let holds =
            !gone && (unclear || self.facts.get(&row.id).is_some_and(|facts| facts.links_to(mv.object_type)));
        let stays = !gone && self.ctx.policies.of(row.connector).stay_joined_out_of_scope;
        if holds || stays {
            if holds
                && let MvState::Leaving { .. } = mv.state
                && self.someone_keeps(mv.id, mv.object_type)?
            {
                self.resume(mv);
            }
            return Ok(());
        }
        let keep: Vec<CsId> =
            self.batch.joined(join.mv).into_iter().filter(|&other| other != row.id).collect();
        self.know_facts(&keep)?;
        if keep.iter().any(|other| self.facts.get(other).is_some_and(|facts| facts.keeps(mv.object_type))) {
            self.leave(&row, &mv, if gone { "deleted at the source" } else { "left the scope" })?;
            self.wake_rivals(&row)?;
            if gone {
                delete_cs(self.ctx, &mut self.batch, &row, Some(mv.id))?;
            }
        } else if mv.state == MvState::Active {
            let mut leaving = mv.clone();
            leaving.state = MvState::Leaving { since: self.ctx.now, deleted: gone };
            let why = if gone { "was deleted at the source" } else { "left the scope" };
            let label = self.label(&row)?;
            self.event(mv.id, &format!("leaving: {label} {why}"));
            self.batch.put_mv(leaving);
            self.batch.wake(Work::Outbound(mv.id));
            // Who was refused because of this one may take its place: the metaverse object stays.
            self.wake_rivals(&row)?;
        }
        Ok(())
    }

    fn someone_keeps(&mut self, mv: MvId, mv_type: TypeId) -> Result<bool, ReadError> {
        let joined = self.batch.joined(mv);
        self.know_facts(&joined)?;
        Ok(joined.iter().any(|id| self.facts.get(id).is_some_and(|facts| facts.keeps(mv_type))))
    }

    fn resume(&mut self, mv: MvRow) {
        let id = mv.id;
        // No links were owed to anybody meanwhile.
        let attributes: BTreeSet<AttrId> = mv.picks.iter().map(|pick| pick.attribute).collect();
        attributes.into_iter().for_each(|attribute| self.batch.wake(Work::MvLinks(id, attribute)));
        self.batch.put_mv(MvRow { state: MvState::Active, ..mv });
        self.event(id, "resumed");
        self.affected.insert(id);
        self.batch.wake(Work::Outbound(id));
        // What stayed only because the object was leaving is judged again.
        for other in self.batch.joined(id) {
            if let Some(row) = self.batch.cs(other).cloned() {
                self.batch.wake_identity(&row);
            }
        }
    }

    /// Takes a join away.
    fn leave(&mut self, row: &CsRow, mv: &MvRow, why: &str) -> Result<(), ReadError> {
        let label = self.label(row)?;
        self.event(mv.id, &format!("{label} {why}"));
        let free = CsRow { join: None, ..row.clone() };
        if !row.flags.has(CsFlags::GONE) {
            self.batch.wake_identity(&free); // a newcomer like others from now on
        }
        self.batch.put_cs(free);
        self.affected.insert(mv.id);
        self.batch.wake(Work::Target(row.id));
        self.batch.wake(Work::MvTarget(mv.id));
        self.batch.wake(Work::Outbound(mv.id));
        let attributes: BTreeSet<AttrId> = mv.picks.iter().map(|pick| pick.attribute).collect();
        for attribute in attributes {
            self.batch.wake(Work::MvLinks(mv.id, attribute));
        }
        Ok(())
    }

    /// Contributors ordered by anchor (connectors by rank come through the rules' order).
    fn contributors(&self, joined: &[CsId], mv_type: TypeId) -> Vec<Contributor<'_>> {
        let mut list: Vec<Contributor<'_>> = joined
            .iter()
            .filter_map(|id| {
                let row = self.batch.cs(*id)?;
                let frozen = row.flags.has(CsFlags::CONFLICT);
                let rules = self.facts.get(id)?.rules.iter().filter(|rule| !frozen && fits(rule, mv_type));
                let dn = self.dns.get(id).map_or("", String::as_str);
                let links = self.link_names.get(id);
                Some(Contributor { row, dn, rules: rules.copied().collect(), links })
            })
            .collect();
        list.sort_by(|a, b| (&a.row.anchor, a.row.id).cmp(&(&b.row.anchor, b.row.id)));
        list
    }

    // --- values ---

    fn compute_values(&mut self) -> Result<(), ReadError> {
        let affected: Vec<MvId> = std::mem::take(&mut self.affected).into_iter().collect();
        let joined: Vec<CsId> = affected.iter().flat_map(|&mv| self.batch.joined(mv)).collect();
        self.know_facts(&joined)?;
        let active: Vec<MvRow> = affected
            .iter()
            .filter_map(|&id| self.batch.mv(id))
            .filter(|mv| mv.state == MvState::Active && !self.withheld(mv.id))
            .cloned()
            .collect();
        let mut rest = active;
        while !rest.is_empty() {
            let behind = rest.split_off(self.read_names(&rest)?);
            let part = std::mem::replace(&mut rest, behind);
            let computed = {
                let (ctx, this) = (self.ctx, &*self);
                let work: Vec<(&MvRow, Vec<Contributor<'_>>)> = part
                    .iter()
                    .map(|mv| (mv, this.contributors(&this.batch.joined(mv.id), mv.object_type)))
                    .collect();
                parallel::map(ctx.threads, &work, |(mv, contributors)| {
                    values::compute(ctx, Some(mv), contributors, None)
                })
            };
            for (mv, computed) in part.into_iter().zip(computed) {
                crate::settle::settle_values(self.ctx, &mut self.batch, mv, computed)?;
            }
        }
        self.link_names.clear();
        self.batch.wake_waiting(self.ctx)
    }

    /// Reads the names of links that are looked at, for as many of some objects as are to be in memory at once: at least
    /// for one. Gives their number.
    fn read_names(&mut self, mvs: &[MvRow]) -> Result<usize, ReadError> {
        self.link_names.clear();
        let mut links = 0;
        for (number, mv) in mvs.iter().enumerate() {
            let joined = self.batch.joined(mv.id);
            let asked: Vec<(CsId, BTreeSet<AttrId>)> =
                joined.into_iter().map(|id| (id, self.names_asked(id, None))).collect();
            let of = |(id, asked): &(CsId, BTreeSet<AttrId>)| {
                let row = self.batch.cs(*id);
                asked
                    .iter()
                    .filter_map(|&attribute| Some(row?.link_count(attribute).min(LINKS_MAX)))
                    .sum::<u64>()
            };
            links += asked.iter().map(of).sum::<u64>();
            if number > 0 && links > NAMES_AT_ONCE {
                return Ok(number);
            }
            for (id, asked) in asked {
                self.read_names_of(id, asked)?;
            }
        }
        Ok(mvs.len())
    }

    /// The link attributes of an object at whose single links rules in scope look, for these metaverse attributes or all.
    fn names_asked(&self, id: CsId, only: Option<&[AttrId]>) -> BTreeSet<AttrId> {
        let asking = self
            .batch
            .cs(id)
            .filter(|row| !self.ctx.rules.link_names_asked(row.connector, row.object_type).is_empty());
        let rules = asking.and_then(|_| self.facts.get(&id)).map(|facts| facts.rules.as_slice());
        let flows = rules.into_iter().flatten().flat_map(|rule| &rule.flows);
        let wanted = flows.filter(|flow| only.is_none_or(|only| only.contains(&flow.target)));
        wanted.filter_map(Flow::program).flat_map(Program::link_names).copied().collect()
    }

    fn read_names_of(&mut self, id: CsId, asked: BTreeSet<AttrId>) -> Result<(), ReadError> {
        if let Some(row) = self.batch.cs(id).filter(|_| !asked.is_empty()).cloned() {
            let names = LinkNames::read(&mut self.batch, &row, asked)?;
            self.link_names.insert(id, names);
        }
        Ok(())
    }

    /// Whether an object in conflict withholds a metaverse object by `Error()`: that stands until an import shows it once.
    fn withheld(&self, mv: MvId) -> bool {
        let mut joined = self.batch.joined(mv).into_iter().filter_map(|id| self.batch.cs(id));
        joined.any(|row| row.flags.has(CsFlags::CONFLICT) && self.batch.has_error(row.id, "object"))
    }

    /// Objects that were refused because of this one are judged again.
    fn wake_rivals(&mut self, row: &CsRow) -> Result<(), ReadError> {
        let keys: Vec<i64> = crate::sources::cs_keys(self.ctx, row).into_iter().collect();
        self.batch.wake_unjoined(&keys)
    }

    // --- words ---

    fn label(&mut self, row: &CsRow) -> Result<String, ReadError> {
        if !self.dns.contains_key(&row.id) {
            let dn = self.batch.dn(row)?;
            self.dns.insert(row.id, dn);
        }
        let name = self.dns.get(&row.id).map_or("", String::as_str);
        Ok(format!("{}: {name}", self.ctx.policies.of(row.connector).name))
    }

    fn conditions(&self, group: &JoinGroup) -> String {
        let names: Vec<String> =
            group.conditions.iter().map(|c| format!("`{}`", self.ctx.attribute(c.connector))).collect();
        names.join(" and ")
    }

    fn event(&mut self, mv: MvId, event: &str) {
        self.batch.event(self.ctx, mv, event);
    }
}

/// Whether two attributes have a value in common.
pub(crate) fn common(a: Option<ValuesRef<'_>>, b: Option<ValuesRef<'_>>, case_sensitive: bool) -> bool {
    let (Some(a), Some(b)) = (a, b) else { return false };
    a.iter().any(|x| b.iter().any(|y| same(x, y, case_sensitive)))
}

fn same(a: ValueRef<'_>, b: ValueRef<'_>, case_sensitive: bool) -> bool {
    match (a, b) {
        (ValueRef::String(a) | ValueRef::Reference(a), ValueRef::String(b) | ValueRef::Reference(b)) => {
            a == b || (!case_sensitive && fold_case(a) == fold_case(b))
        }
        (ValueRef::String(text) | ValueRef::Reference(text), other)
        | (other, ValueRef::String(text) | ValueRef::Reference(text)) => {
            let other = other.to_string();
            text == other || (!case_sensitive && fold_case(text) == fold_case(&other))
        }
        _ => a == b,
    }
}

/// A value in a join attribute that a metaverse object did not have before.
pub(crate) type GainedValue = (AttrId, Value);
