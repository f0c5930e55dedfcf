//! Staging: entries of a connected directory become rows of its connector space.
//!
//! No rule is asked here, and the metaverse is not touched. What changed is put on the agenda. An unchanged entry is
//! recognised by comparing its image with the stored one, and an unchanged set of links by count and sum; both cost
//! no write. What was sent and is now seen is confirmed here.

mod containers;
mod links;
mod names;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use onesync_model::{
    Anchor, AttrId, ConnectorId, ContainerId, CsId, Entry, EntryChange, Hash128, Image, Operation, join_key,
};

use containers::Containers;

use crate::batch::{Batch, Context};
use crate::changes::Changes;
use crate::confirm;
use crate::link_names;
use crate::memberships;
use crate::reader::{ReadError, Reader};
use crate::sources::cs_keys;
use crate::state::{CsFlags, CsRow, Work};

/// What an import has done so far.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ImportCounters {
    /// New objects.
    pub add: u64,
    /// Changed objects.
    pub update: u64,
    /// Objects that are gone.
    pub delete: u64,
    /// Objects seen as they were.
    pub unchanged: u64,
    /// Changes that were sent before and are now seen: not counted above.
    pub confirmed: u64,
    /// Entries that could not be taken.
    pub errors: u64,
}

/// Stages the pages of one import. Keeps what spans pages: the links of an object that come in several chunks, and
/// names of containers.
pub struct Stager {
    connector: ConnectorId,
    full: bool,
    open: Option<OpenLinks>,
    containers: HashMap<(Option<ContainerId>, String), ContainerId>,
    /// Containers by their names as written.
    parents: HashMap<String, ContainerId>,
    /// What has been done so far.
    pub counters: ImportCounters,
}

/// The result of staging a page.
pub struct Staged {
    /// Rows to write.
    pub changes: Changes,
    /// Objects seen, for the decision which are gone.
    pub seen: Vec<CsId>,
    /// Whether the page ended between two objects, so that the import can go on after it.
    pub clean: bool,
    /// Objects of which only a change is known, but which are not known themselves: to be read whole.
    pub unknown: Vec<Anchor>,
}

/// The object that came last: more of its links may follow, even when the first entry had none.
struct OpenLinks {
    id: CsId,
    /// Whole sets of which parts are missing yet.
    attributes: BTreeMap<AttrId, Vec<Hash128>>,
    /// How the object was counted before its links: unchanged objects with changed links are updates.
    counted: Counted,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Counted {
    Unchanged,
    Confirmed,
    Otherwise,
}

impl Stager {
    /// Whether the pages are those of a full import.
    #[must_use]
    pub fn full(&self) -> bool {
        self.full
    }

    /// Begins an import; `full` says that every object is going to be seen.
    #[must_use]
    pub fn new(connector: ConnectorId, full: bool) -> Self {
        Self {
            connector,
            full,
            open: None,
            containers: HashMap::new(),
            parents: HashMap::new(),
            counters: ImportCounters::default(),
        }
    }

    /// Stages one page; `seen_before` says what earlier pages of this import have shown.
    ///
    /// # Errors
    /// When the reader fails.
    pub fn page(
        &mut self,
        ctx: &Context<'_>,
        reader: &dyn Reader,
        entries: Vec<Entry>,
        seen_before: &dyn Fn(CsId) -> bool,
    ) -> Result<Staged, ReadError> {
        let mut page = Page {
            seen_before,
            ctx,
            stager: self,
            batch: Batch::new(reader, ctx.run)?,
            by_key: HashMap::new(),
            seen: Vec::new(),
            unknown: Vec::new(),
            containers: Containers::default(),
            taken: HashSet::new(),
            keys_to_wake: BTreeSet::new(),
            renamed: BTreeSet::new(),
        };
        page.load(&entries)?;
        for entry in entries {
            page.entry(entry)?;
        }
        // Whoever was refused because of an object as it was may have its place now.
        let keys: Vec<i64> = std::mem::take(&mut page.keys_to_wake).into_iter().collect();
        if !keys.is_empty() {
            page.batch.wake_unjoined(&keys)?;
        }
        let renamed = std::mem::take(&mut page.renamed);
        link_names::names_changed(ctx, &mut page.batch, page.stager.connector, renamed)?;
        page.batch.changes.containers.extend(page.containers.changed());
        let (changes, seen, unknown) = (page.batch.finish(ctx), page.seen, page.unknown);
        Ok(Staged {
            changes,
            seen,
            unknown,
            clean: self.open.as_ref().is_none_or(|open| open.attributes.is_empty()),
        })
    }

