//! `explain`: why an object is as it is now, and why it is not where it might be expected.
//!
//! What is stored says which rule, object and run gave each value; who lost, and why something is not there, is found
//! by rehearsing the sync of the object over what is stored.

use std::collections::{BTreeMap, BTreeSet};

use onesync_engine::{Cause, CsFlags, CsRow, MvRow, Retained, Subject};
use onesync_model::{AttrId, CsId, Dn, RunId};
use onesync_rules::Direction;
use onesync_store::StoreReader;
use serde::Serialize;
use serde_json::Value as Json;

use super::find::Found;
use super::origins::{Origins, ValueOrigin};
use super::preview::{PreviewTarget, has_inbound, mv_attributes, source_place};
use super::reasons::{Reason, out_of_scope};
use super::rehearse::Rehearsal;
use super::view::{AttributeView, CandidateView, ObjectLine, Words, json, json_of, links};
use crate::error::ServiceError;
use crate::runtime::{ConnectorHandle, Runtime, Service};

/// Changes of one attribute that are shown, and rows of history that are looked at for them.
const CHANGES_SHOWN: usize = 10;
const HISTORY_LOOKED_AT: usize = 500;

/// Why an object is as it is.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Explanation {
    /// The time at which it was looked at.
    pub time: String,
    /// When each connector was imported last: the age of what this rests on.
    pub imported: BTreeMap<String, Option<String>>,
    /// The connector-space object that was named, where it was one.
    pub object: Option<ObjectLine>,
    /// The metaverse object.
    pub metaverse: Option<ObjectLine>,
    /// Why there is no metaverse object, or no connector-space object.
    pub why_not: Vec<Reason>,
    /// What is joined to the metaverse object.
    pub joined: Vec<JoinedObject>,
    /// The attribute that was asked for.
    pub attribute: Option<String>,
    /// Metaverse attributes.
    pub attributes: Vec<ValueReason>,
    /// The attribute that was asked for, on the objects that are joined.
    pub there: Vec<AttributeThere>,
    /// Every target.
    pub targets: Vec<TargetState>,
    /// Metaverse attributes and targets that the next sync would change.
    pub next: Vec<String>,
}

/// An object that is joined.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct JoinedObject {
    /// The object.
    pub object: ObjectLine,
    /// The rule, run and time that joined it.
    pub by: ValueOrigin,
    /// Whether it is ours: created or adopted by us.
    pub ours: bool,
}

/// A metaverse attribute and why it is so.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ValueReason {
    /// Its name.
    pub attribute: String,
    /// Its value.
    pub value: Json,
    /// Who gave it; several for merged values.
    pub from: Vec<ValueOrigin>,
    /// Why it stays although no rule would give it again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retained: Option<&'static str>,
    /// Why there is no value.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why_not: Option<String>,
    /// Everybody who competes for it, as it would be decided now.
    pub candidates: Vec<CandidateView>,
    /// Its last changes, the newest first; where it was asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<ValueChanged>,
}

/// A change of a metaverse attribute.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ValueChanged {
    /// When.
    pub time: String,
    /// The run.
    pub run: i64,
    /// The value before.
    pub old: Json,
    /// The value after.
    pub new: Json,
    /// The rule that gave it.
    pub rule: Option<String>,
}

/// An attribute on an object that is joined.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AttributeThere {
    /// The object: connector and name.
    pub object: String,
    /// Its value there, as it was imported.
    pub value: Json,
    /// Why it has none, or what is special about it.
    pub note: Option<String>,
}

/// One target.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TargetState {
    /// `as it should be`, `changes are pending`, `not there yet`, `not there`, `not ours`, `is read only`.
    pub state: &'static str,
    /// Scope, place, flows, what is owed, and why something is not there.
    #[serde(flatten)]
    pub target: PreviewTarget,
}

