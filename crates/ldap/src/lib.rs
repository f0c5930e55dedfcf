//! onesync-ldap
