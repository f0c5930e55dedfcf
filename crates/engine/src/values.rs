//! The values of a metaverse object: a pure function of the images of its joined objects, the rules, its retained
//! facts and the time.

use std::borrow::Cow;
use std::cell::Cell;
use std::collections::BTreeSet;

use onesync_expr::Source;
use onesync_model::{
    AttrId, CsId, Image, ImageBuilder, ImageIndex, RuleId, RunId, Time, TypeId, Values, ValuesCow, ValuesRef,
};
use onesync_rules::Rule;

use crate::batch::Context;
use crate::link_names::LinkNames;
use crate::resolve::{Candidate, Failure, Resolved, collect, groups, resolve, seed};
use crate::sources::CsSource;
use crate::state::{Cause, CsFlags, CsRow, LinkPick, MvRow, Retained};
use crate::trace::{Subject, flow_note};

/// One joined object, ready for computing.
pub(crate) struct Contributor<'a> {
    pub(crate) row: &'a CsRow,
    pub(crate) dn: &'a str,
    /// The inbound rules in scope that fit the metaverse object's type; none of an object in conflict: what it gave stays
    /// as it is.
    pub(crate) rules: Vec<&'a Rule>,
    /// The names of its links, as far as these rules look at them.
    pub(crate) links: Option<&'a LinkNames>,
}

/// What a metaverse object should be.
#[derive(Debug)]
pub(crate) struct Computed {
    pub(crate) values: Image,
    pub(crate) causes: Vec<Cause>,
    pub(crate) picks: Vec<LinkPick>,
    /// When it must be computed again although nothing changed.
    pub(crate) valid_until: Option<Time>,
    /// Flows that failed: source object, attribute, why.
    pub(crate) failed: Vec<(CsId, AttrId, Failure)>,
    /// `Error()` was called: nothing of the object changes. Source object, attribute, message.
    pub(crate) raised: Option<(CsId, AttrId, String)>,
}

