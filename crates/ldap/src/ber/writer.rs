//! The encoder: it appends elements to one buffer and sets the length of a constructed element when it ends.

use super::{BOOLEAN, ENUMERATED, INTEGER, OCTETS};

/// Appends elements in their shortest form.
#[derive(Debug, Default)]
pub struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    /// Starts an empty buffer.
    pub const fn new() -> Self {
        Self { bytes: Vec::new() }
    }

    /// Gives what was written.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// Writes a constructed element whose content `content` writes.
    pub fn constructed(&mut self, tag: u8, content: impl FnOnce(&mut Self)) {
        let start = self.begin(tag);
        content(self);
        self.end(start);
    }

    /// Writes a primitive element.
    pub fn primitive(&mut self, tag: u8, content: &[u8]) {
        self.bytes.push(tag);
        let (octets, used) = length(content.len());
        self.bytes.extend(octets.into_iter().take(used));
        self.bytes.extend_from_slice(content);
    }

    /// Appends elements that are encoded already.
    pub fn raw(&mut self, elements: &[u8]) {
        self.bytes.extend_from_slice(elements);
    }

    /// Writes an OCTET STRING.
    pub fn octets(&mut self, content: &[u8]) {
        self.primitive(OCTETS, content);
    }

    /// Writes a BOOLEAN.
    pub fn boolean(&mut self, value: bool) {
        self.boolean_as(BOOLEAN, value);
    }

    /// Writes a BOOLEAN under another tag.
    pub fn boolean_as(&mut self, tag: u8, value: bool) {
        self.primitive(tag, &[if value { 0xff } else { 0 }]);
    }

    /// Writes an INTEGER.
    pub fn integer(&mut self, value: i64) {
        self.integer_as(INTEGER, value);
    }

    /// Writes an ENUMERATED.
    pub fn enumerated(&mut self, value: u32) {
        self.integer_as(ENUMERATED, i64::from(value));
    }

    /// Writes an INTEGER under another tag.
    pub fn integer_as(&mut self, tag: u8, value: i64) {
        let octets = value.to_be_bytes();
        // octets that only repeat the sign are left out
        let redundant = octets
            .iter()
            .zip(octets.iter().skip(1))
            .take_while(|&(&octet, &next)| {
                (octet == 0 && next & 0x80 == 0) || (octet == 0xff && next & 0x80 != 0)
            })
            .count();
        self.primitive(tag, octets.get(redundant..).unwrap_or(&octets));
    }

    fn begin(&mut self, tag: u8) -> usize {
        self.bytes.push(tag);
        self.bytes.len()
    }

    fn end(&mut self, start: usize) {
        let (octets, used) = length(self.bytes.len() - start);
        self.bytes.splice(start..start, octets.into_iter().take(used));
    }
}

/// Gives the length octets and how many of them count.
fn length(content: usize) -> ([u8; 9], usize) {
    let mut octets = [0u8; 9];
    let big = (content as u64).to_be_bytes();
    let leading = big.iter().take_while(|&&octet| octet == 0).count();
    let significant = big.len() - leading;
    let long_form = content >= 0x80;
    let first = if long_form { 0x80 | significant as u8 } else { content as u8 };
    let tail = if long_form { big.get(leading..).unwrap_or_default() } else { &[] };
    for (slot, octet) in octets.iter_mut().zip(std::iter::once(&first).chain(tail)) {
        *slot = *octet;
    }
    (octets, if long_form { 1 + significant } else { 1 })
}

#[cfg(test)]
mod tests {
    use super::super::{SEQUENCE, header};
    use super::*;

    fn written(write: impl FnOnce(&mut Writer)) -> Vec<u8> {
        let mut writer = Writer::new();
        write(&mut writer);
        writer.into_bytes()
    }

    #[test]
    fn integers_are_as_short_as_possible() {
        assert_eq!(written(|w| w.integer(0)), [2, 1, 0]);
        assert_eq!(written(|w| w.integer(127)), [2, 1, 127]);
        assert_eq!(written(|w| w.integer(128)), [2, 2, 0, 128]);
        assert_eq!(written(|w| w.integer(-1)), [2, 1, 0xff]);
        assert_eq!(written(|w| w.integer(i64::from(i32::MIN))), [2, 4, 0x80, 0, 0, 0]);
        assert_eq!(written(|w| w.integer(i64::MAX)).len(), 10);
    }

    #[test]
    fn lengths_around_every_boundary() {
        for size in [0usize, 1, 127, 128, 255, 256, 65_535, 65_536] {
            let content = vec![7u8; size];
            for bytes in
                [written(|w| w.octets(&content)), written(|w| w.constructed(SEQUENCE, |w| w.raw(&content)))]
            {
                let head = header(&bytes).expect("a valid header").expect("a whole header");
                assert_eq!(head.content_len, size);
                assert_eq!(head.total_len(), Ok(bytes.len()));
            }
        }
    }
}
