//! Faults on order: rules that match requests, and a seeded random mode that can be replayed.

use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::clock::Rng;

/// When a fault strikes: before the request has an effect, or after.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum FaultPhase {
    /// The request has no effect.
    #[default]
    Before,
    /// The request has its effect; only the answer suffers.
    After,
}

/// What happens to a request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "kind")]
pub enum FaultAction {
    /// An error in the service's envelope.
    #[serde(rename_all = "camelCase")]
    Status {
        /// HTTP status.
        status: u16,
        /// Error code; none takes the usual one of the status, an empty one stays empty.
        #[serde(default)]
        code: Option<String>,
        /// Error message; none takes the usual one.
        #[serde(default)]
        message: Option<String>,
        /// `Retry-After` as written: `5`, `2.128`.
        #[serde(default)]
        retry_after: Option<String>,
        /// Calls of the same workload before `Retry-After` has passed are refused too.
        #[serde(default)]
        sticky: bool,
    },
    /// An HTML page of a gateway.
    Html {
        /// HTTP status.
        status: u16,
    },
    /// The connection is closed without an answer.
    Reset,
    /// The connection ends in the middle of the body.
    Truncate,
    /// The HTTP answer is whole, its JSON is not.
    CutJson,
    /// The body comes in pieces with pauses.
    #[serde(rename_all = "camelCase")]
    SlowBody {
        /// Pause before each piece.
        delay_ms: u64,
    },
    /// The answer comes late.
    Delay {
        /// How late.
        ms: u64,
    },
    /// The answer is kept back until the faults are cleared; as with a delay, the request has had its effect.
    Hold,
    /// A page's nextLink leads to the same page once more.
    DuplicatePage,
    /// A delta token counts as expired.
    ExpireDelta,
}

/// A rule: which request, and what happens.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct FaultRule {
    /// HTTP method; none is any.
    pub method: Option<String>,
    /// Part of the path with its query; `*` stands for anything. None is any.
    pub path: Option<String>,
    /// Part of the body; none is any.
    pub body: Option<String>,
    /// The first matching request that is struck, counted from 1.
    pub nth: u64,
    /// How many requests are struck from then on; 0 is all.
    pub times: u64,
    /// Before or after the effect.
    pub phase: FaultPhase,
    /// What happens.
    pub action: FaultAction,
}

impl Default for FaultRule {
    fn default() -> FaultRule {
        FaultRule {
            method: None,
            path: None,
            body: None,
            nth: 1,
            times: 1,
            phase: FaultPhase::Before,
            action: FaultAction::Status {
                status: 503,
                code: None,
                message: None,
                retry_after: None,
                sticky: false,
            },
        }
    }
}

/// Random faults over all requests.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RandomFaults {
    /// The same seed strikes the same requests, if they come in the same order.
    pub seed: u64,
    /// Requests struck out of a thousand.
    pub per_mille: u64,
    /// What may happen, one of them at random.
    pub actions: Vec<(FaultPhase, FaultAction)>,
    /// Most strikes; 0 is no limit.
    pub max: u64,
}

impl Default for RandomFaults {
    fn default() -> RandomFaults {
        let status = |status, retry_after: Option<&str>| FaultAction::Status {
            status,
            code: None,
            message: None,
            retry_after: retry_after.map(str::to_owned),
            sticky: false,
        };
        RandomFaults {
            seed: 1,
            per_mille: 50,
            actions: vec![
                (FaultPhase::Before, status(429, Some("1"))),
                (FaultPhase::Before, status(503, None)),
                (FaultPhase::Before, status(504, None)),
                (FaultPhase::After, status(504, None)),
                (FaultPhase::Before, FaultAction::Reset),
                (FaultPhase::After, FaultAction::Reset),
                (FaultPhase::Before, FaultAction::Html { status: 503 }),
            ],
            max: 0,
        }
    }
}

/// A fault that strikes a request.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Strike {
    pub(crate) phase: FaultPhase,
    pub(crate) action: FaultAction,
}

