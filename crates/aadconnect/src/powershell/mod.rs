//! The PowerShell scripts of the Synchronization Rules Editor: commands as data. Nothing is ever run.
//!
//! What is understood is a sequence of commands with named parameters, texts, lists, `$true` and `$false`, and variables
//! that hold what a command before gave. Everything else of the language is a mistake with its place.

mod command;
mod lexer;
mod rules;

pub(crate) use rules::rules;
