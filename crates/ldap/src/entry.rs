//! Entries of a search, read lazily from the message they came in.
//!
//! Creating an [`Entry`] walks over its elements once to prove them well-formed; it copies nothing.
//! Values are slices of the message: whoever keeps one value keeps the read buffer it lies in (some
//! 64 KiB), so values that live long should be copied.

use std::fmt;

use bytes::Bytes;

use crate::ber::{CodecError, OCTETS, Reader, SEQUENCE, SET, Writer};
use crate::control::Control;

/// One entry that a search found.
#[derive(Clone, PartialEq, Eq)]
pub struct Entry {
    dn: Bytes,
    /// The content of the `PartialAttributeList`, proven by [`Entry::decode`].
    attributes: Bytes,
    /// The controls that came with this entry, such as the sync state of RFC 4533.
    pub controls: Vec<Control>,
}

impl Entry {
    /// Reads the content of a `SearchResultEntry`; `message` is what `content` is a part of.
    pub(crate) fn decode(message: &Bytes, mut content: Reader<'_>) -> Result<Self, CodecError> {
        let dn = content.octets()?;
        crate::ber::text(dn, "the name of an entry")?;
        let attributes = content.enter(SEQUENCE)?;
        check(attributes)?;
        Ok(Self {
            dn: message.slice_ref(dn),
            attributes: message.slice_ref(attributes.rest()),
            controls: Vec::new(),
        })
    }

    /// Makes an entry, as a server does.
    pub fn build<N, V, T>(dn: &str, attributes: impl IntoIterator<Item = (N, V)>) -> Self
    where
        N: AsRef<str>,
        V: IntoIterator<Item = T>,
        T: AsRef<[u8]>,
    {
        let mut writer = Writer::new();
        for (name, values) in attributes {
            writer.constructed(SEQUENCE, |w| {
                w.octets(name.as_ref().as_bytes());
                w.constructed(SET, |w| values.into_iter().for_each(|value| w.octets(value.as_ref())));
            });
        }
        Self {
            dn: Bytes::copy_from_slice(dn.as_bytes()),
            attributes: writer.into_bytes().into(),
            controls: Vec::new(),
        }
    }

    /// Writes the content of a `SearchResultEntry`.
    pub(crate) fn encode(&self, writer: &mut Writer) {
        writer.octets(&self.dn);
        writer.primitive(SEQUENCE, &self.attributes);
    }

    /// Gives the distinguished name.
    pub fn dn(&self) -> &str {
        // proven UTF-8 when the entry was made
        std::str::from_utf8(&self.dn).unwrap_or_default()
    }

    /// Gives the distinguished name as a slice of the message.
    pub fn dn_bytes(&self) -> &Bytes {
        &self.dn
    }

    /// Gives the attributes in the order of the message; one description may come twice.
    pub fn attributes(&self) -> Attributes<'_> {
        Attributes { message: &self.attributes, reader: Reader::new(&self.attributes) }
    }

    /// Gives the attribute of this description, compared without case.
    pub fn attribute(&self, description: &str) -> Option<Attribute<'_>> {
        self.attributes().find(|attribute| attribute.name().eq_ignore_ascii_case(description))
    }

    /// Gives the values of the attribute of this description; none when it is absent.
    pub fn values(&self, description: &str) -> Values<'_> {
        self.attribute(description)
            .map_or_else(|| Values::none(&self.attributes), |attribute| attribute.values())
    }

    /// Gives the first value of the attribute of this description.
    pub fn first(&self, description: &str) -> Option<Bytes> {
        self.values(description).next()
    }

    /// Gives the first value of the attribute of this description as text, if it is UTF-8.
    pub fn first_text(&self, description: &str) -> Option<&str> {
        let value = self.attribute(description)?.value_slices().next()?;
        std::str::from_utf8(value).ok()
    }

    /// Gives the size of the name and the attributes in the message.
    pub fn encoded_len(&self) -> usize {
        self.dn.len() + self.attributes.len()
    }
}

/// Walks over an attribute list and proves what the iterators rely on.
fn check(mut list: Reader<'_>) -> Result<(), CodecError> {
    while !list.is_empty() {
        let mut attribute = list.enter(SEQUENCE)?;
        attribute.text("the name of an attribute")?;
        let mut values = attribute.enter(SET)?;
        while !values.is_empty() {
            values.octets()?;
        }
    }
    Ok(())
}

