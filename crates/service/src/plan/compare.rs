//! The state as it is beside the state after a sync under another configuration: every difference becomes an item.
//!
//! Both sides have the same row numbers, since one began as a copy of the other; they are read page by page, so that the
//! size of the directory does not matter.

use std::collections::{BTreeMap, BTreeSet};

use onesync_engine::{CsFlags, CsRow, ErrorRow, ExportLinkRow, ExportRow, MvRow, MvState};
use onesync_model::{
    AttrId, Bag, ConnectorId, CsId, Hash128, MvId, Names, Operation, Values, ValuesRef, hash128,
    values_to_json,
};
use onesync_store::{ExportFilter, ExportLinkFilter, ExportLinkKey, StoreReader, export_hash};
use serde_json::{Value as Json, json};

use super::effect::{Difference, Effect, PlanItem};
use crate::error::ServiceError;
use crate::find::objects;
use crate::look::mv_name;
use crate::runtime::Runtime;

/// Rows read at once.
const PAGE: usize = 1_000;
/// Link values that an item names.
const LINKS_NAMED: usize = 3;

/// What becomes of link values that were to be written and are not any more.
const WITHDRAWN: &str = "withdrawn";

/// The state that a row was read from.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Side {
    Before,
    After,
}

/// Takes items.
pub(super) type Take<'a> = dyn FnMut(PlanItem) -> Result<(), ServiceError> + 'a;

/// Two states of one installation.
pub(super) struct Comparison<'a> {
    /// As it is.
    pub(super) before: &'a dyn StoreReader,
    /// After a sync under the other configuration.
    pub(super) after: &'a dyn StoreReader,
    /// The other configuration: it knows all names.
    pub(super) runtime: &'a Runtime,
}

/// Reads the page after a row, the first one without.
type ReadPage<'a, T> = Box<dyn FnMut(Option<&T>) -> Result<Vec<T>, ServiceError> + 'a>;

/// The pages of one side.
struct Pages<'a, T> {
    read: ReadPage<'a, T>,
    page: std::vec::IntoIter<T>,
    last: Option<T>,
    ended: bool,
}

impl<'a, T: Clone> Pages<'a, T> {
    fn new(read: impl FnMut(Option<&T>) -> Result<Vec<T>, ServiceError> + 'a) -> Self {
        Self { read: Box::new(read), page: Vec::new().into_iter(), last: None, ended: false }
    }

    fn next(&mut self) -> Result<Option<T>, ServiceError> {
        if let Some(row) = self.page.next() {
            return Ok(Some(row));
        }
        if self.ended {
            return Ok(None);
        }
        let page = (self.read)(self.last.as_ref())?;
        self.ended = page.len() < PAGE;
        self.last = page.last().cloned();
        self.page = page.into_iter();
        Ok(self.page.next())
    }
}

/// Goes through two ordered sequences side by side.
fn side_by_side<T: Clone, K: Ord>(
    mut before: Pages<'_, T>,
    mut after: Pages<'_, T>,
    key: impl Fn(&T) -> K,
    mut each: impl FnMut(Option<T>, Option<T>) -> Result<(), ServiceError>,
) -> Result<(), ServiceError> {
    let (mut left, mut right) = (before.next()?, after.next()?);
    loop {
        let order = match (&left, &right) {
            (None, None) => return Ok(()),
            (Some(_), None) => std::cmp::Ordering::Less,
            (None, Some(_)) => std::cmp::Ordering::Greater,
            (Some(a), Some(b)) => key(a).cmp(&key(b)),
        };
        let one = if order.is_le() { std::mem::replace(&mut left, before.next()?) } else { None };
        let other = if order.is_ge() { std::mem::replace(&mut right, after.next()?) } else { None };
        each(one, other)?;
    }
}

