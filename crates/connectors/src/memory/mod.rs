//! A connected directory in memory, for tests: everything a real one does, and on demand everything that goes wrong.
//!
//! [`MemoryDirectory`] is the directory: a shared handle through which a test changes and inspects it.
//! [`MemoryConnector`] is the connector to it. Deliberately absent: time and randomness; anchors of created objects
//! are derived from their create keys, so that a test can be repeated byte for byte.

mod connector;
mod directory;
mod export;
mod fault;

pub use connector::MemoryConnector;
pub use directory::{MemoryDirectory, MemoryObject};
pub use fault::Fault;
