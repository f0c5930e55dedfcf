//! The delta import: what DirSync says changed since the cookie.

use std::collections::{BTreeMap, BTreeSet};

use onesync_ldap::control::DirSync;
use onesync_ldap::{
    Control, Entry as LdapEntry, ErrorClass as LdapClass, Filter, LdapError, Ranged, ResultCode, Scope,
    SearchItem, SearchRequest, TypedControl, ranged_values,
};
use tokio::sync::mpsc;

use super::containers::Containers;
use super::errors::convert;
use super::full::Since;
use super::layout::{Layout, container_filter, is_container};
use super::links::Output;
use super::moved::{self, Told};
use super::reader;
use super::server::{DIR_SYNC_BYTES_MAX, Server, Side, extended_names, guid, guid_name, guids_filter};
use super::settings::AdSettings;
use super::watermark::{Guid, Mark, unhex, unusable};
use crate::pages::more_links;
use crate::{
    ConnectorError, Entry, EntryChange, ErrorClass, ImportEnd, ImportPage, ImportRequest, LinkChunk,
    LinkMode, LinkTarget, Proof,
};

/// Changed objects looked up with one search: a filter of this many parts is still small for a server.
pub const LOOK_UP_MAX: usize = 200;

/// Back links, and the links they follow from.
const BACK_LINKS: [(&str, &str); 3] =
    [("memberOf", "member"), ("directReports", "manager"), ("managedObjects", "managedBy")];

/// Reads what changed.
///
/// # Errors
/// Of class [`ErrorClass::Watermark`] when that cannot be told from this watermark.
pub async fn import(
    server: &mut Server,
    settings: &AdSettings,
    since: &Mark,
    request: &ImportRequest,
    pages: mpsc::Sender<ImportPage>,
) -> Result<ImportEnd, ConnectorError> {
    let layout = Layout::new(&request.selection, settings)?;
    let invocation = server.invocation().await?;
    since.check(&invocation, &server.root, &server.address, &layout.hash(settings))?;
    if !since.has_cookie() {
        return Err(unusable("it was made by an import without DirSync".to_owned()));
    }
    let containers = Containers::find(server, settings, &since.containers).await?;
    let usn = server.root.usn;
    let host = server.host.clone();
    let mut delta = Delta {
        layout: &layout,
        deletions: settings.deleted_objects,
        page_size: i32::from(settings.page_size.max(1)),
        remarks: containers.remarks.clone(),
        containers,
        output: Output::new(request.page_size, pages),
        waiting: Vec::new(),
        named: BTreeSet::new(),
        renamed: BTreeSet::new(),
        opened: BTreeSet::new(),
        restored: BTreeSet::new(),
        left: BTreeSet::new(),
    };
    let cookie = delta.stream(server, since).await?;
    let told = delta.containers(server, settings, since, request).await?;
    told.send_first(&mut delta.output).await?;
    delta.remarks.extend(told.remark(&delta.containers));
    let named = std::mem::take(&mut delta.named);
    let (_, mut side) = server.both().await?;
    delta.read_whole(&named, &mut side).await?;
    let mut below = 0;
    for (guid, _) in &told.last {
        below += delta.below(server, guid).await?;
    }
    if below > 0 {
        delta.remarks.push(format!("{below} objects below renamed or moved containers were read whole"));
    }
    if below > 0 || !named.is_empty() {
        // Objects that were read whole have names that are newer than those of the containers.
        delta.at_rest(server, since, &cookie).await?;
    }
    told.send_last(&delta.containers, &mut delta.output).await?;
    let again = since.reread.iter().filter_map(|digits| unhex(digits.as_bytes())).collect();
    let (_, mut side) = server.both().await?;
    delta.read_whole(&again, &mut side).await?;
    delta.relink(&mut side).await?;
    delta.send_left(server, settings).await?;
    delta.output.finish().await?;
    let mut mark = Mark::new(&cookie, &host, invocation, usn);
    mark.replicates = since.replicates;
    mark.made = server.root.now;
    mark.selection.clone_from(&since.selection);
    mark.containers = delta.containers.remembered;
    mark.reread = delta.output.reread;
    Ok(ImportEnd { proof: Proof::Complete, watermark: Some(mark.write()), remarks: delta.remarks })
}

struct Delta<'d> {
    layout: &'d Layout,
    deletions: bool,
    page_size: i32,
    containers: Containers,
    output: Output,
    remarks: Vec<String>,
    /// Changed objects that are still to be looked up.
    waiting: Vec<(Guid, LdapEntry)>,
    /// Objects that are new, renamed, moved or restored: read whole, once it is known what became of containers.
    named: BTreeSet<Guid>,
    /// Those that are not new; what lies below a new one is new itself, or was moved there.
    renamed: BTreeSet<Guid>,
    /// New containers.
    opened: BTreeSet<Guid>,
    /// Objects that were restored: links to them come back, and nobody tells.
    restored: BTreeSet<Guid>,
    /// Objects that are new, renamed or moved and lie outside of the selection: they may have been in it.
    left: BTreeSet<Guid>,
}

