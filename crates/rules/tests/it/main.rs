//! Integration tests of the rules crate.

mod api;
mod cases;
mod hostile;
mod stories;
mod world;
