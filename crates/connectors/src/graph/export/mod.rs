//! Exports: guard, write the objects, then their links.
//!
//! Objects go first and links after them, so that a link may name an object created in the same batch's past. A
//! value that the service refuses is taken out and reported, and the rest is sent again. Deliberately absent:
//! deciding what to write; repeating a create of which nobody knows whether it happened.

mod derive;
mod find;
mod guard;
mod links;
mod prepare;
mod work;

use serde_json::Value as Json;

use self::prepare::is_required;
use self::work::{Body, Work};
use super::GraphConnector;
use super::batch::{CallResult, is_ambiguous};
use super::convert::to_unique_name;
use super::error::ApiError;
use super::http::{Call, CallError, encode, literal};
use super::marker::AnchorPlace;
use super::schema::Kind;
use crate::{
    ConnectorError, ErrorClass, ExportBatch, ExportItem, ExportOutcome, ExportResult, Operation, Pass,
};

/// Rounds in which the service may refuse values of the same objects one after the other: more than an object has.
const ROUNDS_MAX: usize = 100;

impl GraphConnector {
    pub(super) async fn run_export(&self, batch: ExportBatch) -> Result<Vec<ExportResult>, ConnectorError> {
        let organization = self.organization().await.map_err(|e| e.at("organization"))?;
        if let Some(text) = self.obstacle(&organization) {
            let error = ConnectorError::new(ErrorClass::Configuration, "GRAPH-COEXISTENCE", "tenant", text);
            return Err(error.hint("see `coexistence` in docs/graph.md"));
        }
        let is = |item: &ExportItem, operation, kind| {
            item.operation == operation && self.table.kind(item.object_type) == Some(kind)
        };
        let anchors = if batch.items.iter().any(|i| is(i, Operation::Add, Kind::Group)) {
            self.anchor_place(&batch.pass).await.map_err(|e| e.at("marker group"))?
        } else {
            AnchorPlace::UniqueName
        };
        let roles = self.roles().await;
        let mut works: Vec<Work<'_>> = batch.items.iter().map(|item| self.begin(item)).collect();
        self.guard(&mut works, &roles).await;
        for work in works.iter_mut().filter(|w| w.is_open()) {
            self.prepare(work, &batch, &organization, anchors);
        }
        self.write_objects(&mut works, &batch.pass, anchors).await;
        self.write_links(&mut works, &batch.pass).await;
        Ok(works.into_iter().map(Work::into_result).collect())
    }

    fn begin<'a>(&'a self, item: &'a ExportItem) -> Work<'a> {
        let kind = self.table.kind(item.object_type);
        let name = item
            .anchor
            .as_ref()
            .map(ToString::to_string)
            .or_else(|| {
                let named = |(id, values): &(_, Option<onesync_model::Values>)| {
                    let wanted = matches!(self.table.name(*id), Some("userPrincipalName"));
                    wanted.then(|| values.as_ref().map(|v| v.first().to_string())).flatten()
                };
                item.values.iter().find_map(named).or_else(|| item.create_key.clone())
            })
            .unwrap_or_default();
        let shown = kind.map_or("object", Kind::name);
        let mut work = Work::new(item, kind.unwrap_or(Kind::Contact), format!("{shown} {name}"));
        match kind {
            Some(Kind::User | Kind::Group) => {}
            Some(Kind::MailGroup) => {
                work.forbid("GRAPH-READ-ONLY-TYPE", guard::MAIL_GROUP, guard::MAIL_GROUP_HINT);
            }
            Some(Kind::Device) => {
                let text = "devices cannot be written here";
                work.forbid("GRAPH-READ-ONLY-TYPE", text, "leave them out of the rules' scope");
            }
            Some(Kind::Contact) => {
                let text = "contacts cannot be written through Graph";
                work.forbid("GRAPH-READ-ONLY-TYPE", text, "leave them out of the rules' scope");
            }
            None => work.forbid("GRAPH-TYPE", "Graph has no such object type here", "correct the rule"),
        }
        work
    }

