//! Servers in the SQL stores: rows, and the checks of the transactions that change them.

use std::time::Duration;

use onesync_model::Time;

use super::{Cells, Checked, Value, values};
use crate::error::StoreError;
use crate::servers::{Holder, Lease, ServerRow, ticks};

fn duration(cells: &Cells<'_>, column: usize) -> Checked<Duration> {
    Ok(Duration::from_nanos(cells.count(column)?.saturating_mul(100)))
}

pub(crate) fn server(cells: &Cells<'_>) -> Checked<ServerRow> {
    Ok(ServerRow {
        id: cells.get(0)?,
        epoch: cells.count(1)?,
        seen: Time::from_ticks(cells.get(2)?),
        lease: duration(cells, 3)?,
        facts: cells.get(4)?,
    })
}

pub(crate) fn lease(cells: &Cells<'_>) -> Checked<Lease> {
    let holder = match cells.get::<Option<String>>(2)? {
        None => None,
        Some(id) => {
            let (seen, lease) = (Time::from_ticks(cells.get(3)?), duration(cells, 4)?);
            Some(Holder { id, seen, lease })
        }
    };
    Ok(Lease { epoch: cells.count(0)?, now: Time::from_ticks(cells.get(1)?), holder })
}

/// The parameters of `SERVER_PUT` and `SERVER_RENEW`.
pub(crate) fn row(server: &ServerRow, epoch: u64) -> [Value<'_>; 4] {
    values![&server.id, epoch as i64, ticks(server.lease), &server.facts]
}

/// Whether a server may be noted with the epoch that it says it holds.
pub(crate) fn may_enrol(server: &ServerRow, there: Option<Lease>) -> Checked<()> {
    let there = there.ok_or(StoreError::NotInstalled)?;
    match there.holder {
        _ if server.epoch == 0 => Ok(()),
        _ if server.epoch != there.epoch => {
            Err(StoreError::Fenced { ours: server.epoch, theirs: there.epoch })
        }
        Some(holder) if holder.id != server.id => {
            Err(StoreError::Conflict(format!("server {} holds epoch {}", holder.id, there.epoch)))
        }
        _ => Ok(()),
    }
}

/// What a renewal gave: the lease, or why there is none any more.
pub(crate) fn renewed(server: &ServerRow, found: Option<Lease>, there: Option<Lease>) -> Checked<Lease> {
    match (found, there) {
        (Some(lease), _) => Ok(lease),
        (None, None) => Err(StoreError::NotInstalled),
        (None, Some(there)) => Err(StoreError::Fenced { ours: server.epoch, theirs: there.epoch }),
    }
}
