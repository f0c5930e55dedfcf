//! What directories can hold: asked of each of them, and where one does not answer, what it said last.
//!
//! The last answer is kept with its date, so that a file that is missing or a server that is down takes nobody the
//! sight of what was read before, and keeps no other connector from its work.

use std::sync::Arc;

use onesync_connectors::{Connector, ConnectorError, DiscoveredAttribute, DiscoveredSchema, DiscoveredType};
use onesync_engine::Changes;
use onesync_model::{AttributeType, ConnectorId, Hash128, Names, Time, hash128};
use onesync_store::StoreReader;
use serde_json::{Value as Json, json};

use crate::compile::Known;
use crate::config::ConnectorFile;
use crate::error::ServiceError;
use crate::kinds::{self, Workshop};
use crate::runtime::{Runtime, Service};

/// The name of the state that keeps the last answer.
const STATE: &str = "last-schema";

/// What to do where a directory does not answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Reach {
    /// Its last answer will do: the configuration was taken before.
    LastAnswer,
    /// Only where its file is the one that the last answer was for: the configuration is looked at or taken.
    Now,
}

/// What a directory said last.
#[derive(Clone, Debug)]
pub(crate) struct LastAnswer {
    pub(crate) time: Time,
    /// Of the connector's file at that time.
    file: Hash128,
    pub(crate) schema: DiscoveredSchema,
}

/// A directory that did not answer.
#[derive(Clone, Debug)]
pub struct Unreachable {
    /// What happened.
    pub error: ConnectorError,
    /// From when its schema is.
    pub schema_of: Time,
}

/// A connector and what its directory can hold.
pub(crate) struct Discovered {
    pub(crate) connector: Arc<dyn Connector>,
    pub(crate) schema: DiscoveredSchema,
    pub(crate) unreachable: Option<Unreachable>,
}

/// Makes a connector and asks its directory.
pub(crate) async fn discover(
    id: Option<ConnectorId>,
    file: &ConnectorFile,
    workshop: Workshop<'_>,
    known: &Known,
    names: &mut Names,
    reach: Reach,
) -> Result<Discovered, ServiceError> {
    let connector = kinds::make(file, workshop, &known.secrets, names)?;
    let error = match connector.schema().await {
        Ok(schema) => return Ok(Discovered { connector, schema, unreachable: None }),
        Err(error) => error,
    };
    let last = id.and_then(|id| known.schemas.get(&id));
    match last.filter(|last| reach == Reach::LastAnswer || last.file == hash_of(file)) {
        Some(LastAnswer { time, schema, .. }) => Ok(Discovered {
            connector,
            schema: schema.clone(),
            unreachable: Some(Unreachable { error, schema_of: *time }),
        }),
        None => Err(ServiceError::connector(&file.name, error)),
    }
}

/// What a directory said last, where it is known.
pub(crate) fn last_answer(
    reader: &dyn StoreReader,
    connector: ConnectorId,
) -> Result<Option<LastAnswer>, ServiceError> {
    Ok(reader.state(connector, STATE)?.and_then(|bytes| read(&bytes)))
}

impl Service {
    /// States that keep what the directories said just now, as far as it is another answer than the one before.
    pub(crate) fn answers_to_keep(&self, runtime: &Runtime) -> Result<Changes, ServiceError> {
        let reader = self.store().reader()?;
        let mut states = Vec::new();
        for handle in runtime.connectors.iter().filter(|handle| handle.unreachable.is_none()) {
            let (file, answer) = (hash_of(&handle.file), write(&handle.discovered));
            let key = hash128(&[&file.0, answer.as_bytes()]).to_string();
            let before = reader.state(handle.id, STATE)?;
            if before.is_some_and(|before| before.starts_with(key.as_bytes())) {
                continue;
            }
            let text = format!("{key}\n{}\n{file}\n{answer}", self.now());
            states.push((handle.id, STATE.to_owned(), Some(text.into_bytes())));
        }
        Ok(Changes { states, ..Changes::default() })
    }

