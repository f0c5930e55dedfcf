//! When cycles run by themselves: `[schedule]` in `onesync.toml`.

use std::str::FromStr as _;

use croner::Cron;
use jiff::tz::TimeZone;
use onesync_model::Time;
use serde::Deserialize;

use crate::config::parse_duration;

/// The interval where nothing is said: that of the system we replace.
const EVERY: &str = "30m";
/// No interval is shorter: a cycle that has nothing to do takes milliseconds, but directories are asked each time.
const EVERY_MIN_SECONDS: i64 = 1;
/// No interval is longer: directories forget from where to go on, and deleted objects.
const EVERY_MAX_SECONDS: i64 = 7 * 86_400;

/// `[schedule]` as written.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct ScheduleFile {
    /// The time from the begin of one cycle to the begin of the next: `30m`, `2h`.
    pub every: Option<String>,
    /// When cycles begin, in place of `every`: five fields (minute, hour, day of month, month, day of week).
    pub cron: Option<String>,
    /// The time zone of `cron`, e.g. `Europe/Berlin`; that of the machine when left out.
    pub time_zone: Option<String>,
}

/// When cycles run.
#[derive(Clone, Debug)]
pub struct Schedule {
    when: When,
    words: String,
}

#[derive(Clone, Debug)]
enum When {
    Every { seconds: i64 },
    Cron { cron: Box<Cron>, zone: TimeZone },
}

impl Schedule {
    /// Reads what is written.
    ///
    /// # Errors
    /// The key that is wrong, and what is wrong with it.
    pub fn read(file: &ScheduleFile) -> Result<Self, (&'static str, String)> {
        let Some(pattern) = &file.cron else {
            if file.time_zone.is_some() {
                return Err(("time_zone", "`time_zone` goes with `cron` only".to_owned()));
            }
            let every = file.every.as_deref().unwrap_or(EVERY);
            let seconds = parse_duration(every).map_err(|message| ("every", message))?;
            if !(EVERY_MIN_SECONDS..=EVERY_MAX_SECONDS).contains(&seconds) {
                let message =
                    format!("`{every}` is not between 1s and 7d: directories forget what they told");
                return Err(("every", message));
            }
            return Ok(Self { when: When::Every { seconds }, words: format!("every {every}") });
        };
        if file.every.is_some() {
            return Err(("every", "write `every` or `cron`, not both".to_owned()));
        }
        let cron = Cron::from_str(pattern).map_err(|error| {
            ("cron", format!("`{pattern}` is no schedule ({error}): write e.g. `*/30 6-22 * * mon-fri`"))
        })?;
        let zone = match &file.time_zone {
            None => TimeZone::system(),
            Some(name) => TimeZone::get(name).map_err(|_| {
                let message =
                    format!("the time zone `{name}` is not known here: write e.g. `Europe/Berlin` or `UTC`");
                ("time_zone", message)
            })?,
        };
        let place = file.time_zone.clone().unwrap_or_else(|| "time of this machine".to_owned());
        let schedule = Self {
            when: When::Cron { cron: Box::new(cron), zone },
            words: format!("cron `{pattern}` ({place})"),
        };
        // Known to be harmless: what never comes must not be taken for a schedule.
        if schedule.after(Time::default()).is_none() {
            return Err(("cron", format!("`{pattern}` never comes: no such day")));
        }
        Ok(schedule)
    }

    /// How people read it.
    #[must_use]
    pub fn words(&self) -> &str {
        &self.words
    }

    /// When the next cycle is due, given when the last one began: in the past when one was missed, however many were.
    /// The first one is due at once. `None` when none comes any more.
    #[must_use]
    pub fn due(&self, last: Option<Time>, now: Time) -> Option<Time> {
        match last {
            None => Some(now),
            // A clock that was put back must not make everybody wait for the old time.
            Some(last) => self.after(last.min(now)),
        }
    }

    fn after(&self, time: Time) -> Option<Time> {
        match &self.when {
            When::Every { seconds } => Some(time.plus_seconds(*seconds)),
            When::Cron { cron, zone } => {
                let from = time.to_jiff()?.to_zoned(zone.clone());
                let next = cron.find_next_occurrence(&from, false).ok()?;
                Some(Time::from_jiff(next.timestamp()))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(text: &str) -> Time {
        text.parse().unwrap()
    }

    fn schedule(every: Option<&str>, cron: Option<&str>, zone: Option<&str>) -> Result<Schedule, String> {
        let own = |text: Option<&str>| text.map(str::to_owned);
        let file = ScheduleFile { every: own(every), cron: own(cron), time_zone: own(zone) };
        Schedule::read(&file).map_err(|(key, message)| format!("{key}: {message}"))
    }

    #[test]
    fn the_first_cycle_is_due_at_once_and_a_missed_one_once() {
        let half = schedule(None, None, None).unwrap();
        assert_eq!(half.words(), "every 30m");
        let now = time("2026-11-26T12:00:00Z");
        assert_eq!(half.due(None, now), Some(now));
        let began = time("2026-11-26T11:45:00Z");
        assert_eq!(half.due(Some(began), now), Some(time("2026-11-26T12:15:00Z")));
        // Three hours were missed: one is due, and the one after that half an hour after it began.
        let began = time("2026-11-26T09:00:00Z");
        assert!(half.due(Some(began), now).unwrap() < now);
        assert_eq!(half.due(Some(now), now), Some(time("2026-11-26T12:30:00Z")));
    }

    #[test]
    fn a_clock_that_was_put_back_stops_nothing() {
        let half = schedule(Some("30m"), None, None).unwrap();
        let (began, now) = (time("2027-11-26T12:00:00Z"), time("2026-11-26T12:00:00Z"));
        assert_eq!(half.due(Some(began), now), Some(time("2026-11-26T12:30:00Z")));
    }

    #[test]
    fn cron_follows_the_time_zone_over_its_changes() {
        let six = schedule(None, Some("0 6 * * *"), Some("Europe/Berlin")).unwrap();
        let due = |began: &str| six.due(Some(time(began)), time("2026-12-01T00:00:00Z")).unwrap().to_string();
        assert_eq!(due("2026-10-23T10:00:00Z"), "2026-10-24T04:00:00Z");
        assert_eq!(due("2026-10-24T10:00:00Z"), "2026-10-25T05:00:00Z");
    }

    #[test]
    fn bad_schedules_name_the_key_and_the_remedy() {
        for (every, cron, zone, wanted) in [
            (Some("0"), None, None, "every: `0` is not between"),
            (Some("8d"), None, None, "every: `8d` is not between"),
            (Some("soon"), None, None, "every: `soon` is no duration"),
            (Some("1h"), Some("0 6 * * *"), None, "every: write `every` or `cron`"),
            (None, Some("61 * * * *"), None, "cron: `61 * * * *` is no schedule"),
            (None, Some("0 0 30 2 *"), None, "cron: `0 0 30 2 *` never comes"),
            (None, Some("0 6 * * *"), Some("Mars/North"), "time_zone: the time zone `Mars/North`"),
            (None, None, Some("UTC"), "time_zone: `time_zone` goes with"),
        ] {
            let message = schedule(every, cron, zone).unwrap_err();
            assert!(message.starts_with(wanted), "{message}");
        }
    }
}
