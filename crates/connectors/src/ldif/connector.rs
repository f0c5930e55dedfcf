//! The connector to LDIF files.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use onesync_model::Dn;
use tokio::sync::mpsc;

use super::LdifSettings;
use super::import::{import, open, unreadable};
use super::records::attribute_names;
use crate::{
    Anchor, Capabilities, Connector, ConnectorError, CreateKey, DiscoveredAttribute, DiscoveredSchema,
    ErrorClass, ExportBatch, ExportResult, Finding, ImportEnd, ImportPage, ImportRequest, Marker, Selector,
    Severity, TestReport, Watermark, ad_schema,
};

/// Entries at the begin of a file that are looked at for attributes which the built-in schema does not know.
const SCHEMA_ENTRIES_MAX: usize = 10_000;

/// A connector to LDIF files.
#[derive(Clone, Debug)]
pub struct LdifConnector {
    settings: LdifSettings,
}

impl LdifConnector {
    /// Makes a connector.
    ///
    /// # Errors
    /// When the settings name no file.
    pub fn new(settings: LdifSettings) -> Result<Self, ConnectorError> {
        if settings.paths.is_empty() {
            let error = ConnectorError::new(
                ErrorClass::Configuration,
                "LDIF-NO-FILE",
                "setting `paths`",
                "no file is named",
            );
            return Err(error.hint("write `path = \"export.ldif\"`"));
        }
        Ok(Self { settings })
    }
}

#[async_trait]
impl Connector for LdifConnector {
    fn kind(&self) -> &'static str {
        "ldif"
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities { hierarchical: true, links_by_name: true, ..Capabilities::default() }
    }

    async fn test(&self) -> Result<TestReport, ConnectorError> {
        let settings = self.settings.clone();
        blocking(move || {
            let findings = settings.paths.iter().map(|path| {
                let subject = path.display().to_string();
                match open(path) {
                    Ok((_, state)) if state.length == 0 => Finding {
                        severity: Severity::Warning,
                        subject,
                        message: "is empty: an import of it proves nothing".to_owned(),
                    },
                    Ok((_, state)) => Finding {
                        severity: Severity::Ok,
                        subject,
                        message: format!("can be read, {} bytes", state.length),
                    },
                    Err(error) => Finding {
                        severity: Severity::Failed,
                        subject,
                        message: [error.message, error.hint.unwrap_or_default()].join("; "),
                    },
                }
            });
            Ok(TestReport { findings: findings.collect() })
        })
        .await
    }

    async fn schema(&self) -> Result<DiscoveredSchema, ConnectorError> {
        let settings = self.settings.clone();
        blocking(move || discover(&settings)).await
    }

    async fn import(
        &self,
        request: ImportRequest,
        pages: mpsc::Sender<ImportPage>,
    ) -> Result<ImportEnd, ConnectorError> {
        let settings = self.settings.clone();
        blocking(move || import(&settings, request, &pages)).await
    }

    async fn export(&self, _batch: ExportBatch) -> Result<Vec<ExportResult>, ConnectorError> {
        Err(read_only())
    }

    async fn find_created(&self, keys: &[CreateKey]) -> Result<Vec<Option<Anchor>>, ConnectorError> {
        Ok(vec![None; keys.len()])
    }

    fn selector(&self, _known: Option<&Watermark>) -> Option<Selector> {
        let base = Dn::parse(self.settings.base.as_deref()?).ok()?;
        Some(Box::new(move |_, dn| Dn::parse(dn).is_ok_and(|dn| dn.is_within(&base))))
    }

    async fn marker(&self) -> Result<Option<Marker>, ConnectorError> {
        Ok(None)
    }

    async fn set_marker(&self, _marker: &Marker) -> Result<(), ConnectorError> {
        Err(read_only())
    }
}

/// Runs what reads files on a thread that may block.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ConnectorError> + Send + 'static,
) -> Result<T, ConnectorError> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| {
        Err(ConnectorError::new(
            ErrorClass::Fatal,
            "LDIF-PANIC",
            "LDIF files",
            format!("reading ended early: {error}"),
        ))
    })
}

/// The built-in schema, and what the first entries have beyond it. Attributes found only in the files may belong to
/// any type and hold several values: LDIF does not say more.
fn discover(settings: &LdifSettings) -> Result<DiscoveredSchema, ConnectorError> {
    let mut schema = ad_schema::discovered();
    let known: BTreeSet<String> = schema.attributes.iter().map(|a| a.name.to_ascii_lowercase()).collect();
    let mut found = BTreeMap::new();
    for path in &settings.paths {
        let (file, _) = open(path)?;
        attribute_names(file, SCHEMA_ENTRIES_MAX, |name, kind| {
            let lower = name.to_ascii_lowercase();
            if !known.contains(&lower) {
                let entry = found.entry(lower).or_insert_with(|| (name.to_owned(), kind));
                entry.1 = entry.1.max(kind);
            }
        })
        .map_err(|error| unreadable(&path.display().to_string(), &error))?;
    }
    for object_type in &mut schema.types {
        object_type.attributes.extend(found.values().map(|(name, _)| name.clone()));
    }
    schema.attributes.extend(found.into_values().map(|(name, kind)| DiscoveredAttribute {
        name,
        kind,
        multi: true,
        case_exact: false,
        read_only: true,
        length_max: None,
    }));
    for configured in settings.types.values() {
        if !schema.types.iter().any(|known| known.name.eq_ignore_ascii_case(configured)) {
            let attributes = schema.attributes.iter().map(|attribute| attribute.name.clone()).collect();
            let name = configured.clone();
            schema.types.push(crate::DiscoveredType {
                name,
                attributes,
                required: Vec::new(),
                writable: false,
                read_only: Vec::new(),
            });
        }
    }
    Ok(schema)
}

fn read_only() -> ConnectorError {
    ConnectorError::new(ErrorClass::Configuration, "LDIF-READ-ONLY", "LDIF files", "LDIF files are only read")
        .hint("remove the outbound rules of this connector, or use a `jsonl` file as target")
}
