//! What a server holds at a target and owes it, object by object, in words that another server of the same target
//! understands: anchors, create keys, names of attributes, never row numbers.
//!
//! One code path for what is exported, compared and refused. Objects are read in the order of their rows and given one
//! by one, so that the size of the directory does not matter; what another server has is looked up by its keys.

use std::collections::{BTreeMap, BTreeSet};

use onesync_engine::{ChangeState, CsFlags, CsRow, Deprovision, ExportLinkRow, ExportRow};
use onesync_model::{
    Anchor, AttrId, CsId, Hash128, Operation, Time, TypeId, Value, ValuesRef, fold_case, hash128, join_key,
};
use onesync_store::{
    ExportFilter, ExportLinkFilter, ExportLinkKey, HeldState, StoreReader, export_hash, export_link_hash,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

use crate::error::ServiceError;
use crate::find::objects;
use crate::look::label;
use crate::plan::{Effect, export_item};
use crate::runtime::{ConnectorHandle, Runtime};

/// Rows read at once.
pub(super) const PAGE: usize = 1_000;
/// Bytes of a value beyond which only its hash is told: a photo says nothing to people, and makes a file large.
const VALUE_MAX: usize = 1_024;
/// Attributes whose values are nobody's to see: that there is one is all that is told.
const SECRET: [&str; 12] = [
    "unicodePwd",
    "userPassword",
    "password",
    "passwordProfile",
    "dBCSPwd",
    "ntPwdHistory",
    "lmPwdHistory",
    "supplementalCredentials",
    "sambaNTPassword",
    "sambaLMPassword",
    "ms-Mcs-AdmPwd",
    "msLAPS-Password",
];

/// What identifies an object at a target: to both servers the same.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Key {
    /// Its anchor: `=` and text, or `#` and hexadecimal digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    anchor: Option<String>,
    /// What identifies it before it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    create: Option<String>,
}

impl Key {
    fn of(runtime: &Runtime, row: &CsRow, export: Option<&ExportRow>) -> Self {
        let attribute = runtime.policies.of(row.connector).object_type(row.object_type).create_key;
        let value = |id: AttrId| row.image.as_ref().get(id).and_then(ValuesRef::first).map(|v| v.to_string());
        let planned = export.and_then(|export| export.create_key.clone());
        Self {
            anchor: row.anchor.as_ref().map(write_anchor),
            create: planned.or_else(|| attribute.and_then(value)),
        }
    }

    /// Whether nothing tells it from others.
    fn is_none(&self) -> bool {
        self.anchor.is_none() && self.create.is_none()
    }

    /// What it is known by: the anchor once there is one.
    fn known_by(&self) -> (&[u8], &[u8]) {
        match (&self.anchor, &self.create) {
            (Some(anchor), _) => (b"a", anchor.as_bytes()),
            (None, create) => (b"c", create.as_deref().unwrap_or_default().as_bytes()),
        }
    }
}

fn write_anchor(anchor: &Anchor) -> String {
    match anchor.as_text() {
        Some(text) => format!("={text}"),
        None => format!("#{}", crate::backup::hex(&anchor.0)),
    }
}

fn read_anchor(text: &str) -> Option<Anchor> {
    if let Some(text) = text.strip_prefix('=') {
        return Some(Anchor::text(text));
    }
    let digits = text.strip_prefix('#').filter(|digits| digits.len() % 2 == 0)?.as_bytes();
    let byte = |pair: &[u8]| u8::from_str_radix(str::from_utf8(pair).ok()?, 16).ok();
    let bytes: Option<Vec<u8>> = digits.chunks(2).map(byte).collect();
    bytes.map(|bytes| Anchor(bytes.into()))
}

/// Where a change stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Stands {
    /// To be sent.
    Pending,
    /// Sent, and not seen yet.
    Sent,
    /// Refused by the target.
    Refused,
    /// Held by a protection.
    Held,
    /// A person said that it must not go.
    Rejected,
}

