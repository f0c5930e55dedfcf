//! The compiled rules of one configuration, with the lookups that the engine needs.

use std::collections::BTreeMap;

use onesync_expr::Program;
use onesync_model::{AttrId, ConnectorId, RuleId, Schema, TypeId};

use crate::scope::substitute_with;
use crate::{Direction, Flow, FlowSource, GroupsAsked, Rule};

/// What rules need to know about a configured connector.
#[derive(Clone, Debug)]
pub struct ConnectorInfo {
    /// Its id.
    pub id: ConnectorId,
    /// Its name in configuration.
    pub name: String,
    /// Its kind (`ad`, `graph`, ...), for rules with `connector = "kind:..."`.
    pub kind: String,
    /// Decides between rules of one precedence: the smaller wins. Unique.
    pub rank: u32,
    /// What its directory can hold. Without object types: not known yet, attributes are not checked.
    pub schema: Schema,
    /// Values for `%Name%` in rules.
    pub parameters: BTreeMap<String, String>,
}

/// Compiled rules: immutable, in the order in which they win.
#[derive(Clone, Debug, Default)]
pub struct RuleSet {
    rules: Vec<Rule>,
    by_id: BTreeMap<RuleId, usize>,
    inbound: BTreeMap<(ConnectorId, TypeId), Vec<usize>>,
    outbound: BTreeMap<TypeId, Vec<(ConnectorId, Vec<usize>)>>,
    links: BTreeMap<(TypeId, ConnectorId), LinksAsked>,
    flows_in: BTreeMap<(ConnectorId, TypeId), FlowOrder>,
    flows_out: BTreeMap<(TypeId, ConnectorId), FlowOrder>,
    join_cs: BTreeMap<ConnectorId, Vec<AttrId>>,
    join_mv: Vec<AttrId>,
    parameters: BTreeMap<ConnectorId, BTreeMap<String, String>>,
    connectors: Vec<ConnectorId>,
    groups: BTreeMap<ConnectorId, GroupsAsked>,
    link_names: BTreeMap<ConnectorId, BTreeMap<TypeId, Vec<AttrId>>>,
}

impl RuleSet {
    /// Orders rules and builds the lookups.
    pub(crate) fn new(mut rules: Vec<Rule>, connectors: &[ConnectorInfo]) -> Self {
        let rank: BTreeMap<ConnectorId, u32> = connectors.iter().map(|c| (c.id, c.rank)).collect();
        rules.sort_by(|a, b| {
            let key = |r: &Rule| {
                (r.direction, r.precedence, rank.get(&r.connector).copied(), r.connector, r.object)
            };
            key(a).cmp(&key(b)).then_with(|| a.name.cmp(&b.name))
        });
        let mut ordered: Vec<_> = connectors.iter().collect();
        ordered.sort_by_key(|c| (c.rank, c.id));
        let connectors: Vec<ConnectorId> = ordered.iter().map(|c| c.id).collect();
        let parameters = ordered.iter().map(|c| (c.id, c.parameters.clone())).collect();
        let mut set = Self { connectors, parameters, ..Self::default() };
        let mut outbound: BTreeMap<(TypeId, ConnectorId), Vec<usize>> = BTreeMap::new();
        for (index, rule) in rules.iter_mut().enumerate() {
            rule.order = u32::try_from(index).unwrap_or(u32::MAX);
            set.by_id.insert(rule.id, index);
            match (rule.direction, rule.metaverse) {
                (Direction::Inbound, _) => {
                    if rule.scope.groups_asked().next().is_some() {
                        let parameters = set.parameters.get(&rule.connector);
                        let parameter = |name: &str| parameters?.get(name).map(String::as_str);
                        let asked = set.groups.entry(rule.connector).or_default();
                        asked.add(rule.object, &rule.scope, parameter);
                    }
                    let programs = rule.flows.iter().filter_map(Flow::program);
                    let named: Vec<AttrId> = programs.flat_map(Program::link_names).copied().collect();
                    if !named.is_empty() {
                        let by_type = set.link_names.entry(rule.connector).or_default();
                        by_type.entry(rule.object).or_default().extend(named);
                    }
                    set.inbound.entry((rule.connector, rule.object)).or_default().push(index);
                }
                (Direction::Outbound, Some(mv_type)) => {
                    outbound.entry((mv_type, rule.connector)).or_default().push(index);
                }
                (Direction::Outbound, None) => {} // refused when compiled
            }
            for condition in rule.join.iter().flat_map(|group| &group.conditions) {
                set.join_cs.entry(rule.connector).or_default().push(condition.connector);
                set.join_mv.push(condition.metaverse);
            }
        }
        let named = set.link_names.values_mut().flat_map(BTreeMap::values_mut);
        for list in set.join_cs.values_mut().chain([&mut set.join_mv]).chain(named) {
            list.sort_unstable();
            list.dedup();
        }
        for ((mv_type, connector), indices) in outbound {
            let asked = LinksAsked::new(indices.iter().filter_map(|&index| rules.get(index)));
            set.links.insert((mv_type, connector), asked);
            set.outbound.entry(mv_type).or_default().push((connector, indices));
        }
        for by_connector in set.outbound.values_mut() {
            by_connector.sort_by_key(|(connector, _)| (rank.get(connector).copied(), *connector));
        }
        rank_flows(&mut rules);
        let order = |indices: &[usize]| FlowOrder::new(&rules, indices);
        set.flows_in = set.inbound.iter().map(|(&key, indices)| (key, order(indices))).collect();
        for (&mv_type, by_connector) in &set.outbound {
            let flows = by_connector.iter().map(|(connector, rules)| ((mv_type, *connector), order(rules)));
            set.flows_out.extend(flows);
        }
        set.rules = rules;
        set
    }

