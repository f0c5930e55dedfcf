//! Attribute bags, and their compact stored form.
//!
//! An image is `version byte, attribute*`; an attribute is `id, count, value*`, ids ascending; a value is
//! `tag byte, length, bytes`; numbers are LEB128. It is scanned in place without allocation, and equal bags have
//! equal bytes, so the hash of the bytes tells whether anything changed. Unknown tags are an error, not a guess:
//! a newer version of the format gets a new version byte.

use std::collections::BTreeMap;
use std::sync::Arc;

use thiserror::Error;

use crate::{AttrId, AttributeType, Hash128, ImageIndex, Time, Value, ValueRef, Values, ValuesCow, hash128};

/// The version byte of the format described above.
const VERSION: u8 = 1;

const TAG_STRING: u8 = 1;
const TAG_INTEGER: u8 = 2;
const TAG_FALSE: u8 = 3;
const TAG_TRUE: u8 = 4;
const TAG_BINARY: u8 = 5;
const TAG_TIME: u8 = 6;
const TAG_REFERENCE: u8 = 7;

/// Attributes and their values, ordered by attribute id.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Bag(BTreeMap<AttrId, Values>);

impl Bag {
    /// Makes an empty bag.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets an attribute; `None` removes it. Gives what was there.
    pub fn set(&mut self, attribute: AttrId, values: Option<Values>) -> Option<Values> {
        match values {
            Some(values) => self.0.insert(attribute, values),
            None => self.0.remove(&attribute),
        }
    }

    /// The values of an attribute.
    #[must_use]
    pub fn get(&self, attribute: AttrId) -> Option<&Values> {
        self.0.get(&attribute)
    }

    /// All attributes in the order of their ids.
    pub fn iter(&self) -> impl Iterator<Item = (AttrId, &Values)> {
        self.0.iter().map(|(&id, values)| (id, values))
    }

    /// How many attributes have values.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether no attribute has a value.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromIterator<(AttrId, Values)> for Bag {
    fn from_iter<T: IntoIterator<Item = (AttrId, Values)>>(iter: T) -> Self {
        Self(iter.into_iter().collect())
    }
}

impl IntoIterator for Bag {
    type Item = (AttrId, Values);
    type IntoIter = std::collections::btree_map::IntoIter<AttrId, Values>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

/// Why stored bytes are not an image.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum ImageError {
    /// The first byte is no known version.
    #[error("image has format version {0}, this program reads up to {VERSION}: use the newer program")]
    Version(u8),
    /// The bytes end early, a length is wrong, text is not UTF-8, a tag is unknown, or ids are out of order.
    #[error("image is damaged at byte {0}")]
    Damaged(usize),
}

/// An owned image: checked bytes, shared by its clones.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Image(Arc<[u8]>);

impl Image {
    /// An image without attributes.
    #[must_use]
    pub fn empty() -> Self {
        Self(Arc::new([VERSION]))
    }

    /// Encodes a bag.
    #[must_use]
    pub fn from_bag(bag: &Bag) -> Self {
        Self::encode(bag.len(), bag.iter().map(|(id, values)| (id, values.as_slice())))
    }

    /// Encodes values in the order given, repeated ones too: for evaluation outside of a sync. It is not the image of
    /// an object, and nothing is compared by its bytes.
    #[must_use]
    pub fn from_lists(lists: &BTreeMap<AttrId, Vec<Value>>) -> Self {
        let filled = lists.iter().filter(|(_, values)| !values.is_empty());
        Self::encode(lists.len(), filled.map(|(&id, values)| (id, values.as_slice())))
    }

