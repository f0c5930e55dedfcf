//! Dates: UTC, in the proleptic Gregorian calendar.

use jiff::tz::TimeZone;
use jiff::{Span, ToSpan as _};
use onesync_model::Time;

use super::args::{at, int_of, text_of};
use super::convert::shorten;
use super::{Body, Call, Form, FunctionDef, dates_format, dates_parse, example, param};
use crate::diagnostic::Fault;
use crate::scalar::Scalar;
use crate::types::Types;

const THEME: &str = "Dates";

pub(super) const FUNCTIONS: &[FunctionDef] = &[
    FunctionDef {
        name: "Now",
        theme: THEME,
        params: &[],
        result: Types::TIME,
        doc: "The time at which the run began, in UTC. Compare it, or use it in a flow that is applied once.",
        decision: "The start of the run. What a comparison with it gives holds until an instant that is known: see Time.",
        examples: &[example(r#"Now() > CDate("2001-01-01")"#, "true")],
        body: Body::Form(Form::Now),
    },
    FunctionDef {
        name: "CDate",
        theme: THEME,
        params: &[param("value", Types::STRING.or(Types::TIME))],
        result: Types::TIME,
        doc: "The time a text writes: `2013-01-10 4:00 PM -8`, `2013-01-10T16:00:00Z`, `12/25/2007` (month first), `10 Jan 2013`, `20130110160000.0Z`. UTC where no offset is given, midnight where no time is given. NULL stays NULL.",
        decision: "Month before day in `M/d/yyyy`. No two-digit years, nothing that would need today's date. `Z`, `UTC`, `GMT` and numeric offsets are zones; others are an error.",
        examples: &[
            example(r#"CDate("2013-01-10 4:00 PM -8")"#, r#"{"$dt": "2013-01-11T00:00:00Z"}"#),
            example(r#"CDate("12/25/2007")"#, r#"{"$dt": "2007-12-25T00:00:00Z"}"#),
            example(r#"CDate("soon")"#, r#"{"$error": true}"#),
        ],
        body: Body::Each(cdate),
    },
    FunctionDef {
        name: "DateAdd",
        theme: THEME,
        params: &[
            param("interval", Types::STRING),
            param("value", Types::NUMBER),
            param("date", Types::TIME),
        ],
        result: Types::TIME,
        doc: "A time moved by so many intervals: `yyyy` years, `q` quarters, `m` months, `y`, `d` or `w` days, `ww` weeks, `h` hours, `n` minutes, `s` seconds. A day that the month does not have becomes its last day. NULL stays NULL.",
        decision: "A day that the month does not have becomes its last day, as in VBA; `y`, `d`, `w` are all days.",
        examples: &[
            example(r#"DateAdd("m", 3, CDate("2001-01-01"))"#, r#"{"$dt": "2001-04-01T00:00:00Z"}"#),
            example(r#"DateAdd("m", 1, CDate("2024-01-31"))"#, r#"{"$dt": "2024-02-29T00:00:00Z"}"#),
        ],
        body: Body::Each(date_add),
    },
    FunctionDef {
        name: "DateFromNum",
        theme: THEME,
        params: &[param("value", Types::NUMBER)],
        result: Types::TIME,
        doc: "The time of an Active Directory number: 100 nanoseconds since 1601. NULL stays NULL.",
        decision: "Also 0 and the largest number, which stand for never: they can be compared, the latter not be formatted. Negative numbers are an error, as in .NET.",
        examples: &[example("DateFromNum(129699324000000000)", r#"{"$dt": "2012-01-01T23:00:00Z"}"#)],
        body: Body::Each(date_from_num),
    },
    FunctionDef {
        name: "NumFromDate",
        theme: THEME,
        params: &[param("value", Types::TIME)],
        result: Types::NUMBER,
        doc: "The Active Directory number of a time: 100 nanoseconds since 1601. NULL stays NULL.",
        decision: "",
        examples: &[example(r#"NumFromDate(CDate("2012-01-01 23:00:00"))"#, "129699324000000000")],
        body: Body::Each(num_from_date),
    },
    FunctionDef {
        name: "FormatDateTime",
        theme: THEME,
        params: &[param("value", Types::TIME), param("format", Types::STRING)],
        result: Types::TEXT,
        doc: "The text of a time, by a .NET format of the invariant culture, e.g. `yyyy-MM-dd HH:mm:ss`. NULL stays NULL.",
        decision: ".NET's custom and standard formats, invariant culture: English names, `.` as decimal separator.",
        examples: &[
            example(r#"FormatDateTime(CDate("12/25/2007"),"yyyy-MM-dd")"#, r#""2007-12-25""#),
            example(
                r#"FormatDateTime(CDate("2014-09-05 08:14:53"),"yyyyMMddHHmmss.0Z")"#,
                r#""20140905081453.0Z""#,
            ),
        ],
        body: Body::Each(format_date_time),
    },
];

fn time_of(value: &Scalar<'_>) -> Result<Option<Time>, Fault> {
    match value {
        Scalar::Null => Ok(None),
        Scalar::Time(time) => Ok(Some(*time)),
        other => {
            Err(Fault::new(format!("a time is needed here, not {}: use CDate or DateFromNum", other.kind())))
        }
    }
}

fn cdate<'a>(_: &mut Call<'_>, args: &mut [Scalar<'a>]) -> Result<Scalar<'a>, Fault> {
    match at(args, 0) {
        Scalar::Time(time) => Ok(Scalar::Time(*time)),
        other => {
            let Some(text) = text_of(other)? else { return Ok(Scalar::Null) };
            match dates_parse::parse(text) {
                Some(time) => Ok(Scalar::Time(time)),
                None => Err(Fault::new(format!(
                    "`{}` is not a date, e.g. 2013-01-31 or 1/31/2013",
                    shorten(text)
                ))),
            }
        }
    }
}

/// Whether a DateAdd interval counts months, whose length depends on where they are.
pub(crate) fn is_calendar_interval(interval: &str) -> bool {
    matches!(interval, "yyyy" | "q" | "m")
}

fn date_add<'a>(_: &mut Call<'_>, args: &mut [Scalar<'a>]) -> Result<Scalar<'a>, Fault> {
    let (Some(interval), Some(value), Some(time)) =
        (text_of(at(args, 0))?, int_of(at(args, 1))?, time_of(at(args, 2))?)
    else {
        return Ok(Scalar::Null);
    };
    let fault = || Fault::new(format!("{value} intervals of `{interval}` lead out of the calendar"));
    let seconds = match interval {
        "y" | "d" | "w" => 86_400,
        "ww" => 7 * 86_400,
        "h" => 3_600,
        "n" => 60,
        "s" => 1,
        _ if is_calendar_interval(interval) => {
            return add_months(interval, value, time).map(Scalar::Time).ok_or_else(fault);
        }
        _ => {
            return Err(Fault::new(format!(
                "`{}` is not an interval: use yyyy, q, m, y, d, w, ww, h, n or s",
                shorten(interval)
            )));
        }
    };
    let ticks = value
        .checked_mul(seconds)
        .and_then(|s| s.checked_mul(10_000_000))
        .and_then(|t| time.ticks().checked_add(t));
    let moved = ticks.map(Time::from_ticks).filter(|t| t.to_jiff().is_some());
    moved.map(Scalar::Time).ok_or_else(fault)
}

fn add_months(interval: &str, value: i64, time: Time) -> Option<Time> {
    let months = value.checked_mul(match interval {
        "yyyy" => 12,
        "q" => 3,
        _ => 1,
    })?;
    let span: Span = 0.months().try_months(months).ok()?;
    let moved = time.to_jiff()?.to_zoned(TimeZone::UTC).checked_add(span).ok()?;
    Some(Time::from_jiff(moved.timestamp()))
}

fn date_from_num<'a>(_: &mut Call<'_>, args: &mut [Scalar<'a>]) -> Result<Scalar<'a>, Fault> {
    let Some(number) = int_of(at(args, 0))? else { return Ok(Scalar::Null) };
    let time = Time::from_filetime(number).filter(|_| number >= 0);
    time.map(Scalar::Time).ok_or_else(|| Fault::new(format!("{number} lies outside the range of times")))
}

fn num_from_date<'a>(_: &mut Call<'_>, args: &mut [Scalar<'a>]) -> Result<Scalar<'a>, Fault> {
    let Some(time) = time_of(at(args, 0))? else { return Ok(Scalar::Null) };
    time.to_filetime()
        .map(Scalar::Int)
        .ok_or_else(|| Fault::new(format!("{time} lies outside the range of numbers")))
}

fn format_date_time<'a>(call: &mut Call<'_>, args: &mut [Scalar<'a>]) -> Result<Scalar<'a>, Fault> {
    let (Some(time), Some(format)) = (time_of(at(args, 0))?, text_of(at(args, 1))?) else {
        return Ok(Scalar::Null);
    };
    // The longest specifier gives a month's name for four letters.
    call.grow(format.len().saturating_mul(8))?;
    dates_format::format(time, format).map(Scalar::text)
}