    /// Stages objects that a complete import has not shown: they are gone.
    ///
    /// # Errors
    /// When the reader fails.
    pub fn gone(
        &mut self,
        ctx: &Context<'_>,
        reader: &dyn Reader,
        ids: &[CsId],
    ) -> Result<Changes, ReadError> {
        let mut batch = Batch::new(reader, ctx.run)?;
        batch.load_cs(ids.iter().copied())?;
        batch.load_exports(ids.iter().copied())?;
        for &id in ids {
            if let Some(row) = batch.cs(id).cloned() {
                self.delete(ctx, &mut batch, row)?;
            }
        }
        Ok(batch.finish(ctx))
    }

    fn delete(&mut self, ctx: &Context<'_>, batch: &mut Batch<'_>, row: CsRow) -> Result<(), ReadError> {
        if row.flags.has(CsFlags::GONE) {
            return Ok(());
        }
        thaw(batch, &row)?;
        let confirmed = batch
            .export(row.id)
            .is_some_and(|export| export.operation == Operation::Delete && export.sent.is_some());
        if confirmed {
            self.counters.confirmed += 1;
        } else {
            self.counters.delete += 1;
        }
        batch.wake_identity(&row);
        memberships::wake_members(ctx, batch, &row);
        link_names::name_changed(ctx, batch, &row)?;
        let flags = row.flags.with(CsFlags::GONE, true).with(CsFlags::CONFLICT, false);
        batch.put_cs(CsRow { flags, ..row });
        Ok(())
    }
}

struct Page<'a, 's, 'r> {
    seen_before: &'a dyn Fn(CsId) -> bool,
    ctx: &'a Context<'a>,
    stager: &'s mut Stager,
    batch: Batch<'r>,
    by_key: HashMap<Hash128, CsId>,
    seen: Vec<CsId>,
    unknown: Vec<Anchor>,
    containers: Containers,
    /// Objects of this page: one that comes twice in a full import is in conflict.
    taken: HashSet<CsId>,
    /// Join keys, before and now, of objects that changed and that others may be refused because of.
    keys_to_wake: BTreeSet<i64>,
    /// Keys by which links led, or lead now, to objects that came, came back or have another name.
    renamed: BTreeSet<Hash128>,
}

