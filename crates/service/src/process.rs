//! This process, kept from the eyes of others: whoever opens a key set leaves nothing of it behind.

use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};

/// Has the system write no core dump of this process, and let nobody but root look into its memory.
///
/// Afterwards `/proc/self` belongs to root: what reads or writes the memory of this process by it comes before.
///
/// # Errors
/// When the system does not let it.
pub fn keep_private() -> std::io::Result<()> {
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })?;
    Ok(set_dumpable_behavior(DumpableBehavior::NotDumpable)?)
}

/// The name of this machine.
#[must_use]
pub fn host() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}
