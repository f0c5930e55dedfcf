//! From the service's objects to entries: types, values, flags, links in chunks.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use onesync_model::{Bag, Value, Values, hash64};
use serde_json::{Map, Value as Json};

use super::super::convert::{Read, from_unique_name, read};
use super::super::schema::{IMMUTABLE_ID, Kind, Place, Spec, UNIQUE_NAME};
use super::super::settings::GraphSettings;
use super::selection::{LinkReader, Reader, SetReader};
use crate::{
    Anchor, ConnectorError, Entry, EntryChange, EntryFlags, ErrorClass, LinkChunk, LinkMode, LinkTarget,
};

/// The name of the other synchronisation, as shown.
pub(in super::super) const OTHER_MASTER: &str = "Microsoft Entra Connect";

/// Who writes mail-enabled groups, as shown.
const EXCHANGE: &str = "Exchange: Graph lets nobody write mail-enabled groups";

/// Makes entries of one collection's pages.
pub(super) struct Entries<'a> {
    pub(super) settings: &'a GraphSettings,
    pub(super) set: &'a SetReader,
    /// Group id to source anchor, from the settings.
    pub(super) mapped: &'a BTreeMap<String, String>,
    pub(super) anchor_extension: &'a str,
    pub(super) role_holders: &'a BTreeSet<String>,
    /// The marker's object, which is no identity.
    pub(super) marker: Option<&'a str>,
    /// Whether this is a full import.
    pub(super) full: bool,
    /// Objects already told of in a full import (hashes): the service may tell of them again, then as a change.
    pub(super) seen: HashSet<u64>,
    /// The group at the end of the last page, whose members may go on.
    pub(super) open: Option<String>,
    pub(super) errors: Vec<ConnectorError>,
    /// Objects without an id: nobody can say which they are, so the import is not complete.
    pub(super) nameless: usize,
}

