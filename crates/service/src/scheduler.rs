//! Whether cycles run by themselves, when the last one ran, and when the next one is due.
//!
//! What is switched and what was done stands in the database, so that it holds for whoever serves it; the interval is
//! a matter of the configuration.

use onesync_model::Time;
use onesync_store::{MoveMark, ServiceChanges};
use serde::{Deserialize, Serialize};

use crate::cycle::CycleReport;
use crate::daemon::{Heart, LOCK, heart};
use crate::error::{ServiceError, Status};
use crate::events;
use crate::runtime::Service;
use crate::schedule::Schedule;
use crate::work::holder;

/// The setting that says whether the scheduler is on. It is where nothing is said: what may be exported is another
/// question, and begins in staging.
pub(crate) const SWITCH: &str = "scheduler";
/// The setting with the epoch that a server took by itself while it was off; nobody has switched it since.
pub(crate) const IDLE: &str = "scheduler-idle";
/// The setting that keeps what is known of the last cycle.
const LAST: &str = "last-cycle";
/// The result of a cycle that was asked to stop.
const STOPPED: &str = "stopped";

/// A cycle that ran, or runs.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct LastCycle {
    /// When it began.
    pub began: String,
    /// When it ended; `None` while it runs, or when its process was killed.
    pub ended: Option<String>,
    /// `done`, `object errors`, `held back`, `failed`, `stopped`.
    pub result: Option<String>,
    /// What was wrong.
    pub error: Option<String>,
    /// Whether a person ran it, not the daemon.
    #[serde(default)]
    pub by_hand: bool,
}

/// The scheduler in one look.
#[derive(Clone, Debug, Serialize)]
pub struct SchedulerView {
    /// Whether it is on.
    pub on: bool,
    /// When cycles run, as people read it; `None` when no configuration can be used.
    pub schedule: Option<String>,
    /// When the next cycle is due; in the past when it waits for the daemon. `None` when none is.
    pub next: Option<String>,
    /// The last cycle.
    pub last: Option<LastCycle>,
    /// The daemon; `None` when none answers.
    pub daemon: Option<Heart>,
    /// Whose daemon has the home and does not answer: it was stopped, hangs, or the machine is that busy.
    pub silent: Option<String>,
    /// Whether a process works on the installation now.
    pub working: bool,
}

/// What the scheduler says of the next cycle.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Due {
    /// It is switched off.
    Off,
    /// No cycle comes: no configuration that can be used.
    Never,
    /// Then.
    At(Time),
}

impl Service {
    /// Switches the scheduler. A cycle under way goes on.
    ///
    /// # Errors
    /// When the database cannot be written.
    pub fn set_scheduler(&self, on: bool) -> Result<(), ServiceError> {
        let word = if on { "on" } else { "off" };
        let settings = vec![(SWITCH.to_owned(), word.to_owned()), (IDLE.to_owned(), String::new())];
        let events = vec![self.audit(&events::SCHEDULER, word, "")];
        self.record(&ServiceChanges { settings, events, ..ServiceChanges::default() })
    }

