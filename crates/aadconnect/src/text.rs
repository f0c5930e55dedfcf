//! From bytes to text: UTF-8 with or without a mark, UTF-16 in either order.

use crate::Mistake;
use crate::limits::FILE_BYTES_MAX;

/// Decodes a file; line ends become single newlines.
pub(crate) fn decode(file: &str, bytes: &[u8]) -> Result<String, Mistake> {
    if bytes.len() > FILE_BYTES_MAX {
        let message = format!("the file has {} bytes, more than the {FILE_BYTES_MAX} allowed", bytes.len());
        return Err(Mistake::whole(file, message).hint("is this an export of Azure AD Connect?"));
    }
    let text = match bytes {
        [0xEF, 0xBB, 0xBF, rest @ ..] => utf8(file, rest)?,
        [0xFF, 0xFE, rest @ ..] => utf16(file, rest, u16::from_le_bytes)?,
        [0xFE, 0xFF, rest @ ..] => utf16(file, rest, u16::from_be_bytes)?,
        // UTF-16 without a mark: every second byte of plain text is zero.
        [b'<' | b'N' | b'#' | b'\r' | b'\n' | b' ', 0, ..] => utf16(file, bytes, u16::from_le_bytes)?,
        _ => utf8(file, bytes)?,
    };
    Ok(text.replace("\r\n", "\n").replace('\r', "\n"))
}

fn utf8(file: &str, bytes: &[u8]) -> Result<String, Mistake> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Ok(text.to_owned()),
        Err(error) => {
            let before = bytes.get(..error.valid_up_to()).unwrap_or_default();
            let line = before.iter().filter(|&&b| b == b'\n').count() + 1;
            let last = before.rsplit(|&b| b == b'\n').next().unwrap_or_default();
            let column = String::from_utf8_lossy(last).chars().count() + 1;
            let at = (u32::try_from(line).unwrap_or(u32::MAX), u32::try_from(column).unwrap_or(u32::MAX));
            Err(Mistake::new(file, at, "the file is no UTF-8 text").hint("save it as UTF-8 or UTF-16"))
        }
    }
}

fn utf16(file: &str, bytes: &[u8], read: fn([u8; 2]) -> u16) -> Result<String, Mistake> {
    let (pairs, rest) = bytes.as_chunks::<2>();
    let units: Vec<u16> = pairs.iter().map(|&pair| read(pair)).collect();
    match String::from_utf16(&units) {
        Ok(text) if rest.is_empty() => Ok(text),
        _ => Err(Mistake::whole(file, "the file is no UTF-16 text, though it begins like one")
            .hint("save it as UTF-8 or UTF-16")),
    }
}

/// Where the lines of a text begin: places of many tokens are asked for.
pub(crate) struct Lines<'t> {
    text: &'t str,
    starts: Vec<usize>,
}

impl<'t> Lines<'t> {
    pub(crate) fn new(text: &'t str) -> Self {
        let ends = text.bytes().enumerate().filter(|&(_, b)| b == b'\n').map(|(at, _)| at + 1);
        Self { text, starts: std::iter::once(0).chain(ends).collect() }
    }

    /// Line and column, from 1.
    pub(crate) fn place(&self, at: usize) -> (u32, u32) {
        let line = self.starts.partition_point(|&start| start <= at);
        let start = line.checked_sub(1).and_then(|n| self.starts.get(n)).copied().unwrap_or_default();
        let column = self.text.get(start..at.min(self.text.len())).unwrap_or_default().chars().count() + 1;
        (u32::try_from(line).unwrap_or(u32::MAX), u32::try_from(column).unwrap_or(u32::MAX))
    }
}

/// Line and column, from 1, of a place in a text.
pub(crate) fn line_column(text: &str, at: usize) -> (u32, u32) {
    let before = text.get(..at).unwrap_or(text);
    let line = before.bytes().filter(|&b| b == b'\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    (u32::try_from(line).unwrap_or(u32::MAX), u32::try_from(column).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_encoding_that_windows_writes_is_read() {
        let text = "New-ADSyncRule `\r\n-Name 'Gr\u{fc}n'\r";
        let expected = "New-ADSyncRule `\n-Name 'Gr\u{fc}n'\n";
        let wide = |order: fn(u16) -> [u8; 2]| text.encode_utf16().flat_map(order).collect::<Vec<u8>>();
        let with_mark = |mark: &[u8], rest: Vec<u8>| [mark, &rest].concat();
        for bytes in [
            text.as_bytes().to_vec(),
            with_mark(&[0xEF, 0xBB, 0xBF], text.as_bytes().to_vec()),
            with_mark(&[0xFF, 0xFE], wide(u16::to_le_bytes)),
            with_mark(&[0xFE, 0xFF], wide(u16::to_be_bytes)),
            wide(u16::to_le_bytes),
        ] {
            assert_eq!(decode("a.ps1", &bytes).unwrap(), expected);
        }
        let error = decode("a.ps1", b"x\nab\xff").unwrap_err();
        assert_eq!((error.line, error.column), (2, 3));
        assert!(decode("a.ps1", &[0xFF, 0xFE, b'x']).is_err());
    }

    #[test]
    fn places_count_characters() {
        assert_eq!(line_column("a\n\u{fc}b", 4), (2, 2));
        assert_eq!(line_column("", 0), (1, 1));
        let text = "ab\n\n\u{fc}x\n";
        for (at, _) in text.char_indices() {
            assert_eq!(Lines::new(text).place(at), line_column(text, at), "{at}");
        }
    }
}