/// Computes all values, or only those of `only`, of an object whose contributors come ordered by anchor.
pub(crate) fn compute(
    ctx: &Context<'_>,
    before: Option<&MvRow>,
    contributors: &[Contributor<'_>],
    only: Option<&[AttrId]>,
) -> Computed {
    let sources: Vec<CsSource<'_>> = contributors
        .iter()
        .map(|c| CsSource::new(c.row, c.dn, ctx.rules.parameters(c.row.connector)).naming(c.links))
        .collect();
    let order = |row: &CsRow| ctx.rules.inbound_flows(row.connector, row.object_type);
    let rules: Vec<_> = contributors.iter().map(|c| (order(c.row), c.rules.as_slice())).collect();
    let candidates = collect(&rules);
    let old = Old::new(before);
    let frozen: Vec<CsId> =
        contributors.iter().map(|c| c.row).filter(|r| r.flags.has(CsFlags::CONFLICT)).map(|r| r.id).collect();
    let mut out = Computed {
        values: Image::empty(),
        causes: Vec::with_capacity(96),
        picks: Vec::new(),
        valid_until: None,
        failed: Vec::new(),
        raised: None,
    };
    let mut found = Vec::with_capacity(96);
    let mut unchanged = true;
    let mut held = BTreeSet::new();
    if !frozen.is_empty() {
        held = old.given_by(&frozen);
        held.extend(old.silenced(ctx, contributors));
    }
    held.iter().for_each(|&attribute| old.hold(attribute, &mut found, &mut out));
    for (attribute, group) in groups(&candidates) {
        if only.is_some_and(|only| only.binary_search(&attribute).is_err()) || held.contains(&attribute) {
            continue;
        }
        let mut asked = ctx.trace.map(|_| Vec::new());
        let resolved = resolve(
            group,
            ctx.now,
            |c| seed_for(ctx, contributors, c),
            |index| source(&sources, index),
            |_| old.applied_once(attribute),
            &mut out.valid_until,
            asked.as_mut(),
        );
        if let (Some(trace), Some(asked), Some(mv)) = (ctx.trace, asked, before) {
            let seed = |c: &Candidate<'_>| seed_for(ctx, contributors, c);
            let object = |index: usize| (contributors.get(index).map(|c| c.row.id), source(&sources, index));
            trace.note(flow_note(Subject::Mv(mv.id), group, asked, &resolved, ctx.now, seed, object));
        }
        let source_of = |index: usize| {
            group.get(index).and_then(|c| contributors.get(c.source)).map_or(CsId(0), |c| c.row.id)
        };
        match resolved {
            Resolved::Values { values, from, once } => {
                let same = old.has(attribute, &values);
                unchanged &= same;
                for &index in from.as_slice() {
                    if let Some(candidate) = group.get(index) {
                        let retained =
                            if once && candidate.flow.once { Retained::Once } else { Retained::No };
                        let (rule, source) = (candidate.rule.id, source_of(index));
                        let run = old.run(attribute, rule, source).filter(|_| same).unwrap_or(ctx.run);
                        out.causes.push(Cause { attribute, rule, source, run, retained });
                    }
                }
                found.push((attribute, values));
            }
            Resolved::Links(links) => {
                out.picks.extend(links.into_iter().filter_map(|(index, source_attribute)| {
                    let rule = group.get(index)?.rule.id;
                    Some(LinkPick { attribute, source: source_of(index), source_attribute, rule })
                }))
            }
            Resolved::Absent => {}
            Resolved::Keep => old.keep(attribute, &mut found, &mut out),
            Resolved::Failed { from, failure } => {
                old.keep(attribute, &mut found, &mut out);
                out.failed.push((source_of(from), attribute, failure));
            }
            Resolved::Raised { from, message } => {
                out.raised = Some((source_of(from), attribute, message));
                break;
            }
        }
    }
    if !held.is_empty() {
        out.causes.sort_by_key(|cause| cause.attribute);
        found.sort_by_key(|(attribute, _)| *attribute);
    }
    out.values = match before {
        // Each is there as it was, and none is missing.
        Some(row) if unchanged && found.len() == old.values.iter().len() => row.values.clone(),
        _ => image(&found),
    };
    out.picks.sort_unstable();
    out
}

/// The image of attributes that are in order.
fn image(found: &[(AttrId, ValuesCow<'_>)]) -> Image {
    // Beside the values of an attribute there are its id and their number.
    let bytes = found.iter().map(|(_, values)| values.stored_len() + 5).sum();
    let mut image = ImageBuilder::with_capacity(bytes);
    found.iter().for_each(|(attribute, values)| image.push(*attribute, values));
    image.finish()
}

fn source<'s>(sources: &'s [CsSource<'_>], index: usize) -> &'s dyn Source {
    // Candidates carry indices that `collect` took from this very list.
    &sources[index]
}

fn seed_for(ctx: &Context<'_>, contributors: &[Contributor<'_>], candidate: &Candidate<'_>) -> u64 {
    // Candidates carry indices that `collect` took from this very list.
    seed_of(ctx, contributors[candidate.source].row, candidate.flow.target, candidate.rule)
}

/// The seed of random functions in a rule's flow of an object to a metaverse attribute.
pub(crate) fn seed_of(ctx: &Context<'_>, row: &CsRow, target: AttrId, rule: &Rule) -> u64 {
    let object = row.anchor.as_ref().map_or(&[][..], |anchor| &anchor.0);
    seed(object, ctx.attribute(target), &rule.name)
}

/// What was there before, and why.
struct Old<'a> {
    row: Option<&'a MvRow>,
    values: ImageIndex<'a>,
    /// Ascending by attribute.
    causes: Cow<'a, [Cause]>,
    /// The place in `causes` of the attribute that was asked about last.
    asked: Cell<usize>,
}

impl<'a> Old<'a> {
    fn new(row: Option<&'a MvRow>) -> Self {
        let mut causes = Cow::Borrowed(row.map(|row| row.causes.as_slice()).unwrap_or_default());
        if !causes.is_sorted_by_key(|cause| cause.attribute) {
            causes.to_mut().sort_by_key(|cause| cause.attribute);
        }
        Self {
            row,
            values: row.map(|row| row.values.as_ref().index()).unwrap_or_default(),
            causes,
            asked: Cell::new(0),
        }
    }

    fn values(&self, attribute: AttrId) -> Option<Values> {
        self.values.get(attribute).and_then(ValuesRef::to_values)
    }

    fn causes(&self, attribute: AttrId) -> &[Cause] {
        let behind = |from: usize| self.causes.get(from..).unwrap_or_default();
        // Attributes are asked about in their order: it is near the last one.
        let mut from = self.asked.get();
        if behind(from.saturating_sub(1)).first().is_some_and(|cause| cause.attribute >= attribute) {
            from = self.causes.partition_point(|cause| cause.attribute < attribute);
        } else {
            from += behind(from).iter().take_while(|cause| cause.attribute < attribute).count();
        }
        self.asked.set(from);
        let rest = behind(from);
        let count = rest.iter().take_while(|cause| cause.attribute == attribute).count();
        rest.get(..count).unwrap_or_default()
    }

    fn has(&self, attribute: AttrId, values: &ValuesCow<'_>) -> bool {
        self.values.get(attribute).is_some_and(|old| values.equals(&old.into()))
    }

    /// The value that was applied once. Any rule's counts: a better rule that comes later must not change it either.
    fn applied_once(&self, attribute: AttrId) -> Option<Values> {
        let once = self.causes(attribute).iter().any(|cause| cause.retained == Retained::Once);
        once.then(|| self.values(attribute)).flatten()
    }

    /// The run that first gave what a rule gives now.
    fn run(&self, attribute: AttrId, rule: RuleId, source: CsId) -> Option<RunId> {
        let mut causes = self.causes(attribute).iter();
        causes.find(|cause| cause.rule == rule && cause.source == source).map(|cause| cause.run)
    }

    /// The attributes that some objects gave, alone or with others.
    fn given_by(&self, sources: &[CsId]) -> BTreeSet<AttrId> {
        let causes = self.causes.iter().filter(|cause| sources.contains(&cause.source));
        let picks = self.row.map(|row| row.picks.as_slice()).unwrap_or_default();
        let picks = picks.iter().filter(|pick| sources.contains(&pick.source));
        causes.map(|cause| cause.attribute).chain(picks.map(|pick| pick.attribute)).collect()
    }

    /// The attributes without a value that rules of objects in conflict flow to: nobody knows whether such an object
    /// keeps them empty, as by AuthoritativeNull, and what nobody was to see must not appear meanwhile.
    fn silenced(&self, ctx: &Context<'_>, contributors: &[Contributor<'_>]) -> BTreeSet<AttrId> {
        let Some(mv) = self.row else { return BTreeSet::new() };
        let frozen = contributors.iter().map(|c| c.row).filter(|row| row.flags.has(CsFlags::CONFLICT));
        frozen
            .flat_map(|row| ctx.rules.inbound(row.connector, row.object_type))
            .filter(|rule| fits(rule, mv.object_type))
            .flat_map(|rule| rule.flows.iter().map(|flow| flow.target))
            .filter(|&target| {
                self.values.get(target).is_none() && !mv.picks.iter().any(|pick| pick.attribute == target)
            })
            .collect()
    }

    /// Takes over what is there, as it is.
    fn hold(&self, attribute: AttrId, found: &mut Vec<(AttrId, ValuesCow<'a>)>, out: &mut Computed) {
        found.extend(self.values.get(attribute).map(|values| (attribute, ValuesCow::Stored(values))));
        out.causes.extend_from_slice(self.causes(attribute));
        let picks = self.row.map(|row| row.picks.as_slice()).unwrap_or_default();
        out.picks.extend(picks.iter().filter(|pick| pick.attribute == attribute));
    }

    fn keep(&self, attribute: AttrId, found: &mut Vec<(AttrId, ValuesCow<'a>)>, out: &mut Computed) {
        found.extend(self.values.get(attribute).map(|values| (attribute, ValuesCow::Stored(values))));
        out.causes.extend(self.causes(attribute).iter().map(|cause| Cause {
            retained: if cause.retained == Retained::No { Retained::Kept } else { cause.retained },
            ..*cause
        }));
        if let Some(row) = self.row {
            out.picks.extend(row.picks.iter().filter(|pick| pick.attribute == attribute));
        }
    }
}

/// Whether a rule is for a metaverse object of this type.
pub(crate) fn fits(rule: &Rule, mv_type: TypeId) -> bool {
    rule.metaverse.is_none_or(|wanted| wanted == mv_type)
}
