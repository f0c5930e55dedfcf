//! From an offset in a decoded TOML string back to the offset in the file.

use std::ops::Range;

/// Where byte `offset` of a decoded string was written; `span` is the string in the file with its quotes.
pub(crate) fn raw_offset(text: &str, span: &Range<usize>, offset: usize) -> usize {
    let raw = text.get(span.clone()).unwrap_or_default();
    let literal = raw.starts_with('\'');
    let long = raw.starts_with("'''") || raw.starts_with("\"\"\"");
    let mut at = if long { 3 } else { 1 };
    if long {
        // A newline right after the opening quotes is no part of the string.
        let rest = raw.get(at..).unwrap_or_default();
        at += if rest.starts_with("\r\n") { 2 } else { usize::from(rest.starts_with('\n')) };
    }
    if literal {
        return (span.start + at + offset).min(span.end);
    }
    let mut decoded = 0;
    while let Some(rest) = raw.get(at..).filter(|rest| !rest.is_empty()) {
        let (read, written) = escape(rest);
        if decoded >= offset && written > 0 {
            break;
        }
        at += read;
        decoded += written;
    }
    (span.start + at).min(span.end)
}

/// How many bytes the next character takes in the file, and how many in the decoded string.
fn escape(rest: &str) -> (usize, usize) {
    let mut chars = rest.chars();
    let first = chars.next().map_or(1, char::len_utf8);
    if !rest.starts_with('\\') {
        return (first, first);
    }
    let hex = |from: usize, digits: usize| {
        let code = rest.get(from..from + digits).and_then(|d| u32::from_str_radix(d, 16).ok());
        (from + digits, code.and_then(char::from_u32).map_or(1, char::len_utf8))
    };
    match chars.next() {
        Some('u') => hex(2, 4),
        Some('U') => hex(2, 8),
        Some('x') => hex(2, 2),
        // A backslash at the end of a line swallows all white space up to the next text.
        Some(c) if c.is_whitespace() => {
            let skipped = rest.get(1..).map_or(0, |r| r.len() - r.trim_start().len());
            (1 + skipped, 0)
        }
        Some(c) => (1 + c.len_utf8(), 1),
        None => (1, 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_point_at_what_was_written() {
        for (raw, decoded) in [
            ("'IIF([a], X)'", "IIF([a], X)"),
            (r#""\"q\" & X""#, "\"q\" & X"),
            ("'''\n\"q\" &\n X'''", "\"q\" &\n X"),
            ("\"\"\"\n\\u00e4 & \\\n   X\"\"\"", "\u{e4} & X"),
        ] {
            let text = format!("key = {raw} # comment");
            let span = 6..6 + raw.len();
            let found = raw_offset(&text, &span, decoded.find('X').unwrap());
            assert_eq!(text.get(found..=found), Some("X"), "{raw}");
            assert!(raw_offset(&text, &span, 999) <= span.end);
        }
    }
}
