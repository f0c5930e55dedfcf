//! Rules, flows and places as people see them, made of the engine's notes.

use std::cell::RefCell;
use std::collections::BTreeMap;

use onesync_engine::{ContainerNames, CsRow, Fate, Gave, JoinStep, MvRow, Note, Reader, Subject, Tried};
use onesync_expr::Outcome;
use onesync_model::{AttrId, CsId, MvId, RuleId, Values, ValuesRef, values_to_json};
use onesync_rules::{Direction, Flow, FlowSource, Rule, ScopeTrace};
use serde::Serialize;
use serde_json::Value as Json;

use super::clause::ClauseView;
use crate::error::ServiceError;
use crate::look::{cs_state, mv_name, mv_state};
use crate::runtime::Runtime;

/// An object in a line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ObjectLine {
    /// `cs:NUMBER`, or the metaverse object's id.
    pub id: String,
    /// The connector; empty for a metaverse object.
    pub connector: String,
    /// The object type.
    pub object_type: String,
    /// Its name; its DN where it has one.
    pub name: String,
    /// `joined`, `disconnector`, ...
    pub state: String,
}

/// One rule, and whether the object is in its scope.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RuleView {
    /// Its name.
    pub rule: String,
    /// Its precedence.
    pub precedence: i32,
    /// `provision`, `join`, `sticky-join`.
    pub link: String,
    /// Whether the object is in scope; nothing where a clause failed.
    pub in_scope: Option<bool>,
    /// The groups of the scope: all clauses of one group, of any group; none: all objects.
    pub groups: Vec<Vec<ClauseView>>,
}

/// Where an object belongs, and how that was found.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct PlaceView {
    /// `joined`, `joins`, `creates`, `refused`, `none`, `undecided`.
    pub result: String,
    /// The same in words.
    pub text: String,
    /// What was tried, in this order.
    pub steps: Vec<PlaceStep>,
}

/// One step on the way to a place.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PlaceStep {
    /// The rule.
    pub rule: Option<String>,
    /// The join group, from 1 on.
    pub group: Option<usize>,
    /// Its conditions with the values of the object that looks for its place.
    pub conditions: Vec<String>,
    /// A stable word: `no-match`, `no-value`, `several`, `rivals`, `taken`, `not-allowed`, `refused`, `joined`,
    /// `created`, `nothing-to-join-by`, `no-provision`, `undecided`.
    pub result: &'static str,
    /// What was found.
    pub text: String,
}

/// A metaverse object before and after.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct MetaverseView {
    /// The object.
    pub object: ObjectLine,
    /// `new`, `stays`, `leaves`, `goes`, `comes back`.
    pub change: &'static str,
    /// Its attributes.
    pub attributes: Vec<AttributeView>,
}

/// One attribute: what it was, what it will be, and who competes for it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AttributeView {
    /// Its name.
    pub attribute: String,
    /// The value before.
    pub before: Json,
    /// The value after.
    pub after: Json,
    /// Whether the value stays because a flow failed or all said IgnoreThisFlow.
    pub kept: bool,
    /// At a target: `same`, `changes`, `read-only`, `never emptied`, `link by link`; nothing where nothing is wanted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub planned: Option<&'static str>,
    /// The contributors in the order in which they win.
    pub candidates: Vec<CandidateView>,
}

/// One contributor of an attribute.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CandidateView {
    /// The rule.
    pub rule: String,
    /// Its precedence.
    pub precedence: i32,
    /// The source object: connector and name; nothing for an outbound flow.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// The flow as it is written.
    pub flow: String,
    /// The attributes that it reads, with their values.
    pub reads: BTreeMap<String, Json>,
    /// What it gives.
    pub gives: Json,
    /// `wins`, `merged`, `nothing`, `ignored`, `authoritative-null`, `lost`, `failed`, `raised`.
    pub result: &'static str,
    /// Why, in words.
    pub reason: String,
}

