//! The connector to a [`MemoryDirectory`]: imports and the rest of the trait.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use onesync_model::AttributeType;
use tokio::sync::mpsc;

use super::directory::{Change, State};
use super::{Fault, MemoryDirectory, MemoryObject};
use crate::pages::{Pager, container, more_links};
use crate::{
    Anchor, Capabilities, Connector, ConnectorError, CreateKey, DiscoveredSchema, Entry, EntryChange,
    ErrorClass, ExportBatch, ExportResult, Finding, ImportEnd, ImportMode, ImportPage, ImportRequest,
    LinkChunk, LinkMode, LinkTarget, Marker, Proof, SelectedAttribute, SelectedType, Selection, Severity,
    TestReport, TypeRoles, Watermark,
};

/// Objects read under one lock.
const OBJECTS_AT_ONCE: usize = 100;

/// A connector to a [`MemoryDirectory`].
#[derive(Clone, Debug)]
pub struct MemoryConnector {
    pub(super) directory: MemoryDirectory,
    pub(super) selection: Selection,
}

impl MemoryConnector {
    pub(super) fn new(directory: MemoryDirectory, selection: Selection) -> Self {
        Self { directory, selection }
    }
}

#[async_trait]
impl Connector for MemoryConnector {
    fn kind(&self) -> &'static str {
        "memory"
    }

    fn capabilities(&self) -> Capabilities {
        self.directory.lock().capabilities.clone()
    }

    fn type_roles(&self) -> Vec<TypeRoles> {
        self.directory.lock().roles.clone()
    }

    async fn test(&self) -> Result<TestReport, ConnectorError> {
        let message = format!("{} objects", self.directory.len());
        let finding = Finding { severity: Severity::Ok, subject: "directory in memory".to_owned(), message };
        Ok(TestReport { findings: vec![finding] })
    }

    async fn schema(&self) -> Result<DiscoveredSchema, ConnectorError> {
        Ok(self.directory.lock().schema())
    }

    async fn import(
        &self,
        request: ImportRequest,
        pages: mpsc::Sender<ImportPage>,
    ) -> Result<ImportEnd, ConnectorError> {
        let mut import = Import::begin(&self.directory, request)?;
        while let Some(page) = import.next_page(&self.directory)? {
            pages.send(page).await.map_err(|_| ConnectorError::stopped())?;
        }
        Ok(import.end())
    }

    async fn export(&self, batch: ExportBatch) -> Result<Vec<ExportResult>, ConnectorError> {
        batch.pass.check().await?;
        super::export::export(&mut self.directory.lock(), &self.selection, batch)
    }

    async fn find_created(&self, keys: &[CreateKey]) -> Result<Vec<Option<Anchor>>, ConnectorError> {
        let state = self.directory.lock();
        let find = |key: &CreateKey| {
            let object_type = self.selection.types.iter().find(|t| t.id == key.object_type)?;
            state.find_created(&object_type.name, &key.key)
        };
        Ok(keys.iter().map(find).collect())
    }

    async fn marker(&self) -> Result<Option<Marker>, ConnectorError> {
        Ok(self.directory.lock().marker.clone())
    }

    async fn set_marker(&self, marker: &Marker) -> Result<(), ConnectorError> {
        let mut state = self.directory.lock();
        let session = state.marker.take().and_then(|there| there.session);
        state.marker = Some(Marker { session, ..marker.clone() });
        Ok(())
    }

    async fn set_session(&self, marker: &Marker) -> Result<(), ConnectorError> {
        if let Some(there) = &mut self.directory.lock().marker {
            there.session.clone_from(&marker.session);
        }
        Ok(())
    }

    async fn export_obstacle(&self) -> Result<Option<String>, ConnectorError> {
        Ok(self.directory.lock().obstacle.clone())
    }
}

/// One import under way.
struct Import {
    selection: Selection,
    pager: Pager,
    /// The length of the log when the import began: what changes later belongs to the next delta.
    sequence: usize,
    work: Work,
    unknown_links: Option<String>,
    incomplete: Option<String>,
    stop: Option<Stop>,
    delivered: usize,
}