impl Entries<'_> {
    /// Whether an object must be asked for by itself: it came in part, or not as a continuation.
    pub(super) fn is_partial(&self, at: usize, item: &Json) -> bool {
        item.get("@removed").is_none()
            && item.get(self.set.hallmark()).is_none()
            && !(at == 0
                && self.open.is_some()
                && item.get("id").and_then(Json::as_str) == self.open.as_deref())
    }

    /// The entries of one page. `more` says that another page follows.
    pub(super) fn of_page(&mut self, items: Vec<Json>, more: bool) -> Vec<Entry> {
        let mut entries = Vec::with_capacity(items.len() + 1);
        let open = self.open.take();
        let goes_on = open.is_some()
            && items.first().and_then(|i| i.get("id")).and_then(Json::as_str) == open.as_deref();
        if let Some(id) = open.filter(|_| !goes_on) {
            entries.extend(self.close(&id));
        }
        let last = items.len().saturating_sub(1);
        for (at, item) in items.into_iter().enumerate() {
            let Json::Object(item) = item else { continue };
            let Some(id) = item.get("id").and_then(Json::as_str).map(str::to_owned) else {
                self.errors.push(unreadable(self.set.set, "an object came without an id"));
                self.nameless += 1;
                continue;
            };
            if self.marker == Some(id.as_str()) {
                continue;
            }
            let may_go_on = self.full && more && at == last && self.set.set == "groups";
            let entry = if goes_on && at == 0 {
                self.continued(&id, &item, may_go_on)
            } else {
                self.entry(&id, &item, may_go_on)
            };
            entries.extend(entry);
        }
        entries
    }

    fn entry(&mut self, id: &str, item: &Map<String, Json>, may_go_on: bool) -> Option<Entry> {
        let hash = hash64(id.as_bytes());
        if item.contains_key("@removed") {
            // In a full import absence says the same, unless the object was there a moment ago.
            return (!self.full || self.seen.remove(&hash)).then(|| bare(id, EntryChange::Delete));
        }
        let kind = kind(self.set.set, item);
        let reader = self.set.reader(kind)?;
        // Where mail groups are groups like all others, it is the object that cannot be written, not its type.
        let written_in_exchange = kind == Kind::MailGroup
            && self.set.readers.iter().any(|r| r.kind == Kind::Group && r.id == reader.id);
        let first_time = self.full && self.seen.insert(hash);
        let mut entry = bare(id, if first_time { EntryChange::Full } else { EntryChange::Merge });
        entry.dn = Some(name(id, item));
        entry.object_type = Some(reader.id);
        entry.flags = self.flags(id, item);
        if written_in_exchange {
            entry.flags.mastered_elsewhere.get_or_insert_with(|| EXCHANGE.to_owned());
        }
        for (attribute, spec) in &reader.attributes {
            let found = match spec.place {
                Place::GroupAnchor => self.group_anchor(id, item),
                Place::CloudAnchor => Read::Values(Values::one(Value::string(cloud_anchor(kind, id)))),
                Place::CloudMastered => self.cloud_mastered(kind, id, item, first_time),
                _ => read(item, spec),
            };
            match found {
                Read::Values(values) => drop(entry.values.set(*attribute, Some(values))),
                Read::Cleared if !first_time => entry.cleared.push(*attribute),
                Read::Cleared | Read::Absent => {}
                Read::Wrong(what) => {
                    let text = format!("{}: {what}", shown(spec));
                    self.errors.push(unreadable(&format!("{}/{id}", self.set.set), &text));
                    entry.unknown.push(*attribute);
                }
            }
        }
        let mut open = false;
        for link in &reader.links {
            let (added, removed) = targets(item, link);
            if first_time || !link.multi && item.contains_key(&link.member) {
                let last = !(may_go_on && link.multi);
                open |= !last;
                entry.links.push(chunk(link, LinkMode::Replace { first: true, last }, added));
            } else {
                push_changes(&mut entry, link, added, removed);
            }
        }
        self.open = open.then(|| id.to_owned());
        Some(entry)
    }

    /// More members of the group at the end of the last page.
    fn continued(&mut self, id: &str, item: &Map<String, Json>, may_go_on: bool) -> Option<Entry> {
        let mut entry = bare(id, EntryChange::MoreLinks);
        if let Some(reader) = self.set.readers.iter().find(|r| item_may_be(r, item)) {
            entry.object_type = Some(reader.id);
            for link in reader.links.iter().filter(|l| l.multi) {
                let (added, removed) = targets(item, link);
                entry.links.push(chunk(link, LinkMode::Replace { first: false, last: !may_go_on }, added));
                push_changes(&mut entry, link, Vec::new(), removed);
            }
        }
        self.open = may_go_on.then(|| id.to_owned());
        (!entry.links.is_empty()).then_some(entry)
    }

    /// Says that an open group has no more members.
    fn close(&self, id: &str) -> Option<Entry> {
        let mut entry = bare(id, EntryChange::MoreLinks);
        let links = self.set.readers.iter().flat_map(|r| &r.links).filter(|l| l.multi);
        for link in links {
            if !entry.links.iter().any(|c| c.attribute == link.id) {
                entry.links.push(chunk(link, LinkMode::Replace { first: false, last: true }, Vec::new()));
            }
        }
        (!entry.links.is_empty()).then_some(entry)
    }

    fn group_anchor(&self, id: &str, item: &Map<String, Json>) -> Read {
        let text = |key: &str| item.get(key).and_then(Json::as_str).filter(|t| !t.is_empty());
        let anchor = text(UNIQUE_NAME)
            .or_else(|| text(self.anchor_extension))
            .map(from_unique_name)
            .or_else(|| self.mapped.get(&id.to_ascii_lowercase()).cloned());
        match anchor {
            Some(anchor) => Read::Values(Values::one(Value::string(anchor))),
            None if item.get(UNIQUE_NAME).is_some_and(Json::is_null) => Read::Cleared,
            None => Read::Absent,
        }
    }

    /// In the original nobody but the cloud masters what no synchronisation has an anchor for.
    fn cloud_mastered(&self, kind: Kind, id: &str, item: &Map<String, Json>, first_time: bool) -> Read {
        let anchored = match kind {
            Kind::User => match item.get(IMMUTABLE_ID) {
                Some(Json::String(text)) => Some(!text.is_empty()),
                Some(_) => Some(false),
                None => None,
            },
            Kind::Group | Kind::MailGroup => match self.group_anchor(id, item) {
                Read::Values(_) => Some(true),
                Read::Absent => None,
                Read::Cleared | Read::Wrong(_) => Some(false),
            },
            Kind::Contact | Kind::Device => Some(false),
        };
        match anchored.or(first_time.then_some(false)) {
            _ if is_mastered(item) => Read::Values(Values::one(Value::Boolean(false))),
            Some(anchored) => Read::Values(Values::one(Value::Boolean(!anchored))),
            None => Read::Absent,
        }
    }

    fn flags(&self, id: &str, item: &Map<String, Json>) -> EntryFlags {
        EntryFlags {
            protected: protection(self.settings, self.role_holders, id, item),
            mastered_elsewhere: is_mastered(item).then(|| OTHER_MASTER.to_owned()),
        }
    }
}

