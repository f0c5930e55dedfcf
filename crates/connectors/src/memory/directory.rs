//! The directory itself: objects, a log of what changed, and the handle that tests hold.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use onesync_model::{AttributeType, Value, Values, hash128};

use super::{Fault, MemoryConnector};
use crate::kinds::kind_of;
use crate::{
    Anchor, Capabilities, DiscoveredAttribute, DiscoveredSchema, DiscoveredType, EntryFlags, ExportItem,
    ExportResult, LinkTarget, Marker, Selection, TypeRoles,
};

/// Items of one export batch, as of Microsoft Graph.
const EXPORT_BATCH_MAX: usize = 20;

/// One object of a [`MemoryDirectory`]. Names of attributes are kept in lower case: they compare without case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemoryObject {
    /// Its immutable identity.
    pub anchor: Anchor,
    /// Its name.
    pub dn: String,
    /// The name of its type.
    pub object_type: String,
    /// Values by lower-case attribute name.
    pub values: BTreeMap<String, Values>,
    /// Link values by lower-case attribute name.
    pub links: BTreeMap<String, BTreeSet<LinkTarget>>,
    /// The key under which it was created through an export.
    pub create_key: Option<String>,
    /// What the directory says about who may touch it.
    pub flags: EntryFlags,
}

impl MemoryObject {
    /// Makes an object without attributes.
    #[must_use]
    pub fn new(object_type: &str, anchor: &str, dn: &str) -> Self {
        Self {
            anchor: Anchor::text(anchor),
            dn: dn.to_owned(),
            object_type: object_type.to_owned(),
            values: BTreeMap::new(),
            links: BTreeMap::new(),
            create_key: None,
            flags: EntryFlags::default(),
        }
    }

    /// Adds a value.
    #[must_use]
    pub fn with(mut self, attribute: &str, value: impl Into<Value>) -> Self {
        let name = attribute.to_ascii_lowercase();
        let mut values = self.values.remove(&name).map(Values::into_vec).unwrap_or_default();
        values.push(value.into());
        if let Some(values) = Values::new(values) {
            self.values.insert(name, values);
        }
        self
    }

    /// Adds a link value.
    #[must_use]
    pub fn linked(mut self, attribute: &str, target: LinkTarget) -> Self {
        self.links.entry(attribute.to_ascii_lowercase()).or_default().insert(target);
        self
    }

    /// The values of an attribute.
    #[must_use]
    pub fn get(&self, attribute: &str) -> Option<&Values> {
        self.values.get(&attribute.to_ascii_lowercase())
    }

    /// The link values of an attribute, in order.
    #[must_use]
    pub fn targets(&self, attribute: &str) -> Vec<LinkTarget> {
        self.links.get(&attribute.to_ascii_lowercase()).into_iter().flatten().cloned().collect()
    }
}

/// A directory in memory: a handle, all clones of which show the same directory.
#[derive(Clone, Debug)]
pub struct MemoryDirectory(Arc<Mutex<State>>);

impl Default for MemoryDirectory {
    fn default() -> Self {
        Self::new()
    }
}

impl MemoryDirectory {
    /// Makes an empty directory that can do everything.
    #[must_use]
    pub fn new() -> Self {
        let capabilities = Capabilities {
            delta_import: true,
            link_deltas: true,
            export: true,
            export_batch_max: EXPORT_BATCH_MAX,
            export_links_max: EXPORT_BATCH_MAX,
            marker: true,
            settle_seconds: 0,
            hierarchical: false,
            ..Capabilities::default()
        };
        Self(Arc::new(Mutex::new(State { capabilities, ..State::default() })))
    }

    /// Makes a connector to it; the selection gives the names to the ids that exports carry.
    #[must_use]
    pub fn connector(&self, selection: Selection) -> MemoryConnector {
        MemoryConnector::new(self.clone(), selection)
    }

