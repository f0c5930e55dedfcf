//! What tests, benchmarks and the demonstration need: made-up directories, and peers that misbehave.

pub mod generate;
pub mod ldap_proxy;
