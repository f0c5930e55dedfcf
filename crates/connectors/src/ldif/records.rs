//! The records of one LDIF file, one after the other.
//!
//! A record with very many links is read twice, so that a group with a million members is never in memory whole:
//! first everything but its links, then the links in chunks.

use std::io::{Read, Seek, SeekFrom};

use memchr::memchr;
use onesync_model::{AttributeType, Dn};

use super::import::ERRORS_REPORTED_MAX;
use super::layout::{Layout, Slot};
use super::lines::{Line, LineError, Lines, RawValue, excerpt};
use super::marks::Marks;
use super::record::{Record, Refusal, decode_text};
use crate::{Entry, LinkChunk, LinkMode, LinkTarget};

/// What a call of [`Records::next`] found.
#[derive(Debug)]
pub enum Found {
    /// An entry of a selected type.
    Entry(Box<Entry>),
    /// The same, whose links are to be read by [`Records::next_links`] until that gives the last.
    Large(Box<Entry>),
    /// An entry that is not selected, or lies outside the base.
    Other,
    /// A record that cannot be read: the line, and why.
    Bad(u64, String),
    /// The end of the file.
    End,
}

/// Reads records.
#[derive(Debug)]
pub struct Records<R> {
    lines: Lines<R>,
    layout: Layout,
    base: Option<Base>,
    /// What was seen of the file's completeness.
    pub marks: Marks,
    /// How many values could not be read.
    pub unreadable: u64,
    /// The lines and names of those of the entry read last, as far as they are told one by one.
    pub bad_values: Vec<(u64, String)>,
    /// Search references, which were not followed.
    pub references: u64,
    record: Record,
    scratch: Vec<u8>,
    second: Option<SecondReading>,
}

/// The container that limits what is read.
#[derive(Debug)]
struct Base {
    dn: Dn,
    text: String,
}

/// The links of a large record.
#[derive(Debug)]
struct SecondReading {
    /// Link slots of the type: the links gathered, and whether a chunk was given already.
    slots: Vec<(u16, Vec<LinkTarget>, bool)>,
    at_end: bool,
}

/// What kind of record a line begins.
enum Begin {
    Entry(String),
    /// The result of a search, which is no entry.
    Result,
    /// A search reference, which is no entry.
    Reference,
    Bad(String),
}

impl<R: Read + Seek> Records<R> {
    /// Reads records of a file from byte `offset` on, where line `line` begins.
    ///
    /// # Errors
    /// When the file cannot be read at that place.
    pub fn new(
        mut source: R,
        (offset, line): (u64, u64),
        layout: Layout,
        base: Option<Dn>,
    ) -> std::io::Result<Self> {
        source.seek(SeekFrom::Start(offset))?;
        Ok(Self {
            lines: Lines::new(source, offset, line),
            base: base.map(|dn| Base { text: dn.to_string(), dn }),
            marks: Marks::default(),
            unreadable: 0,
            bad_values: Vec::new(),
            references: 0,
            record: Record::new(layout.attributes.len()),
            layout,
            scratch: Vec::new(),
            second: None,
        })
    }

    /// Where the next record begins: byte and line.
    #[must_use]
    pub fn position(&self) -> (u64, u64) {
        (self.lines.offset(), self.lines.next_line())
    }

    /// The line of the error that [`Records::next`] gave.
    #[must_use]
    pub fn line(&self) -> u64 {
        self.lines.line()
    }

    /// Reads the next record.
    ///
    /// # Errors
    /// When nothing more can be read.
    pub fn next(&mut self) -> Result<Found, LineError> {
        let begin = loop {
            match self.lines.next() {
                Ok(Line::Separator) => {}
                Ok(Line::Comment(text)) => self.marks.comment(text),
                Ok(Line::End) => return Ok(Found::End),
                Ok(Line::Attribute { name, value: RawValue::Plain(b"1") })
                    if name.eq_ignore_ascii_case(b"version") => {}
                Ok(Line::Attribute { name, value }) => break begin(name, value, &mut self.scratch),
                Err(error) if error.is_fatal() => return Err(error),
                Err(error) => break Begin::Bad(error.to_string()),
            }
        };
        let line = self.lines.line();
        match begin {
            Begin::Entry(dn) => {
                self.marks.entry();
                self.entry(dn, line)
            }
            Begin::Bad(why) => {
                self.skip_record()?;
                Ok(Found::Bad(line, why))
            }
            Begin::Reference => {
                self.references += 1;
                self.skip_record()?;
                Ok(Found::Other)
            }
            Begin::Result => {
                self.skip_record()?;
                Ok(Found::Other)
            }
        }
    }

