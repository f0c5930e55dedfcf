//! Looking: objects, pending changes, errors, history, as data for lists and pages.

use std::collections::BTreeMap;

use onesync_engine::{ChangeState, CsFlags, CsRow, ErrorRow, ExportRow, HistoryRow, MvRow, MvState};
use onesync_model::{AttrId, CsId, MvId, Operation, RuleId, TypeId, ValuesRef, values_to_json};
use onesync_rules::RuleSet;
use onesync_store::{ExportFilter, ExportLinkFilter, StoreReader};
use serde::Serialize;
use serde_json::Value as Json;

use crate::error::ServiceError;
use crate::find::objects;
use crate::insight::Found;
use crate::runtime::{ConnectorHandle, Runtime, Service};
use crate::unreadable::source_place;

/// Values of a long list that a line shows.
const SHOWN_MAX: usize = 3;
/// Characters of a value that a line shows.
const SHOWN_CHARS: usize = 60;
/// Links of one attribute that an object's page shows.
const LINKS_SHOWN: usize = 50;

/// Attributes by which people know an object, the best first.
const PEOPLE_NAMES: [&str; 6] = ["displayName", "cn", "name", "userPrincipalName", "mail", "sAMAccountName"];

/// What a person decides about held changes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum HeldDecision {
    /// They may go.
    Release,
    /// They must not go.
    Reject,
}

/// An object as people see it.
#[derive(Clone, Debug, Serialize)]
pub struct ObjectView {
    /// `cs:NUMBER` or the metaverse object's id.
    pub id: String,
    /// The connector; empty for a metaverse object.
    pub connector: String,
    /// The object type.
    pub object_type: String,
    /// Its name.
    pub name: String,
    /// `joined`, `disconnector`, `leaving`, `gone`, ...
    pub state: String,
    /// Values.
    pub attributes: BTreeMap<String, ValueView>,
    /// Link attributes: count and some targets.
    pub links: BTreeMap<String, (u64, Vec<String>)>,
    /// What it is joined to.
    pub joined: Vec<String>,
    /// Why it is not in the metaverse, where that has a reason that is no error.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// One attribute as people see it.
#[derive(Clone, Debug, Serialize)]
pub struct ValueView {
    /// The values.
    pub value: Json,
    /// The rule that gave them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// The source object.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// The run in which it got this value.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run: Option<i64>,
}

/// One pending change as people see it.
#[derive(Clone, Debug, Serialize)]
pub struct PendingView {
    /// The object's row.
    pub id: i64,
    /// Its name.
    pub object: String,
    /// Its type.
    pub object_type: String,
    /// `add`, `update`, `delete`, `add link`, `remove link`.
    pub operation: String,
    /// `pending`, `sending`, `sent`, `refused`, `held`, `stopped`, `cannot be written`, `outside the pilot`,
    /// `mastered elsewhere`.
    pub state: String,
    /// What changes.
    pub change: String,
    /// Why some of it waits although the object is written: an error on too many others.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waits: Option<String>,
    /// Why it was refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// What the rules compute and nobody can write there: never sent.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub not_writable: BTreeMap<String, Json>,
    /// Its hash.
    pub hash: String,
}

impl Service {
    /// The whole state as text, for comparing states in tests.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn dump(&self) -> Result<String, ServiceError> {
        Ok(self.store().reader()?.dump(false)?)
    }

    /// One object, whole: `cs:NUMBER`, a metaverse id, a DN, an anchor, or a value that only one object has.
    ///
    /// # Errors
    /// When there is none, or more than one.
    pub fn show(&self, runtime: &Runtime, object: &str) -> Result<ObjectView, ServiceError> {
        let reader = self.store().reader()?;
        match self.find_anywhere(runtime, object)? {
            Found::Cs(row) => view_cs(&*reader, runtime, &row, true),
            Found::Mv(row) => view_mv(&*reader, runtime, &row, true),
        }
    }

    /// The history of a metaverse object, newest first.
    ///
    /// # Errors
    /// When there is no such object.
    pub fn history(
        &self,
        runtime: &Runtime,
        object: &str,
        limit: usize,
    ) -> Result<Vec<HistoryRow>, ServiceError> {
        let id = self.one_mv(runtime, object)?;
        Ok(self.store().reader()?.history(id, None, limit)?.into_iter().map(|(_, row)| row).collect())
    }

