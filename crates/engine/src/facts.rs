//! What the rules say about one connector-space object by itself: the inbound rules in scope.

use std::sync::Arc;

use onesync_rules::{Direction, LinkType, Rule};

use crate::batch::Context;
use crate::memberships::Group;
use crate::sources::CsSource;
use crate::state::{CsFlags, CsRow};
use crate::trace::{Note, Subject};

/// The inbound rules in scope of one object.
#[derive(Clone, Debug, Default)]
pub(crate) struct Facts<'a> {
    pub(crate) rules: Vec<&'a Rule>,
    /// Conditions that failed: rule and message. Such an object keeps the link it has.
    pub(crate) failed: Vec<(&'a Rule, String)>,
}

impl<'a> Facts<'a> {
    /// Evaluates the scopes of all inbound rules for a row, a member of `groups`. An object that is gone is in no scope.
    pub(crate) fn new(ctx: &Context<'a>, row: &CsRow, dn: &str, groups: &[Arc<Group>]) -> Self {
        let mut facts = Self::default();
        if row.flags.has(CsFlags::GONE) || row.flags.has(CsFlags::PROVISIONED) {
            return facts;
        }
        let source = CsSource::new(row, dn, ctx.rules.parameters(row.connector)).in_groups(groups);
        for rule in ctx.rules.inbound(row.connector, row.object_type) {
            ctx.note(|| Note::Scope {
                of: Subject::Cs(row.id),
                rule: rule.id,
                connector: row.connector,
                asked: rule.scope.trace(&source),
            });
            match rule.scope.holds(&source) {
                Ok(true) => facts.rules.push(rule),
                Ok(false) => {}
                Err(error) => facts.failed.push((rule, error.to_string())),
            }
        }
        // Of two entries nobody knows which one counts: what they join stays held.
        if row.flags.has(CsFlags::CONFLICT)
            && let Some(held) = row.join.and_then(|join| ctx.rules.rule(join.rule))
            && held.direction == Direction::Inbound
            && !facts.rules.iter().any(|rule| rule.id == held.id)
        {
            facts.rules.push(held);
        }
        facts
    }

    /// Whether a rule in scope can hold a link to a metaverse object of this type.
    pub(crate) fn links_to(&self, mv_type: onesync_model::TypeId) -> bool {
        self.rules.iter().any(|rule| holds_link(rule) && crate::values::fits(rule, mv_type))
    }

    /// Whether a rule in scope keeps a metaverse object of this type alive.
    pub(crate) fn keeps(&self, mv_type: onesync_model::TypeId) -> bool {
        self.rules.iter().any(|rule| rule.link != LinkType::Join && crate::values::fits(rule, mv_type))
    }
}

/// Whether a rule can make, and so hold, a link: a rule that joins by nothing only carries flows.
#[must_use]
pub fn holds_link(rule: &Rule) -> bool {
    rule.link != LinkType::Join || !rule.join.is_empty()
}
