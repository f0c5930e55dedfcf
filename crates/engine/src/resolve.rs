//! Precedence: which of several contributors gives an attribute its value (facts: engine, section 7).
//!
//! One function for both directions. Candidates come in the order in which they win. The first value wins; NULL and
//! IgnoreThisFlow pass on to the next; AuthoritativeNull ends the search with no value; a failure isolates the
//! attribute; an explicit `Error()` withholds the whole object. Merging attributes take all candidates.

use onesync_expr::{Env, EvalError, Evaluated, Outcome, Source};
use onesync_model::{AttrId, Time, Value, Values, ValuesCow, fold_case, hash64};
use onesync_rules::{Flow, FlowOrder, FlowSource, MergeType, Rule};

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
pub(crate) enum Resolved<'s> {
    /// These values, from these candidates.
    Values { values: ValuesCow<'s>, from: Givers, once: bool },
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

/// The candidates that gave values, by their indices: several when merged.
#[derive(Debug)]
pub(crate) enum Givers {
    One(usize),
    Several(Vec<usize>),
}

impl Givers {
    pub(crate) fn as_slice(&self) -> &[usize] {
        match self {
            Self::One(index) => std::slice::from_ref(index),
            Self::Several(indices) => indices,
        }
    }
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
/// For each source object there are the flows of all rules for its kind, in their order, and the rules in scope;
/// earlier sources win where one rule applies to two.
pub(crate) fn collect<'a>(sources: &[(&FlowOrder, &[&'a Rule])]) -> Vec<Candidate<'a>> {
    let mut all = Vec::new();
    for (source, (order, rules)) in sources.iter().enumerate() {
        let count = rules.iter().map(|rule| rule.flows.len()).sum();
        let mut ours = Vec::with_capacity(count);
        order.each_of(rules, |rule, flow| ours.push(Candidate { rule, flow, source }));
        if ours.len() < count {
            // A rule that holds an object is in scope although it is for another type.
            let flows = |rule: &&'a Rule| {
                let rule = *rule;
                rule.flows.iter().map(move |flow| Candidate { rule, flow, source })
            };
            ours = rules.iter().flat_map(flows).collect();
            ours.sort_unstable_by_key(|c| c.flow.rank);
        }
        all = if all.is_empty() { ours } else { merge(&all, &ours) };
    }
    all
}

/// Two lists in order as one; the first list's candidate comes first where one flow is in both.
fn merge<'a>(mut first: &[Candidate<'a>], mut second: &[Candidate<'a>]) -> Vec<Candidate<'a>> {
    let mut all = Vec::with_capacity(first.len() + second.len());
    while let Some((next, rest)) = second.split_first() {
        let ahead = first.iter().take_while(|c| c.flow.rank <= next.flow.rank).count();
        let (before, behind) = first.split_at(ahead);
        all.extend_from_slice(before);
        all.push(*next);
        (first, second) = (behind, rest);
    }
    all.extend_from_slice(first);
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
    group: &[Candidate<'s>],
    now: Time,
    seed_of: impl Fn(&Candidate<'_>) -> u64,
    source: impl Fn(usize) -> &'s dyn Source,
    once: impl Fn(&Candidate<'_>) -> Option<Values>,
    valid_until: &mut Option<Time>,
    mut asked: Option<&mut Vec<Gave>>,
) -> Resolved<'s> {
    let mut several: Option<Box<Several>> = None;
    let mut ignored = false;
    for (index, candidate) in group.iter().enumerate() {
        if candidate.flow.once
            && let Some(values) = once(candidate)
        {
            if let Some(asked) = &mut asked {
                asked.push(Gave::Once(values.clone()));
            }
            if !candidate.flow.merge.takes_all() {
                return Resolved::Values { values: values.into(), from: Givers::One(index), once: true };
            }
            let several = several.get_or_insert_default();
            several.values.extend(values.into_vec());
            several.from.push(index);
            several.once = true;
            continue;
        }
        let object = source(candidate.source);
        let seed = if candidate.flow.uses_random() { seed_of(candidate) } else { 0 };
        let env = Env { now, seed };
        let evaluated = candidate.flow.lend(object, &env);
        if let Some(asked) = &mut asked {
            asked.push(Gave::of(evaluated.clone().map(|evaluated| evaluated.into_owned().outcome)));
        }
        let outcome = match evaluated {
            Ok(Evaluated { outcome, valid_until: until }) => {
                lower(valid_until, until);
                outcome
            }
            Err(onesync_expr::Failure { error, valid_until: until }) => {
                lower(valid_until, until);
                return match error {
                    EvalError::Raised(message) => Resolved::Raised { from: index, message },
                    error => Resolved::Failed { from: index, failure: Failure::of(&error, candidate.rule) },
                };
            }
        };
        match linked(candidate.flow, outcome) {
            Outcome::Null => {}
            Outcome::IgnoreThisFlow => ignored = true,
            Outcome::AuthoritativeNull => break,
            Outcome::Link(attribute) => {
                if object.link_count(attribute) > 0 {
                    several.get_or_insert_default().links.push((index, attribute));
                    if !candidate.flow.merge.takes_all() {
                        break;
                    }
                }
            }
            Outcome::Values(values) => {
                if !candidate.flow.merge.takes_all() {
                    let (from, once) = (Givers::One(index), candidate.flow.once);
                    return Resolved::Values { values, from, once };
                }
                let ignore_case = candidate.flow.merge == MergeType::MergeCaseInsensitive;
                let several = several.get_or_insert_default();
                let merged = &mut several.values;
                for value in values.into_values().into_iter().flat_map(Values::into_vec) {
                    if !(ignore_case && merged.iter().any(|known| same_text(known, &value))) {
                        merged.push(value);
                    }
                }
                several.from.push(index);
                several.once |= candidate.flow.once;
            }
        }
    }
    let none = if ignored { Resolved::Keep } else { Resolved::Absent };
    let Some(several) = several else { return none };
    let Several { values, from, links, once } = *several;
    if !links.is_empty() {
        return Resolved::Links(links);
    }
    match Values::new(values) {
        Some(values) => Resolved::Values { values: values.into(), from: Givers::Several(from), once },
        None => none,
    }
}

/// Links that were chosen by their names are links of the attribute: which ones is asked again where links are.
fn linked<'a>(flow: &Flow, outcome: Outcome<ValuesCow<'a>>) -> Outcome<ValuesCow<'a>> {
    match (&flow.source, outcome) {
        (FlowSource::Link(link), Outcome::Values(_)) => Outcome::Link(link.source),
        (_, outcome) => outcome,
    }
}

/// What several candidates give together.
#[derive(Default)]
struct Several {
    values: Vec<Value>,
    from: Vec<usize>,
    links: Vec<(usize, AttrId)>,
    once: bool,
}

fn lower(valid_until: &mut Option<Time>, until: Option<Time>) {
    if let Some(until) = until {
        *valid_until = Some(valid_until.map_or(until, |known| known.min(until)));
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
