//! The directory itself: objects, links, indices and the order of changes.
//!
//! One sequence number per change. Every object stands once in its kind's change order, at its latest change, so
//! that a delta page costs its own length. Deliberately absent: rules about what may be written (`rules`), and
//! everything about HTTP.

mod links;
mod snapshot;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

pub(crate) use links::Links;
pub(crate) use snapshot::StateRows;

use crate::schema::{KINDS, Kind, is_indexed};

/// Index of an object in the slab; never reused.
pub(crate) type Ix = u32;

/// A property value with the change that set it.
#[derive(Clone, Debug)]
pub(crate) struct Prop {
    pub(crate) name: Arc<str>,
    pub(crate) value: Value,
    pub(crate) seq: u64,
}

/// Where an object is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Life {
    /// In the directory.
    Live,
    /// In deleted items since this millisecond.
    Soft(i64),
    /// Gone for ever; the row stays so that delta can say so.
    Gone,
}

/// One directory object.
#[derive(Clone, Debug)]
pub(crate) struct Object {
    pub(crate) id: Uuid,
    pub(crate) kind: Kind,
    pub(crate) life: Life,
    /// Change that created or restored it.
    pub(crate) born: u64,
    /// Latest change.
    pub(crate) changed: u64,
    pub(crate) born_ms: i64,
    pub(crate) changed_ms: i64,
    pub(crate) props: Vec<Prop>,
    /// Values that were replaced, in that order, with when: what a replica that lags still shows.
    past: Vec<(i64, Prop)>,
    pub(crate) members: Option<Box<Links>>,
    pub(crate) owners: Option<Box<Links>>,
    pub(crate) manager: Option<Ix>,
    pub(crate) manager_was: Option<Ix>,
    pub(crate) manager_seq: u64,
    /// Reads by id that still answer 404 (eventual consistency).
    pub(crate) blind_reads: u32,
}

impl Object {
    pub(crate) fn prop(&self, name: &str) -> Option<&Prop> {
        self.props.iter().find(|p| &*p.name == name)
    }

    pub(crate) fn value(&self, name: &str) -> Option<&Value> {
        self.prop(name).map(|p| &p.value)
    }

    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.value(name).and_then(Value::as_str)
    }

    pub(crate) fn flag(&self, name: &str) -> Option<bool> {
        self.value(name).and_then(Value::as_bool)
    }

    /// The object with its properties as they were at a millisecond; links and life are those of now.
    pub(crate) fn as_of(&self, ms: i64) -> Cow<'_, Object> {
        let mut object = Cow::Borrowed(self);
        for (_, old) in self.past.iter().rev().take_while(|(replaced_ms, _)| *replaced_ms > ms) {
            if let Some(prop) = object.to_mut().props.iter_mut().find(|p| p.name == old.name) {
                prop.clone_from(old);
            }
        }
        object
    }

    pub(crate) fn is_live(&self) -> bool {
        self.life == Life::Live
    }

    pub(crate) fn links(&self, which: LinkAttr) -> Option<&Links> {
        match which {
            LinkAttr::Members => self.members.as_deref(),
            LinkAttr::Owners => self.owners.as_deref(),
        }
    }
}

/// A link attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LinkAttr {
    Members,
    Owners,
}

impl LinkAttr {
    pub(crate) fn name(self) -> &'static str {
        match self {
            LinkAttr::Members => "members",
            LinkAttr::Owners => "owners",
        }
    }
}

/// The directory.
#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) objects: Vec<Object>,
    by_id: HashMap<Uuid, Ix>,
    live: [BTreeSet<Ix>; KINDS],
    soft: [BTreeSet<Ix>; KINDS],
    changes: [BTreeMap<u64, Ix>; KINDS],
    index: HashMap<String, Vec<Ix>>,
    member_of: HashMap<Ix, BTreeSet<Ix>>,
    reports: HashMap<Ix, BTreeSet<Ix>>,
    names: HashSet<Arc<str>>,
    pub(crate) seq: u64,
    /// Milliseconds for which replaced values are kept.
    pub(crate) keeps_ms: i64,
    /// How far the replica is that answers the request of now.
    pub(crate) as_of_ms: i64,
}