/// The faults in force.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    rules: Vec<(FaultRule, u64)>,
    random: Option<(RandomFaults, Rng, u64)>,
    pub(crate) struck: u64,
    /// Hears when they are cleared.
    cleared: watch::Sender<()>,
}

impl Faults {
    pub(crate) fn add(&mut self, rule: FaultRule) {
        self.rules.push((rule, 0));
    }

    pub(crate) fn set_random(&mut self, random: Option<RandomFaults>) {
        self.random = random.map(|r| {
            let rng = Rng::new(r.seed, 0);
            (r, rng, 0)
        });
    }

    pub(crate) fn clear(&mut self) {
        self.rules.clear();
        self.random = None;
        self.cleared.send_replace(());
    }

    /// Hears when the faults are cleared from now on.
    pub(crate) fn cleared(&self) -> watch::Receiver<()> {
        self.cleared.subscribe()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rules.is_empty() && self.random.is_none()
    }

    /// The rules, with how often each has matched.
    pub(crate) fn rules(&self) -> &[(FaultRule, u64)] {
        &self.rules
    }

    /// The fault that strikes this request, if any; every matching rule counts it.
    pub(crate) fn strike(&mut self, method: &str, path: &str, body: &dyn Fn() -> String) -> Option<Strike> {
        let mut struck = None;
        for (rule, seen) in &mut self.rules {
            let fits = rule.method.as_ref().is_none_or(|m| m.eq_ignore_ascii_case(method))
                && rule.path.as_ref().is_none_or(|p| glob(p, path))
                && rule.body.as_ref().is_none_or(|b| body().contains(b.as_str()));
            if !fits {
                continue;
            }
            *seen += 1;
            let first = rule.nth.max(1);
            if struck.is_none() && *seen >= first && (rule.times == 0 || *seen < first + rule.times) {
                struck = Some(Strike { phase: rule.phase, action: rule.action.clone() });
            }
        }
        if struck.is_none()
            && let Some((random, rng, count)) = &mut self.random
            && (random.max == 0 || *count < random.max)
            && rng.below(1000) < random.per_mille
        {
            let at = usize::try_from(rng.below(random.actions.len() as u64)).unwrap_or(0);
            if let Some((phase, action)) = random.actions.get(at) {
                *count += 1;
                struck = Some(Strike { phase: *phase, action: action.clone() });
            }
        }
        self.struck += u64::from(struck.is_some());
        struck
    }
}

/// True when the text holds the pieces between the stars, in their order.
fn glob(pattern: &str, text: &str) -> bool {
    let mut rest = text;
    for piece in pattern.split('*').filter(|p| !p.is_empty()) {
        match rest.find(piece) {
            Some(at) => rest = rest.get(at + piece.len()..).unwrap_or_default(),
            None => return false,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_strikes_its_nth_match_only() {
        let mut faults = Faults::default();
        faults.add(FaultRule {
            method: Some("POST".into()),
            path: Some("/groups/*/members".into()),
            nth: 2,
            times: 2,
            action: FaultAction::Reset,
            ..FaultRule::default()
        });
        let mut hit = |m: &str, p: &str| faults.strike(m, p, &String::new).is_some();
        assert!(!hit("GET", "/v1.0/groups/1/members/$ref"));
        assert!(!hit("POST", "/v1.0/groups"));
        let hits: Vec<bool> = (0..4).map(|_| hit("POST", "/v1.0/groups/1/members/$ref")).collect();
        assert_eq!(hits, [false, true, true, false]);
    }

    #[test]
    fn random_faults_repeat_with_their_seed() {
        let run = |seed| {
            let mut faults = Faults::default();
            faults.set_random(Some(RandomFaults { seed, per_mille: 300, ..RandomFaults::default() }));
            (0..200).map(|_| faults.strike("GET", "/", &String::new)).collect::<Vec<_>>()
        };
        assert_eq!(run(3), run(3));
        assert_ne!(run(3), run(4));
        assert!(run(3).iter().flatten().count() > 20);
    }
}
