//! Writing dates: .NET's custom and standard formats, in the invariant culture, for UTC.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use onesync_model::Time;

use super::dates_parse::{DAYS, MONTHS};
use crate::diagnostic::Fault;

/// Writes a time by a format.
pub(super) fn format(time: Time, format: &str) -> Result<String, Fault> {
    let moment = time
        .to_jiff()
        .map(|t| TimeZone::UTC.to_datetime(t))
        .filter(|t| t.year() >= 1)
        .ok_or_else(|| Fault::new(format!("{time} lies outside the calendar")))?;
    let mut chars = format.chars();
    let custom = match (chars.next(), chars.next()) {
        (None, _) => "MM/dd/yyyy HH:mm:ss",
        (Some(letter), None) => standard(letter).ok_or_else(|| {
            Fault::new(format!(
                "`{letter}` is not a standard format; a single custom letter is written `%{letter}`"
            ))
        })?,
        _ => format,
    };
    custom_format(&moment, custom)
}

/// The standard formats of the invariant culture.
fn standard(letter: char) -> Option<&'static str> {
    Some(match letter {
        'd' => "MM/dd/yyyy",
        'D' => "dddd, dd MMMM yyyy",
        'f' => "dddd, dd MMMM yyyy HH:mm",
        'F' | 'U' => "dddd, dd MMMM yyyy HH:mm:ss",
        'g' => "MM/dd/yyyy HH:mm",
        'G' => "MM/dd/yyyy HH:mm:ss",
        'm' | 'M' => "MMMM dd",
        'o' | 'O' => "yyyy-MM-ddTHH:mm:ss.fffffffK",
        'r' | 'R' => "ddd, dd MMM yyyy HH:mm:ss 'GMT'",
        's' => "yyyy-MM-ddTHH:mm:ss",
        't' => "HH:mm",
        'T' => "HH:mm:ss",
        'u' => "yyyy-MM-dd HH:mm:ss'Z'",
        'y' | 'Y' => "yyyy MMMM",
        _ => return None,
    })
}

fn custom_format(moment: &DateTime, format: &str) -> Result<String, Fault> {
    let mut out = String::with_capacity(format.len() + 8);
    let mut rest = format;
    while let Some(letter) = rest.chars().next() {
        let run = rest.len() - rest.trim_start_matches(letter).len();
        let width = run / letter.len_utf8();
        let mut used = run;
        match letter {
            '\'' | '"' => {
                let inner = rest.get(1..).unwrap_or_default();
                let end = inner
                    .find(letter)
                    .ok_or_else(|| Fault::new(format!("`{letter}` in the format is not closed")))?;
                out.push_str(inner.get(..end).unwrap_or_default());
                used = end + 2;
            }
            '\\' => {
                let escaped = rest.chars().nth(1).ok_or_else(|| Fault::new("the format ends in `\\`"))?;
                out.push(escaped);
                used = 1 + escaped.len_utf8();
            }
            '%' => used = 1,
            _ => match specifier(moment, letter, width, &mut out) {
                true => {}
                false => {
                    out.push(letter);
                    used = letter.len_utf8();
                }
            },
        }
        rest = rest.get(used..).unwrap_or_default();
    }
    Ok(out)
}

/// Writes a run of one letter, or says that it is none of the format's letters.
fn specifier(moment: &DateTime, letter: char, width: usize, out: &mut String) -> bool {
    let padded = |n: i64, width: usize| format!("{n:0width$}");
    let named = |names: &[&str], index: i8, short: bool| {
        let name = usize::try_from(index).ok().and_then(|i| names.get(i)).copied().unwrap_or_default();
        name.get(..if short { 3 } else { name.len() }).unwrap_or_default().to_owned()
    };
    let hour = i64::from(moment.hour());
    let text = match letter {
        'y' => match width {
            1 => (moment.year() % 100).to_string(),
            2 => padded(i64::from(moment.year() % 100), 2),
            _ => padded(i64::from(moment.year()), width),
        },
        'M' if width <= 2 => padded(i64::from(moment.month()), width),
        'M' => named(&MONTHS, moment.month() - 1, width == 3),
        'd' if width <= 2 => padded(i64::from(moment.day()), width),
        'd' => named(&DAYS, moment.weekday().to_sunday_zero_offset(), width == 3),
        'H' => padded(hour, width.min(2)),
        'h' => padded(if hour % 12 == 0 { 12 } else { hour % 12 }, width.min(2)),
        'm' => padded(i64::from(moment.minute()), width.min(2)),
        's' => padded(i64::from(moment.second()), width.min(2)),
        'f' | 'F' if width <= 7 => {
            let digits = padded(i64::from(moment.subsec_nanosecond()), 9);
            let digits = digits.get(..width).unwrap_or_default();
            if letter == 'f' {
                digits.to_owned()
            } else {
                let kept = digits.trim_end_matches('0');
                if kept.is_empty() && out.ends_with('.') {
                    out.pop(); // .NET drops the point with the fraction
                }
                kept.to_owned()
            }
        }
        't' => {
            let half = if hour < 12 { "AM" } else { "PM" };
            half.get(..width.min(2)).unwrap_or_default().to_owned()
        }
        'z' => match width {
            1 => "+0".to_owned(),
            2 => "+00".to_owned(),
            _ => "+00:00".to_owned(),
        },
        'K' => "Z".repeat(width),
        'g' => "A.D.".to_owned(),
        _ => return false,
    };
    out.push_str(&text);
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_dates_as_dotnet_does() {
        let time: Time = "2013-01-05T16:07:08.0312Z".parse().unwrap();
        for (pattern, expected) in [
            ("yyyy-MM-dd", "2013-01-05"),
            ("yyyyMMddHHmmss.0Z", "20130105160708.0Z"),
            ("d/M/yy h:m:s tt", "5/1/13 4:7:8 PM"),
            ("dddd, d. MMMM yyyy", "Saturday, 5. January 2013"),
            ("ddd MMM", "Sat Jan"),
            ("HH:mm:ss.fff", "16:07:08.031"),
            ("ss.FFF|ss.FFFFFF", "08.031|08.0312"),
            ("'day' d \\d \"x\"", "day 5 d x"),
            ("%d", "5"),
            ("d", "01/05/2013"),
            ("o", "2013-01-05T16:07:08.0312000Z"),
            ("R", "Sat, 05 Jan 2013 16:07:08 GMT"),
            ("zzz K", "+00:00 Z"),
            ("", "01/05/2013 16:07:08"),
        ] {
            assert_eq!(format(time, pattern).as_deref(), Ok(expected), "{pattern}");
        }
        assert_eq!(
            format("2013-01-05T00:00:00Z".parse().unwrap(), "hh:mm t ss.F").as_deref(),
            Ok("12:00 A 00")
        );
        for bad in ["'open", "yyyy\\", "q"] {
            assert!(format(time, bad).is_err(), "{bad}");
        }
        assert!(format(Time::from_ticks(i64::MAX), "yyyy").is_err());
    }
}