    fn encode<'v>(count: usize, attributes: impl Iterator<Item = (AttrId, &'v [Value])>) -> Self {
        let mut out = ImageBuilder::with_capacity(64 + count * 32);
        for (id, values) in attributes {
            out.list(id, values);
        }
        out.finish()
    }

    /// Takes bytes from storage and checks all of them once, so that later scans cannot fail.
    pub fn from_bytes(bytes: impl Into<Arc<[u8]>>) -> Result<Self, ImageError> {
        let bytes = bytes.into();
        check(&bytes)?;
        Ok(Self(bytes))
    }

    /// The stored form.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// For scanning.
    #[must_use]
    pub fn as_ref(&self) -> ImageRef<'_> {
        ImageRef(&self.0)
    }

    /// The hash that tells whether anything changed.
    #[must_use]
    pub fn hash(&self) -> Hash128 {
        hash128(&[&self.0])
    }

    /// Decodes all of it.
    #[must_use]
    pub fn to_bag(&self) -> Bag {
        self.as_ref().iter().filter_map(|(id, values)| Some((id, values.to_values()?))).collect()
    }
}

impl Default for Image {
    fn default() -> Self {
        Self::empty()
    }
}

/// Makes an image of attributes that come in the order of their ids, each once.
#[derive(Debug)]
pub struct ImageBuilder(Vec<u8>);

impl ImageBuilder {
    /// Begins.
    #[must_use]
    pub fn new() -> Self {
        Self::with_capacity(255)
    }

    /// Begins, with room for so many bytes.
    #[must_use]
    pub fn with_capacity(bytes: usize) -> Self {
        let mut out = Vec::with_capacity(bytes + 1);
        out.push(VERSION);
        Self(out)
    }

    /// The next attribute.
    pub fn push(&mut self, id: AttrId, values: &ValuesCow<'_>) {
        put_number(&mut self.0, u64::from(id.0));
        put_number(&mut self.0, values.count() as u64);
        match values {
            ValuesCow::Stored(values) => self.0.extend_from_slice(values.bytes),
            other => other.iter().for_each(|value| put_value(&mut self.0, value)),
        }
    }

    /// Ends.
    #[must_use]
    pub fn finish(self) -> Image {
        Image(self.0.into())
    }

    fn list(&mut self, id: AttrId, values: &[Value]) {
        put_number(&mut self.0, u64::from(id.0));
        put_number(&mut self.0, values.len() as u64);
        for value in values {
            put_value(&mut self.0, value.as_ref());
        }
    }
}

impl Default for ImageBuilder {
    fn default() -> Self {
        Self::new()
    }
}

/// A checked image, borrowed.
#[derive(Clone, Copy, Debug)]
pub struct ImageRef<'a>(&'a [u8]);

impl<'a> ImageRef<'a> {
    /// Its attributes in the order of their ids.
    #[must_use]
    pub fn iter(self) -> AttributeIter<'a> {
        AttributeIter { rest: self.0.get(1..).unwrap_or_default() }
    }

    /// Where each attribute is: for an object of which many are asked.
    #[must_use]
    pub fn index(self) -> ImageIndex<'a> {
        // Nobody knows how many there are: most objects have fewer.
        let mut all = Vec::with_capacity(96);
        let mut attributes = self.iter();
        while let Some(one) = attributes.advance() {
            all.push(one);
        }
        ImageIndex::new(all)
    }

    /// The values of one attribute.
    #[must_use]
    pub fn get(self, attribute: AttrId) -> Option<ValuesRef<'a>> {
        self.iter()
            .take_while(|(id, _)| *id <= attribute)
            .find(|(id, _)| *id == attribute)
            .map(|(_, values)| values)
    }
}

/// Iterates over the attributes of an image.
#[derive(Clone, Debug)]
pub struct AttributeIter<'a> {
    rest: &'a [u8],
}

impl<'a> AttributeIter<'a> {
    /// The next attribute: apart, so that what goes through all of them has it at its place.
    #[inline(always)]
    fn advance(&mut self) -> Option<(AttrId, ValuesRef<'a>)> {
        let mut rest = self.rest;
        let id = take_number(&mut rest)?;
        let count = take_number(&mut rest)?;
        let start = rest;
        for _ in 0..count {
            take_bytes(&mut rest)?;
        }
        let bytes = start.get(..start.len() - rest.len())?;
        self.rest = rest;
        Some((AttrId(id as u32), ValuesRef { count: count as u32, bytes }))
    }
}

