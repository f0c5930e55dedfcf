//! The connector to Active Directory.

mod lab;
mod samba;