impl Delta<'_> {
    /// Walks over the answers of DirSync. Gives the new cookie.
    async fn stream(&mut self, server: &mut Server, since: &Mark) -> Result<Vec<u8>, ConnectorError> {
        let flags = since.flags();
        let mut cookie = bytes::Bytes::from(since.cookie()?);
        let base = self.containers.base.clone();
        loop {
            let (client, mut side) = server.both().await?;
            let address = side.address().to_owned();
            let failed = |error: LdapError| cookie_error(&error, &address);
            let control = DirSync { flags, bytes_max: DIR_SYNC_BYTES_MAX, cookie };
            let request = SearchRequest::new(&base, Scope::Subtree, self.layout.delta_filter())
                .attributes(self.layout.delta_attributes())
                .control(control.to_control())
                .control(extended_names());
            let mut search = client.search(request).await.map_err(failed)?;
            while let Some(item) = search.next().await.map_err(failed)? {
                if let SearchItem::Entry(entry) = item {
                    self.take(entry).await?;
                    if self.waiting.len() >= LOOK_UP_MAX {
                        self.look_up(&mut side).await?;
                    }
                }
            }
            let done = search.finish().await.map_err(failed)?;
            self.look_up(&mut side).await?;
            let mark = DirSync::find(&done.controls).ok().flatten().filter(|mark| !mark.cookie.is_empty());
            let mark = mark.ok_or_else(|| unusable(format!("`{address}` answered without a new cookie")))?;
            if !mark.has_more() {
                return Ok(mark.cookie.to_vec());
            }
            cookie = mark.cookie;
        }
    }

    async fn take(&mut self, entry: LdapEntry) -> Result<(), ConnectorError> {
        let Some(guid) = guid(&entry, "objectGUID") else { return Ok(()) };
        let is_deleted = entry.first("isDeleted").is_some_and(|value| value.eq_ignore_ascii_case(b"TRUE"));
        if is_deleted {
            if self.deletions {
                self.output.push(reader::deletion(&guid, self.layout.dropped_links())).await?;
            }
            return Ok(());
        }
        self.waiting.push((guid, entry));
        Ok(())
    }

    /// Sends the changes that wait: attribute and link changes as they are, everything else read whole.
    async fn look_up(&mut self, side: &mut Side<'_>) -> Result<(), ConnectorError> {
        let waiting = std::mem::take(&mut self.waiting);
        for (guid, entry) in waiting.iter().filter(|(_, entry)| is_new_name(entry)) {
            self.named.insert(*guid);
            if is_new(entry) {
                self.opened.extend(is_container(entry).then_some(*guid));
            } else {
                self.renamed.insert(*guid);
            }
        }
        let restored = waiting.iter().filter(|(_, entry)| entry.attribute("isDeleted").is_some());
        self.restored.extend(restored.map(|(guid, _)| *guid));
        let changed: Vec<_> = waiting
            .into_iter()
            .filter(|(guid, entry)| {
                !self.named.contains(guid) && self.containers.contain(reader::plain_name(entry.dn()))
            })
            .collect();
        let guids: Vec<Guid> = changed.iter().map(|(guid, _)| *guid).collect();
        let found = search_guids(
            &self.containers.base,
            guids_filter(&guids),
            vec!["objectGUID".to_owned(), "objectClass".to_owned()],
            vec![extended_names()],
            side,
        )
        .await?;
        let classes: BTreeMap<Guid, LdapEntry> =
            found.into_iter().filter_map(|entry| Some((guid(&entry, "objectGUID")?, entry))).collect();
        for (guid, entry) in changed {
            let of_type = classes.get(&guid).and_then(|known| reader::type_of(known, self.layout));
            if let Some(of_type) = of_type {
                let read = reader::changes(&entry, &guid, of_type);
                if reader::says_something(&read.entry) {
                    self.output.push_read(read, side).await?;
                }
            }
        }
        Ok(())
    }

    /// Reads objects whole; those outside of the selection are told as gone, since they may have been in it.
    async fn read_whole(
        &mut self,
        guids: &BTreeSet<Guid>,
        side: &mut Side<'_>,
    ) -> Result<(), ConnectorError> {
        let guids: Vec<Guid> = guids.iter().copied().collect();
        for some in guids.chunks(LOOK_UP_MAX) {
            for entry in search_guids(
                &self.containers.base,
                guids_filter(some),
                self.layout.attributes(),
                vec![extended_names()],
                side,
            )
            .await?
            {
                self.send_whole(&entry, side).await?;
            }
        }
        Ok(())
    }

    async fn send_whole(&mut self, entry: &LdapEntry, side: &mut Side<'_>) -> Result<(), ConnectorError> {
        let Some(guid) = guid(entry, "objectGUID") else { return Ok(()) };
        let selected = reader::type_of(entry, self.layout).is_some()
            && self.containers.contain(reader::plain_name(entry.dn()));
        if !selected {
            self.left.insert(guid);
            return Ok(());
        }
        self.left.remove(&guid); // it may have left and come back
        match reader::whole(entry, self.layout) {
            Some(read) => self.output.push_read(read, side).await,
            None => Ok(()),
        }
    }

    /// Tells the links to restored objects: a recycle bin brings them back without a change of who has them.
    async fn relink(&mut self, side: &mut Side<'_>) -> Result<(), ConnectorError> {
        let restored: Vec<Guid> = std::mem::take(&mut self.restored).into_iter().collect();
        for some in restored.chunks(LOOK_UP_MAX) {
            let mut wanted = vec!["objectGUID".to_owned()];
            wanted.extend(BACK_LINKS.iter().map(|(back, _)| (*back).to_owned()));
            let found =
                search_guids(&self.containers.base, guids_filter(some), wanted, vec![extended_names()], side)
                    .await?;
            let links: Vec<(Guid, &str, Guid)> = found.iter().flat_map(links_to).collect();
            let owners: Vec<Guid> =
                links.iter().map(|link| link.0).collect::<BTreeSet<_>>().into_iter().collect();
            for some in owners.chunks(LOOK_UP_MAX) {
                let classes = vec!["objectGUID".to_owned(), "objectClass".to_owned()];
                let found = search_guids(
                    &self.containers.base,
                    guids_filter(some),
                    classes,
                    vec![extended_names()],
                    side,
                )
                .await?;
                for owner in found {
                    self.send_links(&owner, &links).await?;
                }
            }
        }
        Ok(())
    }

    /// Tells which of these links an object has.
    async fn send_links(
        &mut self,
        owner: &LdapEntry,
        links: &[(Guid, &str, Guid)],
    ) -> Result<(), ConnectorError> {
        let (Some(own), Some(of_type)) = (guid(owner, "objectGUID"), reader::type_of(owner, self.layout))
        else {
            return Ok(());
        };
        if !self.containers.contain(reader::plain_name(owner.dn())) {
            return Ok(());
        }
        let chunks = links.iter().filter(|link| link.0 == own).filter_map(|(_, name, target)| {
            let targets = vec![LinkTarget::Anchor(reader::anchor(target))];
            Some(LinkChunk { attribute: of_type.slot(name)?.id, mode: LinkMode::Add, targets })
        });
        let links: Vec<LinkChunk> = chunks.collect();
        if links.is_empty() {
            return Ok(());
        }
        let entry = Entry {
            change: EntryChange::Merge,
            object_type: Some(of_type.id),
            ..more_links(reader::anchor(&own), links)
        };
        self.output.push(entry).await
    }

    /// Reads everything below a container that was renamed or moved.
    async fn below(&mut self, server: &mut Server, guid: &Guid) -> Result<usize, ConnectorError> {
        let (client, mut side) = server.both().await?;
        let address = side.address().to_owned();
        let failed = |error: LdapError| convert(&error, &address);
        let request = SearchRequest::new(guid_name(guid), Scope::Subtree, self.layout.filter())
            .attributes(self.layout.attributes())
            .control(extended_names());
        let mut search = client.search_paged(request, self.page_size).await.map_err(failed)?;
        let mut count = 0;
        loop {
            match search.next().await {
                Ok(Some(SearchItem::Entry(entry))) => {
                    count += 1;
                    self.send_whole(&entry, &mut side).await?;
                }
                Ok(Some(_)) => {}
                Ok(None) => return Ok(count),
                // deleted since: the next delta import tells so
                Err(error) if error.class() == LdapClass::NoSuchObject => return Ok(count),
                Err(error) => return Err(failed(error)),
            }
        }
    }

    /// Decides what is told of containers that are new, renamed, moved or restored.
    async fn containers(
        &mut self,
        server: &mut Server,
        settings: &AdSettings,
        since: &Mark,
        request: &ImportRequest,
    ) -> Result<Told, ConnectorError> {
        let (_, mut side) = server.both().await?;
        let mut candidates = std::mem::take(&mut self.renamed);
        candidates.extend(&self.opened);
        let all = moved::among(&candidates, &self.containers.base, &mut side).await?;
        let mut told = Told::decide(all, &self.opened, &self.containers, settings, Some(since), request)?;
        told.find_beneath(server, request).await?;
        Ok(told)
    }

    /// Makes sure that no container was renamed or moved since its new name was taken.
    async fn at_rest(&self, server: &mut Server, since: &Mark, cookie: &[u8]) -> Result<(), ConnectorError> {
        let since = Since { flags: since.flags(), cookie, filter: container_filter() };
        let moved = since.moves(server, &self.containers.base, |name| self.containers.touch(name)).await?;
        if moved > 0 { Err(container_moved()) } else { Ok(()) }
    }

    /// Tells objects that left the selection as gone, once it is sure that the selection did not move meanwhile.
    async fn send_left(&mut self, server: &mut Server, settings: &AdSettings) -> Result<(), ConnectorError> {
        if self.containers.have_moved(server, settings).await? {
            return Err(container_moved());
        }
        for guid in std::mem::take(&mut self.left) {
            self.output.push(reader::deletion(&guid, Vec::new())).await?;
        }
        Ok(())
    }
}