impl Comparison<'_> {
    /// Gives every difference, in an order that depends on nothing but the two states.
    pub(super) fn all(&self, take: &mut Take<'_>) -> Result<(), ServiceError> {
        let connectors: Vec<(ConnectorId, String)> =
            self.after.connectors()?.into_iter().map(|row| (row.id, row.name)).collect();
        for (id, name) in &connectors {
            self.exports(*id, name, take)?;
            self.links(*id, name, take)?;
            self.joins(*id, name, take)?;
            self.errors(*id, name, take)?;
        }
        self.metaverse(take)
    }

    fn item(&self, effect: Effect, connector: &str, row: &CsRow) -> PlanItem {
        object_item(effect, &self.runtime.names, connector, row)
    }

    fn exports(&self, id: ConnectorId, connector: &str, take: &mut Take<'_>) -> Result<(), ServiceError> {
        let pages = |reader: &'_ dyn StoreReader, last: Option<&ExportRow>| {
            let after = last.map_or(CsId(i64::MIN), |row| row.cs);
            Ok(reader.exports_page(id, ExportFilter::default(), after, PAGE)?)
        };
        let mut found: Vec<(Side, ExportRow)> = Vec::new();
        side_by_side(
            Pages::new(|last| pages(self.before, last)),
            Pages::new(|last| pages(self.after, last)),
            |row| row.cs,
            |before, after| {
                let same =
                    |a: &ExportRow, b: &ExportRow| export_hash(a) == export_hash(b) && a.kinds == b.kinds;
                found.push(match (before, after) {
                    (Some(before), Some(after)) if same(&before, &after) => return Ok(()),
                    (_, Some(after)) => (Side::After, after),
                    (Some(before), None) => (Side::Before, before),
                    (None, None) => return Ok(()),
                });
                if found.len() >= PAGE { self.export_items(connector, &mut found, take) } else { Ok(()) }
            },
        )?;
        self.export_items(connector, &mut found, take)
    }

    fn export_items(
        &self,
        connector: &str,
        found: &mut Vec<(Side, ExportRow)>,
        take: &mut Take<'_>,
    ) -> Result<(), ServiceError> {
        let known = self.rows(found.iter().map(|(side, row)| (*side, row.cs)))?;
        for (side, row) in found.drain(..) {
            let Some(cs) = known.get(&(side, row.cs)) else { continue };
            let mut item = export_item(cs, &self.runtime.names, connector, &row);
            if side == Side::Before {
                item.effect = Effect::Withdraw;
            }
            take(item)?;
        }
        Ok(())
    }

    /// The link values of one attribute of one object are one item: the numbers, and a sum over all of them.
    fn links(&self, id: ConnectorId, connector: &str, take: &mut Take<'_>) -> Result<(), ServiceError> {
        let key = |row: &ExportLinkRow| -> ExportLinkKey { (row.owner, row.attribute, row.target) };
        let pages = |reader: &'_ dyn StoreReader, last: Option<&ExportLinkRow>| {
            Ok(reader.export_links_page(id, ExportLinkFilter::default(), last.map(key), PAGE)?)
        };
        let mut open: Option<(CsId, AttrId, LinkChanges)> = None;
        let mut found: Vec<(Side, ExportLinkRow)> = Vec::new();
        side_by_side(
            Pages::new(|last| pages(self.before, last)),
            Pages::new(|last| pages(self.after, last)),
            key,
            |before, after| {
                found.push(match (before, after) {
                    (Some(before), Some(after)) if before.add == after.add => return Ok(()),
                    (_, Some(after)) => (Side::After, after),
                    (Some(before), None) => (Side::Before, before),
                    (None, None) => return Ok(()),
                });
                if found.len() >= PAGE {
                    self.link_items(connector, &mut found, &mut open, take)
                } else {
                    Ok(())
                }
            },
        )?;
        self.link_items(connector, &mut found, &mut open, take)?;
        open.map_or(Ok(()), |done| self.link_item(connector, done, take))
    }

    fn link_items(
        &self,
        connector: &str,
        found: &mut Vec<(Side, ExportLinkRow)>,
        open: &mut Option<(CsId, AttrId, LinkChanges)>,
        take: &mut Take<'_>,
    ) -> Result<(), ServiceError> {
        let targets = self.rows(found.iter().map(|(side, row)| (*side, row.target)))?;
        for (side, row) in found.drain(..) {
            let word = match (side, row.add) {
                (Side::Before, _) => WITHDRAWN,
                (Side::After, true) => "added",
                (Side::After, false) => "removed",
            };
            let same = open.as_ref().is_some_and(|(o, a, _)| (*o, *a) == (row.owner, row.attribute));
            if !same && let Some(done) = open.take() {
                self.link_item(connector, done, take)?;
            }
            let (_, _, changes) =
                open.get_or_insert_with(|| (row.owner, row.attribute, LinkChanges::default()));
            changes.take(word, targets.get(&(side, row.target)));
        }
        Ok(())
    }

    fn link_item(
        &self,
        connector: &str,
        (owner, attribute, changes): (CsId, AttrId, LinkChanges),
        take: &mut Take<'_>,
    ) -> Result<(), ServiceError> {
        let sides = [Side::After, Side::Before];
        let found = self.rows(sides.map(|side| (side, owner)))?;
        let Some(row) = sides.iter().find_map(|side| found.get(&(*side, owner))) else { return Ok(()) };
        let mut item = owner_item(row, &self.runtime.names, connector, attribute);
        if changes.numbers.keys().all(|word| *word == WITHDRAWN) {
            item.effect = Effect::Withdraw;
        }
        for difference in item.changes.values_mut() {
            difference.after = changes.json();
        }
        take(item)
    }

    fn joins(&self, id: ConnectorId, connector: &str, take: &mut Take<'_>) -> Result<(), ServiceError> {
        let pages = |reader: &'_ dyn StoreReader, last: Option<&CsRow>| {
            Ok(reader.cs_page(id, last.map_or(CsId(i64::MIN), |row| row.id), PAGE)?)
        };
        // What is only planned at a target is told by its export.
        let planned = |row: &CsRow| row.flags.has(CsFlags::PROVISIONED);
        let joined = |row: &CsRow| row.join.filter(|_| !planned(row)).map(|join| join.mv);
        let mut found: Vec<(Option<CsRow>, Option<CsRow>)> = Vec::new();
        side_by_side(
            Pages::new(|last| pages(self.before, last)),
            Pages::new(|last| pages(self.after, last)),
            |row| row.id,
            |before, after| {
                if before.as_ref().and_then(joined) == after.as_ref().and_then(joined) {
                    return Ok(());
                }
                found.push((before, after));
                if found.len() >= PAGE {
                    self.join_items(connector, joined, &mut found, take)
                } else {
                    Ok(())
                }
            },
        )?;
        self.join_items(connector, joined, &mut found, take)
    }

    fn join_items(
        &self,
        connector: &str,
        joined: impl Fn(&CsRow) -> Option<MvId>,
        found: &mut Vec<(Option<CsRow>, Option<CsRow>)>,
        take: &mut Take<'_>,
    ) -> Result<(), ServiceError> {
        let mvs: BTreeSet<MvId> =
            found.iter().flat_map(|(a, b)| [a, b]).flatten().filter_map(&joined).collect();
        let mvs: Vec<MvId> = mvs.into_iter().collect();
        let names: BTreeMap<MvId, String> =
            self.before.mv_by_id(&mvs)?.into_iter().map(|mv| (mv.id, mv_name(self.runtime, &mv))).collect();
        for (before, after) in found.drain(..) {
            if let Some((was, row)) = before.as_ref().and_then(|row| Some((joined(row)?, row))) {
                let mut item = self.item(Effect::Disconnect, connector, row);
                item.note = names.get(&was).map(|name| format!("from `{name}`")).unwrap_or_default();
                if after.is_none() {
                    item.note.push_str(", and its row is gone");
                }
                take(item)?;
            }
            if let Some((is, row)) = after.as_ref().and_then(|row| Some((joined(row)?, row))) {
                let known = names.get(&is);
                let effect = if known.is_some() { Effect::Join } else { Effect::Project };
                let mut item = self.item(effect, connector, row);
                item.note = known.map(|name| format!("to `{name}`")).unwrap_or_default();
                take(item)?;
            }
        }
        Ok(())
    }

    fn errors(&self, id: ConnectorId, connector: &str, take: &mut Take<'_>) -> Result<(), ServiceError> {
        let pages = |reader: &'_ dyn StoreReader, last: Option<&ErrorRow>| {
            Ok(reader.errors_page(Some(id), last.map(|row| (row.cs, row.place.as_str())), PAGE)?)
        };
        let mut found: Vec<(Side, ErrorRow)> = Vec::new();
        side_by_side(
            Pages::new(|last| pages(self.before, last)),
            Pages::new(|last| pages(self.after, last)),
            |row| (row.cs, row.place.clone()),
            |before, after| {
                found.push(match (before, after) {
                    (Some(before), Some(after)) if before.message == after.message => return Ok(()),
                    (_, Some(after)) => (Side::After, after),
                    (Some(before), None) => (Side::Before, before),
                    (None, None) => return Ok(()),
                });
                if found.len() >= PAGE { self.error_items(connector, &mut found, take) } else { Ok(()) }
            },
        )?;
        self.error_items(connector, &mut found, take)
    }

    fn error_items(
        &self,
        connector: &str,
        found: &mut Vec<(Side, ErrorRow)>,
        take: &mut Take<'_>,
    ) -> Result<(), ServiceError> {
        let known = self.rows(found.iter().map(|(side, row)| (*side, row.cs)))?;
        for (side, row) in found.drain(..) {
            let Some(cs) = known.get(&(side, row.cs)) else { continue };
            let effect = if side == Side::After { Effect::Error } else { Effect::Mended };
            let mut item = self.item(effect, connector, cs);
            item.changes.insert(row.place, Difference::default());
            item.note = row.message;
            take(item)?;
        }
        Ok(())
    }

    /// Objects of connector spaces, of either side.
    fn rows(
        &self,
        wanted: impl IntoIterator<Item = (Side, CsId)>,
    ) -> Result<BTreeMap<(Side, CsId), CsRow>, ServiceError> {
        let (mut before, mut after) = (Vec::new(), Vec::new());
        for (side, id) in wanted {
            if side == Side::Before { before.push(id) } else { after.push(id) }
        }
        let mut all = BTreeMap::new();
        for (side, reader, ids) in [(Side::Before, self.before, before), (Side::After, self.after, after)] {
            all.extend(objects(reader, ids)?.into_iter().map(|(id, row)| ((side, id), row)));
        }
        Ok(all)
    }

    fn metaverse(&self, take: &mut Take<'_>) -> Result<(), ServiceError> {
        let pages = |reader: &'_ dyn StoreReader, last: Option<&MvRow>| {
            Ok(reader.mv_page(last.map_or(MvId(i64::MIN), |row| row.id), PAGE)?)
        };
        side_by_side(
            Pages::new(|last| pages(self.before, last)),
            Pages::new(|last| pages(self.after, last)),
            |row| row.id,
            |before, after| {
                let item = |effect: Effect, row: &MvRow| PlanItem {
                    effect,
                    connector: String::new(),
                    object_type: self.runtime.names.type_name(row.object_type).to_owned(),
                    key: row.guid.to_string(),
                    object: mv_name(self.runtime, row),
                    changes: BTreeMap::new(),
                    note: String::new(),
                };
                let (before, after) = match (before, after) {
                    (Some(before), None) => return take(item(Effect::Leave, &before)),
                    (Some(before), Some(after)) => (before, after),
                    // Its source object is the item.
                    (None, _) => return Ok(()),
                };
                match (&before.state, &after.state) {
                    (MvState::Active, MvState::Leaving { .. }) => take(item(Effect::Leave, &before))?,
                    (MvState::Leaving { .. }, MvState::Active) => take(item(Effect::Stay, &after))?,
                    _ => {}
                }
                if before.values == after.values && before.object_type == after.object_type {
                    return Ok(());
                }
                let mut values = item(Effect::Values, &after);
                values.changes = self.differences(&before.values.to_bag(), &after.values.to_bag());
                if before.object_type != after.object_type {
                    values.note = format!("was a {}", self.runtime.names.type_name(before.object_type));
                }
                take(values)
            },
        )
    }

    fn differences(&self, before: &Bag, after: &Bag) -> BTreeMap<String, Difference> {
        let all = before.iter().chain(after.iter()).map(|(attribute, _)| attribute);
        all.filter(|&attribute| before.get(attribute) != after.get(attribute))
            .map(|attribute| {
                let difference =
                    Difference { before: shown(before.get(attribute)), after: shown(after.get(attribute)) };
                (self.runtime.names.name(attribute).to_owned(), difference)
            })
            .collect()
    }
}

