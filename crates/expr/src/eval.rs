//! Evaluation: a walk over the compiled tree, with limits.
//!
//! Lists: a function or operator that works on single values is applied to each value of a list. A condition over
//! a list is decided for each of its values; while a branch is evaluated for one of them, every read of a list of
//! the same origin gives the value at the same place.

use std::borrow::Cow;

use onesync_model::{AttrId, Time, Value, Values, ValuesRef};

use crate::clock;
use crate::diagnostic::{EvalError, Fault, Span};
use crate::functions::{Call, EachFn, PARAMS_MAX, WholeFn, text_of, to_text};
use crate::lexer::Operator;
use crate::operators;
use crate::program::{ClockSide, Env, Evaluated, Node, NodeKind, Outcome, Source};
use crate::scalar::{List, Scalar, Val};

/// Nodes and list values one evaluation may visit: far beyond any sensible rule, and a fraction of a second.
pub const STEPS_MAX: usize = 4_000_000;
/// Bytes one evaluation may produce in intermediate and final values.
pub const BYTES_MAX: usize = 16 * 1024 * 1024;

/// Origins of lists read from attributes carry one of these above the attribute's id; those of lists made by a
/// function are smaller than both.
const ORIGIN_ATTRIBUTE: u64 = 1 << 32;
const ORIGIN_IMPORTED: u64 = 2 << 32;

pub(crate) struct Evaluator<'a> {
    source: &'a dyn Source,
    env: &'a Env,
    steps: usize,
    budget: usize,
    calls: u64,
    variables: Vec<Val<'a>>,
    /// Lists that are being gone through, innermost last: origin and place.
    bound: Vec<(u64, usize)>,
    valid_until: Option<Time>,
    /// Whether a comparison accounts for the clock itself.
    clock_forecast: bool,
}

type Result<T> = std::result::Result<T, EvalError>;

impl<'a> Evaluator<'a> {
    pub(crate) fn new(source: &'a dyn Source, env: &'a Env) -> Self {
        Self {
            source,
            env,
            steps: 0,
            budget: BYTES_MAX,
            calls: 0,
            variables: Vec::new(),
            bound: Vec::new(),
            valid_until: None,
            clock_forecast: false,
        }
    }

    pub(crate) fn run(mut self, root: &'a Node) -> Result<Evaluated> {
        let outcome = match self.eval(root)? {
            Val::One(one) => match at(root.span, one.to_value())? {
                Some(value) => Outcome::Values(Values::one(value)),
                None => Outcome::Null,
            },
            Val::Many(list) => {
                let values: std::result::Result<Vec<Value>, Fault> =
                    list.items.iter().filter_map(|item| item.to_value().transpose()).collect();
                Values::new(at(root.span, values)?).map_or(Outcome::Null, Outcome::Values)
            }
            Val::Link(id) => Outcome::Link(id),
            Val::AuthoritativeNull => Outcome::AuthoritativeNull,
            Val::IgnoreThisFlow => Outcome::IgnoreThisFlow,
        };
        Ok(Evaluated { outcome, valid_until: self.valid_until })
    }

