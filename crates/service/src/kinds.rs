//! Where kinds of connectors meet their implementations.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use onesync_connectors::{
    Connector, Selection,
    ad::AdConnector,
    graph::GraphConnector,
    jsonl::{JsonlConnector, JsonlSettings},
    ldif::LdifConnector,
};
use onesync_model::Names;
use secrecy::SecretString;
use serde::de::DeserializeOwned;

use crate::config::ConnectorFile;
use crate::error::ServiceError;

/// The kinds there are.
pub(crate) const KINDS: [&str; 4] = ["ad", "graph", "jsonl", "ldif"];

/// Makes the connector that a file describes. Nothing is contacted. Relative paths are relative to `folder`.
pub(crate) fn make(
    file: &ConnectorFile,
    folder: &Path,
    secrets: &BTreeMap<String, SecretString>,
    names: &mut Names,
) -> Result<Arc<dyn Connector>, ServiceError> {
    let failed = |error| ServiceError::connector(&file.name, error);
    Ok(match file.kind.as_str() {
        "ldif" => Arc::new(
            LdifConnector::new(settings::<onesync_connectors::ldif::LdifSettings>(file)?.within(folder))
                .map_err(failed)?,
        ),
        "jsonl" => Arc::new(JsonlConnector::new(
            settings::<JsonlSettings>(file)?.within(folder),
            Selection::default(),
        )),
        "graph" => Arc::new(GraphConnector::new(settings(file)?, secrets, names).map_err(failed)?),

        "ad" => Arc::new(AdConnector::new(settings(file)?, secrets).map_err(failed)?),
        other => {
            return Err(ServiceError::config(
                format!("connector `{}` has the unknown kind `{other}`", file.name),
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

fn settings<T: DeserializeOwned>(file: &ConnectorFile) -> Result<T, ServiceError> {
    T::deserialize(toml::Value::Table(file.settings.clone())).map_err(|error| {
        ServiceError::config(
            format!("settings of connector `{}`: {}", file.name, error.message()),
            format!("correct the table `[settings]` in its file; a connector of kind `{}` is described in docs/reference.md", file.kind),
        )
    })
}
