//! Judges recorded traffic against the OpenAPI description of the Graph subset (feature `validate`).
//!
//! Made for tests: [`crate::judged`] starts a simulator and gives its log to [`Validator::check_all`].
//! Deliberately absent: query options and headers; the description says little about them.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Map, Value, json};

use crate::log::LogEntry;

/// Where the description lies, seen from the folder above the workspace.
const DESCRIPTION: &str = "shared/data/graph_v1_subset.openapi.yaml";

/// The verdict on one logged request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Request and answer are as described.
    Fits,
    /// The description does not know this method and path.
    NotDescribed,
    /// What does not fit, one line each.
    Misfits(Vec<String>),
}

/// Finds a data file beside the workspace by walking up from a crate's folder; none when it is not there.
#[must_use]
pub fn shared_data(manifest_dir: &Path, file: &str) -> Option<PathBuf> {
    manifest_dir.ancestors().map(|a| a.join("shared/data").join(file)).find(|p| p.is_file())
}

/// The description beside the workspace; none when it is not there.
#[must_use]
pub fn description(manifest_dir: &Path) -> Option<PathBuf> {
    let name = DESCRIPTION.rsplit('/').next().unwrap_or(DESCRIPTION);
    shared_data(manifest_dir, name)
}

/// The compiled description.
pub struct Validator {
    paths: Vec<(Vec<String>, Map<String, Value>)>,
    components: Value,
    compiled: Mutex<HashMap<String, Arc<jsonschema::Validator>>>,
}

impl Validator {
    /// Reads a description.
    ///
    /// # Errors
    /// When it is no OpenAPI description in YAML.
    pub fn parse(yaml: &str) -> Result<Validator, String> {
        let document: Value =
            serde_saphyr::from_str(yaml).map_err(|e| format!("description cannot be read: {e}"))?;
        let paths = document.get("paths").and_then(Value::as_object).ok_or("description has no paths")?;
        let read = |(path, item): (&String, &Value)| {
            let parts = path.trim_matches('/').split('/').map(str::to_owned).collect();
            (parts, item.as_object().cloned().unwrap_or_default())
        };
        Ok(Validator {
            paths: paths.iter().map(read).collect(),
            components: document.get("components").cloned().unwrap_or(Value::Null),
            compiled: Mutex::default(),
        })
    }

    /// Reads a description file.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn open(file: &Path) -> Result<Validator, String> {
        let yaml = std::fs::read_to_string(file).map_err(|e| format!("`{}`: {e}", file.display()))?;
        Validator::parse(&yaml)
    }

    /// The properties of a type, such as `microsoft.graph.user`, with what the description says of each.
    #[must_use]
    pub fn properties(&self, name: &str) -> Option<&Map<String, Value>> {
        self.components.get("schemas")?.get(name)?.get("properties")?.as_object()
    }

    /// Judges one logged request; its bodies must have been kept.
    #[must_use]
    pub fn check(&self, entry: &LogEntry) -> Verdict {
        let Some(operation) = self.operation(&entry.method, &entry.path) else {
            return Verdict::NotDescribed;
        };
        let mut misfits = Vec::new();
        // What the service refused may be as wrong as it likes.
        if entry.status < 400
            && let (Some(body), Some(schema)) = (&entry.request_body, schema_of(operation.get("requestBody")))
        {
            self.judge("request", schema, body, &mut misfits);
        }
        let responses = operation.get("responses");
        let by_status = |key: &str| responses.and_then(|r| r.get(key));
        let class = format!("{}XX", entry.status / 100);
        // A fault on order may answer what no description has.
        let response = by_status(&entry.status.to_string()).or_else(|| by_status(&class));
        match (response, &entry.response_body) {
            (None, _) if entry.fault.is_some() || entry.status == 0 => {}
            // The page of a gateway.
            (Some(_), Some(Value::String(_))) if entry.fault.is_some() => {}
            (None, _) => misfits.push(format!("status {} is not described", entry.status)),
            (Some(response), Some(body)) => match schema_of(Some(response)) {
                Some(schema) => self.judge("response", schema, &plain(response, body), &mut misfits),
                // A fault on order may answer in the place of what was asked.
                None if entry.fault.is_some() => {}
                None => {
                    misfits.push(format!("status {} is described without a body, but has one", entry.status))
                }
            },
            (Some(response), None) => {
                if schema_of(Some(response)).is_some() && entry.status != 204 && entry.fault.is_none() {
                    misfits.push(format!("status {} is described with a body, but has none", entry.status));
                }
            }
        }
        if misfits.is_empty() { Verdict::Fits } else { Verdict::Misfits(misfits) }
    }

    /// Judges a log. Returns one line for each misfit, and the shapes of requests that are not described.
    #[must_use]
    pub fn check_all(&self, log: &[LogEntry]) -> (Vec<String>, Vec<String>) {
        let mut misfits = Vec::new();
        let mut unknown: Vec<String> = Vec::new();
        for entry in log {
            let line = format!("#{} {} {} -> {}", entry.number, entry.method, entry.path, entry.status);
            match self.check(entry) {
                Verdict::Fits => {}
                Verdict::NotDescribed => unknown.push(line),
                Verdict::Misfits(found) => misfits.extend(found.into_iter().map(|m| format!("{line}: {m}"))),
            }
        }
        (misfits, unknown)
    }

    /// The operation of a request: literal segments win over parameters.
    fn operation(&self, method: &str, path: &str) -> Option<&Map<String, Value>> {
        let wanted = normal(path);
        let fits = |template: &[String]| -> Option<usize> {
            if template.len() != wanted.len() {
                return None;
            }
            let mut literal = 0;
            for (part, given) in template.iter().zip(&wanted) {
                if part.starts_with('{') {
                    continue;
                }
                match part.split_once("'{") {
                    Some((start, _)) if given.starts_with(start) => {}
                    None if part == given => literal += 1,
                    _ => return None,
                }
            }
            Some(literal)
        };
        let method = method.to_ascii_lowercase();
        self.paths
            .iter()
            .filter_map(|(template, item)| Some((fits(template)?, item.get(&method)?.as_object()?)))
            .max_by_key(|(literal, _)| *literal)
            .map(|(_, operation)| operation)
    }

    fn judge(&self, what: &str, schema: &Value, body: &Value, misfits: &mut Vec<String>) {
        let key = schema.to_string();
        let known = self.compiled.lock().unwrap_or_else(PoisonError::into_inner).get(&key).cloned();
        let validator = match known {
            Some(validator) => validator,
            None => {
                let mut root = schema.clone();
                root["components"] = self.components.clone();
                let built = jsonschema::draft202012::options().should_validate_formats(true).build(&root);
                match built {
                    Ok(validator) => {
                        let validator = Arc::new(validator);
                        let mut compiled = self.compiled.lock().unwrap_or_else(PoisonError::into_inner);
                        compiled.insert(key, Arc::clone(&validator));
                        validator
                    }
                    Err(error) => {
                        misfits.push(format!("{what}: schema cannot be compiled: {error}"));
                        return;
                    }
                }
            }
        };
        for error in validator.iter_errors(body) {
            misfits.push(format!("{what} at `{}`: {error}", error.instance_path()));
        }
        self.names(what, schema, body, misfits);
    }

    /// Types are open, so a misspelt member would pass: every plain name has to be described.
    fn names(&self, what: &str, schema: &Value, body: &Value, misfits: &mut Vec<String>) {
        let Some(name) = schema.get("$ref").and_then(Value::as_str).and_then(|r| r.rsplit('/').next()) else {
            return;
        };
        if name == "microsoft.graph.directoryObject"
            || !name.starts_with("microsoft.graph.")
            || name.contains("ODataErrors")
        {
            return;
        }
        let (Some(properties), Some(members)) = (self.properties(name), body.as_object()) else { return };
        if let Some(items) = properties.get("value").and_then(|v| v.get("items")) {
            for item in members.get("value").and_then(Value::as_array).into_iter().flatten() {
                self.names(what, items, item, misfits);
            }
            return;
        }
        for member in members.keys() {
            let known =
                properties.contains_key(member) || member.contains('@') || member.starts_with("extension_");
            if !known {
                misfits.push(format!("{what}: `{member}` is no property of {name}"));
            }
        }
    }
}

