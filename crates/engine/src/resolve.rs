//! Precedence: which of several contributors gives an attribute its value (facts: engine, section 7).
//!
//! One function for both directions. Candidates come in the order in which they win. The first value wins; NULL and
//! IgnoreThisFlow pass on to the next; AuthoritativeNull ends the search with no value; a failure isolates the
//! attribute; an explicit `Error()` withholds the whole object. Merging attributes take all candidates.

use onesync_expr::{Env, EvalError, Evaluated, Outcome, Source};
use onesync_model::{AttrId, Time, Value, Values, fold_case, hash64};
use onesync_rules::{Flow, MergeType, Rule};

use crate::trace::Gave;

/// One flow of one rule for one source object.
#[derive(Clone, Copy)]
pub(crate) struct Candidate<'a> {
    pub(crate) rule: &'a Rule,
    pub(crate) flow: &'a Flow,
    /// Index of the source object among those given to [`collect`].
    pub(crate) source: usize,
}

/// What became of one attribute.
#[derive(Debug)]
pub(crate) enum Resolved {
    /// These values, from these candidates (indices; several when merged).
    Values { values: Values, from: Vec<usize>, once: bool },
    /// These candidates' link attribute (index, source attribute).
    Links(Vec<(usize, AttrId)>),
    /// No value.
    Absent,
    /// Only IgnoreThisFlow: what is there stays.
    Keep,
    /// A flow failed: what is there stays, and the failure is shown.
    Failed { from: usize, failure: Failure },
    /// `Error()`: nothing of this object changes.
    Raised { from: usize, message: String },
}

/// Why a flow failed.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    pub(crate) message: String,
    /// The same for all objects that fail alike: the rule and the part of its expression, whatever the values.
    pub(crate) cause: i64,
}

impl Failure {
    fn of(error: &EvalError, rule: &Rule) -> Self {
        let (start, end) = match error {
            EvalError::Failed { start, end, .. } => (*start as u64, *end as u64),
            EvalError::Raised(_) | EvalError::Limit(_) => (0, 0),
        };
        let cause = [&start.to_le_bytes()[..], &end.to_le_bytes(), rule.name.as_bytes()].concat();
        Self { message: error.to_string(), cause: hash64(&cause) as i64 }
    }
}

/// All candidates of some source objects, grouped by target attribute, each group in the order in which they win.
///
/// `sources` are the rules in scope of each source object; earlier sources win where one rule applies to two.
pub(crate) fn collect<'a>(sources: &[&[&'a Rule]]) -> Vec<Candidate<'a>> {
    let mut all = Vec::with_capacity(256);
    for (source, rules) in sources.iter().enumerate() {
        for rule in rules.iter() {
            all.extend(rule.flows.iter().map(|flow| Candidate { rule, flow, source }));
        }
    }
    all.sort_unstable_by_key(|c| (c.flow.rank, c.source));
    all
}

/// Splits candidates into the groups of their target attributes.
pub(crate) fn groups<'c, 'a>(
    all: &'c [Candidate<'a>],
) -> impl Iterator<Item = (AttrId, &'c [Candidate<'a>])> {
    all.chunk_by(|a, b| a.flow.target == b.flow.target).filter_map(|g| g.first().map(|c| (c.flow.target, g)))
}

/// Decides one attribute.
///
/// `source` gives the object of a candidate; `once` gives the value that was applied once by a candidate's rule, if
/// it is still there; `valid_until` is lowered to the time at which the decision must be made again. What each of
/// those who are asked gives goes into `asked`, where notes are taken.
pub(crate) fn resolve<'s>(
    group: &[Candidate<'_>],
    now: Time,
    seed_of: impl Fn(&Candidate<'_>) -> u64,
    source: impl Fn(usize) -> &'s dyn Source,
    once: impl Fn(&Candidate<'_>) -> Option<Values>,
    valid_until: &mut Option<Time>,
    mut asked: Option<&mut Vec<Gave>>,
) -> Resolved {
    let mut merged: Vec<Value> = Vec::new();
    let mut from = Vec::new();
    let mut links = Vec::new();
    let (mut ignored, mut applied_once) = (false, false);
    for (index, candidate) in group.iter().enumerate() {
        if candidate.flow.once
            && let Some(values) = once(candidate)
        {
            if let Some(asked) = &mut asked {
                asked.push(Gave::Once(values.clone()));
            }
            if !candidate.flow.merge.takes_all() {
                return Resolved::Values { values, from: vec![index], once: true };
            }
            merged.extend(values.into_vec());
            from.push(index);
            applied_once = true;
            continue;
        }
        let env = Env { now, seed: seed_of(candidate) };
        let object = source(candidate.source);
        let evaluated = candidate.flow.evaluate(object, &env);
        if let Some(asked) = &mut asked {
            asked.push(Gave::of(evaluated.clone().map(|evaluated| evaluated.outcome)));
        }
        let outcome = match evaluated {
            Ok(Evaluated { outcome, valid_until: until }) => {
                *valid_until = (*valid_until).into_iter().chain(until).min();
                outcome
            }
            Err(onesync_expr::Failure { error, valid_until: until }) => {
                *valid_until = (*valid_until).into_iter().chain(until).min();
                return match error {
                    EvalError::Raised(message) => Resolved::Raised { from: index, message },
                    error => Resolved::Failed { from: index, failure: Failure::of(&error, candidate.rule) },
                };
            }
        };
        match outcome {
            Outcome::Null => {}
            Outcome::IgnoreThisFlow => ignored = true,
            Outcome::AuthoritativeNull => break,
            Outcome::Link(attribute) => {
                if object.link_count(attribute) > 0 {
                    links.push((index, attribute));
                    if !candidate.flow.merge.takes_all() {
                        break;
                    }
                }
            }
            Outcome::Values(values) => {
                if !candidate.flow.merge.takes_all() {
                    return Resolved::Values { values, from: vec![index], once: candidate.flow.once };
                }
                let ignore_case = candidate.flow.merge == MergeType::MergeCaseInsensitive;
                for value in values.into_vec() {
                    if !(ignore_case && merged.iter().any(|known| same_text(known, &value))) {
                        merged.push(value);
                    }
                }
                from.push(index);
                applied_once |= candidate.flow.once;
            }
        }
    }
    if !links.is_empty() {
        return Resolved::Links(links);
    }
    match Values::new(merged) {
        Some(values) => Resolved::Values { values, from, once: applied_once },
        None if ignored => Resolved::Keep,
        None => Resolved::Absent,
    }
}

fn same_text(a: &Value, b: &Value) -> bool {
    match (a.as_str(), b.as_str()) {
        (Some(a), Some(b)) => fold_case(a) == fold_case(b),
        _ => a == b,
    }
}

/// The seed of random functions: of object, attribute and rule, so that they repeat.
pub(crate) fn seed(object: &[u8], attribute: &str, rule: &str) -> u64 {
    let mut bytes = Vec::with_capacity(object.len() + attribute.len() + rule.len() + 2);
    bytes.extend_from_slice(object);
    bytes.push(0);
    bytes.extend_from_slice(attribute.as_bytes());
    bytes.push(0);
    bytes.extend_from_slice(rule.as_bytes());
    hash64(&bytes)
}