impl Stands {
    /// Whether it would be written some day.
    pub(super) fn is_owed(self) -> bool {
        !matches!(self, Self::Sent | Self::Rejected)
    }

    /// Whether it was written, or is with the next export: what is held or refused may never be.
    pub(super) fn is_done(self) -> bool {
        matches!(self, Self::Sent | Self::Pending)
    }
}

/// A change that is owed to an object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Change {
    pub(super) effect: Effect,
    pub(super) stands: Stands,
    /// The values that attributes get; `null` empties one.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) attributes: BTreeMap<String, Json>,
}

impl Change {
    /// What it would take away.
    pub(super) fn takes(&self) -> Option<Taken> {
        match self.effect {
            _ if !self.stands.is_owed() => None,
            Effect::Delete => Some(Taken::Delete),
            Effect::Disable => Some(Taken::Disable),
            _ => None,
        }
    }
}

/// What is coming for an object whose person left: until its time is over nothing of the deletion is owed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Leaving {
    /// When it is deleted, in seconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) deleted: Option<i64>,
    /// Whether its account is disabled meanwhile.
    pub(super) disabled: bool,
}

/// An object that a server manages at a target, or owes something.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Entry {
    pub(super) object_type: String,
    pub(super) key: Key,
    pub(super) name: String,
    /// Whether it is there, and is ours to change and to delete.
    pub(super) managed: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) change: Option<Change>,
    /// Where a grace time runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) leaving: Option<Leaving>,
}

/// A link value that is owed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct LinkChange {
    pub(super) owner: Key,
    pub(super) attribute: String,
    pub(super) add: bool,
    pub(super) target: Key,
    pub(super) stands: Stands,
}

/// What takes something away from somebody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Taken {
    /// An object is deleted.
    Delete,
    /// An account is disabled.
    Disable,
    /// A link value is removed: a member from a group.
    Remove,
}

impl Taken {
    pub(super) const ALL: [Self; 3] = [Self::Delete, Self::Disable, Self::Remove];

    /// In words: `3 objects deleted`.
    pub(super) fn words(self, count: u64) -> String {
        let of = |one: &str, many: &str| format!("{count} {}", if count == 1 { one } else { many });
        match self {
            Self::Delete => of("object deleted", "objects deleted"),
            Self::Disable => of("account disabled", "accounts disabled"),
            Self::Remove => of("member removed", "members removed"),
        }
    }
}

/// One of them.
#[derive(Clone, Debug)]
pub(super) struct Deletion {
    /// The same on each server of a target.
    pub(super) hash: Hash128,
    pub(super) taken: Taken,
    /// When, in seconds since 1970, where it is not with the next export.
    pub(super) at: Option<i64>,
    /// In words.
    pub(super) text: String,
}

/// The hash of taking an object away, or its account.
pub(super) fn deletion_hash(connector: &str, taken: Taken, key: &Key) -> Hash128 {
    let (sort, known_by) = key.known_by();
    let word: &[u8] = if taken == Taken::Delete { b"delete" } else { b"disable" };
    hash128(&[word, connector.to_lowercase().as_bytes(), sort, known_by])
}

/// The hash of a link value that is owed; of a removal also that of the deletion.
pub(super) fn link_hash(connector: &str, link: &LinkChange) -> Hash128 {
    let (owner, target) = (link.owner.known_by(), link.target.known_by());
    let (connector, attribute) = (connector.to_lowercase(), link.attribute.to_lowercase());
    let word: &[u8] = if link.add { b"add" } else { b"remove" };
    let parts = [word, connector.as_bytes(), attribute.as_bytes(), owner.0, owner.1, target.0, target.1];
    hash128(&parts)
}

/// Takes what is read.
pub(super) type Take<'t, T> = dyn FnMut(T) -> Result<(), ServiceError> + 't;

/// One server's part of one target.
pub(super) struct Side<'a> {
    pub(super) reader: &'a dyn StoreReader,
    pub(super) runtime: &'a Runtime,
    pub(super) connector: &'a ConnectorHandle,
    rejected: BTreeSet<Hash128>,
}

