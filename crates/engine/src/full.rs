//! What a full sync need not put on the agenda, because it looks at it anyway.
//!
//! A full sync of a connector goes over all its objects three times: identities, then what they mean for targets, then
//! all their links, each as a whole. What an earlier round would put on the agenda for a later one is left out: the
//! service keeps a durable mark that the full sync is not finished, so that nothing is lost when it is cut short.

use std::collections::BTreeSet;

use onesync_model::{ConnectorId, MvId, Time};
use onesync_rules::{Direction, FlowSource};

use crate::batch::Context;
use crate::changes::Changes;
use crate::state::{AgendaRow, CsFlags, Work};

/// What the later rounds of a full sync of one connector look at.
#[derive(Clone, Copy, Debug)]
pub struct Covered {
    connector: ConnectorId,
    /// Whether every metaverse link comes from this connector: then its links as a whole are all there are.
    links: bool,
}

impl Covered {
    /// By the full sync of a connector.
    #[must_use]
    pub fn by(ctx: &Context<'_>, connector: ConnectorId) -> Self {
        let links = !ctx.rules.rules().iter().any(|rule| {
            rule.direction == Direction::Inbound
                && rule.connector != connector
                && rule.flows.iter().any(|flow| matches!(flow.source, FlowSource::Link(_)))
        });
        Self { connector, links }
    }

    /// Whether every metaverse link comes from this connector.
    #[must_use]
    pub fn all_links(self) -> bool {
        self.links
    }

    /// Leaves out what follows from the identities of some objects. `kept` are the metaverse objects to which those of
    /// them are joined whose rows did not change: the next round looks at these, and at what the others are joined to.
    pub fn after_identity(self, changes: &mut Changes, kept: impl IntoIterator<Item = MvId>) {
        let rows = || changes.cs.iter().filter(|row| row.connector == self.connector);
        let mut visited: BTreeSet<MvId> = rows().filter_map(|row| row.join).map(|join| join.mv).collect();
        visited.extend(kept);
        for mv in &changes.mv_deleted {
            visited.remove(mv);
        }
        // An object that has link contributors now is compared with all of them in the last round.
        let picked: BTreeSet<_> =
            changes.mv.iter().flat_map(|row| row.picks.iter().map(|pick| (row.id, pick.attribute))).collect();
        let ours: BTreeSet<_> = rows().map(|row| row.id).collect();
        self.leave_out(&mut changes.agenda, |work| match work {
            Work::Outbound(mv) => visited.contains(&mv),
            Work::MvLinks(mv, attribute) => self.links && picked.contains(&(mv, attribute)),
            Work::Target(cs) => self.links && ours.contains(&cs),
            Work::MvTarget(_) => self.links,
            _ => false,
        });
    }

    /// Leaves out what follows from looking at targets.
    pub fn after_outbound(self, changes: &mut Changes) {
        if !self.links {
            return;
        }
        // Nothing in the target's directory can point at what it does not have yet.
        let new: BTreeSet<_> =
            changes.cs.iter().filter(|row| row.flags.has(CsFlags::PROVISIONED)).map(|row| row.id).collect();
        let attached: BTreeSet<_> = changes
            .cs
            .iter()
            .filter_map(|row| row.join)
            .filter(|join| join.owned)
            .map(|join| join.mv)
            .collect();
        self.leave_out(&mut changes.agenda, |work| match work {
            Work::Target(cs) => new.contains(&cs),
            Work::MvTarget(_) => true,
            Work::MvLinks(mv, _) => attached.contains(&mv),
            _ => false,
        });
    }

    fn leave_out(self, agenda: &mut Vec<AgendaRow>, covered: impl Fn(Work) -> bool) {
        agenda.retain(|row| row.not_before > Time::default() || !covered(row.work));
    }
}
