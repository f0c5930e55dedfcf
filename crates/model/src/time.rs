//! Points in time: UTC, in ticks of 100 nanoseconds, the resolution of Windows FILETIME and of .NET.

use std::fmt;
use std::str::FromStr;

/// A point in time in UTC: ticks of 100 ns since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Time(i64);

/// 100 ns ticks in a second.
const TICKS_PER_SECOND: i64 = 10_000_000;
/// Seconds between 1601-01-01 (FILETIME's epoch) and 1970-01-01.
const FILETIME_EPOCH_OFFSET_SECONDS: i64 = 11_644_473_600;

impl Time {
    /// Makes a time of ticks of 100 ns since 1970.
    #[must_use]
    pub const fn from_ticks(ticks: i64) -> Self {
        Self(ticks)
    }

    /// Ticks of 100 ns since 1970.
    #[must_use]
    pub const fn ticks(self) -> i64 {
        self.0
    }

    /// Makes a time of whole seconds since 1970, saturating at the ends of the range.
    #[must_use]
    pub const fn from_seconds(seconds: i64) -> Self {
        Self(seconds.saturating_mul(TICKS_PER_SECOND))
    }

    /// Whole seconds since 1970, rounded down.
    #[must_use]
    pub const fn seconds(self) -> i64 {
        self.0.div_euclid(TICKS_PER_SECOND)
    }

    /// Reads a Windows FILETIME (100 ns since 1601); `None` outside the range.
    #[must_use]
    pub fn from_filetime(filetime: i64) -> Option<Self> {
        filetime.checked_sub(FILETIME_EPOCH_OFFSET_SECONDS * TICKS_PER_SECOND).map(Self)
    }

    /// Gives the Windows FILETIME; `None` outside the range.
    #[must_use]
    pub fn to_filetime(self) -> Option<i64> {
        self.0.checked_add(FILETIME_EPOCH_OFFSET_SECONDS * TICKS_PER_SECOND)
    }

    /// Adds seconds (may be negative), saturating at the ends of the range.
    #[must_use]
    pub const fn plus_seconds(self, seconds: i64) -> Self {
        Self(self.0.saturating_add(seconds.saturating_mul(TICKS_PER_SECOND)))
    }

    /// Reads an LDAP generalizedTime (RFC 4517 3.3.13), e.g. `20260131235959.0Z`; `None` where it is not one.
    #[must_use]
    pub fn parse_generalized(text: &str) -> Option<Self> {
        let digits = text.as_bytes();
        let whole = digits.get(..14)?;
        if !whole.iter().all(u8::is_ascii_digit) {
            return None;
        }
        let (fraction, zone) = match text.get(14..)? {
            rest if rest.starts_with(['.', ',']) => {
                let end = rest.get(1..)?.find(|c: char| !c.is_ascii_digit()).map(|at| at + 1)?;
                (rest.get(1..end)?, rest.get(end..)?)
            }
            rest => ("0", rest),
        };
        let offset = match zone {
            "Z" => "+00:00".to_owned(),
            z if z.len() == 5 => format!("{}:{}", z.get(..3)?, z.get(3..)?),
            _ => return None,
        };
        let t = |range: std::ops::Range<usize>| text.get(range).unwrap_or_default();
        let fraction = if fraction.is_empty() { "0" } else { fraction.get(..fraction.len().min(9))? };
        format!(
            "{}-{}-{}T{}:{}:{}.{fraction}{offset}",
            t(0..4),
            t(4..6),
            t(6..8),
            t(8..10),
            t(10..12),
            t(12..14)
        )
        .parse()
        .ok()
    }

    /// The same instant for calendar work.
    ///
    /// `None` when it lies outside the years -9999 to 9999.
    #[must_use]
    pub fn to_jiff(self) -> Option<jiff::Timestamp> {
        jiff::Timestamp::from_nanosecond(i128::from(self.0) * 100).ok()
    }

    /// From calendar work, rounded down to 100 ns.
    #[must_use]
    pub fn from_jiff(timestamp: jiff::Timestamp) -> Self {
        let ticks = timestamp.as_nanosecond().div_euclid(100);
        Self(i64::try_from(ticks).unwrap_or(if ticks < 0 { i64::MIN } else { i64::MAX }))
    }
}

impl FromStr for Time {
    type Err = jiff::Error;

    /// Reads RFC 3339.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse::<jiff::Timestamp>().map(Self::from_jiff)
    }
}

impl fmt::Display for Time {
    /// Writes RFC 3339 in UTC.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.to_jiff() {
            Some(timestamp) => timestamp.fmt(f),
            None => write!(f, "{}00ns", self.0),
        }
    }
}

impl fmt::Debug for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_directories_write() {
        assert_eq!(Time::parse_generalized("20260131235959.0Z"), "2026-01-31T23:59:59Z".parse().ok());
        assert_eq!(Time::parse_generalized("20260131235959Z"), "2026-01-31T23:59:59Z".parse().ok());
        assert_eq!(Time::parse_generalized("20260131235959.25+0100"), "2026-01-31T22:59:59.25Z".parse().ok());
        for bad in [
            "",
            "2026",
            "20261331235959Z",
            "20260131235959",
            "20260131235959.Z\u{e9}",
            "2026013123595\u{e9}Z",
        ] {
            assert_eq!(Time::parse_generalized(bad), None, "{bad}");
        }
        assert_eq!(Time::from_filetime(132_539_328_000_000_000), "2021-01-01T00:00:00Z".parse().ok());
        assert_eq!(Time::from_filetime(i64::MAX).map(|t| t.to_string().len() > 4), Some(true));
    }
}