impl fmt::Debug for Entry {
    /// Shows names only: values may be secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entry")
            .field("dn", &self.dn())
            .field("attributes", &self.attributes().map(|found| found.name()).collect::<Vec<_>>())
            .field("controls", &self.controls)
            .finish()
    }
}

/// The attributes of an entry.
#[derive(Debug, Clone)]
pub struct Attributes<'a> {
    message: &'a Bytes,
    reader: Reader<'a>,
}

impl<'a> Iterator for Attributes<'a> {
    type Item = Attribute<'a>;

    fn next(&mut self) -> Option<Attribute<'a>> {
        let mut inside = self.reader.enter(SEQUENCE).ok()?;
        let name = inside.text("the name of an attribute").ok()?;
        let values = inside.enter(SET).ok()?;
        Some(Attribute { message: self.message, name, values })
    }
}

/// One attribute of an entry: a description and its values.
#[derive(Debug, Clone, Copy)]
pub struct Attribute<'a> {
    message: &'a Bytes,
    name: &'a str,
    values: Reader<'a>,
}

impl<'a> Attribute<'a> {
    /// Gives the description as the server wrote it, options such as `;binary` or `;range=0-1499` included.
    pub const fn name(&self) -> &'a str {
        self.name
    }

    /// Gives the description up to the first option.
    pub fn base_name(&self) -> &'a str {
        self.name.split(';').next().unwrap_or_default()
    }

    /// Gives the values as slices that share the message's memory.
    pub const fn values(&self) -> Values<'a> {
        Values { message: self.message, reader: self.values }
    }

    /// Gives the values as borrowed slices, the cheapest form.
    pub fn value_slices(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let mut values = self.values;
        std::iter::from_fn(move || values.expect(OCTETS).ok())
    }

    /// Says whether there is no value at all.
    pub const fn is_empty(&self) -> bool {
        self.values.is_empty()
    }
}

/// The values of an attribute.
#[derive(Debug, Clone)]
pub struct Values<'a> {
    message: &'a Bytes,
    reader: Reader<'a>,
}

impl<'a> Values<'a> {
    const fn none(message: &'a Bytes) -> Self {
        Self { message, reader: Reader::new(&[]) }
    }
}

impl Iterator for Values<'_> {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        self.reader.expect(OCTETS).ok().map(|value| self.message.slice_ref(value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Entry {
        Entry::build("cn=x", [("cn", vec!["x"]), ("Member", vec!["a", "b", ""]), ("empty", vec![])])
    }

    #[test]
    fn attributes_and_values() {
        let entry = sample();
        assert_eq!(entry.dn(), "cn=x");
        let names: Vec<_> = entry.attributes().map(|found| found.name()).collect();
        assert_eq!(names, ["cn", "Member", "empty"]);
        let members: Vec<_> = entry.values("member").collect();
        assert_eq!(members, ["a", "b", ""]);
        assert_eq!(entry.first_text("CN"), Some("x"));
        assert!(entry.attribute("empty").is_some_and(|found| found.is_empty()));
        assert_eq!(entry.values("absent").count(), 0);
    }

    #[test]
    fn malformed_lists_are_refused_when_the_entry_is_made() {
        let mut writer = Writer::new();
        sample().encode(&mut writer);
        let good = writer.into_bytes();
        let message = Bytes::from(good.clone());
        assert!(Entry::decode(&message, Reader::new(&message)).is_ok());
        let mut refused = 0;
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 0x40;
            let message = Bytes::from(bad);
            match Entry::decode(&message, Reader::new(&message)) {
                Ok(entry) => assert!(entry.attributes().flat_map(|found| found.values()).count() < 100),
                Err(_) => refused += 1,
            }
        }
        assert!(refused > good.len() / 3, "{refused} of {}", good.len());
    }

    #[test]
    fn debug_output_shows_no_values() {
        let text = format!("{:?}", Entry::build("cn=x", [("unicodePwd", vec!["hunter2"])]));
        assert!(text.contains("unicodePwd") && !text.contains("hunter2"), "{text}");
    }
}
