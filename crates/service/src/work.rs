//! Work on an installation: one at a time, and it can be asked to stop.
//!
//! The lock is a file in the home that the system locks for the process that works, and releases when that process
//! ends, however it ends: nothing has to be cleared up after a crash. What is written in the file only tells people
//! who it is.

use std::fs::{File, TryLockError};
use std::io::{Read as _, Seek as _, Write as _};
use std::path::Path;
use std::time::Duration;

use onesync_model::Time;
use onesync_store::ServiceChanges;
use tokio::sync::watch;

use crate::clock::Clock;
use crate::error::ServiceError;
use crate::home::no_link;
use crate::lease::Keeper;
use crate::runtime::Service;
use crate::standing::Standing;

/// The lock's file in the home.
const FILE: &str = "work.lock";
/// Longest line about the holder that is shown.
const HOLDER_MAX: u64 = 200;
/// How often is looked whether whoever works has ended.
const LOOK: Duration = Duration::from_millis(200);
/// How often the lock is tried while others only look at it.
const LOCK_TRIES: u32 = 100;
/// How many of the last runs are looked at for one that did not end: a process has one open at a time.
const RUNS_LOOKED_AT: usize = 10;
/// The result of a run whose process ended before it did.
pub(crate) const INTERRUPTED: &str = "interrupted";

/// Held while work is done; released when dropped, or when the process ends.
#[derive(Debug)]
pub(crate) struct WorkLock {
    _file: File,
    /// Of whoever works with the database.
    _lease: Option<Keeper>,
}

impl WorkLock {
    /// Takes the lock of a home, or says who has it.
    pub(crate) fn take(folder: &Path, what: &str, now: Time) -> Result<Self, ServiceError> {
        Self::take_file(folder, FILE, what, now)
    }

    /// Takes the lock of a home as soon as nobody has it. Meanwhile `waiting` hears again and again who has it; an error of
    /// its own ends the waiting.
    pub(crate) fn take_when_idle(
        folder: &Path,
        what: &str,
        clock: &dyn Clock,
        waiting: &mut dyn FnMut(&str) -> Result<(), ServiceError>,
    ) -> Result<Self, ServiceError> {
        loop {
            match Self::take(folder, what, clock.now()) {
                Err(ServiceError::Held { message, .. }) => waiting(&message)?,
                taken => return taken,
            }
            // The system wakes nobody who waits for a lock and wants to be asked meanwhile.
            std::thread::sleep(LOOK);
        }
    }

    /// Takes another lock of a home, or says who has it.
    pub(crate) fn take_file(folder: &Path, file: &str, what: &str, now: Time) -> Result<Self, ServiceError> {
        let path = folder.join(file);
        let failed = |source| ServiceError::File { place: path.display().to_string(), source };
        let mut file =
            no_link().read(true).write(true).create(true).truncate(false).open(&path).map_err(failed)?;
        for tries_left in (0..LOCK_TRIES).rev() {
            match file.try_lock() {
                Ok(()) => break,
                // Whoever only looks whether somebody works lets go at once.
                Err(TryLockError::WouldBlock) if tries_left > 0 && file.try_lock_shared().is_ok() => {
                    std::thread::yield_now();
                }
                Err(TryLockError::WouldBlock) => {
                    return Err(ServiceError::held(
                        format!("{} is being worked on by {}", folder.display(), told(file)),
                        "one at a time: wait until it has ended, or end that process (nothing is lost by it)",
                    ));
                }
                Err(TryLockError::Error(source)) => return Err(failed(source)),
            }
        }
        let holder = format!("process {} ({what}), since {now}\n", std::process::id());
        file.set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| file.write_all(holder.as_bytes()))
            .map_err(failed)?;
        Ok(Self { _file: file, _lease: None })
    }
}

/// What the holder of a lock has written into it. Who it is only helps; the lock counts.
fn told(file: File) -> String {
    let mut holder = String::new();
    match file.take(HOLDER_MAX).read_to_string(&mut holder) {
        Ok(_) if !holder.trim().is_empty() => holder.trim().to_owned(),
        _ => "another process".to_owned(),
    }
}

/// Who has a lock of a home now.
pub(crate) fn holder(folder: &Path, file: &str) -> Option<String> {
    is_locked(folder, file)
        .then(|| File::open(folder.join(file)).map_or_else(|_| "another process".to_owned(), told))
}

