//! The request log: what came, what was answered, for assertions such as "each change exported exactly once".

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Entries kept; older ones are dropped, as a long demo must not fill the memory.
const ENTRIES_MAX: usize = 1_000_000;

/// One request; an item of a batch has an entry of its own.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LogEntry {
    /// Counts from 1.
    pub number: u64,
    /// The simulator's time.
    pub at_ms: i64,
    /// HTTP method.
    pub method: String,
    /// Path with the version, as sent.
    pub path: String,
    /// Query, as sent.
    pub query: String,
    /// Status answered; 0 when the connection was closed instead.
    pub status: u16,
    /// The client's id of the request.
    pub client_request_id: Option<String>,
    /// Our id of the request.
    pub request_id: String,
    /// Of a batch item: its id in the batch.
    pub batch_item: Option<String>,
    /// The fault that struck.
    pub fault: Option<String>,
    /// True when the request had its effect, whatever was answered.
    pub done: bool,
    /// The body, when bodies are kept.
    pub request_body: Option<Value>,
    /// The answer's body, when bodies are kept.
    pub response_body: Option<Value>,
}

/// How often one shape of request came, by status.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counter {
    /// All of them.
    pub requests: u64,
    /// By the status answered.
    pub statuses: BTreeMap<u16, u64>,
}

/// Log and statistics.
#[derive(Debug, Default)]
pub(crate) struct Log {
    entries: VecDeque<LogEntry>,
    counters: BTreeMap<String, Counter>,
    next: u64,
    pub(crate) keep_bodies: bool,
}

impl Log {
    pub(crate) fn push(&mut self, mut entry: LogEntry) {
        self.next += 1;
        entry.number = self.next;
        if !self.keep_bodies {
            entry.request_body = None;
            entry.response_body = None;
        }
        let counter = self.counters.entry(shape(&entry.method, &entry.path)).or_default();
        counter.requests += 1;
        *counter.statuses.entry(entry.status).or_default() += 1;
        if self.entries.len() >= ENTRIES_MAX {
            self.entries.pop_front();
        }
        self.entries.push_back(entry);
    }

    pub(crate) fn after(&self, number: u64) -> impl Iterator<Item = &LogEntry> {
        self.entries.iter().filter(move |e| e.number > number)
    }

    pub(crate) fn mark(&self) -> u64 {
        self.next
    }

    pub(crate) fn counters(&self) -> &BTreeMap<String, Counter> {
        &self.counters
    }

    pub(crate) fn clear(&mut self) {
        self.entries.clear();
        self.counters.clear();
    }
}

/// `PATCH /v1.0/users/{id}`: keys are taken out, so that requests of one sort count together.
fn shape(method: &str, path: &str) -> String {
    let part = |part: &str| -> String {
        let name = part.split('(').next().unwrap_or(part);
        if part.contains("('") || part.contains("='") {
            format!("{name}({{key}})")
        } else if part.contains('@') || part.contains("%40") || uuid::Uuid::parse_str(part).is_ok() {
            "{id}".to_owned()
        } else {
            part.to_owned()
        }
    };
    let parts: Vec<String> = path.split('/').map(part).collect();
    format!("{method} {}", parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_of_one_sort_count_together() {
        let id = "87d349ed-44d7-43e1-9a83-5f2406dee5bd";
        assert_eq!(shape("GET", &format!("/v1.0/users/{id}/manager")), "GET /v1.0/users/{id}/manager");
        assert_eq!(shape("GET", "/v1.0/users/a@b.c"), "GET /v1.0/users/{id}");
        assert_eq!(shape("PATCH", "/v1.0/groups(uniqueName='x')"), "PATCH /v1.0/groups({key})");
    }
}
