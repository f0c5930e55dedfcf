//! Reading dates as CDate does.
//!
//! Grammar: `DATE [TIME [AM|PM]] [ZONE]`, parts divided by spaces, `T` or nothing before `Z`. DATE is `yyyy-M-d`,
//! `yyyy/M/d`, `M/d/yyyy`, `M-d-yyyy`, `d Mon yyyy` or `Mon d, yyyy` (with full month names too, and a day of the
//! week in front, which is not checked); TIME is `h`, `h:mm`, `h:mm:ss` with a fraction; ZONE is `Z`, `UTC`, `GMT`
//! or an offset `-8`, `+01:00`, `+0100`. Also LDAP's generalizedTime. Deliberately absent: two-digit years, dates
//! without a year, times without a date: they would depend on the clock.

use jiff::civil;
use jiff::tz::TimeZone;
use onesync_model::Time;

/// Longer texts are no dates.
const LENGTH_MAX: usize = 64;

pub(super) const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
pub(super) const DAYS: [&str; 7] =
    ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

/// Reads a date; `None` when the text is none.
pub(super) fn parse(text: &str) -> Option<Time> {
    let text = text.trim();
    if text.len() > LENGTH_MAX || !text.is_ascii() {
        return None;
    }
    if let Some(time) = Time::parse_generalized(text) {
        return Some(time);
    }
    let mut words = Words { rest: text };
    let (year, month, day) = words.date()?;
    let mut seconds = 0;
    let mut nanos = 0;
    if let Some((s, n)) = words.time()? {
        (seconds, nanos) = (s, n);
    }
    let offset = words.zone()?;
    if !words.rest.is_empty() {
        return None;
    }
    let date =
        civil::Date::new(i16::try_from(year).ok()?, i8::try_from(month).ok()?, i8::try_from(day).ok()?)
            .ok()?;
    let midnight = date.to_zoned(TimeZone::UTC).ok()?.timestamp();
    let time = Time::from_jiff(midnight).plus_seconds(seconds - offset);
    Some(Time::from_ticks(time.ticks().checked_add(nanos / 100)?))
}

struct Words<'t> {
    rest: &'t str,
}

impl<'t> Words<'t> {
    fn skip(&mut self, what: &[char]) -> bool {
        let trimmed = self.rest.trim_start_matches(what);
        let skipped = trimmed.len() < self.rest.len();
        self.rest = trimmed;
        skipped
    }

