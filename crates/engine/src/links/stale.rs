//! Link values that nobody owes any more: their owner left, or no flow leads there now.

use std::collections::BTreeSet;

use onesync_model::MvId;

use super::{KnownTargets, Links};
use crate::batch::Context;
use crate::changes::Changes;
use crate::export::heal_links;
use crate::reader::{ReadError, Reader};
use crate::state::{ChangeState, CsFlags, ExportLinkRow, MvState};

/// Takes back those of a page of link exports that wait to be sent, or were refused, and are not owed any more. What
/// was sent is waited for.
///
/// # Errors
/// When the reader fails.
pub fn stale_links(
    ctx: &Context<'_>,
    reader: &dyn Reader,
    rows: &[ExportLinkRow],
) -> Result<Changes, ReadError> {
    let known = KnownTargets::default();
    let mut pass = Links::new(ctx, reader, &known)?;
    let waiting = |row: &&ExportLinkRow| matches!(row.state, ChangeState::Pending | ChangeState::Refused);
    let rows: Vec<&ExportLinkRow> = rows.iter().filter(waiting).collect();
    pass.batch.load_cs(rows.iter().map(|row| row.owner))?;
    let mvs: BTreeSet<MvId> =
        rows.iter().filter_map(|row| Some(pass.batch.cs(row.owner)?.join?.mv)).collect();
    pass.batch.load_mv(mvs)?;
    for row in rows {
        if !pass.is_owed(row)? {
            pass.freed.extend(row.error.is_some().then_some((row.owner, row.attribute)));
            pass.batch.changes.export_links_deleted.push((row.owner, row.attribute, row.target));
        }
    }
    heal_links(ctx, &mut pass.batch, std::mem::take(&mut pass.freed))?;
    Ok(pass.batch.finish(ctx))
}

impl Links<'_, '_> {
    fn is_owed(&mut self, row: &ExportLinkRow) -> Result<bool, ReadError> {
        let joined = |id| self.batch.cs(id).and_then(|row| row.join).map(|join| join.mv);
        let Some(mv) = joined(row.owner) else { return Ok(false) };
        // Who leaves keeps what it has, and may come back; what others master is their affair.
        let kept = CsFlags::GONE.0 | CsFlags::MASTERED_ELSEWHERE.0;
        if self.batch.mv(mv).is_none_or(|mv| mv.state != MvState::Active)
            || self.batch.cs(row.owner).is_none_or(|owner| owner.flags.0 & kept != 0)
        {
            return Ok(true);
        }
        let flows = self.out_flows(mv, row.connector)?;
        let unclear = self.unclear.contains(&(mv, row.connector, row.attribute));
        Ok(unclear || flows.iter().any(|(_, to)| *to == row.attribute))
    }
}
