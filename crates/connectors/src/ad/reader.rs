//! From an entry of LDAP to an entry of the contract.

use onesync_ldap::{Attribute, Entry as LdapEntry, RangeOption, Ranged, link_changes, ranged_values};
use onesync_model::{AttrId, AttributeType, Bag, Time, Value, Values};

use super::layout::{Layout, Slot, TypeLayout};
use super::server::guid;
use super::watermark::{Guid, unhex};
use crate::kinds::parse_boolean;
use crate::pages::more_links;
use crate::{Anchor, Entry, EntryChange, LinkChunk, LinkMode, LinkTarget};

/// An entry, and what is still to be fetched for it.
#[derive(Debug)]
pub struct Read {
    /// The entry; its links are those that came with it.
    pub entry: Entry,
    /// Link attributes of which only the first values came: number of the first that is missing.
    pub missing: Vec<(Slot, u32)>,
    /// Attributes with a value that could not be read.
    pub unreadable: Vec<String>,
}

/// Reads an entry whole. `None` when its type is not selected or it has no identity.
#[must_use]
pub fn whole(found: &LdapEntry, layout: &Layout) -> Option<Read> {
    let guid = guid(found, "objectGUID")?;
    let of_type = type_of(found, layout)?;
    let mut read = Read {
        entry: Entry {
            dn: Some(plain_name(found.dn()).to_owned()),
            object_type: Some(of_type.id),
            change: EntryChange::Full,
            ..more_links(anchor(&guid), Vec::with_capacity(of_type.links.len()))
        },
        missing: Vec::new(),
        unreadable: Vec::new(),
    };
    read.values(found, of_type);
    for slot in &of_type.links {
        let (targets, last) = match ranged_values(found, &slot.name) {
            Ranged::Absent => (Vec::new(), true),
            Ranged::Complete(values) => (values, true),
            Ranged::Incomplete { values, next } => {
                read.missing.push((slot.clone(), next));
                (values, false)
            }
        };
        let targets = targets.iter().map(|value| target(value)).collect();
        read.entry.links.push(LinkChunk {
            attribute: slot.id,
            mode: LinkMode::Replace { first: true, last },
            targets,
        });
    }
    Some(read)
}

/// Reads what DirSync says changed of an object that is known by its type.
#[must_use]
pub fn changes(found: &LdapEntry, guid: &Guid, of_type: &TypeLayout) -> Read {
    let mut read = Read {
        entry: Entry {
            object_type: Some(of_type.id),
            change: EntryChange::Merge,
            ..more_links(anchor(guid), Vec::new())
        },
        missing: Vec::new(),
        unreadable: Vec::new(),
    };
    read.values(found, of_type);
    for attribute in found.attributes().filter(|attribute| attribute.is_empty()) {
        if let Some(slot) = of_type.slot(attribute.name())
            && slot.kind != AttributeType::Reference
        {
            read.entry.cleared.push(slot.id);
        }
    }
    for slot in &of_type.links {
        read.entry.links.extend(changed_links(found, slot));
    }
    read
}

/// Whether an entry says anything.
#[must_use]
pub fn says_something(entry: &Entry) -> bool {
    !(entry.values.is_empty()
        && entry.cleared.is_empty()
        && entry.links.is_empty()
        && entry.unknown.is_empty())
}

/// An object is not there any more; with it went, untold, its place in these link attributes of others.
#[must_use]
pub fn deletion(guid: &Guid, dropped: Vec<AttrId>) -> Entry {
    Entry { change: EntryChange::Delete, cleared: dropped, ..more_links(anchor(guid), Vec::new()) }
}

/// The type of an entry, where it is selected.
#[must_use]
pub fn type_of<'l>(found: &LdapEntry, layout: &'l Layout) -> Option<&'l TypeLayout> {
    let attribute = found.attribute("objectClass")?;
    let classes: Vec<&[u8]> = attribute.value_slices().collect();
    layout.type_of(classes.iter().copied())
}

/// The anchor of an object.
#[must_use]
pub fn anchor(guid: &Guid) -> Anchor {
    Anchor(guid.as_slice().into())
}

