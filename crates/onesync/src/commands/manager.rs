//! The system's service manager, as systemd's protocol knows it (`sd_notify(3)`).
//!
//! It is told on a thread of its own: it may be slow to read or not read at all, and sending waits for it. What it was not
//! told yet is told at once and as it is by then, so nothing piles up, and nothing that counts is lost.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sd_notify::NotifyState;

/// How long a manager that does not read is waited for at the end: its word that the process stops is worth no more.
const LAST_WORD: Duration = Duration::from_secs(1);

/// Tells the service manager; where there is none, nothing happens. Nobody waits for it.
#[derive(Clone)]
pub(super) struct Manager(Arc<(Mutex<News>, Condvar)>);

/// What is to be told.
#[derive(Default)]
struct News {
    ready: bool,
    status: Option<String>,
    alive: bool,
    stopping: bool,
    /// Nothing comes after this.
    last: bool,
    /// All is told.
    ended: bool,
}

impl News {
    fn is_none(&self) -> bool {
        !(self.ready || self.alive || self.stopping || self.last) && self.status.is_none()
    }
}

impl Manager {
    /// Begins to tell.
    pub(super) fn new() -> std::io::Result<Self> {
        let manager = Self(Arc::default());
        let of_thread = manager.clone();
        std::thread::Builder::new().name("manager".to_owned()).spawn(move || of_thread.tell_all())?;
        Ok(manager)
    }

    /// It is ready.
    pub(super) fn ready(&self) {
        self.say(|news| news.ready = true);
    }

    /// What it does.
    pub(super) fn status(&self, what: String) {
        self.say(|news| news.status = Some(what));
    }

    /// It is alive.
    pub(super) fn alive(&self) {
        self.say(|news| news.alive = true);
    }

    /// It stops.
    pub(super) fn stopping(&self) {
        self.say(|news| news.stopping = true);
    }

    /// It has stopped: a manager that reads has heard so, one that does not is not waited for.
    pub(super) fn end(&self) {
        self.say(|news| (news.stopping, news.last) = (true, true));
        let (_, changed) = &*self.0;
        let _ended_or_not = changed.wait_timeout_while(self.news(), LAST_WORD, |news| !news.ended);
    }

    fn news(&self) -> MutexGuard<'_, News> {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn say(&self, what: impl FnOnce(&mut News)) {
        what(&mut self.news());
        self.0.1.notify_all();
    }

    fn tell_all(&self) {
        let (_, changed) = &*self.0;
        let mut stops = false;
        loop {
            let News { ready, status, alive, stopping, last, .. } = {
                let news = changed.wait_while(self.news(), |news| news.is_none());
                std::mem::take(&mut *news.unwrap_or_else(PoisonError::into_inner))
            };
            let states = [
                ready.then_some(NotifyState::Ready),
                status.as_deref().map(NotifyState::Status),
                alive.then_some(NotifyState::Watchdog),
                (stopping && !std::mem::replace(&mut stops, true)).then_some(NotifyState::Stopping),
            ];
            let states: Vec<_> = states.into_iter().flatten().collect();
            if !states.is_empty()
                && let Err(error) = sd_notify::notify(&states)
            {
                tracing::warn!("the service manager does not listen: {error}");
            }
            if last {
                return self.say(|news| news.ended = true);
            }
        }
    }
}
