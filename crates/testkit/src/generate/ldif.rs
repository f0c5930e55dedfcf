//! A writer of LDIF (RFC 2849) and the escaping of names in DNs (RFC 4514).
//!
//! Deliberately absent: change records, values by URL.

use std::fmt;
use std::io::{self, Write};

/// Columns of a line before it is folded, as ldapsearch does it.
const LINE_MAX: usize = 76;

/// Bytes kept back before they are handed on: few calls to the output, little memory.
const BUFFER: usize = 256 * 1024;

/// Writes entries.
pub struct Writer<'a> {
    out: &'a mut dyn Write,
    buffer: Vec<u8>,
    line: Vec<u8>,
    scratch: String,
    entries: usize,
}

impl<'a> Writer<'a> {
    /// Begins a file.
    pub fn new(out: &'a mut dyn Write) -> Self {
        let mut buffer = Vec::with_capacity(BUFFER + 64 * 1024);
        buffer.extend_from_slice(b"version: 1\n\n");
        Self { out, buffer, line: Vec::new(), scratch: String::new(), entries: 0 }
    }

    /// Writes one text value.
    pub fn text(&mut self, name: &str, value: &str) {
        self.line.clear();
        self.line.extend_from_slice(name.as_bytes());
        if is_safe(value.as_bytes()) {
            self.line.extend_from_slice(b": ");
            self.line.extend_from_slice(value.as_bytes());
        } else {
            self.line.extend_from_slice(b":: ");
            base64(value.as_bytes(), &mut self.line);
        }
        self.fold();
    }

    /// Writes one formatted value.
    pub fn format(&mut self, name: &str, value: fmt::Arguments<'_>) {
        let mut scratch = std::mem::take(&mut self.scratch);
        scratch.clear();
        // Writing to a String fails only when a Display of ours says so, and none does.
        let _ = fmt::Write::write_fmt(&mut scratch, value);
        self.text(name, &scratch);
        self.scratch = scratch;
    }

    /// Writes one binary value.
    pub fn binary(&mut self, name: &str, value: &[u8]) {
        self.line.clear();
        self.line.extend_from_slice(name.as_bytes());
        self.line.extend_from_slice(b":: ");
        base64(value, &mut self.line);
        self.fold();
    }

    /// Ends an entry.
    pub fn end(&mut self) -> io::Result<()> {
        self.entries += 1;
        self.buffer.push(b'\n');
        self.drain(BUFFER)
    }

    /// Hands on what is kept back, if it is more than `limit` bytes: an entry may be larger than memory likes.
    pub fn drain(&mut self, limit: usize) -> io::Result<()> {
        if self.buffer.len() > limit {
            self.out.write_all(&self.buffer)?;
            self.buffer.clear();
        }
        Ok(())
    }

    /// Hands on what an entry has so far, if it is much.
    pub fn drain_much(&mut self) -> io::Result<()> {
        self.drain(BUFFER)
    }

    /// Ends the file.
    pub fn finish(mut self) -> io::Result<()> {
        self.buffer.extend_from_slice(format!("# numEntries: {}\n", self.entries).as_bytes());
        self.drain(0)?;
        self.out.flush()
    }

    fn fold(&mut self) {
        let mut rest = self.line.as_slice();
        let mut room = LINE_MAX;
        while rest.len() > room {
            let (head, tail) = rest.split_at(room);
            self.buffer.extend_from_slice(head);
            self.buffer.extend_from_slice(b"\n ");
            rest = tail;
            room = LINE_MAX - 1;
        }
        self.buffer.extend_from_slice(rest);
        self.buffer.push(b'\n');
    }
}

/// Whether a value may stand as it is.
fn is_safe(value: &[u8]) -> bool {
    let plain = value.iter().all(|byte| byte.is_ascii() && !matches!(byte, 0 | b'\n' | b'\r'));
    plain && !matches!(value.first(), Some(b' ' | b':' | b'<')) && value.last() != Some(&b' ')
}

fn base64(bytes: &[u8], out: &mut Vec<u8>) {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let letter = |group: u32, shift: u32| ALPHABET[((group >> shift) & 63) as usize];
    out.reserve(bytes.len().div_ceil(3) * 4);
    let (groups, rest) = bytes.as_chunks::<3>();
    for &[first, second, third] in groups {
        let group = u32::from_be_bytes([0, first, second, third]);
        out.extend_from_slice(&[letter(group, 18), letter(group, 12), letter(group, 6), letter(group, 0)]);
    }
    match *rest {
        [first] => {
            let group = u32::from_be_bytes([0, first, 0, 0]);
            out.extend_from_slice(&[letter(group, 18), letter(group, 12), b'=', b'=']);
        }
        [first, second] => {
            let group = u32::from_be_bytes([0, first, second, 0]);
            out.extend_from_slice(&[letter(group, 18), letter(group, 12), letter(group, 6), b'=']);
        }
        _ => {}
    }
}

/// Writes a value as it stands in a DN.
pub fn push_escaped(value: &str, dn: &mut String) {
    let last = value.len().saturating_sub(1);
    for (place, letter) in value.char_indices() {
        let special = matches!(letter, '"' | '+' | ',' | ';' | '<' | '>' | '\\')
            || (place == 0 && matches!(letter, '#' | ' '))
            || (place == last && letter == ' ');
        if special {
            dn.push('\\');
        }
        dn.push(letter);
    }
}

/// A value as it stands in a DN, for formatted text.
pub struct Escaped<'a>(pub &'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut escaped = String::with_capacity(self.0.len());
        push_escaped(self.0, &mut escaped);
        f.write_str(&escaped)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(write: impl FnOnce(&mut Writer<'_>)) -> String {
        let mut out = Vec::new();
        let mut writer = Writer::new(&mut out);
        write(&mut writer);
        writer.end().unwrap();
        writer.finish().unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn values_that_are_not_safe_become_base64() {
        let text = written(|writer| {
            for value in ["plain, + \"#", " lead", "trail ", ":colon", "<less", "J\u{fc}rgen", "a\nb", ""] {
                writer.text("cn", value);
            }
            writer.binary("b", &[0, 255]);
        });
        let expected = "version: 1\n\ncn: plain, + \"#\ncn:: IGxlYWQ=\ncn:: dHJhaWwg\ncn:: OmNvbG9u\n\
            cn:: PGxlc3M=\ncn:: SsO8cmdlbg==\ncn:: YQpi\ncn: \nb:: AP8=\n\n# numEntries: 1\n";
        assert_eq!(text, expected);
    }

    #[test]
    fn long_lines_are_folded_and_unfold_to_the_same() {
        let value = "x".repeat(300);
        let text = written(|writer| writer.text("cn", &value));
        assert!(text.lines().all(|line| line.len() <= LINE_MAX));
        assert!(text.replace("\n ", "").contains(&format!("cn: {value}\n")));
    }

    #[test]
    fn names_are_escaped_for_dns() {
        let escape = |text| Escaped(text).to_string();
        assert_eq!(escape("Smith, J + \"x\" <y>;\\"), "Smith\\, J \\+ \\\"x\\\" \\<y\\>\\;\\\\");
        assert_eq!(escape("#a# "), "\\#a#\\ ");
        assert_eq!(escape(" "), "\\ ");
    }
}
