//! The settings of a JSON lines connector, as they stand in its configuration file.

use std::path::{Path, PathBuf};

use serde::Deserialize;

/// The settings of a JSON lines connector.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JsonlSettings {
    /// The file.
    pub path: PathBuf,
    /// Whether the file may be written. A file that does not exist is then an empty directory.
    #[serde(default)]
    pub write: bool,
    /// The type of objects whose line names none.
    #[serde(default)]
    pub object_type: Option<String>,
    /// What text in `links` is: the anchor of the target, or its distinguished name.
    #[serde(default)]
    pub links_by: LinksBy,
    /// Attributes that are links although no line may have any yet.
    #[serde(default)]
    pub link_attributes: Vec<String>,
}

/// What text in `links` is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LinksBy {
    /// The target's anchor.
    #[default]
    Anchor,
    /// The target's distinguished name.
    Dn,
}

impl JsonlSettings {
    /// Makes a relative path relative to `folder`.
    #[must_use]
    pub fn within(mut self, folder: &Path) -> Self {
        self.path = folder.join(&self.path);
        self
    }

    /// A file beside the connected one: `objects.jsonl.marker`.
    pub(super) fn beside(&self, suffix: &str) -> PathBuf {
        let mut name = self.path.clone().into_os_string();
        name.push(suffix);
        name.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_read_and_typos_are_named() {
        let settings: JsonlSettings = toml::from_str("path = \"hr.jsonl\"\nlinks_by = \"dn\"").unwrap();
        assert_eq!(settings.links_by, LinksBy::Dn);
        assert_eq!(settings.beside(".marker"), PathBuf::from("hr.jsonl.marker"));
        let error = toml::from_str::<JsonlSettings>("path = \"a\"\nwrites = true").unwrap_err().to_string();
        assert!(error.contains("writes"), "{error}");
    }
}
