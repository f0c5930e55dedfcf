//! Containers that were renamed or moved. One that is known, and all of whose objects were and stay selected or not,
//! is told by its own entry, and what lies below it is not read again. What lies below all others is read whole, and
//! the containers below them are told anew or forgotten with them: where they are now, nobody tells otherwise.

use std::collections::{BTreeMap, BTreeSet};

use onesync_ldap::{ErrorClass as LdapClass, Filter, LdapError, Scope, SearchItem, SearchRequest};
use onesync_model::Dn;

use super::containers::Containers;
use super::delta::{LOOK_UP_MAX, search_guids};
use super::errors::convert;
use super::layout::container_filter;
use super::links::Output;
use super::reader;
use super::server::{Server, Side, guid, guid_name, guids_filter};
use super::settings::AdSettings;
use super::watermark::{Guid, Mark, unhex};
use crate::{ConnectorError, ImportRequest};

/// Renamed containers that are named to people; more are counted.
const NAMED_MAX: usize = 5;

/// Containers read at once: as many as a server gives.
const PAGE: i32 = 1_000;

/// A container, and its name now.
pub type Named = (Guid, String);

/// What is told of containers, and when.
#[derive(Default)]
pub struct Told {
    /// Before any object: what lies in them moves along, or is new.
    pub first: Vec<Named>,
    /// After their objects, which are read whole.
    pub last: Vec<Named>,
    /// With them, since they lie in them.
    beneath: Vec<Named>,
    /// Those of both that are known by other names, which are forgotten before anything else.
    forgotten: Vec<Guid>,
    /// Names before and now.
    renamed: Vec<(String, String)>,
}

impl Told {
    /// Decides about containers. `new` are those that nobody can know.
    ///
    /// # Errors
    /// When it cannot be read what is known.
    pub fn decide(
        all: Vec<Named>,
        new: &BTreeSet<Guid>,
        containers: &Containers,
        settings: &AdSettings,
        since: Option<&Mark>,
        request: &ImportRequest,
    ) -> Result<Self, ConnectorError> {
        let names = known_names(&all, request)?;
        // Names that pages of an import took which then failed are newer than the watermark: what was selected by
        // them cannot be told when selected containers are among them.
        let selected: Vec<Named> = since
            .iter()
            .flat_map(|mark| mark.containers.values())
            .filter(|known| containers.touch(&known.dn))
            .filter_map(|known| Some((unhex(known.guid.as_bytes())?, known.dn.clone())))
            .collect();
        let now = known_names(&selected, request)?;
        let at_rest = selected.iter().zip(now).all(|((_, dn), now)| now.is_some_and(|now| same(dn, &now)));
        let before = since.filter(|_| at_rest).and_then(|mark| containers.before(settings, &mark.containers));
        let mut told = Self::default();
        for ((guid, dn), known) in all.into_iter().zip(names) {
            let as_before = |name: &String| {
                let (was, is) = (Dn::parse(name).ok()?, Dn::parse(&dn).ok()?);
                Some(before.as_ref()?.decide(&was) == containers.decide(&is))
            };
            let touches = containers.touch(&dn);
            if new.contains(&guid) {
                told.first.extend(touches.then_some((guid, dn)));
            } else if touches && known.as_ref().and_then(as_before) == Some(true) {
                told.renamed.extend(known.filter(|name| *name != dn).map(|name| (name, dn.clone())));
                told.first.push((guid, dn));
            } else {
                told.forgotten.extend(known.map(|_| guid));
                told.last.push((guid, dn));
            }
        }
        told.first.sort_by_key(depth);
        Ok(told)
    }

    /// Finds the containers below those that are read whole. DirSync names only the one that was renamed or moved.
    ///
    /// # Errors
    /// When the connection fails, the server refuses, or it cannot be read what is known.
    pub async fn find_beneath(
        &mut self,
        server: &mut Server,
        request: &ImportRequest,
    ) -> Result<(), ConnectorError> {
        let mut found = BTreeMap::new();
        for (guid, _) in &self.last {
            match below(server, &guid_name(guid)).await? {
                Ok(below) => found.extend(below),
                // deleted since: the next delta import tells so
                Err(error) if error.class() == LdapClass::NoSuchObject => {}
                Err(error) => return Err(convert(&error, &server.address)),
            }
        }
        for (decided, _) in self.first.iter().chain(&self.last) {
            found.remove(decided);
        }
        self.beneath = found.into_iter().collect();
        let known = known_names(&self.beneath, request)?;
        let known = self.beneath.iter().zip(known).filter(|(_, name)| name.is_some());
        self.forgotten.extend(known.map(|((guid, _), _)| *guid));
        Ok(())
    }

