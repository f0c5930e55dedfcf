//! Confirming: what was sent is now seen, is not yet seen, or was never taken.

use std::collections::{BTreeMap, BTreeSet};

use onesync_model::{AttrId, CsId, Hash128, Operation, ValuesCow};

use crate::batch::{Batch, Context};
use crate::changes::Changes;
use crate::export::heal_links;
use crate::outbound::equal;
use crate::reader::{ReadError, Reader};
use crate::state::{ChangeState, CsFlags, CsRow, ExportLinkRow, ExportRow};

/// How often a change is sent that is never seen afterwards, before it is isolated.
pub const SENDS_MAX: u8 = 3;

/// Compares what was sent for an object with what the directory shows now. Says whether anything was confirmed.
pub(crate) fn seen(ctx: &Context<'_>, batch: &mut Batch<'_>, before: &CsRow, now: &CsRow) -> bool {
    let Some(mut export) = batch.export(before.id).cloned() else {
        return before.flags.has(CsFlags::PROVISIONED);
    };
    let policy = ctx.policies.of(before.connector);
    let mut confirmed = false;
    if export.operation == Operation::Add {
        // It is there: whatever is missing is an update from now on.
        confirmed = true;
        export.operation = Operation::Update;
        for change in &mut export.changes {
            change.state = if export.sent.is_some() { ChangeState::Sent } else { ChangeState::Pending };
        }
    }
    export.changes.retain(|change| {
        if !matches!(change.state, ChangeState::Sent | ChangeState::Sending) {
            return true;
        }
        let shown = now.image.as_ref().get(change.attribute).map(ValuesCow::from);
        let exact = policy.is_case_exact(change.attribute);
        let same = equal(shown.as_ref(), change.values.as_ref().map(ValuesCow::from).as_ref(), exact);
        confirmed |= same;
        !same
    });
    finish(batch, export);
    confirmed
}

fn finish(batch: &mut Batch<'_>, mut export: ExportRow) {
    if export.operation == Operation::Update && export.changes.is_empty() {
        batch.delete_export(export.cs);
        return;
    }
    if export.operation == Operation::Update {
        export.state = export.changes.iter().map(|change| change.state).min().unwrap_or(ChangeState::Pending);
    }
    batch.put_export(export);
}

/// Takes away link exports that an import shows done; gives how many.
pub(crate) fn links_seen(
    ctx: &Context<'_>,
    batch: &mut Batch<'_>,
    owner: CsId,
    attribute: AttrId,
    added: &[Hash128],
    removed: &[Hash128],
) -> Result<usize, ReadError> {
    let mut confirmed = 0;
    if batch.cs_before(owner).is_none() {
        return Ok(confirmed); // to an object that was not known nothing was sent
    }
    let mut freed = BTreeSet::new();
    for (keys, add) in [(added, true), (removed, false)] {
        if keys.is_empty() {
            continue;
        }
        let targets = batch.reader.link_targets(keys)?;
        let rows: Vec<_> = targets.into_iter().map(|(_, target, _)| (owner, attribute, target)).collect();
        for row in batch.reader.export_links_by_key(&rows)? {
            if row.add == add {
                if matches!(row.state, ChangeState::Sent | ChangeState::Sending) {
                    confirmed += 1;
                }
                batch.changes.export_links_deleted.push((row.owner, row.attribute, row.target));
                freed.extend(row.error.map(|_| (row.owner, row.attribute)));
            }
        }
    }
    heal_links(ctx, batch, freed)?;
    Ok(confirmed)
}

/// Looks at what was sent longer ago than the settling time and is still not seen: it is sent again, and isolated
/// after [`SENDS_MAX`] times. Called at the end of a complete confirming import.
///
/// # Errors
/// When the reader fails.
pub fn overdue(ctx: &Context<'_>, reader: &dyn Reader, ids: &[CsId]) -> Result<Changes, ReadError> {
    let mut batch = Batch::new(reader, ctx.run)?;
    batch.load_cs(ids.iter().copied())?;
    batch.load_exports(ids.iter().copied())?;
    for &id in ids {
        let (Some(row), Some(mut export)) = (batch.cs(id).cloned(), batch.export(id).cloned()) else {
            continue;
        };
        let settle = i64::from(ctx.policies.of(row.connector).settle_seconds);
        if export.sent.is_none_or(|sent| sent.plus_seconds(settle) > ctx.now) {
            continue;
        }
        let mut isolated = Vec::new();
        for change in export.changes.iter_mut().filter(|change| change.state == ChangeState::Sent) {
            change.attempts += 1;
            if change.attempts >= SENDS_MAX {
                change.state = ChangeState::Refused;
                change.error = Some(format!("sent {SENDS_MAX} times and never seen afterwards"));
                isolated.push(ctx.attribute(change.attribute).to_owned());
            } else {
                change.state = ChangeState::Pending;
            }
        }
        for name in isolated {
            let message = format!(
                "`{name}` was sent {SENDS_MAX} times and the directory never showed it; it is sent again when its source changes"
            );
            batch.error(
                ctx,
                (id, row.connector),
                &format!("export:{name}"),
                "exported-change-not-reimported",
                message,
                false,
            );
        }
        match export.operation {
            Operation::Update => finish(&mut batch, export),
            Operation::Add | Operation::Delete => {
                export.attempts += 1;
                let last = export.attempts >= u32::from(SENDS_MAX);
                export.state = if last { ChangeState::Refused } else { ChangeState::Pending };
                if last {
                    let message = format!("it was sent {SENDS_MAX} times and the directory never showed it");
                    batch.error(
                        ctx,
                        (id, row.connector),
                        "export",
                        "exported-change-not-reimported",
                        message,
                        false,
                    );
                }
                batch.put_export(export);
            }
        }
    }
    Ok(batch.finish(ctx))
}

/// The same for link values: `rows` were sent, and no import has shown them.
///
/// # Errors
/// When the reader fails.
pub fn overdue_links(
    ctx: &Context<'_>,
    reader: &dyn Reader,
    rows: &[ExportLinkRow],
) -> Result<Changes, ReadError> {
    let mut batch = Batch::new(reader, ctx.run)?;
    let mut isolated: BTreeMap<(CsId, AttrId), usize> = BTreeMap::new();
    let mut late = Vec::new();
    for row in rows {
        let settle = i64::from(ctx.policies.of(row.connector).settle_seconds);
        // A sent link value keeps in `not_before` when it was sent.
        if row.state != ChangeState::Sent || row.not_before.plus_seconds(settle) > ctx.now {
            continue;
        }
        let mut row = row.clone();
        row.attempts = row.attempts.saturating_add(1);
        if row.attempts >= SENDS_MAX {
            row.state = ChangeState::Refused;
            row.error = Some(format!("sent {SENDS_MAX} times and never seen afterwards"));
            *isolated.entry((row.owner, row.attribute)).or_default() += 1;
        } else {
            row.state = ChangeState::Pending;
        }
        late.push(row);
    }
    batch.load_cs(isolated.keys().map(|(owner, _)| *owner))?;
    for ((owner, attribute), count) in isolated {
        let Some(connector) = batch.cs(owner).map(|row| row.connector) else { continue };
        let name = ctx.attribute(attribute);
        let message = format!(
            "{count} values of `{name}` were sent {SENDS_MAX} times and the directory never showed them; they are sent again when their source changes"
        );
        batch.error(
            ctx,
            (owner, connector),
            &format!("export:{name}"),
            "exported-change-not-reimported",
            message,
            false,
        );
    }
    batch.changes.export_links = late;
    Ok(batch.finish(ctx))
}