impl Service {
    /// Why an object is as it is now, or is not where it might be expected; with one attribute, all about that.
    ///
    /// # Errors
    /// When there is no such object, or more than one, or nothing has such an attribute.
    pub fn explain(
        &self,
        runtime: &Runtime,
        object: &str,
        attribute: Option<&str>,
    ) -> Result<Explanation, ServiceError> {
        let asked = attribute.map(|name| asked_attribute(runtime, name)).transpose()?;
        let reader = self.store().reader()?;
        let found = match self.find_anywhere(runtime, object) {
            Ok(found) => found,
            Err(error) => return self.unknown(&*reader, runtime, object, error),
        };
        let (row, mv) = match found {
            Found::Cs(row) => {
                let mv = match row.join {
                    Some(join) => reader.mv_by_id(&[join.mv])?.into_iter().next(),
                    None => None,
                };
                (Some(row), mv)
            }
            Found::Mv(mv) => (None, Some(mv)),
        };
        let joined = match &mv {
            Some(mv) => reader.cs_of_mv(&[mv.id])?,
            None => Vec::new(),
        };
        // The sync of a metaverse object begins with one of its sources.
        let start = row.as_ref().or_else(|| joined.iter().find(|row| is_source(runtime, row)));
        let rehearsal = self.rehearse(runtime, &*reader, start, mv.as_ref())?;
        let words = Words::new(runtime, &rehearsal.after, &*reader);
        let origins = Origins::new(&*reader, runtime)?;
        let mut out = Explanation {
            time: self.now().to_string(),
            imported: self.imported(&*reader, runtime)?,
            object: row.as_ref().map(|row| words.object(row)).transpose()?,
            metaverse: mv.as_ref().map(|mv| words.mv(mv)),
            attribute: asked.map(|id| words.attribute(id)),
            ..Explanation::default()
        };
        let Some(mv) = mv else {
            if let Some(row) = &row {
                out.why_not = not_joined(&words, &rehearsal, &*reader, row)?;
                out.there = there(&words, std::slice::from_ref(row), asked)?;
            }
            return Ok(out);
        };
        for row in &joined {
            if let Some(join) = row.join {
                let by = origins.of(join.rule, join.run, None)?;
                out.joined.push(JoinedObject { object: words.object(row)?, by, ours: join.owned });
            }
        }
        out.there = there(&words, &joined, asked)?;
        let now = now_attributes(&words, &*reader, &rehearsal, &mv)?;
        for view in now {
            let id = runtime.names.find(&view.attribute);
            if asked.is_some() && asked != id {
                continue;
            }
            out.attributes.push(value_reason(&words, &*reader, &origins, &mv, id, view, asked.is_some())?);
        }
        for target in self.targets_of(&*reader, &words, &rehearsal)? {
            out.targets.push(state_of(&words, target, asked));
        }
        out.next = next(&*reader, &words, &rehearsal, &mv)?;
        Ok(out)
    }

    /// What is known about an object that is in no connector space.
    fn unknown(
        &self,
        reader: &dyn StoreReader,
        runtime: &Runtime,
        object: &str,
        error: ServiceError,
    ) -> Result<Explanation, ServiceError> {
        let is_dn = object.contains('=') && Dn::parse(object).is_ok_and(|dn| !dn.is_root());
        if !is_dn
            || !matches!(error, ServiceError::Usage { .. })
            || error.to_string().contains("more than one")
        {
            return Err(error);
        }
        let mut out = Explanation {
            time: self.now().to_string(),
            imported: self.imported(reader, runtime)?,
            ..Explanation::default()
        };
        for connector in runtime.connectors.iter().filter(|c| c.capabilities.hierarchical) {
            out.why_not.push(self.not_read(connector, &out.imported, object)?);
        }
        if out.why_not.is_empty() {
            return Err(error);
        }
        Ok(out)
    }

    fn not_read(
        &self,
        connector: &ConnectorHandle,
        imported: &BTreeMap<String, Option<String>>,
        dn: &str,
    ) -> Result<Reason, ServiceError> {
        let name = connector.name();
        let types: Vec<&str> = connector.selection.types.iter().map(|of| of.name.as_str()).collect();
        let known = self.known_watermark(connector)?;
        if let Some(selects) = connector.connector.selector(known.as_ref())
            && !types.iter().any(|of| selects(of, dn))
        {
            let text =
                format!("`{name}` does not read the place where `{dn}` lies: its settings leave it out");
            return Ok(Reason::new("filtered-container", text).hint(format!(
                "`include` and `exclude`, or `base`, in {} say what is read",
                connector.file.path
            )));
        }
        Ok(match imported.get(name).and_then(Option::as_deref) {
            None => Reason::new("never-imported", format!("`{name}` was never imported"))
                .hint(format!("`onesync run {name} full-import` reads it")),
            Some(time) => Reason::new(
                "not-read",
                format!("the last import of `{name}`, {time}, did not show `{dn}`: it is not there, the account may not see it, or it has none of the object types that are read ({})", types.join(", ")),
            )
            .hint("an object type is read when a rule is for it"),
        })
    }
}

