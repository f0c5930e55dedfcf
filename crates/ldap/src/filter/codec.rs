//! Filters in BER. Both directions stop at [`FILTER_DEPTH_MAX`], so neither can exhaust the stack.

use bytes::Bytes;

use super::{Extensible, FILTER_DEPTH_MAX, Filter, Substrings};
use crate::ber::{CodecError, OCTETS, Reader, SEQUENCE, Writer, context, context_constructed};

const AND: u8 = context_constructed(0);
const OR: u8 = context_constructed(1);
const NOT: u8 = context_constructed(2);
const EQUAL: u8 = context_constructed(3);
const SUBSTRINGS: u8 = context_constructed(4);
const GREATER: u8 = context_constructed(5);
const LESS: u8 = context_constructed(6);
const PRESENT: u8 = context(7);
const APPROX: u8 = context_constructed(8);
const EXTENSIBLE: u8 = context_constructed(9);

impl Filter {
    /// Writes the filter.
    ///
    /// # Errors
    /// When it is nested too deeply; nothing is written then.
    pub fn encode(&self, writer: &mut Writer) -> Result<(), CodecError> {
        if !self.is_within(FILTER_DEPTH_MAX) {
            return Err(CodecError::TooDeep);
        }
        self.write(writer);
        Ok(())
    }

    fn write(&self, writer: &mut Writer) {
        match self {
            Self::And(parts) => writer.constructed(AND, |w| parts.iter().for_each(|part| part.write(w))),
            Self::Or(parts) => writer.constructed(OR, |w| parts.iter().for_each(|part| part.write(w))),
            Self::Not(part) => writer.constructed(NOT, |w| part.write(w)),
            Self::Equal(attribute, value) => assertion(writer, EQUAL, attribute, value),
            Self::GreaterOrEqual(attribute, value) => assertion(writer, GREATER, attribute, value),
            Self::LessOrEqual(attribute, value) => assertion(writer, LESS, attribute, value),
            Self::Approx(attribute, value) => assertion(writer, APPROX, attribute, value),
            Self::Present(attribute) => writer.primitive(PRESENT, attribute.as_bytes()),
            Self::Substrings(parts) => writer.constructed(SUBSTRINGS, |w| {
                w.octets(parts.attribute.as_bytes());
                w.constructed(SEQUENCE, |w| {
                    parts.initial.iter().for_each(|part| w.primitive(context(0), part));
                    parts.any.iter().for_each(|part| w.primitive(context(1), part));
                    parts.last.iter().for_each(|part| w.primitive(context(2), part));
                });
            }),
            Self::Extensible(parts) => writer.constructed(EXTENSIBLE, |w| {
                parts.rule.iter().for_each(|rule| w.primitive(context(1), rule.as_bytes()));
                parts.attribute.iter().for_each(|name| w.primitive(context(2), name.as_bytes()));
                w.primitive(context(3), &parts.value);
                if parts.dn_attributes {
                    w.boolean_as(context(4), true);
                }
            }),
        }
    }

    /// Reads the next element as a filter; `message` is what `reader` reads from.
    ///
    /// # Errors
    /// When it is none, or nested too deeply.
    pub fn decode(message: &Bytes, reader: &mut Reader<'_>) -> Result<Self, CodecError> {
        read(message, reader, FILTER_DEPTH_MAX)
    }
}

fn assertion(writer: &mut Writer, tag: u8, attribute: &str, value: &[u8]) {
    writer.constructed(tag, |w| {
        w.octets(attribute.as_bytes());
        w.octets(value);
    });
}

fn read(message: &Bytes, reader: &mut Reader<'_>, levels: u8) -> Result<Filter, CodecError> {
    let below = levels.checked_sub(1).ok_or(CodecError::TooDeep)?;
    let (tag, content) = reader.element()?;
    let mut inside = reader.inside(content)?;
    Ok(match tag {
        AND => Filter::And(read_all(message, &mut inside, below)?),
        OR => Filter::Or(read_all(message, &mut inside, below)?),
        NOT => Filter::Not(Box::new(read(message, &mut inside, below)?)),
        EQUAL => {
            let (attribute, value) = read_assertion(message, &mut inside)?;
            Filter::Equal(attribute, value)
        }
        GREATER => {
            let (attribute, value) = read_assertion(message, &mut inside)?;
            Filter::GreaterOrEqual(attribute, value)
        }
        LESS => {
            let (attribute, value) = read_assertion(message, &mut inside)?;
            Filter::LessOrEqual(attribute, value)
        }
        APPROX => {
            let (attribute, value) = read_assertion(message, &mut inside)?;
            Filter::Approx(attribute, value)
        }
        PRESENT => Filter::Present(attribute_name(content)?),
        SUBSTRINGS => Filter::Substrings(read_substrings(message, &mut inside)?),
        EXTENSIBLE => Filter::Extensible(read_extensible(message, &mut inside)?),
        _ => return Err(CodecError::Undefined("a filter's choice")),
    })
}

fn read_all(message: &Bytes, inside: &mut Reader<'_>, levels: u8) -> Result<Vec<Filter>, CodecError> {
    let mut parts = Vec::new();
    while !inside.is_empty() {
        parts.push(read(message, inside, levels)?);
    }
    Ok(parts)
}

fn read_assertion(message: &Bytes, inside: &mut Reader<'_>) -> Result<(String, Bytes), CodecError> {
    let attribute = attribute_name(inside.octets()?)?;
    Ok((attribute, message.slice_ref(inside.octets()?)))
}

fn read_substrings(message: &Bytes, inside: &mut Reader<'_>) -> Result<Substrings, CodecError> {
    let mut parts = Substrings { attribute: attribute_name(inside.expect(OCTETS)?)?, ..Default::default() };
    let mut list = inside.enter(SEQUENCE)?;
    while !list.is_empty() {
        let (tag, content) = list.element()?;
        let value = message.slice_ref(content);
        let first = parts.initial.is_none() && parts.any.is_empty();
        match tag {
            _ if parts.last.is_some() => return Err(CodecError::Undefined("a substring filter")),
            0x80 if first => parts.initial = Some(value),
            0x81 => parts.any.push(value),
            0x82 => parts.last = Some(value),
            _ => return Err(CodecError::Undefined("a substring filter")),
        }
    }
    if parts.initial.is_none() && parts.any.is_empty() && parts.last.is_none() {
        return Err(CodecError::Undefined("a substring filter"));
    }
    Ok(parts)
}

fn read_extensible(message: &Bytes, inside: &mut Reader<'_>) -> Result<Extensible, CodecError> {
    let rule = inside.optional(context(1))?.map(attribute_name).transpose()?;
    let attribute = inside.optional(context(2))?.map(attribute_name).transpose()?;
    let value = message.slice_ref(inside.expect(context(3))?);
    let dn_attributes = match inside.optional(context(4))? {
        Some(content) => crate::ber::boolean(content)?,
        None => false,
    };
    Ok(Extensible { attribute, rule, value, dn_attributes })
}

fn attribute_name(content: &[u8]) -> Result<String, CodecError> {
    Ok(crate::ber::text(content, "an attribute name in a filter")?.to_owned())
}
