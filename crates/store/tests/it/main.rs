//! The stores from outside: conformance, equality with the memory store, files that are not ours, crashes.

#![allow(clippy::unwrap_used, clippy::panic)] // in helpers, which clippy does not take for tests

mod conformance;
mod equality;
mod files;
mod full;
mod postgres;
mod server;
mod sqlserver;
mod views;