    /// The scheduler in one look.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub fn scheduler(&self) -> Result<SchedulerView, ServiceError> {
        let next = match self.due()? {
            Due::At(time) => Some(time.to_string()),
            Due::Off | Due::Never => None,
        };
        let daemon = heart(self.home().folder());
        Ok(SchedulerView {
            on: self.scheduler_is_on()?,
            schedule: self.schedule()?.map(|schedule| schedule.words().to_owned()),
            next,
            last: self.last_cycle()?,
            silent: daemon.is_none().then(|| holder(self.home().folder(), LOCK)).flatten(),
            daemon,
            working: self.is_worked_on(),
        })
    }

    /// Whether a process works on the installation now: a cycle, a step, a change of the configuration.
    #[must_use]
    pub fn is_worked_on(&self) -> bool {
        crate::work::is_worked_on(self.home().folder())
    }

    pub(crate) fn scheduler_is_on(&self) -> Result<bool, ServiceError> {
        Ok(self.store().reader()?.setting(SWITCH)?.as_deref() != Some("off"))
    }

    /// What is wrong when this server took this epoch by itself while the scheduler was off, and nobody has said since that it is to
    /// be.
    pub(crate) fn is_idle(&self, epoch: u64) -> Result<Option<ServiceError>, ServiceError> {
        let idle = self.store().reader()?.setting(IDLE)?;
        let ours = idle.as_ref() == Some(&epoch.to_string()) && !self.scheduler_is_on()?;
        Ok(ours.then(|| {
            ServiceError::held(
                "this server took over by itself, and the scheduler is off: nobody runs cycles",
                "`onesync scheduler on` resumes; `onesync scheduler off` says that it is to be so",
            )
        }))
    }

    fn schedule(&self) -> Result<Option<Schedule>, ServiceError> {
        let Ok(runtime) = self.runtime() else { return Ok(None) };
        let read = Schedule::read(&runtime.configuration.main.schedule);
        read.map(Some).map_err(|(key, message)| {
            ServiceError::config(format!("`schedule.{key}` in onesync.toml: {message}"), "apply it corrected")
        })
    }

    pub(crate) fn due(&self) -> Result<Due, ServiceError> {
        if !self.scheduler_is_on()? {
            return Ok(Due::Off);
        }
        let Some(schedule) = self.schedule()? else { return Ok(Due::Never) };
        let last = self.last_cycle()?;
        // A cycle of the daemon that was cut off goes on at once: by a wish, or because its process was killed. Whoever
        // ends one by hand may have a reason.
        let cut_off = last.as_ref().is_some_and(|last| match &last.result {
            _ if last.by_hand => false,
            None => !self.is_worked_on(),
            Some(result) => result == STOPPED,
        });
        if cut_off {
            return Ok(Due::At(self.now()));
        }
        let began = last.and_then(|last| last.began.parse().ok());
        Ok(schedule.due(began, self.now()).map_or(Due::Never, Due::At))
    }

    /// Whether another configuration is applied by now.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub(crate) fn is_outdated(&self) -> Result<bool, ServiceError> {
        if self.home().names()?.as_ref() != self.named() {
            return Ok(true);
        }
        let reader = self.store().reader()?;
        let theirs = reader.installation()?.map_or(self.epoch(), |installation| installation.epoch);
        if theirs != self.epoch() && self.standing().must_be_active().is_ok() {
            return match MoveMark::of(&**self.store())? {
                // Until the move has ended there is nothing to do but to look.
                Some(MoveMark::Leaving { epoch, .. }) if epoch == theirs => Ok(!self.home().is_moving()),
                // It moved and stayed, this home took over by another command, or another server did: whoever opens it
                // anew sees that.
                _ => Ok(true),
            };
        }
        match self.standing().must_be_active() {
            Err(_) if self.stands_elsewhere()? => return Ok(true),
            Ok(()) if self.database_must_know_us().is_err() => return Ok(true),
            _ => {}
        }
        let latest = reader.config_versions()?.last().map_or(0, |version| version.version);
        Ok(latest != self.version_applied())
    }

    /// The last cycle, whoever ran it.
    pub(crate) fn last_cycle(&self) -> Result<Option<LastCycle>, ServiceError> {
        let text = self.store().reader()?.setting(LAST)?;
        // What another version wrote is no reason not to run: it is as if none had run.
        Ok(text.and_then(|text| serde_json::from_str(&text).ok()))
    }

    /// Notes that a cycle begins.
    pub(crate) fn note_begin(&self, by_hand: bool) -> Result<LastCycle, ServiceError> {
        let began = self.now().to_string();
        let last = LastCycle { began, ended: None, result: None, error: None, by_hand };
        self.note(&last)?;
        Ok(last)
    }

    /// Notes how a cycle ended.
    pub(crate) fn note_end(
        &self,
        began: LastCycle,
        ended: &Result<CycleReport, ServiceError>,
    ) -> Result<(), ServiceError> {
        match ended {
            Err(error) => self.note_failure(began, error),
            Ok(report) => {
                let error = report.failures.first().map(|failure| failure.message.clone());
                self.note_result(began, word(report.exit_status()), error)
            }
        }
    }

    /// Notes that a cycle could not be ended.
    pub(crate) fn note_failure(&self, began: LastCycle, error: &ServiceError) -> Result<(), ServiceError> {
        let result = match error {
            ServiceError::Stopped { .. } => STOPPED,
            other => word(other.status()),
        };
        self.note_result(began, result, Some(error.to_string()))
    }

    fn note_result(&self, began: LastCycle, result: &str, error: Option<String>) -> Result<(), ServiceError> {
        let ended = Some(self.now().to_string());
        self.note(&LastCycle { ended, result: Some(result.to_owned()), error, ..began })
    }

    fn note(&self, last: &LastCycle) -> Result<(), ServiceError> {
        let text = serde_json::to_string(last).map_err(|error| ServiceError::Internal(error.to_string()))?;
        let settings = vec![(LAST.to_owned(), text)];
        self.record(&ServiceChanges { settings, ..ServiceChanges::default() })
    }
}

/// How a cycle ended, in words.
fn word(status: Status) -> &'static str {
    match status {
        Status::Done => "done",
        Status::ObjectErrors => "object errors",
        Status::Held => "held back",
        Status::Failed | Status::Usage => "failed",
    }
}