    fn take(&mut self, c: char) -> bool {
        match self.rest.strip_prefix(c) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    /// One to `most` digits, with how many there were.
    fn number(&mut self, most: usize) -> Option<(i64, usize)> {
        let length = self.rest.bytes().take_while(u8::is_ascii_digit).count();
        if length == 0 || length > most {
            return None;
        }
        let (digits, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        Some((digits.parse().ok()?, length))
    }

    fn letters(&mut self) -> &'t str {
        let length = self.rest.bytes().take_while(u8::is_ascii_alphabetic).count();
        let (word, rest) = self.rest.split_at_checked(length).unwrap_or_default();
        self.rest = rest;
        word
    }

    fn year(&mut self) -> Option<i64> {
        self.number(4).filter(|&(_, digits)| digits == 4).map(|(year, _)| year)
    }

    fn day(&mut self) -> Option<i64> {
        self.number(2).map(|(n, _)| n)
    }

    fn date(&mut self) -> Option<(i64, i64, i64)> {
        if self.rest.starts_with(|c: char| c.is_ascii_alphabetic()) {
            let word = self.letters();
            if name_index(&DAYS, word).is_none() {
                return self.after_month(name_index(&MONTHS, word)?);
            }
            self.skip(&[',', ' ', '.']);
            if self.rest.starts_with(|c: char| c.is_ascii_alphabetic()) {
                let month = name_index(&MONTHS, self.letters())?;
                return self.after_month(month);
            }
        }
        let (first, digits) = self.number(4)?;
        let separator = self.rest.chars().next()?;
        match separator {
            '-' | '/' | '.' if digits == 4 => {
                self.take(separator);
                let month = self.day()?;
                let day = self.take(separator).then(|| self.day())??;
                Some((first, month, day))
            }
            '/' | '-' if digits <= 2 && self.rest.as_bytes().get(1).is_some_and(u8::is_ascii_digit) => {
                self.take(separator);
                let day = self.day()?;
                let year = self.take(separator).then(|| self.year())??;
                Some((year, first, day))
            }
            ' ' | '-' if digits <= 2 => {
                self.skip(&[' ', '-']);
                let month = name_index(&MONTHS, self.letters())?;
                self.skip(&[' ', '-', ',', '.']);
                Some((self.year()?, month, first))
            }
            _ => None,
        }
    }

    /// `Jan 31, 2013`, behind the month.
    fn after_month(&mut self, month: i64) -> Option<(i64, i64, i64)> {
        self.skip(&[' ', '.']);
        let day = self.day()?;
        self.skip(&[' ', ',']).then_some(())?;
        Some((self.year()?, month, day))
    }

    /// Seconds and nanoseconds of the day, if a time follows; the outer `None` is a fault.
    #[expect(clippy::option_option, reason = "absent and wrong are different answers")]
    fn time(&mut self) -> Option<Option<(i64, i64)>> {
        let divided = self.skip(&[' ']) || (self.take('T') || self.take('t'));
        if !divided || !self.rest.starts_with(|c: char| c.is_ascii_digit()) {
            return Some(None);
        }
        let mut hour = self.day()?;
        let (mut minute, mut second, mut nanos) = (0, 0, 0);
        let mut has_minutes = false;
        if self.take(':') {
            has_minutes = true;
            minute = self.day()?;
            if self.take(':') {
                second = self.day()?;
                if self.take('.') || self.take(',') {
                    let (fraction, digits) = self.number(9)?;
                    nanos = fraction * 10i64.pow((9 - digits) as u32);
                }
            }
        }
        let before = self.rest;
        self.skip(&[' ']);
        let half = self.letters();
        if half.eq_ignore_ascii_case("am") || half.eq_ignore_ascii_case("pm") {
            if !(1..=12).contains(&hour) {
                return None;
            }
            hour = hour % 12 + if half.eq_ignore_ascii_case("pm") { 12 } else { 0 };
        } else {
            self.rest = before;
            if !has_minutes {
                return None; // a lone number is no time
            }
        }
        (hour < 24 && minute < 60 && second < 60).then_some(Some((hour * 3600 + minute * 60 + second, nanos)))
    }

    /// The offset from UTC in seconds.
    fn zone(&mut self) -> Option<i64> {
        self.skip(&[' ']);
        let word = self.letters();
        if !word.is_empty() {
            let utc = ["Z", "UTC", "GMT"].iter().any(|zone| word.eq_ignore_ascii_case(zone));
            return utc.then_some(0);
        }
        let sign = if self.take('+') {
            1
        } else if self.take('-') {
            -1
        } else {
            return Some(0);
        };
        let (number, digits) = self.number(4)?;
        let (hours, minutes) = match digits {
            1 | 2 if self.take(':') => (number, self.day()?),
            1 | 2 => (number, 0),
            4 => (number / 100, number % 100),
            _ => return None,
        };
        (hours <= 14 && minutes < 60).then_some(sign * (hours * 3600 + minutes * 60))
    }
}

/// The number, counted from 1, of a month or day by its name or the first three letters.
fn name_index(names: &[&str], word: &str) -> Option<i64> {
    let is = |name: &&str| {
        name.eq_ignore_ascii_case(word) || name.get(..3).is_some_and(|short| short.eq_ignore_ascii_case(word))
    };
    names.iter().position(is).map(|index| index as i64 + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_forms_people_write() {
        for (text, expected) in [
            ("2013-01-10 4:00 PM -8", "2013-01-11T00:00:00Z"),
            ("2013-01-10", "2013-01-10T00:00:00Z"),
            ("2013-01-10T16:05:06.25+01:30", "2013-01-10T14:35:06.25Z"),
            ("2013-01-10T16:05:06Z", "2013-01-10T16:05:06Z"),
            ("2013/1/5 12:00 am", "2013-01-05T00:00:00Z"),
            ("12/25/2007", "2007-12-25T00:00:00Z"),
            ("12/25/2007 23:59:59", "2007-12-25T23:59:59Z"),
            ("1-5-2007 5 PM", "2007-01-05T17:00:00Z"),
            ("10 January 2013", "2013-01-10T00:00:00Z"),
            ("10-Jan-2013 00:30 GMT", "2013-01-10T00:30:00Z"),
            ("Jan 10, 2013 4:00 PM", "2013-01-10T16:00:00Z"),
            ("Thu, 10 Jan 2013 16:00:00 GMT", "2013-01-10T16:00:00Z"),
            ("Thursday, January 10, 2013", "2013-01-10T00:00:00Z"),
            ("20130110160000.0Z", "2013-01-10T16:00:00Z"),
        ] {
            assert_eq!(parse(text).map(|t| t.to_string()), Some(expected.to_owned()), "{text}");
        }
    }

    #[test]
    fn refuses_what_is_no_date() {
        for text in [
            "",
            "x",
            "25/12/2007",
            "2013-13-01",
            "2013-02-30",
            "2013-01-10 25:00",
            "2013-01-10 13:00 PM",
            "1/1/07",
            "2013-01-10 5",
            "12:00",
            "2013-01-10 12:00 CET",
            "2013-01-10 junk",
            "1.2.2013",
            "2013-01",
            "2013-01-10 +99",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
