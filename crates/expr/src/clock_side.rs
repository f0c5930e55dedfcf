//! Recognises the clock shifted by constants, e.g. `DateAdd("d", -30, Now())`.

use crate::functions::is_calendar_interval;
use crate::lexer::Operator;
use crate::program::{ClockSide, Node, NodeKind};
use crate::scalar::Scalar;

/// How this side of a comparison is the clock, if it is nothing else.
pub(crate) fn clock_side(node: &Node, left: bool) -> Option<ClockSide> {
    shifted(node).map(|calendar| ClockSide { left, calendar })
}

/// Whether the shift is one by months; `None` when it is more than a shift.
fn shifted(node: &Node) -> Option<bool> {
    match &node.kind {
        NodeKind::Now => Some(false),
        NodeKind::Each { name: "NumFromDate" | "DateFromNum", args, .. } => shifted(args.first()?),
        NodeKind::Each { name: "DateAdd", args, .. } => match args.as_slice() {
            [interval, value, time] => {
                let (NodeKind::Const(Scalar::Str(interval)), NodeKind::Const(_)) =
                    (&interval.kind, &value.kind)
                else {
                    return None;
                };
                Some(shifted(time)? || is_calendar_interval(interval))
            }
            _ => None,
        },
        NodeKind::Arithmetic { operator, sides } => match (operator, &sides[0], &sides[1]) {
            (Operator::Plus | Operator::Minus, clock, Node { kind: NodeKind::Const(_), .. }) => {
                shifted(clock)
            }
            (Operator::Plus, Node { kind: NodeKind::Const(_), .. }, clock) => shifted(clock),
            _ => None,
        },
        _ => None,
    }
}

/// Whether the clock is read anywhere in a node.
pub(crate) fn reads_clock(node: &Node) -> bool {
    match &node.kind {
        NodeKind::Now => true,
        NodeKind::Logic { operands, .. } | NodeKind::Concat(operands) => operands.iter().any(reads_clock),
        NodeKind::Compare { sides, .. } | NodeKind::Arithmetic { sides, .. } => sides.iter().any(reads_clock),
        NodeKind::Choose { pairs, otherwise } => {
            reads_clock(otherwise)
                || pairs.iter().any(|(test, value)| reads_clock(test) || reads_clock(value))
        }
        NodeKind::Loop { list, body, .. } => reads_clock(list) || reads_clock(body),
        NodeKind::With { value, body, .. } => reads_clock(value) || reads_clock(body),
        // A variable may be bound to the clock: then the other side is not known to stand still.
        NodeKind::Variable(_) => true,
        NodeKind::Each { args, .. } | NodeKind::Whole { args, .. } => args.iter().any(reads_clock),
        NodeKind::Raise(message) => reads_clock(message),
        _ => false,
    }
}
