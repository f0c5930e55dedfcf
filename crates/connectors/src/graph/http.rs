//! Requests to Microsoft Graph: token, request id, repeated attempts, bounded answers.
//!
//! A call says whether sending it twice does harm; the policy decides with that. Bodies are never logged: they may
//! hold an initial password.

use std::fmt;
use std::sync::Mutex;
use std::time::Duration;

use reqwest::header::{HeaderMap, RETRY_AFTER};
use secrecy::ExposeSecret as _;
use serde_json::Value as Json;

use super::assertion::random_guid;
use super::error::{ApiError, transport};
use super::retry::{Failure, Jitter, RetryPolicy, parse_retry_after};
use super::token::{Token, TokenClient};
use crate::{ConnectorError, ErrorClass, Pass};

/// The longest answer that is read: a page of 999 groups with their members stays far below.
const ANSWER_BYTES_MAX: usize = 64 << 20;
/// Version of the API, below the root.
const VERSION: &str = "v1.0";

/// An HTTP method that Graph knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Method {
    Get,
    Post,
    Put,
    Patch,
    Delete,
}

impl Method {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
        }
    }

    fn to_http(self) -> reqwest::Method {
        match self {
            Self::Get => reqwest::Method::GET,
            Self::Post => reqwest::Method::POST,
            Self::Put => reqwest::Method::PUT,
            Self::Patch => reqwest::Method::PATCH,
            Self::Delete => reqwest::Method::DELETE,
        }
    }
}

/// One request, below the version root.
#[derive(Clone)]
pub(super) struct Call {
    pub(super) method: Method,
    /// Path and query, percent-encoded, without a leading slash.
    pub(super) path: String,
    pub(super) body: Option<Json>,
    pub(super) prefer: Option<String>,
    /// Sending it twice does no harm.
    pub(super) repeatable: bool,
}

impl fmt::Debug for Call {
    /// Without the body: it may hold an initial password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.method.as_str(), self.path)
    }
}

impl Call {
    fn new(method: Method, path: impl Into<String>, body: Option<Json>, repeatable: bool) -> Self {
        Self { method, path: path.into(), body, prefer: None, repeatable }
    }

    pub(super) fn get(path: impl Into<String>) -> Self {
        Self::new(Method::Get, path, None, true)
    }

    /// A request that creates: not to be sent twice by itself.
    pub(super) fn post(path: impl Into<String>, body: Json) -> Self {
        Self::new(Method::Post, path, Some(body), false)
    }

    pub(super) fn put(path: impl Into<String>, body: Json) -> Self {
        Self::new(Method::Put, path, Some(body), true)
    }

    pub(super) fn patch(path: impl Into<String>, body: Json) -> Self {
        Self::new(Method::Patch, path, Some(body), true)
    }

    pub(super) fn delete(path: impl Into<String>) -> Self {
        Self::new(Method::Delete, path, None, true)
    }

    pub(super) fn prefer(mut self, preference: impl Into<String>) -> Self {
        self.prefer = Some(preference.into());
        self
    }

    pub(super) fn repeatable(mut self) -> Self {
        self.repeatable = true;
        self
    }
}

/// Why a call has no good answer.
#[derive(Clone, Debug)]
pub(super) enum CallError {
    /// Nothing was done: nothing reached the service.
    NotDone(ConnectorError),
    /// It may have been done: no whole answer came back.
    Lost(ConnectorError),
    /// The service refused it.
    Api(ApiError),
}

impl CallError {
    /// As the error that leaves the connector.
    pub(super) fn at(self, place: impl Into<String>) -> ConnectorError {
        match self {
            Self::NotDone(error) | Self::Lost(error) => error,
            Self::Api(error) => error.at(place),
        }
    }

    pub(super) fn is_not_found(&self) -> bool {
        matches!(self, Self::Api(error) if error.is_not_found())
    }
}

/// The way to one tenant's Microsoft Graph.
pub(super) struct Api {
    pub(super) http: reqwest::Client,
    pub(super) tokens: TokenClient,
    /// Root with version, without a slash at the end.
    pub(super) root: String,
    pub(super) policy: RetryPolicy,
    jitter: Mutex<Jitter>,
}

