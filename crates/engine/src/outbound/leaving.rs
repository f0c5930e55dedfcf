//! What becomes of a target object whose metaverse object leaves, or left the scope.

use std::collections::BTreeSet;

use onesync_model::{ConnectorId, CsId, Operation, RuleId, Time, ValuesCow};

use super::Outbound;
use super::plan::{AllWanted, Target, Wanted, plan_update};
use crate::deleted::delete_cs;
use crate::export::heal_links;
use crate::policy::{ConnectorPolicy, Deprovision};
use crate::reader::ReadError;
use crate::state::{ChangeState, CsFlags, CsRow, ExportRow, MvRow, MvState, Work};

/// Link exports read at once.
const PAGE: usize = 2_000;

impl Outbound<'_, '_> {
    pub(super) fn deprovision(
        &mut self,
        mv: &MvRow,
        row: CsRow,
        policy: &ConnectorPolicy,
    ) -> Result<(), ReadError> {
        let rules = policy.object_type(row.object_type);
        let export = self.batch.export(row.id).cloned();
        let never_sent = row.flags.has(CsFlags::PROVISIONED)
            && export.as_ref().is_none_or(|e| {
                matches!(e.state, ChangeState::Pending | ChangeState::Refused) && e.sent.is_none()
            });
        let owned = row.join.is_some_and(|join| join.owned);
        if never_sent {
            self.batch.delete_export(row.id);
            self.batch.wake(Work::MvTarget(mv.id));
            return delete_cs(self.ctx, &mut self.batch, &row, Some(mv.id));
        }
        if !owned
            || rules.unwritable
            || !policy.writable
            || row.flags.has(CsFlags::MASTERED_ELSEWHERE)
            || row.flags.has(CsFlags::PROTECTED)
        {
            return self.disconnect(mv, row);
        }
        if row.flags.has(CsFlags::PROVISIONED) {
            return Ok(()); // it is being created: what becomes of it is decided when the answer is here
        }
        let (since, deleted) = match mv.state {
            MvState::Leaving { since, deleted } => (since, deleted),
            MvState::Active => (row.leaving.unwrap_or(self.ctx.now), false),
        };
        let row = CsRow { leaving: Some(since), ..row };
        self.batch.put_cs(row.clone());
        let (disable, delete_at) = match rules.deprovision {
            Deprovision::Disconnect => return self.disconnect(mv, row),
            Deprovision::Disable => (true, None),
            Deprovision::DisableThenDelete { after_seconds } => {
                (true, Some(since.plus_seconds(after_seconds)))
            }
            Deprovision::Delete { after_seconds } => (false, Some(since.plus_seconds(after_seconds))),
        };
        let kinds = ExportRow::KIND_LEAVER | if deleted { 0 } else { ExportRow::KIND_LEFT_SCOPE };
        if delete_at.is_some_and(|at| at <= self.ctx.now) {
            self.plan_delete(row, export, kinds);
            return Ok(());
        }
        if let Some(at) = delete_at {
            self.batch.wake_at(Work::Outbound(mv.id), ConnectorId(0), at);
        }
        let mut wanted = AllWanted::default();
        if let (true, Some((attribute, value))) = (disable, &rules.disable) {
            let values = Some(ValuesCow::One(value.as_ref()));
            wanted.push(*attribute, Wanted { values, rule: RuleId(0) });
        }
        let target = Target { wanted: &wanted, kinds, failed: &[] };
        plan_update(self.ctx, &mut self.batch, &row, policy, rules, target);
        Ok(())
    }

    fn plan_delete(&mut self, row: CsRow, export: Option<ExportRow>, kinds: u8) {
        let mut kinds = kinds | ExportRow::KIND_DELETE;
        if row.flags.has(CsFlags::OUTSIDE) {
            kinds |= ExportRow::KIND_OUTSIDE;
        }
        let planned = match export {
            Some(known) if known.operation == Operation::Delete => ExportRow { kinds, ..known },
            other => ExportRow {
                cs: row.id,
                connector: row.connector,
                object_type: row.object_type,
                operation: Operation::Delete,
                state: ChangeState::Pending,
                changes: Vec::new(),
                create_key: None,
                not_before: Time::default(),
                attempts: 0,
                sent: None,
                error: None,
                kinds,
                held: other.is_some_and(|known| known.held && known.operation == Operation::Delete),
            },
        };
        self.batch.put_export(planned);
    }

    fn disconnect(&mut self, mv: &MvRow, row: CsRow) -> Result<(), ReadError> {
        self.event(
            mv.id,
            &format!("disconnected from {}: {}", self.ctx.policies.of(row.connector).name, row.name),
        );
        self.batch.delete_export(row.id);
        self.batch.wake(Work::Target(row.id));
        self.batch.wake(Work::MvTarget(mv.id));
        // Links that were to be written for it are not, either; what was sent is waited for.
        for &attribute in &self.ctx.policies.of(row.connector).link_attributes {
            let mut after = CsId(i64::MIN);
            loop {
                let page = self.batch.reader.export_links(row.id, attribute, after, PAGE)?;
                let Some(last) = page.last() else { break };
                after = last.target;
                let waiting = page
                    .iter()
                    .filter(|link| matches!(link.state, ChangeState::Pending | ChangeState::Refused));
                let keys = waiting.map(|link| (link.owner, link.attribute, link.target));
                self.batch.changes.export_links_deleted.extend(keys);
            }
            heal_links(self.ctx, &mut self.batch, BTreeSet::from([(row.id, attribute)]))?;
        }
        self.batch.put_cs(CsRow { join: None, leaving: None, ..row });
        Ok(())
    }
}
