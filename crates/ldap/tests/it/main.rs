//! Integration tests of the LDAP client against fake servers, kind and hostile ones.

mod client;
mod differential;
mod fake;
mod hostile;
mod tls;
