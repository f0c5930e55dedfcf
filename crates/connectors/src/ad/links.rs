//! What goes out: entries into pages, with the rest of their links fetched range by range.

use std::collections::HashMap;

use onesync_ldap::{ErrorClass as LdapClass, RangeFetch, SearchRequest};
use tokio::sync::mpsc;

use super::errors::convert;
use super::layout::Slot;
use super::reader::{Read, anchor, target};
use super::server::{Side, extended_names, guid, guid_name};
use super::watermark::{Guid, hex};
use crate::pages::{Pager, more_links};
use crate::{
    Anchor, ConnectorError, Entry, ErrorClass, ImportPage, LinkChunk, LinkMode, LinkTarget, Watermark,
};

/// Targets by name that are remembered within one import.
const NAMES_REMEMBERED_MAX: usize = 10_000;

/// Pages on their way to the importer.
pub struct Output {
    pager: Pager,
    pages: mpsc::Sender<ImportPage>,
    /// Objects whose links changed while they were fetched, in hexadecimal digits.
    pub reread: Vec<String>,
    by_name: HashMap<String, Option<Anchor>>,
}

impl Output {
    /// Begins.
    #[must_use]
    pub fn new(page_size: usize, pages: mpsc::Sender<ImportPage>) -> Self {
        Self { pager: Pager::new(page_size), pages, reread: Vec::new(), by_name: HashMap::new() }
    }

    /// Sends an entry.
    ///
    /// # Errors
    /// When the importer went away.
    pub async fn push(&mut self, entry: Entry) -> Result<(), ConnectorError> {
        self.pager.push(entry, None);
        self.send_full().await
    }

    /// Sends an entry that was read, and fetches what is missing of it.
    ///
    /// # Errors
    /// When the importer or the connection went away.
    pub async fn push_read(&mut self, read: Read, side: &mut Side<'_>) -> Result<(), ConnectorError> {
        let Read { mut entry, missing, unreadable } = read;
        self.resolve(&mut entry.links, side).await?;
        let anchor = entry.anchor.clone();
        let name = entry.dn.clone().unwrap_or_else(|| anchor.to_string());
        if !unreadable.is_empty() {
            let message = format!(
                "a value of `{}` is not of its type: the stored values stay",
                unreadable.join("`, `")
            );
            self.pager.error(ConnectorError::new(ErrorClass::Object, "AD-VALUE", name, message), None);
        }
        let guid = <Guid>::try_from(anchor.0.as_ref()).ok();
        let before = match (&guid, missing.is_empty()) {
            (Some(guid), false) => change_number(guid, side).await?,
            _ => None,
        };
        self.push(entry).await?;
        let (Some(guid), false) = (guid, missing.is_empty()) else { return Ok(()) };
        for (slot, next) in missing {
            self.fetch(&anchor, &guid, &slot, next, side).await?;
        }
        // Ranges are positions: when a value before them went in between, the one at the border was not seen.
        let after = change_number(&guid, side).await?;
        if before != after || before.is_none() {
            self.reread.push(hex(&guid));
        }
        Ok(())
    }

    /// Finds the GUIDs of targets that came by name: Samba's DirSync gives none for references that are no links
    /// to the directory (`assistant`), although its searches do. A name that is not found stays a name.
    async fn resolve(&mut self, links: &mut [LinkChunk], side: &mut Side<'_>) -> Result<(), ConnectorError> {
        for link in links.iter_mut().flat_map(|chunk| chunk.targets.iter_mut()) {
            let LinkTarget::Dn(name) = &*link else { continue };
            let known = match self.by_name.get(name) {
                Some(known) => known.clone(),
                None => {
                    let found = find(name, side).await?;
                    if self.by_name.len() >= NAMES_REMEMBERED_MAX {
                        self.by_name.clear();
                    }
                    self.by_name.insert(name.clone(), found.clone());
                    found
                }
            };
            if let Some(anchor) = known {
                *link = LinkTarget::Anchor(anchor);
            }
        }
        Ok(())
    }

    async fn fetch(
        &mut self,
        anchor: &Anchor,
        guid: &Guid,
        slot: &Slot,
        next: u32,
        side: &mut Side<'_>,
    ) -> Result<(), ConnectorError> {
        let chunk = |mode, targets| vec![LinkChunk { attribute: slot.id, mode, targets }];
        let mut fetch = RangeFetch::new(guid, &slot.name, next).control(extended_names());
        loop {
            let address = side.address().to_owned();
            let values = fetch.next(side.client().await?).await.map_err(|error| convert(&error, &address))?;
            let Some(values) = values else { break };
            let targets = values.iter().map(|value| target(value)).collect();
            let mode = LinkMode::Replace { first: false, last: false };
            self.push(more_links(anchor.clone(), chunk(mode, targets))).await?;
        }
        let end = if fetch.is_complete() {
            LinkMode::Replace { first: false, last: true }
        } else {
            LinkMode::Unknown
        };
        self.push(more_links(anchor.clone(), chunk(end, Vec::new()))).await
    }

    /// Ends the page at a point from which the import can go on.
    ///
    /// # Errors
    /// When the importer went away.
    pub async fn end_page(&mut self, after: Watermark) -> Result<(), ConnectorError> {
        self.pager.end_page(after);
        self.send_full().await
    }

    /// Sends what is left.
    ///
    /// # Errors
    /// When the importer went away.
    pub async fn finish(&mut self) -> Result<(), ConnectorError> {
        self.send_full().await?;
        while let Some(page) = self.pager.take_rest() {
            self.pages.send(page).await.map_err(|_| ConnectorError::stopped())?;
        }
        Ok(())
    }

    async fn send_full(&mut self) -> Result<(), ConnectorError> {
        while let Some(page) = self.pager.take_full() {
            self.pages.send(page).await.map_err(|_| ConnectorError::stopped())?;
        }
        Ok(())
    }
}

/// The anchor of the object of this name.
async fn find(name: &str, side: &mut Side<'_>) -> Result<Option<Anchor>, ConnectorError> {
    let address = side.address().to_owned();
    let request = SearchRequest::entry(name).attributes(["objectGUID"]);
    match side.client().await?.search_one(request).await {
        Ok(entry) => Ok(entry.and_then(|entry| guid(&entry, "objectGUID")).map(|guid| anchor(&guid))),
        Err(error)
            if matches!(
                error.class(),
                LdapClass::NoSuchObject | LdapClass::Referral | LdapClass::Constraint
            ) =>
        {
            Ok(None)
        }
        Err(error) => Err(convert(&error, &address)),
    }
}

/// The number of the last change of an object at this server.
async fn change_number(guid: &Guid, side: &mut Side<'_>) -> Result<Option<String>, ConnectorError> {
    let address = side.address().to_owned();
    let request = SearchRequest::entry(guid_name(guid)).attributes(["uSNChanged"]);
    let entry = side.client().await?.search_one(request).await.map_err(|error| convert(&error, &address))?;
    Ok(entry.and_then(|entry| entry.first_text("uSNChanged").map(str::to_owned)))
}
