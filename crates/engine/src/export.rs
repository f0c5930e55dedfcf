//! Exporting: pending changes become items to send, answers become states.
//!
//! An item is *sending* in the database before its first byte leaves; after a crash such an item is unknown, and is
//! looked up by its create key before it is sent again. Only what was sent is waited for.

use std::collections::{BTreeMap, BTreeSet};

use onesync_model::{Anchor, AttrId, CsId, Operation, RuleId, TypeId, Values, hash64};

use crate::batch::{Batch, Context};
use crate::changes::Changes;
use crate::memberships;
use crate::protect::Stopped;
use crate::reader::{ReadError, Reader};
use crate::state::{
    AttributeChange, ChangeState, CsFlags, CsRow, ExportLinkRow, ExportRow, HistoryRow, Work,
};

/// The shortest and the longest time until a refused item is tried again, in seconds: it doubles in between.
const RETRY_SECONDS: (i64, i64) = (300, 86_400);

/// Link values read at once.
const LINKS_PAGE: usize = 1_000;

/// One item to send.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Outgoing {
    /// The object.
    pub cs: CsId,
    /// What to do.
    pub operation: Operation,
    /// Its type.
    pub object_type: TypeId,
    /// Its anchor; `None` when it is to be created.
    pub anchor: Option<Anchor>,
    /// What identifies it before it has an anchor.
    pub create_key: Option<String>,
    /// Attributes to set, or to remove.
    pub values: Vec<(AttrId, Option<Values>)>,
    /// Link values to add and remove.
    pub links: Vec<OutgoingLink>,
    /// The kinds of change, for counting.
    pub kinds: u8,
}

/// One link value to send.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OutgoingLink {
    /// The attribute.
    pub attribute: AttrId,
    /// The target's row.
    pub target: CsId,
    /// The target's anchor.
    pub anchor: Anchor,
    /// Whether it is added (else removed).
    pub add: bool,
}

/// The answer to one item.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Answer {
    /// What became of it.
    pub outcome: Outcome,
    /// Attributes that were refused while the rest was written; for links with the target.
    pub refused: Vec<Refusal>,
}

/// What became of an item.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// Written.
    Done {
        /// The anchor of a new object.
        anchor: Option<Anchor>,
    },
    /// The object is not there any more.
    Gone,
    /// Not written.
    Failed {
        /// A stable code.
        code: String,
        /// What happened and what to do.
        message: String,
        /// Whether it lies at this object (else: try again, after so many seconds where the directory said so).
        object: bool,
        /// When to try again, in seconds.
        retry_seconds: Option<i64>,
    },
    /// Perhaps written.
    Unknown,
}

/// An attribute or link value that the directory refused.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Refusal {
    /// The attribute.
    pub attribute: AttrId,
    /// The link's target.
    pub target: Option<CsId>,
    /// A stable code.
    pub code: String,
    /// Why, and what to do.
    pub message: String,
}

/// Makes items of pending changes and marks these as being sent, but for what is stopped. The caller writes the
/// changes before it sends.
///
/// # Errors
/// When the reader fails.
pub fn begin(
    ctx: &Context<'_>,
    reader: &dyn Reader,
    exports: &[CsId],
    links: &[ExportLinkRow],
    stopped: &Stopped,
) -> Result<(Changes, Vec<Outgoing>), ReadError> {
    let mut batch = Batch::new(reader, ctx.run)?;
    batch.load_cs(exports.iter().copied().chain(links.iter().flat_map(|link| [link.owner, link.target])))?;
    batch.load_exports(exports.iter().copied())?;
    let mut items: Vec<Outgoing> = Vec::new();
    for &id in exports {
        let (Some(row), Some(export)) = (batch.cs(id).cloned(), batch.export(id).cloned()) else { continue };
        if let Some(item) = begin_one(ctx, &mut batch, &row, export, stopped) {
            items.push(item);
        }
    }
    let mut at: BTreeMap<CsId, usize> =
        items.iter().enumerate().map(|(index, item)| (item.cs, index)).collect();
    for link in links {
        let (Some(owner), Some(target)) =
            (batch.cs(link.owner), batch.cs(link.target).and_then(|row| row.anchor.clone()))
        else {
            continue;
        };
        let outside = batch.cs(link.target).is_none_or(|row| row.flags.has(CsFlags::OUTSIDE));
        if outside
            || owner.flags.has(CsFlags::MASTERED_ELSEWHERE)
            || owner.flags.has(CsFlags::OUTSIDE)
            || owner.anchor.is_none()
            || !owner.join.is_some_and(|join| join.owned)
            || stopped.holds_link(ctx.policies.of(owner.connector), owner.object_type, link)
        {
            continue;
        }
        let index = *at.entry(link.owner).or_insert_with(|| {
            items.push(Outgoing {
                cs: owner.id,
                operation: Operation::Update,
                object_type: owner.object_type,
                anchor: owner.anchor.clone(),
                create_key: None,
                values: Vec::new(),
                links: Vec::new(),
                kinds: 0,
            });
            items.len() - 1
        });
        if let Some(item) = items.get_mut(index) {
            item.links.push(OutgoingLink {
                attribute: link.attribute,
                target: link.target,
                anchor: target,
                add: link.add,
            });
        }
        batch.changes.export_links.push(ExportLinkRow { state: ChangeState::Sending, ..link.clone() });
    }
    Ok((batch.finish(ctx), items))
}