impl<'a> Side<'a> {
    pub(super) fn new(
        reader: &'a dyn StoreReader,
        runtime: &'a Runtime,
        connector: &'a ConnectorHandle,
    ) -> Result<Self, ServiceError> {
        let plans = reader.held_plans(Some(HeldState::Rejected))?;
        let ours = plans.into_iter().filter(|plan| plan.connector == connector.id);
        Ok(Self { reader, runtime, connector, rejected: ours.flat_map(|plan| plan.items).collect() })
    }

    fn stands(&self, state: ChangeState, held: bool, hash: Hash128) -> Stands {
        match state {
            ChangeState::Sent => Stands::Sent,
            _ if self.rejected.contains(&hash) => Stands::Rejected,
            _ if held => Stands::Held,
            ChangeState::Pending | ChangeState::Sending => Stands::Pending,
            ChangeState::Refused => Stands::Refused,
        }
    }

    /// An object as it is told; `None` where it is neither managed nor owed anything.
    pub(super) fn entry(&self, row: &CsRow, export: Option<&ExportRow>) -> Option<Entry> {
        let leaving = self.leaving(row, export);
        let export = export.filter(|export| is_sent(row, export));
        let managed = is_managed(row);
        if !managed && export.is_none() {
            return None;
        }
        Some(Entry {
            object_type: self.runtime.names.type_name(row.object_type).to_owned(),
            key: Key::of(self.runtime, row, export),
            name: label(self.runtime, row, export),
            managed,
            change: export.map(|export| self.change(row, export)),
            leaving,
        })
    }

    /// What is coming for an object in its grace time, where no deletion is owed yet.
    fn leaving(&self, row: &CsRow, export: Option<&ExportRow>) -> Option<Leaving> {
        let since = row.leaving?;
        let rules = self.runtime.policies.of(row.connector).object_type(row.object_type);
        // Such an object is given up instead, or it is not known yet what becomes of it.
        let spared = [CsFlags::MASTERED_ELSEWHERE, CsFlags::PROTECTED, CsFlags::PROVISIONED];
        if rules.unwritable
            || !is_managed(row)
            || spared.into_iter().any(|flag| row.flags.has(flag))
            || export.is_some_and(|export| export.operation == Operation::Delete)
        {
            return None;
        }
        let at = |grace| Some(since.plus_seconds(grace).seconds());
        let (deleted, disabled) = match rules.deprovision {
            Deprovision::Disconnect => return None,
            Deprovision::Disable => (None, true),
            Deprovision::DisableThenDelete { after_seconds } => (at(after_seconds), true),
            Deprovision::Delete { after_seconds } => (at(after_seconds), false),
        };
        Some(Leaving { deleted, disabled: disabled && rules.disable.is_some() })
    }

    fn change(&self, row: &CsRow, export: &ExportRow) -> Change {
        let stands = self.stands(export.state, export.held, export_hash(export));
        let mut open = export.clone();
        if stands != Stands::Sent {
            open.changes.retain(|change| change.state != ChangeState::Sent);
        }
        let item = export_item(row, &self.runtime.names, self.connector.name(), &open);
        let told = item.changes.into_iter().map(|(name, values)| {
            let value = told(&name, values.after);
            (name, value)
        });
        Change { effect: item.effect, stands, attributes: told.collect() }
    }

    /// Every object that is managed or owed something, with its row.
    pub(super) fn entries(&self, take: &mut Take<'_, (CsId, Entry)>) -> Result<(), ServiceError> {
        let mut after = CsId(i64::MIN);
        loop {
            let page = self.reader.cs_page(self.connector.id, after, PAGE)?;
            let Some(last) = page.last() else { return Ok(()) };
            after = last.id;
            let ids: Vec<CsId> = page.iter().map(|row| row.id).collect();
            let exports = self.exports(&ids)?;
            for row in &page {
                if let Some(entry) = self.entry(row, exports.get(&row.id)) {
                    take((row.id, entry))?;
                }
            }
        }
    }

