//! Evaluation of calls and operators: one by one over lists, and whole.

use crate::clock;
use crate::diagnostic::{Fault, Span};
use crate::eval::{Evaluator, Result, at, bool_val, failed, named, two_lists};
use crate::functions::{Call, EachFn, PARAMS_MAX, WholeFn};
use crate::lexer::Operator;
use crate::operators;
use crate::program::{ClockSide, Node};
use crate::scalar::{List, Scalar, Val};

impl<'a> Evaluator<'a> {
    pub(crate) fn concat(&mut self, span: Span, operands: &'a [Node]) -> Result<Val<'a>> {
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

    pub(crate) fn compare(
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
            match clock::flip(self.env.now, operator, side, &left, &right) {
                Some(until) => self.until(until),
                None => self.until_rechecked(),
            }
        }
        if let (Val::One(left), Val::One(right)) = (&left, &right) {
            self.read(left.bytes().min(right.bytes()))?;
            return bool_val(at(span, operators::compare(operator, left, right))?);
        }
        self.broadcast(span, &mut [left, right], |_, pair| {
            let [left, right] = pair else { return Ok(Scalar::Null) };
            operators::compare(operator, left, right).map(Scalar::Bool)
        })
    }

    pub(crate) fn arithmetic(
        &mut self,
        span: Span,
        operator: Operator,
        sides: &'a [Node; 2],
    ) -> Result<Val<'a>> {
        let mut pair = [self.eval(&sides[0])?, self.eval(&sides[1])?];
        self.broadcast(span, &mut pair, |_, pair| {
            let [left, right] = pair else { return Ok(Scalar::Null) };
            operators::compute(operator, left, right)
        })
    }

    pub(crate) fn call_each(
        &mut self,
        span: Span,
        name: &str,
        body: EachFn,
        args: &'a [Node],
    ) -> Result<Val<'a>> {
        if let [arg] = args {
            return match self.eval(arg)? {
                Val::One(one) => self.apply(span, &body, &mut [one]).map(Val::One),
                other => self.broadcast(span, &mut [other], body),
            }
            .map_err(|error| named(error, name));
        }
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

    pub(crate) fn call_whole(
        &mut self,
        span: Span,
        name: &str,
        body: WholeFn,
        many: &[bool; PARAMS_MAX],
        args: &'a [Node],
        origin: u64,
    ) -> Result<Val<'a>> {
        let mut values: [Val<'a>; PARAMS_MAX] = [const { Val::NULL }; PARAMS_MAX];
        // A function of one value that gives a list gives the lists of all values in one.
        let lists_of_each = !many.contains(&true);
        for ((slot, arg), many) in values.iter_mut().zip(args).zip(many) {
            *slot = if *many { self.unbound(arg)? } else { self.eval(arg)? };
            if !*many {
                *slot = std::mem::replace(slot, Val::NULL).single();
            }
            self.read(slot.bytes())?;
            match slot {
                Val::AuthoritativeNull | Val::IgnoreThisFlow => {
                    return Ok(std::mem::replace(slot, Val::NULL));
                }
                Val::Many(_) if !*many && !lists_of_each => {
                    let error = failed(arg.span, "one value is needed here, but there are several: use Item");
                    return Err(named(error, name));
                }
                _ => {}
            }
        }
        let mut call = Call { env: &self.env, site: 0, origin, budget: &mut self.budget };
        let values = values.get_mut(..args.len()).unwrap_or_default();
        let result = if values.iter().any(|value| matches!(value, Val::Many(_))) && lists_of_each {
            whole_of_each(&mut call, body, values)
        } else {
            body(&mut call, values)
        };
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
        // The origin and the length of the list that is gone through; one of one value gives way to longer ones.
        let mut lists: Option<(u64, usize)> = None;
        for arg in args.iter_mut() {
            match arg {
                Val::One(_) => {}
                Val::Many(list) => match lists {
                    Some((_, 1)) | None => lists = Some((list.origin, list.items.len())),
                    Some(_) if list.items.len() == 1 => {}
                    Some((origin, count)) if origin == list.origin && count == list.items.len() => {}
                    Some(_) => return Err(two_lists(span)),
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
                    Val::Many(list) if list.items.len() == count => {
                        list.items.get_mut(place).map(std::mem::take).unwrap_or_default()
                    }
                    Val::Many(list) => list.items.first().cloned().unwrap_or_default(),
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
        self.read(args.iter().map(Scalar::bytes).sum())?;
        // By the place in the text a random value stays when other parts of the expression take another path; in
        // loops every call has its own.
        let looping = !self.variables.is_empty() || !self.bound.is_empty();
        let site = u64::from(span.start) << 32 | if looping { self.calls & 0xffff_ffff } else { 0 };
        let mut call = Call { env: &self.env, site, origin: 0, budget: &mut self.budget };
        let value = at(span, body(&mut call, args))?;
        let owned = value.owned_len();
        at(span, call.grow(owned))?;
        Ok(value)
    }
}

/// A function of one value over a list: all its results as one list.
fn whole_of_each<'a>(
    call: &mut Call<'_>,
    body: WholeFn,
    args: &mut [Val<'a>],
) -> std::result::Result<Val<'a>, Fault> {
    let Some((first, rest)) = args.split_first_mut() else { return Ok(Val::NULL) };
    if rest.iter().any(|arg| matches!(arg, Val::Many(_))) {
        return Err(Fault::new(
            "one value is needed behind the first argument, but there are several: use Item",
        ));
    }
    let mut items = Vec::new();
    for value in std::mem::replace(first, Val::NULL).into_present() {
        let mut one: Vec<Val<'a>> = std::iter::once(Val::One(value)).chain(rest.iter().cloned()).collect();
        items.append(&mut body(call, &mut one)?.into_present());
    }
    Ok(Val::list(call.origin, items))
}
