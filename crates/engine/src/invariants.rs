//! What must always hold, by name: asked by tests and simulations about stored rows, and by debug builds about every
//! batch before it is written.

use std::collections::BTreeSet;

use onesync_model::{AttrId, CsId, Hash128, MvId};

use crate::batch::{Batch, Context};
use crate::changes::Changes;
use crate::links::{Chosen, chosen};
use crate::reader::{ReadError, Reader};
use crate::state::{CsRow, MvState};

/// Rows read at once.
const PAGE: usize = 1_000;

/// Section 3 of the design, where it can be read from rows.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Invariant {
    /// A metaverse object has the values, and picks the links, that its sources, rules and retained facts give.
    PureFunction,
    /// A metaverse object has exactly the links to which the rows of its picked sources resolve.
    LinksResolve,
    /// A metaverse object that is there is joined to something.
    Joined,
    /// A join leads to a metaverse object that is there.
    JoinLeads,
    /// Count and sum of link values are those of the link rows.
    LinkSums,
    /// An object is found by its join keys.
    FoundByKey,
    /// In one batch no key is written and deleted, and none is written twice.
    OneFate,
}

/// An invariant that does not hold, and where.
pub type Broken = (Invariant, String);

/// Looks at a page of metaverse objects.
///
/// # Errors
/// When the reader fails.
pub fn of_metaverse(ctx: &Context<'_>, reader: &dyn Reader, ids: &[MvId]) -> Result<Vec<Broken>, ReadError> {
    let mut broken = Vec::new();
    // What the values pass would write is what differs from the pure function.
    let changes = crate::identity::values(ctx, reader, ids)?;
    for row in &changes.mv {
        broken.push((Invariant::PureFunction, format!("{} would become {row:?}", row.guid)));
    }
    for mv in reader.mv_by_id(ids)? {
        if reader.cs_of_mv(&[mv.id])?.is_empty() {
            broken.push((Invariant::Joined, format!("{}", mv.guid)));
        }
        for key in crate::sources::mv_keys(ctx, &mv) {
            if !reader.mv_by_join(&[key])?.contains(&(key, mv.id)) {
                broken.push((Invariant::FoundByKey, format!("{}", mv.guid)));
            }
        }
        let attributes: BTreeSet<AttrId> = mv.picks.iter().map(|pick| pick.attribute).collect();
        for attribute in attributes.into_iter().filter(|_| mv.state == MvState::Active) {
            let (mut wanted, mut unclear) = (BTreeSet::new(), false);
            let mut batch = Batch::new(reader, ctx.run)?;
            for pick in mv.picks.iter().filter(|pick| pick.attribute == attribute) {
                match chosen(ctx, &mut batch, pick)? {
                    Chosen::All => {}
                    Chosen::Unclear => unclear = true,
                    Chosen::These(targets) => {
                        wanted.extend(reader.joins_of(&targets)?.into_iter().map(|(_, mv)| mv));
                        continue;
                    }
                }
                for key in link_keys(reader, pick.source, pick.source_attribute)? {
                    wanted.extend(reader.link_targets(&[key])?.into_iter().filter_map(|(_, _, mv)| mv));
                }
            }
            let mut held = BTreeSet::new();
            loop {
                let after = held.last().copied().unwrap_or(MvId(i64::MIN));
                let page = reader.mv_links(mv.id, attribute, after, PAGE)?;
                if page.is_empty() {
                    break;
                }
                held.extend(page);
            }
            if held != wanted && !unclear {
                let name = ctx.attribute(attribute);
                broken.push((
                    Invariant::LinksResolve,
                    format!("{} `{name}`: {held:?}, not {wanted:?}", mv.guid),
                ));
            }
        }
    }
    Ok(broken)
}

/// Looks at connector-space objects.
///
/// # Errors
/// When the reader fails.
pub fn of_connector_space(
    ctx: &Context<'_>,
    reader: &dyn Reader,
    rows: &[CsRow],
) -> Result<Vec<Broken>, ReadError> {
    let mut broken = Vec::new();
    for row in rows {
        if let Some(join) = row.join
            && reader.mv_by_id(&[join.mv])?.is_empty()
        {
            broken.push((Invariant::JoinLeads, format!("`{}`", row.name)));
        }
        for key in crate::sources::cs_keys(ctx, row) {
            if !reader.cs_by_join(&[key])?.contains(&(key, row.id)) {
                broken.push((Invariant::FoundByKey, format!("`{}`", row.name)));
            }
        }
        for sum in &row.links {
            let keys = link_keys(reader, row.id, sum.attribute)?;
            let total = keys.iter().fold(Hash128::default(), |total, &key| total.plus(key));
            if (keys.len() as u64, total) != (sum.count, sum.sum) {
                let name = ctx.attribute(sum.attribute);
                broken.push((Invariant::LinkSums, format!("`{}` `{name}`", row.name)));
            }
        }
    }
    Ok(broken)
}

/// Looks at what a batch is about to write.
#[must_use]
pub fn of_changes(changes: &Changes) -> Option<Broken> {
    fn fates<K: Ord + Clone>(put: impl Iterator<Item = K>, deleted: &[K]) -> bool {
        let mut seen = BTreeSet::new();
        put.chain(deleted.iter().cloned()).all(|key| seen.insert(key))
    }
    let links = |rows: &[(CsId, AttrId, Hash128)], gone: &[_]| fates(rows.iter().copied(), gone);
    let all = [
        ("objects", fates(changes.cs.iter().map(|row| row.id), &changes.cs_deleted)),
        ("metaverse objects", fates(changes.mv.iter().map(|row| row.id), &changes.mv_deleted)),
        ("exports", fates(changes.exports.iter().map(|row| row.cs), &changes.exports_deleted)),
        ("links", links(&changes.links_added, &changes.links_removed)),
        ("metaverse links", fates(changes.mv_links_added.iter().copied(), &changes.mv_links_removed)),
        (
            "link exports",
            fates(
                changes.export_links.iter().map(|row| (row.owner, row.attribute, row.target)),
                &changes.export_links_deleted,
            ),
        ),
    ];
    let (what, _) = all.into_iter().find(|(_, once)| !once)?;
    Some((Invariant::OneFate, what.to_owned()))
}

fn link_keys(reader: &dyn Reader, owner: CsId, attribute: AttrId) -> Result<Vec<Hash128>, ReadError> {
    let mut keys: Vec<Hash128> = Vec::new();
    loop {
        let page = reader.links(owner, attribute, keys.last().copied(), PAGE)?;
        if page.is_empty() {
            return Ok(keys);
        }
        keys.extend(page);
    }
}
