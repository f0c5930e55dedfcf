//! One record of LDIF while it is read: values by slot, and the entry they make.

use onesync_model::{AttributeType, Bag, Dn, Time, Value, Values};

use super::layout::{AnchorRule, ClassRank, Layout, Slot, TypeLayout};
use super::lines::{RawValue, decode, excerpt};
use crate::kinds::parse_boolean;
use crate::pages::{LINK_CHUNK_MAX, more_links};
use crate::{Anchor, Entry, EntryChange, LinkChunk, LinkMode, LinkTarget};

/// Link values of one record held at once; a record with more is read twice.
const LINKS_HELD_MAX: usize = LINK_CHUNK_MAX;

/// The length of an `objectGUID`.
const GUID_LENGTH: usize = 16;

/// The record that is being read. Its vectors are reused.
#[derive(Debug, Default)]
pub struct Record {
    /// Its distinguished name.
    pub dn: String,
    /// Where the lines behind `dn:` begin: byte and line.
    pub body: (u64, u64),
    /// The class that decides its type.
    pub class: Option<ClassRank>,
    /// Its links are too many: they are left for a second reading.
    pub large: bool,
    anchor: Option<Box<[u8]>>,
    values: Vec<Vec<Value>>,
    links: Vec<Vec<LinkTarget>>,
    link_count: usize,
    /// Slots with a value that could not be read.
    unknown: Vec<u16>,
}

/// Why a line of a record was not taken.
#[derive(Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The whole record is of no use.
    Record(String),
    /// One value cannot be read: its attribute is unknown.
    Value,
}

impl Record {
    /// Makes room for so many slots.
    #[must_use]
    pub fn new(slots: usize) -> Self {
        Self { values: vec![Vec::new(); slots], links: vec![Vec::new(); slots], ..Self::default() }
    }

    /// Forgets the record before.
    pub fn begin(&mut self, dn: String, body: (u64, u64)) {
        self.dn = dn;
        self.body = body;
        (self.class, self.anchor, self.large, self.link_count) = (None, None, false, 0);
        self.unknown.clear();
        self.values.iter_mut().for_each(Vec::clear);
        self.links.iter_mut().for_each(Vec::clear);
    }

    /// Takes one value.
    ///
    /// # Errors
    /// When the value cannot be read, or shows that this is no entry.
    pub fn take(
        &mut self,
        slot: Slot,
        name: &[u8],
        value: RawValue<'_>,
        layout: &Layout,
        scratch: &mut Vec<u8>,
    ) -> Result<(), Refusal> {
        let attribute =
            slot.attribute.and_then(|at| Some((at, layout.attributes.get(usize::from(at))?.kind)));
        if matches!(value, RawValue::Url(_)) {
            return Err(Refusal::Record(format!(
                "`{}` names a file or address (`:<`), which is not followed: put the value itself into the file",
                excerpt(name)
            )));
        }
        if let Some((at, AttributeType::Reference)) = attribute
            && self.large
            && !slot.is_anchor
        {
            // The second reading takes it; here it only counts whether it could be read.
            return decode_text(value, scratch).map_or_else(|| self.unreadable(at), |_| Ok(()));
        }
        let Some(bytes) = decode(value, scratch) else {
            return Err(Refusal::Record(format!(
                "the value of `{}` is not base64: it is damaged or cut off",
                excerpt(name)
            )));
        };
        if slot.is_changetype && !bytes.eq_ignore_ascii_case(b"add") {
            return Err(Refusal::Record(format!(
                "this is a change record (`changetype: {}`): a directory is read from its entries, not from changes",
                excerpt(bytes)
            )));
        }
        if slot.is_class {
            let rank = layout.class(bytes);
            self.class = [self.class, rank].into_iter().flatten().min();
        }
        if slot.is_anchor {
            self.anchor = Some(bytes.into());
        }
        let Some((at, kind)) = attribute else { return Ok(()) };
        let partial = name.len() > b";range=".len() && is_partial(name);
        if kind == AttributeType::Reference {
            match str::from_utf8(bytes) {
                Ok(dn) if !partial && !dn.is_empty() => self.add_link(at, dn),
                _ => return self.unreadable(at),
            }
        } else {
            match typed(bytes, kind) {
                Some(value) if !partial => self.add_value(at, value),
                _ => return self.unreadable(at),
            }
        }
        Ok(())
    }