    /// Pending changes of a connector.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn pending(
        &self,
        runtime: &Runtime,
        connector: &ConnectorHandle,
        limit: usize,
    ) -> Result<Vec<PendingView>, ServiceError> {
        let reader = self.store().reader()?;
        let rows = reader.exports_page(connector.id, ExportFilter::default(), CsId(i64::MIN), limit)?;
        let known = objects(&*reader, rows.iter().map(|row| row.cs))?;
        let stops = self.stops(&*reader, runtime, connector)?;
        let policy = runtime.policies.of(connector.id);
        let computed = self.not_writable(runtime, &*reader, &known)?;
        let view = |row: &ExportRow| {
            let (state, waits) = stops.export_state(policy, row, known.get(&row.cs));
            PendingView {
                not_writable: computed.get(&row.cs).cloned().unwrap_or_default(),
                waits,
                id: row.cs.0,
                object: known.get(&row.cs).map(|cs| label(runtime, cs, Some(row))).unwrap_or_default(),
                object_type: runtime.names.type_name(row.object_type).to_owned(),
                operation: operation(row.operation).to_owned(),
                state: state.to_owned(),
                change: describe_export(runtime, row),
                error: row.error.clone(),
                hash: onesync_store::export_hash(row).to_string(),
            }
        };
        let mut out: Vec<PendingView> = rows.iter().map(view).collect();
        let links = reader.export_links_page(
            connector.id,
            ExportLinkFilter::default(),
            None,
            limit.saturating_sub(out.len()),
        )?;
        let known = objects(&*reader, links.iter().flat_map(|row| [row.owner, row.target]))?;
        // What is not there has the name that it is to get.
        let absent: Vec<CsId> = known.values().filter(|cs| cs.anchor.is_none()).map(|cs| cs.id).collect();
        let planned: BTreeMap<CsId, ExportRow> =
            reader.exports(&absent)?.into_iter().map(|row| (row.cs, row)).collect();
        let name =
            |id: CsId| known.get(&id).map(|cs| label(runtime, cs, planned.get(&id))).unwrap_or_default();
        out.extend(links.iter().map(|row| {
            let of = known.get(&row.owner).map_or(TypeId(0), |owner| owner.object_type);
            let (state, waits) = stops.link_state(policy, of, row);
            let target = planned.get(&row.target).filter(|_| row.add);
            let waits = waits.or_else(|| {
                target.map(|target| match target.kinds & ExportRow::KIND_UNWRITABLE {
                    0 => "waits until that is there".to_owned(),
                    _ => "waits: nobody can write that there".to_owned(),
                })
            });
            PendingView {
                not_writable: BTreeMap::new(),
                id: row.owner.0,
                object: name(row.owner),
                object_type: known
                    .get(&row.owner)
                    .map(|cs| runtime.names.type_name(cs.object_type).to_owned())
                    .unwrap_or_default(),
                operation: if row.add { "add link" } else { "remove link" }.to_owned(),
                state: state.to_owned(),
                waits,
                change: format!("{}: {}", runtime.names.name(row.attribute), name(row.target)),
                error: row.error.clone(),
                hash: onesync_store::export_link_hash(row).to_string(),
            }
        }));
        Ok(out)
    }

    /// Standing errors.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn errors(
        &self,
        connector: Option<&ConnectorHandle>,
        limit: usize,
    ) -> Result<Vec<(String, ErrorRow)>, ServiceError> {
        let reader = self.store().reader()?;
        let rows = reader.errors_page(connector.map(|c| c.id), None, limit)?;
        let ids: Vec<CsId> = rows.iter().map(|row| row.cs).collect();
        let names: BTreeMap<CsId, String> =
            reader.cs_by_id(&ids)?.into_iter().map(|row| (row.id, row.name)).collect();
        let name = |row: &ErrorRow| match source_place(&row.place) {
            Some(place) => place.to_owned(),
            None => names.get(&row.cs).cloned().unwrap_or_default(),
        };
        Ok(rows.into_iter().map(|row| (name(&row), row)).collect())
    }
}

fn rule_name(rules: &RuleSet, id: RuleId) -> Option<String> {
    rules.rule(id).map(|rule| rule.name.clone())
}

