//! `[database]` of `onesync.toml`: what the database may take, and how long what happened is kept.

use serde::Deserialize;

use crate::config::parse_duration;

/// `[database]`.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct DatabaseFile {
    /// What it may take: `50GB`.
    pub max_size: Option<String>,
    /// How long changes of metaverse objects are kept: `90d`.
    pub keep_history: Option<String>,
    /// How long runs are kept.
    pub keep_runs: Option<String>,
    /// How long events are kept.
    pub keep_events: Option<String>,
    /// What the changes of metaverse objects may take: older ones go first.
    pub history_max_size: Option<String>,
}

/// The same, read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Keep {
    pub(crate) max_size: Option<u64>,
    /// Seconds.
    pub(crate) history: i64,
    pub(crate) runs: i64,
    pub(crate) events: i64,
    pub(crate) history_max_size: Option<u64>,
}

const DAY: i64 = 86_400;

impl Default for Keep {
    /// A quarter of a year of what happened to objects, a year of who did what.
    fn default() -> Self {
        Self { max_size: None, history: 90 * DAY, runs: 90 * DAY, events: 365 * DAY, history_max_size: None }
    }
}

impl Keep {
    /// Reads it; else the key that is wrong, and why.
    pub(crate) fn read(file: &DatabaseFile) -> Result<Self, (&'static str, String)> {
        let default = Self::default();
        let time = |key, text: &Option<String>, default| match text {
            None => Ok(default),
            Some(text) => match parse_duration(text) {
                Ok(seconds) if seconds >= DAY => Ok(seconds),
                Ok(_) => Err((key, "at least a day is kept: write e.g. 30d".to_owned())),
                Err(why) => Err((key, why)),
            },
        };
        let size = |key, text: &Option<String>| match text {
            None => Ok(None),
            Some(text) => parse_size(text).map(Some).map_err(|why| (key, why)),
        };
        Ok(Self {
            max_size: size("max_size", &file.max_size)?,
            history: time("keep_history", &file.keep_history, default.history)?,
            runs: time("keep_runs", &file.keep_runs, default.runs)?,
            events: time("keep_events", &file.keep_events, default.events)?,
            history_max_size: size("history_max_size", &file.history_max_size)?,
        })
    }
}

/// Reads `500MB`, `50GB`, `2TB`; a thousand as manufacturers of disks count.
fn parse_size(text: &str) -> Result<u64, String> {
    let bad = || format!("`{text}` is no size: write e.g. 500MB, 50GB or 2TB");
    let units = [("KB", 1_000), ("MB", 1_000_000), ("GB", 1_000_000_000), ("TB", 1_000_000_000_000)];
    let (number, factor) = units
        .iter()
        .find_map(|(unit, factor)| Some((text.strip_suffix(unit)?.trim_end(), *factor)))
        .ok_or_else(bad)?;
    let number: u64 = number.parse().map_err(|_| bad())?;
    number.checked_mul(factor).filter(|bytes| *bytes > 0).ok_or_else(bad)
}

/// A size for people.
#[must_use]
pub fn size(bytes: u64) -> String {
    match bytes {
        0..1_000_000 => format!("{:.1} KB", bytes as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} MB", bytes as f64 / 1e6),
        _ => format!("{:.1} GB", bytes as f64 / 1e9),
    }
}

/// How many there are of something, for people: `1 key`, `2 keys`.
#[must_use]
pub fn count_words(count: u64, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_times_are_read_or_refused_by_their_keys() {
        let file = |max: &str, keep: &str| DatabaseFile {
            max_size: Some(max.to_owned()),
            keep_runs: Some(keep.to_owned()),
            ..DatabaseFile::default()
        };
        let keep = Keep::read(&file("50GB", "30d")).unwrap();
        assert_eq!((keep.max_size, keep.runs, keep.events), (Some(50_000_000_000), 30 * DAY, 365 * DAY));
        for (max, keep, key) in [
            ("50", "30d", "max_size"),
            ("0MB", "30d", "max_size"),
            ("1TB", "5m", "keep_runs"),
            ("1TB", "x", "keep_runs"),
            ("1TB", "99999999999d", "keep_runs"),
        ] {
            assert_eq!(Keep::read(&file(max, keep)).unwrap_err().0, key);
        }
        assert_eq!(
            (size(999), size(1_500_000), size(2_000_000_000)),
            ("1.0 KB".into(), "1.5 MB".into(), "2.0 GB".into())
        );
    }
}
