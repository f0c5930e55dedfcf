//! `preview`: everything that a sync of one object would decide.

use std::collections::{BTreeMap, BTreeSet};

use onesync_engine::{
    CsFlags, CsRow, ErrorRow, ExportRow, JoinStep, MvRow, MvState, Note, Reader, Subject, TargetStep, Work,
};
use onesync_model::{AttrId, ConnectorId, CsId, TypeId};
use onesync_rules::Direction;
use onesync_store::{RunRow, StoreReader};
use serde::Serialize;
use serde_json::Value as Json;

use super::reasons::{Reason, Target};
use super::rehearse::Rehearsal;
use super::suppose::Supposed;
use super::view::{
    AttributeView, MetaverseView, ObjectLine, PendingChange, PendingLink, PendingValue, PlaceView, RuleView,
    Words, json, json_of, links, mv_row,
};
use crate::error::ServiceError;
use crate::look;
use crate::runtime::{ConnectorHandle, Runtime, Service};
use crate::stops::Stops;

/// Link values of one object that are shown.
const LINKS_SHOWN: usize = 50;
/// Runs that are looked at for an import.
const RUNS: usize = 50;

/// What a sync of one object would do.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Preview {
    /// The time for which it holds.
    pub time: String,
    /// When each connector was imported: the age of what this rests on.
    pub imported: BTreeMap<String, Option<String>>,
    /// The object.
    pub object: ObjectLine,
    /// Inbound: the object, and the others that are joined to the same metaverse object.
    pub sources: Vec<PreviewSource>,
    /// The metaverse objects it is about.
    pub metaverse: Vec<MetaverseView>,
    /// Outbound: every target.
    pub targets: Vec<PreviewTarget>,
    /// Errors that would stand.
    pub errors: Vec<String>,
    /// What else would happen.
    pub also: Vec<String>,
}

/// One source object: its rules and its place.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PreviewSource {
    /// The object.
    pub object: ObjectLine,
    /// The inbound rules for its type.
    pub rules: Vec<RuleView>,
    /// Its place in the metaverse.
    pub place: PlaceView,
}

/// What a metaverse object means for one target.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PreviewTarget {
    /// The connector.
    pub connector: String,
    /// The object there, also one that is to be created.
    pub object: Option<ObjectLine>,
    /// The outbound rules for the metaverse object's type.
    pub rules: Vec<RuleView>,
    /// How the object there is found.
    pub place: PlaceView,
    /// What flows there.
    pub attributes: Vec<AttributeView>,
    /// What is owed.
    pub pending: Option<PendingChange>,
    /// Link values that are owed, of this object and to it.
    pub links: Vec<PendingLink>,
    /// Why it, or a change of it, is not there, or would not be written.
    pub why_not: Vec<Reason>,
}

impl Service {
    /// What a sync of one object of a connector space would do, as things are stored now, or as is supposed. Writes
    /// nothing, and asks no directory.
    ///
    /// # Errors
    /// When there is no such object, or more than one.
    pub fn preview(
        &self,
        runtime: &Runtime,
        connector: &ConnectorHandle,
        object: &str,
        supposed: Option<&Supposed>,
    ) -> Result<Preview, ServiceError> {
        let mut also = Vec::new();
        let row = match supposed {
            None => self.find_cs(runtime, connector, object)?,
            Some(supposed) => self.suppose(runtime, connector, object, supposed, &mut also)?,
        };
        let reader = self.store().reader()?;
        let rehearsal = self.rehearse(runtime, &*reader, Some(&row), None)?;
        let words = Words::new(runtime, &rehearsal.after, &*reader);
        // One that is not stored has the number that it would get.
        let id = if row.id == CsId::default() { CsId(reader.counters()?.cs) } else { row.id };
        also.extend(others(&words, &rehearsal)?);
        if rehearsal.restless {
            also.push("it does not come to rest: two rules probably change each other's input".to_owned());
        }
        Ok(Preview {
            time: self.now().to_string(),
            imported: self.imported(&*reader, runtime)?,
            object: words.object(&CsRow { id, ..row })?,
            sources: sources(&words, &*reader, &rehearsal, id)?,
            metaverse: metaverse(&words, &*reader, &rehearsal)?,
            targets: self.targets_of(&*reader, &words, &rehearsal)?,
            errors: errors(&words, &rehearsal)?,
            also,
        })
    }

