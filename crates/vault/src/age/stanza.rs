//! The header of a file: lines of text, bounded in number and length.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD as BASE64;

use super::AgeError;

const FIRST_LINE: &str = "age-encryption.org/v1";
/// How all versions of the format begin.
const BEGINS: &[u8] = b"age-encryption.org/";
/// Characters in a full line of a body.
const COLUMNS: usize = 64;
/// Bytes of the MAC.
const MAC_LEN: usize = 32;
/// More ways to open a file than anybody needs.
const STANZAS_MAX: usize = 64;
/// The longest line, and the most lines of one body.
const LINE_MAX: usize = 4096;

/// One way to open a file.
pub(super) struct Stanza {
    /// The kind first.
    pub(super) args: Vec<String>,
    pub(super) body: Vec<u8>,
}

impl Stanza {
    pub(super) fn kind(&self) -> &str {
        self.args.first().map_or("", String::as_str)
    }
}

/// A header as it was read.
pub(super) struct Header<'a> {
    pub(super) stanzas: Vec<Stanza>,
    /// What the MAC covers.
    pub(super) covered: &'a [u8],
    pub(super) mac: Vec<u8>,
}

impl<'a> Header<'a> {
    /// Reads a header, and gives what follows.
    pub(super) fn read(file: &'a [u8]) -> Result<(Self, &'a [u8]), AgeError> {
        if !file.starts_with(BEGINS) {
            let cut = !file.is_empty() && BEGINS.starts_with(file);
            return Err(if cut { AgeError::Cut } else { AgeError::NotAge });
        }
        let mut rest = file;
        if line(&mut rest)? != FIRST_LINE {
            return Err(AgeError::Header);
        }
        let mut stanzas = Vec::new();
        loop {
            let here = rest;
            let text = line(&mut rest)?;
            if let Some(mac) = text.strip_prefix("---") {
                let covered = file.get(..file.len() - here.len() + 3).ok_or(AgeError::Header)?;
                let mac = mac.strip_prefix(' ').and_then(decode).filter(|mac| mac.len() == MAC_LEN);
                if stanzas.is_empty() {
                    return Err(AgeError::Header);
                }
                return Ok((Self { stanzas, covered, mac: mac.ok_or(AgeError::Header)? }, rest));
            }
            let args = text.strip_prefix("-> ").ok_or(AgeError::Header)?;
            let args: Vec<String> = args.split(' ').map(str::to_owned).collect();
            if args.iter().any(String::is_empty) || stanzas.len() >= STANZAS_MAX {
                return Err(AgeError::Header);
            }
            stanzas.push(Stanza { args, body: body(&mut rest)? });
        }
    }
}

/// A body: full lines, and a last one that is shorter, and may be empty.
fn body(rest: &mut &[u8]) -> Result<Vec<u8>, AgeError> {
    let mut text = String::new();
    for _ in 0..LINE_MAX {
        let line = line(rest)?;
        if line.len() > COLUMNS {
            return Err(AgeError::Header);
        }
        text.push_str(line);
        if line.len() < COLUMNS {
            return decode(&text).ok_or(AgeError::Header);
        }
    }
    Err(AgeError::Header)
}

/// The next line: printable ASCII, ended by a line feed alone.
fn line<'a>(rest: &mut &'a [u8]) -> Result<&'a str, AgeError> {
    let end = rest.iter().take(LINE_MAX).position(|byte| *byte == b'\n');
    let Some((text, after)) = end.and_then(|end| Some((rest.get(..end)?, rest.get(end + 1..)?))) else {
        return Err(if rest.len() < LINE_MAX { AgeError::Cut } else { AgeError::Header });
    };
    *rest = after;
    match std::str::from_utf8(text) {
        Ok(text) if text.bytes().all(|byte| matches!(byte, b' '..=b'~')) => Ok(text),
        _ => Err(AgeError::Header),
    }
}

/// Writes a header up to what the MAC covers.
pub(super) fn write(stanzas: &[Stanza]) -> Vec<u8> {
    let mut out = format!("{FIRST_LINE}\n");
    for stanza in stanzas {
        out.push_str("-> ");
        out.push_str(&stanza.args.join(" "));
        out.push('\n');
        let body = encode(&stanza.body);
        let mut rest = body.as_str();
        while let Some((line, after)) = rest.split_at_checked(COLUMNS) {
            out.push_str(line);
            out.push('\n');
            rest = after;
        }
        out.push_str(rest);
        out.push('\n');
    }
    out.push_str("---");
    out.into_bytes()
}

/// Ends a header.
pub(super) fn finish(out: &mut Vec<u8>, mac: &[u8]) {
    out.push(b' ');
    out.extend_from_slice(encode(mac).as_bytes());
    out.push(b'\n');
}

pub(super) fn encode(bytes: &[u8]) -> String {
    BASE64.encode(bytes)
}

/// Base64 without padding, in the one form that has no spare bits.
pub(super) fn decode(text: &str) -> Option<Vec<u8>> {
    BASE64.decode(text).ok()
}
