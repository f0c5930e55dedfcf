//! What is enforced below the rules: nothing another synchronisation masters is written, nobody protected is disabled
//! or deleted, nothing that Graph lets nobody write is sent.

use std::collections::BTreeSet;
use std::time::Duration;

use onesync_model::{AttrId, Value, Values};
use serde_json::{Map, Value as Json};

use super::super::GraphConnector;
use super::super::batch::CallResult;
use super::super::http::{Call, encode};
use super::super::import::{OTHER_MASTER, is_mastered, kind, protection};
use super::super::schema::Kind;
use super::super::tenant::{Organization, RoleHolders};
use super::work::Work;
use crate::{ErrorClass, ExportItem, ExportOutcome, Operation, Pass};

/// How long to wait before an object that is not found is looked for a second time.
const LOOK_AGAIN: Duration = Duration::from_millis(300);

impl GraphConnector {
    /// What stands in the way of any export to this tenant.
    pub(in super::super) fn obstacle(&self, organization: &Organization) -> Option<String> {
        if !organization.synchronised || self.settings.coexistence {
            return None;
        }
        let since = organization.last_sync.as_deref().map_or(String::new(), |at| format!(", last at {at}"));
        Some(format!(
            "directory synchronisation is on in tenant `{}` ({OTHER_MASTER} or Cloud Sync{since}): two \
             synchronisations would fight over its objects; switch the other one off in the tenant, or set \
             `coexistence = true` to write cloud-mastered objects only",
            organization.name
        ))
    }

    /// Reads the objects that are to be changed or deleted as they are now, and refuses what must not be done.
    pub(super) async fn guard(&self, works: &mut [Work<'_>], roles: &RoleHolders) {
        let open: Vec<usize> = works
            .iter()
            .enumerate()
            .filter(|(_, w)| w.is_open() && w.item.operation != Operation::Add)
            .map(|(at, _)| at)
            .collect();
        let calls: Vec<Call> = open.iter().filter_map(|&at| works.get(at)).map(state_call).collect();
        if calls.is_empty() {
            return;
        }
        let mut answers = self.api.batch(&calls, &Pass::reading()).await;
        self.look_again(&calls, &mut answers).await;
        for ((at, call), answer) in open.into_iter().zip(&calls).zip(answers) {
            let Some(work) = works.get_mut(at) else { continue };
            let id = work.id.clone().unwrap_or_default();
            let answer = match answer {
                Err(error) if error.is_not_found() && self.is_new(&id) => self.get_new(&id, &call.path).await,
                answer => answer,
            };
            match answer {
                Ok(Json::Object(now)) => {
                    work.exists = true;
                    self.judge(work, &now, roles);
                }
                Ok(_) => {
                    work.forbid("GRAPH-ANSWER", "the service did not tell the object's state", "try again")
                }
                Err(error) if error.is_not_found() => work.outcome = Some(ExportOutcome::Gone),
                Err(error) => {
                    let error = error.at(work.place.clone());
                    work.fail(error);
                }
            }
        }
    }

    /// One "not found" may come from a replica that lags: only a second one counts.
    async fn look_again(&self, calls: &[Call], answers: &mut [CallResult]) {
        let missing: Vec<usize> = answers
            .iter()
            .enumerate()
            .filter(|(_, a)| a.as_ref().is_err_and(|e| e.is_not_found()))
            .map(|(at, _)| at)
            .collect();
        if missing.is_empty() {
            return;
        }
        tokio::time::sleep(LOOK_AGAIN).await;
        let again: Vec<Call> = missing.iter().filter_map(|&at| calls.get(at).cloned()).collect();
        for (at, answer) in missing.into_iter().zip(self.api.batch(&again, &Pass::reading()).await) {
            if let Some(slot) = answers.get_mut(at) {
                *slot = answer;
            }
        }
    }

    /// The attribute by which an item disables its object.
    fn disables(&self, item: &ExportItem) -> Option<AttrId> {
        let off = Values::one(Value::Boolean(false));
        let (id, _) = item.values.iter().find(|(id, values)| {
            values.as_ref() == Some(&off) && self.table.name(*id) == Some("accountEnabled")
        })?;
        Some(*id)
    }

    fn judge(&self, work: &mut Work<'_>, now: &Map<String, Json>, roles: &RoleHolders) {
        let id = work.id.clone().unwrap_or_default();
        if is_mastered(now) {
            let text = format!("the object is mastered by {OTHER_MASTER} and is never written");
            return work.forbid("GRAPH-MASTERED", &text, "change it where it is mastered");
        }
        if work.kind == Kind::Group && kind("groups", now) == Kind::MailGroup {
            return work.forbid("GRAPH-READ-ONLY-TYPE", MAIL_GROUP, MAIL_GROUP_HINT);
        }
        if self.memory().marker.as_ref().is_some_and(|(marker, _)| *marker == id) {
            let hint = "take the group out of the rules' scope";
            return work.forbid("GRAPH-MARKER", "this is the group that keeps the marker", hint);
        }
        work.role_holder = roles.holds(&id);
        let disables = self.disables(work.item);
        if work.item.operation != Operation::Delete && disables.is_none() {
            return;
        }
        if work.kind == Kind::User
            && let RoleHolders::Unknown(error) = roles
        {
            let mut error = error.clone();
            error.message =
                format!("not disabled or deleted, since role holders are unknown: {}", error.message);
            error.class = ErrorClass::Configuration;
            error.place = work.place.clone();
            let hint = "grant RoleManagement.Read.Directory, or set `protect_role_holders = false`";
            return work.fail(error.hint(hint));
        }
        let empty = BTreeSet::new();
        let holders = if let RoleHolders::Known(ids) = roles { ids } else { &empty };
        if let Some(reason) = protection(&self.settings, holders, &id, now) {
            let text = format!("the object is never disabled or deleted: it {reason}");
            let hint = "do it by hand in the tenant if it is really meant";
            match disables {
                Some(attribute) if work.item.operation == Operation::Update => {
                    let error = work.error("GRAPH-PROTECTED", text, hint);
                    work.refuse(attribute, error);
                }
                _ => work.forbid("GRAPH-PROTECTED", &text, hint),
            }
        }
    }
}

pub(super) const MAIL_GROUP: &str =
    "mail-enabled security groups and distribution groups cannot be written through Graph";
pub(super) const MAIL_GROUP_HINT: &str = "keep it in Exchange, or leave it out of the rules' scope";

fn state_call(work: &Work<'_>) -> Call {
    let id = encode(work.id.as_deref().unwrap_or_default());
    let select = match work.kind {
        Kind::User => "id,userPrincipalName,userType,onPremisesSyncEnabled",
        _ => "id,displayName,mailEnabled,groupTypes,onPremisesSyncEnabled",
    };
    Call::get(format!("{}/{id}?$select={select}", work.kind.set()))
}
