//! Staging: entries of a connected directory become rows of its connector space.
//!
//! No rule is asked here, and the metaverse is not touched. What changed is put on the agenda. An unchanged entry is
//! recognised by comparing its image with the stored one, and an unchanged set of links by count and sum; both cost
//! no write. What was sent and is now seen is confirmed here.

use std::collections::{BTreeMap, HashMap, HashSet};

use onesync_model::{
    Anchor, AttrId, ConnectorId, ContainerId, CsId, Dn, Entry, EntryChange, Hash128, Image, LinkChunk,
    LinkMode, LinkTarget, Operation, join_key,
};

use crate::batch::{Batch, Context};
use crate::changes::Changes;
use crate::confirm;
use crate::reader::{ReadError, Reader};
use crate::state::{ContainerRow, CsFlags, CsRow, LinkSum, Work};

/// Changed links of one attribute up to which each is looked at by itself; above, the attribute is compared whole.
const SINGLE_LINKS_MAX: usize = 1_000;
/// Container names remembered between pages: enough for every organisational unit of a large directory.
const CONTAINERS_REMEMBERED_MAX: usize = 100_000;
/// Links read at once.
const PAGE: usize = 5_000;

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

/// An object whose links are still coming.
struct OpenLinks {
    id: CsId,
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
    /// Begins an import; `full` says that every object is going to be seen.
    #[must_use]
    pub fn new(connector: ConnectorId, full: bool) -> Self {
        Self { connector, full, open: None, containers: HashMap::new(), counters: ImportCounters::default() }
    }

    /// Stages one page.
    ///
    /// # Errors
    /// When the reader fails.
    pub fn page(
        &mut self,
        ctx: &Context<'_>,
        reader: &dyn Reader,
        entries: Vec<Entry>,
    ) -> Result<Staged, ReadError> {
        let mut page = Page {
            ctx,
            stager: self,
            batch: Batch::new(reader, ctx.run)?,
            by_key: HashMap::new(),
            seen: Vec::new(),
            unknown: Vec::new(),
            taken: HashSet::new(),
        };
        page.load(&entries)?;
        for entry in entries {
            page.entry(entry)?;
        }
        let (changes, seen, unknown) = (page.batch.finish(ctx), page.seen, page.unknown);
        Ok(Staged { changes, seen, unknown, clean: self.open.is_none() })
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
                self.delete(ctx, &mut batch, row);
            }
        }
        Ok(batch.finish(ctx))
    }

    fn delete(&mut self, ctx: &Context<'_>, batch: &mut Batch<'_>, row: CsRow) {
        if row.flags.has(CsFlags::GONE) {
            return;
        }
        let confirmed = batch
            .export(row.id)
            .is_some_and(|export| export.operation == Operation::Delete && export.sent.is_some());
        if confirmed {
            self.counters.confirmed += 1;
        } else {
            self.counters.delete += 1;
        }
        batch.wake_identity(row.connector, row.id);
        if confirmed && let Some(join) = row.join {
            batch.wake(Work::Outbound(join.mv));
        }
        let _ = ctx;
        let flags = row.flags.with(CsFlags::GONE, true);
        batch.put_cs(CsRow { flags, ..row });
    }
}