/// Why an object is never matched, disabled or deleted; `None` when nothing protects it.
pub(in super::super) fn protection(
    settings: &GraphSettings,
    role_holders: &BTreeSet<String>,
    id: &str,
    item: &Map<String, Json>,
) -> Option<String> {
    let text = |key: &str| item.get(key).and_then(Json::as_str).unwrap_or_default();
    let upn = text("userPrincipalName");
    if settings.protected.iter().any(|p| p.eq_ignore_ascii_case(id) || p.eq_ignore_ascii_case(upn)) {
        return Some("named in the connector's list of protected accounts".to_owned());
    }
    if role_holders.contains(id) {
        return Some("holds a directory role".to_owned());
    }
    if text("userType").eq_ignore_ascii_case("Guest") {
        return Some("is a guest".to_owned());
    }
    None
}

pub(in super::super) fn is_mastered(item: &Map<String, Json>) -> bool {
    item.get("onPremisesSyncEnabled") == Some(&Json::Bool(true))
}

/// The object type: mail-enabled groups that are no Microsoft 365 groups can be read only.
pub(in super::super) fn kind(set: &str, item: &Map<String, Json>) -> Kind {
    match set {
        "users" => Kind::User,
        "contacts" => Kind::Contact,
        _ => {
            let mail = item.get("mailEnabled") == Some(&Json::Bool(true));
            let types =
                item.get("groupTypes").and_then(Json::as_array).map(Vec::as_slice).unwrap_or_default();
            if mail && !types.iter().any(|t| t == "Unified") { Kind::MailGroup } else { Kind::Group }
        }
    }
}

/// The original's name for the id: rules look at the part before `_`.
fn cloud_anchor(kind: Kind, id: &str) -> String {
    let start = match kind {
        Kind::User => "User",
        Kind::Group | Kind::MailGroup => "Group",
        Kind::Contact => "Contact",
        Kind::Device => "Device",
    };
    format!("{start}_{id}")
}

/// Of a continuation the type may be told or not; without it any type of the collection will do.
fn item_may_be(reader: &Reader, item: &Map<String, Json>) -> bool {
    !item.contains_key("mailEnabled") || kind(reader.kind.set(), item) == reader.kind
}

fn name(id: &str, item: &Map<String, Json>) -> String {
    let text = |key: &str| item.get(key).and_then(Json::as_str).filter(|t| !t.is_empty());
    text("userPrincipalName").or_else(|| text("displayName")).unwrap_or(id).to_owned()
}

fn targets(item: &Map<String, Json>, link: &LinkReader) -> (Vec<LinkTarget>, Vec<LinkTarget>) {
    let mut added = Vec::new();
    let mut removed = Vec::new();
    for target in item.get(&link.member).and_then(Json::as_array).into_iter().flatten() {
        let Some(id) = target.get("id").and_then(Json::as_str) else { continue };
        let to = if target.get("@removed").is_some() { &mut removed } else { &mut added };
        to.push(LinkTarget::Anchor(Anchor::text(id)));
    }
    (added, removed)
}

fn push_changes(entry: &mut Entry, link: &LinkReader, added: Vec<LinkTarget>, removed: Vec<LinkTarget>) {
    for (mode, targets) in [(LinkMode::Add, added), (LinkMode::Remove, removed)] {
        if !targets.is_empty() {
            entry.links.push(chunk(link, mode, targets));
        }
    }
}

fn chunk(link: &LinkReader, mode: LinkMode, targets: Vec<LinkTarget>) -> LinkChunk {
    LinkChunk { attribute: link.id, mode, targets }
}

fn bare(id: &str, change: EntryChange) -> Entry {
    Entry {
        anchor: Anchor::text(id),
        dn: None,
        object_type: None,
        change,
        values: Bag::new(),
        cleared: Vec::new(),
        unknown: Vec::new(),
        links: Vec::new(),
        flags: EntryFlags::default(),
    }
}

fn shown(spec: &Spec) -> String {
    format!("`{}`", spec.shown)
}

fn unreadable(place: &str, what: &str) -> ConnectorError {
    ConnectorError::new(ErrorClass::Object, "GRAPH-VALUE", place, what)
}
