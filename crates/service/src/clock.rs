//! Where the time comes from: an argument for everything below.

use std::pin::Pin;
use std::sync::Mutex;
use std::time::Duration;

use onesync_model::Time;
use rustix::time::{ClockId, clock_gettime};

/// Gives the time.
pub trait Clock: Send + Sync {
    /// Now.
    fn now(&self) -> Time;

    /// Time since the machine was started, its sleep included, whatever is done to its clock: how old something is that
    /// must not be believed for long.
    fn since_boot(&self) -> Duration {
        // No file: a sandbox may hide what lies below /proc. And no `Instant`: that one stands while the machine sleeps.
        let since = clock_gettime(ClockId::Boottime);
        let seconds = Duration::from_secs(u64::try_from(since.tv_sec).unwrap_or_default());
        seconds.saturating_add(Duration::from_nanos(u64::try_from(since.tv_nsec).unwrap_or_default()))
    }

    /// Which start of the machine this is: another one after each, and on each machine. Empty where that is not known.
    fn boot(&self) -> String {
        let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        id.trim().to_owned()
    }

    /// Waits.
    fn wait(&self, time: Duration) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(tokio::time::sleep(time))
    }
}

/// The clock of the machine.
#[derive(Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Time {
        Time::from_jiff(jiff::Timestamp::now())
    }
}

/// A clock for demonstrations and tests: it stands until it is moved.
#[derive(Debug)]
pub struct ManualClock(Mutex<Time>);

impl ManualClock {
    /// A clock that shows this time.
    #[must_use]
    pub fn new(now: Time) -> Self {
        Self(Mutex::new(now))
    }

    /// Moves the clock forward.
    pub fn advance_seconds(&self, seconds: i64) {
        let mut now = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        *now = now.plus_seconds(seconds);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Time {
        *self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// It is moved by hand only: nobody is waited for.
    fn wait(&self, _time: Duration) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(std::future::ready(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_since_the_start_of_the_machine_is_that_of_the_system() {
        let before = SystemClock.since_boot();
        let text = std::fs::read_to_string("/proc/uptime").unwrap();
        let system: f64 = text.split(' ').next().unwrap().parse().unwrap();
        let after = SystemClock.since_boot();
        // The file shows hundredths of a second.
        let hundredth = Duration::from_millis(11);
        let system = Duration::from_secs_f64(system);
        assert!(
            before <= system + hundredth && system <= after + hundredth,
            "{before:?} {system:?} {after:?}"
        );
        assert!(!SystemClock.boot().is_empty());
    }
}
