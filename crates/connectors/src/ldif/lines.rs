//! The lines of LDIF (RFC 2849): unfolded, taken apart at the colon, borrowed from one large buffer.
//!
//! Nothing is allocated per line: a line that is not folded is a slice of the buffer, a folded one is put together
//! in a second buffer that is reused. Deliberately absent: what attributes mean, and where records begin and end
//! (that is [`super::record`]'s), encodings other than UTF-8 and its superset of arbitrary bytes.

use std::io::Read;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use memchr::memchr;
use thiserror::Error;

/// Bytes read at once: large enough that system calls do not count, small enough to stay in the second-level cache.
const CHUNK: usize = 256 * 1024;

/// The longest logical line. A value of 32 MB as base64 fits; nothing in a directory is longer.
const LINE_MAX: usize = 64 * 1024 * 1024;

/// Why a line cannot be read.
#[derive(Debug, Error)]
pub enum LineError {
    /// The file cannot be read any further.
    #[error("cannot be read: {0}")]
    Read(#[from] std::io::Error),
    /// The line has no end within reason.
    #[error("a line is longer than {} MB: this is no LDIF", LINE_MAX / (1024 * 1024))]
    TooLong,
    /// The line is no `name: value`.
    #[error("`{0}` is no LDIF: expected `name: value`")]
    NoColon(String),
}

impl LineError {
    /// Whether nothing can be read after it.
    #[must_use]
    pub fn is_fatal(&self) -> bool {
        matches!(self, Self::Read(_) | Self::TooLong)
    }
}

/// One logical line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Line<'a> {
    /// `name: value` in one of its three forms.
    Attribute {
        /// What stands before the colon, options included.
        name: &'a [u8],
        /// What stands behind it.
        value: RawValue<'a>,
    },
    /// What follows `#`.
    Comment(&'a [u8]),
    /// An empty line: the end of a record.
    Separator,
    /// The end of the file.
    End,
}

/// A value as written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RawValue<'a> {
    /// `name: value`.
    Plain(&'a [u8]),
    /// `name:: base64`.
    Base64(&'a [u8]),
    /// `name:< URL`.
    Url(&'a [u8]),
}

impl RawValue<'_> {
    /// Whether the value was written as base64.
    #[must_use]
    pub fn is_base64(&self) -> bool {
        matches!(self, Self::Base64(_))
    }
}

/// Decodes a value; `scratch` holds what was base64. `None` for damaged base64 (the padding must be there: it shows
/// that a value was not cut off) and for URLs, which are not followed.
#[must_use]
pub fn decode<'a>(value: RawValue<'a>, scratch: &'a mut Vec<u8>) -> Option<&'a [u8]> {
    match value {
        RawValue::Plain(bytes) => Some(bytes),
        RawValue::Url(_) => None,
        RawValue::Base64(text) => {
            scratch.clear();
            BASE64.decode_vec(text, scratch).ok()?;
            Some(scratch)
        }
    }
}

/// Reads logical lines.
#[derive(Debug)]
pub struct Lines<R> {
    source: R,
    buffer: Vec<u8>,
    /// The part of the buffer that was read and not yet consumed.
    start: usize,
    end: usize,
    /// Where in the file the buffer begins.
    base: u64,
    at_end: bool,
    /// The number of the physical line that is read next, from 1.
    next_line: u64,
    /// The number of the physical line on which the last logical line began.
    line: u64,
    unfolded: Vec<u8>,
}

/// Where a logical line lies in the buffer.
struct Extent {
    /// Its physical lines.
    lines: u64,
    /// Behind its last line break.
    next: usize,
    /// The end of its first physical line, line break excluded.
    first_end: usize,
}

impl<R: Read> Lines<R> {
    /// Reads from `source`, whose next byte is at `offset` of the file, on line `line` (from 1).
    #[must_use]
    pub fn new(source: R, offset: u64, line: u64) -> Self {
        Self {
            source,
            buffer: Vec::new(),
            start: 0,
            end: 0,
            base: offset,
            at_end: false,
            next_line: line,
            line,
            unfolded: Vec::new(),
        }
    }

    /// The number of the physical line on which the last logical line began.
    #[must_use]
    pub fn line(&self) -> u64 {
        self.line
    }

    /// The number of the physical line that is read next.
    #[must_use]
    pub fn next_line(&self) -> u64 {
        self.next_line
    }

    /// Where in the file the next logical line begins.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.base + self.start as u64
    }

    /// The source, for seeking; what was buffered is forgotten.
    pub fn restart(&mut self, offset: u64, line: u64) -> &mut R {
        (self.start, self.end, self.at_end) = (0, 0, false);
        (self.base, self.next_line, self.line) = (offset, line, line);
        &mut self.source
    }

    /// Reads the next logical line.
    ///
    /// # Errors
    /// When the file cannot be read, or the line is none. After an error that is not
    /// [fatal](LineError::is_fatal) the next call reads the line after it.
    #[allow(clippy::should_implement_trait)] // a line is lent from the buffer, which an Iterator cannot do
    pub fn next(&mut self) -> Result<Line<'_>, LineError> {
        self.line = self.next_line;
        let Some(extent) = self.find_line()? else { return Ok(Line::End) };
        let begin = self.start;
        self.start = extent.next;
        self.next_line += extent.lines;
        let text: &[u8] = if extent.lines == 1 {
            &self.buffer[begin..extent.first_end]
        } else {
            unfold(&self.buffer[begin..extent.next], &mut self.unfolded);
            &self.unfolded
        };
        take_apart(text)
    }

