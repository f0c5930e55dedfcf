//! The values that flow to targets: computed in parallel, planned in order.

use std::collections::BTreeMap;

use onesync_expr::Source;
use onesync_model::{AttrId, ConnectorId, ImageIndex, NameVerdict, RuleId, Time, Value, Values, ValuesRef};
use onesync_rules::Rule;

use super::plan::{AllWanted, Target, Wanted, plan_update};
use super::{Outbound, Scoped, in_scope};
use crate::batch::Context;
use crate::facts::holds_link;
use crate::parallel;
use crate::policy::TypePolicy;
use crate::reader::ReadError;
use crate::resolve::{Candidate, Failure, Resolved, collect, groups, resolve, seed};
use crate::sources::MvSource;
use crate::state::{ChangeState, CsFlags, CsRow, MvRow, MvState, Work};
use crate::trace::{Subject, flow_note};

/// The side of errors of flows to what another system masters.
const BESIDE: &str = "beside";

impl<'a> Outbound<'a, '_> {
    /// Computes and plans the attributes of all targets of the batch's objects, the computing in parallel.
    pub(super) fn flow_all(&mut self) -> Result<(), ReadError> {
        struct Job<'m, 'a> {
            mv: &'m MvRow,
            values: &'m ImageIndex<'m>,
            row: CsRow,
            rules: Vec<&'a Rule>,
            counts: BTreeMap<AttrId, u64>,
        }
        let ctx = self.ctx;
        let mvs: Vec<MvRow> =
            self.batch.loaded_mvs().into_iter().filter(|mv| mv.state == MvState::Active).collect();
        let values = parallel::map(ctx.threads, &mvs, |mv| mv.values.as_ref().index());
        let mut jobs: Vec<Job<'_, 'a>> = Vec::new();
        let mut targets = Vec::new();
        for (mv, values) in mvs.iter().zip(&values) {
            for id in self.batch.joined(mv.id) {
                let Some(row) = self.batch.cs(id).cloned() else { continue };
                if !ctx
                    .rules
                    .outbound_for(row.connector, mv.object_type)
                    .any(|rule| rule.object == row.object_type)
                    || row.flags.has(CsFlags::GONE)
                    || row.flags.has(CsFlags::CONFLICT)
                {
                    continue;
                }
                let scoped = match self.scoped.remove(&(mv.id, row.connector)) {
                    Some(scoped) => scoped,
                    None => in_scope(ctx, self.batch.reader, mv, values, row.connector)?,
                };
                let Some((rules, counts)) = rules_to(ctx, &row, scoped) else { continue };
                targets.push(row.id);
                jobs.push(Job { mv, values, row, rules, counts });
            }
        }
        self.batch.load_exports(targets)?;
        // What flows is borrowed from the objects: it is copied where it has to be written.
        let sources: Vec<MvSource<'_>> =
            jobs.iter().map(|job| source(ctx, job.mv, job.values, &job.row, &job.counts)).collect();
        let work: Vec<_> = jobs.iter().zip(&sources).collect();
        let computed =
            parallel::map(ctx.threads, &work, |(job, source)| flow(ctx, source, &job.row, &job.rules));
        for (job, flows) in jobs.iter().zip(computed) {
            if let Some(until) = flows.valid_until {
                self.batch.wake_at(Work::Outbound(job.mv.id), ConnectorId(0), until);
            }
            self.settle(&job.row, flows);
        }
        Ok(())
    }

    fn settle(&mut self, row: &CsRow, mut flows: Flows<'_>) {
        let (id, connector) = (row.id, row.connector);
        self.batch.heal(id, |place| {
            ["outbound", "suffix:", BESIDE].iter().any(|of| place.starts_with(of)) || place == "required"
        });
        for (attribute, failure) in &flows.failed {
            // Who is never written stops nobody who is.
            let side = if row.flags.has(CsFlags::MASTERED_ELSEWHERE) { BESIDE } else { "outbound" };
            self.batch.flow_failed(self.ctx, (id, connector), side, *attribute, failure);
        }
        if let Some((attribute, message)) = &flows.raised {
            let message = format!(
                "`{}`: {message}; nothing of this object is exported",
                self.ctx.attribute(*attribute)
            );
            self.batch.error(
                self.ctx,
                (id, connector),
                "outbound",
                "sync-rule-error-function-triggered",
                message,
                false,
            );
            // What was planned before rests on values that are withheld now.
            match self.batch.export(id).cloned() {
                Some(mut known) if known.changes.iter().any(|c| c.state == ChangeState::Sent) => {
                    known.changes.retain(|c| c.state == ChangeState::Sent);
                    self.batch.put_export(known);
                }
                Some(known) if known.state != ChangeState::Sending => self.batch.delete_export(id),
                _ => {}
            }
            return;
        }
        let policy = self.ctx.policies.of(connector);
        let rules = policy.object_type(row.object_type);
        let mut failed: Vec<AttrId> = flows.failed.iter().map(|(attribute, _)| *attribute).collect();
        if let Some(held) = self.judge_suffix(row, rules, &mut flows) {
            let sent = self.batch.export(id).is_some_and(|known| known.sent.is_some());
            if row.flags.has(CsFlags::PROVISIONED) && !sent {
                self.batch.delete_export(id); // a new object waits as a whole
                return;
            }
            failed.push(held);
        }
        let target = Target { wanted: &flows.wanted, kinds: 0, failed: &failed };
        plan_update(self.ctx, &mut self.batch, row, policy, rules, target);
    }

    /// A sign-in name whose suffix the directory does not take is replaced, or held: then its attribute is given.
    fn judge_suffix(&mut self, row: &CsRow, rules: &TypePolicy, flows: &mut Flows<'_>) -> Option<AttrId> {
        let domains = self.directories.get(&row.connector)?.domains.as_ref()?;
        let name = rules.name.filter(|_| rules.disable.is_some())?;
        let wanted = flows.wanted.get_mut(name)?;
        let text = wanted.values.as_ref()?.first()?.to_string();
        match domains.judge(&text) {
            NameVerdict::Good => None,
            NameVerdict::Replaced(name) => {
                wanted.values = Some(Values::one(Value::string(name)).into());
                None
            }
            NameVerdict::Held(suffix) => {
                flows.wanted.remove(name);
                let message = format!(
                    "`{text}` is held: `{suffix}` is no verified domain there. Verify it, change the name, or let it be replaced by the default domain"
                );
                let place = format!("suffix:{suffix}");
                self.batch.error(self.ctx, (row.id, row.connector), &place, "suffix-held", message, false);
                Some(name)
            }
        }
    }
}