    /// Sends what comes before any object.
    ///
    /// # Errors
    /// When the importer went away.
    pub async fn send_first(&self, output: &mut Output) -> Result<(), ConnectorError> {
        for guid in &self.forgotten {
            output.push(reader::deletion(guid, Vec::new())).await?;
        }
        send(&self.first, output).await
    }

    /// Sends what comes after the objects.
    ///
    /// # Errors
    /// When the importer went away.
    pub async fn send_last(
        &self,
        containers: &Containers,
        output: &mut Output,
    ) -> Result<(), ConnectorError> {
        let all = self.last.iter().chain(&self.beneath);
        let mut inside: Vec<Named> = all.filter(|(_, dn)| containers.touch(dn)).cloned().collect();
        inside.sort_by_key(depth);
        send(&inside, output).await
    }

    /// What a person should know; selected containers are reported already.
    #[must_use]
    pub fn remark(&self, containers: &Containers) -> Option<String> {
        let reported = |now: &str| containers.remembered.values().any(|known| known.dn == now);
        let all: Vec<_> = self.renamed.iter().filter(|(_, now)| !reported(now)).collect();
        let named: Vec<_> =
            all.iter().take(NAMED_MAX).map(|(was, now)| format!("`{was}` is now `{now}`")).collect();
        let more = if all.len() > NAMED_MAX { ", ..." } else { "" };
        (!all.is_empty()).then(|| {
            format!(
                "{} containers were renamed or moved with all that they hold: {}{more}",
                all.len(),
                named.join(", ")
            )
        })
    }
}

/// A container comes before those that lie in it.
fn depth((_, dn): &Named) -> usize {
    Dn::parse(dn).map_or(0, |dn| dn.rdns().len())
}

/// The names by which these are known.
fn known_names(containers: &[Named], request: &ImportRequest) -> Result<Vec<Option<String>>, ConnectorError> {
    let anchors: Vec<_> = containers.iter().map(|(guid, _)| reader::anchor(guid)).collect();
    match &request.containers {
        Some(known) => known.names(&anchors),
        None => Ok(vec![None; anchors.len()]),
    }
}

async fn send(containers: &[Named], output: &mut Output) -> Result<(), ConnectorError> {
    for (guid, dn) in containers {
        output.push(crate::pages::container(reader::anchor(guid), dn)).await?;
    }
    Ok(())
}

fn same(a: &str, b: &str) -> bool {
    matches!((Dn::parse(a), Dn::parse(b)), (Ok(a), Ok(b)) if a.normalised() == b.normalised())
}

/// The containers among these objects, by their names now.
///
/// # Errors
/// When the connection fails or the server refuses.
pub async fn among(
    guids: &BTreeSet<Guid>,
    base: &str,
    side: &mut Side<'_>,
) -> Result<Vec<Named>, ConnectorError> {
    let guids: Vec<Guid> = guids.iter().copied().collect();
    let mut found = Vec::new();
    for some in guids.chunks(LOOK_UP_MAX) {
        let filter = Filter::And(vec![guids_filter(some), container_filter()]);
        let entries = search_guids(base, filter, vec!["objectGUID".to_owned()], Vec::new(), side).await?;
        found.extend(
            entries.iter().filter_map(|entry| Some((guid(entry, "objectGUID")?, entry.dn().to_owned()))),
        );
    }
    Ok(found)
}

/// All containers of the domain: those outside of the selection may be known from when they were in it.
///
/// # Errors
/// When the connection fails or the server refuses.
pub async fn all(server: &mut Server, containers: &Containers) -> Result<Vec<Named>, ConnectorError> {
    below(server, &containers.base).await?.map_err(|error| convert(&error, &server.address))
}

/// A container and those below it; what the server says when it does not show them.
async fn below(server: &mut Server, base: &str) -> Result<Result<Vec<Named>, LdapError>, ConnectorError> {
    let request = SearchRequest::new(base, Scope::Subtree, container_filter()).attributes(["objectGUID"]);
    let client = server.main().await?;
    let read = async {
        let mut search = client.search_paged(request, PAGE).await?;
        let mut found = Vec::new();
        while let Some(item) = search.next().await? {
            if let SearchItem::Entry(entry) = item
                && let Some(guid) = guid(&entry, "objectGUID")
            {
                found.push((guid, entry.dn().to_owned()));
            }
        }
        Ok(found)
    };
    Ok(read.await)
}
