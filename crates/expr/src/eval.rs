//! Evaluation: a walk over the compiled tree, with limits.
//!
//! Lists: a function or operator that works on single values is applied to each value of a list. A condition over
//! a list is decided for each of its values; while a branch is evaluated for one of them, every read of a list of
//! the same origin gives the value at the same place. A list of one value is that value wherever one is needed.
//!
//! Calls and operators are in `eval_calls`.

use std::borrow::Cow;
use std::collections::BTreeSet;

use onesync_model::{AttrId, Time, Value, Values, ValuesCow, ValuesRef};

use crate::clock;
use crate::diagnostic::{EvalError, Failure, Fault, Span};
use crate::functions::{text_of, to_text};
use crate::operators;
use crate::program::{Env, Evaluated, Item, LINKS_MAX, Listed, Node, NodeKind, Outcome, Source};
use crate::scalar::{List, Scalar, Val};

/// Nodes and list values one evaluation may visit, and pieces of text it may read: far beyond any sensible rule, and
/// a fraction of a second.
pub const STEPS_MAX: usize = 4_000_000;
/// Bytes that are read in about the time of one step.
pub(crate) const BYTES_PER_STEP: usize = 16;
/// Bytes one evaluation may produce in intermediate and final values.
pub const BYTES_MAX: usize = 16 * 1024 * 1024;

/// Origins of lists read from attributes carry one of these above the attribute's id; those of lists made by a
/// function are smaller than both.
const ORIGIN_ATTRIBUTE: u64 = 1 << 32;
const ORIGIN_IMPORTED: u64 = 2 << 32;

pub(crate) struct Evaluator<'a> {
    source: &'a dyn Source,
    pub(crate) env: Env,
    /// How many seconds a use of the clock holds that has no forecast of its own.
    recheck_seconds: Option<u32>,
    steps: usize,
    pub(crate) budget: usize,
    pub(crate) calls: u64,
    pub(crate) variables: Vec<Val<'a>>,
    /// Lists that are being gone through, innermost last: origin and place.
    pub(crate) bound: Vec<(u64, usize)>,
    valid_until: Option<Time>,
    /// Whether a comparison accounts for the clock itself.
    pub(crate) clock_forecast: bool,
    /// The branches of IIF and Switch that were taken, where somebody wants to know.
    pub(crate) taken: Option<BTreeSet<(u32, u32)>>,
}

pub(crate) type Result<T> = std::result::Result<T, EvalError>;

impl<'a> Evaluator<'a> {
    /// `recheck_seconds` says how long a use of the clock holds that has no forecast of its own: until the next
    /// midnight in UTC when it is `None`.
    pub(crate) fn new(source: &'a dyn Source, env: Env, recheck_seconds: Option<u32>) -> Self {
        Self {
            source,
            env,
            recheck_seconds,
            steps: 0,
            budget: BYTES_MAX,
            calls: 0,
            variables: Vec::new(),
            bound: Vec::new(),
            valid_until: None,
            clock_forecast: false,
            taken: None,
        }
    }