    /// Changes what the connectors say that they can do.
    pub fn set_capabilities(&self, change: impl FnOnce(&mut Capabilities)) {
        change(&mut self.lock().capabilities);
    }

    /// Declares what the directory can hold and what its attributes mean; else the schema is taken from its objects.
    pub fn declare(&self, schema: DiscoveredSchema, roles: Vec<TypeRoles>) {
        let mut state = self.lock();
        (state.declared, state.roles) = (Some(schema), roles);
    }

    /// Adds an object, or replaces the one with its anchor.
    pub fn put(&self, object: MemoryObject) {
        self.lock().put(object);
    }

    /// Removes an object; `false` when it is not there.
    pub fn remove(&self, anchor: &Anchor) -> bool {
        self.lock().remove(anchor)
    }

    /// Sets or clears an attribute; `false` when the object is not there.
    pub fn set(&self, anchor: &Anchor, attribute: &str, values: Option<Values>) -> bool {
        self.lock().set(anchor, attribute, values)
    }

    /// Renames or moves an object; `false` when it is not there.
    pub fn rename(&self, anchor: &Anchor, dn: &str) -> bool {
        self.lock().rename(anchor, dn)
    }

    /// Adds a container that is known by its anchor.
    pub fn put_container(&self, anchor: &str, dn: &str) {
        let mut state = self.lock();
        let anchor = Anchor::text(anchor);
        state.log.push((anchor.clone(), Change::Container));
        state.containers.insert(anchor, dn.to_owned());
    }

    /// Renames or moves a container with everything below it; `false` when it is not there or the name is taken.
    pub fn rename_container(&self, anchor: &Anchor, dn: &str) -> bool {
        self.lock().rename_container(anchor, dn)
    }

    /// Removes a container; what lies in it stays. `false` when it is not there.
    pub fn remove_container(&self, anchor: &Anchor) -> bool {
        let mut state = self.lock();
        state.log.push((anchor.clone(), Change::Container));
        state.containers.remove(anchor).is_some()
    }

    /// All containers that are known by anchors, in the order of these.
    #[must_use]
    pub fn containers(&self) -> Vec<(Anchor, String)> {
        self.lock().containers.clone().into_iter().collect()
    }

    /// Adds a link value; `false` when the object is not there or has it already.
    pub fn link(&self, anchor: &Anchor, attribute: &str, target: LinkTarget) -> bool {
        self.lock().link(anchor, attribute, target)
    }

    /// Removes a link value; `false` when the object is not there or does not have it.
    pub fn unlink(&self, anchor: &Anchor, attribute: &str, target: &LinkTarget) -> bool {
        self.lock().unlink(anchor, attribute, target)
    }

    /// Lets something go wrong.
    pub fn inject(&self, fault: Fault) {
        self.lock().faults.push(fault);
    }

    /// Lets nothing go wrong any more.
    pub fn clear_faults(&self) {
        self.lock().faults.clear();
    }

    /// Puts something in the way of any export, or takes it away.
    pub fn set_obstacle(&self, obstacle: Option<&str>) {
        self.lock().obstacle = obstacle.map(str::to_owned);
    }

    /// Somebody takes the marker away.
    pub fn remove_marker(&self) {
        self.lock().marker = None;
    }

    /// One object.
    #[must_use]
    pub fn object(&self, anchor: &Anchor) -> Option<MemoryObject> {
        self.lock().objects.get(anchor).cloned()
    }

    /// All objects in the order of their anchors.
    #[must_use]
    pub fn objects(&self) -> Vec<MemoryObject> {
        self.lock().objects.values().cloned().collect()
    }

