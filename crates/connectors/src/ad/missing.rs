//! Objects that a full import did not show: deleted, left the selection, or only out of sight?

use std::collections::BTreeSet;

use onesync_ldap::control::SHOW_RECYCLED;
use onesync_ldap::{Control, Entry as LdapEntry, SearchRequest};

use super::containers::{Containers, base};
use super::delta::{LOOK_UP_MAX, search_guids};
use super::layout::Layout;
use super::reader;
use super::server::{Server, guid, guids_filter, show_deleted};
use super::settings::AdSettings;
use super::watermark::{Guid, Mark, hex};
use crate::{Anchor, ConnectorError, Selection};

/// Gives those of the objects of which the directory shows neither a tombstone nor that they lie elsewhere or are of
/// another type by now.
///
/// A tombstone is kept for longer than a watermark is trusted. Where none is found, the account may no longer see the
/// object, or this domain controller has not heard of it yet. Without sight of deleted objects, absence at the domain
/// controller of the watermark is a deletion; at another one the object is given, since that one may lag behind. What
/// is there, selected, and was not shown is always given.
pub async fn out_of_sight(
    server: &mut Server,
    settings: &AdSettings,
    selection: &Selection,
    known: &Mark,
    anchors: &[Anchor],
) -> Result<Vec<Anchor>, ConnectorError> {
    let base = base(server, settings)?;
    let same = hex(&server.invocation().await?) == known.invocation;
    let tombstones = settings.deleted_objects && sees_deleted(server, &base).await?;
    // Where no tombstone is to be expected, absence means deletion; what is there was missed all the same.
    let absence_tells = known.is_old(&server.root) || (same && !tombstones);
    // Nothing is selected where nothing was imported yet: then the type explains nothing.
    let layout = if selection.types.is_empty() { None } else { Some(Layout::new(selection, settings)?) };
    let mut containers = Containers::find(server, settings, &known.containers).await?;
    let (_, mut side) = server.both().await?;
    let attributes: Vec<String> = ["objectGUID", "objectClass", "isDeleted"].map(str::to_owned).to_vec();
    let mut missing = Vec::new();
    for some in anchors.chunks(LOOK_UP_MAX) {
        let guids: BTreeSet<Guid> =
            some.iter().filter_map(|anchor| <Guid>::try_from(anchor.0.as_ref()).ok()).collect();
        let controls =
            if tombstones { vec![show_deleted(), Control::flag(SHOW_RECYCLED)] } else { Vec::new() };
        let found =
            search_guids(&base, guids_filter(&guids), attributes.clone(), controls, &mut side).await?;
        // What is there, selected, and was not shown: half hidden, or missed while containers moved.
        let mut explained = |entry: &&LdapEntry| {
            let deleted = entry.first("isDeleted").is_some_and(|value| value.eq_ignore_ascii_case(b"TRUE"));
            let other = entry.attribute("objectClass").is_some()
                && layout.as_ref().is_some_and(|layout| reader::type_of(entry, layout).is_none());
            deleted || other || !containers.contain(reader::plain_name(entry.dn()))
        };
        let (explained, missed): (Vec<&LdapEntry>, Vec<&LdapEntry>) = found.iter().partition(&mut explained);
        let guids = |entries: Vec<&LdapEntry>| -> BTreeSet<Guid> {
            entries.into_iter().filter_map(|entry| guid(entry, "objectGUID")).collect()
        };
        let (explained, missed) = (guids(explained), guids(missed));
        let in_doubt =
            |guid: &Guid| if absence_tells { missed.contains(guid) } else { !explained.contains(guid) };
        let hidden = some
            .iter()
            .filter(|anchor| <Guid>::try_from(anchor.0.as_ref()).is_ok_and(|guid| in_doubt(&guid)));
        missing.extend(hidden.cloned());
    }
    Ok(missing)
}

/// Whether the account sees deleted objects.
pub async fn sees_deleted(server: &mut Server, base: &str) -> Result<bool, ConnectorError> {
    let request = SearchRequest::entry(format!("CN=Deleted Objects,{base}"))
        .attributes(["objectGUID"])
        .control(show_deleted());
    Ok(matches!(server.look(request).await?, Ok(Some(entry)) if entry.first("objectGUID").is_some()))
}
