//! What only shows when all rules are seen together: equal precedence, contradicting merges, flows that can never
//! win, rules that can never apply, joins that depend on the order of connectors.

use std::collections::{BTreeMap, BTreeSet};

use onesync_model::{AttrId, ConnectorId, Names, TypeId};

use crate::Operator;
use crate::diagnostic::{Place, Sink};
use crate::reader::RuleText;
use crate::{ConnectorInfo, Direction, Flow, FlowSource, LinkType, Rule};

/// Checks compiled rules, each with the file it came from, against each other.
pub(crate) fn across_rules(
    rules: &[(Rule, usize)],
    texts: &[RuleText],
    connectors: &[ConnectorInfo],
    names: &Names,
    sink: &mut Sink<'_>,
) {
    let texts = texts.iter().map(|text| (text.file, text)).collect();
    let mut ordered: Vec<&Rule> = rules.iter().map(|(rule, _)| rule).collect();
    ordered.sort_by_key(|r| (r.direction, r.precedence, r.connector, r.object));
    let mut check = Check { rules: ordered, texts, connectors, names, sink };
    check.ranks();
    check.names_and_precedence();
    check.merges();
    check.losing_flows();
    check.unreachable();
    check.joins();
    check.sources();
}

/// Constant flows to one attribute that later ones are compared with; more are a test of ours, not a configuration.
const CONSTANTS_MAX: usize = 16;

struct Check<'a, 'f> {
    /// In the order in which they win, connectors apart.
    rules: Vec<&'a Rule>,
    texts: BTreeMap<usize, &'a RuleText>,
    connectors: &'a [ConnectorInfo],
    names: &'a Names,
    sink: &'a mut Sink<'f>,
}

/// Where flows compete: inbound in a metaverse type, outbound in an object type of a connector.
type Arena = (Direction, Option<ConnectorId>, TypeId);