    /// Makes sure that a whole logical line is in the buffer, and says where.
    fn find_line(&mut self) -> Result<Option<Extent>, LineError> {
        let mut searched = 0;
        let mut extent = Extent { lines: 0, next: 0, first_end: 0 };
        loop {
            let unread = &self.buffer[self.start..self.end];
            match memchr(b'\n', &unread[searched..]) {
                Some(at) => {
                    let newline = searched + at;
                    // The first byte of the next line says whether this one goes on.
                    match unread.get(newline + 1) {
                        Some(&following) => {
                            extent.note(newline, newline + 1, unread);
                            searched = newline + 1;
                            let empty = extent.lines == 1 && extent.first_end == 0;
                            if following != b' ' || empty {
                                return Ok(Some(extent.placed(self.start)));
                            }
                        }
                        None if self.at_end => {
                            extent.note(newline, newline + 1, unread);
                            return Ok(Some(extent.placed(self.start)));
                        }
                        None => {
                            searched = newline;
                            self.fill()?;
                        }
                    }
                }
                None if self.at_end => {
                    let end = unread.len();
                    if end == 0 {
                        return Ok(None);
                    }
                    if end > searched || extent.lines == 0 {
                        extent.note(end, end, unread);
                    }
                    return Ok(Some(extent.placed(self.start)));
                }
                None => {
                    searched = unread.len();
                    self.fill()?;
                }
            }
        }
    }