/// A fault that ends an import.
struct Stop {
    after_pages: usize,
    error: Option<ConnectorError>,
}

enum Work {
    /// The last anchor read; `None` before the first.
    Full(Option<Anchor>),
    /// The changed objects, in the order of their first change.
    Delta(std::vec::IntoIter<(Anchor, Vec<Change>)>),
    Finished,
}

impl Import {
    fn begin(directory: &MemoryDirectory, request: ImportRequest) -> Result<Self, ConnectorError> {
        let state = &mut *directory.lock();
        let mut pager = Pager::new(request.page_size);
        let (sequence, work) = match request.mode {
            ImportMode::Full { resume: None } => {
                tell_containers(state, 0, &mut pager);
                (state.log.len(), Work::Full(None))
            }
            ImportMode::Full { resume: Some(watermark) } => {
                let (sequence, anchor) = read_watermark(&watermark)?;
                (sequence, Work::Full(Some(anchor)))
            }
            ImportMode::Delta { since } => {
                let lost = state.take_fault(|fault| (*fault == Fault::WatermarkLost).then_some(()));
                let (since, _) = read_watermark(&since)?;
                if lost.is_some() || since > state.log.len() {
                    return Err(unusable_watermark("the directory does not remember this watermark"));
                }
                tell_containers(state, since, &mut pager);
                (state.log.len(), Work::Delta(changes_since(state, since).into_iter()))
            }
        };
        let stop = state.take_fault(|fault| match fault {
            Fault::ImportFails { after_pages, class } => Some(Stop {
                after_pages: *after_pages,
                error: Some(ConnectorError::new(
                    *class,
                    "INJECTED",
                    "directory in memory",
                    "the import fails here",
                )),
            }),
            Fault::CutShort { after_pages } => Some(Stop { after_pages: *after_pages, error: None }),
            _ => None,
        });
        let incomplete = state.take_fault(|fault| match fault {
            Fault::Incomplete(reason) => Some(reason.clone()),
            _ => None,
        });
        let unknown_links = state.take_fault(|fault| match fault {
            Fault::LinksUnknown(name) => Some(name.clone()),
            _ => None,
        });
        Ok(Self {
            selection: request.selection,
            pager,
            sequence,
            work,
            unknown_links,
            incomplete,
            stop,
            delivered: 0,
        })
    }

    fn next_page(&mut self, directory: &MemoryDirectory) -> Result<Option<ImportPage>, ConnectorError> {
        if let Some(stop) = self.stop.take_if(|stop| stop.after_pages <= self.delivered) {
            self.work = Work::Finished;
            self.incomplete = Some("the import was cut short".to_owned());
            return stop.error.map_or(Ok(None), Err);
        }
        let page = loop {
            if let Some(page) = self.pager.take_full() {
                break Some(page);
            }
            if !self.read_some(&directory.lock()) {
                break self.pager.take_rest();
            }
        };
        self.delivered += usize::from(page.is_some());
        Ok(page)
    }

    fn end(self) -> ImportEnd {
        ImportEnd {
            proof: self.incomplete.map_or(Proof::Complete, Proof::Incomplete),
            watermark: Some(write_watermark(self.sequence, None)),
            remarks: Vec::new(),
        }
    }

    /// Reads some objects into the pager; `false` when there are no more.
    fn read_some(&mut self, state: &State) -> bool {
        match std::mem::replace(&mut self.work, Work::Finished) {
            Work::Finished => false,
            Work::Full(after) => {
                use std::ops::Bound::{Excluded, Unbounded};
                let from = after.as_ref().map_or(Unbounded, Excluded);
                let mut last = None;
                for (anchor, object) in state.objects.range((from, Unbounded)).take(OBJECTS_AT_ONCE) {
                    last = Some(anchor.clone());
                    if let Some(entry) = self.full_entry(object) {
                        self.pager.push(entry, Some(write_watermark(self.sequence, Some(anchor))));
                    }
                }
                let Some(last) = last else { return false };
                self.work = Work::Full(Some(last));
                true
            }
            Work::Delta(mut changed) => {
                let Some((anchor, changes)) = changed.next() else { return false };
                self.work = Work::Delta(changed);
                if let Some(entry) = self.delta_entry(state, anchor, &changes) {
                    self.pager.push(entry, None);
                }
                true
            }
        }
    }