/// The name without the GUID and SID before it.
#[must_use]
pub fn plain_name(name: &str) -> &str {
    let mut rest = name;
    while rest.starts_with('<') {
        match rest.split_once(">;") {
            Some((_, behind)) => rest = behind,
            None => break,
        }
    }
    rest
}

/// The target of a link: by GUID where the server gives it.
#[must_use]
pub fn target(value: &[u8]) -> LinkTarget {
    let text = String::from_utf8_lossy(value);
    let digits = text.strip_prefix("<GUID=").and_then(|rest| rest.split_once('>')).map(|(digits, _)| digits);
    match digits.and_then(|digits| unhex(digits.as_bytes())) {
        Some(guid) => LinkTarget::Anchor(anchor(&guid)),
        None => LinkTarget::Dn(plain_name(&text).to_owned()),
    }
}

impl Read {
    /// Takes the values of attributes that are not links.
    fn values(&mut self, found: &LdapEntry, of_type: &TypeLayout) {
        let mut bag: Vec<(onesync_model::AttrId, Values)> = Vec::new();
        for attribute in found.attributes() {
            let Some(slot) = of_type.slot(attribute.base_name()) else { continue };
            if slot.kind == AttributeType::Reference || attribute.is_empty() {
                continue;
            }
            match values_of(&attribute, slot.kind) {
                Some(values) => bag.push((slot.id, values)),
                None => {
                    self.entry.unknown.push(slot.id);
                    self.unreadable.push(slot.name.clone());
                }
            }
        }
        self.entry.values = bag.into_iter().collect::<Bag>();
    }
}

/// Values are only taken all together: a part of them would look like the rest had gone.
fn values_of(attribute: &Attribute<'_>, kind: AttributeType) -> Option<Values> {
    if RangeOption::parse(attribute.name()).1.is_some_and(|range| range.end.is_some()) {
        return None;
    }
    Values::new(attribute.value_slices().map(|bytes| typed(bytes, kind)).collect::<Option<Vec<_>>>()?)
}

fn typed(bytes: &[u8], kind: AttributeType) -> Option<Value> {
    let text = || std::str::from_utf8(bytes).ok();
    match kind {
        AttributeType::String => text().map(|text| Value::string(plain_name(text))),
        AttributeType::Integer => text()?.trim().parse().ok().map(Value::Integer),
        AttributeType::Boolean => parse_boolean(bytes).map(Value::Boolean),
        AttributeType::Binary => Some(Value::binary(bytes)),
        AttributeType::Time => Time::parse_generalized(text()?).map(Value::Time),
        AttributeType::Reference => text().map(|text| Value::reference(plain_name(text))),
    }
}

/// Link changes of one attribute. Values without a range are all values: so come references that are no links to
/// the directory, and so do links that were written before it kept track of single values.
fn changed_links(found: &LdapEntry, slot: &Slot) -> Vec<LinkChunk> {
    let whole = found.attributes().any(|a| a.name().eq_ignore_ascii_case(&slot.name) && !a.is_empty());
    let changes = link_changes(found, &slot.name);
    let chunk = |mode, values: &[bytes::Bytes]| LinkChunk {
        attribute: slot.id,
        mode,
        targets: values.iter().map(|value| target(value)).collect(),
    };
    let all = LinkMode::Replace { first: true, last: true };
    if changes.cleared || whole {
        return vec![chunk(all, &changes.added)];
    }
    let mut chunks = Vec::new();
    if !changes.removed.is_empty() {
        chunks.push(chunk(LinkMode::Remove, &changes.removed));
    }
    if !changes.added.is_empty() {
        chunks.push(chunk(LinkMode::Add, &changes.added));
    }
    chunks
}

#[cfg(test)]
mod tests {
    use onesync_model::TypeId;

    use super::*;
    use crate::{SelectedAttribute, SelectedType, Selection};

    const GUID: Guid = [0xc0; 16];