impl<'a> Check<'a, '_> {
    fn ranks(&mut self) {
        let mut seen: BTreeMap<u32, &str> = BTreeMap::new();
        for connector in self.connectors {
            let Some(other) = seen.insert(connector.rank, &connector.name) else { continue };
            let place = Place { file: 0, span: 0..0 };
            self.sink
                .error(
                    &place,
                    format!(
                        "connectors `{other}` and `{}` have one rank, {}",
                        connector.name, connector.rank
                    ),
                )
                .hint("give each connector a rank of its own: it decides between rules of one precedence");
        }
    }

    fn names_and_precedence(&mut self) {
        let mut by_name: BTreeMap<(ConnectorId, &str), &Rule> = BTreeMap::new();
        let mut by_precedence = BTreeMap::new();
        for rule in self.rules.clone() {
            let Some(text) = self.texts.get(&rule.file).copied() else { continue };
            if let Some(other) = by_name.insert((rule.connector, &rule.name), rule)
                && other.file != rule.file
            {
                self.sink
                    .error(&text.name.place, format!("two rules are named `{}`", rule.name))
                    .hint("people and history find a rule by its name: give each its own");
                self.relate(other, |text| &text.name.place, "the other one");
            }
            let pair = (rule.connector, rule.direction, rule.object, rule.metaverse, rule.precedence);
            if let Some(other) = by_precedence.insert(pair, rule) {
                self.sink
                    .error(
                        &text.precedence.place,
                        format!(
                            "`{}` and `{}` have one precedence, {}, for the same connector and object types",
                            other.name, rule.name, rule.precedence
                        ),
                    )
                    .hint("which of them wins would be chance: give each its own precedence");
                self.relate(other, |text| &text.precedence.place, "the other one");
            }
        }
    }

    fn merges(&mut self) {
        let mut first: BTreeMap<(Arena, AttrId), (&Rule, &Flow)> = BTreeMap::new();
        for rule in self.rules.clone() {
            let Some(arena) = arena(rule) else { continue };
            for flow in &rule.flows {
                let &mut (other_rule, other) = first.entry((arena, flow.target)).or_insert((rule, flow));
                let same = other.merge == flow.merge || !(other.merge.takes_all() || flow.merge.takes_all());
                if same {
                    continue;
                }
                let name = self.names.name(flow.target);
                let message = format!(
                    "`{name}` is merged as {:?} here and as {:?} by rule `{}`",
                    flow.merge, other.merge, other_rule.name
                );
                if let Some(place) = self.flow_place(rule, flow.target) {
                    self.sink.error(&place, message).hint("all flows to one attribute need one merge type");
                    if let Some(place) = self.flow_place(other_rule, flow.target) {
                        self.sink.relate(&place, "merged differently");
                    }
                }
            }
        }
    }

    /// A flow behind a constant of the same objects never gives its value.
    fn losing_flows(&mut self) {
        let mut constants: BTreeMap<_, Vec<&Rule>> = BTreeMap::new();
        for rule in self.rules.clone() {
            for flow in &rule.flows {
                let key = (rule.direction, rule.connector, rule.object, rule.metaverse, flow.target);
                let before = constants.entry(key).or_default();
                let winner = before
                    .iter()
                    .filter(|earlier| earlier.precedence < rule.precedence)
                    .find(|earlier| earlier.scope.is_all() || earlier.scope == rule.scope)
                    .copied();
                if always_present(flow) && before.len() < CONSTANTS_MAX {
                    before.push(rule);
                }
                let (Some(winner), Some(place)) = (winner, self.flow_place(rule, flow.target)) else {
                    continue;
                };
                let name = self.names.name(flow.target);
                let message = format!(
                    "this flow to `{name}` can never win: rule `{}` always gives a value",
                    winner.name
                );
                self.sink
                    .warning(&place, message)
                    .hint("remove it, or give this rule the smaller precedence");
                if let Some(place) = self.flow_place(winner, flow.target) {
                    self.sink.relate(&place, "always a value");
                }
            }
        }
    }

    fn unreachable(&mut self) {
        // A link made inbound serves the outbound rules of the same object type, and the reverse.
        let linking: BTreeSet<_> = self
            .rules
            .iter()
            .filter(|rule| rule.link == LinkType::Provision || !rule.join.is_empty())
            .map(|rule| (rule.connector, rule.object))
            .collect();
        for rule in self.rules.clone() {
            let Some(text) = self.texts.get(&rule.file).copied() else { continue };
            if !linking.contains(&(rule.connector, rule.object)) {
                let object = self.names.type_name(rule.object);
                self.sink.warning(&text.name.place, format!("rule `{}` can never apply", rule.name)).hint(
                    format!("no rule joins or provisions `{object}` of this connector: add one that does"),
                );
            }
            if rule.link == LinkType::StickyJoin && rule.join.is_empty() {
                self.sink
                    .warning(&text.link.place, "a sticky join without join conditions holds nothing")
                    .hint("add [[join]], or write link = \"join\"");
            }
            for (group, clauses) in text.scope.iter().enumerate() {
                let has = |operator, attribute: &str| {
                    clauses
                        .iter()
                        .any(|c| c.operator == operator && c.attribute.value.eq_ignore_ascii_case(attribute))
                };
                let never = clauses.iter().find(|clause| {
                    let name = &clause.attribute.value;
                    clause.operator == Operator::IsNull
                        && [Operator::IsNotNull, Operator::Equal, Operator::IsIn, Operator::StartsWith]
                            .iter()
                            .any(|&operator| has(operator, name))
                });
                if let Some(clause) = never {
                    self.sink
                        .warning(
                            &clause.place,
                            format!(
                                "group {} of the scope can never hold: it asks `{}` to be absent and present",
                                group + 1,
                                clause.attribute.value
                            ),
                        )
                        .hint("clauses of one group must all hold: write a second [[scope]] for either-or");
                }
            }
        }
    }

    /// A join between several connectors that only one side can find depends on who comes first.
    fn joins(&mut self) {
        let inbound = || self.rules.iter().copied().filter(|rule| rule.direction == Direction::Inbound);
        let mut found = Vec::new();
        for rule in inbound() {
            let Some(mv_type) = rule.metaverse else { continue };
            let provisions_elsewhere = inbound().any(|other| {
                other.connector != rule.connector
                    && other.metaverse == Some(mv_type)
                    && other.link == LinkType::Provision
            });
            if rule.link != LinkType::Provision || !provisions_elsewhere {
                continue;
            }
            for condition in rule.join.iter().flat_map(|group| &group.conditions) {
                let same = condition.connector == condition.metaverse;
                let mirrored = rule.join.iter().flat_map(|group| &group.conditions).any(|other| {
                    other.connector == condition.metaverse && other.metaverse == condition.connector
                });
                let fed = inbound().any(|other| {
                    (other.connector, other.object, other.metaverse)
                        == (rule.connector, rule.object, rule.metaverse)
                        && other.flow(condition.metaverse).is_some_and(|flow| {
                            flow.attributes().any(|attribute| attribute == condition.connector)
                        })
                });
                if !same && !mirrored && !fed {
                    found.push((rule, *condition));
                }
            }
        }
        for (rule, condition) in found {
            let Some(text) = self.texts.get(&rule.file).copied() else { continue };
            let written = text.join.iter().flatten().find(|c| {
                self.names.find(&c.connector.value) == Some(condition.connector)
                    && self.names.find(&c.metaverse.value) == Some(condition.metaverse)
            });
            let Some(written) = written else { continue };
            let (cs, mv) = (self.names.name(condition.connector), self.names.name(condition.metaverse));
            self.sink
                .note(
                    &written.connector.place,
                    format!("`{cs}` finds `{mv}`, but not the reverse: what joins depends on the order of connectors"),
                )
                .hint(format!("flow `{cs}` to `{mv}`, or add a group that joins `{mv}` to `{cs}`"));
        }
    }

    /// Metaverse attributes that outbound flows read and nothing fills.
    fn sources(&mut self) {
        let filled: BTreeSet<(TypeId, AttrId)> = self
            .rules
            .iter()
            .filter(|rule| rule.direction == Direction::Inbound)
            .filter_map(|rule| rule.metaverse.map(|mv_type| (mv_type, rule)))
            .flat_map(|(mv_type, rule)| rule.flows.iter().map(move |flow| (mv_type, flow.target)))
            .collect();
        for rule in self.rules.clone() {
            let (Direction::Outbound, Some(mv_type)) = (rule.direction, rule.metaverse) else { continue };
            for flow in &rule.flows {
                let mut attributes = flow.attributes().peekable();
                let fed = attributes.peek().is_none() || attributes.any(|id| filled.contains(&(mv_type, id)));
                if fed {
                    continue;
                }
                if let Some(place) = self.flow_place(rule, flow.target) {
                    let sources: Vec<_> = flow.attributes().map(|id| self.names.name(id)).collect();
                    let message = format!(
                        "nothing fills `{}` in the metaverse: this flow has no source",
                        sources.join("`, `")
                    );
                    self.sink.note(&place, message).hint("add an inbound flow, or remove this one");
                }
            }
        }
    }

    fn flow_place(&self, rule: &Rule, target: AttrId) -> Option<Place> {
        let text = self.texts.get(&rule.file)?;
        let flow = text.flows.iter().find(|flow| self.names.find(&flow.target.value) == Some(target))?;
        Some(flow.target.place.clone())
    }

    fn relate(&mut self, rule: &Rule, place: fn(&RuleText) -> &Place, message: &str) {
        if let Some(text) = self.texts.get(&rule.file) {
            let place = place(text).clone();
            self.sink.relate(&place, message);
        }
    }
}

fn arena(rule: &Rule) -> Option<Arena> {
    match rule.direction {
        Direction::Inbound => rule.metaverse.map(|mv_type| (Direction::Inbound, None, mv_type)),
        Direction::Outbound => Some((Direction::Outbound, Some(rule.connector), rule.object)),
    }
}

/// Whether a flow gives a value for every object.
fn always_present(flow: &Flow) -> bool {
    !flow.merge.takes_all() && matches!(flow.source, FlowSource::Constant(_))
}
