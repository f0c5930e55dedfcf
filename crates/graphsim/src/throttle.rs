//! Throttling of the identity workload: resource units and writes per application, times a scale; and workloads
//! held until a `Retry-After` has passed.

use std::collections::HashMap;

use crate::error::GraphError;
use crate::message::Req;

/// Resource units per ten seconds for an application in a tenant of more than 500 users.
const UNITS: f64 = 8000.0;
const UNITS_WINDOW_MS: f64 = 10_000.0;
/// Writes per 150 seconds.
const WRITES: f64 = 3000.0;
const WRITES_WINDOW_MS: f64 = 150_000.0;
/// Share of the limit from which the service tells how full it is.
const TELL_FROM: f64 = 0.8;

/// The state of the buckets.
#[derive(Debug, Default)]
pub(crate) struct Throttle {
    units: Bucket,
    writes: Bucket,
    held: HashMap<String, i64>,
}

#[derive(Debug, Default)]
struct Bucket {
    used: f64,
    at_ms: i64,
}

impl Bucket {
    /// Takes from the bucket; an error is the milliseconds until it fits. Refused calls count too.
    fn take(&mut self, now_ms: i64, cost: f64, limit: f64, window_ms: f64) -> Result<f64, i64> {
        let per_ms = limit / window_ms;
        let elapsed = (now_ms - self.at_ms).max(0) as f64;
        self.used = (self.used - elapsed * per_ms).max(0.0) + cost;
        self.at_ms = now_ms;
        if self.used > limit {
            // What is refused counts, but must not push the end away for ever.
            self.used = self.used.min(limit * 2.0);
            // The next call has to fit as well.
            return Err(((self.used - limit + cost) / per_ms).ceil() as i64 + 1);
        }
        Ok(self.used / limit)
    }
}

/// Resource units of a request.
pub(crate) fn cost(req: &Req) -> u32 {
    let names: Vec<&str> = req.segs.iter().map(|s| s.name.as_str()).collect();
    let base: i32 = match (req.method.as_str(), names.as_slice()) {
        ("GET", ["groups", _, "transitiveMembers", ..]) => 5,
        ("GET", ["groups", _, "members", ..]) | (_, [_, "getByIds"]) => 3,
        (_, [.., "checkMemberGroups"]) => 4,
        (_, [.., "getMemberGroups"]) | ("GET", ["users"] | ["users", _, "memberOf", ..]) => 2,
        _ => 1,
    };
    let top = req.query.get("$top").and_then(|t| t.parse::<u32>().ok());
    let change = i32::from(req.query.get("$expand").is_some())
        - i32::from(req.query.get("$select").is_some())
        - i32::from(top.is_some_and(|t| t < 20));
    u32::try_from((base + change).max(1)).unwrap_or(1)
}

impl Throttle {
    /// Holds a workload until a time.
    pub(crate) fn hold(&mut self, workload: &str, until_ms: i64) {
        self.held.insert(workload.to_owned(), until_ms);
    }

    /// Refuses a request that is too much; else tells how full the bucket is, if it is.
    pub(crate) fn check(&mut self, req: &Req, now_ms: i64, scale: f64) -> Result<Option<f64>, GraphError> {
        let workload = req.segs.first().map_or("", |s| s.name.as_str());
        if let Some(until) = self.held.get(workload).copied() {
            if now_ms < until {
                return Err(refusal(until - now_ms, "Tenant_Application/ReadWrite", "WriteLimitExceeded"));
            }
            self.held.remove(workload);
        }
        if scale <= 0.0 {
            return Ok(None);
        }
        let mut full = self
            .units
            .take(now_ms, f64::from(cost(req)), UNITS * scale, UNITS_WINDOW_MS)
            .map_err(|wait| refusal(wait, "Tenant_Application/ReadWrite", "ResourceUnitLimitExceeded"))?;
        if req.method != "GET" {
            let writes = self
                .writes
                .take(now_ms, 1.0, WRITES * scale, WRITES_WINDOW_MS)
                .map_err(|wait| refusal(wait, "Tenant_Application/Write", "WriteLimitExceeded"))?;
            full = full.max(writes);
        }
        Ok(Some(full).filter(|f| *f >= TELL_FROM))
    }
}

fn refusal(wait_ms: i64, scope: &str, information: &'static str) -> GraphError {
    let seconds = (wait_ms.max(1) as u64).div_ceil(1000);
    GraphError::new(429, "TooManyRequests", "Please retry again later.")
        .header("Retry-After", seconds.to_string())
        .header("x-ms-throttle-scope", scope)
        .header("x-ms-throttle-information", information)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_empties_with_time() {
        let mut bucket = Bucket::default();
        for _ in 0..10 {
            assert!(bucket.take(0, 1.0, 10.0, 1000.0).is_ok());
        }
        let wait = bucket.take(0, 1.0, 10.0, 1000.0).unwrap_err();
        assert!((200..=300).contains(&wait), "{wait}");
        assert!(bucket.take(1000, 1.0, 10.0, 1000.0).is_ok());
    }
}