/// A change that is owed to a target.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PendingChange {
    /// `add`, `update`, `delete`.
    pub operation: &'static str,
    /// As `pending` says it.
    pub state: &'static str,
    /// As what it counts for the protections: `deletion`, `disabling`, `emptied attribute`, `adoption`.
    pub counts_as: Vec<&'static str>,
    /// Attributes.
    pub values: Vec<PendingValue>,
    /// Why it was refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// One attribute of a pending change.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PendingValue {
    /// The attribute.
    pub attribute: String,
    /// What the directory has, as far as we know.
    pub before: Json,
    /// What it will have.
    pub after: Json,
    /// The rule.
    pub rule: Option<String>,
    /// `pending`, `sent`, ...
    pub state: &'static str,
    /// Why it was refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// One link value that is owed to a target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PendingLink {
    /// The object whose attribute it is.
    pub object: String,
    /// The attribute.
    pub attribute: String,
    /// `add`, `remove`.
    pub operation: &'static str,
    /// The object it points to.
    pub target: String,
    /// As `pending` says it.
    pub state: &'static str,
    /// Why it waits or was refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// Makes views of notes and rows.
pub(crate) struct Words<'a> {
    pub(crate) runtime: &'a Runtime,
    reader: &'a dyn Reader,
    /// The state before, for objects that are gone after.
    before: &'a dyn Reader,
    rows: RefCell<BTreeMap<CsId, Option<CsRow>>>,
    containers: RefCell<ContainerNames>,
}

impl<'a> Words<'a> {
    pub(crate) fn new(runtime: &'a Runtime, reader: &'a dyn Reader, before: &'a dyn Reader) -> Self {
        Self { runtime, reader, before, rows: RefCell::default(), containers: RefCell::default() }
    }

    pub(crate) fn attribute(&self, id: AttrId) -> String {
        self.runtime.names.name(id).to_owned()
    }

    pub(crate) fn connector(&self, id: onesync_model::ConnectorId) -> String {
        self.runtime.connector_by_id(id).map(|c| c.name().to_owned()).unwrap_or_default()
    }

