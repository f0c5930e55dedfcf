//! TOML by hand: the files are for people, who want the form they would have written.

use std::fmt::Write as _;

/// A key, in quotes where it needs them.
pub(super) fn key(text: &str) -> String {
    let bare =
        !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'));
    if bare { text.to_owned() } else { self::text(text) }
}

/// A text in double quotes.
pub(super) fn text(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            c if c.is_control() => _ = write!(out, "\\u{:04X}", u32::from(c)),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// An expression: as it is, in the quotes that let it be so.
pub(super) fn expression(expression: &str) -> String {
    let plain = |text: &str| text.chars().all(|c| !c.is_control() || c == '\t');
    if !expression.contains(['\'', '\n']) && plain(expression) {
        if expression.contains(['"', '\\']) { format!("'{expression}'") } else { format!("\"{expression}\"") }
    } else if !expression.contains("'''") && !expression.ends_with('\'') && expression.split('\n').all(plain)
    {
        format!("'''\n{expression}'''")
    } else {
        text(expression)
    }
}

/// A list of texts on one line, or one a line where it gets long.
pub(super) fn list<S: AsRef<str>>(items: &[S]) -> String {
    let texts: Vec<String> = items.iter().map(|item| text(item.as_ref())).collect();
    let one = format!("[{}]", texts.join(", "));
    if one.len() <= 100 {
        return one;
    }
    let mut out = String::from("[\n");
    let mut line = String::new();
    for text in texts {
        if line.len() + text.len() > 100 {
            _ = writeln!(out, "  {}", line.trim_end());
            line.clear();
        }
        _ = write!(line, "{text}, ");
    }
    _ = writeln!(out, "  {}", line.trim_end());
    out.push(']');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_is_written_reads_as_it_was() {
        for sample in [
            "IIF(IsPresent([a]),\"x\",NULL)",
            "[a] & \"it's\"",
            "two\nlines \"q\" 'r'",
            "ends with '",
            "''' three",
            "back\\slash",
            "tab\there",
            "\u{1}\u{fc}",
            "\nstarts",
            "plain",
        ] {
            for written in [expression(sample), text(sample)] {
                let table: toml::Table =
                    format!("a = {written}").parse().unwrap_or_else(|e| panic!("{written}: {e}"));
                assert_eq!(table["a"].as_str(), Some(sample), "{written}");
            }
            let table: toml::Table = format!("{} = 1", key(sample)).parse().unwrap();
            assert!(table.contains_key(sample));
        }
        let names: Vec<String> = (0..50).map(|n| format!("attribute{n}")).collect();
        let table: toml::Table = format!("a = {}", list(&names)).parse().unwrap();
        assert_eq!(table["a"].as_array().unwrap().len(), 50);
    }
}
