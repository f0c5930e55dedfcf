//! The connector to LDIF files.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use onesync_model::Dn;
use tokio::sync::mpsc;

use super::LdifSettings;
use super::import::{import, open, unreadable};
use super::lines::{Line, Lines};
use super::record::decode_text;
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
        base(&settings)?;
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

    async fn doubts(&self) -> Vec<ConnectorError> {
        let settings = self.settings.clone();
        // What cannot be read was told where the schema was asked for.
        blocking(move || doubts(&settings)).await.unwrap_or_default()
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
                never_empty: Vec::new(),
            });
        }
    }
    Ok(schema)
}

/// An anchor that no entry has, a base that nothing lies below: seen in the first entries.
fn doubts(settings: &LdifSettings) -> Result<Vec<ConnectorError>, ConnectorError> {
    let wanted = settings.anchor.as_deref().filter(|name| !name.eq_ignore_ascii_case("dn"));
    let base = base(settings)?;
    let (mut entries, mut anchored, mut below) = (0, false, false);
    for path in &settings.paths {
        let (file, _) = open(path)?;
        let mut lines = Lines::new(file, 0, 1);
        let mut scratch = Vec::new();
        while entries <= SCHEMA_ENTRIES_MAX && !(anchored && below) {
            match lines.next() {
                Ok(Line::End) => break,
                Ok(Line::Attribute { name, value }) if name.eq_ignore_ascii_case(b"dn") => {
                    entries += 1;
                    let dn = decode_text(value, &mut scratch).and_then(|text| Dn::parse(text).ok());
                    below |= base.as_ref().is_none_or(|base| dn.is_some_and(|dn| dn.is_within(base)));
                }
                Ok(Line::Attribute { name, .. }) => {
                    let plain = name.split(|&byte| byte == b';').next().unwrap_or_default();
                    anchored |= wanted.is_none_or(|wanted| plain.eq_ignore_ascii_case(wanted.as_bytes()));
                }
                Err(error) if error.is_fatal() => {
                    return Err(unreadable(&path.display().to_string(), &error));
                }
                _ => {}
            }
        }
    }
    if entries == 0 {
        return Ok(Vec::new());
    }
    let doubt = |setting: &str, message: String, hint: &str| {
        ConnectorError::new(ErrorClass::Configuration, "LDIF-DOUBT", format!("setting `{setting}`"), message)
            .hint(hint)
    };
    let mut found = Vec::new();
    if let Some(name) = wanted.filter(|_| !anchored) {
        let message =
            format!("none of the first {entries} entries has `{name}`, by which objects are identified");
        found.push(doubt(
            "anchor",
            message,
            "name an attribute that every entry has and that never changes, or `dn`",
        ));
    }
    if let Some(base) = base.filter(|_| !below) {
        let message = format!("none of the first {entries} entries lies at or below `{base}`");
        found.push(doubt("base", message, "write a name as it stands behind `dn:` in the file"));
    }
    Ok(found)
}

/// The container that limits what is read.
pub(super) fn base(settings: &LdifSettings) -> Result<Option<Dn>, ConnectorError> {
    let Some(text) = settings.base.as_deref() else { return Ok(None) };
    let wrong = |error: onesync_model::DnError| {
        ConnectorError::new(ErrorClass::Configuration, "LDIF-BASE", "setting `base`", error.to_string())
            .hint("write it like `OU=People,DC=contoso,DC=com`")
    };
    Dn::parse(text).map(Some).map_err(wrong)
}

fn read_only() -> ConnectorError {
    ConnectorError::new(ErrorClass::Configuration, "LDIF-READ-ONLY", "LDIF files", "LDIF files are only read")
        .hint("remove the outbound rules of this connector, or use a `jsonl` file as target")
}