    /// When each connector was last imported well.
    pub(crate) fn imported(
        &self,
        reader: &dyn StoreReader,
        runtime: &Runtime,
    ) -> Result<BTreeMap<String, Option<String>>, ServiceError> {
        let mut out = BTreeMap::new();
        for connector in &runtime.connectors {
            let runs = reader.runs(Some(connector.id), None, RUNS)?;
            out.insert(connector.name().to_owned(), last_import(&runs));
        }
        Ok(out)
    }

    /// What the metaverse objects of a rehearsal mean for every target.
    pub(crate) fn targets_of(
        &self,
        reader: &dyn StoreReader,
        words: &Words<'_>,
        rehearsal: &Rehearsal<'_>,
    ) -> Result<Vec<PreviewTarget>, ServiceError> {
        let mut out = Vec::new();
        for &id in &rehearsal.mvs {
            let (before, after) = (mv_row(reader, id)?, mv_row(&rehearsal.after, id)?);
            let Some(mv) = after.or(before) else { continue };
            for connector in &words.runtime.connectors {
                let mut rules = words.runtime.rules.outbound_for(connector.id, mv.object_type);
                if rules.next().is_none() && !connector.capabilities.export {
                    continue;
                }
                let before = reader.cs_of_mv(&[id])?.into_iter().find(|row| row.connector == connector.id);
                let after =
                    rehearsal.after.cs_of_mv(&[id])?.into_iter().find(|row| row.connector == connector.id);
                out.push(self.target_of(reader, words, rehearsal, &mv, connector, (before, after))?);
            }
        }
        Ok(out)
    }

    fn target_of(
        &self,
        reader: &dyn StoreReader,
        words: &Words<'_>,
        rehearsal: &Rehearsal<'_>,
        mv: &MvRow,
        connector: &ConnectorHandle,
        (before, after): (Option<CsRow>, Option<CsRow>),
    ) -> Result<PreviewTarget, ServiceError> {
        let about = Subject::Mv(mv.id);
        let rules = words.rules(&rehearsal.notes, about, Some(connector.id))?;
        let place = target_place(words, rehearsal, mv, connector.id, before.as_ref(), after.as_ref())?;
        let row = after.as_ref();
        let export = match row {
            Some(row) => rehearsal.after.exports(&[row.id])?.into_iter().next(),
            None => None,
        };
        let mut ids: Vec<CsId> = rehearsal.after.joined_to(&[mv.id])?.into_iter().map(|(_, id)| id).collect();
        ids.extend(row.map(|row| row.id));
        let errors: Vec<ErrorRow> = rehearsal.after.errors_of(&ids)?;
        let target = Target {
            connector,
            mv,
            row,
            export: export.as_ref(),
            rules: &rules,
            place: &place,
            errors: &errors,
        };
        let stops = self.stops(reader, words.runtime, connector)?;
        let why_not = self.hindrances(reader, words, &target, &stops)?;
        Ok(PreviewTarget {
            connector: connector.name().to_owned(),
            object: row.map(|row| words.object(row)).transpose()?,
            attributes: match row {
                Some(row) => target_attributes(words, rehearsal, mv, row)?,
                None => Vec::new(),
            },
            pending: export.map(|export| {
                let policy = words.runtime.policies.of(connector.id);
                pending(words, row, &export, stops.export_state(policy, &export, row).0)
            }),
            links: match row {
                Some(row) => owed_links(words, rehearsal, row, &stops)?,
                None => Vec::new(),
            },
            rules,
            place,
            why_not,
        })
    }
}

/// The end of the last import among runs, the newest first, that did not fail.
pub(crate) fn last_import(runs: &[RunRow]) -> Option<String> {
    let good = |run: &&RunRow| {
        run.step.ends_with("import") && run.ended.is_some() && run.result.as_deref() != Some("failed")
    };
    runs.iter().find(good).and_then(|run| run.ended).map(|time| time.to_string())
}

fn sources(
    words: &Words<'_>,
    reader: &dyn Reader,
    rehearsal: &Rehearsal<'_>,
    first: CsId,
) -> Result<Vec<PreviewSource>, ServiceError> {
    let mut ids = vec![first];
    ids.extend(rehearsal.objects.iter().copied().filter(|&id| id != first));
    let mut out = Vec::new();
    for id in ids {
        let rules = words.rules(&rehearsal.notes, Subject::Cs(id), None)?;
        let Some(row) = words.row(id)? else { continue };
        if rules.is_empty() && id != first {
            continue; // a target, and no inbound rule is for its type
        }
        let before = reader.cs_by_id(&[id])?.into_iter().next();
        let before = before.unwrap_or_else(|| CsRow { join: None, ..row.clone() });
        let place = source_place(words, rehearsal, &before)?;
        out.push(PreviewSource { object: words.object(&row)?, rules, place });
    }
    Ok(out)
}