    /// Reads more into the buffer.
    fn fill(&mut self) -> Result<(), LineError> {
        if self.start > 0 {
            self.buffer.copy_within(self.start..self.end, 0);
            self.base += self.start as u64;
            self.end -= self.start;
            self.start = 0;
        }
        if self.end >= LINE_MAX {
            return Err(LineError::TooLong);
        }
        if self.buffer.len() - self.end < CHUNK {
            let size = (self.end * 2).max(self.end + CHUNK);
            self.buffer.resize(size, 0);
        }
        loop {
            match self.source.read(&mut self.buffer[self.end..]) {
                Ok(count) => {
                    self.end += count;
                    self.at_end = count == 0;
                    return Ok(());
                }
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

impl Extent {
    /// Notes one more physical line.
    fn note(&mut self, end: usize, next: usize, unread: &[u8]) {
        if self.lines == 0 {
            let carriage_return = end > 0 && unread.get(end - 1) == Some(&b'\r');
            self.first_end = end - usize::from(carriage_return);
        }
        self.lines += 1;
        self.next = next;
    }

    /// The same, counted from the begin of the buffer.
    fn placed(self, start: usize) -> Self {
        Self { lines: self.lines, next: self.next + start, first_end: self.first_end + start }
    }
}

/// Puts the physical lines of a folded line together: line breaks, and the space after each, go away.
fn unfold(folded: &[u8], out: &mut Vec<u8>) {
    out.clear();
    for (index, line) in folded.split(|&b| b == b'\n').enumerate() {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let line = if index == 0 { line } else { line.strip_prefix(b" ").unwrap_or(line) };
        out.extend_from_slice(line);
    }
}

fn take_apart(text: &[u8]) -> Result<Line<'_>, LineError> {
    match text.first() {
        None => return Ok(Line::Separator),
        Some(b'#') => return Ok(Line::Comment(text.get(1..).unwrap_or_default())),
        Some(_) => {}
    }
    let Some(colon) = memchr(b':', text).filter(|&at| at > 0) else {
        return Err(LineError::NoColon(excerpt(text)));
    };
    let (name, rest) = (&text[..colon], &text[colon + 1..]);
    let value = match rest.first() {
        Some(b':') => RawValue::Base64(rest[1..].trim_ascii()),
        Some(b'<') => RawValue::Url(rest[1..].trim_ascii()),
        Some(b' ') => RawValue::Plain(skip_spaces(rest)),
        _ => RawValue::Plain(rest),
    };
    Ok(Line::Attribute { name, value })
}

fn skip_spaces(text: &[u8]) -> &[u8] {
    let spaces = text.iter().take_while(|&&b| b == b' ').count();
    &text[spaces..]
}

/// The begin of a line, for a message.
#[must_use]
pub fn excerpt(text: &[u8]) -> String {
    const SHOWN: usize = 60;
    let shown = String::from_utf8_lossy(&text[..text.len().min(SHOWN)]);
    let mut shown: String = shown.chars().map(|c| if c.is_control() { '?' } else { c }).collect();
    if text.len() > SHOWN {
        shown.push_str("...");
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives one byte at a time: every boundary is hit.
    struct Dribble<'a>(&'a [u8]);

    impl Read for Dribble<'_> {
        fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
            let count = self.0.len().min(1);
            out[..count].copy_from_slice(&self.0[..count]);
            self.0 = &self.0[count..];
            Ok(count)
        }
    }

    fn all(source: impl Read) -> Vec<String> {
        let mut lines = Lines::new(source, 0, 1);
        let mut out = Vec::new();
        let mut scratch = Vec::new();
        loop {
            let text = match lines.next() {
                Ok(Line::End) => return out,
                Ok(Line::Separator) => "--".to_owned(),
                Ok(Line::Comment(text)) => format!("#{}", excerpt(text)),
                Ok(Line::Attribute { name, value }) => {
                    let decoded = decode(value, &mut scratch).map_or("?".to_owned(), excerpt);
                    format!("{}={decoded}", excerpt(name))
                }
                Err(error) => error.to_string(),
            };
            out.push(format!("{} {text}", lines.line()));
        }
    }

    #[test]
    fn lines_are_unfolded_decoded_and_numbered() {
        let text = "version: 1\n# a\n  comment\ndn: CN=very\n  long,DC=x\ncn:: QW5u\n YQ==\r\nsn:no space\nempty:\n\n\njpeg:< file:///x\nbad line\nlast: one";
        let expected = [
            "1 version=1",
            "2 #a comment",
            "4 dn=CN=very long,DC=x",
            "6 cn=Anna",
            "8 sn=no space",
            "9 empty=",
            "10 --",
            "11 --",
            "12 jpeg=?",
            "13 `bad line` is no LDIF: expected `name: value`",
            "14 last=one",
        ];
        let strip =
            |lines: Vec<String>| -> Vec<String> { lines.iter().map(|l| l.replace("# ", "#")).collect() };
        assert_eq!(strip(all(text.as_bytes())), expected);
        assert_eq!(strip(all(Dribble(text.as_bytes()))), expected);
        let windows = text.replace("\r\n", "\n").replace('\n', "\r\n");
        assert_eq!(strip(all(Dribble(windows.as_bytes()))), expected);
    }

    #[test]
    fn offsets_are_those_of_the_file() {
        let text = "a: 1\nb: 2\n  3\nc: 4\n";
        let mut lines = Lines::new(Dribble(text.as_bytes()), 100, 7);
        let mut offsets = vec![lines.offset()];
        while lines.next().is_ok_and(|line| line != Line::End) {
            offsets.push(lines.offset());
        }
        assert_eq!(offsets, [100, 105, 114, 119]);
        assert_eq!(lines.next_line(), 11);
    }

    #[test]
    fn a_line_without_end_is_refused() {
        let mut lines = Lines::new(std::io::repeat(b'x'), 0, 1);
        assert!(matches!(lines.next(), Err(LineError::TooLong)));
    }
}
