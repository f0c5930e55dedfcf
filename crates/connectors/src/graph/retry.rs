//! When a request is sent again, and after how long: a pure function of what happened.
//!
//! Deliberately absent: sleeping, sending, randomness of its own.

use std::time::Duration;

/// How often and how long to try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Most times one request is sent.
    pub attempts_max: u32,
    /// Most times a connection is tried: a wrong host or port must not take long to be told.
    pub connects_max: u32,
    /// The first wait where the service names none; it doubles each time.
    pub base: Duration,
    /// The longest wait of our own choice.
    pub cap: Duration,
    /// The longest wait the service may ask for inside a step; a longer one ends the step as throttled.
    pub wait_max: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            attempts_max: 6,
            connects_max: 3,
            base: Duration::from_millis(500),
            cap: Duration::from_secs(30),
            wait_max: Duration::from_secs(90),
        }
    }
}

/// What happened to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// Nothing reached the service.
    NotSent,
    /// It may have reached the service; no (whole) answer came.
    Lost,
    /// The service answered with this status.
    Status {
        /// HTTP status.
        status: u16,
        /// What the answer asks to wait.
        retry_after: Option<Duration>,
    },
}

impl RetryPolicy {
    /// How long to wait before sending again; `None` to give up.
    ///
    /// `repeatable` says that sending twice does no harm. `attempt` counts from 1. `jitter` is any number.
    #[must_use]
    pub fn wait(&self, failure: Failure, repeatable: bool, attempt: u32, jitter: u64) -> Option<Duration> {
        let most = if failure == Failure::NotSent { self.connects_max } else { self.attempts_max };
        if attempt >= most {
            return None;
        }
        let asked = match failure {
            Failure::NotSent => None,
            Failure::Lost if repeatable => None,
            // Turned away at the door: nothing was done.
            Failure::Status { status: 429, retry_after } => retry_after,
            Failure::Status { status: 409 | 424, retry_after } => retry_after,
            Failure::Status { status: 408 | 500 | 502 | 503 | 504 | 509, retry_after } if repeatable => {
                retry_after
            }
            Failure::Lost | Failure::Status { .. } => return None,
        };
        match asked {
            Some(asked) if asked > self.wait_max => None,
            Some(asked) => Some(asked),
            None => Some(self.backoff(attempt, jitter)),
        }
    }

    /// Half of the doubled wait for certain, the other half by chance, so that clients do not march in step.
    fn backoff(&self, attempt: u32, jitter: u64) -> Duration {
        let factor = 1u32.checked_shl(attempt.saturating_sub(1)).unwrap_or(u32::MAX);
        let whole = self.base.saturating_mul(factor).min(self.cap);
        let half = whole / 2;
        let parts = u64::try_from(half.as_micros()).unwrap_or(u64::MAX).max(1);
        half + Duration::from_micros(jitter % parts)
    }
}

/// Reads `Retry-After`: seconds, whole or with a fraction.
#[must_use]
pub fn parse_retry_after(text: &str) -> Option<Duration> {
    let seconds: f64 = text.trim().parse().ok()?;
    // An hour is more than any step waits: the class of the error then carries it to the service.
    (seconds.is_finite() && seconds >= 0.0).then(|| Duration::from_secs_f64(seconds.min(3600.0)))
}

/// A stream of numbers for jitter, from a given seed (SplitMix64).
#[derive(Clone, Debug)]
pub(super) struct Jitter(u64);

impl Jitter {
    pub(super) fn new(seed: &[u8]) -> Self {
        Self(onesync_model::hash64(seed))
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: RetryPolicy = RetryPolicy {
        attempts_max: 4,
        connects_max: 3,
        base: Duration::from_millis(100),
        cap: Duration::from_secs(1),
        wait_max: Duration::from_secs(10),
    };

    #[test]
    fn what_may_have_been_done_is_not_repeated() {
        let status = |status| Failure::Status { status, retry_after: None };
        for failure in [Failure::Lost, status(500), status(503), status(504)] {
            assert_eq!(POLICY.wait(failure, false, 1, 0), None);
            assert!(POLICY.wait(failure, true, 1, 0).is_some());
        }
        for failure in [Failure::NotSent, status(429), status(409)] {
            assert!(POLICY.wait(failure, false, 1, 0).is_some());
        }
        assert_eq!(POLICY.wait(status(400), true, 1, 0), None);
        assert_eq!(POLICY.wait(status(404), true, 1, 0), None);
    }

    #[test]
    fn the_service_says_how_long_within_reason() {
        let wait = |text: &str| {
            let failure = Failure::Status { status: 429, retry_after: parse_retry_after(text) };
            POLICY.wait(failure, true, 1, 7)
        };
        assert_eq!(wait("2.128"), Some(Duration::from_secs_f64(2.128)));
        assert_eq!(wait("10"), Some(Duration::from_secs(10)));
        assert_eq!(wait("300"), None);
        assert!(wait("soon").is_some_and(|w| w < Duration::from_millis(101)));
        assert_eq!(parse_retry_after("-1"), None);
        assert_eq!(parse_retry_after("inf"), None);
    }

    #[test]
    fn waits_double_up_to_the_cap_and_end() {
        let wait = |failure, attempt| POLICY.wait(failure, true, attempt, u64::MAX);
        assert!(wait(Failure::Lost, 1) < wait(Failure::Lost, 2));
        assert!(wait(Failure::Lost, 2) < wait(Failure::Lost, 3));
        assert_eq!((wait(Failure::Lost, 4), wait(Failure::NotSent, 3)), (None, None));
        assert!(POLICY.backoff(40, u64::MAX) <= POLICY.cap);
    }
}