impl Api {
    pub(super) fn new(http: reqwest::Client, tokens: TokenClient, graph_url: &str, seed: &[u8]) -> Self {
        Self {
            http,
            tokens,
            root: format!("{}/{VERSION}", graph_url.trim_end_matches('/')),
            policy: RetryPolicy::default(),
            jitter: Mutex::new(Jitter::new(seed)),
        }
    }

    /// A call's answer; waits and repeats as the policy says. `pass` is asked before each attempt, and its epoch shown in the
    /// request id.
    pub(super) async fn send(&self, call: &Call, pass: &Pass) -> Result<Json, CallError> {
        let url = format!("{}/{}", self.root, call.path);
        self.send_to(&url, call, pass).await
    }

    /// Reads one resource.
    pub(super) async fn get(&self, path: &str) -> Result<Json, CallError> {
        self.send(&Call::get(path), &Pass::reading()).await
    }

    /// Reads a page by the link the service gave. A link to any other place would carry the token away.
    pub(super) async fn follow(&self, link: &str, prefer: Option<String>) -> Result<Json, CallError> {
        if !link.strip_prefix(&self.root).is_some_and(|rest| rest.starts_with('/')) {
            let text = "a page's link leads to another server and is not followed";
            let error = ConnectorError::new(ErrorClass::Fatal, "GRAPH-LINK", self.root.clone(), text)
                .hint("check `graph_url`: it must be the root under which the service names itself");
            return Err(CallError::NotDone(error));
        }
        let mut call = Call::get("");
        call.prefer = prefer;
        self.send_to(link, &call, &Pass::reading()).await
    }

    /// Reads all pages of a small collection.
    pub(super) async fn get_all(&self, path: &str) -> Result<Vec<Json>, CallError> {
        let mut page = self.get(path).await?;
        let mut all = Vec::new();
        loop {
            if let Some(Json::Array(items)) = page.get_mut("value").map(Json::take) {
                all.extend(items);
            }
            match page.get("@odata.nextLink").and_then(Json::as_str).map(str::to_owned) {
                Some(link) => page = self.follow(&link, None).await?,
                None => return Ok(all),
            }
        }
    }

    async fn send_to(&self, url: &str, call: &Call, pass: &Pass) -> Result<Json, CallError> {
        let mut attempt = 1;
        loop {
            let error = match self.send_signed_in(url, call, pass).await {
                Ok(body) => return Ok(body),
                Err(error) => error,
            };
            let wait = failure(&error).and_then(|f| self.wait(f, call.repeatable, attempt));
            let Some(wait) = wait else { return Err(error) };
            tracing::debug!(?call, ?error, ?wait, "request is repeated");
            tokio::time::sleep(wait).await;
            attempt += 1;
        }
    }

    /// A call's answer at the first attempt.
    pub(super) async fn send_once(&self, call: &Call, pass: &Pass) -> Result<Json, CallError> {
        let url = format!("{}/{}", self.root, call.path);
        self.send_signed_in(&url, call, pass).await
    }

    /// Sends once; when the token is refused, once more with a new one.
    async fn send_signed_in(&self, url: &str, call: &Call, pass: &Pass) -> Result<Json, CallError> {
        let token = self.token().await?;
        match self.exchange(url, call, pass, &token).await {
            Err(CallError::Api(error)) if error.status == 401 => {
                self.tokens.forget(&token).await;
                let token = self.token().await?;
                self.exchange(url, call, pass, &token).await
            }
            other => other,
        }
    }

    pub(super) async fn token(&self) -> Result<Token, CallError> {
        self.tokens.token(&self.http).await.map_err(CallError::NotDone)
    }

    /// The policy's answer, with this client's jitter.
    pub(super) fn wait(&self, failure: Failure, repeatable: bool, attempt: u32) -> Option<Duration> {
        let jitter = self.jitter.lock().map_or(0, |mut j| j.next());
        self.policy.wait(failure, repeatable, attempt, jitter)
    }