    pub(crate) fn rule(&self, id: RuleId) -> Option<&'a Rule> {
        self.runtime.rules.rule(id)
    }

    pub(crate) fn object(&self, row: &CsRow) -> Result<ObjectLine, ServiceError> {
        let dn = self.containers.borrow_mut().dn(self.reader, &row.name, row.container)?;
        Ok(ObjectLine {
            id: format!("cs:{}", row.id),
            connector: self.connector(row.connector),
            object_type: self.runtime.names.type_name(row.object_type).to_owned(),
            name: dn,
            state: cs_state(row),
        })
    }

    pub(crate) fn mv(&self, row: &MvRow) -> ObjectLine {
        ObjectLine {
            id: row.guid.to_string(),
            connector: String::new(),
            object_type: self.runtime.names.type_name(row.object_type).to_owned(),
            name: mv_name(self.runtime, row),
            state: mv_state(row),
        }
    }

    /// An object's row.
    pub(crate) fn row(&self, id: CsId) -> Result<Option<CsRow>, ServiceError> {
        if let Some(known) = self.rows.borrow().get(&id) {
            return Ok(known.clone());
        }
        let mut row = self.reader.cs_by_id(&[id])?.into_iter().next();
        if row.is_none() {
            row = self.before.cs_by_id(&[id])?.into_iter().next();
        }
        self.rows.borrow_mut().insert(id, row.clone());
        Ok(row)
    }

    /// `connector: name` of an object.
    pub(crate) fn label(&self, id: CsId) -> Result<String, ServiceError> {
        self.row(id)?.map_or_else(|| Ok(format!("cs:{id}")), |row| self.label_of(&row))
    }

    pub(crate) fn label_of(&self, row: &CsRow) -> Result<String, ServiceError> {
        let line = self.object(row)?;
        Ok(format!("{}: {}", line.connector, line.name))
    }

    fn subject(&self, subject: Subject) -> Result<String, ServiceError> {
        Ok(match subject {
            Subject::Cs(id) => format!("`{}` (cs:{id})", self.label(id)?),
            Subject::Mv(id) => match self.reader.mv_by_id(&[id])?.first() {
                Some(row) => format!("`{}` ({})", mv_name(self.runtime, row), row.guid),
                None => "an object that is gone".to_owned(),
            },
        })
    }

    /// The rules that were asked about an object, each once, in the order in which they win.
    pub(crate) fn rules(
        &self,
        notes: &[Note],
        about: Subject,
        at: Option<onesync_model::ConnectorId>,
    ) -> Result<Vec<RuleView>, ServiceError> {
        let mut last: BTreeMap<u32, (&Rule, &ScopeTrace)> = BTreeMap::new();
        for note in notes {
            if let Note::Scope { of, rule, connector, asked } = note
                && *of == about
                && at.is_none_or(|at| at == *connector)
                && let Some(rule) = self.rule(*rule)
            {
                last.insert(rule.order, (rule, asked));
            }
        }
        last.into_values().map(|(rule, asked)| self.rule_view(rule, asked)).collect()
    }

    fn rule_view(&self, rule: &Rule, asked: &ScopeTrace) -> Result<RuleView, ServiceError> {
        let link = match rule.link {
            onesync_rules::LinkType::Provision => "provision",
            onesync_rules::LinkType::Join => "join",
            onesync_rules::LinkType::StickyJoin => "sticky-join",
        };
        let connector = self.runtime.connector_by_id(rule.connector);
        let clause = |clause| ClauseView::new(self.reader, connector, clause);
        let groups = asked.groups.iter().map(|group| group.iter().map(clause).collect());
        Ok(RuleView {
            rule: rule.name.clone(),
            precedence: rule.precedence,
            link: link.to_owned(),
            in_scope: asked.holds().ok(),
            groups: groups.collect::<Result<_, ServiceError>>()?,
        })
    }

    /// The steps on the way to a place.
    pub(crate) fn steps(
        &self,
        notes: &[Note],
        about: Subject,
        at: onesync_model::ConnectorId,
    ) -> Result<Vec<PlaceStep>, ServiceError> {
        let mut out: Vec<PlaceStep> = Vec::new();
        for note in notes {
            if let Note::Join { of, connector, rule, group, step } = note
                && (*of, *connector) == (about, at)
            {
                let rule = rule.and_then(|id| self.rule(id));
                let (result, text) = self.step(step, rule)?;
                let conditions = rule
                    .and_then(|rule| rule.join.get((*group)?))
                    .map(|group| group.conditions.iter().map(|c| self.condition(c)).collect())
                    .unwrap_or_default();
                let view = PlaceStep {
                    rule: rule.map(|rule| rule.name.clone()),
                    group: group.map(|index| index + 1),
                    conditions,
                    result,
                    text,
                };
                if !out.contains(&view) {
                    out.push(view);
                }
            }
        }
        Ok(out)
    }

    fn condition(&self, condition: &onesync_rules::JoinCondition) -> String {
        let (cs, mv) = (self.attribute(condition.connector), self.attribute(condition.metaverse));
        format!("{cs} = {mv}")
    }

    fn step(&self, step: &JoinStep, rule: Option<&Rule>) -> Result<(&'static str, String), ServiceError> {
        let inbound = rule.is_none_or(|rule| rule.direction == Direction::Inbound);
        let there = if inbound { "metaverse object" } else { "object there" };
        let all = |ids: &[CsId]| -> Result<String, ServiceError> {
            let named = ids.iter().take(3).map(|&id| self.subject(Subject::Cs(id)));
            let more = if ids.len() > 3 { format!(" and {} more", ids.len() - 3) } else { String::new() };
            Ok(format!("{}{more}", named.collect::<Result<Vec<_>, _>>()?.join(", ")))
        };
        Ok(match step {
            JoinStep::NotAllowed => (
                "not-allowed",
                "objects there are not found by this: only by the source anchor, and by what `adopt_by` names while it is known who is protected".to_owned(),
            ),
            JoinStep::NoValue => ("no-value", "the object has no value to compare".to_owned()),
            JoinStep::NoMatch => ("no-match", format!("no {there} matches")),
            JoinStep::Several(found) => {
                let named = found.iter().take(3).map(|&one| self.subject(one)).collect::<Result<Vec<_>, _>>()?;
                let then = if inbound { "the next group is tried" } else { "none is taken" };
                ("several", format!("{} match ({}): {then}", found.len(), named.join(", ")))
            }
            JoinStep::Rivals(rivals) => {
                ("rivals", format!("{} want the same place: none gets it", all(rivals)?))
            }
            JoinStep::Taken(holder) => {
                ("taken", format!("the metaverse object that matches is held by {}", self.subject(Subject::Cs(*holder))?))
            }
            JoinStep::Refused(found, why) => ("refused", format!("{} matches, but {why}", all(found)?)),
            JoinStep::Joined(found) => ("joined", format!("joins {}", self.subject(*found)?)),
            JoinStep::Created => ("created", "a new object is made for it".to_owned()),
            JoinStep::NothingToJoinBy => (
                "nothing-to-join-by",
                "the rule makes a new object only for what has a value in one of its join attributes, and this has none".to_owned(),
            ),
            JoinStep::NoProvision => {
                ("no-provision", "no rule in scope makes a new object (link = \"provision\")".to_owned())
            }
            JoinStep::Undecided => (
                "undecided",
                "no place is looked for: the object is protected, or the scope of a rule could not be told".to_owned(),
            ),
        })
    }

    /// The last decision about each attribute of an object.
    pub(crate) fn flows<'n>(
        &self,
        notes: &'n [Note],
        about: Subject,
    ) -> BTreeMap<AttrId, (&'n [Tried], bool)> {
        let mut out = BTreeMap::new();
        for note in notes {
            if let Note::Flow { of, attribute, candidates, kept } = note
                && *of == about
            {
                out.insert(*attribute, (candidates.as_slice(), *kept));
            }
        }
        out
    }

    /// The contributors of an attribute; `mv` is the object that outbound flows read.
    pub(crate) fn candidates(
        &self,
        attribute: AttrId,
        tried: &[Tried],
        mv: Option<&MvRow>,
    ) -> Result<Vec<CandidateView>, ServiceError> {
        let mut out = Vec::new();
        let decided = tried.iter().rfind(|one| one.reached).and_then(|one| self.rule(one.rule));
        for one in tried {
            let Some(rule) = self.rule(one.rule) else { continue };
            let flow = rule.flow(attribute);
            let source = one.source.map(|id| self.label(id)).transpose()?;
            let (mut gives, nothing) = gives(&one.gave);
            if let (Json::Array(names), true) = (&mut gives, flow.is_some_and(Flow::chooses)) {
                cut(names);
            }
            let merges = flow.is_some_and(|flow| flow.merge.takes_all());
            let (result, reason) = verdict(one, rule, decided, merges, nothing);
            let mut reads = BTreeMap::new();
            let row = one.source.map(|id| self.row(id)).transpose()?.flatten();
            for input in flow.into_iter().flat_map(Flow::attributes) {
                let value = match (&row, mv) {
                    (Some(row), _) => match row.link_count(input) {
                        0 => json(row.image.as_ref().get(input)),
                        count if flow.is_some_and(|flow| looks_at(flow, input)) => {
                            self.named(row, input, count)?
                        }
                        count => links(count),
                    },
                    (None, Some(mv)) if mv.picks.iter().any(|pick| pick.attribute == input) => {
                        links(self.reader.mv_link_count(mv.id, input)?)
                    }
                    (None, Some(mv)) => json(mv.values.as_ref().get(input)),
                    (None, None) => Json::Null,
                };
                reads.insert(self.attribute(input), value);
            }
            let flow = flow.map(|flow| self.written(flow)).unwrap_or_default();
            out.push(CandidateView {
                reads,
                rule: rule.name.clone(),
                precedence: rule.precedence,
                source,
                flow,
                gives,
                result,
                reason,
            });
        }
        Ok(out)
    }

    /// Links at whose names a flow looks: the first of them.
    fn named(&self, row: &CsRow, attribute: AttrId, count: u64) -> Result<Json, ServiceError> {
        let names = onesync_engine::link_names(self.reader, row, attribute, NAMES_SHOWN + 1)?;
        let unnamed = count.saturating_sub(names.len() as u64);
        let more = (names.len() <= NAMES_SHOWN && unnamed > 0).then(|| {
            Json::String(format!("{unnamed} of {count} without a name: what they point at is not known here"))
        });
        let mut shown: Vec<Json> = names.into_iter().map(Json::String).chain(more).collect();
        cut(&mut shown);
        Ok(Json::Array(shown))
    }

    /// A flow as it is written.
    fn written(&self, flow: &Flow) -> String {
        let once = if flow.once { " (once)" } else { "" };
        let text = match &flow.source {
            FlowSource::Direct(id) => format!("[{}]", self.attribute(*id)),
            FlowSource::Constant(values) => values_to_json(values).to_string(),
            FlowSource::Expression(program) => program.text().to_owned(),
            FlowSource::Link(link) => link
                .guard
                .as_ref()
                .map_or_else(|| format!("[{}]", self.attribute(link.source)), |g| g.text().to_owned()),
        };
        format!("{text}{once}")
    }

    /// What became of wanted values at a target.
    pub(crate) fn planned(
        &self,
        notes: &[Note],
        about: CsId,
    ) -> BTreeMap<AttrId, (Option<Values>, &'static str)> {
        let mut out = BTreeMap::new();
        for note in notes {
            if let Note::Planned { of, attribute, values, fate } = note
                && *of == about
            {
                let word = match fate {
                    Fate::Same => "same",
                    Fate::Changes => "changes",
                    Fate::ReadOnly => "read-only",
                    Fate::NeverEmpty => "never emptied",
                };
                out.insert(*attribute, (values.clone(), word));
            }
        }
        out
    }
}

