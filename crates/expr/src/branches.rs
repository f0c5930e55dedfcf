//! The branches of IIF and Switch: which there are, and which an evaluation takes. For examples of rules, to see what
//! they check.

use std::collections::BTreeSet;
use std::ops::Range;

use crate::eval::Evaluator;
use crate::program::{Env, Node, NodeKind, Program, Source};

impl Program {
    /// The branches of every IIF and Switch as ranges of the text, in its order.
    #[must_use]
    pub fn branches(&self) -> Vec<Range<usize>> {
        let mut found = BTreeSet::new();
        collect(&self.root, &mut found);
        found.into_iter().map(range).collect()
    }

    /// Those that are taken for an object; in an evaluation that fails those up to there.
    #[must_use]
    pub fn branches_taken(&self, source: &dyn Source, env: &Env) -> Vec<Range<usize>> {
        let mut evaluator = Evaluator::new(source, *env, None);
        evaluator.taken = Some(BTreeSet::new());
        // What the outcome is, an evaluation says to whom it matters.
        drop(evaluator.eval(&self.root));
        evaluator.taken.unwrap_or_default().into_iter().map(range).collect()
    }
}

fn range((start, end): (u32, u32)) -> Range<usize> {
    start as usize..end as usize
}

fn collect(node: &Node, found: &mut BTreeSet<(u32, u32)>) {
    match &node.kind {
        NodeKind::Choose { pairs, otherwise } => {
            for (test, value) in pairs {
                collect(test, found);
                found.insert((value.span.start, value.span.end));
                collect(value, found);
            }
            // A Switch without a last value has one that nobody wrote.
            if otherwise.span != node.span {
                found.insert((otherwise.span.start, otherwise.span.end));
            }
            collect(otherwise, found);
        }
        NodeKind::Logic { operands, .. } | NodeKind::Concat(operands) => {
            operands.iter().for_each(|operand| collect(operand, found));
        }
        NodeKind::Compare { sides, .. } | NodeKind::Arithmetic { sides, .. } => {
            sides.iter().for_each(|side| collect(side, found));
        }
        NodeKind::Loop { list, body, .. } => [list, body].iter().for_each(|part| collect(part, found)),
        NodeKind::With { value, body, .. } => [value, body].iter().for_each(|part| collect(part, found)),
        NodeKind::Each { args, .. } | NodeKind::Whole { args, .. } => {
            args.iter().for_each(|arg| collect(arg, found));
        }
        NodeKind::Raise(message) => collect(message, found),
        NodeKind::Const(_)
        | NodeKind::AuthoritativeNull
        | NodeKind::IgnoreThisFlow
        | NodeKind::Attribute(_)
        | NodeKind::Imported(_)
        | NodeKind::Dn
        | NodeKind::Parameter(_)
        | NodeKind::Variable(_)
        | NodeKind::Link(_)
        | NodeKind::LinkNames { .. }
        | NodeKind::ValueCount { .. }
        | NodeKind::LinkTest { .. }
        | NodeKind::Presence { .. }
        | NodeKind::Now => {}
    }
}
