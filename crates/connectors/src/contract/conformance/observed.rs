//! What an import delivered, checked against the contract while it is put together.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use onesync_model::{AttributeType, Dn};
use tokio::sync::mpsc;

use super::{Shape, TestObject};
use crate::kinds::kind_of;
use crate::{
    Anchor, Connector, ConnectorError, Entry, EntryChange, ImportEnd, ImportMode, ImportPage, ImportRequest,
    KnownContainers, LinkMode, LinkTarget, PAGES_IN_FLIGHT, Proof, SelectedType, Watermark,
};

/// One object as an import told it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    pub change: EntryChange,
    pub dn: Option<String>,
    pub text: Option<String>,
    /// Chunks of the member attribute, in order.
    pub members: Vec<(LinkMode, Vec<LinkTarget>)>,
}

impl Seen {
    pub fn targets(&self, mode: fn(LinkMode) -> bool) -> BTreeSet<&LinkTarget> {
        self.members.iter().filter(|(found, _)| mode(*found)).flat_map(|(_, targets)| targets).collect()
    }
}

/// What an import delivered.
#[derive(Debug)]
pub struct Observed {
    pub pages: Vec<ImportPage>,
    pub end: ImportEnd,
    pub seen: BTreeMap<Anchor, Seen>,
    /// Containers by anchor.
    pub containers: BTreeMap<Anchor, String>,
}

impl Observed {
    /// The watermark of a proven import.
    pub fn watermark(&self) -> Result<Watermark, String> {
        self.end.watermark.clone().ok_or_else(|| "the import gives no watermark".to_owned())
    }

    /// The anchor of an object by its text.
    pub fn anchor_of(&self, text: &str) -> Result<Anchor, String> {
        let found = self.seen.iter().find(|(_, seen)| seen.text.as_deref() == Some(text));
        found.map(|(anchor, _)| anchor.clone()).ok_or_else(|| format!("no object has the text `{text}`"))
    }

    /// Whether exactly these objects were seen, whole, with their members.
    pub fn expect(&self, objects: &[TestObject]) -> Result<(), String> {
        let mut texts: Vec<_> = self.seen.values().filter_map(|seen| seen.text.clone()).collect();
        texts.sort();
        let mut expected: Vec<_> = objects.iter().map(|object| object.text.clone()).collect();
        expected.sort();
        if texts != expected {
            return Err(format!("seen were {texts:?} instead of {expected:?}"));
        }
        for object in objects {
            let anchor = self.anchor_of(&object.text)?;
            let seen = self.seen.get(&anchor).ok_or("an object is missing")?;
            let found = seen.targets(|mode| matches!(mode, LinkMode::Replace { .. }));
            let mut wanted = BTreeSet::new();
            for member in &object.members {
                let text =
                    objects.iter().find(|other| other.name == *member).map(|other| other.text.as_str());
                let target = self.anchor_of(text.ok_or("a test object has a member that is none")?)?;
                let dn = self.seen.get(&target).and_then(|seen| seen.dn.clone()).unwrap_or_default();
                wanted.insert((LinkTarget::Anchor(target), LinkTarget::Dn(dn)));
            }
            let all = wanted.iter().all(|(anchor, dn)| found.contains(anchor) || found.contains(dn));
            if !all || found.len() != wanted.len() {
                return Err(format!(
                    "the members of `{}` are {found:?} instead of {:?}",
                    object.name, object.members
                ));
            }
        }
        Ok(())
    }
}

/// Imports and checks what comes against the contract.
pub async fn observe(
    connector: &dyn Connector,
    shape: &Shape,
    mode: ImportMode,
    page_size: usize,
) -> Result<Observed, String> {
    let (pages, end) = collect(connector, shape, mode.clone(), page_size).await;
    let end = end.map_err(|error| format!("the import failed: {error}"))?;
    if end.proof != Proof::Complete {
        return Err(format!("the import of a healthy directory is {:?}", end.proof));
    }
    observed(shape, &mode, page_size, pages, end)
}

/// Imports, and gives all pages.
pub async fn collect(
    connector: &dyn Connector,
    shape: &Shape,
    mode: ImportMode,
    page_size: usize,
) -> (Vec<ImportPage>, Result<ImportEnd, ConnectorError>) {
    collect_knowing(connector, shape, mode, page_size, None).await
}

/// Imports where these containers are known, and gives all pages.
pub async fn collect_knowing(
    connector: &dyn Connector,
    shape: &Shape,
    mode: ImportMode,
    page_size: usize,
    containers: Option<Arc<dyn KnownContainers>>,
) -> (Vec<ImportPage>, Result<ImportEnd, ConnectorError>) {
    let selection = shape.selection.clone();
    let request = ImportRequest { mode, selection, known: None, containers, page_size };
    let (sender, mut receiver) = mpsc::channel(PAGES_IN_FLIGHT);
    let receive = async {
        let mut pages = Vec::new();
        while let Some(page) = receiver.recv().await {
            pages.push(page);
        }
        pages
    };
    let (end, pages) = tokio::join!(connector.import(request, sender), receive);
    (pages, end)
}

