//! What a directory says about itself is kept with its connector: plans rest on it, and `status` needs no network.

use onesync_engine::{ANCHOR_ONLY, Changes, NAME_DOMAINS};
use onesync_model::Time;
use onesync_store::StoreReader;
use serde::{Deserialize, Serialize};

use crate::error::ServiceError;
use crate::runtime::{ConnectorHandle, Runtime, Service};

/// What a directory calls itself, as read last: the same to every server that is connected to it.
pub(crate) const TARGET: &str = "target";
/// When what a connector depends on ends, as read last.
pub(crate) const EXPIRIES: &str = "expiries";
/// Days before the end of something on which `status` speaks up.
const WARN_DAYS: [i64; 3] = [1, 7, 30];
const SECONDS_PER_DAY: i64 = 86_400;

/// How old the last answer about ends may be before a directory is asked again.
const ASK_AGAIN_SECONDS: i64 = 6 * 3_600;

/// Everything that ends, and when the directory was asked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Ends {
    asked: i64,
    ends: Vec<End>,
}

/// The end of something that a connector depends on; in seconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct End {
    what: String,
    at: i64,
}

impl End {
    /// What to say about it now; `None` as long as it is far away.
    fn warning(&self, now: Time) -> Option<String> {
        let left = self.at - now.seconds();
        if left < 0 {
            return Some(format!("{} has ended at {}", self.what, Time::from_seconds(self.at)));
        }
        let stage = WARN_DAYS.into_iter().find(|days| left <= days * SECONDS_PER_DAY)?;
        let stage = if stage == 1 { "a day".to_owned() } else { format!("{stage} days") };
        Some(format!("{} ends within {stage}, at {}", self.what, Time::from_seconds(self.at)))
    }
}

impl Service {
    /// Asks a directory, after an import, for what must be known of it, and keeps that. What it tells anew puts
    /// everything on the agenda.
    pub(crate) async fn learn(
        &self,
        runtime: &Runtime,
        connector: &ConnectorHandle,
    ) -> Result<(), ServiceError> {
        let (domains_known, target_known, kept) = {
            let reader = self.store().reader()?;
            let state = |name| reader.state(connector.id, name);
            (state(NAME_DOMAINS)?, state(TARGET)?, self.kept(&*reader, connector)?)
        };
        let (domains, anchor_only, target) = match connector.connector.facts().await {
            Ok(facts) => (
                facts.domains.map(|domains| domains.encode()),
                facts.anchor_only,
                facts.target.map(String::into_bytes),
            ),
            Err(error) => {
                // What was known stays; who is protected is unknown until it can be read again.
                tracing::warn!(connector = connector.name(), %error, "what the directory says about itself could not be read");
                (
                    domains_known,
                    Some(format!("what the directory says about itself could not be read ({error})")),
                    target_known,
                )
            }
        };
        let kept = if self.now().seconds() - kept.asked < ASK_AGAIN_SECONDS {
            kept
        } else {
            match connector.connector.expiries().await {
                Ok(ends) => Ends {
                    asked: self.now().seconds(),
                    ends: ends.into_iter().map(|end| End { what: end.what, at: end.at.seconds() }).collect(),
                },
                Err(error) => {
                    tracing::warn!(connector = connector.name(), %error, "ends of credentials could not be read");
                    kept
                }
            }
        };
        let ends = serde_json::to_vec(&kept).map_err(|error| ServiceError::Internal(error.to_string()))?;
        let (states, planned) = {
            let reader = self.store().reader()?;
            let mut states = Vec::new();
            let mut planned = false;
            for (name, value, plans) in [
                (NAME_DOMAINS, domains, true),
                (ANCHOR_ONLY, anchor_only.map(String::into_bytes), true),
                (EXPIRIES, Some(ends), false),
                (TARGET, target, false),
            ] {
                let known = reader.state(connector.id, name)?;
                if known != value {
                    // Why roles cannot be read is for people; what plans rest on is whether they can.
                    planned |= plans && (name != ANCHOR_ONLY || known.is_some() != value.is_some());
                    states.push((connector.id, name.to_owned(), value));
                }
            }
            (states, planned)
        };
        if planned {
            self.mark_full_sync(runtime)?;
        }
        if !states.is_empty() {
            self.store().apply(self.epoch(), &Changes { states, ..Changes::default() })?;
        }
        Ok(())
    }

    /// Warnings about what ends soon, 30, 7 and 1 days before.
    pub(crate) fn end_warnings(&self, connector: &ConnectorHandle) -> Result<Vec<String>, ServiceError> {
        let kept = self.kept(&*self.store().reader()?, connector)?;
        Ok(kept.ends.iter().filter_map(|end| end.warning(self.now())).collect())
    }

    fn kept(&self, reader: &dyn StoreReader, connector: &ConnectorHandle) -> Result<Ends, ServiceError> {
        let state = reader.state(connector.id, EXPIRIES)?;
        Ok(state.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warnings_come_30_7_and_1_days_before_the_end() {
        let now = Time::from_seconds(1_000_000_000);
        let says = |days: i64| {
            End { what: "secret".into(), at: now.seconds() + days * SECONDS_PER_DAY }.warning(now)
        };
        assert_eq!(says(31), None);
        assert!(says(30).unwrap().contains("30 days"));
        assert!(says(8).unwrap().contains("30 days"));
        assert!(says(7).unwrap().contains(" 7 days"));
        assert!(says(1).unwrap().contains("a day"));
        assert!(says(-1).unwrap().contains("has ended"));
    }
}