    fn selected_type(&self, name: &str) -> Option<&SelectedType> {
        self.selection.types.iter().find(|selected| selected.name.eq_ignore_ascii_case(name))
    }

    fn full_entry(&self, object: &MemoryObject) -> Option<Entry> {
        let selected = self.selected_type(&object.object_type)?;
        let mut entry = self.empty_entry(object, selected, EntryChange::Full);
        for attribute in &selected.attributes {
            let name = attribute.name.to_ascii_lowercase();
            if attribute.kind != AttributeType::Reference {
                entry.values.set(attribute.id, object.values.get(&name).cloned());
            } else if self.hides_links(attribute) {
                entry.links.push(chunk(attribute, LinkMode::Unknown, Vec::new()));
            } else {
                let targets = object.links.get(&name).into_iter().flatten().cloned().collect();
                entry.links.push(chunk(attribute, LinkMode::Replace { first: true, last: true }, targets));
            }
        }
        Some(entry)
    }

    fn delta_entry(&self, state: &State, anchor: Anchor, changes: &[Change]) -> Option<Entry> {
        let gone = |anchor: Anchor| {
            let removed_type = changes.iter().rev().find_map(|change| match change {
                Change::Removed(object_type) => self.selected_type(object_type),
                _ => None,
            })?;
            let mut entry = more_links(anchor, Vec::new());
            entry.change = EntryChange::Delete;
            entry.object_type = Some(removed_type.id);
            Some(entry)
        };
        let Some(object) = state.objects.get(&anchor) else { return gone(anchor) };
        if changes.contains(&Change::Whole) {
            // An object that became one of a type that is not read is gone, as a full import would find.
            return self.full_entry(object).or_else(|| gone(anchor));
        }
        let selected = self.selected_type(&object.object_type)?;
        let mut entry = self.empty_entry(object, selected, EntryChange::Merge);
        entry.dn = changes.contains(&Change::Renamed).then(|| object.dn.clone());
        let values: BTreeSet<&str> = changes
            .iter()
            .filter_map(|change| match change {
                Change::Values(name) => Some(name.as_str()),
                _ => None,
            })
            .collect();
        for attribute in &selected.attributes {
            let name = attribute.name.to_ascii_lowercase();
            if attribute.kind == AttributeType::Reference {
                self.add_link_changes(&mut entry, attribute, changes);
            } else if values.contains(name.as_str()) {
                match object.values.get(&name) {
                    Some(values) => _ = entry.values.set(attribute.id, Some(values.clone())),
                    None => entry.cleared.push(attribute.id),
                }
            }
        }
        let says_nothing = entry.dn.is_none()
            && entry.values.is_empty()
            && entry.cleared.is_empty()
            && entry.links.is_empty();
        (!says_nothing).then_some(entry)
    }

    /// The net effect of the link changes of one attribute.
    fn add_link_changes(&self, entry: &mut Entry, attribute: &SelectedAttribute, changes: &[Change]) {
        let mut net: BTreeMap<&LinkTarget, bool> = BTreeMap::new();
        for change in changes {
            match change {
                Change::Linked(name, target) if name.eq_ignore_ascii_case(&attribute.name) => {
                    net.insert(target, true);
                }
                Change::Unlinked(name, target) if name.eq_ignore_ascii_case(&attribute.name) => {
                    net.insert(target, false);
                }
                _ => {}
            }
        }
        if net.is_empty() {
            return;
        }
        if self.hides_links(attribute) {
            entry.links.push(chunk(attribute, LinkMode::Unknown, Vec::new()));
            return;
        }
        for (mode, wanted) in [(LinkMode::Add, true), (LinkMode::Remove, false)] {
            let of_mode = net.iter().filter(|(_, added)| **added == wanted);
            let targets: Vec<_> = of_mode.map(|(target, _)| (*target).clone()).collect();
            if !targets.is_empty() {
                entry.links.push(chunk(attribute, mode, targets));
            }
        }
    }