/// The attribute that is asked for: of the metaverse, or of a connected directory.
fn asked_attribute(runtime: &Runtime, name: &str) -> Result<AttrId, ServiceError> {
    let id = runtime.names.find(name).filter(|&id| {
        runtime.metaverse.attribute(id).is_some()
            || runtime.connectors.iter().any(|c| c.schema.attribute(id).is_some())
    });
    id.ok_or_else(|| {
        let schemas = runtime.connectors.iter().map(|c| &c.schema).chain([&runtime.metaverse]);
        let known = schemas.flat_map(|schema| schema.attributes.values()).map(|def| def.name.as_str());
        let near = onesync_rules::nearest(name, known);
        let hint = near.map_or_else(
            || "`onesync connector schema NAME` lists the attributes of a directory".to_owned(),
            |near| format!("did you mean `{near}`?"),
        );
        ServiceError::usage(
            format!("neither the metaverse nor any directory has an attribute `{name}`"),
            hint,
        )
    })
}

fn is_source(runtime: &Runtime, row: &CsRow) -> bool {
    let rule = row.join.and_then(|join| runtime.rules.rule(join.rule));
    rule.is_some_and(|rule| rule.direction == Direction::Inbound)
}

/// Why a connector-space object has no metaverse object.
fn not_joined(
    words: &Words<'_>,
    rehearsal: &Rehearsal<'_>,
    reader: &dyn StoreReader,
    row: &CsRow,
) -> Result<Vec<Reason>, ServiceError> {
    let mut out = Vec::new();
    let at = words.connector(row.connector);
    let object_type = words.runtime.names.type_name(row.object_type);
    let why = row.reason.as_deref().map(|why| format!(" ({why})")).unwrap_or_default();
    if row.flags.has(CsFlags::GONE) {
        out.push(Reason::new("gone", format!("it was deleted at `{at}`")));
    }
    if row.flags.has(CsFlags::PROTECTED) {
        out.push(Reason::new("protected", format!("it is protected at `{at}`: never matched{why}")));
    }
    if row.flags.has(CsFlags::CONFLICT) {
        out.push(
            Reason::new("conflict", "its anchor came twice in one import: nothing is decided about it")
                .hint(format!("remove one of the two at `{at}`; `onesync errors {at}` names them")),
        );
    }
    let errors = reader.errors_of(&[row.id])?;
    out.extend(errors.iter().map(|error| {
        let code = if error.place == "join" { "refused" } else { "error" };
        Reason::new(code, format!("{} ({}): {}", error.place, error.code, error.message))
    }));
    if !has_inbound(words, row) {
        let rules = words.runtime.rules.rules();
        let outbound = rules.iter().any(|rule| {
            rule.direction == Direction::Outbound
                && (rule.connector, rule.object) == (row.connector, row.object_type)
        });
        out.push(if outbound {
            Reason::new(
                "only-there",
                format!("it is only at `{at}`: no metaverse object joins it, it is left untouched"),
            )
            .hint("it is found by its source anchor, or by what `adopt_by` names")
        } else {
            Reason::new("no-rule", format!("no rule is for objects of type `{object_type}` of `{at}`"))
        });
        return Ok(out);
    }
    let rules = words.rules(&rehearsal.notes, Subject::Cs(row.id), None)?;
    let (inside, outside): (Vec<_>, Vec<_>) = rules.iter().partition(|view| view.in_scope == Some(true));
    if inside.is_empty() {
        out.extend(outside.iter().map(|view| {
            let code = if view.in_scope.is_none() { "scope-failed" } else { "out-of-scope" };
            Reason::new(code, out_of_scope(view))
        }));
        return Ok(out);
    }
    let place = source_place(words, rehearsal, row)?;
    match place.result.as_str() {
        "joins" | "creates" => out.push(
            Reason::new(
                "not-synchronised",
                format!("nothing: the next sync decides about it ({})", place.text),
            )
            .hint(format!("`onesync run {at} delta-sync`")),
        ),
        _ => {
            let steps = place.steps.iter().map(|step| {
                let rule = step.rule.as_deref().map(|rule| format!("rule `{rule}`: ")).unwrap_or_default();
                let by = if step.conditions.is_empty() {
                    String::new()
                } else {
                    format!(" ({})", step.conditions.join(" and "))
                };
                Reason::new(step.result, format!("{rule}{}{by}", step.text))
            });
            out.extend(steps);
            // Who would create it, if only he were in scope.
            let provisions = outside.iter().filter(|view| view.link == "provision");
            if !inside.iter().any(|view| view.link == "provision") {
                out.extend(provisions.map(|view| Reason::new("out-of-scope", out_of_scope(view))));
            }
        }
    }
    Ok(out)
}

