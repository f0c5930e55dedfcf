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

/// Makes the connector that a file describes. Nothing is contacted. Relative paths are relative to `folder`.
pub(crate) fn make(
    file: &ConnectorFile,
    folder: &Path,
    secrets: &BTreeMap<String, SecretString>,
    names: &mut Names,
) -> Result<Arc<dyn Connector>, ServiceError> {
    let failed = |error| setting_mistake(file, error);
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
    folder: &Path,
    selection: &Selection,
) -> Result<Option<Arc<dyn Connector>>, ServiceError> {
    if file.kind != "jsonl" {
        return Ok(None);
    }
    let connector = JsonlConnector::new(settings::<JsonlSettings>(file)?.within(folder), selection.clone());
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
