//! Newcomers: objects that are not joined yet find their place, or are refused it.

use std::collections::BTreeSet;

use onesync_model::{CsId, Image, MvGuid, MvId, ValuesRef, hash128, join_key};
use onesync_rules::{JoinGroup, LinkType, Rule};

use super::{Pass, common};
use crate::facts::holds_link;
use crate::reader::ReadError;
use crate::state::{CsFlags, CsRow, Join, MvRow, MvState, Work};
use crate::trace::{JoinStep, Note, Subject};
use crate::values::{self, fits};

/// Where a newcomer belongs.
enum Place<'a> {
    Join(MvId, &'a Rule),
    Create(&'a Rule),
    Refused {
        code: &'static str,
        message: String,
    },
    Nowhere,
    /// A rule would create a metaverse object, but only for what could have been joined.
    NoJoinValue,
    /// A condition failed: nothing changes.
    Unclear,
}

impl<'a> Pass<'a, '_> {
    pub(super) fn place_newcomer(&mut self, row: CsRow, unclear: bool) -> Result<(), ReadError> {
        let place = if unclear || row.flags.has(CsFlags::PROTECTED) {
            self.note_step(&row, None, || JoinStep::Undecided);
            Place::Unclear
        } else {
            self.find_place(&row)?
        };
        match place {
            Place::Unclear => {}
            Place::Refused { code, message } => {
                self.batch.error(self.ctx, (row.id, row.connector), "join", code, message, false);
                self.mark(row, true, false);
            }
            Place::Nowhere | Place::NoJoinValue => {
                self.batch.heal(row.id, |place| place == "join");
                self.mark(row, false, matches!(place, Place::NoJoinValue));
            }
            Place::Join(mv, rule) => {
                self.batch.heal(row.id, |place| place == "join");
                self.join(row, mv, rule)?;
            }
            Place::Create(rule) => {
                self.batch.heal(row.id, |place| place == "join");
                self.create(row, rule)?;
            }
        }
        Ok(())
    }

    /// Says of an object that stays unjoined why.
    fn mark(&mut self, row: CsRow, refused: bool, no_join_value: bool) {
        let flags = row.flags.with(CsFlags::REFUSED, refused).with(CsFlags::NO_JOIN_VALUE, no_join_value);
        if flags != row.flags {
            self.batch.put_cs(CsRow { flags, ..row });
        }
    }

    fn find_place(&mut self, row: &CsRow) -> Result<Place<'a>, ReadError> {
        let anchor_only = match self.anchor_only.get(&row.connector) {
            Some(&known) => known,
            None => {
                let found = self.batch.reader.state(row.connector, crate::ANCHOR_ONLY)?.is_some();
                self.anchor_only.insert(row.connector, found);
                found
            }
        };
        let rules: Vec<&'a Rule> =
            self.facts.get(&row.id).map(|facts| facts.rules.clone()).unwrap_or_default();
        for rule in rules.iter().filter(|rule| holds_link(rule)) {
            let policy = self.ctx.policies.of(row.connector).object_type(row.object_type);
            for (index, group) in rule.join.iter().enumerate() {
                let at = Some((*rule, Some(index)));
                if !policy.may_join(group, anchor_only) {
                    self.note_step(row, at, || JoinStep::NotAllowed);
                    continue;
                }
                let rivals = self.rivals(row, rule, group)?;
                if !rivals.is_empty() {
                    self.note_step(row, at, || {
                        JoinStep::Rivals(rivals.iter().map(|rival| rival.id).collect())
                    });
                    // They want the same place, and may not know it yet.
                    let known = row.flags.has(CsFlags::REFUSED);
                    for rival in rivals.iter().filter(|r| !known || !r.flags.has(CsFlags::REFUSED)) {
                        self.batch.wake_identity(rival);
                    }
                    let mut names = Vec::new();
                    for rival in &rivals {
                        names.push(format!("`{}`", self.label(rival)?));
                    }
                    names.sort();
                    names.truncate(3);
                    let more = if rivals.len() > 3 {
                        format!(" and {} more", rivals.len() - 3)
                    } else {
                        String::new()
                    };
                    let message = format!(
                        "`{}` and {}{more} have the same {} and would join one metaverse object: none of them does; make the values differ, or take one out of the scope of rule `{}`",
                        self.label(row)?,
                        names.join(", "),
                        self.conditions(group),
                        rule.name
                    );
                    return Ok(Place::Refused { code: "duplicate-join-key", message });
                }
                let matches = self.matches(row, rule, group);
                let [one] = matches.as_slice() else {
                    self.note_step(row, at, || no_single_match(row, group, &matches));
                    continue;
                };
                let holder = self
                    .batch
                    .joined(*one)
                    .into_iter()
                    .filter_map(|id| self.batch.cs(id))
                    .find(|other| {
                        other.connector == row.connector
                            && other.object_type == row.object_type
                            && !other.flags.has(CsFlags::GONE)
                    })
                    .cloned();
                if let Some(holder) = holder {
                    self.note_step(row, at, || JoinStep::Taken(holder.id));
                    let message = format!(
                        "`{}` matches the metaverse object of `{}` by {}; that object holds the place and keeps it. Make the values differ, or remove one of the two",
                        self.label(row)?,
                        self.label(&holder)?,
                        self.conditions(group)
                    );
                    return Ok(Place::Refused { code: "place-taken", message });
                }
                self.note_step(row, at, || JoinStep::Joined(Subject::Mv(*one)));
                return Ok(Place::Join(*one, rule));
            }
        }
        let provision =
            rules.iter().find(|rule| rule.link == LinkType::Provision && rule.metaverse.is_some());
        let Some(rule) = provision else {
            self.note_step(row, None, || JoinStep::NoProvision);
            return Ok(Place::Nowhere);
        };
        // A rule with join conditions provisions only what could have been joined.
        let image = row.image.as_ref();
        let joinable = rule.join.is_empty()
            || rule.join.iter().flat_map(|group| &group.conditions).any(|c| image.get(c.connector).is_some());
        let step = if joinable { JoinStep::Created } else { JoinStep::NothingToJoinBy };
        self.note_step(row, Some((rule, None)), || step);
        Ok(if joinable { Place::Create(rule) } else { Place::NoJoinValue })
    }

    fn note_step(&self, row: &CsRow, by: Option<(&Rule, Option<usize>)>, step: impl FnOnce() -> JoinStep) {
        let (rule, group) = by.map_or((None, None), |(rule, group)| (Some(rule.id), group));
        let (of, connector) = (Subject::Cs(row.id), row.connector);
        self.ctx.note(|| Note::Join { of, connector, rule, group, step: step() });
    }

    /// Unjoined objects of the same connector and type, in the scope of the same rule, with the same join values.
    fn rivals(&mut self, row: &CsRow, rule: &'a Rule, group: &JoinGroup) -> Result<Vec<CsRow>, ReadError> {
        let Some(first) = group.conditions.first() else { return Ok(Vec::new()) };
        let mut ids = BTreeSet::new();
        for value in row.image.as_ref().get(first.connector).into_iter().flat_map(ValuesRef::iter) {
            ids.extend(self.batch.cs_of_key(join_key(first.connector, value)));
        }
        ids.remove(&row.id);
        let candidates: Vec<CsId> = ids
            .into_iter()
            .filter(|&id| {
                self.batch.cs_before(id).or_else(|| self.batch.cs(id)).is_some_and(|other| {
                    // Who was unjoined when the batch began is a rival, even if a decision of this batch joined it.
                    other.join.is_none()
                        && other.connector == row.connector
                        && other.object_type == row.object_type
                        && !other.flags.has(CsFlags::GONE)
                        && !other.flags.has(CsFlags::CONFLICT)
                        && group.conditions.iter().all(|c| {
                            let (a, b) =
                                (row.image.as_ref().get(c.connector), other.image.as_ref().get(c.connector));
                            common(a, b, c.case_sensitive)
                        })
                })
            })
            .collect();
        self.know_facts(&candidates)?;
        Ok(candidates
            .into_iter()
            .filter(|id| self.facts.get(id).is_some_and(|facts| facts.rules.iter().any(|r| r.id == rule.id)))
            .filter_map(|id| self.batch.cs_before(id).or_else(|| self.batch.cs(id)).cloned())
            .collect())
    }

    /// Metaverse objects that a join group matches.
    fn matches(&self, row: &CsRow, rule: &Rule, group: &JoinGroup) -> Vec<MvId> {
        let Some(first) = group.conditions.first() else { return Vec::new() };
        let mut ids = BTreeSet::new();
        for value in row.image.as_ref().get(first.connector).into_iter().flat_map(ValuesRef::iter) {
            let key = join_key(first.metaverse, value);
            ids.extend(self.mv_by_key.get(&key).into_iter().flatten().copied());
            ids.extend(self.batch.mv_keys_in_batch(key));
        }
        ids.into_iter()
            .filter(|&id| {
                self.batch.mv(id).is_some_and(|mv| {
                    fits(rule, mv.object_type)
                        && group.conditions.iter().all(|c| {
                            let (a, b) =
                                (row.image.as_ref().get(c.connector), mv.values.as_ref().get(c.metaverse));
                            common(a, b, c.case_sensitive)
                        })
                })
            })
            .collect()
    }

    fn join(&mut self, row: CsRow, mv: MvId, rule: &Rule) -> Result<(), ReadError> {
        let label = self.label(&row)?;
        self.event(mv, &format!("joined {label} by rule `{}`", rule.name));
        self.link(row, mv, rule);
        if let Some(leaving) = self.batch.mv(mv).filter(|mv| mv.state != MvState::Active).cloned()
            && self.someone_keeps(mv, leaving.object_type)?
        {
            self.resume(leaving);
        }
        self.refresh_join_values(mv)
    }

    fn create(&mut self, row: CsRow, rule: &Rule) -> Result<(), ReadError> {
        let Some(object_type) = rule.metaverse else { return Ok(()) };
        let id = self.batch.new_mv_id();
        let anchor = row.anchor.clone().unwrap_or_default();
        let guid = MvGuid(hash128(&[b"mv", &row.connector.0.to_le_bytes(), &anchor.0]).0);
        let (values, causes, picks) = (Image::empty(), Vec::new(), Vec::new());
        self.batch.put_mv(MvRow { id, guid, object_type, values, causes, picks, state: MvState::Active });
        let label = self.label(&row)?;
        self.event(id, &format!("created for {label} by rule `{}`", rule.name));
        self.link(row, id, rule);
        self.refresh_join_values(id)
    }

    fn link(&mut self, row: CsRow, mv: MvId, rule: &Rule) {
        // Nothing is ours by an inbound rule: what can be written is adopted when an outbound rule holds it, or never.
        let join = Some(Join { mv, rule: rule.id, run: self.ctx.run, owned: false });
        let flags = row.flags.with(CsFlags::REFUSED, false).with(CsFlags::NO_JOIN_VALUE, false);
        self.affected.insert(mv);
        self.batch.wake(Work::Outbound(mv));
        self.batch.wake(Work::Target(row.id));
        self.wake_refused(&row);
        self.batch.put_cs(CsRow { join, flags, ..row });
    }

    /// Whoever was, or is going to be, refused because of this newcomer is judged again now that it has its place.
    fn wake_refused(&mut self, row: &CsRow) {
        let mut ids = BTreeSet::new();
        let groups = self.facts.get(&row.id).into_iter().flat_map(|f| &f.rules).flat_map(|rule| &rule.join);
        for first in groups.filter_map(|group| group.conditions.first()) {
            for value in row.image.as_ref().get(first.connector).into_iter().flat_map(ValuesRef::iter) {
                ids.extend(self.batch.cs_of_key(join_key(first.connector, value)));
            }
        }
        ids.remove(&row.id);
        for id in ids {
            if let Some(other) = self.batch.cs(id).filter(|other| other.join.is_none()).cloned() {
                self.batch.wake_identity(&other);
            }
        }
    }

    /// Makes the values that others may join by visible to the rest of the batch.
    fn refresh_join_values(&mut self, mv: MvId) -> Result<(), ReadError> {
        let only = self.ctx.rules.join_attributes_mv();
        let joined = self.batch.joined(mv);
        self.know_facts(&joined)?;
        let Some(row) = self.batch.mv(mv).cloned() else { return Ok(()) };
        for &id in &joined {
            self.read_names_of(id, self.names_asked(id, Some(only)))?;
        }
        let computed =
            values::compute(self.ctx, Some(&row), &self.contributors(&joined, row.object_type), Some(only));
        self.link_names.clear();
        if computed.raised.is_some() || matches!(row.state, MvState::Leaving { .. }) {
            return Ok(());
        }
        let mut bag = row.values.to_bag();
        for &attribute in only {
            bag.set(attribute, computed.values.as_ref().get(attribute).and_then(ValuesRef::to_values));
        }
        let mut row = row;
        // Causes of these values are set with all others at the end of the batch; until then retained facts stay.
        row.values = Image::from_bag(&bag);
        for key in crate::sources::mv_keys(self.ctx, &row) {
            self.batch.add_mv_key(key, mv);
        }
        self.batch.put_mv(row);
        Ok(())
    }
}

/// Why a join group leads nowhere.
fn no_single_match(row: &CsRow, group: &JoinGroup, matches: &[MvId]) -> JoinStep {
    if !matches.is_empty() {
        return JoinStep::Several(matches.iter().copied().map(Subject::Mv).collect());
    }
    let image = row.image.as_ref();
    let none = group.conditions.iter().any(|condition| image.get(condition.connector).is_none());
    if none { JoinStep::NoValue } else { JoinStep::NoMatch }
}
