//! Recognises the clock shifted by what stands still, e.g. `DateAdd("d", -30, Now())`.

use crate::functions::is_calendar_interval;
use crate::lexer::Operator;
use crate::program::{ClockSide, Node, NodeKind, Shift};
use crate::scalar::Scalar;

/// Which variables are bound to something that reads the clock, by their slots.
#[derive(Clone, Copy)]
pub(crate) struct Clocked<'a>(pub(crate) &'a [bool]);

impl Clocked<'_> {
    /// How this side of a comparison is the clock, if it is nothing else.
    pub(crate) fn side(self, node: &Node, left: bool) -> Option<ClockSide> {
        self.shifted(node).map(|shift| ClockSide { left, shift })
    }

    /// How the clock is shifted; `None` when it is more than a shift.
    fn shifted(self, node: &Node) -> Option<Shift> {
        match &node.kind {
            NodeKind::Now => Some(Shift::default()),
            NodeKind::Each { name: "NumFromDate" | "DateFromNum", args, .. } => self.shifted(args.first()?),
            NodeKind::Each { name: "DateAdd", args, .. } => match args.as_slice() {
                [Node { kind: NodeKind::Const(Scalar::Str(interval)), .. }, value, time]
                    if !self.reads(value) =>
                {
                    let shift = self.shifted(time)?;
                    Some(Shift { calendar: shift.calendar || is_calendar_interval(interval), ..shift })
                }
                _ => None,
            },
            NodeKind::Arithmetic { operator: operator @ (Operator::Plus | Operator::Minus), sides } => {
                let [left, right] = &**sides;
                match (self.reads(left), self.reads(right)) {
                    (true, false) => self.shifted(left),
                    (false, true) => {
                        let shift = self.shifted(right)?;
                        Some(Shift { falling: shift.falling != (*operator == Operator::Minus), ..shift })
                    }
                    _ => None,
                }
            }
            _ => None,
        }
    }

    /// Whether the clock is read anywhere in a node.
    pub(crate) fn reads(self, node: &Node) -> bool {
        match &node.kind {
            NodeKind::Now => true,
            NodeKind::Logic { operands, .. } | NodeKind::Concat(operands) => {
                operands.iter().any(|node| self.reads(node))
            }
            NodeKind::Compare { sides, .. } | NodeKind::Arithmetic { sides, .. } => {
                sides.iter().any(|node| self.reads(node))
            }
            NodeKind::Choose { pairs, otherwise } => {
                self.reads(otherwise)
                    || pairs.iter().any(|(test, value)| self.reads(test) || self.reads(value))
            }
            NodeKind::Loop { list, body, .. } => self.reads(list) || self.reads(body),
            NodeKind::With { value, body, .. } => self.reads(value) || self.reads(body),
            // One that is bound inside of the node is seen where it is bound.
            NodeKind::Variable(slot) => self.0.get(*slot).copied().unwrap_or(false),
            NodeKind::Each { args, .. } | NodeKind::Whole { args, .. } => {
                args.iter().any(|node| self.reads(node))
            }
            NodeKind::Raise(message) => self.reads(message),
            _ => false,
        }
    }
}
