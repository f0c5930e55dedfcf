//! Mistakes in configuration files as an administrator reads them: file, line, column, what is wrong, what was meant.

use onesync_connectors::{ConnectorError, ErrorClass};
use toml::de::{DeTable, DeValue};

use crate::config::ConnectorFile;
use crate::error::ServiceError;

/// A mistake in the form of a file.
pub(crate) fn toml_mistake(path: &str, text: &str, error: &toml::de::Error) -> String {
    let at = error.span().map_or(0, |span| span.start);
    format!("{}: {}", at_offset(path, text, at), plain(error.message()))
}

/// Where a key stands: `file:line:column`; of a key that is not there, the nearest table above it.
pub(crate) fn place_of(path: &str, text: &str, keys: &[&str]) -> String {
    let Ok(table) = DeTable::parse(text) else { return path.to_owned() };
    let (mut at, mut table) = (0, Some(table.into_inner()));
    for key in keys {
        let found =
            table.take().and_then(|t| t.into_iter().find(|(k, _)| k.get_ref().eq_ignore_ascii_case(key)));
        let Some((name, value)) = found else { break };
        at = name.span().start;
        table = match value.into_inner() {
            DeValue::Table(inner) => Some(inner),
            _ => None,
        };
    }
    at_offset(path, text, at)
}

/// An error of a connector that cannot be made: of a setting, with its place in the file.
pub(crate) fn setting_mistake(file: &ConnectorFile, error: ConnectorError) -> ServiceError {
    let key = error.place.strip_prefix("setting").and_then(|rest| rest.split('`').nth(1)).map(str::to_owned);
    match key {
        Some(key) if error.class == ErrorClass::Configuration => {
            let keys: Vec<&str> = std::iter::once("settings").chain(key.split('.')).collect();
            ServiceError::Config {
                message: format!("{}: {}", file.place_of(&keys), error.message),
                hint: error.hint,
            }
        }
        _ => ServiceError::connector(&file.name, error),
    }
}

fn at_offset(path: &str, text: &str, at: usize) -> String {
    let before = text.get(..at.min(text.len())).unwrap_or_default();
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().map_or(0, |rest| rest.chars().count()) + 1;
    format!("{path}:{line}:{column}")
}

/// The reader's message in an administrator's words.
fn plain(message: &str) -> String {
    let mut quoted = message.split('`').skip(1).step_by(2);
    if message.starts_with("unknown field") || message.starts_with("unknown variant") {
        let wrong = quoted.next().unwrap_or_default();
        let known: Vec<&str> = quoted.collect();
        let what = if message.starts_with("unknown field") { "key" } else { "word" };
        return match onesync_rules::nearest(wrong, known.iter().copied()) {
            Some(meant) => format!("unknown {what} `{wrong}`: did you mean `{meant}`?"),
            None if known.is_empty() => format!("unknown {what} `{wrong}`: nothing can stand here"),
            None => format!("unknown {what} `{wrong}`: write one of {}", known.join(", ")),
        };
    }
    if message.starts_with("missing field") {
        return format!("the key `{}` is missing", quoted.next().unwrap_or_default());
    }
    let Some((start, expected)) = message.rsplit_once("expected ") else { return message.to_owned() };
    match expected {
        "u8" | "u16" | "u32" | "u64" | "usize" => format!("{start}expected a whole number, 0 or more"),
        "i32" | "i64" => format!("{start}expected a whole number"),
        _ => message.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_found_and_of_one_that_is_not_there_its_table() {
        let text =
            "name = \"a\"\n\n[types.user]\n  grace = \"x\"\n[types.user.limits]\nday = { count = 1 }\n";
        let at = |keys: &[&str]| place_of("c.toml", text, keys);
        assert_eq!(at(&["types", "User", "grace"]), "c.toml:4:3");
        assert_eq!(at(&["types", "user", "limits", "day", "count"]), "c.toml:6:9");
        assert_eq!(at(&["types", "user", "deprovision"]), "c.toml:3:8");
        assert_eq!(at(&["settings"]), "c.toml:1:1");
        assert_eq!(place_of("c.toml", "= broken", &["a"]), "c.toml");
    }

    #[test]
    fn messages_are_in_words_of_the_file_not_of_the_program() {
        for (message, expected) in [
            (
                "unknown field `tennant`, expected one of `tenant`, `secret`",
                "unknown key `tennant`: did you mean `tenant`?",
            ),
            (
                "unknown field `colour`, expected `name` or `rank`",
                "unknown key `colour`: write one of name, rank",
            ),
            (
                "unknown variant `hold`, expected `disconnect` or `stay`",
                "unknown word `hold`: write one of disconnect, stay",
            ),
            ("missing field `percent`", "the key `percent` is missing"),
            (
                "invalid type: string \"x\", expected u32",
                "invalid type: string \"x\", expected a whole number, 0 or more",
            ),
            ("unclosed array, expected `]`", "unclosed array, expected `]`"),
        ] {
            assert_eq!(plain(message), expected);
        }
    }
}
