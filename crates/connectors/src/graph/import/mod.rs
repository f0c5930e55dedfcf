//! Imports by delta queries: a full import starts them empty, so that its end is the start of the next delta import.
//!
//! Users, then groups with their members, then contacts. The marker's group is left out: it is no identity.

mod entries;
mod selection;

use std::collections::{BTreeMap, BTreeSet, HashSet};

use serde_json::Value as Json;
use tokio::sync::mpsc;

use self::entries::Entries;
pub(super) use self::entries::{OTHER_MASTER, is_mastered, kind, protection};
use self::selection::{SetReader, plan, selects};
use super::GraphConnector;
use super::http::{Call, encode};
use super::marker::AnchorPlace;
use super::tenant::RoleHolders;
use super::watermark::{At, State, useless};
use crate::pages::Pager;
use crate::{
    ConnectorError, Entry, ImportEnd, ImportMode, ImportPage, ImportRequest, Pass, Proof, Watermark,
};

/// Most objects a page may be asked to hold: a limit of the service.
const PAGE_MAX: usize = 999;

/// One import under way.
struct Run<'a> {
    connector: &'a GraphConnector,
    sets: Vec<SetReader>,
    full: bool,
    page_size: usize,
    mapped: BTreeMap<String, String>,
    role_holders: BTreeSet<String>,
    marker: Option<String>,
    pages: mpsc::Sender<ImportPage>,
}

impl GraphConnector {
    pub(super) async fn run_import(
        &self,
        request: ImportRequest,
        pages: mpsc::Sender<ImportPage>,
    ) -> Result<ImportEnd, ConnectorError> {
        let mut remarks = Vec::new();
        let groups = request
            .selection
            .types
            .iter()
            .any(|t| matches!(t.name.to_ascii_lowercase().as_str(), "group" | "mailgroup"));
        let marker = if groups { self.find_marker().await.map_err(|e| e.at("groups"))? } else { None };
        let in_extension = marker.as_ref().is_some_and(|m| m.place == AnchorPlace::Extension);
        let sets = plan(&request.selection, &self.table, in_extension);
        let select = selects(&sets);
        let (mut state, full) = match &request.mode {
            ImportMode::Full { resume: None } => (State::new(select, None), true),
            ImportMode::Full { resume: Some(mark) } => (State::read(mark, &select)?, true),
            ImportMode::Delta { since } => (State::read(since, &select)?, false),
        };
        let now_holding = self.read_roles().await;
        if let RoleHolders::Unknown(error) = &*now_holding {
            remarks.push(format!(
                "directory roles could not be read ({error}): holders of roles are not marked as protected, and \
                 matching by name must stay off; grant RoleManagement.Read.Directory"
            ));
        }
        let known_before = state.role_holders.take();
        let holders = now_holding.list().or_else(|| known_before.clone());
        // A point inside this import keeps what the last complete one knew, so that no change of roles is lost.
        state.role_holders = if full { holders.clone() } else { known_before.clone() };
        let mapping = &self.settings.group_mapping;
        let run = Run {
            connector: self,
            sets,
            full,
            page_size: request.page_size,
            mapped: mapping.iter().map(|(a, id)| (id.to_ascii_lowercase(), a.clone())).collect(),
            role_holders: holders.iter().flatten().cloned().collect(),
            marker: marker.map(|m| m.id),
            pages,
        };
        let mut unreadable = 0;
        run.read(&mut state, &mut unreadable).await?;
        if !full {
            run.tell_roles(known_before.as_deref().unwrap_or_default()).await?;
        }
        state.at = None;
        state.role_holders = holders;
        let proof = match unreadable {
            0 => Proof::Complete,
            count => Proof::Incomplete(format!("{count} objects came without an id")),
        };
        Ok(ImportEnd { proof, watermark: Some(state.write()), remarks })
    }
}