impl State {
    pub(crate) fn get(&self, ix: Ix) -> Option<&Object> {
        self.objects.get(ix as usize)
    }

    pub(crate) fn get_mut(&mut self, ix: Ix) -> Option<&mut Object> {
        self.objects.get_mut(ix as usize)
    }

    pub(crate) fn by_id(&self, id: Uuid) -> Option<Ix> {
        self.by_id.get(&id).copied()
    }

    /// Live objects of a kind with an index above `after`, oldest first.
    pub(crate) fn live_after(&self, kind: Kind, after: Option<Ix>) -> impl Iterator<Item = Ix> + '_ {
        page_of(self.live.get(kind.at()), after)
    }

    /// Soft-deleted objects of a kind with an index above `after`, oldest first.
    pub(crate) fn soft_after(&self, kind: Kind, after: Option<Ix>) -> impl Iterator<Item = Ix> + '_ {
        page_of(self.soft.get(kind.at()), after)
    }

    pub(crate) fn live_count(&self, kind: Kind) -> usize {
        self.live.get(kind.at()).map_or(0, BTreeSet::len)
    }

    /// Objects of a kind in the order of their latest change, after a sequence number.
    pub(crate) fn changes_after(&self, kind: Kind, seq: u64) -> impl Iterator<Item = (u64, Ix)> + '_ {
        use std::ops::Bound::{Excluded, Unbounded};
        self.changes
            .get(kind.at())
            .into_iter()
            .flat_map(move |m| m.range((Excluded(seq), Unbounded)))
            .map(|(s, i)| (*s, *i))
    }

    /// Objects that hold a value of an indexed property, in any state of life.
    pub(crate) fn holders(&self, name: &str, value: &str) -> impl Iterator<Item = Ix> + '_ {
        self.index.get(&index_key(name, value)).into_iter().flatten().copied()
    }

    /// The live object of a kind that holds a value.
    pub(crate) fn holder(&self, kind: Kind, name: &str, value: &str) -> Option<Ix> {
        self.holders(name, value).find(|ix| self.get(*ix).is_some_and(|o| o.kind == kind && o.is_live()))
    }

    /// Groups and roles that have the object as a direct member.
    pub(crate) fn parents(&self, ix: Ix) -> impl Iterator<Item = Ix> + '_ {
        self.member_of.get(&ix).into_iter().flatten().copied()
    }

    /// Objects whose manager is this one.
    pub(crate) fn reports(&self, ix: Ix) -> impl Iterator<Item = Ix> + '_ {
        self.reports.get(&ix).into_iter().flatten().copied()
    }

    /// Creates an object; its properties follow by [`State::set`].
    pub(crate) fn create(&mut self, kind: Kind, id: Uuid, now_ms: i64) -> Ix {
        self.seq += 1;
        let ix = Ix::try_from(self.objects.len()).unwrap_or(Ix::MAX);
        self.objects.push(Object {
            id,
            kind,
            life: Life::Live,
            born: self.seq,
            changed: self.seq,
            born_ms: now_ms,
            changed_ms: now_ms,
            props: Vec::with_capacity(16),
            past: Vec::new(),
            members: None,
            owners: None,
            manager: None,
            manager_was: None,
            manager_seq: 0,
            blind_reads: 0,
        });
        self.by_id.insert(id, ix);
        let seq = self.seq;
        if let Some(live) = self.live.get_mut(kind.at()) {
            live.insert(ix);
        }
        if let Some(changes) = self.changes.get_mut(kind.at()) {
            changes.insert(seq, ix);
        }
        ix
    }

    /// Gives an object a new change and returns its number.
    pub(crate) fn touch(&mut self, ix: Ix, now_ms: i64) -> u64 {
        self.seq += 1;
        let seq = self.seq;
        let Some(object) = self.objects.get_mut(ix as usize) else { return seq };
        let old = std::mem::replace(&mut object.changed, seq);
        object.changed_ms = now_ms;
        if let Some(changes) = self.changes.get_mut(object.kind.at()) {
            changes.remove(&old);
            changes.insert(seq, ix);
        }
        seq
    }

    /// Sets properties in one change; equal values are no change. True when something changed.
    pub(crate) fn set(&mut self, ix: Ix, values: Vec<(&str, Value)>, now_ms: i64) -> bool {
        let Some(object) = self.get(ix) else { return false };
        let differs = |(name, value): &(&str, Value)| match object.value(name) {
            Some(old) => old != value,
            None => !value.is_null(),
        };
        let changed: Vec<_> = values.into_iter().filter(differs).collect();
        if changed.is_empty() {
            return false;
        }
        let seq = self.touch(ix, now_ms);
        for (name, value) in changed {
            self.remember(ix, name, now_ms);
            self.put(ix, name, value, seq);
        }
        true
    }

    /// Sets properties of an object just created, within its first change.
    pub(crate) fn init(&mut self, ix: Ix, values: Vec<(&str, Value)>) {
        let seq = self.get(ix).map_or(0, |o| o.born);
        for (name, value) in values {
            self.put(ix, name, value, seq);
        }
    }

    /// Keeps a value that is about to be replaced, and forgets what no replica shows any more.
    fn remember(&mut self, ix: Ix, name: &str, now_ms: i64) {
        let keeps_ms = self.keeps_ms;
        if keeps_ms == 0 {
            return;
        }
        let name = self.name(name);
        let Some(object) = self.get_mut(ix) else { return };
        object.past.retain(|(replaced_ms, _)| *replaced_ms >= now_ms - keeps_ms);
        let old = object.prop(&name).cloned().unwrap_or(Prop { name, value: Value::Null, seq: 0 });
        object.past.push((now_ms, old));
    }

    fn put(&mut self, ix: Ix, name: &str, value: Value, seq: u64) {
        let name = self.name(name);
        let indexed = is_indexed(&name);
        if indexed {
            for text in texts(&value) {
                self.index.entry(index_key(&name, text)).or_default().push(ix);
            }
        }
        let Some(object) = self.objects.get_mut(ix as usize) else { return };
        let old = match object.props.iter_mut().find(|p| p.name == name) {
            Some(prop) => {
                prop.seq = seq;
                std::mem::replace(&mut prop.value, value)
            }
            None => {
                object.props.push(Prop { name: Arc::clone(&name), value, seq });
                Value::Null
            }
        };
        if indexed {
            for text in texts(&old) {
                self.unindex(&name, text, ix);
            }
        }
    }

    fn unindex(&mut self, name: &str, value: &str, ix: Ix) {
        let key = index_key(name, value);
        if let Some(holders) = self.index.get_mut(&key) {
            if let Some(at) = holders.iter().position(|h| *h == ix) {
                holders.swap_remove(at);
            }
            if holders.is_empty() {
                self.index.remove(&key);
            }
        }
    }

    fn name(&mut self, name: &str) -> Arc<str> {
        if let Some(known) = self.names.get(name) {
            return Arc::clone(known);
        }
        let new: Arc<str> = Arc::from(name);
        self.names.insert(Arc::clone(&new));
        new
    }

    /// Adds a link; false when it was there.
    pub(crate) fn link(&mut self, from: Ix, which: LinkAttr, to: Ix, now_ms: i64) -> bool {
        if self.get(from).and_then(|o| o.links(which)).is_some_and(|l| l.contains(to)) {
            return false;
        }
        let seq = self.touch(from, now_ms);
        if let Some(object) = self.objects.get_mut(from as usize) {
            let slot = match which {
                LinkAttr::Members => &mut object.members,
                LinkAttr::Owners => &mut object.owners,
            };
            slot.get_or_insert_default().add(to, seq);
        }
        if which == LinkAttr::Members {
            self.member_of.entry(to).or_default().insert(from);
        }
        true
    }

    /// Removes a link; false when it was not there.
    pub(crate) fn unlink(&mut self, from: Ix, which: LinkAttr, to: Ix, now_ms: i64) -> bool {
        if !self.get(from).and_then(|o| o.links(which)).is_some_and(|l| l.contains(to)) {
            return false;
        }
        let seq = self.touch(from, now_ms);
        if let Some(object) = self.objects.get_mut(from as usize) {
            let slot = match which {
                LinkAttr::Members => &mut object.members,
                LinkAttr::Owners => &mut object.owners,
            };
            if let Some(links) = slot {
                links.remove(to, seq);
            }
        }
        if which == LinkAttr::Members
            && let Some(parents) = self.member_of.get_mut(&to)
        {
            parents.remove(&from);
        }
        true
    }

    /// Sets or clears the manager; false when it was so.
    pub(crate) fn set_manager(&mut self, ix: Ix, manager: Option<Ix>, now_ms: i64) -> bool {
        let Some(old) = self.get(ix).map(|o| o.manager) else { return false };
        if old == manager {
            return false;
        }
        let seq = self.touch(ix, now_ms);
        if let Some(object) = self.objects.get_mut(ix as usize) {
            object.manager = manager;
            object.manager_was = old;
            object.manager_seq = seq;
        }
        if let Some(reports) = old.and_then(|o| self.reports.get_mut(&o)) {
            reports.remove(&ix);
        }
        if let Some(new) = manager {
            self.reports.entry(new).or_default().insert(ix);
        }
        true
    }

    /// Moves a live object to deleted items.
    pub(crate) fn delete_soft(&mut self, ix: Ix, now_ms: i64) {
        self.touch(ix, now_ms);
        let Some(object) = self.objects.get_mut(ix as usize) else { return };
        object.life = Life::Soft(now_ms);
        let kind = object.kind.at();
        if let Some(live) = self.live.get_mut(kind) {
            live.remove(&ix);
        }
        if let Some(soft) = self.soft.get_mut(kind) {
            soft.insert(ix);
        }
    }

    /// Brings an object back from deleted items, with all its links.
    pub(crate) fn restore(&mut self, ix: Ix, now_ms: i64) {
        let seq = self.touch(ix, now_ms);
        let Some(object) = self.objects.get_mut(ix as usize) else { return };
        object.life = Life::Live;
        object.born = seq;
        let kind = object.kind.at();
        if let Some(soft) = self.soft.get_mut(kind) {
            soft.remove(&ix);
        }
        if let Some(live) = self.live.get_mut(kind) {
            live.insert(ix);
        }
    }

    /// Removes an object for ever: its links go, its id stays as a tombstone.
    pub(crate) fn delete_hard(&mut self, ix: Ix, now_ms: i64) {
        let parents: Vec<Ix> = self.parents(ix).collect();
        for parent in parents {
            self.unlink(parent, LinkAttr::Members, ix, now_ms);
        }
        let reports: Vec<Ix> = self.reports(ix).collect();
        for report in reports {
            self.set_manager(report, None, now_ms);
        }
        let members: Vec<Ix> =
            self.get(ix).and_then(|o| o.members.as_ref()).into_iter().flat_map(|l| l.all()).collect();
        for member in members {
            if let Some(parents) = self.member_of.get_mut(&member) {
                parents.remove(&ix);
            }
        }
        self.set_manager(ix, None, now_ms);
        self.touch(ix, now_ms);
        let Some(object) = self.objects.get_mut(ix as usize) else { return };
        object.life = Life::Gone;
        object.members = None;
        object.owners = None;
        let kind = object.kind.at();
        let props = std::mem::take(&mut object.props);
        for prop in props.iter().filter(|p| is_indexed(&p.name)) {
            for text in texts(&prop.value) {
                self.unindex(&prop.name, text, ix);
            }
        }
        for table in [&mut self.live, &mut self.soft] {
            if let Some(set) = table.get_mut(kind) {
                set.remove(&ix);
            }
        }
    }
}

fn page_of(set: Option<&BTreeSet<Ix>>, after: Option<Ix>) -> impl Iterator<Item = Ix> + '_ {
    use std::ops::Bound::{Excluded, Unbounded};
    let from = after.map_or(Unbounded, Excluded);
    set.into_iter().flat_map(move |s| s.range((from, Unbounded))).copied()
}

/// The strings inside a value: itself, or the items of a collection.
fn texts(value: &Value) -> Vec<&str> {
    match value {
        Value::String(text) => vec![text.as_str()],
        Value::Array(items) => items.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    }
}

/// Source anchors are Base64 and compare exactly; everything else without case.
fn index_key(name: &str, value: &str) -> String {
    let mut key = String::with_capacity(name.len() + value.len() + 1);
    key.push_str(name);
    key.push('\u{1}');
    if name == "onPremisesImmutableId" {
        key.push_str(value);
    } else {
        key.extend(value.chars().flat_map(char::to_lowercase));
    }
    key
}
