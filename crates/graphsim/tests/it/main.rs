//! Integration tests of the simulator, over its own HTTP door. Every test ends with the judgement of all its traffic
//! against the OpenAPI description.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests fail by panicking"
)]

mod auth;
mod batch;
mod crud;
mod delta;
mod examples;
mod faults;
mod lab;
mod members;
mod program;
mod scale;
mod schema;
mod tenant;
