//! kill -9 at random instants: the end state is the undisturbed one, and no object is created twice.
//!
//! The program is a process that is killed; the cloud (here, in the test's process) and the directory live on.
//! `ONESYNC_KILL_SEEDS=200` runs that many seeds, `ONESYNC_KILL_FIRST=17` begins with that one.

mod cloud;
pub mod disturb;
pub mod ldif;
mod one;
mod rotate;
pub mod samba;
mod stop;
mod story;
