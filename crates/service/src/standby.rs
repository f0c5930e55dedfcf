//! Standing by: what the daemon of a server does that is not the active one.
//!
//! It says that it is there, looks who holds the epoch, and takes over by itself when it is told to and that one is gone:
//! when the lease has ended by the database's own clock. Of several that see this at once the database lets one be first.
//! Whoever could not work with what it would take does not take it, and says so to all.

use std::time::Duration;

use onesync_store::{MoveMark, ServerRow, StoreError};
use onesync_vault::{Vault, VaultError};

use crate::activate::{COMMAND, must_be_finished};
use crate::copy::CopyOf;
use crate::daemon;
use crate::error::ServiceError;
use crate::lease::RENEW;
use crate::runtime::Service;
use crate::standing::{LEASE, RESTART, STANDBY, STOPPED, ServerFile, ServerView, StandbyMode, Standing};
use crate::work::is_locked;

/// How often a server looks that stands by for nothing.
const LOOKS: Duration = Duration::from_secs(10);

/// What is promised: a server that is gone is replaced within half a minute.
const _: () = assert!(LEASE.as_secs() + RENEW.as_secs() < 30);

/// What a server that is not the active one found.
pub(crate) enum Watch {
    /// It took over: the installation is to be opened anew.
    TookOver(u64),
    /// Nothing to do.
    Wait {
        /// In words.
        what: String,
        /// How long at most before looking again.
        at_most: Duration,
        /// What is wrong with the keys of a server that stands by.
        lacks: Option<ServiceError>,
    },
}

impl Watch {
    fn wait(what: String, at_most: Duration) -> Self {
        Self::Wait { what, at_most, lacks: None }
    }
}

impl Service {
    /// How this server stands by for the active one; never where there is none beside it.
    pub(crate) fn stands_by(&self) -> Result<StandbyMode, ServiceError> {
        match self.standing() {
            Standing::Joined { .. } | Standing::Replaced { .. } => self.home().standby(),
            Standing::Active { .. } | Standing::Behind { .. } => Ok(StandbyMode::Off),
        }
    }

    /// Looks whether the active server is there, and takes its place when it is not and this one may.
    ///
    /// # Errors
    /// When the database does not answer.
    pub(crate) fn watch(&self) -> Result<Watch, ServiceError> {
        let words = |error: ServiceError| error.to_string();
        if matches!(self.standing(), Standing::Active { .. }) {
            return Ok(Watch::wait("active".to_owned(), Duration::ZERO));
        }
        let mode = self.stands_by()?;
        if mode == StandbyMode::Off {
            return Ok(Watch::wait(self.must_be_active().map_or_else(words, |()| String::new()), LOOKS));
        }
        let wait = |what: String| Ok(Watch::wait(format!("stands by ({}){what}", mode.as_str()), RENEW));
        let lease = self.store().lease()?;
        let (missed, lacks) = (self.look_back(&lease)?, self.lacks_keys()?);
        let unfinished = must_be_finished(self.home()).err();
        let unfit = missed.or_else(|| lacks.as_ref().or(unfinished.as_ref()).map(ToString::to_string));
        self.be_seen(mode, unfit.clone())?;
        if let Some(why) = unfit {
            let what = format!("stands by ({}), and does not take over: {why}", mode.as_str());
            return Ok(Watch::Wait { what, at_most: RENEW, lacks });
        }
        let Some(active) = self.servers()?.into_iter().find(|server| server.active) else {
            // Nobody says that it holds the epoch: an older program may.
            return wait(", and knows no active server".to_owned());
        };
        let gone = lease.left().is_zero();
        let moving =
            matches!(MoveMark::of(&**self.store())?, Some(MoveMark::Leaving { .. } | MoveMark::Moved { .. }));
        match mode {
            StandbyMode::Automatic if gone && moving => {
                wait(": the database is being moved, which is not taken over".to_owned())
            }
            StandbyMode::Automatic if gone => match self.take_over_by_itself() {
                Ok(epoch) => Ok(Watch::TookOver(epoch)),
                // Another one was faster.
                Err(ServiceError::Store(StoreError::Fenced { .. })) => {
                    wait(": another server took over".to_owned())
                }
                Err(error) => Err(error),
            },
            _ => {
                let gone = if gone { ", and is gone" } else { "" };
                wait(format!(": the active server is {}{gone}", active.words()))
            }
        }
    }

