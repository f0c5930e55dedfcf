//! The borrowed reader: a cursor over the content of one constructed element.

use super::{BOOLEAN, CodecError, DEPTH_MAX, ENUMERATED, INTEGER, OCTETS};

/// The start of an element: its tag, the size of tag and length together, and the size of its content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// The tag.
    pub tag: u8,
    /// Octets of tag and length.
    pub header_len: usize,
    /// Octets of the content.
    pub content_len: usize,
}

impl Header {
    /// Gives the size of the whole element.
    ///
    /// # Errors
    /// When the size does not fit in memory.
    pub fn total_len(self) -> Result<usize, CodecError> {
        self.header_len.checked_add(self.content_len).ok_or(CodecError::Length)
    }
}

/// Reads the start of an element; `None` when more bytes are needed to see it whole.
///
/// # Errors
/// When the tag or the length is in a form that LDAP forbids.
pub fn header(bytes: &[u8]) -> Result<Option<Header>, CodecError> {
    let Some((&tag, rest)) = bytes.split_first() else { return Ok(None) };
    if tag & 0x1f == 0x1f {
        return Err(CodecError::LongTag);
    }
    let Some((&first, rest)) = rest.split_first() else { return Ok(None) };
    if first < 0x80 {
        return Ok(Some(Header { tag, header_len: 2, content_len: usize::from(first) }));
    }
    // 0x80 is the indefinite form, 0xff is reserved; more than 8 octets cannot be a real size
    let octets = usize::from(first & 0x7f);
    if octets == 0 || octets > 8 {
        return Err(CodecError::Length);
    }
    let Some(length) = rest.get(..octets) else { return Ok(None) };
    let length = length.iter().fold(0u64, |sum, &octet| (sum << 8) | u64::from(octet));
    let content_len = usize::try_from(length).map_err(|_| CodecError::Length)?;
    Ok(Some(Header { tag, header_len: 2 + octets, content_len }))
}

/// A cursor over elements that stand side by side.
#[derive(Debug, Clone, Copy)]
pub struct Reader<'a> {
    rest: &'a [u8],
    depth: u8,
}

impl<'a> Reader<'a> {
    /// Reads the elements of `bytes`.
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes, depth: 0 }
    }

    /// Says whether nothing is left.
    pub const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// Gives the bytes not read yet.
    pub const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Gives the tag of the next element without reading it.
    pub fn peek(&self) -> Option<u8> {
        self.rest.first().copied()
    }

    /// Reads the next element, whatever it is.
    ///
    /// # Errors
    /// When there is none, or when it is malformed.
    pub fn element(&mut self) -> Result<(u8, &'a [u8]), CodecError> {
        let head = header(self.rest)?.ok_or(CodecError::Truncated)?;
        let end = head.total_len()?;
        let content = self.rest.get(head.header_len..end).ok_or(CodecError::Truncated)?;
        self.rest = self.rest.get(end..).ok_or(CodecError::Truncated)?;
        Ok((head.tag, content))
    }

    /// Reads the next element, which must have this tag.
    ///
    /// # Errors
    /// When it has another one, is missing or malformed.
    pub fn expect(&mut self, tag: u8) -> Result<&'a [u8], CodecError> {
        let (found, content) = self.element()?;
        if found == tag { Ok(content) } else { Err(CodecError::Tag { expected: tag, found }) }
    }

    /// Reads the next element if it has this tag.
    ///
    /// # Errors
    /// When the element is malformed.
    pub fn optional(&mut self, tag: u8) -> Result<Option<&'a [u8]>, CodecError> {
        if self.peek() == Some(tag) { self.element().map(|(_, content)| Some(content)) } else { Ok(None) }
    }

    /// Enters the next element, which must be constructed and have this tag.
    ///
    /// # Errors
    /// When it has another one, is missing or malformed, or when the nesting is too deep.
    pub fn enter(&mut self, tag: u8) -> Result<Reader<'a>, CodecError> {
        let content = self.expect(tag)?;
        self.inside(content)
    }

    /// Gives a reader for the content of an element that this reader gave, one level deeper.
    ///
    /// # Errors
    /// When the nesting is too deep.
    pub const fn inside(&self, content: &'a [u8]) -> Result<Reader<'a>, CodecError> {
        if self.depth >= DEPTH_MAX {
            return Err(CodecError::TooDeep);
        }
        Ok(Reader { rest: content, depth: self.depth + 1 })
    }

    /// Reads an OCTET STRING.
    ///
    /// # Errors
    /// When the next element is none.
    pub fn octets(&mut self) -> Result<&'a [u8], CodecError> {
        self.expect(OCTETS)
    }

    /// Reads an OCTET STRING that must be UTF-8; `what` names it in the error.
    ///
    /// # Errors
    /// When the next element is none, or not UTF-8.
    pub fn text(&mut self, what: &'static str) -> Result<&'a str, CodecError> {
        text(self.octets()?, what)
    }

    /// Reads an INTEGER; `what` names it in the error.
    ///
    /// # Errors
    /// When the next element is none, or out of range.
    pub fn integer(&mut self, what: &'static str) -> Result<i64, CodecError> {
        integer(self.expect(INTEGER)?, what)
    }

    /// Reads an INTEGER of 32 bits; `what` names it in the error.
    ///
    /// # Errors
    /// When the next element is none, or out of range.
    pub fn integer_i32(&mut self, what: &'static str) -> Result<i32, CodecError> {
        i32::try_from(self.integer(what)?).map_err(|_| CodecError::Integer(what))
    }

    /// Reads an INTEGER from zero to the largest that the protocol knows; `what` names it in the error.
    ///
    /// # Errors
    /// When the next element is none, or out of range.
    pub fn natural(&mut self, what: &'static str) -> Result<i32, CodecError> {
        natural(self.integer(what)?, what)
    }

    /// Reads an ENUMERATED; `what` names it in the error.
    ///
    /// # Errors
    /// When the next element is none, or out of range.
    pub fn enumerated(&mut self, what: &'static str) -> Result<u32, CodecError> {
        let number = integer(self.expect(ENUMERATED)?, what)?;
        u32::try_from(number).map_err(|_| CodecError::Integer(what))
    }

    /// Reads a BOOLEAN that may be left out.
    ///
    /// # Errors
    /// When it is not one octet long.
    pub fn boolean_or(&mut self, default: bool) -> Result<bool, CodecError> {
        self.optional(BOOLEAN)?.map_or(Ok(default), boolean)
    }
}