/// The schema of a request body or response.
fn schema_of(holder: Option<&Value>) -> Option<&Value> {
    let content = holder?.get("content")?.as_object()?;
    content.values().next()?.get("schema")
}

/// A count travels as text.
fn plain(response: &Value, body: &Value) -> Value {
    let text = response.get("content").is_some_and(|c| c.get("text/plain").is_some());
    match body.as_str().filter(|_| text).and_then(|t| t.parse::<i64>().ok()) {
        Some(number) => json!(number),
        None => body.clone(),
    }
}

/// A path in the spelling of the description.
fn normal(path: &str) -> Vec<String> {
    let mut parts = Vec::new();
    for part in path.trim_start_matches("/v1.0").split('/').filter(|p| !p.is_empty()) {
        let part =
            part.replace("microsoft.graph.", "graph.").replace("transitivemembers", "transitiveMembers");
        let bare = part.trim_end_matches("()").trim_start_matches("graph.");
        if bare == "delta" {
            parts.push("delta()".to_owned());
        } else if let Some((set, key)) = part.split_once("('") {
            parts.push(set.to_owned());
            parts.push(key.trim_end_matches("')").to_owned());
        } else {
            parts.push(part);
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: &str = r##"
paths:
  /users/{user-id}:
    get:
      responses:
        '200': {content: {application/json: {schema: {$ref: '#/components/schemas/microsoft.graph.user'}}}}
  /users/delta():
    get:
      responses:
        '200': {content: {application/json: {schema: {type: array}}}}
components:
  schemas:
    microsoft.graph.user:
      type: object
      properties: {displayName: {type: string}}
"##;

    fn verdict(path: &str, body: Value) -> Verdict {
        let entry = LogEntry {
            method: "GET".into(),
            path: path.into(),
            status: 200,
            response_body: Some(body),
            ..LogEntry::default()
        };
        Validator::parse(SMALL).unwrap().check(&entry)
    }

    #[test]
    fn wrong_types_and_unknown_names_are_told() {
        assert_eq!(
            verdict("/v1.0/users/1", json!({"displayName": "x", "@odata.context": "y"})),
            Verdict::Fits
        );
        assert!(
            matches!(verdict("/v1.0/users/1", json!({"displayName": 1})), Verdict::Misfits(m) if m.len() == 1)
        );
        assert!(matches!(verdict("/v1.0/users/1", json!({"displayname": "x"})), Verdict::Misfits(_)));
        assert_eq!(verdict("/v1.0/users/microsoft.graph.delta()", json!([])), Verdict::Fits);
        assert_eq!(verdict("/v1.0/nobody", json!({})), Verdict::NotDescribed);
    }
}