/// Puts pages together.
pub fn observed(
    shape: &Shape,
    mode: &ImportMode,
    page_size: usize,
    pages: Vec<ImportPage>,
    end: ImportEnd,
) -> Result<Observed, String> {
    let (mut seen, mut containers) = (BTreeMap::new(), BTreeMap::new());
    let mut previous = None;
    for page in &pages {
        if let Some(error) = page.errors.first() {
            return Err(format!("an entry of a healthy directory cannot be read: {error}"));
        }
        let links: usize = page.entries.iter().flat_map(|e| &e.links).map(|chunk| chunk.targets.len()).sum();
        if page.entries.len() > page_size || links > page_size * 10 {
            return Err(format!(
                "a page of {page_size} has {} entries and {links} links",
                page.entries.len()
            ));
        }
        for entry in &page.entries {
            if entry.change == EntryChange::Container {
                containers.insert(entry.anchor.clone(), container(entry, &containers)?);
                continue;
            }
            take(shape, mode, &mut seen, previous.as_ref(), entry)?;
            previous = Some(entry.anchor.clone());
        }
    }
    for (anchor, object) in &seen {
        whole_links(object).map_err(|why| format!("the links of {anchor}: {why}"))?;
    }
    Ok(Observed { pages, end, seen, containers })
}

/// A container has a name and nothing else, and those that hold others come first.
fn container(entry: &Entry, before: &BTreeMap<Anchor, String>) -> Result<String, String> {
    let error = |why: &str| Err(format!("container {}: {why}", entry.anchor));
    let Some(name) = entry.dn.clone().filter(|name| Dn::parse(name).is_ok_and(|dn| !dn.is_root())) else {
        return error("it has no name");
    };
    if entry.object_type.is_some() || !entry.values.is_empty() || !entry.links.is_empty() {
        return error("it is told as an object");
    }
    if before.values().any(|known| known.ends_with(&format!(",{name}"))) {
        return error("one that lies in it was told before it");
    }
    Ok(name)
}

fn take(
    shape: &Shape,
    mode: &ImportMode,
    seen: &mut BTreeMap<Anchor, Seen>,
    previous: Option<&Anchor>,
    entry: &Entry,
) -> Result<(), String> {
    let error = |why: &str| Err(format!("entry {}: {why}", entry.anchor));
    if entry.anchor.0.is_empty() {
        return error("it has no anchor");
    }
    let is_full_import = matches!(mode, ImportMode::Full { .. });
    match entry.change {
        EntryChange::MoreLinks if previous != Some(&entry.anchor) => {
            return error("more links do not follow their object");
        }
        EntryChange::MoreLinks => {}
        _ if seen.contains_key(&entry.anchor) => return error("its anchor was seen twice"),
        EntryChange::Merge | EntryChange::Delete if is_full_import => {
            return error("a full import tells objects whole");
        }
        EntryChange::Full if entry.dn.is_none() => return error("it has no name"),
        _ => {}
    }
    let selected = entry.object_type.and_then(|id| shape.selection.types.iter().find(|t| t.id == id));
    let selected = match (selected, entry.change) {
        (Some(selected), _) => selected,
        (None, EntryChange::Delete | EntryChange::MoreLinks) => shape.type_of(true),
        (None, _) => return error("its type is not selected"),
    };
    typed(selected, entry)?;
    let text = shape.text(selected.name == shape.group).id;
    let told = entry.values.get(text).map(|values| values.first().to_string());
    let object = seen.entry(entry.anchor.clone()).or_insert_with(|| Seen {
        change: entry.change,
        dn: entry.dn.clone(),
        text: told,
        members: Vec::new(),
    });
    let of_member = entry.links.iter().filter(|chunk| chunk.attribute == shape.member().id);
    object.members.extend(of_member.map(|chunk| (chunk.mode, chunk.targets.clone())));
    let has_members = selected.attributes.iter().any(|attribute| attribute.id == shape.member().id);
    if entry.change == EntryChange::Full && !has_members {
        // Nothing to be named: the chunk check below must not miss any.
        object.members.push((LinkMode::Replace { first: true, last: true }, Vec::new()));
    }
    Ok(())
}

/// Values are of selected attributes, of the right type, and never links.
fn typed(selected: &SelectedType, entry: &Entry) -> Result<(), String> {
    for (id, values) in entry.values.iter() {
        let attribute = selected.attributes.iter().find(|attribute| attribute.id == id);
        let attribute =
            attribute.ok_or_else(|| format!("entry {}: attribute {id} is not selected", entry.anchor))?;
        let right = values.as_slice().iter().all(|value| kind_of(value) == attribute.kind);
        if !right || attribute.kind == AttributeType::Reference {
            return Err(format!("entry {}: `{}` is {values:?}", entry.anchor, attribute.name));
        }
    }
    for chunk in &entry.links {
        let attribute = selected.attributes.iter().find(|attribute| attribute.id == chunk.attribute);
        if attribute.is_none_or(|attribute| attribute.kind != AttributeType::Reference) {
            return Err(format!("entry {}: attribute {} is no selected link", entry.anchor, chunk.attribute));
        }
    }
    Ok(())
}

/// A whole object names its links from the first chunk to the last, once.
fn whole_links(object: &Seen) -> Result<(), String> {
    if object.change != EntryChange::Full {
        return Ok(());
    }
    let modes: Vec<_> = object.members.iter().map(|(mode, _)| *mode).collect();
    let firsts = modes.iter().filter(|mode| matches!(mode, LinkMode::Replace { first: true, .. })).count();
    let lasts = modes.iter().filter(|mode| matches!(mode, LinkMode::Replace { last: true, .. })).count();
    let in_order = matches!(modes.first(), Some(LinkMode::Replace { first: true, .. }))
        && matches!(modes.last(), Some(LinkMode::Replace { last: true, .. }));
    if firsts == 1 && lasts == 1 && in_order { Ok(()) } else { Err(format!("the chunks are {modes:?}")) }
}
