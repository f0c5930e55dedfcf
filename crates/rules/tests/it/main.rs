//! Integration tests of the rules crate.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // helpers of tests, outside of #[test] functions

mod api;
mod cases;
mod docs;
mod evaluate;
mod hostile;
mod stories;
mod world;
