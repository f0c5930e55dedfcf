//! onesync-testkit

pub mod generate;
