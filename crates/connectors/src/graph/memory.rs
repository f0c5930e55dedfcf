//! What one connector remembers between calls: caches with a short life, and objects too new to be seen everywhere.
//!
//! Nothing here must survive a restart.

use std::collections::{BTreeSet, HashSet};
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::Duration;

use onesync_model::hash64;
use serde_json::Value as Json;
use tokio::time::Instant;

use super::GraphConnector;
use super::http::{Call, CallError};
use super::marker::AnchorPlace;
use super::tenant::{Organization, RoleHolders};
use crate::{ConnectorError, Pass};

/// What was read of tenant and roles is believed this long while writing.
const BELIEVED: Duration = Duration::from_secs(300);
/// A new object may be "not found" this long: the service's replicas take their time.
const NEW_FOR: Duration = Duration::from_secs(300);
/// How often a new object that is not found is looked for, and how long at first.
const NEW_ATTEMPTS: u32 = 5;
const NEW_WAIT: Duration = Duration::from_millis(250);

#[derive(Default)]
pub(super) struct Memory {
    organization: Option<(Instant, Arc<Organization>)>,
    roles: Option<(Instant, Arc<RoleHolders>)>,
    /// Id of the marker's group, and where groups keep their anchors.
    pub(super) marker: Option<(String, AnchorPlace)>,
    /// Whether it was made here, and not found yet: somebody else may have made one at the same time.
    pub(super) marker_made: bool,
    new: NewObjects,
}

/// Objects that were made a short time ago, by hashes of their ids: each note costs the same however many there are,
/// and two that share a hash only wait for each other.
#[derive(Default)]
struct NewObjects {
    /// Those noted since `turned`, and those noted in the time before.
    young: HashSet<u64>,
    old: HashSet<u64>,
    turned: Option<Instant>,
}

impl NewObjects {
    fn note(&mut self, id: &str, now: Instant) {
        self.turn(now);
        self.young.insert(hash64(id.as_bytes()));
    }

    /// Whether it was noted at most [`NEW_FOR`] ago; it may be known for twice as long.
    fn has(&mut self, id: &str, now: Instant) -> bool {
        self.turn(now);
        let hash = hash64(id.as_bytes());
        self.young.contains(&hash) || self.old.contains(&hash)
    }

    fn forget(&mut self, id: &str) {
        let hash = hash64(id.as_bytes());
        self.young.remove(&hash);
        self.old.remove(&hash);
    }

    fn turn(&mut self, now: Instant) {
        let age = now.duration_since(*self.turned.get_or_insert(now));
        if age < NEW_FOR {
            return;
        }
        self.old = std::mem::take(&mut self.young);
        if age >= 2 * NEW_FOR {
            self.old.clear();
        }
        self.turned = Some(now);
    }
}

impl GraphConnector {
    /// Never held across an await.
    pub(super) fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The organisation, read now.
    pub(super) async fn read_organization(&self) -> Result<Arc<Organization>, CallError> {
        let read = Arc::new(Organization::read(&self.api).await?);
        self.memory().organization = Some((Instant::now(), Arc::clone(&read)));
        Ok(read)
    }

    /// The organisation, as read a short time ago.
    pub(super) async fn organization(&self) -> Result<Arc<Organization>, CallError> {
        let known = self.memory().organization.clone();
        match known {
            Some((at, known)) if at.elapsed() < BELIEVED => Ok(known),
            _ => self.read_organization().await,
        }
    }

    /// The tenant's verified domains, in lower case, and its default domain.
    ///
    /// # Errors
    /// When the organisation cannot be read.
    pub async fn domains(&self) -> Result<(BTreeSet<String>, Option<String>), ConnectorError> {
        let found = self.organization().await.map_err(|e| e.at("organization"))?;
        Ok((found.domains.clone(), found.default_domain.clone()))
    }

    /// Who holds directory roles, read now.
    pub(super) async fn read_roles(&self) -> Arc<RoleHolders> {
        let read = if self.settings.protect_role_holders {
            Arc::new(RoleHolders::read(&self.api).await)
        } else {
            Arc::new(RoleHolders::NotAsked)
        };
        self.memory().roles = Some((Instant::now(), Arc::clone(&read)));
        read
    }

    /// Who holds directory roles, as read a short time ago.
    pub(super) async fn roles(&self) -> Arc<RoleHolders> {
        let known = self.memory().roles.clone();
        match known {
            Some((at, known)) if at.elapsed() < BELIEVED => known,
            _ => self.read_roles().await,
        }
    }

    /// Whether directory roles could be read the last time; where not, matching by name must stay off.
    #[must_use]
    pub fn roles_known(&self) -> Option<bool> {
        let known = self.memory().roles.clone();
        known.map(|(_, roles)| !matches!(*roles, RoleHolders::Unknown(_)))
    }

    pub(super) fn note_new(&self, id: &str) {
        self.memory().new.note(id, Instant::now());
    }

    /// A deleted object is not to be waited for.
    pub(super) fn forget_new(&self, id: &str) {
        self.memory().new.forget(id);
    }

    pub(super) fn is_new(&self, id: &str) -> bool {
        self.memory().new.has(id, Instant::now())
    }

    /// How long to wait before asking again for something that is not found; `None` when it is really not there.
    pub(super) fn wait_for_new<'i>(
        &self,
        mut ids: impl Iterator<Item = &'i str>,
        attempt: u32,
    ) -> Option<Duration> {
        (attempt < NEW_ATTEMPTS && ids.any(|id| self.is_new(id))).then(|| NEW_WAIT * (1 << attempt))
    }

    /// Sends a call about one object, with patience if it is new.
    pub(super) async fn send_new(&self, id: &str, call: &Call, pass: &Pass) -> Result<Json, CallError> {
        let mut attempt = 0;
        loop {
            match self.api.send(call, pass).await {
                Err(error) if error.is_not_found() => match self.wait_for_new([id].into_iter(), attempt) {
                    Some(wait) => tokio::time::sleep(wait).await,
                    None => return Err(error),
                },
                other => return other,
            }
            attempt += 1;
        }
    }

    pub(super) async fn get_new(&self, id: &str, path: &str) -> Result<Json, CallError> {
        self.send_new(id, &Call::get(path), &Pass::reading()).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn new_objects_are_known_for_their_time_and_then_forgotten() {
        let start = Instant::now();
        let mut new = NewObjects::default();
        new.note("a", start);
        new.note("b", start + NEW_FOR / 2);
        new.note("gone", start);
        new.forget("gone");
        assert!(!new.has("gone", start) && !new.has("other", start));
        assert!(new.has("a", start + NEW_FOR - Duration::from_secs(1)));
        assert!(new.has("b", start + NEW_FOR + NEW_FOR / 2), "noted later");
        assert!(!new.has("b", start + 3 * NEW_FOR));
        assert!(new.young.is_empty() && new.old.is_empty());
        // Nothing was asked for a long time.
        new.note("c", start + 3 * NEW_FOR);
        assert!(!new.has("c", start + 9 * NEW_FOR));
    }
}
