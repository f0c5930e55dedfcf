//! How an answers file is read: what may stand for an option, and what is said of what may not.

use std::fmt;
use std::path::PathBuf;

use serde::de::{Deserializer, Error as _, SeqAccess, Visitor};
use serde::{Deserialize, de};

use super::options::UNITS;

/// Reads answers; what is wrong is said with its line.
pub(super) fn read<T: de::DeserializeOwned>(text: &str) -> Result<T, String> {
    toml::from_str(text).map_err(|error| {
        let Some(span) = error.span() else { return error.message().to_owned() };
        let before = text.get(..span.start).unwrap_or(text);
        let number = before.matches('\n').count();
        let line = text.lines().nth(number).unwrap_or_default();
        let why = unquoted(line).unwrap_or_else(|| error.message().to_owned());
        format!("line {}: {why}", number + 1)
    })
}

/// What is to be said of a line with a text that stands without quotes, which the parser takes for a number.
fn unquoted(line: &str) -> Option<String> {
    let (key, value) = line.split_once('=')?;
    let (key, value) = (key.trim(), value.trim());
    let is_text = value.starts_with(|c: char| c.is_ascii_alphabetic() || "/.~".contains(c));
    (is_text && value != "true" && value != "false")
        .then(|| format!("a text stands in quotes: `{key} = \"...\"`"))
}

/// One name, or several.
pub(super) fn names<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<String>, D::Error> {
    struct Names;
    impl<'de> Visitor<'de> for Names {
        type Value = Vec<String>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a name, or several as `[\"alice\", \"group:helpdesk\"]`")
        }

        fn visit_str<E: de::Error>(self, name: &str) -> Result<Vec<String>, E> {
            Ok(vec![name.to_owned()])
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut names: A) -> Result<Vec<String>, A::Error> {
            let mut all = Vec::new();
            while let Some(name) = names.next_element()? {
                all.push(name);
            }
            Ok(all)
        }
    }
    from.deserialize_any(Names)
}

/// A folder for the unit, or `true` for that of the system.
pub(super) fn folder<'de, D: Deserializer<'de>>(from: D) -> Result<Option<PathBuf>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Answer {
        Whether(bool),
        Folder(PathBuf),
    }
    match Answer::deserialize(from)? {
        Answer::Whether(true) => Ok(Some(PathBuf::from(UNITS))),
        Answer::Whether(false) => Err(D::Error::custom("write `no-systemd = true` in place of it")),
        Answer::Folder(folder) => Ok(Some(folder)),
    }
}