impl Run<'_> {
    /// Reads all collections from where `state` stands; at the end it holds their change links.
    async fn read(&self, state: &mut State, unreadable: &mut usize) -> Result<(), ConnectorError> {
        for index in 0..self.sets.len() {
            let Some(set) = self.sets.get(index) else { break };
            let first = match &state.at {
                Some(at) if at.set != set.set => continue, // this collection was finished before the interruption
                at => at.clone(),
            };
            let following = self.sets.get(index + 1).map(|s| s.set).unwrap_or_default();
            self.read_set(set, first, following, state, unreadable).await?;
        }
        Ok(())
    }

    async fn read_set(
        &self,
        set: &SetReader,
        from: Option<At>,
        following: &str,
        state: &mut State,
        unreadable: &mut usize,
    ) -> Result<(), ConnectorError> {
        let prefer = self.connector.settings.page_size.unwrap_or(self.page_size).clamp(1, PAGE_MAX);
        let prefer = format!("odata.maxpagesize={prefer}");
        let mut entries = self.entries(set);
        let mut next = match from {
            Some(at) => {
                entries.open = at.open;
                at.next
            }
            None => None,
        };
        let api = &self.connector.api;
        loop {
            let page = match (&next, state.links.get(set.set)) {
                (Some(link), _) => api.follow(link, Some(prefer.clone())).await,
                (None, Some(link)) if !self.full => api.follow(link, Some(prefer.clone())).await,
                (None, None) if !self.full => {
                    return Err(useless(format!("the watermark knows nothing of {}", set.set)));
                }
                (None, _) => {
                    let path = format!("{}/delta?$select={}", set.set, set.select);
                    api.send(&Call::get(path).prefer(prefer.clone()), &Pass::reading()).await
                }
            };
            let mut page = page.map_err(|e| e.at(format!("changes of {}", set.set)))?;
            let link = |name: &str| page.get(name).and_then(Json::as_str).map(str::to_owned);
            let (more, done) = (link("@odata.nextLink"), link("@odata.deltaLink"));
            let Some(Json::Array(mut items)) = page.get_mut("value").map(Json::take) else {
                return Err(useless(format!("a page of {} has no values", set.set)));
            };
            self.complete(set, &entries, &mut items).await?;
            let made = entries.of_page(items, more.is_some());
            let errors = std::mem::take(&mut entries.errors);
            *unreadable += std::mem::take(&mut entries.nameless);
            let ended = more.is_none();
            state.at = Some(match &more {
                Some(_) => At { set: set.set.to_owned(), next: more.clone(), open: entries.open.clone() },
                None => {
                    let done = done.ok_or_else(|| useless(format!("the round of {} has no end", set.set)))?;
                    state.links.insert(set.set.to_owned(), done);
                    At { set: following.to_owned(), next: None, open: None }
                }
            });
            self.send(made, errors, Some(state.write())).await?;
            if ended {
                return Ok(());
            }
            next = more;
        }
    }

    /// Sends what one page of the service gave; its last entry carries the point to go on from.
    async fn send(
        &self,
        entries: Vec<Entry>,
        errors: Vec<ConnectorError>,
        resume: Option<Watermark>,
    ) -> Result<(), ConnectorError> {
        let mut pager = Pager::new(self.page_size);
        let last = entries.len();
        if last == 0 {
            errors.into_iter().for_each(|e| pager.error(e, resume.clone()));
        } else {
            errors.into_iter().for_each(|e| pager.error(e, None));
        }
        for (at, entry) in entries.into_iter().enumerate() {
            pager.push(entry, if at + 1 == last { resume.clone() } else { None });
            while let Some(page) = pager.take_full() {
                self.pages.send(page).await.map_err(|_| ConnectorError::stopped())?;
            }
        }
        while let Some(page) = pager.take_full().or_else(|| pager.take_rest()) {
            self.pages.send(page).await.map_err(|_| ConnectorError::stopped())?;
        }
        Ok(())
    }

    fn entries<'s>(&'s self, set: &'s SetReader) -> Entries<'s> {
        Entries {
            settings: &self.connector.settings,
            set,
            mapped: &self.mapped,
            anchor_extension: &self.connector.table.anchor_extension,
            role_holders: &self.role_holders,
            marker: self.marker.as_deref(),
            full: self.full,
            seen: HashSet::new(),
            open: None,
            errors: Vec::new(),
            nameless: 0,
        }
    }

    /// Reads objects whole of which a page holds a part only.
    async fn complete(
        &self,
        set: &SetReader,
        entries: &Entries<'_>,
        items: &mut [Json],
    ) -> Result<(), ConnectorError> {
        let partial: Vec<usize> =
            items.iter().enumerate().filter(|(at, i)| entries.is_partial(*at, i)).map(|(at, _)| at).collect();
        if partial.is_empty() {
            return Ok(());
        }
        let ids: Vec<&str> = partial
            .iter()
            .map(|&at| items.get(at).and_then(|i| i.get("id")).and_then(Json::as_str).unwrap_or_default())
            .collect();
        let wholes = self.whole(set, &ids).await?;
        for (at, whole) in partial.into_iter().zip(wholes) {
            let Some(item) = items.get_mut(at) else { continue };
            match whole {
                Some(Json::Object(whole)) => {
                    if let Some(item) = item.as_object_mut() {
                        item.extend(whole);
                    }
                }
                // Gone meanwhile: the next round tells of it.
                _ => *item = Json::Null,
            }
        }
        Ok(())
    }

    /// Objects by id; `None` for one that is not there.
    async fn whole(&self, set: &SetReader, ids: &[&str]) -> Result<Vec<Option<Json>>, ConnectorError> {
        let path = |id: &&str| format!("{}/{}?$select={}", set.set, encode(id), set.select_single);
        let calls: Vec<Call> = ids.iter().map(|id| Call::get(path(id))).collect();
        let mut found = Vec::with_capacity(ids.len());
        for (answer, id) in self.connector.api.batch(&calls, &Pass::reading()).await.into_iter().zip(ids) {
            found.push(match answer {
                Ok(object) => Some(object),
                Err(error) if error.is_not_found() => None,
                Err(error) => return Err(error.at(format!("{}/{id}", set.set))),
            });
        }
        Ok(found)
    }

    /// A user who got or lost a directory role is no change to the user: it is told here.
    async fn tell_roles(&self, before: &[String]) -> Result<(), ConnectorError> {
        let before: BTreeSet<&str> = before.iter().map(String::as_str).collect();
        let now: BTreeSet<&str> = self.role_holders.iter().map(String::as_str).collect();
        let changed: Vec<&str> = before.symmetric_difference(&now).copied().collect();
        let Some(set) = self.sets.iter().find(|s| s.set == "users").filter(|_| !changed.is_empty()) else {
            return Ok(());
        };
        let users: Vec<Json> = self.whole(set, &changed).await?.into_iter().flatten().collect();
        let mut entries = self.entries(set);
        let made = entries.of_page(users, false);
        self.send(made, entries.errors, None).await
    }
}