/// The attribute that is asked for on objects.
fn there(
    words: &Words<'_>,
    rows: &[CsRow],
    asked: Option<AttrId>,
) -> Result<Vec<AttributeThere>, ServiceError> {
    let Some(id) = asked else { return Ok(Vec::new()) };
    let mut out = Vec::new();
    for row in rows {
        let Some(connector) = words.runtime.connector_by_id(row.connector) else { continue };
        let Some(def) = connector.schema.attribute(id) else { continue };
        let count = row.link_count(id);
        let value = if count > 0 { links(count) } else { json(row.image.as_ref().get(id)) };
        let read =
            connector.selection.types.iter().any(|of| {
                of.id == row.object_type && of.attributes.iter().any(|attribute| attribute.id == id)
            });
        let note = if !connector.schema.allows(row.object_type, id) {
            Some(format!(
                "objects of type `{}` have no such attribute there",
                words.runtime.names.type_name(row.object_type)
            ))
        } else if !read {
            Some(format!(
                "not read: no rule uses it; `attributes = [\"{}\"]` in {} reads it",
                def.name, connector.file.path
            ))
        } else if def.read_only && connector.capabilities.export {
            Some("nobody can write it there".to_owned())
        } else {
            None
        };
        out.push(AttributeThere { object: words.label_of(row)?, value, note });
    }
    Ok(out)
}

/// The attributes as they are stored, with everybody who competes for them now.
fn now_attributes(
    words: &Words<'_>,
    reader: &dyn StoreReader,
    rehearsal: &Rehearsal<'_>,
    mv: &MvRow,
) -> Result<Vec<AttributeView>, ServiceError> {
    mv_attributes(words, reader, rehearsal, mv, Some(mv), Some(mv))
}

fn value_reason(
    words: &Words<'_>,
    reader: &dyn StoreReader,
    origins: &Origins<'_>,
    mv: &MvRow,
    id: Option<AttrId>,
    view: AttributeView,
    asked: bool,
) -> Result<ValueReason, ServiceError> {
    let causes: Vec<&Cause> = mv.causes.iter().filter(|cause| Some(cause.attribute) == id).collect();
    let mut from = Vec::new();
    for cause in &causes {
        from.push(origins.of(cause.rule, cause.run, Some(words.label(cause.source)?))?);
    }
    // Links are picked, not given: of a pick no run is kept.
    for pick in mv.picks.iter().filter(|pick| Some(pick.attribute) == id) {
        let origin = origins.of(pick.rule, RunId(0), Some(words.label(pick.source)?))?;
        from.push(ValueOrigin { configuration: None, ..origin });
    }
    let retained = causes.iter().find_map(|cause| match cause.retained {
        Retained::No => None,
        Retained::Once => Some("it was applied once, and stays whatever the source says"),
        Retained::Kept => {
            Some("no rule gives it now: it is kept, because a flow failed or said IgnoreThisFlow")
        }
    });
    let mut changes = Vec::new();
    if asked && let Some(id) = id {
        let history = reader.history(mv.id, None, HISTORY_LOOKED_AT)?;
        // Rows with an event tell what was sent to a target, which has attributes of the same names.
        for (_, row) in history.into_iter().filter(|(_, row)| row.event.is_none()) {
            for (attribute, old, new, rule) in &row.changes {
                if *attribute == id && changes.len() < CHANGES_SHOWN {
                    changes.push(ValueChanged {
                        time: row.time.to_string(),
                        run: row.run.0,
                        old: json_of(old.as_ref()),
                        new: json_of(new.as_ref()),
                        rule: rule.map(|id| origins.rule(id).0),
                    });
                }
            }
        }
    }
    let why_not = view.before.is_null().then(|| no_value(&view.candidates));
    Ok(ValueReason {
        attribute: view.attribute,
        value: view.before,
        from,
        retained,
        why_not,
        candidates: view.candidates,
        changes,
    })
}