impl<'a> Iterator for AttributeIter<'a> {
    type Item = (AttrId, ValuesRef<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        self.advance()
    }
}

/// The values of one attribute, borrowed from an image.
#[derive(Clone, Copy, Debug)]
pub struct ValuesRef<'a> {
    count: u32,
    bytes: &'a [u8],
}

impl<'a> ValuesRef<'a> {
    /// How many values there are: at least one.
    #[must_use]
    pub fn count(self) -> usize {
        self.count as usize
    }

    /// Whether an attribute of this type holds them as they are: each is of the type, where it is known, and no text is
    /// empty.
    #[must_use]
    #[inline]
    pub fn are(self, kind: Option<AttributeType>) -> bool {
        let wanted = kind.map(|kind| match kind {
            AttributeType::String => (TAG_STRING, TAG_STRING),
            AttributeType::Integer => (TAG_INTEGER, TAG_INTEGER),
            AttributeType::Boolean => (TAG_FALSE, TAG_TRUE),
            AttributeType::Binary => (TAG_BINARY, TAG_BINARY),
            AttributeType::Time => (TAG_TIME, TAG_TIME),
            AttributeType::Reference => (TAG_REFERENCE, TAG_REFERENCE),
        });
        let mut rest = self.bytes;
        while let Some((tag, bytes)) = take_bytes(&mut rest) {
            if tag == TAG_STRING && bytes.is_empty()
                || wanted.is_some_and(|(first, last)| !(first..=last).contains(&tag))
            {
                return false;
            }
        }
        true
    }

    /// The values in canonical order.
    #[must_use]
    pub fn iter(self) -> ValueIter<'a> {
        ValueIter { rest: self.bytes }
    }

    /// The first value.
    #[must_use]
    pub fn first(self) -> Option<ValueRef<'a>> {
        self.iter().next()
    }

    /// An owned copy.
    #[must_use]
    pub fn to_values(self) -> Option<Values> {
        Values::new(self.iter().map(ValueRef::to_owned).collect())
    }

    /// Whether it is exactly this one value.
    #[must_use]
    pub fn is(self, value: ValueRef<'_>) -> bool {
        let mut rest = self.bytes;
        self.count == 1
            && take_bytes(&mut rest).is_some_and(|(tag, bytes)| match value {
                ValueRef::String(text) => tag == TAG_STRING && bytes == text.as_bytes(),
                ValueRef::Reference(text) => tag == TAG_REFERENCE && bytes == text.as_bytes(),
                ValueRef::Binary(binary) => tag == TAG_BINARY && bytes == binary,
                ValueRef::Boolean(value) => tag == if value { TAG_TRUE } else { TAG_FALSE },
                ValueRef::Integer(number) => tag == TAG_INTEGER && bytes == number.to_le_bytes(),
                ValueRef::Time(time) => tag == TAG_TIME && bytes == time.ticks().to_le_bytes(),
            })
    }

    /// Whether all values are texts of at most so many bytes that begin and end with a visible character of ASCII.
    #[must_use]
    pub fn are_plain_texts(self, bytes_max: usize) -> bool {
        let mut rest = self.bytes;
        while let Some((tag, bytes)) = take_bytes(&mut rest) {
            let ends = [bytes.first(), bytes.last()];
            let plain = ends.iter().all(|byte| byte.is_some_and(u8::is_ascii_graphic));
            if tag != TAG_STRING || bytes.len() > bytes_max || !plain {
                return false;
            }
        }
        true
    }

    /// The length of the stored bytes.
    #[must_use]
    pub fn stored_len(self) -> usize {
        self.bytes.len()
    }

    /// Whether these are the same values.
    #[must_use]
    pub fn equals(self, values: &Values) -> bool {
        self.count() == values.as_slice().len()
            && self.iter().zip(values.as_slice()).all(|(a, b)| a == b.as_ref())
    }

    /// Whether the stored bytes, and so the values, are equal.
    #[must_use]
    pub fn same_as(self, other: ValuesRef<'_>) -> bool {
        self.bytes == other.bytes
    }
}