    /// All rules in the order in which they win: inbound before outbound, then by precedence, the connector's rank,
    /// object type and name.
    #[must_use]
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// One rule.
    #[must_use]
    pub fn rule(&self, id: RuleId) -> Option<&Rule> {
        self.by_id.get(&id).and_then(|&index| self.rules.get(index))
    }

    /// The inbound rules for objects of one type of one connector.
    #[must_use]
    pub fn inbound(&self, connector: ConnectorId, object: TypeId) -> RuleIter<'_> {
        self.iter(self.inbound.get(&(connector, object)).map(Vec::as_slice))
    }

    /// The outbound rules for metaverse objects of one type: connectors by rank, each with its rules.
    pub fn outbound(&self, mv_type: TypeId) -> impl Iterator<Item = (ConnectorId, RuleIter<'_>)> {
        self.outbound
            .get(&mv_type)
            .into_iter()
            .flatten()
            .map(|(connector, indices)| (*connector, self.iter(Some(indices))))
    }

    /// The outbound rules to one connector for metaverse objects of one type.
    #[must_use]
    pub fn outbound_for(&self, connector: ConnectorId, mv_type: TypeId) -> RuleIter<'_> {
        let indices = self.outbound.get(&mv_type).into_iter().flatten().find(|(id, _)| *id == connector);
        self.iter(indices.map(|(_, indices)| indices.as_slice()))
    }

    /// The flows of [`RuleSet::inbound`] in the order in which they are looked at.
    #[must_use]
    pub fn inbound_flows(&self, connector: ConnectorId, object: TypeId) -> &FlowOrder {
        self.flows_in.get(&(connector, object)).unwrap_or(&NO_FLOWS)
    }

    /// The flows of [`RuleSet::outbound_for`] in the order in which they are looked at.
    #[must_use]
    pub fn outbound_flows(&self, connector: ConnectorId, mv_type: TypeId) -> &FlowOrder {
        self.flows_out.get(&(mv_type, connector)).unwrap_or(&NO_FLOWS)
    }

    /// The links of metaverse objects of one type that the outbound rules to one connector ask about.
    #[must_use]
    pub fn links_asked(&self, connector: ConnectorId, mv_type: TypeId) -> &LinksAsked {
        static NONE: LinksAsked = LinksAsked { counted: Vec::new(), handed_on: Vec::new() };
        self.links.get(&(mv_type, connector)).unwrap_or(&NONE)
    }

    /// The connector-space attributes that join conditions of this connector use, of both directions, ordered.
    #[must_use]
    pub fn join_attributes_cs(&self, connector: ConnectorId) -> &[AttrId] {
        self.join_cs.get(&connector).map_or(&[], Vec::as_slice)
    }

    /// The metaverse attributes that join conditions use, ordered.
    #[must_use]
    pub fn join_attributes_mv(&self) -> &[AttrId] {
        &self.join_mv
    }

    /// The link attributes of objects of one type whose single links inbound rules look at, by the names of what these
    /// point at, ordered.
    #[must_use]
    pub fn link_names_asked(&self, connector: ConnectorId, object: TypeId) -> &[AttrId] {
        let asked = self.link_names.get(&connector).and_then(|by_type| by_type.get(&object));
        asked.map_or(&[], Vec::as_slice)
    }

    /// Whether inbound rules look at single links of any objects of a connector.
    #[must_use]
    pub fn asks_link_names(&self, connector: ConnectorId) -> bool {
        self.link_names.contains_key(&connector)
    }

    /// The groups that scopes of a connector's inbound rules ask for; `None` where none does.
    #[must_use]
    pub fn groups_asked(&self, connector: ConnectorId) -> Option<&GroupsAsked> {
        self.groups.get(&connector)
    }

    /// The groups that inbound scopes name, with the rules that do: where what they are called does not depend on who
    /// asks.
    pub fn groups_named(&self) -> impl Iterator<Item = (&Rule, String)> {
        self.rules.iter().flat_map(|rule| {
            let parameter = |name: &str| {
                let set = self.parameters(rule.connector).get(name).map(String::as_str);
                set.filter(|text| !text.is_empty())
            };
            let named = move |text| Some((rule, substitute_with(text, parameter).ok()?.into_owned()));
            rule.scope.groups_asked().filter_map(named)
        })
    }

    /// The values of `%Name%` for a connector.
    #[must_use]
    pub fn parameters(&self, connector: ConnectorId) -> &BTreeMap<String, String> {
        static NONE: BTreeMap<String, String> = BTreeMap::new();
        self.parameters.get(&connector).unwrap_or(&NONE)
    }

    /// The connectors by rank.
    #[must_use]
    pub fn connector_order(&self) -> &[ConnectorId] {
        &self.connectors
    }

    fn iter<'a>(&'a self, indices: Option<&'a [usize]>) -> RuleIter<'a> {
        RuleIter { rules: &self.rules, indices: indices.unwrap_or_default().iter() }
    }
}