    /// How many objects there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lock().objects.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Every item that an export asked for and what became of it, in order; the list is emptied.
    #[must_use]
    pub fn take_exports(&self) -> Vec<(ExportItem, ExportResult)> {
        std::mem::take(&mut self.lock().exports)
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        // Whoever panicked was a test; the next one may still look.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a log line says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// New, replaced, or of another type.
    Whole,
    /// Another DN.
    Renamed,
    /// These values changed.
    Values(String),
    /// A link was added.
    Linked(String, LinkTarget),
    /// A link was removed.
    Unlinked(String, LinkTarget),
    /// The object, of this type, went away.
    Removed(String),
    /// It is a container, and was added, renamed, moved or removed.
    Container,
}

/// The inside of a directory.
#[derive(Debug, Default)]
pub(super) struct State {
    pub objects: BTreeMap<Anchor, MemoryObject>,
    /// The names of containers.
    pub containers: BTreeMap<Anchor, String>,
    /// What changed, in order; its length is the newest sequence number.
    pub log: Vec<(Anchor, Change)>,
    pub faults: Vec<Fault>,
    pub exports: Vec<(ExportItem, ExportResult)>,
    pub capabilities: Capabilities,
    pub marker: Option<Marker>,
    pub obstacle: Option<String>,
    pub declared: Option<DiscoveredSchema>,
    pub roles: Vec<TypeRoles>,
    created: BTreeMap<(String, String), u64>,
}

impl State {
    pub fn put(&mut self, object: MemoryObject) {
        if let Some(old) =
            self.objects.get(&object.anchor).filter(|old| old.object_type != object.object_type)
        {
            self.log.push((object.anchor.clone(), Change::Removed(old.object_type.clone())));
        }
        self.log.push((object.anchor.clone(), Change::Whole));
        self.objects.insert(object.anchor.clone(), object);
    }

    pub fn remove(&mut self, anchor: &Anchor) -> bool {
        let Some(object) = self.objects.remove(anchor) else { return false };
        self.log.push((anchor.clone(), Change::Removed(object.object_type)));
        true
    }

    pub fn set(&mut self, anchor: &Anchor, attribute: &str, values: Option<Values>) -> bool {
        let Some(object) = self.objects.get_mut(anchor) else { return false };
        let name = attribute.to_ascii_lowercase();
        let before = match values.clone() {
            Some(values) => object.values.insert(name.clone(), values),
            None => object.values.remove(&name),
        };
        if before != values {
            self.log.push((anchor.clone(), Change::Values(name)));
        }
        true
    }

    pub fn rename(&mut self, anchor: &Anchor, dn: &str) -> bool {
        let Some(object) = self.objects.get_mut(anchor) else { return false };
        if object.dn != dn {
            dn.clone_into(&mut object.dn);
            self.log.push((anchor.clone(), Change::Renamed));
        }
        true
    }

    /// Whether containers are told by entries of their own.
    pub fn tells_containers(&self) -> bool {
        self.capabilities.hierarchical && !self.capabilities.links_by_name
    }

    pub fn rename_container(&mut self, anchor: &Anchor, dn: &str) -> bool {
        let Some(old) = self.containers.get(anchor).map(|old| format!(",{old}")) else { return false };
        if self.containers.values().any(|taken| taken == dn) {
            return false;
        }
        let moved = |name: &str| name.strip_suffix(&old).map(|own| format!("{own},{dn}"));
        for (of, name) in &mut self.containers {
            if of == anchor {
                dn.clone_into(name);
            } else if let Some(now) = moved(name) {
                *name = now;
            }
        }
        self.log.push((anchor.clone(), Change::Container));
        let silent = self.tells_containers();
        for object in self.objects.values_mut() {
            if let Some(now) = moved(&object.dn) {
                object.dn = now;
                if !silent {
                    self.log.push((object.anchor.clone(), Change::Renamed));
                }
            }
            for (name, targets) in &mut object.links {
                let names = targets.iter().filter_map(|target| match target {
                    LinkTarget::Dn(dn) => Some((target.clone(), LinkTarget::Dn(moved(dn)?))),
                    LinkTarget::Anchor(_) => None,
                });
                for (before, after) in names.collect::<Vec<_>>() {
                    targets.remove(&before);
                    targets.insert(after.clone());
                    self.log.push((object.anchor.clone(), Change::Unlinked(name.clone(), before)));
                    self.log.push((object.anchor.clone(), Change::Linked(name.clone(), after)));
                }
            }
        }
        true
    }

