//! Containers: rows by name and by anchor. One that is renamed or moved is one row; what lies below it moves along.

use std::collections::{BTreeMap, HashMap};

use onesync_model::{Anchor, ContainerId, Dn, Entry, EntryChange};

use super::Page;
use crate::reader::ReadError;
use crate::state::{Below, ContainerRow, Work};

/// Containers read at once.
const PAGE: usize = 1_000;

/// A name inside a container.
type Name = (Option<ContainerId>, String);

/// The containers that one page told or made.
#[derive(Default)]
pub(super) struct Containers {
    /// Rows that were read, as they were.
    stored: HashMap<ContainerId, ContainerRow>,
    /// Rows as they are to be; those that end as they began are not written.
    rows: BTreeMap<ContainerId, ContainerRow>,
    /// What is found by name because of `rows`.
    by_name: HashMap<Name, ContainerId>,
    by_anchor: HashMap<Anchor, ContainerId>,
}

impl Containers {
    fn put(&mut self, row: ContainerRow) {
        let before = self.rows.get(&row.id).or_else(|| self.stored.get(&row.id));
        if let Some(name) = before.map(|before| (before.parent, before.key()))
            && self.by_name.get(&name) == Some(&row.id)
        {
            self.by_name.remove(&name);
        }
        self.by_name.insert((row.parent, row.key()), row.id);
        if let Some(anchor) = &row.anchor {
            self.by_anchor.insert(anchor.clone(), row.id);
        }
        self.rows.insert(row.id, row);
    }

    fn now(&mut self, row: ContainerRow) -> ContainerRow {
        self.stored.entry(row.id).or_insert_with(|| row.clone());
        self.rows.get(&row.id).cloned().unwrap_or(row)
    }

    /// What is to be written.
    pub(super) fn changed(self) -> impl Iterator<Item = ContainerRow> {
        let stored = self.stored;
        self.rows.into_values().filter(move |row| stored.get(&row.id) != Some(row))
    }
}

