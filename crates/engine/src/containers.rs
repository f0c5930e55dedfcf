//! What lies below a container: its names, and what is looked at again when the container is renamed or moved.

use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap};

use onesync_model::ContainerId;

use crate::batch::{Batch, Context};
use crate::changes::Changes;
use crate::link_names;
use crate::memberships;
use crate::reader::{ReadError, Reader};
use crate::sources::cs_keys;
use crate::state::{Below, CsFlags, CsRow, Work};

/// Names of containers, read once each.
#[derive(Default)]
pub struct ContainerNames(HashMap<ContainerId, (String, Option<ContainerId>)>);

impl ContainerNames {
    /// The distinguished name of what has the RDN `own` inside a container.
    ///
    /// # Errors
    /// When the reader fails.
    pub fn dn(
        &mut self,
        reader: &dyn Reader,
        own: &str,
        mut container: Option<ContainerId>,
    ) -> Result<String, ReadError> {
        let mut dn = own.to_owned();
        while let Some(id) = container {
            let (rdn, parent) = match self.0.entry(id) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(place) => {
                    let found = reader.containers(&[id])?.into_iter().next();
                    place.insert(found.map_or((String::from("?"), None), |row| (row.rdn, row.parent)))
                }
            };
            if !dn.is_empty() && !rdn.is_empty() {
                dn.push(',');
            }
            dn.push_str(rdn);
            container = *parent;
        }
        Ok(dn)
    }
}

/// Puts on the agenda what lies below containers that were renamed or moved, at most `limit` of it: for scope, joins
/// and flows that use names. How far this has come stays on the agenda.
///
/// # Errors
/// When the reader fails.
pub fn below(
    ctx: &Context<'_>,
    reader: &dyn Reader,
    work: &[Work],
    limit: usize,
) -> Result<Changes, ReadError> {
    let mut batch = Batch::new(reader, ctx.run)?;
    let mut keys = BTreeSet::new();
    let mut left = limit.max(1);
    for item in work {
        let Work::Below(at) = *item else { continue };
        if left == 0 {
            break;
        }
        batch.done(*item);
        let inside = reader.containers_in(at.container, at.after, left)?;
        inside.iter().for_each(|row| batch.wake(Work::Below(Below::all(row.id))));
        left -= inside.len();
        let objects = match left {
            0 => Vec::new(),
            _ => reader.cs_in_container(at.container, at.after_object, left)?,
        };
        batch.load_cs(objects.iter().copied())?;
        let rows: Vec<CsRow> = objects.iter().filter_map(|&id| batch.cs(id).cloned()).collect();
        for row in rows.iter().filter(|row| !row.flags.has(CsFlags::GONE)) {
            // Whoever was refused because of an object as it was may have its place now.
            keys.extend(cs_keys(ctx, row));
            batch.wake_identity(row);
            memberships::wake_members(ctx, &mut batch, row);
            link_names::name_changed(ctx, &mut batch, row)?;
        }
        left -= objects.len();
        if left == 0 {
            batch.wake(Work::Below(Below {
                container: at.container,
                after: inside.last().map_or(at.after, |row| row.id),
                after_object: objects.last().copied().unwrap_or(at.after_object),
            }));
        }
    }
    batch.wake_unjoined(&keys.into_iter().collect::<Vec<_>>())?;
    Ok(batch.finish(ctx))
}
