//! The pending export: what is wanted, compared with what the target holds or is about to hold.

use std::collections::BTreeMap;

use onesync_model::{AttrId, Image, ImageBuilder, Operation, RuleId, Time, Value, ValuesCow};

use crate::batch::{Batch, Context};
use crate::policy::{ConnectorPolicy, TypePolicy};
use crate::state::{AttributeChange, ChangeState, CsFlags, CsRow, ExportRow};
use crate::trace::{Fate, Note};

/// A target attribute as it should be.
#[derive(Debug)]
pub(crate) struct Wanted<'a> {
    pub(super) values: Option<ValuesCow<'a>>,
    pub(super) rule: RuleId,
}

/// The attributes of a target as they should be, ascending.
#[derive(Debug, Default)]
pub(crate) struct AllWanted<'a>(Vec<(AttrId, Wanted<'a>)>);

impl<'a> AllWanted<'a> {
    pub(super) fn reserve(&mut self, count: usize) {
        self.0.reserve(count);
    }

    /// Adds the attribute behind all others.
    pub(super) fn push(&mut self, attribute: AttrId, wanted: Wanted<'a>) {
        debug_assert!(self.0.last().is_none_or(|(last, _)| *last < attribute), "attributes are in order");
        self.0.push((attribute, wanted));
    }

    fn place(&self, attribute: AttrId) -> Option<usize> {
        self.0.binary_search_by_key(&attribute, |(attribute, _)| *attribute).ok()
    }

    fn get(&self, attribute: AttrId) -> Option<&Wanted<'a>> {
        self.place(attribute).and_then(|at| self.0.get(at)).map(|(_, wanted)| wanted)
    }

    pub(super) fn get_mut(&mut self, attribute: AttrId) -> Option<&mut Wanted<'a>> {
        self.place(attribute).and_then(|at| self.0.get_mut(at)).map(|(_, wanted)| wanted)
    }

    pub(super) fn remove(&mut self, attribute: AttrId) {
        self.0.retain(|(known, _)| *known != attribute);
    }

    #[cfg(feature = "alone")]
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    fn values(&self, attribute: AttrId) -> Option<&ValuesCow<'a>> {
        self.get(attribute).and_then(|wanted| wanted.values.as_ref())
    }
}

/// What a target object should be.
pub(super) struct Target<'a> {
    /// Its attributes, as far as they are anybody's affair.
    pub(super) wanted: &'a AllWanted<'a>,
    /// What is special about the change already: bits of [`ExportRow::KIND_LEAVER`] and its fellows.
    pub(super) kinds: u8,
    /// Attributes whose flow failed: they stay as they are.
    pub(super) failed: &'a [AttrId],
}