    async fn exchange(&self, url: &str, call: &Call, pass: &Pass, token: &Token) -> Result<Json, CallError> {
        let place = format!("{} {}", call.method.as_str(), without_query(url));
        let id = random_guid(u32::try_from(pass.epoch).unwrap_or(u32::MAX)).map_err(CallError::NotDone)?;
        let mut request = self
            .http
            .request(call.method.to_http(), url)
            .bearer_auth(token.text.expose_secret())
            .header("client-request-id", id);
        if let Some(prefer) = &call.prefer {
            request = request.header("Prefer", prefer);
        }
        if let Some(body) = &call.body {
            request = request.json(body);
        }
        // Asked last: the token may have taken its time, and between this and the bytes there is only the sending.
        pass.check().await.map_err(CallError::NotDone)?;
        let mut answer = request.send().await.map_err(|e| {
            let error = transport(&e, &place);
            if e.is_connect() || e.is_builder() { CallError::NotDone(error) } else { CallError::Lost(error) }
        })?;
        let status = answer.status().as_u16();
        let retry_after = retry_after(answer.headers());
        let mut bytes = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(|e| CallError::Lost(transport(&e, &place)))? {
            if bytes.len() + chunk.len() > ANSWER_BYTES_MAX {
                let text = format!("the answer is longer than {ANSWER_BYTES_MAX} bytes");
                let error = ConnectorError::new(ErrorClass::Fatal, "GRAPH-ANSWER", place, text);
                return Err(CallError::NotDone(error));
            }
            bytes.extend_from_slice(&chunk);
        }
        judge(status, &bytes, retry_after, &place)
    }
}

/// Reads an answer.
fn judge(status: u16, bytes: &[u8], retry_after: Option<Duration>, place: &str) -> Result<Json, CallError> {
    let json: Option<Json> =
        if bytes.is_empty() { Some(Json::Null) } else { serde_json::from_slice(bytes).ok() };
    match (status, json) {
        (200..=299, Some(json)) => Ok(json),
        (200..=299, None) => {
            let text = format!("the answer is no whole JSON: {} bytes came", bytes.len());
            let error = ConnectorError::new(ErrorClass::Transient, "GRAPH-ANSWER", place, text)
                .hint("check what stands between this machine and the service; the next run tries again");
            Err(CallError::Lost(error))
        }
        (_, Some(json)) => Err(CallError::Api(ApiError::read(status, &json, retry_after))),
        (_, None) => {
            let text = String::from_utf8_lossy(bytes);
            Err(CallError::Api(ApiError::foreign(status, &text, retry_after)))
        }
    }
}

/// What the policy needs to know of an error; `None` when repeating is out of the question.
pub(super) fn failure(error: &CallError) -> Option<Failure> {
    match error {
        CallError::NotDone(e) if e.class == ErrorClass::Transient => Some(Failure::NotSent),
        CallError::NotDone(ConnectorError { class: ErrorClass::Throttled(retry_after), .. }) => {
            Some(Failure::Status { status: 429, retry_after: *retry_after })
        }
        CallError::NotDone(_) => None,
        CallError::Lost(_) => Some(Failure::Lost),
        // 409 means "later" only where the code says so.
        CallError::Api(e) if e.status == 409 && !e.is_concurrency() => None,
        CallError::Api(e) => Some(Failure::Status { status: e.status, retry_after: e.retry_after }),
    }
}

pub(super) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    headers.get(RETRY_AFTER).and_then(|v| v.to_str().ok()).and_then(parse_retry_after)
}

fn without_query(url: &str) -> &str {
    url.split_once('?').map_or(url, |(path, _)| path)
}

/// Percent-encodes a key or literal for a path or query: everything but unreserved characters.
pub(super) fn encode(text: &str) -> String {
    text.bytes().fold(String::with_capacity(text.len() + 8), |mut out, byte| {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(char::from(byte)),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
        out
    })
}

/// A string literal of an OData query, percent-encoded: quotes inside are doubled.
pub(super) fn literal(text: &str) -> String {
    format!("'{}'", encode(&text.replace('\'', "''")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_cannot_end_early() {
        assert_eq!(literal("o'brien#EXT#@x y"), "'o%27%27brien%23EXT%23%40x%20y'");
        assert_eq!(encode("a+/="), "a%2B%2F%3D");
    }

    #[test]
    fn half_an_answer_is_a_lost_one() {
        assert!(matches!(judge(200, b"{\"value\": [", None, "x"), Err(CallError::Lost(_))));
        assert!(matches!(judge(204, b"", None, "x"), Ok(Json::Null)));
        assert!(matches!(judge(502, b"<html>", None, "x"), Err(CallError::Api(e)) if e.status == 502));
    }

    #[test]
    fn calls_are_shown_without_their_bodies() {
        let call = Call::post("users", serde_json::json!({"password": "geheim"}));
        assert_eq!(format!("{call:?}"), "POST users");
    }
}
