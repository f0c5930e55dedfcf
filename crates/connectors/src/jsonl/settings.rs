//! The settings of a JSON lines connector, as they stand in its configuration file.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::AttributeWord;

/// The settings of a JSON lines connector.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JsonlSettings {
    /// The file.
    pub path: PathBuf,
    /// Whether the file may be written. A file that does not exist is then an empty directory.
    #[serde(default)]
    pub write: bool,
    /// Types and attributes that are known beforehand, whether a line has them or not.
    #[serde(default)]
    pub schema: Option<JsonlSchema>,
    /// The type of objects whose line names none.
    #[serde(default)]
    pub object_type: Option<String>,
    /// What text in `links` is: the anchor of the target, or its distinguished name.
    #[serde(default)]
    pub links_by: LinksBy,
    /// Attributes that are links although no line may have any yet.
    #[serde(default)]
    pub link_attributes: Vec<String>,
    /// Types that are known before any line shows them, as a file that is to be written needs.
    #[serde(default)]
    pub types: BTreeMap<String, JsonlType>,
}

/// One object type that is known beforehand.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JsonlType {
    /// Its attributes, e.g. `mail = "string"`, `proxyAddresses = "string*"` (several values), `member = "reference*"`.
    #[serde(default)]
    pub attributes: BTreeMap<String, AttributeWord>,
    /// The attribute whose value becomes the anchor of an object that is created.
    #[serde(default)]
    pub create_key: Option<String>,
    /// The attribute that names an object to people.
    #[serde(default)]
    pub name: Option<String>,
    /// The attribute that enables an account.
    #[serde(default)]
    pub enabled: Option<String>,
    /// Whether people sign in with it.
    #[serde(default)]
    pub account: bool,
}

/// A schema by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum JsonlSchema {
    /// Active Directory's: the shipped rules find what they name.
    Ad,
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
        self.path = crate::files::within(folder, &self.path);
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
    use onesync_model::AttributeType;

    use super::*;

    #[test]
    fn settings_are_read_and_typos_are_named() {
        let settings: JsonlSettings = toml::from_str("path = \"hr.jsonl\"\nlinks_by = \"dn\"").unwrap();
        assert_eq!(settings.links_by, LinksBy::Dn);
        assert_eq!(settings.beside(".marker"), PathBuf::from("hr.jsonl.marker"));
        let typed = "path = \"a\"\n[types.user]\ncreate_key = \"id\"\nattributes = { id = \"string\", tags = \"string*\" }";
        let settings: JsonlSettings = toml::from_str(typed).unwrap();
        let expected = AttributeWord { kind: AttributeType::String, multi: true };
        assert_eq!(settings.types["user"].attributes["tags"], expected);
        let error =
            toml::from_str::<JsonlSettings>(&typed.replace("string*", "text")).unwrap_err().to_string();
        assert!(error.contains("`text` is no type"), "{error}");
        let error = toml::from_str::<JsonlSettings>("path = \"a\"\nwrites = true").unwrap_err().to_string();
        assert!(error.contains("writes"), "{error}");
    }
}