/// Compares what is wanted with what the target holds, or will when everything sent has arrived, and keeps the
/// difference as the pending export.
pub(super) fn plan_update(
    ctx: &Context<'_>,
    batch: &mut Batch<'_>,
    row: &CsRow,
    policy: &ConnectorPolicy,
    rules: &TypePolicy,
    target: Target<'_>,
) {
    let Target { wanted, mut kinds, failed } = target;
    let known = batch.export(row.id).cloned();
    let adding = row.flags.has(CsFlags::PROVISIONED);
    let in_flight = known.as_ref().is_some_and(|k| {
        k.operation == Operation::Add && k.state != ChangeState::Pending && k.sent.is_some()
    });
    let empty = Image::empty();
    let image = if adding { &empty } else { &row.image };
    let held = image.as_ref().index();
    let earlier: BTreeMap<AttrId, &AttributeChange> = known
        .iter()
        .filter(|k| k.operation != Operation::Delete)
        .flat_map(|k| &k.changes)
        .map(|c| (c.attribute, c))
        .collect();
    let not_created = adding
        && !in_flight
        && rules.not_created_if.iter().any(|(attribute, obstacle)| {
            obstacle.stands(wanted.values(*attribute).cloned().and_then(ValuesCow::into_values).as_ref())
        });
    let kinds_of = |attribute: AttrId, values: Option<&ValuesCow<'_>>| match values {
        _ if adding => 0,
        None => ExportRow::KIND_EMPTY,
        values if rules.disable.as_ref().is_some_and(|(a, off)| *a == attribute && is(values, off)) => {
            ExportRow::KIND_DISABLE
        }
        Some(_) => 0,
    };
    let mut changes = Vec::new();
    for (attribute, want) in &wanted.0 {
        let (attribute, values) = (*attribute, want.values.as_ref());
        let copy = || values.cloned().and_then(ValuesCow::into_values);
        let note = |fate| ctx.note(|| Note::Planned { of: row.id, attribute, values: copy(), fate });
        if policy.computes_only(rules, attribute) && !not_created {
            note(Fate::ReadOnly);
            continue;
        }
        let exact = policy.is_case_exact(attribute);
        let before = earlier.get(&attribute);
        let flying = before.filter(|c| matches!(c.state, ChangeState::Sent | ChangeState::Sending));
        let effective = match flying {
            Some(change) => change.values.as_ref().map(ValuesCow::from),
            None => held.get(attribute).map(ValuesCow::from),
        };
        if equal(values, effective.as_ref(), exact) {
            note(Fate::Same);
            // What is not seen is sent again, and counts then as what it is.
            kinds |= flying.map_or(0, |_| kinds_of(attribute, values));
            changes.extend(flying.map(|c| (*c).clone()));
            continue;
        }
        if values.is_none() && rules.never_empty.contains(&attribute) {
            note(Fate::NeverEmpty);
            changes.extend(flying.map(|c| (*c).clone()));
            continue;
        }
        note(Fate::Changes);
        match before {
            Some(same) if equal(same.values.as_ref().map(ValuesCow::from).as_ref(), values, true) => {
                changes.push(AttributeChange { rule: want.rule, ..(*same).clone() });
            }
            _ => changes.push(AttributeChange {
                attribute,
                values: copy(),
                state: ChangeState::Pending,
                attempts: 0,
                rule: want.rule,
                error: None,
            }),
        }
        kinds |= kinds_of(attribute, values);
    }
    // A failed flow leaves its attribute alone; what is on its way and no longer wanted is still waited for.
    for (attribute, change) in &earlier {
        let isolated = failed.contains(attribute);
        if wanted.get(*attribute).is_none()
            && (change.state == ChangeState::Sent || change.state == ChangeState::Sending)
            && !isolated
        {
            kinds |= kinds_of(*attribute, change.values.as_ref().map(ValuesCow::from).as_ref());
            changes.push((*change).clone());
        }
    }
    changes.sort_by_key(|change| change.attribute);
    heal_refused(ctx, batch, row, &earlier, &changes);
    if rules.unwritable || not_created || !policy.writable {
        kinds |= ExportRow::KIND_UNWRITABLE;
    }
    // What another system masters is compared all the same: it shows what taking over from that system would change.
    if row.flags.has(CsFlags::OUTSIDE) || row.flags.has(CsFlags::MASTERED_ELSEWHERE) {
        kinds |= ExportRow::KIND_OUTSIDE;
    }
    let ours = |before: &CsRow| before.join.is_some_and(|join| join.owned);
    let adopted_now = !adding && !batch.cs_before(row.id).is_some_and(ours);
    if adopted_now || known.as_ref().is_some_and(|k| k.kinds & ExportRow::KIND_ADOPT != 0) {
        kinds |= ExportRow::KIND_ADOPT;
    }
    if adding && !in_flight {
        let key = rules.create_key.and_then(|key| wanted.values(key));
        name_newcomer(batch, row, rules, wanted, key);
        // An attribute that a new object needs and whose flow failed makes the object wait.
        let missing = failed.iter().filter(|a| rules.required.contains(a)).map(|a| ctx.attribute(*a));
        let missing: Vec<&str> = missing.collect();
        if !missing.is_empty()
            || (rules.create_key.is_some() && key.is_none() && !rules.unwritable && !not_created)
        {
            let what = if missing.is_empty() {
                rules.create_key.map_or("", |key| ctx.attribute(key)).to_owned()
            } else {
                missing.join("`, `")
            };
            let message = format!(
                "`{what}` is needed to create the object and has no value: the object waits; correct it at the source"
            );
            batch.error(ctx, (row.id, row.connector), "required", "missing-required", message, false);
            batch.delete_export(row.id);
            return;
        }
    }
    let operation = if adding { Operation::Add } else { Operation::Update };
    if operation == Operation::Update && changes.is_empty() {
        batch.delete_export(row.id);
        return;
    }
    let state = changes.iter().map(|c| c.state).min().unwrap_or(ChangeState::Pending);
    let create_key = rules
        .create_key
        .filter(|_| adding)
        .and_then(|key| wanted.values(key)?.first())
        .map(|value| value.to_string());
    let planned = match known {
        Some(known) if known.operation == operation => {
            let state = if operation == Operation::Add { known.state } else { state };
            let create_key = if in_flight { known.create_key.clone() } else { create_key };
            // What was held was this change; another one is judged anew.
            let held = known.held && create_key == known.create_key && same_values(&known.changes, &changes);
            ExportRow { changes, kinds, create_key, state, held, ..known }
        }
        _ => ExportRow {
            cs: row.id,
            connector: row.connector,
            object_type: row.object_type,
            operation,
            state: ChangeState::Pending,
            changes,
            create_key,
            not_before: Time::default(),
            attempts: 0,
            sent: None,
            error: None,
            kinds,
            held: false,
        },
    };
    batch.put_export(planned);
}