fn begin_one(
    ctx: &Context<'_>,
    batch: &mut Batch<'_>,
    row: &CsRow,
    mut export: ExportRow,
    stopped: &Stopped,
) -> Option<Outgoing> {
    let disables = export.kinds & (ExportRow::KIND_DELETE | ExportRow::KIND_DISABLE) != 0;
    // Enforced here, below the rules: whoever masters or protects an object has the last word.
    if row.flags.has(CsFlags::MASTERED_ELSEWHERE)
        || (row.flags.has(CsFlags::PROTECTED) && (disables || export.operation == Operation::Delete))
    {
        let reason = row.reason.as_deref().unwrap_or("protected");
        let message = format!("the object is not written: {reason}");
        batch.error(ctx, (row.id, row.connector), "export", "protected", message.clone(), false);
        export.error = Some(message);
        export.not_before = ctx.now.plus_seconds(RETRY_SECONDS.1);
        batch.put_export(export);
        return None;
    }
    if export.held {
        return None; // rejected since it was read
    }
    if export.kinds & ExportRow::KINDS_NOT_SENT != 0 || row.flags.has(CsFlags::OUTSIDE) {
        return None;
    }
    if !stopped.sends(ctx.policies.of(row.connector).object_type(row.object_type), &export) {
        return None;
    }
    let (object_type, kinds) = (export.object_type, export.kinds);
    for change in export.changes.iter_mut().filter(|change| change.state == ChangeState::Pending) {
        if !stopped.holds(object_type, kinds, change.attribute) {
            change.state = ChangeState::Sending;
        }
    }
    export.state = ChangeState::Sending;
    export.sent = Some(ctx.now);
    let values = export.changes.iter().filter(|c| {
        c.state == ChangeState::Sending && (c.values.is_some() || export.operation != Operation::Add)
    });
    let item = Outgoing {
        cs: row.id,
        operation: export.operation,
        object_type: row.object_type,
        anchor: row.anchor.clone(),
        create_key: export.create_key.clone(),
        values: values.map(|c| (c.attribute, c.values.clone())).collect(),
        links: Vec::new(),
        kinds: export.kinds,
    };
    batch.put_export(export);
    Some(item)
}

/// Takes the answers to a batch.
///
/// # Errors
/// When the reader fails.
pub fn settle(
    ctx: &Context<'_>,
    reader: &dyn Reader,
    answers: &[(Outgoing, Answer)],
) -> Result<Changes, ReadError> {
    let mut batch = Batch::new(reader, ctx.run)?;
    batch.load_cs(answers.iter().map(|(item, _)| item.cs))?;
    batch.load_exports(answers.iter().map(|(item, _)| item.cs))?;
    for (item, answer) in answers {
        let Some(row) = batch.cs(item.cs).cloned() else { continue };
        remember(ctx, &mut batch, &row, item, answer);
        settle_links(ctx, &mut batch, &row, item, answer)?;
        if let Some(export) =
            batch.export(item.cs).cloned().filter(|export| export.state == ChangeState::Sending)
        {
            settle_one(ctx, &mut batch, row, export, answer);
        } else if answer.outcome == Outcome::Gone {
            gone(ctx, &mut batch, row);
        }
    }
    Ok(batch.finish(ctx))
}

