//! `$batch`: up to twenty requests in one, each with its own result; what was turned away inside is sent again.
//!
//! Deliberately absent: `dependsOn`; the order between dependent writes is made by sending them one after the other.

use std::collections::HashMap;
use std::time::Duration;

use futures::StreamExt as _;
use serde_json::{Value as Json, json};

use super::error::ApiError;
use super::http::{Api, Call, CallError, failure};
use super::retry::{Failure, parse_retry_after};
use crate::{ConnectorError, ErrorClass, Pass};

/// Most requests in one batch: a limit of the service.
const BATCH_MAX: usize = 20;
/// Batches under way at the same time, the export workers of a connector: enough to hide latency, few enough not to be
/// throttled at once. A server that was replaced may have so many requests on their way, and no more (docs/standby.md).
const BATCHES_IN_FLIGHT: usize = 4;

pub(super) type CallResult = Result<Json, CallError>;

impl Api {
    /// Sends calls in batches. The results are in the order of the calls.
    pub(super) async fn batch(&self, calls: &[Call], pass: &Pass) -> Vec<CallResult> {
        if let [call] = calls {
            return vec![self.send(call, pass).await];
        }
        let chunks: Vec<_> = calls.chunks(BATCH_MAX).map(|chunk| self.chunk(chunk, pass)).collect();
        let results: Vec<Vec<CallResult>> =
            futures::stream::iter(chunks).buffered(BATCHES_IN_FLIGHT).collect().await;
        results.into_iter().flatten().collect()
    }

    /// One batch, until each of its calls has a result that is not to be repeated.
    async fn chunk(&self, calls: &[Call], pass: &Pass) -> Vec<CallResult> {
        let mut results: Vec<Option<CallResult>> = vec![None; calls.len()];
        let mut open: Vec<usize> = (0..calls.len()).collect();
        let mut attempt = 1;
        loop {
            let answers = self.send_batch(calls, &open, pass).await;
            let mut again = Vec::new();
            let mut longest = Duration::ZERO;
            for (&at, answer) in open.iter().zip(answers) {
                let repeatable = calls.get(at).is_some_and(|c| c.repeatable);
                let wait = match &answer {
                    Ok(_) => None,
                    Err(error) => failure(error).and_then(|f| self.wait(f, repeatable, attempt)),
                };
                if let Some(wait) = wait {
                    longest = longest.max(wait);
                    again.push(at);
                }
                if let Some(slot) = results.get_mut(at) {
                    *slot = Some(answer);
                }
            }
            if again.is_empty() {
                break;
            }
            tracing::debug!(requests = again.len(), wait = ?longest, "part of a batch is repeated");
            tokio::time::sleep(longest).await;
            open = again;
            attempt += 1;
        }
        results.into_iter().map(|r| r.unwrap_or_else(|| Err(unanswered()))).collect()
    }

    /// Sends the open calls once; one answer for each, in their order.
    async fn send_batch(&self, calls: &[Call], open: &[usize], pass: &Pass) -> Vec<CallResult> {
        let requests: Vec<Json> = open.iter().filter_map(|&at| Some(request(at, calls.get(at)?))).collect();
        // Sent once: what is repeated, and what must not be, is decided call by call.
        let outer = Call::post("$batch", json!({ "requests": requests }));
        let answer = match self.send_once(&outer, pass).await {
            Ok(answer) => answer,
            Err(error) => return open.iter().map(|_| Err(error.clone())).collect(),
        };
        let mut by_id: HashMap<String, CallResult> = HashMap::new();
        let responses =
            answer.get("responses").and_then(Json::as_array).map(Vec::as_slice).unwrap_or_default();
        for response in responses {
            if let Some(id) = response.get("id").and_then(Json::as_str) {
                by_id.insert(id.to_owned(), inner(response));
            }
        }
        open.iter().map(|at| by_id.remove(&at.to_string()).unwrap_or_else(|| Err(unanswered()))).collect()
    }
}

fn unanswered() -> CallError {
    let text = "the batch came back without an answer to this request";
    CallError::Lost(ConnectorError::new(ErrorClass::Transient, "GRAPH-BATCH", "$batch", text))
}

fn request(id: usize, call: &Call) -> Json {
    let mut headers = serde_json::Map::new();
    if call.body.is_some() {
        headers.insert("Content-Type".to_owned(), Json::from("application/json"));
    }
    if let Some(prefer) = &call.prefer {
        headers.insert("Prefer".to_owned(), Json::from(prefer.as_str()));
    }
    let mut request = json!({
        "id": id.to_string(),
        "method": call.method.as_str(),
        "url": format!("/{}", call.path),
    });
    if !headers.is_empty() {
        request["headers"] = Json::Object(headers);
    }
    if let Some(body) = &call.body {
        request["body"] = body.clone();
    }
    request
}

fn inner(response: &Json) -> CallResult {
    let status =
        response.get("status").and_then(Json::as_u64).and_then(|s| u16::try_from(s).ok()).unwrap_or(500);
    let body = response.get("body").unwrap_or(&Json::Null);
    if (200..300).contains(&status) {
        return Ok(body.clone());
    }
    let headers = response.get("headers").and_then(Json::as_object);
    let retry_after = headers
        .and_then(|h| h.iter().find(|(name, _)| name.eq_ignore_ascii_case("Retry-After")))
        .and_then(|(_, value)| match value {
            Json::String(text) => parse_retry_after(text),
            other => parse_retry_after(&other.to_string()),
        });
    Err(CallError::Api(match body {
        Json::String(text) => ApiError::foreign(status, text, retry_after),
        json => ApiError::read(status, json, retry_after),
    }))
}

/// Whether a result leaves open if something was done.
pub(super) fn is_ambiguous(call: &Call, error: &CallError) -> bool {
    match error {
        CallError::NotDone(_) => false,
        CallError::Lost(_) => true,
        CallError::Api(_) => {
            !call.repeatable && matches!(failure(error), Some(Failure::Status { status: 408 | 500.., .. }))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inner_answers_carry_status_and_wait() {
        let throttled = json!({"id": "1", "status": 429, "headers": {"retry-after": "2.5"},
            "body": {"error": {"code": "TooManyRequests"}}});
        match inner(&throttled) {
            Err(CallError::Api(e)) => {
                assert_eq!((e.status, e.retry_after), (429, Some(Duration::from_secs_f64(2.5))));
            }
            other => panic!("{other:?}"),
        }
        assert_eq!(inner(&json!({"id": "1", "status": 204})).unwrap(), Json::Null);
        assert!(inner(&json!({"id": "1"})).is_err());
    }

    #[test]
    fn a_create_that_met_trouble_may_have_happened() {
        let trouble = CallError::Api(ApiError::read(503, &Json::Null, None));
        let create = Call::post("users", json!({}));
        assert!(is_ambiguous(&create, &trouble));
        assert!(!is_ambiguous(&Call::patch("users/x", json!({})), &trouble));
        let refused = CallError::Api(ApiError::read(400, &Json::Null, None));
        assert!(!is_ambiguous(&create, &refused));
    }
}