/// Whether a process works on a home now. Where that cannot be seen, somebody may.
pub(crate) fn is_worked_on(folder: &Path) -> bool {
    is_locked(folder, FILE)
}

/// Whether a process has a lock of a home now.
pub(crate) fn is_locked(folder: &Path, file: &str) -> bool {
    match File::open(folder.join(file)) {
        Ok(file) => file.try_lock_shared().is_err(),
        Err(error) => error.kind() != std::io::ErrorKind::NotFound,
    }
}

/// Asks work to stop.
#[derive(Clone, Debug)]
pub struct Stopper(watch::Sender<Option<String>>);

impl Stopper {
    /// Asks: the work stops after the transaction or the export batch it is in; the next cycle goes on from there.
    pub fn stop(&self, why: &str) {
        self.0.send_replace(Some(why.to_owned()));
    }
}

impl Service {
    /// Takes the lock for work that must not happen twice at once. Runs that are still open belong to a process that
    /// was killed: they are marked.
    pub(crate) fn begin_work(&self, what: &str) -> Result<WorkLock, ServiceError> {
        if let Standing::Behind { what, .. } = self.standing() {
            self.tell_behind(what);
        }
        self.must_be_active()?;
        crate::activate::must_be_finished(self.home())?;
        let lock = WorkLock::take(self.home().folder(), what, self.now())?;
        if self.home().names()?.as_ref() != self.named() {
            return Err(ServiceError::held(
                "the database was moved meanwhile",
                "do it again: it is done where the database is now",
            ));
        }
        self.database_must_know_us()?;
        let lock = WorkLock { _lease: self.keep_lease()?, ..lock };
        let mut open = self.store().reader()?.runs(None, None, RUNS_LOOKED_AT)?;
        open.retain(|run| run.ended.is_none());
        if !open.is_empty() {
            for run in &mut open {
                run.ended = Some(self.now());
                run.result = Some(INTERRUPTED.to_owned());
            }
            self.record(&ServiceChanges { runs_ended: open, ..ServiceChanges::default() })?;
        }
        Ok(lock)
    }

    /// An error on a server that is not the active one.
    pub(crate) fn must_be_active(&self) -> Result<(), ServiceError> {
        self.standing().must_be_active()
    }

    /// What asks the work under way to stop.
    #[must_use]
    pub fn stopper(&self) -> Stopper {
        Stopper(self.stop_asked().clone())
    }

    /// An error when the work was asked to stop.
    pub(crate) fn check_stop(&self) -> Result<(), ServiceError> {
        match &*self.stop_asked().borrow() {
            Some(why) => Err(ServiceError::Stopped { why: why.clone() }),
            None => Ok(()),
        }
    }

    /// Waits until the work is asked to stop.
    pub(crate) async fn stopped(&self) -> ServiceError {
        // The sender lives as long as the service: waiting cannot fail before it is asked.
        let why = match self.stop_asked().subscribe().wait_for(Option::is_some).await {
            Ok(why) => why.clone().unwrap_or_default(),
            Err(_) => String::new(),
        };
        ServiceError::Stopped { why }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use onesync_model::{ConnectorId, RunId};
    use onesync_store::RunRow;

    use super::*;
    use crate::{Home, SystemClock};

    #[tokio::test]
    async fn a_run_that_no_process_works_on_is_interrupted() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::new(folder.path().join("home"));
        home.create(&SystemClock).unwrap();
        let service = Service::open(home, Arc::new(SystemClock), 1).await.unwrap();
        let result = || service.run_list(1).unwrap()[0]["result"].as_str().unwrap().to_owned();
        let lock = service.begin_work("test").unwrap();
        let run = RunRow {
            id: RunId(1),
            connector: ConnectorId(1),
            step: "export".into(),
            started: SystemClock.now(),
            ended: None,
            result: None,
            counters: "{}".into(),
        };
        service.record(&ServiceChanges { runs: vec![run], ..ServiceChanges::default() }).unwrap();
        assert_eq!(result(), "running");
        drop(lock);
        assert_eq!(result(), INTERRUPTED);
        service.begin_work("looking at it does not lock it").unwrap();
    }
}
