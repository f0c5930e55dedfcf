//! One compiled rule, for one connector and one pair of object types.

use std::collections::HashSet;
use std::sync::Arc;

use onesync_expr::{Env, EvalError, Evaluated, Failure, Outcome, Program, Source};
use onesync_model::{
    AttrId, AttributeType, ConnectorId, RuleId, TypeId, ValueRef, Values, ValuesCow, ValuesRef,
};

use crate::Scope;
use crate::convert::convert_outcome;

/// Which way a rule flows.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Direction {
    /// From a connector space to the metaverse.
    Inbound,
    /// From the metaverse to a connector space.
    Outbound,
}

/// What a rule does about the link between a connector-space object and a metaverse object.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum LinkType {
    /// Joins, else creates the object on the other side.
    Provision,
    /// Joins, else does nothing.
    Join,
    /// Joins like [`LinkType::Join`], and keeps the metaverse object alive once joined.
    StickyJoin,
}

/// How the values of several contributors become the values of one attribute.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub enum MergeType {
    /// The contributor that comes first gives all values.
    #[default]
    Update,
    /// The same as [`MergeType::Update`]; kept as written, since imported rules have it.
    Replace,
    /// All contributors give their values.
    Merge,
    /// All contributors give their values; of those that differ in case only, the first contributor's is kept.
    MergeCaseInsensitive,
}

impl MergeType {
    /// Whether all contributors count, not just the first.
    #[must_use]
    pub fn takes_all(self) -> bool {
        matches!(self, Self::Merge | Self::MergeCaseInsensitive)
    }
}

/// One rule of a [`crate::RuleSet`].
#[derive(Clone, Debug)]
pub struct Rule {
    /// Identity of this rule in this version.
    pub id: RuleId,
    /// Its place in [`crate::RuleSet::rules`]: the smaller wins.
    pub order: u32,
    /// Its name; unique per connector and object type.
    pub name: String,
    /// The file it was read from, as an index into what was compiled.
    pub file: usize,
    /// What it is for, in its author's words.
    pub description: Option<String>,
    /// The lasting name of a shipped or imported rule.
    pub tag: Option<String>,
    /// Which way it flows.
    pub direction: Direction,
    /// The connector it is for.
    pub connector: ConnectorId,
    /// The object type in the connector space.
    pub object: TypeId,
    /// The object type in the metaverse; `None` for any (`*`).
    pub metaverse: Option<TypeId>,
    /// What it does about links.
    pub link: LinkType,
    /// Precedence as written. Equal ones of several connectors are told apart by [`Rule::order`].
    pub precedence: i32,
    /// The objects it is for.
    pub scope: Scope,
    /// How it finds the object on the other side: groups, tried in order.
    pub join: Vec<JoinGroup>,
    /// The attributes it computes, ordered by target.
    pub flows: Vec<Flow>,
    /// Whether the link it makes carries password changes.
    pub password_sync: bool,
}

impl Rule {
    /// The flow to an attribute.
    #[must_use]
    pub fn flow(&self, target: AttrId) -> Option<&Flow> {
        self.flows.binary_search_by_key(&target, |flow| flow.target).ok().and_then(|at| self.flows.get(at))
    }

    /// Whether anything in it depends on the object's distinguished name.
    #[must_use]
    pub fn uses_dn(&self) -> bool {
        self.scope.uses_dn() || self.flows.iter().any(|flow| flow.program().is_some_and(Program::uses_dn))
    }
}

/// Conditions that must all match.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct JoinGroup {
    /// At least one.
    pub conditions: Vec<JoinCondition>,
}

/// A connector-space attribute and a metaverse attribute that must have a value in common.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct JoinCondition {
    /// The attribute of the connector-space object.
    pub connector: AttrId,
    /// The attribute of the metaverse object.
    pub metaverse: AttrId,
    /// Whether text that differs in case only is different.
    pub case_sensitive: bool,
}

/// What is known about the attribute a flow writes; its values are converted to it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Target {
    /// The type of its values; `None` where the schema is not known yet.
    pub kind: Option<AttributeType>,
    /// Whether it may hold several values.
    pub multi: bool,
    /// Whether nobody can write it: it is computed and shown, never sent.
    pub read_only: bool,
}

impl Target {
    /// Whether it can hold values as they are.
    #[inline]
    pub(crate) fn takes(self, values: &ValuesCow<'_>) -> bool {
        (self.multi || values.count() == 1) && values.are(self.kind)
    }
}

/// One attribute of one rule.
#[derive(Clone, Debug)]
pub struct Flow {
    /// The attribute it writes.
    pub target: AttrId,
    /// What is known about that attribute.
    pub target_def: Target,
    /// Where the values come from.
    pub source: FlowSource,
    /// Whether it flows only when the target has no value applied by it yet.
    pub once: bool,
    /// How it goes together with flows of other rules to the same attribute.
    pub merge: MergeType,
    /// Seconds after which a value that depends on the clock is computed again at the latest.
    pub recheck_seconds: Option<u32>,
    /// Its place among all flows of its [`RuleSet`](crate::RuleSet), by target and then by the order of the rules.
    pub rank: u32,
}

/// Where the values of a flow come from.
#[derive(Clone, Debug)]
pub enum FlowSource {
    /// The values of one attribute as they are.
    Direct(AttrId),
    /// Fixed values.
    Constant(Values),
    /// The result of an expression.
    Expression(Arc<Program>),
    /// The links of one attribute, kept as rows.
    Link(LinkFlow),
}

