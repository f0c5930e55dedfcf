//! The connector to a file of JSON lines.

use std::collections::HashMap;
use std::fs;
use std::io::{ErrorKind, Write};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use serde_json::{Value as Json, json};
use tokio::sync::mpsc;

use super::import::{LineReader, import};
use super::line::Object;
use super::rewrite::{export, read_only};
use super::schema::{roles, schema};
use super::{JsonlSettings, LinksBy};
use crate::files::{ReplaceError, replace};
use crate::{
    Anchor, Capabilities, Connector, ConnectorError, CreateKey, DiscoveredSchema, ErrorClass, ExportBatch,
    ExportResult, Finding, ImportEnd, ImportPage, ImportRequest, Marker, Selection, Severity, TestReport,
    TypeRoles,
};

/// Items of one batch: a batch rewrites the file, so few large ones are better than many small ones.
const EXPORT_BATCH_MAX: usize = 10_000;

/// Link values of one item.
const EXPORT_LINKS_MAX: usize = 10_000;

/// A connector to a file of JSON lines.
#[derive(Clone, Debug)]
pub struct JsonlConnector {
    settings: JsonlSettings,
    selection: Selection,
    /// Held while the file is rewritten: two batches at once would lose one.
    writing: Arc<Mutex<()>>,
}

impl JsonlConnector {
    /// Makes a connector; the selection gives the names to the ids that exports carry.
    #[must_use]
    pub fn new(settings: JsonlSettings, selection: Selection) -> Self {
        Self { settings, selection, writing: Arc::default() }
    }

    /// Runs what uses files on a thread that may block.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(Self) -> Result<T, ConnectorError> + Send + 'static,
    ) -> Result<T, ConnectorError> {
        let this = self.clone();
        tokio::task::spawn_blocking(move || work(this)).await.unwrap_or_else(|error| {
            let message = format!("ended early: {error}");
            Err(ConnectorError::new(ErrorClass::Fatal, "JSONL-PANIC", "JSON lines", message))
        })
    }

    fn error(&self, class: ErrorClass, code: &str, message: impl Into<String>) -> ConnectorError {
        ConnectorError::new(class, code, self.settings.path.display().to_string(), message)
    }

    fn look(&self) -> TestReport {
        let subject = self.settings.path.display().to_string();
        let (severity, message) = match LineReader::open(&self.settings) {
            Ok(Some(_)) => (Severity::Ok, "can be read".to_owned()),
            Ok(None) => (Severity::Warning, "does not exist yet: an empty directory".to_owned()),
            Err(error) => (Severity::Failed, [error.message, error.hint.unwrap_or_default()].join("; ")),
        };
        let mut findings = vec![Finding { severity, subject, message }];
        if self.settings.write {
            let probe = self.settings.beside(".new");
            let written = fs::File::create(&probe).and_then(|_| fs::remove_file(&probe));
            let (severity, message) = match written {
                Ok(()) => (Severity::Ok, "files can be created".to_owned()),
                Err(error) => (
                    Severity::Failed,
                    format!(
                        "files cannot be created: {error}; give the service's account the right to write there"
                    ),
                ),
            };
            let folder = self.settings.path.parent().unwrap_or(&self.settings.path);
            findings.push(Finding { severity, subject: folder.display().to_string(), message });
        }
        TestReport { findings }
    }

    fn find(&self, keys: &[CreateKey]) -> Result<Vec<Option<Anchor>>, ConnectorError> {
        let mut found: HashMap<&str, Option<Anchor>> =
            keys.iter().map(|key| (key.key.as_str(), None)).collect();
        let mut lines = LineReader::open(&self.settings)?;
        while let Some(line) = lines
            .as_mut()
            .map_or(Ok(None), LineReader::next)
            .map_err(|error| self.error(ErrorClass::Transient, "JSONL-READ", error.to_string()))?
        {
            let Some(anchor) = Object::parse(line).ok().and_then(|object| object.anchor().ok()) else {
                continue;
            };
            if let Some(place) = anchor.as_text().and_then(|text| found.get_mut(text)) {
                *place = Some(anchor.clone());
            }
        }
        Ok(keys.iter().map(|key| found.get(key.key.as_str()).cloned().flatten()).collect())
    }

    fn read_marker(&self) -> Result<Option<Marker>, ConnectorError> {
        let unreadable = |name: &str| {
            let text = "the marker beside the file cannot be read";
            self.error(ErrorClass::Configuration, "JSONL-MARKER", text).hint(format!(
                "find out which installation writes this file; then remove the file `{name}` beside it"
            ))
        };
        let damaged = || unreadable(".marker");
        let session = match fs::read_to_string(self.settings.beside(".session")) {
            Ok(text) => Some(text.trim_end().to_owned()).filter(|text| !text.is_empty()),
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(_) => return Err(unreadable(".session")),
        };
        let text = match fs::read(self.settings.beside(".marker")) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(session.map(Marker::remains)),
            Err(_) => return Err(damaged()),
        };
        let json: Json = serde_json::from_slice(&text).map_err(|_| damaged())?;
        let installation = json.get("installation").and_then(Json::as_str).ok_or_else(damaged)?.to_owned();
        let epoch = json.get("epoch").and_then(Json::as_u64).ok_or_else(damaged)?;
        let taken = json.get("taken").and_then(Json::as_str).map(str::to_owned);
        let number = json.get("number").and_then(Json::as_u64).unwrap_or_default();
        Ok(Some(Marker { installation, epoch, taken, number, session }))
    }

    fn write_marker(&self, marker: &Marker) -> Result<(), ConnectorError> {
        let mut json = json!({"installation": marker.installation, "epoch": marker.epoch});
        if let Some(taken) = &marker.taken {
            (json["taken"], json["number"]) = (json!(taken), json!(marker.number));
        }
        self.write_beside(".marker", &json.to_string())
    }

    /// In a file of its own: neither is written with the other.
    fn write_session(&self, marker: &Marker) -> Result<(), ConnectorError> {
        self.write_beside(".session", marker.session.as_deref().unwrap_or_default())
    }

    fn write_beside(&self, name: &str, text: &str) -> Result<(), ConnectorError> {
        if !self.settings.write {
            return Err(read_only(&self.settings));
        }
        let (path, beside) = (self.settings.beside(name), self.settings.beside(&format!("{name}.new")));
        replace(&path, &beside, |out| writeln!(out, "{text}")).map_err(|error| {
            let (ReplaceError::Before(error) | ReplaceError::After(error)) = error;
            self.error(
                ErrorClass::Transient,
                "JSONL-MARKER",
                format!("the marker cannot be written: {error}"),
            )
        })
    }
}

