//! Where kinds of connectors meet their implementations.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use onesync_connectors::{
    Connector, Selection,
    ad::{AdConnector, AdSettings},
    graph::{GraphConnector, GraphSettings},
    jsonl::{JsonlConnector, JsonlSettings},
    ldif::{LdifConnector, LdifSettings},
};
use onesync_model::Names;
use secrecy::SecretString;
use serde::{Deserialize, de::DeserializeOwned};

use crate::config::ConnectorFile;
use crate::error::ServiceError;
use crate::mistakes::{setting_mistake, toml_mistake};

/// The kinds there are.
pub(crate) const KINDS: [&str; 4] = ["ad", "graph", "jsonl", "ldif"];

/// Makes a connector of a kind that only the caller knows, once without a selection and once with it; `None` for all
/// other kinds.
pub type MakeConnector = dyn Fn(&ConnectorFile, &Selection) -> Option<Arc<dyn Connector>> + Send + Sync;

/// Where connectors are made.
#[derive(Clone, Copy)]
pub(crate) struct Workshop<'a> {
    /// Relative paths are relative to this folder.
    pub(crate) folder: &'a Path,
    /// Kinds beside those of [`KINDS`].
    pub(crate) more: Option<&'a MakeConnector>,
}

/// Makes the connector that a file describes. Nothing is contacted.
pub(crate) fn make(
    file: &ConnectorFile,
    workshop: Workshop<'_>,
    secrets: &BTreeMap<String, SecretString>,
    names: &mut Names,
) -> Result<Arc<dyn Connector>, ServiceError> {
    let failed = |error| setting_mistake(file, error);
    if let Some(made) = workshop.more.and_then(|more| more(file, &Selection::default())) {
        return Ok(made);
    }
    let folder = workshop.folder;
    Ok(match file.kind.as_str() {
        "ldif" => {
            Arc::new(LdifConnector::new(settings::<LdifSettings>(file)?.within(folder)).map_err(failed)?)
        }
        "jsonl" => Arc::new(JsonlConnector::new(
            settings::<JsonlSettings>(file)?.within(folder),
            Selection::default(),
        )),
        "graph" => {
            let settings = settings::<GraphSettings>(file)?.within(folder);
            Arc::new(GraphConnector::new(settings, secrets, names).map_err(failed)?)
        }
        "ad" => {
            let settings = settings::<AdSettings>(file)?.within(folder);
            Arc::new(AdConnector::new(settings, secrets).map_err(failed)?)
        }
        other => {
            return Err(ServiceError::config(
                format!("{}: there is no kind `{other}` of connectors", file.place_of(&["kind"])),
                format!("kinds are {}", KINDS.join(", ")),
            ));
        }
    })
}

/// Makes a connector again that must know what is selected to write by name: a plain file has no schema of its own.
pub(crate) fn with_selection(
    file: &ConnectorFile,
    workshop: Workshop<'_>,
    selection: &Selection,
) -> Result<Option<Arc<dyn Connector>>, ServiceError> {
    if file.kind != "jsonl" {
        return Ok(workshop.more.and_then(|more| more(file, selection)));
    }
    let settings = settings::<JsonlSettings>(file)?.within(workshop.folder);
    let connector = JsonlConnector::new(settings, selection.clone());
    Ok(Some(Arc::new(connector)))
}

/// The names of the secrets that a connector needs.
pub(crate) fn secret_names(file: &ConnectorFile) -> Result<Vec<String>, ServiceError> {
    Ok(match file.kind.as_str() {
        "graph" => settings::<GraphSettings>(file)?.secret_names().into_iter().map(str::to_owned).collect(),
        "ad" => vec![settings::<AdSettings>(file)?.password],
        _ => Vec::new(),
    })
}

/// The file as far as its settings go: read from the text, so that a mistake has its line.
#[derive(Deserialize)]
struct Settings<T> {
    settings: T,
}

fn settings<T: DeserializeOwned>(file: &ConnectorFile) -> Result<T, ServiceError> {
    let read = toml::from_str::<Settings<T>>(&file.text).map_err(|error| {
        ServiceError::config(
            toml_mistake(&file.path, &file.text, &error),
            format!("the settings of the kind `{}` are in docs/reference.md", file.kind),
        )
    })?;
    Ok(read.settings)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{MainFile, TypeFile};

    /// The keys that a table may have: the reader names them when it meets another one.
    fn keys<T: DeserializeOwned>(given: &str) -> Vec<String> {
        let wrong =
            toml::from_str::<T>(&format!("{given}\nno_such_key = 1")).err().unwrap().message().to_owned();
        assert!(wrong.starts_with("unknown field `no_such_key`"), "{wrong}");
        wrong.split('`').skip(1).step_by(2).skip(1).map(str::to_owned).collect()
    }

    #[test]
    fn the_reference_has_every_setting() {
        let reference = include_str!("../../../docs/reference.md");
        let graph = include_str!("../../../docs/graph.md");
        for (text, what, keys) in [
            (reference, "onesync.toml", keys::<MainFile>("")),
            (reference, "a connector", keys::<ConnectorFile>("")),
            (reference, "a type", keys::<TypeFile>("")),
            (reference, "ad", keys::<AdSettings>("")),
            (reference, "ldif", keys::<LdifSettings>("")),
            (reference, "jsonl", keys::<JsonlSettings>("")),
            (graph, "graph", keys::<GraphSettings>("")),
        ] {
            assert!(keys.len() > 1, "{what}: {keys:?}");
            for key in keys {
                let named = [format!("`{key}`"), format!(".{key}]"), format!("[{key}]"), format!("`{key}.")];
                assert!(named.iter().any(|name| text.contains(name)), "`{key}` of {what} is missing");
            }
        }
    }

    fn file(text: &str) -> ConnectorFile {
        let file: ConnectorFile = toml::from_str(text).unwrap();
        ConnectorFile { path: "connectors/a.toml".to_owned(), text: text.to_owned(), ..file }
    }

    #[test]
    fn mistakes_in_settings_name_their_line() {
        let start = "name = \"a\"\nkind = \"graph\"\nrank = 1\n[settings]\n";
        let made = |rest: &str| {
            let file = file(&format!("{start}{rest}"));
            let workshop = Workshop { folder: Path::new("/"), more: None };
            make(&file, workshop, &BTreeMap::new(), &mut Names::new()).err().map(|e| e.to_string())
        };
        let good = "tenant = \"t\"\nclient_id = \"5b0f4c7e-2f3a-4c55-9a57-6d2d8f0e1a22\"\nsecret = \"s\"\n";
        assert_eq!(made(good), None, "a secret that is not stored is no mistake in the file");
        let wrong = made(&good.replace("tenant", "tennant")).unwrap();
        assert_eq!(wrong, "connectors/a.toml:5:1: unknown key `tennant`: did you mean `tenant`?");
        let wrong = made(&format!("{good}graph_url = \"http://graph.example\"\n")).unwrap();
        assert_eq!(wrong, "connectors/a.toml:8:1: `http://graph.example` is not https");
        let wrong = made("").unwrap();
        assert!(
            wrong.starts_with("connectors/a.toml:4:") && wrong.contains("`tenant` is missing"),
            "{wrong}"
        );
    }
}