/// Reads the content of a BOOLEAN.
pub(crate) const fn boolean(content: &[u8]) -> Result<bool, CodecError> {
    match content {
        [octet] => Ok(*octet != 0),
        _ => Err(CodecError::Boolean),
    }
}

/// A number from zero to the largest that the protocol knows.
pub(crate) fn natural(number: i64, what: &'static str) -> Result<i32, CodecError> {
    i32::try_from(number).ok().filter(|number| *number >= 0).ok_or(CodecError::Integer(what))
}

/// Reads the content of an INTEGER or ENUMERATED.
pub(crate) fn integer(content: &[u8], what: &'static str) -> Result<i64, CodecError> {
    let Some(&first) = content.first() else { return Err(CodecError::Integer(what)) };
    if content.len() > 8 {
        return Err(CodecError::Integer(what));
    }
    let sign = if first & 0x80 == 0 { 0i64 } else { -1i64 };
    Ok(content.iter().fold(sign, |sum, &octet| (sum << 8) | i64::from(octet)))
}

/// Reads the content of a text.
pub(crate) fn text<'a>(content: &'a [u8], what: &'static str) -> Result<&'a str, CodecError> {
    std::str::from_utf8(content).map_err(|_| CodecError::Utf8(what))
}

#[cfg(test)]
mod tests {
    use super::super::SEQUENCE;
    use super::*;

    #[test]
    fn lengths_in_every_allowed_form() {
        for (bytes, header_len, content_len) in [
            (&[0x30, 0x05][..], 2, 5),
            (&[0x30, 0x81, 0x05], 3, 5),
            (&[0x30, 0x84, 0, 0, 0x10, 0], 6, 4096),
            (&[0x30, 0x88, 0, 0, 0, 0, 0, 0, 0, 7], 10, 7),
        ] {
            assert_eq!(header(bytes), Ok(Some(Header { tag: 0x30, header_len, content_len })));
        }
        assert_eq!(header(&[0x30]), Ok(None));
        assert_eq!(header(&[0x30, 0x82, 1]), Ok(None));
    }

    #[test]
    fn forbidden_headers() {
        assert_eq!(header(&[0x30, 0x80]), Err(CodecError::Length));
        assert_eq!(header(&[0x30, 0xff, 1, 1, 1, 1, 1, 1, 1, 1, 1]), Err(CodecError::Length));
        assert_eq!(header(&[0x1f, 0x81, 0x01]), Err(CodecError::LongTag));
        let huge = [0x04, 0x88, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
        assert_eq!(Reader::new(&huge).element(), Err(CodecError::Length));
    }

    #[test]
    fn integers() {
        for (content, number) in [
            (&[0x80, 0, 0, 0][..], i64::from(i32::MIN)),
            (&[0xff], -1),
            (&[0, 0x80], 128),
            (&[0, 0, 0, 0, 0, 0, 0, 5], 5),
            (&[0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], i64::MAX),
        ] {
            assert_eq!(integer(content, "n"), Ok(number));
        }
        assert!(integer(&[], "n").is_err());
        assert_eq!((natural(0, "n"), natural(i64::from(i32::MAX), "n")), (Ok(0), Ok(i32::MAX)));
        assert!(natural(-1, "n").is_err() && natural(1 << 31, "n").is_err());
        assert!(integer(&[0; 9], "n").is_err());
    }

    #[test]
    fn an_element_may_not_reach_behind_its_container() {
        let bytes = [SEQUENCE, 4, OCTETS, 5, 1, 2, 3];
        let mut inside = Reader::new(&bytes).enter(SEQUENCE).expect("the outer element is whole");
        assert_eq!(inside.octets(), Err(CodecError::Truncated));
    }

    #[test]
    fn nesting_has_a_limit() {
        let mut reader = Reader::new(&[]);
        for _ in 0..DEPTH_MAX {
            reader = reader.inside(&[]).expect("within the limit");
        }
        assert_eq!(reader.inside(&[]).map(|_| ()), Err(CodecError::TooDeep));
    }
}