impl Page<'_, '_, '_> {
    /// Reads the containers that entries may be of.
    pub(super) fn load_containers(&mut self, entries: &[Entry]) -> Result<(), ReadError> {
        if !self.ctx.policies.of(self.stager.connector).hierarchical {
            return Ok(());
        }
        let of = |entry: &&Entry| matches!(entry.change, EntryChange::Container | EntryChange::Delete);
        let anchors: Vec<&Anchor> = entries.iter().filter(of).map(|entry| &entry.anchor).collect();
        if anchors.is_empty() {
            return Ok(());
        }
        for row in self.batch.reader.containers_by_anchor(self.stager.connector, &anchors)? {
            self.containers.by_anchor.extend(row.anchor.clone().map(|anchor| (anchor, row.id)));
            self.containers.stored.insert(row.id, row);
        }
        Ok(())
    }

    /// The container that is found by this name, as this page has it.
    fn named(&mut self, name: &Name) -> Result<Option<ContainerRow>, ReadError> {
        if let Some(id) = self.containers.by_name.get(name) {
            return Ok(self.containers.rows.get(id).cloned());
        }
        let found = self.batch.reader.container(self.stager.connector, name.0, &name.1)?;
        Ok(found.map(|row| self.containers.now(row)).filter(|row| (row.parent, row.key()) == *name))
    }

    /// The row that is the same container as this one, which was met under another name.
    fn same(&mut self, id: ContainerId) -> Result<Option<ContainerRow>, ReadError> {
        self.named(&(Some(id), String::new()))
    }

    /// The container of this name in a parent, under whatever name the parent was met.
    pub(super) fn find(&mut self, name: &Name) -> Result<Option<ContainerRow>, ReadError> {
        let mut parent = name.0;
        loop {
            if let Some(found) = self.named(&(parent, name.1.clone()))? {
                return Ok(Some(found));
            }
            let Some(id) = parent else { return Ok(None) };
            match self.same(id)? {
                Some(same) => parent = Some(same.id),
                None => return Ok(None),
            }
        }
    }

    /// The row of which this one is only another name.
    pub(super) fn canonical(&mut self, id: Option<ContainerId>) -> Result<Option<ContainerId>, ReadError> {
        let mut at = id;
        while let Some(id) = at {
            match self.row(id)? {
                Some(row) if row.rdn.is_empty() => at = row.parent,
                _ => break,
            }
        }
        Ok(at)
    }

    fn row(&mut self, id: ContainerId) -> Result<Option<ContainerRow>, ReadError> {
        if let Some(row) = self.containers.rows.get(&id).or_else(|| self.containers.stored.get(&id)) {
            return Ok(Some(row.clone()));
        }
        let found = self.batch.reader.containers(&[id])?.into_iter().next();
        Ok(found.map(|row| self.containers.now(row)))
    }

    pub(super) fn new_container(&mut self, parent: Option<ContainerId>, rdn: &str) -> ContainerRow {
        let row = ContainerRow {
            id: self.batch.new_container_id(),
            connector: self.stager.connector,
            parent,
            rdn: rdn.to_owned(),
            anchor: None,
            hidden: false,
        };
        self.containers.put(row.clone());
        row
    }

    /// A container is not known any more; what may still lie in it keeps its name until it is told where it is.
    pub(super) fn forget_container(&mut self, anchor: &Anchor) -> Result<(), ReadError> {
        let Some(&id) = self.containers.by_anchor.get(anchor) else { return Ok(()) };
        if let Some(row) = self.row(id)?.filter(|row| row.anchor.as_ref() == Some(anchor)) {
            self.containers.by_anchor.remove(anchor);
            self.containers.put(ContainerRow { anchor: None, ..row });
        }
        Ok(())
    }

    /// Takes the name that a container has now.
    pub(super) fn container_told(&mut self, anchor: Anchor, dn: &str) -> Result<(), ReadError> {
        // What is no name is in no name of others either: they are not taken apart.
        let Ok(parsed) = Dn::parse(dn) else { return Ok(()) };
        let Some((own, parents)) = parsed.rdns().split_first() else { return Ok(()) };
        let known = match self.containers.by_anchor.get(&anchor) {
            Some(&id) => self.row(id)?,
            None => None,
        };
        if let Some(row) = &known {
            if !row.hidden && self.path(row)? == dn {
                return Ok(());
            }
            // It may have had the name of one of its new parents, which is another one.
            self.containers.put(ContainerRow { hidden: true, ..row.clone() });
            self.forget_names();
        }
        let mut parent = None;
        for rdn in parents.iter().rev() {
            parent = Some(self.container(parent, rdn.as_str(), &rdn.normalised())?);
        }
        let there = self.find(&(parent, own.normalised()))?;
        let row = match (&known, &there) {
            (Some(known), _) => known.clone(),
            (None, Some(there)) if there.anchor.is_none() => {
                self.containers.put(ContainerRow { anchor: Some(anchor), ..there.clone() });
                return Ok(());
            }
            (None, _) => self.new_container(parent, own.as_str()),
        };
        let id = row.id;
        let rdn = own.as_str().to_owned();
        let now = ContainerRow { parent, rdn, anchor: Some(anchor), hidden: false, ..row };
        if known.as_ref().is_some_and(|known| *known != now) {
            self.batch.wake(Work::Below(Below::all(id)));
        }
        if let Some(there) = &there {
            self.containers.put(ContainerRow { hidden: true, ..there.clone() });
            self.forget_names();
        }
        self.containers.put(now);
        match there.filter(|there| there.anchor.is_none()) {
            Some(there) => self.merge(id, there.id),
            None => Ok(()), // its own new name is still to be told
        }
    }

    fn path(&mut self, row: &ContainerRow) -> Result<String, ReadError> {
        let mut path = row.rdn.clone();
        let mut parent = row.parent;
        while let Some(id) = parent {
            let Some(row) = self.row(id)? else { break };
            if !row.rdn.is_empty() {
                path.push(',');
                path.push_str(&row.rdn);
            }
            parent = row.parent;
        }
        Ok(path)
    }

    /// Makes two rows one container; what lies in `from` has the names that it had, and moves along from now on.
    fn merge(&mut self, into: ContainerId, from: ContainerId) -> Result<(), ReadError> {
        self.merge_children(into, from)?;
        let mut parent = into;
        while let Some(same) = self.same(parent)? {
            parent = same.id;
        }
        if let Some(row) = self.row(from)? {
            let same = ContainerRow { parent: Some(parent), rdn: String::new(), hidden: false, ..row };
            self.containers.put(same);
        }
        Ok(())
    }

    /// Containers of one name in both become one, too.
    fn merge_children(&mut self, into: ContainerId, from: ContainerId) -> Result<(), ReadError> {
        let (mut after, mut children) = (ContainerId(0), Vec::new());
        loop {
            let page = self.batch.reader.containers_in(from, after, PAGE)?;
            let Some(last) = page.last() else { break };
            after = last.id;
            children.extend(page.into_iter().filter(|row| !self.containers.rows.contains_key(&row.id)));
        }
        children.extend(self.containers.rows.values().filter(|row| row.parent == Some(from)).cloned());
        for child in children.into_iter().filter(|row| !row.hidden) {
            if child.rdn.is_empty() {
                self.merge_children(into, child.id)?;
                continue;
            }
            match self.find(&(Some(into), child.key()))?.filter(|other| other.id != child.id) {
                Some(other) if child.anchor.is_none() => self.merge(other.id, child.id)?,
                Some(other) if other.anchor.is_none() => self.merge(child.id, other.id)?,
                _ => {} // two that are known each tell their own name
            }
        }
        Ok(())
    }

    /// Forgets what is remembered by name.
    fn forget_names(&mut self) {
        self.stager.containers.clear();
        self.stager.parents.clear();
    }
}
