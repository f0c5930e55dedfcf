//! Which nodes can be evaluated when compiled.

use onesync_model::{AttrId, Time, ValuesRef};

use crate::functions::{Body, find};
use crate::program::{Env, Node, NodeKind, Source};
use crate::scalar::Scalar;

/// Folded constants longer than this stay unfolded: a program is kept in memory, a result is not.
const LENGTH_MAX: usize = 4096;

/// Nothing to read.
pub(crate) struct NoSource;

/// No clock: constants do not read it.
pub(crate) const NO_ENV: Env = Env { now: Time::from_ticks(0), seed: 0 };

impl Source for NoSource {
    fn values(&self, _: AttrId) -> Option<ValuesRef<'_>> {
        None
    }

    fn imported(&self, _: AttrId) -> Option<ValuesRef<'_>> {
        None
    }

    fn dn(&self) -> Option<&str> {
        None
    }

    fn link_count(&self, _: AttrId) -> u64 {
        0
    }

    fn parameter(&self, _: &str) -> Option<&str> {
        None
    }
}

/// Whether a node can be folded: all directly below it is constant, since that was folded before.
pub(crate) fn is_constant(node: &Node) -> bool {
    let constant = |node: &Node| matches!(node.kind, NodeKind::Const(_));
    match &node.kind {
        NodeKind::Logic { operands, .. } | NodeKind::Concat(operands) => operands.iter().all(constant),
        NodeKind::Compare { sides, .. } | NodeKind::Arithmetic { sides, .. } => sides.iter().all(constant),
        NodeKind::Each { name, args, .. } => {
            matches!(find(name).map(|f| f.body), Some(Body::Each(_))) && args.iter().all(constant)
        }
        NodeKind::Whole { args, .. } => args.iter().all(constant),
        _ => false,
    }
}

/// Whether a folded value is small enough to be kept.
pub(crate) fn is_small(value: &Scalar<'static>) -> bool {
    value.owned_len() <= LENGTH_MAX
}