/// Where a source object belongs.
pub(crate) fn source_place(
    words: &Words<'_>,
    rehearsal: &Rehearsal<'_>,
    row: &CsRow,
) -> Result<PlaceView, ServiceError> {
    let steps = words.steps(&rehearsal.notes, Subject::Cs(row.id), row.connector)?;
    let after = rehearsal.after.cs_by_id(&[row.id])?.into_iter().next();
    if let Some(join) = row.join {
        let rule = words.rule(join.rule).map_or("a rule that is gone or was changed", |rule| &rule.name);
        let made = format!("joined by rule `{rule}` in run {}; a join is decided once", join.run);
        let leaving = mv_row(&rehearsal.after, join.mv)?.is_none_or(|mv| mv.state != MvState::Active);
        return Ok(match after.and_then(|row| row.join) {
            Some(_) if leaving => PlaceView {
                result: "leaves".to_owned(),
                text: format!(
                    "{made}, and ends when no rule in scope holds it and the targets are done: its metaverse object leaves"
                ),
                steps,
            },
            Some(_) => PlaceView { result: "joined".to_owned(), text: made, steps },
            None => PlaceView {
                result: "leaves".to_owned(),
                text: format!("{made}: no rule in scope holds it any more, it would be disconnected"),
                steps,
            },
        });
    }
    let last = rehearsal.notes.iter().rev().find_map(|note| match note {
        Note::Join { of: Subject::Cs(id), step, .. } if *id == row.id => Some(step),
        _ => None,
    });
    let text = steps.last().map(|step| step.text.clone()).unwrap_or_default();
    let result = match last {
        Some(JoinStep::Joined(_)) => "joins",
        Some(JoinStep::Created) => "creates",
        Some(JoinStep::Rivals(_) | JoinStep::Taken(_) | JoinStep::Refused(..)) => "refused",
        Some(JoinStep::Undecided) => "undecided",
        None if row.flags.has(CsFlags::CONFLICT) => {
            let text = "its anchor came twice in one import: it stays as it is until an import shows it once";
            return Ok(PlaceView { result: "undecided".to_owned(), text: text.to_owned(), steps });
        }
        _ => "none",
    };
    Ok(PlaceView { result: result.to_owned(), text, steps })
}

fn target_place(
    words: &Words<'_>,
    rehearsal: &Rehearsal<'_>,
    mv: &MvRow,
    connector: ConnectorId,
    before: Option<&CsRow>,
    after: Option<&CsRow>,
) -> Result<PlaceView, ServiceError> {
    let steps = words.steps(&rehearsal.notes, Subject::Mv(mv.id), connector)?;
    let decided: BTreeSet<&str> = rehearsal
        .notes
        .iter()
        .filter_map(|note| match note {
            Note::Target { of, connector: at, step, .. } if (*of, *at) == (mv.id, connector) => {
                Some(match step {
                    TargetStep::Kept => "a rule in scope holds it",
                    TargetStep::Adopted => "it becomes ours: a rule in scope holds it",
                    TargetStep::Source => "it is a source of this person, and no outbound rule holds it",
                    TargetStep::Deprovisioned => {
                        "no rule in scope holds it, or its metaverse object leaves: it is deprovisioned"
                    }
                    TargetStep::Outside => "it is outside the pilot",
                })
            }
            _ => None,
        })
        .collect();
    let decided: Vec<&str> = decided.into_iter().collect();
    let by = |row: &CsRow| {
        let rule = row.join.and_then(|join| words.rule(join.rule));
        rule.map(|rule| format!("joined by rule `{}`; ", rule.name)).unwrap_or_default()
    };
    let (result, text) = match (before, after) {
        (Some(_), None) => ("disconnected", format!("{}; the link ends", decided.join(", "))),
        (Some(row), Some(_)) => ("joined", format!("{}{}", by(row), decided.join(", "))),
        (None, Some(row)) if row.flags.has(CsFlags::PROVISIONED) => {
            ("creates", "a new object is made there".to_owned())
        }
        (None, Some(_)) => ("joins", steps.last().map(|step| step.text.clone()).unwrap_or_default()),
        (None, None) => ("none", steps.last().map(|step| step.text.clone()).unwrap_or_default()),
    };
    Ok(PlaceView { result: result.to_owned(), text, steps })
}