/// Link attributes that rules ask about, ascending.
#[derive(Clone, Debug, Default)]
pub struct LinksAsked {
    /// Whose links scopes and expressions count.
    pub counted: Vec<AttrId>,
    /// Whose links only flow on.
    pub handed_on: Vec<AttrId>,
}

impl LinksAsked {
    fn new<'a>(rules: impl Iterator<Item = &'a Rule>) -> Self {
        let mut asked = Self::default();
        for rule in rules {
            asked.counted.extend(rule.scope.links());
            for flow in &rule.flows {
                asked.counted.extend(flow.program().into_iter().flat_map(Program::links));
                if let FlowSource::Link(link) = &flow.source {
                    asked.handed_on.push(link.source);
                }
            }
        }
        for list in [&mut asked.counted, &mut asked.handed_on] {
            list.sort_unstable();
            list.dedup();
        }
        asked
    }
}

/// The flows of some rules in the order in which they are looked at: by target, then by the order of the rules.
#[derive(Clone, Debug, Default)]
pub struct FlowOrder(Vec<FlowPlace>);

/// Where a flow is.
#[derive(Clone, Copy, Debug)]
struct FlowPlace {
    rank: u32,
    /// [`Rule::order`].
    rule: u32,
    /// Its index in [`Rule::flows`].
    flow: u32,
}

static NO_FLOWS: FlowOrder = FlowOrder(Vec::new());

impl FlowOrder {
    fn new(rules: &[Rule], indices: &[usize]) -> Self {
        let rules = indices.iter().filter_map(|&index| rules.get(index));
        let mut places: Vec<FlowPlace> = rules
            .flat_map(|rule| {
                let flows = (0..).zip(&rule.flows);
                flows.map(|(flow, Flow { rank, .. })| FlowPlace { rank: *rank, rule: rule.order, flow })
            })
            .collect();
        places.sort_unstable_by_key(|place| place.rank);
        Self(places)
    }

    /// The flows of those of the rules that are in a list: each is given to `take`.
    pub fn each_of<'a>(&self, rules: &[&'a Rule], mut take: impl FnMut(&'a Rule, &'a Flow)) {
        let most = rules.iter().map(|rule| rule.order as usize + 1).max().unwrap_or_default();
        let mut by_order: Vec<Option<&'a Rule>> = vec![None; most];
        for &rule in rules {
            if let Some(slot) = by_order.get_mut(rule.order as usize) {
                *slot = Some(rule);
            }
        }
        for place in &self.0 {
            if let Some(Some(rule)) = by_order.get(place.rule as usize)
                && let Some(flow) = rule.flows.get(place.flow as usize)
            {
                take(rule, flow);
            }
        }
    }
}

/// Numbers the flows of all rules in the order in which they are looked at.
fn rank_flows(rules: &mut [Rule]) {
    let mut flows: Vec<_> = rules
        .iter_mut()
        .flat_map(|rule| {
            let order = rule.order;
            rule.flows.iter_mut().map(move |flow| (flow.target, order, flow))
        })
        .collect();
    flows.sort_by_key(|(target, order, _)| (*target, *order));
    for (rank, (.., flow)) in (0..).zip(flows) {
        flow.rank = rank;
    }
}

/// Rules in the order in which they win.
#[derive(Clone, Debug)]
pub struct RuleIter<'a> {
    rules: &'a [Rule],
    indices: std::slice::Iter<'a, usize>,
}

impl<'a> Iterator for RuleIter<'a> {
    type Item = &'a Rule;

    fn next(&mut self) -> Option<&'a Rule> {
        self.indices.next().and_then(|&index| self.rules.get(index))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.indices.size_hint()
    }
}

impl ExactSizeIterator for RuleIter<'_> {}