pub(crate) fn links(count: u64) -> Json {
    if count == 0 { Json::Null } else { Json::String(format!("{count} links")) }
}

/// Names of links that are shown at most.
const NAMES_SHOWN: usize = 10;

fn looks_at(flow: &Flow, attribute: AttrId) -> bool {
    flow.program().is_some_and(|program| program.link_names().contains(&attribute))
}

fn cut(names: &mut Vec<Json>) {
    if names.len() > NAMES_SHOWN {
        let more = names.len() - NAMES_SHOWN;
        names.truncate(NAMES_SHOWN);
        names.push(Json::String(format!("and {more} more")));
    }
}

pub(crate) fn json(values: Option<ValuesRef<'_>>) -> Json {
    values.and_then(ValuesRef::to_values).as_ref().map_or(Json::Null, values_to_json)
}

pub(crate) fn json_of(values: Option<&Values>) -> Json {
    values.map_or(Json::Null, values_to_json)
}

/// A metaverse object by its row, where there is one.
pub(crate) fn mv_row(reader: &dyn Reader, id: MvId) -> Result<Option<MvRow>, ServiceError> {
    Ok(reader.mv_by_id(&[id])?.into_iter().next())
}

/// What a flow gave as JSON, and the word for nothing.
fn gives(gave: &Gave) -> (Json, Option<&'static str>) {
    match gave {
        Gave::Outcome(Outcome::Values(values)) | Gave::Once(values) => (values_to_json(values), None),
        Gave::Outcome(Outcome::Null) => (Json::Null, Some("nothing")),
        Gave::Outcome(Outcome::AuthoritativeNull) => {
            (serde_json::json!({"$literal": "AuthoritativeNull"}), Some("authoritative-null"))
        }
        Gave::Outcome(Outcome::IgnoreThisFlow) => {
            (serde_json::json!({"$literal": "IgnoreThisFlow"}), Some("ignored"))
        }
        Gave::Outcome(Outcome::Link(_)) => (Json::String("its links".to_owned()), None),
        Gave::Failed(message) | Gave::Raised(message) => (serde_json::json!({"$error": message}), None),
    }
}