fn container_moved() -> ConnectorError {
    ConnectorError::new(
        ErrorClass::Transient,
        "AD-CONTAINER-MOVED",
        "delta import",
        "a container was renamed or moved while changes were read",
    )
    .hint("the next run reads them again")
}

/// The links to an object, by its back links: who has it, in which attribute, and the object itself.
fn links_to(found: &LdapEntry) -> Vec<(Guid, &'static str, Guid)> {
    let Some(own) = guid(found, "objectGUID") else { return Vec::new() };
    let of = |(back, forward): &(&'static str, &'static str)| -> Vec<(Guid, &'static str, Guid)> {
        // Only the first values, where there are very many: the next full import tells the rest.
        let (Ranged::Complete(values) | Ranged::Incomplete { values, .. }) = ranged_values(found, back)
        else {
            return Vec::new();
        };
        let owners = values.iter().filter_map(|value| match reader::target(value) {
            LinkTarget::Anchor(anchor) => Guid::try_from(&*anchor.0).ok(),
            LinkTarget::Dn(_) => None,
        });
        owners.map(|owner| (owner, *forward, own)).collect()
    };
    BACK_LINKS.iter().flat_map(of).collect()
}

/// New, renamed, moved or restored.
fn is_new_name(entry: &LdapEntry) -> bool {
    ["objectClass", "name", "isDeleted"].iter().any(|name| entry.attribute(name).is_some())
}