fn metaverse(
    words: &Words<'_>,
    reader: &dyn Reader,
    rehearsal: &Rehearsal<'_>,
) -> Result<Vec<MetaverseView>, ServiceError> {
    let mut out = Vec::new();
    for &id in &rehearsal.mvs {
        let (before, after) = (mv_row(reader, id)?, mv_row(&rehearsal.after, id)?);
        let active = |row: &MvRow| row.state == MvState::Active;
        let change = match (&before, &after) {
            (None, _) => "new",
            (Some(_), None) => "goes",
            (Some(before), Some(after)) => match (active(before), active(after)) {
                (true, true) => "stays",
                (true, false) => "leaves",
                (false, true) => "comes back",
                (false, false) => "is leaving",
            },
        };
        let Some(row) = after.as_ref().or(before.as_ref()) else { continue };
        let attributes = mv_attributes(words, reader, rehearsal, row, before.as_ref(), after.as_ref())?;
        out.push(MetaverseView { object: words.mv(row), change, attributes });
    }
    Ok(out)
}

/// Every attribute that a metaverse object has or could get.
pub(crate) fn mv_attributes(
    words: &Words<'_>,
    reader: &dyn Reader,
    rehearsal: &Rehearsal<'_>,
    row: &MvRow,
    before: Option<&MvRow>,
    after: Option<&MvRow>,
) -> Result<Vec<AttributeView>, ServiceError> {
    let flows = words.flows(&rehearsal.notes, Subject::Mv(row.id));
    let rows = [before, after];
    let mut ids: BTreeSet<AttrId> = flows.keys().copied().collect();
    let mut linked = BTreeSet::new();
    for row in rows.iter().copied().flatten() {
        ids.extend(row.values.as_ref().iter().map(|(id, _)| id));
        linked.extend(row.picks.iter().map(|pick| pick.attribute));
    }
    ids.extend(&linked);
    let value = |of: Option<&MvRow>, reader: &dyn Reader, id: AttrId| -> Result<Json, ServiceError> {
        Ok(match of {
            Some(row) if linked.contains(&id) => links(reader.mv_link_count(row.id, id)?),
            Some(row) => json(row.values.as_ref().get(id)),
            None => Json::Null,
        })
    };
    let mut out = Vec::new();
    for id in ids {
        let (tried, kept) = flows.get(&id).copied().unwrap_or_default();
        out.push(AttributeView {
            attribute: words.attribute(id),
            before: value(before, reader, id)?,
            after: value(after, &rehearsal.after, id)?,
            kept,
            planned: None,
            candidates: words.candidates(id, tried, None)?,
        });
    }
    out.sort_by_key(|view| view.attribute.to_lowercase());
    Ok(out)
}

fn target_attributes(
    words: &Words<'_>,
    rehearsal: &Rehearsal<'_>,
    mv: &MvRow,
    row: &CsRow,
) -> Result<Vec<AttributeView>, ServiceError> {
    let planned = words.planned(&rehearsal.notes, row.id);
    let policy = words.runtime.policies.of(row.connector);
    let mut out = Vec::new();
    for (id, (tried, kept)) in words.flows(&rehearsal.notes, Subject::Cs(row.id)) {
        let is_link = policy.link_attributes.contains(&id);
        let there = match (is_link, row.flags.has(CsFlags::PROVISIONED)) {
            (true, _) => links(row.link_count(id)),
            (false, true) => Json::Null,
            (false, false) => json(row.image.as_ref().get(id)),
        };
        let wanted = planned.get(&id);
        let after = match wanted {
            Some((_, "read-only" | "never emptied")) | None => there.clone(),
            Some((values, _)) => json_of(values.as_ref()),
        };
        out.push(AttributeView {
            attribute: words.attribute(id),
            before: there,
            after,
            kept,
            planned: if is_link { Some("link by link") } else { wanted.map(|(_, word)| *word) },
            candidates: words.candidates(id, tried, Some(mv))?,
        });
    }
    out.sort_by_key(|view| view.attribute.to_lowercase());
    Ok(out)
}

