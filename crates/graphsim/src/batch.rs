//! `$batch`: up to 20 requests in one, in any order unless they depend on each other.
//!
//! No transaction: what has been done stays done, also when a fault closes the connection in the middle.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::error::GraphError;
use crate::message::{Body, Req, Resp};
use crate::service::{self, Incoming, IncomingBody, Wire};
use crate::world::World;

/// Requests in one batch.
const ITEMS_MAX: usize = 20;

struct Item<'r> {
    /// In lower case: ids compare without case.
    key: String,
    id: &'r str,
    method: &'r str,
    url: &'r str,
    headers: Vec<(String, String)>,
    body: Option<&'r Value>,
    depends_on: Vec<String>,
}

fn malformed(message: impl Into<String>) -> GraphError {
    GraphError::new(400, "BadRequest", message)
}

/// Answers a batch.
pub(crate) fn run(world: &mut World, req: &Req, wire: &mut Wire) -> Result<Resp, GraphError> {
    if req.method != "POST" {
        return Err(GraphError::not_allowed());
    }
    let items = read(req)?;
    let mut statuses: BTreeMap<String, u16> = BTreeMap::new();
    let mut answers: Vec<Value> = Vec::with_capacity(items.len());
    let mut waiting: Vec<&Item<'_>> = items.iter().collect();
    while !waiting.is_empty() {
        let ready = waiting.iter().position(|i| i.depends_on.iter().all(|d| statuses.contains_key(d)));
        let Some(at) = ready else {
            return Err(malformed(
                "Invalid batch payload format: the dependencies of the requests form a cycle.",
            ));
        };
        let item = waiting.remove(at);
        let failed = item.depends_on.iter().any(|d| statuses.get(d).is_some_and(|s| *s >= 400));
        let answer = if failed {
            let text = "A request that this one depends on has failed.";
            json!({
                "id": item.id,
                "status": 424,
                "headers": {"Content-Type": "application/json"},
                "body": {"error": {"code": "FailedDependency", "message": text, "innerError": {}}},
            })
        } else {
            let outcome = service::run(world, incoming(req, item));
            if outcome.wire != Wire::Normal {
                *wire = outcome.wire;
            }
            if *wire == Wire::Reset {
                return Ok(Resp::none());
            }
            answer(item.id, outcome.resp)
        };
        let status = answer.get("status").and_then(Value::as_u64).and_then(|s| u16::try_from(s).ok());
        statuses.insert(item.key.clone(), status.unwrap_or(500));
        answers.push(answer);
    }
    if world.behaviours.batch_shuffle {
        world.order.shuffle(&mut answers);
    }
    Ok(Resp::ok(json!({ "responses": answers })))
}

fn read(req: &Req) -> Result<Vec<Item<'_>>, GraphError> {
    let invalid = || malformed("Invalid batch payload format.");
    let requests =
        req.body.as_ref().and_then(|b| b.get("requests")).and_then(Value::as_array).ok_or_else(invalid)?;
    if requests.is_empty() {
        return Err(invalid());
    }
    if requests.len() > ITEMS_MAX {
        return Err(malformed(format!(
            "Number of batch request steps exceeds the maximum value of {ITEMS_MAX}."
        )));
    }
    let mut items: Vec<Item<'_>> = Vec::with_capacity(requests.len());
    for request in requests {
        let text = |name: &str| request.get(name).and_then(Value::as_str).filter(|t| !t.is_empty());
        let id = text("id").ok_or_else(invalid)?;
        let key = id.to_lowercase();
        if items.iter().any(|i| i.key == key) {
            return Err(malformed(format!("Invalid batch payload format: duplicate request id '{id}'.")));
        }
        let headers: Vec<(String, String)> = request
            .get("headers")
            .and_then(Value::as_object)
            .into_iter()
            .flatten()
            .map(|(n, v)| (n.to_ascii_lowercase(), v.as_str().unwrap_or_default().to_owned()))
            .collect();
        let method = text("method").ok_or_else(invalid)?;
        let body = request.get("body").filter(|b| !b.is_null());
        let typed = headers.iter().any(|(n, _)| n == "content-type");
        let writes = matches!(method.to_ascii_uppercase().as_str(), "POST" | "PATCH" | "PUT");
        if writes && (body.is_none() || !typed) {
            return Err(malformed(format!(
                "Write request id : {id} does not contain Content-Type header or body."
            )));
        }
        // The official Python library writes depends_on.
        let depends =
            request.get("dependsOn").or_else(|| request.get("depends_on")).and_then(Value::as_array);
        let depends_on =
            depends.into_iter().flatten().filter_map(Value::as_str).map(str::to_lowercase).collect();
        items.push(Item {
            key,
            id,
            method,
            url: text("url").ok_or_else(invalid)?,
            headers,
            body,
            depends_on,
        });
    }
    for item in &items {
        if let Some(unknown) = item.depends_on.iter().find(|d| !items.iter().any(|i| i.key == **d)) {
            return Err(malformed(format!(
                "Invalid batch payload format: '{unknown}' in dependsOn is no request."
            )));
        }
    }
    Ok(items)
}

/// A request of the batch: its url may be relative with or without a slash, versioned, or absolute.
fn incoming(req: &Req, item: &Item<'_>) -> Incoming {
    let url = match item.url.split_once("://") {
        Some((_, rest)) => rest.split_once('/').map_or("", |(_, path)| path),
        None => item.url,
    };
    let url = url.trim_start_matches('/');
    let url = url.strip_prefix("v1.0/").unwrap_or(url);
    let (path, query) = url.split_once('?').unwrap_or((url, ""));
    Incoming {
        method: item.method.to_ascii_uppercase(),
        path: format!("/v1.0/{path}"),
        query: query.to_owned(),
        headers: item.headers.clone(),
        body: item.body.map_or(IncomingBody::None, |b| IncomingBody::Json(b.clone())),
        base: req.base.clone(),
        item: Some((item.id.to_owned(), req.caller.clone())),
    }
}

fn answer(id: &str, resp: Resp) -> Value {
    const SHOWN: [&str; 8] = [
        "Cache-Control",
        "x-ms-resource-unit",
        "OData-Version",
        "Content-Type",
        "Retry-After",
        "Location",
        "x-ms-throttle-scope",
        "x-ms-throttle-information",
    ];
    let headers: Map<String, Value> = resp
        .headers
        .into_iter()
        .filter(|(n, _)| SHOWN.contains(n))
        .map(|(n, v)| (n.to_owned(), Value::String(v)))
        .collect();
    let body = match resp.body {
        Body::None => Value::Null,
        Body::Json(value) => value,
        Body::Text(text) | Body::Html(text) => {
            use base64::Engine as _;
            Value::String(base64::engine::general_purpose::STANDARD.encode(text))
        }
    };
    json!({"id": id, "status": resp.status, "headers": headers, "body": body})
}