fn verdict(
    one: &Tried,
    rule: &Rule,
    decided: Option<&Rule>,
    merges: bool,
    nothing: Option<&'static str>,
) -> (&'static str, String) {
    if !one.reached {
        let by = decided.map_or("", |rule| rule.name.as_str());
        let why = match decided {
            Some(by) if by.id == rule.id => {
                "the same rule decided it for another object of the connector, which comes first by its anchor".to_owned()
            }
            Some(by) if by.precedence == rule.precedence => {
                format!("rule `{}` has the same precedence, and its connector the smaller rank", by.name)
            }
            Some(winner) => format!("rule `{by}` has the smaller precedence ({}) and decided it", winner.precedence),
            None => "a rule before it decided".to_owned(),
        };
        return ("lost", why);
    }
    match (&one.gave, nothing) {
        (Gave::Raised(_), _) => ("raised", "Error() was called: nothing of this object changes".to_owned()),
        (Gave::Failed(_), _) => {
            ("failed", "the attribute stays as it was; no other rule takes its place".to_owned())
        }
        (_, Some("nothing")) => ("nothing", "it gives NULL: the next rule is asked".to_owned()),
        (_, Some("ignored")) => {
            ("ignored", "it says IgnoreThisFlow: as if the flow were not there".to_owned())
        }
        (_, Some(word)) => {
            (word, "it says AuthoritativeNull: the attribute has no value, nobody else is asked".to_owned())
        }
        (Gave::Once(_), None) => ("wins", "the value was applied once and stays".to_owned()),
        (_, None) if one.wins && merges => ("merged", "all rules that merge give their values".to_owned()),
        (_, None) if one.wins => ("wins", "the first rule that gives a value".to_owned()),
        (_, None) => ("nothing", "there are no links".to_owned()),
    }
}