    pub fn link(&mut self, anchor: &Anchor, attribute: &str, target: LinkTarget) -> bool {
        let name = attribute.to_ascii_lowercase();
        let Some(object) = self.objects.get_mut(anchor) else { return false };
        let added = object.links.entry(name.clone()).or_default().insert(target.clone());
        if added {
            self.log.push((anchor.clone(), Change::Linked(name, target)));
        }
        added
    }

    pub fn unlink(&mut self, anchor: &Anchor, attribute: &str, target: &LinkTarget) -> bool {
        let name = attribute.to_ascii_lowercase();
        let Some(object) = self.objects.get_mut(anchor) else { return false };
        let removed = object.links.get_mut(&name).is_some_and(|targets| targets.remove(target));
        if removed {
            object.links.retain(|_, targets| !targets.is_empty());
            self.log.push((anchor.clone(), Change::Unlinked(name, target.clone())));
        }
        removed
    }

    /// Takes the first fault that `wanted` recognises.
    pub fn take_fault<T>(&mut self, wanted: impl Fn(&Fault) -> Option<T>) -> Option<T> {
        let at = self.faults.iter().position(|fault| wanted(fault).is_some())?;
        wanted(&self.faults.remove(at))
    }

    /// Whether every export refuses this attribute.
    pub fn refuses(&self, attribute: &str) -> bool {
        self.faults.iter().any(
            |fault| matches!(fault, Fault::RefuseAttribute(name) if name.eq_ignore_ascii_case(attribute)),
        )
    }

    pub fn find_created(&self, object_type: &str, key: &str) -> Option<Anchor> {
        self.objects
            .values()
            .find(|object| {
                object.create_key.as_deref() == Some(key)
                    && object.object_type.eq_ignore_ascii_case(object_type)
            })
            .map(|object| object.anchor.clone())
    }

    /// The anchor of a new object: other than before when an object with the same key was deleted since.
    pub fn new_anchor(&mut self, object_type: &str, key: &str) -> Anchor {
        let count = self.created.entry((object_type.to_ascii_lowercase(), key.to_owned())).or_default();
        *count += 1;
        let hash = hash128(&[object_type.as_bytes(), key.as_bytes(), &count.to_le_bytes()]);
        Anchor::text(&hash.to_string())
    }

    pub fn schema(&self) -> DiscoveredSchema {
        if let Some(declared) = &self.declared {
            return declared.clone();
        }
        let mut types: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        let mut attributes: BTreeMap<&str, DiscoveredAttribute> = BTreeMap::new();
        for object in self.objects.values() {
            let of_type = types.entry(&object.object_type).or_default();
            for (name, values) in &object.values {
                of_type.insert(name);
                let kind = kind_of(values.first());
                let found = attributes.entry(name).or_insert_with(|| discovered(name, kind));
                found.multi |= values.as_slice().len() > 1;
            }
            for (name, targets) in &object.links {
                of_type.insert(name);
                let found =
                    attributes.entry(name).or_insert_with(|| discovered(name, AttributeType::Reference));
                found.multi |= targets.len() > 1;
            }
        }
        let types = types.into_iter().map(|(name, attributes)| DiscoveredType {
            name: name.to_owned(),
            attributes: attributes.into_iter().map(str::to_owned).collect(),
            required: Vec::new(),
            writable: self.capabilities.export,
            read_only: Vec::new(),
            never_empty: Vec::new(),
        });
        DiscoveredSchema { types: types.collect(), attributes: attributes.into_values().collect() }
    }
}

fn discovered(name: &str, kind: AttributeType) -> DiscoveredAttribute {
    DiscoveredAttribute {
        name: name.to_owned(),
        kind,
        multi: false,
        case_exact: false,
        read_only: false,
        length_max: None,
    }
}
