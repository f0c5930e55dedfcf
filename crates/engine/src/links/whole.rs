//! All links of one attribute of one object: compared with what its contributors give, and with every target.

use std::collections::{BTreeMap, HashSet};

use onesync_model::{AttrId, ConnectorId, CsId, Hash128, MvId};

use super::{Chosen, Links, PAGE};
use crate::reader::ReadError;
use crate::state::{ChangeState, ExportLinkRow, MvRow};

impl Links<'_, '_> {
    /// Compares all links of one attribute of one object: with what its contributors give, and with every target.
    pub(super) fn whole_attribute(&mut self, owner: MvId, attribute: AttrId) -> Result<(), ReadError> {
        self.batch.load_mv([owner])?;
        let Some(row) = self.batch.mv(owner).cloned() else { return Ok(()) };
        let known = self.all_mv_links(owner, attribute)?;
        let mut wanted: Vec<MvId> = Vec::new();
        for pick in row.picks.iter().filter(|pick| pick.attribute == attribute) {
            if let Chosen::These(targets) = &*self.chosen(pick)? {
                for page in targets.chunks(PAGE) {
                    wanted.extend(self.reader.joins_of(page)?.into_iter().map(|(_, mv)| mv));
                }
                continue;
            }
            let links = self.all_links(pick.source, pick.source_attribute)?;
            wanted.append(&mut self.targets(&links)?);
        }
        wanted.sort_unstable();
        wanted.dedup();
        self.load_picked(&row, attribute)?;
        if self.frozen(owner, attribute) {
            wanted.clone_from(&known);
        }
        let missing = |of: &[MvId], all: &[MvId]| -> Vec<(MvId, AttrId, MvId)> {
            let lost = all.iter().filter(|target| of.binary_search(target).is_err());
            lost.map(|&target| (owner, attribute, target)).collect()
        };
        self.batch.changes.mv_links_added.extend(missing(&known, &wanted));
        self.batch.changes.mv_links_removed.extend(missing(&wanted, &known));
        for &connector in self.ctx.rules.connector_order() {
            let flows = self.out_flows(owner, connector)?;
            let Some(owner_cs) = self.target_of(owner, connector) else { continue };
            for (_, to) in flows.into_iter().filter(|(from, _)| *from == attribute) {
                self.whole_target(connector, owner_cs, to, &wanted)?;
            }
        }
        Ok(())
    }

    fn load_picked(&mut self, row: &MvRow, attribute: AttrId) -> Result<(), ReadError> {
        let picked = row.picks.iter().filter(|pick| pick.attribute == attribute);
        self.batch.load_cs(picked.map(|pick| pick.source))
    }

    fn whole_target(
        &mut self,
        connector: ConnectorId,
        owner: CsId,
        attribute: AttrId,
        wanted: &[MvId],
    ) -> Result<(), ReadError> {
        let mut held: HashSet<Hash128> = self.all_links(owner, attribute)?.into_iter().collect();
        let planned = self.all_export_links(owner, attribute)?;
        let mut known: BTreeMap<CsId, ExportLinkRow> =
            planned.into_iter().map(|row| (row.target, row)).collect();
        for chunk in wanted.chunks(PAGE) {
            let targets = self.joined(connector, chunk)?;
            let mut ends: Vec<CsId> = targets.iter().map(|joined| joined.cs).collect();
            ends.push(owner);
            self.load_ends(connector, &ends)?;
            for joined in targets {
                let holds = [joined.key, joined.name_key]
                    .into_iter()
                    .flatten()
                    .fold(false, |any, key| held.remove(&key) | any);
                let planned = known.remove(&joined.cs);
                self.settle(connector, (owner, attribute, joined.cs), holds, true, planned);
            }
        }
        // What the directory holds beyond that is not wanted; what it holds of objects we do not know stays.
        let mut extra: Vec<Hash128> = held.into_iter().collect();
        extra.sort_unstable();
        for chunk in extra.chunks(PAGE) {
            let targets = self.reader.link_targets(chunk)?;
            let ends: Vec<CsId> = targets.iter().map(|(_, target, _)| *target).chain([owner]).collect();
            self.load_ends(connector, &ends)?;
            for (_, target, _) in targets {
                let planned = known.remove(&target);
                self.settle(connector, (owner, attribute, target), true, false, planned);
            }
        }
        // What was given and points at an object that is gone went with it.
        let flying = |row: &ExportLinkRow| matches!(row.state, ChangeState::Sent | ChangeState::Sending);
        self.batch.load_cs(known.values().filter(|row| flying(row)).map(|row| row.target))?;
        for (target, planned) in known {
            if flying(&planned) && self.batch.cs(target).is_none() {
                self.batch.changes.export_links_deleted.push((owner, attribute, target));
                continue;
            }
            self.settle(connector, (owner, attribute, target), false, false, Some(planned));
        }
        Ok(())
    }
}
