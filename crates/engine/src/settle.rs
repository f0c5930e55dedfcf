//! What a computed metaverse object changes: row, history, errors, agenda.

use std::collections::{BTreeMap, BTreeSet};

use onesync_model::{AttrId, ConnectorId, MvId, RuleId, ValuesRef};

use crate::batch::{Batch, Context};
use crate::reader::ReadError;
use crate::state::{CsFlags, HistoryRow, MvRow, ValueChange, Work};
use crate::values::Computed;

/// Members read at once.
const PAGE: usize = 2_000;

/// Takes computed values into the batch.
pub(crate) fn settle_values(
    ctx: &Context<'_>,
    batch: &mut Batch<'_>,
    mv: MvRow,
    computed: Computed,
) -> Result<(), ReadError> {
    let id = mv.id;
    let before = batch.mv_before(id).cloned();
    let joined = batch.joined(id);
    for &cs in &joined {
        // What an object in conflict failed at stays as it is, too.
        if batch.cs(cs).is_some_and(|row| row.flags.has(CsFlags::CONFLICT)) {
            continue;
        }
        batch.heal(cs, |place| place.starts_with("flow:") || place == "object");
    }
    for (cs, attribute, failure) in &computed.failed {
        let Some(connector) = batch.cs(*cs).map(|row| row.connector) else { continue };
        batch.flow_failed(ctx, (*cs, connector), "flow", *attribute, failure);
    }
    // Which links are chosen is decided where links are: whoever computes the object anew lets it be looked at.
    let picks_before = before.as_ref().map(|row| row.picks.clone()).unwrap_or_default();
    let by_choice =
        picks_before.iter().chain(&computed.picks).filter(|pick| crate::links::chooses(ctx, pick));
    by_choice.for_each(|pick| batch.wake(Work::MvLinks(id, pick.attribute)));
    // An error that depends on the clock ends by itself, too.
    if let Some(until) = computed.valid_until {
        batch.wake_at(Work::Values(id), ConnectorId(0), until);
    }
    if let Some((cs, attribute, message)) = &computed.raised {
        if let Some(connector) = batch.cs(*cs).map(|row| row.connector) {
            let message =
                format!("`{}`: {message}; nothing of this object changes", ctx.attribute(*attribute));
            batch.error(
                ctx,
                (*cs, connector),
                "object",
                "sync-rule-error-function-triggered",
                message,
                false,
            );
        }
        return Ok(());
    }
    let changes = differences(before.as_ref(), &computed);
    let attributes: BTreeSet<AttrId> = picks_before
        .iter()
        .filter(|pick| !computed.picks.contains(pick))
        .chain(computed.picks.iter().filter(|pick| !picks_before.contains(pick)))
        .map(|pick| pick.attribute)
        .collect();
    for &attribute in &attributes {
        batch.wake(Work::MvLinks(id, attribute));
    }
    if !changes.is_empty() || before.is_none() {
        batch.wake(Work::Outbound(id));
    }
    if !changes.is_empty() {
        wake_pilot(ctx, batch, before.as_ref(), &mv, &computed)?;
        batch.join_values_changed(ctx, &changes);
        batch.history(HistoryRow { mv: id, run: ctx.run, time: ctx.now, event: None, changes });
    }
    batch.put_mv(MvRow { values: computed.values, causes: computed.causes, picks: computed.picks, ..mv });
    Ok(())
}

/// An object that becomes the group of a pilot, or ceases to be it by its name, takes its members with it.
fn wake_pilot(
    ctx: &Context<'_>,
    batch: &mut Batch<'_>,
    before: Option<&MvRow>,
    mv: &MvRow,
    computed: &Computed,
) -> Result<(), ReadError> {
    let after = MvRow { values: computed.values.clone(), ..mv.clone() };
    for pilot in ctx.policies.pilots() {
        if before.is_some_and(|before| pilot.is_group(before) != pilot.is_group(&after)) {
            wake_members(batch, mv.id, pilot.member)?;
        }
    }
    Ok(())
}

/// The group of a pilot goes: its members are judged again.
pub(crate) fn wake_pilot_members(
    ctx: &Context<'_>,
    batch: &mut Batch<'_>,
    mv: &MvRow,
) -> Result<(), ReadError> {
    for pilot in ctx.policies.pilots().filter(|pilot| pilot.is_group(mv)) {
        wake_members(batch, mv.id, pilot.member)?;
    }
    Ok(())
}

fn wake_members(batch: &mut Batch<'_>, group: MvId, member: AttrId) -> Result<(), ReadError> {
    let mut last = MvId(i64::MIN);
    loop {
        let page = batch.reader.mv_links(group, member, last, PAGE)?;
        let Some(&end) = page.last() else { return Ok(()) };
        last = end;
        page.into_iter().for_each(|member| batch.wake(Work::Outbound(member)));
    }
}

fn differences(before: Option<&MvRow>, computed: &Computed) -> Vec<ValueChange> {
    let rules: BTreeMap<AttrId, RuleId> =
        computed.causes.iter().rev().map(|c| (c.attribute, c.rule)).collect();
    let mut out = Vec::new();
    let mut old = before.map(|row| row.values.as_ref().iter()).into_iter().flatten().peekable();
    let mut new = computed.values.as_ref().iter().peekable();
    loop {
        let (attribute, was, is) = match (old.peek(), new.peek()) {
            (None, None) => return out,
            (Some(&(a, was)), Some(&(b, is))) if a == b => {
                old.next();
                new.next();
                if was.same_as(is) {
                    continue;
                }
                (a, Some(was), Some(is))
            }
            (Some(&(a, was)), other) if other.is_none_or(|&(b, _)| a < b) => {
                old.next();
                (a, Some(was), None)
            }
            (_, Some(&(b, is))) => {
                new.next();
                (b, None, Some(is))
            }
            (Some(_), None) => return out, // the arm before it takes every such case
        };
        let owned = |values: Option<ValuesRef<'_>>| values.and_then(ValuesRef::to_values);
        out.push((attribute, owned(was), owned(is), rules.get(&attribute).copied()));
    }
}

/// Whether nothing is left that could bring a metaverse object back.
pub(crate) fn has_target(batch: &Batch<'_>, ctx: &Context<'_>, mv: MvId) -> bool {
    batch.joined(mv).into_iter().filter_map(|id| batch.cs(id)).any(|row| {
        row.join.is_some_and(|join| {
            join.owned
                || ctx
                    .rules
                    .rule(join.rule)
                    .is_some_and(|rule| rule.direction == onesync_rules::Direction::Outbound)
        })
    })
}
