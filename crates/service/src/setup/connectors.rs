//! The files of a configuration from answers: the shipped template with what was answered in the place of its examples, so that
//! whoever opens it finds the comments of the template.

use std::collections::BTreeMap;

use onesync_connectors::ad::{AdSettings, Places, places};
use secrecy::SecretString;
use toml::Value;

use crate::error::ServiceError;
use crate::reports::template;

/// A directory that is read.
#[derive(Clone, Debug)]
pub struct Source {
    /// The connector's name.
    pub name: String,
    /// What stands in `[settings]`.
    pub settings: BTreeMap<String, Value>,
}

/// A tenant that is written.
#[derive(Clone, Debug)]
pub struct Cloud {
    /// The connector's name.
    pub name: String,
    /// What stands in `[settings]`.
    pub settings: BTreeMap<String, Value>,
}

/// What a configuration is to be.
#[derive(Clone, Debug)]
pub struct Chosen {
    /// The topology: how people are matched across forests.
    pub topology: String,
    /// The kind of the sources.
    pub kind: String,
    /// The sources, in the order of the topology's files; further ones get files of their own.
    pub sources: Vec<Source>,
    /// The tenant.
    pub cloud: Cloud,
    /// The source anchor; the default when left out.
    pub source_anchor: Option<String>,
}

/// The files of such a configuration.
///
/// # Errors
/// When topology or kind are not known.
pub fn files(chosen: &Chosen) -> Result<BTreeMap<String, String>, ServiceError> {
    let mut files = template(&chosen.topology, &chosen.kind)?;
    let of_rules = |path: &String| path.starts_with("connectors/") && path != "connectors/entra.toml";
    let mut places: Vec<String> = files.keys().filter(|path| of_rules(path)).cloned().collect();
    // The template of the first forest serves for those that the topology has no file for.
    let first = places.first().and_then(|path| files.get(path)).cloned().unwrap_or_default();
    for (index, source) in chosen.sources.iter().enumerate() {
        let path = match places.get(index) {
            Some(path) => path.clone(),
            None => {
                let path = format!("connectors/source-{}.toml", index + 1);
                places.push(path.clone());
                path
            }
        };
        let text = files.get(&path).unwrap_or(&first).clone();
        let text = fill(&text, "name", &Value::String(source.name.clone()));
        let text = fill(&text, "rank", &Value::Integer(index as i64 + 1));
        files.insert(path, with_settings(text, &source.settings));
    }
    for unused in places.iter().skip(chosen.sources.len()) {
        files.remove(unused);
    }
    let path = "connectors/entra.toml".to_owned();
    let text = files.get(&path).cloned().unwrap_or_default();
    let text = fill(&text, "name", &Value::String(chosen.cloud.name.clone()));
    files.insert(path, with_settings(text, &chosen.cloud.settings));
    if let Some(anchor) = &chosen.source_anchor {
        let path = "onesync.toml".to_owned();
        let text = files.get(&path).cloned().unwrap_or_default();
        files.insert(path, fill(&text, "source_anchor", &Value::String(anchor.clone())));
    }
    Ok(files)
}

fn with_settings(text: String, settings: &BTreeMap<String, Value>) -> String {
    settings.iter().fold(text, |text, (key, value)| fill(&text, key, value))
}

/// Puts a value in the place of the template's, whether that is in force or an example in a comment; else as the first one of
/// `[settings]`.
fn fill(text: &str, key: &str, value: &Value) -> String {
    let is_it = |line: &str| {
        let rest = line.trim_start_matches(['#', ' ']);
        rest.strip_prefix(key).is_some_and(|rest| rest.trim_start().starts_with('='))
    };
    let new = format!("{key} = {value}");
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    if let Some(line) = lines.iter_mut().find(|line| is_it(line)) {
        // What stands behind it explains the key.
        let comment = line.trim_start_matches('#').split_once('#').map(|(_, comment)| format!(" #{comment}"));
        *line = new + &comment.unwrap_or_default();
    } else {
        let at = lines.iter().position(|line| line.trim() == "[settings]").map_or(lines.len(), |at| at + 1);
        lines.insert(at, new);
    }
    lines.join("\n") + "\n"
}

/// Looks around in a domain of Active Directory that is to be read.
///
/// # Errors
/// When the settings are wrong, or the domain does not answer.
pub async fn look_at_domain(
    name: &str,
    settings: &BTreeMap<String, Value>,
    password: &SecretString,
) -> Result<Places, ServiceError> {
    let table: toml::Table = settings.iter().map(|(key, value)| (key.clone(), value.clone())).collect();
    let settings: AdSettings = Value::Table(table).try_into().map_err(|error: toml::de::Error| {
        ServiceError::config(format!("connector `{name}`: {}", error.message()), "look at what was answered")
    })?;
    let secrets = BTreeMap::from([(settings.password.clone(), password.clone())]);
    places(&settings, &secrets).await.map_err(|error| ServiceError::connector(name, error))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(topology: &str, kind: &str, sources: &[&str]) -> Chosen {
        let settings = |pairs: &[(&str, &str)]| {
            pairs.iter().map(|(k, v)| ((*k).to_owned(), Value::String((*v).to_owned()))).collect()
        };
        Chosen {
            topology: topology.to_owned(),
            kind: kind.to_owned(),
            sources: sources
                .iter()
                .map(|name| Source {
                    name: (*name).to_owned(),
                    settings: settings(&[
                        ("url", "ldaps://dc9"),
                        ("bind", "a\\b"),
                        ("password", "p"),
                        ("ca_file", "/ca.pem"),
                    ]),
                })
                .collect(),
            cloud: Cloud {
                name: "entra".to_owned(),
                settings: settings(&[
                    ("tenant", "t"),
                    ("client_id", "c"),
                    ("secret", "s"),
                    ("graph_url", "http://x"),
                ]),
            },
            source_anchor: Some("object-guid".to_owned()),
        }
    }

    #[test]
    fn answers_take_the_place_of_examples_and_comments_stay() {
        let files = files(&chosen("single-forest", "ad", &["contoso.com", "fabrikam.com"])).unwrap();
        let first = &files["connectors/source.toml"];
        assert!(first.contains("\nca_file = \"/ca.pem\"\n") && !first.contains("dc1.contoso.com"), "{first}");
        assert!(first.contains("password = \"p\" # name of a secret"), "{first}");
        let second: toml::Table = files["connectors/source-2.toml"].parse().unwrap();
        assert_eq!((second["name"].as_str(), second["rank"].as_integer()), (Some("fabrikam.com"), Some(2)));
        assert_eq!(second["settings"]["bind"].as_str(), Some("a\\b"));
        let cloud: toml::Table = files["connectors/entra.toml"].parse().unwrap();
        assert_eq!(cloud["settings"]["graph_url"].as_str(), Some("http://x"));
        let main: toml::Table = files["onesync.toml"].parse().unwrap();
        assert_eq!(main["source_anchor"].as_str(), Some("object-guid"));
        for file in files.iter().filter(|(path, _)| path.starts_with("rules/")) {
            assert!(file.1.contains("kind:"), "{}", file.0);
        }
    }

    #[test]
    fn forests_that_a_topology_has_and_nobody_named_are_left_out() {
        let files = files(&chosen("account-resource", "ad", &["only.com"])).unwrap();
        let connectors: Vec<_> = files.keys().filter(|path| path.starts_with("connectors/")).collect();
        assert_eq!(connectors, ["connectors/accounts.toml", "connectors/entra.toml"]);
    }
}