    /// What keeps this server from opening what is sealed in the database. Only the names of keys are compared: this is asked
    /// every few seconds.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn lacks_keys(&self) -> Result<Option<ServiceError>, ServiceError> {
        let remedy = self.key_remedy()?.unwrap_or_else(|| format!("`{COMMAND}` brings it"));
        let (why, remedy) = match Vault::open(&self.home().key_set()) {
            Ok(vault) => {
                let needed = crate::keys::needed(&*self.store().reader()?)?;
                let lacking: Vec<String> = needed.into_iter().filter(|id| !vault.has(id)).collect();
                if lacking.is_empty() {
                    return Ok(None);
                }
                let lacking = lacking.join(", ");
                (format!("its key set lacks key {lacking}, which sealed what is in the database"), remedy)
            }
            Err(VaultError::Missing { .. }) => ("it has no key set".to_owned(), remedy),
            Err(error) => (
                format!("its key set cannot be opened: {error}"),
                format!(
                    "`onesync keys status` tries it again. Where it is lost, move `keyset.toml` away first: {remedy}"
                ),
            ),
        };
        Ok(Some(ServiceError::held(why, remedy)))
    }

    /// How a server beside the active one gets the keys that it lacks: what changes secrets or gives them up is refused there.
    /// `None` for any other.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn key_remedy(&self) -> Result<Option<String>, ServiceError> {
        let beside = matches!(self.standing(), Standing::Joined { .. } | Standing::Replaced { .. });
        let here = beside && CopyOf::of(&*self.store().reader()?)?.is_none();
        Ok(here.then(|| {
            "`onesync keys export FILE` on the active server, then `onesync activate FILE ACCOUNT --stand-by` here, which takes \
             nobody's place"
                .to_owned()
        }))
    }

    /// Whether this server could be the active one: it is not, and has the keys, unless it is to go `without_keys`. Gives
    /// the active one when that is neither gone nor was stopped.
    ///
    /// # Errors
    /// When it is the active one already, is no successor of it, or its key set does not open what is sealed.
    pub fn may_take_over(&self, without_keys: bool) -> Result<Option<ServerView>, ServiceError> {
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
        if let Some(error) = self.lacks_keys()?.filter(|_| !without_keys) {
            let remedy = error.hint().unwrap_or_default();
            return Err(ServiceError::held(
                format!("this server does not take over: {error}"),
                format!(
                    "{remedy}. Where neither that server nor a key file is left: `onesync standby take --without-keys`, and \
                     `onesync keys abandon --key-files-are-lost` then"
                ),
            ));
        }
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

    /// The names of the servers that take over by themselves from this one, where no daemon keeps its lease.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn who_would_take_over(&self) -> Result<Vec<String>, ServiceError> {
        if is_locked(self.home().folder(), daemon::LOCK) {
            return Ok(Vec::new());
        }
        let others = self.servers()?.into_iter().filter(|server| !server.here && server.would_take_over());
        Ok(others.map(|server| server.name().to_owned()).collect())
    }

    /// Says in the database that this server stands by, and what keeps it from taking over.
    fn be_seen(&self, mode: StandbyMode, unfit: Option<String>) -> Result<(), ServiceError> {
        let Some(file) = ServerFile::read(self.home())? else { return Ok(()) };
        let row = file.row_with(&format!("{STANDBY}{}", mode.as_str()), unfit, LEASE);
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