    /// Makes the entry. Links of a [large](Self::large) record are left out.
    ///
    /// # Errors
    /// When the record does not have what identifies it, or its name is none.
    pub fn entry(&mut self, layout: &Layout, of_type: &TypeLayout) -> Result<Entry, String> {
        let dn = Dn::parse(&self.dn).map_err(|error| error.to_string())?;
        if dn.is_root() {
            return Err("the entry has an empty name".to_owned());
        }
        let anchor = self.anchor(layout, &dn)?;
        let mut values = Vec::with_capacity(of_type.values.len());
        let mut unknown = Vec::new();
        for &at in &of_type.values {
            let (Some(attribute), Some(found)) =
                (layout.attributes.get(usize::from(at)), self.values.get_mut(usize::from(at)))
            else {
                continue;
            };
            if !self.unknown.is_empty() && self.unknown.contains(&at) {
                unknown.push(attribute.id);
            } else if let Some(found) = Values::new(std::mem::take(found)) {
                values.push((attribute.id, found));
            }
        }
        let links = of_type.links.iter().filter_map(|&at| self.link_chunk(layout, at)).collect();
        Ok(Entry {
            dn: Some(std::mem::take(&mut self.dn)),
            object_type: Some(of_type.id),
            change: EntryChange::Full,
            values: values.into_iter().collect::<Bag>(),
            unknown,
            ..more_links(anchor, links)
        })
    }

    /// Whether the values of a slot could not be read completely.
    #[must_use]
    pub fn is_unknown(&self, at: u16) -> bool {
        self.unknown.contains(&at)
    }

    fn link_chunk(&mut self, layout: &Layout, at: u16) -> Option<LinkChunk> {
        let attribute = layout.attributes.get(usize::from(at))?.id;
        if self.is_unknown(at) {
            return Some(LinkChunk { attribute, mode: LinkMode::Unknown, targets: Vec::new() });
        }
        if self.large {
            return None;
        }
        let targets = std::mem::take(self.links.get_mut(usize::from(at))?);
        Some(LinkChunk { attribute, mode: LinkMode::Replace { first: true, last: true }, targets })
    }

    fn anchor(&mut self, layout: &Layout, dn: &Dn) -> Result<Anchor, String> {
        let AnchorRule::Attribute(name) = &layout.anchor else {
            return Ok(Anchor::text(&dn.normalised()));
        };
        let bytes = self.anchor.take().filter(|bytes| !bytes.is_empty()).ok_or_else(|| {
            format!("the entry has no `{name}`, which identifies the objects of this directory")
        })?;
        match name.as_str() {
            "objectguid" if bytes.len() != GUID_LENGTH => {
                Err(format!("its `objectGUID` has {} bytes instead of {GUID_LENGTH}", bytes.len()))
            }
            "entryuuid" => Ok(Anchor(bytes.to_ascii_lowercase().into())),
            _ => Ok(Anchor(bytes)),
        }
    }

    fn add_value(&mut self, at: u16, value: Value) {
        if let Some(values) = self.values.get_mut(usize::from(at)) {
            if values.capacity() == 0 {
                // Most attributes have one value: the entry keeps this vector.
                values.reserve_exact(1);
            }
            values.push(value);
        }
    }

    fn add_link(&mut self, at: u16, dn: &str) {
        self.link_count += 1;
        if self.link_count > LINKS_HELD_MAX {
            self.large = true;
            self.links.iter_mut().for_each(Vec::clear);
        } else if let Some(links) = self.links.get_mut(usize::from(at)) {
            links.push(LinkTarget::Dn(dn.to_owned()));
        }
    }

    fn unreadable(&mut self, at: u16) -> Result<(), Refusal> {
        if !self.unknown.contains(&at) {
            self.unknown.push(at);
        }
        Err(Refusal::Value)
    }
}

/// Decodes a value that must be text.
#[must_use]
pub fn decode_text<'a>(value: RawValue<'a>, scratch: &'a mut Vec<u8>) -> Option<&'a str> {
    decode(value, scratch).and_then(|bytes| str::from_utf8(bytes).ok()).filter(|text| !text.is_empty())
}

/// Whether a name says that these are not all values: `member;range=0-1499`, where `0-*` would be all of them.
#[must_use]
pub fn is_partial(name: &[u8]) -> bool {
    let mut options = name.split(|&b| b == b';').skip(1);
    options.any(|option| {
        option.get(..6).is_some_and(|start| start.eq_ignore_ascii_case(b"range=")) && &option[6..] != b"0-*"
    })
}

fn typed(bytes: &[u8], kind: AttributeType) -> Option<Value> {
    let text = || str::from_utf8(bytes).ok();
    match kind {
        AttributeType::String => text().map(Value::string),
        AttributeType::Integer => text()?.trim().parse().ok().map(Value::Integer),
        AttributeType::Boolean => parse_boolean(bytes).map(Value::Boolean),
        AttributeType::Binary => Some(Value::binary(bytes)),
        AttributeType::Time => Time::parse_generalized(text()?).map(Value::Time),
        AttributeType::Reference => text().map(Value::reference),
    }
}