/// Notes in the history of a metaverse object what was written of it, and where.
fn remember(ctx: &Context<'_>, batch: &mut Batch<'_>, row: &CsRow, item: &Outgoing, answer: &Answer) {
    let (Some(join), Outcome::Done { .. }) = (row.join, &answer.outcome) else { return };
    let refused = |attribute: AttrId, target| {
        answer.refused.iter().any(|r| (r.attribute, r.target) == (attribute, target))
    };
    let (kept, dropped): (Vec<_>, Vec<_>) =
        item.values.iter().partition(|(attribute, _)| !refused(*attribute, None));
    let mut what = match item.operation {
        Operation::Add => vec!["created".to_owned()],
        Operation::Delete => vec!["deleted".to_owned()],
        Operation::Update if item.kinds & ExportRow::KIND_DISABLE != 0 => vec!["disabled".to_owned()],
        Operation::Update if !kept.is_empty() => vec!["changed".to_owned()],
        Operation::Update if !dropped.is_empty() => {
            let names: Vec<String> =
                dropped.iter().map(|(attribute, _)| format!("`{}`", ctx.attribute(*attribute))).collect();
            vec![format!("{} refused", names.join(", "))]
        }
        Operation::Update => Vec::new(),
    };
    let mut links: BTreeMap<(AttrId, bool), u64> = BTreeMap::new();
    for link in item.links.iter().filter(|link| !refused(link.attribute, Some(link.target))) {
        *links.entry((link.attribute, link.add)).or_default() += 1;
    }
    for ((attribute, add), count) in links {
        let word = if add { "added" } else { "removed" };
        what.push(format!("{count} of `{}` {word}", ctx.attribute(attribute)));
    }
    if what.is_empty() {
        return;
    }
    let changes =
        kept.into_iter().map(|(attribute, values)| (*attribute, None, values.clone(), None)).collect();
    let event = Some(format!("exported to `{}`: {}", ctx.policies.of(row.connector).name, what.join(", ")));
    batch.history(HistoryRow { mv: join.mv, run: ctx.run, time: ctx.now, event, changes });
}

fn settle_one(ctx: &Context<'_>, batch: &mut Batch<'_>, row: CsRow, mut export: ExportRow, answer: &Answer) {
    let (id, connector) = (row.id, row.connector);
    let advance = |export: &mut ExportRow, to: ChangeState| {
        for change in export.changes.iter_mut().filter(|change| change.state == ChangeState::Sending) {
            change.state = to;
        }
        export.state = if export.operation == Operation::Update {
            export.changes.iter().map(|change| change.state).min().unwrap_or(to)
        } else {
            to
        };
    };
    match &answer.outcome {
        Outcome::Unknown => return,
        Outcome::Gone if export.operation == Operation::Delete => {
            export.state = ChangeState::Sent;
            batch.put_export(export);
            gone(ctx, batch, row);
            return;
        }
        Outcome::Gone => {
            gone(ctx, batch, row);
            return;
        }
        Outcome::Failed { code, message, object, retry_seconds } => {
            export.attempts += 1;
            let doubled = RETRY_SECONDS.0.saturating_mul(1 << export.attempts.min(16).saturating_sub(1));
            let wait = retry_seconds.unwrap_or(if *object { doubled.min(RETRY_SECONDS.1) } else { 0 });
            export.not_before = ctx.now.plus_seconds(wait);
            export.error = Some(message.clone());
            advance(&mut export, ChangeState::Pending);
            export.sent = None;
            if *object {
                let alarm = export.kinds & ExportRow::KIND_DISABLE != 0;
                batch.error(ctx, (id, connector), "export", code, message.clone(), alarm);
            }
            batch.put_export(export);
            return;
        }
        Outcome::Done { anchor } => {
            batch.heal(id, |place| place == "export");
            export.attempts = 0;
            export.error = None;
            advance(&mut export, ChangeState::Sent);
            if export.operation == Operation::Add {
                let Some(anchor) = anchor.clone().or_else(|| row.anchor.clone()) else { return };
                // From here on it exists: what it was created with waits to be seen, and changes are updates.
                export.operation = Operation::Update;
                let flags = row.flags.with(CsFlags::PROVISIONED, false);
                let mv = row.join.map(|join| join.mv);
                batch.put_cs(CsRow { anchor: Some(anchor), flags, ..row });
                batch.wake(Work::Target(id));
                if let Some(mv) = mv {
                    batch.wake(Work::Outbound(mv));
                }
            }
        }
    }
    for refusal in answer.refused.iter().filter(|refusal| refusal.target.is_none()) {
        let name = ctx.attribute(refusal.attribute);
        let alarm = name.eq_ignore_ascii_case("accountEnabled");
        let message = format!("`{name}`: {}", refusal.message);
        batch.error(ctx, (id, connector), &format!("export:{name}"), &refusal.code, message, alarm);
        match export.changes.iter_mut().find(|change| change.attribute == refusal.attribute) {
            Some(change) => {
                change.state = ChangeState::Refused;
                change.error = Some(refusal.message.clone());
            }
            None => export.changes.push(AttributeChange {
                attribute: refusal.attribute,
                values: None,
                state: ChangeState::Refused,
                attempts: 0,
                rule: RuleId(0),
                error: Some(refusal.message.clone()),
            }),
        }
    }
    export.changes.sort_by_key(|change| change.attribute);
    let links = &ctx.policies.of(connector).link_attributes;
    let stands: BTreeSet<&str> = answer
        .refused
        .iter()
        .filter(|r| r.target.is_none())
        .map(|r| r.attribute)
        .chain(export.changes.iter().filter(|c| c.state == ChangeState::Refused).map(|c| c.attribute))
        .chain(links.iter().copied())
        .map(|attribute| ctx.attribute(attribute))
        .collect();
    batch.heal(id, |place| place.strip_prefix("export:").is_some_and(|name| !stands.contains(name)));
    if export.operation == Operation::Update {
        export.state = export.changes.iter().map(|change| change.state).min().unwrap_or(ChangeState::Sent);
    }
    if export.operation == Operation::Update && export.changes.is_empty() {
        batch.delete_export(id);
    } else {
        batch.put_export(export);
    }
}

