//! The connector to one domain of Active Directory.

use std::collections::BTreeMap;
use std::sync::Mutex;

use async_trait::async_trait;
use onesync_model::{AttributeType, Dn};
use secrecy::SecretString;
use tokio::sync::mpsc;

use super::account::{PasswordEnd, password_end};
use super::containers::Chosen;
use super::layout::is_in_deltas;
use super::server::{Server, check};
use super::settings::AdSettings;
use super::watermark::Mark;
use super::{delta, full, missing, probe};
use crate::certificate::{expiries_in, not_after};
use crate::{
    Anchor, Capabilities, Connector, ConnectorError, CreateKey, DiscoveredAttribute, DiscoveredSchema,
    ErrorClass, Expiry, ExportBatch, ExportResult, ImportEnd, ImportMode, ImportPage, ImportRequest, Marker,
    Selection, Selector, TestReport, Watermark, ad_schema,
};

/// A connector to one domain of Active Directory. It only reads.
#[derive(Debug)]
pub struct AdConnector {
    settings: AdSettings,
    secrets: BTreeMap<String, SecretString>,
    /// The last watermark seen, for the test: it must find containers that were renamed.
    known: Mutex<Option<Mark>>,
    /// What the last import asked for: an object of another type may be there and is not selected.
    selection: Mutex<Selection>,
}

impl AdConnector {
    /// Makes a connector.
    ///
    /// # Errors
    /// When an address is wrong.
    pub fn new(
        settings: AdSettings,
        secrets: &BTreeMap<String, SecretString>,
    ) -> Result<Self, ConnectorError> {
        check(&settings)?;
        let secrets = secrets.iter().filter(|(name, _)| **name == settings.password);
        let secrets = secrets.map(|(name, secret)| (name.clone(), secret.clone())).collect();
        Ok(Self { settings, secrets, known: Mutex::new(None), selection: Mutex::new(Selection::default()) })
    }

    fn known(&self) -> Option<Mark> {
        self.known.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }

    fn remember(&self, mark: Mark) {
        *self.known.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(mark);
    }
}

