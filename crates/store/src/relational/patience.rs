//! Pauses between attempts at a server that may come back.

use std::time::{Duration, Instant};

use crate::error::StoreError;

/// A server that was lost is waited for this long: long enough for a restart, also after a crash.
const PATIENCE: Duration = Duration::from_secs(60);
/// The first pause before something is tried again; each further one is twice as long.
const PAUSE_MIN: Duration = Duration::from_millis(20);
/// The longest pause.
const PAUSE_MAX: Duration = Duration::from_secs(2);

/// Pauses between attempts, longer each time and never the same for two programs, until patience ends.
pub(crate) struct Patience {
    end: Instant,
    pause: Duration,
}

impl Patience {
    pub(crate) fn new() -> Self {
        Self { end: Instant::now() + PATIENCE, pause: PAUSE_MIN }
    }

    /// Waits before the next attempt; gives the error back when there is to be none.
    pub(crate) fn pause(&mut self, error: StoreError) -> Result<(), StoreError> {
        if !error.is_transient() || Instant::now() >= self.end {
            return Err(error);
        }
        // Two writers that met would meet again after equal pauses.
        let share = std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), self.pause) % 1000;
        std::thread::sleep(self.pause.mul_f64(0.5 + share as f64 / 1000.0));
        self.pause = (self.pause * 2).min(PAUSE_MAX);
        Ok(())
    }
}