    fn hides_links(&self, attribute: &SelectedAttribute) -> bool {
        self.unknown_links.as_deref().is_some_and(|name| name.eq_ignore_ascii_case(&attribute.name))
    }

    fn empty_entry(&self, object: &MemoryObject, selected: &SelectedType, change: EntryChange) -> Entry {
        Entry {
            dn: Some(object.dn.clone()),
            object_type: Some(selected.id),
            change,
            flags: object.flags.clone(),
            ..more_links(object.anchor.clone(), Vec::new())
        }
    }
}

fn chunk(attribute: &SelectedAttribute, mode: LinkMode, targets: Vec<LinkTarget>) -> LinkChunk {
    LinkChunk { attribute: attribute.id, mode, targets }
}

/// Tells of the containers that changed after a point of the log: first those that are gone, then those that are
/// there, each after those in which it lies.
fn tell_containers(state: &State, since: usize, pager: &mut Pager) {
    if !state.tells_containers() {
        return;
    }
    let changed = state.log.iter().skip(since).filter(|(_, change)| *change == Change::Container);
    let changed: BTreeSet<&Anchor> = changed.map(|(anchor, _)| anchor).collect();
    for anchor in changed.iter().filter(|anchor| !state.containers.contains_key(**anchor) && since > 0) {
        let gone = more_links((*anchor).clone(), Vec::new());
        pager.push(Entry { change: EntryChange::Delete, ..gone }, None);
    }
    let mut there: Vec<_> = state.containers.iter().filter(|(anchor, _)| changed.contains(anchor)).collect();
    there.sort_by_key(|(_, dn)| dn.matches(',').count());
    for (anchor, dn) in there {
        pager.push(container(anchor.clone(), dn), None);
    }
}

/// What changed after a point of the log, gathered by object in the order of its first change.
fn changes_since(state: &State, since: usize) -> Vec<(Anchor, Vec<Change>)> {
    let mut places: BTreeMap<&Anchor, usize> = BTreeMap::new();
    let mut gathered: Vec<(Anchor, Vec<Change>)> = Vec::new();
    for (anchor, change) in state.log.iter().skip(since).filter(|(_, change)| *change != Change::Container) {
        let place = *places.entry(anchor).or_insert(gathered.len());
        match gathered.get_mut(place) {
            Some((_, changes)) => changes.push(change.clone()),
            None => gathered.push((anchor.clone(), vec![change.clone()])),
        }
    }
    gathered
}

/// A watermark is `sequence` or `sequence:anchor`.
fn write_watermark(sequence: usize, anchor: Option<&Anchor>) -> Watermark {
    let mut bytes = sequence.to_string().into_bytes();
    if let Some(anchor) = anchor {
        bytes.push(b':');
        bytes.extend_from_slice(&anchor.0);
    }
    Watermark(bytes)
}

fn read_watermark(watermark: &Watermark) -> Result<(usize, Anchor), ConnectorError> {
    let colon = watermark.0.iter().position(|&b| b == b':').unwrap_or(watermark.0.len());
    let (sequence, anchor) = watermark.0.split_at(colon);
    str::from_utf8(sequence)
        .ok()
        .and_then(|text| text.parse().ok())
        .map(|sequence| (sequence, Anchor(anchor.get(1..).unwrap_or_default().into())))
        .ok_or_else(|| unusable_watermark("this is no watermark of this directory"))
}

fn unusable_watermark(message: &str) -> ConnectorError {
    ConnectorError::new(ErrorClass::Watermark, "WATERMARK", "directory in memory", message)
        .hint("run a full import")
}
