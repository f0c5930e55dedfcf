//! Integration tests of the connectors.

mod graph;