#[async_trait]
impl Connector for JsonlConnector {
    fn kind(&self) -> &'static str {
        "jsonl"
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            export: self.settings.write,
            export_batch_max: EXPORT_BATCH_MAX,
            export_links_max: EXPORT_LINKS_MAX,
            marker: self.settings.write,
            links_by_name: self.settings.links_by == LinksBy::Dn,
            ..Capabilities::default()
        }
    }

    fn type_roles(&self) -> Vec<TypeRoles> {
        roles(&self.settings)
    }

    async fn test(&self) -> Result<TestReport, ConnectorError> {
        self.blocking(|this| Ok(this.look())).await
    }

    async fn schema(&self) -> Result<DiscoveredSchema, ConnectorError> {
        self.blocking(|this| schema(&this.settings)).await
    }

    async fn import(
        &self,
        request: ImportRequest,
        pages: mpsc::Sender<ImportPage>,
    ) -> Result<ImportEnd, ConnectorError> {
        self.blocking(move |this| import(&this.settings, request, &pages)).await
    }

    async fn export(&self, batch: ExportBatch) -> Result<Vec<ExportResult>, ConnectorError> {
        batch.pass.check().await?; // a batch is one write: the new file takes the place of the old one
        self.blocking(move |this| {
            let _writing = this.writing.lock().unwrap_or_else(PoisonError::into_inner);
            export(&this.settings, &this.selection, &batch)
        })
        .await
    }

    async fn find_created(&self, keys: &[CreateKey]) -> Result<Vec<Option<Anchor>>, ConnectorError> {
        let keys = keys.to_vec();
        self.blocking(move |this| this.find(&keys)).await
    }

    async fn marker(&self) -> Result<Option<Marker>, ConnectorError> {
        self.blocking(|this| this.read_marker()).await
    }

    async fn set_marker(&self, marker: &Marker) -> Result<(), ConnectorError> {
        let marker = marker.clone();
        self.blocking(move |this| this.write_marker(&marker)).await
    }

    async fn set_session(&self, marker: &Marker) -> Result<(), ConnectorError> {
        let marker = marker.clone();
        self.blocking(move |this| this.write_session(&marker)).await
    }
}
