//! Stories: a directory, the simulated cloud, and the service between them.
#![allow(clippy::expect_used, clippy::unwrap_used, clippy::panic)]

mod crash;
mod identity;
mod protection;
mod samba;
mod story;
mod trouble;
mod world;