impl Page<'_, '_, '_> {
    fn load(&mut self, entries: &[Entry]) -> Result<(), ReadError> {
        let connector = self.stager.connector;
        let keys: Vec<Hash128> =
            entries.iter().map(|entry| CsRow::anchor_key(connector, &entry.anchor)).collect();
        let rows = self.batch.reader.cs_by_key(&keys)?;
        let ids: Vec<CsId> = rows.iter().map(|row| row.id).collect();
        for row in &rows {
            if let Some(key) = row.key() {
                self.by_key.insert(key, row.id);
            }
        }
        self.batch.keep_cs(rows)?;
        self.batch.load_exports(ids)?;
        let goes_on = entries.first().is_some_and(|entry| entry.change == EntryChange::MoreLinks);
        if let Some(open) = self.stager.open.as_ref().filter(|_| goes_on) {
            self.batch.load_cs([open.id])?;
        }
        self.load_containers(entries)
    }

    fn entry(&mut self, entry: Entry) -> Result<(), ReadError> {
        let key = CsRow::anchor_key(self.stager.connector, &entry.anchor);
        if entry.change == EntryChange::MoreLinks {
            let open = self.stager.open.as_ref().map(|open| open.id);
            return match (open, self.by_key.get(&key)) {
                (Some(open), Some(&id)) if open == id => self.links(id, entry.links),
                _ => Ok(()), // links of an object that was not taken: reported with it
            };
        }
        self.stager.open = None;
        if entry.change == EntryChange::Container {
            return self.container_told(entry.anchor, entry.dn.as_deref().unwrap_or_default());
        }
        let known = match self.by_key.get(&key) {
            Some(&id) => self.batch.cs(id).cloned(),
            None => self.provisioned(&entry)?,
        };
        match (entry.change, known) {
            (EntryChange::Delete, Some(row)) => {
                let id = row.id;
                self.batch.load_exports([id])?;
                self.stager.delete(self.ctx, &mut self.batch, row)?;
                self.drop_links_to(id, key, &entry.cleared)?;
            }
            (EntryChange::Delete, None) => self.forget_container(&entry.anchor)?,
            (EntryChange::MoreLinks | EntryChange::Container, _) => {}
            (EntryChange::Full, Some(row))
                if self.stager.full
                    && (!self.taken.insert(row.id) || (self.seen_before)(row.id))
                    && !self.repeats() =>
            {
                self.conflict(row, &entry)
            }
            (EntryChange::Full | EntryChange::Merge, Some(row)) => self.update(row, entry)?,
            (EntryChange::Merge, None) if entry.object_type.is_none() || entry.dn.is_none() => {
                self.unknown.push(entry.anchor)
            }
            (EntryChange::Full | EntryChange::Merge, None) => {
                let id = self.add(entry, key)?;
                self.taken.insert(id);
            }
        }
        Ok(())
    }

    fn repeats(&self) -> bool {
        self.ctx.policies.of(self.stager.connector).repeats
    }

    /// An object that we planned to create, and that the directory shows under an anchor we do not know yet.
    fn provisioned(&mut self, entry: &Entry) -> Result<Option<CsRow>, ReadError> {
        let policy = self.ctx.policies.of(self.stager.connector);
        let Some(attribute) = entry.object_type.and_then(|t| policy.types.get(&t)).and_then(|t| t.create_key)
        else {
            return Ok(None);
        };
        let Some(value) = entry.values.get(attribute).map(|values| values.first().clone()) else {
            return Ok(None);
        };
        let ids: Vec<CsId> = self
            .batch
            .reader
            .cs_by_join(&[join_key(attribute, value.as_ref())])?
            .into_iter()
            .map(|(_, id)| id)
            .collect();
        self.batch.load_cs(ids.iter().copied())?;
        let found = ids.into_iter().filter_map(|id| self.batch.cs(id)).find(|row| {
            row.connector == self.stager.connector
                && row.anchor.is_none()
                && row.flags.has(CsFlags::PROVISIONED)
                && Some(row.object_type) == entry.object_type
                && row
                    .image
                    .as_ref()
                    .get(attribute)
                    .is_some_and(|values| values.iter().any(|v| v == value.as_ref()))
        });
        let found = found.cloned();
        if let Some(row) = &found {
            self.batch.load_exports([row.id])?;
        }
        Ok(found)
    }

    fn conflict(&mut self, row: CsRow, entry: &Entry) {
        self.stager.counters.errors += 1;
        let message = format!(
            "the anchor {} was seen twice, as `{}` and as `{}`; what it gives stays as it is until an import shows it once",
            entry.anchor,
            row.name,
            entry.dn.as_deref().unwrap_or("?")
        );
        self.batch.error(self.ctx, (row.id, row.connector), "import", "duplicate-object", message, false);
        // Its row stays as the first sight of it left it, whether that was in this page or in one before: what it gives
        // to others is frozen, and follows from what these have of it.
        let flags = row.flags.with(CsFlags::CONFLICT, true);
        self.batch.put_cs(CsRow { flags, ..row });
    }

    fn add(&mut self, entry: Entry, key: Hash128) -> Result<CsId, ReadError> {
        let id = self.batch.new_cs_id();
        let (container, name, name_key) = self.place(entry.dn.as_deref().unwrap_or_default())?;
        let row = CsRow {
            id,
            connector: self.stager.connector,
            object_type: entry.object_type.unwrap_or_default(),
            anchor: Some(entry.anchor),
            container,
            name,
            image: Image::from_bag(&entry.values),
            links: Vec::new(),
            flags: flags(CsFlags::default(), &entry.flags),
            reason: reason(&entry.flags),
            join: None,
            leaving: None,
        };
        self.by_key.insert(key, id);
        if self.ctx.rules.asks_link_names(self.stager.connector) {
            self.renamed.extend(name_key.into_iter().chain([key]));
        }
        self.batch.wake_identity(&row);
        self.batch.put_cs(row);
        self.batch.changes.cs_names.extend(name_key.map(|key| (id, None, Some(key))));
        self.batch.wake(Work::Target(id));
        self.stager.counters.add += 1;
        self.seen.push(id);
        self.begin_links(id, Counted::Otherwise);
        self.links(id, entry.links)?;
        Ok(id)
    }

    fn update(&mut self, row: CsRow, entry: Entry) -> Result<(), ReadError> {
        let id = row.id;
        self.seen.push(id);
        let image = match entry.change {
            EntryChange::Full if entry.unknown.is_empty() => Image::from_bag(&entry.values),
            EntryChange::Full => {
                let mut bag = entry.values;
                let old = row.image.to_bag();
                for &attribute in &entry.unknown {
                    bag.set(attribute, old.get(attribute).cloned());
                }
                Image::from_bag(&bag)
            }
            _ => {
                let mut bag =
                    if row.flags.has(CsFlags::PROVISIONED) { Default::default() } else { row.image.to_bag() };
                for (attribute, values) in entry.values {
                    bag.set(attribute, Some(values));
                }
                for attribute in entry.cleared {
                    bag.set(attribute, None);
                }
                Image::from_bag(&bag)
            }
        };
        let mut next = CsRow {
            image,
            flags: flags(row.flags, &entry.flags),
            reason: reason(&entry.flags),
            object_type: entry.object_type.unwrap_or(row.object_type),
            anchor: Some(entry.anchor),
            ..row.clone()
        };
        thaw(&mut self.batch, &row)?;
        if let Some(dn) = entry.dn.as_deref() {
            self.rename(&row, &mut next, dn)?;
        }
        let confirmed = confirm::seen(self.ctx, &mut self.batch, &row, &next);
        let changed = next != row;
        let counted = match (changed, confirmed) {
            (false, false) => Counted::Unchanged,
            (_, true) => Counted::Confirmed,
            (true, false) => Counted::Otherwise,
        };
        match counted {
            Counted::Unchanged => self.stager.counters.unchanged += 1,
            Counted::Confirmed => self.stager.counters.confirmed += 1,
            Counted::Otherwise => self.stager.counters.update += 1,
        }
        if changed {
            self.wake_changed(&row, &next)?;
            self.batch.put_cs(next);
        }
        self.begin_links(id, counted);
        self.links(id, entry.links)
    }

    fn wake_changed(&mut self, row: &CsRow, next: &CsRow) -> Result<(), ReadError> {
        if row.join.is_none() || (&row.name, row.container) != (&next.name, next.container) {
            self.keys_to_wake.extend(cs_keys(self.ctx, row));
            self.keys_to_wake.extend(cs_keys(self.ctx, next));
        }
        self.batch.wake_identity(next);
        let renamed = (&row.name, row.container) != (&next.name, next.container);
        if renamed || row.flags.has(CsFlags::GONE) {
            memberships::wake_members(self.ctx, &mut self.batch, row);
            memberships::wake_members(self.ctx, &mut self.batch, next);
        }
        if row.anchor.is_none() || row.flags.has(CsFlags::GONE) {
            self.batch.wake(Work::Target(row.id));
        }
        let named_anew = renamed || row.anchor.is_none() || row.flags.has(CsFlags::GONE);
        if named_anew && self.ctx.rules.asks_link_names(row.connector) {
            let named = self.batch.reader.name_key(&[row.id])?.into_iter().map(|(_, key)| key);
            self.renamed.extend(next.key().into_iter().chain(named));
        }
        Ok(())
    }

    fn rename(&mut self, row: &CsRow, next: &mut CsRow, dn: &str) -> Result<(), ReadError> {
        let (container, name, name_key) = self.place(dn)?;
        if container == row.container && name == row.name {
            return Ok(());
        }
        if name == row.name && self.canonical(row.container)? == container {
            return Ok(()); // the same container, met under another name
        }
        (next.container, next.name) = (container, name);
        let old_key = self.batch.reader.name_key(&[row.id])?.into_iter().map(|(_, key)| key).next();
        if old_key != name_key {
            self.renamed.extend(name_key.filter(|_| self.ctx.rules.asks_link_names(row.connector)));
            self.batch.changes.cs_names.push((row.id, old_key, name_key));
            self.batch.wake(Work::Target(row.id));
        }
        Ok(())
    }
}

/// An anchor that was seen twice is seen once, or not at all: what was left alone since then is looked at as a whole.
fn thaw(batch: &mut Batch<'_>, row: &CsRow) -> Result<(), ReadError> {
    if !row.flags.has(CsFlags::CONFLICT) {
        return Ok(());
    }
    batch.heal(row.id, |place| place == "import");
    if let Some(mv) = row.join.map(|join| join.mv) {
        batch.load_mv([mv])?;
        let picks = batch.mv(mv).map(|mv| mv.picks.clone()).unwrap_or_default();
        for pick in picks {
            batch.wake(Work::MvLinks(mv, pick.attribute));
        }
    }
    Ok(())
}

fn flags(before: CsFlags, entry: &onesync_model::EntryFlags) -> CsFlags {
    before
        .with(CsFlags::PROTECTED, entry.protected.is_some())
        .with(CsFlags::MASTERED_ELSEWHERE, entry.mastered_elsewhere.is_some())
        .with(CsFlags::GONE, false)
        .with(CsFlags::CONFLICT, false)
        .with(CsFlags::PROVISIONED, false)
}

fn reason(entry: &onesync_model::EntryFlags) -> Option<String> {
    entry.protected.clone().or_else(|| entry.mastered_elsewhere.clone())
}