/// Why an attribute has no value.
fn no_value(candidates: &[CandidateView]) -> String {
    if candidates.is_empty() {
        return "no rule in scope has a flow to it".to_owned();
    }
    let failed =
        candidates.iter().find(|one| matches!(one.result, "failed" | "raised" | "authoritative-null"));
    match failed {
        Some(one) => format!("rule `{}`: {}", one.rule, one.reason),
        None => format!("{} flows in scope, none gives a value", candidates.len()),
    }
}

/// What is true of a target in a word; with an attribute only what is about it.
fn state_of(words: &Words<'_>, mut target: PreviewTarget, asked: Option<AttrId>) -> TargetState {
    let writes = words.runtime.connector(&target.connector).is_ok_and(|c| c.capabilities.export);
    let created = target.object.as_ref().is_some_and(|object| object.state.contains("to be created"));
    let state = match (&target.object, &target.pending) {
        (None, _) => "not there",
        (Some(_), _) if !writes => "is read only",
        (Some(_), _) if created => "not there yet",
        (Some(_), Some(_)) => "changes are pending",
        (Some(_), None) if !target.why_not.is_empty() => "not as it should be",
        (Some(_), None) if !target.links.is_empty() => "links are pending",
        (Some(_), None) => "as it should be",
    };
    if let Some(id) = asked {
        let name = words.attribute(id);
        let reads = |view: &AttributeView| {
            view.attribute.eq_ignore_ascii_case(&name)
                || view
                    .candidates
                    .iter()
                    .any(|one| one.reads.keys().any(|read| read.eq_ignore_ascii_case(&name)))
        };
        target.attributes.retain(reads);
        let kept: BTreeSet<&String> = target.attributes.iter().map(|view| &view.attribute).collect();
        if let Some(pending) = &mut target.pending {
            pending.values.retain(|value| kept.contains(&value.attribute));
        }
        target.links.retain(|link| kept.contains(&link.attribute));
    }
    TargetState { state, target }
}

/// What the next sync of the object would change.
fn next(
    reader: &dyn StoreReader,
    words: &Words<'_>,
    rehearsal: &Rehearsal<'_>,
    mv: &MvRow,
) -> Result<Vec<String>, ServiceError> {
    let mut out = Vec::new();
    match super::view::mv_row(&rehearsal.after, mv.id)? {
        None => out.push("the metaverse object goes".to_owned()),
        Some(after) => {
            if after.state != mv.state {
                out.push(format!("the metaverse object: {}", crate::look::mv_state(&after)));
            }
            let ids: BTreeSet<AttrId> =
                [mv, &after].iter().flat_map(|row| row.values.as_ref().iter().map(|(id, _)| id)).collect();
            for id in ids {
                let (old, new) = (json(mv.values.as_ref().get(id)), json(after.values.as_ref().get(id)));
                if old != new {
                    out.push(format!("{}: {old} -> {new}", words.attribute(id)));
                }
            }
        }
    }
    let before: BTreeSet<CsId> = reader.cs_of_mv(&[mv.id])?.into_iter().map(|row| row.id).collect();
    let rows: BTreeSet<CsId> = before.iter().chain(&rehearsal.objects).copied().collect();
    let rows: Vec<CsId> = rows.into_iter().collect();
    use onesync_engine::Reader as _;
    let (was, is) = (reader.exports(&rows)?, rehearsal.after.exports(&rows)?);
    if was != is {
        out.push("what is owed to targets".to_owned());
    }
    Ok(out)
}
