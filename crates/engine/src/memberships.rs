//! Which groups objects are direct members of: for scopes that ask, and for nobody else.
//!
//! It is read from the member's side and from rows alone: a group counts while its row is there, whatever else is known
//! of it. Members of groups that are members are not counted, and neither is the primary group: directories keep that
//! one elsewhere.
//!
//! Who is looked at again: whom a link of a group asked for names that comes or goes, and, page by page, all members of
//! one that goes, comes back, is renamed or moved. What changes on the member's own side puts the member itself on the
//! agenda.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use onesync_model::{AttrId, ConnectorId, CsId, Hash128, Time, anchor_names, group_name, group_own_name};

use crate::batch::{Batch, Context};
use crate::changes::Changes;
use crate::reader::{ReadError, Reader};
use crate::state::{AgendaRow, CsFlags, CsRow, Members, Work};

/// Rows read at once.
const PAGE: usize = 1_000;

/// A group, by all its names.
#[derive(Debug)]
pub(crate) struct Group {
    /// As people see it.
    pub(crate) name: String,
    /// In the form in which names are compared.
    names: Vec<String>,
}

impl Group {
    /// Whether one of these groups has this name.
    pub(crate) fn any(groups: &[Arc<Self>], name: &str) -> bool {
        groups.iter().flat_map(|group| &group.names).any(|known| known == name)
    }
}

/// Groups that were read; `None` for what nobody asks for, or is gone.
#[derive(Default)]
pub(crate) struct Memberships(HashMap<CsId, Option<Arc<Group>>>);

impl Memberships {
    /// The groups that scopes may ask for of which each of these objects is a member. Where notes are taken: all.
    pub(crate) fn of(
        &mut self,
        ctx: &Context<'_>,
        batch: &mut Batch<'_>,
        rows: &[CsRow],
    ) -> Result<HashMap<CsId, Vec<Arc<Group>>>, ReadError> {
        let asking: Vec<&CsRow> = rows.iter().filter(|row| asks(ctx, row)).collect();
        if asking.is_empty() {
            return Ok(HashMap::new());
        }
        let ids: Vec<CsId> = asking.iter().map(|row| row.id).collect();
        let named: HashMap<CsId, Hash128> = batch.reader.name_key(&ids)?.into_iter().collect();
        let mut groups: Vec<(CsId, BTreeSet<CsId>)> = Vec::with_capacity(asking.len());
        for row in asking {
            let mut of = BTreeSet::new();
            for key in row.key().into_iter().chain(named.get(&row.id).copied()) {
                groups_of(ctx, batch.reader, row.connector, key, &mut of)?;
            }
            groups.push((row.id, of));
        }
        let unknown: BTreeSet<CsId> = groups.iter().flat_map(|(_, of)| of).copied().collect();
        let unknown: Vec<CsId> = unknown.into_iter().filter(|id| !self.0.contains_key(id)).collect();
        for ids in unknown.chunks(PAGE) {
            self.0.extend(ids.iter().map(|&id| (id, None)));
            for group in batch.reader.cs_by_id(ids)? {
                if !group.flags.has(CsFlags::GONE) && (ctx.trace.is_some() || is_asked_for(ctx, &group)) {
                    let name = batch.dn(&group)?;
                    let names = std::iter::once(group_name(&name)).chain(other_names(&group)).collect();
                    self.0.insert(group.id, Some(Arc::new(Group { name, names })));
                }
            }
        }
        let known = |of: BTreeSet<CsId>| of.iter().filter_map(|id| self.0.get(id)?.clone()).collect();
        Ok(groups.into_iter().map(|(id, of)| (id, known(of))).collect())
    }
}

/// Whether a rule for objects of this type asks for groups.
fn asks(ctx: &Context<'_>, row: &CsRow) -> bool {
    ctx.rules.groups_asked(row.connector).is_some_and(|asked| asked.by(row.object_type))
}

fn other_names(group: &CsRow) -> impl Iterator<Item = String> {
    group.anchor.iter().flat_map(anchor_names)
}

/// Whether a scope may ask for this group; that it does may depend on the names of the containers it lies in.
fn is_asked_for(ctx: &Context<'_>, group: &CsRow) -> bool {
    ctx.rules.groups_asked(group.connector).is_some_and(|asked| {
        asked.may_be(std::iter::once(group_own_name(&group.name)).chain(other_names(group)))
    })
}