    /// What is owed to objects.
    pub(super) fn exports(&self, ids: &[CsId]) -> Result<BTreeMap<CsId, ExportRow>, ServiceError> {
        Ok(self.reader.exports(ids)?.into_iter().map(|row| (row.cs, row)).collect())
    }

    /// Every link value that is owed, with its row and the names of both ends.
    fn links_where(
        &self,
        filter: ExportLinkFilter,
        take: &mut Take<'_, (ExportLinkRow, LinkChange, [String; 2])>,
    ) -> Result<(), ServiceError> {
        let mut after: Option<ExportLinkKey> = None;
        loop {
            let page = self.reader.export_links_page(self.connector.id, filter, after, PAGE)?;
            let Some(last) = page.last() else { return Ok(()) };
            after = Some((last.owner, last.attribute, last.target));
            let known = objects(self.reader, page.iter().flat_map(|row| [row.owner, row.target]))?;
            let planned: Vec<CsId> =
                known.values().filter(|row| row.anchor.is_none()).map(|row| row.id).collect();
            let planned = self.exports(&planned)?;
            for link in page {
                let (Some(owner), Some(target)) = (known.get(&link.owner), known.get(&link.target)) else {
                    continue;
                };
                // As `engine::export::begin` decides; an owner that is not created yet will be.
                let outside = [owner, target].iter().any(|row| row.flags.has(CsFlags::OUTSIDE));
                let ours = owner.join.is_some_and(|join| join.owned)
                    && !owner.flags.has(CsFlags::MASTERED_ELSEWHERE);
                if outside || !ours {
                    continue;
                }
                let key = |row: &CsRow| Key::of(self.runtime, row, planned.get(&row.id));
                let change = LinkChange {
                    owner: key(owner),
                    attribute: self.runtime.names.name(link.attribute).to_owned(),
                    add: link.add,
                    target: key(target),
                    stands: self.stands(link.state, link.held, export_link_hash(&link)),
                };
                let names = [owner, target].map(|row| label(self.runtime, row, None));
                take((link, change, names))?;
            }
        }
    }

    /// Every link value that is owed, and can be: of what is not there and cannot be made (a contact, a mail-enabled group) nobody
    /// can say which it is, and nobody can send it.
    pub(super) fn links(&self, take: &mut Take<'_, LinkChange>) -> Result<(), ServiceError> {
        self.links_where(ExportLinkFilter::default(), &mut |(_, change, _)| {
            if change.owner.is_none() || change.target.is_none() { Ok(()) } else { take(change) }
        })
    }

    /// Everything that would take something away: objects that would be deleted, now or when their grace time is over,
    /// accounts that would be disabled, members that would be removed. A link that holds one value (a manager) takes nothing away from anybody.
    pub(super) fn deletions(&self, take: &mut Take<'_, Deletion>) -> Result<(), ServiceError> {
        let kinds = ExportRow::KIND_DELETE | ExportRow::KIND_DISABLE;
        let filter = ExportFilter { kinds, ..ExportFilter::default() };
        let mut after = CsId(i64::MIN);
        loop {
            let page = self.reader.exports_page(self.connector.id, filter, after, PAGE)?;
            let Some(last) = page.last() else { break };
            after = last.cs;
            let known = objects(self.reader, page.iter().map(|row| row.cs))?;
            for export in &page {
                let Some(row) = known.get(&export.cs) else { continue };
                let Some(entry) = self.entry(row, Some(export)) else { continue };
                let Some(taken) = entry.change.as_ref().and_then(Change::takes) else { continue };
                let verb = if taken == Taken::Delete { "delete" } else { "disable" };
                take(Deletion {
                    hash: deletion_hash(self.connector.name(), taken, &entry.key),
                    taken,
                    at: None,
                    text: format!("{verb} {} `{}`", entry.object_type, entry.name),
                })?;
            }
        }
        self.deletions_to_come(take)?;
        let single = &self.runtime.policies.of(self.connector.id).single_links;
        let filter = ExportLinkFilter { add: Some(false), ..ExportLinkFilter::default() };
        self.links_where(filter, &mut |(row, change, [owner, target])| {
            if !change.stands.is_owed() || single.binary_search(&row.attribute).is_ok() {
                return Ok(());
            }
            take(Deletion {
                hash: link_hash(self.connector.name(), &change),
                taken: Taken::Remove,
                at: None,
                text: format!("remove `{target}` from `{}` of `{owner}`", change.attribute),
            })
        })
    }

