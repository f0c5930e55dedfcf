//! Tests of the expression language through its public interface.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // helpers of tests, outside of #[test] functions

mod certificates;
mod clock;
mod diagnostics;
mod document;
mod examples;
mod limits;
mod links;
mod lists;
mod semantics;
mod support;
