//! Link values: members in groups of twenty, managers one by one.
//!
//! What is there already, or not there any more, is done. A target that the service does not know is refused by
//! name. Every removal ends in `/$ref`: without it the service would delete the member itself.

use std::time::Duration;

use onesync_model::AttrId;
use serde_json::json;

use super::super::GraphConnector;
use super::super::error::ApiError;
use super::super::http::{Call, CallError, encode};
use super::super::schema::Kind;
use super::work::Work;
use crate::{Anchor, ErrorClass, ExportOutcome, Pass};

/// Most members in one request: a limit of the service.
const BIND_MAX: usize = 20;

/// One request for links of one item.
#[derive(Clone)]
struct Request {
    work: usize,
    attribute: AttrId,
    what: What,
    patience: u32,
}

#[derive(Clone)]
enum What {
    AddMembers(Vec<Anchor>),
    AddMember(Anchor),
    RemoveMember(Anchor),
    SetManager(Anchor),
    RemoveManager,
}

impl What {
    fn targets(&self) -> &[Anchor] {
        match self {
            Self::AddMembers(targets) => targets,
            Self::AddMember(target) | Self::RemoveMember(target) | Self::SetManager(target) => {
                std::slice::from_ref(target)
            }
            Self::RemoveManager => &[],
        }
    }
}

impl GraphConnector {
    /// Writes the links of all items whose object is there.
    pub(super) async fn write_links(&self, works: &mut [Work<'_>], pass: &Pass) {
        let mut open: Vec<Request> = Vec::new();
        for (at, work) in works.iter_mut().enumerate() {
            if work.is_open() && work.id.is_some() {
                self.requests(at, work, &mut open);
            }
        }
        while !open.is_empty() {
            let calls: Vec<Call> = open
                .iter()
                .map(|r| {
                    self.link_call(
                        works.get(r.work).and_then(|w| w.id.as_deref()).unwrap_or_default(),
                        &r.what,
                    )
                })
                .collect();
            let answers = self.api.batch(&calls, pass).await;
            let mut next = Vec::new();
            let mut wait = None;
            for (request, answer) in open.into_iter().zip(answers) {
                if let (Err(error), Some(work)) = (answer, works.get_mut(request.work)) {
                    wait = wait.max(self.judge_link(work, request, error, &mut next));
                }
            }
            if let Some(wait) = wait {
                tokio::time::sleep(wait).await;
            }
            open = next;
        }
    }

    fn requests(&self, at: usize, work: &mut Work<'_>, out: &mut Vec<Request>) {
        for links in &work.item.links {
            let mut push =
                |what| out.push(Request { work: at, attribute: links.attribute, what, patience: 0 });
            let name = self.table.name(links.attribute).unwrap_or("?");
            let property = self.table.spec(work.kind, name).map_or(name, |spec| &spec.name);
            match (work.kind, property) {
                (Kind::Group, "members") => {
                    links.add.chunks(BIND_MAX).for_each(|part| push(What::AddMembers(part.to_vec())));
                    links.remove.iter().for_each(|target| push(What::RemoveMember(target.clone())));
                }
                // A user has one manager: a new one takes the place of the old.
                (Kind::User, "manager") => match links.add.last() {
                    Some(target) => push(What::SetManager(target.clone())),
                    None if !links.remove.is_empty() => push(What::RemoveManager),
                    None => {}
                },
                _ => {
                    let text = format!("`{name}` cannot be written through Graph");
                    let error = work.error("GRAPH-READ-ONLY", text, "take the flow out of the rule");
                    work.refuse(links.attribute, error);
                }
            }
        }
    }

    fn link_call(&self, id: &str, what: &What) -> Call {
        let id = encode(id);
        let root = &self.api.root;
        let object = |target: &Anchor| format!("{root}/directoryObjects/{}", encode(&target.to_string()));
        match what {
            What::AddMembers(targets) => {
                let targets: Vec<String> = targets.iter().map(object).collect();
                Call::patch(format!("groups/{id}"), json!({"members@odata.bind": targets}))
            }
            What::AddMember(target) => {
                // "Already a member" is as good as done, so it may be sent twice.
                Call::post(format!("groups/{id}/members/$ref"), json!({"@odata.id": object(target)}))
                    .repeatable()
            }
            What::RemoveMember(target) => {
                Call::delete(format!("groups/{id}/members/{}/$ref", encode(&target.to_string())))
            }
            What::SetManager(target) => {
                let manager = format!("{root}/users/{}", encode(&target.to_string()));
                Call::put(format!("users/{id}/manager/$ref"), json!({"@odata.id": manager}))
            }
            What::RemoveManager => Call::delete(format!("users/{id}/manager/$ref")),
        }
    }

    /// Takes the error of one request: done all the same, again, in parts, or refused.
    fn judge_link(
        &self,
        work: &mut Work<'_>,
        mut request: Request,
        error: CallError,
        next: &mut Vec<Request>,
    ) -> Option<Duration> {
        if let CallError::Api(error) = &error {
            let done = match request.what {
                What::RemoveMember(_) | What::RemoveManager => {
                    error.is_not_found() || error.says("references do not exist")
                }
                What::AddMember(_) => error.says("references already exist"),
                What::AddMembers(_) | What::SetManager(_) => false,
            };
            if done {
                return None;
            }
            let own = work.id.iter().map(String::as_str);
            let all = own.chain(request.what.targets().iter().filter_map(Anchor::as_text));
            // The service often names the one that is missing: then only that one may be waited for.
            let (named, unnamed): (Vec<&str>, Vec<&str>) = all.partition(|id| error.says(id));
            let suspects = if named.is_empty() { unnamed } else { named };
            let wait = is_missing(error)
                .then(|| self.wait_for_new(suspects.into_iter(), request.patience))
                .flatten();
            if wait.is_some() {
                request.patience += 1;
                next.push(request);
                return wait;
            }
            // All or nothing: one by one tells which of them is refused.
            if let What::AddMembers(targets) = &request.what
                && error.class() == ErrorClass::Object
            {
                let one =
                    |target: &Anchor| Request { what: What::AddMember(target.clone()), ..request.clone() };
                next.extend(targets.iter().map(one));
                return None;
            }
        }
        self.refuse_links(work, &request, error);
        None
    }

    fn refuse_links(&self, work: &mut Work<'_>, request: &Request, error: CallError) {
        let unknown = matches!(error, CallError::Lost(_));
        let missing = matches!(&error, CallError::Api(e) if is_missing(e));
        let mut error = error.at(work.place.clone());
        if missing {
            error.class = ErrorClass::Object;
            error.hint = Some("the link's target is not in the tenant: run an import".to_owned());
        }
        if unknown && work.item.anchor.is_some() && work.item.values.is_empty() {
            // Nothing else was written: the whole item is in doubt, and may be sent again.
            work.outcome = Some(ExportOutcome::Unknown(error));
            return;
        }
        match request.what.targets() {
            [] => work.refuse(request.attribute, error),
            targets => {
                for target in targets {
                    work.refuse_target(request.attribute, target, error.clone());
                }
            }
        }
    }
}

/// The object or a target is not there (or not seen yet).
fn is_missing(error: &ApiError) -> bool {
    error.is_not_found() || (error.status == 400 && error.says("does not exist"))
}
