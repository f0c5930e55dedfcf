//! When a result that depends on the clock may change.

use onesync_model::Time;

use crate::lexer::Operator;
use crate::program::ClockSide;
use crate::scalar::{Scalar, Val};

/// 100 ns ticks in a day.
const DAY: i64 = 86_400 * 10_000_000;

/// The next midnight in UTC; `None` at the end of time.
pub(crate) fn next_midnight(now: Time) -> Option<Time> {
    let day = now.ticks().div_euclid(DAY);
    day.checked_add(1)?.checked_mul(DAY).map(Time::from_ticks)
}

/// The first instant at which a comparison of the shifted clock with something that stands still gives another
/// result: `Some(None)` for never, `None` where it cannot be told.
#[expect(clippy::option_option, reason = "never and unknown are different answers")]
pub(crate) fn flip(
    now: Time,
    operator: Operator,
    side: ClockSide,
    left: &Val<'_>,
    right: &Val<'_>,
) -> Option<Option<Time>> {
    let (clock, still, operator) =
        if side.left { (left, right, operator) } else { (right, left, mirrored(operator)) };
    let mut clocks = clock.present();
    let Some(clock) = clocks.next() else { return Some(None) };
    if clocks.next().is_some() {
        return None; // shifted by several values
    }
    let clock = i128::from(ticks(clock)?);
    let mut first: Option<i128> = None;
    for still in still.present() {
        let ahead = i128::from(ticks(still)?) - clock;
        let distance = match side.shift.falling {
            true => distance(mirrored(operator), -ahead),
            false => distance(operator, ahead),
        };
        first = first.into_iter().chain(distance).min();
    }
    let first = first
        .and_then(|distance| i64::try_from(i128::from(now.ticks()) + distance).ok())
        .map(Time::from_ticks);
    if !side.shift.calendar {
        return Some(first);
    }
    // A shift by months is the same for all of a day, and may be another tomorrow.
    Some(first.into_iter().chain(next_midnight(now)).min())
}

/// How many ticks from now the comparison `clock OP still` flips, given how far `still` is ahead.
fn distance(operator: Operator, ahead: i128) -> Option<i128> {
    match operator {
        // Changes when the clock reaches it.
        Operator::Less | Operator::GreaterEqual => (ahead > 0).then_some(ahead),
        // Changes when the clock has passed it.
        Operator::LessEqual | Operator::Greater => (ahead >= 0).then_some(ahead + 1),
        // Changes at both.
        _ if ahead > 0 => Some(ahead),
        _ => (ahead == 0).then_some(1),
    }
}

fn mirrored(operator: Operator) -> Operator {
    match operator {
        Operator::Less => Operator::Greater,
        Operator::LessEqual => Operator::GreaterEqual,
        Operator::Greater => Operator::Less,
        Operator::GreaterEqual => Operator::LessEqual,
        other => other,
    }
}

/// A time, or an Active Directory number, in ticks; two of one comparison count from the same epoch.
fn ticks(value: &Scalar<'_>) -> Option<i64> {
    match value {
        Scalar::Time(time) => Some(time.ticks()),
        Scalar::Int(number) => Some(*number),
        _ => None,
    }
}