#[async_trait]
impl Connector for AdConnector {
    fn kind(&self) -> &'static str {
        "ad"
    }

    fn capabilities(&self) -> Capabilities {
        let delta = !self.settings.without_dirsync;
        Capabilities {
            delta_import: delta,
            link_deltas: delta,
            hierarchical: true,
            // One that moves from a base that was read into one still to be read is the same: `objectGUID` is a key.
            repeats: true,
            ..Capabilities::default()
        }
    }

    async fn test(&self) -> Result<TestReport, ConnectorError> {
        probe::run(&self.settings, &self.secrets, self.known().as_ref()).await
    }

    async fn schema(&self) -> Result<DiscoveredSchema, ConnectorError> {
        let mut schema = ad_schema::discovered();
        let wanted = |name: &str| {
            let types = &self.settings.object_types;
            types.is_empty() || types.iter().any(|own| own.eq_ignore_ascii_case(name))
        };
        schema.types.retain(|known| wanted(&known.name));
        for known in &mut schema.types {
            known.attributes.retain(|name| is_in_deltas(name));
        }
        schema.attributes.retain(|attribute| is_in_deltas(&attribute.name));
        for (name, word) in &self.settings.schema {
            if schema.attributes.iter().any(|known| known.name.eq_ignore_ascii_case(name)) {
                continue; // its type is known
            }
            schema.types.iter_mut().for_each(|known| known.attributes.push(name.clone()));
            schema.attributes.push(DiscoveredAttribute {
                name: name.clone(),
                kind: word.kind,
                multi: word.multi,
                case_exact: false,
                read_only: true,
                length_max: None,
            });
        }
        debug_assert!(schema.attributes.iter().any(|attribute| attribute.kind == AttributeType::Reference));
        Ok(schema)
    }

    async fn import(
        &self,
        request: ImportRequest,
        pages: mpsc::Sender<ImportPage>,
    ) -> Result<ImportEnd, ConnectorError> {
        let given = request.known.as_ref().and_then(|mark| Mark::read(mark).ok());
        if let Some(mark) = given {
            self.remember(mark);
        }
        self.selection
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .clone_from(&request.selection);
        let end = match &request.mode {
            ImportMode::Full { resume } => {
                let known = self.known();
                let resume = resume.as_ref().map(Mark::read).transpose()?;
                let first = resume.as_ref().or(known.as_ref()).map(|mark| mark.server.clone());
                let mut server = Server::open(&self.settings, &self.secrets, first.as_deref()).await?;
                full::import(&mut server, &self.settings, known.as_ref(), resume, &request, pages).await?
            }
            ImportMode::Delta { since } => {
                let mark = Mark::read(since)?;
                // kept even when it turns out to be of no use: the full import that follows needs its containers
                self.remember(mark.clone());
                let mut server = Server::open(&self.settings, &self.secrets, Some(&mark.server)).await?;
                delta::import(&mut server, &self.settings, &mark, &request, pages).await?
            }
        };
        if let Some(mark) = end.watermark.as_ref().and_then(|mark| Mark::read(mark).ok()) {
            self.remember(mark);
        }
        Ok(end)
    }

    async fn export(&self, _batch: ExportBatch) -> Result<Vec<ExportResult>, ConnectorError> {
        Err(read_only())
    }

    async fn find_created(&self, keys: &[CreateKey]) -> Result<Vec<Option<Anchor>>, ConnectorError> {
        Ok(vec![None; keys.len()])
    }

    async fn marker(&self) -> Result<Option<Marker>, ConnectorError> {
        Ok(None)
    }

    async fn set_marker(&self, _marker: &Marker) -> Result<(), ConnectorError> {
        Err(read_only())
    }

    async fn out_of_sight(
        &self,
        known: Option<&Watermark>,
        anchors: &[Anchor],
    ) -> Result<Vec<Anchor>, ConnectorError> {
        let Some(mark) = known.and_then(|mark| Mark::read(mark).ok()) else { return Ok(Vec::new()) };
        // at the server that was read, which may be another one than that of the mark
        let first = self.known().map(|mark| mark.server);
        let mut server = Server::open(&self.settings, &self.secrets, first.as_deref()).await?;
        let selection = self.selection.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone();
        missing::out_of_sight(&mut server, &self.settings, &selection, &mark, anchors).await
    }

    fn selector(&self, known: Option<&Watermark>) -> Option<Selector> {
        let known = known.and_then(|mark| Mark::read(mark).ok()).map(|mark| mark.containers);
        let chosen = Chosen::named(&self.settings, &known.unwrap_or_default())?;
        let types = self.settings.object_types.clone();
        Some(Box::new(move |object_type, dn| {
            let of_type = types.is_empty() || types.iter().any(|own| own.eq_ignore_ascii_case(object_type));
            of_type
                && Dn::parse(dn).ok().and_then(|dn| dn.parent()).is_some_and(|parent| chosen.decide(&parent))
        }))
    }

    async fn expiries(&self) -> Result<Vec<Expiry>, ConnectorError> {
        let mut server = Server::open(&self.settings, &self.secrets, None).await?;
        let address = server.address.clone();
        let of_server = server.main().await?.certificate().and_then(not_after);
        let mut all: Vec<Expiry> = of_server
            .map(|at| Expiry { what: format!("certificate of `{address}`"), at })
            .into_iter()
            .collect();
        all.extend(self.settings.ca_file.iter().flat_map(|path| expiries_in(path)));
        let base = self.settings.base.clone().unwrap_or_else(|| server.root.domain.clone());
        if let PasswordEnd::At(at) = password_end(&mut server, &base, &self.settings.bind).await? {
            all.push(Expiry { what: format!("the password of `{}`", self.settings.bind), at });
        }
        Ok(all)
    }

    async fn sign_in(&self) -> Result<(), ConnectorError> {
        Server::open(&self.settings, &self.secrets, None).await.map(drop)
    }
}

fn read_only() -> ConnectorError {
    ConnectorError::new(
        ErrorClass::Configuration,
        "AD-READ-ONLY",
        "Active Directory",
        "this version only reads Active Directory",
    )
    .hint("remove the outbound rules of this connector")
}
