//! The leave to write to a directory: asked before every request, answered by the database and by the marker there.
//!
//! The database says that this server holds its epoch: read anew each time. Where a database cannot say it, because the
//! other server has one of its own (a restored copy), the marker at the target does. It is read again when what is known
//! of it is older than [`MARKER_FRESH`], by a clock that also counts while the machine sleeps or the process is stopped.
//! Whoever takes the marker away from another waits twice as long before it writes: by then the other one has looked
//! (`marker`). No clocks of two machines are compared. What remains: a server may be stopped between the answer and the request, in
//! each of its export workers once.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use onesync_connectors::{Connector, ConnectorError, ErrorClass, Pass, Permit};
use onesync_store::{Lease, ServerRow, Store, StoreError};

use crate::clock::Clock;
use crate::error::ServiceError;
use crate::marker::{Claim, hint, is_of_copy, not_ours};
use crate::runtime::{ConnectorHandle, Service};
use crate::standing::LEASE;

/// How long a marker that was read is believed.
pub(crate) const MARKER_FRESH: Duration = Duration::from_secs(1);
/// Looks at a marker before it is given up: each took longer than it may be believed.
const LOOKS_MAX: usize = 5;

/// The leave of this server to write to one directory during one step.
pub(crate) struct ExportPermit {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    connector: Arc<dyn Connector>,
    name: String,
    ours: Claim,
    /// The server that must hold the epoch; `None` for a copy for what-if.
    row: Option<ServerRow>,
    has_marker: bool,
    /// When the marker was asked for that was found to be ours.
    marker_seen: tokio::sync::Mutex<Option<Duration>>,
    refused: Mutex<Option<Refused>>,
}

/// What the leave was refused with first.
#[derive(Clone)]
struct Refused {
    message: String,
    hint: String,
    /// A copy of this server was found at the target.
    copied: bool,
}

impl fmt::Debug for ExportPermit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExportPermit").field("connector", &self.name).field("ours", &self.ours).finish()
    }
}

impl Service {
    /// The leave to write to a directory whose marker is ours.
    pub(crate) fn permit(
        &self,
        connector: &ConnectorHandle,
        ours: Claim,
    ) -> Result<Arc<ExportPermit>, ServiceError> {
        Ok(Arc::new(ExportPermit {
            store: self.store().clone(),
            clock: self.clock().clone(),
            connector: connector.connector.clone(),
            name: connector.name().to_owned(),
            ours,
            row: self.own_row(LEASE)?,
            has_marker: connector.capabilities.marker,
            marker_seen: tokio::sync::Mutex::new(None),
            refused: Mutex::new(None),
        }))
    }
}

impl ExportPermit {
    /// Whether what was known then may still be believed.
    fn is_fresh(&self, then: Duration) -> bool {
        self.clock.since_boot().saturating_sub(then) < MARKER_FRESH
    }

    pub(crate) fn claim(&self) -> &Claim {
        &self.ours
    }

    pub(crate) fn pass(self: &Arc<Self>) -> Pass {
        Pass::new(self.ours.marker.epoch, self.clone())
    }

    /// An error when it was refused, and whether because of a copy of this server: nothing was sent since, and nothing may be.
    pub(crate) fn refusal(&self) -> Option<(ServiceError, bool)> {
        let refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner).clone();
        refused.map(|Refused { message, hint, copied }| (ServiceError::held(message, hint), copied))
    }

    fn refuse(&self, message: String, hint: &str, copied: bool) -> ConnectorError {
        let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        refused.get_or_insert_with(|| Refused { message: message.clone(), hint: hint.to_owned(), copied });
        ConnectorError::new(ErrorClass::Fatal, "FENCED", self.name.clone(), message).hint(hint)
    }

    /// Whether the marker is ours, and when it was asked for; now where there is none.
    async fn marker_is_ours(&self) -> Result<Duration, ConnectorError> {
        if !self.has_marker {
            return Ok(self.clock.since_boot());
        }
        // Workers that ask at once wait for one answer.
        let mut seen = self.marker_seen.lock().await;
        let mut why = ("MARKER-SLOW", format!("cannot be read in less than {} s", MARKER_FRESH.as_secs()));
        for _ in 0..LOOKS_MAX {
            if let Some(seen) = seen.filter(|seen| self.is_fresh(*seen)) {
                return Ok(seen);
            }
            let asked = self.clock.since_boot();
            match self.connector.marker().await? {
                Some(there) if self.ours.is(&there) => *seen = Some(asked),
                // Of a replica that is behind: nothing is sent on that, and nobody is accused.
                Some(there) if self.ours.was(&there) => {
                    why = ("MARKER-OLD", "shows what this server had written before".to_owned());
                    self.clock.wait(MARKER_FRESH).await;
                }
                there => {
                    let (there, ours) = (there.as_ref(), &self.ours.marker);
                    let text = not_ours(&self.name, there, ours);
                    return Err(self.refuse(text, hint(there, ours), is_of_copy(there, ours)));
                }
            }
        }
        let (code, what) = why;
        let text = format!("the marker at `{}` {what}", self.name);
        Err(ConnectorError::new(ErrorClass::Transient, code, self.name.clone(), text))
    }

    /// Whether the database is still at our epoch, and we hold it.
    async fn epoch_is_ours(&self) -> Result<(), ConnectorError> {
        let (store, row) = (self.store.clone(), self.row.clone());
        let looked = tokio::task::spawn_blocking(move || look(&*store, row.as_ref())).await;
        let lease = match looked {
            Ok(Ok(lease)) => lease,
            Ok(Err(StoreError::Fenced { theirs, .. })) => return Err(self.replaced(theirs)),
            Ok(Err(error)) => return Err(self.unknown(&error)),
            Err(error) => return Err(self.unknown(&error)),
        };
        let other = self.row.as_ref().is_some_and(|row| !lease.is_of(&row.id));
        if lease.epoch != self.ours.marker.epoch || other {
            return Err(self.replaced(lease.epoch));
        }
        Ok(())
    }

    fn replaced(&self, theirs: u64) -> ConnectorError {
        let message = format!(
            "nothing more is written to `{}`: this server holds epoch {}, the database is at epoch {theirs}; another server has \
             taken over",
            self.name, self.ours.marker.epoch
        );
        self.refuse(message, "work goes on there; `onesync status` says which server it is", false)
    }

    fn unknown(&self, error: &dyn fmt::Display) -> ConnectorError {
        let message = format!(
            "nothing more is written to `{}`: whether this server is still the active one cannot be told: {error}",
            self.name
        );
        self.refuse(message, "nothing is lost: the next cycle goes on when the database answers", false)
    }
}

