//! Integration tests of the connectors.
#![allow(clippy::expect_used, clippy::unwrap_used, clippy::panic)]

mod graph;
mod jsonl;
mod ldif;
mod memory;
mod words;
