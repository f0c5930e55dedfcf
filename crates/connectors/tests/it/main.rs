//! Integration tests of the connectors.

mod graph;
mod jsonl;
mod ldif;
mod memory;
mod words;