/// Renamed or moved, and not new.
pub fn is_renamed(entry: &LdapEntry) -> bool {
    entry.attribute("name").is_some() && !is_new(entry)
}

fn is_new(entry: &LdapEntry) -> bool {
    entry.attribute("objectClass").is_some()
}

/// Finds objects by a filter of their GUIDs; none where it names none.
///
/// # Errors
/// When the connection fails or the server refuses.
pub async fn search_guids(
    base: &str,
    guids: Filter,
    attributes: Vec<String>,
    controls: Vec<Control>,
    side: &mut Side<'_>,
) -> Result<Vec<LdapEntry>, ConnectorError> {
    if matches!(&guids, Filter::Or(none) if none.is_empty()) {
        return Ok(Vec::new());
    }
    let address = side.address().to_owned();
    let failed = |error: LdapError| convert(&error, &address);
    let request = SearchRequest::new(base, Scope::Subtree, guids).attributes(attributes);
    let request = controls.into_iter().fold(request, SearchRequest::control);
    let mut found = Vec::new();
    let mut search = side.client().await?.search(request).await.map_err(failed)?;
    while let Some(item) = search.next().await.map_err(failed)? {
        if let SearchItem::Entry(entry) = item {
            found.push(entry);
        }
    }
    Ok(found)
}

/// What a refused cookie means: another server, too old, or a right that is gone.
fn cookie_error(error: &LdapError, address: &str) -> ConnectorError {
    let code = error.result().map(|result| result.code);
    let is_refused =
        matches!(error.class(), LdapClass::Unsupported | LdapClass::Constraint | LdapClass::Refused)
            || matches!(error.class(), LdapClass::Permission)
            || code == Some(ResultCode::ProtocolError);
    if is_refused { unusable(format!("`{address}` refused it ({error})")) } else { convert(error, address) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_restored_object_names_who_has_links_to_it() {
        let digits = |byte: u8| format!("{byte:02x}").repeat(16);
        let found = LdapEntry::build(
            "CN=back,DC=x",
            vec![
                ("objectGUID".to_owned(), vec![vec![1; 16]]),
                ("memberOf".to_owned(), vec![format!("<GUID={}>;CN=g,DC=x", digits(2)).into_bytes()]),
                (
                    "directReports;range=0-0".to_owned(),
                    vec![format!("<GUID={}>;CN=r,DC=x", digits(3)).into()],
                ),
            ],
        );
        assert_eq!(links_to(&found), [([2; 16], "member", [1; 16]), ([3; 16], "manager", [1; 16])]);
    }
}