fn object_item(effect: Effect, names: &Names, connector: &str, row: &CsRow) -> PlanItem {
    PlanItem {
        effect,
        connector: connector.to_owned(),
        object_type: names.type_name(row.object_type).to_owned(),
        key: row.anchor.as_ref().map_or_else(|| row.name.clone(), ToString::to_string),
        object: row.name.clone(),
        changes: BTreeMap::new(),
        note: String::new(),
    }
}

/// The item of a pending export of an object.
pub(crate) fn export_item(cs: &CsRow, names: &Names, connector: &str, row: &ExportRow) -> PlanItem {
    let mut item = object_item(sent_effect(row), names, connector, cs);
    if cs.anchor.is_none()
        && let Some(key) = &row.create_key
    {
        item.key.clone_from(key);
    }
    // Of what is only planned the row has the key by which it will be known: nothing is there yet.
    let image = (!cs.flags.has(CsFlags::PROVISIONED)).then(|| cs.image.as_ref());
    for change in &row.changes {
        let there = image.and_then(|image| image.get(change.attribute)).and_then(ValuesRef::to_values);
        let difference = Difference { before: shown(there.as_ref()), after: shown(change.values.as_ref()) };
        item.changes.insert(names.name(change.attribute).to_owned(), difference);
    }
    if row.kinds & ExportRow::KIND_LEFT_SCOPE != 0 {
        "its source is out of scope".clone_into(&mut item.note);
    }
    item
}