/// A flow of links: never materialised here.
#[derive(Clone, Debug)]
pub struct LinkFlow {
    /// The link attribute.
    pub source: AttrId,
    /// Decides per object whether links flow; its outcome is `Link`, `Null`, `AuthoritativeNull`, `IgnoreThisFlow` or
    /// an error.
    pub guard: Option<Arc<Program>>,
    /// Whether it says which: then its outcome is `Values`, the names of these links, instead of `Link`.
    pub chooses: bool,
}

impl Flow {
    /// Computes what this flow gives for one object.
    ///
    /// A direct flow gives the values or `Null`; a link flow without guard gives `Link`. Values are converted to the
    /// type of the target.
    ///
    /// # Errors
    /// When the expression raises or fails, or its values do not fit the target.
    pub fn evaluate(&self, source: &dyn Source, env: &Env) -> Result<Evaluated, Failure> {
        self.lend(source, env).map(Evaluated::into_owned)
    }

    /// The same without a copy of what is there already.
    ///
    /// # Errors
    /// As [`Flow::evaluate`].
    pub fn lend<'a>(
        &'a self,
        source: &'a dyn Source,
        env: &Env,
    ) -> Result<Evaluated<ValuesCow<'a>>, Failure> {
        let fixed = |outcome| Evaluated { outcome, valid_until: None };
        let evaluated = match &self.source {
            FlowSource::Direct(attribute) => match source.values(*attribute) {
                Some(values) if self.target_def.takes(&values.into()) => {
                    return Ok(fixed(Outcome::Values(values.into())));
                }
                Some(values) => fixed(Outcome::Values(values.into())),
                None => return Ok(fixed(Outcome::Null)),
            },
            FlowSource::Constant(values) => return Ok(fixed(Outcome::Values(values.into()))),
            FlowSource::Expression(program) => program.lend(source, env, self.recheck_seconds)?,
            FlowSource::Link(LinkFlow { guard: Some(program), chooses: false, .. }) => {
                return program.lend(source, env, self.recheck_seconds);
            }
            FlowSource::Link(LinkFlow { source: links, guard: Some(program), chooses: true }) => {
                let evaluated = program.lend(source, env, self.recheck_seconds)?;
                return chosen(convert_outcome(evaluated, self.target_def)?, source.link_names(*links));
            }
            FlowSource::Link(LinkFlow { source, .. }) => return Ok(fixed(Outcome::Link(*source))),
        };
        convert_outcome(evaluated, self.target_def)
    }

    /// Whether it says which links flow, not only whether they do.
    #[must_use]
    pub fn chooses(&self) -> bool {
        matches!(&self.source, FlowSource::Link(LinkFlow { chooses: true, .. }))
    }

    /// The attributes of the source object that its values depend on, link attributes included.
    pub fn attributes(&self) -> impl Iterator<Item = AttrId> {
        let one = match &self.source {
            FlowSource::Direct(id) => Some(*id),
            FlowSource::Link(link) => Some(link.source),
            FlowSource::Constant(_) | FlowSource::Expression(_) => None,
        };
        let read = self
            .program()
            .into_iter()
            .flat_map(|p| p.attributes().iter().chain(p.links()).chain(p.link_names()).copied());
        one.into_iter().chain(read)
    }

    /// The attributes of the target object that it reads as confirmed (outbound, by `ImportedValue`).
    #[must_use]
    pub fn imported(&self) -> &[AttrId] {
        self.program().map_or(&[], Program::imported)
    }

    /// Whether it can raise an error on purpose, by `Error()`.
    #[must_use]
    pub fn can_raise_error(&self) -> bool {
        self.program().is_some_and(Program::can_raise_error)
    }

    /// Whether its value depends on the time.
    #[must_use]
    pub fn uses_clock(&self) -> bool {
        self.program().is_some_and(Program::uses_clock)
    }

    /// Whether its value depends on chance, by `RandomNum` or `Guid`.
    #[must_use]
    pub fn uses_random(&self) -> bool {
        self.program().is_some_and(Program::uses_random)
    }

    /// The compiled expression, if it has one.
    #[must_use]
    pub fn program(&self) -> Option<&Program> {
        match &self.source {
            FlowSource::Expression(program) => Some(program),
            FlowSource::Link(link) => link.guard.as_deref(),
            FlowSource::Direct(_) | FlowSource::Constant(_) => None,
        }
    }
}

/// Links that were chosen are names that there are.
fn chosen<'a>(
    evaluated: Evaluated<ValuesCow<'a>>,
    names: Result<Option<ValuesRef<'_>>, u64>,
) -> Result<Evaluated<ValuesCow<'a>>, Failure> {
    let Outcome::Values(values) = &evaluated.outcome else { return Ok(evaluated) };
    let names = names.ok().flatten();
    let known: HashSet<&str> =
        names.into_iter().flat_map(ValuesRef::iter).filter_map(ValueRef::as_str).collect();
    match values.iter().find(|value| !value.as_str().is_some_and(|name| known.contains(name))) {
        None => Ok(evaluated),
        Some(other) => {
            let message = format!("`{other}` is no name of a link of the object: only these can be chosen");
            let error = EvalError::Failed { message, start: 0, end: 0 };
            Err(Failure { error, valid_until: evaluated.valid_until })
        }
    }
}
