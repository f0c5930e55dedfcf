//! onesync-testkit