fn gone(ctx: &Context<'_>, batch: &mut Batch<'_>, row: CsRow) {
    let flags = row.flags.with(CsFlags::GONE, true);
    batch.wake_identity(&row);
    memberships::wake_members(ctx, batch, &row);
    batch.put_cs(CsRow { flags, ..row });
}

fn settle_links(
    ctx: &Context<'_>,
    batch: &mut Batch<'_>,
    row: &CsRow,
    item: &Outgoing,
    answer: &Answer,
) -> Result<(), ReadError> {
    if item.links.is_empty() {
        return Ok(());
    }
    let keys: Vec<_> = item.links.iter().map(|link| (item.cs, link.attribute, link.target)).collect();
    let mut refused: BTreeMap<AttrId, u64> = BTreeMap::new();
    let mut freed: BTreeSet<(CsId, AttrId)> = BTreeSet::new();
    for mut link in batch.reader.export_links_by_key(&keys)? {
        let refusal =
            answer.refused.iter().find(|r| r.attribute == link.attribute && r.target == Some(link.target));
        match (&answer.outcome, refusal) {
            (Outcome::Unknown, _) => continue,
            (Outcome::Done { .. }, None) => {
                link.state = ChangeState::Sent;
                link.not_before = ctx.now;
                if link.error.take().is_some() {
                    freed.insert((link.owner, link.attribute));
                }
            }
            (Outcome::Done { .. }, Some(refusal)) => {
                *refused.entry(link.attribute).or_default() += 1;
                retry_link(ctx, &mut link, &refusal.message, None);
            }
            (Outcome::Gone, _) => retry_link(ctx, &mut link, "the object is not there any more", None),
            (Outcome::Failed { message, retry_seconds, object, .. }, _) => {
                let wait = if *object { None } else { Some(retry_seconds.unwrap_or(0)) };
                if *object {
                    *refused.entry(link.attribute).or_default() += 1;
                }
                retry_link(ctx, &mut link, message, wait);
            }
        }
        batch.changes.export_links.push(link);
    }
    let attributes: BTreeSet<AttrId> = item.links.iter().map(|link| link.attribute).collect();
    for attribute in attributes {
        let name = ctx.attribute(attribute);
        let place = format!("export:{name}");
        let first = answer.refused.iter().find(|r| r.target.is_some() && r.attribute == attribute);
        let (code, why) = match (&answer.outcome, first) {
            (Outcome::Failed { code, message, .. }, None) => (code.as_str(), message.as_str()),
            (_, first) => first.map_or(("", "no reason given"), |r| (r.code.as_str(), r.message.as_str())),
        };
        if let Some(count) = refused.get(&attribute) {
            let message = format!("{count} values of `{name}` were refused, the first: {why}");
            batch.error(ctx, (row.id, row.connector), &place, "links-refused", message, false);
            batch.caused(row.id, place, hash64(code.as_bytes()) as i64);
        }
    }
    heal_links(ctx, batch, freed)
}