fn connector_name(runtime: &Runtime, row: &CsRow) -> String {
    runtime.connector_by_id(row.connector).map(|c| c.name().to_owned()).unwrap_or_default()
}

pub(crate) fn view_cs(
    reader: &dyn StoreReader,
    runtime: &Runtime,
    row: &CsRow,
    whole: bool,
) -> Result<ObjectView, ServiceError> {
    let plain = |values: ValuesRef<'_>| ValueView {
        value: values.to_values().as_ref().map_or(Json::Null, values_to_json),
        rule: None,
        source: None,
        run: None,
    };
    let mut links = BTreeMap::new();
    for sum in &row.links {
        let mut targets = Vec::new();
        if whole {
            let keys = reader.links(row.id, sum.attribute, None, LINKS_SHOWN)?;
            let ids: Vec<CsId> = reader.link_targets(&keys)?.into_iter().map(|(_, id, _)| id).collect();
            targets = reader.cs_by_id(&ids)?.into_iter().map(|cs| cs.name).collect();
        }
        links.insert(runtime.names.name(sum.attribute).to_owned(), (sum.count, targets));
    }
    let mut joined = Vec::new();
    if let Some(join) = row.join {
        let guid =
            reader.mv_by_id(&[join.mv])?.into_iter().next().map(|mv| mv.guid.to_string()).unwrap_or_default();
        joined.push(format!("{guid} by rule `{}`", rule_name(&runtime.rules, join.rule).unwrap_or_default()));
    }
    Ok(ObjectView {
        id: format!("cs:{}", row.id),
        connector: connector_name(runtime, row),
        object_type: runtime.names.type_name(row.object_type).to_owned(),
        name: label(runtime, row, None),
        state: cs_state(row),
        attributes: row
            .image
            .as_ref()
            .iter()
            .map(|(id, values)| (runtime.names.name(id).to_owned(), plain(values)))
            .collect(),
        links,
        joined,
        why: crate::unplaced::why(runtime, row),
    })
}

pub(crate) fn cs_state(row: &CsRow) -> String {
    let mut words = vec![if row.join.is_some() { "joined" } else { "disconnector" }];
    for (flag, word) in [
        (CsFlags::GONE, "gone"),
        (CsFlags::CONFLICT, "conflict"),
        (CsFlags::PROTECTED, "protected"),
        (CsFlags::MASTERED_ELSEWHERE, "mastered elsewhere"),
        (CsFlags::PROVISIONED, "to be created"),
        (CsFlags::REFUSED, "join refused"),
        (CsFlags::NO_JOIN_VALUE, crate::unplaced::NO_JOIN_VALUE),
    ] {
        if row.flags.has(flag) {
            words.push(word);
        }
    }
    words.join(", ")
}

pub(crate) fn view_mv(
    reader: &dyn StoreReader,
    runtime: &Runtime,
    row: &MvRow,
    whole: bool,
) -> Result<ObjectView, ServiceError> {
    let joined_rows = reader.cs_of_mv(&[row.id])?;
    let label = |cs: &CsRow| format!("{}: {}", connector_name(runtime, cs), cs.name);
    let mut attributes = BTreeMap::new();
    for (id, values) in row.values.as_ref().iter() {
        let cause = row.causes.iter().find(|cause| cause.attribute == id);
        let source = cause.and_then(|cause| joined_rows.iter().find(|cs| cs.id == cause.source)).map(label);
        attributes.insert(
            runtime.names.name(id).to_owned(),
            ValueView {
                value: values.to_values().as_ref().map_or(Json::Null, values_to_json),
                rule: cause.and_then(|cause| rule_name(&runtime.rules, cause.rule)),
                source,
                run: cause.map(|cause| cause.run.0),
            },
        );
    }
    let mut links = BTreeMap::new();
    let picked: std::collections::BTreeSet<AttrId> = row.picks.iter().map(|pick| pick.attribute).collect();
    for attribute in picked {
        let count = reader.mv_link_count(row.id, attribute)?;
        let mut targets = Vec::new();
        if whole {
            let ids = reader.mv_links(row.id, attribute, MvId(i64::MIN), LINKS_SHOWN)?;
            targets = reader.mv_by_id(&ids)?.iter().map(|mv| mv_name(runtime, mv)).collect();
        }
        links.insert(runtime.names.name(attribute).to_owned(), (count, targets));
    }
    Ok(ObjectView {
        id: row.guid.to_string(),
        connector: String::new(),
        object_type: runtime.names.type_name(row.object_type).to_owned(),
        name: mv_name(runtime, row),
        state: mv_state(row),
        attributes,
        links,
        joined: joined_rows
            .iter()
            .map(|cs| {
                let rule = cs.join.and_then(|join| rule_name(&runtime.rules, join.rule)).unwrap_or_default();
                format!("cs:{} {} by rule `{rule}` ({})", cs.id, label(cs), cs_state(cs))
            })
            .collect(),
        why: None,
    })
}