    /// The values as an attribute holds them, borrowed where they are there already.
    pub(crate) fn run(mut self, root: &'a Node) -> std::result::Result<Evaluated<ValuesCow<'a>>, Failure> {
        let outcome = self.outcome(root, |me, value| match value {
            Val::One(one) => {
                me.keep(root.span, std::slice::from_ref(&one))?;
                at(root.span, one.into_values())
            }
            value => {
                let values = value.into_present();
                me.keep(root.span, &values)?;
                let values = values.iter().filter_map(|item| item.to_value().transpose());
                let values = at(root.span, values.collect::<std::result::Result<Vec<Value>, Fault>>())?;
                Ok(Values::new(values).map(ValuesCow::Made))
            }
        });
        self.evaluated(outcome)
    }

    /// The values as they were made.
    pub(crate) fn run_listed(mut self, root: &'a Node) -> std::result::Result<Evaluated<Listed>, Failure> {
        let outcome = self.outcome(root, |me, value| {
            let list = matches!(value, Val::Many(_));
            let values = value.into_present();
            me.keep(root.span, &values)?;
            let items = values.iter().filter_map(|item| match item {
                Scalar::Dec(number) if number.to_int().is_none() => {
                    Some(Ok(Item::Decimal(number.to_string())))
                }
                item => item.to_value().transpose().map(|value| value.map(Item::Value)),
            });
            let items = at(root.span, items.collect::<std::result::Result<Vec<Item>, Fault>>())?;
            Ok((!items.is_empty()).then_some(Listed { items, list }))
        });
        self.evaluated(outcome)
    }

    fn outcome<V>(
        &mut self,
        root: &'a Node,
        values: impl FnOnce(&mut Self, Val<'a>) -> Result<Option<V>>,
    ) -> Result<Outcome<V>> {
        Ok(match self.eval(root)? {
            Val::Link(id) => Outcome::Link(id),
            Val::AuthoritativeNull => Outcome::AuthoritativeNull,
            Val::IgnoreThisFlow => Outcome::IgnoreThisFlow,
            value => values(self, value)?.map_or(Outcome::Null, Outcome::Values),
        })
    }

    fn evaluated<V>(self, outcome: Result<Outcome<V>>) -> std::result::Result<Evaluated<V>, Failure> {
        let valid_until = self.valid_until;
        match outcome {
            Ok(outcome) => Ok(Evaluated { outcome, valid_until }),
            Err(error) => Err(Failure { error, valid_until }),
        }
    }

    /// The value of an expression whose parts are all constant.
    pub(crate) fn constant(mut self, node: &'a Node) -> Option<Scalar<'static>> {
        match self.eval(node) {
            Ok(Val::One(one)) => Some(one.into_static()),
            _ => None,
        }
    }

    pub(crate) fn step(&mut self, steps: usize) -> Result<()> {
        self.steps = self.steps.saturating_add(steps);
        if self.steps > STEPS_MAX {
            return Err(EvalError::Limit(format!("it took more than {STEPS_MAX} steps")));
        }
        Ok(())
    }

    /// Counts bytes that are read or copied.
    pub(crate) fn read(&mut self, bytes: usize) -> Result<()> {
        self.step(bytes / BYTES_PER_STEP)
    }

    /// Takes from the budget what values hold that are kept.
    fn keep(&mut self, span: Span, values: &[Scalar<'a>]) -> Result<()> {
        let bytes = values.iter().map(Scalar::bytes).sum();
        at(span, grow(&mut self.budget, bytes))
    }

    pub(crate) fn eval(&mut self, node: &'a Node) -> Result<Val<'a>> {
        self.step(1)?;
        match &node.kind {
            NodeKind::Const(value) => Ok(Val::One(value.borrowed())),
            NodeKind::Attribute(id) => self.list(self.source.values(*id), ORIGIN_ATTRIBUTE, *id),
            NodeKind::Imported(id) => self.list(self.source.imported(*id), ORIGIN_IMPORTED, *id),
            NodeKind::AuthoritativeNull => Ok(Val::AuthoritativeNull),
            NodeKind::IgnoreThisFlow => Ok(Val::IgnoreThisFlow),
            NodeKind::Link(id) => Ok(Val::Link(*id)),
            NodeKind::LinkNames { attribute, name } => match self.source.link_names(*attribute) {
                Ok(names) => self.list(names, ORIGIN_ATTRIBUTE, *attribute),
                Err(count) => Err(failed(node.span, too_many_links(name, count))),
            },
            NodeKind::Dn => {
                Ok(Val::One(self.source.dn().map_or(Scalar::Null, |dn| Scalar::Str(Cow::Borrowed(dn)))))
            }
            NodeKind::Parameter(name) => self.parameter(node.span, name),
            NodeKind::Variable(slot) => self.variable(*slot),
            NodeKind::ValueCount { attribute, link, plain } => {
                Ok(Val::One(self.value_count(*attribute, *link, *plain)))
            }
            NodeKind::LinkTest { attribute, present } => {
                bool_val((self.source.link_count(*attribute) > 0) == *present)
            }
            NodeKind::Presence { attribute, present } => self.presence(*attribute, *present),
            NodeKind::Logic { any, operands } => self.logic(node.span, *any, operands),
            NodeKind::Concat(operands) => self.concat(node.span, operands),
            NodeKind::Compare { operator, sides, clock } => self.compare(node.span, *operator, sides, *clock),
            NodeKind::Arithmetic { operator, sides } => self.arithmetic(node.span, *operator, sides),
            NodeKind::Choose { pairs, otherwise } => self.choose(pairs, otherwise),
            NodeKind::Loop { slot, filter, list, body, origin } => {
                self.each(*slot, *filter, list, body, *origin)
            }
            NodeKind::With { slot, value, body } => {
                let span = value.span;
                let value = self.unbound(value)?;
                at(span, grow(&mut self.budget, value.owned_len()))?;
                self.bind(*slot, value, body)
            }
            NodeKind::Each { name, body, args } => self.call_each(node.span, name, *body, args),
            NodeKind::Whole { name, body, many, args, origin } => {
                self.call_whole(node.span, name, *body, many, args, *origin)
            }
            NodeKind::Raise(message) => self.raise(message),
            NodeKind::Now => {
                if !self.clock_forecast {
                    self.until_rechecked();
                }
                Ok(Val::One(Scalar::Time(self.env.now)))
            }
        }
    }

    pub(crate) fn until(&mut self, time: Option<Time>) {
        if let Some(time) = time {
            self.valid_until = Some(self.valid_until.map_or(time, |t| t.min(time)));
        }
    }

    /// A use of the clock whose end is not known.
    pub(crate) fn until_rechecked(&mut self) {
        self.until(match self.recheck_seconds {
            Some(seconds) => Some(self.env.now.plus_seconds(i64::from(seconds))),
            None => clock::next_midnight(self.env.now),
        });
    }

    /// The values of an attribute: one as itself, several as a list or, in a loop over them, the one at its place.
    fn list(&mut self, values: Option<ValuesRef<'a>>, tag: u64, id: AttrId) -> Result<Val<'a>> {
        let Some(values) = values else { return Ok(Val::NULL) };
        if values.count() == 1 && !self.source.is_list(id) {
            return Ok(Val::One(values.first().map_or(Scalar::Null, Scalar::from)));
        }
        let origin = tag | u64::from(id.0);
        if let Some(place) = self.place(origin) {
            self.step(place / 16)?;
            return Ok(Val::One(values.iter().nth(place).map_or(Scalar::Null, Scalar::from)));
        }
        self.step(values.count())?;
        Ok(Val::Many(List { origin, items: values.iter().map(Scalar::from).collect() }))
    }

    fn place(&self, origin: u64) -> Option<usize> {
        self.bound.iter().rev().find(|(o, _)| *o == origin).map(|&(_, place)| place)
    }

    /// A list, or in a loop over lists of its origin, the value at its place.
    pub(crate) fn placed(&self, value: Val<'a>) -> Val<'a> {
        match value {
            Val::Many(mut list) if !self.bound.is_empty() => match self.place(list.origin) {
                Some(place) if place < list.items.len() => Val::One(list.items.swap_remove(place)),
                _ => Val::Many(list),
            },
            other => other,
        }
    }

    /// Evaluates outside of all loops over lists: for functions that need all values.
    pub(crate) fn unbound(&mut self, node: &'a Node) -> Result<Val<'a>> {
        let bound = std::mem::take(&mut self.bound);
        let value = self.eval(node);
        self.bound = bound;
        value
    }

    fn parameter(&mut self, span: Span, name: &'a str) -> Result<Val<'a>> {
        match self.source.parameter(name) {
            Some(text) => Ok(Val::One(Scalar::Str(Cow::Borrowed(text)))),
            None => Err(failed(span, format!("the parameter `%{name}%` has no value here"))),
        }
    }

    fn variable(&mut self, slot: usize) -> Result<Val<'a>> {
        let Some(value) = self.variables.get(slot) else { return Ok(Val::NULL) };
        let (values, copied) = (value.present().count(), value.owned_len());
        let value = value.clone();
        self.step(values)?;
        self.read(copied)?;
        Ok(self.placed(value))
    }

    fn value_count(&self, attribute: AttrId, link: bool, plain: bool) -> Scalar<'a> {
        let values = if plain { self.source.values(attribute).map_or(0, ValuesRef::count) as u64 } else { 0 };
        let links = if link { self.source.link_count(attribute) } else { 0 };
        Scalar::Int(i64::try_from(values.max(links)).unwrap_or(i64::MAX))
    }

    fn presence(&mut self, attribute: AttrId, present: bool) -> Result<Val<'a>> {
        let filled = self.source.values(attribute).is_some_and(|values| {
            values.iter().any(|value| {
                use onesync_model::ValueRef::{Reference, String};
                !matches!(value, String("") | Reference(""))
            })
        });
        bool_val(filled == present)
    }

    fn raise(&mut self, message: &'a Node) -> Result<Val<'a>> {
        let text = match self.eval(message)?.single() {
            Val::One(one) => match to_text(one) {
                Ok(text) => text_of(&text).ok().flatten().unwrap_or_default().to_owned(),
                Err(fault) => return at(message.span, Err(fault)),
            },
            _ => return Err(failed(message.span, "the message of `Error` must be one text")),
        };
        Err(EvalError::Raised(text))
    }

    fn logic(&mut self, span: Span, any: bool, operands: &'a [Node]) -> Result<Val<'a>> {
        // Decided values stay; what is undecided asks the next operand.
        let mut so_far = Val::One(Scalar::Bool(!any));
        for operand in operands {
            match so_far {
                Val::One(one) => {
                    if at(span, operators::truth(&one))? == any {
                        return bool_val(any);
                    }
                    so_far = self.eval(operand)?.single();
                }
                Val::Many(mut list) => {
                    for place in 0..list.items.len() {
                        let Some(item) = list.items.get_mut(place) else { break };
                        let decided = at(span, operators::truth(item))?;
                        let value = if decided == any {
                            Scalar::Bool(any)
                        } else {
                            self.for_place(list.origin, place, operand)?
                        };
                        if let Some(item) = list.items.get_mut(place) {
                            *item = value;
                        }
                    }
                    so_far = Val::Many(list);
                }
                special => return Ok(special),
            }
        }
        match so_far {
            Val::One(one) => bool_val(at(span, operators::truth(&one))?),
            Val::Many(mut list) => {
                for item in &mut list.items {
                    *item = Scalar::Bool(at(span, operators::truth(item))?);
                }
                Ok(Val::Many(list))
            }
            special => Ok(special),
        }
    }

    /// Evaluates for one value of the lists of an origin; it must give one value.
    fn for_place(&mut self, origin: u64, place: usize, node: &'a Node) -> Result<Scalar<'a>> {
        match self.at_place(origin, place, node)?.single() {
            Val::One(one) => Ok(one),
            _ => Err(two_lists(node.span)),
        }
    }

    fn at_place(&mut self, origin: u64, place: usize, node: &'a Node) -> Result<Val<'a>> {
        self.bound.push((origin, place));
        let value = self.eval(node);
        self.bound.pop();
        value
    }

    fn choose(&mut self, pairs: &'a [(Node, Node)], otherwise: &'a Node) -> Result<Val<'a>> {
        for (index, (test, value)) in pairs.iter().enumerate() {
            match self.eval(test)?.single() {
                Val::One(one) => {
                    if at(test.span, operators::truth(&one))? {
                        return self.branch(value);
                    }
                }
                Val::Many(tests) => {
                    let rest = pairs.get(index + 1..).unwrap_or_default();
                    return self.choose_each(test.span, tests, value, rest, otherwise);
                }
                special => return Ok(special),
            }
        }
        self.branch(otherwise)
    }

    fn branch(&mut self, node: &'a Node) -> Result<Val<'a>> {
        if let Some(taken) = &mut self.taken {
            taken.insert((node.span.start, node.span.end));
        }
        self.eval(node)
    }

    /// Decides for each value of a list.
    fn choose_each(
        &mut self,
        span: Span,
        tests: List<'a>,
        value: &'a Node,
        rest: &'a [(Node, Node)],
        otherwise: &'a Node,
    ) -> Result<Val<'a>> {
        let origin = tests.origin;
        let mut items = Vec::with_capacity(tests.items.len());
        let mut authoritative = false;
        for (place, test) in tests.items.iter().enumerate() {
            self.bound.push((origin, place));
            let chosen = if at(span, operators::truth(test))? {
                self.branch(value)
            } else {
                self.choose(rest, otherwise)
            };
            self.bound.pop();
            items.push(match chosen?.single() {
                Val::One(one) => one,
                Val::IgnoreThisFlow => return Ok(Val::IgnoreThisFlow),
                Val::AuthoritativeNull => {
                    authoritative = true;
                    Scalar::Null
                }
                Val::Many(_) | Val::Link(_) => return Err(two_lists(value.span)),
            });
        }
        if authoritative && items.iter().all(Scalar::is_null) {
            return Ok(Val::AuthoritativeNull);
        }
        at(span, grow(&mut self.budget, items.iter().map(Scalar::owned_len).sum()))?;
        Ok(Val::Many(List { origin, items }))
    }

    fn bind(&mut self, slot: usize, value: Val<'a>, body: &'a Node) -> Result<Val<'a>> {
        self.variables.truncate(slot);
        self.variables.push(value);
        let result = self.eval(body);
        self.variables.truncate(slot);
        result
    }

    fn each(
        &mut self,
        slot: usize,
        filter: bool,
        list: &'a Node,
        body: &'a Node,
        origin: u64,
    ) -> Result<Val<'a>> {
        let values = match self.unbound(list)? {
            special @ (Val::AuthoritativeNull | Val::IgnoreThisFlow | Val::Link(_)) => return Ok(special),
            values => values.into_present(),
        };
        let mut items = Vec::with_capacity(values.len());
        for value in values {
            self.step(1)?;
            let kept = if filter { value.clone() } else { Scalar::Null };
            let result = self.bind(slot, Val::One(value), body)?;
            at(body.span, grow(&mut self.budget, result.owned_len()))?;
            match if filter { result.single() } else { result } {
                Val::One(one) if filter => {
                    if at(body.span, operators::truth(&one))? {
                        items.push(kept);
                    }
                }
                Val::One(one) => items.push(one),
                Val::Many(_) if filter => {
                    return Err(failed(body.span, "the condition must give one True or False"));
                }
                Val::Many(list) => items.extend(list.items),
                special => return Ok(special),
            }
        }
        items.retain(|item| !item.is_null());
        Ok(self.placed(Val::list(origin, items)))
    }
}

fn too_many_links(name: &str, count: u64) -> String {
    format!(
        "`{name}` has {count} links, and an expression can look at {LINKS_MAX} by themselves: let the rule's scope leave such objects out, or use ValueCount"
    )
}

pub(crate) fn bool_val<'a>(value: bool) -> Result<Val<'a>> {
    Ok(Val::One(Scalar::Bool(value)))
}

pub(crate) fn failed(span: Span, message: impl Into<String>) -> EvalError {
    EvalError::Failed { message: message.into(), start: span.start as usize, end: span.end as usize }
}

pub(crate) fn two_lists(span: Span) -> EvalError {
    failed(
        span,
        "the values of two different lists cannot be combined one by one: take one value by Item, or use Join or Contains",
    )
}

pub(crate) fn at<T>(span: Span, result: std::result::Result<T, Fault>) -> Result<T> {
    result.map_err(|fault| match fault {
        Fault::Failed(message) => failed(span, message),
        Fault::Limit(message) => EvalError::Limit(message),
    })
}

/// The error with the name of the function in front.
pub(crate) fn named(error: EvalError, name: &str) -> EvalError {
    match error {
        EvalError::Failed { message, start, end } => {
            EvalError::Failed { message: format!("{name}: {message}"), start, end }
        }
        other => other,
    }
}

/// Takes bytes from a budget before they are produced.
pub(crate) fn grow(budget: &mut usize, bytes: usize) -> std::result::Result<(), Fault> {
    match budget.checked_sub(bytes) {
        Some(rest) => {
            *budget = rest;
            Ok(())
        }
        None => Err(Fault::Limit(format!("it produced more than {BYTES_MAX} bytes"))),
    }
}