    /// Reads some links of the record that was [`Found::Large`]; `true` with the last.
    ///
    /// # Errors
    /// When the file cannot be read, or is not what it was a moment ago.
    pub fn next_links(&mut self, max: usize) -> Result<Option<(LinkChunk, bool)>, LineError> {
        let Some(mut second) = self.second.take() else { return Ok(None) };
        while !second.at_end {
            let (name, value) = match self.lines.next()? {
                Line::Separator | Line::End => {
                    second.at_end = true;
                    break;
                }
                Line::Comment(_) => continue,
                Line::Attribute { name, value } => (name, value),
            };
            let plain = memchr(b';', name).map_or(name, |at| &name[..at]);
            let Some(at) = self.layout.slot(plain).and_then(|slot| slot.attribute) else { continue };
            let Some(found) = second.slots.iter_mut().find(|(slot, ..)| *slot == at) else { continue };
            let Some(dn) = decode_text(value, &mut self.scratch) else { continue };
            found.1.push(LinkTarget::Dn(dn.to_owned()));
            if found.1.len() >= max {
                let mode = LinkMode::Replace { first: !std::mem::replace(&mut found.2, true), last: false };
                let targets = std::mem::take(&mut found.1);
                let chunk = self.layout.attributes.get(usize::from(at)).map(|a| a.id);
                self.second = Some(second);
                return Ok(chunk.map(|attribute| (LinkChunk { attribute, mode, targets }, false)));
            }
        }
        let Some((at, targets, given)) = second.slots.pop() else { return Ok(None) };
        let is_last = second.slots.is_empty();
        if !is_last {
            self.second = Some(second);
        }
        let mode = LinkMode::Replace { first: !given, last: true };
        let attribute = self.layout.attributes.get(usize::from(at)).map(|attribute| attribute.id);
        Ok(attribute.map(|attribute| (LinkChunk { attribute, mode, targets }, is_last)))
    }

    fn entry(&mut self, dn: String, line: u64) -> Result<Found, LineError> {
        if !self.base.as_ref().is_none_or(|base| base.contains(&dn)) {
            self.skip_record()?;
            return Ok(Found::Other);
        }
        let body = self.position();
        self.record.begin(dn, body);
        self.bad_values.clear();
        if let Some((line, why)) = self.read_body()? {
            return Ok(Found::Bad(line, format!("`{}`: {why}", self.record.dn)));
        }
        let index = self.record.class.and_then(|class| class.type_index);
        let Some(of_type) = index.and_then(|index| self.layout.types.get(index as usize)) else {
            return Ok(Found::Other);
        };
        let entry = match self.record.entry(&self.layout, of_type) {
            Ok(entry) => Box::new(entry),
            Err(why) => return Ok(Found::Bad(line, format!("`{}`: {why}", self.record.dn))),
        };
        let record = &self.record;
        let known_links = of_type.links.iter().filter(|at| !record.is_unknown(**at));
        let slots: Vec<_> = known_links.map(|&at| (at, Vec::new(), false)).collect();
        if !self.record.large || slots.is_empty() {
            return Ok(Found::Entry(entry));
        }
        let (offset, line) = self.record.body;
        self.lines.restart(offset, line).seek(SeekFrom::Start(offset))?;
        self.second = Some(SecondReading { slots, at_end: false });
        Ok(Found::Large(entry))
    }

    /// Reads the lines of a record behind its `dn:`, and gives its first error.
    fn read_body(&mut self) -> Result<Option<(u64, String)>, LineError> {
        let mut refused = None;
        let mut previous_name: Vec<u8> = Vec::new();
        let mut slot: Option<Slot> = None;
        loop {
            let line = self.lines.next_line();
            let (name, value) = match self.lines.next() {
                Ok(Line::Separator | Line::End) => return Ok(refused),
                Ok(Line::Comment(text)) => {
                    self.marks.comment(text);
                    continue;
                }
                Ok(Line::Attribute { name, value }) => (name, value),
                Err(error) if error.is_fatal() => return Err(error),
                Err(error) => {
                    refused.get_or_insert((line, error.to_string()));
                    continue;
                }
            };
            if refused.is_some() {
                continue;
            }
            // Values of one attribute stand together: the name is often that of the line before.
            if previous_name != name {
                let plain = memchr(b';', name).map_or(name, |at| &name[..at]);
                slot = self.layout.slot(plain).filter(|_| options_matter(&name[plain.len()..]));
                previous_name.clear();
                previous_name.extend_from_slice(name);
            }
            let Some(slot) = slot else { continue };
            match self.record.take(slot, name, value, &self.layout, &mut self.scratch) {
                Ok(()) => {}
                Err(Refusal::Record(why)) => refused = Some((line, why)),
                Err(Refusal::Value) => {
                    self.unreadable += 1;
                    if self.unreadable <= ERRORS_REPORTED_MAX {
                        self.bad_values.push((line, excerpt(name)));
                    }
                }
            }
        }
    }