/// Takes back the errors of link attributes of which failing values were taken away, by being sent, by going or by being
/// planned anew: an error stands as long as any value fails.
pub(crate) fn heal_links(
    ctx: &Context<'_>,
    batch: &mut Batch<'_>,
    freed: BTreeSet<(CsId, AttrId)>,
) -> Result<(), ReadError> {
    batch.load_cs(freed.iter().map(|(owner, _)| *owner))?;
    for (owner, attribute) in freed {
        let place = format!("export:{}", ctx.attribute(attribute));
        if batch.has_error(owner, &place) && !any_fails(batch, owner, attribute)? {
            batch.heal(owner, |known| known == place);
        }
    }
    Ok(())
}

fn any_fails(batch: &Batch<'_>, owner: CsId, attribute: AttrId) -> Result<bool, ReadError> {
    let of = |row: &&ExportLinkRow| (row.owner, row.attribute) == (owner, attribute);
    let mut decided: BTreeMap<CsId, bool> = BTreeMap::new();
    for row in batch.changes.export_links.iter().filter(of) {
        decided.insert(row.target, row.error.is_some());
    }
    if decided.values().any(|fails| *fails) {
        return Ok(true);
    }
    let gone = batch.changes.export_links_deleted.iter();
    decided.extend(gone.filter(|key| (key.0, key.1) == (owner, attribute)).map(|key| (key.2, false)));
    let mut after = CsId(i64::MIN);
    loop {
        let page = batch.reader.export_links(owner, attribute, after, LINKS_PAGE)?;
        let Some(last) = page.last() else { return Ok(false) };
        after = last.target;
        if page.iter().any(|row| row.error.is_some() && !decided.contains_key(&row.target)) {
            return Ok(true);
        }
    }
}

fn retry_link(ctx: &Context<'_>, link: &mut ExportLinkRow, message: &str, wait: Option<i64>) {
    let doubled = RETRY_SECONDS.0.saturating_mul(1 << u32::from(link.attempts.min(16)));
    link.attempts = link.attempts.saturating_add(1);
    link.state = ChangeState::Pending;
    link.not_before = ctx.now.plus_seconds(wait.unwrap_or(doubled.min(RETRY_SECONDS.1)));
    link.error = Some(message.to_owned());
}

/// Decides about items that were being sent when the server stopped: `found` says what a look-up by create key gave.
/// Changes and deletions are simply sent again: they are idempotent.
///
/// # Errors
/// When the reader fails.
pub fn recover(
    ctx: &Context<'_>,
    reader: &dyn Reader,
    exports: &[(ExportRow, Option<Anchor>)],
    links: &[ExportLinkRow],
) -> Result<Changes, ReadError> {
    let mut batch = Batch::new(reader, ctx.run)?;
    batch.load_cs(exports.iter().map(|(export, _)| export.cs))?;
    batch.load_exports(exports.iter().map(|(export, _)| export.cs))?;
    for (export, found) in exports {
        let (Some(row), Some(mut export)) = (batch.cs(export.cs).cloned(), batch.export(export.cs).cloned())
        else {
            continue;
        };
        match (export.operation, found) {
            (Operation::Add, Some(anchor)) => {
                let answer =
                    Answer { outcome: Outcome::Done { anchor: Some(anchor.clone()) }, refused: Vec::new() };
                settle_one(ctx, &mut batch, row, export, &answer);
                continue;
            }
            (Operation::Add, None) if export.create_key.is_none() => {
                let message = "it is unknown whether this object was created, and it has no key to look for: compare the directory, then retry or delete it there".to_owned();
                batch.error(ctx, (row.id, row.connector), "export", "unknown-create", message, false);
                export.state = ChangeState::Refused;
            }
            _ => {
                for change in export.changes.iter_mut().filter(|change| change.state == ChangeState::Sending)
                {
                    change.state = ChangeState::Pending;
                }
                export.state = ChangeState::Pending;
                export.sent = None;
            }
        }
        batch.put_export(export);
    }
    batch
        .changes
        .export_links
        .extend(links.iter().map(|link| ExportLinkRow { state: ChangeState::Pending, ..link.clone() }));
    Ok(batch.finish(ctx))
}
