//! Integration tests of the LDAP client against fake servers, kind and hostile ones.

mod client;
mod fake;
mod hostile;
