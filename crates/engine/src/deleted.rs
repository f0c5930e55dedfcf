//! An object leaves a connector space: nobody owes its directory links to it any more.

use std::collections::BTreeSet;

use onesync_model::{AttrId, CsId, MvId};

use crate::batch::{Batch, Context};
use crate::export::heal_links;
use crate::reader::ReadError;
use crate::state::CsRow;

/// Rows read at once.
const PAGE: usize = 2_000;

/// Takes an object out of its connector space, and with it the link values that others were to be given or to lose.
/// `mv` is what it is, or was until now, joined to.
pub(crate) fn delete_cs(
    ctx: &Context<'_>,
    batch: &mut Batch<'_>,
    row: &CsRow,
    mv: Option<MvId>,
) -> Result<(), ReadError> {
    batch.delete_cs(row.id);
    // Where nothing is written no links are owed.
    if !ctx.policies.of(row.connector).writable {
        return Ok(());
    }
    let mut owed = to_be_taken_away(batch, row.id)?;
    owed.extend(match mv {
        Some(mv) => to_be_added(ctx, batch, row, mv)?,
        None => Vec::new(),
    });
    let mut freed = BTreeSet::new();
    for keys in owed.chunks(PAGE) {
        for link in batch.reader.export_links_by_key(keys)? {
            freed.extend(link.error.is_some().then_some((link.owner, link.attribute)));
            batch.changes.export_links_deleted.push((link.owner, link.attribute, link.target));
        }
    }
    heal_links(ctx, batch, freed)
}

fn to_be_taken_away(batch: &Batch<'_>, target: CsId) -> Result<Vec<(CsId, AttrId, CsId)>, ReadError> {
    let mut owed = Vec::new();
    loop {
        let after = owed.last().map(|(owner, attribute, _)| (*owner, *attribute));
        let page = batch.reader.export_removals_to(target, after, PAGE)?;
        let last = page.len() < PAGE;
        owed.extend(page.into_iter().map(|(owner, attribute)| (owner, attribute, target)));
        if last {
            return Ok(owed);
        }
    }
}

/// What is to be added follows from links in the metaverse: they lead to those who may be owed it.
fn to_be_added(
    ctx: &Context<'_>,
    batch: &Batch<'_>,
    row: &CsRow,
    mv: MvId,
) -> Result<Vec<(CsId, AttrId, CsId)>, ReadError> {
    let (mut owed, mut after) = (BTreeSet::new(), None);
    loop {
        let page = batch.reader.mv_referrers(mv, after, PAGE)?;
        let Some(&last) = page.last() else { return Ok(owed.into_iter().collect()) };
        after = Some(last);
        let owners: BTreeSet<MvId> = page.into_iter().map(|(owner, _)| owner).collect();
        let owners: Vec<MvId> = owners.into_iter().collect();
        for owner in batch.reader.joined_in(row.connector, &owners)? {
            let attributes = &ctx.policies.of(row.connector).link_attributes;
            owed.extend(attributes.iter().map(|&attribute| (owner.cs, attribute, row.id)));
        }
    }
}