    /// Keeps what the directories said; those that did not answer are asked once more before work begins.
    pub(crate) async fn ask_again(&self) -> Result<(), ServiceError> {
        if self.runtime()?.connectors.iter().any(|handle| handle.unreachable.is_some()) {
            self.reload().await?;
        }
        let changes = self.answers_to_keep(&*self.runtime()?)?;
        if !changes.states.is_empty() {
            self.store().apply(self.epoch(), &changes)?;
        }
        Ok(())
    }
}

fn hash_of(file: &ConnectorFile) -> Hash128 {
    hash128(&[file.text.as_bytes()])
}

fn write(schema: &DiscoveredSchema) -> String {
    let attribute = |a: &DiscoveredAttribute| {
        json!({
            "name": a.name, "kind": a.kind.as_str(), "multi": a.multi, "case_exact": a.case_exact,
            "read_only": a.read_only, "length_max": a.length_max,
        })
    };
    let of_type = |t: &DiscoveredType| json!({"name": t.name, "attributes": t.attributes, "required": t.required, "read_only": t.read_only, "never_empty": t.never_empty, "writable": t.writable});
    json!({
        "attributes": schema.attributes.iter().map(attribute).collect::<Vec<_>>(),
        "types": schema.types.iter().map(of_type).collect::<Vec<_>>(),
    })
    .to_string()
}

/// `None` for what another version wrote: then the directory must answer.
fn read(bytes: &[u8]) -> Option<LastAnswer> {
    let mut parts = str::from_utf8(bytes).ok()?.splitn(4, '\n').skip(1);
    let (time, file) = (parts.next()?.parse().ok()?, Hash128::parse(parts.next()?)?);
    let json: Json = serde_json::from_str(parts.next()?).ok()?;
    let text = |json: &Json, key: &str| json[key].as_str().map(str::to_owned);
    let flag = |json: &Json, key: &str| json[key].as_bool();
    let list = |json: &Json, key: &str| -> Option<Vec<String>> {
        json[key].as_array()?.iter().map(|name| name.as_str().map(str::to_owned)).collect()
    };
    let attribute = |a: &Json| {
        Some(DiscoveredAttribute {
            name: text(a, "name")?,
            kind: AttributeType::parse(a["kind"].as_str()?)?,
            multi: flag(a, "multi")?,
            case_exact: flag(a, "case_exact")?,
            read_only: flag(a, "read_only")?,
            length_max: a["length_max"].as_u64().and_then(|length| usize::try_from(length).ok()),
        })
    };
    let of_type = |t: &Json| {
        Some(DiscoveredType {
            name: text(t, "name")?,
            attributes: list(t, "attributes")?,
            required: list(t, "required")?,
            read_only: list(t, "read_only")?,
            never_empty: list(t, "never_empty")?,
            writable: flag(t, "writable")?,
        })
    };
    let attributes = json["attributes"].as_array()?.iter().map(attribute).collect::<Option<_>>()?;
    let types = json["types"].as_array()?.iter().map(of_type).collect::<Option<_>>()?;
    Some(LastAnswer { time, file, schema: DiscoveredSchema { types, attributes } })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_read_back() {
        let schema = DiscoveredSchema {
            types: vec![DiscoveredType {
                name: "user".into(),
                attributes: vec!["mail".into()],
                required: vec!["mail".into()],
                read_only: vec!["mail".into()],
                never_empty: vec!["mail".into()],
                writable: true,
            }],
            attributes: vec![DiscoveredAttribute {
                name: "mail".into(),
                kind: AttributeType::String,
                multi: true,
                case_exact: false,
                read_only: true,
                length_max: Some(7),
            }],
        };
        let time: Time = "2026-01-02T03:04:05Z".parse().unwrap();
        let text = format!("key\n{time}\n{}\n{}", hash128(&[b"file"]), write(&schema));
        let back = read(text.as_bytes()).unwrap();
        assert_eq!((back.time, back.file, back.schema), (time, hash128(&[b"file"]), schema));
        assert!(read(b"key\nno time\n\n{}").is_none());
    }
}
