//! What was decided and why, for people: notes of the very decisions of a pass.
//!
//! A pass writes them down where [`crate::Context::trace`] is set, and only there: a sync goes without. Notes change
//! no decision. A note is about one row; notes of a decision that is made again replace nothing, the last one counts.

use std::sync::{Mutex, PoisonError};

use onesync_expr::{Env, Failure, Outcome};
use onesync_model::{AttrId, ConnectorId, CsId, MvId, RuleId, Time, Values};
use onesync_rules::ScopeTrace;

use crate::resolve::{Candidate, Resolved};

/// Notes of decisions.
#[derive(Debug, Default)]
pub struct Trace(Mutex<Vec<Note>>);

impl Trace {
    /// Takes a note.
    pub(crate) fn note(&self, note: Note) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(note);
    }

    /// The notes in the order in which they were taken.
    #[must_use]
    pub fn into_notes(self) -> Vec<Note> {
        self.0.into_inner().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a decision is about.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Subject {
    /// A connector-space object.
    Cs(CsId),
    /// A metaverse object.
    Mv(MvId),
}

/// One note.
#[derive(Clone, PartialEq, Debug)]
pub enum Note {
    /// Whether an object is in the scope of a rule.
    Scope {
        /// The object whose attributes were looked at.
        of: Subject,
        /// The rule.
        rule: RuleId,
        /// The connector of the rule.
        connector: ConnectorId,
        /// The clauses and their answers.
        asked: ScopeTrace,
    },
    /// A step on the way of an object to its place: inbound a connector-space object's in the metaverse, outbound a
    /// metaverse object's in a connector space.
    Join {
        /// The object that looks for its place.
        of: Subject,
        /// The connector.
        connector: ConnectorId,
        /// The rule, where it is one rule's step.
        rule: Option<RuleId>,
        /// The join group of the rule, from 0 on, where it is one group's step.
        group: Option<usize>,
        /// What was found.
        step: JoinStep,
    },
    /// What gives an attribute its value: inbound of a metaverse object, outbound of the object at a target.
    Flow {
        /// The object that gets the value.
        of: Subject,
        /// The attribute.
        attribute: AttrId,
        /// The contributors, the one that wins first.
        candidates: Vec<Tried>,
        /// Whether the value that is there stays, because a flow failed or all said IgnoreThisFlow.
        kept: bool,
    },
    /// What was decided about a target, beside scope and join.
    Target {
        /// The metaverse object.
        of: MvId,
        /// The connector.
        connector: ConnectorId,
        /// The object there.
        object: CsId,
        /// What.
        step: TargetStep,
    },
    /// What became of a value that is wanted at a target.
    Planned {
        /// The object there.
        of: CsId,
        /// The attribute.
        attribute: AttrId,
        /// The value that is wanted; `None` for none.
        values: Option<Values>,
        /// What became of it.
        fate: Fate,
    },
}

/// A step on the way to a place.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum JoinStep {
    /// Objects there are not found by these conditions: `adopt_by` does not name them, or it is unknown who is
    /// protected.
    NotAllowed,
    /// An attribute of the conditions has no value.
    NoValue,
    /// Nothing there matches.
    NoMatch,
    /// Several match: the next group is tried, and outbound that is a conflict.
    Several(Vec<Subject>),
    /// Others want the same place: none gets it.
    Rivals(Vec<CsId>),
    /// The place is taken by this object.
    Taken(CsId),
    /// What matches may not be taken.
    Refused(Vec<CsId>, String),
    /// It is joined.
    Joined(Subject),
    /// The object is created on the other side.
    Created,
    /// A rule would create it, but nothing it could have been joined by has a value.
    NothingToJoinBy,
    /// No rule in scope creates it.
    NoProvision,
    /// It is not decided: it is protected, in conflict, or a scope failed.
    Undecided,
}

/// What was decided about an object at a target.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TargetStep {
    /// A rule in scope holds it.
    Kept,
    /// A rule in scope holds it, and it becomes ours.
    Adopted,
    /// It is a source of this metaverse object, and no outbound rule holds it.
    Source,
    /// No rule in scope holds it, or its metaverse object leaves.
    Deprovisioned,
    /// It is outside the pilot.
    Outside,
}

/// What became of a value that is wanted at a target.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fate {
    /// It is there, or on its way.
    Same,
    /// It is a pending change.
    Changes,
    /// Nobody can write the attribute.
    ReadOnly,
    /// Nothing is wanted, and nobody can empty the attribute: what is there, or on its way, stays.
    NeverEmpty,
}

/// What one contributor gave.
#[derive(Clone, PartialEq, Debug)]
pub struct Tried {
    /// The rule.
    pub rule: RuleId,
    /// The source object: inbound the connector-space object, outbound nothing.
    pub source: Option<CsId>,
    /// What it gave.
    pub gave: Gave,
    /// Whether its value counts.
    pub wins: bool,
    /// Whether it was asked: a better one decided before otherwise, and what it gave was only computed for this note.
    pub reached: bool,
}

/// What a flow gave.
#[derive(Clone, PartialEq, Debug)]
pub enum Gave {
    /// Something, nothing, or a word of the rule language.
    Outcome(Outcome),
    /// The value that was applied once before, and stays.
    Once(Values),
    /// It failed.
    Failed(String),
    /// It called `Error()`.
    Raised(String),
}

impl Gave {
    pub(crate) fn of(result: Result<Outcome, Failure>) -> Self {
        match result {
            Ok(outcome) => Self::Outcome(outcome),
            Err(Failure { error: onesync_expr::EvalError::Raised(message), .. }) => Self::Raised(message),
            Err(Failure { error, .. }) => Self::Failed(error.to_string()),
        }
    }
}

/// Makes the note of a decision about one attribute: who was asked, and what the others would have given.
pub(crate) fn flow_note<'s>(
    of: Subject,
    group: &[Candidate<'_>],
    asked: Vec<Gave>,
    resolved: &Resolved<'_>,
    now: Time,
    seed_of: impl Fn(&Candidate<'_>) -> u64,
    source: impl Fn(usize) -> (Option<CsId>, &'s dyn onesync_expr::Source),
) -> Note {
    let won = |index: usize| match resolved {
        Resolved::Values { from, .. } => from.as_slice().contains(&index),
        Resolved::Links(from) => from.iter().any(|(from, _)| *from == index),
        Resolved::Failed { from, .. } | Resolved::Raised { from, .. } => *from == index,
        Resolved::Absent | Resolved::Keep => false,
    };
    let attribute = group.first().map_or(AttrId(0), |candidate| candidate.flow.target);
    let mut asked = asked.into_iter();
    let candidates = group.iter().enumerate().map(|(index, candidate)| {
        let (id, object) = source(candidate.source);
        let reached = asked.next();
        let gave = || {
            let env = Env { now, seed: seed_of(candidate) };
            Gave::of(candidate.flow.evaluate(object, &env).map(|evaluated| evaluated.outcome))
        };
        Tried {
            rule: candidate.rule.id,
            source: id,
            wins: won(index),
            reached: reached.is_some(),
            gave: reached.unwrap_or_else(gave),
        }
    });
    let kept = matches!(resolved, Resolved::Keep | Resolved::Failed { .. } | Resolved::Raised { .. });
    Note::Flow { of, attribute, candidates: candidates.collect(), kept }
}