/// Of the outbound rules in scope those by which attributes flow to a target, with the links they ask about; `None`
/// where nothing flows.
pub(crate) fn rules_to<'a>(
    ctx: &Context<'_>,
    row: &CsRow,
    scoped: Scoped<'a>,
) -> Option<(Vec<&'a Rule>, BTreeMap<AttrId, u64>)> {
    // Where nothing can be written, the source's own join holds: what would flow there is shown all the same.
    let held = !ctx.policies.of(row.connector).writable
        || scoped.rules.iter().any(|rule| holds_link(rule) && rule.object == row.object_type);
    if scoped.failed.is_some() || !held {
        return None;
    }
    let rules = scoped.rules.into_iter().filter(|rule| rule.object == row.object_type).collect();
    Some((rules, scoped.counts))
}

/// What flows to one target.
#[derive(Debug, Default)]
pub(crate) struct Flows<'a> {
    pub(crate) wanted: AllWanted<'a>,
    pub(crate) failed: Vec<(AttrId, Failure)>,
    raised: Option<(AttrId, String)>,
    /// When the clock may change any of it.
    valid_until: Option<Time>,
}

/// A metaverse object as the flows to a target see it.
pub(crate) fn source<'a>(
    ctx: &'a Context<'_>,
    mv: &'a MvRow,
    values: &'a ImageIndex<'a>,
    row: &'a CsRow,
    counts: &'a BTreeMap<AttrId, u64>,
) -> MvSource<'a> {
    let target = (!row.flags.has(CsFlags::PROVISIONED)).then_some(row);
    MvSource::new(mv, values, target, counts, ctx.rules.parameters(row.connector))
}

/// Computes what flows to one target.
pub(crate) fn flow<'a>(
    ctx: &Context<'_>,
    source: &'a MvSource<'_>,
    row: &CsRow,
    rules: &[&'a Rule],
) -> Flows<'a> {
    let policy = ctx.policies.of(row.connector);
    let mut out = Flows::default();
    let order = ctx.rules.outbound_flows(row.connector, source.object().object_type);
    let candidates = collect(&[(order, rules)]);
    out.wanted.reserve(candidates.len());
    for (attribute, group) in groups(&candidates) {
        // What a link attribute holds is decided link by link; here only whether its guard fails.
        let is_link = policy.is_link(attribute);
        let seed_of =
            |c: &Candidate<'_>| seed(&source.object().guid.0, ctx.attribute(attribute), &c.rule.name);
        let mut asked = ctx.trace.map(|_| Vec::new());
        let once = |_: &Candidate<'_>| source.imported(attribute).and_then(ValuesRef::to_values);
        let until = &mut out.valid_until;
        let resolved = resolve(group, ctx.now, seed_of, |_| source, once, until, asked.as_mut());
        if let (Some(trace), Some(asked)) = (ctx.trace, asked) {
            let of = Subject::Cs(row.id);
            let object = |_| (None, source as &dyn Source);
            trace.note(flow_note(of, group, asked, &resolved, ctx.now, seed_of, object));
        }
        let rule = |index: usize| group.get(index).map_or(RuleId(0), |c| c.rule.id);
        match resolved {
            Resolved::Values { .. } | Resolved::Absent if is_link => {}
            Resolved::Values { values, from, .. } => {
                let rule = from.as_slice().first().map_or(RuleId(0), |&index| rule(index));
                out.wanted.push(attribute, Wanted { values: Some(values), rule });
            }
            Resolved::Absent => out.wanted.push(attribute, Wanted { values: None, rule: rule(0) }),
            Resolved::Keep | Resolved::Links(_) => {}
            Resolved::Failed { failure, .. } => out.failed.push((attribute, failure)),
            Resolved::Raised { message, .. } => {
                out.raised = Some((attribute, message));
                break;
            }
        }
    }
    out
}
