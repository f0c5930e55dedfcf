//! Standing by: what the daemon of a server does that is not the active one.
//!
//! It says that it is there, looks who holds the epoch, and takes over by itself when it is told to and that one is gone:
//! when the lease has ended by the database's own clock. Of several that see this at once the database lets one be first.

use std::time::Duration;

use onesync_store::{MoveMark, ServerRow, StoreError};

use crate::activate::must_be_finished;
use crate::error::ServiceError;
use crate::lease::RENEW;
use crate::runtime::Service;
use crate::standing::{LEASE, RESTART, STOPPED, ServerFile, ServerView, StandbyMode, Standing};

/// How often a server looks that stands by for nothing.
const LOOKS: Duration = Duration::from_secs(10);

/// What is promised: a server that is gone is replaced within half a minute.
const _: () = assert!(LEASE.as_secs() + RENEW.as_secs() < 30);

/// What a server that is not the active one found.
pub(crate) enum Watch {
    /// It took over: the installation is to be opened anew.
    TookOver(u64),
    /// Nothing to do: in words, and how long at most before looking again.
    Wait(String, Duration),
}

impl Service {
    /// Looks whether the active server is there, and takes its place when it is not and this one may.
    ///
    /// # Errors
    /// When the database does not answer.
    pub(crate) fn watch(&self) -> Result<Watch, ServiceError> {
        let wait = |what: String, at_most| Ok(Watch::Wait(what, at_most));
        let words = |error: ServiceError| error.to_string();
        let mode = match self.standing() {
            Standing::Active { .. } => return wait("active".to_owned(), Duration::ZERO),
            Standing::Joined { .. } | Standing::Replaced { .. } => self.home().standby()?,
            Standing::Behind { .. } => StandbyMode::Off,
        };
        if mode == StandbyMode::Off {
            return wait(self.must_be_active().map_or_else(words, |()| String::new()), LOOKS);
        }
        if let Err(error) = self.vault() {
            return wait(
                format!("cannot stand by: {error}; it gets the key set by `onesync activate`"),
                LOOKS,
            );
        }
        if let Err(error) = must_be_finished(self.home()) {
            return wait(format!("cannot stand by: {error}"), LOOKS);
        }
        let lease = self.store().lease()?;
        let missed = self.look_back(&lease)?;
        self.be_seen(mode, missed.is_some())?;
        if let Some(what) = missed {
            return wait(format!("stands by ({}), and does not take over: {what}", mode.as_str()), RENEW);
        }
        let active = self.servers()?.into_iter().find(|server| server.active);
        let Some(active) = active else {
            // Nobody says that it holds the epoch: an older program may.
            return wait(format!("stands by ({}), and knows no active server", mode.as_str()), RENEW);
        };
        let gone = lease.left().is_zero();
        let moving =
            matches!(MoveMark::of(&**self.store())?, Some(MoveMark::Leaving { .. } | MoveMark::Moved { .. }));
        match mode {
            StandbyMode::Automatic if gone && moving => wait(
                "stands by (automatic): the database is being moved, which is not taken over".to_owned(),
                RENEW,
            ),
            StandbyMode::Automatic if gone => match self.take_over(None) {
                Ok(epoch) => Ok(Watch::TookOver(epoch)),
                // Another one was faster.
                Err(ServiceError::Store(StoreError::Fenced { .. })) => {
                    wait("stands by (automatic): another server took over".to_owned(), RENEW)
                }
                Err(error) => Err(error),
            },
            _ => {
                let gone = if gone { ", and is gone" } else { "" };
                wait(
                    format!("stands by ({}): the active server is {}{gone}", mode.as_str(), active.words()),
                    RENEW,
                )
            }
        }
    }

    /// Whether this server could be the active one: it is not, and its key set is there. Gives the active one when that is
    /// neither gone nor was stopped.
    ///
    /// # Errors
    /// When it is the active one already, is no successor of it, or its key set is missing.
    pub fn may_take_over(&self) -> Result<Option<ServerView>, ServiceError> {
        match self.standing() {
            Standing::Active { .. } => {
                return Err(ServiceError::usage(
                    "this server is the active one",
                    "there is nothing to take over",
                ));
            }
            Standing::Behind { .. } => self.must_be_active()?,
            Standing::Joined { .. } | Standing::Replaced { .. } => {}
        }
        self.vault()?;
        must_be_finished(self.home())?;
        let lease = self.store().lease()?;
        if let Some(what) = self.home().missed(&**self.store(), self.installation_id(), &lease)? {
            return Err(ServiceError::held(
                format!("{what}. It is not taken over"),
                "`onesync activate` on the server that is to go on takes it as it is, and reads everything first; or say here \
                 `onesync standby manual` again, and this server forgets what it has seen",
            ));
        }
        let gone = lease.left().is_zero();
        Ok(self.servers()?.into_iter().find(|server| server.active && !gone && !server.is_stopped()))
    }

    /// Says in the database that this server stands by.
    fn be_seen(&self, mode: StandbyMode, missed: bool) -> Result<(), ServiceError> {
        let Some(file) = ServerFile::read(self.home())? else { return Ok(()) };
        let but = if missed { ", does not take over: the database was brought back from before" } else { "" };
        let row = file.row(&format!("standby {}{but}", mode.as_str()), LEASE);
        let row = ServerRow { epoch: 0, ..row };
        match self.store().renew(&row) {
            // Not noted yet, or as one that held an epoch once.
            Err(StoreError::Fenced { .. }) => Ok(self.store().enrol(&row)?),
            seen => Ok(seen.map(drop)?),
        }
    }

    /// Whether this server has another standing by now than when it was opened.
    pub(crate) fn stands_elsewhere(&self) -> Result<bool, ServiceError> {
        Ok(self.home().standing(&**self.store())?.word() != self.standing().word())
    }

    /// Says, when the daemon ends by itself, that this server has some time to begin again before it is taken for gone.
    pub(crate) fn leave_lease(&self) -> Result<(), ServiceError> {
        match self.row_as(STOPPED, RESTART)?.filter(|_| self.is_shared()) {
            Some(row) => Ok(self.store().renew(&row).map(drop)?),
            None => Ok(()),
        }
    }
}