fn groups_of(
    ctx: &Context<'_>,
    reader: &dyn Reader,
    connector: ConnectorId,
    key: Hash128,
    groups: &mut BTreeSet<CsId>,
) -> Result<(), ReadError> {
    let membership = &ctx.policies.of(connector).membership;
    let mut after: Option<(CsId, AttrId)> = None;
    loop {
        let page = reader.referrers(key, after, PAGE)?;
        groups.extend(page.iter().filter(|(_, by)| membership.contains(by)).map(|(owner, _)| *owner));
        match page.last() {
            Some(&last) if page.len() == PAGE => after = Some(last),
            _ => return Ok(()),
        }
    }
}

/// Looks again at those whom these links name, where they are links of a group that is asked for, or was until it was
/// renamed.
pub(crate) fn links_changed(
    ctx: &Context<'_>,
    batch: &mut Batch<'_>,
    group: &CsRow,
    attribute: AttrId,
    (added, removed): (&[Hash128], &[Hash128]),
) -> Result<(), ReadError> {
    if !ctx.policies.of(group.connector).membership.contains(&attribute) {
        return Ok(());
    }
    let asked = is_asked_for(ctx, group);
    // Whoever goes with a change of name is not found by the way through the links that stay.
    if asked || (!removed.is_empty() && are_awake(ctx, batch, group, attribute)?) {
        removed.chunks(PAGE).try_for_each(|keys| wake(ctx, batch, keys))?;
    }
    if asked {
        added.chunks(PAGE).try_for_each(|keys| wake(ctx, batch, keys))?;
    }
    Ok(())
}

/// Whether the members of a group are on the agenda, by this page of an import or by one before it.
fn are_awake(
    ctx: &Context<'_>,
    batch: &Batch<'_>,
    group: &CsRow,
    attribute: AttrId,
) -> Result<bool, ReadError> {
    let all = Work::Members(Members { group: group.id, attribute, after: None });
    if batch.is_awake(all) {
        return Ok(true);
    }
    let before = Members { group: CsId(group.id.0 - 1), attribute: AttrId(u32::MAX), after: None };
    let before =
        AgendaRow { connector: ConnectorId(0), work: Work::Members(before), not_before: Time::default() };
    let next = batch.reader.agenda(all.pass(), None, ctx.now, Some(before), 1)?;
    Ok(next.iter().any(|row| matches!(row.work, Work::Members(at) if at.group == group.id)))
}

/// Puts the members of a group on the agenda that goes, has come back, or is called otherwise than before.
pub(crate) fn wake_members(ctx: &Context<'_>, batch: &mut Batch<'_>, group: &CsRow) {
    let membership = &ctx.policies.of(group.connector).membership;
    if membership.is_empty() || !is_asked_for(ctx, group) {
        return;
    }
    for &attribute in membership.iter().filter(|&&attribute| group.link_count(attribute) > 0) {
        batch.wake(Work::Members(Members { group: group.id, attribute, after: None }));
    }
}

/// Puts members of groups on the agenda whose groups are there, at most `limit` of them. How far this has come stays
/// on the agenda.
///
/// # Errors
/// When the reader fails.
pub fn members(
    ctx: &Context<'_>,
    reader: &dyn Reader,
    work: &[Work],
    limit: usize,
) -> Result<Changes, ReadError> {
    let mut batch = Batch::new(reader, ctx.run)?;
    let mut left = limit.max(1);
    for item in work {
        let Work::Members(at) = *item else { continue };
        if left == 0 {
            break;
        }
        batch.done(*item);
        let page = reader.links(at.group, at.attribute, at.after, left)?;
        wake(ctx, &mut batch, &page)?;
        left -= page.len();
        if left == 0 {
            batch.wake(Work::Members(Members { after: page.last().copied(), ..at }));
        }
    }
    Ok(batch.finish(ctx))
}

/// Looks again at those whom links name, and who may ask.
fn wake(ctx: &Context<'_>, batch: &mut Batch<'_>, keys: &[Hash128]) -> Result<(), ReadError> {
    let ids: Vec<CsId> = batch.reader.link_targets(keys)?.into_iter().map(|(_, id, _)| id).collect();
    for stored in batch.reader.cs_by_id(&ids)? {
        let row = batch.cs(stored.id).cloned().unwrap_or(stored);
        if asks(ctx, &row) {
            batch.wake_identity(&row);
        }
    }
    Ok(())
}
