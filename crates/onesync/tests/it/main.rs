//! The command line from outside: the program as a process, a simulated cloud in this one.
#![allow(clippy::expect_used, clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod activate;
mod article;
mod backup;
mod errors;
mod eval;
mod events;
mod insight;
mod keys;
mod kill;
mod lost_keys;
mod program;
mod put_back;
mod replicas;
mod rights;
mod rule_test;
mod search;
mod secrets;
mod serve;
mod setup;
mod staging;
mod standby;
mod switch;
mod terminal;
mod token;
mod upgrade;