    /// Objects that are deleted when their grace time is over.
    fn deletions_to_come(&self, take: &mut Take<'_, Deletion>) -> Result<(), ServiceError> {
        let mut after = CsId(i64::MIN);
        loop {
            let page = self.reader.cs_page(self.connector.id, after, PAGE)?;
            let Some(last) = page.last() else { return Ok(()) };
            after = last.id;
            let ids: Vec<CsId> = page.iter().filter(|row| row.leaving.is_some()).map(|row| row.id).collect();
            let exports = self.exports(&ids)?;
            for row in page.iter().filter(|row| row.leaving.is_some()) {
                let export = exports.get(&row.id);
                let Some(at) = self.leaving(row, export).and_then(|leaving| leaving.deleted) else {
                    continue;
                };
                let key = Key::of(self.runtime, row, export);
                let object_type = self.runtime.names.type_name(row.object_type);
                let name = label(self.runtime, row, export);
                take(Deletion {
                    hash: deletion_hash(self.connector.name(), Taken::Delete, &key),
                    taken: Taken::Delete,
                    at: Some(at),
                    text: format!("delete {object_type} `{name}` at {}", Time::from_seconds(at)),
                })?;
            }
        }
    }

    /// The rows of objects that another server told of: by anchor, else by create key where one of both has no anchor yet.
    pub(super) fn find(&self, entries: &[Entry]) -> Result<Vec<Option<CsRow>>, ServiceError> {
        let id = self.connector.id;
        let anchor = |entry: &Entry| entry.key.anchor.as_deref().and_then(read_anchor);
        let keys: Vec<Hash128> =
            entries.iter().filter_map(anchor).map(|anchor| CsRow::anchor_key(id, &anchor)).collect();
        let rows = self.reader.cs_by_key(&keys)?.into_iter().filter(|row| row.connector == id);
        let by_anchor: BTreeMap<Anchor, CsRow> =
            rows.filter_map(|row| Some((row.anchor.clone()?, row))).collect();
        let policy = self.runtime.policies.of(id);
        let mut wanted: BTreeSet<i64> = BTreeSet::new();
        for entry in entries.iter().filter(|e| !anchor(e).is_some_and(|a| by_anchor.contains_key(&a))) {
            let object_type = self.runtime.names.find_type(&entry.object_type);
            let attribute = object_type.and_then(|object_type| policy.object_type(object_type).create_key);
            if let (Some(attribute), Some(create)) = (attribute, &entry.key.create) {
                wanted.insert(join_key(attribute, Value::string(create).as_ref()));
            }
        }
        let wanted: Vec<i64> = wanted.into_iter().collect();
        let found = self.reader.cs_by_join(&wanted)?.into_iter().map(|(_, id)| id);
        let found: Vec<CsRow> =
            objects(self.reader, found)?.into_values().filter(|row| row.connector == id).collect();
        // As the index that found them folds it.
        let folded = |object_type: TypeId, create: &str| (object_type, fold_case(create).into_owned());
        let by_create: BTreeMap<(TypeId, String), CsRow> = found
            .into_iter()
            .filter_map(|row| {
                let create = Key::of(self.runtime, &row, None).create?;
                Some((folded(row.object_type, &create), row))
            })
            .collect();
        let one = |entry: &Entry| {
            let anchor = anchor(entry);
            if let Some(row) = anchor.as_ref().and_then(|anchor| by_anchor.get(anchor)) {
                return Some(row.clone());
            }
            let object_type = self.runtime.names.find_type(&entry.object_type)?;
            let row = by_create.get(&folded(object_type, entry.key.create.as_deref()?))?;
            // With an anchor each they are two objects.
            (anchor.is_none() || row.anchor.is_none()).then(|| row.clone())
        };
        Ok(entries.iter().map(one).collect())
    }
}

