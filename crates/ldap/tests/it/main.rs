//! Integration tests of the LDAP client against fake servers, kind and hostile ones.

// helpers of tests may fail like tests
#![allow(clippy::expect_used, clippy::panic)]

mod client;
mod differential;
mod fake;
mod hostile;
mod tls;