    /// Sends the requests for the objects themselves until each is done, refused or unknown.
    async fn write_objects(&self, works: &mut [Work<'_>], pass: &Pass, anchors: AnchorPlace) {
        for _ in 0..ROUNDS_MAX {
            let sending: Vec<(usize, Call)> = works
                .iter()
                .enumerate()
                .filter(|(_, w)| w.is_open())
                .filter_map(|(at, w)| Some((at, self.call(w, w.requests.front()?, anchors))))
                .collect();
            if sending.is_empty() {
                return;
            }
            let calls: Vec<Call> = sending.iter().map(|(_, call)| call.clone()).collect();
            let answers = self.api.batch(&calls, pass).await;
            let mut wait = None;
            for ((at, call), answer) in sending.iter().zip(answers) {
                if let Some(work) = works.get_mut(*at) {
                    wait = wait.max(self.judge_answer(work, call, answer));
                }
            }
            self.find_ids(works, anchors).await;
            if let Some(wait) = wait {
                tokio::time::sleep(wait).await;
            }
        }
        for work in works.iter_mut().filter(|w| w.is_open() && !w.requests.is_empty()) {
            work.forbid("GRAPH-REFUSED", "the service refused one value after the other", "see its log");
        }
    }

    fn call(&self, work: &Work<'_>, body: &Body<'_>, anchors: AnchorPlace) -> Call {
        let set = work.kind.set();
        let id = encode(work.id.as_deref().unwrap_or_default());
        match work.item.operation {
            Operation::Delete => Call::delete(format!("{set}/{id}")),
            Operation::Add if work.creates() => {
                let key = to_unique_name(work.item.create_key.as_deref().unwrap_or_default());
                match (work.kind, anchors) {
                    // An upsert: sent twice it does no harm.
                    (Kind::Group, AnchorPlace::UniqueName) => {
                        let path = format!("groups(uniqueName={})", literal(&key));
                        Call::patch(path, body.to_json()).prefer("create-if-missing")
                    }
                    _ => Call::post(set, body.to_json()),
                }
            }
            Operation::Add | Operation::Update => Call::patch(format!("{set}/{id}"), body.to_json()),
        }
    }

    /// Takes the answer to the request at the front; says how long to wait before the next round.
    fn judge_answer(
        &self,
        work: &mut Work<'_>,
        call: &Call,
        answer: CallResult,
    ) -> Option<std::time::Duration> {
        let error = match answer {
            Ok(body) => {
                if work.creates() {
                    work.exists = true;
                    work.id = body.get("id").and_then(Json::as_str).map(str::to_owned);
                    if let Some(id) = &work.id {
                        self.note_new(id);
                    }
                }
                if work.item.operation == Operation::Delete {
                    self.forget_new(work.id.as_deref().unwrap_or_default());
                }
                work.requests.pop_front();
                return None;
            }
            Err(error) => error,
        };
        if is_ambiguous(call, &error) {
            work.outcome = Some(ExportOutcome::Unknown(error.at(work.place.clone())));
            return None;
        }
        match error {
            CallError::Api(error) if error.is_not_found() && !work.creates() => {
                let id = work.id.clone().unwrap_or_default();
                let wait = self.wait_for_new([id.as_str()].into_iter(), work.patience);
                work.patience += 1;
                if wait.is_none() {
                    work.outcome = Some(ExportOutcome::Gone);
                }
                wait
            }
            CallError::Api(error) => {
                self.refused(work, &error);
                None
            }
            error => {
                let error = error.at(work.place.clone());
                work.fail(error);
                None
            }
        }
    }

    /// The service refused a request: the value it names is taken out, or each value is tried by itself.
    fn refused(&self, work: &mut Work<'_>, error: &ApiError) {
        let mut shown = error.at(work.place.clone());
        let by_role = error.status == 403 && work.role_holder;
        if by_role {
            shown.class = ErrorClass::Object;
        }
        if shown.class != ErrorClass::Object {
            return work.fail(shown);
        }
        let creates = work.creates();
        let kind = work.kind;
        let Some(mut body) = work.requests.pop_front() else { return work.fail(shown) };
        let optional = |body: &Body<'_>, at: usize| {
            !creates || body.attributes.get(at).is_some_and(|a| !is_required(kind, &a.spec.name))
        };
        if let Some(at) = error.property().and_then(|p| body.position(&p)) {
            if !optional(&body, at) {
                return work.fail(shown);
            }
            let attribute = body.attributes.remove(at);
            work.refuse(attribute.id, shown);
            if creates || !body.attributes.is_empty() {
                work.requests.push_front(body);
            }
            return;
        }
        if creates {
            // Create it with what it needs; the rest follows one by one.
            let (needed, rest): (Vec<_>, Vec<_>) =
                body.attributes.into_iter().partition(|a| is_required(kind, &a.spec.name));
            if rest.is_empty() || error.is_conflict() {
                return work.fail(shown);
            }
            work.requests.push_back(Body { attributes: needed, fixed: body.fixed });
            let singles = rest.into_iter().map(|a| Body { attributes: vec![a], fixed: Default::default() });
            work.requests.extend(singles);
            return;
        }
        match body.attributes.len() {
            0 => work.fail(shown),
            1 => {
                if let Some(attribute) = body.attributes.pop() {
                    work.refuse(attribute.id, shown);
                }
            }
            _ => {
                let singles = body
                    .attributes
                    .into_iter()
                    .map(|a| Body { attributes: vec![a], fixed: Default::default() });
                work.requests.extend(singles);
            }
        }
    }

    /// An upsert that met an existing group tells no id.
    async fn find_ids(&self, works: &mut [Work<'_>], anchors: AnchorPlace) {
        for work in works.iter_mut().filter(|w| w.is_open() && w.exists && w.id.is_none()) {
            let key = to_unique_name(work.item.create_key.as_deref().unwrap_or_default());
            let answer = self.api.get(&self.by_anchor(anchors, &key)).await;
            match answer {
                Ok(group) if group.get("id").is_some() => {
                    work.id = group.get("id").and_then(Json::as_str).map(str::to_owned);
                }
                Ok(_) | Err(_) => {
                    let text = "the group was written, but its id could not be read";
                    let error =
                        ConnectorError::new(ErrorClass::Transient, "GRAPH-ID", work.place.clone(), text);
                    work.outcome = Some(ExportOutcome::Unknown(error));
                }
            }
        }
    }
}