/// Whether an object is there, and is ours to change and to delete.
fn is_managed(row: &CsRow) -> bool {
    row.anchor.is_some()
        && row.join.is_some_and(|join| join.owned)
        && !row.flags.has(CsFlags::GONE)
        && !row.flags.has(CsFlags::OUTSIDE)
}

/// Whether a change is ever sent: as `engine::export::begin` decides.
fn is_sent(row: &CsRow, export: &ExportRow) -> bool {
    let takes = export.operation == Operation::Delete
        || export.kinds & (ExportRow::KIND_DELETE | ExportRow::KIND_DISABLE) != 0;
    let elsewhere = row.flags.has(CsFlags::OUTSIDE) || row.flags.has(CsFlags::MASTERED_ELSEWHERE);
    let spared = takes && row.flags.has(CsFlags::PROTECTED);
    export.kinds & ExportRow::KINDS_NOT_SENT == 0 && !elsewhere && !spared
}

/// A value as it is told.
fn told(attribute: &str, value: Json) -> Json {
    if value.is_null() {
        return value;
    }
    if SECRET.iter().any(|name| name.eq_ignore_ascii_case(attribute)) {
        return json!({"$secret": true});
    }
    let text = value.to_string();
    match text.len() {
        0..=VALUE_MAX => value,
        bytes => json!({"$hash": hash128(&[text.as_bytes()]).to_string(), "bytes": bytes}),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn anchors_are_read_as_they_were_written() {
        for anchor in [Anchor::text("id"), Anchor::text(""), Anchor(vec![0xff, 0, 0x80].into())] {
            assert_eq!(read_anchor(&write_anchor(&anchor)), Some(anchor));
        }
        for wrong in ["", "id", "#0", "#zz", "#\u{e4}"] {
            assert_eq!(read_anchor(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn secrets_and_long_values_are_not_told() {
        let long = "x".repeat(VALUE_MAX);
        assert_eq!(told("USERPASSWORD", json!("hunter2")), json!({"$secret": true}));
        assert_eq!(told("userPassword", Json::Null), Json::Null);
        assert_eq!(told("department", json!("Sales")), json!("Sales"));
        let (one, other) = (told("photo", json!(long)), told("photo", json!(format!("{long}y"))));
        assert!(one != other && one["bytes"] == VALUE_MAX + 2 && !one.to_string().contains("xx"), "{one}");
    }

    #[test]
    fn a_deletion_has_one_hash_on_each_server_and_others_have_others() {
        let key = |anchor: Option<&str>, create: &str| Key {
            anchor: anchor.map(str::to_owned),
            create: Some(create.to_owned()),
        };
        // The create key does not count once there is an anchor.
        let hash = |key: &Key| deletion_hash("Entra", Taken::Delete, key);
        assert_eq!(hash(&key(Some("=1"), "a")), deletion_hash("entra", Taken::Delete, &key(Some("=1"), "b")));
        assert_ne!(hash(&key(Some("=1"), "a")), hash(&key(Some("=2"), "a")));
        assert_ne!(
            hash(&key(Some("=1"), "a")),
            deletion_hash("entra", Taken::Disable, &key(Some("=1"), "a"))
        );
        assert_ne!(hash(&key(Some("=1"), "a")), hash(&key(None, "=1")));
        let link = |add, target: &str| LinkChange {
            owner: key(Some("=g"), ""),
            attribute: "members".to_owned(),
            add,
            target: key(Some(target), ""),
            stands: Stands::Pending,
        };
        assert_ne!(link_hash("entra", &link(false, "=1")), link_hash("entra", &link(true, "=1")));
        assert_ne!(link_hash("entra", &link(false, "=1")), link_hash("entra", &link(false, "=2")));
    }
}