/// Iterates over the values of one attribute.
#[derive(Clone, Debug)]
pub struct ValueIter<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for ValueIter<'a> {
    type Item = ValueRef<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        take_value(&mut self.rest)
    }
}

fn put_number(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn put_value(out: &mut Vec<u8>, value: ValueRef<'_>) {
    let mut put = |tag: u8, bytes: &[u8]| {
        out.push(tag);
        put_number(out, bytes.len() as u64);
        out.extend_from_slice(bytes);
    };
    match value {
        ValueRef::String(s) => put(TAG_STRING, s.as_bytes()),
        ValueRef::Integer(n) => put(TAG_INTEGER, &n.to_le_bytes()),
        ValueRef::Boolean(b) => put(if b { TAG_TRUE } else { TAG_FALSE }, &[]),
        ValueRef::Binary(b) => put(TAG_BINARY, b),
        ValueRef::Time(t) => put(TAG_TIME, &t.ticks().to_le_bytes()),
        ValueRef::Reference(r) => put(TAG_REFERENCE, r.as_bytes()),
    }
}

#[inline]
fn take_number(rest: &mut &[u8]) -> Option<u64> {
    let (&first, tail) = rest.split_first()?;
    if first < 0x80 {
        *rest = tail; // most of them
        return Some(u64::from(first));
    }
    let (&second, tail) = tail.split_first()?;
    if second < 0x80 {
        *rest = tail; // nearly all others
        return Some(u64::from(first & 0x7f) | u64::from(second) << 7);
    }
    take_long_number(rest)
}

fn take_long_number(rest: &mut &[u8]) -> Option<u64> {
    let mut number = 0u64;
    for shift in (0..64).step_by(7) {
        let (&byte, tail) = rest.split_first()?;
        *rest = tail;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

/// Tag and bytes of a value, without a look at what they say.
#[inline]
fn take_bytes<'a>(rest: &mut &'a [u8]) -> Option<(u8, &'a [u8])> {
    let (&tag, tail) = rest.split_first()?;
    *rest = tail;
    let length = usize::try_from(take_number(rest)?).ok()?;
    let (bytes, tail) = rest.split_at_checked(length)?;
    *rest = tail;
    Some((tag, bytes))
}

fn take_value<'a>(rest: &mut &'a [u8]) -> Option<ValueRef<'a>> {
    let (tag, bytes) = take_bytes(rest)?;
    Some(match tag {
        TAG_STRING => ValueRef::String(str::from_utf8(bytes).ok()?),
        TAG_INTEGER => ValueRef::Integer(i64::from_le_bytes(bytes.try_into().ok()?)),
        TAG_FALSE => ValueRef::Boolean(false),
        TAG_TRUE => ValueRef::Boolean(true),
        TAG_BINARY => ValueRef::Binary(bytes),
        TAG_TIME => ValueRef::Time(Time::from_ticks(i64::from_le_bytes(bytes.try_into().ok()?))),
        TAG_REFERENCE => ValueRef::Reference(str::from_utf8(bytes).ok()?),
        _ => return None,
    })
}

