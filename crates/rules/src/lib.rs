//! Sync rules: read from TOML, checked, compiled for the connectors at hand, evaluated for one object.
//!
//! [`compile`] makes an immutable [`RuleSet`] of rule files, connectors and schemas, or diagnostics that name file,
//! line, column and remedy. [`Scope::holds`] and [`Flow::evaluate`] are pure: they see an object through
//! [`onesync_expr::Source`] and the time as an argument. [`stock_rules`] and [`METAVERSE`] are what is shipped.
//!
//! # Decisions where the sources leave room
//! - Text in scopes compares without case, like the directories the rules are written for; so `TRUE`, `True` and
//!   `true` are one. Numbers compare as numbers when both sides are integers, times as times when both are times.
//! - The negative operators (`NOTEQUAL`, `NOTCONTAINS`, ...) are the negation of the positive ones, and so hold for an
//!   absent attribute. The two bit operators hold only where there are bits to look at: an account whose
//!   `userAccountControl` cannot be read is not taken for an enabled one.
//! - An operator on several values holds if it holds for one of them; its negation, if it holds for none.
//! - Rules with one precedence for different connectors are ordered by the connector's rank, then by object type and
//!   name; for one connector, direction and pair of object types a precedence may be used once.
//! - An empty text is no value: a flow that computes one gives nothing.
//! - A flow into an attribute that nobody can write is computed and shown; it is a note, not a warning, since imported
//!   configurations have hundreds.
//! - A rule for a kind of connector, or for several object types, does nothing where a directory lacks the type.
//! - A rule with `metaverse = "*"` only joins: it neither provisions nor carries flows.
//!
//! Deliberately absent: joining, precedence among candidates, anything that looks at more than one object (the
//! engine), and reading files (the service gives their text).

mod check;
mod comparand;
mod compile;
mod convert;
mod diagnostic;
mod flows;
mod groups;
mod metaverse;
mod operator;
mod reader;
mod rule;
mod scope;
mod scope_trace;
mod set;
mod shipped;
mod stock;
mod suggest;
mod text;

pub use compile::{Compiled, compile};
pub use convert::{ConvertError, convert};
pub use diagnostic::{Diagnostic, Label, RuleFile, Severity, render, render_expression};
pub use groups::{GroupsAsked, membership};
pub use metaverse::{METAVERSE, read_metaverse, read_metaverse_index};
pub use operator::Operator;
pub use rule::{
    Direction, Flow, FlowSource, JoinCondition, JoinGroup, LinkFlow, LinkType, MergeType, Rule, Target,
};
pub use scope::{Clause, Operand, Scope, ScopeError};
pub use scope_trace::{ClauseTrace, ScopeTrace};
pub use set::{ConnectorInfo, FlowOrder, LinksAsked, RuleIter, RuleSet};
pub use shipped::{Merge, ShippedChange, shipped_changes};
pub use stock::{Topology, stock_rules};
pub use suggest::nearest;