fn pending(words: &Words<'_>, row: Option<&CsRow>, export: &ExportRow, state: &'static str) -> PendingChange {
    let mut counts_as = Vec::new();
    for (kind, word) in [
        (ExportRow::KIND_DELETE, "deletion"),
        (ExportRow::KIND_DISABLE, "disabling"),
        (ExportRow::KIND_EMPTY, "emptied attribute"),
        (ExportRow::KIND_ADOPT, "adoption"),
    ] {
        if export.kinds & kind != 0 {
            counts_as.push(word);
        }
    }
    let there = |id: AttrId| match row {
        Some(row) if !row.flags.has(CsFlags::PROVISIONED) => json(row.image.as_ref().get(id)),
        _ => Json::Null,
    };
    let values = export.changes.iter().map(|change| PendingValue {
        attribute: words.attribute(change.attribute),
        before: there(change.attribute),
        after: json_of(change.values.as_ref()),
        rule: words.rule(change.rule).map(|rule| rule.name.clone()),
        state: look::state(change.state, false, false),
        error: change.error.clone(),
    });
    PendingChange {
        operation: look::operation(export.operation),
        state,
        counts_as,
        values: values.collect(),
        error: export.error.clone(),
    }
}

/// Link values of an object that are owed, and those that point at it and would change now.
fn owed_links(
    words: &Words<'_>,
    rehearsal: &Rehearsal<'_>,
    row: &CsRow,
    stops: &Stops,
) -> Result<Vec<PendingLink>, ServiceError> {
    let mut keys = BTreeSet::new();
    for &attribute in &words.runtime.policies.of(row.connector).link_attributes {
        let own = rehearsal.after.export_links(row.id, attribute, CsId(i64::MIN), LINKS_SHOWN)?;
        keys.extend(own.into_iter().map(|link| (link.owner, link.attribute, link.target)));
    }
    let changed =
        rehearsal.after.export_links_changed().filter(|(key, now)| key.2 == row.id && now.is_some());
    keys.extend(changed.map(|(key, _)| *key).take(LINKS_SHOWN));
    let keys: Vec<_> = keys.into_iter().collect();
    let mut out = Vec::new();
    for link in rehearsal.after.export_links_by_key(&keys)? {
        let name = |id| Ok::<_, ServiceError>(words.row(id)?.map(|row| row.name).unwrap_or_default());
        let of = words.row(link.owner)?.map_or(TypeId(0), |row| row.object_type);
        let (state, waits) = stops.link_state(words.runtime.policies.of(link.connector), of, &link);
        out.push(PendingLink {
            state,
            why: link.error.clone().or(waits),
            object: name(link.owner)?,
            attribute: words.attribute(link.attribute),
            operation: if link.add { "add" } else { "remove" },
            target: name(link.target)?,
        });
    }
    Ok(out)
}

fn errors(words: &Words<'_>, rehearsal: &Rehearsal<'_>) -> Result<Vec<String>, ServiceError> {
    let ids: Vec<CsId> = rehearsal.objects.iter().copied().collect();
    let rows = rehearsal.after.errors_of(&ids)?;
    rows.iter()
        .map(|error| {
            Ok(format!("{}, {} ({}): {}", words.label(error.cs)?, error.place, error.code, error.message))
        })
        .collect()
}

/// Who else would be looked at again.
fn others(words: &Words<'_>, rehearsal: &Rehearsal<'_>) -> Result<Vec<String>, ServiceError> {
    let (mut objects, mut metaverse) = (BTreeSet::new(), BTreeSet::new());
    for work in &rehearsal.others {
        match *work {
            Work::Identity(turn) => _ = objects.insert(turn.cs),
            Work::Values(mv) | Work::Outbound(mv) | Work::MvTarget(mv) | Work::MvLinks(mv, _) => {
                metaverse.insert(mv);
            }
            Work::Target(cs) | Work::CsLinks(cs, _) | Work::CsLink(cs, ..) => _ = objects.insert(cs),
            Work::Below(_) | Work::Members(_) => {}
        }
    }
    let mut out = Vec::new();
    for id in objects.iter().take(5) {
        out.push(format!("{} would be looked at again", words.label(*id)?));
    }
    for id in metaverse.iter().take(5) {
        if let Some(row) = mv_row(&rehearsal.after, *id)? {
            out.push(format!("metaverse object {} would be looked at again", words.mv(&row).name));
        }
    }
    let more = objects.len().saturating_sub(5) + metaverse.len().saturating_sub(5);
    if more > 0 {
        out.push(format!("and {more} more objects would be looked at again"));
    }
    Ok(out)
}

/// Whether a rule of a direction is for an object's type.
pub(crate) fn has_inbound(words: &Words<'_>, row: &CsRow) -> bool {
    words.runtime.rules.rules().iter().any(|rule| {
        rule.direction == Direction::Inbound
            && (rule.connector, rule.object) == (row.connector, row.object_type)
    })
}
