//! The settings of an LDIF connector, as they stand in its configuration file.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Deserializer};

/// The settings of an LDIF connector.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LdifSettings {
    /// The files, read in this order as one directory. `path` with one file is the same.
    #[serde(rename = "path", alias = "paths", deserialize_with = "one_or_many")]
    pub paths: Vec<PathBuf>,
    /// Only entries at or below this distinguished name.
    #[serde(default)]
    pub base: Option<String>,
    /// The attribute that identifies an object for ever, or `dn`. By default `objectGUID` where the first entry has
    /// one, else `entryUUID`, else the distinguished name.
    #[serde(default)]
    pub anchor: Option<String>,
    /// Whether a file without an end mark (`# end` or `# numEntries: N`) counts as cut off.
    #[serde(default)]
    pub require_end: bool,
    /// Object types by object class, beside and before the built-in ones.
    #[serde(default)]
    pub types: BTreeMap<String, String>,
}

impl LdifSettings {
    /// Makes relative paths relative to `folder`.
    #[must_use]
    pub fn within(mut self, folder: &Path) -> Self {
        for path in &mut self.paths {
            *path = crate::files::within(folder, path);
        }
        self
    }
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "expected a path or a list of paths")]
enum OneOrMany {
    One(PathBuf),
    Many(Vec<PathBuf>),
}

fn one_or_many<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<PathBuf>, D::Error> {
    Ok(match OneOrMany::deserialize(deserializer)? {
        OneOrMany::One(path) => vec![path],
        OneOrMany::Many(paths) => paths,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_read_and_typos_are_named() {
        let one: LdifSettings = toml::from_str("path = \"a.ldif\"").unwrap();
        assert_eq!(one.within(Path::new("/srv")).paths, [PathBuf::from("/srv/a.ldif")]);
        let many: LdifSettings =
            toml::from_str("paths = [\"a\", \"/b\"]\nrequire_end = true\n[types]\nposixAccount = \"user\"")
                .unwrap();
        assert_eq!(many.paths.len(), 2);
        let error = toml::from_str::<LdifSettings>("path = \"a\"\nbasis = \"DC=x\"").unwrap_err().to_string();
        assert!(error.contains("basis"), "{error}");
        let error = toml::from_str::<LdifSettings>("path = 3").unwrap_err().to_string();
        assert!(error.contains("list of paths"), "{error}");
    }
}
