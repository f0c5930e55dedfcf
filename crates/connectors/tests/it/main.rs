//! Integration tests of the connectors.
#![allow(clippy::expect_used, clippy::unwrap_used, clippy::panic)]

mod ad;
mod graph;
mod jsonl;
mod ldif;
mod memory;
mod words;