/// The item of the link values of one attribute of an object, without the values.
pub(super) fn owner_item(cs: &CsRow, names: &Names, connector: &str, attribute: AttrId) -> PlanItem {
    let mut item = object_item(Effect::Links, names, connector, cs);
    item.changes.insert(names.name(attribute).to_owned(), Difference::default());
    item
}

/// What an export does.
fn sent_effect(row: &ExportRow) -> Effect {
    let has = |kind: u8| row.kinds & kind != 0;
    match row.operation {
        _ if has(ExportRow::KINDS_NOT_SENT) => Effect::NotSent,
        Operation::Delete => Effect::Delete,
        Operation::Add => Effect::Create,
        Operation::Update if has(ExportRow::KIND_DISABLE) => Effect::Disable,
        Operation::Update if has(ExportRow::KIND_ADOPT) => Effect::Adopt,
        Operation::Update => Effect::Update,
    }
}

fn shown(values: Option<&Values>) -> Json {
    values.map_or(Json::Null, values_to_json)
}

/// What becomes of the link values of one attribute of one object.
#[derive(Default)]
struct LinkChanges {
    numbers: BTreeMap<&'static str, u64>,
    named: Vec<String>,
    sum: Hash128,
}

impl LinkChanges {
    fn take(&mut self, word: &'static str, target: Option<&CsRow>) {
        *self.numbers.entry(word).or_default() += 1;
        let Some(target) = target else { return };
        let key = target.anchor.as_ref().map_or_else(|| target.name.clone(), ToString::to_string);
        self.sum = self.sum.plus(hash128(&[word.as_bytes(), key.as_bytes()]));
        if self.named.len() < LINKS_NAMED {
            self.named.push(format!("{word}: {}", target.name));
        }
    }

    fn json(&self) -> Json {
        json!({"values": self.numbers, "some": self.named, "sum": self.sum.to_string()})
    }
}
