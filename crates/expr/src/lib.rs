//! The expression language of sync rules: AADSync's, compiled once and evaluated per object.
//!
//! [`compile`] checks a text and gives a [`Program`] or [`Diagnostic`]s with places and hints; [`Program::eval`]
//! evaluates it over a [`Source`]. What the original leaves open is decided in `docs/expressions.md`.
//! Deliberately absent: the clock and randomness (they come in through [`Env`]), I/O, and expressions over single
//! values of link attributes.

mod ancestor;
mod branches;
mod certificate;
mod check;
mod check_calls;
mod clock;
mod clock_side;
mod decimal;
mod diagnostic;
mod eval;
mod eval_calls;
mod fold;
mod functions;
mod language;
mod lexer;
mod operators;
mod parser;
mod program;
mod scalar;
mod suggest;
mod tidied;
mod types;

pub use ancestor::from_ancestor;
pub use check::{Context, Kind, compile};
pub use diagnostic::{Diagnostic, EvalError, Failure, Severity};
pub use eval::{BYTES_MAX, STEPS_MAX};
pub use functions::{Example, FunctionDef, Param, functions};
pub use language::{Chapter, Decision, language};
pub use parser::{DEPTH_MAX, NODES_MAX, TEXT_MAX};
pub use program::{Env, Evaluated, Item, LINKS_MAX, LinkForm, Listed, Outcome, Program, Source};
pub use types::Types;
