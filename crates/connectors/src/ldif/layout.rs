//! What an import is looking for in records, compiled once from the selection: which attribute names matter, and
//! which object class makes which type.

use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasherDefault, Hasher};

use onesync_model::{AttrId, AttributeType, hash64};

use crate::{SelectedType, Selection};

/// Object classes that make a type, the most specific first: an AD computer is also a `user` by class.
const STRUCTURAL_CLASSES: [&str; 17] = [
    "msDS-GroupManagedServiceAccount",
    "msDS-ManagedServiceAccount",
    "msDS-DelegatedManagedServiceAccount",
    "computer",
    "inetOrgPerson",
    "user",
    "contact",
    "group",
    "groupOfNames",
    "groupOfUniqueNames",
    "foreignSecurityPrincipal",
    "msDS-Device",
    "organizationalUnit",
    "builtinDomain",
    "container",
    "domainDNS",
    "domain",
];

/// Spellings of attribute names that are remembered: more than any schema has, so that a hostile file cannot fill
/// the memory.
const SPELLINGS_MAX: usize = 4096;

/// A map by name. Some fifty names are looked up an entry: the standard hash would be a tenth of the import.
type NameMap<T> = HashMap<Vec<u8>, T, BuildHasherDefault<NameHasher>>;

/// What identifies an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AnchorRule {
    /// This attribute, named in lower case.
    Attribute(String),
    /// The distinguished name.
    Dn,
}

/// What to do with the values of an attribute name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Slot {
    /// The place of its values, where it is selected.
    pub attribute: Option<u16>,
    /// It names the object's classes.
    pub is_class: bool,
    /// It identifies the object.
    pub is_anchor: bool,
    /// It says what kind of change record this is.
    pub is_changetype: bool,
}

/// One attribute that is selected for at least one type.
#[derive(Clone, Copy, Debug)]
pub struct SlotAttribute {
    /// Its id.
    pub id: AttrId,
    /// The type of its values.
    pub kind: AttributeType,
}

/// What an import is looking for.
#[derive(Debug)]
pub struct Layout {
    /// Selected attributes; their indices are the slots.
    pub attributes: Vec<SlotAttribute>,
    /// Selected types.
    pub types: Vec<TypeLayout>,
    /// What identifies an object.
    pub anchor: AnchorRule,
    classes: NameMap<ClassRank>,
    names: NameMap<Slot>,
    spellings: NameMap<Slot>,
}

/// One selected type.
#[derive(Debug)]
pub struct TypeLayout {
    /// The type.
    pub id: onesync_model::TypeId,
    /// The slots of its attributes that are values, in the order of their ids.
    pub values: Vec<u16>,
    /// The slots of its links, in the order of their ids.
    pub links: Vec<u16>,
}

/// Which type a class makes: the smallest rank of an object's classes decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ClassRank {
    rank: u32,
    /// The index of the type, `None` when it is not selected.
    pub type_index: Option<u32>,
}

impl Layout {
    /// Compiles a selection.
    #[must_use]
    pub fn new(selection: &Selection, types: &BTreeMap<String, String>, anchor: AnchorRule) -> Self {
        let mut layout = Self {
            attributes: Vec::new(),
            types: Vec::new(),
            anchor,
            classes: class_ranks(selection, types),
            names: NameMap::default(),
            spellings: NameMap::default(),
        };
        for selected in &selection.types {
            let compiled = layout.add_type(selected);
            layout.types.push(compiled);
        }
        layout.slot_entry("objectclass").is_class = true;
        layout.slot_entry("changetype").is_changetype = true;
        if let AnchorRule::Attribute(name) = layout.anchor.clone() {
            layout.slot_entry(&name).is_anchor = true;
        }
        layout
    }

    /// What to do with an attribute name, options taken off; `None` when it does not matter.
    pub fn slot(&mut self, name: &[u8]) -> Option<Slot> {
        if let Some(slot) = self.spellings.get(name) {
            return (*slot != Slot::default()).then_some(*slot);
        }
        let slot = self.names.get(&name.to_ascii_lowercase()).copied();
        if self.spellings.len() < SPELLINGS_MAX {
            self.spellings.insert(name.to_vec(), slot.unwrap_or_default());
        }
        slot
    }

    /// Which type an object class makes.
    #[must_use]
    pub fn class(&self, class: &[u8]) -> Option<ClassRank> {
        match self.classes.get(class) {
            Some(rank) => Some(*rank),
            None => self.classes.get(&class.to_ascii_lowercase()).copied(),
        }
    }

    fn add_type(&mut self, selected: &SelectedType) -> TypeLayout {
        let mut compiled = TypeLayout { id: selected.id, values: Vec::new(), links: Vec::new() };
        let mut attributes: Vec<_> = selected.attributes.iter().collect();
        attributes.sort_by_key(|attribute| attribute.id);
        for attribute in attributes {
            let known = self.attributes.iter().position(|known| known.id == attribute.id);
            let place = known.unwrap_or_else(|| {
                self.attributes.push(SlotAttribute { id: attribute.id, kind: attribute.kind });
                self.attributes.len() - 1
            });
            // A schema of more than 65,000 attributes does not exist.
            let place = u16::try_from(place).unwrap_or(u16::MAX);
            self.slot_entry(&attribute.name.to_ascii_lowercase()).attribute = Some(place);
            match attribute.kind {
                AttributeType::Reference => compiled.links.push(place),
                _ => compiled.values.push(place),
            }
        }
        compiled
    }

    fn slot_entry(&mut self, lower_name: &str) -> &mut Slot {
        self.names.entry(lower_name.as_bytes().to_vec()).or_default()
    }
}

/// The name of the built-in type that a class makes.
#[must_use]
pub fn structural_class(class: &[u8]) -> Option<&'static str> {
    STRUCTURAL_CLASSES.into_iter().find(|known| known.as_bytes().eq_ignore_ascii_case(class))
}

/// Ranks: configured classes first, then the built-in ones, then any class that is selected under its own name.
fn class_ranks(selection: &Selection, types: &BTreeMap<String, String>) -> NameMap<ClassRank> {
    let configured = types.iter().map(|(class, object_type)| (class.as_str(), object_type.as_str()));
    let built_in = STRUCTURAL_CLASSES.into_iter().map(|class| (class, class));
    let by_name = selection.types.iter().map(|selected| (selected.name.as_str(), selected.name.as_str()));
    let mut ranks = NameMap::default();
    for (rank, (class, object_type)) in (0..).zip(configured.chain(built_in).chain(by_name)) {
        let type_index = (0..)
            .zip(&selection.types)
            .find(|(_, selected)| selected.name.eq_ignore_ascii_case(object_type))
            .map(|(index, _)| index);
        let found = ClassRank { rank, type_index };
        ranks.entry(class.to_ascii_lowercase().into_bytes()).or_insert(found);
    }
    // Most files spell classes as the schema does: both spellings are found at once.
    for class in STRUCTURAL_CLASSES {
        if let Some(rank) = ranks.get(class.to_ascii_lowercase().as_bytes()).copied() {
            ranks.insert(class.as_bytes().to_vec(), rank);
        }
    }
    ranks
}

/// Hashes names fast. How many names there are is limited, so nobody gains by names that collide.
#[derive(Debug, Default)]
struct NameHasher(u64);

impl Hasher for NameHasher {
    fn write(&mut self, bytes: &[u8]) {
        self.0 = self.0.rotate_left(5) ^ hash64(bytes);
    }

    fn write_usize(&mut self, length: usize) {
        self.0 ^= length as u64;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}
