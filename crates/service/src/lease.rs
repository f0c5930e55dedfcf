//! The lease: that the active server is there is said again and again, in the database, by a thread of its own.
//!
//! It is for whoever stands by, and for people: what may be written is a matter of the epoch alone. A thread, because a
//! sync keeps those of the runtime busy, and whoever works for long is not to be taken for gone.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use onesync_store::{ServerRow, ServiceChanges, Store, StoreError};

use crate::clock::{Clock as _, SystemClock};
use crate::daemon;
use crate::error::ServiceError;
use crate::events;
use crate::runtime::Service;
use crate::scheduler::IDLE;
use crate::standing::{self, LEASE, RESTART, ServerFile, ServerView, Standing};
use crate::work::{WorkLock, is_locked};

/// How often the lease is renewed: twice may fail before it ends.
pub(crate) const RENEW: Duration = Duration::from_secs(5);
/// How often a server with an embedded database says that it works: nobody stands by for it.
const RENEW_EMBEDDED: Duration = Duration::from_secs(60);

/// Whoever ends the keeping of a lease waits at most so long for a renewal under way.
const END: Duration = Duration::from_secs(1);

/// Renews a lease until it is dropped.
#[derive(Debug)]
pub(crate) struct Keeper(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// It is to end.
    end: bool,
    /// It has ended, and let go of the database.
    ended: bool,
}

impl Keeper {
    /// Renews it now, and from then on in a thread of its own.
    ///
    /// # Errors
    /// When it cannot be renewed now.
    pub(crate) fn start(
        store: Arc<dyn Store>,
        row: ServerRow,
        every: Duration,
    ) -> Result<Self, ServiceError> {
        store.renew(&row)?;
        let keeper = Self(Arc::default());
        let shared = keeper.0.clone();
        let renew = move || {
            while shared.sleeps(every) && may_go_on(&*store, &row) {}
            drop(store);
            shared.set(|state| state.ended = true);
        };
        std::thread::Builder::new()
            .name("lease".to_owned())
            .spawn(renew)
            .map_err(|error| ServiceError::Internal(format!("no thread for the lease: {error}")))?;
        Ok(keeper)
    }
}

/// Renews; whether there is a lease to renew again.
fn may_go_on(store: &dyn Store, row: &ServerRow) -> bool {
    match store.renew(row) {
        Ok(_) => true,
        Err(error @ StoreError::Fenced { .. }) => {
            // Into its database this server cannot write any more.
            events::tell(&events::row(SystemClock.now(), &events::LEASE_LOST, &row.id, &error.to_string()));
            false
        }
        // Until it works nothing is exported once the lease has ended.
        Err(error) => {
            tracing::warn!("the lease could not be renewed, it is tried again: {error}");
            true
        }
    }
}

impl Shared {
    fn set(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner));
        self.changed.notify_all();
    }

    /// Waits as long as the state is so, at most for a time; the state then.
    fn waits(&self, time: Duration, so: impl Fn(&State) -> bool) -> MutexGuard<'_, State> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.changed.wait_timeout_while(state, time, |state| so(state));
        waited.unwrap_or_else(PoisonError::into_inner).0
    }

    /// Sleeps between two renewals; whether there is to be a next one.
    fn sleeps(&self, time: Duration) -> bool {
        !self.waits(time, |state| !state.end).end
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.0.set(|state| state.end = true);
        drop(self.0.waits(END, |state| !state.ended));
    }
}

impl Service {
    /// The servers of this database, the active one first.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn servers(&self) -> Result<Vec<ServerView>, ServiceError> {
        standing::servers(&**self.store(), self.standing().server())
    }

    /// Whether other servers may work with the database.
    pub(crate) fn is_shared(&self) -> bool {
        self.named().is_some_and(|named| named.url != crate::database::EMBEDDED)
    }

    /// Keeps the lease while work is done; `None` for a copy for what-if.
    pub(crate) fn keep_lease(&self) -> Result<Option<Keeper>, ServiceError> {
        // Whoever works beside no daemon ends at once, and is not gone by that.
        let lease = if is_locked(self.home().folder(), daemon::LOCK) { LEASE } else { RESTART };
        let Some(row) = self.own_row(lease)? else { return Ok(None) };
        let every = if self.is_shared() { RENEW } else { RENEW_EMBEDDED };
        Keeper::start(self.store().clone(), row, every).map(Some)
    }

    /// What is noted of this server while it is the active one.
    pub(crate) fn own_row(&self, lease: Duration) -> Result<Option<ServerRow>, ServiceError> {
        self.row_as("active", lease)
    }

    /// The same, with what it does.
    pub(crate) fn row_as(&self, mode: &str, lease: Duration) -> Result<Option<ServerRow>, ServiceError> {
        let Standing::Active { epoch, .. } = *self.standing() else { return Ok(None) };
        let file = ServerFile::read(self.home())?;
        // While the database is being moved away there is no lease to keep; the epoch that is held then is none.
        Ok(file.filter(|file| file.epoch == epoch).map(|file| file.row(mode, lease)))
    }

    /// Takes the place of the active server: database and home together, so that a kill in between leaves one of both
    /// as the active one. The service is to be opened anew then. Gives the epoch.
    ///
    /// With `installation` the database gets this id: one that was restored is a copy, and goes on as another installation.
    ///
    /// # Errors
    /// When somebody works with this home, another server was faster, or something cannot be written.
    pub fn take_over(&self, installation: Option<&str>) -> Result<u64, ServiceError> {
        self.take_over_as(installation, false)
    }

    /// The same, without a person.
    pub(crate) fn take_over_by_itself(&self) -> Result<u64, ServiceError> {
        self.take_over_as(None, true)
    }

    fn take_over_as(&self, installation: Option<&str>, by_itself: bool) -> Result<u64, ServiceError> {
        let _lock = WorkLock::take(self.home().folder(), "taking over", self.now())?;
        let (copy, servers) = (self.copy_of()?, self.servers()?);
        // A copy knows its own server by now, which took no place yet.
        let before = servers.iter().find(|server| server.active && !server.here);
        let before = match (copy, before) {
            // Servers are of a database, and not in its backups.
            (Some(copy), _) => {
                let host = copy.host.as_deref().unwrap_or("the server");
                format!("{host}, of which a backup was taken at {}", copy.taken)
            }
            (None, Some(before)) => before.words(),
            (None, None) if servers.iter().any(|server| server.active) => {
                "itself, with the epoch before".to_owned()
            }
            (None, None) => "unknown".to_owned(),
        };
        let seen = self.store().lease()?.epoch;
        let epoch = self.home().take_over(&**self.store(), seen, installation, self.now())?;
        let mut text = format!("epoch {epoch}");
        let mut settings = Vec::new();
        if by_itself {
            text += ", by itself";
            if !self.scheduler_is_on()? {
                text += "; the scheduler is off";
                settings.push((IDLE.to_owned(), epoch.to_string()));
            }
        }
        let events = vec![self.audit(&events::TAKEN_OVER, &before, &text)];
        let noted = ServiceChanges { events, settings, ..ServiceChanges::default() };
        events::record(&**self.store(), epoch, &noted)?;
        Ok(epoch)
    }
}