pub(crate) fn mv_state(row: &MvRow) -> String {
    match row.state {
        MvState::Active => "active".to_owned(),
        MvState::Leaving { since, deleted } => {
            format!(
                "leaving since {since} ({})",
                if deleted { "deleted at the source" } else { "left the scope" }
            )
        }
    }
}

pub(crate) fn mv_name(runtime: &Runtime, row: &MvRow) -> String {
    ["displayName", "cn", "userPrincipalName", "mail"]
        .iter()
        .filter_map(|name| runtime.names.find(name))
        .filter_map(|id| row.values.as_ref().get(id).and_then(ValuesRef::first))
        .map(|value| value.to_string())
        .next()
        .unwrap_or_else(|| row.guid.to_string())
}

/// What people call an object of a connector space. Where its directory names it by nothing but its key, a name for
/// people stands before that, from what it has or from what is about to be written.
pub(crate) fn label(runtime: &Runtime, row: &CsRow, export: Option<&ExportRow>) -> String {
    let key = row.anchor.as_ref().map(ToString::to_string);
    let key = key.or_else(|| export.and_then(|export| export.create_key.clone())).unwrap_or_default();
    if !row.name.is_empty() && row.name != key {
        return row.name.clone();
    }
    let named = runtime.policies.of(row.connector).object_type(row.object_type).name;
    let others = PEOPLE_NAMES.iter().filter_map(|name| runtime.names.find(name));
    let human = named.into_iter().chain(others).find_map(|attribute| {
        let has = row.image.as_ref().get(attribute).and_then(ValuesRef::first).map(|value| value.to_string());
        let gets = || {
            let change = export?.changes.iter().find(|change| change.attribute == attribute)?;
            Some(change.values.as_ref()?.first().to_string())
        };
        has.or_else(gets).filter(|name| *name != key)
    });
    match human {
        Some(human) if key.is_empty() => human,
        Some(human) => format!("{human} [{key}]"),
        None => key,
    }
}

pub(crate) fn operation(operation: Operation) -> &'static str {
    match operation {
        Operation::Add => "add",
        Operation::Update => "update",
        Operation::Delete => "delete",
    }
}

pub(crate) fn state(state: ChangeState, held: bool, unwritable: bool) -> &'static str {
    match state {
        _ if unwritable => "cannot be written",
        _ if held => "held",
        ChangeState::Pending => "pending",
        ChangeState::Sending => "sending",
        ChangeState::Sent => "sent",
        ChangeState::Refused => "refused",
    }
}

/// What an export changes, in a line.
pub(crate) fn describe_export(runtime: &Runtime, row: &ExportRow) -> String {
    match row.operation {
        Operation::Delete => "delete".to_owned(),
        Operation::Add | Operation::Update => {
            let parts: Vec<String> = row
                .changes
                .iter()
                .map(|change| {
                    let name = runtime.names.name(change.attribute);
                    match &change.values {
                        None => format!("{name} emptied"),
                        Some(values) => {
                            let shown: Vec<String> = values
                                .as_slice()
                                .iter()
                                .take(SHOWN_MAX)
                                .map(|v| shorten(&v.to_string()))
                                .collect();
                            let more = if values.as_slice().len() > SHOWN_MAX { ", ..." } else { "" };
                            format!("{name} = {}{more}", shown.join(", "))
                        }
                    }
                })
                .collect();
            parts.join("; ")
        }
    }
}

fn shorten(text: &str) -> String {
    let mut out: String = text.chars().take(SHOWN_CHARS).collect();
    if out.len() < text.len() {
        out.push_str("...");
    }
    out
}
