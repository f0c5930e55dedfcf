//! The names of what single links point at: for the rules that look at them, and for nobody else.
//!
//! A link row holds a key, and the name is that of the object the key leads to: as it is called now in the same
//! connector space, so that an expression sees one name, however the directory names targets. What is not known there,
//! or is gone, has no name.
//!
//! Whose values are computed again: who has a link more or less (the import sees that), and who has a link whose target
//! comes, goes, comes back, is renamed or moved.

use std::collections::BTreeMap;

use onesync_expr::LINKS_MAX;
use onesync_model::{AttrId, Bag, ConnectorId, CsId, Hash128, Image, Value, Values, ValuesCow, ValuesRef};

use crate::batch::{Batch, Context};
use crate::reader::{ReadError, Reader};
use crate::state::{CsFlags, CsRow};

/// Rows read at once.
const PAGE: usize = 1_000;

/// The names of single links of one object.
#[derive(Debug, Default)]
pub(crate) struct LinkNames {
    names: Image,
    /// Attributes with more links than can be looked at, and how many.
    beyond: Vec<(AttrId, u64)>,
    /// What has these names, in the order of names.
    targets: Vec<(String, CsId)>,
}

impl LinkNames {
    /// Reads the names of the links of some attributes.
    pub(crate) fn read(
        batch: &mut Batch<'_>,
        row: &CsRow,
        attributes: impl IntoIterator<Item = AttrId>,
    ) -> Result<Self, ReadError> {
        let (mut out, mut bag) = (Self::default(), Bag::new());
        for attribute in attributes {
            let count = row.link_count(attribute);
            if count > LINKS_MAX {
                out.beyond.push((attribute, count));
                continue;
            }
            let mut values = Vec::new();
            let mut keys = match count {
                0 => Vec::new(),
                _ => batch.reader.links(row.id, attribute, None, PAGE)?,
            };
            while let Some(&last) = keys.last() {
                let ids: Vec<CsId> =
                    batch.reader.link_targets(&keys)?.into_iter().map(|(_, id, _)| id).collect();
                for target in batch.reader.cs_by_id(&ids)? {
                    if !target.flags.has(CsFlags::GONE) {
                        let name = batch.dn(&target)?;
                        values.push(Value::reference(&name));
                        out.targets.push((name, target.id));
                    }
                }
                keys = batch.reader.links(row.id, attribute, Some(last), PAGE)?;
            }
            bag.set(attribute, Values::new(values));
        }
        out.names = Image::from_bag(&bag);
        out.targets.sort_unstable();
        Ok(out)
    }

    /// As [`onesync_expr::Source::link_names`].
    pub(crate) fn of(&self, attribute: AttrId) -> Result<Option<ValuesRef<'_>>, u64> {
        match self.beyond.iter().find(|(beyond, _)| *beyond == attribute) {
            Some((_, count)) => Err(*count),
            None => Ok(self.names.as_ref().get(attribute)),
        }
    }

    /// The objects that have some of the names, ascending.
    pub(crate) fn targets(&self, names: &ValuesCow<'_>) -> Vec<CsId> {
        let mut out = Vec::with_capacity(names.count());
        for name in names.iter() {
            let Some(name) = name.as_str() else { continue };
            let from = self.targets.partition_point(|(known, _)| known.as_str() < name);
            let same = self.targets.iter().skip(from).take_while(|(known, _)| known == name);
            out.extend(same.map(|(_, id)| *id));
        }
        out.sort_unstable();
        out.dedup();
        out
    }
}

/// Puts on the agenda whoever has links, by any of these keys, whose names are looked at.
pub(crate) fn names_changed(
    ctx: &Context<'_>,
    batch: &mut Batch<'_>,
    connector: ConnectorId,
    keys: impl IntoIterator<Item = Hash128>,
) -> Result<(), ReadError> {
    if !ctx.rules.asks_link_names(connector) {
        return Ok(());
    }
    for key in keys {
        let mut after = None;
        loop {
            let page = batch.reader.referrers(key, after, PAGE)?;
            let Some(&last) = page.last() else { break };
            after = Some(last);
            let mut by_owner: BTreeMap<CsId, Vec<AttrId>> = BTreeMap::new();
            for (owner, attribute) in page {
                by_owner.entry(owner).or_default().push(attribute);
            }
            let owners: Vec<CsId> = by_owner.keys().copied().collect();
            for stored in batch.reader.cs_by_id(&owners)? {
                let row = batch.cs(stored.id).cloned().unwrap_or(stored);
                let asked = ctx.rules.link_names_asked(connector, row.object_type);
                if by_owner.get(&row.id).is_some_and(|by| by.iter().any(|by| asked.contains(by))) {
                    batch.wake_identity(&row);
                }
            }
        }
    }
    Ok(())
}

/// The same for an object that comes, goes, comes back, or whose container is called otherwise now.
pub(crate) fn name_changed(ctx: &Context<'_>, batch: &mut Batch<'_>, row: &CsRow) -> Result<(), ReadError> {
    if !ctx.rules.asks_link_names(row.connector) {
        return Ok(());
    }
    let named = batch.reader.name_key(&[row.id])?.into_iter().map(|(_, key)| key);
    let keys: Vec<Hash128> = row.key().into_iter().chain(named).collect();
    names_changed(ctx, batch, row.connector, keys)
}

/// The names of what the links of an attribute of an object point at, for people: at most so many.
///
/// # Errors
/// When the reader fails.
pub fn link_names(
    reader: &dyn Reader,
    row: &CsRow,
    attribute: AttrId,
    limit: usize,
) -> Result<Vec<String>, ReadError> {
    let mut batch = Batch::new(reader, onesync_model::RunId(0))?;
    let named = LinkNames::read(&mut batch, row, [attribute])?;
    let names = named.of(attribute).ok().flatten();
    Ok(names.into_iter().flat_map(ValuesRef::iter).take(limit).map(|name| name.to_string()).collect())
}