    /// Reads on to the end of a record whose entry does not matter.
    fn skip_record(&mut self) -> Result<(), LineError> {
        loop {
            match self.lines.next() {
                Ok(Line::Separator | Line::End) => return Ok(()),
                Ok(Line::Comment(text)) => self.marks.comment(text),
                Ok(Line::Attribute { name: b"result", value: RawValue::Plain(text) }) => {
                    self.marks.result(text)
                }
                Err(error) if error.is_fatal() => return Err(error),
                Ok(Line::Attribute { .. }) | Err(_) => {}
            }
        }
    }
}

impl Base {
    fn contains(&self, dn: &str) -> bool {
        // Mostly the end of the name is spelled like the base; only else it is worth parsing.
        let end = dn.len().checked_sub(self.text.len());
        let ending =
            end.and_then(|end| dn.get(end..)).is_some_and(|tail| tail.eq_ignore_ascii_case(&self.text));
        let before = end.and_then(|end| dn.get(..end)).unwrap_or_default();
        let separate = before.is_empty() || (before.ends_with(',') && !before.ends_with("\\,"));
        (ending && separate) || Dn::parse(dn).is_ok_and(|dn| dn.is_within(&self.dn))
    }
}

fn begin(name: &[u8], value: RawValue<'_>, scratch: &mut Vec<u8>) -> Begin {
    if name.eq_ignore_ascii_case(b"dn") {
        return match decode_text(value, scratch) {
            Some(dn) => Begin::Entry(dn.to_owned()),
            None if matches!(value, RawValue::Plain(b"")) => Begin::Entry(String::new()),
            None => Begin::Bad("its name cannot be read: it is damaged or not UTF-8".to_owned()),
        };
    }
    match name {
        // ldapsearch ends its output with `search: 2` and `result: 0 Success`.
        b"search" => Begin::Result,
        b"ref" => Begin::Reference,
        b"version" => Begin::Bad("only version 1 of LDIF is known".to_owned()),
        _ => Begin::Bad(format!("a record begins with `dn:`, not with `{}`", excerpt(name))),
    }
}

/// Whether an attribute with these options is the attribute itself, and not a variant of it in some language.
fn options_matter(options: &[u8]) -> bool {
    options.is_empty()
        || options.eq_ignore_ascii_case(b";binary")
        || options.get(..7).is_some_and(|start| start.eq_ignore_ascii_case(b";range="))
}

/// Names the attributes of the first entries of a file, for a schema; at most `entries_max` are read.
///
/// # Errors
/// When the file cannot be read.
pub fn attribute_names<R: Read>(
    source: R,
    entries_max: usize,
    mut seen: impl FnMut(&str, AttributeType),
) -> Result<(), LineError> {
    let mut lines = Lines::new(source, 0, 1);
    let (mut entries, mut scratch) = (0, Vec::new());
    loop {
        match lines.next() {
            Ok(Line::End) => return Ok(()),
            Ok(Line::Attribute { name, .. }) if name.eq_ignore_ascii_case(b"dn") => {
                entries += 1;
                if entries > entries_max {
                    return Ok(());
                }
            }
            Ok(Line::Attribute { name, value }) if entries > 0 => {
                let plain = memchr(b';', name).map_or(name, |at| &name[..at]);
                let Ok(plain) = str::from_utf8(plain) else { continue };
                let is_text = !value.is_base64() || decode_text(value, &mut scratch).is_some();
                seen(plain, if is_text { AttributeType::String } else { AttributeType::Binary });
            }
            Err(error) if error.is_fatal() => return Err(error),
            _ => {}
        }
    }
}