/// Whether two changes of an object set the same values, however far they have got.
fn same_values(a: &[AttributeChange], b: &[AttributeChange]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.attribute == b.attribute && a.values == b.values)
}

/// What was refused and is not wanted any more is no error any more: another value is tried, or none.
fn heal_refused(
    ctx: &Context<'_>,
    batch: &mut Batch<'_>,
    row: &CsRow,
    earlier: &BTreeMap<AttrId, &AttributeChange>,
    changes: &[AttributeChange],
) {
    let refused = |change: &AttributeChange| change.state == ChangeState::Refused;
    for (attribute, _) in earlier.iter().filter(|(_, change)| refused(change)) {
        if !changes.iter().any(|change| change.attribute == *attribute && refused(change)) {
            let place = format!("export:{}", ctx.attribute(*attribute));
            batch.heal(row.id, |known| known == place);
        }
    }
}

/// Gives an object that is to be created its name to show, and the key by which it will be recognised.
fn name_newcomer(
    batch: &mut Batch<'_>,
    row: &CsRow,
    rules: &TypePolicy,
    wanted: &AllWanted<'_>,
    key: Option<&ValuesCow<'_>>,
) {
    let name = rules.name.and_then(|name| wanted.values(name)?.first()).map(|value| value.to_string());
    let mut image = ImageBuilder::new();
    if let (Some(attribute), Some(values)) = (rules.create_key, key) {
        image.push(attribute, values);
    }
    let image = image.finish();
    batch.put_cs(CsRow { name: name.unwrap_or_default(), image, ..row.clone() });
}

/// Whether two sets of values are the same to a directory that does not tell case apart, unless it does.
pub(crate) fn equal(a: Option<&ValuesCow<'_>>, b: Option<&ValuesCow<'_>>, case_exact: bool) -> bool {
    match (a, b) {
        (Some(a), Some(b)) if case_exact => a.equals(b),
        (Some(a), Some(b)) => a.equals_ignoring_case(b),
        (a, b) => a.is_none() && b.is_none(),
    }
}

fn is(values: Option<&ValuesCow<'_>>, value: &Value) -> bool {
    values.is_some_and(|values| values.equals(&ValuesCow::One(value.as_ref())))
}
