//! Contact with a target directory: the object that is there already is found, or a new one is planned.
//!
//! An object is found by its source anchor. By a name it is found only where the configuration says so, and never
//! while the directory cannot tell who is protected; an object that has the name and may not be taken stands in the
//! way, and both are named.

use std::collections::BTreeSet;

use onesync_model::{
    ConnectorId, CsId, Image, NameVerdict, RuleId, TypeId, Value, Values, ValuesRef, join_key,
};
use onesync_rules::{JoinCondition, JoinGroup, LinkType, Rule};

use super::Outbound;
use crate::facts::holds_link;
use crate::identity::common;
use crate::policy::NameMatch;
use crate::state::{CsFlags, CsRow, Join, MvRow, Work};
use crate::trace::{JoinStep, Note, Subject};

impl<'a> Outbound<'a, '_> {
    /// Finds the object at the target, or plans to create it.
    pub(super) fn connect(
        &mut self,
        mv: &MvRow,
        connector: ConnectorId,
        object_type: TypeId,
        rules: &[&'a Rule],
        outside: bool,
    ) {
        let place = format!("join:{}", self.ctx.policies.of(connector).name);
        for id in self.batch.joined(mv.id) {
            self.batch.heal(id, |known| known == place);
        }
        let candidates: Vec<&'a Rule> =
            rules.iter().copied().filter(|rule| rule.object == object_type && holds_link(rule)).collect();
        for rule in &candidates {
            for (index, group) in rule.join.iter().enumerate() {
                if !self.may_join(connector, object_type, group) {
                    self.note_step(mv, connector, Some((rule, Some(index))), || JoinStep::NotAllowed);
                    continue;
                }
                let matches = self.matches(mv, connector, object_type, group);
                if matches.is_empty() {
                    let lacks = |c: &JoinCondition| mv.values.as_ref().get(c.metaverse).is_none();
                    let none = group.conditions.iter().any(lacks);
                    let step = if none { JoinStep::NoValue } else { JoinStep::NoMatch };
                    self.note_step(mv, connector, Some((rule, Some(index))), || step);
                }
                if self.take(mv, connector, &matches, rule, false, outside) {
                    return;
                }
            }
        }
        let Some(rule) = candidates.iter().find(|rule| rule.link == LinkType::Provision) else {
            self.note_step(mv, connector, None, || JoinStep::NoProvision);
            return;
        };
        for &by in &self.ctx.policies.of(connector).object_type(object_type).by_name {
            let matches = self.named(mv, connector, object_type, by);
            if matches.is_empty() {
                continue;
            }
            let attribute = self.ctx.attribute(by.connector).to_owned();
            let obstacle = match self.directories.get(&connector).and_then(|d| d.anchor_only.clone()) {
                _ if !by.adopt => {
                    Some(format!("adoption by it is not switched on (`adopt_by = [\"{attribute}\"]`)"))
                }
                Some(why) => Some(format!("matching by name is off: {why}")),
                None => None,
            };
            match obstacle {
                None => {
                    if self.take(mv, connector, &matches, rule, true, outside) {
                        return;
                    }
                }
                Some(why) => {
                    let step = || JoinStep::Refused(matches.clone(), why.clone());
                    self.note_step(mv, connector, Some((rule, None)), step);
                    self.conflict(mv, connector, &matches, &format!("has the same `{attribute}` as"), &why);
                    return;
                }
            }
        }
        self.note_step(mv, connector, Some((rule, None)), || JoinStep::Created);
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
        self.attach(mv.id, row, rule.id, outside);
    }

    /// Takes the one object that matches; says whether the question is settled, by joining it or by naming a conflict.
    fn take(
        &mut self,
        mv: &MvRow,
        connector: ConnectorId,
        matches: &[CsId],
        rule: &Rule,
        by_name: bool,
        outside: bool,
    ) -> bool {
        const JOINED: &str = "would be joined with";
        let [one] = matches else {
            if !matches.is_empty() {
                let all = || JoinStep::Several(matches.iter().copied().map(Subject::Cs).collect());
                self.note_step(mv, connector, Some((rule, None)), all);
                self.conflict(mv, connector, matches, JOINED, "several objects there match");
            }
            return !matches.is_empty();
        };
        let Some(row) = self.batch.cs(*one).cloned() else { return false };
        let key = self.ctx.policies.of(connector).object_type(row.object_type).create_key;
        let refusal = if row.flags.has(CsFlags::PROTECTED) {
            Some(format!("it is protected ({})", row.reason.as_deref().unwrap_or("by configuration")))
        } else if row.join.is_some_and(|join| join.mv != mv.id) {
            Some("it belongs to another object already".to_owned())
        } else if let Some(other) = key.filter(|_| by_name).and_then(|key| row.image.as_ref().get(key)) {
            let other = other.iter().next().map(|value| value.to_string()).unwrap_or_default();
            Some(format!("it has the source anchor `{other}` of another object"))
        } else {
            None
        };
        if let Some(why) = refusal {
            let step = || JoinStep::Refused(matches.to_vec(), why.clone());
            self.note_step(mv, connector, Some((rule, None)), step);
            self.conflict(mv, connector, matches, JOINED, &why);
            return true;
        }
        self.note_step(mv, connector, Some((rule, None)), || JoinStep::Joined(Subject::Cs(row.id)));
        let target = &self.ctx.policies.of(connector).name;
        let how = if by_name { ", by name" } else { "" };
        self.event(mv.id, &format!("joined {target}: {} by rule `{}`{how}", row.name, rule.name));
        self.attach(mv.id, row, rule.id, outside);
        true
    }

    fn attach(&mut self, mv: onesync_model::MvId, row: CsRow, rule: RuleId, outside: bool) {
        let id = row.id;
        let flags = row
            .flags
            .with(CsFlags::REFUSED, false)
            .with(CsFlags::NO_JOIN_VALUE, false)
            .with(CsFlags::OUTSIDE, outside);
        let owned = !row.flags.has(CsFlags::MASTERED_ELSEWHERE);
        let join = Some(Join { mv, rule, run: self.ctx.run, owned });
        self.batch.put_cs(CsRow { join, flags, ..row });
        self.batch.wake(Work::Target(id));
        self.wake_links(mv);
    }

    fn may_join(&self, connector: ConnectorId, object_type: TypeId, group: &JoinGroup) -> bool {
        let anchor_only = self.directories.get(&connector).is_some_and(|d| d.anchor_only.is_some());
        self.ctx.policies.of(connector).object_type(object_type).may_join(group, anchor_only)
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

    fn note_step(
        &self,
        mv: &MvRow,
        connector: ConnectorId,
        by: Option<(&Rule, Option<usize>)>,
        step: impl FnOnce() -> JoinStep,
    ) {
        let (rule, group) = by.map_or((None, None), |(rule, group)| (Some(rule.id), group));
        self.ctx.note(|| Note::Join { of: Subject::Mv(mv.id), connector, rule, group, step: step() });
    }

    // --- names ---

    /// The name by which an object would be found there: as it would be written.
    fn name_wanted(&self, mv: &MvRow, connector: ConnectorId, by: NameMatch) -> Option<Values> {
        let wanted = mv.values.as_ref().get(by.metaverse).and_then(ValuesRef::to_values)?;
        let domains = self.directories.get(&connector).and_then(|d| d.domains.as_ref());
        match (domains, wanted.as_slice()) {
            (Some(domains), [one]) => match domains.judge(one.as_str().unwrap_or_default()) {
                NameVerdict::Replaced(name) => Some(Values::one(Value::string(name))),
                NameVerdict::Good | NameVerdict::Held(_) => Some(wanted),
            },
            _ => Some(wanted),
        }
    }

    /// The join keys of these names.
    pub(super) fn name_keys(&self, mv: &MvRow, connector: ConnectorId, keys: &mut Vec<i64>) {
        for rules in self.ctx.policies.of(connector).types.values() {
            for &by in &rules.by_name {
                let wanted = self.name_wanted(mv, connector, by);
                let values = wanted.iter().flat_map(|values| values.as_slice());
                keys.extend(values.map(|value| join_key(by.connector, value.as_ref())));
            }
        }
    }

    /// Objects there that have a name.
    fn named(&self, mv: &MvRow, connector: ConnectorId, object_type: TypeId, by: NameMatch) -> Vec<CsId> {
        let Some(wanted) = self.name_wanted(mv, connector, by) else { return Vec::new() };
        let mut ids = BTreeSet::new();
        for value in wanted.as_slice() {
            ids.extend(
                self.by_key.get(&join_key(by.connector, value.as_ref())).into_iter().flatten().copied(),
            );
        }
        let mut bag = onesync_model::Bag::new();
        bag.set(by.connector, Some(wanted));
        let image = Image::from_bag(&bag);
        ids.retain(|&id| {
            self.batch.cs(id).is_some_and(|row| {
                row.connector == connector
                    && row.object_type == object_type
                    && !row.flags.has(CsFlags::GONE)
                    && common(row.image.as_ref().get(by.connector), image.as_ref().get(by.connector), false)
            })
        });
        ids.into_iter().collect()
    }

    fn conflict(&mut self, mv: &MvRow, connector: ConnectorId, matches: &[CsId], what: &str, why: &str) {
        let names: Vec<String> = matches
            .iter()
            .take(3)
            .filter_map(|&id| self.batch.cs(id))
            .map(|row| format!("`{}`", row.name))
            .collect();
        let target = &self.ctx.policies.of(connector).name;
        let source = self.batch.joined(mv.id).into_iter().filter_map(|id| self.batch.cs(id)).next();
        let Some((id, source, name)) = source.map(|row| (row.id, row.connector, row.name.clone())) else {
            return;
        };
        let message = format!(
            "`{name}` {what} {} in {target}, but {why}; nothing is written. Resolve it there, or map the object explicitly",
            names.join(", ")
        );
        self.batch.error(self.ctx, (id, source), &format!("join:{target}"), "conflict", message, false);
    }
}
