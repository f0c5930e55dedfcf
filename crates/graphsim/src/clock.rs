//! Time and randomness of the simulator: both are parameters, so that a run can be repeated.
//!
//! Deliberately absent: any other reading of the machine's clock or of a random source.

use std::time::Instant;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Where the simulator's time starts and whether it runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ClockMode {
    /// The machine's time, plus what control advances.
    Real,
    /// Stands still at this millisecond since 1970; only control advances it.
    Fixed(i64),
}

/// The simulator's clock.
#[derive(Debug)]
pub(crate) struct SimClock {
    mode: ClockMode,
    started: Instant,
    base_ms: i64,
    advanced_ms: i64,
}

impl SimClock {
    pub(crate) fn new(mode: ClockMode) -> SimClock {
        let base_ms = match mode {
            ClockMode::Real => Timestamp::now().as_millisecond(),
            ClockMode::Fixed(at) => at,
        };
        SimClock { mode, started: Instant::now(), base_ms, advanced_ms: 0 }
    }

    pub(crate) fn now_ms(&self) -> i64 {
        let run = match self.mode {
            ClockMode::Real => i64::try_from(self.started.elapsed().as_millis()).unwrap_or(i64::MAX),
            ClockMode::Fixed(_) => 0,
        };
        self.base_ms.saturating_add(run).saturating_add(self.advanced_ms)
    }

    pub(crate) fn advance(&mut self, ms: i64) {
        self.advanced_ms = self.advanced_ms.saturating_add(ms);
    }

    pub(crate) fn advanced_ms(&self) -> i64 {
        self.advanced_ms
    }

    pub(crate) fn set_advanced(&mut self, ms: i64) {
        self.advanced_ms = ms;
    }
}

/// Writes a time the way the directory does: UTC, whole seconds.
pub(crate) fn iso(ms: i64) -> String {
    let whole = ms.div_euclid(1000);
    Timestamp::from_second(whole).map_or_else(|_| String::from("0001-01-01T00:00:00Z"), |t| t.to_string())
}

/// SplitMix64: small, and the same everywhere.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Rng(u64);

impl Rng {
    pub(crate) fn new(seed: u64, stream: u64) -> Rng {
        Rng(seed ^ stream.wrapping_mul(0xA076_1D64_78BD_642F))
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number below `limit`; 0 when the limit is 0.
    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        if limit == 0 { 0 } else { self.next() % limit }
    }

    pub(crate) fn uuid(&mut self) -> uuid::Uuid {
        let high = self.next().to_be_bytes();
        let low = self.next().to_be_bytes();
        let mut bytes = [0u8; 16];
        for (to, from) in bytes.iter_mut().zip(high.into_iter().chain(low)) {
            *to = from;
        }
        uuid::Builder::from_random_bytes(bytes).into_uuid()
    }

    pub(crate) fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            let j = usize::try_from(self.below(i as u64 + 1)).unwrap_or(0);
            items.swap(i, j);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_repeat_with_the_seed_and_differ_without() {
        assert_eq!(Rng::new(7, 1).uuid(), Rng::new(7, 1).uuid());
        assert_ne!(Rng::new(7, 1).uuid(), Rng::new(8, 1).uuid());
        assert_ne!(Rng::new(7, 1).uuid(), Rng::new(7, 2).uuid());
    }

    #[test]
    fn a_fixed_clock_moves_only_when_told() {
        let mut clock = SimClock::new(ClockMode::Fixed(1_000));
        assert_eq!(clock.now_ms(), 1_000);
        clock.advance(500);
        assert_eq!(clock.now_ms(), 1_500);
        assert_eq!(iso(1_500), "1970-01-01T00:00:01Z");
    }
}