    fn layout() -> Layout {
        let kinds = [
            ("givenName", AttributeType::String),
            ("showInAddressBook", AttributeType::String),
            ("userAccountControl", AttributeType::Integer),
            ("member", AttributeType::Reference),
            ("manager", AttributeType::Reference),
        ];
        let attributes = kinds.into_iter().enumerate().map(|(id, (name, kind))| SelectedAttribute {
            id: AttrId(id as u32),
            name: name.to_owned(),
            kind,
            multi: true,
        });
        let selected =
            SelectedType { id: TypeId(9), name: "group".to_owned(), attributes: attributes.collect() };
        let settings = toml::from_str("url = \"ldap://dc1\"\nbind = \"b\"\npassword = \"p\"").unwrap();
        Layout::new(&Selection { types: vec![selected] }, &settings).unwrap()
    }

    fn entry(attributes: &[(&str, &[&str])]) -> LdapEntry {
        let mut all: Vec<(String, Vec<Vec<u8>>)> = vec![
            ("objectGUID".to_owned(), vec![GUID.to_vec()]),
            ("objectClass".to_owned(), vec![b"top".to_vec(), b"group".to_vec()]),
        ];
        all.extend(attributes.iter().map(|(name, values)| {
            ((*name).to_owned(), values.iter().map(|v| v.as_bytes().to_vec()).collect())
        }));
        LdapEntry::build("<GUID=00>;<SID=S-1-5>;CN=g,DC=x", all)
    }

    const MEMBER: &str = "<GUID=c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0>;<SID=0105>;CN=u,DC=x";

    #[test]
    fn an_entry_is_read_whole() {
        let found = entry(&[
            ("givenName", &["Anna"]),
            ("showInAddressBook", &["<GUID=11>;CN=list,DC=x"]),
            ("userAccountControl", &["nonsense"]),
            ("member", &[MEMBER]),
        ]);
        let read = whole(&found, &layout()).unwrap();
        assert_eq!(read.entry.dn.as_deref(), Some("CN=g,DC=x"));
        assert_eq!(read.entry.values.get(AttrId(1)), Some(&Values::one("CN=list,DC=x".into())));
        assert_eq!(
            (read.entry.unknown.as_slice(), read.unreadable.as_slice()),
            (&[AttrId(2)][..], &["userAccountControl".to_owned()][..])
        );
        assert_eq!(read.entry.links.len(), 2, "every link attribute is named");
        assert_eq!(read.entry.links[0].targets, [LinkTarget::Anchor(anchor(&GUID))]);
        assert_eq!(read.entry.links[1].mode, LinkMode::Replace { first: true, last: true });
    }

    #[test]
    fn values_behind_a_range_are_missing_not_gone() {
        let found = entry(&[("member", &[]), ("member;range=0-0", &[MEMBER])]);
        let read = whole(&found, &layout()).unwrap();
        assert_eq!(
            read.missing.iter().map(|(slot, next)| (slot.name.as_str(), *next)).collect::<Vec<_>>(),
            [("member", 1)]
        );
        assert_eq!(read.entry.links[0].mode, LinkMode::Replace { first: true, last: false });
    }

    #[test]
    fn changes_name_what_changed_only() {
        let layout = layout();
        let of_type = layout.type_of([&b"group"[..]].into_iter()).unwrap();
        let other = "<GUID=d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1>;CN=v,DC=x";
        let found = entry(&[
            ("givenName", &[]),
            ("member;range=0-0", &[MEMBER]),
            ("member;range=1-1", &[other]),
            ("manager", &[MEMBER]),
        ]);
        let read = changes(&found, &GUID, of_type);
        assert_eq!((read.entry.change, read.entry.dn.as_deref()), (EntryChange::Merge, None));
        assert_eq!(read.entry.cleared, [AttrId(0)]);
        let modes: Vec<_> = read.entry.links.iter().map(|chunk| (chunk.attribute.0, chunk.mode)).collect();
        assert_eq!(
            modes,
            [(3, LinkMode::Remove), (3, LinkMode::Add), (4, LinkMode::Replace { first: true, last: true })]
        );
        let gone = changes(&entry(&[("manager", &[])]), &GUID, of_type);
        assert_eq!(gone.entry.links[0].targets, []);
        assert!(says_something(&gone.entry) && !says_something(&changes(&entry(&[]), &GUID, of_type).entry));
    }
}