fn check(bytes: &[u8]) -> Result<(), ImageError> {
    let (&version, mut rest) = bytes.split_first().ok_or(ImageError::Damaged(0))?;
    if version != VERSION {
        return Err(ImageError::Version(version));
    }
    let mut last = None;
    while !rest.is_empty() {
        let damaged = ImageError::Damaged(bytes.len() - rest.len());
        let id = take_number(&mut rest).and_then(|id| u32::try_from(id).ok());
        let count = take_number(&mut rest).filter(|&count| count > 0);
        let (Some(id), Some(count)) = (id, count) else { return Err(damaged) };
        if last.is_some_and(|last| last >= id) {
            return Err(damaged);
        }
        last = Some(id);
        for _ in 0..count {
            if take_value(&mut rest).is_none() {
                return Err(damaged);
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::Value;

    fn value() -> impl Strategy<Value = Value> {
        prop_oneof![
            ".{0,40}".prop_map(Value::string),
            any::<i64>().prop_map(Value::Integer),
            any::<bool>().prop_map(Value::Boolean),
            any::<Vec<u8>>().prop_map(Value::binary),
            any::<i64>().prop_map(|n| Value::Time(Time::from_ticks(n))),
            ".{0,40}".prop_map(Value::reference),
        ]
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(attributes in prop::collection::btree_map(any::<u32>(), prop::collection::vec(value(), 1..5), 0..8)) {
            let bag: Bag = attributes.into_iter().filter_map(|(id, v)| Some((AttrId(id), Values::new(v)?))).collect();
            let image = Image::from_bag(&bag);
            prop_assert_eq!(image.to_bag(), bag.clone());
            prop_assert_eq!(Image::from_bytes(image.as_bytes()), Ok(image.clone()));
            for (id, values) in bag.iter() {
                let read = image.as_ref().get(id).and_then(ValuesRef::to_values);
                prop_assert_eq!(read.as_ref(), Some(values));
                let found = image.as_ref().index().get(id).and_then(ValuesRef::to_values);
                prop_assert_eq!(found.as_ref(), Some(values));
                let stored = image.as_ref().get(id).unwrap();
                let filled = values.as_slice().iter().all(|value| value != &Value::string(""));
                prop_assert_eq!(stored.are(None), filled);
                let first = values.first().as_ref().kind();
                let alike = values.as_slice().iter().all(|value| value.as_ref().kind() == first);
                prop_assert_eq!(stored.are(Some(first)), filled && alike);
                prop_assert_eq!(stored.is(values.first().as_ref()), values.as_slice().len() == 1);
                prop_assert!(!stored.is(ValueRef::String("another value than all of these")));
                let plain = |value: &Value| match value {
                    Value::String(text) => {
                        let ends = |c: char| c.is_ascii_graphic();
                        text.len() <= 9 && text.starts_with(ends) && text.ends_with(ends)
                    }
                    _ => false,
                };
                prop_assert_eq!(stored.are_plain_texts(9), values.as_slice().iter().all(plain));
                let another = AttrId(id.0.wrapping_add(1));
                prop_assert_eq!(image.as_ref().index().get(another).is_some(), bag.get(another).is_some());
                for (other, others) in bag.iter() {
                    let equal = image.as_ref().get(other).unwrap().equals(values);
                    prop_assert_eq!(equal, others == values);
                }
            }
        }

        #[test]
        fn an_image_is_made_of_parts_of_others(values in prop::collection::vec(prop::collection::vec(value(), 1..4), 0..5)) {
            let bag: Bag = (0..).map(|n| AttrId(n * 70)).zip(values.into_iter().filter_map(Values::new)).collect();
            let image = Image::from_bag(&bag);
            let (mut stored, mut lent) = (ImageBuilder::new(), ImageBuilder::new());
            for (id, values) in image.as_ref().iter() {
                stored.push(id, &values.into());
            }
            bag.iter().for_each(|(id, values)| lent.push(id, &values.into()));
            prop_assert_eq!(stored.finish(), image.clone());
            prop_assert_eq!(lent.finish(), image);
        }

        #[test]
        fn damaged_bytes_are_refused_without_panic(mut bytes in any::<Vec<u8>>()) {
            if let Some(first) = bytes.first_mut() { *first = VERSION; }
            if let Ok(image) = Image::from_bytes(bytes) {
                let _ = image.to_bag();
            }
        }
    }

    #[test]
    fn a_newer_format_is_named() {
        assert_eq!(Image::from_bytes(vec![9, 1]), Err(ImageError::Version(9)));
        assert_eq!(Image::from_bytes(vec![]), Err(ImageError::Damaged(0)));
        assert_eq!(Image::from_bytes(vec![1, 4, 1, TAG_STRING, 9]), Err(ImageError::Damaged(1)));
    }
}