    /// The value of an expression whose parts are all constant.
    pub(crate) fn constant(mut self, node: &'a Node) -> Option<Scalar<'static>> {
        match self.eval(node) {
            Ok(Val::One(one)) => Some(one.into_static()),
            _ => None,
        }
    }

    fn step(&mut self, steps: usize) -> Result<()> {
        self.steps = self.steps.saturating_add(steps);
        if self.steps > STEPS_MAX {
            return Err(EvalError::Limit(format!("it took more than {STEPS_MAX} steps")));
        }
        Ok(())
    }

    fn eval(&mut self, node: &'a Node) -> Result<Val<'a>> {
        self.step(1)?;
        match &node.kind {
            NodeKind::Const(value) => Ok(Val::One(value.borrowed())),
            NodeKind::Attribute(id) => self.list(self.source.values(*id), ORIGIN_ATTRIBUTE, *id),
            NodeKind::Imported(id) => self.list(self.source.imported(*id), ORIGIN_IMPORTED, *id),
            NodeKind::AuthoritativeNull => Ok(Val::AuthoritativeNull),
            NodeKind::IgnoreThisFlow => Ok(Val::IgnoreThisFlow),
            NodeKind::Link(id) => Ok(Val::Link(*id)),
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
                let value = self.unbound(value)?;
                self.bind(*slot, value, body)
            }
            NodeKind::Each { name, body, args } => self.call_each(node.span, name, *body, args),
            NodeKind::Whole { name, body, many, args, origin } => {
                self.call_whole(node.span, name, *body, many, args, *origin)
            }
            NodeKind::Raise(message) => self.raise(message),
            NodeKind::Now => {
                if !self.clock_forecast {
                    self.until(clock::next_midnight(self.env.now));
                }
                Ok(Val::One(Scalar::Time(self.env.now)))
            }
        }
    }

    fn until(&mut self, time: Option<Time>) {
        if let Some(time) = time {
            self.valid_until = Some(self.valid_until.map_or(time, |t| t.min(time)));
        }
    }

    /// The values of an attribute: one as itself, several as a list or, in a loop over them, the one at its place.
    fn list(&mut self, values: Option<ValuesRef<'a>>, tag: u64, id: AttrId) -> Result<Val<'a>> {
        let Some(values) = values else { return Ok(Val::NULL) };
        if values.count() == 1 {
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
    fn placed(&self, value: Val<'a>) -> Val<'a> {
        match value {
            Val::Many(mut list) if !self.bound.is_empty() => match self.place(list.origin) {
                Some(place) if place < list.items.len() => Val::One(list.items.swap_remove(place)),
                _ => Val::Many(list),
            },
            other => other,
        }
    }

    /// Evaluates outside of all loops over lists: for functions that need all values.
    fn unbound(&mut self, node: &'a Node) -> Result<Val<'a>> {
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
        let value = self.variables.get(slot).cloned().unwrap_or(Val::NULL);
        if let Val::Many(list) = &value {
            self.step(list.items.len())?;
        }
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
        let text = match self.eval(message)? {
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
                    so_far = self.eval(operand)?;
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
        match self.at_place(origin, place, node)? {
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
            match self.eval(test)? {
                Val::One(one) => {
                    if at(test.span, operators::truth(&one))? {
                        return self.eval(value);
                    }
                }
                Val::Many(tests) => {
                    let rest = pairs.get(index + 1..).unwrap_or_default();
                    return self.choose_each(test.span, tests, value, rest, otherwise);
                }
                special => return Ok(special),
            }
        }
        self.eval(otherwise)
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
                self.eval(value)
            } else {
                self.choose(rest, otherwise)
            };
            self.bound.pop();
            items.push(match chosen? {
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
            match self.bind(slot, Val::One(value), body)? {
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
        Ok(self.placed(match items.len() {
            0 => Val::NULL,
            1 => Val::One(items.remove(0)),
            _ => Val::Many(List { origin, items }),
        }))
    }

    fn concat(&mut self, span: Span, operands: &'a [Node]) -> Result<Val<'a>> {
        let mut so_far = Val::NULL;
        for operand in operands {
            let next = self.eval(operand)?;
            let mut pair = [so_far, next];
            so_far = self.broadcast(span, &mut pair, operators::join)?;
            if matches!(so_far, Val::IgnoreThisFlow | Val::AuthoritativeNull) {
                break;
            }
        }
        Ok(so_far)
    }

    fn compare(
        &mut self,
        span: Span,
        operator: Operator,
        sides: &'a [Node; 2],
        clock: Option<ClockSide>,
    ) -> Result<Val<'a>> {
        let forecast = self.clock_forecast;
        self.clock_forecast |= clock.is_some();
        let left = self.eval(&sides[0]);
        let right = left.and_then(|left| Ok((left, self.eval(&sides[1])?)));
        self.clock_forecast = forecast;
        let (left, right) = right?;
        if let Some(side) = clock.filter(|_| !forecast) {
            let until = clock::flip(self.env.now, operator, side, &left, &right);
            self.until(until);
        }
        if let (Val::One(left), Val::One(right)) = (&left, &right) {
            return bool_val(at(span, operators::compare(operator, left, right))?);
        }
        self.broadcast(span, &mut [left, right], |_, pair| {
            let [left, right] = pair else { return Ok(Scalar::Null) };
            operators::compare(operator, left, right).map(Scalar::Bool)
        })
    }

    fn arithmetic(&mut self, span: Span, operator: Operator, sides: &'a [Node; 2]) -> Result<Val<'a>> {
        let mut pair = [self.eval(&sides[0])?, self.eval(&sides[1])?];
        self.broadcast(span, &mut pair, |_, pair| {
            let [left, right] = pair else { return Ok(Scalar::Null) };
            operators::compute(operator, left, right)
        })
    }

    fn call_each(&mut self, span: Span, name: &str, body: EachFn, args: &'a [Node]) -> Result<Val<'a>> {
        let mut scalars: [Scalar<'a>; PARAMS_MAX] = [const { Scalar::Null }; PARAMS_MAX];
        for (index, (slot, arg)) in scalars.iter_mut().zip(args).enumerate() {
            match self.eval(arg)? {
                Val::One(one) => *slot = one,
                other => return self.call_each_of(span, name, body, args, (scalars, index, other)),
            }
        }
        let scalars = scalars.get_mut(..args.len()).unwrap_or_default();
        self.apply(span, &body, scalars).map(Val::One).map_err(|error| named(error, name))
    }

    /// The same where an argument is no single value: those before it are done.
    fn call_each_of(
        &mut self,
        span: Span,
        name: &str,
        body: EachFn,
        args: &'a [Node],
        (mut done, index, found): ([Scalar<'a>; PARAMS_MAX], usize, Val<'a>),
    ) -> Result<Val<'a>> {
        let mut values: [Val<'a>; PARAMS_MAX] = [const { Val::NULL }; PARAMS_MAX];
        let mut found = Some(found);
        for (place, (slot, arg)) in values.iter_mut().zip(args).enumerate() {
            *slot = match done.get_mut(place).filter(|_| place < index) {
                Some(one) => Val::One(std::mem::take(one)),
                None => match found.take() {
                    Some(found) => found,
                    None => self.eval(arg)?,
                },
            };
        }
        let values = values.get_mut(..args.len()).unwrap_or_default();
        self.broadcast(span, values, body).map_err(|error| named(error, name))
    }

    fn call_whole(
        &mut self,
        span: Span,
        name: &str,
        body: WholeFn,
        many: &[bool; PARAMS_MAX],
        args: &'a [Node],
        origin: u64,
    ) -> Result<Val<'a>> {
        let mut values: [Val<'a>; PARAMS_MAX] = [const { Val::NULL }; PARAMS_MAX];
        for ((slot, arg), many) in values.iter_mut().zip(args).zip(many) {
            *slot = if *many { self.unbound(arg)? } else { self.eval(arg)? };
            match slot {
                Val::AuthoritativeNull | Val::IgnoreThisFlow => {
                    return Ok(std::mem::replace(slot, Val::NULL));
                }
                Val::Many(_) if !*many => {
                    let error = failed(arg.span, "one value is needed here, but there are several: use Item");
                    return Err(named(error, name));
                }
                _ => {}
            }
        }
        let mut call = Call { env: self.env, site: 0, origin, budget: &mut self.budget };
        let result = body(&mut call, values.get_mut(..args.len()).unwrap_or_default());
        let result = at(span, result).map_err(|error| named(error, name))?;
        if let Val::Many(list) = &result {
            let count = list.items.len();
            self.step(count)?;
        }
        Ok(self.placed(result))
    }

    /// Applies a function of single values to each value of the lists among its arguments.
    fn broadcast<F>(&mut self, span: Span, args: &mut [Val<'a>], body: F) -> Result<Val<'a>>
    where
        F: Fn(&mut Call<'_>, &mut [Scalar<'a>]) -> std::result::Result<Scalar<'a>, Fault>,
    {
        let mut lists: Option<(u64, usize)> = None;
        for arg in args.iter_mut() {
            match arg {
                Val::One(_) => {}
                Val::Many(list) => match lists {
                    Some((origin, count)) if origin != list.origin || count != list.items.len() => {
                        return Err(two_lists(span));
                    }
                    _ => lists = Some((list.origin, list.items.len())),
                },
                special => return Ok(std::mem::replace(special, Val::NULL)),
            }
        }
        let mut scalars: [Scalar<'a>; PARAMS_MAX] = [const { Scalar::Null }; PARAMS_MAX];
        let Some((origin, count)) = lists else {
            for (slot, arg) in scalars.iter_mut().zip(args.iter_mut()) {
                if let Val::One(one) = arg {
                    *slot = std::mem::take(one);
                }
            }
            let scalars = scalars.get_mut(..args.len()).unwrap_or_default();
            return self.apply(span, &body, scalars).map(Val::One);
        };
        let mut items = Vec::with_capacity(count);
        for place in 0..count {
            self.step(1)?;
            for (slot, arg) in scalars.iter_mut().zip(args.iter_mut()) {
                *slot = match arg {
                    Val::One(one) => one.clone(),
                    Val::Many(list) => list.items.get_mut(place).map(std::mem::take).unwrap_or_default(),
                    _ => Scalar::Null,
                };
            }
            let scalars = scalars.get_mut(..args.len()).unwrap_or_default();
            items.push(self.apply(span, &body, scalars)?);
        }
        Ok(Val::Many(List { origin, items }))
    }

    fn apply<F>(&mut self, span: Span, body: &F, args: &mut [Scalar<'a>]) -> Result<Scalar<'a>>
    where
        F: Fn(&mut Call<'_>, &mut [Scalar<'a>]) -> std::result::Result<Scalar<'a>, Fault>,
    {
        self.calls += 1;
        // By the place in the text a random value stays when other parts of the expression take another path; in
        // loops every call has its own.
        let looping = !self.variables.is_empty() || !self.bound.is_empty();
        let site = u64::from(span.start) << 32 | if looping { self.calls & 0xffff_ffff } else { 0 };
        let mut call = Call { env: self.env, site, origin: 0, budget: &mut self.budget };
        let value = at(span, body(&mut call, args))?;
        let owned = value.owned_len();
        at(span, call.grow(owned))?;
        Ok(value)
    }
}

fn bool_val<'a>(value: bool) -> Result<Val<'a>> {
    Ok(Val::One(Scalar::Bool(value)))
}

fn failed(span: Span, message: impl Into<String>) -> EvalError {
    EvalError::Failed { message: message.into(), start: span.start as usize, end: span.end as usize }
}

fn two_lists(span: Span) -> EvalError {
    failed(
        span,
        "the values of two different lists cannot be combined one by one: take one value by Item, or use Join or Contains",
    )
}

fn at<T>(span: Span, result: std::result::Result<T, Fault>) -> Result<T> {
    result.map_err(|fault| match fault {
        Fault::Failed(message) => failed(span, message),
        Fault::Limit(message) => EvalError::Limit(message),
    })
}

/// The error with the name of the function in front.
fn named(error: EvalError, name: &str) -> EvalError {
    match error {
        EvalError::Failed { message, start, end } => {
            EvalError::Failed { message: format!("{name}: {message}"), start, end }
        }
        other => other,
    }
}
