//! What the rules say about one object, apart from a sync: so that it can be measured what that costs.
//!
//! These are the passes' own functions in the passes' order, without their reads (so nobody is a member of a group, and
//! links have no names), decisions about joins, and plans.

use std::convert::Infallible;

use onesync_model::AttrId;

use crate::batch::Context;
use crate::facts::Facts;
use crate::outbound::flows::{flow, rules_to, source};
use crate::outbound::in_scope_counting;
use crate::state::{CsRow, MvRow};
use crate::values::{Computed, Contributor, compute, fits};

/// A connector-space object and its distinguished name.
#[derive(Clone, Debug)]
pub struct Joined {
    /// The object.
    pub row: CsRow,
    /// Its name.
    pub dn: String,
}

/// A metaverse object as a sync leaves it: then nothing of it changes any more.
#[must_use]
pub fn settled(ctx: &Context<'_>, mv: &MvRow, joined: &[Joined]) -> MvRow {
    let facts: Vec<Facts<'_>> = joined.iter().map(|j| Facts::new(ctx, &j.row, &j.dn, &[])).collect();
    let Computed { values, causes, picks, .. } =
        compute(ctx, Some(mv), &contributors(mv, joined, &facts), None);
    MvRow { values, causes, picks, ..mv.clone() }
}

/// How much came of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Said {
    /// Rules whose scope was looked at, both ways.
    pub scopes: usize,
    /// Rules in scope, both ways.
    pub rules: usize,
    /// Flows of these.
    pub flows: usize,
    /// Attributes that the metaverse object has.
    pub values: usize,
    /// Attributes that flow to targets.
    pub wanted: usize,
    /// Flows and scopes that failed.
    pub failed: usize,
}

/// The parts of the work, in their order.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Until {
    /// Inbound scopes.
    Scopes,
    /// With inbound flows and who wins.
    Values,
    /// With outbound scopes.
    Targets,
    /// With outbound flows: all of it.
    End,
}

/// Evaluates all rules for a metaverse object and what is joined to it, up to some part of the work.
///
/// `links` says how many links an attribute of the metaverse object has.
pub fn evaluate(
    ctx: &Context<'_>,
    mv: &MvRow,
    joined: &[Joined],
    links: &dyn Fn(AttrId) -> u64,
    until: Until,
) -> Said {
    let mut said = Said::default();
    let facts: Vec<Facts<'_>> = joined.iter().map(|j| Facts::new(ctx, &j.row, &j.dn, &[])).collect();
    for (joined, facts) in joined.iter().zip(&facts) {
        said.scopes += ctx.rules.inbound(joined.row.connector, joined.row.object_type).len();
        said.failed += facts.failed.len();
    }
    if until == Until::Scopes {
        return said;
    }
    let contributors = contributors(mv, joined, &facts);
    let computed = compute(ctx, Some(mv), &contributors, None);
    for rule in contributors.iter().flat_map(|c| &c.rules) {
        said.rules += 1;
        said.flows += rule.flows.len();
    }
    said.values = computed.causes.chunk_by(|a, b| a.attribute == b.attribute).count();
    said.failed += computed.failed.len() + usize::from(computed.raised.is_some());
    if until == Until::Values {
        return said;
    }
    let values = mv.values.as_ref().index();
    let scoped = |connector| {
        let count = |attribute| Ok::<_, Infallible>(links(attribute));
        match in_scope_counting(ctx, mv, &values, connector, count) {
            Ok(scoped) => scoped,
            Err(never) => match never {},
        }
    };
    let mut decided = Vec::new();
    for (connector, rules) in ctx.rules.outbound(mv.object_type) {
        let scoped = scoped(connector);
        said.scopes += rules.len();
        said.failed += usize::from(scoped.failed.is_some());
        decided.push((connector, scoped));
    }
    if until == Until::Targets {
        return said;
    }
    for (connector, scoped) in decided {
        let Some(Joined { row, .. }) = joined.iter().find(|joined| joined.row.connector == connector) else {
            continue;
        };
        if !ctx.rules.outbound_for(connector, mv.object_type).any(|rule| rule.object == row.object_type) {
            continue;
        }
        let Some((rules, counts)) = rules_to(ctx, row, scoped) else { continue };
        let source = source(ctx, mv, &values, row, &counts);
        let flows = flow(ctx, &source, row, &rules);
        said.rules += rules.len();
        said.flows += rules.iter().map(|rule| rule.flows.len()).sum::<usize>();
        said.wanted += flows.wanted.len();
        said.failed += flows.failed.len();
    }
    said
}

fn contributors<'a>(mv: &MvRow, joined: &'a [Joined], facts: &[Facts<'a>]) -> Vec<Contributor<'a>> {
    let one = |(joined, facts): (&'a Joined, &Facts<'a>)| Contributor {
        row: &joined.row,
        dn: &joined.dn,
        rules: facts.rules.iter().copied().filter(|rule| fits(rule, mv.object_type)).collect(),
        links: None,
    };
    joined.iter().zip(facts).map(one).collect()
}