/// Who may write, by the database. A lease that has ended, because it could not be renewed, is renewed first: whoever
/// stands by may be about to take over.
fn look(store: &dyn Store, row: Option<&ServerRow>) -> Result<Lease, StoreError> {
    let lease = store.lease()?;
    match row {
        Some(row) if lease.epoch == row.epoch && lease.is_of(&row.id) && lease.left().is_zero() => {
            store.renew(row)
        }
        _ => Ok(lease),
    }
}

#[async_trait]
impl Permit for ExportPermit {
    async fn check(&self) -> Result<(), ConnectorError> {
        for _ in 0..LOOKS_MAX {
            let asked = self.marker_is_ours().await?;
            self.epoch_is_ours().await?;
            // A process that was stopped in between, or a database that took its time: what was known is old.
            if self.is_fresh(asked) {
                return Ok(());
            }
        }
        let text = format!("the database does not answer in less than {} s", MARKER_FRESH.as_secs());
        Err(ConnectorError::new(ErrorClass::Transient, "DATABASE-SLOW", self.name.clone(), text))
    }
}

#[cfg(test)]
mod tests {
    use onesync_connectors::memory::MemoryDirectory;
    use onesync_connectors::{Marker, Selection};
    use onesync_model::Time;
    use onesync_store::{InstallationRow, MemoryStore};

    use super::*;
    use crate::clock::ManualClock;

    #[tokio::test]
    async fn an_old_answer_refuses_nothing_for_good_and_a_copy_does() {
        let store = MemoryStore::new();
        let created = Time::from_seconds(0);
        store.install(&InstallationRow { id: "i".to_owned(), epoch: 1, staging: false, created }).unwrap();
        let connector = MemoryDirectory::new().connector(Selection::default());
        let marker = |taken: &str, number, session: &str| {
            let (taken, session) = (Some(taken.to_owned()), Some(session.to_owned()));
            Marker { taken, number, session, ..Marker::new("i", 1) }
        };
        let ours = Claim::with(marker("t", 5, "6-t-a"), &["3-s-a", "6-t-a"], &["s"]);
        let permit = ExportPermit {
            store: Arc::new(store),
            clock: Arc::new(ManualClock::new(created)),
            connector: Arc::new(connector.clone()),
            name: "cloud".to_owned(),
            ours,
            row: None,
            has_marker: true,
            marker_seen: tokio::sync::Mutex::new(None),
            refused: Mutex::new(None),
        };
        let shows = async |marker: Marker| {
            connector.set_marker(&marker).await.unwrap();
            connector.set_session(&marker).await.unwrap();
            *permit.marker_seen.lock().await = None;
            permit.check().await
        };
        shows(marker("t", 5, "6-t-a")).await.unwrap();
        let old = shows(marker("s", 2, "3-s-a")).await.unwrap_err();
        assert_eq!((old.class, old.code.as_str()), (ErrorClass::Transient, "MARKER-OLD"));
        assert!(permit.refusal().is_none());
        shows(marker("t", 5, "6-t-a")).await.unwrap();
        let copied = shows(marker("s", 2, "4-s-b")).await.unwrap_err();
        assert_eq!(copied.class, ErrorClass::Fatal);
        let (refused, copied) = permit.refusal().unwrap();
        assert!(copied && refused.hint().unwrap().starts_with("when the files of this home"), "{refused}");
    }
}