struct Page<'a, 's, 'r> {
    ctx: &'a Context<'a>,
    stager: &'s mut Stager,
    batch: Batch<'r>,
    by_key: HashMap<Hash128, CsId>,
    seen: Vec<CsId>,
    unknown: Vec<Anchor>,
    /// Objects of this page: one that comes twice in a full import is in conflict.
    taken: HashSet<CsId>,
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
        if let Some(open) = &self.stager.open {
            self.batch.load_cs([open.id])?;
        }
        Ok(())
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
        let known = match self.by_key.get(&key) {
            Some(&id) => self.batch.cs(id).cloned(),
            None => self.provisioned(&entry)?,
        };
        match (entry.change, known) {
            (EntryChange::Delete, Some(row)) => {
                let id = row.id;
                self.batch.load_exports([id])?;
                self.stager.delete(self.ctx, &mut self.batch, row);
            }
            (EntryChange::Delete, None) | (EntryChange::MoreLinks, _) => {}
            (EntryChange::Full, Some(row)) if self.stager.full && !self.taken.insert(row.id) => {
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
            "the anchor {} was seen twice, as `{}` and as `{}`; the object stays exactly as it is until an import shows it once",
            entry.anchor,
            row.name,
            entry.dn.as_deref().unwrap_or("?")
        );
        self.batch.error(self.ctx, (row.id, row.connector), "import", "duplicate-object", message, false);
        // Back to the row as it was before this import's first sight of it, but for the mark.
        let before = self.batch.cs_before(row.id).cloned().unwrap_or(row);
        let flags = before.flags.with(CsFlags::CONFLICT, true);
        self.batch.put_cs(CsRow { flags, ..before });
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
        self.batch.put_cs(row);
        self.batch.changes.cs_names.extend(name_key.map(|key| (id, None, Some(key))));
        self.batch.wake_identity(self.stager.connector, id);
        self.batch.wake(Work::Target(id));
        self.stager.counters.add += 1;
        self.seen.push(id);
        self.begin_links(id, Counted::Otherwise);
        self.links(id, entry.links)?;
        self.end_links_unless_open(id)?;
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
        if row.flags.has(CsFlags::CONFLICT) {
            self.batch.heal(id, |place| place == "import");
        }
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
            self.wake_changed(&row, &next);
            self.batch.put_cs(next);
        }
        self.begin_links(id, counted);
        self.links(id, entry.links)?;
        self.end_links_unless_open(id)
    }

    fn wake_changed(&mut self, row: &CsRow, next: &CsRow) {
        self.batch.wake_identity(row.connector, row.id);
        if let Some(join) = row.join {
            self.batch.wake(Work::Outbound(join.mv));
        }
        if row.anchor.is_none() || row.flags.has(CsFlags::GONE) {
            self.batch.wake(Work::Target(row.id));
        }
        let _ = next;
    }

    fn rename(&mut self, row: &CsRow, next: &mut CsRow, dn: &str) -> Result<(), ReadError> {
        let (container, name, name_key) = self.place(dn)?;
        if container == row.container && name == row.name {
            return Ok(());
        }
        (next.container, next.name) = (container, name);
        let old_key = self.batch.reader.name_key(&[row.id])?.into_iter().map(|(_, key)| key).next();
        if old_key != name_key {
            self.batch.changes.cs_names.push((row.id, old_key, name_key));
            self.batch.wake(Work::Target(row.id));
        }
        Ok(())
    }

    // --- names ---

    /// Container, name inside it, and name key where links are by name.
    fn place(&mut self, dn: &str) -> Result<(Option<ContainerId>, String, Option<Hash128>), ReadError> {
        let policy = self.ctx.policies.of(self.stager.connector);
        if !policy.hierarchical {
            let key = policy
                .links_by_name
                .then(|| CsRow::name_key(self.stager.connector, None, &onesync_model::fold_case(dn)));
            return Ok((None, dn.to_owned(), key));
        }
        let Ok(parsed) = Dn::parse(dn) else { return Ok((None, dn.to_owned(), None)) };
        let Some((own, parents)) = parsed.rdns().split_first() else {
            return Ok((None, String::new(), None));
        };
        let mut container = None;
        for rdn in parents.iter().rev() {
            container = Some(self.container(container, rdn.as_str(), &rdn.normalised())?);
        }
        let key = policy
            .links_by_name
            .then(|| CsRow::name_key(self.stager.connector, container, &own.normalised()));
        Ok((container, own.as_str().to_owned(), key))
    }

    fn container(
        &mut self,
        parent: Option<ContainerId>,
        rdn: &str,
        normalised: &str,
    ) -> Result<ContainerId, ReadError> {
        let key = (parent, normalised.to_owned());
        if let Some(&id) = self.stager.containers.get(&key) {
            return Ok(id);
        }
        if self.stager.containers.len() >= CONTAINERS_REMEMBERED_MAX {
            self.stager.containers.clear();
            // Containers of this very batch are not in the database yet and must be found again.
            for row in &self.batch.changes.containers {
                self.stager.containers.insert((row.parent, onesync_model::normalise_rdn(&row.rdn)), row.id);
            }
        }
        let connector = self.stager.connector;
        let id = match self.batch.reader.container(connector, parent, normalised)? {
            Some(row) => row.id,
            None => {
                let id = self.batch.new_container_id();
                self.batch.changes.containers.push(ContainerRow {
                    id,
                    connector,
                    parent,
                    rdn: rdn.to_owned(),
                });
                id
            }
        };
        self.stager.containers.insert(key, id);
        Ok(id)
    }

    fn link_key(&mut self, target: &LinkTarget) -> Result<Hash128, ReadError> {
        Ok(match target {
            LinkTarget::Anchor(anchor) => CsRow::anchor_key(self.stager.connector, anchor),
            LinkTarget::Dn(dn) => match self.place(dn)? {
                (_, _, Some(key)) => key,
                (container, name, None) => {
                    CsRow::name_key(self.stager.connector, container, &onesync_model::fold_case(&name))
                }
            },
        })
    }

    // --- links ---

    fn begin_links(&mut self, id: CsId, counted: Counted) {
        self.stager.open = Some(OpenLinks { id, attributes: BTreeMap::new(), counted });
    }

    fn end_links_unless_open(&mut self, id: CsId) -> Result<(), ReadError> {
        if self.stager.open.as_ref().is_some_and(|open| open.id == id && open.attributes.is_empty()) {
            self.stager.open = None;
        }
        Ok(())
    }

    fn links(&mut self, id: CsId, chunks: Vec<LinkChunk>) -> Result<(), ReadError> {
        for chunk in chunks {
            let keys =
                chunk.targets.iter().map(|target| self.link_key(target)).collect::<Result<Vec<_>, _>>()?;
            match chunk.mode {
                LinkMode::Replace { first, last } => {
                    let Some(open) = &mut self.stager.open else { continue };
                    let collected = open.attributes.entry(chunk.attribute).or_default();
                    if first {
                        collected.clear();
                    }
                    collected.extend(keys);
                    if last {
                        let keys = open.attributes.remove(&chunk.attribute).unwrap_or_default();
                        self.replace(id, chunk.attribute, keys)?;
                    }
                }
                LinkMode::Add => self.change(id, chunk.attribute, keys, Vec::new())?,
                LinkMode::Remove => self.change(id, chunk.attribute, Vec::new(), keys)?,
                LinkMode::Unknown => {
                    if let Some(open) = &mut self.stager.open {
                        open.attributes.remove(&chunk.attribute);
                    }
                    let connector = self.stager.connector;
                    let name = self.ctx.attribute(chunk.attribute).to_owned();
                    let message =
                        format!("`{name}` could not be read completely; its values stay as they were");
                    self.stager.counters.errors += 1;
                    self.batch.error(
                        self.ctx,
                        (id, connector),
                        &format!("import:{name}"),
                        "incomplete-values",
                        message,
                        false,
                    );
                    continue;
                }
            }
            let name = format!("import:{}", self.ctx.attribute(chunk.attribute));
            self.batch.heal(id, |place| place == name);
        }
        self.end_links_unless_open(id)
    }

    /// Compares a whole set of link values with the stored one: by count and sum, and only if these differ row by row.
    fn replace(&mut self, id: CsId, attribute: AttrId, mut keys: Vec<Hash128>) -> Result<(), ReadError> {
        keys.sort_unstable();
        keys.dedup();
        let sum = keys.iter().fold(Hash128::default(), |sum, &key| sum.plus(key));
        let stored =
            self.batch.cs(id).and_then(|row| row.links.iter().find(|s| s.attribute == attribute).copied());
        if stored.map_or((0, Hash128::default()), |s| (s.count, s.sum)) == (keys.len() as u64, sum) {
            return Ok(());
        }
        let mut removed = Vec::new();
        let mut added: Vec<Hash128> = Vec::new();
        let mut new = keys.into_iter().peekable();
        let mut after = None;
        while stored.is_some() {
            let page = self.batch.reader.links(id, attribute, after, PAGE)?;
            let Some(&last) = page.last() else { break };
            after = Some(last);
            for old in page {
                while let Some(key) = new.next_if(|&key| key < old) {
                    added.push(key);
                }
                if new.next_if_eq(&old).is_none() {
                    removed.push(old);
                }
            }
        }
        added.extend(new);
        self.write_links(id, attribute, added, removed)
    }

    /// Adds and removes single link values.
    fn change(
        &mut self,
        id: CsId,
        attribute: AttrId,
        add: Vec<Hash128>,
        remove: Vec<Hash128>,
    ) -> Result<(), ReadError> {
        let have = |keys: &[Hash128]| {
            let rows: Vec<_> = keys.iter().map(|&key| (id, attribute, key)).collect();
            self.batch.reader.has_links(&rows)
        };
        // What this page has said before about the same value counts.
        let pending = |key: &Hash128, list: &[(CsId, AttrId, Hash128)]| list.contains(&(id, attribute, *key));
        let (held_add, held_remove) = (have(&add)?, have(&remove)?);
        let (mut added, mut removed) = (Vec::new(), Vec::new());
        for (key, held) in add.into_iter().zip(held_add) {
            let gone = pending(&key, &self.batch.changes.links_removed);
            let there = (held && !gone) || pending(&key, &self.batch.changes.links_added);
            if gone {
                self.batch.changes.links_removed.retain(|row| *row != (id, attribute, key));
                self.adjust(id, attribute, &[key], &[]);
            } else if !there {
                added.push(key);
            }
        }
        for (key, held) in remove.into_iter().zip(held_remove) {
            if pending(&key, &self.batch.changes.links_added) {
                self.batch.changes.links_added.retain(|row| *row != (id, attribute, key));
                self.adjust(id, attribute, &[], &[key]);
            } else if held && !pending(&key, &self.batch.changes.links_removed) {
                removed.push(key);
            }
        }
        self.write_links(id, attribute, added, removed)
    }

    fn write_links(
        &mut self,
        id: CsId,
        attribute: AttrId,
        mut added: Vec<Hash128>,
        mut removed: Vec<Hash128>,
    ) -> Result<(), ReadError> {
        added.sort_unstable();
        added.dedup();
        removed.sort_unstable();
        removed.dedup();
        if added.is_empty() && removed.is_empty() {
            return Ok(());
        }
        let before = self.batch.cs(id).map_or(0, |row| row.link_count(attribute));
        let confirmed = confirm::links_seen(&mut self.batch, id, attribute, &added, &removed)?;
        self.recount(confirmed == added.len() + removed.len());
        self.adjust(id, attribute, &added, &removed);
        let Some(row) = self.batch.cs(id) else { return Ok(()) };
        let (connector, after, join) = (row.connector, row.link_count(attribute), row.join);
        // Rules may count link values, and a contributor with none gives way to the next.
        if join.is_none() || before != after {
            self.batch.wake_identity(connector, id);
        }
        if before == 0 || added.len() + removed.len() > SINGLE_LINKS_MAX {
            self.batch.wake(Work::CsLinks(id, attribute));
        } else {
            for &key in added.iter().chain(&removed) {
                self.batch.wake(Work::CsLink(id, attribute, key));
            }
        }
        self.batch.changes.links_added.extend(added.into_iter().map(|key| (id, attribute, key)));
        self.batch.changes.links_removed.extend(removed.into_iter().map(|key| (id, attribute, key)));
        Ok(())
    }

    fn adjust(&mut self, id: CsId, attribute: AttrId, added: &[Hash128], removed: &[Hash128]) {
        let Some(mut row) = self.batch.cs(id).cloned() else { return };
        let at = row.links.binary_search_by_key(&attribute, |sum| sum.attribute);
        let mut sum = match at {
            Ok(at) => row.links.remove(at),
            Err(_) => LinkSum { attribute, count: 0, sum: Hash128::default() },
        };
        sum.count = (sum.count + added.len() as u64).saturating_sub(removed.len() as u64);
        sum.sum = added.iter().fold(sum.sum, |total, &key| total.plus(key));
        sum.sum = removed.iter().fold(sum.sum, |total, &key| total.minus(key));
        if sum.count > 0 {
            let at = row.links.partition_point(|other| other.attribute < attribute);
            row.links.insert(at, sum);
        }
        self.batch.put_cs(row);
    }

    /// An object counted as unchanged has changed links after all.
    fn recount(&mut self, confirmed: bool) {
        let Some(open) = &mut self.stager.open else { return };
        let counters = &mut self.stager.counters;
        match (open.counted, confirmed) {
            (Counted::Unchanged, true) => {
                counters.unchanged -= 1;
                counters.confirmed += 1;
                open.counted = Counted::Confirmed;
            }
            (Counted::Unchanged, false) => {
                counters.unchanged -= 1;
                counters.update += 1;
                open.counted = Counted::Otherwise;
            }
            (Counted::Confirmed, false) => {
                counters.confirmed -= 1;
                counters.update += 1;
                open.counted = Counted::Otherwise;
            }
            _ => {}
        }
    }
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
